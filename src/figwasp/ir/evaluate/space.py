"""The address space of instances that are linked with each other, under the evaluator. Floor 2.

In: instances (`evaluate.instance`), what they share, calls of functions. Out: an `AddressSpace`, the environment in which the
evaluator runs the code of all of them. Everything is laid out in an imagined native memory as `layout.py` says, so that the SSA
form of a function means there what its machine code means in the real one. Values cross as raw bits.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final, Protocol

from figwasp import errors, layout
from figwasp.ir import ops
from figwasp.ir.build import checks
from figwasp.ir.evaluate.externs import FuncRef, Memory, Table
from figwasp.ir.evaluate.func import Environment, Evaluator, NativeMemory, Trapped, Undefined
from figwasp.ir.func import Call, Func
from figwasp.ir.type_descriptors import DescribedTypes
from figwasp.layout import ANY_TAG
from figwasp.wasm.syntax.types import FuncType, MemoryType, TableType

__all__ = ["AddressSpace", "Callee", "Host"]

Host = Callable[..., list[int]]
"""A function of the host: parameters -> results."""

_DESCRIPTORS: Final = 0x100_0000
_BLOCKS: Final = 0x1000_0000
_CODE: Final = 0x10_0000_0000
_TABLES: Final = 1 << 40
_MEMORIES: Final = 1 << 44
_CODE_STEP: Final = 16
_TABLE_STEP: Final = 1 << 27
_MEMORY_STEP: Final = 1 << 36
_GUARD_SIZE: Final = (8 << 30) + layout.PAGE_SIZE


class Callee(Protocol):
    """The part of an instance that calls need: the address of its block, the SSA form of its functions, its builtins."""

    @property
    def block(self) -> int: ...

    def func(self, index: int) -> Func: ...

    def serve(self, builtin: int, args: list[int]) -> list[int]: ...


class _EvaluatedRegion:
    """The type descriptors of a space (`type_descriptors.Region`)."""

    __slots__ = ("_data", "_space", "base")

    def __init__(self, space: AddressSpace) -> None:
        self.base = _DESCRIPTORS
        self._data = bytearray()
        self._space = space
        space.native.map(self.base, self._data)

    def write(self, offset: int, data: bytes) -> None:
        self._data.extend(bytes(max(offset + len(data) - len(self._data), 0)))
        self._data[offset : offset + len(data)] = data

    def keep(self, data: bytes) -> int:
        address = self._space.allocate(len(data))
        for at in range(0, len(data), 8):
            self._space.native.write(address + at, int.from_bytes(data[at : at + 8], "little"))
        return address

    def release(self, address: int) -> None:
        pass  # nothing ever goes


class AddressSpace(Environment):
    """The environment of any number of instances.

    Args:
        mode: how the code makes accesses to memories safe: GUARD or CHECKED.
        passes: the passes that are run on each function after it has been built.
        steps: values that may be evaluated.
        depth: calls that may be under way at once; each takes some six frames of Python's stack.

    Attributes:
        mode, passes: as given.
        types: the canonical numbers of the types of all instances.
        evaluator: runs the code; its `steps` can be filled up.
    """

    def __init__(
        self,
        mode: int = layout.GUARD,
        passes: Callable[[Func], None] | None = None,
        steps: int = 10_000_000,
        depth: int = 120,
    ) -> None:
        super().__init__(NativeMemory())
        self.mode = mode
        self.passes = passes
        self.types = DescribedTypes(_EvaluatedRegion(self))
        self.evaluator = Evaluator(self, steps)
        self._depth_left = depth
        self._next_block = _BLOCKS
        self._code_addresses = count(_CODE, _CODE_STEP)
        self._table_bases = count(_TABLES, _TABLE_STEP)
        self._memory_bases = count(_MEMORIES, _MEMORY_STEP)
        self._instances: dict[int, Callee] = {}
        self._code: dict[tuple[int, int], tuple[Callee, int] | Host] = {}
        self.context = self.allocate(layout.CTX_SIZE)

    # What instances consist of

    def allocate(self, size: int) -> int:
        """Map some zeros and return their address."""
        address = self._next_block
        self.native.map(address, bytearray(size))
        self._next_block += (size + 31) & ~15  # with a gap, so that no access runs from one into the next
        return address

    def cell(self, size: int) -> int:
        """Map a cell of the heap: 8 zeros, and bytes that must not matter."""
        address = self.allocate(size)
        data, offset = self.native.find(address, size)
        data[offset + 8 : offset + size] = b"\xa5" * (size - 8)
        return address

    def add_instance(self, instance: Callee) -> None:
        """Make an instance known by the address of its block."""
        self._instances[instance.block] = instance

    def add_func(self, func: FuncRef, instance: Callee, index: int) -> FuncRef:
        """Fill the FuncRef of a function that an instance defines."""
        return self._fill(func, instance.block, index, (instance, index))

    def add_host(self, type: FuncType, number: int, numbers: list[int], host: Host) -> FuncRef:
        """Make a FuncRef of a function of the host; the other arguments are the attributes of `FuncRef`."""
        func = FuncRef(self.allocate(layout.FUNCREF_SIZE), type, number, numbers)
        return self._fill(func, self.context, layout.HOST_INDEX, host)

    def _fill(self, func: FuncRef, instance: int, index: int, target: tuple[Callee, int] | Host) -> FuncRef:
        code = next(self._code_addresses)
        self.native.write(func.address + layout.FUNCREF_CODE, code)
        self.native.write(func.address + layout.FUNCREF_INSTANCE, instance)
        self.native.write(func.address + layout.FUNCREF_TYPE, self.types.descriptors([func.number])[0], 4)
        self.native.write(func.address + layout.FUNCREF_INDEX, index, 4)
        self._code[code, instance] = target
        return func

    def described(self, descriptor: int, field: int) -> int:
        """Return a number of 4 bytes from the descriptor of a type."""
        return self.native.read(self.types.region.base + descriptor + field, 4)

    def new_memory(self, type: MemoryType) -> Memory:
        """Make a memory.

        Raises:
            LimitExceeded: the memory is too large.
        """
        memory = Memory(self.native, type, next(self._memory_bases), self.allocate(layout.MEM_RECORD_SIZE))
        margin = checks.margin(type, self.mode)
        if margin == layout.EVERYWHERE:
            self.native.map(memory.base, memory.data, guard=_GUARD_SIZE)
        else:
            self.native.map(memory.base, memory.data, margin=2 * margin)
        return memory

    def new_table(self, type: TableType, elem: int) -> Table:
        """Make a table; `elem` is its canonical element type.

        Raises:
            LimitExceeded: it is too large.
        """
        table = Table(self.native, type, elem, next(self._table_bases), self.allocate(layout.TABLE_RECORD_SIZE))
        self.native.map(table.base, table.data)
        return table

    # Calls

    def enter(self, func: FuncRef, args: list[int]) -> list[int]:
        """Call a function from outside.

        Raises:
            Trapped: the call trapped.
            Thrown: the call threw.
            OutOfSteps: the call took too many steps.
        """
        code = self.native.read(func.address + layout.FUNCREF_CODE)
        return self.call(ops.CALL_PTR, _ANY, [code, self.native.read(func.address + layout.FUNCREF_INSTANCE), *args], 0)

    def callee(self, op: int, call: Call, args: list[int], pos: int) -> tuple[Func, list[int]] | None:
        """Return the function that a call reaches, and its arguments, for the evaluator; None for one of the host."""
        if op == ops.CALL:
            return self._instance(args[0], pos).func(call.target), args
        target = self._target(args, pos)
        if not isinstance(target, tuple):
            return None
        instance, index = target
        return instance.func(index), args[1:]

    def call(self, op: int, call: Call, args: list[int], pos: int) -> list[int]:
        """Make a call for the evaluator."""
        if op == ops.CALL:
            return self._run(self._instance(args[0], pos), call.target, args[1:])
        if op == ops.CALL_PTR:
            target = self._target(args, pos)
            if isinstance(target, tuple):
                instance, index = target  # a starred argument would take of C's stack, for which CPython 3.12 has a limit
                return self._run(instance, index, args[2:])
            return target(*args[2:])
        if op == ops.CALL_BUILTIN:
            try:
                return self._instance(args[0], pos).serve(call.target, args[1:])
            except Trapped as trap:
                raise Trapped(trap.code, pos) from None
        return super().call(op, call, args, pos)

    def _target(self, args: list[int], pos: int) -> tuple[Callee, int] | Host:
        """Return what a code address and an instance, the first arguments, stand for."""
        target = self._code.get((args[0], args[1]))
        if target is None:
            raise Undefined(f"call at {pos:#x} of {args[0]:#x} with {args[1]:#x} for an instance")
        return target

    def catches(self, exception: int, clauses: tuple[int, ...], instance: int) -> bool:
        """Find the clause by the exception's tag."""
        tag = self.native.read(exception + layout.EXCEPTION_TAG)
        for number, clause in enumerate(clauses):
            if clause == ANY_TAG or self.native.read(instance + clause) == tag:
                self.native.write(self.context + layout.CTX_EXCEPTION, exception)
                self.native.write(self.context + layout.CTX_CLAUSE, number)
                return True
        return False

    def _instance(self, address: int, pos: int) -> Callee:
        if address not in self._instances:
            raise Undefined(f"call at {pos:#x} with {address:#x} for an instance")
        return self._instances[address]

    def _run(self, instance: Callee, index: int, args: list[int]) -> list[int]:
        if not self._depth_left:
            raise Trapped(errors.TRAP_STACK_EXHAUSTED, 0)
        self._depth_left -= 1
        try:
            return self.evaluator.run(instance.func(index), [instance.block, *args])
        finally:
            self._depth_left += 1


_ANY: Final = Call(b"", b"")
"""Of calls from outside, whose signatures are not checked."""
