"""Templates: those in the source are what the compiler makes today, and there is one for whatever a token may ask for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from figwasp import layout
from figwasp.codegen.baseline import cut
from figwasp.codegen.baseline.template import IMMEDIATE, NoTemplate, Template
from figwasp.codegen.isa import host
from figwasp.codegen.isa.x64.baseline import templates
from figwasp.wasm.syntax.opcodes import BY_NAME
from tests.environment import environment

MACHINE = host().baseline()
TWO_BRANCHES = {
    sources + bytes((BY_NAME[f"{type}.{name}"].code, BY_NAME["br_if"].code))
    for type in ("f32", "f64")
    for name in ("eq", "ne")
    for sources in (b"", b"\x20", b"\x20\x20")
}
"""Comparisons of floats that two flags tell of."""


def test_they_are_what_is_made_today() -> None:
    """Else run `make templates`. Whatever this processor has, they need nothing of it."""
    made = subprocess.run(
        [sys.executable, "-m", "figwasp.codegen.baseline.cut"], env=environment(), stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    with open(templates.__file__, encoding="utf-8") as file:
        assert file.read() == made


def test_there_is_one_for_everything() -> None:
    assert {key for key in cut.all_keys() if key not in MACHINE.TEMPLATES} == TWO_BRANCHES


def test_accesses_with_checks_are_others() -> None:
    accesses = [key for key in cut.all_keys() if any(0x28 <= code <= 0x3E for code in key) and key in MACHINE.TEMPLATES]
    assert len(accesses) > 100
    assert {*accesses} <= {*MACHINE.CHECKED}


@pytest.mark.parametrize("mode", [layout.GUARD, layout.CHECKED])
def test_their_parts_fit_together(mode: int) -> None:
    for key, columns in (MACHINE.TEMPLATES if mode == layout.GUARD else MACHINE.CHECKED).items():
        found = Template(*columns)
        end = 0
        for offset, size, _, _ in found.fields:
            assert end <= offset <= len(found.code) - size, key
            end = offset + size
        assert (found.takes == 0) == (found.top < 0)
        assert {offset for offset, _ in found.traps} <= {offset for offset, _ in found.positions}


@pytest.mark.parametrize("name", ["i64.and", "i32.div_u", "i64.rem_s", "i32.sub"])
def test_what_depends_on_a_constant_has_none_for_constants(name: str) -> None:
    """The low half alone would do for an `and` with a small constant, and no check for a divisor that is not 0."""
    constant = BY_NAME[name[:4] + "const"].code
    key = bytes((constant, BY_NAME[name].code))
    try:
        made = cut.template(key, layout.GUARD)
    except NoTemplate:
        made = None
    assert key not in MACHINE.TEMPLATES and (made is None or any(field[2] == IMMEDIATE for field in made.fields))
