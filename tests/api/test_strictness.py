"""Arguments that are not what they must be, things that must not be done, and what a guest's odd names may not do."""

from __future__ import annotations

import asyncio
import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import figwasp
from figwasp import Engine, Linker, Memory, Module, Table
from tests.runtime.support import load

ADD = '(module $calc (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
USER = '(module (import "env" "inc" (func $inc (param i32) (result i32))) (export "inc" (func $inc)))'
ESCAPE = "\x1b[31m\nevil"
BINARY = figwasp.wat("(module)")
NOTE = "figwasp.wat"


# Arguments


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: Memory(1.5), TypeError, "float"),  # type: ignore[arg-type]
        (lambda: Memory(1, 2.0), TypeError, "float"),  # type: ignore[arg-type]
        (lambda: Memory("1"), TypeError, "str"),  # type: ignore[arg-type]
        (lambda: Memory(1).grow(1.0), TypeError, "float"),  # type: ignore[arg-type]
        (lambda: Memory(1).write_f32(0, 1e300), OverflowError, "out of range for f32"),
        (lambda: Memory(1).write_u32(0, -1), OverflowError, "-1 is out of range for u32"),
        (lambda: Memory(1).write_u32(0, 1.0), TypeError, r"an int \(u32\), not float"),  # type: ignore[arg-type]
        (lambda: Memory(1).write_f64(0, None), TypeError, r"a float \(f64\), not NoneType"),  # type: ignore[arg-type]
        (lambda: Memory(1).write_str(0, b"x"), TypeError, "bytes"),  # type: ignore[arg-type]
        (lambda: Table("externref", 1, 2.0), TypeError, "float"),  # type: ignore[arg-type]
        (lambda: Table("externref", 1).grow(1.0), TypeError, "float"),  # type: ignore[arg-type]
        (lambda: Table("externref", 1)[0:1], TypeError, "no slices"),  # type: ignore[index]
        (lambda: Table("externref", 1)["a"], TypeError, "str"),  # type: ignore[index]
        (lambda: Module(BINARY, engine=5), TypeError, "engine must be a figwasp.Engine or None, not int"),  # type: ignore[arg-type]
        (lambda: figwasp.load(BINARY, engine=5), TypeError, "engine must be"),  # type: ignore[arg-type]
        (lambda: Linker(5), TypeError, "engine must be"),  # type: ignore[arg-type]
        (lambda: Engine(features="simd"), TypeError, "features must be"),  # type: ignore[arg-type]
        (lambda: Engine(listener=5), TypeError, "listener must be"),  # type: ignore[arg-type]
        (lambda: Engine().features.excluding("simdd"), ValueError, "unknown proposal 'simdd'"),
        (lambda: Linker().define(1, "x", 2), TypeError, "names of an import are two str, not int"),  # type: ignore[arg-type]
        (lambda: Linker().define_namespace(1, {}), TypeError, "a str, not int"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments(call: Callable[[], object], kind: type[Exception], text: str) -> None:
    """A wrong argument is a TypeError, a number that does not fit an OverflowError, at once and in words that say which."""
    with pytest.raises(kind, match=text) as caught:
        call()
    assert type(caught.value) is kind


def test_things_that_are_no_imports() -> None:
    """What has no module names in it is a TypeError, not an import that is missing."""
    instance = figwasp.load(BINARY)
    every: list[Any] = [[1], "env", 5, (1, 2), {"env"}, b"env", Memory(0), instance, instance.exports, Module(BINARY), Linker()]
    for imports in every:
        with pytest.raises(TypeError, match="imports must be a mapping of module names, not"):
            load(USER, imports)


def test_objects_with_attributes_are_imports() -> None:
    class Pair(NamedTuple):
        inc: Callable[[int], int]

    class Both(NamedTuple):
        env: Pair

    pair = Pair(lambda x: x + 1)
    every: list[Any] = [{"env": pair}, SimpleNamespace(env=pair), Both(pair)]
    for imports in every:
        assert load(USER, imports).inc(1) == 2


def test_an_engine_beside_a_module_is_the_one_it_was_made_with() -> None:
    """Limits that would not hold are refused."""
    module = Module(figwasp.wat(ADD))
    with pytest.raises(ValueError, match=r"made with figwasp.Engine\(\): give the engine to figwasp.Module"):
        figwasp.load(module, engine=Engine(max_memory=1 << 16))
    assert figwasp.load(module, engine=Engine()).add(1, 2) == 3
    limited = Module(figwasp.wat(ADD), engine=Engine(timeout=5))
    assert figwasp.load(limited, engine=Engine(timeout=5)).add(1, 2) == figwasp.load(limited).add(1, 2) == 3


def test_a_text_given_as_a_binary(tmp_path: Path) -> None:
    """Who gives a text where a path or a binary belongs is told what to do."""
    wrong = tmp_path / "text.wasm"
    wrong.write_text(f"\n  {ADD}")
    every: list[tuple[Any, type[Exception]]] = [(ADD, OSError), (ADD.encode(), figwasp.Malformed), (wrong, figwasp.Malformed)]
    every += [("(module)", OSError), (f";; adds\n{ADD}", OSError), ("(; it ;) (func)", OSError), (b";; x\n(module)", figwasp.Malformed)]
    every += [('(module (data "\0"))', ValueError), ("(module" + " " * 10_000 + ")", OSError)]
    for source, kind in every:
        with pytest.raises(kind) as caught:
            Module(source)
        assert any(NOTE in note for note in caught.value.__notes__)
    others: list[tuple[Any, type[Exception]]] = [(b"", figwasp.Malformed), ("missing.wasm", OSError)]
    for source, kind in others:
        with pytest.raises(kind) as caught:
            Module(source)
        assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("empty.wasm", b"", figwasp.Malformed, "unexpected end"),
        ("page.wasm", b"<html>", figwasp.Malformed, "magic header not detected"),
        ("text.wat", b"(module (func (result i33)))", figwasp.ParseError, "1:23: unknown operator i33"),
        ("bad.wasm", figwasp.wat("(func (result i32))"), figwasp.Invalid, "type mismatch"),
        ("bad.wat", b"(memory 65537)", figwasp.Invalid, "memory size must be at most"),
    ],
)
def test_errors_name_the_file(tmp_path: Path, name: str, content: bytes, kind: type[Exception], message: str) -> None:
    """What is wrong with a module that was given by its path begins with that path, and is otherwise the error that it is."""
    path = tmp_path / name
    path.write_bytes(content)
    for make in (Module, figwasp.load):
        for source in (path, str(path)):
            with pytest.raises(kind) as caught:
                make(source)
            text = str(caught.value)
            assert text.startswith(f"{path}:{message}" if kind is figwasp.ParseError else f"{path}: {message}")
            assert type(caught.value) is kind and str(pickle.loads(pickle.dumps(caught.value))) == text
    with pytest.raises(kind) as caught:
        Module(figwasp.wat(content) if name.endswith(".wat") else content)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("value", [2**31, 1e18, 1e300, 10**400])
def test_timeouts_that_never_come(value: float) -> None:
    """A timeout of any finite length is fine, of calls that wait too."""
    inst = load(ADD)
    assert inst.add(1, 2, timeout=value) == asyncio.run(inst.acall.add(1, 2, timeout=value)) == 3
    assert figwasp.load(figwasp.wat(ADD), engine=Engine(timeout=value)).add(1, 2) == 3


async def wait(x: int) -> int:
    await asyncio.sleep(0)
    return x


def test_a_timeout_in_another_event_loop() -> None:
    """How another event loop waits is not known here: the error says so, and nothing is left behind that Python would complain of."""
    inst = load(USER.replace('(export "inc" (func $inc))', '(func (export "go") (result i32) (call $inc (i32.const 1)))'), {"env": {"inc": wait}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="needs asyncio: give timeout=None"):
            inst.acall.go(timeout=60).send(None)
    call = inst.acall.go()
    call.send(None)
    with pytest.raises(StopIteration) as done:
        call.send(None)
    assert done.value.value == 1


# Identity


def test_objects_for_the_same_thing_are_equal() -> None:
    """However it is reached, a memory, table or global is equal to itself and to no other."""
    seen: list[Any] = []

    def look(caller: figwasp.Caller) -> None:
        seen.extend([caller.memory, caller.exports.t, caller.exports.g])

    text = """(module (import "host" "look" (func $look)) (memory (export "memory") 1) (memory (export "other") 1)
        (table (export "t") 1 funcref) (table (export "u") 1 funcref) (global (export "g") (mut i32) (i32.const 1))
        (global (export "h") (mut i32) (i32.const 1)) (export "again" (memory 0)) (func (export "go") (call $look)))"""
    inst = load(text, {"host": {"look": look}})
    inst.go()
    assert seen == [inst.memory, inst.t, inst.g] and inst.memory == inst.again
    assert inst.memory != inst.other and inst.t != inst.u and inst.g != inst.h and inst.memory != inst.t and inst.memory != b""
    assert len({inst.memory, inst.again, inst.other, inst.t, inst.u, inst.g, inst.h, *seen}) == 6
    user = load('(module (import "m" "memory" (memory 1)) (export "its" (memory 0)))', {"m": inst})
    assert user.its == inst.memory


def test_a_memory_is_iterable() -> None:
    memory = Memory(1)
    memory.write(0, b"abc")
    assert bytes(memory) == bytes(list(memory)) and 97 in memory and 200 not in memory


def test_nothing_native_is_copied_or_pickled() -> None:
    """What lives in one process says so in its own name."""
    inst = load('(module (memory (export "m") 1) (table (export "t") 1 funcref) (global (export "g") i32 (i32.const 1)) (func (export "f")))')
    inst.f()
    for thing in (inst, inst.exports, inst.f, inst.m, inst.t, inst.g):
        for function in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=r"figwasp\.(Func|Memory)|an instance|exports|a table|a global"):
                function(thing)
    with pytest.raises(TypeError, match="pickle its module"):
        pickle.dumps(inst)


def test_an_instance_is_not_made_by_its_class() -> None:
    """Who tries what other runtimes have is told how it is done here."""
    every: list[tuple[Any, ...]] = [(), (Module(BINARY),), (Module(BINARY), {})]
    for arguments in every:
        with pytest.raises(TypeError, match="figwasp.load"):
            figwasp.Instance(*arguments)


def test_nothing_is_deleted_or_set() -> None:
    inst = load(ADD)
    inst.add(1, 2)
    for thing in (inst, inst.exports):
        for name in ("closed", "exports", "state", "add", "nothing"):
            with pytest.raises(AttributeError, match="cannot delete"):
                delattr(thing, name)
            with pytest.raises(AttributeError, match="cannot set"):
                setattr(thing, name, 1)
    assert not inst.closed and inst.add(1, 2) == 3


def test_a_closed_instance_is_no_context() -> None:
    inst = load(ADD)
    with inst as same:
        assert same is inst
    with pytest.raises(figwasp.Closed, match="calc"), inst:
        pass


def test_what_an_instance_lists() -> None:
    """Exports are there for completion before they have been asked for."""
    inst = load(ADD)
    assert {"add", "close", "exports", "memory"} - set(dir(inst)) == {"memory"} and dir(inst.exports) == dir(inst.acall) == ["add"]


# Names that a guest has chosen


def named(name: str) -> figwasp.Instance:
    """Instantiate a module that uses a name wherever there is one, and whose import answers with a str."""
    data = name.encode()
    quoted = "".join(f"\\{byte:02x}" for byte in data)
    binary = figwasp.wat(f'(module (import "{quoted}" "{quoted}" (func (param i32) (result i32))) (export "{quoted}" (func 0)) (func (export "{quoted}2") (param i32)))')
    section = b"\x04name\x00" + bytes([len(data) + 1, len(data)]) + data
    return figwasp.load(binary + b"\0" + bytes([len(section)]) + section, {name: {name: lambda x: "x"}})


def test_names_do_not_reach_the_terminal_as_they_are() -> None:
    """No repr and no message has a control character in it that comes from a module."""
    inst = named(ESCAPE)
    func, async_func = inst.exports[ESCAPE], inst.acall[ESCAPE]
    assert func.name == f"{ESCAPE}.{ESCAPE}"
    shown = [inst, inst.exports, inst.acall, inst.module, func, async_func, *inst.module.imports, *inst.module.exports]
    texts = [repr(thing) for thing in shown]
    plain = inst.exports[ESCAPE + "2"]
    calls: list[Callable[[], object]] = [lambda: func(1), func, lambda: plain("x"), lambda: plain(1, 2), lambda: plain(1, wrong=2)]
    calls += [lambda: asyncio.run(inst.acall[ESCAPE + "2"]("x")), lambda: asyncio.run(inst.acall[ESCAPE + "2"]()), lambda: figwasp.load(inst.module)]
    for call in calls:
        with pytest.raises((TypeError, figwasp.Error)) as caught:
            call()
        texts.append(str(caught.value))
    quoted = "".join(f"\\{byte:02x}" for byte in ESCAPE.encode())
    with pytest.raises(figwasp.Invalid) as caught:
        load(f'(module (func (export "{quoted}") (result i32)))').exports[ESCAPE]()
    texts.append(str(caught.value))
    infos: list[figwasp.FuncInfo] = []
    figwasp.load(Module(inst.module._decoded.data, engine=Engine(listener=infos.append)), {ESCAPE: {ESCAPE: abs}}).exports[ESCAPE + "2"](1)
    texts.append(repr(infos[0]))
    inst.close()
    for call in (lambda: plain(1), lambda: load('(module (import "env" "x" (func (param i32))))', {"env": {"x": plain}})):
        with pytest.raises(figwasp.Closed) as caught:
            call()
        texts.append(str(caught.value))
    for text in [*texts, repr(inst)]:
        assert "\x1b" not in text and "evil" in text, text
        assert text.isprintable()


def test_reprs_have_an_end() -> None:
    inst = load("(module (func $f)" + "".join(f'(export "export{k}" (func $f))' for k in range(3000)) + ")")
    for thing in (inst, inst.exports, inst.acall):
        assert len(repr(thing)) < 500 and "export19, ..." in repr(thing)
    assert repr(load("(module)")) == "<figwasp.Instance exporting nothing>"
    assert len(repr(named("x" * 100).exports["x" * 100])) < 500
    inst.close()
    assert repr(inst) == "<figwasp.Instance, closed>"
    for thing in (inst.exports, inst.acall):
        assert "export0" in repr(thing)


# Errors that travel


def test_errors_go_to_other_processes() -> None:
    """An error of any kind comes out of a pickle with its text and attributes, as a pool of processes needs it."""
    sources: list[Callable[[], object]] = [
        lambda: figwasp.wat("(module\n  (fun))"), lambda: Module(b"\0asm\1\0\0\0\xff"), lambda: Module(figwasp.wat("(module (func (result i32)))")),
        lambda: load(USER), lambda: load(USER, {"env": {"inc": 5}}), lambda: load("(module (func $f unreachable) (start $f))"),
        lambda: figwasp.load(BINARY, engine=Engine(max_instances=0)),
    ]  # fmt: skip
    kinds = set()
    for source in sources:
        with pytest.raises(figwasp.Error) as caught:
            source()
        error = caught.value
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            made = pickle.loads(pickle.dumps(error, protocol))
            assert type(made) is type(error) and str(made) == str(error) and made.args == error.args
            for name in ("line", "column", "offset", "func", "frames"):
                assert getattr(made, name, None) == getattr(error, name, None)
        kinds.add(type(error))
    assert len(kinds) == len(sources)
