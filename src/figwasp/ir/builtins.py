"""Floor 2: the table of builtins, the runtime's functions that compiled code calls.

One row per builtin: name, IR types of the parameters after the instance, IR types of the results (`i` i32, `l` i64), names of the
parameters, and what it does. A builtin is called like a wasm function of the instance, by `call_builtin`; its number, the place of
its row, is part of the code. The columns are lists indexed by it. Builder and verifier take signatures from here, and so does the
runtime for its stubs; the evaluator and the runtime implement each row by a function of its name.
"""

from __future__ import annotations

from figwasp.ir.types import I32, I64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping
    from typing import Any, Final

NAMES: Final[list[str]] = []
PARAMS: Final[list[bytes]] = []
RESULTS: Final[list[bytes]] = []
OPERANDS: Final[list[str]] = []
"""Names of the parameters."""
MEANINGS: Final[list[str]] = []

_TYPES: Final = {"i": I32, "l": I64}


def _builtin(name: str, params: str, results: str, operands: str, meaning: str) -> int:
    """Add a row and return its number."""
    NAMES.append(name)
    OPERANDS.append(operands)
    MEANINGS.append(meaning)
    PARAMS.append(bytes(_TYPES[letter] for letter in params))
    RESULTS.append(bytes(_TYPES[letter] for letter in results))
    return len(NAMES) - 1


# Lengths and places are in bytes for memories, in elements for tables, and unsigned 64-bit numbers whatever the address type of the
# memory or table: 32-bit ones are extended by who calls. What does not lie within a memory, a table or a segment altogether is a
# trap, and nothing has been written then. A dropped segment is empty.

MEMORY_GROW: Final = _builtin(
    "memory_grow", "il", "l", "memory, delta", "add pages of zeros; the number of pages before, or -1 where there is no room"
)
MEMORY_FILL: Final = _builtin(
    "memory_fill", "ilil", "", "memory, start, value, length", "write the low byte of a value over a range"
)
MEMORY_COPY: Final = _builtin(
    "memory_copy", "iilll", "", "target memory, source memory, target, source, length", "copy a range, as if through a buffer"
)
MEMORY_INIT: Final = _builtin(
    "memory_init", "iilll", "", "memory, segment, target, source, length", "copy from a data segment"
)
TABLE_SET: Final = _builtin("table_set", "ill", "", "table, index, reference", "write one element")
TABLE_GROW: Final = _builtin(
    "table_grow", "ill", "l", "table, reference, delta", "add elements; the number of elements before, or -1 where there is no room"
)
TABLE_FILL: Final = _builtin(
    "table_fill", "illl", "", "table, start, reference, length", "write a reference over a range"
)
TABLE_COPY: Final = _builtin(
    "table_copy", "iilll", "", "target table, source table, target, source, length", "copy a range, as if through a buffer"
)
TABLE_INIT: Final = _builtin(
    "table_init", "iilll", "", "table, segment, target, source, length", "copy from an element segment"
)
ELEM_DROP: Final = _builtin("elem_drop", "i", "", "segment", "drop an element segment")
GLOBAL_SET_FUNC: Final = _builtin(
    "global_set_func", "ill", "", "global, its address, reference", "set a global that holds a reference to a function"
)
GLOBAL_SET_EXTERN: Final = _builtin(
    "global_set_extern", "ll", "", "address of the global, reference", "set a global that may hold an object of the host"
)
MEMORY_NOTIFY: Final = _builtin(
    "memory_notify", "ili", "i", "memory, place, count", "wake up so many threads at most that wait at a place; how many were woken"
)
MEMORY_WAIT32: Final = _builtin(
    "memory_wait32", "ilil", "i", "memory, place, expected, timeout",
    "wait where 4 bytes are what is expected, so many nanoseconds if not negative; 0: woken, 1: they are not, 2: time is up",
)  # fmt: skip
MEMORY_WAIT64: Final = _builtin(
    "memory_wait64", "illl", "i", "memory, place, expected, timeout", "the same with 8 bytes"
)
SUBTYPE: Final = _builtin(
    "subtype", "ii", "i", "type, ancestor", "whether a type derives from another or is it, both given by their descriptors"
)

# Objects of the heap. A type is the word that the instance block has for it. Places and lengths have 32 bits, as those of arrays
# have; a width is log2 of the bytes of an element. Null instead of an array, and what does not lie within an array or a segment
# altogether, is a trap, and nothing has been written then.

OBJECT_NEW: Final = _builtin("object_new", "il", "l", "type, bytes", "make a structure of so many bytes, which are zeros")
ARRAY_NEW: Final = _builtin("array_new", "ii", "l", "type, length", "make an array of zeros")
ARRAY_FILL: Final = _builtin(
    "array_fill", "liiill", "", "array, width, start, length, low, high",
    "write an element over a range: the low bytes of one word, or two words",
)  # fmt: skip
ARRAY_COPY: Final = _builtin(
    "array_copy", "lliiii", "", "target array, source array, width, target, source, length", "copy a range, as if through a buffer"
)
ARRAY_INIT_DATA: Final = _builtin(
    "array_init_data", "liiiii", "", "array, segment, width, target, source, length",
    "copy from a data segment, whose places are bytes",
)  # fmt: skip
ARRAY_INIT_ELEM: Final = _builtin(
    "array_init_elem", "liiii", "", "array, segment, target, source, length", "copy from an element segment"
)
KEEP_FUNC: Final = _builtin(
    "keep_func", "l", "", "reference", "have the heap keep the owner of a function that an object will refer to; nothing for null"
)
THROW: Final = _builtin("throw", "l", "", "exception", "throw an exception: it never returns")
COUNT: Final = len(NAMES)


def implementations(names: Mapping[str, Any], elsewhere: Container[int] = ()) -> dict[int, Callable[..., int | None]]:
    """Return the functions that implement the builtins, by number. To be called at import, so that none is missing.

    Args:
        names: of a class or module, where each is a function of an instance and its operands.
        elsewhere: the builtins that are not its matter.

    Raises:
        TypeError: one is missing, or has another number of parameters.
    """
    functions: dict[int, Any] = {number: names.get(NAMES[number]) for number in range(COUNT) if number not in elsewhere}
    for number, function in functions.items():
        if function is None or function.__code__.co_argcount != 1 + len(PARAMS[number]):
            raise TypeError(f"{names.get('__name__') or names['__module__']} does not implement the builtin {NAMES[number]}")
    return functions
