"""Generated bodies, sixth part: structures, arrays, i31s, casts, and branches on what a reference is.

Most references are to objects, since null traps where one is read. All that an object holds becomes visible by its numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.wasm.syntax.types import (
    ANYREF,
    EMPTY,
    EQREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I8,
    I16,
    I31REF,
    I32,
    I64,
    NON_NULL,
    NUM_TYPES,
    V128,
    FieldType,
    FuncType,
    Types,
    concrete,
    is_ref,
)
from tests.property.constants import constant
from tests.property.expressions import Frame, block_type
from tests.property.objects.types import NODE, ObjectTypes
from tests.property.waiting import Waiting
from tests.property.world import World

_LENGTHS: Final = (4, 4, 5, 7, 8, 9, 16, 17, 4, 4, 5, 7, 8, 9, 16, 17, 0, 1, 3, 70)
_ANY: Final = frozenset((ANYREF, EQREF, I31REF))
"""What an i31 is."""


class ObjectWorld(World):
    """What function bodies may use, the types of objects among it.

    Attributes:
        objects: the types.
    """

    objects: ObjectTypes

    def value_type(self) -> int:
        """Return a type to the module's taste, that of a reference sometimes."""
        return self.objects.reference() if self.random.random() < 0.25 else super().value_type()


class Objects(Waiting):
    """Writes the whole body of a function."""

    world: ObjectWorld

    def __init__(self, world: ObjectWorld, type_: FuncType) -> None:
        super().__init__(world, type_)
        self.objects = world.objects
        self._makers.append(self._object_value)
        self._weights.append(18)
        rows: list[tuple[int, Callable[[], None]]] = [
            (14, self._assign), (8, self._range), (4, self._list), (8, self._alias), (5, self._branch_on),
        ]  # fmt: skip
        self._statements += [method for _, method in rows]
        self._statement_weights += [weight for weight, _ in rows]

    def const(self, type_: int, value: int) -> None:
        """Write a constant from its immediate, or a null reference."""
        if is_ref(type_):
            self.op("ref.null", type_ & ~NON_NULL)
        else:
            super().const(type_, value)

    def _prepare(self) -> None:
        """Have locals refer to something."""
        for type_, places in self.pool.items():
            for place in places:
                if is_ref(type_) and place >= len(self.type.params):
                    self.value(type_, 2)
                    self.op("local.set", place)

    def _open(self, name: str, results: Types) -> None:
        """Begin a block that no other branch goes to than those that are written with it."""
        self.op(name, block_type(self.world, (), results))
        self.frames.append(Frame(results, open=False))

    def _end(self) -> None:
        self.frames.pop()
        self.op("end")

    # References

    def _reference(self, type_: int, depth: int) -> None:
        if type_ == FUNCREF or (type_ == EXTERNREF and self.chance(0.4)):
            super()._reference(type_, depth)
            return
        if type_ == EXTERNREF:
            self.value(ANYREF, depth - 1)
            self.op("extern.convert_any")
            return
        places = [place for code, found in self.pool.items() if is_ref(code) and self._fits(code, type_) for place in found]
        kind = self.random.random()
        if places and kind < 0.5:
            self.op("local.get", self.random.choice(places))
        elif kind < 0.53:
            self.op("ref.null", type_)
        elif depth > 0 and self.budget > 0 and kind < 0.72:
            self.random.choice((self._chosen, self._read, self._cast, self._converted, self._unless_null))(type_, depth - 1)
        else:
            self._new_for(type_, depth)

    def _fits(self, code: int, wanted: int) -> bool:
        return code not in (FUNCREF, EXTERNREF) and self.objects.matches(code, wanted)

    def _new_for(self, type_: int, depth: int) -> None:
        """Leave a reference to something new."""
        made = self.objects.made_for(type_)
        if type_ in _ANY and (not made or self.chance(0.4)):
            self.value(I32, min(depth, 1))
            self.op("ref.i31")
        elif made and (self.budget > -200 or type_ & NON_NULL):
            self._new(self.random.choice(made), depth - 1)
        else:
            self.op("ref.null", type_)

    def non_null(self, type_: int, depth: int) -> None:
        """Leave a reference that is not null, or trap."""
        if self.chance(0.1):
            self.value(type_ & ~NON_NULL, min(depth, 1))
            self.op("ref.as_non_null")
            return
        made = [index for index in self.objects.made_for(type_) if not self.objects.subs[index].supers or self.chance(0.5)]
        self._new(self.random.choice(made or self.objects.made_for(type_)[:1]), depth)

    def _stored(self, field: FieldType, depth: int) -> None:
        """Leave a value for a field."""
        if is_ref(field.storage) and field.storage & NON_NULL:
            self.non_null(field.storage, depth)
        elif depth <= 0 and is_ref(field.storage) and (self.budget < 0 or self.chance(0.4)):
            self.op("ref.null", field.storage)
        else:
            self.value(field.value, max(min(depth, 2), 0))

    def _new(self, index: int, depth: int) -> None:
        """Leave a new object of a type."""
        default = self.objects.has_default(index)
        if self.objects.is_array(index):
            self._new_array(index, depth, default)
        elif default and (self.chance(0.3) or self.budget < -100):
            self.op("struct.new_default", index)
        else:
            for field in self.objects.fields(index):
                self._stored(field, depth)
            self.op("struct.new", index)

    def _new_array(self, index: int, depth: int, default: bool) -> None:
        (field,) = self.objects.fields(index)
        kind = self.random.random()
        segments = [number for number, elem in enumerate(self.world.elems) if elem == FUNCREF]
        if kind < 0.08 and not is_ref(field.storage) and self.world.num_datas:
            self.small(1)
            self.const(I32, 4 if self.chance(0.8) else self.random.randrange(4))
            self.op("array.new_data", (index, self.random.randrange(self.world.num_datas)))
        elif kind < 0.2 and field.storage == FUNCREF and segments:
            self.small(1)
            self.small(1)
            self.op("array.new_elem", (index, self.random.choice(segments)))
        elif kind < 0.5 and default:
            self._length()
            self.op("array.new_default", index)
        elif kind < 0.75:
            self._stored(field, depth)
            self._length()
            self.op("array.new", index)
        else:
            count = self.random.choice((4, 4, 4, 4, 5, 6, 6, 8, 3, 0))
            for _ in range(count):
                self._stored(field, min(depth, 1))
            self.op("array.new_fixed", (index, count))

    def _length(self) -> None:
        if self.chance(0.7):
            self.const(I32, self.random.choice(_LENGTHS))
        else:
            self.value(I32, 1)
            self.const(I32, 7)
            self.op("i32.and")
            self.const(I32, 4)
            self.op("i32.or")

    def _index(self) -> None:
        """Leave an index that is nearly always that of an element."""
        if self.chance(0.6):
            self.const(I32, self.random.randrange(4 if self.chance(0.97) else 9))
        else:
            self.value(I32, 1)
            if self.chance(0.98):
                self.const(I32, 3)
                self.op("i32.and")

    def _object(self, index: int, depth: int = 1) -> None:
        """Leave a reference to an object of a type, nearly always."""
        wanted = concrete(index, nullable=True)
        places = [place for code, found in self.pool.items() if is_ref(code) and self._fits(code, wanted) for place in found]
        if places and self.chance(0.85):
            self.op("local.get", self.random.choice(places))
        elif self.chance(0.1):
            self.value(wanted, depth)
        else:
            self._new(index, depth)

    def _chosen(self, type_: int, depth: int) -> None:
        self.value(type_, depth)
        self.value(type_, depth)
        self.condition(1)
        self.op("select_t", (type_,))

    def _read(self, type_: int, depth: int) -> None:
        """Leave what a field or an element of the type has, or something new if none is of it."""
        found = self._fields_of(lambda field: is_ref(field.storage) and self._fits(field.storage, type_))
        if found:
            self._get(*self.random.choice(found), depth)
        else:
            self._new_for(type_, depth)

    def _cast(self, type_: int, depth: int) -> None:
        """Leave a reference cast to a type, if it is one of it."""
        place = self.temporary(ANYREF, "c")
        self.value(ANYREF, depth)
        self.op("local.tee", place)
        self.op("ref.test_null", type_)
        self._open("if", (type_,))
        self.op("local.get", place)
        self.op("ref.cast_null", type_)
        self.op("else")
        if self.chance(0.05):
            self.op("local.get", place)
            self.op("ref.cast", type_)
        else:
            self._new_for(type_, 0)
        self._end()

    def _converted(self, type_: int, depth: int) -> None:
        """Leave a reference that has been in the other hierarchy."""
        self.value(type_, depth)
        self.op("extern.convert_any")
        self.op("any.convert_extern")
        if type_ != ANYREF:
            self.op("ref.cast_null", type_)

    def _unless_null(self, type_: int, depth: int) -> None:
        """Leave a reference, something new in the place of null."""
        self._open("block", (type_ | NON_NULL,))
        self.value(type_, depth)
        self.op("br_on_non_null", 0)
        self._new_for(type_ | NON_NULL, 0) if type_ not in _ANY else self._new_i31()
        self._end()

    def _new_i31(self) -> None:
        self.const(I32, constant(self.random, I32))
        self.op("ref.i31")

    # Numbers out of objects

    def _fields_of(self, wanted: Callable[[FieldType], bool]) -> list[tuple[int, int]]:
        """Return type and number of the fields that are wanted; the number is 0 for elements."""
        types = range(len(self.objects.subs))
        return [(index, number) for index in types for number, field in enumerate(self.objects.fields(index)) if wanted(field)]

    def _object_value(self, type_: int, depth: int) -> bool:
        if type_ == I32 and self.chance(0.5):
            self._question(depth)
            return True
        found = self._fields_of(lambda field: field.value == type_)
        if found:
            self._get(*self.random.choice(found), depth)
        return bool(found)

    def _get(self, index: int, number: int, depth: int) -> None:
        """Leave what a field or an element has."""
        self._object(index, depth)
        if self.objects.is_array(index):
            self._index()
        self._load_field(index, number)

    def _load_field(self, index: int, number: int) -> None:
        field = self.objects.fields(index)[number]
        suffix = self.random.choice(("_s", "_u")) if field.storage in (I8, I16) else ""
        if self.objects.is_array(index):
            self.op(f"array.get{suffix}", index)
        else:
            self.op(f"struct.get{suffix}", (index, number))

    def _store_field(self, index: int, number: int) -> None:
        if self.objects.is_array(index):
            self.op("array.set", index)
        else:
            self.op("struct.set", (index, number))

    def _question(self, depth: int) -> None:
        """Leave an answer about a reference."""
        kind = self.random.randrange(6)
        if kind == 0:
            self.value(self.objects.reference(), depth)
            self.op("ref.is_null")
        elif kind == 1:
            self.value(EQREF, depth)
            self.value(EQREF, depth)
            self.op("ref.eq")
        elif kind == 2:
            self.value(ANYREF, depth)
            self.op(self.random.choice(("ref.test", "ref.test_null")), self.objects.reference())
        elif kind == 3:
            self._object(self.random.choice([index for index in range(len(self.objects.subs)) if self.objects.is_array(index)]))
            self.op("array.len")
        elif kind == 4:
            self.value(I32, depth)
            self.op("ref.i31")
            self.op(self.random.choice(("i31.get_s", "i31.get_u")))
        else:
            self._i31(depth)

    def _i31(self, depth: int) -> None:
        """Leave the number of a reference that may be an i31, else another."""
        self._open("block", (I32,))
        self._open("block", (I31REF | NON_NULL,))
        self.value(ANYREF, depth)
        self.op("br_on_cast", (0, ANYREF, I31REF | NON_NULL))
        self.op("drop")
        self.const(I32, 77)
        self.op("br", 1)
        self._end()
        self.op(self.random.choice(("i31.get_s", "i31.get_u")))
        self._end()

    # Statements

    def _assign(self) -> None:
        found = self._fields_of(lambda field: field.mutable)
        index, number = self.random.choice(found)
        self._object(index)
        if self.objects.is_array(index):
            self._index()
        self._stored(self.objects.fields(index)[number], 2)
        self._store_field(index, number)

    def _range(self) -> None:
        """Write an operation on a range of an array."""
        arrays = [index for index in range(len(self.objects.subs)) if self.objects.is_array(index) and self.objects.fields(index)[0].mutable]
        index = self.random.choice(arrays)
        (field,) = self.objects.fields(index)
        sources = [
            other for other in range(len(self.objects.subs))
            if self.objects.is_array(other) and self._copies(self.objects.fields(other)[0].storage, field.storage)
        ]  # fmt: skip
        segments = [number for number, elem in enumerate(self.world.elems) if elem == FUNCREF]
        kind = self.random.randrange(4)
        self._object(index)
        self.small(2)
        if kind == 0:
            self._stored(field, 1)
            self.small(2)
            self.op("array.fill", index)
        elif kind == 1 and not is_ref(field.storage) and self.world.num_datas:
            self.small(2)
            self.small(2 if self.chance(0.9) else 20)
            self.op("array.init_data", (index, self.random.randrange(self.world.num_datas)))
        elif kind == 2 and field.storage == FUNCREF and segments:
            self.small(1)
            self.small(1)
            self.op("array.init_elem", (index, self.random.choice(segments)))
        else:
            source = self.random.choice(sources)
            self._object(source)
            self.op("ref.as_non_null")  # before the target's bounds, which wasmtime looks at first
            self.small(2)
            self.small(2 if self.chance(0.97) else 40)
            self.op("array.copy", (index, source))

    def _copies(self, storage: int, wanted: int) -> bool:
        return storage == wanted or (is_ref(storage) and is_ref(wanted) and self.objects.matches(storage, wanted))

    def _list(self) -> None:
        """Make a list of some nodes and add up what is in them."""
        node = concrete(NODE, nullable=True)
        first, counter, total = self.new_local(node), self.new_local(I32), self.new_local(I64)
        turns = self.random.choice((1, 3, 10, 30))
        if self.turns * turns > 60:
            return
        self.const(I32, turns)
        self.op("local.set", counter)
        self._open("loop", ())
        self.op("local.get", counter)
        self.op("i64.extend_i32_u")
        if self.chance(0.5):
            self.value(I64, 0)
            self.op("i64.mul")
        self.op("local.get", first)
        self.op("struct.new", NODE)
        self.op("local.set", first)
        self.op("local.get", counter)
        self.const(I32, 1)
        self.op("i32.sub")
        self.op("local.tee", counter)
        self.op("br_if", 0)
        self._end()
        self._add_up(first, total)
        self.op("local.get", total)
        self.op("local.set", self._place(I64))

    def _add_up(self, first: int, total: int) -> None:
        self.op("block", ~EMPTY)
        self.op("loop", ~EMPTY)
        self.op("local.get", first)
        self.op("br_on_null", 1)
        self.op("struct.get", (NODE, 0))
        self.op("local.get", total)
        self.op("i64.add")
        self.op("local.set", total)
        self.op("local.get", first)
        self.op("struct.get", (NODE, 1))
        self.op("local.set", first)
        self.op("br", 0)
        self.op("end")
        self.op("end")

    def _alias(self) -> None:
        """Read, write what may be the same, read again."""
        found = self._fields_of(lambda field: field.mutable and field.value in (I32, I64))
        index, number = self.random.choice(found)
        array = self.objects.is_array(index)
        same = [other for other, place in found if place == number and self.objects.is_array(other) == array]
        other = self.random.choice(same) if self.chance(0.3) else index
        type_ = self.objects.fields(index)[number].value
        one, two = self.new_local(concrete(index, nullable=True)), self.new_local(concrete(other, nullable=True))
        self._object(index)
        self.op("local.set", one)
        self._object(other)
        self.op("local.set", two)
        self._place_in(one, array)
        self._load_field(index, number)
        self._place_in(two, array)
        self.value(self.objects.fields(other)[number].value, 1)
        self._store_field(other, number)
        if self.chance(0.2):
            self._new(self.random.randrange(len(self.objects.subs)), 0)
            self.op("drop")
        self._place_in(one, array)
        self._load_field(index, number)
        self.op("i32.sub" if type_ == I32 else "i64.sub")
        self.op("local.set", self._place(type_))

    def _place_in(self, place: int, array: bool) -> None:
        self.op("local.get", place)
        if array:
            self._index()

    def _branch_on(self) -> None:
        """Write a block that is left by what a reference is."""
        source = ANYREF
        target = self.objects.reference()
        if self.chance(0.5):
            target |= NON_NULL
        fail = self.chance(0.5)
        rest = source if target & NON_NULL else ANYREF | NON_NULL
        taken = rest if fail else target
        left = target if fail else rest
        self._open("block", (taken,))
        self.value(ANYREF, 1)
        self.op("br_on_cast_fail" if fail else "br_on_cast", (0, source, target))
        self.op("local.set", self._place(left & ~NON_NULL))
        self._new_for(taken, 0) if not taken & NON_NULL else self._non_null_for(taken)
        self._end()
        self.op("local.set", self._place(taken & ~NON_NULL))

    def _non_null_for(self, type_: int) -> None:
        if type_ & ~NON_NULL in _ANY:
            self._new_i31()
        else:
            self.non_null(type_, 0)

    # What can be seen

    def _mix_locals(self) -> None:
        super()._mix_locals()
        for type_, places in list(self.pool.items()):
            if is_ref(type_) and type_ not in (FUNCREF, EXTERNREF) and self.chance(0.5):
                self._tell(type_, self.random.choice(places))

    def _tell(self, type_: int, place: int) -> None:
        """Put a number out of a local's object, if there is one, into a local."""
        made = self.objects.made_for(type_)
        found = [(index, number) for index, number in self._fields_of(lambda field: field.value in (*NUM_TYPES, V128)) if index in made]
        if not found:
            return
        index, number = self.random.choice(found)
        array = self.objects.is_array(index)
        target = concrete(index, nullable=False)
        self.op("block", ~EMPTY)
        self.op("local.get", place)
        self.op("ref.test", target)
        self.op("i32.eqz")
        self.op("br_if", 0)
        if array:
            self.op("local.get", place)
            self.op("ref.cast", target)
            self.op("array.len")
            self.op("i32.eqz")
            self.op("br_if", 0)
        self.op("local.get", place)
        self.op("ref.cast", target)
        if array:
            self.const(I32, 0)
        self._load_field(index, number)
        self._publish(self.objects.fields(index)[number].value)
        self.op("end")

    def _publish(self, type_: int) -> None:
        """Put a value into a global of its type, or into a local."""
        found = [k for k, one in enumerate(self.world.globals) if one.type == type_ and one.mutable and k != self.world.fuel]
        if found and type_ not in (F32, F64):
            self.op("global.set", self.random.choice(found))
        else:
            self.op("local.set", self._place(type_))
