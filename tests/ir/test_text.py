"""The SSA form as text: what is shown can be read, and shows the same again."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.ir import ops, order
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import CONV_C, Call, Func
from figwasp.ir.text import parse, show, show_value
from figwasp.ir.verify import verify
from tests.ir import programs
from tests.ir.compiling import build_all, module_of

EVERYTHING = """\
func 3 "a name (b)" (i64, i32, f64) -> (i32, i64) {
b0(v0: i64, v1: i32, v2: f64):
  v3 = const i32 -1
  v4 = const i64 9223372036854775807
  v5 = const f32 0x7fc00000
  v6 = const f64 0xbff8000000000000 ; -1.5
  v7 = i32_load8_u v0, v1, mem0+16
  i64_store v4, v0, global+8
  v9 = i64_load v0, const+4294967295
  v10 = f32_load v0, table+0
  v11 = i64_load v0, record+8
  v12 = i32_load v0, v4, mem2+0
  v13 = select v4, v11, v1
  trapif v7, 6
  v15 = call f7 v0, v3 : (i32) -> (i32, i64)
  v16 = result v15, 1
  v17 = call_ptr v13, v0 : () -> (f64)
  call_builtin builtin9 v0, v1 : (i32) -> ()
  jump b1(v3, v16)
b1(v20: i32, v21: i64) loop depth 1:
  poll
  v23 = i32_eqz v20
  brif v23, b2, b3
b2 depth 1:
  jump b1(v7, v9)
b3:
  brtable v20, b4, b5, b4
b4:
  return v20, v21
b5:
  trap 1
}
"""


def test_everything_is_read_as_it_is_shown() -> None:
    func = parse(EVERYTHING)
    assert show(func) == EVERYTHING
    order.dominators(func)
    verify(func)
    assert (func.index, func.name, func.params, func.results) == (3, "a name (b)", bytes((1, 0, 3)), bytes((0, 1)))


@pytest.mark.parametrize("name", ["sha256", "vmloop", "quicksort", "indirect", "nbody"])
def test_real_functions_are_read_as_they_are_shown(shared: Path, name: str) -> None:
    for func in build_all(module_of((shared / f"kernels/wasm/{name}.wasm").read_bytes())):
        for positions in (False, True):
            text = show(func, positions)
            again = parse(text)
            assert show(again, positions) == text
            order.dominators(again)
            verify(again)


def test_random_functions_are_read_as_they_are_shown() -> None:
    for seed in range(100):
        (func,) = build_all(module_of(programs.text(programs.Generator(seed).program())))
        text = show(func, positions=True)
        assert show(parse(text), positions=True) == text


def test_positions_are_read() -> None:
    text = 'func 0 "" (i64) -> () {\nb0(v0: i64):\n  trap 1 @2c\n}\n'
    func = parse(text)
    assert func.blocks[0].code[0].pos == 0x2C
    assert show(func, positions=True) == text
    assert "@" not in show(func)


def test_stubs_have_operations_of_their_own() -> None:
    func = Func("stub", -1, bytes((ops.I64,)), bytes((ops.I64,)), CONV_C)
    emitter = Emitter(func)
    (param,) = func.blocks[0].params
    area = emitter.emit(ops.FRAME_AREA, [], 64)
    context = emitter.emit(ops.CONTEXT, [])
    emitter.store(ops.I64_STORE, context, area, 8)
    call = Call(bytes((ops.I64,)), bytes((ops.I64,)))
    result = emitter.emit(ops.CALL_C, [param, area], call, ops.I64)
    emitter.ret([result])
    order.run(func)
    verify(func)
    text = show(func)
    assert "(i64) -> (i64) c {" in text
    assert "v1 = frame_area 64" in text
    assert "i64_store v2, v1, native+8" in text
    assert "v4 = call_c v0, v1 : (i64) -> (i64)" in text
    assert show(parse(text)) == text


def test_symbols_are_shown_by_name() -> None:
    text = "func -1 \"stub\" () -> (i64) c {\nb0:\n  v0 = symbol stub.enter:ild:f @2c\n  v1 = symbol b2.v3\n  return v0\n}\n"
    func = parse(text)
    order.run(func)
    verify(func)
    assert [value.aux for value in func.blocks[0].code[:2]] == ["stub.enter:ild:f", "b2.v3"]
    assert show(func, positions=True) == text


def test_a_terminator_is_shown_with_its_block() -> None:
    func = parse(EVERYTHING)
    block = func.blocks[0]
    assert show_value(block.code[-1], block) == "jump b1(v3, v16)"
    assert show_value(block.params[1]) == "v1: i32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b0:\n  return\n", "not the head"),
        ('func 0 "" () -> () {\n  return\n}', "not a value"),
        ('func 0 "" () -> () {\nb0:\n  v1 = i32_frobnicate v2\n}', "not a value"),
        ('func 0 "" () -> () {\nb0:\n  v1 == 2\n}', "not a value"),
    ],
)
def test_text_that_is_not_understood(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)
