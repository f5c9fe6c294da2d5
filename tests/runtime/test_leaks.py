"""What stays behind of instances, modules, types and errors: the benchmark of leaks, in short."""

from __future__ import annotations

import subprocess
import sys

from tests.environment import HANG_GUARD, ROOT, environment

ROUNDS = 1000
FLAT = 200
"""KiB that a process may grow by in eight hundred rounds: one that loses 256 bytes a round fails."""


def test_ways_of_using_figwasp_leave_nothing() -> None:
    """A thousand rounds of loading, linking, calling, failing and dropping leave the resident size where it was."""
    command = [sys.executable, str(ROOT / "bench/leaks.py"), "--rounds", str(ROUNDS), "--flat", str(FLAT)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=HANG_GUARD, check=False)
    assert done.returncode == 0 and "LEAK" not in done.stdout, done.stdout + done.stderr
    assert len({line.split("  ")[0] for line in done.stdout.splitlines() if "grown by" in line}) == 7
