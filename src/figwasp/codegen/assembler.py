"""Floor 3: what one function's emission gathers, whatever the machine: branches, out-of-line code, fields, data after the code.

`emit` drives it; a machine derives its own, which makes the bytes; out comes a `Code`. Theory of operation:

The text grows in one buffer that does not contain its branches. A branch is a cut in the buffer: where, on which condition, to
which label. When all is emitted every cut is given its size (short where it fits) in one pass: backward distances are known
exactly by then, forward ones are estimated with long branches between, which can only be too far. So choosing is linear, and
nothing is moved twice. Until then a place in the code is a mark: the buffer offset plus the number of cuts before it, in one int.

Constants and jump tables are items placed after the text, largest alignment first.
"""

from __future__ import annotations

import struct
from typing import Final

from figwasp.codegen.code import FIELD_NEAR, Code
from figwasp.codegen.mach import JUMP, MBlock, MFunc

ALWAYS: Final = -1
"""The condition of an unconditional branch."""

UNBOUND: Final = -1
CUT: Final = 1 << 32
"""A mark is offset + CUT * cuts."""
OFFSET: Final = CUT - 1


class Site:
    """A sequence at the function's end.

    Attributes:
        label: where it starts.
        back: label it goes on to, or UNBOUND.
        kind: the assembler's own.
        trap: trap code.
        pos: byte offset of the wasm instruction.
    """

    __slots__ = ("back", "kind", "label", "pos", "trap")

    def __init__(self, label: int, back: int, kind: int, trap: int, pos: int) -> None:
        self.label = label
        self.back = back
        self.kind = kind
        self.trap = trap
        self.pos = pos


class Assembler:
    """The code of one function under emission. A machine derives its own class and fills in the four hooks at the end.

    Attributes:
        func: the function.
        buf: bytes of the text without branches.
        next: label of the block that follows the one in hand, or UNBOUND.
        targets: label for each block id, after jump threading.
        labels: mark of each label.
        sites: sequences to append at the end.
        relocs, traps, positions, frame_size_exceptions, pushed, handlers: as in `Code`, with marks for offsets, and labels of pads.
    """

    __slots__ = (
        "_cut_conditions",
        "_cut_labels",
        "_cut_offsets",
        "_fixups",
        "_items",
        "_shifts",
        "_tables",
        "buf",
        "func",
        "handlers",
        "labels",
        "next",
        "frame_size_exceptions",
        "positions",
        "pushed",
        "relocs",
        "sites",
        "targets",
        "traps",
    )

    def __init__(self, func: MFunc) -> None:
        self.func = func
        self.buf = bytearray()
        self.next = UNBOUND
        self.targets = thread(func.blocks)
        self.labels = [UNBOUND] * len(self.targets)
        self.sites: list[Site] = []
        self.relocs: list[tuple[int, int, int, int]] = []
        self.traps: list[tuple[int, int]] = []
        self.positions: list[tuple[int, int]] = []
        self.frame_size_exceptions: list[tuple[int, int]] = []
        self.pushed: list[tuple[int, int]] = []
        self.handlers: list[tuple[int, tuple[int, ...], int]] = []
        self._cut_offsets: list[int] = []
        self._cut_conditions: list[int] = []
        self._cut_labels: list[int] = []
        self._shifts: list[int] = [0]
        self._fixups: list[tuple[int, int, int]] = []
        self._tables: list[list[int]] = []
        self._items: list[int] = []

    # Places

    def mark(self) -> int:
        """Return the mark of the place that is reached."""
        return len(self.buf) + len(self._cut_offsets) * CUT

    def new_label(self) -> int:
        """Make a label that is bound to no place yet."""
        self.labels.append(UNBOUND)
        return len(self.labels) - 1

    def bind(self, label: int) -> None:
        """Bind a label to the place that is reached."""
        self.labels[label] = len(self.buf) + len(self._cut_offsets) * CUT

    def branch(self, condition: int, label: int) -> None:
        """Branch to a label on a condition the machine has, or ALWAYS."""
        self._cut_offsets.append(len(self.buf))
        self._cut_conditions.append(condition)
        self._cut_labels.append(label)

    def jump(self, label: int) -> None:
        """Go on at a label: no code when it comes next."""
        if label != self.next:
            self.branch(ALWAYS, label)

    def record(self, pos: int, trap: int = 0) -> None:
        """Record the place that is reached as a return address or a trap site."""
        mark = len(self.buf) + len(self._cut_offsets) * CUT
        if pos:
            self.positions.append((mark, pos))
        if trap:
            self.traps.append((mark, trap))

    def reloc(self, kind: int, target: int, field: int = FIELD_NEAR) -> None:
        """Append a field that refers outside."""
        self.relocs.append((self.mark(), field, kind, target))
        self.buf += bytes(self.field_sizes[field])

    def pool_field(self, index: int, rest: int) -> None:
        """Append a near field that refers to a pool constant; `rest` bytes of its instruction follow."""
        self._fixups.append((self.mark(), index, rest))
        self.buf += bytes(self.field_sizes[FIELD_NEAR])

    def table_field(self, labels: list[int]) -> None:
        """Append a near field that refers to a new table of 4-byte distances from the table to each label."""
        self._fixups.append((self.mark(), len(self.func.pool) + len(self._tables), 0))
        self._tables.append(labels)
        self.buf += bytes(self.field_sizes[FIELD_NEAR])

    # Finishing

    def finish_without_pool(self) -> tuple[Code, list[tuple[int, int, int]]]:
        """Finish without constants; return offset, index and rest, as `pool_field` has them, of what refers to them."""
        pool, fixups = self.func.pool, self._fixups
        self.func.pool, self._fixups = [], []
        code = self.finish()
        self.func.pool = pool
        return code, [(self.place(mark), item, rest) for mark, item, rest in fixups]

    def finish(self) -> Code:
        """Give the branches their sizes, and every place its offset."""
        data = self._join(self._choose_sizes())
        data += self.padding()  # the return address of a last call belongs to this function, not to the next one
        code = Code(self.func.name, self.func.index)
        code.text_size = len(data)
        code.frame_size = self.func.frame_size
        code.incoming = self.func.incoming
        code.symbols = self.func.symbols
        self._append_items(data)
        shifts = self._shifts
        code.relocs = [((mark & OFFSET) + shifts[mark >> 32], field, kind, target) for mark, field, kind, target in self.relocs]
        code.traps = [((mark & OFFSET) + shifts[mark >> 32], trap) for mark, trap in self.traps]
        code.positions = [((mark & OFFSET) + shifts[mark >> 32], pos) for mark, pos in self.positions]
        code.frame_size_exceptions = [((mark & OFFSET) + shifts[mark >> 32], size) for mark, size in self.frame_size_exceptions]
        code.pushed = [((mark & OFFSET) + shifts[mark >> 32], size) for mark, size in self.pushed]
        for mark, catches, label in self.handlers:
            offset, pad = self.place(mark), self.place(self.labels[label])
            code.handlers += [(offset, caught, pad) for caught in catches]
        code.data = bytes(data)
        return code

    def _choose_sizes(self) -> list[bool]:
        """Decide which branches are short, and by how many bytes the cuts before a place shift it."""
        reach = self.short_reach
        short_size = self.short_size
        long_jump = self.long_jump
        long_branch = self.long_branch
        labels = self.labels
        shifts = self._shifts
        worst = [0]  # bytes of branches before, were all of them long
        total = 0
        for condition in self._cut_conditions:
            total += long_jump if condition < 0 else long_branch
            worst.append(total)
        short: list[bool] = []
        shift = 0
        for cut, (offset, condition, label) in enumerate(
            zip(self._cut_offsets, self._cut_conditions, self._cut_labels)
        ):
            mark = labels[label]
            before = mark >> 32
            if before > cut:
                fits = (mark & OFFSET) + worst[before] - offset - worst[cut + 1] <= reach
            else:
                fits = offset + shift + short_size - (mark & OFFSET) - shifts[before] <= reach
            short.append(fits)
            shift += short_size if fits else long_jump if condition < 0 else long_branch
            shifts.append(shift)
        return short

    def _join(self, short: list[bool]) -> bytearray:
        """Return the text with its branches in it."""
        parts: list[bytes] = []
        buf = bytes(self.buf)
        labels = self.labels
        shifts = self._shifts
        branch_bytes = self.branch_bytes
        start = 0
        for cut, (offset, condition, label) in enumerate(
            zip(self._cut_offsets, self._cut_conditions, self._cut_labels)
        ):
            mark = labels[label]
            parts.append(buf[start:offset])
            distance = (mark & OFFSET) + shifts[mark >> 32] - offset - shifts[cut + 1]
            parts.append(branch_bytes(condition, distance, short[cut]))
            start = offset
        parts.append(buf[start:])
        return bytearray(b"".join(parts))

    def _append_items(self, data: bytearray) -> None:
        """Append constants and tables, and fill in the fields that refer to them."""
        pool = self.func.pool
        places = [0] * (len(pool) + len(self._tables))
        for size in (16, 8, 4):
            for index, constant in enumerate(pool):
                if len(constant) == size:
                    data += bytes(-len(data) % size)
                    places[index] = len(data)
                    data += constant
        if self._tables:
            data += bytes(-len(data) % 4)
        for index, targets in enumerate(self._tables):
            start = places[len(pool) + index] = len(data)
            offsets = {label: self.place(self.labels[label]) - start for label in set(targets)}
            data += struct.pack(f"<{len(targets)}i", *[offsets[label] for label in targets])
        for mark, item, rest in self._fixups:
            self.fill(data, self.place(mark), places[item], rest)

    def place(self, mark: int) -> int:
        """Return the final offset of a mark."""
        return (mark & OFFSET) + self._shifts[mark >> 32]

    # The machine's part

    field_sizes: list[int]
    """Bytes of the fields of relocations, by `code.FIELD_*`."""
    short_size: int
    """Bytes of a short branch."""
    short_reach: int
    """Longest distance of a short branch, from its end."""
    long_jump: int
    """Bytes of a long branch without condition."""
    long_branch: int
    """Bytes of a long branch with a condition."""

    def branch_bytes(self, condition: int, distance: int, short: bool) -> bytes:
        """Encode a branch; the distance counts from its end."""
        raise NotImplementedError

    def block(self, block: MBlock) -> None:
        """Emit the instructions of a block."""
        raise NotImplementedError

    def site(self, site: Site) -> None:
        """Emit the sequence of a site, its label bound; the driver adds the jump back."""
        raise NotImplementedError

    def fill(self, data: bytearray, field: int, goal: int, rest: int) -> None:
        """Fill in a near field that refers to another place of the same function.

        Args:
            data: the function.
            field: offset of the field.
            goal: offset of what it refers to.
            rest: bytes of its instruction that follow the field.
        """
        raise NotImplementedError

    def padding(self) -> bytes:
        """Return an instruction that never runs, to end the text with."""
        raise NotImplementedError


def thread(blocks: list[MBlock]) -> list[int]:
    """Map each block id to the block its jumps reach: blocks that only jump are passed through."""
    size = max(block.id for block in blocks) + 1
    targets = list(range(size))
    onward = [UNBOUND] * size
    for block in blocks[1:]:
        if len(block.code) == 1 and block.code[0].op == JUMP:
            onward[block.id] = block.succs[0].id
    for block in blocks:
        id = block.id
        if onward[id] == UNBOUND:
            continue
        path: list[int] = []
        while onward[id] != UNBOUND:  # each link is walked once and then cut
            path.append(id)
            following = onward[id]
            onward[id] = UNBOUND
            id = following
        final = targets[id]
        for passed in path:
            targets[passed] = final
    return targets
