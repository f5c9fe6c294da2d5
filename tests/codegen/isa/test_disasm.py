"""The disassembler against objdump, on the bytes of every row."""

from __future__ import annotations

import random
from pathlib import Path

from figwasp.codegen.code import Code
from figwasp.codegen.disasm import disassemble
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64.decode import BAD, decode
from figwasp.codegen.isa.x64.encode import encode
from figwasp.codegen.isa.x64.target import TARGET
from tests.codegen.isa import binutils


def test_text_is_that_of_objdump(tmp_path: Path) -> None:
    code = Code("f", 0)
    parts = [encode(inst) for row in x.TABLE if row.number != x.SETCC32_R for inst in binutils.cases(row)]
    code.data = b"".join(parts)
    code.text_size = len(code.data)
    ours = disassemble(code, TARGET)
    theirs = binutils.disassemble(code.data, tmp_path)
    for (offset, data, text), expected in zip(ours, theirs):
        assert (offset, text) == expected, data.hex()
    assert len(ours) == len(theirs) == len(parts)
    assert [data for _, data, _ in ours] == parts


def test_data_after_the_text_is_left_out() -> None:
    code = Code("f", 0)
    code.data = b"\xc3" + bytes(15) + b"\x90" * 8
    code.text_size = 1
    assert disassemble(code, TARGET) == [(0, b"\xc3", "ret")]


def test_unknown_and_cut_off_bytes() -> None:
    assert decode(b"\x06", 0) == (1, BAD)
    assert decode(b"\x48\x8b", 0) == (1, BAD)
    assert decode(b"\x48\x81\xc0\x00\x00", 0) == (1, BAD)
    assert decode(b"\x66\x66\x66", 1) == (1, BAD)
    assert decode(b"\x90\xf2\x0f\x58\xc1", 1) == (4, "addsd xmm0,xmm1")


def test_any_bytes_are_covered_without_gap() -> None:
    code = Code("f", 0)
    code.data = random.Random(1).randbytes(20_000)
    code.text_size = len(code.data)
    listing = disassemble(code, TARGET)
    assert b"".join(data for _, data, _ in listing) == code.data
    assert any(text != BAD for _, _, text in listing)
