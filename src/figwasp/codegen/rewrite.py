"""Floor 3: from places to instructions. In: an MFunc over virtual registers and an `Assignment`. Out: the same MFunc over
physical registers, with the moves, stores and reloads that the assignment implies.

Every value has a place. If that is a register, the value is there for its whole life, and most instructions are done by
looking their operands up. If it is a memory cell, its home, it is stored there once, after its definition (a block parameter: on
each edge), and is valid there ever after; *pieces* are stretches of points where a copy is in a register besides. An operand
outside of all pieces is read in memory where the instruction has a form for that, else it passes through a register that is
free at that point, the scratch register, or, when there is none, one that is saved around the instruction.
"""

from __future__ import annotations

from figwasp.codegen.mach import (
    CALL,
    COPY,
    ENTRY,
    FIRST_ROW,
    INCOMING,
    JUMP,
    NONE,
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
from figwasp.codegen.moves import CONSTANT, REGISTERS, Mover, cell, cell_mem
from figwasp.codegen.target import Rows, Target
from figwasp.ir.ops import F32, F64, I32, I64

TYPE_SIZE = [4, 8, 4, 8]


class Assignment:
    """Where everything goes.

    Attributes:
        place: per register its place, physical ones themselves; NONE if it needs none. One more entry at the end for index NONE.
        pieces: value -> flat (first point, end, register) triples.
        reloads: instruction number -> flat (value, register) pairs to load before it; before a JUMP: together with its moves.
        busy: per physical register, the points at which it is taken.
        int_order, float_order: registers that may be taken where they are free.
        written: bit set of the registers that the assignment writes.
        constants: what CONSTANT places refer to.
    """

    __slots__ = ("busy", "constants", "float_order", "int_order", "pieces", "place", "reloads", "written")

    def __init__(self, place: list[int], busy: list[int]) -> None:
        self.place = place
        self.busy = busy
        self.pieces: dict[int, list[int]] = {}
        self.reloads: dict[int, list[int]] = {}
        self.int_order: list[int] = []
        self.float_order: list[int] = []
        self.constants: list[MInst] = []
        self.written = 0


class Rewriter:
    """The walk over the code."""

    __slots__ = ("assignment", "defs", "func", "last_borrowed", "mover", "place", "rows", "target", "types", "written")

    def __init__(self, func: MFunc, target: Target, assignment: Assignment) -> None:
        self.func = func
        self.target = target
        self.rows: Rows = target.rows
        self.assignment = assignment
        self.place = assignment.place
        self.types = func.types
        self.written = assignment.written
        self.mover = Mover(func, target)
        self.mover.constants = assignment.constants

    def run(self) -> None:
        """Rewrite all blocks and note the callee-saved registers that are written."""
        for block in self.func.blocks:
            self.mover.out = []
            if block.params and self.assignment.pieces:
                self._store_params(block)
            self._walk(block)
            block.code = self.mover.out

    def _walk(self, block: MBlock) -> None:
        """Rewrite a block. Flat for speed: the common case is an instruction whose operands are all in registers."""
        place = self.place
        tied = self.rows.tied
        types = self.types
        move = self.target.move
        out = self.mover.out
        reloads = self.assignment.reloads
        k = block.start >> 1
        for inst in block.code:
            k += 1
            if reloads and k in reloads and inst.op != JUMP:
                self._reload(k)
            op = inst.op
            if op >= FIRST_ROW:
                rd = place[inst.rd]
                rn = place[inst.rn]
                rm = place[inst.rm]
                rx = place[inst.rx]
                if rd >= REGISTERS or rn >= REGISTERS or rm >= REGISTERS or rx >= REGISTERS:
                    self._row(inst, k)
                    continue
                if rd != rn and tied[op]:
                    out.append(move(types[inst.rn] if inst.rn >= VIRTUAL else types[inst.rd], rd, rn))
                    rn = rd
                inst.rd = rd
                inst.rn = rn
                inst.rm = rm
                inst.rx = rx
                out.append(inst)
            elif op == COPY:
                self._copy(inst, k)
            elif op == JUMP:
                if block.args or reloads:
                    self._jump(block, k)
                out.append(inst)
            elif op == CALL:
                self._call(inst, k)
            elif op == SWITCH:
                self._switch(inst, k)
            elif op == RET or op == TAIL:
                self._leave(inst, k)
            else:
                out.append(inst)
                if op == ENTRY:
                    self._results(inst, k, INCOMING)

    def type_of(self, r: int) -> int:
        """The IR type of a register, for moves."""
        if r >= VIRTUAL:
            return self.types[r]
        return I64 if r < 16 else F64

    def where(self, v: int, point: int) -> int:
        """The best place to read a value at a point where it is live."""
        place = self.place[v]
        if place >= REGISTERS:
            pieces = self.assignment.pieces.get(v)
            if pieces is not None:
                for i in range(0, len(pieces), 3):
                    if pieces[i] <= point < pieces[i + 1]:
                        return pieces[i + 2]
        return place

    def _start(self, v: int, point: int) -> int:
        """The place where a value is to be defined at `point`: a register if a piece begins there, else its place."""
        place = self.place[v]
        if place >= REGISTERS:
            pieces = self.assignment.pieces.get(v)
            if pieces is not None:
                for i in range(0, len(pieces), 3):
                    if pieces[i] == point:
                        return pieces[i + 2]
        return place

    def _store_params(self, block: MBlock) -> None:
        """Store the parameters that arrive in a register but live in memory."""
        for v in block.params:
            if self.place[v] >= REGISTERS:
                self._store(v, self._start(v, block.start))

    def _store(self, v: int, register: int) -> None:
        """Store a value in its home if it was defined in a register."""
        home = self.place[v]
        if register < REGISTERS <= home and home & 63 != CONSTANT and home & 63 != INCOMING:
            self.mover.move(self.types[v], home, register)

    def _reload(self, k: int) -> None:
        """Load the values whose pieces begin before instruction k."""
        pairs = self.assignment.reloads[k]
        for i in range(0, len(pairs), 2):
            self.mover.move(self.types[pairs[i]], pairs[i + 1], self.place[pairs[i]])

    def _copy(self, inst: MInst, k: int) -> None:
        """COPY: a move, or nothing if both are in the same place."""
        if inst.rd >= VIRTUAL:
            dst = self._start(inst.rd, 2 * k + 1)
            if dst < 0:
                return
        else:
            dst = inst.rd
        src = self.where(inst.rn, 2 * k - 1)
        type = self.type_of(inst.rn)
        if inst.rd >= VIRTUAL:
            if inst.rn < VIRTUAL or (type == I64 and self.types[inst.rd] == I32):
                type = self.types[inst.rd]
        narrows = inst.rn >= VIRTUAL and type != self.types[inst.rn]
        if dst & 63 != CONSTANT and (dst != src or narrows):
            self.mover.move(type, dst, src)
        if inst.rd >= VIRTUAL:
            self._store(inst.rd, dst)

    def _jump(self, block: MBlock, k: int) -> None:
        """JUMP: move the arguments into the parameters, and reload what the loop behind it wants in registers."""
        types: list[int] = []
        dsts: list[int] = []
        srcs: list[int] = []
        if block.args:
            succ = block.succs[0]
            for param, arg in zip(succ.params, block.args):
                dst = self._start(param, succ.start)
                if dst >= 0:
                    types.append(self.types[param])
                    dsts.append(dst)
                    srcs.append(self.where(arg, 2 * k - 1))
        pairs = self.assignment.reloads.get(k)
        if pairs is not None:
            for i in range(0, len(pairs), 2):
                types.append(self.types[pairs[i]])
                dsts.append(pairs[i + 1])
                srcs.append(self.where(pairs[i], 2 * k - 1))
        self.mover.parallel(types, dsts, srcs)

    def _call(self, inst: MInst, k: int) -> None:
        """CALL: arguments into their places, results out of theirs."""
        site = inst.imm
        assert isinstance(site, CallSite)
        mover = self.mover
        types: list[int] = []
        dsts: list[int] = []
        srcs: list[int] = []
        moved = 0
        for v, loc in zip(site.args, site.arg_locs):
            src = self.where(v, 2 * k - 1)
            if loc < REGISTERS:
                types.append(self.type_of(v))
                dsts.append(loc)
                srcs.append(src)
                if loc != src:
                    moved |= 1 << loc
            else:  # nothing reads outgoing cells, so these can go first and one by one
                mover.move(self.type_of(v), cell(OUTGOING, loc - STACK), src)
        self.written |= moved
        scratch = self.target.scratch_int
        if site.address >= 0:
            src = self.where(site.address, 2 * k - 1)
            if src < REGISTERS and not moved >> src & 1 and site.kind != TO_STUB:
                site.address = src
            else:
                site.address = scratch
                if src != scratch:
                    mover.move(self.type_of(site.address), scratch, src)
                mover.held = True
        mover.parallel(types, dsts, srcs)
        mover.held = False
        mover.out.append(inst)
        self._results(inst, k, OUTGOING)
