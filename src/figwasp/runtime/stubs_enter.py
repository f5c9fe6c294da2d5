"""Floor 4: Python -> wasm: `enter`, one vectorcall function per type of numbers, and `raw`, operands as bits in a buffer."""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.codegen import abi
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.mach import NONE, STACK
from figwasp.errors import TRAP_HOST
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Call, Func, Value
from figwasp.ir.ops import I32, I64
from figwasp.runtime import stack
from figwasp.runtime.stubs import LOAD_OP, STORE_OP, Stub
from figwasp.runtime.stubs_object import FUNC_FUNCREF, FUNC_RECORD, FUNC_STORE

RAW_DEEP: Final = 1  # what `raw` answers when the native stack is too deep
RAW_BUSY: Final = 2  # and when the chain is not this thread's
_DEAD_ZONE: Final = 256  # bytes kept between the frames of a trap and what runs while they are read


class Hooks:
    """Python's half, as PyObject* that live for ever.

    Attributes:
        trap: turns a trap into an exception: (context address, trap code, pc, stack pointer), raises.
        cleanup: releases what the finished chain had pinned: (context address,), raises nothing.
        dead: answers for a callable whose record the collector has cleared: (); raises.
        claim: binds the chain of a record's store to the calling thread: (record,), returns None or raises.
        busy: raises Busy: ().
    """

    __slots__ = ("busy", "claim", "cleanup", "dead", "trap")

    def __init__(self, trap: int, cleanup: int, dead: int, claim: int, busy: int) -> None:
        self.trap = trap
        self.cleanup = cleanup
        self.dead = dead
        self.claim = claim
        self.busy = busy


class _Places:
    """Where the operands of a wasm function type go, seen from a caller that fills the wasm stack itself.

    Attributes:
        registers: indexes of the operands passed in registers; the index after the last parameter is the result area's address.
        stack: (index of the operand, offset in the stack area).
        stack_bytes: size of the stack area.
        returned: indexes of the results that come in registers.
        area: (index of the result, offset in the result area).
    """

    __slots__ = ("area", "registers", "returned", "stack", "stack_bytes")

    def __init__(self, params: bytes, results: bytes) -> None:
        signature = abi.wasm_signature(TARGET, params, results)
        hidden = [] if signature.hidden == NONE else [signature.hidden]
        locations = list(enumerate(signature.params + hidden))
        self.registers = [i for i, location in locations if location < STACK]
        self.stack = [(i, 8 * (location - STACK)) for i, location in locations if location >= STACK]
        self.stack_bytes = signature.stack_bytes
        results_at = list(enumerate(signature.results))
        self.returned = [i for i, location in results_at if location < STACK]
        self.area = [(i, 8 * (location - STACK)) for i, location in results_at if location >= STACK]


def _go_slow(e: Stub, hooks: Hooks) -> None:
    """End a vectorcall stub by calling the record with the arguments as they came, as a part of the chain.

    The chain counts as running meanwhile: what the record converts stays valid until it has returned.
    """
    callable_, args, count, names = e.params
    dead = e.new()
    broken = e.new()
    record = e.get(callable_, FUNC_RECORD)
    e.split(e.equals(record, 0), dead)
    thread = e.c("PyThreadState_Get", [])
    unbound = e.new()
    bound = e.new()
    context = _context_of(e, callable_)
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), unbound)
    _check_native_stack(e, context, unbound)
    e.jump(bound)
    e.at(unbound)
    answer = e.vectorcall(e.word(hooks.claim), [record])
    e.split(e.equals(answer, 0), broken)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.jump(bound)
    e.at(bound)
    busy = e.new()
    context = _context_of(e, callable_)
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), busy)
    _add_depth(e, context, 1)
    result = e.c("PyObject_Vectorcall", [record, args, count, names])
    _leave(e, context, result, hooks)
    e.at(busy)
    e.ret([e.vectorcall(e.word(hooks.busy), [])])
    e.at(dead)
    e.ret([e.vectorcall(e.word(hooks.dead), [])])
    e.at(broken)
    e.ret([e.word(0)])


def _context_of(e: Stub, callable_: Value) -> Value:
    return e.get(e.get(e.get(callable_, FUNC_STORE), 0), layout.STORE_CONTEXT)


def _leave(e: Stub, context: Value, result: Value, hooks: Hooks) -> None:
    """End an entry that was counted before: return the result, a new reference, or 0 with an exception set."""
    _add_depth(e, context, -1)
    _clean_up(e, context, hooks)
    good = e.new()
    nothing = e.new()
    e.split(e.equals(e.c("PyErr_Occurred", []), 0), good)
    e.unless_zero(result, nothing)
    e.c("Py_DecRef", [result], ops.VOID)
    e.jump(nothing)
    e.at(nothing)
    e.ret([e.word(0)])
    e.at(good)
    e.ret([result])


def guard(hooks: Hooks) -> Func:
    """Build (context, work) -> what the callable `work` returns, called as a part of the chain, or 0 with an exception set.

    NotImplemented when the chain is not this thread's.
    """
    e = Stub("guard", bytes([I64] * 2), bytes([I64]), CONV_C)
    context, work = e.params
    busy = e.new()
    thread = e.c("PyThreadState_Get", [])
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), busy)
    _add_depth(e, context, 1)
    _leave(e, context, e.vectorcall(work, []), hooks)
    e.at(busy)
    answer = e.word(id(NotImplemented))
    e.c("Py_IncRef", [answer], ops.VOID)
    e.ret([answer])
    return e.func


def slow(hooks: Hooks) -> Func:
    """Build the vectorcall function that leaves everything to the record: (callable, args, nargsf, kwnames)."""
    e = Stub("enter.slow", bytes([I64] * 4), bytes([I64]), CONV_C)
    _go_slow(e, hooks)
    return e.func


def _add_depth(e: Stub, context: Value, delta: int) -> None:
    depth = e.emit(ops.I64_ADD, [e.get(context, layout.CTX_DEPTH), e.word(delta)])
    e.put(depth, context, layout.CTX_DEPTH)


def _cross(e: Stub, params: bytes, results: bytes, reference: Value, context: Value, values: list[Value]) -> list[Value]:
    """Call a FuncRef on the wasm stack and come back; afterwards the context's status word tells how it went."""
    places = _Places(params, results)
    _add_depth(e, context, 1)
    area = e.emit(ops.FRAME_AREA, [], 8 * len(places.area) or 8)
    operands = [*values, area]
    top = e.get(context, layout.CTX_WASM_SP)
    if places.stack_bytes:
        lowered = e.emit(ops.I64_SUB, [top, e.word(places.stack_bytes)])
        for i, offset in places.stack:
            e.store(STORE_OP[operands[i].type], operands[i], lowered, offset)
        e.put(lowered, context, layout.CTX_WASM_SP)
    passed = [operands[i] for i in places.registers]
    returned = bytes(results[i] for i in places.returned)
    code = e.get(reference, layout.FUNCREF_CODE)
    instance = e.get(reference, layout.FUNCREF_INSTANCE)
    call = Call(bytes(value.type for value in passed), returned)
    first = e.emit(ops.ENTER_WASM, [code, instance, *passed], call, returned[0] if returned else ops.VOID)
    found: dict[int, Value] = {}
    for k, i in enumerate(places.returned):
        found[i] = first if k == 0 else e.emit(ops.RESULT, [first], k, results[i])
    for i, offset in places.area:
        found[i] = e.load(LOAD_OP[results[i]], area, offset)
    if places.stack_bytes:
        e.put(top, context, layout.CTX_WASM_SP)
    _add_depth(e, context, -1)
    return [found[i] for i in range(len(results))]


def _check_native_stack(e: Stub, context: Value, deep: Block) -> None:
    """Go to `deep` when this is not the native stack the context was claimed for, or little of it is left."""
    here = e.emit(ops.FRAME_AREA, [], 8)
    above = e.emit(ops.I64_SUB, [here, e.get(context, layout.CTX_NATIVE_LIMIT)])
    e.split(e.emit(ops.I64_GE_U, [above, e.get(context, layout.CTX_NATIVE_SIZE)]), deep)


def enter(params: bytes, results: bytes, hooks: Hooks) -> Func:
    """Build the vectorcall function of a type of numbers: (callable, args, nargsf, kwnames) -> new reference or 0.

    Args:
        params, results: IR types.
        hooks: Python's half.
    """
    e = Stub("enter", bytes([I64] * 4), bytes([I64]), CONV_C)
    callable_, args, count, names = e.params
    unusual = e.new()
    failed = e.new()
    wrong = e.emit(ops.I64_XOR, [e.emit(ops.I64_AND, [count, e.word(2**63 - 1)]), e.word(len(params))])
    e.split(e.emit(ops.I64_NE, [e.emit(ops.I64_OR, [wrong, names]), e.word(0)]), unusual)
    values = [e.unbox(type_, e.get(args, 8 * i), failed) for i, type_ in enumerate(params)]
    context = _context_of(e, callable_)
    thread = e.c("PyThreadState_Get", [])
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), unusual)
    _check_native_stack(e, context, unusual)
    outcome = _cross(e, params, results, e.get(callable_, FUNC_FUNCREF), context, values)
    status = e.new()
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_STATUS), e.word(0)]), status)
    e.ret([_box_results(e, outcome)])
    e.at(status)
    _settle(e, context, hooks)
    e.ret([_box_results(e, outcome)])
    raised = e.new()
    e.at(failed)
    e.forgive(raised)
    e.jump(unusual)
    e.at(raised)
    e.ret([e.word(0)])
    e.at(unusual)
    _go_slow(e, hooks)
    return e.func


def _box_results(e: Stub, results: list[Value]) -> Value:
    """None, the number, or a tuple of numbers: a new reference or 0."""
    if not results:
        none = e.word(id(None))
        e.c("Py_IncRef", [none], ops.VOID)
        return none
    if len(results) == 1:
        return e.box(results[0])
    full = e.c("PyTuple_New", [e.word(len(results))])
    broken = e.new()
    e.split(e.equals(full, 0), broken)
    for i, result in enumerate(results):
        # A failed box leaves a hole, which the tuple tolerates; the exception that is set is found below.
        e.c("PyTuple_SetItem", [full, e.word(i), e.box(result)])
    failed = e.new()
    e.split(e.emit(ops.I64_NE, [e.c("PyErr_Occurred", []), e.word(0)]), failed)
    done = e.new()
    e.jump(done)
    e.at(failed)
    e.c("Py_DecRef", [full], ops.VOID)
    e.jump(broken)
    e.at(broken)
    e.ret([e.word(0)])
    e.at(done)
    return full


def _settle(e: Stub, context: Value, hooks: Hooks) -> None:
    """Take the GIL back; go on when nothing trapped, otherwise return 0 with an exception set."""
    e.take_gil(context)
    trap = e.get32(context, layout.CTX_TRAP_CODE)
    sound = e.new()
    failing = e.new()
    e.brif(trap, failing, sound)
    e.at(failing)
    _fail(e, context, trap, hooks)
    e.at(sound)
    _clean_up(e, context, hooks)
    good = e.new()
    e.split(e.equals(e.c("PyErr_Occurred", []), 0), good)
    e.ret([e.word(0)])
    e.at(good)


def _fail(e: Stub, context: Value, trap: Value, hooks: Hooks) -> None:
    """Return 0 with an exception set: the one a host function left, or what the hook makes of the trap.

    While the hook reads the frames of the trap, whatever runs stays below them, and other threads find the chain running.
    """
    e.put32(0, context, layout.CTX_TRAP_CODE)
    leave = e.new()
    e.split(e.emit(ops.I32_EQ, [trap, e.const(I32, TRAP_HOST)]), leave)
    kept = e.get(context, layout.CTX_WASM_SP)
    pc = e.get(context, layout.CTX_TRAP_PC)
    pointer = e.get(context, layout.CTX_TRAP_SP)
    below = e.emit(ops.I64_SUB, [pointer, e.word(_DEAD_ZONE)])
    e.put(e.emit(ops.I64_AND, [below, e.word(-16)]), context, layout.CTX_WASM_SP)
    _add_depth(e, context, 1)
    e.call_with_ints(e.word(hooks.trap), [context, e.emit(ops.I64_EXTEND_I32_U, [trap]), pc, pointer])
    _add_depth(e, context, -1)
    e.put(kept, context, layout.CTX_WASM_SP)
    e.jump(leave)
    e.at(leave)
    _clean_up(e, context, hooks)
    e.ret([e.word(0)])


def _clean_up(e: Stub, context: Value, hooks: Hooks) -> None:
    """Call the cleanup hook when the outermost entry is leaving and the flag asks for it.

    An exception that is set stays set; an interrupt may set one. Other threads find the chain running meanwhile.
    """
    done = e.new()
    flags = e.get32(context, layout.CTX_FLAGS)
    e.when(e.emit(ops.I32_AND, [flags, e.const(I32, layout.FLAG_CLEANUP)]), done)
    e.when(e.equals(e.get(context, layout.CTX_DEPTH), 0), done)
    saved = e.emit(ops.FRAME_AREA, [], 24)
    places = [saved, *[e.emit(ops.I64_ADD, [saved, e.word(offset)]) for offset in (8, 16)]]
    e.c("PyErr_Fetch", places, ops.VOID)
    _add_depth(e, context, 1)
    answer = e.call_with_ints(e.word(hooks.cleanup), [context])
    _add_depth(e, context, -1)
    called = e.new()
    e.unless_zero(answer, called)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.jump(called)
    e.at(called)
    e.unless_zero(e.get(saved, 0), done)
    e.c("PyErr_Restore", [e.get(saved, offset) for offset in (0, 8, 16)], ops.VOID)
    e.jump(done)
    e.at(done)


def raw(params: bytes, results: bytes, hooks: Hooks) -> Func:
    """Build (reference, buffer) -> status: operands and results are 8-byte cells of raw bits in the buffer.

    The status is 0 (a Python exception may be set), RAW_DEEP or RAW_BUSY; the GIL is held again.
    """
    e = Stub("enter.raw", bytes([I64] * 2), bytes([I64]), CONV_C)
    reference, buffer = e.params
    store = e.get(e.get(reference, layout.FUNCREF_INSTANCE), layout.INST_STORE)
    context = e.get(store, layout.STORE_CONTEXT)
    deep = e.new()
    busy = e.new()
    thread = e.c("PyThreadState_Get", [])
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), busy)
    _check_native_stack(e, context, deep)
    values = [e.load(LOAD_OP[type_], buffer, 8 * i) for i, type_ in enumerate(params)]
    outcome = _cross(e, params, results, reference, context, values)
    e.take_gil(context)
    trap = e.get32(context, layout.CTX_TRAP_CODE)
    trapped = e.new()
    e.split(trap, trapped)
    for i, result in enumerate(outcome):
        e.store(STORE_OP[result.type], result, buffer, 8 * i)
    e.ret([e.word(0)])
    e.at(trapped)
    _fail(e, context, trap, hooks)
    e.at(deep)
    e.ret([e.word(RAW_DEEP)])
    e.at(busy)
    e.ret([e.word(RAW_BUSY)])
    return e.func


def claim() -> Func:
    """Build (context, stack, lowest native stack pointer, native stack size, on main thread) -> 0, or 1 when another thread runs.

    It is one step for other Python threads: they find the chain bound to one thread with all that belongs to it. The stack is used
    when the context has none.
    """
    e = Stub("claim", bytes([I64] * 5), bytes([I64]), CONV_C)
    context, base, lowest, size, main = e.params
    thread = e.c("PyThreadState_Get", [])
    other = e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread])
    running = e.emit(ops.I64_NE, [e.get(context, layout.CTX_DEPTH), e.word(0)])
    busy = e.new()
    e.split(e.emit(ops.I32_AND, [other, running]), busy)
    equipped = e.new()
    e.when(e.equals(e.get(context, layout.CTX_STACK_TOP), 0), equipped)
    top = e.emit(ops.I64_ADD, [base, e.word(stack.TOP)])
    e.put(base, context, layout.CTX_STACK_BASE)
    e.put(top, context, layout.CTX_STACK_TOP)
    e.put(top, context, layout.CTX_WASM_SP)
    e.put(e.emit(ops.I64_ADD, [base, e.word(stack.HEADROOM)]), context, layout.CTX_REAL_LIMIT)
    e.jump(equipped)
    e.at(equipped)
    e.put(lowest, context, layout.CTX_NATIVE_LIMIT)
    e.put(size, context, layout.CTX_NATIVE_SIZE)
    e.put(main, context, layout.CTX_MAIN_THREAD)
    e.put(thread, context, layout.CTX_THREAD_STATE)
    # The first check finds a tick, which wakes the ticker if it sleeps.
    e.put(e.word(-1), context, layout.CTX_STACK_LIMIT)
    e.ret([e.word(0)])
    e.at(busy)
    e.ret([e.word(1)])
    return e.func
