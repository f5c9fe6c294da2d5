"""Floor 3: x86-64 as a `Target`: registers, conventions, and the functions that the shared stages call."""

from __future__ import annotations

from binascii import crc32
from typing import Final

from figwasp.codegen.code import Code
from figwasp.codegen.emit import emit
from figwasp.codegen.isa.x64 import features
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.assemble import FIELD_NAMES, FIELD_SIZES, FILLER, RETURN_BYTES, X64Assembler, apply, goal
from figwasp.codegen.isa.x64.select.rules import select
from figwasp.codegen.isa.x64.sequences import X64Sequences
from figwasp.codegen.mach import NONE, MFunc, MInst
from figwasp.codegen.target import Target
from figwasp.ir.func import Func
from figwasp.ir.types import F32, F64, FLOAT, I32, I64, INT, V128

_MACHINE: Final = {  # IR type -> rows that move, load and store it
    I32: (x.MOV32_RR, x.MOV32_RM, x.MOV32_MR),
    I64: (x.MOV64_RR, x.MOV64_RM, x.MOV64_MR),
    F32: (x.MOVAPS_RR, x.MOVSS_RM, x.MOVSS_MR),
    F64: (x.MOVAPS_RR, x.MOVSD_RM, x.MOVSD_MR),
    V128: (x.MOVAPS_RR, x.MOVUPS_RM, x.MOVUPS_MR),
}
_MOVE, _LOAD, _STORE = (list(column) for column in zip(*[_MACHINE[type] for type in sorted(_MACHINE)], strict=True))


def _move(type: int, rd: int, rn: int) -> MInst:
    return MInst(_MOVE[type], rd, rn)


def _load_memory(type: int, rd: int, base: int, mem: int) -> MInst:
    return MInst(_LOAD[type], rd, NONE, base, NONE, mem)


def _store_memory(type: int, rn: int, base: int, mem: int) -> MInst:
    return MInst(_STORE[type], NONE, rn, base, NONE, mem)


def _bits(registers: list[int]) -> int:
    return sum(1 << register for register in registers)


def _select(func: Func) -> MFunc:
    return select(func, TARGET)


def _emit(func: MFunc) -> Code:
    return emit(func, TARGET)


def _decode(data: bytes, offset: int) -> tuple[int, str]:
    from figwasp.codegen.isa.x64.decode import decode  # programs do without

    return decode(data, offset)


def _data_reference(text: str, end: int) -> int:
    _, found, distance = text.partition("[rip+0x")
    return end + int(distance.partition("]")[0], 16) if found else NONE


def _synchronize(address: int, size: int) -> None:
    """Nothing: fetching sees what was stored (Intel SDM vol. 3, 11.6)."""


def _target() -> Target:
    """Fill in the record."""
    target = Target()
    target.name = "x64"
    target.rows = x.ROWS
    saved = [r.RBX, r.RBP, r.R12, r.R13, r.R10, r.R14]
    target.num_registers = r.XMM15 + 1
    target.classes = [INT] * r.XMM0 + [FLOAT] * (target.num_registers - r.XMM0)
    target.regs = [
        [r.RAX, r.RCX, r.RDX, r.RSI, r.RDI, r.R8, r.R9, *saved],
        list(range(r.XMM0, r.FLOAT_SCRATCH)),
    ]
    target.callee_saved = _bits(saved)
    target.c_callee_saved = _bits([r.RBX, r.RBP, r.R12, r.R13, r.R14])
    floats = list(range(r.XMM0, r.XMM8))
    target.args = [[r.RAX, r.RCX, r.RDX, r.RSI, r.RDI, r.R8, r.R9], floats]
    target.c_args = [[r.RDI, r.RSI, r.RDX, r.RCX, r.R8, r.R9], floats]
    target.c_results = [r.RAX, r.XMM0]
    target.native_clobbers = _bits([r.R10])
    target.native_args = 4
    target.instance_reg = r.INSTANCE
    target.context_reg = r.CONTEXT
    target.stack_reg = r.RSP
    target.scratch = [r.SCRATCH, r.FLOAT_SCRATCH]
    target.link_reg = NONE
    target.return_bytes = RETURN_BYTES
    target.return_offset = 0
    target.register_names = r.NAMES
    target.condition_names = r.CC_NAMES
    target.move = _move
    target.load_memory = _load_memory
    target.store_memory = _store_memory
    target.select = _select
    target.emit = _emit
    target.assembler = X64Assembler
    target.decode = _decode
    target.data_reference = _data_reference
    target.field_names = FIELD_NAMES
    target.field_sizes = FIELD_SIZES
    target.apply = apply
    target.goal = goal
    target.filler = FILLER
    target.synchronize = _synchronize
    target.sequences = X64Sequences()
    target.known_features = features.KNOWN
    target.features_found = features.found
    target.use_features = _use_features
    return target


def _use_features(names: frozenset[str]) -> None:
    """Make code for a processor with these and no others."""
    features.IN_USE.use(names)
    TARGET.features = tuple(name for name in features.KNOWN if getattr(features.IN_USE, name))
    TARGET.fingerprint = crc32(" ".join((TARGET.name, *TARGET.features)).encode())


TARGET: Final = _target()
_use_features(frozenset())
