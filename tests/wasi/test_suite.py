"""The official WASI test suite, preview 1: all of its programs, on directories of the host, in memory and on an overlay; none is left out."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.codegen.regalloc import allocate as regalloc
from figwasp.wasi import CAPTURE, WASI, Directory, HostDirectory, MemoryDirectory, OverlayDirectory
from tests.environment import SHARED

SUITE = Path("wasi/preview1")
PROGRAMS = {"assemblyscript": 12, "c": 14, "rust": 46}
"""How many there are of each language."""


EVERY = sorted((SHARED / SUITE).glob("*/*.wasm"))


def in_memory(folder: Path) -> MemoryDirectory:
    """Copy a folder of the host into memory."""
    files = MemoryDirectory()
    for parent, below, names in os.walk(folder):
        place: Directory = files
        for name in Path(parent).relative_to(folder).parts:
            place = place.enter(name)
        for name in below:
            place.mkdir(name)
        for name in names:
            assert isinstance(place, MemoryDirectory)
            place.write_bytes(name, Path(parent, name).read_bytes())
    return files


def on_host(folder: Path, temporary: Path) -> Directory:
    """Copy a folder of the host, all of it writable."""
    shutil.copytree(folder, temporary / "copy", copy_function=shutil.copyfile)
    for parent, below, _ in os.walk(temporary / "copy"):
        os.chmod(parent, 0o755)
        for name in below:
            os.chmod(Path(parent, name), 0o755)
    return HostDirectory(temporary / "copy")


def root(kind: str, folder: Path, temporary: Path) -> Directory:
    if kind == "memory":
        return in_memory(folder)
    if kind == "overlay":
        return OverlayDirectory(MemoryDirectory(), HostDirectory(folder))
    return on_host(folder, temporary)


def run(module: figwasp.Module, path: Path, case: dict[str, Any], dirs: dict[str, Directory]) -> tuple[object, bytes | None, bytes | None]:
    """Run a program; give its exit status and what it wrote."""
    options = {"args": [path.name, *case.get("args", [])], "env": case.get("env", {})}
    with WASI(**options, dirs=dirs, stdin=b"", stdout=CAPTURE, stderr=CAPTURE) as wasi:
        exports = figwasp.load(module, wasi.imports()).exports
        try:
            exports["_start"]()
        except figwasp.Exit as exit_:
            return exit_.code, wasi.stdout, wasi.stderr
        return 0, wasi.stdout, wasi.stderr


def test_there_are_all(whole: Path) -> None:
    found = [path.parent.name for path in EVERY]
    assert {language: found.count(language) for language in set(found)} == PROGRAMS


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile without the checks of the compiler's stages, which take four times as long as compiling."""
    monkeypatch.setenv("FIGWASP_CHECK", "0")
    monkeypatch.setattr(regalloc, "CHECK", False)


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_suite(path: Path, tmp_path: Path) -> None:
    """A program exits and prints as its manifest says, on files of every kind if it has files."""
    manifest = path.with_suffix(".json")
    case = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    module = figwasp.Module(path.read_bytes(), lazy=True)
    for kind in ("host", "memory", "overlay") if "root" in case else ("host",):
        temporary = tmp_path / kind
        temporary.mkdir()
        dirs = {"/": root(kind, path.parent / case["root"], temporary)} if "root" in case else {}
        status, out, err = run(module, path, case, dirs)
        assert status == case.get("exit_code", 0), (kind, out, err)
        assert out == case.get("stdout", "").encode() or not case.get("stdout"), (kind, err)
