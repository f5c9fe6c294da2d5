"""docs/shipping.md: the package that it shows, built and run as it stands there."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.environment import HANG_GUARD, ROOT, environment
from tests.tools import package
from tests.wasi.test_run import WORLD

PAGE = ROOT / "docs/shipping.md"


def block(language: str, containing: str) -> str:
    """Return the block of code of the page that contains some words."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (found,) = [code for of, code in blocks if of == language and containing in code]
    return str(found)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the page lists, with a program for greet.wasm that tells its arguments and of its directory."""
    folder = tmp_path_factory.mktemp("project")
    listed = block("", "greet/greet.wasm").split()
    (folder / "greet").mkdir()
    (folder / "greet/__init__.py").write_text(block("python", "def main"))
    (folder / "greet/greet.wasm").write_bytes(WORLD)
    (folder / "pyproject.toml").write_text(block("toml", "[project]"))
    assert sorted(listed) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return folder


def test_it_is_five_lines() -> None:
    assert len(block("python", "def main").splitlines()) == 5


@pytest.mark.parametrize("zipped", [False, True])
def test_the_entry_point(project: Path, tmp_path: Path, zipped: bool) -> None:
    """Called as the script that an installer makes of it; imported from a folder, and from a zip file."""
    place = project
    if zipped:
        place = tmp_path / "greet.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for path in (project / "greet").iterdir():
                if path.is_file():
                    archive.write(path, f"greet/{path.name}")
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]["scripts"]
    entry = importlib.metadata.EntryPoint("greet", declared["greet"], "console_scripts")
    script = f"import sys; sys.path.insert(0, {str(place)!r}); from {entry.module} import {entry.attr}; sys.exit({entry.attr}())"
    done = subprocess.run(
        [sys.executable, "-c", script, "Ada", "-v"], capture_output=True, env=environment(), cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"greet.wasm\0Ada\0-v\0", b"")


def test_the_package_has_the_program_in_it(project: Path, tmp_path: Path) -> None:
    """What setuptools makes of pyproject.toml carries the program and the command."""
    package("setuptools", "64")  # reads pyproject.toml since
    setup = [sys.executable, "-c", "import setuptools; setuptools.setup()", "--quiet", "egg_info", "-e", str(tmp_path)]
    done = subprocess.run([*setup, "build", "-b", str(tmp_path)], capture_output=True, text=True, cwd=project, check=False, timeout=HANG_GUARD)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "lib/greet").iterdir()) == ["__init__.py", "greet.wasm"]
    assert "greet = greet:main" in (tmp_path / "greet.egg-info/entry_points.txt").read_text()
