"""Floor 4: what puts the memories of an instance back into the state of a snapshot, each in one step.

In: addresses of C functions. Out: IR of functions in the C convention, called with the GIL.

Theory of operation. A memory shows an image where nothing has been written since (MEM_IMAGE). If the system tells which pages have
been (`platform.written`), and they are few, their contents are copied: they stay where they are, and cost no fault when they are
written again. Else giving all pages back to the system is all that it takes to show the image again. Any other memory gets pages of
zeros first, and the image's over them. What can fail comes before the first change: to make pages accessible that are added, or
inaccessible that are taken away. Where the image cannot be mapped it is copied.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Func, Value
from figwasp.ir.types import I32, I64
from figwasp.runtime.platform import linux, written
from figwasp.runtime.stubs.builder import Stub

__all__ = ["AS_IT_IS", "SHOWN", "ZEROS", "expect", "restore_memory"]

# A plan: what is to be done with a memory
_RECORD: Final = 0
_BASE: Final = 8
_LENGTH: Final = 16  # bytes that it is to have
_KEPT: Final = 24  # bytes that are accessible already and stay so, from the base on
_CHANGED: Final = 32  # bytes behind these that become accessible or inaccessible
_PROTECTION: Final = 40  # which of the two
_SHOWN: Final = 48  # what there is now: as below
_NUMBER: Final = 56  # of the image
_FILE: Final = 64  # signed
_START: Final = 72
_SIZE: Final = 80
_SOURCE: Final = 88  # where it can be read
_SCANNER: Final = 96  # what `platform.written` gives; signed
_SCAN: Final = 104

ZEROS: Final = 0  # the memory is new
SHOWN: Final = 1  # the image
AS_IT_IS: Final = 2  # anything


def expect() -> Func:
    """Build (place, word) -> whether the word is what stands there."""
    e = Stub("step.expect", bytes([I64] * 2), bytes([I64]), CONV_C)
    place, word = e.params
    e.ret([e.emit(ops.I64_EXTEND_I32_U, [e.emit(ops.I64_EQ, [e.get(place, 0), word])])])
    return e.func


class _Restoring(Stub):
    """The stub, with the fields of the plan."""

    __slots__ = ()

    def plan(self, field: int) -> Value:
        """A field of the plan."""
        return self.get(self.params[0], field)

    def map(self, place: Value, size: Value, protection: int, flags: int, file: Value, offset: Value, failed: Block) -> None:
        """Map pages over others; go to `failed` when that cannot be."""
        made = self.c(
            "mmap", [place, size, self.const(I32, protection), self.const(I32, flags), self.wrap(file), offset]
        )
        self.split(self.equals(made, -1), failed)


def restore_memory() -> Func:
    """Build (plan) -> 1; or 0 when there is no memory for more pages or another mapping, and nothing has changed. It is a byte."""
    e = _Restoring("step.restore_memory", bytes([I64]), bytes([I64]), CONV_C)
    refused, copy = e.new(), e.new()
    _resize(e, refused)
    base, kept = e.plan(_BASE), _accessible(e)
    _clear(e, base, kept, copy)
    done = e.new()
    e.unless_zero(e.plan(_SIZE), done)
    _show(e, base, done)
    _copy(e, base)
    e.jump(done)
    e.at(done)
    e.ret([e.word(1)])
    e.at(copy)
    e.c("memset", [base, e.const(I32, 0), kept])
    _copy(e, base)
    e.ret([e.word(1)])
    e.at(refused)
    e.ret([e.word(0)])
    return e.func


def _resize(e: _Restoring, refused: Block) -> None:
    """Make pages behind those that stay accessible, or take them away, and set the length; or go to `refused`."""
    shrink, grown = e.new(), e.new()
    changed = e.plan(_CHANGED)
    e.unless_zero(changed, grown)
    place = e.emit(ops.I64_ADD, [e.plan(_BASE), e.plan(_KEPT)])
    e.split(e.equals(e.plan(_PROTECTION), linux.INACCESSIBLE), shrink)
    e.split(e.c("mprotect", [place, changed, e.const(I32, linux.ACCESSIBLE)], I32), refused)
    e.jump(grown)
    e.at(shrink)
    e.map(place, changed, linux.INACCESSIBLE, linux.FRESH, e.word(-1), e.word(0), refused)
    e.jump(grown)
    e.at(grown)
    e.put(e.plan(_LENGTH), e.plan(_RECORD), layout.MEM_LENGTH)


def _accessible(e: _Restoring) -> Value:
    """The number of bytes that are accessible from now on."""
    more = e.emit(ops.I64_EQ, [e.plan(_PROTECTION), e.word(linux.ACCESSIBLE)])
    return e.emit(ops.I64_ADD, [e.plan(_KEPT), e.emit(ops.SELECT, [e.plan(_CHANGED), e.word(0), more], 0, I64)])


def _clear(e: _Restoring, base: Value, size: Value, copy: Block) -> None:
    """Go on where the memory is zeros; return from the stub where it shows the image already; or go to `copy`."""
    clear, replace, some, discard = e.new(), e.new(), e.new(), e.new()
    e.unless_zero(size, clear)
    shown = e.plan(_SHOWN)
    e.split(e.equals(shown, ZEROS), clear)
    e.split(e.equals(shown, AS_IT_IS), replace)
    _rewrite(e, base, size, discard)
    e.jump(some)
    e.at(discard)
    e.split(e.c("madvise", [base, size, e.const(I32, linux.DISCARD)], I32), copy)  # of locked pages it cannot be
    e.jump(some)
    e.at(replace)
    e.map(base, size, linux.ACCESSIBLE, linux.FRESH, e.word(-1), e.word(0), copy)
    e.put(e.word(0), e.plan(_RECORD), layout.MEM_IMAGE)
    e.jump(clear)
    e.at(some)
    e.ret([e.word(1)])
    e.at(clear)


def _rewrite(e: _Restoring, base: Value, size: Value, discard: Block) -> None:
    """Copy the contents of the pages that have been written, or go to `discard`, having changed nothing."""
    loop, body, done = e.new(), e.new(), e.new()
    file, scan = e.plan(_SCANNER), e.plan(_SCAN)
    e.split(e.equals(file, -1), discard)
    end = e.emit(ops.I64_ADD, [base, size])
    e.put(base, scan, written.START)
    e.put(end, scan, written.END)
    e.put(e.word(0), scan, written.WALKED)
    count = e.c("ioctl", [e.wrap(file), e.word(written.REQUEST), scan], I32)
    e.split(e.emit(ops.I32_LT_S, [count, e.const(I32, 0)]), discard)
    e.split(e.emit(ops.I64_NE, [e.get(scan, written.WALKED), end]), discard)
    behind = e.emit(ops.I64_ADD, [scan, e.emit(ops.I64_MUL, [e.emit(ops.I64_EXTEND_I32_U, [count]), e.word(24)])])
    loop.loop = True
    e.jump(loop, [scan])
    e.at(loop)
    at = e.func.new_param(loop, I64)
    e.brif(e.emit(ops.I64_LT_U, [at, behind]), body, done)
    e.at(body)
    _fill_range(e, base, e.get(at, written.FOUND), e.get(at, written.FOUND + 8))
    e.jump(loop, [e.emit(ops.I64_ADD, [at, e.word(24)])])
    e.at(done)


def _fill_range(e: _Restoring, base: Value, first: Value, end: Value) -> None:
    """Have a range contain what of the image is in it, and zeros elsewhere."""
    start = e.emit(ops.I64_ADD, [base, e.plan(_START)])
    low = _larger(e, first, start)
    high = _larger(e, low, _smaller(e, end, e.emit(ops.I64_ADD, [start, e.plan(_SIZE)])))
    zero = e.const(I32, 0)
    above = _smaller(e, low, end)  # where none of the image is in it
    e.c("memset", [first, zero, e.emit(ops.I64_SUB, [above, first])])
    source = e.emit(ops.I64_ADD, [e.plan(_SOURCE), e.emit(ops.I64_SUB, [low, start])])
    e.c("memmove", [low, source, e.emit(ops.I64_SUB, [high, low])])
    rest = _smaller(e, high, end)
    e.c("memset", [rest, zero, e.emit(ops.I64_SUB, [end, rest])])


def _smaller(e: Stub, one: Value, other: Value) -> Value:
    return e.emit(ops.SELECT, [one, other, e.emit(ops.I64_LT_U, [one, other])], 0, I64)


def _larger(e: Stub, one: Value, other: Value) -> Value:
    return e.emit(ops.SELECT, [other, one, e.emit(ops.I64_LT_U, [one, other])], 0, I64)


def _show(e: _Restoring, base: Value, done: Block) -> None:
    """Map the image over zeros and go to `done`, or go on where there is no file or it cannot be mapped."""
    failed = e.new()
    file = e.plan(_FILE)
    e.split(e.equals(file, -1), failed)
    place = e.emit(ops.I64_ADD, [base, e.plan(_START)])
    e.map(place, e.plan(_SIZE), linux.ACCESSIBLE, linux.COPY_ON_WRITE, file, e.plan(_START), failed)
    e.put(e.plan(_NUMBER), e.plan(_RECORD), layout.MEM_IMAGE)
    e.jump(done)
    e.at(failed)


def _copy(e: _Restoring, base: Value) -> None:
    """Copy the image to its place; of none the size is 0."""
    place = e.emit(ops.I64_ADD, [base, e.plan(_START)])
    e.c("memmove", [place, e.plan(_SOURCE), e.plan(_SIZE)])
