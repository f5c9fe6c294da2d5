"""What the tests of the runtime share: modules from text, scripts in a process of their own, figures of this process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import figwasp
from tests.environment import HANG_GUARD, WARNINGS, environment


def load(text: str, imports: Mapping[str, Any] | None = None) -> figwasp.Instance:
    """Instantiate a module written as text."""
    return figwasp.load(figwasp.wat(text), imports)


def host(**functions: Any) -> dict[str, dict[str, Any]]:
    """Give imports of the one module "host"."""
    return {"host": functions}


def run_script(code: str, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, with warnings as errors, and return what it printed and its exit status."""
    return subprocess.run(
        [sys.executable, *WARNINGS, "-c", textwrap.dedent(code), *words],
        capture_output=True, text=True, env=environment(**(env or {})), timeout=HANG_GUARD, check=False,
    )  # fmt: skip


def check_script(code: str, *words: str, env: Mapping[str, str] | None = None) -> str:
    """Run Python code in a process of its own, which must end well and silently; return what it printed."""
    done = run_script(code, *words, env=env)
    assert (done.returncode, done.stderr) == (0, ""), f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def resident_bytes() -> int:
    """Give the resident size of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def count_mappings() -> int:
    """Give the number of mappings of this process."""
    return len(Path("/proc/self/maps").read_text().splitlines())


def settle() -> None:
    """Collect garbage and let pending calls run."""
    gc.collect()
    for _ in range(10):
        pass
