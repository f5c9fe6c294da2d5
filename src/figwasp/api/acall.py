"""Floor 5: `instance.acall`: calls that await what async host functions return."""

from __future__ import annotations

from figwasp.api.externs import listed
from figwasp.errors import printable
from figwasp.runtime.objects import suspend
from figwasp.runtime.objects.func import Func
from figwasp.wasm.syntax.module import FUNC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypedDict, Unpack

    from figwasp.api.exports import Exports
    from figwasp.api.module import Module

    class _Names(TypedDict, total=False):
        timeout: float | None

__all__ = ["AsyncCalls", "AsyncFunc"]


class AsyncFunc:
    """An exported function to be awaited; also an async host function for other instances.

    A call returns a coroutine. Whenever wasm reaches a host function that is an `async def`, the call is suspended on a
    stack of its own until that function has returned; meanwhile the event loop, of any kind, runs other tasks, other calls of the
    same instance among them. An exception of the host function, or cancelling, ends the call where it was suspended.

    Calls in flight share the instance's memory and globals. Compiled C keeps its own stack in linear memory, so of calls that may
    hold pointers into that the last to begin must be the first to end; others can be in flight in any order.

    Attributes:
        func: the exported function.
    """

    __slots__ = ("_most", "func")

    def __init__(self, func: Func, most: int | None) -> None:
        self.func = func
        self._most = most

    async def __call__(self, *args: object, **names: Unpack[_Names]) -> Any:
        """Call the function, and await what its async host functions return.

        Args:
            args: as for the function.
            names: `timeout`, as for the function: seconds that the call may take, waiting included; it needs asyncio.

        Raises:
            Trap: the call trapped.
            Timeout: the call took too long.
            LimitExceeded: `Engine(max_acalls=...)` calls are under way.
            RuntimeError: an async host function was reached with a Python function that had called wasm in between.
        """
        return await suspend.call(self.func, args, self.func._timeout(dict(names)), self._most)

    def __repr__(self) -> str:
        return f"<figwasp.AsyncFunc {printable(self.func.name)} {self.func.type}>"


class AsyncCalls:
    """The exported functions of an instance, to be awaited: by attribute, by item, iterable by name."""

    __slots__ = ("_exports", "_module")

    def __init__(self, exports: Exports, module: Module) -> None:
        self._exports = exports
        self._module = module

    def __getitem__(self, name: str) -> AsyncFunc:
        func = self._exports[name]
        if not isinstance(func, Func):
            raise TypeError(f"export {name!r} is no function but a {type(func).__name__}")
        return AsyncFunc(func, self._module.engine.config.max_acalls)

    def __getattr__(self, name: str) -> AsyncFunc:
        if name in AsyncCalls.__slots__:
            raise AttributeError(name)  # of an object that copy or pickle has made without __init__
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the instance has no export {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return (name for name, export in self._module._exports_by_name.items() if export.kind == FUNC)

    def __dir__(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return f"<async calls {listed(self)}>"
