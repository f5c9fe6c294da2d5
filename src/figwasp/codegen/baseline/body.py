"""Floor 3: the walk of the baseline compiler over one body: control and fuel.

In: the tokens of a body (`tokens`), the code of its runs (`pieces`). Out: a list of pieces of code, of which the last bytes may
be a distance to be filled in, and what else `ending` needs, which makes `Code` of it. Labels and branches are numbers of pieces
until then.
"""

from __future__ import annotations

from figwasp.codegen.baseline.labels import Label, Scope, brought, read_clauses
from figwasp.codegen.baseline.pieces import CALLS
from figwasp.codegen.baseline.reading import skip_block_type, skip_locals, unknown
from figwasp.codegen.baseline.template import LARGE_FRAME, NoTemplate
from figwasp.codegen.baseline.tokens import BODY, TOKEN
from figwasp.codegen.code import STUB_FUEL, STUB_HOT, STUB_TICK
from figwasp.codegen.mach import NONE
from figwasp.ir.types import CELL, CLASSES, INT, V128, ir_types
from figwasp.layout import LEFT_FRAME
from figwasp.wasm.binary.leb128 import unsigned
from figwasp.wasm.syntax.opcodes import BY_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.codegen.baseline.pieces import Fix, Pieces, State
    from figwasp.wasm.valid.state import FuncFacts

__all__ = ["Body"]

_BLOCK, _LOOP, _IF, _ELSE, _END, _BR, _BR_IF, _BR_TABLE, _RETURN, _TRY_TABLE, _THROW_REF = (
    BY_NAME[name].code
    for name in ("block", "loop", "if", "else", "end", "br", "br_if", "br_table", "return", "try_table", "throw_ref")
)
_FREE: Final = frozenset((_BLOCK, _LOOP, _ELSE, _END))
"""What costs no fuel."""
_MOST_OPERANDS: Final = LEFT_FRAME // CELL
"""More do not fit a frame; a state for each of them would be made for nothing."""
_MOST_CAUGHT: Final = 1 << 14
"""Rows of `Code.handlers`. More, and more of the next, are left to a compiler that weighs what they cost."""
_MOST_MOVED: Final = 1 << 14
"""Values that branches and clauses move from place to place."""


class Body:
    """The walk over one body, and what comes of it.

    A token is referred to by its number where something belongs at the instruction that transfers control behind it, by the
    inverse of that where it belongs at its beginning. Whatever jumps does so at the end of a piece, and is referred to by the
    number of the next.

    Attributes:
        pieces: the code of runs.
        index: of the function.
        signature, results: where its parameters and results travel, and the IR types of these.
        locals: IR types of all locals.
        out: pieces of code.
        fixes: number of a piece, token, what is to be done about it.
        slow: piece, token, stub of each branch out of line.
        counts: pieces that end in the field of a reference to the function's counter.
        switches: piece that ends in a switch, how far from its end the field is that refers to the table, pieces it leads to.
        otherwise: piece that ends in a branch, and the one that it leads to.
        scope: what is caught here, or None. scopes: those with calls in them that have ended.
        landings: pieces that end in the field of what the frame pointer is to be.
        labels: those that stand around the current instruction. closed: the others that something branches to.
        exit: the label of the function.
        counted: whether it counts how often it is called and how often its loops go round.
        deepest: most operands that have been in their places, or may be.
        begin: offset of the first instruction. cut: the tokens, where they are to be known.
    """

    __slots__ = (
        "_caught",
        "_covered",
        "_dead",
        "_module",
        "_moved",
        "_paid",
        "_payer",
        "_spent",
        "_state",
        "_tokens",
        "begin",
        "closed",
        "counted",
        "counts",
        "cut",
        "deepest",
        "exit",
        "fixes",
        "index",
        "labels",
        "landings",
        "locals",
        "otherwise",
        "out",
        "pieces",
        "results",
        "scope",
        "scopes",
        "signature",
        "slow",
        "switches",
    )

    def __init__(self, pieces: Pieces, index: int, facts: FuncFacts, counted: bool) -> None:
        """Begin with a function; the arguments are those of `compiler.Baseline`.

        Raises:
            NoTemplate: it has vectors, or results that come back in memory.
        """
        module = pieces.module
        self.pieces = pieces
        self._module = module
        self.counted = counted
        self.index = index
        self.locals = ir_types(facts.locals)
        if V128 in self.locals:
            raise NoTemplate("vectors")
        self.signature = pieces.signature(module.func_types[index])
        self.results = ir_types(module.func_type(index).results)
        self.out: list[bytes] = []
        self.fixes: list[tuple[int, int, Fix]] = []
        self.slow: list[tuple[int, int, int]] = []
        self.counts: list[int] = []
        self.switches: list[tuple[int, int, list[int]]] = []
        self.otherwise: list[tuple[int, int]] = []
        self.scope: Scope | None = None
        self.scopes: list[Scope] = []
        self.landings: list[int] = []
        self._caught = 0  # rows of `Code.handlers`
        self._moved = 0  # values that branches move
        self._covered = 0  # fixes of which it is known whether they are in a scope
        self.deepest = 0
        self.begin = 0
        self.cut: list[tuple[bytes, bytes]] = []
        self._tokens = 0  # before the current stretch
        self._dead = 0  # blocks that have begun where nothing comes, and one more
        self._paid = NONE  # the piece that pays for the current run of instructions, when fuel is counted
        self._payer = 0  # its token
        self._spent = 0  # how much
        self._state = pieces.state(0, NONE)
        self.exit = Label(0, len(self.results), self._state, self._state)
        self.labels = [self.exit]
        self.closed: list[Label] = []
        self._walk_all()

    def _walk_all(self) -> None:
        body = self._module.body(self.index)
        data = self._module.data
        self.begin = pos = skip_locals(data, body.start)
        end = body.end
        self._open_run(~0)
        while True:
            match = BODY.match(data, pos, end)
            assert match is not None
            stop = match.end()
            self._walk(TOKEN.findall(data, pos, stop))
            if stop == end:
                return
            pos = self._apart(data, stop)
            self._tokens += 1
            if self.pieces.noting:
                self.cut.append((b"", data[stop:pos]))

    def _apart(self, data: bytes, pos: int) -> int:
        """Walk over an instruction that no token has; return where it ends.

        Raises:
            NoTemplate: it is another one.
        """
        op = data[pos]
        if op == _BR_TABLE:
            return self._br_table(data, pos)
        if op == _TRY_TABLE:
            return self._try_table(data, pos)
        raise NoTemplate(unknown(data, pos))

    def _walk(self, tokens: list[tuple[bytes, bytes]]) -> None:
        """Walk over a stretch of tokens: one long loop, since calls are what costs most in CPython."""
        machine = self.pieces.machine
        out = self.out
        push = out.append
        labels = self.labels
        state = self._state
        dead = self._dead
        deepest = self.deepest
        metered = self.pieces.metered
        costs = self.pieces.costs
        for number, (run, control) in enumerate(tokens, self._tokens):
            if dead:
                if control:
                    op = control[0]
                    if _BLOCK <= op <= _IF:
                        dead += 1
                    elif op == _END:
                        dead -= 1
                        if not dead:
                            state = self._end(state, number, live=False)
                            deepest = max(deepest, state.depth)
                    elif op == _ELSE and dead == 1:
                        dead = 0
                        state = self._else(state, number, live=False)
                continue
            if not control:
                if not run:
                    break
                code, state, fix, most = state[run]
                if fix is not None:
                    self.fixes.append((len(out), number, fix))
                push(code)
                if most > deepest:
                    deepest = _checked(most)
                if metered:
                    self._spent += costs[run]
                    if run[0] in CALLS:
                        self._close_run()
                        self._open_run(~number)
                continue
            op = control[0]
            if metered:
                if run and run[0] in CALLS:
                    code, state, fix, most = state[run]
                    if fix is not None:
                        self.fixes.append((len(out), number, fix))
                    push(code)
                    if most > deepest:
                        deepest = _checked(most)
                    self._spent += costs[run]
                    self._close_run()
                    self._open_run(~number)
                    run = b""
                self._spent += costs[run] + (op not in _FREE)
            if op == _BR_IF:
                code, whole, state, fix, condition, most = state.branches[run]
                if fix is not None:
                    self.fixes.append((len(out), number, fix))
                if most > deepest:
                    deepest = _checked(most)
                label = labels[~control[1] if len(control) == 2 else ~unsigned(control, 1, 32)[0]]
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
                code, _, state, fix, condition, most = state.branches[run]
                if fix is not None:
                    self.fixes.append((len(out), number, fix))
                if most > deepest:
                    deepest = _checked(most)
                push(code)
                push(machine.branch(machine.opposite(condition)))
                label = self._open(state, control)
                label.otherwise = len(out)
                if metered:
                    self._close_run()
                    self._open_run(number)
                continue
            if run:
                code, state, fix, most = state[run]
                if fix is not None:
                    self.fixes.append((len(out), number, fix))
                push(code)
                if most > deepest:
                    deepest = _checked(most)
            if op == _END:
                state = self._end(state, number, live=True)
            elif op == _BLOCK:
                if state.top != NONE:
                    push(state.flush)
                    state = state.flushed
                self._open(state, control)
            elif op == _BR:
                self._close_run()
                self._branch(state, labels[~control[1] if len(control) == 2 else ~unsigned(control, 1, 32)[0]])
                dead = 1
            elif op == _LOOP:
                self._close_run()
                if state.top != NONE:
                    push(state.flush)
                    state = state.flushed
                label = self._open(state, control, loop=True)
                label.place = len(out)
                push(machine.POLL)
                self.slow.append((len(out), number, STUB_TICK))
                if self.counted:
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
            elif op == _THROW_REF:
                self._close_run()
                code, fix = self.pieces.throw_ref(state)
                self.fixes.append((len(out), number, fix))
                push(code)
                dead = 1
            else:
                self._close_run()
                self.fixes.append((len(out), number, self.pieces.unreachable))
                push(machine.CALL)
                dead = 1
        self._state = state
        self._dead = dead
        self._use(deepest)
        self._tokens += len(tokens)
        if self.pieces.noting:
            self.cut += tokens

    # Fuel

    def _open_run(self, token: int) -> None:
        """Begin a straight run of instructions here, which is paid for before any of them is executed."""
        if self.pieces.metered:
            self._paid = len(self.out)
            self._payer = token
            self._spent = 0
            self.out.append(b"")

    def _close_run(self) -> None:
        """End the run: control goes elsewhere now."""
        machine = self.pieces.machine
        if self._paid != NONE and self._spent:
            self.out[self._paid] = machine.pay(self._spent)
            self.slow.append((self._paid + 1, self._payer, STUB_FUEL))
        self._paid = NONE

    # Control

    def _use(self, operands: int) -> None:
        """See to it that so many operands have places.

        Raises:
            NoTemplate: they are too many for a frame.
        """
        self.deepest = max(self.deepest, _checked(operands))

    def _open(self, state: State, control: bytes, loop: bool = False) -> Label:
        """Put a label on the stack of labels; the operands are in their places."""
        params, results = self.pieces.block_type(control[1:])
        height = state.depth - params
        after = state if params == results else self.pieces.state(height + results, NONE)
        label = Label(height, params if loop else results, state, after, loop)
        self.labels.append(label)
        return label

    def _end(self, state: State, token: int, live: bool) -> State:
        label = self.labels.pop()
        out = self.out
        if not self.labels:
            self._close_run()
            if live:
                out.append(self._leave(state))
            label.place = len(out)
            self.closed.append(label)
            return state
        if live and state.top != NONE:
            out.append(state.flush)
        scope = label.scope
        if scope is not None:
            self._cover()
            self.scope = scope.around
            if scope.calls or scope.jumps:
                self._close_run()
                if live:
                    self._jump(label)
                    live = False
                self._land(scope, label.height)
        if label.otherwise != NONE:  # without else: parameters are results
            self.otherwise.append((label.otherwise, len(out)))
        if label.branches:
            if not label.loop:
                label.place = len(out)
            self.closed.append(label)
        if self.pieces.metered and (not live or label.otherwise != NONE or (label.branches and not label.loop)):
            self._close_run()
            self._open_run(token)
        return label.after

    def _try_table(self, data: bytes, pos: int) -> int:
        end = skip_block_type(data, pos + 1)
        clauses, after = read_clauses(data, end)
        if self._dead:
            self._dead += 1
            return after
        state = self._state
        if state.top != NONE:
            self.out.append(state.flush)
            self._state = state.flushed
        self._cover()
        scope = Scope(self.scope, clauses, self.labels, self.pieces.layout) if clauses else None
        self._open(self._state, data[pos:end]).scope = scope
        self.scope = scope or self.scope
        return after

    def _cover(self) -> None:
        """Count the calls since the last time to the scope here."""
        fixes = self.fixes
        if self.scope is not None:
            self.scope.calls += [(piece, fix.call) for piece, _, fix in fixes[self._covered :] if fix.call]
        self._covered = len(fixes)

    def _land(self, scope: Scope, height: int) -> None:
        """Append the landing pad of a scope with so many operands below it."""
        self._caught += max(len(scope.calls), 1) * scope.count
        if self._caught > _MOST_CAUGHT:
            raise NoTemplate("so many clauses")
        machine, out = self.pieces.machine, self.out
        self.scopes.append(scope)
        self.otherwise += [(jump, len(out)) for jump in scope.jumps]
        scope.pad = len(out)
        out.append(machine.LAND)
        self.landings.append(len(out))
        out.append(machine.give_back(len(self.locals)))
        for number, (kind, tag, label) in enumerate(scope.clauses):
            behind = 0
            if scope.outer is not None or number + 1 < len(scope.clauses):
                out.append(machine.unless_clause(number))
                behind = len(out)
            code, depth = brought(self.pieces, kind, tag, height)
            self._use(depth)
            self._move(depth - height)
            out.append(code)
            self._branch(self.pieces.state(depth, NONE), label)
            if behind:
                self.otherwise.append((behind, len(out)))
        if scope.outer is not None:
            out.append(machine.pass_on(len(scope.clauses)) + machine.JUMP)
            scope.outer.jumps.append(len(out))

    def _else(self, state: State, token: int, live: bool) -> State:
        label = self.labels[-1]
        if live:
            self._close_run()
            if state.top != NONE:
                self.out.append(state.flush)
            self._jump(label)
        self.otherwise.append((label.otherwise, len(self.out)))
        label.otherwise = NONE
        self._open_run(token)
        return label.begin

    def _jump(self, label: Label) -> None:
        machine = self.pieces.machine
        self.out.append(machine.JUMP)
        label.branches.append(len(self.out))

    def _leave(self, state: State) -> bytes:
        """Return what loads the results into their registers."""
        machine = self.pieces.machine
        count = len(self.results)
        if count == 1:
            return state.load(CLASSES[self.results[0]])
        slots = range(state.depth - count, state.depth)
        loads = [machine.LOAD_SLOT[register].at(CELL * slot) for slot, register in zip(slots, self.signature.results)]
        return b"".join([state.flush, *loads]) if count else b""

    def _moves(self, state: State, label: Label) -> bytes:
        """Return what moves the operands that a branch carries to where its label expects them."""
        machine = self.pieces.machine
        if label is self.exit:
            return self._leave(state)
        if state.depth == label.height + label.arity:
            return state.flush
        moves = [state.flush]
        self._move(label.arity)
        for number in range(label.arity):
            moves.append(machine.LOAD_SLOT[machine.THROUGH].at(CELL * (state.depth - label.arity + number)))
            moves.append(machine.STORE_SLOT[machine.THROUGH].at(CELL * (label.height + number)))
        return b"".join(moves)

    def _move(self, values: int) -> None:
        """Count values that are moved, by instructions of a few bytes however many they are.

        Raises:
            NoTemplate: there is too much of that.
        """
        self._moved += values
        if self._moved > _MOST_MOVED:
            raise NoTemplate("so many values of branches")

    def _branch(self, state: State, label: Label) -> None:
        if label.arity:
            self.out.append(self._moves(state, label))
        self._jump(label)

    def _branch_if(self, state: State, label: Label, condition: int) -> None:
        machine = self.pieces.machine
        moves = self._moves(state, label)
        if moves:
            self.out.append(machine.skip(machine.opposite(condition), len(moves) + len(machine.JUMP)) + moves)
            self._jump(label)
        else:
            self.out.append(machine.branch(condition))
            label.branches.append(len(self.out))

    def _br_table(self, data: bytes, pos: int) -> int:
        machine = self.pieces.machine
        count, pos = unsigned(data, pos + 1, 32)
        depths = []
        for _ in range(count + 1):
            depth, pos = unsigned(data, pos, 32)
            depths.append(depth)
        if self._dead:
            return pos
        self._spent += 1
        self._close_run()
        code, field = machine.switch(count)
        self.out.append(self._state.load(INT) + code)
        at = len(self.out)
        after = self.pieces.state(self._state.depth - 1, NONE)
        ways: dict[int, int] = {}
        for depth in depths:
            if depth not in ways:
                ways[depth] = len(self.out)
                self._branch(after, self.labels[~depth])
        self.switches.append((at, len(code) - field, [ways[depth] for depth in depths]))
        self._dead = 1
        return pos


def _checked(operands: int) -> int:
    """Return how many operands there are places for.

    Raises:
        NoTemplate: they are too many for a frame.
    """
    if operands > _MOST_OPERANDS:
        raise NoTemplate(LARGE_FRAME)
    return operands
