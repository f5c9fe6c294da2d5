"""Floor 6: `figwasp run`.

In: the words after `run`. Out: the exit status; the program's output has gone to the process's own streams. A command
module is run through `_start`, a reactor through `_initialize` (WASI preview 1, application ABI); `--invoke` calls one
export instead. Functions are validated as they are compiled, so a large program need not wait for what it never calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import figwasp
from figwasp import errors, wasi
from figwasp.cli.options import RunOptions, parse_run, usage_error
from figwasp.cli.program import read_binary
from figwasp.cli.values import BadArgument, parse_arguments, show_results

__all__ = ["main"]

Imports = dict[str, dict[str, Any]]

WASI_MODULES: Final = ("wasi_snapshot_preview1", "wasi_unstable")


def main(words: list[str]) -> int:
    """Run the program that the words name and return its exit status.

    Raises:
        Error: it cannot be loaded, or it trapped.
    """
    options = parse_run(words)
    try:
        return _run(options)
    except errors.Exit as exit_:
        return _status(exit_)


def _status(exit_: errors.Exit) -> int:
    return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)


def _run(options: RunOptions) -> int:
    module = _load_module(options.program)
    world = _wasi(options) if any(item.module in WASI_MODULES for item in module.imports) else None
    try:
        imports: Imports = {} if world is None else world.imports()
        if options.trap_unknown:
            imports = _with_traps(imports, module)
        instance = figwasp.load(module, imports)
        if world is not None and "memory" in instance.exports:
            world.attach(instance.exports["memory"])
        return _call(instance, options)
    finally:
        if world is not None:
            world.close()


def _load_module(path: str) -> figwasp.Module:
    """Read a module, binary or text."""
    try:
        return figwasp.Module(read_binary(path), lazy=True)
    except (errors.Malformed, errors.Invalid) as error:
        raise errors.Error(f"{path}: {error}") from error


def _wasi(options: RunOptions) -> wasi.WASI:
    argv0 = os.path.basename(options.program) if options.argv0 is None else options.argv0
    try:
        return wasi.WASI(args=[argv0, *options.args], env=options.env, dirs=options.dirs)
    except OSError as error:
        raise errors.Error(f"--dir {error.filename}: {error.strerror}") from error


def _with_traps(imports: Imports, module: figwasp.Module) -> Imports:
    """Add a function that traps for every imported function that nobody provides."""
    full = {name: dict(names) for name, names in imports.items()}
    for item in module.imports:
        names = full.setdefault(item.module, {})
        if item.kind == "func" and item.name not in names:
            names[item.name] = _trapping(f"{item.module}.{item.name}")
    return full


def _trapping(name: str) -> Callable[..., None]:
    def unknown_import(*_args: object) -> None:
        raise errors.Trap(f"unknown import: {name} called")

    return unknown_import


def _call(instance: figwasp.Instance, options: RunOptions) -> int:
    exports = instance.exports
    if options.invoke is None and "_start" in exports:
        exports["_start"]()
        return 0
    if "_initialize" in exports:
        exports["_initialize"]()
    elif options.invoke is None:
        raise errors.Error(f"{options.program}: exports neither _start nor _initialize; call one with --invoke FUNC")
    if options.invoke is not None:
        _invoke(exports, options.invoke, options.args)
    return 0


def _invoke(exports: Any, name: str, words: list[str]) -> None:
    if name not in exports or not hasattr(getattr(exports[name], "type", None), "params"):
        raise errors.Error(f"no exported function {name!r}")
    func = exports[name]
    try:
        values = parse_arguments(words, func.type.params)
    except BadArgument as error:
        usage_error(f"{name}: {error}")
    for line in show_results(func(*values)):
        print(line)
