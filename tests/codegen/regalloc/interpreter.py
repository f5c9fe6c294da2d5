"""Runs functions of made-up machines, over virtual or physical registers, and records what can be seen from outside.

Rows are known by their names, which are those of `target`.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import (
    ARRIVE,
    BRANCH,
    CALL,
    COPY,
    ENTRY,
    FIRST_ROW,
    INCOMING,
    INVOKE,
    JUMP,
    MEM_BITS,
    NONE,
    OUTGOING,
    PHYSICAL,
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
from figwasp.ir.types import CELL, CLASSES, I32, INT, MASKS, SIZES, WHOLE

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
        for part in (number & MASK, number >> 64 & MASK) if number >> 64 > 0 else (number & MASK,):
            h = (h ^ part) * 0xFF51_AFD7_ED55_8CCD & MASK
            h ^= h >> 33
    return h


def number_of(type: int, *numbers: int) -> int:
    """A value of a type that depends on numbers; wide ones have something in every part."""
    value = sum(mixed(*numbers, part) << 64 * part if part else mixed(*numbers) for part in range((SIZES[type] + 7) // 8))
    return value & MASKS[type]


def cell_of(base: int, mem: int) -> tuple[int, int]:
    """The cell that a memory operand begins in."""
    return base, mem >> MEM_BITS if base == SLOT else (mem >> MEM_BITS) // CELL


class Interpreter:
    """The machine. Cells that hold 4 bytes have garbage in their upper half."""

    def __init__(self, func: MFunc, target: Target, seed: int, allocated: bool) -> None:
        self.func = func
        self.target = target
        self.seed = seed
        self.allocated = allocated
        self.registers: dict[int, int] = {}
        self.cells: dict[tuple[int, int], int] = {}
        self.names = target.rows.names
        self.memory: dict[int, int] = {}
        self.trace: Trace = []
        self.flags = 0

    def get(self, r: int) -> int:
        return self.registers.get(r, GARBAGE)

    def put(self, r: int, value: int, type: int) -> None:
        self.registers[r] = value & MASKS[type]

    def type_of(self, r: int) -> int:
        if r >= VIRTUAL:
            return self.func.types[r]
        return WHOLE[self.target.classes[r]]

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
            elif op == ARRIVE:
                assert not self.allocated or inst is block.code[0]
            elif op == INVOKE:
                return block.succs[self.invoke(inst, block.succs[0])]
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
        base = mixed(inst.rm) if PHYSICAL <= inst.rm < VIRTUAL else self.get(inst.rm)
        return (base + (self.get(inst.rx) * 3 if inst.rx >= 0 else 0) + inst.mem) & MASK

    def load(self, inst: MInst, width: int) -> int:
        if inst.rm in (SLOT, INCOMING, OUTGOING):
            value = self.read_cells(cell_of(inst.rm, inst.mem), width)
        else:
            address = self.address(inst)
            value = self.memory.get(address, mixed(address))
        return value & (1 << 8 * width) - 1

    def read_cells(self, first: tuple[int, int], width: int) -> int:
        """Read what begins in a cell."""
        base, index = first
        parts = [self.cells.get((base, index + k), GARBAGE) for k in range((width + 7) // 8)]
        return sum(part << 64 * k for k, part in enumerate(parts))

    def write_cells(self, first: tuple[int, int], value: int, width: int) -> None:
        """Write what begins in a cell."""
        base, index = first
        assert width <= 8 or index % 2 == 0
        for k in range((width + 7) // 8):
            part = value >> 64 * k & MASK
            self.cells[base, index + k] = part & LOW | GARBAGE & ~LOW if width == 4 else part

    def store(self, inst: MInst, value: int, width: int) -> None:
        if inst.rm in (SLOT, INCOMING, OUTGOING):
            self.write_cells(cell_of(inst.rm, inst.mem), value, width)
        else:
            address = self.address(inst)
            self.memory[address] = value & (1 << 8 * width) - 1
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
        if self.names[op] in ("mixm", "cmpmr"):  # the form with rn in memory: the other operand has moved to rn
            n, m = m, n
        value = self.compute(inst, n, m)
        if rows.flags[op]:
            self.flags = value
        if rows.defines[op]:
            narrow = self.names[op] in ("mov32", "ld32", "ldf32", "add32", "add32m", "const32")
            self.put(inst.rd, value, I32 if narrow else self.type_of(inst.rd))

    def compute(self, inst: MInst, n: int, m: int) -> int:
        """The result of a row whose sources are n and m."""
        name = self.names[inst.op]
        imm = inst.imm
        assert isinstance(imm, int)
        if name in ("mov32", "mov64", "movf"):
            return n
        if name in ("ld32", "ld64", "ldf32", "ldf64", "ldv", "lea"):
            return m
        if name in ("const32", "const64", "constf", "zero"):
            return imm
        if name in ("add64", "add64m", "fadd", "faddm"):
            return n + m & MASK
        if name in ("add32", "add32m"):
            return n + m & LOW
        if name in ("vadd", "vaddm"):
            return 3 * n + m & MASK << 64 | MASK
        if name == "add64i":
            return n + imm & MASK
        if name in ("mix", "mixm", "cmp", "cmpm", "cmpmr"):
            return mixed(n & MASK, m & MASK, imm)
        if name == "shl":
            return mixed(n, self.get(1), 8)
        if name in ("div", "divm"):
            value = mixed(n if name == "div" else m, self.get(0), self.get(2))
            self.registers[0] = mixed(value, 0)
            self.registers[2] = mixed(value, 2)
            return value
        if name in ("cvt", "cvtm"):
            return mixed((n if name == "cvt" else m) & MASK)
        if name == "mod":
            return n % imm
        if name in ("cmov", "cmovm"):
            return m if self.condition(inst) else n
        assert name == "setcc"
        return self.condition(inst)

    # Calls

    def read_args(self, inst: MInst) -> list[int]:
        site = inst.imm
        assert isinstance(site, CallSite)
        values = []
        for v, loc in zip(site.args, site.arg_locs):
            type = self.type_of(v)
            if not self.allocated:
                value = self.get(v)
            elif loc < STACK:
                value = self.get(loc)
            else:
                cell = (OUTGOING, loc - STACK) if site.in_place == NONE else (INCOMING, loc - STACK + site.in_place)
                value = self.read_cells(cell, SIZES[type]) & MASKS[type]
            values.append(value if CLASSES[type] == INT else value & MASKS[type])  # above a float a register may hold anything
        if site.address >= 0:
            values.append(self.get(site.address))
        return values

    def invoke(self, inst: MInst, onward: MBlock) -> int:
        """INVOKE: what is called returns, with the results that the next block takes, or throws."""
        arrival = next((other for other in onward.code if other.op == ARRIVE), None)
        self.call(inst)
        thrown = mixed(self.seed, len(self.trace)) & 1
        if arrival is not None and not thrown:
            assert isinstance(arrival.imm, CallSite)
            self.take_results(arrival.imm, mixed(len(self.trace), 1))
        return thrown

    def call(self, inst: MInst) -> None:
        """ENTRY and CALL: results are numbers that depend on all arguments; what a call may destroy, it does."""
        site = inst.imm
        assert isinstance(site, CallSite)
        seed = self.seed
        if inst.op != ENTRY:
            values = self.read_args(inst)
            self.trace.append(("call", site.target, *values))
            seed = mixed(len(self.trace), *values)
            for r in range(self.target.num_registers):
                if site.clobbers >> r & 1:
                    self.registers[r] = GARBAGE
        self.take_results(site, seed)

    def take_results(self, site: CallSite, seed: int) -> None:
        for i, (v, loc) in enumerate(zip(site.results, site.result_locs)):
            type = self.type_of(v)
            value = number_of(type, seed, i)
            if not self.allocated:
                self.registers[v] = value
            elif loc < STACK:
                self.registers[loc] = value
            else:
                self.write_cells((INCOMING, loc - STACK), value, SIZES[type])
