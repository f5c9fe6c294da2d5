"""Removal of block parameters and values that are not needed. Floor 2.

Goes in: a function in order. Comes out: the same function without

    * values without effect whose result nobody uses, and parameters likewise, even when they use each other in a circle;
    * parameters that always get one and the same value (or themselves): that value takes their place.

Ids are compacted. The builder makes a parameter for every local that differs where paths meet or is written in a loop; most
of these are neither needed nor different, so this pass comes first, and again after simplification.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import ops, order
from figwasp.ir.func import PARAM, Block, Func, Value

__all__ = ["run"]

_PURE: Final = 0
_LOAD: Final = 1
_EFFECT: Final = 2


def _effect(op: int) -> int:
    flags = ops.FLAGS[op]
    if flags & ops.PURE or op == ops.RESULT:
        return _PURE
    return _LOAD if flags & ops.READS and not flags & ops.ORDERED else _EFFECT


_EFFECTS: Final = [_effect(op) for op in range(ops.COUNT)]
_LINEAR: Final = ops.memory_aux(0, ops.REGION_MEMORY)
"""The smallest aux of an access to linear memory, which may trap."""


def run(func: Func) -> None:
    """Remove parameters and values that are not needed."""
    order.link(func)
    columns = _columns(func)
    live = _mark(func, columns)
    same = _redundant(func, columns, live)
    _rewrite(func, live, same)
    _renumber(func)


def _columns(func: Func) -> list[tuple[Value, ...]]:
    """Return the arguments of each parameter, by its id; other entries are empty."""
    rows: list[list[list[Value]]] = [[] for _ in func.blocks]
    for block in func.blocks:
        for succ, args in zip(block.succs, block.args):
            if args:
                rows[succ.id].append(args)
    columns: list[tuple[Value, ...]] = [()] * func.num_values
    for block in func.blocks:
        for param, column in zip(block.params, zip(*rows[block.id])):
            columns[param.id] = column
    return columns


def _mark(func: Func, columns: list[tuple[Value, ...]]) -> bytearray:
    """Return, by id, 1 for values with an effect and everything they depend on."""
    live = bytearray(func.num_values)
    work: list[Value] = []
    for block in func.blocks:
        for value in block.code:
            effect = _EFFECTS[value.op]
            if effect:
                if effect == _LOAD:
                    aux = value.aux
                    assert isinstance(aux, int)
                    if aux < _LINEAR:
                        continue
                live[value.id] = 1
                work += value.args
    while work:
        value = work.pop()
        if not live[value.id]:
            live[value.id] = 1
            work += columns[value.id] if value.op == PARAM else value.args
    return live


def _redundant(func: Func, columns: list[tuple[Value, ...]], live: bytearray) -> list[Value | None]:
    """Return, by id, what takes the place of a parameter, or None.

    That may be a parameter which is itself replaced.
    """
    same: list[Value | None] = [None] * func.num_values
    users: dict[int, list[Value]] = {}
    work = [param for block in func.blocks[1:] for param in block.params if live[param.id]]
    for param in work:
        for arg in columns[param.id]:
            if arg.op == PARAM and arg is not param:
                if arg.id in users:
                    users[arg.id].append(param)
                else:
                    users[arg.id] = [param]
    while work:
        again: dict[int, Value] = {}
        for param in work:
            if same[param.id] is None:
                only = _only(param, columns[param.id], same)
                if only is not None:
                    same[param.id] = only
                    for user in users.get(param.id, ()):
                        again[user.id] = user
        work = list(again.values())
    return same


def _only(param: Value, column: tuple[Value, ...], same: list[Value | None]) -> Value | None:
    """Return the one value that a parameter gets besides itself, or None."""
    only: Value | None = None
    for arg in column:
        value = _resolve(arg, same) if arg.op == PARAM else arg
        if value is not only and value is not param:
            if only is not None:
                return None
            only = value
    return only


def _resolve(value: Value, same: list[Value | None]) -> Value:
    """Return what stands for a value in the end, and shorten the way to it."""
    found = same[value.id]
    if found is None:
        return value
    following = same[found.id]
    while following is not None:
        same[value.id] = following
        value = found
        found = following
        following = same[found.id]
    return found


def _rewrite(func: Func, live: bytearray, same: list[Value | None]) -> None:
    """Drop what is not needed and put in replacements."""
    keeps: list[list[int] | None] = [None] * len(func.blocks)
    for block in func.blocks[1:]:
        params = block.params
        keep = [number for number, param in enumerate(params) if live[param.id] and same[param.id] is None]
        if len(keep) < len(params):
            keeps[block.id] = keep
            block.params = [params[number] for number in keep]
    replaced = len(same) - same.count(None)
    for block in func.blocks:
        block.code = [value for value in block.code if live[value.id]]
        if replaced:
            _replace(block, same)
        for slot, succ in enumerate(block.succs):
            kept = keeps[succ.id]
            args = block.args[slot]
            if kept is not None:
                args = [args[number] for number in kept]
            block.args[slot] = [_resolve(arg, same) if arg.op == PARAM else arg for arg in args] if replaced else args


def _replace(block: Block, same: list[Value | None]) -> None:
    """Put the replacements of parameters into operands."""
    for value in block.code:
        args = value.args
        for number, arg in enumerate(args):
            if arg.op == PARAM and same[arg.id] is not None:
                args[number] = _resolve(arg, same)


def _renumber(func: Func) -> None:
    """Give values dense ids in the order of the layout."""
    number = 0
    for block in func.blocks:
        for value in block.params:
            value.id = number
            number += 1
        for value in block.code:
            value.id = number
            number += 1
    func.num_values = number
