"""Floor 5: instances."""

from __future__ import annotations

import weakref

from figwasp.api import memory as memories
from figwasp.api.acall import AsyncCalls
from figwasp.api.exports import Exports, close_exports
from figwasp.api.externs import listed
from figwasp.errors import Closed, printable
from figwasp.lazy import importing
from figwasp.runtime import arguments
from figwasp.runtime.objects import closing, suspend
from figwasp.runtime.objects.instance import InstanceState
from figwasp.wasm.syntax.module import MEMORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NoReturn

    from figwasp.api.memory import Memory
    from figwasp.api.module import Module
    from figwasp.api.snapshot import Snapshot
    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.store.store import Store

_set: Final = object.__setattr__  # instances refuse assignments
_OWN: Final = frozenset(("_first_memory", "_owner", "_runtime", "_snapshot", "_state", "acall", "closed", "exports", "module"))


class Instance:
    """An instance of a module: `instance.exports.name`, `instance.exports["name"]`, or `instance.name` where it does not clash.

    >>> import figwasp
    >>> with figwasp.load(figwasp.wat('(module $m (func (export "f") (result i32) (i32.const 7)))')) as instance:
    ...     instance.f()
    7
    >>> instance
    <figwasp.Instance m, closed>

    Attributes:
        exports: its exports.
        acall: its exported functions, to be awaited.
        module: the module.
    """

    __slots__ = ("__dict__", "__weakref__", "_first_memory", "_runtime", "_snapshot", "acall", "exports", "module")

    acall: AsyncCalls
    exports: Exports
    module: Module
    _first_memory: Memory | None
    _runtime: tuple[InstanceState, Owner] | None
    _snapshot: Snapshot | None

    def __new__(cls, *args: object) -> Instance:
        if not args or not isinstance(args[0], InstanceState):
            raise TypeError("an instance is made by figwasp.load(module, imports), or by the method instantiate of a Linker")
        return super().__new__(cls)

    def __init__(self, state: InstanceState, owner: Owner, module: Module) -> None:
        """Make the Python object for an instance that `owner` keeps."""
        _set(self, "_runtime", (state, owner))
        _set(self, "module", module)
        _set(self, "_first_memory", None)
        _set(self, "_snapshot", None)
        _set(self, "exports", Exports(state, owner, module))
        _set(self, "acall", AsyncCalls(self.exports, module))
        state.handle = weakref.ref(self)

    @property
    def closed(self) -> bool:
        """Whether the instance has been closed."""
        return self._runtime is None

    @property
    def _state(self) -> InstanceState:
        """The runtime side of the instance."""
        return self._open()[0]

    @property
    def _owner(self) -> Owner:
        """The owner that keeps the instance alive."""
        return self._open()[1]

    def _open(self) -> tuple[InstanceState, Owner]:
        runtime = self._runtime
        if runtime is None:
            raise Closed(f"the instance of {self.module!r} has been closed")
        return runtime

    def close(self) -> None:
        """Close the instance: calls of its functions, also from other instances, raise `Closed` from now on.

        A call that is running in another thread ends with `Interrupted`. One that this thread is running goes on to its end, as do
        calls that are suspended, and until then their WebAssembly code may go on calling functions of the instance. Memories,
        tables and globals that are referred to elsewhere stay usable; all memory goes with the last of them. Closing twice is fine;
        if an exception interrupts it, closing again finishes the rest.
        """
        runtime = self._runtime
        if runtime is None:
            return
        closing.close(runtime[0])
        if runtime[0].store.current.runs_elsewhere:  # asked when nobody can enter any more
            runtime[0].store.interrupt()
        _set(self, "_first_memory", None)
        close_exports(self.exports)
        self.__dict__.clear()
        _set(self, "_snapshot", None)
        runtime[0].restoration = None
        _set(self, "_runtime", None)

    def interrupt(self) -> bool:
        """End the running call of a function of this instance with `Interrupted`, and all calls that it has brought about.

        Any thread may call this, and a signal handler. WebAssembly cannot catch the exception. It ends loops, waits of WASI,
        compilation, calls of instances that host functions call; a host function itself is Python and goes on until it returns to
        WebAssembly, and one that catches `Interrupted` finds the next call ended as well. Instances that are linked run as one, and
        calls by `acall` end too. The instance can be used afterwards.

        Returns:
            Whether a call was running.
        """
        return suspend.interrupt(self._state.store)

    def snapshot(self) -> Snapshot:
        """Take the state of the instance: the contents of the memories, tables and globals that its module defines.

        >>> import figwasp
        >>> text = '(module (memory (export "memory") 1) (func (export "f") (i32.store (i32.const 8) (i32.const 7))))'
        >>> instance = figwasp.load(figwasp.wat(text))
        >>> snapshot = instance.snapshot()
        >>> instance.f()
        >>> instance.memory.read_i32(8)
        7
        >>> instance.reset()
        >>> instance.memory.read_i32(8)
        0
        >>> instance.module.instantiate(snapshot=snapshot).memory.read_i32(8)
        0

        Sizes belong to the state, and which segments have been dropped. Functions that tables and globals refer to are those of the
        module and its imports, whichever instance gets the state; objects of Python are kept as they are, and not copied. What the
        host has is no part of it: files that a WASI program has open, fuel, objects that host functions keep.

        Raises:
            Error: it imports a memory, a table or a mutable global; a memory is shared; a table, a global or a segment
                refers to an object of the garbage-collected heap, or to a function of another instance that the module does not
                import. The message says which.
            Busy: a call of the instance, or of one linked with it, runs or is suspended.
            Closed: the instance has been closed.
            LimitExceeded: there is no memory for it.
        """
        state = self._state
        with importing:
            from figwasp.api.snapshot import Snapshot  # most programs do without
            from figwasp.runtime.snapshots.captured import capture

        taken = Snapshot._of(self.module, state.store.hold_idle(lambda: capture(state)))
        remember(self, taken)
        return taken

    def reset(self, snapshot: Snapshot | None = None) -> None:
        """Put the instance into the state of a snapshot, which takes as long as what has changed since is large.

        All that refers to the instance stays valid: functions, memories, buffers of memories. A memory that has grown since
        becomes smaller again.

        Args:
            snapshot: of an instance of an equal module; None for the last one that this instance has taken, been reset to or been
                made from.

        Raises:
            ValueError: there is no snapshot, or it is of another module.
            BufferError: a memory would become smaller, and there are buffers of it, such as a memoryview; nothing has changed.
            Busy: a call of the instance, or of one linked with it, runs or is suspended; nothing has changed.
            Closed: the instance has been closed.
            LimitExceeded: there is no memory; nothing has changed, unless the message says that the instance has been closed.
        """
        state = self._state
        wanted = self._snapshot if snapshot is None else snapshot
        if wanted is None:
            hint = "; its export of that name is instance.exports.reset" if "reset" in self.exports else ""
            raise ValueError(f"{self!r} has no snapshot to be reset to: it has taken none, nor has it been made from one{hint}")
        with importing:
            from figwasp.api.snapshot import state_for
            from figwasp.runtime.snapshots.restore import restore

        captured = state_for(wanted, self.module)
        state.store.hold_idle(lambda: restore(state, captured))
        remember(self, wanted)

    def __enter__(self) -> Instance:
        self._open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _find_first_memory(self) -> Memory | None:
        """Return the first memory of the instance, and keep it for the next time."""
        memory = first_memory(self._state, self._owner, self.module)
        _set(self, "_first_memory", memory)
        return memory

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:
            if name in ("_state", "_owner"):
                self._open()
            raise AttributeError(name)  # of an object that copy or pickle has made without __init__
        found = self.__dict__[name] = getattr(self.exports, name)
        return found

    @property
    def fuel(self) -> int:
        """The fuel that is left to this instance and all that are linked with it; settable.

        Raises:
            TypeError: the engine was made without `fuel`.
        """
        store = self._metered_store()
        return store.fuel.get(store)

    @fuel.setter
    def fuel(self, amount: int) -> None:
        store = self._metered_store()
        store.fuel.set(store, arguments.fuel(amount, "fuel"))

    @property
    def on_out_of_fuel(self) -> Callable[[], int | None] | None:
        """The callable that is asked for more when the fuel is used up; settable.

        The callable returns how much more there is, and the call goes on where it was; None or 0 means none, and the call ends
        with `OutOfFuel`.
        """
        return self._metered_store().fuel.ask

    @on_out_of_fuel.setter
    def on_out_of_fuel(self, function: Callable[[], int | None] | None) -> None:
        if function is not None and not callable(function):
            raise TypeError(f"on_out_of_fuel must be callable or None, not {type(function).__name__}")
        self._metered_store().fuel.ask = function

    def _metered_store(self) -> Store:
        if not self._state.code.config.metered:
            raise TypeError("the instance counts no fuel: its engine was made without fuel=True")
        return self._state.store.current

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("fuel", "on_out_of_fuel"):
            _set(self, name, value)
            return
        raise AttributeError(f"cannot set {name!r}: an instance is what its module says")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete {name!r}: an instance is what its module says")

    def __dir__(self) -> list[str]:
        own = [name for name in object.__dir__(self) if not name.startswith("_") or name.endswith("__")]
        return sorted({*own, *self.exports})

    def __reduce__(self) -> NoReturn:
        raise TypeError("an instance cannot be copied or pickled: pickle its module, and instantiate that where it is needed")

    def __repr__(self) -> str:
        name = self.module.name
        what = f"figwasp.Instance {printable(name)}" if name else "figwasp.Instance"
        return f"<{what}, closed>" if self.closed else f"<{what} exporting {listed(self.exports) or 'nothing'}>"


def remember(instance: Instance, snapshot: Snapshot) -> None:
    """Have `Instance.reset` without arguments go back to a snapshot."""
    _set(instance, "_snapshot", snapshot)


def first_memory(state: InstanceState, owner: Owner, module: Module) -> Memory | None:
    """Return the default memory of an instance: the one exported as "memory", or else the first."""
    export = module._exports_by_name.get("memory")
    index = export.index if export is not None and export.kind == MEMORY else 0
    return memories.view(state.memories[index], owner) if index < len(state.memories) else None
