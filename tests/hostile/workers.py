"""Cases in processes of their own, so that one that crashes or hangs is seen, attributed to its number, and does not stop the rest.

A worker does a run of cases, `python -m tests.hostile.workers KIND FIRST COUNT`, and tells which one begins and how it ended. If it
dies or says nothing for HANG seconds the case it was at is noted and the next worker goes on after it.
"""

from __future__ import annotations

import importlib
import os
import resource
import select
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Final

from tests.environment import HANG_GUARD, ROOT, environment

KINDS: Final = {
    "modules": "tests.property.differential",
    "vectors": "tests.property.vectored",
    "latest": "tests.property.latest_modules",
    "objects": "tests.property.objects.modules",
    "control": "tests.property.objects.control_modules",
    "binaryen": "tests.property.foreign.binaryen",
    "mutations": "tests.hostile.mutants",
    "greedy": "tests.hostile.greedy",
    "formats": "tests.wasm.hostile",
    "workers": "tests.hostile.test_workers",
}
"""Kind of case -> the module whose `run_case` takes a number and answers in a word, or says after "bad: " what is wrong."""

BATCH: Final = 250
HANG = HANG_GUARD
BAD: Final = "bad: "
MEMORY: Final = 3 << 30
"""Bytes that a worker may have writable: a guest that wants all memory is to be refused by the system, not to fill the machine."""


def work(kind: str, first: int, count: int) -> None:
    """Do cases, as a worker."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    run_case: Callable[[int], str] = importlib.import_module(KINDS[kind]).run_case
    for number in range(first, first + count):
        print(f"> {number}", flush=True)
        try:
            answer = run_case(number)
        except Exception:
            answer = BAD + " | ".join(line.strip() for line in traceback.format_exc().splitlines()[-6:])
        print(f"< {answer}", flush=True)


class Watch:
    """Runs workers and counts their answers.

    Attributes:
        kind: of the cases.
        counts: how often each answer was given.
        bad: numbers of the cases that went wrong, and how.
        most: how many of those are enough to stop.
        verify: whether every stage of the compiler is verified, which costs more than compiling; None leaves it to the environment.
    """

    def __init__(self, kind: str, most: int = 20, verify: bool | None = None) -> None:
        self.kind = kind
        self.verify = verify
        self.counts: Counter[str] = Counter()
        self.bad: list[tuple[int, str]] = []
        self.most = most
        self._number = 0
        self._answered = True

    def run(self, first: int, count: int) -> None:
        """Do cases."""
        end = first + count
        while first < end and len(self.bad) < self.most:
            first = self._batch(first, min(BATCH, end - first))

    def _note(self, answer: str) -> None:
        if answer.startswith(BAD):
            self.bad.append((self._number, answer[len(BAD) :]))
            answer = "bad"
        self.counts[answer] += 1
        self._answered = True

    def _batch(self, first: int, count: int) -> int:
        """Run a worker; return the number of the case to go on with."""
        words = [sys.executable, "-m", "tests.hostile.workers", self.kind, str(first), str(count)]
        variables = environment()
        if self.verify is not None:
            variables["FIGWASP_CHECK"] = "1" if self.verify else "0"
        self._number, self._answered = first, True
        with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT, env=variables) as worker:
            hung = not self._listen(worker)
            if hung:
                worker.kill()
        if hung:
            self._note(f"{BAD}no answer for {HANG} seconds")
        elif len(self.bad) < self.most and (worker.returncode != 0 or not self._answered):
            status = worker.returncode
            self._note(f"{BAD}the process ended with {signal.Signals(-status).name if status < 0 else status}")
        return self._number + 1

    def _listen(self, worker: subprocess.Popen[bytes]) -> bool:
        """Take answers until the worker ends; say whether it does."""
        assert worker.stdout is not None
        rest = b""
        while len(self.bad) < self.most:
            if not select.select([worker.stdout], [], [], HANG)[0]:
                return False
            data = os.read(worker.stdout.fileno(), 1 << 16)
            if not data:
                return True
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._line(line.decode(errors="replace"))
        worker.kill()
        return True

    def _line(self, text: str) -> None:
        if text.startswith("> "):
            self._number, self._answered = int(text[2:]), False
        elif text.startswith("< "):
            self._note(text[2:])


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
