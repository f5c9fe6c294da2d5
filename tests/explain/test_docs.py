"""docs/architecture.md says what stands: its listings are explain's output, its tables of files are the tree.

A generated part stands between `<!-- explain: STAGE -->` or `<!-- files: FOLDER -->` and `<!-- end -->`; `until TEXT` ends a listing
after the first line with the text. The program that is explained stands in the document itself, after `<!-- program -->`.
FIGWASP_GOLDEN=update in the environment rewrites the parts in place.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
from pathlib import Path

import pytest

from figwasp.explain import Explanation, explain
from figwasp.layout import GUARD
from figwasp.runtime.platform import interpreter
from tests.environment import ROOT
from tests.explain.programs import module_of
from tests.test_floors import FLOORS

PACKAGE = ROOT / "src" / "figwasp"
DOCUMENT = ROOT / "docs" / "architecture.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")

PART = re.compile(r"<!-- (explain|files): (.*?) -->\n(.*?)<!-- end -->", re.DOTALL)
PROGRAM = re.compile(r"<!-- program -->\n```wat\n(.*?)```\n", re.DOTALL)
SENTENCE = re.compile(r"(.*?)\.(?=\s+[A-Z]|\s*\n\n|\s*$)", re.DOTALL)
FOLDERS = ["", *sorted({path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("[!_]*.py")} - {"."})]
"""Of the package, those with modules."""


def program() -> str:
    match = PROGRAM.search(TEXT)
    assert match is not None, "the document has no program"
    return match[1]


def explanation() -> Explanation:
    return explain(module_of(program()), 0, GUARD)


def listing(words: str) -> str:
    """Return the output of a stage, between fences."""
    stage, _, last = words.partition(" until ")
    found = explanation()
    text = str(found.entry.final) if stage == "entry" else found.stage(stage)
    if last:
        lines = text.splitlines()
        end = next(number for number, line in enumerate(lines, 1) if last in line)
        text = "\n".join([*lines[:end], "..."]) + "\n"
    return f"```text\n{text}```\n"


def files(folder: str) -> str:
    """Return what an inner folder is for, and the table of the files: name, floor at the top, first sentence of the docstring."""
    paths = sorted((PACKAGE / folder).glob("*.py"), key=lambda path: path.stem)
    if not folder:
        return "| | floor | |\n|---|---|---|\n" + "".join(f"| `{path.name}` | {floor(path)} | {summary(path)} |\n" for path in paths)
    rows = [f"| `{path.name}` | {summary(path)} |\n" for path in paths if path.name != "__init__.py"]
    lead = f"`{folder}/`: {summary(PACKAGE / folder / '__init__.py')}.\n\n" if "/" in folder else ""
    return "".join([lead, "| | |\n", "|---|---|\n", *rows])


def floor(path: Path) -> int:
    """Tell the floor of a file beside the package's `__init__`."""
    return FLOORS["figwasp" if path.stem == "__init__" else path.stem]


def summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    docstring = re.sub(r"^Floor \d: ", "", docstring)
    sentence = SENTENCE.match(docstring)
    assert sentence is not None, f"{path.name} has no docstring"
    text = " ".join(sentence[1].split()).replace("|", "\\|")
    return text if text.startswith(("x86", "figwasp")) else text[0].upper() + text[1:]


def made(kind: str, words: str) -> str:
    return listing(words) if kind == "explain" else files("" if words == "figwasp" else words)


def test_generated_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub is shown as it is made for CPython 3.11, on whichever the test runs."""
    monkeypatch.setattr(interpreter, "INTS", interpreter.INT_SIGNED)
    monkeypatch.setattr(interpreter, "COUNTS", interpreter.COUNT_WHOLE)
    monkeypatch.setattr(interpreter, "THREAD_STATE", None)
    monkeypatch.setattr(interpreter, "SINGLETONS", (-5, 256))
    fresh = PART.sub(lambda match: f"<!-- {match[1]}: {match[2]} -->\n{made(match[1], match[2])}<!-- end -->", TEXT)
    if os.environ.get("FIGWASP_GOLDEN") == "update":
        DOCUMENT.write_text(fresh, encoding="utf-8")
        return
    assert fresh == TEXT, "docs/architecture.md is out of date: run this test with FIGWASP_GOLDEN=update"


def test_every_folder_has_its_table() -> None:
    """A new folder must be told of, and every marker is one that is understood."""
    told = [words for kind, words, _ in PART.findall(TEXT) if kind == "files"]
    assert sorted(told) == sorted(folder or "figwasp" for folder in FOLDERS)
    assert len(re.findall("<!-- ", TEXT)) == 2 * len(PART.findall(TEXT)) + 1


def test_the_walk_shows_every_stage() -> None:
    told = [words.partition(" ")[0] for kind, words, _ in PART.findall(TEXT) if kind == "explain"]
    assert told == ["wat", "baseline", "ssa", "order", "select", "allocate", "code", "joined", "entry"]


def test_listings_do_not_differ_from_run_to_run() -> None:
    """No address of the process may stand in the document."""
    assert not re.search(r"0x[0-9a-f]{9,}|(?<![0-9])[0-9]{14,15}(?![0-9])", TEXT)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:\w+/)*\w+\.py)`", PART.sub("", TEXT)))))
def test_files_that_the_text_names_exist(path: str) -> None:
    assert (ROOT / path).exists() or any(f"/{path}" in found.as_posix() for found in PACKAGE.rglob("*.py"))


PARTS = "|".join(path.name for path in PACKAGE.iterdir() if path.is_dir()) + "|errors|layout|features"


@pytest.mark.parametrize("name", sorted(set(re.findall(rf"`((?:{PARTS})(?:\.(?!py`)\w+)*)`", PART.sub("", TEXT)))))
def test_names_of_the_text_exist(name: str) -> None:
    parts = name.split(".")
    thing: object = importlib.import_module(f"figwasp.{parts[0]}")
    for number, part in enumerate(parts[1:], 2):
        if not hasattr(thing, part):
            importlib.import_module("figwasp." + ".".join(parts[:number]))
        thing = getattr(thing, part)
