"""Random functions for the machine of `target`: SSA form, nested branches, loops and switches, calls, fixed registers."""

from __future__ import annotations

import random

from figwasp.codegen.mach import (
    AREA,
    BRANCH,
    CALL,
    COPY,
    ENTRY,
    JUMP,
    NONE,
    RET,
    STACK,
    SWITCH,
    TAIL,
    TO_FUNC,
    TO_MEMORY,
    TO_REGISTER,
    TO_STUB,
    TRAP,
    CallSite,
    MBlock,
    MFunc,
    MInst,
)
from figwasp.codegen.target import Target
from figwasp.ir.ops import F32, F64, I32, I64

from . import target as t


def generate(seed: int, target: Target, size: int = 40, straight: bool = False) -> MFunc:
    """Make the function that belongs to a seed.

    Args:
        seed: of the random numbers.
        target: the machine.
        size: about how many groups of instructions.
        straight: no branches, so that one block holds everything.
    """
    return Generator(seed, target, size, straight).run()


class Generator:
    """One function under construction. `values` are the virtual registers whose definitions dominate the current point."""

    def __init__(self, seed: int, target: Target, size: int, straight: bool) -> None:
        self.random = random.Random(seed)
        self.target = target
        self.func = MFunc(f"f{seed}", seed, 0)
        self.depth = 0
        self.block = self.new_block()
        self.left = size
        self.straight = straight
        self.calls = self.random.random() < 0.7
        self.foreign = self.random.random() < 0.3
        self.width = self.random.choice([3, 6, 12, 30])

    def run(self) -> MFunc:
        func = self.func
        func.instance = self.new(I64)
        values = [func.instance]
        site = CallSite([], [], [func.instance], [14])
        types = [self.random.randrange(4) for _ in range(self.random.randrange(8))]
        made = [self.new(type) for type in types]
        site.results += made
        site.result_locs += self.locations(types)
        values += made
        self.emit(MInst(ENTRY, imm=site))
        while True:
            self.region(values, 0)
            if not self.straight or self.left < 0:
                break
        self.leave(values)
        for block in func.blocks:
            for succ in block.succs:
                succ.preds.append(block)
        return func

    # Small things

    def new_block(self) -> MBlock:
        block = MBlock(len(self.func.blocks), self.depth)
        self.func.blocks.append(block)
        return block

    def emit(self, inst: MInst) -> None:
        inst.pos = self.block.id << 12 | len(self.block.code)
        self.block.code.append(inst)

    def new(self, type: int) -> int:
        return self.func.new_register(type)

    def make(self, values: list[int], type: int, op: int, rn: int = NONE, rm: int = NONE, rx: int = NONE, imm: int = 0) -> None:
        """Emit an instruction with a new result."""
        v = self.new(type)
        mem = self.random.randrange(4) << 5 if self.target.rows.memory[op] else 0
        self.emit(MInst(op, v, rn, rm, rx, mem, imm))
        values.append(v)

    def pick(self, values: list[int], type: int) -> int:
        """Choose a value of a type, recent or old, or make one."""
        fitting = [v for v in values if self.func.types[v] == type]
        if fitting and self.random.random() < 0.97:
            return self.random.choice(fitting[-self.width :] if self.random.random() < 0.5 else fitting)
        if type == I64 and self.random.random() < 0.5:
            self.make(values, type, t.LEA, rm=AREA)
        else:
            self.make(values, type, (t.CONST32, t.CONST64, t.CONSTF, t.CONSTF)[type], imm=self.random.randrange(1 << 16))
        return values[-1]

    def any(self, values: list[int]) -> int:
        return self.pick(values, self.random.choice([I32, I64, I64, F32, F64]))

    def index(self, values: list[int]) -> int:
        return self.pick(values, I64) if self.random.random() < 0.5 else NONE

    def locations(self, types: list[int], cells: bool = True) -> list[int]:
        """Say where arguments of these types travel; without cells the list may be shorter."""
        ints, floats = list(self.target.arg_ints), list(self.target.arg_floats)
        locs = []
        used = 0
        for type in types:
            free = ints if type < F32 else floats
            if free:
                locs.append(free.pop(0))
            elif cells:
                locs.append(STACK + used)
                used += 1
            else:
                break
        return locs

    # Straight code

    def operation(self, values: list[int]) -> None:
        what = self.random.randrange(19)
        ints = [self.pick(values, I64) for _ in range(3)]
        if what < 3:
            self.make(values, I64, t.ADD64, ints[0], ints[1])
        elif what < 4:
            self.make(values, I32, t.ADD32, self.pick(values, I32), self.pick(values, I32))
        elif what < 6:
            self.make(values, F64, t.FADD, self.pick(values, F64), self.pick(values, F64))
        elif what < 7:
            self.make(values, I64, t.ADD64M, ints[0], ints[1], self.index(values))
        elif what < 8:
            self.make(values, I64, t.LEA, NONE, ints[0], self.index(values))
        elif what < 9:
            self.make(values, I64, t.MIX, ints[0], ints[1], imm=5)
        elif what < 10:
            type = self.random.randrange(4)
            self.make(values, type, (t.LD32, t.LD64, t.LDF32, t.LDF64)[type], NONE, ints[0], self.index(values))
        elif what < 12:
            type = self.random.randrange(4)
            rn, rx = self.pick(values, type), self.index(values)
            self.emit(MInst((t.ST32, t.ST64, t.STF32, t.STF64)[type], NONE, rn, ints[0], rx, 16 << 2))
        elif what < 13:
            self.emit(MInst(COPY, 1, ints[0]))
            self.make(values, I64, t.SHL, ints[1])
        elif what < 14:
            self.divide(values, ints)
        elif what < 15:
            self.make(values, I64, t.CVT, self.pick(values, F64))
        elif what < 16:
            rn = self.any(values)
            self.make(values, self.func.types[rn], COPY, rn)
        elif what < 17:
            self.make(values, I64, t.ADD64I, ints[0], imm=7)
        else:
            self.compare(ints)
            if what == 17:
                self.make(values, I64, t.CMOV, ints[1], ints[2], imm=self.random.randrange(4))
            else:
                self.make(values, I64, t.SETCC, imm=self.random.randrange(4))

    def divide(self, values: list[int], ints: list[int]) -> None:
        self.emit(MInst(COPY, 0, ints[0]))
        self.emit(MInst(COPY, 2, ints[1]))
        self.emit(MInst(t.DIV, NONE, ints[2]))
        for fixed in self.random.choice([[0], [2], [0, 2], []]):
            self.make(values, I64, COPY, fixed)

    def compare(self, ints: list[int]) -> None:
        self.emit(MInst(t.CMP, NONE, ints[0], ints[1]))

    def call(self, values: list[int]) -> None:
        func = self.func
        clobbers = sum(1 << r for r in self.target.int_regs + self.target.float_regs) & ~self.target.callee_saved
        site = CallSite([], [], [], [], clobbers | 1 << 11 | 1 << 31, target=self.random.randrange(1000))
        other = self.foreign and self.random.random() < 0.4
        site.args.append(self.pick(values, I64) if other else func.instance)
        site.arg_locs.append(14)
        if site.args[0] != func.instance and self.random.random() < 0.5:
            site.clobbers |= 1 << 14
        args = [self.any(values) for _ in range(self.random.randrange(9))]
        site.args += args
        site.arg_locs += self.locations([func.types[v] for v in args])
        site.kind = self.random.choice([TO_FUNC, TO_REGISTER, TO_MEMORY, TO_STUB])
        if site.kind != TO_FUNC:
            site.address = self.pick(values, I64)
        types = [self.random.randrange(4) for _ in range(self.random.randrange(5))]
        site.result_locs += self.locations(types, False)
        site.results += [self.new(type) for type in types[: len(site.result_locs)]]
        self.emit(MInst(CALL, imm=site))
        values += site.results

    # Control

    def region(self, values: list[int], nesting: int) -> None:
        for _ in range(self.random.randrange(1, 9)):
            self.left -= 1
            if self.left < 0:
                return
            what = self.random.randrange(100)
            if what < 60 or nesting == 4 or (self.straight and what >= 70):
                for _ in range(self.random.randrange(1, 6)):
                    self.operation(values)
            elif what < 70:
                if self.calls:
                    self.call(values)
            elif what < 80:
                self.branch(values, nesting)
            elif what < 92:
                self.loop(values, nesting)
            else:
                self.switch(values, nesting)

    def jump(self, target: MBlock, args: list[int]) -> None:
        self.emit(MInst(JUMP))
        self.block.succs = [target]
        self.block.args = args

    def branch_on(self, values: list[int]) -> MBlock:
        """End the block with a branch; return it, for its successors."""
        self.compare([self.pick(values, I64), self.pick(values, I64)])
        self.emit(MInst(BRANCH, imm=self.random.randrange(4)))
        return self.block

    def param_types(self) -> list[int]:
        return [self.random.randrange(4) for _ in range(self.random.choice([0, 1, 2, 3, 6]))]

    def branch(self, values: list[int], nesting: int) -> None:
        types = self.param_types()
        start = self.branch_on(values)
        ends: list[tuple[MBlock, list[int]]] = []
        for _ in range(2):
            self.block = self.new_block()
            start.succs.append(self.block)
            inner = values.copy()
            self.region(inner, nesting + 1)
            if ends and self.random.random() < 0.2:
                if self.random.random() < 0.5:
                    self.leave(inner)
                else:
                    self.emit(MInst(TRAP, imm=3))
            else:
                args = [self.pick(inner, type) for type in types]
                ends.append((self.block, args))
        self.join(ends, types, values)

    def join(self, ends: list[tuple[MBlock, list[int]]], types: list[int], values: list[int]) -> None:
        merge = self.new_block()
        merge.params = [self.new(type) for type in types]
        for block, args in ends:
            self.block = block
            self.jump(merge, args)
        self.block = merge
        values += merge.params

    def switch(self, values: list[int], nesting: int) -> None:
        types = self.param_types()
        count = self.random.randrange(2, 5)
        self.make(values, I64, t.MOD, self.pick(values, I64), imm=count)
        self.emit(MInst(SWITCH, NONE, values[-1], self.new(I64), self.new(I64)))
        start = self.block
        ends: list[tuple[MBlock, list[int]]] = []
        for _ in range(count):
            self.block = self.new_block()
            start.succs.append(self.block)
            inner = values.copy()
            if self.random.random() < 0.4:
                self.region(inner, nesting + 1)
            args = [self.pick(inner, type) for type in types]
            ends.append((self.block, args))
        self.join(ends, types, values)

    def loop(self, values: list[int], nesting: int) -> None:
        types = self.param_types()
        args = [self.pick(values, type) for type in types]
        before = self.block
        self.depth += 1
        header = self.new_block()
        header.loop = True
        header.params = [self.new(type) for type in types]
        self.block = before
        self.jump(header, args)
        self.block = header
        inner = values + header.params
        self.region(inner, nesting + 1)
        last = self.branch_on(inner)
        dominating = inner[len(values) :]
        self.block = self.new_block()
        last.succs.append(self.block)
        latch = inner.copy()
        if self.random.random() < 0.3:
            self.operation(latch)
        args = [self.pick(header.params + latch if self.random.random() < 0.3 else latch, type) for type in types]
        self.jump(header, args)
        self.depth -= 1
        self.block = self.new_block()
        last.succs.append(self.block)
        values += self.random.sample(dominating, min(len(dominating), self.random.randrange(6)))

    def leave(self, values: list[int]) -> None:
        site = CallSite([], [], [], [])
        tail = self.random.random() < 0.2
        args = [self.any(values) for _ in range(self.random.randrange(6))]
        site.arg_locs = self.locations([self.func.types[v] for v in args], tail)
        site.args = args[: len(site.arg_locs)]
        if tail:
            site.args.append(self.func.instance)
            site.arg_locs.append(14)
            site.kind = TO_REGISTER
            site.address = self.pick(values, I64)
        self.emit(MInst(TAIL if tail else RET, imm=site))
