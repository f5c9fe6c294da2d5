"""Floor 5: globals as Python objects (spec 4.2.9)."""

from __future__ import annotations

from figwasp.ir.types import CELL
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.objects import global_ as runtime
from figwasp.runtime.objects.func import Buffer, References
from figwasp.runtime.objects.values import cells_of, get_value, put_value
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.start import native_runtime
from figwasp.runtime.store.store import Store
from figwasp.wasm.syntax.types import (
    ANYREF,
    EQREF,
    EXTERNREF,
    FUNCREF,
    I31REF,
    NUM_TYPES,
    TYPE_CODES,
    V128,
    GlobalType,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, NoReturn

    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.once import Once

_CONTENTS: Final = (*NUM_TYPES, V128, FUNCREF, EXTERNREF, ANYREF, EQREF, I31REF)


class Global:
    """A global: a cell with a type, perhaps mutable. Objects for the same global are equal.

    >>> import figwasp
    >>> level = figwasp.Global("i32", 3, mutable=True)
    >>> text = '(module (import "env" "level" (global $level (mut i32))) (func (export "reset") (global.set $level (i32.const 0))))'
    >>> figwasp.load(figwasp.wat(text), {"env": {"level": level}}).reset()
    >>> level.value, level
    (0, <figwasp.Global mut i32 0>)

    Args:
        type: "i32", "i64", "f32", "f64", "v128", "funcref", "externref", "anyref", "eqref" or "i31ref".
        value: the initial value.
        mutable: whether wasm and Python may assign it.
    """

    __slots__ = ("_core", "_owner")
    _core: runtime.Global
    _owner: Owner

    def __init__(self, type: str, value: Any, mutable: bool = False) -> None:
        code = TYPE_CODES.get(type, 0)
        if code not in _CONTENTS:
            raise ValueError(f"a global holds {', '.join(map(type_name, _CONTENTS))}, not {type!r}")
        made = make(GlobalType(code, mutable), code, value)
        self._core, self._owner = made._core, made._owner

    @property
    def type(self) -> GlobalType:
        """The type of the global."""
        return self._core.type

    @property
    def _references(self) -> References:
        return References(self._core.store, self._core.numbers)

    def _get(self) -> Any:
        word = RootWords(self._core.store, 1)
        word.copy(self._core.address)
        return get_value(word.address, self._core.type.type, self._references)

    @property
    def value(self) -> Any:
        """The present value; assigning to an immutable global is a TypeError."""
        type_ = self._core.type.type
        if not self._core.roots.nodes:
            return get_value(self._core.address, type_, self._references)
        # Another thread must not assign it, and with that release the object, in between; nor must a finalizer.
        return self._core.store.run(self._get)

    @value.setter
    def value(self, value: Any) -> None:
        type_ = self._core.type
        if not type_.mutable:
            raise TypeError("the global is immutable")
        what = "the value of a global"
        self._core.store.run(lambda: _set(self._core, value, what))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Global) and self._core is other._core

    def __hash__(self) -> int:
        return hash(self._core)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a global cannot be copied or pickled")

    def __repr__(self) -> str:
        type_ = self._core.type
        return f"<figwasp.Global {'mut ' if type_.mutable else ''}{type_name(type_.type)} {self.value!r}>"


def make(type_: GlobalType, content: int, value: Any) -> Global:
    """Make a global that the host owns.

    Args:
        type_: the type of the global.
        content: the value type with a canonical number for an index.
        value: the initial value.

    Raises:
        TypeError, OverflowError: the value is not of the type.
    """
    native = native_runtime()
    store = Store(native)
    keeper = native.owners.make(0)
    # The first word of a block that is released is overwritten: the cells are behind it.
    block: int = cpython.raw_calloc(1, 32)
    core = runtime.Global(type_, content, block + 16, store, keeper)
    store.add(core)
    forget, roots = core.releaser(), core.roots

    def release() -> tuple[Once, ...]:
        forget()
        return *roots.releasing(), cpython.freeing(block)

    owner = native.owners.make(block, release)
    owner.hold(keeper, store.owner)
    core.owner = owner
    _set(core, value, "the value of a global")
    return view(core, owner)


def _set(core: runtime.Global, value: Any, what: str) -> None:
    """Set a global, in whose store this thread runs."""
    type_ = core.type.type
    buffer = Buffer(core.store, cells_of((type_,)), (type_,))
    put_value(buffer.address, value, type_, References(core.store, core.numbers), what)
    core.set(int.from_bytes(linux.read(buffer.address, CELL * cells_of((type_,))), "little"))


def view(core: runtime.Global, owner: Owner) -> Global:
    """Return the Python object for a global instance that `owner` keeps."""
    global_ = Global.__new__(Global)
    global_._core = core
    global_._owner = owner
    return global_
