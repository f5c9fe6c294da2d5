"""Floor 7: `figwasp cache`.

In: the words after `cache`. Out: the exit status. `info` tells of the folder that keeps what has been compiled, `clear` empties
it, and `path` prints where it is, for scripts. The folder is the one that the environment chooses; that of an engine with one
of its own is named by FIGWASP_CACHE.
"""

from __future__ import annotations

import os
import time

from figwasp.cache import eviction
from figwasp.cache.folder import VARIABLE, located, objection
from figwasp.cli.main import FAILED, complain
from figwasp.cli.options import Argument, Command
from figwasp.cli.streams import print_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

__all__ = ["COMMAND", "main", "size_text"]

_KIB: Final = 1024
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
_NAME: Final = 12  # columns for what is told


def main(words: list[str]) -> int:
    """Do what the words say with the folder and return the exit status: 1 if there is none that can be used.

    Without a folder `info` says why, which is no failure; the others cannot do what they are asked for.
    """
    _, (action,) = COMMAND.read(words)
    path, reason = located(os.environ)
    return _ACTIONS[action](path, reason)


def _info(path: str, reason: str) -> int:
    return print_text([*_facts(path, reason)])


def _facts(path: str, reason: str) -> Iterator[str]:
    """Yield the lines of `info`."""
    if not path:
        yield _row("folder", f"none: {reason}")
        return
    wrong = objection(path)
    if wrong:
        yield _row("folder", f"{path}, which is not used: {wrong}")
        return
    entries = eviction.entries_in(path)
    yield _row("folder", path)
    yield _row("entries", f"{len(entries)} (at most {eviction.MOST})")
    yield _row("size", f"{size_text(sum(entry.size for entry in entries))} (at most {size_text(eviction.LIMIT)})")
    if entries:
        yield _row("oldest use", time.strftime("%Y-%m-%d", time.localtime(min(entry.used for entry in entries))))


def _row(name: str, text: str) -> str:
    return f"{name:<{_NAME}} {text}\n"


def size_text(number: int) -> str:
    """Return a number of bytes for people."""
    if number < _KIB:
        return f"{number} bytes"
    unit = min((number.bit_length() - 1) // 10, len(_UNITS)) - 1
    return f"{number / _KIB ** (unit + 1):.1f} {_UNITS[unit]}"


def _clear(path: str, reason: str) -> int:
    wrong = objection(path) if path else reason
    if wrong:
        return _no_cache(f"{path}: {wrong}" if path else wrong)
    number, size = eviction.clear(path)
    return print_text([f"removed {number} {'entry' if number == 1 else 'entries'}, {size_text(size)}\n"])


def _path(path: str, reason: str) -> int:
    return print_text([f"{path}\n"]) if path else _no_cache(reason)


def _no_cache(reason: str) -> int:
    complain(f"figwasp: error: no cache: {reason}\n")
    return FAILED

_WHAT: Final = "info: where it is and what is in it; clear: remove what is in it; path: print where it is"
_ACTIONS: Final = {"info": _info, "clear": _clear, "path": _path}

COMMAND: Final = Command(
    "cache",
    "Look after the folder in which figwasp keeps what it has compiled, so that a program need not be compiled again.",
    [Argument("ACTION", _WHAT, choices=tuple(_ACTIONS))],
    {},
    f"{VARIABLE} in the environment names another folder, or is off. Otherwise it is figwasp in $XDG_CACHE_HOME or in ~/.cache.",
)
