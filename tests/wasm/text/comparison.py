"""What the text tests share: modules of script files, another toolchain's binaries of them, and modules made comparable."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.immediates import READERS
from figwasp.wasm.binary.leb128 import read_u32
from figwasp.wasm.binary.reader import Reader
from figwasp.wasm.syntax.immediates import KIND_NAMES, Immediate
from figwasp.wasm.syntax.module import FUNC, TAG, ConstExpr, Module
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_PREFIX, pack
from figwasp.wasm.syntax.types import CONCRETE, EMPTY, INDEX_SHIFT, FuncType, GlobalType, StructType, SubType, TableType
from figwasp.wasm.text.cursor import Cursor
from figwasp.wasm.text.lexer import Tokens, tokenize
from figwasp.wast.script import Command
from tests.tools import tool

SCALAR_SCRIPTS = """
    address align block br br_if call call_indirect comments const conversions data elem endianness exports f32 f64_cmp
    fac float_exprs float_literals forward func func_ptrs global i32 i64 id if imports int_literals labels
    left-to-right load local_get local_set local_tee loop memory memory_grow memory_size names nop return select start store
    switch table table_get table_size token traps type unreachable unwind annotations
    bulk-memory/bulk bulk-memory/memory_copy bulk-memory/memory_init bulk-memory/table_fill
""".split()
"""Scripts of the core suite that are scalar Wasm 2.0 but for some modules."""


def forms(tokens: Tokens) -> Iterator[int]:
    """Yield the index of the opening parenthesis of every top-level form."""
    at = 0
    while tokens.items[at]:
        yield at
        cursor = Cursor(tokens, at + 1)
        cursor.skip_form()
        at = cursor.at


def script(shared: Path, name: str) -> Tokens:
    return tokenize((shared / "spec" / "core" / f"{name}.wast").read_bytes())


def scripts(shared: Path) -> list[str]:
    """Return the scripts of the whole suite, by their path without the ending."""
    folder = shared / "spec"
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.wast"))


def with_modules(commands: list[Command]) -> Iterator[Command]:
    """Yield the commands that have a module, those of threads among them."""
    for command in commands:
        if command.source is not None:
            yield command
        yield from with_modules(command.commands)


def peer_modules(source: Path, folder: Path) -> list[bytes | None]:
    """Return the binaries of the modules of a script in order, as wasm-tools makes them; None for one that it did not make.

    Returns nothing at all where wasm-tools does not read the script.
    """
    index = folder / "index.json"
    command = [tool("wasm-tools"), "json-from-wast", str(source), "-o", str(index), "--wasm-dir", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        return []
    return [
        (folder / name).read_bytes() if name.endswith(".wasm") else None
        for name in _peer_files(json.loads(index.read_text())["commands"])
    ]


def _peer_files(commands: list[dict[str, object]]) -> Iterator[str]:
    for item in commands:
        if "filename" in item:
            yield str(item.get("binary_filename") or item["filename"])
        nested = item.get("commands")
        if isinstance(nested, list):
            yield from _peer_files(nested)


def instructions(data: bytes, pos: int, end: int) -> list[tuple[str, Immediate]]:
    """Decode instructions one after the other."""
    found: list[tuple[str, Immediate]] = []
    while pos < end:
        code = data[pos]
        pos += 1
        if code in BY_PREFIX:
            sub, pos = read_u32(data, pos)
            code = pack(code, sub)
        row = BY_CODE[code]
        immediate, pos = READERS[row.immediates](data, pos)
        found.append((row.name, immediate))
    return found


class Canonical:
    """Makes everything in a module independent of the order of its types."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.types: list[str] = []
        """Per type, its group with all that it refers to written out."""
        for start, end in zip(module.groups, [*module.groups, len(module.types)][1:], strict=True):
            group = [self.sub_type(type_, start, end) for type_ in module.types[start:end]]
            self.types += [_interned((at, *group)) for at in range(len(group))]

    def sub_type(self, type_: SubType, start: int, end: int) -> object:
        def index(at: int) -> str:
            return f"member {at - start}" if start <= at < end else self.type(at)

        def value(code: int) -> object:
            return (code & 0x1FF, index(code >> INDEX_SHIFT)) if code & 0xFF == CONCRETE else code

        comp = type_.comp
        content: object
        if isinstance(comp, FuncType):
            content = ("func", tuple(map(value, comp.params)), tuple(map(value, comp.results)))
        else:
            fields = comp.fields if isinstance(comp, StructType) else (comp.field,)
            content = (type(comp).__name__, tuple((value(field.storage), field.mutable) for field in fields))
        return type_.final, tuple(map(index, type_.supers)), content

    def type(self, index: int) -> str:
        return self.types[index] if index < len(self.types) else f"unknown {index}"

    def value(self, code: int) -> object:
        return (code & 0x1FF, self.type(code >> INDEX_SHIFT)) if code & 0xFF == CONCRETE else code

    def block(self, immediate: int) -> object:
        if immediate >= 0:
            return self.type(immediate)
        return ~immediate if ~immediate == EMPTY else self.value(~immediate)

    def immediate(self, kind: str, found: Immediate) -> object:
        """Return an immediate without type indices."""
        if isinstance(found, int):
            if kind == "block":
                return self.block(found)
            if kind == "type":
                return self.type(found)
            return self.value(found) if kind == "heaptype" else found
        if not isinstance(found, tuple):
            return found
        if kind == "select_types":
            return tuple(self.value(code) for code in found if isinstance(code, int))
        first, *rest = found
        if kind == "try_table":
            assert isinstance(first, int)
            return (self.block(first), *rest)
        if kind == "cast":
            return (first, *(self.value(code) for code in rest if isinstance(code, int)))
        if kind == "type_type":
            return tuple(self.type(index) for index in found if isinstance(index, int))
        return (self.type(first), *rest) if kind.startswith("type_") and isinstance(first, int) else found

    def const(self, expr: ConstExpr | None) -> object:
        if expr is None:
            return None
        return [(code, self.immediate(KIND_NAMES[BY_CODE[code].immediates], found)) for code, found in expr.instrs]

    def body(self, start: int, end: int) -> list[object]:
        reader = Reader(self.module.data, ALL)
        reader.pos, reader.end = start, end
        local_types: list[object] = []
        for _ in range(reader.u32()):
            count = reader.u32()
            local_types.append((count, self.value(reader.value_type())))
        code = instructions(self.module.data, reader.pos, end)
        return [local_types, *((name, self.immediate(KIND_NAMES[BY_NAME_KIND[name]], found)) for name, found in code)]

    def desc(self, desc: object) -> object:
        if isinstance(desc, int):
            return self.type(desc)
        if isinstance(desc, TableType):
            return self.value(desc.elem), desc.limits, desc.address
        return (self.value(desc.type), desc.mutable) if isinstance(desc, GlobalType) else repr(desc)


_SEEN: dict[object, str] = {}


def _interned(key: object) -> str:
    return _SEEN.setdefault(key, f"type {len(_SEEN)}")


def canonical(module: Module) -> dict[str, object]:
    """Return all that a module means, but for the order of its types and exports."""
    known = Canonical(module)
    names = module.names
    return {
        "imports": [(i.module, i.name, i.kind, known.desc(i.desc)) for i in module.imports],
        "functions": [known.desc(index) for index in module.func_types],
        "tags": [known.desc(index) for index in module.tags],
        "bodies": [known.body(item.start, item.end) for item in module.bodies],
        "items": [known.desc(type_) for type_ in (*module.tables, *module.memories, *module.globals)],
        "inits": [known.const(init) for init in (*module.table_inits, *module.global_inits)],
        "exports": sorted((item.name, item.kind, item.index) for item in module.exports),
        "start": module.start,
        "elems": [
            (known.value(e.type), e.mode, e.table, known.const(e.offset), [known.const(init) for init in e.inits])
            for e in module.elems
        ],
        "datas": [(d.mode, d.memory, known.const(d.offset), module.data[d.start : d.end]) for d in module.datas],
        "data count": module.data_count,
        "customs": [
            (item.name, item.after, module.data[item.start : item.end])
            for item in module.customs
            if item.name != "name"
        ],
        "types": sorted(set(known.types)),
        "names": [
            names.module,
            names.funcs,
            names.tables,
            names.memories,
            names.globals,
            names.elems,
            names.datas,
            names.tags,
        ],
        "names of types": sorted((known.type(index), name) for index, name in names.types.items()),
        "names of fields": sorted((known.type(index), sorted(found.items())) for index, found in names.fields.items()),
        "names of locals": {func: found for func, found in names.locals.items() if found},
        "names of labels": {func: found for func, found in names.labels.items() if found},
    }


def canonical_bytes(data: bytes) -> dict[str, object]:
    return canonical(decode(data, ALL))


def without_names(data: bytes) -> dict[str, object]:
    """Return what a module means and does, without the names that nothing depends on."""
    return {part: found for part, found in canonical_bytes(data).items() if not part.startswith("names")}


BY_NAME_KIND = {row.name: row.immediates for row in BY_CODE.values()}
assert (FUNC, TAG) == (0, 4)
