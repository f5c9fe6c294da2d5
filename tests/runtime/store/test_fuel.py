"""Fuel: what metered code pays, what happens when it has none left, and who shares it."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp import Engine, OutOfFuel, layout
from figwasp.codegen import pipeline
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.ir.build.builder import build
from figwasp.ir.layouts import layout_of
from figwasp.runtime.platform.linux import write_u64
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.valid.module import validate

TEXT = """(module (import "host" "f" (func $f (param i32) (result i32)))
  (memory (export "memory") 4)
  (table $t 64 funcref) (elem declare func $none)
  (global $count (export "count") (mut i32) (i32.const 0))
  (func $none (export "none"))
  (func (export "seven") (result i32) (i32.add (i32.mul (i32.const 2) (i32.const 3)) (i32.const 1)))
  (func (export "free") (nop) (block (block (nop) (loop (nop)))))
  (func (export "call") (call $none))
  (func (export "host") (param i32) (result i32) (call $f (local.get 0)))
  (func (export "loop") (param i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "if") (param i32) (result i32)
    (if (result i32) (local.get 0) (then (i32.const 1)) (else (nop) (i32.add (i32.const 1) (i32.const 2)))))
  (func (export "switch") (param i32) (result i32)
    (block $b (block $a (br_table $a $b (local.get 0))) (return (i32.const 1))) (i32.const 2))
  (func (export "trap") (i32.const 1) (drop) (unreachable))
  (func (export "counting") (loop $l (global.set $count (i32.add (global.get $count) (i32.const 1))) (br $l)))
  (func $recur (export "recur") (call $recur))
  (func (export "fill") (param i32) (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))
  (func (export "copy") (param i32) (memory.copy (i32.const 0) (i32.const 8) (local.get 0)))
  (func (export "fill_table") (param i32) (table.fill $t (i32.const 0) (ref.func $none) (local.get 0)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1))))"""
PLENTY = 10**12


def load(f: Callable[[int], object] = lambda x: x, fuel: int = PLENTY, engine: Engine | None = None) -> figwasp.Instance:
    """Load the module with fuel."""
    inst = figwasp.load(figwasp.wat(TEXT), {"host": {"f": f}}, engine=engine or Engine(fuel=True))
    inst.fuel = fuel
    return inst


def cost(inst: figwasp.Instance, name: str, *args: int) -> int:
    """Call a function and return what that took."""
    before = inst.fuel
    inst.exports[name](*args)
    return before - inst.fuel


@pytest.mark.parametrize(
    ("name", "args", "paid"),
    [
        ("none", (), 0),
        ("free", (), 0),
        ("seven", (), 5),
        ("call", (), 1),
        ("host", (7,), 2),
        ("loop", (1,), 5),
        ("loop", (1000,), 5000),
        ("if", (1,), 3),
        ("if", (0,), 5),
        ("switch", (0,), 4),
        ("switch", (1,), 3),
        ("fill", (0,), 4),
        ("fill", (63,), 4),
        ("fill", (64,), 5),
        ("fill", (1 << 18,), 4 + 4096),
        ("copy", (640,), 14),
        ("fill_table", (64,), 12),
        ("grow", (), 2),
    ],
)
def test_cost(name: str, args: tuple[int, ...], paid: int) -> None:
    """Instructions cost 1 each, those that only give structure nothing, bulk operations 1 more for every 64 bytes."""
    inst = load()
    assert cost(inst, name, *args) == paid
    assert cost(inst, name, *args) == paid


def test_exactly_enough() -> None:
    """A call that costs n runs with n, and not with n - 1."""
    inst = load()
    inst.fuel = 5000
    inst.loop(1000)
    assert inst.fuel == 0
    inst.fuel = 4999
    with pytest.raises(OutOfFuel) as caught:
        inst.loop(1000)
    assert (caught.value.code, [frame.name for frame in caught.value.frames]) == ("out of fuel", ["loop"])
    assert inst.fuel == 0


def test_a_trap_has_paid_for_its_run() -> None:
    """A run is paid for at its start."""
    inst = load()
    inst.fuel = 100
    with pytest.raises(figwasp.Trap, match="unreachable"):
        inst.trap()
    assert inst.fuel == 97


@pytest.mark.parametrize("name", ["counting", "recur"])
def test_endless(name: str) -> None:
    """Loops and recursion run out of fuel; the instance is usable after that, and again out of fuel."""
    inst = load()
    for _ in range(3):
        inst.fuel = 3000
        with pytest.raises(OutOfFuel):
            inst.exports[name]()
        assert inst.fuel == 0
        with pytest.raises(OutOfFuel):
            inst.seven()
        inst.fuel = 5
        assert inst.seven() == 7
    assert issubclass(OutOfFuel, figwasp.Trap)


def test_no_fuel_at_first() -> None:
    """An instance begins with none, or with what the engine gives."""
    engine = Engine(fuel=True)
    inst = figwasp.load(figwasp.wat(TEXT), {"host": {"f": abs}}, engine=engine)
    assert inst.fuel == 0
    with pytest.raises(OutOfFuel):
        inst.seven()
    start = figwasp.wat("(module (func (drop (i32.const 1))) (start 0))")
    with pytest.raises(OutOfFuel):
        figwasp.load(start, engine=engine)
    assert figwasp.load(start, engine=Engine(fuel=10)).fuel == 8


def test_more_fuel_resumes() -> None:
    """What the callback gives lets the call go on where it was, any number of times."""
    inst = load()
    expected = cost(inst, "loop", 1000)
    given: list[int] = []

    def more() -> int:
        given.append(inst.fuel)
        return 7

    inst.fuel = 3
    inst.on_out_of_fuel = more
    inst.loop(1000)
    assert inst.fuel == 3 + 7 * len(given) - expected and set(given) == {0}
    assert len(given) > 100


def test_resumed_code_keeps_its_state() -> None:
    """Registers and memory are as they were, whatever the callback does: here it calls into the same instance."""
    inst = load()
    asked: list[int] = []

    def more() -> int | None:
        if len(asked) == 50:
            return None
        asked.append(inst.count.value)
        inst.fuel = 105
        assert inst.seven() == 7
        return 0

    inst.on_out_of_fuel = more
    inst.fuel = 0
    with pytest.raises(OutOfFuel):
        inst.counting()
    assert asked == list(range(0, 1000, 20)) and inst.count.value == 1000


@pytest.mark.parametrize("answer", [None, 0, False])
def test_no_more(answer: Any) -> None:
    """A callback that gives nothing ends the call."""
    inst = load(fuel=10)
    inst.on_out_of_fuel = lambda: answer
    with pytest.raises((OutOfFuel, TypeError)) as caught:
        inst.counting()
    assert caught.type is (TypeError if answer is False else OutOfFuel)
    assert inst.fuel == 0


def test_callback_raises() -> None:
    """What a callback raises passes through wasm to the caller."""

    def more() -> int:
        raise LookupError("no more")

    inst = load(fuel=10)
    inst.on_out_of_fuel = more
    with pytest.raises(LookupError, match="no more"):
        inst.counting()
    inst.on_out_of_fuel = lambda: -1
    with pytest.raises(ValueError, match="must not be negative"):
        inst.counting()
    inst.on_out_of_fuel = lambda: "much"  # type: ignore[assignment]
    with pytest.raises(TypeError, match="must be an int, not str"):
        inst.counting()
    inst.on_out_of_fuel = None
    inst.fuel = 5
    assert inst.seven() == 7


def test_callback_without_fuel_of_its_own() -> None:
    """A callback that runs metered code without fuel is not asked again from there."""
    inst = load(fuel=10)
    asked = []

    def more() -> int:
        asked.append(1)
        inst.seven()
        return 100

    inst.on_out_of_fuel = more
    with pytest.raises(OutOfFuel):
        inst.counting()
    assert asked == [1]


def test_host_functions_see_and_change_it() -> None:
    """A host function sees what has been paid up to the call, and what it sets holds at once."""
    seen = []

    def f(x: int) -> int:
        seen.append(inst.fuel)
        inst.fuel = x
        return x

    inst = load(f)
    inst.fuel = 50
    inst.host(1000)
    assert seen == [48] and inst.fuel == 1000


def test_linked_instances_share_it() -> None:
    """Instances that are linked have one tank; what they had before adds up."""
    engine = Engine(fuel=True)
    one = load(engine=engine, fuel=100)
    two = load(engine=engine, fuel=30)
    assert (one.fuel, two.fuel) == (100, 30)
    text = """(module (import "a" "seven" (func $a (result i32))) (import "b" "seven" (func $b (result i32)))
      (func (export "both") (result i32) (i32.add (call $a) (call $b))))"""
    both = figwasp.load(figwasp.wat(text), {"a": one, "b": two}, engine=engine)
    assert both.fuel == one.fuel == two.fuel == 130
    assert both.both() == 14
    assert both.fuel == one.fuel == two.fuel == 130 - 13
    one.on_out_of_fuel = lambda: 13
    two.fuel = 0
    assert both.both() == 14


def test_the_larger_store_gets_the_callback_of_the_smaller_one() -> None:
    """Of two stores that become one the one with fewer members goes; whom to ask for fuel is known to the other from then on."""
    engine = Engine(fuel=True)
    text = '(module (import "a" "seven" (func $a (result i32))) (import "b" "seven" (func $b (result i32))))'
    one, other, alone = load(fuel=0, engine=engine), load(fuel=0, engine=engine), load(fuel=0, engine=engine)
    figwasp.load(figwasp.wat(text), {"a": one, "b": other}, engine=engine)
    alone.on_out_of_fuel = lambda: 1000
    with pytest.raises(OutOfFuel):
        one.loop(50)
    figwasp.load(figwasp.wat(text), {"a": one, "b": alone}, engine=engine)
    one.loop(50)
    assert 0 < one.fuel < 1000


def test_fuel_left_in_a_store_that_has_gone_is_taken_over() -> None:
    """What an exception has kept from being moved when two stores became one is moved when that is gone on with."""
    engine = Engine(fuel=True)
    one, two = load(fuel=100, engine=engine), load(fuel=30, engine=engine)
    stores: list[Any] = [inst.exports.seven._store for inst in (one, two)]
    text = '(module (import "a" "seven" (func $a (result i32))) (import "b" "seven" (func $b (result i32))))'
    figwasp.load(figwasp.wat(text), {"a": one, "b": two}, engine=engine)
    current = stores[0].current
    gone = next(store for store in stores if store is not current)
    write_u64(gone.context + layout.CTX_FUEL, 7)
    current._take_over(gone)
    assert one.fuel == two.fuel == 137


def test_merge_while_running() -> None:
    """Stores that become one while a call runs on one of them still have all the fuel, and lose none."""
    engine = Engine(fuel=True)
    text = '(module (import "a" "seven" (func $a (result i32))) (import "b" "seven" (func $b (result i32))))'
    linked: list[figwasp.Instance] = []

    def f(x: int) -> int:
        linked.append(figwasp.load(figwasp.wat(text), {"a": one, "b": two}, engine=engine))
        return x

    one = load(f, fuel=1000, engine=engine)
    two = load(fuel=500, engine=engine)
    one.host(3)
    assert one.fuel == two.fuel == linked[0].fuel == 1498
    one.fuel = 20
    two.loop(4)
    assert one.fuel == 0


def test_only_metered_engines_have_it() -> None:
    """An instance of an engine that counts none says so."""
    inst = figwasp.load(figwasp.wat(TEXT), {"host": {"f": abs}})
    with pytest.raises(TypeError, match="made without fuel=True"):
        assert inst.fuel
    with pytest.raises(TypeError, match="made without fuel=True"):
        inst.fuel = 10
    with pytest.raises(TypeError, match="made without fuel=True"):
        inst.on_out_of_fuel = lambda: 1
    with pytest.raises(AttributeError):
        inst.nonsense = 1


@pytest.mark.parametrize(("value", "kind"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError), (None, TypeError)])
def test_odd_amounts(value: Any, kind: type[Exception]) -> None:
    """Fuel is an int that is not negative."""
    inst = load(fuel=10)
    with pytest.raises(kind):
        inst.fuel = value
    assert inst.fuel == 10


def test_huge_amounts() -> None:
    """There is a most, and adding to it does not wrap."""
    inst = load()
    inst.fuel = 1 << 100
    assert inst.fuel == 2**63 - 1
    inst.loop(100)
    assert inst.fuel == 2**63 - 1 - 500


def test_the_callback_does_not_keep_the_instance() -> None:
    """An instance whose callback refers to it goes with the cycle collector."""
    gone = []

    class Sign:
        def __del__(self) -> None:
            gone.append(1)

    def make() -> None:
        inst = load()
        sign = Sign()
        inst.on_out_of_fuel = lambda: inst.fuel + id(sign)

    make()
    gc.collect()
    gc.collect()
    assert gone == [1]


def test_unmetered_code_is_as_ever() -> None:
    """Without fuel the code has not a byte more; with it, it is other code."""
    module = decode(figwasp.wat(TEXT))
    layout = layout_of(module)
    for index, facts in enumerate(validate(module), module.num_imported_funcs):
        plain = pipeline.compile(build(module, index, facts, layout, 0), TARGET).data
        assert plain == pipeline.compile(build(module, index, facts, layout, 0, False), TARGET).data
        metered = pipeline.compile(build(module, index, facts, layout, 0, True), TARGET).data
        assert (metered == plain) is (module.func_name(index) in ("none", "free"))


def test_kernels_pay_the_same_every_time(shared: Path) -> None:
    """Real programs give the same results metered, and pay the same in both memory modes and every time."""
    cases = json.loads((shared / "kernels/kernels.json").read_text(encoding="utf-8"))
    for name in ("fib", "sha256", "quicksort"):
        case = cases[name]
        paid = set()
        for mode in ("guard", "checked"):
            inst = figwasp.load(str(shared / f"kernels/wasm/{name}.wasm"), engine=Engine(fuel=PLENTY, memory=mode))
            for _ in range(2):
                before = inst.fuel
                assert inst.exports[case["export"]](case["n_small"]) == case["expect_small"]
                paid.add(before - inst.fuel)
                inst = figwasp.load(str(shared / f"kernels/wasm/{name}.wasm"), engine=Engine(fuel=PLENTY, memory=mode))
        assert len(paid) == 1 and paid.pop() > 1000
