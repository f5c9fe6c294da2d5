"""The instruction table: packing, columns, and immediates that survive writing and reading."""

from __future__ import annotations

import pytest

from figwasp.features import ALL, MVP, PROPOSALS, Features
from figwasp.wasm import immediates, opcodes
from figwasp.wasm.encode import write_instr
from figwasp.wasm.immediates import READERS, SKIPPERS, Immediate
from figwasp.wasm.opcodes import BY_CODE, BY_NAME, FC, ROWS, SINGLE, pack, show, subcode
from figwasp.wasm.types import EXTERNREF, F64, FUNCREF, I32, I64


def test_size() -> None:
    # Wasm 1.0 has 172 instructions; then came 5 + 8 + 7 bulk + 8 reference instructions and the typed select.
    count = {name: sum(row.proposal == name for row in ROWS) for name in ["mvp", *PROPOSALS]}
    assert count == {
        "mvp": 172,
        "mutable-globals": 0,
        "sign-extension": 5,
        "saturating-truncation": 8,
        "multi-value": 0,
        "bulk-memory": 7,
        "reference-types": 9,
    }


@pytest.mark.parametrize(
    ("name", "code", "params", "results", "ir"),
    [
        ("i32.add", 0x6A, bytes((I32, I32)), bytes((I32,)), "i32_add"),
        ("i64.eqz", 0x50, bytes((I64,)), bytes((I32,)), "i64_eqz"),
        ("f64.promote_f32", 0xBB, b"\x7d", bytes((F64,)), "f64_promote_f32"),
        ("i64.extend32_s", 0xC4, bytes((I64,)), bytes((I64,)), "i64_extend32_s"),
        ("i64.load8_s", 0x30, bytes((I32,)), bytes((I64,)), "i64_load8_s"),
        ("i64.store32", 0x3E, bytes((I32, I64)), b"", "i64_store32"),
        ("f64.const", 0x44, b"", bytes((F64,)), "-"),
        ("i64.trunc_sat_f64_u", 0xFC07, bytes((F64,)), bytes((I64,)), "i64_trunc_sat_f64_u"),
        ("memory.fill", 0xFC0B, bytes((I32, I32, I32)), b"", "-"),
        ("table.fill", 0xFC11, None, None, "-"),
        ("ref.func", 0xD2, b"", bytes((FUNCREF,)), "-"),
    ],
)
def test_row(name: str, code: int, params: bytes | None, results: bytes | None, ir: str) -> None:
    row = BY_NAME[name]
    assert (row.code, row.params, row.results, row.ir) == (code, params, results, ir)
    assert BY_CODE[code] is row
    assert (SINGLE[code] if code < 0x100 else FC[code & 0xFF]) is row


def test_alignment_is_the_width_of_the_access() -> None:
    for row in ROWS:
        if row.immediates == immediates.MEMARG:
            digits = row.name.partition(".")[2].strip("adelorstu_")
            width = int(digits or row.name[1:3])
            assert 8 << row.align == width, row


def test_ir_names_are_the_names_of_numeric_and_memory_operations() -> None:
    named = [row for row in ROWS if row.ir != "-"]
    assert all(row.ir == row.name.replace(".", "_") for row in named)
    assert len(named) == 123 + 5 + 8 + 14 + 9


def test_pack() -> None:
    assert pack(0xFC, 8) == 0xFC08
    assert pack(0xFD, 0x113) == 0x1FD13
    assert subcode(0x1FD13) == 0x113
    assert pack(0xFD, 0x100) != pack(0xFE, 0)
    assert (show(0x6A), show(0xFC08), show(0x1FD13)) == ("6a", "fc 08", "fd 113")


def test_illegal_says_what_is_missing() -> None:
    assert opcodes.illegal(pack(0xFD, 12)) == "illegal opcode fd 0c: no support for SIMD yet"
    assert opcodes.illegal(0x27) == "illegal opcode 27"
    assert "i32.extend8_s needs sign-extension" in opcodes.illegal(0xC0)


VALUES: list[tuple[int, Immediate]] = [
    (immediates.NONE, None),
    (immediates.BLOCK, -64),
    (immediates.BLOCK, I32 - 128),
    (immediates.BLOCK, 0),
    (immediates.BLOCK, 300),
    (immediates.LABEL, 200),
    (immediates.LABELS, (0,)),
    (immediates.LABELS, (1, 2, 300, 0)),
    (immediates.FUNC, 2**32 - 1),
    (immediates.TYPE_TABLE, (3, 200)),
    (immediates.MEMARG, (2, 0, 0)),
    (immediates.MEMARG, (3, 2**32 - 1, 0)),
    (immediates.MEMARG, (3, 16, 5)),
    (immediates.I32, -(2**31)),
    (immediates.I64, 2**63 - 1),
    (immediates.F32, 0x7FA00001),
    (immediates.F64, 0xFFF4000000000001),
    (immediates.REFTYPE, EXTERNREF),
    (immediates.DATA_MEMORY, (129, 0)),
    (immediates.SELECT_TYPES, bytes((I64,))),
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_immediates_round_trip(kind: int, value: Immediate) -> None:
    row = next(row for row in ROWS if row.immediates == kind)
    out = bytearray(b"\xaa")
    write_instr(out, row.code, value)
    start = 2 if row.code < 0x100 else 3
    data = bytes(out) + b"\xff"
    assert READERS[kind](data, start) == (value, len(out))
    assert SKIPPERS[kind](data, start) == len(out)


def test_features() -> None:
    assert "mvp" in MVP
    assert "bulk-memory" not in MVP
    assert ALL.excluding(*PROPOSALS) == MVP
    assert MVP.including("multi-value") == Features(["multi-value"])
    with pytest.raises(ValueError, match="unknown proposal 'simdd'"):
        Features(["simdd"])
