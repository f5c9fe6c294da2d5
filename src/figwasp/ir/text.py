"""The SSA form as text, for goldens, `explain` and messages. Floor 2.

`show` prints a function and `parse` reads it back; `show(parse(text)) == text`.

    func 3 "name" (i64, i32) -> (i32) {
    b0(v0: i64, v1: i32):
      v2 = const i32 -1
      v3 = i32_load8_u v0, v1, mem0+16
      v4 = call f7 v0, v2 : (i32) -> (i32, i64)
      v5 = result v4, 1
      trapif v4, 6
      brif v3, b1, b2
    b1 loop depth 1:
      poll
      jump b3(v4, v2)

Values without result have no name. With positions, a line ends in the byte offset of its instruction: ` @2c`. Everything after a
semicolon is a comment. docs/ir.md has the grammar.
"""

from __future__ import annotations

import re
from math import isfinite
from struct import unpack
from typing import Final

from figwasp.ir import ops
from figwasp.ir.func import CATCH_ANY, CONV_C, CONV_WASM, PARAM, Block, Call, Func, Value
from figwasp.ir.types import BITS, CLASSES, FORMATS, INT, MASKS, SIZES

__all__ = ["parse", "show", "show_block", "show_value"]

_TYPES: Final = {name: type for type, name in ops.TYPE_NAMES.items()}
_REGIONS: Final = {
    ops.REGION_CONST: "const",
    ops.REGION_GLOBAL: "global",
    ops.REGION_TABLE: "table",
    ops.REGION_RECORD: "record",
    ops.REGION_NATIVE: "native",
    ops.REGION_FIELD: "field",
    ops.REGION_ELEMENT: "element",
    ops.REGION_INITIAL: "initial",
}
_REGION_NUMBERS: Final = {name: number for number, name in _REGIONS.items()}
_CALL_LETTERS: Final = {
    ops.CALL: "f", ops.INVOKE: "f", ops.TAIL: "f", ops.CALL_BUILTIN: "builtin", ops.INVOKE_BUILTIN: "builtin",
}  # fmt: skip
_ACCESS: Final = ops.READS | ops.WRITES
_HEX: Final = ops.BY_NAME["i8x16_shuffle"]
_AUX: Final = frozenset((ops.RESULT, ops.TRAPIF, ops.TRAP, ops.FRAME_AREA, ops.THREAD_WORD, ops.FUEL, ops.ALLOCATE, *ops.WITH_AUX))
"""Operations whose aux is shown as a number."""


def show(func: Func, positions: bool = False) -> str:
    """Return a function as text."""
    conv = " c" if func.conv == CONV_C else ""
    head = f'func {func.index} "{func.name}" {_types(func.params)} -> {_types(func.results)}{conv} {{\n'
    return head + "".join(show_block(block, positions) for block in func.blocks) + "}\n"


def show_block(block: Block, positions: bool = False) -> str:
    """Return a block as lines of text."""
    params = ", ".join(f"{param!r}: {ops.TYPE_NAMES[param.type]}" for param in block.params)
    head = f"{block!r}({params})" if params else f"{block!r}"
    if block.loop:
        head += " loop"
    if block.depth:
        head += f" depth {block.depth}"
    lines = [head + ":"]
    for value in block.code:
        line = "  " + show_value(value, block)
        if positions and value.pos:
            text, comment, number = line.partition(" ; ")
            line = f"{text} @{value.pos:x}{comment}{number}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def show_value(value: Value, block: Block | None = None) -> str:
    """Return a value as text; a terminator needs its block to show where it leads."""
    if value.op == PARAM:
        return f"{value!r}: {ops.TYPE_NAMES[value.type]}"
    parts = [repr(arg) for arg in value.args]
    note = ""
    head = ops.NAMES[value.op]
    aux = value.aux
    if isinstance(aux, Call):
        if value.op in _CALL_LETTERS:
            head += f" {_CALL_LETTERS[value.op]}{aux.target}"
        note = f" : {_types(aux.params)} -> {_types(aux.results)}"
        if aux.catches != CATCH_ANY:
            note += f" catch {', '.join(map(str, aux.catches))}"
    elif isinstance(aux, str):
        parts.append(aux)
    elif value.op == ops.CONST:
        head += f" {ops.TYPE_NAMES[value.type]}"
        parts.append(_const(value.type, aux))
    elif ops.FLAGS[value.op] & _ACCESS:
        parts.append(_memory(aux))
    elif value.op in _AUX:
        parts.append(f"{aux:#034x}" if value.op == _HEX else str(aux))
    if block is not None and ops.FLAGS[value.op] & ops.TERMINATOR:
        for succ, args in zip(block.succs, block.args):
            parts.append(f"{succ!r}({', '.join(map(repr, args))})" if args else f"{succ!r}")
    result = f"{value!r} = " if value.type != ops.VOID else ""
    return f"{result}{head} {', '.join(parts)}".rstrip() + note


def _types(types: bytes) -> str:
    return "(" + ", ".join(ops.TYPE_NAMES[type] for type in types) + ")"


def _const(type: int, bits: int) -> str:
    """Return the bits of a constant: integers as signed numbers, floats in hex with a comment, vectors in hex."""
    if CLASSES[type] == INT:
        width = BITS[type]
        return str(bits - (1 << width) if bits >> width - 1 else bits)
    size = SIZES[type]
    if not FORMATS[type]:
        return f"{bits:#0{2 + 2 * size}x}"
    number: float = unpack("<" + FORMATS[type], bits.to_bytes(size, "little"))[0]
    return f"{bits:#0{2 + 2 * size}x}" + (f" ; {number!r}" if isfinite(number) else "")


def _memory(aux: int) -> str:
    region = ops.aux_region(aux)
    name = f"mem{region - ops.REGION_MEMORY}" if region >= ops.REGION_MEMORY else _REGIONS[region]
    return f"{name}+{ops.aux_offset(aux)}"


_FUNC: Final = re.compile(r'func (-?\d+) "(.*)" \((.*?)\) -> \((.*?)\)( c)? \{')
_BLOCK: Final = re.compile(r"b(\d+)(?:\((.*)\))?( loop)?(?: depth (\d+))?:")
_VALUE: Final = re.compile(
    r"(?:v(\d+) = )?(\w+)(?: ([^@]*?))?(?: : \((.*?)\) -> \((.*?)\)(?: catch ([0-9, ]+))?)?(?: @([0-9a-f]+))?"
)
_OPERAND: Final = re.compile(r"b\d+(?:\(.*?\))?|[^\s,]+")


class _Parser:
    __slots__ = ("blocks", "func", "names", "next_id")

    def __init__(self, func: Func) -> None:
        self.func = func
        self.blocks: dict[str, Block] = {}
        self.names: dict[str, Value] = {}
        self.next_id = 0

    def block(self, name: str) -> Block:
        if name not in self.blocks:
            self.blocks[name] = Block(int(name[1:]))
        return self.blocks[name]

    def value(self, name: str) -> Value:
        """Return a value by name; it may be defined later in the text."""
        if name not in self.names:
            self.names[name] = Value(int(name[1:]), ops.NOP, ops.VOID, [], 0, 0)
        return self.names[name]

    def values(self, text: str) -> list[Value]:
        return [self.value(name) for name in text.split(", ")] if text else []

    def start_block(self, match: re.Match[str]) -> Block:
        block = self.block(f"b{match[1]}")
        block.loop = bool(match[3])
        block.depth = int(match[4] or 0)
        for item in match[2].split(", ") if match[2] else []:
            name, type = item.split(": ")
            param = self.value(name)
            param.op = PARAM
            param.type = _TYPES[type]
            block.params.append(param)
        self.func.blocks.append(block)
        return block

    def add(self, block: Block, match: re.Match[str]) -> None:
        op = ops.BY_NAME[match[2]]
        value = self.value(f"v{match[1]}") if match[1] else Value(-1, op, ops.VOID, [], 0, 0)
        value.op = op
        value.pos = int(match[7] or "0", 16)
        operands: list[str] = _OPERAND.findall(match[3] or "")
        type = ops.RESULTS[op]
        if match[4] is not None:
            target = int(re.sub("[a-z]+", "", operands.pop(0))) if op in _CALL_LETTERS else -1
            results = _parse_types(match[5])
            value.aux = Call(_parse_types(match[4]), results, target)
            if match[6]:
                value.aux.catches = tuple(map(int, match[6].split(", ")))
            type = results[0] if results and match[1] else type
        elif op == ops.CONST:
            type = _TYPES[operands.pop(0)]
            value.aux = int(operands.pop(0), 0) & MASKS[type]
        elif op == ops.SYMBOL:
            value.aux = match[3] or ""  # which may look like anything
            operands.clear()
        elif ops.FLAGS[op] & _ACCESS:
            value.aux = _parse_memory(operands.pop())
        elif op in _AUX:
            value.aux = int(operands.pop(), 0)
        value.args = [self.value(name) for name in operands if name[0] == "v"]
        if op == ops.SELECT:
            type = value.args[0].type
        elif op == ops.RESULT:
            call = value.args[0].aux
            assert isinstance(call, Call)
            assert isinstance(value.aux, int)
            type = call.results[value.aux]
        value.type = type
        for name in operands:
            if name[0] == "b":
                target_name, _, args = name.partition("(")
                block.succs.append(self.block(target_name))
                block.args.append(self.values(args.rstrip(")")))
        block.code.append(value)

    def finish(self) -> None:
        """Number the values without a name, and fill in predecessors."""
        self.func.num_values = max((value.id for value in self.names.values()), default=-1) + 1
        for block in self.func.blocks:
            for value in block.code:
                if value.id < 0:
                    value.id = self.func.num_values
                    self.func.num_values += 1
            for succ in block.succs:
                succ.preds.append(block)


def _parse_types(text: str) -> bytes:
    return bytes(_TYPES[name] for name in text.split(", ")) if text else b""


def _parse_memory(text: str) -> int:
    name, _, offset = text.rpartition("+")
    region = _REGION_NUMBERS.get(name, -1)
    if region < 0:
        region = ops.REGION_MEMORY + int(name.removeprefix("mem"))
    return ops.memory_aux(int(offset), region)


def parse(text: str) -> Func:
    """Return the function that a text shows.

    Dominators are not part of the text: `order.dominators` fills them in.

    Raises:
        ValueError: for a line that is not understood.
    """
    lines = [line.partition(";")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line and line != "}"]
    head = _FUNC.fullmatch(lines[0])
    if head is None:
        raise ValueError(f"not the head of a function: {lines[0]!r}")
    conv = CONV_C if head[5] else CONV_WASM
    func = Func(head[2], int(head[1]), _parse_types(head[3]), _parse_types(head[4]), conv)
    parser = _Parser(func)
    block: Block | None = None
    for line in lines[1:]:
        start = _BLOCK.fullmatch(line)
        if start is not None:
            block = parser.start_block(start)
            continue
        match = _VALUE.fullmatch(line)
        if match is None or block is None or match[2] not in ops.BY_NAME:
            raise ValueError(f"not a value: {line!r}")
        parser.add(block, match)
    parser.finish()
    return func
