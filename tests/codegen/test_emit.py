"""Emission of hand-made functions: layout, branches, pseudo operations, tables for the runtime."""

from __future__ import annotations

import re
import struct
import time

import pytest

from figwasp.codegen import frame
from figwasp.codegen.code import (
    FIELD_NEAR,
    RELOC_BUILTIN,
    RELOC_CELL,
    RELOC_STUB,
    STUB_RESTORE_INSTANCE,
    STUB_TICK,
    STUB_TO_WASM,
    STUB_TRAP,
    STUB_UNWIND,
)
from figwasp.codegen.disasm import disassemble
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import memo
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.memo import MEMO_LIMIT
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.mach import (
    AREA,
    BRANCH,
    COPY,
    INCOMING,
    JUMP,
    NONE,
    OUTGOING,
    POLL,
    POOL,
    SLOT,
    SWITCH,
    TAIL,
    TO_BUILTIN,
    TO_FUNC,
    TO_MEMORY,
    TO_REGISTER,
    TO_STUB,
    TRAP,
    TRAPIF,
    UNWIND,
    CallSite,
    MInst,
)
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY, TRAP_STACK_EXHAUSTED
from figwasp.ir.func import CONV_C, CONV_WASM
from figwasp.layout import FAULT_OFFSET
from tests.codegen.arena import CELLS, Arena
from tests.codegen.handmade import ENTRY_INST, RET_INST, call, ends_with, finish, listing, make, straight

# Frames


def test_a_leaf_without_frame_is_only_its_body() -> None:
    code = finish(straight(MInst(x.MOV32_RI, r.RAX, imm=1), conv=CONV_WASM))
    assert listing(code) == ["mov eax,0x1", "ret"]
    assert (code.name, code.index, code.frame_size) == ("f", 7, 0)
    assert not code.relocs and not code.traps and not code.positions


def test_pseudo_bases_and_saved_registers() -> None:
    func = straight(
        MInst(x.MOV64_MR, rn=r.RAX, rm=OUTGOING, mem=8 << 2),
        MInst(x.LEA64_RM, r.RAX, rm=AREA, mem=4 << 2),
        MInst(x.MOV64_RM, r.RBX, rm=AREA, rx=r.RCX, mem=4 << 2 | 3),
        MInst(x.MOV64_RM, r.RBX, rm=SLOT, mem=1 << 2),
        MInst(x.MOV32_RM, r.R12, rm=SLOT, mem=40 << 2),
        MInst(x.MOV64_RM, r.R12, rm=INCOMING, mem=8 << 2),
        MInst(COPY, r.RCX, r.RCX),
        MInst(COPY, r.RCX, r.RDX),
        MInst(COPY, r.XMM1, r.XMM0 + 9),
        conv=CONV_WASM,
    )
    func.outgoing, func.area, func.num_slots, func.saved, func.incoming = 16, 20, 42, [r.RBX, r.R12], 32
    code = finish(func)
    slots = 16 + 32
    saved = slots + 42 * 8
    size = saved + 16 + 8
    assert size % 16 == 8 and code.frame_size == size
    assert listing(code) == [
        f"sub rsp,{size:#x}",
        f"mov QWORD PTR [rsp+{saved:#x}],rbx",
        f"mov QWORD PTR [rsp+{saved + 8:#x}],r12",
        "mov QWORD PTR [rsp+0x8],rax",
        f"lea rax,[rsp+{16 + 4:#x}]",
        f"mov rbx,QWORD PTR [rsp+rcx*8+{16 + 4:#x}]",
        f"mov rbx,QWORD PTR [rsp+{slots + 8:#x}]",
        f"mov r12d,DWORD PTR [rsp+{slots + 320:#x}]",
        f"mov r12,QWORD PTR [rsp+{size + 8 + 8:#x}]",
        "mov rcx,rdx",
        "movaps xmm1,xmm9",
        f"mov rbx,QWORD PTR [rsp+{saved:#x}]",
        f"mov r12,QWORD PTR [rsp+{saved + 8:#x}]",
        f"add rsp,{size:#x}",
        "ret 0x20",
    ]


def test_prologue_compares_the_stack_pointer_and_ticks_out_of_line() -> None:
    func = straight(conv=CONV_WASM)
    func.polls = True
    code = finish(func)
    lines = disassemble(code, TARGET)
    assert [text for _, _, text in lines] == [
        "sub rsp,0x8",
        "cmp rsp,QWORD PTR [r15]",
        "jb 0xe",
        "add rsp,0x8",
        "ret",
        "call QWORD PTR [rip+0x0]",
        "jmp 0x9",
        "int3",
    ]
    assert code.relocs == [(0x10, FIELD_NEAR, RELOC_STUB, STUB_TICK)]
    assert code.positions == [(0x14, 3)] and code.frame_size_exceptions == [] and code.frame_size == 8


@pytest.mark.parametrize("slots", [0, 3, 126, 127, 128, 511, 512, 513, 60_000])
@pytest.mark.parametrize("calls", [False, True])
@pytest.mark.parametrize("conv", [CONV_C, CONV_WASM])
def test_which_frames_are_checked(slots: int, calls: bool, conv: int) -> None:
    func = straight(conv=conv)
    func.num_slots = slots
    func.has_calls = func.polls = calls
    code = finish(func)
    text = listing(code)
    checked = conv == CONV_WASM and (calls or code.frame_size >= 1024)
    assert any(line.startswith("cmp") for line in text) == checked
    large = checked and code.frame_size > 4096
    assert (text[0] == f"lea r11,[rsp-{code.frame_size:#x}]") == large
    if large:
        ticks = [offset + 4 for offset, _, _, stub in code.relocs if stub == STUB_TICK]
        traps = [offset + 4 for offset, _, _, stub in code.relocs if stub == STUB_TRAP]
        assert code.frame_size_exceptions == [(ticks[0], 0), (traps[0], 0)]
        assert code.traps == [(traps[0], TRAP_STACK_EXHAUSTED)]
        assert code.positions == [(ticks[0], 3), (traps[0], 3)]
        # a tick goes back and makes the frame; an overflow traps before
        back = next(offset for offset, _, line in disassemble(code, TARGET) if line.startswith("sub rsp"))
        assert text[-4:-1] == [f"lea r11,[rsp-{code.frame_size:#x}]", "cmp r11,QWORD PTR [r15+0x8]", f"jae {back:#x}"]
    else:
        assert code.frame_size_exceptions == [] and code.traps == []


# Calls


def test_calls() -> None:
    func = straight(
        call(TO_FUNC, 5, pos=11),
        call(TO_BUILTIN, 2, stack_bytes=32, pos=12),
        call(TO_REGISTER, 0, r.R11),
        call(TO_MEMORY, 24, r.R12, 16, pos=14),
        call(TO_STUB, STUB_TO_WASM, r.R11, 16, pos=15),
        conv=CONV_WASM,
    )
    func.has_calls = func.polls = True
    func.outgoing = 32
    code = finish(func)
    text = listing(code)
    body = [re.sub(r"rip\+0x\w+", "rip+?", line) for line in text[3:-4]]
    assert body == [
        "call QWORD PTR [rip+?]",
        "call QWORD PTR [rip+?]",
        "sub rsp,0x20",
        "call r11",
        "call QWORD PTR [r12+0x18]",
        "sub rsp,0x10",
        "call QWORD PTR [rip+?]",
    ]
    ends = {offset + len(data): line for offset, data, line in disassemble(code, TARGET)}
    for offset, _, kind, target in code.relocs:
        assert ends[offset + 4].startswith("call")
        assert code.data[offset : offset + 4] == bytes(4)
        assert (kind, target) in [
            (RELOC_CELL, 5), (RELOC_BUILTIN, 2), (RELOC_STUB, STUB_TO_WASM), (RELOC_STUB, STUB_TICK),
        ]  # fmt: skip
    assert [pos for _, pos in code.positions] == [11, 12, 14, 15, 3]
    assert all(ends[offset].startswith("call") for offset, _ in code.positions)
    assert [offset for offset, _ in code.positions] == sorted(offset for offset, _ in code.positions)


def test_the_caller_owns_the_stack_arguments_of_the_c_convention() -> None:
    func = straight(call(TO_REGISTER, 0, r.RAX, 16))
    func.has_calls, func.outgoing = True, 16
    assert listing(finish(func)) == ["sub rsp,0x18", "call rax", "add rsp,0x18", "ret"]


@pytest.mark.parametrize(
    ("kind", "target", "address", "expected"),
    [
        (TO_FUNC, 5, NONE, "jmp QWORD PTR [rip+0x0]"),
        (TO_BUILTIN, 5, NONE, "jmp QWORD PTR [rip+0x0]"),
        (TO_REGISTER, 0, r.R11, "jmp r11"),
        (TO_MEMORY, 8, r.RAX, "jmp QWORD PTR [rax+0x8]"),
        (TO_STUB, 2, NONE, "jmp QWORD PTR [rip+0x0]"),
    ],
)
def test_tail_calls_leave_the_frame(kind: int, target: int, address: int, expected: str) -> None:
    site = CallSite([r.RAX, r.R14], [r.RAX, r.R14], [], [], 0, kind, target, address)
    func = make([[ENTRY_INST, MInst(TAIL, imm=site)]], [[]], CONV_WASM)
    func.saved = [r.RBX, r.R14]
    func.num_slots = 1
    assert listing(finish(func)) == [
        "sub rsp,0x18",
        "mov QWORD PTR [rsp+0x8],rbx",
        "mov QWORD PTR [rsp+0x10],r14",
        "mov rbx,QWORD PTR [rsp+0x8]",  # r14 is an argument
        "add rsp,0x18",
        expected,
    ]


def test_a_tail_call_that_may_leave_the_instance() -> None:
    """Inside it is a comparison more, and the instance does not come by way of where it was looked up; else a frame may be put between."""
    site = CallSite([r.RAX, r.R14], [r.RAX, r.R14], [], [], 0, TO_MEMORY, 8, r.RCX)
    site.leaves = True
    func = make([[ENTRY_INST, MInst(TAIL, imm=site)]], [[]], CONV_WASM)
    func.saved = [r.R14]
    code = finish(func)
    assert listing(code) == [
        "sub rsp,0x8",
        "mov QWORD PTR [rsp],r14",
        "cmp r14,QWORD PTR [rsp]",
        "jne 0x19",
        "mov r14,QWORD PTR [rsp]",
        "add rsp,0x8",
        "jmp QWORD PTR [rcx+0x8]",
        "mov r11,QWORD PTR [rip+0x0]",
        "cmp r11,QWORD PTR [rsp+0x8]",
        "je 0x12",
        "push QWORD PTR [rcx+0x8]",
        "push QWORD PTR [rsp+0x10]",
        "push QWORD PTR [rsp+0x10]",
        "mov r11,QWORD PTR [rip+0x0]",
        "pop QWORD PTR [rsp+0x10]",
        "pop QWORD PTR [rsp+0x10]",
        "movq xmm15,QWORD PTR [rsp]",
        "mov QWORD PTR [rsp],r11",
        "movq r11,xmm15",
        "lea rsp,[rsp]",
        "jmp r11",
    ]
    assert [(kind, target) for _, _, kind, target in code.relocs] == [(RELOC_STUB, STUB_RESTORE_INSTANCE)] * 2


@pytest.mark.parametrize(
    ("in_place", "passed", "got", "expected"),
    [
        # as many as there were, at their places: nothing moves
        (0, 32, 32, ["add rsp,0x28"]),
        # fewer: the return address goes up to them
        (2, 16, 32, ["push QWORD PTR [rsp+0x28]", "pop QWORD PTR [rsp+0x38]", "add rsp,0x38"]),
        # from the outgoing cells, the last first
        (NONE, 16, 32, [
            "push QWORD PTR [rsp+0x28]", "movq xmm15,QWORD PTR [rsp+0x10]", "movsd QWORD PTR [rsp+0x50],xmm15",
            "movq xmm15,QWORD PTR [rsp+0x8]", "movsd QWORD PTR [rsp+0x48],xmm15", "pop QWORD PTR [rsp+0x38]", "add rsp,0x38",
        ]),
        (NONE, 32, 0, [
            "push QWORD PTR [rsp+0x28]", "movq xmm15,QWORD PTR [rsp+0x20]", "movsd QWORD PTR [rsp+0x30],xmm15",
            "movq xmm15,QWORD PTR [rsp+0x18]", "movsd QWORD PTR [rsp+0x28],xmm15", "movq xmm15,QWORD PTR [rsp+0x10]",
            "movsd QWORD PTR [rsp+0x20],xmm15", "movq xmm15,QWORD PTR [rsp+0x8]", "movsd QWORD PTR [rsp+0x18],xmm15",
            "pop QWORD PTR [rsp+0x8]", "add rsp,0x8",
        ]),
    ],
)  # fmt: skip
def test_stack_arguments_of_a_tail_call(in_place: int, passed: int, got: int, expected: list[str]) -> None:
    site = CallSite([r.R14], [r.R14], [], [], 0, TO_FUNC, 5, stack_bytes=passed)
    site.in_place = in_place
    func = make([[ENTRY_INST, MInst(TAIL, imm=site)]], [[]], CONV_WASM)
    func.incoming, func.outgoing = got, 32
    assert listing(finish(func)) == ["sub rsp,0x28", *expected, "jmp QWORD PTR [rip+0x0]"]


# Traps


def test_traps_polls_and_unwinding() -> None:
    func = make(
        [
            [
                ENTRY_INST,
                MInst(TRAPIF, imm=r.CC_E << 8 | 6, pos=100),
                MInst(POLL, pos=101),
                MInst(TRAPIF, imm=r.CC_FNE << 8 | 8, pos=102),
                MInst(TRAPIF, imm=r.CC_FEQ << 8 | 7, pos=103),
                MInst(BRANCH, imm=r.CC_A),
            ],
            [MInst(TRAP, imm=1, pos=104)],
            [MInst(UNWIND)],
        ],
        [[1, 2], [], []],
        CONV_WASM,
    )
    func.polls = True
    code = finish(func)
    lines = disassemble(code, TARGET)
    ends = {offset + len(data): line for offset, data, line in lines}
    assert [trap for _, trap in code.traps] == [1, 6, 8, 7]
    assert [pos for _, pos in code.positions] == [104, 3, 100, 101, 102, 103]
    assert all(ends[offset].startswith("call") for offset, _ in code.traps + code.positions)
    assert {target for _, _, kind, target in code.relocs if kind == RELOC_STUB} == {STUB_TRAP, STUB_TICK, STUB_UNWIND}
    assert code.text_size > code.traps[-1][0]  # a return address lies inside its own function
    shape = [line.split()[0] for _, _, line in lines]
    assert shape == ["sub", "cmp", "jb", "je", "cmp", "jb", "jp", "jne", "jp", "je", "jbe", "call", "jmp"] + [
        "call", "jmp", "call", "call", "jmp", "call", "call", "int3",
    ]  # fmt: skip


def test_accesses_that_may_fault_are_trap_sites() -> None:
    func = straight(
        MInst(x.MOV32_RM, r.RAX, rm=r.RBX, mem=8 << 2, pos=50, fault=True),
        MInst(x.MOV32_RM, r.RAX, rm=r.RBX, mem=8 << 2, pos=51),
        MInst(x.ADDSD_RM, r.XMM0, r.XMM0, rm=r.RBX, rx=r.RAX, mem=4096 << 2, pos=52, fault=True),
        MInst(x.MOV32_MI, rm=r.RBX, mem=8 << 2, imm=70_000, pos=53, fault=True),
    )
    code = finish(func)
    starts = [offset for offset, _, _ in disassemble(code, TARGET)]
    assert code.traps == [(starts[i] + FAULT_OFFSET, TRAP_OUT_OF_BOUNDS_MEMORY) for i in (0, 2, 3)]
    assert code.positions == [(starts[i] + FAULT_OFFSET, pos) for i, pos in ((0, 50), (2, 52), (3, 53))]


# Layout of blocks and data


def test_fallthrough_and_inversion() -> None:
    branch = MInst(BRANCH, imm=r.CC_L)
    jump = MInst(JUMP)
    func = make([ends_with(branch), ends_with(jump), ends_with(RET_INST)], [[1, 2], [2], []])
    assert listing(finish(func)) == ["nop", "jge 0x4", "nop", "nop", "ret"]
    func = make([ends_with(branch), ends_with(jump), ends_with(RET_INST)], [[2, 1], [2], []])
    assert listing(finish(func)) == ["nop", "jl 0x4", "nop", "nop", "ret"]
    func = make([ends_with(branch), ends_with(jump), ends_with(RET_INST)], [[2, 2], [2], []])
    assert listing(finish(func)) == ["nop", "jmp 0x4", "nop", "nop", "ret"]
    func = make([ends_with(jump), ends_with(RET_INST), ends_with(branch), ends_with(jump)], [[2], [], [1, 0], [0]])
    assert listing(finish(func)) == ["nop", "jmp 0x5", "nop", "ret", "nop", "jl 0x3", "jmp 0x0", "nop", "jmp 0x0"]


def test_blocks_that_only_jump_are_passed_through() -> None:
    branch = MInst(BRANCH, imm=r.CC_E)
    func = make(
        [ends_with(branch), [MInst(JUMP)], [MInst(JUMP)], ends_with(RET_INST), [MInst(JUMP)]],
        [[4, 1], [2], [3], [], [1]],
    )
    assert listing(finish(func)) == ["nop", "nop", "ret"]
    func = make(
        [ends_with(branch), ends_with(RET_INST), [MInst(JUMP)], [MInst(JUMP)], ends_with(RET_INST)],
        [[3, 1], [], [4], [2], []],
    )
    assert listing(finish(func)) == ["nop", "je 0x5", "nop", "ret", "nop", "ret"]


def test_a_loop_of_jumps_stays_a_loop() -> None:
    func = make([ends_with(MInst(JUMP)), [MInst(JUMP)], [MInst(JUMP)], [MInst(JUMP)]], [[2], [3], [1], [1]])
    text = listing(finish(func))
    assert text[0] == "nop" and text[-1] == "jmp 0x1"


def test_float_equality_takes_two_branches() -> None:
    def shape(condition: int, succs: list[int]) -> list[str]:
        codes = [ends_with(MInst(BRANCH, imm=condition)), ends_with(RET_INST), ends_with(RET_INST), ends_with(RET_INST)]
        return listing(finish(make(codes, [succs, [], [], []])))[1:-6]

    assert shape(r.CC_FNE, [2, 1]) == ["jp 0x7", "jne 0x7"]
    assert shape(r.CC_FNE, [1, 2]) == ["jp 0x5", "je 0x7"]
    assert shape(r.CC_FEQ, [2, 1]) == ["jp 0x5", "je 0x7"]
    assert shape(r.CC_FEQ, [1, 2]) == ["jp 0x7", "jne 0x7"]
    assert shape(r.CC_FEQ, [2, 3]) == ["jp 0xb", "jne 0xb", "jmp 0x9"]
    assert shape(r.CC_FNE, [2, 3]) == ["jp 0x9", "jne 0x9", "jmp 0xb"]


@pytest.mark.parametrize("size", [1, 126, 127, 128, 129, 200])
def test_forward_branches_are_short_where_they_fit(size: int) -> None:
    codes = [[MInst(BRANCH, imm=r.CC_E)], [MInst(x.NOP)] * size + [MInst(JUMP)], ends_with(RET_INST)]
    code = finish(make(codes, [[2, 1], [2], []]))
    _, data, text = disassemble(code, TARGET)[0]
    assert len(data) == (2 if size <= 127 else 6)
    assert text == f"je {size + len(data):#x}"


@pytest.mark.parametrize("size", [1, 125, 126, 127, 200])
def test_backward_branches_are_short_where_they_fit(size: int) -> None:
    codes = [[MInst(x.NOP)], [MInst(x.NOP)] * size + [MInst(BRANCH, imm=r.CC_E)], ends_with(RET_INST)]
    codes[0].append(MInst(JUMP))
    code = finish(make(codes, [[1], [1, 2], []]))
    branches = [(data, text) for _, data, text in disassemble(code, TARGET) if text.startswith("je")]
    assert len(branches) == 1 and branches[0][1] == "je 0x1"
    assert len(branches[0][0]) == (2 if size <= 125 else 6)


def test_constants_follow_the_code_aligned() -> None:
    func = straight(
        MInst(x.MOVSD_RM, r.XMM0, rm=POOL, mem=0 << 2),
        MInst(x.MOVSS_RM, r.XMM1, rm=POOL, mem=1 << 2),
        MInst(x.ANDPS_RM, r.XMM0, r.XMM0, rm=POOL, mem=2 << 2),
        MInst(x.ROUNDSD_RMI, r.XMM0, rm=POOL, mem=3 << 2, imm=9),
        MInst(x.CMP32_MI, rm=POOL, mem=1 << 2, imm=1000),
        MInst(x.CMP32_MI, rm=POOL, mem=1 << 2, imm=1),
        MInst(x.MOVSD_RM, r.XMM15, rm=POOL, mem=0 << 2),
    )
    func.pool = [struct.pack("<d", 1.5), struct.pack("<f", 2.5), bytes(range(16)), struct.pack("<d", 2.25)]
    code = finish(func)
    seen: list[str] = []
    for offset, data, text in disassemble(code, TARGET):
        match = re.search(r"rip\+(0x\w+)", text)
        if match:
            place = offset + len(data) + int(match[1], 16)
            item = [0, 1, 2, 3, 1, 1, 0][len(seen)]
            constant = func.pool[item]
            assert code.data[place : place + len(constant)] == constant
            assert place % len(constant) == 0 and place >= code.text_size
            seen.append(text)
    assert len(seen) == 7


def test_pseudo_operations_nobody_knows_are_refused() -> None:
    with pytest.raises(ValueError, match="pseudo operation 15"):
        finish(straight(MInst(15)))


def test_the_memo_of_heads_is_bounded() -> None:
    insts = [
        MInst(x.LEA64_RM, r.RAX, rm=base, rx=index, mem=disp << 2 | scale)
        for base in range(16) for index in (0, 1, 2, 3) for scale in range(4) for disp in range(-16, 16)
    ]  # fmt: skip
    assert len(insts) > MEMO_LIMIT
    code = finish(straight(*insts))
    assert 0 < len(memo._memo[x.LEA64_RM]) <= MEMO_LIMIT
    assert len(disassemble(code, TARGET)) == len(insts) + 2


# Calls that run


def test_calls_run_through_cells_and_the_callee_pops() -> None:
    """f(a, b) = g(a + b on the stack) + 1 in the wasm convention, entered by a function of the C convention."""
    arena = Arena()
    inner = straight(
        MInst(x.MOV64_RM, r.RAX, rm=INCOMING, mem=0),
        MInst(x.ADD64_RM, r.RAX, r.RAX, rm=INCOMING, mem=8 << 2),
        conv=CONV_WASM,
    )
    inner.incoming = 16
    outer = straight(
        MInst(x.MOV64_MR, rn=r.RDI, rm=OUTGOING, mem=0),
        MInst(x.MOV64_MR, rn=r.RSI, rm=OUTGOING, mem=8 << 2),
        MInst(x.MOV64_MR, rn=r.RSI, rm=SLOT, mem=0),
        call(TO_FUNC, 3, stack_bytes=16),
        MInst(x.SUB64_RM, r.RAX, r.RAX, rm=SLOT, mem=0),
        MInst(x.ADD64_RI, r.RAX, r.RAX, imm=1000),
        conv=CONV_WASM,
    )
    outer.has_calls = outer.polls = True
    outer.outgoing, outer.num_slots = 16, 1
    enter = straight(
        MInst(x.MOV64_MR, rn=r.R15, rm=SLOT, mem=0),
        MInst(x.MOV64_RR, r.R15, r.RDX),
        call(TO_BUILTIN, 1),
        MInst(x.MOV64_RM, r.R15, rm=SLOT, mem=0),
    )
    enter.num_slots, enter.has_calls = 1, True
    arena.stubs[STUB_TICK] = arena.put(b"\x49\xc7\x07\0\0\0\0\xc3")  # mov QWORD PTR [r15],0; ret
    for cell, func in ((3, inner), (CELLS + 1, outer)):
        arena.set_word(8 * cell, arena.address + arena.install(finish(func)))
    context = arena.put(bytes(64))
    run = arena.function(arena.install(finish(enter)), 3)
    assert run(20, 3, arena.address + context) == 1020
    arena.set_word(context, (1 << 64) - 1)  # a tick is pending
    assert run(21, 3, arena.address + context) == 1021
    assert arena.word(context) == 0


# Size


def test_huge_functions_take_linear_time() -> None:
    def emit_time(blocks: int, length: int) -> float:
        codes = [[ENTRY_INST, MInst(SWITCH, NONE, r.RCX, r.RDX, r.R8)]]
        succs = [list(range(1, blocks))]
        for id in range(1, blocks):
            codes.append([MInst(x.ADD32_RR, r.RAX, r.RAX, r.RBX)] * length + [MInst(BRANCH, imm=r.CC_E)])
            succs.append([blocks - id, id + 1 if id + 1 < blocks else 1])
        func = make(codes, succs)
        frame.finish(func, TARGET)
        start = time.process_time()
        code = TARGET.emit(func)
        spent = time.process_time() - start
        assert len(code.data) - code.text_size >= 4 * (blocks - 1)
        return spent / (blocks * (length + 1))

    emit_time(100, 20)
    small = min(emit_time(1_000, 20) for _ in range(3))
    large = emit_time(10_000, 20)
    assert large < 5 * small + 1e-6, (small, large)
