"""Floor 4: what those who use stubs know of them, without building any: kinds of values, answers, fields of native objects."""

from __future__ import annotations

from figwasp.ir import builtins
from figwasp.ir.types import BY_LETTER, BY_WASM, I64
from figwasp.wasm.syntax.types import EXTERNREF, is_ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.wasm.syntax.types import Types

# Kinds of values

REF: Final = 8
"""Beside the IR types, the kind of a value that is a nullable externref."""

_LETTERS: Final = bytes.maketrans(bytes([*BY_LETTER.values(), REF]), "".join([*BY_LETTER, "r"]).encode())
_KINDS: Final = bytes.maketrans("".join([*BY_LETTER, "r"]).encode(), bytes([*BY_LETTER.values(), REF]))


def kinds(types: Types) -> bytes:
    """Return the kinds of value types: IR types, and REF."""
    return bytes([REF if code == EXTERNREF else BY_WASM.get(code, I64) for code in types])


def ir_kinds(given: bytes) -> bytes:
    """Return the IR types of kinds."""
    return given.replace(bytes([REF]), bytes([I64]))


def simple(types: Types) -> bool:
    """Return whether stubs can convert values of all the types: numbers, vectors and nullable externrefs."""
    return all(code == EXTERNREF or not is_ref(code) for code in types)


def spelled(params: bytes, results: bytes) -> str:
    """Return kinds of parameters and results as they stand in the key of a stub, a letter for each: "il:d"."""
    return f"{params.translate(_LETTERS).decode()}:{results.translate(_LETTERS).decode()}"


def kinds_of(letters: str) -> bytes:
    """Return the kinds that letters of a key stand for."""
    return letters.encode().translate(_KINDS)


# Answers

RAW_DEEP: Final = 1  # what `enter.raw` answers when the native stack is too deep
RAW_BUSY: Final = 2  # when the chain is not this thread's
RAW_SUSPENDED: Final = 3  # `suspend.start` and `suspend.resume`: the call has been suspended
CLAIM_BUSY: Final = 1  # what `claim.claim` answers when another thread runs

GROWN: Final = 1
REFUSED: Final = 2
CHANGED: Final = 3
"""Answers of `steps.grow_memory`."""

# Builtins

NATIVE: Final = frozenset((
    builtins.MEMORY_FILL, builtins.MEMORY_COPY, builtins.MEMORY_INIT, builtins.GLOBAL_SET_EXTERN, builtins.THROW, builtins.SUBTYPE,
    builtins.OBJECT_NEW, builtins.ARRAY_NEW, builtins.ARRAY_FILL, builtins.ARRAY_COPY, builtins.ARRAY_INIT_DATA,
    builtins.ARRAY_INIT_ELEM,
))  # fmt: skip
"""Those that leave nothing to Python."""

# Fault handlers

FAULT_HANDLERS: Final = 8  # one for each handler that may be before ours
UNUSED: Final = -1  # in place of the handler before one that has never been in force

# What tells where hot code goes on
SIZE_SHIFT: Final = 48  # bits of the address, which is a user's; the bytes of the frame to leave stand above them

# Numbers for Python functions (`stubs.box`)

BOXES: Final = 16  # positions of parameters that have cells for them
DIGIT: Final = 30  # bits of a digit of an int

# Fields of the pair of slots of a host function
HOST_CALLABLE: Final = 0
HOST_RECORD: Final = 8

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

# Py_buffer, which belongs to the stable ABI
BUFFER_OWNER: Final = 8
BUFFER_ITEM: Final = 24
BUFFER_FORMAT: Final = 40
BUFFER_SHAPE: Final = 48
BUFFER_STRIDES: Final = 56

HELD: Final = (FUNC_OWNER, FUNC_RECORD)
"""The fields with references of both kinds of objects."""

# Fields of an owner of a native block
OWNER_BLOCK: Final = 16
OWNER_SLOTS: Final = 24  # address of an array of PyObject*, each owned or 0
OWNER_COUNT: Final = 32
OWNER_HOLDS: Final = 40  # PyObject*: tuple of other owners, or 0
OWNER_SIZE: Final = 48
