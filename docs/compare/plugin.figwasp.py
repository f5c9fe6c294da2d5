import figwasp

WAT = """(module
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func (export "alloc") (param $size i32) (result i32)
    (global.get $top) (global.set $top (i32.add (global.get $top) (local.get $size))))
  (func (export "upper") (param $p i32) (param $size i32) (local $c i32)
    (loop $next
      (if (i32.eqz (local.get $size)) (then (return)))
      (local.set $c (i32.load8_u (local.get $p)))
      (if (i32.lt_u (i32.sub (local.get $c) (i32.const 97)) (i32.const 26))
        (then (i32.store8 (local.get $p) (i32.sub (local.get $c) (i32.const 32)))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (local.set $size (i32.sub (local.get $size) (i32.const 1)))
      (br $next))))"""

plugin = figwasp.load(figwasp.wat(WAT))
text = "Grüße, plug-in"
size = len(text.encode())
address = plugin.alloc(size)
plugin.memory.write_str(address, text)
plugin.upper(address, size)
print(plugin.memory.read_str(address, size))
