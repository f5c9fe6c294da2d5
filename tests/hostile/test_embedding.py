"""Hostile embedding: whatever Python code does with instances, the answer is a Python exception and never a crash."""

from __future__ import annotations

import pytest

from tests.hostile.embedding import CASES
from tests.runtime.support import run_script


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    """The case ends well, in a process of its own, and prints nothing."""
    done = run_script(
        "import sys; from tests.hostile.embedding import CASES; CASES[sys.argv[1]]()",
        name,
        env={"PYTHONFAULTHANDLER": "1"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"{done.returncode}\n{done.stdout}\n{done.stderr[-6000:]}"
