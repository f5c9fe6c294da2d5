"""WASI and the instances that use it: whose memory a function sees, and what happens to instances that are odd."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import figwasp
from figwasp.wasi import WASI
from figwasp.wasi.abi import ERRNO_NAMES
from tests.wasi.program import TYPES

GROWS = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory 1)
  (data (i32.const 0) "\\40\\00\\01\\00\\06\\00\\00\\00")  ;; six bytes at 0x10040
  (func (export "read") (param i32) (result i32) (call $read (local.get 0) (i32.const 0) (i32.const 1) (i32.const 0x10048)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1)))
  (func (export "first") (result i32) (i32.load8_u (i32.const 0x10040)))
  (func (export "size") (result i32) (i32.load (i32.const 0x10048))))"""


def test_memory_that_grew() -> None:
    with WASI(stdin=b"inside, and more") as wasi:
        exports = figwasp.load(figwasp.wat(GROWS), wasi.imports()).exports
        assert ERRNO_NAMES[exports.read(0)] == "fault"
        assert exports.grow() == 1
        assert ERRNO_NAMES[exports.read(0)] == "success"
        assert (chr(exports.first()), exports.size()) == ("i", 6)


def test_without_memory_everything_faults() -> None:
    text = """(module
      (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (func (export "sizes") (result i32) (call $sizes (i32.const 0) (i32.const 4)))
      (func (export "time") (result i32) (call $time (i32.const 0) (i64.const 0) (i32.const 0)))
      (func (export "write") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"""
    with WASI(args=["x"]) as wasi:
        exports = figwasp.load(figwasp.wat(text), wasi.imports()).exports
        assert [ERRNO_NAMES[exports[name]()] for name in ("sizes", "time", "write")] == ["fault"] * 3


def test_a_type_that_a_function_does_not_have() -> None:
    """A guest that imports a function with other parameters cannot make the host fail in a way of its own."""
    for params in ("i32", "i32 i32 i32 i32 i32", "i32 f64 i32 i32", "i32 externref i32 i32"):
        text = f"""(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param {params}) (result i32)))
          (memory 1)
          (func (export "run") (param {params}) (result i32) {"".join(f"(local.get {i})" for i in range(len(params.split())))}
            (call $write)))"""
        args: list[Any] = [{"i32": 1, "f64": 0.5, "externref": None}[type_] for type_ in params.split()]
        with WASI() as wasi, pytest.raises(figwasp.Unlinkable, match="fd_write"):
            figwasp.load(figwasp.wat(text), wasi.imports()).exports.run(*args)


@pytest.mark.parametrize("module", ["wasi_snapshot_preview1", "wasi_unstable"])
@pytest.mark.parametrize(
    ("name", "type_", "call"),
    [
        ("fd_close", "(param i64) (result i32)", "(drop (call $it (i64.const 0)))"),
        ("fd_close", "(param i32)", "(call $it (i32.const 99))"),
        ("fd_close", "(param i32) (result i32 i32)", "(call $it (i32.const 99)) drop drop"),
        ("fd_close", "(param i32) (result f32)", "(drop (call $it (i32.const 99)))"),
        ("fd_close", "(param i32) (result externref)", "(drop (call $it (i32.const 99)))"),
        ("fd_seek", "(param i32 i32 i32 i32) (result i32)", "(drop (call $it (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"),
        ("sched_yield", "", "(call $it)"),
        ("proc_exit", "(param i32) (result i32)", "(drop (call $it (i32.const 0)))"),
        ("proc_exit", "(param f64)", "(call $it (f64.const 0))"),
    ],
)
def test_other_types_and_results(module: str, name: str, type_: str, call: str) -> None:
    """Nor with parameters and results of types that would do, more or less."""
    text = f'(module (import "{module}" "{name}" (func $it {type_})) (memory 1) (func (export "run") {call}))'
    with WASI() as wasi, pytest.raises(figwasp.Unlinkable, match=rf"{module}\.{name} is no function \("):
        figwasp.load(figwasp.wat(text), wasi.imports()).run()


@pytest.mark.parametrize("module", ["wasi_snapshot_preview1", "wasi_unstable"])
def test_types_that_they_have(module: str) -> None:
    """As the interface's description has them."""
    for name, types in {**TYPES, "sched_yield": "", "fd_sync": "i", "clock_res_get": "ii", "fd_advise": "iIIi", "fd_tell": "ii"}.items():
        params = " ".join("i32" if kind == "i" else "i64" for kind in types)
        values = "".join("(i32.const 99)" if kind == "i" else "(i64.const 0)" for kind in types)
        if (module, name) != ("wasi_unstable", "sock_accept"):
            text = f"""(module (import "{module}" "{name}" (func $it (param {params}) (result i32))) (memory 1)
              (func (export "run") (result i32) (call $it {values})))"""
            with WASI() as wasi:
                assert figwasp.load(figwasp.wat(text), wasi.imports()).run() in range(77)


def test_every_instance_has_its_own_memory() -> None:
    text = """(module
      (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "run") (result i32) (drop (call $sizes (i32.const 0) (i32.const 4))) (i32.load (i32.const 0))))"""
    with WASI(args=["a", "b", "c"]) as wasi:
        imports = wasi.imports()
        one, other = (figwasp.load(figwasp.wat(text), imports).exports for _ in range(2))
        assert one.run() == 3
        assert other.memory[0:8] == bytes(8)
        assert (other.run(), one.run()) == (3, 3)


def test_instances_are_collected() -> None:
    """Although the functions that an instance keeps know its memory."""
    text = """(module
      (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "run") (result i32) (call $sizes (i32.const 0) (i32.const 4))))"""
    wasi = WASI()
    instance = figwasp.load(figwasp.wat(text), wasi.imports())
    assert instance.exports.run() == 0
    gone = weakref.ref(wasi)
    del instance, wasi
    gc.collect()
    assert gone() is None
