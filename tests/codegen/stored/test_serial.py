"""The serial form of code: what is written is read again, and nothing else is."""

from __future__ import annotations

import random
import struct
from binascii import crc32
from pathlib import Path

import pytest

from figwasp.codegen.code import (
    FIELD_NEAR,
    IN_FRAME,
    RELOC_BUILTIN,
    RELOC_CELL,
    RELOC_STUB,
    RELOC_SYMBOL,
    STUB_COUNT,
    STUB_FUEL,
    STUB_TRAP,
    Code,
)
from figwasp.codegen.stored.serial import BadCode, from_bytes, to_bytes
from figwasp.ir import builtins
from figwasp.layout import CHECKED, GUARD
from figwasp.runtime.code.translate import Translator
from figwasp.wasm.binary.decode import decode

NAME_SIZE = 32
START = 72
"""Where the size of the name stands, the first of those from which that of the whole follows, and where the name begins."""


def filled() -> Code:
    """Make a small code with something in every field."""
    code = Code("naïve 🦊\0", 7)
    code.symbols = ["memset", "stub.enter:i:"]
    code.data = bytes(range(40))
    code.text_size = 32
    code.relocs = [
        (1, FIELD_NEAR, RELOC_CELL, 0xFFFF_FFFF), (6, FIELD_NEAR, RELOC_STUB, STUB_TRAP), (12, FIELD_NEAR, RELOC_STUB, STUB_FUEL),
        (24, FIELD_NEAR, RELOC_BUILTIN, 3), (20, FIELD_NEAR, RELOC_SYMBOL, 1), (36, 2, RELOC_CELL, 0),
    ]  # fmt: skip
    code.traps = [(5, 2), (32, 6)]
    code.positions = [(5, 0), (9, 0xFFFF_FFFF)]
    code.frame_size = 4096
    code.frame_size_exceptions = [(9, 0)]
    code.incoming = 24
    code.tier = 3
    code.pushed = [(9, 16), (32, 8)]
    code.saved = [(3, 4000), (12, 4088)]
    code.handlers = [(9, 72, 31), (32, 0, 0)]
    return code


def same(one: Code, other: Code) -> None:
    for attribute in Code.__slots__:
        assert getattr(one, attribute) == getattr(other, attribute), attribute


def sealed(data: bytes) -> bytes:
    """Return bytes with the checksum that they should have."""
    return data[:8] + struct.pack("<I", crc32(data[:8] + data[12:])) + data[12:]


def patched(place: int, value: int) -> bytes:
    """Return the serial form of `filled` with another number at a place, and the checksum for that."""
    data = bytearray(to_bytes(filled()))
    struct.pack_into("<I", data, place, value)
    return sealed(bytes(data))


@pytest.mark.parametrize("name", ["sha256", "vmloop", "indirect", "nbody"])
@pytest.mark.parametrize(("mode", "metered"), [(GUARD, False), (CHECKED, True)])
def test_functions_of_kernels(shared: Path, name: str, mode: int, metered: bool) -> None:
    module = decode((shared / f"kernels/wasm/{name}.wasm").read_bytes())
    translator = Translator(module, mode, metered)
    first = module.num_imported_funcs
    for index in range(first, first + len(module.bodies)):
        code = translator.translate(index)
        same(from_bytes(to_bytes(code)), code)


def test_every_field() -> None:
    code = filled()
    empty = Code("", -1)
    assert not [name for name in Code.__slots__ if getattr(code, name) == getattr(empty, name)], "fill in what is new"
    same(from_bytes(to_bytes(code)), code)
    same(from_bytes(to_bytes(empty)), empty)


def test_a_stub() -> None:
    """It has no index, stands in for what is called, and refers to all there is."""
    code = Code("enter (i32) -> ()", -1)
    code.data = bytes(16)
    code.text_size = 16
    code.incoming = IN_FRAME
    code.relocs = [(8, FIELD_NEAR, RELOC_STUB, target) for target in range(STUB_COUNT)]
    code.relocs += [(0, FIELD_NEAR, RELOC_BUILTIN, target) for target in range(builtins.COUNT)]
    code.relocs.append((4, FIELD_NEAR, RELOC_SYMBOL, 0))
    code.symbols = ["object.None"]  # one alone
    same(from_bytes(to_bytes(code)), code)


@pytest.mark.parametrize("name", ["", "\0", "a\nb", "\u0301", "\uffff", "\U0010ffff", "x" * 100_000])
def test_names(name: str) -> None:
    assert from_bytes(to_bytes(Code(name, 0))).name == name


def test_a_name_that_no_function_has() -> None:
    with pytest.raises(UnicodeEncodeError):
        to_bytes(Code("\ud800", 0))


def test_a_number_that_does_not_fit() -> None:
    code = filled()
    code.traps = [(1 << 32, 0)]
    with pytest.raises(OverflowError):
        to_bytes(code)


def test_the_bytes_are_these() -> None:
    """Whoever changes the form or what its numbers mean adds 1 to `serial.VERSION`, and then puts here what comes out.

    What other versions of figwasp have written is then refused, and made anew, instead of being taken for something else.
    """
    assert to_bytes(filled()).hex(" ", 4).split() == GOLDEN.split()


GOLDEN = """\
6677636f 05000000 9a11026c 07000000 00100000 18000000 03000000 20000000 0c000000 14000000 28000000 06000000 02000000
02000000 01000000 02000000 02000000 02000000 6e61c3af 766520f0 9fa68a00 6d656d73 65740073 7475622e 656e7465 723a693a
00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f 20212223 24252627 01000000 06000000 0c000000
18000000 14000000 24000000 00000000 00000000 00000000 00000000 00000000 02000000 00000000 02000000 02000000 01000000
03000000 00000000 ffffffff 00000000 05000000 03000000 01000000 00000000 05000000 20000000 02000000 06000000 05000000
09000000 00000000 ffffffff 09000000 00000000 09000000 20000000 10000000 08000000 03000000 0c000000 a00f0000 f80f0000
09000000 20000000 48000000 00000000 1f000000 00000000
"""


def test_every_damaged_byte_is_noticed() -> None:
    data = to_bytes(filled())
    for place in range(len(data)):
        for change in range(1, 256):
            damaged = bytearray(data)
            damaged[place] ^= change
            with pytest.raises(BadCode):
                from_bytes(bytes(damaged))


def test_every_part_of_it_is_too_little_and_more_is_too_much() -> None:
    data = to_bytes(filled())
    for size in range(len(data)):
        for part in (data[:size], sealed(data[:size]) if size >= 12 else b""):
            with pytest.raises(BadCode):
                from_bytes(part)
    with pytest.raises(BadCode, match="sizes"):
        from_bytes(sealed(data + b"\0"))


@pytest.mark.parametrize("place", range(NAME_SIZE, START, 4))
@pytest.mark.parametrize("value", [0, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_sizes_that_lie(place: int, value: int) -> None:
    """Even with the right checksum nothing is made that the bytes do not fill."""
    with pytest.raises(BadCode, match="sizes"):
        from_bytes(patched(place, value))


def test_another_version() -> None:
    with pytest.raises(BadCode, match="version"):
        from_bytes(patched(4, 1))
    with pytest.raises(BadCode, match="serial form"):
        from_bytes(patched(0, 0))


INCONSISTENT = [
    ("text_size", 41, "larger than the data"),
    ("incoming", -2, "less than nothing"),
    ("relocs", [(37, FIELD_NEAR, RELOC_CELL, 0)], "outside of the data"),
    ("relocs", [(0xFFFF_FFFF, FIELD_NEAR, RELOC_CELL, 0)], "outside of the data"),
    ("relocs", [(0, FIELD_NEAR, 5, 0)], "refers to what there is not"),
    ("relocs", [(0, FIELD_NEAR, RELOC_SYMBOL, 2)], "refers to what there is not"),
    ("symbols", ["memset"], "refers to what there is not"),
    ("symbols", [], "refers to what there is not"),
    ("relocs", [(0, FIELD_NEAR, RELOC_STUB, STUB_COUNT)], "refers to what there is not"),
    ("relocs", [(0, FIELD_NEAR, RELOC_BUILTIN, builtins.COUNT)], "refers to what there is not"),
    ("traps", [(33, 1)], "outside of the text"),
    ("positions", [(1, 1), (33, 1)], "outside of the text"),
    ("frame_size_exceptions", [(33, 1)], "outside of the text"),
    ("pushed", [(33, 1)], "outside of the text"),
    ("saved", [(3, 4096)], "outside of the frame"),
    ("handlers", [(33, 0, 0)], "outside of the text"),
    ("handlers", [(1, 0, 32)], "outside of the text"),
]


@pytest.mark.parametrize(("attribute", "value", "message"), INCONSISTENT)
def test_places_that_there_are_not(attribute: str, value: object, message: str) -> None:
    code = filled()
    setattr(code, attribute, value)
    with pytest.raises(BadCode, match=message):
        from_bytes(to_bytes(code))


@pytest.mark.parametrize("place", [START, START + len(filled().name.encode())])
def test_a_name_that_is_not_text(place: int) -> None:
    """Of the function, or of a symbol."""
    data = bytearray(to_bytes(filled()))
    data[place] = 0xFF
    with pytest.raises(BadCode, match="UTF-8"):
        from_bytes(sealed(bytes(data)))


def test_anything_with_the_right_checksum() -> None:
    """Whatever is read is refused as it should be, or is consistent."""
    chance = random.Random(1)
    data = to_bytes(filled())
    read = 0
    for _ in range(20_000):
        damaged = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(12, len(data))] = chance.choice((0, 1, 2, 31, 127, 128, 255, chance.randrange(256)))
        try:
            code = from_bytes(sealed(bytes(damaged)))
        except BadCode:
            continue
        read += 1
        assert len(to_bytes(code)) == len(data)
        assert code.text_size <= len(code.data)
        assert all(target < len(code.symbols) for _, _, kind, target in code.relocs if kind == RELOC_SYMBOL)
        assert all(offset <= code.text_size for offset, _ in code.traps + code.positions + code.pushed)
    assert 1000 < read < 19_000
