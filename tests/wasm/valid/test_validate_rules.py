"""Rules of Wasm 3.0 and of the proposals after it, one by one: bodies and modules in text, with the message for each invalid one."""

from __future__ import annotations

import pytest

from figwasp.errors import Invalid, Malformed
from figwasp.features import ALL, DEFAULT, PROPOSALS
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.types import type_name
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.valid.module import FuncFacts, validate
from tests.wasm.handmade import one_func

AROUND = """
  (type $v (func)) (type $f (func (param i32) (result i64))) (type $r (func (result (ref $f))))
  (rec (type $open (sub (struct (field $a (mut i32)) (field $b i8) (field $c (mut i16)) (field $d (ref null $open))))))
  (type $sub (sub $open (struct (field (mut i32)) (field i8) (field (mut i16)) (field (ref null $sub)) (field f64))))
  (type $strict (struct (field (ref $v))))
  (type $bytes (array (mut i8))) (type $const (array i8)) (type $wide (array (mut v128)))
  (type $refs (array (mut (ref null $v)))) (type $opens (array (mut (ref $open)))) (type $subs (array (ref $sub)))
  (memory $m 1) (memory $m64 i64 1) (memory $s 1 1 shared)
  (table $t 1 funcref) (table $t64 i64 1 funcref) (table $x 1 externref) (table $tv 1 (ref null $v))
  (table $nn 1 (ref $v) (ref.func $void))
  (global $g (mut i32) (i32.const 0)) (global $gs (ref null $sub) (ref.null $sub)) (global $const i32 (i32.const 0))
  (tag $e) (tag $ei (param i32)) (tag $er (param (ref $sub) i32))
  (elem $elems funcref (ref.func $void) (ref.func $callee)) (elem $exts externref) (elem $typed (ref $v) (ref.func $void))
  (data $data "x")
  (func $void) (func $callee (type $f) i64.const 0) (func $other (result (ref $sub)) unreachable)
"""


def facts_of(body: str, head: str = "") -> FuncFacts:
    """Check a function among the definitions above and return its facts."""
    return validate(decode(wat(f"(module {AROUND} (func $it {head} {body}))"), ALL))[3]


VALID: list[tuple[str, str]] = [
    # References
    ("(local (ref $v)) (local.set 0 (ref.func $void)) (call_ref $v (local.get 0))", ""),
    ("(drop (call_ref $f (i32.const 0) (ref.func $callee)))", ""),
    ("(return_call_ref $f (i32.const 0) (ref.func $callee))", "(result i64)"),
    ("(return_call $other)", "(result (ref null $open))"),
    ("(return_call_indirect $t64 (type $f) (i32.const 0) (i64.const 0))", "(result i64)"),
    ("(drop (ref.as_non_null (ref.null $v)))", ""),
    ("unreachable ref.as_non_null call_ref $v", ""),
    ("unreachable ref.as_non_null ref.is_null drop", ""),
    ("unreachable ref.as_non_null any.convert_extern ref.cast (ref $open) struct.get $open 0 drop", ""),
    ("(block $l (br_on_null $l (ref.null $v)) (call_ref $v))", ""),
    ("(drop (block $l (result (ref $v)) (br_on_non_null $l (ref.null $v)) (ref.func $void)))", ""),
    ("(drop (block $l (result (ref null $v)) (br_on_non_null $l (ref.null $v)) (ref.func $void)))", ""),
    ("(drop (block $l (result i32 (ref $v)) (i32.const 0) (br_on_non_null $l (ref.null $v)) (ref.func $void))) drop", ""),
    ("(drop (select (result (ref null $open)) (global.get $gs) (ref.null none) (i32.const 0)))", ""),
    ("(drop (ref.eq (ref.i31 (i32.const 0)) (ref.null none)))", ""),
    ("(drop (i31.get_u (ref.null i31)))", ""),
    ("(drop (ref.test (ref $sub) (ref.null any))) (drop (ref.cast (ref null $f) (ref.null func)))", ""),
    ("(drop (extern.convert_any (any.convert_extern (ref.null extern))))", ""),
    ("(any.convert_extern (extern.convert_any (struct.new_default $open)))", "(result (ref any))"),
    # Casts that branch
    ("(block $l (result (ref $sub)) (br_on_cast $l (ref null $open) (ref $sub) (global.get $gs)) (unreachable))", "(result (ref $open))"),
    ("(block $l (result (ref null $open)) (br_on_cast_fail $l (ref null $open) (ref $sub) (global.get $gs)))", "(result (ref null $open))"),
    ("(block $l (result (ref $open)) (br_on_cast_fail $l (ref null $open) (ref null $sub) (global.get $gs)) (unreachable))", "(result (ref $open))"),
    # Blocks, branches with subtypes
    ("(block (result (ref null $open)) (global.get $gs))", "(result (ref null $open))"),
    ("(global.get $gs) (block (param (ref null $open)) drop)", ""),
    ("(block $a (result (ref null $open)) (block $b (result structref) (br_table $a $b (global.get $gs) (i32.const 0))) unreachable)", "(result anyref)"),
    ("(global.get $gs) (if (param (ref null $sub)) (result (ref null $open)) (i32.const 0) (then))", "(result anyref)"),
    ("(drop (block $l (result anyref) (br_if $l (global.get $gs) (i32.const 0))))", ""),
    # Locals
    ("(local (ref $v)) (block (local.set 0 (ref.func $void)) (call_ref $v (local.get 0)))", ""),
    ("(local (ref $v)) (local.set 0 (ref.func $void)) (block (loop (call_ref $v (local.get 0))))", ""),
    ("(local (ref $v)) (call_ref $v (local.tee 0 (ref.func $void))) (call_ref $v (local.get 0))", ""),
    ("(local (ref $v) i32) (drop (local.get 1))", ""),
    ("(call_ref $v (local.get 0))", "(param (ref $v))"),
    ("(local (ref $v)) unreachable (local.set 0) (drop (local.get 0))", ""),
    # Exceptions
    ("(block $l (try_table (catch $e $l) (throw $e)))", ""),
    ("(drop (block $l (result i32) (try_table (catch $ei $l)) unreachable))", ""),
    ("(block $l (result i32 exnref) (try_table (catch_ref $ei $l)) unreachable) drop drop", ""),
    ("(block $l (result anyref i32) (try_table (catch $er $l)) unreachable) drop drop", ""),
    ("(block $l (result (ref exn)) (try_table (catch_all_ref $l)) unreachable) throw_ref", ""),
    ("(try_table (catch_all 0) (drop (i32.const 0)))", ""),
    ("(try_table (result i32) (i32.const 0)) drop", ""),
    ("(throw_ref (ref.null noexn)) drop", ""),
    ("(throw $ei (i32.const 0)) drop", ""),
    # Legacy exceptions
    ("try (result i32) (i32.const 0) catch $ei catch $e (i32.const 1) catch_all rethrow 0 end drop", ""),
    ("try try (throw $e) delegate 0 catch $e (block rethrow 1) end", ""),
    ("try (throw $e) delegate 0", ""),
    ("try catch_all end", ""),
    ("try end", ""),
    # Structures and arrays
    ("(drop (struct.new $sub (i32.const 0) (i32.const 0) (i32.const 0) (ref.null none) (f64.const 0)))", ""),
    ("(struct.set $open $c (struct.new_default $sub) (i32.const 0))", ""),
    ("(drop (struct.get_s $open $b (global.get $gs))) (drop (struct.get_u $sub 2 (global.get $gs)))", ""),
    ("(drop (struct.get $sub 3 (global.get $gs)))", ""),
    ("(drop (array.len (array.new_fixed $bytes 2 (i32.const 0) (i32.const 0))))", ""),
    ("(drop (array.get_u $bytes (array.new $bytes (i32.const 0) (i32.const 1)) (i32.const 0)))", ""),
    ("(drop (array.get $wide (array.new_default $wide (i32.const 1)) (i32.const 0)))", ""),
    ("(array.fill $bytes (ref.null $bytes) (i32.const 0) (i32.const 0) (i32.const 0))", ""),
    ("(array.copy $bytes $const (ref.null $bytes) (i32.const 0) (ref.null $const) (i32.const 0) (i32.const 0))", ""),
    ("(array.copy $opens $subs (ref.null $opens) (i32.const 0) (ref.null $subs) (i32.const 0) (i32.const 0))", ""),
    ("(drop (array.new_data $wide $data (i32.const 0) (i32.const 0)))", ""),
    ("(drop (array.new_elem $refs $typed (i32.const 0) (i32.const 0)))", ""),
    ("(array.init_elem $refs $typed (ref.null $refs) (i32.const 0) (i32.const 0) (i32.const 0))", ""),
    ("(array.init_data $bytes $data (ref.null $bytes) (i32.const 0) (i32.const 0) (i32.const 0))", ""),
    ("unreachable array.new_fixed $bytes 9999 drop", ""),
    # Memories and tables with 64-bit addresses
    ("(drop (i32.load $m64 offset=0xffffffffffffffff (i64.const 0)))", ""),
    ("(i64.store8 $m64 (i64.const 0) (i64.const 0))", ""),
    ("(memory.copy $m64 $m64 (i64.const 0) (i64.const 0) (i64.const 0))", ""),
    ("(memory.copy $m $m64 (i32.const 0) (i64.const 0) (i32.const 0))", ""),
    ("(memory.copy $m64 $m (i64.const 0) (i32.const 0) (i32.const 0))", ""),
    ("(memory.fill $m64 (i64.const 0) (i32.const 0) (i64.const 0))", ""),
    ("(memory.init $m64 $data (i64.const 0) (i32.const 0) (i32.const 0))", ""),
    ("(drop (memory.grow $m64 (i64.const 0))) (drop (i64.eqz (memory.size $m64)))", ""),
    ("(table.copy $t $t64 (i32.const 0) (i64.const 0) (i32.const 0))", ""),
    ("(table.copy $t $tv (i32.const 0) (i32.const 0) (i32.const 0))", ""),
    ("(table.init $t64 $elems (i64.const 0) (i32.const 0) (i32.const 0))", ""),
    ("(table.init $nn $typed (i32.const 0) (i32.const 0) (i32.const 0))", ""),
    ("(drop (i64.eqz (table.grow $t64 (ref.null nofunc) (i64.const 1)))) (drop (i64.eqz (table.size $t64)))", ""),
    ("(table.set $tv (i32.const 0) (ref.null nofunc)) (call_indirect $tv (type $v) (i32.const 0))", ""),
    ("(table.fill $t64 (i64.const 0) (table.get $tv (i32.const 0)) (i64.const 0))", ""),
    # Vectors
    ("(drop (i8x16.extract_lane_u 15 (v128.const i64x2 0 0)))", ""),
    ("(drop (v128.load64_lane $m64 align=8 1 (i64.const 0) (v128.const i64x2 0 0)))", ""),
    ("(drop (select (v128.const i64x2 0 0) (v128.const i64x2 0 0) (i32.const 0)))", ""),
    ("(drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 31 (v128.const i64x2 0 0) (v128.const i64x2 0 0)))", ""),
    # Atomics and wide arithmetic
    ("(drop (i32.atomic.rmw16.cmpxchg_u $s (i32.const 0) (i32.const 0) (i32.const 0))) atomic.fence", ""),
    ("(drop (memory.atomic.wait64 $m64 (i64.const 0) (i64.const 0) (i64.const 0)))", ""),
    ("(i64.mul_wide_u (i64.const 1) (i64.const 1)) i64.add drop", ""),
    ("(i64.add128 (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)) i64.add drop", ""),
]  # fmt: skip


@pytest.mark.parametrize(("body", "head"), VALID)
def test_valid(body: str, head: str) -> None:
    facts_of(body, head)


INVALID: list[tuple[str, str, str]] = [
    # References
    ("(call_ref $f (ref.func $callee))", "", "type mismatch: expected [i32], found [] (at call_ref)"),
    ("(call_ref $f (i32.const 0) (ref.func $void))", "", "expected [(ref null 1)], found [i32 (ref 0)] (at call_ref)"),
    ("(call_ref $open (ref.null $open))", "", "type mismatch: type 3 is not a function type"),
    ("(return_call $callee (i32.const 0))", "", "type mismatch: expected [] to return, found [i64] from the callee (at return_call)"),
    ("(return_call_ref $f (i32.const 0) (ref.func $callee))", "(result i32)", "expected [i32] to return, found [i64]"),
    ("(return_call $void) (i32.const 0)", "", "type mismatch: expected [], found [i32] (at end)"),
    ("(ref.as_non_null (i32.const 0)) drop", "", "type mismatch: expected a reference, found i32 (at ref.as_non_null)"),
    ("unreachable ref.as_non_null i32.eqz drop", "", "type mismatch: expected [i32], found [ref] (at i32.eqz)"),
    ("unreachable ref.as_non_null ref.as_non_null i32.const 0 select", "", "select without a type cannot choose"),
    ("(br_on_null 0 (i32.const 0)) drop", "", "expected a reference, found i32 (at br_on_null)"),
    ("(br_on_non_null 0 (ref.null $v))", "", "expected a label that takes a reference, found [] (at br_on_non_null)"),
    ("(drop (block $l (result (ref $sub)) (br_on_non_null $l (ref.null $open)) unreachable))", "", "expected [(ref null 4)], found [(ref null 3)]"),
    ("(drop (ref.eq (ref.null func) (ref.null none)))", "", "expected [eqref eqref], found [funcref nullref] (at ref.eq)"),
    ("(drop (ref.eq (ref.null any) (ref.null none)))", "", "expected [eqref eqref], found [anyref nullref]"),
    ("(drop (i31.get_s (ref.null eq)))", "", "expected [i31ref], found [eqref] (at i31.get_s)"),
    ("(drop (ref.test (ref $sub) (ref.null func)))", "", "expected [anyref], found [funcref] (at ref.test)"),
    ("(drop (ref.cast (ref null $f) (ref.null extern)))", "", "expected [funcref], found [externref] (at ref.cast)"),
    ("(ref.cast (ref null $sub) (ref.null any))", "(result (ref $sub))", "expected [(ref 4)], found [(ref null 4)] (at end)"),
    ("(any.convert_extern (ref.null any)) drop", "", "expected [externref], found [anyref] (at any.convert_extern)"),
    ("(any.convert_extern (ref.null extern))", "(result (ref any))", "expected [(ref any)], found [anyref] (at end)"),
    ("(ref.func $it) drop", "", "undeclared function reference: 3 (at ref.func)"),
    ("(drop (ref.null 99))", "", "unknown type 99 (at ref.null)"),
    ("(drop (select (result (ref null 99)) (unreachable)))", "", "unknown type 99 (at select)"),
    ("(drop (select (global.get $gs) (global.get $gs) (i32.const 0)))", "", "cannot choose (ref null 4) (at select)"),
    ("(block (result (ref 99)) unreachable) drop", "", "unknown type 99 (at block)"),
    ("(block (type $open) unreachable)", "", "type mismatch: type 3 is not a function type, but (sub (struct"),
    ("(call_indirect $x (type $v) (i32.const 0))", "", "expected a table of funcref, found table 1 externref (at call_indirect)"),
    ("(call_indirect $t64 (type $v) (i32.const 0))", "", "expected [i64], found [i32] (at call_indirect)"),
    # Casts that branch
    ("(block $l (result (ref $sub)) (br_on_cast $l (ref $sub) (ref $open) (unreachable)))", "(result anyref)", "(ref 3) does not match (ref 4), which it is cast from (at br_on_cast)"),
    ("(block $l (result (ref $v)) (br_on_cast $l anyref (ref $open) (unreachable)))", "(result anyref)", "the label takes [(ref 0)], the branch brings (ref 3)"),
    ("(block $l (br_on_cast $l anyref (ref $open) (unreachable)) drop)", "", "expected a label that takes a reference, found []"),
    ("(block $l (result (ref $open)) (br_on_cast_fail $l (ref null $open) (ref $sub) (unreachable)))", "(result anyref)", "the branch brings (ref null 3)"),
    ("(block $l (result (ref $sub)) (br_on_cast $l (ref null $open) (ref $sub) (ref.null any)))", "(result anyref)", "expected [(ref null 3)], found [anyref]"),
    # Blocks, branches with subtypes
    ("(block (result (ref $open)) (global.get $gs))", "(result anyref)", "expected [(ref 3)], found [(ref null 4)] (at end)"),
    ("(block $l (result anyref) (br_if $l (global.get $gs) (i32.const 0)))", "(result (ref null $sub))", "expected [(ref null 4)], found [anyref] (at end)"),
    ("(ref.null any) (if (param anyref) (result (ref null $open)) (i32.const 0) (then unreachable)) drop", "", "if without else must give back [anyref]"),
    # Locals
    ("(local (ref $v)) (drop (local.get 0))", "", "uninitialized local 0 (at local.get)"),
    ("(local (ref $v)) (block (local.set 0 (ref.func $void))) (drop (local.get 0))", "", "uninitialized local 0 (at local.get)"),
    ("(local (ref $v)) (if (i32.const 0) (then (local.set 0 (ref.func $void))) (else (drop (local.get 0))))", "", "uninitialized local 0"),
    ("(local (ref $v)) (try_table (local.set 0 (ref.func $void))) (drop (local.get 0))", "", "uninitialized local 0"),
    ("(local (ref $v)) try (local.set 0 (ref.func $void)) catch_all (drop (local.get 0)) end", "", "uninitialized local 0"),
    ("(local i32 i32 (ref $v) (ref $f)) (local.set 2 (ref.func $void)) (drop (local.get 3))", "", "uninitialized local 3"),
    # Exceptions
    ("(throw $ei)", "", "type mismatch: expected [i32], found [] (at throw)"),
    ("(throw 9)", "", "unknown tag 9 (at throw)"),
    ("(throw_ref (ref.null any))", "", "expected [exnref], found [anyref] (at throw_ref)"),
    ("(block $l (try_table (catch $ei $l)))", "", "label 0 takes [], the clause brings [i32] (at try_table)"),
    ("(block $l (result i32) (try_table (catch_ref $ei $l)) unreachable) drop", "", "label 0 takes [i32], the clause brings [i32 (ref exn)]"),
    ("(block $l (result exnref) (try_table (catch_all $l)) unreachable) drop", "", "label 0 takes [exnref], the clause brings []"),
    ("(try_table (catch_all 1))", "", "unknown label 1 (at try_table)"),
    ("(try_table (catch 7 0))", "", "unknown tag 7 (at try_table)"),
    ("(try_table (result i32)) drop", "", "type mismatch: expected [i32], found [] (at end)"),
    # Legacy exceptions
    ("try (result i32) (i32.const 0) catch $e end drop", "", "type mismatch: expected [i32], found [] (at end)"),
    ("try (i32.const 0) catch_all end", "", "type mismatch: expected [], found [i32] (at catch_all)"),
    ("try catch 9 end", "", "unknown tag 9 (at catch)"),
    ("try delegate 1", "", "unknown label 1 (at delegate)"),
    ("try (i32.const 0) delegate 0", "", "type mismatch: expected [], found [i32] (at delegate)"),
    ("try rethrow 0 catch_all end", "", "invalid rethrow label 0: no catch (at rethrow)"),
    ("(block rethrow 0)", "", "invalid rethrow label 0"),
    ("try catch_all (block rethrow 2) end", "", "invalid rethrow label 2"),
    ("rethrow 5", "", "unknown label 5 (at rethrow)"),
    # Structures and arrays
    ("(struct.new $v) drop", "", "type mismatch: type 0 is not a structure, but () -> () (at struct.new)"),
    ("(struct.new $sub (i32.const 0)) drop", "", "expected [i32 i32 i32 (ref null 4) f64], found [i32] (at struct.new)"),
    ("(struct.new_default $strict) drop", "", "type mismatch: (ref 0) has no default value (at struct.new_default)"),
    ("(struct.get $open 9 (global.get $gs)) drop", "", "unknown field 9: type 3 has 4 (at struct.get)"),
    ("(struct.get $open $b (global.get $gs)) drop", "", "type mismatch: field is packed, i8: a packed field needs _s or _u (at struct.get)"),
    ("(struct.get_s $open $a (global.get $gs)) drop", "", "field is unpacked, i32: only packed fields are extended (at struct.get_s)"),
    ("(struct.get $sub 4 (ref.null $open)) drop", "", "expected [(ref null 4)], found [(ref null 3)] (at struct.get)"),
    ("(struct.set $open $b (global.get $gs) (i32.const 0))", "", "immutable field 1 of type 3 (at struct.set)"),
    ("(array.new $open (i32.const 0) (i32.const 0)) drop", "", "type mismatch: type 3 is not an array"),
    ("(array.new_default $opens (i32.const 0)) drop", "", "(ref 3) has no default value (at array.new_default)"),
    ("(array.new_fixed $bytes 2 (i32.const 0)) drop", "", "expected [i32 i32], found [i32] (at array.new_fixed)"),
    ("(array.get $bytes (ref.null $bytes) (i32.const 0)) drop", "", "field is packed, i8"),
    ("(array.get_u $wide (ref.null $wide) (i32.const 0)) drop", "", "field is unpacked, v128"),
    ("(array.set $const (ref.null $const) (i32.const 0) (i32.const 0))", "", "immutable array 7 (at array.set)"),
    ("(array.fill $const (ref.null $const) (i32.const 0) (i32.const 0) (i32.const 0))", "", "immutable array 7 (at array.fill)"),
    ("(array.copy $const $bytes (unreachable))", "", "immutable array 7 (at array.copy)"),
    ("(array.copy $bytes $wide (unreachable))", "", "array types do not match: v128 into i8 (at array.copy)"),
    ("(array.copy $refs $subs (unreachable))", "", "array types do not match: (ref 4) into (ref null 0)"),
    ("(array.new_data $refs $data (unreachable)) drop", "", "array type is not numeric or vector: elements are (ref null 0) (at array.new_data)"),
    ("(array.new_elem $refs $exts (unreachable)) drop", "", "an array of (ref null 0) cannot take externref (at array.new_elem)"),
    ("(array.init_elem $bytes $typed (unreachable))", "", "an array of i8 cannot take (ref 0) (at array.init_elem)"),
    ("(array.init_data $const $data (unreachable))", "", "immutable array 7 (at array.init_data)"),
    ("(array.len (global.get $gs)) drop", "", "expected [arrayref], found [(ref null 4)] (at array.len)"),
    # Memories and tables with 64-bit addresses
    ("(drop (i32.load $m64 (i32.const 0)))", "", "type mismatch: expected [i64], found [i32] (at i32.load)"),
    ("(drop (i32.load $m offset=0x100000000 (i32.const 0)))", "", "offset out of range: 0x100000000 (at i32.load)"),
    ("(memory.copy $m $m64 (i32.const 0) (i64.const 0) (i64.const 0))", "", "expected [i32 i64 i32], found [i32 i64 i64] (at memory.copy)"),
    ("(memory.fill $m64 (i64.const 0) (i32.const 0) (i32.const 0))", "", "expected [i64 i32 i64], found [i64 i32 i32] (at memory.fill)"),
    ("(table.copy $t64 $t (i64.const 0) (i32.const 0) (i64.const 0))", "", "expected [i64 i32 i32], found [i64 i32 i64] (at table.copy)"),
    ("(table.copy $tv $t (i32.const 0) (i32.const 0) (i32.const 0))", "", "a table of (ref null 0) cannot take funcref (at table.copy)"),
    ("(table.init $tv $elems (unreachable))", "", "a table of (ref null 0) cannot take funcref (at table.init)"),
    ("(table.set $nn (i32.const 0) (ref.null $v))", "", "expected [i32 (ref 0)], found [i32 (ref null 0)] (at table.set)"),
    ("(drop (i32.load 9 (i32.const 0)))", "", "unknown memory 9 (at i32.load)"),
    ("(global.set $const (i32.const 0))", "", "immutable global 2 (at global.set)"),
    # Vectors
    ("(drop (i8x16.extract_lane_u 16 (v128.const i64x2 0 0)))", "", "invalid lane index 16: there are 16 (at i8x16.extract_lane_u)"),
    ("(drop (f64x2.replace_lane 2 (v128.const i64x2 0 0) (f64.const 0)))", "", "invalid lane index 2: there are 2"),
    ("(drop (v128.load32_lane 4 (i32.const 0) (v128.const i64x2 0 0)))", "", "invalid lane index 4: there are 4 (at v128.load32_lane)"),
    ("(drop (v128.load8x8_s align=16 (i32.const 0)))", "", "alignment must not be larger than natural: 2**4 > 2**3 (at v128.load8x8_s)"),
    ("(drop (v128.load align=32 (i32.const 0)))", "", "alignment must not be larger than natural: 2**5 > 2**4 (at v128.load)"),
    ("(i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 32 (unreachable)) drop", "", "invalid lane index 32: there are 32"),
    ("(drop (i8x16.splat (i64.const 0)))", "", "expected [i32], found [i64] (at i8x16.splat)"),
    # Atomics and wide arithmetic
    ("(drop (i32.atomic.load align=2 (i32.const 0)))", "", "atomic alignment must be natural: 2**1 is not 2**2 (at i32.atomic.load)"),
    ("(drop (i32.atomic.load8_u align=2 (i32.const 0)))", "", "atomic alignment must be natural: 2**1 is not 2**0"),
    ("(i64.sub128 (i64.const 1) (i64.const 1) (i64.const 1)) drop drop", "", "expected [i64 i64 i64 i64], found [i64 i64 i64] (at i64.sub128)"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "head", "message"), INVALID)
def test_invalid(body: str, head: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        facts_of(body, head)
    assert message in str(caught.value)
    assert " in function 3 (it) at byte offset 0x" in str(caught.value)


MALFORMED = [
    (b"\x02\x40\x19\x0b", "unexpected catch_all"),
    (b"\x06\x40\x19\x07\0\x0b", "unexpected catch"),
    (b"\x06\x40\x19\x18\0", "unexpected delegate"),
    (b"\x02\x40\x18\0", "unexpected delegate"),
    (b"\x06\x40\x05\x0b", "unexpected else"),
    (b"\x18\0", "unexpected delegate"),
]


@pytest.mark.parametrize(("body", "message"), MALFORMED)
def test_malformed_legacy_blocks(body: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        validate(decode(one_func(body), ALL))


# Modules: text, message; none for a valid one

MODULES: list[tuple[str, str | None]] = [
    # Types
    ("(rec (type $a (struct (field (ref $b)))) (type $b (struct (field (ref $a)))))", None),
    ("(type $a (struct (field (ref 1)))) (type $b (struct))", "unknown type 1: type 0"),
    ("(type (sub 1 (struct))) (type (sub (struct)))", "unknown type 1: sub type 0 must follow its supertype"),
    ("(type $a (struct)) (type (sub $a (struct)))", "sub type 1 of type 0, which is final"),
    ("(type $a (sub (struct (field i32)))) (type (sub $a (struct)))", "sub type 1 does not match type 0"),
    ("(type $a (sub (struct (field i32)))) (type (sub $a (struct (field (mut i32)))))", "sub type 1 does not match type 0"),
    ("(type $a (sub (struct (field anyref)))) (type (sub $a (struct (field eqref) (field i8))))", None),
    ("(type $a (sub (struct (field (mut anyref))))) (type (sub $a (struct (field (mut eqref)))))", "sub type 1 does not"),
    ("(type $a (sub (func (param eqref) (result anyref)))) (type (sub $a (func (param anyref) (result eqref))))", None),
    ("(type $a (sub (func (param anyref)))) (type (sub $a (func (param eqref))))", "sub type 1 does not match type 0"),
    ("(type $a (sub (array i8))) (type (sub $a (array i16)))", "sub type 1 does not match type 0"),
    ("(type $a (sub (array i8))) (type (sub $a (struct)))", "sub type 1 does not match type 0"),
    ("(type $s (struct)) (func (type $s))", "type 0 of function 0 is not a function type"),
    ("(type $s (struct)) (tag (type $s))", "type 0 of tag 0 is not a function type"),
    ("(tag (result i32))", "non-empty tag result type [i32]: tag 0"),
    ("(import \"m\" \"t\" (tag (type 4)))", "unknown type 4"),
    ("(func (param (ref 3)))", "unknown type 3"),
    ("(global (ref null 3) (ref.null 3))", "unknown type 3"),
    ("(table 0 (ref null 3))", "unknown type 3: table 0"),
    ("(elem (ref null 3))", "unknown type 3: element segment 0"),
    # Equality of types across groups
    ("(type $a (func)) (type $b (func)) (func $f (type $a)) (elem declare func $f) (func (call_ref $b (ref.func $f)))", None),
    ("(rec (type $a (func)) (type (struct))) (rec (type $b (func)) (type (struct))) (func $f (type $a)) (elem declare func $f) (func (call_ref $b (ref.func $f)))", None),
    ("(rec (type $a (func)) (type (struct))) (type $b (func)) (func $f (type $a)) (elem declare func $f) (func (call_ref $b (ref.func $f)))", "expected [(ref null 2)], found [(ref 0)]"),
    ("(rec (type $a (func)) (type $b (func))) (func $f (type $a)) (elem declare func $f) (func (call_ref $b (ref.func $f)))", "expected [(ref null 1)]"),
    # Tables and memories
    ("(table 1 (ref func))", "type mismatch: table 0 of (ref func) needs an initial value"),
    ("(import \"m\" \"t\" (table 1 (ref func)))", None),
    ("(table 1 (ref func) (ref.null func))", "type mismatch: expected [(ref func)], found [funcref]: table 0"),
    ("(global $g funcref (ref.null func)) (table 1 funcref (global.get $g))", "unknown global 0, which has no value yet"),
    ("(import \"m\" \"g\" (global $g funcref)) (table 1 funcref (global.get $g))", None),
    ("(table i64 0xffffffffffffffff funcref)", None),
    ("(table i64 2 1 funcref)", "size minimum must not be greater than maximum: table 0, 2 1"),
    ("(memory i64 0x1000000000000)", None),
    ("(memory i64 0x1000000000001)", "memory size must be at most 281474976710656 pages: memory 0"),
    ("(memory 0xffffffff (pagesize 1))", None),
    ("(memory 0x100000000 (pagesize 1))", "memory size must be at most 4294967295 pages"),
    ("(memory i64 0xffffffffffffffff (pagesize 1))", None),
    ("(memory 0 (pagesize 2))", "invalid custom page size 2^1, must be 1 or 65536: memory 0"),
    ("(memory 1 shared)", "shared memory must have maximum: memory 0"),
    ("(memory 1) (memory 1) (export \"m\" (memory 2))", "unknown memory 2: export 'm'"),
    # Constant expressions
    ("(global $a i32 (i32.const 1)) (global i32 (i32.add (global.get $a) (i32.mul (i32.const 2) (i32.const 3))))", None),
    ("(global i64 (i64.sub (i64.const 1) (i32.const 3)))", "expected [i64 i64], found [i64 i32] (at i64.sub): global 0"),
    ("(global $a (mut i32) (i32.const 1)) (global i32 (global.get $a))", "constant expression required: global 0 is mutable"),
    ("(global i32 (i32.div_s (i32.const 1) (i32.const 1)))", "constant expression required (at i32.div_s): global 0"),
    ("(global v128 (v128.const i64x2 0 0)) (global i31ref (ref.i31 (i32.const 0)))", None),
    ("(global (ref i31) (ref.i31 (i64.const 0)))", "expected [i32], found [i64] (at ref.i31): global 0"),
    ("(type $s (struct (field i32))) (global (ref $s) (struct.new $s (i32.const 0))) (global anyref (struct.new_default $s))", None),
    ("(type $s (struct (field i32))) (global (ref $s) (struct.new $s))", "expected [i32], found [] (at struct.new): global 0"),
    ("(type $a (array i8)) (global (ref $a) (array.new_fixed $a 2 (i32.const 0) (i32.const 1))) (global eqref (array.new $a (i32.const 0) (i32.const 9))) (global arrayref (array.new_default $a (i32.const 9)))", None),
    ("(type $a (array i8)) (data) (global (ref $a) (array.new_data $a 0 (i32.const 0) (i32.const 0)))", "constant expression required (at array.new_data)"),
    ("(global externref (extern.convert_any (ref.i31 (i32.const 0)))) (global anyref (any.convert_extern (global.get 0)))", None),
    ("(type $s (struct)) (global funcref (struct.new $s))", "type mismatch: expected [funcref], found [(ref 0)]: global 0"),
    ("(global i32 (i32.const 0)) (memory 1) (data (offset (global.get 0)) \"\") (table 1 funcref) (elem (offset (global.get 0)) func)", None),
    ("(memory i64 1) (data (i32.const 0) \"\")", "expected [i64], found [i32]: data segment 0"),
    ("(table i64 1 funcref) (elem (i32.const 0) func)", "expected [i64], found [i32]: element segment 0"),
    # Segments
    ("(table 1 (ref null func)) (elem (table 0) (i32.const 0) (ref func) (ref.func 0)) (func)", None),
    ("(type $v (func)) (table 1 (ref null $v)) (elem (table 0) (i32.const 0) funcref (ref.null func))", "element segment 0 of funcref for table 1"),
    ("(elem (ref func) (ref.null func))", "type mismatch: expected [(ref func)], found [funcref]: element segment 0"),
    # Exports
    ("(tag $e) (export \"e\" (tag $e)) (export \"f\" (tag 1))", "unknown tag 1: export 'f'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MODULES)
def test_modules(text: str, message: str | None) -> None:
    module = decode(wat(f"(module {text})"), ALL)
    if message is None:
        validate(module)
        return
    with pytest.raises(Invalid) as caught:
        validate(module)
    assert message in str(caught.value)


# What is known of references


@pytest.mark.parametrize(
    ("body", "head", "types"),
    [
        ("(drop (ref.test (ref eq) (local.get 0)))", "(param anyref)", []),
        ("(drop (ref.test (ref i31) (local.get 0)))", "(param eqref)", ["eqref"]),
        ("(drop (ref.cast nullref (local.get 0)))", "(param (ref any))", ["(ref any)"]),
        ("(drop (ref.cast (ref $v) (local.get 0))) (drop (ref.test nullfuncref (local.get 1)))", "(param funcref (ref func))", ["(ref func)"]),
        ("(call_ref $v (local.get 0))", "(param (ref null $v))", []),
        ("(call_ref $v (ref.as_non_null (local.get 0)))", "(param (ref null $v))", ["(ref 0)"]),
        ("(return_call_ref $v (ref.func $void))", "", ["(ref 0)"]),
        ("(return) (drop (ref.test (ref i31) (ref.null eq))) (call_ref $v (ref.func $void))", "", []),
    ],
)
def test_static_types_of_operands(body: str, head: str, types: list[str]) -> None:
    assert [type_name(code) for code in facts_of(body, head).operands.values()] == types


# Proposals that are off: text, proposal

OFF = [
    ("(func (drop (v128.const i64x2 0 0)))", "simd"),
    ("(func (param v128))", "simd"),
    ("(func (local v128))", "simd"),
    ("(func (block (result v128) unreachable) drop)", "simd"),
    ("(func (drop (i8x16.relaxed_swizzle (unreachable))))", "relaxed-simd"),
    ("(global i32 (i32.add (i32.const 0) (i32.const 0)))", "extended-const"),
    ("(func (return_call 0))", "tail-calls"),
    ("(type $v (func)) (func (param (ref null $v)))", "function-references"),
    ("(type $v (func)) (func (local (ref null $v)))", "function-references"),
    ("(func (drop (ref.as_non_null (ref.null func))))", "function-references"),
    ("(tag)", "exceptions"),
    ("(func (try_table))", "exceptions"),
    ("(memory 1) (memory 1)", "multi-memory"),
    ("(memory i64 1)", "memory64"),
    ("(table i64 1 funcref)", "memory64"),
    ("(type (struct))", "gc"),
    ("(func (drop (ref.null any)))", "gc"),
    ("(func (param anyref))", "gc"),
    ("(memory 1 1 shared)", "threads"),
    ("(memory 1) (func atomic.fence)", "threads"),
    ("(func (i64.mul_wide_s (unreachable)) drop drop)", "wide-arithmetic"),
    ("(memory 1 (pagesize 1))", "custom-page-sizes"),
    ("(func try end)", "legacy-exceptions"),
]


@pytest.mark.parametrize(("text", "proposal"), OFF)
def test_a_proposal_that_is_off(text: str, proposal: str) -> None:
    data = wat(f"(module {text})")
    validate(decode(data, ALL))
    with pytest.raises((Invalid, Malformed), match=proposal):
        validate(decode(data, ALL.excluding(proposal)))


def test_what_3_0_has_is_on() -> None:
    assert {name for name in PROPOSALS if name in DEFAULT} == {
        "mutable-globals", "sign-extension", "saturating-truncation", "multi-value", "bulk-memory", "reference-types", "simd", "relaxed-simd",
        "extended-const", "tail-calls", "function-references", "exceptions", "multi-memory", "memory64", "gc",
    }  # fmt: skip


# Facts

def test_try_table_enters_what_is_written() -> None:
    data = wat("(module (tag $e) (func (local i32 i32) (block $l (try_table (catch $e $l) (local.set 1 (i32.const 0))))))")
    module = decode(data)
    written = validate(module)[0].written
    assert {module.data[at] if at >= 0 else -1: bits for at, bits in written.items()} == {-1: 2, 0x02: 2, 0x1F: 2}


def test_try_enters_what_is_written() -> None:
    data = wat("(module (func (local i32 i32) try (local.set 1 (i32.const 0)) catch_all (local.set 0 (i32.const 0)) end try delegate 0))")
    module = decode(data, ALL)
    written = validate(module)[0].written
    assert [written[at] for at in sorted(written)] == [3, 3, 0]
