"""Tries whether the tests notice mistakes: `make mutants`, or `python -m tests.mutants.run --help`.

In: the rows of `table.py`. For each, one line of a copy of the project is changed and the tests of the row are run there. Out: a line
per mutant, and 1 as the exit status if the table is not as it should be:

    killed          the tests fail, crash or do not end in time: they notice
    survived        they pass: a test is missing, unless the row says why the change cannot be seen
    not applicable  they do not run here without the change either: the test data is missing
    error           they fail without the change, or cannot be collected with it, or the row is not up to date

The tests of a row are run once without any change first, since only tests that pass can notice anything.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tests.mutants.table import MUTANTS, SOURCE, Mutant, applied

ROOT: Final = Path(__file__).resolve().parents[2]
LIMIT: Final = 600
"""Seconds for the tests of one mutant, which take a tenth of that when nothing else is running."""
KILLED: Final = "killed"
SURVIVED: Final = "survived"
EXPECTED: Final = "survived, as it should"
NOT_APPLICABLE: Final = "not applicable"
ERROR: Final = "error"
GOOD: Final = (KILLED, EXPECTED, NOT_APPLICABLE)

_CACHES: Final = shutil.ignore_patterns("__pycache__")
_AT_THE_TOP: Final = shutil.ignore_patterns(".*", "build", "dist", "__pycache__")
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_PASSED: Final = re.compile(r"\b[1-9]\d* passed\b")
_OK: Final = 0
_FAILURES: Final = 1


def _not_copied(folder: str, names: list[str]) -> set[str]:
    """Return what of a folder is no part of the project."""
    return (_AT_THE_TOP if Path(folder) == ROOT else _CACHES)(folder, names)


class Copy:
    """A copy of the project in which tests are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT, folder, ignore=_not_copied, symlinks=True)
        # Nothing is kept of compiled sources: a change in the same second that leaves the size alone would not be seen.
        self.variables = {
            **os.environ,
            "FIGWASP_SHARED": os.environ.get("FIGWASP_SHARED") or str(ROOT.parent / "shared"),
            "PYTHONPATH": os.pathsep.join((str(folder / "src"), str(folder))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CI": "1",  # random tests try the same every time
        }
        self._check()

    def _check(self) -> None:
        """Make sure that tests import this copy."""
        words = [sys.executable, "-c", "import figwasp; print(figwasp.__file__)"]
        found = subprocess.run(words, cwd=self.folder, env=self.variables, stdout=subprocess.PIPE, check=True).stdout
        assert Path(os.fsdecode(found)).is_relative_to(self.folder), found

    def run(self, tests: str, limit: float) -> tuple[int | None, str]:
        """Run tests until the first one fails; return the exit status, None when they take too long, and what they write."""
        words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests.split()]
        with subprocess.Popen(
            words, cwd=self.folder, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        ) as process:
            try:
                output, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                return None, output.decode(errors="replace")
        return process.returncode, output.decode(errors="replace")


class Runner:
    """Tries mutants, in several threads, each with a copy of its own."""

    def __init__(self, folder: Path, jobs: int, limit: float) -> None:
        self.limit = limit
        self.jobs = jobs
        self.results: Counter[str] = Counter()
        self._copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(jobs):
            self._copies.put(Copy(folder / str(number)))
        self._without: dict[str, str] = {}
        self._locks = {mutant.tests: threading.Lock() for mutant in MUTANTS}

    def run(self, mutants: list[Mutant]) -> None:
        """Try mutants, and print a line for each."""
        with ThreadPoolExecutor(self.jobs) as pool:
            for line in pool.map(self._line, mutants):
                print(line, flush=True)

    def _line(self, mutant: Mutant) -> str:
        copy = self._copies.get()
        try:
            start = time.monotonic()
            result, how = self._try(copy, mutant)
            seconds = time.monotonic() - start
        finally:
            self._copies.put(copy)
        self.results[result] += 1
        return f"{mutant.name:32} {result:24} {seconds:6.1f} s  {how}"

    def _try(self, copy: Copy, mutant: Mutant) -> tuple[str, str]:
        """Return the result for a mutant, and some words on it."""
        missing = self._unusable(copy, mutant.tests)
        if missing:
            return (NOT_APPLICABLE if missing == NOT_APPLICABLE else ERROR), missing
        path = copy.folder / SOURCE / mutant.file
        original = path.read_text()
        try:
            path.write_text(applied(mutant, original))
            status, output = copy.run(mutant.tests, self.limit)
        except ValueError as problem:
            return ERROR, str(problem)
        finally:
            path.write_text(original)
        return _verdict(mutant, status, output)

    def _unusable(self, copy: Copy, tests: str) -> str:
        """Return why tests can notice nothing, or nothing when they can: they pass as the project is."""
        with self._locks[tests]:
            if tests not in self._without:
                status, output = copy.run(tests, self.limit)
                if status == _OK:
                    self._without[tests] = "" if _PASSED.search(output) else NOT_APPLICABLE
                else:
                    self._without[tests] = f"without the change {_first(output) or f'the status is {status}'}"
            return self._without[tests]


def _first(output: str) -> str:
    """Return the first test that has failed."""
    found = _FAILED.search(output)
    return found[1] if found else ""


def _verdict(mutant: Mutant, status: int | None, output: str) -> tuple[str, str]:
    if status == _OK:
        return (EXPECTED, mutant.survives) if mutant.survives else (SURVIVED, f"{mutant.tests}: {mutant.why}")
    if status is None or status < 0 or status == _FAILURES:
        how = _first(output) or ("no end in time" if status is None else f"crashed with {status}")
        return (ERROR, f"it is said to survive, but {how}") if mutant.survives else (KILLED, how)
    return ERROR, f"status {status}: {output[-500:]}"


def _chosen(only: list[str]) -> list[Mutant]:
    """Return the mutants of these names, or whose names begin so; all of them if there are none."""
    found = [mutant for mutant in MUTANTS if not only or any(mutant.name.startswith(name) for name in only)]
    if not found:
        sys.exit(f"no mutant is called {' or '.join(only)}; --list gives the names")
    return found


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description="Try whether the tests notice mistakes.")
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="one mutant, or those whose names begin so; may be repeated")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="how many at a time (1)")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help=f"for the tests of one mutant ({LIMIT})")
    parser.add_argument("--list", action="store_true", help="print the table and try nothing")
    options = parser.parse_args()
    mutants = _chosen(options.only)
    if options.list:
        for mutant in mutants:
            print(f"{mutant.name:32} {mutant.file}: {mutant.why}")
        return 0
    with tempfile.TemporaryDirectory(prefix="figwasp-mutants-") as folder:
        runner = Runner(Path(folder).resolve(), options.jobs, options.limit)
        runner.run(mutants)
    print(", ".join(f"{count} {result}" for result, count in sorted(runner.results.items())))
    return 0 if set(runner.results) <= set(GOOD) else 1


if __name__ == "__main__":
    sys.exit(main())
