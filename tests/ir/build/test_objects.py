"""Structures and arrays against a model: lists of bits. Under the evaluator, with and without the passes, in every form of locals."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from figwasp import errors
from figwasp.ir import builtins, ops, pipeline
from figwasp.ir.build import builder
from figwasp.ir.build.builder import build, layout_of
from figwasp.ir.evaluate.func import Trapped
from figwasp.ir.evaluate.instance import EvalInstance
from figwasp.ir.func import Call, Func, Value
from figwasp.layout import CTX_FUEL
from figwasp.wasm.valid.module import validate
from tests.ir.compiling import module_of
from tests.ir.evaluating import evaluated, invoke

STORAGES = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "f32": 32, "f64": 64, "v128": 128, "anyref": 64}
"""Storage type -> bits that are kept of a value."""
PASSES = pytest.mark.parametrize("passes", [None, pipeline.run], ids=["built", "improved"])
ANY_STORAGE = pytest.mark.parametrize("storage", STORAGES)


def builtin_of(value: Value) -> int:
    """Return the builtin that a value calls, or -1."""
    return value.aux.target if isinstance(value.aux, Call) and value.op == ops.CALL_BUILTIN else -1


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


def trap_of(instance: EvalInstance, name: str, *args: int) -> int:
    with pytest.raises(Trapped) as caught:
        invoke(instance, name, *args)
    return caught.value.code


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


@PASSES
@ANY_STORAGE
def test_arrays(storage: str, passes: Callable[[Func], None] | None) -> None:
    rng = random.Random(storage)
    instance = evaluated(module_of(array_module(storage)), passes=passes, steps=1 << 40)
    model = Model(storage)
    for setup in ("new", "zeros"):
        args = [0, 5] if setup == "new" else [5]
        invoke(instance, setup, *args)
        getattr(model, setup)(*args)
    for _ in range(300):
        name, args = random_call(model, rng)
        assert invoke(instance, name, *args) == []
        getattr(model, name)(*args)
        assert invoke(instance, "length") == [len(model.a)]
        assert [invoke(instance, "get", at)[0] for at in range(len(model.a))] == model.a, (name, args)
        assert not model.a or invoke(instance, "first") == model.a[:1]


@PASSES
@ANY_STORAGE
def test_what_traps_has_written_nothing(storage: str, passes: Callable[[Func], None] | None) -> None:
    instance = evaluated(module_of(array_module(storage)), passes=passes, steps=1 << 40)
    last = (1 << 32) - 1
    for name, args in (("get", [0]), ("set", [0, 0]), ("fill", [0, 0, 0]), ("copy", [0, 0, 0]), ("length", []), ("first", [])):
        assert trap_of(instance, name, *args) == errors.TRAP_NULL_ARRAY, name
    invoke(instance, "new", 1, 4)
    assert trap_of(instance, "between", 0, 0, 0) == errors.TRAP_NULL_ARRAY
    invoke(instance, "zeros", 4)
    for name, args in (
        ("get", [4]), ("get", [last]), ("set", [4, 0]), ("fill", [0, 0, 5]), ("fill", [5, 0, 0]), ("fill", [last, 0, 2]),
        ("copy", [1, 0, 4]), ("copy", [0, 1, 4]), ("copy", [last, 0, 2]), ("copy", [0, 2, last]), ("between", [0, 0, 5]),
    ):  # fmt: skip
        assert trap_of(instance, name, *args) == errors.TRAP_OUT_OF_BOUNDS_ARRAY, (name, args)
    if storage != "anyref":
        for name, args, code in (
            ("init", [0, 256, 1], errors.TRAP_OUT_OF_BOUNDS_MEMORY), ("init", [0, last, 4], errors.TRAP_OUT_OF_BOUNDS_MEMORY),
            ("init", [1, 999, 4], errors.TRAP_OUT_OF_BOUNDS_ARRAY), ("data", [0, last], errors.TRAP_OUT_OF_BOUNDS_MEMORY),
            ("data", [257, 0], errors.TRAP_OUT_OF_BOUNDS_MEMORY), ("data", [last, last], errors.TRAP_OUT_OF_BOUNDS_MEMORY),
        ):  # fmt: skip
            assert trap_of(instance, name, *args) == code, (name, args)
        invoke(instance, "drop")
        assert trap_of(instance, "init", 0, 0, 1) == errors.TRAP_OUT_OF_BOUNDS_MEMORY
        assert invoke(instance, "init", 4, 0, 0) == []
    assert [invoke(instance, "get", at)[0] for at in range(4)] == [1] * 4
    assert trap_of(instance, "new", 0, last) == errors.TRAP_OUT_OF_HEAP
    assert trap_of(instance, "zeros", last) == errors.TRAP_OUT_OF_HEAP


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


@PASSES
@ANY_STORAGE
@pytest.mark.parametrize("spilled", [False, True], ids=["values", "frame"])
def test_structures(storage: str, passes: Callable[[Func], None] | None, spilled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if spilled:
        monkeypatch.setattr(builder, "_FREE_ARGS", -(1 << 30))
    rng = random.Random(storage)
    text = STRUCT.format(s=storage, v=value_type(storage), get=getter(storage))
    instance = evaluated(module_of(text), passes=passes, steps=1 << 40)
    for name, args in (("get", []), ("set", [1]), ("set null", [1])):
        assert trap_of(instance, name, *args) == errors.TRAP_NULL_STRUCTURE
    for _ in range(10):
        first, second, third, fourth = (value(storage, rng) for _ in range(4))
        one, two, three, four = (kept(storage, bits) for bits in (first, second, third, fourth))
        invoke(instance, "new", first, second, third)
        assert invoke(instance, "get") == [one, two, 0x7F, 0x7F, three]
        invoke(instance, "set", fourth)
        assert invoke(instance, "get") == [one, two, 0xFFFF_FFFF, 0xFF, four]
        assert invoke(instance, "at once", first, second, third) == [one, three, two, two]
    invoke(instance, "zeros")
    assert invoke(instance, "get") == [0] * 5


def test_large_structures() -> None:
    fields = "".join(f"(field $f{number} (mut i64))" for number in range(4200))
    text = f"""(module (type $s (struct {fields}))
      (func (export "zeros") (result i64) (struct.get $s 4199 (struct.new_default $s)))
      (func (export "new") (result i64 i64) (local (ref null $s))
        (local.set 0 (struct.new $s {"".join(f"(i64.const {number})" for number in range(4200))}))
        (struct.get $s 0 (local.get 0)) (struct.get $s 4199 (local.get 0))))"""
    instance = evaluated(module_of(text), steps=1 << 40)
    assert invoke(instance, "zeros") == [0]
    assert invoke(instance, "new") == [0, 4199]


def test_elements_of_segments() -> None:
    text = """(module (type $f (func (result i32))) (type $a (array (mut funcref))) (table 4 funcref)
      (elem $e func $one $two $one) (global $a (mut (ref null $a)) (ref.null $a))
      (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
      (func (export "new") (param i32 i32) (global.set $a (array.new_elem $a $e (local.get 0) (local.get 1))))
      (func (export "init") (param i32 i32 i32) (array.init_elem $a $e (global.get $a) (local.get 0) (local.get 1) (local.get 2)))
      (func (export "drop") (elem.drop $e))
      (func (export "call") (param i32) (result i32)
        (table.set (i32.const 0) (array.get $a (global.get $a) (local.get 0))) (call_indirect (type $f) (i32.const 0))))"""
    instance = evaluated(module_of(text))
    assert trap_of(instance, "init", 0, 0, 0) == errors.TRAP_NULL_ARRAY
    for start, count in ((0, 4), (4, 0), (2, 0xFFFF_FFFF)):
        assert trap_of(instance, "new", start, count) == errors.TRAP_OUT_OF_BOUNDS_TABLE
    invoke(instance, "new", 1, 2)
    assert [invoke(instance, "call", at)[0] for at in range(2)] == [2, 1]
    invoke(instance, "init", 0, 0, 2)
    assert [invoke(instance, "call", at)[0] for at in range(2)] == [1, 2]
    assert trap_of(instance, "init", 1, 0, 2) == errors.TRAP_OUT_OF_BOUNDS_ARRAY
    assert trap_of(instance, "init", 0, 2, 2) == errors.TRAP_OUT_OF_BOUNDS_TABLE
    invoke(instance, "drop")
    assert trap_of(instance, "init", 0, 0, 1) == errors.TRAP_OUT_OF_BOUNDS_TABLE
    assert trap_of(instance, "new", 0, 1) == errors.TRAP_OUT_OF_BOUNDS_TABLE
    assert invoke(instance, "new", 0, 0) == []


@pytest.mark.parametrize(
    ("body", "units"),
    [
        ("(drop (array.new $b (i32.const 1) (local.get 0)))", 2),
        ("(drop (array.new_default $v (local.get 0)))", 32),
        ("(drop (array.new_data $b $d (i32.const 0) (local.get 0)))", 2),
        ("(array.fill $b (global.get $b) (i32.const 0) (i32.const 1) (local.get 0))", 2),
        ("(array.copy $b $b (global.get $b) (i32.const 0) (global.get $b) (i32.const 0) (local.get 0))", 2),
        ("(array.init_data $b $d (global.get $b) (i32.const 0) (i32.const 0) (local.get 0))", 2),
    ],
)
def test_ranges_pay_for_every_64_bytes(body: str, units: int) -> None:
    """Beside what the instructions pay."""
    spent = []
    for count in (0, 128):
        text = f"""(module (type $b (array (mut i8))) (type $v (array (mut v128))) (data $d "{"x" * 128}")
          (global $b (ref $b) (array.new_default $b (i32.const 128))) (func (export "f") (param i32) {body}))"""
        module = module_of(text)
        instance = evaluated(module)
        facts = validate(module)[0]
        instance.module._funcs[0] = build(module, 0, facts, layout_of(module), 0, metered=True)
        invoke(instance, "f", count)
        left = instance.space.native.read(instance.space.context + CTX_FUEL)
        spent.append(instance.space.spent + (-left & (1 << 64) - 1))
    assert spent[1] - spent[0] == units


def test_functions_of_others_are_kept_first() -> None:
    """In every store of a function that may be another instance's, and in no other."""
    text = """(module (type $s (struct (field (mut funcref)))) (type $a (array (mut funcref))) (type $r (array (mut anyref)))
      (func (param $f funcref) (param $s (ref $s)) (param $a (ref $a)) (param $r (ref $r)) (param $x anyref) (param $i i32)
        (drop (struct.new $s (local.get $f))) (struct.set $s 0 (local.get $s) (local.get $f))
        (drop (array.new $a (local.get $f) (local.get $i))) (drop (array.new $a (local.get $f) (i32.const 2)))
        (drop (array.new_fixed $a 2 (ref.func 0) (local.get $f))) (array.set $a (local.get $a) (local.get $i) (local.get $f))
        (array.fill $a (local.get $a) (local.get $i) (local.get $f) (local.get $i))
        (drop (struct.new $s (ref.func 0))) (struct.set $s 0 (local.get $s) (ref.null func)) (drop (struct.new_default $s))
        (drop (array.new_fixed $r 1 (local.get $x))) (array.set $r (local.get $r) (local.get $i) (local.get $x)))
      (elem declare func 0))"""
    module = module_of(text)
    (facts,) = validate(module)
    (block,) = build(module, 0, facts, layout_of(module), 0).blocks
    kept_at = [number for number, one in enumerate(block.code) if builtin_of(one) == builtins.KEEP_FUNC]
    assert len(kept_at) == 7
    allocations = [number for number, one in enumerate(block.code) if one.op == ops.ALLOCATE]
    for number in allocations:  # nothing that may run other code stands between a cell and its last first store
        rest = block.code[number + 1 :]
        last = max(at for at, one in enumerate(rest) if one.op in ops.STORE_OF and block.code[number] in one.args)
        assert not any(ops.FLAGS[one.op] & ops.CALLS for one in rest[: last + 1])
