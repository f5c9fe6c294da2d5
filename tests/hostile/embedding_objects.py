"""Cases of `embedding`: objects that refer to native memory, used as no object should be."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import figwasp
from tests.hostile.embedding_guest import MODULE, case, harmless, load, raises, sound

# What is no ordinary object


def things(inst: Any) -> Iterator[Any]:
    """Give one object of every kind that refers to native memory."""
    yield from (inst, inst.exports, inst.exports.add, inst.memory, inst.table, inst.n, inst.acall, inst.acall["add"])
    yield inst._owner
    yield inst._state


@case
def copies_and_pickles() -> None:
    """What cannot be copied or pickled says so; what can gives something that works; nothing is shared by accident."""
    inst = load()
    makers: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))]
    for thing in things(inst):
        for make in makers:
            try:
                made = make(thing)
            except (TypeError, AttributeError, pickle.PicklingError, ValueError, figwasp.Error, RecursionError, KeyError):
                continue
            repr(made)
            del made
            gc.collect()
        for protocol in range(6):
            try:
                thing.__reduce_ex__(protocol)
            except Exception as error:
                harmless(error)
    gc.collect()
    sound(inst)
    again = pickle.loads(pickle.dumps(MODULE))
    assert load(module=again).add(1, 2) == 3


@case
def objects_made_the_wrong_way() -> None:
    """`__new__`, `__init__`, subclasses, `__class__` and attributes do not get at native fields that are not there."""
    inst = load()
    for thing in things(inst):
        kind: Any = type(thing)
        for make in (kind, lambda kind=kind: kind.__new__(kind), lambda kind=kind: object.__new__(kind), lambda kind=kind: type("Sub", (kind,), {})()):
            poke(make)
        for base in kind.__mro__[:-1]:
            for make in (lambda base=base: object.__new__(base), lambda base=base: object.__new__(type("Sub", (base,), {}))):
                poke(make)
        for name, value in (("__class__", int), ("__class__", list), ("__dict__", {}), ("anything", 1), ("owner", None), ("_record", None)):
            try:
                setattr(thing, name, value)
            except (TypeError, AttributeError):
                continue
        for name in ("__dict__", "owner", "state", "exports", "core"):
            if isinstance(thing, (figwasp.Func, figwasp.Memory)):
                try:
                    delattr(thing, name)
                except (TypeError, AttributeError):
                    continue
    sound(load())


def poke(make: Callable[[], Any]) -> None:
    """Make an object that should not be and use whatever it has; it may raise what it likes."""
    try:
        thing = make()
    except Exception as error:
        harmless(error)
        return
    for name in dir(type(thing)):
        if name in ("__class__", "__del__", "close", "__init_subclass__", "__subclasshook__", "__new__"):
            continue
        try:
            value = getattr(thing, name)
            if callable(value):
                for args in ((), (1,), (1, 2), (thing,)):
                    try:
                        dispose(value(*args))
                    except Exception as error:
                        harmless(error)
        except Exception as error:
            harmless(error)
    for use in (repr, str, hash, len, iter, bytes, memoryview, list, bool, lambda x: x[0], lambda x: x(), lambda x: x(1, 2), lambda x: x == x):
        try:
            dispose(use(thing))
        except Exception as error:
            harmless(error)


def dispose(result: object) -> None:
    """Close a coroutine that nobody is going to await."""
    if hasattr(result, "cr_await"):
        result.close()  # type: ignore[attr-defined]


@case
def methods_of_other_objects() -> None:
    """Methods and properties called with an object of another kind are TypeErrors, not reads of whatever is there."""
    inst = load()
    strangers: list[Any] = [None, 5, object(), [], inst, inst.exports.add, inst.memory, type(inst.memory), "text" * 50]
    for thing in things(inst):
        for name in dir(type(thing)):
            attribute = getattr(type(thing), name, None)
            if name.startswith("__") and name not in ("__len__", "__getitem__", "__repr__", "__eq__", "__hash__", "__call__", "__iter__"):
                continue
            if name == "close":
                continue
            for stranger in strangers:
                if isinstance(stranger, type(thing)):
                    continue
                for function in (getattr(attribute, "fget", None), attribute):
                    if callable(function):
                        for args in ((), (1,), (1, 2)):
                            try:
                                dispose(function(stranger, *args))
                            except Exception as error:
                                harmless(error)
    sound(inst)


@case
def buffers_of_every_kind() -> None:
    """Memory reads and writes with odd offsets, sizes, slices and buffers; some of them change or close what they go to."""
    inst = load()
    memory = inst.memory
    size = len(memory)

    class Growing:
        def __index__(self) -> int:
            inst.grow()
            memory.grow(1)
            return 10

    view = memoryview(memory)
    for key in (size, -size - 1, 1 << 70, -(1 << 70), "x", None, 1.5):
        raises((IndexError, TypeError), lambda key=key: memory[key])
    assert memory[Growing()] == 0 and memory[Growing() : 20 : 1] == bytes(10)
    memory[Growing()] = Growing()
    assert memory[10] == 10 and len(view) == size < len(memory)
    for offset, count in ((-1, 1), (0, -1), (len(memory), 1), (1 << 63, 1), (1, 1 << 63), (1 << 70, 1), (0, len(memory) + 1)):
        raises((IndexError, OverflowError, ValueError, MemoryError), memory.read, offset, count)
    for offset in (-1, len(memory), 1 << 63, 1 << 64, -(1 << 64)):
        raises((IndexError, OverflowError, ValueError), memory.write, offset, b"x")
        raises((IndexError, OverflowError, ValueError), memory.read_u32, offset)
        raises((IndexError, OverflowError, ValueError), memory.write_f64, offset, 1.0)
    for value in ("text", 5, None, object(), ["a"]):
        raises(TypeError, memory.write, 0, value)
    memory.write(0, memoryview(bytes(range(100)))[::3])
    assert memory.read(0, 3) == bytes([0, 3, 6])
    memory.write(5, memoryview(memory)[0:3])
    assert memory.read(5, 3) == bytes([0, 3, 6])
    memory.write(1, memoryview(memory)[0:50000])
    raises((ValueError, TypeError), memory.__setitem__, slice(0, 4), b"five!")
    view.release()
    raises(ValueError, view.__getitem__, 0)
    raises((TypeError, AttributeError), lambda: memory.__delitem__(0))
    raises(OverflowError, memory.write_u8, 0, 256)
    bytearray_ = bytearray(memory)
    assert len(bytearray_) == len(memory) and bytes(memory)[:3] == memory.read(0, 3)
