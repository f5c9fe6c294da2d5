"""Platforms that cannot run compiled code: reading, validating, printing and explaining work, and running says what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.runtime.support import check_script, run_script

POSE: Final = """
import os, sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in HIDDEN:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hide())
"""
UNIX: Final = ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty")

PLATFORMS: Final = {
    "win32": (UNIX, "sys.platform = 'win32'; del os.uname", "win32"),
    "darwin": ((), "sys.platform = 'darwin'", "darwin"),
    "aarch64": ((), "uname = os.uname(); os.uname = lambda: os.uname_result((*uname[:4], 'aarch64'))", "aarch64"),
    "pypy": ((), "import ctypes; del ctypes.pythonapi; sys.implementation.name = 'pypy'", "pypy"),
    "free-threaded": ((), "sys.abiflags = 't'", "free-threaded"),
    "no ctypes": (("ctypes", "_ctypes"), "", "ctypes"),
}
"""Name -> modules that are not there, what else is different, and the word by which the error names it."""

ADD: Final = (
    '(module (import "e" "f" (func)) (memory 1)'
    ' (func $add (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'
)

USE: Final = f"ADD = {ADD!r}\n" + """
import contextlib, io
import figwasp

text = ADD
data = figwasp.wat(text)
module = figwasp.Module(data)
assert [item.name for item in module.exports] == ["add"]
surrogate = b"\\0asm\\1\\0\\0\\0\\0\\4\\3\\xed\\xa0\\x80"
for broken, kind in ((data[:-1], figwasp.Malformed), (surrogate, figwasp.Malformed), (data.replace(b"\x6a", b"\x7c"), figwasp.Invalid)):
    try:
        figwasp.Module(broken)
    except kind:
        pass
    else:
        raise SystemExit("no error")
for run in (lambda: figwasp.load(module, {"e": {"f": print}}), lambda: figwasp.Memory(1), lambda: figwasp.Table("funcref", 1),
            lambda: figwasp.Global("i32", 1), lambda: figwasp.run([PATH])):
    try:
        run()
    except figwasp.Unsupported as error:
        assert WORD in str(error), error
    else:
        raise SystemExit("no error")

from figwasp.explain import explain
shown = explain(module, 1)
assert "i32_add" in shown.stage("ssa") and "add" in shown.stage("code") and WORD in shown.stage("entry"), shown
assert ("sub rsp" in shown.stage("baseline")) != ("(none: no compiler for " in shown.stage("baseline")), shown
assert "times" in str(shown)

from figwasp.cli.main import main
with open(PATH, "wb") as file:
    file.write(data)
for words, status, part in ((["validate", PATH], 0, ""), (["wasm2wat", PATH], 0, "i32.add"), (["objdump", PATH], 0, "Exports"),
                            (["explain", PATH], 0, "export"), (["run", PATH], 1, WORD)):
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        assert main(words) == status, (words, out.buffer.getvalue().decode())
    assert part in out.buffer.getvalue().decode(), (words, out.buffer.getvalue().decode())
"""

COMMAND: Final = """
from figwasp.cli.main import console
sys.argv[0] = "figwasp"
console()
"""


@pytest.mark.parametrize("name", PLATFORMS)
def test_what_works_where_nothing_can_run(name: str, tmp_path: Path) -> None:
    hidden, pose, word = PLATFORMS[name]
    check_script(f"HIDDEN, WORD, PATH = {hidden!r}, {word!r}, {str(tmp_path / 'add.wasm')!r}\n{POSE}{pose}\n{USE}")


@pytest.mark.parametrize("name", PLATFORMS)
def test_commands_where_nothing_can_run(name: str, tmp_path: Path) -> None:
    """A command that is its process does all but run modules."""
    hidden, pose, word = PLATFORMS[name]
    path = tmp_path / "add.wat"
    path.write_text(ADD)
    script = f"HIDDEN = {hidden!r}\n{POSE}{pose}\n{COMMAND}"
    assert "i32.add" in check_script(script, "wasm2wat", str(path))
    assert check_script(script, "explain", str(path), "1", "--stage", "code").count("add ") == 1
    refused = run_script(script, "run", str(path))
    assert refused.returncode == 1 and refused.stderr.startswith("figwasp: error: running WebAssembly needs ") and word in refused.stderr
