"""Floor 3: what a processor may have beyond the baseline of x86-64, and which of it this process uses.

In: names, told before anything is compiled (`Target.use_features`). Out: `IN_USE`, which selection reads. Until it is told it uses
nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["IN_USE", "KNOWN", "PROBE_WORDS", "Features", "found"]

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


# What `Sequences.probe` stores, in this order: a number of the manual's for each, 0 where the processor does not know the question.
LEAF_1_ECX: Final = 0
LEAF_7_EBX: Final = 1
EXTENDED_1_ECX: Final = 2
XCR0: Final = 3
PROBE_WORDS: Final = 4

_OSXSAVE: Final = 27
_STATES: Final = 0b110
"""In XCR0: the system saves xmm and ymm registers, without which AVX must not be used (SDM vol. 1, 14.3)."""
_BITS: Final = {
    "avx": (LEAF_1_ECX, 28), "fma": (LEAF_1_ECX, 12), "avx2": (LEAF_7_EBX, 5), "bmi1": (LEAF_7_EBX, 3),
    "lzcnt": (EXTENDED_1_ECX, 5),
}  # fmt: skip
_OF_THE_SYSTEM: Final = frozenset({"avx", "avx2", "fma"})
"""What needs the registers saved."""


def found(words: list[int]) -> frozenset[str]:
    """Return what a processor has, by what it says of itself."""
    names = {name for name, (word, bit) in _BITS.items() if words[word] >> bit & 1}
    if not words[LEAF_1_ECX] >> _OSXSAVE & 1 or words[XCR0] & _STATES != _STATES:
        names -= _OF_THE_SYSTEM
    return frozenset(names)
