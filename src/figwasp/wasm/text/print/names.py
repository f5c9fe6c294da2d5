"""Names of items as identifiers of the text format (spec 6.3.5 and the annotation `@name` of appendix A.4). Floor 1.

Goes in: names of one index space, as the name section has them. Comes out: a `Space`, which says how an item is bound and
how it is referred to. Two items of one name get numbers to tell them apart, characters that identifiers cannot have are quoted;
where the identifier is then another name than the section's, an annotation beside it keeps that.
"""

from __future__ import annotations

from typing import Final

from figwasp.wasm.text.lexer import identifier

__all__ = ["Space", "as_identifier", "as_string"]

MAX_NAME: Final = 1000
"""Longest name in characters that is repeated wherever its item is referred to; of longer ones the beginning is."""


class Space:
    """The identifiers of one index space."""

    __slots__ = ("_ids", "_names")

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self._ids = _identifiers(names)

    def __contains__(self, index: int) -> bool:
        return index in self._names

    def __len__(self) -> int:
        return len(self._names)

    def ref(self, index: int) -> str:
        """Return how to refer to an item."""
        return self._ids.get(index) or str(index)

    def bind(self, index: int) -> str:
        """Return what gives an item its name, with a space in front, or nothing."""
        name = self._names.get(index)
        if name is None:
            return ""
        id_ = self._ids.get(index)
        if id_ is None:
            return f" (@name {as_string(name)})"
        return f" {id_}" if id_ == as_identifier(name) else f" {id_} (@name {as_string(name)})"

    def head(self, index: int) -> str:
        """Return the text after the keyword of a definition: its identifier, and its index as a comment."""
        return f"{self.bind(index)} (;{index};)"


def _identifiers(names: dict[int, str]) -> dict[int, str]:
    """Return index -> identifier, no two the same; empty names get none."""
    taken = set(names.values())
    used: set[str] = set()
    repeats: dict[str, int] = {}
    ids: dict[int, str] = {}
    for index, full in sorted(names.items()):
        if not full:
            continue
        name = full[:MAX_NAME]
        distinct = name
        while distinct in used or (distinct != full and distinct in taken):
            repeats[name] = repeats.get(name, 0) + 1
            distinct = f"{name}#{repeats[name]}"
        used.add(distinct)
        ids[index] = as_identifier(distinct)
    return ids


def as_identifier(name: str) -> str:
    """Return a name, which must not be empty, as an identifier, quoted if need be."""
    return "$" + (name if identifier("$" + name) == name else as_string(name))


def as_string(name: str) -> str:
    """Return a name as a string literal; what does not print is escaped."""
    return '"' + "".join(_char(char) for char in name) + '"'


def _char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\u{{{ord(char):x}}}"
