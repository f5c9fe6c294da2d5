"""Floor 2: the table of IR operations.

One row per operation. An operation is a module-level int, so that hot code compares ints; the columns are lists indexed by it
(docs/ir.md shows them all); those of vectors are in `rows/vector.py`, those of
atomic accesses in `rows/atomic.py`:

    name
    operand types: letters of `types`; `*` depends on the value
    result type: VOID also where it depends on the value (`const`, `select`, `result`, calls)
    flags, as below
    meaning: begins with the operator of the specification (4.3.2 to 4.3.4) where it is one; operands are a and b
    what `aux` holds, if anything: a `Call` is that of `func.py`, offset and region are packed by `memory_aux`
    the names of the operands, where they are not a and b; `?` may be missing, `...` as many as the types of the function or call

Flags:
    p pure: no effect, may be dropped, merged with an equal one that dominates it, and sunk to its user; never hoisted.
    c commutes in its first two operands.
    t may trap; must not be dropped or reordered with effects (`trapif`; and accesses to linear memory, by their region).
    r reads memory.  w writes memory.  k is a call.  z is a terminator.
    o ordered: no access to memory moves over it, in either direction.
    m one of several results, by the machine's choice: never computed before it runs.

Division, remainder and `trunc_f*` are undefined outside of their domain, without a check: the builder emits `trapif`s in front of
them, and keeps the divisor -1 away from `rem_s` with a `select`, so that no machine instruction can fault.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import types
from figwasp.ir.rows import atomic, vector
from figwasp.ir.types import F32 as F32
from figwasp.ir.types import F64 as F64
from figwasp.ir.types import I32 as I32
from figwasp.ir.types import I64 as I64
from figwasp.ir.types import TYPE_NAMES as TYPE_NAMES
from figwasp.ir.types import V128 as V128
from figwasp.ir.types import VOID as VOID

PURE: Final = 1
COMMUTES: Final = 2
TRAPS: Final = 4
READS: Final = 8
WRITES: Final = 16
CALLS: Final = 32
TERMINATOR: Final = 64
MACHINE: Final = 128
ORDERED: Final = 256


NAMES: Final[list[str]] = []
OPERANDS: Final[list[str]] = []
RESULTS: Final[list[int]] = []
FLAGS: Final[list[int]] = []
MEANINGS: Final[list[str]] = []
AUX: Final[list[str]] = []
ARGS: Final[list[str]] = []
BY_NAME: Final[dict[str, int]] = {}

_FLAG: Final = {"p": PURE, "c": COMMUTES, "t": TRAPS, "r": READS, "w": WRITES, "k": CALLS, "z": TERMINATOR, "m": MACHINE, "o": ORDERED}
_AUX_TEXTS: Final = {"-": "", "lane": "number of the lane", "lanes": "16 numbers of bytes, a byte each"}


def _op(name: str, operands: str, result: int, flags: str, meaning: str, aux: str = "", args: str = "") -> int:
    """Add a row and return its number."""
    number = len(NAMES)
    BY_NAME[name] = number
    NAMES.append(name)
    OPERANDS.append(operands)
    RESULTS.append(result)
    FLAGS.append(sum(_FLAG[flag] for flag in flags))
    MEANINGS.append(meaning)
    AUX.append(aux)
    ARGS.append(args)
    return number


def _add_atomics() -> None:
    """Add the rows of `rows.atomic`."""
    for line in atomic.TABLE.split("\n"):
        if line and not line.startswith("#"):
            name, result, flags, meaning = line.split(None, 3)
            data = "expected, replacement, " if name.endswith("cmpxchg") else "" if "load" in name else "value, "
            _op(name, "*", types.BY_LETTER.get(result, VOID), flags, meaning, "offset, region", f"{data}base, index?")


def _add_vectors() -> None:
    """Add the rows of `rows.vector`."""
    for line in vector.TABLE.split("\n"):
        if line and not line.startswith("#"):
            name, operands, result, flags, aux, meaning = line.split(None, 5)
            _op(name, operands, types.BY_LETTER[result], flags, meaning, _AUX_TEXTS[aux], "a, b, c" if len(operands) == 3 else "")


NOP: Final = _op("nop", "", VOID, "p", "nothing; inside of a pass it stands for a value that its operand has replaced")
CONST: Final = _op("const", "", VOID, "p", "the value with these bits", "the bits, as an unsigned int")
I32_ADD: Final = _op("i32_add", "ii", I32, "pc", "iadd: a + b modulo 2**32")
I32_MUL: Final = _op("i32_mul", "ii", I32, "pc", "imul: a * b modulo 2**32")
I32_AND: Final = _op("i32_and", "ii", I32, "pc", "iand: bitwise and")
I32_OR: Final = _op("i32_or", "ii", I32, "pc", "ior: bitwise or")
I32_XOR: Final = _op("i32_xor", "ii", I32, "pc", "ixor: bitwise exclusive or")
I32_SUB: Final = _op("i32_sub", "ii", I32, "p", "isub: a - b modulo 2**32")
I32_SHL: Final = _op("i32_shl", "ii", I32, "p", "ishl: a shifted left by b modulo 32")
I32_SHR_S: Final = _op("i32_shr_s", "ii", I32, "p", "ishr_s: a shifted right by b modulo 32, filling with the sign bit")
I32_SHR_U: Final = _op("i32_shr_u", "ii", I32, "p", "ishr_u: a shifted right by b modulo 32, filling with zeros")
I32_ROTL: Final = _op("i32_rotl", "ii", I32, "p", "irotl: a rotated left by b modulo 32")
I32_ROTR: Final = _op("i32_rotr", "ii", I32, "p", "irotr: a rotated right by b modulo 32")
I32_DIV_S: Final = _op("i32_div_s", "ii", I32, "p", "idiv_s: signed quotient, rounded towards zero; undefined when b is 0 and for -2**31 by -1")
I32_DIV_U: Final = _op("i32_div_u", "ii", I32, "p", "idiv_u: unsigned quotient, rounded down; undefined when b is 0")
I32_REM_S: Final = _op("i32_rem_s", "ii", I32, "p", "irem_s: signed remainder, with the sign of a; undefined when b is 0 and, unlike irem_s, for -2**31 by -1")
I32_REM_U: Final = _op("i32_rem_u", "ii", I32, "p", "irem_u: unsigned remainder; undefined when b is 0")
I32_EQ: Final = _op("i32_eq", "ii", I32, "pc", "ieq: 1 if a = b, else 0")
I32_NE: Final = _op("i32_ne", "ii", I32, "pc", "ine: 1 if a != b, else 0")
I32_LT_S: Final = _op("i32_lt_s", "ii", I32, "p", "ilt_s: 1 if a < b as signed numbers, else 0")
I32_LT_U: Final = _op("i32_lt_u", "ii", I32, "p", "ilt_u: 1 if a < b as unsigned numbers, else 0")
I32_GT_S: Final = _op("i32_gt_s", "ii", I32, "p", "igt_s: 1 if a > b as signed numbers, else 0")
I32_GT_U: Final = _op("i32_gt_u", "ii", I32, "p", "igt_u: 1 if a > b as unsigned numbers, else 0")
I32_LE_S: Final = _op("i32_le_s", "ii", I32, "p", "ile_s: 1 if a <= b as signed numbers, else 0")
I32_LE_U: Final = _op("i32_le_u", "ii", I32, "p", "ile_u: 1 if a <= b as unsigned numbers, else 0")
I32_GE_S: Final = _op("i32_ge_s", "ii", I32, "p", "ige_s: 1 if a >= b as signed numbers, else 0")
I32_GE_U: Final = _op("i32_ge_u", "ii", I32, "p", "ige_u: 1 if a >= b as unsigned numbers, else 0")
I32_EQZ: Final = _op("i32_eqz", "i", I32, "p", "ieqz: 1 if a is 0, else 0")
I32_CLZ: Final = _op("i32_clz", "i", I32, "p", "iclz: number of leading zero bits, 32 for 0")
I32_CTZ: Final = _op("i32_ctz", "i", I32, "p", "ictz: number of trailing zero bits, 32 for 0")
I32_POPCNT: Final = _op("i32_popcnt", "i", I32, "p", "ipopcnt: number of bits that are 1")
I32_EXTEND8_S: Final = _op("i32_extend8_s", "i", I32, "p", "iextend8_s: the low 8 bits, sign-extended")
I32_EXTEND16_S: Final = _op("i32_extend16_s", "i", I32, "p", "iextend16_s: the low 16 bits, sign-extended")
I64_ADD: Final = _op("i64_add", "ll", I64, "pc", "iadd: a + b modulo 2**64")
I64_MUL: Final = _op("i64_mul", "ll", I64, "pc", "imul: a * b modulo 2**64")
I64_AND: Final = _op("i64_and", "ll", I64, "pc", "iand: bitwise and")
I64_OR: Final = _op("i64_or", "ll", I64, "pc", "ior: bitwise or")
I64_XOR: Final = _op("i64_xor", "ll", I64, "pc", "ixor: bitwise exclusive or")
I64_SUB: Final = _op("i64_sub", "ll", I64, "p", "isub: a - b modulo 2**64")
I64_SHL: Final = _op("i64_shl", "ll", I64, "p", "ishl: a shifted left by b modulo 64")
I64_SHR_S: Final = _op("i64_shr_s", "ll", I64, "p", "ishr_s: a shifted right by b modulo 64, filling with the sign bit")
I64_SHR_U: Final = _op("i64_shr_u", "ll", I64, "p", "ishr_u: a shifted right by b modulo 64, filling with zeros")
I64_ROTL: Final = _op("i64_rotl", "ll", I64, "p", "irotl: a rotated left by b modulo 64")
I64_ROTR: Final = _op("i64_rotr", "ll", I64, "p", "irotr: a rotated right by b modulo 64")
I64_DIV_S: Final = _op("i64_div_s", "ll", I64, "p", "idiv_s: signed quotient, rounded towards zero; undefined when b is 0 and for -2**63 by -1")
I64_DIV_U: Final = _op("i64_div_u", "ll", I64, "p", "idiv_u: unsigned quotient, rounded down; undefined when b is 0")
I64_REM_S: Final = _op("i64_rem_s", "ll", I64, "p", "irem_s: signed remainder, with the sign of a; undefined when b is 0 and, unlike irem_s, for -2**63 by -1")
I64_REM_U: Final = _op("i64_rem_u", "ll", I64, "p", "irem_u: unsigned remainder; undefined when b is 0")
I64_MUL_HI_S: Final = _op("i64_mul_hi_s", "ll", I64, "pc", "a * b as signed numbers of 128 bits, of which the upper 64")
I64_MUL_HI_U: Final = _op("i64_mul_hi_u", "ll", I64, "pc", "a * b as unsigned numbers of 128 bits, of which the upper 64")
I64_EQ: Final = _op("i64_eq", "ll", I32, "pc", "ieq: 1 if a = b, else 0")
I64_NE: Final = _op("i64_ne", "ll", I32, "pc", "ine: 1 if a != b, else 0")
I64_LT_S: Final = _op("i64_lt_s", "ll", I32, "p", "ilt_s: 1 if a < b as signed numbers, else 0")
I64_LT_U: Final = _op("i64_lt_u", "ll", I32, "p", "ilt_u: 1 if a < b as unsigned numbers, else 0")
I64_GT_S: Final = _op("i64_gt_s", "ll", I32, "p", "igt_s: 1 if a > b as signed numbers, else 0")
I64_GT_U: Final = _op("i64_gt_u", "ll", I32, "p", "igt_u: 1 if a > b as unsigned numbers, else 0")
I64_LE_S: Final = _op("i64_le_s", "ll", I32, "p", "ile_s: 1 if a <= b as signed numbers, else 0")
I64_LE_U: Final = _op("i64_le_u", "ll", I32, "p", "ile_u: 1 if a <= b as unsigned numbers, else 0")
I64_GE_S: Final = _op("i64_ge_s", "ll", I32, "p", "ige_s: 1 if a >= b as signed numbers, else 0")
I64_GE_U: Final = _op("i64_ge_u", "ll", I32, "p", "ige_u: 1 if a >= b as unsigned numbers, else 0")
I64_EQZ: Final = _op("i64_eqz", "l", I32, "p", "ieqz: 1 if a is 0, else 0")
I64_CLZ: Final = _op("i64_clz", "l", I64, "p", "iclz: number of leading zero bits, 64 for 0")
I64_CTZ: Final = _op("i64_ctz", "l", I64, "p", "ictz: number of trailing zero bits, 64 for 0")
I64_POPCNT: Final = _op("i64_popcnt", "l", I64, "p", "ipopcnt: number of bits that are 1")
I64_EXTEND8_S: Final = _op("i64_extend8_s", "l", I64, "p", "iextend8_s: the low 8 bits, sign-extended")
I64_EXTEND16_S: Final = _op("i64_extend16_s", "l", I64, "p", "iextend16_s: the low 16 bits, sign-extended")
I64_EXTEND32_S: Final = _op("i64_extend32_s", "l", I64, "p", "iextend32_s: the low 32 bits, sign-extended")
F32_ADD: Final = _op("f32_add", "ff", F32, "pc", "fadd: a + b, rounded to nearest, ties to even")
F32_MUL: Final = _op("f32_mul", "ff", F32, "pc", "fmul: a * b, rounded likewise")
F32_SUB: Final = _op("f32_sub", "ff", F32, "p", "fsub: a - b, rounded likewise")
F32_DIV: Final = _op("f32_div", "ff", F32, "p", "fdiv: a / b, rounded likewise")
F32_MIN: Final = _op("f32_min", "ff", F32, "p", "fmin: the lesser; a NaN if either is one; -0 is less than +0")
F32_MAX: Final = _op("f32_max", "ff", F32, "p", "fmax: the greater; a NaN if either is one; +0 is greater than -0")
F32_COPYSIGN: Final = _op("f32_copysign", "ff", F32, "p", "fcopysign: a with the sign bit of b")
F32_ABS: Final = _op("f32_abs", "f", F32, "p", "fabs: a with the sign bit cleared")
F32_NEG: Final = _op("f32_neg", "f", F32, "p", "fneg: a with the sign bit flipped")
F32_CEIL: Final = _op("f32_ceil", "f", F32, "p", "fceil: rounded up to an integral value")
F32_FLOOR: Final = _op("f32_floor", "f", F32, "p", "ffloor: rounded down to an integral value")
F32_TRUNC: Final = _op("f32_trunc", "f", F32, "p", "ftrunc: rounded towards zero to an integral value")
F32_NEAREST: Final = _op("f32_nearest", "f", F32, "p", "fnearest: rounded to the nearest integral value, ties to even")
F32_SQRT: Final = _op("f32_sqrt", "f", F32, "p", "fsqrt: square root, rounded to nearest, ties to even")
F32_EQ: Final = _op("f32_eq", "ff", I32, "p", "feq: 1 if a = b, else 0; 0 if either is a NaN")
F32_NE: Final = _op("f32_ne", "ff", I32, "p", "fne: 1 if a != b or either is a NaN, else 0")
F32_LT: Final = _op("f32_lt", "ff", I32, "p", "flt: 1 if a < b, else 0; 0 if either is a NaN")
F32_GT: Final = _op("f32_gt", "ff", I32, "p", "fgt: 1 if a > b, else 0; 0 if either is a NaN")
F32_LE: Final = _op("f32_le", "ff", I32, "p", "fle: 1 if a <= b, else 0; 0 if either is a NaN")
F32_GE: Final = _op("f32_ge", "ff", I32, "p", "fge: 1 if a >= b, else 0; 0 if either is a NaN")
F64_ADD: Final = _op("f64_add", "dd", F64, "pc", "fadd: a + b, rounded to nearest, ties to even")
F64_MUL: Final = _op("f64_mul", "dd", F64, "pc", "fmul: a * b, rounded likewise")
F64_SUB: Final = _op("f64_sub", "dd", F64, "p", "fsub: a - b, rounded likewise")
F64_DIV: Final = _op("f64_div", "dd", F64, "p", "fdiv: a / b, rounded likewise")
F64_MIN: Final = _op("f64_min", "dd", F64, "p", "fmin: the lesser; a NaN if either is one; -0 is less than +0")
F64_MAX: Final = _op("f64_max", "dd", F64, "p", "fmax: the greater; a NaN if either is one; +0 is greater than -0")
F64_COPYSIGN: Final = _op("f64_copysign", "dd", F64, "p", "fcopysign: a with the sign bit of b")
F64_ABS: Final = _op("f64_abs", "d", F64, "p", "fabs: a with the sign bit cleared")
F64_NEG: Final = _op("f64_neg", "d", F64, "p", "fneg: a with the sign bit flipped")
F64_CEIL: Final = _op("f64_ceil", "d", F64, "p", "fceil: rounded up to an integral value")
F64_FLOOR: Final = _op("f64_floor", "d", F64, "p", "ffloor: rounded down to an integral value")
F64_TRUNC: Final = _op("f64_trunc", "d", F64, "p", "ftrunc: rounded towards zero to an integral value")
F64_NEAREST: Final = _op("f64_nearest", "d", F64, "p", "fnearest: rounded to the nearest integral value, ties to even")
F64_SQRT: Final = _op("f64_sqrt", "d", F64, "p", "fsqrt: square root, rounded to nearest, ties to even")
F64_EQ: Final = _op("f64_eq", "dd", I32, "p", "feq: 1 if a = b, else 0; 0 if either is a NaN")
F64_NE: Final = _op("f64_ne", "dd", I32, "p", "fne: 1 if a != b or either is a NaN, else 0")
F64_LT: Final = _op("f64_lt", "dd", I32, "p", "flt: 1 if a < b, else 0; 0 if either is a NaN")
F64_GT: Final = _op("f64_gt", "dd", I32, "p", "fgt: 1 if a > b, else 0; 0 if either is a NaN")
F64_LE: Final = _op("f64_le", "dd", I32, "p", "fle: 1 if a <= b, else 0; 0 if either is a NaN")
F64_GE: Final = _op("f64_ge", "dd", I32, "p", "fge: 1 if a >= b, else 0; 0 if either is a NaN")
I32_WRAP_I64: Final = _op("i32_wrap_i64", "l", I32, "p", "wrap: the low 32 bits")
I64_EXTEND_I32_S: Final = _op("i64_extend_i32_s", "i", I64, "p", "extend_s: sign-extended")
I64_EXTEND_I32_U: Final = _op("i64_extend_i32_u", "i", I64, "p", "extend_u: zero-extended")
I32_TRUNC_F32_S: Final = _op("i32_trunc_f32_s", "f", I32, "p", "trunc_s: rounded towards zero to a signed number; undefined for a NaN and out of range")
I32_TRUNC_F32_U: Final = _op("i32_trunc_f32_u", "f", I32, "p", "trunc_u: rounded towards zero to an unsigned number; undefined for a NaN and out of range")
I32_TRUNC_F64_S: Final = _op("i32_trunc_f64_s", "d", I32, "p", "trunc_s: rounded towards zero to a signed number; undefined for a NaN and out of range")
I32_TRUNC_F64_U: Final = _op("i32_trunc_f64_u", "d", I32, "p", "trunc_u: rounded towards zero to an unsigned number; undefined for a NaN and out of range")
I64_TRUNC_F32_S: Final = _op("i64_trunc_f32_s", "f", I64, "p", "trunc_s: rounded towards zero to a signed number; undefined for a NaN and out of range")
I64_TRUNC_F32_U: Final = _op("i64_trunc_f32_u", "f", I64, "p", "trunc_u: rounded towards zero to an unsigned number; undefined for a NaN and out of range")
I64_TRUNC_F64_S: Final = _op("i64_trunc_f64_s", "d", I64, "p", "trunc_s: rounded towards zero to a signed number; undefined for a NaN and out of range")
I64_TRUNC_F64_U: Final = _op("i64_trunc_f64_u", "d", I64, "p", "trunc_u: rounded towards zero to an unsigned number; undefined for a NaN and out of range")
I32_TRUNC_SAT_F32_S: Final = _op("i32_trunc_sat_f32_s", "f", I32, "p", "trunc_sat_s: rounded towards zero to a signed number, saturating; 0 for a NaN")
I32_TRUNC_SAT_F32_U: Final = _op("i32_trunc_sat_f32_u", "f", I32, "p", "trunc_sat_u: rounded towards zero to an unsigned number, saturating; 0 for a NaN")
I32_TRUNC_SAT_F64_S: Final = _op("i32_trunc_sat_f64_s", "d", I32, "p", "trunc_sat_s: rounded towards zero to a signed number, saturating; 0 for a NaN")
I32_TRUNC_SAT_F64_U: Final = _op("i32_trunc_sat_f64_u", "d", I32, "p", "trunc_sat_u: rounded towards zero to an unsigned number, saturating; 0 for a NaN")
I64_TRUNC_SAT_F32_S: Final = _op("i64_trunc_sat_f32_s", "f", I64, "p", "trunc_sat_s: rounded towards zero to a signed number, saturating; 0 for a NaN")
I64_TRUNC_SAT_F32_U: Final = _op("i64_trunc_sat_f32_u", "f", I64, "p", "trunc_sat_u: rounded towards zero to an unsigned number, saturating; 0 for a NaN")
I64_TRUNC_SAT_F64_S: Final = _op("i64_trunc_sat_f64_s", "d", I64, "p", "trunc_sat_s: rounded towards zero to a signed number, saturating; 0 for a NaN")
I64_TRUNC_SAT_F64_U: Final = _op("i64_trunc_sat_f64_u", "d", I64, "p", "trunc_sat_u: rounded towards zero to an unsigned number, saturating; 0 for a NaN")
F32_CONVERT_I32_S: Final = _op("f32_convert_i32_s", "i", F32, "p", "convert_s: of a signed number, rounded to nearest, ties to even")
F32_CONVERT_I32_U: Final = _op("f32_convert_i32_u", "i", F32, "p", "convert_u: of an unsigned number, rounded to nearest, ties to even")
F32_CONVERT_I64_S: Final = _op("f32_convert_i64_s", "l", F32, "p", "convert_s: of a signed number, rounded to nearest, ties to even")
F32_CONVERT_I64_U: Final = _op("f32_convert_i64_u", "l", F32, "p", "convert_u: of an unsigned number, rounded to nearest, ties to even")
F64_CONVERT_I32_S: Final = _op("f64_convert_i32_s", "i", F64, "p", "convert_s: of a signed number, exact")
F64_CONVERT_I32_U: Final = _op("f64_convert_i32_u", "i", F64, "p", "convert_u: of an unsigned number, exact")
F64_CONVERT_I64_S: Final = _op("f64_convert_i64_s", "l", F64, "p", "convert_s: of a signed number, rounded to nearest, ties to even")
F64_CONVERT_I64_U: Final = _op("f64_convert_i64_u", "l", F64, "p", "convert_u: of an unsigned number, rounded to nearest, ties to even")
F32_DEMOTE_F64: Final = _op("f32_demote_f64", "d", F32, "p", "demote: rounded to nearest, ties to even")
F64_PROMOTE_F32: Final = _op("f64_promote_f32", "f", F64, "p", "promote: exact")
I32_REINTERPRET_F32: Final = _op("i32_reinterpret_f32", "f", I32, "p", "reinterpret: the same bits")
I64_REINTERPRET_F64: Final = _op("i64_reinterpret_f64", "d", I64, "p", "reinterpret: the same bits")
F32_REINTERPRET_I32: Final = _op("f32_reinterpret_i32", "i", F32, "p", "reinterpret: the same bits")
F64_REINTERPRET_I64: Final = _op("f64_reinterpret_i64", "l", F64, "p", "reinterpret: the same bits")
SELECT: Final = _op("select", "**i", VOID, "p", "a if the condition is not 0, else b; both are evaluated", "", "a, b, condition")
I32_LOAD: Final = _op("i32_load", "*", I32, "r", "4 bytes at the address", "offset, region", "base, index?")
I64_LOAD: Final = _op("i64_load", "*", I64, "r", "8 bytes at the address", "offset, region", "base, index?")
F32_LOAD: Final = _op("f32_load", "*", F32, "r", "4 bytes at the address", "offset, region", "base, index?")
F64_LOAD: Final = _op("f64_load", "*", F64, "r", "8 bytes at the address", "offset, region", "base, index?")
I32_LOAD8_S: Final = _op("i32_load8_s", "*", I32, "r", "1 byte at the address, sign-extended", "offset, region", "base, index?")
I32_LOAD8_U: Final = _op("i32_load8_u", "*", I32, "r", "1 byte at the address, zero-extended", "offset, region", "base, index?")
I32_LOAD16_S: Final = _op("i32_load16_s", "*", I32, "r", "2 bytes at the address, sign-extended", "offset, region", "base, index?")
I32_LOAD16_U: Final = _op("i32_load16_u", "*", I32, "r", "2 bytes at the address, zero-extended", "offset, region", "base, index?")
I64_LOAD8_S: Final = _op("i64_load8_s", "*", I64, "r", "1 byte at the address, sign-extended", "offset, region", "base, index?")
I64_LOAD8_U: Final = _op("i64_load8_u", "*", I64, "r", "1 byte at the address, zero-extended", "offset, region", "base, index?")
I64_LOAD16_S: Final = _op("i64_load16_s", "*", I64, "r", "2 bytes at the address, sign-extended", "offset, region", "base, index?")
I64_LOAD16_U: Final = _op("i64_load16_u", "*", I64, "r", "2 bytes at the address, zero-extended", "offset, region", "base, index?")
I64_LOAD32_S: Final = _op("i64_load32_s", "*", I64, "r", "4 bytes at the address, sign-extended", "offset, region", "base, index?")
I64_LOAD32_U: Final = _op("i64_load32_u", "*", I64, "r", "4 bytes at the address, zero-extended", "offset, region", "base, index?")
V128_LOAD: Final = _op("v128_load", "*", V128, "r", "16 bytes at the address", "offset, region", "base, index?")
V128_LOAD32_ZERO: Final = _op("v128_load32_zero", "*", V128, "r", "4 bytes at the address, then zeros", "offset, region", "base, index?")
V128_LOAD64_ZERO: Final = _op("v128_load64_zero", "*", V128, "r", "8 bytes at the address, then zeros", "offset, region", "base, index?")
I32_STORE: Final = _op("i32_store", "*", VOID, "w", "store 4 bytes at the address", "offset, region", "value, base, index?")
I64_STORE: Final = _op("i64_store", "*", VOID, "w", "store 8 bytes at the address", "offset, region", "value, base, index?")
F32_STORE: Final = _op("f32_store", "*", VOID, "w", "store 4 bytes at the address", "offset, region", "value, base, index?")
F64_STORE: Final = _op("f64_store", "*", VOID, "w", "store 8 bytes at the address", "offset, region", "value, base, index?")
I32_STORE8: Final = _op("i32_store8", "*", VOID, "w", "store the low byte of the value at the address", "offset, region", "value, base, index?")
I32_STORE16: Final = _op("i32_store16", "*", VOID, "w", "store the low 2 bytes of the value at the address", "offset, region", "value, base, index?")
I64_STORE8: Final = _op("i64_store8", "*", VOID, "w", "store the low byte of the value at the address", "offset, region", "value, base, index?")
I64_STORE16: Final = _op("i64_store16", "*", VOID, "w", "store the low 2 bytes of the value at the address", "offset, region", "value, base, index?")
I64_STORE32: Final = _op("i64_store32", "*", VOID, "w", "store the low 4 bytes of the value at the address", "offset, region", "value, base, index?")
V128_STORE: Final = _op("v128_store", "*", VOID, "w", "store 16 bytes at the address", "offset, region", "value, base, index?")
_add_atomics()
FENCE: Final = _op("fence", "", VOID, "o", "nothing but that what accesses memory does not move over it")
CONTEXT: Final = _op("context", "", I64, "p", "address of the context; a register is reserved for it")
FRAME_AREA: Final = _op("frame_area", "", I64, "p", "address of that many bytes in the function's own frame, 16-byte aligned; each value has an area of its own", "bytes")
THREAD_WORD: Final = _op("thread_word", "", I64, "p", "8 bytes at that offset in what the system keeps for the thread; the same wherever in a function", "offset modulo 2**32")
SYMBOL: Final = _op("symbol", "", I64, "p", "the value that the process has for a name: an address, mostly; not known before the code is installed", "the name, a str")
CALL: Final = _op("call", "*", VOID, "k", "direct call of a function of the same module, through its cell", "Call: function index", "instance, params...")
CALL_PTR: Final = _op("call_ptr", "*", VOID, "k", "call of a code address with an instance: imports, call_indirect", "Call", "code, instance, params...")
CALL_BUILTIN: Final = _op("call_builtin", "*", VOID, "k", "call of the runtime", "Call: number of the builtin", "instance, params...")
CALL_C: Final = _op("call_c", "*", VOID, "k", "call by the C convention on the current stack, the native one; in functions of convention c only", "Call", "address, params...")
ENTER_WASM: Final = _op("enter_wasm", "*", VOID, "k", "switch to the wasm stack and call; every register is lost but the context's, and the context's trap code tells whether the results are valid; in functions of convention c only", "Call", "code, instance, params...")
CALL_NATIVE: Final = _op("call_native", "*", VOID, "k", "switch to the native stack and call by the C convention; at most 4 parameters and 1 result", "Call", "address, params...")
RESULT: Final = _op("result", "*", VOID, "", "a result of a call beyond the first, which is the value of the call itself; stands right after the call, in order, or where the first successor of an `invoke` begins", "1, 2, ...", "call")
TRAPIF: Final = _op("trapif", "i", VOID, "t", "trap if the condition is not 0", "trap code", "condition")
POLL: Final = _op("poll", "", VOID, "k", "compare the stack pointer with the context's limit; on the slow path, out of line, anything may run; changes no register")
FUEL: Final = _op("fuel", "", VOID, "k", "take that much from the context's fuel; when less than nothing is left, the slow path, out of line; changes no register", "amount")
ALLOCATE: Final = _op("allocate", "", I64, "k", "address of a cell of the heap, of which the first 8 bytes are 0 and the others unspecified; on the slow path, out of line, anything may run", "class")
JUMP: Final = _op("jump", "", VOID, "z", "go to the successor, with its arguments")
BRIF: Final = _op("brif", "i", VOID, "z", "go to the first successor if the condition is not 0, else to the second", "", "condition")
BRTABLE: Final = _op("brtable", "i", VOID, "z", "go to the successor with this unsigned number, to the last if there is none; successors may repeat", "", "index")
RETURN: Final = _op("return", "*", VOID, "z", "return these results", "", "results...")
TRAP: Final = _op("trap", "", VOID, "z", "trap", "trap code")
UNWIND: Final = _op("unwind", "", VOID, "z", "leave wasm for the innermost entry, the trap code being recorded in the context")
TAIL: Final = _op("tail", "*", VOID, "z", "leave this frame and jump to a function of the same module, through its cell; the callee returns this function's results", "Call: function index", "instance, params...")
TAIL_PTR: Final = _op("tail_ptr", "*", VOID, "z", "leave this frame and jump to a code address with an instance; the callee returns this function's results", "Call", "code, instance, params...")
INVOKE: Final = _op("invoke", "*", VOID, "kz", "`call`, then go to the first successor; to the second, the handler, if the callee throws", "Call: function index", "instance, params...")
INVOKE_PTR: Final = _op("invoke_ptr", "*", VOID, "kz", "`call_ptr`, then go to the first successor; to the second, the handler, if the callee throws", "Call", "code, instance, params...")
INVOKE_BUILTIN: Final = _op("invoke_builtin", "*", VOID, "kz", "`call_builtin`, then go to the first successor; to the second, the handler, if it throws", "Call: number of the builtin", "instance, params...")
_add_vectors()
COUNT: Final = len(NAMES)

INVOKES: Final = frozenset((INVOKE, INVOKE_PTR, INVOKE_BUILTIN))
"""Terminators that have results: they are there where the first successor begins, and at the handler they are not."""

TAILS: Final = frozenset((TAIL, TAIL_PTR))
"""Terminators that are calls: their callees return for the function."""

I64_ATOMIC_LOAD: Final = BY_NAME["i64_atomic_load"]
I64_ATOMIC_STORE: Final = BY_NAME["i64_atomic_store"]

DATA: Final = [args.split(", ").index("base") if "base" in args.split(", ") else 0 for args in ARGS]
"""Operands of an access in front of its base."""

WITH_AUX: Final = frozenset(op for op in range(COUNT) if FLAGS[op] & PURE and OPERANDS[op] and AUX[op])
"""Operations that compute from operands and their aux."""

LOAD_OF: Final = [BY_NAME[name] for name in types.LOADS]
STORE_OF: Final = [BY_NAME[name] for name in types.STORES]
"""Type -> the operation that loads or stores a whole value of it."""

# A load or store accesses the bytes at base + index + offset. The base is an i64, an address; the index an i32, which is
# zero-extended, or an i64; the offset is 0 <= offset < 2**64. The region says what the access may alias with:

REGION_CONST: Final = 0  # never changes while the instance lives: loads of it are pure
REGION_GLOBAL: Final = 1  # globals
REGION_TABLE: Final = 2  # table records and elements, code addresses in FuncRefs
REGION_RECORD: Final = 3  # memory records (the length)
REGION_NATIVE: Final = 4  # context, frame areas, in stubs everything else: may alias with any region
REGION_FIELD: Final = 5  # fields of structures that can be assigned: two are apart when their offsets differ, whatever the bases
REGION_ELEMENT: Final = 6  # elements of arrays that can be assigned
REGION_INITIAL: Final = 7  # of stores only: the first content of a new object, of which nothing has been loaded yet
REGION_MEMORY: Final = 16  # + memory index: linear memory; an access may fault and is then a trap


OFFSET_BITS: Final = 64
"""Bits of the offset in the aux of an access, below its region."""
OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1


def memory_aux(offset: int, region: int) -> int:
    """Pack the aux of a load or store."""
    return region << OFFSET_BITS | offset


def aux_offset(aux: int) -> int:
    """Return the offset of a load or store."""
    return aux & OFFSET_MASK


def aux_region(aux: int) -> int:
    """Return the alias region of a load or store."""
    return aux >> OFFSET_BITS
