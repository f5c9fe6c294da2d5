"""Decoding: what each section yields, and a table of everything malformed outside of bodies."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from figwasp.errors import Error, LimitExceeded, Malformed
from figwasp.features import ALL, MVP
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import ACTIVE, DECLARATIVE, MEMORY, PASSIVE, TABLE
from figwasp.wasm.syntax.opcodes import BY_NAME
from figwasp.wasm.syntax.types import (
    EXTERNREF,
    F64,
    FUNCREF,
    I32,
    I64,
    NON_NULL,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    SubType,
    TableType,
)
from figwasp.wasm.valid.module import validate
from tests.wasm.handmade import binary, entry, func_type, one_func, section, u, vec

TYPES = section(1, vec([func_type()]))
FUNCS = section(3, vec([u(0)]))
CODE = section(10, vec([entry(b"\x0b")]))
ZERO = b"\x41\0\x0b"


def test_sections() -> None:
    module = decode(
        binary(
            section(0, b"\1aX"),
            section(1, vec([func_type(bytes((I32, F64)), bytes((I64,))), func_type()])),
            section(2, vec([b"\1m\2fn\0\1", b"\1m\1t\1\x6f\1\1\2", b"\1m\1y\2\0\3", b"\1m\1g\3\x7f\1"])),
            section(3, vec([u(0), u(1)])),
            section(4, vec([b"\x70\0\5"])),
            section(6, vec([b"\x7e\0\x42\x7f\x0b"])),
            section(7, vec([b"\3one\0\2", b"\3two\2\0"])),
            section(8, u(2)),
            section(9, vec([b"\2\1" + ZERO + b"\0\1\2", b"\5\x70\2\xd2\0\x0b\xd0\x70\x0b", b"\3\0\0"])),
            section(12, u(2)),
            section(10, vec([entry(b"\0\x0b"), entry(b"\1\x0b", bytes((I32,)))])),
            section(11, vec([b"\0" + ZERO + b"\3abc", b"\1\2de"])),
            section(0, b"\1b"),
        )
    )
    assert module.types == [SubType(FuncType((I32, F64), (I64,))), SubType(FuncType((), ()))]
    assert module.groups == [0, 1]
    assert [(item.module, item.name, item.kind) for item in module.imports] == [
        ("m", "fn", 0),
        ("m", "t", TABLE),
        ("m", "y", MEMORY),
        ("m", "g", 3),
    ]
    assert (module.func_types, module.num_imported_funcs) == ([1, 0, 1], 1)
    assert (str(module.func_type(1)), str(module.func_type(2))) == ("(i32, f64) -> i64", "() -> ()")
    assert module.tables == [TableType(EXTERNREF, Limits(1, 2)), TableType(FUNCREF, Limits(5))]
    assert module.memories == [MemoryType(Limits(3))]
    assert module.globals == [GlobalType(I32, True), GlobalType(I64, False)]
    assert module.global_inits[0].instrs == [(0x42, -1)]
    assert [(item.name, item.kind, item.index) for item in module.exports] == [("one", 0, 2), ("two", 2, 0)]
    assert (module.start, module.data_count) == (2, 2)
    modes = [(elem.mode, elem.table, elem.type, [init.instrs for init in elem.inits]) for elem in module.elems]
    assert modes == [
        (ACTIVE, 1, FUNCREF | NON_NULL, [[(0xD2, 2)]]),
        (PASSIVE, 0, FUNCREF, [[(0xD2, 0)], [(0xD0, FUNCREF)]]),
        (DECLARATIVE, 0, FUNCREF | NON_NULL, []),
    ]
    assert [module.data[item.start : item.end] for item in module.datas] == [b"abc", b"de"]
    assert [item.mode for item in module.datas] == [ACTIVE, PASSIVE]
    assert [module.data[body.start : body.end] for body in module.bodies] == [b"\0\0\x0b", b"\1\1\x7f\1\x0b"]
    assert [(item.name, module.data[item.start : item.end]) for item in module.customs] == [("a", b"X"), ("b", b"")]
    assert [item.after for item in module.customs] == [0, 11]
    assert module.table_inits == [None]
    assert [module.func_name(index) for index in range(3)] == [None, None, "one"]


def test_any_bytes_like() -> None:
    data = binary(TYPES)
    assert decode(bytearray(data)).types == decode(memoryview(data)).types == decode(data).types


def test_const_expr_has_its_byte_range() -> None:
    module = decode(binary(section(6, vec([b"\x7f\0\x41\x80\x01\x0b"]))))
    init = module.global_inits[0]
    assert module.data[init.start : init.end] == b"\x41\x80\x01\x0b"


def test_equal_elements_are_one_object_and_different_ones_are_not() -> None:
    # 0xd0 0x70 is `ref.null func`, and as an integer 14416; an empty expression is the integer 11.
    exprs = [b"\xd0\x70\x0b", b"\x0b", b"\xd2\xd0\x70\x0b", b"\xd0\x70\x0b"]
    module = decode(binary(section(9, vec([b"\5\x70" + vec(exprs), b"\1\0" + vec([u(14416), u(11)])]))))
    first, second = module.elems
    assert [init.instrs for init in first.inits] == [[(0xD0, 0x70)], [], [(0xD2, 14416)], [(0xD0, 0x70)]]
    assert first.inits[0] is not first.inits[1]
    assert [init.instrs for init in second.inits] == [[(0xD2, 14416)], [(0xD2, 11)]]
    assert first.inits[0] is first.inits[3]


LONG = b"\x80\x80\x80\x80\x80\x00"

MALFORMED = [
    (b"", "unexpected end"),
    (b"\0as", "unexpected end"),
    (b"\0asn\1\0\0\0", "magic header not detected"),
    (b"asm\0\1\0\0\0", "magic header not detected"),
    (b"\0asm\1\0", "unexpected end"),
    (b"\0asm\2\0\0\0", "unknown binary version 2"),
    (b"\0asm\x0d\0\1\0", "a component, not a core module"),
    (binary(b"\x01"), "unexpected end"),
    (binary(b"\x01\x05\x00"), "length out of bounds"),
    (binary(b"\x01" + LONG), "integer representation too long"),
    (binary(section(14, b"")), "malformed section id 14"),
    (binary(section(0, b"")), "unexpected end"),
    (binary(section(0, b"\5abc")), "unexpected end"),
    (binary(section(0, b"\1\xff")), "malformed UTF-8 encoding"),
    (binary(section(0, b"\3\xed\xa0\x80")), "malformed UTF-8 encoding"),
    (binary(TYPES, TYPES), "unexpected content after last section: type section"),
    (binary(FUNCS, TYPES, CODE), "unexpected content after last section: type section"),
    (binary(TYPES, FUNCS, CODE, section(12, u(0))), "unexpected content after last section: data count section"),
    (binary(section(1, u(2) + func_type())), "unexpected end"),
    (binary(section(1, u(0) + func_type())), "section size mismatch: type section"),
    (binary(section(1, b"\1\x60\1\x7f\1")), "unexpected end"),
    (binary(section(1, b"\1\x40\0\0")), "malformed type 0x40"),
    (binary(section(1, b"\1\x60\1\x40\0")), "malformed value type 0x40"),
    (binary(section(2, b"\1\0\0\5\0")), "malformed import kind 0x05"),
    (binary(section(2, b"\1\1\xff\0\0\0")), "malformed UTF-8 encoding"),
    (binary(section(2, b"\1\0\1\xc0\0\0")), "malformed UTF-8 encoding"),
    (binary(section(4, b"\1\x7f\0\0")), "malformed reference type 0x7f"),
    (binary(section(4, b"\1\x70\2\0")), "malformed limits flags 0x02"),
    (binary(section(4, b"\1\x70\x08\0")), "malformed limits flags 0x08"),
    (binary(section(5, b"\1\0" + b"\x80" * 10 + b"\0")), "integer representation too long"),
    (binary(section(5, b"\1\1\0" + b"\x80" * 9 + b"\x10")), "integer too large"),
    (binary(section(5, b"\1\0\x80")), "unexpected end"),
    (binary(section(5, b"\1\3\0\0")), "malformed limits flags 0x03"),
    (binary(section(6, b"\1\x7f\2" + ZERO)), "malformed mutability 0x02"),
    (binary(section(6, b"\1\x7f\0\x41\0")), "unexpected end"),
    (binary(section(6, b"\1\x7f\0\x27\x0b")), "illegal opcode 27"),
    (binary(section(6, b"\1\x7f\0\xfd\xff\x03\x0b")), "illegal opcode fd 1ff"),
    (binary(section(6, b"\1\x7f\0\x41\xff\xff\xff\xff\x0f\x0b")), "integer too large"),
    (binary(section(6, b"\1\x7f\0\x43\0\0")), "unexpected end"),
    (binary(section(6, b"\1\x7f\0\xd0\x7f\x0b")), "malformed heap type 0x7f"),
    (binary(section(6, b"\1\x7f\0\x02\x40\x0b")), "unexpected end"),
    (binary(section(7, b"\1\0\5\0")), "malformed export kind 0x05"),
    (binary(section(7, b"\1\1\x80\0\0")), "malformed UTF-8 encoding"),
    (binary(section(8, b"\0\0")), "section size mismatch: start section"),
    (binary(section(9, b"\1\x08")), "malformed element segment flags 8"),
    (binary(section(9, b"\1\1\1\0")), "malformed element kind 0x01"),
    (binary(section(9, b"\1\5\x7f\0")), "malformed reference type 0x7f"),
    (binary(section(9, b"\1\1\0\2\0")), "unexpected end"),
    (binary(TYPES, FUNCS), "function and code section have inconsistent lengths: 1 functions, 0 bodies"),
    (binary(CODE), "function and code section have inconsistent lengths: 0 functions, 1 bodies"),
    (binary(TYPES, FUNCS, section(10, u(1) + u(9) + b"\0\x0b")), "function body goes beyond its section"),
    (binary(TYPES, FUNCS, section(10, u(1) + u(2) + b"\0\x0b\0")), "section size mismatch: code section"),
    (binary(section(12, u(1))), "data count and data section have inconsistent lengths: 1 announced, 0 found"),
    (binary(section(12, u(0)), section(11, vec([b"\1\0"]))), "inconsistent lengths: 0 announced, 1 found"),
    (binary(section(11, b"\1\3\0")), "malformed data segment kind 3"),
    (binary(section(11, b"\1\1\2a")), "unexpected end"),
]


@pytest.mark.parametrize(("data", "message"), MALFORMED, ids=[f"{i}-{row[1][:30]}" for i, row in enumerate(MALFORMED)])
def test_malformed(data: bytes, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(data)
    assert message in str(caught.value)


LIMITS = [
    (section(1, u(1_000_001)), "1000001 types"),
    (section(1, b"\1\x60" + u(1001)), "1001 parameters or results"),
    (section(2, u(2**32 - 1)), "imports"),
    (section(3, u(2**32 - 1)), "functions"),
    (section(4, u(100_001)), "tables"),
    (section(5, u(101)), "memories"),
    (section(6, u(1_000_001)), "globals"),
    (section(7, u(1_000_001)), "exports"),
    (section(9, u(10_000_001)), "element segments"),
    (section(9, b"\1\1\0" + u(10_000_001)), "elements"),
    (section(10, u(1_000_001)), "bodies"),
    (section(10, b"\1" + u(7_654_322)), "function body of 7654322 bytes"),
    (section(11, u(100_001)), "data segments"),
    (section(6, b"\1\x7f\0" + b"\1" * 10_001), "more than 10000 instructions"),
]


@pytest.mark.parametrize(("sections", "message"), LIMITS, ids=[row[1] for row in LIMITS])
def test_limits(sections: bytes, message: str) -> None:
    with pytest.raises(LimitExceeded, match=message):
        decode(binary(sections))


def test_counts_beyond_the_data_end_quickly() -> None:
    with pytest.raises(Malformed, match="unexpected end"):
        decode(binary(section(3, u(1_000_000))))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (binary(section(12, u(0))), "malformed section id 12: a data count section needs bulk-memory, which is off"),
        (binary(section(9, b"\1\1\0\0")), "malformed element segment flags 1: it needs bulk-memory, which is off"),
        (binary(section(11, b"\1\1\0")), "malformed data segment kind 1: it needs bulk-memory, which is off"),
        (binary(section(4, b"\1\x6f\0\0")), "malformed type externref: it needs reference-types, which is off"),
        (binary(section(1, vec([func_type(bytes((FUNCREF,)))]))), "malformed type funcref: it needs reference-types, which is off"),
        (binary(section(6, b"\1\x7f\0\xd0\x70\x0b")), "ref.null needs reference-types, which is off"),
    ],
)
def test_a_proposal_that_is_off_is_malformed(data: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        decode(data, MVP)
    decode(data, ALL)


def test_overlong_integers_are_well_formed() -> None:
    padded = b"\x80\x80\x80\x80\x00"
    body = b"\x41\0\x11" + padded + padded + b"\x3f\x80\x80\x00\x1a" + b"\x41\x80\x80\x80\x80\x00\x1a"
    before = section(4, vec([b"\x70\0\0"])) + section(5, vec([b"\0" + padded]))
    module = decode(one_func(body, before=before))
    assert validate(module)[0].num_ops == 7


@given(st.data())
def test_mutations_raise_nothing_else(shared: Path, data: st.DataObject) -> None:
    raw = bytearray((shared / "kernels/wasm/quicksort.wasm").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(8, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    with suppress(Error):
        validate(decode(bytes(raw)))


@given(st.binary(max_size=60))
def test_garbage_raises_nothing_else(tail: bytes) -> None:
    with suppress(Error):
        validate(decode(binary(tail)))


def test_const_immediates_are_decoded() -> None:
    data = binary(section(6, vec([b"\x7d\0\x43\1\0\xa0\x7f\x0b", b"\x70\0\xd0\x70\x0b"])))
    inits = decode(data).global_inits
    assert inits[0].instrs == [(BY_NAME["f32.const"].code, 0x7FA00001)]
    assert inits[1].instrs == [(BY_NAME["ref.null"].code, FUNCREF)]
