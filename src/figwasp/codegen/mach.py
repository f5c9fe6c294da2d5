"""Floor 3: machine instructions over registers, before and after allocation.

Registers are ints in one space: physical ones below PHYSICAL, numbered by the target, then pseudo registers (below), then virtual
registers. Selection produces an `MFunc` over virtual registers; allocation rewrites it in place to physical ones; frame
finishing gives slots their offsets; emission makes bytes.

Program points: instruction k of the function (counted through all blocks in layout order) is at point 2k "during" and
2k + 1 "after". A use ends the live range of its register just before "during" (early) or includes "during" (late); a
definition starts at "after" (late) or at "during" (early). A row whose destination is tied to its first source defines early
and reads its other sources late, since the copy into the destination comes first. Calls clobber at "during".
"""

from __future__ import annotations

from figwasp.ir.types import CELLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NONE: Final = -1
PHYSICAL: Final = 120  # physical registers are below
POOL: Final = 120  # memory base: the constant pool; `mem` >> MEM_BITS is the index into MFunc.pool
SYMBOL: Final = 121  # memory base: the word of a symbol; `mem` >> MEM_BITS is the index into MFunc.symbols
OUTGOING: Final = 122  # memory base: outgoing stack arguments, from the stack pointer
INCOMING: Final = 123  # memory base: incoming stack arguments
AREA: Final = 124  # memory base: the frame area (IR frame_area); displacement from its start
SLOT: Final = 125  # memory base: spill slot; `mem` >> MEM_BITS is the slot number
VIRTUAL: Final = 128  # first virtual register

MEM_BITS: Final = 2
"""MInst.mem is displacement << MEM_BITS | log2(scale)."""

STACK: Final = 1000
"""A location STACK + k in argument or result lists: the k-th 8-byte cell of the outgoing (calls) or incoming (entry) area."""

# Pseudo operations that every target has; rows of the target's instruction table are numbered from FIRST_ROW.
# What their `imm` holds is said in brackets.
ENTRY: Final = 0  # first instruction of the function: defines the parameters [CallSite: results, result_locs]
COPY: Final = 1  # rd = rn, same class; the allocator makes it a move or nothing
CALL: Final = 2  # [CallSite]
RET: Final = 3  # [CallSite: args, arg_locs] epilogue and return
TAIL: Final = 4  # [CallSite] epilogue and jump; stack arguments are put together first
JUMP: Final = 5  # to block.succs[0], with block.args
BRANCH: Final = 6  # [condition code] on the flags: to succs[0] if it holds, else succs[1]; no arguments on either edge
SWITCH: Final = 7  # to succs[rn], rn already in range; rm and rx: scratch registers it defines (early); no arguments
TRAPIF: Final = 8  # [condition code << 8 | trap code] out of line
TRAP: Final = 9  # [trap code]
UNWIND: Final = 10
POLL: Final = 11
FUEL: Final = 12  # [amount]
INVOKE: Final = 13  # [CallSite] a call, then to succs[0]; or, if it throws, to succs[1], with nothing left in registers
ARRIVE: Final = 14  # first in succs[0] of an INVOKE: defines its results [CallSite: results, result_locs]
FIRST_ROW: Final = 16

TERMINATORS: Final = frozenset({RET, TAIL, JUMP, BRANCH, SWITCH, TRAP, UNWIND, INVOKE})


class MInst:
    """A machine instruction.

    Attributes:
        op: pseudo operation or row number.
        rd: register defined, or NONE.
        rn: first source; tied to rd when the row says so. For stores the value stored.
        rm: second source, or the base register when the row has a memory operand (may be POOL, SYMBOL, SLOT, AREA,
            INCOMING, OUTGOING).
        rx: index register of a memory operand, or NONE.
        mem: displacement << MEM_BITS | log2(scale) of a memory operand.
        imm: immediate, condition code or CallSite.
        pos: byte offset of the wasm instruction it comes from, for traps and positions; 0 if none.
        fault: True when the memory access may fault and is then a trap (out of bounds memory access).
    """

    __slots__ = ("fault", "imm", "mem", "op", "pos", "rd", "rm", "rn", "rx")

    def __init__(
        self,
        op: int,
        rd: int = NONE,
        rn: int = NONE,
        rm: int = NONE,
        rx: int = NONE,
        mem: int = 0,
        imm: int | CallSite = 0,
        pos: int = 0,
        fault: bool = False,
    ) -> None:
        self.op = op
        self.rd = rd
        self.rn = rn
        self.rm = rm
        self.rx = rx
        self.mem = mem
        self.imm = imm
        self.pos = pos
        self.fault = fault


# What a CALL reaches
TO_FUNC: Final = 0  # target: function index, through the module's cell
TO_REGISTER: Final = 1  # address in CallSite.address (a register, read early)
TO_MEMORY: Final = 2  # address at [CallSite.address + target] (folded load)
TO_BUILTIN: Final = 3  # target: builtin number
TO_CELL: Final = 5  # target: class of cells; takes a cell of the heap, and calls only when there is none
TO_STUB: Final = 4  # target: STUB_*; CallSite.address, if any, goes in the target's scratch register


class CallSite:
    """Operands of ENTRY, CALL, INVOKE, ARRIVE, RET, TAIL: a parallel move into fixed places before, one out of fixed places after.

    Attributes:
        kind: TO_*.
        target: see TO_*.
        address: register that holds the code address, or NONE.
        args: registers read (early).
        arg_locs: per argument a physical register or STACK + k.
        results: registers defined (late).
        result_locs: per result a physical register or STACK + k.
        clobbers: bit set of physical registers destroyed; the results' registers need not be in it.
        stack_bytes: bytes of outgoing stack arguments; the callee pops them.
        leaves: True for a TAIL that may pass another instance than the function has got.
        catches: of an INVOKE, as `ir.func.Call.catches`.
        in_place: of a TAIL that has no more stack arguments than the function has got: the cell of those in which its own begin,
            where they are put together; NONE: in the outgoing cells.
    """

    __slots__ = (
        "address",
        "arg_locs",
        "args",
        "catches",
        "clobbers",
        "in_place",
        "kind",
        "leaves",
        "result_locs",
        "results",
        "stack_bytes",
        "target",
    )

    def __init__(
        self,
        args: list[int],
        arg_locs: list[int],
        results: list[int],
        result_locs: list[int],
        clobbers: int = 0,
        kind: int = TO_FUNC,
        target: int = 0,
        address: int = NONE,
        stack_bytes: int = 0,
    ) -> None:
        self.kind = kind
        self.target = target
        self.address = address
        self.args = args
        self.arg_locs = arg_locs
        self.results = results
        self.result_locs = result_locs
        self.clobbers = clobbers
        self.stack_bytes = stack_bytes
        self.leaves = False
        self.catches: tuple[int, ...] = ()
        self.in_place = NONE


class MBlock:
    """A block of machine instructions.

    Attributes:
        id: number, dense.
        code: instructions; the last is a terminator.
        params: virtual registers defined at its start.
        succs, preds: neighbours; preds once per edge.
        args: arguments for succs[0] when the terminator is JUMP, else empty.
        depth: loop depth.
        loop: True for a loop header; its loop is contiguous in layout and has one outside predecessor, which ends in JUMP.
        start, end: first point and one past the last point.
    """

    __slots__ = ("args", "code", "depth", "end", "id", "loop", "params", "preds", "start", "succs")

    def __init__(self, id: int, depth: int = 0) -> None:
        self.id = id
        self.code: list[MInst] = []
        self.params: list[int] = []
        self.succs: list[MBlock] = []
        self.preds: list[MBlock] = []
        self.args: list[int] = []
        self.depth = depth
        self.loop = False
        self.start = 0
        self.end = 0


class MFunc:
    """A function of machine instructions.

    Attributes:
        name, index, conv: as of the IR function.
        blocks: in layout order.
        types: IR type of each register; the first VIRTUAL entries are fillers. New virtual registers are appended.
        instance: the virtual register of the instance parameter, or NONE. It arrives in the target's instance register and
            calls inside the module pass it on; that register is callee-saved.
        pool: constants to place after the code, as bytes of 4, 8 or 16.
        symbols: names of the symbols that it refers to.
        num_slots: spill slots after allocation, in cells; a value takes as many as its type says, aligned to its size.
        saved: callee-saved registers the function writes, filled by allocation.
        outgoing: bytes of the largest outgoing stack argument area.
        area: bytes of the frame area.
        incoming: bytes of incoming stack arguments, to be popped on return.
        has_calls: False for a leaf.
        polls: True when the function contains a POLL or a call, so that its prologue must compare the stack pointer.
        continues: as of the IR function: its prologue must not compare the stack pointer.
        frame_size: bytes that the prologue subtracts, after frame finishing.
    """

    __slots__ = (
        "area",
        "blocks",
        "continues",
        "conv",
        "frame_size",
        "has_calls",
        "incoming",
        "index",
        "instance",
        "name",
        "num_slots",
        "outgoing",
        "polls",
        "pool",
        "saved",
        "symbols",
        "types",
    )

    def __init__(self, name: str, index: int, conv: int) -> None:
        self.name = name
        self.index = index
        self.conv = conv
        self.blocks: list[MBlock] = []
        self.types: list[int] = [-1] * VIRTUAL
        self.instance = NONE
        self.pool: list[bytes] = []
        self.symbols: list[str] = []
        self.num_slots = 0
        self.saved: list[int] = []
        self.outgoing = 0
        self.area = 0
        self.incoming = 0
        self.has_calls = False
        self.polls = False
        self.continues = False
        self.frame_size = 0

    def new_register(self, type: int) -> int:
        """Make a virtual register of an IR type."""
        self.types.append(type)
        return len(self.types) - 1

    def new_slot(self, type: int) -> int:
        """Make a spill slot for a value of an IR type; return its number, that of its first cell."""
        cells = CELLS[type]
        slot = (self.num_slots + cells - 1) & -cells
        self.num_slots = slot + cells
        return slot
