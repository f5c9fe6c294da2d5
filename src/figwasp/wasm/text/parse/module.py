"""Floor 1: the text format of a module to the binary format (spec 6.6).

In: source text. Out: bytes, or `Parsed`, what `encode` makes them from. Scripts use `parse_form` for the modules in them.
"""

from __future__ import annotations

from typing import Final

from figwasp.errors import LimitExceeded, ParseError
from figwasp.wasm.binary.encode import encode
from figwasp.wasm.text.cursor import Cursor
from figwasp.wasm.text.lexer import Tokens, tokenize
from figwasp.wasm.text.parse.fields import Fields, Parsed
from figwasp.wasm.text.parse.types import TypeCursor

__all__ = ["Form", "Parsed", "parse", "parse_form", "wat"]

MAX_QUOTES: Final = 8
"""How deep modules may be quoted in one another."""


class Form:
    """One `(module ...)`: in fields, or as a binary or a source in string literals (spec 6.6.13 and the script grammar).

    Attributes:
        id: identifier with its `$`, or None.
        definition: whether it says `definition`: defined but not instantiated.
        parsed: the module, if it is written in fields.
        binary: the bytes, after `binary`.
        quoted: the source, after `quote`; nothing is known of it yet.
    """

    __slots__ = ("binary", "definition", "id", "parsed", "quoted")

    def __init__(self, id: str | None, definition: bool) -> None:
        self.id = id
        self.definition = definition
        self.parsed: Parsed | None = None
        self.binary: bytes | None = None
        self.quoted: bytes | None = None

    def encode(self) -> bytes:
        """Return the binary.

        Raises:
            ParseError: if the quoted source is malformed.
        """
        form = self
        for _ in range(MAX_QUOTES):
            if form.binary is not None:
                return form.binary
            if form.parsed is not None:
                return encode(*form.parsed)
            assert form.quoted is not None
            form = _only_form(tokenize(form.quoted))
        raise LimitExceeded(f"modules are quoted in one another more than {MAX_QUOTES} times")


def wat(text: str | bytes) -> bytes:
    """Translate a module from the text format to the binary format.

    Raises:
        ParseError: if the text is malformed; it names line and column.
        Invalid: if a branch hint stands before what is no branch.
    """
    return _only_form(tokenize(text)).encode()


def parse(text: str | bytes) -> Parsed:
    """Parse a module in the text format, with or without `(module ...)` around its fields.

    Raises:
        ParseError: if the text is malformed.
    """
    form = _only_form(tokenize(text))
    if form.parsed is None:
        raise ParseError("expected the fields of a module, not its binary or source in a string", 1, 1)
    return form.parsed


def parse_form(tokens: Tokens, at: int) -> tuple[Form, int]:
    """Read the `(module ...)` whose opening parenthesis is token `at`; return it and the index after its last token."""
    cursor = TypeCursor(tokens, at)
    cursor.expect("(")
    cursor.expect("module")
    definition = cursor.items[cursor.at] == "definition"
    cursor.at += definition
    form = Form(cursor.identifier(), definition)
    kind = cursor.items[cursor.at]
    if kind in ("binary", "quote"):
        cursor.at += 1
        if kind == "binary":
            form.binary = cursor.strings()
        else:
            form.quoted = cursor.strings()
    else:
        form.parsed = Fields(cursor).parse(form.id, at + 1)
    cursor.expect(")")
    return form, cursor.at


def _only_form(tokens: Tokens) -> Form:
    items = tokens.items
    if items[0] == "(" and items[1] == "module":
        form, at = parse_form(tokens, 0)
    else:
        form = Form(None, False)
        fields = Fields(TypeCursor(tokens))
        form.parsed = fields.parse(None, 0)
        at = fields.cursor.at
    if items[at]:
        Cursor(tokens, at).unexpected("the end")
    return form
