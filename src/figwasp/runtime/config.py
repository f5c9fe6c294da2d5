"""Floor 4: the settings of an engine that compiling and running depend on.

In: the arguments of `figwasp.Engine`, checked there. Out: one object that a compiled module and everything made from it refers to.
"""

from __future__ import annotations

from figwasp.layout import CHECKED
from figwasp.lazy import importing
from figwasp.runtime.limits import InstanceSlots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.cache.cache import Cache
    from figwasp.features import Features
    from figwasp.runtime.code.listen import Listener

__all__ = ["Config"]


class Config:
    """The settings of an engine; they do not change.

    Attributes:
        features: the proposals that modules may use.
        metered: whether code counts fuel.
        fuel: the amount that each instance begins with.
        stack_size: bytes of a chain's wasm stack.
        max_memory: most bytes that the memories of an instance may have together, or None.
        max_table: most elements that the tables of an instance may have together, or None.
        max_gc_heap: most bytes that the heap of a store may have, or None for the default.
        max_instances: most instances that may live at once, or None.
        max_acalls: most calls of an instance that may be suspended at once, or None.
        slots: the slots of live instances.
        timeout: seconds that a call from Python may take unless it says otherwise, or None.
        listener: asked about each function that is compiled (see `runtime.code.listen`), or None.
        perf_map: whether `perf` is told where functions stand (see `runtime.platform.perfmap`).
        tier: "auto", "baseline" or "optimize": which compiler makes code (see `runtime.code.tiers`); "stress" is "auto" with
            changes at random moments.
        cache_setting: the absolute path of the folder of the cache, "off", or None for what the environment says.
    """

    __slots__ = (
        "_cache",
        "_mode",
        "cache_setting",
        "features",
        "fuel",
        "listener",
        "max_acalls",
        "max_gc_heap",
        "max_instances",
        "max_memory",
        "max_table",
        "metered",
        "perf_map",
        "slots",
        "stack_size",
        "tier",
        "timeout",
    )

    def __init__(
        self,
        *,
        features: Features,
        mode: int | None,
        fuel: int | None,
        stack_size: int,
        max_memory: int | None,
        max_table: int | None,
        max_gc_heap: int | None,
        max_instances: int | None,
        max_acalls: int | None,
        timeout: float | None,
        listener: Listener | None,
        perf_map: bool,
        tier: str,
        cache: str | None,
    ) -> None:
        self.features = features
        self._mode = mode
        self.metered = fuel is not None
        self.fuel = fuel or 0
        self.stack_size = stack_size
        self.max_memory = max_memory
        self.max_table = max_table
        self.max_gc_heap = max_gc_heap
        self.max_instances = max_instances
        self.max_acalls = max_acalls
        self.slots = InstanceSlots(max_instances)
        self.timeout = timeout
        self.listener = listener
        self.perf_map = perf_map
        self.tier = tier
        self.cache_setting = cache
        self._cache: tuple[Cache | None] | None = None

    @property
    def mode(self) -> int:
        """How memory accesses are made safe, GUARD or CHECKED: unless one was given, the first that this process can have."""
        if self._mode is None:
            with importing:
                from figwasp.runtime.platform.modes import choose_mode  # only where something is to run

            self._mode = choose_mode()
        return self._mode

    @property
    def counted(self) -> bool:
        """Whether baseline code counts how often it runs: not where nothing comes of it."""
        return self.tier != "baseline"

    @property
    def cache(self) -> Cache | None:
        """Where what has been compiled is kept, or None if it is not. The environment is asked once."""
        if self._cache is None:
            with importing:
                from figwasp.cache.cache import resolved  # only where something is to be compiled

            self._cache = (resolved(self.cache_setting),)
        return self._cache[0]

    def checked(self) -> Config:
        """Return the same settings for memories without a guard area."""
        with importing:
            from copy import copy  # seldom needed, and slow to import

        other = copy(self)
        other._mode = CHECKED
        return other
