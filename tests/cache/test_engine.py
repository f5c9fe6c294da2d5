"""The cache of an engine."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from figwasp import Engine
from figwasp.cache.cache import Cache
from tests.cache.folders import KEY, PAYLOAD
from tests.environment import HANG_GUARD, WARNINGS, environment


def folder_of(engine: Engine) -> str | None:
    cache = engine.config.cache
    return None if cache is None else cache.path


def test_the_environment_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When something is to be compiled, not when the engine is made."""
    for setting in (None, True):
        monkeypatch.setenv("FIGWASP_CACHE", "off")
        engine = Engine(cache=setting)
        assert folder_of(Engine()) is None
        monkeypatch.setenv("FIGWASP_CACHE", str(tmp_path))
        assert folder_of(engine) == str(tmp_path)
        assert engine.config.cache is engine.config.cache


@pytest.mark.parametrize("setting", [False, "off", b"off"])
def test_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: Any) -> None:
    monkeypatch.setenv("FIGWASP_CACHE", str(tmp_path))
    engine = Engine(cache=setting)
    assert folder_of(engine) is None
    assert engine == Engine(cache=False) != Engine()
    assert repr(engine) == "figwasp.Engine(cache='off')"


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says. A relative one is where it was named."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cache"
    engines = [Engine(cache=given) for given in (path, str(path), os.fsencode(path), "cache", "./cache/")]
    monkeypatch.chdir("/")
    assert {folder_of(engine) for engine in engines} == {str(path)}
    assert len(set(engines)) == 1
    assert engines[0] != Engine(cache=tmp_path / "other")
    again = pickle.loads(pickle.dumps(engines[3]))
    assert again == engines[0] and folder_of(again) == str(path)
    assert not path.exists()


def test_a_folder_named_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of(Engine(cache="./off")) == str(tmp_path / "off")


def test_settings_of_memories_with_checks_have_the_same(tmp_path: Path) -> None:
    config = Engine(cache=tmp_path).config
    cache = config.checked().cache
    assert cache is not None and cache.path == str(tmp_path)
    assert config.cache is config.checked().cache


@pytest.mark.parametrize("setting", [1, 2.5, [], object()])
def test_wrong_types(setting: Any) -> None:
    with pytest.raises(TypeError, match="cache must be a path, a bool or None, not"):
        Engine(cache=setting)


@pytest.mark.parametrize("setting", ["", b"", "a\0b", "\ud800"])
def test_impossible_paths(setting: Any) -> None:
    with pytest.raises(ValueError, match=r"cache must be a path, not|surrogates"):
        Engine(cache=setting)


def test_nothing_is_raised_for_a_path_that_cannot_be(tmp_path: Path) -> None:
    for path in (tmp_path / ("x" * 300), Path("/proc/nothing/here"), Path("/dev/null/figwasp"), tmp_path / "/".join(["deep"] * 2000)):
        cache = Engine(cache=path).config.cache
        assert cache is not None
        assert cache.read(KEY) is None
        assert not cache.write(KEY, PAYLOAD)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "cache"))
    assert cache.read(KEY) is None
    assert not (tmp_path / "cache").exists()


def test_costs_nothing_until_it_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys, figwasp; figwasp.Engine(); figwasp.Engine(cache='x');"
        "print([name for name in sys.modules if name.startswith('figwasp.cache.') and name != 'figwasp.cache.folder'])"
    )
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", code], env=environment(FIGWASP_CACHE=str(tmp_path / "cache")),
        capture_output=True, text=True, timeout=HANG_GUARD, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
    assert not (tmp_path / "cache").exists()
