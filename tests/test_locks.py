"""Locks and forks: what another thread holds, or imports, at the moment of a fork is free in the child."""

from __future__ import annotations

import _thread
import ast
import os
import threading
from collections.abc import Callable

import pytest

import figwasp
from figwasp.locks import is_mine, new_lock
from figwasp.runtime import start
from figwasp.wasm.valid.subtyping import TypeWorld
from tests.environment import HANG_GUARD
from tests.test_floors import SOURCES, part_of


def in_child(work: Callable[[], bool]) -> bool:
    """Return what a function returns in a forked process; False also when it raises or takes longer than a minute."""
    pid = os.fork()
    if not pid:
        found = False
        try:
            found = work()
        finally:
            os._exit(0 if found else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def taken_elsewhere(lock: _thread.RLock) -> bool:
    """Return whether a thread of its own finds a lock taken."""
    found = []
    thread = threading.Thread(target=lambda: found.append(not lock.acquire(blocking=False)))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_lock_of_another_thread_is_free_in_a_child() -> None:
    lock = new_lock()
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            over.wait(HANG_GUARD)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(HANG_GUARD)
    free = in_child(lambda: lock.acquire(timeout=60) and taken_elsewhere(lock))
    assert taken_elsewhere(lock)  # the parent's is what it was
    over.set()
    thread.join()
    assert free
    assert not taken_elsewhere(lock)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_own_lock_stays_taken_in_a_child() -> None:
    lock = new_lock()

    def works() -> bool:
        taken = is_mine(lock) and taken_elsewhere(lock)
        lock.release()
        return taken and not is_mine(lock)

    with lock:
        assert in_child(works)
        assert is_mine(lock)
    assert not is_mine(lock)


class Intruder:
    """A type section whose first look brings in something between, as a signal may."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work

    def __len__(self) -> int:
        self.work()
        return 0


def test_types_are_not_entered_within_one_another() -> None:
    """What comes in between would give out the same numbers; it is refused, and afterwards all goes on."""
    world = TypeWorld()
    intruder: list = Intruder(lambda: world.intern([], []))  # type: ignore[type-arg, assignment]
    with pytest.raises(figwasp.Busy, match="while the types of another are being entered"):
        world.intern(intruder, [0])
    assert world.intern([], []) == []


def test_runtime_is_not_made_within_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_native", None)
    monkeypatch.setattr(start, "_make", start.native_runtime)
    with pytest.raises(figwasp.Busy, match="being made for the first time"):
        start.native_runtime()


ALONE = {"cli", "wast", "explain", "importer", "__main__"}
"""Parts with a process of their own, or none to share."""
PLAIN_LOCKS = {"figwasp.ir.evaluate.func", "figwasp.ir.evaluate.externs"}
"""Modules of the evaluator, which is for tests."""
PLAIN_IMPORTS = {"asyncio": "whoever has a loop has it", "ctypes": "while a module is imported", "faulthandler": "with it"}
"""Modules that may be imported in functions, and why."""


def unguarded(source: str) -> list[str]:
    """List the imports in functions that no `with importing` is around, and the locks that stay taken in a child."""
    found = []

    def look(node: ast.AST, inside: bool, guarded: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom) and inside and not guarded:
                found.append(f"{child.lineno}: {ast.unparse(child)}")
            elif isinstance(child, ast.Call) and ast.unparse(child.func) in {"threading.Lock", "threading.RLock", "Lock", "RLock"}:
                found.append(f"{child.lineno}: {ast.unparse(child)}")
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            holds = isinstance(child, ast.With) and any("importing" in ast.unparse(item.context_expr) for item in child.items)
            look(child, inside or is_function, holds or (guarded and not is_function))

    look(ast.parse(source), False, False)
    return found


@pytest.mark.parametrize("module", sorted(module for module in SOURCES if part_of(module) not in ALONE))
def test_nothing_stays_taken(module: str) -> None:
    """A module that a thread imports while another forks is never imported in the child: a fork waits for `importing`."""
    found = [one for one in unguarded(SOURCES[module]) if not any(f"import {name}" in one for name in PLAIN_IMPORTS)]
    assert module in PLAIN_LOCKS or module.startswith("figwasp.runtime.workers.") or found == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a\ndef f():\n    import b", ["3: import b"]),
        ("def f():\n    with importing:\n        from b import c\n        def g():\n            import d", ["5: import d"]),
        ("import threading\nx = threading.Lock()", ["2: threading.Lock()"]),
        ("with importing_compiler():\n    import b\nasync def f():\n    from a import b", ["4: from a import b"]),
    ],
)
def test_checker_catches(source: str, expected: list[str]) -> None:
    assert unguarded(source) == expected
