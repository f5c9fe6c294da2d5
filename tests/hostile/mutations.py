"""Damage to real modules: a number goes in, a damaged binary comes out.

What is damaged are programs, generated modules that figwasp can run, and modules of the later proposals: those of wasm-smith and of the
specification's scripts. Most damage is blind: bits, bytes, pieces. Some knows the format, since blind damage seldom gets past validation: it changes instructions
to others of the same type, and constants, indices and offsets to others of the same length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.immediates import SKIPPERS
from figwasp.wasm.binary.leb128 import read_u32
from figwasp.wasm.binary.types import read_value_type
from figwasp.wasm.syntax.module import Body, Module
from figwasp.wasm.syntax.opcodes import BY_PREFIX, ROWS, SINGLE, Opcode, subcode
from figwasp.wast.script import parse_script
from tests.environment import ROOT, SHARED
from tests.property.modules import generate

_GENERATED: Final = 300
"""Seeds of generated modules that are damaged."""
_MAX_WALK: Final = 3000
"""Instructions to look at in a body."""


@cache
def files() -> list[Path]:
    """Return the real modules, as often as they are to be damaged."""
    kernels = sorted(path for path in (SHARED / "kernels/wasm").glob("*.wasm") if ".simd." not in path.name)
    programs = [SHARED / f"programs/modules/{name}.wasm" for name in ("mal", "mandel")]
    return [*kernels, *[programs[0]] * 5, programs[1], *[ROOT / "demo/words.wasm"] * 3]


_SCRIPTS: Final = """
    core/gc/array.wast core/gc/array_copy.wast core/gc/array_init_elem.wast core/gc/array_new_data.wast core/gc/br_on_cast.wast
    core/gc/br_on_cast_fail.wast core/gc/extern.wast core/gc/i31.wast core/gc/ref_cast.wast core/gc/ref_test.wast core/gc/struct.wast
    core/gc/type-subtyping.wast core/gc/type-subtyping.wast core/type-rec.wast core/type-equivalence.wast core/type-canon.wast
    core/exceptions/tag.wast core/exceptions/throw.wast core/exceptions/throw_ref.wast core/exceptions/try_table.wast
    core/memory64/table64.wast core/memory64/memory64.wast core/memory64/call_indirect64.wast core/multi-memory/memory_copy0.wast
    core/br_on_non_null.wast core/br_on_null.wast core/call_ref.wast core/return_call_ref.wast core/return_call_indirect.wast
    core/ref_as_non_null.wast core/local_init.wast core/table.wast core/elem.wast core/global.wast
    core/simd/simd_lane.wast core/simd/simd_load_extend.wast core/simd/simd_store8_lane.wast
    core/relaxed-simd/relaxed_laneselect.wast
    legacy/exceptions/rethrow.wast legacy/exceptions/throw.wast legacy/exceptions/try_catch.wast legacy/exceptions/try_delegate.wast
    proposals/threads/atomic.wast proposals/threads/atomic.wast proposals/threads/exports.wast proposals/threads/wait_notify.wast
    proposals/wide-arithmetic/wide-arithmetic.wast proposals/custom-page-sizes/custom-page-sizes.wast
    proposals/custom-page-sizes/memory_max_i64.wast
"""
"""Scripts of the specification whose modules are damaged."""


@cache
def smith() -> list[Path]:
    """Return the modules that wasm-smith made."""
    return sorted((SHARED / "fuzz/smith-visible").glob("*.wasm"))


@cache
def scripts() -> list[Path]:
    """Return the scripts of the later proposals."""
    return [SHARED / "spec" / name for name in _SCRIPTS.split()]


@cache
def _modules(path: Path) -> list[bytes]:
    """Return the modules of a script that are modules."""
    found: list[bytes] = []
    for command in parse_script(path.read_text()):
        if command.kind == "module" and command.source is not None:
            found.append(command.source.encode())
    return found


def original(random: Random) -> bytes:
    """Choose what to damage."""
    kind = random.random()
    if kind < 0.3:
        return generate(random.randrange(_GENERATED))
    if kind < 0.6:
        return _read(random.choice(files()))
    if kind < 0.75:
        return _read(random.choice(smith()))
    return random.choice(_modules(random.choice(scripts())) or [generate(0)])


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _decoded(data: bytes) -> Module:
    return decode(data, ALL)


def mutant(number: int) -> bytes:
    """Return the damaged module of a number."""
    random = Random(number)
    data = original(random)
    damaged = bytearray(data)
    if random.random() < 0.4:
        _instruction(random, damaged, data)
        return bytes(damaged)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        random.choices(_KINDS, _WEIGHTS)[0](random, damaged, data)
    return bytes(damaged)


# Blind damage


def _place(random: Random, data: bytearray) -> int:
    """Return an offset, often near the start, where the sections that say most are."""
    end = max(len(data), 1)
    return random.randrange(min(end, 200)) if random.random() < 0.4 else random.randrange(end)


def _truncate(random: Random, data: bytearray, original: bytes) -> None:
    del data[_place(random, data) :]


def _flip(random: Random, data: bytearray, original: bytes) -> None:
    if data:
        data[_place(random, data)] ^= 1 << random.randrange(8)


def _replace(random: Random, data: bytearray, original: bytes) -> None:
    if data:
        data[_place(random, data)] = random.choice((0, 1, 0x7F, 0x80, 0xFF, 0x40, 0x0B, random.randrange(256)))


def _insert(random: Random, data: bytearray, original: bytes) -> None:
    place = _place(random, data)
    data[place:place] = random.choice((b"\0", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\0", b"\x0b", random.randbytes(random.randint(1, 9))))


def _remove(random: Random, data: bytearray, original: bytes) -> None:
    place = _place(random, data)
    del data[place : place + random.choice((1, 1, 2, 5, 40))]


def _copy(random: Random, data: bytearray, original: bytes) -> None:
    source, target = _place(random, data), _place(random, data)
    piece = data[source : source + random.choice((1, 3, 10, 100))]
    if random.random() < 0.5:
        data[target : target + len(piece)] = piece
    else:
        data[target:target] = piece


# Sections


def _sections(data: bytes) -> list[tuple[int, int]]:
    """Return the byte ranges of the sections of a module that decodes."""
    found = []
    at = 8
    while at < len(data):
        size, content = read_u32(data, at + 1)
        found.append((at, content + size))
        at = content + size
    return found


def _move_section(random: Random, data: bytearray, original: bytes) -> None:
    """Leave out a section, repeat it, or put it elsewhere."""
    found = _sections(original)
    start, end = random.choice(found)
    piece = original[start:end]
    kept = bytearray(original if random.random() < 0.4 else original[:start] + original[end:])
    if random.random() < 0.6:
        place = random.choice(_sections(bytes(kept)) or [(8, 8)])[0]
        kept[place:place] = piece
    data[:] = kept


def _splice(random: Random, data: bytearray, original: bytes) -> None:
    """Put a section of another module in the place of one."""
    other = generate(random.randrange(_GENERATED))
    start, end = random.choice(_sections(original))
    alike = [(a, b) for a, b in _sections(other) if other[a] == original[start]]
    a, b = random.choice(alike or _sections(other))
    data[:] = original[:start] + other[a:b] + original[end:]


# Instructions


def _last(code: int) -> int:
    """Return the last byte of an opcode, or -1 for one of more than two bytes."""
    return code if code < 0x100 else subcode(code) if subcode(code) < 0x80 else -1


def _alike() -> dict[int, list[int]]:
    """Return for every opcode the last bytes of those of the same type and immediates."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for row in ROWS:
        if _last(row.code) >= 0 and (row.params or row.results or row.code > 0xFF):
            groups.setdefault((row.code >> 8, row.params, row.results, row.immediates), []).append(row.code)
    return {code: [_last(other) for other in group] for group in groups.values() for code in group if len(group) > 1}


_ALIKE: Final = _alike()


def instructions(data: bytes, body: Body) -> list[tuple[int, int, Opcode]]:
    """Return of the instructions of a body where they start, where their immediates do, and their rows."""
    count, at = read_u32(data, body.start)
    for _ in range(count):
        at = read_value_type(data, read_u32(data, at)[1])[1]
    found: list[tuple[int, int, Opcode]] = []
    while at < body.end and len(found) < _MAX_WALK:
        row, after = SINGLE[data[at]], at + 1
        if data[at] in BY_PREFIX:
            sub, after = read_u32(data, after)
            row = BY_PREFIX[data[at]][sub]
        assert row is not None
        found.append((at, after, row))
        at = SKIPPERS[row.immediates](data, after)
    return found


def _instruction(random: Random, data: bytearray, original: bytes) -> None:
    """Change some instructions of a body, if nothing else has moved it."""
    bodies = _decoded(original).bodies
    if len(data) != len(original) or not bodies:
        _flip(random, data, original)
        return
    found = instructions(original, random.choice(bodies))
    for _ in range(random.choice((1, 2, 5, 20))):
        at, after, row = random.choice(found)
        end = SKIPPERS[row.immediates](original, after)
        if row.code in _ALIKE and (end == after or random.random() < 0.5):
            data[at if row.code < 0x100 else after - 1] = random.choice(_ALIKE[row.code])
        elif end > after:
            _immediate(random, data, after, end)


def _immediate(random: Random, data: bytearray, start: int, end: int) -> None:
    """Change a byte of an immediate and leave the number of its bytes as it is."""
    place = random.randrange(start, end)
    if data[place] & 0x80:
        data[place] = 0x80 | random.randrange(0x80)
    else:
        data[place] = random.choice((random.randrange(0x80), data[place] ^ 1, data[place] + 1 & 0x7F))


_ROWS: Final[list[tuple[int, Callable[[Random, bytearray, bytes], None]]]] = [
    (8, _truncate),
    (20, _flip),
    (12, _replace),
    (8, _insert),
    (8, _remove),
    (8, _copy),
    (5, _move_section),
    (4, _splice),
    (15, _instruction),
]
_WEIGHTS: Final = [weight for weight, _ in _ROWS]
_KINDS: Final = [kind for _, kind in _ROWS]
