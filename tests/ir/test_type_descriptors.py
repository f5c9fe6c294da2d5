"""Descriptors of types: what stands in them, when a place is used again, and when there are too many."""

from __future__ import annotations

import struct

import pytest

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.ir import type_descriptors
from figwasp.ir.type_descriptors import DescribedTypes
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.parse.module import wat

ROW = struct.Struct("<8I4I2Q")


class Region:
    """A region that is a dict of descriptors."""

    def __init__(self) -> None:
        self.base = 0
        self.rows: dict[int, bytes] = {}
        self.kept: dict[int, bytes] = {}

    def write(self, offset: int, data: bytes) -> None:
        assert len(data) == layout.TYPE_SIZE and offset % layout.TYPE_SIZE == 0 < offset
        self.rows[offset] = data

    def keep(self, data: bytes) -> int:
        self.kept[len(self.kept) + 1] = data
        return len(self.kept)

    def release(self, address: int) -> None:
        del self.kept[address]


def module_of(text: str) -> Module:
    return decode(wat(f"(module {text})"))


class World:
    """A world of types on a region of its own."""

    def __init__(self) -> None:
        self.region = Region()
        self.types = DescribedTypes(self.region)

    def enter(self, text: str) -> tuple[Module, list[int], list[int]]:
        module = module_of(text)
        numbers = self.types.intern(module.types, module.groups)
        return module, numbers, self.types.descriptors(numbers)

    def leave(self, module: Module, numbers: list[int]) -> None:
        self.types.releasing(numbers, module.groups)()
        self.types.intern([], [])

    def row(self, descriptor: int) -> tuple[tuple[int, ...], int, int, int, int, int, int]:
        """Return display, parent, depth, kind, layout, references and the address of more of these."""
        fields = ROW.unpack(self.region.rows[descriptor])
        return (fields[:8], *fields[8:])


def test_the_fields_are_where_the_layout_says() -> None:
    offsets = [layout.TYPE_DISPLAY, layout.TYPE_PARENT, layout.TYPE_DEPTH, layout.TYPE_KIND, layout.TYPE_LAYOUT]
    assert offsets == [0, 32, 36, 40, 44]
    assert (layout.TYPE_REFERENCES, layout.TYPE_MORE, layout.TYPE_SIZE) == (48, 56, ROW.size)
    assert 4 * layout.DISPLAY_DEPTHS == layout.TYPE_PARENT


def test_kinds_and_layouts() -> None:
    world = World()
    _, _, (f, s, a, refs, e) = world.enter(
        "(type (func (param i32 anyref i32) (result f64))) (type $s (struct (field i8) (field (ref null $s)) (field funcref)))"
        " (type (array i16)) (type (array (ref $s))) (type (struct))"
    )
    assert world.row(f)[1:] == (0, 0, layout.KIND_FUNC, 40, 0b1000, 0)
    assert world.row(s)[1:] == (0, 0, layout.KIND_STRUCT, 32, 0b100, 0)
    assert world.row(a)[1:] == (0, 0, layout.KIND_ARRAY, 1, 0, 0)
    assert world.row(refs)[1:] == (0, 0, layout.KIND_ARRAY, 3, 1, 0)
    assert world.row(e)[1:] == (0, 0, layout.KIND_STRUCT, 8, 0, 0)
    assert world.row(f)[0] == (f, 0, 0, 0, 0, 0, 0, 0)


def test_what_the_collector_follows() -> None:
    world = World()
    types = "i31ref eqref anyref structref arrayref nullref externref nullexternref exnref nullexnref funcref nullfuncref i64"
    _, _, (f, _, s) = world.enter(
        f"(type $f (func)) (type $a (array i8)) (type (struct {''.join(f'(field {t})' for t in types.split())}"
        " (field (ref null $f)) (field (ref $a))))"
    )
    assert world.row(s)[5] == 0b1000_0111_1111_1110
    assert world.row(f)[5] == 0


def test_supertypes_by_depth_and_the_chain_beyond() -> None:
    world = World()
    text = "(type $t0 (sub (struct)))" + "".join(f"(type $t{k} (sub $t{k - 1} (struct)))" for k in range(1, 11))
    _, _, places = world.enter(text)
    for depth, place in enumerate(places):
        display, parent, found, *_ = world.row(place)
        assert list(display) == (places[: depth + 1] + [0] * 8)[:8]
        assert (parent, found) == (places[depth - 1] if depth else 0, depth)


def test_supertypes_within_a_group_and_before_it() -> None:
    world = World()
    world.enter("(type (func)) (type (func (param i32)))")
    _, _, (a, b, c) = world.enter("(type $a (sub (struct))) (rec (type $b (sub $a (struct))) (type (sub $b (struct (field (ref $a))))))")
    assert world.row(c)[0][:4] == (a, b, c, 0)
    assert world.row(c)[5] == 0b10


def test_the_bits_of_large_structures() -> None:
    world = World()
    fields = "(field i64)" * 61 + "(field anyref)" * 3 + "(field i64)" * 70 + "(field externref)"
    module, numbers, (place,) = world.enter(f"(type (struct {fields}))")
    *_, size, bits, more = world.row(place)
    assert (size, bits) == (8 * 136, 1 << 62)
    words = struct.unpack("<3Q", world.region.kept[more])
    assert words == (2, 0b11, 1 << 135 - 63 - 64)
    world.leave(module, numbers)
    assert not world.region.kept


def test_equal_types_have_one_descriptor_and_places_are_used_again() -> None:
    world = World()
    one, first, places = world.enter("(type (func)) (type (func (param i64)))")
    two, second, (same, other) = world.enter("(type (func (param i64))) (type (func (param f32)))")
    assert same == places[1] and len({*places, other}) == 3
    assert [world.types.number_at(place) for place in places] == first
    world.leave(one, first)
    three, third, anew = world.enter("(type (func (param i64))) (type (func (param i32 i32))) (type (array i8))")
    assert anew[0] == same  # it is still held
    assert anew[1] == places[0]  # the only one that had become free
    assert not {third[1], third[2]} & {*first, *second}  # numbers do not come again
    assert [world.types.number_at(place) for place in anew] == third
    world.leave(two, second)
    world.leave(three, third)
    assert not world.types._places and not world.types._numbers


def test_there_is_room_for_ever() -> None:
    world = World()
    for k in range(300):
        module, numbers, _ = world.enter(f"(type (struct {'(field i32)' * k})) (type (sub (func (param {'i64 ' * k}))))")
        world.leave(module, numbers)
    assert len(world.region.rows) == 2


def test_too_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type_descriptors, "MOST_TYPES", 5)
    world = World()
    module, numbers, _ = world.enter("(type (func)) (type (func (param i32))) (type (func (param i64)))")
    for _ in range(3):
        with pytest.raises(LimitExceeded, match="more than 5 types are in use at once"):
            world.enter("(type (func (param f32))) (rec (type (func (param f64))) (type (struct)))")
    assert len(world.types.kinds) == 4  # what came in before the end is forgotten by the next
    world.leave(module, numbers)
    assert not world.types.kinds
    assert len(world.enter("(type (func)) (rec (type (struct)) (type (array i8)) (type (array i16)) (type (struct)))")[1]) == 5
