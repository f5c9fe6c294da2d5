"""Runs compiled functions without the runtime: one block of executable memory, cells, and stand-ins for the stubs."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable

from figwasp import layout
from figwasp.codegen import frame
from figwasp.codegen.code import (
    RELOC_BUILTIN,
    RELOC_CELL,
    RELOC_SYMBOL,
    STUB_RESTORE_INSTANCE,
    STUB_TICK,
    STUB_TO_NATIVE,
    STUB_TO_WASM,
    STUB_TRAP,
    STUB_UNWIND,
    Code,
)
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.regalloc.allocate import allocate
from figwasp.ir.func import Func

SIZE = 1 << 22
CELLS = 4096  # of both kinds: functions, then builtins
CTYPES = (ctypes.c_uint32, ctypes.c_uint64, ctypes.c_float, ctypes.c_double)

TRAPPED = 0x7A
"""What a function in the C convention answers when it traps."""


def compile(func: Func) -> Code:
    """Compile without the passes, with the allocation checked."""
    machine = TARGET.select(func)
    allocate(machine, TARGET, check=True)
    frame.finish(machine, TARGET)
    return TARGET.emit(machine)


class Machine:
    """Executable memory and what compiled code reaches in it.

    Attributes:
        memory: the block.
        address: where it starts.
        words: offset of the word of each symbol that has a value.
        context: address of a context whose stack limit is never reached.
    """

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, SIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.next = 16 * CELLS
        self.words: dict[str, int] = {}
        self.context = self.address + self._put(bytes(layout.CTX_SIZE))
        enter = b"\x41\x57\x49\xbf" + self.context.to_bytes(8, "little")  # push r15; mov r15, context
        self.stubs = {
            STUB_TO_WASM: self._put(enter + b"\x41\xff\xd3\x41\x5f\xc3"),  # call r11; pop r15; ret
            STUB_TO_NATIVE: self._put(b"\x41\xff\xe3"),  # jmp r11
            STUB_TICK: self._put(b"\xc3"),  # ret
            STUB_UNWIND: self._put(b"\xcc"),  # int3
            STUB_RESTORE_INSTANCE: self._put(b"\x41\x5e\xc3"),  # pop r14; ret
        }

    def _put(self, data: bytes) -> int:
        """Store bytes and return their offset."""
        offset = self.next
        self.memory[offset : offset + len(data)] = data
        self.next = (offset + len(data) + 15) & ~15
        return offset

    def install(self, func: Func) -> int:
        """Compile and install a function; return its address, which its cell holds from then on."""
        return self.place(compile(func))

    def place(self, code: Code) -> int:
        """Install code; return its address."""
        start = self._put(code.data)
        for offset, _, kind, target in code.relocs:
            if kind == RELOC_CELL:
                place = 8 * target
            elif kind == RELOC_BUILTIN:
                place = 8 * (CELLS + target)
            elif kind == RELOC_SYMBOL:
                place = self.words[code.symbols[target]]
            else:
                stub = self._trap(code) if target == STUB_TRAP else self.stubs[target]
                place = self._put((self.address + stub).to_bytes(8, "little"))
            field = start + offset
            self.memory[field : field + 4] = (place - field - 4).to_bytes(4, "little", signed=True)
        if code.index >= 0:
            self.set_cell(code.index, self.address + start)
        return self.address + start

    def _trap(self, code: Code) -> int:
        """Make a stub that leaves a frame without saved registers, with TRAPPED as the result."""
        rise = (8 + code.frame_size).to_bytes(4, "little")
        return self._put(b"\xb8" + TRAPPED.to_bytes(4, "little") + b"\x48\x81\xc4" + rise + b"\xc3")

    def set_cell(self, index: int, address: int) -> None:
        """Set what a function's cell holds."""
        self.memory[8 * index : 8 * index + 8] = address.to_bytes(8, "little")

    def set_builtin(self, number: int, address: int) -> None:
        """Set what a builtin's cell holds."""
        self.set_cell(CELLS + number, address)

    def set_symbol(self, name: str, value: int) -> None:
        """Give a symbol a value."""
        self.words[name] = self._put(value.to_bytes(8, "little"))

    def callable(self, func: Func) -> Callable[..., int]:
        """Compile a function of the C convention and return it as a Python callable."""
        result = CTYPES[func.results[0]] if func.results else None
        prototype = ctypes.CFUNCTYPE(result, *[CTYPES[type] for type in func.params])
        return prototype(self.install(func))
