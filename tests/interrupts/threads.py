"""What happens when another thread comes between any two lines of figwasp: it runs an operation to its end there.

In: two operations on what they share. Out: an error that says at which line something went wrong, and the seed with which it does so
again. A thread that cannot end, since the first one holds a lock, goes on beside it.
"""

from __future__ import annotations

import random
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import figwasp
from tests.environment import HANG_GUARD
from tests.interrupts.lines import ALL, SEED, SRC

DOCUMENTED = (figwasp.Busy, figwasp.LimitExceeded, figwasp.Closed, figwasp.Interrupted)  # by closing
"""How an operation may end that another thread came between."""
_WAIT = 0.3  # seconds after which one thread is taken to wait for the other
_PURE = tuple(f"{SRC}/{folder}/" for folder in ("ir", "codegen", "wasm"))
_SHARED = (f"{SRC}/wasm/valid/subtyping.py",)
"""Compiler, decoder and validator work on objects of their own, but for the table of types: of their lines a few are tried."""
_FEW = 0.002
_MANY = 1 << 60

Operation = Callable[[Any], object]


class Between:
    """A trace function that does something at a line event inside figwasp.

    Attributes:
        left: line events until then; less than 0 when it has been done.
        place: where that was.
    """

    def __init__(self, at: int, work: Callable[[], object], chance: random.Random) -> None:
        self.left = at
        self.place = ""
        self._work = work
        self._chance = chance

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if self.left < 0 or not file.startswith(SRC):
            return None
        if file.startswith(_PURE) and file not in _SHARED and self._chance.random() > _FEW:
            return None
        if event == "line":
            if self.left == 0:
                self.place = f"{file[len(SRC) + 1 :]}:{frame.f_lineno} {frame.f_code.co_qualname}"
                self._work()
            self.left -= 1
        return self


class Second:
    """The second thread.

    Attributes:
        errors: what went wrong there.
        place: where it stopped on its way.
    """

    def __init__(self, work: Callable[[], object], pause: int, chance: random.Random) -> None:
        """Be ready to begin.

        Args:
            work: what it does.
            pause: the line event at which it stops until the first thread is at its end.
            chance: decides which lines of the compiler count.
        """
        self.errors: list[BaseException] = []
        self._work = work
        self._tracer = Between(pause, self._stop, chance) if pause >= 0 else None
        self._stopped = threading.Event()
        self._go_on = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def place(self) -> str:
        return self._tracer.place if self._tracer is not None else ""

    def _stop(self) -> None:
        self._stopped.set()
        self._go_on.wait(_WAIT)  # the first one may be waiting for a lock that this one has

    def _run(self) -> None:
        sys.settrace(self._tracer)
        try:
            run(self._work)
        except BaseException as error:
            self.errors.append(error)
        finally:
            sys.settrace(None)
            self._stopped.set()

    def begin(self) -> None:
        """Begin, and go on when it has ended, stopped on its way, or waits for the first thread."""
        self._thread.start()
        self._stopped.wait(_WAIT)

    def finish(self) -> None:
        """Wait for its end, if it has begun."""
        self._go_on.set()
        if self._thread.ident is not None:
            wait(self._thread)


def wait(thread: threading.Thread) -> None:
    """Wait for a thread, and run pending calls meanwhile.

    A thread with a trace function waits for them: CPython 3.11 does not let it enter a function as long as there are any.
    """
    end = time.monotonic() + HANG_GUARD
    while thread.is_alive():
        thread.join(0.001)
        if time.monotonic() > end:
            frame = sys._current_frames().get(thread.ident or 0)
            raise AssertionError("a thread hangs:\n" + "".join(traceback.format_stack(frame)))


def trace(work: Callable[[], object], tracer: Callable[[FrameType, str, Any], Any]) -> None:
    """Do something in a thread with a trace function."""
    errors: list[BaseException] = []

    def body() -> None:
        sys.settrace(tracer)
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    wait(thread)
    if errors:
        raise errors[0]


def run(work: Callable[[], object]) -> None:
    """Do something that may end as is documented."""
    try:
        work()
    except DOCUMENTED:
        pass


@contextmanager
def nothing_unraisable() -> Iterator[None]:
    """Have what finalizers raise meanwhile raised at the end."""
    found: list[BaseException] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda what: found.append(what.exc_value or AssertionError(what.err_msg))
    try:
        yield
    finally:
        sys.unraisablehook = before
    if found:
        raise found[0]


def between(
    prepare: Callable[[], Any], one: Operation, two: Operation, check: Operation, at: int, seed: str, pause: int = -1
) -> str:
    """Do two operations, the second at a line of the first in a second thread, and check what is left.

    Args:
        prepare: makes what they work on.
        one, two: the operations.
        check: asserts what holds afterwards.
        at: which line event it is.
        seed: decides which lines of the compiler count.
        pause: the line event of the second operation at which that stops until the first has come to its end; -1 for none.

    Returns:
        Where it was, "" when the first one has fewer lines.
    """
    subject = prepare()
    second = Second(lambda: two(subject), pause, random.Random(seed))
    tracer = Between(at, second.begin, random.Random(seed))
    try:
        with nothing_unraisable():
            trace(lambda: run(lambda: one(subject)), tracer)
            second.finish()
            if second.errors:
                raise second.errors[0]
            check(subject)
    except BaseException as error:
        where = f"{at}, {tracer.place}" + (f", which stopped at {pause}, {second.place}," if second.place else "")
        raise AssertionError(f"another thread at line event {where} (FIGWASP_SEED={SEED})") from error
    return tracer.place


def everywhere(prepare: Callable[[], Any], one: Operation, two: Operation, check: Operation, seed: str, share: float) -> int:
    """Have the second operation done at every line of the first one, or at a share of them; return how often it was."""
    chance = random.Random(seed)
    at = times = 0
    while True:
        if share >= 1 or chance.random() < share:
            if not between(prepare, one, two, check, at, seed):
                return times
            times += 1
        at += 1


def somewhere(prepare: Callable[[], Any], one: Operation, two: Operation, check: Operation, seed: str, times: int) -> None:
    """Have the second operation begun at some lines of the first one; half of them it does to its end there, half to some line."""
    lines = count(prepare, one, seed), count(prepare, two, seed)
    chance = random.Random(seed)
    for k in range(times if lines[0] else 0):
        pause = chance.randrange(lines[1]) if k % 2 and lines[1] else -1
        between(prepare, one, two, check, chance.randrange(lines[0]), seed, pause)


def count(prepare: Callable[[], Any], operation: Operation, seed: str) -> int:
    """Return how many line events there are."""
    counter = Between(_MANY, lambda: None, random.Random(seed))
    subject = prepare()
    trace(lambda: operation(subject), counter)
    return _MANY - counter.left


__all__ = ["ALL", "DOCUMENTED", "SEED", "between", "count", "everywhere", "somewhere"]
