"""Floor 3: where templates come from: they are cut from what the optimising line makes of a few instructions.

In: the instruction table, and which instructions stand together in runs (`tokens`). Out: the text of the machine's table of
templates, which is a part of the source: `make templates` writes it. Each template comes from a function of the IR that takes
its operands from where baseline code has them, and leaves its result where that expects it. It is compiled twice, with other
numbers in the places of displacements and immediates: where the bytes differ are the fields to be filled in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, cast

from figwasp import layout
from figwasp.codegen.baseline import tokens
from figwasp.codegen.baseline.pieces import IMPORTED
from figwasp.codegen.baseline.template import (
    IMMEDIATE,
    INST_GLOBAL,
    INST_MEMORY,
    INST_RECORD,
    INST_TABLE,
    INST_TYPE,
    INSTANCE,
    LOCAL,
    OFFSET,
    SLOT,
    NoTemplate,
    Template,
)
from figwasp.codegen.code import Code
from figwasp.codegen.isa import host
from figwasp.codegen.mach import NONE
from figwasp.ir import ops, order, pipeline
from figwasp.ir.build import builder, calls, memory
from figwasp.ir.build.base import Builder
from figwasp.ir.func import Block, Func, Value
from figwasp.ir.types import BITS, BY_WASM, CLASSES, I32, I64
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.opcodes import ADDRESS, BY_NAME, BY_PREFIX, SINGLE, Opcode

if TYPE_CHECKING:
    from figwasp.layout import InstanceLayout

__all__ = ["all_keys", "make", "template", "write"]

_GET: Final = BY_NAME["local.get"].code
_SET: Final = BY_NAME["local.set"].code
_TEE: Final = BY_NAME["local.tee"].code
_BR_IF: Final = BY_NAME["br_if"].code
_CONSTANTS: Final = frozenset(BY_NAME[name].code for name in ("i32.const", "i64.const"))
_SHIFTS: Final = frozenset(f"{type}_{name}" for type in ("i32", "i64") for name in ("shl", "shr_s", "shr_u", "rotl", "rotr"))
_MODULE: Final = decode(
    bytes.fromhex("0061736d01000000 010401600000 03020100 040401700000 0503010000 0606017f0141000b 0a040102000b")
)
"""What instructions refer to: a type () -> () and a function of it, a table, a memory without a page, a global."""

_STACK, _LOCAL, _CONSTANT = range(3)
"""Where an operand comes from."""


class _Numbers:
    """The numbers that stand in fields, in one of two versions that differ in every byte.

    Attributes:
        used: what each field holds, which of it, its bytes, the number.
    """

    def __init__(self, version: int) -> None:
        self._version = version
        self.used: list[tuple[int, int, int, int]] = []

    def place(self, kind: int, number: int) -> int:
        """Return a displacement in the frame."""
        return self._use(kind, number, 1, (0x40, 0x10)[self._version] + 8 * kind + number)

    def wide(self, kind: int, number: int = 0) -> int:
        """Return a number of four bytes."""
        return self._use(kind, number, 4, (0x42637395, 0x31415127)[self._version] + 0x01010101 * (3 * kind + number))

    def offset(self, mode: int) -> int:
        """Return the offset of an access, one that needs no comparison with the end."""
        if mode == layout.GUARD:
            return self.wide(OFFSET)
        return self._use(OFFSET, 0, 4, (0x00152638, 0x00141527)[self._version])

    def immediate(self, type: int) -> int:
        """Return the bits of a constant of a type: in one version with a sign, as the code must not depend on that."""
        value = (0xC2637395, 0x31415127)[self._version]
        self._use(IMMEDIATE, 0, 4, value)
        return value | 0xFFFF_FFFF_0000_0000 if type == I64 and value >> 31 else value

    def count(self, type: int) -> int:
        """Return a number of bits to shift by: in one version as many as there are in half of a type, and more."""
        return self._use(IMMEDIATE, 0, 1, (BITS[type] // 2 + 5, 0x0B)[self._version])

    def _use(self, kind: int, number: int, size: int, value: int) -> int:
        use = (kind, number, size, value)
        if use not in self.used:
            self.used.append(use)
        return value


class _Layout:
    """An instance layout in which all offsets are fields."""

    def __init__(self, numbers: _Numbers) -> None:
        self._numbers = numbers

    def memory_base(self, _index: int) -> int:
        return self._numbers.wide(INSTANCE, INST_MEMORY)

    def memory_record(self, _index: int) -> int:
        return self._numbers.wide(INSTANCE, INST_RECORD)

    def global_cell(self, _index: int) -> int:
        return self._numbers.wide(INSTANCE, INST_GLOBAL)

    def table_record(self, _index: int) -> int:
        return self._numbers.wide(INSTANCE, INST_TABLE)

    def type_id(self, _index: int) -> int:
        return self._numbers.wide(INSTANCE, INST_TYPE)


class _Maker:
    """A function that a template is cut from, in one version.

    Attributes:
        b: what builds it.
        numbers: those in its fields.
        taken: where a branch at its end leads if it is taken, or None.
    """

    def __init__(self, version: int, mode: int, top: int) -> None:
        """Begin with a function that gets the topmost operand, of an IR type, or none."""
        self.numbers = _Numbers(version)
        self.taken: Block | None = None
        func = Func("", 1, bytes([I64]) if top == NONE else bytes([I64, top]), b"")
        where = cast("InstanceLayout", _Layout(self.numbers))
        self.b = Builder(_MODULE, where, mode, func, b"", {}, {}, 1 << 20, True)
        self.b.data = bytes(8)  # zeros, where immediates are read
        self._locals = self.b.emit(ops.CONTEXT, [])  # whose register stands for the other one here
        self._slots = self.b.emit(ops.FRAME_AREA, [], 1 << 8)
        self._count = 0

    def operand(self, source: int, type: int, below: int, is_count: bool) -> Value:
        """Append an operand.

        Args:
            source: where it comes from.
            type: its IR type.
            below: operands that are above it on the stack.
            is_count: whether it is a number of bits to shift by.
        """
        b, numbers = self.b, self.numbers
        if source == _LOCAL:
            return b.emit(ops.LOAD_OF[type], [self._locals], self._next_local())
        if source == _CONSTANT:
            return b.const(type, numbers.count(type) if is_count else numbers.immediate(type))
        if below == 0:
            return b.block.params[1]
        return b.emit(ops.LOAD_OF[type], [self._slots], ops.memory_aux(numbers.place(SLOT, below + 1), ops.REGION_NATIVE))

    def _next_local(self) -> int:
        self._count += 1
        return ops.memory_aux(self.numbers.place(LOCAL, self._count - 1), ops.REGION_NATIVE)

    def finish(self, value: Value | None, sink: int) -> None:
        """Do with a value what an instruction says, or leave it on the stack, and end the function."""
        b = self.b
        if value is not None and sink in (_SET, _TEE):
            b.emit(ops.STORE_OF[value.type], [value, self._locals], self._next_local())
        if sink == _BR_IF:
            assert value is not None
            origin = b.block
            b.emit(ops.BRIF, [value])
            for _ in range(2):
                b.start(b.func.new_block())
                b.emit(ops.RETURN, [])
            origin.succs = b.func.blocks[1:]
            origin.args = [[], []]
            self.taken = origin.succs[0]
        elif value is None or sink == _SET:
            b.emit(ops.RETURN, [])
        else:
            b.func.results = bytes([value.type])
            b.emit(ops.RETURN, [value])


def template(key: bytes, mode: int) -> Template:
    """Cut the template for opcodes that stand one behind the other.

    Args:
        key: `local.get` and constants, an instruction, then `local.set`, `local.tee` or `br_if`; or a key of `_SPECIAL`.
        mode: GUARD or CHECKED.

    Raises:
        NoTemplate: there is none.
    """
    if key in _SPECIAL:
        return _special(*_SPECIAL[key], mode)
    at = 0
    while key[at] == _GET or key[at] in _CONSTANTS:
        at += 1
    sources = [_LOCAL if code == _GET else _CONSTANT for code in key[:at]]
    row = SINGLE[key[at]]
    at += 1
    if row is None:
        row = BY_PREFIX[key[at - 1]][key[at]]
        at += 1
    assert row is not None
    return _of_row(row, sources, key[at] if at < len(key) else NONE, mode)


def _of_row(row: Opcode, sources: list[int], sink: int, mode: int) -> Template:
    """Cut the template of a row of the table whose last operands come from somewhere, and whose result goes somewhere."""
    assert row.params is not None
    types = [I32 if type == ADDRESS else BY_WASM[type] for type in row.params]
    all_sources = [_STACK] * (len(types) - len(sources)) + sources
    takes = all_sources.count(_STACK)
    top = types[takes - 1] if takes else NONE
    made = []
    for version in range(2):
        maker = _Maker(version, mode, top)
        operands = [
            maker.operand(source, type, takes - 1 - number, row.ir in _SHIFTS)
            for number, (source, type) in enumerate(zip(all_sources, types, strict=True))
        ]
        maker.b.pos = len(sources) + 1  # so that positions are numbers of instructions
        value = _apply(maker, row, operands)
        maker.b.pos += 1
        maker.finish(value, sink)
        made.append(maker)
    return _compare(made, takes, top)


def _apply(maker: _Maker, row: Opcode, operands: list[Value]) -> Value | None:
    """Append what an instruction does; return its result."""
    b = maker.b
    if tokens.is_access(row):
        aux = ops.memory_aux(maker.numbers.offset(b.mode), ops.REGION_MEMORY)
        b.stack = operands[:1]
        place = memory.address(b, aux, 1 << row.align)
        value = b.emit(ops.BY_NAME[row.ir], operands[1:] + place, aux)
        return value if row.results else None
    if row.name in builder.METHODS:
        b.stack = operands
        builder.METHODS[row.name](b, 0)
        return b.stack.pop()
    return b.emit(ops.BY_NAME[row.ir], operands)


def _special(types: list[int], apply: Callable[[Builder], None], mode: int) -> Template:
    """Cut the template of something else that takes operands of some types from the stack."""
    made = []
    top = types[-1] if types else NONE
    for version in range(2):
        maker = _Maker(version, mode, top)
        b = maker.b
        b.stack = [maker.operand(_STACK, type, len(types) - 1 - number, False) for number, type in enumerate(types)]
        b.pos = 1
        apply(b)
        maker.finish(b.stack.pop() if b.stack else None, NONE)
        made.append(maker)
    return _compare(made, len(types), top)


def _compare(made: list[_Maker], takes: int, top: int) -> Template:
    """Compile both versions, and find the fields."""
    (code, pool, uses, condition), (other, *_) = [_compiled(maker) for maker in made]
    if len(code.data) != len(other.data):
        raise NoTemplate("its length depends on the numbers")
    data = bytearray(code.data)
    fields = []
    numbers = [(*use, second[3]) for use, second in zip(*[maker.numbers.used for maker in made], strict=True)]
    at = 0
    while at < len(data):
        if data[at] == other.data[at]:
            at += 1
            continue
        field = _field(numbers, bytes(data[at : at + 4]), other.data[at : at + 4])
        fields.append((at, *field))
        size = field[0]
        data[at : at + size] = bytes(size)
        at += size
    if {use[:2] for use in made[0].numbers.used} != {field[2:] for field in fields}:
        raise NoTemplate("a number is nowhere in it")
    results = made[0].b.func.results
    return Template(
        bytes(data),
        tuple(fields),
        takes,
        NONE if top == NONE else CLASSES[top],
        CLASSES[results[0]] if results else NONE,
        condition,
        tuple(code.traps),
        tuple(code.positions),
        tuple(code.relocs),
        tuple((offset, rest, pool[item]) for offset, item, rest in uses),
    )


def _field(numbers: list[tuple[int, int, int, int, int]], first: bytes, second: bytes) -> tuple[int, int, int]:
    """Return bytes, kind and number of the field that begins with what is different in two versions."""
    for kind, number, size, one, other in numbers:
        if first[:size] == one.to_bytes(size, "little") and second[:size] == other.to_bytes(size, "little"):
            return size, kind, number
    raise NoTemplate("bytes differ that are none of the numbers")


def _compiled(maker: _Maker) -> tuple[Code, list[bytes], list[tuple[int, int, int]], int]:
    func = maker.b.func
    order.run(func)
    pipeline.run(func)
    succs = list(func.blocks[0].succs)
    machine = host().baseline()
    code, pool, uses, condition = machine.cutter().cut(func, host())
    if succs and succs[0] is not maker.taken:  # the condition was a negation
        condition = machine.opposite(condition)
    return code, pool, uses, condition


# What is no row of operands and results


def _method(name: str) -> Callable[[Builder], None]:
    def apply(b: Builder) -> None:
        builder.METHODS[name](b, 0)

    return apply


def _global(b: Builder, imported: bool) -> tuple[Value, int]:
    """Return where a global is: base and aux."""
    cell = b.layout.global_cell(0)
    if imported:
        return b.load_const(b.instance, cell), ops.memory_aux(0, ops.REGION_GLOBAL)
    return b.instance, ops.memory_aux(cell, ops.REGION_GLOBAL)


def _get(imported: bool) -> Callable[[Builder], None]:
    def apply(b: Builder) -> None:
        base, aux = _global(b, imported)
        b.stack.append(b.emit(ops.I64_LOAD, [base], aux))

    return apply


def _set(imported: bool) -> Callable[[Builder], None]:
    def apply(b: Builder) -> None:
        base, aux = _global(b, imported)
        b.emit(ops.I64_STORE, [b.stack.pop(), base], aux)

    return apply


def _select(b: Builder) -> None:
    b.stack = [b.emit_typed(ops.SELECT, I64, b.pop(3))]


def _element(b: Builder) -> None:
    """Find and check the function that `call_indirect` calls."""
    b.stack.append(calls.table_element(b, 0)[0])


def _key(name: str) -> bytes:
    return BY_NAME[name].code.to_bytes(2, "big").lstrip(b"\0")


_SPECIAL: Final[dict[bytes, tuple[list[int], Callable[[Builder], None]]]] = {
    _key("global.get"): ([], _get(imported=False)),
    _key("global.get") + IMPORTED: ([], _get(imported=True)),
    _key("global.set"): ([I64], _set(imported=False)),
    _key("global.set") + IMPORTED: ([I64], _set(imported=True)),
    _key("select"): ([I64, I64, I32], _select),
    _key("call_indirect"): ([I32], _element),
    _key("memory.size"): ([], _method("memory.size")),
    _key("memory.grow"): ([I32], _method("memory.grow")),
    _key("memory.fill"): ([I32, I32, I32], _method("memory.fill")),
    _key("memory.copy"): ([I32, I32, I32], _method("memory.copy")),
}
"""Key -> IR types of the operands, and what appends the instruction."""


# All of them


def all_keys() -> Iterator[bytes]:
    """Return the keys of all templates that tokens may ask for, and of some that there are not."""
    yield from _SPECIAL
    for row in [*SINGLE, *BY_PREFIX[0xFC]]:
        if row is not None and (tokens.is_numeric(row) or tokens.is_access(row)):
            for sources in _sources_of(row):
                for sink in _sinks_of(row):
                    yield sources + _key(row.name) + sink


def _sources_of(row: Opcode) -> list[bytes]:
    """Return the opcodes that may stand in front of an instruction."""
    assert row.params is not None
    get = bytes((_GET,))
    if len(row.params) == 1:
        return [b"", get]
    constant = tokens.CONSTANTS.get(row.code)
    return [b"", get, get + get] if constant is None else [b"", get, get + get, constant, get + constant]


def _sinks_of(row: Opcode) -> list[bytes]:
    """Return the opcodes that may stand behind an instruction."""
    sinks = [_SET, _TEE] if row.results else []
    if row.code in tokens.COMPARISONS:
        sinks.append(_BR_IF)
    return [b"", *[bytes((sink,)) for sink in sinks]]


def make(mode: int) -> dict[bytes, Template]:
    """Cut the templates of a memory mode; with CHECKED those that are not as with GUARD."""
    made = {}
    for key in all_keys():
        try:
            found = template(key, mode)
            if mode == layout.GUARD or found.columns() != template(key, layout.GUARD).columns():
                made[key] = found
        except NoTemplate:
            pass
    return made


def write() -> str:
    """Return the text of the module that has all templates."""
    lines = [
        '"""Floor 3: templates of the baseline tier. Made by `make templates`, see `codegen.baseline.cut`."""',
        "",
        "# opcodes -> arguments of `codegen.baseline.template.Template`",
    ]
    for name, mode in (("TEMPLATES", layout.GUARD), ("CHECKED", layout.CHECKED)):
        rows = [f"    {key!r}: {found.columns()!r}," for key, found in sorted(make(mode).items())]
        lines += [f"{name} = {{", *rows, "}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(write())
