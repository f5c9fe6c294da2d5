"""Offsets of fields and sizes of elements."""

from __future__ import annotations

from figwasp.ir.layouts import element_shift, field_offsets
from figwasp.wasm.syntax.types import ANYREF, F32, F64, I8, I16, I32, I64, V128, concrete


def test_fields_stand_at_their_natural_alignment() -> None:
    assert field_offsets([]) == ([], 8)
    assert field_offsets([I8, I8, I16, I32, F32]) == ([8, 9, 10, 12, 16], 24)
    assert field_offsets([I8, I64, I16, ANYREF, I8, F64]) == ([8, 16, 24, 32, 40, 48], 56)


def test_a_vector_is_aligned_as_a_word_is() -> None:
    assert field_offsets([V128, I8, V128]) == ([8, 24, 32], 48)


def test_an_exception_has_a_longer_header() -> None:
    assert field_offsets([I32, concrete(3, nullable=False)], 16) == ([16, 24], 32)


def test_elements() -> None:
    shifts = [element_shift(storage) for storage in (I8, I16, I32, F32, I64, F64, ANYREF, concrete(1, True), V128)]
    assert shifts == [0, 1, 2, 2, 3, 3, 3, 3, 4]
