"""Memories with 64-bit addresses: every check of an access, the instructions, growth, host objects; hostile programs."""

from __future__ import annotations

import pytest

import figwasp
from figwasp import errors
from tests.api.addresses.support import MODES, PAGE, Load, access, loader, traps

OFFSETS = (
    *(0, 1, 8, PAGE - 8, PAGE - 7, PAGE, 2**19 - 8, 2**19 - 7, 2**20, 2**31 - 8, 2**31 - 7, 2**32, 2**47),
    *(2**63, 2**64 - 8, 2**64 - 1),
)
INDICES = (
    *(0, 1, 7, PAGE - 9, PAGE - 8, PAGE - 7, PAGE - 1, PAGE, 2**19, 2**31, 2**32 - 1, 2**32, 2**47),
    *(2**63, 2**64 - PAGE, 2**64 - 8, 2**64 - 1),
)


@pytest.fixture(params=MODES)
def load(request: pytest.FixtureRequest) -> Load:
    return loader(request.param)


@pytest.mark.parametrize("offset", OFFSETS)
def test_every_sum_of_index_and_offset_is_checked_without_wrapping(load: Load, offset: int) -> None:
    instance = load(f'(memory (export "m") i64 1) {access("i64", offset, "i64")}')
    for index in (*INDICES, PAGE - 8 - offset, PAGE - 7 - offset, -offset, 2**64 - offset):
        index %= 2**64
        fits = index + offset + 8 <= PAGE
        assert traps(instance.exports.get, index) is not fits, hex(index)
        assert traps(instance.exports.set, index) is not fits, hex(index)
        if fits:
            assert instance.exports.m.read_u64(index + offset) == 1
            instance.exports.m.write_u64(index + offset, 0)
    assert instance.exports.m[:] == bytes(PAGE)


@pytest.mark.parametrize("offset", [offset for offset in OFFSETS if offset < 2**32])
def test_32_bit_memories_are_checked_likewise(load: Load, offset: int) -> None:
    instance = load(f'(memory (export "m") 1) {access("i64", offset, "i32")}')
    for index in {number for number in (*INDICES, PAGE - 8 - offset, PAGE - 7 - offset) if 0 <= number < 2**32}:
        assert traps(instance.exports.get, index) is not (index + offset + 8 <= PAGE), hex(index)
        assert traps(instance.exports.set, index) is not (index + offset + 8 <= PAGE), hex(index)


def test_constant_addresses_are_checked_where_the_memory_may_be_too_small(load: Load) -> None:
    instance = load(
        """(memory (export "m") i64 1 2)
        (func (export "inside") (result i32) (i32.load (i64.const 65532)))
        (func (export "across") (result i32) (i32.load (i64.const 65533)))
        (func (export "after") (result i32) (i32.load offset=70000 (i64.const 0)))
        (func (export "minus") (result i32) (i32.load offset=8 (i64.const -8)))
        (func (export "masked") (param i64) (result i32) (i32.load offset=65278 (i64.and (local.get 0) (i64.const 255))))
        (func (export "grow") (result i64) (memory.grow (i64.const 1)))"""
    )
    e = instance.exports
    assert e.inside() == 0 and traps(e.across) and traps(e.after) and traps(e.minus)
    assert e.masked(254) == 0 and e.masked(2**40 + 254) == 0
    assert not traps(e.masked, 254) and traps(e.masked, 255)
    assert e.grow() == 1 and e.across() == 0 and e.after() == 0 and traps(e.minus) and e.masked(255) == 0


def test_memory_instructions_take_and_give_i64(load: Load) -> None:
    instance = load(
        """(memory (export "m") i64 1 4) (data (i64.add (i64.const 60000) (i64.const 5)) "active") (data $d "passive")
        (func (export "size") (result i64) (memory.size))
        (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
        (func (export "fill") (param i64 i32 i64) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
        (func (export "copy") (param i64 i64 i64) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
        (func (export "init") (param i64 i32 i32) (memory.init $d (local.get 0) (local.get 1) (local.get 2)))"""
    )
    e = instance.exports
    assert e.m.read(60005, 6) == b"active"
    assert (e.size(), e.grow(0), e.grow(2), e.size(), len(e.m)) == (1, 1, 1, 3, 3 * PAGE)
    for delta in (2, 2**16, 2**47, 2**48, 2**63, 2**64 - 3, 2**64 - 1):
        assert e.grow(delta) == -1
    assert e.grow(1) == 3 and e.size() == 4
    e.init(0, 0, 7)
    e.copy(4 * PAGE - 7, 0, 7)
    assert e.m.read(4 * PAGE - 7, 7) == b"passive"
    e.fill(1, ord("x"), 3)
    assert e.m[:7] == b"pxxxive"
    for call, *args in (
        (e.fill, 2**64 - 1, 0, 1), (e.fill, 1, 0, 2**64 - 1), (e.fill, 2**63, 0, 2**63), (e.fill, 4 * PAGE + 1, 0, 0),
        (e.copy, 2**64 - 4, 0, 8), (e.copy, 0, 2**64 - 4, 8), (e.copy, 0, 1, 2**64 - 1),
        (e.init, 2**64 - 1, 0, 1), (e.init, 4 * PAGE, 0, 1), (e.init, 0, 7, 1),
    ):  # fmt: skip
        assert traps(call, *args), args
    assert e.m[:7] == b"pxxxive"


def test_copies_between_memories_of_both_kinds(load: Load) -> None:
    instance = load(
        """(memory $a (export "a") i64 2) (memory $b (export "b") 1) (data (memory $b) (i32.const 3) "from b")
        (func (export "up") (param i64 i32 i32) (memory.copy $a $b (local.get 0) (local.get 1) (local.get 2)))
        (func (export "down") (param i32 i64 i32) (memory.copy $b $a (local.get 0) (local.get 1) (local.get 2)))"""
    )
    e = instance.exports
    e.up(PAGE + 10, 3, 6)
    assert e.a.read(PAGE + 10, 6) == b"from b"
    e.down(PAGE - 6, PAGE + 10, 6)
    assert e.b.read(PAGE - 6, 6) == b"from b"
    assert traps(e.up, 2**32, 0, 1) and traps(e.up, 0, PAGE, 1) and traps(e.down, 0, 2**32, 1) and traps(e.down, 0, 0, -1)


def test_a_segment_beyond_the_end_traps(load: Load) -> None:
    for offset in (PAGE - 1, 2**32, 2**63, 2**64 - 1):
        with pytest.raises(errors.Trap, match="out of bounds memory access"):
            load(f'(memory i64 1) (data (i64.const {offset}) "ab")')


def test_growing_reaches_what_the_engine_allows_and_no_more(load: Load) -> None:
    grow = '(func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))'
    instance = load(f'(memory (export "m") i64 1 0x1000000000000) {grow} {access("i32", 0, "i64")}', max_memory=10 * PAGE)
    assert instance.exports.grow(9) == 1 and instance.exports.grow(1) == -1
    assert instance.exports.get(10 * PAGE - 4) == 0 and traps(instance.exports.get, 10 * PAGE - 3)
    unlimited = load(f'(memory (export "m") i64 0) {grow}')
    assert unlimited.exports.grow(2**40) == -1 and unlimited.exports.grow(3) == 0 and unlimited.exports.m.pages == 3


def test_a_minimum_that_no_process_has_is_refused(load: Load) -> None:
    for pages in (2**31 + 1, 2**47, 2**48):
        with pytest.raises(errors.LimitExceeded, match="a memory of"):
            load(f"(memory i64 {pages})")
    with pytest.raises(errors.LimitExceeded, match="max_memory"):
        load("(memory i64 17)", max_memory=16 * PAGE)
    with pytest.raises(errors.Invalid, match="memory size"):
        load("(memory i64 0x1000000000001)")


def test_a_memory_beyond_4_gib(load: Load) -> None:
    try:
        instance = load(f'(memory (export "m") i64 65538) {access("i32", 2**32, "i64")}')
    except errors.LimitExceeded as error:
        pytest.skip(str(error))
    instance.exports.set(PAGE)
    assert instance.exports.m.read_u32(2**32 + PAGE) == 1 and instance.exports.get(PAGE) == 1 and len(instance.exports.m) > 2**32
    assert not traps(instance.exports.get, 2 * PAGE - 4) and traps(instance.exports.get, 2 * PAGE - 3)
    assert traps(instance.exports.get, 2**64 - 2**32)


def test_code_of_a_guarded_module_uses_a_memory_made_without_guard_pages(load: Load) -> None:
    memory = load('(memory (export "m") i64 1)').exports.m
    for mode in MODES:
        module = figwasp.Module(
            figwasp.wat(f'(module (import "" "m" (memory i64 1)) (memory $own 1) {access("i32", 16, "i64")})'),
            engine=figwasp.Engine(memory=mode),
        )
        instance = figwasp.load(module, {"": {"m": memory}})
        assert not traps(instance.exports.get, PAGE - 20) and traps(instance.exports.get, PAGE - 19)
        assert traps(instance.exports.get, 2**64 - 16)


# Host objects


def test_host_memories_have_the_address_type_they_are_given() -> None:
    memory = figwasp.Memory(1, 2**40, address="i64")
    assert repr(memory.type) == f"memory i64 1 {2**40}" and (memory.pages, memory.page_size) == (1, PAGE)
    assert memory.grow(2) == 1 and len(memory) == 3 * PAGE
    with pytest.raises(MemoryError):
        memory.grow(2**40)
    importing = '(module (import "env" "m" (memory {})) (func (export "size") (result {}) (memory.size)))'
    assert figwasp.load(figwasp.wat(importing.format("i64 2", "i64")), {"env": {"m": memory}}).exports.size() == 3
    for wrong, type_ in (("2", "i32"), ("i64 4", "i64"), ("i64 1 10", "i64")):
        with pytest.raises(errors.Unlinkable, match="memory i64 1 1099511627776 of 3 pages"):
            figwasp.load(figwasp.wat(importing.format(wrong, type_)), {"env": {"m": memory}})
    with pytest.raises(errors.Unlinkable):
        figwasp.load(figwasp.wat(importing.format("i64 1", "i64")), {"env": {"m": figwasp.Memory(1)}})


def test_host_memories_refuse_what_is_no_type() -> None:
    for minimum, maximum, options in (
        (65537, None, {}), (-1, None, {}), (2, 1, {}), (0, 65537, {}), (2**48 + 1, None, {"address": "i64"}),
        (2**32, None, {"page_size": 1}), (2**64, None, {"page_size": 1, "address": "i64"}), (1, None, {"address": "f32"}),
        (1, None, {"page_size": 4096}), (1, None, {"page_size": 0}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="a memory has 0 to|an address is|pages have"):
            figwasp.Memory(minimum, maximum, **options)
    with pytest.raises(TypeError):
        figwasp.Memory(1, 2, "i64")  # type: ignore[arg-type, call-arg]
    with pytest.raises(errors.LimitExceeded):
        figwasp.Memory(2**48, address="i64")


@pytest.mark.parametrize("shared", ["", "shared"])
@pytest.mark.parametrize("offset", [0, 8, 2**47, 2**63, 2**64 - 8])
def test_the_places_of_waits_and_notifies_are_sums_that_do_not_wrap(load: Load, shared: str, offset: int) -> None:
    instance = load(
        f"""(memory i64 1 1 {shared})
        (func (export "notify") (param i64) (result i32) (memory.atomic.notify offset={offset} (local.get 0) (i32.const 1)))
        (func (export "wait") (param i64) (result i32)
          (memory.atomic.wait32 offset={offset} (local.get 0) (i32.const 1) (i64.const 0)))"""
    )
    for index in (0, PAGE - 8, PAGE - 4, PAGE, 2**47, 2**63, 2**64 - 8, -offset % 2**64, (PAGE - 4 - offset) % 2**64):
        fits = index + offset + 4 <= PAGE
        assert traps(instance.exports.notify, index) is not fits, hex(index)
        assert traps(instance.exports.wait, index) is not fits, hex(index)
