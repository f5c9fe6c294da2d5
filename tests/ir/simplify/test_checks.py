"""Checks of memory accesses: which are left, and that programs trap exactly where they did with all of them."""

from __future__ import annotations

import random

import pytest

from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY
from figwasp.features import DEFAULT
from figwasp.ir import ops, pipeline
from figwasp.ir.evaluate.func import Trapped
from figwasp.layout import CHECKED, GUARD, LEAST_MARGIN
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.parse.module import wat
from tests.ir.compiling import build_all
from tests.ir.evaluating import evaluated, invoke

PAGE = 65536


def read(text: str) -> Module:
    return decode(wat(text), DEFAULT.including("custom-page-sizes"))


def left(fields: str, body: str, mode: int = CHECKED, type_: str = "i32") -> int:
    """Return how many checks are left of a function of one parameter $p, in a module with these fields."""
    func = build_all(read(f"(module {fields} (func (param $p {type_}) {body}))"), mode)[-1]
    pipeline.run(func)
    return sum(
        value.op == ops.TRAPIF and value.aux == TRAP_OUT_OF_BOUNDS_MEMORY for block in func.blocks for value in block.code
    )


def load(index: str, offset: int = 0) -> str:
    return f"(drop (i32.load offset={offset} {index}))"


def plus(number: int, type_: str = "i32") -> str:
    return f"({type_}.add (local.get $p) ({type_}.const {number}))"


P = "(local.get $p)"
BOTH = [("(memory 1)", CHECKED, "i32"), ("(memory i64 1)", CHECKED, "i64"), ("(memory i64 1)", GUARD, "i64")]


@pytest.mark.parametrize(("memory", "mode", "type_"), BOTH)
def test_one_check_serves_all_fields_of_an_object(memory: str, mode: int, type_: str) -> None:
    assert left(memory, load(P) + load(P, 8) + load(P, 100_000) + load(P, LEAST_MARGIN - 4), mode, type_) == 1
    assert left(memory, load(plus(8, type_)) + load(plus(16, type_), 4) + load(plus(LEAST_MARGIN, type_)), mode, type_) == 1
    assert left(memory, load(plus(-16, type_)) + load(P) + load(plus(-8, type_)), mode, type_) == 1
    # What lies before a checked index may be below 0, which is far out.
    assert left(memory, load(P) + load(plus(-8, type_)), mode, type_) == 2
    assert left(memory, load(plus(16, type_)) + load(plus(8, type_)), mode, type_) == 2
    assert left(memory, load(P) + load(plus(LEAST_MARGIN + 1, type_)), mode, type_) == 2


@pytest.mark.parametrize(("memory", "mode", "type_"), BOTH)
def test_checks_hold_across_calls_and_where_they_dominate(memory: str, mode: int, type_: str) -> None:
    fields = f'(import "" "f" (func $f)) (import "" "g" (func $g (result i32))) {memory}'
    assert left(fields, f"{load(P)} (call $f) {load(P)}", mode, type_) == 1
    assert left(fields, f"{load(P)} (loop {load(P, 4)} (br_if 0 (i32.const 1)))", mode, type_) == 1
    assert left(fields, f"{load(P)} (if (i32.load (local.get $p)) (then {load(P, 4)}) (else {load(P, 8)}))", mode, type_) == 1
    assert left(fields, f"(if (call $g) (then {load(P)})) {load(P)}", mode, type_) == 2
    assert left(fields, f"(if (call $g) (then {load(P)}) (else {load(P)}))", mode, type_) == 2


@pytest.mark.parametrize("type_", ["i32", "i64"])
def test_indices_that_are_known_to_be_small_need_none(type_: str) -> None:
    constant = f"({type_}.const {{}})"
    masked = f"({type_}.and (local.get $p) ({type_}.const 255))"
    scaled = f"({type_}.shl {masked} ({type_}.const 8))"
    exact = f"(memory {'i64 ' if type_ == 'i64' else ''}{PAGE} (pagesize 1))"
    assert left(exact, load(constant.format(PAGE - 4)) + load(constant.format(0), PAGE - 4), type_=type_) == 0
    assert left(exact, load(constant.format(PAGE - 3)), type_=type_) == 1
    assert left(exact, load(masked, PAGE - 255 - 4) + load(scaled, 252), type_=type_) == 0
    assert left(exact, load(masked, PAGE - 255 - 3), type_=type_) == 1
    assert left(exact, load(scaled, 253), type_=type_) == 1
    large = f"(memory {'i64 ' if type_ == 'i64' else ''}1)"
    assert left(large, load(constant.format(PAGE + LEAST_MARGIN - 1)) + load(masked, LEAST_MARGIN - 4), type_=type_) == 0
    assert left(large, load(constant.format(PAGE + LEAST_MARGIN)), type_=type_) == 1
    assert left(large, load(masked, LEAST_MARGIN), type_=type_) > 0


def test_memories_are_told_apart() -> None:
    fields = "(memory $a 1) (memory $b 1)"
    other = "(drop (i32.load $b (local.get $p)))"
    assert left(fields, load(P) + other + load(P) + other) == 2


def test_large_offsets_and_small_pages_are_checked_to_the_end_of_the_access() -> None:
    assert left("(memory 1)", load(P, LEAST_MARGIN) + load(P, LEAST_MARGIN)) == 1
    assert left("(memory 1)", load(P, LEAST_MARGIN) + load(P, LEAST_MARGIN + 4)) == 2
    assert left("(memory 1)", load(P, LEAST_MARGIN + 4) + load(P, LEAST_MARGIN) + load(P) + load(plus(LEAST_MARGIN))) == 1
    small = "(memory 100 (pagesize 1))"
    assert left(small, load(P, 8) + load(P) + load(plus(4)) + load(P, 4)) == 1
    assert left(small, load(P) + load(P, 1)) == 2


def test_an_access_that_cannot_be_inside_always_traps() -> None:
    (func,) = build_all(read(f"(module (memory i64 1) (func (param $p i64) {load(P, 1 << 47)}))"), GUARD)
    pipeline.run(func)
    assert [value.op for block in func.blocks for value in block.code if value.op in (ops.TRAP, ops.I32_LOAD)] == [ops.TRAP]


# Programs at random


def program(rng: random.Random, type_: str, small: bool) -> str:
    """Return a function of two indices: loads and stores near them, in branches and loops, and growth."""
    far = rng.choice((8, 64, PAGE, LEAST_MARGIN + PAGE))

    def number() -> int:
        return rng.choice((0, 1, 4, 8, rng.randrange(far), LEAST_MARGIN - 4, LEAST_MARGIN, far))

    def index() -> str:
        base = rng.choice(("(local.get 0)", "(local.get 0)", "(local.get 1)"))
        if rng.random() < 0.6:
            return f"({type_}.add {base} ({type_}.const {rng.choice((1, 1, -1)) * number()}))"
        if rng.random() < 0.1:
            return f"({type_}.and {base} ({type_}.const {rng.choice((7, 255, PAGE - 1))}))"
        return base if rng.random() < 0.9 else f"({type_}.const {number()})"

    def offset() -> int:
        return number() if rng.random() < 0.9 else rng.choice((2**31 - 4, 2**31, 2**32 - 1))

    def statement(depth: int) -> str:
        kind = rng.randrange(10 if depth else 6)
        if kind < 3:
            return f"(i32.store offset={offset()} {index()} (local.tee $n (i32.add (local.get $n) (i32.const 1))))"
        if kind < 6:
            return f"(local.set $n (i32.add (local.get $n) (i32.load offset={offset()} {index()})))"
        body = "".join(statement(depth - 1) for _ in range(rng.randrange(1, 4)))
        if kind == 6:
            return f"(if (i32.and (local.get $n) (i32.const 1)) (then {body}) (else {statement(depth - 1)}))"
        if kind == 7:
            step = f"(local.set 0 ({type_}.add (local.get 0) ({type_}.const 4)))"
            again = "(br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3)))"
            return f"(local.set $i (i32.const 0)) (loop {body} {step} {again})"
        if kind == 8:
            return f"(block (br_if 0 (i32.and (local.get $n) (i32.const 2))) {body})"
        return f"(drop (memory.grow ({type_}.const 1)))"

    body = "".join(statement(2) for _ in range(rng.randrange(3, 9)))
    memory = f"(memory {'i64 ' if type_ == 'i64' else ''}{'70000 70003 (pagesize 1)' if small else '2 4'})"
    signature = f'(export "f") (param {type_} {type_}) (result i32) (local $n i32) (local $i i32)'
    return f"(module {memory} (func {signature} {body} (local.get $n)))"


def outcome(text: str, mode: int, args: tuple[int, int], *, optimised: bool) -> tuple[object, bytes]:
    """Return the results or the trap's place of a call under the evaluator, and what is left in memory."""
    instance = evaluated(read(text), mode, pipeline.run if optimised else None)
    try:
        result: object = invoke(instance, "f", *args)
    except Trapped as trap:
        result = (trap.code, trap.pos)
    return result, bytes(instance.memories[0].data)


@pytest.mark.parametrize("seed", range(120))
def test_programs_trap_where_they_did_with_all_checks(seed: int) -> None:
    rng = random.Random(seed)
    type_ = rng.choice(("i32", "i64"))
    small = rng.random() < 0.2
    mode = rng.choice((CHECKED, CHECKED, GUARD))
    text = program(rng, type_, small)
    size = 70000 if small else 2 * PAGE
    bits = 2 ** (32 if type_ == "i32" else 64)
    for _ in range(6):
        near = (0, 4, 100, size - 100, size - 4, size - 3, size, bits - LEAST_MARGIN, bits - 4, bits - 1)
        first = rng.choice((*near, rng.randrange(size)))
        args = (first, rng.choice((0, first, size - 8, rng.randrange(size))))
        plain = outcome(text, mode, args, optimised=False)
        assert outcome(text, mode, args, optimised=True) == plain, (text, args)
        if type_ == "i32" and not small:  # in guard mode the evaluator itself finds what is out of bounds
            assert outcome(text, GUARD, args, optimised=False) == plain, (text, args)
