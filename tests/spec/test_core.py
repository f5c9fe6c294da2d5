"""The scalar scripts of the test suite, in every mode: nothing fails, and nothing waits but for a feature that is named here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from figwasp import errors
from figwasp.wasm.decode import decode
from figwasp.wasm.later import missing_feature
from figwasp.wasm.script import parse_script
from figwasp.wasm.validate import validate
from figwasp.wast.modes import MODES, new_engine
from figwasp.wast.runner import run_script

SCRIPTS: Final = """
    address align annotations binary binary-leb128 block br br_if br_on_non_null br_on_null br_table call call_indirect
    call_ref comments const conversions custom data elem endianness exports f32 f32_bitwise f32_cmp f64 f64_bitwise f64_cmp
    fac float_exprs float_literals float_memory float_misc forward func func_ptrs global i32 i64 id if imports
    inline-module instance int_exprs int_literals labels left-to-right linking load local_get local_init local_set
    local_tee loop memory memory_grow memory_redundancy memory_size memory_trap names nop obsolete-keywords ref
    ref_as_non_null ref_func ref_is_null ref_null return return_call return_call_indirect return_call_ref select
    skip-stack-guard-page stack start store switch table table_get table_grow table_set table_size token traps type
    type-canon type-equivalence type-rec unreachable unreached-invalid unreached-valid unwind utf8-custom-section-id
    utf8-import-field utf8-import-module utf8-invalid-encoding
    bulk-memory/bulk bulk-memory/memory_copy bulk-memory/memory_fill bulk-memory/memory_init bulk-memory/table-sub
    bulk-memory/table_copy bulk-memory/table_fill bulk-memory/table_init
""".split()

WAITING: Final = {
    "exception handling": "exports imports instance",
    "extended constant expressions": "data elem global",
    "garbage collection": "bulk-memory/table_init ref_null type-canon type-equivalence type-rec",
    "multi-memory": "align",
    "tail calls": "return_call return_call_indirect",
    "typed function references": """
        br_if br_on_non_null br_on_null br_table bulk-memory/table-sub call_ref elem func global linking local_init
        local_tee ref ref_as_non_null ref_is_null return_call return_call_indirect return_call_ref select table
        type-equivalence type-rec unreached-invalid unreached-valid
    """,
}
"""Feature without support -> the scripts in which some command needs it."""


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("mode", MODES)
def test_script(shared: Path, name: str, mode: str) -> None:
    report = run_script((shared / "spec" / "core" / f"{name}.wast").read_bytes(), new_engine(mode))
    assert not report.failures, "\n".join(
        f"{name}:{f.line}: expected {f.expected}, found {f.found}" for f in report.failures
    )
    assert report.failed == 0
    assert set(report.missing) <= {feature for feature, names in WAITING.items() if name in names.split()}
    assert report.not_yet == sum(report.missing.values())
    assert report.passed + report.not_yet > 0


def test_every_scalar_script_is_here(shared: Path) -> None:
    folder = shared / "spec" / "core"
    found = [*folder.glob("*.wast"), *folder.glob("bulk-memory/*.wast")]
    assert {str(path.relative_to(folder).with_suffix("")) for path in found} == set(SCRIPTS)


OTHER_WORDS: Final = {
    ("unexpected end", "magic header not detected"),
    ("unexpected end of section or function", "unexpected end (at"),
    ("unexpected end of section or function", "unexpected end of function body"),
    ("section size mismatch", "unexpected end of function body"),
    ("END opcode expected", "unexpected end of function body: END opcode expected"),
    ("length out of bounds", "unexpected end (at"),
    ("integer too large", "length out of bounds"),
    ("integer representation too long", "malformed section id"),
    ("integer representation too long", "malformed function type"),
    ("immutable global", "global is immutable"),
    ("unknown table 0", "unknown elem segment"),
    ("unknown memory 0", "unknown data segment"),
}
"""What the suite says of a module, and what we say of it."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_modules_are_refused_for_the_reason_given(shared: Path, name: str) -> None:
    for command in parse_script((shared / "spec" / "core" / f"{name}.wast").read_bytes()):
        if command.kind not in ("assert_malformed", "assert_invalid"):
            continue
        assert command.source is not None
        with pytest.raises(errors.Error) as caught:
            validate(decode(command.source.encode()))
        message = str(caught.value)
        if missing_feature(message):
            continue
        if isinstance(caught.value, errors.ParseError):
            message = message.split(": ", 1)[1]  # the place
        given = [command.text, *[ours for theirs, ours in OTHER_WORDS if theirs == command.text]]
        assert message.startswith(tuple(given)), f"line {command.line}: {message}"


def test_scripts_of_later_proposals_are_told_apart(shared: Path) -> None:
    folder = shared / "spec"
    for name, feature in (
        ("core/simd/simd_i16x8_arith2", "SIMD"),
        ("core/relaxed-simd/relaxed_min_max", "SIMD"),
        ("core/gc/i31", "garbage collection"),
        ("core/exceptions/throw", "exception handling"),
        ("core/memory64/memory64", "memory64"),
        ("core/multi-memory/load1", "multi-memory"),
        ("proposals/threads/atomic", "threads"),
        ("proposals/wide-arithmetic/wide-arithmetic", "wide arithmetic"),
        ("proposals/custom-page-sizes/custom-page-sizes", "custom page sizes"),
        ("custom/name/name_annot", "custom annotations"),
    ):
        report = run_script((folder / f"{name}.wast").read_bytes(), new_engine("guard"))
        assert report.failures == [], name
        assert feature in report.missing, name
