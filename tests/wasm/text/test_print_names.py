"""Names and custom sections in the text that is printed: identifiers, annotations, and what stays a section."""

from __future__ import annotations

from collections.abc import Sequence

from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.encode import AFTER, FIRST, Section, encode
from figwasp.wasm.syntax.names import Names, write_names
from figwasp.wasm.text.parse.module import parse, wat
from figwasp.wasm.text.print.module import show
from figwasp.wasm.text.print.names import MAX_NAME
from tests.wasm.handmade import section
from tests.wasm.text.sameness import difference, meaning

SOURCE = "(func (param i32 i32)) (func) (func) (func) (func (block))"


def with_names(names: Names, customs: Sequence[Section] = ()) -> bytes:
    parsed = parse(SOURCE)
    return encode(parsed.module, parsed.bodies, parsed.datas, names, customs)


def with_section(content: bytes) -> bytes:
    return wat(SOURCE) + section(0, b"\x04name" + content)


def test_names_that_are_no_identifiers() -> None:
    names = Names()
    names.module = "two words"
    names.funcs = {0: "same", 1: "same", 2: "same#1", 3: "", 4: 'q"\\\u200b'}
    names.locals = {0: {0: "x", 1: "x"}}
    names.labels = {4: {0: "( or )"}}
    data = with_names(names)
    text = show(decode(data))
    heads = [line.strip() for line in text.split("\n") if "(func $" in line or "(func (@" in line]
    assert text.startswith('(module $"two words"\n')
    assert heads == [
        '(func $same (;0;) (type 0) (param $x i32) (param $x#1 (@name "x") i32))',
        '(func $same#2 (@name "same") (;1;) (type 1))',
        "(func $same#1 (;2;) (type 1))",
        '(func (@name "") (;3;) (type 1))',
        '(func $"q\\"\\\\\\u{200b}" (;4;) (type 1)',
    ]
    assert 'block $"( or )"\n' in text
    assert wat(text) == data


def test_references_to_what_has_the_name_of_another() -> None:
    names = Names()
    names.funcs = {0: "f", 1: "f"}
    source = "(func) (func) (func (call 0) (call 1)) (start 1)"
    parsed = parse(source)
    data = encode(parsed.module, parsed.bodies, parsed.datas, names)
    text = show(decode(data))
    assert "call $f\n    call $f#1)" in text
    assert "(start $f#1)" in text
    assert wat(text) == data


def test_a_label_that_an_inner_one_hides_is_referred_to_by_number() -> None:
    data = wat("(func (block $l (block $l (br 0) (br 1)) (br 0)))")
    text = show(decode(data))
    assert [line.strip() for line in text.split("\n") if "br " in line] == ["br $l", "br 1 (;@1;)", "br $l"]
    assert wat(text) == data


def test_long_names_are_cut_where_they_are_repeated() -> None:
    names = Names()
    names.funcs = {0: "a" * 5000, 1: "a" * 6000}
    data = with_names(names)
    text = show(decode(data))
    assert f"(func ${'a' * MAX_NAME} (@name \"{'a' * 5000}\") (;0;)" in text
    assert f"(func ${'a' * MAX_NAME}#1 (@name \"{'a' * 6000}\") (;1;)" in text
    assert wat(text) == data


def test_sections_stay_before_and_after_the_names() -> None:
    names = Names()
    names.funcs = {0: "f"}
    body = with_names(names, [(FIRST, "a", b"1"), (AFTER[1], "b", b"2"), (AFTER[10], "c", b"3")])
    data = body + section(0, b"\x01d4") + section(0, b"\x01e")
    text = show(decode(data))
    assert [line.strip() for line in text.split("\n") if "@custom" in line] == [
        '(@custom "a" (before first) "1")',
        '(@custom "b" (after type) "2")',
        '(@custom "c" (after code) "3")',
        '(@custom "d" (after last) "4")',
        '(@custom "e" (after last) ""))',
    ]
    assert wat(text) == data


def test_names_that_stand_in_the_middle_go_to_their_place_and_nothing_else_does() -> None:
    names = Names()
    names.funcs = {0: "f"}
    spoken = section(0, b"\x04name" + write_names(names))
    plain = wat(SOURCE)
    middle = 8 + 2 + plain[9]
    assert plain[8] == 1 and plain[middle] == 3
    data = plain[:middle] + section(0, b"\x01a") + spoken + section(0, b"\x01b") + plain[middle:] + section(0, b"\x01c")
    text = show(decode(data))
    assert "(func $f (;0;)" in text
    assert wat(text) == plain[:middle] + section(0, b"\x01a") + section(0, b"\x01b") + plain[middle:] + section(0, b"\x01c") + spoken


def test_custom_sections_between_all_sections_come_back_to_their_places() -> None:
    """Two at every boundary of a module that has every section, and with the data count, which text implies, in a module of its own."""
    source = """(module (type (func)) (import "" "" (func)) (func $f {}) (table 1 funcref) (memory 1) (tag) (global i32 (i32.const 0))
        (export "f" (func 1)) (start 1) (elem (i32.const 0) func) (data "x"))"""
    for code in ("", "data.drop 0"):
        plain = wat(source.format(code))
        data = bytearray(plain[:8])
        pos = 8
        number = 0
        while pos < len(plain):
            data += section(0, bytes((1, 65 + number))) + section(0, b"\x01-")
            end = pos + 2 + plain[pos + 1]
            data += plain[pos:end]
            number += 1
            pos = end
        whole = bytes(data) + section(0, b"\x01z")
        assert number == (14 if code else 13)
        assert wat(show(decode(whole))) == whole


def kept(data: bytes) -> str:
    """Print a module whose name section must stay a section, and have it come back whole."""
    text = show(decode(data))
    assert '(@custom "name" (after ' in text
    assert "$" not in text, text
    assert difference(wat(text), data) == ""
    return text


def test_names_of_what_is_not_there_stay_in_a_section() -> None:
    for missing in ("funcs", "types", "tables", "memories", "globals", "elems", "datas", "tags"):
        names = Names()
        names.module = "m"
        getattr(names, missing)[7] = "beyond"
        kept(with_names(names))
    for missing, index in (("locals", 0), ("locals", 9), ("labels", 4), ("labels", 0), ("labels", 9), ("fields", 0)):
        names = Names()
        getattr(names, missing)[index] = {5: "beyond"}
        kept(with_names(names))


def test_a_malformed_name_section_stays_one() -> None:
    names = Names()
    names.funcs = {0: "f"}
    good = write_names(names)
    for content in (
        good + b"\x0c\x00",
        good + b"\x01",
        good[:-1],
        good[:-1] + b"\xff",
        b"\x01\x06\x01\x00\x01f\x00\x00",
        b"\x01\x07\x02\x00\x01f\x00\x01g",
        b"\x02\x03\x01\x00\x05",
        b"\x00\x80",
        b"",
        b"\x01\x01\x00",
    ):
        kept(with_section(content))


def test_two_name_sections_stay_two() -> None:
    names = Names()
    names.funcs = {0: "f"}
    content = section(0, b"\x04name" + write_names(names))
    kept(wat(SOURCE) + content + content)


def test_names_in_no_canonical_form_are_identifiers_all_the_same() -> None:
    padded = b"\x01\x89\x80\x00\x82\x80\x00\x01\x01g\x00\x01f"
    data = with_section(padded)
    text = show(decode(data))
    assert "(func $f (;0;)" in text
    assert meaning(wat(text))["names"] == {"funcs": {0: "f", 1: "g"}}
