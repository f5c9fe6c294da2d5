"""Floor 1: source lines of code by its DWARF debug information, as clang, rustc and others leave it in custom sections.

In: the bytes of a module. Out: file and line of a byte offset, and of the inlined calls around it. Addresses in WebAssembly's
DWARF are offsets in the code section.

Theory of operation. The first entries of the units in `.debug_info` tell which unit has an address; only that unit's line program
is run. Programs of units that do not tell, or that no unit refers to, are searched one after the other.

A guest wrote these bytes. What is malformed means "not known", and a module's reading ends when its budget has been spent.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from figwasp.wasm.debug.inline import Inlines
from figwasp.wasm.debug.lines import LAST_LINE, LineProgram, Strings, read_program
from figwasp.wasm.debug.reader import BUDGET, Broken, DwarfReader, Span, WorkLimit
from figwasp.wasm.debug.units import Sections, Unit, read_units

__all__ = ["LineTable", "Place"]

Place = tuple[tuple[str, str], str, int]
"""Name and linkage name of a function that was inlined, ("", "") for one that was not; source file; line."""

_CODE: Final = 10  # id of the code section


class LineTable:
    """The source lines of a module's instructions."""

    __slots__ = ("_code", "_index", "_inlines", "_loose", "_programs", "_sections", "_spans", "_strings")

    def __init__(self, data: bytes, spans: dict[str, Span], budget: int = BUDGET) -> None:
        """Prepare; nothing is read before the first question.

        Args:
            data: the bytes of the module.
            spans: content of its custom sections, by name.
            budget: steps that may be spent on reading.
        """
        self._sections = Sections(data, spans, WorkLimit(budget))
        self._strings = Strings(self._sections.span(".debug_str"), self._sections.span(".debug_line_str"))
        self._code = -1
        self._index: list[tuple[int, int, Unit]] | None = None
        self._spans: list[int] = []
        self._loose: list[Unit | int] = []
        self._programs: dict[int, LineProgram | None] = {}
        # What inlined functions cost does not keep lines from being found.
        self._inlines = Inlines(Sections(data, spans, WorkLimit(budget * 2 // 3)), [])

    def find(self, offset: int) -> list[Place]:
        """Return the place of the instruction at a byte offset of the module, then those of the calls around it that were inlined.

        The innermost comes first; there is none when nothing is known.
        """
        start, end = self._sections.span(".debug_line")
        if start == end:
            return []
        try:
            return self._search(offset)
        except Broken:
            return []

    def _search(self, offset: int) -> list[Place]:
        if self._index is None:
            self._index = []
            self._code = _code_section(self._sections.data, self._sections.budget)
            self._read_units()
        address = offset - self._code
        if self._code < 0 or address < 0:
            return []
        k = bisect_right(self._spans, address) - 1
        if k >= 0 and address < self._index[k][1]:
            unit = self._index[k][2]
            places = self._with_calls(unit, address, self._ask(unit.program, unit.directory, address))
            if places:
                return places
        for one in self._loose:
            found = self._ask(one, "", address) if isinstance(one, int) else self._ask(one.program, one.directory, address)
            if found is not None:
                return [(("", ""), *found)] if isinstance(one, int) else self._with_calls(one, address, found)
        return []

    def _with_calls(self, unit: Unit, address: int, found: tuple[str, int] | None) -> list[Place]:
        """Add the calls that were inlined to the place of an address, which may be unknown: the compiler's own code has no line."""
        places: list[Place] = []
        file, line = found or ("", 0)
        program = self._programs[unit.program]
        if program is None:
            return []
        try:
            for one in reversed(self._inlines.at(unit, address)):
                places.append((self._inlines.name(one.origin), file, line))
                file, line = program.file(one.file, unit.directory), one.line
        except Broken:
            file, line = found or ("", 0)
            places.clear()
        places.append((("", ""), file, line))
        return [place for place in places if place[1] and 0 < place[2] <= LAST_LINE]

    def _read_units(self) -> None:
        """Learn which unit has which addresses, and which programs have to be searched."""
        found = read_units(self._sections)
        self._inlines = Inlines(self._inlines.sections, found)
        units = [unit for unit in found if unit.program >= 0]
        self._index = [(first, after, unit) for unit in units for first, after in unit.ranges]
        self._index.sort(key=lambda item: item[0])
        self._spans = [item[0] for item in self._index]
        self._loose = [unit for unit in units if not unit.ranges]
        known = {unit.program for unit in units}
        start, end = self._sections.span(".debug_line")
        reader = DwarfReader(self._sections.data, start, end, self._sections.budget)
        try:
            while reader.pos < end:
                offset = reader.pos - start
                reader.pos = reader.unit()
                if offset not in known:
                    self._loose.append(offset)
        except Broken:
            pass

    def _ask(self, offset: int, directory: str, address: int) -> tuple[str, int] | None:
        """Look an address up in the program at an offset of `.debug_line`."""
        self._sections.budget.spend()
        if offset not in self._programs:
            self._programs[offset] = None
            try:
                self._programs[offset] = read_program(self._sections.reader(".debug_line", offset), self._strings)
            except Broken:
                return None
        program = self._programs[offset]
        return program.find(address, directory) if program is not None else None


def _code_section(data: bytes, budget: WorkLimit) -> int:
    """Return where the content of the code section starts, which addresses count from."""
    reader = DwarfReader(data, 8, len(data), budget)
    while reader.pos < reader.end:
        kind, size = reader.fixed(1), reader.unsigned()
        if kind == _CODE:
            return reader.pos
        reader.skip(size)
    return -1
