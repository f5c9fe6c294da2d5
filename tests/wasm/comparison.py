"""What the text tests share: modules of script files, another toolchain's binaries of them, and modules made comparable."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from figwasp.wasm.cursor import Cursor
from figwasp.wasm.decode import decode
from figwasp.wasm.immediates import KIND_NAMES, READERS, Immediate
from figwasp.wasm.leb128 import read_u32
from figwasp.wasm.lexer import Tokens, tokenize
from figwasp.wasm.module import ConstExpr, Module
from figwasp.wasm.opcodes import BY_CODE, PREFIXES, pack

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


def tool(name: str) -> str | None:
    """Return the path of a program on the path or beside the Python interpreter."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def peer_modules(source: Path, folder: Path) -> dict[int, bytes]:
    """Return line -> binary of the modules of a script, as wasm-tools translates them."""
    wasm_tools = tool("wasm-tools")
    assert wasm_tools is not None
    index = folder / "index.json"
    command = [wasm_tools, "json-from-wast", str(source), "-o", str(index), "--wasm-dir", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    found: dict[int, bytes] = {}
    for item in json.loads(index.read_text())["commands"]:
        if item["type"].startswith("module") and item.get("filename", "").endswith(".wasm"):
            found[item["line"]] = (folder / item["filename"]).read_bytes()
    return found


def instructions(data: bytes, pos: int, end: int) -> list[tuple[str, Immediate]]:
    """Decode instructions one after the other."""
    found: list[tuple[str, Immediate]] = []
    while pos < end:
        code = data[pos]
        pos += 1
        if code in PREFIXES:
            sub, pos = read_u32(data, pos)
            code = pack(code, sub)
        row = BY_CODE[code]
        immediate, pos = READERS[row.immediates](data, pos)
        found.append((row.name, immediate))
    return found


def canonical(module: Module) -> list[object]:
    """Return all that a module means, but for the order of its types and exports."""

    def signature(index: object) -> str:
        assert isinstance(index, int)
        return repr(module.types[index])

    def const(expr: ConstExpr | None) -> object:
        return None if expr is None else expr.instrs

    def body(start: int, end: int) -> list[object]:
        runs, pos = read_u32(module.data, start)
        local_types = b""
        for _ in range(runs):
            count, pos = read_u32(module.data, pos)
            local_types += module.data[pos : pos + 1] * count
            pos += 1
        code: list[object] = [local_types]
        for name, immediate in instructions(module.data, pos, end):
            kind = KIND_NAMES[BY_NAME_KIND[name]]
            if kind == "block" and isinstance(immediate, int) and immediate >= 0:
                code.append((name, signature(immediate)))
            elif kind == "type_table" and isinstance(immediate, tuple):
                code.append((name, signature(immediate[0]), immediate[1]))
            else:
                code.append((name, immediate))
        return code

    descs = [signature(item.desc) if item.kind == 0 else repr(item.desc) for item in module.imports]
    return [
        [(item.module, item.name, item.kind, desc) for item, desc in zip(module.imports, descs)],
        [signature(index) for index in module.func_types],
        [body(item.start, item.end) for item in module.bodies],
        [repr(type_) for type_ in (*module.tables, *module.memories, *module.globals)],
        [const(init) for init in module.global_inits],
        sorted((item.name, item.kind, item.index) for item in module.exports),
        module.start,
        [(e.type, e.mode, e.table, const(e.offset), [const(init) for init in e.inits]) for e in module.elems],
        [(d.mode, d.memory, const(d.offset), module.data[d.start : d.end]) for d in module.datas],
        (module.names.module, module.names.funcs, {key: value for key, value in module.names.locals.items() if value}),
    ]


def canonical_bytes(data: bytes) -> list[object]:
    return canonical(decode(data))


BY_NAME_KIND = {row.name: row.immediates for row in BY_CODE.values()}
