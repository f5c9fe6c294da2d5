"""Runs damaged modules as a careless embedder would: anything but a figwasp error, a run, or an interrupt that was asked for is wrong."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final

import figwasp
from figwasp.api.externs import ImportType
from figwasp.features import ALL, Features
from figwasp.runtime.objects.func import func_at
from figwasp.wasm.syntax.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    NON_NULL,
    NUM_TYPES,
    FuncType,
    GlobalType,
    MemoryType,
    TableType,
    is_ref,
    type_name,
)
from tests.environment import HANG_GUARD
from tests.hostile.mutations import mutant
from tests.property.modules import argument
from tests.property.outcomes import to_python
from tests.speed import exceeds

PATIENCE: Final = 0.15
"""Seconds after which a call is interrupted."""
TURNS: Final = 1000
"""What a module may take of processor time, in million turns of an empty loop: a guard, not a measure of speed."""
GROWTH: Final = 1 << 30
"""Bytes by which the process may grow for one module. A guest may fill what memory it gets; loading must not."""
_MAX_CALLS: Final = 8
_MADE: Final = (*NUM_TYPES, FUNCREF, EXTERNREF)
"""Types that a global of the host may have."""


class Stopped(Exception):
    """Raised by imports: the module has called the host."""


class _Interrupts:
    """Whether a KeyboardInterrupt is wanted now."""

    armed = False


def on_alarm(number: int, frame: object) -> None:
    """Handle SIGALRM: raise KeyboardInterrupt where one is wanted."""
    if _Interrupts.armed:
        raise KeyboardInterrupt


@contextmanager
def interrupt(seconds: float) -> Iterator[None]:
    """Interrupt the block when it takes too long; never what comes after it, however late the alarm is heard."""
    try:
        _Interrupts.armed = True
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        _Interrupts.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def _host(type_: FuncType, number: int, stop: bool) -> Callable[..., Any]:
    results = [0.0 if code in (F32, F64) else None if is_ref(code) else number for code in type_.results]

    def function(*args: object) -> object:
        if stop:
            raise Stopped
        return None if not results else results[0] if len(results) == 1 else tuple(results)

    return function


def _extern(item: ImportType, number: int, stop: bool) -> Any:
    """Return something that satisfies an import."""
    type_ = item.type
    if isinstance(type_, FuncType):
        return _host(type_, number, stop)
    # What cannot be made is made otherwise, for instantiation to refuse.
    if isinstance(type_, MemoryType):
        return figwasp.Memory(*_bounds(type_, 65536), shared=type_.shared)
    if isinstance(type_, TableType):
        return figwasp.Table(type_name(type_.elem if type_.elem in _MADE else FUNCREF), *_bounds(type_, 0xFFFF_FFFF))
    if isinstance(type_, GlobalType):
        code = type_.type if type_.type in _MADE else EXTERNREF
        return figwasp.Global(type_name(code), to_python(code, 0), type_.mutable)
    return None


def _bounds(type_: MemoryType | TableType, most: int) -> tuple[int, int | None]:
    limits = type_.limits
    return min(limits.min, most), None if limits.max is None else min(limits.max, most)


def _imports(module: figwasp.Module, random: Random) -> dict[str, dict[str, Any]]:
    stop = random.random() < 0.5
    found: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(module.imports):
        found.setdefault(item.module, {})[item.name] = _extern(item, number, stop)
    return found


def _funcs(instance: figwasp.Instance, random: Random) -> list[int]:
    """Choose some functions of an instance, exported or not."""
    count = len(instance._state.code.module.func_types)
    return random.sample(range(count), min(count, _MAX_CALLS))


def _call(instance: figwasp.Instance, index: int, random: Random) -> str:
    params = instance._state.code.module.func_type(index).params
    if any(code & NON_NULL for code in params):
        return "stopped"  # nothing here is a function or an object to pass
    args = [to_python(code, argument(random, code)) for code in params]
    try:
        with interrupt(PATIENCE):
            func_at(instance._state.code.native, instance._state.func_reference(index))(*args)
    except KeyboardInterrupt:
        return "interrupted"
    except (figwasp.Error, Stopped):
        return "stopped"
    return "ran"


def load(data: bytes, features: Features, lazy: bool = False, memory: str | None = None) -> figwasp.Module:
    """Return a module that is decoded with other proposals on than by default."""
    return figwasp.Module(data, engine=figwasp.Engine(features=features, memory=memory), lazy=lazy)


def run(data: bytes, number: int) -> str:
    """Load a module and call some functions; answer what became of it in a word.

    Args:
        data: perhaps a module.
        number: decides imports and arguments.
    """
    random = Random(number)
    try:
        with interrupt(HANG_GUARD):
            module = load(data, ALL, lazy=random.random() < 0.3)
    except KeyboardInterrupt:
        return "bad: loading takes too long"
    except figwasp.Error as error:
        return type(error).__name__
    try:
        with interrupt(PATIENCE):
            instance = figwasp.load(module, _imports(module, random))
    except KeyboardInterrupt:
        return "interrupted"
    except (figwasp.Error, Stopped):
        return "not instantiated"
    answers = {_call(instance, index, random) for index in _funcs(instance, random)}
    wrong = [answer for answer in answers if answer.startswith("bad")]
    return next((word for word in (*wrong, "interrupted", "ran", "stopped") if word in answers), "ran")


def bounded(run: Callable[[], str]) -> str:
    """Return what a run answers, or after "bad: " how much time or memory it took if that was too much."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    answer = run()
    took = time.process_time() - start
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if exceeds(took, TURNS):
        return f"bad: {took:.1f} seconds ({answer})"
    return f"bad: {grown >> 20} MiB ({answer})" if grown > GROWTH else answer


def run_case(number: int) -> str:
    """Make a damaged module and run it: answer a word, or after "bad: " what is wrong."""
    signal.signal(signal.SIGALRM, on_alarm)
    data = mutant(number)
    return bounded(lambda: run(data, number))
