"""Floor 2: the table of IR operations.

One row per operation: name, operand types (`i` i32, `l` i64, `f` f32, `d` f64, `*` depends on the value), result type
(VOID also where it depends on the value: `const`, `select`, calls), flags. An operation is a module-level int, so that
hot code compares ints; the columns are lists indexed by it.

Flags:
    p pure: no effect, may be dropped, merged with an equal one that dominates it, and sunk to its user; never hoisted.
    c commutes in its first two operands.
    t may trap; must not be dropped or reordered with effects (`trapif`; and accesses to linear memory, by their region).
    r reads memory.  w writes memory.  k is a call.  z is a terminator.
"""

from __future__ import annotations

from typing import Final

I32: Final = 0
I64: Final = 1
F32: Final = 2
F64: Final = 3
VOID: Final = 15
"""IR types. References are I64: an address or 0."""

TYPE_NAMES: Final = {I32: "i32", I64: "i64", F32: "f32", F64: "f64", VOID: "-"}

PURE: Final = 1
COMMUTES: Final = 2
TRAPS: Final = 4
READS: Final = 8
WRITES: Final = 16
CALLS: Final = 32
TERMINATOR: Final = 64


NAMES: Final[list[str]] = []
OPERANDS: Final[list[str]] = []
RESULTS: Final[list[int]] = []
FLAGS: Final[list[int]] = []
BY_NAME: Final[dict[str, int]] = {}

_FLAG: Final = {"p": PURE, "c": COMMUTES, "t": TRAPS, "r": READS, "w": WRITES, "k": CALLS, "z": TERMINATOR}


def _op(name: str, operands: str, result: int, flags: str) -> int:
    """Add a row and return its number."""
    number = len(NAMES)
    BY_NAME[name] = number
    NAMES.append(name)
    OPERANDS.append(operands)
    RESULTS.append(result)
    FLAGS.append(sum(_FLAG[flag] for flag in flags))
    return number


NOP: Final = _op("nop", "", VOID, "p")
CONST: Final = _op("const", "", VOID, "p")
I32_ADD: Final = _op("i32_add", "ii", I32, "pc")
I32_MUL: Final = _op("i32_mul", "ii", I32, "pc")
I32_AND: Final = _op("i32_and", "ii", I32, "pc")
I32_OR: Final = _op("i32_or", "ii", I32, "pc")
I32_XOR: Final = _op("i32_xor", "ii", I32, "pc")
I32_SUB: Final = _op("i32_sub", "ii", I32, "p")
I32_SHL: Final = _op("i32_shl", "ii", I32, "p")
I32_SHR_S: Final = _op("i32_shr_s", "ii", I32, "p")
I32_SHR_U: Final = _op("i32_shr_u", "ii", I32, "p")
I32_ROTL: Final = _op("i32_rotl", "ii", I32, "p")
I32_ROTR: Final = _op("i32_rotr", "ii", I32, "p")
I32_DIV_S: Final = _op("i32_div_s", "ii", I32, "p")
I32_DIV_U: Final = _op("i32_div_u", "ii", I32, "p")
I32_REM_S: Final = _op("i32_rem_s", "ii", I32, "p")
I32_REM_U: Final = _op("i32_rem_u", "ii", I32, "p")
I32_EQ: Final = _op("i32_eq", "ii", I32, "pc")
I32_NE: Final = _op("i32_ne", "ii", I32, "pc")
I32_LT_S: Final = _op("i32_lt_s", "ii", I32, "p")
I32_LT_U: Final = _op("i32_lt_u", "ii", I32, "p")
I32_GT_S: Final = _op("i32_gt_s", "ii", I32, "p")
I32_GT_U: Final = _op("i32_gt_u", "ii", I32, "p")
I32_LE_S: Final = _op("i32_le_s", "ii", I32, "p")
I32_LE_U: Final = _op("i32_le_u", "ii", I32, "p")
I32_GE_S: Final = _op("i32_ge_s", "ii", I32, "p")
I32_GE_U: Final = _op("i32_ge_u", "ii", I32, "p")
I32_EQZ: Final = _op("i32_eqz", "i", I32, "p")
I32_CLZ: Final = _op("i32_clz", "i", I32, "p")
I32_CTZ: Final = _op("i32_ctz", "i", I32, "p")
I32_POPCNT: Final = _op("i32_popcnt", "i", I32, "p")
I32_EXTEND8_S: Final = _op("i32_extend8_s", "i", I32, "p")
I32_EXTEND16_S: Final = _op("i32_extend16_s", "i", I32, "p")
I64_ADD: Final = _op("i64_add", "ll", I64, "pc")
I64_MUL: Final = _op("i64_mul", "ll", I64, "pc")
I64_AND: Final = _op("i64_and", "ll", I64, "pc")
I64_OR: Final = _op("i64_or", "ll", I64, "pc")
I64_XOR: Final = _op("i64_xor", "ll", I64, "pc")
I64_SUB: Final = _op("i64_sub", "ll", I64, "p")
I64_SHL: Final = _op("i64_shl", "ll", I64, "p")
I64_SHR_S: Final = _op("i64_shr_s", "ll", I64, "p")
I64_SHR_U: Final = _op("i64_shr_u", "ll", I64, "p")
I64_ROTL: Final = _op("i64_rotl", "ll", I64, "p")
I64_ROTR: Final = _op("i64_rotr", "ll", I64, "p")
I64_DIV_S: Final = _op("i64_div_s", "ll", I64, "p")
I64_DIV_U: Final = _op("i64_div_u", "ll", I64, "p")
I64_REM_S: Final = _op("i64_rem_s", "ll", I64, "p")
I64_REM_U: Final = _op("i64_rem_u", "ll", I64, "p")
I64_EQ: Final = _op("i64_eq", "ll", I32, "pc")
I64_NE: Final = _op("i64_ne", "ll", I32, "pc")
I64_LT_S: Final = _op("i64_lt_s", "ll", I32, "p")
I64_LT_U: Final = _op("i64_lt_u", "ll", I32, "p")
I64_GT_S: Final = _op("i64_gt_s", "ll", I32, "p")
I64_GT_U: Final = _op("i64_gt_u", "ll", I32, "p")
I64_LE_S: Final = _op("i64_le_s", "ll", I32, "p")
I64_LE_U: Final = _op("i64_le_u", "ll", I32, "p")
I64_GE_S: Final = _op("i64_ge_s", "ll", I32, "p")
I64_GE_U: Final = _op("i64_ge_u", "ll", I32, "p")
I64_EQZ: Final = _op("i64_eqz", "l", I32, "p")
I64_CLZ: Final = _op("i64_clz", "l", I64, "p")
I64_CTZ: Final = _op("i64_ctz", "l", I64, "p")
I64_POPCNT: Final = _op("i64_popcnt", "l", I64, "p")
I64_EXTEND8_S: Final = _op("i64_extend8_s", "l", I64, "p")
I64_EXTEND16_S: Final = _op("i64_extend16_s", "l", I64, "p")
I64_EXTEND32_S: Final = _op("i64_extend32_s", "l", I64, "p")
F32_ADD: Final = _op("f32_add", "ff", F32, "pc")
F32_MUL: Final = _op("f32_mul", "ff", F32, "pc")
F32_SUB: Final = _op("f32_sub", "ff", F32, "p")
F32_DIV: Final = _op("f32_div", "ff", F32, "p")
F32_MIN: Final = _op("f32_min", "ff", F32, "p")
F32_MAX: Final = _op("f32_max", "ff", F32, "p")
F32_COPYSIGN: Final = _op("f32_copysign", "ff", F32, "p")
F32_ABS: Final = _op("f32_abs", "f", F32, "p")
F32_NEG: Final = _op("f32_neg", "f", F32, "p")
F32_CEIL: Final = _op("f32_ceil", "f", F32, "p")
F32_FLOOR: Final = _op("f32_floor", "f", F32, "p")
F32_TRUNC: Final = _op("f32_trunc", "f", F32, "p")
F32_NEAREST: Final = _op("f32_nearest", "f", F32, "p")
F32_SQRT: Final = _op("f32_sqrt", "f", F32, "p")
F32_EQ: Final = _op("f32_eq", "ff", I32, "p")
F32_NE: Final = _op("f32_ne", "ff", I32, "p")
F32_LT: Final = _op("f32_lt", "ff", I32, "p")
F32_GT: Final = _op("f32_gt", "ff", I32, "p")
F32_LE: Final = _op("f32_le", "ff", I32, "p")
F32_GE: Final = _op("f32_ge", "ff", I32, "p")
F64_ADD: Final = _op("f64_add", "dd", F64, "pc")
F64_MUL: Final = _op("f64_mul", "dd", F64, "pc")
F64_SUB: Final = _op("f64_sub", "dd", F64, "p")
F64_DIV: Final = _op("f64_div", "dd", F64, "p")
F64_MIN: Final = _op("f64_min", "dd", F64, "p")
F64_MAX: Final = _op("f64_max", "dd", F64, "p")
F64_COPYSIGN: Final = _op("f64_copysign", "dd", F64, "p")
F64_ABS: Final = _op("f64_abs", "d", F64, "p")
F64_NEG: Final = _op("f64_neg", "d", F64, "p")
F64_CEIL: Final = _op("f64_ceil", "d", F64, "p")
F64_FLOOR: Final = _op("f64_floor", "d", F64, "p")
F64_TRUNC: Final = _op("f64_trunc", "d", F64, "p")
F64_NEAREST: Final = _op("f64_nearest", "d", F64, "p")
F64_SQRT: Final = _op("f64_sqrt", "d", F64, "p")
F64_EQ: Final = _op("f64_eq", "dd", I32, "p")
F64_NE: Final = _op("f64_ne", "dd", I32, "p")
F64_LT: Final = _op("f64_lt", "dd", I32, "p")
F64_GT: Final = _op("f64_gt", "dd", I32, "p")
F64_LE: Final = _op("f64_le", "dd", I32, "p")
F64_GE: Final = _op("f64_ge", "dd", I32, "p")
I32_WRAP_I64: Final = _op("i32_wrap_i64", "l", I32, "p")
I64_EXTEND_I32_S: Final = _op("i64_extend_i32_s", "i", I64, "p")
I64_EXTEND_I32_U: Final = _op("i64_extend_i32_u", "i", I64, "p")
I32_TRUNC_F32_S: Final = _op("i32_trunc_f32_s", "f", I32, "p")
I32_TRUNC_F32_U: Final = _op("i32_trunc_f32_u", "f", I32, "p")
I32_TRUNC_F64_S: Final = _op("i32_trunc_f64_s", "d", I32, "p")
I32_TRUNC_F64_U: Final = _op("i32_trunc_f64_u", "d", I32, "p")
I64_TRUNC_F32_S: Final = _op("i64_trunc_f32_s", "f", I64, "p")
I64_TRUNC_F32_U: Final = _op("i64_trunc_f32_u", "f", I64, "p")
I64_TRUNC_F64_S: Final = _op("i64_trunc_f64_s", "d", I64, "p")
I64_TRUNC_F64_U: Final = _op("i64_trunc_f64_u", "d", I64, "p")
I32_TRUNC_SAT_F32_S: Final = _op("i32_trunc_sat_f32_s", "f", I32, "p")
I32_TRUNC_SAT_F32_U: Final = _op("i32_trunc_sat_f32_u", "f", I32, "p")
I32_TRUNC_SAT_F64_S: Final = _op("i32_trunc_sat_f64_s", "d", I32, "p")
I32_TRUNC_SAT_F64_U: Final = _op("i32_trunc_sat_f64_u", "d", I32, "p")
I64_TRUNC_SAT_F32_S: Final = _op("i64_trunc_sat_f32_s", "f", I64, "p")
I64_TRUNC_SAT_F32_U: Final = _op("i64_trunc_sat_f32_u", "f", I64, "p")
I64_TRUNC_SAT_F64_S: Final = _op("i64_trunc_sat_f64_s", "d", I64, "p")
I64_TRUNC_SAT_F64_U: Final = _op("i64_trunc_sat_f64_u", "d", I64, "p")
F32_CONVERT_I32_S: Final = _op("f32_convert_i32_s", "i", F32, "p")
F32_CONVERT_I32_U: Final = _op("f32_convert_i32_u", "i", F32, "p")
F32_CONVERT_I64_S: Final = _op("f32_convert_i64_s", "l", F32, "p")
F32_CONVERT_I64_U: Final = _op("f32_convert_i64_u", "l", F32, "p")
F64_CONVERT_I32_S: Final = _op("f64_convert_i32_s", "i", F64, "p")
F64_CONVERT_I32_U: Final = _op("f64_convert_i32_u", "i", F64, "p")
F64_CONVERT_I64_S: Final = _op("f64_convert_i64_s", "l", F64, "p")
F64_CONVERT_I64_U: Final = _op("f64_convert_i64_u", "l", F64, "p")
F32_DEMOTE_F64: Final = _op("f32_demote_f64", "d", F32, "p")
F64_PROMOTE_F32: Final = _op("f64_promote_f32", "f", F64, "p")
I32_REINTERPRET_F32: Final = _op("i32_reinterpret_f32", "f", I32, "p")
I64_REINTERPRET_F64: Final = _op("i64_reinterpret_f64", "d", I64, "p")
F32_REINTERPRET_I32: Final = _op("f32_reinterpret_i32", "i", F32, "p")
F64_REINTERPRET_I64: Final = _op("f64_reinterpret_i64", "l", F64, "p")
SELECT: Final = _op("select", "**i", VOID, "p")
I32_LOAD: Final = _op("i32_load", "*", I32, "r")
I64_LOAD: Final = _op("i64_load", "*", I64, "r")
F32_LOAD: Final = _op("f32_load", "*", F32, "r")
F64_LOAD: Final = _op("f64_load", "*", F64, "r")
I32_LOAD8_S: Final = _op("i32_load8_s", "*", I32, "r")
I32_LOAD8_U: Final = _op("i32_load8_u", "*", I32, "r")
I32_LOAD16_S: Final = _op("i32_load16_s", "*", I32, "r")
I32_LOAD16_U: Final = _op("i32_load16_u", "*", I32, "r")
I64_LOAD8_S: Final = _op("i64_load8_s", "*", I64, "r")
I64_LOAD8_U: Final = _op("i64_load8_u", "*", I64, "r")
I64_LOAD16_S: Final = _op("i64_load16_s", "*", I64, "r")
I64_LOAD16_U: Final = _op("i64_load16_u", "*", I64, "r")
I64_LOAD32_S: Final = _op("i64_load32_s", "*", I64, "r")
I64_LOAD32_U: Final = _op("i64_load32_u", "*", I64, "r")
I32_STORE: Final = _op("i32_store", "*", VOID, "w")
I64_STORE: Final = _op("i64_store", "*", VOID, "w")
F32_STORE: Final = _op("f32_store", "*", VOID, "w")
F64_STORE: Final = _op("f64_store", "*", VOID, "w")
I32_STORE8: Final = _op("i32_store8", "*", VOID, "w")
I32_STORE16: Final = _op("i32_store16", "*", VOID, "w")
I64_STORE8: Final = _op("i64_store8", "*", VOID, "w")
I64_STORE16: Final = _op("i64_store16", "*", VOID, "w")
I64_STORE32: Final = _op("i64_store32", "*", VOID, "w")
CONTEXT: Final = _op("context", "", I64, "p")
FRAME_AREA: Final = _op("frame_area", "", I64, "p")
CALL: Final = _op("call", "*", VOID, "k")
CALL_PTR: Final = _op("call_ptr", "*", VOID, "k")
CALL_BUILTIN: Final = _op("call_builtin", "*", VOID, "k")
CALL_C: Final = _op("call_c", "*", VOID, "k")
ENTER_WASM: Final = _op("enter_wasm", "*", VOID, "k")
CALL_NATIVE: Final = _op("call_native", "*", VOID, "k")
RESULT: Final = _op("result", "*", VOID, "")
TRAPIF: Final = _op("trapif", "i", VOID, "t")
POLL: Final = _op("poll", "", VOID, "k")
FUEL: Final = _op("fuel", "", VOID, "k")
JUMP: Final = _op("jump", "", VOID, "z")
BRIF: Final = _op("brif", "i", VOID, "z")
BRTABLE: Final = _op("brtable", "i", VOID, "z")
RETURN: Final = _op("return", "*", VOID, "z")
TRAP: Final = _op("trap", "", VOID, "z")
UNWIND: Final = _op("unwind", "", VOID, "z")
TAIL_PTR: Final = _op("tail_ptr", "*", VOID, "z")
COUNT: Final = len(NAMES)

# What the rows from `select` on mean:
#   div, rem       unchecked: the builder has emitted the `trapif`s (zero divisor, overflow of div_s) and keeps a -1 divisor away
#                  from rem_s (`select`), so that the machine instruction cannot fault.
#   trunc_f*       unchecked: the builder has emitted the range checks; trunc_sat_* saturate and answer 0 for NaN.
#   select         args [a, b, condition]: a if condition != 0 else b.
#   loads          args [base] or [base, index]; aux = memory_aux(offset, region). base: i64 address. index: i32 (used
#                  zero-extended) or i64. The access is at base + index + offset; offset is 0 <= offset < 2**32.
#   stores         args [value, base] or [value, base, index]; aux as for loads.
#   context        the pinned register as an i64.
#   frame_area     address (i64) of aux bytes in this function's own frame; 16-byte aligned. One per IR value.
#   call           aux = Call. args [instance, *params]. Direct call of function aux.target of the same module, through its cell.
#   call_ptr       args [code, instance, *params]: call the code address with that instance.
#   call_builtin   args [instance, *params], aux.target = its number in `builtins.py`.
#   call_c         args [address, *params]: C convention, on the current (native) stack. Only in stubs of convention "c".
#   enter_wasm     args [code, instance, *params]: switch to the wasm stack and call; every register is lost but the pinned
#                  one. After it the context's trap code tells whether results are valid. Only in stubs of convention "c".
#   call_native    args [address, *params]: switch to the native stack and call with the C convention. At most 4 params, 1 result.
#   result         projection of a call with several results: args [call], aux = 1, 2, ... (result 0 is the call itself). They
#                  stand immediately after the call, in order; results nobody uses may be missing.
#   trapif         traps with code aux when args[0] != 0.
#   poll           compare the stack pointer with the context's limit, slow path out of line; changes no register.
#   fuel           take aux from the context's fuel; when that leaves less than nothing, slow path out of line; changes no register.
#   jump           block.succs[0], block.args[0].
#   brif           args [condition]: succs[0] if != 0 else succs[1].
#   brtable        args [index]: succs[index], the last when out of range. Successors may repeat.
#   return         args = results.
#   trap           unconditional, aux = code.
#   unwind         leave wasm for the innermost entry, the trap code is already recorded in the context.
#   tail_ptr       args [code, instance, *params]: leave this frame and jump there; aux = Call with the same results.


REGION_CONST: Final = 0  # never changes while the instance lives: loads of it are pure
REGION_GLOBAL: Final = 1  # globals
REGION_TABLE: Final = 2  # table records and elements
REGION_RECORD: Final = 3  # memory records (the length)
REGION_NATIVE: Final = 4  # context, frame areas, Python objects: stubs only
REGION_MEMORY: Final = 16  # + memory index: linear memory; an access may fault and is then a trap


def memory_aux(offset: int, region: int) -> int:
    """Pack the aux of a load or store."""
    return region << 40 | offset


def aux_offset(aux: int) -> int:
    """Return the offset of a load or store."""
    return aux & 0xFF_FFFF_FFFF


def aux_region(aux: int) -> int:
    """Return the alias region of a load or store."""
    return aux >> 40
