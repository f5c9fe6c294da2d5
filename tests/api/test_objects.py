"""Modules, instances, exports, tables and globals as Python objects, and the errors of loading."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest

import figwasp
from tests.runtime.support import host, load

ADD = '(module $calc (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'


def test_sources(tmp_path: Path) -> None:
    """A module is loaded from bytes of every kind, and from a path of a binary or of a text."""
    binary = figwasp.wat(ADD)
    path = tmp_path / "calc.wasm"
    path.write_bytes(binary)
    text = tmp_path / "calc.wat"
    text.write_text(ADD)
    for source in (binary, bytearray(binary), memoryview(binary), path, str(path), text, str(text), figwasp.Module(binary)):
        assert figwasp.load(source).add(1, 2) == 3
    with pytest.raises(FileNotFoundError):
        figwasp.load(tmp_path / "missing.wasm")
    with pytest.raises(TypeError):
        figwasp.load(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"\0", b"\0asm", b"\0asm\1\0\0", b"\0asm\2\0\0\0", b"asm\0\1\0\0\0", b"\0asm\1\0\0\0\1", b"MZ" * 50])
def test_malformed(data: bytes) -> None:
    """Bytes that are no module are Malformed, and tell where."""
    with pytest.raises(figwasp.Malformed):
        figwasp.load(data)


def test_truncated_modules() -> None:
    """Every proper prefix of a module is Malformed, or a module that stops between sections."""
    binary = figwasp.wat('(module (import "m" "f" (func)) (memory 1) (table 1 funcref) (func (export "g") (param i64) (result i64) (local.get 0))'
                         '(data (i32.const 0) "abc") (elem (i32.const 0) 0))')  # fmt: skip
    for size in range(len(binary)):
        try:
            figwasp.Module(binary[:size])
        except (figwasp.Malformed, figwasp.Invalid):
            continue
        assert size >= 8


def test_invalid_is_found_when_loading_or_when_called() -> None:
    """An invalid function fails the module, or with lazy validation only its own call, each time the same."""
    binary = figwasp.wat('(module (func (export "good") (result i32) (i32.const 1)) (func $bad (export "bad") (result i32) (i64.const 1)))')
    with pytest.raises(figwasp.Invalid, match="bad"):
        figwasp.Module(binary)
    inst = figwasp.load(figwasp.Module(binary, lazy=True))
    for _ in range(2):
        assert inst.good() == 1
        with pytest.raises(figwasp.Invalid):
            inst.bad()


def test_module_describes_itself() -> None:
    """A module lists imports and exports with kinds and types."""
    module = figwasp.Module(
        figwasp.wat(
            """(module $demo (import "a" "f" (func (param i32) (result f64))) (import "a" "g" (global (mut i64)))
            (import "b" "t" (table 1 2 externref)) (import "b" "m" (memory 1))
            (func (export "own")) (export "f again" (func 0)) (export "m" (memory 0)) (export "t" (table 0)) (export "g" (global 0)))"""
        )
    )
    assert module.name == "demo"
    assert [(i.module, i.name, i.kind) for i in module.imports] == [
        ("a", "f", "func"),
        ("a", "g", "global"),
        ("b", "t", "table"),
        ("b", "m", "memory"),
    ]
    assert [(e.name, e.kind) for e in module.exports] == [
        ("own", "func"),
        ("f again", "func"),
        ("m", "memory"),
        ("t", "table"),
        ("g", "global"),
    ]
    assert str(module.imports[0].type) == "(i32) -> f64"
    for thing in (module, *module.imports, *module.exports):
        assert "demo" in repr(thing) or thing is not module


NAMES = ["exports", "state", "owner", "__class__", "__dict__", "", "with space", "a.b", "héllo", "\0", "_Exports__instance", "keys", "None"]


def test_exports_of_any_name() -> None:
    """Exports of any name are reached by item, and by attribute where Python does not use the name itself."""
    inst = load("(module " + "".join(f'(func (export "{quoted(name)}") (result i32) (i32.const {k}))' for k, name in enumerate(NAMES)) + ")")
    for k, name in enumerate(NAMES):
        assert inst.exports[name]() == k
        assert name in inst.exports
    assert list(inst.exports) == NAMES and len(inst.exports) == len(NAMES) and set(dir(inst.exports)) == set(NAMES)
    assert inst.exports.keys() == NAMES.index("keys") and inst.exports.owner() == NAMES.index("owner")
    assert getattr(inst, "a.b")() == NAMES.index("a.b") and inst.keys() == NAMES.index("keys")
    assert isinstance(inst.exports, figwasp.Exports) and repr(inst) and repr(inst.exports)
    assert inst.state() == NAMES.index("state") and inst.owner() == NAMES.index("owner")
    assert {*NAMES} <= {*dir(inst)}


INTERNAL = {"owner", "state", "first_memory", "core", "address", "store", "host", "type_number", "number", "keeper"}


def test_internals_do_not_show() -> None:
    """What the runtime keeps in an object is no name of it for users."""
    inst = load('(module (memory (export "m") 1) (table (export "t") 1 funcref) (global (export "g") i32 (i32.const 1)) (tag (export "x")) (func (export "f")))')
    for thing in (inst, inst.m, inst.t, inst.g, inst.x, inst.f, inst.exports, inst.acall, inst.module):
        assert not INTERNAL & {*dir(thing)}
    assert {name for name in dir(inst) if not name.startswith("__")} == {
        "acall", "close", "closed", "exports", "f", "fuel", "g", "interrupt", "m", "module", "on_out_of_fuel", "reset", "snapshot", "t", "x",
    }  # fmt: skip


def quoted(name: str) -> str:
    """Write a name as a string of the text format."""
    return "".join(f"\\{byte:02x}" for byte in name.encode())


def test_missing_exports() -> None:
    """A missing export is a KeyError by item and an AttributeError by attribute; hasattr and getattr behave."""
    inst = load(ADD)
    with pytest.raises(KeyError):
        inst.exports["sub"]
    for thing in (inst, inst.exports):
        with pytest.raises(AttributeError, match="sub"):
            _ = thing.sub
        assert not hasattr(thing, "sub") and hasattr(thing, "add") and getattr(thing, "sub", 7) == 7
    assert "sub" not in inst.exports and 5 not in inst.exports


def test_instances_can_be_weakly_referenced() -> None:
    """An instance supports weak references, and dies with its last name."""
    inst = load(ADD)
    watch = weakref.ref(inst)
    assert watch() is inst
    del inst
    assert watch() is None


def test_copying_and_pickling_are_refused_or_harmless() -> None:
    """copy and pickle raise or give something sound; nothing crashes."""
    inst = load('(module (memory (export "m") 1) (table (export "t") 1 funcref) (global (export "g") (mut i32) (i32.const 1)) (func (export "f")))')
    for thing in (inst, inst.f, inst.m, inst.t, inst.g, inst.exports):
        with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
            pickle.dumps(thing)
        for function in (copy.copy, copy.deepcopy):
            try:
                made = function(thing)
            except (TypeError, AttributeError):
                continue
            repr(made)
    assert inst.f() is None


def test_arbitrary_attributes_are_refused() -> None:
    """Native objects take no attributes."""
    inst = load('(module (memory (export "m") 1) (func (export "f")))')
    for thing in (inst, inst.exports, inst.f, inst.m):
        for name in ("note", "f"):
            with pytest.raises(AttributeError):
                setattr(thing, name, 1)
    with pytest.raises((AttributeError, TypeError)):
        inst.f.name = "x"


def test_tables() -> None:
    """A table is a sequence that can grow, and checks what is put in."""
    table = figwasp.Table("externref", 3, 5, value="x")
    assert len(table) == 3 and list(table) == ["x"] * 3 and table[2] == "x"
    table[2] = None
    table[0] = table
    assert table[2] is None and table[0] is table
    assert table.grow(2, "y") == 3 and list(table)[3:] == ["y", "y"]
    with pytest.raises(MemoryError):
        table.grow(1)
    with pytest.raises(ValueError, match="shrink"):
        table.grow(-1)
    for bad in (5, -1, -5, -6, 2**40):
        with pytest.raises(IndexError, match=f"element {bad} of a table of 5" + ("; nothing is counted from the end" if bad < 0 else "$")):
            table[bad]
        with pytest.raises(IndexError, match=f"element {bad} of a table of 5"):
            table[bad] = 1
    with pytest.raises(TypeError):
        table["a"]
    assert "5" in repr(table) and "externref" in repr(table)
    table[0] = None
    for arguments in (("i32", 1), ("funcref", -1), ("funcref", 2, 1)):
        with pytest.raises(ValueError, match="table"):
            figwasp.Table(*arguments)
    with pytest.raises(figwasp.LimitExceeded):
        figwasp.Table("funcref", 1 << 31)


def test_tables_of_functions() -> None:
    """A funcref table takes functions of any instance and None, nothing else, and gives equal functions back."""
    one, two = load(ADD), load(ADD)
    table = figwasp.Table("funcref", 2, value=one.add)
    table[1] = two.add
    assert table[0] == one.add and table[1] == two.add and table[0] != table[1]
    for bad in (1, "f", print, lambda: 1):
        with pytest.raises(TypeError, match="funcref"):
            table[0] = bad
        with pytest.raises(TypeError, match="funcref"):
            table.grow(1, bad)
    assert len(table) == 2
    del one, two
    gc.collect()
    assert table[0](20, 22) == 42 == table[1](40, 2)


def test_table_that_holds_itself_is_collected() -> None:
    """A cycle of a table through one of its own elements is garbage."""

    class Thing:
        table: Any

    thing = Thing()
    watch = weakref.ref(thing)
    table = figwasp.Table("externref", 1)
    thing.table = table
    table[0] = thing
    del table, thing
    gc.collect()
    assert watch() is None


def test_errors_share_a_base() -> None:
    """Every outcome has its class, all under one."""
    for kind in ("Malformed", "Invalid", "Unlinkable", "Trap", "Exhaustion", "Busy", "Unsupported", "LimitExceeded", "ParseError"):
        assert issubclass(getattr(figwasp, kind), figwasp.Error)
    assert issubclass(figwasp.Exhaustion, figwasp.Trap) and not issubclass(figwasp.Error, ValueError)


def test_imports_that_raise() -> None:
    """An exception while imports are looked up comes out as itself."""

    class Broken:
        def __getattr__(self, name: str) -> object:
            raise ZeroDivisionError(name)

    with pytest.raises(ZeroDivisionError, match="f"):
        load('(module (import "host" "f" (func)))', {"host": Broken()})


def test_host_object_with_methods_as_imports() -> None:
    """An object's methods and attributes serve as imports by name."""

    class Env:
        base = 100

        def shift(self, x: int) -> int:
            return x + self.base

    inst = load(
        '(module (import "env" "shift" (func $s (param i32) (result i32))) (import "env" "base" (global $b i32))'
        '(func (export "go") (result i32) (call $s (global.get $b))))',
        {"env": Env()},
    )
    assert inst.go() == 200


def test_memory_growth_by_threads() -> None:
    """Threads that grow one memory through instances of their own never lose a page."""
    import threading

    memory = figwasp.Memory(0, 4000, shared=True)
    text = '(module (import "m" "x" (memory 0 4000 shared)) (func (export "grow") (result i32) (memory.grow (i32.const 1))))'
    source = figwasp.Module(figwasp.wat(text), engine=figwasp.Engine(features=figwasp.features.DEFAULT.including("threads")))
    found: list[int] = []

    def work() -> None:
        inst = figwasp.load(source, {"m": {"x": memory}})
        for _ in range(250):
            found.append(inst.grow())
            found.append(memory.grow(1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(2000)) and memory.pages == 2000


def test_host_functions_are_called_through_items_of_any_mapping() -> None:
    """Imports may be mappings of any kind, nested as given."""
    from collections import ChainMap, defaultdict
    from types import MappingProxyType

    text = '(module (import "host" "f" (func $f (result i32))) (func (export "g") (result i32) (call $f)))'
    for imports in (ChainMap({}, host(f=lambda: 7)), MappingProxyType(host(f=lambda: 7)), defaultdict(dict, host(f=lambda: 7))):
        assert load(text, imports).g() == 7
