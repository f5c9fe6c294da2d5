"""The Python programs of README.md run and print what their comments say."""

from __future__ import annotations

import contextlib
import io
import re

import pytest

from tests.environment import ROOT

README = ROOT / "README.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
PRINTED = ["5\n", "3\n2\n1\n", r"42\n\(<figwasp\.Frame .*spin.*>,\)\n"]


@pytest.mark.parametrize(("program", "printed"), list(zip(PROGRAMS, PRINTED, strict=True)))
def test_program(program: str, printed: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    assert re.fullmatch(printed, out.getvalue())
