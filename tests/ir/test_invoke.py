"""Calls with a handler: what they mean, and that every pass keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.ir import ops, order, pipeline
from figwasp.ir.evaluate.func import Environment, Evaluator, NativeMemory, Thrown, Trapped, Undefined
from figwasp.ir.func import Block, Call, Func, Value
from figwasp.ir.text import parse, show
from figwasp.ir.verify import verify
from figwasp.layout import EXCEPTION_FIELDS
from tests.ir.compiling import build_all, module_of
from tests.ir.evaluating import evaluated, invoke
from tests.ir.invokes import FUNCTIONS

INSTANCE = 0x1000
GLOBAL = 8


class Calls(Environment):
    """Functions that throw, depending on their argument and on how often they have been called, and change a global."""

    def __init__(self, seed: int) -> None:
        super().__init__(NativeMemory())
        self.seed = seed
        self.made: list[tuple[int, int, list[int]]] = []
        self.native.map(INSTANCE, bytearray(64))

    def call(self, op: int, call: Call, args: list[int], pos: int) -> list[int]:
        self.made.append((op, call.target, args))
        self.native.write(INSTANCE + GLOBAL, args[-1] + 3, 4)
        number = 2 * args[-1] + self.seed + len(self.made)
        if number % 4 == 0:
            raise Thrown
        return [number + place for place in range(len(call.results))]


def outcome(func: Func, argument: int, seed: int) -> tuple[object, ...]:
    """Evaluate a function: how it ends, what it has called, and what is in memory then."""
    environment = Calls(seed)
    result: object
    try:
        result = Evaluator(environment, 10_000).run(func, [INSTANCE, argument])
    except (Thrown, Trapped) as error:
        result = type(error), str(error)
    return result, environment.made, environment.native.find(INSTANCE, 64)[0]


def outcomes(func: Func) -> list[tuple[object, ...]]:
    return [outcome(func, argument, seed) for argument in range(6) for seed in range(4)]


def read(name: str) -> Func:
    func = parse(FUNCTIONS[name])
    order.dominators(func)
    verify(func)
    return func


def count(func: Func) -> int:
    return sum(block.code[-1].op in ops.INVOKES for block in func.blocks)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_pass_keeps_the_meaning(name: str) -> None:
    assert show(read(name)) == FUNCTIONS[name]
    func = read(name)
    expected = outcomes(func)
    for stage, run in [("order", order.run), *pipeline.PASSES]:
        run(func)
        verify(func, stage)
        assert outcomes(func) == expected, stage


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_ways_are_taken(name: str) -> None:
    """Of the calls that a function makes some return and some throw; else the test above would tell little."""
    results = {str(result) for result, *_ in outcomes(read(name))}
    assert len(results) > 1


def test_what_becomes_of_them() -> None:
    """Calls stay calls; what cannot be reached goes, and unused results, but not what a block of its own has to hold."""
    left = {}
    for name in FUNCTIONS:
        func = read(name)
        pipeline.run(func)
        left[name] = (len(func.blocks), count(func))
    assert left["only the last result"] == (3, 1)
    assert left["nothing to do on either way"] == (3, 1)
    assert left["one way is decided"] == (3, 1)
    assert left["it always traps before"] == (3, 0)
    func = read("only the last result")
    pipeline.run(func)
    assert "v3 = result v2, 2\n" in show(func) and "result v2, 1" not in show(func)


def test_a_throw_that_nobody_handles_goes_on() -> None:
    func = parse('func 0 "" (i64, i32) -> (i32) {\nb0(v0: i64, v1: i32):\n  v2 = call f3 v0, v1 : (i32) -> (i32)\n  return v2\n}\n')
    with pytest.raises(Thrown):
        Evaluator(Calls(3)).run(func, [INSTANCE, 2])


def test_an_environment_sees_calls() -> None:
    for name, op in (("results", ops.CALL), ("both ways meet", ops.CALL_PTR)):
        environment = Calls(0)
        Evaluator(environment).run(read(name), [INSTANCE, 1])
        assert [made for made, _, _ in environment.made] == [op]


def test_nothing_is_left_of_an_earlier_call_when_one_throws() -> None:
    """What the verifier forbids is undefined as well: the value at the handler, though an earlier round has computed one."""
    text = FUNCTIONS["in a loop"].replace("i32_mul v4, v12", "i32_mul v9, v12")
    func = parse(text)
    with pytest.raises(Undefined, match="v9 is used before it is computed"):
        outcome(func, 3, 0)  # the second call throws


def with_handlers(func: Func) -> None:
    """Make an `invoke` of every call; its handler returns zeros."""
    blocks: list[Block] = []
    work = func.blocks[::-1]
    while work:
        block = work.pop()
        blocks.append(block)
        place = next((n for n, value in enumerate(block.code) if value.op in (ops.CALL, ops.CALL_PTR)), -1)
        if place >= 0:
            rest, handler = _cut(func, block, place)
            work.append(rest)
            work.insert(0, handler)
    func.blocks = blocks
    order.run(func)


def _cut(func: Func, block: Block, place: int) -> tuple[Block, Block]:
    """End a block in a call with a handler; return where it goes on, and the handler."""
    value = block.code[place]
    value.op = ops.INVOKE if value.op == ops.CALL else ops.INVOKE_PTR
    rest, handler = Block(-1), Block(-1)
    rest.code = block.code[place + 1 :]
    rest.succs, rest.args = block.succs, block.args
    zeros = [func.new_value(ops.CONST, type, []) for type in func.results]
    handler.code = [*zeros, Value(func.num_values, ops.RETURN, ops.VOID, zeros, 0, 0)]
    func.num_values += 1
    block.code = block.code[: place + 1]
    block.succs, block.args = [rest, handler], [[], []]
    return rest, handler


@pytest.mark.parametrize("name", ["quicksort", "indirect", "fib", "host"])
def test_real_functions_with_handlers_stay_valid(shared: Path, name: str) -> None:
    made = 0
    for func in build_all(module_of((shared / f"kernels/wasm/{name}.wasm").read_bytes())):
        with_handlers(func)
        made += count(func)
        verify(func, "handlers")
        for stage, run in pipeline.PASSES:
            run(func)
            verify(func, stage)
        assert show(parse(show(func))) == show(func)
    assert made


PROGRAM = """(module
  (import "" "host" (func $host (param i32) (result i32)))
  (type $binary (func (param i32 i32) (result i32 i32)))
  (table funcref (elem $swap $fib2))
  (global $calls (mut i32) (i32.const 0))
  (func $swap (type $binary) (call $host (local.get 1)) (local.get 0))
  (func $fib2 (type $binary)
    (call $fib (i32.and (local.get 0) (i32.const 7))) (call $fib (i32.and (local.get 1) (i32.const 7))))
  (func $fib (param $n i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (call $host (local.get $n)))
      (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1))) (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
  (func (export "run") (param $n i32) (result i32 i32) (local $a i32) (local $b i32)
    (local.set $a (local.get $n))
    (loop $next
      (call_indirect (type $binary) (local.get $a) (local.get $n) (i32.and (local.get $n) (i32.const 1)))
      (local.set $a (i32.xor (local.get $a)))
      (local.set $b (i32.add (local.get $b)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (local.get $a) (local.get $b)) (global.get $calls)))"""


@pytest.mark.parametrize("every", [2, 5, 1000])
def test_a_program_whose_calls_have_handlers(every: int) -> None:
    """It does the same with and without the passes, and, when nothing throws, as without handlers."""

    def answers(*passes: object) -> list[list[int]]:
        calls: list[int] = []

        def hosted(number: int) -> list[int]:
            calls.append(number)
            if len(calls) % every == 0:
                raise Thrown(instance.space.allocate(EXCEPTION_FIELDS))
            return [number + 1]

        def prepare(func: Func) -> None:
            for run in passes:
                assert callable(run)
                run(func)
            verify(func)

        instance = evaluated(module_of(PROGRAM), passes=prepare, hosts=[hosted])
        return [*(invoke(instance, "run", number) for number in (1, 2, 7, 12)), calls]

    expected = answers(with_handlers)
    assert answers(with_handlers, pipeline.run) == expected
    assert (answers() == expected) if every == 1000 else (len(expected[-1]) > 10)
