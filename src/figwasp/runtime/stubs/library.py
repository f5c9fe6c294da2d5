"""Floor 4: the stubs of a process, by what they are for: as functions for Python, and as code of function types.

In: what names stand for that stubs refer to (`stubs.symbols`). Out: functions and addresses. All are made when they are first asked
for, and kept for ever.
"""

from __future__ import annotations

import ctypes

from figwasp.runtime.code.descriptors import REGION
from figwasp.runtime.once import Lazily
from figwasp.runtime.platform import codespace, linux
from figwasp.runtime.stubs.heap.library import HeapLibrary
from figwasp.runtime.stubs.installed import InstalledStubs
from figwasp.runtime.stubs.interface import REF, ir_kinds, spelled
from figwasp.runtime.stubs.symbols import Callbacks, Symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from figwasp.runtime.code.ranges import CodeTable
    from figwasp.runtime.platform.statics import Statics
    from figwasp.runtime.stubs.installed import Kept, Made

__all__ = ["StubLibrary"]

_LAZY_BLOCK: Final = 4096  # lazy entries made at a time

_RAW: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)
_GUARD: Final = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_uint64, ctypes.py_object)
_ONE: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)
_WHETHER: Final = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.c_uint64)
_WHETHER_TWO: Final = ctypes.PYFUNCTYPE(ctypes.c_bool, *[ctypes.c_uint64] * 2)
_TWO: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 2)
_THREE: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 3)
_HOLD: Final = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_uint64, ctypes.c_uint64, ctypes.py_object)
_STEP: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 4)
_START: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 4)
_RESUME: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 5)
_CLAIM: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 6)


class StubLibrary(InstalledStubs):
    """The stubs.

    Attributes:
        interrupted: tells whether calls of a thread are interrupted (`stubs.steps.interrupted`).
        claim, confirm: bind a context to the calling thread (`stubs.claim`).
    """

    def __init__(
        self,
        space: codespace.Space,
        table: CodeTable,
        statics: Statics,
        callbacks: Callbacks,
        thread_key: int,
        shipped: Made | None,
        kept: Kept | None,
    ) -> None:
        super().__init__(space, table, statics, Symbols(callbacks, statics), shipped, kept)
        self._callbacks = callbacks
        self._raw: dict[str, Callable[[int, int], int]] = {}
        self._suspendable: dict[str, tuple[Callable[..., int], Callable[..., int]]] = {}
        self._lazy_entries: dict[int, int] = {}
        self.symbols.define("thread.key", thread_key)
        self.symbols.add("heap", lambda name: int(getattr(self.heap.space, name)))
        self.symbols.add("types", lambda name: {"descriptors": REGION.map}[name]())
        linux.write_u64(statics.tick, self.stub("tick"))
        self.interrupted: Callable[[int], int] = _ONE(self.stub("step.interrupted"))
        self.claim: Callable[[int, int, int, int, int, int], int] = _CLAIM(self.stub("claim"))
        self.confirm: Callable[[int, int], int] = _TWO(self.stub("confirm"))

    def python_caller(self, count: int) -> int:
        """Return the address of the stub that calls a Python function about an instance with a number of operands."""
        return self.stub(f"call_python:{count}")

    @Lazily
    def heap(self) -> HeapLibrary:
        """The stubs of garbage-collected heaps."""
        return HeapLibrary(self.stub)

    @property
    def has_heap(self) -> bool:
        """Whether those have been needed."""
        return "heap" in vars(self)

    @property
    def listeners(self) -> tuple[int, int]:
        """PyObject* of the callbacks that tell listeners of calls: before, after."""
        return id(self._callbacks.before_call), id(self._callbacks.after_call)

    @Lazily
    def grow_memory(self) -> Callable[[int, int, int, int], int]:
        """The native function that grows a memory (`stubs.steps.grow_memory`)."""
        return _STEP(self.stub("step.grow_memory"))

    @Lazily
    def expect(self) -> Callable[[int, int], bool]:
        """The native function that compares a word (`stubs.builtins.restore.expect`)."""
        return _WHETHER_TWO(self.stub("step.expect"))

    @Lazily
    def restore_memory(self) -> Callable[[int], bool]:
        """The native function that puts a memory into a state (`stubs.builtins.restore.restore_memory`)."""
        return _WHETHER(self.stub("step.restore_memory"))

    @Lazily
    def raise_to(self) -> Callable[[int, int], int]:
        """The native function that raises a number (`stubs.steps.raise_to`)."""
        return _TWO(self.stub("step.raise_to"))

    @Lazily
    def lend(self) -> Callable[[int, int, int], int]:
        """The native function that gives cells to stubs (`stubs.steps.lend`)."""
        return _THREE(self.stub("step.lend"))

    @Lazily
    def move_lent(self) -> Callable[[int, int], int]:
        """The native function that gives the cells of one store to another (`stubs.steps.move_lent`)."""
        return _TWO(self.stub("step.move_lent"))

    @Lazily
    def give_cell(self) -> Callable[[int, int, int, int], int]:
        """The native function that gives an externref cell to code (`stubs.builtins.cells.give`)."""
        return _STEP(self.stub("cells.give"))

    @Lazily
    def exchange_cells(self) -> Callable[[int, int, int, int], int]:
        """The native function by which cells are held in a place instead of others (`stubs.builtins.cells.exchange`)."""
        return _STEP(self.stub("cells.exchange"))

    @Lazily
    def settle_cell(self) -> Callable[[int, int, int], int]:
        """The native function that frees a dying cell unless somebody has got hold of it (`stubs.builtins.cells.settle`)."""
        return _THREE(self.stub("cells.settle"))

    @Lazily
    def forget_marks(self) -> Callable[[int], int]:
        """The native function that takes the marks of suspects away (`stubs.builtins.cells.forget_marks`)."""
        return _ONE(self.stub("cells.forget_marks"))

    @Lazily
    def partition(self) -> Callable[[int], int]:
        """The native function that finds the dying ones among suspects (`stubs.builtins.cells.partition`)."""
        return _ONE(self.stub("cells.partition"))

    @Lazily
    def link_array(self) -> Callable[[int, int], int]:
        """The native function that gives an array of cells to a store (`stubs.heap.roots.link_array`)."""
        return _TWO(self.stub("heap.link_array"))

    @Lazily
    def link_roots(self) -> Callable[[int, int, int], int]:
        """The native function that adds roots (`stubs.heap.roots.link_roots`)."""
        return _THREE(self.stub("heap.link_roots"))

    @Lazily
    def unlink_roots(self) -> Callable[[int, int], int]:
        """The native function that removes roots (`stubs.heap.roots.unlink_roots`)."""
        return _TWO(self.stub("heap.unlink_roots"))

    @Lazily
    def detach_roots(self) -> Callable[[int], int]:
        """The native function that takes all roots from a store (`stubs.heap.roots.detach_roots`)."""
        return _ONE(self.stub("heap.detach_roots"))

    @Lazily
    def copy_root(self) -> Callable[[int, int], int]:
        """The native function that lets a root refer to what stands elsewhere (`stubs.heap.roots.copy_root`)."""
        return _TWO(self.stub("heap.copy_root"))

    @Lazily
    def merge_roots(self) -> Callable[[int, int], int]:
        """The native function that gives what refers to objects in one store to another (`stubs.heap.roots.merge_roots`)."""
        return _TWO(self.stub("heap.merge_roots"))

    @Lazily
    def move_suspects(self) -> Callable[[int, int], int]:
        """The native function that makes the suspects of one store those of another (`stubs.builtins.cells.move_suspects`)."""
        return _TWO(self.stub("cells.move_suspects"))

    @Lazily
    def take_cell(self) -> Callable[[int], int]:
        """The native function that takes a free cell (`stubs.builtins.cells.take`)."""
        return _ONE(self.stub("cells.take"))

    @Lazily
    def move_fuel(self) -> Callable[[int, int], int]:
        """The native function that gives the fuel of one context to another (`stubs.steps.move_fuel`)."""
        return _TWO(self.stub("step.move_fuel"))

    @Lazily
    def guard(self) -> Callable[[int, Callable[[], Any]], Any]:
        """The native function that calls something as a part of a chain (`stubs.claim.guard`)."""
        return _GUARD(self.stub("guard"))

    @Lazily
    def hold(self) -> Callable[[int, int, Callable[[], Any]], Any]:
        """The native function that calls something while no other thread runs on two contexts (`stubs.claim.hold`)."""
        return _HOLD(self.stub("hold"))

    @Lazily
    def strip(self) -> Callable[[int], int]:
        """The native function that takes the stack of a context that is idle (`stubs.claim.strip`)."""
        return _ONE(self.stub("strip"))

    @Lazily
    def interrupt(self) -> Callable[[int], int]:
        """The native function that ends the calls on a context (`stubs.steps.interrupt`)."""
        return _ONE(self.stub("step.interrupt"))

    @Lazily
    def release_turn(self) -> Callable[[int, int], int]:
        """The native function that gives up the turn of a call that a tick has suspended (`stubs.steps.release_turn`)."""
        return _TWO(self.stub("step.release_turn"))

    def lazy_entries(self, index: int) -> tuple[int, int]:
        """Return the address that a cell of function `index` without stack arguments holds until it is compiled.

        Those of functions behind it follow there: of how many, with it, is the second number.
        """
        block, k = divmod(index, _LAZY_BLOCK)
        address = self._lazy_entries.get(block)
        if address is None:
            address = self._lazy_entries.setdefault(block, self._new_lazy_entries(block * _LAZY_BLOCK))
        return address + self.sequences.lazy_entry_size * k, _LAZY_BLOCK - k

    def _new_lazy_entries(self, first: int) -> int:
        """Write lazy entries of functions from an index on; return their address."""
        return self.write_lazy_entries(self._region, [(index, 0) for index in range(first, first + _LAZY_BLOCK)])

    def write_lazy_entries(self, region: codespace.Region, functions: list[tuple[int, int]]) -> int:
        """Write lazy entries of functions, given by index and `Code.incoming`, into a region; return the first one's address."""
        address = region.place(len(functions) * self.sequences.lazy_entry_size)
        region.write(address, self.sequences.lazy_entries(functions, address, self.lazy))
        return address

    # By function type

    def enter_stub(self, params: bytes, results: bytes, simple: bool) -> int:
        """Return the vectorcall code for a function type (kinds); `simple`: `interface.simple` of all its types."""
        if not simple:
            return self.stub("enter.slow")
        name = "enter.refs" if REF in params or REF in results else "enter"
        return self.stub(f"{name}:{spelled(params, results)}")

    def raw_entry(self, params: bytes, results: bytes) -> Callable[[int, int], int]:
        """Return the raw-bits entry of a function type: (FuncRef address, buffer address) -> status."""
        key = spelled(params, results)
        entry = self._raw.get(key)
        if entry is None:
            entry = self._raw[key] = _RAW(self.stub(f"raw:{key}"))
        return entry

    def host_stub(self, params: bytes, results: bytes, direct: bool) -> int:
        """Return the code of host functions of a type (kinds); `direct`: code that converts numbers itself, if it can."""
        if direct and REF not in results:
            return self.stub(f"host:{spelled(params, results)}")
        return self.stub(f"host.general:{spelled(ir_kinds(params), ir_kinds(results))}")

    def expect_handlers(self) -> None:
        """Have exceptions of host functions offered to wasm from now on, since some function has a handler."""
        if not linux.read_u64(self._statics.offer):
            linux.write_u64(self._statics.offer, self.stub("offer"))

    def async_host_stub(self, params: bytes, results: bytes) -> int:
        """Return the code of async host functions of a type (IR types)."""
        return self.stub(f"host.async:{spelled(params, results)}")

    def suspendable(self, params: bytes, results: bytes) -> tuple[Callable[..., int], Callable[..., int]]:
        """Return `stubs.suspend.start` and `.resume` of a function type (IR types)."""
        key = spelled(params, results)
        both = self._suspendable.get(key)
        if both is None:
            both = self._suspendable[key] = _START(self.stub(f"start:{key}")), _RESUME(self.stub(f"resume:{key}"))
        return both

    # Slots of native types

    def clear(self, fields: Sequence[int]) -> int:
        """Return the tp_clear of a native type with the fields of `interface.HELD`, of which some may be missing afterwards."""
        return self.stub(f"object.clear:{':'.join(map(str, fields))}")

    @property
    def traverse(self) -> int:
        """The tp_traverse of native types with the fields of `interface.HELD`."""
        return self.stub("object.traverse")

    @property
    def dealloc(self) -> int:
        """The tp_dealloc of native types with the fields of `interface.HELD`."""
        return self.stub("object.dealloc")
