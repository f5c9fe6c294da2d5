"""`figwasp cache`."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests.cache.folders import OTHER_KEY, entry, names
from tests.cli.commands import outcome

FIRST = time.mktime((2024, 2, 29, 12, 0, 0, 0, 0, -1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    path.mkdir(0o700)
    monkeypatch.setenv("FIGWASP_CACHE", str(path))
    return path


def test_info(folder: Path) -> None:
    os.utime(entry(folder), (FIRST, FIRST))
    entry(folder, OTHER_KEY, bytes(10_000))
    (folder / "note.txt").write_bytes(bytes(5000))
    status, out, err = outcome("cache", "info")
    assert (status, err) == (0, "")
    assert re.sub(" +", " ", out.decode()) == (
        f"folder {folder}\nentries 2 (at most 8192)\nsize 10.0 KiB (at most 1.0 GiB)\noldest use 2024-02-29\n"
    )


def test_info_of_an_empty_one(folder: Path) -> None:
    """Nothing is made to look at it."""
    folder.rmdir()
    status, out, err = outcome("cache", "info")
    assert (status, err) == (0, "")
    assert re.sub(" +", " ", out.decode()) == f"folder {folder}\nentries 0 (at most 8192)\nsize 0 bytes (at most 1.0 GiB)\n"
    assert not folder.exists()


def test_clear(folder: Path) -> None:
    """Only what figwasp has written."""
    entry(folder, bytes(32), bytes(2_000_000))
    entry(folder, OTHER_KEY)
    (folder / "note.txt").touch()
    assert outcome("cache", "clear") == (0, b"removed 2 entries, 1.9 MiB\n", "")
    assert names(folder) == ["note.txt"]
    assert outcome("cache", "clear") == (0, b"removed 0 entries, 0 bytes\n", "")
    entry(folder)
    assert outcome("cache", "clear") == (0, b"removed 1 entry, 156 bytes\n", "")


def test_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome("cache", "path") == (0, f"{folder}\n".encode(), "")
    monkeypatch.delenv("FIGWASP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "xdg"))
    assert outcome("cache", "path") == (0, f"{folder}/xdg/figwasp\n".encode(), "")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(folder))
    assert outcome("cache", "path") == (0, f"{folder}/.cache/figwasp\n".encode(), "")
    assert names(folder) == []


def test_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no failure of `info`."""
    monkeypatch.setenv("FIGWASP_CACHE", "off")
    assert outcome("cache", "info") == (0, b"folder       none: FIGWASP_CACHE is off\n", "")
    for action in ("clear", "path"):
        assert outcome("cache", action) == (1, b"", "figwasp: error: no cache: FIGWASP_CACHE is off\n")


def test_a_folder_that_is_not_used(folder: Path) -> None:
    entry(folder)
    folder.chmod(0o777)
    reason = "others can write to it"
    assert outcome("cache", "info") == (0, f"folder       {folder}, which is not used: {reason}\n".encode(), "")
    assert outcome("cache", "clear") == (1, b"", f"figwasp: error: no cache: {folder}: {reason}\n")
    assert outcome("cache", "path") == (0, f"{folder}\n".encode(), "")
    assert len(names(folder)) == 1


@pytest.mark.parametrize(("words", "said"), [((), "required: ACTION"), (("empty",), "choose from info, clear, path"), (("info", "x"), "unrecognized")])
def test_wrong_words(folder: Path, words: tuple[str, ...], said: str) -> None:
    status, out, err = outcome("cache", *words)
    assert (status, out) == (2, b"")
    assert said in err


def test_help() -> None:
    status, out, err = outcome("cache", "--help")
    assert (status, err) == (0, "")
    assert out.startswith(b"usage: figwasp cache [options] ACTION\n")
    assert b"FIGWASP_CACHE" in out
