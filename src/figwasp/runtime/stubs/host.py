"""Floor 4: wasm -> Python: host functions, builtins, lazy compilation.

A host function's FuncRef has `host` as its code and, as its instance, the address of a pair of PyObject* slots: the callable
and its record. `host` (convention wasm) stores its operands in 8-byte cells of its own frame and calls `body` (convention
C) on the native stack.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.errors import TRAP_HOST
from figwasp.ir import builtins, ops
from figwasp.ir.func import CONV_C, CONV_WASM, Block, Func, Value
from figwasp.ir.ops import I64
from figwasp.ir.types import CELL, buffer_layout
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.stubs.box import box
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.interface import HOST_CALLABLE, HOST_RECORD, REF, ir_kinds


def host(params: bytes, results: bytes, body_name: str) -> Func:
    """Build the wasm side of host functions of a type (IR types); the symbol of their C side has the name."""
    e = Stub("host", bytes([I64]) + params, results, CONV_WASM)
    pair, *values = e.params
    buffer = store_operands(e, values, results)
    status = e.native(body_name, [pair, buffer, e.emit(ops.CONTEXT, [])])
    return_or_unwind(e, status, results, buffer)
    return e.func


def store_operands(e: Stub, values: list[Value], results: bytes) -> Value:
    """Put operands into a buffer in the frame, where the results will be as well; return its address."""
    cells = [buffer_layout(types)[1] for types in (bytes(value.type for value in values), results)]
    buffer = e.emit(ops.FRAME_AREA, [], CELL * max(*cells, 1))
    e.store_values(values, buffer)
    return buffer


def return_or_unwind(e: Stub, status: Value, results: bytes, buffer: Value) -> None:
    """Return the results from the buffer when the status is 0, else leave wasm."""
    failed = e.new()
    e.split(e.emit(ops.I64_NE, [status, e.word(0)]), failed)
    e.ret(e.load_values(results, buffer))
    e.at(failed)
    e.emit(ops.UNWIND, [])


def fail(e: Stub, context: Value, *, caught: bool = False) -> None:
    """End with status 1: a Python exception is set, which wasm may catch or not."""
    note_failure(e, context, e.get(context, layout.CTX_WASM_SP))
    if caught:
        offer(e, context)
    e.ret([e.word(1)])


def offer(e: Stub, context: Value) -> None:
    """Let wasm catch the exception, a failure having been noted; where no function has a handler yet, there is nobody to do so."""
    none = e.new()
    code = e.get(e.symbol("static.offer"), 0)
    e.unless_zero(code, none)
    e.c(code, [context])
    e.jump(none)
    e.at(none)


def note_failure(e: Stub, context: Value, pointer: Value) -> None:
    """Record that a Python exception is set, and where wasm is: `pointer` is what `to_native` left for the way back."""
    e.put32(TRAP_HOST, context, layout.CTX_TRAP_CODE)
    note_place(e, context, pointer)


def note_place(e: Stub, context: Value, pointer: Value) -> None:
    """Record where wasm is: `pointer` is what `to_native` left for the way back."""
    place = machine().sequences.native_return
    e.put(e.get(pointer, place), context, layout.CTX_TRAP_PC)
    e.put(e.emit(ops.I64_ADD, [pointer, e.word(place + 8)]), context, layout.CTX_TRAP_SP)


def body(params: bytes, results: bytes) -> Func:
    """Build the C side of host functions of a type of numbers, and externref parameters: (pair, buffer, context) -> status.

    Args:
        params, results: kinds.
    """
    e = Stub("host.body", bytes([I64] * 3), bytes([I64]), CONV_C)
    pair, buffer, context = e.params
    failed = e.new()
    e.take_gil(context)
    callable_ = e.get(pair, HOST_CALLABLE)
    cleared = e.new()
    e.split(e.equals(callable_, 0), cleared)
    loads = e.load_values(ir_kinds(params), buffer)
    objects = e.new()
    e.split_objects(params, loads, objects)
    boxed = [box(e, kind, value, k) for k, (kind, value) in enumerate(zip(params, loads, strict=True))]
    for kind, value in zip(params, boxed, strict=True):
        if kind != REF:
            e.split(e.equals(value, 0), failed)  # no memory for a number
    answer = e.vectorcall(callable_, boxed)
    for value in boxed:
        e.decref(value)
    e.split(e.equals(answer, 0), failed)
    odd = e.new()
    if results:
        things = [answer] if len(results) == 1 else e.tuple_items(answer, len(results), odd)
        e.store_values(e.unbox_all(results, things, odd), buffer)
    else:
        e.split(e.emit(ops.I64_NE, [answer, e.symbol("object.None")]), odd)
    e.decref(answer)
    e.ret([e.word(0)])
    _convert_slowly(e, pair, buffer, answer, odd, failed)
    if REF in params:
        e.at(objects)
        serve(e, e.get(pair, HOST_RECORD), [buffer], context)
    e.at(cleared)
    e.vectorcall(e.symbol("callback.refuse_cleared"), [])
    e.jump(failed)
    e.at(failed)
    fail(e, context, caught=True)
    return e.func


def _convert_slowly(e: Stub, pair: Value, buffer: Value, answer: Value, odd: Block, failed: Block) -> None:
    """At `odd`: let the record convert the answer into the buffer, or raise."""
    raised = e.new()
    e.at(odd)
    e.forgive(raised)
    record = _live(e, e.get(pair, HOST_RECORD))
    cell = e.c("PyLong_FromUnsignedLongLong", [buffer])
    converted = e.vectorcall(record, [cell, answer])
    e.c("Py_DecRef", [cell], ops.VOID)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.split(e.equals(converted, 0), failed)
    e.c("Py_DecRef", [converted], ops.VOID)
    e.ret([e.word(0)])
    e.at(raised)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.jump(failed)


def _live(e: Stub, reference: Value) -> Value:
    """The reference, or the callable that raises when the collector has cleared it."""
    return e.emit(ops.SELECT, [reference, e.symbol("callback.refuse_cleared"), e.emit(ops.I64_NE, [reference, e.word(0)])], 0, I64)


def general_body() -> Func:
    """Build the C side of all other host functions: the record reads the operands' bits, calls, writes the results' bits."""
    e = Stub("host.general", bytes([I64] * 3), bytes([I64]), CONV_C)
    pair, buffer, context = e.params
    e.take_gil(context)
    serve(e, e.get(pair, HOST_RECORD), [buffer], context)
    return e.func


def serve(e: Stub, record: Value, numbers: list[Value], context: Value) -> None:
    """Call a record, which leaves its answer where the numbers say, and return the status."""
    failed = e.new()
    answer = e.call_with_ints(_live(e, record), numbers)
    e.split(e.equals(answer, 0), failed)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.ret([e.word(0)])
    e.at(failed)
    fail(e, context, caught=True)


def builtin(number: int) -> Func:
    """Build the wasm side of a builtin that Python implements."""
    e = Stub(builtins.NAMES[number], bytes([I64]) + builtins.PARAMS[number], builtins.RESULTS[number], CONV_WASM)
    ask_python(e, number)
    return e.func


def ask_python(e: Stub, number: int) -> None:
    """Let Python do what a builtin does."""
    results = builtins.RESULTS[number]
    instance, *values = e.params
    wide = [v if v.type == I64 else e.emit(ops.I64_EXTEND_I32_U, [v]) for v in values]
    buffer = store_operands(e, wide, results)
    function = e.symbol(f"builtin.{builtins.NAMES[number]}")
    status = e.native(f"stub.call_python:{len(values)}", [instance, buffer, function, e.emit(ops.CONTEXT, [])])
    return_or_unwind(e, status, results, buffer)


def call_python(count: int) -> Func:
    """Build (instance, buffer, function, context) -> status: call a Python function about an instance.

    It is called with the instance's Python side and `count` operands, unsigned ints from the buffer, where the answer goes, an int
    or None.
    """
    e = Stub(f"call_python.{count}", bytes([I64] * 4), bytes([I64]), CONV_C)
    instance, buffer, function, context = e.params
    failed = e.new()
    e.take_gil(context)
    answer = _ask_about(e, instance, function, [e.get(buffer, 8 * i) for i in range(count)])
    e.split(e.equals(answer, 0), failed)
    none = e.new()
    e.split(e.same(answer, e.symbol("object.None")), none)
    e.put(e.c("PyLong_AsUnsignedLongLongMask", [answer]), buffer, 0)
    e.jump(none)
    e.at(none)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.ret([e.word(0)])
    e.at(failed)
    fail(e, context)
    return e.func


def compile_on_call() -> Func:
    """Build (instance, function index, context) -> address of the function's code, or 0 with a Python exception set."""
    e = Stub("compile_on_call", bytes([I64] * 3), bytes([I64]), CONV_C)
    instance, index, context = e.params
    failed = e.new()
    e.take_gil(context)
    answer = _ask_about(e, instance, e.symbol("callback.compile"), [index, context])
    e.split(e.equals(answer, 0), failed)
    code = e.c("PyLong_AsUnsignedLongLongMask", [answer])
    e.c("Py_DecRef", [answer], ops.VOID)
    e.ret([code])
    e.at(failed)
    note_failure(e, context, e.get(context, layout.CTX_WASM_SP))
    e.ret([e.word(0)])
    return e.func


def _ask_about(e: Stub, instance: Value, function: Value, numbers: list[Value]) -> Value:
    """Call a Python function with the Python side of an instance and unsigned ints; a new reference or 0."""
    state = e.get(e.get(instance, layout.INST_STATE), 0)
    alive = e.emit(ops.I64_NE, [state, e.word(0)])
    target = e.emit(ops.SELECT, [function, e.symbol("callback.refuse_cleared"), alive], 0, I64)
    return e.call_with_ints(target, numbers, e.emit(ops.SELECT, [state, e.symbol("object.None"), alive], 0, I64))
