import asyncio

from wasmtime import Engine, Func, FuncType, Instance, Module, Store, ValType

WAT = """(module
  (import "env" "fetch" (func $fetch (param i32) (result i32)))
  (func (export "total") (param i32 i32) (result i32)
    (i32.add (call $fetch (local.get 0)) (call $fetch (local.get 1)))))"""


async def fetch(number):
    await asyncio.sleep(0.01)
    return number * 10


async def total(module, *args):
    loop = asyncio.get_running_loop()

    def blocking_fetch(number):
        return asyncio.run_coroutine_threadsafe(fetch(number), loop).result()

    def call():  # in a thread and a store of its own, since it blocks there
        store = Store(module_engine)
        i32 = ValType.i32()
        host = Func(store, FuncType([i32], [i32]), blocking_fetch)
        return Instance(store, module, [host]).exports(store)["total"](store, *args)

    return await loop.run_in_executor(None, call)


async def main():
    module = Module(module_engine, WAT)
    print(await asyncio.gather(total(module, 1, 2), total(module, 3, 4)))


module_engine = Engine()
asyncio.run(main())
