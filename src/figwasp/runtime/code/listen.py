"""Floor 4: function listeners: methods called before and after the calls of chosen functions, and when such a call is given up.

In: the listener of an engine, asked once per function when that is compiled. Out: for a function that it listens to, a
wrapper (`code.wrapper`) goes into the function's cell and FuncRefs in place of its code. Other functions are as they would be
without a listener.
"""

from __future__ import annotations

from figwasp.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from figwasp.wasm.syntax.module import Module
    from figwasp.wasm.syntax.types import FuncType

    Listener = Callable[["FuncInfo"], object]
    """Called once per function of a module, when it is compiled; answers None, or an object with any of the methods

        before(func: FuncInfo, args: tuple, depth: int)
        after(func: FuncInfo, results: tuple, depth: int)
        abort(func: FuncInfo, error: BaseException | None, depth: int)

    `depth` counts the listened calls of the same chain that are under way around it."""

__all__ = ["FuncInfo", "Listened", "Listener", "Listeners", "ask"]


class FuncInfo:
    """A function, described to a listener.

    Attributes:
        module: name of its module, or "".
        index: its index in the module, imported functions counted.
        name: its name: from the name section, an export, or "func[INDEX]".
        type: its type: `params` and `results`.
    """

    __slots__ = ("index", "module", "name", "type")

    def __init__(self, module: str, index: int, name: str, type: FuncType) -> None:
        self.module = module
        self.index = index
        self.name = name
        self.type = type

    def __repr__(self) -> str:
        return f"<function {printable(self.module) or '<module>'}!{printable(self.name)} {self.type}>"


class Listened:
    """A function with a listener.

    Attributes:
        info: the function as listeners see it.
        before, after, abort: the listener's methods, or None.
    """

    __slots__ = ("abort", "after", "before", "info")

    def __init__(self, info: FuncInfo, listener: object) -> None:
        self.info = info
        self.before: Callable[..., object] | None = getattr(listener, "before", None)
        self.after: Callable[..., object] | None = getattr(listener, "after", None)
        self.abort: Callable[..., object] | None = getattr(listener, "abort", None)

Listeners = dict[int, Listened | None]
"""The functions of a module that a listener has been asked about, by index; None: nobody listens."""


def ask(listener: Listener, module: Module, index: int, listeners: Listeners) -> bool:
    """Ask a listener about a function once, and keep the answer; return whether the function has a listener."""
    if index not in listeners:
        info = FuncInfo(module.name or "", index, module.func_name(index) or f"func[{index}]", module.func_type(index))
        answer = listener(info)
        listeners.setdefault(index, None if answer is None else Listened(info, answer))  # another thread may have been faster
    return listeners[index] is not None
