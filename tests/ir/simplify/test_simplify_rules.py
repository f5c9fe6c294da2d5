"""Single rules of simplification, as a table: what an expression becomes; and that its value stays what it was."""

from __future__ import annotations

import random

import pytest

from figwasp.ir import ops, pipeline
from figwasp.ir.evaluate.func import Trapped
from figwasp.ir.evaluate.instance import EvalInstance
from figwasp.ir.func import PARAM, Value
from figwasp.ir.types import BITS, BY_LETTER, TYPE_NAMES
from figwasp.layout import GUARD
from tests.ir.compiling import build_one, module_of
from tests.ir.evaluating import evaluated, invoke

# x, y are i32; p, q i64; f f32; d f64; v v128, a constant of which is a number in four lanes. On the right is what the function returns after simplification.
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
i32.eqz (i32.lt_s x 0) => i32_ge_s(x, 0)
i32.eqz (i64.gt_s p 0) => i64_le_s(p, 0)
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
i64.lt_u (i64.extend_i32_s x) -2147483649 => i64_lt_u(i64_extend_i32_s(x), -2147483649)
i64.lt_u (i64.extend_i32_s x) -2147483648 => i32_lt_u(x, -2147483648)
i64.and (i64.clz p) 63 => i64_and(i64_clz(p), 63)
i64.and (i64.clz p) 127 => i64_clz(p)
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
v128.and v v => v
v128.or v v => v
v128.xor v v => 0x0
v128.andnot v v => 0x0
v128.and v 0 => 0x0
v128.and -1 v => v
v128.and (v128.and v 7) 13 => v128_and(v, 0x5000000050000000500000005)
v128.or v 0 => v
v128.or v -1 => 0xffffffffffffffffffffffffffffffff
v128.xor 0 v => v
v128.xor (v128.xor v -1) -1 => v
v128.not (v128.not v) => v
v128.not (v128.not (v128.not v)) => v128_not(v)
v128.not 0 => 0xffffffffffffffffffffffffffffffff
v128.andnot v 0 => v128_andnot(v, 0x0)
i32x4.sub v v => i32x4_sub(v, v)
i32x4.add 3 v => i32x4_add(v, 0x3000000030000000300000003)
i32x4.splat 5 => 0x5000000050000000500000005
i32x4.dot_i16x8_s 3 5 => 0xf0000000f0000000f0000000f
i32.clz 0 => 32
i32.div_u (i32.or x 1) (i32.sub 3 3) => trap
"""

_LOCALS = {"x": "i32", "y": "i32", "p": "i64", "q": "i64", "f": "f32", "d": "f64", "v": "v128"}
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
        kind = TYPE_NAMES[BY_LETTER[kinds[len(operands)]]]
        if token == "(":
            operands.append(_fold_text(tokens.pop(0), tokens))
            tokens.pop(0)
        elif token in _LOCALS:
            operands.append(f"(local.get ${token})")
        elif kind == "v128":
            operands.append(f"(v128.const i32x4 {token} {token} {token} {token})")
        else:
            operands.append(f"({kind}.const {token})")
    return f"({name} {' '.join(operands)})"


def _function(expression: str) -> str:
    tokens = _tokens(expression)
    body = _fold_text(tokens.pop(0), tokens)
    name = expression.split()[0]
    result = "i32" if name == "select" else TYPE_NAMES[ops.RESULTS[ops.BY_NAME[name.replace(".", "_")]]]
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


def _outcome(instance: EvalInstance, args: list[int]) -> list[int] | tuple[int, int]:
    try:
        return invoke(instance, "f", *args)
    except Trapped as trap:
        return trap.code, trap.pos


def _compare_on_random_arguments(source: str) -> None:
    rng = random.Random(source)
    plain = evaluated(module_of(source))
    simplified = evaluated(module_of(source), GUARD, pipeline.run)
    widths = [BITS[type] for type in plain.func(0).params[1:]]
    for _ in range(12):
        args = [rng.choice([rng.getrandbits(128), *_EDGES]) % (1 << width) for width in widths]
        assert _outcome(plain, args) == _outcome(simplified, args), args


def test_rules_are_all_exercised() -> None:
    names = {_tokens(expression)[0] for expression, _ in _rules()}
    assert len(_rules()) > 140
    assert len(names) > 40
