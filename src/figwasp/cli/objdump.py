"""Floor 7: `figwasp objdump`.

In: the words after `objdump`. Out: the exit status; tables of what a module consists of have been printed: sections with their
places and sizes, imports, exports, the proposals that are used, functions with the sizes of their bodies, and totals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from figwasp.cli.features import chosen, switches
from figwasp.cli.options import Argument, Command
from figwasp.cli.streams import STREAM, binary_of, print_text, read, shown
from figwasp.errors import Error, prefix_errors
from figwasp.features import ALL
from figwasp.wasm.binary.decode import SECTIONS, decode, sections
from figwasp.wasm.binary.leb128 import read_u32
from figwasp.wasm.syntax.module import FUNC, KIND_NAMES, TAG, Export, Import, Module
from figwasp.wasm.text.print.code import as_identifier, as_string
from figwasp.wasm.valid.uses import uses

__all__ = ["COMMAND", "main"]

COMMAND: Final = Command(
    "objdump",
    "Show what a module, binary or text, consists of: sections with offsets and sizes, imports, exports, features used, "
    "functions with the sizes of their bodies, totals. All proposals are on.",
    [Argument("FILE", "the module; - or none for standard input", least=0)],
    {"options": switches(ALL)},
)


def main(words: list[str]) -> int:
    """Print the tables of the module that the words name and return the exit status.

    Raises:
        Error: the module is malformed or cannot be read.
    """
    given, rest = COMMAND.read(words)
    name = rest[0] if rest else STREAM
    data = read(name)
    with prefix_errors(shown(name)):
        module = decode(binary_of(data), chosen(given, ALL))
    return print_text(f"{line}\n" for line in _lines(shown(name), module))


def _lines(name: str, module: Module) -> Iterator[str]:
    yield f"{name}: {len(module.data)} bytes"
    yield from _titled("Sections", "offset      size   items  name", _sections(module))
    yield from _titled("Imports", "kind      index  name", _imports(module))
    yield from _titled("Exports", "kind      index  name", _exports(module))
    yield from _titled("Features used", "offset    functions  name", _features(module))
    yield from _titled("Functions", "index  offset      size  name", _functions(module))
    yield from ["", "Totals", *_totals(module)]


def _titled(title: str, heading: str, rows: Iterator[str]) -> Iterator[str]:
    """Yield a table, or nothing if it has no rows."""
    for number, row in enumerate(rows):
        if not number:
            yield from ["", title, f"  {heading}"]
        yield f"  {row}"


def _sections(module: Module) -> Iterator[str]:
    """Describe every section: where its content begins, its size, how many items, what it is."""
    data = module.data
    customs = iter(module.customs)
    for _, section, pos, end in sections(data):
        items = ""
        title = SECTIONS[section]
        if not section:
            title = f"custom {as_string(next(customs).name)}"
        elif title != "start":
            items = str(read_u32(data, pos)[0])
        yield f"{pos:#08x}  {end - pos:8}  {items:>6}  {title}"


def _imports(module: Module) -> Iterator[str]:
    counts = [0] * len(KIND_NAMES)
    for item in module.imports:
        index = counts[item.kind]
        counts[item.kind] += 1
        yield f"{KIND_NAMES[item.kind]:8}  {index:5}  {as_string(item.module)} {as_string(item.name)} {_type(module, item)}"


def _exports(module: Module) -> Iterator[str]:
    for item in module.exports:
        yield f"{KIND_NAMES[item.kind]:8}  {item.index:5}  {as_string(item.name)}{_exported(module, item)}"


def _type(module: Module, item: Import) -> str:
    """Return the type of an import."""
    desc = item.desc
    if not isinstance(desc, int):
        return repr(desc).removeprefix(KIND_NAMES[item.kind]).strip()
    return repr(module.types[desc].comp) if desc < len(module.types) else f"type {desc}"


def _exported(module: Module, item: Export) -> str:
    """Return the type of an exported function or tag."""
    types = module.func_types if item.kind == FUNC else module.tags if item.kind == TAG else []
    index = types[item.index] if item.index < len(types) else len(module.types)
    return f" {module.types[index].comp!r}" if index < len(module.types) else ""


def _features(module: Module) -> Iterator[str]:
    """Describe every proposal that the module uses: the first place, how many functions need it, and what does so first."""
    try:
        found = uses(module.data, module.features.enabled)
    except Error as error:
        yield f"not known, since the module is not valid: {error}"
        return
    for use in found.values():
        where = "" if use.func is None else f" in function {use.func}"
        yield f"{use.offset:#08x}  {len(use.funcs):9}  {use.proposal}: {use.what}{where}"


def _functions(module: Module) -> Iterator[str]:
    for index, body in enumerate(module.bodies, module.num_imported_funcs):
        name = module.func_name(index)
        yield f"{index:5}  {body.start:#08x}  {body.end - body.start:6}  {as_identifier(name) if name else ''}".rstrip()


def _totals(module: Module) -> Iterator[str]:
    """Count what the index spaces hold, imported and defined, and the bytes of code, data and custom sections."""
    spaces = (
        ("functions", module.num_imported_funcs, len(module.func_types)),
        ("tables", module.num_imported_tables, len(module.tables)),
        ("memories", module.num_imported_memories, len(module.memories)),
        ("tags", module.num_imported_tags, len(module.tags)),
        ("globals", module.num_imported_globals, len(module.globals)),
    )
    yield f"  types      {len(module.types):8}"
    for title, imported, total in spaces:
        if total:
            yield f"  {title:10} {total:8}" + (f"  {imported} imported" if imported else "")
    yield f"  exports    {len(module.exports):8}"
    sizes = (
        ("code", sum(body.end - body.start for body in module.bodies)),
        ("data", sum(segment.end - segment.start for segment in module.datas)),
        ("custom", sum(custom.end - custom.start for custom in module.customs)),
    )
    for title, size in sizes:
        if size:
            yield f"  {title:10} {size:8}  bytes"
