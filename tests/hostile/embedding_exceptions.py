"""Cases of `embedding`: exceptions in host functions, conversions, collector callbacks, trace functions, signal handlers, imports, listeners."""

from __future__ import annotations

import gc
import signal
import sys
import weakref
from collections.abc import Callable
from typing import Any

import figwasp
from tests.hostile.embedding_guest import MODULE, Oops, case, load, raises, sound

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
    before = sys.getrefcount(thing)
    inst = load(f=lambda x: Bad(), two=lambda a, b: (Liar(), Bad()))
    for value, kinds in ((Bad(), Oops), (Liar(), TypeError)):
        for _ in range(300):
            raises(kinds, inst.add, 1, value)
            raises(kinds, inst.wide, 1, value, 2)
            raises(kinds, inst.exports["pass"], thing, value, thing)
    raises(Oops, inst.call, 1)
    raises((Oops, TypeError), inst.two, 1, 2.0)
    gc.collect()
    assert sys.getrefcount(thing) == before
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
    sound(inst)  # with all that is imported for that: Python warns of a file left open where it is interrupted in an import
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
