"""`figwasp run` leaves no process behind: the one that compiles ahead is gone when the command is, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import figwasp
from tests.cli.process import figwasp_command
from tests.environment import HANG_GUARD, environment
from tests.wasi.test_run import HELLO, LOOP

EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: nothing compiles ahead")


def members(session: int) -> list[tuple[int, str]]:
    """Return the processes of a session with their states, those that nobody has waited for among them."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            text = Path("/proc", entry, "stat").read_text() if entry.isdigit() else ""
        except OSError:  # it has just ended
            continue
        if text:
            state, _parent, _group, its_session = text.rpartition(")")[2].split()[:4]
            if int(its_session) == session:
                found.append((int(entry), state))
    return found


@pytest.mark.parametrize(
    ("then", "words", "number", "status"),
    [
        ("", [], 0, 0),
        ("(call $exit (i32.const 3))", [], 0, 3),
        ("unreachable", [], 0, 134),
        (LOOP, ["--timeout", "0.5"], 0, 124),
        (LOOP, [], signal.SIGINT, 130),
        (LOOP, [], signal.SIGTERM, -signal.SIGTERM),
    ],
    ids=["return", "proc_exit", "trap", "timeout", "ctrl-c", "sigterm"],
)
def test_nothing_is_left(tmp_path: Path, then: str, words: list[str], number: int, status: int) -> None:
    program = tmp_path / "program.wasm"
    text = HELLO.replace("(memory", EXIT + "(memory", 1) % then
    program.write_bytes(figwasp.wat(text))
    command = figwasp_command("run", *words, str(program))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(FIGWASP_TIER="optimize"), start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() in (b"hello\n", b"" if words else b"hello\n")
        if number:
            assert len(members(process.pid)) == 2
            process.send_signal(number)
        assert process.wait(HANG_GUARD) == status
        left = members(process.pid)
        if number == signal.SIGTERM:  # nobody could wait for it, but the system ends it, too
            until = time.monotonic() + HANG_GUARD
            while any(state not in "ZX" for _, state in left) and time.monotonic() < until:
                time.sleep(0.01)
                left = members(process.pid)
            left = [item for item in left if item[1] not in "ZX"]
        assert left == []
