"""The state of checking one function body, and what validation learns from it. Floor 1.

`validate_body.py` walks the instructions and owns the theory of operation; here stand the operand stack, the reading of
locals and of unusual immediates, the index spaces, and the errors with the place where they arose.
"""

from __future__ import annotations

from typing import Final

from figwasp.errors import Invalid, LimitExceeded, Malformed
from figwasp.wasm import immediates, limits, opcodes
from figwasp.wasm.immediates import MEMORY_INDEX_FLAG, READERS, Immediate
from figwasp.wasm.leb128 import unsigned
from figwasp.wasm.module import Module
from figwasp.wasm.types import malformed_type, type_name

__all__ = ["ANY", "BARRIER", "Checker", "FuncFacts", "Mismatch", "show"]

ANY: Final = 0
"""On the operand stack: a value of unknown type, from unreachable code."""
BARRIER: Final = 1
"""On the operand stack: the beginning of a block's part."""

_NOT_ANY: Final = bytes([0] + [0xFF] * 255)
"""For `bytes.translate`: ANY stays zero, every type becomes all ones."""

_SPACES: Final[dict[int, tuple[str, ...]]] = {
    immediates.LABEL: ("label",),
    immediates.FUNC: ("function",),
    immediates.TYPE_TABLE: ("type", "table"),
    immediates.LOCAL: ("local",),
    immediates.GLOBAL: ("global",),
    immediates.TABLE: ("table",),
    immediates.MEMORY: ("memory",),
    immediates.DATA_MEMORY: ("data segment", "memory"),
    immediates.DATA: ("data segment",),
    immediates.MEMORY_MEMORY: ("memory", "memory"),
    immediates.ELEM_TABLE: ("elem segment", "table"),
    immediates.ELEM: ("elem segment",),
    immediates.TABLE_TABLE: ("table", "table"),
}
"""Kind of immediates -> the index space of each index."""


class FuncFacts:
    """What validation learns about a function.

    Attributes:
        locals: types of all locals, parameters included.
        written: byte offset in the binary of a `block`, `loop` or `if` -> bit set of the locals assigned anywhere in it,
            nested blocks included; -1 stands for the whole body.
        max_stack: an upper bound of the operands on the stack at once; every open block counts as one more.
        num_ops: number of instructions, the final `end` included.
        uses_memory: an instruction reads or writes a memory, or asks for its size.
        has_calls: a `call` or `call_indirect` occurs.
        has_loops: a `loop` occurs.
    """

    __slots__ = ("has_calls", "has_loops", "locals", "max_stack", "num_ops", "uses_memory", "written")

    def __init__(self, locals: bytes) -> None:
        self.locals = locals
        self.written: dict[int, int] = {}
        self.max_stack = 0
        self.num_ops = 0
        self.uses_memory = False
        self.has_calls = False
        self.has_loops = False


class Mismatch(Exception):
    """Something is invalid at the current instruction; the loop adds where."""


class Checker:
    """The state of checking one body that the slow paths share with the loop."""

    __slots__ = ("base", "code", "data", "facts", "index", "labels", "module", "stack", "start")

    def __init__(self, module: Module, index: int, value_types: bytes) -> None:
        body = module.body(index)
        self.module = module
        self.index = index
        self.data = module.data
        self.base = body.start
        self.code = module.data[body.start : body.end]
        self.facts = FuncFacts(b"")
        self.start = self.read_locals(value_types)
        self.stack: list[int] = []
        self.labels: list[bytes] = [module.func_type(index).results]

    def read_locals(self, value_types: bytes) -> int:
        """Read the declarations of locals and return the position of the first instruction in the body."""
        base = self.base
        end = base + len(self.code)
        runs: list[bytes] = [self.module.func_type(self.index).params]
        total = len(runs[0])
        groups, pos = unsigned(self.data, base, 32)
        for _ in range(groups):
            at = pos
            count, pos = unsigned(self.data, pos, 32)
            if pos >= end:
                raise Malformed("unexpected end", at)
            code = self.data[pos]
            pos += 1
            if code not in value_types:
                raise Malformed(malformed_type("value type", code), pos - 1)
            total += count
            if total <= limits.MAX_LOCALS and count:
                runs.append(bytes((code,)) * count)
        if total > 0xFFFFFFFF:
            raise Malformed("too many locals", base)
        if total > limits.MAX_LOCALS:
            raise LimitExceeded(f"function {self.index} has {total} locals; the limit is {limits.MAX_LOCALS}")
        self.facts.locals = b"".join(runs)
        return pos - base

    def pop(self, expected: bytes, height: int, dead: bool) -> None:
        """Take operands off the stack, the last of `expected` being the topmost.

        Args:
            expected: value types.
            height: number of entries below the barrier of the innermost block.
            dead: the code is unreachable: operands missing above the barrier may be of any type.
        """
        count = self.fits(expected, height, dead)
        if count:
            del self.stack[-count:]

    def fits(self, expected: bytes, height: int, dead: bool) -> int:
        """Check that the stack ends in the expected types and return how many entries these are."""
        stack = self.stack
        count = len(expected)
        found = bytes(stack[len(stack) - count :])
        if found == expected:
            return count
        available = len(stack) - height - 1
        if available < count:
            if not dead:
                raise self.mismatch(expected, height)
            found = bytes(stack[height + 1 :])
            count = available
        if not _match(found, expected[len(expected) - count :]):
            raise self.mismatch(expected, height)
        return count

    def pop_all(self, expected: bytes, height: int, dead: bool) -> None:
        """Take operands off the stack and check that nothing remains above the barrier."""
        if len(self.stack) - height - 1 > len(expected):
            raise self.mismatch(expected, height)
        self.pop(expected, height, dead)

    def pop_one(self, height: int, dead: bool) -> int:
        """Take one operand of any type off the stack and return its type."""
        if len(self.stack) > height + 1:
            return self.stack.pop()
        if not dead:
            raise Mismatch("type mismatch: expected an operand, found []")
        return ANY

    def mismatch(self, expected: bytes, height: int) -> Mismatch:
        """Make the error for a stack that does not end in the expected types."""
        found = bytes(self.stack[height + 1 :])
        shown = found[max(0, len(found) - max(len(expected), 4)) :]
        return Mismatch(f"type mismatch: expected {show(expected)}, found {show(shown, len(shown) < len(found))}")

    def check_height(self) -> None:
        if len(self.stack) > limits.MAX_STACK:
            raise LimitExceeded(f"function {self.index} has more than {limits.MAX_STACK} operands on the stack")

    def read(self, kind: int, pos: int) -> tuple[Immediate, int]:
        """Read immediates and return them with the position after them, all within the body."""
        value, after = READERS[kind](self.data, self.base + pos)
        return value, self.within(pos, after - self.base)

    def read_u32(self, pos: int) -> tuple[int, int]:
        """Read an unsigned integer and return it with the position after it, all within the body."""
        value, after = unsigned(self.data, self.base + pos, 32)
        return value, self.within(pos, after - self.base)

    def within(self, pos: int, after: int) -> int:
        if after > len(self.code):
            raise Malformed("unexpected end of function body", self.base + pos)
        return after

    def block_type(self, pos: int) -> tuple[bytes, bytes, int]:
        """Read a block type that is not one byte; return its parameters, its results and the position after it."""
        start = self.base + pos
        value, after = self.read(immediates.BLOCK, pos)
        assert isinstance(value, int)
        if value < 0 or "multi-value" not in self.module.features:
            raise Malformed(malformed_type("block type", self.data[start]), start)
        if value >= len(self.module.types):
            raise Mismatch(f"unknown type {value}")
        type_ = self.module.types[value]
        return type_.params, type_.results, after

    def memarg(self, op: int, pos: int) -> int:
        """Check the immediates of a memory access and return the position after them."""
        start = self.base + pos
        if self.data[start] & MEMORY_INDEX_FLAG and "multi-memory" not in self.module.features:
            raise Malformed("malformed memop flags: no support for multi-memory yet", start)
        value, after = self.read(immediates.MEMARG, pos)
        assert isinstance(value, tuple)
        align, offset, memory = value
        row = opcodes.SINGLE[op]
        assert row is not None
        if memory >= len(self.module.memories):
            raise Mismatch(f"unknown memory {memory}")
        if align > row.align:
            raise Mismatch(f"alignment must not be larger than natural: 2**{align} > 2**{row.align}")
        if offset > 0xFFFFFFFF:
            raise Mismatch(f"offset out of range: {offset:#x}")
        return after

    def check_index(self, kind: int, value: Immediate) -> None:
        """Check that what the immediates name exists."""
        spaces = _SPACES.get(kind, ())
        indices = (value,) if isinstance(value, int) else value
        for place, space in enumerate(spaces):
            assert indices is not None
            if space == "data segment" and self.module.data_count is None:
                raise Malformed("data count section required", self.base)
            if space == "memory":
                self.facts.uses_memory = True
            if indices[place] >= self.size(space):
                raise Mismatch(f"unknown {space} {indices[place]}")

    def size(self, space: str) -> int:
        """Return the number of items in an index space, or of labels."""
        module = self.module
        if space == "table":
            return len(module.tables)
        if space == "memory":
            return len(module.memories)
        if space == "function":
            return len(module.func_types)
        if space == "global":
            return len(module.globals)
        if space == "type":
            return len(module.types)
        if space == "local":
            return len(self.facts.locals)
        if space == "label":
            return len(self.labels)
        return len(module.elems) if space == "elem segment" else len(module.datas)

    # Errors

    def explain(self, at: int) -> Malformed | Invalid:
        """Return the error behind an IndexError at the instruction at `at`."""
        code = self.code
        if at >= len(code):
            return Malformed("unexpected end of function body: END opcode expected", self.base + len(code))
        row = opcodes.SINGLE[code[at]]
        assert row is not None
        value, _ = self.read(row.immediates, at + 1)
        try:
            self.check_index(row.immediates, value)
        except Mismatch as problem:
            return self.invalid(str(problem), at)
        raise AssertionError("no index is out of range")

    def invalid(self, problem: str, at: int) -> Invalid:
        """Return the error for the instruction at `at`."""
        code = self.code[at]
        if code in opcodes.PREFIXES:
            code = opcodes.pack(code, self.read_u32(at + 1)[0])
        row = opcodes.BY_CODE[code]
        name = "select" if row.name == "select_t" else row.name
        return Invalid(f"{problem} (at {name})", self.base + at, self.index, self.module.func_name(self.index))


def _match(found: bytes, expected: bytes) -> bool:
    """Compare types one by one, ANY being equal to everything, in time that the interpreter does not see."""
    mask = int.from_bytes(found.translate(_NOT_ANY), "little")
    return int.from_bytes(expected, "little") & mask == int.from_bytes(found, "little")


def show(types: bytes, more: bool = False) -> str:
    """Return types as messages write them."""
    names = ["any" if code == ANY else type_name(code) for code in types]
    return f"[{' '.join(['...', *names] if more else names)}]"
