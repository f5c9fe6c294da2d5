import asyncio

import figwasp

WAT = """(module
  (import "env" "fetch" (func $fetch (param i32) (result i32)))
  (func (export "total") (param i32 i32) (result i32)
    (i32.add (call $fetch (local.get 0)) (call $fetch (local.get 1)))))"""


async def fetch(number):
    await asyncio.sleep(0.01)
    return number * 10


async def main():
    instance = figwasp.load(figwasp.wat(WAT), {"env": {"fetch": fetch}})
    print(await asyncio.gather(instance.acall.total(1, 2), instance.acall.total(3, 4)))


asyncio.run(main())
