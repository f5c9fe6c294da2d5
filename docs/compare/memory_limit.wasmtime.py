from wasmtime import Instance, Module, Store

WAT = '(module (memory 1) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))'

store = Store()
store.set_limits(memory_size=1 << 20)
instance = Instance(store, Module(store.engine, WAT), [])
grow = instance.exports(store)["grow"]
print(grow(store, 10), grow(store, 10))
