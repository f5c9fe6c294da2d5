"""The stage "baseline": it is the code that gets installed, every part of it under its instructions, or the reason why there is none."""

from __future__ import annotations

import ctypes
import re
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

import figwasp
from figwasp.explain import CodeProduct, explain
from figwasp.features import ALL
from figwasp.layout import CHECKED, GUARD
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.print.module import func_lines
from tests.environment import RUNS
from tests.explain.installed import baseline, check_installed
from tests.explain.programs import MIXED, SUM, module_of

KERNELS: Final = ["sha256", "quicksort", "vmloop", "nbody", "indirect"]
LINE: Final = re.compile(r"(?m)^\(;([0-9a-f]{6});\) (.*)$")
"""A line of the wasm text in the listing: byte offset, text."""
needs_runtime = pytest.mark.skipif(not RUNS, reason="what is installed is compared")


def defined(module: Module) -> range:
    return range(module.num_imported_funcs, len(module.func_types))


@needs_runtime
@pytest.mark.parametrize("memory", ["guard", "checked"])
@pytest.mark.parametrize("fuel", [False, True])
@pytest.mark.parametrize("tier", ["baseline", "auto"])
def test_it_is_what_is_installed(tier: str, fuel: bool, memory: str) -> None:
    """The memory that the processor reads, for each setting of the engine that code depends on."""
    for source in (SUM, MIXED):
        module = figwasp.Module(figwasp.wat(source), engine=figwasp.Engine(tier=tier, fuel=fuel, memory=memory))
        for index in defined(module._decoded):
            product = baseline(explain(module, index))
            installed = ctypes.string_at(module._code.compile(index), len(product.code.data))
            assert check_installed(product, installed) > 40


@needs_runtime
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_what_is_installed(name: str, shared: Path) -> None:
    data = (shared / "kernels" / "wasm" / f"{name}.wasm").read_bytes()
    module = figwasp.Module(data, engine=figwasp.Engine(tier="baseline"))
    for index in defined(module._decoded):
        product = baseline(explain(module, index))
        check_installed(product, ctypes.string_at(module._code.compile(index), len(product.code.data)))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("mode", [GUARD, CHECKED], ids=["guard", "checked"])
def test_every_instruction_stands_above_its_code(name: str, mode: int, shared: Path) -> None:
    """All of the text, once and in order; and what may trap or calls is noted within the part where it is."""
    module = decode((shared / "kernels" / "wasm" / f"{name}.wasm").read_bytes())
    for index in defined(module):
        product = baseline(explain(module, index, mode))
        code = product.code
        assert "(bad)" not in str(product)
        assert b"".join(instruction.data for instruction in product.instructions) == code.data[: code.text_size]
        wanted = [*func_lines(module, index), (module.body(index).end - 1, "end")]
        assert [(int(at, 16), text) for at, text in LINE.findall(str(product))] == wanted
        assert code.positions
        ends = part_ends(product)
        for offset, pos in code.positions:
            found = next(one for one in product.instructions if one.offset < offset <= one.offset + len(one.data))
            assert found.pos <= pos < ends.get(found.pos, pos + 1), hex(offset)
        noted = sum("trap" in instruction.note or "<trap>" in instruction.text for instruction in product.instructions)
        assert noted == len(code.traps)


def part_ends(product: CodeProduct) -> dict[int, int]:
    """Tell where the instructions end whose code is in a part, by the position of the first of them."""
    begins = sorted({instruction.pos for instruction in product.instructions if instruction.block >= 0})
    return dict(pairwise(begins))


def test_parts() -> None:
    """An access to memory and what its result goes to is a part, with its trap; what calls out of line does so at the end."""
    text = baseline(explain(module_of(SUM), 0, GUARD)).text
    parts = LINE.split(text)
    code_of = dict(zip(parts[2::3], parts[3::3]))
    assert re.search(r"mov eax,DWORD PTR \[r\w+\+r\w+\*1\+0x8\]  ; may trap: out of bounds memory access\n", code_of["    i32.load offset=8"])
    assert code_of["    local.get $p"] == "\n"  # has no code of its own
    loop = code_of["  loop $next"]
    assert "cmp rsp,QWORD PTR [r15]" in loop and "dec DWORD PTR [<counter of function 0>]" in loop
    assert "jb 0x" in code_of["    br_if $next"]  # the comparison has been taken into the branch
    body, _, out_of_line = text.partition("out of line:\n")
    assert re.findall("call <(.*)>", out_of_line) == ["tick", "hot", "tick", "hot"]
    assert "ret" in code_of["end"] and "call <" not in body


def test_calls_are_named() -> None:
    outside = baseline(explain(module_of(MIXED), 3, GUARD)).text
    assert "call QWORD PTR [<builtin memory_grow>]" in outside
    assert "call <trap>  ; indirect call type mismatch" in outside
    assert "constants:\n" in baseline(explain(module_of(MIXED), 4, GUARD)).text  # the table of the switch
    recursive = module_of("(module (func $f (call $f)))")
    assert "call QWORD PTR [<function 0>]" in baseline(explain(recursive, 0, GUARD)).text


def test_settings_are_those_of_the_engine() -> None:
    """Fuel, checks and counters, in this stage and in that of the optimising compiler."""
    data = figwasp.wat(SUM)
    plain = explain(figwasp.Module(data, engine=figwasp.Engine(tier="auto", memory="guard")), 0)
    assert "<fuel>" not in str(plain.baseline) + str(plain.code) and "counter" in str(plain.baseline)
    assert plain.show([]).endswith(", guarded memory\n")
    metered = explain(figwasp.Module(data, engine=figwasp.Engine(tier="baseline", fuel=True, memory="checked")), 0)
    for product in (metered.baseline, metered.code):
        assert "<fuel>" in str(product) and "call <trap>  ; out of bounds memory access" in str(product)
    assert "counter" not in str(metered.baseline) and "<hot>" not in str(metered.baseline)
    assert metered.show([]).endswith(", checked memory, fuel counted\n")


def test_an_engine_without_baseline_code_says_so() -> None:
    explanation = explain(figwasp.Module(figwasp.wat(SUM), engine=figwasp.Engine(tier="optimize")), 0)
    assert explanation.stage("baseline") == "(none: the engine leaves everything to the optimising compiler)\n"
    assert "baseline" not in explanation.times


REASONS: Final = {
    "vectors": ("", "(drop (v128.const i32x4 1 2 3 4))", "the instruction v128.const"),
    "vector in a local": ("", "(local v128)", "vectors"),
    "vector as a parameter": ("", "(param v128)", "vectors"),
    "result of a block": ("", "(drop (block (result v128) (unreachable)))", "vectors"),
    "tables": ("(table 1 funcref)", "(drop (table.get 0 (i32.const 0)))", "the instruction table.get"),
    "segments": ('(data "x")', "(data.drop 0)", "the instruction data.drop"),
    "objects": ("(type $s (struct))", "(drop (struct.new $s))", "the instruction struct.new"),
    "tail calls": ("", "(return_call 0)", "the instruction return_call"),
    "exceptions": ("(tag $e)", "(throw $e)", "the instruction throw"),
    "clauses": (
        "(tag $e)",
        f"{'(block (try_table (catch $e 0)' * 200} {'(call 0)' * 100} {'))' * 200}",
        "so many clauses",
    ),
    "values of clauses": (
        f"(tag $e (param {'i64 ' * 400}))",
        f"(block (result {'i64 ' * 400}) (try_table {'(catch $e 0)' * 50} (call 0)) unreachable) {'drop ' * 400}",
        "so many values of branches",
    ),
    "values of branches": (
        "",
        f"(block (result {'i64 ' * 400}) (i32.const 0) {'(i64.const 1)' * 400} {'(br_if 0 (i32.const 0))' * 50} (br 0)) {'drop ' * 400}",
        "so many values of branches",
    ),
    "second memory": ("(memory 1) (memory 1)", "(drop (i32.load 1 (i32.const 0)))", "i32.load of another memory than the first"),
    "its size": ("(memory 1) (memory 1)", "(drop (memory.size 1))", "memory.size of another memory than the first"),
    "fills of it": (
        "(memory 1) (memory 1)",
        "(memory.fill 1 (i32.const 0) (i32.const 0) (i32.const 0))",
        "memory.fill of another memory than the first",
    ),
    "references": (
        "",
        "(param externref) (drop (select (result externref) (local.get 0) (local.get 0) (i32.const 1)))",
        "the instruction select of a type that is no number",
    ),
    "reference in a global": (
        "(global $g externref (ref.null extern))",
        "(drop (global.get $g))",
        "a reference or a vector in a global",
    ),
    "addresses": (
        "(memory i64 1)",
        "(drop (i32.load (i64.const 0)))",
        "a memory with addresses of 64 bits, or with pages of another size",
    ),
    "offset": ("(memory 1)", "(drop (i32.load offset=0x80000000 (i32.const 0)))", "an access with a large offset"),
    "subtypes": (
        "(table 1 funcref) (type $t (sub (func)))",
        "(call_indirect (type $t) (i32.const 0))",
        "a call of a type with subtypes, or through a table with indices of 64 bits",
    ),
    "results": (
        "",
        f"(result {'i32 ' * 8}) {'(i32.const 1)' * 8}",
        "more results than registers return",
    ),
    "frame": ("", f"(local {'i64 ' * 600})", "a frame above 4 KiB"),
    "operands": ("", f"{'(i32.const 1)' * 600} {'drop ' * 600}", "a frame above 4 KiB"),
}  # fmt: skip


@pytest.mark.parametrize("case", REASONS)
def test_reasons(case: str) -> None:
    """What there is no template for is named; and the optimising compiler does make the code at once, whatever the engine wants."""
    around, func, reason = REASONS[case]
    data = figwasp.wat(f"(module {around} (func {func}))")
    module = figwasp.Module(data, engine=figwasp.Engine(tier="baseline", features=ALL))
    explanation = explain(module, 0)
    shown = explanation.stage("baseline")
    assert shown == f"(none: the optimising compiler makes its code at once: there is no template for {reason})\n"
    if RUNS:
        module._code.compile(0)
        assert module._code.known == {0}


def test_fuel_for_bulk_operations() -> None:
    data = figwasp.wat("(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))")
    assert isinstance(explain(figwasp.Module(data), 0).baseline, CodeProduct)
    shown = explain(figwasp.Module(data, engine=figwasp.Engine(tier="auto", fuel=True)), 0).stage("baseline")
    assert "no template for bulk operations where fuel is counted)" in shown
