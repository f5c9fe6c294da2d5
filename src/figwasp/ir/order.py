"""Order of blocks: reachability, predecessors, straight runs, loops, layout, dominators. Floor 2.

Goes in: a function whose blocks stand so that every edge leads forward, or back to a loop header that dominates its start.
That is how wasm code comes, and every pass keeps it. Comes out: the same with

    * no unreachable block, no empty block that could be jumped over, no block that could be part of its only predecessor (that of
      an `invoke` keeps its first successor: nothing else may lead where its results begin);
    * `preds`, `depth`, `loop`, `dom` right, `id` the place in the layout;
    * the blocks of every loop contiguous: what stood among them but leaves the loop comes after it;
    * blocks that end in a trap last, since they are unlikely.

Loops are found from the inside out, by walking back from their back edges. Dominators need one pass, since all forward edges
lead forward; common ancestors are found in O(log n) with one extra pointer per node (Myers, "An applicative random-access
stack", 1983), because walking the tree edge by edge is quadratic in long rows of early exits.
"""

from __future__ import annotations

from figwasp.ir import ops
from figwasp.ir.func import Block, Func

__all__ = ["dominators", "link", "run"]


def run(func: Func) -> None:
    """Bring the blocks of a function into order."""
    link(func)
    if _bypass(func):
        link(func)
    if _merge(func):
        link(func)
    _layout(func)
    dominators(func)


def link(func: Func) -> None:
    """Remove unreachable blocks, number the others, and fill in their predecessors."""
    for block in func.blocks:
        block.id = -1
    entry = func.blocks[0]
    entry.id = 0
    work = [entry]
    while work:
        for succ in work.pop().succs:
            if succ.id < 0:
                succ.id = 0
                work.append(succ)
    blocks: list[Block] = []
    for block in func.blocks:
        if block.id < 0:
            block.succs = []
            block.args = []
        else:
            block.id = len(blocks)
            blocks.append(block)
        block.preds = []
    for block in blocks:
        for succ in block.succs:
            succ.preds.append(block)
    func.blocks = blocks


def _bypass(func: Func) -> bool:
    """Lead edges past blocks that only jump, and make a branch always to one place a jump; return whether any was."""
    changed = False
    for block in reversed(func.blocks):
        changed |= _unbranch(func, block)
        op = block.code[-1].op
        jumps = op == ops.JUMP
        stays = block.succs[0] if op in ops.INVOKES else None
        for slot, succ in enumerate(block.succs):
            if succ is stays:
                continue
            if len(succ.code) != 1 or succ.code[0].op != ops.JUMP or succ.params or succ.loop:
                continue
            target = succ.succs[0]
            # The block in front of a loop stays: the loop is entered by one jump.
            if (succ.args[0] and not jumps) or (target.loop and succ.id < target.id):
                continue
            block.succs[slot] = target
            block.args[slot] = succ.args[0][:]
            changed = True
        changed |= _unbranch(func, block)
    return changed


def _unbranch(func: Func, block: Block) -> bool:
    """Make a branch whose successors are all the same a jump; return whether it was one."""
    end = block.code[-1]
    succs = block.succs
    if (end.op != ops.BRIF and end.op != ops.BRTABLE) or succs.count(succs[0]) != len(succs):
        return False
    block.code[-1] = func.new_value(ops.JUMP, ops.VOID, [], 0, end.pos)
    block.succs = succs[:1]
    block.args = [[]]
    return True


def _merge(func: Func) -> bool:
    """Append to each block the one it jumps to when nothing else goes there; update which blocks are loop headers.

    Return whether any was appended.
    """
    entries = [0] * len(func.blocks)
    repeats = [False] * len(func.blocks)
    for block in func.blocks:
        for succ in block.succs:
            entries[succ.id] += 1
            if succ.id <= block.id:
                repeats[succ.id] = True
    for block in func.blocks:
        if block.loop and not repeats[block.id] and block.code[0].op == ops.POLL:
            del block.code[0]
        block.loop = repeats[block.id]
    merged = False
    for block in func.blocks:
        while block.code and block.code[-1].op == ops.JUMP:
            succ = block.succs[0]
            if entries[succ.id] != 1 or succ.params or succ is block:
                break
            merged = True
            block.code.pop()
            block.code += succ.code
            block.succs = succ.succs
            block.args = succ.args
            succ.code = []
            succ.succs = []
    return merged


def _layout(func: Func) -> None:
    """Find the loops, set `depth`, and order the blocks."""
    blocks = func.blocks
    headers = _loops(blocks)
    # Of each loop, and of the function: blocks and inner loops (by their header) in order.
    units: dict[int, list[Block]] = {-1: []}
    last: list[Block] = []
    for block in blocks:
        header = headers[block.id]
        if block.loop:
            units[block.id] = [block]
        block.depth = (blocks[header].depth if header >= 0 else 0) + block.loop
        if block.code[-1].op == ops.TRAP and block.id:
            last.append(block)
        else:
            units[header].append(block)
    if len(units) == 1:
        func.blocks = units[-1] + last
    else:
        func.blocks = _flatten(units) + last
    for number, block in enumerate(func.blocks):
        block.id = number


def _flatten(units: dict[int, list[Block]]) -> list[Block]:
    """Return the blocks in order, each loop as a whole where its header stands."""
    blocks: list[Block] = []
    work = [iter(units[-1])]
    while work:
        for block in work[-1]:
            if block.loop:
                inner = iter(units[block.id])
                blocks.append(next(inner))
                work.append(inner)
                break
            blocks.append(block)
        else:
            work.pop()
    return blocks


def _loops(blocks: list[Block]) -> list[int]:
    """Return, for each block, the header of the innermost loop around it (for a header: around its loop), or -1."""
    innermost = [-1] * len(blocks)
    # A forest as in union-find: the root of a block is the header of the outermost loop found so far around it.
    above = list(range(len(blocks)))
    for header in reversed(blocks):
        if not header.loop:
            continue
        top = header.id
        work = [pred for pred in header.preds if pred.id >= top]
        while work:
            number = work.pop().id
            while above[number] != number:
                above[number] = number = above[above[number]]
            if number != top:
                # A block of no loop yet, or the header of an inner loop: it belongs here, and so does what leads to it.
                innermost[number] = above[number] = top
                work += blocks[number].preds
    return innermost


def dominators(func: Func) -> None:
    """Set `dom`; needs `link`, and the order of blocks that `run` establishes."""
    blocks = func.blocks
    parents = [0] * len(blocks)
    depths = [0] * len(blocks)
    skips = [0] * len(blocks)
    blocks[0].dom = None
    for number in range(1, len(blocks)):
        block = blocks[number]
        parent = -1
        for pred in block.preds:
            if pred.id < number and pred.id != parent:
                parent = pred.id if parent < 0 else _common(parent, pred.id, parents, depths, skips)
        parents[number] = parent
        depths[number] = depths[parent] + 1
        skip = skips[parent]
        same = depths[parent] - depths[skip] == depths[skip] - depths[skips[skip]]
        skips[number] = skips[skip] if same else parent
        block.dom = blocks[parent]


def _common(a: int, b: int, parents: list[int], depths: list[int], skips: list[int]) -> int:
    """Return the nearest common ancestor of two nodes."""
    if depths[a] < depths[b]:
        a, b = b, a
    depth = depths[b]
    while depths[a] > depth:
        a = skips[a] if depths[skips[a]] >= depth else parents[a]
    while a != b:
        if skips[a] == skips[b]:
            a = parents[a]
            b = parents[b]
        else:
            a = skips[a]
            b = skips[b]
    return a
