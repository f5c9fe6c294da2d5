"""Instantiation: order and errors (spec 4.7.3), and what instances share."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import pytest

import figwasp
from tests.runtime.support import host, load

PROVIDER = """(module
  (func (export "func") (param i32) (result i32) (local.get 0))
  (global (export "const") i32 (i32.const 5)) (global (export "var") (mut i32) (i32.const 6))
  (global (export "wide") i64 (i64.const 7))
  (table (export "table") 10 20 funcref) (table (export "refs") 10 externref)
  (memory (export "memory") 2 4))"""

IMPORTS = {
    "func": "(func (param i32) (result i32))",
    "const": "(global i32)",
    "var": "(global (mut i32))",
    "wide": "(global i64)",
    "table": "(table 10 20 funcref)",
    "refs": "(table 5 externref)",
    "memory": "(memory 1 5)",
}


def importing(name: str, type_: str) -> str:
    """Write a module with one import."""
    return f'(module (import "m" "{name}" {type_}))'


@pytest.fixture(scope="module")
def provider() -> figwasp.Instance:
    return load(PROVIDER)


@pytest.mark.parametrize(("name", "type_"), IMPORTS.items())
def test_matching_imports(provider: figwasp.Instance, name: str, type_: str) -> None:
    """Each kind of export satisfies an import of its type, from an instance, its exports, a mapping and a namespace."""
    text = importing(name, type_)
    value = provider.exports[name]
    for imports in (provider, provider.exports, {name: value}, SimpleNamespace(**{name: value})):
        load(text, {"m": imports})


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("func", "(func (param i32))"),
        ("func", "(func (param i64) (result i32))"),
        ("func", "(func (param i32 i32) (result i32))"),
        ("func", "(func (param i32) (result i32 i32))"),
        ("func", "(global i32)"),
        ("func", "(table 1 funcref)"),
        ("func", "(memory 1)"),
        ("const", "(global (mut i32))"),
        ("const", "(global i64)"),
        ("const", "(func)"),
        ("const", "(memory 1)"),
        ("var", "(global i32)"),
        ("var", "(global (mut i64))"),
        ("wide", "(global f64)"),
        ("table", "(table 11 20 funcref)"),
        ("table", "(table 10 19 funcref)"),
        ("table", "(table 10 20 externref)"),
        ("table", "(func)"),
        ("table", "(memory 1)"),
        ("refs", "(table 10 funcref)"),
        ("refs", "(table 10 100 externref)"),
        ("memory", "(memory 3)"),
        ("memory", "(memory 2 3)"),
        ("memory", "(global i32)"),
        ("memory", "(func)"),
        ("memory", "(table 1 funcref)"),
    ],
)
def test_incompatible_imports(provider: figwasp.Instance, name: str, type_: str) -> None:
    """An export of another type is unlinkable, with the spec's wording and the names of the import."""
    with pytest.raises(figwasp.Unlinkable, match=rf"^incompatible import type: m\.{name} "):
        load(importing(name, type_), {"m": provider})


@pytest.mark.parametrize("type_", ["(func)", "(global i32)", "(table 1 funcref)", "(memory 1)"])
def test_missing_imports(type_: str) -> None:
    """A missing module or name is unlinkable, with the spec's wording and the names of the import."""
    imports: Any
    for imports in (None, {}, {"n": {}}, {"m": {}}, {"m": {"y": 1}}, {"m": SimpleNamespace()}, {"m": load("(module)")}, {"m": None}):
        with pytest.raises(figwasp.Unlinkable, match=r"^unknown import: m\.x"):
            load(importing("x", type_), imports)


@pytest.mark.parametrize(
    ("type_", "value"),
    [("(func)", 1), ("(func)", None), ("(func)", "f"), ("(global i32)", "1"), ("(global i32)", 1.5), ("(global i32)", 2**32)]
    + [("(global (mut i32))", 1), ("(global i64)", None), ("(global f32)", "x"), ("(global funcref)", 1), ("(global funcref)", len)]
    + [("(memory 1)", b"x"), ("(memory 1)", 1), ("(table 1 funcref)", [None]), ("(table 1 funcref)", None), ("(memory 0)", None)],
)
def test_objects_of_the_wrong_kind(type_: str, value: object) -> None:
    """Python objects that cannot be what is imported are unlinkable."""
    with pytest.raises(figwasp.Unlinkable, match=r"^incompatible import type: m\.x"):
        load(importing("x", type_), {"m": {"x": value}})


def test_plain_numbers_as_globals() -> None:
    """An immutable global may be given as a plain number or object."""
    marker = object()
    inst = load(
        """(module (import "m" "i" (global $i i32)) (import "m" "j" (global $j i64)) (import "m" "f" (global $f f32))
        (import "m" "d" (global $d f64)) (import "m" "r" (global $r externref)) (import "m" "n" (global $n funcref))
        (global $copy i64 (global.get $j))
        (func (export "all") (result i32 i64 f32 f64 externref funcref i64)
          (global.get $i) (global.get $j) (global.get $f) (global.get $d) (global.get $r) (global.get $n) (global.get $copy)))""",
        {"m": {"i": 2**32 - 1, "j": -5, "f": 0.1, "d": 7, "r": marker, "n": None}},
    )
    assert inst.all() == (-1, -5, 0.10000000149011612, 7.0, marker, None, -5)
    gc.collect()
    assert inst.all()[4] is marker


def test_limits_count_the_present_size() -> None:
    """The present size of a memory or table counts as its minimum; the maximum is that of its type."""
    memory = figwasp.Memory(1, 5)
    with pytest.raises(figwasp.Unlinkable):
        load(importing("x", "(memory 2)"), {"m": {"x": memory}})
    memory.grow(1)
    load(importing("x", "(memory 2)"), {"m": {"x": memory}})
    load(importing("x", "(memory 2 5)"), {"m": {"x": memory}})
    table = figwasp.Table("funcref", 1)
    with pytest.raises(figwasp.Unlinkable):
        load(importing("x", "(table 3 funcref)"), {"m": {"x": table}})
    table.grow(2)
    load(importing("x", "(table 3 funcref)"), {"m": {"x": table}})
    with pytest.raises(figwasp.Unlinkable):
        load(importing("x", "(table 3 1000 funcref)"), {"m": {"x": table}})


def test_all_imports_are_checked_before_anything_happens() -> None:
    """When the last import is wrong, no segment was written and the start function did not run."""
    memory = figwasp.Memory(1)
    ran: list[int] = []
    with pytest.raises(figwasp.Unlinkable):
        load(
            """(module (import "m" "memory" (memory 1)) (import "m" "run" (func $run)) (import "m" "missing" (func))
            (data (i32.const 0) "x") (start $run))""",
            {"m": {"memory": memory, "run": lambda: ran.append(1)}},
        )
    assert memory[0] == 0 and not ran


def test_active_segments_write_in_order_until_one_does_not_fit() -> None:
    """Element segments come first, then data segments, each whole; what was written before the failing one stays."""
    memory = figwasp.Memory(1)
    table = figwasp.Table("funcref", 4)
    text = """(module (import "m" "memory" (memory 1)) (import "m" "table" (table 4 funcref)) (import "m" "run" (func $run))
      (func $f (result i32) (i32.load8_u (i32.const 2)))
      (elem (i32.const 1) func $f) {elem}
      (data (i32.const 0) "abc") {data} (data (i32.const 5) "z") (start $run))"""
    ran: list[int] = []
    imports = {"m": {"memory": memory, "table": table, "run": lambda: ran.append(1)}}
    with pytest.raises(figwasp.Trap, match="out of bounds table access"):
        load(text.format(elem="(elem (i32.const 3) func $f $f)", data=""), imports)
    assert table[1]() == 0 and table[3] is None and memory[:6] == bytes(6)
    with pytest.raises(figwasp.Trap, match="out of bounds memory access"):
        load(text.format(elem="", data='(data (i32.const 65534) "qwe")'), imports)
    gc.collect()
    assert table[1]() == ord("c") and memory[:6] == b"abc\0\0\0" and memory[65534:] == b"\0\0" and not ran
    load(text.format(elem="", data=""), imports)
    assert ran == [1] and memory[5] == ord("z")


@pytest.mark.parametrize(
    ("field", "fits"),
    [
        ('(data (i32.const 65536) "")', True),
        ('(data (i32.const 65537) "")', False),
        ('(data (i32.const 65535) "a")', True),
        ('(data (i32.const 65535) "ab")', False),
        ('(data (i32.const -1) "a")', False),
        ('(data (i32.const -1) "")', False),
        ("(elem (i32.const 10) func)", True),
        ("(elem (i32.const 11) func)", False),
        ("(elem (i32.const 9) func $f)", True),
        ("(elem (i32.const 10) func $f)", False),
        ("(elem (i32.const -1) func $f)", False),
        ("(elem (i32.const -1) func)", False),
    ],
)
def test_active_segments_at_the_edge(field: str, fits: bool) -> None:
    """Active segments fit up to the last byte or element, an empty one also at the very end."""
    text = f"(module (memory 1) (table 10 funcref) (func $f) {field})"
    if fits:
        load(text)
    else:
        with pytest.raises(figwasp.Trap, match="out of bounds (memory|table) access"):
            load(text)


def test_segments_are_dropped_after_instantiation() -> None:
    """Active and declarative segments are empty for init afterwards; passive ones are per instance."""
    source = figwasp.Module(
        figwasp.wat(
            """(module (memory (export "memory") 1) (table $t (export "table") 4 funcref) (func $f)
            (data $a (i32.const 0) "abc") (data $p "xyz") (elem $ea (i32.const 0) func $f) (elem $ep func $f $f) (elem $ed declare func $f)
            (func (export "data_active") (param i32) (memory.init $a (i32.const 10) (i32.const 0) (local.get 0)))
            (func (export "data_passive") (param i32) (memory.init $p (i32.const 10) (i32.const 0) (local.get 0)))
            (func (export "drop") (data.drop $p) (elem.drop $ep))
            (func (export "elem_active") (param i32) (table.init $t $ea (i32.const 2) (i32.const 0) (local.get 0)))
            (func (export "elem_declared") (param i32) (table.init $t $ed (i32.const 2) (i32.const 0) (local.get 0)))
            (func (export "elem_passive") (param i32) (table.init $t $ep (i32.const 2) (i32.const 0) (local.get 0))))"""
        )
    )
    one, two = figwasp.load(source), figwasp.load(source)
    for name in ("data_active", "elem_active", "elem_declared"):
        one.exports[name](0)
        with pytest.raises(figwasp.Trap):
            one.exports[name](1)
    one.data_passive(3)
    one.elem_passive(2)
    one.drop()
    for name in ("data_passive", "elem_passive"):
        with pytest.raises(figwasp.Trap):
            one.exports[name](1)
        two.exports[name](1)


def test_start_function() -> None:
    """The start function runs last, may call the host and the instance's own functions, and its trap leaves loading."""
    seen: list[int] = []
    inst = load(
        """(module (import "host" "see" (func $see (param i32))) (memory 1) (global $g (export "g") (mut i32) (i32.const 3))
        (data (i32.const 8) "*")
        (func $start (call $see (i32.load8_u (i32.const 8))) (global.set $g (i32.const 9)) (call $see (global.get $g)))
        (start $start))""",
        host(see=seen.append),
    )
    assert seen == [42, 9] and inst.g.value == 9
    with pytest.raises(figwasp.Trap, match="unreachable") as caught:
        load('(module (func $inner unreachable) (func $go (call $inner)) (start $go))')
    assert [frame.name for frame in caught.value.frames] == ["inner", "go"]
    error = ValueError("from start")

    def fail() -> None:
        raise error

    with pytest.raises(ValueError, match="from start") as raised:
        load('(module (import "host" "f" (func $f)) (start $f))', host(f=fail))
    assert raised.value is error
    with pytest.raises(figwasp.Exhaustion):
        load("(module (func $r (call $r)) (start $r))")


def test_start_function_is_an_import() -> None:
    """The start function may be an imported host function or a function of another instance."""
    ran: list[int] = []
    load('(module (import "host" "f" (func $f)) (start $f))', host(f=lambda: ran.append(1)))
    other = load('(module (global $n (export "n") (mut i32) (i32.const 0)) (func (export "f") (global.set $n (i32.const 1))))')
    load('(module (import "host" "f" (func $f)) (start $f))', {"host": other})
    assert ran == [1] and other.n.value == 1
    with pytest.raises(TypeError, match="result of host.f"):
        load('(module (import "host" "f" (func $f)) (start $f))', host(f=lambda: 1))


def test_functions_of_a_failed_instantiation_live_on_in_foreign_tables() -> None:
    """What a failed instantiation put into an imported table before it failed stays callable."""
    table = figwasp.Table("funcref", 2)
    for k in range(20):
        with pytest.raises(figwasp.Trap):
            load(
                """(module (import "m" "t" (table 2 funcref)) (memory 1) (global $n (mut i32) (i32.const 100))
                (func $f (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.store (i32.const 0) (global.get $n))
                  (i32.load (i32.const 0)))
                (elem (i32.const 1) func $f) (func $s unreachable) (start $s))""",
                {"m": {"t": table}},
            )
        gc.collect()
        assert table[1]() == 101 and table[1]() == 102, k


def test_shared_mutable_global() -> None:
    """A mutable global is one cell for its instance, importers and Python."""
    inst = load('(module (global (export "g") (mut i64) (i64.const 1)) (func (export "get") (result i64) (global.get 0)))')
    text = """(module (import "m" "g" (global $g (mut i64))) (export "again" (global $g))
      (func (export "add") (param i64) (global.set $g (i64.add (global.get $g) (local.get 0)))))"""
    other = load(text, {"m": inst})
    third = load(text.replace('"m" "g"', '"m" "again"'), {"m": other})
    other.add(10)
    third.add(100)
    assert inst.get() == 111 and inst.g.value == other.again.value == third.again.value == 111
    third.again.value = -1
    assert inst.get() == -1
    del inst, other
    gc.collect()
    third.add(43)
    assert third.again.value == 42


def test_host_globals() -> None:
    """Globals made by the host are shared and typed."""
    counter = figwasp.Global("i32", 5, mutable=True)
    text = '(module (import "m" "g" (global $g (mut i32))) (func (export "inc") (global.set $g (i32.add (global.get $g) (i32.const 1)))))'
    one, two = load(text, {"m": {"g": counter}}), load(text, {"m": {"g": counter}})
    one.inc()
    two.inc()
    assert counter.value == 7
    counter.value = 2**32 - 1
    assert counter.value == -1
    two.inc()
    assert counter.value == 0
    for bad, error in (("x", TypeError), (1.5, TypeError), (2**32, OverflowError)):
        with pytest.raises(error):
            counter.value = bad
    with pytest.raises(TypeError, match="immutable"):
        figwasp.Global("f64", 1.5).value = 2.0
    assert figwasp.Global("f32", 0.1).value == 0.10000000149011612
    with pytest.raises((ValueError, TypeError)):
        figwasp.Global("i16", 1)


def test_shared_memory_and_table_between_instances() -> None:
    """Memory and table exports are shared; growing in one place is seen everywhere."""
    inst = load(
        """(module (memory (export "memory") 1 4) (table (export "table") 2 6 funcref)
        (type $v (func (result i32))) (func $f (result i32) (i32.const 7)) (elem (i32.const 0) func $f)
        (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "call") (param i32) (result i32) (call_indirect (type $v) (local.get 0)))
        (func (export "sizes") (result i32 i32) (memory.size) (table.size 0)))"""
    )
    other = load(
        """(module (import "m" "memory" (memory 1)) (import "m" "table" (table 2 funcref)) (type $v (func (result i32)))
        (func $g (result i32) (i32.add (call_indirect (type $v) (i32.const 0)) (i32.const 1)))
        (elem (i32.const 1) func $g)
        (func (export "put") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
        (func (export "grow") (result i32 i32) (memory.grow (i32.const 1)) (table.grow (ref.func $g) (i32.const 2)))
        (func (export "sizes") (result i32 i32) (memory.size) (table.size 0)))""",
        {"m": inst},
    )
    other.put(100, 5)
    assert inst.get(100) == 5 and inst.call(1) == 8
    with pytest.raises(figwasp.Trap):
        inst.get(70000)
    assert other.grow() == (1, 2)
    other.put(70000, 6)
    assert inst.get(70000) == 6 and inst.sizes() == other.sizes() == (2, 4) and inst.call(3) == 8
    inst.memory.grow(2)
    inst.table.grow(2, inst.table[0])
    other.put(4 * 65536 - 4, 9)
    assert inst.get(4 * 65536 - 4) == 9 and inst.call(5) == 7
    assert other.grow() == (-1, -1)
    with pytest.raises(MemoryError):
        inst.memory.grow(1)
    with pytest.raises(MemoryError):
        inst.table.grow(1)
    del other
    gc.collect()
    assert inst.call(1) == 8


def test_functions_are_shared_by_identity() -> None:
    """A re-exported function is the same function: same cell of state, equal objects, and the type check of call_indirect holds."""
    inst = load(
        '(module (global $n (mut i32) (i32.const 0)) (func (export "next") (result i32) '
        "(global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"
    )
    other = load('(module (import "m" "next" (func $f (result i32))) (export "again" (func $f)) '
                 '(type $v (func (result i32))) (table 1 funcref) (elem (i32.const 0) func $f) '
                 '(func (export "call") (result i32) (call $f)) (func (export "indirect") (result i32) (call_indirect (type $v) (i32.const 0))))',
                 {"m": inst})  # fmt: skip
    assert other.exports.again == inst.exports.next
    assert [inst.next(), other.again(), other.call(), other.indirect()] == [1, 2, 3, 4]


def test_types_are_compared_by_structure_across_modules() -> None:
    """call_indirect compares function types by structure, whatever their index in their own modules."""
    table = figwasp.Table("funcref", 4)
    for k, (params, result) in enumerate([("i32", "i32"), ("i64", "i32"), ("i32 i32", "i32"), ("i32", "i64")]):
        inst = load(f'(module {"(type (func (param f32)))" * k} (func (export "f") (param {params}) (result {result}) ({result}.const {k})))')
        table[k] = inst.f
    caller = load(
        """(module (type (func)) (type $t (func (param i32) (result i32))) (import "m" "t" (table 4 funcref))
        (func (export "call") (param i32) (result i32) (call_indirect (type $t) (i32.const 0) (local.get 0))))""",
        {"m": {"t": table}},
    )
    assert caller.call(0) == 0
    for k in (1, 2, 3):
        with pytest.raises(figwasp.Trap, match="indirect call type mismatch"):
            caller.call(k)


def test_calls_between_many_instances() -> None:
    """A chain of instances, each importing from the one before, works after all names but the last are gone."""
    inst = load('(module (func (export "f") (param i32) (result i32) (local.get 0)))')
    text = '(module (import "m" "f" (func $f (param i32) (result i32))) (func (export "f") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1))))'
    source = figwasp.Module(figwasp.wat(text))
    for _ in range(300):
        inst = figwasp.load(source, {"m": inst})
    gc.collect()
    assert inst.f(5) == 305


def test_one_module_many_instances() -> None:
    """Instances of one module share code and nothing else."""
    source = figwasp.Module(
        figwasp.wat(
            '(module (import "host" "f" (func $f (result i32))) (memory (export "memory") 1) (global $n (export "n") (mut i32) (i32.const 0))'
            '(func (export "go") (result i32) (global.set $n (i32.add (global.get $n) (call $f))) (i32.store8 (i32.const 3) (global.get $n))'
            "(global.get $n)))"
        )
    )
    insts = [figwasp.load(source, host(f=lambda k=k: k)) for k in range(10)]
    for _ in range(3):
        for inst in insts:
            inst.go()
    assert [inst.n.value for inst in insts] == [3 * k for k in range(10)]
    assert [inst.memory[3] for inst in insts] == [3 * k for k in range(10)]


def test_code_for_a_memory_without_guard_area_checks_bounds() -> None:
    """Code without bounds checks never gets a memory without guard area: the module is compiled with checks for it."""
    from figwasp.api import memory as memories
    from figwasp.runtime.objects.memory import new_memory
    from figwasp.runtime.platform import modes
    from figwasp.runtime.start import native_runtime
    from figwasp.wasm.syntax.types import Limits, MemoryType

    core = new_memory(native_runtime(), MemoryType(Limits(1, 1)), modes.CHECKED)
    assert core.owner is not None
    memory = memories.view(core, core.owner)
    module = figwasp.Module(figwasp.wat('(module (import "m" "x" (memory 1)) (func (export "get") (param i32) (result i32) (i32.load (local.get 0))))'))
    inst = figwasp.load(module, {"m": {"x": memory}})
    assert inst._state.code.mode == modes.CHECKED and inst.get(65532) == 0
    for bad in (65533, 65536, 2**31, -1):
        with pytest.raises(figwasp.Trap, match="out of bounds memory access"):
            inst.get(bad)
