"""Print, parse, encode: the same module comes back, for the modules of the spec's scripts and for real programs.

By default a sample, so that it takes seconds; FIGWASP_ROUNDTRIP=all takes every module of every script and every program.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from figwasp.errors import Error, LimitExceeded, Malformed
from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.encode import encode_decoded
from figwasp.wasm.text.lexer import tokenize
from figwasp.wasm.text.parse.module import parse_form, wat
from figwasp.wasm.text.print.module import show
from tests.wasm.text.sameness import difference

EVERYTHING = os.environ.get("FIGWASP_ROUNDTRIP") == "all"
STEP = 1 if EVERYTHING else 12
"""Every how many-th script of a folder is taken."""
LARGE = 100_000
"""Bytes of a script that is too long for a sample."""

FOLDERS = """
    core core/bulk-memory core/exceptions core/gc core/memory64 core/multi-memory core/relaxed-simd core/simd custom legacy proposals
""".split()
PROGRAMS = "mal raymarcher hello-world-swift smallpt-ex-mv hello-world-kt".split()
if EVERYTHING:
    PROGRAMS += """
        stream smallpt-ex mandel_dd icepll c-ray mandel self-hosting-fib micropython-script icepack brotli quickjs
        hello-wasi-rs greet-wasi-rs main-go resvg-render javy-convertors cpython-3.12
    """.split()


def modules(source: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield line and binary of every module of a script, valid or not, that is well-formed."""
    tokens = tokenize(source)
    items = tokens.items
    for at in range(len(items) - 2):
        if items[at] != "(" or items[at + 1] != "module" or items[at + 2] == "instance":
            continue
        try:
            data = parse_form(tokens, at)[0].encode()
            decode(data, ALL)
        except Error:
            continue
        yield tokens.position(at)[0], data


def there_and_back(data: bytes, fold: bool) -> None:
    try:
        text = show(decode(data, ALL), fold=fold)
    except (Malformed, LimitExceeded):
        return  # only the sections of a binary are known to be well-formed
    assert difference(wat(text), data) == "", text


@pytest.mark.parametrize("fold", [False, True], ids=["flat", "folded"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_modules_of_the_scripts(shared: Path, folder: str, fold: bool) -> None:
    root = shared / "spec" / folder
    scripts = sorted(root.glob("*.wast") if folder.startswith("core") else root.rglob("*.wast"))
    if not EVERYTHING:
        scripts = [path for path in scripts if path.stat().st_size < LARGE][::STEP]
    count = 0
    for path in scripts:
        for line, data in modules(path.read_bytes()):
            try:
                there_and_back(data, fold)
            except (AssertionError, Error) as error:
                raise AssertionError(f"{path.name}:{line}: {error}") from error
            count += 1
    assert count, "no module was printed"


@pytest.mark.parametrize("fold", [False, True], ids=["flat", "folded"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(shared: Path, name: str, fold: bool) -> None:
    there_and_back((shared / "programs" / "modules" / f"{name}.wasm").read_bytes(), fold)


@pytest.mark.parametrize("name", ["mal", "raymarcher", "smallpt-ex"])
def test_a_canonical_program_comes_back_byte_for_byte(shared: Path, name: str) -> None:
    data = (shared / "programs" / "modules" / f"{name}.wasm").read_bytes()
    module = decode(data)
    assert encode_decoded(module) == data
    assert wat(show(module)) == data
    assert wat(show(module, fold=True)) == data
