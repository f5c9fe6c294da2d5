"""Floor 3: the end of a function of the baseline compiler, where everything gets its place.

In: a body that has been walked. Out: `Code`. Frames, from the stack pointer upwards, in cells: operands, the instance, the caller's
frame pointer, locals; where something is caught, the caller's other registers. The frame pointer says where locals are, whatever
the number of operands has turned out to be.

Where code traps and calls is told only when somebody wants to know: then the function is compiled once more.
"""

from __future__ import annotations

from itertools import accumulate
from struct import Struct

from figwasp.codegen.baseline.template import LARGE_FRAME, NoTemplate
from figwasp.codegen.baseline.tokens import INSTRUCTION
from figwasp.codegen.code import FIELD_NEAR, RELOC_COUNTER, RELOC_STUB, STUB_HOT, STUB_TICK, Code
from figwasp.codegen.isa import host
from figwasp.codegen.mach import STACK
from figwasp.ir.types import CELL
from figwasp.layout import LEFT_FRAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from figwasp.codegen.baseline.body import Body

__all__ = ["Ending", "Notes", "finish", "notes"]

_FIELD: Final = 4  # bytes of a distance
_pack: Final = Struct("<i").pack
_pack_into: Final = Struct("<i").pack_into


class Notes:
    """What there is to know of code when something happens in it.

    Attributes:
        traps, positions: as in `Code`.
        loops: (offset, wasm byte offset of the loop) of return addresses of calls of STUB_HOT at the head of a loop.
    """

    __slots__ = ("loops", "positions", "traps")

    def __init__(self) -> None:
        self.traps: list[tuple[int, int]] = []
        self.positions: list[tuple[int, int]] = []
        self.loops: list[tuple[int, int]] = []


def finish(body: Body) -> Code:
    """Return the code of a function.

    Raises:
        NoTemplate: its frame is too large.
    """
    return Ending(body).code


def notes(body: Body) -> Notes:
    """Return what there is to know of the code of a function, whose pieces are those that note it.

    Raises:
        NoTemplate: as for `finish`.
    """
    return Ending(body).notes()


class Ending:
    """A function that gets its end.

    Attributes:
        code: the code.
    """

    __slots__ = ("_body", "_data", "_first", "_machine", "_shift", "_slow", "_starts", "code")

    def __init__(self, body: Body) -> None:
        """Put everything in its place.

        Raises:
            NoTemplate: the frame is too large.
        """
        machine = self._machine = body.pieces.machine
        self._body = body
        size = self._frame_size()
        head, slow, counts = self._head(size)
        self._shift = shift = len(head)
        self._slow = slow + [(shift + piece, token, stub) for piece, token, stub in body.slow]
        self._first = shift + len(body.out) + 1  # piece out of line
        out = [*head, *body.out, machine.epilogue(size, body.signature.stack_bytes), *[machine.SLOW] * len(self._slow)]
        self._starts = [0, *accumulate(map(len, out))]
        self._data = bytearray(b"".join(out))
        code = self.code = Code(body.pieces.module.func_name(body.index) or "", body.index)
        code.frame_size = size
        code.incoming = body.signature.stack_bytes
        code.tier = body.deepest + machine.CELLS_BEFORE_LOCALS + 1
        pointer = CELL * body.deepest + machine.BIAS
        code.saved = [(machine.FRAME_POINTER, pointer + machine.SAVED_POINTER)]
        self._fill_branches()
        self._add_handlers(pointer)
        for piece in counts + [shift + piece for piece in body.counts]:
            code.relocs.append((self._starts[piece] - _FIELD, FIELD_NEAR, RELOC_COUNTER, body.index))
        self._append_constants()
        self._append_tables()
        code.data = bytes(self._data)

    def _frame_size(self) -> int:
        """Return the bytes between the stack pointer and the return address: the latter stands at an odd multiple of 8."""
        machine = self._machine
        body = self._body
        kept = len(machine.KEPT) if body.scopes else 0
        cells = body.deepest + machine.CELLS_BEFORE_LOCALS + len(body.locals) + kept
        size: int = CELL * (cells | 1)
        if size > LEFT_FRAME:
            raise NoTemplate(LARGE_FRAME)
        return size

    def _head(self, size: int) -> tuple[list[bytes], list[tuple[int, int, int]], list[int]]:
        """Return the pieces that the function begins with; those of them behind branches out of line and fields of the counter."""
        machine = self._machine
        body = self._body
        begin, rest = machine.prologue(size, CELL * body.deepest + machine.BIAS)
        entry = [rest]
        stacked = []
        params = body.signature.params
        for number, place in enumerate(params):
            local = CELL * number + machine.FIRST_LOCAL
            if place < STACK:
                entry.append(machine.STORE_LOCAL[place].at(local))
            else:
                above = size + CELL + CELL * (place - STACK)
                stacked.append(machine.LOAD_SLOT[machine.THROUGH].at(above) + machine.STORE_LOCAL[machine.THROUGH].at(local))
        entry += stacked
        if body.scopes:
            entry.append(machine.keep(len(body.locals)))
        entry.append(machine.clear(CELL * len(params) + machine.FIRST_LOCAL, len(body.locals) - len(params)))
        tick = (1, ~0, STUB_TICK)
        if not body.counted:
            return [begin, b"".join(entry)], [tick], []
        count = [machine.COUNT, machine.branch(machine.HOT)]
        return [begin, *count, b"".join(entry)], [tick, (3, ~0, STUB_HOT)], [2]

    def _fill(self, end: int, goal: int) -> None:
        """Fill in the distance to a goal from where a branch ends."""
        _pack_into(self._data, end - _FIELD, goal - end)

    def _fill_branches(self) -> None:
        machine = self._machine
        body, starts, shift, fill = self._body, self._starts, self._shift, self._fill
        for number, (piece, _, stub) in enumerate(self._slow, self._first):
            fill(starts[piece], starts[number])
            fill(starts[number + 1], starts[piece])
            self.code.relocs.append((starts[number] + machine.CALL_FIELD, FIELD_NEAR, RELOC_STUB, stub))
        for label in body.closed:
            goal = starts[shift + label.place]
            for piece in label.branches:
                fill(starts[shift + piece], goal)
        for piece, place in body.otherwise:
            fill(starts[shift + piece], starts[shift + place])

    def _add_handlers(self, pointer: int) -> None:
        """Tell what calls catch, and where that goes on; fill in landing pads what the frame pointer is."""
        body, starts, shift, code = self._body, self._starts, self._shift, self.code
        if not body.scopes:
            return
        machine = self._machine
        code.saved += [(register, pointer + place) for register, place in machine.kept_places(len(body.locals))]
        for scope in body.scopes:
            pad = starts[shift + scope.pad]
            catches = scope.catches()
            for piece, offset in scope.calls:
                at = starts[shift + piece] + offset
                code.handlers += [(at, caught, pad) for caught in catches]
        for piece in body.landings:
            _pack_into(self._data, starts[shift + piece] - _FIELD, pointer)

    def _append_constants(self) -> None:
        """Fill in the fields of pieces, and append the constants that they refer to."""
        data, relocs = self._data, self.code.relocs
        users: dict[bytes, list[tuple[int, int]]] = {}
        for piece, _, fix in self._body.fixes:
            at = self._starts[self._shift + piece]
            for offset, field, kind, target in fix.relocs:
                relocs.append((at + offset, field, kind, target))
            for offset, behind, constant in fix.pool:
                users.setdefault(constant, []).append((at + offset, behind))
        data += host().filler  # the return address of a last call belongs to this function, not to the next one
        self.code.text_size = len(data)
        for constant in sorted(users, key=len, reverse=True):
            data += bytes(-len(data) % len(constant))
            for at, behind in users[constant]:
                _pack_into(data, at, len(data) - at - _FIELD - behind)
            data += constant

    def _append_tables(self) -> None:
        """Append the tables of switches."""
        data, starts, shift = self._data, self._starts, self._shift
        for piece, back, goals in self._body.switches:
            data += bytes(-len(data) % _FIELD)
            table = len(data)
            at = starts[shift + piece] - back
            _pack_into(data, at, table - at - _FIELD)
            data += b"".join([_pack(starts[shift + goal] - table) for goal in goals])

    def offsets(self, pieces: Iterable[int]) -> list[int]:
        """Return where pieces of the body begin in the code; the last may be what stands behind the body."""
        return [self._starts[self._shift + piece] for piece in pieces]

    @property
    def out_of_line(self) -> int:
        """The offset of what stands behind the epilogue."""
        return self._starts[self._first]

    def notes(self) -> Notes:
        """Return where the code traps and calls."""
        machine = self._machine
        found, body, starts = Notes(), self._body, self._starts
        places = [*accumulate((len(run) + len(control) for run, control in body.cut), initial=body.begin)]
        for number, (piece, token, stub) in enumerate(self._slow, self._first):
            at = starts[number] + len(machine.CALL)
            pos = places[~token] if token < 0 else places[token] + len(body.cut[token][0])
            found.positions.append((at, pos))
            if stub == STUB_HOT and piece > self._shift:
                found.loops.append((at, pos))
        for piece, token, fix in body.fixes:
            at = starts[self._shift + piece]
            run = body.cut[token][0]
            instrs = [match.start() for match in INSTRUCTION.finditer(run)]
            found.traps += [(at + offset, trap) for offset, trap in fix.traps]
            for offset, instr in fix.positions:
                found.positions.append((at + offset, places[token] + (instrs[instr - 1] if instr else len(run))))
        found.positions.sort()
        found.traps.sort()
        return found
