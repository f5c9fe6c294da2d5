"""Functions of a live instance: which code they have before they are called, afterwards, and when they have become hot."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

import figwasp
from figwasp.errors import Closed, Error
from figwasp.explain import STAGES, Standing, explain, tiers
from figwasp.layout import CHECKED, GUARD
from figwasp.runtime.code import tiers as runtime_tiers
from tests.environment import RUNS
from tests.explain.installed import baseline, check_installed
from tests.explain.programs import MIXED, SUM

pytestmark = pytest.mark.skipif(not RUNS, reason="programs are run")

PAIR: Final = """(module (import "env" "log" (func))
  (func $f (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $vectors (export "v") (result i32) (i32x4.extract_lane 0 (i32x4.splat (i32.const 5))))
  (func (export "late")))"""


def load(text: str, **settings: object) -> figwasp.Instance:
    engine = figwasp.Engine(**{"tier": "auto", **settings})  # type: ignore[arg-type]
    return figwasp.Module(figwasp.wat(text), engine=engine).instantiate({"env": {"log": lambda *_: None}})


def standing(instance: figwasp.Instance, index: int) -> Standing:
    found = explain(instance, index).standing
    assert found is not None
    return found


def test_before_the_first_call() -> None:
    explanation = explain(load(SUM), 0)
    assert explanation.standing is not None
    assert (explanation.standing.tier, explanation.standing.left, explanation.standing.address) == ("none", None, 0)
    assert explanation.installed is None
    assert explanation.stage("installed") == "(none: not compiled yet)\n"
    assert str(explanation).startswith('=== function 0 "sum" (i32, i32) -> i32, guarded memory; not compiled yet\n')
    assert explanation.stages == [*STAGES, "installed"]
    assert str(explanation).count("--- installed\n") == 1


def test_baseline_code_and_what_is_left() -> None:
    """Each call and each round of a loop is one less."""
    instance = load(SUM)
    instance.total(0, 4)
    first = standing(instance, 0).left
    assert first is not None and 0 < first
    instance.total(0, 40)
    explanation = explain(instance, 0)
    assert explanation.standing is not None
    assert (explanation.standing.tier, explanation.standing.left) == ("baseline", first - 1 - 10)
    assert f"baseline code at {explanation.standing.address:#x}, compiled again after {first - 11} more calls" in str(explanation)
    assert explanation.installed is not None
    check_installed(baseline(explanation), explanation.installed.code.data)
    assert explanation.show(["baseline", "installed"]).endswith("--- installed\n(unchanged)\n")


def test_what_has_become_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_tiers, "_HOT", 10)
    monkeypatch.setattr(runtime_tiers, "_HOT_PER_BYTE", 0)
    monkeypatch.setattr(runtime_tiers, "_IMPORT", 0)
    instance = load(PAIR)
    told = []
    for _ in range(12):
        instance.f(1)
        told.append((standing(instance, 1).tier, standing(instance, 1).left))
    assert told == [*[("baseline", left) for left in range(9, -1, -1)], *[("optimized", None)] * 2]
    explanation = explain(instance, 1)
    assert explanation.installed is not None
    check_installed(explanation.code, explanation.installed.code.data)
    assert explanation.show(["code", "installed"]).endswith("--- installed\n(unchanged)\n")
    assert "; optimised code at 0x" in explanation.show([])


def test_all_functions() -> None:
    """Those that are defined, each by itself; other instances of the module share them."""
    instance = load(PAIR)
    instance.f(1)
    instance.v()
    for one in (instance, instance.module.instantiate({"env": {"log": print}})):
        found = tiers(one)
        assert [(row.index, row.name, row.tier) for row in found] == [
            (1, "$f", "baseline"), (2, "$vectors", "optimized"), (3, "", "none"),
        ]  # fmt: skip
        assert [row.left is None for row in found] == [False, True, True]
        assert [row.size > 0 for row in found] == [True, True, False]
        assert str(found[0]).split() == ["1", "baseline", str(found[0].left), "$f"]
        assert str(found[2]).split() == ["3", "none"]


@pytest.mark.parametrize("memory", ["guard", "checked"])
@pytest.mark.parametrize("fuel", [0, 1000])
@pytest.mark.parametrize("tier", ["baseline", "optimize"])
def test_settings(tier: str, fuel: int, memory: str) -> None:
    """What is read from memory is the code of that compiler, with the settings of the instance's engine."""
    instance = load(MIXED, tier=tier, fuel=fuel or False, memory=memory)
    assert instance.divide(7, 2) == 3
    explanation = explain(instance, 1)
    assert explanation.mode == (CHECKED if memory == "checked" else GUARD) and explanation.metered == bool(fuel)
    assert explanation.standing is not None and explanation.installed is not None
    assert (explanation.standing.tier, explanation.standing.left) == ("baseline" if tier == "baseline" else "optimized", None)
    made = baseline(explanation) if tier == "baseline" else explanation.code
    check_installed(made, explanation.installed.code.data)
    assert explanation.installed.text == made.text


def test_code_from_the_cache(tmp_path: Path) -> None:
    """It is there before anything is called, in whichever tier it was kept."""
    from figwasp.runtime.code import kept

    instance = load(PAIR, cache=str(tmp_path))
    instance.f(1)
    instance.v()
    kept.flush()
    again = load(PAIR, cache=str(tmp_path))
    assert [row.tier for row in tiers(again)] == ["baseline", "optimized", "none"]
    for index, made in ((1, baseline(explain(again, 1))), (2, explain(again, 2).code)):
        installed = explain(again, index).installed
        assert installed is not None
        check_installed(made, installed.code.data)


def test_listened_functions() -> None:
    """Calls come to a wrapper, which is not shown as if it was the function's code."""

    class Listener:
        def before(self, func: object, args: object, depth: int) -> None:
            pass

    instance = load(PAIR, listener=lambda func: Listener() if func.name == "f" else None)
    instance.f(1)
    explanation = explain(instance, 1)
    assert explanation.standing is not None
    assert explanation.standing.has_listener and explanation.standing.tier == "optimized"
    assert explanation.installed is None
    assert explanation.stage("installed").endswith(", a wrapper around it that tells a listener)\n")


def test_what_cannot_be_asked() -> None:
    instance = load(PAIR)
    with pytest.raises(ValueError, match="one memory mode"):
        explain(instance, 1, GUARD)
    with pytest.raises(Error, match="function 0 is imported"):
        explain(instance, 0)
    with pytest.raises(KeyError):
        explain(instance.module, 1).stage("installed")
    instance.close()
    for ask in (lambda: explain(instance, 1), lambda: tiers(instance)):
        with pytest.raises(Closed):
            ask()
