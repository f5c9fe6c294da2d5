"""Floor 3: calling conventions: where parameters and results travel.

In: IR types of parameters and results; out: a `Signature` with one location per value. A location is a physical register or
STACK + k. For parameters STACK + k is the k-th cell of the stack argument area; for results it is the k-th cell of the result
area, memory in the caller's frame whose address is one more parameter, the last and hidden one. What takes several cells is aligned
to its size, and the location is that of the first.

Wasm convention: the instance travels in its own register and is not part of a signature. Parameters fill the integer and the
float registers separately, in order; what does not fit goes to stack cells in order; the callee pops them. Results use the
same registers. C convention (System V psABI 3.2.3, for integers and floats only): the caller pops, one result at most.
"""

from __future__ import annotations

from functools import lru_cache

from figwasp.codegen.mach import NONE, STACK
from figwasp.errors import Unsupported
from figwasp.ir.types import CELL, CLASSES, I64, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.codegen.target import Target


class Signature:
    """Locations of one function type.

    Attributes:
        params: one location per parameter, without instance and hidden parameter.
        results: one location per result; STACK + k means a cell of the result area.
        hidden: location of the parameter that holds the address of the result area, or NONE.
        stack_bytes: size of the stack argument area, a multiple of 16.
        area_bytes: size of the result area.
    """

    __slots__ = ("area_bytes", "hidden", "params", "results", "stack_bytes")

    def __init__(self, params: list[int], results: list[int], hidden: int, stack_bytes: int, area_bytes: int) -> None:
        self.params = params
        self.results = results
        self.hidden = hidden
        self.stack_bytes = stack_bytes
        self.area_bytes = area_bytes

_KEPT: Final = 256  # signatures: modules may have types without end


@lru_cache(_KEPT)
def wasm_signature(target: Target, params: bytes, results: bytes) -> Signature:
    """Return the locations of a type in the wasm convention.

    Args:
        target: the machine.
        params: IR types of the parameters after the instance.
        results: IR types of the results.
    """
    result_locs, area = assign(results, target.args)
    types = params + bytes([I64]) if area else params
    param_locs, cells = assign(types, target.args)
    hidden = param_locs.pop() if area else NONE
    return Signature(param_locs, result_locs, hidden, stack_size(cells), CELL * area)


def popped_bytes(target: Target, params: bytes, results: bytes) -> int:
    """Return `stack_bytes` of a type in the wasm convention; its signature is not kept for that."""
    _, area = assign(results, target.args)
    return stack_size(assign(params + bytes([I64]) if area else params, target.args)[1])


@lru_cache(_KEPT)
def c_signature(target: Target, params: bytes, results: bytes) -> Signature:
    """Return the locations of a type in the C convention.

    Raises:
        Unsupported: if there is more than one result.
    """
    if len(results) > 1:
        raise Unsupported("a C function has one result at most")
    locs, cells = assign(params, target.c_args)
    result_locs, _ = assign(results, [[register] for register in target.c_results])
    return Signature(locs, result_locs, NONE, stack_size(cells), 0)


def assign(types: bytes, registers: list[list[int]]) -> tuple[list[int], int]:
    """Give every value a register of its class or the next cells, aligned to its size; return locations and number of cells."""
    locs = []
    used = [0] * len(registers)
    cells = 0
    for type in types:
        register_class = CLASSES[type]
        number = used[register_class]
        if number < len(registers[register_class]):
            locs.append(registers[register_class][number])
            used[register_class] = number + 1
        else:
            first, cells = place(type, cells)
            locs.append(STACK + first)
    return locs, cells


def stack_size(cells: int) -> int:
    """Return the bytes of a stack argument area, which keeps the stack pointer aligned to 16."""
    return (CELL * cells + 15) & ~15


def wasm_clobbers(target: Target) -> int:
    """Return the registers that a call in the wasm convention destroys."""
    return _all(target) & ~(target.callee_saved | fixed(target))


def c_clobbers(target: Target) -> int:
    """Return the registers that a call in the C convention destroys."""
    return _all(target) & ~(target.c_callee_saved | fixed(target))


def all_clobbers(target: Target) -> int:
    """Return every register but the pinned ones."""
    return _all(target) & ~fixed(target)


def fixed(target: Target) -> int:
    """Return the registers that have one meaning throughout: context and stack pointer."""
    return 1 << target.context_reg | 1 << target.stack_reg


def _all(target: Target) -> int:
    return (1 << target.num_registers) - 1
