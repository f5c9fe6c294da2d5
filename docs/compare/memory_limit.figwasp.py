import figwasp

WAT = '(module (memory 1) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))'

engine = figwasp.Engine(max_memory=1 << 20)
instance = figwasp.load(figwasp.wat(WAT), engine=engine)
print(instance.grow(10), instance.grow(10))
