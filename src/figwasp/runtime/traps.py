"""Floor 4: from a trap recorded in a context to an exception with the wasm frames.

In: program counters. Out: `errors.Trap`. Compiled functions are registered by address; a walk over the wasm stack needs only the
frame size at each return address, since there is no frame pointer.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import TYPE_CHECKING, Final

from figwasp import layout
from figwasp.errors import (
    TRAP_MESSAGES,
    TRAP_STACK_EXHAUSTED,
    TRAP_UNREACHABLE,
    Exhaustion,
    Frame,
    Trap,
)
from figwasp.runtime import os

if TYPE_CHECKING:
    from figwasp.codegen.code import Code
    from figwasp.wasm.module import Module

_MAX_FRAMES: Final = 10_000


class Placed:
    """A function in place.

    Attributes:
        start, end: addresses of its code.
        module: the module it belongs to; None for a stub, which backtraces leave out.
        index: function index.
        frame_size: bytes between stack pointer and return address.
    """

    __slots__ = ("_odd_frames", "_positions", "_traps", "end", "frame_size", "index", "module", "start")

    def __init__(self, start: int, code: Code, module: Module | None) -> None:
        self.start = start
        self.end = start + len(code.data)
        self.module = module
        self.index = code.index
        self.frame_size = code.frame_size
        self._traps = dict(code.traps)
        self._positions = code.positions
        self._odd_frames = dict(code.odd_frames)

    def frame_at(self, pc: int) -> int:
        """Return the size of the frame at a return address or faulting instruction."""
        return self._odd_frames.get(pc - self.start, self.frame_size)

    def trap_at(self, pc: int) -> int | None:
        """Return the trap code of a site, or None."""
        return self._traps.get(pc - self.start)

    def position(self, pc: int) -> int:
        """Return the byte offset of the wasm instruction at a pc."""
        offset = pc - self.start
        k = bisect_right(self._positions, (offset, 1 << 62)) - 1
        return self._positions[k][1] if k >= 0 else 0

    def frame(self, pc: int, module: Module) -> Frame:
        """Return what a backtrace shows."""
        return Frame(module.name or "", self.index, module.func_name(self.index), self.position(pc))


_starts: Final[list[int]] = []
_placed: Final[dict[int, Placed]] = {}


def register(placed: Placed) -> None:
    """Make a function known by its addresses."""
    insort(_starts, placed.start)
    _placed[placed.start] = placed


def forget(placed: list[Placed]) -> None:
    """Forget functions whose module has gone."""
    for one in placed:
        del _placed[one.start]
        del _starts[bisect_right(_starts, one.start) - 1]


def find(pc: int) -> Placed | None:
    """Return the function at a pc, or None."""
    k = bisect_right(_starts, pc) - 1
    if k < 0:
        return None
    placed = _placed[_starts[k]]
    return placed if pc <= placed.end else None


def walk(pc: int, sp: int, top: int) -> tuple[Frame, ...]:
    """Return the wasm frames from a pc outwards, up to the entry from Python.

    Args:
        pc: of the innermost frame: a return address or the faulting instruction.
        sp: stack pointer there.
        top: end of the stack.
    """
    frames: list[Frame] = []
    placed = find(pc)
    while placed is not None and len(frames) < _MAX_FRAMES:
        if placed.module is not None:
            frames.append(placed.frame(pc, placed.module))
        sp += placed.frame_at(pc)
        if not sp < top:
            break
        pc = os.read_u64(sp)
        sp += 8
        placed = find(pc)
    return tuple(frames)


def resolve(context: int, code: int, pc: int, sp: int) -> Trap:
    """Return the exception for a trap.

    Args:
        context: address of the context.
        code, pc, sp: what the context recorded: trap code, program counter, stack pointer.
    """
    top = os.read_u64(context + layout.CTX_STACK_TOP)
    frames = walk(pc, sp, top)
    if code == TRAP_STACK_EXHAUSTED:
        return Exhaustion(TRAP_MESSAGES[code], frames)
    placed = find(pc)
    site = placed.trap_at(pc) if placed is not None else None
    if site is None:
        raise SystemError(f"trap {code} at an instruction that may not: {pc:#x} {frames[:1]}")
    if code == TRAP_UNREACHABLE:
        code = site
    kind = Exhaustion if code == TRAP_STACK_EXHAUSTED else Trap
    return kind(TRAP_MESSAGES[code], frames)


def raise_trap(context: int, code: int, pc: int, sp: int) -> None:
    """Raise the exception for a trap."""
    raise resolve(context, code, pc, sp)
