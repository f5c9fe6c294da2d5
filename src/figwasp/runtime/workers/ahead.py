"""Floor 4: compiling ahead: a second process compiles functions that will probably be called next, if there is a processor for it.

In: the translator of a module, before anything of it runs, and from then on the functions called. Out: machine code of others.

Theory of operation. Functions are compiled when they are first called, which for a large program is most of the work of its
first seconds. The compiler has no effects, so a forked process can do some of the work: its code comes back through a pipe and
is installed when its time comes, as if it had been made here. Here a message goes out for every function that is called. There
the functions that can be reached from those by direct calls are compiled, the largest first, which save most: each step away from
what has been called makes one count less. The worker compiles twice as much as has been called, so that little is done for nothing.
A caller of a function that is just being made there waits for it; a function that cannot be compiled there is compiled here,
where the error is raised. When one process ends, however it ends, so does the other's part in this.
"""

from __future__ import annotations

import os as _os
import select
from collections import deque

from figwasp.codegen.stored.serial import BadCode, from_bytes
from figwasp.errors import Error
from figwasp.runtime.platform import linux
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.workers import worker
from figwasp.runtime.workers.worker import BEGUN, INDEX, MADE, PIPE, SIZE, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from figwasp.codegen.code import Code
    from figwasp.runtime.code.translate import Translator

__all__ = ["BackgroundCompiler", "possible"]

_PER_BYTE: Final = 2  # bytes that may be compiled for each byte of a body that is called
_SURVEY: Final = 1 << 16  # bytes of bodies that are looked through before one is chosen
_STEP: Final = 0.7  # what a function counts that is called by another, beside that
_LARGEST: Final = 1 << 18  # bytes of a body: what is larger may take the memory of the machine
_PATIENCE: Final = 0.05  # seconds between looks at whether the other process is still there


def possible() -> bool:
    """Return whether a second process can and should be had: there is a processor for it, and no other thread in this one."""
    return worker.can_fork() and len(_os.sched_getaffinity(0)) > 1


class BackgroundCompiler:
    """A source of code: the process that compiles ahead, seen from here."""

    __slots__ = ("_at_work", "_made", "_process")

    def __init__(self, make: Callable[[], Translator]) -> None:
        """Fork the process; exported functions are assumed to be called first.

        Args:
            make: makes the translator, in the other process: modules that only this needs are best imported there.
        """
        self._made: dict[int, Code] = {}
        self._at_work = -1
        self._process = Process()
        # Left alone, the kernel may leave both on one processor for as long as all this takes.
        elsewhere = _os.sched_getaffinity(0) - {linux.processor()}
        try:
            self._process.begin(lambda called, made: CompileWorker(make(), called, made).run(), elsewhere)
        except OSError:  # it goes without
            self.close()
        except BaseException:
            self.close()
            raise

    def take(self, index: int) -> Code | None:
        """Report the call of a function, and return its code if it has been made, or is being made, in the other process.

        Raises:
            Timeout: the running calls of this thread have to end.
        """
        from figwasp.runtime.trap.deadline import check  # by now it is there

        if not self._process.pid:
            return None
        try:
            self._process.order([index])
        except BlockingIOError:
            pass  # it is busy, and will hear of others
        except OSError:
            self.close()
            return None
        try:
            self._receive()
            while self._at_work == index:
                check()
                select.select([self._process.answers], [], [], _PATIENCE)
                self._receive()
        except BaseException:
            self.close()
            raise
        return self._made.pop(index, None)

    def _receive(self) -> None:
        """Take the code that has arrived."""
        answers, more = self._process.receive()
        for kind, index, data in answers:
            self._at_work = index if kind == BEGUN else -1
            if kind == MADE:
                try:
                    self._made[index] = from_bytes(data[SIZE.size :], machine().fingerprint)
                except BadCode:  # whatever is wrong there, here it goes without
                    more = False
        if not more:
            self.close()

    def close(self) -> None:
        """End the other process and wait until it is gone, which takes some milliseconds. Closing twice is fine."""
        self._at_work = -1
        self._process.close()


class CompileWorker:
    """The work of the other process.

    Attributes:
        called, made: the pipes.
        credit: bytes of bodies that may still be compiled.
    """

    __slots__ = ("_best", "_depth", "_seen", "_sizes", "_to_survey", "_translator", "called", "credit", "made")

    def __init__(self, translator: Translator, called: int, made: int) -> None:
        module = translator.module
        first = module.num_imported_funcs
        self._translator = translator
        self._sizes = {first + i: body.end - body.start for i, body in enumerate(module.bodies)}
        self._depth: dict[int, int] = {}  # of a function: calls between it and one that has been called
        self._seen: set[int] = set()  # what has been called or tried
        self._to_survey: deque[int] = deque()
        self._best: list[tuple[float, int]] = []
        self.called = called
        self.made = made
        self.credit = 0

    def run(self) -> None:
        """Compile until the parent has gone.

        Raises:
            OSError: the parent has gone.
        """
        from figwasp.wasm.syntax.module import FUNC  # by now it is there

        for export in self._translator.module.exports:
            if export.kind == FUNC:
                self._reach(export.index, 0)
        while self._listen():
            index = self._choose()
            if index >= 0:
                self.credit -= self._sizes[index]
                self._seen.add(index)
                worker.send(self.made, BEGUN, index)
                worker.make(self._translator, index, self.made)

    def _listen(self) -> bool:
        """Read which functions have been called since, waiting if there is nothing to do; return whether the parent lives."""
        idle = self.credit < 0 or not (self._to_survey or self._best)
        if idle or select.select([self.called], [], [], 0)[0]:
            data = _os.read(self.called, PIPE)
            # Messages are written whole, and so are they read: their size divides that of the buffer.
            for (index,) in INDEX.iter_unpack(data):
                self.credit += _PER_BYTE * self._sizes.get(index, 0)
                self._seen.add(index)
                self._reach(index, 0)
            return bool(data)
        return True

    def _reach(self, index: int, depth: int) -> None:
        """Note that a function is so many calls away from one that has been called."""
        from heapq import heappush  # here and below: this is in the other process

        if index in self._sizes and depth < self._depth.get(index, 1 << 30):
            self._depth[index] = depth
            (self._to_survey.append if depth else self._to_survey.appendleft)(index)
            heappush(self._best, (-self._sizes[index] * _STEP**depth, index))

    def _choose(self) -> int:
        """Return the function to compile next, or -1; before that look a little further."""
        from heapq import heappop

        room = _SURVEY
        while self._to_survey and room > 0:
            index = self._to_survey.popleft()
            room -= self._sizes[index]
            for callee in self._callees(index):
                self._reach(callee, self._depth[index] + 1)
        while self._best:
            _, index = heappop(self._best)
            if index not in self._seen and self._sizes[index] <= _LARGEST:
                return index
        return -1

    def _callees(self, index: int) -> list[int]:
        try:
            return self._translator.callees(index)
        except Error:
            return []  # whoever calls it will hear of that
