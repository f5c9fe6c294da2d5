"""The runner's own judgement: what must fail fails, on machine code and on the evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from figwasp.wast.engine import Found
from figwasp.wast.matching import matches, show, show_patterns
from figwasp.wast.modes import MODES, new_engine
from figwasp.wast.report import Report
from figwasp.wast.runner import run_script
from figwasp.wast.script import ScriptValue

ANY_MODE = pytest.mark.parametrize("mode", MODES)

MODULE = """
(module
  (global (export "g") f32 (f32.const nan:0x200001))
  (global (export "null") externref (ref.null extern))
  (memory 1 1)
  (func $f (export "id32") (param f32) (result f32) local.get 0)
  (func (export "id64") (param f64) (result f64) local.get 0)
  (func (export "neg") (param f32) (result f32) local.get 0 f32.neg)
  (func (export "div") (param i32 i32) (result i32) local.get 0 local.get 1 i32.div_s)
  (func (export "two") (result i32 i64) i32.const -1 i64.const -1)
  (func (export "ext") (param externref) (result externref) local.get 0)
  (func (export "self") (result funcref) ref.func $f)
  (func (export "none") (param funcref) (result funcref) local.get 0)
  (func $deep (export "deep") call $deep)
  (func (export "load") (param i32) (result i32) local.get 0 i32.load))
"""


def run(commands: str, mode: str = "guard") -> Report:
    return run_script(MODULE + commands, new_engine(mode))


def outcome(commands: str, mode: str = "guard") -> tuple[int, int]:
    """Return how many of the commands after MODULE passed and failed."""
    report = run(commands, mode)
    return report.passed - 1, report.failed


@ANY_MODE
@pytest.mark.parametrize(
    "command",
    [
        '(assert_return (invoke "id32" (f32.const nan:0x200000)) (f32.const nan:0x200000))',
        '(assert_return (invoke "id64" (f64.const -nan:0x4000000000001)) (f64.const -nan:0x4000000000001))',
        '(assert_return (invoke "neg" (f32.const nan)) (f32.const nan:canonical))',
        '(assert_return (invoke "neg" (f32.const nan:0x600000)) (f32.const nan:arithmetic))',
        '(assert_return (invoke "neg" (f32.const nan:0x200000)) (f32.const -nan:0x200000))',
        '(assert_return (get "g") (f32.const nan:0x200001))',
        '(assert_return (get "null") (ref.null))',
        '(assert_return (get "null") (ref.null extern))',
        '(assert_return (invoke "two") (i32.const 0xffffffff) (i64.const -1))',
        '(assert_return (invoke "ext" (ref.extern 7)) (ref.extern 7))',
        '(assert_return (invoke "ext" (ref.extern 7)) (ref.extern))',
        '(assert_return (invoke "ext" (ref.null extern)) (ref.null))',
        '(assert_return (invoke "self") (ref.func))',
        '(assert_return (invoke "none" (ref.null func)) (ref.null func))',
        '(assert_return (invoke "div" (i32.const 7) (i32.const 2)) (either (i32.const 4) (i32.const 3)))',
        '(assert_trap (invoke "div" (i32.const 7) (i32.const 0)) "integer divide by zero")',
        '(assert_trap (invoke "load" (i32.const 65533)) "out of bounds memory access")',
        '(assert_exhaustion (invoke "deep") "call stack exhausted")',
        '(assert_malformed (module quote "(func") "unexpected end")',
        '(assert_malformed (module binary "\\00asm") "unexpected end")',
        '(assert_invalid (module (func (result i32))) "type mismatch")',
        '(assert_invalid (module quote "(func (result i32))") "type mismatch")',
        '(assert_unlinkable (module (import "spectest" "print_i32" (func))) "incompatible import type")',
        '(assert_unlinkable (module (import "spectest" "memory" (memory 2))) "incompatible import type")',
        '(assert_unlinkable (module (import "spectest" "table" (table 0 15 funcref))) "incompatible import type")',
        '(assert_unlinkable (module (import "spectest" "absent" (func))) "unknown import")',
        '(assert_trap (module (memory 1) (data (i32.const 65536) "a")) "out of bounds memory access")',
        '(assert_trap (module (func $f unreachable) (start $f)) "unreachable")',
        '(module (import "spectest" "global_i64" (global i64)) (import "spectest" "print_f64_f64" (func (param f64 f64))))',
        '(module (import "spectest" "memory" (memory 1 2)) (import "spectest" "table" (table 10 20 funcref)))',
        '(module (import "spectest" "print_f32" (func $p (param f32))) (func $s f32.const nan call $p) (start $s))',
        "(module definition (memory 65536))",
        '(module quote "(memory 1)")',
        '(module binary "\\00asm\\01\\00\\00\\00")',
    ],
)
def test_what_passes(mode: str, command: str) -> None:
    report = run(command, mode)
    assert report.failures == []
    assert report.passed == 2


@ANY_MODE
@pytest.mark.parametrize(
    ("command", "expected", "found"),
    [
        (
            '(assert_return (invoke "id32" (f32.const nan:0x200000)) (f32.const nan:0x200001))',
            "f32 nan:0x200001 (0x7fa00001)",
            "f32 nan:0x200000 (0x7fa00000)",
        ),
        (
            '(assert_return (invoke "neg" (f32.const nan:0x600000)) (f32.const nan:canonical))',
            "f32 nan (bits",
            "nan:0x600000",
        ),
        (
            '(assert_return (invoke "neg" (f32.const nan:0x200000)) (f32.const nan:arithmetic))',
            "f32 nan (bits",
            "nan:0x200000",
        ),
        ('(assert_return (invoke "neg" (f32.const 0)) (f32.const 0))', "f32 0 (0x0)", "f32 -0 (0x80000000)"),
        ('(assert_return (invoke "two") (i32.const -1))', "i32 0xffffffff", "i32 0xffffffff i64 0xffffffffffffffff"),
        ('(assert_return (invoke "two") (i64.const -1) (i64.const -1))', "i64 0xff", "i32 0xffffffff"),
        ('(assert_return (invoke "two"))', "no result", "i32 0xffffffff i64"),
        ('(assert_return (invoke "ext" (ref.extern 7)) (ref.extern 8))', "externref 0x8", "externref 0x7"),
        ('(assert_return (invoke "ext" (ref.null extern)) (ref.extern))', "externref not null", "externref null"),
        ('(assert_return (invoke "ext" (ref.extern 0)) (ref.null extern))', "externref null", "externref 0x0"),
        ('(assert_return (invoke "self") (ref.null func))', "funcref null", "funcref"),
        ('(assert_return (invoke "none" (ref.null func)) (ref.func))', "funcref not null", "funcref null"),
        ('(assert_return (get "null") (ref.null func))', "funcref null", "externref null"),
        (
            '(assert_return (invoke "div" (i32.const 7) (i32.const 2)) (either (i32.const 4) (i32.const 5)))',
            "one of i32 0x4 i32 0x5",
            "i32 0x3",
        ),
        (
            '(assert_return (invoke "div" (i32.const 7) (i32.const 0)) (i32.const 0))',
            "to be run",
            "trap: integer divide by zero",
        ),
        ('(invoke "div" (i32.const 7) (i32.const 0))', "to be run", "trap: integer divide by zero"),
        (
            '(assert_trap (invoke "div" (i32.const 7) (i32.const 1)) "integer divide by zero")',
            "trap: integer divide",
            "i32 0x7",
        ),
        (
            '(assert_trap (invoke "div" (i32.const 7) (i32.const 0)) "integer overflow")',
            "overflow",
            "trap: integer divide by zero",
        ),
        (
            '(assert_exhaustion (invoke "div" (i32.const 7) (i32.const 0)) "call stack exhausted")',
            "exhausted",
            "by zero",
        ),
        ('(assert_trap (module) "unreachable")', "trap: unreachable", "an instance"),
        (
            '(assert_malformed (module quote "(memory 1)") "unexpected token")',
            "malformed: unexpected",
            "a valid module",
        ),
        (
            '(assert_malformed (module quote "(func (result i32))") "type mismatch")',
            "malformed",
            "invalid: type mismatch",
        ),
        (
            '(assert_invalid (module quote "(func") "type mismatch")',
            "invalid: type mismatch",
            "parseerror: 1:6: unexpected end",
        ),
        ('(assert_invalid (module) "type mismatch")', "invalid", "a valid module"),
        ('(assert_unlinkable (module) "unknown import")', "unlinkable: unknown import", "an instance"),
        ('(assert_unlinkable (module (func (result i32))) "unknown import")', "to be run", "invalid: type mismatch"),
        ('(module (import "spectest" "absent" (func)))', "to be run", "unlinkable: unknown import"),
        ("(module (func (result i32)))", "to be run", "invalid: type mismatch"),
        ('(module (import "nowhere" "f" (func)))', "to be run", "unlinkable: unknown import"),
        ('(invoke "absent")', "to be run", "ScriptError: "),
        ('(invoke "g")', "to be run", "ScriptError: "),
        ('(get "two")', "to be run", "ScriptError: "),
        ('(invoke "id32" (f64.const 0))', "to be run", "ScriptError: operands ['f64'] for parameters ['f32']"),
        ('(invoke "id32")', "to be run", "ScriptError: operands [] for parameters ['f32']"),
        ('(invoke "none" (ref.func 0))', "to be run", "ScriptError: "),
        ('(invoke $absent "two")', "an instance", "none is called $absent"),
        ('(register "it" $absent)', "an instance", "none is called $absent"),
        ("(module instance $I $absent)", "a definition", "none is called $absent"),
        ("(module instance $absent)", "a definition", "none is called $absent"),
        ('(assert_trap (module instance $absent) "")', "a definition", "none is called $absent"),
        ('(assert_trap (module instance) "unreachable")', "trap: unreachable", "an instance"),
        ('(assert_unlinkable (module instance) "unknown import")', "unlinkable: unknown import", "an instance"),
    ],
)
def test_what_fails(mode: str, command: str, expected: str, found: str) -> None:
    report = run(command, mode)
    assert (report.passed, report.failed) == (1, 1)
    failure = report.failures[0]
    assert failure.line == 1 + MODULE.count("\n")
    assert failure.command == command if len(command) <= 100 else command.startswith(failure.command[:-3])
    assert expected in failure.expected
    assert found in failure.found


@pytest.mark.parametrize(
    "command",
    [
        "(module (global $a i32 (global.get $b)) (global $b i32 (i32.const 1)))",
        "(module (global $a (mut i32) (i32.const 1)) (global i32 (global.get $a)))",
        "(module (global i32 (i32.div_s (i32.const 1) (i32.const 2))))",
        "(module (global i32 (i32.load (i32.const 1))))",
    ],
)
def test_what_no_proposal_allows_is_invalid(command: str) -> None:
    assert outcome(f'(assert_invalid {command} "constant expression required")') == (1, 0)


@ANY_MODE
class TestState:
    def test_what_depends_on_a_module_that_failed_fails(self, mode: str) -> None:
        assert outcome('(module (func (result i32))) (invoke "f") (register "A")', mode) == (0, 3)

    def test_threads_have_instances_of_their_own(self, mode: str) -> None:
        commands = """
            (module $A (global (export "g") i32 (i32.const 1)))
            (module $B (global (export "g") i32 (i32.const 2)))
            (thread $T (shared (module $A))
              (assert_return (get $A "g") (i32.const 1))
              (assert_return (get $B "g") (i32.const 2))
              (module (global (export "g") i32 (i32.const 3)))
              (assert_return (get "g") (i32.const 3)))
            (wait $T)
            (assert_return (get "g") (i32.const 2))
            (wait $U)"""
        report = run(commands, mode)
        assert [failure.line for failure in report.failures] == [MODULE.count("\n") + 6, MODULE.count("\n") + 11]
        assert report.passed == 9

    def test_an_exception_is_expected(self, mode: str) -> None:
        assert outcome('(assert_exception (invoke "two"))', mode) == (0, 1)

    def test_names_and_the_last_instance(self, mode: str) -> None:
        commands = """
            (module $A (func (export "f") (result i32) i32.const 1))
            (module $B (func (export "f") (result i32) i32.const 2))
            (assert_return (invoke "f") (i32.const 2))
            (assert_return (invoke $A "f") (i32.const 1))
            (register "x" $A)
            (module (import "x" "f" (func $f (result i32))) (func (export "g") (result i32) call $f))
            (assert_return (invoke "g") (i32.const 1))
            (register "x" $B)
            (module (import "x" "f" (func $f (result i32))) (export "g" (func $f)))
            (assert_return (invoke "g") (i32.const 2))"""
        assert outcome(commands, mode) == (10, 0)

    def test_instances_of_a_definition_are_different(self, mode: str) -> None:
        commands = """
            (module definition $D (global $g (mut i32) (i32.const 0)) (export "g" (global $g))
              (func (export "add") (global.set $g (i32.add (global.get $g) (i32.const 1)))))
            (module instance $I $D)
            (module instance $J $D)
            (invoke $I "add")
            (assert_return (get $I "g") (i32.const 1))
            (assert_return (get $J "g") (i32.const 0))
            (assert_return (get "g") (i32.const 0))"""
        assert outcome(commands, mode) == (7, 0)

    def test_assertions_of_instances_of_a_definition(self, mode: str) -> None:
        commands = """
            (module definition $M (memory 1) (data (i32.const 65536) "x"))
            (assert_trap (module instance $I $M) "out of bounds memory access")
            (assert_trap (module instance $M) "out of bounds memory access")
            (module definition $N (import "nowhere" "g" (global i32)))
            (assert_unlinkable (module instance $N) "unknown import")
            (assert_unlinkable (module instance $I $N) "unknown import")
            (assert_unlinkable (module instance) "unknown import")
            (assert_trap (module instance $M) "out of bounds memory access")
            (assert_uninstantiable (module instance $M) "out of bounds memory access")"""
        assert outcome(commands, mode) == (9, 0)

    def test_the_module_of_an_assertion_is_the_last_definition(self, mode: str) -> None:
        commands = """
            (module definition $N (import "nowhere" "g" (global i32)))
            (assert_trap (module (func $f unreachable) (start $f)) "unreachable")
            (assert_trap (module instance) "unreachable")
            (assert_unlinkable (module instance $N) "unknown import")
            (assert_unlinkable (module (import "nowhere" "f" (func))) "unknown import")
            (assert_unlinkable (module instance) "unknown import")"""
        assert outcome(commands, mode) == (6, 0)

    def test_an_instance_of_a_definition_that_could_not_be_made(self, mode: str) -> None:
        commands = """
            (module definition $M (func (result i32)))
            (assert_trap (module instance $M) "unreachable")
            (assert_unlinkable (module instance $M) "unknown import")"""
        assert outcome(commands, mode) == (0, 3)

    def test_sharing(self, mode: str) -> None:
        commands = """
            (module $A
              (type $t (func (result i32)))
              (memory (export "m") 1 3) (table (export "t") 4 6 funcref) (global (export "g") (mut i64) (i64.const 5))
              (func (export "call") (param i32) (result i32) local.get 0 call_indirect (type $t))
              (func (export "load") (result i32) i32.const 65536 i32.load)
              (func (export "size") (result i32) memory.size))
            (register "A")
            (module $B
              (type $wrong (func (result i64)))
              (import "A" "m" (memory 1)) (import "A" "t" (table 4 funcref)) (import "A" "g" (global $g (mut i64)))
              (func $seven (result i32) global.get $g i32.wrap_i64)
              (func $wrong (result i64) i64.const 1)
              (elem (i32.const 1) $seven $wrong)
              (func (export "grow") (result i32) i32.const 1 memory.grow)
              (func (export "store") i32.const 65536 i32.const 77 i32.store)
              (func (export "set") i64.const 7 global.set $g))
            (assert_trap (invoke $A "load") "out of bounds memory access")
            (assert_return (invoke $B "grow") (i32.const 1))
            (invoke $B "store")
            (invoke $B "set")
            (assert_return (invoke $A "load") (i32.const 77))
            (assert_return (invoke $A "size") (i32.const 2))
            (assert_return (get $A "g") (i64.const 7))
            (assert_return (invoke $A "call" (i32.const 1)) (i32.const 7))
            (assert_trap (invoke $A "call" (i32.const 2)) "indirect call type mismatch")
            (assert_trap (invoke $A "call" (i32.const 0)) "uninitialized element 0")
            (assert_trap (invoke $A "call" (i32.const 4)) "undefined element")
            (module (import "A" "m" (memory 2 3)))
            (assert_unlinkable (module (import "A" "m" (memory 3))) "incompatible")
            (assert_unlinkable (module (import "A" "g" (global i64))) "incompatible")
            (assert_unlinkable (module (import "A" "t" (table 4 externref))) "incompatible")
            (assert_unlinkable (module (import "A" "t" (func))) "incompatible")"""
        assert outcome(commands, mode) == (19, 0)

    def test_what_a_trap_at_instantiation_leaves(self, mode: str) -> None:
        commands = """
            (module $A (memory (export "m") 1) (func (export "f") (result i32) i32.const 0 i32.load8_u))
            (register "A")
            (assert_trap (module (import "A" "m" (memory 1)) (data (i32.const 0) "a") (data (i32.const 65536) "b")) "out of bounds")
            (assert_return (invoke $A "f") (i32.const 97))"""
        assert outcome(commands, mode) == (4, 0)


@pytest.mark.parametrize(
    "text", ["(module", "(assert_nothing)", '(assert_return (invoke "f") (i32.const what))', b"\xff", "what"]
)
def test_what_is_no_script_fails(text: str | bytes) -> None:
    report = run_script(text, new_engine("guard"))
    assert (report.passed, report.failed) == (0, 1)
    assert report.failures[0].line == 1


def test_an_internal_error_is_a_failure_of_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("figwasp.wast.compiled.enter_raw", broken)
    report = run('(invoke "two") (get "g")')
    assert (report.passed, report.failed) == (2, 1)
    assert report.failures[0].found == "ZeroDivisionError: inside"


def test_fields_without_a_module_around_them() -> None:
    report = run_script('(func (export "f")) (memory 0)', new_engine("guard"))
    assert (report.passed, report.failed) == (1, 0)


def test_matching_of_vectors() -> None:
    lanes = 0x7FC0_0000 << 32 | 0x7F80_0001
    pattern = ScriptValue("v128", 0x7FC0_0000 << 32 | 0x7F80_0001, 0x7FFF_FFFF << 32 | 0xFFFF_FFFF)
    assert matches(pattern, Found("v128", lanes))
    assert matches(pattern, Found("v128", lanes | 1 << 63))
    assert not matches(pattern, Found("v128", lanes | 1 << 32))
    assert not matches(pattern, Found("v128", lanes | 1 << 31))
    assert show(Found("v128", 1)) == "v128 0x1"
    assert show_patterns([ScriptValue("", None)]) == "any null"


@contextmanager
def _recursion_limit_kept() -> Iterator[None]:
    import sys

    before = sys.getrecursionlimit()
    yield
    assert sys.getrecursionlimit() == before


def test_the_evaluator_counts_steps_for_each_action(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("figwasp.wast.evaluated._STEPS", 10_000)
    module = """(module (func (export "f") (param i32) (loop
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""
    few, many = '(invoke "f" (i32.const 1000))', '(invoke "f" (i32.const 10000))'
    assert outcome(module + 4 * few + many + few, "evaluate") == (6, 1)


def test_the_evaluator_gives_the_recursion_limit_back() -> None:
    with _recursion_limit_kept():
        assert outcome('(assert_exhaustion (invoke "deep") "call stack exhausted")', "evaluate") == (1, 0)
