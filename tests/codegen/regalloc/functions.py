"""Random functions for made-up machines: SSA form, nested branches, loops and switches, calls, fixed registers, values of all types.

The machine must have the rows of `target`, by name. Types that a test has added to the table take part.
"""

from __future__ import annotations

import random

from figwasp.codegen.mach import (
    AREA,
    ARRIVE,
    BRANCH,
    CALL,
    COPY,
    ENTRY,
    INVOKE,
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
from figwasp.ir.types import CELLS, CLASSES, F32, F64, I32, I64, SIZES

CONSTANTS = ("const32", "const64", "constf", "constf", "constf")
LOADS = ("ld32", "ld64", "ldf32", "ldf64", "ldv")
STORES = ("st32", "st64", "stf32", "stf64", "stv")


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
        self.op = {name: number for number, name in enumerate(target.rows.names)}
        self.types = range(len(SIZES))
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
        site = CallSite([], [], [func.instance], [self.target.instance_reg])
        types = [self.random.choice(self.types) for _ in range(self.random.randrange(8))]
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

    def make(self, values: list[int], type: int, name: str, rn: int = NONE, rm: int = NONE, rx: int = NONE, imm: int = 0) -> None:
        """Emit an instruction with a new result."""
        v = self.new(type)
        op = self.op[name]
        mem = self.random.randrange(4) << 5 if self.target.rows.memory[op] else 0
        self.emit(MInst(op, v, rn, rm, rx, mem, imm))
        values.append(v)

    def pick(self, values: list[int], type: int) -> int:
        """Choose a value of a type, recent or old, or make one."""
        fitting = [v for v in values if self.func.types[v] == type]
        if fitting and self.random.random() < 0.97:
            return self.random.choice(fitting[-self.width :] if self.random.random() < 0.5 else fitting)
        if type == I64 and self.random.random() < 0.5:
            self.make(values, type, "lea", rm=AREA)
        else:
            self.make(values, type, CONSTANTS[type], imm=self.random.randrange(1 << 16))
        return values[-1]

    def any(self, values: list[int]) -> int:
        return self.pick(values, self.random.choice([I32, I64, I64, F32, F64, *self.types[F64:]]))

    def index(self, values: list[int]) -> int:
        return self.pick(values, I64) if self.random.random() < 0.5 else NONE

    def locations(self, types: list[int], cells: bool = True) -> list[int]:
        """Say where arguments of these types travel; without cells the list may be shorter."""
        registers = [list(found) for found in self.target.args]
        locs = []
        used = 0
        for type in types:
            free = registers[CLASSES[type]]
            if free:
                locs.append(free.pop(0))
            elif cells:
                used += -used % CELLS[type]
                locs.append(STACK + used)
                used += CELLS[type]
            else:
                break
        return locs

    # Straight code

    def operation(self, values: list[int]) -> None:
        what = self.random.randrange(21)
        ints = [self.pick(values, I64) for _ in range(3)]
        if what < 3:
            self.make(values, I64, "add64", ints[0], ints[1])
        elif what < 4:
            self.make(values, I32, "add32", self.pick(values, I32), self.pick(values, I32))
        elif what < 6:
            self.make(values, F64, "fadd", self.pick(values, F64), self.pick(values, F64))
        elif what < 7:
            self.make(values, I64, "add64m", ints[0], ints[1], self.index(values))
        elif what < 8:
            self.make(values, I64, "lea", NONE, ints[0], self.index(values))
        elif what < 9:
            self.make(values, I64, "mix", ints[0], ints[1], imm=5)
        elif what < 10:
            type = self.random.choice(self.types)
            self.make(values, type, LOADS[type], NONE, ints[0], self.index(values))
        elif what < 12:
            type = self.random.choice(self.types)
            rn, rx = self.pick(values, type), self.index(values)
            self.emit(MInst(self.op[STORES[type]], NONE, rn, ints[0], rx, 16 << 2))
        elif what < 13:
            self.emit(MInst(COPY, 1, ints[0]))
            self.make(values, I64, "shl", ints[1])
        elif what < 14:
            self.divide(values, ints)
        elif what < 15:
            self.make(values, I64, "cvt", self.pick(values, F64))
        elif what < 16:
            rn = self.any(values)
            self.copy(values, self.func.types[rn], rn)
        elif what < 17:
            self.make(values, I64, "add64i", ints[0], imm=7)
        elif what < 19:
            self.compare(ints)
            if what == 17:
                self.make(values, I64, "cmov", ints[1], ints[2], imm=self.random.randrange(4))
            else:
                self.make(values, I64, "setcc", imm=self.random.randrange(4))
        else:
            wide = self.types[-1]
            self.make(values, wide, "vadd", self.pick(values, wide), self.pick(values, wide))

    def copy(self, values: list[int], type: int, rn: int) -> None:
        v = self.new(type)
        self.emit(MInst(COPY, v, rn))
        values.append(v)

    def divide(self, values: list[int], ints: list[int]) -> None:
        self.emit(MInst(COPY, 0, ints[0]))
        self.emit(MInst(COPY, 2, ints[1]))
        self.emit(MInst(self.op["div"], NONE, ints[2]))
        for fixed in self.random.choice([[0], [2], [0, 2], []]):
            self.copy(values, I64, fixed)

    def compare(self, ints: list[int]) -> None:
        self.emit(MInst(self.op["cmp"], NONE, ints[0], ints[1]))

    def call(self, values: list[int]) -> None:
        site = self.site(values)
        self.emit(MInst(CALL, imm=site))
        values += site.results

    def site(self, values: list[int]) -> CallSite:
        func = self.func
        target = self.target
        clobbers = sum(1 << r for registers in [*target.regs, target.scratch] for r in registers) & ~target.callee_saved
        site = CallSite([], [], [], [], clobbers, target=self.random.randrange(1000))
        other = self.foreign and self.random.random() < 0.4
        site.args.append(self.pick(values, I64) if other else func.instance)
        site.arg_locs.append(target.instance_reg)
        if site.args[0] != func.instance and self.random.random() < 0.5:
            site.clobbers |= 1 << target.instance_reg
        args = [self.any(values) for _ in range(self.random.randrange(9))]
        site.args += args
        site.arg_locs += self.locations([func.types[v] for v in args])
        site.kind = self.random.choice([TO_FUNC, TO_REGISTER, TO_MEMORY, TO_STUB])
        if site.kind != TO_FUNC:
            site.address = self.pick(values, I64)
        types = [self.random.choice(self.types) for _ in range(self.random.randrange(5))]
        site.result_locs += self.locations(types, False)
        site.results += [self.new(type) for type in types[: len(site.result_locs)]]
        return site

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
                if self.calls and nesting < 4 and not self.straight and self.random.random() < 0.4:
                    self.invoke(values, nesting)
                elif self.calls:
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
        return [self.random.choice(self.types) for _ in range(self.random.choice([0, 1, 2, 3, 6]))]

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

    def invoke(self, values: list[int], nesting: int) -> None:
        """Make a call with a handler; its results are there on one of the two ways."""
        types = self.param_types()
        site = self.site(values)
        target = self.target
        site.clobbers = (1 << target.num_registers) - 1 & ~(1 << target.context_reg | 1 << target.stack_reg)
        results = CallSite([], [], site.results, site.result_locs)
        site.results, site.result_locs = [], []
        self.emit(MInst(INVOKE, imm=site))
        start = self.block
        ends: list[tuple[MBlock, list[int]]] = []
        for way in range(2):
            self.block = self.new_block()
            start.succs.append(self.block)
            inner = values.copy()
            if not way and results.results:
                self.emit(MInst(ARRIVE, imm=results))
                inner += results.results
            if self.random.random() < 0.6:
                self.region(inner, nesting + 1)
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
        self.make(values, I64, "mod", self.pick(values, I64), imm=count)
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
        args = [self.any(values) for _ in range(self.random.randrange(16 if tail else 6))]
        site.arg_locs = self.locations([self.func.types[v] for v in args], tail)
        site.args = args[: len(site.arg_locs)]
        if tail:
            if all(CELLS[self.func.types[v]] == 1 for v in args) and self.random.random() < 0.7:
                site.in_place = self.random.randrange(3)
            site.args.append(self.func.instance)
            site.arg_locs.append(self.target.instance_reg)
            site.kind = TO_REGISTER
            site.address = self.pick(values, I64)
        self.emit(MInst(TAIL if tail else RET, imm=site))
