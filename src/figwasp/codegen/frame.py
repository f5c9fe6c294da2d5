"""Floor 3: the layout of a function's frame, after register allocation.

In go the sizes that selection and allocation left in the MFunc; `finish` rounds them and fills in `frame_size`. Frames need no
frame pointer. From the stack pointer in the body upwards:

    outgoing    stack arguments of calls, a multiple of 16 bytes
    area        IR frame_area, 16-byte aligned
    slots       spill slots, in cells; the first is 16-byte aligned
    saved       callee-saved registers, a cell each
    padding     so that the stack pointer is 16-byte aligned at calls
    return      the return address, if it comes in a register and the function calls anything
    return address, if the call pushes it, and incoming stack arguments: not part of frame_size
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import FUEL, NONE, TRAP, TRAPIF, MFunc
from figwasp.codegen.target import Target
from figwasp.ir.types import CELL

ALIGNMENT: Final = 16


def finish(func: MFunc, target: Target) -> None:
    """Round the parts of the frame and compute its size."""
    func.outgoing = _round(func.outgoing)
    func.area = _round(func.area)
    size = saved_offset(func) + CELL * len(func.saved)
    if target.link_reg != NONE and (size or func.has_calls or func.polls or _calls_stubs(func)):
        size += CELL
    if size or func.has_calls or func.polls:
        # the caller's stack pointer was aligned when the call pushed the return address
        size = _round(size + target.return_bytes) - target.return_bytes
    func.frame_size = size


def area_offset(func: MFunc) -> int:
    """Return the offset of the frame area from the stack pointer."""
    return func.outgoing


def slots_offset(func: MFunc) -> int:
    """Return the offset of spill slot 0 from the stack pointer."""
    return func.outgoing + func.area


def saved_offset(func: MFunc) -> int:
    """Return the offset of the first saved register from the stack pointer."""
    return slots_offset(func) + CELL * func.num_slots


def saved_places(func: MFunc) -> list[tuple[int, int]]:
    """Return the callee-saved registers that are saved, and their offsets from the stack pointer."""
    first = saved_offset(func)
    return [(register, first + CELL * number) for number, register in enumerate(func.saved)]


def caller(target: Target, pointer: int, size: int) -> tuple[int, int]:
    """Return the address of the word that holds a frame's return address, and the stack pointer of its caller.

    Where a call leaves the return address in a register, a frame of size 0 has no such word: its function has called nothing.

    Args:
        target: the machine.
        pointer: the stack pointer in the function.
        size: of the frame there: `Code.frame_size`, or what `Code.frame_size_exceptions` says.
    """
    end = pointer + size
    return end + target.return_offset, end + target.return_bytes


def _round(size: int) -> int:
    return (size + ALIGNMENT - 1) & -ALIGNMENT


def _calls_stubs(func: MFunc) -> bool:
    """Return whether a function has out-of-line calls besides those that `has_calls` and `polls` tell of."""
    return any(inst.op in (TRAP, TRAPIF, FUEL) for block in func.blocks for inst in block.code)
