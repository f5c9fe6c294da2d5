"""Generated bodies, seventh part: exceptions, tail calls, and calls of typed references, around everything of the parts before.

What is thrown carries numbers and references; what catches it puts all of that into locals, which are live into the handler with
all others of the function. A throw that nothing around it catches is rare, since it ends a call from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.wasm.syntax.immediates import CATCH, CATCH_ALL, CATCH_ALL_REF, CATCH_REF
from figwasp.wasm.syntax.types import EMPTY, EXNREF, FUNCREF, I32, NON_NULL, FuncType, Types, concrete
from tests.property.expressions import Frame, block_type
from tests.property.objects.bodies import Objects, ObjectWorld

_WITH_REFERENCE: Final = (CATCH_REF, CATCH_ALL_REF)
_ANY_TAG: Final = (CATCH_ALL, CATCH_ALL_REF)


class ControlWorld(ObjectWorld):
    """What function bodies may use, tags among it.

    Attributes:
        tags: type index of every tag.
        again: index of the imported function that calls back, or -1.
    """

    tags: list[int]
    again: int

    def carried(self, tag: int) -> Types:
        """Return the types of what an exception with a tag carries."""
        type_ = self.types[self.tags[tag]]
        assert isinstance(type_, FuncType)
        return type_.params


class Clause:
    """A clause of a `try_table` that goes to a block around it.

    Attributes:
        kind: CATCH and so on.
        tag: what it catches; -1 for all.
        types: what it leaves in the block, the exception itself, if it does, being the last.
    """

    __slots__ = ("kind", "tag", "types")

    def __init__(self, kind: int, tag: int, types: Types) -> None:
        self.kind = kind
        self.tag = tag
        self.types = types


class Control(Objects):
    """Writes the whole body of a function.

    Attributes:
        caught: locals that hold exceptions, or null.
        catching: the tags that clauses around this place name; -1 is all.
    """

    world: ControlWorld

    def __init__(self, world: ControlWorld, type_: FuncType) -> None:
        super().__init__(world, type_)
        self.caught: list[int] = []
        self.catching: list[int] = []
        rows: list[tuple[int, Callable[[], None]]] = [
            (30, self._try), (30, self._throw), (16, self._throw_again), (8, self._call_reference), (5, self._leave_by_call),
            (6 if world.again >= 0 else 0, self._call_again), (3, self._keep_exception),
        ]  # fmt: skip
        self._statements += [method for _, method in rows]
        self._statement_weights += [weight for weight, _ in rows]

    # Exceptions

    def _reference(self, type_: int, depth: int) -> None:
        if type_ != EXNREF:
            super()._reference(type_, depth)
        elif self.caught and self.chance(0.7):
            self.op("local.get", self.random.choice(self.caught))
        elif not self._global(EXNREF):
            self.op("ref.null", EXNREF)

    def _try(self) -> None:
        """Write a `try_table` in as many blocks as it has clauses that go to them, and a handler after the end of each."""
        if self._nested():
            return
        results = self._signature()[1]
        handlers = [self._clause() for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
        self.op("block", block_type(self.world, (), results))
        self.frames.append(Frame(results))
        for clause in handlers:
            self.op("block", block_type(self.world, (), clause.types))
            self.frames.append(Frame(clause.types, open=clause.kind not in _WITH_REFERENCE))
        self._covered(handlers, results)
        for left, clause in reversed(list(enumerate(handlers))):
            self.op("br", left + 1)
            self.op("end")
            self.frames.pop()
            self._handler(clause, results)
        self.op("end")
        self.frames.pop()
        self.stack += results

    def _clause(self) -> Clause:
        kind = self.random.choice((CATCH, CATCH, CATCH_REF, CATCH_ALL, CATCH_ALL_REF))
        tag = -1 if kind in _ANY_TAG else self.random.randrange(len(self.world.tags))
        types = () if tag < 0 else self.world.carried(tag)
        return Clause(kind, tag, types + ((self.random.choice((EXNREF, EXNREF | NON_NULL)),) if kind in _WITH_REFERENCE else ()))

    def _covered(self, handlers: list[Clause], results: Types) -> None:
        """Write the `try_table` itself; its clauses are in any order, some going to blocks or loops further out."""
        count = len(handlers)
        clauses = [(clause.kind, clause.tag, count - 1 - number) for number, clause in enumerate(handlers)]
        clauses += self._clauses_further_out()
        self.random.shuffle(clauses)
        self.op("try_table", (block_type(self.world, (), results), tuple(clauses)))
        before = len(self.catching)
        self.catching += [tag for _, tag, _ in clauses]
        self._body(Frame(results), (), results, self.random.randint(1, 6))
        del self.catching[before:]
        self.op("end")

    def _clauses_further_out(self) -> list[tuple[int, int, int]]:
        """Return clauses that go to a label that is there anyhow."""
        if self.chance(0.7):
            return []
        tags = range(len(self.world.tags))
        found = [(CATCH, tag, label) for tag in tags if (label := self._label(self.world.carried(tag))) is not None]
        label = self._label(())
        found += [] if label is None else [(CATCH_ALL, -1, label)]
        return [self.random.choice(found)] if found else []

    def _handler(self, clause: Clause, results: Types) -> None:
        """Take what has been caught; leave results for the block around all handlers, or go elsewhere."""
        types = clause.types
        if clause.kind in _WITH_REFERENCE:
            self._catch()
            types = types[:-1]
        outer = self.stack
        self.stack = list(types)
        for _ in range(self.random.randint(0, 3)):
            self.statement()
        self._finish(results)
        self.stack = outer

    def _catch(self) -> None:
        """Put the exception on the stack into a local."""
        if not self.caught or self.chance(0.4):
            self.caught.append(self.new_local(EXNREF))
        self.op("local.set", self.random.choice(self.caught))

    def _unlikely_to_be_caught(self) -> bool:
        return not self.catching and self.chance(0.85)

    def _throw(self) -> None:
        """Throw under a condition."""
        if self._unlikely_to_be_caught():
            return
        self.condition(1)
        self.op("if", ~EMPTY)
        self.frames.append(Frame((), open=False))
        self._throw_now()
        self.frames.pop()
        self.op("end")

    def _throw_now(self) -> None:
        named = [tag for tag in self.catching if tag >= 0]
        tag = self.random.choice(named) if named and self.chance(0.6) else self.random.randrange(len(self.world.tags))
        self.values(self.world.carried(tag), 1)
        self.op("throw", tag)

    def _throw_again(self) -> None:
        """Throw what has been caught before, if something has, and a condition holds."""
        if not self.caught or self._unlikely_to_be_caught():
            return
        self._open("block", ())
        self.condition(1)
        self.op("br_if", 0)
        self.value(EXNREF, 0)
        if self.chance(0.97):
            self.op("br_on_null", 0)
        self.op("throw_ref")
        self._end()

    def _keep_exception(self) -> None:
        """Move an exception between locals and globals."""
        found = [index for index, one in enumerate(self.world.globals) if one.type == EXNREF]
        if not self.caught or not found:
            return
        self.value(EXNREF, 0)
        if self.chance(0.5):
            self.op("global.set", self.random.choice(found))
        else:
            self.op("local.set", self.random.choice(self.caught))

    def _finish(self, results: Types) -> None:
        """Make the innermost block end with its results, or by a throw or a tail call."""
        if self.chance(0.05 if self.catching else 0.0):
            self._throw_now()
            self._dead()
        elif self.chance(0.3 if len(self.frames) == 1 else 0.02) and self._tail_call():
            self._dead()
        else:
            super()._finish(results)

    # Calls

    def _return(self) -> None:
        if not (self.chance(0.4) and self._tail_call()):
            super()._return()

    def _alike(self) -> list[int]:
        """Return the functions that give what this one gives."""
        return [func for func in range(len(self.world.funcs)) if self.world.func_type(func).results == self.type.results]

    def _leave_by_call(self) -> None:
        """Leave the function by a tail call, under a condition."""
        self.condition(1)
        self.op("if", ~EMPTY)
        self.frames.append(Frame((), open=False))
        self._tail_call()
        self.frames.pop()
        self.op("end")

    def _tail_call(self) -> bool:
        """Write a call that takes the place of this function; say whether there is one."""
        alike = self._alike()
        if not alike:
            return False
        func = self.random.choice(alike)
        places = [(table, slot) for table, slots in enumerate(self.world.slots) for slot, one in slots.items() if one == func]
        self.values(self.world.func_type(func).params, 1)
        if places and self.chance(0.4):
            table, slot = self.random.choice(places)
            self.const(self.world.tables[table].address, slot)
            self.op("return_call_indirect", (self.world.funcs[func], table))
        elif self.chance(0.35):
            self._function(func)
            self.op("return_call_ref", self.world.funcs[func])
        else:
            self.op("return_call", func)
        return True

    def _function(self, func: int) -> None:
        """Leave a reference to a function, of its own type."""
        type_ = concrete(self.world.funcs[func], nullable=True)
        kind = self.random.random()
        if kind < 0.02:
            self.op("ref.null", type_)
            return
        self.op("ref.func", func)
        if kind < 0.3:
            place = self.temporary(type_, "f")
            self.op("local.set", place)
            self.op("local.get", place)
        elif kind < 0.5:
            self.op("local.set", self._place(FUNCREF))
            self.op("ref.func", func)
            self.op("ref.cast_null", type_)

    def _call_reference(self) -> None:
        func = self.random.randrange(len(self.world.funcs))
        type_ = self.world.func_type(func)
        self.values(type_.params, 1)
        self._function(func)
        self.op("call_ref", self.world.funcs[func])
        self._take_results(type_.results)

    def _call_again(self) -> None:
        """Call the host, which calls the module."""
        self.value(I32, 1)
        self.op("call", self.world.again)
        self._take_results(self.world.func_type(self.world.again).results)
