"""Floor 4: an instance put into a state that has been taken: of itself, or of another instance of the module.

In: an instance whose store nobody else runs in, and a `Captured`. Out: the instance in that state. What does not depend on the
present state of the instance is prepared once, and kept with it.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from figwasp import layout
from figwasp.errors import Busy, LimitExceeded
from figwasp.runtime.objects import closing
from figwasp.runtime.objects.instance import InstanceState
from figwasp.runtime.objects.keeping import keep
from figwasp.runtime.platform import linux
from figwasp.runtime.snapshots.captured import Captured
from figwasp.runtime.snapshots.changes import Changes, Damaged
from figwasp.runtime.snapshots.references import Run

if TYPE_CHECKING:
    from figwasp.runtime.once import Once
    from figwasp.runtime.platform.images import MemoryImage

__all__ = ["Restoration", "begin", "restore"]

_ATTEMPTS: Final = 8


def restore(state: InstanceState, captured: Captured, is_new: bool = False) -> None:
    """Put an instance into a state that has been taken of an instance of the module: completely, or not at all.

    Args:
        state: the instance; no code of its store runs.
        captured: the state.
        is_new: whether nothing has been done with the instance yet, whose memories have the right size.

    Raises:
        BufferError: a memory would become smaller, and Python has buffers of it.
        Busy: another thread changes sizes again and again.
        LimitExceeded: there is no memory. Where that is found out too late the instance is closed.
    """
    restoration = state.restoration
    if not isinstance(restoration, Restoration) or restoration.captured is not captured:
        restoration = state.restoration = Restoration(state, captured)
    try:
        restoration.run(state, is_new)
    except Damaged as error:
        closing.close(state)
        raise LimitExceeded(f"{error}; the instance has been closed") from None


def begin(state: InstanceState, images: dict[int, MemoryImage]) -> bool:
    """Have the memories of an instance that is being made show what the active segments of its module make them.

    Returns:
        Whether they do; else nothing has changed.
    """
    changes = Changes(state.code.native, state.store.current)
    for index, image in images.items():
        memory = state.memories[index]
        changes.memory(memory, linux.read_u64(memory.record + layout.MEM_LENGTH), image, is_new=True)
    try:
        return bool(images) and changes.make()
    except (Damaged, LimitExceeded):  # segments are copied into what is there
        return False


class Restoration:
    """A state, prepared for an instance.

    Attributes:
        captured: the state.
    """

    __slots__ = ("_elems", "_globals", "_numbers", "_tables", "captured")

    def __init__(self, state: InstanceState, captured: Captured) -> None:
        self.captured = captured
        module = state.code.module
        self._tables = [run.addresses(state) for run in captured.tables]
        for table, run, words in zip(state.tables[module.num_imported_tables :], captured.tables, self._tables, strict=True):
            keep(table.keeper, run.keepers(words), table.record + layout.TABLE_KEPT)
        self._globals: list[tuple[int, Run, array[int]]] = []
        self._numbers: list[Once] = []
        for global_, data in zip(state.globals[module.num_imported_globals :], captured.globals, strict=True):
            if isinstance(data, bytes):
                self._numbers.append(linux.writing(global_.address, data))
                continue
            words = data.addresses(state)
            keep(global_.keeper, data.keepers(words), global_.address + layout.GLOBAL_KEPT)
            self._globals.append((global_.address, data, words))
        # What functions a segment has are the module's own and imported ones, which the instance keeps.
        self._elems = {number: run.addresses(state) for number, run in captured.elems.items()}
        self._prepare_datas(state)

    def _prepare_datas(self, state: InstanceState) -> None:
        words = state.code.datas.words[:]
        if any(words):
            words[1::2] = self.captured.datas
            self._numbers.append(linux.writing(state.block + state.code.layout.data(0), array("Q", words).tobytes()))

    def run(self, state: InstanceState, is_new: bool) -> None:
        """Put the instance into the state.

        Raises:
            Damaged: there was no memory when a part of it had been changed.
        """
        for _ in range(_ATTEMPTS):
            if self._changes(state, is_new).make():
                return
        raise Busy("another thread changes the size of a memory or a table again and again")

    def _changes(self, state: InstanceState, is_new: bool) -> Changes:
        captured, module = self.captured, state.code.module
        changes = Changes(state.code.native, state.store.current)
        for memory, (length, image) in zip(state.memories, captured.memories, strict=True):
            changes.memory(memory, length, image, is_new)
        for table, run, words in zip(state.tables[module.num_imported_tables :], captured.tables, self._tables, strict=True):
            changes.table(table, run, words)
        for address, run, words in self._globals:
            changes.run(run, words, address, 1)
        for number, words in self._elems.items():
            changes.segment(state.block + state.code.layout.elem(number), captured.elems[number], words)
        changes.add(self._numbers)
        return changes
