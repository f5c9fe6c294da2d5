"""Floor 6: scripts on the IR evaluator: the same code that machine code is made from, interpreted.

It does its own linking (spec 4.7.2, matching of 3.5), so that a script tells the two implementations of that apart as well.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from figwasp import errors, layout
from figwasp.features import ALL, DEFAULT, Features
from figwasp.ir.evaluate.func import Trapped
from figwasp.layout import GUARD
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import FUNC, MEMORY, TABLE, TAG, Import, Module
from figwasp.wasm.syntax.types import MemoryType, TableType, is_extern, is_ref, type_name
from figwasp.wasm.valid.matching import global_matches, memory_matches, table_matches
from figwasp.wasm.valid.subtyping import canonical_type
from figwasp.wast.cell import Cell
from figwasp.wast.engine import SPECTEST, Found, ScriptError, argument_bits, number
from figwasp.wast.script import Value
from figwasp.wast.world import Built, Extern, FuncRef, Global, Memory, Table, Tag, World

__all__ = ["EvaluatedEngine", "EvaluatedInstance"]

_HOST_REFS: Final = 1 << 60
"""The bits of the host's reference 0; those of the next ones follow."""
_RECURSION: Final = 20_000
"""Python frames that a call may take: some seven for each of wasm."""


class EvaluatedEngine:
    """Makes instances that the evaluator runs.

    Args:
        mode: how the IR makes memory accesses safe: `build.GUARD` or `build.CHECKED`.
        features: the proposals that are on.
    """

    def __init__(self, mode: int = GUARD, features: Features = DEFAULT) -> None:
        self._world = World(mode)
        self._features = features

    def define(self, data: bytes) -> Built:
        """Decode and validate a module, as `Engine.define`."""
        return Built(decode(data, self._features), self._world.mode, self._world.types)

    def instantiate(self, definition: Built, registered: Mapping[str, EvaluatedInstance]) -> EvaluatedInstance:
        """Instantiate a module, as `Engine.instantiate`."""
        if definition.missing is not None:
            raise errors.Unsupported(f"no support for {definition.missing} yet", definition.missing)
        imports = definition.decoded.imports
        return self._start(definition, [self._resolve(item, registered, definition) for item in imports])

    def spectest(self) -> EvaluatedInstance:
        """Return a new instance of the host module."""
        definition = Built(decode(SPECTEST, ALL), self._world.mode, self._world.types)
        module = definition.decoded
        types = module.func_types[: module.num_imported_funcs]
        funcs = [self._world.new_host_func(module.signature(type_), definition.numbers[type_]) for type_ in types]
        return self._start(definition, list[Extern](funcs))

    def _start(self, definition: Built, externs: list[Extern]) -> EvaluatedInstance:
        cell = Cell(self._world, definition, externs)
        with _traps():
            cell.start()
        return EvaluatedInstance(cell)

    def _resolve(self, item: Import, registered: Mapping[str, EvaluatedInstance], built: Built) -> Extern:
        """Find what satisfies an import.

        Raises:
            Unlinkable: nothing does.
        """
        instance = registered.get(item.module)
        extern = instance.extern(item.name) if instance is not None else None
        if extern is None:
            raise errors.Unlinkable(f"unknown import: {item.module}.{item.name}")
        wanted = built.decoded.signature(item.desc) if isinstance(item.desc, int) else item.desc
        if not self._matches(extern, item, built.numbers):
            raise errors.Unlinkable(
                f"incompatible import type: {item.module}.{item.name} is {extern.type}, not {wanted}"
            )
        return extern

    def _matches(self, extern: Extern, item: Import, numbers: list[int]) -> bool:
        """Say whether what is exported may be imported (spec 3.5.2)."""
        wanted = item.desc
        if isinstance(wanted, int):
            if item.kind == TAG:
                return isinstance(extern, Tag) and extern.number == numbers[wanted]
            return isinstance(extern, FuncRef) and self._world.types.derives(extern.number, numbers[wanted])
        if isinstance(wanted, MemoryType):
            return isinstance(extern, Memory) and memory_matches(len(extern.data) >> extern.type.page, extern.type, wanted)
        if isinstance(wanted, TableType):
            elem = canonical_type(wanted.elem, numbers)
            return isinstance(extern, Table) and table_matches(len(extern.data) >> 3, extern.type, extern.elem, wanted, elem)
        content = canonical_type(wanted.type, numbers)
        return isinstance(extern, Global) and global_matches(self._world.types, extern.type, extern.content, wanted, content)


class EvaluatedInstance:
    """An instance under test."""

    __slots__ = ("_cell", "_exports")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        module = cell.built.decoded
        self._exports = {item.name: _exported(cell, module, item.kind, item.index) for item in module.exports}

    def extern(self, name: str) -> Extern | None:
        """Return an export, or None."""
        return self._exports.get(name)

    def invoke(self, name: str, args: Sequence[Value]) -> list[Found]:
        """Call an export, as `Instance.invoke`."""
        func = self._exports.get(name)
        if not isinstance(func, FuncRef):
            raise ScriptError(f"no exported function {name!r}")
        params = func.type.params
        given = argument_bits(args, params)
        bits = [_argument(value, code) for value, code in zip(given, params, strict=True)]
        with _traps():
            results = self._cell.world.enter(func.address, bits)
        return [_found(code, result) for code, result in zip(func.type.results, results, strict=True)]

    def get(self, name: str) -> Found:
        """Return the value of an exported global, as `Instance.get`."""
        global_ = self._exports.get(name)
        if not isinstance(global_, Global):
            raise ScriptError(f"no exported global {name!r}")
        return _found(global_.type.type, self._cell.world.space.read(global_.address))


@contextmanager
def _traps() -> Iterator[None]:
    """Turn what leaves the evaluator into the errors of the engine proper, and let Python recurse deeply enough."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _RECURSION))
    try:
        yield
    except Trapped as trap:
        kind = errors.Exhaustion if trap.code == errors.TRAP_STACK_EXHAUSTED else errors.Trap
        raise kind(errors.TRAP_MESSAGES[trap.code]) from None
    finally:
        sys.setrecursionlimit(limit)


def _exported(cell: Cell, module: Module, kind: int, index: int) -> Extern:
    if kind == FUNC:
        type_number = cell.world.space.read(cell.funcs[index] + layout.FUNCREF_TYPE, 4)
        return FuncRef(cell.funcs[index], module.func_type(index), type_number)
    if kind == TABLE:
        return cell.tables[index]
    if kind == TAG:
        return cell.tags[index]
    return cell.memories[index] if kind == MEMORY else cell.globals[index]


def _argument(bits: int | None, code: int) -> int:
    if bits is None:
        return 0
    if is_extern(code):
        return _HOST_REFS + bits
    if is_ref(code):
        raise ScriptError(f"{type_name(code)} cannot be an operand of a script")
    return bits


def _found(code: int, bits: int) -> Found:
    if is_extern(code):
        return Found("externref", bits - _HOST_REFS if bits else None)
    return Found("funcref", 0 if bits else None) if is_ref(code) else number(code, bits)
