"""Floor 1: a place in a token stream, and what all productions share (spec 6.3, 6.4).

In: `Tokens`. Out: indices, names, strings, numbers. A `Cursor` also holds what identifiers mean in one module: the index
spaces. Productions that look things up expect the cursor on their first token and leave it after their last.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from figwasp.wasm.syntax.module import FUNC, GLOBAL, MEMORY, TABLE, TAG
from figwasp.wasm.syntax.opcodes import ROWS, Opcode
from figwasp.wasm.syntax.types import HEAP_NAMES, TYPE_CODES
from figwasp.wasm.text.lexer import Tokens, identifier, string_bytes
from figwasp.wasm.text.literals import float_bits, integer

__all__ = ["DATA", "ELEM", "INSTRS", "TYPE", "U32", "U64", "Cursor", "is_index"]

TYPE: Final = 5
ELEM: Final = 6
DATA: Final = 7
SPACES: Final = ("function", "table", "memory", "global", "tag", "type", "elem segment", "data segment")
"""Index space -> what messages call its items; the first five are the kinds of imports and exports."""
assert (FUNC, TABLE, MEMORY, GLOBAL, TAG) == (0, 1, 2, 3, 4)

U32: Final = (1 << 32) - 1
U64: Final = (1 << 64) - 1


def is_index(token: str) -> bool:
    """Return whether a token can only be an index."""
    return token[:1] == "$" or token[:1].isdecimal()


def _instructions() -> dict[str, Opcode]:
    rows: dict[str, Opcode] = {}
    for row in ROWS:
        rows.setdefault(row.text, row)
    return rows


INSTRS: Final[dict[str, Opcode]] = _instructions()
"""Name in the text format -> row, the first of those with that name: `select` without types, `ref.test` without null."""

_KEYWORDS: Final = frozenset(
    (
        "module", "type", "rec", "sub", "final", "func", "struct", "array", "field", "param", "result", "local", "import",
        "export", "table", "memory", "global", "tag", "mut", "shared", "pagesize", "elem", "data", "start", "offset", "item",
        "declare", "then", "do", "ref", "null", "i8", "i16", "catch_ref", "catch_all_ref", "binary", "quote", "definition",
        "instance", "i8x16", "i16x8", "i32x4", "i64x2", "f32x4", "f64x2",
    )
)  # fmt: skip
_NANS: Final = ("nan:canonical", "nan:arithmetic")
_MEMARG: Final = re.compile(r"(?:offset|align)=(.*)")


class Cursor:
    """A place in a token stream, and the index spaces of the module it is in.

    Attributes:
        tokens: the source, for messages.
        items: its tokens.
        at: index of the next token.
        spaces: per index space, identifier -> index.
        counts: per index space, how many items are known.
        titles: index of a token -> the name that the annotation `@name` before it gives; taken out when it is read.
        hints: index of a token -> the branch hint before it; taken out likewise.
    """

    __slots__ = ("at", "counts", "hints", "items", "spaces", "titles", "tokens")

    def __init__(self, tokens: Tokens, at: int = 0) -> None:
        self.tokens = tokens
        self.items = tokens.items
        self.at = at
        self.spaces: list[dict[str, int]] = [{} for _ in SPACES]
        self.counts = [0] * len(SPACES)
        self.titles: dict[int, str] = {}
        self.hints: dict[int, int] = {}

    # Errors

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        """Raise `ParseError` at token `at`, by default the next one."""
        self.tokens.fail(message, self.at if at is None else at)

    def unexpected(self, wanted: str = "", at: int | None = None) -> NoReturn:
        """Raise `ParseError` for a token that cannot stand here, in the spec's words for the kind of token it is."""
        where = self.at if at is None else at
        token = self.items[where]
        shown = token if len(token) <= 40 else token[:37] + "..."
        if not token:
            self.fail("unexpected end" + (f", expected {wanted}" if wanted else ""), where)
        if token[0] == "$" and identifier(token) is None:
            self._bad_identifier(where)
        if token[0] == '"' and string_bytes(token) is None and token.startswith('"\\u'):
            self.fail("malformed UTF-8 encoding", where)
        if not _known(token):
            self.fail(f"unknown operator {shown}", where)
        self.fail(f"unexpected token {shown}" + (f", expected {wanted}" if wanted else ""), where)

    def _bad_identifier(self, at: int) -> NoReturn:
        token = self.items[at]
        if token in ("$", '$""'):
            self.fail("empty identifier", at)
        if token[:2] == '$"' and token.count('"') == 2 + token.count('\\"') and token[-1] == '"':
            self.fail("malformed UTF-8 encoding", at)
        self.fail(f"unknown operator {token[:40]}", at)

    # Tokens

    def expect(self, token: str) -> None:
        """Step over one given token."""
        if self.items[self.at] != token:
            self.unexpected(repr(token) if token in "()" else token)
        self.at += 1

    def opens(self, keyword: str) -> bool:
        """Step over "(" and the keyword if they come next."""
        items = self.items
        at = self.at
        if items[at] == "(" and items[at + 1] == keyword:
            self.at = at + 2
            return True
        return False

    def skip_form(self) -> None:
        """Step over the rest of a form up to and with its closing parenthesis."""
        items = self.items
        at = self.at
        depth = 1
        while depth:
            token = items[at]
            at += 1
            if token == "(":
                depth += 1
            elif token == ")":
                depth -= 1
            elif not token:
                self.fail("unexpected end, expected ')'", at - 1)
        self.at = at

    # Values

    def string(self) -> bytes:
        """Read a string literal."""
        token = self.items[self.at]
        value = string_bytes(token) if token[:1] == '"' else None
        if value is None:
            self.unexpected("a string")
        self.at += 1
        return value

    def name(self) -> str:
        """Read a string literal that must be UTF-8."""
        try:
            return self.string().decode()
        except UnicodeDecodeError:
            self.fail("malformed UTF-8 encoding", self.at - 1)

    def strings(self) -> bytes:
        """Read any number of string literals, joined."""
        parts: list[bytes] = []
        while self.items[self.at][:1] == '"':
            parts.append(self.string())
        return b"".join(parts)

    def unsigned(self, limit: int = U32, wanted: str = "an unsigned integer") -> int:
        """Read an unsigned integer up to a limit."""
        token = self.items[self.at]
        value = int(token) if token.isdecimal() and len(token) < 10 else self._unsigned(token, limit, wanted)
        self.at += 1
        return value

    def _unsigned(self, token: str, limit: int, wanted: str) -> int:
        value = integer(token) if token[:1].isdecimal() else None
        if value is None:
            self.unexpected(wanted)
        if value > limit:
            self.fail(f"constant out of range for u{limit.bit_length()}")
        return value

    # Identifiers and indices

    def key(self, token: str) -> str:
        """Return the one spelling of an identifier that names are kept under: "$" and the name."""
        name = identifier(token)
        if name is None:
            self._bad_identifier(self.at)
        return "$" + name

    def identifier(self) -> str | None:
        """Read an identifier if one comes next."""
        token = self.items[self.at]
        if token[:1] != "$":
            return None
        key = self.key(token)
        self.at += 1
        return key

    def bind(self, space: int) -> str | None:
        """Give the next index of a space to an item, and to the identifier if one comes next."""
        key = self.identifier()
        if key is not None:
            if key in self.spaces[space]:
                self.fail(f"duplicate {SPACES[space]} {key}", self.at - 1)
            self.spaces[space][key] = self.counts[space]
        self.counts[space] += 1
        return key

    def title(self, key: str | None) -> str | None:
        """Return the name of an item: that of the annotation that comes next, or else its identifier."""
        if self.titles:
            title = self.titles.pop(self.at, None)
            if title is not None:
                return title
        return key[1:] if key is not None else None

    def index(self, space: int) -> int:
        """Read an index: a number, or an identifier of the space."""
        token = self.items[self.at]
        if token[:1] != "$":
            return self.unsigned(U32, "an index")
        key = self.key(token) if token[1:2] == '"' else token
        value = self.spaces[space].get(key)
        if value is None:
            self.fail(f"unknown {SPACES[space]} {self.key(token)}")
        self.at += 1
        return value

    def optional_index(self, space: int) -> int:
        """Read an index if one comes next, else return 0."""
        return self.index(space) if is_index(self.items[self.at]) else 0


def _known(token: str) -> bool:
    """Return whether a token is one that the grammar knows at all."""
    if token in "()" or token in INSTRS or token in _KEYWORDS:
        return True
    if token in TYPE_CODES or token in HEAP_NAMES:
        return True
    if token[0] in "$":
        return identifier(token) is not None
    if token[0] == '"':
        return string_bytes(token) is not None
    if token[0].isdecimal() or token[0] in "+-" or token[:3] in ("inf", "nan"):
        return integer(token) is not None or float_bits(token, 64) is not None or token in _NANS
    memarg = _MEMARG.fullmatch(token)
    return memarg is not None and memarg[1][:1].isdecimal() and integer(memarg[1]) is not None
