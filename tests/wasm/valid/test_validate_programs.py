"""Validation of real programs: the facts agree with what a plain walk finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.wasm.binary import leb128
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.immediates import READERS
from figwasp.wasm.binary.types import read_value_type
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_PREFIX, pack
from figwasp.wasm.valid.module import validate

KERNELS = (
    "chase collatz64 fib host indirect mandel matmul matmul_ikj membytes nbody quicksort sha256 sieve spin tiny vmloop"
)
PROGRAMS = (
    "brotli c-ray greet-wasi-rs hello-wasi-rs hello-world-swift icepll main-go mal mandel mandel_dd quickjs raymarcher"
    " hello-world-kt icepack micropython-script self-hosting-fib smallpt-ex smallpt-ex-mv stream"
)


@pytest.mark.parametrize("kernel", KERNELS.split())
def test_kernels(shared: Path, kernel: str) -> None:
    module = decode((shared / f"kernels/wasm/{kernel}.wasm").read_bytes())
    assert len(validate(module)) == len(module.bodies)


@pytest.mark.parametrize("program", PROGRAMS.split())
def test_programs(shared: Path, program: str) -> None:
    module = decode((shared / f"programs/modules/{program}.wasm").read_bytes())
    for index, facts in enumerate(validate(module), module.num_imported_funcs):
        body = module.body(index)
        assert facts.num_ops <= body.end - body.start
        whole = facts.written[-1]
        assert whole < 1 << len(facts.locals)
        for offset, written in facts.written.items():
            assert written | whole == whole
            assert offset == -1 or module.data[offset] in (0x02, 0x03, 0x04, 0x1F)


def plain_walk(module: Module, index: int) -> tuple[int, dict[int, set[int]]]:
    """Find the number of instructions and the written locals of each block the slow way."""
    data = module.data
    body = module.body(index)
    groups, pos = leb128.read_u32(data, body.start)
    for _ in range(groups):
        pos = read_value_type(data, leb128.skip(data, pos))[1]
    written: dict[int, set[int]] = {-1: set()}
    open_blocks = [-1]
    num_ops = 0
    while pos < body.end:
        at = pos
        op = data[pos]
        pos += 1
        if op in BY_PREFIX:
            sub, pos = leb128.read_u32(data, pos)
            op = pack(op, sub)
        value, pos = READERS[BY_CODE[op].immediates](data, pos)
        name = BY_CODE[op].name
        num_ops += 1
        if name in ("block", "loop", "if", "try_table"):
            open_blocks.append(at)
            written[at] = set()
        elif name == "end":
            open_blocks.pop()
        elif name in ("local.set", "local.tee"):
            assert isinstance(value, int)
            for block in open_blocks:
                written[block].add(value)
    assert pos == body.end
    return num_ops, written


@pytest.mark.parametrize("program", ["mal", "smallpt-ex-mv", "hello-world-swift", "icepll", "hello-world-kt", "icepack"])
def test_facts_agree_with_a_plain_walk(shared: Path, program: str) -> None:
    module = decode((shared / f"programs/modules/{program}.wasm").read_bytes())
    for index, facts in enumerate(validate(module), module.num_imported_funcs):
        num_ops, written = plain_walk(module, index)
        assert facts.num_ops == num_ops
        assert facts.written == {block: sum(1 << index for index in indices) for block, indices in written.items()}
