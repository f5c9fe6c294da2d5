"""Floor 4: the table of installed code, by address.

In: `Code` and the address at which it has been installed. Out: for a program counter, the function there, the size of its frame,
its trap code, the byte offset of its wasm instruction. Frames have no frame pointer: a walk over the wasm stack needs these.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType
    from typing import Any, Final

    from figwasp.codegen.code import Code
    from figwasp.codegen.stored.image import Image
    from figwasp.wasm.debug.source import SourceMap

    Entry = tuple["CodeType", dict[str, Any], int, int]
    """The parts of an entry of a Python traceback: code, globals, line, byte offset."""

_PIECE_BITS: Final = 16
_START: Final = attrgetter("start")

__all__ = ["CodeRange", "CodeTable", "Entry", "ImageRange", "Site"]


class CodeRange:
    """An installed function.

    Attributes:
        start, end: addresses of its code.
        source_map: the module it belongs to, and where its code comes from; None for a stub, which backtraces leave out.
        index: function index.
        frame_size: bytes between stack pointer and return address.
        incoming: bytes of stack arguments, which it pops when it returns.
        entries: the entries that tracebacks show for it, by program counter; several where functions were inlined.
    """

    __slots__ = (
        "_frame_size_exceptions",
        "_positions",
        "_pushed",
        "_traps",
        "end",
        "entries",
        "frame_size",
        "incoming",
        "index",
        "source_map",
        "start",
    )

    def __init__(self, start: int, size: int, code: Code, source_map: SourceMap | None) -> None:
        self.start = start
        self.end = start + size
        self.source_map = source_map
        self.index = code.index
        self.frame_size = code.frame_size
        self._traps = dict(code.traps)
        self._positions = code.positions
        self._frame_size_exceptions = dict(code.frame_size_exceptions)
        self.incoming = code.incoming
        self._pushed = dict(code.pushed)
        self.entries: dict[int, list[Entry]] = {}

    def at(self, pc: int) -> CodeRange | None:
        """Return the function itself, as it is for all addresses that it has."""
        return self if pc <= self.end else None

    def frame_at(self, pc: int) -> int:
        """Return the size of the frame at a return address, or at a fault."""
        return self._frame_size_exceptions.get(pc - self.start, self.frame_size)

    def pushed_at(self, pc: int) -> int:
        """Return the bytes of stack arguments that the call before a return address passed."""
        return self._pushed.get(pc - self.start, 0)

    def trap_at(self, pc: int) -> int | None:
        """Return the trap code of a site, or None."""
        return self._traps.get(pc - self.start)

    def position(self, pc: int) -> int:
        """Return the byte offset of the wasm instruction at a pc."""
        offset = pc - self.start
        k = bisect_right(self._positions, (offset, 1 << 62)) - 1
        return self._positions[k][1] if k >= 0 else 0


class ImageRange:
    """The functions of an installed image. What is known of each is looked up when somebody asks.

    Attributes:
        start, end: addresses of its text.
    """

    __slots__ = ("_found", "_image", "_make", "end", "start")

    def __init__(self, start: int, image: Image, make: Callable[[int, int, Code], CodeRange]) -> None:
        """Begin with an image and what makes the range of a function: (address, bytes, code)."""
        self.start = start
        self.end = start + image.size
        self._image = image
        self._make = make
        self._found: dict[int, CodeRange] = {}

    def at(self, pc: int) -> CodeRange | None:
        """Return the function at a pc, or None."""
        number = self._image.at(pc - self.start)
        found = self._found.get(number)
        if found is None:
            code, size = self._image.code(number)
            found = self._found.setdefault(number, self._make(self.start + self._image.starts[number], size, code))
        return found.at(pc)

Site = tuple[CodeRange, int]
"""A place in a wasm function: the function, and `layout.CTX_TRAP_PC` or a return address."""


class CodeTable:
    """All installed code of the process.

    The table is a sorted list for every 64 KiB of addresses that code reaches into, the address behind its end included: a call
    at its end returns there. Each change is one operation of a list, which no thread and no exception can cut in two; a reader
    takes a copy.
    """

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: dict[int, list[CodeRange | ImageRange]] = {}

    def add(self, placed: CodeRange | ImageRange) -> None:
        """Make functions known by their addresses."""
        for piece in _pieces(placed):
            insort(self._pieces.setdefault(piece, []), placed, key=_START)

    def remove(self, ranges: Iterable[CodeRange | ImageRange]) -> None:
        """Forget functions whose module has gone, or that have been forgotten before."""
        for one in ranges:
            for piece in _pieces(one):
                try:
                    self._pieces[piece].remove(one)
                except (KeyError, ValueError):
                    pass

    def find(self, pc: int) -> CodeRange | None:
        """Return the function at a pc, or None."""
        here = tuple(self._pieces.get(pc >> _PIECE_BITS, ()))
        k = bisect_right(here, pc, key=_START) - 1
        return here[k].at(pc) if k >= 0 and pc <= here[k].end else None


def _pieces(placed: CodeRange | ImageRange) -> range:
    return range(placed.start >> _PIECE_BITS, (placed.end >> _PIECE_BITS) + 1)
