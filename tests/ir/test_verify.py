"""The checker of the SSA form notices every broken rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from figwasp.ir import ops, order
from figwasp.ir.func import Func
from figwasp.ir.text import parse
from figwasp.ir.verify import BrokenFunc, verify

GOOD = """\
func 9 "good" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = const i32 1
  v3 = i32_add v1, v2
  v4 = call f1 v0, v3 : (i32) -> (i32, i64)
  v5 = result v4, 1
  v6 = i64_load v0, const+16
  i32_store v4, v6, v1, mem0+4
  v8 = call_builtin builtin6 v0, v1, v5, v3 : (i32, i64, i32) -> (i32)
  trapif v4, 6
  jump b1(v3, v5)
b1(v10: i32, v11: i64) loop depth 1:
  poll
  v13 = select v10, v2, v1
  brif v13, b2, b3
b2 depth 1:
  jump b1(v13, v6)
b3:
  return v10
}
"""

BROKEN = {
    "operand of another type": ("i32_add v1, v2", "i32_add v1, v0", r"v3 = .*operands must be \(i32, i32\)"),
    "operand missing": ("i32_add v1, v2", "i32_add v1", "operands must be"),
    "condition of another type": ("brif v13", "brif v11", "operands must be"),
    "select of two types": ("select v10, v2, v1", "select v10, v11, v1", "operands must be"),
    "call with another argument": ("call f1 v0, v3", "call f1 v0, v0", "operands must be"),
    "call without instance": ("call f1 v0, v3", "call f1 v3, v3", "operands must be"),
    "no such builtin": ("builtin6", "builtin12", "there is no builtin 12"),
    "builtin with other parameters": (
        "v1, v5, v3 : (i32, i64, i32)",
        "v1, v3, v3 : (i32, i32, i32)",
        r"table_grow is \(i32, i64, i32\) -> \(i32\)",
    ),
    "builtin with other results": (", i32) -> (i32)\n  trap", ", i32) -> (i32, i32)\n  trap", "table_grow is"),
    "base of another type": ("i64_load v0, const", "i64_load v1, const", "base must be i64"),
    "index of another type": ("i32_store v4, v6, v1, mem0", "i32_store v4, v6, v6, v1, mem0", "base must be i64"),
    "value stored of another type": ("i32_store v4, v6", "i32_store v5, v6", "value must be i32"),
    "offset too large": ("mem0+4", "mem0+4294967296", "offset must be less"),
    "returns another type": ("return v10", "return v11", "operands must be"),
    "terminator inside": ("  trapif v4, 6\n", "  trap 6\n", "terminators are last"),
    "no terminator": ("  return v10\n", "  v20 = const i32 1\n", "terminators are last"),
    "result away from its call": (
        "  v5 = result v4, 1\n  v6 = i64_load v0, const+16\n",
        "  v6 = i64_load v0, const+16\n  v5 = result v4, 1\n",
        "must follow its call",
    ),
    "too few arguments": ("jump b1(v3, v5)", "jump b1(v3)", r"b1 takes \(i32, i64\)"),
    "argument of another type": ("jump b1(v13, v6)", "jump b1(v13, v1)", r"b1 takes \(i32, i64\)"),
    "branch to the entry": ("brif v13, b2, b3", "brif v13, b0, b3", "nothing may lead to the entry|cannot be reached"),
    "branch with arguments": ("brif v13, b2, b3", "brif v13, b1(v13, v6), b3", "only a jump may carry"),
    "one successor of two": ("brif v13, b2, b3", "brif v13, b2", "1 successors do not suit"),
    "use before definition": ("v3 = i32_add v1, v2", "v3 = i32_add v1, v4", "v4 comes later"),
    "use that is not dominated": ("v3 = i32_add v1, v2", "v3 = i32_add v1, v10", "v10 does not dominate"),
    "argument that is not dominated": ("jump b1(v3, v5)", "jump b1(v3, v11)", "v11 does not dominate"),
    "value of no block": ("v3 = i32_add v1, v2", "v3 = i32_add v1, v99", "must be|not in the function"),
    "loop not marked": ("loop depth 1:", "depth 1:", "loop is False"),
    "depth": ("b2 depth 1:", "b2 depth 2:", "its depth must be 1"),
    "block not in order": ("b3:", "b4:", "is not in the function|its id must be"),
}


def _parse(text: str) -> Func:
    func = parse(text)
    entry, loop, again, after = func.blocks
    loop.dom = entry
    again.dom = after.dom = loop
    return func


def test_a_good_function_passes() -> None:
    verify(_parse(GOOD))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_function_does_not(name: str) -> None:
    old, new, message = BROKEN[name]
    assert old in GOOD
    func = _parse(GOOD.replace(old, new))
    with pytest.raises(BrokenFunc, match=message) as caught:
        verify(func, "some pass")
    assert "function 9 'good' after some pass" in str(caught.value)


def _take_id(func: Func) -> None:
    func.blocks[1].code[0].id = 2


def _exceed(func: Func) -> None:
    func.num_values = 12


def _widen(func: Func) -> None:
    func.blocks[0].code[0].aux = 1 << 32


def _no_result(func: Func) -> None:
    func.blocks[0].code[3].aux = 2


def _empty(func: Func) -> None:
    func.blocks[3].code = []


def _forget_pred(func: Func) -> None:
    func.blocks[1].preds.pop()


def _dominate(func: Func) -> None:
    func.blocks[3].dom = func.blocks[2]


def _no_type(func: Func) -> None:
    func.blocks[0].code[1].type = ops.VOID


def _entry_params(func: Func) -> None:
    func.params = bytes((ops.I64, ops.I64))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_take_id, "its id is taken"),
        (_exceed, "id out of range 12"),
        (_widen, "the bits of a constant must fit"),
        (_no_result, "the call has no such result"),
        (_empty, "must not be empty"),
        (_forget_pred, "its predecessors are wrong"),
        (_dominate, "its dominator is wrong"),
        (_no_type, "the result must be i32"),
        (_entry_params, "the entry's parameters differ"),
    ],
)
def test_damage(damage: Callable[[Func], None], message: str) -> None:
    func = _parse(GOOD)
    damage(func)
    with pytest.raises(BrokenFunc, match=message):
        verify(func)


def _shape(edges: str, depths: str = "") -> Func:
    """Make a function from "0>1 1>2,3 ...": its blocks in this order; loops and depths as given ("1L1 2-1")."""
    text = 'func 0 "" (i64, i32) -> () {\n'
    marks = {mark[:1]: mark[1:] for mark in depths.split()}
    for number, edge in enumerate(edges.split()):
        source, _, targets = edge.partition(">")
        mark = marks.get(source, "")
        loop = " loop" if mark[:1] == "L" else ""
        depth = f" depth {mark[1:]}" if mark else ""
        text += f"b{source}{'(v0: i64, v1: i32)' if number == 0 else ''}{loop}{depth}:\n"
        names = [f"b{target}" for target in targets.split(",") if target]
        text += f"  {'return' if not names else f'jump {names[0]}' if len(names) == 1 else 'brif v1, ' + ', '.join(names)}\n"
    func = parse(text + "}\n")
    order.dominators(func)
    return func


@pytest.mark.parametrize(
    ("edges", "depths", "message"),
    [
        ("0>1 1>2 2>1,3 3>", "1L1 2-1", None),
        ("0>1,2 1>2 2>2,3 3>", "2L1", "entered from one block"),
        ("0>1,3 1>1,2 2> 3>", "1L1", "entered by a jump"),
        ("0>1,2 1>2,3 2>1 3>", "1L1 2-1", "enters a loop beside its header|loop is"),
        ("0>1 1>2,3 2> 3>1", "1L1 3-1", "not contiguous"),
        ("0>1 1>2 2>3 3>2,1", "1L1 2L2 3-2", None),
        ("0>1 1>2 2>3 3>2,1", "1L1 2L1 3-1", "depth must be 2"),
    ],
)
def test_loops(edges: str, depths: str, message: str | None) -> None:
    func = _shape(edges, depths)
    if message is None:
        verify(func)
        return
    with pytest.raises(BrokenFunc, match=message):
        verify(func)
