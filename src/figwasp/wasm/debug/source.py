"""Floor 1: where the code of a module comes from: names and places for people.

In: a module. Out: the source file and line of a byte offset, the name of a function. The module's bytes are a guest's: whatever is
wrong with them means "not known".
"""

from __future__ import annotations

from figwasp.errors import Place, printable
from figwasp.lazy import importing
from figwasp.wasm.debug.demangle import demangle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.wasm.debug.dwarf import LineTable
    from figwasp.wasm.syntax.module import Module

__all__ = ["SourceMap"]

_MOST_KEPT: Final = 10_000
"""Places, and entries of tracebacks, of some hundred bytes each."""


class SourceMap:
    """A module's debug information and names, read when asked for and then kept.

    Attributes:
        module: the module.
        room: entries of tracebacks that may still be kept by whoever makes them of places.
    """

    __slots__ = ("_kept", "_labels", "_lines", "_places", "module", "room")

    def __init__(self, module: Module) -> None:
        self.module = module
        self._lines: LineTable | None = None
        self._labels: dict[int, str] = {}
        self._places: dict[int, tuple[Place, ...]] = {}
        self._kept = 0
        self.room = _MOST_KEPT

    def places(self, func: int, offset: int) -> tuple[Place, ...]:
        """Return where an instruction of a function comes from (see `errors.Frame.places`).

        Args:
            func: index of the function.
            offset: byte offset of the instruction in the binary.
        """
        found = self._places.get(offset)
        if found is None:
            found = self._find(func, offset)
            self._kept += 1 + len(found)
            if self._kept > _MOST_KEPT:  # those of a guest that has a hundred at every instruction
                self._places.clear()
                self._kept = 1 + len(found)
            self._places[offset] = found
        return found

    def _find(self, func: int, offset: int) -> tuple[Place, ...]:
        if self._lines is None:
            try:
                with importing:
                    from figwasp.wasm.debug.dwarf import LineTable  # a reader that only backtraces need
            except ImportError:  # Python is shutting down
                return ()
            self._lines = LineTable(self.module.data, {custom.name: (custom.start, custom.end) for custom in self.module.customs})
        found = self._lines.find(offset)
        inner = [Place(_readable(plain, linkage), file, line) for (plain, linkage), file, line in found[:-1]]
        return (*inner, *[Place(self.label(func), file, line) for _, file, line in found[-1:]])

    def label(self, func: int) -> str:
        """Return the name of a function for people: demangled if that can be done, unprintable characters escaped."""
        label = self._labels.get(func)
        if label is None:
            name = self.module.func_name(func)
            label = self._labels[func] = printable(demangle(name)) if name else f"func[{func}]"
        return label


def _readable(plain: str, linkage: str) -> str:
    """Return the better one of the two names that DWARF has for a function."""
    demangled = demangle(linkage)
    return printable(demangled if demangled != linkage else plain or linkage or "(inlined)")
