"""Floor 4: calls that may be suspended in an async host function (theory of operation in `stubs.suspend`).

`call` is a coroutine function: it enters wasm, and whenever an async host function has been called it leaves wasm, awaits the
result of that function, and goes on. Other calls into the same instance may be made meanwhile. In an event loop of asyncio ticks
suspend the call as well, so that the loop has its turn; then other calls wait until it goes on and ends, or waits for a host
function.
"""

from __future__ import annotations

import functools
import sys
import time
import weakref
from collections.abc import Coroutine
from types import BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType

from figwasp import layout
from figwasp.errors import BUSY, TRAP_INTERRUPTED, TRAP_MESSAGES, TRAP_TIMEOUT, Busy, Interrupted, Timeout, printable
from figwasp.ir.types import CELL, ir_types
from figwasp.lazy import importing
from figwasp.runtime.objects import turns
from figwasp.runtime.objects.func import Buffer, HostFunc, References
from figwasp.runtime.objects.values import cells_of, get_values, put_arguments
from figwasp.runtime.platform import linux
from figwasp.runtime.stubs.interface import RAW_BUSY, RAW_DEEP, RAW_SUSPENDED
from figwasp.runtime.trap import deadline
from figwasp.wasm.syntax.types import is_ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from typing import Any, Final

    from figwasp.runtime.objects.func import Func
    from figwasp.runtime.store.store import Store
    from figwasp.wasm.syntax.types import FuncType

__all__ = ["AsyncHostFunc", "call", "interrupt", "is_async"]

_ATTEMPTS: Final = 3
_CO_COROUTINE: Final = 0x80


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a call of a callable gives a coroutine: of an `async def`, also as a method, partial or `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    return _is_coroutine_function(function) or _is_coroutine_function(getattr(function, "__call__", None))  # noqa: B004


def _is_coroutine_function(function: object) -> bool:
    """Ask `inspect`, unless the function is a plain one: `inspect` takes longer to import than many a program to run."""
    plain = function.__func__ if type(function) is MethodType else function
    if type(plain) is FunctionType and not plain.__dict__:  # nothing has been marked there
        return bool(plain.__code__.co_flags & _CO_COROUTINE)
    if type(plain) is MethodWrapperType or type(plain) is BuiltinFunctionType:
        return False
    with importing:
        import inspect

    return inspect.iscoroutinefunction(function)


class AsyncHostFunc(HostFunc):
    """An async Python callable as an import: its coroutine is awaited by the call that reached it."""

    __slots__ = ()

    def __call__(self, buffer: int, context: object = None) -> None:
        """Serve emitted code: call the callable with the operands in the buffer, and leave its coroutine to the chain."""
        assert isinstance(context, int)
        chain = _chains.get(context)
        if chain is None:
            raise RuntimeError(f"{self.shown}() is async: call the exported function with `await instance.acall.name(...)`")
        if linux.read_u64(context + layout.CTX_DEPTH) != 1:
            raise RuntimeError(f"{self.shown}() is async and cannot suspend: a Python function called wasm in between")
        args = get_values(buffer, self.type.params, self)
        chain.waiting = (self, self.function(*args), buffer)

    def finish(self, buffer: int, answer: object) -> None:
        """Put the results of the callable's coroutine where compiled code takes them from."""
        self._put_results(buffer, answer)

    async def await_directly(self, args: tuple[object, ...]) -> Any:
        """Call and await the callable from Python as wasm would: operands and results converted to the import's type."""
        awaitable: Awaitable[Any] = self.function(*self._convert(args))
        return self._answer(await awaitable)

    def call_directly(self, args: tuple[object, ...]) -> Any:
        """Refuse: there is no wasm to suspend."""
        raise RuntimeError(f"{self.shown}() is async: await it through `acall`")


class _Chain:
    """A call under way.

    Attributes:
        context: address of its context.
        waiting: the async host function that was called, the awaitable it returned, and where its results belong; None when it
            waits for its turn.
        loop: the event loop of asyncio that it runs in, or None.
    """

    __slots__ = (
        "__weakref__", "_area", "_buffer", "_cancelled", "_end", "_interrupted", "_resume", "_start", "_store",
        "_target", "_task", "context", "loop", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        store: Store,
        target: int,
        type_: FuncType,
        buffer: int,
        context: int,
        end: int,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        """Begin with a call that has not entered wasm.

        Args:
            store: the store to run in.
            target: address of the FuncRef of the function.
            type_: its type.
            buffer: address of the cells of its arguments, where its results will be, with an area behind them.
            context, loop: the attributes.
            end: when it has to end, in nanoseconds of the monotonic clock; 0 for never.
        """
        self._store = store
        self._target = target
        self._end = end
        self._start, self._resume = store.native.stubs.suspendable(ir_types(type_.params), ir_types(type_.results))
        self._buffer = buffer
        self._area = buffer + CELL * max(cells_of(type_.params), cells_of(type_.results))
        self._interrupted = False
        self._task: asyncio.Task[Any] | None = None  # what waits
        self._cancelled = False  # whether it has been cancelled for the sake of an interrupt
        self.context = context
        self.waiting: tuple[AsyncHostFunc, Awaitable[object], int] | None = None
        self.loop = loop

    def start(self) -> bool:
        """Enter wasm; return whether the call has been suspended."""
        return self._enter(self._start, self._target)

    def resume(self, error: BaseException | None) -> bool:
        """Go on, raising an exception where the call is suspended; return whether it has been suspended again."""
        self.waiting = None
        instance = linux.read_u64(self._target + layout.FUNCREF_INSTANCE)
        return self._enter(self._resume, instance, 0 if error is None else id(error))

    def abandon(self, error: GeneratorExit) -> bool:
        """End the call, for which nobody waits any more, unless another thread is running: the collector may close it on any."""
        try:
            return self.resume(error)
        except Busy:
            raise error from None

    def _enter(self, stub: Callable[..., int], target: int, *error: int) -> bool:
        store = self._store.current
        status = RAW_BUSY
        for _ in range(_ATTEMPTS):
            if not self.has_turn:
                store.check_thread()
            numbers = (target, self._buffer, self._area, self.context, *error)
            status = deadline.enter(store.native.thread_key, self._end, stub, *numbers)
            if status != RAW_BUSY and status != RAW_DEEP:
                return status == RAW_SUSPENDED
            store.bind(self.context)  # it is new, or another thread's, and with that another native stack's
        if status == RAW_DEEP:
            raise RecursionError("maximum recursion depth exceeded while calling into WebAssembly")
        raise Busy(BUSY)

    # Waiting

    @property
    def has_turn(self) -> bool:
        """Whether a tick has suspended the call, so that it is the next to run in its store."""
        return linux.read_u64(self.context + layout.CTX_TURN) == layout.TURN_TAKEN

    async def begin(self) -> None:
        """Wait until the call may enter wasm for the first time: until it has a turn, and its store is free.

        Raises:
            Interrupted: somebody has interrupted it meanwhile.
        """
        assert self.loop is not None
        await turns.of_loop(self.loop).begin()
        await self._let_others_end()
        if self._interrupted:
            raise _interrupted()

    async def wait(self) -> None:
        """Wait until the call can be resumed: for its turn, or for the coroutine of an async host function.

        Raises:
            Interrupted: somebody has interrupted it.
        """
        try:
            await self._wait()
        except BaseException as error:
            if self._ends_by_interrupt(error):
                raise _interrupted() from None
            raise
        finally:
            self._task = None
        if self._interrupted:
            raise _interrupted()

    async def _wait(self) -> None:
        if self.loop is not None:
            import asyncio

            self._task = asyncio.current_task()
        if self.waiting is None:
            assert self.loop is not None
            await turns.of_loop(self.loop).go_on()
        elif self._interrupted:
            _forget(self.waiting[1])
        else:
            host, awaitable, place = self.waiting
            host.finish(place, await _answer_of(awaitable, self._end))
            await self._let_others_end()

    async def _let_others_end(self) -> None:
        """Wait while another call of this event loop is between two instructions in the store."""
        loop = self.loop
        while loop is not None and (other := _chains.get(self._store.current.turn)) is not None and other.loop is loop:
            await turns.of_loop(loop).go_on()

    # Interrupts

    def interrupt(self) -> None:
        """End the call where it waits, or where it will wait next. Any thread may call this."""
        self._interrupted = True
        if self.loop is not None:
            try:
                self.loop.call_soon_threadsafe(self._cancel)
            except RuntimeError:
                pass  # the loop has been closed

    def _cancel(self) -> None:
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def _ends_by_interrupt(self, error: BaseException) -> bool:
        """Return whether an exception is the cancellation that an interrupt has asked for, and none besides."""
        if not self._cancelled or self._task is None:
            return False
        import asyncio

        return self._task.uncancel() == 0 and isinstance(error, asyncio.CancelledError)


def _interrupted() -> Interrupted:
    return Interrupted(TRAP_MESSAGES[TRAP_INTERRUPTED])


def interrupt(store: Store) -> bool:
    """End all calls that are under way in a store, with all that they have brought about; return whether there are any."""
    found = store.interrupt()
    for context in store.current.chains:
        chain = _chains.get(context)
        if chain is not None:
            chain.interrupt()
            found = True
    return found

_chains: Final[weakref.WeakValueDictionary[int, _Chain]] = weakref.WeakValueDictionary()
"""The calls under way, by the addresses of their contexts. Only their coroutines keep them, so that those that nobody can resume
are collected."""


async def _answer_of(awaitable: Awaitable[object], end: int) -> object:
    """Await the coroutine of an async host function, until a time of the monotonic clock unless that is 0.

    Raises:
        Timeout: the coroutine took too long.
        RuntimeError: a time is given, and the event loop is not asyncio's.
    """
    if not end:
        return await awaitable
    import asyncio  # a large module that few need

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _forget(awaitable)
        raise RuntimeError("a timeout of a call that waits needs asyncio: give timeout=None in other event loops") from None
    limit = asyncio.timeout((end - time.monotonic_ns()) / 1e9)
    try:
        async with limit:
            return await awaitable
    except TimeoutError:
        if limit.expired():
            raise Timeout(TRAP_MESSAGES[TRAP_TIMEOUT]) from None
        raise


def _forget(awaitable: Awaitable[object]) -> None:
    """Mark a coroutine as one that will never be awaited, so that Python gives no warning."""
    if isinstance(awaitable, Coroutine):
        awaitable.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of asyncio in which this thread runs, or None."""
    if "asyncio.events" not in sys.modules:
        return None
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def call(func: Func, args: tuple[object, ...], timeout: float | None, most: int | None) -> Any:
    """Call a function that may reach async host functions.

    Args:
        func: the function.
        args: its arguments.
        timeout: seconds that the call may take.
        most: calls that may be under way at once, or None.

    Raises:
        Trap: the call trapped.
        Timeout: the call took too long.
        Interrupted: somebody has interrupted the call.
        TypeError, OverflowError: an argument is not of its parameter's type.
        Busy: another thread is running in the store.
        LimitExceeded: too many calls are under way.
    """
    type_ = func.type
    if len(args) != len(type_.params):
        raise TypeError(f"{printable(func.name)}() takes {len(type_.params)} arguments {type_}, got {len(args)}")
    if func._host is not None:
        return await func._host.await_directly(args) if isinstance(func._host, AsyncHostFunc) else func(*args)
    end = deadline.after(timeout)
    store = func._store
    loop = _running_loop()
    under_way = store.add_chain(most, turns=loop is not None)  # it is forgotten when it goes as well
    try:
        context = under_way.context[0]
        params, results = cells_of(type_.params), cells_of(type_.results)
        buffer = Buffer(store, max(params, results) + results, type_.params + type_.results)
        place = buffer.address
        references = References(store, func._numbers)
        convert = functools.partial(put_arguments, place, args, type_.params, references, printable(func.name))
        chain = _chains[context] = _Chain(store, func._address, type_, place, context, end, loop)
        if loop is not None and (turns.of_loop(loop).wanted or store.current.turn):
            await chain.begin()
        # References as a part of the chain: another thread's may be ending, and releasing what it finds that nobody holds.
        if any(map(is_ref, type_.params)):
            store.run(convert)
        else:
            convert()
        suspended = chain.start()
        while suspended:
            try:
                await chain.wait()
            except GeneratorExit as error:
                suspended = chain.abandon(error)
            except BaseException as error:
                suspended = chain.resume(error)
            else:
                suspended = chain.resume(None)
        answers = get_values(place, type_.results, references)
    finally:
        store.remove_chain(under_way)
    return None if not answers else answers[0] if len(answers) == 1 else tuple(answers)
