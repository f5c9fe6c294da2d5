"""A made-up machine that differs from the first in all that a machine may: 31 integer and 32 float registers, a link register,
three-operand rows and values of 16 bytes. It is allocated for and its frames are laid out; nothing is ever encoded.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.rows import Row, Vocabulary, columns, name_rows
from figwasp.codegen.mach import FIRST_ROW, NONE, MInst
from figwasp.codegen.target import Target
from figwasp.ir.types import FLOAT, INT

NAMES: Final = [f"x{number}" for number in range(31)] + [f"v{number}" for number in range(32)] + ["sp"]
LINK: Final = 30
STACK_POINTER: Final = 63

_VOCABULARY: Final = Vocabulary({"x": INT, "v": FLOAT}, frozenset({"x"}), frozenset({"nzcv"}))
_TABLE: Final[list[Row]] = []


def _row(mnemonic: str, operands: str, effects: str = "") -> int:
    number = FIRST_ROW + len(_TABLE)
    _TABLE.append(Row(number, mnemonic, _VOCABULARY.parse(operands), "", effects))
    return number


MOV32: Final = _row("mov", "=x32 x32")
MOV64: Final = _row("mov", "=x64 x64")
MOVF: Final = _row("fmov", "=v v")
LD32: Final = _row("mov", "=x32 m32")
LD64: Final = _row("mov", "=x64 m64")
LDF32: Final = _row("ldr", "=v m32")
LDF64: Final = _row("ldr", "=v m64")
LDV: Final = _row("ldr", "=v m128")
ST32: Final = _row("str", "=m32 x32")
ST64: Final = _row("str", "=m64 x64")
STF32: Final = _row("str", "=m32 v")
STF64: Final = _row("str", "=m64 v")
STV: Final = _row("str", "=m128 v")
CONST32: Final = _row("movz", "=x32 imm32")
CONST64: Final = _row("movz", "=x64 imm64")
CONSTF: Final = _row("fmov", "=v imm64")
ADD64: Final = _row("adds", "=x64 x64 x64", "f")
ADD64M: Final = _row("addm", "=x64 x64 m64", "f")
ADD32: Final = _row("adds", "=x32 x32 x32", "f")
ADD64I: Final = _row("adds", "=x64 x64 imm12", "f")
LEA: Final = _row("adr", "=x64 m")
MIX: Final = _row("mix", "=x64 x64 x64")
CMP: Final = _row("cmp", "x64 x64", "f")
SHL: Final = _row("lsl", "=x64 x64", "f x1")
DIV: Final = _row("div", "x64", "f +x0 +x2")
FADD: Final = _row("fadd", "=v v v/m64")
FADDM: Final = _row("fadd", "=v v m64")
VADD: Final = _row("vadd", "+v v/m128")
VADDM: Final = _row("vadd", "+v m128")
CVT: Final = _row("fcvtzs", "=x64 v")
MOD: Final = _row("mod", "=x64 x64 imm12")
SETCC: Final = _row("cset", "=x64 cc", "c")
CMOV: Final = _row("csel", "=x64 x64 x64 cc")

name_rows(_TABLE, globals())
ROWS: Final = columns(_TABLE, {name: number for number, name in enumerate(NAMES)})

_MOVE: Final = (MOV32, MOV64, MOVF, MOVF, MOVF)
_LOAD: Final = (LD32, LD64, LDF32, LDF64, LDV)
_STORE: Final = (ST32, ST64, STF32, STF64, STV)


def _move(type: int, rd: int, rn: int) -> MInst:
    return MInst(_MOVE[type], rd, rn)


def _load(type: int, rd: int, base: int, mem: int) -> MInst:
    return MInst(_LOAD[type], rd, NONE, base, NONE, mem)


def _store(type: int, rn: int, base: int, mem: int) -> MInst:
    return MInst(_STORE[type], NONE, rn, base, NONE, mem)


def make_target(ints: int = 30, floats: int = 32) -> Target:
    """Make the machine, with so many of its registers to allocate at most."""
    target = Target()
    target.name = "skeleton"
    target.rows = ROWS
    target.num_registers = len(NAMES)
    target.classes = [INT] * 31 + [FLOAT] * 32 + [INT]
    target.register_names = NAMES
    saved = [19, 20, 21, 22, 23, 24, 25, 26]
    free = [*range(16), *saved]
    vectors = list(range(31, 62))
    target.regs = [[*free[:ints], 27], vectors[:floats]]
    target.callee_saved = sum(1 << r for r in [*saved, 27, LINK])
    target.c_callee_saved = sum(1 << r for r in [*saved, 27, 28, LINK])
    target.args = [[r for r in range(8) if r in target.regs[INT]], vectors[: min(8, floats)]]
    target.c_args = [list(range(8)), vectors[:8]]
    target.c_results = [0, vectors[0]]
    target.instance_reg = 27
    target.context_reg = 28
    target.stack_reg = STACK_POINTER
    target.scratch = [16, 62]
    target.link_reg = LINK
    target.return_bytes = 0
    target.return_offset = -8
    target.move = _move
    target.load_memory = _load
    target.store_memory = _store
    return target
