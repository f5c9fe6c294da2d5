"""Random modules that throw and catch: machine code of every kind, the evaluator and wasmtime do the same."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest

import figwasp
from figwasp.codegen.regalloc import allocate
from figwasp.explain import explain, tiers
from figwasp.ir import pipeline
from figwasp.ir.build import builder
from figwasp.ir.evaluate.func import Thrown, Trapped
from figwasp.ir.func import Func
from tests.api.exceptions.throwing import module
from tests.ir.compiling import module_of
from tests.ir.evaluating import evaluated, invoke

ARGUMENTS: Final = (0, 1, 5)
SEEDS: Final = range(int(os.environ.get("FIGWASP_THROWING", "24")))
Outcome = tuple[object, ...]
"""How a call has ended, and the two globals then; with fuel, how much is left."""


def signed(bits: int, width: int) -> int:
    return bits - (bits >> width - 1 << width)


def compiled(data: bytes, engine: figwasp.Engine | None = None, fuel: bool = False) -> list[Outcome]:
    """Call the module's function as machine code, each time in a new instance."""
    made = figwasp.Module(data, engine=engine) if engine else figwasp.Module(data)
    outcomes: list[Outcome] = []
    for argument in ARGUMENTS:
        instance = figwasp.load(made)
        if fuel:
            instance.fuel = 10**9
        ended: object
        try:
            ended = instance.run(argument)
        except (figwasp.WasmException, figwasp.Trap) as error:
            ended = type(error).__name__
        outcomes.append((ended, instance.h.value, instance.left.value, *([instance.fuel] if fuel else [])))
    return outcomes


def interpreted(data: bytes, passes: Callable[[Func], None] | None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for argument in ARGUMENTS:
        instance = evaluated(module_of(data), passes=passes) if passes else evaluated(module_of(data))
        ended: object
        try:
            ended = signed(invoke(instance, "run", argument)[0], 32)
        except Thrown:
            ended = "WasmException"
        except Trapped:
            ended = "Trap"
        exports: dict[str, Any] = instance.exports
        outcomes.append((ended, signed(exports["h"].get(), 64), signed(exports["left"].get(), 32)))
    return outcomes


@contextmanager
def changed(places: list[tuple[Any, str, int]]) -> Iterator[None]:
    """Change some limits of the compiler for a while."""
    with pytest.MonkeyPatch.context() as patch:
        for where, name, value in places:
            patch.setattr(where, name, value)
        yield


class Balance:
    """A listener to every function: calls that have begun and not ended."""

    def __init__(self) -> None:
        self.open = 0

    def __call__(self, _func: figwasp.FuncInfo) -> Balance:
        return self

    def before(self, _func: object, _args: object, _depth: int) -> None:
        self.open += 1

    def after(self, _func: object, _results: object, _depth: int) -> None:
        self.open -= 1

    def abort(self, _func: object, _error: object, _depth: int) -> None:
        self.open -= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_everybody_does_the_same(seed: int) -> None:
    data = figwasp.wat(module(seed))
    expected = interpreted(data, None)
    assert interpreted(data, pipeline.run) == expected
    assert compiled(data) == expected
    assert compiled(data, figwasp.Engine(memory="checked")) == expected
    assert [outcome[:-1] for outcome in compiled(data, figwasp.Engine(fuel=True), fuel=True)] == expected
    balance = Balance()
    assert compiled(data, figwasp.Engine(listener=balance)) == expected
    assert not balance.open
    with changed([(builder, "_FREE_ARGS", 0), (builder, "_ARGS_PER_OP", 0)]):  # locals in the frame
        assert compiled(data) == expected
    with changed([(allocate, "MAX_POINTS", 0)]):  # allocated block by block
        assert compiled(data) == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_all_tiers_do_the_same(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """And have as much fuel left; in baseline code all functions catch that have no vectors and do not throw themselves."""
    data = figwasp.wat(module(seed, scalar=True))
    expected = compiled(data, figwasp.Engine(tier="optimize"))
    left = compiled(data, figwasp.Engine(tier="optimize", fuel=True), fuel=True)
    for tier in ("baseline", "stress"):
        monkeypatch.setenv("FIGWASP_TIER", tier)
        assert compiled(data, figwasp.Engine()) == expected
        assert compiled(data, figwasp.Engine(memory="checked")) == expected
        assert compiled(data, figwasp.Engine(fuel=True), fuel=True) == left


def test_templates_catch() -> None:
    caught = 0
    for seed in SEEDS:
        made = figwasp.Module(figwasp.wat(module(seed, scalar=True)), engine=figwasp.Engine(tier="baseline"))
        instance = figwasp.load(made)
        with suppress(figwasp.WasmException, figwasp.Trap):
            instance.run(1)
        caught += sum("try_table" in explain(made, row.index).stage("wat") for row in tiers(instance) if row.tier == "baseline")
    assert caught > len(SEEDS)


def test_wasmtime_does_the_same() -> None:
    wasmtime = pytest.importorskip("wasmtime")
    config = wasmtime.Config()
    for name in ("wasm_exceptions", "wasm_gc", "wasm_function_references"):
        if not hasattr(type(config), name):
            pytest.skip(f"this wasmtime has no {name}")
        setattr(config, name, True)
    engine = wasmtime.Engine(config)
    kinds: Counter[str] = Counter()
    for seed in SEEDS:
        data = figwasp.wat(module(seed))
        made = wasmtime.Module(engine, data)
        outcomes: list[Outcome] = []
        for argument in ARGUMENTS:
            store = wasmtime.Store(engine)
            exports = wasmtime.Instance(store, made, []).exports(store)
            ended: object
            try:
                ended = exports["run"](store, argument)
            except wasmtime.Trap as trap:
                ended = "WasmException" if "exception" in str(trap) else "Trap"
            outcomes.append((ended, exports["h"].value(store), exports["left"].value(store)))
        assert compiled(data) == outcomes, seed
        kinds.update(type(ended).__name__ if isinstance(ended, int) else str(ended) for ended, _, _ in outcomes)
    assert min(kinds["int"], kinds["WasmException"]) > len(SEEDS) // 2
