"""explain as a library: the products are those of the line that runs, and each says what it should."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

import figwasp
from figwasp.codegen import pipeline as codegen_pipeline
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.text import show as show_machine
from figwasp.errors import Error, Invalid
from figwasp.explain import STAGES, Explanation, explain
from figwasp.ir import pipeline
from figwasp.ir import text as ir_text
from figwasp.ir.build.builder import build
from figwasp.ir.func import Func
from figwasp.ir.layouts import layout_of
from figwasp.layout import CHECKED, GUARD
from figwasp.runtime.platform import interpreter
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.print.module import show_func
from figwasp.wasm.valid.module import validate_func, validate_module
from tests.environment import RUNS
from tests.explain.installed import check_installed
from tests.explain.programs import MIXED, SUM, module_of

KERNELS = ["sha256", "quicksort", "vmloop", "nbody", "indirect", "fib"]


def built(module: Module, index: int, mode: int = GUARD) -> Func:
    return build(module, index, validate_func(validate_module(module), index), layout_of(module), mode)


def defined(module: Module) -> range:
    return range(module.num_imported_funcs, len(module.func_types))


@pytest.mark.parametrize("source", [SUM, MIXED], ids=["sum", "mixed"])
@pytest.mark.parametrize("mode", [GUARD, CHECKED], ids=["guard", "checked"])
def test_products_are_what_the_stages_make(source: str, mode: int) -> None:
    """Run the stages by hand and compare."""
    module = module_of(source)
    for index in defined(module):
        explanation = explain(module, index, mode)
        assert str(explanation.wat) == show_func(module, index, offsets=True)
        func = built(module, index, mode)
        assert str(explanation.ssa) == ir_text.show(func, positions=True)
        forms: list[str] = []
        pipeline.run(func, lambda _, after, forms=forms: forms.append(ir_text.show(after, positions=True)))  # type: ignore[misc]
        assert [str(product) for product in explanation.passes] == forms
        assert str(explanation.select) == show_machine(TARGET.select(func), TARGET)
        code = codegen_pipeline.compile(built(module, index, mode), TARGET)
        assert explanation.code.code.data == code.data
        assert explanation.code.code.relocs == code.relocs
        assert explanation.code.code.positions == code.positions


def test_code_is_what_runs() -> None:
    """Compare with the memory that the processor reads, but for the fields that installing fills in."""
    source = figwasp.Module(figwasp.wat(SUM), engine=figwasp.Engine(tier="optimize"))
    instance = figwasp.load(source)
    assert instance.exports.total(0, 4) == 0
    explanation = explain(source, 0)
    address = source._code.compiled[0]
    assert check_installed(explanation.code, ctypes.string_at(address, len(explanation.code.code.data))) > 40


@pytest.mark.parametrize("name", KERNELS)
def test_kernels(name: str, shared: Path) -> None:
    """Every byte is disassembled, and a trace does not change the code."""
    module = decode((shared / "kernels" / "wasm" / f"{name}.wasm").read_bytes())
    places = {offset for index in defined(module) for offset in range(module.body(index).start, module.body(index).end)}
    for index in defined(module):
        explanation = explain(module, index, GUARD)
        code = explanation.code.code
        assert code.data == codegen_pipeline.compile(built(module, index), TARGET).data
        instructions = explanation.code.instructions
        assert b"".join(instruction.data for instruction in instructions) == code.data[: code.text_size]
        assert "(bad)" not in str(explanation.code)
        assert all(instruction.pos in places or not instruction.pos for instruction in instructions)
        joined = explanation.joined
        shown = [line for line in joined.splitlines() if re.search(r"  [0-9a-f]+  (?:[0-9a-f]{2}|\.\.)(?: |$)", line)]
        assert len(shown) == len(instructions)


def test_joined_puts_each_form_at_its_instruction() -> None:
    rows = rows_of(explain(module_of(SUM), 0, GUARD))
    load = next(row for row in rows if "i32.load" in row)
    assert "i32_load " in load
    assert "DWORD PTR [" in load
    assert "may trap: out of bounds memory access" in load
    compare = next(row for row in rows if "i32.lt_u" in row)
    assert "i32_lt_u" in compare
    branch = next(row for row in rows if "br_if" in row)
    assert "brif" in branch
    assert "cmp " in branch  # the comparison has been taken into the branch
    assert "jb 0x" in branch
    assert any("end" in row and "return" in row and "ret" in row for row in rows)
    assert all("@" not in row or "label = @" in row or ";@" in row for row in rows)


def test_what_has_no_position_is_marked() -> None:
    explanation = explain(module_of(SUM), 0, GUARD)
    prologue = [instruction for instruction in explanation.code.instructions if not instruction.pos]
    assert prologue
    table = explanation.joined.splitlines()
    for instruction in prologue:
        line = next(line for line in table if f" {instruction.offset:x}  {instruction.bytes}" in line)
        assert "~ " in line
    for instruction in explanation.code.instructions:
        if instruction.pos:
            line = next(line for line in table if f" {instruction.offset:x}  {instruction.bytes}" in line)
            assert "~ " not in line.rpartition(instruction.bytes)[0][-12:]


def rows_of(explanation: Explanation) -> list[str]:
    """Return the table's rows, each with its continuation lines."""
    rows: list[str] = []
    for line in explanation.joined.splitlines()[1:]:
        if line[:6].strip():
            rows.append(line)
        else:
            rows[-1] += line
    return rows


def test_listing_says_what_relocations_refer_to() -> None:
    module = module_of(MIXED)
    divide = str(explain(module, 1, GUARD).code)
    assert re.search(r"ff 15 \.\. \.\. \.\. \.\. +call <trap>  ; integer divide by zero", divide)
    assert re.search(r"call <trap>  ; integer overflow", divide)
    report = str(explain(module, 3, GUARD).code)
    assert "[<builtin memory_grow>]" in report
    assert "call <tick>" in report
    scale = str(explain(module, 2, GUARD).code)
    assert "constants:\n" in scale
    at = re.search(r"(?m)^ +([0-9a-f]+)  9a 99 99 99 99 99 b9 3f$", scale)  # 0.1
    assert at is not None
    assert re.search(rf"v?mulsd xmm\d,(xmm0,)?QWORD PTR \[rip\+0x[0-9a-f]+\]  ; {at[1]}\n", scale)
    recursive = explain(module_of("(module (func $f (call $f)))"), 0, GUARD)
    assert "[<function 0>]" in str(recursive.code)


def test_entry_names_what_it_calls() -> None:
    module = module_of(MIXED)
    explanation = explain(module, 1, GUARD)
    entry = str(explanation.entry)
    for name in ("PyLong_AsLongLong", "PyLong_FromLongLong", "stub.enter.settle", "stub.enter.slow", "object.int", "<to_wasm>"):
        assert name in entry
    assert ("PyThreadState_Get" in entry) == (interpreter.THREAD_STATE is None)
    assert not re.search(r"\b(?:0x)?[0-9a-f]{11,15}\b", str(explanation.entry.final)), (
        "an address that differs from run to run"
    )
    floats = str(explain(module, 2, GUARD).entry)
    assert "PyFloat_AsDouble" in floats
    assert "PyLong_AsLongLong" not in floats


def test_entry_of_references_leaves_everything_to_python() -> None:
    entry = str(explain(module_of(MIXED), 5, GUARD).entry)
    assert '"enter.slow"' in entry
    assert "PyObject_Vectorcall" in entry


def test_output_is_the_same_every_time() -> None:
    stages = [name for name in STAGES if name != "times"]
    module = module_of(MIXED)
    for index in defined(module):
        assert explain(module, index, GUARD).show(stages) == explain(module, index, GUARD).show(stages)


def test_all_stages_are_shown_once_and_in_order() -> None:
    shown = str(explain(module_of(SUM), 0, GUARD))
    assert shown.startswith('=== function 0 "sum" (i32, i32) -> i32, guarded memory\n')
    assert re.findall("(?m)^--- (.*)$", shown) == STAGES
    assert STAGES[: 3 + len(pipeline.PASSES)] == [
        "wat",
        "baseline",
        "ssa",
        *[name.replace(" ", "-") for name, _ in pipeline.PASSES],
    ]


def test_a_pass_that_changes_nothing_says_so() -> None:
    explanation = explain(module_of("(module (func (result i32) i32.const 1))"), 0, GUARD)
    assert "--- simplify\n(unchanged)\n" in str(explanation)
    assert explanation.show(["simplify"]).count("const i32 1") == 1


def test_times() -> None:
    explanation = explain(module_of(SUM), 0, GUARD)
    rows = {line.split()[0]: line for line in explanation.times.splitlines()}
    assert list(rows) == [
        "wat",
        "validate",
        "ssa",
        *[product.name for product in explanation.products[1:]],
        "all",
        "baseline",
        *(["entry"] if RUNS else []),
    ]
    assert all(product.seconds is not None and product.seconds > 0 for product in explanation.products)
    assert f"{len(explanation.code.instructions)} instructions, {explanation.code.code.text_size} bytes" in rows["code"]
    assert " ms" not in rows["wat"]
    assert all(" ms" in row for name, row in rows.items() if name != "wat")


def test_api_modules_are_taken_too() -> None:
    data = figwasp.wat(SUM)
    stages = ["wat", "joined"]
    assert explain(figwasp.Module(data), 0, GUARD).show(stages) == explain(decode(data), 0, GUARD).show(stages)


def test_unknown_stage() -> None:
    with pytest.raises(KeyError):
        explain(module_of(SUM), 0).stage("nix")


def test_functions_that_cannot_be_explained() -> None:
    module = module_of(MIXED)
    with pytest.raises(Error, match=r'^function 0 is imported: "env" "log"$'):
        explain(module, 0)
    with pytest.raises(Error, match="no function 6: the module has 6"):
        explain(module, 6)
    with pytest.raises(Error, match="no function -1"):
        explain(module, -1)
    invalid = module_of("(module (func) (func (result i32) i64.const 1))")
    assert explain(invalid, 0).code.code.text_size > 0  # only what is asked for is validated
    with pytest.raises(Invalid):
        explain(invalid, 1)


def test_names_of_a_guest_cannot_forge_lines() -> None:
    module = module_of('(module (func $f (export "a\\nb\\1b[2J\\u{2028}\\"c") nop))')
    module.names.funcs[0] = 'x\n--- code\u2028\x1b"'
    explanation = explain(module, 0, GUARD)
    shown = explanation.show([name for name in STAGES if name != "times"])
    assert len(re.findall("(?m)^--- code", shown)) == 1
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert explanation.name == 'x\\u{a}--- code\\u{2028}\\u{1b}\\"'


def test_dead_and_empty_functions() -> None:
    module = module_of(
        "(module (func) (func unreachable) (func (loop (br 0))) (func (param i32) (if (local.get 0) (then return))))"
    )
    for index in defined(module):
        explanation = explain(module, index, GUARD)
        assert explanation.joined.count("\n") >= len(explanation.wat.text.splitlines())
