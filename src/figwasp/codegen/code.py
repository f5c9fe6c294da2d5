"""Floor 3: the product of the compiler: bytes, and what the runtime must know about them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# How a relocation's field holds the distance to the word it refers to. Every machine has this one and may have more of its own.
FIELD_NEAR: Final = 0  # as the machine's calls, jumps and loads have it

# What the word holds (`codegen.words`)
RELOC_CELL: Final = 0  # the address of a function; target: its index
RELOC_BUILTIN: Final = 1  # the address of a builtin; target: its number
RELOC_STUB: Final = 2  # the address of a stub; target: STUB_*
RELOC_SYMBOL: Final = 3  # what a symbol stands for; target: index into `Code.symbols`
RELOC_COUNTER: Final = 4  # how often baseline code of a function may still run before it is hot; target: the function's index

STUB_TRAP: Final = 0  # called out of line; the return address tells the site
STUB_TICK: Final = 1  # called out of line by POLL and prologues; preserves every register
STUB_UNWIND: Final = 2  # jumped to
STUB_TO_WASM: Final = 3  # called by convention "c" stubs: switch to the wasm stack and call the scratch register
STUB_TO_NATIVE: Final = 4  # called from wasm: switch to the native stack and call the scratch register
STUB_FUEL: Final = 5  # called out of line by FUEL; preserves every register
STUB_RESTORE_INSTANCE: Final = 6  # returned to, where a tail call has left the instance: gives the caller its instance back
STUB_ALLOCATE: Final = 7  # called out of line for a cell of the class in the scratch register; preserves all but the result's
STUB_HOT: Final = 8  # called out of line by baseline code that has run often; preserves every register
STUB_COUNT: Final = 9

OPTIMIZED: Final = 0
"""As `Code.tier`."""
IN_FRAME: Final = -1
"""As `Code.incoming`: what the word below the return address says."""


class Code:
    """Machine code of one function, position independent but for its relocations.

    Attributes:
        name, index: as of the function.
        data: instructions followed by the constant pool; the pool's loads are already relative.
        relocs: (offset, FIELD_*, RELOC_*, target) of each.
        symbols: names of the symbols that relocations refer to.
        traps: (offset, trap code): offset of the return address of an explicit trap, or `layout.FAULT_OFFSET` behind the start
            of an instruction that may fault.
        positions: (offset, wasm byte offset) of return addresses of calls and of trap sites as in `traps`, ascending.
        frame_size: bytes between the stack pointer in the body and the return address.
        frame_size_exceptions: (offset, frame size) of return addresses at which the frame has another size, in the prologue of
            large frames.
        incoming: bytes of stack arguments, which the function pops when it returns; IN_FRAME for a stub that stands in for any
            function.
        pushed: (offset, bytes) of the return addresses of calls that pass stack arguments: how many the callee is to pop. When a
            walk over frames goes from a callee to its caller, `incoming` of the one minus `pushed` of the other is to be added
            to the stack pointer: what is called need not be what is running, after a tail call.
        saved: (register, offset) of the callee-saved registers that it saves, from the stack pointer in the body.
        handlers: (offset, what is caught, offset of the landing pad) of the return addresses of calls that may continue elsewhere,
            several for a call that catches several things, in order. Of a tag it is the offset in the instance block where its
            address stands, else `layout.ANY_TAG`. At the pad the stack pointer is that of the body, and no register holds anything.
        text_size: bytes of instructions, without the pool.
        tier: OPTIMIZED, or of baseline code how many cells of its frame come before that which holds local 0, from the stack
            pointer, and one more. Where baseline code traps and calls is found out when somebody asks.
    """

    __slots__ = (
        "data",
        "frame_size",
        "frame_size_exceptions",
        "handlers",
        "incoming",
        "index",
        "name",
        "positions",
        "pushed",
        "relocs",
        "saved",
        "symbols",
        "text_size",
        "tier",
        "traps",
    )

    def __init__(self, name: str, index: int) -> None:
        self.name = name
        self.index = index
        self.data = b""
        self.text_size = 0
        self.tier = OPTIMIZED
        self.relocs: list[tuple[int, int, int, int]] = []
        self.symbols: list[str] = []
        self.traps: list[tuple[int, int]] = []
        self.positions: list[tuple[int, int]] = []
        self.frame_size = 0
        self.frame_size_exceptions: list[tuple[int, int]] = []
        self.incoming = 0
        self.pushed: list[tuple[int, int]] = []
        self.saved: list[tuple[int, int]] = []
        self.handlers: list[tuple[int, int, int]] = []

    def without_symbols(self, relocs: list[tuple[int, int, int, int]]) -> Code:
        """Return the same code with other relocations, of which none refers to a symbol."""
        other = Code(self.name, self.index)
        for attribute in Code.__slots__:
            setattr(other, attribute, getattr(self, attribute))
        other.relocs = relocs
        other.symbols = []
        return other
