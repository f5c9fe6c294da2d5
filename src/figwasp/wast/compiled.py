"""Floor 6: scripts on the engine proper: machine code, called with raw bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import figwasp
from figwasp import layout
from figwasp.features import ALL, DEFAULT, Features
from figwasp.ir.types import CELL
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.objects.func import Buffer, enter_raw
from figwasp.runtime.objects.values import canonical, cells_of, places_of
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.store.store import Store
from figwasp.wasm.syntax.types import F32, I32, is_ref, may_be_host, type_name
from figwasp.wast.engine import HOST_FUNCS, SPECTEST, Found, ScriptError, argument_bits, number, reference
from figwasp.wast.script import ScriptValue

if TYPE_CHECKING:
    from figwasp.runtime.objects.values import Numbers

__all__ = ["CompiledEngine", "CompiledInstance"]


class HostRef:
    """An object that an externref of a script refers to."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class CompiledEngine:
    """Makes modules that are compiled function by function.

    Args:
        mode: "guard" or "checked".
        features: the proposals that are on.
    """

    def __init__(self, mode: str, features: Features = DEFAULT) -> None:
        self._engine = figwasp.Engine(features=features, memory=mode)
        self._host_engine = figwasp.Engine(features=ALL, memory=mode)
        self._host_refs: dict[int, HostRef] = {}

    def define(self, data: bytes) -> figwasp.Module:
        """Decode and validate a module, as `Engine.define`."""
        return figwasp.Module(data, engine=self._engine)

    def instantiate(self, definition: figwasp.Module, registered: Mapping[str, CompiledInstance]) -> CompiledInstance:
        """Instantiate a module, as `Engine.instantiate`."""
        imports = {name: instance.exports for name, instance in registered.items()}
        return CompiledInstance(self, figwasp.load(definition, imports))

    def spectest(self) -> CompiledInstance:
        """Return a new instance of the host module."""
        host = dict.fromkeys(HOST_FUNCS, _do_nothing)
        return CompiledInstance(self, figwasp.load(SPECTEST, {"host": host}, engine=self._host_engine))

    def host_ref(self, number: int) -> HostRef:
        """Return the one object for a number."""
        return self._host_refs.setdefault(number, HostRef(number))


class CompiledInstance:
    """An instance under test.

    Attributes:
        exports: its exports.
    """

    __slots__ = ("_engine", "exports")

    def __init__(self, engine: CompiledEngine, instance: figwasp.Instance) -> None:
        self._engine = engine
        self.exports: figwasp.Exports = instance.exports

    def invoke(self, name: str, args: Sequence[ScriptValue]) -> list[Found]:
        """Call an export, as `Instance.invoke`."""
        func = self._export(name)
        if not isinstance(func, figwasp.Func):
            raise ScriptError(f"{name} is not a function")
        type_ = func.type
        numbers, store = func._numbers, func._store
        tops = [_top(code, numbers) for code in type_.results]
        given = argument_bits(args, type_.params, lambda code: _top(code, numbers))
        store.claim()
        try:
            buffer = Buffer(store, max(cells_of(type_.params), cells_of(type_.results)), type_.params + type_.results)
            for place, bits, code in zip(places_of(buffer.address, type_.params), given, type_.params, strict=True):
                self._put_argument(place, bits, code, store)
            enter_raw(type_, func._address, buffer.address, store)
            places = places_of(buffer.address, type_.results)
            found = zip(type_.results, tops, places, strict=True)
            return [self._found(code, top, _bits(code, place)) for code, top, place in found]
        finally:
            store.clean_up_if_asked()

    def get(self, name: str) -> Found:
        """Return the value of an exported global, as `Instance.get`."""
        export = self._export(name)
        if not isinstance(export, figwasp.Global):
            raise ScriptError(f"{name} is not a global")
        core = export._core
        return self._found(core.type.type, _top(core.type.type, core.numbers), core.get())

    def _export(self, name: str) -> Any:
        if name not in self.exports:
            raise ScriptError(f"no export {name!r}")
        return self.exports[name]

    def _put_argument(self, place: int, bits: int | None, code: int, store: Store) -> None:
        if bits is not None and may_be_host(code):
            store.give_extern(self._engine.host_ref(bits), place)
        elif bits is not None and is_ref(code):
            raise ScriptError(f"{type_name(code)} cannot be an operand of a script")
        else:
            linux.write(place, (bits or 0).to_bytes(CELL * cells_of((code,)), "little"))

    def _found(self, code: int, top: int, bits: int) -> Found:
        return reference(top, bits, _kind, _host_number) if is_ref(code) else number(code, bits)


def _bits(code: int, place: int) -> int:
    """Return the bits of a value at a place."""
    bits = int.from_bytes(linux.read(place, CELL * cells_of((code,))), "little")
    return bits & 0xFFFF_FFFF if code == I32 or code == F32 else bits


def _top(code: int, numbers: Numbers) -> int:
    """Return the topmost type of a reference's hierarchy; anything for other types."""
    return TYPES.top(canonical(code, numbers)) if is_ref(code) else code


def _kind(reference: int) -> int:
    """Return the kind of an object of the heap."""
    return linux.read_u32(TYPES.region.base + linux.read_u32(reference + layout.OBJECT_TYPE) + layout.TYPE_KIND)


def _host_number(reference: int) -> int:
    """Return the number of an object of the host."""
    value: object = cpython.object_at(reference - layout.HOST_TAG)
    return value.number if isinstance(value, HostRef) else -1


def _do_nothing(*_: object) -> None:
    """Do nothing, as a function of the host module."""
