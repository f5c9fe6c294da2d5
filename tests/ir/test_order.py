"""Order of blocks: what is removed and merged, where blocks go, loops and dominators."""

from __future__ import annotations

import random

import pytest

from figwasp.ir import ops, order
from figwasp.ir.func import Block, Func
from figwasp.ir.text import parse, show
from figwasp.ir.verify import verify
from tests.ir import programs
from tests.ir.compiling import build_all, module_of

HEAD = 'func 0 "" (i64, i32) -> (i32) {\nb0(v0: i64, v1: i32):\n'


def _ordered(body: str) -> str:
    func = parse(HEAD + body + "}\n")
    order.run(func)
    verify(func)
    return show(func).removeprefix(HEAD).removesuffix("}\n")


def test_unreachable_blocks_go() -> None:
    assert _ordered("  jump b2\nb1:\n  jump b2\nb2:\n  return v1\n") == "  return v1\n"


def test_a_chain_is_one_block() -> None:
    body = "  v2 = i32_eqz v1\n  jump b1\nb1:\n  v3 = i32_eqz v2\n  jump b2\nb2:\n  return v3\n"
    assert _ordered(body) == "  v2 = i32_eqz v1\n  v3 = i32_eqz v2\n  return v3\n"


def test_empty_blocks_are_jumped_over() -> None:
    body = "  brif v1, b1, b2\nb1:\n  jump b3\nb2:\n  trapif v1, 1\n  jump b3\nb3:\n  return v1\n"
    assert _ordered(body) == "  brif v1, b2, b1\nb1:\n  trapif v1, 1\n  jump b2\nb2:\n  return v1\n"


def test_a_block_that_only_passes_arguments_is_jumped_over_by_jumps_only() -> None:
    body = """\
  brif v1, b1, b2
b1:
  trapif v1, 1
  jump b3
b2:
  brif v1, b3, b4
b3:
  jump b5(v1)
b4:
  v2 = i32_eqz v1
  jump b5(v2)
b5(v3: i32):
  return v3
"""
    assert _ordered(body).count("jump b5(v1)") == 2


def test_branches_to_one_place_are_a_jump() -> None:
    body = "  brif v1, b1, b2\nb1:\n  jump b3\nb2:\n  jump b3\nb3:\n  return v1\n"
    assert _ordered(body) == "  return v1\n"
    body = "  brtable v1, b1\nb1:\n  jump b2(v1)\nb2(v2: i32):\n  return v2\n"
    assert _ordered(body) == "  jump b1(v1)\nb1(v2: i32):\n  return v2\n"


def test_the_block_in_front_of_a_loop_stays() -> None:
    body = """\
  brif v1, b1, b3
b1:
  jump b2
b2 loop depth 1:
  poll
  brif v1, b2, b3
b3:
  return v1
"""
    assert _ordered(body) == body


def test_a_loop_that_lost_its_back_edge_is_none() -> None:
    body = "  jump b1\nb1 loop depth 1:\n  poll\n  return v1\n"
    assert _ordered(body) == "  return v1\n"


def test_blocks_that_leave_a_loop_come_after_it_and_traps_last() -> None:
    body = """\
  jump b1
b1 loop:
  poll
  brif v1, b2, b3
b2:
  v4 = i32_eqz v1
  return v4
b3:
  brif v1, b4, b5
b4:
  trapif v1, 1
  trap 6
b5:
  jump b6
b6 loop:
  poll
  brif v1, b7, b8
b7:
  return v1
b8:
  brif v1, b6, b9
b9:
  brif v1, b1, b10
b10:
  return v1
"""
    expected = """\
  jump b1
b1 loop depth 1:
  poll
  brif v1, b7, b2
b2 depth 1:
  brif v1, b10, b3
b3 depth 1:
  jump b4
b4 loop depth 2:
  poll
  brif v1, b8, b5
b5 depth 2:
  brif v1, b4, b6
b6 depth 1:
  brif v1, b1, b9
b7:
  v4 = i32_eqz v1
  return v4
b8:
  return v1
b9:
  return v1
b10:
  trapif v1, 1
  trap 6
"""
    assert _ordered(body) == expected


def test_ordering_twice_changes_nothing() -> None:
    for seed in range(150):
        (func,) = build_all(module_of(programs.text(programs.Generator(seed).program())))
        text = show(func)
        order.run(func)
        assert show(func) == text


def _graph(seed: int, size: int) -> Func:
    """Make a function whose edges lead forward at random, and sometimes back to a block that dominates."""
    rng = random.Random(seed)
    func = Func("", 0, bytes((ops.I64, ops.I32)), b"")
    blocks = [func.new_block() for _ in range(size)]
    for type in func.params:
        func.new_param(blocks[0], type)
    condition = blocks[0].params[1]
    for number, block in enumerate(blocks):
        targets = [blocks[min(size - 1, number + 1 + rng.randrange(4))] for _ in range(2)]
        if number == size - 1:
            block.code = [func.new_value(ops.RETURN, ops.VOID, [])]
            continue
        block.code = [
            func.new_value(ops.TRAPIF, ops.VOID, [condition], 1),
            func.new_value(ops.BRIF, ops.VOID, [condition]),
        ]
        block.succs = targets
        block.args = [[], []]
    order.link(func)
    return func


def _dominates(func: Func, without: Block, target: Block) -> bool:
    """Return True when no path from the entry to `target` avoids `without`."""
    seen = {without.id}
    work = [func.blocks[0]]
    while work:
        block = work.pop()
        if block.id not in seen:
            seen.add(block.id)
            if block is target:
                return False
            work += block.succs
    return True


@pytest.mark.parametrize("seed", range(8))
def test_dominators_are_those_of_the_definition(seed: int) -> None:
    func = _graph(seed, 40)
    order.run(func)
    for block in func.blocks[1:]:
        strict = [other for other in func.blocks if other is not block and _dominates(func, other, block)]
        assert block.dom is max(strict, key=lambda other: sum(_dominates(func, more, other) for more in strict))
    verify(func)


def test_dominators_of_long_ladders() -> None:
    func = _graph(1, 5000)
    order.run(func)
    verify(func)
