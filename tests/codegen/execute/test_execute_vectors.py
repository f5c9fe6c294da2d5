"""Every operation on vectors on random and on peculiar operands, with and without AVX, against wasmtime."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import Any, Final

import pytest

import figwasp
from figwasp.wasm.syntax import types
from figwasp.wasm.syntax.immediates import LANE, LANES, NONE
from figwasp.wasm.syntax.opcodes import ROWS, Opcode
from tests.codegen.features import SETS, using
from tests.tools import package

CASES: Final = 96
RECORD: Final = 64  # bytes of the operands of one case, and of what comes of it
IN: Final = 8  # which is not aligned
OUT: Final = (1 << 16) + 8

NAMES: Final = {types.I32: "i32", types.I64: "i64", types.F32: "f32", types.F64: "f64", types.V128: "v128"}


def _operations() -> list[Opcode]:
    """List the instructions that compute something of or into a vector."""
    kinds = (LANE, LANES, NONE)
    return [
        row
        for row in ROWS
        if "simd" in row.proposal and row.immediates in kinds and not row.name.startswith(("v128.load", "v128.store"))
    ]  # fmt: skip


def _params(row: Opcode) -> types.Types:
    assert row.params is not None
    return row.params


def _result(row: Opcode) -> int:
    assert row.results is not None
    return row.results[0]


# Operands

SPECIAL: Final[dict[str, list[int] | list[float]]] = {
    "b": [0, 1, 2, 0x7F, 0x80, 0x81, 0xFE, 0xFF, 0x0F, 0x10],
    "h": [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0x8001, 0xFFFF],
    "i": [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF, 0x1_0000, 0x8000_0001],
    "q": [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 0xFFFF_FFFF, 1 << 32, 1 << 31],
    "f": [
        0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, float("inf"), float("-inf"), float("nan"), 2147483520.0, 2147483648.0,
        -2147483648.0, 4294967040.0, 4294967296.0, 1e-45, 3.4e38, 127.7, -128.2, 8388609.0,
    ],
    "d": [
        0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, float("inf"), float("-inf"), float("nan"), 2147483647.0, 2147483648.0,
        -2147483649.0, 4294967295.9, 4294967296.0, 5e-324, 1.7e308, 0.49999999999999994, 4503599627370497.0,
    ],
}  # fmt: skip


def _vector(source: random.Random) -> bytes:
    """Make 16 bytes: random ones, or lanes of peculiar values."""
    if source.random() < 0.3:
        return source.randbytes(16)
    letter = source.choice("bhiqfd")
    count = 16 // struct.calcsize(letter)
    code = letter if letter in "fd" else letter.upper()
    return struct.pack(f"<{count}{code}", *[source.choice(SPECIAL[letter]) for _ in range(count)])


def _records(seed: str) -> bytes:
    source = random.Random(seed)
    return b"".join(_vector(source) + _vector(source) + _vector(source) + bytes(16) for _ in range(CASES))


# Functions


def _half(which: str, operand: int) -> str:
    """Write the even or the odd lanes of bytes as words."""
    return f"(i16x8.extend_low_i8x16_s (i8x16.shuffle {{{which}}} {{{operand}}} {{{operand}}}))"


_RELAXED: Final = {
    "i8x16.relaxed_swizzle": (("{0}", "(v128.and {1} (v128.const i8x16" + " 0x8f" * 16 + "))"), "(i8x16.swizzle {0} {1})"),
    "i32x4.relaxed_trunc_f32x4_s": (("(f32x4.convert_i32x4_s (i32x4.shr_s {0} (i32.const 1)))",), "(i32x4.trunc_sat_f32x4_s {0})"),
    "i32x4.relaxed_trunc_f32x4_u": (("(f32x4.convert_i32x4_u (i32x4.shr_u {0} (i32.const 1)))",), "(i32x4.trunc_sat_f32x4_u {0})"),
    "i32x4.relaxed_trunc_f64x2_s_zero": (("(f64x2.convert_low_i32x4_s {0})",), "(i32x4.trunc_sat_f64x2_s_zero {0})"),
    "i32x4.relaxed_trunc_f64x2_u_zero": (("(f64x2.convert_low_i32x4_u {0})",), "(i32x4.trunc_sat_f64x2_u_zero {0})"),
    "i16x8.relaxed_q15mulr_s": (("(v128.or {0} (i16x8.splat (i32.const 1)))", "{1}"), "(i16x8.q15mulr_sat_s {0} {1})"),
    "i16x8.relaxed_dot_i8x16_i7x16_s": (
        ("{0}", "(i8x16.shr_u {1} (i32.const 1))"),
        f"(i16x8.add (i16x8.mul {_half('even', 0)} {_half('even', 1)}) (i16x8.mul {_half('odd', 0)} {_half('odd', 1)}))",
    ),
    "i32x4.relaxed_dot_i8x16_i7x16_add_s": (
        ("{0}", "(i8x16.shr_u {1} (i32.const 1))", "{2}"),
        "(i32x4.add {2} (i32x4.extadd_pairwise_i16x8_s (i16x8.relaxed_dot_i8x16_i7x16_s {0} {1})))",
    ),
}  # fmt: skip
"""Operands for which there is only one result, from any; and what has that for certain."""
for _shape, _bits in (("i8x16", 8), ("i16x8", 16), ("i32x4", 32), ("i64x2", 64)):
    _whole = f"({_shape}.shr_s {{2}} (i32.const {_bits - 1}))"
    _RELAXED[f"{_shape}.relaxed_laneselect"] = (("{0}", "{1}", _whole), "(v128.bitselect {0} {1} {2})")
for _name in ("min", "max"):
    for _shape, _make in (("f32x4", "(f32x4.convert_i32x4_s {})"), ("f64x2", "(f64x2.convert_low_i32x4_s {})")):
        _odd = "(v128.or {} (i32x4.splat (i32.const 1)))"
        _made = tuple(_make.format(_odd.format(f"{{{number}}}")) for number in (0, 1))
        _RELAXED[f"{_shape}.relaxed_{_name}"] = (_made, f"({_shape}.{_name} {{0}} {{1}})")
_UNFUSED: Final = {
    f"{shape}.relaxed_{name}madd": f"({shape}.{add} {{2}} ({shape}.mul {{0}} {{1}}))"
    for shape in ("f32x4", "f64x2")
    for name, add in (("", "add"), ("n", "sub"))
}


def _immediates(row: Opcode, source: random.Random) -> Iterator[str]:
    """Yield immediates: every lane, or shuffles of all kinds."""
    if row.immediates == LANE:
        count = int(row.name.partition(".")[0].partition("x")[2])
        yield from map(str, range(count))
    elif row.immediates == LANES:
        for numbers in _shuffles(source):
            yield " ".join(map(str, numbers))
    else:
        yield ""


def _shuffles(source: random.Random) -> Iterator[list[int]]:
    """Yield numbers of shuffles: lanes of each size by chance, of one operand and of two; interleaved, blended and rotated ones."""
    for size in (1, 2, 4, 8):
        count = 16 // size
        chosen = [[source.randrange(width) for _ in range(count)] for width in (count, 2 * count) for _ in range(4)]
        chosen += [[lane + count * source.randrange(2) for lane in range(count)] for _ in range(2)]
        chosen.append([source.randrange(width) for width in [count] * (count // 2) + [2 * count] * (count // 2)])
        chosen.append([0] * count)
        for half in (0, count // 2):
            for first, second in ((0, count), (count, 0), (0, 0)):
                chosen.append([half + lane + from_ for lane in range(count // 2) for from_ in (first, second)])
        for lanes in chosen:
            yield [lane * size + byte for lane in lanes for byte in range(size)]
    for first in (0, 1, 5, 8, 15, 16, 17, 24, 31):
        yield [(first + place) % 32 for place in range(16)]
    yield [2, 3, 0, 1, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15]
    yield [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 8, 9, 14, 15, 12, 13]
    yield [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]


def _constant(code: int, source: random.Random) -> str:
    if code == types.V128:
        return f"(v128.const i8x16 {' '.join(map(str, _vector(source)))})"
    if code == types.I32:
        return f"(i32.const {source.choice([0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 200, -1])})"
    if code == types.I64:
        return f"(i64.const {source.choice([0, -1, 1 << 40])})"
    return f"({NAMES[code]}.const {source.choice(['0', '-0', '1.5', 'nan', 'inf'])})"


def _expressions(row: Opcode, source: random.Random) -> Iterator[tuple[list[str], str]]:
    """Yield operands and immediates: operands in memory, in locals that are needed later, and constants, the same one twice."""
    params = _params(row)
    loads = [f"({NAMES[code]}.load offset={16 * place} (local.get $in))" for place, code in enumerate(params)]
    locals_ = [f"(local.get ${NAMES[code]}{place})" for place, code in enumerate(params)]
    for immediate in _immediates(row, source):
        yield loads, immediate
        yield locals_, immediate
        if len(params) == 1:
            continue
        for place, code in enumerate(params):
            for number in range(12 if code == types.I32 and row.immediates == NONE else 1):
                constants = [_constant(code, random.Random(f"{row.name} {number}"))] * (place + 1)
                yield [*locals_[:place], constants[-1], *loads[place + 1 :]], immediate
        if params[0] == params[1] == types.V128:
            yield [locals_[0], locals_[0], *locals_[2:]], immediate
            zero = "(v128.const i64x2 0 0)"
            yield [loads[0], zero, *loads[2:]], immediate
            yield [zero, loads[1], *loads[2:]], immediate


def _function(name: str, row: Opcode, expression: str) -> str:
    """Write a function that computes for all records: (address of the operands, address of the results)."""
    gets = "".join(
        f"(local.set ${NAMES[code]}{place} ({NAMES[code]}.load offset={16 * place} (local.get $in)))"
        for place, code in enumerate(_params(row))
    )
    keeps = "".join(
        f"({NAMES[code]}.store offset={16 * place + 16} (local.get $out) (local.get ${NAMES[code]}{place}))"
        for place, code in enumerate(_params(row))
    )
    variables = "".join(f"(local ${NAMES[code]}{place} {NAMES[code]})" for place, code in enumerate(_params(row)))
    step = "".join(f"(local.set ${way} (i32.add (local.get ${way}) (i32.const {RECORD})))" for way in ("in", "out"))
    result = NAMES[_result(row)]
    variables += f"(local $result {result})"
    store = f"({result}.store (local.get $out) {expression})"
    if result != "v128" and int(name) % 2:  # not from the vector straight to memory
        both = "".join(f"({result}.store offset={offset} (local.get $out) (local.get $result))" for offset in (0, 8))
        store = f"(local.set $result {expression}) {both}"
    again = f"(br_if $next (i32.lt_u (local.get $in) (i32.const {IN + CASES * RECORD})))"
    return f'(func (export "{name}") (param $in i32) (param $out i32) {variables} (loop $next {gets} {store} {keeps} {step} {again}))'


def _modules(row: Opcode, fused: bool) -> tuple[str, str, int]:
    """Write the module under test and that of the model, and say how many functions they have."""
    ours: list[str] = []
    theirs: list[str] = []
    prepared, model = _RELAXED.get(row.name, (None, None))
    if row.name in _UNFUSED and not fused:
        model = _UNFUSED[row.name]
    for operands, immediate in _expressions(row, random.Random(row.name)):
        if prepared is not None:
            operands = [text.format(*operands) for text in prepared]
        expression = f"({row.name} {immediate} {' '.join(operands)})"
        evens = {"even": " ".join(str(2 * (n % 8)) for n in range(16)), "odd": " ".join(str(2 * (n % 8) + 1) for n in range(16))}
        number = str(len(ours))
        ours.append(_function(number, row, expression))
        theirs.append(_function(number, row, model.format(*operands, **evens) if model else expression))
    memory = '(memory (export "memory") 3)'
    return f"(module {memory} {' '.join(ours)})", f"(module {memory} {' '.join(theirs)})", len(ours)


# Comparison


def _lanes(row: Opcode) -> str:
    """Return the format of lanes that may be any NaN, or an empty text."""
    shape, _, operation = row.name.partition(".")
    if _result(row) != types.V128 or shape not in ("f32x4", "f64x2") or operation in ("eq", "ne", "lt", "gt", "le", "ge"):
        return ""
    return "<4I" if shape == "f32x4" else "<2Q"


def _same(row: Opcode, ours: bytes, theirs: bytes) -> bool:
    """Compare results; where the specification lets a NaN be chosen, any quiet one is right."""
    if ours == theirs:
        return True
    lanes = _lanes(row)
    if not lanes:
        return False
    quiet, magnitude = (0x7FC0_0000, 0x7FFF_FFFF) if lanes == "<4I" else (0x7FF8 << 48, (1 << 63) - 1)
    pairs = zip(struct.unpack(lanes, ours), struct.unpack(lanes, theirs))
    return all(mine == other or (mine & quiet == quiet and quiet <= other & magnitude) for mine, other in pairs)


def _ours(module: str, count: int, records: bytes) -> list[bytes]:
    instance = figwasp.load(figwasp.wat(module))
    found = []
    for number in range(count):
        memory = instance.exports.memory
        memory[IN : IN + len(records)] = records
        instance.exports[str(number)](IN, OUT)
        found.append(bytes(memory[OUT : OUT + CASES * RECORD]))
    return found


def _theirs(wasmtime: Any, module: str, count: int, records: bytes) -> list[bytes]:
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, module), []).exports(store)
    found = []
    for number in range(count):
        exports["memory"].write(store, records, IN)
        exports[str(number)](store, IN, OUT)
        found.append(bytes(exports["memory"].read(store, OUT, OUT + CASES * RECORD)))
    return found


@pytest.mark.parametrize("features", SETS.values(), ids=SETS)
@pytest.mark.parametrize("row", _operations(), ids=lambda row: row.name)
def test_operation(row: Opcode, features: frozenset[str]) -> None:
    wasmtime = package("wasmtime")
    module, model, count = _modules(row, "fma" in features)
    records = _records(row.name)
    with using(features):
        ours = _ours(module, count, records)
    theirs = _theirs(wasmtime, model, count, records)
    for number in range(count):
        for case in range(CASES):
            place = case * RECORD
            mine, other = [found[number][place : place + RECORD] for found in (ours, theirs)]
            given = records[place : place + RECORD].hex(" ", 16)
            assert _same(row, mine[:16], other[:16]), (number, given, mine[:16].hex(), other[:16].hex())
            assert mine[16:] == other[16:], "an operand was changed"
