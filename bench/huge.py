"""Compile generated functions of extreme size: microseconds per instruction and peak memory, each in a process of its own.

Run with `python bench/huge.py [NAME ...]`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import side  # puts the tree's own src first

from figwasp.wasm.binary.encode import encode, locals_vector
from figwasp.wasm.binary.leb128 import write_unsigned
from figwasp.wasm.syntax.module import FUNC, Export, Module
from figwasp.wasm.syntax.types import I32, FuncType

LOCALS = 49_999  # beside the parameter: the limit is 50,000
INSTRUCTIONS = 200_000
TARGETS = 10_000


def _leb(value: int) -> bytes:
    out = bytearray()
    write_unsigned(out, value)
    return bytes(out)


def _const(value: int) -> bytes:
    """i32.const of a number below 64."""
    return bytes((0x41, value & 63))


def straight() -> tuple[int, bytes]:
    """One block that mixes its parameter: 200,000 instructions."""
    step = b"\x20\x00\x41\x05\x6c\x20\x01\x6a\x22\x01\x20\x00\x73\x21\x00"  # p0 = (l1 = p0 * 5 + l1) ^ p0
    return 1, step * (INSTRUCTIONS // 9) + b"\x20\x00"


def locals_() -> tuple[int, bytes]:
    """50,000 locals, all written, then all read; branches between."""
    out = bytearray()
    for i in range(1, LOCALS):
        out += b"\x20\x00" + _const(i) + b"\x6a\x21" + _leb(i)
        if i % 50 == 0:
            out += b"\x02\x40\x20\x00\x0d\x00\x20\x00\x41\x01\x6a\x21\x00\x0b"  # block; br_if 0 p0; p0 += 1; end
    out += b"\x41\x00"
    for i in range(1, LOCALS):
        out += b"\x20" + _leb(i) + b"\x6a"
    return LOCALS, bytes(out)


def switch() -> tuple[int, bytes]:
    """A 10,000-way br_table; every target adds something to a local."""
    out = bytearray(b"\x02\x40" * (TARGETS + 1))
    out += b"\x20\x00\x0e" + _leb(TARGETS) + b"".join(_leb(i) for i in range(TARGETS + 1))
    for i in range(TARGETS + 1):
        out += b"\x0b\x20\x01" + _const(i) + b"\x6a\x21\x01"
    return 1, bytes(out) + b"\x20\x01"


def loops() -> tuple[int, bytes]:
    """Many small loops one after the other: 200,000 instructions in 20,000 blocks."""
    # l1 = p0 & 7; loop { l2 += l1; l1 -= 1; br_if l1 > 0 }
    one = b"\x20\x00\x41\x07\x71\x21\x01\x03\x40\x20\x02\x20\x01\x6a\x21\x02\x20\x01\x41\x01\x6b\x22\x01\x41\x00\x4a\x0d\x00\x0b"
    return 2, one * (INSTRUCTIONS // 17) + b"\x20\x02"


CASES: dict[str, Callable[[], tuple[int, bytes]]] = {"straight": straight, "locals": locals_, "switch": switch, "loops": loops}


def module(name: str) -> bytes:
    """Return the binary of a case: one exported function (i32) -> i32."""
    count, body = CASES[name]()
    made = Module()
    made.types.append(FuncType(bytes([I32]), bytes([I32])))
    made.func_types.append(0)
    made.exports.append(Export("f", FUNC, 0))
    return encode(made, [locals_vector(bytes([I32]) * count) + body + b"\x0b"], [])


def measure(name: str) -> None:
    """Compile and call one case; print a line."""
    import figwasp
    from figwasp.wasm.binary.decode import decode
    from figwasp.wasm.valid.module import validate

    data = module(name)
    count = validate(decode(data))[0].num_ops
    start = time.perf_counter()
    instance = figwasp.load(data)
    result = instance.exports.f(3)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = 1e6 * seconds / count
    print(f"{name:10} {count:8} instructions {seconds:7.2f} s {each:6.1f} us each  peak {peak:5.0f} MB  f(3) = {result}")


def main() -> None:
    """Measure every case, or those named."""
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        measure(sys.argv[2])
        return
    print(side.machine())
    for name in sys.argv[1:] or CASES:
        subprocess.run([sys.executable, __file__, "--one", name], check=True)


if __name__ == "__main__":
    main()
