"""What every test shares: where the test data lies, checks that are on, and hypothesis without deadlines."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

from tests.environment import SHARED

os.environ.setdefault("FIGWASP_CHECK", "1")  # verify the IR after every pass, and every register allocation

# A shell without job control has what it starts in the background ignore Ctrl-C, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Give the folder of test data: FIGWASP_SHARED, or `shared` beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no test data at {SHARED} (set FIGWASP_SHARED to its folder)")
    return SHARED.resolve()
