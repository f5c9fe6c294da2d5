"""Floor 3: x86-64's code written by hand: what is known of it without the instruction tables, and where it comes from.

The instructions themselves are in `switches`, which is imported when one of them is to be made.
"""

from __future__ import annotations

import struct
from functools import cache

from figwasp.codegen.isa.x64.features import PROBE_WORDS
from figwasp.codegen.isa.x64.frames import KEPT_SIZE, SAVED
from figwasp.codegen.sequences import FaultPlaces, Sequence, Sequences, SwitchPlaces, TickerPlaces
from figwasp.lazy import importing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

_LOOK: Final = 32  # bytes of a function that are looked at
_ENDBR: Final = bytes.fromhex("F30F1EFA")
_LOAD_FS: Final = bytes.fromhex("64488B0425")  # mov rax, fs:offset
_LOAD_RIP: Final = bytes.fromhex("488B05")  # mov rax, [rip + distance], the offset
_LOAD_FS_RAX: Final = bytes.fromhex("64488B00")  # mov rax, fs:[rax]
_GOT_LOAD: Final = len(_LOAD_RIP) + 4
_LEA_INDEX: Final = bytes.fromhex("4883EC0866488D3D")  # sub rsp, 8; lea rdi, [rip + distance], a tls_index
_INDEX_CALL: Final = len(_LEA_INDEX) + 4
_CALL: Final = bytes.fromhex("666648E8")  # call __tls_get_addr, padded as the ABI of thread-local storage wants it
_INDEX_END: Final = _INDEX_CALL + len(_CALL) + 4
_LOAD_RAX: Final = bytes.fromhex("488B00")  # mov rax, [rax]

_LAZY_FRAME: Final = SAVED + 8
_LAZY_ENTRY: Final = struct.Struct("<BiBBIBi")
"""push bytes; mov r11d, index; jmp lazy."""

_PROBE: Final = bytes.fromhex(
    "4989D9"  # mov r9, rbx: CPUID writes it, and the caller wants it back
    "C70700000000 C7470400000000 C7470800000000 C7470C00000000"  # the answers (rdi: where) are 0 where there are none
    # Of each question: is it one that the first of its range allows? The answer is stored. LEAF_1_ECX, then LEAF_7_EBX
    "B800000000 0FA2 83F801 0F820B000000 B801000000 31C9 0FA2 890F"
    "B800000000 0FA2 83F807 0F820C000000 B807000000 31C9 0FA2 895F04"
    "B800000080 0FA2 81F801000080 0F820C000000 B801000080 31C9 0FA2 894F08"  # EXTENDED_1_ECX
    "F70700000008 0F8408000000 31C9 0F01D0 89470C"  # if LEAF_1_ECX has OSXSAVE: XGETBV for XCR0
    "4C89CB C3"  # mov rbx, r9; ret
)
"""The probe, which runs before anything is known of the processor, and so is the same for all."""


@cache
def _instructions() -> Any:
    """Return the module `switches`; kept, as nothing can be imported when the process ends."""
    with importing:
        from figwasp.codegen.isa.x64 import switches

    return switches


class X64Sequences(Sequences):
    """All of them."""

    __slots__ = ()

    lazy_entry_size = _LAZY_ENTRY.size
    lazy_frame = _LAZY_FRAME
    restore_frame = 8
    probe_words = PROBE_WORDS
    native_return = KEPT_SIZE + 8  # `to_native` has pushed a pointer
    lazy_return = native_return + 8 + _LAZY_FRAME  # and the call of it a return address

    def switches(self, trap_unreachable: int, trap_suspended: int, places: SwitchPlaces) -> Sequence:
        """Make the stack switching stubs."""
        made: Sequence = _instructions().switches(trap_unreachable, trap_suspended, places)
        return made

    def lazy_entries(self, functions: list[tuple[int, int]], address: int, lazy: int) -> bytes:
        """Make lazy entries: bytes of stack arguments pushed, the function's index in r11, then a jump."""
        ends = range(address + _LAZY_ENTRY.size, address + _LAZY_ENTRY.size * (len(functions) + 1), _LAZY_ENTRY.size)
        pack = _LAZY_ENTRY.pack
        parts = zip(functions, ends, strict=True)
        return b"".join([pack(0x68, incoming, 0x41, 0xBB, index, 0xE9, lazy - end) for (index, incoming), end in parts])

    def fault_handlers(self, places: FaultPlaces, count: int, trap_code: int) -> Sequence:
        """Make SIGSEGV handlers."""
        made: Sequence = _instructions().fault_handlers(places, count, trap_code)
        return made

    def ticker(self, places: TickerPlaces) -> Sequence:
        """Make the body of the ticker thread."""
        made: Sequence = _instructions().ticker(places)
        return made

    def thread_offset(
        self, function: int, read: Callable[[int, int], bytes], offset_of: Callable[[int], int | None]
    ) -> int | None:
        """Find out where a C function without parameters finds the word that it returns."""
        code = read(function, _LOOK)
        if code.startswith(_ENDBR):
            function += len(_ENDBR)
            code = code[len(_ENDBR) :]
        if code.startswith(_LOAD_FS):
            end = len(_LOAD_FS)
            return int.from_bytes(code[end : end + 4], "little")
        if code.startswith(_LOAD_RIP) and code[_GOT_LOAD:].startswith(_LOAD_FS_RAX):
            distance = int.from_bytes(code[len(_LOAD_RIP) : _GOT_LOAD], "little", signed=True)
            return int.from_bytes(read(function + _GOT_LOAD + distance, 8), "little") & 0xFFFF_FFFF
        if code.startswith(_LEA_INDEX) and code[_INDEX_CALL:].startswith(_CALL) and code[_INDEX_END:].startswith(_LOAD_RAX):
            distance = int.from_bytes(code[len(_LEA_INDEX) : _INDEX_CALL], "little", signed=True)
            return offset_of(function + _INDEX_CALL + distance)
        return None

    def probe(self) -> bytes:
        """Return the function that stores what CPUID and XGETBV answer."""
        return _PROBE

    def wake(self, parked: str, sys_futex: int) -> Sequence:
        """Make the function that wakes the ticker."""
        made: Sequence = _instructions().wake(parked, sys_futex)
        return made
