"""Function listeners: who is asked, and what is reported in which order."""

from __future__ import annotations

import asyncio
import gc
import random
import struct
import threading
import weakref
from typing import Any

import pytest

import figwasp
from figwasp.runtime.platform import codespace
from tests.environment import HANG_GUARD
from tests.runtime.code.listening import DEEP, FAC, Log, deep, load

# What is reported


def test_calls_are_reported_from_the_inside_out_with_their_depth() -> None:
    log = Log()
    assert load(FAC, log).exports.fac(3) == 6
    assert log.events == [
        ("before", "fac", (3,), 0),
        ("before", "fac", (2,), 1),
        ("before", "fac", (1,), 2),
        ("after", "fac", (1,), 2),
        ("after", "fac", (2,), 1),
        ("after", "fac", (6,), 0),
    ]


def test_a_listener_is_asked_once_about_a_function_and_only_when_it_is_compiled() -> None:
    log = Log()
    module = figwasp.Module(figwasp.wat(FAC), engine=figwasp.Engine(listener=log))
    one, two = figwasp.load(module), figwasp.load(module)
    assert log.asked == []
    for instance in (one, two, one):
        assert instance.exports.fac(1) == 1
        assert instance.exports.twice(0.25) == 0.5
    assert [(func.module, func.index, func.name, str(func.type)) for func in log.asked] == [
        ("math", 0, "fac", "(i32) -> i32"),
        ("math", 1, "twice", "(f64) -> f64"),
    ]
    assert log.events.count(("after", "twice", (0.5,), 0)) == 3
    assert repr(log.asked[0]) == "<function math!fac (i32) -> i32>"


def test_an_unnamed_function_is_called_by_its_index() -> None:
    log = Log()
    text = '(module (func (export "a") (call 1)) (func))'
    load(text, log).exports.a()
    assert [(func.module, func.name) for func in log.asked] == [("", "a"), ("", "func[1]")]


def test_imported_host_functions_are_not_asked_about() -> None:
    log = Log()
    deep(log, lambda n: None).inner(1)
    assert [func.name for func in log.asked] == ["inner"]
    assert log.asked[0].index == 1


def test_a_function_that_nobody_listens_to_is_not_counted_in_the_depth() -> None:
    log = Log({"inner"})
    deep(log, lambda n: None).outer(4)
    assert log.events == [("before", "inner", (4,), 0), ("after", "inner", (), 0)]


def test_calls_through_tables_other_modules_and_start_functions_are_reported() -> None:
    log = Log()
    library = load(FAC, log)
    text = """(module
      (import "m" "twice" (func $twice (param f64) (result f64)))
      (table funcref (elem $twice))
      (func (export "direct") (result f64) (call $twice (f64.const 1)))
      (func (export "indirect") (result f64) (call_indirect (param f64) (result f64) (f64.const 2) (i32.const 0)))
      (func $start (drop (call $twice (f64.const 3))))
      (start $start))"""
    user = figwasp.load(figwasp.wat(text), {"m": library})  # of another engine: nobody listens to its own functions
    assert (user.exports.direct(), user.exports.indirect()) == (2.0, 4.0)
    assert [event[2] for event in log.events] == [(3.0,), (6.0,), (1.0,), (2.0,), (2.0,), (4.0,)]
    assert {event[3] for event in log.events} == {0}
    starting = Log()
    load("(module (func $s) (start $s))", starting)
    assert starting.events == [("before", "s", (), 0), ("after", "s", (), 0)]


TAILS = """(module (type $t (func (param i32) (result i32))) (table funcref (elem $last))
  (func $last (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $first (export "first") (type $t) (return_call_indirect (type $t) (local.get 0) (i32.const 0)))
  (func $loop (export "loop") (type $t)
    (if (i32.eqz (local.get 0)) (then (return_call $first (i32.const 40))))
    (return_call $loop (i32.sub (local.get 0) (i32.const 1)))))"""


def test_a_tail_call_ends_before_its_caller_does() -> None:
    log = Log()
    assert load(TAILS, log).first(6) == 7
    assert log.take() == [
        ("before", "first", (6,), 0), ("before", "last", (6,), 1), ("after", "last", (7,), 1), ("after", "first", (7,), 0),
    ]  # fmt: skip


def test_tail_calls_of_listened_functions_take_of_the_stack() -> None:
    """Those of other functions do not, whatever they come to in the end."""
    log = Log({"first", "last"})
    assert load(TAILS, log).loop(1_000_000) == 41
    assert [event[:2] for event in log.take()] == [("before", "first"), ("before", "last"), ("after", "last"), ("after", "first")]
    with pytest.raises(figwasp.Exhaustion) as caught:
        load(TAILS, lambda func: object() if func.name == "loop" else None).loop(1_000_000)
    assert {frame.name for frame in caught.value.frames} <= {"loop"}


def test_references_are_reported_as_the_objects_they_are() -> None:
    log = Log()
    text = """(module (func (export "id") (param externref funcref) (result externref funcref) (local.get 0) (local.get 1))
      (func (export "other")))"""
    exports = load(text, log).exports
    thing = object()
    assert exports.id(thing, exports.other) == (thing, exports.other)
    assert exports.id(None, None) == (None, None)
    assert [event[2] for event in log.events] == [(thing, exports.other)] * 2 + [(None, None)] * 2


def signatures() -> list[tuple[str, str]]:
    dice = random.Random(5)
    given = [("", ""), ("i" * 30, "i" * 30), ("f" * 20, "f" * 20), ("", "iI"), ("dIfi" * 8, "idfI" * 6), ("i" * 9, "d" * 9)]
    chosen = ["".join(dice.choices("iIfd", k=dice.randrange(24))) for _ in range(40)]
    return given + list(zip(chosen[::2], chosen[1::2]))


NAMES = {"i": "i32", "I": "i64", "f": "f32", "d": "f64"}


def example(kind: str, dice: random.Random) -> Any:
    if kind in "iI":
        bits = 31 if kind == "i" else 63
        return dice.randrange(-(1 << bits), 1 << bits)
    value = dice.uniform(-1e6, 1e6)
    return struct.unpack("<f", struct.pack("<f", value))[0] if kind == "f" else value


@pytest.mark.parametrize(("params", "results"), signatures())
def test_operands_and_results_of_any_signature_pass_unchanged(params: str, results: str) -> None:
    dice = random.Random(params + results)
    args = tuple(example(kind, dice) for kind in params)
    answer = tuple(example(kind, dice) for kind in results)
    body = "".join(f"({NAMES[kind]}.const {value!r})" for kind, value in zip(results, answer))
    drops = "".join(f"(drop (call $check{i} (local.get {i})))" for i in range(len(params)))
    checks = "".join(
        f'(func $check{i} (export "check{i}") (param {NAMES[k]}) (result {NAMES[k]}) (local.get 0))' for i, k in enumerate(params)
    )
    header = "".join(f" (param {NAMES[k]})" for k in params) + "".join(f" (result {NAMES[k]})" for k in results)
    log = Log({"f", *[f"check{i}" for i in range(len(params))]})
    exports = load(f'(module (func (export "f"){header} {drops} {body}) {checks})', log).exports
    expected = None if not answer else answer[0] if len(answer) == 1 else answer
    for _ in range(2):
        assert exports.f(*args) == expected
    events = log.take()
    assert events[0] == ("before", "f", args, 0)
    assert events[-1] == ("after", "f", answer, 0)
    inside = [event for event in events[1 : len(events) // 2 - 1] if event[0] == "before"]
    assert inside == [("before", f"check{i}", (value,), 1) for i, value in enumerate(args)]


# What it costs


def test_without_a_wish_to_listen_the_code_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[bytes] = []
    install = codespace.Region.install

    def spy(region: codespace.Region, code: Any, direct: bool = False) -> int:
        installed.append(code.data)
        return install(region, code, direct)

    monkeypatch.setenv("FIGWASP_TIER", "optimize")

    def code_with(listener: Any) -> list[bytes]:
        exports = load(FAC, listener).exports
        exports.fac(2), exports.twice(1.0)  # so that the stubs of these types are there
        installed.clear()
        exports = load(FAC, listener).exports
        exports.fac(3), exports.twice(1.0)
        return installed[:]

    monkeypatch.setattr(codespace.Region, "install", spy)
    plain = code_with(None)
    assert len(plain) == 2
    assert code_with(lambda func: None) == plain
    heard = code_with(Log({"twice"}))
    assert len(heard) == 3
    assert heard[:2] == plain


# Around it


def test_a_listener_may_call_wasm() -> None:
    seen = []

    class Curious:
        def before(self, func: figwasp.FuncInfo, args: tuple[Any, ...], depth: int) -> None:
            seen.append(("before", args, depth, exports.fac(4)))

        def after(self, func: figwasp.FuncInfo, results: tuple[Any, ...], depth: int) -> None:
            seen.append(("after", results, depth, exports.fac(5)))

    exports = load(FAC, lambda func: Curious() if func.name == "twice" else None).exports
    assert exports.twice(1.5) == 3.0
    assert seen == [("before", (1.5,), 0, 24), ("after", (3.0,), 0, 120)]


def test_a_listener_may_call_wasm_when_a_call_is_given_up() -> None:
    log = Log()

    class Curious(Log):
        def abort(self, func: figwasp.FuncInfo, error: BaseException | None, depth: int) -> None:
            super().abort(func, error, depth)
            exports.inner(9)

    log = Curious()
    exports = deep(log, lambda n: None)
    with pytest.raises(figwasp.Trap) as caught:
        exports.trap(1)
    aborts = [event for event in log.events if event[0] == "abort"]
    assert aborts == [("abort", "trap", caught.value, 1), ("abort", "trap", caught.value, 0)]
    assert log.events.count(("after", "inner", (), 0)) == 2


def test_events_are_reported_after_the_gil_was_given_up() -> None:
    text = """(module
      (func $work (param i32) (result i32) (local i32)
        (loop $l (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (local.get 0)))) (local.get 1))
      (func (export "run") (result i32) (drop (call $work (i32.const 60000000))) (call $work (i32.const 60000000))))"""
    log = Log({"work", "run"})
    exports = load(text, log).exports
    others = []
    other = threading.Thread(target=lambda: others.append(sum(range(1000))))
    other.start()
    assert exports.run() == 60000000
    other.join()
    assert [event[3] for event in log.events] == [0, 1, 1, 1, 1, 0]


def test_threads_have_depths_of_their_own() -> None:
    log = Log({"outer", "inner"})
    gate = threading.Barrier(2)
    module = figwasp.Module(figwasp.wat(DEEP), engine=figwasp.Engine(listener=log))

    def call(n: int) -> None:
        gate.wait(HANG_GUARD)

    def run() -> None:
        figwasp.load(module, {"host": {"call": call}}).exports.outer(1)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event[3] for event in log.events) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_suspended_calls_have_depths_of_their_own() -> None:
    log = Log()

    gates: list[asyncio.Future[None]] = []

    async def call(n: int) -> None:
        await gates[n]

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        gates[:] = [loop.create_future() for _ in range(4)]
        instance = load(DEEP, log, {"host": {"call": call}})
        calls = [asyncio.ensure_future(instance.acall.outer(n)) for n in range(4)]
        while len(log.events) < 8:
            await asyncio.sleep(0)
        for n in (1, 0):
            gates[n].set_result(None)
            await calls[n]
        gates[2].set_exception(ValueError("two"))
        calls[3].cancel()
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(main())
    assert answers[:2] == [None, None]
    assert isinstance(answers[2], ValueError)
    assert isinstance(answers[3], asyncio.CancelledError)
    for what, name, _, depth in log.events:
        assert depth == (name == "inner"), (what, name, depth)
    ended = [(what, value) for what, name, value, _ in log.events if name == "outer" and what != "before"]
    assert [what for what, _ in ended] == ["after", "after", "abort", "abort"]
    assert ended[2][1] is answers[2]
    assert isinstance(ended[3][1], asyncio.CancelledError)


def test_a_listener_that_knows_its_instance_goes_with_it() -> None:
    class Holder(Log):
        instance: figwasp.Instance

    log = Holder()
    log.instance = load(FAC, log)
    log.instance.exports.fac(3)
    gone = weakref.ref(log)
    del log
    gc.collect()
    assert gone() is None


def test_a_listener_is_asked_once_about_both_kinds_of_memory_access() -> None:
    log = Log({"get"})
    text = '(module (memory 1) (func $get (export "get") (result i32) (i32.load (i32.const 0))) (func (export "other")))'
    module = figwasp.Module(figwasp.wat(text), engine=figwasp.Engine(listener=log, memory="guard"))
    for code in (module._code, module._code.checked()):
        for index in (0, 1):
            code.compile(index)
    assert [func.name for func in log.asked] == ["get", "other"]
