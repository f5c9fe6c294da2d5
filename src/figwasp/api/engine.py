"""Floor 5: engines: the settings that modules are compiled with, and the limits of their instances."""

from __future__ import annotations

import os

from figwasp.features import DEFAULT, Features
from figwasp.layout import CHECKED, GUARD
from figwasp.runtime import arguments
from figwasp.runtime.arguments import STACK_SIZE
from figwasp.runtime.config import Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from figwasp.runtime.code.listen import Listener

__all__ = ["Engine", "chosen", "default_engine"]

_GIVEN: Final = frozenset({"cache", "fuel", "memory", "tier"})  # arguments that the configuration has in another form
_TIERS: Final = ("auto", "baseline", "optimize")
_MODES: Final = {"guard": GUARD, "checked": CHECKED}


class Engine:
    """A configuration. Modules made without one share a default.

    Engines with equal settings are equal. An engine can be pickled if all its arguments can.

    >>> import figwasp
    >>> figwasp.Engine(fuel=True, timeout=2.5)
    figwasp.Engine(fuel=True, timeout=2.5)
    >>> module = figwasp.Module(figwasp.wat("(module)"), engine=figwasp.Engine(max_memory=1 << 20))

    Args:
        features: the proposals that modules may use.
        memory: "guard" (no bounds checks in code, 8 GiB of address space for each memory) or "checked"; None takes the first that
            this process can have.
        fuel: whether code counts what it executes, so that `Instance.fuel` limits it; a number is the fuel of each new
            instance, which a start function needs.
        stack_size: bytes of the stack that wasm runs on: 128 KiB at least, a multiple of 4 KiB. Instances that are linked share the
            largest of theirs.
        max_memory: most bytes that the memories which one instance defines may have together. Beyond it `memory.grow` answers -1.
        max_table: most elements that the tables which one instance defines may have together. Beyond it `table.grow` answers -1.
        max_gc_heap: most bytes that the garbage-collected heap may have which linked instances share, 4 GiB by default. Beyond it
            allocation traps.
        max_instances: most instances of this engine that may live at once.
        max_acalls: most calls by `Instance.acall` that may be under way at once in an instance and those it is linked with.
        timeout: seconds after which a call from Python ends with `Timeout`, unless it says otherwise.
        listener: called with a `FuncInfo` for each function of a module when that is compiled; answers None, or an object with
            any of the methods `before(func, args, depth)`, `after(func, results, depth)` and `abort(func, error, depth)`, which are
            called for every call of that function. Functions that it answers None for cost nothing.
        perf_map: write where functions stand to /tmp/perf-PID.map, so that Linux `perf` can name them.
        tier: which compiler makes code: "auto" (the baseline compiler, which is quick, then the optimising one for what runs
            often), "baseline" or "optimize" (one of them alone); None for what the environment says: FIGWASP_TIER, else "auto".
            What the baseline compiler cannot do is left to the other.
        cache: the folder that keeps what has been compiled for other processes, False or "off" for none; None or True for what the
            environment says: FIGWASP_CACHE, a folder or "off", else `figwasp` in $XDG_CACHE_HOME or in ~/.cache. It is made when
            something is first written. It is used if it is this user's and others cannot write to it.

    Raises:
        TypeError, ValueError: an argument is not what it must be.
    """

    __slots__ = ("_cache", "_fuel", "_memory", "_tier", "config")

    def __init__(
        self,
        *,
        features: Features = DEFAULT,
        memory: str | None = None,
        fuel: bool | int = False,
        stack_size: int = STACK_SIZE,
        max_memory: int | None = None,
        max_table: int | None = None,
        max_gc_heap: int | None = None,
        max_instances: int | None = None,
        max_acalls: int | None = None,
        timeout: float | None = None,
        listener: Listener | None = None,
        perf_map: bool = False,
        tier: str | None = None,
        cache: str | bytes | os.PathLike[str] | os.PathLike[bytes] | bool | None = None,
    ) -> None:
        self._cache = arguments.cache(cache)
        self._tier = tier
        chosen_tier = os.environ.get("FIGWASP_TIER", "auto") if tier is None else tier
        if chosen_tier not in (_TIERS if tier is not None else (*_TIERS, "stress")):
            raise ValueError(f'tier is "auto", "baseline" or "optimize", not {chosen_tier!r}')
        self._memory = memory
        self._fuel = fuel or fuel is not False  # 0 is True: it is counted, and there is none at first
        if memory is not None and memory not in _MODES:
            raise ValueError(f'memory is "guard" or "checked", not {memory!r}')
        if not isinstance(features, Features):
            raise TypeError(f"features must be figwasp.features.Features, not {type(features).__name__}")
        if listener is not None and not callable(listener):
            raise TypeError(f"listener must be callable or None, not {type(listener).__name__}")
        self.config = Config(
            features=features,
            mode=None if memory is None else _MODES[memory],
            fuel=_fuel(fuel),
            stack_size=arguments.stack_size(stack_size),
            max_memory=arguments.limit(max_memory, "max_memory"),
            max_table=arguments.limit(max_table, "max_table"),
            max_gc_heap=arguments.limit(max_gc_heap, "max_gc_heap"),
            max_instances=arguments.limit(max_instances, "max_instances"),
            max_acalls=arguments.limit(max_acalls, "max_acalls"),
            timeout=arguments.timeout(timeout),
            listener=listener,
            perf_map=bool(perf_map),
            tier=chosen_tier,
            cache=self._cache,
        )

    @property
    def features(self) -> Features:
        """The proposals that modules may use; `including` and `excluding` give others from them."""
        return self.config.features

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments it was made with, as far as they are not the defaults."""
        found = {}
        for name, default in (Engine.__init__.__kwdefaults__ or {}).items():
            value = getattr(self, f"_{name}") if name in _GIVEN else getattr(self.config, name)
            if value != default:
                found[name] = value
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Engine) and (self is other or self.settings == other.settings)

    def __hash__(self) -> int:
        config = self.config
        return hash((config.features, self._memory, config.metered, config.stack_size))

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (self.settings,)

    def __repr__(self) -> str:
        return f"figwasp.Engine({', '.join(f'{name}={value!r}' for name, value in self.settings.items())})"


def _make(settings: dict[str, Any]) -> Engine:
    """Make an engine again from its pickle."""
    return Engine(**settings)


def _fuel(value: bool | int) -> int | None:
    """Return the fuel that each instance begins with, None when fuel is not counted."""
    if isinstance(value, bool):
        return 0 if value else None
    return arguments.fuel(value, "fuel")

_default: Engine | None = None


def default_engine() -> Engine:
    """Return the engine of modules that name none."""
    global _default
    if _default is None:
        _default = Engine()
    return _default


def chosen(engine: Engine | None) -> Engine:
    """Return an optional engine, or the default one for None.

    Raises:
        TypeError: the argument is no engine.
    """
    if engine is None:
        return default_engine()
    if not isinstance(engine, Engine):
        raise TypeError(f"engine must be a figwasp.Engine or None, not {type(engine).__name__}")
    return engine
