"""`Caller`: host functions that reach the instance that calls them."""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import typing
import weakref
from collections.abc import Callable
from typing import Any, Optional

import pytest

import figwasp
from figwasp import Caller
from figwasp import Caller as Who
from tests.runtime.support import host, load, settle

TEXT = """(module $guest (import "host" "f" (func $f (param i32) (result i32))) (memory (export "memory") 1) (data (i32.const 16) "hello")
  (global (export "g") i32 (i32.const 11)) (func (export "other") (result i32) (i32.const 5))
  (func (export "run") (param i32) (result i32) (call $f (local.get 0))))"""


def plain(caller: Caller, x: int) -> int:
    return len(caller.memory.read_cstr(16)) * x


def dotted(caller: figwasp.Caller, x: int) -> int:
    return plain(caller, x)


def renamed(caller: Who, x: int) -> int:
    return plain(caller, x)


def optional(caller: Caller | None, x: int) -> int:
    assert caller is not None
    return plain(caller, x)


def old_optional(caller: Optional[Caller] = None, x: int = 0) -> int:  # noqa: UP045
    assert caller is not None
    return plain(caller, x)


def with_defaults(caller: Caller, x: int, y: int = 3, *, z: int = 4) -> int:
    return plain(caller, x) if (y, z) == (3, 4) else 0


def with_rest(caller: Caller, *rest: int) -> int:
    return plain(caller, *rest)


def extra(caller: Caller, y: int, x: int) -> int:
    return plain(caller, x) if y == 9 else 0


def keyword(caller: Caller, x: int, *, y: int) -> int:
    return plain(caller, x) if y == 9 else 0


def before(y: int, caller: Caller, x: int) -> int:
    return plain(caller, x) if y == 9 else 0


class Object:
    def method(self, caller: Caller, x: int) -> int:
        return plain(caller, x)

    @classmethod
    def of_class(cls, caller: Caller, x: int) -> int:
        return plain(caller, x)

    @staticmethod
    def static(caller: Caller, x: int) -> int:
        return plain(caller, x)

    def __call__(self, caller: Caller, x: int) -> int:
        return plain(caller, x)


def decorated() -> Callable[..., Any]:
    @functools.wraps(plain)
    def wrapper(*args: Any, **names: Any) -> Any:
        return plain(*args, **names)

    return wrapper


def evaluated(annotation: Any) -> Callable[..., Any]:
    """Make a function whose annotation is an object, as without `from __future__ import annotations`."""

    def made(caller: Any, x: int) -> int:
        return plain(caller, x)

    made.__annotations__["caller"] = annotation
    return made


def local_name() -> Callable[..., Any]:
    """Make a function whose annotation names what is not global where it stands."""
    names: dict[str, Any] = {"plain": plain}
    exec("def f(caller: 'Caller', x): return plain(caller, x)", names)
    made: Callable[..., Any] = names["f"]
    return made


CALLABLES = [
    plain, dotted, renamed, optional, old_optional, with_defaults, with_rest, Object().method, Object.of_class, Object.static, Object(),
    functools.partial(plain), functools.partial(keyword, y=9), functools.partial(before, 9), functools.partial(Object().method), decorated(),
    evaluated(Caller), evaluated(Caller | None), evaluated(typing.Optional[Caller]), evaluated(typing.Annotated[Caller, "note"]),  # noqa: UP045
    evaluated("figwasp.Caller"), evaluated("Optional[Caller]"), evaluated(typing.ForwardRef("Caller")), local_name(),
]  # fmt: skip


@pytest.mark.parametrize("function", CALLABLES, ids=lambda f: getattr(f, "__qualname__", type(f).__name__))
def test_every_way_to_ask_for_it(function: Callable[..., Any]) -> None:
    assert load(TEXT, host(f=function)).run(7) == 35


class Caller2:
    """Not the one."""


@pytest.mark.parametrize("annotation", [int, "int", "Caller2", "Callable[[Caller], int]", Caller2, "str | None", None, "nothing.known", "tests.Caller"])
def test_other_annotations_mean_nothing(annotation: Any) -> None:
    def f(x: Any) -> Any:
        return x + 1

    f.__annotations__["x"] = annotation
    assert load(TEXT, host(f=f)).run(7) == 8


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (before, "whose Caller is not the first parameter"),
        (extra, "which cannot be called with 1 argument"),
        (keyword, "which needs the keyword argument 'y'"),
    ],
)
def test_misplaced(function: Any, text: str) -> None:
    with pytest.raises(figwasp.Unlinkable, match=text):
        load(TEXT, host(f=function))


def test_what_it_gives() -> None:
    """The instance itself, its exports, memory and module; one object for all calls."""
    seen: list[Any] = []

    def f(caller: Caller, x: int) -> int:
        seen.append((caller, caller.instance, caller.memory, caller.module))
        answer: int = caller.exports.other() + caller.exports.g.value
        return answer

    module = figwasp.Module(figwasp.wat(TEXT))
    instance = figwasp.load(module, host(f=f))
    assert instance.run(1) == instance.run(2) == 16
    caller = seen[0][0]
    assert seen[0] == seen[1] and caller is seen[1][0]
    assert seen[0][1] is instance and seen[0][2] is seen[1][2] and seen[0][3] is module
    assert repr(caller) == "<figwasp.Caller <figwasp.Instance guest exporting memory, g, other, run>>"
    seen[0][2].write(0, b"x")
    assert instance.memory[0] == ord("x")


def test_without_a_memory() -> None:
    def f(caller: Caller) -> None:
        _ = caller.memory

    with pytest.raises(AttributeError, match="calling instance of <figwasp.Module bare: .*> has no memory"):
        load('(module $bare (import "host" "f" (func $f)) (func (export "run") (call $f)))', host(f=f)).run()


def test_which_memory() -> None:
    """The one exported as "memory", else the first, exported or not, imported or not."""

    def f(caller: Caller) -> int:
        return caller.memory.pages

    run = '(func (export "run") (result i32) (call $f))'
    imported = '(module (import "host" "f" (func $f (result i32)))'
    assert load(f"{imported} (memory 3) {run})", host(f=f)).run() == 3
    assert load(f'{imported} (memory 3) (memory (export "memory") 4) {run})', host(f=f)).run() == 4
    assert load(f'{imported} (import "host" "m" (memory 2)) (memory 3) {run})', host(f=f, m=figwasp.Memory(2))).run() == 2


def test_in_the_start_function() -> None:
    """There is a caller while the instance is being made, and it is the instance that load returns."""
    seen: list[figwasp.Instance] = []

    def f(caller: Caller) -> None:
        seen.append(caller.instance)
        caller.memory.write(0, b"start")

    instance = load('(module (import "host" "f" (func $f)) (memory (export "memory") 1) (start $f))', host(f=f))
    assert instance.memory[:5] == b"start" and seen == [instance]


def test_through_a_table_it_is_the_instance_that_imported_the_function() -> None:
    names: list[str | None] = []

    def f(caller: Caller) -> None:
        names.append(caller.module.name)

    owner = load('(module $owner (import "host" "f" (func $f)) (table (export "t") 1 funcref) (elem (i32.const 0) $f) (export "f" (func $f)))', host(f=f))
    other = load(
        """(module $other (import "owner" "t" (table 1 funcref)) (import "owner" "f" (func $f)) (import "host" "f" (func $g))
        (func (export "indirect") (call_indirect (i32.const 0))) (func (export "direct") (call $f)) (func (export "own") (call $g)))""",
        {"owner": owner, **host(f=f)},
    )
    other.indirect()
    other.direct()
    other.own()
    owner.f()
    owner.t[0]()
    assert names == ["owner", "owner", "other", "owner", "owner"]


def test_it_does_not_keep_the_instance() -> None:
    """Everything goes with the last holder, at once and without the cycle collector; what is left of the caller says so."""
    kept: list[Caller] = []

    def f(caller: Caller, x: int) -> int:
        kept.append(caller)
        _ = caller.memory, caller.exports.other, caller.instance
        return x

    gc.disable()
    try:
        instance = load(TEXT, host(f=f))
        instance.run(1)
        state = weakref.ref(instance._state)
        handle = weakref.ref(instance)
        del instance
        assert state() is None and handle() is None
    finally:
        gc.enable()
    settle()
    caller = kept[0]
    for name in ("memory", "exports", "instance"):
        with pytest.raises(ReferenceError):
            getattr(caller, name)
    assert caller.module.name == "guest"


def cycle() -> weakref.ref[Any]:
    """Make an instance whose host function refers to it, and lose both."""

    def f(caller: Caller, x: int) -> int:
        return int(instance.other()) + caller.memory.pages + x

    instance = load(TEXT, host(f=f))
    assert instance.run(1) == 7
    return weakref.ref(instance._state)


def test_a_cycle_through_a_function_with_a_caller_is_collected() -> None:
    state = cycle()
    gc.collect()
    assert state() is None


def test_when_only_a_function_is_left() -> None:
    """The caller works for whoever holds an export but not the instance."""
    run = load(TEXT, host(f=plain)).run
    gc.collect()
    assert run(2) == 10
    seen: list[figwasp.Instance] = []

    def f(caller: Caller, x: int) -> int:
        seen.append(caller.instance)
        return int(caller.exports.other())

    run = load(TEXT, host(f=f)).run
    assert run(1) == 5 and seen[0].run(1) == 5 and seen[0] is seen[1]


def test_exceptions_and_tracebacks() -> None:
    def f(caller: Caller, x: int) -> int:
        raise LookupError(x)

    with pytest.raises(LookupError) as caught:
        load(TEXT, host(f=f)).run(3)
    assert caught.traceback[-1].name == "f"


def test_references_counted_alike() -> None:
    """Calls with a caller leak no reference to it, nor to the function."""
    seen: list[Caller] = []

    def f(caller: Caller, x: int) -> int:
        if not seen:
            seen.append(caller)
        return x

    instance = load(TEXT, host(f=f))
    instance.run(1)
    counts = sys.getrefcount(seen[0]), sys.getrefcount(f)
    for k in range(1000):
        instance.run(k)
    assert (sys.getrefcount(seen[0]), sys.getrefcount(f)) == counts


class Fetcher:
    async def __call__(self, caller: Caller, x: int) -> int:
        await asyncio.sleep(0)
        return plain(caller, x)

    async def method(self, caller: Caller, x: int) -> int:
        return await self(caller, x)


async def fetch(caller: Caller, x: int) -> int:
    return await Fetcher()(caller, x)


@pytest.mark.parametrize("function", [fetch, Fetcher().method, Fetcher(), functools.partial(fetch)], ids=["function", "method", "object", "partial"])
def test_async_functions_get_it_too(function: Callable[..., Any]) -> None:
    instance = load(TEXT, host(f=function))

    async def both() -> list[int]:
        return list(await asyncio.gather(instance.acall.run(2), instance.acall.run(3)))

    assert asyncio.run(both()) == [10, 15]


def test_a_hint_where_the_annotation_was_forgotten() -> None:
    """A first parameter called `caller` that is not annotated, and makes the function not fit."""
    def say(caller, offset):  # type: ignore[no-untyped-def]
        raise AssertionError

    text = '(module (import "host" "say" (func (param i32))))'
    for function in (say, functools.partial(say), staticmethod(say)):
        with pytest.raises(figwasp.Unlinkable, match=r"annotate the first parameter: `caller: figwasp.Caller`"):
            figwasp.load(figwasp.wat(text), {"host": {"say": function}})
    with pytest.raises(figwasp.Unlinkable, match=r"cannot be called with 0 arguments$"):
        figwasp.load(figwasp.wat('(module (import "host" "say" (func)))'), {"host": {"say": say}})
