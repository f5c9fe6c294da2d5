"""Python code that does to figwasp what it should not: cases for `test_embedding`, each run in a process of its own.

A case asserts what must come of it. Whatever else it does to the process, a crash above all, the test sees.
"""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

import figwasp

WAT: Final = """(module (import "host" "f" (func $f (param i32) (result i32))) (import "host" "r" (func $r (param externref) (result externref)))
  (import "host" "two" (func $two (param i64 f64) (result f64 i64)))
  (memory (export "memory") 1 20) (table $t (export "table") 8 externref) (table $fs (export "funcs") 4 funcref)
  (global (export "kept") (mut externref) (ref.null extern)) (global (export "n") (mut i32) (i32.const 0))
  (func (export "call") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))
  (func (export "ref") (param externref) (result externref) (call $r (local.get 0)))
  (func (export "two") (param i64 f64) (result f64 i64) (call $two (local.get 0) (local.get 1)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "wide") (param i64 f32 f64) (result i64) (local.get 0))
  (func (export "pass") (param externref i32 externref) (result externref i32 externref) (local.get 2) (local.get 1) (local.get 0))
  (func (export "put") (param i32 externref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get $t (local.get 0)))
  (func (export "keep") (param externref) (global.set 0 (local.get 0)))
  (func (export "func") (param funcref) (result funcref) (local.get 0))
  (func (export "indirect") (param i32 i32) (result i32) (call_indirect $fs (param i32) (result i32) (local.get 1) (local.get 0)))
  (func (export "trap") (param externref) (unreachable))
  (func $deep (export "deep") (call $deep))
  (func (export "loop") (loop $l (drop (call $f (i32.const 1))) (br $l)))
  (func (export "endless") (loop $l (br $l)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1))))"""

MODULE: Final = figwasp.Module(figwasp.wat(WAT))
CASES: Final[dict[str, Callable[[], None]]] = {}


def case(function: Callable[[], None]) -> Callable[[], None]:
    """Make a function a case."""
    CASES[function.__name__] = function
    return function


def load(f: Any = lambda x: x, r: Any = lambda x: x, two: Any = lambda a, b: (b, a), module: Any = MODULE) -> Any:
    """Instantiate the module of the cases."""
    return figwasp.load(module, {"host": {"f": f, "r": r, "two": two}})


def sound(inst: Any) -> None:
    """Assert that an instance works as ever."""
    thing = object()
    assert inst.add(2, 3) == 5 and inst.exports["pass"](thing, 7, None) == (None, 7, thing)
    inst.put(3, thing)
    assert inst.get(3) is thing
    inst.put(3, None)
    raises(figwasp.Trap, inst.trap, thing)
    raises(figwasp.Exhaustion, inst.deep)
    gc.collect()
    assert sys.getrefcount(thing) == 2, sys.getrefcount(thing)


def raises(kinds: Any, function: Callable[..., object], *args: object, **names: object) -> BaseException:
    """Assert that a call raises; return what."""
    try:
        result = function(*args, **names)
    except kinds as error:
        found: BaseException = error
        return found
    raise AssertionError(f"{function} returned {result!r} instead of raising {kinds}")


class Oops(Exception):
    """What hooks raise."""


# Reentrancy


@case
def reentrancy_to_the_bottom_of_the_stack() -> None:
    """Python and wasm call each other in one instance until no stack is left: RecursionError or Exhaustion, and all is well after."""
    depth = 0

    def f(x: int) -> int:
        nonlocal depth
        depth += 1
        result: int = inst.call(x + 1)
        return result

    inst = load(f)
    for limit in (500, 20_000, 200_000):
        sys.setrecursionlimit(limit)
        raises((RecursionError, figwasp.Exhaustion), inst.call, 1)
    assert depth > 400
    sys.setrecursionlimit(1000)
    sound(load())
    raises((RecursionError, figwasp.Exhaustion), inst.call, 1)


@case
def reentrancy_in_every_conversion() -> None:
    """Objects whose conversion calls the very instance that they are given to."""

    class Number:
        def __index__(self) -> int:
            assert inst.call(3) == 4
            raises(figwasp.Trap, inst.trap, self)
            raises(figwasp.Exhaustion, inst.deep)
            return 7

        def __float__(self) -> float:
            return float(self.__index__())

    inst = load(f=lambda x: x, two=lambda a, b: (Number(), Number()))
    assert inst.add(Number(), Number()) == 14 and inst.wide(Number(), Number(), Number()) == 7
    assert inst.two(1, 2.0) == (7.0, 7)
    assert inst.exports["pass"](inst, Number(), Number)[1] == 7
    inst = load(f=lambda x: Number() if x == 1 else x)
    assert inst.call(1) == 8


@case
def reentrancy_through_finalizers() -> None:
    """Objects that wasm lets go call the instance as they die, and put others where they were."""
    died = []

    class Thing:
        def __init__(self, level: int) -> None:
            self.level = level

        def __del__(self) -> None:
            died.append(self.level)
            if self.level and len(died) < 500:
                inst.put(2, Thing(self.level - 1))
                inst.ref(Thing(0))
                assert inst.add(1, 1) == 2

    inst = load()
    for level in range(10):
        inst.put(2, Thing(level))
        inst.keep(Thing(level))
        inst.ref(Thing(level))
        inst.exports["pass"](Thing(level), 1, Thing(level))
        raises(figwasp.Trap, inst.trap, Thing(level))
    inst.put(2, None)
    inst.keep(None)
    assert len(died) > 50
    sound(inst)


@case
def reentrancy_between_two_instances() -> None:
    """Two linked instances call each other through Python and through a table, to the bottom."""
    both: list[Any] = []
    first, second = load(f=lambda x: both[1].indirect(0, x + 1)), load(f=lambda x: both[0].indirect(0, x + 1))
    both += [first, second]
    first.funcs[0] = second.exports.call
    second.funcs[0] = first.exports.call
    raises((RecursionError, figwasp.Exhaustion), first.call, 0)
    raises((RecursionError, figwasp.Exhaustion), second.indirect, 0, 1)
    assert first.add(1, 2) == second.add(2, 1) == 3


# Closing while something goes on


@case
def closing_in_every_hook() -> None:
    """An instance that is closed in a host function, a conversion, a finalizer, by a buffer, by a trace function."""

    def close_in_host(x: int) -> int:
        insts[0].close()
        return x

    class Closing:
        def __index__(self) -> int:
            insts[0].close()
            return 1

        def __float__(self) -> float:
            return float(self.__index__())

        def __del__(self) -> None:
            insts[0].close()

    def fresh(**names: Any) -> Any:
        insts[:] = [load(**names)]
        return insts[0]

    insts: list[Any] = []
    assert fresh(f=close_in_host).call(4) == 5
    raises(figwasp.Closed, lambda: insts[0].add(1, 2))
    for name, args in (("add", (Closing(), 1)), ("add", (1, Closing())), ("wide", (Closing(), Closing(), Closing()))):
        inst = fresh()
        call = inst.exports[name]
        try:
            call(*args)
        except figwasp.Closed:
            pass
        raises(figwasp.Closed, call, *[1] * len(args))
    assert fresh(f=lambda x: Closing()).call(4) == 2
    inst = fresh()
    inst.ref(Closing())
    gc.collect()
    assert inst.closed
    inst = fresh()
    call, passing = inst.exports.call, inst.exports["pass"]
    assert passing(Closing(), 2, None)[1] == 2
    raises(figwasp.Closed, call, 1)
    inst = fresh()
    memory = inst.memory
    view = memoryview(memory)
    inst.close()
    view[3] = 9
    assert memory[3] == 9 and memory.grow(1) == 1 and memory.read(3, 1) == b"\x09"
    inst = fresh()
    call = inst.exports.call
    sys.setprofile(lambda frame, event, arg: insts[0].close() if event == "call" and frame.f_code.co_name == "<lambda>" else None)
    try:
        assert call(4) == 5
    finally:
        sys.setprofile(None)
    raises(figwasp.Closed, call, 4)


@case
def closing_and_dropping_what_runs() -> None:
    """The last reference to an instance goes while it runs: the call ends well, and the instance goes then."""
    gone: list[Any] = []

    def f(x: int) -> int:
        insts.clear()
        gc.collect()
        return x

    inst = load(f)
    inst.memory[5] = 6
    weakref.finalize(inst.state, gone.append, 1)
    insts = [inst]
    call = [inst.exports.call]
    del inst
    assert call.pop()(4) == 5
    gc.collect()
    assert gone == [1]


@case
def closing_in_another_thread() -> None:
    """Another thread closes an instance that is inside an endless call, and the call is interrupted; nothing crashes."""
    inst = load()
    endless = inst.exports.endless
    threading.Timer(0.2, inst.close).start()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    raises(KeyboardInterrupt, endless)
    raises(figwasp.Closed, endless)


# Exceptions in hooks


@case
def exceptions_of_every_kind_in_host_functions() -> None:
    """Whatever a host function raises arrives as it is, with its cause, through nested calls; wrong results are TypeErrors."""

    class Odd(BaseException):
        def __init__(self) -> None:
            raise Oops

        def __str__(self) -> str:
            raise Oops

    kinds: list[Any] = [Oops, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, MemoryError, RecursionError, figwasp.Trap]
    for kind in list(kinds):

        def f(caller: figwasp.Caller, x: int) -> int:
            if x > 2:
                raise kinds[0]("x")
            result: int = caller.exports.call(x + 1)
            return result

        kinds[:] = [kind, *[other for other in kinds if other is not kind]]
        inst = load(f)
        error = raises(kind, inst.call, 0)
        assert type(error) is kind
        assert inst.add(1, 2) == 3

    def odd(x: int) -> int:
        raise Odd

    inst = load(odd)
    raises(Oops, inst.call, 1)
    results: list[Any] = [None, "1", 1.5, 1 << 32, -(1 << 31) - 1, [], object(), (1,), float("nan"), b"1", 1j]
    for result in results:
        raises((TypeError, OverflowError), load(lambda x, result=result: result).call, 1)
    for result in (None, 1, (1.0,), (1.0, 1, 1), (1.0, "x"), ("x", 1), [1], {}, "ab", b"ab", (1.0, 1 << 64), (None, None)):
        raises((TypeError, OverflowError), load(two=lambda a, b, result=result: result).two, 1, 2.0)
    assert load(two=lambda a, b: [b, True]).two(1, 2.0) == (2.0, 1)


@case
def exceptions_in_conversions() -> None:
    """Conversions that raise, of arguments and of results, lose nothing and keep nothing."""

    class Bad:
        def __index__(self) -> int:
            raise Oops

        def __float__(self) -> float:
            raise Oops

    class Liar:
        def __index__(self) -> Any:
            return sys.argv

        __float__ = __index__

    thing = [object()]
    inst = load(f=lambda x: Bad(), two=lambda a, b: (Liar(), Bad()))
    for value, kinds in ((Bad(), Oops), (Liar(), TypeError)):
        for _ in range(300):
            raises(kinds, inst.add, 1, value)
            raises(kinds, inst.wide, 1, value, 2)
            raises(kinds, inst.exports["pass"], thing, value, thing)
    raises(Oops, inst.call, 1)
    raises((Oops, TypeError), inst.two, 1, 2.0)
    gc.collect()
    assert sys.getrefcount(thing) == 2
    inst = load()
    sound(inst)


@case
def exceptions_in_collector_callbacks_and_finalizers() -> None:
    """Callbacks of the collector, weak references and finalizers that raise are reported, and do no harm."""
    reported = []
    sys.unraisablehook = lambda info: reported.append(info.exc_type)

    def callback(phase: str, info: object) -> None:
        raise Oops

    class Thing:
        def __del__(self) -> None:
            raise Oops

    def weak(reference: object) -> None:
        raise Oops

    inst = load()
    gc.callbacks.insert(0, callback)
    for _ in range(50):
        thing = Thing()
        watch = weakref.ref(thing, weak)
        cycle: list[Any] = [load(r=lambda x: x), thing]
        cycle.append(cycle)
        cycle[0].keep(cycle)
        inst.put(1, thing)
        inst.exports["pass"](Thing(), 1, thing)
        raises(figwasp.Trap, inst.trap, Thing())
        del thing, cycle
        gc.collect()
        assert watch() is not None
        inst.put(1, None)
    gc.callbacks.remove(callback)
    inst.put(1, None)
    gc.collect()
    assert set(reported) == {Oops} and len(reported) > 200
    sound(inst)


@case
def exceptions_in_trace_functions() -> None:
    """Trace and profile functions that raise inside host calls end the call; the instance stays sound."""

    def f(x: int) -> int:
        return x

    inst = load(f)

    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code is f.__code__:
            raise Oops
        return None

    for install in (sys.settrace, sys.setprofile):
        install(trace)
        try:
            raises(Oops, inst.call, 1)
        finally:
            install(None)
        sound(inst)


@case
def exceptions_in_signal_handlers() -> None:
    """Signal handlers that raise end the call that they interrupt, in wasm and in host functions, again and again."""

    def handler(number: int, frame: object) -> None:
        raise Oops

    signal.signal(signal.SIGALRM, handler)
    inst = load()
    for name in ("endless", "loop") * 4:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        raises(Oops, inst.exports[name])
        sound(inst)


@case
def exceptions_in_imports() -> None:
    """Namespaces that raise, lie or change, and callables that cannot be called, are errors of their own or of linking."""

    class Raising:
        def __getattr__(self, name: str) -> Any:
            raise Oops

    class Lying(dict[str, Any]):
        def __contains__(self, name: object) -> bool:
            return True

        def __getitem__(self, name: str) -> Any:
            raise Oops

    class Uncallable:
        __call__ = 5

    class Signed:
        """Callable, with a signature that raises."""

        @property
        def __signature__(self) -> Any:
            raise Oops

        def __call__(self, *args: Any) -> Any:
            return args[0]

    raises((Oops, figwasp.Unlinkable), figwasp.load, MODULE, {"host": Raising()})
    raises((Oops, figwasp.Unlinkable), figwasp.load, MODULE, {"host": Lying()})
    raises((Oops, figwasp.Unlinkable), figwasp.load, MODULE, Lying())
    wrong: Any
    for wrong in (None, 5, "host", [], {"f": 5}, {"f": None}):
        raises((figwasp.Unlinkable, TypeError), figwasp.load, MODULE, {"host": wrong})
    raises((figwasp.Unlinkable, TypeError), lambda: load(Uncallable()).call(1))
    for wrong in (lambda: 1, lambda a, b: 1):
        raises((figwasp.Unlinkable, TypeError), lambda wrong=wrong: load(wrong).call(1))
    try:
        assert load(Signed()).call(1) == 2
    except Oops:
        pass
    sound(load())


@case
def exceptions_in_listeners_and_fuel() -> None:
    """Listeners and fuel callbacks that raise, close, recurse and drop the instance."""
    text = figwasp.wat("""(module (import "host" "f" (func $f (param i32) (result i32)))
      (func $work (export "work") (param i32) (result i32) (local i32)
        (loop $l (local.set 1 (i32.add (local.get 1) (i32.const 1))) (br_if $l (i32.lt_u (local.get 1) (local.get 0)))) (local.get 1))
      (func (export "both") (param i32) (result i32) (call $f (call $work (local.get 0)))))""")
    boxes: list[Any] = []

    class Listener:
        def __init__(self, do: Callable[[], object]) -> None:
            self.do = do

        def answer(self, info: figwasp.FuncInfo) -> object:
            return self

        def before(self, *args: object) -> None:
            self.do()

        after = abort = before

    def bad() -> None:
        raise Oops

    def closing() -> None:
        if boxes:
            boxes.pop().close()

    def recursing() -> None:
        if len(boxes) == 1:
            boxes.append(1)
            try:
                boxes[0].both(3)
            finally:
                boxes.pop()

    for do, expected in ((bad, Oops), (closing, None), (recursing, None), (boxes.clear, None), (gc.collect, None)):
        listener = Listener(do)
        engine = figwasp.Engine(listener=listener.answer)
        boxes[:] = [figwasp.load(text, {"host": {"f": lambda x: x}}, engine=engine)]
        call = boxes[0].exports.both
        if expected:
            raises(expected, call, 5)
        else:
            try:
                assert call(5) == 5
            except figwasp.Closed:
                assert do is closing
    engine = figwasp.Engine(fuel=True)
    for do in (bad, closing, recursing, boxes.clear):
        inst = figwasp.load(text, {"host": {"f": lambda x: x}}, engine=engine)
        boxes[:] = [inst]
        inst.fuel = 3
        inst.on_out_of_fuel = do
        raises((Oops, figwasp.OutOfFuel), inst.exports.both, 1000)
        boxes.clear()
        if do is not closing:
            inst.on_out_of_fuel = lambda: 100_000
            assert inst.both(50) == 50


@case
def buffers_of_every_kind() -> None:
    """Memory reads and writes with odd offsets, sizes, slices and buffers; some of them change or close what they go to."""
    inst = load()
    memory = inst.memory
    size = len(memory)

    class Growing:
        def __index__(self) -> int:
            inst.grow()
            memory.grow(1)
            return 10

    view = memoryview(memory)
    for key in (size, -size - 1, 1 << 70, -(1 << 70), "x", None, 1.5):
        raises((IndexError, TypeError), lambda key=key: memory[key])
    assert memory[Growing()] == 0 and memory[Growing() : 20 : 1] == bytes(10)
    memory[Growing()] = Growing()
    assert memory[10] == 10 and len(view) == size < len(memory)
    for offset, count in ((-1, 1), (0, -1), (len(memory), 1), (1 << 63, 1), (1, 1 << 63), (1 << 70, 1), (0, len(memory) + 1)):
        raises((IndexError, OverflowError, ValueError, MemoryError), memory.read, offset, count)
    for offset in (-1, len(memory), 1 << 63, 1 << 64, -(1 << 64)):
        raises((IndexError, OverflowError, ValueError), memory.write, offset, b"x")
        raises((IndexError, OverflowError, ValueError), memory.read_u32, offset)
        raises((IndexError, OverflowError, ValueError), memory.write_f64, offset, 1.0)
    for value in ("text", 5, None, object(), ["a"]):
        raises(TypeError, memory.write, 0, value)
    memory.write(0, memoryview(bytes(range(100)))[::3])
    assert memory.read(0, 3) == bytes([0, 3, 6])
    memory.write(5, memoryview(memory)[0:3])
    assert memory.read(5, 3) == bytes([0, 3, 6])
    memory.write(1, memoryview(memory)[0:50000])
    raises((ValueError, TypeError), memory.__setitem__, slice(0, 4), b"five!")
    view.release()
    raises(ValueError, view.__getitem__, 0)
    raises((TypeError, AttributeError), lambda: memory.__delitem__(0))
    raises((ValueError, TypeError, struct_error()), memory.write_u8, 0, 256)
    bytearray_ = bytearray(memory)
    assert len(bytearray_) == len(memory) and bytes(memory)[:3] == memory.read(0, 3)


def struct_error() -> type[Exception]:
    """Give the error of the struct module."""
    import struct

    return struct.error


# Lifetimes


@case
def cycles_are_collected() -> None:
    """Instances in cycles through tables, globals, host functions, callers, listeners, closures and exceptions are collected."""
    gone: list[Any] = []

    class Thing:
        pass

    def watch(inst: Any, name: str) -> None:
        weakref.finalize(inst.state, gone.append, name)

    def through_table() -> None:
        inst = load()
        inst.put(1, [inst])
        watch(inst, "table")

    def through_global() -> None:
        inst = load()
        inst.kept.value = [inst.exports.add]
        watch(inst, "global")

    def through_closure() -> None:
        box: list[Any] = []
        inst = load(f=lambda x: box[0].add(x, 1))
        box.append(inst)
        assert inst.call(1) == 3
        watch(inst, "closure")

    def through_memory() -> None:
        inst = load()
        inst.put(1, memoryview(inst.memory))
        watch(inst, "memory")

    def through_exception() -> None:
        inst = load(f=lambda x: 1 // 0)
        error = raises(ZeroDivisionError, inst.call, 1)
        inst.put(1, error)
        watch(inst, "exception")

    def through_each_other() -> None:
        one, two = load(), load()
        one.put(0, two)
        two.put(0, one)
        one.funcs[0] = two.exports.call
        two.funcs[0] = one.exports.call
        watch(one, "one")
        watch(two, "two")

    def through_caller() -> None:
        kept: list[Any] = []

        def f(caller: figwasp.Caller, x: int) -> int:
            kept.append(caller)
            kept.append(caller.exports.add)
            return x

        inst = load(f=f)
        inst.call(1)
        watch(inst, "caller")

    def through_trap() -> None:
        inst = load()
        box: list[Any] = [inst]
        box.append(raises(figwasp.Trap, inst.trap, box))
        watch(inst, "trap")

    makers = [through_table, through_global, through_closure, through_memory, through_exception, through_each_other, through_caller, through_trap]
    for maker in makers:
        maker()
    gc.collect()
    gc.collect()
    assert sorted(gone) == sorted(["table", "global", "closure", "memory", "exception", "one", "two", "caller", "trap"]), gone


@case
def parts_outlive_their_instance() -> None:
    """Functions, memories, tables, globals, views and iterators go on working when the instance has been dropped."""
    inst = load()
    call, add, memory, table, number, funcs = inst.exports.call, inst.exports.add, inst.memory, inst.table, inst.n, inst.funcs
    funcs[1] = call
    view, names, everything = memoryview(memory), iter(inst.exports), inst.exports
    del inst
    gc.collect()
    assert call(4) == 5 and add(1, 2) == 3 and funcs[1](5) == 6
    view[0] = 7
    assert memory[0] == 7 and memory.grow(1) == 1
    table[1] = "x"
    number.value = 5
    assert table[1] == "x" and number.value == 5 and "add" in list(names) and everything.add(2, 2) == 4
    del call, add, memory, table, number, everything, names
    gc.collect()
    function = funcs[1]
    del funcs
    gc.collect()
    assert function(6) == 7 and view[0] == 7


@case
def exceptions_keep_what_they_need() -> None:
    """Tracebacks and traps that are kept, looked at and raised again long after their instance has gone."""
    errors = []
    for _ in range(30):
        inst = load(f=lambda x: [x][x])
        errors += [raises(IndexError, inst.call, 1), raises(figwasp.Trap, inst.trap, inst), raises(figwasp.Exhaustion, inst.deep)]
    del inst
    gc.collect()
    load()
    import traceback

    for error in errors:
        text = "".join(traceback.format_exception(error))
        assert type(error).__name__ in text
        frame = error.__traceback__
        while frame is not None:
            repr(frame.tb_frame.f_locals)
            frame = frame.tb_next
        raises(type(error), throw, error)
    errors.clear()
    gc.collect()


def harmless(error: Exception) -> None:
    """Raise an exception again that only an extension with errors causes; any other is fine."""
    if isinstance(error, SystemError):
        raise error


def throw(error: BaseException) -> None:
    """Raise."""
    raise error


# What is no ordinary object


def things(inst: Any) -> Iterator[Any]:
    """Give one object of every kind that refers to native memory."""
    yield from (inst, inst.exports, inst.exports.add, inst.memory, inst.table, inst.n, inst.acall, inst.acall["add"])
    yield inst.owner
    yield inst.state


@case
def copies_and_pickles() -> None:
    """What cannot be copied or pickled says so; what can gives something that works; nothing is shared by accident."""
    inst = load()
    makers: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))]
    for thing in things(inst):
        for make in makers:
            try:
                made = make(thing)
            except (TypeError, AttributeError, pickle.PicklingError, ValueError, figwasp.Error, RecursionError, KeyError):
                continue
            repr(made)
            del made
            gc.collect()
        for protocol in range(6):
            try:
                thing.__reduce_ex__(protocol)
            except Exception as error:
                harmless(error)
    gc.collect()
    sound(inst)
    again = pickle.loads(pickle.dumps(MODULE))
    assert load(module=again).add(1, 2) == 3


@case
def objects_made_the_wrong_way() -> None:
    """`__new__`, `__init__`, subclasses, `__class__` and attributes do not get at native fields that are not there."""
    inst = load()
    for thing in things(inst):
        kind: Any = type(thing)
        for make in (kind, lambda kind=kind: kind.__new__(kind), lambda kind=kind: object.__new__(kind), lambda kind=kind: type("Sub", (kind,), {})()):
            poke(make)
        for base in kind.__mro__[:-1]:
            for make in (lambda base=base: object.__new__(base), lambda base=base: object.__new__(type("Sub", (base,), {}))):
                poke(make)
        for name, value in (("__class__", int), ("__class__", list), ("__dict__", {}), ("anything", 1), ("owner", None), ("_record", None)):
            try:
                setattr(thing, name, value)
            except (TypeError, AttributeError):
                continue
        for name in ("__dict__", "owner", "state", "exports", "core"):
            if isinstance(thing, (figwasp.Func, figwasp.Memory)):
                try:
                    delattr(thing, name)
                except (TypeError, AttributeError):
                    continue
    sound(load())


def poke(make: Callable[[], Any]) -> None:
    """Make an object that should not be and use whatever it has; it may raise what it likes."""
    try:
        thing = make()
    except Exception as error:
        harmless(error)
        return
    for name in dir(type(thing)):
        if name in ("__class__", "__del__", "close", "__init_subclass__", "__subclasshook__", "__new__"):
            continue
        try:
            value = getattr(thing, name)
            if callable(value):
                for args in ((), (1,), (1, 2), (thing,)):
                    try:
                        dispose(value(*args))
                    except Exception as error:
                        harmless(error)
        except Exception as error:
            harmless(error)
    for use in (repr, str, hash, len, iter, bytes, memoryview, list, bool, lambda x: x[0], lambda x: x(), lambda x: x(1, 2), lambda x: x == x):
        try:
            dispose(use(thing))
        except Exception as error:
            harmless(error)


def dispose(result: object) -> None:
    """Close a coroutine that nobody is going to await."""
    if hasattr(result, "cr_await"):
        result.close()  # type: ignore[attr-defined]


@case
def methods_of_other_objects() -> None:
    """Methods and properties called with an object of another kind are TypeErrors, not reads of whatever is there."""
    inst = load()
    strangers: list[Any] = [None, 5, object(), [], inst, inst.exports.add, inst.memory, type(inst.memory), "text" * 50]
    for thing in things(inst):
        for name in dir(type(thing)):
            attribute = getattr(type(thing), name, None)
            if name.startswith("__") and name not in ("__len__", "__getitem__", "__repr__", "__eq__", "__hash__", "__call__", "__iter__"):
                continue
            if name == "close":
                continue
            for stranger in strangers:
                if isinstance(stranger, type(thing)):
                    continue
                for function in (getattr(attribute, "fget", None), attribute):
                    if callable(function):
                        for args in ((), (1,), (1, 2)):
                            try:
                                dispose(function(stranger, *args))
                            except Exception as error:
                                harmless(error)
    sound(inst)


@case
def calls_in_every_way() -> None:
    """Functions called with too many, too few and named arguments, with stars, partials, maps and descriptors."""
    import functools
    import operator

    inst = load()
    add = inst.exports.add
    for args in ((), (1,), (1, 2, 3), tuple(range(300))):
        raises(TypeError, add, *args)
    for names in ({"a": 1}, {"timeout": "x"}, {"timeout": None, "b": 1}, {f"n{k}": k for k in range(300)}):
        raises(TypeError, add, 1, 2, **names)
    assert add(*[1, 2]) == 3 and add(*iter([1, 2]), **dict[str, Any]()) == 3 and functools.partial(add, 1)(2) == 3
    assert list(map(add, [1, 2], [3, 4])) == [4, 6] and functools.reduce(add, range(10)) == 45
    assert operator.call(add, 1, 2) == 3 and add.__call__(1, 2) == 3 and type(add).__call__(add, 1, 2) == 3

    class Holder:
        method = add
        static = staticmethod(add)

    assert Holder.method(1, 2) == 3 and Holder().static(1, 2) == 3
    assert Holder().method(1, 2) == 3  # no method of the object: a function that binds nothing, like built-ins
    raises(TypeError, type(add).__call__, 5, 1, 2)
    raises(TypeError, type(add).__call__)
    sound(inst)


@case
def interpreter_shutdown_in_the_middle() -> None:
    """The process ends with an instance in a cycle, a suspended coroutine, live views and a call that has not returned."""
    import asyncio

    async def slow(x: int) -> int:
        await asyncio.sleep(1000)
        return x

    async def start() -> None:
        task = asyncio.ensure_future(inst.acall.call(1))
        await asyncio.sleep(0.01)
        assert not task.done() and inst.add(1, 2) == 3

    inst = load(f=slow)
    asyncio.run(start())
    suspended = inst.acall.call(1)
    keep: list[Any] = [inst, memoryview(inst.memory), suspended]
    keep.append(keep)
    suspended.close()
    sys.modules["kept"] = keep  # type: ignore[assignment]
    other = load(f=lambda x: sys.exit(0))
    other.call(1)
