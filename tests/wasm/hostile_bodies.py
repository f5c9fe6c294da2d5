"""Hostile function bodies: nesting, counts, and what is short to say and long to check. Rows as in `hostile.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from figwasp.wasm.syntax import limits
from tests.wasm.handmade import binary, func_type, s, section, u, vec

Row = tuple[str, Callable[[], bytes | str], str]

MOST: Final = 2**32 - 1
OVERLONG: Final = b"\x80\x80\x80\x80\x80\0"
TOO_LARGE: Final = b"\xff\xff\xff\xff\x1f"
MANY: Final = 1000
"""As many parameters and results as a type may have."""
NOTHING: Final = func_type()
SUPER: Final = b"\x63\1"
"""A reference that `SUB` matches and is not: type 1 above type 2."""
SUB: Final = b"\x63\2"
_PAIR: Final = [b"\x50\0\x5f\0", b"\x50\1\1\x5f\0"]
UNREACHABLE: Final = b"\0"


def func(body: bytes, types: list[bytes] | None = None, local_runs: bytes = b"\0", before: bytes = b"", after: bytes = b"") -> bytes:
    """Encode a module with one function of type 0, from nothing to nothing unless `types` say otherwise.

    Args:
        body: its instructions without the final `end`.
        types: all types, the first being its own.
        local_runs: its locals, encoded.
        before: sections between those of the functions and the code.
        after: sections after the code.
    """
    content = local_runs + body + b"\x0b"
    code = section(10, u(1) + u(len(content)) + content)
    return binary(section(1, vec(types or [NOTHING])), section(3, vec([u(0)])), before, code, after)


def wide(param: bytes, result: bytes, count: int = MANY) -> bytes:
    """Encode a function type with many parameters of one type and many results of another."""
    return b"\x60" + u(count if param else 0) + param * count + u(count if result else 0) + result * count


def nested(opener: bytes, depth: int, middle: bytes = b"") -> bytes:
    """A body of blocks in one another."""
    return func(opener * depth + middle + b"\x0b" * depth)


_RAW: Final[list[tuple[str, bytes, str]]] = [
    ("4294967295 locals", func(b"", local_runs=b"\1" + u(MOST) + b"\x7f"), "LimitExceeded|Malformed: local"),
    ("25 times 4294967295 locals", func(b"", local_runs=u(25) + (u(MOST) + b"\x7f") * 25), "Malformed: too many locals"),
    ("50,001 locals", func(b"", local_runs=b"\1" + u(50_001) + b"\x7f"), "LimitExceeded|Malformed: local"),
    ("50,000 locals", func(b"", local_runs=b"\1" + u(50_000) + b"\x7f"), "ok"),
    ("4294967295 runs of locals", func(b"", local_runs=u(MOST)), "Malformed"),
    ("locals of a type that is not there", func(b"", local_runs=b"\1\1\x63" + s(MOST)), "Invalid: unknown type"),
    ("br_table of 4294967295 labels", func(b"\x41\0\x0e" + u(MOST)), "LimitExceeded: br_table"),
    ("br_table of 65,520 labels that are not there", func(b"\x41\0\x0e" + u(65_520)), "Malformed"),
    ("select of 4294967295 types", func(b"\x1c" + u(MOST)), "LimitExceeded: select"),
    ("try_table of 4294967295 clauses", func(b"\x1f\x40" + u(MOST)), "LimitExceeded: try_table"),
    ("array.new_fixed of 4294967295", func(UNREACHABLE + b"\xfb\x08\1" + u(MOST) + b"\x1a", [NOTHING, b"\x5e\x7f\0"]), "LimitExceeded: array.new_fixed"),
    ("label 4294967295", func(b"\x0c" + u(MOST)), "Invalid: unknown label"),
    ("local 4294967295", func(b"\x20" + u(MOST)), "Invalid: unknown local"),
    ("function 4294967295", func(b"\x10" + u(MOST)), "Invalid: unknown function"),
    ("type 4294967295 of a block", func(b"\x02" + s(MOST) + b"\x0b"), "Invalid: unknown type"),
    ("field 4294967295", func(UNREACHABLE + b"\xfb\2\1" + u(MOST), [NOTHING, b"\x5f\0"]), "Invalid: unknown field"),
    ("tag 4294967295", func(b"\x08" + u(MOST)), "Invalid: unknown tag"),
    ("memory 4294967295", func(UNREACHABLE + b"\x28\x42" + u(MOST) + b"\0\x1a"), "Invalid: unknown memory"),
    ("alignment 2^63", func(UNREACHABLE + b"\x28\x3f\0\x1a", before=section(5, b"\1\0\1")), "Invalid: alignment"),
    ("offset 2^64 - 1 into 32 bits", func(b"\x41\0\x28\0" + u(2**64 - 1) + b"\x1a", before=section(5, b"\1\0\1")), "Invalid|Malformed: offset"),
    ("offset of 11 bytes", func(b"\x41\0\x28\0" + b"\x80" * 10 + b"\0\x1a", before=section(5, b"\1\0\1")), "Malformed: too long"),
    ("opcode after 5 bytes of prefix", func(b"\xfb" + OVERLONG), "Malformed: integer representation too long"),
    ("opcode fb 4294967295", func(b"\xfb" + u(MOST)), "Malformed: illegal opcode"),
    ("opcode fd 4294967295", func(b"\xfd" + u(MOST)), "Malformed: illegal opcode"),
    ("no end", binary(section(1, vec([NOTHING])), section(3, b"\1\0"), section(10, b"\1\3\0\1\1")), "Malformed"),
    ("two ends", func(b"\x0b"), "Malformed"),
    ("else without if", func(b"\x05"), "Malformed|Invalid: else"),
    ("delegate without try", func(b"\x18\0"), "Malformed|Invalid"),
    ("catch without try", func(b"\x19"), "Malformed|Invalid"),
    ("an immediate beyond the body", binary(section(1, vec([NOTHING])), section(3, b"\1\0"), section(10, b"\1\3\0\x0e\x0b") + section(11, b"\0")), "Malformed"),
]
"""Name, binary, outcome."""

_INTEGERS: Final[list[tuple[str, bytes]]] = [
    ("count of locals", b""),
    ("i32.const", b"\x41"),
    ("local.get", b"\x20"),
    ("block type", b"\x02"),
    ("label", b"\x0c"),
    ("labels of a br_table", b"\x41\0\x0e"),
    ("label of a br_table", b"\x41\0\x0e\1"),
    ("type of a call_indirect", b"\x41\0\x11"),
    ("alignment", b"\x41\0\x28"),
    ("memory of an access", b"\x41\0\x28\x42"),
    ("catch clause's label", b"\x1f\x40\1\2"),
    ("struct.new", b"\xfb\0"),
    ("heap type", b"\xd0"),
    ("count of an array.new_fixed", b"\xfb\x08\0"),
    ("sub-opcode", b"\xfd"),
]


def _integer_rows() -> list[Row]:
    rows: list[Row] = []
    for name, head in _INTEGERS:
        for what, number, message in (("over-long", OVERLONG, "representation too long"), ("too large", TOO_LARGE, "too large")):
            data = func(head + number) if head else func(b"", local_runs=number)
            rows.append((f"{what} {name} in a body", partial(bytes, data), f"Malformed: integer {message}"))
    return rows


# Much of one thing. What is checked type by type has to be bounded by the size of the module, not by what it multiplies to


def subtyped_calls(n: int) -> bytes:
    """Calls that pass a thousand values on, each a subtype of what is wanted."""
    types = [NOTHING, *_PAIR, wide(SUPER, SUB)]
    return binary(
        section(1, vec(types)),
        section(2, vec([b"\0\0\0\3"])),
        section(3, vec([u(0)])),
        section(10, vec([_sized(b"\0" + b"\xd0\x71" * MANY + b"\x10\0" * n + b"\x1a" * MANY + b"\x0b")])),
    )


def _sized(content: bytes) -> bytes:
    return u(len(content)) + content


def table_of_blocks(depth: int, labels: int, kinds: int) -> bytes:
    """One branch to all of nested blocks with a thousand results, of types that differ.

    Args:
        depth: how many blocks.
        labels: how many labels, which go round the blocks.
        kinds: how many types the blocks have by turns.
    """
    results = [b"\x60\0" + u(MANY) + SUPER * (MANY - k) + SUB * k for k in range(kinds)]
    openers = b"".join(b"\x02" + s(3 + k % kinds) for k in range(depth))
    table = b"\x41\0\x0e" + u(labels) + b"".join(u(k % depth) for k in range(labels + 1))
    ends = (b"\x0b" + b"\0") * depth
    return func(openers + b"\xd0\x71" * MANY + table + ends, [NOTHING, *_PAIR, *results])


def tables_of_labels(n: int) -> bytes:
    """Branch tables of as many labels as there may be."""
    return func(b"\x02\x40" + (b"\x41\0\x0e" + u(65_520) + b"\0" * 65_521) * n + b"\x0b")


def dead(instr: bytes, n: int, types: list[bytes]) -> bytes:
    """Instructions with many operands where no code is reached."""
    return func(UNREACHABLE + instr * n, [NOTHING, *types])


def branches(opcode: bytes, n: int, value: bytes, given: bytes, wanted: bytes) -> bytes:
    """Branches that carry a thousand values on.

    Args:
        opcode: the branch.
        n: how many.
        value: puts a value on the stack.
        given: the type of what is on the stack.
        wanted: the type of the label.
    """
    types = [NOTHING, *_PAIR, wide(b"", wanted), wide(b"", given)]
    body = b"\x02\3\x02\4" + value * MANY + opcode * n + b"\x0b" + b"\x0b" + b"\x1a" * MANY
    return func(body, types)


def blocks_with_values(n: int) -> bytes:
    """Blocks, one after another, that take and give a thousand values."""
    return func(b"\x41\0" * MANY + b"\x02\1\x0b" * n + b"\x1a" * MANY, [NOTHING, wide(b"\x7f", b"\x7f")])


def nested_with_values(n: int) -> bytes:
    """Blocks in one another that take a thousand values each, and leave them."""
    openers = (b"\x41\0" * MANY + b"\x02\1") * n
    ends = b"\x0b" + (b"\x1a" * MANY + b"\x0b") * (n - 1) + b"\x1a" * MANY
    return func(openers + ends, [NOTHING, wide(b"\x7f", b"\x7f")])


def growing_stack(n: int) -> bytes:
    """Calls each of which pushes a thousand values."""
    return binary(
        section(1, vec([NOTHING, wide(b"", b"\x7f")])),
        section(2, vec([b"\0\0\0\1"])),
        section(3, vec([u(0)])),
        section(10, vec([_sized(b"\0" + b"\x10\0" * n + b"\0\x0b")])),
    )


def clauses(n: int) -> bytes:
    """A try_table with clauses whose tag has a thousand values, for a label that wants a thousand others."""
    types = [NOTHING, *_PAIR, wide(SUB, b""), wide(b"", SUPER)]
    catches = b"\x1f\x40" + u(n) + b"\0\0\0" * n
    return func(b"\x02\4" + catches + b"\x0b\0\x0b" + b"\x1a" * MANY, types, before=section(13, vec([b"\0\3"])))


def unset_locals(depth: int, count: int) -> bytes:
    """Nested blocks each of which sets a local that has no default, and locals of that kind."""
    body = b"".join(b"\x02\x40\x41\0\xfb\x1c\x21" + u(k % count) for k in range(depth)) + b"\x0b" * depth
    return func(body, local_runs=b"\1" + u(count) + b"\x64\x6c")


def many_funcs(n: int, local_runs: bytes, body: bytes = b"") -> bytes:
    """Functions that are all alike."""
    one = _sized(local_runs + body + b"\x0b")
    return binary(section(1, vec([NOTHING])), section(3, u(n) + b"\0" * n), section(10, u(n) + one * n))


def derived(n: int) -> bytes:
    """Casts along a chain of types as deep as it may be."""
    types = [NOTHING, b"\x50\0\x5f\0", *[b"\x50\1" + u(k) + b"\x5f\0" for k in range(1, 63)]]
    return func((b"\xd0\x3f\xfb\x16\1\xfb\x17\x3f\x1a") * n, types)


_MUCH: Final[list[Row]] = [
    ("100,000 nested blocks", lambda: nested(b"\x02\x40", 100_000), "ok"),
    ("100,000 nested loops", lambda: nested(b"\x03\x40", 100_000), "ok"),
    ("100,000 nested ifs", lambda: nested(b"\x41\0\x04\x40", 100_000), "ok"),
    ("100,000 nested try_tables", lambda: nested(b"\x1f\x40\1\2\0", 100_000), "ok"),
    ("100,000 nested legacy tries", lambda: nested(b"\x06\x40", 100_000), "ok"),
    ("1,000,000 nested blocks", lambda: nested(b"\x02\x40", 1_000_000), "ok"),
    ("1,000,000 nested blocks without end", lambda: func(b"\x02\x40" * 1_000_000), "Malformed"),
    ("500,000 branches out of 500,000 blocks", lambda: nested(b"\x02\x40", 500_000, b"\x41\0\x0d" + u(499_999)), "ok"),
    ("a body of 7.6 MB", lambda: func(b"\1" * (limits.MAX_BODY - 2)), "ok"),
    ("a body one byte longer", lambda: func(b"\1" * (limits.MAX_BODY - 1)), "LimitExceeded: body"),
    ("1,000,000 runs of no locals", lambda: func(b"", local_runs=u(1_000_000) + b"\0\x7f" * 1_000_000), "ok"),
    ("50,000 runs of one local", lambda: func(b"", local_runs=u(50_000) + b"\1\x7f\1\x7e" * 25_000), "ok"),
    ("30,000 functions of 50,000 locals", lambda: many_funcs(30_000, b"\1" + u(50_000) + b"\x7f"), "LimitExceeded|ok"),
    ("30,000 functions of 50,000 locals without default", lambda: many_funcs(30_000, b"\1" + u(50_000) + b"\x64\x6c"), "LimitExceeded|ok"),
    ("30,000 functions of 50,000 locals that set the last", lambda: many_funcs(30_000, b"\1" + u(50_000) + b"\x7f", b"\x41\0\x21" + u(49_999)), "LimitExceeded|ok"),
    ("blocks that set locals without default", lambda: unset_locals(50_000, 50_000), "LimitExceeded|ok"),
    ("blocks that set one local without default", lambda: unset_locals(200_000, 1), "ok"),
    ("calls with subtypes", lambda: subtyped_calls(1000), "ok"),
    ("100,000 calls with subtypes", lambda: subtyped_calls(100_000), "LimitExceeded"),
    ("br_table of 65,520 labels with a thousand values", lambda: table_of_blocks(1, 65_520, 1), "ok"),
    ("br_table of 500 labels of different types", lambda: table_of_blocks(500, 500, 500), "ok"),
    ("br_table of 65,520 labels of different types", lambda: table_of_blocks(900, 65_520, 900), "LimitExceeded|ok"),
    ("100 br_tables of 65,520 labels", lambda: tables_of_labels(100), "ok"),
    ("br_if with a thousand values", lambda: branches(b"\x41\0\x0d\0", 200_000, b"\x41\0", b"\x7f", b"\x7f"), "LimitExceeded|ok"),
    ("br_if with a thousand subtypes", lambda: branches(b"\x41\0\x0d\1", 100_000, b"\xd0\2", SUB, SUPER), "LimitExceeded: compares more types"),
    ("br_on_null with a thousand subtypes", lambda: branches(b"\xd0\2\xd5\1\x1a", 100_000, b"\xd0\2", SUB, SUPER), "LimitExceeded: compares more types"),
    ("br_on_cast with a thousand values", lambda: branches(b"\xfb\x18\3\1\1\2", 100_000, b"\xd0\2", SUB, SUPER), "LimitExceeded: compares more types"),
    ("blocks with a thousand values", lambda: blocks_with_values(1000), "ok"),
    ("300,000 blocks with a thousand values", lambda: blocks_with_values(300_000), "LimitExceeded|ok"),
    ("2,000 nested blocks with a thousand values each", lambda: nested_with_values(2000), "ok"),
    ("4,000,000 values on the stack", lambda: growing_stack(4000), "ok"),
    ("1,000,000,000 values on the stack", lambda: growing_stack(1_000_000), "LimitExceeded"),
    ("try_table of 65,520 clauses with a thousand values", lambda: clauses(65_520), "LimitExceeded"),
    ("100,000 unreached struct.new of 10,000 fields", lambda: dead(b"\xfb\0\1\x1a", 100_000, [b"\x5f" + u(10_000) + b"\x7f\0" * 10_000]), "LimitExceeded|ok"),
    ("100,000 unreached array.new_fixed of 10,000", lambda: dead(b"\xfb\x08\1" + u(10_000) + b"\x1a", 100_000, [b"\x5e\x7f\0"]), "LimitExceeded|ok"),
    ("100,000 unreached blocks with a thousand values", lambda: dead(b"\x02\1\x0b" + b"\0", 100_000, [wide(b"\x7f", b"\x7f")]), "LimitExceeded|ok"),
    ("100,000 unreached call_refs of a thousand values", lambda: dead(b"\x14\1\0", 100_000, [wide(b"\x7f", b"\x7f")]), "LimitExceeded|ok"),
    ("100,000 unreached return_call_refs of a thousand parameters", lambda: dead(b"\x15\1", 100_000, [wide(b"\x7f", b"")]), "LimitExceeded|ok"),
    ("300,000 unreached drops", lambda: dead(b"\x1a", 300_000, []), "ok"),
    ("300,000 unreached selects", lambda: dead(b"\x1b\x1a", 300_000, []), "ok"),
    ("casts along a deep chain", lambda: derived(100_000), "ok"),
    ("print: 100,000 nested blocks", lambda: nested(b"\x02\x40", 100_000), "ok"),
    ("print: 100,000 nested operands", lambda: func(b"\x41\0" + b"\x45" * 100_000 + b"\x1a"), "ok"),
    ("print: br_tables", lambda: tables_of_labels(30), "ok"),
    ("print: a long name for 50,000 calls", lambda: func(b"\x10\0" * 50_000, after=section(0, b"\4name\1" + _sized(b"\1\0" + _sized(b"x" * 10**6)))), "ok"),
    ("print: 10 MB of data", lambda: func(b"", after=section(11, b"\1\1" + _sized(b"\0\xff\"a" * 2_500_000))), "ok"),
    ("print: 50,000 locals of one name", lambda: func(b"", local_runs=b"\1" + u(50_000) + b"\x7f", after=_local_names(50_000)), "ok"),
    ("print: folded operands a thousand long", lambda: func((b"\x41\0" * 1000 + b"\x6a" * 999 + b"\x1a") * 60), "ok"),
]  # fmt: skip


def _local_names(n: int) -> bytes:
    named = u(n) + b"".join(u(k) + b"\1a" for k in range(n))
    return section(0, b"\4name\2" + _sized(b"\1\0" + named))


TABLE: Final[list[Row]] = [
    *[(f"body: {name}", partial(bytes, data), outcome) for name, data, outcome in _RAW],
    *_integer_rows(),
    *_MUCH,
]
