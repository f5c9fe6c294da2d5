"""Functions with calls that have a handler, as text: name -> function. What is called gets an argument last, and global 8 changes."""

from __future__ import annotations

FUNCTIONS = {
    "results": """\
func 0 "results" (i64, i32) -> (i32, i64) {
b0(v0: i64, v1: i32):
  v2 = invoke f3 v0, v1, b1, b2 : (i32) -> (i32, i64, i32)
b1:
  v3 = result v2, 1
  v4 = result v2, 2
  v5 = i32_add v2, v4
  return v5, v3
b2:
  v6 = const i64 -1
  return v1, v6
}
""",
    "only the last result": """\
func 0 "only the last result" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = invoke f3 v0, v1, b1, b2 : (i32) -> (i32, i64, i32)
b1:
  v3 = result v2, 1
  v4 = result v2, 2
  return v4
b2:
  return v1
}
""",
    "both ways meet": """\
func 0 "both ways meet" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = const i32 0
  v3 = invoke_ptr v0, v0, v1, b1, b2 : (i32) -> (i32)
b1:
  jump b3(v3, v2)
b2:
  v4 = const i32 0
  jump b3(v1, v4)
b3(v5: i32, v6: i32):
  v7 = i32_sub v5, v6
  return v7
}
""",
    "nothing to do on either way": """\
func 0 "nothing to do on either way" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = invoke f3 v0, v1, b1, b2 : (i32) -> (i32)
b1:
  jump b3
b2:
  jump b3
b3:
  v3 = i32_load v0, global+8
  return v3
}
""",
    "nothing to do but one after the other": """\
func 0 "nothing to do but one after the other" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  jump b1
b1:
  invoke f3 v0, v1, b2, b5 : (i32) -> ()
b2:
  jump b3
b3:
  jump b4
b4:
  v4 = invoke f4 v0, v1, b6, b7 : (i32) -> (i32)
b5:
  jump b8
b6:
  return v4
b7:
  jump b8
b8:
  jump b9
b9:
  return v1
}
""",
    "in a loop": """\
func 0 "in a loop" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = const i32 0
  jump b1(v1, v2, v2)
b1(v3: i32, v4: i32, v5: i32) loop depth 1:
  poll
  v6 = i32_eqz v3
  brif v6, b6, b2
b2 depth 1:
  v7 = const i32 1
  v8 = i32_sub v3, v7
  v9 = invoke f3 v0, v8, b3, b4 : (i32) -> (i32, i32)
b3 depth 1:
  v10 = result v9, 1
  v11 = i32_add v4, v10
  jump b1(v8, v11, v9)
b4 depth 1:
  v12 = const i32 7
  v13 = i32_mul v4, v12
  v14 = i32_add v13, v12
  brif v5, b5, b6
b5 depth 1:
  jump b1(v8, v14, v5)
b6:
  return v4
}
""",
    "the handler's edge goes round": """\
func 0 "the handler's edge goes round" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  jump b1
b1 loop depth 1:
  poll
  v2 = i32_load v0, global+8
  v3 = const i32 1
  v4 = i32_add v2, v3
  i32_store v4, v0, global+8
  v5 = invoke f3 v0, v4, b2, b1 : (i32) -> (i32)
b2:
  return v5
}
""",
    "both ways lead into loops": """\
func 0 "both ways lead into loops" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = const i32 1
  v3 = invoke f3 v0, v1, b1, b4 : (i32) -> (i32)
b1:
  jump b2
b2 loop depth 1:
  poll
  v4 = i32_load v0, global+8
  v5 = i32_shr_u v4, v2
  i32_store v5, v0, global+8
  brif v5, b2, b3
b3:
  return v3
b4:
  jump b5
b5 loop depth 1:
  poll
  v6 = i32_load v0, global+8
  v7 = i32_shr_u v6, v2
  i32_store v7, v0, global+8
  brif v7, b5, b6
b6:
  return v7
}
""",
    "one way is decided": """\
func 0 "one way is decided" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = const i32 1
  v3 = i32_eqz v2
  brif v3, b1, b2
b1:
  v4 = invoke f3 v0, v1, b3, b4 : (i32) -> (i32)
b2:
  v5 = i32_add v1, v2
  v6 = invoke f4 v0, v5, b5, b4 : (i32) -> (i32, i32)
b3:
  return v4
b4:
  v7 = i32_xor v1, v1
  brif v7, b6, b7
b5:
  v8 = result v6, 1
  v9 = i32_add v1, v2
  v10 = i32_add v9, v8
  trapif v3, 6
  return v10
b6:
  trap 1
b7:
  return v7
}
""",
    "it always traps before": """\
func 0 "it always traps before" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = const i32 1
  brif v1, b1, b4
b1:
  trapif v2, 6
  v3 = invoke f3 v0, v1, b2, b3 : (i32) -> (i32)
b2:
  return v3
b3:
  return v1
b4:
  return v1
}
""",
    "what is known of memory": """\
func 0 "what is known of memory" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  i32_store v1, v0, global+8
  v2 = i32_load v0, global+8
  v3 = invoke f3 v0, v2, b1, b2 : (i32) -> (i32)
b1:
  v4 = i32_load v0, global+8
  v5 = i32_add v4, v3
  return v5
b2:
  v6 = i32_load v0, global+8
  return v6
}
""",
    "handlers of handlers": """\
func 0 "handlers of handlers" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = invoke f3 v0, v1, b1, b2 : (i32) -> (i32)
b1:
  v3 = invoke f4 v0, v2, b3, b2 : (i32) -> (i32)
b2:
  v4 = const i32 5
  v5 = i32_mul v1, v4
  v6 = invoke f5 v0, v5, b4, b5 : (i32) -> (i32, i32)
b3:
  v7 = i32_add v2, v3
  jump b6(v7)
b4:
  v8 = result v6, 1
  jump b6(v8)
b5:
  v9 = call f6 v0, v5 : (i32) -> (i32)
  jump b6(v9)
b6(v10: i32):
  return v10
}
""",
}
