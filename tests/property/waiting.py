"""Generated bodies, fourth part: values that wait.

Memory, a global or the size of a memory is read, then something happens that may change it (a store to the same place, a call, a
growth), and only then what was read is used, once. A compiler that does the reading where the use is gives another answer.
"""

from __future__ import annotations

from typing import Final

from figwasp.wasm.syntax.opcodes import BY_NAME, Opcode
from figwasp.wasm.syntax.types import I32, I64, NUM_TYPES, V128, FuncType, is_ref, type_name
from tests.property.expressions import LOADS, NUMERIC
from tests.property.statements import Statements
from tests.property.vectors import VECTOR_LOADS, VECTOR_USES
from tests.property.world import World

WEIGHT: Final = 16
"""Of this statement among the others, which have about 110 together."""
_COMMON: Final = (0, 8, 8, 16, 24, 1000)
"""Addresses that functions have in common, so that a callee is likely to write what its caller has read."""
_USES: Final[dict[int, list[Opcode]]] = {
    type_: [row for rows in NUMERIC.values() for row in rows if row.params and type_ in row.params] for type_ in NUM_TYPES
} | {V128: VECTOR_USES}
"""Type -> the instructions that have an operand of it."""
_LOADS: Final = LOADS | {V128: [row for row in VECTOR_LOADS if row.params == BY_NAME["v128.load"].params]}
_DIVIDES: Final = ("div_s", "div_u", "rem_s", "rem_u")


class Waiting(Statements):
    """Writes the whole body of a function, values that wait among it."""

    def __init__(self, world: World, type_: FuncType) -> None:
        super().__init__(world, type_)
        self._statements.append(self._wait)
        self._statement_weights.append(WEIGHT)

    def _wait(self) -> None:
        """Read, have something happen, use."""
        type_ = self.random.choice([one for one in self.style.types if not is_ref(one)])
        row = self.random.choice(_USES[type_])
        assert row.params is not None
        if self._may_trap(row) and self.chance(0.9):
            return
        second = len(row.params) == 2 and self.chance(0.5) and row.params[1] == type_
        if second:
            self._leaf(row.params[0])
        self._read_and_change(type_)
        if len(row.params) == 2 and not second:
            self._second(row.params[1], row.name.partition(".")[2], 0)
        self.apply(row)
        self._keep(row.results[0] if row.results else I32)

    def _may_trap(self, row: Opcode) -> bool:
        verb = row.name.partition(".")[2]
        return verb in _DIVIDES or verb.startswith("trunc_f")

    def _keep(self, type_: int) -> None:
        """Take the value on top of the stack, by way of a select now and then."""
        if self.chance(0.15):
            self._leaf(type_)
            self.condition(0)
            self.op("select")
        self.op("local.set", self._place(type_))

    def _read_and_change(self, type_: int) -> None:
        """Leave a value of a type whose bits are determined, read before something happened."""
        kinds = [self._wait_for_global] if self._globals_of(type_) and type_ in (I32, I64, V128) else []
        kinds += [self._wait_for_memory] * 4 if self.world.memory else []
        kinds += [self._wait_for_size] if any(one.address == type_ for one in self.world.memories) else []
        if kinds:
            self.random.choice(kinds)(type_)
        else:
            self.determined(type_, 1)
            self._happen()

    def _wait_for_memory(self, type_: int) -> None:
        memory = self.a_memory()
        address = self.world.memories[memory].address
        place = self.new_local(address)
        load = self.random.choice(_LOADS[type_]) if self.chance(0.4) else BY_NAME[f"{type_name(type_)}.load"]
        offset = self.offset()
        if self.chance(0.5):
            self.const(address, self.random.choice(_COMMON))
            offset = 0
        else:
            self.address(memory)
        self.op("local.tee", place)
        self.op(load.name, (0, offset, memory))
        if self.chance(0.7):
            self._overwrite(place, offset, memory)
        else:
            self._happen()

    def _overwrite(self, place: int, offset: int, memory: int) -> None:
        """Store to the place that has been read."""
        store = self.a_store()
        assert store.params is not None
        self.op("local.get", place)
        self.determined(store.params[1], 0)
        self.op(store.name, (0, offset, memory, *self.lane(store)))

    def _globals_of(self, type_: int) -> list[int]:
        return [k for k, one in enumerate(self.world.globals) if one.type == type_ and one.mutable and k != self.world.fuel]

    def _wait_for_global(self, type_: int) -> None:
        index = self.random.choice(self._globals_of(type_))
        self.op("global.get", index)
        if self.chance(0.6):
            self.value(type_, 0)
            self.op("global.set", index)
        else:
            self._happen()

    def _wait_for_size(self, type_: int) -> None:
        self.op("memory.size", self.one_of([index for index, one in enumerate(self.world.memories) if one.address == type_]))
        self._grow_memory()

    def _happen(self) -> None:
        """Write a statement that may change memory or globals; it leaves nothing on the stack."""
        outer = self.stack
        self.stack = []
        kinds = [self._call_any, self._call_any, self._set_global]
        kinds += [self._store, self._grow_memory, self._bulk_memory] if self.world.memory else []
        self.random.choice(kinds)()
        while self.stack:
            self.op("local.set", self._place(self.stack.pop()))
        self.stack = outer
