"""Floor 4: what a process has once: the code space, the stubs, the contexts, the fault handler, the ticker.

`get()` makes it on first use. Everything here is mapped raw and never released.
"""

from __future__ import annotations

import ctypes
import gc
import os as _os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from figwasp.codegen import pipeline
from figwasp.codegen.code import (
    STUB_COUNT,
    STUB_FUEL,
    STUB_TICK,
    STUB_TO_NATIVE,
    STUB_TO_WASM,
    STUB_TRAP,
    STUB_UNWIND,
    Code,
)
from figwasp.codegen.isa.x64 import sequences
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY, TRAP_SUSPENDED, TRAP_UNREACHABLE, Busy
from figwasp.ir import builtins, order
from figwasp.ir.func import Func
from figwasp.runtime.code import listen
from figwasp.runtime.platform import codespace, cpython, linux, perfmap
from figwasp.runtime.platform.stack import Stacks
from figwasp.runtime.stubs import enter as stubs_enter
from figwasp.runtime.stubs import host as stubs_host
from figwasp.runtime.stubs import leave as stubs_leave
from figwasp.runtime.stubs import objects as stubs_object
from figwasp.runtime.stubs import refs as stubs_refs
from figwasp.runtime.stubs import suspend as stubs_suspend
from figwasp.runtime.stubs.box import Boxes
from figwasp.runtime.stubs.builder import REF, ir_kinds
from figwasp.runtime.trap import tracebacks, traps

if TYPE_CHECKING:
    from figwasp.runtime.objects.store import Store

TICK_NS: Final = 5_000_000
_IDLE_ROUNDS: Final = 10
_DEADLINES: Final = 512  # cells of the table
_THREAD_SHIFT: Final = 6  # thread states are further apart than this

# The statics page: words at fixed addresses that emitted code refers to.
_PARKED: Final = 0
_CONTEXTS_USED: Final = 8
_PREVIOUS_HANDLER: Final = 16
_REAP_LIST: Final = 24
_INTERVAL: Final = 32
_HANDLER: Final = 48
_TICK: Final = 56
_FUEL: Final = 64
_DEFAULT_ACTION: Final = 128
_OUR_ACTION: Final = 512
_PRESENT_ACTION: Final = 1024

_RAW: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)
_NEXT_DEAD: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64)
_GUARD: Final = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_uint64, ctypes.py_object)
_STRIP: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)
_NEW_OWNER: Final = ctypes.PYFUNCTYPE(ctypes.py_object, *[ctypes.c_uint64] * 4)
_EXCHANGE: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 3)
_START: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 4)
_RESUME: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 5)
_CLAIM: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 6)


def _dead(*_args: object) -> None:
    """Answer for something the cycle collector has already cleared."""
    raise ReferenceError("the instance this belongs to has been collected")


def _claim(record: Any) -> None:
    """Bind the chain of a record's store to the calling thread."""
    record.store.claim()


def _busy() -> None:
    """Answer for a chain that another thread took between two steps."""
    raise Busy("another thread is running in this store")


class _Sweeper:
    """What the collector calls (`stubs.objects.sweep`)."""

    __slots__ = ()


class Process:
    """The process-wide state.

    Attributes:
        space: executable memory.
        stacks: contexts and stacks.
        dead: the word that heads the list of blocks to be released; 0 for none.
        deadlines: the table of those that threads have (`deadline`).
        returned: the return address at which a walk over wasm frames ends.
        new_owner: makes an owner (`stubs.objects.new_owner`).
        claim: binds a chain to the calling thread (`stubs.enter.claim`).
    """

    def __init__(self) -> None:
        linux.check_platform()
        cpython.probe()
        hooks = (traps.failed, self._clean_up, _dead, _claim, _busy, listen.abandon, tracebacks.tidy)
        self.hooks = stubs_enter.Hooks(*[id(hook) for hook in hooks])
        self._hooks_kept = (*hooks, self._out_of_fuel, self.reap)
        self._finalizing = sys.is_finalizing
        self._cleanups: dict[int, Callable[[int], None]] = {}
        self._stores: dict[int, weakref.ref[Store]] = {}
        self._statics = linux.allocate(linux.PAGE)
        self.stacks = Stacks(self._statics + _CONTEXTS_USED)
        self.space = codespace.Space()
        self._region = codespace.Region(self.space, 0)
        self.deadlines = stubs_host.Deadlines(linux.allocate(16 * _DEADLINES), _DEADLINES, _THREAD_SHIFT)
        self._enter: dict[bytes, int] = {}
        self._raw: dict[bytes, Callable[[int, int], int]] = {}
        self._host: dict[bytes, int] = {}
        self._async_host: dict[bytes, int] = {}
        self._suspendable: dict[bytes, tuple[Callable[..., int], Callable[..., int]]] = {}
        self._hook_stubs: dict[int, int] = {}
        self._lazy_entries: list[int] = []
        self._releases: dict[int, Callable[[], None]] = {}
        self._pauses: list[None] = []  # one for each `no_releases` in force
        self.graveyard: list[object] = []
        self._stubs = [0] * STUB_COUNT
        self._builtin_cells = self.space.data_chunk(8 * builtins.COUNT).start
        self._builtins = [0] * builtins.COUNT
        self._boxes = Boxes(self.compile)
        self._general_body = 0
        self._async_body = 0
        self.hooks.clean_up = self.compile(stubs_leave.clean_up(self.hooks))
        self.hooks.tidying = self.compile(stubs_leave.tidy(self.hooks))
        self.hooks.failure = self.compile(stubs_leave.failure(self.hooks))
        self.hooks.settle = self.compile(stubs_enter.settle(self.hooks))
        self.hooks.slow = self.compile(stubs_enter.slow(self.hooks))
        self._make_switches()
        self.dead = linux.word(self._statics + _REAP_LIST)
        self._next_dead: Callable[[], int] = _NEXT_DEAD(self.compile(stubs_object.next_dead(self._statics + _REAP_LIST)))
        self.claim: Callable[[int, int, int, int, int, int], int] = _CLAIM(self.compile(stubs_enter.claim()))
        self.new_owner: Callable[[int, int, int, int], Any] = _NEW_OWNER(self.compile(stubs_object.new_owner()))
        self.stacks.strip = self._strip
        self._install_handler()
        gc.callbacks.append(self._make_sweeper())
        self._ticking = False
        _os.register_at_fork(after_in_child=self._restart_ticker)

    # Code

    def compile(self, func: Func) -> int:
        """Compile and install a stub; return its address."""
        code = self.translate(func)
        address = codespace.install(self._region, code, self.builtin, self.stub)
        traps.register(traps.Placed(address, code, None))
        perfmap.add_stub(address, len(code.data), func.name)
        return address

    @staticmethod
    def translate(func: Func) -> Code:
        """Compile a stub that is to be installed elsewhere."""
        order.run(func)
        return pipeline.compile(func, TARGET)

    def _put(self, data: bytes) -> int:
        address = self._region.place(len(data))
        self._region.write(address, data)
        return address

    def _make_switches(self) -> None:
        s = self._statics
        wake = self._put(sequences.wake(s + _PARKED, linux.SYS_FUTEX))
        front = stubs_host.FaultFront(s + _HANDLER, s + _PREVIOUS_HANDLER, s + _OUR_ACTION, s + _PRESENT_ACTION)
        linux.write_u64(s + _TICK, self.compile(stubs_host.tick(s + _PARKED, wake, front, self.deadlines)))
        compile_ = self.compile(stubs_host.compile_hook(self.hooks.dead))
        switches = sequences.Switches(TRAP_UNREACHABLE, TRAP_SUSPENDED, s + _TICK, s + _FUEL, compile_)
        base = self._put(switches.data)
        perfmap.add_stub(base, len(switches.data), "switches")
        self._stubs[STUB_TRAP] = base + switches.trap
        self._stubs[STUB_TICK] = base + switches.tick
        self._stubs[STUB_FUEL] = base + switches.fuel
        self._stubs[STUB_UNWIND] = base + switches.unwind
        self._stubs[STUB_TO_WASM] = base + switches.to_wasm
        self._stubs[STUB_TO_NATIVE] = base + switches.to_native
        self.returned = base + switches.returned
        # Out of line calls that come to Python, on top of frames of the same size: walks over the stack pass them.
        saving = Code("saving", -1)
        saving.data = switches.data[switches.tick : switches.suspend]
        saving.frame_size = sequences.LAZY_FRAME
        traps.register(traps.Placed(base + switches.tick, saving, None))
        self._lazy = base + switches.lazy
        self._suspend = base + switches.suspend
        self._resume = base + switches.resume

    # What not every program needs is compiled when it is asked for.

    def stub(self, number: int) -> int:
        """Return the address of one of `code.STUB_*`."""
        if number == STUB_FUEL and not linux.read_u64(self._statics + _FUEL):
            linux.write_u64(self._statics + _FUEL, self.compile(stubs_host.fuel(id(self._hooks_kept[-2]))))
        return self._stubs[number]

    def builtin(self, number: int) -> int:
        """Return the address of the cell that leads to a builtin."""
        if not self._builtins[number]:
            self._builtins[number] = self.compile(self._builtin(number))
            linux.write_u64(self._builtin_cells + 8 * number, self._builtins[number])
        return self._builtin_cells + 8 * number

    def _builtin(self, number: int) -> Func:
        native = stubs_host.NATIVE_BUILTINS.get(number)
        return native() if native is not None else stubs_host.builtin(number, self.hook(len(builtins.PARAMS[number])))

    @cached_property
    def exchange(self) -> Callable[[int, int, int], int]:
        """What writes a word unless it has changed (`stubs.objects.exchange`)."""
        return _EXCHANGE(self.compile(stubs_object.exchange()))

    @cached_property
    def guard(self) -> Callable[[int, Callable[[], Any]], Any]:
        """What calls something as a part of a chain (`stubs.enter.guard`)."""
        return _GUARD(self.compile(stubs_enter.guard(self.hooks)))

    @cached_property
    def _stripper(self) -> Callable[[int], int]:
        return _STRIP(self.compile(stubs_enter.strip()))

    def _strip(self, context: int) -> int:
        return self._stripper(context)

    def hook(self, count: int) -> int:
        """Return the address of what asks an instance's hook with a number of operands."""
        address = self._hook_stubs.get(count)
        if address is None:
            address = self._hook_stubs[count] = self.compile(stubs_host.hook(count, self.hooks.dead))
        return address

    def lazy_entry(self, index: int) -> int:
        """Return the address that a cell of function `index` holds until it is compiled."""
        block, k = divmod(index, 4096)
        while block >= len(self._lazy_entries):
            size = 4096 * sequences.LAZY_ENTRY_SIZE
            address = self._region.place(size)
            first = 4096 * len(self._lazy_entries)
            self._region.write(address, sequences.lazy_entries(first, 4096, address, self._lazy))
            self._lazy_entries.append(address)
        return self._lazy_entries[block] + sequences.LAZY_ENTRY_SIZE * k

    lazy_entry_size: Final = sequences.LAZY_ENTRY_SIZE

    def enter_stub(self, params: bytes, results: bytes, simple: bool) -> int:
        """Return the vectorcall code for a function type (kinds); `simple`: `stubs.simple` of all its types."""
        if not simple:
            return self.hooks.slow
        key = params + b"\xff" + results
        address = self._enter.get(key)
        if address is None:
            if REF in params or REF in results:
                func = stubs_refs.enter(params, results, self.hooks)
            else:
                func = stubs_enter.enter(params, results, self.hooks)
            address = self._enter[key] = self.compile(func)
        return address

    def raw_entry(self, params: bytes, results: bytes) -> Callable[[int, int], int]:
        """Return the raw-bits entry of a function type: (FuncRef address, buffer address) -> status."""
        key = params + b"\xff" + results
        entry = self._raw.get(key)
        if entry is None:
            address = self.compile(stubs_enter.raw(params, results, self.hooks))
            entry = self._raw[key] = _RAW(address)
        return entry

    def host_stub(self, params: bytes, results: bytes, direct: bool) -> int:
        """Return the code of host functions of a type (kinds); `direct`: code that converts numbers itself, if it can."""
        direct = direct and REF not in results
        key = params + b"\xff" + results + (b"n" if direct else b"")
        address = self._host.get(key)
        if address is None:
            if direct:
                body = self.compile(stubs_host.body(params, results, self.hooks.dead, self._boxes))
            else:
                body = self._general()
            address = self._host[key] = self.compile(stubs_host.host(ir_kinds(params), ir_kinds(results), body))
        return address

    def _general(self) -> int:
        if not self._general_body:
            self._general_body = self.compile(stubs_host.general_body(self.hooks.dead))
        return self._general_body

    def async_host_stub(self, params: bytes, results: bytes) -> int:
        """Return the code of async host functions of a type (IR types)."""
        key = params + b"\xff" + results
        address = self._async_host.get(key)
        if address is None:
            if not self._async_body:
                self._async_body = self.compile(stubs_suspend.body(self.hooks.dead))
            func = stubs_suspend.host(params, results, self._async_body, self._suspend)
            address = self._async_host[key] = self.compile(func)
        return address

    def suspendable(self, params: bytes, results: bytes) -> tuple[Callable[..., int], Callable[..., int]]:
        """Return `stubs.suspend.start` and `.resume` of a function type (IR types)."""
        key = params + b"\xff" + results
        both = self._suspendable.get(key)
        if both is None:
            start = _START(self.compile(stubs_suspend.start(params, results, self.hooks)))
            resume = _RESUME(self.compile(stubs_suspend.resume(params, results, self.hooks, self._resume)))
            both = self._suspendable[key] = (start, resume)
        return both

    # Native types

    def object_functions(self, cleared: list[int]) -> tuple[int, int, int]:
        """Return traverse, clear and dealloc of a native type with the fields of `stubs.objects.HELD`."""
        traverse, dealloc = self._held_functions
        return traverse, self.compile(stubs_object.clear(cleared, slots=False)), dealloc

    @cached_property
    def _held_functions(self) -> tuple[int, int]:
        traverse = self.compile(stubs_object.traverse(stubs_object.HELD, slots=False))
        return traverse, self.compile(stubs_object.dealloc(stubs_object.HELD, slots=False))

    def owner_functions(self) -> tuple[int, int, int]:
        """Compile traverse, clear and dealloc of the owners of native blocks."""
        holds = [stubs_object.OWNER_HOLDS]
        reap = self.compile(stubs_object.pending(id(self._hooks_kept[-1])))
        traverse = self.compile(stubs_object.traverse(holds, slots=True))
        clear = self.compile(stubs_object.clear([], slots=True, graveyard=id(self.graveyard)))
        dealloc = stubs_object.dealloc(holds, slots=True, reap_list=self._statics + _REAP_LIST, reap=reap)
        return traverse, clear, self.compile(dealloc)

    # Release of native blocks

    def on_release(self, block: int, function: Callable[[], None]) -> None:
        """Have `function` called when the owner of `block` has gone. The block's first word may be overwritten then."""
        self._releases[block] = function

    def reap(self) -> None:
        """Release the blocks whose owners have gone: a pending call of the interpreter.

        Not when that is shutting down: what releases them may have lost its globals, and the process goes anyway.
        """
        if self._pauses or self._finalizing():
            return
        while block := self._next_dead():
            self._releases.pop(block)()

    @contextmanager
    def no_releases(self) -> Iterator[None]:
        """Release no block until the end, which makes up for it."""
        self._pauses.append(None)
        try:
            yield
        finally:
            self._pauses.pop()
            self.reap()

    def _make_sweeper(self) -> Any:
        """Return what drops what cleared owners held, to be called when no collection is under way."""
        traverse, clear, dealloc = self.object_functions([])
        offset = stubs_object.FUNC_VECTORCALL
        kind = cpython.make_type(
            "figwasp._Sweeper",
            stubs_object.FUNC_SIZE,
            _Sweeper,
            traverse=traverse,
            clear=clear,
            dealloc=dealloc,
            vectorcall_offset=offset,
        )
        made = cpython.new_object(kind)
        cpython.set_field(made, offset, self.compile(stubs_object.sweep(id(self.graveyard))))
        return made

    def on_cleanup(self, context: int, function: Callable[[int], None] | None) -> None:
        """Have `function` called with the context when the outermost entry of a context leaves with the flag set; None: no more."""
        if function is None:
            self._cleanups.pop(context, None)
        else:
            self._cleanups[context] = function

    def _clean_up(self, context: int) -> None:
        self._cleanups[context](context)

    def belongs_to(self, context: int, store: Store | None) -> None:
        """Note which store a context belongs to; None: to none any more."""
        if store is None:
            self._stores.pop(context, None)
        else:
            self._stores[context] = weakref.ref(store)

    def _out_of_fuel(self, context: int) -> bool:
        """Return whether a context whose fuel is used up may go on."""
        reference = self._stores.get(context)
        store = reference() if reference is not None else None
        return store is not None and store.fuel.refill(store, context)

    # Faults

    def _install_handler(self) -> None:
        s = self._statics
        p = sequences.FaultPlaces()
        p.code_start = self.space.start
        p.code_size = codespace.RANGE_SIZE
        p.contexts_start = self.stacks.contexts
        p.contexts_size = self.stacks.contexts_size
        p.previous = s + _PREVIOUS_HANDLER
        p.back = self._stubs[STUB_UNWIND]
        p.default_action = s + _DEFAULT_ACTION
        p.rip, p.rsp, p.r15 = linux.UCONTEXT_RIP, linux.UCONTEXT_RSP, linux.UCONTEXT_R15
        p.si_addr = linux.SIGINFO_ADDRESS
        p.sys_sigaction = linux.SYS_RT_SIGACTION
        self._handler = self._put(sequences.fault_handler(p, TRAP_OUT_OF_BOUNDS_MEMORY))
        linux.write(s + _OUR_ACTION, linux.handler_action(self._handler))
        self.check_handler()
        linux.write_u64(s + _HANDLER, self._handler)

    def check_handler(self) -> None:
        """Put our fault handler in front of one that was installed after it."""
        present = linux.segv_handler()
        if present != self._handler:
            linux.write_u64(self._statics + _PREVIOUS_HANDLER, present)
            linux.install_segv_handler(self._statics + _OUR_ACTION)

    # Ticks

    def start_ticker(self) -> None:
        """Start the ticker thread unless it runs."""
        if self._ticking:
            return
        s = self._statics
        linux.write_u64(s + _INTERVAL, 0)
        linux.write_u64(s + _INTERVAL + 8, TICK_NS)
        p = sequences.TickerPlaces()
        p.contexts = self.stacks.contexts
        p.used = self.stacks.used
        p.parked = s + _PARKED
        p.interval = s + _INTERVAL
        p.idle_rounds = _IDLE_ROUNDS
        p.sys_futex, p.sys_nanosleep = linux.SYS_FUTEX, linux.SYS_NANOSLEEP
        self._ticker = self._put(sequences.ticker(p))
        linux.start_thread(self._ticker, 0)
        self._ticking = True

    def _restart_ticker(self) -> None:
        self.stacks.disown_idle()
        if self._ticking:
            linux.write_u64(self._statics + _PARKED, 0)
            linux.start_thread(self._ticker, 0)


_lock = threading.Lock()
_process: Process | None = None


def get() -> Process:
    """Return the process-wide state, made on first use.

    Raises:
        Unsupported: this platform cannot run compiled code.
    """
    global _process
    if _process is None:
        with _lock:
            if _process is None:
                collecting = gc.isenabled()
                gc.disable()  # compiling the stubs leaves no garbage, and looking for some took a third of the time
                try:
                    _process = Process()
                finally:
                    if collecting:
                        gc.enable()
    return _process
