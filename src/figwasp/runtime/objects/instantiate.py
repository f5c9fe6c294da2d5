"""Floor 4: instantiation (spec 4.7.3): from a compiled module and externs for its imports to an instance.

In: the module, and externs that have been checked. Out: the instance's Python side and the owner that keeps it. The order is the
specification's: allocate, evaluate initialisers, copy segments, run the start function.
"""

from __future__ import annotations

import struct
import weakref
from array import array

from figwasp import layout
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY, TRAP_OUT_OF_BOUNDS_TABLE, LimitExceeded
from figwasp.ir import constants
from figwasp.ir.types import ir_types
from figwasp.lazy import importing
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.heap import DEFAULT_LIMIT
from figwasp.runtime.heap.making import Nursery, has_objects, refers_to_functions
from figwasp.runtime.limits import budget
from figwasp.runtime.objects import segments
from figwasp.runtime.objects.caller import WithCaller
from figwasp.runtime.objects.func import Func, HostFunc, func_at
from figwasp.runtime.objects.global_ import Global
from figwasp.runtime.objects.instance import InstanceState
from figwasp.runtime.objects.memory import Memory
from figwasp.runtime.objects.suspend import AsyncHostFunc, is_async
from figwasp.runtime.objects.table import Table
from figwasp.runtime.objects.tag import Tag
from figwasp.runtime.platform import cpython, linear, linux, modes
from figwasp.runtime.store.store import Store
from figwasp.runtime.stubs.interface import kinds, simple
from figwasp.runtime.trap.traps import trap
from figwasp.wasm.syntax.frozen import active_segments, function_segment
from figwasp.wasm.syntax.module import ACTIVE, FUNC, PASSIVE
from figwasp.wasm.syntax.types import NUM_TYPES, may_be_host
from figwasp.wasm.valid.subtyping import canonical_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Final

    from figwasp.runtime.code.compile import CompiledModule
    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.native.runtime import NativeRuntime
    from figwasp.runtime.once import Once, Release
    from figwasp.runtime.snapshots.captured import Captured
    from figwasp.wasm.syntax.module import ConstExpr, Elem

    Extern = Func | Callable[..., Any] | Memory | Table | Global | Tag
    """A value for an import: a wasm function, a Python callable, or an instance of the other kinds."""
    Given = tuple[Extern, Owner | None]
    """The extern for an import, and the owner that keeps it; None for a Python callable or a tag."""

__all__ = ["Extern", "Given", "instantiate"]

_FUNCREF: Final = struct.Struct("<QQII")
_HEAD: Final = struct.Struct("<7Q")
"""The words of a block from INST_STATE to INST_DESCRIPTORS."""


def instantiate(code: CompiledModule, externs: Sequence[Given], captured: Captured | None = None) -> tuple[InstanceState, Owner]:
    """Make an instance; its start function has run.

    Where a memory has no guard area, its own or one that it imports, the code checks bounds.

    Args:
        code: the compiled module.
        externs: one per import, of the right kind and type.
        captured: the state that it begins in, instead of what initialisers, segments and the start function make; or None.

    Raises:
        Busy: another thread runs in the store of something imported.
        Trap: an active segment does not fit, or the start function trapped.
        LimitExceeded: the memories or tables that the module declares do not fit, or are larger than its engine allows.
    """
    if code.mode == modes.GUARD and any(isinstance(extern, Memory) and extern.mode != modes.GUARD for extern, _ in externs):
        code = code.checked()
    joined = _join_stores(code.native, externs)
    if joined is None:
        return _instantiate(code, externs, Store(code.native), captured)
    return joined.hold(lambda: _instantiate(code, externs, joined, captured))  # other threads are not to use it meanwhile


def _instantiate(
    code: CompiledModule, externs: Sequence[Given], store: Store, captured: Captured | None
) -> tuple[InstanceState, Owner]:
    slots = code.config.slots
    slot = slots.take(code.native.owners.reap)
    try:
        block = _fill(code, externs, store, captured)
    except BaseException:
        slot = None  # a traceback would keep it
        raise
    block.keeps.append(slot)
    state = block.state
    if code.config.fuel:
        state.store.fuel.add(state.store, code.config.fuel)
    if captured is not None:
        with importing:
            from figwasp.runtime.snapshots.restore import restore  # most programs do without

        restore(state, captured, is_new=True)
        return state, block.owner
    _copy_active_segments(state, _evaluate_segments(state, block.surroundings), block.surroundings)
    start = code.module.start
    if start is not None:
        func_at(code.native, state.func_reference(start))()
    return state, block.owner


def _fill(code: CompiledModule, externs: Sequence[Given], store: Store, captured: Captured | None) -> _Block:
    try:
        block = _Block(code, externs, store, captured)
        block.fill()
    except linear.NoGuard:
        block = _Block(code.checked(), externs, store, captured)
        block.fill()
    return block


# Segments


class _Surroundings(Nursery):
    """What constant expressions of an instance refer to, and make."""

    __slots__ = ("_state", "func_reference")

    def __init__(self, state: InstanceState) -> None:
        super().__init__(state.store, state.code.module.types, state.code.type_ids)
        self._state = state
        self.func_reference = state.func_reference

    def global_bits(self, index: int) -> int:
        return self._state.globals[index].get()

    def evaluate(self, expr: ConstExpr) -> int:
        """Return the raw bits of a constant expression."""
        return constants.evaluate(expr, self._state.code.module, self)


def _evaluate_segments(state: InstanceState, surroundings: _Surroundings) -> list[tuple[Elem, list[int]]]:
    """Evaluate the initial elements of tables and the elements of element segments; return the active ones and their elements."""
    module = state.code.module
    for table, init in zip(state.tables[module.num_imported_tables :], module.table_inits, strict=True):
        if init is not None:
            table.fill(0, surroundings.evaluate(init), len(table))
    known: dict[int, int] = {}
    active: list[tuple[Elem, list[int]]] = []
    for number, elem in enumerate(module.elems):
        functions = function_segment(elem)
        if functions is not None:
            references = state.func_references(functions)
        else:
            references = []
            for expr in elem.inits:
                bits = known.get(id(expr))
                if bits is None:
                    bits = known[id(expr)] = surroundings.evaluate(expr)
                references.append(bits)
        if elem.mode == PASSIVE:
            segments.fill(state, number, references)
        elif elem.mode == ACTIVE:
            active.append((elem, references))
    return active


def _copy_active_segments(state: InstanceState, active: list[tuple[Elem, list[int]]], surroundings: _Surroundings) -> None:
    """Copy the active segments to their places, in order.

    Raises:
        Trap: a segment does not fit; those before it have been copied.
    """
    module = state.code.module
    for elem, references in active:
        assert elem.offset is not None
        place, table = surroundings.evaluate(elem.offset), state.tables[elem.table]
        if place + len(references) > len(table):
            raise trap(TRAP_OUT_OF_BOUNDS_TABLE)
        table.write(place, references)
    images = state.code.initial_images()
    if images:
        with importing:
            from figwasp.runtime.snapshots.restore import begin

        if begin(state, images):
            return
    numbers = active_segments(module)
    if numbers is not None:
        _copy_segments(state, numbers)
        return
    for data in module.datas:
        if data.mode == ACTIVE:
            assert data.offset is not None
            place, record = surroundings.evaluate(data.offset), state.memories[data.memory].record
            if place + data.end - data.start > linux.read_u64(record + layout.MEM_LENGTH):
                raise trap(TRAP_OUT_OF_BOUNDS_MEMORY)
            if data.end > data.start:
                linux.write(state.memories[data.memory].base + place, module.data[data.start : data.end])


def _copy_segments(state: InstanceState, active: Iterator[tuple[int, int, int]]) -> None:
    """Copy active data segments to their places in the first memory, in order.

    Raises:
        Trap: a segment does not fit; those before it have been copied.
    """
    data = memoryview(state.code.module.data)
    memory = state.memories[0] if state.memories else None  # validation has seen to it that there is one if there is a segment
    contents = memoryview(b"") if memory is None else linux.view(memory.base, linux.read_u64(memory.record + layout.MEM_LENGTH))
    length = len(contents)
    for place, start, end in active:
        after = place + end - start
        if after > length:
            raise trap(TRAP_OUT_OF_BOUNDS_MEMORY)
        contents[place:after] = data[start:end]


# The block


class _Block:
    """An instance block, with what follows it: a FuncRef for every import that is a Python callable, and the owner's slots.

    The slots are the instance's Python side, then a pair (callable, HostFunc) for each of those imports.

    Attributes:
        owner: keeps it.
        state: the Python side.
        releases: called when the block goes, before its memories and tables are released.
        keeps: objects that are kept until the block has been released.
    """

    def __init__(self, code: CompiledModule, externs: Sequence[Given], store: Store, captured: Captured | None) -> None:
        """Allocate the block.

        Args:
            code: the compiled module.
            externs: the externs for its imports.
            store: the store that it is to run in.
            captured: the state that it is to be put into, for which memories get the right size and globals stay null, or None.
        """
        self._code = code
        self._captured = captured
        self._module = code.module
        self._places = code.layout
        self._externs = externs
        pairs = zip(self._module.imports, externs, strict=True)
        hosts = sum(item.kind == FUNC and not isinstance(extern, Func) for item, (extern, _) in pairs)
        self._host_references = code.layout.size
        size = self._host_references + layout.FUNCREF_SIZE * hosts
        count = 1 + 2 * hosts
        self._block: int = cpython.raw_calloc(1, size + 8 * count)
        if not self._block:
            raise MemoryError
        self._slots = self._block + size
        self.releases: list[Callable[[], object]] = []
        self.keeps: list[object] = []
        self._parts: list[Release] = []
        self._states: list[weakref.ref[InstanceState]] = []
        self.owner = code.native.owners.make(self._block, self._release(), self._slots, count)
        self.state = InstanceState(code, self._block, store.current)

    def fill(self) -> None:
        """Fill in the block."""
        code, state, block = self._code, self.state, self._block
        self._states.append(weakref.ref(state))
        places = self._places
        room = code.config.max_table or 0
        arrays = (block + places.table_record(0), block + places.data(0), block + places.elem(0))
        linux.write(block + layout.INST_STATE, _HEAD.pack(self._slots, id(self.owner), room, *arrays, TYPES.region.base))
        if any(elem.mode == PASSIVE for elem in self._module.elems):
            self._parts.append(segments.make(state))
        if code.datas.owner is not None:
            linux.write_words(block + places.data(0), code.datas.words)
        cpython.set_reference(self._slots, state)
        state.store.add_instance(state, code.config.stack_size, code.config.max_gc_heap or DEFAULT_LIMIT)
        self._keeper = code.native.owners.make(0)
        externs = {id(owner): owner for _, owner in self._externs if owner is not None}
        self.owner.hold(code.owner, state.store.owner, self._keeper, *externs.values())
        linux.write(block + self._places.type_id(0), code.type_words)
        self._keep_for_objects()
        self._take_imports()
        self._define_funcs()
        self._define_tables()
        self._define_memories()
        self.surroundings = _Surroundings(state)
        self._define_globals()
        self._define_tags()
        code.add_user(state)

    def _keep_for_objects(self) -> None:
        """Keep what objects of the heap may refer to as long as the heap: type descriptors, and functions of this instance."""
        module, store = self._module, self.state.store
        if has_objects(module.types, module.tags):
            store.keep(self._code.owner)
            if refers_to_functions(module.types, module.tags):
                store.keep(self.owner)

    def _release(self) -> Release:
        block, releases, parts, keeps, states = self._block, self.releases, self._parts, self.keeps, self._states

        def release() -> list[Once]:
            for reference in states:
                state = reference()
                if state is not None:
                    state.leave()
            for one in releases:
                one()
            rest: list[Once] = [cpython.freeing(block), keeps.clear]
            for part in parts:
                rest += part()
            return rest

        return release

    def _take_imports(self) -> None:
        state = self.state
        func = host = 0
        for item, (extern, _) in zip(self._module.imports, self._externs, strict=True):
            if isinstance(extern, Tag):
                state.tags.append(extern)
            elif item.kind == FUNC:
                assert isinstance(item.desc, int)
                if isinstance(extern, Func):
                    reference = extern._address
                else:
                    assert callable(extern)
                    reference = self._host_func(host, extern, item.desc, f"{item.module}.{item.name}")
                    host += 1
                linux.write_u64(self._block + self._places.imported_func(func), reference)
                instance = linux.read(reference + layout.FUNCREF_INSTANCE, 8)
                linux.write(self._block + self._places.imported_instance(func), instance)
                func += 1
            elif isinstance(extern, Table):
                self._add_table(extern)
            elif isinstance(extern, Memory):
                self._add_memory(extern)
            elif isinstance(extern, Global):
                linux.write_u64(self._block + self._places.global_cell(len(state.globals)), extern.address)
                state.globals.append(extern)

    def _host_func(self, number: int, function: Callable[..., Any], type_index: int, name: str) -> int:
        """Fill the FuncRef and the pair of slots of an imported Python callable; return the FuncRef's address."""
        if isinstance(function, WithCaller):
            function = function.bind(self.state)
        reference = self._block + self._host_references + layout.FUNCREF_SIZE * number
        pair = self._slots + 8 + 16 * number
        type_ = self._module.signature(type_index)
        stubs = self._code.native.stubs
        store = _store_of(weakref.ref(self.state))
        numbers = self._code.numbers
        if is_async(function):
            code = stubs.async_host_stub(ir_types(type_.params), ir_types(type_.results))
            record: HostFunc = AsyncHostFunc(stubs, function, type_, name, self._block, store, numbers)
        else:
            code = stubs.host_stub(kinds(type_.params), kinds(type_.results), direct=False)
            direct = simple(type_.params + type_.results)
            record = HostFunc(stubs, function, type_, name, self._block, store, numbers, reference if direct else 0)
        cpython.set_reference(pair, function)
        cpython.set_reference(pair + 8, record)
        linux.write(reference, _FUNCREF.pack(code, pair, self._code.type_ids[type_index], layout.HOST_INDEX))
        return reference

    def _define_funcs(self) -> None:
        """Fill the FuncRefs of the functions that the module defines, by columns."""
        count = len(self._module.bodies)
        if count:
            words = array("Q", bytes(layout.FUNCREF_SIZE * count))
            words[0::3] = self._code.addresses()
            words[1::3] = array("Q", [self._block]) * count
            words[2::3] = self._code.identities
            linux.write(self._block + self._places.funcref(self._module.num_imported_funcs), words.tobytes())

    def _add_table(self, table: Table) -> None:
        linux.write_u64(self._block + self._places.table_record(len(self.state.tables)), table.record)
        self.state.tables.append(table)

    def _add_memory(self, memory: Memory) -> None:
        index = len(self.state.memories)
        words = array("Q", (memory.record, memory.base))
        linux.write(self._block + self._places.memory_record(index), words.tobytes())
        self.state.memories.append(memory)

    def _define_tables(self) -> None:
        own = self._module.tables[self._module.num_imported_tables :]
        needed = sum(type_.limits.min for type_ in own)
        most = self._code.config.max_table
        if most is not None and needed > most:
            raise LimitExceeded(f"the instance needs {needed} table elements at least, and max_table is {most}")
        room = 0 if most is None else self._block + layout.INST_ROOM
        for type_ in own:
            elem = canonical_type(type_.elem, self._code.numbers)
            table = Table(type_, elem, self.state.store, self._keeper, room)
            self._parts.append(table.releaser())
            self._add_table(table)

    def _define_memories(self) -> None:
        code = self._code
        room = budget(code.config.max_memory, "max_memory")
        captured = self._captured
        for number, type_ in enumerate(self._module.memories[self._module.num_imported_memories :]):
            pages = None if captured is None else captured.memories[number][0] >> type_.page
            memory = Memory(code.native, type_, code.mode, room, pages)
            if type_.shared:  # which other threads may hold when this instance has gone
                self.owner.hold(memory.own())
            else:
                memory.belong(self.state.store)
                self._parts.append(linear.releaser(memory.record))
            self._add_memory(memory)

    def _define_globals(self) -> None:
        module, state = self._module, self.state
        first = module.num_imported_globals
        for i, init in enumerate(module.global_inits):
            type_ = module.globals[first + i]
            address = self._block + self._places.global_cell(first + i)
            global_ = Global(type_, canonical_type(type_.type, self._code.numbers), address, state.store, self._keeper)
            if may_be_host(type_.type):
                self.releases.append(global_.releaser())
            self._parts.append(global_.roots.releasing)
            if self._captured is None:
                self._initialize(global_, init)
            state.globals.append(global_)

    def _initialize(self, global_: Global, init: ConstExpr) -> None:
        bits = self.surroundings.evaluate(init)
        if global_.type.type in NUM_TYPES:
            linux.write_u64(global_.address, bits)
        else:
            global_.set(bits)

    def _define_tags(self) -> None:
        for index in self._module.tags[self._module.num_imported_tags :]:
            code = self._code
            self.state.tags.append(Tag._of_module(self._module.signature(index), code.numbers[index], code.numbers, code.owner))
        for number, tag in enumerate(self.state.tags):
            linux.write_u64(self._block + self._places.tag(number), tag._identity)


def _join_stores(native: NativeRuntime, externs: Sequence[Given]) -> Store | None:
    """Return the one store of everything imported that belongs to one, or None."""
    store: Store | None = None
    for extern, _ in externs:
        if isinstance(extern, (Func, Table, Global)):
            other = extern._store if isinstance(extern, Func) else extern.store
        elif isinstance(extern, Memory) and not extern.type.shared:
            other = extern.belong(Store(native) if store is None else store)
        else:
            continue
        if store is None:
            store = other
        else:
            store.merge(other)
    return store


def _store_of(state: weakref.ref[InstanceState]) -> Callable[[], Store]:
    """Return a callable that gives the store of an instance without keeping the instance alive."""

    def store_of_state() -> Store:
        alive = state()
        if alive is None:
            raise ReferenceError("the instance this belongs to has been collected")
        return alive.store

    return store_of_state
