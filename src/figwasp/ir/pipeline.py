"""The passes over the SSA form, in the order in which they run. Floor 2.

Every pass takes a function in order (`order.py`) and leaves it so. Parameters are removed before simplification because most
that the builder makes are not needed, and after it because equal constants and decided branches make more of them redundant;
what is left empty by that is cleared by the last ordering.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from figwasp.ir import order, params
from figwasp.ir.func import Func
from figwasp.ir.simplify.walk import simplify
from figwasp.lazy import importing

__all__ = ["PASSES", "Trace", "run"]

Trace = Callable[[str, Func], None]
"""Is told the name of a pass and the function after it."""

PASSES: Final[list[tuple[str, Callable[[Func], None]]]] = [
    ("params", params.run),
    ("simplify", simplify),
    ("params again", params.run),
    ("order", order.run),
]


def run(func: Func, trace: Trace | None = None) -> None:
    """Run all passes over a function.

    With FIGWASP_CHECK=1 in the environment the form is verified before and after each.
    """
    check = os.environ.get("FIGWASP_CHECK") == "1"
    if check:
        verify = _verifier()
        verify(func)
    for name, function in PASSES:
        function(func)
        if check:
            verify(func, name)
        if trace is not None:
            trace(name, func)


_verify: Callable[..., None] | None = None


def _verifier() -> Callable[..., None]:
    """Return `verify`, which programs do without. It is kept: nothing can be imported when the interpreter is shutting down."""
    global _verify
    if _verify is None:
        with importing:
            from figwasp.ir.verify import verify

        _verify = verify
    return _verify
