"""Text to binary: fixed bytes, abbreviations, errors with their places, the spec's scripts, and another toolchain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figwasp.errors import LimitExceeded, Malformed, ParseError
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.text.lexer import tokenize
from figwasp.wasm.text.parse.module import parse, parse_form, wat
from figwasp.wasm.text.print.module import show
from figwasp.wasm.valid.module import validate
from tests.wasm.text.comparison import forms, instructions, without_names

MAGIC = "0061736d01000000"


@pytest.mark.parametrize(
    ("text", "binary"),
    [
        ("", ""),
        ("(module)", ""),
        ("(module $m)", "0009046e616d650002016d"),
        ("(type (func (param i32 f64) (result i64)))", "010701" + "60027f7c017e"),
        ("(func)", "01040160000003020100" + "0a040102000b"),
        ('(import "m" "n" (memory 1 2))', "0209" + "01016d016e02010102"),
        ("(memory 0x1_0)", "0503010010"),
        ("(table 1 externref)", "0404016f0001"),
        ("(global (mut i32) (i32.const -1))", "0606017f01417f0b"),
        ('(data "a" "\\00b")', "0b06010103610062"),
        ('(memory (data "abc"))', "050401010101" + "0b09010041000b03616263"),
        ("(func) (start 0)", "01040160000003020100080100" + "0a040102000b"),
        ('(func (export "\\u{e9}"))', "01040160000003020100" + "07060102c3a90000" + "0a040102000b"),
    ],
)
def test_binary(text: str, binary: str) -> None:
    assert wat(text).hex() == MAGIC + binary


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("nop nop", "01 01"),
        ("(nop)(nop)", "01 01"),
        ("(drop (i32.add (i32.const 1) (i32.const 2)))", "4101 4102 6a 1a"),
        ("i32.const 0xffffffff drop", "417f 1a"),
        ("i32.const -0x80000000 drop", "418080808078 1a"),
        ("i64.const 18446744073709551615 drop", "427f 1a"),
        ("i64.const 0x8000_0000_0000_0000 drop", "4280808080808080 8080 7f 1a"),
        ("f32.const 0x1p-149 drop", "4301000000 1a"),
        ("f64.const -nan:0x1 drop", "44010000000000f0ff 1a"),
        ("(block (br 0))", "0240 0c00 0b"),
        ("block $a br $a end $a", "0240 0c00 0b"),
        ("(block $a (block $b (br $a) (br $b)))", "0240 0240 0c01 0c00 0b 0b"),
        ("(block $a (block $a (br $a)) (br $a))", "0240 0240 0c00 0b 0c00 0b"),
        ("(if (i32.const 1) (then (nop)) (else (nop) nop))", "4101 0440 01 05 01 01 0b"),
        ("(if $l (i32.const 1) (then (br $l)))", "4101 0440 0c00 0b"),
        ("(block $l (if $l (block (result i32) (br $l)) (then (br $l))))", "0240 027f 0c01 0b 0440 0c00 0b 0b"),
        ("(if (i32.const 1) (then) (else))", "4101 0440 05 0b"),
        ("i32.const 1 if $a else $a nop end $a", "4101 0440 05 01 0b"),
        ("(loop (result i32) (i32.const 1)) drop", "037f 4101 0b 1a"),
        ("(block (br_table 0 0 0 (i32.const 1)))", "0240 4101 0e02000000 0b"),
        ("(drop (select (i32.const 1) (i32.const 2) (i32.const 3)))", "4101 4102 4103 1b 1a"),
        ("(drop (select (result i32) (i32.const 1) (i32.const 2) (i32.const 3)))", "4101 4102 4103 1c017f 1a"),
        ("(drop (i32.load (i32.const 0)))", "4100 280200 1a"),
        ("(drop (i32.load offset=16 align=1 (i32.const 0)))", "4100 280010 1a"),
        ("(drop (i64.load8_u offset=0x1_0 (i32.const 0)))", "4100 310010 1a"),
        ("(memory.copy (i32.const 0) (i32.const 0) (i32.const 0))", "4100 4100 4100 fc0a0000"),
        ("(drop (ref.null extern))", "d06f 1a"),
        ("(table.set $t (i32.const 0) (ref.func $f))", "4100 d200 2600"),
        ("(call_indirect (i32.const 0))", "4100 110000"),
        ("(call_indirect $t (type $v) (i32.const 0))", "4100 110000"),
        ("(table.copy $t $t (i32.const 0) (i32.const 0) (i32.const 0))", "4100 4100 4100 fc0e0000"),
        ("(drop (table.grow (ref.null func) (i32.const 0)))", "d070 4100 fc0f00 1a"),
        ("(local.set $x (local.tee $y (local.get 0)))", "2000 2201 2100"),
    ],
)
def test_instructions(code: str, expected: str) -> None:
    text = f"(type $v (func)) (memory 1) (table $t 1 funcref) (elem declare func $f) (func $f (local $x i32) (local $y i32) {code})"
    parsed = parse(text)
    assert parsed.bodies == [bytes.fromhex("01027f" + expected + "0b")]
    validate(decode(wat(text)))


def test_segment_operands() -> None:
    text = """(memory 1) (table $t 1 funcref) (elem $e func) (data $d "x")
        (func (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 0)) (table.init $e (i32.const 0) (i32.const 0) (i32.const 0))
              (elem.drop $e) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0)) (data.drop $d))"""
    module = decode(wat(text))
    validate(module)
    body = module.bodies[0]
    names = [
        (name, value)
        for name, value in instructions(module.data, body.start + 1, body.end)
        if name not in ("i32.const", "end")
    ]
    assert names == [
        ("table.init", (0, 0)),
        ("table.init", (0, 0)),
        ("elem.drop", 0),
        ("memory.init", (0, 0)),
        ("data.drop", 0),
    ]
    assert module.data_count == 1


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("(func)", "(module (func))"),
        ('(func (export "a") (export "b"))', '(func) (export "a" (func 0)) (export "b" (func 0))'),
        (
            '(func (export "a") (import "m" "n") (param i32))',
            '(import "m" "n" (func (param i32))) (export "a" (func 0))',
        ),
        ('(memory (export "a") (import "m" "n") 1)', '(import "m" "n" (memory 1)) (export "a" (memory 0))'),
        ('(table (import "m" "n") 1 2 funcref)', '(import "m" "n" (table 1 2 funcref))'),
        (
            '(global (export "a") (import "m" "n") (mut i64))',
            '(import "m" "n" (global (mut i64))) (export "a" (global 0))',
        ),
        ("(func (param i32 i64))", "(func (param i32) (param i64))"),
        ("(func (local i32 i64) (local) (local f32))", "(func (local i32) (local i64) (local f32))"),
        ("(func) (table funcref (elem 0 0))", "(func) (table 2 2 funcref) (elem (i32.const 0) func 0 0)"),
        (
            "(func) (table funcref (elem (ref.func 0)))",
            "(func) (table 1 1 funcref) (elem (i32.const 0) funcref (ref.func 0))",
        ),
        (
            "(table externref (elem (ref.null extern)))",
            "(table 1 1 externref) (elem (i32.const 0) externref (item ref.null extern))",
        ),
        ('(memory (data "a" "b"))', '(memory 1 1) (data (i32.const 0) "ab")'),
        ("(memory (data))", '(memory 0 0) (data (i32.const 0) "")'),
        (
            "(func) (table 1 funcref) (elem (i32.const 0) 0)",
            "(func) (table 1 funcref) (elem (table 0) (offset i32.const 0) func 0)",
        ),
        ("(table 1 funcref) (elem (offset (i32.const 0)))", "(table 1 funcref) (elem (offset (i32.const 0)) func)"),
        ('(memory 1) (data 0 (i32.const 0) "")', '(memory 1) (data (memory 0) (offset i32.const 0) "")'),
        ("(func (type 0)) (type (func))", "(type (func)) (func)"),
        ("(func (call $f)) (func $f)", "(func (call 1)) (func)"),
        (
            "(type $t (func (param i32))) (func (type $t) (param $x i32))",
            "(type (func (param i32))) (func (param i32))",
        ),
        ("(func (block (param) (result)))", "(func (block))"),
        ("(func i32.const 0 if end)", "(func (if (i32.const 0) (then)))"),
        ('(func (local $x i32) (local.set $"x" (i32.const 0)))', "(func (local i32) (local.set 0 (i32.const 0)))"),
        ('(func $"\\41") (start $A)', "(func) (start 0)"),
        (
            "(func (result i32) i32.const 1)(global i32(i32.const 1))",
            "(global i32 i32.const 1) (func (result i32) (i32.const 1))",
        ),
    ],
)
def test_abbreviation(short: str, long: str) -> None:
    assert without_names(wat(short)) == without_names(wat(long))


def test_implied_types_follow_the_explicit_ones_in_the_order_of_the_text() -> None:
    module = parse(
        """(func (result f64) (block (param) (result i32 i32) unreachable) unreachable)
           (func (param i32)) (func (result f64) unreachable) (type (func (param i32)))"""
    ).module
    assert [repr(type_) for type_ in module.types] == ["(i32) -> ()", "() -> f64", "() -> (i32, i32)"]
    assert module.func_types == [1, 0, 1]


def test_a_function_may_use_a_type_that_a_later_one_implies() -> None:
    data = wat("(func (type 0) (local $x i64) (local.set $x (i64.const 0))) (func (param i32 i32))")
    module = decode(data)
    validate(module)
    assert module.func_types == [0, 0]
    assert module.names.locals == {0: {2: "x"}}


def test_names() -> None:
    text = '(module $m (import "" "" (func $i (param $p i32))) (func (param i32) (param $x i32) (local $"a b" i32)) (func $f))'
    names = decode(wat(text)).names
    assert names.module == "m"
    assert names.funcs == {0: "i", 2: "f"}
    assert names.locals == {0: {0: "p"}, 1: {1: "x", 2: "a b"}}


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("(func (i32.const0))", "unknown operator i32.const0", 1, 8),
        ("(func\n  br 0drop)", "unknown operator 0drop", 2, 6),
        ("(func select_t)", "unknown operator select_t", 1, 7),
        ("(module\n (foo))", "unknown operator foo", 2, 3),
        ("(module (param i32))", "unexpected token param", 1, 10),
        ("(module (func)", "unexpected end", 1, 15),
        ("(func", "unexpected end", 1, 6),
        ("(func nop", "unexpected end", 1, 10),
        ("(func memory.init", "unexpected end", 1, 18),
        ("(func (block)", "unexpected end", 1, 14),
        ("(module) x", "unknown operator x", 1, 10),
        ("(func))", "unexpected token )", 1, 7),
        ("(func) 1", "unexpected token 1", 1, 8),
        ("(func $)", "empty identifier", 1, 7),
        ('(func $"")', "empty identifier", 1, 7),
        ('(func $"\\ef")', "malformed UTF-8", 1, 7),
        ('(func $l"a")', "unknown operator", 1, 7),
        ('(func (export "\\ff"))', "malformed UTF-8 encoding", 1, 15),
        ('(data "a"x)', 'unknown operator "a"x', 1, 7),
        ("(func local.get $x)", "unknown local $x", 1, 17),
        ("(func call $x)", "unknown function $x", 1, 12),
        ("(func global.get $x)", "unknown global $x", 1, 18),
        ("(func (type $x))", "unknown type $x", 1, 13),
        ("(func (type 1) (param i32))", "unknown type 1", 1, 13),
        ("(func br $x)", "unknown label $x", 1, 10),
        ("(func (block $x) br $x)", "unknown label $x", 1, 21),
        ("(func table.get $x)", "unknown table $x", 1, 17),
        ("(func data.drop $x)", "unknown data segment $x", 1, 17),
        ("(func $f) (func $f)", "duplicate function $f", 1, 17),
        ('(func $a) (func $"a")', "duplicate function $a", 1, 17),
        ("(memory $m 1) (memory $m 1)", "duplicate memory $m", 1, 23),
        ("(type $t (func)) (type $t (func))", "duplicate type $t", 1, 24),
        ("(func (param $x i32) (local $x i32))", "duplicate local $x", 1, 29),
        ("(func) (start 0) (start 0)", "multiple start sections", 1, 19),
        ('(func) (import "" "" (func))', "import after function", 1, 9),
        ('(memory 1) (func (import "" ""))', "import after memory", 1, 19),
        ("(type (func)) (func (type 0) (param i32))", "inline function type", 1, 21),
        ("(func (result i32) (param i32))", "unexpected token param", 1, 21),
        ("(func (nop) (local i32))", "unexpected token local", 1, 14),
        ("(func (block (param $x i32)))", "unexpected token $x", 1, 21),
        ("(func block end $l)", "mismatching label $l", 1, 17),
        ("(func i32.const 0 if $a else $l end)", "mismatching label $l", 1, 30),
        ("(func end)", "unexpected token end", 1, 7),
        ("(func else)", "unexpected token else", 1, 7),
        ("(func (block end))", "unexpected token end", 1, 14),
        ("(func block)", "unexpected token )", 1, 12),
        ("(func (block else))", "unexpected token else", 1, 14),
        ("(func i32.const 0 if else else end)", "unexpected token else", 1, 27),
        ("(func (else))", "unexpected token else", 1, 8),
        ("(func (then))", "unexpected token then", 1, 8),
        ("(func (if (i32.const 0)))", "unexpected token )", 1, 24),
        ("(func (if (i32.const 0) (then) (nop)))", "unexpected token nop", 1, 33),
        ("(func (if (i32.const 0) (then) (else) (else)))", "unexpected token else", 1, 40),
        ("(func (if i32.const 0 (then)))", "unexpected token i32.const", 1, 11),
        ("(func (i32.add nop))", "unexpected token nop", 1, 16),
        ("(func i32.const 0x100000000)", "constant out of range", 1, 17),
        ("(func i32.const -2147483649)", "constant out of range", 1, 17),
        ("(func i64.const 0x1_0000_0000_0000_0000)", "constant out of range", 1, 17),
        ("(func i32.const 1.5)", "unexpected token 1.5", 1, 17),
        ("(func f32.const 1e39)", "constant out of range", 1, 17),
        ("(func f32.const nan:0x0)", "constant out of range", 1, 17),
        ("(func f64.const nan:canonical)", "unexpected token nan:canonical", 1, 17),
        ("(func f64.const nan:1)", "unknown operator nan:1", 1, 17),
        ("(func f64.const)", "unexpected token ), expected a number", 1, 16),
        ("(func br 4294967296)", "constant out of range", 1, 10),
        ("(func br -1)", "unexpected token -1", 1, 10),
        ("(func i32.load align=3)", "alignment must be a power of two", 1, 16),
        ("(func i32.load align=0)", "alignment must be a power of two", 1, 16),
        ("(func i32.load align=1 offset=1)", "unexpected token offset=1", 1, 24),
        ("(func i32.load offset=x)", "unknown operator offset=x", 1, 16),
        ("(func i32.load offset=0x1_0000_0000_0000_0000)", "constant out of range", 1, 16),
        ("(func ref.null i32)", "unexpected token i32", 1, 16),
        ("(memory)", "unexpected token )", 1, 8),
        ("(table 1)", "unexpected token )", 1, 9),
        ("(table 1 i32)", "unexpected token i32", 1, 10),
        ("(global i32 i32.const 0", "unexpected end", 1, 24),
        ('(export "a" (elem 0))', "unexpected token elem", 1, 14),
        ("(elem func) (elem declare (i32.const 0))", "unexpected token (", 1, 27),
        ("(data (i32.const 0) 1)", "unexpected token 1", 1, 21),
        ("(type (func) (func))", "unexpected token (", 1, 14),
    ],
)
def test_error(text: str, message: str, line: int, column: int) -> None:
    with pytest.raises(ParseError) as caught:
        wat(text)
    shown = str(caught.value).split("\n")
    assert shown[0].startswith(f"{line}:{column}: {message}")
    assert shown[1].strip() == text.split("\n")[line - 1].strip()
    assert shown[2] == " " * (column + 1) + "^"


DEEP = 100_000


@pytest.mark.parametrize(
    "text",
    [
        "(func " + "(block " * DEEP + ")" * DEEP + ")",
        "(func " + "block " * DEEP + "end " * DEEP + ")",
        "(func " + "(block $a " * DEEP + "(br $a)" * DEEP + ")" * DEEP + ")",
        "(func " + "(if (i32.const 0) (then " * DEEP + "))" * DEEP + ")",
        "(func (result i32) " + "(i32.eqz " * DEEP + "(i32.const 0)" + ")" * DEEP + ")",
        "(global i32 " + "(i32.eqz " * DEEP + "(i32.const 0)" + ")" * DEEP + ")",
        "(; " * DEEP + ";)" * DEEP,
        "(@a " * DEEP + ")" * DEEP,
        "(func " + "(local i32) (local i64)" * DEEP + ")",
    ],
)
def test_depth_is_not_limited(text: str) -> None:
    assert wat(text)


@pytest.mark.parametrize(
    "text", ["(" * DEEP, "(func " + "(if " * DEEP, "(module " * DEEP, "(func " + "block " * DEEP + ")"]
)
def test_deep_unfinished_text(text: str) -> None:
    with pytest.raises(ParseError):
        wat(text)


# Scripts


def test_forms_in_a_script() -> None:
    tokens = tokenize(
        '(module $a (func)) (assert_invalid (module definition quote "(func" ")") "")'
        '(module $b binary "\\00asm" "\\01\\00\\00\\00")'
    )
    starts = list(forms(tokens))
    first, end = parse_form(tokens, starts[0])
    assert (first.id, first.definition, first.binary, first.quoted, end) == ("$a", False, None, None, starts[1])
    second, end = parse_form(tokens, starts[1] + 2)
    assert (second.id, second.definition, second.quoted, tokens.items[end]) == (None, True, b"(func)", '""')
    assert second.encode() == wat("(func)")
    third, end = parse_form(tokens, starts[2])
    assert (third.id, third.encode(), tokens.items[end]) == ("$b", bytes.fromhex(MAGIC), "")


def test_quotes_in_quotes() -> None:
    text = "(func)"
    for _ in range(5):
        text = '(module quote "' + "".join(f"\\{byte:02x}" for byte in text.encode()) + '")'
    assert wat(text) == wat("(func)")
    for _ in range(4):
        text = '(module quote "' + text.replace("\\", "\\\\").replace('"', '\\"') + '")'
    with pytest.raises(LimitExceeded):
        wat(text)


RICH = tokenize(
    """(module $m (type $t (func (param $p i32) (result i32))) (import "a" "b" (func $i (type $t)))
      (table $t 1 funcref) (memory (export "m") 1 2) (global $g (mut f32) (f32.const 0x1p3)) (export "e" (func $f)) (start $s)
      (func $f (type $t) (param $p i32) (result i32) (local $l i64)
        (block $b (loop (result i32) (br_if $b (i32.const 1)) (select (i32.const 1) (local.get $p)
        (i32.load offset=1 align=2 (i32.const 0))) br_table 0 $b 1) drop) i32.const 0 if $c (nop) else $c end
        (call_indirect (type $t) (if (result i32) (i32.const 0) (then (i32.const 1)) (else (i32.const 2))) (i32.const 0)))
      (func $s) (elem $e (table $t) (offset (i32.const 0)) func $f) (elem declare funcref (item ref.func $s) (ref.null func))
      (data $d (i32.const 0) "a\\ff" "b"))"""
).items[:-1]


@given(
    st.lists(
        st.tuples(st.integers(0, len(RICH) - 1), st.sampled_from(["", *RICH]), st.booleans()), min_size=1, max_size=4
    )
)
def test_edited_text_gives_a_binary_that_prints_or_a_malformed_error(edits: list[tuple[int, str, bool]]) -> None:
    tokens = list(RICH)
    for at, token, insert in edits:
        tokens[at] = f"{tokens[at]} {token}" if insert else token
    try:
        data = wat(" ".join(tokens))
        text = show(decode(data))
    except Malformed:
        return
    assert wat(text) == data


def test_the_edited_text_is_valid_at_first() -> None:
    validate(decode(wat(" ".join(RICH))))
