"""The externs of instances under the evaluator: functions, memories, tables, globals, tags (spec 4.2.6 to 4.2.11). Floor 2.

In: the type of each, and where it stands in native memory. Out: the objects that imports and exports are. The bytes of memories
and tables are those that code accesses at `base`; their records (`layout.py`) are kept up to date here.
"""

from __future__ import annotations

import threading
from itertools import count
from typing import ClassVar, Final

from figwasp import errors, layout
from figwasp.ir.evaluate.func import NativeMemory, Trapped
from figwasp.ir.types import CELL, CELLS, ir_types
from figwasp.wasm.syntax.types import FuncType, GlobalType, Limits, MemoryType, TableType

__all__ = ["Extern", "FuncRef", "Global", "Memory", "Table", "Tag"]


class _Array:
    """Items of one size in a row: what memories and tables have in common. Their length counts items.

    Attributes:
        data: the items as bytes.
        base: the address where these are mapped.
        record: the address of base and length, as code reads them.
    """

    __slots__ = ("_most", "_native", "base", "data", "record")

    SIZE: ClassVar[int]
    MOST: ClassVar[int]
    TRAP: ClassVar[int]
    RECORD: ClassVar[tuple[int, int]]

    def __init__(self, native: NativeMemory, limits: Limits, shift: int, base: int, record: int) -> None:
        count = limits.min << shift
        if count > self.MOST:
            raise errors.LimitExceeded(f"{count} items of {self.SIZE} bytes")
        self._native = native
        self._most = self.MOST if limits.max is None else min(self.MOST, limits.max << shift)
        self.data = bytearray(count * self.SIZE)
        self.base = base
        self.record = record
        native.write(record + self.RECORD[0], base)
        native.write(record + self.RECORD[1], count)

    def __len__(self) -> int:
        return len(self.data) // self.SIZE

    def grow(self, count: int, item: bytes) -> int:
        """Append copies of an item; return the length before, or -1 where that would be too many."""
        length = len(self)
        if length + count > self._most:
            return -1
        self.data.extend(item * count)
        self._native.write(self.record + self.RECORD[1], length + count)
        return length

    def fill(self, start: int, item: bytes, count: int) -> None:
        """Write copies of an item.

        Raises:
            Trapped: there are not so many.
        """
        span = self._span(self.data, start, count)
        self.data[span] = item * count

    def copy(self, target: int, data: bytes | bytearray, source: int, count: int) -> None:
        """Copy items from some data, which may be the own.

        Raises:
            Trapped: there are not so many, there or here.
        """
        items = data[self._span(data, source, count)]
        self.data[self._span(self.data, target, count)] = items

    def _span(self, data: bytes | bytearray, start: int, count: int) -> slice:
        if (start + count) * self.SIZE > len(data):
            raise Trapped(self.TRAP, 0)
        return slice(start * self.SIZE, (start + count) * self.SIZE)


class Memory(_Array):
    """A memory, and the threads that wait at its places."""

    __slots__ = ("_waiting", "type")

    SIZE = 1
    MOST = 4096 * layout.PAGE_SIZE
    TRAP = errors.TRAP_OUT_OF_BOUNDS_MEMORY
    RECORD = (layout.MEM_BASE, layout.MEM_LENGTH)

    def __init__(self, native: NativeMemory, type: MemoryType, base: int, record: int) -> None:
        super().__init__(native, type.limits, type.page, base, record)
        self.type = type
        self._waiting: dict[int, list[threading.Event]] = {}

    def notify(self, place: int, count: int) -> int:
        """Wake up so many threads at most that wait at a place, those that came first; return how many.

        Raises:
            Trapped: the place is not in the memory.
        """
        self._span(self.data, place, 4)
        with self._native.lock:
            waiting = self._waiting.get(place, [])
            woken = waiting[:count]
            del waiting[:count]
        for event in woken:
            event.set()
        return len(woken)

    def wait(self, place: int, size: int, expected: int, timeout: int) -> int:
        """Wait at a place that has what is expected; return 0 when woken, 1 when it has not, 2 when so many nanoseconds are over.

        Raises:
            Trapped: the place is not in the memory, or the memory is not shared.
        """
        span = self._span(self.data, place, size)
        if not self.type.shared:
            raise Trapped(errors.TRAP_EXPECTED_SHARED, 0)
        event = threading.Event()
        with self._native.lock:
            if int.from_bytes(self.data[span], "little") != expected:
                return 1
            self._waiting.setdefault(place, []).append(event)
        if event.wait(None if timeout >> 63 else min(timeout / 1e9, threading.TIMEOUT_MAX)):
            return 0
        with self._native.lock:
            if event.is_set():  # at the last moment
                return 0
            self._waiting[place].remove(event)
        return 2


class Table(_Array):
    """A table, with its canonical element type."""

    __slots__ = ("elem", "type")

    SIZE = 8
    MOST = 1 << 20
    TRAP = errors.TRAP_OUT_OF_BOUNDS_TABLE
    RECORD = (layout.TABLE_BASE, layout.TABLE_LENGTH)

    def __init__(self, native: NativeMemory, type: TableType, elem: int, base: int, record: int) -> None:
        super().__init__(native, type.limits, 0, base, record)
        self.type = type
        self.elem = elem


class FuncRef:
    """A function: the address of its FuncRef, its type, and the canonical numbers of that and of the indices in it."""

    __slots__ = ("address", "number", "numbers", "type")

    def __init__(self, address: int, type: FuncType, number: int, numbers: list[int]) -> None:
        self.address = address
        self.type = type
        self.number = number
        self.numbers = numbers


class Global:
    """A global: the address of its cells, its type, and its canonical value type."""

    __slots__ = ("_native", "address", "content", "type")

    def __init__(self, native: NativeMemory, address: int, type: GlobalType, content: int) -> None:
        self._native = native
        self.address = address
        self.type = type
        self.content = content

    def get(self) -> int:
        """Return the bits of the value."""
        return self._native.read(self.address, self._size)

    def set(self, bits: int) -> None:
        """Set the bits of the value."""
        self._native.write(self.address, bits, self._size)

    @property
    def _size(self) -> int:
        return CELL * CELLS[ir_types((self.type.type,))[0]]


class Tag:
    """A tag: its type, the canonical number of that, and the number by which exceptions name it."""

    __slots__ = ("identity", "number", "type")

    def __init__(self, type: FuncType, number: int) -> None:
        self.type = type
        self.number = number
        self.identity = next(_identities)

_identities: Final = count(16)

Extern = FuncRef | Memory | Table | Global | Tag
