"""Random modules that throw and catch: functions of many types that call each other, nested `try_table`s, references to exceptions.

What a module has done so far is a number in the exported global `h`, in which every value that comes out of a call or an exception takes
part; `left` counts the calls and turns of loops down that may still be, so that everything ends.
"""

from __future__ import annotations

import random
from typing import Final

TYPES: Final = ("i32", "i64", "f32", "f64", "v128")
_BITS: Final = {
    "i32": "(i64.extend_i32_s {})",
    "i64": "{}",
    "f32": "(i64.extend_i32_s (i32.reinterpret_f32 {}))",
    "f64": "(i64.reinterpret_f64 {})",
    "v128": "(i64x2.extract_lane 1 {})",
}
_TAKE: Final = "(global.set $left (i32.sub (global.get $left) (i32.const 1)))"
_SOME_LEFT: Final = "(i32.gt_s (global.get $left) (i32.const 0))"
_DEEP: Final = 4


def module(seed: int, scalar: bool = False) -> str:
    """Return the text of the module that belongs to a seed; its export `run` takes an i32 and returns one.

    With `scalar` there are no vectors, and what throws does nothing else, so that the other functions have baseline code.
    """
    return _Generator(seed, scalar).module()


class _Generator:
    """One module under construction, and one function of it: its locals, its results, what is its temporary local of a type."""

    def __init__(self, seed: int, scalar: bool) -> None:
        self.random = random.Random(seed)
        self.scalar = scalar
        self.among = TYPES[:-1] if scalar else TYPES
        self.tags = [self.types((0, 1, 1, 2, 3, 9)) for _ in range(self.random.randrange(1, 5))]
        count = self.random.randrange(2, 7)
        self.params = [self.types((0, 1, 2, 3, 6, 12)) for _ in range(count)]
        self.results = [self.types((0, 1, 1, 2, 4, 10)) for _ in range(count)]
        self.made = 0
        self.locals: list[str] = []
        self.temporary: dict[str, int] = {}
        self.returned: list[str] = []

    def types(self, counts: tuple[int, ...]) -> list[str]:
        return [self.random.choice(self.among) for _ in range(self.random.choice(counts))]

    def label(self) -> str:
        self.made += 1
        return f"$l{self.made}"

    # Values

    def const(self, type: str) -> str:
        if type == "v128":
            return f"(v128.const i64x2 {self.random.randrange(-9, 9)} {self.random.randrange(1000)})"
        if type[0] == "i":
            return f"({type}.const {self.random.choice([0, 1, -1, 7, self.random.randrange(-1000, 1000)])})"
        return f"({type}.const {self.random.choice([0, 1, 2.5, -3, 100])})"

    def value(self, type: str, depth: int = 0) -> str:
        known = [index for index, other in enumerate(self.locals) if other == type]
        what = self.random.random()
        if known and what < 0.5:
            return f"(local.get {self.random.choice(known)})"
        if depth < 2 and what < 0.8:
            both = f"{self.value(type, depth + 1)} {self.value(type, depth + 1)}"
            if type == "v128":
                return f"(i64x2.add {both})"
            return f"({type}.{self.random.choice(['add', 'sub'] if type[0] == 'f' else ['add', 'sub', 'xor', 'mul'])} {both})"
        return "(global.get $h)" if type == "i64" and what < 0.9 else self.const(type)

    def values(self, types: list[str]) -> str:
        return " ".join(map(self.value, types))

    def mix(self, type: str, value: str) -> str:
        """Let a value take part in what the module has done."""
        return f"(global.set $h (i64.add (i64.mul (global.get $h) (i64.const 31)) {_BITS[type].format(value)}))"

    def consume(self, types: list[str]) -> str:
        """Take values off the stack."""
        places = [(type, self.temporary[type]) for type in reversed(types)]
        return " ".join(f"(local.set {place}) {self.mix(type, f'(local.get {place})')}" for type, place in places)

    # Statements

    def statements(self, depth: int, labels: list[str]) -> str:
        return " ".join(self.statement(depth, labels) for _ in range(self.random.randrange(1, 4)))

    def statement(self, depth: int, labels: list[str]) -> str:
        what = self.random.random()
        if depth > _DEEP or what < 0.22:
            index = self.random.randrange(len(self.locals))
            return f"(local.set {index} {self.value(self.locals[index])})"
        if what < 0.3:
            type = self.random.choice(self.among)
            return self.mix(type, self.value(type))
        if what < 0.45:
            return f"(if {_SOME_LEFT} (then {_TAKE} {self.call()}))"
        if what < 0.55:
            return self.throw()
        if what < 0.75:
            return self.branching(what, depth, labels)
        if what < 0.77:
            return f"(if {self.value('i32')} (then (return {self.values(self.returned)})))"
        if what < 0.78:
            return f"(drop (i32.div_u (i32.const 5) {self.value('i32')}))"
        return self.attempt(depth, labels)

    def branching(self, what: float, depth: int, labels: list[str]) -> str:
        if what < 0.62:
            then, other = self.statements(depth + 1, labels), self.statements(depth + 1, labels)
            return f"(if {self.value('i32')} (then {then}) (else {other}))"
        if what < 0.67 and labels:
            return f"(br_if {self.random.choice(labels)} {self.value('i32')})"
        label = self.label()
        if what < 0.72:
            body = f"{self.statements(depth + 1, labels)} (br_if {label} {self.value('i32')})"
            return f"(loop {label} (if {_SOME_LEFT} (then {_TAKE} {body})))"
        return f"(block {label} {self.statements(depth + 1, [*labels, label])})"

    def call(self) -> str:
        callee = self.random.randrange(len(self.params))
        args = self.values(self.params[callee])
        direct = f"(call $f{callee} {args})"
        indirect = f"(call_indirect (type $f{callee}) {args} (i32.const {callee}))"
        return f"{direct if self.random.random() < 0.6 else indirect} {self.consume(self.results[callee])}"

    def throw(self) -> str:
        tag = self.random.randrange(len(self.tags))
        values = self.values(self.tags[tag])
        thrown = f"(call $throw{tag} {values}) (unreachable)" if self.scalar else f"(throw $t{tag} {values})"
        if self.random.random() < 0.15:
            return thrown
        return f"(if (i32.and {self.value('i32')} (i32.const {self.random.choice([1, 3, 7])})) (then {thrown}))"

    def attempt(self, depth: int, labels: list[str]) -> str:
        """A `try_table` in a block for each clause, behind which what the clause brings is consumed."""
        done = self.label()
        kinds = ["catch", "catch_ref", "catch_all", "catch_all_ref"] if self.random.random() < 0.4 else ["catch", "catch_ref"]
        count = self.random.choice([0, 1, 1, 2, 3])
        clauses = [(self.random.choice(kinds), self.random.randrange(len(self.tags)), self.label()) for _ in range(count)]
        shown = " ".join(f"({kind} {label})" if "all" in kind else f"({kind} $t{tag} {label})" for kind, tag, label in clauses)
        if labels and self.random.random() < 0.15:
            shown += f" (catch_all {self.random.choice(labels)})"
        text = f"(try_table {shown} {self.statements(depth + 1, [*labels, done])})"
        for kind, tag, label in clauses:
            text = self.clause(text, kind, [] if "all" in kind else self.tags[tag], (label, done), depth, labels)
        return f"(block {done} {text})"

    def clause(self, inner: str, kind: str, types: list[str], ends: tuple[str, str], depth: int, labels: list[str]) -> str:
        label, done = ends
        reference = kind.endswith("ref")
        results = " ".join([*types, "exnref"] if reference else types)
        text = f"(block {label} (result {results}) {inner} (br {done}))" if results else f"(block {label} {inner} (br {done}))"
        if reference:
            text += " (local.set $exn)"
        text += f" {self.consume(types)} {self.mix('i64', f'(i64.const {self.random.randrange(1000)})')}"
        if reference and self.random.random() < 0.4:
            text += f" (if (i32.and {self.value('i32')} (i32.const 1)) (then (throw_ref (local.get $exn))))"
        return text + (f" {self.statements(depth + 2, [*labels, done])}" if self.random.random() < 0.5 else "")

    # Functions

    def begin(self, params: list[str], others: list[str], results: list[str]) -> None:
        self.locals = params + others
        self.temporary = {type: len(self.locals) + place for place, type in enumerate(self.among)}
        self.returned = results

    def func(self, index: int) -> str:
        others = [self.random.choice(self.among) for _ in range(self.random.randrange(1, 6))]
        self.begin(self.params[index], others, self.results[index])
        body = " ".join(self.statements(0, []) for _ in range(3))
        names = " ".join([*others, *self.among])
        return f"(func $f{index} (type $f{index}) (local {names}) (local $exn exnref) {body} {self.values(self.returned)})"

    def thrower(self, tag: int) -> str:
        types = self.tags[tag]
        values = " ".join(f"(local.get {index})" for index in range(len(types)))
        return f"(func $throw{tag} (param {' '.join(types)}) (throw $t{tag} {values}))"

    def module(self) -> str:
        fields = [
            f"(type $f{index} (func (param {' '.join(params)}) (result {' '.join(results)})))"
            for index, (params, results) in enumerate(zip(self.params, self.results, strict=True))
        ]
        fields += [f"(tag $t{index} (param {' '.join(types)}))" for index, types in enumerate(self.tags)]
        fields.append('(global $h (export "h") (mut i64) (i64.const 1)) (global $left (export "left") (mut i32) (i32.const 30))')
        fields.append(f"(table funcref (elem {' '.join(f'$f{index}' for index in range(len(self.params)))}))")
        if self.scalar:
            fields += [self.thrower(index) for index in range(len(self.tags))]
        fields += [self.func(index) for index in range(len(self.params))]
        self.begin(["i32"], [], ["i32"])
        body = f"{self.call()} {self.statements(0, [])} (i32.wrap_i64 (global.get $h))"
        fields.append(
            f'(func (export "run") (param i32) (result i32) (local {" ".join(self.among)}) (local $exn exnref) {body})'
        )
        return f"(module {' '.join(fields)})"
