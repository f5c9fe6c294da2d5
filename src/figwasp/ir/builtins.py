"""Floor 2: the table of builtins: what compiled code asks of the runtime.

One row per builtin: name, IR types of the parameters after the instance, IR types of the results (`i` i32, `l` i64), and what it
does. A builtin is called like a wasm function of the instance, by `call_builtin`; its number, the place of its row, is part of
the code. The columns are lists indexed by it. Builder and verifier take signatures from here, and so does the runtime for its
stubs; the evaluator and the runtime implement each row by a method of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Final

from figwasp.ir.ops import I32, I64

NAMES: Final[list[str]] = []
PARAMS: Final[list[bytes]] = []
RESULTS: Final[list[bytes]] = []

_TYPES: Final = {"i": I32, "l": I64}


def _builtin(name: str, params: str, results: str = "") -> int:
    """Add a row and return its number."""
    NAMES.append(name)
    PARAMS.append(bytes(_TYPES[letter] for letter in params))
    RESULTS.append(bytes(_TYPES[letter] for letter in results))
    return len(NAMES) - 1


# Lengths and places are in bytes for memories, in elements for tables. What does not lie within a memory, a table or a segment
# altogether is a trap, and nothing has been written then. A dropped segment is empty.

MEMORY_GROW: Final = _builtin("memory_grow", "ii", "i")
"""(memory, delta): add pages of zeros; the number of pages before, or -1 where there is no room."""
MEMORY_FILL: Final = _builtin("memory_fill", "iiii")
"""(memory, start, value, length): write the low byte of a value over a range."""
MEMORY_COPY: Final = _builtin("memory_copy", "iiiii")
"""(target memory, source memory, target, source, length): copy a range, as if through a buffer."""
MEMORY_INIT: Final = _builtin("memory_init", "iiiii")
"""(memory, segment, target, source, length): copy from a data segment."""
DATA_DROP: Final = _builtin("data_drop", "i")
"""(segment): drop a data segment."""
TABLE_SET: Final = _builtin("table_set", "iil")
"""(table, index, reference): write one element."""
TABLE_GROW: Final = _builtin("table_grow", "ili", "i")
"""(table, reference, delta): add elements; the number of elements before, or -1 where there is no room."""
TABLE_FILL: Final = _builtin("table_fill", "iili")
"""(table, start, reference, length): write a reference over a range."""
TABLE_COPY: Final = _builtin("table_copy", "iiiii")
"""(target table, source table, target, source, length): copy a range, as if through a buffer."""
TABLE_INIT: Final = _builtin("table_init", "iiiii")
"""(table, segment, target, source, length): copy from an element segment."""
ELEM_DROP: Final = _builtin("elem_drop", "i")
"""(segment): drop an element segment."""
GLOBAL_SET_REF: Final = _builtin("global_set_ref", "il")
"""(global, reference): set a global that holds a reference."""
COUNT: Final = len(NAMES)


def implementations(owner: type, elsewhere: Container[int] = ()) -> dict[int, Callable[..., int | None]]:
    """Return the methods by which a class implements the builtins, by number. To be called at import, so that none is missing.

    Args:
        owner: the class.
        elsewhere: the builtins that are not its matter.

    Raises:
        TypeError: it lacks one, or has it with another number of parameters.
    """
    methods: dict[int, Any] = {number: vars(owner).get(NAMES[number]) for number in range(COUNT) if number not in elsewhere}
    for number, method in methods.items():
        if method is None or method.__code__.co_argcount != 1 + len(PARAMS[number]):
            raise TypeError(f"{owner.__name__} does not implement the builtin {NAMES[number]}")
    return methods
