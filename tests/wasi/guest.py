"""A stand-in for a guest: linear memory in a bytearray, and calls of the host functions with ints signed as wasm passes them."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import figwasp
from figwasp.wasi import WASI
from figwasp.wasi.abi import DIRECTORY_RIGHTS, ERRNO_NAMES, FILE_RIGHTS

PREVIEW1: Final = "wasi_snapshot_preview1"
SNAPSHOT0: Final = "wasi_unstable"
ALL: Final = FILE_RIGHTS | DIRECTORY_RIGHTS
ROOT: Final = 3
"""The number of the first preopened directory."""
WIDE: Final = {"fd_seek": {1}, "fd_pread": {3}, "fd_pwrite": {3}, "fd_readdir": {3}, "fd_advise": {1, 2}, "fd_allocate": {1, 2},
               "fd_filestat_set_size": {1}, "fd_filestat_set_times": {1, 2}, "path_filestat_set_times": {4, 5},
               "path_open": {5, 6}, "fd_fdstat_set_rights": {1, 2}, "clock_time_get": {1}}  # fmt: skip
"""Which arguments are of 64 bits."""


def signed(value: int, bits: int) -> int:
    """Wrap an integer as wasm passes it."""
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


class Guest:
    def __init__(self, wasi: WASI, module: str = PREVIEW1, size: int = 1 << 17) -> None:
        self.wasi = wasi
        self.is_old = module == SNAPSHOT0
        self.memory = bytearray(size)  # where the functions find it, as that of their `Caller`
        self.module = figwasp.Module(b"\0asm\1\0\0\0")
        self.functions: dict[str, Callable[..., int]] = {
            name: functools.partial(function, self) for name, function in wasi.imports()[module].items()
        }
        self.top = 64  # nothing is ever put at 0

    def room(self, size: int) -> int:
        """Set bytes aside, aligned. When memory is full it starts again, over what was long ago."""
        if self.top + size > len(self.memory):
            self.top = 64
        pointer = self.top
        self.top += (size + 7) & ~7
        return pointer

    def put(self, data: bytes) -> int:
        pointer = self.room(len(data) or 1)
        self.memory[pointer : pointer + len(data)] = data
        return pointer

    def text(self, text: str | bytes) -> tuple[int, int]:
        """Put a string; give pointer and length."""
        data = text.encode() if isinstance(text, str) else text
        return self.put(data), len(data)

    def vectors(self, *buffers: tuple[int, int]) -> tuple[int, int]:
        """Put an array of iovec; give pointer and count."""
        return self.put(b"".join(struct.pack("<II", *buffer) for buffer in buffers)), len(buffers)

    def unpack(self, layout: str, pointer: int) -> tuple[Any, ...]:
        return struct.unpack_from(layout, self.memory, pointer)

    def u32(self, pointer: int) -> int:
        return int(self.unpack("<I", pointer)[0])

    def u64(self, pointer: int) -> int:
        return int(self.unpack("<Q", pointer)[0])

    def call(self, name: str, *args: int) -> str:
        """Call a function; give the name of the error number."""
        wide = WIDE.get(name, set())
        answer = self.functions[name](*[signed(arg, 64 if i in wide else 32) for i, arg in enumerate(args)])
        return ERRNO_NAMES[answer]

    def on_path(self, name: str, path: str | bytes, *rest: int, fd: int = ROOT, before: tuple[int, ...] = ()) -> str:
        """Call a function that takes a descriptor, perhaps something more, a path, and the rest."""
        return self.call(name, fd, *before, *self.text(path), *rest)

    def open(
        self,
        path: str | bytes,
        oflags: int = 0,
        base: int = ALL & ~(1 << 6 | 1 << 8 | 1 << 22),
        *,
        fd: int = ROOT,
        follow: bool = True,
        fdflags: int = 0,
        inheriting: int = ALL,
    ) -> str | int:
        """Open a path; give the number, or the error's name. Read-only unless other rights are asked for."""
        out = self.room(4)
        error = self.call("path_open", fd, int(follow), *self.text(path), oflags, base, inheriting, fdflags, out)
        return self.u32(out) if error == "success" else error

    def fd(self, path: str | bytes, oflags: int = 0, base: int = ALL & ~(1 << 6 | 1 << 8 | 1 << 22), **how: Any) -> int:
        """Open a path that opens."""
        found = self.open(path, oflags, base, **how)
        assert isinstance(found, int), found
        return found

    def write(self, fd: int, *chunks: bytes) -> str | int:
        out = self.room(4)
        buffers = [(self.put(chunk), len(chunk)) for chunk in chunks]
        error = self.call("fd_write", fd, *self.vectors(*buffers), out)
        return self.u32(out) if error == "success" else error

    def read(self, fd: int, size: int = 256) -> str | bytes:
        out, buffer = self.room(4), self.room(size)
        error = self.call("fd_read", fd, *self.vectors((buffer, size)), out)
        return bytes(self.memory[buffer : buffer + self.u32(out)]) if error == "success" else error

    def listing(self, fd: int, size: int = 4096) -> list[str]:
        """List a directory with a buffer of a size, calling again from the last whole entry on."""
        names: list[str] = []
        cookie = 0
        out, buffer = self.room(4), self.room(size)
        while True:
            assert self.call("fd_readdir", fd, buffer, size, cookie, out) == "success"
            end = buffer + self.u32(out)
            at = buffer
            while at + 24 <= end:
                following, _, length, _ = self.unpack("<QQIB", at)
                if at + 24 + length > end:
                    break
                names.append(self.memory[at + 24 : at + 24 + length].decode())
                cookie = following
                at += 24 + length
            if end - buffer < size:
                return names


def tree(root: Path) -> None:
    """Make a small world: `root/in` to be given to the guest, `root/out` and `root/secret` not to be reached."""
    (root / "in/dir/deep").mkdir(parents=True)
    (root / "in/file").write_bytes(b"inside")
    (root / "in/dir/inner").write_bytes(b"inner")
    (root / "out").mkdir()
    (root / "out/secret").write_bytes(b"SECRET")
    (root / "secret").write_bytes(b"SECRET")
