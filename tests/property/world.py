"""What a generated function may refer to, and the taste of the module it belongs to."""

from __future__ import annotations

from random import Random
from typing import Final

from figwasp.wasm.syntax.types import (
    F32,
    F64,
    I32,
    I64,
    NUM_TYPES,
    V128,
    CompType,
    FuncType,
    GlobalType,
    MemoryType,
    TableType,
    Types,
)

FUEL: Final = 700
"""Loop turns that a call from outside may make; a call costs CALL_COST of them."""
CALL_COST: Final = 12
MEMORY_SIZE: Final = 1 << 16
"""Bytes that the smallest memory has."""


class Style:
    """What kind of code a module has.

    Attributes:
        types: value types, as often as they should occur.
        locals: most locals of a function beside its parameters.
        params, results: the most that a function has.
        depth: of expressions.
        size: instructions of a function, about.
        keep: whether functions start by filling their locals and end by mixing all of them into a result.
        calls: how often a statement is a call, of 100.
        switches: how often it is a br_table, of 100.
        labels: the most labels of a br_table.
    """

    __slots__ = ("calls", "depth", "keep", "labels", "locals", "params", "results", "size", "switches", "types")

    def __init__(
        self, types: Types = NUM_TYPES, locals: int = 8, params: int = 5, results: int = 3, depth: int = 4, size: int = 90,
        keep: bool = False, calls: int = 10, switches: int = 4, labels: int = 12,
    ) -> None:  # fmt: skip
        self.types = types
        self.locals = locals
        self.params = params
        self.results = results
        self.depth = depth
        self.size = size
        self.keep = keep
        self.calls = calls
        self.switches = switches
        self.labels = labels


STYLES: Final[dict[str, Style]] = {
    "mixed": Style(),
    "small": Style(locals=3, params=2, results=1, depth=3, size=25),
    "integers": Style(types=(I32, I32, I64), depth=5),
    "floats": Style(types=(F32, F64, F64, I32), locals=12, params=12),
    "pressure": Style(locals=36, depth=3, size=160, keep=True, calls=14),
    "float pressure": Style(types=(F64, F32, F64, I32), locals=40, params=10, size=140, keep=True, calls=12),
    "deep": Style(locals=6, depth=11, size=220),
    "arity": Style(params=26, results=22, size=60, calls=30, keep=True),
    "switches": Style(switches=25, labels=400, size=120),
    "big": Style(locals=24, size=1500, depth=5),
}
"""Name -> style."""
VECTOR_STYLES: Final[dict[str, Style]] = {
    "vectors": Style(types=(V128, V128, I32, V128, F32, I64, F64)),
    "only vectors": Style(types=(V128, V128, V128, I32), params=4, depth=3, size=60),
    "vector pressure": Style(types=(V128, V128, F64, I32, V128), locals=32, params=12, depth=3, size=150, keep=True, calls=14),
    "vector arity": Style(types=(V128, F32, I64, V128, I32), params=20, results=12, size=60, calls=30, keep=True),
}
"""The same for modules with vectors."""
LATEST_STYLES: Final[dict[str, Style]] = {
    "latest": Style(types=(I32, I64, I64, V128, F64, I32, F32)),
    "latest small": Style(types=(I32, I64), locals=4, params=2, results=1, depth=3, size=40),
    "latest integers": Style(types=(I64, I64, I32), depth=5),
    "latest pressure": Style(types=(I64, I32, V128, F64), locals=34, depth=3, size=160, keep=True, calls=14),
}
"""The same for modules with 64-bit addresses and the proposals that are off by default."""


class World:
    """What function bodies of a module may use.

    Attributes:
        random: source of chance.
        style: taste.
        types: the type section, all of it function types unless objects come first.
        funcs: type index of every function, imports first.
        globals: type of every global.
        fuel: index of the global that counts down.
        fuel_traps: whether running out of fuel traps; if not, functions return.
        tables: type of every table.
        slots: table -> slot -> index of the function that an active segment puts there.
        memory: whether there is one.
        memories: type of every memory.
        num_datas: data segments.
        elems: element type of every element segment.
    """

    def __init__(self, random: Random, style: Style) -> None:
        self.random = random
        self.style = style
        self.types: list[CompType] = []
        self.funcs: list[int] = []
        self.globals: list[GlobalType] = []
        self.fuel = 0
        self.fuel_traps = random.random() < 0.3
        self.tables: list[TableType] = []
        self.slots: list[dict[int, int]] = []
        self.memory = random.random() < 0.9
        self.memories: list[MemoryType] = []
        self.num_datas = 0
        self.elems: list[int] = []

    def func_type(self, func: int) -> FuncType:
        """Return the type of a function."""
        type_ = self.types[self.funcs[func]]
        assert isinstance(type_, FuncType)
        return type_

    def value_type(self) -> int:
        """Return a type to the module's taste."""
        return self.random.choice(self.style.types)
