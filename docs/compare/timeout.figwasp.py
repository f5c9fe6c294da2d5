import figwasp

instance = figwasp.load(figwasp.wat('(module (func (export "spin") (loop (br 0))))'))
try:
    instance.spin(timeout=0.2)
except TimeoutError:
    print("stopped")
