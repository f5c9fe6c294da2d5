import tempfile

from wasmtime import Engine, Linker, Module, Store, WasiConfig

WAT = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\0d\\00\\00\\00") (data (i32.const 16) "hello, world\\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""

engine = Engine()
store = Store(engine)
linker = Linker(engine)
linker.define_wasi()
with tempfile.NamedTemporaryFile() as out:
    wasi = WasiConfig()
    wasi.argv = ["hello"]
    wasi.stdout_file = out.name
    store.set_wasi(wasi)
    instance = linker.instantiate(store, Module(engine, WAT))
    instance.exports(store)["_start"](store)
    print(out.read())
