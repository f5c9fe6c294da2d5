"""Floor 4: compiling functions of a module in several processes at once.

In: what makes the translator of a module, and which functions are wanted. Out: their code in serial form, by index.

Theory of operation. The largest functions go first, each to a process that has nothing else to do; so none waits behind another,
and what comes last is small. Of small ones a process has a few in advance, so that it need not wait for this one. What a
process leaves that dies, or that has not the memory for a function, is compiled here, where an error is raised; so is a function
that cannot be compiled at all. Nothing is changed here meanwhile: an exception ends the processes, and that is all.
"""

from __future__ import annotations

import os as _os
import select
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from figwasp.codegen.stored.serial import BadCode, from_bytes, to_bytes
from figwasp.runtime.code import collector
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.workers import worker
from figwasp.runtime.workers.worker import FAILED, INDEX, MADE, PIPE, REFUSED, SIZE, Process

if TYPE_CHECKING:
    from figwasp.runtime.code.translate import Translator

__all__ = ["Pool", "Progress"]

Progress = Callable[[int, int], object]
"""Is called with the bytes of function bodies that are done, and of all that are to be compiled."""

_AHEAD: Final = 1 << 12  # bytes of bodies that a process may have before it beside the one that it compiles
_MOST_AHEAD: Final = 256  # of them: so many indices any pipe can hold
_WORTH: Final = 1 << 14  # bytes of bodies for which another process is worth while: a tenth of a second


class _Hand:
    """A process of the pool.

    Attributes:
        process: the process.
        indices: of the functions that it has been given and not answered, in order.
        size: bytes of their bodies.
    """

    __slots__ = ("indices", "process", "size")

    def __init__(self) -> None:
        self.process = Process()
        self.indices: deque[int] = deque()
        self.size = 0


class Pool:
    """The compilation of some functions.

    Attributes:
        codes: the code that has been made, by index, in serial form.
        facts_size: of the functions made, `FuncFacts.size` together.
    """

    __slots__ = (
        "_done",
        "_hands",
        "_left",
        "_make",
        "_poll",
        "_progress",
        "_queue",
        "_sizes",
        "_total",
        "_translator",
        "codes",
        "facts_size",
    )

    def __init__(self, make: Callable[[], Translator], sizes: Mapping[int, int], progress: Progress | None = None) -> None:
        """Begin with nothing.

        Args:
            make: makes the translator, where it is needed: there is one in each process.
            sizes: bytes of the bodies of the functions that are wanted, by index.
            progress: called when functions have been made.
        """
        self._make = make
        self._sizes = sizes
        self._progress = progress
        self._translator: Translator | None = None
        self._queue = deque(sorted(sizes, key=lambda index: (-sizes[index], index)))
        self._left: list[int] = []
        self._hands: dict[int, _Hand] = {}  # by the pipe from each
        self._poll = select.poll()
        self._done = 0
        self._total = sum(sizes.values())
        self.codes: dict[int, bytes] = {}
        self.facts_size = 0

    def run(self, jobs: int | None = None) -> None:
        """Compile all functions.

        Args:
            jobs: the number of processes; 1 for this one alone, None for as many as there are processors and work for.

        Raises:
            Invalid, Malformed, LimitExceeded: the body of a function is; of several that are, one.
        """
        if jobs is None:
            jobs = min(_processors(), self._total // _WORTH + 1)
        jobs = min(jobs, len(self._sizes))
        hands = [_Hand() for _ in range(jobs)] if jobs > 1 and worker.can_fork() else []
        try:
            self._begin(hands)
            while self._hands:
                for pipe, _ in self._poll.poll():
                    self._hear(pipe)
        finally:
            for hand in hands:
                hand.process.close()
        self._here(sorted([*self._left, *self._queue]))

    def _begin(self, hands: list[_Hand]) -> None:
        """Fork the processes, and give each something to do."""
        machine()  # once for all of them
        for hand in hands:
            try:
                hand.process.begin(lambda orders, answers: _serve(self._make, orders, answers))
            except OSError:  # it goes with those that there are
                break
            self._hands[hand.process.answers] = hand
            self._poll.register(hand.process.answers, select.POLLIN)
            self._feed(hand)

    def _feed(self, hand: _Hand) -> None:
        """Give a process more to do; let it end if there is nothing."""
        given = []
        while self._queue and len(hand.indices) < _MOST_AHEAD:
            size = self._sizes[self._queue[0]]
            if hand.indices and hand.size - self._sizes[hand.indices[0]] + size > _AHEAD:
                break
            given.append(self._queue.popleft())
            hand.indices.append(given[-1])
            hand.size += size
        try:
            if given:
                hand.process.order(given)
            elif not hand.indices:
                self._dismiss(hand)
        except OSError:  # it has ended
            self._dismiss(hand)

    def _dismiss(self, hand: _Hand) -> None:
        """End a process; what it has not answered is left to this one."""
        pipe = hand.process.answers
        self._left += hand.indices
        self._poll.unregister(pipe)
        hand.process.close()
        del self._hands[pipe]

    def _hear(self, pipe: int) -> None:
        """Take the answers of a process."""
        hand = self._hands[pipe]
        answers, more = hand.process.receive()
        for kind, index, data in answers:
            if not hand.indices or hand.indices[0] != index:
                more = False
                break
            hand.indices.popleft()
            hand.size -= self._sizes[index]
            self._take(kind, index, data)
        if more:
            self._feed(hand)
        else:
            self._dismiss(hand)

    def _take(self, kind: int, index: int, data: bytes) -> None:
        """Take an answer about a function."""
        if kind == REFUSED:  # nobody can compile it
            self._here([index])
        elif kind == FAILED:
            self._left.append(index)
        elif kind == MADE:
            code = data[SIZE.size :]
            try:
                from_bytes(code, machine().fingerprint)
            except BadCode:
                self._left.append(index)
            else:
                self._keep(index, SIZE.unpack_from(data)[0], code)

    def _here(self, indices: Iterable[int]) -> None:
        """Compile functions in this process."""
        for index in indices:
            if self._translator is None:
                self._translator = self._make()
            facts = self._translator.facts(index)
            code = collector.without_collections(self._translator.translate_checked, index, facts)
            self._keep(index, facts.size, to_bytes(code, machine().fingerprint))

    def _keep(self, index: int, facts_size: int, code: bytes) -> None:
        self.codes[index] = code
        self.facts_size += facts_size
        self._done += self._sizes[index]
        if self._progress is not None:
            self._progress(self._done, self._total)


def _processors() -> int:
    """Return how many processors this process may use."""
    return len(_os.sched_getaffinity(0)) if hasattr(_os, "sched_getaffinity") else 1


def _serve(make: Callable[[], Translator], orders: int, answers: int) -> None:
    """Compile what is ordered, in the other process, until the pipe ends."""
    translator = make()
    while data := _os.read(orders, PIPE):
        for (index,) in INDEX.iter_unpack(data):
            worker.make(translator, index, answers)
