"""Floor 7: `figwasp validate`.

In: the words after `validate`. Out: the exit status, 1 when one of the modules is not valid; nothing is printed for those that
are, and one line on the standard error stream for each that is not. With `--runnable` it is also 1 when `figwasp run` cannot run
one of them here, and there is a line for each reason.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors
from figwasp.cli.features import chosen, switches
from figwasp.cli.main import complain
from figwasp.cli.options import Argument, Command, Option
from figwasp.cli.streams import STREAM, binary_of, read, shown
from figwasp.errors import prefix_errors
from figwasp.features import ALL, DEFAULT, Features, off
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import FUNC, KIND_NAMES, MEMORY, Module
from figwasp.wasm.valid.module import validate
from figwasp.wasm.valid.uses import Use, uses

__all__ = ["COMMAND", "main"]

_STARTS: Final = ("_start", "_initialize")
_SPAWN: Final = ("wasi", "thread-spawn")
"""The import of programs with threads, which may import their memory as well."""

COMMAND: Final = Command(
    "validate",
    "Say whether modules, binary or text, are valid. Nothing is printed for those that are.",
    [Argument("FILE", "a module; - or none for standard input", least=0, many=True)],
    {
        "options": [
            Option(
                ("--runnable",),
                "",
                "say as well what keeps `figwasp run` from running them: every proposal that they need and that is off, with its "
                "first place and the number of functions; imports that are not WASI's; no function to start with; this machine",
            ),
            *switches(DEFAULT),
        ]
    },
    "The exit status is 1 when one is not.",
)


def main(words: list[str]) -> int:
    """Check the modules that the words name and return the exit status."""
    given, names = COMMAND.read(words)
    features = chosen(given, DEFAULT)
    status = 0
    for name in names or [STREAM]:
        try:
            for reason in _check(name, features, "--runnable" in given):
                complain(f"figwasp: error: {shown(name)}: {reason}\n")
                status = 1
        except errors.Error as error:
            complain(f"figwasp: error: {error}\n")
            status = 1
    return status


def _check(name: str, features: Features, runnable: bool) -> list[str]:
    """Check a module; return why it cannot be run, if that is asked.

    Raises:
        Error: it is not valid.
    """
    data = read(name)
    with prefix_errors(shown(name)):
        binary = binary_of(data)
        if runnable:
            found = uses(binary, ALL.enabled - features.enabled)
            if found:
                return [_needs(use) for use in found.values()]
        module = decode(binary, features)
        validate(module)
        return _hindrances(module) if runnable else []


def _needs(use: Use) -> str:
    """Say that a proposal is needed and off, and where."""
    where = "" if use.func is None else f" in function {use.func}"
    more = f"; {len(use.funcs)} functions need it" if len(use.funcs) > 1 else ""
    return f"{off(use.what, use.proposal)}{where} at byte offset {use.offset:#x}{more}"


def _hindrances(module: Module) -> list[str]:
    """Return why `figwasp run` cannot run a valid module."""
    from figwasp.api.externs import show_import
    from figwasp.runtime import platform
    from figwasp.wasi.calls.functions import MODULES

    found = []
    threads = any((item.module, item.name) == _SPAWN for item in module.imports)
    for item in module.imports:
        given = item.name in MODULES.get(item.module, ()) and item.kind == FUNC
        if not given and not (threads and (item.kind == MEMORY or (item.module, item.name) == _SPAWN)):
            found.append(f"imports the {KIND_NAMES[item.kind]} {show_import(item)}, which `figwasp run` does not give")
    if not any(item.name in _STARTS and item.kind == FUNC for item in module.exports):
        found.append(f"exports neither {' nor '.join(_STARTS)}; only --invoke FUNC can call something")
    try:
        platform.check()
    except errors.Unsupported as reason:
        found.append(str(reason))
    return found
