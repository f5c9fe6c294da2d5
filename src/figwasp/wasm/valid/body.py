"""Type checking of function bodies (spec 3.4, 3.5.3 and the algorithm of appendix A.3). Floor 1.

Goes in: what is known of a module, and the index of a function. Comes out: `FuncFacts`, or `Malformed` for bytes that are no
instructions, or `Invalid` for instructions that do not fit together.

Theory of operation. One walk over the bytes, no recursion. The operand stack holds value types; the topmost one is kept in
a local variable (`top`), so that most instructions touch the list once or not at all. Every block puts BARRIER on the
stack before its operands: a comparison of the top with the expected type then also fails where the block's part of the
stack is empty, and the fast paths need no test of the height. They ask for equality; whatever fails there goes to
`Checker.pop`, which knows of subtypes and of unreachable code: it lets missing operands be of any type, and matches ANY and
ANY_REF, what some instructions leave there, with everything or with every reference.

Reading beyond the body raises IndexError because the body is a slice of its own, and so does an index into a list of
locals, labels, functions or globals; `explain` finds out which one it was. Long integers are read from the whole binary,
so that what the readers report carries its offset there.

Locals of types without a default value have to be assigned before they are read. Such a local reads as UNSET until then,
in a list of their own, and `inits` remembers in which order they were assigned: the end of a block takes back what it added.
"""

from __future__ import annotations

from figwasp.errors import LimitExceeded, Malformed
from figwasp.wasm.binary.leb128 import signed, unsigned
from figwasp.wasm.syntax import limits
from figwasp.wasm.syntax.types import I32, Types
from figwasp.wasm.valid.context import Context
from figwasp.wasm.valid.control import close_with_delegate, read_catch
from figwasp.wasm.valid.state import BARRIER, DELEGATES, Checker, FuncFacts, Mismatch, show
from figwasp.wasm.valid.steps import UNSET, enter_try, explain, memarg, other, take_back
from figwasp.wasm.valid.tables import (
    BINARY,
    BLOCK,
    BRANCH,
    CALL,
    CATCH_CLAUSE,
    CONST,
    END,
    GLOBAL,
    LOAD,
    LOCAL,
    STORE,
    UNARY,
    Tables,
    tables_for,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["check_body"]

_I32: Final[Types] = (I32,)
_NO_ALIGN: Final = [-1] * 256
_DELEGATE: Final = 0x18
_BYTES_PER_BLOCK: Final = 120


def check_body(context: Context, index: int) -> FuncFacts:
    """Check the body of a defined function, by its index among all functions, and return the facts.

    Raises:
        Malformed: its bytes are not instructions.
        Invalid: the instructions break a rule of validation.
        LimitExceeded: the function has too many locals, or is out of proportion in another way.
    """
    checker = Checker(context)
    checker.open_body(index)
    return _check(checker, tables_for(context.module.features))


def _check(checker: Checker, tables: Tables) -> FuncFacts:
    """Walk the instructions. Flat by design: one branch per action, the frequent ones first."""
    code = checker.code
    data = checker.data
    base = checker.base
    facts = checker.facts
    local_types = facts.locals
    written_in = facts.written
    module = checker.module
    context = checker.context
    callees = context.callees
    called = facts.callees
    globals_ = module.globals
    action = tables.action
    operand = tables.operand
    result = tables.result
    block_types = tables.blocks
    ends = tables.ends
    # Without a memory no alignment is small enough for the fast path, which is for the first memory.
    align = tables.align if module.memories else _NO_ALIGN
    address_0 = module.memories[0].address if module.memories else I32
    labels = checker.labels
    stack = checker.stack
    push = stack.append
    pop = stack.pop
    most = limits.MAX_STACK
    outer = checker.outer
    readable = list(local_types)
    inits: list[int] = []
    marks = [0]
    guarded = bool(checker.unset)
    for first, count in checker.unset:
        readable[first : first + count] = [UNSET] * count
    # The innermost block: its opcode, parameters, results, stack below its barrier, whether the end of what has
    # been read of it is unreachable, locals written, offset.
    block_op = 0
    params: Types = ()
    results = labels[0]
    height = 0
    dead = False
    written = 0
    block_at = -1
    uses_first = False
    written_size = 0
    last_written = 0
    top = BARRIER
    pos = checker.start
    at = pos
    try:
        for num_ops in range(1, len(code) + 2):  # noqa: B007 (counts for free; an instruction has a byte at least)
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
                top = readable[index]
                if top < 0:
                    raise Mismatch(f"uninitialized local {index}")
                continue
            act = action[op]
            if act == CONST:
                push(top)
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
                    checker.pop((type_, type_), height, dead)
                    top = result[op]
            elif act == LOCAL:
                index = code[pos]
                pos += 1
                if index >= 0x80:
                    index, pos = unsigned(data, base + pos - 1, 32)
                    pos -= base
                type_ = local_types[index]
                written |= 1 << index
                if guarded and readable[index] < 0:
                    readable[index] = type_
                    inits.append(index)
                if op == 0x21:
                    if top == type_:
                        top = pop()
                    else:
                        push(top)
                        checker.pop((type_,), height, dead)
                        top = pop()
                elif top != type_:
                    push(top)
                    checker.pop((type_,), height, dead)
                    top = type_
            elif act == UNARY:
                if top != operand[op]:
                    push(top)
                    checker.pop((operand[op],), height, dead)
                top = result[op]
            elif act == LOAD or act == STORE:
                address = address_0
                if code[pos] <= align[op]:
                    uses_first = True
                    byte = code[pos + 1]
                    pos += 2
                    if byte >= 0x80:
                        if code[pos] < 0x80:
                            pos += 1
                        elif code[pos + 1] < 0x80:
                            pos += 2
                        else:
                            pos, address = memarg(checker, op, pos - 2)
                else:
                    pos, address = memarg(checker, op, pos)
                if act == LOAD:
                    if top != address:
                        push(top)
                        checker.pop((address,), height, dead)
                    top = result[op]
                elif top == operand[op] and stack[-1] == address:
                    pop()
                    top = pop()
                else:
                    push(top)
                    checker.pop((address, operand[op]), height, dead)
                    top = pop()
            elif act == END:
                if top == BARRIER and not results:
                    top = pop() if stack else BARRIER
                elif len(results) == 1 and top == results[0] and stack[-1] == BARRIER:
                    pop()
                else:
                    push(top)
                    checker.pop_all(results, height, dead)
                    stack += results
                    top = pop()
                    stack.pop(height)  # the barrier; there are results, or `pop_all` had raised
                if block_op == 0x04 and params != results and not checker.sequence_matches(params, results):
                    raise Mismatch(f"type mismatch: if without else must give back {show(params)}")
                if op == _DELEGATE:
                    checker.block_op = block_op
                    pos = close_with_delegate(checker, pos)
                    facts.clauses[block_at] = [DELEGATES - checker.read_u32(at + 1)[0]]
                if guarded:
                    take_back(readable, inits, marks.pop())
                # Never a new number where an old one will do: each may be as long as there are locals.
                if written != last_written:
                    last_written = written
                    written_size += written.bit_length()
                    if written_size > limits.MAX_WRITTEN << 3:
                        raise LimitExceeded(f"function {checker.index} writes too many locals in too many blocks")
                written_in[block_at] = last_written
                labels.pop()
                if not outer:
                    break
                block_op, params, results, height, dead, written, block_at = outer.pop()
                if not written:
                    written = last_written
                elif last_written:
                    written |= last_written
            elif act == BLOCK:
                block = block_types[code[pos]]
                pos += 1
                enters: Types = ()
                if block is None:
                    enters, block, pos = checker.block_type(pos - 1)
                if op > 0x04:
                    pos = enter_try(checker, op, at, pos)
                if op == 0x04:
                    if top == I32:
                        top = pop()
                    else:
                        push(top)
                        checker.pop(_I32, height, dead)
                        top = pop()
                push(top)
                if enters:
                    checker.pop(enters, height, dead)
                if guarded:
                    marks.append(len(inits))
                outer.append((block_op, params, results, height, dead, written, block_at))
                block_op = op
                params = enters
                results = block
                height = len(stack)
                dead = False
                written = 0
                block_at = base + at
                top = BARRIER
                labels.append(enters if op == 0x03 else block)
                if enters:
                    push(BARRIER)
                    checker.push(enters)
                    top = pop()
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
                        checker.pop(_I32, height, dead)
                        top = pop()
                    if label:
                        push(top)
                        checker.pop(label, height, dead)
                        stack += label
                        top = pop()
                else:
                    if label:
                        push(top)
                        checker.pop(label, height, dead)
                    del stack[height:]
                    top = BARRIER
                    dead = True
            elif act == CALL:
                index = code[pos]
                pos += 1
                if index >= 0x80:
                    index, pos = unsigned(data, base + pos - 1, 32)
                    pos -= base
                callee = callees[index]
                called.append(index)
                push(top)
                checker.pop(callee.params, height, dead)
                stack += callee.results
                top = pop()
                if len(stack) > most:
                    raise checker.too_many_operands()
            elif op == 0x1A and top != BARRIER:  # drop
                top = pop()
            elif act == GLOBAL:
                index = code[pos]
                pos += 1
                if index >= 0x80:
                    index, pos = unsigned(data, base + pos - 1, 32)
                    pos -= base
                push(top)
                top = globals_[index].type
            elif op == 0x05:  # else
                if block_op != 0x04:
                    raise Malformed("unexpected else", base + at)
                push(top)
                checker.pop_all(results, height, dead)
                stack += params
                top = pop()
                block_op = 0x05
                dead = False
                if guarded:
                    take_back(readable, inits, marks[-1])
            elif act == CATCH_CLAUSE:
                checker.block_op = block_op
                carried, pos = read_catch(checker, op, pos)
                facts.clauses.setdefault(block_at, []).append(checker.read_u32(at + 1)[0] if op == 0x07 else -1)
                push(top)
                checker.pop_all(results, height, dead)
                stack += carried
                top = pop()
                block_op = op
                dead = False
                if guarded:
                    take_back(readable, inits, marks[-1])
            elif op == 0x01:  # nop
                pass
            else:
                push(top)
                checker.block_op = block_op
                pos = other(checker, tables, op, pos, height, dead)
                if ends[op]:
                    del stack[height:]
                    top = BARRIER
                    dead = True
                else:
                    top = pop()
    except IndexError:
        raise explain(checker, at) from None
    except Mismatch as problem:
        raise checker.invalid(str(problem), at) from None
    if pos != len(code):
        raise Malformed("section size mismatch: function body goes on after its end", base + pos)
    numbers = len(written_in) + len(facts.operands) + len(facts.clauses)
    facts.size = 8 * len(local_types) + (written_size >> 3) + _BYTES_PER_BLOCK * numbers
    if uses_first:
        facts.uses_memory = True
    facts.num_ops = num_ops
    return facts
