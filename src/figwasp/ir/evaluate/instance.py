"""Instances under the evaluator: their blocks, their segments, and what their code asks of the runtime. Floor 2.

In: an `AddressSpace`, a valid module, what it imports. Out: an `EvalInstance`, laid out as `layout.py` says. The order of
instantiation is the specification's (4.7.3): the constructor makes tables, memories and globals, `start` copies the active
segments and calls the start function.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from figwasp.ir import builtins, constants
from figwasp.ir.build.builder import build
from figwasp.ir.evaluate.externs import Extern, FuncRef, Global, Memory, Table, Tag
from figwasp.ir.evaluate.func import Thrown, Undefined
from figwasp.ir.evaluate.objects import ObjectBuiltins
from figwasp.ir.evaluate.space import AddressSpace
from figwasp.ir.func import Func
from figwasp.ir.layouts import layout_of
from figwasp.layout import FUNCREF_INSTANCE, INST_DESCRIPTORS, SEGMENT_LENGTH, TYPE_PARENT
from figwasp.wasm.syntax.module import ACTIVE, DECLARATIVE, ConstExpr, Import, Module
from figwasp.wasm.syntax.types import is_ref
from figwasp.wasm.valid.module import validate
from figwasp.wasm.valid.subtyping import canonical_type

__all__ = ["EvalInstance", "EvalModule"]

_MASK: Final = (1 << 64) - 1


class EvalModule:
    """A valid module and the SSA form made of it so far, which its instances in one space share.

    Attributes:
        decoded: the module.
        layout: of its instances' blocks.
        numbers: canonical numbers of its types.

    Raises:
        Invalid, Malformed, LimitExceeded: it is not valid.
    """

    def __init__(self, space: AddressSpace, decoded: Module) -> None:
        self.decoded = decoded
        self.layout = layout_of(decoded)
        self._facts = validate(decoded)
        self.numbers = space.types.intern(decoded.types, decoded.groups)
        self._mode = space.mode
        self._passes = space.passes
        self._funcs: dict[int, Func] = {}

    @property
    def imports(self) -> list[Import]:
        """The imports of the module, in order."""
        return self.decoded.imports

    def func(self, index: int) -> Func:
        """Return the SSA form of a defined function after the passes."""
        func = self._funcs.get(index)
        if func is None:
            facts = self._facts[index - self.decoded.num_imported_funcs]
            func = self._funcs[index] = build(self.decoded, index, facts, self.layout, self._mode)
            if self._passes is not None:
                self._passes(func)
        return func


class EvalInstance(ObjectBuiltins):
    """An instance.

    Attributes:
        module: the module that it is an instance of.
        funcs, tables, memories, globals, tags: the externs that its code refers to, in the order of the index spaces.
        exports: the same by name.
    """

    __slots__ = ("exports", "funcs", "globals", "memories", "module", "tables", "tags")

    def __init__(self, space: AddressSpace, module: EvalModule, externs: Iterable[Extern]) -> None:
        given = list(externs)
        super().__init__(space, module.layout)
        self.module = module
        self.funcs = [extern for extern in given if isinstance(extern, FuncRef)]
        self.tables = [extern for extern in given if isinstance(extern, Table)]
        self.memories = [extern for extern in given if isinstance(extern, Memory)]
        self.globals = [extern for extern in given if isinstance(extern, Global)]
        self.tags = [extern for extern in given if isinstance(extern, Tag)]
        space.add_instance(self)
        self._lay_out_types()
        self._define()
        self._lay_out()
        for table, init in zip(self.tables[module.decoded.num_imported_tables :], module.decoded.table_inits, strict=True):
            if init is not None:
                table.fill(0, _element(self._constant(init)), len(table))
        self.elems = [b"".join(_element(self._constant(init)) for init in elem.inits) for elem in module.decoded.elems]
        self.datas = [module.decoded.data[data.start : data.end] for data in module.decoded.datas]
        kinds: tuple[Sequence[Extern], ...] = (self.funcs, self.tables, self.memories, self.globals, self.tags)
        self.exports = {item.name: kinds[item.kind][item.index] for item in module.decoded.exports}

    def _define(self) -> None:
        """Make what the module defines itself."""
        space, module, places = self.space, self.module.decoded, self.module.layout
        numbers = self.module.numbers
        for index in range(module.num_imported_funcs, len(module.func_types)):
            number = numbers[module.func_types[index]]
            func = FuncRef(self.block + places.funcref(index), module.func_type(index), number, numbers)
            self.funcs.append(space.add_func(func, self, index))
        self.memories += map(space.new_memory, module.memories[module.num_imported_memories :])
        for table in module.tables[module.num_imported_tables :]:
            self.tables.append(space.new_table(table, canonical_type(table.elem, numbers)))
        for index, init in enumerate(module.global_inits, module.num_imported_globals):
            kind = module.globals[index]
            address = self.block + places.global_cell(index)
            global_ = Global(space.native, address, kind, canonical_type(kind.type, numbers))
            global_.set(self._constant(init))
            self.globals.append(global_)
        self.tags += [Tag(module.signature(index), numbers[index]) for index in module.tags[module.num_imported_tags :]]

    def _lay_out_types(self) -> None:
        """Write the words for types into the block, which objects made by constant expressions have."""
        self._put(INST_DESCRIPTORS, self.space.types.region.base)
        for index, descriptor in enumerate(self.space.types.descriptors(self.module.numbers)):
            self._put(self.module.layout.type_id(index), descriptor, 4)

    def _lay_out(self) -> None:
        """Write into the block where everything is."""
        module, places = self.module.decoded, self.module.layout
        for index in range(module.num_imported_funcs):
            self._put(places.imported_func(index), self.funcs[index].address)
            self._put(places.imported_instance(index), self.space.native.read(self.funcs[index].address + FUNCREF_INSTANCE))
        for index in range(module.num_imported_globals):
            self._put(places.global_cell(index), self.globals[index].address)
        for index, memory in enumerate(self.memories):
            self._put(places.memory_record(index), memory.record)
            self._put(places.memory_base(index), memory.base)
        for index, table in enumerate(self.tables):
            self._put(places.table_record(index), table.record)
        for index, tag in enumerate(self.tags):
            self._put(places.tag(index), tag.identity)
        for index, data in enumerate(module.datas):
            self._put(places.data(index) + SEGMENT_LENGTH, data.end - data.start)
        for index, elem in enumerate(module.elems):
            self._put(places.elem(index) + SEGMENT_LENGTH, len(elem.inits))

    def _put(self, offset: int, number: int, size: int = 8) -> None:
        self.space.native.write(self.block + offset, number, size)

    def _constant(self, expr: ConstExpr) -> int:
        """Return the bits of a constant expression."""
        return constants.evaluate(expr, self.module.decoded, self)

    def global_bits(self, index: int) -> int:
        """Return the bits of a global."""
        return self.globals[index].get()

    def func_reference(self, index: int) -> int:
        """Return the reference to a function."""
        return self.funcs[index].address

    def start(self) -> None:
        """Copy the active segments, and call the start function.

        Raises:
            Trapped: a segment does not fit, or the function trapped.
        """
        module = self.module.decoded
        for number, elem in enumerate(module.elems):
            if elem.mode == ACTIVE:
                assert elem.offset is not None
                self.table_init(elem.table, number, self._constant(elem.offset), 0, len(elem.inits))
            if elem.mode in (ACTIVE, DECLARATIVE):
                self.elem_drop(number)
        for number, data in enumerate(module.datas):
            if data.mode == ACTIVE:
                assert data.offset is not None
                self.memory_init(data.memory, number, self._constant(data.offset), 0, data.end - data.start)
                self._put(self.module.layout.data(number) + SEGMENT_LENGTH, 0)
        if module.start is not None:
            self.space.enter(self.funcs[module.start], [])

    # What the space asks for: `Callee`

    def func(self, index: int) -> Func:
        """Return the SSA form of a defined function after the passes."""
        return self.module.func(index)

    def serve(self, builtin: int, args: list[int]) -> list[int]:
        """Do what a builtin does and return its results."""
        result = _BUILTINS[builtin](self, *args)
        return [] if result is None else [result]

    # Builtins, as `builtins` describes them

    def memory_grow(self, memory: int, delta: int) -> int:
        page = self.memories[memory].type.page
        return self.memories[memory].grow(delta << page, b"\0") >> page & _MASK

    def memory_fill(self, memory: int, start: int, value: int, count: int) -> None:
        self.memories[memory].fill(start, bytes((value & 0xFF,)), count)

    def memory_copy(self, target_memory: int, source_memory: int, target: int, source: int, count: int) -> None:
        self.memories[target_memory].copy(target, self.memories[source_memory].data, source, count)

    def memory_init(self, memory: int, segment: int, target: int, source: int, count: int) -> None:
        length = self.space.native.read(self.block + self.module.layout.data(segment) + SEGMENT_LENGTH)
        self.memories[memory].copy(target, self.datas[segment] if length else b"", source, count)

    def memory_notify(self, memory: int, place: int, count: int) -> int:
        return self.memories[memory].notify(place, count)

    def memory_wait32(self, memory: int, place: int, expected: int, timeout: int) -> int:
        return self.memories[memory].wait(place, 4, expected, timeout)

    def memory_wait64(self, memory: int, place: int, expected: int, timeout: int) -> int:
        return self.memories[memory].wait(place, 8, expected, timeout)

    def throw(self, exception: int) -> None:
        raise Thrown(exception)

    def table_set(self, table: int, index: int, reference: int) -> None:
        self.tables[table].fill(index, _element(reference), 1)

    def table_grow(self, table: int, reference: int, delta: int) -> int:
        return self.tables[table].grow(delta, _element(reference)) & _MASK

    def table_fill(self, table: int, start: int, reference: int, count: int) -> None:
        self.tables[table].fill(start, _element(reference), count)

    def table_copy(self, target_table: int, source_table: int, target: int, source: int, count: int) -> None:
        self.tables[target_table].copy(target, self.tables[source_table].data, source, count)

    def table_init(self, table: int, segment: int, target: int, source: int, count: int) -> None:
        self.tables[table].copy(target, self.elems[segment], source, count)

    def elem_drop(self, segment: int) -> None:
        self.elems[segment] = b""
        self._put(self.module.layout.elem(segment) + SEGMENT_LENGTH, 0)

    def global_set_func(self, index: int, address: int, reference: int) -> None:
        if not is_ref(self.globals[index].type.type) or self.globals[index].address != address:
            raise Undefined(f"global {index} holds no reference, or stands elsewhere")
        self.globals[index].set(reference)

    def global_set_extern(self, address: int, reference: int) -> None:
        self.space.native.write(address, reference)

    def subtype(self, type: int, ancestor: int) -> int:
        while type not in (0, ancestor):
            type = self.space.native.read(self.space.types.region.base + type + TYPE_PARENT, 4)
        return int(type == ancestor)


def _element(reference: int) -> bytes:
    return reference.to_bytes(8, "little")


_BUILTINS: Final = builtins.implementations({**vars(ObjectBuiltins), **vars(EvalInstance)})
