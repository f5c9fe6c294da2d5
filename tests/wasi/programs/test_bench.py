"""Benchmark programs by others run under WASI, with what a harness gives them, and print what is expected."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.wasi import CAPTURE

QUICK = """blake3-scalar/benchmark pulldown-cmark/benchmark shootout-ackermann shootout-base64 shootout-gimli shootout-keccak
    shootout-memmove shootout-nestedloop shootout-ratelimit shootout-xblabla20 shootout-xchacha20""".split()
"""Programs that take about a second; the others run with FIGWASP_PROGRAMS=all, which takes a minute more."""
ALL = os.environ.get("FIGWASP_PROGRAMS") == "all"


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}" if path.stem == "benchmark" else path.stem


def check(path: Path) -> None:
    """Run a program and compare what it prints."""
    marks: list[str] = []
    bench: dict[str, Any] = {"start": lambda: marks.append("start"), "end": lambda: marks.append("end")}
    with figwasp.WASI(args=[path.name], dirs={".": path.parent}, stdout=CAPTURE, stderr=CAPTURE) as wasi:
        instance = figwasp.load(path, {**wasi.imports(), "bench": bench})
        code = 0
        try:
            instance.exports["_start"]()
        except figwasp.Exit as end:
            code = end.code
        assert code == 0, path
        assert wasi.stdout == path.with_suffix(".stdout.expected").read_bytes(), path
        assert wasi.stderr == path.with_suffix(".stderr.expected").read_bytes(), path
    assert marks == ["start", "end"], path


def test_programs_print_what_is_expected(whole: Path) -> None:
    paths = {name_of(path): path for path in (whole / "bench").rglob("*.wasm") if path.with_suffix(".stdout.expected").exists()}
    assert set(QUICK) < paths.keys()
    for name in sorted(paths if ALL else QUICK):
        check(paths[name])


@pytest.mark.parametrize("mode", ["guard", "checked"])
def test_coremark_scores(whole: Path, mode: str) -> None:
    """The program times itself by a clock that it is given, until ten seconds of that have passed."""
    clock = iter(range(0, 1 << 30, 20_000))
    module = figwasp.Module(whole / "bench" / "coremark-minimal.wasm", engine=figwasp.Engine(memory=mode))
    assert module.instantiate({"env": {"clock_ms": lambda: next(clock)}}).exports.run() > 0
