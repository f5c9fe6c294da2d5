"""Tables with 64-bit indices: instructions, copies between both kinds, host objects."""

from __future__ import annotations

import pytest

import figwasp
from figwasp import errors
from tests.api.addresses.support import MODES, Load, loader


@pytest.fixture(params=MODES)
def load(request: pytest.FixtureRequest) -> Load:
    return loader(request.param)


def test_tables_with_64_bit_indices(load: Load) -> None:
    instance = load(
        """(type $f (func (result i32))) (table $t (export "t") i64 4 8 funcref) (func $seven (result i32) (i32.const 7))
        (elem (i64.add (i64.const 1) (i64.const 1)) func $seven) (elem $e func $seven $seven)
        (func (export "call") (param i64) (result i32) (call_indirect (type $f) (local.get 0)))
        (func (export "null") (param i64) (result i32) (ref.is_null (table.get $t (local.get 0))))
        (func (export "set") (param i64) (table.set $t (local.get 0) (ref.func $seven)))
        (func (export "size") (result i64) (table.size $t))
        (func (export "grow") (param i64) (result i64) (table.grow $t (ref.null func) (local.get 0)))
        (func (export "fill") (param i64 i64) (table.fill $t (local.get 0) (ref.func $seven) (local.get 1)))
        (func (export "copy") (param i64 i64 i64) (table.copy (local.get 0) (local.get 1) (local.get 2)))
        (func (export "init") (param i64 i32 i32) (table.init $e (local.get 0) (local.get 1) (local.get 2)))"""
    )
    e = instance.exports
    assert repr(e.t.type) == "table i64 4 8 funcref"
    assert e.call(2) == 7 and e.null(1) == 1 and e.size() == 4
    for index in (4, 2**32, 2**32 + 2, 2**63, 2**64 - 1):
        for call, message in ((e.call, "undefined element"), (e.null, "table access"), (e.set, "table access")):
            with pytest.raises(errors.Trap, match=message):
                call(index)
    for delta in (5, 2**32, 2**64 - 1):
        assert e.grow(delta) == -1
    assert e.grow(4) == 4 and e.size() == 8 == len(e.t)
    e.fill(6, 2)
    e.init(4, 1, 1)
    e.copy(0, 6, 2)
    assert [element is not None for element in e.t] == [True, True, True, False, True, False, True, True]
    for call, *args in (
        (e.fill, 2**64 - 1, 1), (e.fill, 0, 2**64 - 1), (e.fill, 2**32, 1), (e.copy, 2**64 - 1, 0, 2), (e.copy, 0, 2**32, 1),
        (e.init, 2**64 - 1, 0, 1), (e.init, 8, 0, 1),
    ):  # fmt: skip
        with pytest.raises(errors.Trap, match="out of bounds table access"):
            call(*args)


def test_copies_between_tables_of_both_kinds(load: Load) -> None:
    instance = load(
        """(table $a (export "a") i64 4 externref) (table $b (export "b") 4 externref)
        (func (export "up") (param i64 i32 i32) (table.copy $a $b (local.get 0) (local.get 1) (local.get 2)))
        (func (export "down") (param i32 i64 i32) (table.copy $b $a (local.get 0) (local.get 1) (local.get 2)))"""
    )
    e = instance.exports
    e.b[1] = "here"
    e.up(3, 1, 1)
    assert e.a[3] == "here"
    e.down(0, 2, 2)
    assert list(e.b) == [None, "here", None, None]
    with pytest.raises(errors.Trap, match="out of bounds table access"):
        e.up(2**32, 0, 1)


def test_host_tables_have_the_index_type_they_are_given() -> None:
    table = figwasp.Table("externref", 2, 2**40, "x", address="i64")
    assert repr(table.type) == f"table i64 2 {2**40} externref" and list(table) == ["x", "x"]
    importing = '(module (import "env" "t" (table {} externref)) (func (export "size") (result {}) (table.size 0)))'
    assert figwasp.load(figwasp.wat(importing.format("i64 1", "i64")), {"env": {"t": table}}).exports.size() == 2
    with pytest.raises(errors.Unlinkable, match="table i64 2"):
        figwasp.load(figwasp.wat(importing.format("1", "i32")), {"env": {"t": table}})
    with pytest.raises(ValueError, match="i32"):
        figwasp.Table("externref", 2, address="i16")
