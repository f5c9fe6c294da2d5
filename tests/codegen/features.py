"""Code for a processor with some features, or with none, in a process whose own has more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from figwasp.codegen.isa.x64.features import KNOWN
from figwasp.codegen.isa.x64.target import TARGET
from tests.environment import RUNS

SETS: Final = {"baseline": frozenset[str](), "avx": frozenset({"avx"}), "all": frozenset(KNOWN)}
"""What tests of vectors run with: every rule that asks for a feature goes both ways."""


@contextmanager
def using(names: frozenset[str]) -> Iterator[None]:
    """Make code for these features; skip the test if the processor has not all of them."""
    if RUNS:
        from figwasp.runtime.platform.processor import machine

        machine()  # which tells the target what the processor has when it is first called
    before = frozenset(TARGET.features)
    if not names <= before:
        pytest.skip(f"the processor has no {', '.join(sorted(names - before))}, or FIGWASP_CPU says so")
    TARGET.use_features(names)
    try:
        yield
    finally:
        TARGET.use_features(before)
