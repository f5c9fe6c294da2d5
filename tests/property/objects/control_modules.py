"""Whole generated modules with exceptions, tail calls and objects; cases for `tests.hostile.workers`.

One in four imports a function of the host that calls the module again. Not all implementations let an exception through a frame of
the host, so those modules are compared on figwasp's alone.
"""

from __future__ import annotations

from random import Random
from typing import Final

from figwasp.wasm.syntax.module import FUNC, Import
from figwasp.wasm.syntax.types import EXNREF, EXTERNREF, FUNCREF, I32, I64, FuncType, GlobalType, Types
from tests.property.differential import answer
from tests.property.objects.bodies import ObjectWorld
from tests.property.objects.control import Control, ControlWorld
from tests.property.objects.modules import ObjectMaker
from tests.property.outcomes import AGAIN
from tests.property.world import STYLES, VECTOR_STYLES, Style

CONTROL_STYLES: Final[dict[str, Style]] = {
    name: (STYLES | VECTOR_STYLES)[name]
    for name in ("mixed", "small", "pressure", "integers", "arity", "float pressure", "vectors", "floats", "vector arity", "deep")
}
_CARRIED: Final = (0, 1, 1, 2, 3, 9)


def control_style_of(seed: int) -> str:
    """Return the name of the style that a seed gives to a module with exceptions."""
    return list(CONTROL_STYLES)[seed % len(CONTROL_STYLES)]


def generate_control(seed: int) -> bytes:
    """Return the module with exceptions of a seed."""
    return _ControlMaker(Random(seed), CONTROL_STYLES[control_style_of(seed)]).make()


def run_case(seed: int) -> str:
    """Generate a module and compare, as `differential.run_case`."""
    return answer(generate_control(seed), seed)


class _ControlMaker(ObjectMaker):
    """Makes one module."""

    world: ControlWorld

    def _new_world(self, random: Random, style: Style) -> ObjectWorld:
        world = ControlWorld(random, style)
        world.again = -1
        world.tags = []
        return world

    def __init__(self, random: Random, style: Style) -> None:
        super().__init__(random, style)
        self._results: list[Types] = [(), tuple(self._type() for _ in range(random.choice((1, 1, 2, style.results))))]

    def _body(self, type_: FuncType) -> bytes:
        return Control(self.world, type_).function()

    def _func_type(self) -> FuncType:
        """Return the type of a function; most results are alike, so that there are functions for tail calls."""
        type_ = super()._func_type()
        return FuncType(type_.params, self.random.choice(self._results)) if self.random.random() < 0.7 else type_

    def _imports(self) -> None:
        super()._imports()
        if self.random.random() < 0.25:
            self.world.again = len(self.module.func_types)
            self.module.add_import(Import("host", AGAIN, FUNC, self._type_index(FuncType((I32,), (I64,)))))
        for _ in range(self.random.randint(1, 4)):
            types = tuple(self._carried() for _ in range(self.random.choice(_CARRIED)))
            self.module.tags.append(self._type_index(FuncType(types, ())))
        self.world.tags = self.module.tags

    def _carried(self) -> int:
        return self.world.value_type() if self.random.random() < 0.9 else self.random.choice((FUNCREF, EXTERNREF))

    def _globals(self) -> None:
        super()._globals()
        if self.random.random() < 0.6:
            self.module.globals.append(GlobalType(EXNREF, True))
            self.module.global_inits.append(self._const(EXNREF, 0))
