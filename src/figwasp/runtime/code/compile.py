"""Floor 4: a module's code: compiled function by function on first call, shared by all instances of the module."""

from __future__ import annotations

import weakref
from array import array
from contextlib import contextmanager
from functools import partial

from figwasp import layout
from figwasp.codegen.code import OPTIMIZED
from figwasp.codegen.words import Words
from figwasp.errors import Error, Interrupted, Timeout
from figwasp.ir.layouts import layout_of
from figwasp.lazy import importing
from figwasp.runtime.code import collector, listen
from figwasp.runtime.code.datas import DataSegments
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.code.entries import LazyEntries
from figwasp.runtime.code.kept import look_up
from figwasp.runtime.code.ranges import CodeRange, ImageRange
from figwasp.runtime.code.sources import Now
from figwasp.runtime.code.tiers import NEVER, BaselineRange, BaselineTier
from figwasp.runtime.once import Lazily
from figwasp.runtime.platform import codespace, cpython, linux, modes, perfmap
from figwasp.wasm.debug.source import SourceMap
from figwasp.wasm.syntax.types import StructType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from figwasp.codegen.code import Code
    from figwasp.codegen.stored.image import Image
    from figwasp.runtime.code.initial import InitialContents
    from figwasp.runtime.code.kept import Kept
    from figwasp.runtime.code.sources import CodeSource
    from figwasp.runtime.config import Config
    from figwasp.runtime.native.runtime import NativeRuntime
    from figwasp.runtime.once import Once, Release
    from figwasp.runtime.platform.images import MemoryImage
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


def _placed(
    source_map: SourceMap | None, tier: BaselineTier, compiled: weakref.ref[CompiledModule], start: int, size: int, code: Code
) -> CodeRange:
    """Return what is known of a function that is installed at an address."""
    if code.tier == OPTIMIZED:
        return CodeRange(start, size, code, source_map)
    return BaselineRange(start, size, code, source_map, tier, compiled)



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

    def __init__(
        self,
        native: NativeRuntime,
        module: Module,
        facts: FactsOf,
        config: Config,
        kept: Kept | None = None,
        image: Image | None = None,
    ) -> None:
        """Make cells for the functions of a module, and install what there is of them; nothing is compiled yet.

        Args:
            native: the native runtime.
            module: the decoded module, which has been validated; its functions' bodies may be yet to be.
            facts: returns the facts of a defined function, validating it if that has not been done.
            config: the settings that it is compiled with.
            kept: what is kept of its code on the disk, and hears of what is compiled; None for nothing.
            image: the code that there is; None for what is kept. Its text is dropped when it has been installed.
        """
        self.native = native
        self.module = module
        self.config = config
        self.mode = config.mode
        self._facts = facts
        self._checked: CompiledModule | None = None
        self.layout = layout_of(module)
        self._now = Now(module, facts, config)
        self._tier = BaselineTier(module, facts, config)
        self.sources: list[CodeSource] = [self._now] if config.tier == "optimize" else [self._tier, self._now]
        self.numbers = TYPES.intern(module.types, module.groups)
        if any(isinstance(type_.comp, StructType) for type_ in module.types):
            TYPES.name_fields(self.numbers, module.field_names)
        self.type_ids = TYPES.descriptors(self.numbers)
        self.type_words = array("I", self.type_ids).tobytes()
        self.compiled: dict[int, int] = {}
        self._baseline: set[int] = set()
        self._improved: dict[int, int] = {}
        self._continuations: dict[int, int] = {}
        self.listeners: listen.Listeners = {}
        self._users: dict[int, weakref.ref[User]] = {}
        if config.perf_map:
            perfmap.enable()
        self._kept = kept
        if kept is not None:
            there = kept.take_image(len(module.func_types))
            image = there if image is None else image
        room = 0 if image is None else image.size
        self._region = codespace.Region(native.space, len(module.func_types), native.stubs.resolve, room)
        self._ranges: list[CodeRange | ImageRange] = []
        self._source_map = SourceMap(module)
        self._image = image
        self._installed = {} if image is None else self._install_image(image)
        block = cpython.raw_calloc(1, 16)
        self.owner = native.owners.make(block, self._release(block))
        self.datas = DataSegments(native.owners, module)
        if self.datas.owner is not None:
            self.owner.hold(self.datas.owner)
        self._initial: InitialContents | None = None
        self._has_instance = False
        self.entries = LazyEntries(native.stubs, module, self._region)
        if config.listener is None:  # which else hears of a function when it is called first
            self.compiled.update(self._installed)
        self.entries.lead(self._region.cells, len(module.func_types), self.compiled)

    def _release(self, block: int) -> Release:
        numbers, groups, table, ranges, region = self.numbers, self.module.groups, self.native.table, self._ranges, self._region

        def release() -> tuple[Once, ...]:
            table.remove(ranges)
            region.release()
            return cpython.freeing(block), TYPES.releasing(numbers, groups)

        return release

    def _install_image(self, image: Image) -> dict[int, int]:
        """Install the functions of an image at once and return their addresses by index."""
        region, stubs = self._region, self.native.stubs
        address = region.place(image.size)
        if address != region.origin:  # a fork that came between has frozen the chunk
            return {}
        for kind, target in image.needs:
            region.provide(kind, target)
        if image.has_handlers:
            stubs.expect_handlers()
        region.write_described(address, bytes(image.text), bytes(image.places))
        image.drop_text()
        placed = ImageRange(address, image, partial(_placed, self._source_map, self._tier, weakref.ref(self)))
        self._ranges.append(placed)
        self.native.table.add(placed)
        found = dict(zip(image.indices, map(address.__add__, image.starts), strict=True))
        self._baseline.update([index for index, tier in zip(image.indices, image.tiers, strict=True) if tier != OPTIMIZED])
        if self._baseline:
            counts = array("Q", bytes(8 * len(self.module.func_types)))
            for index in self._baseline:
                counts[index] = self._tier.patience(index)
                if self.config.listener is not None:  # functions that it hears of are optimised
                    del found[index]
            self._region.set_counters(counts)
        if self.config.perf_map:
            for number, (index, start) in enumerate(found.items()):
                self._tell_perf(self.module.func_name(index) or f"func[{index}]", start, image.code(number)[1])
        return found

    def checked(self) -> CompiledModule:
        """Return the same module compiled for memories without a guard area."""
        if self.mode == modes.CHECKED:
            return self
        if self._checked is None:
            config = self.config.checked()
            kept = None if self._kept is None else look_up(config, self.module.data)
            other = CompiledModule(self.native, self.module, self._facts, config, kept)
            other.listeners = self.listeners
            other._source_map = self._source_map
            self._checked = other
        return self._checked

    def initial_images(self) -> dict[int, MemoryImage]:
        """Return images of what memories contain when the active segments have been copied, from the second time on; or none."""
        if not self._has_instance:
            self._has_instance = True
            return {}
        if self._initial is None:
            with importing:
                from figwasp.runtime.code.initial import InitialContents  # who makes one instance does without

            self._initial = InitialContents(self.native.owners, self.module)
        return self._initial.images()

    def add_user(self, user: User) -> None:
        """Add an instance, whose FuncRefs follow as functions get compiled."""
        self._users[id(user)] = weakref.ref(user)

    def remove_user(self, user: User) -> None:
        """Forget an instance whose block goes."""
        self._users.pop(id(user), None)

    def addresses(self) -> array[int]:
        """Return the addresses to call for all defined functions: their code, or their lazy entries."""
        first = self.module.num_imported_funcs
        return array("Q", linux.read(self._region.cells + 8 * first, 8 * len(self.module.bodies)))

    @Lazily
    def identities(self) -> array[int]:
        """The last words of the FuncRefs of all defined functions: type and index, 4 bytes each."""
        first = self.module.num_imported_funcs
        halves = array("I", bytes(8 * len(self.module.bodies)))
        halves[0::2] = array("I", map(self.type_ids.__getitem__, self.module.func_types[first:]))
        halves[1::2] = array("I", range(first, first + len(self.module.bodies)))
        return array("Q", halves.tobytes())

    def compile(self, index: int) -> int:
        """Compile a defined function, if that has not been done, and return its address.

        Raises:
            Invalid, Malformed: the function's body is, whose validation was left for now.
        """
        address = self.compiled.get(index)
        if address is None:
            address = self.compiled.setdefault(index, self._new_code(index))
        self._publish(index, address)
        return address

    def _publish(self, index: int, address: int) -> None:
        """Let the cell and the FuncRefs of a function lead to its code."""
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

    def improve(self, index: int) -> bool:
        """Compile a function once more, by the optimising line, if that can be done; return whether it has been.

        Raises:
            Interrupted, Timeout: the running calls have to end.
        """
        if index not in self._improved:
            if not self._tier.is_time(index):
                self._region.set_counter(index, self._tier.patience(index))
                return False
            try:
                code = collector.without_collections(self._now.take, index)
            except (Interrupted, Timeout):
                raise
            except Error:  # it is out of proportion, or Python is shutting down: what there is will do
                self._region.set_counter(index, NEVER)
                return False
            self._improved[index] = self._install(code, self._source_map)
            if self._kept is not None:
                self._kept.add(self.module, code)
        self.compiled[index] = self._improved[index]
        self._baseline.discard(index)
        self._publish(index, self._improved[index])
        self._region.set_counter(index, self._tier.patience(index))  # for what is running: nothing else comes to the old code
        return True

    def left(self, index: int) -> int | None:
        """Return how many more calls and rounds of loops baseline code of a function has before it is compiled again.

        None if it does not count them.
        """
        return self._region.counter(index) if self.config.counted else None

    def continuation(self, index: int, loop: int, first: int) -> int:
        """Return the address of what goes on at a loop in the place of a function's baseline code, or 0 where that has to go on.

        Args:
            index: of the function.
            loop: offset of the loop.
            first: `Code.first_local` of the baseline code.

        Raises:
            Interrupted, Timeout: as for `compile`.
        """
        address = self._continuations.get(loop)
        if address is None:
            try:
                code = collector.without_collections(self._now.continuation, index, loop, first)
            except (Interrupted, Timeout):
                raise
            except Error:
                address = 0
            else:
                address = self._install(code, self._source_map) if code.frame_size <= layout.LEFT_FRAME else 0
            self._continuations[loop] = address
        if not address:
            self._region.set_counter(index, NEVER)
        return address

    def _new_code(self, index: int) -> int:
        """Make the code of a function, and put it in place."""
        listener = self.config.listener
        has_listener = listener is not None and listen.ask(listener, self.module, index, self.listeners)
        address = self._installed.get(index)
        if address is None:
            code = collector.without_collections(self._now.take if has_listener else self._code, index)
            if code.tier != OPTIMIZED:
                self._baseline.add(index)
                self._region.set_counter(index, self._tier.patience(index))
            address = self._install(code, self._source_map)
            if self._kept is not None:
                self._kept.add(self.module, code)
        if has_listener:
            with importing:
                from figwasp.runtime.code.wrapper import wrapper

            stubs = self.native.stubs
            report = stubs.python_caller(3)
            stub = wrapper(self.module.func_type(index), index, address, report, stubs.listeners)
            address = self._install(stubs.translate(stub), None)
        return address

    def install_all(self, image: Image) -> None:
        """Put those functions of an image in place that are not there yet. Stopped in between, some are, and the others are not."""
        words = Words(len(self.module.func_types))
        for number, index in enumerate(image.indices):
            if index not in self._baseline:
                if index in self.compiled or index in self._installed:
                    continue
                self._installed.setdefault(index, self._install(image.whole(number, words), self._source_map))
                if self.config.listener is None:
                    self.compile(index)
            elif image.tiers[number] == OPTIMIZED:
                self._improved.setdefault(index, self._install(image.whole(number, words), self._source_map))
                self.improve(index)

    def has_all(self, image: Image) -> bool:
        """Return whether the functions of an image are all in the one that it began with."""
        return self._image is not None and not {*image.indices} - {*self._image.indices}

    @property
    def known(self) -> set[int]:
        """The indices of the functions whose code there is, that of the baseline tier not counted."""
        return {*self._installed, *self.compiled} - self._baseline

    def image(self) -> Image | None:
        """Return the image that it began with, with its text; None for none."""
        image = self._image
        if image is None or image.text or not image.size:
            return image
        return image.with_text(*self._region.read_described(self._region.origin, image.size))

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
        with importing:
            from figwasp.runtime.workers import ahead  # most programs do without

        if len(self.sources) > 1 or self.config.tier != "optimize" or not ahead.possible():
            yield
            return
        other = ahead.BackgroundCompiler(self._now.translator)
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
        address = self._region.install(code)
        placed = _placed(source_map, self._tier, weakref.ref(self), address, len(code.data), code)
        self._ranges.append(placed)
        self.native.table.add(placed)
        if self.config.perf_map:
            self._tell_perf(code.name or f"func[{code.index}]", address, len(code.data))
        return address

    def _tell_perf(self, name: str, address: int, size: int) -> None:
        perfmap.add(address, size, f"{self.module.name or 'wasm'}::{name}")
