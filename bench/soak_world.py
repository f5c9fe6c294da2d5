"""What the threads of `soak.py` share, and what each of them is: guests, objects made of them, and a worker."""

from __future__ import annotations

import random
import threading
import traceback
import types
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import figwasp

GUEST = """(module $guest
  (import "host" "f" (func $f (param i32 externref) (result externref))) (import "host" "g" (func $g (param i64) (result i64)))
  (memory (export "memory") 1 64) (table $t (export "table") 8 500 externref) (table $fs (export "funcs") 8 100 funcref)
  (global (export "kept") (mut externref) (ref.null extern)) (global $n (export "n") (mut i64) (i64.const 0))
  (data "data") (elem $e func $own)
  (func $own (export "own") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "sum") (param $n i64) (result i64) (local $s i64)
    (loop $l (local.set $s (i64.add (local.get $s) (local.get $n)))
      (br_if $l (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0)))) (local.get $s))
  (func (export "ref") (param i32 externref) (result externref) (call $f (local.get 0) (local.get 1)))
  (func (export "host") (param i64) (result i64) (i64.add (call $g (local.get 0)) (call $g (i64.const 1))))
  (func (export "put") (param i32 externref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get $t (local.get 0)))
  (func (export "fill") (param i32 externref i32) (table.fill $t (local.get 0) (local.get 1) (local.get 2)))
  (func (export "grow_table") (param externref i32) (result i32) (table.grow $t (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "init") (table.init $fs $e (i32.const 0) (i32.const 0) (i32.const 1)))
  (func (export "call") (param i32 i32) (result i32) (call_indirect $fs (param i32) (result i32) (local.get 1) (local.get 0)))
  (func (export "store") (param i32 i64) (i64.store (local.get 0) (local.get 1)))
  (func (export "load") (param i32) (result i64) (i64.load (local.get 0)))
  (func (export "trap") (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 0)))
  (func $deep (export "deep") (call $deep)) (func (export "spin") (loop $l (br $l))))"""
USER = """(module (import "m" "own" (func $own (param i32) (result i32))) (import "m" "memory" (memory 1))
  (import "m" "table" (table 8 externref)) (import "m" "funcs" (table $fs 8 funcref)) (import "m" "n" (global $n (mut i64)))
  (elem (table $fs) (i32.const 3) func $mine)
  (func $mine (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (func (export "both") (param i32) (result i32) (i32.add (call $own (local.get 0)) (call_indirect $fs (param i32) (result i32)
    (local.get 0) (i32.const 3)))))"""
FRESH = """(module (func $f (export "f") (param {params}) (result i64) (i64.const {number})) (table 2 funcref)
  (elem (i32.const 0) $f $g)
  (func $g (export "g") (param i32) (result i32) {adds} (local.get 0)) (export "table" (table 0)))"""
WAITS = """(module (import "h" "a" (func $a (param i32) (result i32))) (func (export "run") (param i32) (result i32)
  (i32.add (call $a (local.get 0)) (call $a (i32.const 5)))))"""
HELLO = r"""(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "hello\n")
  (func (export "_start") (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
BINARY = figwasp.wat(GUEST)
PAGE = 65536
KEPT = 12  # functions, views and the like that a thread keeps


class Alarm(Exception):
    """What the handler of the alarm raises."""


class HostError(Exception):
    """What a host function raises."""


class Token:
    """What is stored as an externref."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


def same(found: object, *right: object) -> None:
    """Raise AssertionError when a value is none of the right ones."""
    if found not in right:
        raise AssertionError(f"{found!r} is wrong; right is {' or '.join(map(repr, right[:3]))}")


def host(number: int, thing: Any) -> Any:
    """Be the host function `f` of the guest: gives its reference back, raises for 7."""
    if number == 7:
        raise HostError(number)
    return thing


class Operation(NamedTuple):
    """What may happen.

    Attributes:
        run: does it with a worker and an instance, which is the worker's own or the shared one.
        errors: how it may end with what is the worker's own.
        shared: how else it may end with what is shared; None when it has nothing to do with that.
        weight: how often it is chosen.
    """

    run: Callable[[Worker, Any], None]
    errors: tuple[type[Exception], ...] = ()
    shared: tuple[type[Exception], ...] | None = None
    weight: int = 10


class World:
    """What the threads share. An object that has had its time is replaced while others use it.

    Attributes:
        engine, metered: with limits; that counts fuel.
        module, user, waits, metered_module: modules of theirs.
        instance: of `module`.
        made: table, memory and globals made in Python.
    """

    def __init__(self) -> None:
        self.engine = figwasp.Engine(max_instances=160, max_memory=64 * PAGE, max_table=2000, stack_size=256 << 10, max_acalls=4)
        self.metered = figwasp.Engine(fuel=True, memory="checked", max_instances=60, timeout=60)
        self.module = figwasp.Module(BINARY, engine=self.engine)
        self.user = figwasp.Module(figwasp.wat(USER), engine=self.engine)
        self.waits = figwasp.Module(figwasp.wat(WAITS), engine=self.engine)
        self.metered_module = figwasp.Module(BINARY, engine=self.metered)
        self.renew(0)
        self.renew(1)

    def renew(self, what: int) -> None:
        """Replace some of the objects."""
        if what == 0:
            self.instance = load(self.module)
            return
        self.made = types.SimpleNamespace(
            table=figwasp.Table("externref", 8, maximum=300),
            memory=figwasp.Memory(1, 40),
            n=figwasp.Global("i64", 5, mutable=True),
            kept=figwasp.Global("externref", None, mutable=True),
        )

    @property
    def live(self) -> int:
        """How many instances its engines count."""
        return sum(len(engine.config.slots._taken) for engine in (self.engine, self.metered))


def load(module: figwasp.Module) -> figwasp.Instance:
    """Make an instance of the guest."""
    return figwasp.load(module, {"host": {"f": host, "g": lambda x: x + 1}})


class Worker:
    """What one thread does.

    Attributes:
        world: what it shares.
        random: its random numbers.
        own: an instance of its own, replaced now and then.
        things: what it keeps beyond the life of its instances, as functions that use it.
        done, ends, faults: counts of operations, of the errors they ended with, of what is wrong.
    """

    def __init__(self, world: World, seed: str, operations: dict[str, Operation]) -> None:
        self.world, self.random, self._operations = world, random.Random(seed), operations
        self._weights = [operation.weight for operation in operations.values()]
        self.done: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.things: list[Callable[[], object]] = []
        self.faults = 0
        self.own = load(world.module)

    def keep(self, use: Callable[[], object]) -> None:
        """Keep something for some time; `use` uses it."""
        self.things.append(use)
        if len(self.things) > KEPT:
            del self.things[self.random.randrange(KEPT)]

    def token(self) -> Token:
        """Give something to refer to."""
        return Token(self.random.randrange(1 << 30))

    def step(self) -> None:
        """Do an operation and see how it ends."""
        (name,) = self.random.choices(list(self._operations), self._weights)
        operation, inst, errors = self._operations[name], self.own, self._operations[name].errors
        if operation.shared is not None and self.random.random() < 0.5:
            inst, errors = self.world.instance, errors + operation.shared
        try:
            operation.run(self, inst)
            self.done[name] += 1
        except Alarm:
            self.ends["Alarm"] += 1
        except errors as error:
            self.ends[type(error).__name__] += 1
        except BaseException as error:
            self.fault(name, inst is not self.own, error)

    def fault(self, name: str, shared: bool, error: BaseException) -> None:
        """Print what must not be."""
        self.faults += 1
        text = "".join(traceback.format_exception(error))
        whose = "what is shared" if shared else "its own"
        print(f"FAULT: {name} with {whose}, {threading.current_thread().name}\n{text}", flush=True)
