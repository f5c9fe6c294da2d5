"""Modules of proposals that came after the first WebAssembly: several of them at once."""

from __future__ import annotations

import pytest

import figwasp
from figwasp import errors


def load(text: str, imports: dict[str, object] | None = None) -> figwasp.Instance:
    return figwasp.load(figwasp.wat(f"(module {text})"), imports)


def test_constants_are_computed_and_read_earlier_globals() -> None:
    instance = load(
        """(global $a i32 (i32.const 40)) (global (export "b") i32 (i32.add (global.get $a) (i32.const 2)))
        (memory (export "m") 1) (data (i32.mul (global.get $a) (i32.const 2)) "x")"""
    )
    assert instance.exports.b.value == 42
    assert instance.exports.m[80:81] == b"x"


def test_several_memories() -> None:
    instance = load(
        """(memory $a (export "a") 1) (memory $b (export "b") 1 3) (data (memory $b) (i32.const 5) "five")
        (func (export "copy") (memory.copy $a $b (i32.const 0) (i32.const 5) (i32.const 4)))
        (func (export "grow") (result i32) (memory.grow $b (i32.const 2)))
        (func (export "read") (param i32) (result i32) (i32.load8_u $b (local.get 0)))"""
    )
    instance.exports.copy()
    assert instance.exports.a[:4] == b"five"
    assert instance.exports.read(5) == ord("f")
    assert instance.exports.grow() == 1
    assert instance.exports.read(3 * 65536 - 1) == 0
    with pytest.raises(errors.Trap, match="out of bounds memory access"):
        instance.exports.read(3 * 65536)


def test_tags_are_told_apart_by_their_types() -> None:
    exporter = load('(type (func (param i32))) (tag (export "t") (type 0))')
    assert repr(exporter.exports.t) == "<figwasp.Tag (i32) -> ()>"
    importer = load('(import "m" "t" (tag (param i32))) (export "t" (tag 0))', {"m": exporter})
    assert importer.exports.t is exporter.exports.t
    for wrong in ("(tag)", "(tag (param i64))", "(func)", "(global i32)", "(memory 0)"):
        with pytest.raises(errors.Unlinkable, match="incompatible import type"):
            load(f'(import "m" "t" {wrong})', {"m": exporter})
    with pytest.raises(errors.Unlinkable, match="must be a tag"):
        load('(import "m" "t" (tag))', {"m": {"t": print}})


def test_functions_match_by_declared_subtyping_across_modules() -> None:
    types = "(type $a (sub (func (result i32)))) (type $b (sub $a (func (result i32)))) (type $c (sub $b (func (result i32))))"
    exporter = load(f'{types} (func (export "f") (type $b) (i32.const 1))')
    # The same types under other indices, with others between.
    shifted = "(type (struct)) " + types
    for wanted in ("$a", "$b"):
        instance = load(f'{shifted} (import "m" "f" (func (type {wanted}))) (export "f" (func 0))', {"m": exporter})
        assert instance.exports.f() == 1
    with pytest.raises(errors.Unlinkable, match="incompatible import type"):
        load(f'{shifted} (import "m" "f" (func (type $c)))', {"m": exporter})
    with pytest.raises(errors.Unlinkable, match="incompatible import type"):
        load('(import "m" "f" (func (result i32)))', {"m": exporter})


def test_recursive_types_are_equal_across_modules_when_their_groups_are() -> None:
    group = "(rec (type $f (func (param (ref null $g)))) (type $g (func (param (ref null $f)))))"
    exporter = load(f'{group} (func (export "f") (type $f))')
    load(f'(type (func)) {group} (import "m" "f" (func (type $f)))', {"m": exporter})
    other = "(rec (type $g (func (param (ref null $f)))) (type $f (func (param (ref null $g)))) (type (func)))"
    with pytest.raises(errors.Unlinkable):
        load(f'{other} (import "m" "f" (func (type $f)))', {"m": exporter})


def test_references_that_are_never_null() -> None:
    seen: list[object] = []
    instance = load(
        """(import "m" "f" (func $f (param (ref extern))))
        (func (export "pass") (param externref))
        (export "f" (func $f))""",
        {"m": {"f": seen.append}},
    )
    instance.exports.f("something")
    assert seen == ["something"]
    with pytest.raises(TypeError):
        instance.exports.f(None)


def test_a_table_with_an_initial_value() -> None:
    instance = load(
        """(func $f (result i32) (i32.const 9)) (table $t (export "t") 3 funcref (ref.func $f))
        (func (export "g") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))"""
    )
    assert [element() for element in instance.exports.t] == [9, 9, 9]
    assert instance.exports.g(2) == 9


def test_tags_among_imports_and_exports() -> None:
    module = figwasp.Module(figwasp.wat('(module (import "m" "t" (tag $t (param i32))) (export "u" (tag $t)))'))
    assert [(item.kind, repr(item.type)) for item in module.imports] == [("tag", "(i32) -> ()")]
    assert [(item.kind, repr(item.type)) for item in module.exports] == [("tag", "(i32) -> ()")]
