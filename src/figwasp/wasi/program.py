"""Floor 6: running a WASI module as a program: a command through `_start`, a reactor through `_initialize`.

In: a module and its imports. Out: an exit status (WASI preview 1, application ABI), or the trap that ended it and the
message about it.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from operator import call

from figwasp.api.externs import KINDS
from figwasp.api.linker import load
from figwasp.errors import TRAP_MESSAGES, TRAP_TIMEOUT, Error, Exit, Timeout, Trap
from figwasp.lazy import importing
from figwasp.types import MemoryType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from figwasp.api.instance import Instance
    from figwasp.api.module import Module
    from figwasp.errors import WasmException

__all__ = ["entry", "opened", "report", "start", "status_of"]


def start(module: Module, imports: Mapping[str, Any], timeout: float | None = None, max_threads: int | None = None) -> int:
    """Run a module to its end and return its exit status. All that it allocated is released.

    Args:
        module: a command or a reactor.
        imports: those of WASI, and whatever else it needs.
        timeout: seconds that are left for the program.
        max_threads: most threads that it may have at once beside the main one; None for as many as programs usually may.

    Raises:
        Timeout: the program took longer.
        Trap: the program trapped.
        Error: the module is neither a command nor a reactor.
    """
    if timeout is not None and timeout <= 0:
        raise Timeout(TRAP_MESSAGES[TRAP_TIMEOUT])
    name = entry(module, ("_start", "_initialize"))
    if name is None:
        raise Error("the module exports neither _start nor _initialize")
    try:
        with opened(module, imports, max_threads) as (instance, run):
            function = instance.exports[name]
            run(function if timeout is None else lambda: function(timeout=timeout))
            return 0
    except Exit as exit_:
        return status_of(exit_)


@contextmanager
def opened(
    module: Module, imports: Mapping[str, Any], max_threads: int | None = None
) -> Iterator[tuple[Instance, Callable[[Callable[[], Any]], Any]]]:
    """Instantiate a program, with the shared memory and the threads that it may have.

    Returns:
        The instance, and what calls a function of it and returns when all threads have ended; the context closes the instance.
    """
    if any(item.module == "wasi" or (isinstance(item.desc, MemoryType) and item.desc.shared) for item in module._decoded.imports):
        with importing:
            from figwasp.wasi.threads import MAX_THREADS, Threads  # which few need

        most = MAX_THREADS if max_threads is None else max_threads
        with Threads(module, imports, most) as threads, threads.instantiate() as instance:
            yield instance, partial(threads.run, instance)
    else:
        with load(module, imports) as instance:
            yield instance, call


def entry(module: Module, names: Iterable[str]) -> str | None:
    """Return the first of these names that a module exports, or None.

    Raises:
        Error: the export is nothing that can be called without arguments.
    """
    for name in names:
        export = module._exports_by_name.get(name)
        if export is None:
            continue
        if KINDS[export.kind] != "func":
            raise Error(f"the export {name} is a {KINDS[export.kind]}, not a function")
        type_ = module._decoded.func_type(export.index)
        if type_.params:
            raise Error(f"the function {name} is to take nothing, and its type is {type_}")
        return name
    return None


def status_of(exit_: Exit) -> int:
    """Return the exit status that the host would report of a process that ended like this."""
    return exit_.code & 0xFF


def report(trap: Trap | WasmException) -> str:
    """Return a message about a trap, or an exception that nothing has caught: what happened, and where."""
    lines = [f"figwasp: trap: {trap.code}\n" if isinstance(trap, Trap) else f"figwasp: exception: {trap}\n"]
    if trap.frames:
        lines.append("  wasm backtrace:\n")
        lines += [f"    {line}\n" for line in trap.backtrace.splitlines()]
    return "".join(lines)
