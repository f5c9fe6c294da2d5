"""Whole generated modules with all that figwasp executes: memories of all kinds, both types of indices, bodies of `latest`."""

from __future__ import annotations

from random import Random
from typing import Final

from figwasp.wasm.syntax.module import ACTIVE, FUNC, MEMORY, Data, Export, Import
from figwasp.wasm.syntax.types import I32, I64, FuncType, Limits, MemoryType
from tests.property.differential import answer
from tests.property.latest import Latest
from tests.property.modules import Maker
from tests.property.world import LATEST_STYLES, MEMORY_SIZE

_BYTES: Final = (MEMORY_SIZE, MEMORY_SIZE - 5, MEMORY_SIZE + 1, 66_000, 69_632, 70_001)
"""Sizes of memories that have pages of one byte."""


def latest_style_of(seed: int) -> str:
    """Return the name of the style that a seed gives to a module of the latest kind."""
    return list(LATEST_STYLES)[seed % len(LATEST_STYLES)]


def generate_latest(seed: int) -> bytes:
    """Return the module of the latest kind of a seed."""
    return _LatestMaker(Random(seed), LATEST_STYLES[latest_style_of(seed)]).make()


def run_case(seed: int) -> str:
    """Generate a module and compare, as `differential.run_case`."""
    return answer(generate_latest(seed), seed)


class _LatestMaker(Maker):
    """Makes one module."""

    def _body(self, type_: FuncType) -> bytes:
        return Latest(self.world, type_).function()

    def _relaxed(self, bodies: list[bytes]) -> None:
        """Add exports, those for the edges of memories among them, which trap by themselves so that other functions go on."""
        self.world.funcs = self.module.func_types[:-1]  # neither the last, `refuel`, nor these are called from inside
        for number in range(4 if self.world.memory else 0):
            type_ = FuncType((I32, I64), (self.random.choice((I32, I64)),))
            self.module.exports.append(Export(f"edge{number}", FUNC, len(self.module.func_types)))
            self.module.func_types.append(self._type_index(type_))
            bodies.append(Latest(self.world, type_).edge_function())
        super()._relaxed(bodies)

    def _memory_types(self) -> None:
        """Import or define memories; wasmtime's bindings do not do imports of shared ones."""
        for _ in range(self.random.choice((1, 1, 2, 2, 3))):
            type_ = self._memory_type()
            alone = len(self.module.memories) == self.module.num_imported_memories
            if self.random.random() < 0.15 and alone and not type_.shared:
                self.module.add_import(Import("host", f"m{len(self.module.memories)}", MEMORY, type_))
            else:
                self.module.memories.append(type_)

    def _memory(self) -> None:
        """Make memories, with bytes other than 0 where accesses are likely: at the start and at the end."""
        super()._memory()
        for index, type_ in enumerate(self.module.memories):
            size = type_.limits.min << type_.page
            for place, count in ((0, 600), (size - 200, 200)):
                self.segments.append(Data(ACTIVE, index, self._const(type_.address, place)))
                self.datas.append(self.random.randbytes(count))
        self.world.num_datas = len(self.datas)
        self.module.data_count = len(self.datas) or None

    def _memory_type(self) -> MemoryType:
        random = self.random
        address = random.choice((I32, I64, I64))
        shared = random.random() < 0.3
        if random.random() < 0.25:
            size = random.choice(_BYTES)
            return MemoryType(Limits(size, size + random.choice((0, 1, 100, 70_000))), address, shared, 0)
        return MemoryType(Limits(1, random.randint(1, 4)), address, shared)

    def _active_memory(self) -> int:
        return self.random.randrange(len(self.module.memories))

    def _table_address(self) -> int:
        return self.random.choice((I32, I64))
