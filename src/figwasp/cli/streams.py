"""Floor 7: the input and output of commands: files, or the standard streams for `-`.

In: names. Out: the bytes of a module, binary or text, told apart by how it begins. A file that is written appears whole or not at
all: the file is written under another name beside its place and then renamed.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from figwasp import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

__all__ = ["STREAM", "binary_of", "print_text", "read", "shown", "write", "write_stdout"]

STREAM: Final = "-"
"""Name that stands for standard input or output."""
MAGIC: Final = b"\0asm"
BEGINNING: Final = 1000
"""Bytes at the beginning in which a zero shows that an input is no text."""
BLOCK: Final = 1 << 20
"""Bytes that are collected before they are written."""


def shown(name: str) -> str:
    """Return the name of an input in messages."""
    return "<stdin>" if name == STREAM else name


def read(name: str) -> bytes:
    """Read an input.

    Raises:
        Error: the input cannot be read.
    """
    try:
        if name == STREAM:
            if sys.stdin is None:  # closed by whoever started the process
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return sys.stdin.buffer.read()
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise errors.Error(f"{shown(name)}: {error.strerror}") from error


def binary_of(data: bytes) -> bytes:
    """Return a binary as it is, and the binary of a module in the text format.

    Raises:
        Malformed: the input is neither. An empty one is a text by the letter, but surely a file that has been cut off.
    """
    if not data:
        raise errors.Malformed("unexpected end: the file is empty")
    if data.startswith(MAGIC):
        return data
    if b"\0" in data[:BEGINNING]:
        raise errors.Malformed("neither a WebAssembly binary nor text")
    from figwasp.wasm.text.parse.module import wat  # as much to import as the decoder and the validator

    return wat(data)


def write(name: str, parts: Iterable[bytes]) -> int:
    """Write an output and return the exit status: 0, or 1 if the reader stopped early.

    Args:
        name: of the file.
        parts: its content, made as it is written; an exception of theirs leaves no file behind.

    Raises:
        Error: the output cannot be written.
    """
    if name == STREAM:
        return write_stdout(parts)
    path = os.path.realpath(name)
    try:
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "wb") as device:  # nothing to rename: a pipe, a terminal, the null device
                device.writelines(_blocks(parts))
        else:
            _replace(path, parts)
    except BrokenPipeError:
        return 1
    except OSError as error:
        raise errors.Error(f"{name}: {error.strerror}") from error
    return 0


def _replace(path: str, parts: Iterable[bytes]) -> None:
    """Write a file beside its place, then rename it; the permissions of a file that it replaces are kept."""
    beside = f"{path}.{os.getpid()}.part"
    file = os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")
    try:
        with file:
            file.writelines(_blocks(parts))
        if os.path.exists(path):
            os.chmod(beside, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def print_text(parts: Iterable[str]) -> int:
    """Write text to standard output, with characters that the encoding lacks escaped; as for `write`."""
    encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
    return write_stdout(part.encode(encoding, "backslashreplace") for part in parts)


def write_stdout(parts: Iterable[bytes]) -> int:
    """Write to standard output; as for `write`."""
    if sys.stdout is None:
        raise errors.Error(f"<stdout>: {os.strerror(errno.EBADF)}")
    out = sys.stdout.buffer
    try:
        for block in _blocks(parts):
            out.write(block)
        out.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the flush at exit complain
        return 1
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise errors.Error(f"<stdout>: {error.strerror}") from error
    return 0


def _blocks(parts: Iterable[bytes]) -> Iterable[bytes]:
    """Yield the same bytes in fewer and larger blocks."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= BLOCK:
            yield b"".join(held)
            held.clear()
            size = 0
    yield b"".join(held)
