"""References of function-references and gc across the border: i31s, any objects, functions of a type, what is not null."""

from __future__ import annotations

import enum
import gc
import weakref
from typing import Any

import pytest

import figwasp
from tests.runtime.support import host, load

ANY = """(module
  (import "host" "see" (func $see (param anyref externref i31ref) (result anyref)))
  (table $t (export "table") 4 anyref)
  (table $x (export "externs") 4 externref)
  (table $q (export "eqs") 4 eqref)
  (global $g (export "global") (mut anyref) (ref.null any))
  (global (export "number") i31ref (ref.i31 (i32.const -7)))
  (global (export "same") externref (extern.convert_any (ref.i31 (i32.const 12))))
  (elem $e anyref (ref.i31 (i32.const 1)) (ref.null none) (global.get $i))
  (global $i i31ref (ref.i31 (i32.const 2)))
  (func (export "any") (param anyref) (result anyref) (local.get 0))
  (func (export "eq") (param eqref) (result eqref) (local.get 0))
  (func (export "i31") (param i31ref) (result i31ref) (local.get 0))
  (func (export "not_null") (param (ref i31)) (result (ref i31)) (local.get 0))
  (func (export "some") (param (ref any)) (result (ref any)) (local.get 0))
  (func (export "some_extern") (param (ref extern)) (result (ref extern)) (local.get 0))
  (func (export "none") (param nullref) (result nullref) (local.get 0))
  (func (export "struct") (param structref))
  (func (export "is_i31") (param anyref) (result i32) (ref.test (ref i31) (local.get 0)))
  (func (export "extern_is_i31") (param externref) (result i32) (ref.test (ref i31) (any.convert_extern (local.get 0))))
  (func (export "get_u") (param i31ref) (result i32) (i31.get_u (local.get 0)))
  (func (export "to_any") (param externref) (result anyref) (any.convert_extern (local.get 0)))
  (func (export "to_extern") (param anyref) (result externref) (extern.convert_any (local.get 0)))
  (func (export "put") (param i32 anyref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result anyref) (table.get $t (local.get 0)))
  (func (export "put_extern") (param i32 anyref) (table.set $x (local.get 0) (extern.convert_any (local.get 1))))
  (func (export "put_eq") (param i32 eqref) (table.set $q (local.get 0) (local.get 1)))
  (func (export "keep") (param anyref) (global.set $g (local.get 0)))
  (func (export "fill") (param anyref) (table.fill $t (i32.const 0) (local.get 0) (i32.const 4)))
  (func (export "grow") (param anyref) (result i32) (table.grow $t (local.get 0) (i32.const 2)))
  (func (export "copy") (table.copy $t $t (i32.const 2) (i32.const 0) (i32.const 2)))
  (func (export "init") (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 3)))
  (func (export "show") (param anyref) (result anyref)
    (call $see (local.get 0) (extern.convert_any (local.get 0)) (ref.i31 (i32.const 3)))))"""


class Thing:
    """An object that can be watched."""


class Number(enum.IntEnum):
    """Numbers that are more than that."""

    ONE = 1


def start(see: Any = lambda *args: None) -> figwasp.Instance:
    return load(ANY, host(see=see))


@pytest.mark.parametrize("value", [0, 1, -1, 2**30 - 1, -(2**30)])
def test_small_ints_are_i31s(value: int) -> None:
    inst = start()
    assert inst.any(value) == inst.eq(value) == inst.i31(value) == inst.not_null(value) == value
    assert inst.is_i31(value) == 1
    assert inst.get_u(value) == value & 0x7FFF_FFFF
    assert inst.to_extern(value) == value


@pytest.mark.parametrize("value", [2**30, 2**31 - 1])
def test_unsigned_i31s_come_back_signed(value: int) -> None:
    inst = start()
    assert inst.i31(value) == inst.eq(value) == inst.not_null(value) == value - 2**31
    assert inst.get_u(value) == value


@pytest.mark.parametrize("value", [2**31, -(2**30) - 1, 10**40])
@pytest.mark.parametrize("name", ["i31", "eq", "not_null"])
def test_ints_that_do_not_fit(name: str, value: int) -> None:
    with pytest.raises(OverflowError, match=rf"argument 1 of {name}\(\) is out of range for .*: {value}"):
        start().exports[name](value)


@pytest.mark.parametrize("value", [2**30, -(2**30) - 1, 2**64, True, Number.ONE, 1.5, "text", [], object(), print])
def test_everything_else_is_an_object_of_the_host_for_anyref(value: object) -> None:
    inst = start()
    assert inst.any(value) is value
    assert inst.some(value) is value
    assert inst.is_i31(value) == 0
    assert inst.to_extern(value) is value
    inst.keep(value)
    assert inst.exports["global"].value is value


@pytest.mark.parametrize("value", [5, -1, 10**9 + 7, True, "x"])
def test_an_externref_is_the_very_object(value: object) -> None:
    inst = start()
    assert inst.to_any(value) is value
    assert inst.extern_is_i31(value) == 0
    assert inst.some_extern(value) is value


@pytest.mark.parametrize("value", ["x", 1.0, object()])
def test_no_i31(value: object) -> None:
    for name in ("i31", "eq", "not_null"):
        with pytest.raises(TypeError, match=rf"argument 1 of {name}\(\) must be an int \(.*\), not {type(value).__name__}"):
            start().exports[name](value)


def test_what_cannot_come_from_python() -> None:
    inst = start()
    assert inst.none(None) is None
    for name, wanted in (("none", r"None \(nullref\)"), ("struct", r"an object of WebAssembly \(structref\)")):
        with pytest.raises(TypeError, match=f"must be {wanted}, not int"):
            inst.exports[name](1)


@pytest.mark.parametrize("name", ["some", "some_extern", "not_null"])
def test_none_for_what_is_not_null(name: str) -> None:
    with pytest.raises(TypeError, match=rf"argument 1 of {name}\(\) must not be None \(\(ref \w+\)\)"):
        start().exports[name](None)


def test_globals_and_tables_of_a_module() -> None:
    inst = start()
    assert inst.number.value == -7 and inst.same.value == 12
    inst.init()
    assert list(inst.table) == [1, None, 2, None]
    inst.put_extern(1, 6)
    inst.put_extern(2, inst)
    assert list(inst.externs) == [None, 6, inst, None]
    inst.put_eq(0, 9)
    inst.eqs[3] = -4
    assert list(inst.eqs) == [9, None, None, -4]
    with pytest.raises(TypeError, match="a table element must be an int"):
        inst.eqs[0] = "text"


def test_host_functions_see_what_there_is() -> None:
    seen: list[Any] = []

    def see(*args: Any) -> object:
        seen.append(args)
        return args[0]

    inst = start(see)
    thing = Thing()
    for value in (thing, 7, None, "x"):
        assert inst.show(value) is value
        assert seen.pop() == (value, value, 3)


def test_a_table_of_anyref_keeps_objects_and_lets_them_go() -> None:
    inst = start()
    thing = Thing()
    watch = weakref.ref(thing)
    inst.fill(thing)
    del thing
    inst.put(0, 5)
    gc.collect()
    assert inst.get(0) == 5 and inst.get(3) is watch() is not None
    inst.copy()  # two numbers, and an object, come over objects
    assert [inst.get(k) == 5 for k in range(4)] == [True, False, True, False]
    for k in range(4):
        assert watch() is not None
        inst.put(k, k)
    assert watch() is None
    thing = Thing()
    watch = weakref.ref(thing)
    assert inst.grow(thing) == 4
    inst.keep(thing)
    del thing
    inst.table[4] = inst.table[5] = None
    assert inst.exports["global"].value is watch() is not None
    inst.keep(1)
    assert watch() is None


def test_objects_of_tables_of_anyref_die_with_the_instance() -> None:
    inst = start()
    things = [Thing(), Thing(), Thing()]
    watches = [weakref.ref(thing) for thing in things]
    inst.put(1, things[0])
    inst.keep(things[1])
    inst.put_extern(2, things[2])
    del things
    gc.collect()
    assert all(watch() is not None for watch in watches)
    del inst
    gc.collect()
    assert not any(watch() for watch in watches)


@pytest.mark.parametrize("converted", ["any.convert_extern", ""])
def test_a_segment_keeps_objects_until_it_is_dropped(converted: str) -> None:
    own = "externref" if converted else "anyref"
    text = f"""(module (import "host" "g" (global $g {own}))
      (table $t (export "table") 3 anyref)
      (elem $e anyref (item global.get $g {converted}) (item (ref.i31 (i32.const 4))) (item global.get $g {converted}))
      (func (export "init") (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 3)))
      (func (export "drop") (elem.drop $e)))"""
    thing = Thing()
    watch = weakref.ref(thing)
    cell = figwasp.Global(own, thing, mutable=False)
    inst = load(text, host(g=cell))
    del thing
    inst.init()
    assert list(inst.table) == [watch(), 4, watch()] and watch() is not None
    for k in range(3):
        inst.table[k] = None
    inst.drop()
    assert watch() is not None  # the global has it
    del cell, inst
    gc.collect()
    assert watch() is None


def test_tables_and_globals_made_in_python() -> None:
    table = figwasp.Table("anyref", 2, value=3)
    cell = figwasp.Global("anyref", "text", mutable=True)
    eq = figwasp.Global("eqref", 4)
    i31s = figwasp.Table("i31ref", 1, value=2**31 - 1)
    inst = load(
        """(module (import "host" "table" (table 1 anyref)) (import "host" "cell" (global $c (mut anyref)))
        (import "host" "eq" (global $e eqref)) (import "host" "i31s" (table $i 1 i31ref))
        (func (export "get") (result anyref anyref anyref i31ref)
          (table.get 0 (i32.const 0)) (global.get $c) (global.get $e) (table.get $i (i32.const 0))))""",
        host(table=table, cell=cell, eq=eq, i31s=i31s),
    )
    assert inst.get() == (3, "text", 4, -1)
    table[0] = cell.value = None
    assert inst.get() == (None, None, 4, -1)
    with pytest.raises(ValueError, match="a table holds funcref, externref, anyref, eqref, i31ref, not structref"):
        figwasp.Table("structref", 1)


FUNCS = """(module
  (type $un (func (param i32) (result i32)))
  (type $open (sub (func (param i32)))) (type $closed (sub final $open (func (param i32))))
  (import "host" "give" (func $give (result (ref null $un))))
  (import "host" "take" (func $take (param (ref $un)) (result i32)))
  (func $neg (export "neg") (type $un) (i32.sub (i32.const 0) (local.get 0)))
  (func $o (export "o") (type $open)) (func $c (export "c") (type $closed))
  (table (export "table") 2 (ref null $un))
  (table (export "full") 2 (ref $un) (ref.func $neg))
  (global (export "global") (mut (ref null $un)) (ref.null $un))
  (global (export "there") (ref $un) (ref.func $neg))
  (func (export "call") (param (ref null $un) i32) (result i32) (call_ref $un (local.get 1) (local.get 0)))
  (func (export "sure") (param (ref $un)) (result (ref null $un)) (local.get 0))
  (func (export "an_open") (param (ref $open)) (result i32) (ref.test (ref $closed) (local.get 0)))
  (func (export "a_closed") (param (ref null $closed)))
  (func (export "given") (result i32) (call_ref $un (i32.const 5) (call $give)))
  (func (export "taken") (result i32) (call $take (ref.func $neg)))
  (func (export "nothing") (param nullfuncref))
  (elem declare func $neg))"""


def funcs(give: Any = None, take: Any = None) -> figwasp.Instance:
    return load(FUNCS, host(give=give or (lambda: None), take=take or (lambda func: func(3))))


def test_functions_of_a_type() -> None:
    inst = funcs()
    other = load('(module (type $shift (func (result i32))) (func (export "f") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1))))')
    assert inst.call(inst.neg, 5) == -5 and inst.call(other.f, 5) == 10
    assert inst.sure(inst.neg) == inst.neg
    assert inst.an_open(inst.o) == 0 and inst.an_open(inst.c) == 1
    assert inst.taken() == -3
    with pytest.raises(figwasp.Trap, match="null function reference"):
        inst.call(None, 1)


def test_functions_of_another_type() -> None:
    inst = funcs()
    for name, func in (("sure", inst.o), ("an_open", inst.neg), ("a_closed", inst.o), ("nothing", inst.neg)):
        with pytest.raises(TypeError, match=rf"argument 1 of {name}\(\) must be a WebAssembly function of another type \(.*, not <figwasp.Func"):
            inst.exports[name](func)
    for value in (print, 1, "x"):
        with pytest.raises(TypeError, match=r"argument 1 of sure\(\) must be a WebAssembly function \(\(ref 0\)\), not "):
            inst.sure(value)
    with pytest.raises(TypeError, match=r"must not be None \(\(ref 0\)\)"):
        inst.sure(None)
    inst.a_closed(None)
    inst.nothing(None)


def test_what_a_host_function_gives() -> None:
    answers: list[Any] = []
    inst = funcs(give=lambda: answers[-1])
    answers.append(inst.neg)
    assert inst.given() == -5
    answers.append(None)
    with pytest.raises(figwasp.Trap, match="null function reference"):
        inst.given()
    answers.append(inst.o)
    with pytest.raises(TypeError, match=r"result of host.give\(\) must be a WebAssembly function of another type"):
        inst.given()


def test_tables_and_globals_of_functions_of_a_type() -> None:
    inst = funcs()
    other = load('(module (func (export "f") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1))))')
    assert [func(4) for func in inst.full] == [-4, -4] and inst.there.value(1) == -1
    inst.table[1] = other.f
    inst.exports["global"].value = other.f
    del other
    gc.collect()
    assert inst.table[0] is None and inst.table[1](4) == 8 and inst.exports["global"].value(3) == 6
    with pytest.raises(TypeError, match="a table element must be a WebAssembly function of another type"):
        inst.table[0] = inst.o
    with pytest.raises(TypeError, match="a table element must not be None"):
        inst.full[0] = None
    with pytest.raises(TypeError, match="the value of a global must be a WebAssembly function of another type"):
        inst.exports["global"].value = inst.c


IMPORTS = """(module (type $x (func (param i64))) (type $f (func (result i32)))
  (import "host" "i" (global $i i31ref)) (import "host" "a" (global $a (ref any))) (import "host" "f" (global $f (ref $f)))
  (import "host" "g" (global $g funcref))
  (func (export "all") (result i32 anyref i32 i32)
    (i31.get_s (global.get $i)) (global.get $a) (call_ref $f (global.get $f)) (ref.is_null (global.get $g))))"""


def test_values_for_imported_globals() -> None:
    func = load('(module (memory 1) (func (export "f") (result i32) (i32.load8_u (i32.const 65535))))').exports.f
    thing = Thing()
    inst = load(IMPORTS, host(i=-5, a=thing, f=func, g=func))
    watch = weakref.ref(thing)
    del thing, func
    gc.collect()
    for _ in range(20):
        load("(module (memory 1))")
    assert inst.all() == (-5, watch(), 0, 0) and watch() is not None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"i": "text"}, r"host.i must be global i31ref: the value of a global must be an int \(i31ref\), not str"),
        ({"i": 2**31}, "out of range for i31ref"),
        ({"a": None}, r"host.a must be global \(ref any\): the value of a global must not be None"),
        ({"f": None}, r"host.f must be global \(ref 1\): the value of a global must not be None"),
        ({"f": print}, r"host.f must be global \(ref 1\): the value of a global must be a WebAssembly function \(\(ref 1\)\), not"),
        ({"f": "void"}, r"host.f must be global \(ref 1\): the value of a global must be a WebAssembly function of another type"),
    ],
)
def test_values_that_do_not_fit_imported_globals(given: dict[str, Any], message: str) -> None:
    right = load('(module (func (export "f") (result i32) (i32.const 1)))').exports.f
    void = load('(module (func (export "f")))').exports.f
    values = {"i": 1, "a": 1, "f": right, "g": None} | {name: void if value == "void" else value for name, value in given.items()}
    with pytest.raises(figwasp.Incompatible, match=message):
        load(IMPORTS, host(**values))


def test_i31s_in_externrefs_through_emitted_code() -> None:
    """Functions of numbers and externrefs have code made for their type, which meets null, i31s and objects alike."""
    seen: list[Any] = []
    inst = load(
        """(module (import "host" "f" (func $f (param externref)))
        (func (export "out") (param i32) (result externref) (extern.convert_any (ref.i31 (local.get 0))))
        (func (export "same") (param externref) (result externref) (local.get 0))
        (func (export "both") (param externref i32)
          (call $f (local.get 0)) (call $f (extern.convert_any (ref.i31 (local.get 1)))) (call $f (ref.null extern))))""",
        host(f=seen.append),
    )
    thing = Thing()
    for number in (0, 5, -5, 2**30 - 1, -(2**30), 10**9):
        assert inst.out(number) == number and inst.same(number) is number and inst.same(None) is None
        for _ in range(20):  # the first calls of a host function are the record's
            inst.both(thing, number)
            assert seen == [thing, number, None]
            seen.clear()
    watch = weakref.ref(thing)
    del thing
    assert watch() is None
