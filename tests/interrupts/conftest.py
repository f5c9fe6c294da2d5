"""What tests that stop an operation thousands of times ask for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture
def old_objects_left_alone() -> Iterator[None]:
    """Collections look at what the test makes only."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()
