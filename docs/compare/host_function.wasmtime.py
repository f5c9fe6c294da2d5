from wasmtime import Func, FuncType, Instance, Module, Store, ValType

WAT = """(module
  (import "env" "log" (func $log (param i32)))
  (func (export "run") (param i32) (call $log (i32.mul (local.get 0) (i32.const 2)))))"""

store = Store()
log = Func(store, FuncType([ValType.i32()], []), print)
instance = Instance(store, Module(store.engine, WAT), [log])
instance.exports(store)["run"](store, 21)
