"""What the threads of `soak.py` do: each operation is right, or ends with one of the errors that the table names for it."""

from __future__ import annotations

import _thread
import asyncio
import gc
import io
import pickle
import sys
import threading
import time
import types
from collections.abc import Coroutine, Generator
from typing import Any

from soak_world import BINARY, FRESH, HELLO, PAGE, HostError, Operation, Token, Worker, host, load, same

import figwasp
from figwasp import Busy, Closed, Interrupted, LimitExceeded
from figwasp.wasi import WASI, MemoryDirectory

PROGRAM = figwasp.wat(HELLO)
FAILING = {
    b"\0asm\1\0\0\0\1\6\1": figwasp.Malformed,
    figwasp.wat("(module (func (result i32)))"): figwasp.Invalid,
    figwasp.wat('(module (import "a" "b" (func)))'): figwasp.Unlinkable,
    figwasp.wat('(module (table 5 externref) (memory 1) (data (i32.const 65536) "x"))'): figwasp.Trap,
    figwasp.wat("(module (func $f unreachable) (table 3 funcref) (elem (i32.const 0) $f $f $f) (start $f))"): figwasp.Trap,
    figwasp.wat("(module (memory 100))"): LimitExceeded,
}
TRAPS = (("trap", (1,), "integer divide by zero"), ("deep", (), "call stack exhausted"), ("call", (200, 1), "undefined element"))


class Watch:
    """A listener's object that sees that calls end as they began."""

    def __init__(self) -> None:
        self.open = 0

    def before(self, func: object, args: object, depth: int) -> None:
        self.open += 1

    def after(self, func: object, results: object, depth: int) -> None:
        self.open -= 1

    def abort(self, func: object, error: object, depth: int) -> None:
        self.open -= 1


def either(w: Worker, inst: Any) -> Any:
    """Give what has a table, a memory and globals: the instance, or when that is shared perhaps what was made in Python."""
    return inst if inst is w.own or w.random.random() < 0.5 else w.world.made


def calls(w: Worker, inst: Any) -> None:
    x = w.random.randrange(1 << 16)
    same(inst.own(x), x + 1)
    same(inst.exports["sum"](x % 999 + 1), (x % 999 + 1) * (x % 999 + 2) // 2)
    same(inst.host(x), x + 3)


def references(w: Worker, inst: Any) -> None:
    thing = w.token()
    same(inst.ref(1, thing), thing)
    try:
        inst.ref(7, thing)
    except HostError:
        return
    raise AssertionError("the host function's exception is lost")


def nested(w: Worker, inst: Any) -> None:
    outer = figwasp.load(w.world.module, {"host": {"f": lambda x, thing: (inst.own(x), thing)[1], "g": lambda x: inst.host(x)}})
    thing = w.token()
    same(outer.ref(3, thing), thing)
    same(outer.host(4), 7 + 4)


def tables(w: Worker, inst: Any) -> None:
    table = either(w, inst).table
    size, place, thing = len(table), w.random.randrange(8), w.token()
    table[place] = thing
    for k in w.random.sample(range(size), 3):
        same(type(table[k]), Token, type(None))
    if w.random.random() < 0.1:
        grown = table.grow(w.random.randrange(20), thing)
        same(grown >= size and len(table) >= grown, True)


def own_tables(w: Worker, inst: Any) -> None:
    thing, place = w.token(), w.random.randrange(8)
    inst.put(place, thing)
    same(inst.get(place), thing)
    inst.fill(0, thing, 8)
    same([inst.table[k] for k in range(8)], [thing] * 8)
    size = inst.grow_table(thing, 3)
    same(size == -1 or inst.get(size + 2) is thing, True)


def functions(w: Worker, inst: Any) -> None:
    inst.init()
    inst.funcs[1] = inst.exports.own
    same((inst.call(0, 3), inst.call(1, 4), inst.funcs[1](5), inst.funcs[1] == inst.exports.own), (4, 5, 6, True))
    own = inst.funcs[0]
    w.keep(lambda: same(own(1), 2))


def memories(w: Worker, inst: Any) -> None:
    memory = either(w, inst).memory
    place, pages = w.random.randrange(100), memory.pages
    memory.write_u64(8 * place, place << 32 | w.random.getrandbits(32))
    same(memory.read_u64(8 * place) >> 32, place, 0)
    view = memoryview(memory)
    same(len(view) % PAGE or view[-1], 0)
    w.keep(lambda: same(view[len(view) - 1], 0))
    if w.random.random() < 0.1:
        same(memory.grow(1) >= pages and memory.pages > pages, True)


def own_memory(w: Worker, inst: Any) -> None:
    value = w.random.getrandbits(62)
    inst.store(4096, value)
    same(inst.load(4096), value)
    same(inst.memory.read_u64(4096), value)
    pages = inst.grow(1)
    same(pages == -1 or inst.load(pages * PAGE + PAGE - 8) == 0, True)


def globals_(w: Worker, inst: Any) -> None:
    thing, holder = w.token(), either(w, inst)
    kept, number = holder.kept, holder.n
    kept.value, number.value = thing, 5 * w.random.randrange(1 << 40)
    same(type(kept.value), Token)
    same(number.value % 5, 0)


def traps(w: Worker, inst: Any) -> None:
    name, args, kind = w.random.choice(TRAPS)
    try:
        inst.exports[name](*args)
    except Interrupted:
        raise
    except figwasp.Trap as trap:
        same(trap.code, kind)
        same(trap.frames[0].module, "guest")
        return
    raise AssertionError("no trap")


def timeouts(w: Worker, inst: Any) -> None:
    try:
        inst.exports.spin(timeout=w.random.uniform(0.001, 0.02))
    except figwasp.Timeout:
        return
    raise AssertionError("no timeout")


def interrupts(w: Worker, inst: Any) -> None:
    fresh = load(w.world.module)
    ends: list[type[BaseException]] = []

    def run() -> None:
        try:
            fresh.exports.spin(timeout=10)
        except figwasp.Trap as trap:
            ends.append(type(trap))

    _thread.start_new_thread(run, ())  # Python's class for threads does not survive alarms
    while not ends:
        fresh.interrupt()
        time.sleep(0.001)
    same(ends, [Interrupted])
    same(fresh.exports.own(1), w.own.exports.own(1))


def fuel(w: Worker, inst: Any) -> None:
    inst = load(w.world.metered_module)
    inst.fuel = 20_000
    try:
        inst.spin()
    except figwasp.OutOfFuel:
        same(inst.fuel, 0)
        inst.fuel = 100
        same(inst.own(1), 2)
        return
    raise AssertionError("no end of fuel")


def loads(w: Worker, inst: Any) -> None:
    w.own = inst = load(w.world.module)
    same(inst.own(1), 2)
    func, table = inst.exports.own, inst.table
    w.keep(lambda: same(func(3), 4))
    w.keep(lambda: same(len(table), 8, *range(500)))


def compiles(w: Worker, inst: Any) -> None:
    number = w.random.randrange(1 << 20)
    params = " ".join(("i32", "i64", "f32", "f64")[number >> 2 * k & 3] for k in range(number % 6))
    adds = f"(local.set 0 (i32.add (local.get 0) (i32.const {number % 9})))" * (number % 50)
    inst = figwasp.load(figwasp.wat(FRESH.format(params=params, number=number, adds=adds)), engine=w.world.engine)
    args = [0] * (number % 6)
    same((inst.f(*args), inst.g(1), inst.table[0](*args)), (number, 1 + number % 9 * (number % 50), number))
    if number % 3:
        table = inst.table
        w.keep(lambda: same(table[1](1), 1 + number % 9 * (number % 50)))


def failures(w: Worker, inst: Any) -> None:
    data, kind = w.random.choice(list(FAILING.items()))
    try:
        figwasp.load(data, engine=w.world.engine)
    except kind:
        return
    raise AssertionError("no error")


def links(w: Worker, inst: Any) -> None:
    provider = load(w.world.module)
    user = figwasp.load(w.world.user, {"m": provider})
    same(user.both(5), 6 + 15)
    if w.random.random() < 0.5:
        del provider
        same(user.both(6), 7 + 18)
        return
    user.close()
    try:
        provider.call(3, 2)
    except Closed:
        return
    raise AssertionError("closed, and can be called through a table")


def shared_links(w: Worker, inst: Any) -> None:
    user = figwasp.load(w.world.user, {"m": inst})
    same(user.both(5), 6 + 15)
    w.keep(lambda: same(user.both(2), 3 + 6))


def linkers(w: Worker, inst: Any) -> None:
    linker = figwasp.Linker(w.world.engine)
    linker.define_namespace("host", {"f": host, "g": lambda x: x + 1})
    linker.define_namespace("m", linker.instantiate(w.world.module))
    same(linker.instantiate(w.world.user).both(7), 8 + 21)


def closes(w: Worker, inst: Any) -> None:
    if inst is w.own:
        inst = load(w.world.module)
    own = inst.exports.own
    inst.close()
    inst.close()
    same(inst.closed, True)
    if inst is w.world.instance:
        w.world.renew(0)
    try:
        own(1)
    except Closed:
        return
    raise AssertionError("closed, and can be called")


def renewals(w: Worker, inst: Any) -> None:
    w.world.renew(w.random.randrange(2))


def uses(w: Worker, inst: Any) -> None:
    for use in w.random.sample(w.things, min(len(w.things), 3)):
        use()


def drops(w: Worker, inst: Any) -> None:
    w.things.clear()


def collections(w: Worker, inst: Any) -> None:
    gc.collect(w.random.randrange(3))
    same(gc.isenabled(), True)


def acalls(w: Worker, inst: Any) -> None:
    @types.coroutine
    def nap() -> Generator[None, None, None]:
        yield

    async def a(x: int) -> int:
        await nap()
        return x + 1

    waiting = figwasp.load(w.world.waits, {"h": {"a": a}})
    if threading.current_thread() is not threading.main_thread() and w.random.random() < 0.5:
        same(asyncio.run(asyncio.wait_for(waiting.acall.run(3), 60)), 10)
    else:  # asyncio does not survive alarms
        same(turns([waiting.acall.run(k) for k in range(3)]), [7, 8, 9])


def turns(calls: list[Coroutine[Any, Any, int]]) -> list[int]:
    """Be an event loop."""
    results = {}
    while len(results) < len(calls):
        for call in [call for call in calls if call not in results]:
            try:
                call.send(None)
            except StopIteration as end:
                results[call] = end.value
    return [results[call] for call in calls]


def programs(w: Worker, inst: Any) -> None:
    if w.random.random() < 0.5:
        same(figwasp.run(PROGRAM, capture_output=True).stdout, b"hello\n")
        return
    out = io.BytesIO()
    with WASI(args=["hello"], dirs={"/": MemoryDirectory({"a": "b"})}, stdin=b"", stdout=out, stderr=out) as wasi:
        figwasp.load(PROGRAM, wasi.imports())._start()
    same(out.getvalue(), b"hello\n")


def listeners(w: Worker, inst: Any) -> None:
    watch = Watch()
    inst = load(figwasp.Module(BINARY, engine=figwasp.Engine(listener=lambda func: watch)))
    same(inst.own(1), 2)
    try:
        inst.trap(1)
    except figwasp.Trap:
        same(watch.open, 0)


def pickles(w: Worker, inst: Any) -> None:
    module = pickle.loads(pickle.dumps(w.world.module))
    same(module, w.world.module)
    same(load(module).own(8), 9)


def switches(w: Worker, inst: Any) -> None:
    sys.setswitchinterval(w.random.choice((1e-6, 1e-6, 1e-4, 5e-3)))


SHARED = (Busy, Closed, Interrupted)  # by closing
OPERATIONS: dict[str, Operation] = {
    "calls": Operation(calls, (), SHARED, 30),
    "references": Operation(references, (), SHARED, 20),
    "nested": Operation(nested, (LimitExceeded,)),
    "tables": Operation(tables, (MemoryError,), SHARED, 20),
    "own tables": Operation(own_tables),
    "functions": Operation(functions),
    "memories": Operation(memories, (MemoryError,), SHARED, 20),
    "own memory": Operation(own_memory),
    "globals": Operation(globals_, (), SHARED, 20),
    "traps": Operation(traps, (), SHARED),
    "timeouts": Operation(timeouts, (), SHARED, 1),
    "interrupts": Operation(interrupts, (LimitExceeded,), weight=1),
    "fuel": Operation(fuel, (LimitExceeded,)),
    "loads": Operation(loads, (LimitExceeded,)),
    "compiles": Operation(compiles, (LimitExceeded,), weight=5),
    "failures": Operation(failures, (LimitExceeded,), weight=5),
    "links": Operation(links, (LimitExceeded,)),
    "shared links": Operation(shared_links, (LimitExceeded,), SHARED),
    "linkers": Operation(linkers, (LimitExceeded,), weight=5),
    "closes": Operation(closes, (LimitExceeded,), SHARED, 5),
    "renewals": Operation(renewals, (LimitExceeded,), weight=1),
    "uses": Operation(uses, SHARED, weight=20),
    "drops": Operation(drops, weight=1),
    "collections": Operation(collections, weight=1),
    "acalls": Operation(acalls, (LimitExceeded,), weight=5),
    "programs": Operation(programs, weight=2),
    "listeners": Operation(listeners, weight=1),
    "pickles": Operation(pickles, (LimitExceeded,), weight=1),
    "switches": Operation(switches, weight=1),
}
"""By name. Busy, Closed: another thread is in it or has closed it; LimitExceeded: the instances of all threads together;
MemoryError: `grow` at the maximum."""
