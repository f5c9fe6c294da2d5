"""Floor 3: x86-64 selection: the rules of all operations in one table, what shared rules leave open, and the entry point."""

from __future__ import annotations

from typing import Final

from figwasp.codegen import select_call
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64.features import IN_USE
from figwasp.codegen.isa.x64.select import atomic, branch, floats, ints, memory
from figwasp.codegen.mach import AREA, NONE, TO_MEMORY, CallSite, MFunc, MInst
from figwasp.codegen.select import Rule, SelectionHooks, Selector
from figwasp.codegen.target import Target
from figwasp.ir import ops
from figwasp.ir.func import Func, Value
from figwasp.ir.types import CLASSES, FLOAT, I64
from figwasp.lazy import importing


def _nothing(_s: Selector, _value: Value, _rd: int) -> None:
    pass


_FIRST_VECTOR: Final = ops.BY_NAME["i8x16_shuffle"]


def _first_vector(s: Selector, value: Value, rd: int) -> None:
    """Put the rules of vectors into the table, which few programs need, and apply the one that is wanted."""
    with importing:
        from figwasp.codegen.isa.x64.select import lanes, shuffles, vector_floats, vector_sequences, vectors

    for part in (vectors.RULES, vector_sequences.RULES, vector_floats.RULES, lanes.RULES, shuffles.RULES):
        for op, rule in part.items():
            RULES[op] = rule
    missing = [ops.NAMES[op] for op in range(ops.COUNT) if RULES[op] is _first_vector]
    assert not missing, missing
    RULES[value.op](s, value, rd)


def _table() -> list[Rule]:
    """Join the rules; every operation must have one. Those of vectors come in when the first is met."""
    rules: dict[int, Rule] = {ops.NOP: _nothing}
    for part in (memory.RULES, atomic.RULES, branch.RULES, ints.RULES, floats.RULES, select_call.RULES):
        rules.update(part)
    for op in range(_FIRST_VECTOR, ops.COUNT):
        rules.setdefault(op, _first_vector)
    missing = [ops.NAMES[op] for op in range(ops.COUNT) if op not in rules]
    assert not missing, missing
    return [rules[op] for op in range(ops.COUNT)]


RULES: Final = _table()


class _X64Hooks(SelectionHooks):
    __slots__ = ()

    def area_address(self, register: int, offset: int) -> MInst:
        return MInst(x.LEA64_RM, register, NONE, AREA, NONE, offset << 2)

    def fold_callee(self, s: Selector, site: CallSite, code: Value) -> bool:
        """Call through memory at a base register and displacement; what is not so simple is loaded right before the call."""
        if code.op != ops.I64_LOAD or not memory.foldable(s, code):
            return False
        probe = MInst(x.MOV64_RM)
        memory.fold(s, probe, code)
        if probe.rx == NONE and probe.rm != AREA:
            site.kind = TO_MEMORY
            site.address = probe.rm
            site.target = probe.mem >> 2
        else:
            probe.rd = site.address = s.new_register(I64)
            s.code.append(probe)
        return True


_HOOKS: Final = _X64Hooks()


_FLOATS: Final = frozenset(type for type, register_class in enumerate(CLASSES) if register_class == FLOAT)


def _use_avx(func: MFunc) -> None:
    """Change a function to instructions with VEX prefix, whose destination is not tied."""
    twins = x.TWINS
    for block in func.blocks:
        for inst in block.code:
            inst.op = twins[inst.op]


def select(func: Func, target: Target) -> MFunc:
    """Select instructions for a function in SSA form, which is left as it is."""
    selected = Selector(target, RULES, select_call.entry, select_call.arrive, _HOOKS, func).run()
    if IN_USE.avx and not _FLOATS.isdisjoint(selected.types):
        _use_avx(selected)
    return selected
