"""`Module.serialize` and `figwasp.deserialize`: the same module, or an error that says why not."""

from __future__ import annotations

import pickle
import random
from binascii import crc32
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.cache import keys
from figwasp.runtime.code.translate import Translator
from figwasp.runtime.platform import processor
from figwasp.runtime.whole import packed
from tests.environment import PINNED
from tests.runtime.support import check_script

TEXT = """(module $stored (import "h" "f" (func $f (param i32) (result i32))) (import "h" "text: \u00e9" (global $g i64))
  (memory (export "memory") 1) (data (i32.const 8) "data") (table $t 4 funcref) (elem (i32.const 0) $div $ask)
  (type $i (func (param i32) (result i32))) (tag $e (export "e") (param i32)) (type $s (struct (field $x (mut i32)) (field i8)))
  (func $ask (export "ask") (type $i) (call $f (local.get 0)))
  (func $div (export "div") (type $i) (i32.div_s (i32.const 700) (local.get 0)))
  (func (export "via") (param i32 i32) (result i32) (call_indirect (type $i) (local.get 1) (local.get 0)))
  (func (export "load") (type $i) (i32.load8_u (local.get 0)))
  (func (export "field") (type $i) (struct.get $s $x (struct.new $s (local.get 0) (i32.const 1))))
  (func (export "throw") (param i32) (throw $e (local.get 0))))"""
DATA = figwasp.wat(TEXT)
FUNCTIONS = 6
IMPORTS: dict[str, Any] = {"h": {"f": lambda x: x + 1, "text: \u00e9": 7}}
OFF = figwasp.Engine(cache=False, tier="optimize")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of the functions that are compiled from now on."""
    found: list[int] = []
    translate = Translator.translate_checked

    def counted(self: Translator, index: int, facts: Any) -> Any:
        found.append(index)
        return translate(self, index, facts)

    monkeypatch.setattr(Translator, "translate_checked", counted)
    return found


def module(engine: figwasp.Engine = OFF, data: bytes = DATA, *, lazy: bool = False) -> figwasp.Module:
    return figwasp.Module(data, engine=engine, lazy=lazy)


def serialized(engine: figwasp.Engine = OFF) -> bytes:
    given = module(engine)
    given.compile(1)
    return given.serialize()


def use(instance: figwasp.Instance) -> list[Any]:
    found: list[Any] = [instance.ask(1), instance.div(7), instance.via(0, 10), instance.via(1, 10), instance.load(8), instance.field(5)]
    with pytest.raises(figwasp.Trap) as caught:
        instance.via(0, 0)
    found.append([(frame.name, frame.offset) for frame in caught.value.frames])
    with pytest.raises(figwasp.WasmException) as thrown:
        instance.throw(3)
    return [*found, thrown.value.args]


def test_it_is_the_same_module(compiled: list[int]) -> None:
    given = module()
    given.compile(1)
    data = given.serialize()
    compiled.clear()
    again = figwasp.deserialize(data, OFF)
    assert again == given and repr(again) == repr(given) and not again.lazy
    assert (again.name, again.imports, again.exports) == (given.name, given.imports, given.exports)
    assert use(again.instantiate(IMPORTS)) == use(given.instantiate(IMPORTS))
    assert compiled == []
    assert again.serialize() == data == given.serialize() and compiled == []
    assert pickle.loads(pickle.dumps(again)) == given


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes(kind: Any) -> None:
    data = bytearray(serialized())
    again = figwasp.deserialize(kind(data), OFF)
    data[:] = bytes(len(data))
    assert again.instantiate(IMPORTS).div(7) == 100


@pytest.mark.parametrize("lazy", [False, True])
def test_what_has_been_compiled_so_far(compiled: list[int], lazy: bool) -> None:
    """Functions that have been called; the others are compiled when they are."""
    given = module(lazy=lazy)
    instance = given.instantiate(IMPORTS)
    instance.div(7)
    instance.ask(7)
    again = figwasp.deserialize(given.serialize(), OFF)
    assert again.lazy == lazy
    compiled.clear()
    other = again.instantiate(IMPORTS)
    assert (other.div(7), other.ask(1), compiled) == (100, 2, [])
    assert use(other) == use(instance) and len(compiled) == 2 * (FUNCTIONS - 2)
    assert len(figwasp.deserialize(again.serialize(), OFF)._image or ()) == FUNCTIONS
    assert not module().serialize().startswith(DATA) and figwasp.deserialize(module().serialize(), OFF).instantiate(IMPORTS).div(7) == 100


def test_bodies_of_a_lazy_module_are_validated_when_they_are_called() -> None:
    data = figwasp.wat('(func (export "good") (result i32) (i32.const 1)) (func (export "bad") (result i32) (i64.const 1))')
    given = module(data=data, lazy=True)
    assert given.instantiate().good() == 1
    instance = figwasp.deserialize(given.serialize(), OFF).instantiate()
    assert instance.good() == 1
    with pytest.raises(figwasp.Invalid):
        instance.bad()
    with pytest.raises(figwasp.Invalid):
        figwasp.deserialize(given.serialize(), OFF).compile(1)


def test_it_leaves_the_cache_alone(tmp_path: Path) -> None:
    engine = figwasp.Engine(cache=tmp_path)
    again = figwasp.deserialize(serialized(), engine)
    again.compile(1)
    again.instantiate(IMPORTS).div(7)
    assert list(tmp_path.iterdir()) == []


def test_in_another_process(tmp_path: Path) -> None:
    """What has been written there is read here, byte for byte as it would be written here."""
    script = """
    import sys
    import figwasp
    module = figwasp.Module(sys.argv[1], lazy=True)
    module.compile(2)
    with open(sys.argv[2], "wb") as file:
        file.write(module.serialize())
    """
    program, path = PINNED / "programs" / "modules" / "icepll.wasm", tmp_path / "icepll"
    check_script(script, str(program), str(path), env={"FIGWASP_CACHE": "off"})
    here = figwasp.Module(program, engine=OFF)
    here.compile(1)
    assert here.serialize() == path.read_bytes()
    assert figwasp.deserialize(path.read_bytes(), OFF) == here
    script = """
    import sys
    import figwasp
    with open(sys.argv[1], "rb") as file:
        module = figwasp.deserialize(file.read())
    print(figwasp.run(module, ["-i", "12", "-o", "60"], capture_output=True, text=True).returncode)
    """
    assert check_script(script, str(path), env={"FIGWASP_CACHE": "off"}) == "0\n"


# What is refused


def refusal(data: Any, engine: figwasp.Engine | None = OFF) -> figwasp.Unusable:
    with pytest.raises(figwasp.Unusable) as caught:
        figwasp.deserialize(data, engine)
    assert isinstance(caught.value, ValueError)
    return caught.value


@pytest.mark.parametrize(
    ("settings", "differs", "said"),
    [
        ({"fuel": True}, "fuel", "fuel: not counted; here: counted"),
        ({"memory": "checked"}, "memory", "memory: guard; here: checked"),
        (
            {"features": figwasp.features.DEFAULT.including("threads").excluding("simd", "relaxed-simd")},
            "proposals",
            "proposals: only there relaxed-simd simd; only here threads",
        ),
        ({"memory": "checked", "fuel": 7}, "memory fuel", "memory: guard; here: checked; fuel: not counted; here: counted"),
    ],
)
def test_other_engines(settings: dict[str, Any], differs: str, said: str) -> None:
    """Those for which the code would not be right."""
    error = refusal(serialized(figwasp.Engine(memory="guard", cache=False)), figwasp.Engine(**settings))
    assert error.differs == tuple(differs.split()) and str(error).endswith(said)
    assert figwasp.deserialize(serialized(figwasp.Engine(**settings, cache=False)), figwasp.Engine(**settings))


def test_engines_with_other_limits() -> None:
    engine = figwasp.Engine(max_memory=1 << 20, timeout=10, stack_size=1 << 19)
    assert figwasp.deserialize(serialized(), engine).engine is engine
    assert use(figwasp.deserialize(serialized(), engine).instantiate(IMPORTS))


def test_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    data = serialized()
    monkeypatch.setattr(keys, "interpreter", lambda: ("3.99.1\n(other)", "cpython-399"))
    error = refusal(data)
    assert error.differs == ("Python",) and str(error).endswith("here: 3.99.1 (other) cpython-399")


def test_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    data = serialized()
    target = processor.machine()
    monkeypatch.setattr(target, "features", (*target.features, "teleport"))
    error = refusal(data)
    assert error.differs == ("processor",) and str(error).endswith("processor: only there nothing; only here teleport")


def test_another_figwasp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sources count, not where they lie and how old they are."""
    data = serialized()
    with monkeypatch.context() as patch:
        patch.setattr(keys, "sources", lambda: bytes(32))  # installed elsewhere
        assert figwasp.deserialize(data, OFF)
        patch.setattr(keys, "contents", lambda: bytes(32))
        error = refusal(data)
        assert error.differs == ("figwasp",) and f"here: {figwasp.__version__} 00" in str(error)
    monkeypatch.setattr(keys, "sources", lambda: None)
    assert "the sources of figwasp have been changed" in str(refusal(data))
    with pytest.raises(figwasp.Error, match="the sources of figwasp have been changed"):
        module().serialize()


def test_another_format() -> None:
    data = bytearray(serialized())
    data[8] ^= 2
    error = refusal(data)
    assert error.differs == ("figwasp",) and "it has format 3; here: 1" in str(error)


@pytest.mark.parametrize("data", [b"", b"\0asm\x01\0\0\0", DATA, TEXT.encode(), b"\x7f", bytes(1000)])
def test_other_bytes(data: bytes) -> None:
    assert "not a serialized module" in str(refusal(data)) and not refusal(data).differs


@pytest.mark.parametrize("data", [None, TEXT, 7, Path("x")])
def test_what_is_no_bytes(data: Any) -> None:
    with pytest.raises(TypeError, match="data must be bytes, not"):
        figwasp.deserialize(data)
    with pytest.raises(TypeError, match=r"engine must be a figwasp\.Engine"):
        figwasp.deserialize(b"", 7)  # type: ignore[arg-type]


def test_truncated() -> None:
    data = serialized()
    for size in (*range(100), *range(100, len(data), 97), len(data) - 1):
        refusal(data[:size])
    refusal(data + b"\0")


@pytest.mark.parametrize("seed", range(10))
def test_damaged(seed: int) -> None:
    """Every change is found."""
    good = serialized()
    rng = random.Random(seed)
    for _ in range(200):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 20)):
            data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        refusal(data)


def test_sizes_that_make_no_sense_under_a_good_checksum() -> None:
    """Written by a mistake, not by an attacker, against whom nothing helps: sizes and numbers are looked at all the same."""
    good = serialized()
    start = packed._START.size
    for place in range(start + 32, start + packed._REST.size - 4, 4):
        for value in (0, 1, 0xFFFF_FFFF):
            data = bytearray(good)
            if data[place : place + 4] == value.to_bytes(4, "little"):
                continue
            data[place : place + 4] = value.to_bytes(4, "little")
            data[12:16] = crc32(data[start:]).to_bytes(4, "little")
            refusal(data)
