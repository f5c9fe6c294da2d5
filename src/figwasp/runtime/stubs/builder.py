"""Floor 4: the code between Python and wasm is IR, compiled by the same back end as everything else: its phrases.

Theory of operation. A stub is an `ir.Func`. Those of convention C run on the thread's native stack and may call the C API;
those of convention wasm run on the wasm stack and reach native code through `call_native`, which switches stacks.

    Python -> wasm   enter: a vectorcall function, one per function type. Unboxes, checks that the chain is this
                     thread's, switches to the wasm stack and calls, boxes. Whatever is unusual (wrong count, odd types,
                     references, another thread, no stack yet) goes to the callable's record, which is Python.
                     raw: the same with the operands as raw bits in a buffer; what the record uses.
    wasm -> Python   host (wasm convention) puts its operands in a buffer in its frame and calls body (C convention), which
                     takes the GIL back if it was given up, boxes, calls, unboxes. One pair per function type.
    wasm -> runtime  builtins, lazy compilation and ticks go the same way to Python functions (`symbols.Callbacks`) or to C code.

A Python exception travels as trap code TRAP_HOST: the body leaves it set in the thread state, the wasm side unwinds to
`enter`, which returns NULL.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import Block, Call, Func, Value
from figwasp.ir.ops import F32, F64, I32, I64, V128
from figwasp.ir.types import buffer_layout
from figwasp.runtime.platform import cpython, interpreter
from figwasp.runtime.stubs.interface import REF


def _transparent(type_: int) -> bool:
    """Return whether stubs can read a Python object of the kind for an IR type themselves."""
    if type_ == V128:
        return False
    return interpreter.FLOATS if type_ in (F32, F64) else interpreter.INTS != interpreter.INT_OPAQUE


def overwritable() -> bool:
    """Return whether stubs can tell that nobody else has a Python number, and give it another value."""
    return interpreter.COUNTS != interpreter.COUNT_OPAQUE and interpreter.FLOATS and interpreter.INTS != interpreter.INT_OPAQUE


class Stub(Emitter):
    """An emitter with the phrases that stubs are made of."""

    __slots__ = ()

    def __init__(self, name: str, params: bytes, results: bytes, conv: int) -> None:
        super().__init__(Func(name, -1, params, results, conv))

    @property
    def params(self) -> list[Value]:
        """The parameters of the stub."""
        return self.func.blocks[0].params

    def word(self, bits: int) -> Value:
        """An i64 constant."""
        return self.const(I64, bits & (2**64 - 1))

    def symbol(self, name: str) -> Value:
        """What the process has for a name (`stubs.symbols`): an i64."""
        return self.emit(ops.SYMBOL, [], name)

    def store_values(self, values: list[Value], buffer: Value, start: int = 0) -> None:
        """Store values of wasm into a buffer (`abi.buffer_layout`) that begins `start` bytes behind an address."""
        for value, offset in zip(values, buffer_layout(bytes(value.type for value in values))[0], strict=True):
            self.store(ops.STORE_OF[value.type], value, buffer, start + offset)

    def load_values(self, types: bytes, buffer: Value) -> list[Value]:
        """Load values of wasm from a buffer."""
        return [self.load(ops.LOAD_OF[type_], buffer, offset) for type_, offset in zip(types, buffer_layout(types)[0], strict=True)]

    def get(self, base: Value, offset: int) -> Value:
        """Load 8 bytes."""
        return self.load(ops.I64_LOAD, base, offset)

    def get32(self, base: Value, offset: int) -> Value:
        """Load 4 bytes."""
        return self.load(ops.I32_LOAD, base, offset)

    def put(self, value: Value, base: Value, offset: int) -> None:
        """Store 8 bytes."""
        self.store(ops.I64_STORE, value, base, offset)

    def put32(self, bits: int, base: Value, offset: int) -> None:
        """Store a 4-byte constant."""
        self.store(ops.I32_STORE, self.const(I32, bits), base, offset)

    def put8(self, bits: int, base: Value, offset: int) -> None:
        """Store a constant byte."""
        self.store(ops.I32_STORE8, self.const(I32, bits), base, offset)

    def c(self, function: str | Value, args: list[Value], result: int = I64) -> Value:
        """Call a function or stub in the C convention, by the name of a symbol. An int result is taken as 8 bytes: use `wrap`."""
        target = self.symbol(function) if isinstance(function, str) else function
        results = b"" if result == ops.VOID else bytes([result])
        call = Call(bytes(arg.type for arg in args), results)
        return self.emit(ops.CALL_C, [target, *args], call, result)

    def native(self, function: str | Value, args: list[Value]) -> Value:
        """Call native code from the wasm stack, by the name of a symbol."""
        target = self.symbol(function) if isinstance(function, str) else function
        call = Call(bytes(arg.type for arg in args), bytes([I64]))
        return self.emit(ops.CALL_NATIVE, [target, *args], call, I64)

    def wrap(self, value: Value) -> Value:
        """The low half of an i64."""
        return self.emit(ops.I32_WRAP_I64, [value])

    def equals(self, value: Value, bits: int) -> Value:
        """Compare an i64 with a constant."""
        return self.emit(ops.I64_EQ, [value, self.word(bits)])

    def same(self, value: Value, other: Value) -> Value:
        """Compare two words."""
        return self.emit(ops.I64_EQ, [value, other])

    def new(self) -> Block:
        """Make a block; it gets its place in the layout by `at`."""
        return Block(-1)

    def split(self, condition: Value, then: Block) -> None:
        """Branch to `then` on the condition, else go on in a new block."""
        rest = self.new()
        self.brif(condition, then, rest)
        self.at(rest)

    def at(self, block: Block) -> None:
        """Place a block and go on in it. The blocks of a loop must be placed one after the other."""
        block.id = len(self.func.blocks)
        self.func.blocks.append(block)
        self.block = block

    def incref(self, thing: Value) -> None:
        """Take a reference to an object."""
        if interpreter.COUNTS == interpreter.COUNT_OPAQUE:
            self.c("Py_IncRef", [thing], ops.VOID)
            return
        counted = self.new()
        self._change_count(thing, 1, counted)
        self.jump(counted)
        self.at(counted)

    def decref(self, thing: Value) -> None:
        """Drop a reference to an object."""
        if interpreter.COUNTS == interpreter.COUNT_OPAQUE:
            self.c("Py_DecRef", [thing], ops.VOID)
            return
        alive = self.new()
        left = self._change_count(thing, -1, alive)
        self.when(self.equals(left, 0), alive)
        self.c("_Py_Dealloc", [thing], ops.VOID)
        self.jump(alive)
        self.at(alive)

    def _change_count(self, thing: Value, delta: int, immortal: Block) -> Value:
        """Add to the count of references to an object, and return it; go to `immortal` when the object has none."""
        whole = interpreter.COUNTS == interpreter.COUNT_WHOLE
        count = self.load(ops.I64_LOAD if whole else ops.I64_LOAD32_S, thing, interpreter.OB_COUNT)
        if not whole:
            self.split(self.emit(ops.I64_LT_S, [count, self.word(0)]), immortal)
        changed = self.emit(ops.I64_ADD, [count, self.word(delta)])
        self.set_count(thing, changed)
        return changed

    def set_count(self, thing: Value, count: Value) -> None:
        """Write the count of references to an object that is not immortal."""
        whole = interpreter.COUNTS == interpreter.COUNT_WHOLE
        self.store(ops.I64_STORE if whole else ops.I64_STORE32, count, thing, interpreter.OB_COUNT)

    def used_once(self, thing: Value) -> Value:
        """Whether there is one reference to an object, where counts are known."""
        whole = interpreter.COUNTS == interpreter.COUNT_WHOLE
        return self.equals(self.load(ops.I64_LOAD if whole else ops.I64_LOAD32_S, thing, interpreter.OB_COUNT), 1)

    def none(self) -> Value:
        """A new reference to None."""
        return self._single(self.symbol("object.None"))

    def _single(self, thing: Value) -> Value:
        """Take a reference to None or an int of which there is one object, and return the object."""
        if interpreter.COUNTS != interpreter.COUNT_LOW:
            self.incref(thing)
        return thing

    def unless_zero(self, value: Value, rest: Block) -> None:
        """Go on in a new block when an i64 is not 0, else at `rest`."""
        self.when(self.emit(ops.I64_NE, [value, self.word(0)]), rest)

    def when(self, condition: Value, rest: Block) -> None:
        """Go on in a new block when the condition holds, else at `rest`."""
        then = self.new()
        self.brif(condition, then, rest)
        self.at(then)

    def thread_state(self) -> Value:
        """The PyThreadState of this thread, which has the GIL."""
        if interpreter.THREAD_STATE is None:
            return self.c("PyThreadState_Get", [])
        return self.emit(ops.THREAD_WORD, [], interpreter.THREAD_STATE)

    def take_gil(self, context: Value) -> None:
        """Take the GIL back if this chain has given it up."""
        rest = self.new()
        flags = self.get32(context, layout.CTX_FLAGS)
        self.when(self.emit(ops.I32_AND, [flags, self.const(I32, layout.FLAG_GIL_RELEASED)]), rest)
        self.put8(0, context, layout.CTX_FLAGS)  # that byte alone: whoever has the GIL may set a flag in the others
        self.c("PyEval_RestoreThread", [self.get(context, layout.CTX_THREAD_STATE)], ops.VOID)
        self.jump(rest)
        self.at(rest)

    def add_depth(self, context: Value, delta: int) -> None:
        """Count entries from Python."""
        depth = self.emit(ops.I64_ADD, [self.get(context, layout.CTX_DEPTH), self.word(delta)])
        self.put(depth, context, layout.CTX_DEPTH)

    def vectorcall(self, callable_: Value, args: list[Value]) -> Value:
        """Call a Python object with positional arguments (borrowed references); a new reference or 0."""
        area = self.emit(ops.FRAME_AREA, [], 8 * (len(args) + 1))
        for i, arg in enumerate(args):
            self.put(arg, area, 8 + 8 * i)
        first = self.emit(ops.I64_ADD, [area, self.word(8)])
        count = self.word(len(args) | cpython.VECTORCALL_OFFSET_FLAG)
        return self.c("PyObject_Vectorcall", [callable_, first, count, self.word(0)])

    def call_with_ints(self, callable_: Value, numbers: list[Value], first: Value | None = None) -> Value:
        """Call a Python object with unsigned ints (i64 values), after another object if one is given; a new reference or 0."""
        boxed = [self.c("PyLong_FromUnsignedLongLong", [number]) for number in numbers]
        result = self.vectorcall(callable_, boxed if first is None else [first, *boxed])
        for value in boxed:
            self.c("Py_DecRef", [value], ops.VOID)
        return result

    def unbox(self, type_: int, thing: Value, failed: Block) -> Value:
        """Turn a Python number into a value of an IR type; go to `failed` when it is none or out of range.

        An exception may be set there. Unsigned i64 above the signed range also goes to `failed`.
        """
        error = self.new()
        rest = self.new()
        if type_ == V128:
            return self._unbox_vector(thing, failed)
        if type_ in (F32, F64):
            value = self.c("PyFloat_AsDouble", [thing], F64)
            minus_one = self.emit(ops.F64_EQ, [value, self.const(F64, 0xBFF0_0000_0000_0000)])
        else:
            value = self.c("PyLong_AsLongLong", [thing])
            minus_one = self.equals(value, -1)
        self.brif(minus_one, error, rest)
        self.at(error)
        self.brif(self.emit(ops.I64_NE, [self.c("PyErr_Occurred", []), self.word(0)]), failed, rest)
        self.at(rest)
        if type_ == I32:
            moved = self.emit(ops.I64_ADD, [value, self.word(1 << 31)])
            self.split(self.emit(ops.I64_GE_U, [moved, self.word((1 << 31) + (1 << 32))]), failed)
            return self.wrap(value)
        if type_ == F32:
            return self.emit(ops.F32_DEMOTE_F64, [value])
        return value

    def _unbox_vector(self, thing: Value, failed: Block) -> Value:
        """Read the 16 bytes of a bytes object; go to `failed` when it is anything else."""
        place = self.emit(ops.FRAME_AREA, [], 16)
        length = self.emit(ops.I64_ADD, [place, self.word(8)])
        status = self.wrap(self.c("PyBytes_AsStringAndSize", [thing, place, length]))
        self.split(status, failed)
        self.split(self.emit(ops.I64_NE, [self.get(length, 0), self.word(16)]), failed)
        return self.load(ops.V128_LOAD, self.get(place, 0), 0)

    def unbox_all(self, types: bytes, things: list[Value], failed: Block) -> list[Value]:
        """Turn Python numbers into values as `unbox` does: small ints and floats without calling anything."""
        if not types or not all(_transparent(type_) for type_ in types):
            return [self.unbox(type_, thing, failed) for type_, thing in zip(types, things, strict=True)]
        called = self.new()
        done = self.new()
        self.jump(done, [self._peek(type_, thing, called) for type_, thing in zip(types, things, strict=True)])
        self.at(called)
        self.jump(done, [self.unbox(type_, thing, failed) for type_, thing in zip(types, things, strict=True)])
        self.at(done)
        return [self.func.new_param(done, type_) for type_ in types]

    def _peek(self, type_: int, thing: Value, otherwise: Block) -> Value:
        """Read the value of a small int or a float; go to `otherwise` when it is anything else."""
        exact = self.symbol("object.float" if type_ in (F32, F64) else "object.int")
        self.split(self.emit(ops.I64_NE, [self.get(thing, interpreter.OB_TYPE), exact]), otherwise)
        if type_ in (F32, F64):
            number = self.load(ops.F64_LOAD, thing, interpreter.FLOAT_VALUE)
            return number if type_ == F64 else self.emit(ops.F32_DEMOTE_F64, [number])
        value = self._digits(thing, otherwise, two=type_ == I64)
        return self.wrap(value) if type_ == I32 else value

    def _digits(self, thing: Value, otherwise: Block, two: bool) -> Value:
        """Read an int of one digit, or of up to two; go to `otherwise` when it has more."""
        size = self.get(thing, interpreter.INT_SIZE)
        digit = self.load(ops.I64_LOAD32_U, thing, interpreter.INT_DIGIT)
        if not two:
            self.split(self._longer(size, 1), otherwise)
            return self.emit(ops.I64_MUL, [digit, self._sign(size)])
        one, more, done = self.new(), self.new(), self.new()
        self.brif(self._longer(size, 1), more, one)
        self.at(one)
        self.jump(done, [self.emit(ops.I64_MUL, [digit, self._sign(size)])])
        self.at(more)
        self.split(self._longer(size, 2), otherwise)
        high = self.load(ops.I64_LOAD32_U, thing, interpreter.INT_DIGIT + 4)
        both = self.emit(ops.I64_OR, [digit, self.emit(ops.I64_SHL, [high, self.word(30)])])
        sign = self._sign(size)
        if interpreter.INTS == interpreter.INT_SIGNED:
            sign = self.emit(ops.I64_OR, [self.emit(ops.I64_SHR_S, [size, self.word(63)]), self.word(1)])
        self.jump(done, [self.emit(ops.I64_MUL, [both, sign])])
        self.at(done)
        return self.func.new_param(done, I64)

    def _longer(self, size: Value, digits: int) -> Value:
        """The condition that an int has more digits than so many."""
        if interpreter.INTS == interpreter.INT_SIGNED:
            return self.emit(ops.I64_GT_U, [self.emit(ops.I64_ADD, [size, self.word(digits)]), self.word(2 * digits)])
        return self.emit(ops.I64_GE_U, [size, self.word((digits + 1) << 3)])

    def _sign(self, size: Value) -> Value:
        """The sign of an int of at most one digit; anything for 0."""
        if interpreter.INTS == interpreter.INT_SIGNED:
            return size
        return self.emit(ops.I64_SUB, [self.word(1), self.emit(ops.I64_AND, [size, self.word(3)])])

    def forgive(self, failed: Block) -> None:
        """After `unbox`: clear the exception for an object that does not fit; with any other exception set, go to `failed`."""
        clear = self.new()
        self.unless_zero(self.c("PyErr_Occurred", []), clear)
        matches = self.wrap(self.c("PyErr_ExceptionMatches", [self.symbol("object.MISMATCH")]))
        self.split(self.emit(ops.I32_EQZ, [matches]), failed)
        self.jump(clear)
        self.at(clear)
        self.c("PyErr_Clear", [], ops.VOID)

    def tuple_items(self, thing: Value, count: int, otherwise: Block) -> list[Value]:
        """The items of a tuple of so many (borrowed references); go to `otherwise` when it is none."""
        self.split(self.emit(ops.I64_NE, [self.get(thing, interpreter.OB_TYPE), self.symbol("object.tuple")]), otherwise)
        size = self.get(thing, interpreter.TUPLE_SIZE) if interpreter.TUPLE_ITEMS else self.c("PyTuple_Size", [thing])
        self.split(self.emit(ops.I64_NE, [size, self.word(count)]), otherwise)
        if interpreter.TUPLE_ITEMS:
            return [self.get(thing, interpreter.TUPLE_ITEMS + 8 * i) for i in range(count)]
        return [self.c("PyTuple_GetItem", [thing, self.word(i)]) for i in range(count)]

    def fill_tuple(self, full: Value, index: int, thing: Value) -> None:
        """Put an item into a new tuple, which takes over the reference."""
        if interpreter.TUPLE_ITEMS:
            self.put(thing, full, interpreter.TUPLE_ITEMS + 8 * index)
        else:
            self.c("PyTuple_SetItem", [full, self.word(index), thing])

    def box(self, value: Value) -> Value:
        """Turn a number or a vector into a Python object: a new reference, or 0."""
        if value.type == V128:
            place = self.emit(ops.FRAME_AREA, [], 16)
            self.store(ops.V128_STORE, value, place, 0)
            return self.c("PyBytes_FromStringAndSize", [place, self.word(16)])
        if value.type == F64:
            return self.c("PyFloat_FromDouble", [value])
        if value.type == F32:
            return self.c("PyFloat_FromDouble", [self.emit(ops.F64_PROMOTE_F32, [value])])
        if value.type == I32:
            value = self.emit(ops.I64_EXTEND_I32_S, [value])
        return self.c("PyLong_FromLongLong", [value])

    def box_often(self, value: Value) -> Value:
        """Do the same in more code, which is faster for small ints."""
        if value.type not in (I32, I64) or not interpreter.SINGLE_INTS:
            return self.box(value)
        if value.type == I32:
            value = self.emit(ops.I64_EXTEND_I32_S, [value])
        first, last = interpreter.SINGLETONS
        large, done = self.new(), self.new()
        index = self.emit(ops.I64_SUB, [value, self.word(first)])
        self.split(self.emit(ops.I64_GT_U, [index, self.word(last - first)]), large)
        place = self.emit(ops.I64_MUL, [index, self.word(interpreter.INT_STRIDE)])
        self.jump(done, [self._single(self.emit(ops.I64_ADD, [place, self.symbol("object.SMALL_INTS")]))])
        self.at(large)
        self.jump(done, [self.c("PyLong_FromLongLong", [value])])
        self.at(done)
        return self.func.new_param(done, I64)

    def box_kind(self, kind: int, value: Value) -> Value:
        """Turn a value of a kind, which is no object of the heap, into a Python object: a new reference, or 0."""
        if kind != REF:
            return self.box(value)
        other, null, number, boxed = self.new(), self.new(), self.new(), self.new()
        self.unless_host(value, other)
        found = self.get(self.cell_of(value), 0)
        # Finalizers may call what the collector has half cleared: an object that is gone is None.
        thing = self.emit(ops.SELECT, [found, self.symbol("object.None"), self.emit(ops.I64_NE, [found, self.word(0)])], 0, I64)
        self.incref(thing)
        self.jump(boxed, [thing])
        self.at(other)
        self.brif(self.equals(value, 0), null, number)
        self.at(null)
        self.jump(boxed, [self.none()])
        self.at(number)
        signed = self.emit(ops.I32_SHR_S, [self.wrap(value), self.const(I32, 1)])
        self.jump(boxed, [self.c("PyLong_FromLongLong", [self.emit(ops.I64_EXTEND_I32_S, [signed])])])
        self.at(boxed)
        return self.func.new_param(boxed, I64)

    def split_objects(self, kinds: bytes, values: list[Value], then: Block) -> None:
        """Go to `then` when one of the values of kinds is a reference to an object of the heap."""
        for kind, value in zip(kinds, values, strict=True):
            if kind == REF:
                untagged = self.equals(self.emit(ops.I64_AND, [value, self.word(layout.REFERENCE_TAGS)]), 0)
                some = self.emit(ops.I64_NE, [value, self.word(0)])
                self.split(self.emit(ops.I32_AND, [untagged, some]), then)

    def unless_host(self, reference: Value, other: Block) -> None:
        """Go on in a new block when a reference is to an object of the host, else at `other`."""
        tags = self.emit(ops.I64_AND, [reference, self.word(layout.REFERENCE_TAGS)])
        self.when(self.equals(tags, layout.HOST_TAG), other)

    def cell_of(self, reference: Value) -> Value:
        """The cell of a reference to an object of the host."""
        return self.emit(ops.I64_SUB, [reference, self.word(layout.HOST_TAG)])
