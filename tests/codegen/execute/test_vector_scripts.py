"""The specification's scripts of vectors with the features of a processor switched off, one after another."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.features import DEFAULT
from figwasp.wast.modes import new_engine
from figwasp.wast.runner import run_script
from tests.codegen.features import SETS, using


@pytest.mark.parametrize("features", SETS.values(), ids=SETS)
@pytest.mark.parametrize("folder", ["simd", "relaxed-simd"])
@pytest.mark.parametrize("mode", ["guard", "checked"])
def test_scripts(shared: Path, folder: str, mode: str, features: frozenset[str]) -> None:
    paths = sorted((shared / "spec" / "core" / folder).glob("*.wast"))
    if not paths:
        pytest.skip("no scripts of vectors in the pinned part of the test data")
    with using(features):
        for path in paths:
            report = run_script(path.read_bytes(), new_engine(mode, DEFAULT))
            assert not report.failures, path.name
