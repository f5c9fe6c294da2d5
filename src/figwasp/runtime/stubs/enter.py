"""Floor 4: Python -> wasm: `enter`, one vectorcall function per type of numbers, and `raw`, operands as bits in a buffer."""

from __future__ import annotations

from figwasp import layout
from figwasp.codegen import abi
from figwasp.codegen.isa import host
from figwasp.codegen.mach import NONE, STACK
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Call, Func, Value
from figwasp.ir.types import CELL, I64
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.interface import FUNC_FUNCREF, FUNC_RECORD, FUNC_STORE, RAW_BUSY, RAW_DEEP, REF


class _Places:
    """Where the operands of a wasm function type go, seen from a caller that fills the wasm stack itself.

    Attributes:
        registers: indexes of the operands passed in registers; the index after the last parameter is the result area's address.
        stack: (index of the operand, offset in the stack area).
        stack_bytes, area_bytes: sizes of the stack area and of the result area.
        returned: indexes of the results that come in registers.
        area: (index of the result, offset in the result area).
    """

    __slots__ = ("area", "area_bytes", "registers", "returned", "stack", "stack_bytes")

    def __init__(self, params: bytes, results: bytes) -> None:
        signature = abi.wasm_signature(host(), params, results)
        hidden = [] if signature.hidden == NONE else [signature.hidden]
        locations = list(enumerate(signature.params + hidden))
        self.registers = [i for i, location in locations if location < STACK]
        self.stack = [(i, CELL * (location - STACK)) for i, location in locations if location >= STACK]
        self.stack_bytes = signature.stack_bytes
        self.area_bytes = signature.area_bytes
        results_at = list(enumerate(signature.results))
        self.returned = [i for i, location in results_at if location < STACK]
        self.area = [(i, CELL * (location - STACK)) for i, location in results_at if location >= STACK]


def context_of(e: Stub, callable_: Value) -> Value:
    return e.get(e.get(e.get(callable_, FUNC_STORE), 0), layout.STORE_CONTEXT)


def leave(e: Stub, context: Value, result: Value) -> None:
    """End an entry that was counted before: return the result, a new reference, or 0 with an exception set."""
    e.add_depth(context, -1)
    e.ret([e.c("stub.leave", [context, result])])


def slow() -> Func:
    """Build the vectorcall function that leaves everything to the record: (callable, args, nargsf, kwnames).

    The function calls the record with the arguments as they came, as a part of the chain, which counts as running meanwhile: the
    references that the record converts stay valid until it has returned.
    """
    e = Stub("enter.slow", bytes([I64] * 4), bytes([I64]), CONV_C)
    callable_, args, count, names = e.params
    dead = e.new()
    broken = e.new()
    record = e.get(callable_, FUNC_RECORD)
    e.split(e.equals(record, 0), dead)
    thread = e.thread_state()
    unbound = e.new()
    bound = e.new()
    context = context_of(e, callable_)
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), unbound)
    check_native_stack(e, context, unbound)
    e.jump(bound)
    e.at(unbound)
    answer = e.vectorcall(e.symbol("callback.claim_chain"), [record])
    e.split(e.equals(answer, 0), broken)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.jump(bound)
    e.at(bound)
    busy = e.new()
    context = context_of(e, callable_)
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), busy)
    e.add_depth(context, 1)
    result = e.c("PyObject_Vectorcall", [record, args, count, names])
    whole = e.new()
    e.when(e.equals(result, 0), whole)
    e.c("stub.trim", [])
    e.jump(whole)
    e.at(whole)
    leave(e, context, result)
    e.at(busy)
    e.ret([e.vectorcall(e.symbol("callback.refuse_busy"), [])])
    e.at(dead)
    e.ret([e.vectorcall(e.symbol("callback.refuse_cleared"), [])])
    e.at(broken)
    e.ret([e.c("stub.trim", [])])
    return e.func


def cross(
    e: Stub, params: bytes, results: bytes, reference: Value, context: Value, values: list[Value], area: Value | None = None
) -> list[Value]:
    """Call a FuncRef on the wasm stack and come back; afterwards the context's status word tells how it went.

    The entry stays counted. Whoever has the GIL, or has taken it back, ends it by `add_depth`: until then no other thread comes in.
    Results that come in memory are left in `area`, by default in the stub's frame.
    """
    places = _Places(params, results)
    e.add_depth(context, 1)
    if area is None:
        area = e.emit(ops.FRAME_AREA, [], places.area_bytes or CELL)
    operands = [*values, area]
    top = e.get(context, layout.CTX_WASM_SP)
    if places.stack_bytes:
        lowered = e.emit(ops.I64_SUB, [top, e.word(places.stack_bytes)])
        for i, offset in places.stack:
            e.store(ops.STORE_OF[operands[i].type], operands[i], lowered, offset)
        e.put(lowered, context, layout.CTX_WASM_SP)
    passed = [operands[i] for i in places.registers]
    code = e.get(reference, layout.FUNCREF_CODE)
    found = _enter_wasm(e, places, results, code, e.get(reference, layout.FUNCREF_INSTANCE), passed, area)
    if places.stack_bytes:
        e.put(top, context, layout.CTX_WASM_SP)
    return found


def _enter_wasm(
    e: Stub, places: _Places, results: bytes, code: Value, instance: Value, passed: list[Value], area: Value
) -> list[Value]:
    """Call code on the wasm stack with the operands for registers; return the results, those in memory loaded from `area`."""
    returned = bytes(results[i] for i in places.returned)
    call = Call(bytes(value.type for value in passed), returned)
    first = e.emit(ops.ENTER_WASM, [code, instance, *passed], call, returned[0] if returned else ops.VOID)
    found: dict[int, Value] = {}
    for k, i in enumerate(places.returned):
        found[i] = first if k == 0 else e.emit(ops.RESULT, [first], k, results[i])
    for i, offset in places.area:
        found[i] = e.load(ops.LOAD_OF[results[i]], area, offset)
    return [found[i] for i in range(len(results))]


def go_on(
    e: Stub, params: bytes, results: bytes, code: Value, instance: Value, context: Value, status: Value, area: Value
) -> list[Value]:
    """Go on with a suspended call of a function type, as `cross` would have; `code`: of `resume` (`Sequences.switches`)."""
    e.add_depth(context, 1)
    return _enter_wasm(e, _Places(params, results), results, code, instance, [status], area)


def check_native_stack(e: Stub, context: Value, deep: Block) -> None:
    """Go to `deep` when this is not the native stack the context was claimed for, or little of it is left."""
    here = e.emit(ops.FRAME_AREA, [], 8)
    above = e.emit(ops.I64_SUB, [here, e.get(context, layout.CTX_NATIVE_LIMIT)])
    e.split(e.emit(ops.I64_GE_U, [above, e.get(context, layout.CTX_NATIVE_SIZE)]), deep)


def enter(params: bytes, results: bytes) -> Func:
    """Build the vectorcall function of a type of numbers (IR types): (callable, args, nargsf, kwnames) -> new reference or 0."""
    e = Stub("enter", bytes([I64] * 4), bytes([I64]), CONV_C)
    callable_, args = e.params[:2]
    unusual = e.new()
    failed = e.new()
    check_count(e, len(params))
    values = e.unbox_all(params, [e.get(args, 8 * i) for i in range(len(params))], failed)
    context = context_of(e, callable_)
    thread = e.thread_state()
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), unusual)
    check_native_stack(e, context, unusual)
    outcome = cross(e, params, results, e.get(callable_, FUNC_FUNCREF), context, values)
    status = e.new()
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_STATUS), e.word(0)]), status)
    e.add_depth(context, -1)
    e.ret([box_results(e, results, outcome)])
    e.at(status)
    good = e.new()
    e.split(e.equals(e.c("stub.enter.settle", [context]), 0), good)
    e.ret([e.word(0)])
    e.at(good)
    e.ret([box_results(e, results, outcome)])
    leave_to_record(e, len(params), failed, unusual)
    return e.func


def check_count(e: Stub, wanted: int) -> None:
    """Go on if a vectorcall stub was given so many arguments, and none by name; else leave the call to the record."""
    callable_, args, count, names = e.params
    right = e.new()
    # Without the flag, which is the highest bit.
    wrong = e.emit(ops.I64_XOR, [e.emit(ops.I64_SHL, [count, e.word(1)]), e.word(2 * wanted)])
    e.split(e.equals(e.emit(ops.I64_OR, [wrong, names]), 0), right)
    e.ret([e.c("stub.enter.slow", [callable_, args, count, names])])
    e.at(right)


def leave_to_record(e: Stub, count: int, failed: Block, unusual: Block) -> None:
    """At `failed`, clear the error of a conversion; there and at `unusual` leave the call to the record."""
    raised = e.new()
    e.at(failed)
    e.forgive(raised)
    e.jump(unusual)
    e.at(raised)
    e.ret([e.word(0)])
    e.at(unusual)
    e.ret([e.c("stub.enter.slow", [*e.params[:2], e.word(count), e.word(0)])])


def box_results(e: Stub, kinds: bytes, results: list[Value]) -> Value:
    """None, the one result, or a tuple of them: a new reference, or 0 with an exception set."""
    if not results:
        return e.none()
    if len(results) == 1:
        return e.box_kind(kinds[0], results[0]) if kinds[0] == REF else e.box_often(results[0])
    full = e.c("PyTuple_New", [e.word(len(results))])
    hole, failed = e.new(), e.new()
    e.split(e.equals(full, 0), hole)
    for i, result in enumerate(results):
        thing = e.box_kind(kinds[i], result)
        e.split(e.equals(thing, 0), failed)
        e.fill_tuple(full, i, thing)
    done = e.new()
    e.jump(done, [full])
    e.at(failed)
    e.c("Py_DecRef", [full], ops.VOID)  # a tuple may have holes where nothing has come yet
    e.jump(hole)
    e.at(hole)
    e.jump(done, [e.word(0)])
    e.at(done)
    return e.func.new_param(done, I64)


def settle() -> Func:
    """Build (context) -> 0 after a good call that needs cleanup, with the GIL held; 1 with an exception set."""
    e = Stub("enter.settle", bytes([I64]), bytes([I64]), CONV_C)
    context = e.params[0]
    e.take_gil(context)
    e.add_depth(context, -1)
    trap = e.get32(context, layout.CTX_TRAP_CODE)
    sound = e.new()
    failing = e.new()
    e.brif(trap, failing, sound)
    e.at(failing)
    set_exception(e, context, trap)
    e.ret([e.word(1)])
    e.at(sound)
    e.c("stub.leave", [context, e.word(0)])
    e.ret([e.emit(ops.I64_EXTEND_I32_U, [e.emit(ops.I64_NE, [e.c("PyErr_Occurred", []), e.word(0)])])])
    return e.func


def fail(e: Stub, context: Value, trap: Value) -> None:
    """Return 0 with an exception set: the one a host function left, or the one the hook makes of the trap."""
    set_exception(e, context, trap)
    e.ret([e.word(0)])


def set_exception(e: Stub, context: Value, trap: Value) -> None:
    """Set an exception, the one a host function left or the one the hook makes of the trap, and clean up."""
    e.c("stub.fail", [context, e.emit(ops.I64_EXTEND_I32_U, [trap])])


def raw(params: bytes, results: bytes) -> Func:
    """Build (reference, buffer) -> status: operands and results are raw bits in the buffer (`abi.buffer_layout`).

    The status is 0 (a Python exception may be set), RAW_DEEP or RAW_BUSY; the GIL is held again.
    """
    e = Stub("enter.raw", bytes([I64] * 2), bytes([I64]), CONV_C)
    reference, buffer = e.params
    store = e.get(e.get(reference, layout.FUNCREF_INSTANCE), layout.INST_STORE)
    context = e.get(store, layout.STORE_CONTEXT)
    deep = e.new()
    busy = e.new()
    thread = e.thread_state()
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), busy)
    e.split(e.equals(e.get(context, layout.CTX_NATIVE_SIZE), 0), busy)  # it has not been confirmed
    check_native_stack(e, context, deep)
    values = e.load_values(params, buffer)
    outcome = cross(e, params, results, reference, context, values)
    e.take_gil(context)
    e.add_depth(context, -1)
    trap = e.get32(context, layout.CTX_TRAP_CODE)
    trapped = e.new()
    e.split(trap, trapped)
    e.store_values(outcome, buffer)
    e.ret([e.word(0)])
    e.at(trapped)
    fail(e, context, trap)
    e.at(deep)
    e.ret([e.word(RAW_DEEP)])
    e.at(busy)
    e.ret([e.word(RAW_BUSY)])
    return e.func
