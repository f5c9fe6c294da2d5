"""Canonical types and matching: the whole table of abstract heap types, recursion groups, worlds that modules share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from figwasp.errors import Invalid, LimitExceeded
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.types import EXTERNREF, F64, FUNCREF, HEAP_NAMES, I8, I16, I32, NON_NULL, V128, concrete
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.valid.module import validate_module
from figwasp.wasm.valid.subtyping import ModuleTypes, TypeWorld, canonical_type, top_of
from tests.wasm.handmade import binary, section, vec

ABOVE = {
    "none": "none i31 struct array eq any",
    "i31": "i31 eq any",
    "struct": "struct eq any",
    "array": "array eq any",
    "eq": "eq any",
    "any": "any",
    "nofunc": "nofunc func",
    "func": "func",
    "noextern": "noextern extern",
    "extern": "extern",
    "noexn": "noexn exn",
    "exn": "exn",
}

TYPES = """
  (type $void (func)) (type $void2 (func)) (type $openf (sub (func (param i32)))) (type $subf (sub $openf (func (param i32))))
  (type $s (sub (struct))) (type $s1 (sub $s (struct (field i32)))) (type $s2 (sub $s1 (struct (field i32) (field f32))))
  (type $a (array i8))
"""
VOID, VOID2, OPENF, SUBF, S, S1, S2, A = range(8)


def module_of(text: str) -> Module:
    return decode(wat(f"(module {text})"))


def types_of(text: str) -> ModuleTypes:
    module = module_of(text)
    return ModuleTypes(module.types, module.groups)


def nullable(index: int) -> int:
    return concrete(index, nullable=True)


def non_null(index: int) -> int:
    return concrete(index, nullable=False)


def test_the_abstract_hierarchy() -> None:
    types = types_of("")
    assert set(ABOVE) == set(HEAP_NAMES)
    for low, above in ABOVE.items():
        for high in HEAP_NAMES:
            expected = high in above.split()
            code, wanted = HEAP_NAMES[low], HEAP_NAMES[high]
            assert types.matches(code, wanted) == expected, (low, high)
            assert types.matches(code | NON_NULL, wanted) == expected
            assert types.matches(code | NON_NULL, wanted | NON_NULL) == expected
            assert not types.matches(code, wanted | NON_NULL)


@pytest.mark.parametrize(
    ("code", "wanted", "expected"),
    [
        (nullable(VOID), FUNCREF, True),
        (nullable(VOID), HEAP_NAMES["any"], False),
        (HEAP_NAMES["nofunc"], nullable(VOID), True),
        (HEAP_NAMES["none"], nullable(VOID), False),
        (HEAP_NAMES["none"], nullable(S2), True),
        (HEAP_NAMES["none"], non_null(S2), False),
        (HEAP_NAMES["none"] | NON_NULL, non_null(A), True),
        (HEAP_NAMES["nofunc"], nullable(S), False),
        (FUNCREF, nullable(VOID), False),
        (nullable(VOID), nullable(VOID2), True),
        (nullable(VOID), nullable(OPENF), False),
        (nullable(SUBF), nullable(OPENF), True),
        (nullable(OPENF), nullable(SUBF), False),
        (non_null(S2), nullable(S), True),
        (nullable(S2), non_null(S), False),
        (non_null(S2), HEAP_NAMES["struct"], True),
        (non_null(S2), HEAP_NAMES["eq"] | NON_NULL, True),
        (non_null(S2), HEAP_NAMES["array"], False),
        (nullable(A), HEAP_NAMES["array"], True),
        (nullable(A), HEAP_NAMES["struct"], False),
        (I32, I32, True),
        (I32, F64, False),
        (I32, FUNCREF, False),
        (EXTERNREF, V128, False),
        (I8, I8, True),
        (I8, I16, False),
    ],
)
def test_matching(code: int, wanted: int, expected: bool) -> None:
    types = types_of(TYPES)
    assert types.matches(code, wanted) == expected
    assert types.matches(code, wanted) == expected, "remembered"
    numbers = types.numbers
    assert TypeWorld().matches(code, code)
    world = TypeWorld()
    module = module_of(TYPES)
    shared = world.intern(module.types, module.groups)
    assert world.matches(canonical_type(code, shared), canonical_type(wanted, shared)) == expected
    assert numbers == shared


def test_the_top_of_a_hierarchy() -> None:
    module = module_of(TYPES)
    assert top_of(non_null(S2), module.types) == HEAP_NAMES["any"]
    assert top_of(nullable(VOID), module.types) == FUNCREF
    assert {low: top_of(HEAP_NAMES[low], module.types) for low in ABOVE} == {
        low: HEAP_NAMES[above.split()[-1]] for low, above in ABOVE.items()
    }


def test_rep() -> None:
    types = types_of(TYPES)
    assert types.rep == [0, 0, 2, 3, 4, 5, 6, 7]
    assert not types.distinct
    assert types_of("(type (func)) (type (struct))").distinct


# Pairs of type sections in one module: the last types of both; whether they are equal

GROUPS = [
    ("(type (func (param i32)))", "(type (func (param i32)))", True),
    ("(type (func (param i32)))", "(type (func (param i64)))", False),
    ("(type (func (param i32)))", "(type (func (result i32)))", False),
    ("(type (func (param i32 i32)))", "(type (func (param i32) (result i32)))", False),
    ("(type (struct (field i32)))", "(type (struct (field (mut i32))))", False),
    ("(type (struct (field i8)))", "(type (struct (field i16)))", False),
    ("(type (struct (field i8)))", "(type (array i8))", False),
    ("(type (sub (struct)))", "(type (struct))", False),
    ("(type (sub (struct)))", "(type (sub final (struct)))", False),
    ("(type (sub final (struct)))", "(type (struct))", True),
    ("(rec (type (struct)))", "(type (struct))", True),
    ("(rec (type (func)) (type (struct)))", "(rec (type (func)) (type (struct)))", True),
    ("(rec (type (func)) (type (struct)))", "(type (struct))", False),
    ("(rec (type (struct)) (type (func)))", "(rec (type (func)) (type (struct)))", False),
    ("(rec (type $x (struct (field (ref $x)))))", "(rec (type $y (struct (field (ref $y)))))", True),
    ("(rec (type $x (struct (field (ref $x)))))", "(rec (type $y (struct (field (ref null $y)))))", False),
    ("(rec (type $x (struct (field (ref $z)))) (type $z (func)))", "(rec (type $y (struct (field (ref $w)))) (type $w (func)))", True),
    ("(rec (type $x (struct (field (ref $x)))) (type (func)))", "(rec (type (struct (field (ref $w)))) (type $w (func)))", False),
    ("(type $p (func)) (type (struct (field (ref $p))))", "(type $q (func)) (type (struct (field (ref $q))))", True),
    ("(type $p (func)) (type (struct (field (ref $p))))", "(type $q (array i8)) (type (struct (field (ref $q))))", False),
    ("(type $p (sub (func))) (type (sub $p (func)))", "(type $q (sub (func))) (type (sub $q (func)))", True),
    ("(type $p (sub (func))) (type (sub $p (func)))", "(type (func))", False),
    # One place in a group against the index of an earlier type
    ("(type $p (func)) (rec (type (func)) (type (struct (field (ref $p)))))", "(rec (type $q (func)) (type (struct (field (ref $q)))))", False),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "equal"), GROUPS)
def test_equality(one: str, other: str, equal: bool) -> None:
    first = len(module_of(one).types)
    types = types_of(f"{one} {other}")
    last = len(types.numbers) - 1
    assert (types.numbers[first - 1] == types.numbers[last]) == equal
    assert types.equal(nullable(first - 1), nullable(last)) == equal
    assert types.matches(non_null(last), nullable(first - 1)) == equal

    world = TypeWorld()
    modules = [module_of(one), module_of(other)]
    numbers = [world.intern(module.types, module.groups)[-1] for module in modules]
    assert (numbers[0] == numbers[1]) == equal


def test_a_shared_world_follows_supertypes_across_modules() -> None:
    world = TypeWorld()
    library = module_of("(type $unrelated (func)) (type $a (sub (struct))) (type $b (sub $a (struct (field i32))))")
    user = module_of("(type $a (sub (struct)))")
    theirs = world.intern(library.types, library.groups)
    ours = world.intern(user.types, user.groups)
    assert ours == [theirs[1]]
    assert world.derives(theirs[2], ours[0])
    assert not world.derives(ours[0], theirs[2])
    assert world.matches(non_null(theirs[2]), nullable(ours[0]))
    assert world.intern(library.types, library.groups) == theirs


def test_a_world_is_shared_by_threads() -> None:
    world = TypeWorld()
    modules = [module_of("".join(f"(type (func (param {'i32 ' * (start + at)})))" for at in range(40))) for start in range(0, 80, 8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda module: world.intern(module.types, module.groups), modules * 8))
    for numbers, module in zip(found, modules * 8, strict=True):
        assert numbers == world.intern(module.types, module.groups)
    assert len(world.kinds) == 112
    assert len(world.supers) == 112


def test_a_shared_world_forgets_what_all_have_released() -> None:
    world = TypeWorld()
    one = module_of("(type $a (sub (struct))) (rec) (type $b (sub $a (struct (field i32)))) (rec (type (func)) (type (func (param i32))))")
    two = module_of("(type $a (sub (struct))) (type (func (param f64))) (type (func (param f64)))")
    first, second = world.intern(one.types, one.groups), world.intern(two.types, two.groups)
    again = world.intern(one.types, one.groups)
    assert again == first and second[0] == first[0] and len(world.kinds) == 5
    world.releasing(first, one.groups)()
    assert len(world.kinds) == 5 and world.derives(first[1], second[0])
    world.releasing(again, one.groups)()
    world.intern([], [])  # which forgets what has been released
    assert sorted(world.kinds) == sorted(world.supers) == sorted({second[0], second[1]})
    anew = world.intern(one.types, one.groups)
    assert anew[0] == second[0] and not {*anew[1:]} & {*first, *second}  # no number has two meanings, ever
    assert world.derives(anew[1], anew[0])
    world.releasing(anew, one.groups)()
    world.releasing(second, two.groups)()
    world.intern([], [])
    assert not world.kinds and not world.supers


def test_releasing_in_the_middle_of_interning() -> None:
    world = TypeWorld()
    module = module_of("(type (func (param i32)))")
    numbers = world.intern(module.types, module.groups)
    with world._lock:  # as a finalizer finds it that runs while the same thread interns
        world.releasing(numbers, module.groups)()
        assert world.kinds
    other = module_of("(type (func (param i64)))")
    assert len(world.intern(other.types, other.groups)) == len(world.kinds) == 1


def chain(length: int) -> str:
    first = "(type $t0 (sub (struct)))"
    return first + "".join(f"(type $t{at} (sub $t{at - 1} (struct)))" for at in range(1, length + 1))


def test_depth() -> None:
    validate_module(module_of(chain(63)))
    with pytest.raises(LimitExceeded, match="type 64 has more than 63 supertypes"):
        validate_module(module_of(chain(64)))


def test_one_supertype() -> None:
    entries = [b"\x50\0\x5f\0", b"\x50\0\x5f\0", b"\x50\2\0\1\x5f\0"]
    data = binary(section(1, vec(entries)))
    with pytest.raises(Invalid, match="sub type 2 declares 2 supertypes: one at most"):
        validate_module(decode(data))


def test_what_is_remembered_is_bounded() -> None:
    count = 400
    text = "".join(f"(type (struct (field {'i32 ' * at})))" for at in range(count))
    types = types_of(text)
    for code in range(count):
        for wanted in range(count):
            assert types.matches(nullable(code), nullable(wanted)) == (code == wanted)
    assert len(types._memo) <= 1 << 16
