"""What is checked after every test of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from figwasp.runtime.store import listened


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No chain of calls is taken to be listened to any more."""
    yield
    assert listened._chains == {}
