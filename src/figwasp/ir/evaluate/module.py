"""A whole module under the evaluator: its instance in an imagined address space. Floor 2.

Goes in: a module, the memory mode, the passes to run on each function. Comes out: `Machine`, with the instance block, records
and FuncRefs of `layout.py` laid out as the runtime does it, whose `call` evaluates functions. Functions are built when they
are called first. Imported functions are Python callables on bits; other imports are made here, with zeros in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp import errors, layout
from figwasp.ir import builtins, constants, ops
from figwasp.ir.build.builder import build, layout_of
from figwasp.ir.evaluate.func import Environment, Evaluator, Space, Trapped, Undefined
from figwasp.ir.func import Call, Func
from figwasp.wasm.syntax import types as wasm
from figwasp.wasm.syntax.module import ACTIVE, DECLARATIVE, FUNC, PASSIVE, ConstExpr, Module
from figwasp.wasm.valid.module import validate_func, validate_module
from figwasp.wasm.valid.subtyping import TypeWorld

__all__ = ["Host", "Machine"]

Host = Callable[..., list[int]]
"""An imported function: parameters as bits -> results as bits."""

_INSTANCE: Final = 0x1000_0000
_CONTEXT: Final = 0x2000_0000
_RECORDS: Final = 0x3000_0000
_IMPORTS: Final = 0x4000_0000
_CODE: Final = 0x5000_0000
_TABLES: Final = 1 << 40
_MEMORIES: Final = 1 << 44
_APART: Final = 1 << 36
"""Distance of two tables or memories."""
_GUARD: Final = 8 << 30
_MAX_DEPTH: Final = 120
_MAX_PAGES: Final = 1024
_FAILED: Final = 0xFFFF_FFFF


class Machine(Environment):
    """An instance of a module, run by the evaluator.

    Attributes:
        module, mode: as given.
        passes: what is run on each function after it has been built.
        memories: the linear memories.
        tables: the tables, 8 bytes per element.
        depth: calls under way.
    """

    def __init__(
        self,
        module: Module,
        mode: int = layout.GUARD,
        passes: Callable[[Func], None] | None = None,
        imports: list[Host] | None = None,
        steps: int = 10_000_000,
    ) -> None:
        super().__init__(Space(), _CONTEXT)
        if module.declared is None:
            validate_module(module)
        self.module = module
        self.mode = mode
        self.passes = passes
        self.memories: list[bytearray] = []
        self.tables: list[bytearray] = []
        self.depth = 0
        self._imports = imports or []
        self._layout = layout_of(module)
        self._numbers = TypeWorld().intern(module.types, module.groups)
        self._evaluator = Evaluator(self, steps)
        self._funcs: dict[int, Func] = {}
        self._dropped_elems: set[int] = set()
        self._dropped_datas: set[int] = set()
        self._lay_out()
        self._initialise()

    @property
    def steps_left(self) -> int:
        """How many values may still be evaluated."""
        return self._evaluator.steps

    # Instantiation

    def _lay_out(self) -> None:
        """Map the instance block and what it points to."""
        module = self.module
        self.space.map(_CONTEXT, bytearray(layout.CTX_SIZE))
        self.space.map(_INSTANCE, bytearray(self._layout.size))
        self.space.map(_RECORDS, bytearray(64 * (len(module.memories) + len(module.tables)) + 16 * len(module.globals)))
        self.space.map(_IMPORTS, bytearray(layout.FUNCREF_SIZE * module.num_imported_funcs))
        for index, number in enumerate(self._numbers):
            self._put(self._layout.type_id(index), number, 4)
        for index in range(len(module.func_types)):
            self._lay_out_func(index)
        for index, memory in enumerate(module.memories):
            self.memories.append(bytearray(memory.limits.min * layout.PAGE_SIZE))
            base = _MEMORIES + index * _APART
            self.space.map(base, self.memories[index], _GUARD if self.mode == layout.GUARD else 0)
            self._put(self._layout.memory_base(index), base)
            self._put(self._layout.memory_record(index), self._record(index))
            self.space.write(self._record(index) + layout.MEM_BASE, base)
            self._note_length(index)
        for index, table in enumerate(module.tables):
            self.tables.append(bytearray(8 * table.limits.min))
            base = _TABLES + index * _APART
            self.space.map(base, self.tables[index])
            record = self._record(len(module.memories) + index)
            self._put(self._layout.table_record(index), record)
            self.space.write(record + layout.TABLE_BASE, base)
            self.space.write(record + layout.TABLE_LENGTH, table.limits.min)
        for index in range(module.num_imported_globals):
            self._put(self._layout.global_cell(index), self._cell(index))

    def _lay_out_func(self, index: int) -> None:
        reference = self._funcref(index)
        if index < self.module.num_imported_funcs:
            self._put(self._layout.imported_func(index), reference)
        self.space.write(reference + layout.FUNCREF_CODE, _CODE + 16 * index)
        self.space.write(reference + layout.FUNCREF_INSTANCE, _INSTANCE)
        self.space.write(reference + layout.FUNCREF_TYPE, self._numbers[self.module.func_types[index]], 4)
        self.space.write(reference + layout.FUNCREF_INDEX, index, 4)

    def _put(self, offset: int, number: int, size: int = 8) -> None:
        self.space.write(_INSTANCE + offset, number, size)

    def _record(self, number: int) -> int:
        return _RECORDS + 64 * number

    def _note_length(self, memory: int) -> None:
        self.space.write(self._record(memory) + layout.MEM_LENGTH, len(self.memories[memory]))

    def _funcref(self, index: int) -> int:
        if index < self.module.num_imported_funcs:
            return _IMPORTS + layout.FUNCREF_SIZE * index
        return _INSTANCE + self._layout.funcref(index)

    def _cell(self, index: int) -> int:
        """Return the address of a global."""
        if index >= self.module.num_imported_globals:
            return _INSTANCE + self._layout.global_cell(index)
        return self._record(len(self.module.memories) + len(self.module.tables)) + 16 * index

    def _initialise(self) -> None:
        """Give globals, tables and memories their contents, and call the start function."""
        module = self.module
        for index, init in enumerate(module.global_inits, module.num_imported_globals):
            self.space.write(self._cell(index), self._constant(init))
        for number, elem in enumerate(module.elems):
            if elem.mode == ACTIVE:
                assert elem.offset is not None
                self._table_init(elem.table, number, self._constant(elem.offset), 0, len(elem.inits))
            if elem.mode == ACTIVE or elem.mode == DECLARATIVE:
                self._dropped_elems.add(number)
        for number, data in enumerate(module.datas):
            if data.mode != PASSIVE:
                assert data.offset is not None
                self._memory_init(data.memory, number, self._constant(data.offset), 0, data.end - data.start)
                self._dropped_datas.add(number)
        if module.start is not None:
            self.invoke(module.start, [])

    def _constant(self, expr: ConstExpr) -> int:
        """Return the bits of a constant expression."""
        return constants.evaluate(expr, lambda index: self.space.read(self._cell(index)), self._funcref)

    # Calls

    def func(self, index: int) -> Func:
        """Return the SSA form of a defined function after the passes."""
        func = self._funcs.get(index)
        if func is None:
            func = build(self.module, index, validate_func(self.module, index), self._layout, self.mode)
            if self.passes is not None:
                self.passes(func)
            self._funcs[index] = func
        return func

    def export(self, name: str) -> int:
        """Return the index of an exported function."""
        return next(item.index for item in self.module.exports if item.kind == FUNC and item.name == name)

    def invoke(self, index: int, args: list[int]) -> list[int]:
        """Call a function with bits and return bits.

        Raises:
            Trapped: it traps.
        """
        if index < self.module.num_imported_funcs:
            return self._imports[index](*args)
        if self.depth == _MAX_DEPTH:
            raise Trapped(errors.TRAP_STACK_EXHAUSTED, 0)
        self.depth += 1
        try:
            return self._evaluator.run(self.func(index), [_INSTANCE, *args])
        finally:
            self.depth -= 1

    def call(self, op: int, call: Call, args: list[int], pos: int) -> list[int]:
        """Make a call for the evaluator."""
        if op == ops.CALL:
            self._expect(args[0], pos)
            return self.invoke(call.target, args[1:])
        if op == ops.CALL_PTR:
            self._expect(args[1], pos)
            return self.invoke((args[0] - _CODE) // 16, args[2:])
        if op == ops.CALL_BUILTIN:
            self._expect(args[0], pos)
            try:
                result = _BUILTINS[call.target](self, *args[1:])
            except Trapped as trap:
                raise Trapped(trap.code, pos) from None
            return [] if result is None else [result]
        return super().call(op, call, args, pos)

    def _expect(self, instance: int, pos: int) -> None:
        if instance != _INSTANCE:
            raise Undefined(f"call at {pos:#x} with {instance:#x} for an instance")

    # Builtins

    def _span(self, data: bytearray, start: int, count: int, size: int, trap: int) -> slice:
        if (start + count) * size > len(data):
            raise Trapped(trap, 0)
        return slice(start * size, (start + count) * size)

    def _bytes(self, memory: int, start: int, count: int) -> slice:
        return self._span(self.memories[memory], start, count, 1, errors.TRAP_OUT_OF_BOUNDS_MEMORY)

    def _elements(self, table: int, start: int, count: int) -> slice:
        return self._span(self.tables[table], start, count, 8, errors.TRAP_OUT_OF_BOUNDS_TABLE)

    def _memory_grow(self, memory: int, delta: int) -> int:
        data = self.memories[memory]
        pages = len(data) // layout.PAGE_SIZE
        limit = self.module.memories[memory].limits.max
        if pages + delta > min(_MAX_PAGES, _MAX_PAGES if limit is None else limit):
            return _FAILED
        data.extend(bytes(delta * layout.PAGE_SIZE))
        self._note_length(memory)
        return pages

    def _memory_fill(self, memory: int, start: int, byte: int, count: int) -> None:
        span = self._bytes(memory, start, count)
        self.memories[memory][span] = bytes((byte & 0xFF,)) * count

    def _memory_copy(self, target: int, source: int, to: int, start: int, count: int) -> None:
        data = self.memories[source][self._bytes(source, start, count)]
        self.memories[target][self._bytes(target, to, count)] = data

    def _memory_init(self, memory: int, number: int, to: int, start: int, count: int) -> None:
        segment = self.module.datas[number]
        data = bytearray(b"" if number in self._dropped_datas else self.module.data[segment.start : segment.end])
        source = data[self._span(data, start, count, 1, errors.TRAP_OUT_OF_BOUNDS_MEMORY)]
        self.memories[memory][self._bytes(memory, to, count)] = source

    def _data_drop(self, number: int) -> None:
        self._dropped_datas.add(number)

    def _table_set(self, table: int, index: int, reference: int) -> None:
        self._table_fill(table, index, reference, 1)

    def _table_grow(self, table: int, reference: int, delta: int) -> int:
        data = self.tables[table]
        length = len(data) // 8
        limit = self.module.tables[table].limits.max
        if length + delta > min(1 << 16, 1 << 16 if limit is None else limit):
            return _FAILED
        data.extend(reference.to_bytes(8, "little") * delta)
        self.space.write(self._record(len(self.memories) + table) + layout.TABLE_LENGTH, length + delta)
        return length

    def _table_fill(self, table: int, start: int, reference: int, count: int) -> None:
        span = self._elements(table, start, count)
        self.tables[table][span] = reference.to_bytes(8, "little") * count

    def _table_copy(self, target: int, source: int, to: int, start: int, count: int) -> None:
        data = self.tables[source][self._elements(source, start, count)]
        self.tables[target][self._elements(target, to, count)] = data

    def _table_init(self, table: int, number: int, to: int, start: int, count: int) -> None:
        inits = [] if number in self._dropped_elems else self.module.elems[number].inits
        data = bytearray(b"".join(self._constant(init).to_bytes(8, "little") for init in inits))
        source = data[self._span(data, start, count, 8, errors.TRAP_OUT_OF_BOUNDS_TABLE)]
        self.tables[table][self._elements(table, to, count)] = source

    def _elem_drop(self, number: int) -> None:
        self._dropped_elems.add(number)

    def _global_set_ref(self, index: int, reference: int) -> None:
        if not wasm.is_ref(self.module.globals[index].type):
            raise Undefined(f"global {index} holds no reference")
        self.space.write(self._cell(index), reference)


_BUILTINS: Final[dict[int, Callable[..., int | None]]] = {
    builtins.MEMORY_GROW: Machine._memory_grow,
    builtins.MEMORY_FILL: Machine._memory_fill,
    builtins.MEMORY_COPY: Machine._memory_copy,
    builtins.MEMORY_INIT: Machine._memory_init,
    builtins.DATA_DROP: Machine._data_drop,
    builtins.TABLE_SET: Machine._table_set,
    builtins.TABLE_GROW: Machine._table_grow,
    builtins.TABLE_FILL: Machine._table_fill,
    builtins.TABLE_COPY: Machine._table_copy,
    builtins.TABLE_INIT: Machine._table_init,
    builtins.ELEM_DROP: Machine._elem_drop,
    builtins.GLOBAL_SET_REF: Machine._global_set_ref,
}
