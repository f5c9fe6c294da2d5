"""Structures and arrays in machine code, against the model that the evaluator is held against."""

from __future__ import annotations

import random

import pytest

import figwasp
from figwasp import errors, layout
from figwasp.runtime.platform import linux
from tests.ir.object_models import STORAGES, Model, array_module, kept, random_call, struct_module, value
from tests.raw import call_raw

ANY_STORAGE = pytest.mark.parametrize("storage", STORAGES)
LAST = (1 << 32) - 1
LARGE = 3 << 20
"""Bytes of arrays that operations do in several pieces."""


class Guest:
    """An instance that is called with bits."""

    def __init__(self, text: str) -> None:
        self.instance = figwasp.load(figwasp.wat(text))

    def __call__(self, name: str, *args: int) -> list[int]:
        """Call an export."""
        func = self.instance.exports[name]
        assert isinstance(func, figwasp.Func)
        func._store.claim()
        try:
            return list(call_raw(func.type, func._address, list(args), func._store))
        finally:
            func._store.clean_up_if_asked()

    def trap(self, name: str, *args: int) -> str:
        """Call an export that traps; return what the trap says."""
        with pytest.raises(figwasp.Trap) as caught:
            self(name, *args)
        return caught.value.code


@ANY_STORAGE
def test_arrays(storage: str) -> None:
    rng = random.Random(f"machine {storage}")
    guest, model = Guest(array_module(storage)), Model(storage)
    for name, args in (("new", [0, 5]), ("zeros", [5])):
        guest(name, *args)
        getattr(model, name)(*args)
    for _ in range(300):
        name, args = random_call(model, rng)
        assert guest(name, *args) == []
        getattr(model, name)(*args)
        assert guest("length") == [len(model.a)]
        assert [guest("get", at)[0] for at in range(len(model.a))] == model.a, (name, args)


@ANY_STORAGE
def test_large_arrays(storage: str) -> None:
    """Operations that are done in pieces, with places between the elements of a vector; what is around them stays."""
    guest = Guest(array_module(storage))
    count = LARGE * 8 // STORAGES[storage]
    one, other = (value(storage, random.Random(seed)) | 1 for seed in range(2))
    guest("new", one, count)
    guest("swap")
    guest("new", other, count)
    guest("between", 3, 5, count - 7)
    one, other = kept(storage, one), kept(storage, other)
    places = [0, 2, 3, count // 3, count - 5, count - 4, count - 1]
    assert [guest("get", at)[0] for at in places] == [other, other, one, one, one, other, other]
    guest("fill", 1, 0, count - 2)
    assert [guest("get", at)[0] for at in places] == [other, 0, 0, 0, 0, 0, other]
    guest("set", 7, other)
    guest("copy", 0, 7, count - 7)
    assert [guest("get", at)[0] for at in (0, 1, count - 9, count - 8, count - 7, count - 1)] == [other, 0, 0, other, 0, other]
    guest("copy", 5, 0, count - 5)
    assert [guest("get", at)[0] for at in (0, 4, 5, 6, count - 4, count - 3)] == [other, 0, other, 0, 0, other]


@ANY_STORAGE
def test_what_traps_has_written_nothing(storage: str) -> None:
    guest = Guest(array_module(storage))
    for name, args in (("get", [0]), ("set", [0, 0]), ("fill", [0, 0, 0]), ("copy", [0, 0, 0]), ("length", [])):
        assert guest.trap(name, *args) == errors.TRAP_MESSAGES[errors.TRAP_NULL_ARRAY], name
    guest("new", 1, 4)
    for to in (0, 9):  # null comes before everything else
        assert guest.trap("between", to, 0, 0) == errors.TRAP_MESSAGES[errors.TRAP_NULL_ARRAY]
    guest("zeros", 4)
    for name, args in (
        ("get", [4]), ("get", [LAST]), ("set", [4, 0]), ("fill", [0, 0, 5]), ("fill", [5, 0, 0]), ("fill", [LAST, 0, 2]),
        ("copy", [1, 0, 4]), ("copy", [0, 1, 4]), ("copy", [LAST, 0, 2]), ("copy", [0, 2, LAST]), ("between", [0, 0, 5]),
    ):  # fmt: skip
        assert guest.trap(name, *args) == errors.TRAP_MESSAGES[errors.TRAP_OUT_OF_BOUNDS_ARRAY], (name, args)
    if storage != "anyref":
        assert guest.trap("init", 0, 256, 1) == errors.TRAP_MESSAGES[errors.TRAP_OUT_OF_BOUNDS_MEMORY]
        assert guest.trap("data", LAST, LAST) == errors.TRAP_MESSAGES[errors.TRAP_OUT_OF_BOUNDS_MEMORY]
        guest("drop")
        assert guest.trap("data", 0, 1) == errors.TRAP_MESSAGES[errors.TRAP_OUT_OF_BOUNDS_MEMORY]
    assert [guest("get", at)[0] for at in range(4)] == [1] * 4


@ANY_STORAGE
def test_structures(storage: str) -> None:
    rng = random.Random(f"machine {storage}")
    guest = Guest(struct_module(storage))
    for name, args in (("get", []), ("set", [1]), ("set null", [1])):
        assert guest.trap(name, *args) == errors.TRAP_MESSAGES[errors.TRAP_NULL_STRUCTURE]
    for _ in range(10):
        first, second, third, fourth = (value(storage, rng) for _ in range(4))
        one, two, three, four = (kept(storage, bits) for bits in (first, second, third, fourth))
        guest("new", first, second, third)
        assert guest("get") == [one, two, 0x7F, 0x7F, three]
        guest("set", fourth)
        assert guest("get") == [one, two, LAST, 0xFF, four]
        assert guest("at once", first, second, third) == [one, three, two, two]
    guest("zeros")
    assert guest("get") == [0] * 5


def test_deep_lists_and_wide_trees() -> None:
    guest = Guest("""(module (type $n (struct (field i64) (field (ref null $n)))) (type $t (struct (field (ref null $t)) (field (ref null $t))))
      (func (export "list") (param $k i64) (result i64) (local $n (ref null $n)) (local $s i64)
        (loop $more (local.set $n (struct.new $n (local.get $k) (local.get $n)))
          (br_if $more (i32.eqz (i64.eqz (local.tee $k (i64.sub (local.get $k) (i64.const 1)))))))
        (block $end (loop $next
          (local.set $s (i64.add (local.get $s) (struct.get $n 0 (br_on_null $end (local.get $n)))))
          (local.set $n (struct.get $n 1 (local.get $n))) (br $next)))
        (local.get $s))
      (func $make (param $d i32) (result (ref $t))
        (if (result (ref $t)) (local.get $d)
          (then (struct.new $t (call $make (i32.sub (local.get $d) (i32.const 1))) (call $make (i32.sub (local.get $d) (i32.const 1)))))
          (else (struct.new_default $t))))
      (func $count (param $t (ref null $t)) (result i32)
        (if (result i32) (ref.is_null (local.get $t)) (then (i32.const 0))
          (else (i32.add (i32.const 1) (i32.add (call $count (struct.get $t 0 (local.get $t))) (call $count (struct.get $t 1 (local.get $t))))))))
      (func (export "tree") (param $d i32) (result i32) (call $count (call $make (local.get $d)))))""")
    assert guest("list", 20_000) == [20_000 * 20_001 // 2]
    assert guest("tree", 12) == [(1 << 13) - 1]


@pytest.mark.parametrize("name", ["fill", "copy"])
def test_ticks_come_between_the_pieces_of_a_range(name: str) -> None:
    """A call that only works on long ranges can be ended, though it neither loops nor calls."""
    count = 1 << 22
    guest = Guest(f"""(module (type $a (array (mut i64))) (global $a (ref $a) (array.new_default $a (i32.const {count})))
      (func (export "fill") {f"(array.fill $a (global.get $a) (i32.const 0) (i64.const 1) (i32.const {count}))" * 40})
      (func (export "copy")
        {f"(array.copy $a $a (global.get $a) (i32.const 1) (global.get $a) (i32.const 0) (i32.const {count - 1}))" * 40}))""")
    func = guest.instance.exports[name]
    assert isinstance(func, figwasp.Func)
    before = linux.read_u64(func._store.context + layout.CTX_TICKS)
    guest(name)
    assert linux.read_u64(func._store.context + layout.CTX_TICKS) > before + 1
