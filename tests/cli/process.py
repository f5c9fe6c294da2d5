"""Run the command line in a process of its own, as a user would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.environment import HANG_GUARD, WARNINGS, environment


def figwasp_command(*words: str) -> list[str]:
    """Give the command line that runs figwasp with the tests' own interpreter."""
    return [sys.executable, *WARNINGS, "-m", "figwasp", *words]


def run_figwasp(
    words: Sequence[str], *, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run figwasp to its end and return what it printed and its exit status."""
    return subprocess.run(
        figwasp_command(*words),
        input=stdin, capture_output=True, cwd=cwd, env=environment(), timeout=HANG_GUARD, check=False,
    )  # fmt: skip
