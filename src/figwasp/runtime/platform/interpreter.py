"""Floor 4: what stubs assume about the insides of CPython, which its C API does not promise.

In: the interpreter that runs this. Out: `INTS`, `COUNTS` and so on: how objects are laid out here, as far as it is known.

Theory of operation. Each assumption is a row: the versions of CPython that it has been tried on, a probe that looks at
objects of this very process, and what is done without it. A row holds when the version is one of those and the probe agrees;
otherwise stubs call the C API, which is slower and always right. So a build with other layouts, a debug build or a version that
nobody knows yet costs time, not a crash. What cannot be done without ends in `Unsupported`, in `require`.

Reading is probed by reading. Writing, to counts of references and to values of numbers, is probed by what Python itself does to
the same places.
"""

from __future__ import annotations

import ctypes
import sys

from figwasp.codegen.isa import host
from figwasp.errors import Unsupported
from figwasp.records import NamedTuple
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import BuiltinFunctionType
    from typing import Any, Final

OB_COUNT: Final = 0
OB_TYPE: Final = 8
INT_SIZE: Final = 16  # of an int: the number of digits with the sign in it, as `INT_*` says
INT_DIGIT: Final = 24  # of an int: the first digit of 30 bits, in 4 bytes; the next one follows
INT_STRIDE: Final = 32  # from one to the next of the ints of which there is one object each
FLOAT_VALUE: Final = 16
TUPLE_SIZE: Final = 16
_ITEMS_AT_ONCE: Final = 24  # of a tuple: the first of its references
_ITEMS_BEHIND_HASH: Final = 32
_FUNCTION_DEFINITION: Final = 16  # of a built-in function: its PyMethodDef
_DEFINITION_CODE: Final = 8  # fields of that
_DEFINITION_FLAGS: Final = 16

INT_OPAQUE: Final = 0  # how ints are laid out: not as we know them
INT_SIGNED: Final = 1  # the number of digits, negative for a negative int
INT_TAGGED: Final = 2  # the number of digits above three bits, the lower two of which are 1 minus the sign

COUNT_OPAQUE: Final = 0  # how references are counted: not as we know it
COUNT_WHOLE: Final = 1  # in the first 8 bytes of an object
COUNT_LOW: Final = 2  # in the first 4 bytes; an object whose count is negative is immortal: None is, and ints of one object each

NEWEST: Final = (3, 15)
"""The newest version of CPython that the rows below have been tried on."""
_TRIES: Final = 3
_BLOCK_SELF: Final = 0  # of the block of a thread: its own address (the x86-64 ABI of thread-local storage)

_api: Final = ctypes.pythonapi
_thread_state: Final = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThreadState_Get", _api))
_method_code: Final = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyCFunction_GetFunction", _api))
_method_flags: Final = ctypes.PYFUNCTYPE(ctypes.c_int)(("PyCFunction_GetFlags", _api))


class Assumption(NamedTuple):
    """Something that stubs rely on where it holds.

    Attributes:
        name: a word or two.
        since, until: the versions of CPython it is known for.
        probe: returns whether objects of this process are so.
        otherwise: what is done without it.
    """

    name: str
    since: tuple[int, int]
    until: tuple[int, int]
    probe: Callable[[], bool]
    otherwise: str

    def is_for_this_version(self) -> bool:
        """Return whether the row is for the version of CPython that runs this."""
        return self.since <= sys.version_info[:2] <= self.until

    def holds(self) -> bool:
        """Return whether it holds here; a probe may fail once as another thread comes between."""
        return self.is_for_this_version() and any(self.probe() for _ in range(_TRIES))


def _edge(near: int, far: int) -> int:
    """Return the last int on the way from one towards another of which there is one object only, given that the first is such."""
    while abs(far - near) > 1:
        middle = (near + far) // 2
        text = str(middle)
        near, far = (middle, far) if int(text) is int(text) else (near, middle)
    return near


SINGLETONS: Final = (_edge(0, -1 << 12), _edge(0, 1 << 12))
"""The smallest and the largest int of those of which CPython has one object each."""


def _types() -> bool:
    thing = object()
    return ctypes.c_void_p.from_address(id(thing) + OB_TYPE).value == id(object)


def _whole_counts() -> bool:
    if hasattr(sys, "gettotalrefcount"):  # a debug build adds up all counts, and would miss ours
        return False
    thing = object()
    count = ctypes.c_ssize_t.from_address(id(thing) + OB_COUNT)
    none = ctypes.c_ssize_t.from_address(id(None) + OB_COUNT)
    before = count.value, none.value
    other = [thing, thing, *[None] * 4]
    between = count.value, none.value
    del other
    return between[0] == before[0] + 2 and between[1] - before[1] >= 4 and count.value == before[0] and _counts_one(8)


def _low_counts() -> bool:
    if hasattr(sys, "gettotalrefcount"):
        return False
    thing = object()
    count = ctypes.c_int32.from_address(id(thing) + OB_COUNT)
    single = [ctypes.c_int32.from_address(id(one) + OB_COUNT) for one in (None, 0, SINGLETONS[0], SINGLETONS[1])]
    before = [count.value, *(one.value for one in single)]
    other = [thing, thing, *[None, 0, *SINGLETONS] * 4]
    between = [count.value, *(one.value for one in single)]
    del other
    return between == [before[0] + 2, *before[1:]] and max(before[1:]) < 0 and count.value == before[0] and _counts_one(4)


def _counts_one(size: int) -> bool:
    """Return whether the counts of new numbers that one list holds are 1, in so many bytes."""
    numbers = [int("1234567890"), float("12.5")]
    places = [(ctypes.c_ubyte * size).from_address(id(numbers[k]) + OB_COUNT) for k in range(len(numbers))]
    return all(int.from_bytes(place, "little") == 1 for place in places)


_EDGES: Final = (0, 1, 5, 256, 257, 1 << 29, 2**30 - 1, 1 << 30, 2**30 + 1, 1 << 40, 2**60 - 1, 1 << 60, 2**63 - 1, 1 << 90)


def _ints(kind: int) -> bool:
    """Return whether ints of up to two digits are laid out so, and longer ones can be told from them."""
    samples = [sign * edge for edge in _EDGES for sign in (1, -1)]
    return all(_small_int(sample, kind) == (sample if abs(sample) < 1 << 60 else None) for sample in samples)


def _small_int(number: int, kind: int) -> int | None:
    """Read an int as stubs do; None when it has more than two digits."""
    size = ctypes.c_int64.from_address(id(number) + INT_SIZE).value
    digits = abs(size) if kind == INT_SIGNED else size >> 3
    if not 0 <= digits <= 2:
        return None
    low, high = (ctypes.c_uint32 * 2).from_address(id(number) + INT_DIGIT)
    if digits < 2:
        return int(low) * (size if kind == INT_SIGNED else 1 - (size & 3))
    return int(low | high << 30) * ((size >> 63 | 1) if kind == INT_SIGNED else 1 - (size & 3))


def _signed_ints() -> bool:
    return _ints(INT_SIGNED)


def _tagged_ints() -> bool:
    """Return whether they are, and have no other bit set if they are not one of a kind: so ints that are used again are written."""
    numbers = [int("98765"), int("-98765"), int("1234567890123")]
    tags = [ctypes.c_int64.from_address(id(number) + INT_SIZE).value for number in numbers]
    return _ints(INT_TAGGED) and tags == [1 << 3, 1 << 3 | 2, 2 << 3]


def _array_of_ints() -> bool:
    first, last = SINGLETONS
    return [id(number) - id(first) for number in range(first, last + 1)] == [*range(0, INT_STRIDE * (last + 1 - first), INT_STRIDE)]


def _floats() -> bool:
    samples = (0.0, -1.5, 1e300, 5e-324)
    return all(ctypes.c_double.from_address(id(sample) + FLOAT_VALUE).value == sample for sample in samples)


def _plain_tuples() -> bool:
    return _tuples(_ITEMS_AT_ONCE)


def _hashed_tuples() -> bool:
    return _tuples(_ITEMS_BEHIND_HASH)


def _tuples(first: int) -> bool:
    """Return whether the items of tuples begin at an offset."""
    things = [object() for _ in range(3)]
    for sample in (tuple(things[:count]) for count in range(4)):
        size = ctypes.c_ssize_t.from_address(id(sample) + TUPLE_SIZE).value
        if size != len(sample) or list((ctypes.c_void_p * size).from_address(id(sample) + first)) != [*map(id, sample)]:
            return False
    return True


def _found_place(function: Any) -> int:
    definition = ctypes.c_uint64.from_address(id(function) + _FUNCTION_DEFINITION).value
    code = _method_code(ctypes.py_object(function))
    if not linux.is_writable(definition + _DEFINITION_CODE):
        return 0
    found, flags = linux.read_u64(definition + _DEFINITION_CODE), linux.read_u32(definition + _DEFINITION_FLAGS)
    name = ctypes.c_char_p.from_address(definition).value
    same = found == code and flags == _method_flags(ctypes.py_object(function)) and name == function.__name__.encode()
    return definition + _DEFINITION_CODE if same else 0


def _definitions() -> bool:
    return bool(_found_place(len))


def _thread_states() -> bool:
    return _thread_state_offset() is not None


def _thread_state_offset() -> int | None:
    """Return where `thread_word` finds what PyThreadState_Get returns; None when that cannot be told."""
    function = ctypes.cast(_api.PyThreadState_Get, ctypes.c_void_p).value or 0
    offset = host().sequences.thread_offset(function, linux.read, linux.thread_local_offset)
    if offset is None:
        return None
    block = linux.this_thread()
    found = linux.read_u64(block + offset - (offset >> 31 << 32)) if linux.read_u64(block + _BLOCK_SELF) == block else 0
    return offset if found == _thread_state() else None


_BY_API: Final = "stubs call the C API"
_UNCOUNTED: Final = f"{_BY_API}, and arguments of host functions are new objects each time"
_BEHIND: Final = "handlers of SIGSEGV that faulthandler installs come before ours"
_LATE: Final = "thread states"
"""The row that is tried when stubs are built: looking at the machine code of CPython takes the modules of the compiler."""
ASSUMPTIONS: Final = (
    Assumption("types of objects", (3, 11), (3, 99), _types, "figwasp does not run"),
    Assumption("whole counts", (3, 11), (3, 11), _whole_counts, _UNCOUNTED),
    Assumption("low counts", (3, 12), NEWEST, _low_counts, _UNCOUNTED),
    Assumption("signed ints", (3, 11), (3, 11), _signed_ints, _BY_API),
    Assumption("tagged ints", (3, 12), NEWEST, _tagged_ints, _BY_API),
    Assumption("array of ints", (3, 11), NEWEST, _array_of_ints, _BY_API),
    Assumption("floats", (3, 11), NEWEST, _floats, _BY_API),
    Assumption("plain tuples", (3, 11), (3, 13), _plain_tuples, _BY_API),
    Assumption("hashed tuples", (3, 14), NEWEST, _hashed_tuples, _BY_API),
    Assumption(_LATE, (3, 12), NEWEST, _thread_states, _BY_API),
    Assumption("built-in functions", (3, 11), NEWEST, _definitions, _BEHIND),
)
_holding: Final = {row.name for row in ASSUMPTIONS if row.name != _LATE and row.holds()}

INTS: Final = INT_SIGNED if "signed ints" in _holding else INT_TAGGED if "tagged ints" in _holding else INT_OPAQUE
COUNTS: Final = COUNT_WHOLE if "whole counts" in _holding else COUNT_LOW if "low counts" in _holding else COUNT_OPAQUE
THREAD_STATE: int | None
"""What `thread_word` is given to load the address of the thread's PyThreadState; None where PyThreadState_Get is called."""
FLOATS: Final = "floats" in _holding
TUPLE_ITEMS: Final = _ITEMS_AT_ONCE if "plain tuples" in _holding else _ITEMS_BEHIND_HASH if "hashed tuples" in _holding else 0
"""Where in a tuple the first of its references is; 0 where that is not known."""
SINGLE_INTS: Final = "array of ints" in _holding
"""Whether the objects of `SINGLETONS` stand one behind the other, `INT_STRIDE` bytes apart."""


def __getattr__(name: str) -> Any:
    """Find `THREAD_STATE` when it is first asked for."""
    if name != "THREAD_STATE":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    holds = any(row.holds() for row in ASSUMPTIONS if row.name == _LATE)
    found = globals()[name] = _thread_state_offset() if holds else None
    return found


def require() -> None:
    """Make sure that the interpreter has what cannot be done without.

    Raises:
        Unsupported: it has not.
    """
    if "types of objects" not in _holding:
        raise Unsupported("this build of CPython lays objects out differently")


def method_place(function: BuiltinFunctionType) -> int:
    """Return the address of the word by which CPython finds the C function of a built-in function; 0 when it is not as we think."""
    return _found_place(function) if "built-in functions" in _holding else 0
