"""Random branchy functions: emitted, decoded as objdump decodes them, and run against a model in Python."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path

import pytest

from figwasp.codegen.code import STUB_TRAP, Code
from figwasp.codegen.disasm import disassemble
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.mach import BRANCH, JUMP, NONE, POOL, SWITCH, TRAPIF, MFunc, MInst
from tests.codegen.arena import Arena
from tests.codegen.handmade import ENTRY_INST, finish, make
from tests.codegen.isa import binutils

STEPS = 300
MULTIPLIER = 0x5851F42D4C957F2D
MASK = (1 << 64) - 1
FLOATS = [1.0, 2.0, float("nan")]
FLOAT_CODES = [r.CC_FEQ, r.CC_FNE, r.CC_A, r.CC_AE, r.CC_B, r.CC_BE, r.CC_P, r.CC_NP]
TRAP_END = 5
TRAP_FLOAT = 6


class Plan:
    """A random block: what it compares and where it goes."""

    def __init__(self, rng: random.Random, id: int, count: int) -> None:
        self.id = id
        self.padding = rng.choice([0, 0, 1, 5, 20, 60, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 300])
        self.kind = rng.choice(["int", "int", "int", "float", "jump", "switch", "trivial", "floattrap"])
        if self.kind == "trivial" and id == count - 1:
            self.kind = "jump"
        self.constant = rng.choice([0, 1, -1, 100, 0x3FFFFFFF, 0x7FFFFFFF, -0x80000000])
        self.condition = rng.randrange(16) if self.kind == "int" else rng.choice(FLOAT_CODES)
        self.left = rng.randrange(3)
        self.right = rng.randrange(3)
        arity = {"int": 2, "float": 2, "switch": 8}.get(self.kind, 1)
        self.succs = [rng.randrange(1, count) for _ in range(arity)]
        if self.kind == "trivial":
            self.succs = [rng.randrange(id + 1, count)]
        elif rng.random() < 0.3:
            self.succs[-1] = min(id + 1, count - 1)

    def code(self) -> list[MInst]:
        """Return its instructions: count it in rax, step the random state in rsi, leave when rdi runs out."""
        if self.kind == "trivial":
            return [MInst(JUMP)]
        code = [
            MInst(x.IMUL64_RRI, r.RAX, r.RAX, imm=31),
            MInst(x.ADD64_RI, r.RAX, r.RAX, imm=self.id),
            MInst(x.IMUL64_RR, r.RSI, r.RSI, r.R9),
            MInst(x.ADD64_RI, r.RSI, r.RSI, imm=12345),
            *[MInst(x.NOP)] * self.padding,
            MInst(x.SUB64_RI, r.RDI, r.RDI, imm=1),
            MInst(TRAPIF, imm=r.CC_S << 8 | TRAP_END, pos=1000 + self.id),
            MInst(x.MOV64_RR, r.RCX, r.RSI),
            MInst(x.SHR64_RI, r.RCX, r.RCX, imm=32 if self.kind == "int" else 61),
        ]
        if self.kind == "int":
            code.append(MInst(x.CMP32_RI, rn=r.RCX, imm=self.constant))
            code.append(MInst(BRANCH, imm=self.condition))
        elif self.kind == "switch":
            code.append(MInst(SWITCH, NONE, r.RCX, r.RDX, r.R8))
        elif self.kind == "jump":
            code.append(MInst(JUMP))
        else:
            code.append(MInst(x.UCOMISD_RR, rn=r.XMM0 + self.left, rm=r.XMM0 + self.right))
            if self.kind == "float":
                code.append(MInst(BRANCH, imm=self.condition))
            else:
                code += [MInst(TRAPIF, imm=self.condition << 8 | TRAP_FLOAT, pos=2000 + self.id), MInst(JUMP)]
        return code


def holds_int(condition: int, a: int, b: int) -> bool:
    """Evaluate a condition after `cmp a, b` of 32 bits."""
    result = (a - b) & 0xFFFFFFFF
    sign_a, sign_b, sign = a >> 31, b >> 31, result >> 31
    overflow = sign_a != sign_b and sign != sign_a
    less = bool(sign) != overflow
    parity = (result & 0xFF).bit_count() % 2 == 0
    values = [overflow, a < b, a == b, a <= b, bool(sign), parity, less, less or a == b]
    return values[condition >> 1] != bool(condition & 1)


def holds_float(condition: int, a: float, b: float) -> bool:
    """Evaluate a condition after `ucomisd a, b`."""
    unordered = a != a or b != b
    if condition >= r.CC_FEQ:
        return (a == b) == (condition == r.CC_FEQ)
    zero = unordered or a == b
    carry = unordered or a < b
    values = {r.CC_B: carry, r.CC_E: zero, r.CC_BE: carry or zero, r.CC_P: unordered}
    return values[condition & ~1] != bool(condition & 1)


def model(plans: list[Plan], seed: int) -> tuple[int, int, int]:
    """Run the blocks in Python; return rax, the trap and the position where it ends."""
    rax, state, left, at = 1, seed, STEPS, 1
    while True:
        plan = plans[at]
        if plan.kind == "trivial":
            at = plan.succs[0]
            continue
        rax = (rax * 31 + plan.id) & MASK
        state = (state * MULTIPLIER + 12345) & MASK
        left -= 1
        if left < 0:
            return rax, TRAP_END, 1000 + plan.id
        if plan.kind == "int":
            taken = holds_int(plan.condition, state >> 32, plan.constant & 0xFFFFFFFF)
            at = plan.succs[0 if taken else 1]
        elif plan.kind == "switch":
            at = plan.succs[state >> 61]
        elif plan.kind == "jump":
            at = plan.succs[0]
        else:
            taken = holds_float(plan.condition, FLOATS[plan.left], FLOATS[plan.right])
            if plan.kind == "floattrap":
                if taken:
                    return rax, TRAP_FLOAT, 2000 + plan.id
                at = plan.succs[0]
            else:
                at = plan.succs[0 if taken else 1]


def random_function(rng: random.Random) -> tuple[MFunc, list[Plan]]:
    """Make a function and its plan; block 0 only sets up the registers."""
    count = rng.choice([3, 8, 30, 80])
    plans = [Plan(rng, id, count) for id in range(count)]
    entry = [
        ENTRY_INST,
        MInst(x.MOV32_RI, r.RAX, imm=1),
        MInst(x.MOV64_RI, r.R9, imm=MULTIPLIER),
        *[MInst(x.MOVSD_RM, r.XMM0 + i, rm=POOL, mem=i << 2) for i in range(3)],
        MInst(JUMP),
    ]
    func = make([entry] + [plan.code() for plan in plans[1:]], [[1]] + [plan.succs for plan in plans[1:]])
    func.pool = [struct.pack("<d", value) for value in FLOATS]
    return func, plans


@pytest.mark.parametrize("seed", range(60))
def test_random_functions_run_as_the_model_says(seed: int) -> None:
    rng = random.Random(seed)
    func, plans = random_function(rng)
    code = finish(func)
    check_targets(code)
    arena = Arena()
    # the stub keeps the return address in a cell and returns to the function's caller
    arena.stubs[STUB_TRAP] = arena.put(b"\x59\x48\x89\x0d" + struct.pack("<i", -arena.next - 8) + b"\xc3")
    start = arena.install(code)
    run = arena.function(start, 2)
    sites, positions = dict(code.traps), dict(code.positions)
    for state in (0, 1, 0x123456789ABCDEF, rng.getrandbits(64)):
        expected = model(plans, state)
        rax = run(STEPS, state)
        site = arena.word(0) - arena.address - start
        assert (rax, sites[site], positions[site]) == expected


def check_targets(code: Code) -> None:
    """Check that branches lead to instructions, and that none could have been short and is not."""
    lines = disassemble(code, TARGET)
    starts = {offset for offset, _, _ in lines}
    fields = {offset for offset, _, _, _ in code.relocs}
    for offset, data, text in lines:
        match = re.fullmatch(r"j\w+ (0x\w+)", text)
        if match and offset + 1 not in fields:
            assert int(match[1], 16) in starts, text
            if len(data) > 2:
                assert not -100 < int(match[1], 16) - offset < 100


def test_disassembly_is_that_of_objdump(tmp_path: Path) -> None:
    for seed in range(5):
        code = finish(random_function(random.Random(seed))[0])
        ours = [(offset, text) for offset, _, text in disassemble(code, TARGET)]
        assert ours == binutils.disassemble(code.data[: code.text_size], tmp_path)
