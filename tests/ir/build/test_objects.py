"""Structures and arrays against a model: lists of bits. Under the evaluator, with and without the passes, in every form of locals."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from figwasp import errors
from figwasp.ir import builtins, ops, pipeline
from figwasp.ir.build import builder
from figwasp.ir.build.builder import build
from figwasp.ir.evaluate.func import Trapped
from figwasp.ir.evaluate.instance import EvalInstance
from figwasp.ir.func import Call, Func, Value
from figwasp.ir.layouts import layout_of
from figwasp.layout import CTX_FUEL
from figwasp.wasm.valid.module import validate
from tests.ir.compiling import module_of
from tests.ir.evaluating import evaluated, invoke
from tests.ir.object_models import STORAGES, Model, array_module, kept, random_call, struct_module, value

PASSES = pytest.mark.parametrize("passes", [None, pipeline.run], ids=["built", "improved"])
ANY_STORAGE = pytest.mark.parametrize("storage", STORAGES)


def builtin_of(value: Value) -> int:
    """Return the builtin that a value calls, or -1."""
    return value.aux.target if isinstance(value.aux, Call) and value.op == ops.CALL_BUILTIN else -1


def trap_of(instance: EvalInstance, name: str, *args: int) -> int:
    with pytest.raises(Trapped) as caught:
        invoke(instance, name, *args)
    return caught.value.code


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
    for to in (0, 9):  # null comes before everything else
        assert trap_of(instance, "between", to, 0, 0) == errors.TRAP_NULL_ARRAY
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


@PASSES
@ANY_STORAGE
@pytest.mark.parametrize("spilled", [False, True], ids=["values", "frame"])
def test_structures(storage: str, passes: Callable[[Func], None] | None, spilled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if spilled:
        monkeypatch.setattr(builder, "_FREE_ARGS", -(1 << 30))
    rng = random.Random(storage)
    instance = evaluated(module_of(struct_module(storage)), passes=passes, steps=1 << 40)
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
      (type $t (func)) (type $c (struct (field (ref null $t))))
      (func (param $f funcref) (param $s (ref $s)) (param $a (ref $a)) (param $r (ref $r)) (param $x anyref) (param $i i32) (param $g (ref null $t))
        (drop (struct.new $c (local.get $g)))
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
    assert len(kept_at) == 8
    allocations = [number for number, one in enumerate(block.code) if one.op == ops.ALLOCATE]
    for number in allocations:  # nothing that may run other code stands between a cell and its last first store
        rest = block.code[number + 1 :]
        last = max(at for at, one in enumerate(rest) if one.op in ops.STORE_OF and block.code[number] in one.args)
        assert not any(ops.FLAGS[one.op] & ops.CALLS for one in rest[: last + 1])
