"""Nothing outside a machine's own folder and `runtime/platform` names a machine, its registers or its instructions.

Names and strings of the source count; comments and docstrings may explain things by example.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "figwasp"
INSIDE = ("codegen/isa/x64/", "runtime/platform/")
DOOR = "codegen/isa/__init__.py"

_REGISTERS = r"[re]?[abcd]x|[re]?[sd]i|[re]?[sb]p|[re]ip|r(?:8|9|1[0-5])[dwb]?|[xyz]mm\d*|[abcd]l"
_WORDS = r"x64|x86|amd64|rel32|rex|modrm|sib|int3|mxcsr|ucontext|setcc\d*|cmov\w*|jcc|movs[sd]|movaps|lea"
MACHINE = re.compile(rf"(?:{_REGISTERS}|{_WORDS})", re.IGNORECASE)
HOMONYMS = {"si", "di", "bp", "sp", "ax", "bx", "cx", "dx", "al", "bl", "cl", "dl"}
"""Words with other meanings too, which count only when they are all of a string."""


def words(source: str) -> Iterator[tuple[int, str]]:
    """Yield the names and strings of a source, cut at underscores and marks, with their lines."""
    tree = ast.parse(source)
    prose = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            prose.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            for part in re.findall(r"\w+", node.value):
                yield node.lineno, part
        names: list[str] = []
        if isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.arg):
            names = [node.arg]
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *[alias.name for alias in node.names]]
        for name in names:
            for part in name.split("_"):
                if part.lower() not in HOMONYMS:
                    yield getattr(node, "lineno", 0), part


def named(source: str) -> list[str]:
    """List what a source names of a machine, with lines."""
    return [f"{line}: {word}" for line, word in words(source) if MACHINE.fullmatch(word)]


OUTSIDE = [path for path in sorted(SRC.rglob("*.py")) if not path.relative_to(SRC).as_posix().startswith(INSIDE)]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path.relative_to(SRC).as_posix())
def test_no_machine_is_named(path: Path) -> None:
    if path.relative_to(SRC).as_posix() != DOOR:
        assert named(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from figwasp.codegen.isa.x64 import insts",
        "from figwasp.codegen.isa.x64.target import TARGET",
        "places.rip = 1",
        "SAVED_R15 = 96",
        'FIXED = ("cl",)',
        "names.startswith('setcc')",
        "def rel32(goal): pass",
        "first = XMM0",
    ],
)
def test_what_names_one_is_found(source: str) -> None:
    assert named(source)


def test_prose_may_explain_by_example() -> None:
    assert named('"""As rsp does."""\nx = 1  # rip\n"""In r15."""\n') == []


def test_machines_themselves_are_there() -> None:
    assert any(named(path.read_text(encoding="utf-8")) for path in (SRC / INSIDE[0]).glob("*.py"))
    assert len(OUTSIDE) > 200
