"""The wasm stack: recursion of every kind ends in Exhaustion, exactly, and the instance goes on."""

from __future__ import annotations

import re

import pytest

import figwasp
from tests.runtime.support import check_script, host, load

PLAIN = """(module
  (func $f (export "forever") (call $f))
  (func $a (export "mutual") (param i64) (result i64) (i64.add (call $b (local.get 0)) (i64.const 1)))
  (func $b (param i64) (result i64) (i64.mul (call $a (local.get 0)) (i64.const 3)))
  (type $t (func (param i32) (result i32)))
  (table 1 funcref) (elem (i32.const 0) func $i)
  (func $i (export "indirect") (type $t) (i32.add (i32.const 1) (call_indirect (type $t) (local.get 0) (i32.const 0))))
  (func $n (export "count") (param i32) (result i32)
    (if (result i32) (local.get 0) (then (i32.add (i32.const 1) (call $n (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))
  (func $args (export "args") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (i32.add (local.get 11) (call $args (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6)
      (local.get 7) (local.get 8) (local.get 9) (local.get 10) (local.get 11) (local.get 0)))))"""


def exhausted(func: figwasp.Func, *args: object) -> figwasp.Exhaustion:
    """Call, expect the stack to run out, return the exception."""
    with pytest.raises(figwasp.Exhaustion) as caught:
        func(*args)
    assert caught.value.code == "call stack exhausted"
    return caught.value


def test_recursions_end_in_exhaustion() -> None:
    """Plain, mutual and indirect recursion, and one with stack arguments, all end; each leaves the whole stack for the next."""
    inst = load(PLAIN)
    for _ in range(3):
        assert len(exhausted(inst.forever).frames) > 1000
        assert {frame.name for frame in exhausted(inst.mutual, 1).frames} == {"a", "b"}
        exhausted(inst.indirect, 0)
        exhausted(inst.args, *range(12))
        assert inst.count(3000) == 3000


def test_exhaustion_is_a_trap() -> None:
    """Exhaustion is caught by whoever catches traps and figwasp errors."""
    inst = load(PLAIN)
    with pytest.raises(figwasp.Trap):
        inst.forever()
    with pytest.raises(figwasp.Error):
        inst.forever()


def test_depth_is_exact_and_repeatable() -> None:
    """The deepest recursion that works works again after a failure, and one level more fails again."""
    inst = load(PLAIN)
    low, high = 1000, 1 << 24
    while high - low > 1:
        middle = (low + high) // 2
        try:
            inst.count(middle)
            low = middle
        except figwasp.Exhaustion:
            high = middle
    for _ in range(20):
        assert inst.count(low) == low
        exhausted(inst.count, low + 1)


def big_frame(count: int, type_: str) -> str:
    """Write a function with many locals alive across a recursive call, computed from its parameter."""
    sets = "".join(f"(local.set {k + 1} ({type_}.add (local.get {k}) ({type_}.const {k})))" for k in range(count))
    total = "".join(f"(local.set 0 ({type_}.add (local.get 0) (local.get {k + 1})))" for k in range(count))
    return f"""(func $big{count}{type_} (export "big{count}{type_}") (param {type_}) (param $n i32) (result {type_})
      (local {" ".join([type_] * count)})
      (if (i32.eqz (local.get $n)) (then (return (local.get 0))))
      {shift(sets)}
      (local.set 0 (call $big{count}{type_} (local.get 0) (i32.sub (local.get $n) (i32.const 1))))
      {shift(total)}
      (local.get 0))"""


def shift(text: str) -> str:
    """Make room for the second parameter: locals from 1 are one further."""
    return re.sub(r"local\.(get|set) (\d+)", lambda m: f"local.{m[1]} {int(m[2]) + (int(m[2]) > 0)}", text)


def model(count: int, first: float, levels: int) -> float:
    """Compute what `big_frame` does."""
    if levels == 0:
        return first
    values = []
    last = first
    for k in range(count):
        last = last + k
        values.append(last)
    return model(count, first, levels - 1) + sum(values)


@pytest.mark.parametrize(("count", "type_"), [(100, "i64"), (600, "i32"), (600, "f64"), (3000, "i64"), (3000, "f64")])
def test_large_frames(count: int, type_: str) -> None:
    """Functions with hundreds or thousands of values alive across a recursive call compute right and end in Exhaustion."""
    inst = load("(module " + big_frame(count, type_) + ")")
    func = inst.exports[f"big{count}{type_}"]
    for levels in (0, 1, 2, 5):
        expected = model(count, 1, levels)
        assert func(1, levels) == expected
    for _ in range(3):
        exhausted(func, 1, 1_000_000)
        assert func(1, 3) == model(count, 1, 3)


def test_large_frame_called_at_the_very_end() -> None:
    """A large frame that no longer fits is noticed at whatever depth it is called."""
    inst = load(
        "(module "
        + big_frame(3000, "i64")
        + """(func $down (export "down") (param i32) (result i64)
          (if (result i64) (local.get 0) (then (i64.add (i64.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
            (else (call $big3000i64 (i64.const 1) (i32.const 1))))))"""
    )
    expected = model(3000, 1, 1)
    ended = 0
    for depth in range(0, 60_000, 997):
        try:
            assert inst.down(depth) == expected + depth
        except figwasp.Exhaustion as error:
            assert error.frames  # noqa: PT017
            ended += 1
    assert ended


def test_recursion_through_host_functions() -> None:
    """Recursion with host calls in the cycle ends in Exhaustion or RecursionError, and the instance goes on."""
    inst = load(
        """(module (import "host" "f" (func $f (param i32) (result i32)))
        (func $wide (export "wide") (param i32) (result i32)
          (if (result i32) (i32.eqz (i32.and (local.get 0) (i32.const 4095)))
            (then (call $f (local.get 0))) (else (i32.add (i32.const 1) (call $wide (i32.sub (local.get 0) (i32.const 1))))))))""",
        host(f=lambda x: inst.wide(x + 4095) + 1),  # type: ignore[has-type]
    )
    for _ in range(3):
        with pytest.raises((figwasp.Exhaustion, RecursionError)):
            inst.wide(4095)


def test_exhaustion_inside_nested_chain_is_caught_by_the_host() -> None:
    """A host function may catch the exhaustion of an inner call; the outer call goes on with the same stack."""
    caught: list[figwasp.Exhaustion] = []

    def f(x: int) -> int:
        try:
            inst.forever()
        except figwasp.Exhaustion as error:
            caught.append(error)
        return x + 1

    inst = load(
        """(module (import "host" "f" (func $f (param i32) (result i32))) (func $r (export "forever") (call $r))
        (func $n (export "down") (param i32 i64) (result i32)
          (if (result i32) (local.get 0)
            (then (i32.add (call $n (i32.sub (local.get 0) (i32.const 1)) (local.get 1)) (i32.wrap_i64 (local.get 1))))
            (else (call $f (i32.const 41))))))""",
        host(f=f),
    )
    for depth in (0, 10, 1000):
        assert inst.down(depth, 1) == 42 + depth
    assert len(caught) == 3 and all(frame.name == "r" for error in caught for frame in error.frames[:100])


def test_many_frames_are_shortened_in_text() -> None:
    """The text of a long backtrace shows the innermost and the outermost frames and counts the rest."""
    error = exhausted(load(PLAIN).forever)
    lines = error.backtrace.splitlines()
    assert len(lines) == 31 and lines[20] == f"... {len(error.frames) - 30} more"
    assert [lines[k] for k in (0, 30)] == [str(error.frames[k]) for k in (0, -1)]


def test_leaf_at_the_very_end() -> None:
    """Functions without a check of their own may still run at the deepest level."""
    inst = load(
        """(module (memory 1)
        (func $leaf (param i32) (result i32) (local i64 i64 i64 i64) (i32.load (i32.and (local.get 0) (i32.const 1020))))
        (func $n (export "down") (param i32) (result i32)
          (if (result i32) (local.get 0) (then (i32.add (call $leaf (local.get 0)) (call $n (i32.sub (local.get 0) (i32.const 1)))))
            (else (call $leaf (i32.const 0))))))"""
    )
    for depth in range(10_000, 70_000, 1013):
        try:
            assert inst.down(depth) == 0
        except figwasp.Exhaustion:
            continue


def test_compiling_at_the_very_end_of_the_stack() -> None:
    """A function first called, and so compiled, at the deepest level does not overrun the stack."""
    check_script("""
        import figwasp
        count = 60
        text = "(module " + "".join(
            f'(func $f{k} (param i32 f64) (result i32) (i32.add (local.get 0) (i32.trunc_f64_s (local.get 1))))' for k in range(count)
        ) + '''(table funcref (elem ''' + " ".join(f"$f{k}" for k in range(count)) + '''))
          (type $t (func (param i32 f64) (result i32)))
          (func $n (export "down") (param i32 i32) (result i32)
          (if (result i32) (local.get 0)
            (then (i32.add (i32.const 0) (call $n (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))
            (else (call_indirect (type $t) (i32.const 1) (f64.const 2) (local.get 1))))))'''
        inst = figwasp.load(figwasp.wat(text))
        low, high = 10, 1 << 22
        fresh = iter(range(count))
        while high - low > 1:
            middle = (low + high) // 2
            try:
                assert inst.down(middle, next(fresh)) == 3
                low = middle
            except figwasp.Exhaustion:
                high = middle
        for k in range(16):
            try:
                inst.down(low - 8 + k, next(fresh))
            except figwasp.Exhaustion:
                pass
        assert inst.down(low, next(fresh)) == 3
    """)
