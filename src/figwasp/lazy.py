"""Floor 0: packages whose names come from their modules when they are first used.

In: which names come from which modules. Out: `__getattr__` and `__dir__` of the package, which Python asks for names that are not
there (PEP 562).
"""

from __future__ import annotations

import _thread
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

__all__ = ["IMPORTED", "imported", "importing", "on_first_use"]

IMPORTED: Final = time.time_ns()
"""When figwasp was imported, in nanoseconds since 1970. Its modules come later, perhaps from sources that have been changed."""


importing: Final = _thread.RLock()
"""Held while modules are imported that other threads may need, too: a fork waits for it. In a process that is forked while another
thread imports a module, that module stays locked for good."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=importing.acquire, after_in_parent=importing.release, after_in_child=importing.release)


def imported(name: str) -> Any:
    """Return a module by its full name, as `importlib.import_module` does, which would have to be imported itself."""
    with importing:
        __import__(name)
    return sys.modules[name]


def on_first_use(
    namespace: dict[str, Any], names_of: Mapping[str, str], modules: str = ""
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package.

    Args:
        namespace: of the package, `globals()`: what has been asked for is kept there.
        names_of: full name of a module -> the names that come from it, separated by blanks.
        modules: modules of the package that are names of it themselves, separated by blanks.
    """
    package = namespace["__name__"]
    places = {name: module for module, names in names_of.items() for name in names.split()}
    inside = modules.split()

    def getattr_(name: str) -> Any:
        """Import what has been asked for, and keep it."""
        if name in inside:
            return imported(f"{package}.{name}")
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = namespace[name] = getattr(imported(places[name]), name)
        return found

    def dir_() -> list[str]:
        return sorted({*namespace, *places, *inside})

    return getattr_, dir_
