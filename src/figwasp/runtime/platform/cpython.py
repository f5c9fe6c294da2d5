"""Floor 4: CPython: addresses of C API functions that stubs call, and heap types whose slots are emitted code.

All of it is what the C API promises; what it does not is in `interpreter`.
"""

from __future__ import annotations

import ctypes
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any, Final

_api: Final = ctypes.pythonapi
_bases: Final[dict[type, type]] = {}
"""Type made by `make_type` -> the class with its methods."""
_keep: Final[list[object]] = []  # specs, names and member tables that types refer to for ever

VECTORCALL_OFFSET_FLAG: Final = 1 << 63

_SLOT_GETBUFFER: Final = 1
_SLOT_RELEASEBUFFER: Final = 2
_SLOT_CALL: Final = 50
_SLOT_CLEAR: Final = 51
_SLOT_DEALLOC: Final = 52
_SLOT_TRAVERSE: Final = 71
_SLOT_MEMBERS: Final = 72

_FLAG_DISALLOW_INSTANTIATION: Final = 1 << 7
_FLAG_VECTORCALL: Final = 1 << 11
_FLAG_GC: Final = 1 << 14

_T_OBJECT: Final = 6
_T_PYSSIZET: Final = 19
_READONLY: Final = 1


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("function", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.c_void_p),
    )


class _Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def _prototype(name: str, result: Any) -> Any:
    """Return a function of the C API. Its callers make ctypes objects of the arguments, which are no C ints: see `linux`."""
    function = ctypes.PYFUNCTYPE(result)
    return function((name, _api))


_object: Final = ctypes.py_object
_Size: Final = ctypes.c_size_t
_Pointer: Final = ctypes.c_void_p
_member: Final = _Member(b"", _T_OBJECT)
_REFERENCE: Final = _Pointer(ctypes.addressof(_member))
_type_from_spec: Final = _prototype("PyType_FromSpecWithBases", _object)
_generic_alloc: Final = _prototype("PyType_GenericAlloc", _object)
_set_member: Final = _prototype("PyMember_SetOne", ctypes.c_int)
thread_state: Final = _prototype("PyThreadState_Get", _Pointer)
_new_frame: Final = _prototype("PyFrame_New", _object)
_raw_calloc: Final = _prototype("PyMem_RawCalloc", _Pointer)
_raw_free: Final = _prototype("PyMem_RawFree", None)


def new_frame(code: CodeType, names: dict[str, Any], values: dict[str, Any]) -> FrameType:
    """Make a frame object of this thread that does not run, with globals and locals."""
    frame: FrameType = _new_frame(_Pointer(thread_state()), _object(code), _object(names), _object(values))
    return frame


def raw_calloc(count: int, size: int) -> int:
    """Allocate zeroed memory; return its address."""
    block: int = _raw_calloc(_Size(count), _Size(size))
    return block


def raw_free(block: int) -> None:
    """Give memory from `raw_calloc` back."""
    _raw_free(_Pointer(block))


def freeing(block: int) -> Callable[[], None]:
    """Return what gives memory from `raw_calloc` back, and is written in C."""
    return partial(_raw_free, _Pointer(block))


def _nest(levels: int) -> tuple[Any, ...]:
    """Return tuples in tuples."""
    nested: tuple[Any, ...] = ()
    for _ in range(levels):
        nested = (nested,)
    return nested


_ROOM: Final = _nest(8)  # more than ctypes needs to convert one argument, and what is done `together` on the way there


def check_recursion() -> None:
    """Make sure that emitted code can be called through a ctypes function that converts its arguments.

    Raises:
        RecursionError: too little is left for that; ctypes would say ArgumentError.
    """
    isinstance(None, _ROOM)  # goes down a level for each tuple


def address(name: str) -> int:
    """Return the address of a C API function."""
    return ctypes.c_uint64.from_address(ctypes.addressof(getattr(_api, name))).value


def raise_in_thread(ident: int, kind: type[BaseException]) -> None:
    """Have an exception raised in a thread as soon as it executes Python code."""
    _api.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))


def make_type(
    name: str,
    size: int,
    base: type,
    *,
    traverse: int,
    clear: int,
    dealloc: int,
    vectorcall_offset: int = 0,
    getbuffer: int = 0,
    releasebuffer: int = 0,
) -> type:
    """Make a heap type whose slots are emitted code.

    Args:
        name: qualified name, "figwasp.Func".
        size: bytes of an instance, the object header included.
        base: a Python class with empty `__slots__` that holds the methods.
        traverse, clear, dealloc, getbuffer, releasebuffer: addresses of the slots' code.
        vectorcall_offset: where instances hold the address of their vectorcall code, 0 when they are not callable.

    Returns:
        The type; it can be instantiated by `new_object` only.
    """
    flags = _FLAG_GC | _FLAG_DISALLOW_INSTANTIATION
    slots = [(_SLOT_TRAVERSE, traverse), (_SLOT_CLEAR, clear), (_SLOT_DEALLOC, dealloc)]
    if getbuffer:
        slots.append((_SLOT_GETBUFFER, getbuffer))
    if releasebuffer:
        slots.append((_SLOT_RELEASEBUFFER, releasebuffer))
    if vectorcall_offset:
        flags |= _FLAG_VECTORCALL
        slots.append((_SLOT_CALL, address("PyVectorcall_Call")))
        members = (_Member * 2)(_Member(b"__vectorcalloffset__", _T_PYSSIZET, vectorcall_offset, _READONLY, None), _Member())
        slots.append((_SLOT_MEMBERS, ctypes.addressof(members)))
        _keep.append(members)
    table = (_Slot * (len(slots) + 1))(*[_Slot(slot, function) for slot, function in slots], _Slot(0, None))
    spec = _Spec(name.encode(), size, 0, flags, ctypes.addressof(table))
    _keep.append((table, spec))
    made: type = _type_from_spec(_Pointer(ctypes.addressof(spec)), _object((base,)))
    _bases[made] = base
    return made


def new_object(type_: type) -> Any:
    """Make an instance of a type from `make_type`, its fields zero."""
    return _generic_alloc(_object(type_), _Size(0))


def check_type(thing: object, base: type) -> None:
    """Make sure that an object has the fields of the type made for a class, or one derived from it: methods take anything.

    Raises:
        TypeError: it has not.
    """
    found = _bases.get(type(thing))
    if found is not base and (found is None or not issubclass(found, base)):
        raise TypeError(f"this is no {base.__name__} but {type(thing).__name__}")


def set_field(thing: object, offset: int, value: int) -> None:
    """Set a plain field of a native object."""
    ctypes.c_uint64.from_address(id(thing) + offset).value = value


def get_field(thing: object, offset: int) -> int:
    """Read a plain field of a native object."""
    return ctypes.c_uint64.from_address(id(thing) + offset).value


def set_reference(address_: int, value: object) -> None:
    """Store a new reference to `value` at an address, in one step, and drop the one that is there, if any."""
    _set_member(_Pointer(address_), _REFERENCE, _object(value))


def setting_reference(address_: int, value: object) -> Callable[[], object]:
    """Return what does the same, and is written in C."""
    return partial(_set_member, _Pointer(address_), _REFERENCE, _object(value))


def clearing_reference(address_: int) -> Callable[[], object]:
    """Return what clears an address, then drops the reference that was there, if any; written in C."""
    return partial(_set_member, _Pointer(address_), _REFERENCE, _Pointer())


def object_at(address_: int) -> Any:
    """Return the Python object whose pointer stands at an address."""
    return ctypes.py_object.from_address(address_).value
