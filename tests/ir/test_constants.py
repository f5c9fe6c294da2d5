"""Constant expressions: their values, and what an instance cannot be made without."""

from __future__ import annotations

import pytest

from figwasp.errors import Unsupported
from figwasp.features import ALL
from figwasp.ir.constants import evaluate, missing_feature
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.valid.module import validate


def module(text: str) -> Module:
    decoded = decode(wat(f"(module {text})"), ALL)
    validate(decoded)
    return decoded


@pytest.mark.parametrize(
    ("type_", "expr", "bits"),
    [
        ("i32", "i32.const -1", 0xFFFF_FFFF),
        ("i64", "i64.const -1", 0xFFFF_FFFF_FFFF_FFFF),
        ("f32", "f32.const -0x0p0", 0x8000_0000),
        ("f64", "f64.const nan:0x1", 0x7FF0_0000_0000_0001),
        ("v128", "v128.const i64x2 1 -2", 0xFFFF_FFFF_FFFF_FFFE_0000_0000_0000_0001),
        ("i32", "i32.const 5 i32.const 7 i32.sub", 0xFFFF_FFFE),
        ("i32", "i32.const 0x7fffffff i32.const 3 i32.mul", 0x7FFF_FFFD),
        ("i64", "i64.const -1 i64.const 2 i64.add", 1),
        ("i64", "i64.const 0x8000000000000000 i64.const 2 i64.mul", 0),
        ("i32", "global.get 0 i32.const 1 i32.add", 101),
        ("i32", "i32.const 1 i32.const 2 i32.const 3 i32.mul i32.sub", 0xFFFF_FFFB),
        ("v128", "v128.const i64x2 1 2", 1 | 2 << 64),
        ("funcref", "ref.func 0", 2000),
        ("funcref", "ref.null func", 0),
        ("(ref i31)", "i32.const 5 ref.i31", 0xB),
        ("i31ref", "i32.const -1 ref.i31", 0xFFFF_FFFF),
        ("anyref", "i32.const 0x4000_0000 i32.const 2 i32.mul ref.i31", 1),
        ("externref", "i32.const 1 ref.i31 extern.convert_any", 3),
        ("(ref any)", "i32.const 2 ref.i31 extern.convert_any any.convert_extern", 5),
        ("externref", "ref.null any extern.convert_any", 0),
    ],
)
def test_values(type_: str, expr: str, bits: int) -> None:
    decoded = module(f'(import "m" "g" (global i32)) (global {type_} {expr}) (func)')
    assert evaluate(decoded.global_inits[0], lambda index: 100 + index, lambda index: 2000 + index) == bits


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ("(type $s (struct)) (table 1 (ref $s) (struct.new $s))", "gc"),
        ("(type $s (struct)) (elem (ref $s) (item struct.new $s))", "gc"),
        ("(type $a (array i8)) (global (ref $a) (array.new_fixed $a 1 (i32.const 1)))", "gc"),
    ],
)
def test_what_only_validation_knows(text: str, feature: str) -> None:
    decoded = module(text)
    assert missing_feature(decoded) == feature
    exprs = [*decoded.global_inits, *decoded.table_inits, *(init for elem in decoded.elems for init in elem.inits)]
    assert exprs[0] is not None
    with pytest.raises(Unsupported, match=feature) as caught:
        evaluate(exprs[0], lambda _: 0, lambda _: 0)
    assert caught.value.feature == feature


@pytest.mark.parametrize(
    "text",
    ["(memory i64 1 2 shared)", "(tag) (func (throw 0))", "(table 3 (ref null any))", "(global (ref null 0) (ref.null 0)) (type (func))"],
)
def test_what_can_wait_until_a_function_is_called(text: str) -> None:
    assert missing_feature(module(text)) is None
