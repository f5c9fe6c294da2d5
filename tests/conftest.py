"""What every test shares: the test data, checks that are on, and hypothesis without deadlines."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from figwasp.errors import Unsupported
from tests.environment import PINNED, RUNS, SHARED, WHOLE, WHOLE_DATA

os.environ.setdefault("FIGWASP_CHECK", "1")  # verify the IR after every pass, and every register allocation
os.environ.setdefault("FIGWASP_TIER", "stress")  # whatever runs more than a few times runs in code of both compilers
os.environ["FIGWASP_CACHE"] = "off"  # a test that is about the cache asks for a folder of its own

# A shell without job control has what it starts in the background ignore Ctrl-C, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_REFUSAL = "running WebAssembly needs "
"""How every message begins that refuses an interpreter or a system."""

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_configure(config: pytest.Config) -> None:
    """Where Python may not keep what it compiles, keep it for as long as the tests run: hundreds of processes import the same modules."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        folder = tempfile.TemporaryDirectory(prefix="figwasp-tests-", ignore_cleanup_errors=True)
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name
        config.add_cleanup(folder.cleanup)


def pytest_collection_finish() -> None:
    """Have collections of garbage look at what tests make only: ten thousand tests themselves take each an eighth of a second."""
    gc.collect()
    if sys.implementation.name == "cpython":  # PyPy's collector has generations enough
        gc.freeze()


@pytest.fixture
def thawed() -> Iterator[None]:
    """Nothing is frozen, as in programs that do not say so; for tests that freeze and thaw themselves, too."""
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Give the folder of test data, or of its pinned part: a test that reads what that has not is skipped."""
    return SHARED


@pytest.fixture(scope="session")
def whole(shared: Path) -> Path:
    """Give the folder of test data to a test that needs all of it."""
    if not WHOLE:
        pytest.skip(f"no whole test data at {WHOLE_DATA} (set FIGWASP_SHARED to its folder)")
    return shared


@contextmanager
def _skipped_beyond_the_pinned_part() -> Iterator[None]:
    """Skip where a file is not found that only the whole test data has. With that at hand nothing is forgiven."""
    try:
        yield
    except FileNotFoundError as error:
        path = Path(os.fsdecode(error.filename or ""))
        if WHOLE or not path.is_relative_to(PINNED):
            raise
        pytest.skip(f"{path.relative_to(PINNED)} is not in the pinned part of the test data (set FIGWASP_SHARED to the whole)")


@contextmanager
def _skipped_where_nothing_runs() -> Iterator[None]:
    """Skip what runs a module on an interpreter that cannot. On others nothing is forgiven."""
    try:
        yield
    except Unsupported as error:
        if RUNS or not str(error).startswith(_REFUSAL):
            raise
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    with _skipped_beyond_the_pinned_part(), _skipped_where_nothing_runs():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    with _skipped_beyond_the_pinned_part(), _skipped_where_nothing_runs():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip files of tests that import what runs modules, on an interpreter that cannot."""
    report = yield
    if not RUNS and report.failed and f"Unsupported: {_REFUSAL}" in str(report.longrepr):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"it runs modules, and {sys.implementation.name} cannot")
    return report
