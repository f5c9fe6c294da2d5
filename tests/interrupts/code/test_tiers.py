"""An exception at every line of what makes better code of hot functions, and another thread there: the next call does it."""

from __future__ import annotations

from typing import Any

import pytest

import figwasp
from figwasp.runtime.code import tiers
from tests.interrupts.lines import stop_everywhere

pytestmark = pytest.mark.usefixtures("old_objects_left_alone")

TEXT = figwasp.wat("""(module (memory 1) (func $g (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (func (export "f") (param i32) (result i32) (local i32)
    (loop $l (local.set 1 (i32.add (local.get 1) (call $g (local.get 0)))) (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1)))""")
EXPECTED = 3 * sum(range(1, 41))


def test_a_function_and_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes between, calls give what they should or end with that exception, and in the end the code has changed."""
    monkeypatch.setattr(tiers, "_HOT", 10)
    monkeypatch.setattr(tiers, "_HOT_PER_BYTE", 0)
    monkeypatch.setattr(tiers, "_IMPORT", 0)
    engine = figwasp.Engine(tier="auto")
    figwasp.Module(TEXT, engine=engine).instantiate().f(40)  # whatever is to be imported has been

    def prepare() -> figwasp.Instance:
        instance = figwasp.Module(TEXT, engine=engine).instantiate()
        instance.f(2)
        return instance

    def check(instance: Any) -> None:
        assert instance.f(40) == EXPECTED
        assert not instance.module._code._baseline

    assert stop_everywhere(prepare, lambda instance: instance.f(40), check, 0.01) > 500
