"""Floor 4: stubs in place: their code, by key, and the words through which it reaches what symbols stand for.

A stub is published last, by one operation of a dict or one word of memory: an exception before that means that it is made once
more, and of two threads that make the same one at a time both get good ones.

In: keys (`stubs.catalogue`). Out: addresses. Two sequences written by hand switch stacks (`sequences` below `codegen`); all others
are IR. A symbol in use (`stubs.symbols`) has a word in the region of the stubs. It is filled before the address of code that refers
to it is given to anybody, and never changes.
"""

from __future__ import annotations

import itertools

from figwasp.codegen import unwind
from figwasp.codegen.code import (
    IN_FRAME,
    RELOC_BUILTIN,
    RELOC_CELL,
    RELOC_SYMBOL,
    STUB_ALLOCATE,
    STUB_COUNT,
    STUB_FUEL,
    STUB_HOT,
    STUB_RESTORE_INSTANCE,
    STUB_TICK,
    STUB_TO_NATIVE,
    STUB_TO_WASM,
    STUB_TRAP,
    STUB_UNWIND,
    Code,
)
from figwasp.codegen.sequences import Sequence
from figwasp.errors import LimitExceeded
from figwasp.ir import builtins
from figwasp.lazy import importing
from figwasp.runtime.code.ranges import CodeRange, CodeTable
from figwasp.runtime.once import Lazily
from figwasp.runtime.platform import codespace, linux, perfmap
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.platform.statics import Statics
from figwasp.runtime.stubs.symbols import Symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Protocol

    from figwasp.ir.func import Func

    class Made(Protocol):
        """Stubs that have been made before, by key (`native.shipped_stubs`)."""

        def code(self, key: str) -> Code | None:
            """Return the code of one, or None."""

        def entries(self, key: str) -> dict[str, int] | None:
            """Return the offsets of the entry points of a sequence, or None."""

    class Kept(Made, Protocol):
        """Those that are kept (`native.kept_stubs`)."""

        def add(self, key: str, code: Code, entries: dict[str, int] | None = None) -> None:
            """Have one kept that has been made."""

__all__ = ["InstalledStubs", "Kept", "Made"]

_WORDS: Final = 1 << 14
"""How many symbols may be in use. Of most kinds there is a fixed number; for each type of host functions there is one."""
_SWITCHES: Final = {
    "trap": STUB_TRAP, "tick": STUB_TICK, "fuel": STUB_FUEL, "allocate": STUB_ALLOCATE, "hot": STUB_HOT, "unwind": STUB_UNWIND,
    "to_wasm": STUB_TO_WASM, "to_native": STUB_TO_NATIVE, "restore_instance": STUB_RESTORE_INSTANCE,
}  # fmt: skip

_WHEN_NEEDED: Final = {STUB_FUEL: ("fuel", "fuel"), STUB_ALLOCATE: ("allocate", "heap.allocate"), STUB_HOT: ("hot", "hot")}
"""Slow paths whose functions are made when code first refers to them: the word of `Statics` for each, and its key."""


class InstalledStubs:
    """The stubs that are in place.

    Attributes:
        symbols: what symbols stand for.
        sequences: the machine's code written by hand.
        returned: the return address at which a walk over wasm frames ends.
        lazy: where lazy entries go on.
    """

    def __init__(
        self, space: codespace.Space, table: CodeTable, statics: Statics, symbols: Symbols, shipped: Made | None, kept: Kept | None
    ) -> None:
        """Begin with the stack switching stubs; others come from `shipped` or `kept`, or are made and given to the latter."""
        self._sources: list[Made] = [source for source in (shipped, kept) if source is not None]
        self._kept = kept
        self.sequences = machine().sequences
        self.symbols = symbols
        self._table = table
        self._statics = statics
        self._region = codespace.Region(space, _WORDS, self.resolve)
        self._stubs: dict[str, int] = {}
        self._words: dict[str, int] = {}  # number of each symbol's word, once that is filled
        self._numbers = itertools.count()
        self._switches = [0] * STUB_COUNT
        symbols.define("code.start", space.start)
        symbols.define("code.map", space.map)
        symbols.add("stub", self.stub)
        self._make_switches()

    def stub(self, key: str) -> int:
        """Return the address of the stub with a key.

        Raises:
            KeyError: there is none.
            LimitExceeded: there is no room for it.
        """
        address = self._stubs.get(key)
        if address is None:
            address = self._stubs.setdefault(key, self.install(self._code(key)))
        return address

    @Lazily
    def _maker(self) -> Any:
        """The module `stubs.catalogue`, with all that stubs are built of; kept, as nothing can be imported when Python ends."""
        with importing:
            from figwasp.runtime.stubs import catalogue

        return catalogue

    def _code(self, key: str) -> Code:
        """Return the code of a stub."""
        for source in self._sources:
            code = source.code(key)
            if code is not None:
                return code
        made: Code = self._maker.code(key)
        if self._kept is not None:
            self._kept.add(key, made)
        return made

    def translate(self, func: Func) -> Code:
        """Compile a stub that has been built."""
        code: Code = self._maker.translate(func)
        return code

    def install(self, code: Code) -> int:
        """Put a stub in place; return its address."""
        address = self._region.install(self._with_words(code), direct=True)
        self._table.add(CodeRange(address, len(code.data), code, None))
        perfmap.add_stub(address, len(code.data), code.name)
        return address

    # Symbols

    def _with_words(self, code: Code) -> Code:
        """Return the code with relocations to words, which are the cells of the region, in the place of those to symbols."""
        if not code.symbols:
            return code
        numbers = [self._word(name) for name in code.symbols]
        return code.without_symbols([
            (offset, field, RELOC_CELL, numbers[target]) if kind == RELOC_SYMBOL else (offset, field, kind, target)
            for offset, field, kind, target in code.relocs
        ])

    def _word(self, name: str) -> int:
        """Return the number of the word with the value of a symbol."""
        number = self._words.get(name)
        if number is None:
            value = self.symbols.value(name)
            number = next(self._numbers)
            if number >= _WORDS:
                raise LimitExceeded(f"stubs refer to more than {_WORDS} things")
            linux.write_u64(self._region.cells + 8 * number, value)
            number = self._words.setdefault(name, number)
        return number

    # Sequences

    def sequence(self, key: str) -> tuple[int, dict[str, int]]:
        """Put what is written by hand in place; return its address, and the offsets of its entries."""
        made = self._sequence(key)
        return self.install(made.code), made.entries

    def _sequence(self, key: str) -> Sequence:
        for source in self._sources:
            entries, code = source.entries(key), source.code(key)
            if entries is not None and code is not None:
                return Sequence(code, entries)
        made: Sequence = self._maker.SEQUENCES[key]()
        if self._kept is not None:
            self._kept.add(key, made.code, made.entries)
        return made

    def _make_switches(self) -> None:
        made = self._sequence("switches")
        entries, size = made.entries, len(made.code.data)
        # Walks over the stack pass frames of these: out of line calls that come to Python, and what a tail call returns to.
        frame = self.sequences.lazy_frame
        parts = [
            _part("saving", made.code, entries["tick"], entries["lazy"], frame),
            _part("lazy", made.code, entries["lazy"], entries["suspend"], frame, IN_FRAME),
            _part("restore_instance", made.code, entries["restore_instance"], size, self.sequences.restore_frame),
        ]
        base = self._put_described(made.code, parts)
        perfmap.add_stub(base, size, made.code.name)
        for name, offset in entries.items():
            self.symbols.define(f"switch.{name}", base + offset)
            if name in _SWITCHES:
                self._switches[_SWITCHES[name]] = base + offset
        self.returned = base + entries["returned"]
        self.lazy = base + entries["lazy"]

    def _put_described(self, code: Code, parts: list[tuple[int, Code]]) -> int:
        """Install a sequence of which some parts call what may walk over the stack; return its address."""
        rows = [(start, start + len(part.data), part) for start, part in parts]
        described, places = unwind.describe(code.data, rows, machine().instance_reg)
        address = self._region.place(len(described))
        data = self._region.relocate(described, self._with_words(code).relocs, address)
        self._region.write_described(address, data, places)
        for start, part in parts:
            self._table.add(CodeRange(address + start, len(part.data), part, None))
        return address

    # What relocations refer to is made when it is asked for.

    def resolve(self, kind: int, target: int) -> int:
        """Return the address that relocations other than those of functions refer to."""
        if kind == RELOC_BUILTIN:
            return self.stub(f"builtin:{builtins.NAMES[target]}")
        if target in _WHEN_NEEDED:
            word, key = _WHEN_NEEDED[target]
            place = getattr(self._statics, word)
            if not linux.read_u64(place):
                linux.write_u64(place, self.stub(key))
        return self._switches[target]


def _part(name: str, code: Code, start: int, end: int, frame: int, incoming: int = 0) -> tuple[int, Code]:
    """Return where a part of a sequence begins, and what walks over frames need to know of it."""
    part = Code(name, -1)
    part.data = code.data[start:end]
    part.frame_size = frame
    part.incoming = incoming
    return start, part
