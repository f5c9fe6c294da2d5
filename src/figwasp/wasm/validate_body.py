"""Type checking of function bodies (spec 3.3, 3.4.1 and the algorithm of appendix A.3). Floor 1.

Goes in: a decoded module and the index of a function. Comes out: `FuncFacts`, or `Malformed` for bytes that are no
instructions, or `Invalid` for instructions that do not fit together.

Theory of operation. One walk over the bytes, no recursion. The operand stack holds type codes; the topmost one is kept in
a local variable (`top`), so that most instructions touch the list once or not at all. Every block puts BARRIER on the
stack before its operands: a comparison of the top with the expected type then also fails where the block's part of the
stack is empty, and the fast paths need no test of the height. Whatever fails there goes to `pop`, which knows of
unreachable code: it lets missing operands be of any type, and matches ANY, what `select` leaves there, with everything.

Reading beyond the body raises IndexError because the body is a slice of its own, and so does an index into a list of
locals, labels, functions or globals; `explain` finds out which one it was. Long integers are read from the whole binary,
so that what the readers report carries its offset there.
"""

from __future__ import annotations

from typing import Final, NoReturn

from figwasp.errors import Invalid, LimitExceeded, Malformed
from figwasp.features import Features
from figwasp.wasm import immediates, opcodes
from figwasp.wasm.immediates import MEMORY_INDEX_FLAG, READERS, Immediate
from figwasp.wasm.leb128 import signed, unsigned
from figwasp.wasm.module import Module
from figwasp.wasm.opcodes import Opcode
from figwasp.wasm.types import EMPTY, F32, F64, FUNCREF, I32, I64, NUM_TYPES, REF_TYPES, TableType, type_name

__all__ = ["MAX_LOCALS", "FuncFacts", "check_body"]

MAX_LOCALS: Final = 50_000
MAX_STACK: Final = 4_000_000  # ours: a call of a few bytes may push a thousand values
MAX_WRITTEN: Final = 1 << 28  # ours: bytes of all bit sets of written locals of one function

ANY: Final = 0
BARRIER: Final = 1

# What the loop does with an opcode. Everything else goes by its row in the table.
OTHER: Final = 0
UNARY: Final = 1
BINARY: Final = 2
CONST: Final = 3
LOCAL: Final = 4
LOAD: Final = 5
STORE: Final = 6
BRANCH: Final = 7
BLOCK: Final = 8
END: Final = 9
CALL: Final = 10
GLOBAL: Final = 11

_WIDTHS: Final[dict[int, int]] = {I32: 4, I64: 8, F32: 4, F64: 8}
_NOT_ANY: Final = bytes([0] + [0xFF] * 255)
"""For `bytes.translate`: ANY stays zero, every type becomes all ones."""


class FuncFacts:
    """What validation learns about a function.

    Attributes:
        locals: types of all locals, parameters included.
        written: byte offset in the binary of a `block`, `loop` or `if` -> bit set of the locals assigned anywhere in it,
            nested blocks included; -1 stands for the whole body.
        max_stack: most operands on the stack at once.
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


class Tables:
    """The instruction table as the loop wants it, for one set of features: lists indexed by the opcode byte.

    Attributes:
        action: what the loop does.
        operand: type of the operand, of both operands of a binary operation, of the value to store.
        result: type of the result.
        align: log2 of the natural alignment.
        blocks: block type byte -> results, or None when it is the first byte of a type index.
        values: codes of value types.
    """

    __slots__ = ("action", "align", "blocks", "operand", "result", "values")

    def __init__(self, features: Features) -> None:
        self.action = [OTHER] * 256
        self.operand = bytearray(256)
        self.result = bytearray(256)
        self.align = bytearray(256)
        self.values = NUM_TYPES + REF_TYPES if "reference-types" in features else NUM_TYPES
        self.blocks: list[bytes | None] = [None] * 256
        self.blocks[EMPTY] = b""
        for code in self.values:
            self.blocks[code] = bytes((code,))
        for row in opcodes.ROWS:
            if row.code < 0x100 and row.proposal in features:
                self.action[row.code] = _action(row)
                self.align[row.code] = row.align
                if row.params:
                    self.operand[row.code] = row.params[-1]
                if row.results:
                    self.result[row.code] = row.results[0]


def _action(row: Opcode) -> int:
    """Choose the fast path for a row."""
    kind = row.immediates
    params = row.params or b""
    results = row.results or b""
    if kind == immediates.NONE and len(results) == 1 and 1 <= len(params) <= 2 and len(set(params)) == 1:
        return UNARY if len(params) == 1 else BINARY
    if kind == immediates.MEMARG:
        return LOAD if results else STORE
    if immediates.I32 <= kind <= immediates.F64:
        return CONST
    named = {
        "end": END, "br": BRANCH, "br_if": BRANCH, "call": CALL, "global.get": GLOBAL,
    }  # fmt: skip
    if kind == immediates.LOCAL:
        return LOCAL
    return BLOCK if kind == immediates.BLOCK else named.get(row.name, OTHER)


_TABLES: Final[dict[Features, Tables]] = {}


def tables_for(features: Features) -> Tables:
    """Return the tables for a set of features, made once."""
    tables = _TABLES.get(features)
    if tables is None:
        tables = _TABLES[features] = Tables(features)
    return tables


class _Mismatch(Exception):
    """Something is invalid at the current instruction; the loop adds where."""


def check_body(module: Module, index: int) -> FuncFacts:
    """Check the body of a defined function, by its index among all functions, and return the facts.

    Raises:
        Malformed: its bytes are not instructions.
        Invalid: the instructions break a rule of validation.
        LimitExceeded: it has too many locals, or is out of proportion in another way.
    """
    return _Checker(module, index).check()


class _Checker:
    """The state of checking one body that the slow paths share with the loop."""

    __slots__ = ("base", "code", "data", "dead", "facts", "height", "index", "labels", "module", "stack", "start", "tables")

    def __init__(self, module: Module, index: int) -> None:
        body = module.body(index)
        self.module = module
        self.index = index
        self.data = module.data
        self.base = body.start
        self.code = module.data[body.start : body.end]
        self.tables = tables_for(module.features)
        self.facts = FuncFacts(b"")
        self.start = self.read_locals()
        self.stack: list[int] = []
        self.labels: list[bytes] = [module.func_type(index).results]
        self.height = 0
        self.dead = False

    def read_locals(self) -> int:
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
            if code not in self.tables.values:
                raise Malformed(f"malformed value type {code:#04x}", pos - 1)
            total += count
            if total <= MAX_LOCALS and count:
                runs.append(bytes((code,)) * count)
        if total > 0xFFFFFFFF:
            raise Malformed("too many locals", base)
        if total > MAX_LOCALS:
            raise LimitExceeded(f"function {self.index} has {total} locals; the limit is {MAX_LOCALS}")
        self.facts.locals = b"".join(runs)
        return pos - base

    def check(self) -> FuncFacts:
        """Walk the instructions. Flat by design: one branch per action, the frequent ones first."""
        code = self.code
        data = self.data
        base = self.base
        facts = self.facts
        local_types = facts.locals
        written_in = facts.written
        types = self.module.types
        func_types = self.module.func_types
        globals_ = self.module.globals
        tables = self.tables
        action = tables.action
        operand = tables.operand
        result = tables.result
        block_types = tables.blocks
        # Without a memory no alignment is small enough for the fast path.
        align = list(tables.align) if self.module.memories else [-1] * 256
        labels = self.labels
        stack = self.stack
        push = stack.append
        pop = stack.pop
        outer: list[tuple[int, bytes, bytes, int, bool, int, int]] = []
        # The innermost block: its opcode, parameters, results, stack below its barrier, whether the end of what has
        # been read of it is unreachable, locals written, offset.
        block_op = 0
        params = b""
        results = labels[0]
        height = 0
        dead = False
        written = 0
        block_at = -1
        max_stack = 0
        written_size = 0
        last_written = 0
        top = BARRIER
        pos = self.start
        at = pos
        try:
            for num_ops in range(1, len(code) + 2):
                at = pos
                op = code[pos]
                pos += 1
                if op == 0x20:  # local.get
                    index = code[pos]
                    pos += 1
                    if index >= 0x80:
                        index, pos = unsigned(data, base + pos - 1, 32)
                        pos -= base
                    push(top)
                    top = local_types[index]
                    if len(stack) > max_stack:
                        max_stack = len(stack)
                    continue
                act = action[op]
                if act == CONST:
                    push(top)
                    if len(stack) > max_stack:
                        max_stack = len(stack)
                    top = result[op]
                    if op <= 0x42:
                        byte = code[pos]
                        pos += 1
                        if byte >= 0x80:
                            if code[pos] < 0x80:
                                pos += 1
                            elif code[pos + 1] < 0x80:
                                pos += 2
                            else:
                                _, pos = signed(data, base + pos - 1, 32 if op == 0x41 else 64)
                                pos -= base
                    else:
                        pos += 4 if op == 0x43 else 8
                elif act == BINARY:
                    type_ = operand[op]
                    if top == type_ and stack[-1] == type_:
                        pop()
                        top = result[op]
                    else:
                        push(top)
                        self.pop(bytes((type_, type_)), height, dead)
                        top = result[op]
                elif act == LOCAL:
                    index = code[pos]
                    pos += 1
                    if index >= 0x80:
                        index, pos = unsigned(data, base + pos - 1, 32)
                        pos -= base
                    type_ = local_types[index]
                    written |= 1 << index
                    if op == 0x21:
                        if top == type_:
                            top = pop()
                        else:
                            push(top)
                            self.pop(bytes((type_,)), height, dead)
                            top = pop()
                    elif top != type_:
                        push(top)
                        self.pop(bytes((type_,)), height, dead)
                        top = type_
                elif act == UNARY:
                    if top != operand[op]:
                        push(top)
                        self.pop(bytes((operand[op],)), height, dead)
                    top = result[op]
                elif act == LOAD or act == STORE:
                    if code[pos] <= align[op]:
                        byte = code[pos + 1]
                        pos += 2
                        if byte >= 0x80:
                            if code[pos] < 0x80:
                                pos += 1
                            elif code[pos + 1] < 0x80:
                                pos += 2
                            else:
                                _, pos = unsigned(data, base + pos - 1, 32)
                                pos -= base
                    else:
                        pos = self.memarg(op, pos)
                    facts.uses_memory = True
                    if act == LOAD:
                        if top != I32:
                            push(top)
                            self.pop(_I32, height, dead)
                        top = result[op]
                    elif top == operand[op] and stack[-1] == I32:
                        pop()
                        top = pop()
                    else:
                        push(top)
                        self.pop(bytes((I32, operand[op])), height, dead)
                        top = pop()
                elif act == END:
                    if top == BARRIER and not results:
                        top = pop() if stack else BARRIER
                    elif len(results) == 1 and top == results[0] and stack[-1] == BARRIER:
                        pop()
                    else:
                        push(top)
                        self.pop_all(results, height, dead)
                        stack += results
                        top = pop()
                        stack.pop(height)  # the barrier; there are results, or `pop_all` had raised
                    if block_op == 0x04 and params != results:
                        raise _Mismatch(f"type mismatch: if without else must give back {_show(params)}")
                    written_in[block_at] = written
                    if written is not last_written:
                        last_written = written
                        written_size += len(local_types)
                        if written_size > MAX_WRITTEN << 3:
                            raise LimitExceeded(f"function {self.index} writes too many locals in too many blocks")
                    labels.pop()
                    if not outer:
                        break
                    block_op, params, results, height, dead, written, block_at = outer.pop()
                    # Never a new number where an old one will do: each may be as long as there are locals.
                    if not written:
                        written = last_written
                    elif last_written:
                        written |= last_written
                elif act == BLOCK:
                    block = block_types[code[pos]]
                    pos += 1
                    enters = b""
                    if block is None:
                        enters, block, pos = self.block_type(pos - 1)
                    if op == 0x04:
                        if top == I32:
                            top = pop()
                        else:
                            push(top)
                            self.pop(_I32, height, dead)
                            top = pop()
                    push(top)
                    if enters:
                        self.pop(enters, height, dead)
                    outer.append((block_op, params, results, height, dead, written, block_at))
                    block_op = op
                    params = enters
                    results = block
                    height = len(stack)
                    dead = False
                    written = 0
                    block_at = base + at
                    top = BARRIER
                    if op == 0x03:
                        facts.has_loops = True
                        labels.append(enters)
                    else:
                        labels.append(block)
                    if enters:
                        push(BARRIER)
                        stack += enters
                        self.check_height()
                        top = pop()
                        if len(stack) > max_stack:
                            max_stack = len(stack)
                elif act == BRANCH:
                    index = code[pos]
                    pos += 1
                    if index >= 0x80:
                        index, pos = unsigned(data, base + pos - 1, 32)
                        pos -= base
                    label = labels[-1 - index]
                    if op == 0x0D:
                        if top == I32:
                            top = pop()
                        else:
                            push(top)
                            self.pop(_I32, height, dead)
                            top = pop()
                        if label:
                            push(top)
                            self.pop(label, height, dead)
                            stack += label
                            top = pop()
                    else:
                        if label:
                            push(top)
                            self.pop(label, height, dead)
                        del stack[height:]
                        top = BARRIER
                        dead = True
                elif act == CALL:
                    index = code[pos]
                    pos += 1
                    if index >= 0x80:
                        index, pos = unsigned(data, base + pos - 1, 32)
                        pos -= base
                    callee = types[func_types[index]]
                    facts.has_calls = True
                    push(top)
                    self.pop(callee.params, height, dead)
                    stack += callee.results
                    top = pop()
                    if len(stack) > max_stack:
                        max_stack = len(stack)
                        self.check_height()
                elif act == GLOBAL:
                    index = code[pos]
                    pos += 1
                    if index >= 0x80:
                        index, pos = unsigned(data, base + pos - 1, 32)
                        pos -= base
                    push(top)
                    top = globals_[index].type
                    if len(stack) > max_stack:
                        max_stack = len(stack)
                elif op == 0x05:  # else
                    if block_op != 0x04:
                        raise Malformed("unexpected else", base + at)
                    push(top)
                    self.pop_all(results, height, dead)
                    stack += params
                    top = pop()
                    block_op = 0x05
                    dead = False
                elif op == 0x01:  # nop
                    pass
                else:
                    push(top)
                    pos = self.other(op, pos, height, dead)
                    if op == 0x00 or op == 0x0E or op == 0x0F:
                        del stack[height:]
                        top = BARRIER
                        dead = True
                    else:
                        top = pop()
                        if len(stack) > max_stack:
                            max_stack = len(stack)
        except IndexError:
            self.explain(at)
        except _Mismatch as problem:
            raise self.invalid(str(problem), at) from None
        if pos != len(code):
            raise Malformed("section size mismatch: function body goes on after its end", base + pos)
        facts.num_ops = num_ops
        facts.max_stack = max_stack
        return facts

    def pop(self, expected: bytes, height: int, dead: bool) -> None:
        """Take operands off the stack, the last of `expected` being the topmost.

        Args:
            expected: value types.
            height: number of entries below the barrier of the innermost block.
            dead: the code is unreachable: operands missing above the barrier may be of any type.
        """
        stack = self.stack
        count = len(expected)
        if not count:
            return
        found = bytes(stack[-count:])
        if found == expected:
            del stack[-count:]
            return
        available = len(stack) - height - 1
        if available < count:
            if not dead:
                raise self.mismatch(expected, height)
            found = bytes(stack[height + 1 :])
            count = available
        if not _match(found, expected[len(expected) - count :]):
            raise self.mismatch(expected, height)
        del stack[len(stack) - count :]

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
            raise _Mismatch("type mismatch: expected an operand, found []")
        return ANY

    def mismatch(self, expected: bytes, height: int) -> _Mismatch:
        """Make the error for a stack that does not end in the expected types."""
        found = bytes(self.stack[height + 1 :])
        shown = found[max(0, len(found) - max(len(expected), 4)) :]
        return _Mismatch(f"type mismatch: expected {_show(expected)}, found {_show(shown, len(shown) < len(found))}")

    def check_height(self) -> None:
        if len(self.stack) > MAX_STACK:
            raise LimitExceeded(f"function {self.index} has more than {MAX_STACK} operands on the stack")

    def block_type(self, pos: int) -> tuple[bytes, bytes, int]:
        """Read a block type that is not one byte; return its parameters, its results and the position after it."""
        start = self.base + pos
        value, after = READERS[immediates.BLOCK](self.data, start)
        assert isinstance(value, int)
        if value < 0 or "multi-value" not in self.module.features:
            raise Malformed(f"malformed block type {self.data[start]:#04x}", start)
        if value >= len(self.module.types):
            raise _Mismatch(f"unknown type {value}")
        type_ = self.module.types[value]
        return type_.params, type_.results, after - self.base

    def memarg(self, op: int, pos: int) -> int:
        """Check the immediates of a memory access and return the position after them."""
        start = self.base + pos
        if self.data[start] & MEMORY_INDEX_FLAG and "multi-memory" not in self.module.features:
            raise Malformed("malformed memop flags: alignment too large, or multi-memory, which is not supported", start)
        value, after = READERS[immediates.MEMARG](self.data, start)
        assert isinstance(value, tuple)
        align, _, memory = value
        if memory >= len(self.module.memories):
            raise _Mismatch(f"unknown memory {memory}")
        if align > self.tables.align[op]:
            raise _Mismatch(f"alignment must not be larger than natural: 2**{align} > 2**{self.tables.align[op]}")
        return after - self.base

    def other(self, op: int, pos: int, height: int, dead: bool) -> int:
        """Check an instruction by its row and return the position after it; all operands are on the stack."""
        code = op
        if op in opcodes.PREFIXES:
            sub, after = unsigned(self.data, self.base + pos, 32)
            code = opcodes.pack(op, sub)
            pos = after - self.base
        row = opcodes.BY_CODE.get(code)
        if row is None or row.proposal not in self.module.features:
            raise Malformed(opcodes.illegal(self.data, self.base + pos - 1, code), self.base + pos - 1)
        value, after = READERS[row.immediates](self.data, self.base + pos)
        self.check_index(row.immediates, value)
        if row.params is not None and row.results is not None:
            self.pop(row.params, height, dead)
            self.stack += row.results
        _SPECIAL.get(row.name, _nothing)(self, value, height, dead)
        return after - self.base
