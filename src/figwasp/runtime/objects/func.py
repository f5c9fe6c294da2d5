"""Floor 4: functions as Python sees them: `Func` for wasm functions, `HostFunc` for Python callables that wasm calls.

A `Func` is a native object whose vectorcall slot is emitted code (`stubs.enter`). What that code does not handle comes to its
`CallSlowPath`, which converts the arguments, claims the chain for the thread and goes in through the raw entry.
"""

from __future__ import annotations

import ctypes

from figwasp import layout
from figwasp.errors import printable
from figwasp.ir.types import ir_types
from figwasp.lazy import importing
from figwasp.runtime import arguments
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.heap.shown import handle_at, is_object
from figwasp.runtime.objects import exceptions
from figwasp.runtime.objects.values import NO_NUMBERS, cells_of, get_values, places_of, put_arguments, put_value
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.stubs.interface import (
    FUNC_FUNCREF,
    FUNC_OWNER,
    FUNC_RECORD,
    FUNC_STORE,
    FUNC_VECTORCALL,
    RAW_BUSY,
    RAW_DEEP,
    kinds,
    simple,
)
from figwasp.runtime.trap import deadline, tracebacks
from figwasp.wasm.syntax.types import is_ref, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable
    from typing import Any, Final

    from figwasp.runtime.heap.handles import Handle
    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.native.runtime import NativeRuntime
    from figwasp.runtime.objects.instance import InstanceState
    from figwasp.runtime.objects.values import Numbers
    from figwasp.runtime.store.store import Store
    from figwasp.runtime.stubs.library import StubLibrary
    from figwasp.wasm.syntax.types import FuncType, Types

_MISSING: Final = object()
_DOCUMENTED: Final = """It may be called with the keyword `timeout`, the most seconds that the
call may take. Integers may be given in the signed or the unsigned range of their type, and are
returned signed; several results are a tuple."""
_FEW_CALLS: Final = 10  # many imports are called less often
_buffer_types: Final[dict[int, type[ctypes.Array[ctypes.c_uint64]]]] = {}


class Func:
    """A WebAssembly function, callable like any Python function.

    Integers may be given in the signed or the unsigned range of their type and are returned signed; several results are a tuple.

    >>> import figwasp
    >>> text = '(module (func $swap (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0)))'
    >>> swap = figwasp.load(figwasp.wat(text)).swap
    >>> swap, swap.type.params == (figwasp.types.I32, figwasp.types.F64)
    (<figwasp.Func swap (i32, f64) -> (f64, i32)>, True)
    >>> swap(2**32 - 1, 0.5)
    (0.5, -1)
    """

    __slots__ = ()

    def __new__(cls, *args: object, **names: object) -> Func:
        raise TypeError("a figwasp.Func comes from an instance's exports; imports are given as plain Python functions")

    @property
    def _slow_path(self) -> CallSlowPath:
        cpython.check_type(self, Func)
        if not cpython.get_field(self, FUNC_RECORD):
            raise ReferenceError("the instance this function belongs to has been collected")
        slow_path: CallSlowPath = cpython.object_at(id(self) + FUNC_RECORD)
        return slow_path

    @property
    def type(self) -> FuncType:
        """The type of the function: `params` and `results`."""
        return self._slow_path.type

    @property
    def name(self) -> str:
        """The name of the export by which the function was found; else that of the name section, or "func[INDEX]"."""
        return self._slow_path.name

    @property
    def __name__(self) -> str:
        return self._slow_path.name

    @property
    def __signature__(self) -> inspect.Signature:
        return self._slow_path.signature()

    @property
    def _owner(self) -> Owner:
        """The owner that keeps the function's instance alive."""
        cpython.check_type(self, Func)
        owner: Owner = cpython.object_at(id(self) + FUNC_OWNER)
        return owner

    @property
    def _address(self) -> int:
        """The address of the function's FuncRef."""
        cpython.check_type(self, Func)
        return cpython.get_field(self, FUNC_FUNCREF)

    @property
    def _type_number(self) -> int:
        """The canonical number of the function's type."""
        return TYPES.number_at(linux.read_u32(self._address + layout.FUNCREF_TYPE))

    @property
    def _store(self) -> Store:
        """The store it runs in."""
        return self._slow_path.store

    @property
    def _numbers(self) -> Numbers:
        """The canonical numbers of the indices in its type."""
        return self._slow_path.numbers

    @property
    def _host(self) -> HostFunc | None:
        """The conversions of a host function, None for a function of an instance."""
        return self._slow_path.host

    def _timeout(self, names: dict[str, object]) -> float | None:
        """Return how many seconds a call with these keyword arguments may take."""
        return self._slow_path.timeout(names)

    @property
    def _state(self) -> InstanceState | None:
        """The instance that the function belongs to, None for a host function."""
        return self._slow_path.state

    if TYPE_CHECKING:

        def __call__(self, *args: Any, timeout: float | None = ...) -> Any:
            """Call the function; the native type does so. The call ends after `timeout` seconds, by default those of its engine."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Func) and other._address == self._address

    def __hash__(self) -> int:
        return hash(self._address)

    def __repr__(self) -> str:
        return f"<figwasp.Func {self._slow_path.shown} {self._slow_path.type}>"


class CallSlowPath:
    """The Python side of a `Func`: handles all that the emitted code leaves to it, called as a part of the chain.

    Attributes:
        state: the instance, or None for a host function.
        host: the conversions of a host function, or None.
        address: of the FuncRef.
        type: function type.
        name: for messages.
        store: the store it runs in.
    """

    __slots__ = ("host", "address", "name", "state", "type")

    def __init__(self, state: InstanceState | None, host: HostFunc | None, address: int, type_: FuncType, name: str) -> None:
        self.state = state
        self.host = host
        self.address = address
        self.type = type_
        self.name = name

    @property
    def shown(self) -> str:
        """The name in messages, which a guest has chosen."""
        return printable(self.name)

    @property
    def store(self) -> Store:
        """The store it runs in."""
        if self.state is not None:
            return self.state.store
        assert self.host is not None
        return self.host.state_store()

    @property
    def numbers(self) -> Numbers:
        """The canonical numbers of the indices in its type."""
        if self.state is not None:
            return self.state.code.numbers
        assert self.host is not None
        return self.host.numbers

    def signature(self) -> inspect.Signature:
        """Return the signature that `inspect` shows."""
        with importing:
            import inspect  # takes longer than all the rest, and few ask

        kind = inspect.Parameter.POSITIONAL_ONLY
        params = [
            inspect.Parameter(name, kind, annotation=type_name(t))
            for name, t in zip(self._parameters(), self.type.params, strict=True)
        ]
        results = tuple(type_name(t) for t in self.type.results)
        return inspect.Signature(params, return_annotation=results[0] if len(results) == 1 else results or None)

    def _parameters(self) -> list[str]:
        if self.state is None:
            return [f"p{i}" for i in range(len(self.type.params))]
        return self.state.code.module.parameter_names(linux.read_u32(self.address + layout.FUNCREF_INDEX))

    def timeout(self, names: dict[str, object]) -> float | None:
        """Return how many seconds a call may take, from its keyword arguments or as its engine says."""
        if "timeout" in names:
            timeout = arguments.timeout(names.pop("timeout"))
        else:
            timeout = self.state.code.config.timeout if self.state is not None else None
        if names:
            raise TypeError(f"{self.shown}() takes no keyword argument {next(iter(names))!r}, only timeout")
        return timeout

    def __call__(self, *args: object, **names: object) -> Any:
        params = self.type.params
        timeout = self.timeout(names)
        if len(args) != len(params):
            raise TypeError(f"{self.shown}() takes {len(params)} arguments {self.type}, got {len(args)}")
        store = self.store
        if self.host is not None:
            return self.host.call_directly(args)
        buffer = Buffer(store, max(cells_of(params), cells_of(self.type.results)), params + self.type.results)
        references = References(store, self.numbers)
        put_arguments(buffer.address, args, params, references, self.shown)
        enter_raw(self.type, self.address, buffer.address, store, deadline.after(timeout))
        return self.results_at(buffer.address)

    def results_at(self, address: int) -> Any:
        """Return the results of a call, which stand at an address."""
        results = get_values(address, self.type.results, References(self.store, self.numbers))
        return None if not results else results[0] if len(results) == 1 else tuple(results)

box_results: Final = CallSlowPath.results_at
"""Returns the results of a call, which emitted code has left where the collector sees them."""


class Buffer:
    """Cells of native memory for operands and results, where the collector sees references.

    Attributes:
        address: of the first cell.
    """

    __slots__ = ("_area", "address")

    def __init__(self, store: Store, cells: int, types: Types) -> None:
        """Make zeros.

        Args:
            store: whose objects they may refer to.
            cells: their number, or a number below 1 for one.
            types: of the values that will be there.
        """
        cells = max(cells, 1)
        if any(map(is_ref, types)):
            words = RootWords(store, cells)
            self._area: object = words
            self.address = words.address
            return
        # ctypes forgets array types that nobody holds, and making one is slow.
        type_ = _buffer_types.get(cells) or _buffer_types.setdefault(cells, ctypes.c_uint64 * cells)
        area = self._area = type_()
        self.address = ctypes.addressof(area)


def enter_raw(type_: FuncType, address: int, place: int, store: Store, end: int = 0) -> None:
    """Call a wasm function's FuncRef with operands in the buffer at a place, which then holds the results. The store is claimed.

    The call ends at `end` (nanoseconds of the monotonic clock) at the latest, unless that is 0.

    Raises:
        Trap: the call trapped.
        Busy: another thread is running in the store.
        RecursionError: the native stack is too deep, or Python's.
    """
    native = store.native
    entry = native.stubs.raw_entry(ir_types(type_.params), ir_types(type_.results))
    if end or deadline.due():
        status = deadline.enter(native.thread_key, end, entry, address, place)
    else:
        status = entry(address, place)  # `raw_entry` has found out that there is room for that (`cpython.check_recursion`)
    while status == RAW_BUSY:  # another thread came in since `claim`
        store.claim()
        status = deadline.enter(native.thread_key, end, entry, address, place)
    if status == RAW_DEEP:
        raise RecursionError("maximum recursion depth exceeded while calling into WebAssembly")


class References:
    """Turns the references that travel in a store into bits and back (`values.References`).

    Attributes:
        store: the store.
        numbers: the canonical numbers of the indices in value types.
    """

    __slots__ = ("numbers", "store")

    def __init__(self, store: Store, numbers: Numbers = NO_NUMBERS) -> None:
        self.store = store
        self.numbers = numbers

    def func_to_bits(self, value: object) -> int | None:
        """Return the address of a callable's FuncRef, kept for the running chain; None when it is no wasm function."""
        if not isinstance(value, Func):
            return None
        self.store.merge(value._store)
        self.store.pin(value._owner)
        return value._address

    def func_from_bits(self, bits: int) -> object:
        """Return the callable of a FuncRef."""
        return func_at(self.store.native, bits)

    def give_object(self, value: object, place: int) -> None:
        """Write a reference to an object of the host to a place."""
        self.store.give_extern(value, place)

    def object_at(self, place: int) -> object:
        """Return what the reference at a place refers to, of the hierarchies of any and extern."""
        if is_object(linux.read_u64(place)):
            return handle_at(self.store, place)
        return self.store.object_at(place)

    def owns(self, handle: Handle) -> bool:
        """Return whether a handle is for an object on the heap of the store."""
        return handle._core.store.current is self.store.current

    def give_exception(self, error: BaseException, place: int) -> None:
        """Write a reference to a new exception to a place."""
        exceptions.give_exception(self.store, error, place, self)

    def exception_at(self, place: int) -> BaseException:
        """Return the exception of Python for the one that a place refers to."""
        return exceptions.exception_at(linux.read_u64(place), self)

    def numbered(self, numbers: Numbers) -> References:
        """Return the same conversion for types of another module."""
        return References(self.store, numbers)


class HostFunc:
    """A Python callable as an import: converts operands and results that the emitted code leaves to it.

    Attributes:
        function: the callable.
        type: the import's type.
        name: "module.name".
        block: address of the importing instance's block.
        numbers: the canonical numbers of the indices in the type.
    """

    __slots__ = ("_calls", "_reference", "_state_store", "_stubs", "block", "function", "name", "numbers", "type")

    def __init__(
        self,
        stubs: StubLibrary,
        function: Callable[..., Any],
        type_: FuncType,
        name: str,
        block: int,
        state_store: Callable[[], Store],
        numbers: Numbers,
        reference: int = 0,
    ) -> None:
        """Serve an import.

        Args:
            stubs: the library that its code comes from.
            function, type_, name, block, numbers: the attributes.
            state_store: gives the store of the importing instance.
            reference: address of the FuncRef, if the import is to get code of its own that converts numbers, after some calls.
        """
        self._stubs = stubs
        self.function = function
        self.type = type_
        self.name = name
        self.block = block
        self.numbers = numbers
        self._state_store = state_store
        self._reference = reference
        self._calls = 0

    @property
    def shown(self) -> str:
        """The name in messages, which a guest has chosen."""
        return printable(self.name)

    def state_store(self) -> Store:
        """Return the store of the importing instance."""
        return self._state_store()

    def __call__(self, buffer: int, answer: object = _MISSING) -> None:
        """Serve emitted code: call the callable with the operands in the buffer, or only put its results there."""
        if answer is _MISSING:
            args = get_values(buffer, self.type.params, self)
            self._calls += 1
            if self._calls == _FEW_CALLS and self._reference:
                self._have_code()
            answer = self._ask(args)
        self._put_results(buffer, answer)

    def _ask(self, args: list[Any]) -> Any:
        return self.function(*args)

    def _have_code(self) -> None:
        """Let code made for the type convert from the next call on. Making it takes as long as some thousand calls."""
        code = self._stubs.host_stub(kinds(self.type.params), kinds(self.type.results), direct=True)
        linux.write_u64(self._reference + layout.FUNCREF_CODE, code)

    def _put_results(self, buffer: int, answer: Any) -> None:
        """Check the callable's results and write them into a buffer."""
        types = self.type.results
        if len(types) == 1:
            values: tuple[Any, ...] = (answer,)
        elif not types:
            if answer is not None:
                raise TypeError(f"result of {self.shown}() must be None, not {type(answer).__name__}")
            return
        else:
            if not isinstance(answer, (tuple, list)) or len(answer) != len(types):
                found = f"{len(answer)}" if isinstance(answer, (tuple, list)) else type(answer).__name__
                raise TypeError(f"{self.shown}() must return a tuple of {len(types)} results, got {found}")
            values = tuple(answer)
        many = len(types) > 1
        shown = self.shown
        named = [f"result {i + 1} of {shown}()" if many else f"result of {shown}()" for i in range(len(types))]
        for place, value, type_, what in zip(places_of(buffer, types), values, types, named, strict=True):
            put_value(place, value, type_, self, what)

    # It turns references into bits and back by its store, which may have gone when a finalizer calls: numbers need none.

    def func_to_bits(self, value: object) -> int | None:
        """Return the address of a callable's FuncRef and keep it for this chain; None when it is no wasm function."""
        return References(self.state_store()).func_to_bits(value)

    def func_from_bits(self, bits: int) -> object:
        """Return the callable of a FuncRef."""
        return References(self.state_store()).func_from_bits(bits)

    def give_object(self, value: object, place: int) -> None:
        """Write a reference to an object of the host to a place."""
        self.state_store().give_extern(value, place)

    def object_at(self, place: int) -> object:
        """Return what the reference at a place refers to, of the hierarchies of any and extern."""
        return References(self.state_store()).object_at(place)

    def owns(self, handle: Handle) -> bool:
        """Return whether a handle is for an object on the heap of the store."""
        return References(self.state_store()).owns(handle)

    def give_exception(self, error: BaseException, place: int) -> None:
        """Write a reference to a new exception to a place."""
        exceptions.give_exception(self.state_store(), error, place, self)

    def exception_at(self, place: int) -> BaseException:
        """Return the exception of Python for the one that a place refers to."""
        return exceptions.exception_at(linux.read_u64(place), self)

    def numbered(self, numbers: Numbers) -> References:
        """Return the same conversion for types of another module."""
        return References(self.state_store(), numbers)

    def call_directly(self, args: tuple[object, ...]) -> Any:
        """Call the callable from Python as wasm would: operands and results converted to the import's type."""
        return self._answer(self.function(*self._convert(args)))

    def _convert(self, args: tuple[object, ...]) -> list[Any]:
        """Convert arguments given from Python to those that the callable would get from wasm."""
        params = self.type.params
        buffer = self._buffer(params)
        put_arguments(buffer.address, args, params, self, self.shown)
        return get_values(buffer.address, params, self)

    def _buffer(self, types: Types) -> Buffer:
        return Buffer(self.state_store(), cells_of(types), types)

    def _answer(self, answer: Any) -> Any:
        """Convert the callable's results to those that wasm would return to Python."""
        buffer = self._buffer(self.type.results)
        self._put_results(buffer.address, answer)
        results = get_values(buffer.address, self.type.results, self)
        return None if not results else results[0] if len(results) == 1 else tuple(results)

tracebacks.OUTSIDE.add(HostFunc._ask.__code__)

def _make(native: NativeRuntime, owner: Owner, slow_path: CallSlowPath, block: int, simple: bool) -> Func:
    type_ = slow_path.type
    code = native.stubs.enter_stub(kinds(type_.params), kinds(type_.results), simple)
    made: Any = cpython.new_object(native.types.get(Func, "figwasp.Func", cleared=(FUNC_RECORD,), callable_=True, doc=_document))
    cpython.set_field(made, FUNC_FUNCREF, slow_path.address)
    cpython.set_field(made, FUNC_STORE, block + layout.INST_STORE)
    cpython.set_reference(id(made) + FUNC_OWNER, owner)
    cpython.set_reference(id(made) + FUNC_RECORD, slow_path)
    cpython.set_field(made, FUNC_VECTORCALL, code)
    func: Func = made
    return func


def _document(func: Func) -> str:
    """Return the docstring of a function: its signature, as `help` shows for Python functions."""
    of = func._state.code.module.name if func._state is not None else None
    where = f" of module {printable(of)}" if of else ""
    return f"{printable(func.name)}{func.__signature__}\n\nA WebAssembly function{where}. {_DOCUMENTED}"


def func_at(native: NativeRuntime, reference: int, name: str = "") -> Func:
    """Return a callable for the FuncRef at an address.

    Args:
        native: the native runtime.
        reference: the address.
        name: the function's name, if that is not to be the one of the name section.
    """
    block = linux.read_u64(reference + layout.FUNCREF_INSTANCE)
    index = linux.read_u32(reference + layout.FUNCREF_INDEX)
    if index == layout.HOST_INDEX:
        host: HostFunc = cpython.object_at(block + 8)
        owner: Owner = cpython.object_at(host.block + layout.INST_OWNER)
        return _make(native, owner, CallSlowPath(None, host, reference, host.type, host.name), host.block, simple=False)
    owner = cpython.object_at(block + layout.INST_OWNER)
    state: InstanceState = cpython.object_at(linux.read_u64(block + layout.INST_STATE))
    module = state.code.module
    type_ = module.func_type(index)
    name = name or module.func_name(index) or f"func[{index}]"
    # The record looks at the clock; emitted code is for calls that have all the time they want.
    direct = simple(type_.params + type_.results) and state.code.config.timeout is None
    return _make(native, owner, CallSlowPath(state, None, reference, type_, name), block, direct)
