"""Floor 6: one instance that the IR evaluator runs: its block, its segments, and what its code asks of the runtime.

In: a `World`, a module, what it imports. Out: a `Cell`, laid out as `layout.py` says. The order of instantiation is the
specification's (4.7.3): tables, memories and globals are made with the cell, `start` copies the active segments and calls the
start function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp import errors, layout
from figwasp.ir import builtins, constants
from figwasp.ir.evaluate.func import Trapped
from figwasp.layout import PAGE_SIZE
from figwasp.wasm.syntax.module import ACTIVE, DECLARATIVE, ConstExpr
from figwasp.wasm.valid.subtyping import canonical_type
from figwasp.wast.world import MAX_ELEMENTS, MAX_PAGES, Built, Extern, FuncRef, Global, Memory, Table, Tag, World

__all__ = ["Cell"]

_FAILED: Final = 0xFFFF_FFFF


class Cell:
    """An instance.

    Attributes:
        built: its module.
        block: the address of its block.
        funcs: addresses of the FuncRefs, in the order of the index space as the rest.
        memories, tables, globals, tags: what its code refers to.
    """

    __slots__ = ("_datas", "_elems", "block", "built", "funcs", "globals", "memories", "tables", "tags", "world")

    def __init__(self, world: World, built: Built, externs: list[Extern]) -> None:
        self.world = world
        self.built = built
        self.block = world.allocate(built.layout.size)
        self.funcs = [extern.address for extern in externs if isinstance(extern, FuncRef)]
        self.memories = [extern for extern in externs if isinstance(extern, Memory)]
        self.tables = [extern for extern in externs if isinstance(extern, Table)]
        self.globals = [extern for extern in externs if isinstance(extern, Global)]
        self.tags = [extern for extern in externs if isinstance(extern, Tag)]
        world.add_cell(self)
        self._define()
        self._lay_out()
        for table, first in zip(self.tables[built.decoded.num_imported_tables :], built.decoded.table_inits, strict=True):
            if first is not None:
                table.data[:] = self._constant(first).to_bytes(8, "little") * (len(table.data) >> 3)
        self._elems = [[self._constant(init) for init in elem.inits] for elem in built.decoded.elems]
        self._datas = [built.decoded.data[data.start : data.end] for data in built.decoded.datas]

    def _define(self) -> None:
        """Make what the module defines itself."""
        world, built = self.world, self.built
        module, places = built.decoded, built.layout
        for index in range(module.num_imported_funcs, len(module.func_types)):
            self.funcs.append(self.block + places.funcref(index))
            world.write_func(self.funcs[index], built.numbers[module.func_types[index]], self, index)
        self.memories += [world.new_memory(type_) for type_ in module.memories[module.num_imported_memories :]]
        for table in module.tables[module.num_imported_tables :]:
            self.tables.append(world.new_table(table, canonical_type(table.elem, built.numbers)))
        for index, init in enumerate(module.global_inits, module.num_imported_globals):
            type_ = module.globals[index]
            global_ = Global(type_, canonical_type(type_.type, built.numbers), self.block + places.global_cell(index))
            world.space.write(global_.address, self._constant(init))
            self.globals.append(global_)
        own = module.tags[module.num_imported_tags :]
        self.tags += [Tag(module.signature(index), built.numbers[index]) for index in own]

    def _lay_out(self) -> None:
        """Write into the block where everything is."""
        module, places = self.built.decoded, self.built.layout
        for index, number in enumerate(self.built.numbers):
            self._put(places.type_id(index), number, 4)
        for index in range(module.num_imported_funcs):
            self._put(places.imported_func(index), self.funcs[index])
        for index in range(module.num_imported_globals):
            self._put(places.global_cell(index), self.globals[index].address)
        for index, memory in enumerate(self.memories):
            self._put(places.memory_record(index), memory.record)
            self._put(places.memory_base(index), memory.base)
        for index, table in enumerate(self.tables):
            self._put(places.table_record(index), table.record)

    def _put(self, offset: int, number: int, size: int = 8) -> None:
        self.world.space.write(self.block + offset, number, size)

    def _constant(self, expr: ConstExpr) -> int:
        """Return the bits of a constant expression."""
        return constants.evaluate(
            expr, lambda index: self.world.space.read(self.globals[index].address), self.funcs.__getitem__
        )

    def start(self) -> None:
        """Copy the active segments, and call the start function.

        Raises:
            Trapped: a segment does not fit, or the function trapped.
        """
        module = self.built.decoded
        for number, elem in enumerate(module.elems):
            if elem.mode == ACTIVE:
                assert elem.offset is not None
                self.table_init(elem.table, number, self._constant(elem.offset), 0, len(elem.inits))
            if elem.mode in (ACTIVE, DECLARATIVE):
                self.elem_drop(number)
        for number, data in enumerate(module.datas):
            if data.mode == ACTIVE:
                assert data.offset is not None
                self.memory_init(data.memory, number, self._constant(data.offset), 0, data.end - data.start)
                self.data_drop(number)
        if module.start is not None:
            self.world.enter(self.funcs[module.start], [])

    # Builtins

    def serve(self, builtin: int, args: list[int]) -> list[int]:
        """Do what a builtin does and return its results."""
        result = _BUILTINS[builtin](self, *args)
        return [] if result is None else [result]

    def _bytes(self, memory: int, start: int, count: int) -> slice:
        return _span(len(self.memories[memory].data), start, count, 1, errors.TRAP_OUT_OF_BOUNDS_MEMORY)

    def _elements(self, table: int, start: int, count: int) -> slice:
        return _span(len(self.tables[table].data), start, count, 8, errors.TRAP_OUT_OF_BOUNDS_TABLE)

    def memory_grow(self, index: int, delta: int) -> int:
        """memory.grow."""
        memory = self.memories[index]
        pages = len(memory.data) // PAGE_SIZE
        limit = memory.type.limits.max
        if pages + delta > min(MAX_PAGES, MAX_PAGES if limit is None else limit):
            return _FAILED
        memory.data.extend(bytes(delta * PAGE_SIZE))
        self.world.space.write(memory.record + layout.MEM_LENGTH, len(memory.data))
        return pages

    def memory_fill(self, memory: int, start: int, byte: int, count: int) -> None:
        """memory.fill."""
        span = self._bytes(memory, start, count)
        self.memories[memory].data[span] = bytes((byte & 0xFF,)) * count

    def memory_copy(self, target: int, source: int, to: int, start: int, count: int) -> None:
        """memory.copy."""
        data = self.memories[source].data[self._bytes(source, start, count)]
        self.memories[target].data[self._bytes(target, to, count)] = data

    def memory_init(self, memory: int, number: int, to: int, start: int, count: int) -> None:
        """memory.init."""
        data = self._datas[number]
        source = data[_span(len(data), start, count, 1, errors.TRAP_OUT_OF_BOUNDS_MEMORY)]
        self.memories[memory].data[self._bytes(memory, to, count)] = source

    def data_drop(self, number: int) -> None:
        """data.drop."""
        self._datas[number] = b""

    def table_set(self, table: int, index: int, reference: int) -> None:
        """table.set."""
        self.table_fill(table, index, reference, 1)

    def table_grow(self, index: int, reference: int, delta: int) -> int:
        """table.grow."""
        table = self.tables[index]
        length = len(table.data) // 8
        limit = table.type.limits.max
        if length + delta > min(MAX_ELEMENTS, MAX_ELEMENTS if limit is None else limit):
            return _FAILED
        table.data.extend(reference.to_bytes(8, "little") * delta)
        self.world.space.write(table.record + layout.TABLE_LENGTH, length + delta)
        return length

    def table_fill(self, table: int, start: int, reference: int, count: int) -> None:
        """table.fill."""
        span = self._elements(table, start, count)
        self.tables[table].data[span] = reference.to_bytes(8, "little") * count

    def table_copy(self, target: int, source: int, to: int, start: int, count: int) -> None:
        """table.copy."""
        data = self.tables[source].data[self._elements(source, start, count)]
        self.tables[target].data[self._elements(target, to, count)] = data

    def table_init(self, table: int, number: int, to: int, start: int, count: int) -> None:
        """table.init."""
        elems = self._elems[number]
        span = _span(len(elems), start, count, 1, errors.TRAP_OUT_OF_BOUNDS_TABLE)
        data = b"".join([reference.to_bytes(8, "little") for reference in elems[span]])
        self.tables[table].data[self._elements(table, to, count)] = data

    def elem_drop(self, number: int) -> None:
        """elem.drop."""
        self._elems[number] = []

    def global_set_ref(self, index: int, reference: int) -> None:
        """global.set of a reference."""
        self.world.space.write(self.globals[index].address, reference)


def _span(length: int, start: int, count: int, size: int, trap: int) -> slice:
    """Return the bytes of a run of items.

    Raises:
        Trapped: they are not all there.
    """
    if (start + count) * size > length:
        raise Trapped(trap, 0)
    return slice(start * size, (start + count) * size)


_BUILTINS: Final[dict[int, Callable[..., int | None]]] = {
    builtins.MEMORY_GROW: Cell.memory_grow,
    builtins.MEMORY_FILL: Cell.memory_fill,
    builtins.MEMORY_COPY: Cell.memory_copy,
    builtins.MEMORY_INIT: Cell.memory_init,
    builtins.DATA_DROP: Cell.data_drop,
    builtins.TABLE_SET: Cell.table_set,
    builtins.TABLE_GROW: Cell.table_grow,
    builtins.TABLE_FILL: Cell.table_fill,
    builtins.TABLE_COPY: Cell.table_copy,
    builtins.TABLE_INIT: Cell.table_init,
    builtins.ELEM_DROP: Cell.elem_drop,
    builtins.GLOBAL_SET_REF: Cell.global_set_ref,
}
