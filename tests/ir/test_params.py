"""Removal of parameters and values that are not needed."""

from __future__ import annotations

from pathlib import Path

from figwasp.ir import order, params, pipeline
from figwasp.ir.func import Func
from figwasp.ir.text import parse, show
from figwasp.ir.verify import verify
from tests.ir import programs
from tests.ir.compiling import build_all, build_one, module_of

HEAD = 'func 0 "" (i64, i32) -> (i32) {\nb0(v0: i64, v1: i32):\n'


def _pruned(body: str) -> str:
    func = parse(HEAD + body + "}\n")
    order.run(func)
    params.run(func)
    verify(func)
    return show(func).removeprefix(HEAD).removesuffix("}\n")


def test_what_has_no_effect_and_no_user_goes() -> None:
    body = """\
  v2 = const i32 1
  v3 = i32_add v1, v2
  v4 = i64_load v0, const+16
  v5 = i64_load v0, global+32
  v6 = i64_load v4, record+8
  v7 = i64_load v4, table+8
  v8 = i32_eqz v3
  return v1
"""
    assert _pruned(body) == "  return v1\n"


def test_what_has_an_effect_stays() -> None:
    body = """\
  v2 = i32_load v0, v1, mem0+0
  v3 = const i32 1
  i32_store v3, v0, global+32
  trapif v1, 6
  v6 = call f1 v0, v1 : (i32) -> (i32, i32, i32)
  v7 = result v6, 1
  v8 = result v6, 2
  return v8
"""
    expected = body.replace("  v7 = result v6, 1\n", "").replace("v8", "v7")
    assert _pruned(body) == expected


def test_parameters_nobody_uses_go_with_what_makes_them() -> None:
    body = """\
  v2 = i32_eqz v1
  jump b1(v2, v1)
b1(v3: i32, v4: i32) loop depth 1:
  poll
  v6 = i32_add v3, v4
  v7 = i32_eqz v4
  brif v7, b2, b3
b2 depth 1:
  jump b1(v6, v7)
b3:
  return v4
"""
    assert (
        _pruned(body)
        == """\
  jump b1(v1)
b1(v3: i32) loop depth 1:
  poll
  v5 = i32_eqz v3
  brif v5, b2, b3
b2 depth 1:
  jump b1(v5)
b3:
  return v3
"""
    )


def test_a_parameter_that_is_always_the_same_is_replaced() -> None:
    body = """\
  v2 = i32_eqz v1
  brif v1, b1, b2
b1:
  jump b3(v2, v1)
b2:
  trapif v1, 1
  jump b3(v2, v2)
b3(v3: i32, v4: i32):
  v5 = i32_add v3, v4
  jump b4(v5)
b4(v6: i32):
  return v6
"""
    expected = """\
  v2 = i32_eqz v1
  brif v1, b1, b2
b1:
  jump b3(v1)
b2:
  trapif v1, 1
  jump b3(v2)
b3(v7: i32):
  v8 = i32_add v2, v7
  jump b4
b4:
  return v8
"""
    assert _pruned(body) == expected


def test_replacements_reach_through_loops() -> None:
    body = """\
  jump b1(v1, v1)
b1(v2: i32, v3: i32) loop depth 1:
  poll
  jump b2(v2, v3)
b2(v4: i32, v5: i32) loop depth 2:
  poll
  v6 = i32_eqz v5
  brif v1, b3, b4
b3 depth 2:
  jump b2(v4, v6)
b4 depth 1:
  brif v5, b5, b6
b5 depth 1:
  jump b1(v4, v5)
b6:
  v7 = i32_add v4, v5
  return v7
"""
    text = _pruned(body)
    assert "i32_add v1, v" in text
    assert text.count("jump b2(") == 2
    assert "b1(v3: i32)" in text


def test_the_parameters_of_the_function_stay() -> None:
    func = build_one("(module (func (param i32 i64 f32)))")
    params.run(func)
    assert len(func.blocks[0].params) == 4


def _params(func: Func) -> int:
    return sum(len(block.params) for block in func.blocks[1:])


def test_most_parameters_of_real_code_go(shared: Path) -> None:
    before = after = 0
    module = module_of((shared / "programs/modules/mandel.wasm").read_bytes())
    for func in build_all(module):
        before += _params(func)
        params.run(func)
        after += _params(func)
        ids = [value.id for block in func.blocks for value in block.params + block.code]
        assert ids == list(range(func.num_values))
        verify(func, "params")
    assert after < 0.5 * before


def test_removing_twice_changes_nothing() -> None:
    for seed in range(100):
        (func,) = build_all(module_of(programs.text(programs.Generator(seed).program())))
        params.run(func)
        order.run(func)
        params.run(func)
        text = show(func)
        params.run(func)
        assert show(func) == text


def test_the_pipeline_tells_of_every_pass() -> None:
    func = build_one("(module (func (param i32) (result i32) local.get 0 i32.eqz))")
    seen: list[str] = []
    pipeline.run(func, lambda name, func: seen.append(f"{name}: {len(func.blocks)}"))
    assert seen == [f"{name}: 1" for name, _ in pipeline.PASSES]
