"""Guest programs made of calls to WASI: WebAssembly text that makes them one after the other and notes each answer."""

from __future__ import annotations

from typing import Final, NamedTuple

import figwasp
from figwasp.wasi import WASI
from figwasp.wasi.abi import ERRNO_NAMES

TYPES: Final = {
    "fd_allocate": "iII", "fd_close": "i", "fd_fdstat_get": "ii", "fd_fdstat_set_rights": "iII", "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI", "fd_filestat_set_times": "iIIi", "fd_pread": "iiiIi", "fd_prestat_dir_name": "iii",
    "fd_prestat_get": "ii", "fd_pwrite": "iiiIi", "fd_read": "iiii", "fd_readdir": "iiiIi", "fd_renumber": "ii", "fd_seek": "iIii",
    "fd_write": "iiii", "path_create_directory": "iii", "path_filestat_get": "iiiii", "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii", "path_open": "iiiiiIIii", "path_readlink": "iiiiii", "path_remove_directory": "iii",
    "path_rename": "iiiiii", "path_symlink": "iiiii", "path_unlink_file": "iii", "poll_oneoff": "iiii", "proc_raise": "i",
    "random_get": "ii", "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii", "sock_shutdown": "ii",
    "args_get": "ii", "environ_get": "ii", "environ_sizes_get": "ii", "args_sizes_get": "ii", "clock_time_get": "iIi",
}  # fmt: skip
"""Parameters by function: i for i32, I for i64."""
ALL: Final = (1 << 28) - 1
READ_ONLY: Final = ALL & ~(1 << 6 | 1 << 8 | 1 << 22)
ANSWERS: Final = 0x100
"""Where the answers are noted."""
BUFFER: Final = 0x8000
"""Where things are read to."""
SIZE: Final = 0x1000
EDGE: Final = 0x10000
"""Where memory ends."""


class Cell(NamedTuple):
    """A place in memory; as an argument its contents are meant."""

    address: int


class Program:
    """Collects calls; the wrappers for common ones make what they need in memory."""

    def __init__(self) -> None:
        self._code: list[str] = []
        self._data: list[str] = []
        self._top = 0x2000
        self.calls = 0

    def put(self, data: bytes) -> int:
        """Have bytes in memory; give their address."""
        address = self._top
        self._top += len(data) + 7 & ~7
        assert self._top <= BUFFER
        if data:
            text = "".join(f"\\{byte:02x}" for byte in data)
            self._data.append(f'(data (i32.const {address}) "{text}")')
        return address

    def text(self, text: str | bytes) -> tuple[int, int]:
        """Have a string in memory; give address and length."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        return self.put(data), len(data)

    def cell(self) -> Cell:
        """Have a place for a result."""
        return Cell(self.put(bytes(8)))

    def call(self, name: str, *args: int | Cell) -> None:
        """Add a call."""
        words = []
        for type_, arg in zip(TYPES[name], args, strict=True):
            kind = "i32" if type_ == "i" else "i64"
            words.append(f"({kind}.load (i32.const {arg.address}))" if isinstance(arg, Cell) else f"({kind}.const {arg})")
        self._code.append(f"(i32.store (i32.const {ANSWERS + 4 * self.calls}) (call ${name} {' '.join(words)}))")
        self.calls += 1

    def on_path(self, name: str, fd: int | Cell, path: str | bytes, *rest: int | Cell, before: tuple[int, ...] = ()) -> None:
        """Add a call that takes a descriptor, perhaps something more, a path, and the rest."""
        self.call(name, fd, *before, *self.text(path), *rest)

    def open(
        self,
        path: str | bytes,
        oflags: int = 0,
        base: int = READ_ONLY,
        *,
        fd: int | Cell = 3,
        inheriting: int = ALL,
        follow: int = 1,
        fdflags: int = 0,
    ) -> Cell:
        """Add the opening of a path; give the place of its number, where there is one that is not open should this fail."""
        out = Cell(self.put((99).to_bytes(8, "little")))
        self.on_path("path_open", fd, path, oflags, base, inheriting, fdflags, out.address, before=(follow,))
        return out

    def vector(self, pointer: int = BUFFER, size: int = SIZE) -> int:
        """Have one iovec in memory."""
        return self.put(pointer.to_bytes(4, "little") + size.to_bytes(4, "little"))

    def read(self, fd: int | Cell) -> None:
        """Add the reading of all that fits."""
        self.call("fd_read", fd, self.vector(), 1, self.cell().address)

    def write(self, fd: int | Cell, text: str) -> None:
        """Add the writing of a text."""
        pointer, size = self.text(text)
        self.call("fd_write", fd, self.vector(pointer, size), 1, self.cell().address)

    def listing(self, fd: int | Cell) -> None:
        """Add the reading of a directory."""
        self.call("fd_readdir", fd, BUFFER, SIZE, 0, self.cell().address)

    def source(self, body: str = "") -> str:
        """Give the program: `run` makes the calls; `body` is the code of another function, `more`."""
        imports = "".join(
            f'\n  (import "wasi_snapshot_preview1" "{name}" (func ${name} (param {" ".join(_WIDE[t] for t in types)}) (result i32)))'
            for name, types in TYPES.items()
        )
        lines = "\n    ".join(self._code)
        data = "\n  ".join(self._data)
        return f"""(module{imports}
  (memory (export "memory") 1 1)
  {data}
  (func (export "more") (param $n i32) {body})
  (func (export "run")
    {lines}))"""

    def run(self, wasi: WASI) -> tuple[list[str], bytes]:
        """Run it; give the names of the answers, and its memory."""
        exports = figwasp.load(figwasp.wat(self.source()), wasi.imports()).exports
        exports.run()
        memory = exports.memory
        return [ERRNO_NAMES[memory.read_u32(ANSWERS + 4 * index)] for index in range(self.calls)], bytes(memory)


_WIDE: Final = {"i": "i32", "I": "i64"}
