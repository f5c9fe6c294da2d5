"""`import figwasp.importer`: WebAssembly modules found on sys.path, and what they get and give."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp import importer

ADD = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (memory (export "memory") 1)
  (global (export "counter") (mut i32) (i32.const 7))
  (func (export "some-name") (result i32) (i32.const 5))
  (func (export "__heap_base") (result i32) (i32.const 6))
  (func (export "__name__"))
  (func (export "__getattr__") (param i32) (result i32) (local.get 0)))"""


class Folder:
    """A folder of sys.path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, name: str, text: str) -> Path:
        """Write a file: a binary made from text, or text."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".wasm"):
            path.write_bytes(figwasp.wat(text))
        else:
            path.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Folder(tmp_path)
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None) or getattr(sys.modules[name], "__path__", "")):
            del sys.modules[name]


def get(name: str) -> Any:
    return importlib.import_module(name)


# Finding


@pytest.mark.parametrize("suffix", [".wasm", ".wat"])
def test_a_module_is_found_on_the_path(folder: Folder, suffix: str) -> None:
    path = folder.put(f"plugin_a{suffix}", ADD)
    plugin = get("plugin_a")
    assert plugin.add(2, 3) == 5
    assert plugin.__name__ == "plugin_a"
    assert plugin.__file__ == plugin.__spec__.origin == str(path)
    assert plugin.__package__ == ""
    assert isinstance(plugin.__loader__, importer.WasmLoader)
    assert repr(plugin) == f"<module 'plugin_a' from {str(path)!r}>"
    assert plugin.__loader__.get_data(str(path)) == path.read_bytes()
    assert (plugin.__loader__.get_source("plugin_a") is None) == (suffix == ".wasm")


def test_the_statement_works_as_well(folder: Folder) -> None:
    folder.put("plugin_b.wasm", ADD)
    space: dict[str, Any] = {}
    exec("import plugin_b as p\nfrom plugin_b import add\nfrom plugin_b import *", space)
    assert space["add"] is space["p"].add
    assert sorted(space["p"].__all__) == ["add", "counter", "memory"]
    assert space["memory"] is space["p"].memory


def test_exports_are_attributes(folder: Folder) -> None:
    folder.put("plugin_c.wasm", ADD)
    plugin = get("plugin_c")
    assert isinstance(plugin.memory, figwasp.Memory)
    assert plugin.counter.value == 7
    assert getattr(plugin, "some-name")() == 5
    assert getattr(plugin, "__heap_base")() == 6
    assert plugin.__instance__.exports["add"] is plugin.add
    assert "__getattr__" in plugin.__instance__.exports
    assert not hasattr(plugin, "nothing")


def test_a_binary_goes_before_a_text_and_python_before_both(folder: Folder) -> None:
    folder.put("plugin_d.wat", '(module (func (export "which") (result i32) (i32.const 1)))')
    folder.put("plugin_d.wasm", '(module (func (export "which") (result i32) (i32.const 2)))')
    assert get("plugin_d").which() == 2
    folder.put("plugin_e.wasm", ADD)
    folder.put("plugin_e.py", "which = 3")
    assert get("plugin_e").which == 3


def test_python_goes_first_from_a_later_folder_too(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.put("early/plugin_f.wasm", ADD)
    folder.put("late/plugin_f.py", "which = 3")
    monkeypatch.setattr(sys, "path", [str(folder.path / "early"), str(folder.path / "late"), *sys.path])
    assert get("plugin_f").which == 3


def test_the_finder_stands_last_and_once() -> None:
    importlib.reload(importer)
    assert [type(finder).__name__ for finder in sys.meta_path].count("WasmFinder") == 1
    names = [getattr(finder, "__name__", type(finder).__name__) for finder in sys.meta_path]
    assert names.index("WasmFinder") > names.index("PathFinder")


def test_a_module_of_a_package(folder: Folder) -> None:
    folder.put("pack_a/__init__.py", "from . import plugin\nfrom .plugin import add")
    folder.put("pack_a/plugin.wasm", ADD)
    package = get("pack_a")
    assert package.add(1, 1) == 2
    assert package.plugin.__name__ == "pack_a.plugin"
    assert package.plugin.__package__ == "pack_a"
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'pack_a\.other'"):
        get("pack_a.other")


def test_a_module_of_a_namespace_package(folder: Folder) -> None:
    folder.put("one/pack_b/plugin.wasm", ADD)
    folder.put("two/pack_b/other.py", "from .plugin import add\nsum = add(3, 4)")
    sys.path[:0] = [str(folder.path / "one"), str(folder.path / "two")]
    assert get("pack_b.other").sum == 7


def test_a_folder_is_no_module(folder: Folder) -> None:
    (folder.path / "plugin_g.wasm").mkdir()
    with pytest.raises(ModuleNotFoundError):
        get("plugin_g")


def test_modules_in_a_zip_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip file on the path is looked through too, and the packages in it, as for an application that is one file."""
    archive = folder.path / "app.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zip_a.wasm", figwasp.wat(ADD))
        file.writestr("zip_pack/__init__.py", "")
        file.writestr("zip_pack/host.py", "def seven(): return 7")
        file.writestr("zip_pack/zip_b.wat", '(module (import "host" "seven" (func $f (result i32))) (export "seven" (func $f)))')
        file.writestr("zip_bad.wasm", b"\0asm")
    monkeypatch.setattr(sys, "path", [str(archive), *sys.path])
    plugin = get("zip_a")
    assert plugin.add(2, 3) == 5 and plugin.__file__ == str(archive / "zip_a.wasm")
    assert plugin.__loader__.get_data(plugin.__file__) == figwasp.wat(ADD) and plugin.__loader__.get_source("zip_a") is None
    assert get("zip_pack.zip_b").seven() == 7 and "seven" in get("zip_pack.zip_b").__loader__.get_source("zip_pack.zip_b")
    assert importlib.reload(plugin).add(1, 1) == 2
    with pytest.raises(ImportError, match="unexpected end") as caught:
        get("zip_bad")
    assert caught.value.path == str(archive / "zip_bad.wasm")
    for name in ("zip_c", "zip_pack.zip_a"):
        with pytest.raises(ModuleNotFoundError):
            get(name)


def test_the_working_directory_is_the_empty_name(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.put("inner/plugin_h.wasm", ADD)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.chdir(folder.path / "inner")
    assert get("plugin_h").add(1, 2) == 3
    assert get("plugin_h").__file__ == str(folder.path / "inner" / "plugin_h.wasm")


def test_find_spec_loads_nothing(folder: Folder) -> None:
    folder.put("plugin_i.wasm", '(module (import "no_such_module" "f" (func)))')
    spec = importlib.util.find_spec("plugin_i")
    assert spec is not None
    assert spec.origin == str(folder.path / "plugin_i.wasm")
    assert "plugin_i" not in sys.modules


def test_reload_makes_a_new_instance(folder: Folder) -> None:
    folder.put("plugin_j.wasm", ADD)
    plugin = get("plugin_j")
    plugin.memory[0:2] = b"hi"
    add = plugin.add
    folder.put("plugin_j.wasm", ADD.replace("i32.add", "i32.sub"))
    again = importlib.reload(plugin)
    assert again is plugin
    assert bytes(plugin.memory[0:2]) == b"\0\0"
    assert plugin.add(5, 3) == 2
    assert add(5, 3) == 8


def test_modules_are_compiled_with_the_engine_that_is_set(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(importer, "engine", figwasp.Engine(listener=lambda func: asked.append(func.name)))
    folder.put("plugin_k.wasm", ADD)
    get("plugin_k").add(1, 2)
    assert asked == ["add"]


# What a module gets


USES = """(module
  (import "{0}" "double" (func $double (param i32) (result i32)))
  (import "{0}" "limit" (global $limit i32))
  (func (export "run") (result i32) (call $double (global.get $limit))))"""


def test_imports_come_from_python_modules(folder: Folder) -> None:
    folder.put("host_a.py", "limit = 21\ndef double(n): return 2 * n")
    folder.put("plugin_l.wasm", USES.format("host_a"))
    assert get("plugin_l").run() == 42
    folder.put("plugin_m.wat", '(module (import "math" "hypot" (func (param f64 f64) (result f64))) (export "hypot" (func 0)))')
    assert get("plugin_m").hypot(3, 4) == 5


def test_imports_with_dots_come_from_submodules(folder: Folder) -> None:
    folder.put("pack_c/__init__.py", "")
    folder.put("pack_c/host.py", "limit = 2\ndef double(n): return 2 * n")
    folder.put("plugin_n.wasm", USES.format("pack_c.host"))
    assert get("plugin_n").run() == 4


def test_siblings_in_a_package_come_first(folder: Folder) -> None:
    folder.put("host_b.py", "limit = 1\ndef double(n): return 2 * n")
    folder.put("pack_d/__init__.py", "")
    folder.put("pack_d/plugin.wasm", USES.format("host_b"))
    assert get("pack_d.plugin").run() == 2
    folder.put("pack_d/host_b.py", "limit = 5\ndef double(n): return 2 * n")
    folder.put("pack_d/other.wasm", USES.format("host_b"))
    assert get("pack_d.other").run() == 10


def test_a_module_does_not_take_itself_for_a_sibling(folder: Folder) -> None:
    folder.put("pack_e/__init__.py", "")
    folder.put("pack_e/math.wat", '(module (import "math" "sqrt" (func (param f64) (result f64))) (export "root" (func 0)))')
    assert get("pack_e.math").root(9) == 3


def test_webassembly_modules_import_each_other(folder: Folder) -> None:
    folder.put("host_c.wat", """(module (global (export "limit") i32 (i32.const 8))
        (memory (export "memory") 1)
        (func (export "double") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1))))""")
    folder.put("plugin_o.wat", USES.format("host_c").replace('(global $limit i32))', '(global $limit i32))\n(import "host_c" "memory" (memory 1))'))
    assert get("plugin_o").run() == 16
    assert isinstance(get("host_c").double, figwasp.Func)


WASI = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00") (data (i32.const 16) "hello\\0a")
  (global $ready (mut i32) (i32.const 0))
  (func (export "_initialize") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (global.set $ready (i32.const 1)))
  (func (export "_start") unreachable)
  (func (export "ready") (result i32) (global.get $ready))
  (func (export "arguments") (result i32) (drop (call $args (i32.const 32) (i32.const 36))) (i32.load (i32.const 32))))"""


def test_wasi_is_given_the_standard_streams_and_initialized(folder: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    folder.put("plugin_p.wasm", WASI)
    plugin = get("plugin_p")
    assert plugin.ready() == 1
    assert plugin.arguments() == 0
    assert capfd.readouterr().out == "hello\n"


def test_initialize_is_called_without_wasi_too(folder: Folder) -> None:
    folder.put("plugin_q.wat", """(module (global (export "g") (mut i32) (i32.const 0))
        (func (export "_initialize") (global.set 0 (i32.const 3))))""")
    assert get("plugin_q").g.value == 3


# What goes wrong


@pytest.mark.parametrize(
    ("name", "content", "cause", "message"),
    [
        ("malformed", b"\0asm\1\0\0\0\xff", figwasp.Malformed, "malformed"),
        ("empty", b"", figwasp.Malformed, "cannot import"),
        ("invalid", figwasp.wat("(module (func (result i32) (i64.const 0)))"), figwasp.Invalid, "type mismatch"),
        ("no_name", figwasp.wat('(module (import "math" "no_such" (func)))'), figwasp.Unlinkable, "math.no_such"),
        ("no_match", figwasp.wat('(module (import "math" "pi" (func)))'), figwasp.Unlinkable, "must be a function"),
        ("start_traps", figwasp.wat("(module (func $s unreachable) (start $s))"), figwasp.Trap, "unreachable"),
    ],
)
def test_failures_are_import_errors(folder: Folder, name: str, content: bytes, cause: type[Exception], message: str) -> None:
    path = folder.path / f"bad_{name}.wasm"
    path.write_bytes(content)
    importlib.invalidate_caches()
    with pytest.raises(ImportError, match=message) as caught:
        get(f"bad_{name}")
    assert isinstance(caught.value.__cause__, cause)
    assert (caught.value.name, caught.value.path) == (f"bad_{name}", str(path))
    assert f"bad_{name}" not in sys.modules


EXIT = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func (export "_initialize") (call $exit (i32.const {}))))"""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("takes_one", '(module (func (export "_initialize") (param i32)))', "_initialize must take no arguments, not (i32) -> ()"),
        ("takes_object", '(module (func (export "_initialize") (param externref)))', "must take no arguments"),
        ("traps", '(module (func (export "_initialize") unreachable))', "unreachable"),
        ("overflows", '(module (func $f (export "_initialize") (call $f)))', "call stack exhausted"),
        ("exits", EXIT.format(0), "the program has exited with code 0"),
        ("fails", EXIT.format(3), "the program has exited with code 3"),
        ("large", "(module (table 4000000000 funcref))", "a table of 4000000000 elements"),
    ],
)
@pytest.mark.parametrize("suffix", [".wasm", ".wat"])
def test_failures_to_initialize_are_import_errors(folder: Folder, name: str, text: str, message: str, suffix: str) -> None:
    path = folder.put(f"bad_{name}{suffix}", text)
    with pytest.raises(ImportError) as caught:
        get(f"bad_{name}")
    assert str(caught.value).startswith(f"cannot import {path}: ") and message in str(caught.value)
    assert str(caught.value).count(str(path)) == 1
    assert (caught.value.name, caught.value.path) == (f"bad_{name}", str(path))
    assert f"bad_{name}" not in sys.modules


def test_a_file_that_cannot_be_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged archive too, whatever its reader raises."""
    data = bytearray()
    archive = folder.path / "damaged.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zip_broken.wasm", figwasp.wat(ADD))
        start = file.infolist()[0].header_offset + 30 + len("zip_broken.wasm")
    data += archive.read_bytes()
    data[start : start + 20] = b"\xff" * 20
    archive.write_bytes(data)
    monkeypatch.setattr(sys, "path", [str(archive), *sys.path])
    with pytest.raises(ImportError, match=r"cannot import .*zip_broken\.wasm: ") as caught:
        get("zip_broken")
    assert caught.value.path == str(archive / "zip_broken.wasm")


def test_nothing_but_what_the_file_names_is_imported(folder: Folder) -> None:
    folder.put("named_a.py", "def f(): return 3")
    folder.put("beside_a.py", "raise RuntimeError")
    folder.put("plugin_s.wat", '(module (import "named_a" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f)))')
    before = set(sys.modules)
    assert get("plugin_s").run() == 3
    assert set(sys.modules) - before == {"plugin_s", "named_a"}


def test_a_text_that_cannot_be_read(folder: Folder) -> None:
    folder.put("bad_text.wat", "(module (func (i32.ad)))")
    with pytest.raises(ImportError) as caught:
        get("bad_text")
    assert isinstance(caught.value.__cause__, figwasp.ParseError)


@pytest.mark.parametrize("name", ["no_such_module_at_all", "./helper.js", "", "wasi:io/streams@0.2.0", ".math", "a..b"])
def test_a_python_module_that_is_missing(folder: Folder, name: str) -> None:
    folder.put("bad_import.wasm", f'(module (import "{name}" "f" (func)))')
    with pytest.raises(ModuleNotFoundError, match="imports from") as caught:
        get("bad_import")
    assert caught.value.name == name
    assert "bad_import" not in sys.modules


def test_what_a_python_module_raises_passes(folder: Folder) -> None:
    folder.put("host_d.py", "import no_such_module_either")
    folder.put("host_e.py", "1 / 0")
    folder.put("bad_host_d.wasm", USES.format("host_d"))
    folder.put("bad_host_e.wasm", USES.format("host_e"))
    with pytest.raises(ModuleNotFoundError, match="no_such_module_either"):
        get("bad_host_d")
    with pytest.raises(ZeroDivisionError):
        get("bad_host_e")


def test_an_import_that_failed_can_be_mended(folder: Folder) -> None:
    folder.put("plugin_r.wasm", USES.format("host_f"))
    with pytest.raises(ModuleNotFoundError):
        get("plugin_r")
    folder.put("host_f.py", "limit = 3\ndef double(n): return 2 * n")
    assert get("plugin_r").run() == 6
