"""Floor 4: what a process has once: the code space, the stubs, the contexts, the fault handler, the ticker.

`get()` makes it on first use. Everything here is mapped raw and never released.
"""

from __future__ import annotations

import ctypes
import gc
import os as _os
import threading
from collections.abc import Callable
from typing import Any, Final

from figwasp import layout
from figwasp.codegen import pipeline
from figwasp.codegen.code import STUB_COUNT, STUB_TICK, STUB_TO_NATIVE, STUB_TO_WASM, STUB_TRAP, STUB_UNWIND
from figwasp.codegen.isa.x64 import sequences
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY, TRAP_UNREACHABLE, Busy
from figwasp.ir import order
from figwasp.ir.func import Func
from figwasp.ir.ops import I32, I64
from figwasp.runtime import codespace, cpython, os, stubs_enter, stubs_host, stubs_object, traps
from figwasp.runtime.stack import Stacks

TICK_NS: Final = 5_000_000
_IDLE_ROUNDS: Final = 10

# The statics page: words at fixed addresses that emitted code refers to.
_PARKED: Final = 0
_CONTEXTS_USED: Final = 8
_PREVIOUS_HANDLER: Final = 16
_REAP_LIST: Final = 24
_INTERVAL: Final = 32
_HANDLER: Final = 48
_DEFAULT_ACTION: Final = 64
_OUR_ACTION: Final = 512
_PRESENT_ACTION: Final = 1024

BUILTIN_TYPES: Final[dict[int, tuple[bytes, bytes]]] = {
    layout.BUILTIN_MEMORY_GROW: (bytes([I32, I32]), bytes([I32])),
    layout.BUILTIN_MEMORY_INIT: (bytes([I32] * 5), b""),
    layout.BUILTIN_DATA_DROP: (bytes([I32]), b""),
    layout.BUILTIN_TABLE_SET: (bytes([I32, I32, I64]), b""),
    layout.BUILTIN_TABLE_GROW: (bytes([I32, I64, I32]), bytes([I32])),
    layout.BUILTIN_TABLE_FILL: (bytes([I32, I32, I64, I32]), b""),
    layout.BUILTIN_TABLE_COPY: (bytes([I32] * 5), b""),
    layout.BUILTIN_TABLE_INIT: (bytes([I32] * 5), b""),
    layout.BUILTIN_ELEM_DROP: (bytes([I32]), b""),
    layout.BUILTIN_GLOBAL_SET_REF: (bytes([I32, I64]), b""),
}
"""Builtins that the instance's hook serves: parameters after the instance, and results."""


_RAW: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)
_NEXT_DEAD: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64)
_GUARD: Final = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_uint64, ctypes.py_object)
_EXCHANGE: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 3)
_CLAIM: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 5)


def _dead(*_args: object) -> None:
    """Answer for something the cycle collector has already cleared."""
    raise ReferenceError("the instance this belongs to has been collected")


def _claim(record: Any) -> None:
    """Bind the chain of a record's store to the calling thread."""
    record.store.claim()


def _busy() -> None:
    """Answer for a chain that another thread took between two steps."""
    raise Busy("another thread is running in this store")


class Process:
    """The process-wide state.

    Attributes:
        space: executable memory.
        stacks: contexts and stacks.
        stubs: address of each `code.STUB_*`.
        builtin_cells: address of the builtins' cells.
        returned: the return address at which a walk over wasm frames ends.
        exchange: writes a word unless it has changed (`stubs_object.exchange`).
        guard: calls something as a part of a chain (`stubs_enter.guard`).
        claim: binds a chain to the calling thread (`stubs_enter.claim`).
    """

    def __init__(self) -> None:
        os.check_platform()
        cpython.probe()
        hooks = (traps.raise_trap, self._clean_up, _dead, _claim, _busy)
        self.hooks = stubs_enter.Hooks(*[id(hook) for hook in hooks])
        self._hooks_kept = (*hooks, self.reap)
        self._cleanups: dict[int, Callable[[int], None]] = {}
        self._statics = os.allocate(os.PAGE)
        self.stacks = Stacks(self._statics + _CONTEXTS_USED)
        self.space = codespace.Space()
        self._region = codespace.Region(self.space, 0)
        self._enter: dict[bytes, int] = {}
        self._raw: dict[bytes, Callable[[int, int], int]] = {}
        self._host: dict[bytes, int] = {}
        self._lazy_entries: list[int] = []
        self._releases: dict[int, Callable[[], None]] = {}
        self.graveyard: list[object] = []
        self.stubs = [0] * STUB_COUNT
        cells = self.space.data_chunk(8 * layout.BUILTIN_COUNT)
        self.builtin_cells = cells.start
        self._general_body = 0
        self._make_switches()
        self._make_builtins()
        self._next_dead: Callable[[], int] = _NEXT_DEAD(self.compile(stubs_object.next_dead(self._statics + _REAP_LIST)))
        self.exchange: Callable[[int, int, int], int] = _EXCHANGE(self.compile(stubs_object.exchange()))
        self.guard: Callable[[int, Callable[[], Any]], Any] = _GUARD(self.compile(stubs_enter.guard(self.hooks)))
        self.claim: Callable[[int, int, int, int, int], int] = _CLAIM(self.compile(stubs_enter.claim()))
        self._install_handler()
        gc.callbacks.append(self._after_collection)
        self._ticking = False
        _os.register_at_fork(after_in_child=self._restart_ticker)

    # Code

    def compile(self, func: Func) -> int:
        """Compile and install a stub; return its address."""
        order.run(func)
        code = pipeline.compile(func, TARGET)
        address = codespace.install(self._region, code, self.builtin_cells, self.stubs)
        traps.register(traps.Placed(address, code, None))
        return address

    def _put(self, data: bytes) -> int:
        address = self._region.place(len(data))
        self._region.write(address, data)
        return address

    def _make_switches(self) -> None:
        s = self._statics
        wake = self._put(sequences.wake(s + _PARKED, os.SYS_FUTEX))
        front = stubs_host.FaultFront(s + _HANDLER, s + _PREVIOUS_HANDLER, s + _OUR_ACTION, s + _PRESENT_ACTION)
        tick = self.compile(stubs_host.tick(s + _PARKED, wake, front))
        compile_ = self.compile(stubs_host.compile_hook(self.hooks.dead))
        switches = sequences.Switches(TRAP_UNREACHABLE, tick, compile_)
        base = self._put(switches.data)
        self.stubs[STUB_TRAP] = base + switches.trap
        self.stubs[STUB_TICK] = base + switches.tick
        self.stubs[STUB_UNWIND] = base + switches.unwind
        self.stubs[STUB_TO_WASM] = base + switches.to_wasm
        self.stubs[STUB_TO_NATIVE] = base + switches.to_native
        self.returned = base + switches.returned
        self._lazy = base + switches.lazy

    def _make_builtins(self) -> None:
        addresses = {
            layout.BUILTIN_MEMORY_FILL: self.compile(stubs_host.memory_fill()),
            layout.BUILTIN_MEMORY_COPY: self.compile(stubs_host.memory_copy()),
        }
        hooks: dict[int, int] = {}
        for number, (params, results) in BUILTIN_TYPES.items():
            count = len(params)
            if count not in hooks:
                hooks[count] = self.compile(stubs_host.hook(count, self.hooks.dead))
            addresses[number] = self.compile(stubs_host.builtin(number, params, results, hooks[count]))
        for number, address in addresses.items():
            os.write_u64(self.builtin_cells + 8 * number, address)

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

    def enter_stub(self, params: bytes, results: bytes, numbers: bool) -> int:
        """Return the vectorcall code for a function type (IR types); `numbers`: no reference among them."""
        key = params + b"\xff" + results if numbers else b"slow"
        address = self._enter.get(key)
        if address is None:
            func = stubs_enter.enter(params, results, self.hooks) if numbers else stubs_enter.slow(self.hooks)
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

    def host_stub(self, params: bytes, results: bytes, numbers: bool) -> int:
        """Return the code of host functions of a type (IR types)."""
        key = params + b"\xff" + results + (b"n" if numbers else b"")
        address = self._host.get(key)
        if address is None:
            if numbers and len(results) < 2:
                body = self.compile(stubs_host.body(params, results, self.hooks.dead))
            else:
                body = self._general()
            address = self._host[key] = self.compile(stubs_host.host(params, results, body))
        return address

    def _general(self) -> int:
        if not self._general_body:
            self._general_body = self.compile(stubs_host.general_body(self.hooks.dead))
        return self._general_body

    # Native types

    def object_functions(self, visited: list[int], cleared: list[int]) -> tuple[int, int, int]:
        """Compile traverse, clear and dealloc of a native type; fields in `visited` are dropped when it goes."""
        traverse = self.compile(stubs_object.traverse(visited, slots=False))
        clear = self.compile(stubs_object.clear(cleared, slots=False))
        return traverse, clear, self.compile(stubs_object.dealloc(visited, slots=False))

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
        """Release the blocks whose owners have gone: a pending call of the interpreter."""
        while block := self._next_dead():
            self._releases.pop(block)()

    def _after_collection(self, phase: str, _info: Any) -> None:
        """Drop what cleared owners held, once the collection is over."""
        if phase == "stop" and self.graveyard:
            held = self.graveyard[:]
            self.graveyard.clear()
            del held

    def on_cleanup(self, context: int, function: Callable[[int], None] | None) -> None:
        """Have `function` called with the context when the outermost entry of a context leaves with the flag set; None: no more."""
        if function is None:
            self._cleanups.pop(context, None)
        else:
            self._cleanups[context] = function

    def _clean_up(self, context: int) -> None:
        self._cleanups[context](context)

    # Faults

    def _install_handler(self) -> None:
        s = self._statics
        p = sequences.FaultPlaces()
        p.code_start = self.space.start
        p.code_size = codespace.RANGE_SIZE
        p.contexts_start = self.stacks.contexts
        p.contexts_size = self.stacks.contexts_size
        p.previous = s + _PREVIOUS_HANDLER
        p.back = self.stubs[STUB_UNWIND]
        p.default_action = s + _DEFAULT_ACTION
        p.rip, p.rsp, p.r15 = os.UCONTEXT_RIP, os.UCONTEXT_RSP, os.UCONTEXT_R15
        p.si_addr = os.SIGINFO_ADDRESS
        p.sys_sigaction = os.SYS_RT_SIGACTION
        self._handler = self._put(sequences.fault_handler(p, TRAP_OUT_OF_BOUNDS_MEMORY))
        os.write(s + _OUR_ACTION, os.handler_action(self._handler))
        self.check_handler()
        os.write_u64(s + _HANDLER, self._handler)

    def check_handler(self) -> None:
        """Put our fault handler in front of one that was installed after it."""
        present = os.segv_handler()
        if present != self._handler:
            os.write_u64(self._statics + _PREVIOUS_HANDLER, present)
            os.install_segv_handler(self._statics + _OUR_ACTION)

    # Ticks

    def start_ticker(self) -> None:
        """Start the ticker thread unless it runs."""
        if self._ticking:
            return
        s = self._statics
        os.write_u64(s + _INTERVAL, 0)
        os.write_u64(s + _INTERVAL + 8, TICK_NS)
        p = sequences.TickerPlaces()
        p.contexts = self.stacks.contexts
        p.used = self.stacks.used
        p.parked = s + _PARKED
        p.interval = s + _INTERVAL
        p.idle_rounds = _IDLE_ROUNDS
        p.sys_futex, p.sys_nanosleep = os.SYS_FUTEX, os.SYS_NANOSLEEP
        self._ticker = self._put(sequences.ticker(p))
        os.start_thread(self._ticker, 0)
        self._ticking = True

    def _restart_ticker(self) -> None:
        self.stacks.disown_idle()
        if self._ticking:
            os.write_u64(self._statics + _PARKED, 0)
            os.start_thread(self._ticker, 0)


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
                _process = Process()
    return _process
