"""Runs the tests on every version of CPython: `make test-pythons`, or `python -m tests.pythons.run --help`.

In: versions, and words for pytest. Out: what pytest says for each, a table at the end, and 1 as the exit status if tests failed or an
interpreter could not be had.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.pythons.debian import SUITE, Debian, Unobtainable
from tests.pythons.found import VERSIONS, Interpreter, newest_other, on_machine
from tests.pythons.suites import Outcome, environment, run

NEWEST: Final = "newest"
MIRROR: Final = "FIGWASP_DEBIAN_MIRROR"
_ABOUT: Final = """Run the tests on other versions of CPython. An interpreter is looked for on PATH and below pyenv's versions. One that
is not there is fetched from Debian, and kept, as are the virtual environments with the packages that tests need."""
_AFTER: Final = """What follows -- goes to pytest: python -m tests.pythons.run 3.13 3.15 -- -n 2 tests/api"""


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "figwasp" / "pythons"


def arguments(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options, and what is for pytest."""
    ours, separator, theirs = list(words), "--" in words, []
    if separator:
        at = ours.index("--")
        ours, theirs = ours[:at], ours[at + 1 :]
    parser = argparse.ArgumentParser(prog="python -m tests.pythons.run", description=_ABOUT, epilog=_AFTER)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help=f"versions, {' '.join(VERSIONS)} if none is given; or {NEWEST!r}, "
                        "the newest of the machine that is not the one this runs on, with nothing fetched and no complaint if there is none")  # fmt: skip
    parser.add_argument("--folder", type=Path, default=_cache(), help="where interpreters and environments are kept (%(default)s)")
    parser.add_argument("--no-fetch", action="store_true", help="fetch no interpreter")
    parser.add_argument("--missing-ok", action="store_true", help="an interpreter that cannot be had is no failure")
    parser.add_argument("--suite", default=SUITE, help="Debian's suite to fetch from (%(default)s)")
    parser.add_argument("--mirror", default=os.environ.get(MIRROR), help=f"address of a mirror of Debian ({MIRROR}, or else the one that apt uses)")
    options = parser.parse_args(ours)
    if unknown := [name for name in options.versions if name not in (*VERSIONS, NEWEST)]:
        parser.error(f"{unknown[0]!r} is not one of {' '.join(VERSIONS)} {NEWEST}")
    if NEWEST in options.versions and len(options.versions) > 1:
        parser.error(f"{NEWEST!r} stands alone")
    options.folder = options.folder.absolute()  # interpreters are told where they lie
    return options, theirs


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep others from making interpreters and environments in a folder meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"-- {text}", flush=True)


def interpreter(version: str, debian: Debian | None) -> Interpreter:
    """Return an interpreter of the machine, or one of Debian.

    Raises:
        Unobtainable: There is none.
    """
    if found := on_machine(version):
        return found
    if debian is None:
        raise Unobtainable("not on PATH and not below pyenv's versions, and none is to be fetched")
    _say(f"{version} is not on this machine: Debian's {debian.suite}")
    return debian.interpreter(version)


def on_version(version: str, options: argparse.Namespace, debian: Debian | None, words: Sequence[str]) -> Outcome | str:
    """Run the tests on a version, or say why they could not be run."""
    try:
        with alone(options.folder):
            using = interpreter(version, debian)
            _say(f"{version} is {using.path} ({using.build})")
            python = environment(using, options.folder)
    except Unobtainable as reason:
        _say(f"{version} cannot be had: {reason}")
        return str(reason)
    return run(python, words)


def table(outcomes: dict[str, Outcome | str]) -> str:
    """Return what became of each version, a line for each."""
    lines = [f"{'version':<10}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    for version, outcome in outcomes.items():
        if isinstance(outcome, str):
            lines.append(f"{version:<10}cannot be had: {' '.join(outcome.split())}")
            continue
        end = "" if outcome.good or outcome.failed else f"   pytest ended with {outcome.status}"
        lines.append(f"{version:<10}{outcome.passed:>8}{outcome.failed:>8}{outcome.skipped:>9}{outcome.seconds:>9.0f}{end}")
    return "\n".join(lines)


def fine(outcomes: dict[str, Outcome | str], missing_ok: bool) -> bool:
    """Return whether every suite passed, and every interpreter was there unless that does not matter."""
    return all(missing_ok if isinstance(outcome, str) else outcome.good for outcome in outcomes.values())


def main(words: Sequence[str]) -> int:
    """Run the tests on every version that is asked for."""
    options, theirs = arguments(words)
    versions = options.versions or list(VERSIONS)
    if versions == [NEWEST]:
        found = newest_other()
        if found is None:
            _say("this machine has no other CPython from 3.11 on: nothing is run")
            return 0
        versions = [found.minor]
    debian = None if options.no_fetch or options.versions == [NEWEST] else Debian(options.folder, options.suite, options.mirror)
    outcomes = {version: on_version(version, options, debian, theirs) for version in versions}
    print(f"\n{table(outcomes)}", flush=True)
    return 0 if fine(outcomes, options.missing_ok) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
