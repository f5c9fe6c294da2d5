"""Executable memory for bytes that tests emit: install a Code with its relocations resolved, and call it."""

from __future__ import annotations

import ctypes
import mmap
import platform
from collections.abc import Callable

import pytest

from figwasp.codegen.code import RELOC_STUB, STUB_COUNT, Code

SIZE = 1 << 22
CELLS = 64


class Arena:
    """A block of memory, its stubs and its cells.

    Attributes:
        memory: the block: the words of each kind first.
        address: where it starts.
        stubs: offset of each stub, 0 until a test puts one there.
    """

    def __init__(self) -> None:
        if platform.machine() != "x86_64":
            pytest.skip("the code under test runs on x86-64 only")
        self.memory = mmap.mmap(-1, SIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.next = 24 * CELLS
        self.stubs = [0] * STUB_COUNT

    def put(self, data: bytes) -> int:
        """Store bytes at the next multiple of 16 and return their offset."""
        offset = self.next
        self.memory[offset : offset + len(data)] = data
        self.next = (offset + len(data) + 15) & ~15
        assert self.next < SIZE
        return offset

    def install(self, code: Code) -> int:
        """Store a function and return its offset."""
        start = self.put(code.data)
        for offset, _, kind, target in code.relocs:
            place = 8 * (target + CELLS * kind)
            if kind == RELOC_STUB:
                assert self.stubs[target]
                self.set_word(place, self.address + self.stubs[target])
            field = start + offset
            self.memory[field : field + 4] = (place - field - 4).to_bytes(4, "little", signed=True)
        return start

    def set_word(self, offset: int, value: int) -> None:
        """Write 8 bytes."""
        self.memory[offset : offset + 8] = value.to_bytes(8, "little")

    def word(self, offset: int) -> int:
        """Read 8 bytes."""
        return int.from_bytes(self.memory[offset : offset + 8], "little")

    def function(self, offset: int, parameters: int) -> Callable[..., int]:
        """Return what stands at an offset as a function of 64-bit integers."""
        return ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * parameters)(self.address + offset)
