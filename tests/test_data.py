"""The pinned part of the test data is whole, small, and the same as in the data it is a part of."""

from __future__ import annotations

import json
from pathlib import Path

from tests.environment import PINNED

FILES = sorted(path for path in PINNED.rglob("*") if path.is_file())
MOST = 2_500_000
"""Bytes that a clone carries at most."""


def test_it_is_the_same(whole: Path) -> None:
    own = {"README.md", "programs/LICENSE-MIT", "programs/LICENSE-ISC", "programs/LICENSE-MPL-2.0"}
    for path in FILES:
        name = path.relative_to(PINNED).as_posix()
        assert name in own or path.read_bytes() == (whole / name).read_bytes(), name


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < MOST


def test_programs_and_scripts_are_here() -> None:
    cases = sorted(PINNED.glob("programs/*/case.json"))
    assert [path.parent.name for path in cases] == ["icepll", "mal", "mandel"]
    for path in cases:
        case = json.loads(path.read_text(encoding="utf-8"))
        assert (path.parent / case["module"]).is_file() and (path.parent / case["stdout"]).is_file()
        assert all((path.parent / preopen["host"]).is_dir() for preopen in case["preopens"])
    assert len(list(PINNED.glob("spec/core/*.wast"))) == 22
    assert all(len(list(folder.glob("*.wast"))) > 0 for folder in (PINNED / "spec").glob("proposals/*"))


def test_whence_it_comes_is_said() -> None:
    text = (PINNED / "README.md").read_text(encoding="utf-8")
    for path in FILES:
        *folders, _ = path.relative_to(PINNED).parts
        place = folders[:3] if folders[:2] == ["spec", "proposals"] else folders[:2]
        assert len(folders) < 2 or folders[1] == "modules" or "/".join(place) in text, path
    for licence in PINNED.rglob("LICENSE*"):
        assert licence.relative_to(PINNED).as_posix() in text
