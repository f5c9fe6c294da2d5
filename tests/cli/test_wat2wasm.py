"""`figwasp wat2wasm`: what it writes and where, and that it leaves nothing behind when it fails."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

import figwasp
from tests.cli.commands import ADD, INVALID, MALFORMED, SHARED_MEMORY, outcome
from tests.cli.process import figwasp_command
from tests.environment import environment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "add.wat").write_text(ADD)
    return tmp_path


def test_to_a_file(folder: Path) -> None:
    assert outcome("wat2wasm", "add.wat", "-o", "add.wasm", cwd=folder) == (0, b"", "")
    assert (folder / "add.wasm").read_bytes() == figwasp.wat(ADD)
    assert sorted(os.listdir(folder)) == ["add.wasm", "add.wat"]


@pytest.mark.parametrize("words", [[], ["-"], ["-o", "-"], ["-", "--output=-"]])
def test_standard_streams(words: list[str]) -> None:
    assert outcome("wat2wasm", *words, stdin=ADD.encode()) == (0, figwasp.wat(ADD), "")


def test_a_binary_is_passed_on() -> None:
    data = figwasp.wat(ADD)
    assert outcome("wat2wasm", stdin=data) == (0, data, "")


@pytest.mark.parametrize("source", [MALFORMED, INVALID, SHARED_MEMORY, "\0"])
def test_nothing_is_left_of_a_failure(folder: Path, source: str) -> None:
    (folder / "bad.wat").write_text(source)
    (folder / "old.wasm").write_bytes(b"old")
    for target in ("new.wasm", "old.wasm"):
        status, out, err = outcome("wat2wasm", "bad.wat", "-o", target, cwd=folder)
        assert (status, out) == (1, b"")
        assert err.startswith("figwasp: error: bad.wat:")
        assert err.count("figwasp: error: ") == 1
    assert sorted(os.listdir(folder)) == ["add.wat", "bad.wat", "old.wasm"]
    assert (folder / "old.wasm").read_bytes() == b"old"


def test_modules_that_are_not_valid_can_be_had(folder: Path) -> None:
    assert outcome("wat2wasm", "--no-check", stdin=INVALID.encode()) == (0, figwasp.wat(INVALID), "")
    shared = figwasp.wat(SHARED_MEMORY)
    assert outcome("wat2wasm", "--enable", "threads", stdin=SHARED_MEMORY.encode()) == (0, shared, "")


def test_where_it_cannot_be_written(folder: Path) -> None:
    status, out, err = outcome("wat2wasm", "add.wat", "-o", "none/add.wasm", cwd=folder)
    assert (status, out, err) == (1, b"", "figwasp: error: none/add.wasm: No such file or directory\n")
    status, out, err = outcome("wat2wasm", "add.wat", "-o", ".", cwd=folder)
    assert (status, out, err) == (1, b"", "figwasp: error: .: Is a directory\n")
    status, out, err = outcome("wat2wasm", "none.wat", cwd=folder)
    assert (status, out, err) == (1, b"", "figwasp: error: none.wat: No such file or directory\n")


def test_what_is_replaced_keeps_its_permissions_and_links(folder: Path) -> None:
    target = folder / "target.wasm"
    target.write_bytes(b"old")
    target.chmod(0o640)
    (folder / "link.wasm").symlink_to(target)
    assert outcome("wat2wasm", "add.wat", "-o", "link.wasm", cwd=folder)[0] == 0
    assert (folder / "link.wasm").is_symlink()
    assert target.read_bytes() == figwasp.wat(ADD)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_device_is_written_and_not_replaced(folder: Path) -> None:
    assert outcome("wat2wasm", "add.wat", "-o", os.devnull, cwd=folder) == (0, b"", "")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(figwasp_command("wat2wasm", "add.wat", "-o", "pipe"), cwd=folder, env=environment()) as process:
        assert pipe.read_bytes() == figwasp.wat(ADD)
    assert process.returncode == 0


def test_no_binary_goes_to_a_terminal(folder: Path) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", 0), os.fdopen(theirs, "wb", 0) as terminal:
        command = figwasp_command("wat2wasm", "add.wat")
        done = subprocess.run(command, cwd=folder, env=environment(), stdout=terminal, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        b"figwasp: error: the standard output is a terminal, which no binary should go to; name a file with -o\n"
    )


def test_usage() -> None:
    assert outcome("wat2wasm", "--help")[0] == 0
    status, _, err = outcome("wat2wasm", "a.wat", "b.wat")
    assert status == 2
    assert err.startswith("usage: figwasp wat2wasm")
    assert outcome("wat2wasm", "--enable", "nothing")[0] == 2
