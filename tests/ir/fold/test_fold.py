"""Folding against a model on rationals, and against wasmtime where that is installed."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

import pytest

from figwasp.ir import ops
from figwasp.ir.fold import FOLD, UNDEFINED
from figwasp.wasm.syntax.opcodes import ROWS
from figwasp.wasm.text.parse.module import wat
from tests.ir.fold import numeric_model as model
from tests.tools import package

_RANDOM = random.Random(20)


def _integers(width: int) -> list[int]:
    edges = {0, 1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000}
    edges |= {1 << 24, (1 << 24) + 1, (1 << 53) - 1, (1 << 53) + 1, (1 << 25) - 1, 0x7FFF_FFBF, 0x7FFF_FFC0, 0x7FFF_FF80}
    # What rounds in the wrong direction when it is rounded to f64 first
    edges |= {0x8000_0080_0000_0001, 0x8000_0080_0000_0000, 0x7FFF_FFBF_FFFF_FFFF, 0x4000_0020_0000_0001}
    edges |= {-edge for edge in edges} | {1 << width - 1, (1 << width - 1) - 1} | {_RANDOM.getrandbits(width) for _ in range(6)}
    return sorted({edge % (1 << width) for edge in edges})


def _floats(f: model.Format) -> list[int]:
    one = f.round(Fraction(1))
    edges = {0, 1, 2, 3, f.quiet, (1 << f.digits - 1) - 1, 1 << f.digits - 1, (1 << f.digits - 1) + 1, one, one + 1, one - 1}
    edges |= {f.infinity, f.infinity - 1, f.infinity | f.quiet, f.infinity | f.quiet | 5, f.infinity | 1, f.infinity + f.quiet - 1}
    for power in (-1, 1, 12, f.digits - 2, f.digits - 1, f.digits, 31, 32, 63, 64, f.most // 2):
        edges |= {f.round(Fraction(2) ** power) + step for step in (-1, 0, 1)}
    edges |= {f.round(Fraction(half, 2)) for half in (3, 5, 7)} | {_RANDOM.getrandbits(f.width) for _ in range(6)}
    return sorted({f.sign(edge % (1 << f.width - 1), negative) for edge in edges for negative in (False, True)})


OPERANDS = {"i": _integers(32), "l": _integers(64), "f": _floats(model.F32), "d": _floats(model.F64)}
COMPUTED = [op for op in range(ops.BY_NAME["i8x16_shuffle"]) if FOLD[op] is not None and op != ops.SELECT]


def _cases(op: int) -> list[tuple[int, ...]]:
    kinds = ops.OPERANDS[op]
    first = OPERANDS[kinds[0]]
    if len(kinds) == 1:
        more = [_RANDOM.getrandbits(model.WIDTHS[kinds]) for _ in range(200)]
        return [(a,) for a in first + more]
    cases: list[tuple[int, ...]] = [(a, b) for a in first for b in OPERANDS[kinds[1]]]
    return cases if len(cases) < 1500 else _RANDOM.sample(cases, 1500)


def _fold(op: int) -> Callable[..., int]:
    fold = FOLD[op]
    assert fold is not None
    return fold


@pytest.mark.parametrize("op", COMPUTED, ids=lambda op: ops.NAMES[op])
def test_agrees_with_the_model(op: int) -> None:
    fold = _fold(op)
    for operands in _cases(op):
        expected = model.compute(op, *operands)
        actual = fold(*operands)
        if expected is None:
            assert actual == UNDEFINED, [hex(bits) for bits in operands]
        else:
            assert actual in expected, [hex(bits) for bits in operands]


@pytest.mark.parametrize(
    ("name", "operands", "result"),
    [
        ("f32_convert_i64_s", [0x7FFF_FFBF_FFFF_FFFF], 0x5EFF_FFFF),
        ("f32_convert_i64_u", [0x8000_0080_0000_0001], 0x5F00_0001),
        ("f32_add", [0x7F7F_FFFF, 0x7F7F_FFFF], 0x7F80_0000),
        ("f32_mul", [0x0000_0001, 0x3F00_0000], 0),
        ("f32_nearest", [0xBF00_0000], 0x8000_0000),
        ("f64_nearest", [0x4004_0000_0000_0000], 0x4000_0000_0000_0000),
        ("f64_ceil", [0xBFE0_0000_0000_0000], 1 << 63),
        ("f32_min", [0, 1 << 31], 1 << 31),
        ("f32_max", [1 << 31, 0], 0),
        ("f32_add", [0x7FA0_0001, 0x3F80_0000], 0x7FE0_0001),
        ("f32_demote_f64", [0xFFF4_0000_2000_0000], 0xFFE0_0001),
        ("f64_promote_f32", [0x7FA0_0001], 0x7FFC_0000_2000_0000),
        ("i32_trunc_sat_f64_s", [0xFFF0_0000_0000_0000], 0x8000_0000),
        ("i64_trunc_sat_f32_u", [0x7FC0_0000], 0),
        ("i32_trunc_f32_s", [0xCF00_0000], 0x8000_0000),
        ("i32_trunc_f64_u", [0xBFEF_FFFF_FFFF_FFFF], 0),
        ("i32_rem_s", [0x8000_0001, 2], 0xFFFF_FFFF),
        ("select", [7, 8, 0], 8),
        ("select", [7, 8, 0x8000_0000], 7),
    ],
)
def test_known_results(name: str, operands: list[int], result: int) -> None:
    assert _fold(ops.BY_NAME[name])(*operands) == result


@pytest.mark.parametrize("name", ["i32_div_s", "i64_div_s", "i32_rem_s", "i64_rem_s", "i32_div_u", "i64_rem_u"])
def test_division_by_zero_is_undefined(name: str) -> None:
    assert _fold(ops.BY_NAME[name])(5, 0) == UNDEFINED


@pytest.mark.parametrize("name", ["i32_trunc_f32_s", "i64_trunc_f64_u"])
@pytest.mark.parametrize("bits", [0x7F80_0000, 0xFF80_0000, 0x7FC0_0000])
def test_conversion_of_no_finite_number_is_undefined(name: str, bits: int) -> None:
    assert _fold(ops.BY_NAME[name])(bits << 32 if "f64" in name else bits) == UNDEFINED


_RAW = {"i": ("i32", ""), "l": ("i64", ""), "f": ("i32", "f32.reinterpret_i32"), "d": ("i64", "f64.reinterpret_i64")}
_BACK = {
    ops.I32: ("i32", ""),
    ops.I64: ("i64", ""),
    ops.F32: ("i32", "i32.reinterpret_f32"),
    ops.F64: ("i64", "i64.reinterpret_f64"),
}


def _text(op: int, name: str) -> str:
    """Return an exported function that computes an operation on bits."""
    params = "".join(f" (param {_RAW[kind][0]})" for kind in ops.OPERANDS[op])
    code = "".join(f" local.get {place} {_RAW[kind][1]}" for place, kind in enumerate(ops.OPERANDS[op]))
    result, back = _BACK[ops.RESULTS[op]]
    return f'(func (export "{ops.NAMES[op]}"){params} (result {result}){code} {name} {back})'


def test_agrees_with_wasmtime() -> None:
    wasmtime = package("wasmtime")
    names = {ops.BY_NAME[row.ir]: row.name for row in ROWS if row.ir in ops.BY_NAME}
    tested = [op for op in COMPUTED if op in names]
    assert len(tested) > 130
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, wat("(module " + "".join(_text(op, names[op]) for op in tested) + ")"))
    exports = wasmtime.Instance(store, module, []).exports(store)
    for op in tested:
        width = 32 if ops.RESULTS[op] in (ops.I32, ops.F32) else 64
        f = {ops.F32: model.F32, ops.F64: model.F64}.get(ops.RESULTS[op])
        cases = _cases(op)
        for operands in _RANDOM.sample(cases, min(len(cases), 250)):
            actual = _fold(op)(*operands)
            args = [model.signed(bits, model.WIDTHS[kind]) for bits, kind in zip(operands, ops.OPERANDS[op])]
            try:
                expected = exports[ops.NAMES[op]](store, *args) % (1 << width)
            except wasmtime.Trap:
                expected = UNDEFINED
            if "_rem_s" in ops.NAMES[op] and args[1] == -1:
                expected = actual  # -1 is outside of the domain for some dividends, for which the spec has a result
            if f is not None and f.is_nan(expected):
                assert f.is_nan(actual)
            else:
                assert actual == expected, (ops.NAMES[op], [hex(bits) for bits in operands])
