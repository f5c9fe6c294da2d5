"""Floor 4: calls that are suspended in an async host function and resumed later.

Theory of operation. Such a call runs on a context and a wasm stack of its own. The wasm side of an async host function stores its
operands, has `body` call the Python function, which returns a coroutine, and then calls `suspend`, which leaves wasm as a trap
does, with all frames in place, and `start` answers RAW_SUSPENDED. When the coroutine has been awaited its results are put where the
host function's operands were and `resume` makes the call of `suspend` return 0; after an exception it returns 1 with the
exception set, and the frames are left for good. No frame of the native stack outlives a suspension: results in memory go to the
caller's buffer.

Ticks suspend such a call as well when it is to give an event loop turns: anywhere in wasm. Other calls would find the guest between
two instructions then, so the store counts as running until the call goes on, though in no thread: its own context is HELD, which
all that enter or claim it take for another thread's. A call that has begun while another ran in the store gives no turns.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.errors import TRAP_SUSPENDED
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, CONV_WASM, Func, Value
from figwasp.ir.ops import I32, I64
from figwasp.runtime.stubs import host as stubs_host
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.enter import check_native_stack, cross, fail, go_on
from figwasp.runtime.stubs.interface import HOST_RECORD, RAW_BUSY, RAW_DEEP, RAW_SUSPENDED
from figwasp.runtime.stubs.leave import end_interrupt


def start(params: bytes, results: bytes) -> Func:
    """Build (reference, buffer, area, context) -> status: as `stubs.enter.raw`, but on another context; may be suspended.

    Results that come in memory go to `area`, from where they are put into the buffer as well.
    """
    e = Stub("start", bytes([I64] * 4), bytes([I64]), CONV_C)
    reference, buffer, area, context = e.params
    swap = _Swap(e, e.get(reference, layout.FUNCREF_INSTANCE), context)
    values = e.load_values(params, buffer)
    swap.finish(cross(e, params, results, reference, context, values, area), buffer)
    return e.func


def resume(params: bytes, results: bytes) -> Func:
    """Build (instance, buffer, area, context, error) -> status: go on with a suspended call, raising `error` there unless it is 0.

    Args:
        params, results: IR types of the function that was called.
    """
    e = Stub("resume", bytes([I64] * 5), bytes([I64]), CONV_C)
    instance, buffer, area, context, error = e.params
    swap = _Swap(e, instance, context)
    calm = e.new()
    e.unless_zero(error, calm)
    kind = e.c("PyObject_Type", [error])
    e.c("PyErr_SetObject", [kind, error], ops.VOID)
    e.c("Py_DecRef", [kind], ops.VOID)
    stubs_host.note_failure(e, context, e.get(context, layout.CTX_SUSPENDED_SP))
    e.put(e.get(context, layout.CTX_SUSPENDED_SP), context, layout.CTX_WASM_SP)
    e.add_depth(context, 1)
    stubs_host.offer(e, context)
    e.add_depth(context, -1)
    e.jump(calm)
    e.at(calm)
    e.put(e.get(context, layout.CTX_SUSPENDED_SP), context, layout.CTX_WASM_SP)
    failed = e.emit(ops.I64_EXTEND_I32_U, [e.emit(ops.I64_NE, [error, e.word(0)])])
    swap.finish(go_on(e, params, results, e.symbol("switch.resume"), instance, context, failed, area), buffer)
    return e.func


class _Swap:
    """The frame of `start` and `resume`: the store runs on another context meanwhile.

    The swap is one step for other Python threads, and no exception of Python comes between.
    """

    __slots__ = ("_context", "_e", "_present", "_record")

    def __init__(self, e: Stub, instance: Value, context: Value) -> None:
        """Begin, or return why the call cannot begin."""
        self._e = e
        self._context = context
        self._record = e.get(instance, layout.INST_STORE)
        self._present = e.get(self._record, layout.STORE_CONTEXT)
        busy, deep, good, free = e.new(), e.new(), e.new(), e.new()
        thread = e.thread_state()
        e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), busy)
        check_native_stack(e, context, deep)
        owner = e.get(self._present, layout.CTX_THREAD_STATE)
        mine = e.equals(e.get(context, layout.CTX_TURN), layout.TURN_TAKEN)
        e.when(e.emit(ops.I32_AND, [mine, e.equals(owner, layout.HELD)]), free)
        for field in (layout.CTX_DEPTH, layout.CTX_THREAD_STATE):
            e.put(e.word(0), self._present, field)
        e.jump(good)
        e.at(free)
        running = e.emit(ops.I64_NE, [e.get(self._present, layout.CTX_DEPTH), e.word(0)])
        e.split(e.emit(ops.I32_AND, [e.emit(ops.I64_NE, [owner, thread]), running]), busy)
        e.jump(good)
        e.at(busy)
        e.ret([e.word(RAW_BUSY)])
        e.at(deep)
        e.ret([e.word(RAW_DEEP)])
        e.at(good)
        alone = e.emit(ops.I64_EXTEND_I32_U, [e.equals(e.get(self._present, layout.CTX_DEPTH), 0)])
        e.put(e.emit(ops.I64_AND, [e.get(context, layout.CTX_TURNS), alone]), context, layout.CTX_TURN)
        e.put(context, self._record, layout.STORE_CONTEXT)

    def finish(self, outcome: list[Value], buffer: Value) -> None:
        """Take the GIL and put the results into the buffer, or report that there are none yet."""
        e, context = self._e, self._context
        e.take_gil(context)
        e.add_depth(context, -1)
        end_interrupt(e, context)  # a call that is suspended hears of it otherwise
        e.put(self._present, self._record, layout.STORE_CONTEXT)
        trap = e.get32(context, layout.CTX_TRAP_CODE)
        stopped = e.new()
        e.split(trap, stopped)
        e.store_values(outcome, buffer)
        e.ret([e.word(0)])
        e.at(stopped)
        trapped = e.new()
        e.split(e.emit(ops.I32_NE, [trap, e.const(I32, TRAP_SUSPENDED)]), trapped)
        e.put32(0, context, layout.CTX_TRAP_CODE)
        untaken = e.new()
        e.when(e.equals(e.get(context, layout.CTX_TURN), layout.TURN_TAKEN), untaken)
        e.put(e.word(1), self._present, layout.CTX_DEPTH)
        e.put(e.word(layout.HELD), self._present, layout.CTX_THREAD_STATE)
        e.jump(untaken)
        e.at(untaken)
        e.ret([e.word(RAW_SUSPENDED)])
        e.at(trapped)
        fail(e, context, trap)


def host(params: bytes, results: bytes) -> Func:
    """Build the wasm side of async host functions of a type (IR types)."""
    e = Stub("host.async", bytes([I64]) + params, results, CONV_WASM)
    pair, *values = e.params
    buffer = stubs_host.store_operands(e, values, results)
    status = e.native("stub.host.async.body", [pair, buffer, e.emit(ops.CONTEXT, [])])
    failed = e.new()
    e.split(e.emit(ops.I64_NE, [status, e.word(0)]), failed)
    stubs_host.return_or_unwind(e, e.native("switch.suspend", []), results, buffer)
    e.at(failed)
    e.emit(ops.UNWIND, [])
    return e.func


def body() -> Func:
    """Build the C side of all async host functions: the record is called with the addresses of the buffer and the context."""
    e = Stub("host.async.body", bytes([I64] * 3), bytes([I64]), CONV_C)
    pair, buffer, context = e.params
    e.take_gil(context)
    stubs_host.serve(e, e.get(pair, HOST_RECORD), [buffer, context], context)
    return e.func
