"""Generated bodies, second part: vectors, in modules whose style has them.

The bits of every vector are determined: wherever an instruction may make NaNs of any bits, canonical ones are put in their place right
after it. Relaxed instructions are only in functions that nobody calls from inside, as the last thing that is computed: `modules`.
"""

from __future__ import annotations

from typing import Final

from figwasp.wasm.syntax.immediates import LANE, LANES, MEMARG, MEMARG_LANE, Immediate
from figwasp.wasm.syntax.opcodes import Opcode
from figwasp.wasm.syntax.types import F32, F64, NUM_TYPES, V128
from tests.property.constants import CANONICAL_NAN, VECTOR_IDIOMS, constant, shuffle
from tests.property.expressions import EXECUTED, STORES, Expressions

_VECTORS: Final = [row for row in EXECUTED if V128 in (row.params or ()) + (row.results or ())]
RELAXED: Final = {row.name: row for row in _VECTORS if row.proposal == "relaxed-simd"}
_STRICT: Final = [row for row in _VECTORS if row.params and row.name not in RELAXED and row.immediates not in (MEMARG, MEMARG_LANE)]
VECTOR: Final = {type_: [row for row in _STRICT if row.results == (type_,)] for type_ in (*NUM_TYPES, V128)}
"""Result type -> instructions on vectors or to vectors."""
_ACCESSES: Final = [row for row in _VECTORS if row.immediates in (MEMARG, MEMARG_LANE)]
VECTOR_LOADS: Final = [row for row in _ACCESSES if row.results]
VECTOR_STORES: Final = [row for row in _ACCESSES if not row.results]
VECTOR_USES: Final = [
    row for row in _STRICT if row.params and V128 in row.params and len(row.params) < 3 and not {F32, F64} & set(row.params)
]
"""Instructions with one or two operands, a vector and perhaps another vector or an integer."""
_SIMPLE: Final = [row for row in VECTOR[V128] if row.params and not {F32, F64} & set(row.params)]
_NANS: Final = {"f32x4": CANONICAL_NAN[F32] * 0x0000_0001_0000_0001_0000_0001_0000_0001, "f64x2": CANONICAL_NAN[F64] * (1 << 64 | 1)}
"""Shape -> the vector of canonical NaNs."""
_MAKE_NANS: Final = "add sub mul div sqrt min max ceil floor trunc nearest demote_f64x2_zero promote_low_f32x4".split()
"""What is done to floats that may leave a NaN of any bits."""


class Vectors(Expressions):
    """Writes a function body, vectors among it."""

    @property
    def _has_vectors(self) -> bool:
        return V128 in self.style.types

    def immediate(self, row: Opcode) -> Immediate:
        """Return an immediate of an instruction that is no access to memory."""
        if row.immediates == LANE:
            return self.random.randrange(1 << row.align)
        return shuffle(self.random) if row.immediates == LANES else None

    def memarg(self, row: Opcode, memory: int) -> tuple[int, ...]:
        """Return the immediate of an access to a memory."""
        return (*super().memarg(row, memory), *self.lane(row))

    def lane(self, row: Opcode) -> tuple[int, ...]:
        """Return the part of the immediate of an access that says which lane, if there is one."""
        return (self.random.randrange(16 >> row.align),) if row.immediates == MEMARG_LANE else ()

    def a_store(self) -> Opcode:
        """Return some store."""
        if self._has_vectors and self.chance(0.4):
            return self.random.choice(VECTOR_STORES)
        return self.random.choice(STORES)

    def determined(self, type_: int, depth: int) -> None:
        """Leave a value whose bits every implementation agrees on."""
        if type_ == V128:
            self.value(type_, depth)
        else:
            super().determined(type_, depth)

    def apply(self, row: Opcode) -> None:
        """Write an instruction whose operands are there."""
        self.op(row.name, self.immediate(row))
        shape, _, verb = row.name.partition(".")
        if shape in _NANS and verb in _MAKE_NANS:
            self._canonical_lanes(shape)

    def _canonical_lanes(self, shape: str) -> None:
        """Put the canonical NaN in the place of any, in the vector on the stack."""
        place = self.temporary(V128, "n")
        self.op("local.set", place)
        self.const(V128, _NANS[shape])
        for _ in range(3):
            self.op("local.get", place)
        self.op(f"{shape}.ne")
        self.op("v128.bitselect")

    # How values are made: what `Expressions` has for numbers

    def _numeric(self, type_: int, depth: int) -> bool:
        if type_ != V128 and not (self._has_vectors and self.chance(0.3)):
            return super()._numeric(type_, depth)
        row = self.random.choice(VECTOR[type_])
        assert row.params is not None
        for place, param in enumerate(row.params):
            if place and self.chance(0.3):
                self.const(param, constant(self.random, param))
            else:
                self.determined(param, depth)
        self.apply(row)
        return True

    def _idiom(self, type_: int, depth: int) -> bool:
        programs = VECTOR_IDIOMS[type_] if self._has_vectors else []
        if not programs or (type_ != V128 and self.chance(0.7)):
            return super()._idiom(type_, depth)
        self._program(self.random.choice(programs), type_, depth)
        return True

    def _load(self, type_: int, depth: int) -> bool:
        if type_ != V128:
            return super()._load(type_, depth)
        row = self.random.choice(VECTOR_LOADS)
        memory = self.a_memory()
        self.address(memory)
        if row.immediates == MEMARG_LANE:
            self.value(V128, depth)
        self.op(row.name, self.memarg(row, memory))
        return True

    # A function for a relaxed instruction

    def relaxed_function(self, row: Opcode) -> bytes:
        """Write a function from vectors to the operands of a relaxed instruction, which are computed a little, and its result."""
        params = self.type.params
        for place in range(len(params)):
            if self.chance(0.6):
                some = self.random.choice(_SIMPLE)
                for param in some.params or ():
                    self._leaf(param)
                self.apply(some)
                self.op("local.set", place)
        for _ in range(2):
            for place in range(len(params)):
                self.op("local.get", place)
        self.op(row.name)
        return self.entry()
