"""Modules with structures and arrays, and what their functions do, on lists of bits: a model for tests of whatever runs them."""

from __future__ import annotations

import random

STORAGES = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "f32": 32, "f64": 64, "v128": 128, "anyref": 64}
"""Storage type -> bits that are kept of a value."""


def value_type(storage: str) -> str:
    return "i32" if storage in ("i8", "i16") else storage


def getter(storage: str) -> str:
    return "get_u" if storage in ("i8", "i16") else "get"


def value(storage: str, rng: random.Random) -> int:
    """Return the bits of some value; an i31 for a reference."""
    if storage == "anyref":
        return rng.choice([0, rng.getrandbits(31) << 1 | 1])
    return rng.choice([0, 1, rng.getrandbits(32 if storage in ("i8", "i16") else STORAGES[storage])])


def kept(storage: str, bits: int) -> int:
    return bits & (1 << STORAGES[storage]) - 1


ARRAY = """(module (type $a (array (mut {s}))) (data $d "{data}") (global $a (mut (ref null $a)) (ref.null $a)) (global $b (mut (ref null $a)) (ref.null $a))
  (func (export "new") (param {v} i32) (global.set $a (array.new $a (local.get 0) (local.get 1))))
  (func (export "zeros") (param i32) (global.set $b (array.new_default $a (local.get 0))))
  (func (export "short") (param {v}) (global.set $a (array.new $a (local.get 0) (i32.const 3))))
  (func (export "fixed") (param {v} {v}) (global.set $a (array.new_fixed $a 3 (local.get 1) (local.get 0) (local.get 1))))
  (func (export "swap") (local (ref null $a)) (local.set 0 (global.get $a)) (global.set $a (global.get $b)) (global.set $b (local.get 0)))
  (func (export "length") (result i32) (array.len (global.get $a)))
  (func (export "get") (param i32) (result {v}) (array.{get} $a (global.get $a) (local.get 0)))
  (func (export "first") (result {v}) (array.{get} $a (global.get $a) (i32.const 0)))
  (func (export "set") (param i32 {v}) (array.set $a (global.get $a) (local.get 0) (local.get 1)))
  (func (export "fill") (param i32 {v} i32) (array.fill $a (global.get $a) (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32)
    (array.copy $a $a (global.get $a) (local.get 0) (global.get $a) (local.get 1) (local.get 2)))
  (func (export "between") (param i32 i32 i32)
    (array.copy $a $a (global.get $a) (local.get 0) (global.get $b) (local.get 1) (local.get 2)))
  {more})"""
DATA = """
  (func (export "data") (param i32 i32) (global.set $a (array.new_data $a $d (local.get 0) (local.get 1))))
  (func (export "init") (param i32 i32 i32) (array.init_data $a $d (global.get $a) (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop") (data.drop $d))"""


def array_module(storage: str) -> str:
    data = "".join(f"\\{byte:02x}" for byte in range(256))
    more = DATA if storage != "anyref" else ""
    return ARRAY.format(s=storage, v=value_type(storage), get=getter(storage), data=data, more=more)


class Model:
    """What the module does, with lists."""

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.a: list[int] = []
        self.b: list[int] = []

    def new(self, bits: int, count: int) -> None:
        self.a = [kept(self.storage, bits)] * count

    def zeros(self, count: int) -> None:
        self.b = [0] * count

    def short(self, bits: int) -> None:
        self.new(bits, 3)

    def fixed(self, one: int, other: int) -> None:
        self.a = [kept(self.storage, bits) for bits in (other, one, other)]

    def swap(self) -> None:
        self.a, self.b = self.b, self.a

    def set(self, index: int, bits: int) -> None:
        self.a[index] = kept(self.storage, bits)

    def fill(self, start: int, bits: int, count: int) -> None:
        self.a[start : start + count] = [kept(self.storage, bits)] * count

    def copy(self, to: int, start: int, count: int) -> None:
        self.a[to : to + count] = self.a[start : start + count]

    def between(self, to: int, start: int, count: int) -> None:
        self.a[to : to + count] = self.b[start : start + count]

    def data(self, start: int, count: int) -> None:
        self.a = self._items(start, count)

    def init(self, to: int, start: int, count: int) -> None:
        self.a[to : to + count] = self._items(start, count)

    def _items(self, start: int, count: int) -> list[int]:
        size = STORAGES[self.storage] // 8
        data = bytes(range(256))[start : start + size * count]
        return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


def random_call(model: Model, rng: random.Random) -> tuple[str, list[int]]:
    """Return a call that does not trap."""
    storage, a, b = model.storage, len(model.a), len(model.b)

    def span(count: int, of: int) -> int:
        return rng.randrange(of - count + 1)

    most = 255 * 8 // STORAGES[storage]
    count, both, held = rng.randrange(a + 1), rng.randrange(min(a, b) + 1), rng.randrange(min(a, most) + 1)
    calls: dict[str, list[int]] = {
        "new": [value(storage, rng), rng.randrange(40)],
        "zeros": [rng.randrange(40)],
        "short": [value(storage, rng)],
        "fixed": [value(storage, rng), value(storage, rng)],
        "swap": [],
        "fill": [span(count, a), value(storage, rng), count],
        "copy": [span(count, a), span(count, a), count],
        "between": [span(both, a), span(both, b), both],
    }
    if a:
        calls["set"] = [rng.randrange(a), value(storage, rng)]
    if storage != "anyref":
        size = STORAGES[storage] // 8
        calls["init"] = [span(held, a), rng.randrange(256 - size * held + 1), held]
        calls["data"] = [rng.randrange(256 - size * min(most, 9)), min(most, 9)]
    return rng.choice(list(calls.items()))


STRUCT = """(module (type $s (struct (field (mut {s})) (field {s}) (field (mut i8)) (field (mut {s})))) (global $s (mut (ref null $s)) (ref.null $s))
  (func (export "new") (param {v} {v} {v}) (local $s (ref null $s))
    (local.set $s (struct.new $s (local.get 0) (local.get 1) (i32.const 0x17f) (local.get 2)))
    (global.set $s (local.get $s)))
  (func (export "zeros") (global.set $s (struct.new_default $s)))
  (func (export "get") (result {v} {v} i32 i32 {v}) (struct.{get} $s 0 (global.get $s)) (struct.{get} $s 1 (global.get $s))
    (struct.get_s $s 2 (global.get $s)) (struct.get_u $s 2 (global.get $s)) (struct.{get} $s 3 (global.get $s)))
  (func (export "at once") (param {v} {v} {v}) (result {v} {v} {v} {v}) (local $s (ref null $s)) (local $t (ref null $s))
    (local.set $s (struct.new $s (local.get 0) (local.get 1) (i32.const 0) (local.get 2)))
    (local.set $t (if (result (ref null $s)) (i32.const 1) (then (local.get $s)) (else (ref.null $s))))
    (struct.{get} $s 0 (local.get $s)) (struct.set $s 0 (local.get $t) (local.get 2)) (struct.{get} $s 0 (local.get $s))
    (struct.set $s 3 (local.get $s) (local.get 1)) (struct.{get} $s 3 (local.get $t)) (struct.{get} $s 1 (local.get $t)))
  (func (export "set") (param {v}) (struct.set $s 3 (global.get $s) (local.get 0)) (struct.set $s 2 (global.get $s) (i32.const 0x1ff)))
  (func (export "set null") (param {v}) (struct.set $s 0 (ref.null $s) (local.get 0))))"""


def struct_module(storage: str) -> str:
    """Return a module with a structure."""
    return STRUCT.format(s=storage, v=value_type(storage), get=getter(storage))
