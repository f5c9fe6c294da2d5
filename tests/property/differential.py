"""Runs one module everywhere and says where the answers differ.

Reduce a module that does with `python -m tests.property.differential FILE SEED`, which fails when there is a difference no longer."""

from __future__ import annotations

import os
from collections.abc import Callable

from figwasp.features import ALL
from figwasp.ir import ops
from figwasp.runtime.platform.modes import CHECKED, GUARD
from figwasp.wasm.binary.decode import decode
from tests.ir.fold import vector_model
from tests.property import engines, peer
from tests.property.modules import calls, generate
from tests.property.outcomes import Outcome, OutOfTime
from tests.property.vectors import RELAXED

ENGINES = os.environ.get("FIGWASP_FUZZ", "guard checked tiers wasmtime").split()
"""What is compared with the evaluator, beside the evaluator of what the passes make."""
HARD = [(True, False), (False, True), (True, True), (False, False)]
"""Whether there are few registers, and whether allocation goes block by block: by the seed, for the run with bounds checks. There and
under stress one in three has its locals in frames."""


def compare(binary: bytes, seed: int) -> list[str]:
    """Return a line per difference between implementations, nothing when all agree.

    Args:
        binary: a valid module; where it exports `refuel`, that is called before each call.
        seed: decides the arguments of calls, and how registers are allocated.

    Raises:
        OutOfTime: it runs for too long.
    """
    module = decode(binary, ALL)
    made = calls(module, seed)
    made = [call for call in made if call[0] != engines.REFUEL]
    oracle = _settled(engines.evaluator(module, made))
    found = _against(oracle, "evaluator", lambda: engines.evaluator_optimised(module, made))
    if "guard" in ENGINES:
        found += _against(oracle, "guard", lambda: engines.guard(module, made))
    if "checked" in ENGINES:
        few, local = HARD[seed % len(HARD)]
        spilled = seed % 3 == 0
        with engines.allocation(few, local), engines.in_frames(spilled):
            found += _against(oracle, f"checked, few={few} local={local} spilled={spilled}", lambda: engines.checked(module, made))
    if "tiers" in ENGINES:
        mode = (GUARD, CHECKED)[seed % 2]
        found += _against(oracle, "tiers", lambda: engines.tiers(module, made, mode))
    if "stress" in ENGINES:
        with engines.in_frames(seed % 3 == 1):
            found += _against(oracle, "stress", lambda: engines.stress(module, made))
    if "wasmtime" in ENGINES and peer.takes(module):
        oracle.results = [(name, peer.SAME.get(how, how), bits) for name, how, bits in oracle.results]
        found += _against(oracle, "wasmtime", lambda: peer.run(module, made))
    return found


def _against(oracle: Outcome, name: str, run: Callable[[], Outcome]) -> list[str]:
    return [f"{name}, {line}" for line in _settled(run()).differences(oracle)]


def _settled(outcome: Outcome) -> Outcome:
    """Put 0 in the place of results of relaxed instructions that are permitted; what the operands were stands before them."""
    for number, (name, how, bits) in enumerate(outcome.results):
        if name in RELAXED and how == "ok":
            *operands, result = bits
            if vector_model.permits(vector_model.compute(ops.BY_NAME[RELAXED[name].ir], *operands), result):
                outcome.results[number] = (name, how, (*operands, 0))
    return outcome


def answer(binary: bytes, seed: int) -> str:
    """Compare: answer "same", "late", or after "bad: " how it differs."""
    engines.quick_ticks()
    try:
        found = compare(binary, seed)
    except OutOfTime:
        return "late"
    return f"bad: {'; '.join(found)}" if found else "same"


def run_case(seed: int) -> str:
    """Generate a module and compare, as `answer`."""
    return answer(generate(seed), seed)
