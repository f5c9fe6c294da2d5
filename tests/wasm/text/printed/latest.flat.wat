(module $m
  (rec
    (type $node (;0;) (sub (struct (field $next (mut (ref null $node))) (field i8) (field (mut (ref $leaf))))))
    (type $leaf (;1;) (sub final $node (struct (field $next (mut (ref null $node))) (field i8) (field (mut (ref $leaf))) (field f64)))))
  (type $list (;2;) (array (mut i16)))
  (type $f (;3;) (func (param i32) (result i32)))
  (type (;4;) (func (param i32 i64)))
  (type (;5;) (func))
  (import "env" "t" (table $t (;0;) i64 1 10 (ref null $f)))
  (import "env" "m" (memory $big (;0;) i64 1 2 shared))
  (import "env" "tag" (tag $e (;0;) (type 4) (param i32 i64)))
  (table $u (;1;) 1 (ref $f) (ref.func $main))
  (memory $bytes (;1;) 0 100 (pagesize 1))
  (tag (;1;) (type 5))
  (global $g (;0;) (ref i31) (ref.i31 (i32.add (i32.const 1) (i32.const 2))))
  (export "other" (tag 1))
  (elem $seg (;0;) (ref null $f) (ref.null $f) (ref.func $main))
  (elem (;1;) declare func $main)
  (func $main (;0;) (type $f) (param $x i32) (result i32)
    (local $s (ref null $node)) (local v128)
    block $out (result i32)
      try_table (catch $e 1) (catch_all_ref $out) (catch_ref 1 $out)  ;; label = @2
      end
      local.get $x
      i32.load8_u $bytes offset=2
      br $out
    end
    v128.const i32x4 0x00000000 0x3ff00000 0x00000000 0x80000000
    local.set 2
    local.get 2
    v128.const i32x4 0x00000001 0x00000002 0x00000003 0xffffffff
    i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 31
    local.set 2
    i32.const 0
    local.get 2
    v128.store16_lane $bytes align=1 7
    local.get 2
    i16x8.extract_lane_s 7
    drop
    local.get $s
    struct.new_default $node
    struct.set $node $next
    i32.const 1
    i32.const 2
    array.new_fixed $list 2
    drop
    ref.null $list
    i32.const 0
    ref.null $list
    i32.const 1
    i32.const 2
    array.copy $list $list
    i32.const 0
    i64.const 0
    i32.const 1
    memory.copy $bytes $big
    i32.const 0
    i32.const 0
    i32.const 0
    memory.init $bytes $d
    i32.const 0
    i32.const 0
    i32.const 0
    table.init $u $seg
    block $c (result (ref any))
      local.get $s
      ref.cast (ref null $leaf)
      br_on_cast $c anyref (ref $node)
    end
    drop
    local.get $s
    ref.test (ref struct)
    drop
    local.get $x
    i64.const 1
    return_call_indirect (type $f))
  (func (;1;) (type $f) (param i32) (result i32)
    local.get 0
    i32.eqz
    if (result i32)  ;; label = @1
      i64.const 0
      i32.const 1
      i32.atomic.rmw.add offset=8
    else
      atomic.fence
      i32.const 1
      ref.func $main
      return_call_ref $f
    end)
  (func (;2;) (type 5)
    try $t
      nop
    catch $e
      drop
      drop
    catch_all
      rethrow $t
    end
    try  ;; label = @2
    delegate 0)
  (data $d (;0;) (memory $bytes) (i32.const 3) "\00"))
