;; Modules in the whole grammar of Wasm 3.0 and of the proposals after it, each form in some unusual way.
;; Read side by side with another toolchain by test_parse_grammar.py.

(module (func (param (@name "p q") i32) (param $x (@name "y") i64) (param i32 i32) (local (@name "l") f32) (local $k
  i32)))
(module (import "a" "b" (func (@name "imp") (param $x i32))) (import "a" "c" (tag $t (param i32))) (import "a" "d"
  (table $tab i64 1 2 (ref null func))) (import "a" "m" (memory $mem i64 1 2)) (import "a" "g" (global $g (mut (ref
  $f)))) (type $f (func)))
(module (type $s (struct (field $a i8) (field i16 i32) (field $b (mut (ref null $s))))) (type $a (array (mut i8)))
  (type (sub $s (struct (field i8) (field i16 i32) (field (mut (ref null $s)))))))
(module (rec (type $a (sub (func (param (ref $b)) (result (ref null $a))))) (type $b (sub final $a (func (param (ref
  $b)) (result (ref null $a)))))) (rec) (rec (type (func))) (func) (func (param i32)))
(module (type $x (sub (func (param i64)))) (type $y (func)) (rec (type (func (param i32))) (type (struct))) (func $i
  (import "a" "b")) (func) (func (param i32)))
(module (table i64 funcref (elem $f $f)) (table (ref null $t) (elem $f)) (table (ref null func) (elem (ref.func $f)
  (item ref.null func))) (table 1 2 (ref null $t) (ref.func $f)) (table 3 (ref $t) ref.func $f) (table externref
  (elem)) (table (ref func) (elem $f)) (type $t (func)) (func $f) )
(module (memory $a (data "abc")) (memory $b i64 (data "x" "y")) (memory $c i64 1 2 ) (memory $d 1 1 shared) (memory
  (pagesize 1) (data "abc")) (memory i64 0 (pagesize 1)) (memory i64 (pagesize 65536) (data "abc")))
(module (tag $t) (tag (export "e") (export "f") (param i32) (param i64)) (tag $u (type $ty) (param i32 i32)) (type $ty
  (func (param i32) (param i32))) (export "t" (tag $t)))
(module (memory $a 1) (memory $b i64 1) (func (drop (i32.load $b offset=0xffff_ffff_ffff align=2 (i64.const 0))) (drop
  (i32.load 1 (i64.const 0))) (memory.copy $b $a (i64.const 0) (i32.const 0) (i32.const 0)) (memory.copy (i32.const 0)
  (i32.const 0) (i32.const 0)) (memory.fill $b (i64.const 0) (i32.const 0) (i64.const 0)) (drop (memory.size $b))
  (drop (memory.grow 1 (i64.const 0))) (memory.init $b $d (i64.const 0) (i32.const 0) (i32.const 0)) (memory.init $d
  (i32.const 0) (i32.const 0) (i32.const 0)) (memory.init 1 0 (i64.const 0) (i32.const 0) (i32.const 0))) (data $d
  "x") (data (memory $b) (i64.const 0) "q") (data 1 (i64.const 3) "r"))
(module (memory $a 1) (memory $b i64 1) (func (param $v v128) (drop (v128.load8_lane 3 (i32.const 0) (local.get $v)))
  (drop (v128.load8_lane $b 3 (i64.const 0) (local.get $v))) (drop (v128.load8_lane 1 3 (i64.const 0) (local.get $v)))
  (drop (v128.load16_lane 1 offset=4 3 (i64.const 0) (local.get $v))) (drop (v128.load16_lane offset=4 align=1 3
  (i32.const 0) (local.get $v))) (v128.store64_lane align=4 1 (i32.const 0) (local.get $v)) (v128.store32_lane 0
  align=2 1 (i32.const 0) (local.get $v)) i32.const 0 local.get $v v128.store8_lane 7 nop))
(module (func (drop (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 -11 255 -128 0x7f 1_2)) (drop (v128.const i16x8 65535
  -32768 0 0 0 0 0 1)) (drop (v128.const f32x4 nan:0x1 -inf 0x1p-149 1e10)) (drop (v128.const f64x2 -nan 0.1)) (drop
  (v128.const i64x2 0x8000_0000_0000_0000 -1)) (drop (v128.const i32x4 0xffffffff -1 0 1)) (drop (i8x16.shuffle 0 1 2
  3 4 5 6 7 8 9 10 11 12 13 14 0x1f (v128.const i64x2 0 0) (v128.const i64x2 0 0))) (drop (i8x16.extract_lane_s 15
  (v128.const i64x2 0 0))) (drop (f64x2.replace_lane 0x1 (v128.const i64x2 0 0) (f64.const 0)))))
(module (type $s (struct (field $x i8) (field $y (mut i32)))) (type $a (array (mut i8))) (type $r (array (mut
  funcref))) (data $d "x") (elem $e func) (func (param $p (ref $s)) (param $q (ref $a)) (drop (struct.get_s $s $x
  (local.get $p))) (struct.set $s $y (local.get $p) (i32.const 1)) (drop (struct.get 0 1 (local.get 0))) (drop
  (struct.new $s (i32.const 0) (i32.const 0))) (drop (struct.new_default $s)) (drop (array.new_fixed $a 2 (i32.const
  0) (i32.const 0))) (drop (array.new_data $a $d (i32.const 0) (i32.const 0))) (drop (array.new_elem $r $e (i32.const
  0) (i32.const 0))) (array.copy $a $a (local.get $q) (i32.const 0) (local.get $q) (i32.const 0) (i32.const 0))
  (array.init_data $a $d (local.get $q) (i32.const 0) (i32.const 0) (i32.const 0)) (drop (array.len (local.get $q)))
  (drop (ref.test (ref $s) (local.get $p))) (drop (ref.test (ref null $s) (local.get $p))) (drop (ref.cast anyref
  (local.get $p))) (drop (ref.cast (ref null any) (local.get $p))) (drop (ref.cast (ref i31) (local.get $p))) (drop
  (ref.test nullref (local.get $p))) (block $l (result anyref) (drop (br_on_cast $l anyref (ref $s) (local.get $p)))
  (br_on_cast_fail $l (ref null any) (ref null struct) (local.get $p))) drop (drop (ref.null $s)) (drop (ref.null 0))
  (drop (ref.null none)) (drop (ref.null noexn)) (drop (ref.eq (ref.i31 (i32.const 1)) (local.get $p)))))
(module (type $ft (func (param i32) (result i32))) (tag $e (param i32)) (func $f (type $ft) (block $a (result i32)
  (try_table $t (result i32) (catch $e $a) (catch_ref 0 1) (catch_all $a) (catch_all_ref 1) (throw $e (local.get 0))
  (br $t (i32.const 1))))) (func (block $o try_table $x (catch_all $o) try_table (catch_all_ref $x) end end $x)) (func
  (param exnref) (throw_ref (local.get 0))) (func (result i32) (return_call $f (i32.const 1))) (func (result i32)
  (return_call_ref $ft (i32.const 1) (ref.func $f))) (func (result i32) (call_ref $ft (i32.const 1) (ref.func $f)))
  (table $t 1 funcref) (func (result i32) (return_call_indirect $t (param i32) (result i32) (i32.const 0) (i32.const
  0))) (func (drop (call_indirect (param i32) (param) (result) (result i32) (i32.const 0) (i32.const 0)))) (elem
  declare func $f))
(module (func (block $a (block $b) (if $c (block $d (result i32) (i32.const 0)) (then (block $a)) (else (loop $e))))
  (block $a) block block $z end end try_table $q end) (func $g (block (block $n))))
(module (memory 1 1 shared) (memory $n 1 1 shared) (func atomic.fence (drop (i32.atomic.load offset=4 (i32.const 0)))
  (drop (memory.atomic.notify $n (i32.const 0) (i32.const 0))) (drop (i64.atomic.rmw32.cmpxchg_u align=4 (i32.const 0)
  (i64.const 0) (i64.const 0))) (drop (memory.atomic.wait64 1 offset=8 (i32.const 0) (i64.const 0) (i64.const 0)))))
(module (func (drop (drop (i64.add128 (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3)))) (drop (drop
  (i64.mul_wide_s (i64.const 0) (i64.const 1))))))
(module (elem $a funcref (ref.func $f) (item ref.func $f) (ref.null func)) (elem (ref func) (ref.func $f)) (elem
  (table $t) (i32.const 0) (ref null func) (ref.func $f)) (elem (offset (i32.const 0)) $f 0 $f) (elem declare (ref
  null $ty) (ref.null $ty)) (elem $q (table 0) (offset i32.const 0) func $f) (elem (i32.const 0) funcref) (elem
  (table 0) (i32.const 1) func $f) (elem externref) (type $ty (func)) (table $t 10 funcref) (func $f) (elem (i32.add (i32.const
  1) (i32.const 2)) func))
(module (func (drop (select (result) (result i32) (result) (i32.const 1) (i32.const 2) (i32.const 3))) (drop (select
  (result (ref null func)) (ref.null func) (ref.null func) (i32.const 0)))))
(module $"a b\u{e9}" (func $"x y") (global $g i32 (i32.const 0)) (memory $m 1) (table $t 1 funcref) (elem $e func)
  (data $d) (type $t (func)) (tag $g) (func (call $"x y")))
(module (@custom "a" (before first) "x") (@custom "b" (after last)) (@custom "c" "1" "2") (@custom "d" (before code)
  "z") (@custom "e" (after type) "w") (@custom "f" (before tag)) (@custom "i" (after elem)) (func) (memory 1) (@custom
  "g" (before data) "v") (data "q"))
(module (func (param i32) (local i32 i64) local.get 0 (@metadata.code.branch_hint "\01") br_if 0 (block
  (@metadata.code.branch_hint "\00") (br_if 0 (block (result i32) (@metadata.code.branch_hint "\01") (if (local.get 0)
  (then)) (i32.const 1)))) (@metadata.code.branch_hint "\00") (if (i32.const 0) (then) (else)) ) (func $x) (func
  (local i32) i32.const 1 (@metadata.code.branch_hint "\00") if end))
(module (type $t (@name "tt") (func)) (func $f (@name "ff") (type $t)) (table $q (@name "table 1") 1 funcref) (memory
  (@name "mem") 1) (global (@name "glob") i32 (i32.const 0)) (elem (@name "el") func) (data (@name "da") "") (tag
  (@name "ta")) (type (struct (field (@name "fi") i32) (field $a (@name "bb") i32))))
(module (func (block $l (@name "lab") nop) block (@name "lab2") end (if $x (@name "lab3") (i32.const 0) (then)) loop
  $k (@name "lab 4") end))
(module (func (block (type 0)) (block (type $a) (param i32) (result i32)) drop) (type $a (func (param i32) (result
  i32))))
(module (global (import "a" "b") i32) (global (mut (ref null extern)) (ref.null extern)) (global $a (ref i31) (ref.i31
  (i32.const 1))))
(module (func (export "a") (export "b") (import "m" "n") (param $p i32) (result i32)))
(module (func (result f32) f32.const nan:0x7f_ffff) (func (result f64) f64.const -0x1.fffffffffffffp+1023) (func
  (result f32) f32.const 1e-45) (func (result f32) f32.const 0x1.0000_01p0) (func (result f32) f32.const 0x1.000003p0)
  (func (result f64) f64.const 6.02_214e+2_3))
(module (import "a" "f" (func (param (@name "z") i32))) (func (import "a" "g") (param $k i32)) (start 0))
(module definition $d (memory 1))
(module (func $a (if (result i32) (i32.const 0) (then (i32.const 1)) (else (i32.const 2))) drop (loop $x (br_table $x
  0 $x (i32.const 0)))))
(module (type (func (param $x i32) (result i32))) (func (type 0) (param $a i32) (result i32) local.get $a))
(module (func (block (param i32) (param i64) (result f32) (result f64) unreachable) unreachable) (func (type 1)
  unreachable))
(module (func (type 2)) (func (param i32)) (func (block (type 3)) unreachable) (func (param f32) (result f64 f64)
  unreachable) (type (func (param i64))))
