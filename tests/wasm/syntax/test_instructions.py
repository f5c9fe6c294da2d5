"""docs/instructions.md is the instruction table, and every instruction occurs in the spec's scripts.

FIGWASP_GOLDEN=update in the environment writes the document anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from figwasp.features import DEFAULT, PROPOSALS
from figwasp.wasm.syntax.immediates import KIND_NAMES
from figwasp.wasm.syntax.opcodes import ADDRESS, ROWS, Opcode, show
from figwasp.wasm.syntax.types import Types, type_name
from tests.environment import ROOT

DOCUMENT = ROOT / "docs" / "instructions.md"

INTRODUCTION = """\
# Instructions

<!-- Written by tests/wasm/syntax/test_instructions.py from the rows of figwasp.wasm.syntax.opcodes: run it with FIGWASP_GOLDEN=update. -->

The {rows} instructions that figwasp decodes, validates, prints, writes and executes. Proposals are switched by name in
`figwasp.features`, and with `--enable` and `--disable` on the command line.

* *opcode*: in hex; after a prefix byte comes the sub-opcode, which the binary writes as a LEB128.
* *immediates*: of which kind they are; the kinds are described in `src/figwasp/wasm/binary/immediates.py`.
* *type*: operands -> results, `addr` being the address type of the memory or table; `*` where they depend on the context.
"""

UNUSED: frozenset[str] = frozenset()
"""Names of the rows that no script of the suite has."""

SPECIAL = {
    "select": r"select(?!\s*\(result)",
    "select_t": r"select\s*\(result",
    "ref.test": r"ref\.test \(ref (?!null)",
    "ref.test_null": r"ref\.test (\(ref null|[a-z0-9]+ref)",
    "ref.cast": r"ref\.cast \(ref (?!null)",
    "ref.cast_null": r"ref\.cast (\(ref null|[a-z0-9]+ref)",
    "catch": r"\(try[\s(](?:(?!try_table)[^;])*?\(catch \$",
    "catch_all": r"\(try[\s(](?:(?!try_table)[^;])*?\(catch_all",
}
"""How rows look in a script whose names tell them from nothing else."""


def document() -> str:
    parts = [INTRODUCTION.format(rows=len(ROWS))]
    for proposal in ("mvp", *PROPOSALS):
        rows = [row for row in ROWS if row.proposal == proposal]
        if rows:
            parts.append(section(proposal, rows))
    return "\n".join(parts)


def section(proposal: str, rows: list[Opcode]) -> str:
    lines = [f"## {'WebAssembly 1.0' if proposal == 'mvp' else proposal}", ""]
    if proposal in PROPOSALS:
        on, meaning = PROPOSALS[proposal]
        lines += [f"{meaning[0].upper()}{meaning[1:]}.{'' if on else ' Off by default.'}", ""]
    lines += ["| name | opcode | immediates | type |", "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| `{row.text}` | `{show(row.code)}` | {immediates(row)} | {signature(row)} |")
    return "\n".join(lines) + "\n"


def immediates(row: Opcode) -> str:
    kind = KIND_NAMES[row.immediates]
    return "" if kind == "none" else kind


def signature(row: Opcode) -> str:
    if row.params is None or row.results is None:
        return "\\*"
    return f"`{' '.join([*names(row.params), '->', *names(row.results)])}`"


def names(types: Types) -> list[str]:
    return ["addr" if code == ADDRESS else type_name(code) for code in types]


def test_the_document_is_the_table() -> None:
    fresh = document()
    if os.environ.get("FIGWASP_GOLDEN") == "update":
        DOCUMENT.write_text(fresh, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == fresh, "out of date: run this test with FIGWASP_GOLDEN=update"
    assert fresh.count("\n| `") == len(ROWS)


@pytest.fixture(scope="module")
def scripts(whole: Path) -> str:
    """Give all scripts of the suite without their comments; what stands in strings may be a module."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted((whole / "spec").rglob("*.wast"))]
    return re.sub(r";;.*|\(;(?:.|\n)*?;\)", "", "\n".join(texts))


LATER_IN_THE_SUITE = {"threads", "wide-arithmetic", "custom-page-sizes", "legacy-exceptions"}
"""Proposals of after 3.0 for which there are scripts."""


def test_every_instruction_occurs_in_the_suite(scripts: str) -> None:
    words = set(re.findall(r"[a-z][a-z0-9_.]*", scripts))
    rows = [row for row in ROWS if row.proposal == "mvp" or row.proposal in DEFAULT or row.proposal in LATER_IN_THE_SUITE]
    missing = {row.name for row in rows if row.name not in SPECIAL and row.text not in words}
    missing |= {name for name, pattern in SPECIAL.items() if re.search(pattern, scripts) is None}
    assert missing == UNUSED
