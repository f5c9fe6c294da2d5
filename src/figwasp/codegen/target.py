"""Floor 3: what the shared stages need to know about a machine. A target is data and a few functions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from figwasp.codegen.assembler import Assembler
    from figwasp.codegen.code import Code
    from figwasp.codegen.mach import MFunc, MInst
    from figwasp.codegen.sequences import Sequences
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
        immediate: True when imm is a number. condition: True when it is, or has in it, a condition code.
        implicit_uses, implicit_defs: bit sets of physical registers.
        spill_rm: operation that reads rm from memory instead of a register, or -1. (Same operation, operand in its slot.)
        spill_rn: the same for rn of an untied instruction without other memory operand (moves, conversions, compare), or -1.
            A register in rm moves to rn, since rm becomes the base: CMP32_RR (rn, rm) -> CMP32_MR ([rm], rn).
        width: bytes of the memory operand, 0 if none or not accessed. A spill form may read a slot only when its width is at
            most the size of the IR type: the upper half of a slot that holds an i32 is unspecified.
        flags: True when it writes the condition flags.
        makes_condition: True when it makes a value of the condition flags, for which it may use the integer scratch register.
    """

    __slots__ = (
        "condition",
        "defines",
        "flags",
        "immediate",
        "implicit_defs",
        "implicit_uses",
        "makes_condition",
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
        self.immediate: list[bool] = []
        self.condition: list[bool] = []
        self.implicit_uses: list[int] = []
        self.implicit_defs: list[int] = []
        self.spill_rm: list[int] = []
        self.spill_rn: list[int] = []
        self.flags: list[bool] = []
        self.makes_condition: list[bool] = []
        self.width: list[int] = []


COMPILING: Final = frozenset(("assembler", "emit", "load_memory", "move", "rows", "select", "store_memory"))
"""The attributes of a target that only compiling needs."""


class Target:
    """A machine.

    Attributes:
        name: of the folder below `isa`.
        rows: the columns of its instruction table.
        num_registers: of both classes; their numbers are below.
        classes: class (INT or FLOAT) of each register.
        register_names: by register number. condition_names: by condition code.
        regs: class -> allocatable registers in order of preference, caller-saved ones first.
        callee_saved: bit set of registers a wasm-convention function must preserve.
        c_callee_saved: the same for the C convention.
        args: class -> argument (and result) registers after the instance, wasm convention.
        c_args: class -> argument registers, C convention. c_results: class -> the result register.
        native_clobbers: bit set of the registers that STUB_TO_NATIVE destroys besides those of the C convention.
        native_args: how many parameters pass through it.
        instance_reg, context_reg, stack_reg: fixed registers. The context and the stack pointer are never allocated.
        scratch: class -> a register never allocated; for the allocator's moves and spills, that of integers for call addresses.
        link_reg: register in which a call leaves the return address, or NONE when it pushes that.
        return_bytes: bytes that a call pushes on the stack.
        return_offset: where the return address stands, counted from the end of a function's own frame (see `frame.caller`).
        move, load_memory, store_memory: make (IR type, ...) the instruction that copies rd <- rn, loads rd, stores rn. A move of
            type I32 leaves zeros above.
        select: ir.Func -> MFunc.
        emit: MFunc, after frame finishing, -> Code.
        assembler: MFunc -> the state of its emission, with the machine's part filled in.
        complete: fill in what only compiling needs, which is not there before somebody first asks for some of it: `COMPILING`.
        baseline: return what the baseline compiler needs of the machine, a module: templates, and what stands between them.
        decode: (bytes, offset) -> (length, text) of the instruction there. data_reference: which constant such a text refers to.
        field_names, field_sizes: of the kinds of fields that relocations fill in, by `code.FIELD_*`.
        apply: fill in such a field.
        goal: return what such a field refers to that has been filled in.
        go_straight: make a call or a jump through the word that such a field refers to go straight to where that leads.
        filler: a byte that traps when it is run, to fill gaps with.
        synchronize: make code that was written to memory visible to the processor's fetching.
        sequences: the code written by hand.
        known_features: names of what a processor may have beyond what every one has.
        features: those that code is made for; none before `use_features` has been told.
        fingerprint: a number that stands for name and features.
        features_found: numbers that `Sequences.probe` stores -> the features that they tell of.
    """

    __slots__ = (
        "apply",
        "args",
        "assembler",
        "baseline",
        "c_args",
        "c_callee_saved",
        "c_results",
        "callee_saved",
        "classes",
        "complete",
        "condition_names",
        "context_reg",
        "data_reference",
        "decode",
        "emit",
        "features",
        "features_found",
        "field_names",
        "field_sizes",
        "filler",
        "fingerprint",
        "go_straight",
        "goal",
        "instance_reg",
        "known_features",
        "link_reg",
        "load_memory",
        "move",
        "name",
        "native_args",
        "native_clobbers",
        "num_registers",
        "register_names",
        "regs",
        "return_bytes",
        "return_offset",
        "rows",
        "scratch",
        "select",
        "sequences",
        "stack_reg",
        "store_memory",
        "synchronize",
        "use_features",
    )

    name: str
    rows: Rows
    num_registers: int
    classes: list[int]
    register_names: list[str]
    condition_names: list[str]
    regs: list[list[int]]
    callee_saved: int
    c_callee_saved: int
    args: list[list[int]]
    c_args: list[list[int]]
    c_results: list[int]
    native_clobbers: int
    native_args: int
    instance_reg: int
    context_reg: int
    stack_reg: int
    scratch: list[int]
    link_reg: int
    return_bytes: int
    return_offset: int
    move: Callable[[int, int, int], MInst]
    """(IR type, rd, rn) -> register copy."""
    load_memory: Callable[[int, int, int, int], MInst]
    """(IR type, rd, base register, which may be a pseudo one, mem) -> load."""
    store_memory: Callable[[int, int, int, int], MInst]
    """(IR type, rn, base register, which may be a pseudo one, mem) -> store."""
    select: Callable[[Func], MFunc]
    emit: Callable[[MFunc], Code]
    assembler: Callable[[MFunc], Assembler]
    complete: Callable[[], None]
    baseline: Callable[[], Any]
    decode: Callable[[bytes, int], tuple[int, str]]
    data_reference: Callable[[str, int], int]
    """(text of an instruction, offset of its end) -> offset of the constant after the code that it reads, or NONE."""
    field_names: list[str]
    field_sizes: list[int]
    apply: Callable[[bytearray, int, int, int, int], None]
    """(code, offset of the field, FIELD_*, address where the code will stand, address that the field refers to)."""
    goal: Callable[[bytes | bytearray, int, int, int], int]
    """(code, offset of the field, FIELD_*, address where the code stands) -> address that the field refers to."""
    go_straight: Callable[[bytearray, int, int, int, int], None]
    """(code, offset of the field, FIELD_*, address where the code will stand, address that is in the word)."""
    filler: bytes
    synchronize: Callable[[int, int], None]
    """(address, size)."""
    sequences: Sequences
    known_features: tuple[str, ...]
    features: tuple[str, ...]
    fingerprint: int
    features_found: Callable[[list[int]], frozenset[str]]
    use_features: Callable[[frozenset[str]], None]

    def __getattr__(self, name: str) -> Any:
        """Fill in what only compiling needs."""
        if name not in COMPILING:
            raise AttributeError(name)
        self.complete()
        return object.__getattribute__(self, name)
