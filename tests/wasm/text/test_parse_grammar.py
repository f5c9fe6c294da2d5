"""Text of Wasm 3.0 and of the proposals after it: fixed bytes, abbreviations, and whole modules beside another toolchain."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.errors import ParseError
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.types import I64, FuncType, concrete
from figwasp.wasm.text.parse.module import parse, wat
from figwasp.wast.script import parse_script
from tests.wasm.text.comparison import canonical_bytes, peer_modules, without_names

AROUND = """
    (type $f (func (param i32) (result i32))) (type $s (struct (field $x i8) (field $y (mut i32)))) (type $a (array (mut i8)))
    (func {code}) (func $g (type $f) local.get 0)
    (tag $e (param i32)) (table $t 1 funcref) (table $u i64 1 funcref) (memory $m 1) (memory $n i64 1) (elem $l func $g)
    (data $d "x")
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("(ref.null $s) drop", "d0 01 1a"),
        ("ref.null 0 drop", "d0 00 1a"),
        ("ref.null none drop", "d0 71 1a"),
        ("ref.null noexn drop", "d0 74 1a"),
        ("(ref.is_null (ref.as_non_null (ref.null any))) drop", "d0 6e d4 d1 1a"),
        ("(ref.test (ref $s) (unreachable)) drop", "00 fb 14 01 1a"),
        ("(ref.test (ref null $s) (unreachable)) drop", "00 fb 15 01 1a"),
        ("(ref.test eqref (unreachable)) drop", "00 fb 15 6d 1a"),
        ("unreachable ref.cast (ref i31) drop", "00 fb 16 6c 1a"),
        ("(ref.cast structref (unreachable)) drop", "00 fb 17 6b 1a"),
        ("(ref.cast (ref null array) (unreachable)) drop", "00 fb 17 6a 1a"),
        (
            "(block $b (result anyref) (br_on_cast $b anyref (ref $s) (unreachable))) drop",
            "02 6e 00 fb 18 01 00 6e 01 0b 1a",
        ),
        (
            "(block (result anyref) (br_on_cast_fail 0 (ref any) (ref null none) (unreachable))) drop",
            "02 6e 00 fb 19 02 00 6e 71 0b 1a",
        ),
        ("(block $b (br_on_null $b (unreachable)) drop)", "02 40 00 d5 00 1a 0b"),
        ("(call_ref $f (i32.const 1) (ref.func $g)) drop", "41 01 d2 01 14 00 1a"),
        ("(return_call_ref 0 (i32.const 1) (ref.func $g))", "41 01 d2 01 15 00"),
        ("(return_call $g (i32.const 1))", "41 01 12 01"),
        ("(return_call_indirect $u (type $f) (i32.const 1) (i64.const 2))", "41 01 42 02 13 00 01"),
        (
            "(call_indirect 1 (param i32) (param) (result) (result i32) (i32.const 1) (i64.const 2)) drop",
            "41 01 42 02 11 00 01 1a",
        ),
        ("(struct.new $s (i32.const 1) (i32.const 2)) drop", "41 01 41 02 fb 00 01 1a"),
        ("(struct.get_u $s $x (unreachable)) drop", "00 fb 04 01 00 1a"),
        ("(struct.get 1 1 (unreachable)) drop", "00 fb 02 01 01 1a"),
        ("(struct.set $s $y (unreachable) (i32.const 0))", "00 41 00 fb 05 01 01"),
        ("(array.new_fixed $a 2 (i32.const 1) (i32.const 2)) drop", "41 01 41 02 fb 08 02 02 1a"),
        ("(array.new_data $a $d (i32.const 0) (i32.const 1)) drop", "41 00 41 01 fb 09 02 00 1a"),
        ("(array.init_elem $a $l (unreachable))", "00 fb 13 02 00"),
        ("(array.copy $a $a (unreachable))", "00 fb 11 02 02"),
        ("(throw $e (i32.const 1))", "41 01 08 00"),
        ("(block $b (try_table (catch_all $b)))", "02 40 1f 40 01 02 00 0b 0b"),
        (
            "(block $b (result i32) (try_table $b (result i32) (catch $e $b) (catch_all 1) (i32.const 1)))",
            "02 7f 1f 7f 02 00 00 00 02 01 41 01 0b 0b",
        ),
        (
            "block $b (result exnref) try_table $c (catch_all_ref $b) br $c end $c unreachable end $b throw_ref",
            "02 69 1f 40 01 03 00 0c 00 0b 00 0b 0a",
        ),
        (
            "try $b i32.const 1 throw $e catch $e drop rethrow $b catch_all nop end $b",
            "06 40 41 01 08 00 07 00 1a 09 00 19 01 0b",
        ),
        (
            "(try $b (do (call $g (i32.const 0)) drop) (catch $e drop) (catch_all (rethrow $b)))",
            "06 40 41 00 10 01 1a 07 00 1a 19 09 00 0b",
        ),
        ("try $b try nop delegate $b end", "06 40 06 40 01 18 00 0b"),
        ("(try $b (do (try (do (nop)) (delegate 0))))", "06 40 06 40 01 18 00 0b"),
        ("(drop (i32.load $n offset=0x1_0000_0000 align=2 (i64.const 0)))", "42 00 28 41 01 80 80 80 80 10 1a"),
        ("(drop (i32.load 1 (i64.const 0)))", "42 00 28 42 01 00 1a"),
        ("(memory.copy $m $n (i32.const 0) (i64.const 0) (i32.const 0))", "41 00 42 00 41 00 fc 0a 00 01"),
        ("(memory.fill $n (i64.const 0) (i32.const 0) (i64.const 0))", "42 00 41 00 42 00 fc 0b 01"),
        ("(memory.init $n $d (i64.const 0) (i32.const 0) (i32.const 0))", "42 00 41 00 41 00 fc 08 00 01"),
        ("(memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))", "41 00 41 00 41 00 fc 08 00 00"),
        ("(memory.size $n) drop", "3f 01 1a"),
        ("(table.init $u $l (i64.const 0) (i32.const 0) (i32.const 0))", "42 00 41 00 41 00 fc 0c 00 01"),
        ("(drop (v128.load8_lane 3 (unreachable)))", "00 fd 54 00 00 03 1a"),
        ("(drop (v128.load8_lane $n 3 (unreachable)))", "00 fd 54 40 01 00 03 1a"),
        ("(drop (v128.load16_lane 1 3 (unreachable)))", "00 fd 55 41 01 00 03 1a"),
        ("(drop (v128.load32_lane 1 offset=4 3 (unreachable)))", "00 fd 56 42 01 04 03 1a"),
        ("(drop (v128.load64_lane offset=4 align=1 1 (unreachable)))", "00 fd 57 00 04 01 1a"),
        ("(v128.store8_lane 0 align=1 15 (unreachable))", "00 fd 58 00 00 0f"),
        (
            "(v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 255 -128) drop",
            "fd 0c 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d ff 80 1a",
        ),
        (
            "(v128.const i16x8 65535 -32768 0x1_0 0 0 0 0 1) drop",
            "fd 0c ff ff 00 80 10 00 00 00 00 00 00 00 00 00 01 00 1a",
        ),
        ("(v128.const i32x4 0xffff_ffff -1 0 1) drop", "fd 0c ff ff ff ff ff ff ff ff 00 00 00 00 01 00 00 00 1a"),
        (
            "(v128.const i64x2 -0x8000_0000_0000_0000 1) drop",
            "fd 0c 00 00 00 00 00 00 00 80 01 00 00 00 00 00 00 00 1a",
        ),
        (
            "(v128.const f32x4 nan:0x1 -inf 0x1p-149 1e10) drop",
            "fd 0c 01 00 80 7f 00 00 80 ff 01 00 00 00 f9 02 15 50 1a",
        ),
        ("(v128.const f64x2 -nan 0.1) drop", "fd 0c 00 00 00 00 00 00 f8 ff 9a 99 99 99 99 99 b9 3f 1a"),
        (
            "(i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 0x1f (unreachable)) drop",
            "00 fd 0d 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 1f 1a",
        ),
        ("(i8x16.extract_lane_s 15 (unreachable)) drop", "00 fd 15 0f 1a"),
        ("(f64x2.replace_lane 0x1 (unreachable)) drop", "00 fd 22 01 1a"),
        ("(f32x4.relaxed_madd (unreachable)) drop", "00 fd 85 02 1a"),
        ("(i64.mul_wide_u (i64.const 1) (i64.const 2)) drop drop", "42 01 42 02 fc 16 1a 1a"),
        ("atomic.fence", "fe 03 00"),
        ("(drop (i64.atomic.rmw32.cmpxchg_u offset=8 (unreachable)))", "00 fe 4e 02 08 1a"),
        ("(drop (memory.atomic.notify $n align=4 (unreachable)))", "00 fe 00 42 01 00 1a"),
        ("(select (result) (result funcref) (unreachable)) drop", "00 1c 01 70 1a"),
        (
            "(if (result (ref null $s)) (i32.const 0) (then (ref.null $s)) (else (ref.null none))) drop",
            "41 00 04 63 01 d0 01 05 d0 71 0b 1a",
        ),
        ("(block (type $f) unreachable) drop", "02 00 00 0b 1a"),
        ("(block (param i32) (result i32))", "02 00 0b"),
    ],
)
def test_instructions(code: str, expected: str) -> None:
    assert parse(AROUND.format(code=code)).bodies[0] == b"\0" + bytes.fromhex(expected) + b"\x0b"


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("(type (func))", "(rec (type (sub final (func))))"),
        ("(type (struct (field i8 (mut i32))))", "(type (struct (field $a i8) (field (mut i32))))"),
        ("(global anyref (ref.null any))", "(global (ref null any) (ref.null any))"),
        ("(type (func (param nullfuncref exnref)))", "(type (func (param (ref null nofunc)) (param (ref null exn))))"),
        (
            "(func $f) (table funcref (elem $f))",
            "(func $f) (table 1 1 funcref) (elem (table 0) (offset i32.const 0) func $f)",
        ),
        (
            "(func $f) (table i64 (ref null func) (elem (ref.func $f)))",
            "(func $f) (table i64 1 1 funcref) (elem (offset (i64.const 0)) (ref null func) (item ref.func $f))",
        ),
        ("(table i32 1 funcref)", "(table 1 (ref null func))"),
        ('(memory i64 (data "abc"))', '(memory i64 1 1) (data (i64.const 0) "abc")'),
        ('(memory (pagesize 1) (data "abc"))', '(memory 3 3 (pagesize 1)) (data (i32.const 0) "abc")'),
        ("(memory 1 (pagesize 65536))", "(memory 1)"),
        ("(func $f) (elem (i32.const 0) $f)", "(func $f) (elem (offset i32.const 0) (ref func) (ref.func $f))"),
        ('(tag (export "a") (import "m" "n") (param i32))', '(import "m" "n" (tag (param i32))) (export "a" (tag 0))'),
        ('(tag $t (export "a") (export "b"))', '(tag) (export "a" (tag 0)) (export "b" (tag 0))'),
        (
            '(memory (export "a") (import "m" "n") i64 1 2 shared)',
            '(import "m" "n" (memory i64 1 2 shared)) (export "a" (memory 0))',
        ),
        (
            "(tag $e) (func try_table $l (catch $e 0) end $l)",
            "(tag) (func (try_table (catch 0 0)))",
        ),
        ("(tag $e) (func (try (do (nop)) (catch $e) (catch_all)))", "(tag $e) (func try nop catch 0 catch_all end)"),
        ("(func (try (do) (delegate 0)))", "(func try delegate 0)"),
        ("(memory 1) (func (drop (memory.size)))", "(memory 1) (func (drop (memory.size 0)))"),
    ],
)
def test_abbreviation(short: str, long: str) -> None:
    assert without_names(wat(short)) == without_names(wat(long))


# Types


def test_an_inline_type_stands_for_a_final_type_alone_in_its_group() -> None:
    module = parse("""
        (type (sub (func))) (rec (type (func)) (type (struct))) (rec (type $own (func))) (type $sub (sub 0 (func)))
        (func) (func (type $sub)) (func (param i32)) (func (block (param i32)) unreachable)""").module
    assert module.func_types == [3, 4, 5, 3]
    assert module.groups == [0, 1, 3, 4, 5]
    assert module.types[5].comp == FuncType((0x7F,), ())


def test_recursive_types() -> None:
    module = parse("""(rec (type $a (sub (struct (field (ref null $b))))) (type $b (sub final $c (array (mut (ref $a)))))) (rec)
        (type $c (array i16)) (table i64 1 (ref null $a)) (type (func (param (ref 1))))""").module
    assert [repr(type_) for type_ in module.types] == [
        "(sub (struct (field (ref null 1))))",
        "(sub final 2 (array (mut (ref 0))))",
        "(array i16)",
        "((ref 1)) -> ()",
    ]
    assert module.groups == [0, 2, 3]
    assert (module.tables[0].elem, module.tables[0].address) == (concrete(0, nullable=True), I64)


def test_fields_are_named_per_type() -> None:
    text = """(type $p (struct (field i32) (field $x i32))) (type $q (struct (field $x i32)))
        (func (drop (struct.get $p $x (unreachable))) (drop (struct.get $q $x (unreachable))))"""
    assert parse(text).bodies == [bytes.fromhex("00 00 fb0200 01 1a 00 fb0201 00 1a 0b")]
    assert decode(wat(text)).names.fields == {0: {1: "x"}, 1: {0: "x"}}


def test_tables_with_an_initial_value() -> None:
    module = decode(
        wat("(func $f) (table 1 2 (ref func) (ref.func $f)) (table 3 funcref ref.null func) (table 0 anyref)")
    )
    inits = [init.instrs if init is not None else None for init in module.table_inits]
    assert inits == [[(0xD2, 0)], [(0xD0, 0x70)], None]


def test_names_of_everything() -> None:
    names = decode(
        wat("""(module $m (import "" "" (tag $e)) (import "" "" (table $t 1 funcref)) (type $s (struct (field $f i32)))
            (memory $y 1) (global $g i32 (i32.const 0)) (elem $l func) (data $d "")
            (func $f (param $p i32) (block) (if $o (block $i (result i32) (i32.const 0)) (then (loop $k))) block $"b c" end))""")
    ).names
    assert (names.module, names.funcs, names.locals) == ("m", {0: "f"}, {0: {0: "p"}})
    assert (names.types, names.fields, names.tags, names.tables) == ({0: "s"}, {0: {0: "f"}}, {0: "e"}, {0: "t"})
    assert (names.memories, names.globals, names.elems, names.datas) == ({0: "y"}, {0: "g"}, {0: "l"}, {0: "d"})
    assert names.labels == {0: {1: "i", 2: "o", 3: "k", 4: "b c"}}, "counted in the order of the binary"


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("(type (strukt))", "unknown operator strukt", 8),
        ("(type (sub (func) (func)))", "unexpected token (", 19),
        ("(rec (func))", "unexpected token (", 6),
        ("(type (struct (field $x i32) (field $x i32)))", "duplicate field $x", 37),
        ("(type (struct (field $x i32 i32)))", "unexpected token i32", 29),
        ("(type (array i32 i32))", "unexpected token i32", 18),
        ("(type $a (struct)) (func (struct.get $a $x))", "unknown field $x", 41),
        ("(func (local i8))", "unexpected token i8, expected a value type", 14),
        ("(func (local (ref null null)))", "unexpected token null, expected a heap type", 24),
        ("(func (local (ref $x)))", "unknown type $x", 19),
        ("(func (ref.null anyref))", "unexpected token anyref, expected a heap type", 17),
        ("(func (ref.test any (unreachable)))", "unexpected token any, expected a reference type", 17),
        ("(func (br_on_cast 0 anyref))", "unexpected token ), expected a reference type", 27),
        ("(type $t (struct)) (func (type $t) (param i32))", "inline function type", 26),
        ("(table i64 funcref)", "unexpected token ), expected '(elem'", 19),
        ("(tag $a) (tag $a)", "duplicate tag $a", 15),
        ('(tag) (import "" "" (func))', "import after tag", 8),
        ("(func throw)", "unexpected token ), expected an index", 12),
        ("(func throw $x)", "unknown tag $x", 13),
        ("(tag $e) (func (try_table $l (catch $e $l)))", "unknown label $l", 40),
        ("(func try_table (catch_all 0) nop (catch_all 0) end)", "unexpected token catch_all", 36),
        ("(func (try))", "unexpected token ), expected '(do'", 11),
        ("(func (try (do) (do)))", "unexpected token do", 18),
        ("(func (try (do) (catch_all) (catch 0)))", "unexpected token catch", 30),
        ("(func (try (do) (catch 0) (delegate 0)))", "unexpected token delegate", 28),
        ("(func (try (do) (delegate 0) (catch_all)))", "unexpected token catch_all", 31),
        ("(func (try $l (do) (delegate $l)))", "unknown label $l", 30),
        ("(func try catch 0 delegate 0)", "unexpected token delegate", 19),
        ("(func try catch_all catch 0 end)", "unexpected token catch", 21),
        ("(func try else end)", "unexpected token else", 11),
        ("(func i32.const 0 if catch 0 end)", "unexpected token catch", 22),
        ("(func (catch_all))", "unexpected token catch_all", 8),
        ("(func try $a end $b)", "mismatching label $b", 18),
        ("(func v128.const i32x4 0 0 0)", "wrong number of lane literals", 29),
        ("(func v128.const i64x2 0 0 0)", "wrong number of lane literals", 28),
        ("(func v128.const i8x16 256)", "constant out of range", 24),
        ("(func v128.const f32x4 1e39)", "constant out of range", 24),
        ("(func i8x16.shuffle 0 1)", "invalid lane length", 24),
        ("(func i8x16.extract_lane_s 256)", "i8 constant out of range", 28),
        ("(func i8x16.extract_lane_s +1)", "unexpected token +1, expected a lane index", 28),
        ("(func v128.load8_lane $m 0)", "unknown memory $m", 23),
        ("(func v128.load8_lane offset=1)", "unexpected token ), expected a lane index", 31),
        ("(memory $m 1) (func memory.copy $m)", "unexpected token ), expected an index", 35),
        ("(func i32.atomic.load align=3)", "alignment must be a power of two", 23),
        ("(memory 1 (pagesize 3))", "invalid custom page size", 21),
        ("(memory i64 0x1_0000_0000_0000_0000)", "constant out of range", 13),
        ("(elem $e)", "unexpected token ), expected a reference type", 9),
    ],
)
def test_error(text: str, message: str, column: int) -> None:
    with pytest.raises(ParseError) as caught:
        wat(text)
    assert str(caught.value).split("\n")[0].startswith(f"1:{column}: {message}")


DEEP = 50_000


@pytest.mark.parametrize(
    "text",
    [
        "(tag) (func " + "(try (do " * DEEP + ")(catch_all))" * DEEP + ")",
        "(func " + "try " * DEEP + "delegate 0 " * DEEP + ")",
        "(func " + "(try_table (catch_all 0) " * DEEP + ")" * DEEP + ")",
        "(func (type 0) " + "(drop (block (result i32) (result i64)" * DEEP + "))" * DEEP + ")",
        "(type (func " + "(result i32)" * DEEP + "))",
        "(type (struct " + "(field (mut i8))" * DEEP + "))",
        "(rec " + "(type (array i8))" * DEEP + ")",
    ],
)
def test_depth_and_length_are_not_limited(text: str) -> None:
    assert wat(text)


GRAMMAR = Path(__file__).parent / "texts" / "grammar.wast"


def test_whole_grammar_as_wasm_tools_reads_it(tmp_path: Path) -> None:
    commands = parse_script(GRAMMAR.read_bytes())
    binaries = [command.source.encode() for command in commands if command.source is not None]
    expected = peer_modules(GRAMMAR, tmp_path)
    assert len(expected) == len(binaries) > 30
    for command, ours, theirs in zip(commands, binaries, expected, strict=True):
        assert theirs is not None
        assert canonical_bytes(ours) == canonical_bytes(theirs), f"line {command.line}"
