"""Resetting an instance to a snapshot: a CPython interpreter that has started, and one request after another in the same state.

    python bench/reset.py [--requests N] [--items N]

CPython 3.12 runs a program that asks for the resolution of a clock, and the host function that answers raises an exception: the
call is over, and the interpreter is in memory, started. The memory is grown to 64 MiB and a snapshot is taken. A request is source
code that `PyRun_SimpleString` runs; the module does not export that, so an export is added to the bytes (the function is found by
the constant "__main__" in it). Every answer has to be that of the first request. Printed are the times of the snapshot, of
requests and of resets, how many pages a request writes (/proc/self/pagemap), and what copying the memory back would take instead.

Then the time of further instances, of this module: from the snapshot, and as usual with images of the data segments and without.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import struct
import time
from collections.abc import Callable
from typing import Any

import side  # puts the tree's own src first

import figwasp
from figwasp.runtime.code import initial

MODULE = "cpython-3.12.wasm"
SIZE = 1024  # pages
TYPE = "(i32, i32) -> i32"
REQUEST = """
words = {str(k): list(range(k, k + 8)) for k in range(%d)}
seen.append(len(json.dumps(words)))
print(sum(map(len, words)), seen, flush=True)
"""


class Started(Exception):
    """The interpreter has started."""


def stop(*_: int) -> int:
    """Stand for clock_res_get."""
    raise Started


def unsigned(number: int) -> bytes:
    """Give a number as LEB128."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def signed(number: int) -> bytes:
    """Give a number that is not negative as signed LEB128."""
    out = bytearray()
    while number > 0x3F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def run_simple_string(module: figwasp.Module) -> int:
    """Give the index of PyRun_SimpleStringFlags: of the one function of its type with the address of "__main__"."""
    decoded = module._decoded
    places = []
    for segment in decoded.datas:
        found = decoded.data.find(b"__main__\0", segment.start, segment.end)
        if found >= 0 and segment.offset is not None:
            places.append(int(segment.offset.instrs[0][1]) + found - segment.start)  # type: ignore[call-overload]
    codes = [b"\x41" + signed(place) for place in places]
    first = decoded.num_imported_funcs
    of_type = [number for number in range(first, first + len(decoded.bodies)) if str(decoded.func_type(number)) == TYPE]
    bodies = [decoded.data[decoded.bodies[number - first].start : decoded.bodies[number - first].end] for number in of_type]
    (index,) = [number for number, body in zip(of_type, bodies, strict=True) if any(code in body for code in codes)]
    return index


def with_export(data: bytes, name: bytes, index: int) -> bytes:
    """Give the bytes of a module with one more exported function."""
    at = 8
    while at < len(data):
        kind, size, shift, content = data[at], 0, 0, at + 1
        while True:
            byte = data[content]
            size |= (byte & 0x7F) << shift
            shift, content = shift + 7, content + 1
            if not byte & 0x80:
                break
        if kind == 7:
            entries = data[content + 1 : content + size] + unsigned(len(name)) + name + b"\0" + unsigned(index)
            section = bytes([data[content] + 1]) + entries
            return data[:at] + b"\x07" + unsigned(len(section)) + section + data[content + size :]
        at = content + size
    raise ValueError("no exports")


def written(memory: figwasp.Memory) -> int:
    """Count the pages of a memory that are the process's own: what has been written since the reset."""
    base, size = memory._core.base, 4096
    with open("/proc/self/pagemap", "rb") as file:
        file.seek(base // size * 8)
        words = struct.unpack(f"<{len(memory) // size}Q", file.read(len(memory) // size * 8))
    return sum(word >> 63 and not word >> 61 & 1 for word in words)


def start(module: figwasp.Module, output: io.BytesIO) -> Any:
    """Give an instance in which the interpreter has started."""
    instance = module.instantiate(imports(output))
    try:
        instance.exports._start()
    except Started:
        instance.memory.grow(SIZE - instance.memory.pages)
        return instance
    raise RuntimeError("the program has ended")


def imports(output: io.BytesIO) -> Any:
    """Give the imports: those of WASI, but for the one that ends the start."""
    code = "import json, time; seen = []; print('started', flush=True); time.get_clock_info('monotonic')"
    given = figwasp.WASI(args=["python", "-c", code], stdout=output, stderr=output).imports()
    given["wasi_snapshot_preview1"] = {**given["wasi_snapshot_preview1"], "clock_res_get": stop}
    return given


def ask(instance: Any, output: io.BytesIO, place: int) -> bytes:
    """Make a request; give the answer."""
    output.seek(0)
    output.truncate()
    if instance.exports.run(place, 0):
        raise RuntimeError(output.getvalue().decode())
    return output.getvalue()


def microseconds(times: list[float]) -> str:
    """Give the median, and where nine tenths of the times are below."""
    times = sorted(times)
    return f"median {statistics.median(times) * 1e6:.0f} us, 90 % below {times[len(times) * 9 // 10] * 1e6:.0f} us"


def copied_back(memory: figwasp.Memory) -> str:
    """Give the time that it takes to copy a memory."""
    whole = bytes(memory)
    copying = []
    for _ in range(10):
        begin = time.perf_counter()
        memory[0 : len(whole)] = whole
        copying.append(time.perf_counter() - begin)
    return microseconds(copying)


def requests(module: figwasp.Module, count: int, items: int) -> figwasp.Snapshot:
    """Print the times of requests and resets; give the snapshot."""
    output = io.BytesIO()
    instance = start(module, output)
    memory = instance.memory
    place = len(memory) - 65536
    code = (REQUEST % items).encode()
    memory.write(place, code + b"\0")
    before = time.perf_counter()
    snapshot: figwasp.Snapshot = instance.snapshot()
    print(f"{snapshot!r}, taken in {(time.perf_counter() - before) * 1e3:.1f} ms")
    first = ask(instance, output, place)
    before = time.perf_counter()
    instance.reset()
    print(f"first reset, which maps the image: {(time.perf_counter() - before) * 1e6:.0f} us")
    ask(instance, output, place)
    pages = written(memory)
    instance.reset()
    asked, back = [], []
    for _ in range(count):
        begin = time.perf_counter()
        answer = ask(instance, output, place)
        end = time.perf_counter()
        asked.append(end - begin)
        if answer != first:
            raise RuntimeError(f"{answer!r} instead of {first!r}")
        begin = time.perf_counter()
        instance.reset()
        back.append(time.perf_counter() - begin)
    print(f"{count} requests gave what the first did, {first.decode().strip()!r}, and wrote {pages} pages each")
    print(f"request: {microseconds(asked)}")
    print(f"reset:   {microseconds(back)}")
    print(f"copying the memory back instead: {copied_back(memory)}")
    return snapshot


def further(module: figwasp.Module, snapshot: figwasp.Snapshot, rounds: int = 20) -> None:
    """Print the times of further instances."""
    other = figwasp.Module(module._decoded.data, engine=module.engine, lazy=True)
    other._code.initial = initial.InitialContents(other._code.native.owners, _without_data(module))
    sides: dict[str, Callable[[], object]] = {
        "from the snapshot": lambda: module.instantiate(imports(io.BytesIO()), snapshot=snapshot),
        "with images of the data": lambda: module.instantiate(imports(io.BytesIO())),
        "segments copied": lambda: other.instantiate(imports(io.BytesIO())),
    }
    for make in sides.values():
        make()
        make()
    for name, times in zip(sides, side.interleave(list(sides.values()), rounds), strict=True):
        print(f"another instance, {name}: median {statistics.median(times) * 1e3:.2f} ms")


def _without_data(module: figwasp.Module) -> Any:
    """Give a decoded module that looks as if it had no data, so that no images are made."""
    return type("Nothing", (), {"datas": [], "memories": module._decoded.memories})()


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--items", type=int, default=40, help="how much a request does, and with it how many pages it writes")
    options = parser.parse_args()
    data = (side.need_shared() / "programs" / "modules" / MODULE).read_bytes()
    plain = figwasp.Module(data, lazy=True)
    module = figwasp.Module(with_export(data, b"run", run_simple_string(plain)), lazy=True)
    print(side.machine(), f"system pages of {os.sysconf('SC_PAGESIZE')} bytes")
    further(module, requests(module, options.requests, options.items))


if __name__ == "__main__":
    main()
