"""The official WASI test suite, preview 1: all of its programs, on directories of the host, in memory and on an overlay; none is left out."""

from __future__ import annotations

import functools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.codegen.regalloc import allocate as regalloc
from figwasp.wasi import CAPTURE, WASI, Directory, HostDirectory, MemoryDirectory, OverlayDirectory

SUITE = Path("wasi/preview1")
PROGRAMS = {"assemblyscript": 12, "c": 14, "rust": 46}
"""How many there are of each language."""


def programs(shared: Path) -> list[Path]:
    return sorted((shared / SUITE).glob("*/*.wasm"))


@functools.cache
def module(path: Path) -> figwasp.Module:
    return figwasp.Module(path.read_bytes(), lazy=True)


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


def run(path: Path, case: dict[str, Any], dirs: dict[str, Directory]) -> tuple[object, bytes | None, bytes | None]:
    """Run a program; give its exit status and what it wrote."""
    options = {"args": [path.name, *case.get("args", [])], "env": case.get("env", {})}
    with WASI(**options, dirs=dirs, stdin=b"", stdout=CAPTURE, stderr=CAPTURE) as wasi:
        exports = figwasp.load(module(path), wasi.imports()).exports
        try:
            exports["_start"]()
        except figwasp.Exit as exit_:
            return exit_.code, wasi.stdout, wasi.stderr
        return 0, wasi.stdout, wasi.stderr


def test_there_are_all(whole: Path) -> None:
    found = [path.parent.name for path in programs(whole)]
    assert {language: found.count(language) for language in set(found)} == PROGRAMS


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile without the checks of the compiler's stages, which take four times as long as compiling."""
    monkeypatch.setenv("FIGWASP_CHECK", "0")
    monkeypatch.setattr(regalloc, "CHECK", False)


@pytest.mark.parametrize("kind", ["host", "memory", "overlay"])
@pytest.mark.parametrize("language", sorted(PROGRAMS))
def test_suite(whole: Path, tmp_path: Path, language: str, kind: str) -> None:
    """Every program of a language exits and prints as its manifest says."""
    failed = {}
    for path in programs(whole):
        if path.parent.name != language:
            continue
        manifest = path.with_suffix(".json")
        case = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
        if "root" not in case and kind != "host":
            continue  # it has no files
        temporary = tmp_path / path.stem
        temporary.mkdir()
        dirs = {"/": root(kind, path.parent / case["root"], temporary)} if "root" in case else {}
        status, out, err = run(path, case, dirs)
        if status != case.get("exit_code", 0) or out != case.get("stdout", "").encode() != b"":
            failed[path.stem] = status, out, err
    assert failed == {}
