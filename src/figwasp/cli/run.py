"""Floor 7: `figwasp run`, up to where a second process can begin to compile.

In: the words after `run`. Out: the exit status, which `execute` finds out. If the code of the program is not kept on the disk, the
modules for compiling and running are imported while the other process (`runtime.workers.ahead`) is at work already, and imports its
own: a process that has little in memory is forked fast, and has few pages to be copied afterwards.
"""

from __future__ import annotations

import time

from figwasp.api.engine import Engine
from figwasp.api.module import Module, deserialize
from figwasp.cli.main import not_collecting
from figwasp.cli.running.options import COMMAND, parse_run
from figwasp.cli.streams import binary_of, read, shown
from figwasp.errors import prefix_errors
from figwasp.runtime.whole import MAGIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.cli.running.options import RunOptions
    from figwasp.cli.running.trace import Tracer
    from figwasp.runtime.code.translate import Translator
    from figwasp.runtime.workers.ahead import BackgroundCompiler

__all__ = ["COMMAND", "main"]


def main(words: list[str]) -> int:
    """Run the program that the words name and return its exit status.

    Raises:
        Error: the program cannot be loaded, or it trapped.
    """
    options = parse_run(words)
    began = time.monotonic()
    module, tracer = _load(options)
    mode = module.engine.config.mode  # which shows whether anything can be run here; once for both processes
    ahead = None
    try:
        if module.engine.config.tier == "optimize" and not module._has_kept_code:
            ahead = _begin(module, mode)
        with not_collecting():
            from figwasp.cli.running.execute import execute
        return execute(options, module, tracer, ahead, began)
    finally:
        if ahead is not None:
            ahead.close()


def _load(options: RunOptions) -> tuple[Module, Tracer | None]:
    """Read the module, and make what traces its calls."""
    tracer = None
    if options.trace:
        from figwasp.cli.running.trace import Tracer

        tracer = Tracer(options.trace)
    engine = Engine(
        features=options.features,
        fuel=False if options.fuel is None else options.fuel,
        max_memory=options.max_memory,
        timeout=options.timeout,
        listener=None if tracer is None else tracer.listen,
        perf_map=options.perf_map,
    )
    data = read(options.program)
    with prefix_errors(shown(options.program)):
        if data.startswith(MAGIC):
            return deserialize(data, engine), tracer
        return Module(binary_of(data), engine=engine, lazy=True), tracer


def _begin(module: Module, mode: int) -> BackgroundCompiler | None:
    """Begin to compile in another process, if there should be one."""
    from figwasp.runtime.workers.ahead import BackgroundCompiler, possible

    if not possible():
        return None
    return BackgroundCompiler(lambda: _translator(module, mode))


def _translator(module: Module, mode: int) -> Translator:
    from figwasp.runtime.code.translate import Translator

    return Translator(module._decoded, mode, module.engine.config.metered, module._facts)
