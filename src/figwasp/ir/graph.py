"""Dominators of a graph of blocks, by slow and simple methods: the verifier's own, to hold those of `order.py` against. Floor 2.

Goes in: blocks whose ids are their places, the entry first, with successors and predecessors. Comes out: numbers by block id.
"""

from __future__ import annotations

from figwasp.ir.func import Block

__all__ = ["immediate_dominators", "intervals", "reverse_postorder"]


def immediate_dominators(blocks: list[Block]) -> list[int]:
    """Return immediate dominators, by iteration over a reverse postorder (Cooper, Harvey, Kennedy); all blocks are reachable."""
    order = reverse_postorder(blocks)
    rank = [-1] * len(blocks)
    for number, block in enumerate(order):
        rank[block.id] = number
    doms = [-1] * len(blocks)
    doms[0] = 0
    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            new = -1
            for pred in block.preds:
                if doms[pred.id] >= 0:
                    new = pred.id if new < 0 else _meet(new, pred.id, doms, rank)
            if doms[block.id] != new:
                doms[block.id] = new
                changed = True
    return doms


def _meet(a: int, b: int, doms: list[int], rank: list[int]) -> int:
    while a != b:
        if rank[a] > rank[b]:
            a = doms[a]
        else:
            b = doms[b]
    return a


def reverse_postorder(blocks: list[Block]) -> list[Block]:
    """Return the blocks that can be reached, each before its successors but for back edges."""
    seen = {0}
    order: list[Block] = []
    work = [(blocks[0], 0)]
    while work:
        block, number = work.pop()
        if number < len(block.succs):
            work.append((block, number + 1))
            succ = block.succs[number]
            if succ.id not in seen:
                seen.add(succ.id)
                work.append((succ, 0))
        else:
            order.append(block)
    order.reverse()
    return order


def intervals(parents: list[int]) -> tuple[list[int], list[int]]:
    """Number the nodes of a tree so that a subtree is an interval; return beginnings and ends."""
    children: list[list[int]] = [[] for _ in parents]
    for number in range(1, len(parents)):
        children[parents[number]].append(number)
    opened = [0] * len(parents)
    closed = [0] * len(parents)
    clock = 0
    work = [0]
    while work:
        number = work.pop()
        if number >= 0:
            clock += 1
            opened[number] = clock
            work.append(~number)
            work += children[number]
        else:
            closed[~number] = clock
    return opened, closed
