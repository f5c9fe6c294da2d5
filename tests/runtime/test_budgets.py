"""Whatever a guest may use is used up: it is told so, and the host has not taken more than the limit and 32 MiB, as `budgets.TABLE` says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.environment import HANG_GUARD, environment
from tests.runtime.budgets import TABLE

SLACK = 32


@pytest.mark.parametrize("name", TABLE)
def test_budgets(name: str) -> None:
    limit, right, _ = TABLE[name]
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.budgets", name], env=environment(), capture_output=True, text=True, timeout=HANG_GUARD
    )
    assert done.returncode == 0, done.stderr
    answer, _, taken = done.stdout.rpartition(", ")
    assert answer == right
    assert float(taken.split()[0]) <= limit + SLACK
