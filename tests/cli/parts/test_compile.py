"""`figwasp compile`: into the cache, into a file, for `figwasp run`; what it says, and what it does when that is not possible."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

import figwasp
from figwasp.cli.parts.bar import Bar
from figwasp.runtime.code import kept
from tests.cli.commands import ADD, INVALID, outcome
from tests.cli.process import figwasp_command, run_figwasp
from tests.cli.test_run import on_terminal
from tests.environment import HANG_GUARD, environment

THREADS = "(module (memory 1 1 shared) (func (export \"_start\") (atomic.fence)))"
TRACED = """
import sys
from figwasp.runtime.code.translate import Translator
translate = Translator.translate_checked
Translator.translate_checked = lambda self, index, facts: print("compiled", index) or translate(self, index, facts)
from figwasp.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("FIGWASP_CACHE", str(path))
    kept._waiting.clear()
    return path


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.wat"
    path.write_text(ADD)
    return path


def run(*words: str | Path) -> tuple[int, str, str]:
    """Run figwasp in a process of its own, which tells of every function that it compiles."""
    command = [*figwasp_command()[:-2], "-c", TRACED, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=HANG_GUARD, check=False)
    return done.returncode, done.stdout, done.stderr


def entries(folder: Path) -> set[Path]:
    """Return what the cache holds."""
    return set(folder.glob("*.entry"))


SAID = r"figwasp: \S+program\.wat: 1 functions, 7\d bytes, to \d+ bytes of code, in \d+\.\d s\n"


@pytest.mark.parametrize("options", [(), ("--fuel",), ("-j", "2"), ("--enable", "threads")])
def test_the_program_begins_with_its_code(folder: Path, program: Path, options: tuple[str, ...]) -> None:
    """With the options with which it has been compiled, and no others."""
    status, out, err = outcome("compile", *options, program)
    assert (status, out) == (0, b"") and re.fullmatch(SAID, err)
    running = {"--fuel": ["--fuel", "100"], "--enable": ["--enable", "threads"]}
    given = running.get(options[0], []) if options else []
    kept = entries(folder)
    assert len(kept) == 1
    assert run("run", *given, "--invoke", "add", program, "2", "3") == (0, "5\n", "")
    assert kept <= entries(folder) and len(entries(folder) - kept) <= 1  # that of stubs which are not shipped for this Python
    if given:
        kept = entries(folder)
        assert run("run", "--invoke", "add", program, "2", "3")[:2] in ((0, "5\n"), (0, "compiled 0\n5\n"))  # here, or ahead
        assert kept < entries(folder)
    status, _, err = outcome("compile", *options, program)
    assert status == 0 and "of code, 1 of them from before, in" in err


def test_several_programs(folder: Path, program: Path, tmp_path: Path) -> None:
    """Each for itself; one that is not valid keeps no other from being compiled."""
    (tmp_path / "bad.wat").write_text(INVALID)
    (tmp_path / "more.wat").write_text("(func)")
    status, out, err = outcome("compile", tmp_path / "bad.wat", program, tmp_path / "absent", tmp_path / "more.wat")
    assert (status, out) == (1, b"")
    lines = err.splitlines()
    assert [line.split(": ")[1].replace(str(tmp_path), "") for line in lines] == ["error", "/program.wat", "error", "/more.wat"]
    assert "bad.wat: type mismatch" in lines[0] and "No such file" in lines[2]
    assert len(entries(folder)) == 2


def test_standard_input(folder: Path) -> None:
    status, _, err = outcome("compile", "-", stdin=figwasp.wat(ADD))
    assert status == 0 and err.startswith("figwasp: <stdin>: 1 functions")


def test_into_a_file(folder: Path, program: Path, tmp_path: Path) -> None:
    """It is run, invoked, and loaded in Python; the cache has no part in it."""
    path = tmp_path / "program.fwm"
    status, out, err = outcome("compile", "-o", path, program)
    assert (status, out) == (0, b"") and re.fullmatch(SAID, err)
    assert not folder.exists()
    assert run("run", "--invoke", "add", path, "2", "3") == (0, "5\n", "")
    assert figwasp.deserialize(path.read_bytes()).instantiate().add(2, 3) == 5
    assert len(entries(folder)) <= 1  # that of stubs which are not shipped for this Python
    first = path.read_bytes()
    assert outcome("compile", "-j", "2", f"--output={path}", program)[0] == 0 and path.read_bytes() == first
    assert outcome("compile", "-o", "-", program)[1] == first


def test_a_file_for_other_options(folder: Path, program: Path, tmp_path: Path) -> None:
    path = tmp_path / "program.fwm"
    outcome("compile", "-o", path, program)
    status, out, err = run("run", "--fuel", "9", "--invoke", "add", path, "2", "3")
    assert (status, out) == (1, "")
    assert err == (
        f"figwasp: error: {path}: the serialized module is for something else than what is here: fuel: not counted; here: counted\n"
    )
    path.write_bytes(path.read_bytes()[:-1])
    status, out, err = run("run", "--invoke", "add", path, "2", "3")
    assert (status, out) == (1, "") and err.startswith(f"figwasp: error: {path}: the serialized module is damaged")


def test_proposals(folder: Path, tmp_path: Path) -> None:
    program, path = tmp_path / "threads.wat", tmp_path / "threads.fwm"
    program.write_text(THREADS)
    status, _, err = outcome("compile", program)
    assert status == 1 and "threads" in err
    assert outcome("compile", "--enable", "threads", "-o", path, program)[0] == 0
    assert run("run", "--enable", "threads", path)[0] == 0
    assert "proposals: only there threads; only here nothing" in run("run", path)[2]


def test_no_cache(monkeypatch: pytest.MonkeyPatch, program: Path, tmp_path: Path) -> None:
    """Nothing is compiled for nothing."""
    for cache, reason in (("off", "FIGWASP_CACHE is off"), (tmp_path / "file" / "in", f"{tmp_path}/file/in: Not a directory")):
        (tmp_path / "file").touch()
        monkeypatch.setenv("FIGWASP_CACHE", str(cache))
        assert outcome("compile", program) == (1, b"", f"figwasp: error: no cache: {reason}; -o FILE writes the code to a file\n")
        assert outcome("compile", "-o", tmp_path / "out", program)[0] == 0
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("FIGWASP_CACHE", str(tmp_path / "open"))
    assert "open: others can write to it; -o" in outcome("compile", program)[2]


def test_a_cache_that_is_full(folder: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("figwasp.cache.entries.LARGEST", 10)
    status, _, err = outcome("compile", program)
    assert (status, err) == (1, f"figwasp: error: {program}: the code could not be written to the cache\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "required: PROGRAM"),
        (("-j", "0", "x"), "'0' is not a number from 1 to 1024"),
        (("-j", "²", "x"), "is not a number"),
        (("--jobs=many", "x"), "is not a number"),
        (("-o", "out", "a", "b"), "-o FILE is for one program"),
        (("--enable", "x", "a"), "unknown proposal"),
    ],
)
def test_wrong_words(folder: Path, words: tuple[str, ...], said: str) -> None:
    status, out, err = outcome("compile", *words)
    assert (status, out) == (2, b"") and said in err


# While it is at work

LARGE = "".join(f"(func (result i32) {'(i32.add (i32.const 1) ' * 200}(i32.const 1){')' * 200})" for _ in range(200))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_bar(folder: Path, tmp_path: Path, jobs: str) -> None:
    """It fits in a line, and is gone in the end; elsewhere than at a terminal there is none."""
    program = tmp_path / "large.wasm"
    program.write_bytes(figwasp.wat(LARGE))
    status, shown = on_terminal(["-m", "figwasp", "compile", "-j", jobs, str(program)], columns=60)
    assert status == 0
    said = shown.split(b"\r\x1b[K")
    assert said[0] == b"" and said[-1].startswith(f"figwasp: {program}: 200 functions".encode())
    assert any(re.match(rb"\[#*\.*\] +\d+% \d+ s ", line) for line in said[:-1])
    assert all(len(line) < 60 for line in said[:-1])
    assert b"[" not in run_figwasp(["compile", str(program)]).stderr


def test_names_that_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    assert Bar(None, "\x1b[2J")._name == r"\x1b[2J"
    bar = Bar(None, "x")
    bar.show(1, 2)
    assert bar.stop() >= 0 and capsys.readouterr() == ("", "")


def test_an_interrupt_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    """As Ctrl-C at a terminal, which all processes of the group get."""
    program = tmp_path / "large.wasm"
    program.write_bytes(figwasp.wat(LARGE * 10))
    output = tmp_path / "out"
    command = figwasp_command("compile", "-j", "2", "-o", str(output), str(program))
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(), start_new_session=True) as process:
        _wait_for_children(process.pid, 2)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=HANG_GUARD)
    assert (process.returncode, err) == (130, b"")
    assert not output.exists() and not list(tmp_path.glob(".*"))
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def _wait_for_children(pid: int, count: int) -> None:
    end = time.monotonic() + HANG_GUARD
    while len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
