"""Floor 1: functions that the compiler put into others (DWARF 5, section 3.3.8).

In: a unit. Out: for an address, the calls that are no calls any more. Finding them takes a walk over all entries of the unit, once.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from figwasp.wasm.debug.reader import Broken, DwarfReader
from figwasp.wasm.debug.units import Attributes, Fields, Sections, Unit, fixed_size, read_fields, read_form

__all__ = ["Inlined", "Inlines"]

_INLINED: Final = 0x1D  # DW_TAG_inlined_subroutine
_NAME: Final = 0x03
_ORIGIN: Final = 0x31
_SPECIFICATION: Final = 0x47
_CALL_FILE: Final = 0x58
_CALL_LINE: Final = 0x59
_LINKAGE: Final = (0x6E, 0x2007)
_ABSOLUTE: Final = 0x10  # DW_FORM_ref_addr
_REFERENCES: Final = range(_ABSOLUTE, 0x16)  # within a unit, but for the first
_MAX_HOPS: Final = 5
_ONE: Final = 200  # bytes that an inlined function takes, and the others
_LAYOUT: Final = 200
_FIELD: Final = 72
_LABEL: Final = 200
_MAX_DEEP: Final = 100  # functions inlined into each other that are believed


class Inlined:
    """A function at a place where it was inlined.

    Attributes:
        start, end: addresses of its code there.
        depth: how deep the entry lies among others.
        origin: place in the module's bytes of the entry that has its name, or -1.
        file, line: of the call; the file is an index into the line program's table.
    """

    __slots__ = ("depth", "end", "file", "line", "origin", "start")

    def __init__(self, start: int, end: int, depth: int, origin: int, file: int, line: int) -> None:
        self.start = start
        self.end = end
        self.depth = depth
        self.origin = origin
        self.file = file
        self.line = line


class _Abbreviation:
    """The form of entries with an abbreviation code.

    Attributes:
        tag: their DW_TAG.
        children: whether entries that belong to them follow.
        fields: their attributes.
        size: bytes of it, -1 when that is not always the same.
    """

    __slots__ = ("children", "fields", "size", "tag")

    def __init__(self, tag: int, children: bool, fields: Fields, unit: Unit) -> None:
        self.tag = tag
        self.children = children
        self.fields = fields
        sizes = [fixed_size(form, unit) for _, form, _ in fields]
        self.size = -1 if -1 in sizes else sum(sizes)


class Inlines:
    """The inlined functions of a module.

    Attributes:
        sections: where they are read from.
    """

    __slots__ = ("_abbreviations", "_found", "_names", "_starts", "_units", "sections")

    def __init__(self, sections: Sections, units: list[Unit]) -> None:
        self.sections = sections
        self._units = sorted(units, key=lambda unit: unit.start)
        self._starts = [unit.start for unit in self._units]
        self._abbreviations: dict[tuple[int, int, int, bool], dict[int, _Abbreviation]] = {}
        self._found: dict[int, list[Inlined]] = {}
        self._names: dict[int, tuple[str, str]] = {}

    def at(self, unit: Unit, address: int) -> list[Inlined]:
        """Return the functions of a unit that are inlined at an address, the outermost first.

        Raises:
            Broken: the entries are malformed, or too many.
        """
        if unit.start not in self._found:
            found = self._found[unit.start] = []
            self._walk(unit, found)
        self.sections.budget.spend(len(self._found[unit.start]) >> 3)
        here = [one for one in self._found[unit.start] if one.start <= address < one.end]
        if len(here) > _MAX_DEEP:
            raise Broken
        here.sort(key=lambda one: one.depth)
        return here

    def _table(self, unit: Unit) -> dict[int, _Abbreviation]:
        key = (unit.abbreviations, unit.version, unit.size, unit.wide)
        if key not in self._abbreviations:
            table = self._abbreviations[key] = {}
            reader = self.sections.reader(".debug_abbrev", unit.abbreviations)
            while code := reader.unsigned():
                tag = reader.unsigned()
                children = reader.fixed(1) != 0
                fields = read_fields(reader)
                reader.budget.keep(_LAYOUT + _FIELD * len(fields))
                table[code] = _Abbreviation(tag, children, fields, unit)
        return self._abbreviations[key]

    def _walk(self, unit: Unit, found: list[Inlined]) -> None:
        """Read all entries of a unit: a flat loop."""
        table = self._table(unit)
        reader = self._reader(unit, unit.entries)
        depth = 0
        while reader.pos < unit.end:
            code = reader.unsigned()
            if not code:
                depth -= 1
                if depth <= 0:
                    break
                continue
            abbreviation = table.get(code)
            if abbreviation is None:
                raise Broken
            if abbreviation.tag == _INLINED:
                self._add(unit, _attributes(reader, abbreviation, unit), depth, found)
            elif abbreviation.size >= 0:
                reader.skip(abbreviation.size)
            else:
                for _, form, implicit in abbreviation.fields:
                    read_form(reader, form, implicit, unit)
            depth += abbreviation.children

    def _add(self, unit: Unit, attributes: Attributes, depth: int, found: list[Inlined]) -> None:
        origin = self._reference(unit, attributes.get(_ORIGIN))
        file, line = (attributes.get(key, (0, 0))[1] for key in (_CALL_FILE, _CALL_LINE))
        if isinstance(file, int) and isinstance(line, int):
            for start, end in unit.code(self.sections, attributes):
                self.sections.budget.keep(_ONE)
                found.append(Inlined(start, end, depth, origin, file, line))

    def _reader(self, unit: Unit, place: int) -> DwarfReader:
        reader = DwarfReader(self.sections.data, place, unit.end, self.sections.budget)
        reader.wide = unit.wide
        return reader

    def _reference(self, unit: Unit, field: tuple[int, int | str] | None) -> int:
        """Return the place of the entry that a field refers to, or -1."""
        if field is None or field[0] not in _REFERENCES or not isinstance(field[1], int):
            return -1
        return field[1] + (self.sections.span(".debug_info")[0] if field[0] == _ABSOLUTE else unit.start)

    def name(self, place: int) -> tuple[str, str]:
        """Return the name and the linkage name that the entry at a place has, itself or by others; "" for none.

        Raises:
            Broken: it is malformed, or too much is kept already.
        """
        if place not in self._names:
            self._names[place] = ("", "")
            names = self._read_name(place)
            self.sections.budget.keep(_LABEL, *names)
            self._names[place] = names
        return self._names[place]

    def _read_name(self, place: int) -> tuple[str, str]:
        plain = linkage = ""
        for _ in range(_MAX_HOPS):
            k = bisect_right(self._starts, place) - 1
            if k < 0 or not self._units[k].entries <= place < self._units[k].end:
                break
            unit = self._units[k]
            reader = self._reader(unit, place)
            abbreviation = self._table(unit).get(reader.unsigned())
            if abbreviation is None:
                break
            attributes = _attributes(reader, abbreviation, unit)
            for key, field in attributes.items():
                if key == _NAME:
                    plain = plain or unit.string(self.sections, *field)
                elif key in _LINKAGE:
                    linkage = linkage or unit.string(self.sections, *field)
            place = self._reference(unit, attributes.get(_ORIGIN) or attributes.get(_SPECIFICATION))
        return plain, linkage


def _attributes(reader: DwarfReader, abbreviation: _Abbreviation, unit: Unit) -> Attributes:
    return {attribute: read_form(reader, form, implicit, unit) for attribute, form, implicit in abbreviation.fields}
