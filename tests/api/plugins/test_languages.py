"""The plug-ins of docs/plugins, as C, Rust and AssemblyScript make them: those that are kept there, and all as built here.

Each source has the command that builds it. Where the compiler is not installed, or cannot make WebAssembly, the test skips.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import figwasp
from tests.environment import ROOT

PLUGINS = ROOT / "docs/plugins"
COMMAND = re.compile(r"^\W*((?:clang|rustc|asc) .*-o (\S+)\.wasm.*?)(?: \*/)?$", re.MULTILINE)
COMMANDS = {
    match[2]: (source.name, match[1])
    for source in sorted(PLUGINS.iterdir()) if source.suffix != ".wasm"
    for match in COMMAND.finditer(source.read_text(encoding="utf-8"))
}  # fmt: skip
NAMES = ["Ada", "", "Grüße, 日本 \U0001f600", "x" * 100_000]


def compilers(name: str) -> list[str]:
    """Return the paths of all programs of a name, of which the first need not know our target."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return [found for folder in folders if folder and (found := shutil.which(name, path=folder))]


def build(name: str, folder: Path) -> Path:
    """Compile a plug-in by the command in its source, or skip."""
    source, command = COMMANDS[name]
    shutil.copy(PLUGINS / source, folder)
    compiler, *words = shlex.split(command)
    complaint = "it is not installed"
    for path in compilers(compiler):
        done = subprocess.run([path, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode == 0:
            return folder / f"{name}.wasm"
        complaint = done.stderr
    # A compiler for other machines only, or without a library or linker; a source that is wrong fails everywhere else.
    if not re.search(r"not installed|may not be installed|file not found|unable to|cannot open|No available targets", complaint):
        pytest.fail(complaint)
    pytest.skip(f"{compiler} makes no such WebAssembly here: {complaint.strip()[:200]}")


def use_c(plugin: figwasp.Instance) -> None:
    """Have strings returned in three ways, every piece freed."""
    allocator, memory = figwasp.Allocator(plugin), plugin.exports.memory
    for name in NAMES:
        with allocator.cstr(name) as pointer:
            found = plugin.greet_cstr(pointer)
            assert memory.read_cstr(found) == f"Hello, {name}!"
            allocator.free(found)
        with allocator.str(name) as (pointer, size):
            found, length = divmod(plugin.greet_packed(pointer, size), 2**32)
            assert memory.read_str(found, length) == f"Hello, {name}!"
            allocator.free(found)
        with allocator.str(name) as (pointer, size), allocator.bytes(bytes(8)) as (out, _):
            plugin.greet_out(pointer, size, out)
            found = memory.read_u32(out)
            assert memory.read_str(found, memory.read_u32(out + 4)) == f"Hello, {name}!"
            allocator.free(found)
    check_that_nothing_is_left(allocator)


def use_rust(plugin: figwasp.Instance) -> None:
    allocator = figwasp.Allocator(plugin)
    for name in NAMES:
        with allocator.str(name) as (pointer, size):
            found, length = divmod(plugin.greet(pointer, size) % 2**64, 2**32)
            assert allocator.memory.read_str(found, length) == f"Hello, {name}!"
            allocator.free(found, length)
    check_that_nothing_is_left(allocator)


def use_assemblyscript(plugin: figwasp.Instance) -> None:
    """Have strings and an ArrayBuffer live through collections that come while they are pinned."""
    allocator = figwasp.Allocator(plugin)
    for name in NAMES:
        with allocator.string(name) as pointer, allocator.bytes(name.encode()) as (buffer, _):
            plugin.exports["__collect"]()
            for _ in range(20):
                assert allocator.read_string(plugin.greet(pointer)) == f"Hello, {name}!"
            plugin.exports["__collect"]()
            assert allocator.read_string(pointer) == name and plugin.sum(buffer) == sum(name.encode())
    check_that_nothing_is_left(allocator)


def check_that_nothing_is_left(allocator: figwasp.Allocator) -> None:
    """Make sure that what is freed is given out again: the memory does not grow for ever."""
    for turn in range(300):
        with allocator.bytes(bytes(100_000)):
            if turn == 10:
                pages = allocator.memory.pages
    assert allocator.memory.pages == pages


USES: dict[str, Callable[[figwasp.Instance], None]] = {
    "greet-c": use_c,
    "greet-wasi": use_c,
    "greet-rust": use_rust,
    "greet-as": use_assemblyscript,
}


def plugin_at(path: Path) -> figwasp.Instance:
    plugin = figwasp.load(path, {"env": {"abort": lambda *_: pytest.fail("AssemblyScript has called abort")}})
    if "_initialize" in plugin.exports:
        plugin.exports["_initialize"]()
    return plugin


def test_every_plugin_is_used() -> None:
    assert set(COMMANDS) == set(USES) > {path.stem for path in PLUGINS.glob("*.wasm")} > set()


@pytest.mark.parametrize("path", sorted(PLUGINS.glob("*.wasm")), ids=lambda path: path.stem)
def test_plugins_that_are_kept(path: Path) -> None:
    USES[path.stem](plugin_at(path))
    assert path.stat().st_size < 5000


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_plugins_as_built_here(name: str, tmp_path: Path) -> None:
    USES[name](plugin_at(build(name, tmp_path)))
