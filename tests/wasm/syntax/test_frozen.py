"""Modules in their plain form: what comes back is equal in everything, and needs no decoder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from figwasp.features import ALL, DEFAULT
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.encode import encode_decoded
from figwasp.wasm.syntax.frozen import freeze, thaw
from figwasp.wasm.syntax.module import ConstExpr, Data, Module
from figwasp.wasm.text.parse.module import wat
from tests.environment import environment
from tests.wasm.text.comparison import scripts
from tests.wasm.text.test_print_roundtrip import modules

PARTS = 4
EVERYTHING = """
(module $m
  (rec (type $a (sub (struct (field $x i8) (field (mut (ref null $b)))))) (type $b (array (mut i16))))
  (type $c (sub final $a (struct (field i8) (field (mut (ref null $b))) (field f64))))
  (type $f (func (param i64 (ref $f)) (result f32 v128)))
  (import "env" "f" (func $imported (param i32))) (import "env" "t" (table 1 2 externref)) (import "env" "g" (global (mut i64)))
  (import "env" "m" (memory i64 1 70000 shared)) (import "env" "e" (tag (param i32)))
  (table $own 10 20 funcref) (table i64 3 (ref func) (ref.func $g))
  (memory 1) (memory 2 3 (pagesize 1))
  (tag (param f32))
  (global i32 (i32.add (i32.const -5) (i32.const 2))) (global v128 (v128.const i64x2 -1 1)) (global (ref null $b) (ref.null $b))
  (global f64 (f64.const nan:0x123))
  (export "g" (func $g)) (export "é" (global 1)) (export "t" (table $own))
  (start $g)
  (elem (table $own) (i32.const 1) func $g $imported $g) (elem func $h) (elem declare func $g $h)
  (elem (ref null i31) (item (ref.i31 (i32.const 3))) (item (ref.null i31)) (item (ref.null i31)))
  (data (memory 1) (i32.const -1) "abc") (data "de") (data (memory 0) (i64.const 9) "")
  (func $g) (func $h (local i32 i64) (try_table (catch_all 0))) (func)
)
"""


def thawed(module: Module) -> Module:
    return thaw(memoryview(freeze(module)), module.data, module.features)


def same(found: object, expected: object, where: str = "module") -> None:
    """Compare objects by all their slots, and lists by their items; whether a list is one or a sequence that acts so is the same."""
    if isinstance(expected, list):
        assert len(found) == len(expected), where  # type: ignore[arg-type]
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):  # type: ignore[call-overload]
            same(one, other, f"{where}[{place}]")
    elif type(expected).__module__.startswith("figwasp.wasm"):
        assert type(found) is type(expected), where
        for name in type(expected).__slots__:  # type: ignore[attr-defined]
            if name not in ("_export_names", "_names"):
                same(getattr(found, name), getattr(expected, name), f"{where}.{name}")
    else:
        assert type(found) is type(expected) and found == expected, where


def check(data: bytes) -> None:
    module = decode(data, ALL)
    assert module.passive_datas is not None  # noted by asking, as freezing does
    again = thawed(module)
    same(again, module)
    assert encode_decoded(again) == encode_decoded(module)
    same(thawed(again), module)


def test_everything_there_is() -> None:
    check(wat(EVERYTHING))
    module = thawed(decode(wat(EVERYTHING), ALL))
    assert (module.name, module.func_name(1), module.field_names) == ("m", "g", {0: {0: "x"}})
    assert (module.start, module.passive_datas, module.data_count) == (1, [1], None)
    assert thawed(decode(wat("(module)"), DEFAULT)).features == DEFAULT
    check(wat('(memory 1) (data "") (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))'))


def test_sequences() -> None:
    module = thawed(decode(wat("(func) (func) (func) (table 9 funcref) (elem (i32.const 0) 0 1 2 1)"), ALL))
    starts = [body.start for body in module.bodies]
    assert len(module.bodies) == len(starts) == 3 and starts == sorted(set(starts))
    assert [body.start for body in module.bodies[1:]] == starts[1:] == [body.start for body in list(reversed(module.bodies))[1::-1]]
    assert module.bodies[-1].start == module.body(2).start == starts[2]
    for index in (3, -4):
        with pytest.raises(IndexError):
            module.bodies[index]


def shared_objects(module: Module, number: int) -> int:
    inits = module.elems[number].inits
    assert all(one is other for one, other in zip(inits, inits, strict=True))
    return len(set(map(id, inits)))


def test_equal_elements_are_one_object() -> None:
    text = "(func) (func) (table 9 funcref) (elem func 0 1 1 0 1) (elem funcref (ref.null func) (ref.func 1) (ref.null func))"
    module = thawed(decode(wat(text), ALL))
    assert [shared_objects(module, 0), shared_objects(module, 1)] == [2, 2]
    assert module.elems[0].inits[1] is module.elems[0].inits[2]


@pytest.mark.parametrize("value", [0, 1, -1, 0x7FFFFFFF, -0x80000000])
def test_places_of_data(value: int) -> None:
    module = decode(wat(f'(memory 1) (data (i32.const {value}) "x")'))
    (segment,) = thawed(module).datas
    assert isinstance(segment, Data) and isinstance(segment.offset, ConstExpr)
    assert segment.offset.instrs == [(0x41, value)]


@pytest.mark.parametrize("part", range(PARTS))
def test_modules_of_scripts(shared: Path, part: int) -> None:
    for name in scripts(shared)[part::PARTS]:
        for _, data in modules((shared / "spec" / f"{name}.wast").read_bytes()):
            check(data)


def programs(shared: Path) -> Iterator[Path]:
    return (shared / "programs" / "modules").glob("*.wasm")


def test_programs(shared: Path) -> None:
    for path in programs(shared):
        check(path.read_bytes())


NEEDLESS = """
import sys
from figwasp.features import ALL
from figwasp.wasm.syntax.frozen import thaw
frozen, data = [open(name, "rb").read() for name in sys.argv[1:]]
module = thaw(frozen, data, ALL)
print(len(module.bodies), *sorted(name for name in sys.modules if name.startswith("figwasp.")))
"""
LIGHT = """
    figwasp.errors figwasp.features figwasp.lazy figwasp.records figwasp.wasm figwasp.wasm.binary figwasp.wasm.binary.leb128
    figwasp.wasm.syntax figwasp.wasm.syntax.frozen figwasp.wasm.syntax.module figwasp.wasm.syntax.names figwasp.wasm.syntax.types
""".split()


def test_thawing_imports_little(tmp_path: Path) -> None:
    data = wat(EVERYTHING)
    (tmp_path / "frozen").write_bytes(freeze(decode(data, ALL)))
    (tmp_path / "data").write_bytes(data)
    command = [sys.executable, "-c", NEEDLESS, str(tmp_path / "frozen"), str(tmp_path / "data")]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split() == ["3", *LIGHT]
