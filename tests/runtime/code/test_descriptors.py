"""Descriptors of types in native memory: places used again, none of them while somebody has the type."""

from __future__ import annotations

import gc
import threading

import pytest

import figwasp
from figwasp import layout
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.platform import linux
from tests.runtime.support import load


def params(number: int) -> str:
    """Return parameters that are others for every number below 4**8."""
    return " ".join(("i32", "i64", "f32", "f64")[number >> 2 * k & 3] for k in range(8))


def strange(number: int, count: int = 20) -> str:
    """Return a module of types that no other number has."""
    return "(module " + " ".join(f"(type (sub (func (param f64 f32 {params(number * count + k)}))))" for k in range(count)) + ")"


def in_use() -> int:
    """Return how many places are not free."""
    gc.collect()
    TYPES.intern([], [])
    return TYPES._used - len(TYPES._free)


def test_a_server_that_loads_modules_for_ever() -> None:
    before = in_use()
    load(strange(0))
    most = TYPES._used
    for number in range(2000):
        load(strange(number))
    assert in_use() <= before + 20
    assert TYPES._used <= most + 200  # those of instances that the collector had not come to
    assert len(TYPES._places) == len(TYPES._numbers) == len(TYPES.kinds)


def test_threads_that_load_modules() -> None:
    before = in_use()
    wrong: list[object] = []

    def work(first: int) -> None:
        for number in range(first, first + 60):
            module = figwasp.Module(figwasp.wat(strange(number % 37)))
            code = module._code
            if [TYPES.number_at(place) for place in code.type_ids] != code.numbers or len({*code.type_ids}) != 20:
                wrong.append(code.type_ids)

    threads = [threading.Thread(target=work, args=(7 * k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del threads
    assert not wrong
    assert in_use() <= before + 20
    assert not {*TYPES._free} & {*TYPES._places.values()}
    assert len({*TYPES._free}) == len(TYPES._free)


CALLER = """(module (type $t (sub (func (param i32) (result i32)))) (type $sub (sub $t (func (param i32) (result i32))))
  (type $deep (sub $sub (func (param i32) (result i32)))) (type $other (sub final $t (func (param i32) (result i32))))
  (table (export "table") 4 funcref)
  (func (export "t") (param i32) (result i32) (call_indirect (type $t) (i32.const 5) (local.get 0)))
  (func (export "sub") (param i32) (result i32) (call_indirect (type $sub) (i32.const 5) (local.get 0)))
  (func (export "other") (param i32) (result i32) (call_indirect (type $other) (i32.const 5) (local.get 0))))"""
CALLED = """(module (type $t (sub (func (param i32) (result i32)))) (type $sub (sub $t (func (param i32) (result i32))))
  (type $deep (sub $sub (func (param i32) (result i32))))
  (func (export "t") (type $t) (i32.const 1)) (func (export "sub") (type $sub) (i32.const 2)) (func (export "deep") (type $deep) (i32.const 3)))"""


def test_a_place_that_is_used_again_has_one_meaning() -> None:
    """What a table keeps has its type, however many types have come and gone."""
    inst = load(CALLER)
    called = load(CALLED)
    for index, name in enumerate(("t", "sub", "deep")):
        inst.table[index] = called.exports[name]
    del called
    held = {linux.read_u32(func._address + layout.FUNCREF_TYPE) for func in inst.table if func is not None}
    assert len(held) == 3
    for number in range(100):
        other = load(strange(number, 100))
        assert not held & {*other._state.code.type_ids}
        assert [inst.t(k) for k in range(3)] == [1, 2, 3]
        assert [inst.sub(k) for k in (1, 2)] == [2, 3]
        for name, index in (("sub", 0), ("other", 0), ("other", 1), ("other", 2)):
            with pytest.raises(figwasp.Trap, match="indirect call type mismatch"):
                inst.exports[name](index)
    with pytest.raises(figwasp.Trap, match="uninitialized element"):
        inst.t(3)


def test_the_types_of_an_instance_are_those_of_its_module() -> None:
    inst = load(CALLER)
    state = inst._state
    assert linux.read_u64(state.block + layout.INST_DESCRIPTORS) == TYPES.region.base != 0
    places = [linux.read_u32(state.block + state.code.layout.type_id(index)) for index in range(len(state.code.numbers))]
    assert places == state.code.type_ids == TYPES.descriptors(state.code.numbers)
    base = TYPES.region.base
    t, sub, deep, other = places[:4]
    displays = [[linux.read_u32(base + place + layout.TYPE_DISPLAY + 4 * depth) for depth in range(4)] for place in (t, sub, deep, other)]
    assert displays == [[t, 0, 0, 0], [t, sub, 0, 0], [t, sub, deep, 0], [t, other, 0, 0]]
    assert linux.read(base, layout.TYPE_SIZE) == bytes(layout.TYPE_SIZE)  # the descriptor of no type


def deep_chain(length: int) -> str:
    return "(type $t0 (sub (func)))" + "".join(f"(type $t{k} (sub $t{k - 1} (func)))" for k in range(1, length))


@pytest.mark.parametrize("depth", [0, 1, 7, 8, 9, 30, 63])
def test_calls_through_tables_at_every_depth(depth: int) -> None:
    """A function of a type is called as every type above its own, and as none below."""
    names = [k for k in (0, 1, 6, 7, 8, 9, 30, 62, 63) if k < 64]
    inst = load(
        f"(module {deep_chain(64)} (table funcref (elem $f)) (func $f (type $t{depth}))"
        + "".join(f'(func (export "as{k}") (call_indirect (type $t{k}) (i32.const 0)))' for k in names)
        + ")"
    )
    for k in names:
        if k <= depth:
            inst.exports[f"as{k}"]()
        else:
            with pytest.raises(figwasp.Trap, match="indirect call type mismatch"):
                inst.exports[f"as{k}"]()
