"""Words of the command line as arguments of `--invoke`."""

from __future__ import annotations

import math
import struct

import pytest

from figwasp.cli.running.values import BadArgument, parse_arguments, show_results
from figwasp.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, V128


@pytest.mark.parametrize(
    ("word", "code", "value"),
    [
        ("-2147483648", I32, -(1 << 31)),
        ("4294967295", I32, (1 << 32) - 1),
        ("0xffff_ffff", I32, (1 << 32) - 1),
        ("-0x10", I32, -16),
        ("18446744073709551615", I64, (1 << 64) - 1),
        ("-9223372036854775808", I64, -(1 << 63)),
        ("1e3", F64, 1000.0),
        ("0x1.8p3", F64, 12.0),
        ("-inf", F32, -math.inf),
        ("i32x4:1,-1,0x10,4", V128, struct.pack("<4i", 1, -1, 16, 4)),
        ("f64x2:1.5,nan:0x8000000000001", V128, struct.pack("<dQ", 1.5, 0x7FF8_0000_0000_0001)),
        ("0x0102", V128, bytes([2, 1] + 14 * [0])),
        ("-1", V128, 16 * b"\xff"),
    ],
)
def test_values(word: str, code: int, value: float | bytes) -> None:
    assert parse_arguments([word], bytes([code])) == [value]


def test_nan() -> None:
    (value,) = parse_arguments(["nan"], bytes([F64]))
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("words", "params", "complaint"),
    [
        (["-2147483649"], [I32], "argument 1: -2147483649 does not fit in i32"),
        (["4294967296"], [I32], "does not fit in i32"),
        (["1", "18446744073709551616"], [I32, I64], "argument 2: 18446744073709551616 does not fit in i64"),
        (["1.5"], [I32], "argument 1: '1.5' is not of type i32"),
        (["one"], [F64], "'one' is not of type f64"),
        (["0xg"], [F64], "'0xg' is not of type f64"),
        (["0x1p9999"], [F64], "'0x1p9999' is not of type f64"),
        (["f"], [FUNCREF], "no funcref can be given on the command line"),
        (["x"], [EXTERNREF], "no externref can be given on the command line"),
        (["i32x4:1,2,3"], [V128], "'i32x4:1,2,3' is not of type v128"),
        (["i8x16:1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,256"], [V128], "is not of type v128"),
        (["f32x4"], [V128], "'f32x4' is not of type v128"),
        (["i32x4:1,2,3,4 )"], [V128], "is not of type v128"),
        (["0x100000000000000000000000000000000"], [V128], "does not fit in v128"),
        ([], [I32, F64], r"0 arguments given, 2 expected \(i32 f64\)"),
        (["1"], [], r"1 arguments given, 0 expected \(none\)"),
    ],
)
def test_refused(words: list[str], params: list[int], complaint: str) -> None:
    with pytest.raises(BadArgument, match=complaint):
        parse_arguments(words, bytes(params))


def test_results() -> None:
    assert show_results(None, b"") == []
    assert show_results(7, bytes([I32])) == ["7"]
    assert show_results((1, -0.5), bytes([I64, F64])) == ["1", "-0.5"]
    assert show_results(struct.pack("<4i", 1, -1, 16, 4), bytes([V128])) == ["i32x4:0x1,0xffffffff,0x10,0x4"]
    assert show_results(None, bytes([EXTERNREF])) == ["null"]
    assert show_results((None, ()), bytes([FUNCREF, EXTERNREF])) == ["null", "()"]


@pytest.mark.parametrize("word", ["0.1", "3.1415927", "16777216.0", "3.4028235e+38", "1e-45", "1.1754944e-38", "-0.0", "inf", "nan"])
def test_an_f32_has_its_own_digits(word: str) -> None:
    value = struct.unpack("<f", struct.pack("<f", float(word)))[0]
    assert show_results(value, bytes([F32])) == [word]
