"""Floor 3: where templates come from: they are cut from what the compiler makes of a few instructions.

In: the instruction table, and which instructions are to have a template together. Out: `Template`s. Each comes from a function of the
IR that takes its operands from where baseline code has them and leaves its result where that expects it. It is compiled twice, with
other numbers in the places of displacements and immediates: where the bytes differ are the fields to be filled in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Final

from figwasp import layout
from figwasp.codegen.baseline import tokens
from figwasp.codegen.baseline.template import IMMEDIATE, INSTANCE, INST_GLOBAL, INST_MEMORY, INST_RECORD, INST_TABLE, INST_TYPE, LOCAL, OFFSET, SLOT, Template
from figwasp.codegen.isa.x64.cutting import Uncut, cut
from figwasp.codegen.mach import NONE
from figwasp.ir import ops, order, pipeline
from figwasp.ir.build import builder, calls, memory
from figwasp.ir.build.base import Builder
from figwasp.ir.func import Block, Func, Value
from figwasp.ir.types import BITS, BY_WASM, CLASSES, F32, F64, I32, I64
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.immediates import MEMARG
from figwasp.wasm.syntax.opcodes import ADDRESS, BY_NAME, BY_PREFIX, SINGLE, Opcode

GET: Final = BY_NAME["local.get"].code
SET: Final = BY_NAME["local.set"].code
TEE: Final = BY_NAME["local.tee"].code
CONST: Final = BY_NAME["i32.const"].code
CONST64: Final = BY_NAME["i64.const"].code
BR_IF: Final = BY_NAME["br_if"].code

class _Numbers:
    """Numbers for the fields, in two versions."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.used: list[tuple[int, int, int, int]] = []  # kind, number, bytes, value

    def small(self, kind: int, number: int) -> int:
        value = (0x10 if self.version else 0x40) + 8 * kind + number
        return self._use(kind, number, 1, value)

    def large(self, kind: int, number: int, index: int = 0) -> int:
        value = (0x31415127 if self.version else 0x42637395) + 0x01010101 * (3 * kind + number + index)
        return self._use(kind, number, 4, value)

    def offset(self, mode: int) -> int:
        if mode == layout.GUARD:
            return self.large(OFFSET, 0)
        return self._use(OFFSET, 0, 4, 0x00141527 if self.version else 0x00152638)  # within the margin

    def count(self, number: int) -> int:
        return self._use(IMMEDIATE, number, 1, 0x0B if self.version else 0x15)

    def _use(self, kind: int, number: int, size: int, value: int) -> int:
        use = (kind, number, size, value)
        if use not in self.used:
            self.used.append(use)
        return value


class _Layout:
    """An instance layout of fields."""

    def __init__(self, numbers: _Numbers) -> None:
        self._numbers = numbers

    def memory_base(self, index: int) -> int:
        return self._numbers.large(INSTANCE, INST_MEMORY)

    def memory_record(self, index: int) -> int:
        return self._numbers.large(INSTANCE, INST_RECORD)

    def global_cell(self, index: int) -> int:
        return self._numbers.large(INSTANCE, INST_GLOBAL)

    def table_record(self, index: int) -> int:
        return self._numbers.large(INSTANCE, INST_TABLE)

    def type_id(self, index: int) -> int:
        return self._numbers.large(INSTANCE, INST_TYPE)


# a type () -> (), one table, one memory without a minimum
_MODULE: Final = decode(
    b"\0asm\1\0\0\0" b"\1\4\1\x60\0\0" b"\3\2\1\0" b"\4\4\1\x70\0\0" b"\5\3\1\0\0" b"\6\6\1\x7f\1\x41\0\x0b" b"\x0a\4\1\2\0\x0b"
)


class _Maker:
    """A function that one template is cut from."""

    def __init__(self, version: int, mode: int, top: int) -> None:
        self.numbers = _Numbers(version)
        self.func = Func("", 1, bytes([I64]) + (b"" if top == NONE else bytes([top])), b"")
        self.b = Builder(_MODULE, _Layout(self.numbers), mode, self.func, b"", {}, {}, 1 << 20, True)  # type: ignore[arg-type]
        self.context = self.b.emit(ops.CONTEXT, [])
        self.area = self.b.emit(ops.FRAME_AREA, [], 256)
        self.top = top
        self.locals = 0
        self.taken: Block | None = None  # where a branch leads if it is taken

    def local(self) -> int:
        self.locals += 1
        return ops.memory_aux(self.numbers.small(LOCAL, self.locals - 1), ops.REGION_NATIVE)

    def source(self, letter: str, type: int, below: int, wide: bool) -> Value:
        """Append the operand from a source: S stack, L local, C constant."""
        b = self.b
        if letter == "L":
            return b.emit(ops.LOAD_OF[type], [self.context], self.local())
        if letter == "C":
            if wide:
                return b.const(type, self.numbers.count(0))
            return b.const(type, self.numbers.large(IMMEDIATE, 0))
        if below == 0:
            return b.block.params[1]
        return b.emit(ops.LOAD_OF[type], [self.area], ops.memory_aux(self.numbers.small(SLOT, below + 1), ops.REGION_NATIVE))

    def finish(self, value: Value | None, sink: str) -> None:
        b = self.b
        results = b""
        if value is not None and sink in ("set", "tee"):
            b.emit(ops.STORE_OF[value.type], [value, self.context], self.local())
        if value is not None and sink in ("", "tee"):
            results = bytes([value.type])
        if sink == "br_if":
            assert value is not None
            b.emit(ops.BRIF, [value])
            origin = b.block
            for _ in range(2):
                b.start(b.func.new_block())
                b.emit(ops.RETURN, [])
            origin.succs = b.func.blocks[1:]
            origin.args = [[], []]
            self.taken = origin.succs[0]
        else:
            b.emit(ops.RETURN, [value] if results else [])
        self.func.results = results


def special(name: str, mode: int = layout.GUARD) -> Template:
    """Cut the template of an instruction that is no row of operands and results, all of which are on the stack.

    Raises:
        Uncut: there is none.
    """
    types, apply = _SPECIAL[name]
    made = []
    for version in range(2):
        maker = _Maker(version, mode, types[-1] if types else NONE)
        b = maker.b
        b.data = bytes(8)
        operands = [maker.source("S", type, len(types) - 1 - number, False) for number, type in enumerate(types)]
        b.pos = 1
        b.stack = operands
        apply(b)
        b.pos = 2
        maker.finish(b.stack.pop() if b.stack else None, "")
        made.append(maker)
    return _compare(made, len(types), types[-1] if types else NONE)


def _method(name: str) -> Callable[[Builder], None]:
    def apply(b: Builder) -> None:
        builder._METHODS[name](b, 0)

    return apply


def _global_get(imported: bool) -> Callable[[Builder], None]:
    def apply(b: Builder) -> None:
        cell = b.layout.global_cell(0)
        if imported:
            b.stack.append(b.load(b.load_const(b.instance, cell), 0, ops.REGION_GLOBAL))
        else:
            b.stack.append(b.load(b.instance, cell, ops.REGION_GLOBAL))

    return apply


def _global_set(imported: bool) -> Callable[[Builder], None]:
    def apply(b: Builder) -> None:
        cell = b.layout.global_cell(0)
        base, offset = (b.load_const(b.instance, cell), 0) if imported else (b.instance, cell)
        b.emit(ops.I64_STORE, [b.stack.pop(), base], ops.memory_aux(offset, ops.REGION_GLOBAL))

    return apply


def _select(b: Builder) -> None:
    b.stack = [b.emit_typed(ops.SELECT, I64, b.pop(3))]


def _element(b: Builder) -> None:
    b.stack.append(calls._table_element(b, 0)[0])


_SPECIAL: Final[dict[str, tuple[list[int], Callable[[Builder], None]]]] = {
    "global.get": ([], _global_get(False)),
    "global.get imported": ([], _global_get(True)),
    "global.set": ([I64], _global_set(False)),
    "global.set imported": ([I64], _global_set(True)),
    "select": ([I64, I64, I32], _select),
    "call_indirect": ([I32], _element),
    "memory.size": ([], _method("memory.size")),
    "memory.grow": ([I32], _method("memory.grow")),
    "memory.fill": ([I32, I32, I32], _method("memory.fill")),
    "memory.copy": ([I32, I32, I32], _method("memory.copy")),
}

_IMPORTED: Final = b"\1"
_SPECIAL_KEYS: Final = {
    bytes(BY_NAME[name.split()[0]].code.to_bytes(2, "big").lstrip(b"\0")) + (_IMPORTED if "imported" in name else b""): name
    for name in _SPECIAL
}

_SHIFTS: Final = ("shl", "shr_s", "shr_u", "rotl", "rotr")


_SOURCES: Final = {GET: "L", CONST: "C", CONST64: "C"}
_SINKS: Final = {SET: "set", TEE: "tee", BR_IF: "br_if"}


def template(key: bytes, mode: int) -> Template:
    """Cut the template for opcodes that stand one behind the other.

    Args:
        key: `local.get` and constants, an instruction, then `local.set`, `local.tee` or `br_if`, or nothing; or what `_SPECIAL` names.
        mode: GUARD or CHECKED.

    Raises:
        Uncut: there is none.
    """
    name = _SPECIAL_KEYS.get(key)
    if name is not None:
        return special(name, mode)
    at = 0
    while key[at] in _SOURCES:
        at += 1
    sources = "".join(_SOURCES[code] for code in key[:at])
    row = SINGLE[key[at]]
    at += 1
    if row is None:
        row = BY_PREFIX[key[at - 1]][key[at]]
        at += 1
    assert row is not None
    return numeric(row, sources, _SINKS[key[at]] if at < len(key) else "", mode)


def _types(row: Opcode) -> list[int]:
    assert row.params is not None
    return [I32 if type == ADDRESS else BY_WASM[type] for type in row.params]


def numeric(row: Opcode, sources: str, sink: str, mode: int = layout.GUARD) -> Template:
    """Cut the template of an instruction of the table, with where its last operands come from and where its result goes.

    Raises:
        Uncut: there is none.
    """
    types = _types(row)
    letters = "S" * (len(types) - len(sources)) + sources
    takes = letters.count("S")
    top = types[takes - 1] if takes else NONE
    made = []
    for version in range(2):
        maker = _Maker(version, mode, top)
        b = maker.b
        shift = any(row.name.endswith(name) for name in _SHIFTS)
        operands = [
            maker.source(letter, type, takes - 1 - number, shift) for number, (letter, type) in enumerate(zip(letters, types, strict=True))
        ]
        b.pos = len(sources) + 1
        value = _apply(maker, row, operands)
        b.pos += 1
        maker.finish(value, sink)
        made.append(maker)
    return _compare(made, takes, top)


def _apply(maker: _Maker, row: Opcode, operands: list[Value]) -> Value | None:
    b = maker.b
    if row.immediates == MEMARG:
        op = ops.BY_NAME[row.ir]
        aux = ops.memory_aux(maker.numbers.offset(b.mode), ops.REGION_MEMORY)
        b.stack = operands[:1]
        place = memory.address(b, aux, 1 << row.align)
        if row.results:
            return b.emit(op, place, aux)
        b.emit(op, [operands[1], *place], aux)
        return None
    if row.name in builder._METHODS:
        b.stack = list(operands)
        builder._METHODS[row.name](b, 0)
        return b.stack.pop()
    return b.emit(ops.BY_NAME[row.ir], operands)


def _compare(made: list[_Maker], takes: int, top: int) -> Template:
    cuts = []
    for maker in made:
        order.run(maker.func)
        pipeline.run(maker.func)
        succs = list(maker.func.blocks[0].succs)
        code, pool, fixups, condition = cut(maker.func)
        if succs and succs[0] is not maker.taken:  # the condition was a negation
            condition ^= 1
        cuts.append((code, pool, fixups, condition))
    (code, pool, fixups, condition), (other, *_) = cuts
    if len(code.data) != len(other.data):
        raise Uncut("its length depends on the numbers")
    data = bytearray(code.data)
    fields: list[tuple[int, int, int, int]] = []
    expected = [(a, c[3]) for a, c in zip(made[0].numbers.used, made[1].numbers.used, strict=True)]
    at = 0
    while at < len(data):
        if data[at] == other.data[at]:
            at += 1
            continue
        for (kind, number, size, value), second in expected:
            if data[at : at + size] == value.to_bytes(size, "little") and other.data[at : at + size] == second.to_bytes(size, "little"):
                fields.append((at, size, kind, number))
                data[at : at + size] = bytes(size)
                at += size
                break
        else:
            raise Uncut("bytes differ that are none of the numbers")
    missing = {use[:2] for use in made[0].numbers.used} - {field[2:] for field in fields}
    if missing:
        raise Uncut(f"numbers are not in it: {missing}")
    results = made[0].func.results
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
        tuple((offset, rest, pool[item]) for offset, item, rest in fixups),
    )


def keys() -> Iterator[bytes]:
    """Return the keys of all templates that tokens may ask for, and of some that there are not."""
    yield from _SPECIAL_KEYS
    for row in [*SINGLE, *BY_PREFIX[0xFC]]:
        if row is None or row.params is None or not (tokens.is_numeric(row) or tokens.is_access(row)):
            continue
        code = row.code.to_bytes(2, "big").lstrip(b"\0")
        for sources in _sources_of(row):
            for sink in _sinks_of(row):
                yield sources + code + sink


def _sources_of(row: Opcode) -> list[bytes]:
    get = bytes((GET,))
    assert row.params is not None
    if len(row.params) == 1:
        return [b"", get]
    constant = tokens.CONSTANTS.get(row.code)
    return [b"", get, get * 2] + ([constant, get + constant] if constant else [])


def _sinks_of(row: Opcode) -> list[bytes]:
    if not row.results:
        return [b""]
    tests = [bytes((BR_IF,))] if row.code in tokens.COMPARISONS else []
    return [b"", bytes((SET,)), bytes((TEE,)), *tests]


def make(mode: int) -> dict[bytes, Template]:
    """Cut the templates of a memory mode; CHECKED: those that are not as with GUARD."""
    made = {}
    for key in keys():
        try:
            found = template(key, mode)
            if mode == layout.GUARD or found != template(key, layout.GUARD):
                made[key] = found
        except Uncut:
            pass
    return made


def write() -> str:
    """Return the text of the module that has all templates."""
    lines = [
        '"""Floor 3: templates of the baseline tier for x86-64. Made by `make templates`: see `codegen.baseline.cut`."""',
        "",
        "# As the fields of `codegen.baseline.template.Template`, by opcodes",
    ]
    for name, mode in (("TEMPLATES", layout.GUARD), ("CHECKED", layout.CHECKED)):
        rows = [f"    {key!r}: {tuple(found)!r}," for key, found in sorted(make(mode).items())]
        lines += [f"{name} = {{", *rows, "}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(write())
