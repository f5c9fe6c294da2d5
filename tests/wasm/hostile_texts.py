"""Hostile texts: nesting, things without end, giant literals, and many of everything. Rows as in `hostile.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Row = tuple[str, Callable[[], bytes | str], str]

DEEP: Final = 100_000
DIGITS: Final = 1_000_000


def module(*fields: str) -> str:
    """Return a module of fields."""
    return f"(module {' '.join(fields)})"


def func(body: str) -> str:
    """Return a module of one function, whatever its body leaves."""
    return module(f"(func {body})")


def const(type_: str, literal: str) -> str:
    """Return a module that has a number in it."""
    return func(f"({type_}.const {literal}) drop")


def folded(head: str, middle: str, depth: int = DEEP, tail: str = "") -> str:
    """Return a module of one function with forms in one another."""
    return func(head * depth + middle + ")" * depth + tail)


def quoted(depth: int) -> str:
    """Return a module that is quoted in a module, and so on."""
    text = "(module)"
    for _ in range(depth):
        inner = text.replace("\\", "\\5c").replace('"', "\\22")
        text = f'(module quote "{inner}")'
    return text


def each(count: int, form: Callable[[int], str]) -> str:
    """Return a module of many fields."""
    return module(*map(form, range(count)))


def inline_types(count: int) -> str:
    """Return functions whose types differ and are written where they stand."""
    return each(count, lambda k: f"(func (param {' '.join('i64' if k >> bit & 1 else 'i32' for bit in range(16))}))")


def labels(depth: int, branches: int, name: str) -> str:
    """Return nested blocks with names, and branches to one of them."""
    openers = "".join(f"block $l{k} " for k in range(depth))
    return func(openers + f"br {name} " * branches + "end " * depth)


_ENDLESS: Final[list[Row]] = [
    ("1,000,000 opening parentheses", lambda: "(" * 10**6, "ParseError"),
    ("a module of 1,000,000 opening parentheses", lambda: "(module " + "(" * 10**6, "ParseError"),
    ("a function of 1,000,000 opening parentheses", lambda: "(module (func " + "(" * 10**6, "ParseError"),
    ("1,000,000 closing parentheses", lambda: ")" * 10**6, "ParseError"),
    ("200,000 modules in one another", lambda: "(module " * 200_000, "ParseError"),
    ("operands 100,000 deep", lambda: folded("(i32.eqz ", "(i32.const 0)", tail=" drop"), "ok"),
    ("operands 100,000 deep without end", lambda: "(module (func " + "(i32.eqz " * DEEP, "ParseError"),
    ("blocks 100,000 deep", lambda: folded("(block ", ""), "ok"),
    ("ifs 100,000 deep", lambda: folded("(if (i32.const 0) (then ", "", DEEP // 2, ")" * (DEEP // 2)), "ok"),
    ("ifs whose conditions are 50,000 deep", lambda: func("(if " * 50_000 + "(i32.const 0)" + "(then))" * 50_000), "Invalid|Malformed"),
    ("try_tables 50,000 deep", lambda: folded("(try_table (catch_all 0) ", "", 50_000), "ok"),
    ("flat blocks 100,000 deep", lambda: func("block " * DEEP + "end " * DEEP), "ok"),
    ("loops with labels 50,000 deep", lambda: func("".join(f"(loop $l{k} " for k in range(50_000)) + "(br 0)" + ")" * 50_000), "ok"),
    ("initial values 20,000 deep", lambda: module("(global i32 " + "(i32.add (i32.const 1) " * 20_000 + "(i32.const 1)" + ")" * 20_000 + ")"), "LimitExceeded: constant expression"),
    ("recursion groups in one another", lambda: "(module " + "(rec " * DEEP + ")" * DEEP + ")", "ParseError"),
    ("references in one another", lambda: "(module (func (param " + "(ref " * DEEP + ")" * DEEP + ")))", "ParseError"),
    ("types in one another", lambda: "(module " + "(type (sub " * DEEP + "))" * DEEP + ")", "ParseError"),
    ("modules quoted in one another", lambda: quoted(100), "LimitExceeded: quoted"),
    ("modules quoted a few times", lambda: quoted(5), "ok"),
    ("a string without end", lambda: '(module (data "' + "a" * 10**7, "ParseError: unclosed string"),
    ("a string of backslashes without end", lambda: '(module (data "' + "\\\\" * 10**6, "ParseError: unclosed string"),
    ("500,000 strings, the last without end", lambda: "(module (data " + '"a" ' * 500_000 + '"', "ParseError"),
    ("1,000,000 quotes", lambda: '"' * 1_000_001, "ParseError"),
    ("a comment without end", lambda: "(module (;" + " a" * 10**6, "ParseError: unclosed comment"),
    ("1,000,000 comments in one another", lambda: "(;" * 10**6 + ";)" * 10**6 + "(module)", "ok"),
    ("1,000,000 comments in one another without end", lambda: "(;" * 10**6, "ParseError: unclosed comment"),
    ("200,000 comments", lambda: "(module " + "(;;)" * 200_000 + ")", "ok"),
    ("a line comment without end", lambda: "(module) ;;" + "a" * 10**7, "ok"),
    ("1,000,000 semicolons", lambda: "(module " + "; " * 500_000, "ParseError"),
    ("an annotation without end", lambda: "(module (@a " + "(b) " * 300_000, "ParseError: unclosed annotation"),
    ("300,000 annotations in one another", lambda: "(@a " * 300_000 + ")" * 300_000 + "(module)", "ok"),
    ("300,000 annotations in one another without end", lambda: "(@a " * 300_000, "ParseError: unclosed annotation"),
    ("100,000 annotations", lambda: "(module " + "(@a)" * 100_000 + ")", "ok"),
    ("parentheses 300,000 deep in an annotation", lambda: "(@a " + "(" * 300_000 + ")" * 300_000 + ") (module)", "ok"),
    ("30,000 custom sections", lambda: module('(@custom "a" "b")' * 30_000), "ok"),
    ("a custom section at the end of an annotation", lambda: '(module (@custom "a"', "ParseError: unclosed annotation"),
    ("100,000 names for one function", lambda: func('(@name "a") ' * 100_000), "ParseError|ok"),
    ("30,000 branch hints", lambda: func('i32.const 0 (@metadata.code.branch_hint "\\00") if end ' * 30_000), "ok"),
    ("an annotation without a name", lambda: "(module (@ a))", "ParseError: empty annotation id"),
]  # fmt: skip

_LITERALS: Final[list[Row]] = [
    ("i32 of 1,000,000 digits", lambda: const("i32", "1" * DIGITS), "ParseError: out of range"),
    ("i32 of 1,000,000 zeros and a one", lambda: const("i32", "0" * DIGITS + "1"), "ok"),
    ("i64 of 1,000,000 hex digits", lambda: const("i64", "0x" + "f" * DIGITS), "ParseError: out of range"),
    ("i64 of 1,000,000 underscores", lambda: const("i64", "1_" * DIGITS + "1"), "ParseError: out of range"),
    ("i64 of two underscores in a row", lambda: const("i64", "1__1"), "ParseError"),
    ("f32 of 1,000,000 digits", lambda: const("f32", "1" * DIGITS), "ParseError: out of range"),
    ("f64 of 1,000,000 digits", lambda: const("f64", "1" * DIGITS), "ParseError: out of range"),
    ("f64 of 1,000,000 digits after the point", lambda: const("f64", "0." + "3" * DIGITS), "ok"),
    ("f32 of 1,000,000 digits after the point", lambda: const("f32", "0." + "3" * DIGITS), "ok"),
    ("f64 of 1,000,000 hex digits", lambda: const("f64", "0x" + "f" * DIGITS), "ParseError: out of range"),
    ("f64 of 1,000,000 hex digits after the point", lambda: const("f64", "0x1." + "f" * DIGITS), "ok"),
    ("f64 of 1,000,000 hex digits scaled down", lambda: const("f64", "0x" + "f" * DIGITS + "p-4000000"), "ok"),
    ("f64 with an exponent of 1,000,000 digits", lambda: const("f64", "1e" + "9" * DIGITS), "ParseError: out of range"),
    ("f64 with a negative exponent of 1,000,000 digits", lambda: const("f64", "1e-" + "9" * DIGITS), "ok"),
    ("f32 with a hex exponent of 1,000,000 digits", lambda: const("f32", "0x1p" + "9" * DIGITS), "ParseError: out of range"),
    ("f32 with a negative hex exponent of 1,000,000 digits", lambda: const("f32", "0x1p-" + "9" * DIGITS), "ok"),
    ("f64 of nought with an exponent of 1,000,000 digits", lambda: const("f64", "0e" + "9" * DIGITS), "ok"),
    ("f64 with the exponent 999999999999", lambda: const("f64", "1e999999999999"), "ParseError: out of range"),
    ("f64 with the hex exponent 999999999999", lambda: const("f64", "0x1p999999999999"), "ParseError: out of range"),
    ("f32 with the hex exponent -999999999999", lambda: const("f32", "0x1p-999999999999"), "ok"),
    ("NaN of 1,000,000 hex digits", lambda: const("f64", "nan:0x" + "f" * DIGITS), "ParseError"),
    ("an index of 1,000,000 digits", lambda: func("call " + "1" * DIGITS), "ParseError"),
    ("limits of 1,000,000 digits", lambda: module(f"(memory {'1' * DIGITS})"), "ParseError"),
    ("an alignment of 2^63", lambda: func("i32.const 0 i32.load align=9223372036854775808 drop"), "ParseError|Invalid|Malformed"),
    ("an alignment of 1,000,000 digits", lambda: func(f"i32.const 0 i32.load align={'1' * DIGITS} drop"), "ParseError"),
    ("a page size of 2^1,000,000", lambda: module(f"(memory 1 (pagesize {1 << 1000:#x}))"), "ParseError"),
    ("a code point of 1,000,000 digits", lambda: module('(data "\\u{' + "1" * DIGITS + '}")'), "ParseError"),
    ("a code point beyond the last", lambda: module('(data "\\u{110000}")'), "ParseError"),
    ("a surrogate", lambda: module('(data "\\u{d800}")'), "ParseError"),
    ("a keyword of 10,000,000 letters", lambda: "(module (" + "a" * 10**7 + "))", "ParseError"),
    ("an identifier of 10,000,000 letters", lambda: module(f"(func ${'a' * 10**7})"), "ok"),
    ("an identifier of 10,000,000 letters that is not there", lambda: func(f"call ${'a' * 10**7}"), "ParseError: unknown"),
    ("a string of 1,000,000 escapes", lambda: module('(data "' + "\\00" * 10**6 + '")'), "ok"),
    ("a mistake at the end of a line of 10,000,000", lambda: "(module " + " " * 10**7 + "?)", "ParseError"),
    ("a mistake after 1,000,000 lines", lambda: "(module " + "\n" * 10**6 + "?)", "ParseError"),
    ("no character of the format", lambda: "(module \u00e4)", "ParseError: illegal character"),
    ("half a surrogate pair", lambda: "(module \ud800)", "ParseError"),
    ("half a surrogate pair in a string", lambda: '(module (data "\ud800"))', "ParseError"),
    ("half a surrogate pair in a comment", lambda: "(module (;\ud800;))", "ok"),
    ("half a surrogate pair in an identifier", lambda: '(module (func $"\ud800"))', "ParseError"),
    ("zeros", lambda: "\0" * 10**6, "ParseError: illegal character"),
    ("text: no UTF-8", lambda: b"(module \xff)", "ParseError: malformed UTF-8"),
    ("text: no UTF-8 after 10 MB", lambda: b"(module " + b" " * 10**7 + b"\xc0\x80)", "ParseError: malformed UTF-8"),
]  # fmt: skip

_MANY: Final[list[Row]] = [
    ("50,000 functions with names", lambda: each(50_000, lambda k: f"(func $f{k})"), "ok"),
    ("1,000,000 identifiers that are not wanted", lambda: func(" ".join(f"$f{k}" for k in range(10**6))), "ParseError"),
    ("30,000 types with names", lambda: each(30_000, lambda k: f"(type $t{k} (func))"), "ok"),
    ("20,000 inline types that differ", lambda: inline_types(20_000), "ok"),
    ("30,000 calls_indirect with inline types", lambda: module("(table 1 funcref)", "(func ", "(call_indirect (param) (i32.const 0)) " * 30_000, ")"), "ok"),
    ("50,000 locals with names", lambda: func(" ".join(f"(local $x{k} i32)" for k in range(50_000))), "ok"),
    ("200,000 locals", lambda: func(f"(local {'i32 ' * 200_000})"), "LimitExceeded: local"),
    ("1,001 parameters", lambda: func(f"(param {'i32 ' * 1001})"), "LimitExceeded: parameters"),
    ("100,000 fields", lambda: module(f"(type (struct {'(field i32) ' * DEEP}))"), "LimitExceeded: fields"),
    ("a label 10,000 out, 100,000 times", lambda: labels(10_000, DEEP, "$l0"), "ok"),
    ("10,000 labels of one name", lambda: func("block $l " * 10_000 + "br $l " * 10_000 + "end " * 10_000), "ok"),
    ("a label that is not there, 10,000 in", lambda: labels(10_000, 1, "$m"), "ParseError: unknown label"),
    ("a br_table of 100,000 labels", lambda: func("block (br_table " + "0 " * DEEP + "(i32.const 0)) end"), "LimitExceeded: br_table"),
    ("a br_table of 65,521 names", lambda: func("block $l (br_table " + "$l " * 65_521 + "(i32.const 0)) end"), "ok"),
    ("200,000 elements", lambda: module("(func $f)", "(elem func ", "$f " * 200_000, ")"), "ok"),
    ("50,000 element expressions", lambda: module("(func $f)", "(elem funcref ", "(ref.func $f) " * 50_000, ")"), "ok"),
    ("500,000 strings of data", lambda: module("(data " + '"" ' * 500_000 + ")"), "ok"),
    ("100,001 data segments", lambda: module('(data "a") ' * 100_001), "LimitExceeded: data segments"),
    ("100,000 exports of one function", lambda: module("(func " + " ".join(f'(export "e{k}")' for k in range(DEEP)) + ")"), "ok"),
    ("100,000 exports of one name", lambda: module("(func " + '(export "e") ' * DEEP + ")"), "ParseError|Invalid: duplicate export"),
    ("100,000 imports after a definition", lambda: module("(func)", '(import "a" "b" (func)) ' * DEEP), "ParseError: import after"),
    ("100,000 functions of one name", lambda: module("(func $f) " * DEEP), "ParseError: duplicate"),
    ("100,000 catches", lambda: func("(block (try_table " + "(catch_all 0) " * DEEP + "))"), "LimitExceeded: try_table"),
    ("10,000 constant vectors", lambda: func(("(drop (v128.const i8x16 " + "1 " * 16 + ")) ") * 10_000), "ok"),
    ("1,000,000 instructions", lambda: func("nop " * 10**6), "ok"),
    ("a body of more than 7.6 MB", lambda: func("f64.const 0 drop " * 770_000), "LimitExceeded: body"),
    ("a recursion group of 30,000", lambda: module("(rec " + " ".join(f"(type $t{k} (struct (field (ref null $t{(k + 1) % 30_000}))))" for k in range(30_000)) + ")"), "ok"),
    ("30,000 subtypes", lambda: module("(type $t0 (sub (struct)))", *[f"(type $t{k} (sub $t{k - 1} (struct)))" for k in range(1, 30_000)]), "LimitExceeded: supertypes"),
]  # fmt: skip

_SCRIPTS: Final[list[Row]] = [
    ("script: patterns in one another", lambda: '(assert_return (invoke "f") ' + "(either " * DEEP + ")" * DEEP + ")", "ParseError|LimitExceeded"),
    ("script: threads in one another", lambda: "(thread $t " * DEEP + ")" * DEEP, "ParseError|LimitExceeded"),
    ("script: assertions in one another", lambda: "(assert_invalid " * DEEP + ")" * DEEP, "ParseError"),
    ("script: modules quoted in one another", lambda: f"(assert_malformed {quoted(100)} \"\")", "LimitExceeded|ParseError"),
    ("script: 30,000 modules", lambda: "(module)" * 30_000, "ok"),
    ("script: 30,000 calls", lambda: '(invoke "f" (i32.const 1))' * 30_000, "ok"),
    ("script: a call with 100,000 operands", lambda: '(invoke "f" ' + "(i32.const 1)" * DEEP + ")", "ok"),
    ("script: 1,000,000 opening parentheses", lambda: "(" * 10**6, "ParseError"),
    ("script: a number of 1,000,000 digits", lambda: f'(invoke "f" (f64.const {"1" * DIGITS}))', "ParseError"),
    ("script: a vector of 1,000,000 lanes", lambda: f'(invoke "f" (v128.const i8x16 {"1 " * DIGITS}))', "ParseError"),
    ("script: a binary of 300,000 strings", lambda: "(module binary " + '"" ' * 300_000 + ")", "ok"),
]  # fmt: skip

TABLE: Final[list[Row]] = [*_ENDLESS, *_LITERALS, *_MANY, *_SCRIPTS]
