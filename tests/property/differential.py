"""Runs one module everywhere and says where the answers differ.

Reduce a module that does with `python -m tests.property.differential FILE SEED`, which fails when there is a difference no longer."""

from __future__ import annotations

from collections.abc import Callable

from figwasp.wasm.binary.decode import decode
from tests.property import engines, peer
from tests.property.modules import calls, generate
from tests.property.outcomes import Outcome, OutOfTime

HARD = [(True, False), (False, True), (True, True), (False, False)]
"""Whether there are few registers, and whether allocation goes block by block: by the seed, for the run with bounds checks."""


def compare(binary: bytes, seed: int) -> list[str]:
    """Return a line per difference between implementations, nothing when all agree.

    Args:
        binary: a valid module; where it exports `refuel`, that is called before each call.
        seed: decides the arguments of calls, and how registers are allocated.

    Raises:
        OutOfTime: it runs for too long.
    """
    module = decode(binary)
    made = calls(module, seed)
    made = [call for call in made if call[0] != engines.REFUEL]
    oracle = engines.evaluator(module, made)
    found = [f"evaluator, {line}" for line in engines.evaluator_optimised(module, made).differences(oracle)]
    found += _against(oracle, "guard", lambda: engines.guard(module, made))
    few, local = HARD[seed % len(HARD)]
    with engines.allocation(few, local):
        found += _against(oracle, f"checked, few={few} local={local}", lambda: engines.checked(module, made))
    if peer.INSTALLED:
        oracle.results = [(name, peer.UNDEFINED_ELEMENT if how == "undefined element" else how, bits) for name, how, bits in oracle.results]
        found += _against(oracle, "wasmtime", lambda: peer.run(module, made))
    return found


def _against(oracle: Outcome, name: str, run: Callable[[], Outcome]) -> list[str]:
    return [f"{name}, {line}" for line in run().differences(oracle)]


def run_case(seed: int) -> str:
    """Generate a module and compare: answer "same", "late", or after "bad: " how it differs."""
    engines.quick_ticks()
    try:
        found = compare(generate(seed), seed)
    except OutOfTime:
        return "late"
    return f"bad: {'; '.join(found)}" if found else "same"
