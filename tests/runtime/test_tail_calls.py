"""Tail calls of WebAssembly: the stack stays where it is, arguments and results arrive, and the caller has its instance again."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

import figwasp
from figwasp import Engine
from tests.runtime.support import host, load
from tests.runtime.test_time import interrupt

COUNTS = [0, 1, 7, 8, 9, 10, 12, 31]
"""Numbers of i64 parameters: with the instance seven are passed in registers, the rest in cells of the stack."""
MANY = 700
"""Results that come in memory and make a frame larger than those that are checked after they have been made."""


def params(count: int) -> str:
    return f"(param{' i64' * count})"


def countdown(name: str, count: int, call: str, other: int, frame: str = "") -> str:
    """Return a function that makes a tail call of another until its first parameter is 0, and returns its last one then."""
    args = "".join(f" (local.get {min(k, count - 1)})" for k in range(1, other))
    return f"""(func ${name} (export "{name}") {params(count)} (result i64) {frame}
      (if (result i64) (i64.eqz (local.get 0)) (then (local.get {count - 1}))
        (else ({call} (i64.sub (local.get 0) (i64.const 1)){args}{" (i32.const 0)" if "indirect" in call else ""}))))"""


def run(func: Any, times: int, count: int) -> int:
    result: int = func(times, *[77] * (count - 1))
    return result


@pytest.mark.parametrize(("mine", "other", "times"), [(2, 2, 10_000_000), (2, 12, 1_000_000), (31, 3, 1_000_000), (9, 10, 1_000_000)])
class TestConstantStack:
    """A word a call would be more than any stack holds."""

    def test_inside_a_module(self, mine: int, other: int, times: int) -> None:
        text = countdown("a", mine, "return_call $b", other) + countdown("b", other, "return_call $a", mine)
        assert run(load(f"(module {text})").a, times, mine) == 77

    def test_through_a_table(self, mine: int, other: int, times: int) -> None:
        a = countdown("a", mine, "return_call_indirect $b (type $b)", other)
        b = countdown("b", other, "return_call_indirect $a (type $a)", mine)
        types = f"(type $a (func {params(mine)} (result i64))) (type $b (func {params(other)} (result i64)))"
        assert run(load(f"(module {types} (table $a funcref (elem $a)) (table $b funcref (elem $b)) {a} {b})").a, times, mine) == 77

    @pytest.mark.parametrize("ways", [("import", "table"), ("table", "table")])
    def test_between_instances(self, mine: int, other: int, times: int, ways: tuple[str, str]) -> None:
        """Each from an engine of its own, so that they meet when they are linked."""
        first, second = linked(mine, other, ways)
        assert run(first, times, mine) == 77
        assert run(second, times, other) == 77

    def test_from_large_frames(self, mine: int, other: int, times: int) -> None:
        """The frame has room for results in memory, and goes with each call."""
        many = f"(func $many (result{' i64' * MANY}) {'(i64.const 7)' * MANY})"
        frame = f"(if (i64.eqz (local.get 0)) (then (call $many) {'(drop)' * MANY}))"
        text = countdown("a", mine, "return_call $b", other, frame) + countdown("b", other, "return_call $a", mine, frame)
        assert run(load(f"(module {many} {text})").a, times, mine) == 77


def linked(mine: int, other: int, ways: tuple[str, str]) -> tuple[Any, Any]:
    """Return functions of two instances that call each other, the first by an import or a table, the second by a table."""
    types = f"(type $a (func {params(mine)} (result i64))) (type $b (func {params(other)} (result i64)))"
    second = figwasp.load(
        figwasp.wat(
            f"""(module {types} (table $a (export "a table") 1 funcref) (table $b (export "b table") funcref (elem $b))
            {countdown("b", other, "return_call_indirect $a (type $a)", mine)})"""
        ),
        engine=Engine(),
    )
    call = "return_call $b" if ways[0] == "import" else "return_call_indirect $b (type $b)"
    first = figwasp.load(
        figwasp.wat(
            f"""(module {types} (import "m" "b" (func $b (type $b)))
            (import "m" "a table" (table $a 1 funcref)) (import "m" "b table" (table $b 1 funcref)) (elem (table $a) (i32.const 0) func $a)
            {countdown("a", mine, call, other)})"""
        ),
        {"m": second},
        engine=Engine(),
    )
    return first.a, second.b


# What arrives, and what comes back


def last(prefix: str, count: int) -> str:
    """Return C: gives what its parameters add up to, each times its place, and the name of its instance."""
    total = "(i64.const 0)"
    for k in range(count):
        total = f"(i64.add {total} (i64.mul (local.get {k}) (i64.const {k + 1})))"
    return f'(func ${prefix}{count} (export "{prefix}{count}") {params(count)} (result i64 i64) {total} (global.get $me))'


def leaver(count: int, passed: int, way: str) -> str:
    """Return B, which calls C as its last act, and A, which calls B and then looks at its own global and memory."""
    args = "".join(f" (local.get {(k + 1) % count})" if k % 3 != 2 and count else f" (i64.const {1000 + k})" for k in range(passed))
    call = {"here": f"return_call $d{passed}", "import": f"return_call $c{passed}", "table": f"return_call_indirect (type $t{passed})"}[way]
    index = f" (i32.const {COUNTS.index(passed)})" if way == "table" else ""
    name = f"{count} {passed} {way}"
    numbers = "".join(f" (i64.const {k + 1})" for k in range(count))
    return f"""(func $"{name}" {params(count)} (result i64 i64) ({call}{args}{index}))
      (func (export "{name}") (result i64 i64 i64 i64) (call $"{name}"{numbers}) (global.get $me) (i64.load (i32.const 8)))"""


def expected(count: int, passed: int) -> int:
    args = [(k + 1) % count + 1 if k % 3 != 2 and count else 1000 + k for k in range(passed)]
    return sum(place * value for place, value in enumerate(args, 1))


@pytest.fixture(scope="module")
def pair() -> figwasp.Instance:
    """An instance whose functions call those of another, 222, its own being 111."""
    head = '(global $me i64 (i64.const {0})) (memory 1) (data (i32.const 8) "{1}")'
    other = load(f"(module {head.format(222, 'other')} {''.join(last('c', n) for n in COUNTS)})")
    types = "".join(f"(type $t{n} (func {params(n)} (result i64 i64)))" for n in COUNTS)
    imports = "".join(f'(import "m" "c{n}" (func $c{n} (type $t{n})))' for n in COUNTS)
    table = f"(table funcref (elem {' '.join(f'$c{n}' for n in COUNTS)}))"
    bodies = "".join(last("d", n) for n in COUNTS)
    bodies += "".join(leaver(*one) for one in itertools.product(COUNTS, COUNTS, ("here", "import", "table")))
    return load(f"(module {types} {imports} {head.format(111, 'own')} {table} {bodies})", {"m": other})


@pytest.mark.parametrize("way", ["here", "import", "table"])
@pytest.mark.parametrize(("count", "passed"), list(itertools.product(COUNTS, COUNTS)))
def test_arguments_arrive_and_the_caller_is_as_before(pair: figwasp.Instance, count: int, passed: int, way: str) -> None:
    own = int.from_bytes(b"own", "little")
    for _ in range(2):  # through lazy entries, then code
        found = pair.exports[f"{count} {passed} {way}"]()
        assert found == (expected(count, passed), 111 if way == "here" else 222, 111, own)


@pytest.mark.parametrize("way", ["return_call $f", "return_call_indirect (type $f)"])
def test_results_in_memory_pass_on(way: str) -> None:
    """The area of the caller is filled by what is called last; vectors, floats and integers, more than there are registers."""
    types = "(result" + " i64 f64 v128" * 12 + ")"
    values = "".join(f"(i64.add (local.get 0) (i64.const {k})) (f64.const {k}.5) (v128.const i64x2 {k} {k + 1})" for k in range(12))
    index = "" if way == "return_call $f" else "(i32.const 0)"
    instance = load(
        f"""(module (type $f (func (param i64 f64 v128) {types})) (table funcref (elem $f))
        (func $f (type $f) {values})
        (func (export "g") (param i64 f64 v128) {types} ({way} (local.get 0) (local.get 1) (local.get 2) {index}))
        (func (export "h") {types} (call 1 (i64.const 100) (f64.const 1) (v128.const i64x2 1 2))))"""
    )
    wanted = tuple(itertools.chain(*[(100 + k, k + 0.5, k.to_bytes(8, "little") + (k + 1).to_bytes(8, "little")) for k in range(12)]))
    assert instance.g(100, 1.0, bytes(16)) == wanted
    assert instance.h() == wanted


@pytest.mark.parametrize("types", [["i64"] * 12, ["i64"] * 9, ["f64"] * 12, ["i64", "f64"] * 12, ["v128"] * 12, ["i64", "v128", "f64"] * 8])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_arguments_that_change_places(types: list[str], step: int) -> None:
    """A call of itself with its parameters turned round: those of a type, so that each comes by the places of all."""
    places = {type: [k for k, other in enumerate(types) if other == type] for type in types}
    turned = [places[type][(places[type].index(k) - step) % len(places[type])] for k, type in enumerate(types)]
    kinds = " ".join(types)
    args = " ".join(f"(local.get {k + 1})" for k in turned)
    everything = " ".join(f"(local.get {k + 1})" for k in range(len(types)))
    instance = load(
        f"""(module (func $f (export "f") (param i32 {kinds}) (result {kinds})
          (if (i32.eqz (local.get 0)) (then (return {everything})))
          (return_call $f (i32.sub (local.get 0) (i32.const 1)) {args})))"""
    )
    makers: dict[str, Callable[[int], Any]] = {"i64": int, "f64": float, "v128": bits}
    values = [makers[type](k) for k, type in enumerate(types, 1)]
    for times in (0, 1, 2, 5, 1000):
        now = values
        for _ in range(times):
            now = [now[k] for k in turned]
        assert list(instance.f(times, *values)) == now


def bits(number: int) -> bytes:
    return number.to_bytes(8, "little") + (number + 100).to_bytes(8, "little")


def turner(name: str, kinds: list[str], other: str, others: list[str]) -> str:
    """Return a function that calls another with its parameters, those of each type turned by one, and returns them at last, by type."""
    places = {type: [k for k, kind in enumerate(kinds, 1) if kind == type] for type in ("f64", "v128")}
    result = " ".join(f"(local.get {k})" for k in [*places["f64"], *places["v128"]])
    turned = {type: iter([*found[1:], found[0]]) for type, found in places.items()}
    args = " ".join(f"(local.get {next(turned[type])})" for type in others)
    return f"""(func ${name} (export "{name}") (param i32 {" ".join(kinds)}) (result {" ".join(sorted(kinds))})
      (if (i32.eqz (local.get 0)) (then (return {result})))
      (return_call ${other} (i32.sub (local.get 0) (i32.const 1)) {args}))"""


def test_vectors_and_numbers_that_stand_otherwise_in_the_callee() -> None:
    """Values of one and of two cells, whose places overlap."""
    f = ["v128"] * 16 + ["f64"] * 8
    g = ["v128"] * 8 + ["f64", "f64", "v128"] * 4 + ["v128"] * 4
    instance = load(f"(module {turner('f', f, 'g', g)} {turner('g', g, 'f', f)})")
    for name, kinds in (("f", f), ("g", g)):
        values = [float(k) if kind == "f64" else bits(k) for k, kind in enumerate(kinds)]
        for times in range(6):
            floats = [value for value in values if isinstance(value, float)]
            vectors = [value for value in values if isinstance(value, bytes)]
            expected = [*floats[times:], *floats[:times], *vectors[times:], *vectors[:times]]
            assert list(instance.exports[name](times, *values)) == expected


def test_locals_of_a_frame_that_goes_are_passed_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they live in the frame, as in functions whose SSA form would be out of proportion."""
    monkeypatch.setattr("figwasp.ir.build.builder._ARGS_PER_OP", -(1 << 30))
    instance = load(
        """(module (func $f (export "f") (param i64 i64 i64) (result i64) (local i64)
          (if (i64.eqz (local.get 0)) (then (return (i64.sub (local.get 1) (local.get 2)))))
          (local.set 3 (i64.add (local.get 1) (i64.const 3)))
          (return_call $f (i64.sub (local.get 0) (i64.const 1)) (local.get 3) (i64.add (local.get 2) (i64.const 1)))))"""
    )
    assert instance.f(100_000, 0, 0) == 200_000


def test_functions_of_the_host() -> None:
    """They take the place of the caller as well, by an import or from a table, and their exceptions pass."""
    seen: list[tuple[int, ...]] = []

    def f(*args: int) -> int:
        seen.append(args)
        if args[0] < 0:
            raise LookupError("no")
        return sum(args)

    types = f"(type $f (func {params(12)} (result i64)))"
    args = "(local.get 0)" + "".join(f"(i64.const {k})" for k in range(1, 12))
    text = f"""(module {types} (import "host" "f" (func $f (type $f))) (table funcref (elem $f)) (global $me i64 (i64.const 5))
      (func $a (export "a") (param i64) (result i64) (return_call $f {args}))
      (func $b (export "b") (param i64) (result i64) (return_call_indirect (type $f) {args} (i32.const 0)))
      (func (export "c") (param i64) (result i64) (i64.add (call $a (local.get 0)) (i64.add (call $b (local.get 0)) (global.get $me)))))"""
    instance = load(text, host(f=f))
    for number in range(3):
        assert instance.a(number) == instance.b(number) == 66 + number
        assert instance.c(number) == 2 * (66 + number) + 5
    for func in (instance.a, instance.b, instance.c):
        with pytest.raises(LookupError, match="no"):
            func(-1)
    assert instance.c(0) == 137
    assert set(seen) == {(k, *range(1, 12)) for k in range(-1, 3)}


def test_async_functions_of_the_host() -> None:
    """A call that has been suspended in one goes on in what called its caller."""

    async def f(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    instance = load(
        """(module (import "host" "f" (func $f (param i64) (result i64)))
          (func $a (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64) (return_call $f (local.get 9)))
          (func (export "b") (param $n i64) (result i64) (local $t i64) (local.get $n)
            (loop $l (local.set $t (i64.add (local.get $t)
                (call $a (local.get $t) (local.get $t) (local.get $t) (local.get $t) (local.get $t) (local.get $t) (local.get $t)
                  (local.get $t) (local.get $t) (i64.const 41))))
              (br_if $l (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0)))) (local.get $t) (i64.add)))""",
        host(f=f),
    )
    assert asyncio.run(instance.acall.b(10)) == 430


def test_a_callee_that_calls_and_comes_back_through_others() -> None:
    """Ordinary calls between tail calls: from I1 to I2 and back to I1, each finds its own, and the caller its own at the end."""
    first = load(
        """(module (table (export "t") 4 funcref) (type $f (func (param i64) (result i64))) (global $me i64 (i64.const 1))
          (func $last (export "last") (type $f) (i64.add (i64.mul (local.get 0) (i64.const 10)) (global.get $me)))
          (func (export "go") (type $f)
            (i64.add (i64.mul (call_indirect (type $f) (local.get 0) (i32.const 0)) (i64.const 10)) (global.get $me)))
          (elem (i32.const 1) func $last))"""
    )
    load(
        """(module (import "m" "t" (table $t 4 funcref)) (type $f (func (param i64) (result i64))) (global $me i64 (i64.const 2))
          (func $middle (type $f)
            (i64.add (i64.mul (call $leave (local.get 0)) (i64.const 10)) (global.get $me)))
          (func $leave (type $f) (return_call_indirect (type $f) (local.get 0) (i32.const 1)))
          (func $enter (type $f) (return_call $middle (local.get 0)))
          (elem (table $t) (i32.const 0) func $enter))""",
        {"m": first},
    )
    assert first.go(7) == 7121


# Endless ones end

ENDLESS = """(module (type $f (func (param i64))) (table funcref (elem $c)) (memory 1)
  (func $a (export "direct") (param i64) (return_call $b (i64.add (local.get 0) (i64.const 1)) (i64.const 2) (i64.const 3)))
  (func $b (param i64 i64 i64) (return_call $a (local.get 0)))
  (func $c (export "table") (type $f) (return_call_indirect (type $f) (local.get 0) (i32.const 0)))
  (func (export "add") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1))))"""
QUICKLY = 0.3
"""Seconds, of this thread's processor time."""


def endless(way: str, **options: Any) -> Callable[..., None]:
    func: Callable[..., None] = figwasp.load(figwasp.wat(ENDLESS), engine=Engine(**options)).exports[way]
    return func


@pytest.mark.parametrize("fuel", [False, 1 << 60], ids=["", "metered"])
@pytest.mark.parametrize("way", ["direct", "table"])
class TestEndless:
    def test_timeout(self, way: str, fuel: int) -> None:
        func = endless(way, fuel=fuel)
        for _ in range(3):
            start = time.thread_time()
            with pytest.raises(figwasp.Timeout) as caught:
                func(0, timeout=0.02)
            assert time.thread_time() - start < QUICKLY
            assert len(caught.value.frames) == 1

    def test_ctrl_c(self, way: str, fuel: int) -> None:
        func = endless(way, fuel=fuel)
        start = time.thread_time()
        with interrupt(0.02), pytest.raises(KeyboardInterrupt):
            func(0)
        assert time.thread_time() - start < QUICKLY


@pytest.mark.parametrize("way", ["direct", "table"])
def test_endless_ones_run_out_of_fuel(way: str) -> None:
    func = endless(way, fuel=10**6)
    with pytest.raises(figwasp.OutOfFuel) as caught:
        func(0)
    assert len(caught.value.frames) == 1


@pytest.mark.parametrize(("body", "paid"), [("return_call $none", 1), ("call $none", 1), ("return_call_indirect (i32.const 0)", 2)])
def test_a_tail_call_pays_as_a_call_does(body: str, paid: int) -> None:
    text = f"(module (table funcref (elem $none)) (func $none) (func (export \"f\") ({body})))"
    instance = figwasp.load(figwasp.wat(text), engine=Engine(fuel=True))
    instance.fuel = 100
    instance.f()
    assert instance.fuel == 100 - paid
