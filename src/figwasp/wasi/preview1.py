"""Floor 6: WASI preview 1 as host functions: the table of its 46 names, and `WASI`, which makes them for one guest.

In: arguments, environment, directories and streams to give to a guest. Out: plain Python callables by module and name, for the
imports of an instance. They take ints as wasm passes them (signed) and answer an error number. Errors of the host become
numbers here, by one table; every other exception, KeyboardInterrupt among them, passes through the guest to whoever called it.

    wasi = WASI(args=["prog", "x"], dirs={"/data": "some/folder"})
    instance = figwasp.load("prog.wasm", wasi.imports())
    wasi.attach(instance.memory)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Final

from figwasp.wasi import clocks, fdcalls, pathcalls, process
from figwasp.wasi.abi import DIRECTORY_RIGHTS, FD_READ, FD_WRITE, FILE_RIGHTS, Fail, errno_of
from figwasp.wasi.files import Descriptor, Directory, Stream, Table, inherited
from figwasp.wasi.memory import Buffer
from figwasp.wasi.state import State

_Function = Callable[..., int]

PREVIEW1: Final[dict[str, _Function]] = {
    function.__name__: function
    for function in (
        process.args_get,
        process.args_sizes_get,
        clocks.clock_res_get,
        clocks.clock_time_get,
        process.environ_get,
        process.environ_sizes_get,
        fdcalls.fd_advise,
        fdcalls.fd_allocate,
        fdcalls.fd_close,
        fdcalls.fd_datasync,
        fdcalls.fd_fdstat_get,
        fdcalls.fd_fdstat_set_flags,
        fdcalls.fd_fdstat_set_rights,
        fdcalls.fd_filestat_get,
        fdcalls.fd_filestat_set_size,
        fdcalls.fd_filestat_set_times,
        fdcalls.fd_pread,
        fdcalls.fd_prestat_dir_name,
        fdcalls.fd_prestat_get,
        fdcalls.fd_pwrite,
        fdcalls.fd_read,
        fdcalls.fd_readdir,
        fdcalls.fd_renumber,
        fdcalls.fd_seek,
        fdcalls.fd_sync,
        fdcalls.fd_tell,
        fdcalls.fd_write,
        pathcalls.path_create_directory,
        pathcalls.path_filestat_get,
        pathcalls.path_filestat_set_times,
        pathcalls.path_link,
        pathcalls.path_open,
        pathcalls.path_readlink,
        pathcalls.path_remove_directory,
        pathcalls.path_rename,
        pathcalls.path_symlink,
        pathcalls.path_unlink_file,
        clocks.poll_oneoff,
        process.proc_exit,
        process.proc_raise,
        process.random_get,
        process.sched_yield,
        process.sock_accept,
        process.sock_recv,
        process.sock_send,
        process.sock_shutdown,
    )
}
SNAPSHOT0: Final[dict[str, _Function]] = {
    **{name: function for name, function in PREVIEW1.items() if name != "sock_accept"},
    "fd_filestat_get": fdcalls.fd_filestat_get_snapshot0,
    "fd_seek": fdcalls.fd_seek_snapshot0,
    "path_filestat_get": pathcalls.path_filestat_get_snapshot0,
    "poll_oneoff": clocks.poll_oneoff_snapshot0,
}
MODULES: Final = {"wasi_snapshot_preview1": PREVIEW1, "wasi_unstable": SNAPSHOT0}
"""The functions by the module names that programs import."""


def _bind(name: str, function: _Function, state: State) -> _Function:
    """Make the host function for one guest."""

    def call(*args: int) -> int:
        try:
            return function(state, *args)
        except Fail as fail:
            return fail.errno
        except OSError as error:
            return errno_of(error)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = function.__doc__
    return call


class WASI:
    """What one guest may use of the host: nothing but what is given here. Use as a context manager, or call `close`."""

    def __init__(
        self,
        *,
        args: Sequence[str | bytes] = (),
        env: Mapping[str, str] | None = None,
        dirs: Mapping[str, str | os.PathLike[str]] | Iterable[tuple[str, str | os.PathLike[str]]] = (),
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> None:
        """Prepare a guest's world.

        Args:
            args: the arguments, the program's name first.
            env: the environment; empty unless given.
            dirs: the guest's name and the host's path of each directory to give, in the order of their descriptors from 3.
            stdin: a binary file object to read from; None means the process's own, as below.
            stdout: a binary file object to write to.
            stderr: a binary file object to write to.

        Raises:
            OSError: when a directory cannot be opened.
            ValueError: for an argument or a variable that cannot be passed, as it has a NUL in it or `=` in its name.
        """
        pairs = dirs.items() if isinstance(dirs, Mapping) else dirs
        arguments = [_string(arg) for arg in args]
        variables = [_variable(name, value) for name, value in (env or {}).items()]
        streams = [_stdio(0, stdin), _stdio(1, stdout), _stdio(2, stderr)]
        preopens = [_preopen(guest, host) for guest, host in pairs]
        self._state = State(Table([*streams, *preopens]), arguments, variables)

    def imports(self) -> dict[str, dict[str, _Function]]:
        """Give the host functions by module and name. All names share the same descriptors."""
        return {
            module: {name: _bind(name, function, self._state) for name, function in functions.items()}
            for module, functions in MODULES.items()
        }

    def attach(self, memory: Buffer) -> None:
        """Tell where the guest's memory is, before it makes its first call.

        Args:
            memory: a writable buffer whose base does not move; it may grow.
        """
        self._state.memory.attach(memory)

    def close(self) -> None:
        """Close the guest's descriptors. File objects that were given are flushed and stay open."""
        self._state.close()

    def __enter__(self) -> WASI:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _string(text: str | bytes) -> bytes:
    encoded = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise ValueError(f"cannot pass a string with a NUL in it: {text!r}")
    return encoded


def _variable(name: str, value: str) -> bytes:
    if not name or "=" in name:
        raise ValueError(f"not a name for an environment variable: {name!r}")
    return _string(f"{name}={value}")


def _stdio(host: int, file: IO[bytes] | None) -> Descriptor | None:
    """Make descriptor 0, 1 or 2; one that the process itself does not have stays closed."""
    if file is not None:
        return Stream(file, ~(FD_WRITE if host == 0 else FD_READ))
    try:
        return inherited(host)
    except OSError:
        return None


def _preopen(guest: str, host: str | os.PathLike[str]) -> Descriptor:
    fd = os.open(host, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    directory = Directory(fd, DIRECTORY_RIGHTS, DIRECTORY_RIGHTS | FILE_RIGHTS)
    directory.preopen = _string(guest)
    return directory
