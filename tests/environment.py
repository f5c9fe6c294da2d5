"""Where things lie: the project, its test data; and what a Python that a test starts finds by itself."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Final

import figwasp


def _runs() -> bool:
    try:
        importlib.import_module("figwasp.runtime.platform")
    except figwasp.Unsupported:
        return False
    return True


ROOT: Final = Path(__file__).resolve().parents[1]
WHOLE_DATA: Final = Path(os.environ.get("FIGWASP_SHARED") or ROOT.parent / "shared").resolve()
"""The folder of test data, if there is one."""
PINNED: Final = ROOT / "tests" / "data"
"""The part of it that every clone has."""
WHOLE: Final = WHOLE_DATA.is_dir()
SHARED: Final = WHOLE_DATA if WHOLE else PINNED
RUNS: Final = _runs()
"""Whether this interpreter can run modules; one that cannot reads, validates, prints and explains them."""
COMPILED: Final = not str(importlib.import_module("figwasp.wasm.binary.leb128").__file__).endswith(".py")
"""Whether floors 1 to 3 are what mypyc has compiled. Nobody can put functions of their own in place of those of compiled modules and
classes, see their lines or stop between them; and it itself imports `importlib`."""
HANG_GUARD: Final = 1200
"""Seconds after which a process or a thread is taken to hang. A guard that stands far above what a loaded machine takes, not a measure of speed."""
WARNINGS: Final = ("-W", "error", "-W", "ignore:This process (pid=:DeprecationWarning")
"""Options of Python that make warnings errors, but for that of `os.fork` in a process with threads: tests fork so on purpose, and on
CPython 3.15 the error comes when the child is there already."""


def environment(**more: str) -> dict[str, str]:
    """Give the environment of a process that imports the same `figwasp` as this one, and `tests`; with more variables."""
    folders = [str(Path(figwasp.__file__).resolve().parents[1]), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), **more}
