"""Frames of baseline code: no operand is ever put where the instance is, or the caller's frame pointer or a local."""

from __future__ import annotations

import re
from typing import Final

import pytest

import figwasp
from figwasp import layout
from figwasp.codegen.baseline.compiler import Baseline
from figwasp.codegen.code import Code
from figwasp.codegen.isa import host
from figwasp.features import ALL
from figwasp.ir.layouts import layout_of
from figwasp.ir.types import CELL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.valid.module import facts_at_once
from tests.property.modules import generate

MACHINE: Final = host().baseline()
PLACE: Final = re.compile(r"\[rsp\+(0x[0-9a-f]+)\]")
CONTEXT: Final = """(module (tag $e (param i32 i64 f32)) (memory 1) (global $g (mut i32) (i32.const 0)) (func $one (result i32) (i32.const 1))
  (func $two (result i32 i32) (i32.const 1) (i32.const 2)) (func $three (param i32 i32 i32))
  (func $tested (param $a i32) (param $b i64) """
BODIES: Final = {
    "large constant": "(i64.store (local.get $a) (i64.const 0x123456789abcdef))",
    "large constant in a local": "(local.set $b (i64.add (local.get $b) (i64.const 0x123456789abcdef)))",
    "large constants": "(drop (i64.add (i64.const 0x123456789abcdef) (i64.mul (i64.const 0x76543210fedcba9) (local.get $b))))",
    "two results and br_if": "(drop (block (result i32) (br_if 0 (call $two))))",
    "two results and if": "(drop (if (param i32) (result i32) (call $two) (then) (else)))",
    "two results and br": "(block (result i32 i32) (br 0 (call $two))) drop drop",
    "result and block": "call $one (block) drop",
    "result and loop": "call $one (loop) drop",
    "result and br": "(drop (block (result i32) (br 0 (call $one))))",
    "result and if": "(if (call $one) (then))",
    "results and return": "call $two call $two return",
    "results and br_table": "(block (result i32) (br_table 0 0 (call $two))) drop",
    "constant and br_if": "(drop (block (result i32) (br_if 0 (i32.const 1) (local.get $a))))",
    "behind a block that is left": "(block (result i32) (unreachable)) drop",
    "dead code": "(unreachable) (block (result i32 i32) (call $two)) drop drop",
    "arguments": "(call $three (local.get $a) (i32.const 1) (call $one))",
    "what is caught": "(block (result i32 i64 f32) (try_table (catch $e 0) (call $one) drop) (unreachable)) drop drop drop",
    "what is caught, and a reference": """call $two (block (result i32 i64 f32 exnref)
      (try_table (catch_all 1) (catch_ref $e 0) (call $two) drop drop) (unreachable)) drop drop drop drop drop drop""",
    "what is caught and returned": "(block (result exnref) (try_table (catch_all_ref 0) (call $one) drop) (return)) throw_ref",
    "nothing": "",
}


def places(code: Code) -> list[int]:
    """The cells above the stack pointer that code refers to, but for where the frame pointer is saved and set."""
    found = []
    pushed = 0  # cells of arguments on the stack, which the callee takes away
    offset, text = host().decode(code.data, 0)
    while offset < code.text_size:
        size, text = host().decode(code.data, offset)
        if text.startswith("sub rsp,"):
            pushed = int(text.partition(",")[2], 16) // CELL
        elif text.startswith("call"):
            pushed = 0
        elif "rbp" not in text:
            found += [int(place, 16) // CELL - pushed for place in PLACE.findall(text)]
        offset += size
    return found


def operands(code: Code) -> int:
    """How many operands a frame has places for."""
    return code.tier - 1 - int(MACHINE.CELLS_BEFORE_LOCALS)


def compiled(module: Module, metered: bool) -> list[Code]:
    """The baseline code of all functions that have some, but for those whose own arguments are on the stack, above the frame."""
    facts = facts_at_once(module)
    baseline = Baseline(module, layout_of(module), layout.GUARD, metered=metered, counted=True)
    codes = [baseline.take(index, facts(index)) for index in range(module.num_imported_funcs, len(module.func_types))]
    return [code for code in codes if code is not None and not code.incoming]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("metered", [False, True], ids=["", "fuel"])
def test_operands_stay_in_their_places(name: str, metered: bool) -> None:
    results = "(result i32 i32)" if name.endswith("return") else ""
    module = decode(figwasp.wat(f"{CONTEXT} {results} {BODIES[name]}))"))
    code = compiled(module, metered)[-1]
    assert code.index == 3
    assert max(places(code), default=-1) < operands(code)


@pytest.mark.parametrize("seed", range(60))
def test_operands_of_generated_functions(seed: int) -> None:
    module = decode(generate(seed), ALL)
    for code in compiled(module, metered=bool(seed % 2)):
        assert max(places(code), default=-1) < operands(code)
