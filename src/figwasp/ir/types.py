"""Floor 2: the table of IR types: the facts about a type stand in its row, and nowhere else.

One row per type. A type is a module-level int, so that hot code compares ints; the columns are lists indexed by it. Which machine
instruction moves, loads and stores a type is the machine's column, in its `target`.

A value in memory takes whole cells of 8 bytes, aligned to its size rounded up to cells: in spill slots, stack arguments, result
areas, and the buffers between Python and WebAssembly.
"""

from __future__ import annotations

from figwasp.wasm.syntax import types as wasm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

INT: Final = 0
FLOAT: Final = 1
"""Classes of registers."""

CELL: Final = 8
"""Bytes of a cell."""

NONE: Final = -1
VOID: Final = 15
"""The type of what has no result."""

TYPE_NAMES: Final[dict[int, str]] = {VOID: "-"}
BY_LETTER: Final[dict[str, int]] = {}
"""Letter in the operand column of `ops` -> type."""
BY_WASM: Final[dict[int, int]] = {}
"""Code of a number type in WebAssembly -> type."""

SIZES: Final[list[int]] = []
"""Bytes."""
BITS: Final[list[int]] = []
MASKS: Final[list[int]] = []
"""All bits of a value set."""
CELLS: Final[list[int]] = []
"""Cells that a value takes in memory; a power of two."""
CLASSES: Final[list[int]] = []
"""Class of registers that hold it."""
LOADS: Final[list[str]] = []
STORES: Final[list[str]] = []
"""Names of the IR operations that load and store a whole value (as numbers: `ops.LOAD_OF`, `ops.STORE_OF`)."""
FORMATS: Final[list[str]] = []
"""Letter of `struct` for the Python number a value is, or an empty string."""

WHOLE: Final[list[int]] = [NONE, NONE]
"""Class -> the type that fills a register of it."""
CARRIERS: Final[list[list[int]]] = [[], []]
"""Class -> type -> the type of the same size in that class, or NONE: as what a value may pass through a register of the class."""


def add(name: str, letter: str, code: int, size: int, register_class: int, load: str, store: str, format: str) -> int:
    """Add a row and return its number.

    Args:
        name, letter, code: as in `TYPE_NAMES`, `BY_LETTER` and `BY_WASM`.
        size, register_class, load, store, format: the columns.
    """
    number = len(SIZES)
    TYPE_NAMES[number] = name
    BY_LETTER[letter] = number
    BY_WASM[code] = number
    SIZES.append(size)
    BITS.append(8 * size)
    MASKS.append((1 << 8 * size) - 1)
    CELLS.append((size + CELL - 1) // CELL)
    CLASSES.append(register_class)
    LOADS.append(load)
    STORES.append(store)
    FORMATS.append(format)
    whole = WHOLE[register_class]
    if whole == NONE or size > SIZES[whole]:
        WHOLE[register_class] = number
    for carrier_class, carriers in enumerate(CARRIERS):
        carriers[:] = [_of_size(carrier_class, other) for other in SIZES]
    return number


def _of_size(register_class: int, size: int) -> int:
    """Return the type with a class and a size, or NONE."""
    for type, found in enumerate(SIZES):
        if found == size and CLASSES[type] == register_class:
            return type
    return NONE

I32: Final = add("i32", "i", wasm.I32, 4, INT, "i32_load", "i32_store", "i")
I64: Final = add("i64", "l", wasm.I64, 8, INT, "i64_load", "i64_store", "q")
F32: Final = add("f32", "f", wasm.F32, 4, FLOAT, "f32_load", "f32_store", "f")
F64: Final = add("f64", "d", wasm.F64, 8, FLOAT, "f64_load", "f64_store", "d")
V128: Final = add("v128", "v", wasm.V128, 16, FLOAT, "v128_load", "v128_store", "")


def ir_types(types: wasm.Types) -> bytes:
    """Return the IR types of value types: a reference is an address."""
    return bytes([BY_WASM.get(code, I64) for code in types])


def buffer_layout(types: bytes) -> tuple[list[int], int]:
    """Lay out values in a buffer: return the offset in bytes of each, and how many cells they take together."""
    offsets, cells = [], 0
    for type in types:
        first, cells = place(type, cells)
        offsets.append(CELL * first)
    return offsets, cells


def place(type: int, cells: int) -> tuple[int, int]:
    """Place a value behind so many cells: return the number of its first cell, and that of cells up to its end."""
    size = CELLS[type]
    first = (cells + size - 1) & -size
    return first, first + size
