"""Number literals against exact rational arithmetic."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figwasp.wasm.text.literals import RANGE_ERROR, float_bits, float_text, integer

INFINITY_32 = 0x7F80_0000


def value_32(bits: int) -> Fraction:
    return Fraction(2) ** 128 if bits == INFINITY_32 else Fraction(struct.unpack(">f", bits.to_bytes(4, "big"))[0])


def rounded_32(value: Fraction) -> int:
    """Round to nearest, ties to even, by bisection over all floats."""
    low, high = 0, INFINITY_32
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if value_32(middle) <= value else (low, middle)
    below, above = value - value_32(low), value_32(high) - value
    nearest = low if below < above or (below == above and low % 2 == 0) else high
    return RANGE_ERROR if nearest == INFINITY_32 else nearest


def as_hex(value: Fraction, point: int) -> str:
    shift = value.denominator.bit_length() - 1
    digits = f"{value.numerator:x}"
    point = 1 + point % len(digits)
    return f"0x{digits[:point]}.{digits[point:]}p{4 * (len(digits) - point) - shift}"


def as_decimal(value: Fraction) -> str:
    shift = value.denominator.bit_length() - 1
    return f"{value.numerator * 5**shift}e-{shift}"


@given(
    st.integers(0, INFINITY_32 - 1),
    st.sampled_from([-1, 0, 1]),
    st.sampled_from([30, 54, 60, 200, 900]),
    st.integers(0, 99),
)
def test_f32_is_rounded_once(bits: int, side: int, far: int, point: int) -> None:
    middle = (value_32(bits) + value_32(bits + 1)) / 2
    value = middle + side * (value_32(bits + 1) - value_32(bits)) / 2**far
    expected = rounded_32(value)
    assert float_bits(as_hex(value, point), 32) == expected
    assert float_bits(as_decimal(value), 32) == expected


@given(st.integers(0, 2**32 - 1))
def test_f32_text_reads_as_the_same_bits(bits: int) -> None:
    assert float_bits(float_text(bits, 32), 32) == bits


@given(st.integers(0, 2**64 - 1))
def test_f64_text_reads_as_the_same_bits(bits: int) -> None:
    assert float_bits(float_text(bits, 64), 64) == bits


@pytest.mark.parametrize(
    ("token", "f32", "f64"),
    [
        ("0", 0, 0),
        ("-0x0", 1 << 31, 1 << 63),
        ("1_0.0_0e+0_1", 0x42C8_0000, 0x4059_0000_0000_0000),
        ("1.", 0x3F80_0000, 0x3FF0_0000_0000_0000),
        ("0x1.", 0x3F80_0000, 0x3FF0_0000_0000_0000),
        ("0x_1", None, None),
        ("0xA.8P-1_0", 0x3C28_0000, 0x3F85_0000_0000_0000),
        ("inf", 0x7F80_0000, 0x7FF0_0000_0000_0000),
        ("-nan", 0xFFC0_0000, 0xFFF8_0000_0000_0000),
        ("+nan:0x1", 0x7F80_0001, 0x7FF0_0000_0000_0001),
        ("nan:0x7f_ffff", 0x7FFF_FFFF, 0x7FF0_0000_007F_FFFF),
        ("nan:0x80_0000", RANGE_ERROR, 0x7FF0_0000_0080_0000),
        ("nan:0x0", RANGE_ERROR, RANGE_ERROR),
        ("nan:0x" + "f" * 5000, RANGE_ERROR, RANGE_ERROR),
        ("1e39", RANGE_ERROR, 0x4807_8287_F49C_4A1D),
        ("340282356779733661637539395458142568447.9", 0x7F7F_FFFF, 0x47EF_FFFF_EFFF_FFFF + 1),
        ("340282356779733661637539395458142568448", RANGE_ERROR, 0x47EF_FFFF_F000_0000),
        ("0x1.ffffffp127", RANGE_ERROR, 0x47EF_FFFF_F000_0000),
        ("0x1.fffffefffp127", 0x7F7F_FFFF, 0x47EF_FFFF_EFFF_0000),
        ("0x1p-150", 0, 0x3690_0000_0000_0000),
        ("0x1." + "0" * 5000 + "1p-150", 1, 0x3690_0000_0000_0000),
        ("7.006492321624085354618e-46", 0, 0x3690_0000_0000_0000),
        ("7.006492321624085354619e-46", 1, 0x3690_0000_0000_0000),
        ("1e" + "9" * 5000, RANGE_ERROR, RANGE_ERROR),
        ("1e-" + "9" * 5000, 0, 0),
        ("0x1p" + "9" * 5000, RANGE_ERROR, RANGE_ERROR),
        ("0x1.000001p+" + "0" * 5000 + "1", 0x4000_0000, 0x4000_0000_1000_0000),
        ("0x1p", None, None),
        (".5", None, None),
        ("1e", None, None),
        ("1__0", None, None),
        ("nan:1", None, None),
        ("inf:0x1", None, None),
        ("infinity", None, None),
        ("nan:canonical", None, None),
    ],
)
def test_float(token: str, f32: int | None, f64: int | None) -> None:
    assert float_bits(token, 32) == f32
    assert float_bits(token, 64) == f64


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        (0, "0"),
        (1 << 31, "-0"),
        (1, "1e-45"),
        (0x3F80_0000, "1"),
        (0x3DCC_CCCD, "0.1"),
        (0x7F7F_FFFF, "3.4028235e+38"),
        (0x7FC0_0000, "nan"),
        (0xFF80_0000, "-inf"),
        (0x7F80_0001, "nan:0x1"),
    ],
)
def test_f32_text(bits: int, text: str) -> None:
    assert float_text(bits, 32) == text


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("0", 0),
        ("-1", -1),
        ("+0x1F", 31),
        ("007", 7),
        ("1_000", 1000),
        ("0xdead_BEEF", 0xDEADBEEF),
        ("0" * 5000 + "12", 12),
        ("-" + "0" * 5000 + "12", -12),
        ("1_", None),
        ("_1", None),
        ("0x", None),
        ("1.0", None),
        ("", None),
        ("--1", None),
    ],
)
def test_integer(token: str, value: int | None) -> None:
    assert integer(token) == value


@pytest.mark.parametrize("digits", ["1" * 41, "9" * 10_000, "1" + "0" * 100_000])
def test_long_integers_are_out_of_every_range(digits: str) -> None:
    positive, negative = integer(digits), integer("-" + digits)
    assert positive is not None and positive >= 1 << 64
    assert negative is not None and negative < -(1 << 63)
