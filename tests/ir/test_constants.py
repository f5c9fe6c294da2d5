"""Constant expressions: their values, and what an instance cannot be made without."""

from __future__ import annotations

import pytest

from figwasp.features import ALL
from figwasp.ir.constants import CODES, evaluate
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.opcodes import BY_NAME
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
    assert evaluate(decoded.global_inits[0], decoded, Surroundings()) == bits


class Surroundings:
    """Globals and functions that are numbers, and objects that are noted."""

    def __init__(self) -> None:
        self.made: list[tuple[int, int, bytes]] = []

    def global_bits(self, index: int) -> int:
        return 100 + index

    def func_reference(self, index: int) -> int:
        return 2000 + index

    def new_struct(self, index: int, fields: bytes) -> int:
        return self.new_array(index, -1, fields)

    def new_array(self, index: int, length: int, elements: bytes) -> int:
        self.made.append((index, length, elements))
        return 8 * len(self.made)


@pytest.mark.parametrize(
    ("type_", "expr", "made"),
    [
        ("(ref $p)", "i32.const -2 i64.const 3 f32.const 1 struct.new $p", [(0, -1, "fe00000000000000 0300000000000000 0000803f00000000")]),
        ("(ref $p)", "struct.new_default $p", [(0, -1, "0000000000000000 0000000000000000 0000000000000000")]),
        ("(ref $empty)", "struct.new $empty", [(3, -1, "")]),
        ("(ref $bytes)", "i32.const 0x1ff i32.const 1000000000 array.new $bytes", [(1, 1_000_000_000, "ff")]),
        ("(ref $bytes)", "i32.const 7 array.new_default $bytes", [(1, 7, "00")]),
        ("(ref $bytes)", "i32.const 1 i32.const 2 i32.const 0x103 array.new_fixed $bytes 3", [(1, 3, "010203")]),
        ("(ref $bytes)", "array.new_fixed $bytes 0", [(1, 0, "")]),
        (
            "(ref $refs)", "struct.new_default $p ref.null any array.new_fixed $refs 2",
            [(0, -1, "00" * 24), (2, 2, "0800000000000000 0000000000000000")],
        ),
        (
            "(ref $refs)", "struct.new_default $p struct.new $empty array.new_fixed $refs 2",
            [(0, -1, "00" * 24), (3, -1, ""), (2, 2, "0800000000000000 1000000000000000")],
        ),
    ],
)  # fmt: skip
def test_objects(type_: str, expr: str, made: list[tuple[int, int, str]]) -> None:
    types = "(type $p (struct (field i8) (field i64) (field f32))) (type $bytes (array i8)) (type $refs (array anyref)) (type $empty (struct))"
    decoded = module(f"{types} (global {type_} {expr})")
    surroundings = Surroundings()
    assert evaluate(decoded.global_inits[0], decoded, surroundings) == 8 * len(made)
    assert surroundings.made == [(index, length, bytes.fromhex(content)) for index, length, content in made]


def test_codes_are_those_of_the_table() -> None:
    assert {name: BY_NAME[name].code for name in CODES} == CODES
