"""Walks over frames by emitted code: they find what the walk in Python finds, on stacks of all kinds; and what the map says of code."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable

import pytest

import figwasp
from figwasp import layout
from figwasp.codegen import unwind
from figwasp.codegen.code import Code
from figwasp.ir import ops
from figwasp.ir.func import CONV_C
from figwasp.ir.ops import I64
from figwasp.runtime.code.ranges import Site
from figwasp.runtime.platform import linux
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.start import native_runtime
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.builtins.walk import Walk
from figwasp.runtime.trap.traps import TrapReporter

MOST = 4096


def nothing(_context: int) -> BaseException:
    raise AssertionError


@pytest.fixture(scope="module")
def trace() -> Callable[[int, int], list[tuple[int, int]]]:
    """Return the frames that emitted code finds from a frame on: return addresses and stack pointers."""
    e = Stub("trace", bytes([I64] * 3), bytes([I64]), CONV_C)
    pc, sp, buffer = e.params
    walk = Walk(e, pc, sp)
    place = e.get(buffer, 0)
    e.put(walk.pc, place, 0)
    e.put(walk.pointer, place, 8)
    e.put(e.emit(ops.I64_ADD, [place, e.word(16)]), buffer, 0)
    walk.go_on()
    e.at(walk.end)
    e.ret([e.word(0)])
    stubs = native_runtime().stubs
    code = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 3)(stubs.install(stubs.translate(e.func)))

    def call(pc: int, sp: int) -> list[tuple[int, int]]:
        cells = (ctypes.c_uint64 * (2 * MOST + 1))()
        start = ctypes.addressof(cells) + 8
        cells[0] = start
        code(pc, sp, ctypes.addressof(cells))
        count = (cells[0] - start) // 16
        return [(cells[1 + 2 * k], cells[2 + 2 * k]) for k in range(count)]

    return call


class Prober:
    """A host function that walks over the frames below it in both ways."""

    def __init__(self, trace: Callable[[int, int], list[tuple[int, int]]]) -> None:
        self.trace = trace
        self.context = 0
        self.found: list[list[Site]] = []

    def __call__(self) -> None:
        native = native_runtime()
        pointer = linux.read_u64(self.context + layout.CTX_WASM_SP)
        place = machine().sequences.native_return
        pc, sp = linux.read_u64(pointer + place), pointer + place + 8
        expected = TrapReporter(native.table, machine(), nothing).walk(pc, sp, linux.read_u64(self.context + layout.CTX_STACK_TOP))
        found = self.trace(pc, sp)
        sites = [(native.table.find(pc), pc) for pc, _ in found]
        assert [(placed, pc) for placed, pc in sites if placed is not None and placed.source_map is not None] == expected
        assert all(placed is not None for placed, _ in sites)
        assert [sp for _, sp in found] == sorted(sp for _, sp in found)
        self.found.append(expected)


PARAMS = ("", "i32", "i64 f64 i32 f32 v128", " ".join(["i64"] * 12), " ".join(["i64"] * 9 + ["v128", "f32"] * 9))


def program(seed: int) -> str:
    """Functions of many types that call each other, directly and through a table, ever deeper, and now and then the host."""
    rng = random.Random(seed)
    zero = {"i32": "i32.const 0", "i64": "i64.const 0", "f32": "f32.const 0", "f64": "f64.const 0", "v128": "v128.const i64x2 0 0"}
    signatures = [rng.choice(PARAMS) for _ in range(12)]
    text = '(module (import "" "probe" (func $probe)) (table 12 funcref) (memory 1)\n'
    for number, types in enumerate(signatures):
        body = []
        for _ in range(rng.randrange(1, 4)):
            # the number of calls is halved with the depth, so that it ends
            callee = rng.randrange(12)
            args = " ".join(f"({zero[type]})" for type in signatures[callee].split())
            if rng.random() < 0.5:
                call = f"(call $f{callee} {args})"
            else:
                call = f"(call_indirect (param {signatures[callee]}) {args} (i32.const {callee}))"
            body.append(f"(if (i32.gt_s (global.get $left) (i32.const 0)) (then (global.set $left (i32.sub (global.get $left) (i32.const 1))) {call}))")
        body.insert(rng.randrange(len(body) + 1), "(call $probe)")
        if rng.random() < 0.3:
            body.append("(drop (memory.grow (i32.const 0)))")
        text += f"(func $f{number} (param {types}) {' '.join(body)})\n"
    args = " ".join(f"({zero[type]})" for type in signatures[0].split())
    elems = " ".join(f"$f{number}" for number in range(12))
    text += f'(elem (i32.const 0) {elems}) (global $left (export "left") (mut i32) (i32.const 60))'
    return text + f'(func (export "run") (call $f0 {args})))'


@pytest.mark.parametrize("seed", range(20))
def test_both_walks_find_the_same(trace: Callable[[int, int], list[tuple[int, int]]], seed: int) -> None:
    prober = Prober(trace)
    instance = figwasp.load(figwasp.wat(program(seed)), {"": {"probe": prober}})
    prober.context = instance._state.store.context
    instance.run()  # each function is compiled on the way
    instance.left.value = 60
    instance.run()
    assert max(map(len, prober.found)) > 3


def test_entries_nest(trace: Callable[[int, int], list[tuple[int, int]]]) -> None:
    """A walk ends where Python has called: what called that is another chain of frames."""
    prober = Prober(trace)

    def again(depth: int) -> None:
        prober()
        if depth:
            instance.run(depth - 1)

    text = '(module (import "" "again" (func $again (param i32))) (func (export "run") (param i32) (call $again (local.get 0))))'
    instance = figwasp.load(figwasp.wat(text), {"": {"again": again}})
    prober.context = instance._state.store.context
    instance.run(5)
    assert [len(sites) for sites in prober.found] == [1] * 6


def record_of(places: bytes, granule: int) -> tuple[int, int]:
    """Follow the steps of a map from a granule; return the granule of the record, and how many steps it took."""
    steps = 0
    while True:
        step = places[granule]
        assert step
        steps += 1
        if step < unwind.HOP:
            return granule + step, steps
        granule += unwind.HOP_BASE << step - unwind.HOP


@pytest.mark.parametrize("size", [1, 15, 16, 17, 16 * 126, 16 * 127, 16 * 128, 16 * 381, 16 * 382, 100_000, 2_000_000])
def test_every_granule_leads_to_the_record(size: int) -> None:
    code = Code("f", 0)
    code.data = bytes(size)
    code.frame_size = 0x1234
    data, places = unwind.describe(code.data, [(0, size, code)], 14)
    assert len(places) == (size + 15) // 16 and len(data) == 16 * len(places) + layout.FRAME_SITES
    step = max(1, len(places) // 1000)
    found = [record_of(places, granule) for granule in [*range(0, len(places), step), *range(max(0, len(places) - 500), len(places))]]
    assert {place for place, _ in found} == {len(places)}
    assert max(steps for _, steps in found) <= 3 + size.bit_length()
    assert int.from_bytes(data[16 * len(places) :][:4], "little") == 0x1234
