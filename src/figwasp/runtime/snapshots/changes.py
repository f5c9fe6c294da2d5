"""Floor 4: the changes that put an instance into a state, made in one step, or not at all.

In: what the memories, tables, segments and globals are to hold. Out: the same there.

Theory of operation. Sizes are looked at, and the changes prepared as calls of C functions that hold the GIL. The list begins with
a look at whether the sizes are still those, goes on with the memories, which may be refused, and ends with what cannot fail. It is
gone through in one call (`once`), which ends at a function that answers False: other threads may grow memories and tables at any
time, and make buffers.
"""

from __future__ import annotations

import operator
from array import array
from contextlib import ExitStack
from functools import partial
from itertools import takewhile
from operator import call
from typing import TYPE_CHECKING, Final

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.limits import Budget
from figwasp.runtime.native.runtime import NativeRuntime
from figwasp.runtime.objects.memory import Memory
from figwasp.runtime.objects.table import Table
from figwasp.runtime.platform import cpython, images, linear, linux, written
from figwasp.runtime.snapshots.references import Run
from figwasp.runtime.store.store import Store
from figwasp.runtime.stubs.builtins.restore import AS_IT_IS, SHOWN, ZEROS

if TYPE_CHECKING:
    from figwasp.runtime.once import Once

__all__ = ["Changes", "Damaged"]

_succeeded: Final = partial(operator.is_not, False)
"""What has no result has succeeded, too."""


class Damaged(Exception):
    """There was no memory when some of the changes had been made already."""


class Changes:
    """Changes of one instance."""

    __slots__ = ("_alive", "_budgets", "_expected", "_memories", "_native", "_rest", "_rooms", "_store")

    def __init__(self, native: NativeRuntime, store: Store) -> None:
        """Begin without any.

        Args:
            native: the native runtime.
            store: of the instance, in which no code runs.
        """
        self._native = native
        self._store = store
        self._expected: list[Once] = []
        self._memories: list[Once] = []
        self._rest: list[Once] = []
        self._alive: list[object] = []  # what the calls know the addresses of
        self._budgets: dict[Budget, int] = {}  # how much more of each is used
        self._rooms: dict[int, int] = {}  # place -> how many more elements tables may get

    def add(self, calls: list[Once]) -> None:
        """Add calls that cannot fail."""
        self._rest += calls

    def _expect(self, place: int) -> int:
        """Return the word at a place, which has to be the same when the changes are made."""
        word = linux.read_u64(place)
        self._expected.append(partial(self._native.stubs.expect, place, word))
        return word

    # Memories

    def memory(self, memory: Memory, length: int, image: images.MemoryImage, is_new: bool = False) -> None:
        """Have a memory so many bytes, and show an image.

        Raises:
            BufferError: it would become smaller, and Python has buffers of it.
        """
        record = memory.record
        old = self._expect(record + layout.MEM_LENGTH)
        if length < old:
            memory.close_windows()
            if self._expect(record + layout.MEM_EXPORTS):
                smaller = f"of {length} bytes instead of {old}"
                raise BufferError(f"the memory cannot become smaller, {smaller}, while buffers of it exist, such as a memoryview")
        if memory.budget is not None:
            self._budgets[memory.budget] = self._budgets.get(memory.budget, 0) + length - old
        before, after = linear.whole_pages(old), linear.whole_pages(length)
        shown = ZEROS if is_new else SHOWN if linux.read_u64(record + layout.MEM_IMAGE) == image.number else AS_IT_IS
        sizes = min(before, after), abs(after - before), linux.ACCESSIBLE if after > before else linux.INACCESSIBLE
        of_image = image.number, image.file & (1 << 64) - 1, image.start, image.size, image.address
        file, argument = written.scanner() if shown == SHOWN else (images.NO_FILE, 0)
        plan = array("Q", (record, memory.base, length, *sizes, shown, *of_image, file & (1 << 64) - 1, argument))
        self._alive += (plan, image)
        self._memories.append(partial(self._native.stubs.restore_memory, plan.buffer_info()[0]))

    # References

    def run(self, run: Run, words: array[int], base: int, present: int) -> None:
        """Have references in a place.

        Args:
            run: the references.
            words: the same for this instance.
            base: address of the first.
            present: how many there are now; those that are more become null.
        """
        count, behind = len(words), max(present - len(words), 0)
        if not run.counted:
            self._rest.append(linux.writing(base, words.tobytes()))
            if behind:
                self._rest.append(linux.zeroing(base + 8 * count, 8 * behind))
            return
        if run.objects:
            words = self._with_objects(run, words)
        self._alive.append(words)
        self._rest.append(self._store.exchanging_externs(base, words.buffer_info()[0], count))
        if behind:
            self._rest.append(self._store.exchanging_externs(base + 8 * count, 0, behind))

    def _with_objects(self, run: Run, words: array[int]) -> array[int]:
        """Return the words with references to the objects of the host, which the collector sees until all is done."""
        roots = RootWords(self._store, len(run.objects))
        self._alive.append(roots)
        words = words[:]
        for number, (position, thing) in enumerate(run.objects.items()):
            place = roots.address + 8 * number
            self._store.give_extern(thing, place)
            words[position] = linux.read_u64(place)
        return words

    def table(self, table: Table, run: Run, words: array[int]) -> None:
        """Have a table these elements and no others."""
        record, count = table.record, len(words)
        old = self._expect(record + layout.TABLE_LENGTH)
        filled = self._expect(record + layout.TABLE_FILLED)
        room = linux.read_u64(record + layout.TABLE_ROOM)  # which the tables of an instance share
        if room and count != old:
            self._rooms[room] = (self._rooms[room] if room in self._rooms else self._expect(room)) + old - count
        self._write(record + layout.TABLE_FILLED, max(filled, count))
        self.run(run, words, linux.read_u64(record + layout.TABLE_BASE), filled)
        self._write(record + layout.TABLE_LENGTH, count)

    def segment(self, record: int, run: Run, words: array[int]) -> None:
        """Have an element segment these references; none when it has been dropped."""
        self.run(run, words, linux.read_u64(record + layout.SEGMENT_BASE), linux.read_u64(record + layout.SEGMENT_LENGTH))
        self._write(record + layout.SEGMENT_LENGTH, len(words))

    def _write(self, place: int, word: int) -> None:
        self._rest.append(linux.writing(place, word.to_bytes(8, "little")))

    # All of them

    def make(self) -> bool:
        """Make the changes; return whether they have been made, else the sizes are others by now.

        Raises:
            LimitExceeded: there is no memory, and nothing has changed.
            Damaged: the same, and something has.
        """
        done: list[object] = []
        for place, left in self._rooms.items():
            self._write(place, left)
        with ExitStack() as held:
            for budget, more in self._budgets.items():
                held.enter_context(budget.held())
                self._rest.append(budget.changing(more))
            calls = [*self._expected, *self._memories, *self._rest]
            self._store.ask_for_cleanup()
            cpython.check_recursion()
            done.extend(takewhile(_succeeded, map(call, calls)))
        self._store.pass_suspects_on()
        failed = len(done) - len(self._expected)
        if failed < 0 or len(done) == len(calls):
            return failed >= 0
        raise (Damaged if failed else LimitExceeded)(f"no memory for the memories of the instance: {failed} could be had")
