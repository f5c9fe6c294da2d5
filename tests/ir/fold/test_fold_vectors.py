"""Folding of vector operations against a model on lanes, and against wasmtime where that is installed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from figwasp.ir import ops
from figwasp.ir.fold import FOLD
from figwasp.wasm.syntax.opcodes import ROWS
from figwasp.wasm.text.parse.module import wat
from tests.ir.fold import vector_model as model
from tests.tools import package

VECTORS = range(ops.BY_NAME["i8x16_shuffle"], ops.COUNT)
RELAXED = [op for op in VECTORS if ops.FLAGS[op] & ops.MACHINE]
_RANDOM = random.Random(128)
_EDGES = {
    8: [0, 1, 2, 0x0F, 0x10, 0x1F, 0x55, 0x7E, 0x7F, 0x80, 0x81, 0xAA, 0xFE, 0xFF],
    16: [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x3FFF, 0x4000, 0x7FFE, 0x7FFF, 0x8000, 0x8001, 0xFF00, 0xFF7F, 0xFF80, 0xFFFE, 0xFFFF],
    32: [0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_7FFF, 0xFFFF_8000, 0xFFFF_FFFF],
    64: [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1, 0x5555_5555_AAAA_AAAA],
}
_F32 = [
    0, 1 << 31, 0x3F80_0000, 0xBF80_0000, 0x3F00_0000, 0xBF00_0000, 0x4020_0000, 0x7F7F_FFFF, 0xFF7F_FFFF, 1, 0x8000_0001, 0x0080_0000,
    0x007F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFC0_0000, 0x7FA0_0001, 0xFF81_2345, 0x4EFF_FFFF, 0x4F00_0000, 0xCF00_0000,
    0xCF00_0001, 0x4F80_0000, 0x4F7F_FFFF, 0xBF7F_FFFF, 0x4B7F_FFFF, 0x4B00_0001, 0x3F80_0001, 0x3400_0000, 0x3380_0000, 0xB380_0000,
]  # fmt: skip
_F64 = [
    0, 1 << 63, 0x3FF0_0000_0000_0000, 0xBFF0_0000_0000_0000, 0x3FE0_0000_0000_0000, 0x4004_0000_0000_0000, 1, 0x800F_FFFF_FFFF_FFFF,
    0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0xFFF4_0000_2000_0000, 0x7FF0_0000_0000_0001,
    0x41DF_FFFF_FFC0_0000, 0x41DF_FFFF_FFE0_0000, 0x41E0_0000_0000_0000, 0xC1E0_0000_0000_0000, 0xC1E0_0000_001F_FFFF, 0xC1E0_0000_0020_0000,
    0x41EF_FFFF_FFE0_0000, 0x41F0_0000_0000_0000, 0xBFEF_FFFF_FFFF_FFFF, 0x3FF0_0000_0000_0001, 0x3CB0_0000_0000_0000, 0x4340_0000_0000_0001,
    0x36A0_0000_0000_0000, 0x3690_0000_0000_0001, 0x47EF_FFFF_F000_0000, 0x3FF0_0000_1000_0000, 0x3FF0_0000_1000_0001,
]  # fmt: skip
_SCALARS = {"i": _EDGES[32] + _EDGES[8], "l": _EDGES[64], "f": _F32, "d": _F64}


def _vector(width: int, floats: bool) -> int:
    """Return a vector of edges and of anything, in lanes of a width."""
    edges = (_F32 if width == 32 else _F64) if floats else _EDGES[width]
    if _RANDOM.random() < 0.2:
        return _RANDOM.getrandbits(128)
    parts = [_RANDOM.choice(edges) if _RANDOM.random() < 0.8 else _RANDOM.getrandbits(width) for _ in range(128 // width)]
    return model.vector(width, parts)


def _aux(op: int) -> int:
    name = ops.NAMES[op]
    if name == "i8x16_shuffle":
        return model.vector(8, [_RANDOM.randrange(32) for _ in range(16)])
    return _RANDOM.randrange(int(name.partition("_")[0].partition("x")[2]))


def cases(op: int, count: int) -> Iterator[list[int]]:
    """Yield operands, followed by the aux where there is one."""
    name = ops.NAMES[op]
    widths = [width for width in _EDGES if any(f"{letter}{width}x" in name for letter in "if")] or list(_EDGES)
    floats = "f32x4" in name or "f64x2" in name
    for _ in range(count):
        width = _RANDOM.choice(widths)
        operands = [
            _vector(width, floats and width >= 32 and _RANDOM.random() < 0.9) if kind == "v" else _RANDOM.choice(_SCALARS[kind])
            for kind in ops.OPERANDS[op]
        ]
        if len(operands) == 2 and _RANDOM.random() < 0.1 and ops.OPERANDS[op] == "vv":
            operands[1] = operands[0]
        yield [*operands, _aux(op)] if op in ops.WITH_AUX else operands


def _fold(op: int) -> Callable[..., int]:
    fold = FOLD[op]
    assert fold is not None
    return fold


def _shown(operands: list[int]) -> list[str]:
    return [f"{operand:#034x}" for operand in operands]


def test_the_model_is_asked_about_all() -> None:
    assert len(VECTORS) == 233
    assert len(RELAXED) == 20


@pytest.mark.parametrize("op", VECTORS, ids=lambda op: ops.NAMES[op])
def test_agrees_with_the_model(op: int) -> None:
    fold = _fold(op)
    for operands in cases(op, 120):
        assert model.permits(model.compute(op, *operands), fold(*operands)), _shown(operands)


def _vectors(*lines: str) -> list[int]:
    """Read vectors: a width, then the lanes."""
    made = []
    for line in lines:
        width, *numbers = [int(word, 0) for word in line.split()]
        made.append(model.vector(width, [number % (1 << width) for number in numbers]))
    return made


@pytest.mark.parametrize(
    ("name", "operands", "result"),
    [
        ("i8x16_add_sat_s", ["8 127 -128 1 0 0 0 0 0 0 0 0 0 0 0 0 0", "8 1 -1 1 0 0 0 0 0 0 0 0 0 0 0 0 0"], "8 127 -128 2 0 0 0 0 0 0 0 0 0 0 0 0 0"),
        ("i16x8_narrow_i32x4_u", ["32 -1 65535 65536 7", "32 0 1 2 3"], "16 0 65535 65535 7 0 1 2 3"),
        ("i32x4_dot_i16x8_s", ["16 -32768 -32768 1 2 3 4 5 6", "16 -32768 -32768 1 1 1 1 -1 -1"], "32 0x80000000 3 7 -11"),
        ("i16x8_q15mulr_sat_s", ["16 -32768 16384 1 0 0 0 0 0", "16 -32768 16384 16384 0 0 0 0 0"], "16 32767 8192 1 0 0 0 0 0"),
        ("i64x2_extmul_high_i32x4_s", ["32 9 9 -3 0x80000000", "32 9 9 5 0x80000000"], "64 -15 0x4000000000000000"),
        ("f32x4_pmin", ["32 0 0x7fc00000 1 2", "32 0x80000000 0 0x7fc00000 1"], "32 0 0x7fc00000 1 1"),
        ("f32x4_min", ["32 0 0x7fc00000 1 2", "32 0x80000000 0 3 1"], "32 0x80000000 0x7fc00000 1 1"),
        ("f64x2_promote_low_f32x4", ["32 0x3f800000 0xbf800000 1 1"], "64 0x3ff0000000000000 0xbff0000000000000"),
        ("f32x4_demote_f64x2_zero", ["64 0x3ff0000000000000 0xbff0000000000000"], "32 0x3f800000 0xbf800000 0 0"),
        ("i32x4_trunc_sat_f64x2_u_zero", ["64 0xbff0000000000000 0x41f0000000000000"], "32 0 0xffffffff 0 0"),
    ],
)  # fmt: skip
def test_known_results(name: str, operands: list[str], result: str) -> None:
    assert [_fold(ops.BY_NAME[name])(*_vectors(*operands))] == _vectors(result)


@pytest.mark.parametrize(
    ("name", "operands", "result"),
    [
        # What pshufb, pblendvb, cvttps2dq, pmulhrsw, minps and pmaddubsw make of it
        ("i8x16_relaxed_swizzle", ["8 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "8 0 15 16 17 31 127 128 255 0 0 0 0 0 0 0 0"], "8 1 16 1 2 16 16 0 0 1 1 1 1 1 1 1 1"),
        ("i16x8_relaxed_laneselect", ["16 0x1111 0x1111 0x1111 0x1111 0 0 0 0", "16 0x2222 0x2222 0x2222 0x2222 0 0 0 0", "16 0x8000 0x0080 0x7f7f 0xffff 0 0 0 0"], "16 0x1122 0x2211 0x2222 0x1111 0 0 0 0"),
        ("i32x4_relaxed_laneselect", ["32 1 1 1 1", "32 2 2 2 2", "32 0x80000000 0x7fffffff 0xffffffff 0"], "32 1 2 1 2"),
        ("i32x4_relaxed_trunc_f32x4_s", ["32 0x7fc00000 0x4f000000 0xcf000001 0xc0200000"], "32 0x80000000 0x80000000 0x80000000 -2"),
        ("i16x8_relaxed_q15mulr_s", ["16 -32768 16384 1 0 0 0 0 0", "16 -32768 16384 16384 0 0 0 0 0"], "16 -32768 8192 1 0 0 0 0 0"),
        ("f32x4_relaxed_min", ["32 0 0x7fc00000 0x3f800000 0x3f800000", "32 0x80000000 0x3f800000 0x7fa00000 0x40000000"], "32 0x80000000 0x3f800000 0x7fa00000 0x3f800000"),
        ("i16x8_relaxed_dot_i8x16_i7x16_s", ["8 -128 -128 127 127 1 2 0 0 0 0 0 0 0 0 0 0", "8 -127 -127 -1 -1 3 4 0 0 0 0 0 0 0 0 0 0"], "16 -32768 32767 11 0 0 0 0 0"),
        ("i32x4_relaxed_dot_i8x16_i7x16_add_s", ["8 -128 -128 -128 -128 0 0 0 0 0 0 0 0 0 0 0 0", "8 -127 -127 -127 -127 0 0 0 0 0 0 0 0 0 0 0 0", "32 1 2 -3 4"], "32 -65535 2 -3 4"),
        # Signs of zeros: 1 * -0 + -0, -0 * 1 + -0, 1 * -0 + 0, 1 * 1 - 1
        ("f32x4_relaxed_madd", ["32 0x3f800000 0x80000000 0x3f800000 0x3f800000", "32 0x80000000 0x3f800000 0x80000000 0x3f800000", "32 0x80000000 0x80000000 0 0xbf800000"], "32 0x80000000 0x80000000 0 0"),
        # 1 + 2**-12 squared, less 1 + 2**-11: 2**-24 when it is rounded once
        ("f32x4_relaxed_madd", ["32 0x3f800800 0 0 0", "32 0x3f800800 0 0 0", "32 0xbf801000 0 0 0"], "32 0x33800000 0 0 0"),
        # 1 + 2**-23 and a tie that only a product far below breaks
        ("f32x4_relaxed_madd", ["32 0x3f800001 0x00800000 0 0", "32 0x33800000 0x00800000 0 0", "32 0x3f800000 0x3f800001 0 0"], "32 0x3f800001 0x3f800001 0 0"),
    ],
)  # fmt: skip
def test_relaxed_operations_have_the_machine_s_results(name: str, operands: list[str], result: str) -> None:
    assert [_fold(ops.BY_NAME[name])(*_vectors(*operands))] == _vectors(result)


@pytest.mark.parametrize("name", ["f32x4_relaxed_madd", "f32x4_relaxed_nmadd", "f64x2_relaxed_madd", "f64x2_relaxed_nmadd"])
def test_fused_operations_round_once(name: str) -> None:
    op = ops.BY_NAME[name]
    differ = 0
    for operands in cases(op, 800):
        width, parts = model.compute(op, *operands)
        actual = model.lanes(_fold(op)(*operands), width)
        for lane, permitted in zip(actual, parts):
            once = permitted[-1]
            if len(permitted) == 2 and permitted[0] != once and not model.is_nan(width, once):
                differ += 1
                assert lane == once, _shown(operands)
    assert differ > 5


# wasmtime: operands are at 0, 16 and 32 of a memory, and the result comes to 48

_LOADS = {"v": "v128.load", "i": "i32.load", "l": "i64.load", "f": "f32.load", "d": "f64.load"}
_STORES = {ops.V128: "v128.store", ops.I32: "i32.store", ops.I64: "i64.store", ops.F32: "f32.store", ops.F64: "f64.store"}
_NAMES = {ops.BY_NAME[row.ir]: row.name for row in ROWS if row.ir in ops.BY_NAME}
_SIZES = {ops.V128: 16, ops.I32: 4, ops.I64: 8, ops.F32: 4, ops.F64: 8}


def _text(op: int, aux: int) -> str:
    """Return an exported function that computes an operation on what is in memory."""
    loads = "".join(f" (i32.const {16 * place}) ({_LOADS[kind]})" for place, kind in enumerate(ops.OPERANDS[op]))
    numbers = aux.to_bytes(16, "little") if ops.NAMES[op] == "i8x16_shuffle" else [aux] if op in ops.WITH_AUX else []
    immediates = " ".join(map(str, numbers))
    return f'(func (export "{ops.NAMES[op]}") i32.const 48 {loads} {_NAMES[op]} {immediates} {_STORES[ops.RESULTS[op]]})'


def test_agrees_with_wasmtime() -> None:
    wasmtime = package("wasmtime")
    auxes = {op: _aux(op) if op in ops.WITH_AUX else 0 for op in VECTORS}
    store = wasmtime.Store()
    text = wat('(module (memory (export "m") 1) ' + "".join(_text(op, auxes[op]) for op in VECTORS) + ")")
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, text), []).exports(store)
    memory = exports["m"]
    for op in VECTORS:
        for case in cases(op, 40):
            operands = case[: len(ops.OPERANDS[op])]
            memory.write(store, b"".join(operand.to_bytes(16, "little") for operand in operands), 0)
            exports[ops.NAMES[op]](store)
            expected = int.from_bytes(memory.read(store, 48, 48 + _SIZES[ops.RESULTS[op]]), "little")
            full = [*operands, auxes[op]] if op in ops.WITH_AUX else operands
            permitted = model.compute(op, *full)
            assert model.permits(permitted, expected), (ops.NAMES[op], _shown(operands))
            if all(len(lane) == 1 for lane in permitted[1]):
                assert _fold(op)(*full) == expected, (ops.NAMES[op], _shown(operands))
