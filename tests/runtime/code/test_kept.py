"""Code that is kept on the disk: the second process does what the first did, and compiles nothing of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.runtime.code import kept
from figwasp.runtime.code.translate import Translator
from tests.runtime.support import check_script

MODULE = """(module $kept (import "h" "f" (func $f (param i32) (result i32))) (memory (export "memory") 1) (tag $t (export "t") (param i32))
  (table 4 funcref) (elem (i32.const 0) $b $a) (type $i (func (param i32) (result i32)))
  (func $a (export "a") (type $i) (i32.add (call $b (call $f (local.get 0))) (i32.const 1)))
  (func $b (export "b") (type $i) (i32.div_s (i32.const 700) (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "fill") (param i32) (memory.fill (i32.const 0) (local.get 0) (i32.const 100)))
  (func (export "indirect") (param i32 i32) (result i32) (call_indirect (type $i) (local.get 1) (local.get 0)))
  (func $deep (export "deep") (param i32) (result i32)
    (if (result i32) (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $b (i32.const 0)))))
  (func $throws (param i32) (if (local.get 0) (then (throw $t (local.get 0)))))
  (func (export "catch") (param i32) (result i32)
    (block $h (result i32) (try_table (catch $t $h) (call $throws (local.get 0)) (drop (call $f (local.get 0)))) (i32.const -1)))
  (func (export "endless") (loop (br 0)))
  (func $many (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64) (i64.sub (local.get 0) (local.get 10)))
  (func (export "many") (param i64) (result i64) (call $many (local.get 0) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)
    (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 5)))
  (func (export "tail") (param i32) (result i32) (return_call $b (local.get 0))))"""
FUNCTIONS = 13  # that it defines


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of the functions that are compiled from now on."""
    found: list[int] = []
    translate = Translator.translate

    def counted(self: Translator, index: int) -> Any:
        found.append(index)
        return translate(self, index)

    monkeypatch.setattr(Translator, "translate", counted)
    return found


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    """A test begins and ends with nothing to be written."""
    kept._waiting.clear()
    yield
    kept._waiting.clear()


def begin(folder: Path, text: str | bytes = MODULE, *, lazy: bool = False, host: Any = lambda x: x + 1, **settings: Any) -> figwasp.Instance:
    """Load a module with a cache in a folder."""
    engine = figwasp.Engine(cache=folder, **{"tier": "optimize", **settings})
    data = figwasp.wat(text) if isinstance(text, str) else text
    module = figwasp.Module(data, engine=engine, lazy=lazy)
    return module.instantiate({"h": {"f": host}}, unknown_imports="error") if b"\x01h\x01f" in data else module.instantiate()


def use(instance: figwasp.Instance) -> list[Any]:
    """Do everything that the module can do, and tell what came of it."""
    told: list[Any] = [instance.a(6), instance.b(7), instance.grow(1), instance.load(65536), instance.indirect(0, 7), instance.many(9)]
    told += [instance.indirect(1, 3), instance.catch(5), instance.catch(0), instance.tail(70)]
    instance.fill(3)
    told.append(instance.load(0))
    for name, args in (("deep", (3,)), ("load", (-1,)), ("indirect", (3, 1)), ("tail", (0,))):
        with pytest.raises(figwasp.Trap) as caught:
            instance.exports[name](*args)
        told.append((caught.value.code, [(frame.name, frame.offset) for frame in caught.value.frames]))
    with pytest.raises(figwasp.Timeout):
        instance.endless(timeout=0.05)
    return told


def entries(folder: Path) -> list[Path]:
    """The entries in a folder."""
    return sorted(folder.glob("*.entry"))


SETTINGS: list[dict[str, Any]] = [{}, {"memory": "checked"}, {"fuel": 10**9}, {"memory": "checked", "fuel": 10**9}]


@pytest.mark.parametrize("settings", SETTINGS, ids=["plain", "checked", "fuel", "checked fuel"])
@pytest.mark.parametrize("lazy", [False, True], ids=["at once", "lazy"])
def test_the_second_time_nothing_is_compiled(tmp_path: Path, compiled: list[int], settings: dict[str, Any], lazy: bool) -> None:
    expected = use(begin(tmp_path, lazy=lazy, **settings))
    assert len(compiled) == FUNCTIONS
    kept.flush()
    compiled.clear()
    assert use(begin(tmp_path, lazy=lazy, **settings)) == expected
    assert compiled == []
    kept.flush()
    assert len(entries(tmp_path)) == 1


def test_settings_have_entries_of_their_own(tmp_path: Path, compiled: list[int]) -> None:
    for number, settings in enumerate(SETTINGS):
        begin(tmp_path, **settings).b(7)
        assert len(compiled) == number + 1
        kept.flush()
    assert len(entries(tmp_path)) == len(SETTINGS)


def test_what_is_missing_is_added(tmp_path: Path, compiled: list[int]) -> None:
    """Two users of a module that know nothing of each other add to one entry."""
    one, other = begin(tmp_path), begin(tmp_path)
    one.b(7)
    kept.flush()
    other.many(7)
    other.b(7)
    kept.flush()
    compiled.clear()
    third = begin(tmp_path)
    assert (third.b(7), third.many(7)) == (100, 2) and compiled == []
    assert third.tail(7) == 100 and len(compiled) == 1
    kept.flush()
    compiled.clear()
    assert use(begin(tmp_path)) and len(compiled) == FUNCTIONS - 4


def test_much_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: list[int]) -> None:
    """A process that is killed loses no more than there was before."""
    monkeypatch.setattr(kept, "_MUCH", 1)
    instance = begin(tmp_path)
    sizes = []
    for name in ("b", "tail", "many", "load"):
        instance.exports[name](7)
        sizes.append(entries(tmp_path)[0].stat().st_size)
    assert sizes[0] < sizes[-1]
    kept._waiting.clear()
    compiled.clear()
    begin(tmp_path).b(7)
    assert compiled == []


def test_modules_that_are_gone_are_written(tmp_path: Path, compiled: list[int]) -> None:
    begin(tmp_path).b(7)
    kept.flush()
    compiled.clear()
    begin(tmp_path).b(7)
    assert compiled == []


def test_a_listener_hears_of_every_function(tmp_path: Path, compiled: list[int]) -> None:
    """Functions that are kept are told of when they are called first; wrappers are not kept."""
    heard: list[str] = []
    calls: list[tuple[str, tuple[Any, ...]]] = []

    class Ear:
        def before(self, func: Any, args: tuple[Any, ...], depth: int) -> None:
            calls.append((func.name, args))

    def listen(func: Any) -> Ear | None:
        heard.append(func.name)
        return Ear() if func.name == "b" else None

    use(begin(tmp_path))
    kept.flush()
    compiled.clear()
    for _ in range(2):
        instance = begin(tmp_path, listener=listen)
        assert heard == []
        assert instance.a(6) == 101
        assert heard == ["a", "b"] and calls == [("b", (7,))]
        assert compiled == []
        kept.flush()
        heard.clear()
        calls.clear()


def test_objects_and_their_collector(tmp_path: Path, compiled: list[int]) -> None:
    text = """(module (type $cell (struct (field i32) (field (ref null $cell)))) (type $bytes (array (mut i8)))
      (func (export "list") (param i32) (result i32) (local $list (ref null $cell)) (local $sum i32)
        (loop (local.set $list (struct.new $cell (local.get 0) (local.get $list))) (drop (array.new_default $bytes (i32.const 5000)))
          (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (loop (local.set $sum (i32.add (local.get $sum) (struct.get $cell 0 (local.get $list))))
          (br_if 0 (i32.eqz (ref.is_null (local.tee $list (struct.get $cell 1 (local.get $list)))))))
        (local.get $sum)))"""
    for _ in range(2):
        assert begin(tmp_path, text).list(5000) == 5000 * 5001 // 2
        kept.flush()
    assert len(compiled) == 1


# What must not be taken from the cache


INVALID = """(module (func (export "good") (result i32) (i32.const 1)) (func (export "bad") (result i32) (i32.const 1)))"""


def test_a_module_with_an_invalid_body_stays_invalid(tmp_path: Path) -> None:
    """That some of its functions have run, and are kept, does not make it valid."""
    data = figwasp.wat(INVALID)
    place = data.rindex(b"\x41\x01")
    data = data[:place] + b"\x42" + data[place + 1 :]
    for _ in range(2):
        instance = begin(tmp_path, data, lazy=True)
        assert instance.good() == 1
        kept.flush()
        assert len(entries(tmp_path)) == 1
        with pytest.raises(figwasp.Invalid) as lazily:
            instance.bad()
        with pytest.raises(figwasp.Invalid) as at_once:
            begin(tmp_path, data)
        assert str(lazily.value) == str(at_once.value)
        kept.flush()


def test_that_all_bodies_are_valid_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they have been validated at once is known the next time; from one by one it does not follow."""
    begin(tmp_path, lazy=True).b(7)
    kept.flush()
    begin(tmp_path)
    kept.flush()

    def fail(_: Any) -> Any:
        raise AssertionError("validated again")

    monkeypatch.setattr("figwasp.wasm.valid.module.facts_at_once", fail)
    assert begin(tmp_path).b(7) == 100
    monkeypatch.undo()
    assert begin(tmp_path).tail(7) == 100


def test_proposals_that_are_off_stay_off(tmp_path: Path) -> None:
    use(begin(tmp_path))
    kept.flush()
    with pytest.raises(figwasp.Malformed, match="tail-calls"):
        figwasp.Module(figwasp.wat(MODULE), engine=figwasp.Engine(cache=tmp_path, features=figwasp.features.DEFAULT.excluding("tail-calls")))


# Damage


@pytest.mark.parametrize("seed", range(30))
def test_damage_changes_nothing(tmp_path: Path, seed: int) -> None:
    """Whatever becomes of an entry, the module does what it did, and the entry is good again afterwards."""
    expected = use(begin(tmp_path))
    kept.flush()
    (entry,) = entries(tmp_path)
    good = entry.read_bytes()
    rng = random.Random(seed)
    data = bytearray(good)
    kind = seed % 3
    if kind == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[rng.randrange(len(data)) :]
    else:
        start = rng.randrange(len(data))
        data[start : start + 64] = rng.randbytes(64)
    entry.write_bytes(bytes(data))
    assert use(begin(tmp_path)) == expected
    kept.flush()
    assert len(entry.read_bytes()) == len(good)


@pytest.mark.parametrize("more", [-3, -1, 1, 1000])
def test_an_image_of_another_module_under_a_good_checksum(tmp_path: Path, compiled: list[int], more: int) -> None:
    """What was written for a module with other functions is not used, whatever the key says."""
    use(begin(tmp_path))
    kept.flush()
    (entry,) = entries(tmp_path)
    engine = figwasp.Engine(cache=tmp_path, tier="optimize")
    cache = engine.config.cache
    assert cache is not None
    key = bytes.fromhex(entry.stem)
    data = cache.read(key)
    assert data is not None
    size, functions, valid = kept._HEAD.unpack_from(data)
    assert cache.write(key, kept._HEAD.pack(size, functions + more, valid) + data[kept._HEAD.size :])
    compiled.clear()
    assert begin(tmp_path).b(7) == 100
    assert len(compiled) == 1
    kept.flush()
    assert use(begin(tmp_path))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The cache is as if it were off; nothing is remembered for ever."""
    place = tmp_path / "file"
    place.write_text("")
    expected = use(begin(tmp_path / "good"))
    assert use(begin(place / "folder")) == expected
    kept.flush()
    assert not kept._waiting and place.read_text() == ""


# Processes

SCRIPT = """
    import sys
    import figwasp
    from figwasp.runtime.code.translate import Translator
    made = []
    translate = Translator.translate
    Translator.translate = lambda self, index: made.append(index) or translate(self, index)
    engine = figwasp.Engine(cache=sys.argv[1], tier="optimize")
    instance = figwasp.load(figwasp.Module(figwasp.wat(sys.argv[2]), engine=engine), {"h": {"f": lambda x: x + 1}})
"""


def test_at_the_end_of_the_process(tmp_path: Path) -> None:
    script = SCRIPT + "\n    print(instance.a(6), instance.catch(5), len(made))"
    assert check_script(script, str(tmp_path), MODULE) == "101 5 4\n"
    assert check_script(script, str(tmp_path), MODULE) == "101 5 0\n"


def test_a_forked_process_leaves_what_waits_to_its_parent(tmp_path: Path) -> None:
    script = SCRIPT + """
    import os
    instance.b(7)
    pid = os.fork()
    if pid == 0:
        instance.tail(7)
        sys.exit()
    assert os.waitpid(pid, 0)[1] == 0
    from figwasp.runtime.code import kept
    from pathlib import Path
    (entry,) = Path(sys.argv[1]).glob("*.entry")
    print(len(made), len(kept._Entry.from_bytes(engine.config.cache.read(bytes.fromhex(entry.stem))).image))
    """
    assert check_script(script, str(tmp_path), MODULE) == "1 1\n"
    assert check_script(SCRIPT + "\n    print(instance.b(7), instance.tail(7), len(made))", str(tmp_path), MODULE) == "100 100 0\n"


def test_forks_between_image_and_more_code(tmp_path: Path) -> None:
    """A child has the image and compiles the rest for itself."""
    script = SCRIPT + """
    import os
    instance.b(7)
    pid = os.fork()
    assert (instance.b(7), instance.tail(7), instance.many(9)) == (100, 100, 4)
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    """
    for _ in range(2):
        check_script(script, str(tmp_path), MODULE)


def test_many_modules_of_one_kind(tmp_path: Path) -> None:
    """Equal modules share what waits, and different ones each have an entry."""
    for k in range(5):
        for _ in range(20):
            assert begin(tmp_path, f'(module (func (export "f") (result i32) (i32.const {k})))').f() == k
    assert len(kept._waiting) == 5
    kept.flush()
    assert len(entries(tmp_path)) == 5


def test_a_server_that_loads_modules_for_ever(tmp_path: Path, compiled: list[int]) -> None:
    """What waits is bounded in number, whether functions have been compiled or only validated; nothing of it is lost."""
    texts = [f'(module (func (export "f") (result i32) (i32.const {k})))' for k in range(3 * kept._MANY)]
    for k, text in enumerate(texts):
        instance = begin(tmp_path, text)
        assert k % 2 or instance.f() == k
        assert len(kept._waiting) <= kept._MANY
    kept.flush()
    assert len(entries(tmp_path)) == len(texts)
    compiled.clear()
    assert [begin(tmp_path, text).f() for text in texts[::2]] == [*range(0, len(texts), 2)] and compiled == []


def test_a_turn_that_was_never_given_back() -> None:
    """An exception where a turn is given back leaves it to the object's end: others must not wait for it."""
    turn = kept._Turn()
    assert turn.taken()
    assert not kept._Turn().taken()
    del turn
    other = kept._Turn()
    assert other.taken()
    other.end()
    assert kept._writer == []
