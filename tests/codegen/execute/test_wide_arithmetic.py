"""Instructions of the wide-arithmetic proposal, which have two results."""

from __future__ import annotations

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
