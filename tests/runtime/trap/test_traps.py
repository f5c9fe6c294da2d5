"""Traps: wording, frames and offsets, in guard and in checked mode; the instance goes on after each."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

import figwasp
from tests.runtime.support import check_script, host

Loader = Callable[..., figwasp.Instance]


@pytest.fixture(params=["guard", "checked"])
def load(request: pytest.FixtureRequest) -> Loader:
    """Give a function that instantiates text in one of the two memory modes."""
    engine = figwasp.Engine(memory=request.param)

    def load_in_mode(text: str, imports: Any = None) -> figwasp.Instance:
        return figwasp.load(figwasp.wat(text), imports, engine=engine)

    return load_in_mode


def trapped(call: Callable[..., object], *args: object) -> figwasp.Trap:
    """Call, expect a trap, return it."""
    with pytest.raises(figwasp.Trap) as caught:
        call(*args)
    assert str(caught.value).startswith(caught.value.code)
    return caught.value


INT_MIN = {"i32": -(2**31), "i64": -(2**63)}


@pytest.mark.parametrize("type_", ["i32", "i64"])
def test_division(load: Loader, type_: str) -> None:
    """Division and remainder by zero trap, the one overflowing quotient too; the remainder there is 0."""
    ops = ("div_s", "div_u", "rem_s", "rem_u")
    inst = load(
        "(module "
        + "".join(
            f'(func (export "{op}") (param {type_} {type_}) (result {type_}) ({type_}.{op} (local.get 0) (local.get 1)))' for op in ops
        )
        + "".join(
            f'(func (export "{op}_by_0") (param {type_}) (result {type_}) ({type_}.{op} (local.get 0) ({type_}.const 0)))' for op in ops
        )
        + ")"
    )
    for op in ops:
        assert trapped(inst.exports[op], 7, 0).code == "integer divide by zero"
        assert trapped(inst.exports[op + "_by_0"], 7).code == "integer divide by zero"
    least = INT_MIN[type_]
    assert trapped(inst.div_s, least, -1).code == "integer overflow"
    assert inst.rem_s(least, -1) == 0
    assert inst.div_u(least, -1) == 0
    assert inst.div_s(-7, 2) == -3 and inst.rem_s(-7, 2) == -1 and inst.div_u(-1, 2) == -least - 1


@pytest.mark.parametrize("to", ["i32", "i64"])
@pytest.mark.parametrize("from_", ["f32", "f64"])
def test_truncation(load: Loader, to: str, from_: str) -> None:
    """Float to int traps on NaN and out of range, and is exact just inside."""
    inst = load(
        "(module "
        + "".join(f'(func (export "{s}") (param {from_}) (result {to}) ({to}.trunc_{from_}_{s} (local.get 0)))' for s in "su")
        + ")"
    )
    bits = int(to[1:])
    for s, low, high in (("s", -(2.0 ** (bits - 1)), 2.0 ** (bits - 1)), ("u", 0.0, 2.0**bits)):
        func = inst.exports[s]
        assert trapped(func, float("nan")).code == "invalid conversion to integer"
        for bad in (high, high * 2, float("inf"), float("-inf"), -1.0 if s == "u" else below(low, from_, bits)):
            assert trapped(func, bad).code == "integer overflow", bad
        mask = (1 << bits) - 1
        just_below = last_before(high, from_)
        for good in (low, -0.999, 0.5, just_below):
            assert func(good) & mask == int(good) & mask


def below(low: float, from_: str, bits: int) -> float:
    """Give the largest float whose whole part lies below the range."""
    if from_ == "f64" and bits == 32:
        return low - 1.0
    return -last_after(-low, from_)


def last_before(value: float, type_: str) -> float:
    """Give the float before a positive one."""
    code, size = ("<f", "<I") if type_ == "f32" else ("<d", "<Q")
    result: float = struct.unpack(code, struct.pack(size, struct.unpack(size, struct.pack(code, value))[0] - 1))[0]
    return result


def last_after(value: float, type_: str) -> float:
    """Give the float after a positive one."""
    code, size = ("<f", "<I") if type_ == "f32" else ("<d", "<Q")
    result: float = struct.unpack(code, struct.pack(size, struct.unpack(size, struct.pack(code, value))[0] + 1))[0]
    return result


LOADS = {
    "i32.load8_u": 1, "i32.load8_s": 1, "i32.load16_u": 2, "i32.load16_s": 2, "i32.load": 4, "i64.load8_u": 1, "i64.load8_s": 1,
    "i64.load16_u": 2, "i64.load16_s": 2, "i64.load32_u": 4, "i64.load32_s": 4, "i64.load": 8, "f32.load": 4, "f64.load": 8,
}  # fmt: skip
STORES = {
    "i32.store8": 1, "i32.store16": 2, "i32.store": 4, "i64.store8": 1, "i64.store16": 2, "i64.store32": 4, "i64.store": 8,
    "f32.store": 4, "f64.store": 8,
}  # fmt: skip
OFFSETS = (0, 1, 7, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 65537, 2**32 - 1)


def memory_module() -> str:
    """Write a module with every access at every offset, of two pages."""
    parts = ['(module (memory (export "memory") 2)']
    for offset in OFFSETS:
        for op in LOADS:
            parts.append(f'(func (export "{op}+{offset}") (param i32) (result {op[:3]}) ({op} offset={offset} (local.get 0)))')
        for op in STORES:
            parts.append(f'(func (export "{op}+{offset}") (param i32) ({op} offset={offset} (local.get 0) ({op[:3]}.const 1)))')
    return "".join(parts) + ")"


def test_out_of_bounds_at_every_width_and_offset(load: Loader) -> None:
    """Each access works up to the last byte and traps one byte beyond it, at the 4 GiB edge and beyond 32 bits as well."""
    inst = load(memory_module())
    length = 2 * 65536
    for op, width in (LOADS | STORES).items():
        for offset in OFFSETS:
            func = inst.exports[f"{op}+{offset}"]
            last = length - width - offset
            if last >= 0:
                func(last)
                if last:
                    func(0)
            for bad in {last + 1, last + width, length - offset, length, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - width, 2**32 - offset}:
                if 0 <= bad < 2**32 and bad > last:
                    trap = trapped(func, bad)
                    assert trap.code == "out of bounds memory access"
                    assert len(trap.frames) == 1 and trap.frames[0].name == f"{op}+{offset}"


def test_constant_addresses(load: Loader) -> None:
    """Accesses whose address is a constant trap and work alike."""
    text = "(module (memory 1)"
    places = [(65532, 0), (65533, 0), (0, 65528), (0, 65533), (-1, 0), (-1, 2**32 - 1), (65536, 2**32 - 65536)]
    for k, (address, offset) in enumerate(places):
        text += f'(func (export "load{k}") (result i32) (i32.load offset={offset} (i32.const {address})))'
        text += f'(func (export "store{k}") (i32.store offset={offset} (i32.const {address}) (i32.const 5)))'
    inst = load(text + ")")
    for k in (0, 2):
        assert inst.exports[f"load{k}"]() == 0
        inst.exports[f"store{k}"]()
        assert inst.exports[f"load{k}"]() == 5
    for k in (1, 3, 4, 5, 6):
        assert trapped(inst.exports[f"load{k}"]).code == "out of bounds memory access"
        assert trapped(inst.exports[f"store{k}"]).code == "out of bounds memory access"


def test_partial_store_writes_nothing(load: Loader) -> None:
    """A store across the end of memory leaves the bytes before the end alone."""
    inst = load(
        '(module (memory (export "memory") 1) (func (export "f") (param i32) (i64.store (local.get 0) (i64.const -1)))'
        '(func (export "g") (param i32) (f64.store (local.get 0) (f64.const -1.1)))'
        '(func (export "h") (param i32) (i32.store16 (local.get 0) (i32.const -1))))'
    )
    for name in "fgh":
        trapped(inst.exports[name], 65535)
    for name in "fg":
        for k in range(1, 8):
            trapped(inst.exports[name], 65536 - k)
    assert inst.memory[65520:] == bytes(16)


def test_memory_of_no_pages(load: Loader) -> None:
    """An empty memory traps at 0, and works after it has grown."""
    inst = load(
        '(module (memory (export "memory") 0 3) (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0)))'
        '(func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))) (func (export "size") (result i32) (memory.size)))'
    )
    trapped(inst.get, 0)
    assert inst.grow(0) == 0 and inst.grow(1) == 0 and inst.get(65535) == 0
    trapped(inst.get, 65536)
    assert inst.grow(3) == -1 and inst.grow(-1) == -1 and inst.grow(2) == 1 and inst.size() == 3
    assert inst.get(3 * 65536 - 1) == 0
    trapped(inst.get, 3 * 65536)


BULK = """(module (memory (export "memory") 1 2)
  (data $passive "abcdefgh") (data $active (i32.const 100) "xyz")
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i32 i32 i32) (memory.init $passive (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init_active") (param i32 i32 i32) (memory.init $active (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop") (data.drop $passive)))"""


def test_bulk_memory_bounds(load: Loader) -> None:
    """fill, copy and init trap exactly when a byte lies outside, before writing any, a length of 0 at the end being fine."""
    inst = load(BULK)
    end = 65536
    for args in ((0, 1, end), (end, 1, 0), (end - 1, 1, 1), (1, 0, end - 1)):
        inst.fill(*args)
        inst.copy(*args[:1], 0, args[2])
        inst.copy(0, args[0], args[2])
    inst.memory[:] = bytes(end)
    for args in ((0, 1, end + 1), (end + 1, 1, 0), (end, 1, 1), (1, 1, end), (-1, 1, 0), (-1, 1, 1), (-1, 1, -1), (1, 1, -1), (0, 1, -1)):
        assert trapped(inst.fill, *args).code == "out of bounds memory access"
        assert trapped(inst.copy, args[0], 0, args[2]).code == "out of bounds memory access"
        assert trapped(inst.copy, 0, args[0], args[2]).code == "out of bounds memory access"
        assert inst.memory[:] == bytes(end)
    inst.init(0, 0, 8)
    assert inst.memory[:9] == b"abcdefgh\0"
    inst.init(end, 8, 0)
    inst.init(end - 1, 7, 1)
    assert inst.memory[end - 1] == ord("h")
    for args in ((0, 0, 9), (0, 9, 0), (0, 8, 1), (end, 0, 1), (end + 1, 0, 0), (-1, 0, 0), (0, -1, 1), (0, 1, -1), (end - 3, 0, 4)):
        trap = trapped(inst.init, *args)
        assert trap.code == "out of bounds memory access"
        assert trap.frames[0].name == "init"
    inst.init_active(0, 0, 0)
    trapped(inst.init_active, 0, 0, 1)
    inst.drop()
    inst.drop()
    inst.init(0, 0, 0)
    trapped(inst.init, 0, 0, 1)
    trapped(inst.init, 0, 1, 0)


def test_bulk_memory_overlap(load: Loader) -> None:
    """memory.copy is right for overlapping areas in both directions, also when longer than a piece."""
    inst = load('(module (memory (export "memory") 64) (func (export "copy") (param i32 i32 i32) '
                "(memory.copy (local.get 0) (local.get 1) (local.get 2))))")  # fmt: skip
    size = 64 * 65536
    pattern = bytes(k * 7 % 251 for k in range(65536)) * 64
    for target, source, count in ((1, 0, size - 1), (0, 1, size - 1), (1 << 20, 0, 3 << 20), (0, 1 << 20, 3 << 20), (5, 3, (2 << 20) + 9)):
        inst.memory[:] = pattern
        inst.copy(target, source, count)
        expected = bytearray(pattern)
        expected[target : target + count] = pattern[source : source + count]
        assert inst.memory[:] == bytes(expected)


TABLES = """(module
  (type $v (func (result i32))) (type $w (func (result i64)))
  (table $t (export "table") 4 8 funcref) (table $e 2 externref)
  (func $one (type $v) (i32.const 1)) (func $two (type $v) (i32.const 2)) (func $wide (type $w) (i64.const 3))
  (elem (table $t) (i32.const 0) func $one $two $wide)
  (elem $p func $two $one $wide)
  (func (export "call") (param i32) (result i32) (call_indirect $t (type $v) (local.get 0)))
  (func (export "call_const") (result i32) (call_indirect $t (type $v) (i32.const 4)))
  (func (export "get") (param i32) (result externref) (table.get $e (local.get 0)))
  (func (export "getf") (param i32) (result funcref) (table.get $t (local.get 0)))
  (func (export "set") (param i32) (table.set $t (local.get 0) (ref.func $one)))
  (func (export "fill") (param i32 i32) (table.fill $t (local.get 0) (ref.func $two) (local.get 1)))
  (func (export "init") (param i32 i32 i32) (table.init $t $p (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (table.copy $t $t (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop") (elem.drop $p))
  (func (export "grow") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0)))
  (func (export "size") (result i32) (table.size $t)))"""


def test_call_indirect(load: Loader) -> None:
    """call_indirect tells the three ways of failing apart."""
    inst = load(TABLES)
    assert inst.call(0) == 1 and inst.call(1) == 2
    assert trapped(inst.call, 2).code == "indirect call type mismatch"
    assert trapped(inst.call, 3).code == "uninitialized element"
    for index in (4, 5, 8, 2**31, 2**32 - 1, 2**29, 2**28):
        assert trapped(inst.call, index).code == "undefined element"
    assert trapped(inst.call_const).code == "undefined element"
    assert inst.grow(1) == 4
    assert trapped(inst.call, 4).code == "uninitialized element"
    inst.set(4)
    assert inst.call(4) == 1 and inst.call_const() == 1


def test_table_bounds(load: Loader) -> None:
    """Table instructions trap exactly when an element lies outside, before writing any."""
    inst = load(TABLES)
    text = "out of bounds table access"
    for index in (4, 2**31, 2**32 - 1):
        for func in (inst.getf, inst.set):
            trap = trapped(func, index)
            assert trap.code == text and trap.frames[0].name in ("getf", "set")
    for index in (2, 2**32 - 1):
        assert trapped(inst.get, index).code == text
    inst.fill(4, 0)
    for args in ((4, 1), (5, 0), (0, 5), (1, -1), (-1, 1), (-1, 0)):
        assert trapped(inst.fill, *args).code == text
    inst.init(4, 3, 0)
    for three in ((0, 0, 4), (2, 0, 3), (0, 4, 0), (5, 0, 0), (0, -1, 1), (-1, 0, 1), (0, 1, -1)):
        assert trapped(inst.init, *three).code == text
    inst.copy(4, 4, 0)
    for three in ((0, 0, 5), (1, 0, 4), (0, 1, 4), (5, 0, 0), (0, 5, 0), (-1, 0, 1), (0, -1, 1), (1, 1, -1)):
        assert trapped(inst.copy, *three).code == text
    assert inst.call(0) == 1
    inst.init(0, 0, 3)
    assert inst.call(0) == 2 and inst.call(1) == 1
    inst.copy(1, 0, 3)
    assert inst.call(1) == 2 and inst.call(2) == 1
    inst.copy(0, 1, 3)
    assert inst.call(0) == 2 and inst.call(1) == 1
    inst.fill(0, 4)
    assert [inst.call(k) for k in range(4)] == [2] * 4
    inst.drop()
    inst.init(0, 0, 0)
    trapped(inst.init, 0, 0, 1)
    assert inst.grow(-1) == -1 and inst.grow(5) == -1 and inst.grow(4) == 4 and inst.size() == 8


FRAMES = """(module $named
  (memory 1) (import "host" "f" (func $f (param i32)))
  (func $leaf (param i32) (result i32)
    (drop (i32.const 1))
    (i32.load (local.get 0)))
  (func $middle (param i32 i32) (result i32) (i32.add (call $leaf (local.get 0)) (local.get 1)))
  (func (export "outer") (param i32) (result i32) (call $middle (local.get 0) (i32.const 5)))
  (func $stop (export "stop") (unreachable))
  (func (export "through") (param i32) (call $f (local.get 0))))"""


def code_offset(module: bytes, pattern: bytes) -> int:
    """Give the one offset at which instruction bytes stand in a module."""
    assert module.count(pattern) == 1
    return module.index(pattern)


def test_frames_innermost_first_with_offsets(load: Loader) -> None:
    """A trap lists the frames from the innermost, each with its function's index, name and the instruction's offset."""
    text = FRAMES.replace('(memory 1) (import "host" "f" (func $f (param i32)))', '(import "host" "f" (func $f (param i32))) (memory 1)')
    inst = load(text, host(f=lambda x: None))
    binary = figwasp.wat(text)
    trap = trapped(inst.outer, 65536)
    assert [(frame.module, frame.func, frame.name) for frame in trap.frames] == [
        ("named", 1, "leaf"),
        ("named", 2, "middle"),
        ("named", 3, "outer"),
    ]
    at = [frame.offset for frame in trap.frames]
    assert at[0] == code_offset(binary, b"\x28\x02\x00\x0b")
    assert at[1] == code_offset(binary, b"\x10\x01\x20\x01")
    assert at[2] == code_offset(binary, b"\x10\x02\x0b")
    assert [line.partition(" @ ")[0] for line in trap.backtrace.splitlines()] == ["named!leaf", "named!middle", "named!outer"]
    shown = str(trapped(inst.outer, 65536))
    assert trap.code == "out of bounds memory access" and str(trap) == shown == f"{trap.code}, at {trap.frames[0]}"
    stop = trapped(inst.stop)
    assert [frame.name for frame in stop.frames] == ["stop"]
    assert stop.frames[0].offset == code_offset(binary, b"\x00\x00\x0b") + 1


def test_names_fall_back_to_exports_and_indexes(load: Loader) -> None:
    """Without a name section a frame is named after an export, else by its index."""
    inst = load('(module (func (unreachable)) (func (export "run") (call 0)))')
    trap = trapped(inst.run)
    assert [frame.name for frame in trap.frames] == [None, "run"]
    assert [frame.label for frame in trap.frames] == ["func[0]", "run"]
    assert trap.backtrace.splitlines()[0].startswith("<module>!func[0] @ 0x")


def test_each_site_has_its_own_offset(load: Loader) -> None:
    """Of many trapping instructions in one function, the one that trapped is told."""
    count = 40
    body = "".join(
        f"(if (i32.eq (local.get 0) (i32.const {k})) (then (local.set 1 (i32.add (local.get 1) "
        + ("(i32.load (i32.const -4))" if k % 3 == 0 else "(i32.div_u (i32.const 1) (local.get 2))" if k % 3 == 1 else "(unreachable)")
        + ")) ))"
        for k in range(count)
    )
    inst = load(f'(module (memory 1) (func (export "f") (param i32) (result i32) (local i32 i32) {body} (local.get 1)))')
    offsets = []
    for k in range(count):
        trap = trapped(inst.f, k)
        assert trap.code == ("out of bounds memory access", "integer divide by zero", "unreachable")[k % 3]
        offsets.append(trap.frames[0].offset)
    assert offsets == sorted(set(offsets))
    assert inst.f(count) == 0


def test_a_trap_right_before_an_access(load: Loader) -> None:
    """The return address of the one is where the other starts."""
    inst = load(
        """(module (memory 1) (func (export "f") (param i32)
          (block $good (br_if $good (local.get 0)) (drop (i32.div_u (i32.const 1) (i32.const 0))))
          (drop (f64.load (i32.const 65536))) (unreachable)))"""
    )
    divided, accessed = trapped(inst.f, 0), trapped(inst.f, 1)
    assert (divided.code, accessed.code) == ("integer divide by zero", "out of bounds memory access")
    assert [trap.frames[0].offset for trap in (divided, accessed)] == [0x2E, 0x35]


def test_effects_before_a_trap_stay(load: Loader) -> None:
    """What a function wrote before it trapped is there afterwards, and nothing after it."""
    inst = load(
        """(module (memory (export "memory") 1) (global $g (export "g") (mut i64) (i64.const 0))
        (func (export "f") (param i32)
          (i32.store (i32.const 0) (i32.const 1)) (global.set $g (i64.const 11))
          (drop (i32.load (local.get 0)))
          (i32.store (i32.const 4) (i32.const 2)) (global.set $g (i64.const 22))))"""
    )
    trapped(inst.f, -1)
    assert inst.memory[:8] == b"\1\0\0\0\0\0\0\0" and inst.g.value == 11
    inst.f(0)
    assert inst.memory[:8] == b"\1\0\0\0\2\0\0\0" and inst.g.value == 22


def test_dropped_loads_still_trap(load: Loader) -> None:
    """An access whose value nobody uses still traps."""
    inst = load(
        '(module (memory 1) (func (export "f") (param i32) (drop (i64.load (local.get 0))))'
        '(func (export "g") (param i32 i32) (drop (i32.div_u (local.get 0) (local.get 1))))'
        '(func (export "h") (param f32) (drop (i32.trunc_f32_s (local.get 0)))))'
    )
    trapped(inst.f, 65529)
    trapped(inst.g, 1, 0)
    trapped(inst.h, 1e30)
    inst.f(65528)


def test_trap_in_nested_chains(load: Loader) -> None:
    """A trap inside Python -> wasm -> Python -> wasm ends the inner chain only when the host function handles it."""
    log: list[str] = []

    def f(depth: int) -> None:
        if depth == 0:
            return
        try:
            inst.go(depth - 1)
        except figwasp.Trap as trap:
            log.append(f"{depth}:{trap.code}:{len(trap.frames)}")
            if depth < 3:
                raise

    inst = load(
        """(module (import "host" "f" (func $f (param i32))) (memory 1)
        (func $go (export "go") (param i32) (call $f (local.get 0))
          (if (i32.lt_u (local.get 0) (i32.const 3)) (then (drop (i32.load (i32.const -1)))))))""",
        host(f=f),
    )
    inst.go(6)
    assert log == [f"{k}:out of bounds memory access:1" for k in (1, 2, 3)]


def test_traps_do_not_leak_stack(load: Loader) -> None:
    """After many traps from deep inside, the wasm stack is as large as at first."""
    inst = load(
        """(module (memory 1) (func $down (export "down") (param i32) (result i32)
        (if (result i32) (local.get 0) (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
          (else (i32.load (i32.const -1)))))
        (func $ok (export "ok") (param i32) (result i32)
        (if (result i32) (local.get 0) (then (i32.add (i32.const 1) (call $ok (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0)))))"""
    )
    for _ in range(300):
        trap = trapped(inst.down, 500)
        assert len(trap.frames) == 501
    assert inst.ok(3000) == 3000


@pytest.mark.parametrize("order", ["before", "after", "both"])
@pytest.mark.parametrize("mode", ["guard", "checked"])
def test_faulthandler_and_ours(order: str, mode: str) -> None:
    """faulthandler enabled before or after the first load does not turn a trap into a crash, once there was a tick."""
    check_script(
        """
        import sys, faulthandler, time
        order = sys.argv[1]
        if order in ("before", "both"):
            faulthandler.enable()
        import figwasp
        inst = figwasp.load(figwasp.wat('''(module (memory 1)
          (func (export "spin") (param i32) (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
          (func (export "get") (param i32) (result i32) (i32.load (local.get 0))))'''))
        def trap():
            try:
                inst.get(-1)
            except figwasp.Trap as error:
                assert error.code == "out of bounds memory access"
            else:
                raise SystemExit("no trap")
        trap()
        if order != "before":
            faulthandler.enable()
        inst.spin(100_000_000)
        trap()
        faulthandler.disable()
        inst.spin(100_000_000)
        trap()
        """,
        order,
        env={"FIGWASP_MEMORY": mode},
    )


def test_real_faults_still_reach_faulthandler() -> None:
    """A fault outside compiled code goes to the handler before ours, and kills the process as ever."""
    from tests.runtime.support import run_script

    code = """
        import sys, ctypes, faulthandler
        if sys.argv[1] == "yes":
            faulthandler.enable()
        import figwasp
        inst = figwasp.load(figwasp.wat('(module (memory 1) (func (export "get") (param i32) (result i32) (i32.load (local.get 0))))'))
        try:
            inst.get(-1)
        except figwasp.Trap:
            pass
        print("alive", flush=True)
        ctypes.string_at(8)
    """
    for enabled in ("yes", "no"):
        done = run_script(code, enabled)
        assert done.returncode == -11 and done.stdout == "alive\n"
        assert ("Segmentation fault" in done.stderr) == (enabled == "yes")
