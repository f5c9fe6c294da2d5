"""Memory that guests give out: every convention, guests that fail or lie, and blocks that are left by an exception."""

from __future__ import annotations

import array
from typing import Any

import pytest

import figwasp
from tests.runtime.support import load

PAGE = 65536
GUEST = """(module $plugin
  (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
  (import "host" "answer" (func $answer (result i32)))
  (memory (export "memory") 1) %s)"""


class Guest:
    """An instance with some allocator, what its functions have been called with, and what they are to answer."""

    def __init__(self, functions: str) -> None:
        self.calls: list[tuple[int, ...]] = []
        self.answers: list[int] = []
        self.instance = load(GUEST % functions, {"host": {"log": self._log, "answer": self._answer}})

    def _log(self, function: int, *arguments: int) -> None:
        self.calls.append((function, *arguments))

    def _answer(self) -> int:
        return self.answers.pop(0)

    @property
    def memory(self) -> figwasp.Memory:
        memory: figwasp.Memory = self.instance.exports.memory
        return memory


def function(number: int, name: str, count: int, result: bool) -> str:
    """Write an export that tells with which arguments it is called, -1 for those it does not have, and returns the next answer."""
    arguments = " ".join(f"(local.get {k})" if k < count else "(i32.const -1)" for k in range(4))
    answer = ("(result i32)", "(call $answer)") if result else ("", "")
    return f'(func (export "{name}") (param {"i32 " * count}) {answer[0]} (call $log (i32.const {number}) {arguments}) {answer[1]})'


def allocating(malloc: str, takes: int, free: str, frees: int) -> Guest:
    """Make a guest with two functions, numbered 1 and 2."""
    return Guest(function(1, malloc, takes, True) + (function(2, free, frees, False) if free else ""))


@pytest.fixture
def guest() -> Guest:
    return allocating("malloc", 1, "free", 1)


@pytest.mark.parametrize(
    ("malloc", "takes", "free", "frees", "allocated", "freed"),
    [
        ("malloc", 1, "free", 1, (1, 5, -1, -1, -1), (2, 64, -1, -1, -1)),
        ("malloc", 1, "free", 2, (1, 5, -1, -1, -1), (2, 64, 5, -1, -1)),
        ("alloc", 1, "dealloc", 2, (1, 5, -1, -1, -1), (2, 64, 5, -1, -1)),
        ("alloc", 2, "dealloc", 3, (1, 5, 1, -1, -1), (2, 64, 5, 1, -1)),
        ("allocate", 1, "deallocate", 2, (1, 5, -1, -1, -1), (2, 64, 5, -1, -1)),
        ("cabi_realloc", 4, "", 0, (1, 0, 0, 1, 5), None),
        ("malloc", 1, "", 0, (1, 5, -1, -1, -1), None),
    ],
)
def test_conventions(malloc: str, takes: int, free: str, frees: int, allocated: tuple[int, ...], freed: tuple[int, ...] | None) -> None:
    """The functions are found by their names, and get as many arguments as they have parameters."""
    guest = allocating(malloc, takes, free, frees)
    allocator = figwasp.Allocator(guest.instance)
    assert repr(allocator) == f"<figwasp.Allocator {malloc}, {free or 'nothing freed'}>" and allocator.memory == guest.memory
    guest.answers = [64]
    with allocator.bytes(b"a\0b\xffc") as (pointer, size):
        assert (pointer, size) == (64, 5) and guest.memory[64:69] == b"a\0b\xffc"
        assert guest.calls == [allocated]
    assert guest.calls == [allocated] + ([freed] if freed else [])


def test_the_first_convention_is_taken() -> None:
    names = [("malloc", "free"), ("alloc", "dealloc"), ("allocate", "deallocate")]
    while names:
        both = "".join(function(0, malloc, 1, True) + function(0, free, 2, False) for malloc, free in reversed(names))
        assert repr(figwasp.Allocator(Guest(both).instance)) == f"<figwasp.Allocator {names[0][0]}, {names[0][1]}>"
        names = names[1:]


def test_functions_that_are_given() -> None:
    """Names and functions may be given; what belongs to a known name is found."""
    instance = Guest(
        function(1, "malloc", 1, True) + function(2, "free", 1, False) + function(3, "alloc", 1, True) + function(4, "dealloc", 2, False)
        + function(5, "grab", 1, True) + function(6, "drop", 3, True) + function(7, "cabi_realloc", 4, True)
    ).instance  # fmt: skip
    for malloc, free, expected in (
        ("alloc", None, "alloc, dealloc"), (instance.alloc, None, "alloc, dealloc"), ("grab", None, "grab, nothing freed"),
        ("grab", "drop", "grab, drop"), (instance.grab, instance.exports["drop"], "grab, drop"), (None, "drop", "malloc, drop"),
        ("cabi_realloc", "cabi_realloc", "cabi_realloc, cabi_realloc"), ("malloc", "dealloc", "malloc, dealloc"),
    ):  # fmt: skip
        assert repr(figwasp.Allocator(instance, malloc, free)) == f"<figwasp.Allocator {expected}>"


def test_realloc_frees_where_that_is_asked_for() -> None:
    guest = allocating("cabi_realloc", 4, "", 0)
    allocator = figwasp.Allocator(guest.instance, free="cabi_realloc")
    guest.answers = [64, 0]
    allocator.free(allocator.malloc(12, 4), 12, 4)
    assert guest.calls == [(1, 0, 0, 4, 12), (1, 64, 12, 4, 0)]


def test_plain_calls(guest: Guest) -> None:
    """Pointers are unsigned; freeing 0 is nothing; a size is asked for where it is needed."""
    guest.answers = [1000, 0]
    allocator = figwasp.Allocator(guest.instance)
    assert allocator.malloc(3) == 1000 and allocator.malloc(0) == 0
    allocator.free(-16)
    allocator.free(2**32 - 16)
    allocator.free(0)
    assert guest.calls == [(1, 3, -1, -1, -1), (1, 0, -1, -1, -1), (2, -16, -1, -1, -1), (2, -16, -1, -1, -1)]
    with pytest.raises(ValueError, match="cannot be negative"):
        allocator.malloc(-1)
    with pytest.raises(OverflowError):
        allocator.malloc(2**32)
    needy = allocating("alloc", 1, "dealloc", 2)
    with pytest.raises(TypeError, match=r"dealloc.* has to be told the size"):
        figwasp.Allocator(needy.instance).free(64)
    assert needy.calls == []


def test_text(guest: Guest) -> None:
    allocator = figwasp.Allocator(guest.instance)
    guest.memory.write(0, b"\xaa" * 200)
    guest.answers = [100, 120, 140, 160, 0]
    with allocator.str("héllo") as (pointer, size):
        assert guest.memory.read_str(pointer, size) == "héllo" and size == 6
    with allocator.str("héllo", "latin-1") as (pointer, size):
        assert guest.memory.read(pointer, size + 1) == b"h\xe9llo\xaa"
    with allocator.cstr("añb") as pointer:
        assert guest.memory.read_cstr(pointer) == "añb" and guest.memory[pointer + 5] == 0xAA
    with allocator.cstr("", "utf-16-le") as pointer:
        assert guest.memory.read(pointer, 2) == b"\0\0"
    with allocator.str("") as place:
        assert place == (0, 0)
    sizes = [call[1] for call in guest.calls if call[0] == 1]
    assert sizes == [6, 5, 5, 2, 0]
    assert [call[:2] for call in guest.calls if call[0] == 2] == [(2, 100), (2, 120), (2, 140), (2, 160)], "0 is not freed"


def test_what_cannot_be_copied_is_not_allocated(guest: Guest) -> None:
    allocator = figwasp.Allocator(guest.instance)
    blocks: list[tuple[Any, type[Exception]]] = [
        (allocator.cstr("a\0b"), ValueError), (allocator.str("é", "ascii"), UnicodeEncodeError), (allocator.bytes(5), TypeError),  # type: ignore[arg-type]
        (allocator.bytes("text"), TypeError), (allocator.string("text"), TypeError),  # type: ignore[arg-type]
    ]  # fmt: skip
    for block, error in blocks:
        with pytest.raises(error), block:
            pytest.fail("the block must not be entered")
    assert guest.calls == []


def test_buffers(guest: Guest) -> None:
    numbers = array.array("i", [1, -2, 3])
    allocator = figwasp.Allocator(guest.instance)
    for data, expected in ((numbers, numbers.tobytes()), (bytearray(b"ab"), b"ab"), (memoryview(b"a-b-c")[::2], b"abc")):
        guest.answers = [100]
        with allocator.bytes(data) as (pointer, size):
            assert guest.memory.read(pointer, size) == expected


# What guests do wrong


def test_no_memory_left(guest: Guest) -> None:
    guest.answers = [0]
    allocator = figwasp.Allocator(guest.instance)
    with pytest.raises(MemoryError, match=r"cannot allocate 3 bytes: malloc\(\) returned 0"), allocator.bytes(b"abc"):
        pytest.fail("the block must not be entered")
    assert [call[0] for call in guest.calls] == [1]


@pytest.mark.parametrize("pointer", [PAGE - 2, PAGE, -1, -(2**31), 2**31 - 1])
def test_pointers_that_lie_elsewhere(guest: Guest, pointer: int) -> None:
    guest.answers = [pointer] * 2
    allocator = figwasp.Allocator(guest.instance)
    guest.memory.write(0, b"\xaa" * PAGE)
    with pytest.raises(IndexError, match=rf"malloc\(\) returned {pointer % 2**32}: 3 bytes there do not lie in"):
        allocator.malloc(3)
    with pytest.raises(IndexError), allocator.bytes(b"abc"):
        pytest.fail("the block must not be entered")
    assert guest.memory.read(0, PAGE) == b"\xaa" * PAGE and [call[0] for call in guest.calls] == [1, 1]


def test_a_memory_that_grows_meanwhile() -> None:
    """Pieces in the part that an allocation has added are as good as others."""
    grower = load("""(module (memory (export "memory") 1) (func (export "malloc") (param i32) (result i32)
        (i32.mul (i32.const 65536) (memory.grow (i32.const 1)))) (func (export "free") (param i32)))""")
    with figwasp.Allocator(grower).bytes(bytes(range(256)) * 256) as (pointer, size):
        assert pointer == PAGE and grower.memory.read(pointer, size) == bytes(range(256)) * 256


def test_a_trap_while_allocating(guest: Guest) -> None:
    guest.instance = load('(module (memory 1) (func (export "malloc") (param i32) (result i32) unreachable))')
    with pytest.raises(figwasp.Trap, match="unreachable"), figwasp.Allocator(guest.instance).str("text"):
        pytest.fail("the block must not be entered")


FREE_TRAPS = """(module (memory 1) (func (export "malloc") (param i32) (result i32) (i32.const 64))
    (func (export "free") (param i32) unreachable))"""


def test_a_trap_while_freeing() -> None:
    """It is raised if all went well, and else a note to what went wrong first."""
    allocator = figwasp.Allocator(load(FREE_TRAPS))
    with pytest.raises(figwasp.Trap, match="unreachable"), allocator.str("text"):
        pass
    for error in (KeyError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, allocator.cstr("text"):
            raise error
        assert caught.value is error
        (note,) = error.__notes__
        assert note.startswith("and freeing 64 failed: unreachable")


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), StopIteration(), GeneratorExit()])
@pytest.mark.parametrize("method", ["bytes", "str", "cstr"])
def test_an_exception_in_the_block(guest: Guest, error: BaseException, method: str) -> None:
    """It goes on as it is, after the piece has been freed."""
    allocator = figwasp.Allocator(guest.instance)
    guest.answers = [64]
    with pytest.raises(type(error)) as caught, getattr(allocator, method)(b"abc" if method == "bytes" else "abc"):
        raise error
    assert caught.value is error and not hasattr(error, "__notes__")
    assert [call[:2] for call in guest.calls] == [(1, 4 if method == "cstr" else 3), (2, 64)]


def test_an_exception_frees_as_the_end_of_the_block_does() -> None:
    guest = allocating("alloc", 2, "dealloc", 3)
    guest.answers = [64]
    with pytest.raises(KeyError), figwasp.Allocator(guest.instance).bytes(b"abc"):
        raise KeyError
    assert guest.calls == [(1, 3, 1, -1, -1), (2, 64, 3, 1, -1)]


def test_another_memory(guest: Guest) -> None:
    """A memory may be given, and its bounds count."""
    small, large = figwasp.Memory(0), figwasp.Memory(2)
    guest.answers = [64, PAGE + 64]
    with pytest.raises(IndexError, match="of 0 pages"):
        figwasp.Allocator(guest.instance, memory=small).malloc(1)
    with figwasp.Allocator(guest.instance, memory=large).bytes(b"abc") as (pointer, size):
        assert large.read(pointer, size) == b"abc" and pointer == PAGE + 64


def test_instances_that_do_not_fit() -> None:
    """It is told what was looked for, and what there is."""
    for text, options, message in (
        ('(memory 1) (func (export "greet"))', {}, r"exporting greet> has no allocator: it exports none of malloc, alloc, .*__new$"),
        ('(func (export "malloc") (param i32) (result i32) (i32.const 0))', {}, "exporting malloc> has no memory"),
        ("(memory 1)", {"malloc": "grab"}, "exporting nothing> has no 'grab'"),
        ("(memory 1)", {"memory": "memory"}, "'memory' is no figwasp.Memory"),
        ('(memory (export "malloc") 1)', {}, "'malloc' is no function but <figwasp.Memory"),
        ('(memory 1) (func (export "malloc") (param i32))', {}, r"Func malloc \(i32\) -> \(\)> is no such function: 1 or 2 or 4 parameters and"),
        ('(memory 1) (func (export "malloc") (result i32) (i32.const 0))', {}, r"malloc \(\) -> i32> is no such"),
        ('(memory 1) (func (export "malloc") (param f32) (result f32) (local.get 0))', {}, "all i32 or all i64 are needed"),
        ('(memory 1) (func (export "malloc") (param i32) (result i64) (i64.const 0))', {}, "all i32 or all i64 are needed"),
        ('(memory 1) (func (export "malloc") (param i32 i32 i32) (result i32) (i32.const 0))', {}, "1 or 2 or 4 parameters"),
        ('(memory 1) (func (export "malloc") (param i32) (result i32) (i32.const 0)) (func (export "free"))', {}, r"free \(\) -> \(\)> is no such"),
        ('(memory 1) (func (export "__new") (param i32 i32) (result i32) (i32.const 0))', {}, "has no '__pin'"),
    ):  # fmt: skip
        given: dict[str, Any] = options
        with pytest.raises(TypeError, match=message):
            figwasp.Allocator(load(f"(module {text})"), **given)


def test_the_export_without_a_name_is_no_part_of_a_convention() -> None:
    guest = Guest(function(1, "cabi_realloc", 4, True) + function(2, "", 1, False))
    assert repr(figwasp.Allocator(guest.instance)) == "<figwasp.Allocator cabi_realloc, nothing freed>"


def test_a_closed_instance(guest: Guest) -> None:
    allocator = figwasp.Allocator(guest.instance)
    guest.instance.close()
    with pytest.raises(figwasp.Closed):
        allocator.malloc(1)
    with pytest.raises(figwasp.Closed):
        figwasp.Allocator(guest.instance)


# Other guests


def test_memory_of_64_bits() -> None:
    wide = load("""(module (memory (export "memory") i64 1) (global (export "freed") (mut i64) (i64.const 0))
        (func (export "malloc") (param i64) (result i64) (i64.sub (i64.const 0x10000) (local.get 0)))
        (func (export "free") (param i64) (global.set 0 (local.get 0))))""")
    allocator = figwasp.Allocator(wide)
    with allocator.str("text") as (pointer, size):
        assert pointer == PAGE - 4 and wide.memory.read_str(pointer, size) == "text"
    assert wide.freed.value == PAGE - 4
    with pytest.raises(IndexError, match=r"malloc\(\) returned 18446744073709486080: "):
        allocator.malloc(2**17)


def test_the_caller_of_a_host_function() -> None:
    """A host function returns text in memory of the guest that has called it, also if that exports no memory."""

    def name(caller: figwasp.Caller) -> int:
        allocator = figwasp.Allocator(caller)
        pointer = allocator.malloc(4)
        allocator.memory.write(pointer, b"Ada\0")
        return pointer

    text = """(module (import "host" "name" (func $name (result i32))) (memory 1)
        (func (export "malloc") (param i32) (result i32) (i32.const 640))
        (func (export "second") (result i32) (i32.load8_u offset=1 (call $name))))"""
    assert load(text, {"host": {"name": name}}).second() == ord("d")


ASSEMBLYSCRIPT = function(1, "__new", 2, True) + function(2, "__pin", 1, True) + function(3, "__unpin", 1, False)


def test_strings_of_assemblyscript() -> None:
    """They are of class 2, in UTF-16, and pinned in the block; their sizes stand before them."""
    guest = Guest(ASSEMBLYSCRIPT)
    allocator = figwasp.Allocator(guest.instance)
    assert repr(allocator) == "<figwasp.Allocator __new, __unpin>"
    for text, size in (("hé", 4), ("", 0), ("\U0001f600", 4), ("\ud800x", 4)):
        guest.answers, guest.calls = [64, 64], []
        with allocator.string(text) as pointer:
            assert guest.calls == [(1, size, 2, -1, -1), (2, 64, -1, -1, -1)] and pointer == 64
            guest.memory.write_u32(60, size)
            assert allocator.read_string(pointer) == text
        assert guest.calls[2:] == [(3, 64, -1, -1, -1)]
    guest.answers, guest.calls = [64, 64], []
    with allocator.str("hé") as (pointer, size):
        assert guest.memory.read_str(pointer, size) == "hé"
    assert [call[:3] for call in guest.calls] == [(1, 3, 1), (2, 64, -1), (3, 64, -1)], "bytes are in an ArrayBuffer"


def test_strings_of_assemblyscript_beyond_2_gib() -> None:
    """Their pointers are negative as functions return them."""
    guest = Guest(ASSEMBLYSCRIPT)
    allocator = figwasp.Allocator(guest.instance, memory=figwasp.Memory(2**15 + 1))
    guest.answers = [-(2**31) + 64] * 2
    with allocator.string("hé") as pointer:
        assert pointer == 2**31 + 64
        allocator.memory.write_u32(pointer - 4, 4)
        assert allocator.read_string(pointer) == allocator.read_string(pointer - 2**32) == "hé"


def test_strings_of_assemblyscript_that_lie_elsewhere() -> None:
    guest = Guest(ASSEMBLYSCRIPT)
    allocator = figwasp.Allocator(guest.instance)
    guest.memory.write_u32(60, PAGE - 62)
    guest.memory.write_u32(PAGE - 4, 0)
    for pointer in (0, 3, 64, PAGE + 1, -1, -64):
        with pytest.raises(IndexError):
            allocator.read_string(pointer)
    assert allocator.read_string(PAGE) == ""
    guest.memory.write_u32(60, 3)
    with pytest.raises(UnicodeDecodeError):
        allocator.read_string(64)
    guest.answers = [PAGE - 2]
    with pytest.raises(IndexError), allocator.string("ab"):
        pytest.fail("the block must not be entered")
    assert [call[0] for call in guest.calls] == [1], "what lies elsewhere is not pinned"
