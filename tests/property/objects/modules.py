"""Whole generated modules with structures and arrays; cases for `tests.hostile.workers`.

What is exported takes and gives numbers only, so that it can be called everywhere.
"""

from __future__ import annotations

from random import Random
from typing import Final

from figwasp.wasm.syntax.module import FUNC, GLOBAL, Export
from figwasp.wasm.syntax.types import FUNCREF, V128, FuncType, GlobalType, SubType, is_ref
from tests.property.differential import answer
from tests.property.modules import Maker
from tests.property.objects.bodies import Objects, ObjectWorld
from tests.property.objects.types import ObjectTypes
from tests.property.world import STYLES, VECTOR_STYLES, Style

OBJECT_STYLES: Final[dict[str, Style]] = {
    name: (STYLES | VECTOR_STYLES)[name] for name in ("mixed", "small", "integers", "pressure", "vectors", "arity", "small", "deep")
}


def object_style_of(seed: int) -> str:
    """Return the name of the style that a seed gives to a module with objects."""
    return list(OBJECT_STYLES)[seed % len(OBJECT_STYLES)]


def generate_objects(seed: int) -> bytes:
    """Return the module with objects of a seed."""
    return ObjectMaker(Random(seed), OBJECT_STYLES[object_style_of(seed)]).make()


def run_case(seed: int) -> str:
    """Generate a module and compare, as `differential.run_case`."""
    return answer(generate_objects(seed), seed)


class ObjectMaker(Maker):
    """Makes one module."""

    world: ObjectWorld

    def __init__(self, random: Random, style: Style) -> None:
        super().__init__(random, style)
        self.world = self._new_world(random, style)
        self.world.objects = ObjectTypes(random, V128 in style.types)
        self.world.types = [sub.comp for sub in self.world.objects.subs]

    def _new_world(self, random: Random, style: Style) -> ObjectWorld:
        """Return what bodies will use, nothing yet."""
        return ObjectWorld(random, style)

    def _types(self) -> tuple[list[SubType], list[int]]:
        own = self.world.objects.subs
        types = own + [SubType(comp) for comp in self.world.types[len(own) :]]
        return types, [0, *range(len(own), len(types))]

    def _body(self, type_: FuncType) -> bytes:
        return Objects(self.world, type_).function()

    def _type(self) -> int:
        return self.world.value_type() if self.random.random() < 0.98 else FUNCREF

    def _globals(self) -> None:
        super()._globals()
        for _ in range(self.random.randint(0, 3)):
            type_ = GlobalType(self.world.objects.reference(), True)
            self.module.globals.append(type_)
            self.module.global_inits.append(self._const(type_.type, 0))

    def _exports(self, first: int, defined: int) -> None:
        super()._exports(first, defined)
        self.module.exports = [export for export in self.module.exports if self._can_be_seen(export)]

    def _can_be_seen(self, export: Export) -> bool:
        if export.kind == FUNC:
            type_ = self.world.func_type(export.index)
            return not any(is_ref(code) for code in type_.params + type_.results)
        content = self.module.globals[export.index].type if export.kind == GLOBAL else FUNCREF
        return content == FUNCREF or not is_ref(content)
