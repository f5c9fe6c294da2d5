"""Floor 1: the first walk over the fields of a module in the text format, which gives every item its index (spec 6.6).

In: a `Cursor` on the first field. Out: where the fields begin; the cursor's index spaces hold the identifiers, and it stands
after the last field.
"""

from __future__ import annotations

from typing import Final

from figwasp.wasm.syntax.module import FUNC, GLOBAL, KIND_NAMES, MEMORY, TABLE, TAG
from figwasp.wasm.text.cursor import DATA, ELEM, TYPE, Cursor

__all__ = ["FIELDS", "KINDS", "number"]

KINDS: Final = {"func": FUNC, "table": TABLE, "memory": MEMORY, "global": GLOBAL, "tag": TAG}
"""Keyword -> kind of import or export, which is also its index space."""
SPACES: Final = {**KINDS, "type": TYPE, "elem": ELEM, "data": DATA}
"""Keyword of a field that may have an identifier -> its index space."""
FIELDS: Final = frozenset((*SPACES, "rec", "import", "export", "start"))


def number(cursor: Cursor) -> list[int]:
    """Number the items of all fields; return the indices of the tokens that say what each field is."""
    items = cursor.items
    starts: list[int] = []
    defined = ""
    while items[cursor.at] == "(":
        cursor.at += 1
        keyword = items[cursor.at]
        if keyword not in FIELDS:
            cursor.unexpected("a module field")
        starts.append(cursor.at)
        cursor.at += 1
        if keyword == "import":
            _import(cursor, defined)
        elif keyword == "rec":
            _group(cursor)
        elif keyword in SPACES:
            cursor.bind(SPACES[keyword])
            if keyword in KINDS and not _inline(cursor, keyword, defined):
                defined = defined or keyword
        cursor.skip_form()
    if items[cursor.at] not in ("", ")"):
        cursor.unexpected("a module field")
    return starts


def _group(cursor: Cursor) -> None:
    """Number the types of a recursion group."""
    while cursor.opens("type"):
        cursor.bind(TYPE)
        cursor.skip_form()


def _import(cursor: Cursor, defined: str) -> None:
    at = cursor.at
    cursor.name()
    cursor.name()
    cursor.expect("(")
    keyword = cursor.items[cursor.at]
    if keyword not in KINDS:
        cursor.unexpected("the kind of an import")
    _check_order(cursor, defined, at - 1)
    cursor.at += 1
    cursor.bind(KINDS[keyword])
    cursor.skip_form()


def _check_order(cursor: Cursor, defined: str, at: int) -> None:
    """Insist that an import at a token comes before every definition."""
    if defined:
        cursor.fail(f"import after {KIND_NAMES[KINDS[defined]]}", at)


def _inline(cursor: Cursor, keyword: str, defined: str) -> bool:
    """Step over inline exports, number inline segments; return whether the field is an import."""
    while cursor.opens("export"):
        cursor.skip_form()
    if cursor.opens("import"):
        _check_order(cursor, defined, cursor.at - 1)
        cursor.skip_form()
        return True
    if keyword == "memory" or keyword == "table":
        if cursor.items[cursor.at] in ("i32", "i64"):
            cursor.at += 1
        _segment(cursor, keyword)
    return False


def _segment(cursor: Cursor, keyword: str) -> None:
    """Number the segment that the definition of a memory or a table may hold."""
    items = cursor.items
    if keyword == "memory":
        if cursor.opens("pagesize"):
            cursor.skip_form()
        if items[cursor.at : cursor.at + 2] == ["(", "data"]:
            cursor.counts[DATA] += 1
        return
    if items[cursor.at] == "(":  # a reference type in parentheses
        cursor.at += 1
        cursor.skip_form()
    elif items[cursor.at] not in ("", ")"):
        cursor.at += 1
    if items[cursor.at : cursor.at + 2] == ["(", "elem"]:
        cursor.counts[ELEM] += 1
