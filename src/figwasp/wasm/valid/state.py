"""The state of checking one function body or constant expression, and what validation learns from it. Floor 1.

`valid/body.py` walks the instructions and owns the theory of operation; here stand the operand stack with matching of
types, the reading of locals and block types, and the errors with the place where they arose.
"""

from __future__ import annotations

from itertools import chain

from figwasp.errors import Invalid, LimitExceeded, Malformed
from figwasp.features import off
from figwasp.wasm.binary.immediates import READERS
from figwasp.wasm.binary.leb128 import unsigned
from figwasp.wasm.binary.types import read_value_type
from figwasp.wasm.syntax import immediates, limits, opcodes
from figwasp.wasm.syntax.immediates import Immediate, number
from figwasp.wasm.syntax.module import ConstExpr
from figwasp.wasm.syntax.types import (
    CONCRETE,
    EMPTY,
    INDEX_SHIFT,
    NON_NULL,
    FuncType,
    Types,
    is_ref,
    missing_proposal,
    type_name,
)
from figwasp.wasm.valid.context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["ANY", "ANY_REF", "BARRIER", "Checker", "FuncFacts", "Mismatch", "show"]

ANY: Final = 0
"""On the operand stack: a value of unknown type, from unreachable code."""
ANY_REF: Final = ANY | NON_NULL
"""On the operand stack: a reference of unknown type that is not null, likewise."""
BARRIER: Final = 1
"""On the operand stack: the beginning of a block's part."""

_FREE: Final = 32
"""Operands that cost nothing to take off the stack at once."""


DELEGATES: Final = -2
"""In `FuncFacts.clauses`: minus a label."""


class FuncFacts:
    """The facts that validation learns about a function.

    Attributes:
        locals: types of all locals, parameters included.
        written: byte offset in the binary of a `block`, `loop`, `if`, `try_table` or `try` -> bit set of the locals assigned
            anywhere in it, nested blocks included; -1 stands for the whole body.
        num_ops: number of instructions, the final `end` included.
        uses_memory: an instruction reads or writes a memory, or asks for its size.
        operands: byte offset of an instruction that can be reached -> static type of a reference that it takes, where that helps:
            for `ref.test` and `ref.cast` one below the top of its hierarchy, for `call_ref`, `return_call_ref` and accesses to
            fields and elements one without null.
        clauses: byte offset of a legacy `try` -> the tags of its clauses, -1 for one without; of one that delegates, DELEGATES
            minus the label.
        callees: the function of each `call` and `return_call`, in order; empty when all functions of a module have been
            validated at once.
        size: about how many bytes `locals` and `written` take.
    """

    __slots__ = ("callees", "clauses", "locals", "num_ops", "operands", "size", "uses_memory", "written")

    def __init__(self, locals: Types) -> None:
        self.locals = locals
        self.written: dict[int, int] = {}
        self.operands: dict[int, int] = {}
        self.clauses: dict[int, list[int]] = {}
        self.num_ops = 0
        self.uses_memory = False
        self.callees: list[int] = []
        self.size = 0


class Mismatch(Exception):
    """Something is invalid at the current instruction; who walks the instructions adds where."""


class Checker:
    """The state of checking one body that the slow paths share with the loop.

    Attributes:
        context: the facts about the module.
        index: the function, or -1 for a constant expression.
        at: position of the present instruction, where that is checked by its plan.
        base: byte offset of the body; positions count from there.
        end: byte offset after it.
        code: its bytes.
        start: position of the first instruction.
        facts: the facts found out so far.
        unset: first index and number of the locals that have to be assigned before they are read.
        stack: operand types, BARRIER below those of each block.
        labels: per open block the types that a branch to it takes, outermost first.
        outer: the blocks around the innermost one, as the loop keeps them: their opcode comes first.
        block_op: opcode that opened the innermost block, or the last one that divided it.
        one_memory: whether memory accesses may not name a memory.
        visible: number of globals that a constant expression may read.
        declared: the functions named by a constant expression are added to it.
    """

    __slots__ = (
        "at",
        "base",
        "block_op",
        "code",
        "context",
        "data",
        "declared",
        "end",
        "facts",
        "index",
        "labels",
        "module",
        "one_memory",
        "outer",
        "stack",
        "start",
        "types",
        "unset",
        "visible",
    )

    def __init__(self, context: Context) -> None:
        self.context = context
        self.module = context.module
        self.types = context.types
        self.data = context.module.data
        self.index = -1
        self.at = 0
        self.base = 0
        self.end = 0
        self.code = b""
        self.start = 0
        self.facts = FuncFacts(())
        self.unset: list[tuple[int, int]] = []
        self.stack: list[int] = []
        self.labels: list[Types] = []
        self.outer: list[tuple[int, Types, Types, int, bool, int, int]] = []
        self.block_op = 0
        self.one_memory = "multi-memory" not in context.module.features
        self.visible = 0
        self.declared: set[int] = set()

    def open_body(self, index: int) -> None:
        """Begin with a body: read its locals."""
        body = self.module.body(index)
        type_ = self.context.callees[index]
        self.index = index
        self.base = body.start
        self.end = body.end
        self.code = self.data[body.start : body.end]
        self.labels.append(type_.results)
        self.start = self.read_locals(type_)

    def open_const(self, expr: ConstExpr, visible: int) -> None:
        """Begin with a constant expression, which may read the first `visible` globals."""
        self.base = expr.start
        self.stack.append(BARRIER)
        self.visible = visible
        self.declared = self.context.declared

    def read_locals(self, type_: FuncType) -> int:
        """Read the declarations of locals and return the position of the first instruction in the body."""
        base = self.base
        end = self.end
        runs: list[Types] = [type_.params]
        total = len(type_.params)
        groups, pos = unsigned(self.data, base, 32)
        for _ in range(groups):
            at = pos
            count, pos = unsigned(self.data, pos, 32)
            if pos >= end:
                raise Malformed("unexpected end", at)
            code, pos = self.read_type(pos)
            if total + count <= limits.MAX_LOCALS and count:
                runs.append((code,) * count)
                if code & NON_NULL:
                    self.unset.append((total, count))
            total += count
        if total > 0xFFFFFFFF:
            raise Malformed("too many locals", base)
        if total > limits.MAX_LOCALS:
            raise LimitExceeded(f"function {self.index} has {total} locals; the limit is {limits.MAX_LOCALS}")
        self.facts.locals = tuple(chain.from_iterable(runs)) if len(runs) > 1 else type_.params
        if pos > end:
            raise self.truncated(0)
        return pos - base

    def read_type(self, at: int) -> tuple[int, int]:
        """Read the type of locals at a byte offset and return it with the one after it."""
        code, pos = read_value_type(self.data, at)
        self.known_type(code, at)
        if code & 0xFF == CONCRETE and code >> INDEX_SHIFT >= len(self.module.types):
            raise Invalid(f"unknown type {code >> INDEX_SHIFT}: local", at, self.index, self.module.func_name(self.index))
        return code, pos

    def known_type(self, code: int, at: int) -> None:
        """Insist that the proposal of a value type at a byte offset is on."""
        missing = missing_proposal(code, self.module.features)
        if missing is not None:
            raise self.off(f"malformed type {type_name(code)}: it", missing, at)

    # The operand stack

    def pop(self, expected: Types, height: int, dead: bool) -> None:
        """Take operands off the stack, the last of `expected` being the topmost.

        Args:
            expected: value types.
            height: number of entries below the barrier of the innermost block.
            dead: the code is unreachable: operands missing above the barrier may be of any type.
        """
        if len(expected) == 1:
            stack = self.stack
            code = stack[-1]
            want = expected[0]
            # ANY, ANY_REF and BARRIER are no value types.
            if code == want or (code & 0xFF > BARRIER and self.types.matches(code, want)):
                stack.pop()
                return
        count = self.fits(expected, height, dead)
        if count:
            del self.stack[-count:]

    def fits(self, expected: Types, height: int, dead: bool) -> int:
        """Check that the stack ends in the expected types and return how many entries these are."""
        stack = self.stack
        count = len(expected)
        if count > _FREE:
            self.charge(count)
        found = tuple(stack[len(stack) - count :])
        if found == expected:
            return count
        available = len(stack) - height - 1
        wanted = expected
        if available < count:
            if not dead:
                raise self.mismatch(expected, height)
            found = tuple(stack[height + 1 :])
            wanted = expected[count - available :]
            count = available
        if found != wanted:
            self.compare(found, wanted, expected, height)
        return count

    def charge(self, count: int) -> None:
        """Take comparisons of types off what the size of the module allows.

        A call of two bytes may pass a thousand operands, and a branch of two as many again; code of this world does not.
        """
        self.context.budget -= count
        if self.context.budget < 0:
            raise LimitExceeded(f"function {self.index}: the module compares more types than its size allows")

    def compare(self, found: Types, wanted: Types, expected: Types, height: int) -> None:
        """Match types one by one; `expected` and `height` are for the message."""
        self.charge(len(wanted))
        matches = self.types.matches
        for code, want in zip(found, wanted, strict=True):
            if code != want and code != ANY and not (is_ref(want) if code == ANY_REF else matches(code, want)):
                raise self.mismatch(expected, height)

    def pop_all(self, expected: Types, height: int, dead: bool) -> None:
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

    def pop_ref(self, height: int, dead: bool) -> int:
        """Take one reference of any type off the stack and return its type, which may be ANY or ANY_REF."""
        code = self.pop_one(height, dead)
        if not is_ref(code) and code != ANY and code != ANY_REF:
            raise Mismatch(f"type mismatch: expected a reference, found {type_name(code)}")
        return code

    def push(self, codes: Types) -> None:
        """Put operands on the stack."""
        self.stack += codes
        if len(self.stack) > limits.MAX_STACK:
            raise self.too_many_operands()

    def too_many_operands(self) -> LimitExceeded:
        """Make the error for a stack that has grown out of proportion."""
        return LimitExceeded(f"function {self.index} has more than {limits.MAX_STACK} operands on the stack")

    def mismatch(self, expected: Types, height: int) -> Mismatch:
        """Make the error for a stack that does not end in the expected types."""
        found = tuple(self.stack[height + 1 :])
        shown = found[max(0, len(found) - max(len(expected), 4)) :]
        return Mismatch(f"type mismatch: expected {show(expected)}, found {show(shown, len(shown) < len(found))}")

    def sequence_matches(self, codes: Types, wanted: Types) -> bool:
        """Return whether a sequence of types matches another (spec 3.3.4)."""
        if codes == wanted:
            return True
        self.charge(len(codes))
        return len(codes) == len(wanted) and all(map(self.types.matches, codes, wanted))

    # Reading

    def read(self, kind: int, pos: int) -> tuple[Immediate, int]:
        """Read immediates and return them with the position after them, all within the body."""
        value, after = READERS[kind](self.data, self.base + pos)
        if after > self.end:
            raise self.truncated(pos)
        return value, after - self.base

    def read_u32(self, pos: int) -> tuple[int, int]:
        """Read an unsigned integer and return it with the position after it, all within the body."""
        value, after = unsigned(self.data, self.base + pos, 32)
        if after > self.end:
            raise self.truncated(pos)
        return value, after - self.base

    def truncated(self, pos: int) -> Malformed:
        """Make the error for immediates that begin in the body and end beyond it."""
        return Malformed("unexpected end of function body", self.base + pos)

    def block_type(self, pos: int) -> tuple[Types, Types, int]:
        """Read a block type; return its parameters, its results and the position after it."""
        found, after = self.read(immediates.BLOCK, pos)
        value = number(found)
        if value < 0:
            if ~value == EMPTY:
                return (), (), after
            self.known_type(~value, self.base + pos)
            self.known_index(~value)
            return (), (~value,), after
        if "multi-value" not in self.module.features:
            raise self.off(f"malformed block type {value}: it", "multi-value", self.base + pos)
        type_ = self.signature(value)
        return type_.params, type_.results, after

    def known_index(self, code: int) -> None:
        """Insist that the type that a value type names exists."""
        if code & 0xFF == CONCRETE and code >> INDEX_SHIFT >= len(self.module.types):
            raise Mismatch(f"unknown type {code >> INDEX_SHIFT}")

    def signature(self, index: int) -> FuncType:
        """Return the function type with an index, insisting that there is one."""
        if index >= len(self.module.types):
            raise Mismatch(f"unknown type {index}")
        type_ = self.context.signatures[index]
        if type_ is None:
            raise Mismatch(f"type mismatch: type {index} is not a function type, but {self.module.types[index]}")
        return type_

    # Errors

    def off(self, what: str, proposal: str, at: int) -> Malformed:
        """Return the error for what needs a proposal that is off, at a byte offset of the binary."""
        return self.malformed(off(what, proposal), at)

    def malformed(self, problem: str, at: int) -> Malformed:
        """Return the error for something at a byte offset of the binary that this module may not have."""
        func = self.index if self.index >= 0 else None
        return Malformed(problem, at, func, None if func is None else self.module.func_name(func))

    def invalid(self, problem: str, at: int) -> Invalid:
        """Return the error for the instruction at `at`."""
        code = self.code[at]
        if code in opcodes.BY_PREFIX:
            code = opcodes.pack(code, self.read_u32(at + 1)[0])
        name = opcodes.BY_CODE[code].text
        return Invalid(f"{problem} (at {name})", self.base + at, self.index, self.module.func_name(self.index))


def show(types: Types, more: bool = False) -> str:
    """Return types as messages write them."""
    names = ["any" if code == ANY else "ref" if code == ANY_REF else type_name(code) for code in types]
    return f"[{' '.join(['...', *names] if more else names)}]"
