"""Images: the same code as functions that are installed one by one, and nothing but `BadCode` for bytes that are none."""

from __future__ import annotations

import random
from array import array

import pytest

import figwasp
from figwasp.codegen import unwind
from figwasp.codegen.code import RELOC_BUILTIN, RELOC_CELL, RELOC_STUB, Code
from figwasp.codegen.isa import host
from figwasp.codegen.stored.image import Image, ImageBuilder
from figwasp.codegen.stored.serial import BadCode
from figwasp.codegen.words import Words
from figwasp.features import DEFAULT
from figwasp.layout import GUARD
from figwasp.runtime.code.translate import Translator
from figwasp.wasm.binary.decode import decode

MODULE = """(module (import "h" "f" (func $f (param i32) (result i32))) (memory 1) (tag $t (param i32)) (table 4 funcref)
  (func $a (export "a") (param i32) (result i32) (i32.load offset=8 (call $b (call $f (local.get 0)))))
  (func $b (param i32) (result i32) (i32.div_s (i32.const 7) (local.get 0)))
  (func $grow (param i32) (result i32) (memory.grow (local.get 0)))
  (func $catch (result i32) (block $h (result i32) (try_table (catch $t $h) (throw $t (i32.const 3))) (i32.const 0)))
  (func $many (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64) (i64.add (local.get 0) (local.get 10)))
  (func $calls (result i64) (call $many (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)
    (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 5)))
  (func $tail (param i32) (result i32) (return_call $b (local.get 0)))
  (func $loop (param f64) (result f64) (loop (br_if 0 (f64.lt (local.tee 0 (f64.mul (local.get 0) (f64.const 1.5))) (f64.const 99))))
    (local.get 0)))"""
FUNCTIONS = 9


def codes() -> list[Code]:
    """Compile all functions of the module."""
    translator = Translator(decode(figwasp.wat(MODULE), DEFAULT), GUARD, False)
    return [translator.translate(index) for index in range(1, FUNCTIONS)]


def image_of(given: list[Code]) -> Image:
    """Make an image."""
    builder = ImageBuilder(FUNCTIONS)
    assert [builder.add(code) for code in given] == [True] * len(given)
    return builder.finish()


def test_the_text_is_what_would_be_installed_there() -> None:
    given = codes()
    image = image_of(given)
    words = Words(FUNCTIONS)
    assert list(image.indices) == [code.index for code in given]
    for code, start in zip(given, image.starts, strict=True):
        described, places = unwind.describe(code.data, [(0, len(code.data), code)], host().instance_reg)
        assert image.text[start : start + len(described)] == words.relocate(described, code.relocs, start)
        first = start >> unwind.GRANULE_BITS
        assert image.places[first : first + len(places)] == places
    assert image.size == len(image.text) == len(image.places) << unwind.GRANULE_BITS


def test_rows_have_what_the_runtime_must_know() -> None:
    given = codes()
    image = Image.from_bytes(image_of(given).to_bytes(), FUNCTIONS)
    for number, code in enumerate(given):
        found, size = image.code(number)
        assert size == len(code.data)
        for name in set(Code.__slots__) - {"data", "relocs", "name"}:
            assert getattr(found, name) == getattr(code, name), name
        start = image.starts[number]
        assert [image.at(start), image.at(start + size - 1)] == [number, number]
    assert image.at(-1) == -1


def test_needs_are_the_words_but_those_of_functions() -> None:
    given = codes()
    relocs = {(kind, target) for code in given for _, _, kind, target in code.relocs}
    image = image_of(given)
    assert sorted(image.needs) == sorted(relocs - {(kind, target) for kind, target in relocs if kind == RELOC_CELL})
    assert {kind for kind, _ in image.needs} == {RELOC_BUILTIN, RELOC_STUB}
    assert image.has_handlers
    assert not image_of([code for code in given if not code.handlers]).has_handlers


def test_functions_are_added_behind_what_is_there() -> None:
    given = codes()
    first = Image.from_bytes(image_of(given[:3]).to_bytes(), FUNCTIONS)
    builder = ImageBuilder(FUNCTIONS, first)
    assert [builder.add(code) for code in given] == [False] * 3 + [True] * (len(given) - 3)
    assert builder.finish().to_bytes() == image_of(given).to_bytes()


def test_an_image_without_functions() -> None:
    image = Image.from_bytes(ImageBuilder(FUNCTIONS).finish().to_bytes(), FUNCTIONS)
    assert len(image) == image.size == 0 and not image.has_handlers and not image.needs


def test_the_text_can_be_dropped() -> None:
    image = image_of(codes())
    size = image.size
    image.drop_text()
    assert not image.text and not image.places and image.size == size
    assert image.code(0)[1]


def test_bytes_that_are_cut_off() -> None:
    data = image_of(codes()).to_bytes()
    for length in range(0, len(data), 7):
        with pytest.raises(BadCode):
            Image.from_bytes(data[:length], FUNCTIONS)
    with pytest.raises(BadCode):
        Image.from_bytes(data + b"\0", FUNCTIONS)


def test_images_of_other_modules() -> None:
    data = image_of(codes()).to_bytes()
    with pytest.raises(BadCode, match="no function|none with its index|twice"):
        Image.from_bytes(data, FUNCTIONS - 1)


def _changed(place: int, value: int) -> bytes:
    """Return the bytes with one of the numbers behind the head changed."""
    data = bytearray(image_of(codes()).to_bytes())
    cell = 16 + 4 * place
    data[cell : cell + 4] = array("I", [value]).tobytes()
    return bytes(data)


COUNT = FUNCTIONS - 1


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, FUNCTIONS), (0, 0xFFFF_FFFF), (1, 1),  # an index: too large, twice
        (COUNT, 8), (COUNT + 1, 0), (COUNT + 2, 0xFFFF_FFF0), (COUNT + 1, 1 << 20),  # a start: unaligned, twice, out of order, outside
        (3 * COUNT + 1, 3), (4 * COUNT, 0xFFFF_FFFF),  # a row: too short, outside
        (4 * COUNT + 1, 7), (4 * COUNT + 1, RELOC_CELL), (4 * COUNT + 2, 1 << 20),  # a need: of no kind, of a function, of nothing
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense(place: int, value: int) -> None:
    with pytest.raises(BadCode):
        Image.from_bytes(_changed(place, value), FUNCTIONS)


@pytest.mark.parametrize("seed", range(20))
def test_damage_is_bad_code_or_consistent(seed: int) -> None:
    """Whatever is changed, what is read refers to nothing outside of the image, or cannot be read."""
    rng = random.Random(seed)
    good = image_of(codes()).to_bytes()
    for _ in range(200):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            image = Image.from_bytes(bytes(data), FUNCTIONS)
        except BadCode:
            continue
        assert all(0 <= start < image.size for start in image.starts)
        for number in range(len(image)):
            try:
                code, size = image.code(number)
            except BadCode:
                continue
            assert image.starts[number] + size <= image.size
            assert all(offset <= size for offset, _ in (*code.traps, *code.positions, *code.pushed))


# Out again


def test_functions_can_be_taken_out() -> None:
    """They are what they were; another image of them, in another order, is as if they had been compiled for it."""
    given = codes()
    image = Image.from_bytes(image_of(given[::-1]).to_bytes(), FUNCTIONS)
    found = [image.whole(number, Words(FUNCTIONS)) for number in range(len(image))]
    for code, before in zip(found, given[::-1], strict=True):
        for name in set(Code.__slots__) - {"name"}:
            assert getattr(code, name) == getattr(before, name), name
    assert image_of(found[::-1]).to_bytes() == image_of(given).to_bytes()


def test_a_function_of_another_module_cannot_be_taken_out() -> None:
    image = image_of(codes())
    with pytest.raises(BadCode, match="refers to what there is not"):
        print([image.whole(number, Words(FUNCTIONS - 8)) for number in range(len(image))])


def test_damaged_relocations_are_bad_code_or_refer_to_words() -> None:
    rng = random.Random(7)
    good = image_of(codes()).to_bytes()
    refused = 0
    for _ in range(2000):
        data = bytearray(good)
        data[rng.randrange(16, len(data))] = rng.randrange(256)
        try:
            image = Image.from_bytes(bytes(data), FUNCTIONS)
            found = [image.whole(number, Words(FUNCTIONS)) for number in range(len(image))]
        except BadCode:
            refused += 1
            continue
        for code in found:
            for offset, _, kind, target in code.relocs:
                assert 0 <= offset <= len(code.data) - 4 and -Words(FUNCTIONS).size <= Words(FUNCTIONS).offset(kind, target) < 0
    assert refused
