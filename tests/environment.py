"""Where things lie: the project, its test data; and what a Python that a test starts finds by itself."""

from __future__ import annotations

import os
from pathlib import Path

import figwasp

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FIGWASP_SHARED") or ROOT.parent / "shared")
"""The folder of test data, if there is one."""


def environment(**more: str) -> dict[str, str]:
    """Give the environment of a process that imports the same `figwasp` as this one, and `tests`; with more variables."""
    folders = [str(Path(figwasp.__file__).resolve().parents[1]), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), **more}
