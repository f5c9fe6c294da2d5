"""Floor 1: the units of `.debug_info`: which line program belongs to which addresses (DWARF 5, sections 3.1, 2.17, 7.5).

In: the sections. Out: one `Unit` per compilation unit, from its first entry alone; `debug.inline` reads the others.
"""

from __future__ import annotations

from typing import Final

from figwasp.wasm.debug.reader import Broken, DwarfReader, Span, WorkLimit

__all__ = ["Attributes", "Fields", "Sections", "Unit", "fixed_size", "read_fields", "read_form", "read_units"]

AT_STMT_LIST: Final = 0x10
AT_LOW_PC: Final = 0x11
AT_HIGH_PC: Final = 0x12
AT_COMP_DIR: Final = 0x1B
AT_RANGES: Final = 0x55
AT_STR_OFFSETS_BASE: Final = 0x72
AT_ADDR_BASE: Final = 0x73
AT_RNGLISTS_BASE: Final = 0x74

_ADDR: Final = 0x01
_STRING: Final = 0x08
_STRP: Final = 0x0E
_INDIRECT: Final = 0x16
_LINE_STRP: Final = 0x1F
_IMPLICIT: Final = 0x21
_RNGLISTX: Final = 0x23
_STRX: Final = (0x1A, 0x25, 0x26, 0x27, 0x28, 0x1F02)
_ADDRX: Final = (0x1B, 0x29, 0x2A, 0x2B, 0x2C, 0x1F01)
_OFFSETS: Final = (_STRP, 0x10, 0x17, 0x1D, _LINE_STRP, 0x1F20, 0x1F21)
_ULEBS: Final = (0x0D, 0x0F, 0x15, 0x1A, 0x1B, 0x22, _RNGLISTX, 0x1F01, 0x1F02)
_BLOCKS: Final = {0x03: 2, 0x04: 4, 0x0A: 1}
_SIZES: Final = {
    0x05: 2, 0x06: 4, 0x07: 8, 0x0B: 1, 0x0C: 1, 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8, 0x19: 0, 0x1C: 4, 0x1E: 16, 0x20: 8,
    0x24: 8, 0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4, 0x29: 1, 0x2A: 2, 0x2B: 3, 0x2C: 4,
}  # fmt: skip
_COMPILE_UNITS: Final = (0x11, 0x3C, 0x4A)  # tags: compile, partial and skeleton unit
_NOWHERE: Final = -1
_BASES: Final = (AT_LOW_PC, AT_STR_OFFSETS_BASE, AT_ADDR_BASE, AT_RNGLISTS_BASE)
"""Attributes of a unit that others are relative to."""
_UNIT: Final = 600  # bytes that a unit takes, and each range of it
_RANGE: Final = 200

Fields = list[tuple[int, int, int]]
"""Attribute, form and implicit value of what the entries of an abbreviation consist of."""
Attributes = dict[int, tuple[int, int | str]]
"""Attribute -> form and value: a number, an offset, an index or a string."""


class Sections:
    """The sections of a module that are read, each an empty span where there is none."""

    __slots__ = ("_spans", "budget", "data")

    def __init__(self, data: bytes, spans: dict[str, Span], budget: WorkLimit) -> None:
        self.data = data
        self.budget = budget
        self._spans = spans

    def span(self, name: str) -> Span:
        """Return where a section lies."""
        return self._spans.get(name, (0, 0))

    def reader(self, name: str, offset: int = 0) -> DwarfReader:
        """Return a reader at an offset of a section."""
        start, end = self.span(name)
        if offset > end - start:
            raise Broken
        return DwarfReader(self.data, start + offset, end, self.budget)


class Unit:
    """A compilation unit.

    Attributes:
        start, entries, end: places in the module's bytes: of the unit, of its first entry, and after it.
        version, size, wide: of DWARF; bytes of an address; whether the format is the 64-bit one.
        abbreviations: offset of its abbreviations.
        program: offset of its line program, or -1.
        directory: directory it was compiled in.
        ranges: (start, end) of the addresses of its code; empty when it does not say.
    """

    __slots__ = (
        "_bases",
        "abbreviations",
        "directory",
        "end",
        "entries",
        "program",
        "ranges",
        "size",
        "start",
        "version",
        "wide",
    )

    def __init__(self, start: int, end: int, version: int, wide: bool) -> None:
        self.start = start
        self.end = end
        self.entries = start
        self.version = version
        self.size = 0
        self.wide = wide
        self.abbreviations = 0
        self._bases: Attributes = {}
        self.program = _NOWHERE
        self.directory = ""
        self.ranges: list[Span] = []

    def _number(self, attribute: int) -> int:
        value = self._bases.get(attribute, (0, 0))[1]
        return value if isinstance(value, int) else 0

    def describe(self, sections: Sections, attributes: Attributes) -> None:
        """Take what the first entry says, and follow what it refers to."""
        self._bases = {key: attributes[key] for key in _BASES if key in attributes}
        program = attributes.get(AT_STMT_LIST, (0, _NOWHERE))[1]
        self.program = program if isinstance(program, int) else _NOWHERE
        try:
            directory = self.string(sections, *attributes.get(AT_COMP_DIR, (0, "")))
            sections.budget.keep(0, directory)
            self.directory = directory
            ranges = self.code(sections, attributes)
            sections.budget.keep(_RANGE * len(ranges))
            self.ranges = ranges
        except Broken:
            sections.budget.spend()

    def code(self, sections: Sections, attributes: Attributes) -> list[Span]:
        """Return (start, end) of the addresses of the code that an entry of the unit is about."""
        found: list[Span] = []
        if AT_RANGES in attributes:
            form, value = attributes[AT_RANGES]
            assert isinstance(value, int)
            found = self._lists(sections, form, value) if self.version >= 5 else self._old_ranges(sections, value)
        elif AT_HIGH_PC in attributes and AT_LOW_PC in attributes:
            low = self._address(sections, *attributes[AT_LOW_PC])
            form, high = attributes[AT_HIGH_PC]
            absolute = form == _ADDR or form in _ADDRX
            found = [(low, self._address(sections, form, high) + (0 if absolute else low))]
        # What was removed by the linker has been left at addresses where there is no code.
        return [span for span in found if 0 < span[0] < span[1]]

    def _address(self, sections: Sections, form: int, value: int | str) -> int:
        assert isinstance(value, int)
        return self._indexed(sections, value) if form in _ADDRX else value

    def _low(self, sections: Sections) -> int:
        return self._address(sections, *self._bases.get(AT_LOW_PC, (_ADDR, 0)))

    def string(self, sections: Sections, form: int, value: int | str) -> str:
        """Return the string that a field of the unit has or refers to; "" for anything else."""
        if isinstance(value, str):
            return value
        if form in _STRX:
            size = 8 if self.wide else 4
            value = sections.reader(".debug_str_offsets", self._number(AT_STR_OFFSETS_BASE) + size * value).fixed(size)
        elif form not in (_STRP, _LINE_STRP):
            return ""
        return sections.reader(".debug_line_str" if form == _LINE_STRP else ".debug_str", value).string()

    def _indexed(self, sections: Sections, index: int) -> int:
        return sections.reader(".debug_addr", self._number(AT_ADDR_BASE) + self.size * index).fixed(self.size)

    def _old_ranges(self, sections: Sections, offset: int) -> list[Span]:
        """Read a list of `.debug_ranges` (DWARF 4, section 2.17.3)."""
        reader = sections.reader(".debug_ranges", offset)
        size = self.size
        base, last = self._low(sections), (1 << 8 * size) - 1
        found: list[Span] = []
        while True:
            first, second = reader.fixed(size), reader.fixed(size)
            if first == last:
                base = second
            elif first == second == 0:
                return found
            else:
                found.append((base + first, base + second))

    def _lists(self, sections: Sections, form: int, value: int) -> list[Span]:
        """Read a list of `.debug_rnglists` (section 7.25)."""
        if form == _RNGLISTX:
            size = 8 if self.wide else 4
            start = self._number(AT_RNGLISTS_BASE)
            value = start + sections.reader(".debug_rnglists", start + size * value).fixed(size)
        reader = sections.reader(".debug_rnglists", value)
        size = self.size
        base = self._low(sections)
        found: list[Span] = []
        while kind := reader.fixed(1):
            if kind == 1:
                base = self._indexed(sections, reader.unsigned())
            elif kind == 2:
                found.append((self._indexed(sections, reader.unsigned()), self._indexed(sections, reader.unsigned())))
            elif kind == 3:
                first = self._indexed(sections, reader.unsigned())
                found.append((first, first + reader.unsigned()))
            elif kind == 4:
                found.append((base + reader.unsigned(), base + reader.unsigned()))
            elif kind == 5:
                base = reader.fixed(size)
            elif kind == 6:
                found.append((reader.fixed(size), reader.fixed(size)))
            elif kind == 7:
                first = reader.fixed(size)
                found.append((first, first + reader.unsigned()))
            else:
                raise Broken
        return found


def read_units(sections: Sections) -> list[Unit]:
    """Return the units up to the first that is broken."""
    units: list[Unit] = []
    known: dict[tuple[int, int], Fields | None] = {}
    reader = sections.reader(".debug_info")
    end = reader.end
    try:
        while reader.pos < end:
            start = reader.pos
            reader.end = reader.unit()
            unit = _read_unit(reader, start, sections, known)
            if unit is not None:
                units.append(unit)
            reader.pos, reader.end = reader.end, end
    except Broken:
        pass
    return units


def _read_unit(reader: DwarfReader, start: int, sections: Sections, known: dict[tuple[int, int], Fields | None]) -> Unit | None:
    """Read the unit that a reader is in; None when it is none with code."""
    unit = Unit(start, reader.end, reader.fixed(2), reader.wide)
    if unit.version == 5:
        kind = reader.fixed(1)
        unit.size = reader.fixed(1)
        unit.abbreviations = reader.offset()
        if kind == 4:  # DW_UT_skeleton
            reader.skip(8)
        elif kind not in (1, 3):  # DW_UT_compile, partial
            return None
    elif 2 <= unit.version <= 4:
        unit.abbreviations = reader.offset()
        unit.size = reader.fixed(1)
    else:
        return None
    if unit.size not in (4, 8):
        raise Broken
    unit.entries = reader.pos
    key = (unit.abbreviations, reader.unsigned())
    if key not in known:
        known[key] = _find_abbreviation(sections.reader(".debug_abbrev", key[0]), key[1])
    fields = known[key]
    if fields is None:
        return None
    sections.budget.keep(_UNIT)
    unit.describe(sections, {attribute: read_form(reader, form, implicit, unit) for attribute, form, implicit in fields})
    return unit


def _find_abbreviation(reader: DwarfReader, wanted: int) -> Fields | None:
    """Return the fields of an abbreviation; None when its tag is not that of a unit."""
    while code := reader.unsigned():
        tag = reader.unsigned()
        reader.skip(1)
        fields = read_fields(reader)
        if code == wanted:
            return fields if tag in _COMPILE_UNITS else None
    raise Broken


def read_fields(reader: DwarfReader) -> Fields:
    """Read the fields of an abbreviation, which come after its tag (section 7.5.3)."""
    fields: Fields = []
    while True:
        attribute, form = reader.unsigned(), reader.unsigned()
        if not attribute and not form:
            return fields
        fields.append((attribute, form, reader.signed() if form == _IMPLICIT else 0))


def read_form(reader: DwarfReader, form: int, implicit: int, unit: Unit) -> tuple[int, int | str]:
    """Read a field: the form it has, and a number, an offset, an index or a string; 0 for a block (section 7.5.6)."""
    while form == _INDIRECT:
        form = reader.unsigned()
    if form in _SIZES:
        return form, reader.fixed(_SIZES[form])
    if form == _ADDR or (form == 0x10 and unit.version == 2):
        return form, reader.fixed(unit.size)
    if form in _OFFSETS:
        return form, reader.offset()
    if form in _ULEBS:
        return form, reader.unsigned()
    if form == _STRING:
        return form, reader.string()
    if form == _IMPLICIT:
        return form, implicit
    if form in _BLOCKS:
        reader.skip(reader.fixed(_BLOCKS[form]))
    elif form in (0x09, 0x18):  # DW_FORM_block, exprloc
        reader.skip(reader.unsigned())
    else:
        raise Broken
    return form, 0


def fixed_size(form: int, unit: Unit) -> int:
    """Return how many bytes a field of a form takes, or -1 when that depends."""
    if form in _SIZES:
        return _SIZES[form]
    if form == _ADDR or (form == 0x10 and unit.version == 2):
        return unit.size
    if form in _OFFSETS:
        return 8 if unit.wide else 4
    return 0 if form == _IMPLICIT else -1
