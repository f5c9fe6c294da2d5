"""`Module.compile`: everything is compiled once, used at once, kept, and the same bytes each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.runtime.code import kept
from figwasp.runtime.code.translate import Translator
from figwasp.wasm.syntax import limits
from figwasp.wasm.valid.state import FuncFacts
from tests.environment import PINNED
from tests.runtime.support import check_script

TEXT = """(module $whole (import "h" "f" (func $f (param i32) (result i32))) (memory 1) (table 4 funcref) (elem (i32.const 0) $b $a)
  (tag $t (param i32)) (type $i (func (param i32) (result i32)))
  (func $a (export "a") (type $i) (i32.add (call $b (call $f (local.get 0))) (i32.const 1)))
  (func $b (export "b") (type $i) (i32.div_s (i32.const 700) (local.get 0)))
  (func $c (export "c") (type $i) (call_indirect (type $i) (local.get 0) (i32.const 0)))
  (func (export "d") (type $i) (return_call $b (local.get 0)))
  (func (export "e") (type $i) (block $h (result i32) (try_table (catch $t $h) (throw $t (local.get 0))) (i32.const -1))))"""
DATA = figwasp.wat(TEXT)
NAMES = "abcde"
IMPORTS: dict[str, Any] = {"h": {"f": lambda x: x + 1}}
RESULTS = [101, 100, 100, 100, 7]  # of all functions on 7, of the first on 6


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of the functions that are compiled in this process from now on."""
    found: list[int] = []
    translate = Translator.translate_checked

    def counted(self: Translator, index: int, facts: FuncFacts) -> Any:
        found.append(index)
        return translate(self, index, facts)

    monkeypatch.setattr(Translator, "translate_checked", counted)
    return found


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    kept._waiting.clear()
    yield
    kept._waiting.clear()


def module(data: bytes = DATA, *, lazy: bool = False, **settings: Any) -> figwasp.Module:
    return figwasp.Module(data, engine=figwasp.Engine(**{"cache": False, "tier": "optimize", **settings}), lazy=lazy)


def use(instance: figwasp.Instance) -> list[int]:
    found = [instance.exports[name](7 - (name == "a")) for name in NAMES]
    with pytest.raises(figwasp.Trap) as caught:
        instance.d(0)
    assert [frame.name for frame in caught.value.frames] == ["b"]
    return found


SETTINGS: list[dict[str, Any]] = [{}, {"memory": "checked"}, {"fuel": 10**9}]


@pytest.mark.parametrize("settings", SETTINGS, ids=["plain", "checked", "fuel"])
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("lazy", [False, True])
def test_nothing_is_left_to_compile(compiled: list[int], settings: dict[str, Any], jobs: int, lazy: bool) -> None:
    given = module(lazy=lazy, **settings)
    given.compile(jobs)
    assert compiled == ([1, 2, 3, 4, 5] if jobs == 1 else [])
    compiled.clear()
    assert use(given.instantiate(IMPORTS)) == RESULTS
    given.compile(progress=lambda *_: pytest.fail("nothing is left"))
    assert compiled == []


def test_instances_that_there_are_use_it(compiled: list[int]) -> None:
    """Also those of whose functions some are compiled; those stay where they are."""
    given = module()
    instance = given.instantiate(IMPORTS)
    assert instance.b(7) == 100 and compiled == [2]
    address = given._code.compiled[2]
    given.compile(1)
    assert sorted(compiled) == [1, 2, 2, 3, 4, 5]  # one that was compiled alone is compiled again for the image
    compiled.clear()
    assert use(instance) == use(given.instantiate(IMPORTS)) == RESULTS
    assert given._code.compiled[2] == address and compiled == []


def test_a_listener_hears_when_a_function_is_called() -> None:
    heard: list[str | None] = []
    given = module(listener=lambda func: heard.append(func.name))
    instance = given.instantiate(IMPORTS)
    instance.b(7)
    given.compile(1)
    assert heard == ["b"]
    assert use(instance) == RESULTS and sorted(map(str, heard)) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("jobs", [0, -1, 2.0, True, "2"])
def test_wrong_numbers_of_processes(jobs: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="jobs"):
        module().compile(jobs)


def test_progress_has_to_be_callable() -> None:
    with pytest.raises(TypeError, match="progress must be callable or None, not int"):
        module().compile(1, 7)  # type: ignore[arg-type]


# What is not valid


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_that_is_invalid_is_told(jobs: int) -> None:
    """As by `Module`, although the largest are tried first."""
    good = "(func (result i32) (i32.const 1))"
    bad = f"(func (result i32) {'nop ' * 300} (i64.const 1))"
    data = figwasp.wat(f"(module {good} (func (result i32) (i64.const 1)) {bad} {good})")
    with pytest.raises(figwasp.Invalid) as at_once:
        module(data)
    given = module(data, lazy=True)
    for _ in range(2):
        with pytest.raises(figwasp.Invalid) as later:
            given.compile(jobs)
        assert str(later.value) == str(at_once.value)
    assert "function 1" in str(at_once.value)


@pytest.mark.parametrize("jobs", [1, 2])
def test_bodies_that_are_out_of_proportion(monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    """The limit holds for all functions together, those that were compiled before included."""
    data = figwasp.wat("".join(f'(func (export "f{k}") (local i64 i64 i64 i64) (local.set 0 (i64.const 1)))' for k in range(20)))
    size = sum(module(data)._facts(index).size for index in range(20))
    for room, is_valid in ((size, True), (size - 1, False)):
        monkeypatch.setattr(limits, "MAX_FACTS", room - limits.FACTS_PER_BYTE * len(data))
        given = module(data, lazy=True)
        given.instantiate().f3()
        if is_valid:
            given.compile(jobs)
        else:
            with pytest.raises(figwasp.LimitExceeded, match="too many locals"):
                given.compile(jobs)


# The cache


def entry(folder: Path) -> bytes:
    (found,) = folder.glob("*.entry")
    return found.read_bytes()


def test_it_is_kept(tmp_path: Path, compiled: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    module(lazy=True, cache=tmp_path).compile(1)
    size = len(entry(tmp_path))
    kept.flush()
    assert len(entry(tmp_path)) == size
    compiled.clear()
    monkeypatch.setattr("figwasp.wasm.valid.module.facts_at_once", lambda _: pytest.fail("validated again"))
    assert use(module(cache=tmp_path).instantiate(IMPORTS)) == RESULTS
    module(cache=tmp_path).compile(1)
    kept.flush()
    assert compiled == [] and len(entry(tmp_path)) == size


def test_what_was_kept_before_is_used(tmp_path: Path, compiled: list[int]) -> None:
    """Whatever the order in which functions were called, the entry is in order afterwards: byte for byte as if made at once."""
    module(cache=tmp_path / "once").compile(1)
    for names in ("", "eb", "bac", "edcba"):
        folder = tmp_path / f"after {names}"
        instance = module(cache=folder, lazy=True).instantiate(IMPORTS)
        for name in names:
            assert instance.exports[name](7)
        kept.flush()
        before = len(set(compiled)) if names else 0
        compiled.clear()
        given = module(cache=folder, lazy=True)
        outcome = given._compile_all(1, None)
        assert outcome.before + len(compiled) == len(NAMES) and outcome.is_kept and (before or not names)
        assert payload(folder) == payload(tmp_path / "once")
        compiled.clear()
        assert use(given.instantiate(IMPORTS)) == RESULTS and compiled == []


def payload(folder: Path) -> bytes | None:
    """What the entry of a folder holds."""
    (found,) = folder.glob("*.entry")
    cache = figwasp.Engine(cache=folder).config.cache
    assert cache is not None
    return cache.read(bytes.fromhex(found.stem))


def test_a_module_in_use_is_kept_as_a_whole(tmp_path: Path) -> None:
    given = module(cache=tmp_path)
    given.instantiate(IMPORTS).e(7)
    given.compile(2)
    module(cache=tmp_path / "other").compile(1)
    assert payload(tmp_path) == payload(tmp_path / "other")
    kept.flush()
    assert payload(tmp_path) == payload(tmp_path / "other")


def test_a_cache_that_cannot_be_written(tmp_path: Path, compiled: list[int]) -> None:
    (tmp_path / "file").touch()
    given = module(cache=tmp_path / "file" / "folder")
    assert not given._compile_all(1, None).is_kept
    compiled.clear()
    assert use(given.instantiate(IMPORTS)) == RESULTS and compiled == []


# The same bytes

SCRIPT = """
    import hashlib, sys
    import figwasp
    module = figwasp.Module(sys.argv[1], engine=figwasp.Engine(cache=sys.argv[2]), lazy=True)
    module.compile(int(sys.argv[3]))
    print(hashlib.sha256(module.serialize()).hexdigest())
    """


def test_processes_make_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the number of processes and the order of sets; serialized, and in the cache."""
    program = PINNED / "programs" / "modules" / "icepll.wasm"
    told, entries = set(), set()
    for number, (jobs, seed) in enumerate([(1, "0"), (2, "1"), (3, "2"), (1, "3")]):
        folder = tmp_path / str(number)
        told.add(check_script(SCRIPT, str(program), str(folder), str(jobs), env={"PYTHONHASHSEED": seed}))
        entries.add(payload(folder))
    assert len(told) == len(entries) == 1
    assert os.path.getsize(program) < len(entries.pop() or b"")


@pytest.mark.parametrize("order", ["", "ab", "edcba", "c"])
def test_calls_in_any_order_make_the_same_bytes(order: str) -> None:
    """Also if an instance has called some of them before, or between."""
    expected = module()
    expected.compile(1)
    given = module()
    instance = given.instantiate(IMPORTS)
    for name in order:
        instance.exports[name](7)
    given.compile(2 if order else 1)
    use(instance)
    assert given.serialize() == expected.serialize()
