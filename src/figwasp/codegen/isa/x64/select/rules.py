"""Floor 3: x86-64 selection: the rules of all operations in one table, and the entry point."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64.select import branch, call, floats, ints, memory
from figwasp.codegen.mach import MFunc
from figwasp.codegen.select import Rule, Selector
from figwasp.codegen.target import Target
from figwasp.ir import ops
from figwasp.ir.func import Func, Value


def _nothing(_s: Selector, _value: Value, _rd: int) -> None:
    pass


def _table() -> list[Rule]:
    """Join the rules; every operation must have one."""
    rules: dict[int, Rule] = {ops.NOP: _nothing}
    for part in (memory, branch, ints, floats, call):
        rules.update(part.RULES)
    missing = [ops.NAMES[op] for op in range(ops.COUNT) if op not in rules]
    assert not missing, missing
    return [rules[op] for op in range(ops.COUNT)]


RULES: Final = _table()


def select(func: Func, target: Target) -> MFunc:
    """Select instructions for a function in SSA form, which is left as it is."""
    return Selector(target, RULES, call.entry, func).run()
