"""An exception at every line of `Module.compile` with other processes: they end, no file is left open, and the module does what it did."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import figwasp
from tests.interrupts.lines import stop_everywhere

pytestmark = pytest.mark.usefixtures("old_objects_left_alone")

DATA = figwasp.wat("".join(f'(func (export "f{k}") (result i32) (i32.const {k}))' for k in range(3)))


@pytest.mark.parametrize("is_used", [False, True])
def test_compiling_in_other_processes(tmp_path: Path, is_used: bool) -> None:
    engine = figwasp.Engine(cache=tmp_path)

    def prepare() -> figwasp.Module:
        for entry in tmp_path.glob("*.entry"):
            entry.unlink()
        module = figwasp.Module(DATA, engine=engine)
        if is_used:
            module.instantiate().f1()
        return module

    def check(module: figwasp.Module) -> None:
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        assert pipes() == before
        instance = module.instantiate()
        assert [instance.f0(), instance.f1(), instance.f2()] == [0, 1, 2]

    os.register_at_fork(after_in_child=lambda: sys.settrace(None))  # there signals are blocked and then ignored
    before = pipes()
    assert stop_everywhere(prepare, lambda module: module.compile(2), check, 0.02) > 200


def pipes() -> int:
    """The number of ends of pipes that are open."""
    found = 0
    for file in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # what the listing itself had open
            found += os.readlink(f"/proc/self/fd/{file}").startswith("pipe")
    return found
