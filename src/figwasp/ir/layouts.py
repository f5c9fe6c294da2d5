"""Where things stand in the instance blocks of a module, and in objects of the heap. Floor 2.

In: a module, or storage types in order. Out: byte offsets, those in an object from its start, which is 8 bytes of header. The
builder, the evaluator's tests and the runtime's type descriptors (`layout.TYPE_LAYOUT`) all have it from here. What an exception
carries lie like fields, behind a header of 16 bytes.
"""

from __future__ import annotations

from figwasp.layout import InstanceLayout
from figwasp.wasm.syntax.types import F32, I8, I16, I32, V128

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from figwasp.wasm.syntax.module import Module

__all__ = ["HEADER", "element_shift", "field_offsets", "layout_of"]

HEADER: Final = 8
"""Bytes before the fields of a structure: the offset of its type descriptor, and 4 unused; an array has its length there."""

_WORD_SHIFT: Final = 3
_WORD: Final = 1 << _WORD_SHIFT
_SHIFTS: Final = {I8: 0, I16: 1, I32: 2, F32: 2, V128: 4}


def layout_of(module: Module) -> InstanceLayout:
    """Return the offsets in the instance blocks of a module."""
    return InstanceLayout(
        len(module.types),
        module.num_imported_funcs,
        len(module.bodies),
        len(module.memories),
        len(module.tables),
        len(module.globals),
        len(module.elems),
        len(module.datas),
        len(module.tags),
    )


def element_shift(storage: int) -> int:
    """Return log2 of the bytes that a storage type takes; 3 for all that are not listed, references among them."""
    return _SHIFTS.get(storage, _WORD_SHIFT)


def field_offsets(storages: Sequence[int], start: int = HEADER) -> tuple[list[int], int]:
    """Return the offset of every field, each at its natural alignment (a vector at that of a word), and the end of the object.

    Args:
        storages: storage types.
        start: bytes of the header, a multiple of 8; so is the end.
    """
    offsets = []
    offset = start
    for storage in storages:
        size = 1 << element_shift(storage)
        mask = min(size, _WORD) - 1
        offset = offset + mask & ~mask
        offsets.append(offset)
        offset += size
    return offsets, offset + _WORD - 1 & -_WORD
