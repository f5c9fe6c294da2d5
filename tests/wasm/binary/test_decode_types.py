"""Decoding and encoding what Wasm 3.0 and the proposals after it have added: types, tables, memories, tags, segments, custom sections.

Each binary is canonical: every integer in its shortest form, every section there for a reason. So writing what was read gives the same bytes.
"""

from __future__ import annotations

import pytest

from figwasp.errors import LimitExceeded, Malformed
from figwasp.features import ALL, DEFAULT, MVP
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.encode import encode_decoded
from figwasp.wasm.syntax.module import ACTIVE, PASSIVE, TAG, Module
from figwasp.wasm.syntax.types import (
    ANYREF,
    EQREF,
    EXNREF,
    F32,
    FUNCREF,
    I8,
    I16,
    I31REF,
    I32,
    I64,
    NON_NULL,
    NULLREF,
    V128,
    ArrayType,
    FieldType,
    FuncType,
    Limits,
    MemoryType,
    StructType,
    SubType,
    TableType,
    Types,
    concrete,
)  # fmt: skip
from tests.wasm.handmade import binary, entry, func_type, section, u, vec

FUNC_TYPE = section(1, vec([func_type()]))
ZERO = b"\x41\0\x0b"
NULL = b"\xd0\x70\x0b"


def same(data: bytes) -> Module:
    """Decode a canonical module with every proposal on, and insist that encoding gives it back."""
    module = decode(data, ALL)
    assert encode_decoded(module) == data
    return module


def types_of(*entries: bytes) -> tuple[list[SubType], list[int]]:
    module = same(binary(section(1, vec(entries))))
    return module.types, module.groups


EMPTY_FUNC = SubType(FuncType((), ()))


@pytest.mark.parametrize(
    ("raw", "type_"),
    [
        (b"\x60\0\0", EMPTY_FUNC),
        (b"\x60\1\x7b\1\x69", SubType(FuncType((V128,), (EXNREF,)))),
        (b"\x60\2\x64\x70\x63\0\0", SubType(FuncType((FUNCREF | NON_NULL, concrete(0, nullable=True)), ()))),
        (b"\x60\0\2\x64\xc0\0\x64\x71", SubType(FuncType((), (concrete(64, nullable=False), NULLREF | NON_NULL)))),
        (b"\x5f\0", SubType(StructType(()))),
        (b"\x5f\3\x78\0\x77\1\x64\x6b\0", SubType(StructType((FieldType(I8, False), FieldType(I16, True), FieldType(0x6B | NON_NULL, False))))),
        (b"\x5e\x78\1", SubType(ArrayType(FieldType(I8, True)))),
        (b"\x5e\x63\x87\1\0", SubType(ArrayType(FieldType(concrete(135, nullable=True), False)))),
        (b"\x50\0\x60\0\0", SubType(FuncType((), ()), (), final=False)),
        (b"\x50\1\0\x5f\0", SubType(StructType(()), (0,), final=False)),
        (b"\x4f\1\x80\1\x5f\0", SubType(StructType(()), (128,))),
        (b"\x4f\2\0\1\x60\0\0", SubType(FuncType((), ()), (0, 1))),
    ],
)
def test_types(raw: bytes, type_: SubType) -> None:
    assert types_of(raw) == ([type_], [0])


def test_final_without_supertypes_may_be_written_out() -> None:
    module = decode(binary(section(1, vec([b"\x4f\0\x60\0\0"]))))
    assert module.types == [EMPTY_FUNC]
    assert encode_decoded(module) == binary(section(1, vec([b"\x60\0\0"])))


def test_recursion_groups() -> None:
    group = b"\x4e\2\x60\1\x64\1\0\x5f\1\x63\0\1"
    types, groups = types_of(b"\x60\0\0", group, b"\x5e\x7f\0")
    assert groups == [0, 1, 3]
    assert types[1] == SubType(FuncType((concrete(1, nullable=False),), ()))
    assert types[2] == SubType(StructType((FieldType(concrete(0, nullable=True), True),)))


def test_empty_groups_and_groups_of_one_leave_no_trace() -> None:
    module = decode(binary(section(1, vec([b"\x4e\0", b"\x4e\1\x60\0\0", b"\x4e\0"]))))
    assert (module.types, module.groups) == ([EMPTY_FUNC], [0])
    assert encode_decoded(module) == binary(section(1, vec([b"\x60\0\0"])))


@pytest.mark.parametrize(
    ("raw", "type_"),
    [
        (b"\x70\0\1", TableType(FUNCREF, Limits(1))),
        (b"\x6e\1\1\2", TableType(ANYREF, Limits(1, 2))),
        (b"\x64\x6c\4\0", TableType(I31REF | NON_NULL, Limits(0), I64)),
        (b"\x63\0\5\1" + u(2**64 - 1), TableType(concrete(0, nullable=True), Limits(1, 2**64 - 1), I64)),
    ],
)
def test_tables(raw: bytes, type_: TableType) -> None:
    module = same(binary(FUNC_TYPE, section(2, vec([b"\1m\1t\1" + raw])), section(4, vec([raw, raw]))))
    assert module.tables == [type_] * 3
    assert module.table_inits == [None, None]


def test_tables_with_an_initial_value() -> None:
    module = same(binary(section(4, vec([b"\x70\0\1", b"\x40\0\x70\1\1\2" + NULL, b"\x40\0\x64\x6c\4\3\x41\7\xfb\x1c\x0b"]))))
    assert [init and init.instrs for init in module.table_inits] == [None, [(0xD0, FUNCREF)], [(0x41, 7), (0xFB1C, None)]]
    assert module.tables[2] == TableType(I31REF | NON_NULL, Limits(3), I64)


@pytest.mark.parametrize(
    ("raw", "type_"),
    [
        (b"\0\0", MemoryType(Limits(0))),
        (b"\1\1\2", MemoryType(Limits(1, 2))),
        (b"\4" + u(2**48), MemoryType(Limits(2**48), I64)),
        (b"\5\1" + u(2**64 - 1), MemoryType(Limits(1, 2**64 - 1), I64)),
        (b"\3\1\2", MemoryType(Limits(1, 2), I32, shared=True)),
        (b"\7\1\2", MemoryType(Limits(1, 2), I64, shared=True)),
        (b"\2\1", MemoryType(Limits(1), I32, shared=True)),
        (b"\x08\1\0", MemoryType(Limits(1), page=0)),
        (b"\x0f\1\2\0", MemoryType(Limits(1, 2), I64, shared=True, page=0)),
        (b"\x09\1\2\x40", MemoryType(Limits(1, 2), page=64)),
    ],
)
def test_memories(raw: bytes, type_: MemoryType) -> None:
    module = same(binary(section(2, vec([b"\1m\1y\2" + raw])), section(5, vec([raw]))))
    assert module.memories == [type_] * 2


def test_a_page_size_of_64_kib_may_be_written_out() -> None:
    module = decode(binary(section(5, vec([b"\x08\1\x10"]))), ALL)
    assert module.memories == [MemoryType(Limits(1))]


def test_tags() -> None:
    tag_type = section(1, vec([func_type(), func_type(b"\x7f\x7d")]))
    module = same(binary(tag_type, section(2, vec([b"\1m\1e\4\0\1"])), section(13, vec([b"\0\0", b"\0\1"])), section(7, vec([b"\1e\4\2"]))))
    assert (module.tags, module.num_imported_tags) == ([1, 0, 1], 1)
    assert (module.imports[0].kind, module.imports[0].desc) == (TAG, 1)
    assert (module.exports[0].kind, module.exports[0].index) == (TAG, 2)
    assert module.signature(module.tags[2]).params == (I32, F32)


@pytest.mark.parametrize(
    ("raw", "type_", "mode", "table", "count"),
    [
        (b"\0" + ZERO + b"\1\0", FUNCREF | NON_NULL, ACTIVE, 0, 1),
        (b"\1\0\2\0\0", FUNCREF | NON_NULL, PASSIVE, 0, 2),
        (b"\2\1" + ZERO + b"\0\0", FUNCREF | NON_NULL, ACTIVE, 1, 0),
        (b"\3\0\1\0", FUNCREF | NON_NULL, 2, 0, 1),
        (b"\4" + ZERO + b"\1" + NULL, FUNCREF, ACTIVE, 0, 1),
        (b"\5\x70\1\xd2\0\x0b", FUNCREF, PASSIVE, 0, 1),
        (b"\5\x64\x6c\1\x41\1\xfb\x1c\x0b", I31REF | NON_NULL, PASSIVE, 0, 1),
        (b"\6\0" + ZERO + b"\x64\0\1\xd2\0\x0b", concrete(0, nullable=False), ACTIVE, 0, 1),
        (b"\6\1" + ZERO + b"\x70\0", FUNCREF, ACTIVE, 1, 0),
        (b"\7\x6d\1\xd0\x71\x0b", EQREF, 2, 0, 1),
    ],
)
def test_element_segments(raw: bytes, type_: int, mode: int, table: int, count: int) -> None:
    body = section(10, vec([entry(b"\x0b")]))
    tables = section(4, vec([b"\x70\0\0", b"\x70\0\0"]))
    elem = same(binary(FUNC_TYPE, section(3, vec([u(0)])), tables, section(9, vec([raw])), body)).elems[0]
    assert (elem.type, elem.mode, elem.table, len(elem.inits)) == (type_, mode, table, count)


def test_function_indices_keep_their_type_where_references_are_never_null() -> None:
    raw = b"\5\x64\x70\1\xd2\0\x0b"  # expressions, but nothing that function indices could not say
    module = decode(binary(section(9, vec([raw]))))
    assert encode_decoded(module) == binary(section(9, vec([b"\1\0\1\0"])))
    assert decode(binary(section(9, vec([b"\1\0\1\0"]))), MVP.including("bulk-memory")).elems[0].type == FUNCREF


def test_data_segments() -> None:
    memories = section(5, vec([b"\0\1", b"\4\1"]))
    raw = [b"\0" + ZERO + b"\1a", b"\1\2bc", b"\2\1\x42\0\x0b\0"]
    module = same(binary(memories, section(12, u(3)), section(11, vec(raw))))
    assert [(item.mode, item.memory) for item in module.datas] == [(ACTIVE, 0), (PASSIVE, 0), (ACTIVE, 1)]


@pytest.mark.parametrize(
    "expr",
    [
        b"\x41\1\x41\2\x6a\x0b",
        b"\x23\0\x42\x7f\x7e\x0b",
        b"\xfd\x0c" + bytes(range(16)) + b"\x0b",
        b"\x41\1\xfb\x1c\x0b",
        b"\x41\1\x41\2\xfb\0\0\x0b",
        b"\x41\1\xfb\x08\x80\1\x88\x27\x0b",
        b"\xd0\x71\xfb\x1b\x0b",
        b"\xd0\xc0\0\x0b",
        b"\x02\x40\x1f\x40\1\0\0\0\x0b\x0b\x0b",
    ],
)
def test_constant_expressions(expr: bytes) -> None:
    same(binary(section(6, vec([b"\x7f\0" + expr]))))


def test_custom_sections_stay_where_they_are() -> None:
    custom = [section(0, bytes((1, 0x61 + k)) + b"x" * k) for k in range(12)]
    data = binary(
        custom[0], custom[1], FUNC_TYPE, custom[2], section(3, vec([u(0)])), section(4, vec([b"\x70\0\0"])), section(5, vec([b"\0\0"])),
        custom[3], section(13, vec([b"\0\0"])), custom[4], section(6, vec([b"\x7f\0" + ZERO])), custom[5], section(12, u(1)), custom[6],
        section(10, vec([entry(b"\x0b")])), custom[7], custom[8], section(11, vec([b"\1\0"])), custom[9], custom[10], custom[11],
    )  # fmt: skip
    module = same(data)
    assert [item.after for item in module.customs] == [0, 0, 1, 5, 13, 6, 12, 10, 10, 11, 11, 11]


def test_the_name_section_stays_as_it_was() -> None:
    names = section(0, b"\4name\0\2\1m\x63\1\0")
    same(binary(names, FUNC_TYPE, section(0, b"\4name\1\1\0")))


MALFORMED: list[tuple[bytes, str, int]] = [
    (section(1, b"\1\x5d\0"), "malformed type 0x5d", 11),
    (section(1, b"\1\x4e"), "unexpected end", 12),
    (section(1, b"\1\x4e\1"), "unexpected end", 13),
    (section(1, b"\1\x4e\1\x4e\1\x60\0\0"), "malformed type 0x4e", 13),
    (section(1, b"\1\x50\0\x50\0\x60\0\0"), "malformed type 0x50", 13),
    (section(1, b"\1\x50\1"), "unexpected end", 13),
    (section(1, b"\1\x5f\1\x7f\2"), "malformed mutability 0x02", 14),
    (section(1, b"\1\x5f\1\x76\0"), "malformed value type 0x76", 13),
    (section(1, b"\1\x5e\x40\0"), "malformed value type 0x40", 12),
    (section(1, b"\1\x5e\x7f"), "unexpected end", 13),
    (section(1, b"\1\x60\1\x78\0"), "malformed value type 0x78", 13),
    (section(1, b"\1\x60\1\x64\x7f\0"), "malformed heap type 0x7f", 14),
    (section(1, b"\1\x60\1\x64\xff\x7f\0"), "malformed heap type 0xff", 14),
    (section(1, b"\1\x60\1\x64\x80\x80\x80\x80\x10\0"), "integer too large", 14),
    (section(1, b"\1\x60\1\x64") + section(3, b"\0"), "unexpected end", 13),
    (section(1, b"\2\x4e\1\x60\0\0"), "unexpected end", 16),
    (section(2, b"\1\0\0\4\1\0"), "malformed tag attribute", 14),
    (section(2, b"\1\0\0\1\x70\x10\0"), "malformed limits flags 0x10", 15),
    (section(4, b"\1\x40\1\x70\0\0" + NULL), "malformed table", 12),
    (section(4, b"\1\x40\0\x7f\0\0" + NULL), "malformed reference type 0x7f", 13),
    (section(4, b"\1\x40\0\x70\0\0\xd0"), "unexpected end", 17),
    (section(4, b"\1\x40\0\x40\0\0" + NULL), "malformed reference type 0x40", 13),
    (section(4, b"\1\x70\2\0\0"), "malformed limits flags 0x02", 12),
    (section(4, b"\1\x70\x0c\0\0"), "malformed limits flags 0x0c", 12),
    (section(4, b"\1\x70\4" + b"\xff" * 10), "integer representation too long", 13),
    (section(5, b"\1\x10\0"), "malformed limits flags 0x10", 11),
    (section(5, b"\1\x80\0"), "malformed limits flags 0x80", 11),
    (section(5, b"\1\4" + b"\xff" * 9 + b"\2"), "integer too large", 12),
    (section(5, b"\1\5\0" + b"\x80" * 9), "unexpected end", 13),
    (section(5, b"\1\x08\0\x41"), "invalid custom page size", 13),
    (section(5, b"\1\x08\0"), "unexpected end", 13),
    (section(13, b"\1\1\0"), "malformed tag attribute", 11),
    (section(13, b"\1\0"), "unexpected end", 12),
    (section(6, b"\0") + section(13, b"\0"), "unexpected content after last section: tag section", 11),
    (section(13, b"\0") + section(5, b"\0"), "unexpected content after last section: memory section", 11),
    (section(6, b"\1\x7f\0\xfb\x1f\x0b"), "illegal opcode fb 1f", 13),
    (section(6, b"\1\x7f\0\xfb\xff\xff\xff\xff\x1f\x0b"), "integer too large", 14),
    (section(6, b"\1\x7f\0\xfd\x0c\0\x0b"), "unexpected end", 15),
    (section(6, b"\1\x64\0\0\x1f\x40\1\4\0\x0b\x0b"), "malformed catch clause 0x04", 17),
    (section(7, b"\1\0\5\0"), "malformed export kind 0x05", 12),
    (section(9, b"\1\5\x64\x7f\0"), "malformed heap type 0x7f", 13),
    (section(9, b"\1\3\1\0"), "malformed element kind 0x01", 12),
    (section(14, b""), "malformed section id 14", 8),
]


@pytest.mark.parametrize(("sections", "message", "offset"), MALFORMED, ids=[f"{i}-{row[1][:30]}" for i, row in enumerate(MALFORMED)])
def test_malformed(sections: bytes, message: str, offset: int) -> None:
    with pytest.raises(Malformed) as caught:
        decode(binary(sections), ALL)
    assert message in str(caught.value)
    assert caught.value.offset == offset


LIMITS = [
    (section(1, b"\1\x4e" + u(1_000_001)), "1000001 types"),
    (section(1, b"\2\x60\0\0\x4e" + u(1_000_000)), "1000000 types"),
    (section(1, b"\1\x50" + u(101)), "101 supertypes"),
    (section(1, b"\1\x5f" + u(10_001)), "10001 fields"),
    (section(1, b"\1\x60\0" + u(1001)), "1001 parameters or results"),
    (section(13, u(1_000_001)), "1000001 tags"),
    (section(4, b"\1\x40\0\x70\0\0" + b"\1" * 10_001), "more than 10000 instructions"),
]


@pytest.mark.parametrize(("sections", "message"), LIMITS, ids=[row[1] for row in LIMITS])
def test_limits(sections: bytes, message: str) -> None:
    with pytest.raises(LimitExceeded, match=message):
        decode(binary(sections), ALL)


OFF: list[tuple[str, bytes, str]] = [
    ("gc", section(1, b"\1\x5f\0"), "malformed type 0x5f"),
    ("gc", section(1, b"\1\x4e\0"), "malformed type 0x4e"),
    ("gc", section(1, b"\1\x50\0\x60\0\0"), "malformed type 0x50"),
    ("gc", section(1, b"\1\x60\1\x6e\0"), "malformed type anyref: it needs gc, which is off"),
    ("function-references", section(1, b"\1\x60\1\x64\x70\0"), "malformed type .ref func.: it needs function-references"),
    ("function-references", section(1, b"\1\x60\1\x63\0\0"), "malformed type .ref null 0.: it needs function-references"),
    ("function-references", section(4, b"\1\x40\0\x70\0\0" + NULL), "malformed reference type 0x40: a table with an initial value needs function-references, which is off"),
    ("exceptions", section(13, b"\0"), "malformed section id 13: a tag section needs exceptions, which is off"),
    ("exceptions", section(2, b"\1\0\0\4\0\0"), "malformed import kind 0x04: a tag needs exceptions, which is off"),
    ("exceptions", section(7, b"\1\0\4\0"), "malformed export kind 0x04: a tag needs exceptions, which is off"),
    ("exceptions", section(1, b"\1\x60\1\x69\0"), "malformed type exnref: it needs exceptions"),
    ("memory64", section(5, b"\1\4\0"), "malformed limits flags 0x04: a memory with 64-bit addresses needs memory64, which is off"),
    ("memory64", section(4, b"\1\x70\4\0"), "malformed limits flags 0x04: a table with 64-bit addresses needs memory64, which is off"),
    ("threads", section(5, b"\1\3\0\1"), "malformed limits flags 0x03: a shared memory needs threads, which is off"),
    ("custom-page-sizes", section(5, b"\1\x08\0\0"), "malformed limits flags 0x08: a memory with pages of its own size needs custom-page-sizes, which is off"),
    ("simd", section(6, b"\1\x7b\0\xfd\x0c" + bytes(16) + b"\x0b"), "malformed type v128: it needs simd, which is off"),
    ("simd", section(6, b"\1\x7f\0\xfd\x0c" + bytes(16) + b"\x0b"), "v128.const needs simd, which is off"),
    ("reference-types", section(1, b"\1\x60\1\x70\0"), "malformed type funcref: it needs reference-types"),
]


@pytest.mark.parametrize(("proposal", "sections", "message"), OFF, ids=[f"{i}-{row[0]}" for i, row in enumerate(OFF)])
def test_a_proposal_that_is_off(proposal: str, sections: bytes, message: str) -> None:
    decode(binary(sections), ALL)
    with pytest.raises(Malformed, match=message):
        decode(binary(sections), ALL.excluding(proposal))


def test_what_comes_after_3_0_is_off_by_default() -> None:
    for raw in (b"\1\3\0\1", b"\1\x08\0\0"):
        with pytest.raises(Malformed, match="is off"):
            decode(binary(section(5, raw)), DEFAULT)


def test_types_are_compared_by_content() -> None:
    params: Types = (I32, concrete(3, nullable=False))
    one, other = SubType(FuncType(params, ()), (1,)), SubType(FuncType(params, ()), (1,))
    assert one == other and hash(one) == hash(other)
    assert one != SubType(FuncType(params, ()), (1,), final=False)
    assert one != SubType(FuncType(params, ()), (2,))
    assert repr(SubType(StructType((FieldType(I8, True),)), (3,), final=False)) == "(sub 3 (struct (field (mut i8))))"
