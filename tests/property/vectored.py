"""Cases for `tests.hostile.workers`: random modules with vectors."""

from __future__ import annotations

from tests.property.differential import answer
from tests.property.modules import generate_vectors


def run_case(seed: int) -> str:
    """Generate a module with vectors and compare, as `differential.run_case`."""
    return answer(generate_vectors(seed), seed)
