"""Floor 6: the functions of a module, listed and found by name.

In: a decoded module. Out: a row for each function, and the index that a user's word stands for: a number, the name of an export,
or a name of the name section, with or without the `$` of the text format.
"""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import Final

from figwasp.errors import Error
from figwasp.wasm.syntax.module import FUNC, Module
from figwasp.wasm.text.print.code import as_identifier, as_string

MAX_NAMED: Final = 5  # functions that an error names
_TYPE_WIDTH: Final = 30


class UnknownFunction(Error):
    """No function is called that, or more than one."""


class FuncRow:
    """A function of a module.

    Attributes:
        index: in the index space, imports first.
        name: as the text format writes it, `$name`, or "".
        type: "(i32, i32) -> i32".
        size: bytes of its code, or None for an import.
        roles: `import "env" "f"`, `export "g"`, `start`.
    """

    __slots__ = ("index", "name", "roles", "size", "type")

    def __init__(self, index: int, name: str, type: str, size: int | None) -> None:
        self.index = index
        self.name = name
        self.type = type
        self.size = size
        self.roles: list[str] = []

    def __str__(self) -> str:
        size = "" if self.size is None else self.size
        return f"{self.index:>6} {size:>7}  {self.type:<{_TYPE_WIDTH}}  {'  '.join([self.name, *self.roles])}".rstrip()


HEADING: Final = f"{'func':>6} {'bytes':>7}  {'type':<{_TYPE_WIDTH}}  name"


def functions(module: Module) -> list[FuncRow]:
    """List the functions of a validated module."""
    rows = [
        FuncRow(index, identifier(module, index), repr(module.func_type(index)), _size(module, index))
        for index in range(len(module.func_types))
    ]
    imports = [item for item in module.imports if item.kind == FUNC]
    for row, item in zip(rows, imports):
        row.roles.append(f"import {as_string(item.module)} {as_string(item.name)}")
    for export in module.exports:
        if export.kind == FUNC:
            rows[export.index].roles.append(f"export {as_string(export.name)}")
    if module.start is not None:
        rows[module.start].roles.append("start")
    return rows


def identifier(module: Module, index: int) -> str:
    """Return the name of a function as the text format writes it, `$name`, or ""."""
    name = module.names.funcs.get(index)
    return as_identifier(name) if name else ""


def _size(module: Module, index: int) -> int | None:
    if index < module.num_imported_funcs:
        return None
    body = module.body(index)
    return body.end - body.start


def names(module: Module) -> list[str]:
    """List the words by which `find` finds a function, without indices: exports, then names of the name section that are unique."""
    exported = [export.name for export in module.exports if export.kind == FUNC]
    given = Counter(name for index, name in module.names.funcs.items() if _exists(module, index))
    return list(dict.fromkeys([*exported, *(name for name, count in given.items() if count == 1)]))


def find(module: Module, word: str) -> int:
    """Return the index of the function that a word names.

    Raises:
        UnknownFunction: the word names no function, or several of the name section.
    """
    if word.isascii() and word.isdigit():
        return _by_index(module, word)
    found = _by_name(module, word)
    if not found and word.startswith("$"):
        found = _by_name(module, word[1:])
    if len(found) > 1:
        shown = ", ".join(map(str, found[:MAX_NAMED])) + (", ..." if len(found) > MAX_NAMED else "")
        raise UnknownFunction(f"{len(found)} functions are named {as_string(word)}: give an index: {shown}")
    if not found:
        raise UnknownFunction(f"no function {as_string(word)}{_suggestion(module, word)}")
    return found[0]


def _by_index(module: Module, word: str) -> int:
    count = len(module.func_types)
    index = int(word) if len(word) < 12 else count
    if index >= count:
        raise UnknownFunction(f"no function {word[:20]}: the module has {count}")
    return index


def _by_name(module: Module, name: str) -> list[int]:
    """Return the functions of a name: the one exported under it, else those of the name section."""
    exported = [export.index for export in module.exports if export.kind == FUNC and export.name == name]
    return exported or [
        index for index, other in sorted(module.names.funcs.items()) if other == name and _exists(module, index)
    ]


def _exists(module: Module, index: int) -> bool:
    """Return whether a name of the name section is that of an existing function."""
    return index < len(module.func_types)


def _suggestion(module: Module, word: str) -> str:
    """Return names that are similar to a word."""
    names = {export.name for export in module.exports if export.kind == FUNC} | set(module.names.funcs.values())
    wanted = word.removeprefix("$")
    close = get_close_matches(wanted, names, MAX_NAMED)
    close += sorted(name for name in names if wanted and wanted in name and name not in close)[: MAX_NAMED - len(close)]
    return f"; did you mean {' or '.join(map(as_string, close))}?" if close else ""
