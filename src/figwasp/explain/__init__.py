"""Floor 6: the compiler's stages with every product kept. Nothing is built for show: the code it prints is the code that runs.

    >>> import figwasp
    >>> from figwasp.explain import explain
    >>> text = "(module (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"
    >>> explanation = explain(figwasp.Module(figwasp.wat(text)), 0)
    >>> print(explanation.joined)
    offset ...
    >>> explanation.name, explanation.type
    ('add', (i32, i32) -> i32)

In: a module, decoded or not, or an instance, and the index of a function. Out: an `Explanation`, which has the products of the
stages as attributes. The program is not run. Of an instance it tells besides which compiler's code the function has now:

    >>> instance = figwasp.load(figwasp.Module(figwasp.wat(text), engine=figwasp.Engine(tier="auto", cache=False)))
    >>> explain(instance, 0).standing.tier
    'none'
"""

from __future__ import annotations

from figwasp.explain.explanation import STAGES, Explanation, explain
from figwasp.explain.functions import FuncRow, UnknownFunction, find, functions
from figwasp.explain.live import Standing, tiers
from figwasp.explain.products import CodeProduct, Compilation, Product

__all__ = [
    "STAGES",
    "CodeProduct",
    "Compilation",
    "Explanation",
    "FuncRow",
    "Product",
    "Standing",
    "UnknownFunction",
    "explain",
    "find",
    "functions",
    "tiers",
]
