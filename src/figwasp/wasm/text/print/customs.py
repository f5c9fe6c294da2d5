"""Custom sections to the text format: identifiers for the name section, annotations for the rest (spec appendix A.4). Floor 1.

Goes in: a `Module`. Comes out: the names that the text is to use for its items, and an annotation for each section that these do
not stand for. A name section that identifiers cannot carry whole, because it is malformed or names what is not there, stays an
annotation like the others, and the text has indices: it parses back to the same module.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from figwasp.errors import Malformed
from figwasp.wasm.binary.leb128 import read_u32
from figwasp.wasm.syntax.module import Custom, Module
from figwasp.wasm.syntax.names import FIELDS, LABELS, LOCALS, MODULE, TAGS, NameMap, Names
from figwasp.wasm.syntax.stack_effect import OPENERS
from figwasp.wasm.syntax.types import FuncType, StructType
from figwasp.wasm.text.print.code import instructions, read_locals
from figwasp.wasm.text.print.names import as_string

__all__ = ["custom_sections", "string_lines", "used_names"]

NAME: Final = "name"
NESTED: Final = (LOCALS, LABELS, FIELDS)
PLACES: Final = {
    0: "before first",
    1: "after type",
    2: "after import",
    3: "after func",
    4: "after table",
    5: "after memory",
    6: "after global",
    7: "after export",
    8: "after start",
    9: "after elem",
    10: "after code",
    11: "after data",
    12: "before code",
    13: "after tag",
}
"""Id of the section before a custom section -> where the annotation says it is."""
LAST: Final = "after last"
"""Where the annotation says that a section after the name section is."""
BYTES_A_LINE: Final = 32

_ESCAPES: Final = [chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:02x}" for byte in range(256)]


def used_names(module: Module) -> Names:
    """Return the names of a module if identifiers can carry all that its name section has, else none."""
    sections = [custom for custom in module.customs if custom.name == NAME]
    if len(sections) != 1:
        return Names()
    try:
        told = _count_names(module.data[sections[0].start : sections[0].end])
    except Malformed:
        return Names()
    if not told or told != _count_known(module.names) or not _all_there(module, module.names):
        return Names()
    return module.names


def _count_known(names: Names) -> int:
    """Return how many names there are."""
    flat = (names.funcs, names.types, names.tables, names.memories, names.globals, names.elems, names.datas, names.tags)
    nested = [names.locals, names.labels, names.fields]
    inner = sum(len(space) for maps in nested for space in maps.values())
    return sum(map(len, flat)) + inner + (names.module is not None)


def _count_names(section: bytes) -> int:
    """Return how many names a section gives, those that it gives twice included.

    Raises:
        Malformed: it is not made of subsections that figwasp knows.
    """
    total = 0
    pos = 0
    while pos < len(section):
        kind = section[pos]
        size, pos = read_u32(section, pos + 1)
        if kind > TAGS:
            raise Malformed(f"unknown subsection {kind}", pos)
        end = pos + size
        if kind == MODULE:
            count, pos = 1, _skip_name(section, pos)
        elif kind in NESTED:
            count = 0
            maps, pos = read_u32(section, pos)
            for _ in range(maps):
                names, pos = _skip_map(section, read_u32(section, pos)[1])
                count += names
        else:
            count, pos = _skip_map(section, pos)
        if pos != end:
            raise Malformed("subsection size mismatch", pos)
        total += count
    return total


def _skip_map(section: bytes, pos: int) -> tuple[int, int]:
    """Step over a map of names; return how many there are as well."""
    count, pos = read_u32(section, pos)
    for _ in range(count):
        pos = _skip_name(section, read_u32(section, pos)[1])
    return count, pos


def _skip_name(section: bytes, pos: int) -> int:
    size, pos = read_u32(section, pos)
    if size > len(section) - pos:
        raise Malformed("unexpected end", pos)
    return pos + size


def custom_sections(module: Module, names: Names) -> Iterator[list[str]]:
    """Yield the lines of an annotation for every custom section that the names used do not stand for."""
    behind_names = False
    for custom in module.customs:
        if custom.name == NAME and names is module.names:
            behind_names = _at_end(module, custom)
            continue
        place = LAST if behind_names else PLACES[custom.after]
        lines = string_lines(module.data[custom.start : custom.end])
        yield with_strings(f"(@custom {as_string(custom.name)} ({place})", lines)


def _at_end(module: Module, custom: Custom) -> bool:
    """Return whether nothing but custom sections follows one, as is right for the names: identifiers are written there."""
    last = module.customs[-1]
    return last.after == custom.after and last.end == len(module.data)


def with_strings(head: str, strings: list[str]) -> list[str]:
    """Return the lines of a form that ends with strings: one of them on its own line with the head, or each below it."""
    if len(strings) <= 1:
        return [f"{head}{''.join(f' {string}' for string in strings)})"]
    return [head, *[f"  {string}" for string in strings[:-1]], f"  {strings[-1]})"]


def string_lines(data: bytes) -> list[str]:
    """Return bytes as string literals of a line's length, one at least."""
    if len(data) <= BYTES_A_LINE:
        return [_string(data)]
    return [_string(data[at : at + BYTES_A_LINE]) for at in range(0, len(data), BYTES_A_LINE)]


def _string(data: bytes) -> str:
    return f'"{"".join(map(_ESCAPES.__getitem__, data))}"'


def _all_there(module: Module, names: Names) -> bool:
    """Return whether everything that has a name exists, and each map of names within another has some."""
    spaces = (
        (names.funcs, len(module.func_types)),
        (names.types, len(module.types)),
        (names.tables, len(module.tables)),
        (names.memories, len(module.memories)),
        (names.globals, len(module.globals)),
        (names.elems, len(module.elems)),
        (names.datas, len(module.datas)),
        (names.tags, len(module.tags)),
    )
    if any(not _below(space, count) for space, count in spaces):
        return False
    if any(not _below(fields, _count_fields(module, index)) for index, fields in names.fields.items()):
        return False
    if any(not _below(locals_, _count_locals(module, index)) for index, locals_ in names.locals.items()):
        return False
    return all(_below(labels, _count_labels(module, index)) for index, labels in names.labels.items())


def _below(names: NameMap, count: int) -> bool:
    return not names or max(names) < count


def _count_fields(module: Module, index: int) -> int:
    comp = module.types[index].comp if index < len(module.types) else None
    return len(comp.fields) if isinstance(comp, StructType) else 0


def _count_locals(module: Module, index: int) -> int:
    if index >= len(module.func_types) or module.func_types[index] >= len(module.types):
        return 0
    comp = module.types[module.func_types[index]].comp
    params = len(comp.params) if isinstance(comp, FuncType) else 0
    if index < module.num_imported_funcs:
        return params
    return params + len(read_locals(module.data, module.body(index).start)[0])


def _count_labels(module: Module, index: int) -> int:
    if not module.num_imported_funcs <= index < len(module.func_types):
        return 0
    body = module.body(index)
    pos = read_locals(module.data, body.start)[1]
    return sum(row.code in OPENERS for _, row, _ in instructions(module.data, pos, body.end))
