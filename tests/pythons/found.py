"""The interpreters of this machine: CPython as it is usually built, in the folders of PATH and below pyenv's.

In: a version like 3.14. Out: `Interpreter`, whose version and place it has told itself: a shim of pyenv on the path may refuse to run, and
a name may stand for another version.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14", "3.15")
"""What figwasp is to work on."""
ANSWER_WITHIN: Final = 60
_OWN: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
_QUESTION: Final = """
import json, sys, sysconfig
import ctypes, ensurepip, venv
usual = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED") and not hasattr(sys, "gettotalrefcount")
print(json.dumps([list(sys.version_info[:3]), sys.version, getattr(sys, "_base_executable", None) or sys.executable, usual]))
"""


class Interpreter(NamedTuple):
    """A CPython with its GIL, and without its debug build's checks."""

    version: tuple[int, int, int]
    build: str
    path: Path
    """Of the interpreter itself, where it was found by way of a shim or a virtual environment."""
    wheels: Path | None = None
    """A wheel of pip, for an interpreter whose `ensurepip` does not find its own."""

    @property
    def minor(self) -> str:
        """Return the version without its last part."""
        return "{}.{}".format(*self.version)


def surroundings(**more: str) -> dict[str, str]:
    """Return the environment variables of this process without those that are for its own Python, and with more."""
    return {name: value for name, value in os.environ.items() if name not in _OWN} | more


def asked(path: Path) -> Interpreter | None:
    """Return what an interpreter says of itself, or nothing when it does not run, is of another kind or has no `venv`."""
    try:
        said = subprocess.run([path, "-c", _QUESTION], env=surroundings(), capture_output=True, text=True, timeout=ANSWER_WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if said.returncode:
        return None
    (major, minor, micro), build, itself, usual = json.loads(said.stdout)
    return Interpreter((major, minor, micro), build, Path(itself)) if usual else None


def candidates(version: str) -> Iterator[Path]:
    """Give the files that may be an interpreter of a version."""
    for name in os.environ.get("PATH", "").split(os.pathsep):
        yield Path(name or ".") / f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in sorted((pyenv / "versions").glob(f"{version}.*")):
        yield folder / "bin" / f"python{version}"
    yield Path(sys.executable)


def on_machine(version: str) -> Interpreter | None:
    """Return the newest interpreter of a version that the machine has."""
    files = dict.fromkeys(path for path in candidates(version) if os.access(path, os.X_OK))
    answers = [answer for path in files if (answer := asked(path)) and answer.minor == version]
    return max(answers, key=lambda answer: answer.version, default=None)


def newest_other() -> Interpreter | None:
    """Return the newest interpreter of the machine whose version is not that of this process."""
    own = "{}.{}".format(*sys.version_info)
    for version in reversed(VERSIONS):
        if version != own and (found := on_machine(version)):
            return found
    return None
