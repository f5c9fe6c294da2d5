"""Floor 7: `figwasp run --trace`: a line on standard error for every call of chosen functions, and one for how it ended.

In: patterns of names. Out: a listener for the engine, and imported functions that report their calls in the same way.

    -> fac(n=2)
      -> fac(n=1)
      <- fac = 1
    <- fac = 2

An aborted call ends with `!! fac: unreachable`. Every line is written at once, so that it has its place among the lines that
the program itself writes to standard error.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from figwasp import errors
from figwasp.api.caller import Caller
from figwasp.api.module import Module
from figwasp.runtime.code.listen import FuncInfo

__all__ = ["Tracer"]


class Tracer:
    """Writes the lines.

    Args:
        patterns: as the shell's, for the names of functions; or "func[N]"; imported ones are called "MODULE.NAME".
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._module: Module | None = None
        self._depth = 0
        self._silent = False

    def name_locals(self, module: Module) -> None:
        """Take the names of parameters from the module that runs."""
        self._module = module

    def _wants(self, name: str, number: str = "") -> bool:
        return number in self._patterns or any(fnmatchcase(name, pattern) for pattern in self._patterns)

    # The functions of the module

    def listen(self, func: FuncInfo) -> Tracer | None:
        """Answer the engine's question about a function."""
        return self if self._wants(func.name, f"func[{func.index}]") else None

    def before(self, func: FuncInfo, args: tuple[Any, ...], depth: int) -> None:
        """Write a line for a call."""
        shown = [f"{self._param(func.index, i)}{value!r}" for i, value in enumerate(args)]
        self._say(depth, f"-> {func.name}({', '.join(shown)})")
        self._depth = depth + 1

    def after(self, func: FuncInfo, results: tuple[Any, ...], depth: int) -> None:
        """Write a line for its results."""
        self._depth = depth
        self._say(depth, f"<- {func.name}{_equals(results)}")

    def abort(self, func: FuncInfo, error: BaseException | None, depth: int) -> None:
        """Write a line for its early end."""
        self._depth = depth
        self._say(depth, f"!! {func.name}{_reason(error)}")

    def _param(self, func: int, index: int) -> str:
        name = None if self._module is None else self._module._decoded.local_name(func, index)
        return f"{name}=" if name else ""

    # Imported functions

    def imports(self, imports: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the imports, changed so that functions whose name matches report their calls."""
        return {
            module: {name: self._traced(f"{module}.{name}", value) for name, value in names.items()}
            for module, names in imports.items()
        }

    def _traced(self, name: str, function: Any) -> Any:
        if not callable(function) or not self._wants(name):
            return function
        call: Callable[..., Any] = function

        @functools.wraps(call)
        def traced(*args: Any) -> Any:
            depth = self._depth
            passed = args[1:] if args and isinstance(args[0], Caller) else args
            self._say(depth, f"-> {name}({', '.join(map(repr, passed))})")
            try:
                result = call(*args)
            except BaseException as error:
                self._say(depth, f"!! {name}{_reason(error)}")
                raise
            self._say(depth, f"<- {name}{_equals(() if result is None else (result,))}")
            return result

        return traced

    def _say(self, depth: int, text: str) -> None:
        """Write a line; when standard error is closed, the program goes on without."""
        if self._silent or sys.stderr is None:
            return
        shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
        try:
            sys.stderr.write(f"{'  ' * depth}{shown}\n")
            sys.stderr.flush()
        except OSError:
            self._silent = True


def _equals(results: tuple[Any, ...]) -> str:
    return f" = {', '.join(map(repr, results))}" if results else ""


def _reason(error: BaseException | None) -> str:
    """Return why a call ended early: the first line of the exception's message."""
    if error is None:
        return ""
    if isinstance(error, errors.Trap):
        return f": {error.code}"
    said = str(error).partition("\n")[0]
    return f": {type(error).__name__}" + (f": {said}" if said else "")
