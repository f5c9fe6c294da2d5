"""Floor 4: what code of stubs depends on beside their sources: the layout of native memory, the build of Python, the system.

In: constants of modules. Out: a list of plain values, the same wherever the same stubs are right.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.runtime.platform import cpython, interpreter, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = ["facts"]

_OF_THE_PROCESS: Final = "THREAD_STATE"
"""A constant of `interpreter` of which only the existence counts here: where a process has its thread states is in few places."""


def facts() -> list[Any]:
    """Return the values, those that have names with them."""
    found = [value for module in (layout, interpreter, cpython, linux) for value in _constants(module)]
    return [*found, interpreter.THREAD_STATE is None]


def _constants(module: Any) -> list[Any]:
    names = vars(module)
    chosen = (name for name in sorted(names) if name.upper() == name and name != _OF_THE_PROCESS)
    return [(name, names[name]) for name in chosen if _is_plain(names[name])]


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if type(value) is tuple else type(value) in (int, bool, float, str, bytes, type(None))
