"""Validation of every module of the specification's scripts: valid ones pass, the others are refused, and in the words expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.errors import Error, Invalid, Malformed
from figwasp.features import DEFAULT, Features
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.valid.module import validate
from figwasp.wast.script import Command, parse_script
from tests.environment import WHOLE
from tests.wasm.text.comparison import scripts, with_modules

PARTS = 6
VALID = ("module", "assert_unlinkable", "assert_uninstantiable", "assert_trap")
PROPOSALS = {
    "proposals/threads/": DEFAULT.including("threads").excluding("multi-memory"),  # older than several memories
    "proposals/wide-arithmetic/": DEFAULT.including("wide-arithmetic"),
    "proposals/custom-page-sizes/": DEFAULT.including("custom-page-sizes"),
    "legacy/": DEFAULT.including("legacy-exceptions"),
}


def features_for(name: str) -> Features:
    """Return the proposals that a script is written for."""
    return next((features for prefix, features in PROPOSALS.items() if name.startswith(prefix)), DEFAULT)


def verdict(data: bytes, features: Features) -> Error | None:
    """Return the error of a binary, or None for a valid one."""
    try:
        validate(decode(data, features))
    except (Invalid, Malformed) as error:
        return error
    return None


def words(text: str) -> str:
    """Return the beginning of an expected message: no more than two words of it are the same in all implementations."""
    return " ".join(text.split()[:2])


def judge(name: str, command: Command) -> str | None:
    """Return what is wrong with the verdict on a module of a script, or None."""
    assert command.source is not None
    error = verdict(command.source.encode(), features_for(name))
    if command.kind not in ("assert_invalid", "assert_malformed"):
        return f"refused: {error}" if error is not None else None
    if error is None:
        return "accepted"
    if isinstance(error, Invalid) != (command.kind == "assert_invalid"):
        return f"{type(error).__name__}: {error}"
    if command.kind == "assert_invalid" and words(command.text) not in str(error):
        return f"expected {command.text!r}, found {error}"
    return None


@pytest.mark.parametrize("part", range(PARTS))
def test_every_module(shared: Path, part: int) -> None:
    judged = 0
    wrong = []
    for name in scripts(shared)[part::PARTS]:
        for command in with_modules(parse_script((shared / "spec" / f"{name}.wast").read_bytes())):
            source = command.source
            if source is None or (command.kind == "assert_malformed" and not source.binary):
                continue
            if command.kind not in (*VALID, "assert_invalid", "assert_malformed"):
                continue
            judged += 1
            problem = judge(name, command)
            if problem is not None:
                wrong.append(f"{name}:{command.line}: {command.kind}: {problem}")
    assert not wrong, "\n".join(wrong)
    assert judged > (500 if WHOLE else 20)
