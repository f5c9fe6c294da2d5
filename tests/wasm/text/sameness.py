"""What a module means, as plain values that compare: all of it but how its integers were written.

Two modules whose `meaning` is equal have the same types in the same groups, the same items in the same places, the same
instructions, and the same custom sections in the same order.
"""

from __future__ import annotations

from figwasp.features import ALL, Features
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.immediates import Immediate
from figwasp.wasm.syntax.module import ConstExpr, Module
from figwasp.wasm.syntax.names import Names
from figwasp.wasm.text.print.code import instructions, read_locals

MAPS = "funcs types tables memories globals elems datas tags".split()
NESTED = "locals labels fields".split()


def meaning(data: bytes, features: Features = ALL) -> dict[str, object]:
    """Return all that a binary means, by what it is about."""
    module = decode(data, features)
    return {
        "types": module.types,
        "groups": module.groups,
        "imports": [(item.module, item.name, item.kind, item.desc) for item in module.imports],
        "functions": module.func_types,
        "tables": (module.tables, [_instrs(init) for init in module.table_inits]),
        "memories": module.memories,
        "tags": module.tags,
        "globals": (module.globals, [_instrs(init) for init in module.global_inits]),
        "exports": [(item.name, item.kind, item.index) for item in module.exports],
        "start": module.start,
        "elems": [(e.type, e.mode, e.table, _instrs(e.offset), [_instrs(init) for init in e.inits]) for e in module.elems],
        "datas": [(d.mode, d.memory, _instrs(d.offset), module.data[d.start : d.end]) for d in module.datas],
        "code": [_code(module, body.start, body.end) for body in module.bodies],
        "names": named(module.names),
        "order": [custom.name for custom in module.customs],
        "customs": [(c.name, module.data[c.start : c.end]) for c in module.customs if c.name != "name"],
    }


def difference(found: bytes, expected: bytes) -> str:
    """Say what two binaries differ in, or return "" if they mean the same."""
    left, right = meaning(found), meaning(expected)
    return "".join(f"{key}:\n  {left[key]}\n  {right[key]}\n" for key in left if left[key] != right[key])


def named(names: Names) -> dict[str, object]:
    """Return the names that there are."""
    found: dict[str, object] = {"module": names.module}
    for key in MAPS:
        found[key] = getattr(names, key)
    for key in NESTED:
        found[key] = {index: inner for index, inner in getattr(names, key).items() if inner}
    return {key: value for key, value in found.items() if value}


def _instrs(expr: ConstExpr | None) -> object:
    return None if expr is None else expr.instrs


def _code(module: Module, start: int, end: int) -> tuple[object, list[tuple[str, Immediate]]]:
    types, pos = read_locals(module.data, start)
    return types, [(row.name, immediate) for _, row, immediate in instructions(module.data, pos, end)]
