"""Floor 5: what a host function can reach of the instance that calls it."""

from __future__ import annotations

import weakref

from figwasp.api.exports import Exports
from figwasp.api.instance import Instance, first_memory
from figwasp.runtime.objects.caller import owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.api.memory import Memory
    from figwasp.api.module import Module
    from figwasp.runtime.objects.instance import InstanceState

__all__ = ["Caller"]


class Caller:
    """The instance that calls a host function: the first argument of a function whose first parameter is annotated `Caller`.

    >>> import figwasp
    >>> heard = []
    >>> def say(caller: figwasp.Caller, offset: int, size: int) -> None:
    ...     heard.append(caller.memory.read_str(offset, size))
    >>> text = '''(module (import "host" "say" (func $say (param i32 i32))) (memory 1) (data (i32.const 8) "hello")
    ...     (func (export "run") (call $say (i32.const 8) (i32.const 5))))'''
    >>> figwasp.load(figwasp.wat(text), {"host": {"say": say}}).run()
    >>> heard
    ['hello']

    The instance meant is the one that imported the function, also when code of another instance calls the function through a
    table. A `Caller` does not keep the instance alive: once the instance has gone, asking for anything is a ReferenceError.
    """

    __slots__ = ("_state", "module")

    module: Module
    """The module of the instance."""

    def __init__(self, state: weakref.ref[InstanceState], module: Module) -> None:
        self._state = state
        self.module = module

    @property
    def instance(self) -> Instance:
        """The instance."""
        state = self._state()
        handle = None if state is None or state.handle is None else state.handle()
        if isinstance(handle, Instance):
            return handle
        owner = owner_of(state)
        assert state is not None
        return Instance(state, owner, self.module)

    @property
    def exports(self) -> Exports:
        """The exports of the instance."""
        instance = self.instance
        if not instance.closed:
            return instance.exports
        # A call that was running when the instance was closed goes on to its end.
        state = self._state()
        owner = owner_of(state)
        assert state is not None
        return Exports(state, owner, self.module)

    @property
    def memory(self) -> Memory:
        """The first memory of the instance, exported or not.

        Raises:
            AttributeError: the instance has no memory.
        """
        state = self._state()
        handle = None if state is None or state.handle is None else state.handle()
        if handle is None or handle.closed:
            owner = owner_of(state)
            assert state is not None
            memory = first_memory(state, owner, self.module)
        else:
            memory = handle._first_memory or handle._find_first_memory()
        if memory is None:
            raise AttributeError(f"the calling instance of {self.module!r} has no memory")
        return memory

    def __repr__(self) -> str:
        return f"<figwasp.Caller {self.instance!r}>"
