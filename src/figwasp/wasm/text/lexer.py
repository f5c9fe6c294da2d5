"""Floor 1: source text to tokens (spec 6.2 and 6.3).

In: the text of a module or of a script, as `str` or as UTF-8 bytes. Out: `Tokens`: the source split into strings, one per
token, without white space, comments and annotations. The first character tells a token's class:

    (  )   parentheses            "   string literal, quotes and escapes still in place
    $      identifier             digit, + or -   number
    a-z    keyword                anything else   reserved, which no production accepts

A token is a plain `str`, because that is what one call of `findall` yields and what `==` and a dict look up fastest. Where
a token stands is only wanted when something is wrong with it, so offsets are found then, by scanning once more.

Block comments nest and annotations hold tokens, which a regular expression cannot follow: `_blanked` overwrites both with
spaces of the same length before the scan, and only in texts that have any. The few annotations that mean something to the
parser are kept as `Note`s.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final, NoReturn

from figwasp.errors import ParseError

__all__ = ["Note", "Tokens", "identifier", "string_bytes", "tokenize"]

# Repetitions are possessive: hostile text cannot make a scan backtrack, and no place to go back to is kept for each character.
_PLAIN: Final = r'[^"\\\x00-\x1f\x7f]*+'
_STRING: Final = rf'"{_PLAIN}(?:\\(?:[tnr"\'\\]|[0-9a-fA-F]{{2}}|u\{{[0-9a-fA-F](?:_?[0-9a-fA-F])*+\}}){_PLAIN})*+"'
_ID_CHARS: Final = r"[!#-'*+\--:<-Z\\^-z|~]++"
_RUN: Final = rf"(?:[!#-'*-:<-~]++|;(?!;)|{_STRING})++"
_SPACE: Final = r"[ \t\n\r]*+(?:;;[^\n\r]*+[ \t\n\r]*+)*+"
# The last alternative takes all that follows a character which starts no token: one look at the last item finds it.
_TOKEN: Final = re.compile(rf"{_SPACE}([()]|{_RUN}|(?s:.*))")
_GOOD: Final = re.compile(rf"[()]|{_RUN}")

# What `_blanked` looks for; strings and line comments only so as not to look inside.
_NOTABLE: Final = re.compile(rf"{_STRING}|;;[^\n\r]*|(\(;)|(\(@)")
_COMMENT_EDGE: Final = re.compile(r"(\(;)|;\)")
_ANNOTATION_ID: Final = re.compile(rf"({_STRING})|{_ID_CHARS}")
_ANNOTATED: Final = re.compile(rf"{_SPACE}(?:(\(;)|(\()|(\))|{_RUN}|(\Z))")

_NEWLINE: Final = re.compile(r"\r\n|\n|\r")
_PLAIN_ID: Final = re.compile(rf"\${_ID_CHARS}")
_QUOTED: Final = re.compile(_STRING)
_LOOSE_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]++|\\[^\x00-\x1f\x7f])*+')
_ESCAPE: Final = re.compile(r"\\(?:([0-9a-fA-F]{2})|u\{([^}]*)\}|(.))")
_ESCAPED: Final = {"t": b"\t", "n": b"\n", "r": b"\r"}
_SHOWN: Final = 160
"""Longest source line that an error message quotes whole."""
_NOTED: Final = frozenset(("custom", "name", "metadata.code.branch_hint"))
"""Ids of the annotations that are kept."""


class Note:
    """An annotation that the parser may want to read.

    Attributes:
        id: the word after the `@`.
        at: index of the token that follows the annotation.
        offset: where it begins, in characters from the start of the text.
        content: the text after its id, without the closing parenthesis.
    """

    __slots__ = ("at", "content", "id", "offset")

    def __init__(self, id: str, offset: int, content: str) -> None:
        self.id = id
        self.at = 0
        self.offset = offset
        self.content = content


def _note_at(note: Note) -> int:
    return note.at


class Tokens:
    """The tokens of one source text.

    Attributes:
        text: the source.
        items: the tokens in order, and an empty string that stands for the end of the text.
        notes: the annotations that may mean something, in order.
    """

    __slots__ = ("_offsets", "_scanned", "items", "notes", "text")

    def __init__(self, text: str, scanned: str, items: list[str], notes: list[Note]) -> None:
        self.text = text
        self.items = items
        self.notes = notes
        self._scanned = scanned
        self._offsets: list[int] = []
        if notes:
            self.offset(0)
            for note in notes:
                note.at = min(bisect_left(self._offsets, note.offset), len(items) - 1)

    def offset(self, index: int) -> int:
        """Return where token `index` begins, in characters from the start of the text."""
        if not self._offsets:
            self._offsets = [match.start(1) for match in _TOKEN.finditer(self._scanned)]
        return self._offsets[min(index, len(self.items) - 1)]

    def position(self, index: int) -> tuple[int, int]:
        """Return line and column, both from 1, of token `index`."""
        return _position(self.text, self.offset(index))

    def fail(self, message: str, index: int) -> NoReturn:
        """Raise `ParseError` at token `index`."""
        _fail(self.text, message, self.offset(index))

    def fail_note(self, message: str, note: Note) -> NoReturn:
        """Raise `ParseError` at an annotation."""
        _fail(self.text, message, note.offset)

    def notes_between(self, start: int, end: int) -> list[Note]:
        """Return the annotations that stand before the tokens from `start` up to and with `end`."""
        if not self.notes:
            return []
        first = bisect_left(self.notes, start, key=_note_at)
        return self.notes[first : bisect_left(self.notes, end + 1, key=_note_at)]


def tokenize(source: str | bytes) -> Tokens:
    """Split a source text into tokens.

    Raises:
        ParseError: if the text is not UTF-8 or something in it is not a token.
    """
    text = source if isinstance(source, str) else _decoded(source)
    notes: list[Note] = []
    scanned = _blanked(text, notes) if "(;" in text or "(@" in text else text
    items: list[str] = _TOKEN.findall(scanned)
    while items and not items[-1]:
        del items[-1]
    if items and _GOOD.match(items[-1]) is None:
        _reject(text, len(text) - len(items[-1]))
    items.append("")
    return Tokens(text, scanned, items, notes)


def string_bytes(token: str) -> bytes | None:
    """Return the bytes that a string literal stands for, or None if `token` is not one well-formed string literal."""
    if _QUOTED.fullmatch(token) is None:
        return None
    body = token[1:-1]
    try:
        return body.encode() if "\\" not in body else _unescaped(body)
    except (ValueError, OverflowError):  # a surrogate, or beyond the last character of Unicode
        return None


def identifier(token: str) -> str | None:
    """Return the name that an identifier token means, without its `$`, or None if it is not a well-formed identifier."""
    if _PLAIN_ID.fullmatch(token):
        return token[1:]
    quoted = string_bytes(token[1:]) if token[:1] == "$" else None
    try:
        return quoted.decode() if quoted else None
    except UnicodeDecodeError:
        return None


def _unescaped(body: str) -> bytes:
    out = bytearray()
    done = 0
    for match in _ESCAPE.finditer(body):
        out += body[done : match.start()].encode()
        done = match.end()
        byte, code, char = match.groups()
        if byte is not None:
            out.append(int(byte, 16))
        elif code is not None:
            out += chr(int(code.replace("_", ""), 16)).encode()
        else:
            out += _ESCAPED.get(char) or char.encode()
    out += body[done:].encode()
    return bytes(out)


def _decoded(source: bytes) -> str:
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        good = source[: error.start].decode()
    _fail(good, "malformed UTF-8 encoding", len(good))


def _blanked(text: str, notes: list[Note]) -> str:
    """Overwrite block comments and annotations with spaces; keep the annotations that may mean something."""
    parts: list[str] = []
    done = 0
    match = _NOTABLE.search(text)
    while match is not None:
        end = match.end()
        if match.lastindex is not None:
            parts.append(text[done : match.start()])
            if match.lastindex == 1:
                end = _comment_end(text, end)
            else:
                name_end, name = _annotation_id(text, end)
                end = _annotation_end(text, end, name_end)
                if name in _NOTED:
                    notes.append(Note(name, match.start(), text[name_end : end - 1]))
            parts.append(" " * (end - match.start()))
            done = end
        match = _NOTABLE.search(text, end)
    parts.append(text[done:])
    return "".join(parts)


def _comment_end(text: str, start: int) -> int:
    """Return where the block comment ends whose opening bracket ends at `start`."""
    depth = 1
    for match in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if match.lastindex else -1
        if not depth:
            return match.end()
    _fail(text, "unclosed comment", start - 2)


def _annotation_id(text: str, start: int) -> tuple[int, str]:
    """Return where the id of an annotation ends that begins at `start`, and the id."""
    match = _ANNOTATION_ID.match(text, start)
    if match is None or match[1] == '""':
        _fail(text, "empty annotation id", start)
    name = match[0] if match[1] is None else identifier("$" + match[1])
    if name is None:
        _fail(text, "malformed UTF-8 encoding", start)
    return match.end(), name


def _annotation_end(text: str, start: int, at: int) -> int:
    """Return where the annotation ends whose opening bracket `(@` ends at `start` and whose id ends at `at`."""
    depth = 1
    while depth:
        match = _ANNOTATED.match(text, at)
        if match is None:
            _reject(text, _TOKEN.match(text, at).start(1))  # type: ignore[union-attr]
        at = match.end()
        match match.lastindex:
            case 1:
                at = _comment_end(text, at)
            case 2:
                depth += 1
            case 3:
                depth -= 1
            case 4:
                _fail(text, "unclosed annotation", start - 2)
    return at


def _position(text: str, offset: int) -> tuple[int, int]:
    line, start = 1, 0
    for match in _NEWLINE.finditer(text, 0, offset):
        line += 1
        start = match.end()
    return line, offset - start + 1


def _reject(text: str, offset: int) -> NoReturn:
    """Say why no token begins at `offset`."""
    if text[offset] != '"':
        _fail(text, "illegal character", offset)
    if text[offset - 1 : offset] in ("$", "@"):
        _fail(text, "empty identifier", offset - 1)
    loose = _LOOSE_STRING.match(text, offset)
    end = len(text) if loose is None else loose.end()
    if text[end : end + 1] == '"':
        _fail(text, "illegal escape", offset)
    if text[end : end + 1] in ("", "\n", "\r"):
        _fail(text, "unclosed string", offset)
    _fail(text, "illegal character", end)


def _fail(text: str, message: str, offset: int) -> NoReturn:
    line, column = _position(text, offset)
    start = offset - column + 1
    newline = _NEWLINE.search(text, offset)
    shown = text[start : newline.start() if newline else len(text)]
    shown = "".join(char if char.isprintable() else " " for char in shown[: _SHOWN + column])
    if len(shown) <= _SHOWN:
        raise ParseError(message, line, column, shown)
    cut = max(0, min(column - _SHOWN // 2, len(shown) - _SHOWN))
    raise ParseError(f"{message}\n  {shown[cut : cut + _SHOWN]}\n  {' ' * (column - 1 - cut)}^", line, column)
