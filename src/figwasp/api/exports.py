"""Floor 5: the exports of an instance, as Python objects that are made when they are asked for."""

from __future__ import annotations

from figwasp.api import global_ as globals_
from figwasp.api import memory as memories
from figwasp.api import table as tables
from figwasp.api.externs import listed
from figwasp.errors import Closed
from figwasp.runtime.objects.func import func_at
from figwasp.wasm.syntax.module import FUNC, MEMORY, TABLE, TAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final, NoReturn

    from figwasp.api.module import Module
    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.objects.instance import InstanceState

__all__ = ["Exports", "close_exports"]

_MISSING: Final = object()


class Exports:
    """The exports of an instance: by attribute, by item, and iterable by name.

    >>> import figwasp
    >>> text = '(module (memory (export "memory") 1) (func (export "1 + 1") (result i32) (i32.const 2)))'
    >>> instance = figwasp.load(figwasp.wat(text))
    >>> list(instance.exports)
    ['memory', '1 + 1']
    >>> instance.exports.memory, instance.exports["1 + 1"]()
    (<figwasp.Memory of 1 page>, 2)
    """

    # What has been asked for once is in __dict__, so that getting it again as an attribute runs no code of ours.
    __slots__ = ("__dict__", "__instance", "__module")

    __instance: tuple[InstanceState, Owner] | None
    __module: Module

    def __init__(self, state: InstanceState, owner: Owner, module: Module) -> None:
        super().__setattr__("_Exports__instance", (state, owner))
        super().__setattr__("_Exports__module", module)

    def __getitem__(self, name: str) -> Any:
        found = self.__dict__.get(name, _MISSING)
        if found is _MISSING:
            instance = self.__instance
            if instance is None:
                if name not in self:
                    raise KeyError(name)
                raise Closed(f"export {name!r} of an instance of {self.__module!r} that has been closed")
            found = self.__dict__[name] = _export(*instance, self.__module, name)
        return found

    def __getattr__(self, name: str) -> Any:
        if name in ("_Exports__instance", "_Exports__module"):
            raise AttributeError(name)  # of an object that copy or pickle has made without __init__
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the instance has no export {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set {name!r}: exports are what the module says")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete {name!r}: exports are what the module says")

    def __contains__(self, name: object) -> bool:
        return name in self.__module._exports_by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self.__module._exports_by_name)

    def __len__(self) -> int:
        return len(self.__module._exports_by_name)

    def __dir__(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return f"<exports {listed(self) or 'of nothing'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("exports cannot be copied or pickled")


def close_exports(exports: Exports) -> None:
    """Make exports release their instance, which is being closed."""
    object.__setattr__(exports, "_Exports__instance", None)
    exports.__dict__.clear()


def _export(state: InstanceState, owner: Owner, module: Module, name: str) -> Any:
    """Return the Python object for an export.

    Raises:
        KeyError: there is no export of that name.
    """
    export = module._exports_by_name[name]
    if export.kind == FUNC:
        return func_at(state.code.native, state.func_reference(export.index), name)
    if export.kind == TABLE:
        return tables.view(state.tables[export.index], owner)
    if export.kind == MEMORY:
        return memories.view(state.memories[export.index], owner)
    if export.kind == TAG:
        return state.tags[export.index]
    return globals_.view(state.globals[export.index], owner)
