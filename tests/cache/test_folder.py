"""Where the folder is, and how it is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from figwasp.cache.folder import chosen, located, prepared
from tests.cache.folders import NOBODY, somebody_else


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"FIGWASP_CACHE": "/c", "XDG_CACHE_HOME": "/", "HOME": "/"}, "/c"),
        ({"FIGWASP_CACHE": "/c/../d/", "HOME": "/"}, "/d"),
        ({"FIGWASP_CACHE": "off", "XDG_CACHE_HOME": "/", "HOME": "/"}, None),
        ({"FIGWASP_CACHE": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/figwasp"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/figwasp"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/figwasp"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/figwasp"),
        ({"XDG_CACHE_HOME": "./x"}, None),
        ({"XDG_CACHE_HOME": "/x"}, "/x/figwasp"),
        ({"HOME": "/h"}, "/h/.cache/figwasp"),
        ({"HOME": ""}, None),
        ({"HOME": "relative"}, None),
        ({}, None),
    ],
)
def test_chosen(environ: dict[str, str], path: str | None) -> None:
    """The folders need not be there."""
    assert chosen(environ) == path


def test_reasons() -> None:
    assert located({"FIGWASP_CACHE": "off"}) == ("", "FIGWASP_CACHE is off")
    assert located({}) == ("", "neither XDG_CACHE_HOME nor HOME is an absolute path")


def test_a_relative_folder_is_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert chosen({"FIGWASP_CACHE": "some/cache"}) == str(tmp_path / "some" / "cache")


def test_no_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    path, reason = located({"FIGWASP_CACHE": "some"})
    assert path == "" and "there is no current directory" in reason
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_the_home_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """`sudo` that keeps HOME: a folder made there would be root's, and be in its user's way."""
    environ = {variable: str(tmp_path / "not" / "there")}
    assert chosen(environ)
    with somebody_else(monkeypatch):
        monkeypatch.setattr("figwasp.cache.folder._ROOT", -1)  # so that this is nobody's even where it is root's
        path, reason = located(environ)
        assert path == "" and reason.endswith(" is another user's")
        assert chosen({"FIGWASP_CACHE": str(tmp_path / "there"), **environ}), "somebody has asked for it"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_with_the_home_of_another(tmp_path: Path) -> None:
    assert chosen({"HOME": str(tmp_path)})
    os.chown(tmp_path, NOBODY, -1)
    assert chosen({"HOME": str(tmp_path)}) is None


def test_a_home_that_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    assert chosen({"HOME": str(tmp_path / "circle")}) is None
    (tmp_path / "file").touch()
    assert chosen({"HOME": str(tmp_path / "file")}) == str(tmp_path / "file" / ".cache" / "figwasp")
    assert not prepared(str(tmp_path / "file" / ".cache" / "figwasp"))


def test_a_system_without_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "geteuid")
    assert chosen({"FIGWASP_CACHE": "/c", "HOME": "/"}) is None


@pytest.mark.parametrize("mask", [0, 0o002, 0o022, 0o077])
def test_made_for_its_user_alone(tmp_path: Path, mask: int) -> None:
    """Whatever others may do with the files that this user makes."""
    before = os.umask(mask)
    try:
        assert prepared(str(tmp_path / "a" / "b" / "c"))
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    path.mkdir(0o755)
    assert prepared(str(path))
    assert path.stat().st_mode & 0o777 == 0o755


def test_somebody_makes_it_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.mkdir

    def mkdir(path: str, mode: int) -> None:
        whole(path, mode)
        whole(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    assert prepared(str(tmp_path / "a" / "b"))
