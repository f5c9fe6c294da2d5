"""What is missing skips a test at home and fails it under CI."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.tools import package, tool


@pytest.mark.parametrize(
    "missing", [lambda: tool("no-such-program"), lambda: package("no_such_package"), lambda: package("pytest", "1000")]
)
def test_what_is_missing(missing: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception):
        missing()
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="CI is set"):
        missing()


def test_shells_that_few_have_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(pytest.skip.Exception, match="zsh"):
        tool("zsh")


def test_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    assert package("pytest", "8") is pytest
    assert tool("sh").endswith("/sh")
