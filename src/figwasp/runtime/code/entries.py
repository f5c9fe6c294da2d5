"""Floor 4: lazy entries: where the cell and the FuncRefs of a function lead until it has been compiled.

In: a module, the region of its code. Out: an address for each function, which enters the compiler (`lazy` of `codegen.sequences`).

Theory of operation. An entry stands in for a function whose frame is not there yet. A walk over frames that comes through one has
to know how many bytes of stack arguments the function pops: after a tail call these are not what the frame below has pushed. An
entry says so itself. Most functions have none, and share their entries, by index, with those of all other modules; the others have
entries of their own.
"""

from __future__ import annotations

from array import array

from figwasp.ir.types import ir_types
from figwasp.lazy import importing
from figwasp.runtime.platform import linux
from figwasp.runtime.platform.processor import machine
from figwasp.wasm.syntax.types import FuncType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from figwasp.runtime.platform.codespace import Region
    from figwasp.runtime.stubs.library import StubLibrary
    from figwasp.wasm.syntax.module import Module

__all__ = ["LazyEntries"]

class LazyEntries:
    """The lazy entries of a module's functions."""

    __slots__ = ("_own", "_stubs")

    def __init__(self, stubs: StubLibrary, module: Module, region: Region) -> None:
        """Make the entries that the module needs of its own, in the region of its code."""
        self._stubs = stubs
        functions = _with_stack_arguments(module)
        size = stubs.sequences.lazy_entry_size
        first = stubs.write_lazy_entries(region, functions) if functions else 0
        self._own = {index: first + size * number for number, (index, _) in enumerate(functions)}

    def lead(self, cells: int, count: int, known: Mapping[int, int]) -> None:
        """Fill the cells of so many functions: with their addresses, where these are known, or those of their entries."""
        words = self.of(0, count)
        for index, address in known.items():
            words[index] = address
        linux.write(cells, words.tobytes())

    def of(self, first: int, count: int) -> array[int]:
        """Return the addresses of the entries of so many functions from an index on."""
        size = self._stubs.sequences.lazy_entry_size
        words = array("Q")
        place, end = first, first + count
        while place < end:
            entry, run = self._stubs.lazy_entries(place)
            run = min(run, end - place)
            words.extend(range(entry, entry + size * run, size))
            place += run
        for index, address in self._own.items():
            if first <= index < end:
                words[index - first] = address
        return words


def _with_stack_arguments(module: Module) -> list[tuple[int, int]]:
    """Return the defined functions that pop stack arguments, and how many bytes of them."""
    few = min(map(len, machine().args))
    popped: dict[int, int] = {}
    for number, sub in enumerate(module.types):
        type = sub.comp
        if isinstance(type, FuncType) and len(type.params) >= few:
            with importing:
                from figwasp.codegen import abi  # few modules have such types

            size = abi.popped_bytes(machine(), ir_types(type.params), ir_types(type.results))
            if size:
                popped[number] = size
    if not popped:
        return []
    first = module.num_imported_funcs
    return [(index, popped[type]) for index, type in enumerate(module.func_types) if type in popped and index >= first]
