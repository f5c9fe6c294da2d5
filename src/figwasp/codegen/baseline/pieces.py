"""Floor 3: the code of runs, by their bytes: made of templates when they are first met, and looked up from then on.

In: the bytes of a run, and the state of the operands in front of it. Out: its code, the state behind it, and what has to be
done about that code where it stands. A state is how many operands there are, and whether the topmost is in the register of its
class: that is all that the code of a run depends on, beside the module.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.codegen import abi
from figwasp.codegen.baseline.reading import Run
from figwasp.codegen.baseline.template import (
    IMMEDIATE,
    INST_GLOBAL,
    INST_MEMORY,
    INST_TABLE,
    LOCAL,
    OFFSET,
    SLOT,
    NoTemplate,
    Template,
)
from figwasp.codegen.baseline.tokens import COMPARISONS, INSTRUCTION
from figwasp.codegen.code import FIELD_NEAR, RELOC_BUILTIN, RELOC_CELL, RELOC_STUB, STUB_TRAP
from figwasp.codegen.isa import host
from figwasp.codegen.mach import NONE, STACK
from figwasp.errors import TRAP_NULL_EXCEPTION, TRAP_UNREACHABLE
from figwasp.ir import builtins
from figwasp.ir.types import CELL, CLASSES, INT, V128, ir_types
from figwasp.wasm.binary.leb128 import signed, unsigned
from figwasp.wasm.syntax import types as wasm
from figwasp.wasm.syntax.opcodes import BY_NAME
from figwasp.wasm.syntax.types import is_ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.layout import InstanceLayout
    from figwasp.wasm.syntax.module import Module

    Made = tuple[bytes, "State", "Fix | None"]
    """Code, the state behind it, and what has to be done about it."""
    Piece = tuple[bytes, "State", "Fix | None", int]
    """The same of a run, and the most operands that it has in their places: before, behind or within it."""
    Branch = tuple[bytes, bytes, "State", "Fix | None", int, int]
    """The code of a run that a conditional branch follows, the same with the branch; state, fix, condition of that, operands."""

__all__ = ["CALLS", "IMPORTED", "Fix", "Pieces", "State"]

_GET: Final = BY_NAME["local.get"].code
_SET: Final = BY_NAME["local.set"].code
_TEE: Final = BY_NAME["local.tee"].code
_DROP: Final = BY_NAME["drop"].code
_NOP: Final = BY_NAME["nop"].code
_GLOBALS: Final = (BY_NAME["global.get"].code, BY_NAME["global.set"].code)
IMPORTED: Final = b"\1"
"""Behind the opcode of an access to an imported global, in keys of templates."""
_MOVED: Final = {
    _GET: 64, BY_NAME["i32.const"].code: 32, BY_NAME["i64.const"].code: 64,
    BY_NAME["f32.const"].code: 32, BY_NAME["f64.const"].code: 64,
}  # fmt: skip
"""What pushes an operand as it is -> bits of that."""
_ALONE: Final = frozenset((_SET, _TEE, _DROP, _NOP, *_GLOBALS))
_CALL: Final = BY_NAME["call"].code
_CALL_INDIRECT: Final = BY_NAME["call_indirect"].code
CALLS: Final = (_CALL, _CALL_INDIRECT)
_BRANCH: Final = bytes((BY_NAME["br_if"].code,))
_PREFIX: Final = 0xFC
_FIRST_BULK: Final = 0x08
_LONG: Final = 0x80
_COUNT_MASK: Final = 63  # of bits to shift by; the machine takes them modulo the width
_LARGEST: Final = 8  # bytes of an access
_WIDER: Final = 3  # bytes that a field takes more when a byte does not suffice


class Fix:
    """What has to be done about a piece of code where it stands.

    Attributes:
        relocs, traps, positions, pool: as of its template; in positions 0 stands for what transfers control behind a run.
        call: the return address of a call of wasm in it, as an offset; 0 if there is none.
    """

    __slots__ = ("call", "pool", "positions", "relocs", "traps")

    def __init__(
        self,
        relocs: list[tuple[int, int, int, int]],
        traps: list[tuple[int, int]],
        positions: list[tuple[int, int]],
        pool: list[tuple[int, int, bytes]],
        call: int = 0,
    ) -> None:
        self.call = call
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

    @classmethod
    def of(cls, template: Template, shift: int, widened: list[int]) -> Fix:
        """Return what has to be done about a template behind so many bytes, in which fields at some places have become wide."""

        def move(at: int) -> int:
            return shift + at + _WIDER * sum(1 for place in widened if place < at)

        return cls(
            [(move(at), field, kind, target) for at, field, kind, target in template.relocs],
            [(move(at), trap) for at, trap in template.traps],
            [(move(at), instr) for at, instr in template.positions],
            [(move(at), rest, constant) for at, rest, constant in template.pool],
        )


class State(dict[bytes, "Piece"]):
    """The code of runs in front of which there are so many operands.

    Attributes:
        depth: operands.
        top: class of the register that the topmost is in, or NONE.
        flush: what puts that into its place.
        branches: the code of runs that a conditional branch follows.
    """

    __slots__ = ("_flushed", "_pieces", "branches", "depth", "flush", "top")

    def __init__(self, pieces: Pieces, depth: int, top: int) -> None:
        machine = pieces.machine
        self._pieces = pieces
        self.depth = depth
        self.top = top
        self.flush: bytes = b"" if top == NONE else machine.STORE_SLOT[machine.RESULT[top]].at(CELL * (depth - 1))
        self._flushed: State | None = self if top == NONE else None
        self.branches = _Branches(pieces, self)

    @property
    def flushed(self) -> State:
        """The state behind `flush`."""
        if self._flushed is None:
            self._flushed = self._pieces.state(self.depth, NONE)
        return self._flushed

    def load(self, wanted: int) -> bytes:
        """Return what brings the topmost operand into the register of a class."""
        if self.top == wanted:
            return b""
        machine = self._pieces.machine
        code: bytes = machine.INT_FROM_FLOAT if wanted == INT else machine.FLOAT_FROM_INT
        if self.top == NONE:
            code = machine.LOAD_SLOT[machine.RESULT[wanted]].at(CELL * (self.depth - 1))
        return code

    def __missing__(self, run: bytes) -> Piece:
        piece = self[run] = self._pieces.make(self, run)
        return piece


class _Branches(dict[bytes, "Branch"]):
    """The code of runs that a conditional branch follows, in a state."""

    __slots__ = ("_pieces", "_state")

    def __init__(self, pieces: Pieces, state: State) -> None:
        self._pieces = pieces
        self._state = state

    def __missing__(self, run: bytes) -> Branch:
        (code, after, fix, most), condition = self._pieces.make_branch(self._state, run)
        found = self[run] = code, code + self._pieces.machine.branch(condition), after, fix, condition, most
        return found


class _Costs(dict[bytes, int]):
    """The fuel that runs take."""

    __slots__ = ()

    def __missing__(self, run: bytes) -> int:
        found = self[run] = sum(instr[0] != _NOP for instr in INSTRUCTION.findall(run))
        return found


class Pieces:
    """The code of the runs of a module.

    Attributes:
        module: the module.
        machine: what stands between templates.
        unreachable: what has to be done about a call of the trap.
        metered: whether the code counts fuel.
        noting: whether it is to be told where code traps and calls.
        costs: the fuel that a run takes.
        count: how much has been made.
        layout: where things lie in the instance block.
    """

    __slots__ = (
        "_block_types",
        "_mode",
        "_signatures",
        "_states",
        "_templates",
        "costs",
        "count",
        "layout",
        "machine",
        "metered",
        "module",
        "noting",
        "unreachable",
    )

    def __init__(self, module: Module, layout_: InstanceLayout, mode: int, metered: bool, *, noting: bool) -> None:
        """Begin with a module that has been validated, but for its bodies; the arguments are those of `compiler.Baseline`.

        With `noting` it is told as well where code traps and calls. The bytes are the same.

        Raises:
            NoTemplate: there are none for accesses to its memory.
        """
        machine = host().baseline()
        self.module = module
        self.machine = machine
        end = len(machine.CALL)
        self.unreachable = Fix([(machine.CALL_FIELD, FIELD_NEAR, RELOC_STUB, STUB_TRAP)], [(end, TRAP_UNREACHABLE)], [(end, 0)], [])
        self.metered = metered
        self.noting = noting
        self.costs = _Costs()
        self.count = 0
        self.layout = layout_
        self._mode = mode
        self._states: dict[tuple[int, int], State] = {}
        self._templates: dict[bytes, Template] = {}
        self._signatures: dict[int, abi.Signature] = {}
        self._block_types: dict[bytes, tuple[int, int]] = {}
        if module.memories and (module.memories[0].address == wasm.I64 or 1 << module.memories[0].page != layout.PAGE_SIZE):
            raise NoTemplate("a memory with addresses of 64 bits, or with pages of another size")

    def forget(self) -> None:
        """Forget all code."""
        for state in self._states.values():  # which refer to each other
            state.clear()
            state.branches.clear()
        self._states.clear()
        self.costs.clear()
        self.count = 0

    def state(self, depth: int, top: int) -> State:
        """Return the state with so many operands, the topmost in the register of a class or, with NONE, in its place."""
        found = self._states.get((depth, top))
        if found is None:
            found = self._states[depth, top] = State(self, depth, top)
        return found

    def signature(self, type: int) -> abi.Signature:
        """Return where values of a function type travel.

        Raises:
            NoTemplate: some are vectors, or come back in memory.
        """
        found = self._signatures.get(type)
        if found is None:
            func = self.module.signature(type)
            params, results = ir_types(func.params), ir_types(func.results)
            if V128 in params + results:
                raise NoTemplate("vectors")
            found = abi.wasm_signature(host(), params, results)
            if found.hidden != NONE:
                raise NoTemplate("more results than registers return")
            self._signatures[type] = found
        return found

    def block_type(self, written: bytes) -> tuple[int, int]:
        """Return how many parameters and results a block type has, as it is written.

        Raises:
            NoTemplate: some are vectors.
        """
        found = self._block_types.get(written)
        if found is None:
            found = self._block_types[written] = self._read_block_type(written)
        return found

    def _read_block_type(self, written: bytes) -> tuple[int, int]:
        code = written[0]
        if code == wasm.EMPTY:
            return 0, 0
        if wasm.EMPTY < code < _LONG:
            if code == wasm.TYPE_CODES["v128"]:
                raise NoTemplate("vectors")
            return 0, 1
        type = self.module.signature(unsigned(written, 0, 32)[0])
        if wasm.V128 in type.params + type.results:
            raise NoTemplate("vectors")
        return len(type.params), len(type.results)

    # Runs

    def template(self, key: bytes) -> Template:
        """Return the template for opcodes.

        Raises:
            NoTemplate: there is none.
        """
        found = self._templates.get(key)
        if found is None:
            columns = (self._mode == layout.CHECKED and self.machine.CHECKED.get(key)) or self.machine.TEMPLATES.get(key)
            if columns is None:
                raise NoTemplate(f"the opcodes {key.hex(' ')}")
            found = self._templates[key] = Template(*columns)
        return found

    def make(self, state: State, run: bytes) -> Piece:
        """Make the code of a run.

        Raises:
            NoTemplate: there are none for it.
        """
        self.count += 1
        op = run[0]
        if op == _CALL:
            return _piece(state, self._call(state, unsigned(run, 1, 32)[0]))
        if op == _CALL_INDIRECT:
            return _piece(state, self._call_indirect(state, run))
        if self.metered and op == _PREFIX and run[1] >= _FIRST_BULK:
            raise NoTemplate("bulk operations where fuel is counted")
        read = Run(run)
        if op in _ALONE or _is_move(read.key):
            return _piece(state, self._move(state, read))
        if not _fits(read.number):
            return self._in_parts(state, run)
        return _piece(state, self._fill(state, read.key, read)[0])

    def make_branch(self, state: State, run: bytes) -> tuple[Piece, int]:
        """Make the code of a run that a conditional branch follows; return it with the condition.

        Raises:
            NoTemplate: there are none for it.
        """
        machine = self.machine
        self.count += 1
        if run and run[0] not in CALLS:
            read = Run(run)
            key = read.key + _BRANCH
            if read.key[-1] in COMPARISONS and _fits(read.number) and key in machine.TEMPLATES:
                made, condition = self._fill(state, key, read)
                return _piece(state, made), condition
        code, after, fix, most = state[run] if run else (b"", state, None, state.depth)
        rest = self.state(after.depth - 1, NONE)
        code += machine.test_slot(CELL * rest.depth) if after.top == NONE else after.load(INT) + machine.TEST
        return (code, rest, fix, most), machine.TRUE

    def _in_parts(self, state: State, run: bytes) -> Piece:
        """Make the code of a run whose constant is too large for an instruction: of what is before it, of itself, of the rest."""
        at = unsigned(run, 1, 32)[1] if run[0] == _GET else 0
        end = signed(run, at + 1, 64)[1]
        code, fix, most = b"", None, 0
        for before, part in enumerate(filter(None, (run[:at], run[at:end], run[end:]))):
            more, state, own, operands = state[part]
            most = max(most, operands)
            if own is not None:  # of the rest alone
                fix = own.moved(len(code), before)
            code += more
        return code, state, fix, most

    def _fill(self, state: State, key: bytes, run: Run) -> tuple[Made, int]:
        """Make code of a template; return it with the template's condition."""
        machine = self.machine
        template = self.template(key)
        before = state.load(template.top) if template.takes else state.flush
        data = bytearray(template.code)
        widened: list[int] = []
        for at, size, kind, which in template.fields:
            place = at + _WIDER * len(widened)
            if kind == LOCAL:
                value = CELL * run.locals[which] + machine.FIRST_LOCAL
            elif kind == SLOT:
                value = CELL * (state.depth - which)
            elif kind == IMMEDIATE:
                value = run.number
                if size == 1:
                    value &= _COUNT_MASK
            elif kind == OFFSET:
                value = run.offset
                if value >= (layout.LEAST_MARGIN - _LARGEST if self._mode == layout.CHECKED else 1 << 31):
                    raise NoTemplate("an access with a large offset")
            else:
                value = self._offset(which, run.number)
            if size == 1 and not -0x80 <= value < 0x80:
                machine.widen(data, place, kind == SLOT)
                widened.append(at)
                size = 4
            data[place : place + size] = value.to_bytes(size, "little", signed=True)
        after = self.state(state.depth - template.takes + (template.result != NONE), template.result)
        fix = None
        if template.relocs or template.pool or (self.noting and template.positions):
            fix = Fix.of(template, len(before), widened)
        return (before + bytes(data), after, fix), template.condition

    def _offset(self, which: int, number: int) -> int:
        """Return an offset in the instance block, of what a run names by a number."""
        where = self.layout
        if which == INST_GLOBAL:
            return where.global_cell(number)
        return where.memory_base(0) if which == INST_MEMORY else where.memory_record(0)

    def _move(self, state: State, run: Run) -> Made:
        """Make the code of what moves an operand as it is, or drops it."""
        machine = self.machine
        op = run.key[0]
        if op in _GLOBALS:
            return self._global(state, run)
        if op == _SET or op == _TEE:
            top = INT if state.top == NONE else state.top
            code = state.load(top) + machine.STORE_LOCAL[machine.RESULT[top]].at(CELL * run.locals[0] + machine.FIRST_LOCAL)
            return code, self.state(state.depth, top) if op == _TEE else self.state(state.depth - 1, NONE), None
        if op == _DROP:
            return b"", self.state(state.depth - 1, NONE), None
        if op == _NOP:
            return b"", state, None
        if op == _GET:
            code = machine.LOAD_LOCAL[machine.RESULT[INT]].at(CELL * run.locals[0] + machine.FIRST_LOCAL)
        else:
            code = machine.constant(run.number & (1 << _MOVED[op]) - 1)
        if len(run.key) > 1:  # into a local
            code += machine.STORE_LOCAL[machine.RESULT[INT]].at(CELL * run.locals[-1] + machine.FIRST_LOCAL)
            return state.flush + code, state.flushed, None
        return state.flush + code, self.state(state.depth + 1, INT), None

    def _global(self, state: State, run: Run) -> Made:
        kind = self.module.globals[run.number]
        if is_ref(kind.type) or kind.type == wasm.V128:
            raise NoTemplate("a reference or a vector in a global")
        own = run.number >= self.module.num_imported_globals
        return self._fill(state, run.key if own else run.key + IMPORTED, run)[0]

    # Calls

    def _call(self, state: State, index: int) -> Made:
        machine = self.machine
        type = self.module.func_types[index]
        where = self.layout
        if index < self.module.num_imported_funcs:
            call = machine.imported(where.imported_func(index), where.imported_instance(index)) + machine.CALL_REFERENCE
            return self._finish_call(state.flush, state.flushed, type, call, Fix([], [], [], []), leaves=True)
        fix = Fix([(machine.CALL_FIELD, FIELD_NEAR, RELOC_CELL, index)], [], [], [])
        return self._finish_call(state.flush, state.flushed, type, machine.CALL, fix, leaves=False)

    def _call_indirect(self, state: State, run: bytes) -> Made:
        machine = self.machine
        type, at = unsigned(run, 1, 32)
        table, _ = unsigned(run, at, 32)
        if not self.module.types[type].final or self.module.tables[table].address == wasm.I64:
            raise NoTemplate("a call of a type with subtypes, or through a table with indices of 64 bits")
        template = self.template(bytes((_CALL_INDIRECT,)))
        load = state.load(INT)
        data = bytearray(template.code)
        for place, size, _, which in template.fields:
            value = self.layout.table_record(table) if which == INST_TABLE else self.layout.type_id(type)
            data[place : place + size] = value.to_bytes(size, "little")
        checks = load + bytes(data) + machine.LOAD_CALLEE
        call = machine.LOAD_INSTANCE + machine.CALL_REFERENCE
        code, after, fix = self._finish_call(
            checks, self.state(state.depth - 1, NONE), type, call, Fix([], [], [], []), leaves=True
        )
        checked = Fix.of(template, len(load), [])
        checked.positions += fix.positions
        checked.call = fix.call
        return code, after, checked

    def throw_ref(self, state: State) -> tuple[bytes, Fix]:
        """Return what throws the exception that the topmost operand refers to, for the end of a run."""
        machine = self.machine
        check = state.load(INT) + machine.SKIP_IF_REFERENCE
        trapped = len(check) + len(machine.CALL)
        thrown = trapped + len(machine.CALL)
        relocs = [
            (len(check) + machine.CALL_FIELD, FIELD_NEAR, RELOC_STUB, STUB_TRAP),
            (trapped + machine.CALL_FIELD, FIELD_NEAR, RELOC_BUILTIN, builtins.THROW),
        ]
        fix = Fix(relocs, [(trapped, TRAP_NULL_EXCEPTION)], [(trapped, 0), (thrown, 0)], [], thrown)
        return check + machine.CALL + machine.CALL, fix

    def _finish_call(
        self, before: bytes, state: State, type: int, call: bytes, fix: Fix, leaves: bool
    ) -> tuple[bytes, State, Fix]:
        """Return a call with all around it: the arguments are in their places."""
        machine = self.machine
        func, signature = self.module.signature(type), self.signature(type)
        depth = state.depth - len(func.params)
        size = signature.stack_bytes
        code = [before]
        if size:
            code.append(machine.move_stack(size))
        through = machine.RESULT[INT]
        registers = []
        for number, place in enumerate(signature.params):
            slot = size + CELL * (depth + number)
            if place >= STACK:
                code.append(machine.LOAD_SLOT[through].at(slot) + machine.STORE_SLOT[through].at(CELL * (place - STACK)))
            else:
                registers.append(machine.LOAD_SLOT[place].at(slot))
        code += registers
        at = sum(map(len, code))
        code.append(call)
        fix = fix.moved(at)
        fix.call = at + len(call)
        if self.noting:
            fix.positions.append((fix.call, 1))
        if leaves:
            code.append(machine.RESTORE_INSTANCE)
        count = len(func.results)
        if count > 1:
            code += [machine.STORE_SLOT[place].at(CELL * (depth + number)) for number, place in enumerate(signature.results)]
        after = self.state(depth + count, CLASSES[ir_types(func.results)[0]] if count == 1 else NONE)
        return b"".join(code), after, fix


def _piece(state: State, made: Made) -> Piece:
    """Return code as a piece: it has a place for each operand in front of it and behind it."""
    code, after, fix = made
    return code, after, fix, max(state.depth, after.depth)


def _fits(number: int) -> bool:
    """Tell whether a constant fits an instruction: 32 bits with a sign."""
    return -0x8000_0000 <= number < 0x8000_0000


def _is_move(key: bytes) -> bool:
    """Tell whether opcodes are those of a local or a constant that is pushed or goes into a local."""
    return key[0] in _MOVED and (len(key) == 1 or (len(key) == 2 and key[1] == _SET))
