"""The checker of the SSA form notices every broken rule."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from figwasp.ir import ops, order
from figwasp.ir import verify as module
from figwasp.ir.func import Block, Call, Func, Value
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
  v8 = call_builtin builtin5 v0, v1, v5, v5 : (i32, i64, i64) -> (i64)
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

CALLS = """\
func 9 "calls" (i64) -> (i64) {
b0(v0: i64):
  fuel 5
  v2 = call_native v0, v0 : (i64) -> (i64)
  v3 = call_ptr v0, v0 : () -> (i32)
  call_builtin builtin9 v0, v3 : (i32) -> ()
  v5 = const f64 0x0000000000000000
  tail_ptr v2, v0, v5 : (f64) -> (i64)
}
"""

INVOKES = """\
func 9 "invokes" (i64, i32) -> (i32) {
b0(v0: i64, v1: i32):
  v2 = invoke f1 v0, v1, b1, b4 : (i32) -> (i32, i64)
b1:
  v3 = result v2, 1
  v4 = invoke_ptr v3, v0, v2, b2, b3 : (i32) -> (i32)
b2:
  return v4
b3:
  v5 = i32_add v2, v1
  return v5
b4:
  return v1
}
"""

STUB = """\
func -1 "stub" (i64) -> (i64) c {
b0(v0: i64):
  v1 = frame_area 16
  v2 = call_c v0, v1 : (i64) -> (i64)
  v3 = enter_wasm v0, v0, v2 : (i64) -> (i64)
  i64_store v3, v1, native+8
  return v3
}
"""

VECTORS = """\
func 9 "vectors" (i64, v128, f64) -> (i32) {
b0(v0: i64, v1: v128, v2: f64):
  v3 = i8x16_shuffle v1, v1, 0x0f0e0d0c0b0a09081f1e1d1c1b1a1918
  v4 = f64x2_replace_lane v3, v2, 1
  v5 = i16x8_extract_lane_s v4, 7
  return v5
}
"""

BROKEN = {
    "operand of another type": (GOOD, "i32_add v1, v2", "i32_add v1, v0", r"v3 = .*operands must be \(i32, i32\)"),
    "operand missing": (GOOD, "i32_add v1, v2", "i32_add v1", "operands must be"),
    "condition of another type": (GOOD, "brif v13", "brif v11", "operands must be"),
    "select of two types": (GOOD, "select v10, v2, v1", "select v10, v11, v1", "operands must be"),
    "call with another argument": (GOOD, "call f1 v0, v3", "call f1 v0, v0", "operands must be"),
    "call without instance": (GOOD, "call f1 v0, v3", "call f1 v3, v3", "operands must be"),
    "no such builtin": (GOOD, "builtin5", "builtin99", "call_builtin has no target 99"),
    "builtin with other parameters": (
        GOOD,
        "v1, v5, v5 : (i32, i64, i64)",
        "v1, v5, v3 : (i32, i64, i32)",
        r"table_grow is \(i32, i64, i64\) -> \(i64\)",
    ),
    "builtin with other results": (GOOD, ", i64) -> (i64)\n  trap", ", i64) -> (i64, i32)\n  trap", "table_grow is"),
    "base of another type": (GOOD, "i64_load v0, const", "i64_load v1, const", "base must be i64"),
    "base missing": (GOOD, "i64_load v0, const", "i64_load const", "base must be i64"),
    "index of another type": (
        CALLS, "  tail_ptr", "  v6 = i64_load v0, v5, mem0+0\n  tail_ptr", "the index must be an integer",
    ),
    "one operand too many": (GOOD, "i32_store v4, v6, v1, mem0", "i32_store v4, v6, v6, v1, mem0", "base must be i64"),
    "value stored of another type": (GOOD, "i32_store v4, v6", "i32_store v5, v6", "value must be i32"),
    "load of the first content": (GOOD, "i64_load v0, const", "i64_load v0, initial", "the first content must not be read as such"),
    "store where nothing changes": (GOOD, "mem0+4", "const+4", "what never changes must not be written"),
    "returns another type": (GOOD, "return v10", "return v11", "operands must be"),
    "terminator inside": (GOOD, "  trapif v4, 6\n", "  trap 6\n", "terminators are last"),
    "no terminator": (GOOD, "  return v10\n", "  v20 = const i32 1\n", "terminators are last"),
    "result away from its call": (
        GOOD,
        "  v5 = result v4, 1\n  v6 = i64_load v0, const+16\n",
        "  v6 = i64_load v0, const+16\n  v5 = result v4, 1\n",
        "must follow its call",
    ),
    "same result twice": (GOOD, "  v5 = result v4, 1\n", "  v5 = result v4, 1\n  v20 = result v4, 1\n", "must follow its call"),
    "too few arguments": (GOOD, "jump b1(v3, v5)", "jump b1(v3)", r"b1 takes \(i32, i64\)"),
    "argument of another type": (GOOD, "jump b1(v13, v6)", "jump b1(v13, v1)", r"b1 takes \(i32, i64\)"),
    "branch to the entry": (GOOD, "brif v13, b2, b3", "brif v13, b0, b3", "nothing may lead to the entry"),
    "branch with arguments": (GOOD, "brif v13, b2, b3", "brif v13, b1(v13, v6), b3", "only a jump may carry"),
    "one successor of two": (GOOD, "brif v13, b2, b3", "brif v13, b2", "1 successors do not suit"),
    "use before definition": (GOOD, "v3 = i32_add v1, v2", "v3 = i32_add v1, v4", "v4 comes later"),
    "use that is not dominated": (GOOD, "v3 = i32_add v1, v2", "v3 = i32_add v1, v10", "v10 does not dominate"),
    "argument that is not dominated": (GOOD, "jump b1(v3, v5)", "jump b1(v3, v11)", "v11 does not dominate"),
    "loop not marked": (GOOD, "loop depth 1:", "depth 1:", "loop is False"),
    "depth": (GOOD, "b2 depth 1:", "b2 depth 2:", "its depth must be 1"),
    "block not in order": (GOOD, "b3:", "b4:", "its id must be its place 3"),
    "block without a way to it": (
        GOOD, "  return v10\n", "  return v10\nb4:\n  trap 1\n", "b4: it cannot be reached",
    ),
    "vector of another type": (VECTORS, "v4, 7", "v2, 7", r"operands must be \(v128\)"),
    "number of a shuffle": (VECTORS, "0x0f0e", "0x200e", "a shuffle has 16 numbers below 32"),
    "numbers of a shuffle": (VECTORS, "0x0f0e", "0x010f0e", "a shuffle has 16 numbers below 32"),
    "no such lane": (VECTORS, "v4, 7", "v4, 8", "there are 8 lanes"),
    "no such lane of a wider kind": (VECTORS, "v2, 1", "v2, 2", "there are 2 lanes"),
    "a call that catches": (GOOD, "v0, v3 : (i32) -> (i32, i64)", "v0, v3 : (i32) -> (i32, i64) catch 8, 0", "must catch something"),
    "invoke with another argument": (INVOKES, "invoke f1 v0, v1", "invoke f1 v0, v0", "operands must be"),
    "invoke without an instance": (INVOKES, "invoke_ptr v3, v0, v2", "invoke_ptr v3, v2, v2", "operands must be"),
    "invoke with one way on": (INVOKES, "v1, b1, b4", "v1, b1", "1 successors do not suit"),
    "invoke with three ways on": (INVOKES, "v2, b2, b3", "v2, b2, b3, b4", "3 successors do not suit"),
    "invoke with arguments": (INVOKES, "v2, b2, b3", "v2, b2, b3(v1)", "only a jump may carry"),
    "invoke that goes on in its handler": (INVOKES, "v2, b2, b3", "v2, b3, b3", "nothing else may lead to where an invoke goes on"),
    "another edge to where an invoke goes on": (
        INVOKES, "  v5 = i32_add v2, v1\n  return v5\n", "  jump b2\n", "nothing else may lead to where an invoke goes on",
    ),
    "result of an invoke in its handler": (
        INVOKES, "b4:\n", "b4:\n  v6 = result v2, 1\n", "must follow its call",
    ),
    "result of an invoke after something": (
        INVOKES, "  v3 = result v2, 1\n", "  v6 = i32_eqz v1\n  v3 = result v2, 1\n", "must follow its call",
    ),
    "result of an invoke twice": (
        INVOKES, "  v3 = result v2, 1\n", "  v3 = result v2, 1\n  v6 = result v2, 1\n", "must follow its call",
    ),
    "result of an invoke further on": (
        INVOKES, "b2:\n", "b2:\n  v6 = result v2, 1\n", "must follow its call",
    ),
    "value of an invoke in its handler": (INVOKES, "  return v1\n", "  return v2\n", "v2 does not dominate this use"),
    "value of an inner invoke in its handler": (INVOKES, "i32_add v2, v1", "i32_add v4, v1", "v4 does not dominate this use"),
    "result of an invoke used in its handler": (
        INVOKES, "b4:\n", "b4:\n  i64_store v3, v0, global+8\n", "v3 does not dominate this use",
    ),
    "value of an invoke as its own operand": (INVOKES, "v3, v0, v2, b2", "v3, v0, v4, b2", "v4 does not dominate this use"),
    "invoke inside of a block": (
        INVOKES, "  v4 = invoke_ptr", "  invoke f1 v0 : () -> ()\n  v4 = invoke_ptr", "terminators are last",
    ),
    "function without instance": (GOOD, "(i64, i32) -> (i32) {", "(i32, i64) -> (i32) {", "the first parameter must be the instance"),
    "entry of other parameters": (GOOD, "(i64, i32) -> (i32) {", "(i64, i64) -> (i32) {", "the entry's parameters differ"),
    "two results for C": (STUB, "(i64) -> (i64) c", "(i64) -> (i64, i64) c", "a C function has one result at most"),
    "two results from C": (STUB, "call_c v0, v1 : (i64) -> (i64)", "call_c v0, v1 : (i64) -> (i64, i64)", "a C function has one result"),
    "call of C on the wasm stack": (CALLS, "call_native v0", "call_c v0", "call_c stands in functions of convention c only"),
    "entering wasm from wasm": (CALLS, "call_ptr v0", "enter_wasm v0", "enter_wasm stands in functions of convention c only"),
    "native call of five": (
        CALLS, "call_native v0, v0 : (i64)", "call_native v0, v0, v0, v0, v0, v0 : (i64, i64, i64, i64, i64)", "4 parameters at most",
    ),
    "builtin that does not exist": (CALLS, "builtin9", "builtin99", "call_builtin has no target 99"),
    "tail call for another result": (CALLS, ": (f64) -> (i64)", ": (f64) -> (i32)", "must have the results of the function"),
    "tail call in another instance": (CALLS, "  tail_ptr v2, v0, v5", "  tail f3 v2, v5", "inside the module its instance"),
    "fuel of nothing": (CALLS, "fuel 5", "fuel 0", "must be positive and fit 32 bits"),
    "too much fuel": (CALLS, "fuel 5", "fuel 2147483648", "must be positive and fit 32 bits"),
    "unknown class of cells": (STUB, "frame_area 16", "allocate 1000", "there is no such class of cells"),
    "empty area": (STUB, "frame_area 16", "frame_area 0", "a frame area must have bytes"),
    "word of the thread too far": (STUB, "frame_area 16", "thread_word 4294967296", "the offset of a word of the thread must fit 32 bits"),
    "symbol without a name": (STUB, "frame_area 16", "symbol ", "a symbol must have a name"),
    "symbol of two words": (STUB, "frame_area 16", "symbol a b", "a symbol must have a name"),
    "trap that does not exist": (GOOD, "trapif v4, 6", "trapif v4, 99", "there is no trap code 99"),
    "trap of the host": (GOOD, "trapif v4, 6", "trapif v4, 11", "there is no trap code 11"),
    "call passes nothing": (GOOD, ": (i32) -> (i32, i64)", ": (-) -> (i32, i64)", "operands and results of a call must have types"),
    "function returns nothing": (GOOD, "-> (i32) {", "-> (-) {", "parameters and results must have types"),
    "parameter without a type": (GOOD, "b1(v10: i32", "b1(v10: -", "a parameter must have a type"),
}  # fmt: skip
"""Name -> text of a function, what is put for what in it, and what is said then."""

FOREIGN = Block(2)
STALE = Value(2, ops.CONST, ops.I32, [], 1, 0)

DAMAGED = {
    "no blocks": (GOOD, "func", "blocks", [], "a function must have a block"),
    "convention": (GOOD, "func", "conv", 2, "there is no convention 2"),
    "bound of ids": (GOOD, "func", "num_values", 12, "id out of range 12"),
    "id twice": (GOOD, "v3", "id", 2, "its id is taken"),
    "parameter that is an operation": (GOOD, "v10", "op", ops.NOP, "a parameter must have op PARAM"),
    "operation": (GOOD, "v3", "op", 9999, "v3.*unknown operation 9999"),
    "parameter among the code": (GOOD, "v3", "op", -1, "unknown operation -1"),
    "type of a result": (GOOD, "v3", "type", ops.VOID, "the result must be i32"),
    "result of a call": (GOOD, "v4", "type", ops.I64, "the result must be i32"),
    "result of a load": (GOOD, "v6", "type", ops.I32, "the result must be i64"),
    "constant without a type": (GOOD, "v2", "type", ops.VOID, "the result must have a type"),
    "select without a type": (GOOD, "v13", "type", ops.VOID, "the result must have a type"),
    "constant too wide": (GOOD, "v2", "aux", 1 << 32, "the bits of a constant must fit"),
    "constant below 0": (GOOD, "v2", "aux", -1, "the bits of a constant must fit"),
    "float too wide": (CALLS, "v5", "aux", 1 << 64, "v5.*the bits of a constant must fit"),
    "bits for a name": (STUB.replace("frame_area 16", "symbol memset"), "v1", "aux", 16, "a symbol must have a name"),
    "call for bits": (GOOD, "v2", "aux", Call(b"", b""), "aux must be an int"),
    "bits for a call": (GOOD, "v4", "aux", 0, "aux must be a Call"),
    "result that the call has not": (GOOD, "v5", "aux", 2, "the call has no such result"),
    "result that is the call": (GOOD, "v5", "aux", 0, "the call has no such result"),
    "result of no call": (GOOD, "v5", "args", [STALE], "the operand must be a call"),
    "region": (GOOD, "v6", "aux", ops.memory_aux(0, 8), "v6.*there is no region 8"),
    "region below 0": (GOOD, "v6", "aux", ops.memory_aux(0, -1), "there is no region -1"),
    "call of no function": (GOOD, "v4", "aux", Call(bytes((ops.I32,)), bytes((ops.I32, ops.I64))), "call has no target -1"),
    "invoke of another type": (INVOKES, "v2", "type", ops.I64, "the result must be i32"),
    "invoke of no function": (INVOKES, "v2", "aux", Call(bytes((ops.I32,)), bytes((ops.I32, ops.I64))), "invoke has no target -1"),
    "invoke through a pointer, of a function": (
        INVOKES, "v4", "aux", Call(bytes((ops.I32,)), bytes((ops.I32,)), 7), "invoke_ptr has no target 7",
    ),
    "bits for an invoke": (INVOKES, "v2", "aux", 0, "aux must be a Call"),
    "pointer with a target": (CALLS, "v3", "aux", Call(b"", bytes((ops.I32,)), 7), "call_ptr has no target 7"),
    "code": (GOOD, "b3", "code", [], "must not be empty"),
    "successor from elsewhere": (GOOD, "b2", "succs", [FOREIGN], "b2 is not in the function"),
    "arguments of an edge": (GOOD, "b1", "args", [[]], "every edge needs a list of arguments"),
    "predecessors": (GOOD, "b1", "preds", [], "its predecessors are wrong"),
    "predecessor from elsewhere": (GOOD, "b3", "preds", [Block(1)], "its predecessors are wrong"),
    "dominator": (GOOD, "b3", "dom", FOREIGN, "its dominator is wrong"),
    "operand from elsewhere": (GOOD, "v3", "args", [STALE, STALE], "v2 is not in the function"),
}
"""Name -> text of a function, what in it gets which value for an attribute, and what is said then."""

SHAPES: list[tuple[str, str, str | None]] = [
    ("0>1 1>2 2>1,3 3>", "1L1 2-1", None),
    ("0>1,2 1>2 2>2,3 3>", "2L1", "entered from one block"),
    ("0>1,3 1>1,2 2> 3>", "1L1", "entered by a jump"),
    ("0>1,2 1>2,3 2>1 3>", "1L1 2-1", "enters a loop beside its header"),
    ("0>1 1>2,3 2> 3>1", "1L1 3-1", "not contiguous"),
    ("0>1 1>2 2>3 3>2,1", "1L1 2L2 3-2", None),
    ("0>1 1>2 2>3 3>2,1", "1L1 2L1 3-1", "depth must be 2"),
]


def _parse(text: str) -> Func:
    func = parse(text)
    if func.name == "invokes":
        order.dominators(func)
    elif len(func.blocks) > 1:
        entry, loop, again, after, *_ = func.blocks
        loop.dom = entry
        again.dom = after.dom = loop
    return func


def _broken(name: str) -> Func:
    text, old, new, _ = BROKEN[name]
    assert old in text
    return _parse(text.replace(old, new))


def _damaged(name: str) -> Func:
    text, owner, attribute, value, _ = DAMAGED[name]
    func = _parse(text)
    things = [thing for block in func.blocks for thing in (block, *block.params, *block.code)]
    damaged = func if owner == "func" else next(thing for thing in things if repr(thing) == owner)
    setattr(damaged, attribute, value)
    return func


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


@pytest.mark.parametrize("text", [GOOD, CALLS, STUB, INVOKES, VECTORS])
def test_a_good_function_passes(text: str) -> None:
    verify(_parse(text))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_function_does_not(name: str) -> None:
    func = _broken(name)
    with pytest.raises(BrokenFunc, match=BROKEN[name][-1]) as caught:
        verify(func, "some pass")
    assert f"function {func.index} {func.name!r} after some pass" in str(caught.value)


@pytest.mark.parametrize("name", DAMAGED)
def test_damage(name: str) -> None:
    with pytest.raises(BrokenFunc, match=DAMAGED[name][-1]):
        verify(_damaged(name))


@pytest.mark.parametrize(("edges", "depths", "message"), SHAPES)
def test_loops(edges: str, depths: str, message: str | None) -> None:
    func = _shape(edges, depths)
    if message is None:
        verify(func)
        return
    with pytest.raises(BrokenFunc, match=message):
        verify(func)


SOURCE = Path(module.__file__)


def rules() -> Iterator[tuple[range, str]]:
    """Yield the lines of every check that `verify` makes, and what it says, `...` for what differs."""
    for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("expect", "fail"):
            message = _template(node.args[-1])
            if message:
                yield range(node.lineno, node.end_lineno + 1 if node.end_lineno else 0), message


def _template(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _complaint(func: Func) -> int:
    """Return the line of the check that a function does not pass."""
    with pytest.raises(BrokenFunc) as caught:
        verify(func)
    frames = [frame for frame in traceback.extract_tb(caught.tb) if frame.name not in ("expect", "fail")]
    return frames[-1].lineno or 0


def test_every_rule_is_broken_by_one_of_these() -> None:
    funcs = [_broken(name) for name in BROKEN] + [_damaged(name) for name in DAMAGED]
    funcs += [_shape(edges, depths) for edges, depths, message in SHAPES if message]
    lines = {_complaint(func) for func in funcs}
    assert [message for where, message in rules() if lines.isdisjoint(where)] == []
