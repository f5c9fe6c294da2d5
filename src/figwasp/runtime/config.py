"""Floor 4: what an engine is configured with, as far as compiling and running needs to know it.

In: the arguments of `figwasp.Engine`, checked there. Out: one object that a compiled module and everything made from it refers to.
"""

from __future__ import annotations

from figwasp.features import Features
from figwasp.runtime.code.listen import Listener
from figwasp.runtime.objects.limits import Slots

__all__ = ["Config"]


class Config:
    """The settings of an engine, which fills it in; they do not change.

    Attributes:
        features: the proposals that modules may use.
        mode: how memory accesses are made safe: modes.GUARD or modes.CHECKED.
        metered: whether code counts fuel.
        fuel: how much of it each instance begins with.
        stack_size: bytes of a chain's wasm stack.
        max_memory: most bytes that the memories of an instance may have together, or None.
        max_table: most elements that the tables of an instance may have together, or None.
        max_instances: most instances that may live at once, or None.
        slots: room for them.
        timeout: seconds that a call from Python may take unless it says otherwise, or None.
        listener: asked about each function that is compiled (see `runtime.code.listen`), or None.
        perf_map: whether `perf` is told where functions stand (see `runtime.platform.perfmap`).
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

    features: Features
    mode: int
    metered: bool
    fuel: int
    stack_size: int
    max_memory: int | None
    max_table: int | None
    max_instances: int | None
    slots: Slots
    timeout: float | None
    listener: Listener | None
    perf_map: bool
