"""`figwasp doctor`: what it says where everything works, and where something does not."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest

import figwasp
from figwasp.cli import doctor
from figwasp.cli.parts import selftest
from figwasp.cli.parts.selftest import TESTS
from figwasp.errors import Unsupported
from figwasp.runtime.platform import interpreter
from tests.cli.commands import outcome
from tests.environment import environment


def trials(out: str) -> dict[str, str]:
    """Return what is said of each part that was tried."""
    return dict(re.findall(r"(?m)^(.*?) \.+ (.*)$", out.partition("\n\n")[2]))


def test_all_is_well() -> None:
    status, out, err = outcome("doctor")
    told = trials(out.decode())
    assert (status, err, list(told)) == (0, "", list(TESTS)), out
    assert all(text.startswith("ok, ") for text in told.values())
    assert f"figwasp{' ' * 22}{figwasp.__version__}, in " in out.decode()
    assert "as compiled code needs" in out.decode()


def test_little_address_space() -> None:
    """It says what follows from a limit, and still tries everything."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    command = [sys.executable, "-m", "figwasp", "doctor"]
    done = subprocess.run(command, env=environment(), preexec_fn=limit, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "limited to 3072 MiB (ulimit -v): memories have checks" in done.stdout
    assert trials(done.stdout)["memory with guard pages"].endswith("(not used: 8 GiB of address space for each memory cannot be had here, or FIGWASP_MEMORY says so)")


def test_a_part_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are tried all the same, and the status says that not all is well."""

    def fail() -> str:
        raise OSError("no such thing here")

    monkeypatch.setitem(TESTS, "fuel", fail)
    def answer() -> str:
        raise selftest.Wrong("1, not 2")

    monkeypatch.setitem(TESTS, "traps", answer)
    status, out, err = outcome("doctor")
    told = trials(out.decode())
    assert (status, err, list(told)) == (1, "", list(TESTS))
    assert told["fuel"] == "FAILED: OSError: no such thing here"
    assert told["traps"] == "FAILED: Wrong: 1, not 2"
    assert told["WASI programs"].startswith("ok, ")


def test_a_platform_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs it is not tried."""

    def refuse() -> None:
        raise Unsupported("running WebAssembly needs another machine")

    monkeypatch.setattr(selftest, "check", refuse)
    status, out, err = outcome("doctor")
    told = trials(out.decode())
    assert (status, err, list(told)) == (1, "", ["translation and validation", "this platform"])
    assert told["this platform"] == "FAILED: Unsupported: running WebAssembly needs another machine"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layouts that are not as known, a processor without an instruction, and what Linux forbids."""
    files = {
        "/proc/cpuinfo": "model name : Old\nflags : fpu sse2 popcnt\n",
        "/proc/self/status": "Name: x\nSeccomp:\t2\n",
        "/proc/sys/vm/memfd_noexec": "2\n",
        "/sys/fs/selinux/enforce": "1",
    }
    monkeypatch.setattr(doctor, "_read", lambda path: files.get(path, ""))
    strange = [row._replace(probe=lambda: False) if row.name == "floats" else row for row in interpreter.ASSUMPTIONS]
    monkeypatch.setattr(interpreter, "ASSUMPTIONS", tuple(strange))
    monkeypatch.setattr(selftest, "TESTS", {})
    status, out, err = outcome("doctor")
    assert (status, err) == (1, "")
    for part in ("lacks SSE4.2", "seccomp filter", "memfd_noexec = 2", "execmem", "not as known: floats; stubs call the C API"):
        assert part in out.decode()


def test_a_version_that_is_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 16, 0, "alpha", 1))
    monkeypatch.setattr(selftest, "TESTS", {})
    status, out, _ = outcome("doctor")
    assert (status, "newer than this figwasp" in out.decode()) == (0, True)


def test_it_takes_no_words() -> None:
    status, out, err = outcome("doctor", "me")
    assert (status, out) == (2, b"")
    assert "unrecognized arguments: me" in err
