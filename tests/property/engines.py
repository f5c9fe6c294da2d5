"""One module on several implementations: our machine code in its modes, the evaluator of the SSA form, and wasmtime where installed.

Each takes the decoded module and calls, and gives an `Outcome`. Before each call from outside the module's fuel is filled up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import figwasp
from figwasp import errors, layout
from figwasp.api.memory import view
from figwasp.codegen.isa.x64 import registers as x64
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.regalloc import allocate as regalloc
from figwasp.ir import pipeline
from figwasp.ir.build import builder
from figwasp.ir.evaluate.externs import FuncRef
from figwasp.ir.evaluate.func import OutOfSteps, Thrown, Trapped
from figwasp.ir.evaluate.instance import EvalInstance
from figwasp.ir.types import FLOAT, INT
from figwasp.runtime.code.compile import CompiledModule
from figwasp.runtime.native import ticker
from figwasp.runtime.native.owner import Owner
from figwasp.runtime.objects.func import Func, func_at
from figwasp.runtime.objects.instance import InstanceState
from figwasp.runtime.objects.instantiate import instantiate
from figwasp.runtime.objects.memory import new_memory
from figwasp.runtime.platform import linux, modes
from figwasp.runtime.start import native_runtime
from figwasp.wasm.syntax.module import FUNC, Import, Module
from figwasp.wasm.syntax.types import EXTERNREF, FuncType, GlobalType, MemoryType, TableType
from figwasp.wasm.valid.module import facts_at_once
from tests.ir.evaluating import evaluated, invoke
from tests.property.modules import Call
from tests.property.outcomes import (
    AGAIN,
    UNCAUGHT,
    Outcome,
    OutOfTime,
    folded,
    from_python,
    imported,
    imported_python,
    seen,
    to_python,
)
from tests.raw import call_raw

if TYPE_CHECKING:
    from figwasp.runtime.objects.instantiate import Extern

REFUEL: Final = "refuel"
_MEMORY: Final = {modes.GUARD: "guard", modes.CHECKED: "checked"}
STEPS: Final = 400_000
"""Values that the evaluator may evaluate for a module."""

Engine = Callable[[Module, list[Call]], Outcome]


# Our machine code


def _extern(item: Import, number: int, module: Module, mode: int, again: Callable[[int], int]) -> tuple[Extern, Owner | None]:
    """Make what satisfies an import: zeros and nulls, or a function of `outcomes`, or the one that calls the module."""
    desc = item.desc
    if item.name == AGAIN:
        return again, None
    if isinstance(desc, int):
        return imported_python(number, module.signature(desc)), None
    if isinstance(desc, MemoryType):
        memory = new_memory(native_runtime(), desc, mode)
        return memory, memory.owner
    if isinstance(desc, TableType):
        table = figwasp.Table("externref" if desc.elem == EXTERNREF else "funcref", desc.limits.min, desc.limits.max)
        return table._core, table._owner
    assert isinstance(desc, GlobalType)
    global_ = figwasp.Global(repr(desc).split()[-1].rstrip(")"), 0, desc.mutable)
    return global_._core, global_._owner


def _call_boxed(state: InstanceState, index: int, type_: FuncType, args: list[int]) -> tuple[int, ...]:
    """Call a function as Python does."""
    func: Func = func_at(state.code.native, state.func_reference(index))
    answer = func(*[to_python(param, bits) for param, bits in zip(type_.params, args, strict=True)])
    values = () if not type_.results else (answer,) if len(type_.results) == 1 else answer
    return tuple(from_python(result, value) for result, value in zip(type_.results, values, strict=True))


def _call_raw(state: InstanceState, index: int, type_: FuncType, args: list[int]) -> tuple[int, ...]:
    """Call a function with bits."""
    state.store.claim()
    _tick(state)
    return tuple(call_raw(type_, state.func_reference(index), args, state.store))


def quick_ticks() -> None:
    """Have the ticker tick as fast as it can, if it does not run yet, so that polls take their slow path again and again."""
    vars(ticker)["TICK_NS"] = 1_000


def _tick(state: InstanceState) -> None:
    """Have the next poll find a tick."""
    linux.write_u64(state.store.context + layout.CTX_STACK_LIMIT, (1 << 64) - 1)


def run_compiled(module: Module, calls: list[Call], mode: int, raw: bool, tier: str = "optimize") -> Outcome:
    """Run a module on our machine code.

    Args:
        module: decoded.
        calls: what to call.
        mode: modes.GUARD or modes.CHECKED.
        raw: whether to pass bits instead of Python values, and to have ticks at entries.
        tier: which compiler makes code.
    """
    config = figwasp.Engine(memory=_MEMORY[mode], tier="optimize").config
    config.tier = tier
    code = CompiledModule(native_runtime(), module, facts_at_once(module), config)
    outcome = Outcome()
    enter = _call_raw if raw else _call_boxed
    indices = {export.name: export.index for export in module.exports if export.kind == FUNC}

    made: list[InstanceState] = []

    def again(number: int) -> int:
        if not made:
            return 1  # called by the start function
        name, args = calls[(number & 0xFFFF_FFFF) % len(calls)]
        type_ = module.func_type(indices[name])
        return folded(type_, enter(made[0], indices[name], type_, args))

    externs = [_extern(item, number, module, mode, again) for number, item in enumerate(module.imports)]
    try:
        state, owner = instantiate(code, externs)
        made.append(state)
    except figwasp.Trap as trap:
        outcome.results.append(("start", trap.code, ()))
        return outcome
    except figwasp.WasmException:
        outcome.results.append(("start", UNCAUGHT, ()))
        return outcome
    for name, args in calls:
        if REFUEL in indices:
            enter(state, indices[REFUEL], FuncType((), ()), [])
        type_ = module.func_type(indices[name])
        try:
            results = enter(state, indices[name], type_, args)
            outcome.results.append((name, "ok", tuple(map(seen, type_.results, results))))
        except figwasp.Trap as trap:
            outcome.results.append((name, trap.code, ()))
        except figwasp.WasmException:
            outcome.results.append((name, UNCAUGHT, ()))
    outcome.memories = [figwasp.Memory.read(view(one, owner), 0, one.pages << one.type.page) for one in state.memories]
    outcome.globals = [seen(one.type.type, one.get()) for one in state.globals]
    outcome.tables = [[not seen(table.type.elem, linux.read_u64(table.place(k))) for k in range(len(table))] for table in state.tables]
    return outcome


def guard(module: Module, calls: list[Call]) -> Outcome:
    """Run with guard pages, called as Python calls."""
    return run_compiled(module, calls, modes.GUARD, raw=False)


def checked(module: Module, calls: list[Call]) -> Outcome:
    """Run with bounds checks, called with bits."""
    return run_compiled(module, calls, modes.CHECKED, raw=True)


def tiers(module: Module, calls: list[Call], mode: int) -> Outcome:
    """Run in baseline code, and from some call or round of a loop on in optimised code; called with bits."""
    return run_compiled(module, calls, mode, raw=True, tier="stress")


def stressed(run: Callable[[], Outcome]) -> Outcome:
    """Run with a collection at every allocation."""
    before = os.environ.get("FIGWASP_GC", "")
    os.environ["FIGWASP_GC"] = "stress"
    try:
        return run()
    finally:
        os.environ["FIGWASP_GC"] = before


def stress(module: Module, calls: list[Call]) -> Outcome:
    """Run with guard pages, called with bits, collecting at every allocation."""
    return stressed(lambda: run_compiled(module, calls, modes.GUARD, raw=True))


FEW: Final = [x64.RAX, x64.RCX, x64.RDX, x64.RSI, x64.RBX, x64.R14]
"""Registers that are left when there are to be few: those that instructions name, and one more of each kind."""


@contextmanager
def allocation(few: bool, local: bool) -> Iterator[None]:
    """Allocate registers under difficulties.

    Args:
        few: give functions a few registers only.
        local: have all functions allocated block by block, as it is done for huge ones.
    """
    native_runtime()  # its own stubs keep all registers
    points, regs = regalloc.MAX_POINTS, TARGET.regs
    try:
        if few:
            TARGET.regs = [[register for register in regs[INT] if register in FEW], regs[FLOAT][:3]]
        if local:
            vars(regalloc)["MAX_POINTS"] = 0
        yield
    finally:
        TARGET.regs = regs
        vars(regalloc)["MAX_POINTS"] = points


@contextmanager
def in_frames(spilled: bool) -> Iterator[None]:
    """Have functions keep their locals in their frames, as it is done for those whose SSA form would be out of proportion."""
    allowed = vars(builder)["_ARGS_PER_OP"]
    try:
        if spilled:
            vars(builder)["_ARGS_PER_OP"] = -(1 << 30)
        yield
    finally:
        vars(builder)["_ARGS_PER_OP"] = allowed


# The evaluator


def run_evaluator(module: Module, calls: list[Call], mode: int, passes: bool) -> Outcome:
    """Run a module on the evaluator.

    Raises:
        OutOfTime: it takes more than STEPS.
    """
    outcome = Outcome()

    made: list[EvalInstance] = []

    def again(number: int) -> list[int]:
        if not made:
            return [1]
        name, args = calls[(number & 0xFFFF_FFFF) % len(calls)]
        func = made[0].exports[name]
        assert isinstance(func, FuncRef)
        return [folded(func.type, tuple(made[0].space.enter(func, args)))]

    hosts = [
        again if item.name == AGAIN else imported(k, module.signature(item.desc))
        for k, item in enumerate(module.imports) if isinstance(item.desc, int)
    ]  # fmt: skip
    try:
        try:
            instance = evaluated(module, mode, pipeline.run if passes else None, hosts, STEPS)
            made.append(instance)
        except Trapped as trap:
            outcome.results.append(("start", errors.TRAP_MESSAGES[trap.code], ()))
            return outcome
        except Thrown:
            outcome.results.append(("start", UNCAUGHT, ()))
            return outcome
        for name, args in calls:
            _evaluate(instance, name, args, outcome)
    except OutOfSteps:
        raise OutOfTime("the evaluator has taken too many steps") from None
    outcome.memories = [bytes(one.data) for one in instance.memories]
    outcome.globals = [seen(one.type.type, one.get()) for one in instance.globals]
    outcome.tables = [
        [not seen(table.type.elem, int.from_bytes(table.data[8 * k : 8 * k + 8], "little")) for k in range(len(table))]
        for table in instance.tables
    ]
    return outcome


def _evaluate(instance: EvalInstance, name: str, args: list[int], outcome: Outcome) -> None:
    func = instance.exports[name]
    assert isinstance(func, FuncRef)
    if REFUEL in instance.exports:
        invoke(instance, REFUEL)
    try:
        results = instance.space.enter(func, args)
    except Trapped as trap:
        outcome.results.append((name, errors.TRAP_MESSAGES[trap.code], ()))
    except Thrown:
        outcome.results.append((name, UNCAUGHT, ()))
    else:
        outcome.results.append((name, "ok", tuple(map(seen, func.type.results, results))))


def evaluator(module: Module, calls: list[Call]) -> Outcome:
    """Evaluate what the builder makes."""
    return run_evaluator(module, calls, modes.GUARD, passes=False)


def evaluator_optimised(module: Module, calls: list[Call]) -> Outcome:
    """Evaluate what the passes make of it, with bounds checks."""
    return run_evaluator(module, calls, modes.CHECKED, passes=True)
