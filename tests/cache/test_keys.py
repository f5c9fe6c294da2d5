"""Keys: equal where everything is equal that code depends on, and different where anything differs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import figwasp
from figwasp.cache import keys
from figwasp.cache.keys import Plain, digest_of, key
from tests.environment import HANG_GUARD, WARNINGS, environment
from tests.test_floors import FLOORS, MODULES, SRC, part_of

MODULE = b"\0asm\1\0\0\0"
LATER = 1 << 62
"""A time at which no source is young."""


@pytest.fixture(autouse=True)
def unchanged_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever edits them while the tests run has keys all the same."""
    monkeypatch.setattr(keys, "sources", lambda: b"sources")


PLAIN: st.SearchStrategy[Plain] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=6,
)


def exact(value: Plain) -> object:
    """Return what is equal only if values are of equal types, too; NaN is itself."""
    if isinstance(value, tuple):
        return tuple(map(exact, value))
    return type(value), value.hex() if isinstance(value, float) else value


@given(st.tuples(PLAIN, PLAIN) | st.tuples(PLAIN), st.tuples(PLAIN, PLAIN) | st.tuples(PLAIN))
def test_values(one: tuple[Plain, ...], other: tuple[Plain, ...]) -> None:
    assert (key(MODULE, *one) == key(MODULE, *other)) == (exact(one) == exact(other))


def test_all_differ() -> None:
    made: list[bytes | None] = [
        key(MODULE),
        key(MODULE + b"\0"),
        key("stubs"),
        key(b"stubs"),
        key(repr(MODULE)),
        key(MODULE, None),
        key(MODULE, 1),
        key(MODULE, True),
        key(MODULE, 1.0),
        key(MODULE, "1"),
        key(MODULE, b"1"),
        key(MODULE, (1,)),
        key(MODULE, 1, 2),
        key(MODULE, (1, 2)),
        key(MODULE, "1, 2"),
        key(MODULE, "a", "bc"),
        key(MODULE, "ab", "c"),
        key(MODULE, ("a",), "bc"),
        key(MODULE, "avx"),
        key(MODULE, "avx", "avx2"),
    ]
    assert None not in made and len(set(made)) == len(made)
    assert {len(one or b"") for one in made} == {32}
    assert key(MODULE, "avx") == key(bytearray(MODULE), "avx") == key(memoryview(MODULE), "avx")


@pytest.mark.parametrize("value", [{1, 2}, frozenset(), [1], {}, object(), bytearray(b"1"), (1, [2]), type("Int", (int,), {})(1)])
def test_what_is_not_plain(value: Any) -> None:
    with pytest.raises(TypeError, match="a key is made of plain values, not of"):
        key(MODULE, value)


def test_same_in_each_process(tmp_path: Path) -> None:
    shown = "from figwasp.cache import keys; print(keys.sources().hex(), keys.key(b'module', 'a', ('b', 1.5)).hex())"
    made = {
        subprocess.run(
            [sys.executable, *WARNINGS, "-c", shown], env=environment(PYTHONHASHSEED=seed), cwd=tmp_path,
            capture_output=True, text=True, timeout=HANG_GUARD, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(made) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("version", "3.99.0 (of another day)"), ("implementation", SimpleNamespace(cache_tag="cpython-399")), ("byteorder", "middle"), ("maxsize", 1)],
)
def test_another_python(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    before = keys.interpreter.__wrapped__()
    monkeypatch.setattr(sys, name, value)
    assert keys.interpreter.__wrapped__() != before


def test_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys.interpreter.__wrapped__()
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="riscv64"))
    assert keys.interpreter.__wrapped__() != before


def test_interpreter_and_sources_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {key(MODULE)}
    with monkeypatch.context() as patch:
        patch.setattr(keys, "interpreter", lambda: ("other",))
        made.add(key(MODULE))
    monkeypatch.setattr(keys, "sources", lambda: b"others")
    made.add(key(MODULE))
    assert len(made) == 3
    monkeypatch.setattr(keys, "sources", lambda: None)
    assert key(MODULE) is None


# The digest of the sources


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "figwasp"
    for name in ("__init__.py", "layout.py", "ir/fold.py", "ir/rows/numeric.py", "wasm/__init__.py", "cli/run.py", "ir/__pycache__/fold.py"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("old")
        os.utime(path / name, ns=(10**18, 10**18))
    return path


def digest(package: Path, version: str = "1", imported: int = LATER) -> bytes | None:
    return digest_of(str(package), version, imported)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(10**18, 10**18))


CHANGES: list[Callable[[Path], object]] = [
    lambda path: os.utime(path / "layout.py", ns=(10**18, 10**18 + 1)),
    lambda path: os.utime(path / "ir" / "rows" / "numeric.py", ns=(10**18, 10**18 - 10**9)),
    lambda path: _write(path / "ir" / "fold.py", "newer"),
    lambda path: _write(path / "ir" / "more.py", "old"),
    lambda path: (path / "ir" / "fold.py").rename(path / "ir" / "sold.py"),
    lambda path: (path / "ir" / "fold.py").rename(path / "wasm" / "fold.py"),
    lambda path: (path / "ir" / "rows").rename(path / "wasm" / "rows"),
    lambda path: (path / "layout.py").unlink(),
    lambda path: (path / "layout.py").rename(path / "layout.pyc"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_sources_change(package: Path, change: Callable[[Path], object]) -> None:
    before = digest(package)
    assert before is not None and digest(package) == before
    change(package)
    assert digest(package) not in (None, before)


def test_what_is_no_source(package: Path) -> None:
    """Nor a part on which code does not depend."""
    before = digest(package)
    (package / "ir" / "__pycache__" / "fold.py").write_text("newer")
    (package / "ir" / "NOTES").write_text("new")
    (package / "py.typed").touch()
    (package / "cli" / "run.py").write_text("newer")
    assert digest(package) == before


def test_version_and_place(package: Path, tmp_path: Path) -> None:
    """Files whose times are all the same by some decree are told apart by them."""
    other = tmp_path / "other"
    shutil.copytree(package, other)
    assert len({digest(package), digest(package, "2"), digest(other)}) == 3


def test_sources_younger_than_the_process(package: Path) -> None:
    """It may have imported what was there before; times of modification may be set, those of change not."""
    before = time.time_ns()
    while time.time_ns() < before + 50_000_000:  # clocks of file systems lag behind by some milliseconds
        pass
    assert digest(package, imported=time.time_ns()) is not None
    _write(package / "ir" / "fold.py", "old")
    assert digest(package, imported=before) is None


def test_an_archive(package: Path, tmp_path: Path) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(package / "__init__.py", "figwasp/__init__.py")
    os.utime(archive, ns=(10**18, 10**18))
    made = {digest(archive / "figwasp")}
    os.utime(archive, ns=(10**18, 10**18 + 1))
    made.add(digest(archive / "figwasp"))
    made.add(digest(archive / "lib" / "figwasp"))
    assert None not in made and len(made) == 3
    assert digest(archive / "figwasp", imported=archive.stat().st_ctime_ns - 1) is None


def test_imported_from_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in MODULES.values():
            file.write(path, path.relative_to(SRC))
    shown = "import figwasp; from figwasp.cache import keys; print(figwasp.__file__); print(keys.sources())"
    done = subprocess.run(
        [sys.executable, "-c", shown], env={**os.environ, "PYTHONPATH": str(archive)}, cwd=tmp_path,
        capture_output=True, text=True, timeout=HANG_GUARD, check=True,
    )  # fmt: skip
    where, found = done.stdout.splitlines()
    assert where.startswith(str(archive)) and found != "None"


def test_no_sources(tmp_path: Path) -> None:
    """As in a program that has been frozen."""
    assert digest(tmp_path / "absent") is None
    (tmp_path / "empty").mkdir()
    assert digest(tmp_path / "empty") is None


def test_a_folder_that_cannot_be_read(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.scandir

    def scandir(path: str) -> Any:
        if path.endswith("rows"):
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert digest(package) is None


def test_all_that_code_depends_on_counts() -> None:
    """What compiles imports its own floor and lower ones only."""
    packages = {part_of(module) for module in MODULES if module.count(".") > 1}
    assert {part for part in packages if FLOORS[part] <= FLOORS["runtime"]} == set(keys.PARTS)
    own = Path(figwasp.__file__).parent
    assert keys._PACKAGE == str(own)
