"""Floor 4: a module's code: compiled function by function on first call, shared by all instances of the module."""

from __future__ import annotations

import weakref
from array import array
from contextlib import contextmanager

from figwasp import layout
from figwasp.runtime.code import collector, listen
from figwasp.runtime.code.datas import DataSegments
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.code.entries import LazyEntries
from figwasp.runtime.code.ranges import CodeRange
from figwasp.runtime.code.sources import Now
from figwasp.runtime.code.translate import Translator
from figwasp.runtime.platform import codespace, cpython, linux, modes, perfmap
from figwasp.wasm.debug.source import SourceMap
from figwasp.wasm.syntax.types import StructType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from figwasp.codegen.code import Code
    from figwasp.runtime.code.sources import CodeSource
    from figwasp.runtime.config import Config
    from figwasp.runtime.native.runtime import NativeRuntime
    from figwasp.runtime.once import Once, Release
    from figwasp.wasm.syntax.module import Module
    from figwasp.wasm.valid.module import FactsOf

    class User(Protocol):
        """A user of the code: an instance."""

        @property
        def block(self) -> int:
            """The address of its block; 0 when that has gone."""

        @property
        def closed(self) -> object:
            """None, or something as soon as it is being closed."""

__all__ = ["CompiledModule"]


class CompiledModule:
    """A module and the code made of it so far.

    Attributes:
        native: the native runtime it is part of.
        module: the decoded module.
        layout: the offsets in its instances' blocks.
        config: the settings that it is compiled with, and the limits of its instances.
        mode: how memory accesses are made safe: modes.GUARD or modes.CHECKED.
        sources: sources of code, in the order in which they are asked.
        owner: keeps the code.
        datas: its passive data segments.
        entries: the lazy entries of its functions.
        compiled: addresses of the functions compiled so far, by index.
        listeners: the answers of the engine's listener, by function index.
        numbers: canonical numbers of its types, in `TYPES`.
        type_ids: their descriptors.
        type_words: the same, as they stand in an instance block.
    """

    def __init__(self, native: NativeRuntime, module: Module, facts: FactsOf, config: Config) -> None:
        """Make cells for the functions of a module; nothing is compiled yet.

        Args:
            native: the native runtime.
            module: the decoded module, which has been validated; its functions' bodies may be yet to be.
            facts: returns the facts of a defined function, validating it if that has not been done.
            config: the settings that it is compiled with.
        """
        self.native = native
        self.module = module
        self.config = config
        self.mode = config.mode
        self._checked: CompiledModule | None = None
        self._translator = Translator(module, config.mode, config.metered, facts)
        self.layout = self._translator.layout
        self.sources: list[CodeSource] = [Now(self._translator)]
        self.numbers = TYPES.intern(module.types, module.groups)
        if any(isinstance(type_.comp, StructType) for type_ in module.types):
            TYPES.name_fields(self.numbers, module.field_names)
        self.type_ids = TYPES.descriptors(self.numbers)
        self.type_words = array("I", self.type_ids).tobytes()
        self.compiled: dict[int, int] = {}
        self.listeners: listen.Listeners = {}
        self._users: dict[int, weakref.ref[User]] = {}
        if config.perf_map:
            perfmap.enable()
        self._region = codespace.Region(native.space, len(module.func_types))
        self._ranges: list[CodeRange] = []
        self._source_map = SourceMap(module)
        block = cpython.raw_calloc(1, 16)
        self.owner = native.owners.make(block, self._release(block))
        self.datas = DataSegments(native.owners, module)
        if self.datas.owner is not None:
            self.owner.hold(self.datas.owner)
        self.entries = LazyEntries(native.stubs, module, self._region)

    def _release(self, block: int) -> Release:
        numbers, groups, table, ranges, region = self.numbers, self.module.groups, self.native.table, self._ranges, self._region

        def release() -> tuple[Once, ...]:
            table.remove(ranges)
            region.release()
            return cpython.freeing(block), TYPES.releasing(numbers, groups)

        return release

    def checked(self) -> CompiledModule:
        """Return the same module compiled for memories without a guard area."""
        if self.mode == modes.CHECKED:
            return self
        if self._checked is None:
            other = CompiledModule(self.native, self.module, self._translator.facts, self.config.checked())
            other.listeners = self.listeners
            other._source_map = self._source_map
            self._checked = other
        return self._checked

    def add_user(self, user: User) -> None:
        """Add an instance, whose FuncRefs follow as functions get compiled."""
        self._users[id(user)] = weakref.ref(user)

    def remove_user(self, user: User) -> None:
        """Forget an instance whose block goes."""
        self._users.pop(id(user), None)

    def code_of(self, index: int) -> int:
        """Return the address to call for a defined function: its code, or its lazy entry."""
        return self.compiled.get(index) or self.entries.of(index)

    def compile(self, index: int) -> int:
        """Compile a defined function, if that has not been done, and return its address.

        Raises:
            Invalid, Malformed: the function's body is, whose validation was left for now.
        """
        address = self.compiled.get(index)
        if address is None:
            address = self.compiled.setdefault(index, self._new_code(index))
        # Every time: whoever set the address may have been interrupted here.
        linux.write_u64(self._region.cells + 8 * index, address)
        offset = self.layout.funcref(index) + layout.FUNCREF_CODE
        for reference in list(self._users.values()):
            user = reference()
            if user is not None:
                place = linux.word(user.block + offset)
                # It has not been released or closed meanwhile, nor can it be until the line below is done.
                if user.block and user.closed is None:
                    place.value = address
        return address

    def _new_code(self, index: int) -> int:
        """Make the code of a function, and put it in place."""
        listener = self.config.listener
        has_listener = listener is not None and listen.ask(listener, self.module, index, self.listeners)
        address = self._install(collector.without_collections(self._code, index), self._source_map)
        if has_listener:
            from figwasp.runtime.code.wrapper import wrapper

            stubs = self.native.stubs
            report = stubs.python_caller(3)
            stub = wrapper(self.module.func_type(index), index, address, report, stubs.listeners)
            address = self._install(stubs.translate(stub), None)
        return address

    def _code(self, index: int) -> Code:
        """Return the code of a function from the first source that has it."""
        for source in self.sources:
            code = source.take(index)
            if code is not None:
                return code
        raise AssertionError("the last source has everything")

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Have functions compiled ahead in a second process meanwhile, where that is possible."""
        from figwasp.runtime.code import ahead  # most programs do without

        if len(self.sources) > 1 or not ahead.possible():
            yield
            return
        other = ahead.BackgroundCompiler(lambda: self._translator)
        self.sources.insert(0, other)
        try:
            yield
        finally:
            self.sources.remove(other)
            other.close()

    def _install(self, code: Code, source_map: SourceMap | None) -> int:
        """Install code and add it to the code table; backtraces leave out code without a source map."""
        stubs = self.native.stubs
        if code.handlers:
            stubs.expect_handlers()
        address = codespace.install(self._region, code, stubs.builtin, stubs.switch)
        placed = CodeRange(address, code, source_map)
        self._ranges.append(placed)
        self.native.table.add(placed)
        if self.config.perf_map:
            perfmap.add(address, len(code.data), f"{self.module.name or 'wasm'}::{code.name or f'func[{code.index}]'}")
        return address
