"""Scripts to commands: every form of the grammar, where commands stand, and text that is no script."""

from __future__ import annotations

import pytest

from figwasp.errors import Malformed, ParseError
from figwasp.wasm.text.parse.module import wat
from figwasp.wast.script import Action, Command, ScriptValue, parse_script


def one(text: str) -> Command:
    (command,) = parse_script(text)
    return command


def values(text: str) -> list[ScriptValue]:
    """Return the patterns of an assertion."""
    return one(f'(assert_return (invoke "f") {text})').expected


EVERY32 = 0xFFFF_FFFF
EVERY64 = 0xFFFF_FFFF_FFFF_FFFF


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(i32.const -1)", ScriptValue("i32", EVERY32, EVERY32)),
        ("(i32.const 0xffff_ffff)", ScriptValue("i32", EVERY32, EVERY32)),
        ("(i64.const -0x8000000000000000)", ScriptValue("i64", 1 << 63, EVERY64)),
        ("(f32.const -0)", ScriptValue("f32", 1 << 31, EVERY32)),
        ("(f32.const nan:0x1)", ScriptValue("f32", 0x7F80_0001, EVERY32)),
        ("(f64.const -inf)", ScriptValue("f64", 0xFFF0_0000_0000_0000, EVERY64)),
        ("(f32.const nan:canonical)", ScriptValue("f32", 0x7FC0_0000, 0x7FFF_FFFF)),
        ("(f64.const nan:arithmetic)", ScriptValue("f64", 0x7FF8_0000_0000_0000, 0x7FF8_0000_0000_0000)),
        ("(ref.null)", ScriptValue("", None)),
        ("(ref.null func)", ScriptValue("funcref", None)),
        ("(ref.null nofunc)", ScriptValue("funcref", None)),
        ("(ref.null extern)", ScriptValue("externref", None)),
        ("(ref.null $t)", ScriptValue("", None)),
        ("(ref.extern 3)", ScriptValue("externref", 3)),
        ("(ref.extern)", ScriptValue("externref", 0, 0)),
        ("(ref.func)", ScriptValue("funcref", 0, 0)),
        ("(ref.host 0x10)", ScriptValue("anyref", 16)),
        ("(ref.struct)", ScriptValue("structref", 0, 0)),
        ("(v128.const i64x2 1 -1)", ScriptValue("v128", EVERY64 << 64 | 1, (1 << 128) - 1)),
        (
            "(v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 255)",
            ScriptValue("v128", 0xFF0E0D0C0B0A09080706050403020100, (1 << 128) - 1),
        ),
        (
            "(v128.const f64x2 nan:canonical 1)",
            ScriptValue("v128", 0x3FF0_0000_0000_0000 << 64 | 0x7FF8_0000_0000_0000, EVERY64 << 64 | EVERY64 >> 1),
        ),
        (
            "(either (i32.const 1) (ref.null))",
            ScriptValue("", None, -1, (ScriptValue("i32", 1, EVERY32), ScriptValue("", None))),
        ),
    ],
)
def test_values(text: str, expected: ScriptValue) -> None:
    assert values(text) == [expected]


def test_actions() -> None:
    command = one('(assert_return (invoke $m "a\\62\\u{63}" (i32.const 1) (ref.extern 2)) (i32.const 3) (i64.const 4))')
    args = [ScriptValue("i32", 1, EVERY32), ScriptValue("externref", 2)]
    assert (command.kind, command.action) == ("assert_return", Action("invoke", "$m", "abc", args))
    assert command.expected == [ScriptValue("i32", 3, EVERY32), ScriptValue("i64", 4, EVERY64)]
    assert one('(get "g")').action == Action("get", None, "g", [])
    assert one('(invoke "f")').kind == "action"
    assert one('(assert_trap (get $"m" "g") "message")').action == Action("get", "$m", "g", [])


@pytest.mark.parametrize("kind", ["assert_trap", "assert_exhaustion"])
def test_assertions_of_actions(kind: str) -> None:
    command = one(f'({kind} (invoke "f") "the message")')
    assert (command.kind, command.text, command.source) == (kind, "the message", None)
    assert command.action is not None


@pytest.mark.parametrize(
    "kind",
    [
        "assert_trap",
        "assert_malformed",
        "assert_invalid",
        "assert_unlinkable",
        "assert_malformed_custom",
        "assert_invalid_custom",
    ],
)
@pytest.mark.parametrize(
    "module", ["(module (func))", '(module quote "(func)" "")', '(module $m binary "\\00asm\\01\\00\\00\\00")']
)
def test_assertions_of_modules(kind: str, module: str) -> None:
    command = one(f'({kind} {module} "the message")')
    assert (command.kind, command.text, command.action) == (kind, "the message", None)
    assert command.source is not None
    assert command.source.encode().startswith(b"\0asm\1\0\0\0")


@pytest.mark.parametrize("kind", ["assert_trap", "assert_unlinkable", "assert_uninstantiable"])
@pytest.mark.parametrize(
    ("names", "id_", "definition"), [("", None, None), (" $M", None, "$M"), (" $I $M", "$I", "$M"), (' $"I" $M', "$I", "$M")]
)
def test_assertions_of_instances(kind: str, names: str, id_: str | None, definition: str | None) -> None:
    command = one(f'({kind} (module instance{names}) "the message")')
    assert (command.kind, command.text, command.source, command.action) == (kind, "the message", None, None)
    assert (command.id, command.definition) == (id_, definition)
    assert one(f'({kind} (module "instance") "")').source is not None


@pytest.mark.parametrize(
    "text",
    [
        *(f'({kind} (module instance $M) "")' for kind in ("assert_malformed", "assert_invalid", "assert_malformed_custom")),
        '(assert_invalid_custom (module instance) "")',
        '(assert_exhaustion (module instance) "")',
        "(assert_return (module instance))",
        "(assert_exception (module instance))",
        *(f'({kind} (module definition) "")' for kind in ("assert_trap", "assert_unlinkable", "assert_uninstantiable")),
        '(assert_trap (module instance $I $M $N) "")',
        '(assert_trap (module instance $I (func)) "")',
        "(assert_trap (module instance $I))",
        "(module instance $I $M $N)",
        "(module instance (func))",
    ],
)
def test_what_is_no_instance_and_no_assertion_of_one(text: str) -> None:
    with pytest.raises(ParseError):
        one(text)


def test_assert_exception_has_no_message() -> None:
    assert one('(assert_exception (invoke "f"))').text == ""


def test_modules() -> None:
    plain, named, definition, instance, bare, short = parse_script(
        "(module) (module $m (func)) (module definition $d (memory 1)) (module instance $i $m) (module instance) (module instance $m)"
    )
    assert plain.source is not None
    assert (plain.kind, plain.source.id, plain.source.definition, plain.source.encode()) == (
        "module",
        None,
        False,
        wat(""),
    )
    assert named.source is not None
    assert (named.source.id, named.source.definition) == ("$m", False)
    assert named.source.encode() == wat("(module $m (func))")
    assert definition.source is not None
    assert (definition.source.id, definition.source.definition) == ("$d", True)
    assert (instance.kind, instance.id, instance.definition, instance.source) == ("instance", "$i", "$m", None)
    assert (bare.kind, bare.id, bare.definition) == ("instance", None, None)
    assert (short.kind, short.id, short.definition) == ("instance", None, "$m")


def test_register() -> None:
    first, second = parse_script('(register "a") (register "b" $m)')
    assert (first.kind, first.name, first.id) == ("register", "a", None)
    assert (second.name, second.id) == ("b", "$m")


def test_fields_alone_are_one_module() -> None:
    text = '(func (export "f")) (memory 0)'
    command = one(text)
    assert command.kind == "module"
    assert command.source is not None
    assert command.source.encode() == wat(text)


def test_threads() -> None:
    first, second, third = parse_script("""(thread $T (shared (module $M)) (register "mem" $M)
        (module (memory (import "mem" "shared") 1 1 shared))
        (thread (assert_return (invoke "f") (either (i32.const 0) (i32.const 1)))) (invoke "g"))
        (wait $T) (thread $U)""")
    assert (first.kind, first.id, first.shared, first.line) == ("thread", "$T", "$M", 1)
    assert [command.kind for command in first.commands] == ["register", "module", "thread", "action"]
    register, module, inner, _ = first.commands
    assert (register.name, register.id, module.shown) == (
        "mem",
        "$M",
        '(module (memory (import "mem" "shared") 1 1 shared))',
    )
    assert (inner.id, inner.shared, [command.kind for command in inner.commands]) == (None, None, ["assert_return"])
    assert (second.kind, second.id, second.commands) == ("wait", "$T", [])
    assert (third.id, third.shared, third.commands) == ("$U", None, [])


def test_an_empty_script() -> None:
    assert parse_script(" ;; nothing\n(; at all ;)") == []


def test_lines_and_texts() -> None:
    text = '(module)\r\n\n  (invoke\n "f(")\r(get "g") (get "h")(; \n ;)\n(module\n(func))'
    assert [(command.line, command.shown) for command in parse_script(text)] == [
        (1, "(module)"),
        (3, '(invoke "f(")'),
        (5, '(get "g")'),
        (5, '(get "h")'),
        (7, "(module (func))"),
    ]
    long = f"(module {'(func)' * 100})"
    assert one(long).shown == long[:100] + "..."


def test_errors_in_modules_wait_until_they_are_read() -> None:
    first, second, third = parse_script(
        '(module\n (what))\n(module quote "(func" " (what))")\n(module (func (result v12)))'
    )
    for command, line, column, message in (
        (first, 2, 3, "unknown operator what"),
        (second, 1, 8, "unknown operator what"),
        (third, 4, 23, "v12"),
    ):
        assert command.source is not None
        with pytest.raises(ParseError, match=message) as caught:
            command.source.encode()
        assert (caught.value.line, caught.value.column) == (line, column)




@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("what", "unknown operator what"),
        ("(what)", "unknown command what"),
        ("(assert_return_canonical_nan", "unknown command"),
        ("(module", "unexpected end"),
        ("(module))", "unexpected token \\)"),
        ('(invoke "f"', "unexpected end"),
        ("(invoke f)", "1:9: unknown operator f"),
        ('(invoke "\\ff")', "malformed UTF-8 encoding"),
        ('(get "f" (i32.const 1))', "unexpected token \\("),
        ('(assert_return (what "f"))', "unknown operator what"),
        ('(assert_return (module) "f")', "expected an action"),
        ('(assert_trap (invoke "f"))', "a string"),
        ('(assert_malformed (invoke "f") "")', "unknown operator invoke"),
        ('(invoke "f" (i32.const 4294967296))', "constant out of range"),
        ('(invoke "f" (i32.const -2147483649))', "constant out of range"),
        ('(invoke "f" (f32.const 1e99))', "constant out of range"),
        ('(invoke "f" (f32.const nan:0x800000))', "constant out of range"),
        ('(invoke "f" (i32.const nan:canonical))', "expected a number"),
        ('(invoke "f" (i32.const))', "expected a number"),
        ('(invoke "f" (f32.const', "unexpected end"),
        ('(invoke "f" (i32.const 1 2))', "unexpected token 2"),
        ('(invoke "f" (i32.add))', "expected a value"),
        ('(invoke "f" (v128.const i32x4 1 2 3))', "expected a number"),
        ('(invoke "f" (v128.const i8x4 1 2 3 4))', "unknown operator i8x4"),
        ('(invoke "f" (ref.extern -1))', "an unsigned integer"),
        ('(assert_return (invoke "f") ' + "(either" * 9 + ")" * 10, "1:86: unknown operator either"),
        ("(thread $T (shared $M))", "unexpected token \\$M"),
        ("(thread" * 9 + ")" * 9, "unknown command thread"),
        ("(thread (what))", "unknown command what"),
        ("(wait $T 1)", "unexpected token 1"),
        ("(", "unknown command|unexpected end"),
        ('"', "unclosed string"),
    ],
)
def test_what_is_no_script(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse_script(text)


def test_deep_parentheses_cost_nothing() -> None:
    text = f"(module {'(' * 100_000}{')' * 100_000})"
    source = one(text).source
    assert source is not None
    with pytest.raises(Malformed):
        source.encode()
