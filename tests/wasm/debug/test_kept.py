"""What is kept of a guest's debug information is bounded, whatever it says and however often the guest traps."""

from __future__ import annotations

import sys
from typing import Final

import pytest

import figwasp
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.debug import source as source_module
from figwasp.wasm.debug.dwarf import LineTable
from figwasp.wasm.debug.reader import ROOM, Broken, WorkLimit, size_of
from figwasp.wasm.debug.source import SourceMap
from tests.environment import COMPILED
from tests.wasm.debug.dwarf_maker import LENGTHS, code_start, program, sequence, uleb, unit, with_sections

LONG: Final = 4000
DEEP: Final = 99
FUNCS: Final = 200


def files_module(count: int) -> bytes:
    """Give a module whose lines are all of different files in a directory with a long name: five bytes for a path of 4 KB."""
    plain = figwasp.wat(f"(module (func {'nop ' * count}))")
    files = [(f"{k:x}", 1) for k in range(count)]
    rows = sequence([(k + 3, k + 1, 1) for k in range(count)], count + 3)
    return with_sections(plain, line=program(4, ["/" + "d" * LONG], files, rows))


def test_paths() -> None:
    """There is room for so many paths and no more; those that were known stay known, and no question makes more."""
    count = 2 * ROOM // LONG
    module = files_module(count)
    source = SourceMap(decode(module))
    start = code_start(module) + 3
    found = [source.places(0, start + k) for k in range(count)]
    known = [places for places in found if places]
    assert sum(size_of(places[0].file) for places in known) <= ROOM
    assert ROOM // LONG // 2 < len(known) < count
    assert found[0][0].file == f"/{'d' * LONG}/0" and not found[-1]
    assert source.places(0, start)[0].file is found[0][0].file


def inlined_module() -> bytes:
    """Give a module in which a hundred functions are inlined into each other at every instruction, all in files of long names."""
    body = '(func $f{0} (export "f{0}") (param i32) (if (local.get 0) (then (call $f{1} (i32.sub (local.get 0) (i32.const 1))))) unreachable)'
    plain = figwasp.wat("(module" + "".join(body.format(k, (k + 1) % FUNCS) for k in range(FUNCS)) + ")")
    abbreviations = b"\x01\x11\x01\x10\x17\x11\x01\x12\x06\0\0" + b"\x02\x1d\x01\x11\x01\x12\x06\x58\x0b\x59\x0b\0\0\0"
    span = b"\x01\0\0\0" + (0xFFFFF).to_bytes(4, "little")
    entries = b"\x01" + bytes(4) + span + (b"\x02" + span + b"\x01\x07") * DEEP + bytes(DEEP + 1)
    lines = program(4, ["/" + "d" * LONG], [("f", 1)], sequence([(1, 1, 7)], 0xFFFFF))
    return with_sections(plain, line=lines, info=unit(b"\x04\0\0\0\0\0\x04" + entries), abbrev=abbreviations)


@pytest.mark.skipif(COMPILED, reason="it counts calls of a method that mypyc has compiled")
def test_traps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traps at ever new places keep a number of entries for tracebacks, of places that share their strings."""
    made: list[SourceMap] = []
    search = SourceMap._find

    def find(self: SourceMap, func: int, offset: int) -> tuple[figwasp.Place, ...]:
        made.append(self)
        return search(self, func, offset)

    monkeypatch.setattr(SourceMap, "_find", find)
    instance = figwasp.load(figwasp.Module(inlined_module()))
    paths = set()
    for k in range(0, FUNCS, 10):
        with pytest.raises(figwasp.Trap) as caught:
            instance.exports[f"f{k}"](9)
        frames = caught.value.frames
        assert [len(frame.places) for frame in frames] == [DEEP + 1] * 10
        paths |= {id(place.file) for frame in frames for place in frame.places}
    assert len(paths) == 1
    source = made[0]
    assert set(map(id, made)) == {id(source)} and len(made) > FUNCS
    assert sum(map(len, source._places.values())) <= source_module._MOST_KEPT
    assert 0 <= source.room <= DEEP


def test_frames_share_places() -> None:
    source = SourceMap(decode(inlined_module()))
    start = code_start(source.module.data) + 10
    assert source.places(0, start) is source.places(0, start)
    for offset in range(start, start + source_module._MOST_KEPT // 20):
        assert len(source.places(0, offset)) == DEEP + 1
        assert sum(map(len, source._places.values())) <= source_module._MOST_KEPT


def test_budget_of_room() -> None:
    """Strings count at what Python needs for them, and after too much there is nothing more."""
    budget = WorkLimit(10, 1000)
    budget.keep(800, "a", "\U0001f600")
    assert budget.room == 200 - size_of("a") - size_of("\U0001f600")
    assert size_of("a") == sys.getsizeof("a", size_of("a")) and 100 <= size_of("a" * 100) <= 200 and 400 <= size_of("\U0001f600" * 100) <= 500
    with pytest.raises(Broken):
        budget.keep(200)
    with pytest.raises(Broken):
        budget.keep(0)


def test_what_names_take() -> None:
    """Strings that overlap in one section are different strings: each counts."""
    plain = figwasp.wat("(module (func nop))")
    text = b"n" * LONG + b"\0"
    names = 2 * ROOM // LONG
    head = b"\x01\x01\x01\xfb\x0e\x0d" + LENGTHS + b"\x01\x01\x0e\x01" + b"\0" * 4
    files = b"\x01\x01\x0e" + uleb(names) + b"".join((k % 7).to_bytes(4, "little") for k in range(names))
    before = b"\x05\0\x04\0"
    content = head + files
    line = unit(before + len(content).to_bytes(4, "little") + content + sequence([(3, 1, 1)], 9))
    decoded = decode(with_sections(plain, line=line, str=text))
    lines = LineTable(decoded.data, {custom.name: (custom.start, custom.end) for custom in decoded.customs})
    assert lines.find(code_start(decoded.data) + 3) == []
    assert lines._sections.budget.room < 0 < lines._sections.budget.left
