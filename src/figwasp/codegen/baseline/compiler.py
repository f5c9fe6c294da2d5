"""Floor 3: the baseline compiler: from the bytes of a validated body to `Code`, in one pass.

Theory of operation. Every operand and every local has a place in the frame, a cell of 8 bytes. A body is cut into tokens; of a run of
instructions the code is looked up, by its bytes, in a dict, of which there is one for each number of operands on the stack: so it is
the same wherever that run occurs, and made once. The topmost operand may be in the register of its class, of which the dicts know as
well; where control arrives from elsewhere it is in its place. Nothing else is in registers from one token to the next.
"""

from __future__ import annotations

from itertools import accumulate
from struct import Struct
from typing import Final

from figwasp import layout
from figwasp.codegen import abi
from figwasp.codegen.baseline.template import (
    IMMEDIATE,
    INST_GLOBAL,
    INST_MEMORY,
    INST_RECORD,
    INST_TABLE,
    LOCAL,
    OFFSET,
    SLOT,
    Template,
)
from figwasp.codegen.baseline.tokens import BODY, BR_TABLE, COMPARISONS, INSTRUCTION, TOKEN
from figwasp.codegen.code import (
    FIELD_NEAR,
    RELOC_CELL,
    RELOC_COUNTER,
    RELOC_STUB,
    STUB_FUEL,
    STUB_HOT,
    STUB_TICK,
    STUB_TRAP,
    Code,
)
from figwasp.codegen.isa import host
from figwasp.codegen.mach import NONE, STACK
from figwasp.errors import TRAP_UNREACHABLE
from figwasp.ir.types import CLASSES, V128, ir_types
from figwasp.layout import InstanceLayout
from figwasp.wasm.syntax import types as wasm
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.types import FuncType, is_ref
from figwasp.wasm.valid.state import FuncFacts

__all__ = ["Baseline", "NoTemplate"]

machine: Final = host().baseline()
_LARGEST_FRAME: Final = 4096
_UNREACHABLE, _BLOCK, _LOOP, _IF, _ELSE, _END, _BR, _BR_IF, _RETURN, _CALL, _CALL_INDIRECT = (
    0x00, 0x02, 0x03, 0x04, 0x05, 0x0B, 0x0C, 0x0D, 0x0F, 0x10, 0x11,
)  # fmt: skip
_NOP, _GET, _SET, _TEE = 0x01, 0x20, 0x21, 0x22
_PREFIX, _FIRST_BULK = 0xFC, 0x08
_FREE: Final = frozenset((_BLOCK, _LOOP, _ELSE, _END))
_CALLS: Final = (_CALL, _CALL_INDIRECT)
_INT: Final = 0
_pack: Final = Struct("<i").pack
_pack_into: Final = Struct("<i").pack_into
_RAX: Final = machine.RESULT[_INT]
_RBP: Final = 5


class NoTemplate(Exception):
    """A function has something for which there are no templates."""


class Fix:
    """What has to be done about a piece of code where it stands.

    Attributes:
        relocs, traps, positions, pool: as of its template; in positions 0 stands for what transfers control behind a run.
    """

    __slots__ = ("pool", "positions", "relocs", "traps")

    def __init__(
        self,
        relocs: list[tuple[int, int, int, int]],
        traps: list[tuple[int, int]],
        positions: list[tuple[int, int]],
        pool: list[tuple[int, int, bytes]],
    ) -> None:
        self.relocs = relocs
        self.traps = traps
        self.positions = positions
        self.pool = pool

    def moved(self, by: int, instrs: int = 0) -> Fix:
        """Return the same for code that so many bytes, and instructions, come before."""
        return Fix(
            [(at + by, field, kind, target) for at, field, kind, target in self.relocs],
            [(at + by, trap) for at, trap in self.traps],
            [(at + by, instrs + instr) for at, instr in self.positions],
            [(at + by, behind, constant) for at, behind, constant in self.pool],
        )


Piece = tuple[bytes, "State", "Fix | None"]
Branch = tuple[bytes, bytes, "State", "Fix | None", int]


class State(dict[bytes, Piece]):
    """The code of runs that begin with so many operands on the stack.

    Attributes:
        depth: operands.
        top: class of the register that the topmost is in, or NONE.
        flush: what puts it into its place. flushed: the state then.
        branches: the same for runs that a conditional branch follows; the condition stands behind.
    """

    __slots__ = ("_flushed", "_tables", "branches", "depth", "flush", "top")

    def __init__(self, tables: Baseline, depth: int, top: int) -> None:
        self._tables = tables
        self.depth = depth
        self.top = top
        self.flush = b"" if top < 0 else machine.STORE_SLOT[machine.RESULT[top]].at(8 * depth - 8)
        self._flushed: State | None = self if top < 0 else None
        self.branches = Branches(tables, self)

    @property
    def flushed(self) -> State:
        if self._flushed is None:
            self._flushed = self._tables.state(self.depth, NONE)
        return self._flushed

    def __missing__(self, run: bytes) -> Piece:
        piece = self._tables.piece(self, run)
        self[run] = piece
        return piece

    def load(self, wanted: int) -> bytes:
        """Return what brings the topmost operand into the register of a class."""
        if self.top == wanted:
            return b""
        if self.top < 0:
            return machine.LOAD_SLOT[machine.RESULT[wanted]].at(8 * self.depth - 8)
        return machine.INT_FROM_FLOAT if wanted == _INT else machine.FLOAT_FROM_INT


class Branches(dict[bytes, Branch]):
    """The code of runs that a conditional branch follows: without it; with it; state, fix, condition."""

    __slots__ = ("_state", "_tables")

    def __init__(self, tables: Baseline, state: State) -> None:
        self._tables = tables
        self._state = state

    def __missing__(self, run: bytes) -> Branch:
        code, state, fix, condition = self._tables.branch(self._state, run)
        found = self[run] = code, code + machine.branch(condition), state, fix, condition
        return found


class _Costs(dict[bytes, int]):
    """The fuel that runs take."""

    def __missing__(self, run: bytes) -> int:
        found = self[run] = sum(instr[0] != _NOP for instr in INSTRUCTION.findall(run))
        return found


class Label:
    """A label.

    Attributes:
        height: operands below those that it begins with.
        arity: operands that a branch to it carries.
        after: state behind its end.
        place: number of the piece that it stands in front of.
        branches: numbers of the pieces behind the branches to it.
        otherwise: of an `if` without an `else` so far, the piece behind its branch.
        begin: state where it begins.
    """

    __slots__ = ("after", "arity", "begin", "branches", "height", "loop", "otherwise", "place")

    def __init__(self, height: int, arity: int, begin: State, after: State, loop: bool = False) -> None:
        self.height = height
        self.arity = arity
        self.begin = begin
        self.after = after
        self.loop = loop
        self.place = NONE
        self.branches: list[int] = []
        self.otherwise = NONE


def unsigned(data: bytes, pos: int) -> tuple[int, int]:
    """Read an unsigned LEB128; return it and the position after it."""
    result = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return result, pos


def signed(data: bytes, pos: int) -> tuple[int, int]:
    """Read a signed LEB128; return it and the position after it."""
    result = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (result - (1 << shift) if byte & 0x40 else result), pos


class Baseline:
    """The baseline compiler of a module's functions."""

    def __init__(
        self, module: Module, layout_: InstanceLayout, mode: int, metered: bool, counted: bool, noting: bool = False
    ) -> None:
        """Begin with a module that has been validated, but for its bodies.

        Args:
            module: the module.
            layout_: where things lie in the instance block.
            mode: GUARD or CHECKED memory.
            metered: whether the code counts fuel, as `ir.build.control` says.
            counted: whether functions count how often they are called and how often their loops go round.
            noting: whether `Code` tells where it traps and calls. The bytes are the same.

        Raises:
            NoTemplate: there are none for accesses to its memory.
        """
        self.module = module
        self.metered = metered
        self.counted = counted
        self.costs = _Costs()
        self.layout = layout_
        self.mode = mode
        self.noting = noting
        self._states: dict[tuple[int, int], State] = {}
        self._shapes: dict[bytes, Template] = {}
        self._signatures: dict[int, abi.Signature] = {}
        self._block_types: dict[bytes, tuple[int, int]] = {}
        if module.memories and (module.memories[0].address == wasm.I64 or module.memories[0].page != 16):
            raise NoTemplate("memory")

    def state(self, depth: int, top: int) -> State:
        """Return the state with so many operands, the topmost in the register of a class or, with NONE, in its place."""
        found = self._states.get((depth, top))
        if found is None:
            found = self._states[depth, top] = State(self, depth, top)
        return found

    def signature(self, type: int) -> abi.Signature:
        """Return where values of a function type travel."""
        found = self._signatures.get(type)
        if found is None:
            func = self.module.signature(type)
            params, results = ir_types(func.params), ir_types(func.results)
            if V128 in params or V128 in results:
                raise NoTemplate("vectors")
            found = abi.wasm_signature(host(), params, results)
            if found.hidden != NONE:
                raise NoTemplate("results in memory")
            self._signatures[type] = found
        return found

    def block_type(self, control: bytes) -> tuple[int, int]:
        """Return how many parameters and results a block has, given its instruction."""
        key = control[1:]
        found = self._block_types.get(key)
        if found is None:
            found = self._block_types[key] = self._read_block_type(key)
        return found

    def _read_block_type(self, key: bytes) -> tuple[int, int]:
        code = key[0]
        if key == b"\x40":
            return 0, 0
        if code == 0x63 or code == 0x64 or (len(key) == 1 and code > 0x40):
            if code == 0x7B:
                raise NoTemplate("vectors")
            return 0, 1
        type = self.module.signature(signed(key, 0)[0])
        if wasm.V128 in type.params or wasm.V128 in type.results:
            raise NoTemplate("vectors")
        return len(type.params), len(type.results)

    # Runs

    def template(self, key: bytes) -> Template:
        """Return the template for opcodes."""
        found = self._shapes.get(key)
        if found is None:
            columns = (self.mode == layout.CHECKED and machine.CHECKED.get(key)) or machine.TEMPLATES.get(key)
            if columns is None:
                raise NoTemplate(f"no template for {key.hex()}")
            found = self._shapes[key] = Template(*columns)
        return found

    def piece(self, state: State, run: bytes) -> Piece:
        """Make the code of a run."""
        if run[0] == _CALL:
            return self._call(state, unsigned(run, 1)[0])
        if run[0] == _CALL_INDIRECT:
            return self._call_indirect(state, run)
        if self.metered and run[0] == _PREFIX and run[1] >= _FIRST_BULK:
            raise NoTemplate("bulk operations pay by size")
        key, locals, number, offset, special = parse(run)
        if special:
            return self._special(state, run, key, locals, number)
        if not -0x8000_0000 <= number < 0x8000_0000:
            return self._in_parts(state, run)
        code, after, fix, _ = self._fill(state, key, locals, number, offset)
        return code, after, fix

    def _in_parts(self, state: State, run: bytes) -> Piece:
        """Make the code of a run whose constant is too large for an instruction: of what comes before, of the constant, of the rest."""
        at = 0
        if run[0] == _GET:
            _, at = unsigned(run, 1)
        _, end = signed(run, at + 1)
        codes: list[bytes] = []
        fixes = []
        before = 0
        for part in filter(None, (run[:at], run[at:end], run[end:])):
            code, state, fix = state[part]
            if fix is not None:
                fixes.append(fix.moved(sum(map(len, codes)), before))
            codes.append(code)
            before += 1
        assert len(fixes) <= 1
        return b"".join(codes), state, fixes[0] if fixes else None

    def branch(self, state: State, run: bytes) -> tuple[bytes, State, Fix | None, int]:
        """Make the code of a run that a conditional branch follows."""
        if run:
            if run[0] != _CALL and run[0] != _CALL_INDIRECT:
                key, locals, number, offset, special = parse(run)
                if not special and key[-1] in COMPARISONS and -0x8000_0000 <= number < 0x8000_0000:
                    try:
                        return self._fill(state, key + b"\x0d", locals, number, offset)
                    except NoTemplate:
                        pass
            code, after, fix = state[run]
        else:
            code, after, fix = b"", state, None
        rest = self.state(after.depth - 1, NONE)
        if after.top == NONE:
            return code + machine.test_slot(8 * rest.depth), rest, fix, machine.TRUE
        return code + after.load(_INT) + machine.TEST, rest, fix, machine.TRUE

    def _fill(self, state: State, key: bytes, locals: list[int], number: int, offset: int) -> tuple[bytes, State, Fix | None, int]:
        template = self.template(key)
        before = state.load(template.top) if template.takes else state.flush
        depth = state.depth
        data = bytearray(template.code)
        moved: list[int] = []
        for at, size, kind, which in template.fields:
            at += len(moved) * 3
            if kind == LOCAL:
                place = 8 * locals[which] + machine.FIRST_LOCAL
            elif kind == SLOT:
                place = 8 * (depth - which)
            elif kind == IMMEDIATE:
                if size == 1:
                    data[at] = number & 63  # the machine takes it modulo the width
                    continue
                place = number
            elif kind == OFFSET:
                place = offset
                if offset >= (0x8000_0000 if self.mode == layout.GUARD else layout.LEAST_MARGIN - 8):
                    raise NoTemplate("offset")
            else:
                place = self._instance_offset(which, number)
            if size == 1:
                if -128 <= place < 128:
                    data[at] = place & 0xFF
                    continue
                data = bytearray(machine.widen(bytes(data), at, kind == SLOT))
                moved.append(at - 3 * len(moved))
            data[at : at + 4] = _pack(place)
        after = self.state(depth - template.takes + (template.result >= 0), template.result)
        fix = None
        if template.relocs or template.pool or (self.noting and template.positions):
            fix = _fix(template, len(before), moved)
        return before + bytes(data), after, fix, template.condition

    def _instance_offset(self, which: int, number: int) -> int:
        if which == INST_MEMORY:
            return self.layout.memory_base(0)
        if which == INST_RECORD:
            return self.layout.memory_record(0)
        assert which == INST_GLOBAL
        return self.layout.global_cell(number)

    def _special(self, state: State, run: bytes, key: bytes, locals: list[int], number: int) -> Piece:
        """Make the code of what needs no template, or one that depends on the module."""
        op = key[0]
        if op == _SET or op == _TEE:
            top = max(state.top, 0)
            code = state.load(top) + machine.STORE_LOCAL[machine.RESULT[top]].at(8 * locals[0] + machine.FIRST_LOCAL)
            return code, self.state(state.depth - (op == _SET), top if op == _TEE else NONE), None
        if op == 0x1A:  # drop
            return b"", self.state(state.depth - 1, NONE), None
        if op == 0x01:
            return b"", state, None
        if op in (0x23, 0x24):  # globals
            kind = self.module.globals[number]
            if is_ref(kind.type) or kind.type == wasm.V128:
                raise NoTemplate("global")
            if number < self.module.num_imported_globals:
                key += b"\1"
            return self._fill(state, key, locals, number, 0)[:3]
        if op == _GET:
            code = machine.LOAD_LOCAL[_RAX].at(8 * locals[0] + machine.FIRST_LOCAL)
        else:
            code = machine.constant(number)
        if key[1:]:  # straight into a local
            code += machine.STORE_LOCAL[_RAX].at(8 * locals[-1] + machine.FIRST_LOCAL)
            return state.flush + code, state.flushed, None
        return state.flush + code, self.state(state.depth + 1, _INT), None

    # Calls

    def _call(self, state: State, index: int) -> Piece:
        type = self.module.func_types[index]
        if index < self.module.num_imported_funcs:
            where = self.layout
            call = machine.imported(where.imported_func(index), where.imported_instance(index)) + machine.CALL_REFERENCE
            return self._finish_call(state.flush, state.flushed, type, call, None, leaves=True)
        fix = Fix([(len(machine.CALL) - 4, FIELD_NEAR, RELOC_CELL, index)], [], [], [])
        return self._finish_call(state.flush, state.flushed, type, machine.CALL, fix, leaves=False)

    def _call_indirect(self, state: State, run: bytes) -> Piece:
        type, at = unsigned(run, 1)
        table, _ = unsigned(run, at)
        if not self.module.types[type].final or self.module.tables[table].address == wasm.I64:
            raise NoTemplate("call_indirect")
        template = self.template(bytes((_CALL_INDIRECT,)))
        before = state.load(_INT)
        data = bytearray(template.code)
        for place, _, _, which in template.fields:
            where = self.layout.table_record(table) if which == INST_TABLE else self.layout.type_id(type)
            data[place : place + 4] = _pack(where)
        checks = before + bytes(data) + machine.LOAD_CALLEE
        after = self.state(state.depth - 1, NONE)
        code, after, fix = self._finish_call(checks, after, type, machine.LOAD_INSTANCE + machine.CALL_REFERENCE, None, leaves=True)
        other = _fix(template, len(before), [])
        if fix is not None:
            other.positions += fix.positions
        return code, after, other

    def _finish_call(self, before: bytes, state: State, type: int, call: bytes, fix: Fix | None, leaves: bool) -> Piece:
        """Return a call with all around it: the arguments are in their places."""
        func, signature = self.module.signature(type), self.signature(type)
        depth = state.depth - len(func.params)
        size = signature.stack_bytes
        code = [before, machine.move_stack(size)] if size else [before]
        registers = []
        for number, place in enumerate(signature.params):
            slot = size + 8 * (depth + number)
            if place >= STACK:
                code.append(machine.LOAD_SLOT[_RAX].at(slot) + machine.STORE_SLOT[_RAX].at(8 * (place - STACK)))
            else:
                registers.append(machine.LOAD_SLOT[place].at(slot))
        code += registers
        at = sum(map(len, code))
        if fix is not None:
            fix = fix.moved(at)
        code.append(call)
        if self.noting:
            fix = fix or Fix([], [], [], [])
            fix.positions.append((at + len(call), 1))
        if leaves:
            code.append(machine.RESTORE_INSTANCE)
        count = len(func.results)
        after = self.state(depth + count, CLASSES[ir_types(func.results)[0]] if count == 1 else NONE)
        if count > 1:
            code += [machine.STORE_SLOT[place].at(8 * (depth + number)) for number, place in enumerate(signature.results)]
        return b"".join(code), after, fix

    # Bodies

    def take(self, index: int, facts: FuncFacts) -> Code | None:
        """Compile a function; return None if there are no templates for all of it."""
        try:
            return self.compile(index, facts)
        except NoTemplate:
            return None

    def compile(self, index: int, facts: FuncFacts) -> Code:
        """Compile a function.

        Raises:
            NoTemplate: there are none for all of it.
        """
        return _Body(self, index, facts).run()


def _fix(template: Template, shift: int, moved: list[int]) -> Fix:
    """Return what has to be done about a template behind so many bytes, in which fields at some places have become larger."""

    def move(at: int) -> int:
        return shift + at + 3 * sum(1 for place in moved if place < at)

    return Fix(
        [(move(at), field, kind, target) for at, field, kind, target in template.relocs],
        [(move(at), trap) for at, trap in template.traps],
        [(move(at), instr) for at, instr in template.positions],
        [(move(at), rest, constant) for at, rest, constant in template.pool],
    )

_SPECIAL_OPS: Final = frozenset((0x01, 0x1A, 0x21, 0x22, 0x23, 0x24))


def parse(run: bytes) -> tuple[bytes, list[int], int, int, bool]:
    """Return the opcodes of a run, its locals, its constant, its offset, and whether no template of the table serves it."""
    key = bytearray()
    locals: list[int] = []
    number = offset = 0
    at = 0
    size = len(run)
    plain = False
    while at < size:
        op = run[at]
        at += 1
        key.append(op)
        if 0x20 <= op <= 0x22:
            value = run[at]
            at += 1
            if value >= 0x80:
                value, at = unsigned(run, at - 1)
            locals.append(value)
        elif op == 0x41:
            number, at = signed(run, at)
        elif op == 0x42:
            number, at = signed(run, at)
        elif 0x28 <= op <= 0x3E:
            offset, at = unsigned(run, at + 1)
            plain = True
        elif op == 0x23 or op == 0x24:
            number, at = unsigned(run, at)
        elif op == 0x43:
            number = int.from_bytes(run[at : at + 4], "little")
            at += 4
        elif op == 0x44:
            number = int.from_bytes(run[at : at + 8], "little")
            at += 8
        elif op == 0xFC:
            key.append(run[at])
            plain = True
            at = size if run[at] >= 8 else at + 1
        else:
            plain = True
            if op == 0x3F or op == 0x40:
                at += 1
            elif op == 0x1C:
                key[-1] = 0x1B
                at += 2
    first = key[0]
    special = first in _SPECIAL_OPS or not plain
    if special and 0x41 <= first <= 0x44:
        number &= 0xFFFF_FFFF if first == 0x41 or first == 0x43 else 0xFFFF_FFFF_FFFF_FFFF
    return bytes(key), locals, number, offset, special




class _Body:
    """The state of one compilation.

    Attributes:
        out: pieces of code.
        fixes: number of a piece, of its token, and what is to be done about it.
        labels: those that stand around the current instruction. closed: the others that something branches to.
    """

    def __init__(self, tables: Baseline, index: int, facts: FuncFacts) -> None:
        self.tables = tables
        self.module = tables.module
        self.index = index
        self.locals = ir_types(facts.locals)
        if V128 in self.locals:
            raise NoTemplate("vectors")
        self.signature = tables.signature(self.module.func_types[index])
        self.results = ir_types(self.module.func_type(index).results)
        self.out: list[bytes] = []
        self.fixes: list[tuple[int, int, Fix]] = []
      
        self.slow: list[tuple[int, int, int]] = []
        self.switches: list[tuple[int, int, list[int]]] = []
        self.otherwise: list[tuple[int, int]] = []  # piece behind the branch of an `if`, and where that leads
        self.deepest = 0
        self.tokens = 0  # before the current stretch
        self.dead = 0
        self.cut: list[tuple[bytes, bytes]] = []  # the tokens, when they are noted
        self.paid = NONE  # the piece that pays for the current run, when fuel is counted; of which token; and how much
        self.payer = 0
        self.spent = 0
        self.counts: list[int] = []  # pieces behind which the field of a counter ends
        start = tables.state(0, NONE)
        self.state = start
        self.exit = Label(0, len(self.results), start, start)
        self.labels = [self.exit]
        self.closed: list[Label] = []

    def run(self) -> Code:
        """Compile."""
        module = self.module
        body = module.body(self.index)
        data = module.data
        self.begin = pos = _skip_locals(data, body.start)
        end = body.end
        self._open_run(~0)
        while True:
            match = BODY.match(data, pos, end)
            assert match is not None
            stop = match.end()
            self._walk(TOKEN.findall(data, pos, stop))
            if stop == end:
                break
            if data[stop] != BR_TABLE:
                raise NoTemplate(f"instruction {data[stop]:#x}")
            pos = self._br_table(data, stop)
            self.tokens += 1
            self.cut.append((b"", data[stop:pos]))
        return self._finish()

    def _walk(self, tokens: list[tuple[bytes, bytes]]) -> None:
        out = self.out
        push = out.append
        labels = self.labels
        state = self.state
        dead = self.dead
        deepest = self.deepest
        metered = self.tables.metered
        costs = self.tables.costs
        for number, (run, control) in enumerate(tokens, self.tokens):
            if dead:
                if control:
                    op = control[0]
                    if _BLOCK <= op <= _IF:
                        dead += 1
                    elif op == _END:
                        dead -= 1
                        if not dead:
                            state = self._end(state, number, live=False)
                    elif op == _ELSE and dead == 1:
                        dead = 0
                        state = self._else(state, number, live=False)
                continue
            if not control:
                if not run:
                    break
                code, state, fix = state[run]
                if fix is not None:
                    self.fixes.append((len(out), number, fix))
                push(code)
                if state.depth > deepest:
                    deepest = state.depth
                if metered:
                    self.spent += costs[run]
                    if run[0] in _CALLS:
                        self._close_run()
                        self._open_run(~number)
                continue
            op = control[0]
            if metered:
                if run and run[0] in _CALLS:
                    code, state, fix = state[run]
                    if fix is not None:
                        self.fixes.append((len(out), number, fix))
                    push(code)
                    self.spent += costs[run]
                    self._close_run()
                    self._open_run(~number)
                    run = b""
                self.spent += costs[run] + (op not in _FREE)
            if op == _BR_IF:
                code, whole, state, fix, condition = state.branches[run]
                if fix is not None:
                    self.fixes.append((len(out), number, fix))
                depth = control[1]
                label = labels[-1 - depth if depth < 0x80 else -1 - unsigned(control, 1)[0]]
                if label.arity:
                    push(code)
                    self._branch_if(state, label, condition)
                else:
                    push(whole)
                    label.branches.append(len(out))
                if metered:
                    self._close_run()
                    self._open_run(number)
                continue
            if op == _IF:
                code, _, state, fix, condition = state.branches[run]
                if fix is not None:
                    self.fixes.append((len(out), number, fix))
                push(code)
                push(machine.branch(machine.opposite(condition)))
                label = self._open(state, control)
                label.otherwise = len(out)
                if metered:
                    self._close_run()
                    self._open_run(number)
                continue
            if run:
                code, state, fix = state[run]
                if fix is not None:
                    self.fixes.append((len(out), number, fix))
                push(code)
                if state.depth > deepest:
                    deepest = state.depth
            if op == _END:
                state = self._end(state, number, live=True)
                if state.depth > deepest:
                    deepest = state.depth
            elif op == _BLOCK:
                if state.top >= 0:
                    push(state.flush)
                    state = state.flushed
                self._open(state, control)
            elif op == _BR:
                self._close_run()
                depth = control[1]
                self._branch(state, labels[-1 - depth if depth < 0x80 else -1 - unsigned(control, 1)[0]])
                dead = 1
            elif op == _LOOP:
                self._close_run()
                if state.top >= 0:
                    push(state.flush)
                    state = state.flushed
                label = self._open(state, control, loop=True)
                label.place = len(out)
                push(_POLL)
                self.slow.append((len(out), number, STUB_TICK))
                if self.tables.counted:
                    push(machine.COUNT)
                    self.counts.append(len(out))
                    push(machine.branch(machine.HOT))
                    self.slow.append((len(out), number, STUB_HOT))
                self._open_run(number)
            elif op == _ELSE:
                state = self._else(state, number, live=True)
            elif op == _RETURN:
                self._close_run()
                self._branch(state, self.exit)
                dead = 1
            else:
                self._close_run()
                self.fixes.append((len(out), number, _UNREACHABLE_FIX))
                push(machine.CALL)
                dead = 1
        self.state = state
        self.dead = dead
        self.deepest = deepest
        self.tokens += len(tokens)
        if self.tables.noting:
            self.cut += tokens

    # Fuel

    def _open_run(self, token: int) -> None:
        """Begin a straight run of instructions here, which is paid for before any of them is executed."""
        if self.tables.metered:
            self.paid = len(self.out)
            self.payer = token
            self.spent = 0
            self.out.append(b"")

    def _close_run(self) -> None:
        """End the run: control goes elsewhere now."""
        if self.paid != NONE and self.spent:
            self.out[self.paid] = machine.pay(self.spent)
            self.slow.append((self.paid + 1, self.payer, STUB_FUEL))
        self.paid = NONE

    # Control

    def _open(self, state: State, control: bytes, loop: bool = False) -> Label:
        """Put a label on the stack of labels; the operands are in their places."""
        params, results = self.tables.block_type(control)
        height = state.depth - params
        after = state if params == results else self.tables.state(height + results, NONE)
        label = Label(height, params if loop else results, state, after, loop)
        self.labels.append(label)
        return label

    def _end(self, state: State, token: int, live: bool) -> State:
        label = self.labels.pop()
        out = self.out
        if not self.labels:
            self._close_run()
            if live:
                self._leave(state)
            label.place = len(out)
            self.closed.append(label)
            return state
        if live and state.top >= 0:
            out.append(state.flush)
        if label.otherwise >= 0:  # without else: parameters are results
            self.otherwise.append((label.otherwise, len(out)))
        if label.branches:
            if not label.loop:
                label.place = len(out)
            self.closed.append(label)
        if self.tables.metered and (not live or label.otherwise >= 0 or (label.branches and not label.loop)):
            self._close_run()
            self._open_run(token)
        return label.after

    def _else(self, state: State, token: int, live: bool) -> State:
        label = self.labels[-1]
        if live:
            self._close_run()
            if state.top >= 0:
                self.out.append(state.flush)
            self._jump(label)
        self.otherwise.append((label.otherwise, len(self.out)))
        label.otherwise = NONE
        self._open_run(token)
        return label.begin

    def _jump(self, label: Label) -> None:
        self.out.append(machine.branch(machine.ALWAYS))
        label.branches.append(len(self.out))

    def _leave(self, state: State) -> None:
        """Load the results into their registers."""
        count = len(self.results)
        if count == 1:
            self.out.append(state.load(CLASSES[self.results[0]]))
        elif count:
            code = [state.flush]
            for number, register in enumerate(self.signature.results):
                code.append(machine.LOAD_SLOT[register].at(8 * (state.depth - count + number)))
            self.out.append(b"".join(code))

    def _moves(self, state: State, label: Label) -> bytes:
        """Return what moves the operands that a branch carries to where its label expects them."""
        if label is self.exit or not label.arity:
            mark = len(self.out)
            if label is self.exit:
                self._leave(state)
            code = b"".join(self.out[mark:])
            del self.out[mark:]
            return code
        if state.depth == label.height + label.arity:
            return state.flush
        moves = [state.flush]
        for number in range(label.arity):
            moves.append(machine.LOAD_SLOT[_RAX].at(8 * (state.depth - label.arity + number)))
            moves.append(machine.STORE_SLOT[_RAX].at(8 * (label.height + number)))
        return b"".join(moves)

    def _branch(self, state: State, label: Label) -> None:
        if label.arity:
            self.out.append(self._moves(state, label))
        self._jump(label)

    def _branch_if(self, state: State, label: Label, condition: int) -> None:
        moves = self._moves(state, label)
        if moves:
            self.out.append(machine.skip(machine.opposite(condition), len(moves) + len(machine.branch(machine.ALWAYS))) + moves)
            self._jump(label)
        else:
            self.out.append(machine.branch(condition))
            label.branches.append(len(self.out))

    def _br_table(self, data: bytes, pos: int) -> int:
        count, pos = unsigned(data, pos + 1)
        depths = []
        for _ in range(count + 1):
            depth, pos = unsigned(data, pos)
            depths.append(depth)
        if self.dead:
            return pos
        self.spent += 1
        self._close_run()
        code, field = machine.switch(count)
        self.out.append(self.state.load(_INT) + code)
        at = len(self.out)
        after = self.tables.state(self.state.depth - 1, NONE)
        ways: dict[int, int] = {}
        for depth in depths:
            if depth not in ways:
                ways[depth] = len(self.out)
                self._branch(after, self.labels[-1 - depth])
        self.switches.append((at, len(code) - field, [ways[depth] for depth in depths]))
        self.dead = 1
        return pos

    # The end

    def _finish(self) -> Code:
        count = len(self.locals)
        cells = self.deepest + count + 2
        size = 8 * (cells + (cells % 2 == 0))
        if size > _LARGEST_FRAME:
            raise NoTemplate("a large frame")
        pointer = 8 * self.deepest + machine.BIAS
        begin, rest = machine.prologue(size, pointer)
        entry = [rest]
        stacked = []
        for number, place in enumerate(self.signature.params):
            store = 8 * number + machine.FIRST_LOCAL
            if place < STACK:
                entry.append(machine.STORE_LOCAL[place].at(store))
            else:
                stacked.append(machine.LOAD_SLOT[_RAX].at(size + 8 + 8 * (place - STACK)) + machine.STORE_LOCAL[_RAX].at(store))
        params = len(self.signature.params)
        entry += stacked
        entry.append(machine.clear(8 * params + machine.FIRST_LOCAL, count - params))
        if self.tables.counted:
            head = [begin, machine.COUNT, machine.branch(machine.HOT), b"".join(entry)]
            slow = [(1, ~0, STUB_TICK), (3, ~0, STUB_HOT)]
            counts = [2]
        else:
            head = [begin, b"".join(entry)]
            slow = [(1, ~0, STUB_TICK)]
            counts = []
        shift = len(head)
        slow += [(shift + piece, token, stub) for piece, token, stub in self.slow]
        out = [*head, *self.out]
        out.append(machine.epilogue(size, self.signature.stack_bytes))
        first = len(out)
        out += [_SLOW] * len(slow)
        starts = [0, *accumulate(map(len, out))]
        data = bytearray(b"".join(out))
        made = Code(self.module.func_name(self.index) or "", self.index)
        relocs = made.relocs
        for number, (piece, _, stub) in enumerate(slow, first):
            at, back, end = starts[number], starts[piece], starts[number + 1]
            _pack_into(data, back - 4, at - back)
            _pack_into(data, end - 4, back - end)
            relocs.append((at + 2, FIELD_NEAR, RELOC_STUB, stub))
        for piece in counts + [shift + piece for piece in self.counts]:
            relocs.append((starts[piece] - 4, FIELD_NEAR, RELOC_COUNTER, self.index))
        for label in self.closed:
            goal = starts[shift + label.place]
            for piece in label.branches:
                end = starts[shift + piece]
                _pack_into(data, end - 4, goal - end)
        for piece, place in self.otherwise:
            end = starts[shift + piece]
            _pack_into(data, end - 4, starts[shift + place] - end)
        pool: dict[bytes, list[tuple[int, int]]] = {}
        for piece, _, fix in self.fixes:
            at = starts[shift + piece]
            for offset, field, kind, target in fix.relocs:
                relocs.append((at + offset, field, kind, target))
            for offset, behind, constant in fix.pool:
                pool.setdefault(constant, []).append((at + offset, behind))
        if self.tables.noting:
            self._note(made, starts, shift, slow, first)
        data += host().filler
        made.text_size = len(data)
        for constant in sorted(pool, key=len, reverse=True):
            data += bytes(-len(data) % len(constant))
            for at, behind in pool[constant]:
                _pack_into(data, at, len(data) - at - 4 - behind)
            data += constant
        for piece, back, goals in self.switches:
            data += bytes(-len(data) % 4)
            start = len(data)
            at = starts[shift + piece] - back
            _pack_into(data, at, start - at - 4)
            data += b"".join([_pack(starts[shift + goal] - start) for goal in goals])
        made.tier = self.deepest + machine.CELLS_BEFORE_LOCALS + 1
        made.data = bytes(data)
        made.frame_size = size
        made.incoming = self.signature.stack_bytes
        made.saved = [(_RBP, pointer + machine.SAVED_POINTER)]
        return made

    def _note(self, made: Code, starts: list[int], shift: int, slow: list[tuple[int, int, int]], first: int) -> None:
        """Fill in where the code traps and calls."""
        ends = [*accumulate((len(run) + len(control) for run, control in self.cut), initial=self.begin)]
        for number, (piece, token, stub) in enumerate(slow, first):
            at = starts[number] + len(machine.CALL)
            pos = ends[~token] if token < 0 else ends[token] + len(self.cut[token][0])
            made.positions.append((at, pos))
            if stub == STUB_HOT and piece > shift:
                made.loops.append((at, pos))
        for piece, token, fix in self.fixes:
            at = starts[shift + piece]
            run = self.cut[token][0]
            places = [ends[token] + match.start() for match in INSTRUCTION.finditer(run)]
            made.traps += [(at + offset, trap) for offset, trap in fix.traps]
            made.positions += [
                (at + offset, places[instr - 1] if instr else ends[token] + len(run)) for offset, instr in fix.positions
            ]
        made.positions.sort()
        made.traps.sort()


_POLL: Final = machine.CHECK_STACK + machine.branch(machine.BELOW)
_SLOW: Final = machine.CALL + machine.branch(machine.ALWAYS)
_UNREACHABLE_FIX: Final = Fix([(2, FIELD_NEAR, RELOC_STUB, STUB_TRAP)], [(6, TRAP_UNREACHABLE)], [(6, 0)], [])


def _skip_locals(data: bytes, pos: int) -> int:
    count, pos = unsigned(data, pos)
    for _ in range(count):
        _, pos = unsigned(data, pos)
        if data[pos] in (0x63, 0x64):
            pos += 1
        _, pos = unsigned(data, pos)
    return pos
