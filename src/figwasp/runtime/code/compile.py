"""Floor 4: a module's code: compiled function by function on first call, shared by all instances of the module."""

from __future__ import annotations

import gc
import weakref
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from figwasp import layout
from figwasp.ir import constants
from figwasp.runtime import process
from figwasp.runtime.code import discard, listen
from figwasp.runtime.code.translate import Translator
from figwasp.runtime.config import Config
from figwasp.runtime.objects.owner import make_owner
from figwasp.runtime.platform import codespace, cpython, linux, modes, perfmap
from figwasp.runtime.trap import deadline, traps
from figwasp.wasm.valid.module import FuncFacts, validate, validate_module
from figwasp.wasm.valid.subtyping import TypeWorld

if TYPE_CHECKING:
    from figwasp.codegen.code import Code
    from figwasp.runtime.code.ahead import Ahead
    from figwasp.runtime.objects.instance import State
    from figwasp.wasm.syntax.module import Module

_RUN: Final = 4096
_LONG_BODY: Final = 1000  # bytes, of which each is a good 5 us

TYPES: Final = TypeWorld()
"""What tells the types of different modules apart: shared by all, since any two instances may meet."""


class CompiledModule:
    """A validated module and the code made of it so far.

    Attributes:
        module: the decoded module.
        layout: where things stand in its instances' blocks.
        config: what it is compiled with, and what its instances may use.
        mode: how memory accesses are made safe: modes.GUARD or modes.CHECKED.
        owner: keeps the code.
        compiled: addresses of the functions compiled so far, by index.
        listeners: what the engine's listener has answered, by function index.
        numbers: canonical numbers of its types, in `TYPES`.
        number_words: the same, as they stand in an instance block.
        missing: the proposal without which it cannot be instantiated, or None.
    """

    def __init__(self, module: Module, lazy: bool, config: Config, ahead: Ahead | None = None) -> None:
        """Validate a module.

        Args:
            module: the decoded module.
            lazy: validate functions when they are compiled.
            config: what it is compiled with.
            ahead: the process that compiles functions that may be called next, if there is one.
        """
        facts: list[FuncFacts] | None = None
        if lazy:
            validate_module(module)
        else:
            facts = validate(module)
        self.module = module
        self.config = config
        self.mode = config.mode
        self._checked: CompiledModule | None = None
        self._translator = Translator(module, config.mode, config.metered, facts)
        self.layout = self._translator.layout
        self._ahead = ahead
        self.numbers = TYPES.intern(module.types, module.groups)
        self.number_words = array("I", self.numbers).tobytes()
        self.missing = constants.missing_feature(module)
        self.compiled: dict[int, int] = {}
        self.listeners: listen.Listeners = {}
        self._states: weakref.WeakSet[State] = weakref.WeakSet()
        self._machine = process.get()
        if config.perf_map:
            perfmap.enable()
        region = codespace.Region(self._machine.space, len(module.func_types))
        placed: list[traps.Placed] = []
        block = cpython.raw_calloc(1, 16)

        numbers, groups = self.numbers, module.groups

        def release() -> None:
            TYPES.release(numbers, groups)
            traps.forget(placed)
            region.release()
            cpython.raw_free(block)

        self.owner = make_owner(block, release)
        self._region = region
        self._placed = placed
        self._fill_cells()

    def checked(self) -> CompiledModule:
        """Return the same module compiled for memories without a guard area."""
        if self.mode == modes.CHECKED:
            return self
        if self._checked is None:
            from copy import copy  # seldom needed, and slow to import

            config = copy(self.config)
            config.mode = modes.CHECKED
            other = CompiledModule(self.module, True, config)
            other._translator.facts = self._translator.facts
            other.listeners = self.listeners
            self._checked = other
        return self._checked

    def _fill_cells(self) -> None:
        """Lead every cell to the lazy entry of its function."""
        count = len(self.module.func_types)
        for first in range(0, count, _RUN):
            entry = self._machine.lazy_entry(first)
            step = self._machine.lazy_entry_size
            run = min(_RUN, count - first)
            linux.write(self._region.cells + 8 * first, array("Q", range(entry, entry + step * run, step)).tobytes())

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
        listener = self.config.listener
        heard = listener is not None and listen.ask(listener, self.module, index, self.listeners)
        # The compiler makes many short-lived objects and no cycles that outlive it. Assignments let no interrupt come between.
        collecting = gc.isenabled()
        discard.at_work += 1
        try:
            gc.disable()
            code = self._made_ahead(index) or self._made_now(index)
        finally:
            discard.at_work -= 1
            if collecting:
                discard.to_be_enabled = True
            if discard.to_be_enabled and not discard.at_work:
                discard.to_be_enabled = False
                gc.enable()
        address = self._install(code, self.module)
        if heard:
            stub = listen.wrapper(self.module.func_type(index), index, address, self._machine.hook(3))
            address = self._install(self._machine.translate(stub), None)
        self.compiled[index] = address
        linux.write_u64(self._region.cells + 8 * index, address)
        with self._machine.no_releases():  # a pending call could release an instance between finding it and writing to it
            for state in list(self._states):
                if state.block:
                    linux.write_u64(state.block + self.layout.funcref(index) + layout.FUNCREF_CODE, address)
        return address

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Have functions compiled ahead in a second process meanwhile, where that is possible."""
        from figwasp.runtime.code import ahead  # most programs do without

        if self._ahead is None and ahead.possible():
            self._ahead = ahead.Ahead(lambda: self._translator)
        try:
            yield
        finally:
            self._ahead, other = None, self._ahead
            if other is not None:
                other.close()

    def _made_ahead(self, index: int) -> Code | None:
        return None if self._ahead is None else self._ahead.take(index, deadline.check)

    def _made_now(self, index: int) -> Code:
        """Compile a function, but not beyond the deadline."""
        translate = self._translator.translate
        return deadline.bounded(translate, index) if self._is_long(index) else translate(index)

    def _is_long(self, index: int) -> bool:
        """Return whether compiling a function may take so long that a deadline has to be watched."""
        body = self.module.body(index)
        return body.end - body.start > _LONG_BODY

    def _install(self, code: Code, module: Module | None) -> int:
        """Put code in place and make it known to backtraces; those leave out what belongs to no module."""
        address = codespace.install(self._region, code, self._machine.builtin, self._machine.stub)
        placed = traps.Placed(address, code, module)
        self._placed.append(placed)
        traps.register(placed)
        if self.config.perf_map:
            perfmap.add(address, len(code.data), f"{self.module.name or 'wasm'}::{code.name or f'func[{code.index}]'}")
        return address
