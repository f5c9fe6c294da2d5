"""Floor 7: what `figwasp doctor` tries: each part of the runtime once, on modules of a few lines.

In: nothing. Out: `TESTS`, names and functions in the order in which one part needs another. A function returns a remark, often
empty; it raises whatever the part raises, or `Wrong` for a wrong answer.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

import figwasp
from figwasp.runtime.platform import check

__all__ = ["TESTS", "Wrong"]

_TEXT: Final = """(module $doctor
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (memory (export "memory") 1 2)
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func (export "bits") (param i64) (result i64) (i64.popcnt (local.get 0)))
  (func (export "floor") (param f64) (result f64) (f64.floor (local.get 0)))
  (func (export "ask") (param i32) (result i32) (call $ask (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func $deep (export "deep") (call $deep))
  (func (export "spin") (loop $forever (br $forever)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1)))
  (func (export "count") (param i32) (result i32) (local i32)
    (loop $more
      (local.set 1 (i32.add (local.get 1) (i32.const 2)))
      (br_if $more (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1)))"""
_THROWING: Final = """(module
  (import "env" "tag" (tag $tag (param i32))) (import "env" "throw" (func $other))
  (func $own (export "throw") (throw $tag (i32.const 42)))
  (func (export "catch_other") (result i32) (block $h (result i32) (try_table (catch $tag $h) (call $other)) (i32.const 0)))
  (func (export "catch_own") (result i32) (block $h (result i32) (try_table (catch $tag $h) (call $own)) (i32.const 0))))"""
_HELLO: Final = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "\\10\\00\\00\\00\\06\\00\\00\\00hello\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))"""
_SECONDS: Final = 0.05  # that what never ends is given
_PATIENCE: Final = 60  # seconds to wait for what should end at once


class Wrong(Exception):
    """An answer that is not the right one."""


def _same(found: object, expected: object) -> None:
    if found != expected:
        raise Wrong(f"{found!r}, not {expected!r}")


def _raises(kind: type[figwasp.Error], call: Callable[[], object]) -> figwasp.Error:
    """Return the error of a kind that a call ends with."""
    try:
        answer = call()
    except kind as error:
        return error
    raise Wrong(f"{answer!r}, not {kind.__name__}")


def _module(**settings: Any) -> figwasp.Module:
    return figwasp.Module(figwasp.wat(_TEXT), engine=figwasp.Engine(**settings))


def _load(ask: Callable[..., Any] = abs, **settings: Any) -> Any:
    return figwasp.load(_module(**settings), {"env": {"ask": ask}})


def _translation() -> str:
    module = _module()
    _same((module.name, len(module.imports), len(module.exports)), ("doctor", 1, 12))
    _raises(figwasp.Invalid, lambda: figwasp.Module(figwasp.wat("(module (func (result i32) (i64.const 0)))")))
    return ""


def _platform() -> str:
    check()
    return ""


def _executable_memory() -> str:
    from figwasp.runtime.platform import linux

    base = linux.reserve(linux.PAGE)
    try:
        writable = linux.dual_map(base, linux.PAGE)
        linux.write_u64(writable, 1)
        _same(linux.read_u64(base), 1)
        linux.release(writable, linux.PAGE)
    finally:
        linux.release(base, linux.PAGE)
    return "the same page twice, once to write and once to execute"


def _compiled_code() -> str:
    instance = _load()
    _same([instance.add(2, 3), instance.half(3.0), instance.floor(-1.5)], [5, 1.5, -2.0])
    _same(instance.bits(0x7FFF), 15)
    return ""


def _host_functions() -> str:
    _same(_load(lambda x: x * 2).ask(21), 42)

    def refuse(_: int) -> int:
        raise KeyError("refused")

    try:
        _load(refuse).ask(1)
    except KeyError:
        return ""
    raise Wrong("an exception of a host function got lost")


def _bounds(mode: str) -> str:
    instance = _load(memory=mode)
    for address in (65533, -4):
        _raises(figwasp.Trap, lambda address=address: instance.load(address))  # type: ignore[misc]
    _same((instance.load(65532), instance.grow(), instance.load(65533), instance.grow()), (0, 1, 0, -1))
    return ""


def _guarded_memory() -> str:
    from figwasp.runtime.platform import modes

    if modes.choose_mode() != modes.GUARD:
        return "not used: 8 GiB of address space for each memory cannot be had here, or FIGWASP_MEMORY says so"
    return _bounds("guard")


def _checked_memory() -> str:
    return _bounds("checked")


def _traps() -> str:
    error = _raises(figwasp.Trap, lambda: _load().divide(1, 0))
    _same(str(error).partition(":")[0].partition(" (")[0].startswith("integer divide by zero"), True)
    return ""


def _exceptions() -> str:
    tag = figwasp.Tag([figwasp.types.I32])

    def throw() -> None:
        raise figwasp.WasmException(tag, 21)

    instance = figwasp.load(figwasp.wat(_THROWING), {"env": {"tag": tag, "throw": throw}})
    _same((instance.catch_other(), instance.catch_own()), (21, 42))
    _same(_raises(figwasp.WasmException, instance.throw).args, (42,))
    return ""


def _stack() -> str:
    instance = _load()
    _raises(figwasp.Exhaustion, instance.deep)
    _same(instance.add(1, 1), 2)
    return ""


def _timeouts() -> str:
    began = time.monotonic()
    _raises(figwasp.Timeout, _load(timeout=_SECONDS).spin)
    return f"{(time.monotonic() - began) * 1000:.0f} ms instead of {_SECONDS * 1000:.0f}"


def _interrupts() -> str:
    instance = _load()
    timer = threading.Timer(_SECONDS, instance.interrupt)
    timer.start()
    _raises(figwasp.Interrupted, instance.spin)
    timer.join()
    return ""


def _fuel() -> str:
    _raises(figwasp.OutOfFuel, _load(fuel=1000).spin)
    return ""


def _threads() -> str:
    module = _module()
    found: list[int] = []

    def compute() -> None:
        found.append(figwasp.load(module, {"env": {"ask": abs}}).count(100_000))

    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE)
    _same(found, [200_000, 200_000])
    return ""


def _asynchronous_calls() -> str:
    async def ask(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    async def main() -> list[int]:
        instance = _load(ask)
        return [await instance.acall.ask(number) for number in range(3)]

    _same(asyncio.run(main()), [1, 2, 3])
    return ""


def _second_process() -> str:
    from figwasp.runtime.workers import ahead

    if not ahead.possible():
        return "not used: there is one processor, or there are other threads"
    module = _module()
    with module.compile_ahead():
        _same(figwasp.load(module, {"env": {"ask": abs}}).add(1, 2), 3)
    return ""


def _programs() -> str:
    done = figwasp.run(figwasp.wat(_HELLO), capture_output=True)
    _same((done.returncode, done.stdout), (0, b"hello\n"))
    return ""


def _forks() -> str:
    """A child goes on with an instance of its parent."""
    instance = _load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CPython 3.12 has one about threads, of which ours is native
        child = os.fork()
    if not child:
        try:
            os._exit(instance.add(20, 22) if instance.add(1, 1) == 2 else 1)
        finally:
            os._exit(1)
    _same(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 42)
    return ""


TESTS: Final[dict[str, Callable[[], str]]] = {
    "translation and validation": _translation,
    "this platform": _platform,
    "executable memory": _executable_memory,
    "compiled code": _compiled_code,
    "host functions": _host_functions,
    "traps": _traps,
    "exceptions": _exceptions,
    "memory with guard pages": _guarded_memory,
    "memory with checks": _checked_memory,
    "end of the stack": _stack,
    "timeouts": _timeouts,
    "interrupts": _interrupts,
    "fuel": _fuel,
    "second process": _second_process,
    "forks": _forks,
    "threads": _threads,
    "asynchronous calls": _asynchronous_calls,
    "WASI programs": _programs,
}
