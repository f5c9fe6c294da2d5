"""Floor 4: calls of Python by compiled code: the builtins that are Python functions, and compilation on first call.

In: the Python side of the instance that asks, and operands as unsigned ints. Out: an int or None. `ir.builtins` has the table with
the signatures; those that are not here are stubs (`stubs.builtins`), and of those that are, stubs do what is usual.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.errors import TRAP_EXPECTED_SHARED, TRAP_OUT_OF_BOUNDS_MEMORY, TRAP_OUT_OF_BOUNDS_TABLE
from figwasp.ir.builtins import implementations
from figwasp.runtime.objects import closing, segments
from figwasp.runtime.objects.keeping import owner_of
from figwasp.runtime.platform import linux
from figwasp.runtime.stubs.interface import NATIVE
from figwasp.runtime.trap import parking
from figwasp.runtime.trap.traps import trap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.objects.instance import InstanceState

__all__ = ["BUILTINS", "compile_on_call"]


def compile_on_call(state: InstanceState, index: int, context: int) -> int:
    """Return the address of a function's code, compiling it if that has not been done.

    Args:
        state: the instance.
        index: of the function.
        context: of the chain that calls it, suspended in the lazy entry.

    Raises:
        Closed: the instance has been closed.
        Invalid, Malformed: the function's body is, whose validation was left for now.
    """
    if state.closed is not None:
        closing.check(state, context)
    return state.code.compile(index)


def memory_grow(state: InstanceState, memory: int, delta: int) -> int:
    """memory.grow (spec 4.6.10)."""
    return state.memories[memory].grow(delta)


def memory_notify(state: InstanceState, memory: int, place: int, count: int) -> int:
    """memory.atomic.notify: nobody waits at a memory that is not shared."""
    core = state.memories[memory]
    if place + 4 > linux.read_u64(core.record + layout.MEM_LENGTH):
        raise trap(TRAP_OUT_OF_BOUNDS_MEMORY)
    return parking.wake(core.base + place, count) if core.type.shared else 0


def memory_wait32(state: InstanceState, memory: int, place: int, expected: int, timeout: int) -> int:
    """memory.atomic.wait32."""
    return _wait(state, memory, place, 4, expected, timeout)


def memory_wait64(state: InstanceState, memory: int, place: int, expected: int, timeout: int) -> int:
    """memory.atomic.wait64."""
    return _wait(state, memory, place, 8, expected, timeout)


def _wait(state: InstanceState, memory: int, place: int, size: int, expected: int, timeout: int) -> int:
    core = state.memories[memory]
    if place + size > linux.read_u64(core.record + layout.MEM_LENGTH):
        raise trap(TRAP_OUT_OF_BOUNDS_MEMORY)
    if not core.type.shared:
        raise trap(TRAP_EXPECTED_SHARED)
    return parking.wait(core.base + place, size, expected, timeout - (timeout >> 63 << 64))


def table_set(state: InstanceState, table: int, index: int, bits: int) -> None:
    """table.set."""
    if index >= len(state.tables[table]):
        raise trap(TRAP_OUT_OF_BOUNDS_TABLE)
    state.tables[table].set(index, bits)


def table_grow(state: InstanceState, table: int, bits: int, delta: int) -> int:
    """table.grow."""
    return state.tables[table].grow(bits, delta)


def table_fill(state: InstanceState, table: int, start: int, bits: int, count: int) -> None:
    """table.fill."""
    if start + count > len(state.tables[table]):
        raise trap(TRAP_OUT_OF_BOUNDS_TABLE)
    state.tables[table].fill(start, bits, count)


def table_copy(state: InstanceState, target_table: int, source_table: int, target: int, source: int, count: int) -> None:
    """table.copy."""
    to, from_ = state.tables[target_table], state.tables[source_table]
    if source + count > len(from_) or target + count > len(to):
        raise trap(TRAP_OUT_OF_BOUNDS_TABLE)
    to.copy(target, from_, source, count)


def table_init(state: InstanceState, table: int, segment: int, target: int, source: int, count: int) -> None:
    """table.init."""
    elements = segments.references(state, segment)
    if source + count > len(elements) or target + count > len(state.tables[table]):
        raise trap(TRAP_OUT_OF_BOUNDS_TABLE)
    state.tables[table].write(target, elements[source : source + count])


def elem_drop(state: InstanceState, segment: int) -> None:
    """elem.drop."""
    segments.drop(state, segment)


def global_set_func(state: InstanceState, index: int, address: int, bits: int) -> None:
    """global.set of a reference to a function."""
    state.globals[index].set(bits)


def keep_func(state: InstanceState, bits: int) -> None:
    """Have the heap of the instance's store keep the owner of a function of another instance."""
    if bits:
        state.store.keep(owner_of(bits))


BUILTINS: Final = implementations(globals(), elsewhere=NATIVE)
"""Builtin number -> the function that implements it."""
