"""Floor 5: adapting host functions to imports by their signatures: the number of arguments, and whether a `Caller` comes first.

In: a Python callable given for an import. Out: the callable that the import calls, or a TypeError. Plain functions and methods,
which most imports are, are read without `inspect`.
"""

from __future__ import annotations

import functools
import sys
from types import FunctionType, MethodType, UnionType

from figwasp.api.caller import Caller
from figwasp.lazy import importing
from figwasp.runtime.objects.caller import WithCaller

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from figwasp.api.module import Module

__all__ = ["adapt_host_function"]

_CALLER_HINT: Final = ": to be given the instance that calls, annotate the first parameter: `caller: figwasp.Caller`"
_UNLIMITED: Final = 1 << 30
_VARARGS: Final = 0x04  # inspect.CO_VARARGS; that module is imported only for callables that are not plain


class _Shape:
    """The arguments that a callable takes.

    Attributes:
        least, most: number of positional arguments.
        keyword: a keyword argument that it cannot do without, or None.
        caller: index of the positional parameter annotated `Caller`, or -1.
        first: name of the first positional parameter, or "".
    """

    __slots__ = ("caller", "first", "keyword", "least", "most")

    def __init__(self, least: int, most: int, keyword: str | None, caller: int, first: str) -> None:
        self.least = least
        self.most = most
        self.keyword = keyword
        self.caller = caller
        self.first = first


def adapt_host_function(function: Callable[..., Any], count: int, module: Module) -> Callable[..., Any]:
    """Return the callable to be called by an import of `count` parameters for a Python callable.

    Args:
        function: the callable.
        count: number of the import's parameters.
        module: the importing module.

    Raises:
        TypeError: the function cannot be called with so many arguments.
    """
    shape = _shape_of(function)
    if shape is None:
        return function
    if shape.caller > 0:
        raise TypeError(f"{_shown(function)}, whose Caller is not the first parameter")
    given = count + (shape.caller == 0)
    if shape.keyword is not None:
        raise TypeError(f"{_shown(function)}, which needs the keyword argument {shape.keyword!r}")
    if not shape.least <= given <= shape.most:
        hint = _CALLER_HINT if shape.first == "caller" and shape.least <= count + 1 <= shape.most else ""
        raise TypeError(f"{_shown(function)}, which cannot be called with {count} argument{'s' * (count != 1)}{hint}")
    return WithCaller(function, lambda state: Caller(state, module)) if shape.caller == 0 else function


def _shown(function: Callable[..., Any]) -> str:
    with importing:
        import inspect

    try:
        return f"{getattr(function, '__qualname__', type(function).__qualname__)}{inspect.signature(function)}"
    except (TypeError, ValueError):
        return repr(function)


def _shape_of(function: Callable[..., Any]) -> _Shape | None:
    """Return the arguments that a callable takes, or None when they cannot be found out."""
    if type(function) is FunctionType and not hasattr(function, "__wrapped__"):
        return _shape_of_function(function, 0)
    if type(function) is MethodType and type(function.__func__) is FunctionType and not hasattr(function, "__wrapped__"):
        return _shape_of_function(function.__func__, 1)
    with importing:
        import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    except NameError:  # an annotation that cannot be evaluated, from Python 3.14 on
        signature = _signature_of_strings(function)
    return _shape_of_signature(signature, _globals_of(function))


def _signature_of_strings(function: Callable[..., Any]) -> inspect.Signature:
    with importing:
        import inspect

    options: dict[str, Any] = {"annotation_format": 4}  # annotationlib.Format.STRING
    return inspect.signature(function, **options)


def _shape_of_function(function: FunctionType, bound: int) -> _Shape:
    code = function.__code__
    most = code.co_argcount - bound
    least = max(most - len(function.__defaults__ or ()), 0)
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = function.__kwdefaults__ or {}
    keyword = next((name for name in keywords if name not in defaults), None) if keywords else None
    notes = _annotations_of(function)
    caller = -1
    if notes:
        for index, name in enumerate(code.co_varnames[bound : code.co_argcount]):
            if name in notes and _is_caller(notes[name], function.__globals__):
                caller = index
                break
    first = code.co_varnames[bound] if most else ""
    return _Shape(least, _UNLIMITED if code.co_flags & _VARARGS else most, keyword, caller, first)


def _annotations_of(function: FunctionType) -> Mapping[str, Any]:
    try:
        return function.__annotations__
    except NameError:  # an annotation that cannot be evaluated, from Python 3.14 on
        return {name: parameter.annotation for name, parameter in _signature_of_strings(function).parameters.items()}


def _shape_of_signature(signature: inspect.Signature, names: Mapping[str, Any]) -> _Shape:
    with importing:
        import inspect

    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    least = most = 0
    keyword = None
    caller = -1
    first = ""
    for parameter in signature.parameters.values():
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind in positional:
            if caller < 0 and _is_caller(parameter.annotation, names):
                caller = most
            first = parameter.name if most == 0 else first
            most += 1
            least += required
        elif parameter.kind == inspect.Parameter.VAR_POSITIONAL:
            most = _UNLIMITED
        elif parameter.kind == inspect.Parameter.KEYWORD_ONLY and required and keyword is None:
            keyword = parameter.name
    return _Shape(least, most, keyword, caller, first)


def _globals_of(function: object) -> Mapping[str, Any]:
    """Return the names that string annotations of a callable refer to."""
    while True:
        if isinstance(function, (functools.partial, functools.partialmethod)):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif isinstance(function, MethodType):
            function = function.__func__
        elif isinstance(function, FunctionType):
            return function.__globals__
        elif isinstance(function, type):
            return vars(sys.modules.get(function.__module__, object))
        elif isinstance(getattr(type(function), "__call__", None), FunctionType):  # noqa: B004
            function = type(function).__call__
        else:
            return {}


def _is_caller(annotation: object, names: Mapping[str, Any]) -> bool:
    """Return whether an annotation means `Caller`, or `Caller` or None."""
    if isinstance(annotation, str):
        return any(_names_caller(part, names) for part in _alternatives(annotation))
    if annotation is Caller:
        return True
    if isinstance(annotation, UnionType):
        return any(_is_caller(part, names) for part in annotation.__args__)
    typing: Any = sys.modules.get("typing")
    if typing is None:
        return False  # and nobody has made an annotation by it
    origin = typing.get_origin(annotation)
    if origin is typing.Union:
        return any(_is_caller(part, names) for part in typing.get_args(annotation))
    if origin is typing.Annotated:
        return _is_caller(typing.get_args(annotation)[0], names)
    return isinstance(annotation, typing.ForwardRef) and _is_caller(annotation.__forward_arg__, names)


def _alternatives(text: str) -> list[str]:
    text = text.strip()
    for prefix in ("Optional[", "typing.Optional["):
        if text.startswith(prefix) and text.endswith("]"):
            text = text[len(prefix) : -1]
    return [part.strip().strip("\"'") for part in text.split("|")]


def _names_caller(text: str, names: Mapping[str, Any]) -> bool:
    """Return whether a dotted name means `Caller`; a name that is not defined where it stands is judged by its last part."""
    first, *rest = text.split(".")
    if first not in names:
        return text in ("Caller", "figwasp.Caller")
    found = names[first]
    for word in rest:
        found = getattr(found, word, None)
    return found is Caller
