"""A small made-up machine for the tests of register allocation: few registers, and every kind of row that a machine may have."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import FIRST_ROW, NONE, MInst
from figwasp.codegen.target import Rows, Target
from figwasp.ir.types import FLOAT, INT

_ROWS: list[tuple[str, str, int, int, int, str, str]] = []


def _row(name: str, shape: str, width: int = 0, uses: int = 0, defs: int = 0, spill_rm: str = "", spill_rn: str = "") -> int:
    """Add a row. Letters of the shape: d defines, t tied, n m x reads, M memory, S stores, f flags."""
    _ROWS.append((name, shape, width, uses, defs, spill_rm, spill_rn))
    return FIRST_ROW + len(_ROWS) - 1


_DIVIDED: Final = 1 << 0 | 1 << 2

MOV32: Final = _row("mov32", "dn", spill_rn="ld32")
MOV64: Final = _row("mov64", "dn", spill_rn="ld64")
MOVF: Final = _row("movf", "dn")
LD32: Final = _row("ld32", "dmxM", 4)
LD64: Final = _row("ld64", "dmxM", 8)
LDF32: Final = _row("ldf32", "dmxM", 4)
LDF64: Final = _row("ldf64", "dmxM", 8)
ST32: Final = _row("st32", "nmxMS", 4)
ST64: Final = _row("st64", "nmxMS", 8)
STF32: Final = _row("stf32", "nmxMS", 4)
STF64: Final = _row("stf64", "nmxMS", 8)
LDV: Final = _row("ldv", "dmxM", 16)
STV: Final = _row("stv", "nmxMS", 16)
CONST32: Final = _row("const32", "d")
CONST64: Final = _row("const64", "d")
CONSTF: Final = _row("constf", "d")
ZERO: Final = _row("zero", "df")
ADD64: Final = _row("add64", "dtnmf", spill_rm="add64m")
ADD64M: Final = _row("add64m", "dtnmxMf", 8)
ADD32: Final = _row("add32", "dtnmf", spill_rm="add32m")
ADD32M: Final = _row("add32m", "dtnmxMf", 4)
ADD64I: Final = _row("add64i", "dtnf")
LEA: Final = _row("lea", "dmxM")
MIX: Final = _row("mix", "dnm", spill_rn="mixm")
MIXM: Final = _row("mixm", "dnmxM", 8)
CMP: Final = _row("cmp", "nmf", spill_rm="cmpm", spill_rn="cmpmr")
CMPM: Final = _row("cmpm", "nmxMf", 8)
CMPMR: Final = _row("cmpmr", "nmxMf", 8)
SHL: Final = _row("shl", "dtnf", uses=1 << 1)
DIV: Final = _row("div", "nf", uses=_DIVIDED, defs=_DIVIDED, spill_rn="divm")
DIVM: Final = _row("divm", "mxMf", 8, uses=_DIVIDED, defs=_DIVIDED)
FADD: Final = _row("fadd", "dtnm", spill_rm="faddm")
FADDM: Final = _row("faddm", "dtnmxM", 8)
VADD: Final = _row("vadd", "dtnm", spill_rm="vaddm")
VADDM: Final = _row("vaddm", "dtnmxM", 16)
CVT: Final = _row("cvt", "dn", spill_rn="cvtm")
CVTM: Final = _row("cvtm", "dmxM", 8)
MOD: Final = _row("mod", "dn")
SETCC: Final = _row("setcc", "d")
CMOV: Final = _row("cmov", "dtnm", spill_rm="cmovm")
CMOVM: Final = _row("cmovm", "dtnmxM", 8)


def _columns() -> Rows:
    rows = Rows()
    names = {row[0]: FIRST_ROW + i for i, row in enumerate(_ROWS)}
    pseudo = [(f"pseudo{i}", "", 0, 0, 0, "", "") for i in range(FIRST_ROW)]
    for name, shape, width, uses, defs, spill_rm, spill_rn in pseudo + _ROWS:
        rows.names.append(name)
        rows.defines.append("d" in shape)
        rows.reads.append(("n" in shape) | ("m" in shape) << 1 | ("x" in shape) << 2)
        rows.tied.append("t" in shape)
        rows.memory.append("M" in shape)
        rows.stores.append("S" in shape)
        rows.implicit_uses.append(uses)
        rows.implicit_defs.append(defs)
        rows.spill_rm.append(names[spill_rm] if spill_rm else -1)
        rows.spill_rn.append(names[spill_rn] if spill_rn else -1)
        rows.width.append(width)
        rows.flags.append("f" in shape)
        rows.immediate.append(False)
        rows.condition.append(name in ("setcc", "cmov", "cmovm"))
        rows.makes_condition.append(name == "setcc")
    return rows


ROWS: Final = _columns()


def _move(type: int, rd: int, rn: int) -> MInst:
    return MInst((MOV32, MOV64, MOVF, MOVF, MOVF)[type], rd, rn)


def _load(type: int, rd: int, base: int, mem: int) -> MInst:
    return MInst((LD32, LD64, LDF32, LDF64, LDV)[type], rd, NONE, base, NONE, mem)


def _store(type: int, rn: int, base: int, mem: int) -> MInst:
    return MInst((ST32, ST64, STF32, STF64, STV)[type], NONE, rn, base, NONE, mem)


def make_target(ints: int = 4, floats: int = 3, callee_saved: int = 1) -> Target:
    """Make a machine with so many caller-saved integer and float registers, callee-saved ones, and the instance register."""
    target = Target()
    target.name = "toy"
    target.rows = ROWS
    free = [0, 1, 2, 5, 6, 7, 8, 9, 10][:ints]
    saved = [3, 12, 13][:callee_saved]
    target.num_registers = 32
    target.classes = [INT] * 16 + [FLOAT] * 16
    target.regs = [[*free, *saved, 14], list(range(16, 16 + floats))]
    target.callee_saved = sum(1 << r for r in [*saved, 14])
    target.c_callee_saved = 1 << 3 | 1 << 14 | 1 << 15
    target.args = [[r for r in (0, 1, 2, 5) if r in free], [16, 17]]
    target.c_args = [[2, 1], [16]]
    target.c_results = [0, 16]
    target.instance_reg = 14
    target.context_reg = 15
    target.stack_reg = 4
    target.scratch = [11, 31]
    target.link_reg = NONE
    target.return_bytes = 8
    target.return_offset = 0
    target.move = _move
    target.load_memory = _load
    target.store_memory = _store
    return target
