"""What the signatures of the public names say to a type checker: mypy reads this file, `assert_type` is what it checks."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, assert_type

import pytest

import figwasp
from figwasp import Caller, Engine, Exports, Frame, Func, Global, Instance, Linker, Memory, Module, Table, types

TEXT = """(module $m (import "env" "length" (func $length (param i32) (result i32))) (import "env" "fetch" (func $fetch (param i32) (result i32)))
  (memory (export "memory") 1 2) (global (export "level") (mut i32) (i32.const 1)) (table (export "table") 2 funcref)
  (data (i32.const 8) "typed") (func (export "measure") (param i32) (result i32) (call $length (local.get 0)))
  (func (export "fetch") (param i32) (result i32) (call $fetch (local.get 0))) (func (export "trap") unreachable))"""


def length(caller: Caller, offset: int) -> int:
    """Read what the guest says."""
    assert_type(caller.instance, Instance)
    assert_type(caller.exports, Exports)
    assert_type(caller.memory, Memory)
    return len(assert_type(caller.memory.read_str(offset, 5), str))


async def fetch(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


class Listener:
    """Hears of calls."""

    def before(self, func: figwasp.FuncInfo, args: tuple[object, ...], depth: int) -> None:
        """Do nothing."""


def listener(info: figwasp.FuncInfo) -> Listener | None:
    return Listener() if info.name == "measure" else None


def make(engine: Engine | None = None) -> Instance:
    imports = {"env": {"length": length, "fetch": fetch}}
    return figwasp.load(figwasp.wat(TEXT), imports, engine=engine)


def test_functions() -> None:
    instance = make(Engine(listener=listener, fuel=1000, timeout=5))
    function = instance.exports["measure"]
    assert isinstance(function, Func)
    assert assert_type(function(8), Any) == function(8, timeout=1) == function(8, timeout=None) == 5
    assert assert_type(function.type, types.FuncType).params == (types.I32,)
    assert assert_type(function.name, str) == "measure"
    assert instance.measure(8, timeout=2.5) == 5
    assert 0 < assert_type(instance.fuel, int) < 1000
    instance.fuel = 10
    instance.on_out_of_fuel = lambda: 100
    instance.on_out_of_fuel = None
    assert next(assert_type(name, str) for name in instance.exports) == "memory"


def test_calls_that_wait() -> None:
    async def main() -> list[int]:
        first: int = await instance.acall.fetch(1, timeout=10)
        task = asyncio.create_task(instance.acall["fetch"](2))
        return [first, await task, *await asyncio.gather(instance.acall.fetch(3), instance.acall.fetch(4, timeout=None))]

    instance = make()
    assert asyncio.run(main()) == [2, 4, 6, 8]
    with pytest.raises(TypeError, match="'tmeout'"):
        asyncio.run(instance.acall.fetch(1, tmeout=2))  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="must be a number"):
        asyncio.run(instance.acall.fetch(1, timeout="2"))  # type: ignore[arg-type]
    function = instance.exports["measure"]
    assert isinstance(function, Func)
    with pytest.raises(TypeError, match="'tmeout'"):
        function(1, tmeout=2)  # type: ignore[call-arg]


def test_containers() -> None:
    memory = Memory(1, 2)
    memory[0:2] = b"ab"
    memory[2] = 99
    memory.write(3, bytearray(b"d"))
    memory.write(4, memory[0:2])
    assert (assert_type(memory[0], int), assert_type(memory[0:2], bytes), assert_type(memory.read_f64(8), float)) == (97, b"ab", 0.0)
    assert [assert_type(byte, int) for byte in memory][:3] == [97, 98, 99] and memoryview(memory)[0] == bytearray(memory)[0]
    assert_type(memory.type, types.MemoryType)
    table = Table("externref", 1, value="x")
    table[0] = make
    assert assert_type(table[0], Any) is make and assert_type(table.grow(1), int) == 1
    level = Global("i64", 3, mutable=True)
    level.value += 1
    assert assert_type(level.type, types.GlobalType).mutable and level.value == 4


def test_modules_and_linkers() -> None:
    module = Module(figwasp.wat(TEXT))
    for item in module.imports:
        assert_type(item, types.ImportType)
        assert isinstance(item.type, types.FuncType)
    assert_type(module.exports, list[types.ExportType])
    linker = Linker(Engine(max_memory=1 << 20))
    linker.define("env", "length", length)
    linker.define_namespace("env", SimpleNamespace(fetch=fetch))
    with assert_type(linker.instantiate(module._decoded.data), Instance) as instance:
        assert_type(instance, Instance)
        assert instance.measure(8) == 5


def test_errors() -> None:
    with pytest.raises(figwasp.Trap) as caught:
        make().trap()
    assert assert_type(caught.value.code, str) == "unreachable"
    for frame in caught.value.frames:
        assert_type(frame, Frame)
        assert (assert_type(frame.name, str | None), assert_type(frame.line, int | None)) == ("trap", None)
