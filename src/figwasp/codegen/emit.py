"""Floor 3: the driver of emission: block layout, and where each piece of the code comes from.

In goes an allocated MFunc whose frame is finished; its blocks and out-of-line sequences go through the machine's `Assembler`; out
comes a `Code`.
"""

from __future__ import annotations

from figwasp.codegen import frame
from figwasp.codegen.assembler import ALWAYS, UNBOUND, Assembler
from figwasp.codegen.code import Code
from figwasp.codegen.mach import NONE, MBlock, MFunc
from figwasp.codegen.target import Target


class Origin:
    """The origin of a run of code, which ends where the next begins.

    Attributes:
        offset: its first byte.
        block: id of the machine block, or NONE for what stands at the function's end. Of baseline code, number of the part.
        pos: byte offset of the wasm instruction, 0 if none.
    """

    __slots__ = ("block", "offset", "pos")

    def __init__(self, offset: int, block: int, pos: int) -> None:
        self.offset = offset
        self.block = block
        self.pos = pos


def emit(func: MFunc, target: Target, origins: list[Origin] | None = None) -> Code:
    """Emit an allocated function whose frame is finished.

    Args:
        func: the function.
        target: the machine.
        origins: is filled with the origin of every piece of the code, in order.
    """
    assembler = target.assembler(func)
    targets = assembler.targets
    order = [block for block in func.blocks if targets[block.id] == block.id]
    last = len(order) - 1
    for number, block in enumerate(order):
        assembler.next = order[number + 1].id if number < last else UNBOUND
        assembler.bind(block.id)
        if origins is None:
            assembler.block(block)
        else:
            _trace_block(assembler, block, origins)
    assembler.next = UNBOUND
    for site in assembler.sites:
        assembler.bind(site.label)
        if origins is not None:
            origins.append(Origin(assembler.mark(), NONE, site.pos))
        assembler.site(site)
        if site.back != UNBOUND:
            assembler.branch(ALWAYS, site.back)
    code = assembler.finish()
    code.saved = frame.saved_places(func)
    if origins is not None:
        for origin in origins:
            origin.offset = assembler.place(origin.offset)
        origins.append(Origin(code.text_size - len(assembler.padding()), NONE, 0))
    return code


def _trace_block(assembler: Assembler, block: MBlock, origins: list[Origin]) -> None:
    """Emit a block one instruction at a time and note where each begins, as a mark."""
    part = MBlock(block.id, block.depth)
    part.succs = block.succs
    part.args = block.args
    for inst in block.code:
        origins.append(Origin(assembler.mark(), block.id, inst.pos))
        part.code = [inst]
        assembler.block(part)
