"""The instruction table: one row per instruction (spec 5.4, appendix A.7). Floor 1.

Decoder, encoder, validator, text parser and printer, and the SSA builder are driven by these rows. Columns, of which only `type` has spaces in it:

    name        as in the text format, where `select_t`, `ref.test_null` and `ref.cast_null` are written without what follows "_"
    code        the opcode in hex, or prefix:sub-opcode
    immediates  a kind of `immediates.py`; `memarg:n` adds the log2 of the natural alignment, `lane:n` that of the number of lanes
    type        operands -> results when they are fixed ("addr" is the address type of the memory or table), "*" when they
                depend on context
    proposal    the name in `features.py`, or mvp
    ir          the IR operation that does it, "-" where the builder has a method of its own

The rows of vectors and of atomic accesses stand in `opcodes_vector.py` and `opcodes_atomic.py`.

A prefixed opcode is one int, `pack(prefix, sub)`: 0xFC08 for fc:08, with the bits of a sub-opcode above the eighth moved over the prefix.
"""

from __future__ import annotations

from figwasp.features import PROPOSALS, off
from figwasp.wasm.syntax import opcodes_atomic, opcodes_vector
from figwasp.wasm.syntax.immediates import KIND_NAMES, KINDS
from figwasp.wasm.syntax.types import TYPE_CODES, Types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["ADDRESS", "BY_CODE", "BY_NAME", "BY_PREFIX", "ROWS", "SINGLE", "Opcode", "illegal", "pack", "show", "subcode"]

ADDRESS: Final = 0
"""Among the operand and result types of a row: the address type of the memory or table that the immediates name."""

_TABLE: Final = """
# name                  code    immediates      type                proposal                ir
# control (spec 5.4.1)
unreachable             00      none            *                   mvp                     -
nop                     01      none            ->                  mvp                     -
block                   02      block           *                   mvp                     -
loop                    03      block           *                   mvp                     -
if                      04      block           *                   mvp                     -
else                    05      none            *                   mvp                     -
end                     0b      none            *                   mvp                     -
br                      0c      label           *                   mvp                     -
br_if                   0d      label           *                   mvp                     -
br_table                0e      labels          *                   mvp                     -
return                  0f      none            *                   mvp                     -
call                    10      func            *                   mvp                     -
call_indirect           11      type_table      *                   mvp                     -
return_call             12      func            *                   tail-calls              -
return_call_indirect    13      type_table      *                   tail-calls              -
call_ref                14      type            *                   function-references     -
return_call_ref         15      type            *                   function-references     -
throw                   08      tag             *                     exceptions            -
throw_ref               0a      none            *                     exceptions            -
try_table               1f      try_table       *                     exceptions            -
br_on_null              d5      label           *                   function-references     -
br_on_non_null          d6      label           *                   function-references     -
br_on_cast              fb:18   cast            *                   gc                      -
br_on_cast_fail         fb:19   cast            *                   gc                      -
# legacy exception handling, of before Wasm 3.0
try                     06      block           *                     legacy-exceptions     -
catch                   07      tag             *                     legacy-exceptions     -
rethrow                 09      label           *                     legacy-exceptions     -
delegate                18      label           *                     legacy-exceptions     -
catch_all               19      none            *                     legacy-exceptions     -
# references (5.4.2)
ref.null                d0      heaptype        *                   reference-types         -
ref.is_null             d1      none            *                   reference-types         -
ref.func                d2      func            *                   reference-types         -
ref.eq                  d3      none            eqref eqref -> i32  gc                      -
ref.as_non_null         d4      none            *                   function-references     -
ref.test                fb:14   heaptype        *                   gc                      -
ref.test_null           fb:15   heaptype        *                   gc                      -
ref.cast                fb:16   heaptype        *                   gc                      -
ref.cast_null           fb:17   heaptype        *                   gc                      -
any.convert_extern      fb:1a   none            *                   gc                      -
extern.convert_any      fb:1b   none            *                   gc                      -
ref.i31                 fb:1c   none            *                   gc                      -
i31.get_s               fb:1d   none            i31ref -> i32       gc                      -
i31.get_u               fb:1e   none            i31ref -> i32       gc                      -
# aggregates (5.4.2)
struct.new              fb:00   type            *                     gc                    -
struct.new_default      fb:01   type            *                     gc                    -
struct.get              fb:02   type_field      *                     gc                    -
struct.get_s            fb:03   type_field      *                     gc                    -
struct.get_u            fb:04   type_field      *                     gc                    -
struct.set              fb:05   type_field      *                     gc                    -
array.new               fb:06   type            *                     gc                    -
array.new_default       fb:07   type            *                     gc                    -
array.new_fixed         fb:08   type_u32        *                     gc                    -
array.new_data          fb:09   type_data       *                     gc                    -
array.new_elem          fb:0a   type_elem       *                     gc                    -
array.get               fb:0b   type            *                     gc                    -
array.get_s             fb:0c   type            *                     gc                    -
array.get_u             fb:0d   type            *                     gc                    -
array.set               fb:0e   type            *                     gc                    -
array.len               fb:0f   none            arrayref -> i32       gc                    -
array.fill              fb:10   type            *                     gc                    -
array.copy              fb:11   type_type       *                     gc                    -
array.init_data         fb:12   type_data       *                     gc                    -
array.init_elem         fb:13   type_elem       *                     gc                    -
# parametric (5.4.3)
drop                    1a      none            *                   mvp                     -
select                  1b      none            *                   mvp                     -
select_t                1c      select_types    *                   reference-types         -
# variables (5.4.4)
local.get               20      local           *                   mvp                     -
local.set               21      local           *                   mvp                     -
local.tee               22      local           *                   mvp                     -
global.get              23      global          *                   mvp                     -
global.set              24      global          *                   mvp                     -
# tables (5.4.5)
table.get               25      table           *                   reference-types         -
table.set               26      table           *                   reference-types         -
table.init              fc:0c   elem_table      addr i32 i32 ->     bulk-memory             -
elem.drop               fc:0d   elem            ->                  bulk-memory             -
table.copy              fc:0e   table_table     *                   bulk-memory             -
table.grow              fc:0f   table           *                   reference-types         -
table.size              fc:10   table           -> addr             reference-types         -
table.fill              fc:11   table           *                   reference-types         -
# memory (5.4.6)
i32.load                28      memarg:2        addr -> i32         mvp                     i32_load
i64.load                29      memarg:3        addr -> i64         mvp                     i64_load
f32.load                2a      memarg:2        addr -> f32         mvp                     f32_load
f64.load                2b      memarg:3        addr -> f64         mvp                     f64_load
i32.load8_s             2c      memarg:0        addr -> i32         mvp                     i32_load8_s
i32.load8_u             2d      memarg:0        addr -> i32         mvp                     i32_load8_u
i32.load16_s            2e      memarg:1        addr -> i32         mvp                     i32_load16_s
i32.load16_u            2f      memarg:1        addr -> i32         mvp                     i32_load16_u
i64.load8_s             30      memarg:0        addr -> i64         mvp                     i64_load8_s
i64.load8_u             31      memarg:0        addr -> i64         mvp                     i64_load8_u
i64.load16_s            32      memarg:1        addr -> i64         mvp                     i64_load16_s
i64.load16_u            33      memarg:1        addr -> i64         mvp                     i64_load16_u
i64.load32_s            34      memarg:2        addr -> i64         mvp                     i64_load32_s
i64.load32_u            35      memarg:2        addr -> i64         mvp                     i64_load32_u
i32.store               36      memarg:2        addr i32 ->         mvp                     i32_store
i64.store               37      memarg:3        addr i64 ->         mvp                     i64_store
f32.store               38      memarg:2        addr f32 ->         mvp                     f32_store
f64.store               39      memarg:3        addr f64 ->         mvp                     f64_store
i32.store8              3a      memarg:0        addr i32 ->         mvp                     i32_store8
i32.store16             3b      memarg:1        addr i32 ->         mvp                     i32_store16
i64.store8              3c      memarg:0        addr i64 ->         mvp                     i64_store8
i64.store16             3d      memarg:1        addr i64 ->         mvp                     i64_store16
i64.store32             3e      memarg:2        addr i64 ->         mvp                     i64_store32
memory.size             3f      memory          -> addr             mvp                     -
memory.grow             40      memory          addr -> addr        mvp                     -
memory.init             fc:08   data_memory     addr i32 i32 ->     bulk-memory             -
data.drop               fc:09   data            ->                  bulk-memory             -
memory.copy             fc:0a   memory_memory   *                   bulk-memory             -
memory.fill             fc:0b   memory          addr i32 addr ->    bulk-memory             -
# numeric (5.4.7)
i32.const               41      i32             -> i32              mvp                     -
i64.const               42      i64             -> i64              mvp                     -
f32.const               43      f32             -> f32              mvp                     -
f64.const               44      f64             -> f64              mvp                     -
i32.eqz                 45      none            i32 -> i32          mvp                     i32_eqz
i32.eq                  46      none            i32 i32 -> i32      mvp                     i32_eq
i32.ne                  47      none            i32 i32 -> i32      mvp                     i32_ne
i32.lt_s                48      none            i32 i32 -> i32      mvp                     i32_lt_s
i32.lt_u                49      none            i32 i32 -> i32      mvp                     i32_lt_u
i32.gt_s                4a      none            i32 i32 -> i32      mvp                     i32_gt_s
i32.gt_u                4b      none            i32 i32 -> i32      mvp                     i32_gt_u
i32.le_s                4c      none            i32 i32 -> i32      mvp                     i32_le_s
i32.le_u                4d      none            i32 i32 -> i32      mvp                     i32_le_u
i32.ge_s                4e      none            i32 i32 -> i32      mvp                     i32_ge_s
i32.ge_u                4f      none            i32 i32 -> i32      mvp                     i32_ge_u
i64.eqz                 50      none            i64 -> i32          mvp                     i64_eqz
i64.eq                  51      none            i64 i64 -> i32      mvp                     i64_eq
i64.ne                  52      none            i64 i64 -> i32      mvp                     i64_ne
i64.lt_s                53      none            i64 i64 -> i32      mvp                     i64_lt_s
i64.lt_u                54      none            i64 i64 -> i32      mvp                     i64_lt_u
i64.gt_s                55      none            i64 i64 -> i32      mvp                     i64_gt_s
i64.gt_u                56      none            i64 i64 -> i32      mvp                     i64_gt_u
i64.le_s                57      none            i64 i64 -> i32      mvp                     i64_le_s
i64.le_u                58      none            i64 i64 -> i32      mvp                     i64_le_u
i64.ge_s                59      none            i64 i64 -> i32      mvp                     i64_ge_s
i64.ge_u                5a      none            i64 i64 -> i32      mvp                     i64_ge_u
f32.eq                  5b      none            f32 f32 -> i32      mvp                     f32_eq
f32.ne                  5c      none            f32 f32 -> i32      mvp                     f32_ne
f32.lt                  5d      none            f32 f32 -> i32      mvp                     f32_lt
f32.gt                  5e      none            f32 f32 -> i32      mvp                     f32_gt
f32.le                  5f      none            f32 f32 -> i32      mvp                     f32_le
f32.ge                  60      none            f32 f32 -> i32      mvp                     f32_ge
f64.eq                  61      none            f64 f64 -> i32      mvp                     f64_eq
f64.ne                  62      none            f64 f64 -> i32      mvp                     f64_ne
f64.lt                  63      none            f64 f64 -> i32      mvp                     f64_lt
f64.gt                  64      none            f64 f64 -> i32      mvp                     f64_gt
f64.le                  65      none            f64 f64 -> i32      mvp                     f64_le
f64.ge                  66      none            f64 f64 -> i32      mvp                     f64_ge
i32.clz                 67      none            i32 -> i32          mvp                     i32_clz
i32.ctz                 68      none            i32 -> i32          mvp                     i32_ctz
i32.popcnt              69      none            i32 -> i32          mvp                     i32_popcnt
i32.add                 6a      none            i32 i32 -> i32      mvp                     i32_add
i32.sub                 6b      none            i32 i32 -> i32      mvp                     i32_sub
i32.mul                 6c      none            i32 i32 -> i32      mvp                     i32_mul
i32.div_s               6d      none            i32 i32 -> i32      mvp                     i32_div_s
i32.div_u               6e      none            i32 i32 -> i32      mvp                     i32_div_u
i32.rem_s               6f      none            i32 i32 -> i32      mvp                     i32_rem_s
i32.rem_u               70      none            i32 i32 -> i32      mvp                     i32_rem_u
i32.and                 71      none            i32 i32 -> i32      mvp                     i32_and
i32.or                  72      none            i32 i32 -> i32      mvp                     i32_or
i32.xor                 73      none            i32 i32 -> i32      mvp                     i32_xor
i32.shl                 74      none            i32 i32 -> i32      mvp                     i32_shl
i32.shr_s               75      none            i32 i32 -> i32      mvp                     i32_shr_s
i32.shr_u               76      none            i32 i32 -> i32      mvp                     i32_shr_u
i32.rotl                77      none            i32 i32 -> i32      mvp                     i32_rotl
i32.rotr                78      none            i32 i32 -> i32      mvp                     i32_rotr
i64.clz                 79      none            i64 -> i64          mvp                     i64_clz
i64.ctz                 7a      none            i64 -> i64          mvp                     i64_ctz
i64.popcnt              7b      none            i64 -> i64          mvp                     i64_popcnt
i64.add                 7c      none            i64 i64 -> i64      mvp                     i64_add
i64.sub                 7d      none            i64 i64 -> i64      mvp                     i64_sub
i64.mul                 7e      none            i64 i64 -> i64      mvp                     i64_mul
i64.div_s               7f      none            i64 i64 -> i64      mvp                     i64_div_s
i64.div_u               80      none            i64 i64 -> i64      mvp                     i64_div_u
i64.rem_s               81      none            i64 i64 -> i64      mvp                     i64_rem_s
i64.rem_u               82      none            i64 i64 -> i64      mvp                     i64_rem_u
i64.and                 83      none            i64 i64 -> i64      mvp                     i64_and
i64.or                  84      none            i64 i64 -> i64      mvp                     i64_or
i64.xor                 85      none            i64 i64 -> i64      mvp                     i64_xor
i64.shl                 86      none            i64 i64 -> i64      mvp                     i64_shl
i64.shr_s               87      none            i64 i64 -> i64      mvp                     i64_shr_s
i64.shr_u               88      none            i64 i64 -> i64      mvp                     i64_shr_u
i64.rotl                89      none            i64 i64 -> i64      mvp                     i64_rotl
i64.rotr                8a      none            i64 i64 -> i64      mvp                     i64_rotr
f32.abs                 8b      none            f32 -> f32          mvp                     f32_abs
f32.neg                 8c      none            f32 -> f32          mvp                     f32_neg
f32.ceil                8d      none            f32 -> f32          mvp                     f32_ceil
f32.floor               8e      none            f32 -> f32          mvp                     f32_floor
f32.trunc               8f      none            f32 -> f32          mvp                     f32_trunc
f32.nearest             90      none            f32 -> f32          mvp                     f32_nearest
f32.sqrt                91      none            f32 -> f32          mvp                     f32_sqrt
f32.add                 92      none            f32 f32 -> f32      mvp                     f32_add
f32.sub                 93      none            f32 f32 -> f32      mvp                     f32_sub
f32.mul                 94      none            f32 f32 -> f32      mvp                     f32_mul
f32.div                 95      none            f32 f32 -> f32      mvp                     f32_div
f32.min                 96      none            f32 f32 -> f32      mvp                     f32_min
f32.max                 97      none            f32 f32 -> f32      mvp                     f32_max
f32.copysign            98      none            f32 f32 -> f32      mvp                     f32_copysign
f64.abs                 99      none            f64 -> f64          mvp                     f64_abs
f64.neg                 9a      none            f64 -> f64          mvp                     f64_neg
f64.ceil                9b      none            f64 -> f64          mvp                     f64_ceil
f64.floor               9c      none            f64 -> f64          mvp                     f64_floor
f64.trunc               9d      none            f64 -> f64          mvp                     f64_trunc
f64.nearest             9e      none            f64 -> f64          mvp                     f64_nearest
f64.sqrt                9f      none            f64 -> f64          mvp                     f64_sqrt
f64.add                 a0      none            f64 f64 -> f64      mvp                     f64_add
f64.sub                 a1      none            f64 f64 -> f64      mvp                     f64_sub
f64.mul                 a2      none            f64 f64 -> f64      mvp                     f64_mul
f64.div                 a3      none            f64 f64 -> f64      mvp                     f64_div
f64.min                 a4      none            f64 f64 -> f64      mvp                     f64_min
f64.max                 a5      none            f64 f64 -> f64      mvp                     f64_max
f64.copysign            a6      none            f64 f64 -> f64      mvp                     f64_copysign
i32.wrap_i64            a7      none            i64 -> i32          mvp                     i32_wrap_i64
i32.trunc_f32_s         a8      none            f32 -> i32          mvp                     i32_trunc_f32_s
i32.trunc_f32_u         a9      none            f32 -> i32          mvp                     i32_trunc_f32_u
i32.trunc_f64_s         aa      none            f64 -> i32          mvp                     i32_trunc_f64_s
i32.trunc_f64_u         ab      none            f64 -> i32          mvp                     i32_trunc_f64_u
i64.extend_i32_s        ac      none            i32 -> i64          mvp                     i64_extend_i32_s
i64.extend_i32_u        ad      none            i32 -> i64          mvp                     i64_extend_i32_u
i64.trunc_f32_s         ae      none            f32 -> i64          mvp                     i64_trunc_f32_s
i64.trunc_f32_u         af      none            f32 -> i64          mvp                     i64_trunc_f32_u
i64.trunc_f64_s         b0      none            f64 -> i64          mvp                     i64_trunc_f64_s
i64.trunc_f64_u         b1      none            f64 -> i64          mvp                     i64_trunc_f64_u
f32.convert_i32_s       b2      none            i32 -> f32          mvp                     f32_convert_i32_s
f32.convert_i32_u       b3      none            i32 -> f32          mvp                     f32_convert_i32_u
f32.convert_i64_s       b4      none            i64 -> f32          mvp                     f32_convert_i64_s
f32.convert_i64_u       b5      none            i64 -> f32          mvp                     f32_convert_i64_u
f32.demote_f64          b6      none            f64 -> f32          mvp                     f32_demote_f64
f64.convert_i32_s       b7      none            i32 -> f64          mvp                     f64_convert_i32_s
f64.convert_i32_u       b8      none            i32 -> f64          mvp                     f64_convert_i32_u
f64.convert_i64_s       b9      none            i64 -> f64          mvp                     f64_convert_i64_s
f64.convert_i64_u       ba      none            i64 -> f64          mvp                     f64_convert_i64_u
f64.promote_f32         bb      none            f32 -> f64          mvp                     f64_promote_f32
i32.reinterpret_f32     bc      none            f32 -> i32          mvp                     i32_reinterpret_f32
i64.reinterpret_f64     bd      none            f64 -> i64          mvp                     i64_reinterpret_f64
f32.reinterpret_i32     be      none            i32 -> f32          mvp                     f32_reinterpret_i32
f64.reinterpret_i64     bf      none            i64 -> f64          mvp                     f64_reinterpret_i64
i32.extend8_s           c0      none            i32 -> i32          sign-extension          i32_extend8_s
i32.extend16_s          c1      none            i32 -> i32          sign-extension          i32_extend16_s
i64.extend8_s           c2      none            i64 -> i64          sign-extension          i64_extend8_s
i64.extend16_s          c3      none            i64 -> i64          sign-extension          i64_extend16_s
i64.extend32_s          c4      none            i64 -> i64          sign-extension          i64_extend32_s
i32.trunc_sat_f32_s     fc:00   none            f32 -> i32          saturating-truncation   i32_trunc_sat_f32_s
i32.trunc_sat_f32_u     fc:01   none            f32 -> i32          saturating-truncation   i32_trunc_sat_f32_u
i32.trunc_sat_f64_s     fc:02   none            f64 -> i32          saturating-truncation   i32_trunc_sat_f64_s
i32.trunc_sat_f64_u     fc:03   none            f64 -> i32          saturating-truncation   i32_trunc_sat_f64_u
i64.trunc_sat_f32_s     fc:04   none            f32 -> i64          saturating-truncation   i64_trunc_sat_f32_s
i64.trunc_sat_f32_u     fc:05   none            f32 -> i64          saturating-truncation   i64_trunc_sat_f32_u
i64.trunc_sat_f64_s     fc:06   none            f64 -> i64          saturating-truncation   i64_trunc_sat_f64_s
i64.trunc_sat_f64_u     fc:07   none            f64 -> i64          saturating-truncation   i64_trunc_sat_f64_u
# wide arithmetic (the proposal of that name)
i64.add128              fc:13   none            i64 i64 i64 i64 -> i64 i64  wide-arithmetic       -
i64.sub128              fc:14   none            i64 i64 i64 i64 -> i64 i64  wide-arithmetic       -
i64.mul_wide_s          fc:15   none            i64 i64 -> i64 i64    wide-arithmetic       -
i64.mul_wide_u          fc:16   none            i64 i64 -> i64 i64    wide-arithmetic       -
"""


_TEXT_NAMES: Final[dict[str, str]] = {"select_t": "select", "ref.test_null": "ref.test", "ref.cast_null": "ref.cast"}


class Opcode:
    """One instruction.

    Attributes:
        name: its name, distinct from all others.
        text: its name in the text format.
        code: the opcode as one int, see `pack`.
        immediates: kind of the immediates, an index into the lists of `immediates.py`.
        align: log2 of the natural alignment of a memory access, or of the number of lanes that a lane index chooses from.
        params: value types popped, ADDRESS among them, or None when they depend on context.
        results: value types pushed, or None likewise.
        proposal: name of the proposal that brought it, or "mvp".
        ir: name of the IR operation, or "-".
    """

    __slots__ = ("align", "code", "immediates", "ir", "name", "params", "proposal", "results", "text")

    def __init__(self, name: str, code: int, immediates: int, align: int, proposal: str, ir: str) -> None:
        self.name = name
        self.text = _TEXT_NAMES.get(name, name)
        self.code = code
        self.immediates = immediates
        self.align = align
        self.params: Types | None = None
        self.results: Types | None = None
        self.proposal = proposal
        self.ir = ir

    def __repr__(self) -> str:
        return f"<{self.name} {show(self.code)} {KIND_NAMES[self.immediates]}>"


def pack(prefix: int, sub: int) -> int:
    """Return the one int that stands for a prefixed opcode."""
    return (sub >> 8) << 16 | prefix << 8 | sub & 0xFF


def subcode(code: int) -> int:
    """Return the sub-opcode of a packed prefixed opcode."""
    return code >> 16 << 8 | code & 0xFF


def show(code: int) -> str:
    """Return an opcode as bytes in hex: "6a", "fc 08"."""
    if code < 0x100:
        return f"{code:02x}"
    return f"{code >> 8 & 0xFF:02x} {subcode(code):02x}"


def illegal(code: int) -> str:
    """Return the message for an opcode that has no row, or whose proposal is off."""
    row = BY_CODE.get(code)
    if row is not None:
        return f"illegal opcode {show(code)}: {off(row.text, row.proposal)}"
    return f"illegal opcode {show(code)}"


def _types(names: list[str]) -> Types:
    return tuple([ADDRESS if name == "addr" else TYPE_CODES[name] for name in names])


def _row(line: str) -> Opcode:
    name, code, immediates, *type_, proposal, ir = line.split()
    kind, _, align = immediates.partition(":")
    prefix, _, sub = code.rpartition(":")
    packed = pack(int(prefix, 16), int(sub, 16)) if prefix else int(sub, 16)
    if proposal != "mvp" and proposal not in PROPOSALS:
        raise ValueError(f"{name}: unknown proposal {proposal}")
    row = Opcode(name, packed, KINDS[kind], int(align or 0), proposal, ir)
    if type_ != ["*"]:
        arrow = type_.index("->")
        row.params = _types(type_[:arrow])
        row.results = _types(type_[arrow + 1 :])
    return row


def _prefixed(prefix: int) -> list[Opcode | None]:
    subs = {subcode(row.code): row for row in ROWS if row.code > 0xFF and row.code >> 8 & 0xFF == prefix}
    return [subs.get(sub) for sub in range(max(subs) + 1)]


_LINES: Final = (_TABLE + opcodes_vector.TABLE + opcodes_atomic.TABLE).split("\n")
ROWS: Final[list[Opcode]] = [_row(line) for line in _LINES if line and not line.startswith("#")]
BY_CODE: Final[dict[int, Opcode]] = {row.code: row for row in ROWS}
BY_NAME: Final[dict[str, Opcode]] = {row.name: row for row in ROWS}
SINGLE: Final[list[Opcode | None]] = [BY_CODE.get(code) for code in range(0x100)]
"""Rows of the one-byte opcodes, by byte."""
BY_PREFIX: Final[dict[int, list[Opcode | None]]] = {prefix: _prefixed(prefix) for prefix in (0xFB, 0xFC, 0xFD, 0xFE)}
"""Byte that a sub-opcode follows -> rows by sub-opcode."""

if len(BY_CODE) != len(ROWS) or len(BY_NAME) != len(ROWS):
    raise ValueError("the instruction table has two rows with one name or one code")
