"""Floor 6: the compiler's stages with every product kept. Nothing is built for show: the code it prints is the code that runs.

    >>> import figwasp
    >>> from figwasp.explain import explain
    >>> text = "(module (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"
    >>> explanation = explain(figwasp.Module(figwasp.wat(text)), 0)
    >>> print(explanation.joined)
    offset ...
    >>> explanation.name, explanation.type
    ('add', (i32, i32) -> i32)

In: a decoded module and the index of a function. Out: an `Explanation`, which has the products of the stages as attributes.
The program is not run.
"""

from __future__ import annotations

from figwasp.explain.explanation import STAGES, Explanation, explain
from figwasp.explain.functions import FuncRow, UnknownFunction, find, functions
from figwasp.explain.products import CodeProduct, Compilation, Product

__all__ = [
    "STAGES",
    "CodeProduct",
    "Compilation",
    "Explanation",
    "FuncRow",
    "Product",
    "UnknownFunction",
    "explain",
    "find",
    "functions",
]
