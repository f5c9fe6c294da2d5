"""What happens when an exception is raised at any line of figwasp: runs an operation again and again, stopped one line later each time."""

from __future__ import annotations

import dis
import os
import random
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import figwasp

ALL = os.environ.get("FIGWASP_INTERRUPTS") == "all"
SEED = int(os.environ.get("FIGWASP_SEED", random.randrange(1 << 32)))
SRC = str(Path(figwasp.__file__).parent)


class Stopped(Exception):
    """What is raised: nothing in figwasp expects it."""


class Stopper:
    """A trace function that raises at a line event inside figwasp.

    Attributes:
        left: line events until it raises; None when it has.
        place: where it was raised.
    """

    def __init__(self, at: int) -> None:
        self.left: int | None = at
        self.place = ""

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(SRC):
            return None
        if event == "line" and self.left is not None and not leaves_with(frame.f_code, frame.f_lasti):
            if self.left == 0:
                self.left = None
                self.place = f"{frame.f_code.co_filename[len(SRC) + 1 :]}:{frame.f_lineno} {frame.f_code.co_qualname}"
                raise Stopped
            self.left -= 1
        return self


def leaves_with(code: CodeType, instruction: int) -> bool:
    """Say whether the next thing is the end of a `with` statement.

    CPython raises there for trace functions only: signals are handled at calls, at jumps back and where functions start, and the
    lock is free again when the call of `__exit__` has returned.
    """
    return instruction in _with_ends(code)


@cache
def _with_ends(code: CodeType) -> set[int]:
    instructions = [one for one in dis.get_instructions(code) if one.opname != "CACHE"]
    nothing = [one.opname == "LOAD_CONST" and one.argval is None for one in instructions]
    return {one.offset for at, one in enumerate(instructions) if nothing[at : at + 3] == [True] * 3}


def stop_everywhere(
    prepare: Callable[[], Any], operation: Callable[[Any], object], check: Callable[[Any], None], share: float = 1.0
) -> int:
    """Stop an operation at every line in turn, check what is left behind, and check that it works when repeated.

    Args:
        prepare: makes what the operation works on.
        operation: what is stopped.
        check: asserts what holds whether or not the operation has been done; called with the subject, twice.
        share: of the lines, chosen by chance, unless all are asked for.

    Returns:
        The number of lines.
    """
    chance = random.Random(SEED)
    at = 0
    while True:
        if ALL or chance.random() <= share:
            subject = prepare()
            stopper = Stopper(at)
            stopped = run(operation, subject, stopper)
            try:
                check(subject)
                operation(subject)
                check(subject)
            except BaseException as error:
                raise AssertionError(f"stopped at line {at}, {stopper.place} (FIGWASP_SEED={SEED})") from error
            if not stopped and stopper.left is not None:
                return at
        at += 1


def run(operation: Callable[[Any], object], subject: Any, stopper: Stopper) -> bool:
    """Run an operation under a stopper; return whether it was stopped."""
    before = sys.gettrace()
    sys.settrace(stopper)
    try:
        operation(subject)
    except Stopped:
        return True
    finally:
        sys.settrace(before)
    return False
