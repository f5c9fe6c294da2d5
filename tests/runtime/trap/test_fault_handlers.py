"""Handlers of SIGSEGV that come before or after ours: traps stay traps at once, and faults of others reach the others."""

from __future__ import annotations

import faulthandler
import signal
import sys
from typing import Any

import pytest

import figwasp
from figwasp.runtime.platform import interpreter
from tests.runtime.support import run_script

CODE = """
    import ctypes, faulthandler, signal, sys, threading

    def say(*_):
        print("said", flush=True)
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)

    def thread():
        made = threading.Thread(target=faulthandler.enable)
        made.start()
        made.join()

    DO = {
        "enable": faulthandler.enable,
        "disable": faulthandler.disable,
        "python": lambda: signal.signal(signal.SIGSEGV, say),
        "default": lambda: signal.signal(signal.SIGSEGV, signal.SIG_DFL),
        "interruptible": lambda: signal.siginterrupt(signal.SIGSEGV, True),
        "thread": thread,
    }
    end, where, *names = sys.argv[1:]

    def act():
        for name in names:
            DO[name]()

    if where == "before":
        act()
    import figwasp
    inst = figwasp.load(figwasp.wat('''(module (import "host" "f" (func $f)) (memory 1)
      (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
      (func (export "call") (param i32) (result i32) (call $f) (i32.load (local.get 0))))'''), {"host": {"f": act}})

    def trap(function):
        try:
            function(70000)
        except figwasp.Trap as error:
            assert error.code == "out of bounds memory access"
        else:
            raise SystemExit("no trap")

    trap(inst.get)
    for _ in range(20):
        if where == "between":
            act()
        trap(inst.call if where == "host" else inst.get)
        trap(inst.get)
    print("alive", flush=True)
    if end == "fault":
        ctypes.string_at(8)
    else:
        import os
        os.kill(os.getpid(), signal.SIGSEGV)
        for _ in range(1000):
            pass
        print("still alive", flush=True)
"""


@pytest.mark.parametrize("where", ["before", "between", "host"])
@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("enable",), True),
        (("enable", "disable"), False),
        (("enable", "disable", "enable"), True),
        (("thread",), True),
        (("python", "default"), False),
        (("python", "enable", "disable", "default", "interruptible"), False),
        (("default",), False),
        ((), False),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, tuple) else "",
)
def test_traps_and_real_faults(where: str, names: tuple[str, ...], told: bool) -> None:
    """A trap is a trap right after another handler came or went; a fault elsewhere does once what it would do without us."""
    done = run_script(CODE, "fault", where, *names, env={"FIGWASP_MEMORY": "guard"})
    assert done.stdout == "alive\n", done.stderr
    assert done.returncode == -signal.SIGSEGV
    assert done.stderr.count("Segmentation fault") == told


@pytest.mark.parametrize("where", ["before", "between", "host"])
def test_a_handler_in_python(where: str) -> None:
    """It is called for a signal that was sent, and stays the handler that `signal` says."""
    done = run_script(CODE, "send", where, "python", env={"FIGWASP_MEMORY": "guard"})
    assert (done.returncode, done.stdout) == (0, "alive\nsaid\nstill alive\n"), done.stderr


def test_functions_are_as_we_think() -> None:
    """What is to be followed at once can be, on this interpreter, and works as before."""
    figwasp.load(figwasp.wat("(module)"))
    functions: list[Any] = [faulthandler.enable, faulthandler.disable, sys.modules["_signal"].signal]
    for function in functions:
        assert interpreter.method_place(function)
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    assert signal.signal(signal.SIGUSR1, before) is signal.SIG_IGN
    with pytest.raises(TypeError):
        signal.signal()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="out of range"):
        signal.signal(4711, signal.SIG_IGN)
