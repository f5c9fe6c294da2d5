"""The modules that the tests of objects use."""

from __future__ import annotations

from typing import Any

SHAPES = """(module
  (type $point (struct (field $x (mut f64)) (field $y (mut i32)) (field $next (mut (ref null $point)))))
  (type $fixed (struct (field $id i32) (field $long i64) (field $vector v128)))
  (type $packed (struct (field $small (mut i8)) (field $short (mut i16))))
  (type $odd (struct (field $type (mut i32)) (field $"not a name" (mut i32))))
  (type $bytes (array (mut i8)))
  (type $shorts (array (mut i16)))
  (type $ints (array (mut i32)))
  (type $longs (array (mut i64)))
  (type $floats (array (mut f32)))
  (type $doubles (array (mut f64)))
  (type $vectors (array (mut v128)))
  (type $constant (array i32))
  (type $row (array (mut anyref)))
  (type $points (array (mut (ref null $point))))
  (type $full (array (mut (ref $point))))
  (type $calls (array (mut funcref)))
  (global $kept (export "kept") (mut anyref) (ref.null any))
  (table $table (export "table") 4 anyref)
  (func (export "point") (param f64 i32) (result (ref $point))
    (struct.new $point (local.get 0) (local.get 1) (ref.null $point)))
  (func (export "fixed") (result (ref $fixed))
    (struct.new $fixed (i32.const 7) (i64.const -1) (v128.const i32x4 1 0 0 0)))
  (func (export "odd") (result (ref $odd)) (struct.new $odd (i32.const 5) (i32.const 6)))
  (func (export "bytes") (param i32) (result (ref $bytes)) (array.new_default $bytes (local.get 0)))
  (func (export "constant") (result (ref $constant)) (array.new_fixed $constant 3 (i32.const 1) (i32.const 2) (i32.const -3)))
  (func (export "x") (param (ref $point)) (result f64) (struct.get $point $x (local.get 0)))
  (func (export "y") (param (ref $point)) (result i32) (struct.get $point $y (local.get 0)))
  (func (export "next") (param (ref $point)) (result (ref null $point)) (struct.get $point $next (local.get 0)))
  (func (export "packed_u") (param (ref $packed)) (result i32) (struct.get_u $packed $small (local.get 0)))
  (func (export "same") (param (ref null $point)) (result (ref null $point)) (local.get 0))
  (func (export "any") (param anyref) (result anyref) (local.get 0))
  (func (export "eq") (param eqref eqref) (result i32) (ref.eq (local.get 0) (local.get 1)))
  (func (export "extern") (param externref) (result externref) (local.get 0))
  (func (export "both") (param externref f64) (result f64 externref) (local.get 1) (local.get 0))
  (func (export "inside") (param externref) (result i32) (ref.test (ref $point) (any.convert_extern (local.get 0))))
  (func (export "outside") (param (ref null $point)) (result externref) (extern.convert_any (local.get 0)))
  (func (export "sum") (param (ref $bytes)) (result i32) (local $i i32) (local $n i32)
    (loop $l (if (i32.lt_u (local.get $i) (array.len (local.get 0))) (then
      (local.set $n (i32.add (local.get $n) (array.get_s $bytes (local.get 0) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l))))
    (local.get $n))
  (func (export "garbage") (param i32) (loop $l
    (drop (array.new_default $doubles (i32.const 100)))
    (drop (struct.new_default $point))
    (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""


def point_of(instance: Any) -> Any:
    """Return an object of an instance, of which nothing else is kept."""
    return instance.point(3, 4)
