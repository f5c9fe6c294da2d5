"""Stubs that are shipped: they are what the compiler makes today, for every build that is known, and others do without."""

from __future__ import annotations

import marshal
import subprocess
import sys
from pathlib import Path

import pytest

from figwasp.codegen.stored.serial import from_bytes
from figwasp.runtime.native import shipped_stubs
from figwasp.runtime.native.shipped_stubs import FOLDER, ShippedStubs, digest, file_name, look_up
from figwasp.runtime.platform import interpreter
from figwasp.types import I32
from figwasp.wasi.calls.functions import _PARAMS, PREVIEW1
from tests.environment import environment
from tests.runtime.support import check_script

KNOWN = pytest.mark.skipif(not Path(FOLDER, file_name()).exists(), reason="nothing is shipped for such a build of Python")

HELLO = """
    import sys
    import figwasp
    text = '''(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "\\\\08\\\\00\\\\00\\\\00\\\\03\\\\00\\\\00\\\\00hi\\\\0a")
      (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))))'''
    done = figwasp.run(figwasp.wat(text), stdout=-1)
    assert done.stdout == b"hi\\n"
    print(sorted({"figwasp.runtime.stubs.catalogue", "figwasp.codegen.pipeline"} & {*sys.modules}))
"""


def test_they_are_what_is_made_today(tmp_path: Path) -> None:
    """Else run `make templates`. Whatever build this is, it makes those for all."""
    subprocess.run([sys.executable, "-m", "figwasp.runtime.native.shipping", str(tmp_path)], env=environment(), check=True)
    made = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_bytes() for file in Path(FOLDER).iterdir()}
    assert len(made) == 4


@KNOWN
def test_first_start_compiles_no_stub() -> None:
    """The optimising line is not there at all."""
    assert check_script(HELLO, env={"FIGWASP_CACHE": "off", "FIGWASP_TIER": "baseline"}) == "[]\n"


@KNOWN
def test_functions_of_wasi_have_theirs() -> None:
    found = look_up()
    assert found is not None
    for name, function in PREVIEW1.items():
        params = _PARAMS.get(name, (I32,) * (function.__code__.co_argcount - 1))
        kinds = "".join("i" if type == I32 else "l" for type in params)
        assert found.code(f"host.general:{kinds}:{'i' * (name != 'proc_exit')}") is not None, name


@KNOWN
def test_place_of_the_thread_state_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = marshal.loads(Path(FOLDER, file_name()).read_bytes())
    monkeypatch.setattr(interpreter, "THREAD_STATE", 0x1234_5678, raising=False)
    stubs = ShippedStubs(*contents[1:])
    for key, (data, places) in contents[1].items():
        code = stubs.code(key)
        assert code is not None
        assert [code.data[place : place + 4] for place in places] == [b"\x78\x56\x34\x12"] * len(places)
        assert len(code.data) == len(from_bytes(data).data)
    assert any(places for _, places in contents[1].values()) == (sys.version_info >= (3, 12))


def test_others_do_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another build has no file; other facts than those that it was made of, or damage, count for nothing."""
    monkeypatch.setattr(shipped_stubs, "FOLDER", str(tmp_path))
    assert look_up() is None
    file = tmp_path / file_name()
    file.write_bytes(marshal.dumps((digest() ^ 1, {"leave": (b"", ())}, {}), 2))
    assert look_up() is None
    file.write_bytes(marshal.dumps((digest(), {"leave": (b"fwco" + bytes(100), ())}, {}), 2))
    found = look_up()
    assert found is not None
    assert found.code("leave") is None and found.code("none") is None and found.entries("none") is None


@KNOWN
@pytest.mark.parametrize("data", [b"", b"\x00", b"(\x03\x00\x00\x00"])
def test_file_that_is_no_such_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes) -> None:
    """It was cut off, perhaps, when the disk was full."""
    monkeypatch.setattr(shipped_stubs, "FOLDER", str(tmp_path))
    (tmp_path / file_name()).write_bytes(data)
    assert look_up() is None
