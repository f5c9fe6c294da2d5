"""Floor 3: what a processor may have beyond the baseline of x86-64, and which of it this process uses.

In: names, told before anything is compiled (`Target.use_features`). Out: `IN_USE`, which selection reads. Until it is told it uses
nothing.
"""

from __future__ import annotations

from typing import Final

__all__ = ["IN_USE", "KNOWN", "Features"]

KNOWN: Final = ("avx", "avx2", "fma", "lzcnt", "bmi1")
"""Bits as the manual names them (SDM vol. 2, CPUID); a row of the instruction table says which of them it needs."""


class Features:
    """What is used: an attribute for each of `KNOWN`."""

    __slots__ = KNOWN

    avx: bool
    avx2: bool
    fma: bool
    lzcnt: bool
    bmi1: bool

    def __init__(self) -> None:
        self.use(frozenset())

    def use(self, names: frozenset[str]) -> None:
        """Take these and no others; what extends AVX counts only together with it."""
        for name in KNOWN:
            setattr(self, name, name in names)
        self.avx2 = self.avx2 and self.avx
        self.fma = self.fma and self.avx


IN_USE: Final = Features()
