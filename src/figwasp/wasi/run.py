"""Floor 6: `figwasp.run`, which runs a WASI program as `subprocess.run` runs one of the host.

In: a program and the part of the host that it may use. Out: a `subprocess.CompletedProcess`. A trap is an end like another:
status 134, which a shell reports of an aborted process, with the backtrace where the guest's own error messages go.

Limits are the engine's, so a module that was made with an engine of other limits is compiled anew for them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypedDict, Unpack, cast, overload

from figwasp.api.engine import Engine, default_engine
from figwasp.api.module import Module, as_binary
from figwasp.errors import Timeout, Trap, WasmException, prefix_errors
from figwasp.lazy import importing
from figwasp.wasi.descriptors.streams import MAX_OUTPUT
from figwasp.wasi.preview1 import WASI
from figwasp.wasi.program import report, start
from figwasp.wasi.redirect import PIPE, Codec, Redirection

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from subprocess import CompletedProcess

    from figwasp.wasi.preview1 import Text

    Program = str | os.PathLike[str] | bytes | bytearray | memoryview | Module | Traversable

    class _Options(TypedDict, total=False):
        """The keyword arguments of `run` that do not decide what is captured: str or bytes."""

        input: str | bytes | bytearray | memoryview | None
        stdin: Any
        stdout: Any
        stderr: Any
        capture_output: bool
        env: Mapping[str, Text] | Mapping[bytes, Text] | None
        dirs: Mapping[str, Any] | Iterable[tuple[str, Any]]
        check: bool
        timeout: float | None
        max_memory: int | None
        max_output: int | None
        fuel: int | None
        max_threads: int | None
        argv0: str | None
        engine: Engine | None
        compile_ahead: bool


__all__ = ["run"]

ABORTED: Final = 134
_NAMELESS: Final = "main.wasm"
_LONGEST: Final = 1e9
"""Seconds, thirty years: as good as no limit, and no trouble to the clock."""


@overload
def run(
    program: Program | list[Any] | tuple[Any, ...], args: Iterable[Text] = (), *,
    text: Literal[True], encoding: str | None = None, errors: str | None = None, **options: Unpack[_Options],
) -> CompletedProcess[str]: ...
@overload
def run(
    program: Program | list[Any] | tuple[Any, ...], args: Iterable[Text] = (), *,
    text: bool | None = None, encoding: str, errors: str | None = None, **options: Unpack[_Options],
) -> CompletedProcess[str]: ...
@overload
def run(
    program: Program | list[Any] | tuple[Any, ...], args: Iterable[Text] = (), *,
    text: bool | None = None, encoding: None = None, errors: str, **options: Unpack[_Options],
) -> CompletedProcess[str]: ...
@overload
def run(
    program: Program | list[Any] | tuple[Any, ...], args: Iterable[Text] = (), *,
    text: Literal[False] | None = None, encoding: None = None, errors: None = None, **options: Unpack[_Options],
) -> CompletedProcess[bytes]: ...
@overload
def run(
    program: Program | list[Any] | tuple[Any, ...], args: Iterable[Text] = (), *,
    text: bool | None = None, encoding: str | None = None, errors: str | None = None, **options: Unpack[_Options],
) -> CompletedProcess[Any]: ...
def run(
    program: Program | list[Any] | tuple[Any, ...],
    args: Iterable[Text] = (),
    *,
    input: str | bytes | bytearray | memoryview | None = None,
    stdin: Any = None,
    stdout: Any = None,
    stderr: Any = None,
    capture_output: bool = False,
    text: bool | None = None,
    encoding: str | None = None,
    errors: str | None = None,
    env: Mapping[str, Text] | Mapping[bytes, Text] | None = None,
    dirs: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
    check: bool = False,
    timeout: float | None = None,
    max_memory: int | None = None,
    max_output: int | None = MAX_OUTPUT,
    fuel: int | None = None,
    max_threads: int | None = None,
    argv0: str | None = None,
    engine: Engine | None = None,
    compile_ahead: bool = False,
) -> CompletedProcess[Any]:
    r"""Run a WASI program to its end, with the names and results of `subprocess.run`.

    >>> import figwasp
    >>> figwasp.run(figwasp.wat('(module (memory (export "memory") 1) (func (export "_start")))'))
    CompletedProcess(args=['main.wasm'], returncode=0)

    `run` differs where a guest is not a process: the program sees nothing of the host but what it is given here, so that `env` is
    empty unless given, and there are no files without `dirs`.

    Args:
        program: a path of a binary, or of a text that ends in .wat; the bytes of a binary; a `Module`; or a resource of a package,
            which `importlib.resources.files("package") / "program.wasm"` gives; or a list of one of these and the arguments, as
            `subprocess.run` has it.
        args: the arguments, without the program's own name.
        input: the contents of stdin: bytes, or a str in text mode.
        stdin: where stdin comes from instead: the process's own unless given, `subprocess.DEVNULL`, a descriptor, a binary file
            object, or the path of a file.
        stdout: where stdout goes: the process's own unless given, `subprocess.PIPE` to capture it, DEVNULL, a descriptor, a binary
            file object, or the path of a file.
        stderr: the same; `subprocess.STDOUT` for where stdout goes.
        capture_output: capture stdout and stderr.
        text: captured output and `input` are str, as they also are when `encoding` or `errors` is given.
        encoding: of text; the locale's unless given.
        errors: how `str.encode` and `bytes.decode` are to treat errors.
        env: the environment.
        dirs: the guest's name of each directory, and the directory; see `WASI`.
        check: raise an exception when the exit status is not 0.
        timeout: seconds after which the program is ended.
        max_memory: most bytes that the program's memories may have together.
        max_output: most bytes of stdout and stderr together that are captured, or None; beyond it the program is told that there
            is no space left, and goes on if it can.
        fuel: how much the program may execute, see `Engine`; a thread gets half of what the one that starts it has left.
        max_threads: most threads that the program may have at once beside its main one (wasi-threads); 128 unless given.
        argv0: the name the program knows itself by; the last part of the path unless given.
        engine: the engine that compiles the program; a module has its own.
        compile_ahead: have a second process compile functions that will probably be called next, if there is a processor for it.
            That process is forked from this one, which therefore must not have other threads; where Python knows of any, none is
            forked, nor with a baseline compiler (`Engine(tier=...)`). For scripts that do nothing but run a program.

    Returns:
        `args` is the program (its name where bytes were given) and its arguments; `returncode` is the exit status, 134 after a
        trap, whose reason is in the program's stderr; `stdout` and `stderr` are the captured output, else None.

    Raises:
        CalledProcessError: the exit status is not 0, and `check` was given.
        TimeoutExpired: the program took too long; the exception has the output captured until then, as bytes.
        Malformed, Invalid, Unlinkable: the program is no valid module, or imports something that WASI does not have.
        LimitExceeded: the program begins with more memory than it may have.
        OSError: a file or directory cannot be opened.
        ValueError, TypeError: the arguments contradict each other, or are of wrong types.
    """
    if input is not None and stdin is not None:
        raise ValueError("stdin and input arguments may not both be used.")
    if capture_output:
        if stdout is not None or stderr is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        stdout = stderr = PIPE
    if isinstance(args, (str, bytes)):
        raise TypeError(f"args must be a sequence of arguments, not {type(args).__name__}")
    if isinstance(program, (list, tuple)):
        if not program:
            raise ValueError("a list of a program and its arguments must not be empty")
        words = [*program[1:], *args]
        program = cast("Program", program[0])
    else:
        words = [*args]
    began = time.monotonic()
    if timeout is not None and timeout > _LONGEST:
        timeout = _LONGEST
    codec = Codec(encoding, errors) if text or encoding or errors else None
    name = _name(program) if argv0 is None else argv0
    command = [name if isinstance(program, (bytes, bytearray, memoryview)) else program, *words]
    limits = {"max_memory": max_memory, "fuel": fuel, "timeout": timeout}
    with Redirection(codec.encode(input) if codec else input, stdin, stdout, stderr, max_output) as streams:
        if timeout is not None and timeout <= 0:
            _expire(command, timeout, streams)
        arguments = [name, *(os.fspath(word) for word in words)]
        with WASI(args=arguments, env=env, dirs=dirs, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr) as world:
            try:
                module = _module(program, engine, {key: value for key, value in limits.items() if value is not None})
                with module.compile_ahead() if compile_ahead else nullcontext():
                    left = None if timeout is None else timeout - (time.monotonic() - began)
                    code = start(module, world.imports(), left, max_threads)
            except (Trap, WasmException) as trap:
                if isinstance(trap, Timeout) and timeout is not None:
                    _expire(command, timeout, streams)
                code = ABORTED
                streams.complain(report(trap))
        return _completed(command, code, streams, codec, check)


def _completed(
    command: list[Any], code: int, streams: Redirection, codec: Codec | None, check: bool
) -> CompletedProcess[Any]:
    with importing:
        from subprocess import CalledProcessError, CompletedProcess  # takes longer to import than all of WASI

    out: Any = streams.captured_stdout
    err: Any = streams.captured_stderr
    if codec is not None:
        out, err = codec.decode(out), codec.decode(err)
    if check and code:
        raise CalledProcessError(code, command, out, err)
    return CompletedProcess(command, code, out, err)


def _expire(command: list[Any], timeout: float, streams: Redirection) -> NoReturn:
    with importing:
        from subprocess import TimeoutExpired

    raise TimeoutExpired(command, timeout, streams.captured_stdout, streams.captured_stderr) from None


def _name(program: Program) -> str:
    """Return the name by which a program knows itself."""
    if isinstance(program, Module):
        return program.name or _NAMELESS
    if isinstance(program, (str, os.PathLike)):
        return os.path.basename(os.fspath(program))
    return str(getattr(program, "name", _NAMELESS))


def _module(program: Program, engine: Engine | None, limits: dict[str, Any]) -> Module:
    """Return the module to run, compiled for these limits."""
    if isinstance(program, Module):
        if engine is not None:
            raise ValueError("a module has an engine of its own")
        if program._decoded.start is None:
            limits.pop("timeout", None)  # the call of _start has it
        return Module(program._decoded.data, engine=_limited(program.engine, limits), lazy=True) if limits else program
    chosen = _limited(default_engine() if engine is None else engine, limits)
    if isinstance(program, (str, os.PathLike, bytes, bytearray, memoryview)):
        return Module(program, engine=chosen, lazy=True)
    if not hasattr(program, "read_bytes"):
        raise TypeError(f"program must be a path, bytes, a Module or a resource, not {type(program).__name__}")
    with prefix_errors(program.name):
        return Module(as_binary(program.read_bytes(), program.name), engine=chosen, lazy=True)


def _limited(engine: Engine, limits: dict[str, Any]) -> Engine:
    return Engine(**{**engine.settings, **limits}) if limits else engine
