"""Floor 4: checks of users' arguments: fuel, sizes of stacks, timeouts, types of addresses, folders.

In: any object. Out: a plain value.
"""

from __future__ import annotations

import mmap
import os

from figwasp.cache.folder import OFF
from figwasp.wasm.syntax.types import I32, I64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "MAX_FUEL",
    "MAX_STACK",
    "MIN_STACK",
    "STACK_SIZE",
    "address_type",
    "cache",
    "fuel",
    "jobs",
    "limit",
    "stack_size",
    "timeout",
]

MAX_FUEL: Final = 2**63 - 1
"""The most fuel that a store can have; a larger amount counts as this one."""

STACK_SIZE: Final = 1 << 20
"""Bytes of a wasm stack unless an engine says otherwise."""
MIN_STACK: Final = 128 << 10
MAX_STACK: Final = 1 << 30

_ADDRESSES: Final = {"i32": I32, "i64": I64}
_LONGEST: Final = 2**33  # seconds: 272 years, whose nanoseconds are a signed 64-bit number


def _number(value: object, name: str, kind: str = "an int") -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be {kind}, not {type(value).__name__}")
    return value


def fuel(value: object, name: str) -> int:
    """Return an amount of fuel.

    Raises:
        TypeError: the amount is no int.
        ValueError: the amount is negative.
    """
    amount = _number(value, name)
    if amount < 0:
        raise ValueError(f"{name} must not be negative: {amount}")
    return min(amount, MAX_FUEL)


def jobs(value: object) -> int | None:
    """Return a number of processes, None for as many as are useful.

    Raises:
        TypeError: the number is no int.
        ValueError: the number is not positive.
    """
    if value is None:
        return None
    number = _number(value, "jobs", "an int or None")
    if number < 1:
        raise ValueError(f"jobs must be at least 1: {number}")
    return number


def stack_size(value: object) -> int:
    """Return the size of wasm stacks, in bytes.

    Raises:
        TypeError: the size is no int.
        ValueError: the size is too small, too large, or no multiple of the page size.
    """
    size = _number(value, "stack_size")
    if not MIN_STACK <= size <= MAX_STACK or size % mmap.PAGESIZE:
        raise ValueError(f"stack_size must be a multiple of {mmap.PAGESIZE} from {MIN_STACK} to {MAX_STACK}: {size}")
    return size


def limit(value: object, name: str) -> int | None:
    """Return a limit, or None.

    Raises:
        TypeError: the limit is neither an int nor None.
        ValueError: the limit is negative.
    """
    if value is None:
        return None
    most = _number(value, name, "an int or None")
    if most < 0:
        raise ValueError(f"{name} must not be negative: {most}")
    return most


def address_type(name: str) -> int:
    """Return the type of addresses or indices that has a name.

    Raises:
        ValueError: there is none.
    """
    if name not in _ADDRESSES:
        raise ValueError(f'an address is "i32" or "i64", not {name!r}')
    return _ADDRESSES[name]


def timeout(value: object) -> float | None:
    """Return a timeout in seconds, or None.

    Raises:
        TypeError: the timeout is no number.
        ValueError: the timeout is not positive and finite.
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"timeout must be a number of seconds or None, not {type(value).__name__}")
    if not 0 < value < float("inf"):
        raise ValueError(f"timeout must be positive and finite: {value}")
    return float(min(value, _LONGEST))


def cache(value: object) -> str | None:
    """Return the absolute path of a folder, "off", or None for what the environment says.

    Raises:
        TypeError: the value is no path, no bool and not None.
        ValueError: no file can have such a path.
    """
    if value is None or isinstance(value, bool):
        return OFF if value is False else None
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"cache must be a path, a bool or None, not {type(value).__name__}")
    path = os.fsdecode(value)
    if not path or "\0" in path:
        raise ValueError(f"cache must be a path, not {path!r}")
    os.fsencode(path)  # a UnicodeEncodeError is a ValueError
    return OFF if path == OFF else os.path.abspath(path)
