"""Binary to text: what it looks like, and that it parses back to the same binary.

The folder `printed` has sources, and beside each what is printed of it, flat and folded. FIGWASP_GOLDEN=update in the environment
writes these anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from figwasp.errors import Error, LimitExceeded, Malformed
from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.encode import encode, encode_decoded, locals_vector, write_instr
from figwasp.wasm.syntax.immediates import KIND_NAMES, Immediate
from figwasp.wasm.syntax.module import Elem, Module
from figwasp.wasm.syntax.opcodes import BY_NAME, ROWS, Opcode
from figwasp.wasm.syntax.stack_effect import CLOSERS, OPENERS, SEPARATORS
from figwasp.wasm.syntax.types import EXTERNREF, FUNCREF, I32, NON_NULL, FuncType, SubType, concrete
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.text.print.module import func_lines, module_lines, show, show_func
from tests.wasm.text.sameness import difference

PRINTED = Path(__file__).parent / "printed"
SOURCES = sorted(path.stem for path in PRINTED.glob("*.wat") if "." not in path.stem)


@pytest.mark.parametrize("fold", [False, True], ids=["flat", "folded"])
@pytest.mark.parametrize("name", SOURCES)
def test_printed(name: str, fold: bool) -> None:
    data = wat((PRINTED / f"{name}.wat").read_bytes())
    text = show(decode(data, ALL), fold=fold)
    shown = PRINTED / f"{name}.{'folded' if fold else 'flat'}.wat"
    if os.environ.get("FIGWASP_GOLDEN") == "update":
        shown.write_text(text, encoding="utf-8")
    assert text == shown.read_text(encoding="utf-8"), "if it should be so, run this test with FIGWASP_GOLDEN=update"
    assert wat(text) == data


def scalar() -> Module:
    return decode(wat((PRINTED / "scalar.wat").read_bytes()))


def test_offsets_are_those_of_the_instructions() -> None:
    code = "local.get 0 (if (result i32) (local.get 0) (then i32.const 300) (else i32.const 1)) i32.add"
    module = decode(wat(f"(func (param i32) (result i32) {code})"))
    start = module.bodies[0].start
    assert func_lines(module, 0) == [
        (start, "(func (;0;) (type 0) (param i32) (result i32)"),
        (start + 1, "  local.get 0"),
        (start + 3, "  local.get 0"),
        (start + 5, "  if (result i32)  ;; label = @1"),
        (start + 7, "    i32.const 300"),
        (start + 10, "  else"),
        (start + 11, "    i32.const 1"),
        (start + 13, "  end"),
        (start + 14, "  i32.add)"),
    ]
    assert func_lines(module, 0, fold=True)[1:] == [
        (start + 14, "  (i32.add"),
        (start + 1, "    (local.get 0)"),
        (start + 5, "    (if (result i32) (local.get 0)"),
        (-1, "      (then (i32.const 300))"),
        (start + 10, "      (else (i32.const 1)))))"),
    ]
    lines = show(module, offsets=True).split("\n")
    assert lines[2] == f"(;{start:06x};)   (func (;0;) (type 0) (param i32) (result i32)"
    assert lines[0] == "           (module"
    assert wat("\n".join(lines)) == module.data


def test_lines_are_made_as_they_are_asked_for() -> None:
    """So that a large module can be written while it is printed; what cannot be decoded is found on the way."""
    module = one_func()
    module.func_types.append(0)
    broken = decode(encode(module, [b"\x00\x0b", b"\x00\xff\x0b"], []))
    lines = module_lines(broken)
    assert [next(lines)[1] for _ in range(2)] == ["(module", "  (type (;0;) (func))"]
    with pytest.raises(Malformed):
        list(lines)


def test_one_function() -> None:
    module = scalar()
    assert show_func(module, 2) == "(func $quiet (;2;) (type 3))\n"
    assert show_func(module, 0).startswith('(import "env" "log')
    start = module.bodies[1].start
    assert show_func(module, 2, offsets=True) == f"(;{start:06x};) (func $quiet (;2;) (type 3))\n"
    lines = show_func(module, 1, fold=True).split("\n")
    assert lines[2] == "  (block $out (result i32)"


def test_a_type_that_is_large_is_not_repeated_where_it_is_used() -> None:
    many = "i32 " * 101
    module = decode(wat(f"(type (func (param {many}))) (func (type 0)) (func (type 0) (param $x i32) (param {many[4:]}))"))
    assert show_func(module, 0) == "(func (;0;) (type 0))\n"
    assert wat(show(module)) == module.data


# Instructions


def one_func() -> Module:
    """Make a module of one function, whose body the caller brings."""
    module = Module()
    module.types.append(SubType(FuncType((), ())))
    module.groups.append(0)
    module.func_types.append(0)
    return module


TYPE = concrete(0, nullable=True)
SAMPLES: dict[str, list[Immediate]] = {
    "none": [None],
    "zero": [None],
    "block": [~0x40, ~I32, ~TYPE, 0],
    "labels": [(0,), (0, 0, 0), tuple([0] * 20)],
    "memarg": [(0, 0, 0), (1, 5, 0), (2, 0xFFFF_FFFF, 0), (3, 1, 1), (0, (1 << 64) - 1, 2)],
    "memarg_lane": [(0, 0, 0, 0), (3, 5, 0, 1), (2, 1, 1, 15)],
    "i32": [0, -(1 << 31), (1 << 31) - 1],
    "i64": [0, -(1 << 63), (1 << 63) - 1],
    "f32": [0, 1, 0x8000_0000, 0x7F80_0000, 0xFFFF_FFFF, 0x3DCC_CCCD],
    "f64": [0, 1, 1 << 63, 0x7FF0_0000_0000_0000, (1 << 64) - 1, 0x3FB9_9999_9999_999A],
    "v128": [0, (1 << 128) - 1, 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100],
    "lane": [0, 1, 255],
    "lanes": [bytes(range(16)), bytes([31] * 16)],
    "heaptype": [FUNCREF, EXTERNREF, TYPE, 0x6E, 0x69, 0x71],
    "cast": [(0, 0x6E, 0x6C), (0, 0x6E | NON_NULL, TYPE), (0, TYPE, TYPE | NON_NULL)],
    "select_types": [(I32,), (), (I32, TYPE | NON_NULL)],
    "try_table": [(~0x40, ()), (~I32, ((0, 1, 0), (1, 0, 0), (2, -1, 0), (3, -1, 0))), (0, ((2, -1, 0),))],
}
INDICES: list[Immediate] = [0, 1, 0xFFFF_FFFF]
PAIRS: list[Immediate] = [(0, 0), (0, 1), (1, 0), (3, 2)]
ALONE = [row for row in ROWS if row.code not in CLOSERS and row.code not in SEPARATORS]


@pytest.mark.parametrize("row", ALONE, ids=lambda row: row.name)
def test_every_instruction_parses_back(row: Opcode) -> None:
    kind = KIND_NAMES[row.immediates]
    for immediate in SAMPLES.get(kind, PAIRS if "_" in kind else INDICES):
        body = bytearray(locals_vector(()))
        write_instr(body, row.code, immediate)
        body += b"\x0b" if row.code in OPENERS else b""
        body += b"\x0b"
        data = encode(one_func(), [bytes(body)], [])
        for fold in (False, True):
            text = show(decode(data, ALL), fold=fold)
            again = wat(text)
            assert again == data or difference(again, data) == "", text


@pytest.mark.parametrize("fold", [False, True], ids=["flat", "folded"])
def test_parts_of_blocks_parse_back(fold: bool) -> None:
    texts = (
        "(if (i32.const 1) (then) (else))",
        "i32.const 1 if nop else nop end",
        "try nop catch 0 nop catch_all nop end",
        "try nop end",
        "(try (do (nop)) (catch 0 drop))",
        "(block $a (try $b (do nop) (delegate $a)))",
        "block try delegate 0 end",
        "(loop $a (loop $a (br $a) (br 1)) (br $a))",
    )
    for text in texts:
        data = wat(f"(tag (param i32)) (func {text})")
        assert wat(show(decode(data, ALL), fold=fold)) == data, text


def test_deep_nesting_prints_in_linear_space() -> None:
    depth = 5_000
    data = wat("(func " + "(block " * depth + ")" * depth + ")")
    for fold in (False, True):
        text = show(decode(data), fold=fold)
        assert len(text) < 200 * depth
        assert wat(text) == data


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("00", Malformed),
        ("00ff0b", Malformed),
        ("00fc7f0b", Malformed),
        ("000b0b", Malformed),
        ("0041800b", Malformed),
        ("0101820b", Malformed),
        ("00050b", Malformed),
        ("0018000b", Malformed),
        ("00190b", Malformed),
        ("00024005", Malformed),
        ("000240050b0b", Malformed),
        ("00044005050b0b", Malformed),
        ("00064007000519000b0b", Malformed),
        ("0006401907000b0b", Malformed),
        ("000640070018000b", Malformed),
        ("01ffffffff0f7f0b", LimitExceeded),
    ],
)
def test_code_that_is_none(body: str, error: type[Error]) -> None:
    code = bytes.fromhex(body)
    decoded = decode(encode(one_func(), [code], []))
    for fold in (False, True):
        with pytest.raises(error):
            show(decoded, fold=fold)


# Segments


def test_segments_without_elements() -> None:
    module = Module()
    for type_ in (EXTERNREF, FUNCREF, FUNCREF | NON_NULL):
        module.elems.append(Elem(type_, 1, 0, None, []))
    data = encode(module, [], [])
    assert wat(show(decode(data))) == data


def test_long_segments_go_on_in_the_next_line() -> None:
    zeros = "\\00" * 1000
    data = wat(f'(func $name_of_some_length) (elem func {"0 " * 100}) (data "{zeros}")')
    text = show(decode(data))
    assert max(map(len, text.split("\n"))) <= 110
    assert wat(text) == data


def test_constant_expressions_that_are_no_single_instruction() -> None:
    source = """
    (global i32 (i32.const 1) (i32.const 2)) (global i32 (block (result i32) (i32.const 1)))
    (table 1 funcref) (elem (offset (i32.const 1) (i32.const 2)) func) (elem (offset) funcref (item) (item (nop) (ref.null func)))
    (memory 1) (data (offset (block)) "")"""
    data = wat(source)
    text = show(decode(data))
    assert wat(text) == data
    assert "(offset (i32.const 1) (i32.const 2))" in text


def test_constant_expressions_with_blocks_that_are_none() -> None:
    module = decode(wat("(global i32 (block) (nop))"))
    module.global_inits[0].instrs[1:3] = [(BY_NAME["else"].code, None), (BY_NAME["end"].code, None)]
    with pytest.raises(Malformed):
        show(module)


def test_without_references_to_functions_a_segment_is_of_funcref() -> None:
    data = wat("(table 1 funcref) (func) (elem (i32.const 0) func 0)")
    text = show(decode(data, ALL.excluding("function-references", "gc")))
    assert "(elem (;0;) (i32.const 0) func 0)" in text
    assert wat(text) == data


def test_encoding_what_was_decoded() -> None:
    data = scalar().data
    assert encode_decoded(decode(data)) == data
