"""Simplification of whole functions: goldens, memory, control flow. Rules are in test_simplify_rules.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from figwasp.ir import ops, order, params, pipeline
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import CONV_C, PARAM, Func
from figwasp.ir.simplify.walk import simplify
from figwasp.ir.text import parse, show
from figwasp.ir.verify import verify
from figwasp.layout import CHECKED, GUARD
from tests.golden import runner
from tests.ir.compiling import build_all, module_of
from tests.speed import growth


def _simplified(mode: int) -> runner.Stage:
    def stage(source: str) -> str:
        funcs = build_all(module_of(source), mode)
        for func in funcs:
            pipeline.run(func)
        return "".join(map(show, funcs))

    return stage


STAGES = {"simplify": _simplified(GUARD), "simplify checked": _simplified(CHECKED)}


@pytest.mark.parametrize("case", runner.read("simplify*.test"), ids=repr)
def test_golden(case: runner.Case) -> None:
    runner.check(case, STAGES)


def _from_text(body: str, params_: str = "i64, i32, i32", results: str = "i32") -> Func:
    names = ", ".join(f"v{number}: {type}" for number, type in enumerate(params_.split(", ")))
    func = parse(f'func 0 "" ({params_}) -> ({results}) {{\nb0({names}):\n{body}\n}}')
    order.run(func)
    verify(func)
    simplify(func)
    verify(func, "simplify")
    params.run(func)
    order.run(func)
    verify(func, "order")
    return func


def _ops(func: Func) -> list[str]:
    return [ops.NAMES[value.op] for block in func.blocks for value in block.code if value.op != ops.CONST]


def test_addresses_take_constants_in() -> None:
    func = _from_text("""
        v3 = const i64 8
        v4 = i64_add v0, v3
        v5 = const i64 -16
        v6 = i64_add v4, v5
        v7 = i64_load v4, native+8
        i64_store v7, v4, global+4
        v9 = i64_load v6, native+4
        v10 = i64_load v6, native+8
        i64_store v9, v6, native+24
        i64_store v10, v0, native+0
        return v1
    """)
    accesses = [value for value in func.blocks[0].code if ops.FLAGS[value.op] & (ops.READS | ops.WRITES)]
    offsets = [ops.aux_offset(value.aux) for value in accesses if isinstance(value.aux, int)]
    assert offsets == [16, 12, 4, 0, 16, 0]
    bases = [value.args[-1].op == PARAM for value in accesses]
    assert bases == [True, True, False, True, True, True], "base - 8 + 4 is no offset"


def test_addresses_stay_below_two_gigabytes_and_linear_memory_is_left_alone() -> None:
    func = _from_text("""
        v3 = const i64 2147483647
        v4 = i64_add v0, v3
        v5 = i64_load v4, native+1
        v6 = const i64 8
        v7 = i64_add v0, v6
        v8 = i32_load v7, v1, mem0+16
        i64_store v5, v7, v8, mem0+0
        return v8
    """)
    assert _ops(func) == ["i64_add", "i64_load", "i64_add", "i32_load", "i64_store", "return"]


def test_frame_areas_are_never_shared() -> None:
    func = _from_text("""
        v3 = frame_area 16
        v4 = frame_area 16
        i32_store v1, v3, native+0
        i32_store v2, v4, native+0
        v7 = i32_load v3, native+0
        return v7
    """)
    assert _ops(func).count("frame_area") == 2
    assert _ops(func).count("i32_load") == 1, "loads of native memory stay"


def test_symbols_are_one_of_each_name() -> None:
    """They are no constants: nothing is folded that has one."""
    func = _from_text("""
        v3 = symbol static.parked
        v4 = symbol static.interrupts
        v5 = symbol static.parked
        v6 = i64_sub v3, v5
        v7 = i64_add v3, v4
        v8 = i64_add v5, v4
        i64_store v6, v7, native+0
        i64_store v7, v8, native+8
        return v1
    """)
    assert _ops(func).count("symbol") == 2
    assert _ops(func).count("i64_add") == 1
    assert "i64_sub" not in _ops(func)


def test_native_stores_make_globals_unknown() -> None:
    func = _from_text("""
        v3 = i32_load v0, global+32
        i32_store v1, v0, native+32
        v5 = i32_load v0, global+32
        v6 = i32_add v3, v5
        return v6
    """)
    assert _ops(func).count("i32_load") == 2


def test_a_store_to_one_global_leaves_others_known_if_they_have_the_same_base() -> None:
    func = _from_text("""
        v3 = i64_load v0, const+64
        v4 = i32_load v0, global+32
        v5 = i32_load v3, global+16
        i32_store v1, v0, global+48
        v7 = i32_load v0, global+32
        v8 = i32_load v3, global+16
        v9 = i32_add v4, v5
        v10 = i32_add v7, v8
        v11 = i32_mul v9, v10
        return v11
    """)
    loads = [value for value in func.blocks[0].code if value.op == ops.I32_LOAD]
    assert [ops.aux_offset(value.aux) for value in loads if isinstance(value.aux, int)] == [32, 16, 16]


def test_a_store_with_an_index_makes_all_globals_unknown() -> None:
    func = _from_text("""
        v3 = i32_load v0, global+32
        i32_store v1, v0, v2, global+64
        v5 = i32_load v0, global+32
        v6 = i32_add v3, v5
        return v6
    """)
    assert _ops(func).count("i32_load") == 2


@pytest.mark.parametrize("between", ["poll", "call f0 v0, v1, v2 : (i32, i32) -> ()", "call_native v0 : () -> ()"])
def test_calls_make_globals_unknown_but_not_what_is_constant(between: str) -> None:
    func = _from_text(f"""
        v3 = i32_load v0, global+32
        v4 = i32_load v0, const+64
        {between}
        v6 = i32_load v0, global+32
        v7 = i32_load v0, const+64
        v8 = i32_add v3, v6
        v9 = i32_add v4, v7
        v10 = i32_mul v8, v9
        return v10
    """)
    assert _ops(func).count("i32_load") == 3


def test_narrow_stores_are_not_forwarded() -> None:
    func = _from_text("""
        i32_store8 v1, v0, global+32
        v4 = i32_load v0, global+32
        i32_store v2, v0, global+32
        v6 = i32_load8_u v0, global+32
        v7 = i32_load v0, global+32
        v8 = i32_add v4, v6
        v9 = i32_add v8, v7
        return v9
    """)
    assert _ops(func).count("i32_load") == 1
    assert _ops(func).count("i32_load8_u") == 1


def test_what_one_branch_computes_is_not_known_in_the_other_or_after() -> None:
    func = _from_text("""
        brif v1, b1, b2
      b1:
        v4 = i32_mul v1, v2
        v5 = i64_load v0, const+8
        v6 = i32_eqz v2
        trapif v6, 6
        jump b3(v4, v5)
      b2:
        v9 = i32_mul v1, v2
        v10 = i64_load v0, const+8
        v11 = i32_eqz v2
        trapif v11, 6
        jump b3(v9, v10)
      b3(v14: i32, v15: i64):
        v16 = i32_mul v1, v2
        v17 = i32_add v16, v14
        v18 = i32_wrap_i64 v15
        v19 = i32_add v17, v18
        v20 = i32_eqz v2
        trapif v20, 6
        return v19
    """)
    assert [_ops(func).count(name) for name in ("i32_mul", "i64_load", "trapif")] == [3, 2, 3]


def test_a_loop_sees_what_stands_before_it_but_not_the_other_way() -> None:
    func = _from_text("""
        v3 = i32_mul v1, v2
        v4 = i32_eqz v2
        trapif v4, 6
        jump b1(v1)
      b1(v7: i32) loop depth 1:
        poll
        v9 = i32_mul v2, v1
        v10 = i32_mul v7, v2
        v11 = i32_add v9, v10
        v12 = i32_eqz v2
        trapif v12, 6
        brif v11, b2, b3
      b2 depth 1:
        jump b1(v11)
      b3:
        v16 = i32_mul v7, v2
        v17 = i32_add v16, v3
        return v17
    """)
    assert [_ops(func).count(name) for name in ("i32_mul", "trapif")] == [2, 1]


def test_loop_whose_back_edge_is_never_taken_is_no_loop() -> None:
    func = _from_text("""
        jump b1(v1)
      b1(v4: i32) loop depth 1:
        poll
        v6 = i32_add v4, v2
        v7 = i32_sub v6, v6
        brif v7, b2, b3
      b2 depth 1:
        jump b1(v6)
      b3:
        return v6
    """)
    assert _ops(func) == ["i32_add", "return"]
    assert not any(block.loop for block in func.blocks)


def test_lanes_are_told_apart_in_functions_of_few_values() -> None:
    """Where a value's number has few bits, that of an operation has more."""
    extracting = [op for op in sorted(ops.WITH_AUX) if "_extract_lane" in ops.NAMES[op]]
    assert len(extracting) == 8
    for op in extracting:
        func = Func("", 0, bytes((ops.V128,)), bytes((ops.RESULTS[op],) * 2), CONV_C)
        emitter = Emitter(func)
        emitter.ret([emitter.emit(op, [func.blocks[0].params[0]], aux) for aux in (0, 1)])
        order.run(func)
        simplify(func)
        assert _ops(func) == [ops.NAMES[op]] * 2 + ["return"], ops.NAMES[op]


def _loads_and_stores(count: int) -> Callable[[], object]:
    func = Func("", 0, bytes((ops.I64, ops.I64)), b"", CONV_C)
    emitter = Emitter(func)
    base, other = func.blocks[0].params
    for number in range(count):
        emitter.load(ops.I64_LOAD, base, 16 * number, ops.REGION_GLOBAL)
    for number in range(count):
        emitter.store(ops.I64_STORE, other, base, 16 * number, ops.REGION_GLOBAL)
    emitter.ret([])
    order.run(func)
    return lambda: simplify(func)


def test_many_loads_and_stores_do_not_take_quadratic_time() -> None:
    """Twenty times as many take about twenty times as long, not four hundred times."""
    assert growth(_loads_and_stores, 1000, 20_000) < 150
