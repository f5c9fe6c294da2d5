"""Floor 3: instruction selection, the part that no machine differs in.

In: `ir.Func`; out: `MFunc` over virtual registers. Theory of operation:

The blocks are walked backwards, and so is the code of each; instructions are appended in reverse and turned round once per
block. A user therefore comes before what it uses, and asks for its operands: `use` gives a value the virtual register in
which its own turn will define it, while a pattern may instead take the operand in (an address, an immediate, a load as
memory operand, a comparison as condition). A value that has no uses when its turn comes is not emitted. Uses come
before definitions only if blocks are laid out so that dominators precede what they dominate, which the IR promises.

A rule appends its last instruction first, and fills in operands after appending, since `use` of a constant appends the
instruction that makes it: constants and symbols are made anew at each use and never live in registers for long.

Sinking a value into its user is legal when both are in one block, it has no other user, and, for a load, when no
effect lies between. The first walk numbers the effect regions, stretches of code between effects and block boundaries
(`region_of`), so both questions are one comparison. `effect_region` is that of the value being emitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.codegen.mach import JUMP, NONE, CallSite, MBlock, MFunc, MInst
from figwasp.codegen.target import Target
from figwasp.ir import ops
from figwasp.ir.func import Block, Func, Value

FOLDED: Final = -1
"""In `regs`: the value has been taken into its only user."""
NO_REGION: Final = -1
"""As `effect_region`: no load may be taken in, because the instruction under construction may be made twice."""

FIRST_LOAD: Final = ops.I32_LOAD
LAST_LOAD: Final = ops.V128_LOAD64_ZERO
_ENDS_REGION: Final = [flags & (ops.TRAPS | ops.WRITES | ops.CALLS | ops.TERMINATOR | ops.ORDERED) != 0 for flags in ops.FLAGS]
_MADE_ANEW: Final = frozenset((ops.CONST, ops.SYMBOL))
_ALWAYS: Final = [ends or FIRST_LOAD <= op <= LAST_LOAD for op, ends in enumerate(_ENDS_REGION)]
"""Operations whose rule is called even when the result is not used; that of a load decides by its region."""


class SelectionHooks:
    """The parts of rules common to all machines (`select_call`) that a machine fills in."""

    __slots__ = ()

    def area_address(self, register: int, offset: int) -> MInst:
        """Return the instruction that puts the address of a place in the frame area into a register."""
        raise NotImplementedError

    def fold_callee(self, s: Selector, site: CallSite, code: Value) -> bool:
        """Let a call that has been appended load its own code address, if it can; say whether the site is complete."""
        raise NotImplementedError


class Selector:
    """The state of one selection.

    Attributes:
        target: the machine. hooks: its part in shared rules.
        func, mfunc: the input and the output.
        rules: by IR operation.
        entry: emits the first instruction of the function. arrive: the first of a block where the results of an `invoke` are.
        uses: number of uses of each value.
        region_of: number of the effect region that each value stands in.
        regs: virtual register of each value, 0 if it has not been used, or FOLDED.
        types: those of mfunc.
        block: the IR block under selection, and `index`, its place in the layout.
        block_region: its first effect region.
        effect_region: that of the value under selection.
        code: instructions of the current machine block, last first.
        current: the machine block that `code` belongs to.
        results: registers of the projections of the call that comes next, by result number.
        hidden: register of the result area's address, or NONE.
        areas: offset of each IR frame area that has been met, by value id; of an `invoke`, of its result area.
        invoked: block where an `invoke` goes on, by its id -> the `invoke`.
        result_area: offset of the area for results of calls in the frame area, or -1; and its size.
    """

    __slots__ = (
        "_blocks",
        "_loop_ends",
        "_parts",
        "_place",
        "_placed_after",
        "_placed_before",
        "_pool",
        "_symbols",
        "areas",
        "arrive",
        "block",
        "block_region",
        "code",
        "current",
        "effect_region",
        "entry",
        "func",
        "hidden",
        "hooks",
        "index",
        "invoked",
        "mfunc",
        "region_of",
        "regs",
        "result_area",
        "result_area_size",
        "results",
        "rules",
        "target",
        "types",
        "uses",
    )

    def __init__(
        self,
        target: Target,
        rules: list[Rule],
        entry: Callable[[Selector], None],
        arrive: Callable[[Selector, Value], None],
        hooks: SelectionHooks,
        func: Func,
    ) -> None:
        self.target = target
        self.hooks = hooks
        self.rules = rules
        self.entry = entry
        self.arrive = arrive
        self.func = func
        self.mfunc = MFunc(func.name, func.index, func.conv)
        self.mfunc.continues = func.continues
        self.types = self.mfunc.types
        self.uses = [0] * func.num_values
        self.region_of = [0] * func.num_values
        self.regs = [0] * func.num_values
        self.block = func.blocks[0]
        self.index = 0
        self.block_region = 0
        self.effect_region = 0
        self.code: list[MInst] = []
        self.current = MBlock(0)
        self.results: dict[int, int] = {}
        self.hidden = NONE
        self.areas: dict[int, int] = {}
        self.invoked: dict[int, Value] = {}
        self.result_area = -1
        self.result_area_size = 0
        self._pool: dict[bytes, int] = {}
        self._symbols: dict[str, int] = {}
        self._blocks: list[MBlock] = []  # by IR block id: where the block begins
        self._place: list[int] = []  # by IR block id: layout index
        self._loop_ends: dict[int, int] = {}
        self._parts: list[MBlock] = []  # what the current block has been split into, last first
        self._placed_before: dict[int, list[MBlock]] = {}
        self._placed_after: dict[int, list[MBlock]] = {}

    # Operands

    def use(self, value: Value) -> int:
        """Return the register of a value; a constant or symbol is made right here."""
        register = self.regs[value.id]
        if register > 0:
            return register
        self.types.append(value.type)
        register = len(self.types) - 1
        op = value.op
        if op == ops.CONST or op == ops.SYMBOL:
            self.rules[op](self, value, register)
        else:
            self.regs[value.id] = register
        return register

    def dies(self, value: Value) -> bool:
        """Return whether the value is certainly not needed after the instruction under selection, nor made anew for it."""
        return self.regs[value.id] == 0 and self.region_of[value.id] >= self.block_region and value.op not in _MADE_ANEW

    def is_single_use(self, value: Value) -> bool:
        """Return whether a pure value may be taken into the instruction under selection."""
        id = value.id
        return self.uses[id] == 1 and self.region_of[id] >= self.block_region

    def new_register(self, type: int) -> int:
        """Make a virtual register of an IR type."""
        self.types.append(type)
        return len(self.types) - 1

    def pool_constant(self, data: bytes) -> int:
        """Return the index of a constant in the pool."""
        index = self._pool.get(data, -1)
        if index < 0:
            index = self._pool[data] = len(self.mfunc.pool)
            self.mfunc.pool.append(data)
        return index

    def symbol(self, value: Value) -> int:
        """Return the index of a symbol among those of the function."""
        name = value.aux
        assert type(name) is str
        index = self._symbols.get(name, -1)
        if index < 0:
            index = self._symbols[name] = len(self.mfunc.symbols)
            self.mfunc.symbols.append(name)
        return index

    def reserve_area(self, size: int) -> int:
        """Reserve bytes of the frame area and return their offset, a multiple of 16."""
        offset = self.mfunc.area
        self.mfunc.area = (offset + size + 15) & ~15
        return offset

    # Driver

    def run(self) -> MFunc:
        """Select the whole function."""
        starts = self._survey()
        blocks = self.func.blocks
        for index in range(len(blocks) - 1, -1, -1):
            block = blocks[index]
            self.index = index
            self.block_region = starts[index]
            self._select_block(block)
        self._lay_out()
        return self.mfunc

    def _survey(self) -> list[int]:
        """Count uses, number the effect regions, make the blocks; return the first region of each block."""
        uses = self.uses
        region_of = self.region_of
        ends = _ENDS_REGION
        starts = []
        region = 1
        last = max(block.id for block in self.func.blocks) + 1
        self._place = [0] * last
        self._blocks = [self.current] * last
        for index, block in enumerate(self.func.blocks):
            self._place[block.id] = index
            made = self._blocks[block.id] = MBlock(index, block.depth)
            made.loop = block.loop
            starts.append(region)
            for value in block.params:
                region_of[value.id] = region
            for value in block.code:
                for arg in value.args:
                    uses[arg.id] += 1
                region_of[value.id] = region
                if ends[value.op]:
                    region += 1
            for args in block.args:
                for arg in args:
                    uses[arg.id] += 1
            if block.code[-1].op in ops.INVOKES:
                self.invoked[block.succs[0].id] = block.code[-1]
            region += 1
        return starts

    def _select_block(self, block: Block) -> None:
        """Select one block."""
        self.block = block
        current = self.current = self._blocks[block.id]
        code = self.code = []
        regs = self.regs
        region_of = self.region_of
        rules = self.rules
        always = _ALWAYS
        for value in reversed(block.code):
            register = regs[value.id]
            if register > 0 or (register == 0 and always[value.op]):
                self.effect_region = region_of[value.id]
                done = len(code)
                rules[value.op](self, value, register)
                if code is not self.code:
                    code = self.code
                    done = 0
                for inst in code[done:]:
                    if not inst.pos:
                        inst.pos = value.pos
        if block.id in self.invoked:
            self.arrive(self, self.invoked[block.id])
        if self.index:
            current.params = [self.use(param) for param in block.params]
        else:
            self.entry(self)
        code.reverse()
        current.code = code
        if self._parts:
            self._parts.reverse()
            self._placed_after[block.id] = self._parts + self._placed_after.get(block.id, [])
            self._parts = []

    def split(self) -> MBlock:
        """Make what has been emitted of the current block a block of its own, `rest`, which follows it; return that.

        The caller appends a terminator next and sets the successors of `current`.
        """
        rest = MBlock(0, self.current.depth)
        self.code.reverse()
        rest.code = self.code
        rest.succs = self.current.succs
        rest.args = self.current.args
        self.code = []
        self.current.succs = []
        self.current.args = []
        self.put_after(rest)
        return rest

    def put_after(self, made: MBlock) -> None:
        """Lay a block out right after the current one, in front of those put there before."""
        self._parts.append(made)

    # Edges

    def jump(self, target: Block, args: list[Value]) -> None:
        """Emit a jump at the end of the current block."""
        self.code.append(MInst(JUMP))
        self.current.succs = [self._blocks[target.id]]
        self.current.args = [self.use(arg) for arg in args]

    def edge(self, number: int) -> MBlock:
        """Return where the current IR block's edge `number` leads: the successor, or a new block that carries the arguments."""
        target = self.block.succs[number]
        args = self.block.args[number]
        if not args:
            return self._blocks[target.id]
        made = MBlock(0, min(self.block.depth, target.depth))
        made.succs = [self._blocks[target.id]]
        code = self.code
        self.code = made.code
        self.code.append(MInst(JUMP))
        made.args = [self.use(arg) for arg in args]
        self.code.reverse()
        self.code = code
        self._put_edge(made, target)
        return made

    def _put_edge(self, made: MBlock, target: Block) -> None:
        """Lay an edge block out so that the blocks of every loop stay contiguous.

        After its predecessor when both ends are equally deep, since a reducible edge between them leaves no loop; an exit goes in
        front of its target, which is no loop header then; a back edge out of an inner loop goes to the end of the outer one.
        """
        place = self._place[target.id]
        if self.block.depth == target.depth and not (target.loop and place > self.index):
            self._placed_after.setdefault(self.block.id, []).append(made)
        elif place > self.index:
            self._placed_before.setdefault(target.id, []).append(made)
        else:
            last = self.func.blocks[self._loop_end(place)]
            self._placed_after.setdefault(last.id, []).append(made)

    def _loop_end(self, place: int) -> int:
        """Return the layout index of the last block of the loop whose header is at `place`."""
        end = self._loop_ends.get(place, -1)
        if end < 0:
            blocks = self.func.blocks
            depth = blocks[place].depth
            end = place
            while end + 1 < len(blocks):
                following = blocks[end + 1]
                if following.depth < depth or (following.loop and following.depth == depth):
                    break
                end += 1
            self._loop_ends[place] = end
        return end

    def _lay_out(self) -> None:
        """Join the blocks in layout order, number them and fill in predecessors."""
        layout = self.mfunc.blocks
        for block in self.func.blocks:
            layout += self._placed_before.get(block.id, [])
            layout.append(self._blocks[block.id])
            layout += self._placed_after.get(block.id, [])
        for number, made in enumerate(layout):
            made.id = number
        for made in layout:
            for succ in made.succs:
                succ.preds.append(made)


Rule = Callable[[Selector, Value, int], None]
"""(selector, value, its register or 0)."""
