"""Whole generated modules: a seed goes in, a valid binary comes out, and the calls to make of its exports."""

from __future__ import annotations

from random import Random
from typing import Final

from figwasp.wasm.binary.encode import encode
from figwasp.wasm.syntax.module import (
    ACTIVE,
    DECLARATIVE,
    FUNC,
    GLOBAL,
    MEMORY,
    PASSIVE,
    TABLE,
    ConstExpr,
    Data,
    Elem,
    Export,
    Import,
    Module,
)
from figwasp.wasm.syntax.opcodes import BY_NAME
from figwasp.wasm.syntax.types import (
    EXTERNREF,
    FUNCREF,
    I32,
    V128,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    SubType,
    TableType,
    is_ref,
    type_name,
)
from tests.property.constants import constant
from tests.property.statements import Statements
from tests.property.vectors import RELAXED
from tests.property.waiting import Waiting
from tests.property.world import FUEL, STYLES, VECTOR_STYLES, Style, World

_STYLE_NAMES: Final = ["mixed"] * 6 + ["small"] * 4 + ["integers"] * 3 + ["floats"] * 3 + ["pressure"] * 3 + ["float pressure"] * 2 + [
    "deep", "deep", "arity", "arity", "arity", "switches", "switches",
]  # fmt: skip
BIG_EVERY: Final = 40
"""One seed of so many gives a big function."""
CODES: Final = {name: BY_NAME[name].code for name in ("ref.null", "ref.func", "global.get", "i32.const", "i64.const", "f32.const", "f64.const", "v128.const")}

Call = tuple[str, list[int]]
"""Name of an export and arguments as bits."""


def style_of(seed: int) -> str:
    """Return the name of the style that a seed gives."""
    return "big" if seed % BIG_EVERY == BIG_EVERY - 1 else _STYLE_NAMES[seed % len(_STYLE_NAMES)]


def vector_style_of(seed: int) -> str:
    """Return the name of the style that a seed gives to a module with vectors."""
    return list(VECTOR_STYLES)[seed % len(VECTOR_STYLES)]


def generate(seed: int) -> bytes:
    """Return the module of a seed."""
    return Maker(Random(seed), STYLES[style_of(seed)]).make()


def generate_vectors(seed: int) -> bytes:
    """Return the module with vectors of a seed."""
    return Maker(Random(seed), VECTOR_STYLES[vector_style_of(seed)]).make()


def calls(binary: Module, seed: int) -> list[Call]:
    """Return calls of a module's exported functions, decided by the seed and the exports alone.

    Args:
        binary: the decoded module.
        seed: any number.
    """
    made: list[Call] = []
    for export in binary.exports:
        if export.kind == FUNC:
            random = Random(f"{seed} {export.name}")
            params = binary.func_type(export.index).params
            for _ in range(random.randint(1, 3) if params else 1):
                made.append((export.name, [argument(random, type_) for type_ in params]))
    return made


def argument(random: Random, type_: int) -> int:
    """Return the bits of an argument: no NaN that a Python float could not carry, no reference but null."""
    if is_ref(type_):
        return 0
    return constant(random, type_, nans=False) & (1 << int(type_name(type_)[1:])) - 1


class Maker:
    """Makes one module."""

    def __init__(self, random: Random, style: Style) -> None:
        self.random = random
        self.world = World(random, style)
        self.module = Module()
        self.segments: list[Data] = []
        self.module.datas = self.segments
        self.datas: list[bytes] = []

    def make(self) -> bytes:
        """Return the binary."""
        random = self.random
        big = self.world.style is STYLES["big"]
        self._imports()
        defined = 1 if big else random.randint(2, 6)
        for _ in range(defined):
            self._add_func(self._func_type())
        self._tables()
        self._memory()
        self._globals()
        first = self.module.num_imported_funcs
        bodies = [self._body(self.world.func_type(first + k)) for k in range(defined)]
        self._exports(first, defined)
        self._refuel(bodies)
        self._relaxed(bodies)
        if random.random() < 0.1:
            starts = [k for k in range(first, first + defined) if not self.world.func_type(k).params + self.world.func_type(k).results]
            self.module.start = random.choice(starts) if starts else None
        self.module.types, self.module.groups = self._types()
        return encode(self.module, bodies, self.datas)

    def _types(self) -> tuple[list[SubType], list[int]]:
        """Return the type section, and where its recursion groups begin."""
        return [SubType(type_) for type_ in self.world.types], list(range(len(self.world.types)))

    def _body(self, type_: FuncType) -> bytes:
        """Return the code entry of a function."""
        return Waiting(self.world, type_).function()

    def _type_index(self, type_: FuncType) -> int:
        if type_ not in self.world.types:
            self.world.types.append(type_)
        return self.world.types.index(type_)

    def _func_type(self) -> FuncType:
        """Return the type of a function, sometimes that of an earlier one."""
        random = self.random
        world = self.world
        if world.funcs and random.random() < 0.35:
            return world.func_type(random.choice(world.funcs and range(len(world.funcs))))
        style = world.style
        params = tuple(self._type() for _ in range(random.randint(0, style.params)))
        results = tuple(self._type() for _ in range(random.choice((0, 1, 1, 1, random.randint(0, style.results)))))
        return FuncType(params, results)

    def _type(self) -> int:
        return self.world.value_type() if self.random.random() < 0.98 else self.random.choice((FUNCREF, EXTERNREF))

    def _add_func(self, type_: FuncType) -> None:
        self.module.func_types.append(self._type_index(type_))
        self.world.funcs = self.module.func_types

    def _imports(self) -> None:
        """Import functions of the host, which take and give numbers: wasmtime's bindings do not do vectors."""
        random = self.random
        types = [type_ for type_ in self.world.style.types if type_ != V128]
        self.world.funcs = self.module.func_types
        for index in range(random.choice((0, 0, 1, 1, 2, 3))):
            params = tuple(random.choice(types) for _ in range(random.choice((0, 1, 2, 3, 10))))
            results = tuple(random.choice(types) for _ in range(random.choice((0, 1, 1, 1, 4))))
            self.module.add_import(Import("host", f"f{index}", FUNC, self._type_index(FuncType(params, results))))

    def _const(self, type_: int, value: int) -> ConstExpr:
        if is_ref(type_):
            return ConstExpr([(CODES["ref.null"], type_)])
        return ConstExpr([(CODES[f"{type_name(type_)}.const"], value)])

    def _globals(self) -> None:
        random = self.random
        module = self.module
        if random.random() < 0.3:
            for _ in range(random.randint(1, 3)):
                type_ = GlobalType(random.choice([one for one in self.world.style.types if one != V128]), random.random() < 0.6)
                module.add_import(Import("host", f"g{len(module.globals)}", GLOBAL, type_))
        self.world.fuel = len(module.globals)
        module.globals.append(GlobalType(I32, True))
        module.global_inits.append(self._const(I32, FUEL))
        for _ in range(random.randint(0, 6)):
            type_ = GlobalType(self._type(), random.random() < 0.8)
            module.globals.append(type_)
            module.global_inits.append(self._const(type_.type, 0 if is_ref(type_.type) else constant(random, type_.type)))
        self.world.globals = module.globals

    def _memory(self) -> None:
        if not self.world.memory:
            return
        random = self.random
        self._memory_types()
        self.world.memories = self.module.memories
        for _ in range(random.randint(0, 3)):
            active = random.random() < 0.5
            memory = self._active_memory()
            address = self.module.memories[memory].address
            offset = self._const(address, random.choice((0, 8, 1000, 0x7FF0, 65_500))) if active else None
            self.segments.append(Data(ACTIVE if active else PASSIVE, memory, offset))
            self.datas.append(random.randbytes(random.choice((0, 5, 16, 30))))
        self.world.num_datas = len(self.datas)
        self.module.data_count = len(self.datas) or None

    def _memory_types(self) -> None:
        """Import or define memories."""
        type_ = MemoryType(Limits(1, self.random.randint(1, 4)))
        if self.random.random() < 0.15:
            self.module.add_import(Import("host", "m", MEMORY, type_))
        else:
            self.module.memories.append(type_)

    def _active_memory(self) -> int:
        """Return the memory of a data segment."""
        return 0

    def _tables(self) -> None:
        random = self.random
        module = self.module
        for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
            elem = FUNCREF if not module.tables or random.random() < 0.7 else EXTERNREF
            size = random.randint(2, 10)
            type_ = TableType(elem, Limits(size, size + random.randint(0, 4)), self._table_address())
            if random.random() < 0.1 and len(module.tables) == module.num_imported_tables and type_.address == I32:
                module.add_import(Import("host", f"t{len(module.tables)}", TABLE, type_))
            else:
                module.tables.append(type_)
                module.table_inits.append(None)
            self.world.slots.append({})
            if elem == FUNCREF:
                self._active(len(module.tables) - 1, size)
        self.world.tables = module.tables
        self._segments()

    def _table_address(self) -> int:
        """Return the type of the indices of a table."""
        return I32

    def _active(self, table: int, size: int) -> None:
        """Fill a table, perhaps leaving holes."""
        start = self.random.randint(0, 2)
        funcs = [self.random.randrange(len(self.world.funcs)) for _ in range(self.random.randint(1, size))][: size - start]
        self.world.slots[table] = {start + k: func for k, func in enumerate(funcs)}
        inits = [ConstExpr([(CODES["ref.func"], func)]) for func in funcs]
        self.module.elems.append(Elem(FUNCREF, ACTIVE, table, self._const(self.module.tables[table].address, start), inits))

    def _segments(self) -> None:
        """Add passive segments, and one that declares every function for `ref.func`."""
        refs = [ConstExpr([(CODES["ref.func"], func)]) for func in range(len(self.world.funcs))]
        for _ in range(self.random.randint(0, 2)):
            some = self.random.choices([*refs, self._const(FUNCREF, 0)], k=self.random.randint(1, 4))
            self.module.elems.append(Elem(FUNCREF, PASSIVE, 0, None, some))
        self.module.elems.append(Elem(FUNCREF, DECLARATIVE, 0, None, refs))
        self.world.elems = [elem.type for elem in self.module.elems]

    def _exports(self, first: int, defined: int) -> None:
        module = self.module
        exports = [Export(f"f{first + k}", FUNC, first + k) for k in range(defined)]
        exports += [Export(f"g{index}", GLOBAL, index) for index in range(len(module.globals))]
        exports += [Export(f"t{index}", TABLE, index) for index in range(len(module.tables))]
        exports += [Export(f"m{index or ''}", MEMORY, index) for index in range(len(module.memories))]
        module.exports = exports

    def _refuel(self, bodies: list[bytes]) -> None:
        """Add the export that fills up the fuel."""
        self.module.exports.append(Export("refuel", FUNC, len(self.module.func_types)))
        self.module.func_types.append(self._type_index(FuncType((), ())))
        fuel = Statements(self.world, FuncType((), ()))
        fuel.const(I32, FUEL)
        fuel.op("global.set", self.world.fuel)
        bodies.append(b"\0" + bytes(fuel.out) + b"\x0b")

    def _relaxed(self, bodies: list[bytes]) -> None:
        """Add exports for some relaxed instructions, under their names; they return the operands, too."""
        if V128 not in self.world.style.types:
            return
        for name in self.random.sample(sorted(RELAXED), 3):
            row = RELAXED[name]
            assert row.params is not None
            type_ = FuncType(row.params, row.params + (V128,))
            self.module.exports.append(Export(name, FUNC, len(self.module.func_types)))
            self.module.func_types.append(self._type_index(type_))
            bodies.append(Statements(self.world, type_).relaxed_function(row))
