"""Calls with bits: what a function does with a value that Python would convert otherwise, or not at all."""

from __future__ import annotations

from figwasp.ir.types import CELL
from figwasp.runtime.objects.func import Buffer, enter_raw
from figwasp.runtime.objects.values import cells_of, places_of
from figwasp.runtime.platform import linux
from figwasp.runtime.store.store import Store
from figwasp.wasm.syntax.types import F32, I32, FuncType, Types


def call_raw(type_: FuncType, address: int, arguments: list[int], store: Store) -> list[int]:
    """Call a FuncRef with the raw bits of its arguments, in a store that is this thread's; return those of its results."""
    buffer = Buffer(store, max(cells_of(type_.params), cells_of(type_.results)), type_.params + type_.results)
    for place, code, bits in zip(places_of(buffer.address, type_.params), type_.params, arguments, strict=True):
        linux.write(place, bits.to_bytes(CELL * cells_of((code,)), "little"))
    enter_raw(type_, address, buffer.address, store)
    return _bits(buffer.address, type_.results)


def _bits(address: int, types: Types) -> list[int]:
    found = []
    for place, code in zip(places_of(address, types), types, strict=True):
        bits = int.from_bytes(linux.read(place, CELL * cells_of((code,))), "little")
        found.append(bits & 0xFFFF_FFFF if code == I32 or code == F32 else bits)
    return found
