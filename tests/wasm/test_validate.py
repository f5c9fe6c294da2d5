"""Validation: the facts it finds, and tables of invalid modules and bodies with the message for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.errors import Invalid, LimitExceeded, Malformed
from figwasp.features import ALL, MVP
from figwasp.wasm import leb128
from figwasp.wasm.decode import decode
from figwasp.wasm.immediates import READERS, Immediate
from figwasp.wasm.module import Module
from figwasp.wasm.opcodes import BY_CODE, PREFIXES, pack
from figwasp.wasm.types import EXTERNREF, F32, FUNCREF, I32, I64
from figwasp.wasm.validate import FuncFacts, validate, validate_func, validate_module
from tests.wasm.binary import binary, code, entry, func_type, one_func, section, u, vec

Instr = str | tuple[str, Immediate]

VOID = -0x40
INT = I32 - 0x80
LONG = I64 - 0x80
ONE: Instr = ("i32.const", 1)
ONE_LONG: Instr = ("i64.const", 1)

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
    facts = validate_func(module, 0)
    assert facts.locals == bytes((I64, I32, I32))
    opened = sorted(facts.written)
    assert opened[0] == -1
    assert [module.data[offset] for offset in opened[1:]] == [0x02, 0x03, 0x04, 0x02]
    assert [facts.written[offset] for offset in opened] == [bits(0, 1, 2), bits(0, 1, 2), bits(0, 2), bits(0), 0]
    assert facts.num_ops == len(instrs) + 1
    assert (facts.has_loops, facts.has_calls, facts.uses_memory) == (True, False, False)


@pytest.mark.parametrize(
    ("instrs", "calls", "memory"),
    [
        ((("call", 0),), True, False),
        ((ONE, ("call_indirect", (2, 0)), "drop", "drop"), True, False),
        ((("memory.size", 0), "drop"), False, True),
        ((ONE, ("i32.load8_u", (0, 0, 0)), "drop"), False, True),
        ((ONE, ONE, ("i32.store", (2, 0, 0))), False, True),
        ((ONE, ONE, ONE, ("memory.copy", (0, 0))), False, True),
        ((ONE, ONE, ONE, ("memory.fill", 0)), False, True),
        ((ONE, ONE, ONE, ("memory.init", (0, 0))), False, True),
        ((ONE, ("table.get", 0), "drop"), False, False),
    ],
)
def test_calls_and_memory(instrs: tuple[Instr, ...], calls: bool, memory: bool) -> None:
    facts = facts_of(rich(*instrs))
    assert (facts.has_calls, facts.uses_memory) == (calls, memory)


def test_max_stack_is_a_bound() -> None:
    instrs: list[Instr] = [ONE] * 50 + ["i32.add"] * 49 + ["drop", ("call", 0)]
    assert 50 <= facts_of(rich(*instrs)).max_stack <= 60


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
    validate_module(module)
    assert module.declared == set()
    assert validate_func(module, 0).num_ops == 1
    with pytest.raises(Invalid, match="type mismatch"):
        validate_func(module, 1)
    with pytest.raises(Invalid, match="type mismatch"):
        validate(decode(data))


def test_imported_functions_have_no_facts() -> None:
    types = section(1, vec([func_type()]))
    imports = section(2, vec([b"\1m\1f\0\0"]))
    module = decode(binary(types, imports, section(3, vec([u(0)])), section(10, vec([entry(b"\x10\0\x0b")]))))
    assert len(validate(module)) == 1
    assert validate_func(module, 1).num_ops == 2


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
    (("ref.func", 0), ("ref.null", FUNCREF), ONE, ("select_t", bytes((FUNCREF,))), "drop"),
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
    ((ONE, ("global.set", 0)), "global is immutable: 0 (at global.set)"),
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
    ((("ref.func", 0), ("ref.func", 0), ONE, "select"), "select without a type cannot choose funcref (at select)"),
    ((ONE, ONE_LONG, ONE, "select"), "type mismatch: expected two operands of one type, found [i32 i64] (at select)"),
    ((ONE, ONE, "select"), "type mismatch: expected an operand, found [] (at select)"),
    ((ONE, ONE, ONE_LONG, "select"), "type mismatch: expected [i32], found [i32 i32 i64] (at select)"),
    ((ONE, ONE, ONE, ("select_t", b"")), "invalid result arity: 0 types (at select)"),
    ((ONE, ONE, ONE, ("select_t", bytes((I32, I32)))), "invalid result arity: 2 types (at select)"),
    ((ONE, ONE, ONE, ("select_t", bytes((F32,)))), "type mismatch: expected [f32 f32 i32], found [i32 i32 i32]"),
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
        assert module.declared == {0}


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
    (b"\x06\x40\x0b\x0b", "illegal opcode 06: no support for exception handling yet"),
    (b"\x12\0\x0b", "illegal opcode 12: no support for tail calls yet"),
    (b"\x27\x0b", "illegal opcode 27"),
    (b"\xff\x0b", "illegal opcode ff"),
    (b"\xfd\x0c" + b"\0" * 16 + b"\x0b", "illegal opcode fd 0c: no support for SIMD yet"),
    (b"\xfb\0\0\x0b", "illegal opcode fb 00: no support for garbage collection yet"),
    (b"\xfc\x12\x0b", "illegal opcode fc 12"),
    (b"\xfc\x80\x80\x80\x80\x80\0\x0b", "integer representation too long"),
    (b"\x02\x7b\x0b\x0b", "malformed block type 0x7b: no support for SIMD yet"),
    (b"\x02\x60\x0b\x0b", "malformed block type 0x60"),
    (b"\x02\xff\x7f\x0b\x0b", "malformed block type 0xff"),
    (b"\x02\x80\x80\x80\x80\x80\x01\x0b", "integer representation too long"),
    (b"\x41\xff\xff\xff\xff\x0f\x1a\x0b", "integer too large"),
    (b"\x41\x80\x80\x80\x80\x80\x00\x1a\x0b", "integer representation too long"),
    (b"\x42\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x1a\x0b", "integer too large"),
    (b"\x20\x80\x80\x80\x80\x10\x1a\x0b", "integer too large"),
    (b"\x41\0\x28\x02" + b"\x80" * 9 + b"\x10\x1a\x0b", "integer too large"),
    (b"\x41\0\x28\x42\0\0\x1a\x0b", "malformed memop flags: no support for multi-memory yet"),
    (b"\x41\0\x28\x80\x01\0\x1a\x0b", "malformed memop flags"),
    (b"\xd0\x7f\x1a\x0b", "malformed reference type 0x7f"),
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
        (b"\1\1\x7b\x0b", Malformed, "malformed value type 0x7b: no support for SIMD yet"),
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
        ((("block", FUNCREF - 0x80), "end"), "malformed block type 0x70"),
        ((("block", 0), "end"), "malformed block type 0x00"),
    ],
)
def test_a_proposal_that_is_off_is_malformed(instrs: tuple[Instr, ...], message: str) -> None:
    with pytest.raises(Malformed, match=message):
        validate(decode(one_func(code(*instrs)), MVP))


def test_no_memory() -> None:
    for instrs in (
        (ONE, ("i32.load", (2, 0, 0)), "drop"),
        (ONE, ONE, ("i32.store", (2, 0, 0))),
        (("memory.size", 0), "drop"),
        (ONE, ("memory.grow", 0), "drop"),
    ):
        with pytest.raises(Invalid, match="unknown memory 0"):
            validate(decode(one_func(code(*instrs))))


# Modules

EMPTY_TYPE = section(1, vec([func_type()]))
ZERO = b"\x41\0\x0b"

INVALID_MODULES = [
    (section(2, b"\1\0\0\0\0"), "unknown type 0"),
    (section(3, vec([u(7)])) + section(10, vec([entry(b"\x0b")])), "unknown type 7"),
    (section(4, b"\1\x70\1\2\1"), "size minimum must not be greater than maximum: table 0, 2 1"),
    (section(5, b"\1\1\2\1"), "size minimum must not be greater than maximum: memory 0, 2 1"),
    (section(4, b"\1\x70\0" + u(1 << 32)), "table size must be at most 2^32-1 elements"),
    (section(5, b"\1\0" + u(1 << 32)), "memory size must be at most 65536 pages (4GiB)"),
    (section(5, b"\1\0" + u(65537)), "memory size must be at most 65536 pages (4GiB)"),
    (section(5, b"\1\1\0" + u(65537)), "memory size must be at most 65536 pages (4GiB)"),
    (section(5, b"\2\0\0\0\0"), "multiple memories"),
    (section(2, b"\1\0\0\2\0\0") + section(5, b"\1\0\0"), "multiple memories"),
    (section(6, b"\1\x7f\0\x0b"), "type mismatch: expected [i32], found []: global 0"),
    (section(6, b"\1\x7f\0\x42\0\x0b"), "type mismatch: expected [i32], found [i64]: global 0"),
    (section(6, b"\1\x7f\0\x41\0\x41\0\x0b"), "type mismatch: expected [i32], found [i32 i32]"),
    (section(6, b"\1\x6f\0\xd0\x70\x0b"), "type mismatch: expected [externref], found [funcref]"),
    (section(6, b"\1\x7f\0\x41\0\x41\0\x6a\x0b"), "constant expression required: i32.add in global 0"),
    (section(6, b"\1\x7f\0\x02\x7f\x41\0\x0b\x0b"), "constant expression required: block in global 0"),
    (section(6, b"\1\x7f\0\x01\x41\0\x0b"), "constant expression required: nop in global 0"),
    (section(6, b"\1\x7f\0\x23\0\x0b"), "unknown global 0: global 0"),
    (section(6, b"\2\x7f\0" + ZERO + b"\x7f\0\x23\0\x0b"), "unknown global 0: global 1"),
    (section(6, b"\1\x70\0\xd2\0\x0b"), "unknown function 0: global 0"),
    (section(2, b"\1\0\0\3\x7f\1") + section(6, b"\1\x7f\0\x23\0\x0b"), "constant expression required: global 0 is mu"),
    (section(7, b"\1\1f\0\0"), "unknown function 0: export 'f'"),
    (section(7, b"\1\1t\1\0"), "unknown table 0: export 't'"),
    (section(7, b"\1\1m\2\0"), "unknown memory 0: export 'm'"),
    (section(7, b"\1\1g\3\0"), "unknown global 0: export 'g'"),
    (section(5, b"\1\0\0") + section(7, b"\2\1m\2\0\1m\2\0"), "duplicate export name 'm'"),
    (section(8, u(0)), "unknown function 0: start"),
    (section(9, b"\1\0" + ZERO + b"\0"), "unknown table 0: element segment 0"),
    (section(4, b"\1\x70\0\0") + section(9, b"\1\0" + ZERO + b"\1\3"), "unknown function 3: element segment 0"),
    (section(4, b"\1\x70\0\0") + section(9, b"\1\0\x42\0\x0b\0"), "expected [i32], found [i64]: element segment 0"),
    (section(4, b"\1\x6f\0\0") + section(9, b"\1\0" + ZERO + b"\0"), "element segment 0 of funcref for table 0 externref"),
    (section(9, b"\1\5\x70\1" + ZERO), "type mismatch: expected [funcref], found [i32]: element segment 0"),
    (section(9, b"\1\5\x70\1\xd0\x6f\x0b"), "type mismatch: expected [funcref], found [externref]: element segment 0"),
    (section(11, b"\1\0" + ZERO + b"\0"), "unknown memory 0: data segment 0"),
    (section(11, b"\1\2\1" + ZERO + b"\0"), "unknown memory 1: data segment 0"),
    (section(5, b"\1\0\0") + section(11, b"\1\0\x43\0\0\0\0\x0b\0"), "expected [i32], found [f32]: data segment 0"),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "message"), INVALID_MODULES, ids=[row[1] for row in INVALID_MODULES])
def test_invalid_module(sections: bytes, message: str) -> None:
    types = EMPTY_TYPE if sections[0] == 3 else b""
    with pytest.raises(Invalid) as caught:
        validate_module(decode(binary(types, sections)))
    assert message in str(caught.value)


def test_start_type() -> None:
    with pytest.raises(Invalid, match=r"start function must have type \(\) -> \(\), found \(i32\) -> \(\)"):
        validate_module(decode(one_func(b"", params=bytes((I32,)), before=section(8, u(0)))))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (section(1, vec([func_type(b"", bytes((I32, I32)))])), "invalid result arity: type 0"),
        (section(2, b"\1\0\0\3\x7f\1"), "mutable globals cannot be imported"),
        (section(6, b"\1\x7f\1" + ZERO) + section(7, b"\1\1g\3\0"), "mutable globals cannot be exported: 'g'"),
        (section(4, b"\2\x70\0\0\x70\0\0"), "multiple tables"),
    ],
)
def test_a_proposal_that_is_off_is_invalid(sections: bytes, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        validate_module(decode(binary(sections), MVP))
    validate_module(decode(binary(sections), ALL))


# Size


def test_a_huge_function() -> None:
    body = b"".join(b"\x41\1\x21" + u(index % 50_000) for index in range(100_000))
    facts = facts_of(one_func(body, local_types=bytes((I32,)) * 50_000))
    assert facts.num_ops == 200_001
    assert facts.written == {-1: (1 << 50_000) - 1}


def test_deep_nesting() -> None:
    depth = 50_000
    body = b"\x03\x40" * depth + b"\x41\1\x0d" + u(depth - 1) + b"\x41\0\x21\0" + b"\x0b" * depth
    facts = facts_of(one_func(body, local_types=bytes((I32,))))
    assert len(facts.written) == depth + 1
    assert set(facts.written.values()) == {1}


def test_a_wide_br_table() -> None:
    labels = b"".join(u(index) for index in range(10_000))
    body = b"\x02\x40" * 10_000 + b"\x41\0\x0e" + u(9_999) + labels + b"\x0b" * 10_000
    assert facts_of(one_func(body)).num_ops == 20_003
    with pytest.raises(LimitExceeded, match="br_table with 65521 labels"):
        facts_of(one_func(b"\x41\0\x0e" + u(65_521) + b"\0" * 65_522))


def test_calls_that_push_without_end() -> None:
    many = func_type(b"", bytes((I32,)) * 1000)
    data = binary(
        section(1, vec([func_type(), many])),
        section(3, vec([u(0), u(1)])),
        section(10, vec([entry(b"\x10\1" * 10_000 + b"\0\x0b"), entry(b"\0\x0b")])),
    )
    with pytest.raises(LimitExceeded, match="operands on the stack"):
        validate(decode(data))


def test_written_sets_without_end() -> None:
    body = b"".join(b"\x02\x40\x41\1\x21" + u(49_999 - index % 50_000) for index in range(60_000)) + b"\x0b" * 60_000
    with pytest.raises(LimitExceeded, match="too many locals in too many blocks"):
        facts_of(one_func(body, local_types=bytes((I32,)) * 50_000))


# Real programs

KERNELS = (
    "chase collatz64 fib host indirect mandel matmul matmul_ikj membytes nbody quicksort sha256 sieve spin tiny vmloop"
)
PROGRAMS = (
    "brotli c-ray greet-wasi-rs hello-wasi-rs hello-world-swift icepll main-go mal mandel mandel_dd quickjs raymarcher"
    " self-hosting-fib smallpt-ex smallpt-ex-mv stream"
)


@pytest.mark.parametrize("kernel", KERNELS.split())
def test_kernels(shared: Path, kernel: str) -> None:
    module = decode((shared / f"kernels/wasm/{kernel}.wasm").read_bytes())
    assert len(validate(module)) == len(module.bodies)


@pytest.mark.parametrize("program", PROGRAMS.split())
def test_programs(shared: Path, program: str) -> None:
    module = decode((shared / f"programs/modules/{program}.wasm").read_bytes())
    for index, facts in enumerate(validate(module), module.num_imported_funcs):
        body = module.body(index)
        assert facts.num_ops <= body.end - body.start
        whole = facts.written[-1]
        assert whole < 1 << len(facts.locals)
        for offset, written in facts.written.items():
            assert written | whole == whole
            assert offset == -1 or module.data[offset] in (0x02, 0x03, 0x04)


def plain_walk(module: Module, index: int) -> tuple[int, dict[int, set[int]]]:
    """Find the number of instructions and the written locals of each block the slow way."""
    data = module.data
    body = module.body(index)
    groups, pos = leb128.read_u32(data, body.start)
    for _ in range(groups):
        pos = leb128.skip(data, pos) + 1
    written: dict[int, set[int]] = {-1: set()}
    open_blocks = [-1]
    num_ops = 0
    while pos < body.end:
        at = pos
        op = data[pos]
        pos += 1
        if op in PREFIXES:
            sub, pos = leb128.read_u32(data, pos)
            op = pack(op, sub)
        value, pos = READERS[BY_CODE[op].immediates](data, pos)
        name = BY_CODE[op].name
        num_ops += 1
        if name in ("block", "loop", "if"):
            open_blocks.append(at)
            written[at] = set()
        elif name == "end":
            open_blocks.pop()
        elif name in ("local.set", "local.tee"):
            assert isinstance(value, int)
            for block in open_blocks:
                written[block].add(value)
    assert pos == body.end
    return num_ops, written


@pytest.mark.parametrize("program", ["mal", "smallpt-ex-mv", "hello-world-swift", "icepll"])
def test_facts_agree_with_a_plain_walk(shared: Path, program: str) -> None:
    module = decode((shared / f"programs/modules/{program}.wasm").read_bytes())
    for index, facts in enumerate(validate(module), module.num_imported_funcs):
        num_ops, written = plain_walk(module, index)
        assert facts.num_ops == num_ops
        assert facts.written == {block: bits(*indices) for block, indices in written.items()}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("hello-world-kt", "malformed function type 0x5e: no support for garbage collection yet"),
        ("icepack", "no support for exception handling yet"),
        ("javy-convertors", "no support for SIMD yet"),
    ],
)
def test_programs_of_later_proposals(shared: Path, program: str, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        validate(decode((shared / f"programs/modules/{program}.wasm").read_bytes()))
