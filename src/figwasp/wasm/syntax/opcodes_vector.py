"""Rows of the instruction table: vectors (spec 5.4.8), with the columns that `opcodes.py` describes. Floor 1."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


__all__ = ["TABLE"]

TABLE: Final = """
# name                              code    immediates    type                    proposal     ir
v128.load                           fd:00   memarg:4      addr -> v128            simd         v128_load
v128.load8x8_s                      fd:01   memarg:3      addr -> v128            simd         -
v128.load8x8_u                      fd:02   memarg:3      addr -> v128            simd         -
v128.load16x4_s                     fd:03   memarg:3      addr -> v128            simd         -
v128.load16x4_u                     fd:04   memarg:3      addr -> v128            simd         -
v128.load32x2_s                     fd:05   memarg:3      addr -> v128            simd         -
v128.load32x2_u                     fd:06   memarg:3      addr -> v128            simd         -
v128.load8_splat                    fd:07   memarg:0      addr -> v128            simd         -
v128.load16_splat                   fd:08   memarg:1      addr -> v128            simd         -
v128.load32_splat                   fd:09   memarg:2      addr -> v128            simd         -
v128.load64_splat                   fd:0a   memarg:3      addr -> v128            simd         -
v128.store                          fd:0b   memarg:4      addr v128 ->            simd         v128_store
v128.const                          fd:0c   v128          -> v128                 simd         -
i8x16.shuffle                       fd:0d   lanes         v128 v128 -> v128       simd         i8x16_shuffle
i8x16.swizzle                       fd:0e   none          v128 v128 -> v128       simd         i8x16_swizzle
i8x16.splat                         fd:0f   none          i32 -> v128             simd         i8x16_splat
i16x8.splat                         fd:10   none          i32 -> v128             simd         i16x8_splat
i32x4.splat                         fd:11   none          i32 -> v128             simd         i32x4_splat
i64x2.splat                         fd:12   none          i64 -> v128             simd         i64x2_splat
f32x4.splat                         fd:13   none          f32 -> v128             simd         f32x4_splat
f64x2.splat                         fd:14   none          f64 -> v128             simd         f64x2_splat
i8x16.extract_lane_s                fd:15   lane:4        v128 -> i32             simd         i8x16_extract_lane_s
i8x16.extract_lane_u                fd:16   lane:4        v128 -> i32             simd         i8x16_extract_lane_u
i8x16.replace_lane                  fd:17   lane:4        v128 i32 -> v128        simd         i8x16_replace_lane
i16x8.extract_lane_s                fd:18   lane:3        v128 -> i32             simd         i16x8_extract_lane_s
i16x8.extract_lane_u                fd:19   lane:3        v128 -> i32             simd         i16x8_extract_lane_u
i16x8.replace_lane                  fd:1a   lane:3        v128 i32 -> v128        simd         i16x8_replace_lane
i32x4.extract_lane                  fd:1b   lane:2        v128 -> i32             simd         i32x4_extract_lane
i32x4.replace_lane                  fd:1c   lane:2        v128 i32 -> v128        simd         i32x4_replace_lane
i64x2.extract_lane                  fd:1d   lane:1        v128 -> i64             simd         i64x2_extract_lane
i64x2.replace_lane                  fd:1e   lane:1        v128 i64 -> v128        simd         i64x2_replace_lane
f32x4.extract_lane                  fd:1f   lane:2        v128 -> f32             simd         f32x4_extract_lane
f32x4.replace_lane                  fd:20   lane:2        v128 f32 -> v128        simd         f32x4_replace_lane
f64x2.extract_lane                  fd:21   lane:1        v128 -> f64             simd         f64x2_extract_lane
f64x2.replace_lane                  fd:22   lane:1        v128 f64 -> v128        simd         f64x2_replace_lane
i8x16.eq                            fd:23   none          v128 v128 -> v128       simd         i8x16_eq
i8x16.ne                            fd:24   none          v128 v128 -> v128       simd         i8x16_ne
i8x16.lt_s                          fd:25   none          v128 v128 -> v128       simd         i8x16_lt_s
i8x16.lt_u                          fd:26   none          v128 v128 -> v128       simd         i8x16_lt_u
i8x16.gt_s                          fd:27   none          v128 v128 -> v128       simd         i8x16_gt_s
i8x16.gt_u                          fd:28   none          v128 v128 -> v128       simd         i8x16_gt_u
i8x16.le_s                          fd:29   none          v128 v128 -> v128       simd         i8x16_le_s
i8x16.le_u                          fd:2a   none          v128 v128 -> v128       simd         i8x16_le_u
i8x16.ge_s                          fd:2b   none          v128 v128 -> v128       simd         i8x16_ge_s
i8x16.ge_u                          fd:2c   none          v128 v128 -> v128       simd         i8x16_ge_u
i16x8.eq                            fd:2d   none          v128 v128 -> v128       simd         i16x8_eq
i16x8.ne                            fd:2e   none          v128 v128 -> v128       simd         i16x8_ne
i16x8.lt_s                          fd:2f   none          v128 v128 -> v128       simd         i16x8_lt_s
i16x8.lt_u                          fd:30   none          v128 v128 -> v128       simd         i16x8_lt_u
i16x8.gt_s                          fd:31   none          v128 v128 -> v128       simd         i16x8_gt_s
i16x8.gt_u                          fd:32   none          v128 v128 -> v128       simd         i16x8_gt_u
i16x8.le_s                          fd:33   none          v128 v128 -> v128       simd         i16x8_le_s
i16x8.le_u                          fd:34   none          v128 v128 -> v128       simd         i16x8_le_u
i16x8.ge_s                          fd:35   none          v128 v128 -> v128       simd         i16x8_ge_s
i16x8.ge_u                          fd:36   none          v128 v128 -> v128       simd         i16x8_ge_u
i32x4.eq                            fd:37   none          v128 v128 -> v128       simd         i32x4_eq
i32x4.ne                            fd:38   none          v128 v128 -> v128       simd         i32x4_ne
i32x4.lt_s                          fd:39   none          v128 v128 -> v128       simd         i32x4_lt_s
i32x4.lt_u                          fd:3a   none          v128 v128 -> v128       simd         i32x4_lt_u
i32x4.gt_s                          fd:3b   none          v128 v128 -> v128       simd         i32x4_gt_s
i32x4.gt_u                          fd:3c   none          v128 v128 -> v128       simd         i32x4_gt_u
i32x4.le_s                          fd:3d   none          v128 v128 -> v128       simd         i32x4_le_s
i32x4.le_u                          fd:3e   none          v128 v128 -> v128       simd         i32x4_le_u
i32x4.ge_s                          fd:3f   none          v128 v128 -> v128       simd         i32x4_ge_s
i32x4.ge_u                          fd:40   none          v128 v128 -> v128       simd         i32x4_ge_u
f32x4.eq                            fd:41   none          v128 v128 -> v128       simd         f32x4_eq
f32x4.ne                            fd:42   none          v128 v128 -> v128       simd         f32x4_ne
f32x4.lt                            fd:43   none          v128 v128 -> v128       simd         f32x4_lt
f32x4.gt                            fd:44   none          v128 v128 -> v128       simd         f32x4_gt
f32x4.le                            fd:45   none          v128 v128 -> v128       simd         f32x4_le
f32x4.ge                            fd:46   none          v128 v128 -> v128       simd         f32x4_ge
f64x2.eq                            fd:47   none          v128 v128 -> v128       simd         f64x2_eq
f64x2.ne                            fd:48   none          v128 v128 -> v128       simd         f64x2_ne
f64x2.lt                            fd:49   none          v128 v128 -> v128       simd         f64x2_lt
f64x2.gt                            fd:4a   none          v128 v128 -> v128       simd         f64x2_gt
f64x2.le                            fd:4b   none          v128 v128 -> v128       simd         f64x2_le
f64x2.ge                            fd:4c   none          v128 v128 -> v128       simd         f64x2_ge
v128.not                            fd:4d   none          v128 -> v128            simd         v128_not
v128.and                            fd:4e   none          v128 v128 -> v128       simd         v128_and
v128.andnot                         fd:4f   none          v128 v128 -> v128       simd         v128_andnot
v128.or                             fd:50   none          v128 v128 -> v128       simd         v128_or
v128.xor                            fd:51   none          v128 v128 -> v128       simd         v128_xor
v128.bitselect                      fd:52   none          v128 v128 v128 -> v128  simd         v128_bitselect
v128.any_true                       fd:53   none          v128 -> i32             simd         v128_any_true
v128.load8_lane                     fd:54   memarg_lane:0 addr v128 -> v128       simd         -
v128.load16_lane                    fd:55   memarg_lane:1 addr v128 -> v128       simd         -
v128.load32_lane                    fd:56   memarg_lane:2 addr v128 -> v128       simd         -
v128.load64_lane                    fd:57   memarg_lane:3 addr v128 -> v128       simd         -
v128.store8_lane                    fd:58   memarg_lane:0 addr v128 ->            simd         -
v128.store16_lane                   fd:59   memarg_lane:1 addr v128 ->            simd         -
v128.store32_lane                   fd:5a   memarg_lane:2 addr v128 ->            simd         -
v128.store64_lane                   fd:5b   memarg_lane:3 addr v128 ->            simd         -
v128.load32_zero                    fd:5c   memarg:2      addr -> v128            simd         v128_load32_zero
v128.load64_zero                    fd:5d   memarg:3      addr -> v128            simd         v128_load64_zero
f32x4.demote_f64x2_zero             fd:5e   none          v128 -> v128            simd         f32x4_demote_f64x2_zero
f64x2.promote_low_f32x4             fd:5f   none          v128 -> v128            simd         f64x2_promote_low_f32x4
i8x16.abs                           fd:60   none          v128 -> v128            simd         i8x16_abs
i8x16.neg                           fd:61   none          v128 -> v128            simd         i8x16_neg
i8x16.popcnt                        fd:62   none          v128 -> v128            simd         i8x16_popcnt
i8x16.all_true                      fd:63   none          v128 -> i32             simd         i8x16_all_true
i8x16.bitmask                       fd:64   none          v128 -> i32             simd         i8x16_bitmask
i8x16.narrow_i16x8_s                fd:65   none          v128 v128 -> v128       simd         i8x16_narrow_i16x8_s
i8x16.narrow_i16x8_u                fd:66   none          v128 v128 -> v128       simd         i8x16_narrow_i16x8_u
f32x4.ceil                          fd:67   none          v128 -> v128            simd         f32x4_ceil
f32x4.floor                         fd:68   none          v128 -> v128            simd         f32x4_floor
f32x4.trunc                         fd:69   none          v128 -> v128            simd         f32x4_trunc
f32x4.nearest                       fd:6a   none          v128 -> v128            simd         f32x4_nearest
i8x16.shl                           fd:6b   none          v128 i32 -> v128        simd         i8x16_shl
i8x16.shr_s                         fd:6c   none          v128 i32 -> v128        simd         i8x16_shr_s
i8x16.shr_u                         fd:6d   none          v128 i32 -> v128        simd         i8x16_shr_u
i8x16.add                           fd:6e   none          v128 v128 -> v128       simd         i8x16_add
i8x16.add_sat_s                     fd:6f   none          v128 v128 -> v128       simd         i8x16_add_sat_s
i8x16.add_sat_u                     fd:70   none          v128 v128 -> v128       simd         i8x16_add_sat_u
i8x16.sub                           fd:71   none          v128 v128 -> v128       simd         i8x16_sub
i8x16.sub_sat_s                     fd:72   none          v128 v128 -> v128       simd         i8x16_sub_sat_s
i8x16.sub_sat_u                     fd:73   none          v128 v128 -> v128       simd         i8x16_sub_sat_u
f64x2.ceil                          fd:74   none          v128 -> v128            simd         f64x2_ceil
f64x2.floor                         fd:75   none          v128 -> v128            simd         f64x2_floor
i8x16.min_s                         fd:76   none          v128 v128 -> v128       simd         i8x16_min_s
i8x16.min_u                         fd:77   none          v128 v128 -> v128       simd         i8x16_min_u
i8x16.max_s                         fd:78   none          v128 v128 -> v128       simd         i8x16_max_s
i8x16.max_u                         fd:79   none          v128 v128 -> v128       simd         i8x16_max_u
f64x2.trunc                         fd:7a   none          v128 -> v128            simd         f64x2_trunc
i8x16.avgr_u                        fd:7b   none          v128 v128 -> v128       simd         i8x16_avgr_u
i16x8.extadd_pairwise_i8x16_s       fd:7c   none          v128 -> v128            simd         i16x8_extadd_pairwise_i8x16_s
i16x8.extadd_pairwise_i8x16_u       fd:7d   none          v128 -> v128            simd         i16x8_extadd_pairwise_i8x16_u
i32x4.extadd_pairwise_i16x8_s       fd:7e   none          v128 -> v128            simd         i32x4_extadd_pairwise_i16x8_s
i32x4.extadd_pairwise_i16x8_u       fd:7f   none          v128 -> v128            simd         i32x4_extadd_pairwise_i16x8_u
i16x8.abs                           fd:80   none          v128 -> v128            simd         i16x8_abs
i16x8.neg                           fd:81   none          v128 -> v128            simd         i16x8_neg
i16x8.q15mulr_sat_s                 fd:82   none          v128 v128 -> v128       simd         i16x8_q15mulr_sat_s
i16x8.all_true                      fd:83   none          v128 -> i32             simd         i16x8_all_true
i16x8.bitmask                       fd:84   none          v128 -> i32             simd         i16x8_bitmask
i16x8.narrow_i32x4_s                fd:85   none          v128 v128 -> v128       simd         i16x8_narrow_i32x4_s
i16x8.narrow_i32x4_u                fd:86   none          v128 v128 -> v128       simd         i16x8_narrow_i32x4_u
i16x8.extend_low_i8x16_s            fd:87   none          v128 -> v128            simd         i16x8_extend_low_i8x16_s
i16x8.extend_high_i8x16_s           fd:88   none          v128 -> v128            simd         i16x8_extend_high_i8x16_s
i16x8.extend_low_i8x16_u            fd:89   none          v128 -> v128            simd         i16x8_extend_low_i8x16_u
i16x8.extend_high_i8x16_u           fd:8a   none          v128 -> v128            simd         i16x8_extend_high_i8x16_u
i16x8.shl                           fd:8b   none          v128 i32 -> v128        simd         i16x8_shl
i16x8.shr_s                         fd:8c   none          v128 i32 -> v128        simd         i16x8_shr_s
i16x8.shr_u                         fd:8d   none          v128 i32 -> v128        simd         i16x8_shr_u
i16x8.add                           fd:8e   none          v128 v128 -> v128       simd         i16x8_add
i16x8.add_sat_s                     fd:8f   none          v128 v128 -> v128       simd         i16x8_add_sat_s
i16x8.add_sat_u                     fd:90   none          v128 v128 -> v128       simd         i16x8_add_sat_u
i16x8.sub                           fd:91   none          v128 v128 -> v128       simd         i16x8_sub
i16x8.sub_sat_s                     fd:92   none          v128 v128 -> v128       simd         i16x8_sub_sat_s
i16x8.sub_sat_u                     fd:93   none          v128 v128 -> v128       simd         i16x8_sub_sat_u
f64x2.nearest                       fd:94   none          v128 -> v128            simd         f64x2_nearest
i16x8.mul                           fd:95   none          v128 v128 -> v128       simd         i16x8_mul
i16x8.min_s                         fd:96   none          v128 v128 -> v128       simd         i16x8_min_s
i16x8.min_u                         fd:97   none          v128 v128 -> v128       simd         i16x8_min_u
i16x8.max_s                         fd:98   none          v128 v128 -> v128       simd         i16x8_max_s
i16x8.max_u                         fd:99   none          v128 v128 -> v128       simd         i16x8_max_u
i16x8.avgr_u                        fd:9b   none          v128 v128 -> v128       simd         i16x8_avgr_u
i16x8.extmul_low_i8x16_s            fd:9c   none          v128 v128 -> v128       simd         i16x8_extmul_low_i8x16_s
i16x8.extmul_high_i8x16_s           fd:9d   none          v128 v128 -> v128       simd         i16x8_extmul_high_i8x16_s
i16x8.extmul_low_i8x16_u            fd:9e   none          v128 v128 -> v128       simd         i16x8_extmul_low_i8x16_u
i16x8.extmul_high_i8x16_u           fd:9f   none          v128 v128 -> v128       simd         i16x8_extmul_high_i8x16_u
i32x4.abs                           fd:a0   none          v128 -> v128            simd         i32x4_abs
i32x4.neg                           fd:a1   none          v128 -> v128            simd         i32x4_neg
i32x4.all_true                      fd:a3   none          v128 -> i32             simd         i32x4_all_true
i32x4.bitmask                       fd:a4   none          v128 -> i32             simd         i32x4_bitmask
i32x4.extend_low_i16x8_s            fd:a7   none          v128 -> v128            simd         i32x4_extend_low_i16x8_s
i32x4.extend_high_i16x8_s           fd:a8   none          v128 -> v128            simd         i32x4_extend_high_i16x8_s
i32x4.extend_low_i16x8_u            fd:a9   none          v128 -> v128            simd         i32x4_extend_low_i16x8_u
i32x4.extend_high_i16x8_u           fd:aa   none          v128 -> v128            simd         i32x4_extend_high_i16x8_u
i32x4.shl                           fd:ab   none          v128 i32 -> v128        simd         i32x4_shl
i32x4.shr_s                         fd:ac   none          v128 i32 -> v128        simd         i32x4_shr_s
i32x4.shr_u                         fd:ad   none          v128 i32 -> v128        simd         i32x4_shr_u
i32x4.add                           fd:ae   none          v128 v128 -> v128       simd         i32x4_add
i32x4.sub                           fd:b1   none          v128 v128 -> v128       simd         i32x4_sub
i32x4.mul                           fd:b5   none          v128 v128 -> v128       simd         i32x4_mul
i32x4.min_s                         fd:b6   none          v128 v128 -> v128       simd         i32x4_min_s
i32x4.min_u                         fd:b7   none          v128 v128 -> v128       simd         i32x4_min_u
i32x4.max_s                         fd:b8   none          v128 v128 -> v128       simd         i32x4_max_s
i32x4.max_u                         fd:b9   none          v128 v128 -> v128       simd         i32x4_max_u
i32x4.dot_i16x8_s                   fd:ba   none          v128 v128 -> v128       simd         i32x4_dot_i16x8_s
i32x4.extmul_low_i16x8_s            fd:bc   none          v128 v128 -> v128       simd         i32x4_extmul_low_i16x8_s
i32x4.extmul_high_i16x8_s           fd:bd   none          v128 v128 -> v128       simd         i32x4_extmul_high_i16x8_s
i32x4.extmul_low_i16x8_u            fd:be   none          v128 v128 -> v128       simd         i32x4_extmul_low_i16x8_u
i32x4.extmul_high_i16x8_u           fd:bf   none          v128 v128 -> v128       simd         i32x4_extmul_high_i16x8_u
i64x2.abs                           fd:c0   none          v128 -> v128            simd         i64x2_abs
i64x2.neg                           fd:c1   none          v128 -> v128            simd         i64x2_neg
i64x2.all_true                      fd:c3   none          v128 -> i32             simd         i64x2_all_true
i64x2.bitmask                       fd:c4   none          v128 -> i32             simd         i64x2_bitmask
i64x2.extend_low_i32x4_s            fd:c7   none          v128 -> v128            simd         i64x2_extend_low_i32x4_s
i64x2.extend_high_i32x4_s           fd:c8   none          v128 -> v128            simd         i64x2_extend_high_i32x4_s
i64x2.extend_low_i32x4_u            fd:c9   none          v128 -> v128            simd         i64x2_extend_low_i32x4_u
i64x2.extend_high_i32x4_u           fd:ca   none          v128 -> v128            simd         i64x2_extend_high_i32x4_u
i64x2.shl                           fd:cb   none          v128 i32 -> v128        simd         i64x2_shl
i64x2.shr_s                         fd:cc   none          v128 i32 -> v128        simd         i64x2_shr_s
i64x2.shr_u                         fd:cd   none          v128 i32 -> v128        simd         i64x2_shr_u
i64x2.add                           fd:ce   none          v128 v128 -> v128       simd         i64x2_add
i64x2.sub                           fd:d1   none          v128 v128 -> v128       simd         i64x2_sub
i64x2.mul                           fd:d5   none          v128 v128 -> v128       simd         i64x2_mul
i64x2.eq                            fd:d6   none          v128 v128 -> v128       simd         i64x2_eq
i64x2.ne                            fd:d7   none          v128 v128 -> v128       simd         i64x2_ne
i64x2.lt_s                          fd:d8   none          v128 v128 -> v128       simd         i64x2_lt_s
i64x2.gt_s                          fd:d9   none          v128 v128 -> v128       simd         i64x2_gt_s
i64x2.le_s                          fd:da   none          v128 v128 -> v128       simd         i64x2_le_s
i64x2.ge_s                          fd:db   none          v128 v128 -> v128       simd         i64x2_ge_s
i64x2.extmul_low_i32x4_s            fd:dc   none          v128 v128 -> v128       simd         i64x2_extmul_low_i32x4_s
i64x2.extmul_high_i32x4_s           fd:dd   none          v128 v128 -> v128       simd         i64x2_extmul_high_i32x4_s
i64x2.extmul_low_i32x4_u            fd:de   none          v128 v128 -> v128       simd         i64x2_extmul_low_i32x4_u
i64x2.extmul_high_i32x4_u           fd:df   none          v128 v128 -> v128       simd         i64x2_extmul_high_i32x4_u
f32x4.abs                           fd:e0   none          v128 -> v128            simd         f32x4_abs
f32x4.neg                           fd:e1   none          v128 -> v128            simd         f32x4_neg
f32x4.sqrt                          fd:e3   none          v128 -> v128            simd         f32x4_sqrt
f32x4.add                           fd:e4   none          v128 v128 -> v128       simd         f32x4_add
f32x4.sub                           fd:e5   none          v128 v128 -> v128       simd         f32x4_sub
f32x4.mul                           fd:e6   none          v128 v128 -> v128       simd         f32x4_mul
f32x4.div                           fd:e7   none          v128 v128 -> v128       simd         f32x4_div
f32x4.min                           fd:e8   none          v128 v128 -> v128       simd         f32x4_min
f32x4.max                           fd:e9   none          v128 v128 -> v128       simd         f32x4_max
f32x4.pmin                          fd:ea   none          v128 v128 -> v128       simd         f32x4_pmin
f32x4.pmax                          fd:eb   none          v128 v128 -> v128       simd         f32x4_pmax
f64x2.abs                           fd:ec   none          v128 -> v128            simd         f64x2_abs
f64x2.neg                           fd:ed   none          v128 -> v128            simd         f64x2_neg
f64x2.sqrt                          fd:ef   none          v128 -> v128            simd         f64x2_sqrt
f64x2.add                           fd:f0   none          v128 v128 -> v128       simd         f64x2_add
f64x2.sub                           fd:f1   none          v128 v128 -> v128       simd         f64x2_sub
f64x2.mul                           fd:f2   none          v128 v128 -> v128       simd         f64x2_mul
f64x2.div                           fd:f3   none          v128 v128 -> v128       simd         f64x2_div
f64x2.min                           fd:f4   none          v128 v128 -> v128       simd         f64x2_min
f64x2.max                           fd:f5   none          v128 v128 -> v128       simd         f64x2_max
f64x2.pmin                          fd:f6   none          v128 v128 -> v128       simd         f64x2_pmin
f64x2.pmax                          fd:f7   none          v128 v128 -> v128       simd         f64x2_pmax
i32x4.trunc_sat_f32x4_s             fd:f8   none          v128 -> v128            simd         i32x4_trunc_sat_f32x4_s
i32x4.trunc_sat_f32x4_u             fd:f9   none          v128 -> v128            simd         i32x4_trunc_sat_f32x4_u
f32x4.convert_i32x4_s               fd:fa   none          v128 -> v128            simd         f32x4_convert_i32x4_s
f32x4.convert_i32x4_u               fd:fb   none          v128 -> v128            simd         f32x4_convert_i32x4_u
i32x4.trunc_sat_f64x2_s_zero        fd:fc   none          v128 -> v128            simd         i32x4_trunc_sat_f64x2_s_zero
i32x4.trunc_sat_f64x2_u_zero        fd:fd   none          v128 -> v128            simd         i32x4_trunc_sat_f64x2_u_zero
f64x2.convert_low_i32x4_s           fd:fe   none          v128 -> v128            simd         f64x2_convert_low_i32x4_s
f64x2.convert_low_i32x4_u           fd:ff   none          v128 -> v128            simd         f64x2_convert_low_i32x4_u
# relaxed
i8x16.relaxed_swizzle               fd:100  none          v128 v128 -> v128       relaxed-simd i8x16_relaxed_swizzle
i32x4.relaxed_trunc_f32x4_s         fd:101  none          v128 -> v128            relaxed-simd i32x4_relaxed_trunc_f32x4_s
i32x4.relaxed_trunc_f32x4_u         fd:102  none          v128 -> v128            relaxed-simd i32x4_relaxed_trunc_f32x4_u
i32x4.relaxed_trunc_f64x2_s_zero    fd:103  none          v128 -> v128            relaxed-simd i32x4_relaxed_trunc_f64x2_s_zero
i32x4.relaxed_trunc_f64x2_u_zero    fd:104  none          v128 -> v128            relaxed-simd i32x4_relaxed_trunc_f64x2_u_zero
f32x4.relaxed_madd                  fd:105  none          v128 v128 v128 -> v128  relaxed-simd f32x4_relaxed_madd
f32x4.relaxed_nmadd                 fd:106  none          v128 v128 v128 -> v128  relaxed-simd f32x4_relaxed_nmadd
f64x2.relaxed_madd                  fd:107  none          v128 v128 v128 -> v128  relaxed-simd f64x2_relaxed_madd
f64x2.relaxed_nmadd                 fd:108  none          v128 v128 v128 -> v128  relaxed-simd f64x2_relaxed_nmadd
i8x16.relaxed_laneselect            fd:109  none          v128 v128 v128 -> v128  relaxed-simd i8x16_relaxed_laneselect
i16x8.relaxed_laneselect            fd:10a  none          v128 v128 v128 -> v128  relaxed-simd i16x8_relaxed_laneselect
i32x4.relaxed_laneselect            fd:10b  none          v128 v128 v128 -> v128  relaxed-simd i32x4_relaxed_laneselect
i64x2.relaxed_laneselect            fd:10c  none          v128 v128 v128 -> v128  relaxed-simd i64x2_relaxed_laneselect
f32x4.relaxed_min                   fd:10d  none          v128 v128 -> v128       relaxed-simd f32x4_relaxed_min
f32x4.relaxed_max                   fd:10e  none          v128 v128 -> v128       relaxed-simd f32x4_relaxed_max
f64x2.relaxed_min                   fd:10f  none          v128 v128 -> v128       relaxed-simd f64x2_relaxed_min
f64x2.relaxed_max                   fd:110  none          v128 v128 -> v128       relaxed-simd f64x2_relaxed_max
i16x8.relaxed_q15mulr_s             fd:111  none          v128 v128 -> v128       relaxed-simd i16x8_relaxed_q15mulr_s
i16x8.relaxed_dot_i8x16_i7x16_s     fd:112  none          v128 v128 -> v128       relaxed-simd i16x8_relaxed_dot_i8x16_i7x16_s
i32x4.relaxed_dot_i8x16_i7x16_add_s fd:113  none          v128 v128 v128 -> v128  relaxed-simd i32x4_relaxed_dot_i8x16_i7x16_add_s
"""
