"""Floor 4: the stubs of a process: compiled when they are first asked for, and kept for ever.

A stub is published last, by one operation of a dict or one word of memory: an exception before that means that it is made once
more, and of two threads that make the same one at a time both get good ones.

In: the things that stubs refer to: hooks, statics, the key of deadlines. Out: addresses, by function type where a stub is made for
one. Two sequences written by hand switch stacks (`sequences` below `codegen`); all others are IR.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Final

from figwasp.codegen import pipeline, unwind
from figwasp.codegen.code import (
    IN_FRAME,
    RELOC_BUILTIN,
    STUB_ALLOCATE,
    STUB_COUNT,
    STUB_FUEL,
    STUB_RESTORE_INSTANCE,
    STUB_TICK,
    STUB_TO_NATIVE,
    STUB_TO_WASM,
    STUB_TRAP,
    STUB_UNWIND,
    Code,
)
from figwasp.codegen.sequences import SUSPEND
from figwasp.errors import TRAP_SUSPENDED, TRAP_UNREACHABLE
from figwasp.ir import builtins, order
from figwasp.ir.func import Func
from figwasp.runtime.code.descriptors import REGION
from figwasp.runtime.code.ranges import CodeRange, CodeTable
from figwasp.runtime.once import Lazily
from figwasp.runtime.platform import codespace, linux, perfmap
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.platform.statics import Statics
from figwasp.runtime.stubs import (
    claim,
    enter,
    host,
    leave,
    objects,
    refs,
    steps,
    suspend,
    ticks,
    walk,
)
from figwasp.runtime.stubs.box import Boxes
from figwasp.runtime.stubs.builder import ir_kinds
from figwasp.runtime.stubs.builtins import arrays, casts, cells, exceptions, memories, restore, tables
from figwasp.runtime.stubs.builtins import objects as objects_made
from figwasp.runtime.stubs.heap import roots
from figwasp.runtime.stubs.heap.library import HeapLibrary
from figwasp.runtime.stubs.hooks import Callbacks, Hooks
from figwasp.runtime.stubs.interface import HELD, REF, FaultFront

__all__ = ["StubLibrary"]

_NATIVE: Final = {**memories.BUILTINS, **arrays.BUILTINS, **casts.BUILTINS}
"""Builtins that need nothing of Python -> what builds them."""
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


class StubLibrary:
    """The stubs.

    Attributes:
        hooks: addresses of the callees of stubs.
        sequences: the machine's code written by hand.
        returned: the return address at which a walk over wasm frames ends.
        code_map: where walks over frames find what they need to know of code (`stubs.walk`).
        interrupted: tells whether calls of a thread are interrupted (`stubs.steps.interrupted`).
        claim, confirm: bind a context to the calling thread (`stubs.claim`).
    """

    def __init__(
        self, space: codespace.Space, table: CodeTable, statics: Statics, callbacks: Callbacks, thread_key: int
    ) -> None:
        self._target = machine()
        self.sequences = self._target.sequences
        self._table = table
        self._space = space
        self._statics = statics
        self._callbacks = callbacks
        self._region = codespace.Region(space, 0, self.resolve)
        self._enter: dict[bytes, int] = {}
        self._raw: dict[bytes, Callable[[int, int], int]] = {}
        self._host: dict[bytes, int] = {}
        self._async_host: dict[bytes, int] = {}
        self._suspendable: dict[bytes, tuple[Callable[..., int], Callable[..., int]]] = {}
        self._python_callers: dict[int, int] = {}
        self._lazy_entries: dict[int, int] = {}
        self._switches = [0] * STUB_COUNT
        self._builtins: dict[int, int] = {}
        self._boxes = Boxes(self.compile)
        hooks = self.hooks = Hooks(callbacks, statics)
        hooks.leave = self.compile(leave.leave(hooks))
        hooks.trim = self.compile(leave.trim(hooks))
        hooks.fail = self.compile(leave.fail(hooks))
        hooks.settle = self.compile(enter.settle(hooks))
        hooks.slow = self.compile(enter.slow(hooks))
        self._make_switches(thread_key)
        self.claim: Callable[[int, int, int, int, int, int], int] = _CLAIM(self.compile(claim.claim()))
        self.confirm: Callable[[int, int], int] = _TWO(self.compile(claim.confirm()))

    # Code

    def compile(self, func: Func) -> int:
        """Compile and install a stub; return its address."""
        code = self.translate(func)
        address = self._region.install(code)
        self._table.add(CodeRange(address, len(code.data), code, None))
        perfmap.add_stub(address, len(code.data), func.name)
        return address

    def translate(self, func: Func) -> Code:
        """Compile a stub that is to be installed elsewhere."""
        order.run(func)
        return pipeline.compile(func, self._target)

    def put(self, data: bytes) -> int:
        """Install an instruction sequence; return its address."""
        address = self._region.place(len(data))
        self._region.write(address, data)
        return address

    def _put_described(self, data: bytes, parts: list[tuple[int, Code]]) -> int:
        """Install a sequence of which some parts call what may walk over the stack; return its address."""
        rows = [(start, start + len(code.data), code) for start, code in parts]
        described, places = unwind.describe(data, rows, self._target.instance_reg)
        address = self._region.place(len(described))
        self._region.write_described(address, described, places)
        for start, code in parts:
            self._table.add(CodeRange(address + start, len(code.data), code, None))
        return address

    def _make_switches(self, thread_key: int) -> None:
        s = self._statics
        wake = self.put(self.sequences.wake(s.parked, linux.SYS_FUTEX))
        front = FaultFront(s.handler, s.previous_handler, s.our_action, s.present_action)
        interrupted = self.compile(steps.interrupted(s.contexts, s.contexts_used))
        self.interrupted: Callable[[int], int] = _ONE(interrupted)
        ends = self._ends = ticks.Ends(thread_key, s.interrupts, interrupted)
        linux.write_u64(s.tick, self.compile(ticks.tick(s.parked, wake, front, ends, SUSPEND)))
        compile_ = self.compile(host.compile_on_call(id(self._callbacks.compile), self.hooks.refuse_cleared))
        switches = self.sequences.switches(TRAP_UNREACHABLE, TRAP_SUSPENDED, s.tick, s.fuel, s.allocate, compile_)
        # Walks over the stack pass frames of these: out of line calls that come to Python, and what a tail call returns to.
        frame = self.sequences.lazy_frame
        restored = switches.restore_instance
        parts = [
            _part("saving", switches.data, switches.tick, switches.lazy, frame),
            _part("lazy", switches.data, switches.lazy, switches.suspend, frame, IN_FRAME),
            _part("restore_instance", switches.data, restored, len(switches.data), self.sequences.restore_frame),
        ]
        base = self._put_described(switches.data, parts)
        perfmap.add_stub(base, len(switches.data), "switches")
        self._switches[STUB_TRAP] = base + switches.trap
        self._switches[STUB_TICK] = base + switches.tick
        self._switches[STUB_FUEL] = base + switches.fuel
        self._switches[STUB_ALLOCATE] = base + switches.allocate
        self._switches[STUB_UNWIND] = base + switches.unwind
        self._switches[STUB_TO_WASM] = base + switches.to_wasm
        self._switches[STUB_TO_NATIVE] = base + switches.to_native
        self._switches[STUB_RESTORE_INSTANCE] = base + restored
        self.returned = base + switches.returned
        self.code_map = walk.CodeMap(self._space.start, self._space.map, self.returned)
        self._lazy = base + switches.lazy
        self._suspend = base + switches.suspend
        self._resume = base + switches.resume

    # What not every program needs is compiled when it is asked for.

    def resolve(self, kind: int, target: int) -> int:
        """Return the address that relocations other than those of functions refer to."""
        return self._builtin(target) if kind == RELOC_BUILTIN else self._switch(target)

    def _switch(self, number: int) -> int:
        """Return the address of one of `code.STUB_*`."""
        if number == STUB_FUEL and not linux.read_u64(self._statics.fuel):
            linux.write_u64(self._statics.fuel, self.compile(ticks.fuel(id(self._callbacks.refuel))))
        if number == STUB_ALLOCATE and not linux.read_u64(self._statics.allocate):
            linux.write_u64(self._statics.allocate, self.heap.allocate)
        return self._switches[number]

    def _builtin(self, number: int) -> int:
        """Return the address of a builtin."""
        address = self._builtins.get(number)
        if address is None:
            address = self._builtins[number] = self.compile(self._new_builtin(number))
        return address

    def _new_builtin(self, number: int) -> Func:
        if number in exceptions.BUILTINS:
            return exceptions.throw(self.compile(exceptions.search(self.find_handler)))
        native = _NATIVE.get(number)
        if native is not None:
            return native()
        if number in objects_made.BUILTINS:
            return objects_made.build(number, self.heap)
        if number in tables.PURE:
            return tables.build(number, 0, 0)
        function = id(self._callbacks.builtins[number])
        caller = self.python_caller(len(builtins.PARAMS[number]))
        return (tables.build if number in tables.BUILTINS else host.builtin)(number, function, caller)

    def python_caller(self, count: int) -> int:
        """Return the address of the stub that calls a Python function about an instance with a number of operands."""
        address = self._python_callers.get(count)
        if address is None:
            address = self._python_callers[count] = self.compile(host.call_python(count, self.hooks.refuse_cleared))
        return address

    @Lazily
    def heap(self) -> HeapLibrary:
        """The stubs of garbage-collected heaps."""
        return HeapLibrary(self.compile, self._statics, self._ends, REGION.map(), self._callbacks.grow_heap)

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
        return _STEP(self.compile(steps.grow_memory(linux.symbol("mprotect"))))

    @Lazily
    def expect(self) -> Callable[[int, int], bool]:
        """The native function that compares a word (`stubs.builtins.restore.expect`)."""
        return _WHETHER_TWO(self.compile(restore.expect()))

    @Lazily
    def restore_memory(self) -> Callable[[int], bool]:
        """The native function that puts a memory into a state (`stubs.builtins.restore.restore_memory`)."""
        return _WHETHER(self.compile(restore.restore_memory()))

    @Lazily
    def raise_to(self) -> Callable[[int, int], int]:
        """The native function that raises a number (`stubs.steps.raise_to`)."""
        return _TWO(self.compile(steps.raise_to()))

    @Lazily
    def lend(self) -> Callable[[int, int, int], int]:
        """The native function that gives cells to stubs (`stubs.steps.lend`)."""
        return _THREE(self.compile(steps.lend()))

    @Lazily
    def move_lent(self) -> Callable[[int, int], int]:
        """The native function that gives the cells of one store to another (`stubs.steps.move_lent`)."""
        return _TWO(self.compile(steps.move_lent()))

    @Lazily
    def give_cell(self) -> Callable[[int, int, int, int], int]:
        """The native function that gives an externref cell to code (`stubs.builtins.cells.give`)."""
        return _STEP(self.compile(cells.give()))

    @Lazily
    def exchange_cells(self) -> Callable[[int, int, int, int], int]:
        """The native function by which cells are held in a place instead of others (`stubs.builtins.cells.exchange`)."""
        return _STEP(self.compile(cells.exchange()))

    @Lazily
    def settle_cell(self) -> Callable[[int, int, int], int]:
        """The native function that frees a dying cell unless somebody has got hold of it (`stubs.builtins.cells.settle`)."""
        return _THREE(self.compile(cells.settle()))

    @Lazily
    def forget_marks(self) -> Callable[[int], int]:
        """The native function that takes the marks of suspects away (`stubs.builtins.cells.forget_marks`)."""
        return _ONE(self.compile(cells.forget_marks()))

    @Lazily
    def partition(self) -> Callable[[int], int]:
        """The native function that finds the dying ones among suspects (`stubs.builtins.cells.partition`)."""
        return _ONE(self.compile(cells.partition()))

    @Lazily
    def link_array(self) -> Callable[[int, int], int]:
        """The native function that gives an array of cells to a store (`stubs.heap.roots.link_array`)."""
        return _TWO(self.compile(roots.link_array()))

    @Lazily
    def link_roots(self) -> Callable[[int, int, int], int]:
        """The native function that adds roots (`stubs.heap.roots.link_roots`)."""
        return _THREE(self.compile(roots.link_roots()))

    @Lazily
    def unlink_roots(self) -> Callable[[int, int], int]:
        """The native function that removes roots (`stubs.heap.roots.unlink_roots`)."""
        return _TWO(self.compile(roots.unlink_roots()))

    @Lazily
    def detach_roots(self) -> Callable[[int], int]:
        """The native function that takes all roots from a store (`stubs.heap.roots.detach_roots`)."""
        return _ONE(self.compile(roots.detach_roots()))

    @Lazily
    def copy_root(self) -> Callable[[int, int], int]:
        """The native function that lets a root refer to what stands elsewhere (`stubs.heap.roots.copy_root`)."""
        return _TWO(self.compile(roots.copy_root()))

    @Lazily
    def merge_roots(self) -> Callable[[int, int], int]:
        """The native function that gives what refers to objects in one store to another (`stubs.heap.roots.merge_roots`)."""
        return _TWO(self.compile(roots.merge_roots(self._statics.contexts, self._statics.contexts_used)))

    @Lazily
    def move_suspects(self) -> Callable[[int, int], int]:
        """The native function that makes the suspects of one store those of another (`stubs.builtins.cells.move_suspects`)."""
        return _TWO(self.compile(cells.move_suspects()))

    @Lazily
    def take_cell(self) -> Callable[[int], int]:
        """The native function that takes a free cell (`stubs.builtins.cells.take`)."""
        return _ONE(self.compile(cells.take()))

    @Lazily
    def move_fuel(self) -> Callable[[int, int], int]:
        """The native function that gives the fuel of one context to another (`stubs.steps.move_fuel`)."""
        return _TWO(self.compile(steps.move_fuel()))

    @Lazily
    def guard(self) -> Callable[[int, Callable[[], Any]], Any]:
        """The native function that calls something as a part of a chain (`stubs.claim.guard`)."""
        return _GUARD(self.compile(claim.guard(self.hooks)))

    @Lazily
    def hold(self) -> Callable[[int, int, Callable[[], Any]], Any]:
        """The native function that calls something while no other thread runs on two contexts (`stubs.claim.hold`)."""
        return _HOLD(self.compile(claim.hold(self.hooks)))

    @Lazily
    def strip(self) -> Callable[[int], int]:
        """The native function that takes the stack of a context that is idle (`stubs.claim.strip`)."""
        return _ONE(self.compile(claim.strip()))

    @Lazily
    def interrupt(self) -> Callable[[int], int]:
        """The native function that ends the calls on a context (`stubs.steps.interrupt`)."""
        return _ONE(self.compile(steps.interrupt(self._statics.interrupts)))

    @Lazily
    def release_turn(self) -> Callable[[int, int], int]:
        """The native function that gives up the turn of a call that a tick has suspended (`stubs.steps.release_turn`)."""
        return _TWO(self.compile(steps.release_turn()))

    def lazy_entry(self, index: int) -> int:
        """Return the address that a cell of function `index` without stack arguments holds until it is compiled."""
        block, k = divmod(index, _LAZY_BLOCK)
        address = self._lazy_entries.get(block)
        if address is None:
            address = self._lazy_entries.setdefault(block, self._new_lazy_entries(block * _LAZY_BLOCK))
        return address + self.sequences.lazy_entry_size * k

    def _new_lazy_entries(self, first: int) -> int:
        """Write lazy entries of functions from an index on; return their address."""
        return self.write_lazy_entries(self._region, [(index, 0) for index in range(first, first + _LAZY_BLOCK)])

    def write_lazy_entries(self, region: codespace.Region, functions: list[tuple[int, int]]) -> int:
        """Write lazy entries of functions, given by index and `Code.incoming`, into a region; return the first one's address."""
        address = region.place(len(functions) * self.sequences.lazy_entry_size)
        region.write(address, self.sequences.lazy_entries(functions, address, self._lazy))
        return address

    # By function type

    def enter_stub(self, params: bytes, results: bytes, simple: bool) -> int:
        """Return the vectorcall code for a function type (kinds); `simple`: `simple` of all its types."""
        if not simple:
            return self.hooks.slow
        key = _key(params, results)
        address = self._enter.get(key)
        if address is None:
            make = refs.enter if REF in params or REF in results else enter.enter
            address = self._enter[key] = self.compile(make(params, results, self.hooks))
        return address

    def raw_entry(self, params: bytes, results: bytes) -> Callable[[int, int], int]:
        """Return the raw-bits entry of a function type: (FuncRef address, buffer address) -> status."""
        key = _key(params, results)
        entry = self._raw.get(key)
        if entry is None:
            entry = self._raw[key] = _RAW(self.compile(enter.raw(params, results, self.hooks)))
        return entry

    def host_stub(self, params: bytes, results: bytes, direct: bool) -> int:
        """Return the code of host functions of a type (kinds); `direct`: code that converts numbers itself, if it can."""
        direct = direct and REF not in results
        key = _key(params, results) + (b"n" if direct else b"")
        address = self._host.get(key)
        if address is None:
            if direct:
                body = self.compile(host.body(params, results, self.hooks.refuse_cleared, self._boxes, self._statics.offer))
            else:
                body = self._general_body
            address = self._host[key] = self.compile(host.host(ir_kinds(params), ir_kinds(results), body))
        return address

    def expect_handlers(self) -> None:
        """Have exceptions of host functions offered to wasm from now on, since some function has a handler."""
        if not linux.read_u64(self._statics.offer):
            hook = id(self._callbacks.offer_exception)
            linux.write_u64(self._statics.offer, self.compile(exceptions.offer(self.find_handler, hook)))

    @Lazily
    def find_handler(self) -> int:
        """Address of the native function that looks for the handler of an exception (`stubs.walk.find_handler`)."""
        return self.compile(walk.find_handler(self.code_map))

    @Lazily
    def _general_body(self) -> int:
        return self.compile(host.general_body(self.hooks.refuse_cleared, self._statics.offer))

    def async_host_stub(self, params: bytes, results: bytes) -> int:
        """Return the code of async host functions of a type (IR types)."""
        key = _key(params, results)
        address = self._async_host.get(key)
        if address is None:
            func = suspend.host(params, results, self._async_body, self._suspend)
            address = self._async_host[key] = self.compile(func)
        return address

    @Lazily
    def _async_body(self) -> int:
        return self.compile(suspend.body(self.hooks.refuse_cleared, self._statics.offer))

    def suspendable(self, params: bytes, results: bytes) -> tuple[Callable[..., int], Callable[..., int]]:
        """Return `stubs.suspend.start` and `.resume` of a function type (IR types)."""
        key = _key(params, results)
        both = self._suspendable.get(key)
        if both is None:
            start = _START(self.compile(suspend.start(params, results, self.hooks)))
            resume = _RESUME(self.compile(suspend.resume(params, results, self.hooks, self._resume, self._statics.offer)))
            both = self._suspendable[key] = (start, resume)
        return both

    # Slots of native types

    def clear(self, fields: Sequence[int]) -> int:
        """Return the tp_clear of a native type with the fields of `HELD`, of which some may be missing afterwards."""
        return self.compile(objects.clear(fields, slots=False))

    def slot(self, name: str) -> int:
        """Return the code of a slot of native types that a function of `stubs.objects` builds."""
        build: Callable[[], Func] = getattr(objects, name)
        return self.compile(build())

    @Lazily
    def traverse(self) -> int:
        """The tp_traverse of native types with the fields of `HELD`."""
        return self.compile(objects.traverse(HELD, slots=False))

    @Lazily
    def dealloc(self) -> int:
        """The tp_dealloc of native types with the fields of `HELD`."""
        return self.compile(objects.dealloc(HELD, slots=False))


def _part(name: str, data: bytes, start: int, end: int, frame: int, incoming: int = 0) -> tuple[int, Code]:
    """Return where a part of a sequence begins, and what walks over frames need to know of it."""
    code = Code(name, -1)
    code.data = data[start:end]
    code.frame_size = frame
    code.incoming = incoming
    return start, code


def _key(params: bytes, results: bytes) -> bytes:
    return params + b"\xff" + results
