"""Floor 1: a place in a token stream, and the productions that modules and code share (spec 6.3, 6.4, 6.6.3 to 6.6.5).

In: `Tokens`. Out: indices, names, strings, types. A `Cursor` also holds what identifiers mean in one module: the index
spaces and the types. Productions that look things up expect the cursor on their first token and leave it after their last.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from figwasp.wasm.later import feature_of, no_support
from figwasp.wasm.lexer import Tokens, identifier, string_bytes
from figwasp.wasm.literals import float_bits, integer
from figwasp.wasm.module import FUNC, GLOBAL, MEMORY, TABLE
from figwasp.wasm.opcodes import ROWS, Opcode
from figwasp.wasm.types import TYPE_CODES, V128, FuncType, Limits

__all__ = ["ADDRESS_TYPES", "DATA", "ELEM", "HEAP_TYPES", "INSTRS", "TYPE", "U64", "VALUE_TYPES", "Cursor", "is_index", "text_name"]

TYPE: Final = 4
ELEM: Final = 5
DATA: Final = 6
SPACES: Final = ("function", "table", "memory", "global", "type", "elem segment", "data segment")
"""Index space -> what messages call its items; the first four are the kinds of imports and exports."""
assert (FUNC, TABLE, MEMORY, GLOBAL) == (0, 1, 2, 3)

HEAP_TYPES: Final = {"func": TYPE_CODES["funcref"], "extern": TYPE_CODES["externref"]}
"""Heap type of `ref.null` -> the reference type it means."""
VALUE_TYPES: Final = {name: code for name, code in TYPE_CODES.items() if code != V128}
_REFS: Final = frozenset(HEAP_TYPES.values())

ADDRESS_TYPES: Final = ("i32", "i64")
"""What may stand before limits to say what indexes a memory or table."""

U32: Final = (1 << 32) - 1
U64: Final = (1 << 64) - 1


def is_index(token: str) -> bool:
    """Say whether a token can only be an index."""
    return token[:1] == "$" or token[:1].isdecimal()


def text_name(row: Opcode) -> str:
    """Return the name that the text format has for an instruction: its own, but `select` for both forms of that."""
    return "select" if row.name == "select_t" else row.name


INSTRS: Final[dict[str, Opcode]] = {row.name: row for row in ROWS if row.name == text_name(row)}
"""Name in the text format -> row; `select` is the form without types."""

_KEYWORDS: Final = frozenset(
    (
        "module", "type", "func", "param", "result", "local", "import", "export", "table", "memory", "global", "mut", "elem",
        "data", "start", "offset", "item", "declare", "then", "extern", "binary", "quote", "definition", "instance",
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
        types: the types so far; implied ones are appended (spec 6.4.6).
    """

    __slots__ = ("_type_index", "at", "counts", "items", "spaces", "tokens", "types")

    def __init__(self, tokens: Tokens, at: int = 0) -> None:
        self.tokens = tokens
        self.items = tokens.items
        self.at = at
        self.spaces: list[dict[str, int]] = [{} for _ in SPACES]
        self.counts = [0] * len(SPACES)
        self.types: list[FuncType] = []
        self._type_index: dict[FuncType, int] = {}

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
        feature = feature_of(self.items[where + 1] if token == "(" else token)
        later = no_support(feature) if feature else ""
        if not _known(token):
            self.fail(f"unknown operator {shown}{later}", where)
        self.fail(f"unexpected token {shown}" + (f", expected {wanted}" if wanted else "") + later, where)

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

    def unsigned(self, limit: int = U32) -> int:
        """Read an unsigned integer up to a limit."""
        token = self.items[self.at]
        value = int(token) if token.isdecimal() and len(token) < 10 else self._unsigned(token, limit)
        self.at += 1
        return value

    def _unsigned(self, token: str, limit: int) -> int:
        value = integer(token) if token[:1].isdecimal() else None
        if value is None:
            self.unexpected("an unsigned integer")
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

    def index(self, space: int) -> int:
        """Read an index: a number, or an identifier of the space."""
        token = self.items[self.at]
        if token[:1] != "$":
            return self.unsigned()
        key = self.key(token) if token[1:2] == '"' else token
        value = self.spaces[space].get(key)
        if value is None:
            self.fail(f"unknown {SPACES[space]} {self.key(token)}")
        self.at += 1
        return value

    def optional_index(self, space: int) -> int:
        """Read an index if one comes next, else answer 0."""
        return self.index(space) if is_index(self.items[self.at]) else 0

    # Types

    def value_type(self) -> int:
        """Read a value type."""
        code = VALUE_TYPES.get(self.items[self.at])
        if code is None:
            self.unexpected("a value type")
        self.at += 1
        return code

    def ref_type(self) -> int:
        """Read a reference type."""
        code = VALUE_TYPES.get(self.items[self.at])
        if code not in _REFS:
            self.unexpected("a reference type")
        self.at += 1
        return code

    def value_types(self) -> bytes:
        """Read value types up to and with a closing parenthesis."""
        items = self.items
        types = bytearray()
        while items[self.at] != ")":
            types.append(self.value_type())
        self.at += 1
        return bytes(types)

    def declarations(self, keyword: str, names: dict[str, int] | None, count: int) -> bytes:
        """Read `(param ...)` or `(local ...)` forms.

        Args:
            keyword: which of the two.
            names: receives identifier -> index of the local; None where identifiers may not stand.
            count: index of the first.
        """
        types = bytearray()
        while self.opens(keyword):
            key = self.identifier() if names is not None else None
            if key is None or names is None:
                types += self.value_types()
                continue
            if key in names:
                self.fail(f"duplicate local {key}", self.at - 1)
            names[key] = count + len(types)
            types.append(self.value_type())
            self.expect(")")
        return bytes(types)

    def signature(self, names: dict[str, int] | None) -> FuncType:
        """Read parameters and results; `names` as in `declarations`."""
        params = self.declarations("param", names, 0)
        results = bytearray()
        while self.opens("result"):
            results += self.value_types()
        if self.items[self.at] == "(" and self.items[self.at + 1] in ("param", "type"):
            self.unexpected(at=self.at + 1)
        return FuncType(params, bytes(results))

    def type_use(self, names: dict[str, int] | None) -> int:
        """Read a type use and return the index of the type (spec 6.4.6); `names` as in `declarations`."""
        at = self.at
        if not self.opens("type"):
            return self.type_index(self.signature(names))
        index = self.index(TYPE)
        self.expect(")")
        inline = self.signature(names)
        if inline.params or inline.results:
            if index >= len(self.types):
                self.fail(f"unknown type {index}", at + 2)
            if inline != self.types[index]:
                self.fail("inline function type does not match the type", at)
        return index

    def add_type(self, type_: FuncType) -> int:
        """Append a type and return its index."""
        index = len(self.types)
        self.types.append(type_)
        self._type_index.setdefault(type_, index)
        return index

    def type_index(self, type_: FuncType) -> int:
        """Return the first index of a type, appending it if there is none."""
        index = self._type_index.get(type_)
        return self.add_type(type_) if index is None else index

    def limits(self) -> Limits:
        """Read limits."""
        if self.items[self.at] in ADDRESS_TYPES:
            self.fail(f"unexpected token {self.items[self.at]}" + no_support("memory64"))
        low = self.unsigned(U64)
        return Limits(low, self.unsigned(U64) if self.items[self.at][:1].isdecimal() else None)


def _known(token: str) -> bool:
    """Say whether a token is one that the grammar knows at all."""
    if token in "()" or token in INSTRS or token in _KEYWORDS or token in VALUE_TYPES:
        return True
    if token[0] in "$":
        return identifier(token) is not None
    if token[0] == '"':
        return string_bytes(token) is not None
    if token[0].isdecimal() or token[0] in "+-" or token[:3] in ("inf", "nan"):
        return integer(token) is not None or float_bits(token, 64) is not None or token in _NANS
    memarg = _MEMARG.fullmatch(token)
    return memarg is not None and integer(memarg[1]) is not None
