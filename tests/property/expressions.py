"""Generated bodies, first part: code that leaves one value of a given type.

The bits of a NaN that arithmetic makes are not determined by the spec. Wherever bits could be seen (reinterpretation, stores, the sign
that copysign takes), the value is of determined bits, or is made so by putting the canonical NaN in the place of any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.features import DEFAULT
from figwasp.wasm.binary.encode import locals_vector, write_instr
from figwasp.wasm.syntax.immediates import MEMARG, Immediate
from figwasp.wasm.syntax.opcodes import BY_NAME, ROWS, Opcode
from figwasp.wasm.syntax.types import (
    EMPTY,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    NUM_TYPES,
    V128,
    FuncType,
    Types,
    is_ref,
    type_name,
)
from tests.property.constants import CANONICAL_NAN, IDIOMS, constant, float_bits
from tests.property.world import World

_NAMES: Final = {"i32": I32, "i64": I64, "f32": F32, "f64": F64, "v128": V128}


_TYPED: Final = ("function-references", "gc", "exceptions", "tail-calls")
"""Proposals whose instructions modules with objects have, or those with exceptions and tail calls beside."""
EXECUTED: Final = [row for row in ROWS if row.proposal in DEFAULT and row.proposal not in _TYPED]
"""Instructions that any module may have."""
TYPED: Final = [row for row in ROWS if row.proposal in _TYPED]
"""Instructions that only these modules have."""
LATER: Final = [row for row in ROWS if row.proposal not in DEFAULT and row.proposal != "legacy-exceptions"]
"""Instructions that a module may have if it is asked for."""


def _numeric(type_: int) -> list[Opcode]:
    return [
        row for row in EXECUTED
        if row.params and row.results == (type_,) and row.ir != "-" and row.immediates != MEMARG and set(row.params) <= set(NUM_TYPES)
    ]  # fmt: skip


NUMERIC: Final[dict[int, list[Opcode]]] = {type_: _numeric(type_) for type_ in NUM_TYPES}
"""Result type -> instructions from numbers to it."""
_ACCESSES: Final = [row for row in EXECUTED if row.immediates == MEMARG]
LOADS: Final = {t: [row for row in _ACCESSES if row.results == (t,)] for t in NUM_TYPES}
STORES: Final = [row for row in _ACCESSES if not row.results and row.params is not None and row.params[1] in NUM_TYPES]
COMPARES: Final = [row for row in NUMERIC[I32] if row.params is not None and len(row.params) == 2 and row.code < 0x67]
_DIVIDES: Final = ("div_s", "div_u", "rem_s", "rem_u")


class Frame:
    """A label that branches may go to.

    Attributes:
        types: what a branch takes along.
        open: whether any branch may go there, and not only that of a loop that counts its turns.
    """

    __slots__ = ("open", "types")

    def __init__(self, types: Types, open: bool = True) -> None:
        self.types = types
        self.open = open


class Expressions:
    """Writes a function body.

    Attributes:
        out: the instructions so far.
        locals: types, parameters first.
        pool: type -> locals that any code may use.
        frames: labels, the innermost last; the first is the function.
        stack: types of values left by statements of the innermost block.
        budget: instructions that may still be written, about.
    """

    def __init__(self, world: World, type_: FuncType) -> None:
        self.world = world
        self.random = world.random
        self.style = world.style
        self.type = type_
        self.out = bytearray()
        self.locals = list(type_.params)
        self.pool: dict[int, list[int]] = {}
        self.frames = [Frame(type_.results)]
        self.stack: list[int] = []
        self.budget = int(self.style.size * self.random.choice((0.3, 1, 1, 1.7)))
        self.turns = 1
        self._temporaries: dict[tuple[int, str], int] = {}
        for index, type in enumerate(type_.params):
            self.pool.setdefault(type, []).append(index)
        self._makers: list[Callable[[int, int], bool]] = [
            self._numeric, self._idiom, self._load, self._tee, self._select, self._control, self._call, self._size,
        ]  # fmt: skip
        self._weights = [45, 9, 9 if world.memory else 0, 5, 5, 4, 3, 1]

    # Writing

    def op(self, name: str, immediate: Immediate = None) -> None:
        """Write an instruction."""
        write_instr(self.out, BY_NAME[name].code, immediate)
        self.budget -= 1

    def entry(self) -> bytes:
        """End the function; return its code entry."""
        self.out.append(0x0B)
        return locals_vector(tuple(self.locals[len(self.type.params) :])) + bytes(self.out)

    def const(self, type_: int, value: int) -> None:
        """Write a constant from its immediate, or a null reference."""
        if type_ in (FUNCREF, EXTERNREF):
            self.op("ref.null", type_)
        else:
            self.op(f"{type_name(type_)}.const", value)

    def new_local(self, type_: int) -> int:
        """Add a local that only its maker uses."""
        self.locals.append(type_)
        return len(self.locals) - 1

    def temporary(self, type_: int, name: str) -> int:
        """Return the local of that name, which any later code may overwrite."""
        found = self._temporaries.get((type_, name))
        if found is None:
            found = self._temporaries[type_, name] = self.new_local(type_)
        return found

    def chance(self, probability: float) -> bool:
        """Say yes with a probability."""
        return self.random.random() < probability

    # Values

    def value(self, type_: int, depth: int | None = None) -> None:
        """Leave a value of a type."""
        if depth is None:
            depth = self.random.randint(0, self.style.depth)
        if is_ref(type_):
            self._reference(type_, depth)
        elif depth <= 0 or self.budget <= 0 or self.chance(0.12):
            self._leaf(type_)
        else:
            while not self.random.choices(self._makers, self._weights)[0](type_, depth - 1):
                pass

    def values(self, types: Types, depth: int | None = None) -> None:
        """Leave values of types."""
        for type_ in types:
            self.value(type_, depth)

    def condition(self, depth: int | None = None) -> None:
        """Leave an i32 to decide by."""
        kind = self.random.random()
        if kind < 0.6:
            self._operate(self.random.choice(COMPARES), 1 if depth is None else depth)
        elif kind < 0.7:
            type_ = self.random.choice((I32, I64))
            self.value(type_, 1)
            self.op(f"{type_name(type_)}.eqz")
        elif kind < 0.8:
            self._leaf(I32)
            self.const(I32, self.random.choice((1, 2, 128, 1 << 16, -0x8000_0000)))
            self.op("i32.and")
        else:
            self.value(I32, depth)

    def _leaf(self, type_: int) -> None:
        places = self.pool.get(type_)
        if places and self.chance(0.75):
            self.op("local.get", self.random.choice(places))
        elif self.chance(0.2) and self._global(type_):
            return
        else:
            self.const(type_, 0 if is_ref(type_) else constant(self.random, type_))

    def _global(self, type_: int) -> bool:
        found = [index for index, one in enumerate(self.world.globals) if one.type == type_ and index != self.world.fuel]
        if found:
            self.op("global.get", self.random.choice(found))
        return bool(found)

    def _numeric(self, type_: int, depth: int) -> bool:
        self._operate(self.random.choice(NUMERIC[type_]), depth)
        return True

    def _operate(self, row: Opcode, depth: int) -> None:
        """Write an instruction and its operands."""
        assert row.params is not None
        verb = row.name.partition(".")[2]
        first = row.params[0]
        if "reinterpret_f" in verb:
            self.determined(first, depth)
        elif verb.startswith("trunc_f") and self.chance(0.85):
            self._modest(first)
        else:
            self.value(first, depth)
        if len(row.params) == 2:
            self._second(row.params[1], verb, depth)
        self.op(row.name)

    def _second(self, type_: int, verb: str, depth: int) -> None:
        """Leave the second operand of an instruction."""
        if verb in _DIVIDES and self.chance(0.9):
            if self.chance(0.5):
                self.const(type_, self.random.choice((1, 2, 3, 5, 7, 8, 10, 60, 100, 1000, 4096, -3, -7, -8, 0x7FFF_FFFF)))
            else:
                self.value(type_, depth)
                self.const(type_, 1)
                self.op(f"{type_name(type_)}.or")
        elif verb == "copysign":
            self.determined(type_, depth)
        elif self.chance(0.35):
            self.const(type_, constant(self.random, type_))
        else:
            self.value(type_, depth if self.chance(0.7) else 0)

    def _modest(self, type_: int) -> None:
        """Leave a float that fits an i32."""
        self.value(I32, 1)
        self.const(I32, self.random.choice((0xFF, 0xFFFF, 0x7FFF_FFFF if type_ == F64 else 0xFFFF)))
        self.op("i32.and")
        self.op(f"{type_name(type_)}.convert_i32_s")
        if self.chance(0.5):
            self.const(type_, float_bits(type_, self.random.choice((0.5, 0.25, -0.5, 0.99))))
            self.op(f"{type_name(type_)}.add")

    def determined(self, type_: int, depth: int) -> None:
        """Leave a value whose bits every implementation agrees on."""
        if type_ in (I32, I64):
            self.value(type_, depth)
        elif self.chance(0.2):
            self.const(type_, constant(self.random, type_))
        elif self.chance(0.25) and self.world.memory:
            memory = self.a_memory()
            self.address(memory)
            self.op(f"{type_name(type_)}.load", (self.random.choice((0, 2)), self.offset(), memory))
        else:
            self._canonical(type_, depth)

    def _canonical(self, type_: int, depth: int) -> None:
        name = type_name(type_)
        self.value(type_, depth)
        place = self.temporary(type_, "n")
        self.op("local.set", place)
        self.op("local.get", place)
        self.const(type_, CANONICAL_NAN[type_])
        self.op("local.get", place)
        self.op("local.get", place)
        self.op(f"{name}.eq")
        self.op("select")

    def _idiom(self, type_: int, depth: int) -> bool:
        self._program(self.random.choice(IDIOMS[type_]), type_, depth)
        return True

    def _program(self, tokens: list[str], type_: int, depth: int) -> None:
        """Write a short program."""
        last = type_
        letters: dict[str, int] = {}
        for token in tokens:
            if token[0] == "<":
                self.op("local.get", letters[token[1]])
            elif token[0] == ">":
                letters[token[1]] = place = self.new_local(last)
                self.op("local.set", place)
            elif token.partition(":")[0] in _NAMES:
                last = self._term(token, depth)
            else:
                self.op(token)
                results = BY_NAME[token].results
                last = results[0] if results else last

    def _term(self, token: str, depth: int) -> int:
        name, _, number = token.partition(":")
        type_ = _NAMES[name]
        if not number:
            self.value(type_, min(depth, 2))
        elif number == "k" or number == "n":
            value = constant(self.random, type_)
            self.const(type_, 10 if number == "n" and value in (0, -1) else value)
        else:
            self.const(type_, float_bits(type_, float(number)) if type_ in (F32, F64) else int(number, 0))
        return type_

    def _tee(self, type_: int, depth: int) -> bool:
        places = self.pool.get(type_)
        if not places:
            return False
        self.value(type_, depth)
        self.op("local.tee", self.random.choice(places))
        return True

    def _select(self, type_: int, depth: int) -> bool:
        self.value(type_, depth)
        self.value(type_, depth)
        self.condition(depth)
        if self.chance(0.2):
            self.op("select_t", (type_,))
        else:
            self.op("select")
        return True

    def _size(self, type_: int, depth: int) -> bool:
        memories = [index for index, one in enumerate(self.world.memories) if one.address == type_]
        tables = [index for index, one in enumerate(self.world.tables) if one.address == type_]
        if type_ != I32 and not memories + tables:
            return False
        if memories and (self.chance(0.6) or (type_ != I32 and not tables)):
            self.op("memory.size", self.one_of(memories))
        elif tables:
            self.op("table.size", self.random.choice(tables))
        else:
            self.value(FUNCREF)
            self.op("ref.is_null")
        return True

    def _reference(self, type_: int, depth: int) -> None:
        places = self.pool.get(type_)
        tables = [index for index, table in enumerate(self.world.tables) if table.elem == type_]
        kind = self.random.random()
        if kind < 0.4 and places:
            self.op("local.get", self.random.choice(places))
        elif kind < 0.5 and tables:
            table = self.random.choice(tables)
            self.const(self.world.tables[table].address, self.random.randrange(self.world.tables[table].limits.min or 1))
            self.op("table.get", table)
        elif kind < 0.8 and type_ == FUNCREF:
            self.op("ref.func", self.random.randrange(len(self.world.funcs)))
        elif kind < 0.9 and depth > 0:
            self.value(type_, depth - 1)
            self.value(type_, depth - 1)
            self.condition(1)
            self.op("select_t", (type_,))
        else:
            self.op("ref.null", type_)

    # Memory

    def offset(self) -> int:
        """Return the static offset of an access that is to stay in bounds."""
        return self.random.choice((0, 0, 0, 1, 2, 4, 8, 12, 16, 63, 255, 1024, 0x7FF0))

    def one_of(self, places: list[int]) -> int:
        """Return one of some numbers."""
        return self.random.choice(places) if len(places) > 1 else places[0]

    def a_memory(self) -> int:
        """Return the index of a memory."""
        return self.one_of(list(range(len(self.world.memories))))

    def widen(self, address: int) -> None:
        """Make an address or an index of the i32 on the stack."""
        if address == I64:
            self.op("i64.extend_i32_u")

    def address(self, memory: int) -> None:
        """Leave an address in a memory; with an `offset` it is nearly always in bounds."""
        self.short_address()
        self.widen(self.world.memories[memory].address)

    def short_address(self) -> None:
        """Leave an address as an i32."""
        kind = self.random.random()
        if kind < 0.006:
            self.value(I32)
        elif kind < 0.25:
            self.const(I32, self.random.choice((0, 1, 8, 16, 100, 1000, 0x7FF8, self.random.randrange(0x7FF8))))
        elif kind < 0.45:
            self.value(I32, 1)
            self.const(I32, 255)
            self.op("i32.and")
            self.const(I32, self.random.randrange(5))
            self.op("i32.shl")
            if self.chance(0.5):
                self.const(I32, self.random.choice((8, 64, 4096)))
                self.op("i32.add")
        else:
            self.value(I32, 2)
            self.const(I32, self.random.choice((0xFF, 0x7F8, 0x7FF8, 0x7FFF)))
            self.op("i32.and")

    def memarg(self, row: Opcode, memory: int) -> tuple[int, ...]:
        """Return the immediate of an access to a memory."""
        odd = self.chance(0.003)
        offset = self.random.choice((0xFFFF, 0xFFF9, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)) if odd else self.offset()
        return (self.random.randint(0, row.align), offset, memory)

    def _load(self, type_: int, depth: int) -> bool:
        row = self.random.choice(LOADS[type_])
        memory = self.a_memory()
        self.address(memory)
        self.op(row.name, self.memarg(row, memory))
        return True

    # Blocks and calls; `statements` overrides what they contain

    def _control(self, type_: int, depth: int) -> bool:
        raise NotImplementedError

    def _call(self, type_: int, depth: int) -> bool:
        found = [func for func in range(len(self.world.funcs)) if self.world.func_type(func).results == (type_,)]
        if not found:
            return False
        func = self.random.choice(found)
        self.values(self.world.func_type(func).params, min(depth, 1))
        self.op("call", func)
        return True


def block_type(world: World, params: Types, results: Types) -> int:
    """Return the immediate for a block type, adding a function type where it is needed."""
    if not params and not results:
        return ~EMPTY
    if not params and len(results) == 1 and not world.random.random() < 0.1:
        return ~results[0]
    type_ = FuncType(params, results)
    if type_ not in world.types:
        world.types.append(type_)
    return world.types.index(type_)
