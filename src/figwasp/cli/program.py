"""Floor 6: the program a command is given: a path. In: the path of a binary or a text. Out: the binary's bytes."""

from __future__ import annotations

from figwasp import errors
from figwasp.wasm.parse import wat

__all__ = ["read_binary"]

MAGIC = b"\0asm"


def read_binary(path: str) -> bytes:
    """Read a program; what is not a binary is taken for text.

    Raises:
        Malformed: it is neither.
        Error: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise errors.Error(f"{path}: {error.strerror}") from error
    return data if data.startswith(MAGIC) else wat(_text(data))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise errors.Malformed("neither a WebAssembly binary nor text") from None
