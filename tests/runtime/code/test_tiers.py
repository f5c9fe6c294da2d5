"""Tiers: baseline code does what optimised code does, and gives way to it, in the middle of a loop as well."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.codegen.code import OPTIMIZED
from figwasp.errors import LimitExceeded
from figwasp.runtime.code import kept, tiers
from figwasp.runtime.code.sources import Now
from tests.runtime.support import check_script

TIERS = ("optimize", "baseline", "auto")
AUTO = figwasp.Engine(tier="auto")


def load(text: str, engine: figwasp.Engine = AUTO, imports: Any = None) -> figwasp.Instance:
    """Load a module."""
    return figwasp.Module(figwasp.wat(text), engine=engine).instantiate(imports)


def tier_of(instance: figwasp.Instance, index: int) -> str:
    """What the code of a function is that is called now."""
    code = instance.module._code
    return "none" if index not in code.compiled else "baseline" if index in code._baseline else "optimized"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code is hot after ten calls or rounds."""
    monkeypatch.setattr(tiers, "_HOT", 10)
    monkeypatch.setattr(tiers, "_HOT_PER_BYTE", 0)
    monkeypatch.setattr(tiers, "_IMPORT", 0)


# Which code there is


def test_functions_change_over_after_some_calls(soon: None) -> None:
    """Exports, cells, tables and instances that there are lead to the new code."""
    instance = load("""(module (table (export "t") 1 funcref) (elem (i32.const 0) $f) (type $i (func (param i32) (result i32)))
      (func $f (export "f") (type $i) (i32.add (local.get 0) (i32.const 1)))
      (func (export "direct") (type $i) (call $f (local.get 0)))
      (func (export "indirect") (type $i) (call_indirect (type $i) (local.get 0) (i32.const 0))))""")
    other = instance.module.instantiate()
    for number in range(10):
        assert (instance.f(number), tier_of(instance, 0)) == (number + 1, "baseline")
    assert instance.f(1) == 2 and tier_of(instance, 0) == "optimized"
    addresses = [*instance.module._code.addresses()]
    assert addresses[0] == instance.module._code.compiled[0]
    for number in range(30):
        for one in (instance, other):
            assert one.f(number) == one.direct(number) == one.indirect(number) == one.t[0](number) == number + 1
    assert [tier_of(instance, index) for index in range(3)] == ["optimized"] * 3


@pytest.mark.parametrize("tier", TIERS)
def test_one_compiler_alone(soon: None, tier: str) -> None:
    instance = load('(module (func (export "f") (result i32) (i32.const 7)))', figwasp.Engine(tier=tier))
    assert {instance.f() for _ in range(50)} == {7}
    assert tier_of(instance, 0) == ("baseline" if tier == "baseline" else "optimized")


def test_what_there_are_no_templates_for(soon: None) -> None:
    """Vectors, results in memory, `throw`: function by function the other compiler makes the code at once."""
    eight = "i64 " * 8
    zeros = "(i64.const 1)" * 8
    instance = load(f"""(module (func (export "v") (result i32) (i32x4.extract_lane 0 (i32x4.splat (i32.const 5))))
      (func $m (result {eight}) {zeros}) (func (export "m") (result i64) call $m drop drop drop drop drop drop drop)
      (func (export "t") (param i32) (result i32) (block $b (try_table (catch_all $b) (call $n (local.get 0))) (return (i32.const 1)))
        (i32.const 2)) (tag $e) (func $n (param i32) (if (local.get 0) (then (throw $e))))
      (func (export "p") (result i32) (i32.const 3)))""")
    assert (instance.v(), instance.m(), instance.t(0), instance.t(1), instance.p()) == (5, 1, 1, 2, 3)
    assert [tier_of(instance, index) for index in range(6)] == [*["optimized"] * 3, "baseline", "optimized", "baseline"]


def test_a_function_that_cannot_be_optimised_stays_as_it_is(soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        tried.append(1)
        raise LimitExceeded("out of proportion")

    tried: list[int] = []
    monkeypatch.setattr(Now, "take", refuse)
    instance = load('(module (func (export "f") (param i32) (result i32) (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0)))')
    assert instance.f(1000) == 0 and instance.f(1000) == 0
    assert tier_of(instance, 0) == "baseline" and len(tried) == 1


def test_functions_with_a_listener_are_optimised(soon: None) -> None:
    """Those that it does not want to hear of are not."""
    heard: list[Any] = []

    class Ear:
        def before(self, func: Any, args: Any, depth: int) -> None:
            heard.append(args)

    instance = load(
        '(module (func $f (export "f") (param i32) (result i32) (local.get 0)) (func (export "g") (param i32) (result i32) (call $f (local.get 0))))',
        figwasp.Engine(tier="auto", listener=lambda func: Ear() if func.name == "f" else None),
    )
    for number in range(40):
        assert instance.g(number) == number
        assert tier_of(instance, 0) == "optimized"
    assert heard == [(number,) for number in range(40)]
    assert tier_of(instance, 1) == "optimized"


def test_what_an_engine_may_be_asked() -> None:
    with pytest.raises(ValueError, match='tier is "auto", "baseline" or "optimize", not \'fast\''):
        figwasp.Engine(tier="fast")
    with pytest.raises(ValueError, match="tier"):
        figwasp.Engine(tier="stress")
    assert figwasp.Engine(tier="baseline") != figwasp.Engine() and repr(figwasp.Engine(tier="baseline")) == "figwasp.Engine(tier='baseline')"


@pytest.mark.parametrize(("variable", "expected"), [("baseline", "True"), ("optimize", "False")])
def test_the_environment_decides_where_nobody_does(monkeypatch: pytest.MonkeyPatch, variable: str, expected: str) -> None:
    monkeypatch.setenv("FIGWASP_TIER", variable)
    script = """
    import figwasp
    instance = figwasp.load(figwasp.wat('(module (func (export "f") (result i32) (i32.const 1)))'))
    assert instance.f() == 1
    print(bool(instance.module._code._baseline))
    """
    assert check_script(script) == expected + "\n"


def test_modules_go_with_all_of_it(soon: None) -> None:
    instance = load('(module (func (export "f") (param i32) (result i32) (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0)))')
    assert instance.f(100) == 0
    gone = weakref.ref(instance.module._code)
    del instance
    gc.collect()
    assert gone() is None


# What it does

TRAPS = """(module (import "h" "f" (func $f (param i32) (result i32))) (memory 1) (global $g (mut i64) (i64.const 5))
  (table 2 funcref) (elem (i32.const 0) $div) (type $i (func (param i32) (result i32)))
  (func $div (export "div") (type $i) (drop (i32.const 1)) (i32.div_s (i32.const 100) (local.get 0)))
  (func (export "load") (type $i) (i32.load offset=65532 (local.get 0)))
  (func (export "store") (type $i) (i32.store (local.get 0) (i32.add (local.get 0) (i32.const 3))) (i32.load (local.get 0)))
  (func (export "indirect") (type $i) (call_indirect (type $i) (i32.const 3) (local.get 0)))
  (func (export "wrong") (type $i) (call_indirect (param i64) (i64.const 3) (local.get 0)) (i32.const 1))
  (func (export "trunc") (type $i) (i32.trunc_f32_s (f32.div (f32.const 1) (f32.convert_i32_s (local.get 0)))))
  (func (export "host") (type $i) (i32.add (call $f (local.get 0)) (i32.const 1)))
  (func (export "unreachable") (type $i) (if (i32.eqz (local.get 0)) (then unreachable)) (i32.const 3))
  (func $deep (export "deep") (type $i) (if (result i32) (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
    (else (call $div (i32.const 0)))))
  (func (export "sum") (type $i) (local i64) (loop $l (local.set 1 (i64.add (local.get 1) (global.get $g)))
    (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.wrap_i64 (local.get 1)))
  (func $forever (export "forever") (type $i) (i32.add (call $forever (local.get 0)) (i32.const 1))))"""


@pytest.mark.parametrize("fuel", [False, 10**6], ids=["", "fuel"])
@pytest.mark.parametrize("memory", ["guard", "checked"])
def test_answers_traps_places_and_fuel_are_the_same(soon: None, memory: str, fuel: int) -> None:
    def use(tier: str) -> list[Any]:
        told: list[Any] = []
        instance = load(TRAPS, figwasp.Engine(tier=tier, memory=memory, fuel=fuel), {"h": {"f": lambda x: 10 // x}})
        for _ in range(2):
            for name in ("div", "load", "store", "indirect", "wrong", "trunc", "host", "unreachable", "deep", "sum"):
                for argument in (0, 1, 5, -1, 70000):
                    if (name == "sum" and argument in (0, -1)) or (name == "deep" and argument in (-1, 70000)):
                        continue  # for ever, or nearly
                    try:
                        told.append(instance.exports[name](argument))
                    except figwasp.Trap as trap:
                        told.append((trap.code, [(frame.name, frame.offset) for frame in trap.frames]))
                    except ZeroDivisionError as error:
                        told.append(str(error))
                    if fuel:
                        told.append((name, argument, instance.fuel))
        return told

    assert use("optimize") == use("baseline") == use("auto")


@pytest.mark.parametrize("tier", TIERS)
def test_the_stack_ends(tier: str) -> None:
    instance = load(TRAPS, figwasp.Engine(tier=tier), {"h": {"f": lambda x: x}})
    with pytest.raises(figwasp.Trap, match="call stack exhausted"):
        instance.forever(1)
    with pytest.raises(figwasp.Trap, match="divide by zero"):
        instance.deep(1000)


@pytest.mark.parametrize("locals", [1, 29, 30, 31, 200, 600])
@pytest.mark.parametrize("operands", [1, 15, 16, 17, 100])
def test_places_near_and_far(locals: int, operands: int) -> None:
    """Displacements of a byte and of four; a frame that is too large is left to the other compiler."""
    names = " ".join(["i64"] * locals)
    sets = " ".join(f"(local.set {k} (i64.mul (local.get 0) (i64.const {k + 2})))" for k in range(1, locals + 1))
    pushes = " ".join(f"(local.get {k % locals + 1})" for k in range(operands))
    sums = "i64.add " * (operands - 1)
    text = f'(module (func (export "f") (param i64) (result i64) (local {names}) {sets} {pushes} (i64.xor (i64.const 0x123456789abcdef)) {sums}))'
    expected = load(text, figwasp.Engine(tier="optimize")).f(77)
    assert load(text, figwasp.Engine(tier="baseline")).f(77) == expected


@pytest.mark.parametrize("name", ["i32", "i64"])
@pytest.mark.parametrize("constant", [0, 1, -1, 127, 128, -128, -129, 255, 0x7FFF_FFFF, -0x8000_0000])
def test_constants_of_every_sign_and_size(name: str, constant: int) -> None:
    ops = ["add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr"]
    functions = "".join(
        f'(func (export "{op}") (param {name}) (result {name}) ({name}.{op} (local.get 0) ({name}.const {constant})))'
        f'(func (export "{op} of a sum") (param {name}) (result {name}) ({name}.{op} ({name}.add (local.get 0) (local.get 0)) ({name}.const {constant})))'
        for op in ops
    )
    one, other = (load(f"(module {functions})", figwasp.Engine(tier=tier)) for tier in ("optimize", "baseline"))
    for function in one.exports:
        for value in (0, 1, -1, 12345, -0x7654_3210):
            assert one.exports[function](value) == other.exports[function](value), (function, value)


# Loops that go on in other code

LOOPS = {
    "one": "(loop $l (local.set $a (i32.add (i32.mul (local.get $a) (i32.const 3)) (local.get $n))) (call $next) (br_if $l (local.get $n)))",
    "nested": """(loop $o (local.set $b (i32.const 5)) (loop $l (local.set $a (i32.add (i32.mul (local.get $a) (i32.const 3)) (local.get $b)))
      (br_if $l (local.tee $b (i32.sub (local.get $b) (i32.const 1))))) (br_if $o (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))""",
    "three": """(loop $o (local.set $b (i32.const 3)) (loop $m (local.set $c (i32.const 4)) (local.set $a (i32.rotl (local.get $a) (i32.const 5)))
      (loop $l (local.set $a (i32.add (i32.mul (local.get $a) (i32.const 7)) (i32.xor (local.get $b) (local.get $c))))
        (br_if $l (local.tee $c (i32.sub (local.get $c) (i32.const 1)))))
      (br_if $m (local.tee $b (i32.sub (local.get $b) (i32.const 1))))) (br_if $o (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))""",
    "operands below": """(local.set $a (i32.add (i32.mul (local.get $n) (i32.const 9)) (block (result i32) (loop $l
      (local.set $a (i32.add (local.get $a) (local.get $n))) (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $a))))""",
    "operands between": """(loop $o (local.set $b (i32.const 6)) (local.set $a (i32.add (i32.mul (local.get $n) (i32.const 11))
      (block $x (result i32) (br_if $x (i32.const 4) (i32.eq (local.get $n) (i32.const 3)))
        (if (result i32) (i32.and (local.get $n) (i32.const 1))
          (then (loop $l (local.set $a (i32.add (local.get $a) (local.get $b))) (br_if $l (local.tee $b (i32.sub (local.get $b) (i32.const 1)))))
            (local.get $a))
          (else (loop $k (local.set $a (i32.sub (local.get $a) (local.get $b))) (br_if $k (local.tee $b (i32.sub (local.get $b) (i32.const 2)))))
            (local.get $a))) (i32.xor))))
      (br_if $o (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))""",
    "parameters": """(local.set $a (i32.const 3) (i32.const 1) (loop $l (param i32 i32) (result i32) (local.set $b) (i32.mul (local.get $b))
      (i32.add (local.get $n)) (local.get $b) (i32.add (i32.const 1)) (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))) (i32.xor)))""",
    "floats": """(local f32 f64) (loop $l (local.set 5 (f64.add (f64.mul (local.get 5) (f64.const 0.5)) (f64.convert_i32_s (local.get $n))))
      (local.set 4 (f32.sqrt (f32.add (local.get 4) (f32.demote_f64 (local.get 5)))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.set $a (i32.reinterpret_f32 (local.get 4)))""",
    "a switch": """(loop $l (block $x (block $y (block $z (br_table $z $y $x (i32.and (local.get $n) (i32.const 3))))
      (local.set $a (i32.add (local.get $a) (i32.const 7)))) (local.set $a (i32.mul (local.get $a) (i32.const 5))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))""",
}


def looping(body: str) -> str:
    """The text of a module with a loop in its function `f`."""
    first, _, rest = body.partition("(local f32 f64)")
    more, body = ("(local f32 f64)", rest) if rest else ("", first)
    body = body.replace("(call $next)", "(local.set $n (i32.sub (local.get $n) (i32.const 1)))")
    return f"""(module (memory 1) (func (export "f") (param $n i32) (result i32) (local $a i32) (local $b i32) (local $c i32) {more}
      {body} (i32.add (local.get $a) (i32.mul (local.get $b) (i32.const 100)))))"""


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("fuel", [False, 10**7], ids=["", "fuel"])
def test_loops_go_on_in_other_code_after_any_round(monkeypatch: pytest.MonkeyPatch, name: str, fuel: int) -> None:
    monkeypatch.setattr(tiers, "_HOT_PER_BYTE", 0)
    monkeypatch.setattr(tiers, "_IMPORT", 0)
    text = looping(LOOPS[name])
    engine = figwasp.Engine(tier="optimize", fuel=fuel)
    numbers = (1, 2, 3, 4, 7, 20)
    one = load(text, engine)
    expected = [(one.f(number), one.fuel if fuel else 0) for number in numbers]
    reached = set()
    for rounds in range(30):
        monkeypatch.setattr(tiers, "_HOT", rounds)
        instance = load(text, figwasp.Engine(tier="auto", fuel=fuel))
        assert [(instance.f(number), instance.fuel if fuel else 0) for number in numbers] == expected, rounds
        reached |= {loop for loop, address in instance.module._code._continuations.items() if address}
    assert len(reached) >= 1 if fuel else len(reached) == text.count("(loop")
    new = figwasp.Module(figwasp.wat(text), engine=instance.module.engine)
    for module in (instance.module, new):
        module.compile()
    assert instance.module.serialize() == new.serialize()  # whatever has gone on in other code meanwhile


def test_callers_and_callees_keep_their_registers(soon: None) -> None:
    """A function that goes on in other code returns to one that has not, and the other way round."""
    text = """(module (func $inner (param i32 i32 i32) (result i32) (local i32)
        (loop $l (local.set 3 (i32.add (i32.mul (local.get 3) (local.get 1)) (local.get 2))) (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 3))
      (func $outer (export "f") (param i32) (result i32) (local i32 i32 i32 i32 i32 i32)
        (local.set 1 (i32.const 3)) (local.set 2 (i32.const 5)) (local.set 3 (i32.const 7)) (local.set 4 (i32.const 11))
        (loop $l (local.set 5 (i32.add (local.get 5) (call $inner (i32.const 25) (local.get 1) (local.get 2))))
          (local.set 6 (i32.add (i32.mul (local.get 6) (local.get 3)) (local.get 4)))
          (if (i32.gt_s (local.get 0) (i32.const 20)) (then (local.set 5 (i32.xor (local.get 5) (call $outer (i32.sub (local.get 0) (i32.const 7)))))))
          (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.add (local.get 5) (local.get 6))))"""
    expected = load(text, figwasp.Engine(tier="optimize")).f(30)
    assert [load(text).f(30) for _ in range(3)] == [expected] * 3


def test_who_catches_gives_its_caller_registers_back() -> None:
    """What has thrown has used them: it is optimised code with vectors, as is the caller, which keeps values over the call."""
    values = range(1, 9)
    busy = " ".join(f"(local.set {n} (i64.mul (local.get 0) (i64.const {n})))" for n in values)
    total = "(local.get 1)"
    for n in values[1:]:
        total = f"(i64.add (i64.mul {total} (i64.const 3)) (local.get {n}))"
    vector = "(drop (i64x2.splat (local.get 0)))"
    text = f"""(module (tag $e (param i64)) (func $nothing)
      (func $thrower (param i64) (local {'i64 ' * 8}) {vector} {busy} (call $nothing) (throw $e {total}))
      (func $catcher (param i64) (result i64) (block $h (result i64) (try_table (catch $e $h) (call $thrower (local.get 0))) (i64.const 0)))
      (func (export "f") (param i64) (result i64) (local {'i64 ' * 8}) {vector} {busy}
        (i64.add (call $catcher (i64.const 1000)) {total})))"""
    expected = load(text, figwasp.Engine(tier="optimize")).f(5)
    instance = load(text, figwasp.Engine(tier="baseline"))
    assert [instance.f(5) for _ in range(3)] == [expected] * 3
    assert [tier_of(instance, index) for index in (1, 2, 3)] == ["optimized", "baseline", "optimized"]


def test_many_arguments_on_the_stack(soon: None) -> None:
    """The continuation pops what the function would have popped."""
    params = " ".join(["i64"] * 12)
    gets = " ".join(f"(i64.add (local.get {k}))" for k in range(1, 12))
    text = f"""(module (func $many (param {params}) (result i64) (local i64) (loop $l (local.set 12 (i64.add (local.get 12) (local.get 11)))
        (br_if $l (i64.ne (i64.const 0) (local.tee 0 (i64.sub (local.get 0) (i64.const 1)))))) (local.get 12) {gets})
      (func (export "f") (param i64) (result i64) (i64.xor (local.get 0)
        (call $many (i64.const 40) {" ".join(f"(i64.const {k})" for k in range(2, 13))}))))"""
    expected = load(text, figwasp.Engine(tier="optimize")).f(9)
    instance = load(text)
    assert [instance.f(9) for _ in range(30)] == [expected] * 30


def test_calls_end_in_the_middle(soon: None) -> None:
    """Timeouts and traps in code that a loop has gone on in tell the same as ever."""
    text = """(module (memory 1) (func (export "f") (param i32) (result i32)
      (loop $l (drop (i32.load (local.tee 0 (i32.add (local.get 0) (i32.const 4))))) (br $l)) (i32.const 1)))"""
    told = []
    for tier in TIERS:
        instance = load(text, figwasp.Engine(tier=tier))
        with pytest.raises(figwasp.Trap) as caught:
            instance.f(0)
        told.append([(frame.name, frame.offset) for frame in caught.value.frames])
    assert told[0] == told[1] == told[2]
    endless = load('(module (func (export "f") (loop $l (br $l))))')
    with pytest.raises(figwasp.Timeout):
        endless.f(timeout=0.05)


def test_wasm_that_comes_between(soon: None) -> None:
    """While better code is made, a signal handler may run other code of the same instance that goes on elsewhere, too."""
    loop = """(loop $l (local.set $a (i32.add (i32.mul (local.get $a) (i32.const 3)) (local.get $n)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $a)"""
    others = "".join(
        f'(func (export "g{k}") (param $n i32) (result i32) (local $a i32) (local {"i64 " * (3 * k)}) {loop})' for k in range(1, 40)
    )
    text = f'(module (func (export "f") (param $n i32) (result i32) (local $a i32) {loop}) {others} (func (export "t") unreachable))'
    expected = load(text, figwasp.Engine(tier="optimize")).f(50)
    instance = load(text)
    assert instance.g39(3) == load(text, figwasp.Engine(tier="optimize")).g39(3)
    coming = iter(range(1, 39))
    answers = set()

    def between(frame: Any, event: str, _arg: Any) -> Any:
        if frame.f_code is not tiers.TierUp.hot.__code__:
            return None
        sys.settrace(None)
        answers.add(instance.exports[f"g{next(coming)}"](50))
        with pytest.raises(figwasp.Trap):
            instance.t()
        sys.settrace(between)
        return between

    before = sys.gettrace()
    sys.settrace(between)
    try:
        assert instance.f(50) == expected
    finally:
        sys.settrace(before)
    assert answers == {expected}
    assert next(coming) > 5


# What is kept


def test_baseline_code_is_kept_and_better_code_takes_its_place(soon: None, tmp_path: Path) -> None:
    text = looping(LOOPS["nested"])
    engine = figwasp.Engine(tier="auto", cache=tmp_path)

    def begin() -> figwasp.Instance:
        return figwasp.Module(figwasp.wat(text), engine=engine).instantiate()

    def tiers_kept() -> list[int]:
        kept.flush()
        code = begin().module._code
        return [] if code._image is None else [*code._image.tiers]

    kept._waiting.clear()
    expected = load(text, figwasp.Engine(tier="optimize")).f(1)
    assert begin().f(1) == expected
    (tier,) = tiers_kept()
    assert tier != OPTIMIZED
    again = begin()
    assert tier_of(again, 0) == "baseline"
    assert [again.f(1) for _ in range(30)] == [expected] * 30 and tier_of(again, 0) == "optimized"
    assert tiers_kept() == [OPTIMIZED]
    assert begin().f(1) == expected and tier_of(begin(), 0) == "optimized"


def test_traps_of_kept_baseline_code(tmp_path: Path) -> None:
    """Where code traps is not kept: it is found out when somebody wants to know."""
    engine = figwasp.Engine(tier="auto", cache=tmp_path)
    told = []
    for _ in range(2):
        kept._waiting.clear()
        instance = figwasp.Module(figwasp.wat(TRAPS), engine=engine).instantiate({"h": {"f": lambda x: x}})
        with pytest.raises(figwasp.Trap) as caught:
            instance.deep(3)
        told.append([(frame.name, frame.offset) for frame in caught.value.frames])
        kept.flush()
    assert told[0] == told[1] and len(told[0]) == 5


def test_the_other_compiler_is_imported_when_it_is_worth_it() -> None:
    """One small function that is called some thousand times does without; what is hot for long does not."""
    check_script(
        """
        import sys
        import figwasp
        text = '(module (func (export "a") (param i32) (result i32) (local.get 0)) (func (export "b")))'
        module = figwasp.Module(figwasp.wat(text), engine=figwasp.Engine(tier="auto", cache=False))
        instance = module.instantiate()
        for _ in range(5000):
            instance.a(1)
        assert "figwasp.codegen.pipeline" not in sys.modules and not module._code._improved
        for _ in range(50000):
            instance.a(1)
        assert "figwasp.codegen.pipeline" in sys.modules and [*module._code._improved] == [0]
        for _ in range(3000):
            instance.b()
        assert [*module._code._improved] == [0, 1]
        """
    )
