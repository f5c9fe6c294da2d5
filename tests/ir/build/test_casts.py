"""Every cast there is: all values, from all static types, to all types of their hierarchy, against the validator's `matches`.

Objects of the heap are made here by hand: a header with the descriptor is all that casts look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol

import pytest

import figwasp
from figwasp import errors, layout
from figwasp.ir import pipeline
from figwasp.ir.evaluate.externs import FuncRef
from figwasp.ir.evaluate.func import Trapped
from figwasp.ir.evaluate.instance import EvalInstance, EvalModule
from figwasp.ir.evaluate.space import AddressSpace
from figwasp.runtime.platform import cpython, linux
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.types import (
    ANYREF,
    ARRAYREF,
    EQREF,
    EXTERNREF,
    FUNCREF,
    I31REF,
    NON_NULL,
    NULLEXTERNREF,
    NULLFUNCREF,
    NULLREF,
    STRUCTREF,
    concrete,
    heap_name,
    type_name,
)
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.valid.subtyping import ModuleTypes, top_of
from tests.raw import call_raw

DEPTH: Final = 11
TYPES: Final = "".join(
    f"(type (sub {f'{base + k - 1}' if k else ''} ({kind})))" for base, kind in ((0, "struct"), (DEPTH, "func")) for k in range(DEPTH)
) + """
  (type $final (sub final 3 (struct (field i32)))) (type $deep (sub final 9 (struct (field i64)))) (type $other (sub 2 (struct (field f32))))
  (type $lone (struct (field i8))) (type $bytes (array i8)) (type $open (sub (array i32))) (type $words (sub final $open (array i32)))
  (type $ffinal (sub final 13 (func))) (type $fdeep (sub final 20 (func))) (type $flone (func (param i32)))"""
COUNT: Final = 2 * DEPTH + 10
STRUCTS: Final = [*range(DEPTH), *range(2 * DEPTH, 2 * DEPTH + 4)]
ARRAYS: Final = range(2 * DEPTH + 4, 2 * DEPTH + 7)
FUNCS: Final = [*range(DEPTH, 2 * DEPTH), *range(2 * DEPTH + 7, COUNT)]
HIERARCHIES: Final = {
    ANYREF: [ANYREF, EQREF, I31REF, STRUCTREF, ARRAYREF, NULLREF, *(concrete(k, nullable=True) for k in (*STRUCTS, *ARRAYS))],
    FUNCREF: [FUNCREF, NULLFUNCREF, *(concrete(k, nullable=True) for k in FUNCS)],
    EXTERNREF: [EXTERNREF, NULLEXTERNREF],
}
"""Top of a hierarchy -> its types, as nullable references."""


def both(top: int) -> list[int]:
    """Return the types of a hierarchy, with null and without."""
    return [code | bit for code in HIERARCHIES[top] for bit in (0, NON_NULL)]


def fields(top: int) -> Iterator[str]:
    """Give the functions of a hierarchy: tests, branches and casts of every type."""
    for source in both(top):
        name = type_name(source)
        targets = both(top)
        results = " ".join(["i32"] * len(targets))
        tests = " ".join(f"(ref.test {full(target)} (local.get 0))" for target in targets)
        yield f'(func (export "test {name}") (param {name}) (result {results}) {tests})'
        below = [target for target in targets if CHECKED.matches(target, source)]
        results = " ".join(["i32"] * len(below))
        for instruction, left in (("br_on_cast", 0), ("br_on_cast_fail", 1)):
            blocks = " ".join(
                f"(block $no (result i32) (block $l (result {taken(instruction, source, target)})"
                f" (drop ({instruction} $l {full(source)} {full(target)} (local.get 0))) (br $no (i32.const {left}))) drop (i32.const {1 - left}))"
                for target in below
            )
            yield f'(func (export "{instruction} {name}") (param {name}) (result {results}) {blocks})'
    for source in (top, EQREF) if top == ANYREF else (top,):
        for target in both(top):
            if source == top or CHECKED.matches(target, source):
                yield (
                    f'(func (export "cast {type_name(source)} {type_name(target)}") (param {type_name(source)}) (result {full(target)})'
                    f" (ref.cast {full(target)} (local.get 0)))"
                )


def full(code: int) -> str:
    """Return a reference type in full."""
    return f"(ref {'' if code & NON_NULL else 'null '}{heap_name(code)})"


def taken(instruction: str, source: int, target: int) -> str:
    """Return the type that the branch of a cast takes along."""
    if instruction == "br_on_cast":
        return full(target)
    return full(source if target & NON_NULL else source | NON_NULL)


def _module(text: str) -> Module:
    return decode(wat(f"(module {text})"))


_ALL: Final = _module(TYPES)
CHECKED: Final = ModuleTypes(_ALL.types, _ALL.groups)
_FUNCTIONS: Final = "".join(f'(func (export "f{index}") (type {index}))' for index in FUNCS)


class Side(Protocol):
    """An engine that calls functions with raw bits."""

    def call(self, name: str, bits: int) -> list[int] | int:
        """Return the results of an export, or the code of the trap."""

    def function(self, index: int) -> int:
        """Return the reference to the function of a type."""

    def thing(self, index: int) -> int:
        """Return a reference to an object of the heap of a type."""


class Machine:
    """Machine code."""

    def __init__(self, module: bytes) -> None:
        self.instance = figwasp.load(module)

    def call(self, name: str, bits: int) -> list[int] | int:
        func = self.instance.exports[name]
        func._store.claim()
        try:
            return call_raw(func.type, func._address, [bits], func._store)
        except figwasp.Trap as trap:
            return next(code for code, message in errors.TRAP_MESSAGES.items() if message == trap.code)

    def function(self, index: int) -> int:
        address: int = self.instance.exports[f"f{index}"]._address
        return address

    def thing(self, index: int) -> int:
        address = cpython.raw_calloc(1, 16)
        linux.write(address, self.instance._state.code.type_ids[index].to_bytes(4, "little"))
        return address


class Evaluated:
    """The evaluator."""

    def __init__(self, module: bytes, optimised: bool) -> None:
        self.space = AddressSpace(passes=pipeline.run if optimised else None)
        self.definition = EvalModule(self.space, decode(module))
        self.instance = EvalInstance(self.space, self.definition, [])
        self.instance.start()

    def _func(self, name: str) -> FuncRef:
        func = self.instance.exports[name]
        assert isinstance(func, FuncRef)
        return func

    def call(self, name: str, bits: int) -> list[int] | int:
        try:
            return self.space.enter(self._func(name), [bits])
        except Trapped as trap:
            return trap.code

    def function(self, index: int) -> int:
        return self._func(f"f{index}").address

    def thing(self, index: int) -> int:
        address = self.space.allocate(16)
        self.space.native.write(address, self.space.types.descriptors(self.definition.numbers)[index], 4)
        return address


def values(side: Side, top: int) -> list[tuple[int, int]]:
    """Return references of a hierarchy, each with its own type; None stands for null."""
    if top == FUNCREF:
        return [(side.function(index), concrete(index, nullable=False)) for index in FUNCS]
    host, number = (0x7F00_0000_1000 | layout.HOST_TAG, ANYREF | NON_NULL), (layout.i31(-2), I31REF | NON_NULL)
    # The bits of an i31 that are those of a host's object otherwise.
    odd = (layout.i31(1), I31REF | NON_NULL)
    things = [(side.thing(index), concrete(index, nullable=False)) for index in (*STRUCTS, *ARRAYS)]
    found = [host, number, odd, *things]
    return found if top == ANYREF else [(bits, EXTERNREF | NON_NULL) for bits, _ in found]


def of_type(own: int | None, code: int) -> bool:
    """Return whether a value of a type of its own, or null, is of a type."""
    return not code & NON_NULL if own is None else CHECKED.matches(own, code)


def _evaluator(module: bytes) -> Side:
    return Evaluated(module, optimised=False)


def _optimised(module: bytes) -> Side:
    return Evaluated(module, optimised=True)


SIDES: Final[dict[str, Callable[[bytes], Side]]] = {"machine": Machine, "evaluator": _evaluator, "optimised": _optimised}


@pytest.mark.parametrize("top", HIERARCHIES, ids=type_name)
@pytest.mark.parametrize("kind", SIDES)
def test_every_cast(kind: str, top: int) -> None:
    side = SIDES[kind](wat(f"(module {TYPES} {_FUNCTIONS} {' '.join(fields(top))})"))
    assert all(top_of(code, _ALL.types) == top for code in both(top))
    known: list[tuple[int, int | None]] = [(0, None), *values(side, top)]
    wrong = []
    compared = 0
    for bits, own in known:
        for source in both(top):
            if not of_type(own, source):
                continue
            name = type_name(source)
            expected = [int(of_type(own, target)) for target in both(top)]
            below = [answer for answer, target in zip(expected, both(top), strict=True) if CHECKED.matches(target, source)]
            for instruction, answers in (("test", expected), ("br_on_cast", below), ("br_on_cast_fail", below)):
                found = side.call(f"{instruction} {name}", bits)
                compared += len(answers)
                if found != answers:
                    wrong.append(f"{instruction} of {bits:#x} ({own}) from {name}: {found} instead of {answers}")
    for source in (ANYREF, EQREF) if top == ANYREF else (top,):
        for target in both(top):
            for bits, own in known:
                if (source == top or CHECKED.matches(target, source)) and of_type(own, source):
                    found = side.call(f"cast {type_name(source)} {type_name(target)}", bits)
                    compared += 1
                    if found != ([bits] if of_type(own, target) else errors.TRAP_CAST_FAILURE):
                        wrong.append(f"cast of {bits:#x} ({own}) from {type_name(source)} to {type_name(target)}: {found}")
    assert not wrong, "\n".join(wrong[:20])
    assert compared > {ANYREF: 30_000, FUNCREF: 5_000, EXTERNREF: 500}[top]
