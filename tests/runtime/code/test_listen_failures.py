"""Function listeners: calls that do not return, and listeners that raise."""

from __future__ import annotations

from typing import Any

import pytest

import figwasp
from tests.runtime.code.listening import FAC, Log, deep, load

# Calls that do not return


def test_a_trap_is_reported_with_the_exception_that_the_caller_gets() -> None:
    log = Log()
    exports = deep(log, lambda n: None)
    with pytest.raises(figwasp.Trap, match="unreachable") as caught:
        exports.trap(2)
    assert log.take() == [
        ("before", "trap", (2,), 0),
        ("before", "trap", (1,), 1),
        ("before", "trap", (0,), 2),
        ("abort", "trap", caught.value, 2),
        ("abort", "trap", caught.value, 1),
        ("abort", "trap", caught.value, 0),
    ]
    exports.inner(1)
    assert log.take() == [("before", "inner", (1,), 0), ("after", "inner", (), 0)]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit("no"), figwasp.Exit(0)])
def test_an_exception_of_a_host_function_is_reported(error: BaseException) -> None:
    def fail(n: int) -> None:
        raise error

    log = Log()
    exports = deep(log, fail)
    with pytest.raises(type(error)) as caught:
        exports.outer(2)
    assert log.take()[2:] == [("abort", "inner", caught.value, 1), ("abort", "outer", caught.value, 0)]


def test_running_out_of_stack_is_reported_for_every_call() -> None:
    log = Log()
    exports = deep(log, lambda n: None)
    with pytest.raises(figwasp.Exhaustion):
        exports.endless()
    events = log.take()
    count = len(events) // 2
    assert count > 1000
    assert [event[3] for event in events] == [*range(count), *reversed(range(count))]
    assert {event[0] for event in events[count:]} == {"abort"}


def test_an_exception_that_python_catches_ends_only_the_calls_inside() -> None:
    log = Log()

    def call(n: int) -> None:
        if n:
            with pytest.raises(figwasp.Trap):
                exports.trap(0)
            exports.outer(0)

    exports = deep(log, call)
    exports.outer(1)
    assert [(what, name, depth) for what, name, _, depth in log.take()] == [
        ("before", "outer", 0),
        ("before", "inner", 1),
        ("before", "trap", 2),
        ("abort", "trap", 2),
        ("before", "outer", 2),
        ("before", "inner", 3),
        ("after", "inner", 3),
        ("after", "outer", 2),
        ("after", "inner", 1),
        ("after", "outer", 0),
    ]


def test_a_listener_may_have_any_of_the_methods() -> None:
    ended = []

    class Aborts:
        def abort(self, func: figwasp.FuncInfo, error: BaseException, depth: int) -> None:
            ended.append((func.name, depth))

    exports = deep(lambda func: Aborts() if func.name == "trap" else object(), lambda n: exports.trap(1))
    with pytest.raises(figwasp.Trap):
        exports.outer(1)
    assert ended == [("trap", 3), ("trap", 2)]


# Listeners that raise


class Raising(Log):
    """A listener that raises at one kind of event of one function."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__()
        self.spot = (what, name)
        self.error = LookupError(what)

    def _note(self, what: str, name: str, value: Any, depth: int) -> None:
        self.events.append((what, name, value, depth))
        if (what, name) == self.spot:
            raise self.error

    def before(self, func: figwasp.FuncInfo, args: tuple[Any, ...], depth: int) -> None:
        self._note("before", func.name, args, depth)

    def after(self, func: figwasp.FuncInfo, results: tuple[Any, ...], depth: int) -> None:
        self._note("after", func.name, results, depth)

    def abort(self, func: figwasp.FuncInfo, error: BaseException | None, depth: int) -> None:
        self._note("abort", func.name, error, depth)


@pytest.mark.parametrize("what", ["before", "after"])
def test_what_a_listener_raises_passes_to_the_caller(what: str) -> None:
    log = Raising(what, "inner")
    called: list[int] = []
    exports = deep(log, called.append)
    with pytest.raises(LookupError) as caught:
        exports.outer(5)
    assert caught.value is log.error
    assert called == [5] * (what == "after")
    assert log.take()[-2:] == [(what, "inner", (5,) if what == "before" else (), 1), ("abort", "outer", log.error, 0)]
    log.spot = ("", "")
    exports.outer(6)
    assert [event[3] for event in log.take()] == [0, 1, 1, 0]


def test_what_a_listener_raises_at_an_abort_takes_the_place_of_the_exception() -> None:
    log = Raising("abort", "inner")
    first = ValueError("first")

    def fail(n: int) -> None:
        raise first

    exports = deep(log, fail)
    with pytest.raises(LookupError) as caught:
        exports.outer(5)
    assert caught.value is log.error
    assert caught.value.__context__ is first
    assert log.take()[-2:] == [("abort", "inner", first, 1), ("abort", "outer", first, 0)]


def test_what_the_question_raises_passes_to_the_caller_and_it_is_asked_again() -> None:
    answers = [LookupError("not now"), None]

    def listener(func: figwasp.FuncInfo) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    exports = load(FAC, listener).exports
    with pytest.raises(LookupError, match="not now"):
        exports.fac(3)
    assert exports.fac(3) == 6
    assert answers == []


def test_a_timeout_ends_the_calls() -> None:
    text = '(module (func $spin (loop $l (br $l))) (func (export "run") (call $spin)))'
    log = Log()
    exports = load(text, log).exports
    for seconds in (0.05, 0.5, 5, 50):
        with pytest.raises(figwasp.Timeout) as caught:
            exports.run(timeout=seconds)
        events = log.take()
        if len(events) > 2:  # on a busy machine the time may be up before both functions are compiled
            break
    assert events[2:] == [("abort", "spin", caught.value, 1), ("abort", "run", caught.value, 0)]


def test_running_out_of_fuel_ends_the_calls() -> None:
    text = '(module (func $spin (loop $l (br $l))) (func (export "run") (call $spin)))'
    log = Log()
    instance = figwasp.load(figwasp.Module(figwasp.wat(text), engine=figwasp.Engine(listener=log, fuel=True)))
    instance.fuel = 1000
    with pytest.raises(figwasp.OutOfFuel) as caught:
        instance.exports.run()
    assert log.take()[2:] == [("abort", "spin", caught.value, 1), ("abort", "run", caught.value, 0)]
