"""Floor 3: the layout of a function's frame, after register allocation.

In go the sizes that selection and allocation left in the MFunc; `finish` rounds them and fills in `frame_size`. Frames need no
frame pointer. From the stack pointer in the body upwards:

    outgoing    stack arguments of calls, a multiple of 16 bytes
    area        IR frame_area, 16-byte aligned
    slots       spill slots, 8 bytes each
    saved       callee-saved registers, 8 bytes each
    padding     so that the stack pointer is 16-byte aligned at calls
    return address and incoming stack arguments: not part of frame_size
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import MFunc
from figwasp.codegen.target import Target

WORD: Final = 8
ALIGNMENT: Final = 16


def finish(func: MFunc, target: Target) -> None:
    """Round the parts of the frame and compute its size."""
    func.outgoing = _round(func.outgoing)
    func.area = _round(func.area)
    size = saved_offset(func) + WORD * len(func.saved)
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
    return slots_offset(func) + WORD * func.num_slots


def _round(size: int) -> int:
    return (size + ALIGNMENT - 1) & -ALIGNMENT
