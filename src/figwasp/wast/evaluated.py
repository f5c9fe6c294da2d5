"""Floor 6: scripts on the IR evaluator: the same code that machine code is made from, interpreted.

It does its own linking (spec 4.7.2, matching of 3.5), so that a script tells the two implementations of that apart as well.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from figwasp import errors
from figwasp.ir.build import GUARD
from figwasp.ir.evaluate import Trapped
from figwasp.wasm.decode import decode
from figwasp.wasm.module import FUNC, GLOBAL, MEMORY, TABLE, Import, Module
from figwasp.wasm.script import Value
from figwasp.wasm.types import EXTERNREF, FUNCREF, FuncType, GlobalType, Limits, MemoryType, TableType
from figwasp.wast.cell import Cell
from figwasp.wast.engine import SPECTEST, Found, ScriptError, argument_bits, number
from figwasp.wast.world import Built, Extern, FuncRef, Global, Memory, Table, World

__all__ = ["EvaluatedEngine", "EvaluatedInstance"]

_HOST_REFS: Final = 1 << 60
"""The bits of the host's reference 0; those of the next ones follow."""
_RECURSION: Final = 20_000
"""Python frames that a call may take: some seven for each of wasm."""


class EvaluatedEngine:
    """Makes instances that the evaluator runs.

    Args:
        mode: how the IR makes memory accesses safe: `build.GUARD` or `build.CHECKED`.
    """

    def __init__(self, mode: int = GUARD) -> None:
        self._world = World(mode)

    def define(self, data: bytes) -> Built:
        """Decode and validate a module, as `Engine.define`."""
        return Built(decode(data), self._world.mode)

    def instantiate(self, definition: Built, registered: Mapping[str, EvaluatedInstance]) -> EvaluatedInstance:
        """Instantiate a module, as `Engine.instantiate`."""
        module = definition.decoded
        return self._start(definition, [self._resolve(item, registered, module.types) for item in module.imports])

    def spectest(self) -> EvaluatedInstance:
        """Return a new instance of the host module."""
        definition = self.define(SPECTEST)
        module = definition.decoded
        types = [module.func_type(index) for index in range(module.num_imported_funcs)]
        return self._start(definition, [self._world.new_host_func(type_) for type_ in types])

    def _start(self, definition: Built, externs: list[Extern]) -> EvaluatedInstance:
        cell = Cell(self._world, definition, externs)
        with _traps():
            cell.start()
        return EvaluatedInstance(cell)

    def _resolve(self, item: Import, registered: Mapping[str, EvaluatedInstance], types: list[FuncType]) -> Extern:
        """Find what satisfies an import.

        Raises:
            Unlinkable: nothing does.
        """
        instance = registered.get(item.module)
        extern = instance.extern(item.name) if instance is not None else None
        if extern is None:
            raise errors.Unlinkable(f"unknown import: {item.module}.{item.name}")
        wanted = types[item.desc] if isinstance(item.desc, int) else item.desc
        if not _matches(extern, wanted):
            raise errors.Unlinkable(
                f"incompatible import type: {item.module}.{item.name} is {extern.type}, not {wanted}"
            )
        return extern


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
        return FuncRef(cell.funcs[index], module.func_type(index))
    if kind == TABLE:
        return cell.tables[index]
    return cell.memories[index] if kind == MEMORY else cell.globals[index]


def _matches(extern: Extern, wanted: FuncType | TableType | MemoryType | GlobalType) -> bool:
    """Say whether what is exported may be imported as a type (spec 3.5), the present size counting as the minimum."""
    if isinstance(extern, Memory):
        return isinstance(wanted, MemoryType) and _fits(len(extern.data) >> 16, extern.type.limits, wanted.limits)
    if isinstance(extern, Table):
        fits = isinstance(wanted, TableType) and _fits(len(extern.data) >> 3, extern.type.limits, wanted.limits)
        return fits and isinstance(wanted, TableType) and extern.type.elem == wanted.elem
    return extern.type == wanted


def _fits(size: int, found: Limits, wanted: Limits) -> bool:
    if wanted.max is not None and (found.max is None or found.max > wanted.max):
        return False
    return size >= wanted.min


def _argument(bits: int | None, code: int) -> int:
    if bits is None:
        return 0
    if code == FUNCREF:
        raise ScriptError("a function cannot be an operand of a script")
    return _HOST_REFS + bits if code == EXTERNREF else bits


def _found(code: int, bits: int) -> Found:
    if code == FUNCREF:
        return Found("funcref", 0 if bits else None)
    if code == EXTERNREF:
        return Found("externref", bits - _HOST_REFS if bits else None)
    return number(code, bits)


assert (FUNC, TABLE, MEMORY, GLOBAL) == (0, 1, 2, 3)
