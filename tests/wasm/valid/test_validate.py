"""Validation: the facts it finds, and tables of invalid modules and bodies with the message for each."""

from __future__ import annotations

import pytest

from figwasp.errors import Invalid, LimitExceeded, Malformed
from figwasp.features import ALL, DEFAULT, MVP
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.immediates import Immediate
from figwasp.wasm.syntax.types import EXTERNREF, F32, FUNCREF, I32, I64
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.valid.module import FuncFacts, validate, validate_func, validate_module
from tests.wasm.handmade import binary, code, entry, func_type, one_func, section, u, vec

Instr = str | tuple[str, Immediate]

VOID = ~0x40
INT = ~I32
LONG = ~I64
ONE: Instr = ("i32.const", 1)
ONE_LONG: Instr = ("i64.const", 1)
EMPTY_TYPE = section(1, vec([func_type()]))

# Around a body: tables 0 funcref and 1 externref, a memory, globals 0 i32 and 1 mutable i64, an element segment of
# each type, a data segment, and function 0 exported. Types: 1 (i32) -> i64, 2 () -> (i32, i64), 3 (i32) -> i32.
BEFORE = b"".join(
    (
        section(4, vec([b"\x70\0\1", b"\x6f\0\1"])),
        section(5, vec([b"\0\1"])),
        section(6, vec([b"\x7f\0\x41\0\x0b", b"\x7e\1\x42\0\x0b"])),
        section(7, vec([b"\1f\0\0"])),
        section(9, vec([b"\1\0\0", b"\5\x6f\0"])),
    )
)
DATA = section(11, vec([b"\1\0"]))
TYPES = [
    func_type(bytes((I32,)), bytes((I64,))),
    func_type(b"", bytes((I32, I64))),
    func_type(bytes((I32,)), bytes((I32,))),
]


def rich(*instrs: Instr, params: bytes = b"", results: bytes = b"", local_types: bytes = b"") -> bytes:
    """Encode the module around one body."""
    return one_func(code(*instrs), params, results, local_types, BEFORE, DATA, TYPES, section(12, u(1)))


def facts_of(data: bytes) -> FuncFacts:
    return validate(decode(data))[0]


def bits(*indices: int) -> int:
    return sum(1 << index for index in indices)


# Facts


def test_facts() -> None:
    instrs: list[Instr] = [
        ("block", VOID),
        ONE, ("local.set", 1),
        ("loop", VOID),
        ("local.get", 1), ("local.tee", 2), ("br_if", 0),
        ONE, ("if", VOID), "nop", "else", ONE_LONG, ("local.set", 0), "end",
        "end",
        ("block", VOID), "end",
        "end",
    ]  # fmt: skip
    module = decode(rich(*instrs, params=bytes((I64,)), local_types=bytes((I32, I32))))
    facts = validate_func(validate_module(module), 0)
    assert facts.locals == (I64, I32, I32)
    opened = sorted(facts.written)
    assert opened[0] == -1
    assert [module.data[offset] for offset in opened[1:]] == [0x02, 0x03, 0x04, 0x02]
    assert [facts.written[offset] for offset in opened] == [bits(0, 1, 2), bits(0, 1, 2), bits(0, 2), bits(0), 0]
    assert facts.num_ops == len(instrs) + 1
    assert not facts.uses_memory


@pytest.mark.parametrize(
    ("instrs", "calls", "memory"),
    [
        ((("call", 0), ("call", 0)), [0, 0], False),
        ((("call", 0), ("return_call", 0)), [0, 0], False),
        ((ONE, ("call_indirect", (2, 0)), "drop", "drop"), [], False),
        ((("memory.size", 0), "drop"), [], True),
        ((ONE, ("i32.load8_u", (0, 0, 0)), "drop"), [], True),
        ((ONE, ONE, ("i32.store", (2, 0, 0))), [], True),
        ((ONE, ONE, ONE, ("memory.copy", (0, 0))), [], True),
        ((ONE, ONE, ONE, ("memory.fill", 0)), [], True),
        ((ONE, ONE, ONE, ("memory.init", (0, 0))), [], True),
        ((ONE, ("table.get", 0), "drop"), [], False),
    ],
)
def test_calls_and_memory(instrs: tuple[Instr, ...], calls: list[int], memory: bool) -> None:
    facts = validate_func(validate_module(decode(rich(*instrs))), 0)
    assert (facts.callees, facts.uses_memory) == (calls, memory)


def test_blocks_with_one_written_set_share_it() -> None:
    nested = code(*[("block", VOID)] * 30, ONE, ("local.set", 5000), *["end"] * 30)
    facts = facts_of(one_func(nested, local_types=bytes((I32,)) * 6000))
    assert len(facts.written) == 31
    assert len({id(written) for written in facts.written.values()}) == 1


def test_lazily_per_function() -> None:
    types = section(1, vec([func_type()]))
    bad = entry(code("i32.add") + b"\x0b")
    data = binary(types, section(3, vec([u(0)] * 2)), section(10, vec([entry(b"\x0b"), bad])))
    module = decode(data)
    context = validate_module(module)
    assert context.declared == set()
    assert validate_func(context, 0).num_ops == 1
    with pytest.raises(Invalid, match="type mismatch"):
        validate_func(context, 1)
    with pytest.raises(Invalid, match="type mismatch"):
        validate(decode(data))


def test_imported_functions_have_no_facts() -> None:
    types = section(1, vec([func_type()]))
    imports = section(2, vec([b"\1m\1f\0\0"]))
    module = decode(binary(types, imports, section(3, vec([u(0)])), section(10, vec([entry(b"\x10\0\x0b")]))))
    assert len(validate(module)) == 1
    assert validate_func(validate_module(module), 1).num_ops == 2


# Valid bodies

VALID: list[tuple[Instr, ...]] = [
    (ONE, ("block", 3), "end", "drop"),
    (("block", 2), ONE, ONE_LONG, "end", "drop", "drop"),
    (ONE, ("loop", 1), "drop", ONE_LONG, "end", "drop"),
    (ONE, ("loop", 3), ("br", 0), "end", "drop"),
    (ONE, ONE, ("if", 3), "nop", "end", "drop"),
    (ONE, ("if", INT), ONE, "else", "unreachable", "end", "drop"),
    (("block", INT), ONE, ONE, ("br_if", 0), "end", "drop"),
    (("block", 2), ONE, ONE_LONG, ONE, ("br_if", 0), "drop", "drop", ONE, ONE_LONG, ("br", 0), "end", "drop", "drop"),
    (("block", VOID), ONE, ("br_table", (0, 1, 0)), "end"),
    ("unreachable", "i32.add", "drop"),
    ("unreachable", "select", "drop"),
    ("unreachable", "select", "i64.eqz", "drop"),
    ("unreachable", ONE, "select", "i32.eqz", "drop"),
    ("unreachable", ONE_LONG, ONE, "select", "i64.eqz", "drop"),
    ("unreachable", ("local.set", 0)),
    ("unreachable", ("local.tee", 0), "drop"),
    ("unreachable", ("br_if", 0)),
    ("unreachable", ("br_table", (0, 0))),
    ("unreachable", "drop", "drop"),
    ("unreachable", ("i64.store", (3, 0, 0))),
    ("unreachable", ("call", 0)),
    ("unreachable", "ref.is_null", "drop"),
    ("unreachable", "select", "ref.is_null", "drop"),
    ("unreachable", ("block", 1), "drop", ONE_LONG, "end", "i64.eqz", "drop"),
    (("block", VOID), ("block", INT), "unreachable", ("br_table", (0, 0)), "end", "drop", "end"),
    ("return", "i64.add", "drop"),
    (("br", 0), ("f32.const", 0), "f32.abs", "drop"),
    (("ref.null", FUNCREF), "ref.is_null", "drop"),
    (("ref.func", 0), ("ref.null", FUNCREF), ONE, ("select_t", (FUNCREF,)), "drop"),
    (ONE, ("ref.null", EXTERNREF), ("table.set", 1)),
    (("ref.null", EXTERNREF), ONE, ("table.grow", 1), "drop", ("table.size", 1), "drop"),
    (ONE, ("ref.func", 0), ONE, ("table.fill", 0)),
    (ONE, ONE, ONE, ("table.init", (1, 1)), ("elem.drop", 1), ("data.drop", 0)),
    (ONE, ONE, ONE, ("table.copy", (0, 0))),
    (ONE_LONG, ("global.set", 1), ("global.get", 0), "drop"),
    (("f64.const", 0), "i32.trunc_sat_f64_u", "i32.extend8_s", "drop"),
    (("i32.const", -(2**31)), ("i64.load32_u", (2, 2**32 - 1, 0)), "drop"),
    (("i64.const", 2**62), "drop", ("i32.const", 8191), "drop", ("i32.const", 2**20), "drop"),
]  # fmt: skip


@pytest.mark.parametrize("instrs", VALID, ids=str)
def test_valid(instrs: tuple[Instr, ...]) -> None:
    assert facts_of(rich(*instrs, local_types=bytes((I32,)))).num_ops == len(instrs) + 1


# Invalid bodies: instructions, message, instruction it names

INVALID: list[tuple[tuple[Instr, ...], str]] = [
    (("i32.add",), "type mismatch: expected [i32 i32], found [] (at i32.add)"),
    ((ONE, "i32.add"), "type mismatch: expected [i32 i32], found [i32] (at i32.add)"),
    ((ONE, ONE_LONG, "i32.add"), "type mismatch: expected [i32 i32], found [i32 i64] (at i32.add)"),
    ((ONE_LONG, "i32.eqz"), "type mismatch: expected [i32], found [i64] (at i32.eqz)"),
    ((ONE,), "type mismatch: expected [], found [i32] (at end)"),
    ((ONE, ("block", VOID), "drop", "end"), "type mismatch: expected an operand, found [] (at drop)"),
    ((ONE, ("block", VOID), "i32.eqz", "end"), "type mismatch: expected [i32], found [] (at i32.eqz)"),
    ((ONE, ("block", INT), "end", "drop"), "type mismatch: expected [i32], found [] (at end)"),
    ((("block", INT), ONE_LONG, "end", "drop"), "type mismatch: expected [i32], found [i64] (at end)"),
    ((("block", INT), ONE, ONE, "end"), "type mismatch: expected [i32], found [i32 i32] (at end)"),
    ((("block", INT), ONE, ONE, "else", "end"), "unexpected else"),
    ((("loop", 3), "end"), "type mismatch: expected [i32], found [] (at loop)"),
    ((ONE, ("loop", 1), ("br", 0), ONE, "end"), "type mismatch: expected [i64], found [i32] (at end)"),
    ((ONE, ("if", INT), ONE, "end", "drop"), "type mismatch: if without else must give back [] (at end)"),
    ((ONE, ("if", INT), "else", ONE, "end"), "type mismatch: expected [i32], found [] (at else)"),
    ((ONE, ("if", INT), ONE, "else", "end"), "type mismatch: expected [i32], found [] (at end)"),
    ((ONE_LONG, ("if", VOID), "end"), "type mismatch: expected [i32], found [i64] (at if)"),
    ((("block", 9), "end"), "unknown type 9 (at block)"),
    ((("br", 1),), "unknown label 1 (at br)"),
    ((ONE, ("br_if", 200)), "unknown label 200 (at br_if)"),
    ((ONE, ("br_table", (0, 5, 0))), "unknown label 5 (at br_table)"),
    ((("block", INT), ONE, ("br_table", (1, 0)), "end"), "type mismatch: labels take [] and [i32] (at br_table)"),
    ((("block", INT), ONE_LONG, ONE, ("br_table", (0,)), "end"), "expected [i32], found [i64] (at br_table)"),
    ((("block", INT), ("block", LONG), ONE, ONE, ("br_table", (1, 0)), "end", "end"), "(at br_table)"),
    ((("block", INT), ("br_if", 0), "end"), "type mismatch: expected [i32], found [] (at br_if)"),
    ((("block", INT), ONE_LONG, ("br", 0), "end"), "type mismatch: expected [i32], found [i64] (at br)"),
    ((("local.get", 1),), "unknown local 1 (at local.get)"),
    ((("local.get", 300),), "unknown local 300 (at local.get)"),
    ((ONE, ("local.set", 1)), "unknown local 1 (at local.set)"),
    ((ONE_LONG, ("local.set", 0)), "type mismatch: expected [i32], found [i64] (at local.set)"),
    ((ONE_LONG, ("local.tee", 0)), "type mismatch: expected [i32], found [i64] (at local.tee)"),
    ((("global.get", 2),), "unknown global 2 (at global.get)"),
    ((ONE, ("global.set", 7)), "unknown global 7 (at global.set)"),
    ((ONE, ("global.set", 0)), "immutable global 0 (at global.set)"),
    ((ONE, ("global.set", 1)), "type mismatch: expected [i64], found [i32] (at global.set)"),
    ((("call", 1),), "unknown function 1 (at call)"),
    ((ONE, ("call_indirect", (8, 0))), "unknown type 8 (at call_indirect)"),
    ((ONE, ("call_indirect", (0, 3))), "unknown table 3 (at call_indirect)"),
    ((ONE, ("call_indirect", (0, 1))), "expected a table of funcref, found table 1 externref (at call_indirect)"),
    ((ONE, ("call_indirect", (1, 0))), "type mismatch: expected [i32], found [] (at call_indirect)"),
    ((ONE, ("i32.load", (3, 0, 0)), "drop"), "alignment must not be larger than natural: 2**3 > 2**2 (at i32.load)"),
    ((ONE, ("i32.load", (2, 1 << 32, 0)), "drop"), "offset out of range: 0x100000000 (at i32.load)"),
    ((ONE, ("i64.load8_u", (1, 0, 0)), "drop"), "alignment must not be larger than natural: 2**1 > 2**0"),
    ((ONE, ("f64.load", (31, 0, 0)), "drop"), "alignment must not be larger than natural: 2**31 > 2**3"),
    ((ONE_LONG, ("i32.load", (2, 0, 0)), "drop"), "type mismatch: expected [i32], found [i64] (at i32.load)"),
    ((ONE, ONE_LONG, ("i32.store", (2, 0, 0))), "type mismatch: expected [i32 i32], found [i32 i64] (at i32.store)"),
    ((ONE, ("f32.const", 0), ("f32.store", (3, 0, 0))), "alignment must not be larger than natural"),
    ((("memory.size", 1), "drop"), "unknown memory 1 (at memory.size)"),
    ((ONE, ONE, ONE, ("memory.init", (1, 0))), "unknown data segment 1 (at memory.init)"),
    ((("data.drop", 5),), "unknown data segment 5 (at data.drop)"),
    ((("elem.drop", 5),), "unknown elem segment 5 (at elem.drop)"),
    ((ONE, ONE, ONE, ("table.init", (0, 7))), "unknown table 7 (at table.init)"),
    ((ONE, ONE, ONE, ("table.init", (1, 0))), "a table of funcref cannot take externref (at table.init)"),
    ((ONE, ONE, ONE, ("table.copy", (1, 0))), "a table of externref cannot take funcref (at table.copy)"),
    ((ONE, ONE, ("memory.fill", 0)), "type mismatch: expected [i32 i32 i32], found [i32 i32] (at memory.fill)"),
    ((ONE, ("ref.null", FUNCREF), ("table.set", 1)), "expected [i32 externref], found [i32 funcref] (at table.set)"),
    ((ONE, ("table.get", 1), "i32.eqz"), "expected [i32], found [externref] (at i32.eqz)"),
    ((("ref.func", 3),), "unknown function 3 (at ref.func)"),
    ((ONE, "ref.is_null"), "type mismatch: expected a reference, found i32 (at ref.is_null)"),
    ((("ref.func", 0), ("ref.func", 0), ONE, "select"), "select without a type cannot choose (ref 0) (at select)"),
    ((ONE, ONE_LONG, ONE, "select"), "type mismatch: expected two operands of one type, found [i32 i64] (at select)"),
    ((ONE, ONE, "select"), "type mismatch: expected an operand, found [] (at select)"),
    ((ONE, ONE, ONE_LONG, "select"), "type mismatch: expected [i32], found [i32 i32 i64] (at select)"),
    ((ONE, ONE, ONE, ("select_t", ())), "invalid result arity: 0 types (at select)"),
    ((ONE, ONE, ONE, ("select_t", (I32, I32))), "invalid result arity: 2 types (at select)"),
    ((ONE, ONE, ONE, ("select_t", (F32,))), "type mismatch: expected [f32 f32 i32], found [i32 i32 i32]"),
    (("unreachable", ONE_LONG, "i32.add"), "type mismatch: expected [i32 i32], found [i64] (at i32.add)"),
    (("unreachable", ONE), "type mismatch: expected [], found [i32] (at end)"),
    (("unreachable", ("block", VOID), "drop", "end"), "type mismatch: expected an operand, found [] (at drop)"),
    (("unreachable", ONE, "select", ONE_LONG, "i32.add"), "type mismatch: expected [i32 i32], found [any i64]"),
    (("unreachable", "select", "end", "drop"), "type mismatch: expected [], found [any] (at end)"),
    (("unreachable", ("local.get", 9)), "unknown local 9 (at local.get)"),
    (("return", ONE, ("br_if", 3)), "unknown label 3 (at br_if)"),
    ((("block", INT), ("block", VOID), "unreachable", ("br_table", (0, 1)), "end", "end"), "labels take"),
]  # fmt: skip


@pytest.mark.parametrize(("instrs", "message"), INVALID, ids=[row[1] for row in INVALID])
def test_invalid(instrs: tuple[Instr, ...], message: str) -> None:
    data = rich(*instrs, local_types=bytes((I32,)))
    with pytest.raises((Invalid, Malformed)) as caught:
        validate(decode(data))
    text = str(caught.value)
    assert message in text
    assert "at byte offset 0x" in text
    if isinstance(caught.value, Invalid):
        assert "in function 0 (f)" in text
        assert caught.value.func == 0
        assert caught.value.offset is not None


def test_the_offset_is_that_of_the_instruction() -> None:
    data = rich(ONE, ONE_LONG, "i32.add", "drop")
    with pytest.raises(Invalid) as caught:
        validate(decode(data))
    assert caught.value.offset is not None
    assert data[caught.value.offset] == 0x6A


def test_a_function_must_be_declared_for_ref_func() -> None:
    body = code(("ref.func", 0), "drop")
    with pytest.raises(Invalid, match="undeclared function reference: 0"):
        validate(decode(one_func(body)))
    declaring = (
        section(6, vec([b"\x70\0\xd2\0\x0b"])),
        section(7, vec([b"\0\0\0"])),
        section(9, vec([b"\3\0" + vec([u(0)])])),
        section(9, vec([b"\5\x70" + vec([b"\xd2\0\x0b"])])),
    )
    for before in declaring:
        module = decode(one_func(body, before=before))
        validate(module)
        assert validate_module(module).declared == {0}


# Malformed bodies

MALFORMED = [
    (b"", "unexpected end of function body: END opcode expected"),
    (b"\x01\x01", "END opcode expected"),
    (b"\x02\x40\x0b", "END opcode expected"),
    (b"\x41", "unexpected end"),
    (b"\x41\x80", "unexpected end"),
    (b"\x43\0\0", "unexpected end"),
    (b"\x20", "unexpected end"),
    (b"\x28\0", "unexpected end"),
    (b"\xfc", "unexpected end"),
    (b"\x0b\x0b", "function body goes on after its end"),
    (b"\x0b\x01", "function body goes on after its end"),
    (b"\x05\x0b", "unexpected else"),
    (b"\x02\x40\x05\x0b\x0b", "unexpected else"),
    (b"\x41\0\x04\x40\x05\x05\x0b\x0b", "unexpected else"),
    (b"\x06\x40\x0b\x0b", "illegal opcode 06: try needs legacy-exceptions, which is off"),
    (b"\x27\x0b", "illegal opcode 27"),
    (b"\xff\x0b", "illegal opcode ff"),
    (b"\xfd\x9a\1\x0b", "illegal opcode fd 9a"),
    (b"\xfb\x1f\x0b", "illegal opcode fb 1f"),
    (b"\xfe\0\0\0\x0b", "illegal opcode fe 00: memory.atomic.notify needs threads, which is off"),
    (b"\xfc\x13\x0b", "illegal opcode fc 13: i64.add128 needs wide-arithmetic, which is off"),
    (b"\x1f\x40\1\4\0\x0b\x0b", "malformed catch clause 0x04"),
    (b"\x1f\x40\1\0", "unexpected end"),
    (b"\xfb\x18\4\0\x6e\x6e\x0b", "malformed br_on_cast flags 0x04"),
    (b"\xfd\x0c\0\0", "unexpected end"),
    (b"\xfd", "unexpected end"),
    (b"\xfd\x15", "unexpected end"),
    (b"\xfc\x12\x0b", "illegal opcode fc 12"),
    (b"\xfc\x80\x80\x80\x80\x80\0\x0b", "integer representation too long"),
    (b"\x02\x60\x0b\x0b", "malformed value type 0x60"),
    (b"\x02\xff\x7f\x0b\x0b", "malformed value type 0xff"),
    (b"\x02\x80\x80\x80\x80\x80\x01\x0b", "integer representation too long"),
    (b"\x41\xff\xff\xff\xff\x0f\x1a\x0b", "integer too large"),
    (b"\x41\x80\x80\x80\x80\x80\x00\x1a\x0b", "integer representation too long"),
    (b"\x42\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x1a\x0b", "integer too large"),
    (b"\x20\x80\x80\x80\x80\x10\x1a\x0b", "integer too large"),
    (b"\x41\0\x28\x02" + b"\x80" * 9 + b"\x10\x1a\x0b", "integer too large"),
    (b"\x41\0\x28\x80\x01\0\x1a\x0b", "malformed memop flags"),
    (b"\xd0\x7f\x1a\x0b", "malformed heap type 0x7f"),
    (b"\x1c\1\x40\x0b", "malformed value type 0x40"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "message"), MALFORMED, ids=[row[0].hex() for row in MALFORMED])
@pytest.mark.parametrize("last", [True, False])
def test_malformed_body(body: bytes, message: str, last: bool) -> None:
    entries = [entry(body)] if last else [entry(body), entry(b"\x41\x80\x80\x80\x80\x00\x1a\x0b")]
    after = b"" if last else section(0, b"\1x")
    data = binary(
        section(1, vec([func_type()])),
        section(3, vec([u(0)] * len(entries))),
        section(5, vec([b"\0\1"])),
        section(10, vec(entries)),
        after,
    )
    with pytest.raises(Malformed) as caught:
        validate(decode(data))
    assert message in str(caught.value)
    assert caught.value.offset is not None
    start = decode(data).bodies[0].start
    assert start <= caught.value.offset <= start + len(body) + 1


def test_a_body_that_ends_with_the_binary() -> None:
    with pytest.raises(Malformed, match="unexpected end"):
        validate(decode(binary(EMPTY_TYPE, section(3, vec([u(0)])), section(10, vec([entry(b"\x1c\5\x7f")])))))


@pytest.mark.parametrize(
    ("locals_", "error", "message"),
    [
        (b"", Malformed, "unexpected end"),
        (b"\1\1", Malformed, "unexpected end"),
        (b"\1\1\x40\x0b", Malformed, "malformed value type 0x40"),
        (b"\1\1\x78\x0b", Malformed, "malformed value type 0x78"),
        (b"\1\1\x64\1\x0b", Invalid, "unknown type 1: local"),
        (b"\1\1\x64", Malformed, "unexpected end"),
        (b"\1\xff\xff\xff\xff\x1f\x7f\x0b", Malformed, "integer too large"),
        (b"\2\xff\xff\xff\xff\x0f\x7f\2\x7e\x0b", Malformed, "too many locals"),
        (b"\1" + u(50_001) + b"\x7f\x0b", LimitExceeded, "50001 locals"),
        (b"\2" + u(50_000) + b"\x7f" + b"\1\x7e\x0b", LimitExceeded, "50001 locals"),
        (b"\xff\xff\xff\xff\x0f", Malformed, "unexpected end"),
    ],
)
def test_locals(locals_: bytes, error: type[Exception], message: str) -> None:
    content = section(10, vec([u(len(locals_)) + locals_]))
    with pytest.raises(error, match=message):
        validate(decode(binary(section(1, vec([func_type()])), section(3, vec([u(0)])), content)))


def test_the_data_count_is_needed() -> None:
    body = code(ONE, ONE, ONE, ("memory.init", (0, 0)))
    with pytest.raises(Malformed, match="data count section required"):
        validate(decode(one_func(body, before=section(5, vec([b"\0\1"])), after=DATA)))
    with pytest.raises(Malformed, match="data count section required"):
        validate(decode(one_func(code(("data.drop", 0)), after=DATA)))


@pytest.mark.parametrize(
    ("instrs", "message"),
    [
        (("i32.extend8_s",), "i32.extend8_s needs sign-extension, which is off"),
        (("i32.trunc_sat_f32_s",), "i32.trunc_sat_f32_s needs saturating-truncation, which is off"),
        ((("memory.fill", 0),), "memory.fill needs bulk-memory, which is off"),
        ((("ref.null", FUNCREF),), "ref.null needs reference-types, which is off"),
        ((("block", ~FUNCREF), "end"), "malformed type funcref: it needs reference-types, which is off"),
        ((("block", 0), "end"), "malformed block type 0: it needs multi-value, which is off"),
    ],
)
def test_a_proposal_that_is_off_is_malformed(instrs: tuple[Instr, ...], message: str) -> None:
    with pytest.raises(Malformed, match=message):
        validate(decode(one_func(code(*instrs)), MVP))


@pytest.mark.parametrize(
    ("body", "proposal", "byte"),
    [
        ("(drop (i32.extend8_s (i32.const 0)))", "sign-extension", 0xC0),
        ("(block (result v128) unreachable) drop", "simd", 0x7B),
        ("(local v128)", "simd", 0x7B),
        ("(drop (ref.null any))", "gc", 0xD0),
        ("(i32.const 0) (block (param i32) drop)", "multi-value", 0x01),
    ],
)
def test_what_is_off_in_a_body_names_the_function(body: str, proposal: str, byte: int) -> None:
    data = wat(f"(module (func) (func $f {body}))")
    with pytest.raises(Malformed, match=f"needs {proposal}, which is off .*--enable {proposal}.* in function 1 .f. ") as caught:
        validate(decode(data, ALL.excluding(proposal)))
    assert caught.value.func == 1
    assert caught.value.offset is not None and data[caught.value.offset] == byte


@pytest.mark.parametrize("memarg", [b"\x28\x42\0\0", b"\x28\x42\1\0", b"\x36\x42\0\0", b"\xfd\0\x42\0\0", b"\xfd\x54\x40\0\0\0"])
def test_memory_indices_that_are_off(memarg: bytes) -> None:
    data = one_func(b"\0" + memarg + b"\0", before=section(5, vec([b"\0\1", b"\0\1"])))
    validate(decode(data))
    data = one_func(b"\0" + memarg + b"\0", before=section(5, vec([b"\0\1"])))
    with pytest.raises(Malformed, match="a memory index needs multi-memory, which is off"):
        validate(decode(data, DEFAULT.excluding("multi-memory")))


def test_no_memory() -> None:
    for instrs in (
        (ONE, ("i32.load", (2, 0, 0)), "drop"),
        (ONE, ONE, ("i32.store", (2, 0, 0))),
        (("memory.size", 0), "drop"),
        (ONE, ("memory.grow", 0), "drop"),
    ):
        with pytest.raises(Invalid, match="unknown memory 0"):
            validate(decode(one_func(code(*instrs))))
