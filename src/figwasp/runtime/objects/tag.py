"""Floor 4: tag instances (spec 4.2.10)."""

from __future__ import annotations

from figwasp.wasm.syntax.types import FuncType

__all__ = ["Tag"]


class Tag:
    """A tag instance (spec 4.2.10): nothing but its identity, and the type of the values that an exception with it carries.

    >>> import figwasp
    >>> figwasp.load(figwasp.wat('(module (tag (export "overflow") (param i64)))')).overflow
    <figwasp.Tag (i64) -> ()>

    Attributes:
        type: parameters; the results are empty.
    """

    __slots__ = ("_keeper", "_number", "type")

    def __init__(self, type_: FuncType, number: int, keeper: object = None) -> None:
        self.type = type_
        self._number = number
        self._keeper = keeper

    def __repr__(self) -> str:
        return f"<figwasp.Tag {self.type!r}>"
