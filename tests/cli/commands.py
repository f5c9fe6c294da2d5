"""What the tests of the commands on modules share: sources, and a way to run a command without a process of its own."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from figwasp.cli.main import main

ADD = '(module $calc (func $add (export "add") (param $a i32) (param $b i32) (result i32) (i32.add (local.get $a) (local.get $b))))'
SHARED_MEMORY = "(module (memory 1 1 shared))"
INVALID = "(module (func $bad (result i32) (i64.const 0)))"
MALFORMED = "(module\n  (func (i32.ad)))"


@contextlib.contextmanager
def standard_input(data: bytes) -> Iterator[None]:
    """Have the process read these bytes for a while."""
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data))
    try:
        yield
    finally:
        sys.stdin = before


def outcome(*words: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> tuple[int, bytes, str]:
    """Run a command; return exit status, output, and what it said is wrong."""
    out = io.BytesIO()
    err = io.StringIO()
    stdout = io.TextIOWrapper(out, write_through=True)
    with (
        contextlib.chdir(cwd or "."),
        standard_input(stdin),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(err),
    ):
        try:
            status = main([str(word) for word in words])
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else 0
    return status, out.getvalue(), err.getvalue()
