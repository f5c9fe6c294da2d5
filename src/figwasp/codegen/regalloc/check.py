"""Floor 3: the symbolic checker of register allocation. In: an MFunc before and after. Out: nothing, or a `CheckError`.

Theory of operation. A `Snapshot` keeps the operands of the original instructions. After allocation a dataflow analysis runs
over the new code with, for every register and memory cell, the set of original registers (virtual ones, and physical ones that
selection named) whose value it certainly holds. At joins the sets are intersected. An instruction that was there before must
find each operand's value where it now reads; what allocation inserted may only be moves, loads, stores and repeated constants.
This trusts nothing of the allocator: not its live ranges, nor its idea of free registers.
"""

from __future__ import annotations

from figwasp.codegen.mach import (
    AREA,
    ARRIVE,
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
    POOL,
    RET,
    SLOT,
    STACK,
    SWITCH,
    SYMBOL,
    TAIL,
    TO_STUB,
    VIRTUAL,
    CallSite,
    MFunc,
    MInst,
)
from figwasp.codegen.regalloc.check_state import (
    LOW,
    NOTHING,
    CheckError,
    Original,
    State,
    kill,
    location_text,
    meet,
    memory_location,
    store,
    widths_of,
)
from figwasp.codegen.regalloc.moves import BASE_MASK, stack_mem, stack_slot
from figwasp.codegen.regalloc.registers import bits
from figwasp.codegen.target import Target
from figwasp.ir.func import CONV_C
from figwasp.ir.types import CELL, CLASSES, I32, INT, SIZES, WHOLE

__all__ = ["CheckError", "Snapshot"]


class Snapshot:
    """A function before allocation.

    Attributes:
        code: original instructions of each block.
        args: arguments of each block's JUMP.
        number: of each block in layout order, by id.
        widths: operation of a move, load or store -> IR types whose values survive it. sizes: the bytes it copies.
        constants: (op, rm, mem, imm) of instructions without operands -> what they define.
    """

    def __init__(self, func: MFunc, target: Target) -> None:
        self.func = func
        self.target = target
        self.rows = target.rows
        self.code = [[Original(inst) for inst in block.code] for block in func.blocks]
        self.args = [list(block.args) for block in func.blocks]
        self.number = {block.id: index for index, block in enumerate(func.blocks)}
        self.widths = widths_of(target)
        self.sizes = {op: max(SIZES[type] for type in types) for op, types in self.widths.items()}
        self.constants: dict[tuple[int, int, int, int], set[int]] = {}
        self.current = ""
        self.count = len(func.types)
        for code in self.code:
            for original in code:
                inst = original.inst
                if inst.op >= FIRST_ROW and self._reads_nothing(inst) and isinstance(inst.imm, int):
                    self.constants.setdefault((inst.op, inst.rm, inst.mem, inst.imm), set()).add(inst.rd)

    def _reads_nothing(self, inst: MInst) -> bool:
        rows = self.rows
        fields = rows.reads[inst.op]
        if rows.memory[inst.op]:
            return not fields & 1 and inst.rx == NONE and (inst.rm in (POOL, SYMBOL, AREA)) and not rows.stores[inst.op]
        return fields == 0 and not rows.implicit_uses[inst.op] and not rows.makes_condition[inst.op]

    def verify(self) -> None:
        """Check the function as it is now against how it was.

        Raises:
            CheckError: the allocated code does something else.
        """
        func = self.func
        blocks = func.blocks
        if len(blocks) != len(self.code):
            self.fail("blocks were added or removed")
        states: list[State | None] = [None] * len(blocks)
        states[0] = {}
        work = [0]
        queued = {0}
        while work:
            index = work.pop()
            queued.discard(index)
            known = states[index]
            assert known is not None
            state = self._block(index, dict(known))
            for succ in {self.number[succ.id] for succ in blocks[index].succs}:
                before = states[succ]
                merged = dict(state) if before is None else meet(before, state)
                if before is None or merged != before:
                    states[succ] = merged
                    if succ not in queued:
                        queued.add(succ)
                        work.append(succ)
        self._saved()

    def fail(self, reason: str) -> None:
        """Raise a CheckError that says where."""
        raise CheckError(f"allocation of {self.func.name or self.func.index}: {self.current}: {reason}")

    # One block

    def _block(self, index: int, state: State) -> State:
        """Run over the code of a block; return what holds at its end."""
        block = self.func.blocks[index]
        originals = self.code[index]
        position = {id(original.inst): i for i, original in enumerate(originals)}
        done = 0
        for inst in block.code:
            self.current = f"block {block.id}: {self.text(inst)}"
            at = position.get(id(inst))
            if at is None:
                self._inserted(inst, state)
                continue
            if at < done:
                self.fail("instructions were reordered or repeated")
            self._dropped(originals[done:at], state)
            done = at + 1
            self._kept(originals[at], inst, state, index)
        self._dropped(originals[done:], state)
        return state

    def _dropped(self, originals: list[Original], state: State) -> None:
        """Check an instruction that was removed: it must be a copy, or make a constant."""
        for original in originals:
            if original.op == COPY:
                holders = [location for location, held in state.items() if self._copied(original, location, held)]
                kill(state, original.rd)
                for location in holders:
                    state[location] = state.get(location, NOTHING) | {original.rd}
            elif original.op < FIRST_ROW or not self._is_constant(original):
                self.fail(f"an instruction is missing: {self.text(original.inst)}")

    def _copied(self, original: Original, location: int, held: frozenset[int]) -> bool:
        """Return whether a location holds what a COPY makes, which between i32 and i64 is the low half with zeros above it."""
        rd, rn = original.rd, original.rn
        narrow = rd >= VIRTUAL and self.func.types[rd] == I32
        if rn < VIRTUAL:
            return rn in held or (narrow and LOW | rn in held)
        if rd < VIRTUAL or self.func.types[rd] == self.func.types[rn]:
            return rn in held
        if narrow:
            return LOW | rn in held
        return rn in held and (location < PHYSICAL or ~rn in held)

    def _is_constant(self, original: Original) -> bool:
        return any(original.rd in made for made in self.constants.values())

    def _inserted(self, inst: MInst, state: State) -> None:
        """A move, load, store or constant that allocation put in."""
        rows = self.rows
        op = inst.op
        if op < FIRST_ROW or rows.flags[op] or rows.implicit_defs[op] or rows.tied[op]:
            self.fail("inserted instruction has effects")
        if isinstance(inst.imm, int) and (op, inst.rm, inst.mem, inst.imm) in self.constants:
            self._write(state, inst.rd, frozenset(self.constants[op, inst.rm, inst.mem, inst.imm]))
            return
        if op not in self.widths:
            self.fail("inserted instruction is no move")
        source = inst.rn if inst.rn >= 0 else memory_location(inst.rm, inst.mem)
        value = self._carried(op, state.get(source, NOTHING), rows.memory[op] and inst.rd < 0)
        if inst.rd >= 0:
            self._write(state, inst.rd, value)
        else:
            if inst.rm not in (SLOT, INCOMING, OUTGOING):
                self.fail("inserted store goes elsewhere")
            store(state, inst.rm, inst.mem, self.sizes[op], value)

    def _carried(self, op: int, held: frozenset[int], stores: bool) -> frozenset[int]:
        """Return the values that survive a move.

        `~v` in a cell says that all bytes come from the register that held the narrower `v`; `LOW | v` is the low part of `v`.
        """
        widths = self.widths[op]
        size = self.sizes[op]
        value: set[int] = set()
        for v in held:
            if v < 0:
                continue
            if v >= LOW or self._type(v) in widths:
                value.add(v)
            elif SIZES[self._type(v)] > size:
                value.add(LOW | v)
            elif stores or ~v in held:
                value |= {v, ~v} if stores else {v}
        return frozenset(value)

    def _type(self, v: int) -> int:
        v &= ~LOW
        if v >= VIRTUAL:
            return self.func.types[v]
        return WHOLE[self.target.classes[v]]

    def _write(self, state: State, register: int, value: frozenset[int]) -> None:
        """A register changes."""
        if register in (self.target.context_reg, self.target.stack_reg):
            self.fail("writes a fixed register")
        if not 0 <= register < PHYSICAL:
            self.fail("writes no register")
        if register not in self.target.scratch and any(self.target.classes[register] != CLASSES[self._type(v)] for v in value):
            self.fail("wrong class of register")
        state[register] = value

    def _define(self, state: State, v: int, location: int) -> None:
        """Original register `v` gets a new value, which is in `location` only."""
        kill(state, v)
        self._write(state, location, frozenset((v,)))

    def _expect(self, state: State, v: int, location: int, what: str) -> None:
        """Original register `v` is read at `location`."""
        if v < 0 or v in (self.target.context_reg, self.target.stack_reg):
            if v != location:
                self.fail(f"{what} should be {v}, is {location}")
            return
        if v not in state.get(location, NOTHING):
            held = sorted(state.get(location, NOTHING))
            self.fail(f"{what} reads {location_text(location)}, which holds {held}, not {v}")

    # Instructions that were there before

    def _kept(self, original: Original, inst: MInst, state: State, index: int) -> None:
        """An original instruction, with new operands."""
        op = original.op
        if op >= FIRST_ROW:
            self._row(original, inst, state)
        elif op == COPY:
            self.fail("copy left over")
        elif op == SWITCH:
            self._expect(state, original.rn, inst.rn, "index")
            if len({inst.rn, inst.rm, inst.rx}) != 3:
                self.fail("scratch registers of the switch are not distinct")
            self._write(state, inst.rm, NOTHING)
            self._write(state, inst.rx, NOTHING)
        elif op == JUMP:
            self._jump(index, state)
        elif op == ARRIVE:
            self._arrive(inst, index)
            self._site(original, inst, state)
        elif op in (ENTRY, CALL, INVOKE, RET, TAIL):
            self._site(original, inst, state)

    def _row(self, original: Original, inst: MInst, state: State) -> None:
        """A row of the target's table: operands, then results."""
        rows = self.rows
        op = original.op
        fields = rows.reads[op]
        rn, rm = inst.rn, inst.rm
        spilled = NONE
        if inst.op != op:
            if inst.op == rows.spill_rm[op] and not rows.memory[op]:
                rm = memory_location(inst.rm, inst.mem)
                spilled = original.rm
            elif inst.op == rows.spill_rn[op] and not rows.memory[op]:
                rn = memory_location(inst.rm, inst.mem)
                rm = inst.rn
                spilled = original.rn
            else:
                self.fail(f"was {rows.names[op]}")
            if inst.rm not in (SLOT, INCOMING) or inst.rx != NONE:
                self.fail("operand in place is no cell")
            if rows.width[inst.op] > SIZES[self._type(spilled)]:
                self.fail("operand in place is read too wide")
        elif inst.mem != original.mem:
            self.fail("displacement changed")
        if rows.tied[op] and inst.rd != inst.rn:
            self.fail("tied operands differ")
        if fields & 1:
            self._expect(state, original.rn, rn, "rn")
        if fields & 2:
            if rows.memory[op] and original.rm < VIRTUAL and original.rm >= PHYSICAL:
                if rm != original.rm:
                    self.fail("memory base changed")
            else:
                self._expect(state, original.rm, rm, "rm")
        if fields & 4:
            self._expect(state, original.rx, inst.rx, "rx")
        for r in bits(rows.implicit_uses[op]):
            if r != self.target.stack_reg:
                self._expect(state, r, r, "implicit use")
        for r in bits(rows.implicit_defs[op]):
            if r != self.target.stack_reg:
                self._define(state, r, r)
        if original.rd >= 0:
            if original.rd < VIRTUAL and original.rd != inst.rd:
                self.fail("fixed destination changed")
            if inst.rd in bits(rows.implicit_defs[op]):
                self.fail("destination is destroyed by the instruction itself")
            if inst.rd == self.target.scratch[INT] and rows.makes_condition[op]:
                self.fail("expands with the scratch register, which is its destination")
            self._define(state, original.rd, inst.rd)

    def _jump(self, index: int, state: State) -> None:
        """An edge with arguments: the parameters take their values all at once."""
        args = self.args[index]
        if not args:
            return
        params = self.func.blocks[index].succs[0].params
        renamed = dict(zip(params, args))
        fresh: dict[int, set[int]] = {}
        for location, held in state.items():
            names = {param for param, arg in renamed.items() if arg in held}
            if names:
                fresh[location] = names
        for param in params:
            kill(state, param)
        for location, names in fresh.items():
            state[location] = state.get(location, NOTHING) | names

    def _site(self, original: Original, inst: MInst, state: State) -> None:
        """A call, entry or exit: arguments in place, then everything it destroys, then the results."""
        site = inst.imm
        assert isinstance(site, CallSite)
        for v, loc in zip(original.args, site.arg_locs):
            location = loc if loc < PHYSICAL else _argument_cell(site, loc)
            self._expect(state, v, location, f"argument {v}")
        if original.address != NONE:
            self._expect(state, original.address, site.address, "address")
            if site.kind == TO_STUB and site.address != self.target.scratch[INT]:
                self.fail("address for a stub is not in the scratch register")
            kept = self.target.callee_saved | self.target.c_callee_saved
            if inst.op == TAIL and kept >> site.address & 1:
                self.fail("address is destroyed by the epilogue")
        if inst.op in (CALL, INVOKE):
            destroyed = site.clobbers
            for loc in self.target.scratch + site.result_locs:
                destroyed |= 1 << loc
            for location in list(state):
                if location & BASE_MASK == OUTGOING or (location < PHYSICAL and destroyed >> location & 1):
                    del state[location]
        for v, loc in zip(original.results, site.result_locs):
            kill(state, v)
            if loc < PHYSICAL:
                state[loc] = frozenset((v,))
            else:
                mem = stack_mem(stack_slot(INCOMING, loc - STACK))
                store(state, INCOMING, mem, SIZES[self._type(v)], frozenset((v,)))

    def _arrive(self, inst: MInst, index: int) -> None:
        """The results of an INVOKE are where it left them: nothing has come between."""
        block = self.func.blocks[index]
        if block.code[0] is not inst:
            self.fail("something comes before the results")
        if [pred.code[-1].op for pred in block.preds] != [INVOKE] or block.preds[0].succs[0] is not block:
            self.fail("results of no call")

    def _saved(self) -> None:
        """Every callee-saved register that is written must be in `saved`."""
        func = self.func
        kept = self.target.c_callee_saved if func.conv == CONV_C else self.target.callee_saved
        rows = self.rows
        for block in func.blocks:
            for inst in block.code:
                self.current = f"block {block.id}: {self.text(inst)}"
                written = 0
                if inst.op >= FIRST_ROW:
                    written = rows.implicit_defs[inst.op] | (1 << inst.rd if inst.rd >= 0 else 0)
                elif inst.op in (CALL, INVOKE) and isinstance(inst.imm, CallSite):
                    written = inst.imm.clobbers
                elif inst.op == SWITCH:
                    written = 1 << inst.rm | 1 << inst.rx
                for r in bits(written & kept):
                    if r not in func.saved:
                        self.fail(f"callee-saved register {r} is written but not saved")
                if inst.op >= FIRST_ROW and inst.rm == SLOT:
                    cells = (rows.width[inst.op] + CELL - 1) // CELL
                    if (inst.mem >> MEM_BITS) + cells > func.num_slots:
                        self.fail("slot number out of range")
                    if cells > 1 and (inst.mem >> MEM_BITS) % cells:
                        self.fail("slot is not aligned")

    def text(self, inst: MInst) -> str:
        """Describe an instruction."""
        names = self.rows.names
        name = names[inst.op] if inst.op < len(names) else str(inst.op)
        fields = f"rd={inst.rd} rn={inst.rn} rm={inst.rm} rx={inst.rx} mem={inst.mem}"
        return f"{name} {fields} at {inst.pos:#x}"


def _argument_cell(site: CallSite, loc: int) -> int:
    """Return where an argument that travels in memory is expected."""
    base, cell = (OUTGOING, loc - STACK) if site.in_place == NONE else (INCOMING, loc - STACK + site.in_place)
    return memory_location(base, stack_mem(stack_slot(base, cell)))
