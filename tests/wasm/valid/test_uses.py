"""Which proposals a module uses: those without which the reader or the validator refuse it, and the places where they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.errors import Invalid, Malformed
from figwasp.features import ALL, DEFAULT, PROPOSALS
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.valid.module import validate, validate_func, validate_module
from figwasp.wasm.valid.uses import uses
from tests.property.latest_modules import generate_latest
from tests.property.objects.modules import generate_objects

TEXTS = [
    "(module)",
    "(func (i32.const 1) (i32.const 2) (br_table 0 0 0) (f64.const 1) (drop))",
    "(func (drop (v128.const i64x2 0 0)) (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))",
    "(func (local v128)) (func (drop (i32.extend8_s (i32.const 0))))",
    "(func (block (result v128) unreachable) drop)",
    "(func (block (param) (result i32 i64) unreachable) unreachable)",
    "(func (result i32 i32) unreachable)",
    "(global i32 (i32.add (i32.const 0) (i32.const 0)))",
    "(global $a i32 (i32.const 0)) (global i32 (global.get $a))",
    '(global (import "m" "g") (mut i32))',
    '(import "m" "f" (func)) (global (export "g") (mut i32) (i32.const 0))',
    "(func (return_call 0))",
    "(type $v (func)) (func (param (ref null $v)))",
    "(type $v (func)) (func (local (ref null $v)))",
    "(func (drop (ref.as_non_null (ref.null func))))",
    "(func (param (ref func)))",
    "(table 1 (ref func) (ref.func 0)) (func)",
    "(table 1 externref)",
    "(table 1 funcref) (table 1 funcref)",
    '(import "m" "t" (table 1 funcref)) (import "m" "u" (table 1 funcref))',
    "(func (drop (ref.null extern)))",
    "(func (drop (select (result i32) (i32.const 0) (i32.const 0) (i32.const 0))))",
    "(tag)",
    '(tag (import "m" "t"))',
    "(func (try_table))",
    "(func (try_table (result exnref) unreachable) unreachable)",
    "(memory 1) (memory 1) (func (drop (i32.load 1 (i32.const 0))))",
    '(memory (import "m" "m") 1) (memory (import "m" "n") 1)',
    "(memory 1) (memory 1) (func (drop (v128.load 1 (i32.const 0))))",
    "(memory 1) (memory 1) (func (drop (memory.size 1)))",
    "(memory i64 1) (func (drop (i32.load offset=0x100000000 (i64.const 0))))",
    "(table i64 1 funcref)",
    "(type (struct))",
    "(rec (type (func)) (type (func)))",
    "(type (array i8)) (func (drop (array.new_default 0 (i32.const 1))))",
    "(func (drop (ref.null any)))",
    "(func (param anyref) (block (result (ref eq)) (br_on_cast 0 anyref (ref eq) (local.get 0)) unreachable) drop)",
    "(memory 1 1 shared)",
    "(memory 1) (func atomic.fence)",
    "(func (i64.mul_wide_s (unreachable)) drop drop)",
    "(memory 1 (pagesize 1))",
    "(func try end) (func) (func try end)",
    "(memory 1) (data \"x\") (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))",
    "(memory 1) (data \"x\")",
    "(elem declare func 0) (func)",
]


def refused(data: bytes, proposal: str) -> bool:
    """Return whether a module is malformed or invalid without a proposal."""
    try:
        validate(decode(data, ALL.excluding(proposal)))
    except (Malformed, Invalid):
        return True
    return False


def check(data: bytes) -> None:
    found = uses(data)
    assert list(found) == [name for name in PROPOSALS if refused(data, name)]
    module = decode(data, ALL)
    first = module.num_imported_funcs
    for name, use in found.items():
        without = decode_without(data, name)
        if without is None:
            assert use.func is None
            continue
        context = validate_module(without)
        wrong = []
        for index in range(first, first + len(module.bodies)):
            try:
                validate_func(context, index)
            except (Malformed, Invalid) as error:
                wrong.append((index, error.offset))
        assert use.funcs == [index for index, _ in wrong]
        assert use.func == wrong[0][0]
        assert abs((wrong[0][1] or 0) - use.offset) <= 2  # the type of an instruction is blamed, or the instruction


def decode_without(data: bytes, proposal: str) -> Module | None:
    """Return a module read without a proposal, or None where that is needed outside of bodies."""
    try:
        module = decode(data, ALL.excluding(proposal))
        validate_module(module)
    except (Malformed, Invalid):
        return None
    return module


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_used_is_what_is_missed(text: str) -> None:
    check(wat(text if text == "(module)" else f"(module {text})"))


@pytest.mark.parametrize("seed", range(6))
def test_random_modules(seed: int) -> None:
    check(generate_latest(seed))
    check(generate_objects(seed))


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ("mal", []),
        ("icepack", ["sign-extension", "saturating-truncation", "bulk-memory", "exceptions"]),
        ("hello-world-kt", ["bulk-memory", "reference-types", "simd", "function-references", "exceptions", "gc"]),
    ],
)
def test_programs(shared: Path, program: str, names: list[str]) -> None:
    data = (shared / f"programs/modules/{program}.wasm").read_bytes()
    assert list(uses(data)) == names == [name for name in PROPOSALS if refused(data, name)]
    assert uses(data, ALL.enabled - DEFAULT.enabled) == {}


def test_places() -> None:
    data = wat('(module (import "m" "f" (func)) (func) (func (i32.const 1) (i32.extend8_s) drop) (func (i32.const 1) (i32.extend8_s) drop))')
    use = uses(data)["sign-extension"]
    assert (use.what, use.func, use.funcs, data[use.offset]) == ("i32.extend8_s", 2, [2, 3], 0xC0)
    assert repr(use) == f"<use of sign-extension: i32.extend8_s in function 2 at {use.offset:#x}>"
    use = uses(wat("(module (memory 1) (memory 1))"))["multi-memory"]
    assert (use.what, use.func, use.funcs, use.offset) == ("memory section", None, [], 0xA)


@pytest.mark.parametrize(
    "body", [b"\0\x41", b"\0\x0e\5\0", b"\0\x27\x0b", b"\0\xff\x0b", b"\0\xfd\x0c\0\x0b", b"\1\1\x01\x0b", b"\0\x02", b"\0\x43\0\0\x0b"]
)
def test_bodies_that_are_malformed(body: bytes) -> None:
    data = b"\0asm\1\0\0\0" + b"\1\4\1\x60\0\0" + b"\3\2\1\0" + bytes((10, len(body) + 2, 1, len(body))) + body
    with pytest.raises(Malformed):
        uses(data)


def test_functions_of_many_combinations() -> None:
    """More than there are patterns for: what each needs is found all the same, and in no more time than there are bytes for."""
    needs = {
        "sign-extension": "(drop (i32.extend8_s (i32.const 0)))",
        "saturating-truncation": "(drop (i32.trunc_sat_f32_s (f32.const 0)))",
        "bulk-memory": "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))",
        "reference-types": "(drop (ref.null extern))",
        "simd": "(drop (v128.const i64x2 0 0))",
        "threads": "(atomic.fence)",
        "wide-arithmetic": "(i64.mul_wide_s (i64.const 0) (i64.const 0)) drop drop",
    }
    chosen = [[name for bit, name in enumerate(needs) if number >> bit & 1] for number in range(128)]
    bodies = ["".join(f"{needs[name]} {needs[name]}" for name in names) for names in chosen]
    found = uses(wat(f"(module (memory 1) {' '.join(f'(func {body})' for body in bodies)})"))
    assert {name: use.funcs for name, use in found.items()} == {
        name: [index for index, names in enumerate(chosen) if name in names] for name in PROPOSALS if name in needs
    }
