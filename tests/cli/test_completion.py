"""`figwasp completion`: scripts made of the parsers; bash's is tried out in bash."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from figwasp.cli.completion import SHELLS
from figwasp.cli.main import COMMANDS
from tests.cli.commands import outcome
from tests.environment import environment
from tests.tools import tool

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
_figwasp
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "figwasp.bash"
    path.write_bytes(outcome("completion", "bash")[1])
    return path


@pytest.fixture(scope="module")
def with_figwasp(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which shells find a command `figwasp`, installed or not."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "figwasp"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m figwasp "$@"\n')
    command.chmod(0o755)
    return environment(PATH=f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("w", "wat2wasm wasm2wat wast"),
        ("--v", "--version"),
        ("run --ti", "--timeout"),
        ("run --env --", ""),
        ("run --env A=1 --max", "--max-memory"),
        ("run --env-inherit --max", "--max-memory"),
        ("run --env A = 1 --max", "--max-memory"),
        ("run --env = A = 1 --max", "--max-memory"),
        ("run --dir a :: /b : ro --listen h : 80 --max", "--max-memory"),
        ("run --env-inherit = A --max", "--max-memory"),
        ("run --env A = 1 p.wasm --max", ""),
        ("run --enable = th", "threads"),
        ("run --unknown-imports =", "trap"),
        ("run --unknown-imports ", "trap"),
        ("run --enable th", "threads"),
        ("run p.wasm --ti", ""),
        ("run -- p.wasm --ti", ""),
        ("completion ", "bash zsh fish"),
        ("wast --mo", "--mode"),
        ("explain --stage ss", "ssa"),
        ("walk --", ""),
    ],
)
def test_bash(script: Path, words: str, offered: str) -> None:
    """Words as bash takes them apart, at spaces, = and :."""
    bash = tool("bash")
    done = subprocess.run(
        [bash, "--norc", "-c", COMPLETE, "bash", str(script), "figwasp", *words.split(" ")], capture_output=True, text=True, check=True
    )
    assert (done.stdout.split(), done.stderr) == (offered.split(), "")


def test_bash_offers_folders(script: Path, tmp_path: Path) -> None:
    bash = tool("bash")
    (tmp_path / "folder of mine").mkdir()
    (tmp_path / "file").touch()
    for option, offered in (("--dir", ["folder of mine"]), ("--stdin", ["file", "folder of mine"])):
        command = [bash, "--norc", "-c", COMPLETE, "bash", str(script), "figwasp", "run", option, "f"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert sorted(done.stdout.splitlines()) == offered


HOSTILE = "$(touch escaped)`touch escaped`;touch escaped"
NAMED = f"""(module (func $first (export "first-export")) (func $second) (func $twice) (func (export "two words"))
    (func (export "{HOSTILE}")) (func (export "not\\nprintable")))"""


def test_names(tmp_path: Path) -> None:
    (tmp_path / "m.wat").write_text(NAMED)
    status, told, err = outcome("explain", "--names", str(tmp_path / "m.wat"))
    assert (status, err) == (0, "")
    assert told.decode().splitlines() == ["first-export", "two words", HOSTILE, "first", "second", "twice"]
    assert outcome("explain", "--names", str(tmp_path / "m.wat"), "first")[0] == 2


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["m.wat", "f"], ["first-export", "first"]),
        (["--stage", "ssa", "m.wat", "tw"], ["two\\ words", "twice"]),
        (["m.wat", "$"], [HOSTILE.translate({ord(char): f"\\{char}" for char in "$()`; "})]),
        (["'m.wat'", "se"], ["second"]),
        (["$(touch\\ escaped)m.wat", ""], []),
        (["absent.wat", "f"], []),
    ],
)
def test_bash_offers_functions(
    script: Path, tmp_path: Path, with_figwasp: dict[str, str], words: list[str], offered: list[str]
) -> None:
    """Nothing that a module or a user names is evaluated."""
    (tmp_path / "m.wat").write_text(NAMED)
    command = [tool("bash"), "--norc", "-c", COMPLETE, "bash", str(script), "figwasp", "explain", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=with_figwasp)
    assert ([line for line in done.stdout.splitlines() if line], done.stderr) == (offered, "")
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["m.wat"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_option_is_in_it(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the help of a command lists, the script has."""
    monkeypatch.setenv("COLUMNS", "1000")  # lest names be broken at their hyphens
    status, script, err = outcome("completion", shell)
    assert (status, err) == (0, "")
    text = script.decode()
    for command in COMMANDS:
        assert command in text
        _, told, _ = outcome(command, "--help")
        long = {word.strip("[],") for word in told.decode().split() if word.startswith("--") and word.strip("[],-").replace("-", "").isalpha()}
        assert "--help" in long
        for option in long:
            assert (option if shell != "fish" else f"-l {option[2:]} ") in text, (command, option)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_it(shell: str) -> None:
    done = subprocess.run([tool(shell), "-n"], input=outcome("completion", shell)[1], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("words", [[], ["csh"], ["bash", "more"]])
def test_wrong_usage(words: list[str]) -> None:
    status, out, err = outcome("completion", *words)
    assert (status, out) == (2, b"")
    assert "error: " in err


def test_every_command_has_help() -> None:
    for command in COMMANDS:
        status, told, err = outcome(command, "--help")
        assert (status, err) == (0, "")
        assert told.startswith(f"usage: figwasp {command} ".encode())


IN_ZSH = """
autoload -U compinit && compinit -u -D
source "$1"
_arguments() { print -rl -- "$@" }
words=(figwasp run x); CURRENT=3
_figwasp
"""
FUNCTIONS_IN_ZSH = """
autoload -U compinit && compinit -u -D
source "$1"
compadd() { print -rl -- "${(@P)2}" }
line=(m.wat)
_figwasp_functions
"""


def test_zsh_knows_both_forms_of_an_option(tmp_path: Path) -> None:
    """`--enable NAME` and `--enable=NAME`; after the program there are no options."""
    zsh = tool("zsh")
    (tmp_path / "script").write_bytes(outcome("completion", "zsh")[1])
    done = subprocess.run([zsh, "-f", "-c", IN_ZSH, "zsh", str(tmp_path / "script")], capture_output=True, text=True, check=True, cwd=tmp_path)
    given = done.stdout.splitlines()
    assert given[:3] == ["-S", "-A", "-*"]
    forms = {word.partition("[")[0] for word in given}
    assert {"*--enable=", "*--dir=", "*--env-inherit=-", "*--perf-map", "*-h"} <= forms


def test_zsh_offers_functions(tmp_path: Path, with_figwasp: dict[str, str]) -> None:
    (tmp_path / "script").write_bytes(outcome("completion", "zsh")[1])
    (tmp_path / "m.wat").write_text(NAMED)
    command = [tool("zsh"), "-f", "-c", FUNCTIONS_IN_ZSH, "zsh", "script"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=with_figwasp)
    assert done.stdout.splitlines() == ["first-export", "two words", HOSTILE, "first", "second", "twice"]


def test_fish_offers_functions(tmp_path: Path, with_figwasp: dict[str, str]) -> None:
    (tmp_path / "script").write_bytes(outcome("completion", "fish")[1])
    (tmp_path / "m.wat").write_text(NAMED)
    command = [tool("fish"), "--no-config", "-c", "source script; complete -C 'figwasp explain m.wat f'"]
    home = {"HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=with_figwasp | home)
    assert {"first-export", "first"} <= set(done.stdout.split())
