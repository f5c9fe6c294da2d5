"""Rows of the table of IR operations: vectors (spec 4.3.5), with the columns that `ops.py` describes. Floor 2.

One operation for each instruction that computes. Loads and stores of a lane, of a splat and of half a vector are put together from
operations: what reads memory and widens is `v128_load64_zero`, then an extension. In the column `aux` stands what aux holds: the
number of a lane, or the 16 numbers of a shuffle, a byte each, the lowest for lane 0. Lane 0 is in the lowest bits of a vector.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TABLE"]

TABLE: Final = """
# name                              operands result flags aux   meaning
i8x16_shuffle                       vv       v      p     lanes bytes chosen from those of a and, from 16, of b
i8x16_swizzle                       vv       v      p     -     for each byte of b the byte of a with this number, else 0
i8x16_splat                         i        v      p     -     the low 8 bits of a in every lane
i16x8_splat                         i        v      p     -     the low 16 bits of a in every lane
i32x4_splat                         i        v      p     -     a in every lane
i64x2_splat                         l        v      p     -     a in every lane
f32x4_splat                         f        v      p     -     a in every lane
f64x2_splat                         d        v      p     -     a in every lane
i8x16_extract_lane_s                v        i      p     lane  a lane, sign-extended
i8x16_extract_lane_u                v        i      p     lane  a lane, zero-extended
i8x16_replace_lane                  vi       v      p     lane  a with the low 8 bits of b in a lane
i16x8_extract_lane_s                v        i      p     lane  a lane, sign-extended
i16x8_extract_lane_u                v        i      p     lane  a lane, zero-extended
i16x8_replace_lane                  vi       v      p     lane  a with the low 16 bits of b in a lane
i32x4_extract_lane                  v        i      p     lane  a lane
i32x4_replace_lane                  vi       v      p     lane  a with b in a lane
i64x2_extract_lane                  v        l      p     lane  a lane
i64x2_replace_lane                  vl       v      p     lane  a with b in a lane
f32x4_extract_lane                  v        f      p     lane  a lane
f32x4_replace_lane                  vf       v      p     lane  a with b in a lane
f64x2_extract_lane                  v        d      p     lane  a lane
f64x2_replace_lane                  vd       v      p     lane  a with b in a lane
i8x16_eq                            vv       v      pc    -     ieq: in each lane all ones if a = b, else 0
i8x16_ne                            vv       v      pc    -     ine: in each lane all ones if a != b, else 0
i8x16_lt_s                          vv       v      p     -     ilt_s: in each lane all ones if a < b as signed numbers, else 0
i8x16_lt_u                          vv       v      p     -     ilt_u: in each lane all ones if a < b as unsigned numbers, else 0
i8x16_gt_s                          vv       v      p     -     igt_s: in each lane all ones if a > b as signed numbers, else 0
i8x16_gt_u                          vv       v      p     -     igt_u: in each lane all ones if a > b as unsigned numbers, else 0
i8x16_le_s                          vv       v      p     -     ile_s: in each lane all ones if a <= b as signed numbers, else 0
i8x16_le_u                          vv       v      p     -     ile_u: in each lane all ones if a <= b as unsigned numbers, else 0
i8x16_ge_s                          vv       v      p     -     ige_s: in each lane all ones if a >= b as signed numbers, else 0
i8x16_ge_u                          vv       v      p     -     ige_u: in each lane all ones if a >= b as unsigned numbers, else 0
i16x8_eq                            vv       v      pc    -     ieq: in each lane all ones if a = b, else 0
i16x8_ne                            vv       v      pc    -     ine: in each lane all ones if a != b, else 0
i16x8_lt_s                          vv       v      p     -     ilt_s: in each lane all ones if a < b as signed numbers, else 0
i16x8_lt_u                          vv       v      p     -     ilt_u: in each lane all ones if a < b as unsigned numbers, else 0
i16x8_gt_s                          vv       v      p     -     igt_s: in each lane all ones if a > b as signed numbers, else 0
i16x8_gt_u                          vv       v      p     -     igt_u: in each lane all ones if a > b as unsigned numbers, else 0
i16x8_le_s                          vv       v      p     -     ile_s: in each lane all ones if a <= b as signed numbers, else 0
i16x8_le_u                          vv       v      p     -     ile_u: in each lane all ones if a <= b as unsigned numbers, else 0
i16x8_ge_s                          vv       v      p     -     ige_s: in each lane all ones if a >= b as signed numbers, else 0
i16x8_ge_u                          vv       v      p     -     ige_u: in each lane all ones if a >= b as unsigned numbers, else 0
i32x4_eq                            vv       v      pc    -     ieq: in each lane all ones if a = b, else 0
i32x4_ne                            vv       v      pc    -     ine: in each lane all ones if a != b, else 0
i32x4_lt_s                          vv       v      p     -     ilt_s: in each lane all ones if a < b as signed numbers, else 0
i32x4_lt_u                          vv       v      p     -     ilt_u: in each lane all ones if a < b as unsigned numbers, else 0
i32x4_gt_s                          vv       v      p     -     igt_s: in each lane all ones if a > b as signed numbers, else 0
i32x4_gt_u                          vv       v      p     -     igt_u: in each lane all ones if a > b as unsigned numbers, else 0
i32x4_le_s                          vv       v      p     -     ile_s: in each lane all ones if a <= b as signed numbers, else 0
i32x4_le_u                          vv       v      p     -     ile_u: in each lane all ones if a <= b as unsigned numbers, else 0
i32x4_ge_s                          vv       v      p     -     ige_s: in each lane all ones if a >= b as signed numbers, else 0
i32x4_ge_u                          vv       v      p     -     ige_u: in each lane all ones if a >= b as unsigned numbers, else 0
f32x4_eq                            vv       v      pc    -     feq: in each lane all ones if a = b, else 0
f32x4_ne                            vv       v      pc    -     fne: in each lane all ones if a != b, else 0
f32x4_lt                            vv       v      p     -     flt: in each lane all ones if a < b, else 0
f32x4_gt                            vv       v      p     -     fgt: in each lane all ones if a > b, else 0
f32x4_le                            vv       v      p     -     fle: in each lane all ones if a <= b, else 0
f32x4_ge                            vv       v      p     -     fge: in each lane all ones if a >= b, else 0
f64x2_eq                            vv       v      pc    -     feq: in each lane all ones if a = b, else 0
f64x2_ne                            vv       v      pc    -     fne: in each lane all ones if a != b, else 0
f64x2_lt                            vv       v      p     -     flt: in each lane all ones if a < b, else 0
f64x2_gt                            vv       v      p     -     fgt: in each lane all ones if a > b, else 0
f64x2_le                            vv       v      p     -     fle: in each lane all ones if a <= b, else 0
f64x2_ge                            vv       v      p     -     fge: in each lane all ones if a >= b, else 0
v128_not                            v        v      p     -     inot: all bits flipped
v128_and                            vv       v      pc    -     iand: bitwise and
v128_andnot                         vv       v      p     -     iandnot: bitwise and of a with the bits of b flipped
v128_or                             vv       v      pc    -     ior: bitwise or
v128_xor                            vv       v      pc    -     ixor: bitwise exclusive or
v128_bitselect                      vvv      v      p     -     ibitselect: bits of a where the mask has ones, of b elsewhere
v128_any_true                       v        i      p     -     1 if any bit is 1, else 0
f32x4_demote_f64x2_zero             v        v      p     -     demote: in each lane, then two lanes of 0
f64x2_promote_low_f32x4             v        v      p     -     promote: in each lane of the low half
i8x16_abs                           v        v      p     -     iabs: in each lane
i8x16_neg                           v        v      p     -     ineg: in each lane
i8x16_popcnt                        v        v      p     -     ipopcnt: in each lane
i8x16_all_true                      v        i      p     -     1 if no lane is 0, else 0
i8x16_bitmask                       v        i      p     -     the sign bits of the lanes
i8x16_narrow_i16x8_s                vv       v      p     -     the lanes of a, then of b, as signed ones of 8 bits, saturating
i8x16_narrow_i16x8_u                vv       v      p     -     the lanes of a, then of b, as unsigned ones of 8 bits, saturating
f32x4_ceil                          v        v      p     -     fceil: in each lane
f32x4_floor                         v        v      p     -     ffloor: in each lane
f32x4_trunc                         v        v      p     -     ftrunc: in each lane
f32x4_nearest                       v        v      p     -     fnearest: in each lane
i8x16_shl                           vi       v      p     -     ishl: lanes shifted left by b mod 8
i8x16_shr_s                         vi       v      p     -     ishr_s: lanes shifted right by b mod 8, filling with the sign bit
i8x16_shr_u                         vi       v      p     -     ishr_u: lanes shifted right by b mod 8, filling with zeros
i8x16_add                           vv       v      pc    -     iadd: in each lane
i8x16_add_sat_s                     vv       v      pc    -     iadd_sat_s: in each lane, saturating
i8x16_add_sat_u                     vv       v      pc    -     iadd_sat_u: in each lane, saturating
i8x16_sub                           vv       v      p     -     isub: in each lane
i8x16_sub_sat_s                     vv       v      p     -     isub_sat_s: in each lane, saturating
i8x16_sub_sat_u                     vv       v      p     -     isub_sat_u: in each lane, saturating
f64x2_ceil                          v        v      p     -     fceil: in each lane
f64x2_floor                         v        v      p     -     ffloor: in each lane
i8x16_min_s                         vv       v      pc    -     imin_s: in each lane the lesser as signed numbers
i8x16_min_u                         vv       v      pc    -     imin_u: in each lane the lesser as unsigned numbers
i8x16_max_s                         vv       v      pc    -     imax_s: in each lane the greater as signed numbers
i8x16_max_u                         vv       v      pc    -     imax_u: in each lane the greater as unsigned numbers
f64x2_trunc                         v        v      p     -     ftrunc: in each lane
i8x16_avgr_u                        vv       v      pc    -     iavgr_u: in each lane (a + b + 1) // 2
i16x8_extadd_pairwise_i8x16_s       v        v      p     -     sums of neighbours, sign-extended before
i16x8_extadd_pairwise_i8x16_u       v        v      p     -     sums of neighbours, zero-extended before
i32x4_extadd_pairwise_i16x8_s       v        v      p     -     sums of neighbours, sign-extended before
i32x4_extadd_pairwise_i16x8_u       v        v      p     -     sums of neighbours, zero-extended before
i16x8_abs                           v        v      p     -     iabs: in each lane
i16x8_neg                           v        v      p     -     ineg: in each lane
i16x8_q15mulr_sat_s                 vv       v      pc    -     iq15mulrsat_s: in each lane (a * b + 2**14) >> 15, saturating
i16x8_all_true                      v        i      p     -     1 if no lane is 0, else 0
i16x8_bitmask                       v        i      p     -     the sign bits of the lanes
i16x8_narrow_i32x4_s                vv       v      p     -     the lanes of a, then of b, as signed ones of 16 bits, saturating
i16x8_narrow_i32x4_u                vv       v      p     -     the lanes of a, then of b, as unsigned ones of 16 bits, saturating
i16x8_extend_low_i8x16_s            v        v      p     -     the low half of the lanes, sign-extended
i16x8_extend_high_i8x16_s           v        v      p     -     the high half of the lanes, sign-extended
i16x8_extend_low_i8x16_u            v        v      p     -     the low half of the lanes, zero-extended
i16x8_extend_high_i8x16_u           v        v      p     -     the high half of the lanes, zero-extended
i16x8_shl                           vi       v      p     -     ishl: lanes shifted left by b mod 16
i16x8_shr_s                         vi       v      p     -     ishr_s: lanes shifted right by b mod 16, filling with the sign bit
i16x8_shr_u                         vi       v      p     -     ishr_u: lanes shifted right by b mod 16, filling with zeros
i16x8_add                           vv       v      pc    -     iadd: in each lane
i16x8_add_sat_s                     vv       v      pc    -     iadd_sat_s: in each lane, saturating
i16x8_add_sat_u                     vv       v      pc    -     iadd_sat_u: in each lane, saturating
i16x8_sub                           vv       v      p     -     isub: in each lane
i16x8_sub_sat_s                     vv       v      p     -     isub_sat_s: in each lane, saturating
i16x8_sub_sat_u                     vv       v      p     -     isub_sat_u: in each lane, saturating
f64x2_nearest                       v        v      p     -     fnearest: in each lane
i16x8_mul                           vv       v      pc    -     imul: in each lane
i16x8_min_s                         vv       v      pc    -     imin_s: in each lane the lesser as signed numbers
i16x8_min_u                         vv       v      pc    -     imin_u: in each lane the lesser as unsigned numbers
i16x8_max_s                         vv       v      pc    -     imax_s: in each lane the greater as signed numbers
i16x8_max_u                         vv       v      pc    -     imax_u: in each lane the greater as unsigned numbers
i16x8_avgr_u                        vv       v      pc    -     iavgr_u: in each lane (a + b + 1) // 2
i16x8_extmul_low_i8x16_s            vv       v      pc    -     products of the low half of the lanes, sign-extended before
i16x8_extmul_high_i8x16_s           vv       v      pc    -     products of the high half of the lanes, sign-extended before
i16x8_extmul_low_i8x16_u            vv       v      pc    -     products of the low half of the lanes, zero-extended before
i16x8_extmul_high_i8x16_u           vv       v      pc    -     products of the high half of the lanes, zero-extended before
i32x4_abs                           v        v      p     -     iabs: in each lane
i32x4_neg                           v        v      p     -     ineg: in each lane
i32x4_all_true                      v        i      p     -     1 if no lane is 0, else 0
i32x4_bitmask                       v        i      p     -     the sign bits of the lanes
i32x4_extend_low_i16x8_s            v        v      p     -     the low half of the lanes, sign-extended
i32x4_extend_high_i16x8_s           v        v      p     -     the high half of the lanes, sign-extended
i32x4_extend_low_i16x8_u            v        v      p     -     the low half of the lanes, zero-extended
i32x4_extend_high_i16x8_u           v        v      p     -     the high half of the lanes, zero-extended
i32x4_shl                           vi       v      p     -     ishl: lanes shifted left by b mod 32
i32x4_shr_s                         vi       v      p     -     ishr_s: lanes shifted right by b mod 32, filling with the sign bit
i32x4_shr_u                         vi       v      p     -     ishr_u: lanes shifted right by b mod 32, filling with zeros
i32x4_add                           vv       v      pc    -     iadd: in each lane
i32x4_sub                           vv       v      p     -     isub: in each lane
i32x4_mul                           vv       v      pc    -     imul: in each lane
i32x4_min_s                         vv       v      pc    -     imin_s: in each lane the lesser as signed numbers
i32x4_min_u                         vv       v      pc    -     imin_u: in each lane the lesser as unsigned numbers
i32x4_max_s                         vv       v      pc    -     imax_s: in each lane the greater as signed numbers
i32x4_max_u                         vv       v      pc    -     imax_u: in each lane the greater as unsigned numbers
i32x4_dot_i16x8_s                   vv       v      pc    -     sums of two neighbouring products of signed lanes
i32x4_extmul_low_i16x8_s            vv       v      pc    -     products of the low half of the lanes, sign-extended before
i32x4_extmul_high_i16x8_s           vv       v      pc    -     products of the high half of the lanes, sign-extended before
i32x4_extmul_low_i16x8_u            vv       v      pc    -     products of the low half of the lanes, zero-extended before
i32x4_extmul_high_i16x8_u           vv       v      pc    -     products of the high half of the lanes, zero-extended before
i64x2_abs                           v        v      p     -     iabs: in each lane
i64x2_neg                           v        v      p     -     ineg: in each lane
i64x2_all_true                      v        i      p     -     1 if no lane is 0, else 0
i64x2_bitmask                       v        i      p     -     the sign bits of the lanes
i64x2_extend_low_i32x4_s            v        v      p     -     the low half of the lanes, sign-extended
i64x2_extend_high_i32x4_s           v        v      p     -     the high half of the lanes, sign-extended
i64x2_extend_low_i32x4_u            v        v      p     -     the low half of the lanes, zero-extended
i64x2_extend_high_i32x4_u           v        v      p     -     the high half of the lanes, zero-extended
i64x2_shl                           vi       v      p     -     ishl: lanes shifted left by b mod 64
i64x2_shr_s                         vi       v      p     -     ishr_s: lanes shifted right by b mod 64, filling with the sign bit
i64x2_shr_u                         vi       v      p     -     ishr_u: lanes shifted right by b mod 64, filling with zeros
i64x2_add                           vv       v      pc    -     iadd: in each lane
i64x2_sub                           vv       v      p     -     isub: in each lane
i64x2_mul                           vv       v      pc    -     imul: in each lane
i64x2_eq                            vv       v      pc    -     ieq: in each lane all ones if a = b, else 0
i64x2_ne                            vv       v      pc    -     ine: in each lane all ones if a != b, else 0
i64x2_lt_s                          vv       v      p     -     ilt_s: in each lane all ones if a < b as signed numbers, else 0
i64x2_gt_s                          vv       v      p     -     igt_s: in each lane all ones if a > b as signed numbers, else 0
i64x2_le_s                          vv       v      p     -     ile_s: in each lane all ones if a <= b as signed numbers, else 0
i64x2_ge_s                          vv       v      p     -     ige_s: in each lane all ones if a >= b as signed numbers, else 0
i64x2_extmul_low_i32x4_s            vv       v      pc    -     products of the low half of the lanes, sign-extended before
i64x2_extmul_high_i32x4_s           vv       v      pc    -     products of the high half of the lanes, sign-extended before
i64x2_extmul_low_i32x4_u            vv       v      pc    -     products of the low half of the lanes, zero-extended before
i64x2_extmul_high_i32x4_u           vv       v      pc    -     products of the high half of the lanes, zero-extended before
f32x4_abs                           v        v      p     -     fabs: in each lane, the sign bit cleared
f32x4_neg                           v        v      p     -     fneg: in each lane, the sign bit flipped
f32x4_sqrt                          v        v      p     -     fsqrt: in each lane
f32x4_add                           vv       v      pc    -     fadd: in each lane
f32x4_sub                           vv       v      p     -     fsub: in each lane
f32x4_mul                           vv       v      pc    -     fmul: in each lane
f32x4_div                           vv       v      p     -     fdiv: in each lane
f32x4_min                           vv       v      p     -     fmin: in each lane, as the scalar operation
f32x4_max                           vv       v      p     -     fmax: in each lane, as the scalar operation
f32x4_pmin                          vv       v      p     -     fpmin: in each lane b if b < a, else a
f32x4_pmax                          vv       v      p     -     fpmax: in each lane b if a < b, else a
f64x2_abs                           v        v      p     -     fabs: in each lane, the sign bit cleared
f64x2_neg                           v        v      p     -     fneg: in each lane, the sign bit flipped
f64x2_sqrt                          v        v      p     -     fsqrt: in each lane
f64x2_add                           vv       v      pc    -     fadd: in each lane
f64x2_sub                           vv       v      p     -     fsub: in each lane
f64x2_mul                           vv       v      pc    -     fmul: in each lane
f64x2_div                           vv       v      p     -     fdiv: in each lane
f64x2_min                           vv       v      p     -     fmin: in each lane, as the scalar operation
f64x2_max                           vv       v      p     -     fmax: in each lane, as the scalar operation
f64x2_pmin                          vv       v      p     -     fpmin: in each lane b if b < a, else a
f64x2_pmax                          vv       v      p     -     fpmax: in each lane b if a < b, else a
i32x4_trunc_sat_f32x4_s             v        v      p     -     trunc_sat_s: in each lane
i32x4_trunc_sat_f32x4_u             v        v      p     -     trunc_sat_u: in each lane
f32x4_convert_i32x4_s               v        v      p     -     convert_s: in each lane
f32x4_convert_i32x4_u               v        v      p     -     convert_u: in each lane
i32x4_trunc_sat_f64x2_s_zero        v        v      p     -     trunc_sat_s: in each lane, then two lanes of 0
i32x4_trunc_sat_f64x2_u_zero        v        v      p     -     trunc_sat_u: in each lane, then two lanes of 0
f64x2_convert_low_i32x4_s           v        v      p     -     convert_s: in each lane of the low half
f64x2_convert_low_i32x4_u           v        v      p     -     convert_u: in each lane of the low half
# relaxed: each machine's choice among the results that the specification allows
i8x16_relaxed_swizzle               vv       v      pm    -     swizzle; numbers from 16 to 127 may choose modulo 16
i32x4_relaxed_trunc_f32x4_s         v        v      pm    -     trunc_sat_s; out of range either bound
i32x4_relaxed_trunc_f32x4_u         v        v      pm    -     trunc_sat_u; out of range either bound
i32x4_relaxed_trunc_f64x2_s_zero    v        v      pm    -     trunc_sat_s, then two lanes of 0; out of range either bound
i32x4_relaxed_trunc_f64x2_u_zero    v        v      pm    -     trunc_sat_u, then two lanes of 0; out of range either bound
f32x4_relaxed_madd                  vvv      v      pm    -     in each lane a * b + c, rounded once or twice
f32x4_relaxed_nmadd                 vvv      v      pm    -     in each lane -(a * b) + c, rounded once or twice
f64x2_relaxed_madd                  vvv      v      pm    -     in each lane a * b + c, rounded once or twice
f64x2_relaxed_nmadd                 vvv      v      pm    -     in each lane -(a * b) + c, rounded once or twice
i8x16_relaxed_laneselect            vvv      v      pm    -     bitselect; upper bits may decide for a mixed lane
i16x8_relaxed_laneselect            vvv      v      pm    -     bitselect; upper bits may decide for a mixed lane
i32x4_relaxed_laneselect            vvv      v      pm    -     bitselect; upper bits may decide for a mixed lane
i64x2_relaxed_laneselect            vvv      v      pm    -     bitselect; upper bits may decide for a mixed lane
f32x4_relaxed_min                   vv       v      pm    -     fmin: in each lane; any operand for a NaN or zeros of both signs
f32x4_relaxed_max                   vv       v      pm    -     fmax: in each lane; any operand for a NaN or zeros of both signs
f64x2_relaxed_min                   vv       v      pm    -     fmin: in each lane; any operand for a NaN or zeros of both signs
f64x2_relaxed_max                   vv       v      pm    -     fmax: in each lane; any operand for a NaN or zeros of both signs
i16x8_relaxed_q15mulr_s             vv       v      pm    -     q15mulr_sat_s; -2**15 by itself may be -2**15
i16x8_relaxed_dot_i8x16_i7x16_s     vv       v      pm    -     sums of two neighbouring products of bytes, signed and of 7 bits
i32x4_relaxed_dot_i8x16_i7x16_add_s vvv      v      pm    -     c + sums of four neighbouring products of such bytes
"""
