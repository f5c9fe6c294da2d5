"""Debug builds of CPython, where the machine has them: their assertions hold, and the sum of all counts of references stays as it is."""

from __future__ import annotations

import subprocess
from typing import Final

import pytest

from tests.environment import HANG_GUARD, WARNINGS, environment
from tests.tools import DEBUG_BUILDS, tool

USE: Final = """
import gc, sys
import figwasp

binary = figwasp.wat('''(module (import "host" "f" (func $f (param i32 i64 f64 externref) (result f64)))
  (memory (export "memory") 1) (table (export "refs") 4 externref)
  (func (export "call") (param i32 i64 f64 externref) (result f64) (call $f (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "two") (param i64) (result i64 i64) (local.get 0) (i64.mul (local.get 0) (local.get 0)))
  (func (export "put") (param i32 externref) (table.set (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func $deep (export "deep") (call $deep)))''')
thing = object()
raised = ValueError()

def f(i, j, x, ref):
    if i < 0:
        raise raised
    assert ref is thing
    return i + j + x

def work():
    instance = figwasp.load(binary, {"host": {"f": f}})
    for k in range(ROUNDS):
        assert instance.call(k, 1 << 61, 0.5, thing) == k + (1 << 61) + 0.5
        assert instance.two(1 << 30) == (1 << 30, 1 << 60)
        instance.put(k % 4, thing if k & 1 else None)
        assert instance.get(k % 4) is (thing if k & 1 else None)
        for call in (lambda: instance.load(-1), lambda: instance.call(-1, 0, 0.0, thing), lambda: instance.two("x")):
            try:
                call()
            except (figwasp.Trap, ValueError, TypeError) as error:
                error.__traceback__ = None
            else:
                raise SystemExit("no error")
    try:
        instance.deep()
    except figwasp.Exhaustion:
        pass
    instance.close()

def total():
    gc.collect()
    return sys.gettotalrefcount()

for _ in range(3):
    work()
sums = [total()]
for _ in range(4):
    work()
    sums.append(total())
drift = [after - before for before, after in zip(sums, sums[1:])]
assert min(map(abs, drift)) < ROUNDS, drift
"""


@pytest.mark.parametrize("name", DEBUG_BUILDS)
def test_counts_of_references_on_a_debug_build(name: str) -> None:
    """What takes or gives one reference too many would do so a hundred times a round."""
    path = tool(name)
    done = subprocess.run(
        [path, *WARNINGS, "-c", f"ROUNDS = 100\n{USE}"], capture_output=True, text=True,
        env=environment(PYTHONDONTWRITEBYTECODE="1"), timeout=HANG_GUARD,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
