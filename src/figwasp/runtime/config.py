"""Floor 4: what an engine is configured with, as far as compiling and running needs to know it.

In: the arguments of `figwasp.Engine`. Out: one object that a compiled module and everything made from it refers to.
"""

from __future__ import annotations

from figwasp.features import DEFAULT, Features
from figwasp.runtime import linear
from figwasp.runtime.limits import Slots
from figwasp.runtime.listen import Listener
from figwasp.runtime.stack import STACK_SIZE

__all__ = ["Config"]


class Config:
    """The settings of an engine; they do not change.

    Attributes:
        features: the proposals that modules may use.
        mode: how memory accesses are made safe: linear.GUARD or linear.CHECKED.
        metered: whether code counts fuel.
        fuel: how much of it each instance begins with.
        stack_size: bytes of a chain's wasm stack.
        max_memory: most bytes that the memories of an instance may have together, or None.
        max_table: most elements that the tables of an instance may have together, or None.
        max_instances: most instances that may live at once, or None.
        slots: room for them.
        timeout: seconds that a call from Python may take unless it says otherwise, or None.
        listener: asked about each function that is compiled (see `runtime.listen`), or None.
        perf_map: whether `perf` is told where functions stand (see `runtime.perfmap`).
    """

    __slots__ = (
        "features",
        "fuel",
        "listener",
        "max_instances",
        "max_memory",
        "max_table",
        "metered",
        "mode",
        "perf_map",
        "slots",
        "stack_size",
        "timeout",
    )

    def __init__(
        self,
        features: Features = DEFAULT,
        mode: int | None = None,
        *,
        metered: bool = False,
        fuel: int = 0,
        stack_size: int = STACK_SIZE,
        max_memory: int | None = None,
        max_table: int | None = None,
        max_instances: int | None = None,
        timeout: float | None = None,
        listener: Listener | None = None,
        perf_map: bool = False,
    ) -> None:
        self.features = features
        self.mode = linear.choose_mode() if mode is None else mode
        self.metered = metered
        self.fuel = fuel
        self.stack_size = stack_size
        self.max_memory = max_memory
        self.max_table = max_table
        self.max_instances = max_instances
        self.slots = Slots(max_instances)
        self.timeout = timeout
        self.listener = listener
        self.perf_map = perf_map
