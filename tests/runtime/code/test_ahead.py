"""Functions compiled ahead in a second process: the same code, and nothing that depends on that process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.codegen.code import Code
from figwasp.runtime.code.translate import Translator
from figwasp.runtime.platform.modes import GUARD
from figwasp.runtime.workers import ahead, worker
from figwasp.runtime.workers.ahead import BackgroundCompiler
from figwasp.runtime.workers.worker import INDEX
from figwasp.wasm.binary.decode import decode
from tests.environment import HANG_GUARD, environment
from tests.runtime.support import check_script


def chain(length: int, body: int = 40) -> str:
    """The text of a module: `f0` calls `f1`, which calls `f2`, and so on; each also does some sums."""
    sums = " ".join(f"(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const {k + 3})) (i32.const {k})))" for k in range(body))
    functions = [
        f'(func $f{i} (export "f{i}") (param i32) (result i32) {sums} (call $f{i + 1} (local.get 0)))' for i in range(length - 1)
    ]
    return f'(module {" ".join(functions)} (func $f{length - 1} (export "f{length - 1}") (param i32) (result i32) (local.get 0)))'


def begin(text: str, **settings: Any) -> figwasp.Module:
    """A module of which functions are compiled ahead."""
    engine = figwasp.Engine(tier="optimize", **settings)
    data = figwasp.wat(text)
    config = engine.config
    module = figwasp.Module(data, engine=engine, lazy=True)
    translator = lambda: Translator(decode(data, config.features), config.mode, config.metered)  # noqa: E731
    module._code.sources.insert(0, BackgroundCompiler(translator))
    return module


def other(module: figwasp.Module) -> BackgroundCompiler:
    """The other process of a module."""
    found = module._code.sources[0]
    assert isinstance(found, BackgroundCompiler)
    return found


def wait_for(module: figwasp.Module, count: int) -> None:
    """Wait until so many functions have come from the other process."""
    end = time.monotonic() + HANG_GUARD
    while len(other(module)._made) < count:
        assert other(module)._process.pid and time.monotonic() < end
        other(module)._receive()
        time.sleep(0.005)


@pytest.fixture
def none_left() -> Iterator[None]:
    """See that the other process is gone in the end."""
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("engine", [{}, {"fuel": 10**9}])
def test_what_is_made_there_is_what_would_be_made_here(none_left: None, engine: dict[str, Any]) -> None:
    """Functions come from the other process, byte for byte as they are made in this one, and do the same."""
    data = figwasp.wat(chain(12))
    expected = figwasp.load(figwasp.Module(data)).f0(5)
    module = begin(chain(12), **engine)
    other(module)._process.order([0] * 20)  # so much is to be done ahead
    wait_for(module, 11)
    for index, code in other(module)._made.items():
        here = module._code._now.translator().translate(index)
        for name in Code.__slots__:
            assert getattr(code, name) == getattr(here, name), (index, name)
    instance = figwasp.load(module)
    assert instance.f0(5) == expected
    assert not other(module)._made
    other(module).close()
    other(module).close()
    assert instance.f3(5) == figwasp.load(figwasp.Module(data)).f3(5)


def test_code_larger_than_the_pipe_arrives(none_left: None) -> None:
    module = begin(chain(2, 5000))
    function = figwasp.load(module).f0
    end = time.monotonic() + HANG_GUARD
    while other(module)._at_work < 0 and not other(module)._made:
        assert time.monotonic() < end
        other(module)._receive()
    function(1)
    assert len(module._code.compiled) == 2
    other(module).close()


def test_what_cannot_be_compiled_raises_where_it_is_called(none_left: None) -> None:
    """An invalid function is refused there, and here when it is called; others are not affected."""
    text = """(module (func $bad (export "bad") (result i32) (i64.const 0))
      (func (export "good") (result i32) (if (i32.const 0) (then (drop (call $bad)))) (i32.const 7)))"""
    module = begin(text)
    wait_for(module, 1)
    instance = figwasp.load(module)
    assert instance.good() == 7
    for _ in range(2):
        with pytest.raises(figwasp.Invalid):
            instance.bad()
    assert instance.good() == 7
    other(module).close()


def test_it_goes_on_when_the_other_process_is_killed(none_left: None) -> None:
    module = begin(chain(12))
    os.kill(other(module)._process.pid, signal.SIGKILL)
    assert figwasp.load(module).f0(5) == figwasp.load(figwasp.Module(figwasp.wat(chain(12)))).f0(5)
    other(module).close()


def test_it_goes_on_when_what_comes_is_damaged(none_left: None) -> None:
    """Code that is not as it was sent ends the other process's part, and is made here."""
    module = begin(chain(12))
    wait_for(module, 1)
    other(module)._process._data[:0] = worker._ANSWER.pack(worker.MADE, 5, 64) + bytes(64)
    other(module)._receive()
    assert other(module)._process.pid == 0 and 5 not in other(module)._made
    assert figwasp.load(module).f0(5) == figwasp.load(figwasp.Module(figwasp.wat(chain(12)))).f0(5)
    other(module).close()


def test_a_deadline_ends_the_wait(none_left: None) -> None:
    """A call that waits for what is being made there ends at its deadline, and can be repeated."""
    module = begin(chain(2, 10_000))
    function = figwasp.load(module).f0
    end = time.monotonic() + HANG_GUARD
    while other(module)._at_work < 0:
        assert time.monotonic() < end
        other(module)._receive()
    os.kill(other(module)._process.pid, signal.SIGSTOP)
    with pytest.raises(figwasp.Timeout):
        function(1, timeout=0.1)
    assert function(1) == figwasp.load(figwasp.Module(figwasp.wat(chain(2, 10_000)))).f0(1)
    other(module).close()


def test_it_has_no_files_of_others_and_ends_with_its_parent(tmp_path: Path) -> None:
    """Nobody waits for the end of a file because of it, and it does not survive whoever it works for."""
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import os, signal, sys
import figwasp
from figwasp.runtime.workers.ahead import BackgroundCompiler
from figwasp.runtime.platform.modes import choose_mode
from figwasp.runtime.code.translate import Translator
from figwasp.wasm.binary.decode import decode
other = BackgroundCompiler(lambda: Translator(decode(figwasp.wat({chain(12)!r})), choose_mode(), False))
while not other._made:
    other._receive()
pid = other._process.pid
print(pid, sorted(os.readlink(f"/proc/{{pid}}/fd/{{fd}}").partition(":")[0] for fd in os.listdir(f"/proc/{{pid}}/fd")), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment(), timeout=HANG_GUARD, check=False)
    assert done.returncode == -signal.SIGKILL
    pid, _, files = done.stdout.partition(" ")
    assert files.strip() == "['/dev/null', '/dev/null', '/dev/null', 'pipe', 'pipe']"
    end = time.monotonic() + HANG_GUARD
    while _runs(int(pid)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_when_there_is_one() -> None:
    """Only where there is a processor for it and nothing else in the process that a fork would leave behind."""
    check_script(
        """
import os, threading
from figwasp.runtime.workers import ahead
os.sched_getaffinity = lambda pid: {0, 1}
assert ahead.possible()
os.sched_getaffinity = lambda pid: {0}
assert not ahead.possible()
os.sched_getaffinity = lambda pid: {0, 1}
event = threading.Event()
thread = threading.Thread(target=event.wait)
thread.start()
assert not ahead.possible()
event.set()
thread.join()
assert ahead.possible()
"""
    )


def test_the_limit_of_memory_is_for_what_is_new() -> None:
    """The other process is forked from one that may have much mapped."""
    check_script(
        """
from figwasp.runtime.platform import linux
linux.allocate(5 << 30)
linux.limit_data(1 << 30)
linux.allocate(256 << 20)
try:
    linux.allocate(1 << 30)
except OSError:
    pass
else:
    raise SystemExit("there is no limit")
"""
    )


def test_a_warning_of_threads_is_no_exception() -> None:
    """The runtime has a thread of its own, which CPython counts when it forks."""
    check_script(
        """
import os, warnings
import figwasp
os.sched_getaffinity = lambda pid: {0, 1}
module = figwasp.Module(figwasp.wat('(module (func (export "f") (result i32) (i32.const 1)))'))
assert figwasp.load(module).f() == 1
assert len(os.listdir("/proc/self/task")) == 2
warnings.simplefilter("error")
with module._code.ahead():
    assert len(module._code.sources) == 2
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    pass
else:
    raise SystemExit("it is still there")
"""
    )


def test_it_does_not_run_far_ahead() -> None:
    """What is compiled for nothing is in proportion to what is called: the largest first, and near ones before distant ones."""
    text = chain(200, 100)
    translator = Translator(decode(figwasp.wat(text)), GUARD, False)
    read, write = os.pipe()
    try:
        worker = ahead.CompileWorker(translator, read, write)
        worker._reach(0, 0)
        made = []
        while worker.credit >= 0:
            made.append(worker._choose())
            worker._seen.add(made[-1])
            worker.credit -= worker._sizes[made[-1]]
        assert made == [0]
        os.write(write, INDEX.pack(0) * 3)
        assert worker._listen()
        while worker.credit >= 0:
            made.append(worker._choose())
            worker._seen.add(made[-1])
            worker.credit -= worker._sizes[made[-1]]
        assert made == list(range(len(made))) and 5 < len(made) < 10
    finally:
        os.close(read)
        os.close(write)


def _runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False



def test_run_has_it_when_it_is_asked_for() -> None:
    """`figwasp.run` compiles ahead while the program runs and leaves no process behind, however the program ends."""
    check_script(
        """
        import os
        import figwasp
        from figwasp.runtime.workers import ahead
        begun = []
        class Counting(ahead.BackgroundCompiler):
            def __init__(self, make):
                begun.append(make)
                super().__init__(make)
        ahead.BackgroundCompiler = Counting
        ahead.possible = lambda: True
        good = figwasp.wat('(module (memory (export "memory") 1) (func $f) (func (export "_start") (call $f)))')
        bad = figwasp.wat('(module (memory (export "memory") 1) (func $f unreachable) (func (export "_start") (call $f)))')
        for program, status in ((good, 0), (bad, 134), (figwasp.Module(good, engine=figwasp.Engine(tier="optimize")), 0)):
            if isinstance(program, bytes):
                program = figwasp.Module(program, engine=figwasp.Engine(tier="optimize"))
            assert figwasp.run(program, capture_output=True, compile_ahead=True).returncode == status
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pass
            else:
                raise SystemExit("a process is left")
        assert len(begun) == 3
        figwasp.run(good)
        assert len(begun) == 3
        """
    )
