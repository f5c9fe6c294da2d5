"""Floor 1: line number programs, versions 2 to 5 (DWARF 5, section 6.2).

In: a program in `.debug_line`. Out: a `LineProgram`, which answers for an address with a file and a line.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from typing import Final

from figwasp.wasm.debug.reader import Broken, DwarfReader, Span, WorkLimit

__all__ = ["LAST_LINE", "LineProgram", "Strings", "join", "read_program"]

PATH: Final = 1  # contents that a version 5 header may list for a directory or a file
DIRECTORY: Final = 2

_ABSOLUTE: Final = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
LAST_LINE: Final = 2**31 - 1
_MASK: Final = 2**64 - 1
_PROGRAM: Final = 1000  # bytes that a program takes by itself, and each of these things of it
_ENTRY: Final = 64
_ROW: Final = 16
_SEQUENCE: Final = 160
_PATH: Final = 200


class Strings:
    """The sections that strings of a line program's header may lie in."""

    __slots__ = ("lines", "plain")

    def __init__(self, plain: Span, lines: Span) -> None:
        self.plain = plain
        self.lines = lines


class LineProgram:
    """The lines of one unit.

    Attributes:
        end: where the program ends in the module's bytes.
    """

    __slots__ = (
        "_addresses",
        "_budget",
        "_directories",
        "_file_numbers",
        "_files",
        "_first_file",
        "_lines",
        "_paths",
        "_runs",
        "_starts",
        "end",
    )

    def __init__(self, end: int, budget: WorkLimit) -> None:
        self.end = end
        self._budget = budget
        budget.keep(_PROGRAM)
        self._paths: dict[tuple[int, str], str] = {}
        self._first_file = 1
        self._directories: list[str] = [""]
        self._files: list[tuple[str, int]] = []
        self._addresses = array("Q")
        self._file_numbers = array("I")
        self._lines = array("I")
        self._runs: list[tuple[int, int, int, int]] = []  # sequences: first address, address after, rows from, to
        self._starts: list[int] = []

    def find(self, address: int, compiled_in: str) -> tuple[str, int] | None:
        """Return the file and the line of an address.

        Args:
            address: relative to the code section.
            compiled_in: directory that relative names start from.

        Raises:
            Broken: too much is kept already.
        """
        k = bisect_right(self._starts, address) - 1
        if k < 0 or address >= self._runs[k][1]:
            return None
        row = bisect_right(self._addresses, address, *self._runs[k][2:]) - 1
        number, line = self._file_numbers[row] - self._first_file, self._lines[row]
        if not line or not 0 <= number < len(self._files):
            return None
        return self.file(self._file_numbers[row], compiled_in), line

    def file(self, number: int, compiled_in: str) -> str:
        """Return the path of a file of the table, or "": one string, however often it is asked for.

        Raises:
            Broken: too much is kept already.
        """
        path = self._paths.get((number, compiled_in))
        if path is None:
            path = self._path(number - self._first_file, compiled_in)
            self._budget.keep(_PATH, path)
            self._paths[number, compiled_in] = path
        return path

    def _path(self, index: int, compiled_in: str) -> str:
        if not 0 <= index < len(self._files):
            return ""
        name, directory = self._files[index]
        inside = self._directories[directory] if directory < len(self._directories) else ""
        path = join(join(compiled_in, inside), name)
        while "/./" in path:
            path = path.replace("/./", "/")
        return path

    def _finish(self) -> None:
        self._runs.sort()
        self._starts = [run[0] for run in self._runs]


def join(directory: str, path: str) -> str:
    """Return a path that may be relative to a directory."""
    if not directory or _ABSOLUTE.match(path):
        return path
    if not path:
        return directory
    if directory.endswith(("/", "\\")):
        return directory + path
    return directory + ("\\" if "\\" in directory and "/" not in directory else "/") + path


def read_program(reader: DwarfReader, strings: Strings) -> LineProgram:
    """Read the program at a reader's place.

    Raises:
        Broken: it is malformed, of a version we do not know, or too large.
    """
    end = reader.unit()
    reader.end = end
    version = reader.fixed(2)
    if not 2 <= version <= 5:
        raise Broken
    program = LineProgram(end, reader.budget)
    if version == 5:
        reader.skip(2)  # sizes of an address and of a segment selector
    length = reader.offset()
    first = reader.pos + length
    unit = reader.fixed(1)
    if version >= 4:
        reader.skip(1)  # operations of a VLIW instruction
    reader.skip(1)  # whether rows are statements at first
    base = reader.fixed(1)
    step = reader.fixed(1)
    opcodes = reader.fixed(1)
    if not step or not opcodes or first > end:
        raise Broken
    operands = [reader.fixed(1) for _ in range(opcodes - 1)]
    if version == 5:
        _read_tables(reader, program, strings)
    else:
        _read_old_tables(reader, program)
    reader.pos = first
    _run(reader, program, unit, base - 256 if base >= 128 else base, step, [0, *operands])
    reader.budget.keep(_ROW * len(program._addresses) + _SEQUENCE * len(program._runs))
    program._finish()
    return program


def _read_old_tables(reader: DwarfReader, program: LineProgram) -> None:
    while name := reader.string():
        reader.budget.keep(_ENTRY, name)
        program._directories.append(name)
    while name := reader.string():
        reader.budget.keep(_ENTRY, name)
        program._files.append((name, reader.unsigned()))
        reader.unsigned()
        reader.unsigned()


def _read_tables(reader: DwarfReader, program: LineProgram, strings: Strings) -> None:
    program._first_file = 0
    program._directories = [name for name, _ in _read_entries(reader, strings)]
    program._files = _read_entries(reader, strings)


def _read_entries(reader: DwarfReader, strings: Strings) -> list[tuple[str, int]]:
    """Read a table of directories or files: name and directory of each."""
    formats = [(reader.unsigned(), reader.unsigned()) for _ in range(reader.fixed(1))]
    entries = []
    for _ in range(reader.unsigned()):
        reader.budget.spend()
        name, directory = "", 0
        for content, form in formats:
            value = _read_field(reader, form, strings)
            if content == PATH and isinstance(value, str):
                name = value
            elif content == DIRECTORY and isinstance(value, int):
                directory = value
        reader.budget.keep(_ENTRY, name)
        entries.append((name, directory))
    return entries


_SIZES: Final = {0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16}  # DW_FORM_data1, 2, 4, 8, 16


def _read_field(reader: DwarfReader, form: int, strings: Strings) -> str | int:
    if form in _SIZES:
        return reader.fixed(_SIZES[form])
    if form == 0x08:  # DW_FORM_string
        return reader.string()
    if form in (0x0E, 0x1F):  # DW_FORM_strp, line_strp
        start, end = strings.plain if form == 0x0E else strings.lines
        return DwarfReader(reader.data, min(start + reader.offset(), end), end, reader.budget).string()
    if form == 0x0F:  # DW_FORM_udata
        return reader.unsigned()
    if form == 0x09:  # DW_FORM_block
        reader.skip(reader.unsigned())
        return 0
    raise Broken


def _run(reader: DwarfReader, program: LineProgram, unit: int, base: int, step: int, operands: list[int]) -> None:
    """Run the program: a flat loop over its opcodes (sections 6.2.5.1 to 6.2.5.3)."""
    data, end = reader.data, reader.end
    addresses, numbers, lines = program._addresses, program._file_numbers, program._lines
    opcodes = len(operands)
    address = 0
    file = line = 1
    before = (0, 0)
    started = len(addresses)
    while reader.pos < end:
        reader.budget.spend()
        opcode = data[reader.pos]
        reader.pos += 1
        if opcode >= opcodes:
            address += (opcode - opcodes) // step * unit
            line += base + (opcode - opcodes) % step
        elif opcode == 0:
            size = reader.unsigned()
            after = reader.pos + size
            if not 0 < size <= end - reader.pos:
                raise Broken
            extended = reader.fixed(1)
            if extended == 1:  # end_sequence
                _end_run(program, started, address)
                address, file, line, before, started = 0, 1, 1, (0, 0), len(addresses)
            elif extended == 2:  # set_address
                address = reader.fixed(min(size - 1, 8))
            elif extended == 3:  # define_file
                name = reader.string()
                reader.budget.keep(_ENTRY, name)
                program._files.append((name, reader.unsigned()))
            reader.pos = after
            continue
        elif opcode == 2:  # advance_pc
            address += reader.unsigned() * unit
            continue
        elif opcode == 3:  # advance_line
            line += reader.signed()
            continue
        elif opcode == 4:  # set_file
            file = reader.unsigned()
            continue
        elif opcode == 8:  # const_add_pc
            address += (255 - opcodes) // step * unit
            continue
        elif opcode == 9:  # fixed_advance_pc
            address += reader.fixed(2)
            continue
        elif opcode != 1:  # anything but copy changes nothing that we keep
            for _ in range(operands[opcode]):
                reader.unsigned()
            continue
        if (file, line) != before:
            before = file, line
            addresses.append(address & _MASK)
            numbers.append(min(file, LAST_LINE))
            lines.append(line if 0 < line <= LAST_LINE else 0)


def _end_run(program: LineProgram, started: int, address: int) -> None:
    """Keep the rows of a sequence; the linker leaves those of functions it removed at addresses where there is no code."""
    rows = program._addresses
    if started < len(rows) and 0 < rows[started] < address:
        program._runs.append((rows[started], address & _MASK, started, len(rows)))
