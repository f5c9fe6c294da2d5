(module $m
  (type (;0;) (func (param i32)))
  (type (;1;) (func (param i32 f32) (result i32)))
  (type (;2;) (func (param i32 i32)))
  (type (;3;) (func))
  (import "env" "log\u{a}\"\u{202e}é" (func $log (;0;) (type 0) (param $what i32)))
  (import "env" "mem" (memory (;0;) 1 2))
  (import "env" "g" (global $g (;0;) (mut i64)))
  (table (;0;) 3 10 funcref)
  (table (;1;) 1 1 externref)
  (global $h (;1;) i32 (i32.const -7))
  (export "main" (func $main))
  (start $quiet)
  (elem (;0;) (table 1) (i32.const 0) externref (ref.null extern))
  (elem (;1;) (i32.const 1) func $main $log)
  (elem $p (;2;) funcref (ref.null func) (ref.func $quiet))
  (elem (;3;) declare func $quiet)
  (func $main (;1;) (type 1) (param $x i32) (param f32) (result i32)
    (local i32 i32) (local $"odd name" f64)
    block $out (result i32)
      loop  ;; label = @2
        i32.const 2
        local.get $x
        br_if $out
        drop
        local.get 2
        if  ;; label = @3
          i32.const 0
          i32.load8_u offset=4
          call $log
        else
          i32.const 1
          i32.const 0
          br_table 0 (;@3;) 1 (;@2;) $out 3
        end
      end
      f32.const 0.1
      drop
      f64.const nan:0x123
      drop
      i32.const 0
      i32.const 1
      i32.const 2
      local.get $x
      select (result i32)
      i32.store align=1
      i32.const 1
      i32.const 2
      i32.const 0
      call_indirect (type 2)
      local.get $x
    end)
  (func $quiet (;2;) (type 3))
  (data (;0;) (i32.const 16) "plain \22quoted\22 \00\ff")
  (data (;1;) "passive"))
