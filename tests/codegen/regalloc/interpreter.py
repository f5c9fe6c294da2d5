"""Runs functions of `target`, over virtual or physical registers, and records what can be seen from outside."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import (
    BRANCH,
    CALL,
    COPY,
    ENTRY,
    FIRST_ROW,
    INCOMING,
    JUMP,
    OUTGOING,
    RET,
    SLOT,
    STACK,
    SWITCH,
    TAIL,
    VIRTUAL,
    CallSite,
    MBlock,
    MFunc,
    MInst,
)
from figwasp.codegen.target import Target
from figwasp.ir.ops import F32, F64, I32, I64

from . import target as t

MASK: Final = (1 << 64) - 1
LOW: Final = (1 << 32) - 1
GARBAGE: Final = 0xDEAD_BEEF_DEAD_BEEF

Trace = list[tuple[int | str, ...]]


def run(func: MFunc, target: Target, seed: int, allocated: bool, steps: int = 300) -> Trace:
    """Run at most so many blocks and return stores, calls, and how the function was left."""
    interpreter = Interpreter(func, target, seed, allocated)
    block: MBlock | None = func.blocks[0]
    for _ in range(steps):
        assert block is not None
        block = interpreter.run_block(block)
        if block is None:
            break
    return interpreter.trace


def mixed(*numbers: int) -> int:
    """A number that depends on all of them and their order."""
    h = 0x9E37_79B9_7F4A_7C15
    for number in numbers:
        h = (h ^ (number & MASK)) * 0xFF51_AFD7_ED55_8CCD & MASK
        h ^= h >> 33
    return h


class Interpreter:
    """The machine. Cells that hold 4 bytes have garbage in their upper half."""

    def __init__(self, func: MFunc, target: Target, seed: int, allocated: bool) -> None:
        self.func = func
        self.target = target
        self.seed = seed
        self.allocated = allocated
        self.registers: dict[int, int] = {}
        self.cells: dict[int, int] = {}
        self.memory: dict[int, int] = {}
        self.trace: Trace = []
        self.flags = 0

    def get(self, r: int) -> int:
        return self.registers.get(r, GARBAGE)

    def put(self, r: int, value: int, type: int) -> None:
        self.registers[r] = value & (LOW if type in (I32, F32) else MASK)

    def type_of(self, r: int) -> int:
        if r >= VIRTUAL:
            return self.func.types[r]
        return I64 if r < 16 else F64

    def run_block(self, block: MBlock) -> MBlock | None:
        """Run a block; return the next one, or None when the function is left."""
        for inst in block.code:
            op = inst.op
            if op >= FIRST_ROW:
                self.row(inst)
            elif op == COPY:
                assert not self.allocated
                self.put(inst.rd, self.get(inst.rn), self.type_of(inst.rd))
            elif op == ENTRY or op == CALL:
                self.call(inst)
            elif op == JUMP:
                if not self.allocated:
                    incoming = [self.get(arg) for arg in block.args]
                    for param, value in zip(block.succs[0].params, incoming):
                        self.put(param, value, self.type_of(param))
                return block.succs[0]
            elif op == BRANCH:
                return block.succs[self.condition(inst)]
            elif op == SWITCH:
                index = self.get(inst.rn)
                self.registers[inst.rm] = self.registers[inst.rx] = GARBAGE
                return block.succs[index]
            elif op == RET or op == TAIL:
                self.trace.append(("leave", op, *self.read_args(inst)))
                return None
            else:
                self.trace.append(("trap", op))
                return None
        raise AssertionError("no terminator")

    def condition(self, inst: MInst) -> int:
        assert isinstance(inst.imm, int)
        return mixed(self.flags, inst.imm) & 1

    # Memory

    def address(self, inst: MInst) -> int:
        base = mixed(inst.rm) if 32 <= inst.rm < VIRTUAL else self.get(inst.rm)
        return (base + (self.get(inst.rx) * 3 if inst.rx >= 0 else 0) + inst.mem) & MASK

    def load(self, inst: MInst, width: int) -> int:
        if inst.rm in (SLOT, INCOMING, OUTGOING):
            value = self.cells.get(inst.mem << 6 | inst.rm, GARBAGE)
        else:
            address = self.address(inst)
            value = self.memory.get(address, mixed(address))
        return value & LOW if width == 4 else value

    def store(self, inst: MInst, value: int, width: int) -> None:
        if inst.rm in (SLOT, INCOMING, OUTGOING):
            self.cells[inst.mem << 6 | inst.rm] = value & LOW | GARBAGE & ~LOW if width == 4 else value
        else:
            address = self.address(inst)
            self.memory[address] = value & LOW if width == 4 else value
            self.trace.append(("store", address, self.memory[address]))

    # Instructions

    def row(self, inst: MInst) -> None:
        op = inst.op
        rows = self.target.rows
        width = rows.width[op]
        if rows.stores[op]:
            self.store(inst, self.get(inst.rn), width)
            return
        if rows.tied[op] and self.allocated:
            assert inst.rd == inst.rn
        n = self.get(inst.rn) if rows.reads[op] & 1 else 0
        if rows.memory[op]:
            m = self.load(inst, width) if width else self.address(inst)
        else:
            m = self.get(inst.rm) if rows.reads[op] & 2 else 0
        if op in (t.MIXM, t.CMPMR):  # the form with rn in memory: the other operand has moved to rn
            n, m = m, n
        value = self.compute(inst, n, m)
        if rows.flags[op]:
            self.flags = value
        if rows.defines[op]:
            narrow = op in (t.MOV32, t.LD32, t.LDF32, t.ADD32, t.ADD32M, t.CONST32)
            self.put(inst.rd, value, I32 if narrow else self.type_of(inst.rd))

    def compute(self, inst: MInst, n: int, m: int) -> int:
        """The result of a row whose sources are n and m."""
        op = inst.op
        imm = inst.imm
        assert isinstance(imm, int)
        if op in (t.MOV32, t.MOV64, t.MOVF):
            return n
        if op in (t.LD32, t.LD64, t.LDF32, t.LDF64, t.LEA):
            return m
        if op in (t.CONST32, t.CONST64, t.CONSTF, t.ZERO):
            return imm
        if op in (t.ADD64, t.ADD64M, t.FADD, t.FADDM):
            return n + m & MASK
        if op in (t.ADD32, t.ADD32M):
            return n + m & LOW
        if op == t.ADD64I:
            return n + imm & MASK
        if op in (t.MIX, t.MIXM, t.CMP, t.CMPM, t.CMPMR):
            return mixed(n, m, imm)
        if op == t.SHL:
            return mixed(n, self.get(1), 8)
        if op in (t.DIV, t.DIVM):
            value = mixed(n if op == t.DIV else m, self.get(0), self.get(2))
            self.registers[0] = mixed(value, 0)
            self.registers[2] = mixed(value, 2)
            return value
        if op in (t.CVT, t.CVTM):
            return mixed(n if op == t.CVT else m)
        if op == t.MOD:
            return n % imm
        if op in (t.CMOV, t.CMOVM):
            return m if self.condition(inst) else n
        assert op == t.SETCC
        return self.condition(inst)

    # Calls

    def read_args(self, inst: MInst) -> list[int]:
        site = inst.imm
        assert isinstance(site, CallSite)
        base = INCOMING if inst.op == TAIL else OUTGOING
        values = []
        for v, loc in zip(site.args, site.arg_locs):
            if not self.allocated:
                values.append(self.get(v))
            elif loc < STACK:
                values.append(self.get(loc))
            else:
                value = self.cells.get(loc - STACK << 11 | base, GARBAGE)
                values.append(value & LOW if self.type_of(v) in (I32, F32) else value)
        if site.address >= 0:
            values.append(self.get(site.address))
        return values

    def call(self, inst: MInst) -> None:
        """ENTRY and CALL: results are numbers that depend on all arguments; what a call may destroy, it does."""
        site = inst.imm
        assert isinstance(site, CallSite)
        seed = self.seed
        if inst.op == CALL:
            values = self.read_args(inst)
            self.trace.append(("call", site.target, *values))
            seed = mixed(len(self.trace), *values)
            for r in range(32):
                if site.clobbers >> r & 1:
                    self.registers[r] = GARBAGE
        for i, (v, loc) in enumerate(zip(site.results, site.result_locs)):
            value = mixed(seed, i)
            narrow = self.type_of(v) in (I32, F32)
            if narrow:
                value &= LOW
            if not self.allocated:
                self.registers[v] = value
            elif loc < STACK:
                self.registers[loc] = value
            else:
                self.cells[loc - STACK << 11 | INCOMING] = value | GARBAGE & ~LOW if narrow else value
