"""Floor 4: from a trap recorded in a context to an exception with the wasm frames.

In: program counters, and the table of installed code (`code.ranges`). Out: `errors.Trap`, and wasm frames in the traceback of
whatever a Python function raised.
"""

from __future__ import annotations

from array import array

from figwasp import layout
from figwasp.codegen.code import IN_FRAME
from figwasp.errors import (
    TRAP_EXCEPTION,
    TRAP_INTERRUPTED,
    TRAP_MESSAGES,
    TRAP_OUT_OF_FUEL,
    TRAP_OUT_OF_HEAP,
    TRAP_STACK_EXHAUSTED,
    TRAP_TIMEOUT,
    TRAP_UNREACHABLE,
    Exhaustion,
    Exit,
    Frame,
    Interrupted,
    OutOfFuel,
    Timeout,
    Trap,
    WasmException,
)
from figwasp.ir.types import CELL
from figwasp.runtime.platform import linux
from figwasp.runtime.trap import tracebacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from figwasp.codegen.target import Target
    from figwasp.runtime.code.ranges import CodeTable, Site

_MAX_FRAMES: Final = 1 << 20
_PIECE: Final = 512  # bytes of the stack that are read at first
_LARGEST_PIECE: Final = 1 << 20
_KINDS: Final[dict[int, type[Trap]]] = {
    TRAP_STACK_EXHAUSTED: Exhaustion,
    TRAP_TIMEOUT: Timeout,
    TRAP_OUT_OF_FUEL: OutOfFuel,
    TRAP_INTERRUPTED: Interrupted,
    TRAP_OUT_OF_HEAP: Exhaustion,
}
"""Trap code -> class of the exception, where it is not Trap itself."""


class Backtrace:
    """Frames that are made when they are first needed: a call returns them, or some, innermost first."""

    __slots__ = ("_sites",)

    def __init__(self, sites: list[Site]) -> None:
        self._sites = sites

    def __call__(self, most: int | None = None) -> tuple[Frame, ...]:
        frames = []
        for placed, pc in self._sites[:most]:
            source_map, index = placed.source_map, placed.index
            assert source_map is not None
            module = source_map.module
            frames.append(Frame(module.name or "", index, module.func_name(index), placed.position(pc), source=source_map))
        return tuple(frames)


def trap(code: int) -> Trap:
    """Return the exception for a trap in a builtin; when wasm called that, the frames are added on the way out (`failed`)."""
    return _KINDS.get(code, Trap)(TRAP_MESSAGES[code])


class TrapReporter:
    """Makes the exceptions with which entries fail."""

    __slots__ = ("_table", "_take", "_target")

    def __init__(self, table: CodeTable, target: Target, take: Callable[[int], BaseException]) -> None:
        """Begin.

        Args:
            table: of installed code.
            target: the machine.
            take: takes the exception that nothing has caught out of a context.
        """
        self._table = table
        self._target = target
        self._take = take

    def walk(self, pc: int, sp: int, top: int) -> list[Site]:
        """Return the places in the wasm functions that lead to a pc, innermost first, up to the entry from Python.

        Args:
            pc: of the innermost frame, as `layout.CTX_TRAP_PC`.
            sp: stack pointer there.
            top: end of the stack.
        """
        sites: list[Site] = []
        known: dict[int, tuple[Site | None, int, int, int]] = {}  # by pc: recursion comes back to it
        words = array("Q")  # a piece of the stack, from `start`
        start = sp
        above, pushes = self._target.return_offset, self._target.return_bytes
        popped = -1  # bytes of stack arguments that the callee of the frame in hand pops; nothing has been called at first
        for _ in range(_MAX_FRAMES):
            found = known.get(pc)
            if found is None:
                placed = self._table.find(pc)
                if placed is None:
                    break
                site = (placed, pc) if placed.source_map is not None else None
                found = known[pc] = site, placed.frame_at(pc), placed.incoming, placed.pushed_at(pc)
            shown, size, incoming, pushed = found
            if shown is not None:
                sites.append(shown)
            if popped != pushed and popped >= 0:
                sp += popped - pushed
            sp += size
            if not sp < top:
                break
            popped = incoming if incoming != IN_FRAME else linux.read_u64(sp + above - CELL)
            at = sp + above - start >> 3
            if not 0 <= at < len(words):
                start, at = sp + above, 0
                words = array("Q", linux.read(start, min(top - start, max(_PIECE, min(16 * len(words), _LARGEST_PIECE)))))
            pc = words[at]
            sp += pushes
        return sites

    def explain(self, context: int, code: int, pc: int, sp: int, raised: BaseException | None) -> BaseException:
        """Return the exception with which an entry fails, the wasm frames in its traceback. Called by emitted code (`stubs.leave`).

        Args:
            context: address of the context.
            code: trap code.
            pc, sp: program counter and stack pointer in the innermost wasm function.
            raised: for TRAP_HOST the exception that a Python function raised, else None.
        """
        if raised is not None and isinstance(raised, (Exit, SystemExit, GeneratorExit)):
            return raised
        try:
            sites = self.walk(pc, sp, linux.read_u64(context + layout.CTX_STACK_TOP))
            if raised is None:
                raised = self._take(context) if code == TRAP_EXCEPTION else self._trap(code, pc, sites)
            if isinstance(raised, (Trap, WasmException)):
                raised.take_frames(Backtrace(sites))
            tracebacks.extend(raised, sites)
        except (RecursionError, MemoryError):
            # There is no room for more than the bare exception.
            return _KINDS.get(code, Trap)(TRAP_MESSAGES.get(code, "")) if raised is None else raised
        except BaseException as interrupt:
            if interrupt.__context__ is None and interrupt is not raised:
                interrupt.__context__ = raised
            raise
        return raised

    def _trap(self, code: int, pc: int, sites: list[Site]) -> BaseException:
        """Return the exception for a trap that compiled code recorded: of an explicit trap, the site knows the code better."""
        if code == TRAP_UNREACHABLE or code not in _KINDS:
            placed = self._table.find(pc)
            site = placed.trap_at(pc) if placed is not None else None
            if site is None:
                return SystemError(f"trap {code} at an instruction that may not: {pc:#x}")
            if code == TRAP_UNREACHABLE:
                code = site
        return _KINDS.get(code, Trap)(TRAP_MESSAGES[code], Backtrace(sites))
