"""Calls with a handler, compiled and run: what is called returns or throws as it does under the evaluator, and keeps no register."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

import pytest

from figwasp.codegen import frame
from figwasp.codegen.code import Code
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.inst_buffer import InstBuffer
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.mach import MFunc
from figwasp.codegen.regalloc.local import allocate_local
from figwasp.codegen.regalloc.registers import bits
from figwasp.ir import ops, order, pipeline
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import CONV_C, Call, Func
from figwasp.ir.ops import I32, I64
from figwasp.ir.text import parse
from tests.codegen.execute import machine as machines
from tests.codegen.execute.machine import Machine
from tests.ir.invokes import FUNCTIONS
from tests.ir.test_invoke import GLOBAL, outcome, read

SITES: Final = 64  # pairs of words: return address, landing pad
INTS: Final = [r.RAX, r.RCX, r.RDX, r.RBX, r.RBP, r.RSI, r.RDI, r.R8, r.R9, r.R10, r.R12, r.R13, r.R14]


class Thrower(Machine):
    """Functions 3 to 6 do what `tests.ir.test_invoke.Calls` does: their argument decides, and how often they have been called.

    Attributes:
        sites: address of the table that they find the landing pads in, ended by a return address of 0.
        made: how many calls there may be before one throws, and how many there have been.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sites = (ctypes.c_uint64 * (2 * SITES))()
        self.made = (ctypes.c_uint64 * 1)()
        self.instance = (ctypes.c_uint64 * 8)()
        address = self.address + self._put(self._callee())
        for index in range(3, 7):
            self.set_cell(index, address)
        self.instance[0] = address  # which the functions that call a pointer call

    def _callee(self) -> bytes:
        a = InstBuffer()
        a.load(x.LEA64_RM, r.RCX, r.RAX, 3)
        a.store(x.MOV32_MR, r.R14, GLOBAL, r.RCX)
        a.two(x.ADD64_RR, r.RAX, r.RAX)
        a.op(x.MOV64_RI, rd=r.RCX, imm=ctypes.addressof(self.made))
        a.load(x.MOV64_RM, r.RDX, r.RCX, 0)
        a.tied(x.ADD64_RI, r.RDX, 1)
        a.store(x.MOV64_MR, r.RCX, 0, r.RDX)
        a.two(x.ADD64_RR, r.RAX, r.RDX)
        a.move(r.RCX, r.RAX)
        a.tied(x.AND64_RI, r.RCX, 3)
        a.test(r.RCX)
        a.branch(r.CC_E, "throw")
        a.load(x.LEA64_RM, r.RCX, r.RAX, 1)
        a.load(x.LEA64_RM, r.RDX, r.RAX, 2)
        for number in range(1, 16):
            a.data += bytes((0x66, 0x45 if number > 7 else 0x40, 0x0F, 0x76, 0xC0 | (number & 7) * 9))  # pcmpeqd, its own
        a.op(x.RET)
        a.label("throw")
        a.op(x.POP_R, rd=r.RCX)
        a.op(x.MOV64_RI, rd=r.RDX, imm=ctypes.addressof(self.sites))
        a.label("next")
        a.load(x.MOV64_RM, r.RAX, r.RDX, 0)
        a.tied(x.ADD64_RI, r.RDX, 16)
        a.data += b"\x48\x39\xc8"  # cmp rax, rcx
        a.branch(r.CC_NE, "next")
        a.load(x.MOV64_RM, r.SCRATCH, r.RDX, -8)
        for register in INTS:
            a.op(x.MOV64_RI, rd=register, imm=0x7BAD_7BAD_7BAD_7BAD)
        a.op(x.JMP_R, rn=r.SCRATCH)
        return a.finish("throw").code.data

    def run(self, address: int, code: Code, results: bytes, argument: int, seed: int) -> tuple[list[int], int, int]:
        """Call a function of the machine with (instance, argument); as `tests.ir.test_invoke.outcome`, without the calls."""
        for row, (offset, caught, pad) in enumerate(code.handlers):
            assert caught == 0
            self.sites[2 * row : 2 * row + 2] = [address + offset, address + pad]
        self.made[0] = seed
        self.instance[1] = 0
        found = (ctypes.c_uint64 * 2)()
        self.enter(results)(address, ctypes.addressof(self.instance), argument, ctypes.addressof(found))
        answers = [found[number] & (1 << (32 if type == I32 else 64)) - 1 for number, type in enumerate(results)]
        return answers, self.made[0] - seed, self.instance[1]

    def enter(self, results: bytes) -> Callable[..., int]:
        e = Emitter(Func("enter", -1, bytes([I64, I64, I32, I64]), b"", CONV_C))
        code, instance, argument, found = e.block.params
        first = e.emit(ops.ENTER_WASM, [code, instance, argument], Call(bytes([I32]), results), results[0])
        values = [first, *[e.emit(ops.RESULT, [first], number, results[number]) for number in range(1, len(results))]]
        for number, value in enumerate(values):
            e.store(ops.STORE_OF[value.type], value, found, 8 * number)
        e.ret([])
        return self.callable(e.func)


@pytest.fixture(scope="module")
def machine() -> Thrower:
    return Thrower()


def compiled(func: Func, local: bool) -> Code:
    """Compile a function, as huge ones are or as others are."""
    if not local:
        return machines.compile(func)
    selected: MFunc = TARGET.select(func)
    selected.saved = bits(allocate_local(selected, TARGET) & TARGET.callee_saved)
    frame.finish(selected, TARGET)
    return TARGET.emit(selected)


@pytest.mark.parametrize("local", [False, True], ids=["whole", "local"])
@pytest.mark.parametrize("passes", [False, True], ids=["plain", "improved"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_as_evaluated(machine: Thrower, name: str, passes: bool, local: bool) -> None:
    func = parse(FUNCTIONS[name].replace("v3 = invoke_ptr v0,", "v9 = i64_load v0, const+0\n  v3 = invoke_ptr v9,"))
    order.run(func)
    if passes:
        pipeline.run(func)
    results = func.results
    code = compiled(func, local)
    address = machine.place(code)
    thrown = 0
    for argument in range(6):
        for seed in range(4):
            expected, made, memory = outcome(read(name), argument, seed)
            assert isinstance(made, list)
            if isinstance(expected, list):
                value = int.from_bytes(bytes(memory)[GLOBAL : GLOBAL + 8], "little")  # type: ignore[call-overload]
                assert machine.run(address, code, results, argument, seed) == (expected, len(made), value)
                thrown += len(made) > 0
    assert thrown or name == "it always traps before"


def test_the_code_of_a_call_is_that_of_one_without_a_handler() -> None:
    """All that is different are the registers that the function saves, and the landing pad."""
    text = """\
func 0 "" (i64, i32) -> (i32) {{
b0(v0: i64, v1: i32):
  v2 = {} f3 v0, v1{} : (i32) -> (i32)
{}  return v2
{}}}
"""
    plain = machines.compile(parse(text.format("call", "", "", "")))
    handled = machines.compile(parse(text.format("invoke", ", b1, b2", "b1:\n", "b2:\n  return v1\n")))
    assert len(handled.handlers) == 1 and handled.handlers[0][1] == 0
    assert [register for register, _ in handled.saved] == bits(TARGET.callee_saved)
    end = plain.data.index(b"\xff\x15") + 6
    start = handled.handlers[0][0] - 6
    assert handled.data[start : start + 6][:2] == plain.data[end - 6 : end][:2] == b"\xff\x15"
    assert handled.data[start + 6 :].startswith(b"\x48\x8b")  # the epilogue at once: a saved register is loaded


def test_stack_arguments_and_results_in_memory(machine: Thrower) -> None:
    """What a call passes and returns in memory is in the same places when it has a handler."""
    params = "(" + ", ".join(["i64"] * 12) + ")"
    callee = f'func 7 "" (i64, {params[1:-1]}) -> {params} {{\nb0({", ".join(f"v{n}: i64" for n in range(13))}):\n'
    callee += f"  return {', '.join(f'v{n}' for n in range(12, 0, -1))}\n}}\n"
    caller = 'func 8 "" (i64, i32) -> (i64) {\nb0(v0: i64, v1: i32):\n'
    caller += "".join(f"  v{n + 2} = const i64 {3 ** n}\n" for n in range(12))
    caller += f"  v14 = invoke f7 v0, {', '.join(f'v{n + 2}' for n in range(12))}, b1, b2 : {params} -> {params}\nb1:\n"
    caller += "".join(f"  v{n + 14} = result v14, {n}\n" for n in range(1, 12))
    for n in range(12):
        caller += f"  v{40 + 2 * n} = const i64 {n + 1}\n  v{41 + 2 * n} = i64_mul v{n + 14}, v{40 + 2 * n}\n"
        caller += f"  v{70 + n} = i64_add v{70 + n - 1 if n else 2}, v{41 + 2 * n}\n"
    caller += "  return v81\nb2:\n  return v2\n}\n"
    machine.install(parse(callee))
    func = parse(caller)
    code = machines.compile(func)
    address = machine.place(code)
    (answer,), _, _ = machine.run(address, code, bytes([I64]), 0, 1)
    assert answer == 1 + sum((n + 1) * 3 ** (11 - n) for n in range(12))
    assert code.pushed
