"""Known contents of memory other than the linear one, for `simplify`: loads whose value is known already. Floor 2.

Globals, table and memory records are known from a load or store to the next call or poll, which may run anything, and to
stores that may overwrite them, all inside one block. Contents that never change (REGION_CONST) are known wherever a block
that loads them dominates. Accesses of stubs (REGION_NATIVE) may go anywhere; they are left as they are.

What an object of the heap has to begin with is stored before anything is loaded from it (REGION_INITIAL): such a store overwrites
nothing that is known. What it stores is known wherever the block dominates if it never changes (header, length, immutable fields
are loaded as REGION_CONST), else as long as a field is.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import builtins, ops
from figwasp.ir.func import Call, Value
from figwasp.ir.simplify.rules import int_aux
from figwasp.layout import ARRAY_LENGTH, OBJECT_TYPE

__all__ = ["Loads"]

_LOAD_OF: Final = {
    ops.I32_STORE: ops.I32_LOAD,
    ops.I64_STORE: ops.I64_LOAD,
    ops.F32_STORE: ops.F32_LOAD,
    ops.F64_STORE: ops.F64_LOAD,
    ops.V128_STORE: ops.V128_LOAD,
}
"""Store -> the load that gives the value back."""
_HEADERS: Final = {
    (builtins.OBJECT_NEW, ops.memory_aux(OBJECT_TYPE, ops.REGION_CONST)): 1,
    (builtins.ARRAY_NEW, ops.memory_aux(OBJECT_TYPE, ops.REGION_CONST)): 1,
    (builtins.ARRAY_NEW, ops.memory_aux(ARRAY_LENGTH, ops.REGION_CONST)): 2,
}
"""Builtin that makes an object, and aux of a load from its header -> the operand of the call that is there."""
_OP: Final = ops.COUNT.bit_length()  # bits of an operation
_MAX_OFFSET: Final = 1 << 31
_MAX_KNOWN: Final = 64
"""When more loads are known than this, a store makes all of them unknown rather than look at each."""


class Loads:
    """The known results of loads. A key packs aux, operation, and the ids of the operands of a load.

    Attributes:
        _ends: see `simplify._Walk`.
        _here: number of the current block in preorder of the dominator tree.
        _shift: bits of a value id in a key.
        _known: key -> value, in the current block.
        _consts: key -> value, for what never changes.
        _def_blocks: key of those -> number of the block in which the value stands.
    """

    __slots__ = ("_consts", "_ends", "_here", "_def_blocks", "_known", "_shift")

    def __init__(self, ends: list[int], shift: int) -> None:
        self._ends = ends
        self._here = 0
        self._shift = shift
        self._known: dict[int, Value] = {}
        self._consts: dict[int, Value] = {}
        self._def_blocks: dict[int, int] = {}

    def enter(self, here: int) -> None:
        """Go on in another block."""
        self._here = here
        self.forget()

    def forget(self) -> None:
        """Know nothing any more of what can change."""
        if self._known:
            self._known = {}

    def load(self, value: Value) -> Value:
        """Return the value that a load is known to give, or the load."""
        region = int_aux(value) >> ops.OFFSET_BITS
        if region >= ops.REGION_MEMORY:
            return value
        _fold_address(value, 0)
        if region == ops.REGION_NATIVE:
            return value
        key = self._key(value.op, int_aux(value), value.args, 0)
        if region != ops.REGION_CONST:
            return self._known.setdefault(key, value)
        base = value.args[0]
        if base.op == ops.CALL_BUILTIN and value.op == ops.I32_LOAD:
            call = base.aux
            assert isinstance(call, Call)
            operand = _HEADERS.get((call.target, int_aux(value)))
            if operand is not None:
                return base.args[operand]
        known = self._consts.get(key)
        if known is not None:
            def_block = self._def_blocks[key]
            if def_block <= self._here < self._ends[def_block]:
                return known
        self._consts[key] = value
        self._def_blocks[key] = self._here
        return value

    def store(self, value: Value) -> None:
        """Forget what a store may overwrite; what it stores is what a load of the place gives."""
        region = int_aux(value) >> ops.OFFSET_BITS
        if region >= ops.REGION_MEMORY:
            return
        _fold_address(value, 1)
        if region == ops.REGION_INITIAL:
            self._initial(value)
            return
        aux = int_aux(value)
        if region == ops.REGION_NATIVE or len(self._known) > _MAX_KNOWN:
            self.forget()
        if self._known:
            self._known = self._surviving(region, aux, value.args[1].id << self._shift if len(value.args) == 2 else -1)
        op = _LOAD_OF.get(value.op, -1)
        if op >= 0 and region != ops.REGION_NATIVE:
            self._known[self._key(op, aux, value.args, 1)] = value.args[0]

    def _initial(self, value: Value) -> None:
        """Know what a new object has to begin with."""
        op = _LOAD_OF.get(value.op, -1)
        if op >= 0:
            offset = ops.aux_offset(int_aux(value))
            key = self._key(op, ops.memory_aux(offset, ops.REGION_CONST), value.args, 1)
            self._consts[key] = value.args[0]
            self._def_blocks[key] = self._here
            self._known[self._key(op, ops.memory_aux(offset, ops.REGION_FIELD), value.args, 1)] = value.args[0]

    def _key(self, op: int, aux: int, args: list[Value], first: int) -> int:
        index = args[first + 1].id + 1 if len(args) > first + 1 else 0
        return ((aux << _OP | op) << self._shift | args[first].id) << self._shift | index

    def _surviving(self, region: int, aux: int, address: int) -> dict[int, Value]:
        """Return what a store leaves alone: other regions, and what is apart in the same one.

        Globals are at other places of the same base; imported ones at different bases may be one. Fields are at other offsets,
        and elements as well as long as no index is added. `address` is the operands as in a key, -1 if it has an index.
        """
        width = 2 * self._shift
        operands, index = (1 << width) - 1, (1 << self._shift) - 1
        surviving: dict[int, Value] = {}
        for key, value in self._known.items():
            other = key >> width + _OP
            if other >> ops.OFFSET_BITS != region:
                surviving[key] = value
            elif other != aux:
                if region == ops.REGION_GLOBAL:
                    apart = key & operands == address
                elif region == ops.REGION_ELEMENT:
                    apart = address >= 0 and key & index == 0
                else:
                    apart = region == ops.REGION_FIELD
                if apart:
                    surviving[key] = value
        return surviving


def _fold_address(value: Value, first: int) -> None:
    """Take a constant added to the address into the offset. In linear memory nothing is: there, sums wrap at 32 bits."""
    args = value.args
    base = args[first]
    if base.op == ops.I64_ADD and len(args) == first + 1 and base.args[1].op == ops.CONST:
        aux = int_aux(value)
        added = int_aux(base.args[1])
        offset = ops.aux_offset(aux) + added - (added >> 63 << 64)
        if 0 <= offset < _MAX_OFFSET:
            value.aux = ops.memory_aux(offset, aux >> ops.OFFSET_BITS)
            args[first] = base.args[0]
