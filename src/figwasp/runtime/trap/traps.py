"""Floor 4: from a trap recorded in a context to an exception with the wasm frames.

In: program counters. Out: `errors.Trap`, and wasm frames in the traceback of whatever a Python function raised. Compiled functions
are registered by address; a walk over the wasm stack needs only the frame size at each return address, since there is no frame
pointer.
"""

from __future__ import annotations

import ctypes
from array import array
from bisect import bisect_right, insort
from typing import TYPE_CHECKING, Final

from figwasp import layout
from figwasp.errors import (
    TRAP_MESSAGES,
    TRAP_OUT_OF_FUEL,
    TRAP_STACK_EXHAUSTED,
    TRAP_TIMEOUT,
    TRAP_UNREACHABLE,
    Exhaustion,
    Frame,
    OutOfFuel,
    Timeout,
    Trap,
)
from figwasp.runtime.platform import linux
from figwasp.runtime.trap import tracebacks

if TYPE_CHECKING:
    from figwasp.codegen.code import Code
    from figwasp.runtime.trap.tracebacks import Entry
    from figwasp.wasm.syntax.module import Module

_MAX_FRAMES: Final = 1 << 20
_PIECE: Final = 512  # bytes of the stack that are read at first
_KINDS: Final[dict[int, type[Trap]]] = {TRAP_STACK_EXHAUSTED: Exhaustion, TRAP_TIMEOUT: Timeout, TRAP_OUT_OF_FUEL: OutOfFuel}
"""Trap code -> class of the exception, where it is not Trap itself."""


class Placed:
    """A function in place.

    Attributes:
        start, end: addresses of its code.
        module: the module it belongs to; None for a stub, which backtraces leave out.
        index: function index.
        frame_size: bytes between stack pointer and return address.
        entries: what tracebacks show of it, by pc (see `tracebacks`).
    """

    __slots__ = ("_frame_size_exceptions", "_positions", "_traps", "end", "entries", "frame_size", "index", "module", "start")

    def __init__(self, start: int, code: Code, module: Module | None) -> None:
        self.start = start
        self.end = start + len(code.data)
        self.module = module
        self.index = code.index
        self.frame_size = code.frame_size
        self._traps = dict(code.traps)
        self._positions = code.positions
        self._frame_size_exceptions = dict(code.frame_size_exceptions)
        self.entries: dict[int, list[Entry]] = {}

    def frame_at(self, pc: int) -> int:
        """Return the size of the frame at a return address or faulting instruction."""
        return self._frame_size_exceptions.get(pc - self.start, self.frame_size)

    def trap_at(self, pc: int) -> int | None:
        """Return the trap code of a site, or None."""
        return self._traps.get(pc - self.start)

    def position(self, pc: int) -> int:
        """Return the byte offset of the wasm instruction at a pc."""
        offset = pc - self.start
        k = bisect_right(self._positions, (offset, 1 << 62)) - 1
        return self._positions[k][1] if k >= 0 else 0


Site = tuple[Placed, int]
"""A place in a wasm function: the function, and a return address or the faulting instruction."""


class Backtrace:
    """Frames that are made when somebody asks: calling it gives them, innermost first."""

    __slots__ = ("_sites",)

    def __init__(self, sites: list[Site]) -> None:
        self._sites = sites

    def __call__(self) -> tuple[Frame, ...]:
        frames = []
        for placed, pc in self._sites:
            module, index = placed.module, placed.index
            assert module is not None
            name = module.func_name(index)
            frames.append(Frame(module.name or "", index, name, placed.position(pc), source=module.source_map))
        return tuple(frames)


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


def walk(pc: int, sp: int, top: int) -> list[Site]:
    """Return where the wasm functions are that lead to a pc, innermost first, up to the entry from Python.

    Args:
        pc: of the innermost frame: a return address or the faulting instruction.
        sp: stack pointer there.
        top: end of the stack.
    """
    sites: list[Site] = []
    known: dict[int, tuple[Site | None, int]] = {}  # pc -> site to be shown, size of the frame: recursion comes back to it
    words = array("Q")  # a piece of the stack, from `start`
    start = sp
    for _ in range(_MAX_FRAMES):
        found = known.get(pc)
        if found is None:
            placed = find(pc)
            if placed is None:
                break
            found = known[pc] = ((placed, pc) if placed.module is not None else None, placed.frame_at(pc))
        site, size = found
        if site is not None:
            sites.append(site)
        sp += size
        if not sp < top:
            break
        at = sp - start >> 3
        if at >= len(words):
            words = array("Q", linux.read(sp, min(top - sp, max(_PIECE, 16 * len(words)))))
            start, at = sp, 0
        pc = words[at]
        sp += 8
    return sites


def trap(code: int) -> Trap:
    """Return the exception for what a builtin finds wrong; called from wasm, it gets its frames on the way out (`failed`)."""
    return Trap(TRAP_MESSAGES[code])


def failed(context: int, code: int, pc: int, sp: int, raised: BaseException | None) -> BaseException:
    """Return the exception with which an entry fails, the wasm frames in its traceback. Called by emitted code (`stubs.leave`).

    Args:
        context: address of the context.
        code: trap code.
        pc, sp: program counter and stack pointer in the innermost wasm function.
        raised: for TRAP_HOST the exception that a Python function raised, else None.
    """
    if raised is not None and isinstance(raised, (SystemExit, GeneratorExit)):
        return raised
    try:
        sites = walk(pc, sp, linux.read_u64(context + layout.CTX_STACK_TOP))
        if raised is None:
            raised = _trap(code, pc, sites)
        elif isinstance(raised, Trap):
            raised.take_frames(Backtrace(sites))
        tracebacks.extend(raised, sites)
    except (RecursionError, MemoryError, ctypes.ArgumentError):  # ctypes wraps the first two when it looks at arguments
        # There is no room for more than the bare exception.
        return _KINDS.get(code, Trap)(TRAP_MESSAGES.get(code, "")) if raised is None else raised
    except BaseException as interrupt:
        if interrupt.__context__ is None and interrupt is not raised:
            interrupt.__context__ = raised
        raise
    return raised


def _trap(code: int, pc: int, sites: list[Site]) -> BaseException:
    """Return the exception for what compiled code recorded: of an explicit trap, the site knows better."""
    if code == TRAP_UNREACHABLE or code not in _KINDS:
        placed = find(pc)
        site = placed.trap_at(pc) if placed is not None else None
        if site is None:
            return SystemError(f"trap {code} at an instruction that may not: {pc:#x}")
        if code == TRAP_UNREACHABLE:
            code = site
    return _KINDS.get(code, Trap)(TRAP_MESSAGES[code], Backtrace(sites))
