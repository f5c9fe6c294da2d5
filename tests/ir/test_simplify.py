"""Simplification: single rules, goldens, and that results stay what they were."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from figwasp.ir import ops, order, params, pipeline
from figwasp.ir.build import CHECKED, GUARD
from figwasp.ir.evaluate import Environment, Evaluator, Space, Trapped, Undefined
from figwasp.ir.evaluate_module import Machine
from figwasp.ir.func import CONV_C, PARAM, Emitter, Func, Value
from figwasp.ir.simplify import simplify
from figwasp.ir.text import parse, show
from figwasp.ir.verify import verify
from tests.golden import runner
from tests.ir.compiling import build_all, build_one, module_of


def _simplified(mode: int) -> runner.Stage:
    def stage(source: str) -> str:
        funcs = build_all(module_of(source), mode)
        for func in funcs:
            pipeline.run(func)
        return "".join(map(show, funcs))

    return stage


STAGES = {"simplify": _simplified(GUARD), "simplify checked": _simplified(CHECKED)}


@pytest.mark.parametrize("case", runner.read("simplify*.test"), ids=repr)
def test_golden(case: runner.Case) -> None:
    runner.check(case, STAGES)


# Single rules: x, y are i32; p, q i64; f f32; d f64. The right column is what the function returns after simplification.

RULES = """
i32.add x 0 => x
i32.add 5 x => i32_add(x, 5)
i32.add (i32.add x 3) 4 => i32_add(x, 7)
i32.add (i32.sub x 3) 3 => x
i32.sub x 5 => i32_add(x, -5)
i32.sub x 0 => x
i32.sub 0 x => i32_sub(0, x)
i32.sub x x => 0
i64.sub p p => 0
i64.sub p 1 => i64_add(p, -1)
i32.mul x 0 => 0
i32.mul 1 x => x
i32.mul x 8 => i32_shl(x, 3)
i64.mul p 4294967296 => i64_shl(p, 32)
i32.mul x -2147483648 => i32_shl(x, 31)
i32.mul (i32.mul x 3) 5 => i32_mul(x, 15)
i32.and x 0 => 0
i32.and x -1 => x
i32.and x x => x
i32.and (i32.and x 12) 10 => i32_and(x, 8)
i32.and (i32.lt_s x y) 1 => i32_lt_s(x, y)
i32.and (i32.shr_u x 24) 255 => i32_shr_u(x, 24)
i32.and (i32.shr_u x 24) 127 => i32_and(i32_shr_u(x, 24), 127)
i32.and (i32.load8_u x) 255 => i32_load8_u(x)
i32.and (i32.load8_s x) 255 => i32_and(i32_load8_s(x), 255)
i64.and (i64.extend_i32_s x) 4294967295 => i64_extend_i32_u(x)
i64.and (i64.extend_i32_u x) 4294967295 => i64_extend_i32_u(x)
i64.and (i64.load32_u x) 4294967295 => i64_load32_u(x)
i32.or x 0 => x
i32.or x -1 => -1
i32.or x x => x
i32.xor x 0 => x
i32.xor x x => 0
i32.xor (i32.lt_s x y) 1 => i32_ge_s(x, y)
i32.xor (f32.lt f f) 1 => i32_eqz(f32_lt(f, f))
i32.shl x 0 => x
i32.shl x 32 => x
i32.shl x 35 => i32_shl(x, 3)
i64.shr_u p 64 => p
i32.rotl x (i32.and y 31) => i32_rotl(x, y)
i32.shl x (i32.and y 63) => i32_shl(x, y)
i32.shl x (i32.and y 15) => i32_shl(x, i32_and(y, 15))
i64.shl p (i64.and q 63) => i64_shl(p, q)
i64.shl p (i64.and q 31) => i64_shl(p, i64_and(q, 31))
i32.shl 1 (i32.and y 31) => i32_shl(1, y)
i32.shr_s (i32.shl x 24) 24 => i32_extend8_s(x)
i32.shr_s (i32.shl x 16) 16 => i32_extend16_s(x)
i32.shr_s (i32.shl x 16) 24 => i32_shr_s(i32_shl(x, 16), 24)
i64.shr_s (i64.shl p 32) 32 => i64_extend32_s(p)
i64.shr_s (i64.shl p 24) 24 => i64_shr_s(i64_shl(p, 24), 24)
i32.div_u x 1 => x
i32.div_u x 16 => i32_shr_u(x, 4)
i32.div_u x 10 => i32_div_u(x, 10)
i64.div_u p -9223372036854775808 => i64_shr_u(p, 63)
i32.rem_u x 16 => i32_and(x, 15)
i32.rem_u x 1 => 0
i32.rem_u (i32.load8_u x) 256 => i32_load8_u(x)
i32.div_s x 1 => x
i32.div_s x 2 => i32_div_s(x, 2)
i32.rem_s x 1 => 0
i32.rem_s x -1 => 0
i32.rem_s x 2 => i32_rem_s(x, 2)
i32.eq x 0 => i32_eqz(x)
i32.eq x x => 1
i32.eq 3 x => i32_eq(x, 3)
i32.eq (i32.lt_s x y) 0 => i32_ge_s(x, y)
i32.eq (i32.lt_s x y) 1 => i32_lt_s(x, y)
i32.ne (i32.lt_s x y) 1 => i32_ge_s(x, y)
i32.ne (i32.lt_s x y) 0 => i32_lt_s(x, y)
i32.eq (i32.lt_s x y) 2 => 0
i32.ne (i32.load8_u x) 256 => 1
i32.ne (i32.load8_s x) 256 => i32_ne(i32_load8_s(x), 256)
i32.ne (f64.lt d d) 0 => f64_lt(d, d)
i64.eq p 0 => i64_eqz(p)
i32.lt_s 3 x => i32_gt_s(x, 3)
i32.le_u 3 x => i32_ge_u(x, 3)
i32.lt_s x x => 0
i32.ge_u x x => 1
i32.lt_u x 0 => 0
i32.ge_u x 0 => 1
i32.lt_u x 1 => i32_eqz(x)
i64.ge_u p 1 => i64_ne(p, 0)
i32.gt_u x 0 => i32_ne(x, 0)
i32.le_u x 0 => i32_eqz(x)
i32.gt_u x 1 => i32_gt_u(x, 1)
i32.eqz (i32.eqz x) => i32_ne(x, 0)
i32.eqz (i32.eqz (i32.eqz x)) => i32_eqz(x)
i32.eqz (i32.eqz (i32.gt_u x y)) => i32_gt_u(x, y)
i32.eqz (i32.lt_u x y) => i32_ge_u(x, y)
i32.eqz (i64.le_s p q) => i64_gt_s(p, q)
i32.eqz (i32.ne x 0) => i32_eqz(x)
i32.eqz (i64.eqz p) => i64_ne(p, 0)
i32.eqz (i64.ne p 0) => i64_eqz(p)
i32.eqz (f32.lt f f) => i32_eqz(f32_lt(f, f))
i64.eqz (i64.extend_i32_s x) => i32_eqz(x)
i64.eqz (i64.extend_i32_u (i32.eqz x)) => i32_ne(x, 0)
i64.ne (i64.extend_i32_u (i32.eqz x)) 0 => i32_eqz(x)
i64.eq (i64.extend_i32_u x) 7 => i32_eq(x, 7)
i64.eq (i64.extend_i32_u x) 4294967296 => 0
i64.lt_s (i64.extend_i32_u x) 7 => i32_lt_u(x, 7)
i64.lt_s (i64.extend_i32_u x) -7 => i64_lt_s(i64_extend_i32_u(x), -7)
i64.lt_s (i64.extend_i32_s x) -7 => i32_lt_s(x, -7)
i64.lt_u (i64.extend_i32_s x) -7 => i32_lt_u(x, -7)
i64.lt_s (i64.extend_i32_s x) 2147483648 => i64_lt_s(i64_extend_i32_s(x), 2147483648)
i64.lt_s (i64.extend_i32_u x) (i64.extend_i32_u y) => i32_lt_u(x, y)
i64.lt_s (i64.extend_i32_s x) (i64.extend_i32_s y) => i32_lt_s(x, y)
i64.eq (i64.extend_i32_s x) (i64.extend_i32_s y) => i32_eq(x, y)
i64.eq (i64.extend_i32_s x) (i64.extend_i32_u y) => i64_eq(i64_extend_i32_s(x), i64_extend_i32_u(y))
i32.wrap_i64 (i64.extend_i32_u x) => x
i32.wrap_i64 (i64.extend_i32_s x) => x
i64.extend_i32_u (i32.wrap_i64 p) => i64_extend_i32_u(i32_wrap_i64(p))
i64.extend_i32_u (i32.wrap_i64 (i64.shr_u p 32)) => i64_shr_u(p, 32)
i64.extend_i32_s (i32.load8_u x) => i64_extend_i32_u(i32_load8_u(x))
i64.extend_i32_s (i32.load8_s x) => i64_extend_i32_s(i32_load8_s(x))
i64.extend_i32_s (i32.and x 2147483647) => i64_extend_i32_u(i32_and(x, 2147483647))
i64.extend_i32_s (i32.and x -2147483648) => i64_extend_i32_s(i32_and(x, -2147483648))
i32.extend8_s (i32.load8_s x) => i32_load8_s(x)
i32.extend8_s (i32.load8_u x) => i32_extend8_s(i32_load8_u(x))
i32.extend16_s (i32.load8_u x) => i32_load8_u(x)
i32.extend16_s (i32.extend8_s x) => i32_extend8_s(x)
i32.extend8_s (i32.extend16_s x) => i32_extend8_s(i32_extend16_s(x))
i32.extend8_s (i32.and x 255) => i32_extend8_s(x)
i32.extend8_s (i32.and x 127) => i32_and(x, 127)
i32.extend8_s (i32.and x 254) => i32_extend8_s(i32_and(x, 254))
i64.extend32_s (i64.extend_i32_s x) => i64_extend_i32_s(x)
i64.extend32_s (i64.extend_i32_u x) => i64_extend_i32_s(x)
i64.extend32_s (i64.load16_s x) => i64_load16_s(x)
select x y 1 => x
select x y 0 => y
select x x y => x
select x y (i32.eqz x) => select(y, x, x)
select x y (i32.eqz (i32.eqz x)) => select(x, y, x)
select x y (i32.ne x 0) => select(x, y, x)
select 1 0 (i32.lt_s x y) => i32_lt_s(x, y)
select 0 1 (i32.lt_s x y) => i32_ge_s(x, y)
select 0 1 (f32.lt f f) => i32_eqz(f32_lt(f, f))
select 1 0 x => select(1, 0, x)
i32.reinterpret_f32 (f32.reinterpret_i32 x) => x
f64.reinterpret_i64 (i64.reinterpret_f64 d) => d
f32.neg (f32.neg f) => f
f32.add f 0 => f32_add(f, 0x0)
f64.mul d 1 => f64_mul(d, 0x3ff0000000000000)
f64.sub d d => f64_sub(d, d)
f64.mul 2 d => f64_mul(d, 0x4000000000000000)
f64.sub 2 d => f64_sub(0x4000000000000000, d)
f64.add 1 2 => 0x4008000000000000
i32.clz 0 => 32
i32.div_u (i32.or x 1) (i32.sub 3 3) => trap
"""

_LOCALS = {"x": "i32", "y": "i32", "p": "i64", "q": "i64", "f": "f32", "d": "f64"}
_NAMES = dict(enumerate(_LOCALS, 1))


def _rules() -> list[tuple[str, str]]:
    rows = [line.partition(" => ") for line in RULES.strip().splitlines()]
    return [(expression, expected) for expression, _, expected in rows]


def _tokens(text: str) -> list[str]:
    return text.replace("(", " ( ").replace(")", " ) ").split()


def _fold_text(name: str, tokens: list[str]) -> str:
    """Turn the operands of an instruction into the folded text form; a bare number is a constant of the type it must have."""
    operands: list[str] = []
    kinds = "iii" if name == "select" else ops.OPERANDS[ops.BY_NAME[name.replace(".", "_")]].replace("*", "i")
    while tokens and tokens[0] != ")":
        token = tokens.pop(0)
        kind = {"i": "i32", "l": "i64", "f": "f32", "d": "f64"}[kinds[len(operands)]]
        if token == "(":
            operands.append(_fold_text(tokens.pop(0), tokens))
            tokens.pop(0)
        elif token in _LOCALS:
            operands.append(f"(local.get ${token})")
        else:
            operands.append(f"({kind}.const {token})")
    return f"({name} {' '.join(operands)})"


def _function(expression: str) -> str:
    tokens = _tokens(expression)
    body = _fold_text(tokens.pop(0), tokens)
    name = expression.split()[0]
    result = {0: "i32", 1: "i64", 2: "f32", 3: "f64"}[0 if name == "select" else ops.RESULTS[ops.BY_NAME[name.replace(".", "_")]]]
    declared = " ".join(f"(param ${name} {type})" for name, type in _LOCALS.items())
    return f'(module (memory 1) (func (export "f") {declared} (result {result}) {body}))'


def _tree(value: Value) -> str:
    if value.op == PARAM:
        return _NAMES.get(value.id, "base")
    if value.op == ops.CONST:
        bits = value.aux
        assert isinstance(bits, int)
        if value.type >= ops.F32:
            return hex(bits)
        width = 32 if value.type == ops.I32 else 64
        return str(bits - (bits >> width - 1 << width))
    args = value.args[1:] if ops.FLAGS[value.op] & ops.READS else value.args
    return f"{ops.NAMES[value.op]}({', '.join(map(_tree, args))})"


@pytest.mark.parametrize(("expression", "expected"), _rules(), ids=lambda text: text)
def test_rule(expression: str, expected: str) -> None:
    source = _function(expression)
    func = build_one(source)
    pipeline.run(func)
    end = func.blocks[-1].code[-1]
    assert (_tree(end.args[0]) if end.op == ops.RETURN else ops.NAMES[end.op]) == expected
    _compare_on_random_arguments(source)


_EDGES = [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x8000_0000_0000_0000, (1 << 64) - 1]


def _outcome(machine: Machine, index: int, args: list[int]) -> list[int] | tuple[int, int]:
    try:
        return machine.invoke(index, args)
    except Trapped as trap:
        return trap.code, trap.pos


def _compare_on_random_arguments(source: str, mode: int = GUARD) -> None:
    rng = random.Random(source)
    plain = Machine(module_of(source), mode)
    simplified = Machine(module_of(source), mode, pipeline.run)
    index = plain.export("f")
    widths = [64 if type in (ops.I64, ops.F64) else 32 for type in plain.func(index).params[1:]]
    for _ in range(12):
        args = [rng.choice([rng.getrandbits(64), *_EDGES]) % (1 << width) for width in widths]
        assert _outcome(plain, index, args) == _outcome(simplified, index, args), args


def test_rules_are_all_exercised() -> None:
    names = {_tokens(expression)[0] for expression, _ in _rules()}
    assert len(_rules()) > 140
    assert len(names) > 40


# Whole functions


def _from_text(body: str, params_: str = "i64, i32, i32", results: str = "i32") -> Func:
    names = ", ".join(f"v{number}: {type}" for number, type in enumerate(params_.split(", ")))
    func = parse(f'func 0 "" ({params_}) -> ({results}) {{\nb0({names}):\n{body}\n}}')
    order.run(func)
    verify(func)
    simplify(func)
    verify(func, "simplify")
    params.run(func)
    order.run(func)
    verify(func, "order")
    return func


def _ops(func: Func) -> list[str]:
    return [ops.NAMES[value.op] for block in func.blocks for value in block.code if value.op != ops.CONST]


def test_addresses_take_constants_in() -> None:
    func = _from_text("""
        v3 = const i64 8
        v4 = i64_add v0, v3
        v5 = const i64 -16
        v6 = i64_add v4, v5
        v7 = i64_load v4, native+8
        i64_store v7, v4, global+4
        v9 = i64_load v6, native+4
        v10 = i64_load v6, native+8
        i64_store v9, v6, native+24
        i64_store v10, v0, native+0
        return v1
    """)
    accesses = [value for value in func.blocks[0].code if ops.FLAGS[value.op] & (ops.READS | ops.WRITES)]
    offsets = [ops.aux_offset(value.aux) for value in accesses if isinstance(value.aux, int)]
    assert offsets == [16, 12, 4, 0, 16, 0]
    bases = [value.args[-1].op == PARAM for value in accesses]
    assert bases == [True, True, False, True, True, True], "base - 8 + 4 is no offset"


def test_addresses_stay_below_two_gigabytes_and_linear_memory_is_left_alone() -> None:
    func = _from_text("""
        v3 = const i64 2147483647
        v4 = i64_add v0, v3
        v5 = i64_load v4, native+1
        v6 = const i64 8
        v7 = i64_add v0, v6
        v8 = i32_load v7, v1, mem0+16
        i64_store v5, v7, v8, mem0+0
        return v8
    """)
    assert _ops(func) == ["i64_add", "i64_load", "i64_add", "i32_load", "i64_store", "return"]


def test_frame_areas_are_never_shared() -> None:
    func = _from_text("""
        v3 = frame_area 16
        v4 = frame_area 16
        i32_store v1, v3, native+0
        i32_store v2, v4, native+0
        v7 = i32_load v3, native+0
        return v7
    """)
    assert _ops(func).count("frame_area") == 2
    assert _ops(func).count("i32_load") == 1, "loads of native memory stay"


def test_native_stores_make_globals_unknown() -> None:
    func = _from_text("""
        v3 = i32_load v0, global+32
        i32_store v1, v0, native+32
        v5 = i32_load v0, global+32
        v6 = i32_add v3, v5
        return v6
    """)
    assert _ops(func).count("i32_load") == 2


def test_a_store_to_one_global_leaves_others_known_if_they_have_the_same_base() -> None:
    func = _from_text("""
        v3 = i64_load v0, const+64
        v4 = i32_load v0, global+32
        v5 = i32_load v3, global+16
        i32_store v1, v0, global+48
        v7 = i32_load v0, global+32
        v8 = i32_load v3, global+16
        v9 = i32_add v4, v5
        v10 = i32_add v7, v8
        v11 = i32_mul v9, v10
        return v11
    """)
    loads = [value for value in func.blocks[0].code if value.op == ops.I32_LOAD]
    assert [ops.aux_offset(value.aux) for value in loads if isinstance(value.aux, int)] == [32, 16, 16]


@pytest.mark.parametrize("between", ["poll", "call f0 v0, v1, v2 : (i32, i32) -> ()", "call_native v0 : () -> ()"])
def test_calls_make_globals_unknown_but_not_what_is_constant(between: str) -> None:
    func = _from_text(f"""
        v3 = i32_load v0, global+32
        v4 = i32_load v0, const+64
        {between}
        v6 = i32_load v0, global+32
        v7 = i32_load v0, const+64
        v8 = i32_add v3, v6
        v9 = i32_add v4, v7
        v10 = i32_mul v8, v9
        return v10
    """)
    assert _ops(func).count("i32_load") == 3


def test_narrow_stores_are_not_forwarded() -> None:
    func = _from_text("""
        i32_store8 v1, v0, global+32
        v4 = i32_load v0, global+32
        i32_store v2, v0, global+32
        v6 = i32_load8_u v0, global+32
        v7 = i32_load v0, global+32
        v8 = i32_add v4, v6
        v9 = i32_add v8, v7
        return v9
    """)
    assert _ops(func).count("i32_load") == 1
    assert _ops(func).count("i32_load8_u") == 1


def test_what_one_branch_computes_is_not_known_in_the_other_or_after() -> None:
    func = _from_text("""
        brif v1, b1, b2
      b1:
        v4 = i32_mul v1, v2
        v5 = i64_load v0, const+8
        v6 = i32_eqz v2
        trapif v6, 6
        jump b3(v4, v5)
      b2:
        v9 = i32_mul v1, v2
        v10 = i64_load v0, const+8
        v11 = i32_eqz v2
        trapif v11, 6
        jump b3(v9, v10)
      b3(v14: i32, v15: i64):
        v16 = i32_mul v1, v2
        v17 = i32_add v16, v14
        v18 = i32_wrap_i64 v15
        v19 = i32_add v17, v18
        v20 = i32_eqz v2
        trapif v20, 6
        return v19
    """)
    assert [_ops(func).count(name) for name in ("i32_mul", "i64_load", "trapif")] == [3, 2, 3]


def test_a_loop_sees_what_stands_before_it_but_not_the_other_way() -> None:
    func = _from_text("""
        v3 = i32_mul v1, v2
        v4 = i32_eqz v2
        trapif v4, 6
        jump b1(v1)
      b1(v7: i32) loop depth 1:
        poll
        v9 = i32_mul v2, v1
        v10 = i32_mul v7, v2
        v11 = i32_add v9, v10
        v12 = i32_eqz v2
        trapif v12, 6
        brif v11, b2, b3
      b2 depth 1:
        jump b1(v11)
      b3:
        v16 = i32_mul v7, v2
        v17 = i32_add v16, v3
        return v17
    """)
    assert [_ops(func).count(name) for name in ("i32_mul", "trapif")] == [2, 1]


def test_loop_whose_back_edge_is_never_taken_is_no_loop() -> None:
    func = _from_text("""
        jump b1(v1)
      b1(v4: i32) loop depth 1:
        poll
        v6 = i32_add v4, v2
        v7 = i32_sub v6, v6
        brif v7, b2, b3
      b2 depth 1:
        jump b1(v6)
      b3:
        return v6
    """)
    assert _ops(func) == ["i32_add", "return"]
    assert not any(block.loop for block in func.blocks)


def test_many_loads_and_stores_do_not_take_quadratic_time() -> None:
    count = 20_000
    func = Func("", 0, bytes((ops.I64, ops.I64)), b"", CONV_C)
    emitter = Emitter(func)
    base, other = func.blocks[0].params
    for number in range(count):
        emitter.load(ops.I64_LOAD, base, 16 * number, ops.REGION_GLOBAL)
    for number in range(count):
        emitter.store(ops.I64_STORE, other, base, 16 * number, ops.REGION_GLOBAL)
    emitter.ret([])
    order.run(func)
    start = time.process_time()
    simplify(func)
    assert time.process_time() - start < 5


# Results stay what they were


_PURE = [op for op in range(ops.COUNT) if ops.FLAGS[op] & ops.PURE and ops.OPERANDS[op] and op != ops.SELECT]
_TYPE = {"i": ops.I32, "l": ops.I64, "f": ops.F32, "d": ops.F64}
_INTERESTING = [0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 33, 48, 56, 63, 64, 127, 128, 255, 256, 0x7FFF, 0xFFFF]
_INTERESTING += [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 1 << 63, (1 << 63) - 1, (1 << 64) - 1, 0x7FC0_0000]
_bits = st.one_of(st.sampled_from(_INTERESTING), st.integers(0, (1 << 64) - 1))
_SEED = st.integers(0, (1 << 32) - 1)


def _mask(type: int) -> int:
    return (1 << 32) - 1 if type in (ops.I32, ops.F32) else (1 << 64) - 1


def _pick(draw: Callable[[st.SearchStrategy[int]], int], values: list[Value], type: int) -> Value:
    """Choose an operand, mostly one made lately."""
    fitting = [value for value in values if value.type == type]
    return fitting[-1 - draw(st.integers(0, min(len(fitting), 6) - 1))]


@st.composite
def expressions(draw: st.DrawFn) -> Func:
    """Make a function that computes one value from parameters and constants, without anything that can trap."""
    kinds = bytes((ops.I32, ops.I64, ops.F32, ops.F64, ops.I32, ops.I64))
    func = Func("", 0, kinds, b"", CONV_C)
    emitter = Emitter(func)
    values = list(func.blocks[0].params)
    for _ in range(draw(st.integers(2, 14))):
        if draw(st.integers(0, 3)) == 0:
            type = draw(st.sampled_from([ops.I32, ops.I64, ops.I32, ops.I64, ops.F32, ops.F64]))
            values.append(emitter.const(type, draw(_bits) & _mask(type)))
        elif draw(st.integers(0, 9)) == 0:
            type = draw(st.sampled_from([ops.I32, ops.I64, ops.F32]))
            args = [_pick(draw, values, type), _pick(draw, values, type), _pick(draw, values, ops.I32)]
            values.append(emitter.emit(ops.SELECT, args, 0, type))
        else:
            op = draw(st.sampled_from(_PURE))
            values.append(emitter.emit(op, [_pick(draw, values, _TYPE[kind]) for kind in ops.OPERANDS[op]]))
    func.results = bytes((values[-1].type,))
    emitter.ret([values[-1]])
    order.run(func)
    return func


def _value(func: Func, args: list[int]) -> list[int] | None:
    try:
        return Evaluator(Environment(Space())).run(func, args)
    except Undefined:
        return None


@hypothesis.settings(max_examples=600, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(expressions(), st.lists(st.tuples(_bits, _bits, _bits, _bits, _bits, _bits), min_size=3, max_size=6))
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


KERNELS = ["fib", "matmul_ikj", "sha256", "mandel", "indirect", "collatz64"]


@pytest.mark.parametrize("mode", [GUARD, CHECKED], ids=["guard", "checked"])
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compute_the_same_in_fewer_steps(shared: Path, name: str, mode: int) -> None:
    case = json.loads((shared / "kernels/kernels.json").read_text())[name]
    module = module_of((shared / f"kernels/wasm/{name}.wasm").read_bytes())
    steps = []
    for passes in (params.run, pipeline.run):
        machine = Machine(module, mode, passes)
        (result,) = machine.invoke(machine.export(case["export"]), [case["n_small"]])
        assert result == case["expect_small"] % (1 << 32)
        steps.append(machine.steps_left)
    assert steps[1] > steps[0]
