"""Floor 6: scripts on the IR evaluator: the same code that machine code is made from, interpreted.

This engine does its own linking (spec 4.7.2, matching of 3.5), so that scripts compare two implementations of that as well.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from figwasp import errors
from figwasp.features import ALL, DEFAULT, Features
from figwasp.ir import pipeline
from figwasp.ir.evaluate.externs import Extern, FuncRef, Global, Memory, Table, Tag
from figwasp.ir.evaluate.func import Thrown, Trapped
from figwasp.ir.evaluate.instance import EvalInstance, EvalModule
from figwasp.ir.evaluate.space import AddressSpace
from figwasp.layout import GUARD, HOST_TAG, OBJECT_TYPE, TYPE_KIND
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import TAG, Import
from figwasp.wasm.syntax.types import MemoryType, TableType, is_ref, may_be_host, type_name
from figwasp.wasm.valid.matching import global_matches, memory_matches, table_matches
from figwasp.wasm.valid.subtyping import canonical_type
from figwasp.wast.engine import SPECTEST, Found, ScriptError, argument_bits, number, reference
from figwasp.wast.script import ScriptValue

__all__ = ["EvaluatedEngine", "EvaluatedInstance"]

_HOST_REFS: Final = 1 << 60 | HOST_TAG
"""The bits of the host's reference 0; those of the next ones are each 8 more."""
_STEPS: Final = 100_000_000
"""Values that one action may have evaluated."""
_DEPTH: Final = 1000
"""Calls at once; Python's stack must hold them."""
_RECURSION: Final = 20_000
"""Python frames that a call may take: some seven for each of wasm."""


class EvaluatedEngine:
    """Makes instances that the evaluator runs.

    Args:
        mode: how the IR makes memory accesses safe: GUARD or CHECKED.
        features: the proposals that are on.
    """

    def __init__(self, mode: int = GUARD, features: Features = DEFAULT) -> None:
        self._space = AddressSpace(mode, pipeline.run, _STEPS, _DEPTH)
        self._features = features

    def define(self, data: bytes) -> EvalModule:
        """Decode and validate a module, as `Engine.define`."""
        return EvalModule(self._space, decode(data, self._features))

    def instantiate(self, definition: EvalModule, registered: Mapping[str, EvaluatedInstance]) -> EvaluatedInstance:
        """Instantiate a module, as `Engine.instantiate`."""
        imports = definition.decoded.imports
        return self._start(definition, [self._resolve(item, registered, definition) for item in imports])

    def spectest(self) -> EvaluatedInstance:
        """Return a new instance of the host module."""
        definition = EvalModule(self._space, decode(SPECTEST, ALL))
        module = definition.decoded
        numbers = definition.numbers
        types = module.func_types[: module.num_imported_funcs]
        funcs = [self._space.add_host(module.signature(type_), numbers[type_], numbers, _do_nothing) for type_ in types]
        return self._start(definition, funcs)

    def _start(self, definition: EvalModule, externs: Iterable[Extern]) -> EvaluatedInstance:
        instance = EvalInstance(self._space, definition, externs)
        with _action(self._space):
            instance.start()
        return EvaluatedInstance(instance)

    def _resolve(self, item: Import, registered: Mapping[str, EvaluatedInstance], definition: EvalModule) -> Extern:
        """Find the extern for an import.

        Raises:
            Unlinkable: there is nothing of these names, or not of this type.
        """
        instance = registered.get(item.module)
        extern = instance.exports.get(item.name) if instance is not None else None
        if extern is None:
            raise errors.Unlinkable(f"unknown import: {item.module}.{item.name}")
        wanted = definition.decoded.signature(item.desc) if isinstance(item.desc, int) else item.desc
        if not self._matches(extern, item, definition.numbers):
            raise errors.Unlinkable(
                f"incompatible import type: {item.module}.{item.name} is {extern.type}, not {wanted}"
            )
        return extern

    def _matches(self, extern: Extern, item: Import, numbers: list[int]) -> bool:
        """Return whether an export matches an import (spec 3.5.2)."""
        wanted = item.desc
        if isinstance(wanted, int):
            if item.kind == TAG:
                return isinstance(extern, Tag) and extern.number == numbers[wanted]
            return isinstance(extern, FuncRef) and self._space.types.derives(extern.number, numbers[wanted])
        if isinstance(wanted, MemoryType):
            return isinstance(extern, Memory) and memory_matches(len(extern) >> extern.type.page, extern.type, wanted)
        if isinstance(wanted, TableType):
            elem = canonical_type(wanted.elem, numbers)
            return isinstance(extern, Table) and table_matches(len(extern), extern.type, extern.elem, wanted, elem)
        content = canonical_type(wanted.type, numbers)
        return isinstance(extern, Global) and global_matches(self._space.types, extern.type, extern.content, wanted, content)


class EvaluatedInstance:
    """An instance under test.

    Attributes:
        exports: its exports.
    """

    __slots__ = ("_space", "exports")

    def __init__(self, instance: EvalInstance) -> None:
        self._space = instance.space
        self.exports: Mapping[str, Extern] = instance.exports

    def invoke(self, name: str, args: Sequence[ScriptValue]) -> list[Found]:
        """Call an export, as `Instance.invoke`."""
        func = self.exports.get(name)
        if not isinstance(func, FuncRef):
            raise ScriptError(f"no exported function {name!r}")
        params, results = func.type.params, func.type.results
        given = argument_bits(args, params, lambda code: self._top(code, func.numbers))
        bits = [_argument(value, code) for value, code in zip(given, params, strict=True)]
        with _action(self._space):
            answers = self._space.enter(func, bits)
        return [self._found(canonical_type(code, func.numbers), bits) for code, bits in zip(results, answers, strict=True)]

    def get(self, name: str) -> Found:
        """Return the value of an exported global, as `Instance.get`."""
        global_ = self.exports.get(name)
        if not isinstance(global_, Global):
            raise ScriptError(f"no exported global {name!r}")
        return self._found(global_.content, global_.get())

    def _top(self, code: int, numbers: list[int]) -> int:
        """Return the topmost type of a reference's hierarchy."""
        return self._space.types.top(canonical_type(code, numbers))

    def _found(self, code: int, bits: int) -> Found:
        if not is_ref(code):
            return number(code, bits)
        return reference(self._space.types.top(code), bits, self._kind, lambda bits: (bits - _HOST_REFS) // 8)

    def _kind(self, bits: int) -> int:
        """Return the kind of an object of the heap."""
        read = self._space.native.read
        return read(self._space.types.region.base + read(bits + OBJECT_TYPE, 4) + TYPE_KIND, 4)


@contextmanager
def _action(space: AddressSpace) -> Iterator[None]:
    """Fill the steps up, let Python recurse deeply enough, turn what the evaluator raises into errors of the engine proper."""
    space.evaluator.steps = _STEPS
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _RECURSION))
    try:
        yield
    except Trapped as trap:
        exhausted = trap.code in (errors.TRAP_STACK_EXHAUSTED, errors.TRAP_OUT_OF_HEAP)
        kind = errors.Exhaustion if exhausted else errors.Trap
        raise kind(errors.TRAP_MESSAGES[trap.code]) from None
    except Thrown:
        raise errors.WasmException(None) from None
    finally:
        sys.setrecursionlimit(limit)


def _do_nothing(*_: int) -> list[int]:
    """Do nothing, as a function of the host module."""
    return []


def _argument(bits: int | None, code: int) -> int:
    if bits is None:
        return 0
    if may_be_host(code):
        return _HOST_REFS + 8 * bits
    if is_ref(code):
        raise ScriptError(f"{type_name(code)} cannot be an operand of a script")
    return bits
