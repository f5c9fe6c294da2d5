"""Checker of the SSA form: the promises of `ops.py` and `func.py`. Floor 2.

Goes in: a function. Comes out: nothing, or `BrokenFunc` naming function, block and value: then some pass is wrong, never the
guest. It trusts nothing that passes compute (predecessors, dominators, depths, loops) and finds these on its own, with
slow and simple methods (`graph.py`). docs/ir.md lists the rules, each with what is said here when it is broken.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from figwasp.errors import TRAP_MESSAGES
from figwasp.ir import builtins, ops
from figwasp.ir.func import CATCH_ANY, CONV_C, CONV_WASM, PARAM, Block, Call, Func, Value
from figwasp.ir.graph import immediate_dominators, intervals, reverse_postorder
from figwasp.ir.text import show_value
from figwasp.ir.types import BITS, BY_LETTER
from figwasp.layout import CELL_SIZES

__all__ = ["BrokenFunc", "verify"]

_TYPE_OF_NAME: Final = {name: type for type, name in ops.TYPE_NAMES.items()}
_LEAD: Final = {
    ops.CALL: 1,
    ops.CALL_PTR: 2,
    ops.CALL_BUILTIN: 1,
    ops.CALL_C: 1,
    ops.ENTER_WASM: 2,
    ops.CALL_NATIVE: 1,
    ops.TAIL: 1,
    ops.TAIL_PTR: 2,
    ops.INVOKE: 1,
    ops.INVOKE_PTR: 2,
    ops.INVOKE_BUILTIN: 1,
}
"""Operands of a call before the parameters: code, instance or address."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.:]+")
_FUNCTIONS: Final = range(1 << 31)
_BUILTINS: Final = range(builtins.COUNT)
_TARGETS: Final = {
    ops.CALL: _FUNCTIONS, ops.INVOKE: _FUNCTIONS, ops.TAIL: _FUNCTIONS, ops.CALL_BUILTIN: _BUILTINS, ops.INVOKE_BUILTIN: _BUILTINS,
}  # fmt: skip
"""The ranges of `Call.target`; that of other calls is -1."""


class BrokenFunc(AssertionError):
    """A function in SSA form breaks a rule."""


class _Checker:
    __slots__ = ("block", "func", "stage", "value")

    def __init__(self, func: Func, stage: str) -> None:
        self.func = func
        self.stage = stage
        self.block: Block | None = None
        self.value: Value | None = None

    def fail(self, message: str) -> NoReturn:
        where = f"function {self.func.index} {self.func.name!r}"
        if self.stage:
            where += f" after {self.stage}"
        if self.block is not None:
            where += f", block {self.block!r}"
        if self.value is not None:
            where += f", {_shown(self.value, self.block)!r}"
        raise BrokenFunc(f"{where}: {message}")

    def expect(self, condition: bool, message: str) -> None:
        if not condition:
            self.fail(message)

    def check_signature(self) -> None:
        """Check the convention and the types of the function."""
        func = self.func
        self.expect(func.conv == CONV_WASM or func.conv == CONV_C, f"there is no convention {func.conv}")
        self._expect_types(func.params + func.results, "parameters and results")
        if func.conv == CONV_C:
            self.expect(len(func.results) <= 1, "a C function has one result at most")
        else:
            self.expect(func.params[:1] == bytes((ops.I64,)), "the first parameter must be the instance")

    def _expect_types(self, types: bytes, of: str) -> None:
        self.expect(all(type < len(BITS) for type in types), f"{of} must have types")

    # Values

    def check_values(self) -> None:
        """Check ids, operands and results of all values."""
        seen: set[int] = set()
        starts = {block: end for block, end in map(_continuation, self.func.blocks) if end is not None}
        for block in self.func.blocks:
            self.block = block
            for value in block.params:
                self.value = value
                self.expect(value.op == PARAM and not value.args, "a parameter must have op PARAM and no operands")
                self.expect(value.type < len(BITS), "a parameter must have a type")
                self._check_id(value, seen)
            for number, value in enumerate(block.code):
                self.value = value
                self.expect(0 <= value.op < ops.COUNT, f"unknown operation {value.op}")
                self._check_id(value, seen)
                last = number == len(block.code) - 1
                self.expect(last == bool(ops.FLAGS[value.op] & ops.TERMINATOR), "terminators are last, and only they")
                self._check_operands(value)
                if value.op == ops.RESULT:
                    self._check_result(value, block.code[number - 1] if number else starts.get(block, value))
            self.value = None
            self.expect(bool(block.code), "a block must not be empty")

    def _check_result(self, value: Value, before: Value) -> None:
        call = value.args[0]
        follows = before is call or (before.op == ops.RESULT and before.args[0] is call)
        self.expect(follows and (before is call or before.aux < value.aux), "a result must follow its call")  # type: ignore[operator]

    def _check_id(self, value: Value, seen: set[int]) -> None:
        self.expect(0 <= value.id < self.func.num_values, f"id out of range {self.func.num_values}")
        self.expect(value.id not in seen, "its id is taken")
        seen.add(value.id)

    def _check_operands(self, value: Value) -> None:
        op = value.op
        if ops.OPERANDS[op] == "*":
            self._check_special(value)
            return
        if op == ops.CONST or op == ops.SELECT:
            self.expect(value.type < len(BITS), "the result must have a type")
        types = [BY_LETTER.get(letter, value.type) for letter in ops.OPERANDS[op]]
        self.expect([arg.type for arg in value.args] == types, f"operands must be {_names(types)}")
        if op == ops.CONST:
            self.expect(0 <= self._int(value) < 1 << BITS[value.type], "the bits of a constant must fit its type")
        elif op != ops.SELECT:
            self._check_type(value, ops.RESULTS[op])
        if op == ops.FUEL:
            self.expect(0 < self._int(value) < 1 << 31, "what is spent must be positive and fit 32 bits")
        elif op == ops.ALLOCATE:
            self.expect(0 <= self._int(value) < len(CELL_SIZES), "there is no such class of cells")
        elif op == ops.FRAME_AREA:
            self.expect(self._int(value) > 0, "a frame area must have bytes")
        elif op == ops.THREAD_WORD:
            self.expect(0 <= self._int(value) < 1 << 32, "the offset of a word of the thread must fit 32 bits")
        elif op == ops.SYMBOL:
            name = value.aux
            self.expect(isinstance(name, str) and _NAME.fullmatch(name) is not None, "a symbol must have a name")
        elif op in ops.WITH_AUX:
            self._check_lanes(value)
        elif op == ops.TRAPIF or op == ops.TRAP:
            self.expect(self._int(value) in TRAP_MESSAGES, f"there is no trap code {value.aux}")

    def _check_lanes(self, value: Value) -> None:
        name = ops.NAMES[value.op]
        lanes = int(name.partition("_")[0].partition("x")[2])
        if name == "i8x16_shuffle":
            numbers = self._int(value).to_bytes(max(16, self._int(value).bit_length() + 7 >> 3), "little")
            self.expect(len(numbers) == 16 and max(numbers) < 2 * lanes, "a shuffle has 16 numbers below 32")
        else:
            self.expect(0 <= self._int(value) < lanes, f"there are {lanes} lanes")

    def _check_type(self, value: Value, type: int) -> None:
        self.expect(value.type == type, f"the result must be {ops.TYPE_NAMES[type]}")

    def _int(self, value: Value) -> int:
        if not isinstance(value.aux, int):
            self.fail("aux must be an int")
        return value.aux

    def _check_special(self, value: Value) -> None:
        op = value.op
        if op in _LEAD:
            self._check_call(value)
        elif op == ops.RESULT:
            self.expect(len(value.args) == 1 and isinstance(value.args[0].aux, Call), "the operand must be a call")
            call = value.args[0].aux
            assert isinstance(call, Call)
            self.expect(1 <= self._int(value) < len(call.results), "the call has no such result")
            self._check_type(value, call.results[self._int(value)])
        elif op == ops.RETURN:
            types = list(self.func.results)
            self.expect([arg.type for arg in value.args] == types, f"operands must be {_names(types)}")
            self._check_type(value, ops.VOID)
        else:
            self._check_access(value)

    def _check_call(self, value: Value) -> None:
        call = value.aux
        if not isinstance(call, Call):
            self.fail("aux must be a Call")
        self._expect_types(call.params + call.results, "operands and results of a call")
        types = [ops.I64] * _LEAD[value.op] + list(call.params)
        self.expect([arg.type for arg in value.args] == types, f"operands must be {_names(types)}")
        tail = value.op in ops.TAILS
        same = call.results == self.func.results and (value.op != ops.TAIL or value.args[:1] == self.func.blocks[0].params[:1])
        self.expect(not tail or same, "a tail call must have the results of the function, inside the module its instance")
        self._check_type(value, call.results[0] if call.results and not tail else ops.VOID)
        self._check_callee(value.op, call)
        if value.op == ops.CALL_BUILTIN or value.op == ops.INVOKE_BUILTIN:
            self._check_builtin(call)

    def _check_callee(self, op: int, call: Call) -> None:
        caught = call.catches == CATCH_ANY or (op in ops.INVOKES and call.catches != ())
        self.expect(caught, "an invoke must catch something, and only an invoke")
        self.expect(call.target in _TARGETS.get(op, (-1,)), f"{ops.NAMES[op]} has no target {call.target}")
        if op == ops.CALL_C or op == ops.CALL_NATIVE:
            self.expect(len(call.results) <= 1, "a C function has one result at most")
        if op == ops.CALL_C or op == ops.ENTER_WASM:
            self.expect(self.func.conv == CONV_C, f"{ops.NAMES[op]} stands in functions of convention c only")
        self.expect(op != ops.CALL_NATIVE or len(call.params) <= 4, "a native call has 4 parameters at most")

    def _check_builtin(self, call: Call) -> None:
        signature = builtins.PARAMS[call.target], builtins.RESULTS[call.target]
        types = " -> ".join(_names(list(part)) for part in signature)
        self.expect((call.params, call.results) == signature, f"{builtins.NAMES[call.target]} is {types}")

    def _check_access(self, value: Value) -> None:
        op = value.op
        args = value.args
        name = ops.NAMES[op]
        region = ops.aux_region(self._int(value))
        self.expect(0 <= region <= ops.REGION_INITIAL or region >= ops.REGION_MEMORY, f"there is no region {region}")
        self.expect(not ops.FLAGS[op] & ops.WRITES or region != ops.REGION_CONST, "what never changes must not be written")
        self.expect(not ops.FLAGS[op] & ops.READS or region != ops.REGION_INITIAL, "the first content must not be read as such")
        data = ops.DATA[op]
        stored = name.partition("_")[0]
        same = all(arg.type == _TYPE_OF_NAME[stored] for arg in args[:data])
        self.expect(len(args) >= data and same, f"the value must be {stored}")
        args = args[data:]
        self.expect(1 <= len(args) <= 2 and args[0].type == ops.I64, "the base must be i64")
        self.expect(len(args) == 1 or args[1].type in (ops.I32, ops.I64), "the index must be an integer")
        self._check_type(value, ops.RESULTS[op])

    # Edges

    def check_edges(self) -> None:
        """Check successors, predecessors and block arguments."""
        func = self.func
        blocks = func.blocks
        entry = blocks[0]
        self.expect([param.type for param in entry.params] == list(func.params), "the entry's parameters differ")
        preds: list[list[int]] = [[] for _ in blocks]
        for number, block in enumerate(blocks):
            self.block = block
            self.expect(block.id == number, f"its id must be its place {number}")
        for block in blocks:
            self.block = block
            self._check_branch(block)
            for succ, args in zip(block.succs, block.args):
                self.expect(succ is not entry, "nothing may lead to the entry")
                self.expect(0 <= succ.id < len(blocks) and blocks[succ.id] is succ, f"{succ!r} is not in the function")
                types = [param.type for param in succ.params]
                self.expect([arg.type for arg in args] == types, f"{succ!r} takes {_names(types)}")
                preds[succ.id].append(block.id)
        for block in blocks:
            self.block = block
            if block.code[-1].op in ops.INVOKES:
                alone = preds[block.succs[0].id] == [block.id]
                self.expect(alone, "nothing else may lead to where an invoke goes on")
            same = sorted(pred.id for pred in block.preds) == preds[block.id]
            self.expect(same and all(blocks[pred.id] is pred for pred in block.preds), "its predecessors are wrong")

    def _check_branch(self, block: Block) -> None:
        op = block.code[-1].op
        count = len(block.succs)
        if op == ops.JUMP:
            wanted = count == 1
        elif op == ops.BRIF or op in ops.INVOKES:
            wanted = count == 2
        elif op == ops.BRTABLE:
            wanted = count >= 1
        else:
            wanted = count == 0
        self.expect(wanted, f"{count} successors do not suit its end")
        self.expect(len(block.args) == count, "every edge needs a list of arguments")
        self.expect(op == ops.JUMP or not any(block.args), "only a jump may carry arguments")

    # Dominance

    def check_dominance(self) -> None:
        """Check that every definition comes before its uses on every path, and the loops."""
        blocks = self.func.blocks
        parents = self._dominators()
        opened, closed = intervals(parents)
        defined_in: dict[Value, Block] = {}
        place: dict[Value, int] = {}
        for block in blocks:
            for value in block.params:
                defined_in[value] = block
                place[value] = -1
            for number, value in enumerate(block.code):
                defined_in[value] = block
                place[value] = number
            start, invoke = _continuation(block)
            if invoke is not None:
                defined_in[invoke] = start
                place[invoke] = -1
        for block in blocks:
            self.block = block
            right = blocks[parents[block.id]] if block.id else None
            self.expect(block.dom is right, "its dominator is wrong")
            uses = [(number, value, arg) for number, value in enumerate(block.code) for arg in value.args]
            end = len(block.code)
            uses += [(end, block.code[-1], arg) for args in block.args for arg in args]
            for number, value, arg in uses:
                self.value = value
                there = defined_in.get(arg)
                if there is None:
                    self.fail(f"{arg!r} is not in the function")
                if there is block:
                    self.expect(place[arg] < number, f"{arg!r} comes later")
                else:
                    inside = opened[there.id] <= opened[block.id] and closed[block.id] <= closed[there.id]
                    self.expect(inside, f"{arg!r} does not dominate this use")
            self.value = None
        self._check_loops(opened, closed)

    def _dominators(self) -> list[int]:
        """Return immediate dominators; every block has one but the entry, whose own it is."""
        blocks = self.func.blocks
        reached = {block.id for block in reverse_postorder(blocks)}
        for block in blocks:
            self.block = block
            self.expect(block.id in reached, "it cannot be reached")
        return immediate_dominators(blocks)

    def _check_loops(self, opened: list[int], closed: list[int]) -> None:
        """Check that loops have one entry, are contiguous, and that flags and depths are right."""
        blocks = self.func.blocks
        depths = [0] * len(blocks)
        for header in blocks:
            self.block = header
            inside = [
                p for p in header.preds if opened[header.id] <= opened[p.id] and closed[p.id] <= closed[header.id]
            ]
            for pred in header.preds:
                self.expect(
                    pred in inside or pred.id < header.id, f"the edge from {pred!r} enters a loop beside its header"
                )
            self.expect(header.loop == bool(inside), f"loop is {header.loop}")
            if not inside:
                continue
            outside = [pred for pred in header.preds if pred not in inside]
            self.expect(len(outside) == 1, "a loop must be entered from one block")
            self.expect(outside[0].code[-1].op == ops.JUMP, "a loop must be entered by a jump")
            members = {header.id}
            work = inside
            while work:
                block = work.pop()
                if block.id not in members:
                    members.add(block.id)
                    work += block.preds
            whole = members == set(range(header.id, header.id + len(members)))
            self.expect(whole, f"the loop of {sorted(members)} is not contiguous or does not begin with its header")
            for number in members:
                depths[number] += 1
        for block in blocks:
            self.block = block
            self.expect(block.depth == depths[block.id], f"its depth must be {depths[block.id]}")


def _continuation(block: Block) -> tuple[Block, Value | None]:
    """Return where the results of an `invoke` at the end of a block are defined, and the `invoke`; None without one."""
    end = block.code[-1] if block.code else None
    if end is not None and end.op in ops.INVOKES and block.succs:
        return block.succs[0], end
    return block, None


def _shown(value: Value, block: Block | None) -> str:
    """Return a value as text, or its name when it is too broken for that."""
    try:
        return show_value(value, block)
    except Exception:
        return f"{value!r}"


def _names(types: list[int]) -> str:
    return "(" + ", ".join(ops.TYPE_NAMES[type] for type in types) + ")"


def verify(func: Func, stage: str = "") -> None:
    """Check a function in order.

    Args:
        func: the function.
        stage: the stage that ran last, for the message.

    Raises:
        BrokenFunc: the function breaks a rule.
    """
    checker = _Checker(func, stage)
    checker.expect(bool(func.blocks), "a function must have a block")
    for check in (checker.check_signature, checker.check_values, checker.check_edges, checker.check_dominance):
        checker.block = None
        check()
