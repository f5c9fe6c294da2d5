"""Tokens, their places, string literals, identifiers, and everything that is none of them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from figwasp.errors import ParseError
from figwasp.wasm.text.lexer import identifier, string_bytes, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \t\r\n", []),
        ("(module)", ["(", "module", ")"]),
        ("(func(nop)nop)", ["(", "func", "(", "nop", ")", "nop", ")"]),
        ("a;;b\nc", ["a", "c"]),
        ("a;;b\rc", ["a", "c"]),
        ("a ;; to the end", ["a"]),
        ("a(;b;)c", ["a", "c"]),
        ("(; (; ;;) ;)a", ["a"]),
        ('(; " ;)a', ["a"]),
        (';; (; \n"(;" a', ['"(;"', "a"]),
        ("(;;)a(;;;)b(;;;;)", ["a", "b"]),
        ('(@x)a(@x y (z) ")" (; ) ;) ;; )\n)b', ["a", "b"]),
        ('(@"\\41 b" ,;[]{} 0x$ @)a', ["a"]),
        ("(@x (@y) (@) (@ z))a", ["a"]),
        ("((@a)module (@a)$m)", ["(", "module", "$m", ")"]),
        ("( @a)", ["(", "@a", ")"]),
        ("$!#%&'*+-./:<=>?@\\^_`|~", ["$!#%&'*+-./:<=>?@\\^_`|~"]),
        ('$"a b"', ['$"a b"']),
        ('0"a" "a""b" $l"a" a,b', ['0"a"', '"a""b"', '$l"a"', "a,b"]),
        ('"\\t\\n\\r\\"\\\'\\\\\\00\\u{1_F600}é"', ['"\\t\\n\\r\\"\\\'\\\\\\00\\u{1_F600}é"']),
        ("offset=1_0 -0x1.8p+3 nan:0x1", ["offset=1_0", "-0x1.8p+3", "nan:0x1"]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert tokenize(text).items == [*tokens, ""]
    assert tokenize(text.encode()).items == [*tokens, ""]


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("(a\n  \x01)", "illegal character", 2, 3),
        ("a é", "illegal character", 1, 3),
        ("a\x0cb", "illegal character", 1, 2),
        ("\x7f", "illegal character", 1, 1),
        ('\r\n"abc', "unclosed string", 2, 1),
        ('"abc\n"', "unclosed string", 1, 1),
        ('"ab\tc"', "illegal character", 1, 4),
        ('x "a\\qb"', "illegal escape", 1, 3),
        ('"\\4"', "illegal escape", 1, 1),
        ('"\\u{}"', "illegal escape", 1, 1),
        ('"\\u{1__0}"', "illegal escape", 1, 1),
        ('(func $"a\nb")', "empty identifier", 1, 7),
        ("a (; (; ;)", "unclosed comment", 1, 3),
        ("(@x (y)", "unclosed annotation", 1, 1),
        ("a (@x (;", "unclosed comment", 1, 7),
        ('(@x "', "unclosed string", 1, 5),
        ("(@x é)", "illegal character", 1, 5),
        ("(@)", "empty annotation id", 1, 3),
        ("(@ x)", "empty annotation id", 1, 3),
        ('(@"")', "empty annotation id", 1, 3),
        ('(@"\\ef")', "malformed UTF-8 encoding", 1, 3),
    ],
)
def test_error(text: str, message: str, line: int, column: int) -> None:
    with pytest.raises(ParseError) as caught:
        tokenize(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"{line}:{column}: {message}")


def test_malformed_utf8_says_where() -> None:
    with pytest.raises(ParseError, match="2:3: malformed UTF-8 encoding") as caught:
        tokenize(b'(;\n"\xc3\xa9\xff")')
    assert caught.value.line == 2


def test_error_shows_the_line_with_a_mark_below() -> None:
    with pytest.raises(ParseError) as caught:
        tokenize("one\n\ttwo \x01 three\nfour")
    assert str(caught.value) == "2:6: illegal character\n   two   three\n       ^"


def test_error_shows_part_of_a_long_line() -> None:
    with pytest.raises(ParseError) as caught:
        tokenize("a" * 10_000 + "é" + "b" * 10_000)
    _, shown, mark = str(caught.value).split("\n")
    assert len(shown) < 200
    assert shown[len(mark) - 1] == "é"


def test_positions() -> None:
    tokens = tokenize("a\r\n b (;\n;) c\n\n\r d")
    assert [tokens.position(index) for index in range(5)] == [(1, 1), (2, 2), (3, 4), (6, 2), (6, 3)]
    assert [tokens.offset(index) for index in range(5)] == [0, 4, 12, 17, 18]


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ('""', b""),
        ('"a\\00\\fFb"', b"a\x00\xffb"),
        ('"\\t\\n\\r\\"\\\'\\\\"', b"\t\n\r\"'\\"),
        ('"\\u{0}\\u{e9}\\u{1_F6_00}"', b"\x00\xc3\xa9\xf0\x9f\x98\x80"),
        ('"é"', b"\xc3\xa9"),
        ('"\\u{d800}"', None),
        ('"\\u{110000}"', None),
        ('"\\u{' + "f" * 5000 + '}"', None),
        ('"\ud800"', None),
        ('"a""b"', None),
        ("a", None),
        ("", None),
    ],
)
def test_string_bytes(token: str, value: bytes | None) -> None:
    assert string_bytes(token) == value


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("$a", "a"),
        ('$"a"', "a"),
        ('$"\\41 \\u{e9}"', "A é"),
        ('$"\\"x"', '"x'),
        ("$", None),
        ('$""', None),
        ('$"\\ef"', None),
        ("$a,b", None),
        ('$a"b"', None),
        ("a", None),
    ],
)
def test_identifier(token: str, name: str | None) -> None:
    assert identifier(token) == name


@given(st.binary())
def test_string_bytes_undoes_escaping(data: bytes) -> None:
    literal = '"' + "".join(f"\\{byte:02x}" for byte in data) + '"'
    assert tokenize(literal).items == [literal, ""]
    assert string_bytes(literal) == data


@given(st.text(alphabet='ab()"\\$@;, \n\x01é0u{}'))
@example('"\\')
@example("(@")
@example("(;")
def test_every_text_yields_tokens_or_a_parse_error(text: str) -> None:
    try:
        tokens = tokenize(text)
    except ParseError:
        return
    offsets = [tokens.offset(index) for index in range(len(tokens.items))]
    assert all(text.startswith(token, offset) for token, offset in zip(tokens.items, offsets))
    assert sorted(set(offsets[:-1])) == offsets[:-1]


@pytest.mark.parametrize(
    "text",
    [
        '"' * 300_001,
        '"\\' * 200_000,
        "(;" * 200_000,
        "(@a" * 200_000,
        '$"' * 200_001,
        '"\\00' * 200_001,
        '"' + "\\00" * 200_000,
    ],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    with pytest.raises(ParseError):
        tokenize(text)


def test_annotations_that_are_kept() -> None:
    tokens = tokenize(
        '(module (@name "a") (@custom x (@custom y)) (; (@name) ;) (@"name" (;;) b) (@names) (func (@name)) "(@name)")(@name z)'
    )
    assert [(note.id, note.at, note.content) for note in tokens.notes] == [
        ("name", 2, ' "a"'),
        ("custom", 2, " x (@custom y)"),
        ("name", 2, " (;;) b"),
        ("name", 4, ""),
        ("name", 7, " z"),
    ]
    assert [note.offset for note in tokens.notes_between(3, 7)] == [
        tokens.text.index("(@name))"),
        tokens.text.index("(@name z"),
    ]
    assert (tokens.notes_between(3, 6), tokens.notes_between(5, 6)) == ([tokens.notes[3]], [])
    with pytest.raises(ParseError, match="1:9: what"):
        tokens.fail_note("what", tokens.notes[0])
    assert tokenize("(@x) a").notes == tokenize("a").notes_between(0, 9) == []
