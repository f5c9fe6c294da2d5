"""Floor 3: what the shared stages need to know about a machine. A target is data and a few functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from figwasp.codegen.code import Code
    from figwasp.codegen.emit import Assembler
    from figwasp.codegen.mach import MFunc, MInst
    from figwasp.ir.func import Func


class Rows:
    """The columns of a target's instruction table that selection-independent stages read, indexed by operation number.

    The first `mach.FIRST_ROW` entries describe pseudo operations and are only fillers where those are treated apart.

    Attributes:
        names: for printing.
        defines: True when rd is written.
        reads: bit set of the source fields: 1 rn, 2 rm, 4 rx. A pseudo register in rm is not a register read.
        tied: True when rd must be the register of rn.
        memory: True when rm/rx/mem form a memory operand.
        stores: True when the memory operand is written.
        implicit_uses, implicit_defs: bit sets of physical registers.
        spill_rm: operation that reads rm from memory instead of a register, or -1. (Same operation, operand in its slot.)
        spill_rn: the same for rn of an untied instruction without other memory operand (moves, conversions, compare), or -1.
            A register in rm moves to rn, since rm becomes the base: CMP32_RR (rn, rm) -> CMP32_MR ([rm], rn).
        width: bytes of the memory operand, 0 if none or not accessed. A spill form may read a slot only when its width is at
            most the size of the IR type: the upper half of a slot that holds an i32 is unspecified.
        flags: True when it writes the condition flags.
    """

    __slots__ = (
        "defines",
        "flags",
        "implicit_defs",
        "implicit_uses",
        "memory",
        "names",
        "reads",
        "spill_rm",
        "spill_rn",
        "stores",
        "tied",
        "width",
    )

    def __init__(self) -> None:
        self.names: list[str] = []
        self.defines: list[bool] = []
        self.reads: list[int] = []
        self.tied: list[bool] = []
        self.memory: list[bool] = []
        self.stores: list[bool] = []
        self.implicit_uses: list[int] = []
        self.implicit_defs: list[int] = []
        self.spill_rm: list[int] = []
        self.spill_rn: list[int] = []
        self.flags: list[bool] = []
        self.width: list[int] = []


class Target:
    """A machine.

    Attributes:
        name: "x64".
        rows: the columns of its instruction table.
        int_regs, float_regs: allocatable registers in order of preference, caller-saved ones first.
        callee_saved: bit set of registers a wasm-convention function must preserve.
        c_callee_saved: the same for the C convention.
        arg_ints, arg_floats: argument (and result) registers after the instance, wasm convention.
        c_arg_ints, c_arg_floats, c_result_int, c_result_float: C convention.
        instance_reg, context_reg, stack_reg: fixed registers. The context and the stack pointer are never allocated.
        scratch_int, scratch_float: never allocated; for the allocator's moves and spills, and call addresses.
        return_bytes: bytes that a call pushes on the stack.
        register_names: by register number. condition_names: by condition code.
        move, load_slot, store_slot: make (IR type, ...) the instruction that copies rd <- rn, loads rd <- slot, stores slot <- rn.
        select: ir.Func -> MFunc.
        emit: MFunc, after frame finishing, -> Code.
        assembler: MFunc -> the state of its emission, with the machine's part filled in.
        decode: (bytes, offset) -> (length, text) of the instruction there.
    """

    __slots__ = (
        "arg_floats",
        "arg_ints",
        "assembler",
        "c_arg_floats",
        "c_arg_ints",
        "c_callee_saved",
        "c_result_float",
        "c_result_int",
        "callee_saved",
        "condition_names",
        "context_reg",
        "decode",
        "emit",
        "float_regs",
        "instance_reg",
        "int_regs",
        "load_memory",
        "move",
        "name",
        "register_names",
        "return_bytes",
        "rows",
        "scratch_float",
        "scratch_int",
        "select",
        "stack_reg",
        "store_memory",
    )

    name: str
    rows: Rows
    int_regs: list[int]
    float_regs: list[int]
    callee_saved: int
    c_callee_saved: int
    arg_ints: list[int]
    arg_floats: list[int]
    c_arg_ints: list[int]
    c_arg_floats: list[int]
    c_result_int: int
    c_result_float: int
    instance_reg: int
    context_reg: int
    stack_reg: int
    scratch_int: int
    scratch_float: int
    return_bytes: int
    register_names: list[str]
    condition_names: list[str]
    move: Callable[[int, int, int], MInst]
    """(IR type, rd, rn) -> register copy."""
    load_memory: Callable[[int, int, int, int], MInst]
    """(IR type, rd, base pseudo register, mem) -> load from SLOT, INCOMING or OUTGOING."""
    store_memory: Callable[[int, int, int, int], MInst]
    """(IR type, rn, base pseudo register, mem) -> store to SLOT, INCOMING or OUTGOING."""
    select: Callable[[Func], MFunc]
    emit: Callable[[MFunc], Code]
    assembler: Callable[[MFunc], Assembler]
    decode: Callable[[bytes, int], tuple[int, str]]
