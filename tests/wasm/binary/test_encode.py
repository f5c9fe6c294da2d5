"""Encoding: what `decode` reads, `encode` writes back with the same meaning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.encode import encode, locals_vector
from figwasp.wasm.syntax.module import (
    ACTIVE,
    DECLARATIVE,
    FUNC,
    GLOBAL,
    MEMORY,
    PASSIVE,
    TABLE,
    ConstExpr,
    Data,
    Elem,
    Export,
    Import,
    Module,
)
from figwasp.wasm.syntax.names import Names
from figwasp.wasm.syntax.opcodes import BY_NAME
from figwasp.wasm.syntax.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    SubType,
    TableType,
)
from figwasp.wasm.valid.module import validate

NOTHING = b"\0\x0b"


def const(name: str, value: int) -> ConstExpr:
    return ConstExpr([(BY_NAME[name].code, value)])


def example() -> Module:
    """Make a module with an item of every kind."""
    module = Module()
    module.types = [SubType(FuncType((), ())), SubType(FuncType((I32, F64), (I64, F32)))]
    module.groups = [0, 1]
    module.add_import(Import("env", "f", FUNC, 1))
    module.add_import(Import("env", "t", TABLE, TableType(EXTERNREF, Limits(1, 200))))
    module.add_import(Import("ünv", "g", GLOBAL, GlobalType(I32, False)))
    module.func_types += [0, 0]
    module.tables.append(TableType(FUNCREF, Limits(300)))
    module.table_inits.append(None)
    module.memories.append(MemoryType(Limits(1, 65536)))
    module.globals += [GlobalType(F64, True), GlobalType(I64, False), GlobalType(FUNCREF, True)]
    module.global_inits = [const("f64.const", 0x7FF8000000000001), const("i64.const", -(2**63)), const("ref.func", 1)]
    module.exports = [Export("", FUNC, 1), Export("mem", MEMORY, 0), Export("g", GLOBAL, 3)]
    module.start = 2
    offset = const("global.get", 0)
    funcs = [const("ref.func", 2), const("ref.func", 0)]
    null = [const("ref.null", FUNCREF), const("ref.func", 1)]
    externs = [const("ref.null", EXTERNREF)]
    module.elems = [
        Elem(FUNCREF, PASSIVE, 0, None, funcs),
        Elem(FUNCREF, DECLARATIVE, 0, None, funcs),
        Elem(FUNCREF, ACTIVE, 1, offset, funcs),
        Elem(FUNCREF, PASSIVE, 0, None, null),
        Elem(FUNCREF, DECLARATIVE, 0, None, null),
        Elem(FUNCREF, ACTIVE, 1, offset, null),
        Elem(EXTERNREF, ACTIVE, 0, offset, externs),
        Elem(EXTERNREF, PASSIVE, 0, None, externs),
        Elem(FUNCREF, PASSIVE, 0, None, []),
    ]
    module.datas = [Data(ACTIVE, 0, offset), Data(PASSIVE, 0, None)]
    module.data_count = 2
    return module


def exprs(items: Sequence[ConstExpr]) -> list[object]:
    return [item.instrs for item in items]


def meaning(module: Module) -> dict[str, object]:
    """Return all that a module says, without where it says it."""
    return {
        "types": module.types,
        "groups": module.groups,
        "tags": module.tags,
        "table_inits": [init and init.instrs for init in module.table_inits],
        "imports": [(item.module, item.name, item.kind, item.desc) for item in module.imports],
        "funcs": module.func_types,
        "tables": module.tables,
        "memories": module.memories,
        "globals": module.globals,
        "inits": exprs(module.global_inits),
        "exports": [(item.name, item.kind, item.index) for item in module.exports],
        "start": module.start,
        "elems": [
            (item.type, item.mode, item.table, item.offset and item.offset.instrs, exprs(item.inits))
            for item in module.elems
        ],
        "datas": [(item.mode, item.memory, item.offset and item.offset.instrs) for item in module.datas],
        "data_count": module.data_count,
        "imported": (
            module.num_imported_funcs,
            module.num_imported_tables,
            module.num_imported_memories,
            module.num_imported_globals,
            module.num_imported_tags,
        ),
    }


def contents(module: Module) -> tuple[list[bytes], list[bytes]]:
    bodies = [module.data[body.start : body.end] for body in module.bodies]
    return bodies, [module.data[item.start : item.end] for item in module.datas]


def test_every_kind_of_item() -> None:
    module = example()
    names = Names()
    names.module = "all"
    names.funcs = {2: "begin"}
    decoded = decode(encode(module, [NOTHING, NOTHING], [b"abc", b""], names))
    assert meaning(decoded) == meaning(module)
    assert contents(decoded) == ([NOTHING, NOTHING], [b"abc", b""])
    assert (decoded.name, decoded.func_name(2), decoded.func_name(1)) == ("all", "begin", "")
    validate(decoded)


@pytest.mark.parametrize("table", [0, 1])
@pytest.mark.parametrize("expressions", [False, True])
def test_active_segments_of_either_table(table: int, expressions: bool) -> None:
    module = example()
    module.imports.clear()
    module.tables = [TableType(FUNCREF, Limits(1)), TableType(FUNCREF, Limits(1))]
    module.table_inits = [None, None]
    module.num_imported_tables = module.num_imported_funcs = module.num_imported_globals = 0
    module.func_types = [0, 0]
    module.globals = []
    module.global_inits = []
    module.exports = []
    module.start = None
    inits = [const("ref.null", FUNCREF)] if expressions else [const("ref.func", 1)]
    module.elems = [Elem(FUNCREF, ACTIVE, table, const("i32.const", 0), inits)]
    module.datas = []
    module.data_count = None
    decoded = decode(encode(module, [NOTHING, NOTHING], []))
    assert meaning(decoded) == meaning(module)
    validate(decoded)


def test_empty_module() -> None:
    assert encode(Module(), [], []) == b"\0asm\1\0\0\0"


def test_locals_are_counted_in_runs() -> None:
    assert locals_vector(()) == b"\0"
    assert locals_vector((I32, I32, F64, I32)) == b"\3\2\x7f\1\x7c\1\x7f"
    assert locals_vector((I32,) * 200) == b"\1\xc8\1\x7f"


@pytest.mark.parametrize("program", ["mandel", "mal", "smallpt-ex-mv", "quickjs", "hello-world-swift"])
def test_real_programs_survive(shared: Path, program: str) -> None:
    module = decode((shared / f"programs/modules/{program}.wasm").read_bytes())
    again = decode(encode(module, *contents(module), module.names))
    assert meaning(again) == meaning(module)
    assert contents(again) == contents(module)
    assert (again.name, again.names.funcs, again.names.locals) == (
        module.name,
        module.names.funcs,
        module.names.locals,
    )
