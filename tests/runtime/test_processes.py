"""Processes: fork and spawn with live instances, the end of the interpreter in every state, interpreters that are not supported."""

from __future__ import annotations

import os as system
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

import figwasp
from figwasp.runtime import platform
from tests.environment import COMPILED, WARNINGS
from tests.runtime.support import check_script, run_script

WAT = """(module (import "host" "f" (func $f (param i32) (result i32))) (memory (export "memory") 4) (table (export "refs") 4 externref)
  (func (export "a") (result i32) (i32.const 10)) (func (export "b") (result i32) (i32.const 20))
  (func (export "call") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))
  (func (export "put") (param i32 externref) (table.set 0 (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get 0 (local.get 0)))
  (func (export "store") (param i32) (i32.store (i32.const 8) (local.get 0)))
  (func (export "outside") (result i32) (i32.load (i32.const 262142)))
  (func $deep (export "deep") (call $deep))
  (func (export "endless") (loop $l (br $l)))
  (func (export "calls") (loop $l (drop (call $f (i32.const 1))) (br $l)))
  (func (export "fill") (loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x40000)) (br $l)))
  (func (export "spin") (param i32) (result i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.const 7)))"""

COMMON = f'''
import atexit, gc, os, signal, sys, threading, time
import figwasp
binary = figwasp.wat("""{WAT}""")
def load(f=abs):
    return figwasp.load(binary, {{"host": {{"f": f}}}})
def check(inst, value=5):
    """Use everything of an instance."""
    assert inst.a() == 10 and inst.b() == 20 and inst.call(-value) == value + 1
    inst.store(value)
    assert inst.memory[8] == value
    thing = [value]
    inst.put(1, thing)
    assert inst.get(1) is thing
    for call in (inst.outside, inst.deep):
        try:
            call()
        except figwasp.Trap:
            continue
        raise SystemExit("no trap")
    assert inst.spin(1000) == 7
    assert load().a() == 10
def wait(pid):
    pid, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    wait(pid)
'''


def script(code: str) -> str:
    """Give a script with what all of them use."""
    return COMMON + textwrap.dedent(code)


# Fork and spawn


def test_fork_with_a_thread_inside_wasm() -> None:
    """A child forked while a thread is inside wasm can use every instance, that one too; so can the parent."""
    check_script(
        script("""
        inst, other = load(), load()
        check(other)
        done = []
        thread = threading.Thread(target=lambda: done.append(inst.spin(-1)))
        thread.start()
        time.sleep(0.2)
        for k in range(5):
            in_child(lambda: (check(inst, k + 1), check(other, k + 2)))
            check(other, k + 3)
        thread.join()
        assert done == [7]
        check(inst)
        """)
    )


def test_fork_with_a_thread_in_a_loop_of_host_calls() -> None:
    """The same while a thread calls Python from wasm all the time, and while one keeps a store busy with references."""
    check_script(
        script("""
        stop = []
        def f(x):
            if stop:
                raise LookupError
            return x
        inst, refs = load(f), load()
        def loop():
            try:
                inst.calls()
            except LookupError:
                pass
        def put():
            while not stop:
                refs.put(2, [1])
        threads = [threading.Thread(target=loop), threading.Thread(target=put)]
        for thread in threads:
            thread.start()
        for k in range(10):
            time.sleep(0.02)
            in_child(lambda: (check(refs, k + 1), check(load())))
        stop.append(1)
        for thread in threads:
            thread.join()
        check(refs)
        """)
    )


def test_fork_of_a_fork_inside_nested_calls() -> None:
    """Forks inside host functions inside host functions: each process unwinds its own chain."""
    out = check_script(
        script("""
        pids = []
        def f(x):
            if x:
                return inst.call(x - 1) + 1
            pids.append(os.fork())
            return 0 if pids[-1] else 100
        inst = load(f)
        result = inst.call(3)
        if pids[-1] == 0:
            assert result == 107, result
            in_child(lambda: check(load()))
            os._exit(0)
        assert result == 7, result
        wait(pids[-1])
        print("parent")
        """)
    )
    assert out == "parent\n"


def test_fork_child_leaves_by_the_ordinary_way() -> None:
    """A forked child that ends as programs do, atexit handlers included, is clean on stderr; its instances are its own."""
    out = check_script(
        script("""
        inst = load()
        atexit.register(lambda: (check(inst), print("bye", flush=True)))
        check(inst)
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            wait(pid)
        """)
    )
    assert out == "bye\nbye\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    """Every way of starting processes works beside live instances; modules and results travel, instances are made there."""
    main = str(tmp_path / "main.py")
    Path(main).write_text(
        script("""
            import multiprocessing
            shared = load()
            def work(n):
                assert shared.call(-n) == n + 1
                return load().call(-n)
            def main():
                check(shared)
                context = multiprocessing.get_context(sys.argv[1])
                with context.Pool(2) as pool:
                    assert pool.map(work, range(20)) == [n + 1 for n in range(20)]
                process = context.Process(target=work, args=(3,))
                process.start()
                process.join()
                assert process.exitcode == 0
                check(shared)
                print("done")
            if __name__ == "__main__":
                main()
            """),
        encoding="utf-8",
    )
    done = check_script("import subprocess, sys; sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)", *WARNINGS, main, method)
    assert done == "done\n"


def test_exec_after_fork() -> None:
    """subprocess works beside a thread inside wasm: signal dispositions and descriptors are not in the way."""
    check_script(
        script("""
        import subprocess
        inst = load()
        thread = threading.Thread(target=inst.spin, args=(-1,))
        thread.start()
        time.sleep(0.1)
        for _ in range(5):
            assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, check=True).stdout == b"1\\n"
        thread.join()
        """)
    )


# The end of the interpreter


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "raise SystemExit", "os.kill(os.getpid(), signal.SIGINT)"])
@pytest.mark.parametrize("call", ["endless", "calls", "fill", "slow host", "compiling"])
def test_daemon_thread_at_exit(call: str, ending: str) -> None:
    """The interpreter ends well and silently with a daemon thread in wasm, in a host function, or in the compiler."""
    if ending.startswith("os.kill") and call != "calls":
        pytest.skip("one kind of call is enough")
    done = run_script(
        script(f"""
        class Last:
            def __del__(self, sleep=time.sleep):
                sleep(0.05)  # lets go of the GIL while the interpreter is ending
        last = Last()
        text = "".join(f'(func (export "f{{k}}") (result i32) (i32.const {{k}}))' for k in range(3000))
        def compiling():
            while True:
                inst = figwasp.load(figwasp.wat("(module " + text + ")"))
                for k in range(3000):
                    inst.exports[f"f{{k}}"]()
        def slow(x):
            time.sleep(0.001)
            return x
        inst = load(slow if {call!r} == "slow host" else lambda x: x)
        target = compiling if {call!r} == "compiling" else inst.exports["calls" if {call!r} == "slow host" else {call!r}]
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        time.sleep(0.3)
        assert thread.is_alive()
        print("leaving", flush=True)
        {ending}
        """)
    )
    interrupted = ending.startswith("os.kill")
    assert done.stdout == "leaving\n"
    if interrupted:
        assert done.returncode == -2 and done.stderr.rstrip().endswith("KeyboardInterrupt"), (done.returncode, done.stderr)
    else:
        assert (done.returncode, done.stderr) == (0, "")


def test_daemon_threads_by_the_dozen_at_exit() -> None:
    """Many daemon threads in all kinds of calls, time after time."""
    for _ in range(3):
        check_script(
            script("""
            for name in ("endless", "calls", "fill") * 6:
                threading.Thread(target=load(lambda x: x).exports[name], daemon=True).start()
            time.sleep(0.3)
            """)
        )


def test_other_threads_finish_before_the_end() -> None:
    """Threads that are not daemons end their calls before the interpreter ends."""
    out = check_script(
        script("""
        inst = load()
        threading.Thread(target=lambda: (time.sleep(0.1), print(inst.spin(100_000_000), inst.call(-3)))).start()
        """)
    )
    assert out == "7 4\n"


@pytest.mark.parametrize("status", ["0", "3", "'a message'", ""])
def test_sys_exit_in_a_host_function(status: str) -> None:
    """SystemExit passes through wasm, nested calls included, and ends the process with its status."""
    done = run_script(
        script(f"""
        def f(x):
            if x:
                return inst.call(x - 1)
            sys.exit({status})
        inst = load(f)
        atexit.register(lambda: print(load().a()))
        inst.call(3)
        print("not reached")
        """)
    )
    expected = {"0": (0, ""), "3": (3, ""), "'a message'": (1, "a message\n"), "": (0, "")}[status]
    assert (done.returncode, done.stderr) == expected and done.stdout == "10\n"


def test_sys_exit_in_a_host_function_of_a_thread() -> None:
    """In a thread it ends the thread."""
    out = check_script(
        script("""
        inst = load(lambda x: sys.exit(4))
        thread = threading.Thread(target=inst.call, args=(1,))
        thread.start()
        thread.join()
        print(inst.a())
        """)
    )
    assert out == "10\n"


def test_os_exit_in_a_host_function() -> None:
    """os._exit ends the process there and then."""
    assert run_script(script("load(lambda x: os._exit(5)).call(1)")).returncode == 5


def test_atexit_handlers_call_wasm() -> None:
    """Handlers registered before and after the first use call, trap, compile and load; the last instance goes after them."""
    out = check_script(
        script("""
        def late(word):
            check(inst)
            check(load())
            print(word)
        atexit.register(late, "before")
        inst = load()
        atexit.register(late, "after")
        """)
    )
    assert out == "after\nbefore\n"


@pytest.mark.skipif(COMPILED, reason="a trap there imports modules, and those that mypyc has compiled need one that has gone")
def test_finalizers_at_the_very_end_call_wasm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that die with the modules can still call what they hold, also in cycles, also with traps; nothing is printed by us.

    What the baseline compiler cannot do needs the other, which nobody has imported then.
    """
    monkeypatch.setenv("FIGWASP_TIER", "optimize")
    out = check_script(
        script("""
        load(lambda x: x).call(1)  # so that the compiler is there
        class Late:
            def __init__(self):
                self.inst = load(self.f)
                self.check = check
            def f(self, x):
                return x * 2
            def __del__(self, write=os.write, trap=figwasp.Trap):
                assert self.inst.call(4) == 9
                try:
                    self.inst.outside()
                except trap:
                    write(1, b"late\\n")
        kept = Late()
        sys.modules["kept by nobody else"] = Late()
        cycle = [Late()]
        cycle.append(cycle)
        """)
    )
    assert out == "late\n" * 3


def test_it_is_too_late_to_compile_the_first_function() -> None:
    """A finalizer at the very end that needs the compiler, which nobody has needed before, hears so; nothing crashes."""
    done = run_script(
        script("""
        class Late:
            def __init__(self):
                self.inst = load(lambda x: x)
            def __del__(self, write=os.write, error=figwasp.Error):
                try:
                    self.inst.call(4)
                except error as late:
                    write(1, str(late).encode())
        kept = Late()
        """)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "no function can be compiled any more: Python is shutting down", "")


def test_trap_and_exception_states_at_exit() -> None:
    """An exception from wasm that nobody handles ends the script with a traceback and status 1."""
    done = run_script(script("load().outside()"))
    assert done.returncode == 1 and "out of bounds memory access" in done.stderr
    done = run_script(script("load(lambda x: 1 // 0).call(1)"))
    assert done.returncode == 1 and "\nZeroDivisionError: " in done.stderr


# Interpreters that are not supported


def test_free_threaded_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build without the GIL is refused even where the GIL has been enabled: objects are laid out differently there."""
    platform.check()
    monkeypatch.setattr(sys, "abiflags", "t")
    with pytest.raises(figwasp.Unsupported, match="free-threaded"):
        platform.check()
    monkeypatch.setattr(sys, "abiflags", "")
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(figwasp.Unsupported, match="free-threaded"):
        platform.check()


def test_other_platforms_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems, machines and implementations are named in the error."""
    for target, name, value, words in (
        (sys, "platform", "win32", "win32"),
        (system, "uname", lambda: SimpleNamespace(machine="riscv64"), "riscv64"),
        (sys.implementation, "name", "pypy", "pypy"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            with pytest.raises(figwasp.Unsupported, match=words):
                platform.check()
