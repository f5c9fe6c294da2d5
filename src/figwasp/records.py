"""Floor 0: named tuples without `typing`, whose import takes as long as that of everything else a small program needs.

In: a class as one writes it with `typing.NamedTuple`, which type checkers are told it is. Out: a subclass of what
`collections.namedtuple` makes, with the same fields and defaults.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

__all__ = ["NamedTuple"]


class _Maker(type):
    """Makes the classes."""

    def __new__(cls, name: str, _bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        fields = namespace["__annotations__"]
        defaults = [namespace.pop(field) for field in fields if field in namespace]
        base = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])  # type: ignore[misc]
        return type(name, (base,), {"__slots__": (), **namespace})


class _Base:
    """What stands for the base in the list of bases."""

    def __mro_entries__(self, _bases: tuple[object, ...]) -> tuple[type, ...]:
        return (type.__new__(_Maker, "NamedTuple", (), {}),)


if not TYPE_CHECKING:
    NamedTuple = _Base()
