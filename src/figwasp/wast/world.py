"""Floor 6: the address space in which the IR evaluator runs any number of instances that are linked with each other.

In: decoded modules, calls of FuncRefs. Out: what instances share (functions, memories, tables, globals), laid out in an
imagined address space as `layout.py` says, so that the optimised IR of a function means there what its machine code means in
native memory. The instances themselves are `Cell`s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from figwasp import errors, layout
from figwasp.ir import constants, ops, pipeline
from figwasp.ir.build.builder import build
from figwasp.ir.evaluate.func import Environment, Evaluator, Space, Trapped, Undefined
from figwasp.ir.func import Call, Func
from figwasp.layout import GUARD, PAGE_SIZE, InstanceLayout
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.types import I64, FuncType, GlobalType, MemoryType, TableType
from figwasp.wasm.valid.module import FuncFacts, validate
from figwasp.wasm.valid.subtyping import TypeWorld

if TYPE_CHECKING:
    from figwasp.wast.cell import Cell

__all__ = ["MAX_ELEMENTS", "MAX_PAGES", "Built", "Extern", "FuncRef", "Global", "Memory", "Table", "Tag", "World"]

_BLOCKS: Final = 0x1000_0000
_CODE: Final = 0x10_0000_0000
_TABLES: Final = 1 << 40
_MEMORIES: Final = 1 << 44
_TABLE_STEP: Final = 1 << 27
_MEMORY_STEP: Final = 1 << 36
_GUARD_SIZE: Final = (8 << 30) + PAGE_SIZE
_MAX_DEPTH: Final = 1000
"""Calls at once; Python's stack must hold them."""
MAX_PAGES: Final = 4096
MAX_ELEMENTS: Final = 1 << 20


class FuncRef:
    """A function: the address of its FuncRef, its type, and the canonical number of that."""

    __slots__ = ("address", "number", "type")

    def __init__(self, address: int, type: FuncType, number: int) -> None:
        self.address = address
        self.type = type
        self.number = number


class Memory:
    """A memory: the address of its record, its bytes, and where they are mapped."""

    __slots__ = ("base", "data", "record", "type")

    def __init__(self, type: MemoryType, record: int, base: int) -> None:
        self.type = type
        self.record = record
        self.base = base
        self.data = bytearray(type.limits.min << type.page)


class Table:
    """A table: the address of its record, its elements as bytes, and where they are mapped; its canonical element type."""

    __slots__ = ("base", "data", "elem", "record", "type")

    def __init__(self, type: TableType, elem: int, record: int, base: int) -> None:
        self.type = type
        self.elem = elem
        self.record = record
        self.base = base
        self.data = bytearray(8 * type.limits.min)


class Global:
    """A global: the address of its 8 bytes, its type, and its canonical value type."""

    __slots__ = ("address", "content", "type")

    def __init__(self, type: GlobalType, content: int, address: int) -> None:
        self.type = type
        self.content = content
        self.address = address


class Tag:
    """A tag: its type, and the canonical number of that."""

    __slots__ = ("number", "type")

    def __init__(self, type: FuncType, number: int) -> None:
        self.type = type
        self.number = number


Extern = FuncRef | Memory | Table | Global | Tag


class Built:
    """A valid module and the IR made of it so far, which its instances share.

    Attributes:
        decoded: the module.
        layout: of its instances' blocks.
        numbers: canonical numbers of its types.
        missing: the proposal without which it cannot be instantiated, or None.
    """

    def __init__(self, decoded: Module, mode: int, types: TypeWorld) -> None:
        self.decoded = decoded
        self.missing = constants.missing_feature(decoded)
        self.layout = InstanceLayout(
            len(decoded.types), decoded.num_imported_funcs, len(decoded.bodies), len(decoded.memories), len(decoded.tables),
            len(decoded.globals),
        )  # fmt: skip
        self._mode = mode
        self._facts: list[FuncFacts] = validate(decoded)
        self.numbers = types.intern(decoded.types, decoded.groups)
        self._funcs: dict[int, Func] = {}

    def func(self, index: int) -> Func:
        """Return the optimised IR of a defined function."""
        func = self._funcs.get(index)
        if func is None:
            facts = self._facts[index - self.decoded.num_imported_funcs]
            func = self._funcs[index] = build(self.decoded, index, facts, self.layout, self._mode)
            pipeline.run(func)
        return func


class World(Environment):
    """The address space of all instances, and the calls between them.

    Args:
        mode: how the IR makes memory accesses safe: GUARD or CHECKED.
        steps: values that may be evaluated for one call from outside.
    """

    def __init__(self, mode: int = GUARD, steps: int = 100_000_000) -> None:
        super().__init__(Space(), _BLOCKS)
        self.mode = mode
        self._steps = steps
        self._free = _BLOCKS
        self._depth = 0
        self._evaluator = Evaluator(self, steps)
        self.types = TypeWorld()
        self._cells: dict[int, Cell] = {}
        self._code: list[tuple[Cell | None, int]] = []
        self._tables = self._memories = 0
        self.allocate(layout.CTX_SIZE)

    def allocate(self, size: int) -> int:
        """Map some zeros and return their address."""
        address = self._free
        self.space.map(address, bytearray(size))
        self._free += (size + 31) & ~15  # with a gap, so that no access runs from one into the next
        return address

    def add_cell(self, cell: Cell) -> None:
        """Make an instance known by the address of its block."""
        self._cells[cell.block] = cell

    def write_func(self, address: int, number: int, cell: Cell | None, index: int) -> None:
        """Fill a FuncRef with the canonical number of its type, of a function that does nothing where there is no instance."""
        self.space.write(address + layout.FUNCREF_CODE, _CODE + 16 * len(self._code))
        self.space.write(address + layout.FUNCREF_INSTANCE, cell.block if cell is not None else self.context)
        self.space.write(address + layout.FUNCREF_TYPE, number, 4)
        self.space.write(address + layout.FUNCREF_INDEX, index, 4)
        self._code.append((cell, index))

    def new_host_func(self, type: FuncType, number: int) -> FuncRef:
        """Make a function of the host, which does nothing."""
        address = self.allocate(layout.FUNCREF_SIZE)
        self.write_func(address, number, None, layout.HOST_INDEX)
        return FuncRef(address, type, number)

    def new_memory(self, type: MemoryType) -> Memory:
        """Make a memory.

        Raises:
            LimitExceeded: it is too large.
        """
        if type.limits.min << type.page > MAX_PAGES * PAGE_SIZE:
            if type.address == I64:
                raise errors.Unsupported(f"a memory of {type.limits.min} pages: no support for memory64 yet", "memory64")
            raise errors.LimitExceeded(f"no memory for {type.limits.min} pages")
        memory = Memory(type, self.allocate(layout.MEM_RECORD_SIZE), _MEMORIES + self._memories * _MEMORY_STEP)
        self._memories += 1
        self.space.map(memory.base, memory.data, _GUARD_SIZE if self.mode == GUARD else 0)
        self.space.write(memory.record + layout.MEM_BASE, memory.base)
        self.space.write(memory.record + layout.MEM_LENGTH, len(memory.data))
        return memory

    def new_table(self, type: TableType, elem: int) -> Table:
        """Make a table.

        Raises:
            LimitExceeded: it is too large.
        """
        if type.limits.min > MAX_ELEMENTS:
            raise errors.LimitExceeded(f"a table of {type.limits.min} elements")
        table = Table(type, elem, self.allocate(layout.TABLE_RECORD_SIZE), _TABLES + self._tables * _TABLE_STEP)
        self._tables += 1
        self.space.map(table.base, table.data)
        self.space.write(table.record + layout.TABLE_BASE, table.base)
        self.space.write(table.record + layout.TABLE_LENGTH, type.limits.min)
        return table

    # Calls

    def enter(self, reference: int, args: list[int]) -> list[int]:
        """Call a FuncRef from outside.

        Raises:
            Trapped: it trapped.
        """
        self._evaluator.steps = self._steps
        return self._call_code(self.space.read(reference), args)

    def _call_code(self, code: int, args: list[int]) -> list[int]:
        cell, index = self._code[(code - _CODE) // 16]
        return self._run(cell, index, args) if cell is not None else []

    def _run(self, cell: Cell, index: int, args: list[int]) -> list[int]:
        if self._depth == _MAX_DEPTH:
            raise Trapped(errors.TRAP_STACK_EXHAUSTED, 0)
        self._depth += 1
        try:
            return self._evaluator.run(cell.built.func(index), [cell.block, *args])
        finally:
            self._depth -= 1

    def call(self, op: int, call: Call, args: list[int], pos: int) -> list[int]:
        """Make a call for the evaluator."""
        if op == ops.CALL:
            return self._run(self._cells[args[0]], call.target, args[1:])
        if op == ops.CALL_PTR:
            return self._call_code(args[0], args[2:])
        if op == ops.CALL_BUILTIN:
            return self._cells[args[0]].serve(call.target, args[1:])
        raise Undefined(f"{ops.NAMES[op]} at {pos:#x}")
