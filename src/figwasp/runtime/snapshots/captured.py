"""Floor 4: the state of an instance, taken.

In: an instance, while no code of its store runs. Out: a `Captured`, which refers to nothing of the instance; that does not change.
Taken is what the instance defines: what it imports belongs to others, and an instance that imports what can change is refused,
since its state would be taken in part.
"""

from __future__ import annotations

from collections.abc import Iterator

from figwasp import layout
from figwasp.errors import Error, LimitExceeded, printable
from figwasp.runtime.objects.instance import InstanceState
from figwasp.runtime.platform import images, linear, linux
from figwasp.runtime.snapshots.references import Run, Taker
from figwasp.wasm.syntax.module import FUNC, GLOBAL, MEMORY, PASSIVE, TAG, Import
from figwasp.wasm.syntax.types import GlobalType, is_ref

__all__ = ["Captured", "capture"]


class Captured:
    """The state of an instance.

    Attributes:
        memories: of each memory that the module defines the bytes, and an image of the contents.
        tables: the elements of each table that it defines.
        elems: number of a passive element segment -> its references; none when it has been dropped.
        datas: the length of each data segment, 0 for one that has been dropped or is active.
        globals: of each global that it defines the bytes of a number, or one reference.
    """

    __slots__ = ("datas", "elems", "globals", "memories", "tables")

    def __init__(
        self,
        memories: list[tuple[int, images.MemoryImage]],
        tables: list[Run],
        elems: dict[int, Run],
        datas: list[int],
        globals_: list[bytes | Run],
    ) -> None:
        self.memories = memories
        self.tables = tables
        self.elems = elems
        self.datas = datas
        self.globals = globals_


def capture(state: InstanceState) -> Captured:
    """Take the state of an instance, while no code of its store runs.

    Raises:
        Error: a part of it cannot be had; the message says which.
        LimitExceeded: there is no memory for it.
    """
    module = state.code.module
    for item in module.imports:
        _check_import(item)
    _check_memories(state)
    taker = Taker(state)
    first = module.num_imported_tables
    tables = [
        taker.take(table.place(0), len(table), table.type.elem, f"table {index}")
        for index, table in enumerate(state.tables[first:], first)
    ]
    globals_ = list(_globals(state, taker))
    elems = dict(_elems(state, taker))
    datas = linux.read_words(state.block + state.code.layout.data(0), 2 * len(module.datas))[1::2]
    return Captured(_memories(state), tables, elems, datas, globals_)


def _check_import(item: Import) -> None:
    """Refuse an import whose state would have to be taken, too."""
    kind = item.kind
    constant = isinstance(item.desc, GlobalType) and not item.desc.mutable
    if kind not in (FUNC, TAG) and not constant:
        what = {MEMORY: "a memory", GLOBAL: "a mutable global"}.get(kind, "a table")
        name = printable(f"{item.module}.{item.name}")
        raise Error(f"no snapshot can be taken: the instance imports {what}, {name}, and a snapshot has what the instance defines")


def _check_memories(state: InstanceState) -> None:
    for index, memory in enumerate(state.memories):
        if memory.type.shared:
            raise Error(f"no snapshot can be taken: memory {index} is shared, and other threads may be writing to it")


def _memories(state: InstanceState) -> list[tuple[int, images.MemoryImage]]:
    taken = []
    for memory in state.memories:
        length = linux.read_u64(memory.record + layout.MEM_LENGTH)
        try:
            taken.append((length, images.copied(memory.native.owners, memory.base, linear.whole_pages(length))))
        except OSError as error:
            raise LimitExceeded(f"no memory for a snapshot of {length} bytes: {error}") from error
    return taken


def _globals(state: InstanceState, taker: Taker) -> Iterator[bytes | Run]:
    first = state.code.module.num_imported_globals
    for index, global_ in enumerate(state.globals[first:], first):
        if is_ref(global_.type.type):
            yield taker.take(global_.address, 1, global_.type.type, f"global {index}")
        else:
            yield linux.read(global_.address, layout.GLOBAL_SIZE)


def _elems(state: InstanceState, taker: Taker) -> Iterator[tuple[int, Run]]:
    for number, elem in enumerate(state.code.module.elems):
        if elem.mode == PASSIVE:
            base, count = linux.read_words(state.block + state.code.layout.elem(number), 2)
            yield number, taker.take(base, count, elem.type, f"element segment {number}")
