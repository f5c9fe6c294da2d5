"""Wasm frames in Python tracebacks: their order and text, what exceptions keep, what a guest may not do with them."""

from __future__ import annotations

import gc
import io
import linecache
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import figwasp
from figwasp.wasm.debug import demangle
from tests.environment import HANG_GUARD, ROOT, environment
from tests.runtime.support import check_script, host, load, run_script
from tests.tools import package
from tests.wasm.debug.dwarf_maker import with_lines

DOC = ROOT / "docs" / "traps.md"

TEXT = """(module $m (import "host" "f" (func $f (param i32) (result i32))) (memory 1) (table 1 funcref)
  (func $leaf (export "leaf") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func $outer (export "outer") (param i32) (result i32) (i32.add (call $leaf (local.get 0)) (i32.const 1)))
  (func $call (export "call") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))
  (func $go (export "go") (param i32) (result i32) (i32.add (call $call (local.get 0)) (i32.const 1)))
  (func $down (export "down") (param i32) (result i32)
    (if (result i32) (local.get 0) (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
      (else (i32.load (i32.const -1)))))
  (func $forever (export "forever") (call $forever))
  (func $fill (export "fill") (memory.init $d (i32.const 0) (i32.const 0) (i32.const 100)))
  (func $loop (export "loop") (loop (br 0)))
  (func $spin (call $loop))
  (func (export "spin") (call $spin))
  (data $d "abc"))"""


def shown(error: BaseException) -> list[str]:
    """Give names of the functions in a traceback, without the offsets of wasm functions, from this file's on."""
    names = [entry.name.partition(" @ ")[0] for entry in traceback.extract_tb(error.__traceback__)]
    return names[1:] if names[:1] == ["caught"] else names


def caught(call: Callable[..., object], *args: object) -> BaseException:
    """Call, expect an exception of any kind, return it."""
    try:
        call(*args)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_frames_of_a_trap() -> None:
    """The outermost comes first, as Python has it; file and line are the module and the offset."""
    inst = load(TEXT, host(f=lambda x: x))
    for _ in range(3):  # the first time the slow way in, then the fast one; what was made for a place is used again
        trap = caught(inst.outer, 0)
        assert isinstance(trap, figwasp.Trap)
        entries = traceback.extract_tb(trap.__traceback__)
        assert [entry.name for entry in entries] == ["caught", *[f"{f.name} @ {f.offset:#x}" for f in trap.frames[::-1]]]
        assert [(entry.filename, entry.lineno, entry.line) for entry in entries[1:]] == [
            ("<wasm m>", frame.offset, "") for frame in trap.frames[::-1]
        ]
        assert [frame.name for frame in trap.frames] == ["leaf", "outer"]
        assert (trap.code, trap.args) == ("integer divide by zero", ("integer divide by zero",))
        assert str(trap) == f"integer divide by zero, at m!leaf @ {trap.frames[0].offset:#x}"
        assert trap.__context__ is None and trap.__cause__ is None


def test_printed_by_traceback_and_logging() -> None:
    """`traceback` and `logging` show them, and the interpreter for what nobody catches."""
    inst = load(TEXT, host(f=lambda x: x))
    trap = caught(inst.outer, 0)
    pattern = (
        r'Traceback .*\n  File ".*", line \d+, in caught\n    call\(\*args\)\n(?:    [\^~]+\n)?'
        r'  File "<wasm m>", line (\d+), in outer @ 0x([0-9a-f]+)\n  File "<wasm m>", line (\d+), in leaf @ 0x([0-9a-f]+)\n'
        r"figwasp\..*Trap: integer divide by zero, at m!leaf @ 0x[0-9a-f]+\n"
    )
    text = "".join(traceback.format_exception(trap))
    match = re.fullmatch(pattern, text)
    assert match is not None, text
    assert int(match[1]) == int(match[2], 16) and int(match[3]) == int(match[4], 16)
    stream = io.StringIO()
    logger = logging.getLogger("figwasp.tests")
    logger.propagate = False
    logger.handlers = [logging.StreamHandler(stream)]
    logger.error("no", exc_info=trap)
    assert stream.getvalue() == "no\n" + text


def test_printed_by_the_interpreter() -> None:
    """What the interpreter prints when nobody catches it, by code of its own in some versions."""
    script = f"""
        import figwasp, sys
        inst = figwasp.load(figwasp.wat({TEXT!r}), {{"host": {{"f": lambda x: x}}}})
        inst.outer(0)
    """
    done = run_script(script)
    assert done.returncode == 1
    assert re.search(r'in outer @ 0x\w+\n  File "<wasm m>", line \d+, in leaf @ 0x\w+\n.*integer divide by zero', done.stderr), done


def test_pdb_shows_them() -> None:
    """A post-mortem debugger walks over the frames and shows their local, the offset."""
    out = check_script(
        f"""
        import figwasp, io, pdb, sys
        inst = figwasp.load(figwasp.wat({TEXT!r}), {{"host": {{"f": lambda x: x}}}})
        try:
            inst.outer(0)
        except figwasp.Trap as trap:
            out = io.StringIO()
            debugger = pdb.Pdb(stdin=io.StringIO("where\\np offset\\nup\\np offset, offset + 1\\nlist\\nup\\ndown\\nargs\\nquit\\n"), stdout=out)
            debugger.reset()
            debugger.interaction(None, trap.__traceback__)
            print([f.offset for f in trap.frames])
            print(out.getvalue())
        """
    )
    first, _, rest = out.partition("\n")
    inner, outer = (int(word) for word in first.strip("[]").split(","))
    assert f"\n(Pdb) {inner}\n" in rest.replace("(Pdb) >", "(Pdb)\n>") and f"({outer}, {outer + 1})" in rest
    assert f"<wasm m>({inner})leaf @ {inner:#x}()" in rest and "Error" not in rest


def test_nested_chains_in_order() -> None:
    """Python -> wasm -> Python -> wasm -> Python: each stands where it was called."""
    instances: list[figwasp.Instance] = []

    def again(depth: int) -> int:
        if depth == 0:
            raise KeyError("at the bottom")
        return int(instances[0].go(depth - 1))

    inst = load(TEXT, host(f=again))
    instances.append(inst)
    for _ in range(2):
        error = caught(inst.go, 2)
        assert type(error) is KeyError
        assert shown(error) == ["go", "call", "again"] * 3
    assert shown(caught(load(TEXT, host(f=lambda x: inst.leaf(x))).go, 0)) == ["go", "call", "<lambda>", "leaf"]


def test_trap_frames_are_those_of_the_innermost_chain() -> None:
    """A trap that passes through Python keeps its frames; its traceback has all."""
    inner = load(TEXT, host(f=lambda x: x))
    outer = load(TEXT, host(f=lambda x: inner.outer(x)))
    trap = caught(outer.go, 0)
    assert isinstance(trap, figwasp.Trap)
    assert [frame.name for frame in trap.frames] == ["leaf", "outer"]
    assert shown(trap) == ["go", "call", "<lambda>", "outer", "leaf"]


def test_trap_raised_by_python_gets_the_frames_that_led_there() -> None:
    def f(_x: int) -> int:
        raise figwasp.Trap("mine")

    trap = caught(load(TEXT, host(f=f)).go, 0)
    assert isinstance(trap, figwasp.Trap)
    assert (trap.code, [frame.name for frame in trap.frames]) == ("mine", ["call", "go"])
    assert shown(trap) == ["go", "call", "f"]


class Odd(Exception):
    """An exception with an opinion of its own."""

    def __init__(self, a: int, *, b: int) -> None:
        super().__init__(a)
        self.b = b


def test_exceptions_of_host_functions_pass_unharmed() -> None:
    """The same object comes out, with its cause, context, notes and attributes."""
    cause, context = ValueError("cause"), OSError("context")
    error = Odd(1, b=2)
    error.add_note("noted")

    def f(x: int) -> int:
        if x == 0:
            raise error
        if x == 1:
            raise error from cause
        try:
            raise context
        except OSError:
            raise error from None

    inst = load(TEXT, host(f=f))
    for x in (0, 1, 2):
        error.__cause__ = error.__context__ = error.__traceback__ = None
        error.__suppress_context__ = False
        assert caught(inst.go, x) is error
        assert (error.args, error.b, error.__notes__) == ((1,), 2, ["noted"])
        assert error.__cause__ is (cause if x == 1 else None)
        assert error.__context__ is (context if x == 2 else None)
        assert error.__suppress_context__ is (x > 0)
        assert shown(error) == ["go", "call", "f"]


def test_context_of_a_trap_is_what_was_being_handled() -> None:
    """As for every exception that is raised while another one is handled; also when a host function handles it."""
    inst = load(TEXT, host(f=lambda x: x))
    seen = ValueError("seen")

    def f(x: int) -> int:
        try:
            raise seen
        except ValueError:
            return int(inst.leaf(x))

    for call in (f, load(TEXT, host(f=f)).go):
        trap = caught(call, 0)
        assert isinstance(trap, figwasp.Trap) and trap.__context__ is seen
    try:
        raise seen
    except ValueError:
        raised = caught(load(TEXT, host(f=[].pop)).go, 0)
    assert type(raised) is IndexError and raised.__context__ is seen


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, figwasp.Exit, GeneratorExit, StopIteration])
def test_control_flow_passes_unharmed(kind: type[BaseException]) -> None:
    error = kind(3)

    def f(_x: int) -> int:
        raise error

    assert caught(load(TEXT, host(f=f)).go, 0) is error
    quiet = issubclass(kind, (figwasp.Exit, SystemExit, GeneratorExit))
    assert shown(error) == (["f"] if quiet else ["go", "call", "f"])


def test_failing_conversions_and_builtins_as_host_functions() -> None:
    """Host functions without a Python frame of their own, and results that are none: no frames of the runtime show."""
    assert shown(caught(load(TEXT, host(f=[].pop)).go, 0)) == ["go", "call"]
    inst = load(TEXT, host(f=[*range(30)].pop))
    for _ in range(30):
        inst.go(0)  # after some calls they are made by code for the type
    assert shown(caught(inst.go, 0)) == ["go", "call"]
    error = caught(load(TEXT, host(f=lambda x: "text")).go, 0)
    assert type(error) is TypeError and shown(error) == ["go", "call"]
    pair = load(
        """(module (import "host" "f" (func $f (param externref) (result i32 i32)))
        (func $g (export "g") (param externref) (result i32 i32) (call $f (local.get 0))))""",
        host(f=lambda x: x / 0),
    )
    assert shown(caught(pair.g, 1)) == ["g", "<lambda>"]
    assert shown(caught(pair.g, object())) == ["g", "<lambda>"]


def test_errors_of_callers_show_no_frames_of_the_runtime() -> None:
    inst = load(TEXT, host(f=lambda x: x))
    for args in (("x",), (), (1, 2), (2**70,), (None,)):
        error = caught(inst.leaf, *args)
        assert type(error) in (TypeError, OverflowError) and shown(error) == []


def test_builtins_and_exhaustion() -> None:
    """Traps in what wasm calls of the runtime, and where the stack ends."""
    inst = load(TEXT, host(f=lambda x: x))
    trap = caught(inst.fill)
    assert isinstance(trap, figwasp.Trap) and trap.code == "out of bounds memory access"
    assert [frame.name for frame in trap.frames] == shown(trap) == ["fill"]
    full = caught(inst.forever)
    assert isinstance(full, figwasp.Exhaustion) and len(full.frames) > 10_000
    names = shown(full)
    assert names[:10] == ["forever"] * 10 and names[11:] == ["forever"] * 20
    assert names[10] == f"... {len(full.frames) - 30} more"


def test_long_recursions_are_shortened() -> None:
    inst = load(TEXT, host(f=lambda x: x))
    for depth in (0, 5, 29, 30, 31, 32, 500):
        trap = caught(inst.down, depth)
        assert isinstance(trap, figwasp.Trap) and len(trap.frames) == depth + 1
        assert len(shown(trap)) == min(depth + 1, 31)
        assert any("more" in name for name in shown(trap)) == (depth + 1 > 31)
        assert len(trap.backtrace.splitlines()) == min(depth + 1, 31)


def test_interrupt_in_a_loop_tells_where() -> None:
    """Ctrl-C raised at a tick has the frames of the loop it stopped."""
    inst = load(TEXT, host(f=lambda x: x))
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    error = caught(inst.spin)
    timer.join()
    assert type(error) is KeyboardInterrupt
    assert shown(error)[:3] == ["spin", "spin", "loop"]


def test_function_that_does_not_validate() -> None:
    """With validation left for later, the error comes with the frames that led to the function."""
    text = '(module (func $bad (result i32) (i64.const 0)) (func $go (export "go") (drop (call $bad))))'
    inst = figwasp.load(figwasp.Module(figwasp.wat(text), lazy=True))
    error = caught(inst.go)
    assert isinstance(error, figwasp.Invalid)
    assert shown(error)[0] == "go"


def test_suspended_calls() -> None:
    """An exception that an async host function raises has the frames of the call that was suspended."""
    out = check_script(
        f"""
        import asyncio, figwasp, traceback
        async def f(x):
            await asyncio.sleep(0)
            raise KeyError(x)
        inst = figwasp.load(figwasp.wat({TEXT!r}), {{"host": {{"f": f}}}})
        async def main():
            await inst.acall.go(3)
        try:
            asyncio.run(main())
        except KeyError as error:
            names = [entry.name.partition(" ")[0] for entry in traceback.extract_tb(error.__traceback__)]
            print(*names[names.index("main"):])
        """
    )
    assert re.search(r"\bgo call\b.* f$", out.strip()), out


# Names and files are a guest's


def test_names_cannot_write_lines() -> None:
    """Control characters are escaped, long names cut."""
    text = TEXT.replace("$leaf", '$"a\\0a  File \\22x.py\\22, line 1\\1b[31m"').replace("$outer", '$"' + "b" * 5000 + '"').replace("$m ", '$"m\\0am" ')
    trap = caught(load(text, host(f=lambda x: x)).outer, 0)
    assert isinstance(trap, figwasp.Trap)
    printed = "".join(traceback.format_exception(trap))
    assert '  File "<wasm m\\nm>"' in printed and "\x1b" not in printed and "\n  File \"x.py" not in printed
    assert max(map(len, printed.splitlines())) < 1000
    assert trap.frames[0].name is not None and "\n" in trap.frames[0].name
    assert "\n" not in str(trap.frames[0]) + repr(trap.frames[0]) and "\x1b" not in str(trap.frames[0])
    assert len(trap.backtrace.splitlines()) == 2 and len(trap.backtrace) < 1000


LEAF = b"\x41\x01\x20\x00\x6e\x0b"
"""The instructions of `leaf`."""


def with_source(path: str, line: int) -> figwasp.Instance:
    return figwasp.load(with_lines(TEXT, path, {LEAF: line}), host(f=lambda x: x))


def test_source_lines_are_shown(tmp_path: Path) -> None:
    """With a source file on disk the line itself shows, as for Python."""
    source = tmp_path / "leaf.c"
    source.write_text("int leaf(int x) {\n  return 1 / x;\n}\n")
    trap = caught(with_source(str(source), 2).leaf, 0)
    assert isinstance(trap, figwasp.Trap)
    assert (trap.frames[0].file, trap.frames[0].line) == (str(source), 2)
    assert trap.backtrace == f"m!leaf @ {trap.frames[0].offset:#x} ({source}:2)"
    text = "".join(traceback.format_exception(trap))
    assert f'  File "{source}", line 2, in leaf\n    return 1 / x;\n' in text


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/dev/zero", "/dev/stdin", "relative.c", "/no/such/file.c", "/proc/self/environ", "/x/\n.c", __file__, "<string>", ""]
)
def test_guest_cannot_have_files_of_the_host_printed(path: str) -> None:
    """A guest that names a file which is no source file does not get its lines into a log; nor one that would never end."""
    trap = caught(with_source(path, 1).leaf, 0)
    entry = traceback.extract_tb(trap.__traceback__)[-1]
    assert entry.filename.startswith("<") and entry.filename.endswith(">") and entry.line == ""
    assert linecache.getline(entry.filename, 1) == ""
    assert "\n" not in entry.filename


def test_guest_cannot_hide_a_file_behind_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret\n")
    link = tmp_path / "link.c"
    link.symlink_to(secret)
    fifo = tmp_path / "fifo.c"
    os.mkfifo(fifo)
    for path in (link, fifo, tmp_path):
        entry = traceback.extract_tb(caught(with_source(str(path), 1).leaf, 0).__traceback__)[-1]
        assert entry.filename == f"<{path}>" and entry.line == ""


# Frames as values


def test_frames_are_values() -> None:
    """They compare, go into sets, and can be sent to another process with their exception."""
    inst = with_source("/src/leaf.c", 5)
    one, two = caught(inst.outer, 0), caught(inst.outer, 0)
    assert isinstance(one, figwasp.Trap) and isinstance(two, figwasp.Trap)
    assert one.frames == two.frames and set(one.frames) == set(two.frames) and one.frames[0] != one.frames[1]
    one.add_note("kept")
    copy = pickle.loads(pickle.dumps(one))
    assert type(copy) is figwasp.Trap and copy.frames == one.frames and copy.code == one.code and copy.__notes__ == ["kept"]
    assert (copy.frames[0].file, copy.frames[0].line, copy.frames[1].line) == ("/src/leaf.c", 5, None)
    full = caught(inst.forever)
    assert type(pickle.loads(pickle.dumps(full))) is figwasp.Exhaustion
    match one.frames[0]:
        case figwasp.Frame("m", func, "leaf", offset, file, line):
            assert (func, offset > 0, file, line) == (1, True, "/src/leaf.c", 5)
        case _:
            raise AssertionError(one.frames[0])
    assert not figwasp.Trap("x").frames and figwasp.Trap("x").backtrace == ""


def test_frames_outlive_the_instance() -> None:
    inst = with_source("/src/leaf.c", 5)
    trap = caught(inst.outer, 0)
    del inst
    gc.collect()
    load(TEXT, host(f=lambda x: x)).leaf(1)
    assert isinstance(trap, figwasp.Trap) and [str(frame).partition(" @")[0] for frame in trap.frames] == ["m!leaf", "m!outer"]
    assert trap.frames[0].line == 5


def test_nothing_stays_behind() -> None:
    """Exceptions go with their last holder: no cycles, no frames left, the stack as it was."""
    inst = load(TEXT, host(f=lambda x: 1 // x))

    def frames() -> int:
        return sum(type(thing).__name__ == "frame" for thing in gc.get_objects())

    def round() -> None:
        for call, args in ((inst.outer, (0,)), (inst.go, (0,)), (inst.fill, ()), (inst.down, (100,)), (inst.leaf, ("x",))):
            try:
                call(*args)
            except (figwasp.Trap, ZeroDivisionError, TypeError):
                pass

    round()
    gc.collect()
    gc.disable()
    try:
        before, blocks = frames(), sys.getallocatedblocks()
        for _ in range(200):
            round()
        assert frames() <= before + 2
        assert sys.getallocatedblocks() < blocks + 2000
    finally:
        gc.enable()


def test_tracing_does_not_see_the_frames() -> None:
    """They never ran: neither a debugger that steps nor a coverage tool meets them."""
    inst = load(TEXT, host(f=lambda x: x))
    seen: list[str] = []

    def trace(frame: Any, event: str, _arg: object) -> Any:
        seen.append(frame.f_code.co_filename)
        return trace

    sys.settrace(trace)
    try:
        caught(inst.outer, 0)
    finally:
        sys.settrace(None)
    assert seen and not [name for name in seen if "wasm m" in name]


def test_traceback_in_deep_python_recursion() -> None:
    """Where Python has no room for more, an exception still comes out: the trap, or that there was no room."""
    inst = load(TEXT, host(f=lambda x: 1 // x))

    def deep(call: Callable[[int], object], left: int) -> object:
        return call(0) if left == 0 else deep(call, left - 1)

    kinds = set()
    here = len(traceback.extract_stack())
    for left in range(sys.getrecursionlimit() - here - 40, sys.getrecursionlimit() - here - 2):
        for call in (inst.outer, inst.go):
            kinds.add(type(caught(deep, call, left)))
    assert kinds <= {figwasp.Trap, ZeroDivisionError, RecursionError} and len(kinds) == 3
    assert shown(caught(inst.outer, 0)) == ["outer", "leaf"]


# Demangling

NAMES = {
    "_ZN4core9panicking5panic17h0123456789abcde0E": "core::panicking::panic",
    "_RNvC6_123foo3bar": "123foo::bar",
    "_ZNSt6vectorIiSaIiEE9push_backERKi": "std::vector<int, std::allocator<int>>::push_back(int const&)",
    "_start": "_start",
    "Zebra": "Zebra",
}


def named(name: str) -> figwasp.Trap:
    trap = caught(load(TEXT.replace("$leaf", f'$"{name}"'), host(f=lambda x: x)).leaf, 0)
    assert isinstance(trap, figwasp.Trap)
    return trap


@pytest.mark.parametrize("name", NAMES)
def test_demangled_with_the_extra(name: str) -> None:
    """`name` stays what the module has; text is for people."""
    package("demangle")
    trap = named(name)
    assert (trap.frames[0].name, trap.frames[0].label) == (name, NAMES[name])
    assert NAMES[name] in str(trap.frames[0]) and shown(trap)[-1] == NAMES[name]


@pytest.mark.parametrize("name", NAMES)
def test_plain_without_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demangle, "_found", [])
    monkeypatch.setitem(sys.modules, "demangle", None)
    trap = named(name)
    assert (trap.frames[0].name, trap.frames[0].label) == (name, name)


def test_demangler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str, **_options: object) -> str:
        raise RuntimeError

    monkeypatch.setattr(demangle, "_found", [fail])
    assert named("_ZN1a1bE").frames[0].label == "_ZN1a1bE"


# The document


def test_document_shows_what_is_printed(tmp_path: Path) -> None:
    """The example of docs/traps.md: the program runs, and prints what stands there."""
    text = DOC.read_text(encoding="utf-8")
    program = re.search(r"```python\n# host\.py\n(.*?)```", text, re.DOTALL)
    printed = re.search(r"```text\n(Traceback.*?)```", text, re.DOTALL)
    assert program is not None and printed is not None
    for name in ("plugin.c", "ratio.h", "plugin-5.wasm"):
        (tmp_path / name.replace("-5", "")).write_bytes((ROOT / "tests/wasm/debug/dwarf" / name).read_bytes())
    (tmp_path / "host.py").write_text("# host.py\n" + program[1])
    script = f"""
        import os, runpy, traceback
        os.chdir({str(tmp_path)!r})
        try:
            runpy.run_path("host.py", run_name="__main__")
        except Exception as error:
            entries = error.__traceback__
            while entries.tb_frame.f_code.co_filename != "host.py":
                entries = entries.tb_next
            print("".join(traceback.format_exception(type(error), error, entries)), end="")
    """
    out = check_script(script)
    before, start, after = out.partition("Traceback")
    assert before == "3\n"
    assert re.sub(r"\n +[\^~]+\n", "\n", start + after) == re.sub(r"\n +[\^~]+\n", "\n", printed[1])


def entries_of(error: BaseException) -> list[TracebackType]:
    """Give the entries of a traceback."""
    found = []
    entry = error.__traceback__
    while entry is not None:
        found.append(entry)
        entry = entry.tb_next
    return found


def test_frame_objects_have_the_offset() -> None:
    """The locals of a wasm frame are its byte offset, for a debugger to look it up in a listing."""
    trap = caught(load(TEXT, host(f=lambda x: x)).outer, 0)
    assert isinstance(trap, figwasp.Trap)
    locals_ = [entry.tb_frame.f_locals for entry in entries_of(trap)[1:]]
    assert locals_ == [{"offset": frame.offset} for frame in trap.frames[::-1]]


def test_command_line_prints_frames_with_lines() -> None:
    """`figwasp run` tells names, offsets, files and lines, and exits as a process does that was aborted."""
    plugin = ROOT / "tests/wasm/debug/dwarf/plugin-4.wasm"
    words = ["-m", "figwasp", "run", "--unknown-imports=trap", "--invoke", "outer", str(plugin)]
    results = [
        subprocess.run([sys.executable, *words, number], capture_output=True, text=True, env=environment(),
                       check=False, timeout=HANG_GUARD)
        for number in ("0", "7")
    ]  # fmt: skip
    assert [done.returncode for done in results] == [134, 134]
    zero, seven = (re.sub(r"0x\w+", "0x.", done.stderr) for done in results)
    assert zero == (
        "figwasp: trap: integer divide by zero\n  wasm backtrace:\n"
        "    plugin-4.wasm!leaf @ 0x. (ratio /src/ratio.h:2, leaf /src/plugin.c:8)\n"
        "    plugin-4.wasm!outer @ 0x. (/src/plugin.c:14)\n"
    )
    assert seven == (
        "figwasp: trap: unknown import: env.host called\n  wasm backtrace:\n    plugin-4.wasm!outer @ 0x. (/src/plugin.c:13)\n"
    )
