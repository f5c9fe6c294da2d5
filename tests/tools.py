"""Programs and packages of others that tests need: without one a test is skipped, and fails where CI is set.

Under CI a skipped comparison would look like one that passes. Only the shells and the interpreters that a machine for CI seldom has may
be missing there too.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

OTHER_INTERPRETERS: Final = {"pypy3": "pypy", "graalpy": "graalpy"} | {f"python3.{minor}t": "free-threaded" for minor in (13, 14, 15)}
"""Interpreters on which figwasp does not run modules but does all else -> the word by which it names them when it refuses."""
DEBUG_BUILDS: Final = tuple(f"python3.{minor}-dbg" for minor in range(11, 16))
"""Debug builds of CPython, as Debian names them."""
SELDOM_THERE: Final = {"zsh", "fish", *OTHER_INTERPRETERS, *DEBUG_BUILDS}
"""Programs that no index of Python packages has, and no system brings by itself."""


def lack(reason: str) -> NoReturn:
    """Skip the test that lacks something; fail it under CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI is set, so it must be there", pytrace=False)
    pytest.skip(reason)


def tool(name: str) -> str:
    """Return the path of a program, on the path or beside the Python interpreter."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None and name in SELDOM_THERE:
        pytest.skip(f"no program {name}")
    return found or lack(f"no program {name}")


def package(name: str, minversion: str | None = None) -> Any:
    """Import a package of others."""
    try:
        return pytest.importorskip(name, minversion=minversion)
    except pytest.skip.Exception as missing:
        lack(str(missing))
