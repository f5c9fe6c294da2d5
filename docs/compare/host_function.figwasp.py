import figwasp

WAT = """(module
  (import "env" "log" (func $log (param i32)))
  (func (export "run") (param i32) (call $log (i32.mul (local.get 0) (i32.const 2)))))"""

instance = figwasp.load(figwasp.wat(WAT), {"env": {"log": print}})
instance.run(21)
