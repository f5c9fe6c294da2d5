"""Floor 0: byte offsets of everything in native memory that compiled code touches.

The builder, the stubs and the runtime all read this one page, so that an offset is written down once. All fields are
8 bytes unless a comment says otherwise; pointers are absolute addresses.
"""

from __future__ import annotations

from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PAGE_SIZE: Final = 65536
"""Bytes in a page of linear memory (spec 4.2.8)."""

GUARD: Final = 0
CHECKED: Final = 1
"""Memory modes: accesses out of bounds fault on guard pages, or are compared with the length first."""

EVERYWHERE: Final = -1
LEAST_MARGIN: Final = 2 << 20  # where a stack of 1 MiB comes first, as in programs of Rust and Zig, static data has such offsets
_MARGINS: Final = (1 << 31, LEAST_MARGIN)


def margin(mode: int, is_64: bool, page: int) -> int:
    """Return what code may rely on beyond the end of a memory: from an index inside of it, what lies not further away is safe.

    It is memory, or an access to it faults, which is a trap. For that, twice as much is kept free behind a memory: what the
    program adds to an index that has been checked, and the offset and the bytes of an access, are each at most one margin.

    Args:
        mode: GUARD or CHECKED.
        is_64: whether addresses have 64 bits.
        page: log2 of the size of a page.

    Returns:
        Bytes; EVERYWHERE when no index can go beyond the guard pages, 0 when the memory may end within a page of the system.
    """
    if page != PAGE_SIZE.bit_length() - 1:
        return 0
    return EVERYWHERE if mode == GUARD and not is_64 else _MARGINS[mode]


def largest(is_64: bool) -> int:
    """Return the most bytes that a memory can have: what addresses reach, and what a process can address at all."""
    return 1 << 47 if is_64 else 1 << 32

FAULT_OFFSET: Final = 1
"""How far behind its start an instruction is said to be that may fault: inside of it, where no call returns to."""

# Context: one per chain of calls. Its address is the pinned register. The ticker thread writes CTX_STACK_LIMIT.
CTX_STACK_LIMIT: Final = 0  # compared with the stack pointer at function entries and loop headers
CTX_REAL_LIMIT: Final = 8  # what CTX_STACK_LIMIT is when no tick is pending
CTX_NATIVE_SP: Final = 16  # native stack pointer to go back to, valid while wasm runs
CTX_WASM_SP: Final = 24  # wasm stack pointer to go on from, valid while native code runs
CTX_STATUS: Final = 32  # the next two as one word: 0 when nothing is to be done on the way out
CTX_TRAP_CODE: Final = 32  # 4 bytes: 0, or one of errors.TRAP_*; for an explicit trap TRAP_UNREACHABLE, the site knows better
CTX_FLAGS: Final = 36  # 4 bytes: FLAG_*
CTX_TRAP_PC: Final = 40  # where it trapped: a return address (explicit trap), or FAULT_OFFSET behind where an instruction starts
CTX_TRAP_SP: Final = 48  # stack pointer at that pc
CTX_FAULT_ADDRESS: Final = 56  # address whose access faulted, 0 for an explicit trap
CTX_THREAD_STATE: Final = 64  # PyThreadState of the thread that owns this chain, 0 when it has never run
CTX_DEPTH: Final = 72  # number of entries from Python that have not returned
CTX_TICKS: Final = 80  # ticks consumed
CTX_MAIN_THREAD: Final = 88  # 1 when the owning thread is the one that runs signal handlers
CTX_STACK_BASE: Final = 96  # lowest address of the wasm stack
CTX_STACK_TOP: Final = 104  # highest address, where the first frame starts
CTX_NATIVE_LIMIT: Final = 112  # lowest native stack pointer at which another entry is allowed
CTX_FUEL: Final = 120  # signed; what metered code may still execute; here because its displacement fits a byte
CTX_NATIVE_SIZE: Final = 128  # how far above CTX_NATIVE_LIMIT the native stack of the owning thread reaches
CTX_SUSPENDED_SP: Final = 136  # wasm stack pointer of a suspended chain, which `resume` goes on from
CTX_TURNS: Final = 144  # of a call that may be suspended: 1 when ticks suspend it so that an event loop has its turn
CTX_TURN: Final = 152  # TURN_*
CTX_STORE: Final = 160  # record of the store that it belongs to
CTX_EXCEPTION: Final = 168  # reference to the exception that is on its way to a handler
CTX_CLAUSE: Final = 176  # number of the clause that catches it, among those of the call that it comes out of
CTX_LANDING_PC: Final = 184  # where `unwind` goes on, and with which stack pointer; 0: nowhere in this entry
CTX_LANDING_SP: Final = 192
CTX_CONTINUATION: Final = 200  # where code goes on in whose place a better one has been made while it runs; 0: in its own
CTX_LEFT_SIZE: Final = 208  # bytes of its frame, a copy of which stands at the lowest address of the stack then
CTX_CELLS: Final = 256  # for each class of cells two words: CELLS_END, CELLS_LOW
CTX_SIZE: Final = 1024

# Free cells of a class, one behind the other, of which the last is taken first
CELLS_END: Final = 0  # where they end
CELLS_LOW: Final = 8  # where they begin; NO_CELLS when there are none, and CELLS_END is 0
CELLS_RECORD_SIZE: Final = 16
NO_CELLS: Final = 2**64 - 1

HELD: Final = 1
"""As CTX_THREAD_STATE, with a depth of 1: no thread's, since a call that a tick has suspended is the next to run in the store."""

TURN_NEVER: Final = 0
TURN_LATER: Final = 1
TURN_NOW: Final = 2
TURN_TAKEN: Final = 3
"""What ticks do with a call that may be suspended: let it run on; the next lets it run on, others suspend it; suspend it; have."""

FLAG_GIL_RELEASED: Final = 1  # this chain has given the GIL up
FLAG_CLEANUP: Final = 0x100  # the outermost entry must call Python on its way out: references are pinned or to be swept;
# in a byte of its own, since any thread may set it
FLAG_LISTENED: Final = 0x10000  # in a byte of its own too: an entry that fails must tell listeners of the calls that end with it
FLAG_INTERRUPTED: Final = 0x1000000  # and this: the outermost entry is to end, with all that it has brought about

# Wasm stack
STACK_ABOVE: Final = 64  # bytes above the first frame
LEFT_FRAME: Final = 4 << 10  # bytes at the lowest address, for the copy of a frame of baseline code; such frames are no larger
STACK_HEADROOM: Final = 64 << 10  # bytes between the lowest address and CTX_REAL_LIMIT: for signal frames, stubs, and that copy

# Record of a function's frames, which stands behind its code (`codegen.unwind`); fields of 4 bytes
FRAME_SIZE: Final = 0  # bytes between the stack pointer in its body and the return address
FRAME_INCOMING: Final = 4  # signed; `Code.incoming`
FRAME_DISTANCE: Final = 8  # from its first byte to the record
FRAME_COUNT: Final = 12  # number of return addresses about which there is something to say
FRAME_INSTANCE: Final = 16  # where it has saved its own instance, from the stack pointer in its body; 0 without a handler
FRAME_SITES: Final = 32  # the rows, by offset
SITE_OFFSET: Final = 0  # of the return address, from the function's first byte
SITE_FRAME: Final = 4  # the size of the frame there
SITE_PUSHED: Final = 8  # `Code.pushed`
SITE_HANDLER: Final = 12  # offset in the record of what is caught there, 0 for nothing
SITE_SIZE_BITS: Final = 4
HANDLER_PAD: Final = 0  # landing pad, from the function's first byte
HANDLER_COUNT: Final = 4  # number of clauses
HANDLER_CLAUSES: Final = 8  # `Call.catches`, 4 bytes each: the place in the instance block of a tag's number, or
ANY_TAG: Final = 0  # for an exception with whatever tag

# Memory record
MEM_BASE: Final = 0  # never moves while the memory lives
MEM_LENGTH: Final = 8  # bytes; becomes less only when an instance is reset, while no code of its store runs
MEM_EXPORTS: Final = 32  # how many buffers there are that Python has got of it and not released (behind fields of `linear`)
MEM_IMAGE: Final = 40  # number of the image whose pages are seen where nothing has been written; 0: zeros are
MEM_RECORD_SIZE: Final = 64

# Table record
TABLE_BASE: Final = 0  # address of an array of 8-byte references; moves when the table grows
TABLE_LENGTH: Final = 8  # elements
TABLE_MOST: Final = 16  # elements that there is room for
TABLE_FILLED: Final = 24  # elements that may be something else than null: never less than the length
TABLE_EXTERN: Final = 32  # 1 when the elements are no functions: objects of the host may be among them, which are counted
TABLE_KEPT: Final = 40  # what FUNCREF_INSTANCE of functions is whose owner the table is known to keep
TABLE_ROOM: Final = 48  # address of the number of elements that the tables of the instance may still get; 0: there is no limit
TABLE_RECORD_SIZE: Final = 64

# Global: 16 bytes. A vector takes all of them; behind a reference to a function stands
GLOBAL_KEPT: Final = 8  # what TABLE_KEPT is in a table
GLOBAL_SIZE: Final = 16

# FuncRef: what a funcref points to
FUNCREF_CODE: Final = 0
FUNCREF_INSTANCE: Final = 8
FUNCREF_TYPE: Final = 16  # 4 bytes: type descriptor
FUNCREF_INDEX: Final = 20  # 4 bytes: function index in its module; HOST_INDEX for a host function
FUNCREF_SIZE: Final = 24
HOST_INDEX: Final = 0xFFFF_FFFF

# References (spec 4.2.1) are words: 0 is null; a reference to a function is the address of a FuncRef. In the hierarchies of any and
# extern bit 0 says that it is an i31, else bit 1 that it is an object of the host; else it is the address of one of the heap.
I31_TAG: Final = 1  # the number, shifted by it, makes up the rest of the low half; the high half is 0
HOST_TAG: Final = 2  # added to the address of the externref cell
REFERENCE_TAGS: Final = 3  # the bits that the two may have


def i31(number: int) -> int:
    """Return the reference that is the low 31 bits of a number."""
    return (number << 1 | I31_TAG) & 0xFFFF_FFFF


def i31_number(reference: int) -> int:
    """Return the number of an i31, with a sign."""
    number = reference >> 1
    return number - (1 << 31) if number >> 30 else number


# Object of the heap
OBJECT_TYPE: Final = 0  # 4 bytes: its type descriptor, never 0
ARRAY_LENGTH: Final = 4  # 4 bytes
OBJECT_FIELDS: Final = 8  # fields of a structure, elements of an array
EXCEPTION_TAG: Final = 8  # of an exception, whose type is that of its tag: number of the tag, which is no other's in the process
EXCEPTION_FIELDS: Final = 16

CELL_SIZES: Final = (
    *range(16, 129, 8), *range(160, 257, 32), *range(320, 513, 64), *range(640, 1025, 128), *range(1280, 2049, 256),
    2720, 3272, 4096, 5456, 6552, 8192, 10920, 16384, 32768,
)  # fmt: skip
"""Class -> bytes of its cells, which hold one object each. What is larger has pages of its own."""


def cell_class(size: int) -> int:
    """Return the class of the smallest cells that hold an object of so many bytes; the number of classes if none does."""
    return bisect_left(CELL_SIZES, size)


# Store record: what an instance points to in order to find the chain that runs it
STORE_CONTEXT: Final = 0
STORE_FREE_EXTERN: Final = 8  # free externref cells, linked through their states; 0: none
STORE_SUSPECTS: Final = 16  # externref cells that may have to go, linked through their links; 0: none
STORE_HEAP: Final = 24  # heap record; 0: nothing has been allocated yet
STORE_DYING: Final = 32  # suspects that no frame and no object refers to, linked likewise
STORE_ARRAYS: Final = 40  # arrays of externref cells, as ARRAY_*; 0: none
STORE_ROOTS: Final = 48  # the first root, or 0
STORE_SIZE: Final = 64

# An array of externref cells, in a list
ARRAY_NEXT: Final = 0
ARRAY_BASE: Final = 8
ARRAY_SIZE: Final = 16

# Root: words that the collector looks at. Roots are a list; each knows the word that points to it
ROOT_NEXT: Final = 0
ROOT_LINK: Final = 8  # address of the word that points to it
ROOT_BASE: Final = 16  # address of the word with the address of the words
ROOT_COUNT: Final = 24  # address of the word with their number
ROOT_OWN_BASE: Final = 32  # these two words themselves, where they stand nowhere else
ROOT_OWN_COUNT: Final = 40
ROOT_COUNTED: Final = 48  # 1: externref cells there are counted, and need not be looked for
ROOT_SIZE: Final = 56

# Heap record
HEAP_BYTES: Final = 0  # of all its blocks
HEAP_USED: Final = 8  # of those that hold objects
HEAP_GOAL: Final = 16  # how far that may grow before there is a collection
HEAP_LIMIT: Final = 24  # bytes of blocks that it may have
HEAP_FREE: Final = 32  # blocks that hold nothing, linked through BLOCK_NEXT; 0: none
HEAP_LARGE: Final = 40  # first blocks of large objects
HEAP_DEAD: Final = 48  # first blocks of large objects that are to be taken back
HEAP_MARKS: Final = 56  # the mark stack: where it begins,
HEAP_MARKED: Final = 64  # and where it ends now
HEAP_STRESS: Final = 72  # 1: a collection at every allocation
HEAP_LIVE: Final = 80  # bytes of the objects that the last collection found
HEAP_COLLECTIONS: Final = 88  # number of them
HEAP_CLASSES: Final = 128  # for each class of cells: blocks that may have free cells, and blocks that have none
HEAP_PARTIAL: Final = 0
HEAP_FULL: Final = 8
HEAP_CLASS_SIZE: Final = 16
HEAP_SIZE: Final = 1024

# Block of the heap: 32 KiB, described in a table of all blocks of the process
BLOCK_BYTES: Final = 1 << 15
BLOCK_HEAP: Final = 0  # the heap that it belongs to, or 0
BLOCK_NEXT: Final = 8  # the next in its list
BLOCK_OBJECT: Final = 16  # of a large object: its address
BLOCK_CELL: Final = 24  # 4 bytes: bytes of its cells, 0 where it has none
BLOCK_INVERSE: Final = 28  # 4 bytes: 2**32 by that, rounded up
BLOCK_END: Final = 32  # 4 bytes: bytes of its cells all together
BLOCK_CURSOR: Final = 36  # 4 bytes: of them those that have been swept
BLOCK_CLEAN: Final = 40  # 1: all of its bytes are 0
BLOCK_LENGTH: Final = 48  # of the first block of a large object: bytes of its blocks
BLOCK_SIZE: Final = 64

# Type descriptor: what code knows of a defined type. All are in one region of the process, and are named by their offset in it,
# which is never 0. Two types are the same when their descriptors are.
TYPE_DISPLAY: Final = 0  # descriptors of the ancestors by depth, 4 bytes each, the type's own at its depth; 0 where there is none
DISPLAY_DEPTHS: Final = 8  # so many, from depth 0, which is that of a type without a supertype
TYPE_PARENT: Final = 32  # 4 bytes: descriptor of the supertype, or 0
TYPE_DEPTH: Final = 36  # 4 bytes
TYPE_KIND: Final = 40  # 4 bytes: KIND_*
TYPE_LAYOUT: Final = 44  # 4 bytes: of a structure its objects' bytes; of a function those of an exception that carries its
# parameters; of an array log2 of the bytes of an element
TYPE_REFERENCES: Final = 48  # bit i: word i of an object is a reference that the collector follows; of an array 1 if elements are
TYPE_MORE: Final = 56  # address of the bits of the words from REFERENCE_BITS on: how many words they take, then these; or 0
TYPE_SIZE: Final = 64
REFERENCE_BITS: Final = 63

KIND_FUNC: Final = 1
KIND_STRUCT: Final = 2
KIND_ARRAY: Final = 3

# Externref cells come in arrays that never move: the cells, one PyObject* each, then three more words for each.
EXTERN_CELLS: Final = 1 << 20
EXTERN_STATE: Final = 8 * EXTERN_CELLS  # from a cell to its state: the next free one; 0 in use by one call; 1 managed by its store
EXTERN_HOLDERS: Final = 16 * EXTERN_CELLS  # to how often it stands in tables, globals and segments
EXTERN_SUSPECT: Final = 24 * EXTERN_CELLS  # to its link: the next suspect; 1: there is none; 0: it is no suspect itself
EXTERN_SIZE: Final = 32 * EXTERN_CELLS  # bytes of an array
EXTERN_KEPT: Final = 1 << 62  # bit in the number of holders of a suspect: code has got it since the last look, or has it

# Instance block, fixed part
INST_STORE: Final = 0  # store record
INST_STATE: Final = 8  # address of the slot that holds the instance's Python side, which builtins work on
INST_OWNER: Final = 16  # PyObject* (borrowed) of the owner of this block
INST_ROOM: Final = 24  # table elements that the instance may still get, where there is a limit
INST_TABLES: Final = 32  # addresses in this block, for builtins, which serve any module: of the pointers to the records of tables,
INST_DATAS: Final = 40  # of the data segments,
INST_ELEMS: Final = 48  # and of the element segments
INST_DESCRIPTORS: Final = 56  # address of the region of type descriptors
INST_FIXED: Final = 64

# Segment: of a data segment bytes that nobody writes, of an element segment references; both empty when it has been dropped
SEGMENT_BASE: Final = 0
SEGMENT_LENGTH: Final = 8
SEGMENT_SIZE: Final = 16


class InstanceLayout:
    """Offsets of the variable part of an instance block for one module.

    Attributes:
        size: bytes of the whole block.
        num_imported_funcs: functions below this index are reached by pointer.
        structures: index of a type -> offsets of the fields and bytes of its objects, as far as somebody has asked for them.
    """

    __slots__ = (
        "_datas",
        "_elems",
        "_funcrefs",
        "_globals",
        "_imports",
        "_memories",
        "_tables",
        "_tags",
        "_types",
        "num_imported_funcs",
        "size",
        "structures",
    )

    def __init__(
        self,
        types: int,
        imported_funcs: int,
        defined_funcs: int,
        memories: int,
        tables: int,
        num_globals: int,
        elems: int,
        datas: int,
        tags: int,
    ) -> None:
        offset = INST_FIXED
        self.num_imported_funcs = imported_funcs
        self.structures: dict[int, tuple[list[int], int]] = {}
        self._memories = offset
        offset += 16 * memories
        self._tables = offset
        offset += 8 * tables
        self._globals = offset
        offset += GLOBAL_SIZE * num_globals
        self._imports = offset
        offset += 16 * imported_funcs
        self._types = offset
        offset += (4 * types + 7) & ~7
        self._funcrefs = offset
        offset += FUNCREF_SIZE * defined_funcs
        self._elems = offset
        offset += SEGMENT_SIZE * elems
        self._datas = offset
        offset += SEGMENT_SIZE * datas
        self._tags = offset
        offset += 8 * tags
        self.size = offset

    def memory_record(self, index: int) -> int:
        """Return the offset of the pointer to the record of memory `index`."""
        return self._memories + 16 * index

    def memory_base(self, index: int) -> int:
        """Return the offset of the copy of the base address of memory `index` (it never changes)."""
        return self._memories + 16 * index + 8

    def table_record(self, index: int) -> int:
        """Return the offset of the pointer to the record of table `index`."""
        return self._tables + 8 * index

    def global_cell(self, index: int) -> int:
        """Return the offset of global `index`: its value if defined here, a pointer to it if imported."""
        return self._globals + GLOBAL_SIZE * index

    def tag(self, index: int) -> int:
        """Return the offset of the number of tag `index`."""
        return self._tags + 8 * index

    def elem(self, index: int) -> int:
        """Return the offset of element segment `index`."""
        return self._elems + SEGMENT_SIZE * index

    def data(self, index: int) -> int:
        """Return the offset of data segment `index`."""
        return self._datas + SEGMENT_SIZE * index

    def imported_func(self, index: int) -> int:
        """Return the offset of the pointer to the FuncRef of imported function `index`."""
        return self._imports + 16 * index

    def imported_instance(self, index: int) -> int:
        """Return the offset of the copy of FUNCREF_INSTANCE of imported function `index` (it never changes)."""
        return self._imports + 16 * index + 8

    def type_id(self, index: int) -> int:
        """Return the offset of the 4 bytes that name the descriptor of type `index`."""
        return self._types + 4 * index

    def funcref(self, index: int) -> int:
        """Return the offset of the FuncRef of defined function `index` (index among all functions)."""
        return self._funcrefs + FUNCREF_SIZE * (index - self.num_imported_funcs)


