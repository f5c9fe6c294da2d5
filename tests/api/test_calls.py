"""Calls from Python: what is accepted for each type, what comes back, and what the errors say."""

from __future__ import annotations

import inspect
import math
import pydoc
import struct
from typing import Any

import pytest

import figwasp
from tests.runtime.support import host, load

TYPES = ("i32", "i64", "f32", "f64")

IDENTITY = "(module " + " ".join(f'(func (export "{t}") (param {t}) (result {t}) (local.get 0))' for t in TYPES) + ")"

EDGES: dict[str, list[float]] = {
    "i32": [0, 1, -1, 2**31 - 1, -(2**31), 7],
    "i64": [0, 1, -1, 2**63 - 1, -(2**63), 2**32, -(2**32) - 1],
    "f32": [0.0, -0.0, 1.5, -1.5, math.inf, -math.inf, 2.0**-149, 2.0**127],
    "f64": [0.0, -0.0, 1.5, -1.5, math.inf, -math.inf, 5e-324, 1.7976931348623157e308],
}


class Indexed:
    """An int as other libraries have them."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Floating:
    """A float as other libraries have them."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


def same(a: Any, b: Any) -> bool:
    """Compare numbers by value and sign of zero; nan equals nan."""
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, float) and isinstance(b, float) and struct.pack("d", a) == struct.pack("d", b)
    return type(a) is type(b) and a == b


@pytest.fixture(scope="module")
def identity() -> figwasp.Instance:
    return load(IDENTITY)


@pytest.mark.parametrize("type_", TYPES)
def test_edges_of_each_type_come_back(identity: figwasp.Instance, type_: str) -> None:
    """Every edge value of a number type survives the way in and out."""
    for value in EDGES[type_]:
        assert same(identity.exports[type_](value), value)


def test_unsigned_range_comes_back_signed(identity: figwasp.Instance) -> None:
    """Integers of the unsigned range are accepted and returned signed."""
    assert identity.i32(2**32 - 1) == -1
    assert identity.i32(2**31) == -(2**31)
    assert identity.i64(2**64 - 1) == -1
    assert identity.i64(2**63) == -(2**63)


@pytest.mark.parametrize(
    ("type_", "value"),
    [("i32", 2**32), ("i32", -(2**31) - 1), ("i32", 10**30), ("i32", -(10**30)), ("i32", 2**63), ("i32", 2**64)]
    + [("i64", 2**64), ("i64", -(2**63) - 1), ("i64", 10**30), ("i64", -(10**30))],
)
def test_ints_out_of_range_overflow(identity: figwasp.Instance, type_: str, value: int) -> None:
    """An int beyond both ranges is an OverflowError that names function, position and type."""
    with pytest.raises(OverflowError) as caught:
        identity.exports[type_](value)
    message = str(caught.value)
    assert type_ in message and "argument 1" in message and f"{type_}()" in message
    assert identity.exports[type_](5) == 5


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("value", ["1", b"1", None, [], (), {}, object(), 1j, print])
def test_wrong_types_are_refused(identity: figwasp.Instance, type_: str, value: object) -> None:
    """What is no number is a TypeError that names function, position, expected type and what was found."""
    with pytest.raises(TypeError) as caught:
        identity.exports[type_](value)
    message = str(caught.value)
    assert type_ in message and "argument 1" in message and f"{type_}()" in message and type(value).__name__ in message


@pytest.mark.parametrize("type_", ["i32", "i64"])
def test_floats_are_no_ints(identity: figwasp.Instance, type_: str) -> None:
    """A float is refused where an int is expected, whole or not."""
    for value in (1.0, 1.5, math.nan):
        with pytest.raises(TypeError, match=rf"argument 1 of {type_}\(\) must be an int \({type_}\), not float"):
            identity.exports[type_](value)


def test_position_is_named() -> None:
    """The error names the position of the wrong argument, in registers and beyond them."""
    inst = load('(module (func (export "many") ' + "(param i32) " * 12 + "(result i32) (local.get 11)))")
    for k in range(12):
        args: list[object] = [1] * 12
        args[k] = "no"
        with pytest.raises(TypeError, match=rf"argument {k + 1} of many\(\)"):
            inst.many(*args)
        args[k] = 2**40
        with pytest.raises(OverflowError, match=rf"argument {k + 1} of many\(\)"):
            inst.many(*args)
    assert inst.many(*range(12)) == 11


def test_bools_and_index_objects_are_ints(identity: figwasp.Instance) -> None:
    """Bools and objects with __index__ are ints, and ints are floats."""
    assert identity.i32(True) == 1 and identity.i64(False) == 0
    assert identity.i32(Indexed(2**32 - 1)) == -1 and identity.i64(Indexed(-5)) == -5
    assert identity.f64(True) == 1.0 and identity.f32(7) == 7.0
    assert identity.f64(Indexed(3)) == 3.0 and identity.f64(Floating(2.5)) == 2.5 and identity.f32(Floating(-0.25)) == -0.25
    with pytest.raises(OverflowError, match="argument 1 of i32"):
        identity.i32(Indexed(2**32))


def test_index_is_asked_once_when_it_fails(identity: figwasp.Instance) -> None:
    """An exception of __index__ or __float__ comes out as itself, and the method ran once."""

    class Broken:
        calls = 0

        def __index__(self) -> int:
            Broken.calls += 1
            raise KeyError("mine")

        def __float__(self) -> float:
            Broken.calls += 1
            raise LookupError("mine")

    for type_ in ("i32", "i64"):
        Broken.calls = 0
        with pytest.raises(KeyError, match="mine"):
            identity.exports[type_](Broken())
        assert Broken.calls == 1
    for type_ in ("f32", "f64"):
        Broken.calls = 0
        with pytest.raises(LookupError, match="mine"):
            identity.exports[type_](Broken())
        assert Broken.calls == 1


def test_index_that_lies_is_an_error(identity: figwasp.Instance) -> None:
    """An __index__ that returns no int is a TypeError."""

    class Lies:
        def __index__(self) -> int:
            return "3"  # type: ignore[return-value]  # noqa: PLE0305

    with pytest.raises(TypeError):
        identity.i32(Lies())


def test_nan_and_rounding(identity: figwasp.Instance) -> None:
    """NaN stays NaN; f32 rounds to nearest even, denormals included, and overflows to infinity."""
    assert math.isnan(identity.f32(math.nan)) and math.isnan(identity.f64(math.nan))
    for value in (0.1, 1 / 3, 1e-40, 3.3e-45, 2.0**-150, 2.0**-149 * 1.5, 16777217.0, -1e-42):
        assert same(identity.f32(value), struct.unpack("<f", struct.pack("<f", value))[0])
    assert identity.f32(1e39) == math.inf and identity.f32(-1e300) == -math.inf
    assert identity.f32(3.4028235677973366e38) == math.inf
    assert identity.f32(3.4028235677973362e38) == 3.4028234663852886e38


def test_huge_int_for_a_float(identity: figwasp.Instance) -> None:
    """An int too large for a double is an OverflowError."""
    with pytest.raises(OverflowError):
        identity.f64(10**400)
    with pytest.raises(OverflowError):
        identity.f32(10**400)
    assert identity.f64(2**70) == 2.0**70


def test_minus_one_is_not_an_error(identity: figwasp.Instance) -> None:
    """The value that C API calls return on errors is an ordinary value."""
    assert identity.i32(-1) == -1 and identity.i64(-1) == -1
    assert identity.f32(-1.0) == -1.0 and identity.f64(-1.0) == -1.0


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_wrong_count(count: int) -> None:
    """A wrong number of arguments is a TypeError that names the function, the type and both numbers."""
    inst = load('(module (func (export "two") (param i32 i64)))')
    with pytest.raises(TypeError, match=rf"two\(\) takes 2 arguments.*got {count}"):
        inst.two(*range(count))


def test_keywords_are_refused(identity: figwasp.Instance) -> None:
    """Keyword arguments are a TypeError, alone or beside positional ones; empty ** is fine."""
    with pytest.raises(TypeError, match=r"i32\(\) takes no keyword argument"):
        identity.i32(p0=1)
    with pytest.raises(TypeError, match=r"i32\(\) takes no keyword argument"):
        identity.i32(1, p1=1)
    assert identity.i32(*(3,), **{}) == 3  # noqa: PIE804


def signature(types: tuple[str, ...], results: tuple[str, ...]) -> str:
    """Write a function type."""
    return f"(param {' '.join(types)}) (result {' '.join(results)})"


def sample(types: tuple[str, ...]) -> list[Any]:
    """Give distinct values, negative ones among them."""
    return [(-1) ** k * (k + 3) * (1000003 if t == "i64" else 1) if t[0] == "i" else (-1) ** k * (k + 0.5) for k, t in enumerate(types)]


SHAPES: list[tuple[str, ...]] = [
    (),
    ("i32",),
    ("i32",) * 6,
    ("i32",) * 7,
    ("i64",) * 8,
    ("f32",) * 8,
    ("f64",) * 9,
    ("f64",) * 12,
    ("i32",) * 12,
    ("i32", "f32", "i64", "f64") * 3,
    ("f64", "i32") * 10,
    ("i64",) * 9 + ("f32",) * 11,
    ("i32", "i64", "f32", "f64") * 10,
]


@pytest.mark.parametrize("types", SHAPES, ids=lambda t: f"{len(t)}{''.join(t[:4])}")
def test_each_parameter_arrives(types: tuple[str, ...]) -> None:
    """Each parameter of a long mixed list can be picked, called from Python and from wasm, and handed to a host function."""
    body = "".join(
        f'(func $pick{k} (export "pick{k}") (param {" ".join(types)}) (result {t}) (local.get {k}))'
        f'(func (export "via{k}") (param {" ".join(types)}) (result {t}) (call $pick{k} {forward(types)}))'
        for k, t in enumerate(types)
    )
    got: list[tuple[Any, ...]] = []
    text = (
        f'(module (import "host" "take" (func $take (param {" ".join(types)}))) {body}'
        f'(func (export "give") (param {" ".join(types)}) (call $take {forward(types)})))'
    )
    inst = load(text, host(take=lambda *args: got.append(args)))
    values = sample(types)
    for k, value in enumerate(values):
        assert same(inst.exports[f"pick{k}"](*values), value)
        assert same(inst.exports[f"via{k}"](*values), value)
    assert inst.give(*values) is None
    assert got == [tuple(values)]


def forward(types: tuple[str, ...]) -> str:
    """Write the operands that hand every parameter on."""
    return " ".join(f"(local.get {k})" for k in range(len(types)))


@pytest.mark.parametrize("types", SHAPES, ids=lambda t: f"{len(t)}{''.join(t[:4])}")
def test_many_results(types: tuple[str, ...]) -> None:
    """Many results come from wasm to Python and to wasm, and from a host function, in order and beside stack arguments."""
    sig = signature(types, types)
    text = f"""(module
      (import "host" "echo" (func $echo {sig}))
      (func $self (export "self") {sig} {forward(types)})
      (func (export "twice") {sig} (call $self {forward(types)}) (call $self))
      (func (export "echo") {sig} (call $echo {forward(types)}))
      (func (export "mixed") {sig} (call $echo (call $self {forward(types)})) (call $self)))"""
    inst = load(text, host(echo=lambda *args: None if not args else args[0] if len(args) == 1 else args))
    values = sample(types)
    expected = None if not types else values[0] if len(types) == 1 else tuple(values)
    for name in ("self", "twice", "echo", "mixed"):
        assert inst.exports[name](*values) == expected, name


def test_hundreds_of_parameters_and_results() -> None:
    """Function types with hundreds of parameters and results work."""
    types = ("i32", "f64") * 200
    sig = signature(types, types)
    inst = load(
        f'(module (import "host" "echo" (func $echo {sig})) (func $self (export "self") {sig} {forward(types)})'
        f'(func (export "both") {sig} (call $echo (call $self {forward(types)}))))',
        host(echo=lambda *args: list(args)),
    )
    values = tuple(sample(types))
    assert inst.self(*values) == values
    assert inst.both(*values) == values
    with pytest.raises(TypeError, match="argument 400 of self"):
        inst.self(*values[:-1], "x")


def test_signature_repr_name_and_type() -> None:
    """A function tells the name it was asked for by, its type and signature."""
    inst = load('(module (func $inner (export "outer") (param i32 f64) (result i64 f32) (i64.const 1) (f32.const 2)) (func (export "nothing")))')
    func = inst.exports.outer
    assert isinstance(func, figwasp.Func)
    assert func.name == "outer" and func.__name__ == "outer"
    assert inst.exports.nothing.name == "nothing"
    shown = inspect.signature(func)
    assert len(shown.parameters) == 2
    assert [p.annotation for p in shown.parameters.values()] == ["i32", "f64"]
    assert shown.return_annotation == ("i64", "f32")
    assert "outer" in repr(func) and "i32" in repr(func) and "i64" in repr(func)
    assert callable(func)


def test_names_of_parameters() -> None:
    """Those of the name section, where Python allows them."""
    text = '(module $m (func (export "run") (param $a i32) (param $if i32) (param f64) (param $p2 i32) (param $x.y i32) (param $b i64)))'
    run = load(text).run
    assert [*inspect.signature(run).parameters] == ["a", "p1", "p2", "p3", "p4", "b"]
    shown = pydoc.plain(pydoc.render_doc(run))
    assert "run(a: 'i32', p1: 'i32'" in shown and "of module m" in shown
    assert "callable like any Python function" in pydoc.plain(pydoc.render_doc(figwasp.Func))


def test_errors_use_the_name_that_was_called() -> None:
    """Not the one that the name section has for the function."""
    inst = load('(module (func $inner (export "outer") (export "other") (param i32)))')
    for name in ("outer", "other"):
        with pytest.raises(TypeError, match=rf"^{name}\(\) takes 1 argument"):
            inst.exports[name]()


def test_equality_and_hash() -> None:
    """Two objects for one function are equal and hash alike; functions of two instances differ."""
    source = figwasp.Module(figwasp.wat('(module (func $f (export "a") (export "b")) (func (export "c")))'))
    one, two = figwasp.load(source), figwasp.load(source)
    assert one.exports.a == one.exports.b and hash(one.exports.a) == hash(one.exports.b)
    assert one.exports.a != one.exports.c and one.exports.a != two.exports.a
    assert one.exports.a != 5 and len({one.exports.a, one.exports.b, one.exports.c, two.exports.a}) == 3


def test_functions_cannot_be_made_by_hand() -> None:
    """The class of functions refuses to be called."""
    with pytest.raises(TypeError):
        figwasp.Func()
    with pytest.raises(TypeError):
        type(load('(module (func (export "f")))').exports.f)()


def test_calls_through_builtins() -> None:
    """A function works as a callback of C code: map, sorted, functools and reduce."""
    from functools import partial, reduce

    inst = load(
        '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))'
        '(func (export "neg") (param i32) (result i32) (i32.sub (i32.const 0) (local.get 0))))'
    )
    assert list(map(inst.add, range(5), range(5))) == [0, 2, 4, 6, 8]
    assert reduce(inst.add, range(10)) == 45
    assert sorted([3, 1, 2], key=inst.neg) == [3, 2, 1]
    assert partial(inst.add, 40)(2) == 42
