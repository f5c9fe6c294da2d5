"""Random structured programs with their meaning: wasm text, and a direct interpreter of the same tree.

Instructions are tuples. Every loop first takes one from a fuel local and returns when there is none left, so all programs end.
"""

from __future__ import annotations

import random
from typing import Any

I32 = "i32"
I64 = "i64"
FUEL = 0
PARAMS = 3
LOCALS = [I32, I32, I64, I32, I64, I32, I64]
"""Types of the locals; the first PARAMS are parameters, the first of them the fuel."""
RESULTS = [I32, I64]

Instr = tuple[Any, ...]
"""(name, ...): see `Interpreter`."""

_BINARY = ["add", "sub", "mul", "and", "or", "xor", "shl", "eq", "lt_u", "lt_s", "div_u", "rem_s", "div_s"]
_COMPARE = {"eq", "lt_u", "lt_s"}


class Generator:
    """Makes random programs."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.labels: list[list[str]] = []
        self.budget = 60

    def program(self) -> list[Instr]:
        """Return the body of a function with the parameters LOCALS[:PARAMS] and RESULTS."""
        self.labels = [RESULTS]
        return self.statements() + self.values(RESULTS)

    def statements(self) -> list[Instr]:
        """Return code that leaves the stack as it was."""
        code: list[Instr] = []
        for _ in range(self.random.randrange(1, 5)):
            code += self.statement()
        return code

    def values(self, types: list[str]) -> list[Instr]:
        """Return code that pushes values."""
        return [instr for type in types for instr in self.value(type)]

    def statement(self) -> list[Instr]:
        self.budget -= 1
        choice = self.random.randrange(10) if self.budget > 0 else 0
        if choice <= 3:
            local = self.random.randrange(1, len(LOCALS))
            return [*self.value(LOCALS[local]), ("set", local)]
        if choice <= 7:
            return [*self.structure([]), *self.branch_if()] if choice == 7 else self.structure([])
        if choice == 8:
            return self.branch_if()
        types = [self.random.choice([I32, I64]) for _ in range(self.random.randrange(1, 4))]
        return [*self.structure(types), *[("drop",)] * len(types)]

    def branch_if(self) -> list[Instr]:
        depth = self.random.randrange(len(self.labels))
        types = self.labels[-1 - depth]
        return [*self.values(types), *self.value(I32), ("br_if", depth), *[("drop",)] * len(types)]

    def leave(self) -> list[Instr]:
        """Return code that ends in an unconditional branch, sometimes with unreachable code after it."""
        choice = self.random.randrange(4)
        if choice == 0:
            code = [*self.values(RESULTS), ("return",)]
        elif choice == 1:
            code = self.table()
        else:
            depth = self.random.randrange(len(self.labels))
            code = [*self.values(self.labels[-1 - depth]), ("br", depth)]
        return code + self.statements() if self.random.random() < 0.3 else code

    def table(self) -> list[Instr]:
        first = self.random.randrange(len(self.labels))
        types = self.labels[-1 - first]
        same = [depth for depth in range(len(self.labels)) if self.labels[-1 - depth] == types]
        depths = [self.random.choice(same) for _ in range(self.random.randrange(1, 6))]
        return [*self.values(types), *self.value(I32), ("br_table", depths)]

    def structure(self, types: list[str]) -> list[Instr]:
        """Return a block that pushes values, perhaps with parameters."""
        params = [self.random.choice([I32, I64])] if self.random.random() < 0.2 else []
        kind = self.random.choice(["block", "loop", "if", "if"])
        before = self.values(params) + (self.value(I32) if kind == "if" else [])
        self.labels.append(params if kind == "loop" else types)
        bodies = [self.body(kind, params, types)]
        if kind == "if" and (params != types or self.random.random() < 0.6):
            bodies.append(self.body(kind, params, types))
        self.labels.pop()
        return [*before, (kind, params, types, *bodies)]

    def body(self, kind: str, params: list[str], types: list[str]) -> list[Instr]:
        code: list[Instr] = []
        if kind == "loop":
            code += [("get", FUEL), ("eqz",), ("if", [], [], [("const", I32, 7), ("const", I64, 9), ("return",)])]
            code += [("get", FUEL), ("const", I32, 1), ("binary", I32, "sub"), ("set", FUEL)]
        for type in params:
            code += [self.random.choice([("drop",), ("set", LOCALS.index(type, 1))])]
        code += self.statements()
        if self.random.random() < 0.25:
            return code + self.leave()
        return code + self.values(types)

    def value(self, type: str) -> list[Instr]:
        """Return code that pushes one value."""
        self.budget -= 1
        choice = self.random.randrange(12)
        if choice <= 4 or self.budget < 0:
            return [("get", self.random.choice([index for index, other in enumerate(LOCALS) if other == type]))]
        if choice <= 6:
            return [("const", type, self.random.choice([0, 1, 2, 3, -1, 7, 1 << 31, self.random.getrandbits(32)]))]
        if choice == 7:
            return self.structure([type])
        if choice == 8:
            return [*self.values([type, type, I32]), ("select",)]
        if choice == 9:
            local = self.random.choice([index for index, other in enumerate(LOCALS) if other == type and index])
            return [*self.value(type), ("tee", local)]
        if choice == 10:
            return [*self.value(I64), ("wrap",)] if type == I32 else [*self.value(I32), ("extend_u",)]
        operation = self.random.choice(_BINARY)
        if operation in _COMPARE:
            operand = self.random.choice([I32, I64])
            code: list[Instr] = [*self.values([operand, operand]), ("binary", operand, operation)]
            return code if type == I32 else [*code, ("extend_u",)]
        return [*self.values([type, type]), ("binary", type, operation)]


def text(program: list[Instr]) -> str:
    """Return a program as the text of a module with one function."""
    params = " ".join(LOCALS[:PARAMS])
    rest = " ".join(LOCALS[PARAMS:])
    body = " ".join(map(_text, program))
    return f"(module (func (param {params}) (result {' '.join(RESULTS)}) (local {rest})\n{body}))"


def _text(instr: Instr) -> str:
    name, *rest = instr
    if name in ("block", "loop", "if"):
        params, results, *bodies = rest
        parts = [" ".join(map(_text, body)) for body in bodies]
        head = f"{name} (param {' '.join(params)}) (result {' '.join(results)})"
        return f"{head}\n{(chr(10) + 'else ').join(parts)}\nend"
    if name in ("get", "set", "tee"):
        return f"local.{name} {rest[0]}"
    if name == "const":
        return f"{rest[0]}.const {rest[1]}"
    if name == "binary":
        return f"{rest[0]}.{rest[1]}"
    if name == "br_table":
        return f"br_table {' '.join(map(str, rest[0]))}"
    plain = {"eqz": "i32.eqz", "wrap": "i32.wrap_i64", "extend_u": "i64.extend_i32_u"}
    return " ".join([str(plain.get(name, name)), *map(str, rest)])


class Trap(Exception):
    """The program divided by zero or overflowed."""


class _Branch(Exception):
    def __init__(self, depth: int, values: list[int]) -> None:
        super().__init__(depth)
        self.depth = depth
        self.values = values


class Interpreter:
    """Runs programs."""

    def __init__(self, args: list[int]) -> None:
        self.locals = args + [0] * (len(LOCALS) - len(args))
        self.stack: list[int] = []
        self.labels = [len(RESULTS)]

    def run(self, program: list[Instr]) -> list[int]:
        """Return the results."""
        try:
            self._code(program)
        except _Branch as branch:
            return branch.values
        return self.stack[len(self.stack) - len(RESULTS) :]

    def _branch(self, depth: int) -> None:
        arity = self.labels[-1 - depth]
        raise _Branch(depth, self.stack[len(self.stack) - arity :] if arity else [])

    def _code(self, code: list[Instr]) -> None:
        for instr in code:
            self._instr(instr)

    def _instr(self, instr: Instr) -> None:
        name = instr[0]
        stack = self.stack
        if name in ("block", "loop", "if"):
            self._structure(instr)
        elif name == "get":
            stack.append(self.locals[instr[1]])
        elif name == "set":
            self.locals[instr[1]] = stack.pop()
        elif name == "tee":
            self.locals[instr[1]] = stack[-1]
        elif name == "const":
            stack.append(instr[2] & _mask(instr[1]))
        elif name == "drop":
            stack.pop()
        elif name == "eqz":
            stack.append(int(stack.pop() == 0))
        elif name == "wrap":
            stack.append(stack.pop() & _mask(I32))
        elif name == "extend_u":
            pass
        elif name == "select":
            condition, second, first = stack.pop(), stack.pop(), stack.pop()
            stack.append(first if condition else second)
        elif name == "br":
            self._branch(instr[1])
        elif name == "br_if":
            if stack.pop():
                self._branch(instr[1])
        elif name == "br_table":
            self._branch(instr[1][min(stack.pop(), len(instr[1]) - 1)])
        elif name == "return":
            self._branch(len(self.labels) - 1)
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(_compute(instr[2], left, right, instr[1]) & _mask(instr[1]))

    def _structure(self, instr: Instr) -> None:
        name, params, results, *bodies = instr
        if name == "if":
            body = bodies[0] if self.stack.pop() else bodies[1] if len(bodies) > 1 else []
        else:
            body = bodies[0]
        height = len(self.stack) - len(params)
        depth = len(self.labels)
        self.labels.append(len(params) if name == "loop" else len(results))
        while True:
            try:
                self._code(body)
            except _Branch as branch:
                if branch.depth:
                    branch.depth -= 1
                    raise
                del self.labels[depth + 1 :]
                self.stack[height:] = branch.values
                if name == "loop":
                    continue
            break
        self.labels.pop()


def _mask(type: str) -> int:
    return 0xFFFF_FFFF if type == I32 else 0xFFFF_FFFF_FFFF_FFFF


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> width - 1 else value


def _compute(name: str, left: int, right: int, type: str) -> int:
    width = 32 if type == I32 else 64
    if name in ("div_u", "rem_s", "div_s") and right == 0:
        raise Trap
    if name == "add":
        return left + right
    if name == "sub":
        return left - right
    if name == "mul":
        return left * right
    if name == "and":
        return left & right
    if name == "or":
        return left | right
    if name == "xor":
        return left ^ right
    if name == "shl":
        return left << right % width
    if name == "eq":
        return int(left == right)
    if name == "lt_u":
        return int(left < right)
    if name == "div_u":
        return left // right
    left, right = _signed(left, width), _signed(right, width)
    if name == "lt_s":
        return int(left < right)
    quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    if name == "rem_s":
        return left - quotient * right
    if quotient == 1 << width - 1:
        raise Trap
    return quotient
