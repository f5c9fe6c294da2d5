"""Small modules that ask for much: each ends quickly, in little memory, with the outcome that the table gives.

What costs much per byte is what carries many values or writes many locals: calls and blocks that pass a thousand values, branches out of
blocks that wrote a thousand locals, tables of labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import figwasp
from figwasp.wasm.binary.encode import encode, locals_vector
from figwasp.wasm.binary.leb128 import write_signed, write_unsigned
from figwasp.wasm.syntax.module import ACTIVE, FUNC, PASSIVE, ConstExpr, Data, Elem, Export, Module
from figwasp.wasm.syntax.types import FUNCREF, I32, FuncType, GlobalType, Limits, MemoryType, SubType, TableType
from tests.hostile.mutants import bounded

MANY: Final = 1000
"""As many parameters and results as a type may have."""
_ALL: Final = (I32,) * MANY


def _u(value: int) -> bytes:
    out = bytearray()
    write_unsigned(out, value)
    return bytes(out)


def _number(value: int) -> bytes:
    out = bytearray(b"\x41")
    write_signed(out, value)
    return bytes(out)


def _value(k: int) -> bytes:
    """A number that is not known before the call: the parameter plus `k`."""
    return b"\x20\0" + _number(k) + b"\x6a"


def _module(body: bytes = b"", locals: int = 0, types: list[FuncType] | None = None, others: list[bytes] | None = None) -> Module:
    """Make a module whose function "f" takes an i32; other functions are of the second type."""
    module = Module()
    module.types = [SubType(type_) for type_ in (FuncType((I32,), ()), *(types or []))]
    module.groups = list(range(len(module.types)))
    module.func_types = [0] + [1] * len(others or [])
    module.exports = [Export("f", FUNC, 0)]
    module.data = encode(module, [locals_vector((I32,) * locals) + body + b"\x0b", *(others or [])], [])
    return module


def _with(change: Callable[[Module], None], datas: int = 0) -> bytes:
    """Return a module whose function does nothing, changed."""
    module = _module()
    change(module)
    module.table_inits = [None] * len(module.tables)
    return encode(module, [b"\0\x0b"] * len(module.func_types), [b"x"] * datas)


def _branches(n: int) -> bytes:
    """`n` branches under different conditions to the innermost label."""
    return b"".join(b"\x20\0" + _number(k) + b"\x46\x0d\0" for k in range(1, n + 1))


def calls(n: int) -> bytes:
    """A chain of calls that take and give a thousand values."""
    both = FuncType(_ALL, _ALL)
    same = b"\0" + b"".join(b"\x20" + _u(k) for k in range(MANY)) + b"\x0b"
    return _module(b"".join(map(_value, range(MANY))) + b"\x10\1" * n + b"\x1a" * MANY, 0, [both], [same]).data


def branches_with_values(n: int) -> bytes:
    """Branches that carry a thousand values, which differ from those of the first."""
    first = b"".join(map(_value, range(MANY))) + b"\x20\0\x0d\0" + b"\x1a" * MANY
    second = b"".join(b"\x20\0" + _number(k) + b"\x6c" for k in range(MANY))
    return _module(b"\x02\1" + first + second + _branches(n) + b"\x0b" + b"\x1a" * MANY, 0, [FuncType((), _ALL)]).data


def branches_after_writes(n: int) -> bytes:
    """Branches out of a block that has written a thousand locals twice."""
    writes = [b"".join(_value(k + by) + b"\x21" + _u(k) for k in range(1, MANY + 1)) for by in (0, 7)]
    reads = b"".join(b"\x20" + _u(k) + b"\x1a" for k in range(1, MANY + 1))
    return _module(b"\x02\x40" + writes[0] + b"\x20\0\x0d\0" + writes[1] + _branches(n) + b"\x0b" + reads, MANY).data


def loops_that_write(n: int) -> bytes:
    """Nested loops, and the innermost writes a local for each."""
    writes = b"".join(b"\x20" + _u(k) + b"\x41\1\x6a\x21" + _u(k) for k in range(1, n + 1))
    ends = b"".join(b"\x20\0" + _number(k + 1) + b"\x46\x0d\0\x0b" for k in range(n))
    return _module(b"\x03\x40" * n + writes + ends, n).data


def loops_with_values(n: int) -> bytes:
    """Loops, one after another, that pass a thousand values."""
    both = FuncType(_ALL, _ALL)
    loop = b"\x03\1" + _branches(1) + b"\x0b"
    return _module(b"".join(map(_value, range(MANY))) + loop * n + b"\x1a" * MANY, 0, [both]).data


def table_of_labels(n: int) -> bytes:
    """Nested blocks with a thousand results, and one branch to all of them."""
    table = b"\x20\0\x0e" + _u(n - 1) + b"".join(map(_u, range(n)))
    values = b"".join(map(_value, range(MANY)))
    return _module(b"\x02\1" * n + values + table + b"\x0b" * n + b"\x1a" * MANY, 0, [FuncType((), _ALL)]).data


def _set(name: str, value: object) -> Callable[[Module], None]:
    def change(module: Module) -> None:
        setattr(module, name, value)

    return change


def _globals(module: Module) -> None:
    module.globals = [GlobalType(I32, True)] * 50_000
    module.global_inits = [ConstExpr([(0x41, 0)])] * 50_000


_FUNC: Final = ConstExpr([(0xD2, 0)])
_ZERO: Final = ConstExpr([(0x41, 0)])

TABLE: Final[list[tuple[str, Callable[[], bytes], str]]] = [
    ("a few large calls", lambda: calls(8), "ran"),
    ("many large calls", lambda: calls(500), "LimitExceeded"),
    ("50,000 large calls", lambda: calls(50_000), "LimitExceeded"),
    ("branches with a thousand values", lambda: branches_with_values(1000), "ran"),
    ("100,000 branches with a thousand values", lambda: branches_with_values(100_000), "LimitExceeded"),
    ("branches out of blocks that write", lambda: branches_after_writes(2000), "ran"),
    ("10,000 of those", lambda: branches_after_writes(10_000), "ran"),
    ("nested loops that write", lambda: loops_that_write(1000), "ran"),
    ("loops with a thousand values", lambda: loops_with_values(300), "ran"),
    ("10,000 of those", lambda: loops_with_values(10_000), "LimitExceeded"),
    ("a table of labels with a thousand values", lambda: table_of_labels(1000), "ran"),
    ("all memory there can be", lambda: _with(_set("memories", [MemoryType(Limits(65536))])), "LimitExceeded"),
    ("a table of ten million", lambda: _with(_set("tables", [TableType(FUNCREF, Limits(10_000_000))])), "ran"),
    ("a table of four billion", lambda: _with(_set("tables", [TableType(FUNCREF, Limits(0xFFFF_FFFF))])), "LimitExceeded"),
    ("10,000 tables", lambda: _with(_set("tables", [TableType(FUNCREF, Limits(0, 9))] * 10_000)), "ran"),
    ("100 tables without a maximum", lambda: _with(_set("tables", [TableType(FUNCREF, Limits(0))] * 100)), "LimitExceeded"),
    ("100,000 functions", lambda: _with(_set("func_types", [0] * 100_000)), "ran"),
    ("50,000 globals", lambda: _with(_globals), "ran"),
    ("a million elements", lambda: _with(_set("elems", [Elem(FUNCREF, PASSIVE, 0, None, [_FUNC] * 1_000_000)])), "ran"),
    (
        "50,000 active segments",
        lambda: _with(lambda m: [_set("memories", [MemoryType(Limits(1))])(m), _set("datas", [Data(ACTIVE, 0, _ZERO)] * 50_000)(m)][0], 50_000),
        "ran",
    ),
]  # fmt: skip
"""What it is, how to make it, and its outcome when function "f" is called with -1."""


def run(data: bytes) -> str:
    """Load a module and call its function "f"."""
    try:
        figwasp.load(data).exports["f"](-1)
    except figwasp.Error as error:
        return type(error).__name__
    return "ran"


def run_case(number: int) -> str:
    """Do a row of the table: answer its outcome, or after "bad: " what is wrong."""
    name, make, expected = TABLE[number]
    data = make()
    answer = bounded(lambda: run(data))
    return answer if answer == expected else f"bad: {name}: {answer.removeprefix('bad: ')} instead of {expected}"
