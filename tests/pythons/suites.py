"""The tests on one interpreter: in a virtual environment that is kept, with what the `dev` extra names.

In: an `Interpreter` and words for pytest. Out: an `Outcome`, with the counts that pytest wrote down. figwasp itself is not installed:
the tests import it from the tree that they are in, and so one environment serves every tree.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

from tests.pythons.debian import said
from tests.pythons.found import Interpreter, surroundings

ROOT: Final = Path(__file__).resolve().parents[2]
PROJECT: Final = ROOT / "pyproject.toml"
_PASSED: Final = 0


class Outcome(NamedTuple):
    """What became of the tests on an interpreter."""

    passed: int
    failed: int
    skipped: int
    seconds: float
    status: int
    """Of pytest: 0 if all is well, negative if a signal ended it."""

    @property
    def good(self) -> bool:
        """Return whether tests ran and none failed."""
        return self.status == _PASSED


def requirements() -> list[str]:
    """Return what tests need, as the project says it."""
    wanted: list[str] = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]["dev"]
    return wanted


def environment(interpreter: Interpreter, folder: Path) -> Path:
    """Return the Python of a virtual environment with all that tests need, which is made unless it is there.

    Whatever was begun and not ended has no stamp, and is made anew.

    Raises:
        Unobtainable: Something cannot be installed.
    """
    place = folder / f"tests-{interpreter.minor}"
    python = place / "bin" / "python"
    stamp = place / ".installed"
    wanted = [str(interpreter.path), interpreter.build, *requirements()]
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return python
    shutil.rmtree(place, ignore_errors=True)
    said(interpreter.path, "-m", "venv", *(["--without-pip"] if interpreter.wheels else []), place)
    pip: tuple[Path | str, ...] = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    if interpreter.wheels:
        said(*pip, "pip", PYTHONPATH=str(interpreter.wheels))
    said(*pip, *requirements())
    stamp.write_text(digest)
    return python


def run(python: Path, words: Sequence[str]) -> Outcome:
    """Run pytest, which writes what it does to the terminal as always."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [str(python), "-m", "pytest", f"--junitxml={report}", "-o", f"cache_dir={python.parents[1] / 'cache'}", *words]
        begun = time.monotonic()
        status = subprocess.run(command, cwd=ROOT, env=surroundings()).returncode
        return Outcome(*counts(report), time.monotonic() - begun, status)


def counts(report: Path) -> tuple[int, int, int]:
    """Return how many tests passed, failed and were skipped, which is nothing when pytest did not come to write it down."""
    if not report.exists():
        return 0, 0, 0
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total, failures, errors, skipped = (sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped"))
    return total - failures - errors - skipped, failures + errors, skipped
