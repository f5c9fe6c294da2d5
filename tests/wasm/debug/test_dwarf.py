"""Source lines by DWARF: versions 2 to 5, inlined functions, a second reader's opinion, and bytes that are no DWARF."""

from __future__ import annotations

import random
import re
import subprocess
import time
from pathlib import Path

import pytest

import figwasp
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.debug.dwarf import LineTable
from figwasp.wasm.debug.reader import BUDGET
from figwasp.wasm.debug.source import SourceMap
from tests.environment import HANG_GUARD
from tests.speed import exceeds
from tests.tools import tool
from tests.wasm.debug.dwarf_maker import LENGTHS, code_start, custom, program, sequence, sleb, uleb, unit, with_sections

HERE = Path(__file__).parent / "dwarf"
PLUGINS = [HERE / f"plugin-{version}.wasm" for version in (2, 3, 4, 5)]
EMPTY = figwasp.wat("(module (func nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop))")
START = code_start(EMPTY)


def places(source: SourceMap, offset: int) -> list[figwasp.Place]:
    return list(source.places(0, offset))


def named(source: SourceMap, func: int, pattern: bytes) -> list[figwasp.Place]:
    """Give the places of the one instruction of a function that these bytes are."""
    module = source.module
    body = module.body(func)
    code = module.data[body.start : body.end]
    assert code.count(pattern) == 1
    return list(source.places(func, body.start + code.index(pattern)))


def call(func: int) -> bytes:
    """Give a call as a linker leaves it: the index padded to five bytes."""
    return bytes((0x10, 0x80 | func, 0x80, 0x80, 0x80, 0))


def table(module: bytes, budget: int = BUDGET) -> LineTable:
    """Give the lines of a module, to be asked by address."""
    decoded = decode(module)
    return LineTable(module, {section.name: (section.start, section.end) for section in decoded.customs}, budget)


def line_at(lines: LineTable, address: int) -> tuple[str, int] | None:
    found = lines.find(START + address)
    return found[0][1:] if found else None


def lines_of(content: bytes, **others: bytes) -> LineTable:
    return table(with_sections(EMPTY, line=content, **others))


# Real modules


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_lines_and_inlined_calls_of_every_version(path: Path) -> None:
    """What clang wrote about plugin.c, in DWARF 2 to 5."""
    module = decode(path.read_bytes())
    source = SourceMap(module)
    text = (HERE / "plugin.c").read_text().splitlines()
    index = {module.func_name(k): k for k in range(len(module.func_types))}
    inner, outer = named(source, index["leaf"], b"\x6d")  # i32.div_s
    assert inner == ("ratio", "/src/ratio.h", 2)
    assert outer[:2] == ("leaf", "/src/plugin.c") and "return ratio" in text[outer[2] - 1]
    ((name, file, line),) = named(source, index["deep"], call(index["deep"]))
    assert (name, file) == ("deep", "/src/plugin.c") and "deep(n - 1)" in text[line - 1]
    ((_, _, line),) = named(source, index["outer"], call(index["leaf"]))
    assert "leaf(x) + 1" in text[line - 1]
    assert places(source, module.body(1).start - 100) == [] == places(source, 10**9)


def oracle(path: Path, offsets: list[int]) -> dict[int, list[tuple[str, int]]]:
    """Ask wasm-tools: offset -> file and line of each place that has a line."""
    command = [tool("wasm-tools"), "addr2line", str(path), *map(hex, offsets)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG_GUARD)
    found: dict[int, list[tuple[str, int]]] = {}
    here: list[tuple[str, int]] = []
    for text in done.stdout.splitlines():
        start = re.match(r"(0x[0-9a-f]+): ", text)
        if start:
            here = found.setdefault(int(start[1], 16), [])
            here.clear()
        place = re.search(r"([^ ]*?):(\d+)(?::\d+)?(?: \(inlined\))?$", text)
        if place:
            here.append((place[1].replace("/./", "/"), int(place[2])))
    return found


SHARED = ["greet-wasi-rs", "resvg-render", "quickjs", "smallpt-ex-mv", "hello-world-swift", "cpython-3.12"]


@pytest.mark.parametrize("name", SHARED)
def test_agrees_with_wasm_tools(shared: Path, name: str) -> None:
    """Of offsets all over programs made by rustc, clang and swiftc, files, lines and inlined calls are as another reader has them."""
    path = shared / f"programs/modules/{name}.wasm"
    module = decode(path.read_bytes())
    rng = random.Random(name)
    offsets = sorted({rng.randrange(body.start, body.end) for body in rng.choices(module.bodies, k=300)})
    wanted = oracle(path, offsets)
    source = SourceMap(module)
    known = 0
    for offset in offsets:
        found = [(file.rpartition(" ")[2], line) for _, file, line in places(source, offset)]
        assert found == wanted.get(offset, []), hex(offset)
        known += bool(found)
    assert known or name == "cpython-3.12"


# Programs made by hand


@pytest.mark.parametrize("version", [2, 3, 4, 5])
@pytest.mark.parametrize("wide", [False, True])
def test_tables_and_rows(version: int, wide: bool) -> None:
    """Files and directories count from 0 or 1 as the version says; rows hold up to the next, sequences up to their end."""
    directories = ["/work", "lib"] if version == 5 else ["lib"]
    files = [("main.c", 0), ("inner.h", 1)] if version == 5 else [("/work/main.c", 0), ("inner.h", 1)]
    first = 0 if version == 5 else 1
    rows = [(3, first, 10), (5, first + 1, 7), (9, first, 11)]
    lines = lines_of(program(version, directories, files, sequence(rows, 12) + sequence([(14, first, 99)], 15), wide=wide))
    assert [line_at(lines, k) for k in (2, 3, 4)] == [None, ("/work/main.c", 10), ("/work/main.c", 10)]
    assert line_at(lines, 5) == line_at(lines, 8) == ("lib/inner.h", 7)
    assert [line_at(lines, k) for k in (11, 12, 13, 14, 15)] == [("/work/main.c", 11), None, None, ("/work/main.c", 99), None]


def test_special_opcodes_and_the_rest() -> None:
    """Special opcodes, const_add_pc, fixed_advance_pc, opcodes without effect, unknown ones, define_file and discriminators."""
    opcodes = (
        b"\0\x05\x02\x03\0\0\0"  # address 3
        b"\0\x08\x03new\0\0\0\0"  # define_file: number 2
        b"\x05\x09\x06\x07\x0a\x0b\x0c\x01\0\x02\x04\x07"  # column, negate, block, prologue, epilogue, isa, discriminator
        b"\x0d\x85\x01\x02"  # an opcode that only this header declares: two operands
        + bytes((14 + 5 + 6,))  # special: line += 6, address += 0 -> line 7
        + b"\x04\x02"  # file 2
        + bytes((14 + 5 + 14 - 1,))  # line -= 1, address += 1 -> 4: line 6
        + b"\x08"  # address += (255 - 14) // 14 = 17 -> 21
        + b"\x09\x02\x00"  # address += 2 -> 23
        + b"\x03"
        + sleb(100)
        + b"\x01\x02\x02\0\x01\x01"
    )
    lengths = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 2))
    lines = lines_of(program(3, [], [("old", 0)], opcodes, lengths=lengths))
    assert [line_at(lines, k) for k in (3, 4, 22, 23, 24, 25)] == [
        ("old", 7), ("new", 6), ("new", 6), ("new", 106), ("new", 106), None,
    ]  # fmt: skip


def test_what_a_linker_removed_is_not_found() -> None:
    """Sequences at address 0 belong to functions that are no more."""
    dead = sequence([(0, 1, 50)], 1000)
    lines = lines_of(program(4, [], [("a.c", 0)], dead + sequence([(4, 1, 5)], 8)))
    assert line_at(lines, 5) == ("a.c", 5)
    assert line_at(lines, 9) is None


@pytest.mark.parametrize(
    ("directory", "inside", "name", "path"),
    [
        ("/src", "lib", "a.c", "/src/lib/a.c"),
        ("/src", "/usr", "a.c", "/usr/a.c"),
        ("/src/", ".", "./a.c", "/src/a.c"),
        ("/src", "lib", "/abs/a.c", "/abs/a.c"),
        ("C:\\src", "lib", "a.c", "C:\\src\\lib\\a.c"),
        ("C:\\src", "D:\\lib", "a.c", "D:\\lib\\a.c"),
        ("", "lib", "a.c", "lib/a.c"),
    ],
)
def test_paths(directory: str, inside: str, name: str, path: str) -> None:
    """Names are relative to their directory, and that to the directory of the compilation."""
    content = program(4, [inside], [(name, 1)], sequence([(3, 1, 1)], 9))
    assert line_at(lines_of(content, **info(directory)), 5) == (path, 1)


def info(directory: str, span: tuple[int, int] = (3, 9), offset: int = 0) -> dict[str, bytes]:
    """Give `.debug_info` and `.debug_abbrev` of one unit with a directory, addresses and a line program."""
    abbreviation = b"\x01\x11\x00" + b"\x1b\x08" + b"\x10\x17" + b"\x11\x01" + b"\x12\x06" + b"\0\0\0"
    entry = b"\x01" + directory.encode() + b"\0" + offset.to_bytes(4, "little")
    entry += span[0].to_bytes(4, "little") + (span[1] - span[0]).to_bytes(4, "little")
    return {"info": unit(b"\x04\0" + b"\0\0\0\0" + b"\x04" + entry), "abbrev": abbreviation}


def test_only_the_unit_that_has_the_address_is_read() -> None:
    """The program of another unit may be broken."""
    first = b"\x40\0\0\0" + b"\xff" * 0x40
    good = program(4, [], [("a.c", 0)], sequence([(3, 1, 4)], 9))
    lines = lines_of(first + good, **info("/d", offset=len(first)))
    assert line_at(lines, 4) == ("/d/a.c", 4)


def test_without_units_every_program_is_searched() -> None:
    one = program(4, [], [("a.c", 0)], sequence([(3, 1, 4)], 9))
    two = program(4, [], [("b.c", 0)], sequence([(12, 1, 8)], 19))
    assert [line_at(lines_of(one + two), k) for k in (4, 13)] == [("a.c", 4), ("b.c", 8)]
    assert line_at(lines_of(one + two + b"\x77\0\0"), 13) == ("b.c", 8)
    assert line_at(lines_of(one + two, info=b"\xff" * 20, abbrev=b"\0"), 4) == ("a.c", 4)


def test_line_zero_means_no_line() -> None:
    lines = lines_of(program(4, [], [("a.c", 0)], sequence([(3, 1, 4), (4, 1, 0), (5, 7, 4), (6, 1, 2**40), (7, 1, 5)], 9)))
    assert [line_at(lines, k) for k in range(3, 8)] == [("a.c", 4), None, None, None, ("a.c", 5)]


def test_nothing_is_read_before_somebody_asks() -> None:
    """A frame knows its place when it is asked, and only then."""
    module = decode(PLUGINS[3].read_bytes())
    body = module.body(module.num_imported_funcs)
    source = SourceMap(module)
    frame = figwasp.Frame("m", 1, "f", body.start + 1, source=source)
    assert source._lines is None
    assert frame.line is not None and frame.file == "/src/plugin.c"
    assert source._lines is not None


# Hostile bytes

QUICK = 200
"""Million turns of an empty loop, much more than any of these should take: the budget is a matter of a quarter."""


def ask_everywhere(module: bytes, step: int = 1) -> int:
    """Ask for every offset; return how many are known."""
    source = SourceMap(decode(module))
    started = time.process_time()
    known = sum(bool(source.places(0, offset)) for offset in range(0, len(module), step))
    assert not exceeds(time.process_time() - started, QUICK)
    return known


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_damaged_sections(path: Path) -> None:
    """Whatever happens to the bytes of DWARF sections, there is an answer: a place or none."""
    data = path.read_bytes()
    spans = [(s.start, s.end) for s in decode(data).customs if s.name.startswith(".debug")]
    rng = random.Random(path.stem)
    assert ask_everywhere(data) > 50
    known = 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 5, 30])):
            start, end = rng.choice(spans)
            at = rng.randrange(start, end)
            damaged[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256), damaged[at] ^ 1 << rng.randrange(8)])
        known += ask_everywhere(bytes(damaged), 7)
    assert known > 1000, "the damage leaves too little to test"


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_cut_sections(path: Path) -> None:
    """Each DWARF section alone may end anywhere."""
    data = path.read_bytes()
    decoded = decode(data)
    plain = figwasp.wat("(module (func nop))")
    contents = {s.name[7:]: data[s.start : s.end] for s in decoded.customs if s.name.startswith(".debug")}
    for name, content in contents.items():
        for end in range(0, len(content), 3):
            ask_everywhere(with_sections(plain, **{**contents, name: content[:end]}), 5)


def bombs() -> dict[str, bytes]:
    """Give modules that want a reader to take long or much memory."""
    plain = EMPTY
    many = 2_000_000
    head = b"\x01\x01\x01\xfb\x0e\x0d" + LENGTHS
    v5 = b"\x05\0\x04\0"
    huge = uleb(2**60)
    nothing = unit(v5 + length4(head + b"\0" + huge) + head + b"\0" + huge)  # 2**60 directories of no fields
    rows = program(4, [], [("a", 0)], b"\0\x05\x02\x03\0\0\0" + b"\x14" * many + b"\0\x01\x01")
    backwards = program(4, [], [("a", 0)], (b"\0\x05\x02\x03\0\0\0\x01\x02\x01\0\x01\x01") * (many // 10))
    advances = program(4, [], [("a", 0)], b"\0\x05\x02\x03\0\0\0" + (b"\x03" + b"\xff" * 9 + b"\x7f") * (many // 10))
    units = unit(b"\x04\0\0\0\0\0\x04\x01") * (many // 12)
    looping = b"\x01\x11\0\x1b\x16\0\0\0"
    indirect = unit(b"\x04\0\0\0\0\0\x04\x01" + b"\x16" * many)
    abbreviations = b"".join(uleb(k) + b"\x11\0\0\0" for k in range(2, many // 8))
    lists = {"ranges": b"\x01\0\0\0\x02\0\0\0" * (many // 8)}
    ranged = b"\x01\x11\0\x55\x17\x10\x17\0\0\0"
    many_ranged = unit(b"\x04\0\0\0\0\0\x04\x01" + b"\0" * 8) * 1000
    return {
        "directories of nothing": with_sections(plain, line=nothing),
        "rows": with_sections(plain, line=rows),
        "sequences": with_sections(plain, line=backwards),
        "advances": with_sections(plain, line=advances),
        "programs": with_sections(plain, line=program(4, [], [("a", 0)], sequence([(500, 1, 1)], 501)) * (many // 60)),
        "units": with_sections(plain, line=b"\0\0\0\0", info=units, abbrev=abbreviations),
        "indirect": with_sections(plain, line=b"\0\0\0\0", info=indirect, abbrev=looping),
        "ranges": with_sections(plain, line=b"\0\0\0\0", info=many_ranged, abbrev=ranged, **lists),
        "strings": with_sections(plain, line=program(4, ["a" * 4000] * 3000, [("a", 0)], sequence([(3, 1, 1)], 9))),
        "nesting": nested(plain),
        "names in a circle": circle(plain),
    }


def length4(content: bytes) -> bytes:
    return len(content).to_bytes(4, "little")


def inlining(plain: bytes, entries: bytes, more: bytes = b"") -> bytes:
    """Give a module with a unit of addresses 3 to 30 and these entries in it; abbreviation 2 is an inlined function."""
    abbreviations = b"\x01\x11\x01\x10\x17\x11\x01\x12\x06\0\0" + b"\x02\x1d\x01\x31\x13\x11\x01\x12\x0b\x58\x0b\x59\x0b\0\0" + more + b"\0"
    top = b"\x01" + b"\0" * 4 + b"\x03\0\0\0" + b"\x1b\0\0\0"
    info = unit(b"\x04\0\0\0\0\0\x04" + top + entries)
    return with_sections(plain, line=program(4, [], [("a.c", 0)], sequence([(3, 1, 1)], 30)), info=info, abbrev=abbreviations)


def nested(plain: bytes) -> bytes:
    """Inlined functions 100,000 deep."""
    return inlining(plain, b"\x02\x0b\0\0\0\x03\0\0\0\x10\x01\x05" * 100_000)


def circle(plain: bytes) -> bytes:
    """An inlined function whose name is that of another, and so on round."""
    return inlining(plain, b"\x02\x19\0\0\0\x03\0\0\0\x10\x01\x05" + b"\x02\x19\0\0\0\x03\0\0\0\x10\x01\x06\0\0\0")


BOMBS = bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    """Reading ends when the budget is spent; asking again costs nothing."""
    source = SourceMap(decode(BOMBS[name]))
    started = time.process_time()
    for offset in range(START, START + 20):
        places(source, offset)
    assert not exceeds(time.process_time() - started, QUICK)


def test_inlined_by_hand() -> None:
    """Two calls at one place, inner and outer; the names are in a third entry, with a linkage name and without."""
    third = b"\x03\x2e\0\x03\x08\x6e\x08\0\0" + b"\x04\x2e\0\x03\x08\0\0"
    head = 4 + 7 + 13  # the unit's header and the first entry
    named_first = b"\x03f\0_Z1fv\0"
    named_second = b"\x04g\0"
    outer = b"\x02" + head.to_bytes(4, "little") + b"\x05\0\0\0" + b"\x0a\x01\x14"
    inner = b"\x02" + (head + len(named_first)).to_bytes(4, "little") + b"\x06\0\0\0" + b"\x02\x01\x1e"
    source = SourceMap(decode(inlining(EMPTY, named_first + named_second + outer + inner + b"\0\0\0", third)))
    assert [line for _, _, line in places(source, START + 5)] == [1, 20]
    found = places(source, START + 6)
    assert [line for _, _, line in found] == [1, 30, 20]
    assert found[0][0] == "g" and found[1][0] in ("f", "f()") and found[2][0] == "func[0]"
    assert len(places(source, START + 16)) == 1


def test_the_budget_is_one_for_all() -> None:
    """With little to spend, less is known, and what is known stays so."""
    data = PLUGINS[2].read_bytes()
    body = decode(data).body(2)
    answers = []
    for budget in (0, 10, 50, 100, 200, 400, 1000, BUDGET):
        source = SourceMap(decode(data))
        source._lines = table(data, budget)
        answers.append(places(source, body.start + 3))
        assert places(source, body.start + 3) == answers[-1]
    assert answers[0] == [] and answers[-1] and answers[-2] == answers[-1]


def test_section_named_twice_and_empty() -> None:
    """Sections of the same name, empty ones, and names that only look alike."""
    module = EMPTY + custom(".debug_line", b"") + custom(".debug_linee", b"abc") + custom(".debug_line", b"\x01")
    assert ask_everywhere(module) == 0
