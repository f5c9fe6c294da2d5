"""Floor 4: what stubs and the Python around them agree on: fields of native objects, answers, kinds of values.

A program whose stubs are there already needs this, and none of the modules that build stubs.
"""

from __future__ import annotations

from figwasp.ir.types import ir_types
from figwasp.wasm.syntax.types import EXTERNREF, is_ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.wasm.syntax.types import Types

# Fields of a callable
FUNC_VECTORCALL: Final = 16  # address of its code
FUNC_FUNCREF: Final = 24  # address of its FuncRef
FUNC_STORE: Final = 32  # address of the field that points to the store record
FUNC_OWNER: Final = 40  # PyObject*: keeps the native blocks; stays until the callable goes
FUNC_RECORD: Final = 48  # PyObject*: the Python side; the collector may clear it
FUNC_SIZE: Final = 56

# Fields of a memory, and of a handle to an object of the heap
VIEW_RECORD: Final = 16  # address of the memory record, or of the handle's root, behind which an array has the next block
VIEW_OWNER: Final = FUNC_OWNER
VIEW_SIDE: Final = FUNC_RECORD  # PyObject*: the Python side

# What the buffer of an array of numbers is like
VIEW_LENGTH: Final = 8  # elements
VIEW_ITEM: Final = 16  # bytes of an element
VIEW_READONLY: Final = 24  # 1: they cannot be assigned
VIEW_FORMAT: Final = 32  # 2 bytes: what they are, for `struct`, and a NUL; 0 when there is no buffer

HELD: Final = (FUNC_OWNER, FUNC_RECORD)
"""The fields with references of both kinds of objects."""

# Fields of an owner of a native block
OWNER_BLOCK: Final = 16
OWNER_SLOTS: Final = 24  # address of an array of PyObject*, each owned or 0
OWNER_COUNT: Final = 32
OWNER_HOLDS: Final = 40  # PyObject*: tuple of other owners, or 0
OWNER_SIZE: Final = 48

# Answers

GROWN: Final = 1
REFUSED: Final = 2
CHANGED: Final = 3
"""What `stubs.steps.grow_memory` answers."""

RAW_DEEP: Final = 1  # what `raw` answers when the native stack is too deep
RAW_BUSY: Final = 2  # and when the chain is not this thread's
RAW_SUSPENDED: Final = 3  # beside the answers of `raw`
CLAIM_BUSY: Final = 1  # what `claim` answers when another thread runs

# Kinds of values

REF: Final = 8
"""Beside the IR types, the kind of a value that is a nullable externref."""


def kinds(types: Types) -> bytes:
    """Return the kinds of value types: IR types, and REF."""
    return bytes([REF if code == EXTERNREF else kind for code, kind in zip(types, ir_types(types), strict=True)])


def simple(types: Types) -> bool:
    """Return whether stubs can convert values of all the types: numbers, vectors and nullable externrefs."""
    return all(code == EXTERNREF or not is_ref(code) for code in types)


# Fault handlers

FAULT_HANDLERS: Final = 8  # one for each handler that may be before ours
UNUSED: Final = -1


class FaultFront:
    """Addresses for putting one of our fault handlers in front of one installed after them (`native.handler`).

    Attributes:
        handler: of the words that hold the address of our first handler, the size of all, and the address of `keep_in_front`.
        previous: of the words that hold the handlers before ours.
        ours: of the structs sigaction of our handlers.
        present: of room for a struct sigaction.
    """

    __slots__ = ("handler", "ours", "present", "previous")

    def __init__(self, handler: int, previous: int, ours: int, present: int) -> None:
        self.handler = handler
        self.previous = previous
        self.ours = ours
        self.present = present
