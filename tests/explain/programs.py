"""Programs for the tests of explain, and decoded modules."""

from __future__ import annotations

from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.parse.module import wat

SUM = """(module
  (memory (export "memory") 1)
  (func $sum (export "total") (param $p i32) (param $end i32) (result i32)
    (local $total i32)
    (loop $next
      (local.set $total (i32.add (local.get $total) (i32.load offset=8 (local.get $p))))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 4))) (local.get $end))))
    (local.get $total)))"""

MIXED = """(module
  (import "env" "log" (func $log (param i32)))
  (type $binary (func (param i64 i64) (result i64)))
  (memory 1 2)
  (table 4 funcref)
  (global $count (mut i64) (i64.const 0))
  (func $quotient (export "divide") (type $binary)
    (global.set $count (i64.add (global.get $count) (i64.const 1)))
    (i64.div_s (local.get 0) (local.get 1)))
  (func $scale (param f64 f32) (result f64)
    (f64.mul (f64.mul (local.get 0) (f64.const 0.1)) (f64.promote_f32 (local.get 1))))
  (func $outside (export "report") (param $n i32)
    (call $log (local.get $n))
    (drop (memory.grow (i32.const 1)))
    (drop (call_indirect (type $binary) (i64.const 1) (i64.const 2) (local.get $n))))
  (func $pick (param i32) (result i32)
    (block (block (block (br_table 0 1 2 (local.get 0))) (return (i32.const 10))) (return (i32.const 20)))
    (i32.const 30))
  (func $keep (param externref) (result externref) (local.get 0)))"""


def module_of(source: str) -> Module:
    """Decode a module from text."""
    return decode(wat(source))
