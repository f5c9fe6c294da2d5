"""Floor 6: `WASI`, the part of the host that is given to one guest.

In: arguments, environment, directories, streams and sockets. Out: host functions by module and name, for the imports of
an instance.

    with WASI(args=["prog", "x"], dirs={"/data": "some/folder"}) as wasi:
        figwasp.load("prog.wasm", wasi.imports()).exports._start()

The functions find the memory of the instance that calls them by themselves. Several instances may share a `WASI`: then
they share descriptors, and each has its own memory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from figwasp.lazy import importing
from figwasp.wasi.abi import DIRECTORY_RIGHTS, FILE_RIGHTS
from figwasp.wasi.allowance import Allowance
from figwasp.wasi.calls.functions import MODULES, bind
from figwasp.wasi.calls.memory import GuestMemory
from figwasp.wasi.calls.state import GuestState
from figwasp.wasi.descriptors.files import OpenDirectory
from figwasp.wasi.descriptors.streams import CAPTURE, MAX_OUTPUT, Captured, stdio
from figwasp.wasi.descriptors.table import Table
from figwasp.wasi.directories.host import HostDirectory
from figwasp.wasi.filesystem import Directory, count

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from typing import IO, Any, Final

    from figwasp.api.caller import Caller
    from figwasp.wasi.calls.functions import Function
    from figwasp.wasi.calls.memory import Buffer
    from figwasp.wasi.descriptors.files import Descriptor

    Text = str | bytes | os.PathLike[str] | os.PathLike[bytes]

__all__ = ["WASI"]

_MAX_DESCRIPTORS: Final = 1024


class WASI:
    r"""The part of the host that one guest may use: nothing but the arguments given. Use as a context manager, or call `close`.

    >>> import figwasp
    >>> text = '''(module
    ...     (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    ...     (memory 1) (data (i32.const 16) "hello") (data (i32.const 0) "\\10\\00\\00\\00\\05")
    ...     (func (export "hello") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))'''
    >>> with figwasp.WASI(stdout=figwasp.wasi.CAPTURE) as wasi:
    ...     figwasp.load(figwasp.wat(text), wasi.imports()).hello()
    ...     wasi.stdout
    b'hello'
    """

    def __init__(
        self,
        *,
        args: Iterable[Text] = (),
        env: Mapping[str, Text] | Mapping[bytes, Text] | None = None,
        dirs: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        stdin: IO[bytes] | bytes | bytearray | memoryview | str | os.PathLike[str] | None = None,
        stdout: Any = None,
        stderr: Any = None,
        sockets: Iterable[socket.socket | tuple[str, int]] = (),
        max_descriptors: int = _MAX_DESCRIPTORS,
        max_output: int | None = MAX_OUTPUT,
    ) -> None:
        """Prepare a guest's world.

        Args:
            args: the arguments, the program's name first.
            env: the environment; empty unless given.
            dirs: the guest's name of each directory, and the directory, in the order of their descriptors from 3: a path
                of the host; a `Directory`, such as `HostDirectory(path, writable=False)`, `MemoryDirectory()` or
                `OverlayDirectory(...)`; a dict of files, for a `MemoryDirectory` of them; a `zipfile.ZipFile`; or what
                `importlib.resources.files(...)` returns.
            stdin: where to read: bytes, the path of a file, or a binary file object; None means the process's own, as below.
            stdout: where to write: the path of a file, a binary file object, or CAPTURE, which keeps the bytes for `stdout`.
            stderr: the same.
            sockets: listening or connected sockets, or addresses to listen on, with the descriptors after those of the
                directories.
            max_descriptors: most descriptors that the guest may have open; beyond that it gets MFILE.
            max_output: most bytes that CAPTURE keeps, of stdout and stderr together, or None; beyond that the guest gets NOSPC.

        Raises:
            OSError: when a directory cannot be opened.
            ValueError: for an argument or a variable that cannot be passed because it contains a NUL, or its name `=`.
            TypeError: for an argument of a wrong type.
        """
        if isinstance(args, (str, bytes)):
            raise TypeError(f"args must be a sequence of arguments, not {type(args).__name__}")
        pairs = dirs.items() if isinstance(dirs, Mapping) else _pairs(dirs)
        self._args = [_string(arg) for arg in args]
        self._env = [_variable(name, value) for name, value in (env or {}).items()]
        allowance = Allowance(max_output, errno.ENOSPC)
        self._captured = [Captured(allowance) if file is CAPTURE else None for file in (stdout, stderr)]
        self._table = Table(max_descriptors)
        try:
            for number, file in enumerate((stdin, self._captured[0] or stdout, self._captured[1] or stderr)):
                self._table.append(stdio(number, file))
            for guest, found in pairs:
                self._table.append(_preopen(guest, found))
            for sock in sockets:
                self._table.append(_socket(sock))
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        dirs = {
            os.fsdecode(descriptor.preopen): descriptor.directory
            for descriptor in self._table.all()
            if isinstance(descriptor, OpenDirectory) and descriptor.preopen is not None
        }
        args = [os.fsdecode(arg) for arg in self._args]
        variables, descriptors = count(len(self._env), "variable"), count(len(self._table.all()), "descriptor")
        return f"<WASI: args {args}, {variables}, dirs {dirs}, {descriptors} open>"

    def imports(self) -> dict[str, dict[str, Function]]:
        """Return the host functions by module and name. All names share the same descriptors."""
        return {
            module: {name: bind(name, function, self) for name, function in functions.items()}
            for module, functions in MODULES.items()
        }

    def state_of(self, caller: Caller) -> GuestState:
        """Return the state for the instance that calls (`functions` only)."""
        memory: Buffer
        try:
            memory = caller.memory
        except AttributeError:
            memory = bytearray()  # without a memory everything faults
        return GuestState(GuestMemory(memory), self._table, self._args, self._env)

    @property
    def stdout(self) -> bytes | None:
        """The bytes that the guest has written to its stdout so far, if that is CAPTURE; else None."""
        captured = self._captured[0]
        return None if captured is None else captured.getvalue()

    @property
    def stderr(self) -> bytes | None:
        """The bytes that the guest has written to its stderr so far, if that is CAPTURE; else None."""
        captured = self._captured[1]
        return None if captured is None else captured.getvalue()

    def close(self) -> None:
        """Close the guest's descriptors. File objects that were given are flushed and stay open."""
        descriptors = self._table.all()
        self._table.clear()
        try:
            for descriptor in descriptors:
                descriptor.flush()
        finally:
            for descriptor in descriptors:
                descriptor.close()

    def __enter__(self) -> WASI:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _string(text: Text) -> bytes:
    plain = os.fspath(text)
    encoded = plain if isinstance(plain, bytes) else plain.encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise ValueError(f"cannot pass a string with a NUL in it: {text!r}")
    return encoded


def _variable(name: Text, value: Text) -> bytes:
    encoded = _string(name)
    if not encoded or b"=" in encoded:
        raise ValueError(f"not a name for an environment variable: {name!r}")
    return encoded + b"=" + _string(value)


def _pairs(dirs: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return names and directories given in pairs.

    Raises:
        TypeError: the argument is something else.
    """
    pairs: list[Any] = [dirs] if isinstance(dirs, (str, bytes, os.PathLike)) else list(dirs)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"dirs must be a mapping of the guest's names to directories, or pairs of them, not {pair!r}")
    return [(name, found) for name, found in pairs]


def _socket(sock: socket.socket | tuple[str, int]) -> Descriptor:
    with importing:
        from figwasp.wasi.descriptors.sockets import given  # which few need, and takes long to import

    return given(sock)


def _preopen(guest: str, given: Any) -> Descriptor:
    """Make the descriptor of a preopened directory."""
    name = _string(guest)
    if isinstance(given, Directory):
        found = given.reopen()
    elif isinstance(given, (str, os.PathLike)):
        found = HostDirectory(given)
    elif isinstance(given, Mapping):
        with importing:
            from figwasp.wasi.directories.inmemory import MemoryDirectory

        found = MemoryDirectory(given)
    elif hasattr(given, "infolist"):
        with importing:
            from figwasp.wasi.directories.tree import ZipDirectory  # which few need

        found = ZipDirectory(given)
    elif hasattr(given, "iterdir"):
        with importing:
            from figwasp.wasi.directories.tree import ResourceDirectory

        found = ResourceDirectory(given)
    else:
        raise TypeError(f"{guest!r} in dirs must be a path, a Directory, a dict of files or resources, not {type(given).__name__}")
    directory = OpenDirectory(found, DIRECTORY_RIGHTS, DIRECTORY_RIGHTS | FILE_RIGHTS)
    directory.preopen = name
    return directory
