"""Floor 4: tag instances (spec 4.2.10)."""

from __future__ import annotations

import weakref
from itertools import count

from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.objects.values import NO_NUMBERS
from figwasp.wasm.syntax.types import TYPE_CODES, FuncType, SubType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from figwasp.runtime.objects.values import Numbers
    from figwasp.wasm.syntax.types import Types

__all__ = ["FOREIGN", "Tag", "host_type", "tag_of"]

FOREIGN: Final = 2
"""The identity of what Python has raised that is no exception of WebAssembly: no tag's."""
_identities: Final = count(16)
_tags: Final[weakref.WeakValueDictionary[int, Tag]] = weakref.WeakValueDictionary()
_TYPES: Final = frozenset(TYPE_CODES.values())
_host_types: Final[dict[Types, int]] = {}
"""Canonical numbers of the types of tags that the host has made, which are kept for ever."""


class Tag:
    """A tag instance (spec 4.2.10): nothing but its identity, and the type of the values that an exception with it carries.

    A module exports and imports tags; a host makes one of the types of what it carries:

    >>> import figwasp
    >>> overflow = figwasp.Tag([figwasp.types.I64])
    >>> overflow
    <figwasp.Tag (i64) -> ()>
    >>> text = '(module (tag $t (import "" "t") (param i64)) (func (export "f") (throw $t (i64.const 7))))'
    >>> try:
    ...     figwasp.load(figwasp.wat(text), {"": {"t": overflow}}).f()
    ... except figwasp.WasmException as error:
    ...     error.tag is overflow, error.args
    (True, (7,))

    Attributes:
        type: parameters; the results are empty.
    """

    __slots__ = ("__weakref__", "_identity", "_keeper", "_number", "_numbers", "type")

    type: FuncType
    _identity: int  # which no other tag of the process has ever had; exceptions have it, and instances
    _number: int  # canonical number of the type
    _numbers: Numbers  # canonical numbers of the indices in it
    _keeper: object

    def __init__(self, params: Iterable[int] = ()) -> None:
        """Make a tag.

        Args:
            params: the types of the values that an exception with it carries.

        Raises:
            ValueError: there is no such type.
        """
        types = tuple(params)
        for type_ in types:
            if type_ not in _TYPES:
                raise ValueError(f"not a value type that a host can name: {type_!r}")
        self._define(FuncType(types, ()), host_type(types), NO_NUMBERS, None)

    @classmethod
    def _of_module(cls, type_: FuncType, number: int, numbers: Numbers, keeper: object) -> Tag:
        """Return the tag that an instance defines.

        Args:
            type_: its type.
            number: the canonical number of that.
            numbers: those of the indices in it.
            keeper: keeps these.
        """
        tag = cls.__new__(cls)
        tag._define(type_, number, numbers, keeper)
        return tag

    def _define(self, type_: FuncType, number: int, numbers: Numbers, keeper: object) -> None:
        self.type = type_
        self._number = number
        self._numbers = numbers
        self._keeper = keeper
        self._identity = next(_identities)
        _tags[self._identity] = self

    def __repr__(self) -> str:
        return f"<figwasp.Tag {self.type!r}>"


def host_type(params: Types) -> int:
    """Return the canonical number of the type of tags that carry such values."""
    number = _host_types.get(params)
    if number is None:
        number = _host_types.setdefault(params, TYPES.intern([SubType(FuncType(params, ()))], [0])[0])
    return number


def tag_of(identity: int) -> Tag | None:
    """Return the tag with an identity; None when it has gone."""
    return _tags.get(identity)
