import threading

from wasmtime import Config, Engine, Instance, Module, Store, Trap

config = Config()
config.epoch_interruption = True
engine = Engine(config)
store = Store(engine)
instance = Instance(store, Module(engine, '(module (func (export "spin") (loop (br 0))))'), [])
store.set_epoch_deadline(1)
timer = threading.Timer(0.2, engine.increment_epoch)
timer.start()
try:
    instance.exports(store)["spin"](store)
except Trap:
    print("stopped")
finally:
    timer.cancel()
