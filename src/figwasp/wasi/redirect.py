"""Floor 6: redirection of the standard streams of `figwasp.run`, as in `subprocess`.

In: its arguments `input`, `stdin`, `stdout`, `stderr`. Out: the arguments of `WASI` for them, and the captured output.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import IO, Any, Final

from figwasp.wasi.allowance import Allowance
from figwasp.wasi.descriptors.streams import Captured

__all__ = ["PIPE", "Codec", "Redirection"]

PIPE: Final = -1  # those of subprocess, which is too slow to import for what may not need it
_STDOUT: Final = -2
_DEVNULL: Final = -3


class Codec:
    """The conversion between text and bytes in text mode."""

    __slots__ = ("_encoding", "_errors")

    def __init__(self, encoding: str | None, errors: str | None) -> None:
        wrapper = io.TextIOWrapper(io.BytesIO(), encoding=encoding or "locale", errors=errors)
        self._encoding = wrapper.encoding
        self._errors = wrapper.errors or "strict"

    def encode(self, text: Any) -> Any:
        """Encode the input; bytes stay as they are."""
        return text.encode(self._encoding, self._errors) if isinstance(text, str) else text

    def decode(self, data: bytes | None) -> str | None:
        """Decode captured bytes, with line ends as Python has them."""
        if data is None:
            return None
        return data.decode(self._encoding, self._errors).replace("\r\n", "\n").replace("\r", "\n")


class Redirection:
    """The three streams of a run, to be used as a context manager.

    Attributes:
        stdin, stdout, stderr: the arguments of `WASI`.
    """

    __slots__ = ("_allowance", "_captured", "_opened", "stderr", "stdin", "stdout")

    def __init__(self, input: Any, stdin: Any, stdout: Any, stderr: Any, max_output: int | None) -> None:
        """Prepare the streams.

        Args:
            input, stdin, stdout, stderr: the arguments of `run`.
            max_output: most bytes that are captured, or None.

        Raises:
            TypeError: the input is no bytes.
        """
        self._allowance = Allowance(max_output, errno.ENOSPC)
        self._captured: list[Captured | None] = [None, None]
        self._opened: list[IO[bytes]] = []
        if isinstance(input, str):
            raise TypeError("input must be bytes, not str, unless in text mode")
        self.stdin = _source(stdin) if input is None else memoryview(input)
        self.stdout = self._sink(0, stdout)
        self.stderr = self._merged(stdout) if _is(stderr, _STDOUT) else self._sink(1, stderr)

    def _sink(self, number: int, given: Any) -> Any:
        if _is(given, PIPE):
            self._captured[number] = file = Captured(self._allowance)
            return file
        if _is(given, _STDOUT):
            raise ValueError("STDOUT can only be used for stderr")
        return _other(given, "wb")

    def _merged(self, given: Any) -> Any:
        """Return the stream for stderr when it goes where stdout goes."""
        if given is None:
            return _other(1, "wb")
        if isinstance(self.stdout, (str, os.PathLike)):
            self.stdout = open(self.stdout, "wb", buffering=0)  # noqa: SIM115
            self._opened.append(self.stdout)
        return self.stdout

    @property
    def captured_stdout(self) -> bytes | None:
        """The output to stdout so far, if it is captured."""
        return None if self._captured[0] is None else self._captured[0].getvalue()

    @property
    def captured_stderr(self) -> bytes | None:
        """The output to stderr so far, if it is captured separately."""
        return None if self._captured[1] is None else self._captured[1].getvalue()

    def complain(self, message: str) -> None:
        """Write to stderr on behalf of the guest, unless nobody can read it."""
        data = message.encode("utf-8", "backslashreplace")
        try:
            if self.stderr is None:
                flush = getattr(sys.stderr, "flush", None)
                if flush is not None:
                    flush()
                os.write(2, data)
            elif isinstance(self.stderr, (str, os.PathLike)):
                with open(self.stderr, "ab") as file:
                    file.write(data)
            else:
                file = getattr(self.stderr, "buffer", self.stderr)
                (file.add if isinstance(file, Captured) else file.write)(data)
                getattr(file, "flush", int)()
        except OSError:
            pass  # as a process that is aborted could not tell either

    def __enter__(self) -> Redirection:
        return self

    def __exit__(self, *exception: object) -> None:
        for file in self._opened:
            file.close()


def _is(given: object, constant: int) -> bool:
    """Return whether one of the constants of subprocess was given."""
    return isinstance(given, int) and given == constant


def _source(given: Any) -> Any:
    if _is(given, _STDOUT):
        raise ValueError("STDOUT can only be used for stderr")
    return b"" if _is(given, PIPE) else _other(given, "rb")


def _other(given: Any, mode: str) -> Any:
    """Return the argument of `WASI` for a stream that is not captured."""
    if _is(given, _DEVNULL):
        return os.devnull
    if isinstance(given, int) and not isinstance(given, bool):
        return open(given, mode, buffering=0, closefd=False)
    return given
