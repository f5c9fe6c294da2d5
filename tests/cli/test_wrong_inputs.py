"""Wrong inputs of every kind: one clear error for each, the right exit status, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import figwasp
from tests.cli.commands import INVALID, MALFORMED, outcome
from tests.cli.process import figwasp_command
from tests.environment import HANG_GUARD, environment
from tests.wasi.test_run import LOOP, hello

FUNCS = """(module
  (memory (export "memory") 1)
  (func (export "zero") (drop (i32.div_u (i32.const 1) (i32.const 0))))
  (func $deep (export "deep") (call $deep) (call $deep))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f32) (result f32) (local.get 0))
  (func (export "ref") (param externref))
  (func (export "peek") (result i32) (i32.load (i32.const -4))))"""
EXITS = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const %s))))"""
TEXTS = {
    "funcs.wat": FUNCS,
    "start_memory.wat": '(module (memory (export "_start") 1))',
    "start_takes.wat": '(module (func (export "_start") (param i32)))',
    "init_memory.wat": '(module (memory (export "_initialize") 1) (func (export "f")))',
    "init_takes.wat": '(module (func (export "_initialize") (param i32)) (func (export "f")))',
    "init_tag.wat": '(module (tag (export "_initialize")) (func (export "f")))',
    "nothing.wat": "(module)",
    "imports.wat": '(module (import "a" "b" (func)) (import "a" "c" (func)) (func (export "_start")))',
    "mismatch.wat": '(module (import "wasi_snapshot_preview1" "proc_exit" (memory 1)) (func (export "_start")))',
    "traps.wat": '(module (func (export "_start") unreachable))',
    "start_traps.wat": '(module (func $f unreachable) (start $f) (func (export "_start")))',
    "huge.wat": '(module (memory 65536 65536) (memory 65536) (func (export "_start")))',
    "table.wat": '(module (table 0xffffffff funcref) (func (export "_start")))',
    "exit0.wat": EXITS % 0,
    "exit3.wat": EXITS % 3,
    "exit256.wat": EXITS % 257,
    "exit-1.wat": EXITS % -1,
    "invalid.wat": INVALID,
    "lazy.wat": '(module (func (export "_start") (drop (i32.add (i64.const 1) (i32.const 1)))))',
    "malformed.wat": MALFORMED,
    "poem.txt": "so much depends\nupon\n",
    "deep.wat": "(module (func " + "(block " * 20000,
    "script.wast": '(module (func (export "f")))\n(assert_return (invoke "f") (i32.const 1))\n',
    "broken.wast": "(module (func",
}
BINARIES = {
    "empty.wasm": b"",
    "cut.wasm": figwasp.wat(FUNCS)[:-10],
    "magic.wasm": b"\0asm",
    "version.wasm": b"\0asm\2\0\0\0",
    "component.wasm": b"\0asm\x0d\0\1\0",
    "section.wasm": b"\0asm\1\0\0\0\x01\xff\xff\xff\xff\x0f",
    "count.wasm": b"\0asm\1\0\0\0\x01\x05\xff\xff\xff\xff\x0f",
    "image.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "latin.wat": b'(module (func (export "\xe9")))',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wrong")
    for name, text in TEXTS.items():
        (path / name).write_text(text)
    for name, data in BINARIES.items():
        (path / name).write_bytes(data)
    (path / "loops.wasm").write_bytes(hello(LOOP))
    (path / "folder").mkdir()
    return path


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own process is not to be forked, and is large."""
    monkeypatch.setattr("figwasp.runtime.workers.ahead.possible", lambda: False)


CASES = [
    # The command line
    ("walk", 2, "figwasp: error: no command 'walk'; try `figwasp --help`\n"),
    ("help walk", 2, "figwasp: error: no command 'walk'; try `figwasp --help`\n"),
    ("--walk", 2, "figwasp: error: no option '--walk'; try `figwasp --help`\n"),
    ("run", 2, "PROGRAM"),
    ("run --walk funcs.wat", 2, "--walk"),
    ("run --fuel", 2, "--fuel"),
    ("run --fuel lots funcs.wat", 2, "'lots' is not a number"),
    ("run --timeout -1 funcs.wat", 2, "'-1' is not a positive number of seconds"),
    ("run --max-memory 1T funcs.wat", 2, "'1T' is not a number of bytes"),
    ("run --env FIGWASP_ABSENT funcs.wat", 2, "'FIGWASP_ABSENT' is not NAME=VALUE, and there is no variable of that name to pass on"),
    ("run --env = funcs.wat", 2, "'=' is not NAME=VALUE"),
    ("run --enable thread funcs.wat", 2, "did you mean threads?"),
    ("run --unknown-imports=ignore funcs.wat", 2, "invalid choice: 'ignore'"),
    ("run --listen 80 funcs.wat", 2, "'80' is not HOST:PORT"),
    ("run --listen 256.0.0.1:1 funcs.wat", 1, "--listen 256.0.0.1:1: "),
    ("run --dir absent exit0.wat", 1, "--dir absent: No such file or directory\n"),
    ("run --dir poem.txt exit0.wat", 1, "--dir poem.txt: Not a directory\n"),
    ("run --dir ::/x exit0.wat", 2, "'::/x' is not HOST"),
    ("run --stdin absent exit0.wat", 1, "--stdin absent: No such file or directory\n"),
    ("explain funcs.wat --stage ssa", 2, "a stage is shown of one FUNCTION"),
    ("explain funcs.wat add --stage x", 2, "invalid choice: 'x'"),
    ("wast", 2, "FILE"),
    ("wast --mode slow script.wast", 2, "invalid choice: 'slow'"),
    ("completion csh", 2, "invalid choice: 'csh'"),
    ("wat2wasm nothing.wat invalid.wat", 2, "invalid.wat"),
    # Files
    ("run absent.wasm", 1, "absent.wasm: No such file or directory\n"),
    ("run folder", 1, "folder: Is a directory\n"),
    ("run nothing.wat/x", 1, "nothing.wat/x: Not a directory\n"),
    ("wat2wasm nothing.wat -o folder", 1, "folder: Is a directory\n"),
    ("wat2wasm nothing.wat -o absent/x", 1, "absent/x: No such file or directory\n"),
    ("wat2wasm nothing.wat -o /dev/full", 1, "/dev/full: No space left on device\n"),
    ("wast absent.wast", 1, "absent.wast: No such file or directory\n"),
    ("wast folder", 1, "folder: no .wast files\n"),
    # Modules
    *((f"{command} {name}", 1, f"{name}: {said}") for command in ("run", "validate", "objdump", "wasm2wat", "explain", "wat2wasm", "stubs") for name, said in (
        ("empty.wasm", "unexpected end: the file is empty\n"), ("cut.wasm", ""), ("component.wasm", ""), ("image.png", "neither a WebAssembly binary nor text\n"),
    )),
    ("run magic.wasm", 1, "magic.wasm: unexpected end"),
    ("run version.wasm", 1, "version.wasm: unknown binary version"),
    ("run section.wasm", 1, "section.wasm: length out of bounds"),
    ("run count.wasm", 1, "count.wasm: "),
    ("run malformed.wat", 1, "malformed.wat:2:10: unknown operator i32.ad\n    (func (i32.ad)))\n           ^\n"),
    ("run poem.txt", 1, "poem.txt:1:1: "),
    ("run latin.wat", 1, "latin.wat:1:24: malformed UTF-8 encoding\n"),
    ("validate deep.wat", 1, "deep.wat:1:"),
    ("validate invalid.wat", 1, "invalid.wat: type mismatch"),
    ("wat2wasm invalid.wat", 1, "invalid.wat: type mismatch"),
    ("run lazy.wat", 1, "lazy.wat: type mismatch"),
    ("wast script.wast", 1, ""),
    ("wast broken.wast", 1, ""),
    ("explain funcs.wat absent", 1, 'funcs.wat: no function "absent"'),
    # Exports and imports
    ("run start_memory.wat", 1, "start_memory.wat: the export _start is a memory, not a function\n"),
    ("run start_takes.wat", 1, "start_takes.wat: the function _start is to take nothing, and its type is (i32) -> ()\n"),
    ("run init_memory.wat", 1, "init_memory.wat: the export _initialize is a memory, not a function\n"),
    ("run --invoke f init_memory.wat", 1, "init_memory.wat: the export _initialize is a memory, not a function\n"),
    ("run --invoke f init_takes.wat", 1, "init_takes.wat: the function _initialize is to take nothing"),
    ("run --invoke f init_tag.wat", 1, "init_tag.wat: the export _initialize is a tag, not a function\n"),
    ("run nothing.wat", 1, "nothing.wat: exports neither _start nor _initialize"),
    ("run imports.wat", 1, "imports.wat: unknown import: 2 imports have not been provided:\n  a.b (function () -> ())\n  a.c (function () -> ())\n"),
    ("run mismatch.wat", 1, "mismatch.wat: incompatible import type"),
    ("run --invoke absent funcs.wat", 1, "funcs.wat: no exported function 'absent'; there are zero, deep, add"),
    ("run --invoke memory funcs.wat", 1, "funcs.wat: the export 'memory' is a memory, not a function\n"),
    ("run --invoke add funcs.wat 1", 2, "add: 1 arguments given, 2 expected (i32 i32)"),
    ("run --invoke add funcs.wat 1 x", 2, "add: argument 2: 'x' is not of type i32"),
    ("run --invoke add funcs.wat 1 4294967296", 2, "add: argument 2: 4294967296 does not fit in i32"),
    ("run --invoke half funcs.wat one", 2, "half: argument 1: 'one' is not of type f32"),
    ("run --invoke ref funcs.wat 1", 2, "ref: argument 1: no externref can be given on the command line"),
    # How programs end
    ("run traps.wat", 134, "figwasp: trap: unreachable\n  wasm backtrace:\n"),
    ("run start_traps.wat", 134, "figwasp: trap: unreachable\n"),
    ("run --invoke zero funcs.wat", 134, "figwasp: trap: integer divide by zero\n"),
    ("run --invoke deep funcs.wat", 134, "figwasp: trap: call stack exhausted\n"),
    ("run --invoke peek funcs.wat", 134, "figwasp: trap: out of bounds memory access\n"),
    ("run --fuel 1000 --invoke deep funcs.wat", 134, "figwasp: trap: out of fuel\n"),
    ("run --max-memory 1M huge.wat", 1, "huge.wat: "),
    ("run table.wat", 1, "table.wat: "),
    ("run exit0.wat", 0, None),
    ("run exit3.wat", 3, None),
    ("run exit256.wat", 1, None),
    ("run exit-1.wat", 255, None),
]  # fmt: skip


def once(err: str, said: str) -> bool:
    """Say whether there is one error, and it says this."""
    return said in err and len([line for line in err.splitlines() if (line.startswith("figwasp") and "error: " in line) or "trap: " in line]) == 1


@pytest.mark.parametrize(("line", "status", "said"), CASES, ids=[case[0] for case in CASES])
def test_one_clear_error(folder: Path, line: str, status: int, said: str | None) -> None:
    ended, out, err = outcome(*line.split(), cwd=folder)
    assert ended == status, err
    assert "Traceback" not in err
    if said is None:
        assert err == ""
    elif not line.startswith("wast "):
        assert out == b""
        assert once(err, said), err


WRITERS = ["--version", "--help", "wast --help", "explain funcs.wat", "explain funcs.wat add", "objdump funcs.wat", "wasm2wat funcs.wat",
           "completion bash", "wast script.wast", "run --invoke add funcs.wat 1 2", "wat2wasm nothing.wat", "stubs funcs.wat"]  # fmt: skip

FORKS = """
import os, sys
from figwasp.cli.main import console
from figwasp.cli import completion, explain, objdump, run, stubs, wast, wasm2wat, wat2wasm
from figwasp.cli.running import execute
from figwasp.runtime.workers import ahead
ahead.possible = lambda: False
os.chdir(sys.argv[1])
for words in sys.argv[2:]:
    for place in ("closed", "full", "pipe"):
        print(words, place, file=sys.stderr, flush=True)
        pid = os.fork()
        if pid == 0:
            reader, writer = os.pipe()
            os.close(reader)
            if place == "closed":
                sys.stdout = None
                os.close(1)
            else:
                os.dup2(writer if place == "pipe" else os.open("/dev/full", os.O_WRONLY), 1)
            sys.argv[1:] = words.split()
            console()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=sys.stderr, flush=True)
"""


def test_output_that_goes_nowhere(folder: Path) -> None:
    """Every command that prints: its stdout closed, full, or a pipe that nobody reads."""
    command = [sys.executable, "-c", FORKS, str(folder), *WRITERS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True, timeout=HANG_GUARD)
    said = {
        "closed": ["figwasp: error: <stdout>: Bad file descriptor", "1"],
        "full": ["figwasp: error: <stdout>: No space left on device", "1"],
        "pipe": ["1"],
    }
    expected = [line for words in WRITERS for place, lines in said.items() for line in (f"{words} {place}", *lines)]
    assert done.stderr.splitlines() == expected
    assert done.stdout == ""


def test_names_that_the_terminal_has_no_letters_for(folder: Path) -> None:
    """A file name that is no UTF-8, and an export beyond ASCII, on a stdout of ASCII."""
    odd = os.path.join(os.fsencode(folder), b"\xff.wast")
    Path(os.fsdecode(odd)).write_text('(module (func (export "\u03bb") (result i32) (i32.const 1)))\n(assert_return (invoke "\u03bb") (i32.const 2))')
    ascii_only = {**environment(), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*figwasp_command("wast", "-v"), odd], capture_output=True, env=ascii_only, check=False, timeout=HANG_GUARD
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b'\\udcff.wast:2: (assert_return (invoke "\\u03bb") (i32.const 2))' in done.stdout
    os.unlink(odd)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(folder: Path) -> None:
    (folder / "secret.wat").write_text("(module)")
    (folder / "secret.wat").chmod(0)
    for command in ("run", "validate", "explain", "objdump"):
        assert outcome(command, "secret.wat", cwd=folder) == (1, b"", "figwasp: error: secret.wat: Permission denied\n")
