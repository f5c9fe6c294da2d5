"""Floor 5: engines: what modules are compiled with, and what their instances may use."""

from __future__ import annotations

from typing import Final

from figwasp.features import DEFAULT, Features
from figwasp.runtime import linear
from figwasp.runtime.config import Config
from figwasp.runtime.stack import STACK_SIZE

__all__ = ["Engine", "default_engine"]

_MODES: Final = {"guard": linear.GUARD, "checked": linear.CHECKED}


class Engine:
    """A configuration. Modules made without one share a default.

    Args:
        features: the proposals that modules may use.
        memory: "guard" (no bounds checks in code, 8 GiB of address space for each memory) or "checked"; None takes the first that
            this process can have.
        fuel: whether code counts what it executes, so that `Instance.fuel` limits it.
        stack_size: bytes of the stack that wasm runs on.
        max_memory: most bytes that the memories of one instance may have together.
        max_table: most elements that the tables of one instance may have together.
        max_instances: most instances of this engine that may live at once.
        timeout: seconds after which a call from Python ends with `Timeout`, unless it says otherwise.
    """

    __slots__ = ("config",)

    def __init__(
        self,
        *,
        features: Features = DEFAULT,
        memory: str | None = None,
        fuel: bool = False,
        stack_size: int = STACK_SIZE,
        max_memory: int | None = None,
        max_table: int | None = None,
        max_instances: int | None = None,
        timeout: float | None = None,
    ) -> None:
        if memory is not None and memory not in _MODES:
            raise ValueError(f'memory is "guard" or "checked", not {memory!r}')
        self.config = Config(
            features,
            None if memory is None else _MODES[memory],
            metered=fuel,
            stack_size=stack_size,
            max_memory=max_memory,
            max_table=max_table,
            max_instances=max_instances,
            timeout=timeout,
        )


_default: Engine | None = None


def default_engine() -> Engine:
    """Return the engine of modules that name none."""
    global _default
    if _default is None:
        _default = Engine()
    return _default
