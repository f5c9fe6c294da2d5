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
from figwasp.codegen.baseline import cut
from figwasp.codegen.baseline.cut import IMMEDIATE, INSTANCE, LOCAL, OFFSET, SLOT, Template
from figwasp.codegen.baseline.tokens import BODY, BR_TABLE, TOKEN
from figwasp.codegen.code import FIELD_NEAR, RELOC_BUILTIN, RELOC_CELL, RELOC_STUB, STUB_TICK, STUB_TRAP, Code
from figwasp.codegen.isa import host
from figwasp.codegen.isa.x64 import baseline as machine
from figwasp.codegen.mach import NONE, STACK
from figwasp.errors import TRAP_UNREACHABLE
from figwasp.ir.types import CLASSES, V128, ir_types
from figwasp.layout import InstanceLayout
from figwasp.wasm.syntax import types as wasm
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.types import FuncType, is_ref
from figwasp.wasm.valid.state import FuncFacts

__all__ = ["Baseline", "NoTemplate"]

_LARGEST_FRAME: Final = 4096
_UNREACHABLE, _BLOCK, _LOOP, _IF, _ELSE, _END, _BR, _BR_IF, _RETURN, _CALL, _CALL_INDIRECT = (
    0x00, 0x02, 0x03, 0x04, 0x05, 0x0B, 0x0C, 0x0D, 0x0F, 0x10, 0x11,
)  # fmt: skip
_GET, _SET, _TEE = 0x20, 0x21, 0x22
_NONE, _INT, _FLOAT = -1, 0, 1
_pack = Struct("<i").pack


class NoTemplate(Exception):
    """A function has something for which there are no templates."""


class Fix:
    """What has to be done about a piece of code where it stands.

    Attributes:
        relocs, traps, positions: as of its template.
        pool: likewise.
    """

    __slots__ = ("pool", "positions", "relocs", "traps")

    def __init__(self, relocs, traps, positions, pool) -> None:  # type: ignore[no-untyped-def]
        self.relocs = relocs
        self.traps = traps
        self.positions = positions
        self.pool = pool

    def moved(self, by: int) -> Fix:
        """Return the same for code that so many bytes come before."""
        return Fix(
            [(at + by, *rest) for at, *rest in self.relocs],
            [(at + by, trap) for at, trap in self.traps],
            [(at + by, instr) for at, instr in self.positions],
            [(at + by, *rest) for at, *rest in self.pool],
        )


Piece = tuple[bytes, "State", "Fix | None"]


class State(dict[bytes, Piece]):
    """The code of runs that begin with so many operands on the stack.

    Attributes:
        depth: operands.
        top: class of the register that the topmost is in, or NONE.
        flush: what puts it into its place. flushed: the state then.
        branches: the same for runs that a conditional branch follows; the condition stands behind.
    """

    __slots__ = ("_tables", "branches", "depth", "flush", "top", "_flushed")

    def __init__(self, tables: Baseline, depth: int, top: int) -> None:
        self._tables = tables
        self.depth = depth
        self.top = top
        self.flush = b"" if top < 0 else machine.STORE_SLOT[machine.RESULT[top]].at(8 * depth - 8)
        self._flushed: State | None = self if top < 0 else None
        self.branches = Branches(self)

    @property
    def flushed(self) -> State:
        if self._flushed is None:
            self._flushed = self._tables.state(self.depth, NONE)
        return self._flushed

    def after(self, depth: int, top: int) -> State:
        return self._tables.state(depth, top)

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


class Branches(dict[bytes, tuple[bytes, State, "Fix | None", int]]):
    """The code of runs that a conditional branch follows, with the condition."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state = state

    def __missing__(self, run: bytes) -> tuple[bytes, State, Fix | None, int]:
        found = self._state._tables.branch(self._state, run)
        self[run] = found
        return found


class Label:
    __slots__ = ("arity", "branches", "height", "kind", "otherwise", "place", "results", "params")

    def __init__(self, kind: int, height: int, params: int, results: int) -> None:
        self.kind = kind
        self.height = height  # without the parameters
        self.params = params
        self.results = results
        self.arity = params if kind == _LOOP else results
        self.place = NONE
        self.branches: list[int] = []
        self.otherwise = NONE


def unsigned(data: bytes, pos: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return result, pos


def signed(data: bytes, pos: int) -> tuple[int, int]:
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

    def __init__(self, module: Module, layout_: InstanceLayout, mode: int) -> None:
        self.module = module
        self.layout = layout_
        self.mode = mode
        self._states: dict[tuple[int, int], State] = {}
        self._shapes: dict[bytes, Template] = {}
        if module.memories and (module.memories[0].address == wasm.I64 or module.memories[0].page != 16):
            raise NoTemplate("memory")

    def state(self, depth: int, top: int) -> State:
        found = self._states.get((depth, top))
        if found is None:
            found = self._states[depth, top] = State(self, depth, top)
        return found

    # Runs

    def template(self, key: bytes) -> Template:
        found = self._shapes.get(key)
        if found is None:
            try:
                found = cut.template(key, self.mode)
            except cut.Uncut as error:
                raise NoTemplate(f"{key.hex()}: {error}") from None
            self._shapes[key] = found
        return found

    def piece(self, state: State, run: bytes) -> Piece:
        """Make the code of a run."""
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
        codes, fixes = [], []
        for part in filter(None, (run[:at], run[at:end], run[end:])):
            code, state, fix = state[part]
            if fix is not None:
                fixes.append(fix.moved(sum(map(len, codes))))
            codes.append(code)
        assert len(fixes) <= 1
        return b"".join(codes), state, fixes[0] if fixes else None

    def branch(self, state: State, run: bytes) -> tuple[bytes, State, Fix | None, int]:
        """Make the code of a run that a conditional branch follows."""
        if run:
            key, locals, number, offset, special = parse(run)
            if not special and _compares(key) and -0x8000_0000 <= number < 0x8000_0000:
                try:
                    code, after, fix, condition = self._fill(state, key + b"\x0d", locals, number, offset)
                    return code, after, fix, condition
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
        code = template.code
        before = state.load(template.top) if template.takes else state.flush
        depth = state.depth
        shift = len(before)
        data = bytearray(code)
        moved: list[int] = []
        for at, size, kind, which in template.fields:
            at += len(moved) * 3
            if kind == LOCAL:
                place = 8 * locals[which] - machine.BIAS
            elif kind == SLOT:
                place = 8 * (depth - which)
            elif kind == IMMEDIATE:
                place = number
                if size == 1:
                    data[at] = number & 63  # the machine takes it modulo the width
                    continue
                if not -0x8000_0000 <= number < 0x8000_0000:
                    raise NoTemplate("immediate")
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
        if template.relocs or template.positions or template.pool:

            def move(at: int) -> int:
                return shift + at + 3 * sum(1 for place in moved if place < at)

            fix = Fix(
                [(move(at), field, kind, target) for at, field, kind, target in template.relocs],
                [(move(at), trap) for at, trap in template.traps],
                [(move(at), instr) for at, instr in template.positions],
                [(move(at), rest, constant) for at, rest, constant in template.pool],
            )
        return before + bytes(data), after, fix, template.condition

    def _instance_offset(self, which: int, number: int) -> int:
        if which == cut.INST_MEMORY:
            return self.layout.memory_base(0)
        if which == cut.INST_RECORD:
            return self.layout.memory_record(0)
        if which == cut.INST_GLOBAL:
            return self.layout.global_cell(number)
        raise AssertionError(which)

    def _special(self, state: State, run: bytes, key: bytes, locals: list[int], number: int) -> Piece:
        """Make the code of what needs no template, or one that depends on the module."""
        op = key[0]
        if op == _SET or op == _TEE:
            top = max(state.top, 0)
            code = state.load(top) + machine.STORE_LOCAL[machine.RESULT[top]].at(8 * locals[0] - machine.BIAS)
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
            code = machine.LOAD_LOCAL[machine.RESULT[_INT]].at(8 * locals[0] - machine.BIAS)
        else:
            code = machine.constant(number)
        if key[1:]:  # straight into a local
            code += machine.STORE_LOCAL[machine.RESULT[_INT]].at(8 * locals[-1] - machine.BIAS)
            return state.flush + code, state.flushed, None
        return state.flush + code, self.state(state.depth + 1, _INT), None

    # Bodies

    def compile(self, index: int, facts: FuncFacts) -> Code:
        """Compile a function.

        Raises:
            NoTemplate: there are none for all of it.
        """
        return _Body(self, index, facts).run()


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


_COMPARES: Final = frozenset([*range(0x45, 0x67)])


def _compares(key: bytes) -> bool:
    return key[-1] in _COMPARES


class _Body:
    """The state of one compilation."""

    def __init__(self, tables: Baseline, index: int, facts: FuncFacts) -> None:
        self.tables = tables
        self.module = tables.module
        self.index = index
        self.locals = ir_types(facts.locals)
        if V128 in self.locals:
            raise NoTemplate("vectors")
        self.type = self.module.func_type(index)
        self.signature = self._signature(self.type)
        self.results = ir_types(self.type.results)
        self.out: list[bytes] = []
        self.fixes: list[tuple[int, int, Fix]] = []
        self.jumps: list[tuple[int, Label]] = []
        self.calls: list[tuple[int, int, int, int, int]] = []  # piece, offset of the field in it from its end, kind, target, token
        self.polls: list[tuple[int, int]] = []
        self.tables_: list[tuple[int, int, list[int]]] = []
        self.places: dict[int, int] = {}
        self.deepest = 0
        self.epilogue = Label(_BLOCK, 0, 0, 0)
        self.spans: list[int] = []  # where tokens end

    def _signature(self, type: FuncType) -> abi.Signature:
        params, results = ir_types(type.params), ir_types(type.results)
        if V128 in params or V128 in results:
            raise NoTemplate("vectors")
        signature = abi.wasm_signature(host(), params, results)
        if signature.hidden != NONE:
            raise NoTemplate("results in memory")
        return signature

    def _block_type(self, control: bytes) -> tuple[int, int]:
        code = control[1]
        if code == 0x40:
            return 0, 0
        if code == 0x63 or code == 0x64 or (len(control) == 2 and code > 0x40):
            if code == 0x7B:
                raise NoTemplate("vectors")
            return 0, 1
        index, _ = signed(control, 1)
        if index < 0:
            raise NoTemplate("block type")
        type = self.module.signature(index)
        if wasm.V128 in type.params or wasm.V128 in type.results:
            raise NoTemplate("vectors")
        return len(type.params), len(type.results)

    def run(self) -> Code:
        module = self.module
        body = module.body(self.index)
        data = module.data
        pos = _skip_locals(data, body.start)
        end = body.end
        self.start = pos
        self.labels = [Label(_BLOCK, 0, 0, len(self.results))]
        self.state = self.tables.state(0, NONE)
        self.dead = 0
        while True:
            match = BODY.match(data, pos, end)
            assert match is not None
            stop = match.end()
            self._walk(TOKEN.findall(data, pos, stop), pos)
            pos = stop
            if pos == end:
                break
            if data[pos] != BR_TABLE:
                raise NoTemplate(f"instruction {data[pos]:#x}")
            pos = self._br_table(data, pos)
        return self._finish(end)

    def _walk(self, tokens: list[tuple[bytes, bytes]], pos: int) -> None:
        out = self.out
        push = out.append
        fixes = self.fixes
        state = self.state
        dead = self.dead
        for run, control in tokens:
            if dead:
                pos += len(run) + len(control)
                if control:
                    op = control[0]
                    if _BLOCK <= op <= _IF:
                        dead += 1
                    elif op == _END:
                        dead -= 1
                        if not dead:
                            state = self._end(state, False)
                    elif op == _ELSE and dead == 1:
                        dead = 0
                        state = self._else(state, False)
                continue
            if control:
                op = control[0]
                if op == _BR_IF or op == _IF:
                    code, state, fix, condition = state.branches[run]
                    if fix is not None:
                        fixes.append((len(out), pos, fix))
                    push(code)
                    pos += len(run) + len(control)
                    if op == _IF:
                        params, results = self._block_type(control)
                        label = Label(_IF, state.depth - params, params, results)
                        push(machine.branch(machine.opposite(condition)))
                        label.otherwise = len(out)
                        self.labels.append(label)
                    else:
                        depth = control[1]
                        if depth >= 0x80:
                            depth, _ = unsigned(control, 1)
                        self._branch_if(state, self.labels[-1 - depth], condition)
                    continue
                if run:
                    code, state, fix = state[run]
                    if fix is not None:
                        fixes.append((len(out), pos, fix))
                    push(code)
                    pos += len(run)
                    if state.depth > self.deepest:
                        self.deepest = state.depth
                if op == _END:
                    state = self._end(state, True)
                elif op == _BLOCK:
                    push(state.flush)
                    state = state.flushed
                    params, results = self._block_type(control)
                    self.labels.append(Label(_BLOCK, state.depth - params, params, results))
                elif op == _LOOP:
                    push(state.flush)
                    state = state.flushed
                    params, results = self._block_type(control)
                    label = Label(_LOOP, state.depth - params, params, results)
                    label.place = len(out)
                    self.labels.append(label)
                    self._poll(pos)
                elif op == _BR:
                    self._branch(state, self.labels[-1 - unsigned(control, 1)[0]])
                    dead = 1
                elif op == _CALL:
                    state = self._call(state, unsigned(control, 1)[0], pos)
                elif op == _CALL_INDIRECT:
                    state = self._call_indirect(state, control, pos)
                elif op == _ELSE:
                    state = self._else(state, True)
                elif op == _RETURN:
                    self._branch(state, self.labels[0])
                    dead = 1
                else:
                    self._trap(pos, TRAP_UNREACHABLE)
                    dead = 1
                pos += len(control)
            else:
                if not run:
                    break
                code, state, fix = state[run]
                if fix is not None:
                    fixes.append((len(out), pos, fix))
                push(code)
                pos += len(run)
            if state.depth > self.deepest:
                self.deepest = state.depth
        self.state = state
        self.dead = dead

    # Control

    def _end(self, state: State, live: bool) -> State:
        label = self.labels.pop()
        if not self.labels:
            if live:
                self._leave(state)
            for end in label.branches:
                self.jumps.append((end, self.epilogue))
            return state
        if live:
            self.out.append(state.flush)
        if label.kind == _IF:  # without else: parameters are results
            self.places[label.otherwise] = len(self.out)
        if label.kind != _LOOP:
            label.place = len(self.out)
        for end in label.branches:
            self.jumps.append((end, label))
        return self.tables.state(label.height + label.results, NONE)

    def _else(self, state: State, live: bool) -> State:
        label = self.labels[-1]
        if live:
            self.out.append(state.flush)
            self._jump(machine.ALWAYS, label)
        self.places[label.otherwise] = len(self.out)
        label.kind = _BLOCK
        return self.tables.state(label.height + label.params, NONE)

    def _jump(self, condition: int, label: Label) -> None:
        self.out.append(machine.branch(condition))
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
        """Return what moves the operands that a branch carries to where its label expects them; the top is in its place."""
        if label is self.labels[0] or state.depth == label.height + label.arity:
            return b""
        code = []
        for number in range(label.arity):
            source = 8 * (state.depth - label.arity + number)
            code.append(machine.LOAD_SLOT[machine.RESULT[_INT]].at(source))
            code.append(machine.STORE_SLOT[machine.RESULT[_INT]].at(8 * (label.height + number)))
        return b"".join(code)

    def _branch(self, state: State, label: Label) -> None:
        if label is self.labels[0]:
            self._leave(state)
        else:
            if label.arity:
                self.out.append(state.flush)
            self.out.append(self._moves(state, label))
        self._jump(machine.ALWAYS, label)

    def _branch_if(self, state: State, label: Label, condition: int) -> None:
        mark = len(self.out)
        if label is self.labels[0]:
            self._leave(state)
        else:
            self.out.append(self._moves(state, label))
        moves = b"".join(self.out[mark:])
        del self.out[mark:]
        if not moves:
            self._jump(condition, label)
            return
        self.out.append(machine.skip(machine.opposite(condition), len(moves) + 5) + moves)
        self._jump(machine.ALWAYS, label)

    def _br_table(self, data: bytes, pos: int) -> int:
        token = pos
        count, pos = unsigned(data, pos + 1)
        depths = []
        for _ in range(count + 1):
            depth, pos = unsigned(data, pos)
            depths.append(depth)
        if self.dead:
            return pos
        state = self.state
        code, field = machine.switch(count)
        self.out.append(state.load(_INT) + code)
        at = len(self.out)
        after = self.tables.state(state.depth - 1, NONE)
        stubs: dict[int, int] = {}
        for depth in depths:
            if depth not in stubs:
                stubs[depth] = len(self.out)
                self._branch(after, self.labels[-1 - depth])
        self.tables_.append((at, len(code) - field, [stubs[depth] for depth in depths]))
        self.dead = 1
        del token
        return pos

    def _poll(self, pos: int) -> None:
        self.out.append(machine.CHECK_STACK + machine.branch(machine.BELOW))
        self.polls.append((len(self.out), pos))

    def _trap(self, pos: int, trap: int) -> None:
        self.fixes.append((len(self.out), pos, Fix([(2, FIELD_NEAR, RELOC_STUB, STUB_TRAP)], [(6, trap)], [(6, 1)], [])))
        self.out.append(machine.CALL)

    # Calls

    def _arguments(self, state: State, type: FuncType, signature: abi.Signature) -> bytes:
        """Return what loads the arguments, which are in their places."""
        first = state.depth - len(type.params)
        size = signature.stack_bytes
        code = [machine.move_stack(size)] if size else []
        later = []
        for number, place in enumerate(signature.params):
            slot = size + 8 * (first + number)
            if place >= STACK:
                code.append(machine.LOAD_SLOT[_RAX].at(slot) + machine.STORE_SLOT[_RAX].at(8 * (place - STACK)))
            else:
                later.append(machine.LOAD_SLOT[place].at(slot))
        return b"".join(code + later)

    def _results(self, state: State, type: FuncType, signature: abi.Signature) -> State:
        depth = state.depth - len(type.params)
        count = len(type.results)
        if count == 0:
            return self.tables.state(depth, NONE)
        if count == 1:
            return self.tables.state(depth + 1, CLASSES[ir_types(type.results)[0]])
        self.out.append(b"".join(machine.STORE_SLOT[place].at(8 * (depth + number)) for number, place in enumerate(signature.results)))
        return self.tables.state(depth + count, NONE)

    def _restore(self) -> bytes:
        return machine.LOAD_LOCAL[_INSTANCE].at(8 * len(self.locals) - machine.BIAS)

    def _call(self, state: State, index: int, pos: int) -> State:
        type = self.module.func_type(index)
        signature = self._signature(type)
        arguments = state.flush + self._arguments(state, type, signature)
        out = self.out
        if index < self.module.num_imported_funcs:
            where = self.tables.layout
            out.append(
                arguments
                + machine.imported(where.imported_func(index), where.imported_instance(index))
                + machine.CALL_REFERENCE
            )
            self.calls.append((len(out), NONE, 0, 0, pos))
            out.append(self._restore())
        else:
            out.append(arguments + machine.CALL)
            self.calls.append((len(out), 4, RELOC_CELL, index, pos))
        return self._results(state, type, signature)

    def _call_indirect(self, state: State, control: bytes, pos: int) -> State:
        index, at = unsigned(control, 1)
        table, _ = unsigned(control, at)
        sub = self.module.types[index]
        if not sub.final or self.module.tables[table].address == wasm.I64:
            raise NoTemplate("call_indirect")
        type = self.module.signature(index)
        signature = self._signature(type)
        template = self.tables.template(b"\x11")
        before = state.load(_INT)
        data = bytearray(template.code)
        for place, _, _, which in template.fields:
            where = self.tables.layout.table_record(table) if which == cut.INST_TABLE else self.tables.layout.type_id(index)
            data[place : place + 4] = _pack(where)
        shift = len(before)
        self.fixes.append((
            len(self.out),
            pos,
            Fix(
                [(shift + at_, field, kind, target) for at_, field, kind, target in template.relocs],
                [(shift + at_, trap) for at_, trap in template.traps],
                [(shift + at_, instr) for at_, instr in template.positions],
                [],
            ),
        ))  # fmt: skip
        self.out.append(before + bytes(data) + machine.LOAD_CALLEE)
        after = self.tables.state(state.depth - 1, NONE)
        self.out.append(self._arguments(after, type, signature) + machine.LOAD_INSTANCE + machine.CALL_REFERENCE)
        self.calls.append((len(self.out), NONE, 0, 0, pos))
        self.out.append(self._restore())
        return self._results(after, type, signature)

    # The end

    def _finish(self, end: int) -> Code:
        count = len(self.locals)
        cells = self.deepest + count + 2
        size = 8 * cells + (8 if cells % 2 == 0 else 0)
        if size > _LARGEST_FRAME:
            raise NoTemplate("a large frame")
        pointer = 8 * self.deepest + machine.BIAS
        saved = 8 * (count + 1) - machine.BIAS
        begin, rest = machine.prologue(size, pointer, pointer + saved)
        code = [begin + machine.branch(machine.BELOW), rest]
        code.append(machine.STORE_LOCAL[_INSTANCE].at(8 * count - machine.BIAS))
        for number, place in enumerate(self.signature.params):
            local = 8 * number - machine.BIAS
            if place < STACK:
                code.append(machine.STORE_LOCAL[place].at(local))
        for number, place in enumerate(self.signature.params):
            if place >= STACK:
                local = 8 * number - machine.BIAS
                code.append(machine.LOAD_SLOT[_RAX].at(size + 8 + 8 * (place - STACK)) + machine.STORE_LOCAL[_RAX].at(local))
        params = len(self.signature.params)
        code.append(machine.clear(8 * params - machine.BIAS, count - params))
        head = [code[0], b"".join(code[1:])]
        shift = len(head)
        out = head + self.out
        self.epilogue.place = len(self.out)
        out.append(machine.epilogue(size, saved, self.signature.stack_bytes))
        slow: list[tuple[int, int]] = [(1, self.start)]  # piece behind the branch, position
        slow += [(shift + piece, pos) for piece, pos in self.polls]
        slow_places = []
        for _ in slow:
            slow_places.append(len(out))
            out.append(machine.CALL + machine.branch(machine.ALWAYS))
        starts = [0, *accumulate(map(len, out))]
        data = bytearray(b"".join(out))
        made = Code(self.module.func_name(self.index) or "", self.index)
        relocs, traps, positions = made.relocs, made.traps, made.positions

        def distance(field_end: int, goal: int) -> None:
            data[field_end - 4 : field_end] = _pack(goal - field_end)

        for (piece, pos), place in zip(slow, slow_places, strict=True):
            at = starts[place]
            distance(starts[piece], at)
            distance(starts[place + 1], starts[piece])
            relocs.append((at + 2, FIELD_NEAR, RELOC_STUB, STUB_TICK))
            positions.append((at + 6, pos))
        for piece, label in self.jumps:
            distance(starts[shift + piece], starts[shift + label.place])
        for piece, goal in self.places.items():
            distance(starts[shift + piece], starts[shift + goal])
        for piece, field, kind, target, pos in self.calls:
            at = starts[shift + piece]
            positions.append((at, pos))
            if field != NONE:
                relocs.append((at - field, FIELD_NEAR, kind, target))
        pool: dict[bytes, list[tuple[int, int]]] = {}
        for piece, pos, fix in self.fixes:
            at = starts[shift + piece]
            for offset, field_kind, kind, target in fix.relocs:
                relocs.append((at + offset, field_kind, kind, target))
            for offset, trap in fix.traps:
                traps.append((at + offset, trap))
            for offset, _instr in fix.positions:
                positions.append((at + offset, pos))
            for offset, behind, constant in fix.pool:
                pool.setdefault(constant, []).append((at + offset, behind))
        self._pushed(made, starts, shift)
        positions.sort()
        data += host().filler
        made.text_size = len(data)
        for constant in sorted(pool, key=len, reverse=True):
            data += bytes(-len(data) % len(constant))
            for at, behind in pool[constant]:
                data[at : at + 4] = _pack(len(data) - at - 4 - behind)
            data += constant
        for piece, back, goals in self.tables_:
            data += bytes(-len(data) % 4)
            start = len(data)
            at = starts[shift + piece] - back
            data[at : at + 4] = _pack(start - at - 4)
            for goal in goals:
                data += _pack(starts[shift + goal] - start)
        made.data = bytes(data)
        made.frame_size = size
        made.incoming = self.signature.stack_bytes
        made.saved = [(_RBP, pointer + saved)]
        return made

    def _pushed(self, made: Code, starts: list[int], shift: int) -> None:
        pass


_RAX: Final = machine.RESULT[_INT]
_RBP: Final = 5
_INSTANCE: Final = host().instance_reg


def _skip_locals(data: bytes, pos: int) -> int:
    count, pos = unsigned(data, pos)
    for _ in range(count):
        _, pos = unsigned(data, pos)
        if data[pos] in (0x63, 0x64):
            pos += 1
        _, pos = unsigned(data, pos)
    return pos
