"""Floor 7: `figwasp doctor`.

In: the words after `doctor`. Out: the exit status, 1 when a part of the runtime does not work here; on standard output, what a
report of a fault should say about the machine and the interpreter, and how each part did. The name of a part is written before it
is tried, so that a crash tells which it was.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from figwasp import __version__
from figwasp.cli.options import Command
from figwasp.cli.streams import print_text
from figwasp.errors import Unsupported

__all__ = ["COMMAND", "main"]

COMMAND: Final = Command(
    "doctor",
    "Say what this machine and this Python are, which of their features figwasp uses, what is missing and why, and try each part "
    "of the runtime. Put the output into reports of faults.",
    [],
    {},
    "The exit status is 1 when a part does not work.",
)

_NEEDED: Final = {"sse4_2": "SSE4.2", "popcnt": "POPCNT"}
"""Flags of the processor that compiled code relies on."""
_NAME: Final = 28  # columns for the name of a part
_SECCOMP: Final = {"0": "none", "1": "strict", "2": "filter"}


def main(words: list[str]) -> int:
    """Print the report and return the exit status."""
    COMMAND.read(words)
    report = _Report()
    for piece in report.lines():
        if print_text([piece]):  # piece by piece: what follows may crash, or take long
            return 1
    return int(report.failed)


class _Report:
    """The report, as far as it has been made.

    Attributes:
        failed: whether something is missing or did not work.
    """

    def __init__(self) -> None:
        self.failed = False

    def lines(self) -> Iterator[str]:
        """Yield the pieces of the report, each when it is known."""
        for name, text in _facts():
            yield _row(name, text)
        yield from self._processor()
        yield from self._interpreter()
        yield "\n"
        yield from self._trials()

    def _processor(self) -> Iterator[str]:
        model, flags = _processor_flags()
        missing = [shown for flag, shown in _NEEDED.items() if flags and flag not in flags]
        self.failed |= bool(missing)
        has = "unknown" if not flags else f"lacks {' and '.join(missing)}" if missing else f"has {', '.join(_NEEDED.values())}"
        yield _row("processor", f"{model}, {os.cpu_count()} of them; {has}, as compiled code needs")
        try:
            from figwasp.runtime.platform.processor import machine
        except Unsupported:
            return
        target = machine()
        unused = ", ".join(name for name in target.known_features if name not in target.features)
        used = ", ".join(target.features) or "nothing more"
        yield _row("", f"code uses {used}{f' (not {unused})' if unused else ''}")

    def _interpreter(self) -> Iterator[str]:
        """Yield what is known of the insides of the interpreter."""
        try:
            from figwasp.runtime.platform import interpreter
        except (Unsupported, ImportError) as error:
            self.failed = True
            yield _row("insides of Python", str(error))
            return
        known = [row for row in interpreter.ASSUMPTIONS if row.is_for_this_version()]
        good = [row.name for row in known if row.holds()]
        yield _row("insides of Python", f"as known: {', '.join(good) or 'nothing'}")
        for row in known:
            if row.name not in good:
                yield _row("", f"not as known: {row.name}; {row.otherwise}")
        if sys.version_info[:2] > interpreter.NEWEST:
            yield _row("", "this version is newer than this figwasp: stubs call the C API, which is slower")

    def _trials(self) -> Iterator[str]:
        """Try the parts; what needs the platform is left out where it is refused."""
        from figwasp.cli.parts.selftest import TESTS

        for name, trial in TESTS.items():
            yield f"{name + ' ':.<{_NAME}} "
            began = time.perf_counter()
            try:
                remark = trial()
            except Exception as error:  # whatever it is, it is what the report is about
                self.failed = True
                yield f"FAILED: {type(error).__name__}: {error}\n"
                if isinstance(error, Unsupported):
                    return
            else:
                spent = (time.perf_counter() - began) * 1000
                yield f"ok, {spent:.1f} ms{f' ({remark})' if remark else ''}\n"


def _row(name: str, text: str) -> str:
    return f"{name:<{_NAME}} {text}\n"


def _facts() -> Iterator[tuple[str, str]]:
    """Yield what is there, name and text."""
    yield "figwasp", f"{__version__}, in {Path(__file__).parents[1]}"
    build = "" if not hasattr(sys, "gettotalrefcount") else ", a debug build"
    yield "Python", f"{platform.python_implementation()} {platform.python_version()}{build}, {sys.executable}"
    yield "", f"built by {platform.python_compiler()}, {' '.join(platform.python_build())}"
    libc = " ".join(platform.libc_ver()).strip() or "unknown C library"
    yield "system", f"{platform.system()} {platform.release()} on {platform.machine()}, {libc}"
    yield "address space", _address_space()
    yield from _restrictions()
    given = {name: value for name, value in sorted(os.environ.items()) if name.startswith("FIGWASP_")}
    if given:
        yield "environment", " ".join(f"{name}={value}" for name, value in given.items())


def _address_space() -> str:
    """Say what a process may map (ulimit -v), and what follows from it."""
    try:
        import resource
    except ImportError:
        return "unknown"
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return "unlimited"
    return f"limited to {limit >> 20} MiB (ulimit -v): memories have checks where 8 GiB for each cannot be had, which is slower"


def _restrictions() -> Iterator[tuple[str, str]]:
    """Yield what Linux forbids this process, as far as it says."""
    status = _read("/proc/self/status")
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "Seccomp" and value.strip() != "0":
            yield "system calls", f"restricted (seccomp {_SECCOMP.get(value.strip(), value.strip())})"
    if _read("/proc/sys/vm/memfd_noexec").strip() == "2":
        yield "executable memory", "memfd_create makes none (vm.memfd_noexec = 2); figwasp needs it"
    if _read("/sys/fs/selinux/enforce").strip() == "1":
        yield "SELinux", "enforcing; executable memory needs the permission execmem"
    mappings = _read("/proc/sys/vm/max_map_count").strip()
    if mappings:
        yield "mappings", f"at most {mappings} for a process (vm.max_map_count); an instance with memory takes two or three"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _processor_flags() -> tuple[str, frozenset[str]]:
    """Return the name of the processor and its flags, as Linux has them."""
    found: dict[str, str] = {}
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found.get("model name") or platform.processor() or platform.machine(), frozenset(found.get("flags", "").split())
