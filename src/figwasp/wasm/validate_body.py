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

from typing import Final

from figwasp.errors import LimitExceeded, Malformed
from figwasp.wasm import limits, opcodes
from figwasp.wasm.leb128 import signed, unsigned
from figwasp.wasm.module import Module
from figwasp.wasm.types import I32
from figwasp.wasm.validate_rules import RULES
from figwasp.wasm.validate_state import BARRIER, Checker, FuncFacts, Mismatch, show
from figwasp.wasm.validate_tables import (
    BINARY,
    BLOCK,
    BRANCH,
    CALL,
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

__all__ = ["FuncFacts", "check_body"]

_I32: Final = bytes((I32,))


def check_body(module: Module, index: int) -> FuncFacts:
    """Check the body of a defined function, by its index among all functions, and return the facts.

    Raises:
        Malformed: its bytes are not instructions.
        Invalid: the instructions break a rule of validation.
        LimitExceeded: it has too many locals, or is out of proportion in another way.
    """
    tables = tables_for(module.features)
    return _check(Checker(module, index, tables.values), tables)


def _check(checker: Checker, tables: Tables) -> FuncFacts:
    """Walk the instructions. Flat by design: one branch per action, the frequent ones first."""
    code = checker.code
    data = checker.data
    base = checker.base
    facts = checker.facts
    local_types = facts.locals
    written_in = facts.written
    types = checker.module.types
    func_types = checker.module.func_types
    globals_ = checker.module.globals
    action = tables.action
    operand = tables.operand
    result = tables.result
    block_types = tables.blocks
    # Without a memory no alignment is small enough for the fast path.
    align = list(tables.align) if checker.module.memories else [-1] * 256
    labels = checker.labels
    stack = checker.stack
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
                    checker.pop(bytes((type_, type_)), height, dead)
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
                        checker.pop(bytes((type_,)), height, dead)
                        top = pop()
                elif top != type_:
                    push(top)
                    checker.pop(bytes((type_,)), height, dead)
                    top = type_
            elif act == UNARY:
                if top != operand[op]:
                    push(top)
                    checker.pop(bytes((operand[op],)), height, dead)
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
                            pos = checker.memarg(op, pos - 2)
                else:
                    pos = checker.memarg(op, pos)
                facts.uses_memory = True
                if act == LOAD:
                    if top != I32:
                        push(top)
                        checker.pop(_I32, height, dead)
                    top = result[op]
                elif top == operand[op] and stack[-1] == I32:
                    pop()
                    top = pop()
                else:
                    push(top)
                    checker.pop(bytes((I32, operand[op])), height, dead)
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
                if block_op == 0x04 and params != results:
                    raise Mismatch(f"type mismatch: if without else must give back {show(params)}")
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
                enters = b""
                if block is None:
                    enters, block, pos = checker.block_type(pos - 1)
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
                    checker.check_height()
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
                callee = types[func_types[index]]
                facts.has_calls = True
                push(top)
                checker.pop(callee.params, height, dead)
                stack += callee.results
                top = pop()
                if len(stack) > max_stack:
                    max_stack = len(stack)
                    checker.check_height()
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
                checker.pop_all(results, height, dead)
                stack += params
                top = pop()
                block_op = 0x05
                dead = False
            elif op == 0x01:  # nop
                pass
            else:
                push(top)
                pos = _other(checker, op, pos, height, dead)
                if op == 0x00 or op == 0x0E or op == 0x0F:
                    del stack[height:]
                    top = BARRIER
                    dead = True
                else:
                    top = pop()
                    if len(stack) > max_stack:
                        max_stack = len(stack)
    except IndexError:
        raise checker.explain(at) from None
    except Mismatch as problem:
        raise checker.invalid(str(problem), at) from None
    if pos != len(code):
        raise Malformed("section size mismatch: function body goes on after its end", base + pos)
    facts.num_ops = num_ops
    facts.max_stack = max_stack
    return facts


def _other(checker: Checker, op: int, pos: int, height: int, dead: bool) -> int:
    """Check an instruction by its row and return the position after it; all operands are on the stack."""
    at = pos - 1
    code = op
    if op in opcodes.PREFIXES:
        sub, pos = checker.read_u32(pos)
        code = opcodes.pack(op, sub)
    row = opcodes.BY_CODE.get(code)
    if row is None or row.proposal not in checker.module.features:
        raise Malformed(opcodes.illegal(code), checker.base + at)
    value, pos = checker.read(row.immediates, pos)
    checker.check_index(row.immediates, value)
    if row.params is not None and row.results is not None:
        checker.pop(row.params, height, dead)
        checker.stack += row.results
    rule = RULES.get(row.name)
    if rule is not None:
        rule(checker, value, height, dead)
    return pos
