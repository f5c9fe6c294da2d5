"""Annotations of the text format: names, custom sections, branch hints; where they may stand and what is wrong with them."""

from __future__ import annotations

import itertools

import pytest

from figwasp.errors import Error, Invalid, ParseError
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.encode import BEFORE
from figwasp.wasm.syntax.module import Custom
from figwasp.wasm.text.parse.module import parse, wat
from figwasp.wast.script import parse_script

# Names


def test_names_of_items_and_locals() -> None:
    names = decode(
        wat("""(module $m (@name "M ü") (func $f (@name "a b") (param (@name "") i32) (param $p (@name "q") i32) (param $r i32)
            (local (@name "l") f32)) (global (@name "g") i32 (i32.const 0)) (tag (@name "t")) (memory $x (@name "m") 1)
            (table (@name "T") 1 funcref) (type (@name "ty") (struct (field (@name "fi") i32 i64) (field $k i8)))
            (elem (@name "e") func) (data $d (@name "D")))""")
    ).names
    assert (names.module, names.funcs) == ("M ü", {0: "a b"})
    assert names.locals == {0: {0: "", 1: "q", 2: "r", 3: "l"}}
    assert (names.globals, names.tags, names.memories, names.tables) == ({0: "g"}, {0: "t"}, {0: "m"}, {0: "T"})
    assert (names.types, names.fields) == ({0: "ty"}, {0: {0: "fi", 2: "k"}})
    assert (names.elems, names.datas) == ({0: "e"}, {0: "D"})


def test_names_of_imports_and_blocks() -> None:
    names = decode(
        wat("""(import "" "" (func $f (@name "F") (param (@name "p") i32))) (func $g (@name "G") (import "" ""))
            (func block $b (@name "B") end (if (@name "I") (i32.const 0) (then (loop $l))))""")
    ).names
    assert (names.funcs, names.locals) == ({0: "F", 1: "G"}, {0: {0: "p"}})
    assert names.labels == {2: {0: "B", 1: "I", 2: "l"}}


def test_an_identifier_beside_a_name_is_still_the_identifier() -> None:
    assert wat('(func $f (@name "g") (call $f))') == wat('(func $g (@name "g") (call 0))')


# Custom sections


def customs(text: str) -> list[tuple[str, int, bytes]]:
    module = decode(wat(text))
    return [(item.name, item.after, _content(module.data, item)) for item in module.customs]


def _content(data: bytes, item: Custom) -> bytes:
    return data[item.start : item.end]


def test_custom_sections_stand_where_they_say() -> None:
    assert customs("""(module (@custom "last" (after last) "x") (@custom "end" "\\00" "" "y") (func)
        (@custom "code" (before code)) (@custom "first" (before first)) (@custom "types" (after type) "z")
        (@custom "before" (before func)) (@custom "tags" (before tag)) (@custom "memories" (after memory)) (memory 0)
        (@custom "" (after code)))""") == [
        ("first", 0, b""),
        ("types", 1, b"z"),
        ("before", 1, b""),
        ("memories", 5, b""),
        ("tags", 5, b""),
        ("code", 5, b""),
        ("", 10, b""),
        ("last", 10, b"x"),
        ("end", 10, b"\0y"),
    ]


def test_the_order_of_the_specification() -> None:
    """The worked example of the appendix "Custom Annotations"."""
    data = wat("""(module (@custom "A" "aaa") (type $t (func)) (@custom "B" (after func) "bbb") (@custom "C" (before func) "ccc")
        (@custom "D" (after last) "ddd") (table 10 funcref) (func (type $t)) (@custom "E" (after import) "eee")
        (@custom "F" (before type) "fff") (@custom "G" (after data) "ggg") (@custom "H" (after code) "hhh")
        (@custom "I" (after func) "iii") (@custom "J" (before func) "jjj") (@custom "K" (before first) "kkk"))""")
    assert sections(data) == ["K", "F", 1, "E", "C", "J", 3, "B", "I", 4, 10, "H", "G", "name", "A", "D"]


def sections(data: bytes) -> list[str | int]:
    """Return the sections in their order: the names of custom ones, the ids of the others."""
    found: list[str | int] = []
    pos = 8
    while pos < len(data):
        size = data[pos + 1]
        found.append(data[pos] or data[pos + 3 : pos + 3 + data[pos + 2]].decode())
        pos += 2 + size
    return found


def test_after_a_section_comes_before_before_the_next() -> None:
    """At every boundary, whichever stands first in the text, and also where one of the sections is not there."""
    kinds = ["type", "import", "func", "table", "memory", "tag", "global", "export", "start", "elem", "datacount", "code", "data"]
    for fields in ("", "(table 1 funcref) (memory 1)", '(memory 1) (data "x") (func (data.drop 0)) (start 0) (elem func)'):
        for left, right in itertools.pairwise(kinds):
            text = f'(module (@custom "B" (before {right})) (@custom "A" (after {left})) (@custom "b" (before {right})) {fields})'
            found = [name for name in sections(wat(text)) if isinstance(name, str)]
            assert found == ["A", "B", "b"], (left, right)
    assert sections(wat('(module (@custom "B" (before memory)) (@custom "A" (after table)) (table 1 funcref) (memory 1))')) == [
        4, "A", "B", 5,
    ]  # fmt: skip


def test_first_and_last_are_positions_of_their_own() -> None:
    text = '(module $m (@custom "l") (@custom "t" (before type)) (@custom "d" (after data)) (@custom "f" (before first)) (data "x"))'
    assert sections(wat(text)) == ["f", "t", 11, "d", "name", "l"]


def test_custom_sections_without_a_module_around_them() -> None:
    assert customs('(@custom "a") (; no ;) (@custom "b" (@inner) ;; no\n "c")') == [("a", 0, b""), ("b", 0, b"c")]


def test_every_section_can_be_named() -> None:
    kinds = "type import func table memory tag global export start elem datacount code data".split()
    text = "".join(f'(@custom "{side} {kind}" ({side} {kind}))' for kind in kinds for side in ("after", "before"))
    names = [name for name, _, _ in customs(text)]
    assert sorted(names) == sorted(f"{side} {kind}" for kind in kinds for side in ("after", "before"))
    assert [name.split()[1] for name in names if name.startswith("before")] == kinds
    assert [name.split()[1] for name in names if name.startswith("after")] == kinds


# Branch hints


def test_branch_hints() -> None:
    parsed = parse("""(import "" "" (func)) (func) (func (local i32)
        (@metadata.code.branch_hint "\\01") (if (i32.const 1) (then (@metadata.code.branch_hint "\\00") (br_if 0 (i32.const 0))))
        i32.const 0 (@metadata.code.branch_hint "\\00") if end i32.const 0 (@metadata.code.branch_hint "\\01") br_if 0)""")
    (section,) = parsed.customs
    assert section[:2] == (BEFORE[10], "metadata.code.branch_hint")
    assert section[2] == bytes([1, 2, 4, 5, 1, 1, 9, 1, 0, 14, 1, 0, 19, 1, 1])
    body = parsed.bodies[1]
    assert [body[at] for at in (5, 9, 14, 19)] == [0x04, 0x0D, 0x04, 0x0D]


def test_a_folded_condition_may_have_hints_of_its_own() -> None:
    (section,) = (
        parse("""(func (block (br_if 0 (block (result i32) (@metadata.code.branch_hint "\\01") (if (i32.const 0) (then))
        (i32.const 1)))))""").customs
    )
    assert section[2] == bytes([1, 0, 1, 7, 1, 1])


# What is wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('(module (@name "a") (@name "b"))', "1:21: @name annotation: multiple module"),
        ('(module (func) (@name "a"))', "1:16: misplaced @name annotation"),
        ('(module (@name "a") $m)', "1:9: misplaced @name annotation"),
        ('(func (nop (@name "a")))', "misplaced @name annotation"),
        ('(func (@name "a") (@name "b"))', "@name annotation: multiple"),
        ("(func (@name a))", "@name annotation: unexpected token"),
        ('(func (@name "a" "b"))', "@name annotation: unexpected token"),
        ('(func (@name "\\ff"))', "@name annotation: malformed UTF-8 encoding"),
        ("(@custom)", "@custom annotation: missing section name"),
        ("(@custom x)", "@custom annotation: missing section name"),
        ('(@custom "\\df")', "@custom annotation: malformed UTF-8 encoding"),
        ('(@custom "a" b)', "@custom annotation: unexpected token"),
        ('(@custom "a" "b" c)', "@custom annotation: unexpected token"),
        ('(@custom "a" ())', "@custom annotation: malformed placement"),
        ('(@custom "a" (at type))', "@custom annotation: malformed placement"),
        ('(@custom "a" (after))', "@custom annotation: malformed section kind"),
        ('(@custom "a" (after first))', "@custom annotation: malformed section kind"),
        ('(@custom "a" (before types))', "@custom annotation: malformed section kind"),
        ('(@custom "a" (before type x))', "@custom annotation: unexpected token"),
        ('(func (@custom "a"))', "misplaced @custom annotation"),
        ('((@custom "a") module)', "misplaced @custom annotation"),
        ('(@metadata.code.branch_hint "\\00") (func)', "not in a function"),
        ('(func) (@metadata.code.branch_hint "\\00")', "not in a function"),
        ('(func if (@metadata.code.branch_hint "\\02") if end end)', "invalid value"),
        ("(func br_if 0 (@metadata.code.branch_hint) if end)", "invalid value"),
        (
            '(func (@metadata.code.branch_hint "\\00") (@metadata.code.branch_hint "\\00") if end)',
            "1:42: @metadata.code.branch_hint annotation: duplicate annotation",
        ),
    ],
)
def test_malformed(text: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        wat(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "target", ["nop", "i32.eq", "(drop (i32.const 0))", "br 0", "block end", "(loop)", "(br 0)", ""]
)
def test_hints_are_for_branches(target: str) -> None:
    with pytest.raises(Invalid, match="1:11: @metadata.code.branch_hint annotation: invalid target"):
        wat(f'(func nop (@metadata.code.branch_hint "\\01") {target})')


@pytest.mark.parametrize(
    "text", ['(@names "x")', "(@name.x)", '(func (@customs "a" x))', "(@metadata.code.trace_inst)"]
)
def test_other_annotations_are_white_space(text: str) -> None:
    assert decode(wat(f"(module {text})")).customs == []


def test_annotations_belong_to_the_module_they_stand_in() -> None:
    first, second, third = parse_script('(module (@name "a")) (@custom "no") (module (@custom "b")) (module)')
    for command, expected in ((first, [("name")]), (second, ["b"]), (third, [])):
        assert command.source is not None
        assert [item.name for item in decode(command.source.encode()).customs] == expected


def test_many_annotations_take_linear_time() -> None:
    text = "(module" + '(@custom "a" (before first) "b")' * 20_000 + "(func" + '(block (@name "x"))' * 20_000 + "))"
    try:
        assert len(customs(text)) == 20_001
    except Error as error:
        pytest.fail(str(error))
