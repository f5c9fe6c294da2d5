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

import gc
import os as _os
import select
import struct
import threading
from collections import deque
from contextlib import suppress

from figwasp.codegen.stored.serial import BadCode, from_bytes, to_bytes
from figwasp.errors import Error
from figwasp.runtime.platform import linux
from figwasp.runtime.platform.processor import machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, NoReturn

    from figwasp.codegen.code import Code
    from figwasp.runtime.code.translate import Translator

__all__ = ["BackgroundCompiler", "possible"]

_CALLED: Final = struct.Struct("<I")  # to the other process: the index of a function that is called
_ANSWER: Final = struct.Struct("<III")  # from there: what follows, the index, the size of what follows
_BEGUN: Final = 0
_MADE: Final = 1
_REFUSED: Final = 2

_PER_BYTE: Final = 2  # bytes that may be compiled for each byte of a body that is called
_SURVEY: Final = 1 << 16  # bytes of bodies that are looked through before one is chosen
_STEP: Final = 0.7  # what a function counts that is called by another, beside that
_LARGEST: Final = 1 << 18  # bytes of a body: what is larger may take the memory of the machine
_MEMORY: Final = 2 << 30  # bytes that the other process may have beside what it was forked with
_PIPE: Final = 1 << 20  # bytes that may be under way
_PATIENCE: Final = 0.05  # seconds between looks at whether the other process is still there


def possible() -> bool:
    """Return whether a second process can and should be had: there is a processor for it, and no other thread in this one."""
    return hasattr(_os, "sched_getaffinity") and len(_os.sched_getaffinity(0)) > 1 and threading.active_count() == 1


class BackgroundCompiler:
    """A source of code: the process that compiles ahead, seen from here."""

    __slots__ = ("_at_work", "_called", "_data", "_made", "_made_pipe", "_pid")

    def __init__(self, make: Callable[[], Translator]) -> None:
        """Fork the process; exported functions are assumed to be called first.

        Args:
            make: makes the translator, in the other process: modules that only this needs are best imported there.
        """
        self._made: dict[int, Code] = {}
        self._data = bytearray()
        self._at_work = -1
        self._pid = 0
        self._made_pipe = self._called = -1
        theirs: list[int] = []
        try:
            self._made_pipe, made = linux.pipe()
            theirs.append(made)
            called, self._called = linux.pipe()
            theirs.append(called)
            for pipe in (self._made_pipe, self._called):
                _os.set_blocking(pipe, False)
            linux.widen_pipe(made, _PIPE)
            parent = _os.getpid()
            elsewhere = _os.sched_getaffinity(0) - {linux.processor()}
            import warnings

            with warnings.catch_warnings():
                # From CPython 3.15 on the warning of threads can be an exception, raised when the other process is there already.
                # The only other thread is the runtime's own (`possible`), which takes no locks.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = _os.fork()
        except OSError:  # it goes without
            self.close()
        if self._pid == 0 and self._called >= 0:
            _child_main(make, called, made, parent, elsewhere)
        for pipe in theirs:
            _os.close(pipe)

    def take(self, index: int) -> Code | None:
        """Report the call of a function, and return its code if it has been made, or is being made, in the other process.

        Raises:
            Timeout: the running calls of this thread have to end.
        """
        from figwasp.runtime.trap.deadline import check  # by now it is there

        if self._called < 0:
            return None
        try:
            _os.write(self._called, _CALLED.pack(index))
        except BlockingIOError:
            pass  # it is busy, and will hear of others
        except OSError:
            self.close()
            return None
        try:
            self._receive()
            while self._at_work == index:
                check()
                select.select([self._made_pipe], [], [], _PATIENCE)
                self._receive()
        except BaseException:
            self.close()  # an interrupt may have come between reading a message and understanding it
            raise
        return self._made.pop(index, None)

    def _receive(self) -> None:
        """Read the code that has arrived."""
        while True:
            try:
                piece = _os.read(self._made_pipe, _PIPE)
            except BlockingIOError:
                break
            except OSError:
                piece = b""
            if not piece:
                self.close()
                return
            self._data += piece
        data = self._data
        place = 0
        while place + _ANSWER.size <= len(data):
            kind, index, size = _ANSWER.unpack_from(data, place)
            if place + _ANSWER.size + size > len(data):
                break
            place += _ANSWER.size
            self._at_work = index if kind == _BEGUN else -1
            if kind == _MADE:
                try:
                    self._made[index] = from_bytes(bytes(data[place : place + size]), machine().fingerprint)
                except BadCode:  # whatever is wrong there, here it goes without
                    self.close()
                    return
            place += size
        del data[:place]

    def close(self) -> None:
        """End the other process and wait until it is gone, which takes some milliseconds. Closing twice is fine."""
        for pipe in (self._made_pipe, self._called):
            if pipe >= 0:
                _os.close(pipe)
        self._made_pipe = self._called = -1
        self._at_work = -1
        pid, self._pid = self._pid, 0
        if pid:
            try:
                _os.kill(pid, linux.c_signal.SIGKILL)
                _os.waitpid(pid, 0)
            except OSError:
                pass  # somebody else has waited for it


def _child_main(make: Callable[[], Translator], called: int, made: int, parent: int, elsewhere: set[int]) -> NoReturn:
    """Main loop of the child; it ends when the parent closes the pipe."""
    status = 1
    try:
        linux.c_signal.signal(linux.c_signal.SIGINT, linux.c_signal.SIG_IGN)  # the terminal sends it to both
        linux.die_with(parent)
        with suppress(OSError):  # left alone, the kernel may leave both on one processor for as long as all this takes
            _os.sched_setaffinity(0, elsewhere)
        linux.limit_data(_MEMORY)
        _keep_only(called, made)
        gc.disable()
        CompileWorker(make(), called, made).run()
        status = 0
    except (Error, OSError, MemoryError, KeyboardInterrupt):
        pass
    finally:
        _os._exit(status)


def _keep_only(*kept: int) -> None:
    """Close all files but these: other processes wait for the ends of their pipes."""
    nothing = _os.open(_os.devnull, _os.O_RDWR)
    for stream in range(3):
        if stream not in kept:
            _os.dup2(nothing, stream)
    first = 3
    for file in sorted(kept):
        _os.closerange(first, file)
        first = max(first, file + 1)
    _os.closerange(first, _os.sysconf("SC_OPEN_MAX"))


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
                self._send(_BEGUN, index)
                self._make(index)

    def _listen(self) -> bool:
        """Read which functions have been called since, waiting if there is nothing to do; return whether the parent lives."""
        idle = self.credit < 0 or not (self._to_survey or self._best)
        if idle or select.select([self.called], [], [], 0)[0]:
            data = _os.read(self.called, _PIPE)
            # Messages are written whole, and so are they read: their size divides that of the buffer.
            for (index,) in _CALLED.iter_unpack(data):
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

    def _make(self, index: int) -> None:
        try:
            data = to_bytes(self._translator.translate(index), machine().fingerprint)
        except (Error, MemoryError):
            self._send(_REFUSED, index)
        else:
            self._send(_MADE, index, data)

    def _send(self, kind: int, index: int, data: bytes = b"") -> None:
        message = memoryview(_ANSWER.pack(kind, index, len(data)) + data)
        while message:
            message = message[_os.write(self.made, message) :]
