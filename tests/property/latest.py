"""Generated bodies, fifth part: addresses of 64 bits, several memories, atomic accesses, wide arithmetic, short copies and fills.

What is true of 32-bit addresses stays true: most accesses are in bounds, since a trap ends a call. But now and then an address or a
static offset is one that must not be cut off to 32 bits or wrap around, and an atomic access is not aligned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.wasm.syntax.immediates import MEMARG, ZERO
from figwasp.wasm.syntax.opcodes import Opcode
from figwasp.wasm.syntax.types import I32, I64, FuncType, Types, type_name
from tests.property.expressions import LATER
from tests.property.statements import shorter
from tests.property.waiting import Waiting
from tests.property.world import CALL_COST, World

ATOMIC: Final = [row for row in LATER if row.immediates == MEMARG]
_VALUES: Final = {type_: [row for row in ATOMIC if row.results == (type_,)] for type_ in (I32, I64)}
"""Type -> the atomic accesses that leave a value of it."""
FENCES: Final = [row for row in LATER if row.immediates == ZERO]
WIDE: Final = [row for row in LATER if row.results == (I64, I64)]
_FAR: Final = (1 << 32, (1 << 32) + 8, 1 << 47, 1 << 63, (1 << 64) - 0x7FF8, (1 << 64) - 8, (1 << 64) - 1, 0xFFFF_FFFF, 0x8000_0000, 0xFFF9)
"""Static offsets that lead out of the memory, nearly always."""
_LENGTHS: Final = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 40, 47, 48, 49, 63, 64, 64, 65)
"""Of short copies and fills; up to 64 the compiler makes loads and stores of them."""
_TIMEOUTS: Final = (0, 0, 1, 1000)


class Latest(Waiting):
    """Writes the whole body of a function, with all that figwasp executes.

    Attributes:
        odd: how likely it is, beside the usual, that an access is not in bounds or not aligned.
    """

    def __init__(self, world: World, type_: FuncType) -> None:
        super().__init__(world, type_)
        self.odd = 0.0
        self._makers += [self._atomic_value, self._wide_value]
        self._weights += [7 if world.memory else 0, 6]
        rows: list[tuple[int, Callable[[], None]]] = [(5, self._wide)]
        if world.memory:
            rows += [(10, self._atomic), (8, self._short_copy), (5, self._short_fill), (4, self._bulk_memory)]
        self._statements += [method for _, method in rows]
        self._statement_weights += [weight for weight, _ in rows]

    def edge_function(self) -> bytes:
        """Write a function that is likely to trap where memory ends, after it has written something or not; return its code entry."""
        self.odd = 0.4
        self._take_fuel(CALL_COST)
        kinds = [self._short_copy, self._short_copy, self._short_fill, self._short_fill, self._atomic, self._store, self._bulk_memory]
        for _ in range(self.random.randint(1, 2)):
            self.random.choice(kinds)()
            while self.stack:
                self.op("local.set", self._place(self.stack.pop()))
        for type_ in self.type.results:
            self._load(type_, 1)
        return self.entry()

    # Addresses and indices

    def widen(self, address: int) -> None:
        """Make an address or an index of the i32 on the stack, with high bits that it did not have now and then."""
        super().widen(address)
        if address == I64 and self.chance(0.004 + self.odd / 8):
            self.const(I64, 1 << self.random.randrange(32, 63))
            self.op("i64.or")

    def address(self, memory: int) -> None:
        """Leave an address in a memory; with an `offset` it is nearly always in bounds."""
        kind = self.random.random()
        if self.chance(self.odd / 2):
            self._end(memory, self.random.randint(1, 24))
        elif self.world.memories[memory].address == I32 or kind > 0.45:
            super().address(memory)
        elif kind < 0.006:
            self.value(I64)
        elif kind < 0.009:
            self.const(I64, -self.random.choice((1, 8, 16, 0x8000, 1 << 32, 1 << 63)))
        else:
            self.value(I64, 2)
            self.const(I64, self.random.choice((0xFF, 0x7F8, 0x7FF8, 0x7FFF)))
            self.op("i64.and")

    def memarg(self, row: Opcode, memory: int) -> tuple[int, ...]:
        """Return the immediate of an access to a memory."""
        usual = super().memarg(row, memory)
        if self.world.memories[memory].address == I32 or self.chance(0.995 - self.odd / 2):
            return usual
        return (usual[0], self.random.choice(_FAR), *usual[2:])

    def _end(self, memory: int, back: int) -> None:
        """Leave the address so many bytes before the end of a memory, or before where it ended at first."""
        type_ = self.world.memories[memory]
        if self.chance(0.3):
            self.const(type_.address, (type_.limits.min << type_.page) - back)
            return
        name = type_name(type_.address)
        self.op("memory.size", memory)
        self.const(type_.address, type_.page)
        self.op(f"{name}.shl")
        self.const(type_.address, back)
        self.op(f"{name}.sub")

    # Copies and fills of few bytes

    def _span(self, memory: int, length: int) -> None:
        """Leave the address of so many bytes, at the end of the memory often."""
        if self.chance(0.35 + self.odd):
            across = self.chance(0.06 + self.odd)
            self._end(memory, self.random.randrange(length) if across else length + self.random.choice((0, 0, 0, 1, 5, 16, 64)))
        else:
            self.address(memory)

    def _short_copy(self) -> None:
        memory, source, length = self.a_memory(), self.a_memory(), self.random.choice(_LENGTHS)
        if memory == source and self.chance(0.5):
            self._overlapping(memory, length)
        else:
            self._span(memory, length)
            self._span(source, length)
        self.const(shorter(self.world.memories[memory].address, self.world.memories[source].address), length)
        self.op("memory.copy", (memory, source))

    def _overlapping(self, memory: int, length: int) -> None:
        """Leave two addresses that are no further apart than the length."""
        address = self.world.memories[memory].address
        name = type_name(address)
        place = self.new_local(address)
        apart = self.random.choice((0, 1, 4, 8, 16, length, self.random.randint(0, length)))
        self._span(memory, length + apart)
        self.op("local.set", place)
        later = self.random.randrange(2)
        for number in range(2):
            self.op("local.get", place)
            if number == later:
                self.const(address, apart)
                self.op(f"{name}.add")

    def _short_fill(self) -> None:
        memory, length = self.a_memory(), self.random.choice(_LENGTHS)
        self._span(memory, length)
        self._second(I32, "fill", 1)
        self.const(self.world.memories[memory].address, length)
        self.op("memory.fill", memory)

    def _copy_table(self, table: int, others: list[int]) -> None:
        """Copy between tables, the indices of which may be of two types."""
        source = self.random.choice(others)
        target, other = self.world.tables[table], self.world.tables[source]
        self.small(max(target.limits.min - 1, 0), target.address)
        self.small(1, other.address)
        self.small(1, shorter(target.address, other.address))
        self.op("table.copy", (table, source))

    # Atomic accesses

    def _atomic_value(self, type_: int, depth: int) -> bool:
        rows = _VALUES.get(type_)
        if rows:
            self._access(self.random.choice(rows), depth)
        return bool(rows)

    def _atomic(self) -> None:
        if self.chance(0.05):
            self.op(self.random.choice(FENCES).name)
            return
        row = self.random.choice(ATOMIC)
        self._access(row, self.random.randint(0, 2))
        self._take_results(row.results or ())

    def _access(self, row: Opcode, depth: int) -> None:
        """Write an atomic access and its operands; a wait is over soon, or traps where the memory is not shared, rarely."""
        assert row.params is not None
        memory = self.a_memory()
        waits = ".wait" in row.name
        if waits and not self.world.memories[memory].shared and self.chance(0.9):
            self.const(I32, 0)
            return
        address = self.world.memories[memory].address
        offset = self.random.choice((0, 0, 8, 16, 64, 1024, 0x7FF0)) if self.chance(0.995 - self.odd / 2) else self.random.choice((1, 2, 4, 12, 0xFFF8))
        place = self.new_local(address)
        self._aligned(row.align, memory)
        self.op("local.tee", place)
        if len(row.params) == 3:
            self._expected(row, place, (row.align, offset, memory))
        if waits:
            self.const(I64, self.random.choice(_TIMEOUTS))
        else:
            self.values(row.params[-1:] if len(row.params) > 1 else (), depth)
        self.op(row.name, (row.align, offset, memory))

    def _aligned(self, align: int, memory: int) -> None:
        """Leave an address that is a multiple of a power of two, nearly always."""
        self.address(memory)
        if self.chance(0.985 - self.odd / 2):
            address = self.world.memories[memory].address
            self.const(address, -(1 << align))
            self.op(f"{type_name(address)}.and")

    def _expected(self, row: Opcode, place: int, memarg: tuple[int, int, int]) -> None:
        """Leave what an access may find at its address: what is there, or something else."""
        assert row.params is not None
        type_ = row.params[1]
        if self.chance(0.5):
            self.value(type_, 1)
            return
        size = 8 << row.align
        whole = size == int(type_name(type_)[1:])
        self.op("local.get", place)
        self.op(f"{type_name(type_)}.atomic.load" + ("" if whole else f"{size}_u"), memarg)

    # Wide arithmetic

    def _wide_value(self, type_: int, depth: int) -> bool:
        """Leave a half of a wide result, or both of them combined."""
        if type_ != I64:
            return False
        self._wide_halves(depth)
        kind = self.random.randrange(3)
        if kind == 0:
            self.op("drop")
        elif kind == 1:
            self.op(self.random.choice(("i64.xor", "i64.sub", "i64.and")))
        else:
            place = self.temporary(I64, "w")
            self.op("local.set", place)
            self.op("drop")
            self.op("local.get", place)
        return True

    def _wide(self) -> None:
        self._wide_halves(self.random.randint(0, 2))
        self._take_results((I64, I64))

    def _wide_halves(self, depth: int) -> None:
        row = self.random.choice(WIDE)
        params: Types = row.params or ()
        for type_ in params:
            self._second(type_, "wide", depth)
        self.op(row.name)
