"""What happens when an exception is raised at any line of figwasp: runs an operation again and again, stopped one line later each time."""

from __future__ import annotations

import dis
import linecache
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import figwasp

ALL = os.environ.get("FIGWASP_INTERRUPTS") == "all"
SEED = int(os.environ.get("FIGWASP_SEED", random.randrange(1 << 32)))
SRC = str(Path(figwasp.__file__).parent)

EXCUSED: Final = {
    ("runtime/trap/deadline.py", "return entry(*args)"): "follows an assignment, after which CPython handles no signal",
    ("runtime/trap/deadline.py", "until.value = current.due = outer"): "follows the return of a C function, which leads here as well",
    ("runtime/store/fuel.py", "self._asking = False"): "follows the return of a Python function",
    ("runtime/store/fuel.py", "try:"): "follows an assignment",
    ("cache/entries.py", "exhaust(closing)"): "follows a call in the `try`, whose exception leads here as well",
    ("runtime/workers/worker.py", "c_signal.pthread_sigmask(c_signal.SIG_SETMASK, before)"): "signals are blocked",
    ("wasi/directories/host.py", "if fd >= 0:"): "follows an assignment",
    ("wasi/directories/host.py", "os.close(fd)"): "follows a comparison",
    ("wasi/directories/host.py", "return fd"): "follows an assignment",
    ("wasi/directories/host.py", "self.close()"): "begins a finalizer: what is raised there is lost, and the descriptor with it",
    ("wasi/descriptors/hostfiles.py", "if host >= 0:"): "follows an assignment",
    ("wasi/descriptors/hostfiles.py", "self.host = -1"): "follows an assignment",
    ("wasi/descriptors/hostfiles.py", "os.close(host)"): "follows a comparison",
    ("wasi/descriptors/hostfiles.py", "self.close()"): "begins a finalizer, as above",
}
"""File and line -> why no exception is raised there: CPython handles signals at calls, at jumps back and where functions start."""
_HANDLING: Final = ("CALL", "RESUME", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")
"""What the names of instructions begin with after which CPython handles signals."""


class Stopped(Exception):
    """What is raised: nothing in figwasp expects it."""


class _Known:
    """What is known of a code object; asked for at every line, so it is found by the object's identity: to hash one takes as long as a line.

    Attributes:
        code: kept, so that nothing else gets its identity.
        borders: where `with` statements begin and end.
        excused: lines where no exception is raised.
        handling: where CPython handles signals after an instruction.
        handlers: where an exception goes that an instruction raises, as far as somebody has asked.
    """

    __slots__ = ("borders", "code", "excused", "handlers", "handling")

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.borders = _with_borders(code)
        lines = {line for _, _, line in code.co_lines() if line is not None}
        self.excused = {line for line in lines if (_file(code), linecache.getline(code.co_filename, line).strip()) in EXCUSED}
        self.handling = {one.offset for one in dis.get_instructions(code) if one.opname.startswith(_HANDLING)}
        self.handlers: dict[int, int | None] = {}

    def handler(self, offset: int) -> int | None:
        """Return where an exception goes that an instruction raises."""
        if offset not in self.handlers:
            entries: list[Any] = vars(dis.Bytecode(self.code))["exception_entries"]
            self.handlers[offset] = next((entry.target for entry in entries if entry.start <= offset < entry.end), None)
        return self.handlers[offset]


_KNOWN: dict[int, _Known] = {}


def _known(code: CodeType) -> _Known:
    found = _KNOWN.get(id(code))
    if found is None:
        found = _KNOWN[id(code)] = _Known(code)
    return found


class Stopper:
    """A trace function that raises at a line event inside figwasp.

    Attributes:
        left: line events until it raises; None when it has.
        place: where it was raised.
    """

    event = "line"

    def __init__(self, at: int) -> None:
        self.left: int | None = at
        self.place = ""

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "call" and not frame.f_code.co_filename.startswith(SRC):
            return None
        if event == self.event and self.left is not None and not self.excused(frame):
            if self.left == 0:
                self.left = None
                self.place = f"{_file(frame.f_code)}:{frame.f_lineno} {frame.f_code.co_qualname}"
                self.forget()
                raise Stopped
            self.left -= 1
        return self

    def forget(self) -> None:
        """Keep nothing that would go."""

    def excused(self, frame: FrameType) -> bool:
        """Say whether nothing can be raised here."""
        known = _known(frame.f_code)
        return frame.f_lasti in known.borders or frame.f_lineno in known.excused


class OpcodeStopper(Stopper):
    """The same between any two instructions where CPython may handle a signal, which is several times in many a line."""

    event = "opcode"

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self._last: dict[FrameType, int] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call":
            frame.f_trace_opcodes = True
        elif event == "return":
            self._last.pop(frame, None)
        return super().__call__(frame, event, argument)

    def forget(self) -> None:
        """Keep nothing that would go."""
        self._last.clear()

    def excused(self, frame: FrameType) -> bool:
        """Say whether no signal is handled before the next instruction."""
        known, before = _known(frame.f_code), self._last.get(frame, -1)
        self._last[frame] = frame.f_lasti
        # CPython has a signal's exception come from the instruction before, whose handler a `try` that ends there decides.
        return before not in known.handling or known.handler(before) != known.handler(frame.f_lasti)


def _file(code: CodeType) -> str:
    return code.co_filename[len(SRC) + 1 :]


def _with_borders(code: CodeType) -> set[int]:
    """Return where the body of a `with` statement begins that is nothing but a `try`, and where the statement ends.

    CPython raises there for trace functions only: `__enter__` has returned or `__exit__` has, and no signal is handled then.
    """
    instructions = [one for one in dis.get_instructions(code) if one.opname != "CACHE"]
    nothing = [one.opname in ("LOAD_CONST", "LOAD_COMMON_CONSTANT") and one.argval is None for one in instructions]
    ends = {one.offset for at, one in enumerate(instructions) if nothing[at : at + 3] == [True] * 3}
    triples = zip(instructions, instructions[2:], strict=False)
    return ends | {one.offset for before, one in triples if before.opname == "BEFORE_WITH" and one.opname == "NOP"}


def stop_everywhere(
    prepare: Callable[[], Any],
    operation: Callable[[Any], object],
    check: Callable[[Any], None],
    share: float = 1.0,
    stoppers: tuple[type[Stopper], ...] = (Stopper,),
    after: Callable[[], None] | None = None,
) -> int:
    """Stop an operation at every line in turn, check what is left behind, and check that it works when repeated.

    Args:
        prepare: makes what the operation works on.
        operation: what is stopped.
        check: asserts what holds whether or not the operation has been done; called with the subject, twice.
        share: of the lines, chosen by chance, unless all are asked for.
        stoppers: what stops it.
        after: asserts what holds when the subject has gone.

    Returns:
        The number of lines.
    """
    return sum(_stop_everywhere(prepare, operation, check, share, stopper, after) for stopper in stoppers)


def _stop_everywhere(
    prepare: Callable[[], Any],
    operation: Callable[[Any], object],
    check: Callable[[Any], None],
    share: float,
    stopper_type: type[Stopper],
    after: Callable[[], None] | None,
) -> int:
    chance = random.Random(SEED)
    at = 0
    while True:
        if ALL or chance.random() <= share:
            stopper = stopper_type(at)
            try:
                stopped = _stop(prepare(), operation, check, stopper)
                if after is not None:
                    after()
            except BaseException as error:
                raise AssertionError(f"{stopper.event} {at}, {stopper.place} (FIGWASP_SEED={SEED})") from error
            if not stopped and stopper.left is not None:
                return at
        at += 1


def _stop(subject: Any, operation: Callable[[Any], object], check: Callable[[Any], None], stopper: Stopper) -> bool:
    stopped = run(operation, subject, stopper)
    check(subject)
    operation(subject)
    check(subject)
    return stopped


def run(operation: Callable[[Any], object], subject: Any, stopper: Stopper) -> bool:
    """Run an operation under a stopper; return whether it was stopped."""
    before, report = sys.gettrace(), sys.unraisablehook
    sys.unraisablehook = lambda _: None  # some lines are those of finalizers; pytest would keep what is raised there
    sys.settrace(stopper)
    try:
        operation(subject)
    except Stopped:
        return True
    finally:
        sys.settrace(before)
        sys.unraisablehook = report
    return False


def between_lines(file: str, work: Callable[[], object], other: Callable[[int], object]) -> int:
    """Do something else at every line of a file that some work comes to, given its number; return how many there are."""
    inside = False
    times = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal inside, times
        if frame.f_code.co_filename != file or inside:
            return None
        if event == "line":
            inside = True
            other(times)
            times += 1
            inside = False
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return times
