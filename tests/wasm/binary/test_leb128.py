"""LEB128: values, shortest forms, padded forms, and every way to be malformed."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from figwasp.errors import Malformed
from figwasp.wasm.binary import leb128
from tests.wasm.handmade import s, u


@given(st.integers(0, 2**64 - 1))
def test_unsigned_round_trip(value: int) -> None:
    raw = u(value)
    assert leb128.unsigned(raw + b"\xff", 0, 64) == (value, len(raw))
    assert leb128.skip(raw, 0) == len(raw)


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_round_trip(value: int) -> None:
    raw = s(value)
    assert leb128.signed(raw + b"\xff", 0, 64) == (value, len(raw))


@pytest.mark.parametrize(
    ("raw", "bits", "value"),
    [
        ("00", 32, 0),
        ("7f", 32, -1),
        ("40", 32, -64),
        ("ff00", 32, 127),
        ("8080808078", 32, -(2**31)),
        ("ffffffff07", 32, 2**31 - 1),
        ("8080808000", 32, 0),
        ("ffffffff7f", 32, -1),
        ("8080808080808080807f", 64, -(2**63)),
        ("ffffffffffffffffff00", 64, 2**63 - 1),
        ("ffffffff0f", 33, 2**32 - 1),
        ("8080808070", 33, -(2**32)),
    ],
)
def test_signed(raw: str, bits: int, value: int) -> None:
    data = bytes.fromhex(raw)
    assert leb128.signed(data, 0, bits) == (value, len(data))


@pytest.mark.parametrize(
    ("raw", "value"),
    [("00", 0), ("7f", 127), ("8000", 0), ("8080808000", 0), ("ffffffff0f", 2**32 - 1), ("e58e26", 624485)],
)
def test_u32(raw: str, value: int) -> None:
    data = bytes.fromhex(raw)
    assert leb128.read_u32(b"\xff" + data, 1) == (value, len(data) + 1)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", "unexpected end"),
        ("80", "unexpected end"),
        ("808080808000", "integer representation too long"),
        ("ffffffff1f", "integer too large"),
        ("8080808010", "integer too large"),
        ("ffffffff7f", "integer too large"),
    ],
)
def test_malformed_u32(raw: str, message: str) -> None:
    with pytest.raises(Malformed, match=message) as caught:
        leb128.read_u32(bytes.fromhex(raw), 0)
    assert caught.value.offset == 0


@pytest.mark.parametrize(
    ("raw", "bits", "message"),
    [
        ("", 32, "unexpected end"),
        ("8080", 32, "unexpected end"),
        ("808080808000", 32, "integer representation too long"),
        ("ffffffff0f", 32, "integer too large"),
        ("8080808008", 32, "integer too large"),
        ("8080808070", 32, "integer too large"),
        ("8080808077", 32, "integer too large"),
        ("80808080808080808001", 64, "integer too large"),
        ("ffffffffffffffffff7e", 64, "integer too large"),
        ("8080808080808080808000", 64, "integer representation too long"),
        ("ffffffff1f", 33, "integer too large"),
    ],
)
def test_malformed_signed(raw: str, bits: int, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        leb128.signed(bytes.fromhex(raw), 0, bits)
