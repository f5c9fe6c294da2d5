"""Generated bodies, third part: statements, blocks, branches, calls, and whole functions.

Loops end because each either counts its turns in a local that nothing else writes, or takes fuel at its head; calls take fuel too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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
from tests.property.constants import constant
from tests.property.expressions import Frame, block_type
from tests.property.vectors import Vectors
from tests.property.world import CALL_COST, World

MAX_TURNS: Final = 60
"""Turns of all the counting loops around a place, multiplied."""
MAX_NESTING: Final = 7


def shorter(first: int, second: int) -> int:
    """Return the type of the length of a copy between memories or tables with addresses of two types."""
    return first if second == I64 else second


class Statements(Vectors):
    """Writes the whole body of a function."""

    def __init__(self, world: World, type_: FuncType) -> None:
        super().__init__(world, type_)
        style = self.style
        rows: list[tuple[int, Callable[[], None]]] = [
            (22, self._set_local),
            (6, self._set_global),
            (16 if world.memory else 0, self._store),
            (4, self._leave),
            (8, self._consume),
            (2, self._drop),
            (7, self._block),
            (8, self._loop),
            (9, self._if),
            (5, self._branch_if),
            (style.calls, self._call_any),
            (style.calls // 2 if world.tables else 0, self._call_indirect),
            (style.switches, self._switch),
            (style.switches // 3, self._branch_table),
            (2 if world.memory else 0, self._bulk_memory),
            (2 if world.tables else 0, self._table),
            (1, self._leave_early),
            (1, lambda: self.op("nop")),
        ]
        self._statements = [method for _, method in rows]
        self._statement_weights = [weight for weight, _ in rows]

    # Functions

    def function(self) -> bytes:
        """Write the function; return its code entry."""
        self._take_fuel(CALL_COST)
        for _ in range(self.random.randint(0, self.style.locals)):
            type_ = self.world.value_type() if self.chance(0.97) else self.random.choice((FUNCREF, FUNCREF, EXTERNREF))
            self.pool.setdefault(type_, []).append(self.new_local(type_))
        self._prepare()
        if self.style.keep or self.chance(0.1):
            self._fill_locals()
        while self.budget > 0:
            self.statement()
        if self.style.keep or self.chance(0.3):
            self._mix_locals()
        self._finish(self.type.results)
        return self.entry()

    def _prepare(self) -> None:
        """Do what all functions begin with."""

    def _fill_locals(self) -> None:
        """Give every local a value of its own."""
        for type_, places in self.pool.items():
            for place in places[::-1]:
                self.value(type_, 2)
                self.op("local.set", place)

    def _mix_locals(self) -> None:
        """Make what is in the locals visible from outside: as a number in a global or in memory."""
        self.const(I64, 1)
        for type_, places in self.pool.items():
            if is_ref(type_):
                continue
            for place in places:
                self._mix(type_, place)
        found = [index for index, one in enumerate(self.world.globals) if one.type == I64 and one.mutable and index != self.world.fuel]
        place = self.temporary(I64, "m")
        self.op("local.set", place)
        if found and (self.chance(0.5) or not self.world.memory):
            self.op("local.get", place)
            self.op("global.set", self.random.choice(found))
        elif self.world.memory:
            memory = self.a_memory()
            self.const(self.world.memories[memory].address, 8 * self.random.randrange(4096))
            self.op("local.get", place)
            self.op("i64.store", (3, 0, memory))

    def _mix(self, type_: int, place: int) -> None:
        """Combine the i64 on the stack with a local."""
        self.const(I64, 7)
        self.op("i64.rotl")
        self.op("local.get", place)
        if type_ in (F32, F64):
            self.op("i64.trunc_sat_f32_s" if type_ == F32 else "i64.trunc_sat_f64_s")
        elif type_ == I32:
            self.op("i64.extend_i32_u")
        elif type_ == V128:
            self.op("i64x2.extract_lane", self.random.randrange(2))
        self.op(self.random.choice(("i64.xor", "i64.add")))

    def _take_fuel(self, amount: int) -> None:
        """Count fuel down; leave the function, or trap, when it has run out."""
        fuel = self.world.fuel
        self.op("global.get", fuel)
        self.const(I32, amount)
        self.op("i32.sub")
        self.op("global.set", fuel)
        self.op("global.get", fuel)
        self.const(I32, 0)
        self.op("i32.lt_s")
        self.op("if", ~EMPTY)
        if self.world.fuel_traps:
            self.op("unreachable")
        else:
            for type_ in self.type.results:
                self.const(type_, 0 if is_ref(type_) else constant(self.random, type_))
            self.op("return")
        self.op("end")

    def statement(self) -> None:
        """Write a statement; it may leave values on `stack`."""
        self.random.choices(self._statements, self._statement_weights)[0]()

    # Simple ones

    def _place(self, type_: int) -> int:
        places = self.pool.get(type_)
        return self.random.choice(places) if places else self.temporary(type_, "p")

    def _set_local(self) -> None:
        type_ = self.random.choice(list(self.pool)) if self.pool and self.chance(0.9) else self.world.value_type()
        self.value(type_)
        self.op("local.set", self._place(type_))

    def _set_global(self) -> None:
        found = [index for index, one in enumerate(self.world.globals) if one.mutable and index != self.world.fuel]
        if found:
            index = self.random.choice(found)
            self.value(self.world.globals[index].type)
            self.op("global.set", index)

    def _store(self) -> None:
        row = self.a_store()
        assert row.params is not None
        memory = self.a_memory()
        self.address(memory)
        self.determined(row.params[1], self.random.randint(0, self.style.depth))
        self.op(row.name, self.memarg(row, memory))

    def _leave(self) -> None:
        if len(self.stack) < 40:
            self.stack.append(self.world.value_type())
            self.value(self.stack[-1])

    def _consume(self) -> None:
        """Use up the value on top of the stack."""
        if not self.stack:
            return
        type_ = self.stack.pop()
        if type_ in NUM_TYPES and self.chance(0.4):
            self.value(type_, 2)
            self.op(f"{type_name(type_)}.{self.random.choice(('add', 'sub', 'mul'))}")
        if self.chance(0.2):
            self.op("drop")
        else:
            self.op("local.set", self._place(type_))

    def _drop(self) -> None:
        self.value(self.world.value_type())
        self.op("drop")

    def _leave_early(self) -> None:
        """Leave the function under a condition, or trap, rarely."""
        if self.chance(0.5):
            return
        self.condition()
        self.op("if", ~EMPTY)
        if self.chance(0.2):
            self.const(I32, 1)
            self.op("i32.eqz")
            self.op("if", ~EMPTY)
            self.op("unreachable")
            self.op("end")
        self.frames.append(Frame((), open=False))
        self.values(self.type.results, 1)
        self.frames.pop()
        self.op("return")
        self.op("end")

    # Blocks

    def _signature(self) -> tuple[Types, Types]:
        """Return parameters and results for a block."""
        if self.chance(0.6):
            return (), ()
        many = self.chance(0.1)
        params = tuple(self.world.value_type() for _ in range(self.random.choice((0, 0, 1, 2) if not many else (5, 9))))
        results = tuple(self.world.value_type() for _ in range(self.random.choice((0, 1, 1, 2) if not many else (6, 11))))
        return params, results

    def _body(self, frame: Frame, params: Types, results: Types, size: int) -> None:
        """Write what is in a block, from after its head to before its end."""
        outer = self.stack
        self.stack = list(params)
        self.frames.append(frame)
        for _ in range(size):
            if self.budget <= 0:
                break
            self.statement()
        self._finish(results)
        self.frames.pop()
        self.stack = outer

    def _finish(self, results: Types) -> None:
        """Make the innermost block end with its results."""
        if tuple(self.stack) == results and self.chance(0.5):
            return
        if self.chance(0.12) and self._jump():
            return
        if self.stack and self.chance(0.3):
            self.values(results, 1)
            self.op("br", 0) if self.frames[-1].types == results and self.frames[-1].open else self._return()
            self._dead()
            return
        while self.stack:
            self.op("local.set", self._place(self.stack.pop()))
        self.values(results)

    def _return(self) -> None:
        self.values(self.type.results, 1)
        self.op("return")

    def _jump(self) -> bool:
        """Branch without condition, and write some code that is never reached."""
        label = self._label()
        if label is None:
            return False
        self.values(self.frames[-1 - label].types, 1)
        self.op("br", label)
        self._dead()
        return True

    def _dead(self) -> None:
        kind = self.random.random()
        if kind < 0.1:
            self.op("i32.add")
            self.op("drop")
        elif kind < 0.2:
            self._drop()
        elif kind < 0.25:
            self.op("select")
            self.op("drop")
        elif kind < 0.3:
            self.op("unreachable")

    def _nested(self) -> bool:
        return len(self.frames) > MAX_NESTING or self.budget <= 0

    def _block(self) -> None:
        if self._nested():
            return
        params, results = self._signature()
        self.values(params, 1)
        self.op("block", block_type(self.world, params, results))
        self._body(Frame(results), params, results, self.random.randint(1, 6))
        self.op("end")
        self.stack += results

    def _if(self) -> None:
        if self._nested():
            return
        params, results = self._signature()
        self.values(params, 1)
        self.condition()
        self.op("if", block_type(self.world, params, results))
        self._body(Frame(results), params, results, self.random.randint(1, 4))
        if params != results or self.chance(0.5):
            self.op("else")
            self._body(Frame(results), params, results, self.random.randint(0, 4))
        self.op("end")
        self.stack += results

    def _loop(self) -> None:
        if self._nested():
            return
        params, results = self._signature()
        turns = self.random.randint(2, 9)
        if self.chance(0.5) and self.turns * turns <= MAX_TURNS:
            self._counted(params, results, turns)
        else:
            self.values(params, 1)
            self.op("loop", block_type(self.world, params, results))
            self._take_fuel(1)
            self._loop_body(Frame(params), params, results, lambda: self.condition(2))
        self.op("end")
        self.stack += results

    def _counted(self, params: Types, results: Types, turns: int) -> None:
        """Write a loop that counts its turns."""
        counter = self.new_local(I32)
        up = self.chance(0.3)
        self.const(I32, 0 if up else turns)
        self.op("local.set", counter)
        self.values(params, 1)
        self.op("loop", block_type(self.world, params, results))
        self.turns *= turns

        def again() -> None:
            self.op("local.get", counter)
            self.const(I32, 1)
            self.op("i32.add" if up else "i32.sub")
            self.op("local.tee", counter)
            if up:
                self.const(I32, turns)
                self.op(self.random.choice(("i32.ne", "i32.lt_s", "i32.lt_u")))

        self._loop_body(Frame(params, open=False), params, results, again)
        self.turns //= turns

    def _loop_body(self, frame: Frame, params: Types, results: Types, again: Callable[[], None]) -> None:
        """Write a loop's body; it ends with a branch back under the condition that `again` leaves."""
        outer = self.stack
        self.stack = list(params)
        self.frames.append(frame)
        for _ in range(self.random.randint(1, 6)):
            if self.budget > 0:
                self.statement()
        while self.stack:
            self.op("local.set", self._place(self.stack.pop()))
        self.values(params, 1)
        again()
        self.op("br_if", 0)
        self.stack = list(params)
        self._finish(results)
        self.frames.pop()
        self.stack = outer

    def _control(self, type_: int, depth: int) -> bool:
        """Leave a value by way of a block, a loop or an if."""
        if self._nested():
            return False
        kind = self.random.random()
        results = (type_,)
        if kind < 0.4:
            self.condition()
            self.op("if", block_type(self.world, (), results))
            self._body(Frame(results), (), results, self.random.randint(0, 2))
            self.op("else")
            self._body(Frame(results), (), results, self.random.randint(0, 2))
        elif kind < 0.8:
            self.op("block", block_type(self.world, (), results))
            self._body(Frame(results), (), results, self.random.randint(0, 3))
        else:
            params = (self.world.value_type(),)
            self.values(params, 1)
            self.op("loop", block_type(self.world, params, results))
            self._take_fuel(1)
            self._loop_body(Frame(params), params, results, lambda: self.condition(1))
        self.op("end")
        return True

    # Branches

    def _label(self, types: Types | None = None) -> int | None:
        """Return a label that any branch may go to, or None when there is none."""
        found = [k for k, frame in enumerate(self.frames[::-1]) if frame.open and (types is None or frame.types == types)]
        return self.random.choice(found) if found else None

    def _branch_if(self) -> None:
        label = self._label()
        if label is not None:
            types = self.frames[-1 - label].types
            self.values(types, 1)
            self.condition()
            self.op("br_if", label)
            self.stack += types

    def _branch_table(self) -> None:
        """Write a br_table to labels around this place, in a block of its own."""
        label = self._label()
        if label is None:
            return
        types = self.frames[-1 - label].types
        self.op("block", ~EMPTY)
        self.frames.append(Frame(()))
        if self.chance(0.8):
            self.condition()
            self.op("br_if", 0)
        found = [k for k, frame in enumerate(self.frames[::-1]) if frame.open and frame.types == types]
        self.values(types, 1)
        self.value(I32, 2)
        self.op("br_table", tuple(self.random.choices(found, k=self.random.randint(1, 8))))
        self.op("end")
        self.frames.pop()

    def _switch(self) -> None:
        """Write nested blocks, a br_table within, and code after the end of each."""
        if self._nested():
            return
        arms = self.random.randint(1, 6)
        for _ in range(arms):
            self.op("block", ~EMPTY)
            self.frames.append(Frame(()))
        count = self.random.randint(1, self.style.labels)
        self.value(I32, 2)
        if self.chance(0.7):
            self.const(I32, count + 2)
            self.op("i32.rem_u")
        self.op("br_table", tuple(self.random.randrange(arms) for _ in range(count)))
        self._dead()
        for _ in range(arms):
            self.op("end")
            self.frames.pop()
            self._arm()

    def _arm(self) -> None:
        outer = self.stack
        self.stack = []
        for _ in range(self.random.randint(0, 2)):
            self.statement()
        while self.stack:
            self.op("local.set", self._place(self.stack.pop()))
        self.stack = outer

    # Calls

    def _take_results(self, results: Types) -> None:
        self.stack += results
        for _ in results:
            if self.chance(0.85):
                self._consume()

    def _call_any(self) -> None:
        func = self.random.randrange(len(self.world.funcs))
        type_ = self.world.func_type(func)
        self.values(type_.params, 1)
        self.op("call", func)
        self._take_results(type_.results)

    def _call_indirect(self) -> None:
        table = self.random.randrange(len(self.world.tables))
        slots = self.world.slots[table]
        if not slots:
            return
        slot = self.random.choice(list(slots))
        type_ = self.world.func_type(slots[slot])
        address = self.world.tables[table].address
        self.values(type_.params, 1)
        same = [other for other in slots if self.world.func_type(slots[other]) == type_]
        if self.chance(0.03):
            self.value(I32, 1)
            self.const(I32, 7)
            self.op("i32.and")
            self.widen(address)
        else:
            self.const(address, slot)
            if self.chance(0.6):
                self.const(address, self.random.choice(same))
                self.condition()
                self.op("select")
        self.op("call_indirect", (self.world.types.index(type_), table))
        self._take_results(type_.results)

    # Bulk operations

    def small(self, most: int, type_: int = I32) -> None:
        """Leave an integer between 0 and `most`."""
        if self.chance(0.5):
            self.const(type_, self.random.randint(0, most))
        else:
            self.value(I32, 1)
            self.const(I32, most + 1)
            self.op("i32.rem_u")
            self.widen(type_)

    def _bulk_memory(self) -> None:
        kind = self.random.randrange(5)
        count = 70_000 if self.chance(0.02) else self.random.choice((0, 3, 40, 300))
        memory = self.a_memory()
        address = self.world.memories[memory].address
        if kind == 0:
            self._grow_memory()
        elif kind == 1:
            self.address(memory)
            self.value(I32)
            self.small(count, address)
            self.op("memory.fill", memory)
        elif kind == 2:
            source = self.a_memory()
            self.address(memory)
            self.address(source)
            self.small(count, shorter(address, self.world.memories[source].address))
            self.op("memory.copy", (memory, source))
        elif self.world.num_datas and kind == 3:
            self.address(memory)
            self.small(4)
            self.small(self.random.choice((0, 4, 4, 12)))
            self.op("memory.init", (self.random.randrange(self.world.num_datas), memory))
        elif self.world.num_datas and self.chance(0.3):
            self.op("data.drop", self.random.randrange(self.world.num_datas))

    def _copy_table(self, table: int, others: list[int]) -> None:
        """Copy between tables with 32-bit indices."""
        self.small(max(self.world.tables[table].limits.min - 1, 0))
        self.small(1)
        self.small(1)
        self.op("table.copy", (table, self.random.choice(others)))

    def _grow_memory(self) -> None:
        memory = self.a_memory()
        address = self.world.memories[memory].address
        if self.chance(0.8):
            self.const(address, self.random.choice((0, 0, 1, 1, 2, 0xFFFF, -1)))
        else:
            self.value(address, 1)
        self.op("memory.grow", memory)
        self.op("local.set", self._place(address))

    def _table(self) -> None:
        kind = self.random.randrange(7)
        table = self.random.randrange(len(self.world.tables))
        elem = self.world.tables[table].elem
        address = self.world.tables[table].address
        last = max(self.world.tables[table].limits.min - 1, 0)
        alike = [index for index, one in enumerate(self.world.elems) if one == elem]
        if kind == 0:
            self.value(elem, 1)
            self.small(2, address)
            self.op("table.grow", table)
            self.op("local.set", self._place(address))
        elif kind == 1:
            self.small(last, address)
            self.value(elem, 1)
            self.op("table.set", table)
        elif kind == 2:
            self.small(last, address)
            self.value(elem, 1)
            self.small(1, address)
            self.op("table.fill", table)
        elif kind == 3:
            self._copy_table(table, [index for index, one in enumerate(self.world.tables) if one.elem == elem])
        elif kind == 4 and alike:
            self.small(last, address)
            self.small(1)
            self.small(1)
            self.op("table.init", (self.random.choice(alike), table))
        elif kind == 5 and self.world.elems and self.chance(0.3):
            self.op("elem.drop", self.random.randrange(len(self.world.elems)))
        else:
            self.small(last, address)
            self.op("table.get", table)
            self.op("local.set", self._place(elem))
