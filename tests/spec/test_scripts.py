"""The scripts of the specification and of the proposals: nothing fails."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from figwasp import errors
from figwasp.features import DEFAULT, Features
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.valid.module import validate
from figwasp.wast.modes import MODES, new_engine
from figwasp.wast.report import Report
from figwasp.wast.runner import run_script
from figwasp.wast.script import parse_script
from tests.environment import SHARED

FOLDERS: Final = (
    "core",
    "core/bulk-memory",
    "core/exceptions",
    "core/gc",
    "core/memory64",
    "core/multi-memory",
    "core/relaxed-simd",
    "core/simd",
    "custom/custom",
    "custom/metadata.code.branch_hint",
    "custom/name",
    "legacy/exceptions",
    "proposals/custom-page-sizes",
    "proposals/threads",
    "proposals/wide-arithmetic",
)
"""The folders of scripts."""

EVALUATED: Final = (
    "core",
    "core/bulk-memory",
    "core/exceptions",
    "core/gc",
    "core/memory64",
    "core/multi-memory",
    "core/relaxed-simd",
    "core/simd",
    "legacy/exceptions",
    "proposals/custom-page-sizes",
    "proposals/threads",
    "proposals/wide-arithmetic",
)
"""Folders that are run in every mode; in the others nothing differs between modes yet but what these show as well."""

TIERS: Final = ("optimize", "stress")
"""Which compilers make code: one, or both; most functions of scripts run so seldom that they never leave baseline code."""


def features_of(folder: str) -> Features:
    """Return the proposals that the scripts of a folder are written for."""
    top, _, name = folder.partition("/")
    if top == "legacy":
        return DEFAULT.including("legacy-exceptions")
    if name == "threads":  # is built upon Wasm 2.0
        return DEFAULT.including("threads").excluding("multi-memory", "memory64")
    return DEFAULT.including(name) if top == "proposals" else DEFAULT


def scripts(folder: str) -> list[Path]:
    return sorted((SHARED / "spec" / folder).glob("*.wast"))


def parts(folder: str) -> int:
    """Return into how many tests the scripts of a folder are split."""
    return max(-(-len(scripts(folder)) // 12), 1)


def run_part(folder: str, mode: str, part: int) -> dict[str, Report]:
    paths = scripts(folder)[part :: parts(folder)]
    assert paths
    return {path.stem: run_script(path.read_bytes(), new_engine(mode, features_of(folder))) for path in paths}


@pytest.mark.parametrize(
    ("folder", "mode", "tier", "part"),
    [
        (folder, mode, tier, part)
        for folder in FOLDERS
        for mode in (MODES if folder in EVALUATED else MODES[:1])
        for tier in (TIERS if mode != "evaluate" else TIERS[:1])
        for part in range(parts(folder))
    ],
)
def test_folder(monkeypatch: pytest.MonkeyPatch, folder: str, mode: str, tier: str, part: int) -> None:
    monkeypatch.setenv("FIGWASP_TIER", tier)
    reports = run_part(folder, mode, part)
    wrong = [
        f"{name}:{f.line}: expected {f.expected}, found {f.found}" for name, report in reports.items() for f in report.failures
    ]
    assert not wrong, "\n".join(wrong)
    for name, report in reports.items():
        assert report.failed == 0
        assert report.passed > 0, name


OLDER: Final = {
    ("imports", 482), ("imports", 486), ("imports", 490), ("memory", 14), ("memory", 15),  # several memories
    ("memory", 83), ("memory", 87), ("memory", 91),  # a size of 2**32 pages cannot be read at all
}  # fmt: skip
"""Commands of the scripts for threads that Wasm 3.0 contradicts, by script and line: they want modules refused which it has, or for
another reason. `features_of` leaves the proposals out that made the difference."""


@pytest.mark.parametrize("mode", MODES)
def test_threads_with_all_of_wasm_3(whole: Path, mode: str) -> None:
    reports = {path.stem: run_script(path.read_bytes(), new_engine(mode, DEFAULT.including("threads"))) for path in scripts("proposals/threads")}
    assert {(name, one.line) for name, report in reports.items() for one in report.failures} == OLDER
    assert sum(report.passed for report in reports.values()) == 918 - len(OLDER)


def test_every_folder_is_here(shared: Path) -> None:
    folders = {str(path.parent.relative_to(shared / "spec")) for path in (shared / "spec").rglob("*.wast")}
    assert folders == set(FOLDERS)


OTHER_WORDS: Final = {
    ("unexpected end", "magic header not detected"),
    ("unexpected end of section or function", "unexpected end (at"),
    ("unexpected end of section or function", "unexpected end of function body"),
    ("section size mismatch", "unexpected end of function body"),
    ("END opcode expected", "unexpected end of function body: END opcode expected"),
    ("length out of bounds", "unexpected end (at"),
    ("integer too large", "length out of bounds"),
    ("integer representation too long", "malformed section id"),
    ("integer representation too long", "malformed type"),
    ("wrong number of lane literals", "constant out of range"),
    ("i8 constant out of range", "unexpected token"),
    ("i32 constant out of range", "integer too large"),
    ("i64 constant out of range", "constant out of range"),
    ("immutable global", "global is immutable"),
    ("unknown table 0", "unknown elem segment"),
    ("unknown memory 0", "unknown data segment"),
}
"""What the suite says of a module, and what we say of it."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_modules_are_refused_for_the_reason_given(shared: Path, folder: str) -> None:
    wrong: list[str] = []
    for path in sorted((shared / "spec" / folder).glob("*.wast")):
        for command in parse_script(path.read_bytes()):
            if command.kind not in ("assert_malformed", "assert_invalid"):
                continue
            assert command.source is not None
            with pytest.raises(errors.Error) as caught:
                validate(decode(command.source.encode(), features_of(folder)))
            message = str(caught.value)
            if isinstance(caught.value, errors.ParseError):
                message = message.split(": ", 1)[1]  # the place
            kind = command.text.split(":")[0]  # after "type mismatch" scripts may say which
            given = [kind, *[ours for theirs, ours in OTHER_WORDS if theirs == kind]]
            if not message.startswith(tuple(given)):
                wrong.append(f"{path.name}:{command.line}: {command.text!r}, we say {message[:100]!r}")
    assert not wrong, "\n".join(wrong)
