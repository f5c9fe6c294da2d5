"""Floor 6: programs with threads (wasi-threads): `wasi.thread-spawn`, and the shared memory that such a program imports.

In: a module and the imports of its instances. Out: the result of its main function, or what has ended the program.

Theory of operation. A thread of the program is one of Python's, with an instance of its own over the same shared memory, made by
the thread that asks for it. The program is over when its main function is, or when one of its threads has called `proc_exit`,
trapped or raised: what came first decides. Then every thread's call is interrupted, again and again until the thread has ended,
since one may be between two calls. A thread that ended the program interrupts the main one; the main one the others, and waits for
them. So nothing of the program runs any more when `run` has returned.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from figwasp.api.caller import Caller
from figwasp.api.instance import Instance
from figwasp.api.linker import load
from figwasp.api.memory import shared_memory
from figwasp.api.module import Module
from figwasp.errors import Closed, Error, Exit, Interrupted, LimitExceeded, Trap, Unlinkable
from figwasp.locks import new_lock
from figwasp.types import I32, ExternType, FuncType, MemoryType
from figwasp.wasi.abi import AGAIN

__all__ = ["MAX_THREADS", "Threads"]

_T = TypeVar("_T")

MAX_THREADS: Final = 128
"""Threads of a program at once, beside the main one."""
_MAX_ID: Final = (1 << 29) - 1
_PATIENCE: Final = 0.01
"""Seconds between two interrupts of a thread that has not ended."""
_SPAWN: Final = "wasi", "thread-spawn", "func"
_START: Final = "wasi_thread_start"


class _Thread:
    """A thread of a program.

    Attributes:
        instance: its own.
        python: the thread that runs it.
    """

    __slots__ = ("instance", "python")

    def __init__(self, instance: Instance, python: threading.Thread) -> None:
        self.instance = instance
        self.python = python


class Threads:
    """The threads of one program; in a context, with the end of which they end.

    >>> import figwasp
    >>> text = '''(module (import "env" "memory" (memory 1 1 shared))
    ...     (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    ...     (func (export "wasi_thread_start") (param $id i32) (param $value i32)
    ...       (i32.atomic.store (i32.const 0) (local.get $value))
    ...       (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
    ...     (func (export "ask") (result i32) (drop (call $spawn (i32.const 42)))
    ...       (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
    ...       (i32.atomic.load (i32.const 0))))'''
    >>> engine = figwasp.Engine(features=figwasp.features.DEFAULT.including("threads"))
    >>> module = figwasp.Module(figwasp.wat(text), engine=engine)
    >>> with figwasp.wasi.Threads(module, {}) as threads, threads.instantiate() as instance:
    ...     threads.run(instance, instance.ask)
    42

    Args:
        module: the module.
        imports: those of each instance: Python functions, which several threads may call at once, and shared memories. Anything
            that belongs to an instance would link them, for one thread at a time.
        most: threads that there may be at once, beside the main one.

    Attributes:
        imports: those that its instances have: the ones given, the shared memories that the module imports and nobody gave, and
            `thread-spawn`, if the module imports it.

    Raises:
        Error: the module imports `thread-spawn`, but has nothing for a thread to start with.
        Unlinkable: it imports that with another type.
        LimitExceeded: its memory begins larger than its engine allows.
    """

    def __init__(self, module: Module, imports: Mapping[str, Any], most: int = MAX_THREADS) -> None:
        self._module = module
        self._most = most
        self._lock = new_lock()  # a finalizer may come between
        self._ids = itertools.count(1)
        self._threads: dict[int, _Thread] = {}
        self._starting = 0
        self._main: Instance | None = None
        self._over = False
        self._reason: BaseException | None = None
        self.imports = self._completed(imports)

    def _completed(self, imports: Mapping[str, Any]) -> dict[str, Any]:
        full = dict(imports)
        for item in self._module.imports:
            if (item.module, item.name, item.kind) == _SPAWN:
                self._check_types(item.type)
                full[item.module] = {**full.get(item.module, {}), item.name: self.spawn}
            elif isinstance(item.type, MemoryType) and item.type.shared and item.name not in full.get(item.module, {}):
                memory = shared_memory(item.type, self._module.engine.config)
                full[item.module] = {**full.get(item.module, {}), item.name: memory}
        return full

    def _check_types(self, imported: ExternType) -> None:
        if imported != FuncType((I32,), (I32,)):
            raise Unlinkable(f"incompatible import type: wasi.thread-spawn is no function {imported}")
        wanted = FuncType((I32, I32), ())
        if not any((item.name, item.type) == (_START, wanted) for item in self._module.exports):
            raise Error(f"the module imports wasi.thread-spawn, and does not export {_START} {wanted}")

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def instantiate(self) -> Instance:
        """Make the first instance of the program, whose start function may start threads.

        Raises:
            As `run`, and as `figwasp.load`.
        """
        return self._do(partial(load, self._module, self.imports))

    def run(self, instance: Instance, call: Callable[[], _T]) -> _T:
        """Call the main function; return its result when no thread runs any more.

        Args:
            instance: the first of the program.
            call: calls the function.

        Raises:
            Exit, Trap, or any other exception: a thread has ended the program so, the main one or another.
        """
        self._main = instance
        try:
            result = self._do(call)
            if not self._finish(None) and self._reason is not None:
                raise self._reason
            return result
        finally:
            self._stop()

    def _do(self, work: Callable[[], _T]) -> _T:
        """Do what belongs to the main thread; raise what has ended the program, if that is so."""
        try:
            self._check_over()
            return work()
        except (Exit, Trap) as error:
            self._finish(error)
            raise self._reason or error from None
        finally:
            if self._over:
                self._stop()

    def spawn(self, caller: Caller, argument: int) -> int:
        """Start a thread; return its number, or less than 0 where there is no room for another."""
        with self._lock:
            self._check_over()
            if len(self._threads) + self._starting >= self._most:
                return -AGAIN
            self._starting += 1
        if self._main is None:
            self._main = caller.instance  # which may still be starting
        try:
            return self._start(caller.instance, argument)
        except (LimitExceeded, MemoryError):
            return -AGAIN
        finally:
            with self._lock:
                self._starting -= 1

    def _start(self, parent: Instance, argument: int) -> int:
        instance = load(self._module, self.imports)
        if self._module.engine.config.metered:  # what the program has is divided, and never more
            instance.fuel = half = parent.fuel // 2
            parent.fuel -= half
        number = next(self._ids)
        if number > _MAX_ID:
            return -AGAIN
        python = threading.Thread(target=self._run, args=(number, instance, argument), name=f"wasi-{number}", daemon=True)
        with self._lock:
            self._check_over()
            self._threads[number] = _Thread(instance, python)
            try:
                python.start()
            except RuntimeError:  # the system has none left
                self._threads.pop(number)
                return -AGAIN
        return number

    def _run(self, number: int, instance: Instance, argument: int) -> None:
        """Run a thread of the program."""
        try:
            if not self._over:
                instance.exports[_START](number, argument)
        except BaseException as error:
            if self._finish(error) and self._main is not None:
                with suppress(Closed):
                    self._main.interrupt()
        finally:
            instance.close()
            self._threads.pop(number, None)

    def _finish(self, reason: BaseException | None) -> bool:
        """Note what has ended the program; return whether nothing had ended it before."""
        with self._lock:
            first = not self._over
            self._over = True
            if first:
                self._reason = reason
        return first

    def _check_over(self) -> None:
        """Make sure that the program goes on.

        Raises:
            Interrupted: it has been ended.
        """
        if self._over:
            raise Interrupted("the program has ended")

    def _stop(self) -> None:
        """End all threads but the main one, whose call has ended."""
        self._finish(None)
        while self._threads:
            for thread in list(self._threads.values()):
                with suppress(Closed):
                    thread.instance.interrupt()
                thread.python.join(_PATIENCE)
        self._main = None
