"""Golden tests as data: `*.test` files that hold wasm text and the product of some stages.

    === title
    (module ...)
    --- stage
    what the stage makes of it
    --- another stage
    ...

Lines in front of the first `===` are comment. FIGWASP_GOLDEN=update in the environment rewrites the products in place.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.codegen.features import using

FOLDER = Path(__file__).resolve().parent

Stage = Callable[[str], str]
"""Wasm text -> product."""


class Case:
    """A case of a file: its title, its source, and the products by stage."""

    def __init__(self, path: Path, title: str, source: str, products: dict[str, str]) -> None:
        self.path = path
        self.title = title
        self.source = source
        self.products = products

    def __repr__(self) -> str:
        return f"{self.path.stem}: {self.title}"


def _split(path: Path) -> tuple[str, list[Case]]:
    """Return what stands in front of the first case, and the cases."""
    preface, *parts = ("\n" + path.read_text()).split("\n=== ")
    cases = []
    for part in parts:
        title, _, rest = part.partition("\n")
        source, *products = rest.split("\n--- ")
        stages = dict(product.partition("\n")[::2] for product in products)
        cases.append(Case(path, title, source.strip("\n"), {name: text.strip("\n") for name, text in stages.items()}))
    return preface[1:], cases


def read(pattern: str) -> list[Case]:
    """Return the cases of the files in this folder whose names match."""
    return [case for path in sorted(FOLDER.glob(pattern)) for case in _split(path)[1]]


def check(case: Case, stages: dict[str, Stage]) -> None:
    """Compare the products of a case with what the stages make today."""
    assert case.products, f"{case}: no stage"
    with using(frozenset()):  # whatever processor this is
        actual = {name: stages[name](case.source).strip("\n") for name in case.products}
    if os.environ.get("FIGWASP_GOLDEN") == "update":
        _update(case, actual)
    else:
        assert actual == case.products


def _update(case: Case, actual: dict[str, str]) -> None:
    preface, cases = _split(case.path)
    text = preface.rstrip("\n") + "\n"
    for other in cases:
        products = actual if other.title == case.title else other.products
        text += f"\n=== {other.title}\n{other.source}\n"
        text += "".join(f"--- {name}\n{product}\n" for name, product in products.items())
    case.path.write_text(text)
