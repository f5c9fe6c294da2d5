"""Simplification keeps the values of expressions and programs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from figwasp.ir import ops, order, params, pipeline, types
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.evaluate.func import Environment, Evaluator, NativeMemory, Undefined
from figwasp.ir.func import CONV_C, Func, Value
from figwasp.ir.simplify.walk import simplify
from figwasp.ir.text import show, show_value
from figwasp.ir.verify import verify
from figwasp.layout import CHECKED, GUARD
from tests.ir.compiling import module_of
from tests.ir.evaluating import evaluated, invoke

_PURE = [op for op in range(ops.COUNT) if ops.FLAGS[op] & ops.PURE and ops.OPERANDS[op] and op != ops.SELECT]
_VECTORS = [op for op in _PURE if op >= ops.BY_NAME["i8x16_shuffle"]]
_SCALARS = [op for op in _PURE if op not in _VECTORS]
_TYPE = types.BY_LETTER
_INTERESTING = [0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 33, 48, 56, 63, 64, 127, 128, 255, 256, 0x7FFF, 0xFFFF]
_INTERESTING += [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 1 << 63, (1 << 63) - 1, (1 << 64) - 1, 0x7FC0_0000]
_bits = st.one_of(st.sampled_from(_INTERESTING), st.integers(0, (1 << 64) - 1))
_wide = st.builds(lambda low, high: high << 64 | low, _bits, _bits)
_SEED = st.integers(0, (1 << 32) - 1)


def _mask(type: int) -> int:
    return types.MASKS[type]


def _aux(draw: Callable[[st.SearchStrategy[int]], int], op: int) -> int:
    """Choose lanes, if the operation has any."""
    if op not in ops.WITH_AUX:
        return 0
    if ops.NAMES[op] == "i8x16_shuffle":
        return draw(_wide) & 0x1F1F_1F1F_1F1F_1F1F_1F1F_1F1F_1F1F_1F1F
    return draw(st.integers(0, int(ops.NAMES[op].partition("_")[0].partition("x")[2]) - 1))


def _pick(draw: Callable[[st.SearchStrategy[int]], int], values: list[Value], type: int) -> Value:
    """Choose an operand, mostly one made lately."""
    fitting = [value for value in values if value.type == type]
    return fitting[-1 - draw(st.integers(0, min(len(fitting), 6) - 1))]


@st.composite
def expressions(draw: st.DrawFn) -> Func:
    """Make a function that computes one value from parameters and constants, without anything that can trap."""
    kinds = bytes((ops.I32, ops.I64, ops.F32, ops.F64, ops.I32, ops.I64, ops.V128))
    func = Func("", 0, kinds, b"", CONV_C)
    emitter = Emitter(func)
    values = list(func.blocks[0].params)
    for _ in range(draw(st.integers(2, 14))):
        if draw(st.integers(0, 3)) == 0:
            type = draw(st.sampled_from([ops.I32, ops.I64, ops.I32, ops.I64, ops.F32, ops.F64, ops.V128, ops.V128]))
            values.append(emitter.const(type, draw(_wide) & _mask(type)))
        elif draw(st.integers(0, 9)) == 0:
            type = draw(st.sampled_from([ops.I32, ops.I64, ops.F32, ops.V128]))
            args = [_pick(draw, values, type), _pick(draw, values, type), _pick(draw, values, ops.I32)]
            values.append(emitter.emit(ops.SELECT, args, 0, type))
        else:
            op = draw(st.sampled_from(draw(st.sampled_from([_SCALARS, _VECTORS]))))
            args = [_pick(draw, values, _TYPE[kind]) for kind in ops.OPERANDS[op]]
            values.append(emitter.emit(op, args, _aux(draw, op)))
    func.results = bytes((values[-1].type,))
    emitter.ret([values[-1]])
    order.run(func)
    return func


def _value(func: Func, args: list[int]) -> list[int] | None:
    try:
        return Evaluator(Environment(NativeMemory())).run(func, args)
    except Undefined:
        return None


@hypothesis.settings(max_examples=600, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(expressions(), st.lists(st.tuples(_bits, _bits, _bits, _bits, _bits, _bits, _wide), min_size=3, max_size=6))
def test_simplify_keeps_the_value_of_expressions(func: Func, rows: list[tuple[int, ...]]) -> None:
    cases = [[bits & _mask(type) for bits, type in zip(row, func.params)] for row in rows]
    before = show(func)
    expected = [_value(func, args) for args in cases]
    simplify(func)
    verify(func, "simplify")
    params.run(func)
    verify(func, "params")
    for args, value in zip(cases, expected):
        if value is not None:
            assert _value(func, args) == value, f"{args}\n{before}\n{show(func)}"


# All pairs of integer operations, one on the result of the other, with constants that rules look at


_INTEGER_OPS = [op for op in _SCALARS if all(kind in "il" for kind in ops.OPERANDS[op]) and ops.RESULTS[op] <= ops.I64]
_DIVISIONS = [op for op in _INTEGER_OPS if "_div_" in ops.NAMES[op] or "_rem_" in ops.NAMES[op]]
_FIRST_CONSTANTS = [0, 1, 24, 32, 0xFF, 0x8000_0000, (1 << 64) - 1]
_SECOND_CONSTANTS = [0, 1, 24, (1 << 64) - 1]


class _Pairs(Emitter):
    """Emits operations; constants once per function."""

    def __init__(self, func: Func) -> None:
        super().__init__(func)
        self.constants: dict[tuple[int, int], Value] = {}

    def constant(self, kind: str, bits: int) -> Value:
        key = _TYPE[kind], bits & _mask(_TYPE[kind])
        if key not in self.constants:
            self.constants[key] = self.const(*key)
        return self.constants[key]

    def combine(self, operand: Value, others: list[Value], constants: list[int]) -> list[Value]:
        """Emit all operations on a value, with constants and with other values on either side."""
        made = []
        for op in _INTEGER_OPS:
            kinds = ops.OPERANDS[op]
            if _TYPE[kinds[0]] != operand.type:
                continue
            if len(kinds) == 1:
                made.append(self.emit(op, [operand]))
                continue
            division = op in _DIVISIONS
            for bits in constants:
                constant = self.constant(kinds[1], bits)
                if not division:
                    made.append(self.emit(op, [constant, operand]))
                elif bits & _mask(operand.type) in (0, _mask(operand.type)):
                    continue  # undefined for some operands, which is for the builder to prevent
                made.append(self.emit(op, [operand, constant]))
            if not division:
                made += [self.emit(op, [operand, other]) for other in [operand, *others] if other.type == operand.type]
        return made


# What little is known of the operand of the first operation: nothing, a bit, a byte, the extension of an i32
_OPERANDS = {
    "i": [[], [ops.I32_EQZ], [ops.I32_EXTEND8_S], [ops.I32_POPCNT]],
    "l": [[], [ops.I32_WRAP_I64, ops.I64_EXTEND_I32_S], [ops.I32_WRAP_I64, ops.I32_EQZ, ops.I64_EXTEND_I32_U]],
}


def _pairs(first: int, prepare: list[int]) -> Func:
    """Make a function that returns all that can be done to what one operation with any operands gives."""
    func = Func(ops.NAMES[first], 0, bytes((ops.I32, ops.I64, ops.I32, ops.I64)), b"", CONV_C)
    emitter = _Pairs(func)
    x, y = (value for value in func.blocks[0].params if value.type == _TYPE[ops.OPERANDS[first][0]])
    for op in prepare:
        x = emitter.emit(op, [x])
    made = [value for value in emitter.combine(x, [y], _FIRST_CONSTANTS) if value.op == first]
    results = [result for value in made for result in emitter.combine(value, [y], _SECOND_CONSTANTS)]
    results += [emitter.emit(ops.SELECT, [x, y, value], 0, x.type) for value in made if value.type == ops.I32]
    results += [emitter.emit(ops.I32_EQZ, [value]) for value in results if value.type == ops.I32]
    func.results = bytes(value.type for value in results)
    emitter.ret(results)
    order.run(func)
    return func


@pytest.mark.parametrize("first", _INTEGER_OPS, ids=lambda op: ops.NAMES[op])
def test_pairs_of_operations_keep_their_values(first: int) -> None:
    for prepare in _OPERANDS[ops.OPERANDS[first][0]]:
        _check_pairs(first, prepare)


def _check_pairs(first: int, prepare: list[int]) -> None:
    plain, simplified = (_pairs(first, prepare) for _ in range(2))
    results = plain.blocks[0].code[-1].args
    simplify(simplified)
    rng = random.Random(first)
    edges = [0x7FFF_FFFF_8000_0000, (1 << 64) - 1, 0x1234_5678_9ABC_DEF0]
    for edge in edges:
        args = [bits & _mask(type) for bits, type in zip([edge, edge, rng.getrandbits(64), rng.getrandbits(64)], plain.params)]
        expected = Evaluator(Environment(NativeMemory())).run(plain, args)
        actual = Evaluator(Environment(NativeMemory())).run(simplified, args)
        for value, one, other in zip(results, expected, actual):
            assert one == other, (args, show_value(value), [show_value(arg) for arg in value.args])


KERNELS = ["matmul_ikj", "sha256", "mandel", "collatz64"]


@pytest.mark.parametrize("mode", [GUARD, CHECKED], ids=["guard", "checked"])
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compute_the_same_in_fewer_steps(shared: Path, name: str, mode: int) -> None:
    case = json.loads((shared / "kernels/kernels.json").read_text())[name]
    module = module_of((shared / f"kernels/wasm/{name}.wasm").read_bytes())
    steps = []
    for passes in (params.run, pipeline.run):
        instance = evaluated(module, mode, passes)
        (result,) = invoke(instance, case["export"], case["n_small"])
        assert result == case["expect_small"] % (1 << 32)
        steps.append(instance.space.evaluator.steps)
    assert steps[1] > steps[0]
