"""Instructions of the wide-arithmetic proposal, which have two results."""

from __future__ import annotations

import random

import pytest

import figwasp
from figwasp import errors


def test_wide_arithmetic_has_two_results() -> None:
    def binary(op: str, count: int) -> str:
        operands = " ".join(f"(local.get {i})" for i in range(count))
        return f'(func (export "{op[4:]}") (param {"i64 " * count}) (result i64 i64) ({op} {operands}))'

    text = binary("i64.add128", 4) + binary("i64.sub128", 4) + binary("i64.mul_wide_s", 2) + binary("i64.mul_wide_u", 2)
    engine = figwasp.Engine(features=figwasp.Engine().features.including("wide-arithmetic"))
    e = figwasp.load(figwasp.wat(f"(module {text})"), engine=engine).exports

    def joined(pair: tuple[int, int]) -> int:
        return (pair[0] % 2**64) | (pair[1] % 2**64) << 64

    edges = (0, 1, 2, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
    for a in edges:
        for b in edges:
            assert joined(e.mul_wide_u(a, b)) == a * b
            signed = (a - (a >> 63 << 64)) * (b - (b >> 63 << 64))
            assert joined(e.mul_wide_s(a, b)) == signed % 2**128
            for c in edges:
                for d in edges:
                    one, other = a | b << 64, c | d << 64
                    assert joined(e.add128(a, b, c, d)) == (one + other) % 2**128
                    assert joined(e.sub128(a, b, c, d)) == (one - other) % 2**128


def test_wide_arithmetic_is_off_until_asked_for() -> None:
    with pytest.raises(errors.Malformed, match="wide-arithmetic"):
        figwasp.load(figwasp.wat("(module (func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1))))"))


LIVE = 12
"""Numbers of 128 bits that are alive at once: twice as many halves as there are registers."""


@pytest.mark.parametrize("seed", range(25))
def test_carries_survive_where_registers_are_short(seed: int) -> None:
    """Numbers in locals, each replaced by results of others: halves are spilled and come back between comparison and `adc`."""
    rng = random.Random(seed)
    numbers = [rng.getrandbits(128) >> rng.choice((0, 1, 63, 64, 100)) for _ in range(LIVE)]
    body = "".join(
        f"(local.set {2 * i} (i64.const {number % 2**64})) (local.set {2 * i + 1} (i64.const {number >> 64}))"
        for i, number in enumerate(numbers)
    )
    body += "(loop"  # whose parameters the locals are
    for _ in range(40):
        target, left, right = (rng.randrange(LIVE) for _ in range(3))
        op = rng.choice(("add128", "sub128", "mul_wide_s", "mul_wide_u"))
        body += f" (local.get {2 * left})"
        if op.endswith("128"):
            body += f" (local.get {2 * left + 1})"
        body += f" (local.get {2 * right})"
        one, other = numbers[left], numbers[right]
        if op.endswith("128"):
            body += f" (local.get {2 * right + 1})"
            result = one + other if op == "add128" else one - other
        else:
            one, other = one % 2**64, other % 2**64
            if op == "mul_wide_s":
                one, other = one - (one >> 63 << 64), other - (other >> 63 << 64)
            result = one * other
        body += f" i64.{op} local.set {2 * target + 1} local.set {2 * target}"
        numbers[target] = result % 2**128
    body += f" (br_if 0 (global.get $never))) {' '.join(f'(local.get {i})' for i in range(2 * LIVE))}"
    results = "(result " + " i64" * (2 * LIVE) + ")"
    text = f'(global $never (mut i32) (i32.const 0)) (func (export "f") {results} (local {"i64 " * (2 * LIVE)}) {body})'
    engine = figwasp.Engine(features=figwasp.Engine().features.including("wide-arithmetic"))
    found = figwasp.load(figwasp.wat(f"(module {text})"), engine=engine).exports.f()
    halves = [half for number in numbers for half in (number % 2**64, number >> 64)]
    assert [half % 2**64 for half in found] == halves
