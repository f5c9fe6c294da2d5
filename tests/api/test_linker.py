"""Imports: what may satisfy them, all that is missing at once, clear errors for wrong things; linkers."""

from __future__ import annotations

import contextlib
import functools
import gc
import threading
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

import figwasp
from tests.environment import HANG_GUARD
from tests.runtime.support import load, settle

CALL = '(module (import "env" "f" (func $f (param i32) (result i32))) (func (export "g") (param i32) (result i32) (call $f (local.get 0))))'


def double(x: int) -> int:
    return 2 * x


class Functions:
    factor = 2

    def f(self, x: int) -> int:
        return self.factor * x


def python_module() -> types.ModuleType:
    made = types.ModuleType("env")
    made.f = double  # type: ignore[attr-defined]
    return made


class Computed(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __getitem__(self, name: str) -> Any:
        if name == "f":
            return double
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(["f"])

    def __len__(self) -> int:
        return 1


DOUBLE = '(module (func (export "f") (param i32) (result i32) (i32.mul (i32.const 2) (local.get 0))))'


@pytest.mark.parametrize(
    "give",
    [lambda: {"f": double}, lambda: Functions(), lambda: SimpleNamespace(f=double), python_module, Computed]
    + [lambda: load(DOUBLE), lambda: load(DOUBLE).exports, lambda: {"f": load(DOUBLE).f}, lambda: type("Static", (), {"f": staticmethod(double)})],
)
def test_namespaces_of_every_kind(give: Callable[[], Any]) -> None:
    """Imports come from mappings, objects, classes, Python modules, instances and their exports."""
    assert load(CALL, {"env": give()}).g(21) == 42
    linker = figwasp.Linker()
    linker.define_namespace("env", give())
    assert linker.instantiate(figwasp.wat(CALL)).g(21) == 42
    assert figwasp.load(figwasp.wat(CALL), SimpleNamespace(env=give())).g(1) == 2  # type: ignore[arg-type]


def test_all_that_is_missing_is_named_at_once() -> None:
    """One error lists every import that is missing, with its type."""
    text = """(module (import "env" "f" (func (param i32) (result i64))) (import "env" "there" (func)) (import "env" "f" (func (param i32) (result i64)))
      (import "env" "m" (memory 1 2)) (import "other" "t" (table 3 funcref)) (import "other" "g" (global (mut f32))) (import "a.b" "c" (func)))"""
    attempts: list[Callable[[], object]] = [lambda: load(text, {"env": {"there": print}})]
    attempts.append(lambda: linker_with(env={"there": print}).instantiate(figwasp.wat(text)))
    for attempt in attempts:
        with pytest.raises(figwasp.Unlinkable) as caught:
            attempt()
        assert str(caught.value).splitlines() == [
            "unknown import: 6 imports have not been provided:",
            "  env.f (function (i32) -> i64)",
            "  env.f (function (i32) -> i64)",
            "  env.m (memory 1 2)",
            "  other.t (table 3 funcref)",
            "  other.g (global (mut f32))",
            "  'a.b' 'c' (function () -> ())",
        ]
    with pytest.raises(figwasp.Unlinkable, match=r"^unknown import: env\.f \(function \(i32\) -> i32\) has not been provided$"):
        load(CALL)


def linker_with(**namespaces: Any) -> figwasp.Linker:
    linker = figwasp.Linker()
    for name, namespace in namespaces.items():
        linker.define_namespace(name, namespace)
    return linker


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        ("(func)", 5, r"must be a function \(\) -> \(\), not int"),
        ("(func)", figwasp.Memory(1), r"not a memory"),
        ("(memory 1)", print, r"must be memory 1, not a Python function"),
        ("(memory 1)", figwasp.Table("funcref", 1), r"must be memory 1, not a table"),
        ("(table 1 funcref)", [], r"must be table 1 funcref, not list"),
        ("(memory 1)", int, r"must be memory 1, not the class int"),
        ("(tag (param i32))", print, r"must be a tag \(i32\) -> \(\), not a Python function"),
        ("(global (mut i32))", 5, r"must be global \(mut i32\), not int"),
        ("(global i32)", print, r"must be global i32"),
        ("(global i32)", figwasp.Global("i64", 5), r"must be global i32, not global i64"),
        ("(memory 2)", figwasp.Memory(1), r"must be memory 2, not memory 1 of 1 page$"),
    ],
)
def test_wrong_things(type_: str, value: object, text: str) -> None:
    """What cannot be an import of the type is Unlinkable and a TypeError that names the import, the type and the thing."""
    with pytest.raises(figwasp.Unlinkable, match=rf"^incompatible import type: m\.x .*{text}") as caught:
        load(f'(module (import "m" "x" {type_}))', {"m": {"x": value}})
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("thing", [5, "text", b"bytes", [1], (2,), {3}, 1.5, figwasp.Memory(1), figwasp.Global("i32", 1), load(DOUBLE).f])
def test_things_that_are_no_namespaces(thing: Any) -> None:
    """A forgotten level of nesting is a TypeError that says so, with load and with a linker."""
    with pytest.raises(TypeError, match=r"imports from 'env' must be a mapping, an instance or an object with attributes, not "):
        load(CALL, {"env": thing})
    with pytest.raises(TypeError, match="imports from 'env'"):
        figwasp.Linker().define_namespace("env", thing)


def test_a_module_is_no_namespace_for_load() -> None:
    with pytest.raises(TypeError, match="not Module: instantiate it, or use a Linker"):
        load(CALL, {"env": figwasp.Module(figwasp.wat(DOUBLE))})
    with pytest.raises(TypeError, match="not NoneType"):
        figwasp.Linker().define_namespace("env", None)


def test_a_mapping_that_raises() -> None:
    """What a namespace raises comes out as itself, with a note that names the import."""

    class Broken(Mapping[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise OSError("the disk is gone")

        def __contains__(self, name: object) -> bool:
            return True

        def __iter__(self) -> Iterator[str]:
            return iter([])

        def __len__(self) -> int:
            return 0

    class Lazy:
        @property
        def f(self) -> Any:
            raise ZeroDivisionError

    for namespace, error in ((Broken(), OSError), (Lazy(), ZeroDivisionError)):
        with pytest.raises(error) as caught:
            load(CALL, {"env": namespace})
        assert caught.value.__notes__[0].startswith("while looking up the import env.f of <figwasp.Module")


# Signatures of host functions


def bad_signatures() -> list[tuple[Any, str]]:
    class Unary:
        def __call__(self) -> int:
            return 1

    return [
        (lambda: 1, r"<lambda>\(\), which cannot be called with 1 argument"),
        (lambda a, b: 1, r"<lambda>\(a, b\), which cannot be called with 1 argument"),
        (lambda a, *, key: 1, r"which needs the keyword argument 'key'"),
        (Unary(), r"Unary\(\) -> 'int', which cannot"),
        (Functions.f, r"Functions\.f\(self, x: 'int'\) -> 'int', which cannot"),
        (divmod, r"divmod\(x, y, /\), which cannot"),
    ]


@pytest.mark.parametrize(("function", "text"), bad_signatures())
def test_functions_that_cannot_take_the_arguments(function: Any, text: str) -> None:
    """They are found when linking; the error names the import and both signatures."""
    with pytest.raises(figwasp.Unlinkable, match=rf"^incompatible import type: env\.f must be a function \(i32\) -> i32, not .*{text}"):
        load(CALL, {"env": {"f": function}})


def test_functions_that_can_take_the_arguments() -> None:
    """Defaults, *args, builtins, types and callables without a signature are fine."""
    functions: list[Any] = [lambda a: a, lambda a, b=1: a, lambda *a: a[0], lambda a, *b, c=1, **d: a, abs, int, Functions().f, print]
    for function in functions:
        with contextlib.suppress(TypeError):  # of the call itself
            load(CALL, {"env": {"f": function}}).g(5)
        load(CALL, {"env": {"f": function}})


# Linkers


def test_definitions_and_shadowing() -> None:
    """A name is defined once unless shadowing is allowed; single definitions go before namespaces."""
    linker = figwasp.Linker()
    linker.define("env", "f", lambda x: 1)
    linker.define_namespace("env", {"f": lambda x: 2, "h": double})
    with pytest.raises(ValueError, match=r"env\.f has been defined already"):
        linker.define("env", "f", double)
    with pytest.raises(ValueError, match="namespace 'env' has been defined already"):
        linker.define_namespace("env", {})
    assert linker.instantiate(figwasp.wat(CALL)).g(0) == 1 and linker.get("env", "h") is double
    with pytest.raises(KeyError, match=r"env\.k"):
        linker.get("env", "k")
    again = figwasp.Linker(allow_shadowing=True)
    for factor in (1, 2):
        again.define("env", "f", lambda x, factor=factor: factor * x)
        again.define_namespace("lib", {})
    assert again.instantiate(figwasp.wat(CALL)).g(10) == 20
    assert repr(again) == "<figwasp.Linker env, lib>" and repr(figwasp.Linker()) == "<figwasp.Linker of nothing>"


COUNTER = """(module $counter (import "env" "made" (func $made)) (global $n (mut i32) (i32.const 0)) (start $made)
  (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"""
NEXT = '(module (import "counter" "next" (func $f (result i32))) (export "next" (func $f)))'


def test_modules_are_instantiated_when_they_are_needed_and_once() -> None:
    """A module defined before what it imports comes to life with the first import from it, and is shared."""
    made: list[int] = []
    linker = figwasp.Linker()
    linker.define_namespace("counter", figwasp.Module(figwasp.wat(COUNTER)))
    linker.define("env", "made", lambda: made.append(1))
    linker.instantiate(figwasp.wat("(module)"))
    assert made == []
    first, second = linker.instantiate(figwasp.wat(NEXT)), linker.instantiate(figwasp.wat(NEXT))
    assert made == [1] and [first.next(), second.next(), linker.get("counter", "next")()] == [1, 2, 3]


def test_nothing_is_instantiated_when_something_is_missing() -> None:
    made: list[int] = []
    linker = figwasp.Linker()
    linker.define_namespace("counter", figwasp.Module(figwasp.wat(COUNTER)))
    linker.define("env", "made", lambda: made.append(1))
    with pytest.raises(figwasp.Unlinkable, match="absent"):
        linker.instantiate(figwasp.wat('(module (import "counter" "next" (func (result i32))) (import "counter" "absent" (func)))'))
    assert made == []


def passing(name: str, source: str) -> figwasp.Module:
    return figwasp.Module(figwasp.wat(f'(module ${name} (import "{source}" "f" (func $f)) (func (export "f") (call $f)))'))


def test_chains_and_circles() -> None:
    """Modules that need each other in a line work in any order; a circle is an error that shows it, and can be mended."""
    linker = figwasp.Linker(allow_shadowing=True)
    linker.define_namespace("a", passing("a", "b"))
    linker.define_namespace("b", passing("b", "c"))
    linker.define_namespace("c", passing("c", "a"))
    with pytest.raises(figwasp.Unlinkable) as caught:
        linker.instantiate(passing("main", "a")._decoded.data)
    assert str(caught.value) == "modules import each other: a -> b -> c -> a"
    assert any("the module 'c' of a linker" in note for note in caught.value.__notes__)
    heard: list[int] = []
    linker.define_namespace("c", {"f": lambda: heard.append(1)})
    linker.instantiate(passing("main", "a")).f()
    assert heard == [1]


def test_a_module_that_fails_to_start_is_tried_again() -> None:
    linker = figwasp.Linker()
    fail = [True]

    def made() -> None:
        if fail[0]:
            raise LookupError("not yet")

    linker.define("env", "made", made)
    linker.define_namespace("counter", figwasp.Module(figwasp.wat(COUNTER)))
    with pytest.raises(LookupError):
        linker.instantiate(figwasp.wat(NEXT))
    fail[0] = False
    assert linker.instantiate(figwasp.wat(NEXT)).next() == 1


def test_the_engine_of_a_linker() -> None:
    engine = figwasp.Engine(memory="checked")
    instance = figwasp.Linker(engine).instantiate(figwasp.wat("(module (memory 1))"))
    assert instance.module.engine is engine


def test_threads_share_what_a_linker_makes() -> None:
    """Two threads that need a module at the same time get the same instance."""
    linker = figwasp.Linker()
    made: list[int] = []
    linker.define("env", "made", lambda: made.append(1))
    linker.define_namespace("counter", figwasp.Module(figwasp.wat(COUNTER)))
    barrier = threading.Barrier(4)
    found: list[Any] = []

    def work() -> None:
        barrier.wait()
        found.append(linker.get("counter", "next"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1] and len(set(found)) == 1


# Stores


def test_linked_instances_form_a_store_by_themselves() -> None:
    """Instances that import from each other share a store for threads; each dies when its last holder is gone."""
    provider = load('(module (memory (export "m") 1) (func (export "f") (param i32) (result i32) (i32.load (local.get 0))))')
    user = load(
        """(module (import "p" "m" (memory 1)) (import "p" "f" (func $f (param i32) (result i32)))
        (func (export "run") (result i32) (i32.store (i32.const 8) (i32.const 77)) (call $f (i32.const 8))))""",
        {"p": provider},
    )
    assert user.run() == 77 and user._state.store.current is provider._state.store.current
    gone = weakref.ref(provider._state)
    del provider
    assert user.run() == 77
    del user
    gc.collect()
    settle()
    assert gone() is None


def test_host_things_join_what_imports_them() -> None:
    """A table, a global and a memory made in Python are shared by the instances that import them."""
    table, cell, memory = figwasp.Table("funcref", 2), figwasp.Global("i32", 5, mutable=True), figwasp.Memory(1, 3)
    imports = {"h": {"t": table, "g": cell, "m": memory}}
    text = """(module (import "h" "t" (table 2 funcref)) (import "h" "g" (global $g (mut i32))) (import "h" "m" (memory 1))
      (func $f (export "f") (result i32) (global.set $g (i32.add (global.get $g) (i32.const 1))) (i32.store (i32.const 0) (global.get $g)) (global.get $g))
      (elem (i32.const 0) $f))"""
    one, two = load(text, imports), load(text, imports)
    assert one.f() == 6 and two.f() == 7 and cell.value == 7 and memory.read_i32(0) == 7
    assert table[0]() == 8
    cell.value = 100
    assert one.f() == 101
    assert one._state.store.current is two._state.store.current


def test_engines_may_be_mixed() -> None:
    """A memory without a guard area is safe also for an instance whose engine asks for one."""
    guard, checked = figwasp.Engine(memory="guard"), figwasp.Engine(memory="checked")
    provider = figwasp.wat('(module (memory (export "m") 1))')
    user = figwasp.wat('''(module (import "p" "m" (memory 1)) (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
      (func (export "put") (param i32) (i32.store (local.get 0) (i32.const 9))))''')
    for first, second in ((guard, checked), (checked, guard)):
        memory = figwasp.load(provider, engine=first).m
        instance = figwasp.load(user, {"p": {"m": memory}}, engine=second)
        instance.put(65532)
        assert memory.read_i32(65532) == instance.get(65532) == 9
        for bad in (65533, 65536, 2**31, -1):
            with pytest.raises(figwasp.Trap, match="out of bounds memory access"):
                instance.get(bad)


def test_linking_with_a_store_that_another_thread_runs_in_is_busy() -> None:
    inside, leave = threading.Event(), threading.Event()

    def wait(x: int) -> int:
        inside.set()
        leave.wait(HANG_GUARD)
        return x

    running = load(CALL, {"env": {"f": wait}})
    thread = threading.Thread(target=running.g, args=(1,))
    thread.start()
    try:
        assert inside.wait(HANG_GUARD)
        with pytest.raises(figwasp.Busy):
            load(CALL, {"env": {"f": running.g}})
    finally:
        leave.set()
        thread.join()
    assert load(CALL, {"env": {"f": running.g}}).g(3) == 3


# Imports that are not given

PARTLY = figwasp.Module(
    figwasp.wat("""(module (import "env" "given" (func $given (result i32))) (import "env" "log" (func $log (param i32 f64)))
      (import "a.b" "" (func $odd (result i32 i64)))
      (func (export "fine") (result i32) (call $given))
      (func (export "bad") (call $log (i32.const 1) (f64.const 2)))
      (func (export "worse") (drop (drop (call $odd)))) (export "log" (func $log)))""")
)


def test_unknown_imports_that_trap() -> None:
    """A function that has not been given traps when it is called, and says which it is."""
    given = {"env": {"given": lambda: 7}}
    linker = figwasp.Linker()
    linker.define("env", "given", lambda: 7)
    for inst in (
        figwasp.load(PARTLY, given, unknown_imports="trap"),
        PARTLY.instantiate(given, unknown_imports="trap"),
        linker.instantiate(PARTLY, unknown_imports="trap"),
    ):
        assert inst.fine() == 7
        with pytest.raises(figwasp.Trap, match=r"^unknown import: env.log \(function \(i32, f64\) -> \(\)\) has not been provided, at .*bad @") as caught:
            inst.bad()
        assert [frame.name for frame in caught.value.frames] == ["bad"]
        with pytest.raises(figwasp.Trap, match="'a.b' ''"):
            inst.worse()
        with pytest.raises(figwasp.Trap, match="env.log"):
            inst.log(1, 2.0)


def test_unknown_imports_are_errors_otherwise() -> None:
    for make in (figwasp.load, functools.partial(figwasp.load, unknown_imports="error"), figwasp.Module.instantiate):
        with pytest.raises(figwasp.Unlinkable, match="3 imports have not been provided"):
            make(PARTLY)
    with pytest.raises(ValueError, match="unknown_imports must be 'error' or 'trap', not 'ignore'"):
        figwasp.load(PARTLY, unknown_imports="ignore")
    text = '(module (import "env" "f" (func)) (import "env" "m" (memory 1)) (import "env" "g" (global i32)))'
    with pytest.raises(figwasp.Unlinkable, match="2 imports") as caught:
        figwasp.load(figwasp.wat(text), unknown_imports="trap")
    assert "env.f" not in str(caught.value)


def test_modules_make_instances() -> None:
    """As `load` does with the module."""
    inst = PARTLY.instantiate({"env": {"given": lambda: 1, "log": print}, "a.b": {"": lambda: (1, 2)}})
    assert isinstance(inst, figwasp.Instance) and inst.module is PARTLY and inst.fine() == 1
