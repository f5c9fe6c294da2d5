"""Stubs that are kept on the disk: the second process builds none of them, and what is damaged is built anew."""

from __future__ import annotations

import marshal
import random
from pathlib import Path

import pytest

from figwasp.cache.cache import Cache
from figwasp.codegen.code import Code
from figwasp.runtime.native.build import facts
from figwasp.runtime.native.kept_stubs import KeptStubs, look_up
from tests.runtime.support import check_script

SCRIPT = """
    import sys
    import figwasp
    def host(x, y):
        if x < 0:
            raise LookupError("below")
        return x + y
    text = '''(module (import "h" "f" (func $f (param i32 f64) (result f64))) (memory (export "memory") 1)
      (table (export "t") 1 externref) (tag $e (param i32))
      (func (export "call") (param i32 f64) (result f64) (call $f (local.get 0) (local.get 1)))
      (func (export "keep") (param externref) (table.set (i32.const 0) (local.get 0)))
      (func (export "kept") (result externref) (table.get (i32.const 0)))
      (func (export "grow") (result i32) (memory.grow (i32.const 1)))
      (func (export "trap") unreachable)
      (func (export "list") (result i32) (array.len (array.new_default 0 (i32.const 1000))))
      (type (array (mut i32)))
      (func (export "throw") (throw $e (i32.const 7))))'''.replace("(type (array (mut i32)))", "")
    text = text.replace("(module ", "(module (type (array (mut i32))) ", 1)
    instance = figwasp.load(figwasp.wat(text), {"h": {"f": host}})
    assert instance.call(3, 4.5) == 7.5
    thing = object()
    instance.keep(thing)
    assert instance.kept() is thing
    assert instance.grow() == 1 and len(instance.memory) == 131072
    assert instance.list() == 1000
    for call, error in ((instance.trap, figwasp.Trap), (lambda: instance.call(-1, 0.0), LookupError), (instance.throw, figwasp.WasmException)):
        try:
            call()
        except error:
            pass
        else:
            raise SystemExit(f"no {error.__name__}")
    snapshot = instance.snapshot()
    instance.memory[0] = 1
    instance.reset()
    assert instance.memory[0] == 0
    print("figwasp.runtime.stubs.catalogue" in sys.modules)
"""


def run(folder: Path) -> bool:
    """Run the script with a cache in a folder, and return whether something was built."""
    return check_script(SCRIPT, env={"FIGWASP_CACHE": str(folder)}) == "True\n"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.entry"))


def test_the_second_process_builds_none(tmp_path: Path) -> None:
    assert run(tmp_path)
    assert len(entries(tmp_path)) == 2
    assert not run(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_damage_means_that_they_are_built_anew(tmp_path: Path, seed: int) -> None:
    run(tmp_path)
    rng = random.Random(seed)
    for entry in entries(tmp_path):
        data = bytearray(entry.read_bytes())
        if seed % 2:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        entry.write_bytes(data)
    assert run(tmp_path)
    assert not run(tmp_path)


def test_what_is_no_code_is_not_taken(tmp_path: Path) -> None:
    """Under a good checksum, too: each stub has one of its own, and says what it is made for."""
    cache = Cache(str(tmp_path))
    key = bytes(32)
    assert cache.write(key, marshal.dumps(({"leave": b"nonsense", "trim": b""}, {})))
    stubs = KeptStubs(cache, key)
    assert stubs.code("leave") is stubs.code("trim") is stubs.code("fail") is None
    assert stubs.entries("switches") is None


def test_what_others_have_made_stays(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    key = bytes(32)
    one, other = KeptStubs(cache, key), KeptStubs(cache, key)
    for stubs, name in ((one, "one"), (other, "other")):
        code = Code(name, -1)
        code.data = b"\xc3" * 16
        code.text_size = 16
        stubs.add(name, code, {"start": 8})
        stubs.write(key)
    third = KeptStubs(cache, key)
    for name in ("one", "other"):
        found = third.code(name)
        assert found is not None and (found.name, found.data) == (name, b"\xc3" * 16)
        assert third.entries(name) == {"start": 8}


def test_there_is_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules choose the types that stubs are made for, and may have as many as they like."""
    monkeypatch.setattr("figwasp.runtime.native.kept_stubs._MOST", 1000)
    cache = Cache(str(tmp_path))
    key = bytes(32)
    for number in range(20):
        stubs = KeptStubs(cache, key)
        code = Code(str(number), -1)
        code.data = bytes(100)
        stubs.add(f"enter:{number}", code)
        stubs.write(key)
    (entry,) = entries(tmp_path)
    assert entry.stat().st_size < 2000


def test_the_key_has_what_is_known_of_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets that emitted code has in it, those too that depend on what else has been loaded."""
    cache = Cache(str(tmp_path))
    names = {name for name, _ in facts()[:-1]}
    assert {"OB_TYPE", "INTS", "COUNTS", "SINGLETONS", "FLOAT_VALUE", "TUPLE_ITEMS"} <= names
    found = look_up(cache)
    monkeypatch.setattr("figwasp.runtime.platform.interpreter.THREAD_STATE", 0x7FFF_FF00, raising=False)
    other = look_up(cache)
    assert found is not None and other is not None and found._key != other._key
    assert look_up(None) is None
