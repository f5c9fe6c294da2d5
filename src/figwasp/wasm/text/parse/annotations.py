"""Floor 1: the annotations of the text format that mean something (appendix A.4 and A.5, the proposal for branch hints).

In: the `Note`s of one module, which `(@name ...)`, `(@custom ...)` and `(@metadata.code.branch_hint ...)` leave. Out: names
and hints that the cursor hands to the reader of the token behind them, and custom sections. An annotation that was not taken
stands where it may not stand. All other annotations are white space.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, NoReturn

from figwasp.errors import Invalid, ParseError
from figwasp.wasm.binary.encode import AFTER, BEFORE, FIRST, LAST, Section
from figwasp.wasm.binary.leb128 import write_unsigned
from figwasp.wasm.text.cursor import Cursor
from figwasp.wasm.text.lexer import Note, string_bytes, tokenize

__all__ = ["Annotations", "hint_section"]

HINT: Final = "metadata.code.branch_hint"
_CODE: Final = 10
_SECTIONS: Final = {
    "type": 1,
    "import": 2,
    "func": 3,
    "table": 4,
    "memory": 5,
    "tag": 13,
    "global": 6,
    "export": 7,
    "start": 8,
    "elem": 9,
    "datacount": 12,
    "code": 10,
    "data": 11,
}
"""Name of a section in `(before ...)` and `(after ...)` -> its id."""


class Annotations:
    """The annotations of one module."""

    __slots__ = ("_cursor", "_customs", "_hints", "_titles")

    def __init__(self, cursor: Cursor, notes: list[Note]) -> None:
        self._cursor = cursor
        self._customs: list[Note] = []
        self._titles: dict[int, Note] = {}
        self._hints: dict[int, Note] = {}
        for note in notes:
            if note.id == "custom":
                self._customs.append(note)
            elif note.id == "name":
                self._once(note, self._titles, "multiple module or item names")
                cursor.titles[note.at] = self._title(note)
            else:
                self._once(note, self._hints, "duplicate annotation")
                cursor.hints[note.at] = self._hint(note)

    def _once(self, note: Note, seen: dict[int, Note], message: str) -> None:
        if note.at in seen:
            self._fail(note, message)
        seen[note.at] = note

    def _fail(self, note: Note, message: str) -> NoReturn:
        self._cursor.tokens.fail_note(f"@{note.id} annotation: {message}", note)

    def _items(self, note: Note) -> list[str]:
        """Return the tokens of an annotation, and an empty one for their end."""
        return tokenize(note.content).items

    def _title(self, note: Note) -> str:
        items = self._items(note)
        if items[0][:1] != '"' or items[1]:
            self._fail(note, "unexpected token")
        return self._text(note, items[0])

    def _text(self, note: Note, token: str) -> str:
        """Return what a string literal stands for."""
        try:
            return (string_bytes(token) or b"").decode()
        except UnicodeDecodeError:
            self._fail(note, "malformed UTF-8 encoding")

    def _hint(self, note: Note) -> int:
        value = b"".join(string_bytes(token) or b"" for token in self._items(note))
        if value not in (b"\0", b"\1"):
            self._fail(note, "invalid value")
        return value[0]

    # When all fields have been read

    def finish(self, starts: list[int], begin: int, end: int) -> list[Section]:
        """Return the custom sections.

        Args:
            starts: index of the keyword of each field.
            begin: index of the first token of the fields.
            end: index of the token after them.

        Raises:
            ParseError: an annotation is malformed, or stands where it may not.
            Invalid: a hint for an instruction that is no branch.
        """
        tokens = self._cursor.tokens
        places = {start - 1 for start in starts} | {end}
        for at in self._cursor.titles:
            tokens.fail_note("misplaced @name annotation", self._titles[at])
        for at in self._cursor.hints:
            field = bisect_right(starts, at) - 1
            inside = field >= 0 and at not in places and self._cursor.items[starts[field]] == "func"
            self._misplaced_hint(self._hints[at], inside)
        sections: list[Section] = []
        for note in self._customs:
            if note.at not in places or note.at < begin:
                tokens.fail_note("misplaced @custom annotation", note)
            sections.append(self._section(note))
        return sections

    def _misplaced_hint(self, note: Note, inside: bool) -> NoReturn:
        """Refuse a hint that was not taken, inside a function or not."""
        if not inside:
            self._fail(note, "not in a function")
        try:
            self._fail(note, "invalid target")
        except ParseError as error:
            raise Invalid(str(error)) from None

    def _section(self, note: Note) -> Section:
        """Read a custom section: its position, its name, its content."""
        items = self._items(note)
        if items[0][:1] != '"':
            self._fail(note, "missing section name")
        name = self._text(note, items[0])
        at = 1
        position = LAST
        if items[at] == "(":
            position = self._placement(note, items)
            at = 5
        content = bytearray()
        while items[at][:1] == '"':
            content += string_bytes(items[at]) or b""
            at += 1
        if items[at]:
            self._fail(note, "unexpected token")
        return position, name, bytes(content)

    def _placement(self, note: Note, items: list[str]) -> int:
        """Read `(before x)` or `(after x)`; return the position."""
        side, section, closing = [*items[2:5], "", ""][:3]
        if side not in ("before", "after"):
            self._fail(note, "malformed placement")
        if section == ("first" if side == "before" else "last"):
            position = FIRST if side == "before" else LAST
        elif section not in _SECTIONS:
            self._fail(note, "malformed section kind")
        else:
            position = (BEFORE if side == "before" else AFTER)[_SECTIONS[section]]
        if closing != ")":
            self._fail(note, "unexpected token")
        return position


def hint_section(hints: dict[int, list[tuple[int, int]]]) -> Section:
    """Return the custom section of branch hints.

    Args:
        hints: index of a function -> (offset from the start of its code entry, 0 or 1 for unlikely or likely), ascending.
    """
    content = bytearray()
    write_unsigned(content, len(hints))
    for func, pairs in sorted(hints.items()):
        write_unsigned(content, func)
        write_unsigned(content, len(pairs))
        for offset, hint in pairs:
            write_unsigned(content, offset)
            content += bytes((1, hint))
    return BEFORE[_CODE], HINT, bytes(content)
