"""Modules under the evaluator, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from figwasp.ir.evaluate.externs import Extern, FuncRef, Global
from figwasp.ir.evaluate.func import Undefined
from figwasp.ir.evaluate.instance import EvalInstance, EvalModule
from figwasp.ir.evaluate.space import AddressSpace, Host
from figwasp.ir.func import Func
from figwasp.layout import GUARD
from figwasp.wasm.syntax.module import Import, Module
from figwasp.wasm.syntax.types import GlobalType, MemoryType, TableType
from figwasp.wasm.valid.subtyping import canonical_type


def evaluated(
    module: Module,
    mode: int = GUARD,
    passes: Callable[[Func], None] | None = None,
    hosts: Iterable[Host] = (),
    steps: int = 10_000_000,
) -> EvalInstance:
    """Make an instance of a module alone in its space: it imports the given functions, and for the rest zeros and nulls."""
    space = AddressSpace(mode, passes, steps)
    definition = EvalModule(space, module)
    functions = iter(hosts)
    instance = EvalInstance(space, definition, [_extern(space, definition, item, functions) for item in module.imports])
    instance.start()
    return instance


def _extern(space: AddressSpace, module: EvalModule, item: Import, hosts: Iterator[Host]) -> Extern:
    desc = item.desc
    if isinstance(desc, int):
        return space.add_host(module.decoded.signature(desc), module.numbers[desc], module.numbers, next(hosts, _absent))
    if isinstance(desc, MemoryType):
        return space.new_memory(desc)
    if isinstance(desc, TableType):
        return space.new_table(desc, canonical_type(desc.elem, module.numbers))
    assert isinstance(desc, GlobalType)
    return Global(space.native, space.allocate(16), desc, canonical_type(desc.type, module.numbers))


def _absent(*_: int) -> list[int]:
    raise Undefined("a function has been called that was not given")


def invoke(instance: EvalInstance, name: str, *args: int) -> list[int]:
    """Call an exported function with bits."""
    func = instance.exports[name]
    assert isinstance(func, FuncRef)
    return instance.space.enter(func, list(args))
