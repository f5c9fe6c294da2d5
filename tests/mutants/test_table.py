"""The table of mutants is up to date: each changes one line that is there, once. What they do is for `make mutants`."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.environment import ROOT
from tests.mutants.table import MUTANTS, SOURCE, Mutant, applied


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_row(mutant: Mutant) -> None:
    text = (ROOT / SOURCE / mutant.file).read_text()
    changed = applied(mutant, text)
    assert sum(one != other for one, other in zip(text.splitlines(), changed.splitlines(), strict=True)) == 1
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))
    for test in mutant.tests.split():
        path, _, name = test.partition("::")
        assert (ROOT / path).exists()
        assert not name or f"def {name.rpartition('::')[2].partition('[')[0]}(" in (ROOT / path).read_text()


def test_names_are_different() -> None:
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1


@pytest.mark.parametrize("old", ["a = 2", "a"])
def test_a_row_that_does_not_fit_is_refused(old: str) -> None:
    mutant = Mutant("some", "some.py", old, "b", "tests", "")
    with pytest.raises(ValueError, match="times in some.py"):
        applied(mutant, "a = 1\na = 3\n")
