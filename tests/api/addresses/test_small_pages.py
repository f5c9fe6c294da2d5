"""Memories with pages of one byte, which end anywhere."""

from __future__ import annotations

import pytest

import figwasp
from figwasp import errors
from tests.api.addresses.support import MODES, PAGE, Load, access, loader, traps


@pytest.fixture(params=MODES)
def load(request: pytest.FixtureRequest) -> Load:
    return loader(request.param)


def test_small_pages_end_anywhere(load: Load) -> None:
    grow = '(func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))(func (export "size") (result i32) (memory.size))'
    instance = load(f'(memory (export "m") 10 200000 (pagesize 1)) (data (i32.const 4) "abcdef") {grow} {access("i32", 0, "i32")}')
    e = instance.exports
    assert (len(e.m), e.m.pages, e.m.page_size, e.size()) == (10, 10, 1, 10) and repr(e.m) == "<figwasp.Memory of 10 pages>"
    assert e.get(6) == int.from_bytes(b"cdef", "little") and traps(e.get, 7) and traps(e.set, 7)
    length = 10
    for delta in (0, 1, 4095, 61430, 0, 1, 70000, 3):
        assert e.grow(delta) == length
        length += delta
        assert len(e.m) == length == e.size()
        e.set(length - 4)
        assert e.get(length - 4) == 1 and e.m.read_u32(length - 4) == 1 and traps(e.get, length - 3) and traps(e.set, 2**32 - 1)
    assert e.grow(200001 - length) == -1 and e.grow(-1) == -1 and e.size() == length
    assert e.m.grow(200000 - length) == length and len(e.m) == 200000
    assert e.m[length:] == bytes(200000 - length)


def test_small_pages_with_64_bit_addresses(load: Load) -> None:
    instance = load(f'(memory (export "m") i64 100 (pagesize 1)) {access("i64", 90, "i64")}')
    assert not traps(instance.exports.get, 2)
    for offset in (90, 93, 101, 300):
        instance = load(f'(memory (export "m") i64 100 (pagesize 1)) {access("i64", offset, "i64")}')
        for index in (3, PAGE, 2**32, 2**63, 2**64 - offset - 1, 2**64 - offset, 2**64 - 1):
            assert traps(instance.exports.get, index) and traps(instance.exports.set, index)


def test_small_pages_given_back_come_again_as_zeros() -> None:
    """The reservations of memories that have gone are used again: what is accessible of them is what was kept account of."""
    for minimum in (1, 70000, 10, 65536, 131073):
        memory = figwasp.Memory(minimum, 1 << 20, page_size=1)
        assert memory[:] == bytes(minimum)
        memory.grow(3)
        memory[:] = b"\xff" * (minimum + 3)
        del memory
        memory = figwasp.Memory(65536 * (-(-minimum // 65536)), 1 << 20, page_size=1)
        assert memory[:] == bytes(len(memory))
        memory[:] = b"\x55" * len(memory)
        del memory


def test_small_pages_match_only_small_pages(load: Load) -> None:
    fields = '(import "env" "m" (memory 1 (pagesize {})))'
    load(fields.format(1), {"env": {"m": figwasp.Memory(1, page_size=1)}})
    for page, given in ((1, 65536), (65536, 1)):
        with pytest.raises(errors.Unlinkable, match="memory 1"):
            load(fields.format(page), {"env": {"m": figwasp.Memory(1, page_size=given)}})


def test_constant_addresses_are_checked_at_an_end_within_a_page(load: Load) -> None:
    instance = load(
        """(memory 70000 70001 (pagesize 1))
        (func (export "inside") (result i32) (i32.load (i32.const 69996)))
        (func (export "across") (result i32) (i32.load offset=69900 (i32.const 97)))
        (func (export "masked") (param i32) (result i32) (i32.load offset=69742 (i32.and (local.get 0) (i32.const 255))))
        (func (export "grow") (result i32) (memory.grow (i32.const 1)))"""
    )
    e = instance.exports
    assert e.inside() == 0 and traps(e.across) and not traps(e.masked, 254) and traps(e.masked, 255)
    assert e.grow() == 70000 and e.across() == 0 and e.masked(255) == 0


def test_the_number_of_small_pages_is_an_address(load: Load) -> None:
    memory = load('(memory (export "m") 1 (pagesize 1))').exports.m
    with pytest.raises(MemoryError):
        memory.grow(2**32 - 1)
    assert memory.pages == 1
