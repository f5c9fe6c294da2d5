"""Floor 4: a module's code: compiled function by function on first call, shared by all instances of the module."""

from __future__ import annotations

import gc
import weakref
from array import array
from typing import TYPE_CHECKING, Final

from figwasp import layout
from figwasp.codegen import pipeline
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.ir import constants
from figwasp.ir.build import build
from figwasp.layout import InstanceLayout
from figwasp.runtime import codespace, cpython, os, process, traps
from figwasp.runtime.config import Config
from figwasp.runtime.owner import make_owner
from figwasp.wasm.subtyping import TypeWorld
from figwasp.wasm.validate import FuncFacts, validate, validate_func, validate_module

if TYPE_CHECKING:
    from figwasp.runtime.instance import State
    from figwasp.wasm.module import Module

_RUN: Final = 4096

TYPES: Final = TypeWorld()
"""What tells the types of different modules apart: shared by all, since any two instances may meet."""


def layout_of(module: Module) -> InstanceLayout:
    """Return where things stand in the instance blocks of a module."""
    return InstanceLayout(
        len(module.types),
        module.num_imported_funcs,
        len(module.bodies),
        len(module.memories),
        len(module.tables),
        len(module.globals),
    )


class CompiledModule:
    """A validated module and the code made of it so far.

    Attributes:
        module: the decoded module.
        layout: where things stand in its instances' blocks.
        config: what it is compiled with, and what its instances may use.
        mode: how memory accesses are made safe: linear.GUARD or linear.CHECKED.
        owner: keeps the code.
        compiled: addresses of the functions compiled so far, by index.
        numbers: canonical numbers of its types, in `TYPES`.
        missing: the proposal without which it cannot be instantiated, or None.
    """

    def __init__(self, module: Module, lazy: bool, config: Config) -> None:
        self.module = module
        self.config = config
        self.mode = config.mode
        self._facts: list[FuncFacts] | None = None
        if lazy:
            validate_module(module)
        else:
            self._facts = validate(module)
        self.layout = layout_of(module)
        self.numbers = TYPES.intern(module.types, module.groups)
        self.missing = constants.missing_feature(module)
        self.compiled: dict[int, int] = {}
        self._states: weakref.WeakSet[State] = weakref.WeakSet()
        self._machine = process.get()
        region = codespace.Region(self._machine.space, len(module.func_types))
        placed: list[traps.Placed] = []
        block = cpython.raw_calloc(1, 16)

        def release() -> None:
            traps.forget(placed)
            region.release()
            cpython.raw_free(block)

        self.owner = make_owner(block, release)
        self._region = region
        self._placed = placed
        self._fill_cells()

    def _fill_cells(self) -> None:
        """Lead every cell to the lazy entry of its function."""
        count = len(self.module.func_types)
        for first in range(0, count, _RUN):
            entry = self._machine.lazy_entry(first)
            step = self._machine.lazy_entry_size
            run = min(_RUN, count - first)
            os.write(self._region.cells + 8 * first, array("Q", range(entry, entry + step * run, step)).tobytes())

    def add_state(self, state: State) -> None:
        """Have an instance's FuncRefs follow what gets compiled."""
        self._states.add(state)

    def remove_state(self, state: State) -> None:
        """Forget an instance whose block goes."""
        self._states.discard(state)

    def code_of(self, index: int) -> int:
        """Return the address to call for a defined function: its code, or what compiles it."""
        return self.compiled.get(index) or self._machine.lazy_entry(index)

    def compile(self, index: int) -> int:
        """Compile a defined function, if that has not been done, and return its address.

        Raises:
            Invalid, Malformed: its body is, and validation was left for now.
        """
        address = self.compiled.get(index)
        if address is not None:
            return address
        facts = self._facts[index - self.module.num_imported_funcs] if self._facts else validate_func(self.module, index)
        # The compiler makes many short-lived objects and no cycles that outlive it.
        collecting = gc.isenabled()
        gc.disable()
        try:
            func = build(self.module, index, facts, self.layout, self.mode)
            code = pipeline.compile(func, TARGET)
        finally:
            if collecting:
                gc.enable()
        address = codespace.install(self._region, code, self._machine.builtin_cells, self._machine.stubs)
        placed = traps.Placed(address, code, self.module)
        self._placed.append(placed)
        traps.register(placed)
        self.compiled[index] = address
        os.write_u64(self._region.cells + 8 * index, address)
        for state in list(self._states):
            os.write_u64(state.block + self.layout.funcref(index) + layout.FUNCREF_CODE, address)
        return address
