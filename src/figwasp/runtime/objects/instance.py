"""Floor 4: instances: instantiation in the spec's order (4.7.3), and what compiled code asks of Python.

Theory of operation. An instance is a native block (offsets in `layout`) and a `State`, its Python side. The block's owner refers
to the state through slot 0; the state never refers to the owner, so that dropping the last callable, view or handle
frees everything at once, without the cycle collector. Whoever holds an export holds the owner.
"""

from __future__ import annotations

import struct
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

from figwasp import layout
from figwasp.errors import (
    TRAP_OUT_OF_BOUNDS_MEMORY,
    TRAP_OUT_OF_BOUNDS_TABLE,
    Unsupported,
)
from figwasp.ir import builtins, constants
from figwasp.ir.build.base import ir_types
from figwasp.runtime import process
from figwasp.runtime.code import listen
from figwasp.runtime.code.compile import CompiledModule
from figwasp.runtime.objects import closing, linear
from figwasp.runtime.objects.caller import WithCaller
from figwasp.runtime.objects.containers import Global, Memory, Table, Tag, forget_externs, host_keeper
from figwasp.runtime.objects.func import Func, HostFunc, func_at
from figwasp.runtime.objects.limits import budget
from figwasp.runtime.objects.owner import Owner, make_owner
from figwasp.runtime.objects.store import Store
from figwasp.runtime.objects.suspend import AsyncHostFunc, is_async
from figwasp.runtime.platform import cpython, linux, modes
from figwasp.runtime.stubs.builder import kinds, simple
from figwasp.runtime.stubs.host import NATIVE_BUILTINS
from figwasp.runtime.trap import traps
from figwasp.wasm.syntax.module import ACTIVE, DECLARATIVE, FUNC, ConstExpr
from figwasp.wasm.syntax.types import is_extern, is_ref
from figwasp.wasm.valid.subtyping import canonical_type

Extern = Func | Callable[..., Any] | Memory | Table | Global | Tag
"""What an import can be: a wasm function, a Python callable, or an instance of the other kinds."""


class State:
    """The Python side of an instance.

    Attributes:
        code: the compiled module.
        block: address of the instance block.
        store: the store it runs in.
        closed: None, or when it has been closed what is pinned as long as the chain of that moment runs (see `closing`).
        handle: leads to the object that users hold, if there is one.
        memories, tables, globals, tags: in index space order, imports first.
    """

    __slots__ = (
        "__weakref__",
        "_builtins",
        "_datas",
        "_elems",
        "block",
        "closed",
        "code",
        "globals",
        "handle",
        "home",
        "memories",
        "store",
        "tables",
        "tags",
    )

    def __init__(self, code: CompiledModule, block: int, store: Store) -> None:
        self.code = code
        self.block = block
        self.store = store
        self.home = [weakref.ref(store)]  # for what outlives this object
        self.closed: Owner | None = None
        self.handle: weakref.ref[Any] | None = None
        self.memories: list[Memory] = []
        self.tables: list[Table] = []
        self.globals: list[Global] = []
        self.tags: list[Tag] = []
        self._elems: list[list[int]] = []
        self._datas: list[tuple[int, int]] = []
        self._builtins = _BUILTINS

    def leave(self) -> None:
        """Be forgotten by module and store: the block goes. A traceback may keep this object longer than that."""
        self.code.remove_state(self)
        self.store.remove(self)
        self.block = 0

    def join(self, store: Store) -> None:
        """Run in another store from now on, with the tables and globals that the instance has made."""
        self.store = store
        self.home[0] = weakref.ref(store)
        linux.write_u64(self.block + layout.INST_STORE, store.record)
        module = self.code.module
        for table in self.tables[module.num_imported_tables :]:
            table.join(store)
        for global_ in self.globals[module.num_imported_globals :]:
            global_.join(store)

    def func_reference(self, index: int) -> int:
        """Return the address of the FuncRef of a function of the index space."""
        places = self.code.layout
        if index < places.num_imported_funcs:
            return linux.read_u64(self.block + places.imported_func(index))
        return self.block + places.funcref(index)

    # What compiled code asks for: the hook

    def __call__(self, request: int, *args: int) -> int | None:
        """Serve a request of compiled code: compile a function, or do what a builtin does."""
        if request == layout.HOOK_COMPILE:
            if self.closed is not None:
                closing.check(self, args[1])
            return self.code.compile(args[0])
        return self._builtins[request](self, *args)

    def memory_grow(self, memory: int, delta: int) -> int:
        """memory.grow."""
        return self.memories[memory].grow(delta) & 0xFFFF_FFFF

    def memory_init(self, memory: int, segment: int, target: int, source: int, count: int) -> None:
        """memory.init."""
        start, end = self._datas[segment]
        record = self.memories[memory].record
        if source + count > end - start or target + count > linux.read_u64(record + layout.MEM_LENGTH):
            raise traps.trap(TRAP_OUT_OF_BOUNDS_MEMORY)
        if count:
            data = self.code.module.data
            linux.write(self.memories[memory].base + target, data[start + source : start + source + count])

    def data_drop(self, segment: int) -> None:
        """data.drop."""
        self._datas[segment] = (0, 0)

    def table_set(self, table: int, index: int, bits: int) -> None:
        """table.set."""
        if index >= len(self.tables[table]):
            raise traps.trap(TRAP_OUT_OF_BOUNDS_TABLE)
        self.tables[table].set(index, bits)

    def table_grow(self, table: int, bits: int, delta: int) -> int:
        """table.grow."""
        return self.tables[table].grow(bits, delta) & 0xFFFF_FFFF

    def table_fill(self, table: int, start: int, bits: int, count: int) -> None:
        """table.fill."""
        if start + count > len(self.tables[table]):
            raise traps.trap(TRAP_OUT_OF_BOUNDS_TABLE)
        self.tables[table].fill(start, bits, count)

    def table_copy(self, target_table: int, source_table: int, target: int, source: int, count: int) -> None:
        """table.copy."""
        to, from_ = self.tables[target_table], self.tables[source_table]
        if source + count > len(from_) or target + count > len(to):
            raise traps.trap(TRAP_OUT_OF_BOUNDS_TABLE)
        to.copy(target, from_, source, count)

    def table_init(self, table: int, segment: int, target: int, source: int, count: int) -> None:
        """table.init."""
        elements = self._elems[segment]
        if source + count > len(elements) or target + count > len(self.tables[table]):
            raise traps.trap(TRAP_OUT_OF_BOUNDS_TABLE)
        self.tables[table].write(target, elements[source : source + count])

    def elem_drop(self, segment: int) -> None:
        """elem.drop."""
        self._replace_segment(segment, [])

    def global_set_ref(self, index: int, bits: int) -> None:
        """global.set of a reference."""
        self.globals[index].set(bits)

    # Instantiation, after the block has been filled

    def evaluate(self, expr: ConstExpr) -> int:
        """Return the raw bits of a constant expression."""
        return constants.evaluate(expr, lambda index: self.globals[index].get(), self.func_reference)

    def evaluate_segments(self) -> None:
        """Evaluate the initial elements of tables and the elements of every element segment."""
        module = self.code.module
        for table, init in zip(self.tables[module.num_imported_tables :], module.table_inits, strict=True):
            if init is not None:
                table.fill(0, self.evaluate(init), len(table))
        values: dict[int, int] = {}
        for elem in module.elems:
            references = []
            for expr in elem.inits:
                bits = values.get(id(expr))
                if bits is None:
                    bits = values[id(expr)] = self.evaluate(expr)
                references.append(bits)
            self._elems.append([])
            self._replace_segment(len(self._elems) - 1, references)
        self._datas = [(data.start, data.end) for data in module.datas]

    def _replace_segment(self, segment: int, references: list[int]) -> None:
        if is_extern(self.code.module.elems[segment].type):
            self.store.replace_externs(self._elems[segment], references)
        self._elems[segment] = references

    def segments_releaser(self) -> Callable[[], None]:
        """Return what must be called when the instance goes: its element segments hold no externref any more."""
        home, elems = self.home, self._elems
        kinds = [elem.type for elem in self.code.module.elems]

        def release() -> None:
            for type_, references in zip(kinds, elems, strict=False):
                if is_extern(type_):
                    forget_externs(home, references)

        return release

    def run_active_segments(self) -> None:
        """Copy the active segments where they go, in order, and drop them.

        Raises:
            Trap: one does not fit; what came before it stays.
        """
        module = self.code.module
        for i, elem in enumerate(module.elems):
            if elem.mode == ACTIVE:
                assert elem.offset is not None
                self.table_init(elem.table, i, self.evaluate(elem.offset), 0, len(self._elems[i]))
            if elem.mode in (ACTIVE, DECLARATIVE):
                self.elem_drop(i)
        for i, data in enumerate(module.datas):
            if data.mode == ACTIVE:
                assert data.offset is not None
                self.memory_init(data.memory, i, self.evaluate(data.offset), 0, data.end - data.start)
                self.data_drop(i)

    def run_start(self) -> None:
        """Call the start function, if there is one."""
        start = self.code.module.start
        if start is not None:
            func_at(self.func_reference(start))()


_BUILTINS: Final[dict[int, Callable[..., int | None]]] = {
    **builtins.implementations(State, elsewhere=NATIVE_BUILTINS),
    layout.HOOK_BEFORE: listen.before,
    layout.HOOK_AFTER: listen.after,
}


def instantiate(code: CompiledModule, externs: Sequence[tuple[Extern, Owner | None]]) -> tuple[State, Owner]:
    """Make an instance; its start function has run.

    Where a memory has no guard area, its own or one that it imports, the code checks bounds.

    Args:
        code: the compiled module.
        externs: one per import, of the right kind and type, each with the owner that keeps it (None for a Python callable).

    Raises:
        Trap: an active segment does not fit, or the start function trapped.
        LimitExceeded: no memory for what the module declares, or more than its engine allows.
        Unsupported: it declares something that only validation knows.
    """
    if code.missing is not None:
        raise Unsupported(f"the module cannot be instantiated: no support for {code.missing} yet", code.missing)
    if code.mode == modes.GUARD and any(isinstance(extern, Memory) and extern.mode != modes.GUARD for extern, _ in externs):
        code = code.checked()
    slots = code.config.slots
    slots.take()
    try:
        maker = _make(code, externs)
    except BaseException:
        slots.give_back()
        raise
    maker.releases.append(slots.give_back)
    state = maker.state
    if code.config.fuel:
        state.store.fuel.add(state.store, code.config.fuel)
    state.evaluate_segments()
    state.run_active_segments()
    state.run_start()
    return state, maker.owner


def _make(code: CompiledModule, externs: Sequence[tuple[Extern, Owner | None]]) -> _Maker:
    try:
        return _Maker(code, externs)
    except linear.NoGuard:
        return _Maker(code.checked(), externs)


class _Maker:
    """Allocates and fills one instance block.

    The block is followed by a FuncRef for every import that is a Python callable, and by the owner's slots: the hook, then a
    pair (callable, HostFunc) for each of them.
    """

    def __init__(self, code: CompiledModule, externs: Sequence[tuple[Extern, Owner | None]]) -> None:
        self.code = code
        self.module = code.module
        self.places = code.layout
        pairs = zip(self.module.imports, externs, strict=True)
        hosts = sum(item.kind == FUNC and not isinstance(extern, Func) for item, (extern, _) in pairs)
        self.host_references = self.places.size
        slots = self.host_references + layout.FUNCREF_SIZE * hosts
        self.num_slots = 1 + 2 * hosts
        self.block: int = cpython.raw_calloc(1, slots + 8 * self.num_slots)
        if not self.block:
            raise MemoryError
        self.slots = self.block + slots
        self.releases: list[Callable[[], None]] = []
        self.states: list[weakref.ref[State]] = []
        self.owner = make_owner(self.block, self._release(), self.slots, self.num_slots)
        self.store = self._join_stores(externs)
        self.state = State(code, self.block, self.store)
        self.states.append(weakref.ref(self.state))
        self.releases.append(self.state.segments_releaser())
        linux.write_u64(self.block + layout.INST_HOOK, self.slots)
        linux.write_u64(self.block + layout.INST_OWNER, id(self.owner))
        cpython.set_reference(self.slots, self.state)
        self.state.join(self.store)
        self.store.add_state(self.state)
        self.keeper = host_keeper()
        self.owner.hold(code.owner, self.store.owner, self.keeper, *{id(o): o for _, o in externs if o is not None}.values())
        self._write_types()
        self._take_imports(externs)
        self._define_funcs()
        self._define_tables()
        self._define_memories()
        self._define_globals()
        self._define_tags()
        code.add_state(self.state)

    def _release(self) -> Callable[[], None]:
        block, releases, states = self.block, self.releases, self.states

        def release() -> None:
            for reference in states:
                state = reference()
                if state is not None:
                    state.leave()
            for one in releases:
                one()
            cpython.raw_free(block)

        return release

    def _join_stores(self, externs: Sequence[tuple[Extern, Owner | None]]) -> Store:
        """Return the one store of everything imported, or a new one."""
        store: Store | None = None
        for extern, _ in externs:
            if isinstance(extern, (Func, Table, Global)):
                if store is None:
                    store = extern.store
                else:
                    store.merge(extern.store)
        if store is None:
            return Store()
        store.current.check_thread()
        return store.current

    def _write_types(self) -> None:
        linux.write(self.block + self.places.type_id(0), self.code.number_words)

    def _take_imports(self, externs: Sequence[tuple[Extern, Owner | None]]) -> None:
        func = host = 0
        for item, (extern, _) in zip(self.module.imports, externs, strict=True):
            if isinstance(extern, Tag):
                self.state.tags.append(extern)
            elif item.kind == FUNC:
                assert isinstance(item.desc, int)
                if isinstance(extern, Func):
                    reference = extern.address
                else:
                    assert callable(extern)
                    reference = self._host_func(host, extern, item.desc, f"{item.module}.{item.name}")
                    host += 1
                linux.write_u64(self.block + self.places.imported_func(func), reference)
                func += 1
            elif isinstance(extern, Table):
                self._add_table(extern)
            elif isinstance(extern, Memory):
                self._add_memory(extern)
            elif isinstance(extern, Global):
                linux.write_u64(self.block + self.places.global_cell(len(self.state.globals)), extern.address)
                self.state.globals.append(extern)

    def _host_func(self, number: int, function: Callable[..., Any], type_index: int, name: str) -> int:
        """Fill the FuncRef and the pair of slots of an imported Python callable; return the FuncRef's address."""
        if isinstance(function, WithCaller):
            function = function.bind(self.state)
        reference = self.block + self.host_references + layout.FUNCREF_SIZE * number
        pair = self.slots + 8 + 16 * number
        type_ = self.module.signature(type_index)
        asynchronous = is_async(function)
        if asynchronous:
            code = process.get().async_host_stub(ir_types(type_.params), ir_types(type_.results))
        else:
            code = process.get().host_stub(kinds(type_.params), kinds(type_.results), direct=False)
        state = weakref.ref(self.state)

        def store_of_state() -> Store:
            alive = state()
            if alive is None:
                raise ReferenceError("the instance this belongs to has been collected")
            return alive.store

        cpython.set_reference(pair, function)
        if asynchronous:
            record: HostFunc = AsyncHostFunc(function, type_, name, self.block, store_of_state)
        else:
            direct = simple(type_.params + type_.results)
            record = HostFunc(function, type_, name, self.block, store_of_state, reference if direct else 0)
        cpython.set_reference(pair + 8, record)
        linux.write(reference, struct.pack("<QQII", code, pair, self.code.numbers[type_index], layout.HOST_INDEX))
        return reference

    def _define_funcs(self) -> None:
        module, code = self.module, self.code
        first = module.num_imported_funcs
        ids = code.numbers
        pack = struct.Struct("<QQII").pack
        block = self.block
        references = [
            pack(code.code_of(first + i), block, ids[module.func_types[first + i]], first + i) for i in range(len(module.bodies))
        ]
        if references:
            linux.write(block + self.places.funcref(first), b"".join(references))

    def _add_table(self, table: Table) -> None:
        linux.write_u64(self.block + self.places.table_record(len(self.state.tables)), table.record)
        self.state.tables.append(table)

    def _add_memory(self, memory: Memory) -> None:
        index = len(self.state.memories)
        linux.write_u64(self.block + self.places.memory_record(index), memory.record)
        linux.write_u64(self.block + self.places.memory_base(index), memory.base)
        self.state.memories.append(memory)

    def _define_tables(self) -> None:
        room = budget(self.code.config.max_table, "max_table")
        for type_ in self.module.tables[self.module.num_imported_tables :]:
            table = Table(type_, canonical_type(type_.elem, self.code.numbers), self.store, self.keeper, room)
            self.releases.append(table.releaser())
            self._add_table(table)

    def _define_memories(self) -> None:
        room = budget(self.code.config.max_memory, "max_memory")
        for type_ in self.module.memories[self.module.num_imported_memories :]:
            memory = Memory(type_, self.code.mode, room)
            self.releases.append(linear.releaser(memory.record))
            self._add_memory(memory)

    def _define_globals(self) -> None:
        module, state = self.module, self.state
        first = module.num_imported_globals
        for i, init in enumerate(module.global_inits):
            type_ = module.globals[first + i]
            address = self.block + self.places.global_cell(first + i)
            global_ = Global(type_, canonical_type(type_.type, self.code.numbers), address, self.store, self.keeper)
            if is_extern(type_.type):
                self.releases.append(global_.releaser())
            bits = state.evaluate(init)
            if is_ref(type_.type):
                global_.set(bits)
            else:
                linux.write_u64(address, bits)
            state.globals.append(global_)

    def _define_tags(self) -> None:
        for index in self.module.tags[self.module.num_imported_tags :]:
            self.state.tags.append(Tag(self.module.signature(index), self.code.numbers[index], self.code.owner))
