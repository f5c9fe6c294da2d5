"""Floor 7: the execution of a module by `figwasp run`.

In: the module's bytes and the options. Out: the exit status; the program's output has gone to the process's own streams. A
command module is run through `_start`, a reactor through `_initialize` (WASI preview 1, application ABI); `--invoke` calls one
export instead. Functions are validated as they are compiled, so a large program need not wait for functions that it never calls.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack

from figwasp import errors
from figwasp.api.externs import KINDS, listed
from figwasp.cli.main import complain
from figwasp.cli.running.options import COMMAND
from figwasp.cli.streams import STREAM, shown, write_stdout
from figwasp.errors import prefix_errors
from figwasp.wasi.calls.functions import MODULES
from figwasp.wasi.directories.host import HostDirectory
from figwasp.wasi.preview1 import WASI
from figwasp.wasi.program import entry, opened, start, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any, Final

    from figwasp.api.instance import Instance
    from figwasp.api.module import Module
    from figwasp.cli.running.options import RunOptions
    from figwasp.cli.running.progress import Progress
    from figwasp.cli.running.trace import Tracer
    from figwasp.runtime.objects.func import Func
    from figwasp.runtime.workers.ahead import BackgroundCompiler

    Imports = dict[str, dict[str, Any]]

# What a plain run does not need is imported where it is needed: starting takes most of the time of a small program.

__all__ = ["execute"]

LATE: Final = 124
"""Exit status of a program whose time was up, as of timeout(1)."""
_NAMELESS: Final = "main.wasm"


def execute(options: RunOptions, module: Module, tracer: Tracer | None, ahead: BackgroundCompiler | None, began: float) -> int:
    """Run a program and return its exit status.

    Args:
        options: those of the command line.
        module: the module.
        tracer: what the engine of the module tells of calls, or None.
        ahead: the compiler that works ahead, or None.
        began: when the time of the program began, of the monotonic clock, in seconds.

    Raises:
        Error: the module is not valid, or it trapped.
    """
    try:
        return _Run(options, tracer, began).run(module, ahead)
    except errors.Exit as exit_:
        return status_of(exit_)
    except errors.Timeout:
        complain(f"figwasp: {shown(options.program)}: not done after {options.timeout:g} seconds\n")
        return LATE


class _Run:
    """One run of a program."""

    def __init__(self, options: RunOptions, tracer: Tracer | None, began: float) -> None:
        self._options = options
        self._end = None if options.timeout is None else began + options.timeout
        self._tracer = tracer
        self._progress: Progress | None = None

    def run(self, module: Module, ahead: BackgroundCompiler | None) -> int:
        """Run the program and return its exit status."""
        options = self._options
        if self._tracer is None and sys.stderr is not None and sys.stderr.isatty():
            from figwasp.cli.running.progress import for_module

            self._progress = for_module(os.path.basename(options.program), len(module._decoded.data))
        try:
            with prefix_errors(shown(options.program)):
                self._prepare(module, ahead)
            with ExitStack() as resources:
                imports = self._imports(module, resources)
                with prefix_errors(shown(options.program)):
                    status, lines = self._call(module, imports)
                return write_stdout(f"{line}\n".encode() for line in lines) if lines else status
        finally:
            if self._progress is not None:
                self._progress.stop()

    def _prepare(self, module: Module, ahead: BackgroundCompiler | None) -> None:
        """Have functions that are to be compiled counted, and asked of the other process."""
        sources = [source for source in (self._progress, ahead) if source is not None]
        if sources:
            module._code.sources[:0] = sources

    def _left(self) -> float | None:
        """Return how many seconds are left, None for any number.

        Raises:
            Timeout: no time is left.
        """
        left = None if self._end is None else self._end - time.monotonic()
        if left is not None and left <= 0:
            raise errors.Timeout("timeout")
        return left

    def _imports(self, module: Module, resources: ExitStack) -> Imports:
        imports: Imports = {}
        options = self._options
        given = options.dirs or options.listen or options.stdin is not None  # what is wrong with them is told in any case
        if given or any(item.module in MODULES for item in module._decoded.imports):
            imports = resources.enter_context(_world(self._options, resources)).imports()
        if self._options.trap_unknown:
            imports = _with_traps(imports, module)
        if self._tracer is not None:
            self._tracer.name_locals(module)
            imports = self._tracer.imports(imports)
        return imports if self._progress is None else self._progress.imports(imports)

    def _call(self, module: Module, imports: Imports) -> tuple[int, list[str]]:
        """Return the exit status, and the results to be printed."""
        options = self._options
        exports = module._exports_by_name
        if options.invoke is None:
            if "_start" not in exports and "_initialize" not in exports:
                raise errors.Error("exports neither _start nor _initialize; call one with --invoke FUNC")
            return start(module, imports, self._left()), []
        if options.invoke not in exports or KINDS[exports[options.invoke].kind] != "func":
            raise errors.Error(_no_function(module, options.invoke))
        initialize = None if options.invoke == "_initialize" else entry(module, ["_initialize"])
        with opened(module, imports) as (instance, run):
            return 0, run(lambda: self._invoke(instance, initialize))

    def _invoke(self, instance: Instance, initialize: str | None) -> list[str]:
        """Call the function that the options name, after the one that initializes a reactor, if any; return its results as text."""
        from figwasp.cli.running.values import BadArgument, parse_arguments, show_results

        if initialize:
            self._timed(instance.exports[initialize])
        func = instance.exports[self._options.invoke or ""]
        try:
            values = parse_arguments(self._options.args, func.type.params)
        except BadArgument as error:
            COMMAND.error(f"{self._options.invoke}: {error}")
        return show_results(self._timed(func, *values), func.type.results)

    def _timed(self, func: Func, *args: float | bytes) -> Any:
        """Call a function in the time that is left."""
        left = self._left()
        # Not to give the keyword is faster, and what a backtrace or a trace shows.
        return func(*args) if left is None else func(*args, timeout=left)


def _no_function(module: Module, name: str) -> str:
    """Return the message about an export to be called that is not there, or is no function."""
    found = module._exports_by_name.get(name)
    if found is not None:
        return f"the export {name!r} is a {KINDS[found.kind]}, not a function"
    functions = [item.name for item in module._decoded.exports if KINDS[item.kind] == "func"]
    return f"no exported function {name!r}; there are {listed(functions)}" if functions else f"no exported function {name!r}"


def _world(options: RunOptions, resources: ExitStack) -> WASI:
    """Make the `WASI` of the program."""
    name = _NAMELESS if options.program == STREAM else os.path.basename(options.program)
    try:
        return WASI(
            args=[name if options.argv0 is None else options.argv0, *options.args],
            env=options.env,
            dirs=[(guest, host if writable else HostDirectory(host, writable=False)) for guest, host, writable in options.dirs],
            stdin=options.stdin,
            sockets=[_listener(address, resources) for address in options.listen],
        )
    except OSError as error:
        option = "--stdin" if options.stdin is not None and error.filename == options.stdin else "--dir"
        raise errors.Error(f"{option} {error.filename}: {error.strerror}") from error


def _listener(address: tuple[str, int], resources: ExitStack) -> socket.socket:
    import socket  # slow to import

    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        address[0].encode("ascii" if address[0].isascii() else "idna")  # Python would find out with a socket in its hands
        return resources.enter_context(socket.create_server(address, family=family))
    except OSError as error:
        # Python appends the address to what the host says; names that cannot be resolved have numbers of their own.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror).partition(" (while ")[0]
        raise errors.Error(f"--listen {address[0]}:{address[1]}: {reason}") from error
    except UnicodeError as error:
        raise errors.Error(f"--listen {address[0]}:{address[1]}: not a name of a host") from error


def _with_traps(imports: Imports, module: Module) -> Imports:
    """Add a function that traps for every imported function that is not provided."""
    full = {name: dict(names) for name, names in imports.items()}
    for item in module.imports:
        names = full.setdefault(item.module, {})
        if item.kind == "func" and item.name not in names:
            names[item.name] = _trapping(errors.printable(f"{item.module}.{item.name}"))
    return full


def _trapping(name: str) -> Callable[..., None]:
    def unknown_import(*_args: object) -> None:
        raise errors.Trap(f"unknown import: {name} called")

    return unknown_import
