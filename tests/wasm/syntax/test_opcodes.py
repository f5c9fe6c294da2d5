"""The instruction table: packing, columns, and immediates that survive writing and reading."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from figwasp.errors import Error, LimitExceeded, Malformed
from figwasp.features import ALL, DEFAULT, MVP, PROPOSALS, Features
from figwasp.wasm.binary.encode import write_instr
from figwasp.wasm.binary.immediates import READERS, SKIPPERS, WRITERS
from figwasp.wasm.syntax import immediates, opcodes
from figwasp.wasm.syntax.immediates import KIND_NAMES, Immediate
from figwasp.wasm.syntax.opcodes import (
    ADDRESS,
    BY_CODE,
    BY_NAME,
    BY_PREFIX,
    ROWS,
    SINGLE,
    Opcode,
    pack,
    show,
    subcode,
)
from figwasp.wasm.syntax.types import (
    EMPTY,
    EQREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I31REF,
    I32,
    I64,
    NON_NULL,
    V128,
    Types,
    concrete,
)
from tests.wasm.handmade import u


def test_size() -> None:
    # Wasm 1.0 has 172 instructions; then came 5 + 8 + 7 bulk + 8 reference instructions and the typed select, and so on.
    count = {name: sum(row.proposal == name for row in ROWS) for name in ["mvp", *PROPOSALS]}
    known = {
        "mvp": 172,
        "sign-extension": 5,
        "saturating-truncation": 8,
        "bulk-memory": 7,
        "reference-types": 9,
        "simd": 236,
        "relaxed-simd": 20,
        "tail-calls": 2,
        "function-references": 5,
        "exceptions": 3,
        "gc": 32,
        "threads": 67,
        "wide-arithmetic": 4,
        "legacy-exceptions": 5,
    }
    assert {name: count[name] for name in known} == known


@pytest.mark.parametrize(
    ("name", "code", "params", "results", "ir"),
    [
        ("i32.add", 0x6A, (I32, I32), (I32,), "i32_add"),
        ("i64.eqz", 0x50, (I64,), (I32,), "i64_eqz"),
        ("f64.promote_f32", 0xBB, (F32,), (F64,), "f64_promote_f32"),
        ("i64.extend32_s", 0xC4, (I64,), (I64,), "i64_extend32_s"),
        ("i64.load8_s", 0x30, (ADDRESS,), (I64,), "i64_load8_s"),
        ("i64.store32", 0x3E, (ADDRESS, I64), (), "i64_store32"),
        ("f64.const", 0x44, (), (F64,), "-"),
        ("i64.trunc_sat_f64_u", 0xFC07, (F64,), (I64,), "i64_trunc_sat_f64_u"),
        ("memory.fill", 0xFC0B, (ADDRESS, I32, ADDRESS), (), "-"),
        ("table.fill", 0xFC11, None, None, "-"),
        ("ref.func", 0xD2, None, None, "-"),
        ("ref.eq", 0xD3, (EQREF, EQREF), (I32,), "-"),
        ("i31.get_s", 0xFB1D, (I31REF,), (I32,), "-"),
        ("br_on_cast_fail", 0xFB19, None, None, "-"),
        ("v128.const", 0xFD0C, (), (V128,), "-"),
        ("i8x16.shuffle", 0xFD0D, (V128, V128), (V128,), "i8x16_shuffle"),
        ("f64x2.extract_lane", 0xFD21, (V128,), (F64,), "f64x2_extract_lane"),
        ("f64x2.convert_low_i32x4_u", 0xFDFF, (V128,), (V128,), "f64x2_convert_low_i32x4_u"),
        ("i8x16.relaxed_swizzle", 0x1FD00, (V128, V128), (V128,), "i8x16_relaxed_swizzle"),
        ("i32x4.relaxed_dot_i8x16_i7x16_add_s", 0x1FD13, (V128, V128, V128), (V128,), "i32x4_relaxed_dot_i8x16_i7x16_add_s"),
        ("memory.atomic.wait64", 0xFE02, (ADDRESS, I64, I64), (I32,), "-"),
        ("i64.atomic.rmw32.cmpxchg_u", 0xFE4E, (ADDRESS, I64, I64), (I64,), "-"),
        ("i64.add128", 0xFC13, (I64,) * 4, (I64,) * 2, "-"),
        ("try_table", 0x1F, None, None, "-"),
        ("delegate", 0x18, None, None, "-"),
    ],
)
def test_row(name: str, code: int, params: Types | None, results: Types | None, ir: str) -> None:
    row = BY_NAME[name]
    assert (row.code, row.params, row.results, row.ir) == (code, params, results, ir)
    assert BY_CODE[code] is row
    assert (SINGLE[code] if code < 0x100 else BY_PREFIX[code >> 8 & 0xFF][subcode(code)]) is row


def test_alignment_is_the_width_of_the_access() -> None:
    for row in ROWS:
        if row.immediates in (immediates.MEMARG, immediates.MEMARG_LANE):
            assert 8 << row.align == _width(row), row


def _width(row: Opcode) -> int:
    """Return the bits that an access touches, from the name: each of the letters `x` makes a vector of what stands before it."""
    head, _, verb = row.name.partition(".")
    if "notify" in verb or "wait" in verb:
        return int(verb[-2:]) if verb[-1].isdigit() else 32
    shape = re.search(r"(\d+)(?:x(\d+))?", verb.partition("atomic.")[2] or verb)
    if shape is None:
        return int(head[1:])
    return int(shape[1]) * int(shape[2] or 1)


def test_lanes() -> None:
    for row in ROWS:
        if row.immediates == immediates.LANE:
            assert 1 << row.align == int(row.name.partition(".")[0].partition("x")[2]), row


def test_ir_names_are_the_names_of_numeric_and_memory_operations() -> None:
    named = [row for row in ROWS if row.ir != "-"]
    assert all(row.ir == row.name.replace(".", "_") for row in named)
    assert len(named) == 123 + 5 + 8 + 14 + 9 + 233 + 4


def test_names_in_the_text_are_distinct_but_for_three() -> None:
    assert {row.name for row in ROWS if row.text != row.name} == {"select_t", "ref.test_null", "ref.cast_null"}


def test_pack() -> None:
    assert pack(0xFC, 8) == 0xFC08
    assert pack(0xFD, 0x113) == 0x1FD13
    assert subcode(0x1FD13) == 0x113
    assert pack(0xFD, 0x100) != pack(0xFE, 0)
    assert (show(0x6A), show(0xFC08), show(0x1FD13)) == ("6a", "fc 08", "fd 113")


def test_illegal_says_what_is_missing() -> None:
    on = "(on with DEFAULT.including('simd') or --enable simd)"
    assert opcodes.illegal(pack(0xFD, 12)) == f"illegal opcode fd 0c: v128.const needs simd, which is off {on}"
    assert opcodes.illegal(pack(0xFB, 21)).startswith("illegal opcode fb 15: ref.test needs gc, which is off")
    assert opcodes.illegal(0x27) == "illegal opcode 27"
    assert "i32.extend8_s needs sign-extension" in opcodes.illegal(0xC0)


VALUES: list[tuple[int, Immediate]] = [
    (immediates.NONE, None),
    (immediates.ZERO, None),
    (immediates.BLOCK, ~EMPTY),
    (immediates.BLOCK, ~I32),
    (immediates.BLOCK, ~V128),
    (immediates.BLOCK, ~FUNCREF),
    (immediates.BLOCK, ~(FUNCREF | NON_NULL)),
    (immediates.BLOCK, ~concrete(0, nullable=False)),
    (immediates.BLOCK, ~concrete(999_999, nullable=True)),
    (immediates.BLOCK, 0),
    (immediates.BLOCK, 64),
    (immediates.BLOCK, 300),
    (immediates.BLOCK, 2**32 - 1),
    (immediates.LABEL, 200),
    (immediates.LABELS, (0,)),
    (immediates.LABELS, (1, 2, 300, 0)),
    (immediates.LABELS, (*range(128), 127)),
    (immediates.FUNC, 2**32 - 1),
    (immediates.TYPE_TABLE, (3, 200)),
    (immediates.LOCAL, 128),
    (immediates.GLOBAL, 127),
    (immediates.TABLE, 2**32 - 1),
    (immediates.MEMORY, 1),
    (immediates.MEMARG, (2, 0, 0)),
    (immediates.MEMARG, (3, 2**32 - 1, 0)),
    (immediates.MEMARG, (3, 16, 5)),
    (immediates.MEMARG, (63, 2**64 - 1, 2**32 - 1)),
    (immediates.MEMARG_LANE, (0, 0, 0, 15)),
    (immediates.MEMARG_LANE, (2, 300, 7, 255)),
    (immediates.I32, -(2**31)),
    (immediates.I32, 63),
    (immediates.I32, 64),
    (immediates.I64, 2**63 - 1),
    (immediates.F32, 0x7FA00001),
    (immediates.F64, 0xFFF4000000000001),
    (immediates.V128, 0x0F0E0D0C0B0A09080706050403020100),
    (immediates.HEAPTYPE, EXTERNREF),
    (immediates.HEAPTYPE, EQREF),
    (immediates.HEAPTYPE, concrete(0, nullable=True)),
    (immediates.HEAPTYPE, concrete(64, nullable=True)),
    (immediates.DATA_MEMORY, (129, 0)),
    (immediates.DATA, 4),
    (immediates.MEMORY_MEMORY, (1, 2)),
    (immediates.ELEM_TABLE, (1, 128)),
    (immediates.ELEM, 1),
    (immediates.TABLE_TABLE, (300, 2)),
    (immediates.SELECT_TYPES, (I64,)),
    (immediates.SELECT_TYPES, (V128, concrete(70, nullable=False), FUNCREF | NON_NULL)),
    (immediates.TYPE, 7),
    (immediates.TAG, 1),
    (immediates.TRY_TABLE, (~EMPTY, ())),
    (immediates.TRY_TABLE, (~I32, ((0, 300, 1), (1, 0, 2), (2, -1, 3), (3, -1, 200)))),
    (immediates.TRY_TABLE, (7, ((2, -1, 0),))),
    (immediates.TYPE_TYPE, (1, 2)),
    (immediates.TYPE_FIELD, (200, 3)),
    (immediates.TYPE_U32, (1, 10_000)),
    (immediates.TYPE_DATA, (1, 0)),
    (immediates.TYPE_ELEM, (0, 1)),
    (immediates.CAST, (1, EQREF, I31REF | NON_NULL)),
    (immediates.CAST, (300, EQREF | NON_NULL, concrete(64, nullable=True))),
    (immediates.CAST, (0, concrete(0, nullable=False), concrete(1, nullable=False))),
    (immediates.LANE, 15),
    (immediates.LANES, bytes(range(16))),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=[f"{KIND_NAMES[kind]}-{value!r}" for kind, value in VALUES])
def test_immediates_round_trip(kind: int, value: Immediate) -> None:
    row = next(row for row in ROWS if row.immediates == kind)
    out = bytearray(b"\xaa")
    write_instr(out, row.code, value)
    start = 2 if row.code < 0x100 else 3
    data = bytes(out) + b"\xff"
    assert READERS[kind](data, start) == (value, len(out))
    assert SKIPPERS[kind](data, start) == len(out)


def test_every_kind_is_tried() -> None:
    assert {kind for kind, _ in VALUES} == {row.immediates for row in ROWS} == set(immediates.KINDS.values())


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=[f"{KIND_NAMES[kind]}-{value!r}" for kind, value in VALUES])
def test_immediates_that_are_cut_off(kind: int, value: Immediate) -> None:
    row = next(row for row in ROWS if row.immediates == kind)
    out = bytearray()
    write_instr(out, row.code, value)
    start = 1 if row.code < 0x100 else 2
    for end in range(start, len(out)):
        with pytest.raises(Malformed):
            READERS[kind](bytes(out[:end]), start)


@given(st.sampled_from(sorted(immediates.KINDS.values())), st.binary(max_size=24))
def test_what_is_read_is_skipped_and_written(kind: int, data: bytes) -> None:
    try:
        value, after = READERS[kind](data, 0)
    except Error:
        return
    assert SKIPPERS[kind](data, 0) == after <= len(data)
    out = bytearray()
    WRITERS[kind](out, value)
    assert len(out) <= after
    assert READERS[kind](bytes(out), 0) == (value, len(out))


@pytest.mark.parametrize(
    ("kind", "data", "message", "offset"),
    [
        (immediates.BLOCK, b"\x41", "malformed value type 0x41", 1),
        (immediates.BLOCK, b"\xff\x7f", "malformed value type 0xff", 1),
        (immediates.BLOCK, b"\x63\x7f", "malformed heap type 0x7f", 2),
        (immediates.BLOCK, b"\xff" * 5, "integer representation too long", 1),
        (immediates.BLOCK, b"\x80\x80\x80\x80\x70", "malformed value type 0x80", 1),
        (immediates.MEMARG, b"\x80\1\0", "malformed memop flags", 1),
        (immediates.MEMARG, b"\0" + b"\xff" * 9 + b"\2", "integer too large", 2),
        (immediates.MEMARG, b"\x40" + b"\xff" * 4 + b"\x1f\0", "integer too large", 2),
        (immediates.HEAPTYPE, b"\x7f", "malformed heap type 0x7f", 1),
        (immediates.HEAPTYPE, b"\x63\0", "malformed heap type 0x63", 1),
        (immediates.HEAPTYPE, b"\xf0\x7f", "malformed heap type 0xf0", 1),
        (immediates.CAST, b"\4\0\x6e\x6e", "malformed br_on_cast flags 0x04", 1),
        (immediates.CAST, b"\0\0\x6e\x7f", "malformed heap type 0x7f", 4),
        (immediates.TRY_TABLE, b"\x40\1\4\0", "malformed catch clause 0x04", 3),
        (immediates.SELECT_TYPES, b"\1\x40", "malformed value type 0x40", 2),
        (immediates.ZERO, b"\1", "zero byte expected", 1),
        (immediates.I32, b"\xff\xff\xff\xff\x0f", "integer too large", 1),
        (immediates.F32, b"\0\0\0", "unexpected end", 1),
        (immediates.LANES, b"\0" * 15, "unexpected end", 1),
    ],
)
def test_malformed_immediates(kind: int, data: bytes, message: str, offset: int) -> None:
    with pytest.raises(Malformed, match=message) as caught:
        READERS[kind](b"\xaa" + data, 1)
    assert caught.value.offset == offset


@pytest.mark.parametrize("kind", [immediates.LABELS, immediates.SELECT_TYPES])
def test_giant_counts_are_refused(kind: int) -> None:
    with pytest.raises(LimitExceeded, match="4294967295"):
        READERS[kind](u(2**32 - 1), 0)
    with pytest.raises(LimitExceeded, match="try_table with 4294967295 clauses"):
        READERS[immediates.TRY_TABLE](b"\x40" + u(2**32 - 1), 0)


def test_features() -> None:
    assert "mvp" in MVP
    assert "bulk-memory" not in MVP
    assert ALL.excluding(*PROPOSALS) == MVP
    assert not {"threads", "wide-arithmetic", "custom-page-sizes", "legacy-exceptions"} & DEFAULT.enabled
    assert MVP.including("multi-value") == Features(["multi-value"])
    with pytest.raises(ValueError, match="unknown proposal 'simdd'"):
        Features(["simdd"])
