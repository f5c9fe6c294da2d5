"""What the runtime asks of the machine: which it is, and relocations applied to bytes."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from figwasp.codegen.code import FIELD_NEAR, RELOC_STUB, STUB_TICK, STUB_TRAP
from figwasp.codegen.isa import host
from figwasp.codegen.isa.x64.assemble import X64Assembler
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.mach import MBlock, MFunc
from figwasp.errors import Unsupported
from figwasp.ir.func import CONV_C


@pytest.mark.parametrize("goal", [0x1000, 0x7000_0000, 0x100C])
def test_near_field_holds_the_distance_from_its_end(goal: int) -> None:
    data = bytearray(b"\xaa" * 16)
    TARGET.apply(data, 8, FIELD_NEAR, 0x1000, goal)
    assert data[:8] == b"\xaa" * 8 and data[12:] == b"\xaa" * 4
    assert 0x100C + int.from_bytes(data[8:12], "little", signed=True) == goal


def test_near_field_reaches_two_gigabytes() -> None:
    TARGET.apply(bytearray(4), 0, FIELD_NEAR, 0, 1 << 31)
    with pytest.raises(OverflowError):
        TARGET.apply(bytearray(4), 0, FIELD_NEAR, 0, (1 << 31) + 4)


@pytest.mark.parametrize(("through", "straight"), [("call", "call 0x100c"), ("jmp", "jmp 0x100c")])
def test_calls_and_jumps_go_straight(through: str, straight: str) -> None:
    """What goes through a word goes to where that leads, and comes back to the same place."""
    data = bytearray(b"\xaa\xaa\xff" + {"call": b"\x15", "jmp": b"\x25"}[through] + bytes(4) + b"\xaa")
    assert TARGET.decode(bytes(data), 2) == (6, f"{through} QWORD PTR [rip+0x0]")
    TARGET.go_straight(data, 4, FIELD_NEAR, 0x4000, 0x4000 + 0x100C + 2)
    assert TARGET.decode(bytes(data), 2) == (1, "nop")
    assert TARGET.decode(bytes(data[2:]), 1) == (5, straight)
    assert data[:2] + data[8:] == b"\xaa\xaa\xaa"


def test_loads_do_not_go_straight() -> None:
    data = bytearray.fromhex("488b0500000000")
    TARGET.go_straight(data, 3, FIELD_NEAR, 0, 0x1000)
    assert data == bytes.fromhex("488b0500000000")


def test_fields_have_names_and_sizes() -> None:
    assert dict(zip(TARGET.field_names, TARGET.field_sizes, strict=True)) == {"rel32": 4}


def test_assembler_leaves_room_for_a_field() -> None:
    func = MFunc("f", 0, CONV_C)
    func.blocks = [MBlock(0)]
    assembler = X64Assembler(func)
    assembler.reloc(RELOC_STUB, STUB_TRAP)
    assembler.reloc(RELOC_STUB, STUB_TICK)
    code = assembler.finish()
    assert code.relocs == [(0, FIELD_NEAR, RELOC_STUB, STUB_TRAP), (4, FIELD_NEAR, RELOC_STUB, STUB_TICK)]
    assert code.data == bytes(8) + TARGET.filler


@pytest.mark.parametrize(("machine", "named"), [("mips", "mips"), ("", "this machine")])
def test_other_machines_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, machine: str, named: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    with pytest.raises(Unsupported, match=f"no compiler for {named} yet"):
        host.__wrapped__()


def test_this_machine_is_found_once() -> None:
    assert host() is host() is TARGET
