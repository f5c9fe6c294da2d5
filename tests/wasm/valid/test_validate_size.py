"""Validation of bodies out of proportion: each is checked, or refused with `LimitExceeded`, in bounded time and memory."""

from __future__ import annotations

import pytest

from figwasp.errors import LimitExceeded
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.types import I32
from figwasp.wasm.valid.module import FuncFacts, validate
from tests.wasm.handmade import binary, entry, func_type, one_func, section, u, vec


def facts_of(data: bytes) -> FuncFacts:
    return validate(decode(data))[0]


def test_a_huge_function() -> None:
    body = b"".join(b"\x41\1\x21" + u(index % 50_000) for index in range(100_000))
    facts = facts_of(one_func(body, local_types=bytes((I32,)) * 50_000))
    assert facts.num_ops == 200_001
    assert facts.written == {-1: (1 << 50_000) - 1}


def test_deep_nesting() -> None:
    depth = 50_000
    body = b"\x03\x40" * depth + b"\x41\1\x0d" + u(depth - 1) + b"\x41\0\x21\0" + b"\x0b" * depth
    facts = facts_of(one_func(body, local_types=bytes((I32,))))
    assert len(facts.written) == depth + 1
    assert set(facts.written.values()) == {1}


def test_a_wide_br_table() -> None:
    labels = b"".join(u(index) for index in range(10_000))
    body = b"\x02\x40" * 10_000 + b"\x41\0\x0e" + u(9_999) + labels + b"\x0b" * 10_000
    assert facts_of(one_func(body)).num_ops == 20_003
    with pytest.raises(LimitExceeded, match="br_table with 65521 labels"):
        facts_of(one_func(b"\x41\0\x0e" + u(65_521) + b"\0" * 65_522))


def test_calls_that_push_without_end() -> None:
    many = func_type(b"", bytes((I32,)) * 1000)
    data = binary(
        section(1, vec([func_type(), many])),
        section(3, vec([u(0), u(1)])),
        section(10, vec([entry(b"\x10\1" * 10_000 + b"\0\x0b"), entry(b"\0\x0b")])),
    )
    with pytest.raises(LimitExceeded, match="operands on the stack"):
        validate(decode(data))


def test_written_sets_without_end() -> None:
    body = b"".join(b"\x02\x40\x41\1\x21" + u(49_999 - index % 50_000) for index in range(60_000)) + b"\x0b" * 60_000
    with pytest.raises(LimitExceeded, match="too many locals in too many blocks"):
        facts_of(one_func(body, local_types=bytes((I32,)) * 50_000))


SUPPLY = b"\x41\0" * 1000


def thousand(instrs: bytes) -> bytes:
    """Encode a module whose function 0 has a thousand operands on the stack before the instructions.

    Function 1 takes and gives a thousand i32; function 2 takes a thousand anyref and gives as many structref.
    """
    wide = func_type(bytes((I32,)) * 1000, bytes((I32,)) * 1000)
    refs = func_type(b"\x6e" * 1000, b"\x6b" * 1000)
    bodies = [entry(SUPPLY + instrs + b"\0\x0b"), entry(b"\0\x0b"), entry(b"\0\x0b")]
    return binary(section(1, vec([func_type(), wide, refs])), section(3, vec([u(0), u(1), u(2)])), section(10, vec(bodies)))


@pytest.mark.parametrize(
    "instrs",
    [b"\x10\1" * 20_000, b"\0" + b"\x10\2" * 20_000, b"\x02\1" + b"\x41\0\x0d\0" * 20_000],
    ids=["call", "subtypes", "br_if"],
)
def test_operands_out_of_proportion(instrs: bytes) -> None:
    with pytest.raises(LimitExceeded, match="compares more types than its size allows"):
        validate(decode(thousand(instrs)))


def test_a_few_wide_calls_are_fine() -> None:
    assert validate(decode(thousand(b"\x10\1" * 5000)))[0].num_ops == 6002


def test_array_new_fixed_in_dead_code() -> None:
    array = b"\x5e\x7f\0"
    body = b"\0" + b"\xfb\x08\1\x90\x4e\x1a" * 2000
    with pytest.raises(LimitExceeded, match="compares more types than its size allows"):
        validate(decode(one_func(body, types=[array])))
    with pytest.raises(LimitExceeded, match=r"array.new_fixed of 10001 elements; the limit is 10000"):
        validate(decode(one_func(b"\0\xfb\x08\1\x91\x4e\x1a", types=[array])))


def test_locals_of_all_functions_without_end() -> None:
    body = b"\1" + u(50_000) + b"\x7f\x0b"
    huge = u(len(body)) + body
    data = binary(section(1, vec([func_type()])), section(3, vec([u(0)] * 2000)), section(10, vec([huge] * 2000)))
    with pytest.raises(LimitExceeded, match="the functions up to it declare and assign too many locals"):
        validate(decode(data))
