"""docs/ir.md says what stands: its tables are the rows, its listings what is built, its list of rules what the verifier checks.

A generated part stands between `<!-- KIND: WORDS -->` and `<!-- end -->`; the program of a listing after `<!-- program: NAME -->`.
FIGWASP_GOLDEN=update in the environment rewrites the parts in place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from figwasp import layout
from figwasp.errors import TRAP_MESSAGES
from figwasp.ir import builtins as table_of_builtins
from figwasp.ir import ops, order, pipeline, text
from figwasp.ir.build.builder import build
from figwasp.ir.func import Func
from figwasp.ir.layouts import layout_of
from figwasp.ir.types import BY_LETTER, TYPE_NAMES
from figwasp.ir.verify import verify
from figwasp.wasm.valid.module import validate
from tests.ir.compiling import module_of
from tests.ir.test_verify import rules

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "figwasp"
DOCUMENT = ROOT / "docs" / "ir.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")

PART = re.compile(r"<!-- (operations|built|improved|builtins|traps): (.*?) -->\n(.*?)<!-- end -->", re.DOTALL)
PROGRAM = re.compile(r"<!-- program: (\w+) -->\n```wat\n(.*?)```\n", re.DOTALL)
PROGRAMS = dict(PROGRAM.findall(TEXT))

FLAGS = {
    ops.PURE: "pure", ops.COMMUTES: "commutes", ops.TRAPS: "traps", ops.READS: "reads", ops.WRITES: "writes",
    ops.CALLS: "call", ops.TERMINATOR: "terminator", ops.MACHINE: "relaxed", ops.ORDERED: "ordered",
}  # fmt: skip
TYPES = {letter: TYPE_NAMES[type] for letter, type in BY_LETTER.items()} | {"*": "t"}
TYPED = {ops.CONST: "t", ops.SELECT: "t", ops.RESULT: r"\*"}
"""Results that depend on the value, beside those of calls."""


def operations(words: str) -> str:
    """Return the table of the operations from one to another."""
    first, _, last = words.partition(" to ")
    rows = [row(op) for op in range(ops.BY_NAME[first], ops.BY_NAME[last] + 1)]
    return table("operation | operands | result | flags | aux | meaning", rows)


def table(head: str, rows: list[list[str]]) -> str:
    lines = [head.split(" | "), ["---"] * (head.count(" | ") + 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def row(op: int) -> list[str]:
    flags = ", ".join(word for flag, word in FLAGS.items() if ops.FLAGS[op] & flag)
    return [f"`{ops.NAMES[op]}`", operands(op), result(op), flags, ops.AUX[op], ops.MEANINGS[op].replace("*", r"\*")]


def operands(op: int) -> str:
    names = ops.ARGS[op]
    letters = ops.OPERANDS[op]
    if letters == "*":
        return names
    types = [TYPES[letter] for letter in letters]
    return ", ".join(f"{name}: {type}" for name, type in zip(names.split(", "), types)) if names else ", ".join(types)


def result(op: int) -> str:
    if ops.RESULTS[op] != ops.VOID:
        return ops.TYPE_NAMES[ops.RESULTS[op]]
    calls = ops.FLAGS[op] & ops.CALLS and ops.AUX[op].startswith("Call")
    return TYPED.get(op, r"\*" if calls else "")


def function(words: str) -> Func:
    """Return the last function of a program as built; after its name may stand `checked` or `metered`."""
    name, *options = words.split()
    module = module_of(PROGRAMS[name])
    facts = validate(module)
    index = len(module.func_types) - 1
    mode = layout.CHECKED if "checked" in options else layout.GUARD
    return build(module, index, facts[-1], layout_of(module), mode, "metered" in options)


def improved(words: str) -> Func:
    func = function(words)
    pipeline.run(func)
    return func


def listing(words: str, make: Callable[[str], Func]) -> str:
    """Show a function; `from` a line and `until` another shows a part of it."""
    words, _, last = words.partition(" until ")
    words, _, first = words.partition(" from ")
    lines = text.show(make(words), positions=True).splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith(first))
    end = next((number for number, line in enumerate(lines, 1) if last and last in line), len(lines))
    return f"```text\n{''.join(lines[start:end])}```\n"


def builtins() -> str:
    rows = []
    for number, name in enumerate(table_of_builtins.NAMES):
        params = zip(table_of_builtins.OPERANDS[number].split(", "), table_of_builtins.PARAMS[number], strict=True)
        shown = ", ".join(f"{operand}: {TYPE_NAMES[type]}" for operand, type in params)
        results = "".join(f" -> {TYPE_NAMES[type]}" for type in table_of_builtins.RESULTS[number])
        rows.append([str(number), name, f"({shown}){results}", table_of_builtins.MEANINGS[number]])
    return table("target | name | parameters after the instance, result | meaning", rows)


def traps() -> str:
    return table("code | meaning", [[str(code), message] for code, message in TRAP_MESSAGES.items()])


def made(kind: str, words: str) -> str:
    if kind == "operations":
        return operations(words)
    if kind == "builtins":
        return builtins()
    if kind == "traps":
        return traps()
    return listing(words, function if kind == "built" else improved)


def refreshed() -> str:
    """Return the page with its generated parts made anew."""
    return PART.sub(lambda match: f"<!-- {match[1]}: {match[2]} -->\n{made(match[1], match[2])}<!-- end -->", TEXT)


def test_generated_parts() -> None:
    fresh = refreshed()
    if os.environ.get("FIGWASP_GOLDEN") == "update":
        DOCUMENT.write_text(fresh, encoding="utf-8")
        return
    assert fresh == TEXT, "docs/ir.md is out of date: run this test with FIGWASP_GOLDEN=update"


def test_every_marker_is_understood() -> None:
    assert len(re.findall("<!-- ", TEXT)) == 2 * len(PART.findall(TEXT)) + len(PROGRAMS)


def test_every_operation_stands_in_one_table() -> None:
    assert re.findall(r"^\| `(\w+)` \| .* \| .* \| .* \| .* \| ", refreshed(), re.MULTILINE) == ops.NAMES


def test_the_rules_are_those_of_the_verifier() -> None:
    """Every rule of the list ends in what the verifier says, and they are numbered."""
    section = TEXT.partition("## What the verifier demands")[2].partition("\n## ")[0]
    items = re.findall(r"^(\d+)\. ((?:.+\n)(?:    ?.+\n)*)", section, re.MULTILINE)
    assert [int(number) for number, _ in items] == list(range(1, len(items) + 1))
    told = [item.split("`")[-2] for _, item in items]
    assert sorted(told) == sorted({message for _, message in rules()})


def test_types_and_regions_are_those_of_the_text() -> None:
    types = re.findall(r"^\| `([a-z]\w*)` \| \d+ \|", TEXT, re.MULTILINE)
    assert types == [name for type, name in ops.TYPE_NAMES.items() if type != ops.VOID]
    regions = re.findall(r"^\| `REGION_(\w+)` \| (\d+) \|", TEXT, re.MULTILINE)
    assert {name: int(number) for name, number in regions} == {
        name[7:]: number for name, number in vars(ops).items() if name.startswith("REGION_")
    }


@pytest.mark.parametrize("source", re.findall(r"```text\n(func .*?)```", TEXT, re.DOTALL))
def test_functions_of_the_page_are_read_back(source: str) -> None:
    func = text.parse(source)
    assert text.show(func, positions=True) == source
    order.dominators(func)
    verify(func)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:\w+/)*\w+\.py)`", TEXT))))
def test_files_that_the_text_names_exist(path: str) -> None:
    assert (ROOT / path).exists() or (PACKAGE / path).exists()
