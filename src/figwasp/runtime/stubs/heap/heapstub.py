"""Floor 4: phrases of the collector: blocks, mark bits, references.

Out: an emitter for functions in the C convention.

Theory of operation. The space is cut into blocks of 32 KiB; a table has an entry for each. A block holds cells of one size, one
object each, or is part of a large object. A cell whose first word is 0 holds nothing; every other one holds an object with a valid
header, except between the moment when it is taken and the stores that follow, where nothing looks. So any word whatever can be
asked whether it points into an object: by its block, its cell, and the word there.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Value
from figwasp.ir.ops import I32, I64
from figwasp.runtime.stubs.builder import Stub

_BLOCK_BITS: Final = layout.BLOCK_BYTES.bit_length() - 1
_ENTRY_BITS: Final = layout.BLOCK_SIZE.bit_length() - 1
_MARK_BITS: Final = 3
"""log2 of the bytes that one mark bit stands for."""


class Loop:
    """A loop with variables, opened in its body.

    Attributes:
        values: the variables.
    """

    __slots__ = ("_emitter", "_head", "values")

    def __init__(self, e: Stub, *initial: Value) -> None:
        self._emitter = e
        self._head = e.new()
        self._head.loop = True
        e.jump(self._head, list(initial))
        e.at(self._head)
        self.values = [e.func.new_param(self._head, value.type) for value in initial]

    def again(self, *values: Value) -> None:
        """End the block: go back to the loop's begin with new values."""
        self._emitter.jump(self._head, list(values))


class HeapStub(Stub):
    """An emitter with the phrases that the collector is made of. Attributes of the `HeapSpace` are symbols, as `heap.start`."""

    __slots__ = ()

    def __init__(self, name: str, params: int) -> None:
        super().__init__(name, bytes([I64] * params), bytes([I64]), CONV_C)

    # Words

    def add(self, value: Value, other: Value | int) -> Value:
        """A sum."""
        return self.emit(ops.I64_ADD, [value, self.word(other) if isinstance(other, int) else other])

    def sub(self, value: Value, other: Value | int) -> Value:
        """A difference."""
        return self.emit(ops.I64_SUB, [value, self.word(other) if isinstance(other, int) else other])

    def mask(self, value: Value, bits: int) -> Value:
        """The bits of a word that are set in another."""
        return self.emit(ops.I64_AND, [value, self.word(bits)])

    def right(self, value: Value, bits: int) -> Value:
        """A word shifted right."""
        return self.emit(ops.I64_SHR_U, [value, self.word(bits)])

    def left(self, value: Value, bits: int) -> Value:
        """A word shifted left."""
        return self.emit(ops.I64_SHL, [value, self.word(bits)])

    def half(self, base: Value, offset: int) -> Value:
        """Load 4 bytes, extended by zeros."""
        return self.load(ops.I64_LOAD32_U, base, offset)

    def put_half(self, value: Value, base: Value, offset: int) -> None:
        """Store the low 4 bytes."""
        self.store(ops.I64_STORE32, value, base, offset)

    def below(self, value: Value, other: Value) -> Value:
        """Whether a word is less than another, unsigned."""
        return self.emit(ops.I64_LT_U, [value, other])

    def if_zero(self, value: Value, then: Block) -> None:
        """Go to a block when a word is 0, else go on in a new one."""
        self.split(self.equals(value, 0), then)

    def done(self) -> None:
        """Return 0."""
        self.ret([self.word(0)])

    # Blocks

    def entry(self, offset: Value) -> Value:
        """The entry of the block at an offset in the space."""
        return self.add(self.left(self.right(offset, _BLOCK_BITS), _ENTRY_BITS), self.symbol("heap.blocks"))

    def start_of(self, entry: Value) -> Value:
        """The address of a block, from its entry."""
        number = self.right(self.sub(entry, self.symbol("heap.blocks")), _ENTRY_BITS)
        return self.add(self.left(number, _BLOCK_BITS), self.symbol("heap.start"))

    def offset(self, address: Value) -> Value:
        """The offset of an address in the space; beyond its size for what lies elsewhere."""
        return self.sub(address, self.symbol("heap.start"))

    def marks_of(self, offset: Value) -> Value:
        """The address of the word with the mark bits of a place in the space."""
        return self.add(self.left(self.right(offset, _MARK_BITS + 6), 3), self.symbol("heap.marks"))

    def mark_bit(self, offset: Value) -> Value:
        """The mark bit of a place, in that word: shifts count modulo 64."""
        return self.emit(ops.I64_SHL, [self.word(1), self.right(offset, _MARK_BITS)])

    def is_marked(self, offset: Value) -> Value:
        """Whether the mark bit of a place is set (i32)."""
        found = self.emit(ops.I64_AND, [self.get(self.marks_of(offset), 0), self.mark_bit(offset)])
        return self.emit(ops.I64_NE, [found, self.word(0)])

    # References

    def visit(self, reference: Value, top: Value, record: Value | None = None) -> Value:
        """Mark what a reference leads to, and push it on the mark stack if it has not been marked; return the stack's new end.

        Args:
            reference: valid, or null.
            top: the end of the mark stack.
            record: of the store, when the word may be a reference to an object of the host (else no tags are looked at).
        """
        same = self.new()
        end = self.new()
        self.if_zero(reference, same)
        tagged = self.new()
        self.split(self.wrap(self.mask(reference, layout.I31_TAG | layout.HOST_TAG)), tagged)
        offset = self.offset(reference)
        place = self.marks_of(offset)
        word = self.get(place, 0)
        bit = self.mark_bit(offset)
        self.split(self.emit(ops.I64_NE, [self.emit(ops.I64_AND, [word, bit]), self.word(0)]), same)
        self.put(self.emit(ops.I64_OR, [word, bit]), place, 0)
        self.put(reference, top, 0)
        self.jump(end, [self.add(top, 8)])
        self.at(tagged)
        self.split(self.wrap(self.mask(reference, layout.I31_TAG)), same)
        self.keep_cell(self.sub(reference, layout.HOST_TAG))
        self.jump(same)
        self.at(same)
        self.jump(end, [top])
        self.at(end)
        return self.func.new_param(end, I64)

    def keep_cell(self, cell: Value) -> None:
        """Note that something refers to an externref cell, if it is a suspect."""
        known = self.new()
        self.unless_zero(self.get(cell, layout.EXTERN_SUSPECT), known)
        holders = self.get(cell, layout.EXTERN_HOLDERS)
        self.put(self.emit(ops.I64_OR, [holders, self.word(layout.EXTERN_KEPT)]), cell, layout.EXTERN_HOLDERS)
        self.jump(known)
        self.at(known)

    def put_byte_if(self, condition: Value, bits: int, base: Value, offset: int) -> None:
        """Store a constant byte on a condition."""
        rest = self.new()
        self.when(condition, rest)
        self.put8(bits, base, offset)
        self.jump(rest)
        self.at(rest)

    def flag(self, value: Value) -> Value:
        """An i32 that is 0 or 1 as a word."""
        return self.emit(ops.I64_EXTEND_I32_U, [value]) if value.type == I32 else value
