"""The processors that compiled code is run for: tests that want both say so by `usefixtures`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.codegen.features import SETS, using


@pytest.fixture(params=["baseline", "all"])
def processor(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make code for the baseline, then with all that this processor has."""
    with using(SETS[request.param]):
        yield
