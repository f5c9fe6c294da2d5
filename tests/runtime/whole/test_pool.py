"""Functions compiled in several processes: the same code, whatever becomes of the processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

import figwasp
from figwasp.codegen.code import Code
from figwasp.codegen.stored.serial import to_bytes
from figwasp.errors import Invalid
from figwasp.features import DEFAULT
from figwasp.layout import GUARD
from figwasp.runtime.code.translate import Translator
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.whole import pool
from figwasp.runtime.whole.pool import Pool
from figwasp.runtime.workers import worker
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.valid.state import FuncFacts

SIZES = [3, 40, 1, 7, 90, 2, 2, 25, 1, 1, 60, 5]  # of sums in each function


def module(sizes: list[int] = SIZES) -> Module:
    """A module whose functions have so many sums."""
    sums = [" ".join(f"(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const {k + 3})) (i32.const {k})))" for k in range(n)) for n in sizes]
    return decode(figwasp.wat("".join(f"(func (param i32) (result i32) {text} (local.get 0))" for text in sums)), DEFAULT)


def translator(of: Module) -> Translator:
    return Translator(of, GUARD, False)


def sizes_of(of: Module) -> dict[int, int]:
    return {index: body.end - body.start for index, body in enumerate(of.bodies)}


def compiled(of: Module) -> dict[int, bytes]:
    """What the pool is to make."""
    here = translator(of)
    return {index: to_bytes(here.translate(index), machine().fingerprint) for index in range(len(of.bodies))}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process and no file is left behind."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert len(os.listdir("/proc/self/fd")) == before


class Forks:
    """Counts forks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._fork = os.fork
        monkeypatch.setattr(os, "fork", self)

    def __call__(self) -> int:
        self.count += 1
        return self._fork()


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> Forks:
    return Forks(monkeypatch)


@pytest.mark.parametrize("jobs", [1, 2, 3, 20])
def test_any_number_of_processes_makes_the_same(forks: Forks, jobs: int) -> None:
    of = module()
    told: list[tuple[int, int]] = []
    made = Pool(lambda: translator(of), sizes_of(of), lambda done, total: told.append((done, total)))
    made.run(jobs)
    assert made.codes == compiled(of)
    assert made.facts_size == sum(translator(of).facts(index).size for index in range(len(SIZES)))
    assert forks.count == (0 if jobs == 1 else min(jobs, len(SIZES)))
    total = sum(sizes_of(of).values())
    assert len(told) == len(SIZES) and told == sorted(told) and told[-1] == (total, total) and {of_all for _, of_all in told} == {total}


def test_there_are_as_many_as_are_worth_while(monkeypatch: pytest.MonkeyPatch, forks: Forks) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    of = module()
    Pool(lambda: translator(of), sizes_of(of)).run()
    assert forks.count == 0
    monkeypatch.setattr(pool, "_WORTH", 1)
    Pool(lambda: translator(of), sizes_of(of)).run()
    assert forks.count == 3


def test_none_are_forked_where_there_are_threads(forks: Forks) -> None:
    of = module()
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        made = Pool(lambda: translator(of), sizes_of(of))
        made.run(2)
    finally:
        end.set()
        thread.join()
    assert forks.count == 0 and made.codes == compiled(of)


@pytest.mark.parametrize("possible", [0, 1])
def test_it_goes_with_those_that_can_be_forked(monkeypatch: pytest.MonkeyPatch, possible: int) -> None:
    of = module()
    left = iter(range(possible))
    fork = os.fork

    def limited() -> int:
        if next(left, None) is None:
            raise BlockingIOError("too many processes")
        return fork()

    monkeypatch.setattr(os, "fork", limited)
    made = Pool(lambda: translator(of), sizes_of(of))
    made.run(3)
    assert made.codes == compiled(of)


def test_nothing_to_do(forks: Forks) -> None:
    made = Pool(lambda: translator(module()), {})
    made.run(4)
    assert made.codes == {} and forks.count == 0


def test_large_functions_wait_for_a_process_that_has_nothing_else_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest go first, alone; small ones several at a time, behind each other."""
    monkeypatch.setattr(pool, "_AHEAD", 100)
    orders: list[list[int]] = []
    order = worker.Process.order

    def noted(self: worker.Process, indices: list[int]) -> None:
        orders.append(indices)
        order(self, indices)

    monkeypatch.setattr(worker.Process, "order", noted)
    of = module()
    sizes = sizes_of(of)
    Pool(lambda: translator(of), sizes).run(2)
    given = [index for indices in orders for index in indices]
    assert given == sorted(sizes, key=lambda index: -sizes[index])
    assert orders[:2] == [[4], [10]]
    assert all(len(indices) == 1 for indices in orders if sizes[indices[-1]] > 100) and any(len(indices) > 1 for indices in orders)


# Processes that end


@pytest.mark.parametrize("victims", [1, 2])
@pytest.mark.parametrize("moment", [0, 3])
def test_processes_that_are_killed(victims: int, moment: int) -> None:
    """What they have not done is done by the others or here."""
    of = module()
    count = 0

    def kill(_done: int, _total: int) -> None:
        nonlocal count
        if count == moment:
            for hand in list(made._hands.values())[:victims]:
                os.kill(hand.process.pid, signal.SIGKILL)
        count += 1

    made = Pool(lambda: translator(of), sizes_of(of), kill)
    made.run(2)
    assert made.codes == compiled(of) and count == len(SIZES)


def test_processes_that_cannot_begin() -> None:
    of, here = module(), os.getpid()

    def make() -> Translator:
        if os.getpid() != here:
            raise MemoryError
        return translator(of)

    made = Pool(make, sizes_of(of))
    made.run(2)
    assert made.codes == compiled(of)


class Poor(Translator):
    """A compiler that has not the memory for one function, unless it is in this process."""

    here = os.getpid()

    def translate_checked(self, index: int, facts: FuncFacts) -> Code:
        if index == 4 and os.getpid() != self.here:
            raise MemoryError
        return super().translate_checked(index, facts)


def test_a_function_for_which_a_process_has_not_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poor, "here", os.getpid())
    of = module()
    made = Pool(lambda: Poor(of, GUARD, False), sizes_of(of))
    made.run(2)
    assert made.codes == compiled(of)


class Liar(Translator):
    """A compiler in another process that sends something else."""

    def translate_checked(self, index: int, facts: FuncFacts) -> Code:
        worker.send(self.pipe, worker.MADE, index, bytes(100))
        return super().translate_checked(index, facts)

    pipe = -1


def test_answers_that_make_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no code, and answers that nobody has asked for, are as if the process had died."""
    make = worker.make

    def lying(translator: Translator, index: int, answers: int) -> None:
        assert isinstance(translator, Liar)
        translator.pipe = answers
        make(translator, index, answers)

    monkeypatch.setattr(worker, "make", lying)
    of = module()
    made = Pool(lambda: Liar(of, GUARD, False), sizes_of(of))
    monkeypatch.setattr(Liar, "translate_checked", _in_child(os.getpid()))
    made.run(2)
    assert made.codes == compiled(of)


def _in_child(here: int) -> object:
    lie = Liar.translate_checked

    def translate_checked(self: Liar, index: int, facts: FuncFacts) -> Code:
        return lie(self, index, facts) if os.getpid() != here else Translator.translate_checked(self, index, facts)

    return translate_checked


# Exceptions


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_invalid_is_raised(jobs: int) -> None:
    of = decode(figwasp.wat("(func) (func (result i32) (i64.const 0)) (func)"), DEFAULT)
    with pytest.raises(Invalid, match="function 1"):
        Pool(lambda: translator(of), sizes_of(of)).run(jobs)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_ends_the_processes(jobs: int) -> None:
    of = module()

    def interrupt(_done: int, _total: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Pool(lambda: translator(of), sizes_of(of), interrupt).run(jobs)


def test_a_signal_that_comes_while_a_process_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No handler runs in the other process; in this one it runs, and the process is not forgotten."""
    ran: list[int] = []
    fork = os.fork

    def forked() -> int:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)  # the library of another test may have threads that take others
        pid = fork()
        ran.append(pid)
        return pid

    def handler(*_: object) -> None:
        raise KeyError(os.getpid())

    monkeypatch.setattr(os, "fork", forked)
    of = module()
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(KeyError, match=str(os.getpid())):
            Pool(lambda: translator(of), sizes_of(of)).run(2)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(ran) == 1 and signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
