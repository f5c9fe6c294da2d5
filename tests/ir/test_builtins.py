"""The table of builtins: what is emitted and what implements it agree with it."""

from __future__ import annotations

import pytest

from figwasp.ir import builtins, ops
from figwasp.ir.evaluate.instance import EvalInstance
from figwasp.ir.func import Call
from figwasp.runtime.objects import builtins as implemented
from figwasp.runtime.stubs.interface import NATIVE
from tests.ir.compiling import build_one

SUBTYPES = " ".join(f"(type $t{k} (sub $t{k - 1} (func)))" for k in range(1, 9))
MODULE = f"""(module (memory 1) (table $t 1 externref) (data $d "a") (elem $e externref) (global $g (mut externref) (ref.null extern))
  (tag $x)
  (global $f (mut funcref) (ref.null func))
  (type $t0 (sub (func))) {SUBTYPES}
  (type $a (array (mut i8))) (type $fs (array (mut funcref))) (type $large (struct {"(field i64) " * 20})) (elem $fe funcref)
  (func (param $i i32) (param $r externref) (param $f funcref) (param $a (ref $a)) (param $fs (ref $fs)) (result i32 i32)
    (drop (struct.new_default $large)) (drop (array.new_default $a (local.get $i)))
    (array.fill $a (local.get $a) (local.get $i) (local.get $i) (local.get $i))
    (array.copy $a $a (local.get $a) (local.get $i) (local.get $a) (local.get $i) (local.get $i))
    (array.init_data $a $d (local.get $a) (local.get $i) (local.get $i) (local.get $i))
    (array.init_elem $fs $fe (local.get $fs) (local.get $i) (local.get $i) (local.get $i))
    (array.set $fs (local.get $fs) (local.get $i) (local.get $f))
    (memory.fill (local.get $i) (local.get $i) (local.get $i)) (memory.copy (local.get $i) (local.get $i) (local.get $i))
    (memory.init $d (local.get $i) (local.get $i) (local.get $i)) (data.drop $d)
    (table.set $t (local.get $i) (local.get $r)) (table.fill $t (local.get $i) (local.get $r) (local.get $i))
    (table.copy $t $t (local.get $i) (local.get $i) (local.get $i))
    (table.init $t $e (local.get $i) (local.get $i) (local.get $i)) (elem.drop $e) (global.set $g (local.get $r)) (global.set $f (ref.null func))
    (drop (memory.atomic.notify (local.get $i) (local.get $i)))
    (drop (memory.atomic.wait32 (local.get $i) (local.get $i) (i64.const -1)))
    (drop (memory.atomic.wait64 (local.get $i) (i64.const 0) (i64.const -1)))
    (drop (ref.test (ref $t8) (ref.null func)))
    (drop (table.grow $t (local.get $r) (local.get $i))) (drop (memory.grow (local.get $i))) (throw $x)))"""


def test_every_builtin_is_emitted_with_its_signature() -> None:
    (block,) = build_one(MODULE).blocks
    calls = {value.aux.target: value for value in block.code if isinstance(value.aux, Call)}
    assert sorted(calls) == list(range(builtins.COUNT))
    for number, value in calls.items():
        assert isinstance(value.aux, Call)
        assert bytes(arg.type for arg in value.args) == bytes((ops.I64,)) + builtins.PARAMS[number] == b"\x01" + value.aux.params
        assert value.aux.results == builtins.RESULTS[number]


def test_the_runtime_implements_what_has_no_code_of_its_own() -> None:
    assert implemented.BUILTINS.keys() | NATIVE == set(range(builtins.COUNT))
    assert not implemented.BUILTINS.keys() & NATIVE
    assert implemented.BUILTINS[builtins.TABLE_GROW] is implemented.table_grow


@pytest.mark.parametrize("replacement", [None, lambda self: None], ids=["missing", "other parameters"])
def test_an_implementation_that_is_missing_is_noticed_at_import(replacement: object) -> None:
    for names in (vars(EvalInstance), vars(implemented)):
        with pytest.raises(TypeError, match="does not implement the builtin elem_drop"):
            builtins.implementations({**names, "elem_drop": replacement}, NATIVE)
