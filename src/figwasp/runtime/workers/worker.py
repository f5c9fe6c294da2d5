"""Floor 4: processes that compile for this one: forked from it, with a pipe each way.

In: what such a process is to do, and the indices of functions. Out: what it answers: code in serial form.

Theory of operation. The compiler has no effects, so a forked process can compile as well as this one, and nothing of it is missed
when it ends, however it ends: the pipe from there ends as well. It ends when the pipe to it does, or the thread that has forked it.
Signals are blocked while it is forked: no handler runs there before everything is left behind that it could reach here.
"""

from __future__ import annotations

import gc
import os as _os
import struct
import threading
from contextlib import suppress
from functools import partial
from itertools import starmap

from figwasp.codegen.stored.serial import to_bytes
from figwasp.errors import Error
from figwasp.runtime.once import together
from figwasp.runtime.platform import linux
from figwasp.runtime.platform.linux import c_signal
from figwasp.runtime.platform.processor import machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, NoReturn

    Work = Callable[[int, int], None]
    """What the other process does with the pipes to it and from it."""

    from figwasp.runtime.code.translate import Translator

__all__ = ["BEGUN", "FAILED", "INDEX", "MADE", "REFUSED", "SIZE", "Answer", "Process", "can_fork", "make", "send"]

INDEX: Final = struct.Struct("<I")
"""A message to the other process: the index of a function."""
SIZE: Final = struct.Struct("<Q")
"""In front of code: the size of the function's facts (`FuncFacts.size`)."""
_ANSWER: Final = struct.Struct("<III")  # from there: what follows, the index, the size of what follows
BEGUN: Final = 0
MADE: Final = 1
REFUSED: Final = 2
"""The function cannot be compiled, wherever that is tried."""
FAILED: Final = 3
"""The other process has not the memory for it."""

_MEMORY: Final = 2 << 30  # bytes that the other process may have beside what it was forked with
PIPE: Final = 1 << 20
"""Bytes that may be under way."""

Answer = tuple[int, int, bytes]
"""A message from the other process: BEGUN, MADE, REFUSED or FAILED; the index; of a function that is MADE, facts' size and code."""


def can_fork() -> bool:
    """Return whether processes can be forked here: nothing else is in this one that they would leave behind."""
    return hasattr(_os, "sched_getaffinity") and threading.active_count() == 1


class Process:
    """Another process, seen from here. Whoever begins it has to close it, whatever comes in between.

    Attributes:
        answers: the pipe from it; -1 when there is no process.
    """

    __slots__ = ("_data", "_files", "_orders", "_pids", "answers")

    def __init__(self) -> None:
        self._files: list[int] = []
        self._pids: list[int] = []
        self._data = bytearray()
        self._orders = self.answers = -1

    @property
    def pid(self) -> int:
        """The number of the process, 0 when there is none."""
        return self._pids[-1] if self._pids else 0

    def begin(self, work: Work, processors: set[int] | None = None) -> None:
        """Fork it.

        Args:
            work: what it does.
            processors: the ones that it may use, if not all.

        Raises:
            OSError: that is not possible now.
        """
        files = self._files
        self.answers, made = linux.pipe(files)
        called, self._orders = linux.pipe(files)
        for pipe in (self.answers, self._orders):
            _os.set_blocking(pipe, False)
        linux.widen_pipe(made, PIPE)
        parent = _os.getpid()
        import warnings  # Python has imported it if it has a warning to give

        with warnings.catch_warnings():
            # From CPython 3.15 on the warning of threads can be an exception, raised when the other process is there already.
            # The only other thread is the runtime's own (`can_fork`), which takes no locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            before = c_signal.pthread_sigmask(c_signal.SIG_BLOCK, ())
            try:
                c_signal.pthread_sigmask(c_signal.SIG_BLOCK, c_signal.valid_signals())
                self._pids.extend(starmap(_os.fork, ((),)))  # in one step it is there and written down
                if not self._pids[-1]:
                    _child_main(work, called, made, parent, processors, before)
            finally:
                c_signal.pthread_sigmask(c_signal.SIG_SETMASK, before)
        together(*(partial(use, pipe) for pipe in (made, called) for use in (_os.close, files.remove)))

    def order(self, indices: list[int]) -> None:
        """Send it the indices of functions, which are fewer than a pipe can hold.

        Raises:
            BlockingIOError: it has not read what was sent before.
            OSError: it has ended.
        """
        _os.write(self._orders, b"".join(map(INDEX.pack, indices)))

    def receive(self) -> tuple[list[Answer], bool]:
        """Return the answers that have arrived since, and whether there may be more.

        It has to be closed when an exception strikes in here: it may have come between reading a message and understanding it.
        """
        more = self._read()
        data = self._data
        answers: list[Answer] = []
        place = 0
        while place + _ANSWER.size <= len(data):
            kind, index, size = _ANSWER.unpack_from(data, place)
            start = place + _ANSWER.size
            if start + size > len(data):
                break
            place = start + size
            answers.append((kind, index, bytes(data[start:place])))
        del data[:place]
        return answers, more

    def _read(self) -> bool:
        """Take what is in the pipe, and return whether there may be more."""
        while True:
            try:
                piece = _os.read(self.answers, PIPE)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not piece:
                return False
            self._data += piece

    def close(self) -> None:
        """End the process and wait until it is gone, which takes some milliseconds. Closing twice is fine."""
        self._orders = self.answers = -1
        together(*(partial(_os.close, pipe) for pipe in self._files), self._files.clear)
        if self._pids:
            try:
                _os.kill(self.pid, c_signal.SIGKILL)
                together(partial(_os.waitpid, self.pid, 0), self._pids.clear)
            except OSError:  # somebody else has waited for it
                self._pids.clear()


def _child_main(work: Work, orders: int, answers: int, parent: int, processors: set[int] | None, mask: set[int]) -> NoReturn:
    """Main function of the child; it ends when the parent closes the pipe."""
    status = 1
    try:
        c_signal.signal(c_signal.SIGINT, c_signal.SIG_IGN)  # the terminal sends it to both
        c_signal.pthread_sigmask(c_signal.SIG_SETMASK, mask)
        linux.die_with(parent)
        if processors:
            with suppress(OSError):
                _os.sched_setaffinity(0, processors)
        linux.limit_data(_MEMORY)
        _keep_only(orders, answers)
        gc.disable()
        work(orders, answers)
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


# In the other process


def make(translator: Translator, index: int, answers: int) -> None:
    """Compile a function and answer.

    Raises:
        OSError: the parent has gone.
    """
    try:
        facts = translator.facts(index)
        data = SIZE.pack(facts.size) + to_bytes(translator.translate_checked(index, facts), machine().fingerprint)
    except Error:
        send(answers, REFUSED, index)
    except MemoryError:
        send(answers, FAILED, index)
    else:
        send(answers, MADE, index, data)


def send(answers: int, kind: int, index: int, data: bytes = b"") -> None:
    """Send a message to the parent.

    Raises:
        OSError: the parent has gone.
    """
    message = memoryview(_ANSWER.pack(kind, index, len(data)) + data)
    while message:
        message = message[_os.write(answers, message) :]
