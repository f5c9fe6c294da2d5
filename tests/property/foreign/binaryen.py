"""Modules that Binaryen's `wasm-opt -ttf` makes of random bytes, compared between figwasp's modes and wasmtime.

In: the command, from FIGWASP_WASM_OPT, as "node node_modules/binaryen/bin/wasm-opt". Out: cases for `tests.hostile.workers`. A case's
bytes, and so its module, follow from its number and the version of Binaryen.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import figwasp
from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from tests.hostile.mutations import instructions
from tests.property import engines, peer
from tests.property.foreign.around import Unlike, driver, support
from tests.property.outcomes import UNCAUGHT, Outcome, OutOfTime

COMMAND: Final = os.environ.get("FIGWASP_WASM_OPT", "")
ENGINES: Final = os.environ.get("FIGWASP_FUZZ", "guard checked stress wasmtime").split()
_FEATURES: Final = (
    "sign-ext", "mutable-globals", "nontrapping-float-to-int", "simd", "bulk-memory", "bulk-memory-opt", "exception-handling", "tail-call",
    "reference-types", "multivalue", "gc", "extended-const", "multimemory",
)  # fmt: skip
"""What both engines have on."""
_SIZES: Final = (600, 3000, 6000, 6000, 10_000, 20_000)
"""Of the random bytes; the more, the more functions."""
_TURNS: Final = 2
_SECONDS: Final = 20.0
"""After which a call is given up."""


def generate_foreign(seed: int) -> tuple[bytes, bytes]:
    """Return Binaryen's module of a seed, with legacy exceptions as it is made, and with those of Wasm 3.0 in their place."""
    random = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        source, legacy, target = Path(folder, "bytes"), Path(folder, "legacy.wasm"), Path(folder, "module.wasm")
        source.write_bytes(random.randbytes(random.choice(_SIZES)))
        _optimise(source, legacy, "-ttf", "--denan")
        binary = legacy.read_bytes()
        if not _is_legacy(binary):
            return binary, binary
        _optimise(legacy, target, "--emit-exnref")
        return binary, target.read_bytes()


def _optimise(source: Path, target: Path, *passes: str) -> None:
    features = [f"--enable-{name}" for name in _FEATURES]
    words = [*shlex.split(COMMAND), str(source), "-o", str(target), "--mvp-features", *features, *passes]
    subprocess.run(words, check=True, capture_output=True)


def _is_legacy(binary: bytes) -> bool:
    module = decode(binary, ALL)
    return any(row.proposal == "legacy-exceptions" for body in module.bodies for _, _, row in instructions(module.data, body))


def run_case(seed: int) -> str:
    """Make a module and compare: answer "same", "late", "other" for what cannot be run here or exports no function, or after "bad: " how it differs."""
    engines.quick_ticks()
    legacy, binary = generate_foreign(seed)
    try:
        found = compare(legacy, binary, seed)
    except OutOfTime:
        return "late"
    except Unlike:
        return "other"
    return f"bad: {'; '.join(found)}" if found else "same"


def compare(legacy: bytes, binary: bytes, seed: int) -> list[str]:
    """Return a line per difference between implementations.

    Args:
        legacy: the module with legacy exceptions, which some of figwasp's modes run.
        binary: the same module without them.
        seed: decides the arguments of calls.

    Raises:
        OutOfTime: it runs for too long.
        Unlike: it cannot be run.
    """
    module = decode(binary, ALL)
    text, names = driver(module, seed)
    if not names:
        raise Unlike("nothing to call")
    before, after = figwasp.wat(support(module)), figwasp.wat(text)
    binaries, old = [before, binary, after], [before, legacy, after]
    runs: dict[str, Callable[[], Outcome]] = {
        "guard": lambda: _ours(binaries, names, "guard"),
        "checked": lambda: _checked(old, names, seed),
        "stress": lambda: engines.stressed(lambda: _ours(old, names, "guard")),
        "wasmtime": lambda: _theirs(binaries, names, module),
    }
    first, *others = [(name, run()) for name, run in runs.items() if name in ENGINES and (name != "wasmtime" or peer.INSTALLED)]
    return [f"{name}, {line}" for name, outcome in others for line in outcome.differences(first[1])]


def _ours(binaries: list[bytes], names: list[str], memory: str) -> Outcome:
    """Run on machine code."""
    engine = figwasp.Engine(features=ALL, memory=memory, timeout=_SECONDS)
    outcome = Outcome()
    helper = figwasp.load(binaries[0], engine=engine)
    try:
        instance = figwasp.load(binaries[1], {"fuzzing-support": helper, "__fuzz_import": helper}, engine=engine)
        exports = figwasp.load(binaries[2], {"m": instance, "s": helper}, engine=engine).exports
    except figwasp.Trap as trap:
        return _ended(outcome, "start", peer.SAME.get(trap.code, trap.code))
    except figwasp.WasmException:
        return _ended(outcome, "start", UNCAUGHT)
    for name in names * _TURNS:
        try:
            outcome.results.append((name, "ok", (exports[name](), helper.exports["hash"]())))
        except figwasp.Trap as trap:
            _ended(outcome, name, peer.SAME.get(trap.code, trap.code))
    return outcome


def _ended(outcome: Outcome, name: str, how: str) -> Outcome:
    outcome.results.append((name, how, ()))
    return outcome


def _checked(binaries: list[bytes], names: list[str], seed: int) -> Outcome:
    """Run with bounds checks, and registers allocated under difficulties."""
    with engines.allocation(bool(seed & 1), bool(seed & 2)), engines.in_frames(seed % 3 == 0):
        return _ours(binaries, names, "checked")


def _theirs(binaries: list[bytes], names: list[str], module: Module) -> Outcome:
    """Run on wasmtime."""
    wasmtime = peer.wasmtime
    store = peer.new_store()
    outcome = Outcome()
    helper, middle, calling = [wasmtime.Module(store.engine, binary) for binary in binaries]
    exported = wasmtime.Instance(store, helper, []).exports(store)
    try:
        made = wasmtime.Instance(store, middle, [exported[item.name] for item in module.imports]).exports(store)
    except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
        return _ended(outcome, "start", peer.message(trap))
    sources = {"m": made, "s": exported}
    exports = wasmtime.Instance(store, calling, [sources[item.module][item.name] for item in calling.imports]).exports(store)
    for name in names * _TURNS:
        try:
            outcome.results.append((name, "ok", (exports[name](store), exported["hash"](store))))
        except wasmtime.Trap as trap:
            _ended(outcome, name, peer.message(trap))
    return outcome
