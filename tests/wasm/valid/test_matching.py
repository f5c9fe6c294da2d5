"""Import matching (spec 3.5.2), apart from any engine."""

from __future__ import annotations

import pytest

from figwasp.wasm.syntax.types import (
    ANYREF,
    FUNCREF,
    I31REF,
    I32,
    I64,
    NON_NULL,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
)
from figwasp.wasm.valid.matching import global_matches, limits_match, memory_matches, table_matches
from figwasp.wasm.valid.subtyping import TypeWorld


@pytest.mark.parametrize(
    ("size", "found", "wanted", "expected"),
    [
        (1, Limits(1), Limits(1), True),
        (3, Limits(1), Limits(3), True),
        (2, Limits(1), Limits(3), False),
        (1, Limits(1), Limits(1, 5), False),
        (1, Limits(1, 5), Limits(1, 5), True),
        (1, Limits(1, 4), Limits(1, 5), True),
        (1, Limits(1, 6), Limits(1, 5), False),
        (1, Limits(1, 6), Limits(0), True),
    ],
)
def test_limits(size: int, found: Limits, wanted: Limits, expected: bool) -> None:
    assert limits_match(size, found, wanted) is expected
    assert memory_matches(size, MemoryType(found), MemoryType(wanted)) is expected
    assert table_matches(size, TableType(FUNCREF, found), FUNCREF, TableType(FUNCREF, wanted), FUNCREF) is expected


@pytest.mark.parametrize("other", [MemoryType(Limits(1), I64), MemoryType(Limits(1), shared=True), MemoryType(Limits(1), page=0)])
def test_memories_of_other_kinds(other: MemoryType) -> None:
    assert memory_matches(1, other, other)
    assert not memory_matches(1, other, MemoryType(Limits(1)))
    assert not memory_matches(1, MemoryType(Limits(1)), other)


def test_element_types_are_equal() -> None:
    any_, i31 = TableType(ANYREF, Limits(1)), TableType(I31REF, Limits(1))
    assert table_matches(1, i31, I31REF, i31, I31REF)
    assert not table_matches(1, i31, I31REF, any_, ANYREF)
    assert not table_matches(1, any_, ANYREF, TableType(ANYREF, Limits(1), I64), ANYREF)


def test_immutable_globals_match_by_subtyping() -> None:
    world = TypeWorld()

    def matches(found: int, wanted: int, mutable: bool = False) -> bool:
        return global_matches(world, GlobalType(found, mutable), found, GlobalType(wanted, mutable), wanted)

    assert matches(I31REF, ANYREF)
    assert matches(FUNCREF | NON_NULL, FUNCREF)
    assert not matches(FUNCREF, FUNCREF | NON_NULL)
    assert not matches(ANYREF, I31REF)
    assert not matches(I31REF, ANYREF, mutable=True)
    assert matches(I31REF, I31REF, mutable=True)
    assert not global_matches(world, GlobalType(I32, True), I32, GlobalType(I32, False), I32)
    assert not global_matches(world, GlobalType(I32, False), I32, GlobalType(I32, True), I32)
