"""Floor 4: references as a snapshot has them, without the instance that they were taken from.

In: words of a table, a segment or a global. Out: a `Run` of them; and the words again, for any instance of the same module. A
function is known by its index in the module; an object of the host is kept as it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from figwasp import layout
from figwasp.errors import Error
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.objects.instance import InstanceState
from figwasp.runtime.platform import linux
from figwasp.wasm.syntax.types import FUNCREF, may_be_host
from figwasp.wasm.valid.subtyping import canonical_type

__all__ = ["Run", "Taker"]

_WORD: Final = 8


class Run:
    """References that follow each other.

    Attributes:
        words: a function of the module is where its FuncRef is in the block of an instance; null and an i31 are what they are.
        imported: position of an imported function -> its index; its word is 0.
        objects: position of an object of the host -> the object; its word is 0.
        counted: whether objects of the host may be among them.
    """

    __slots__ = ("counted", "functions", "imported", "objects", "words")

    def __init__(self, functions: bool, counted: bool, words: Sequence[int] = ()) -> None:
        """Make a run of null, or of numbers.

        Args:
            functions: whether they are functions.
            counted: whether objects of the host may be among them.
            words: the references.
        """
        self.functions = functions
        self.counted = counted
        self.words = array("Q", words)
        self.imported: dict[int, int] = {}
        self.objects: dict[int, object] = {}

    def __len__(self) -> int:
        return len(self.words)

    def addresses(self, state: InstanceState) -> array[int]:
        """Return the words for an instance of the module, but for those of objects of the host."""
        if not self.functions:
            return self.words[:]
        block = state.block
        found = array("Q", [word and word + block for word in self.words])
        for position, index in self.imported.items():
            found[position] = state.func_reference(index)
        return found

    def keepers(self, addresses: array[int]) -> list[int]:
        """Return functions of all instances that the functions belong to."""
        if not self.functions:
            return []
        own = next((k for k, word in enumerate(self.words) if word), None)
        return [addresses[k] for k in (*self.imported, *(() if own is None else (own,)))]


class Taker:
    """What takes references from an instance, while no code of its store runs."""

    __slots__ = ("_end", "_imported", "_root", "_start", "_state")

    def __init__(self, state: InstanceState) -> None:
        self._state = state
        module, places = state.code.module, state.code.layout
        first = module.num_imported_funcs
        self._start = state.block + places.funcref(first)
        self._end = self._start + layout.FUNCREF_SIZE * len(module.bodies)
        self._imported = {state.func_reference(index): index for index in reversed(range(first))}
        self._root: RootWords | None = None

    def take(self, base: int, count: int, type_: int, where: str) -> Run:
        """Return the references from an address on.

        Args:
            base: the address.
            count: their number.
            type_: what the module says that they are.
            where: what they are in, for errors: "table 0".

        Raises:
            Error: one of them is to something that is not the instance's own, nor an object of the host.
        """
        functions = TYPES.top(canonical_type(type_, self._state.code.numbers)) == FUNCREF
        run = Run(functions, may_be_host(type_), linux.read_words(base, count))
        for position, word in enumerate(run.words):
            if not word:
                continue
            if functions:
                self._take_function(run, position, word, where)
            elif not word & layout.I31_TAG:
                self._take_object(run, position, base + _WORD * position, where)
        return run

    def _take_function(self, run: Run, position: int, word: int, where: str) -> None:
        if self._start <= word < self._end:
            run.words[position] = word - self._state.block
        elif word in self._imported:
            run.words[position] = 0
            run.imported[position] = self._imported[word]
        else:
            raise Error(f"no snapshot can be taken: {_place(where, position, run)} is a function of another instance, not imported")

    def _take_object(self, run: Run, position: int, place: int, where: str) -> None:
        if self._root is None:
            self._root = RootWords(self._state.store, 1)
        word = self._root.copy(place)  # which keeps it, whatever a finalizer does
        if word & layout.I31_TAG or not word:
            run.words[position] = word
        elif run.counted and word & layout.HOST_TAG:
            run.words[position] = 0
            run.objects[position] = self._state.store.object_at(self._root.address)
        else:
            kind = "an object of the garbage-collected heap"
            raise Error(f"no snapshot can be taken: {_place(where, position, run)} is {kind}, whose contents it would not have")


def _place(where: str, position: int, run: Run) -> str:
    return where if where.startswith("global") else f"element {position} of {where}"
