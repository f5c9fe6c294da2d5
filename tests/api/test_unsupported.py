"""`Module.features` and `Module.unsupported`: what a module uses, and what of it an engine has off."""

from __future__ import annotations

from pathlib import Path

import pytest

import figwasp
from figwasp.features import DEFAULT, MVP

FENCES = "(module (func) (func atomic.fence) (func (drop (i32.extend8_s (i32.const 0)))) (func atomic.fence))"


def test_features_of_a_module() -> None:
    engine = figwasp.Engine(features=DEFAULT.including("threads"))
    data = figwasp.wat(FENCES)
    for lazy in (False, True):
        found = figwasp.Module(data, engine=engine, lazy=lazy).features
        assert list(found) == ["sign-extension", "threads"]
        use = found["threads"]
        assert isinstance(use, figwasp.Use)
        assert (use.proposal, use.what, use.func, use.funcs) == ("threads", "atomic.fence", 1, [1, 3])
        assert use.offset == data.index(b"\xfe\x03")
    assert figwasp.Module(figwasp.wat("(module)")).features == {}


def test_what_an_engine_has_off() -> None:
    data = figwasp.wat(FENCES)
    assert list(figwasp.Module.unsupported(data)) == ["threads"]
    assert list(figwasp.Module.unsupported(data, engine=figwasp.Engine(features=MVP))) == ["sign-extension", "threads"]
    features = DEFAULT.including(*figwasp.Module.unsupported(data))
    engine = figwasp.Engine(features=features)
    assert figwasp.Module.unsupported(data, engine=engine) == {}
    figwasp.Module(data, engine=engine)


def test_a_module_that_is_refused_says_what_unsupported_says() -> None:
    data = figwasp.wat(FENCES)
    with pytest.raises(figwasp.Malformed) as caught:
        figwasp.Module(data)
    use = figwasp.Module.unsupported(data)["threads"]
    assert (caught.value.func, caught.value.offset) == (use.func, use.offset)
    assert f"{use.what} needs {use.proposal}, which is off" in str(caught.value)


def test_a_function_that_is_validated_when_it_is_called_says_so_then() -> None:
    module = figwasp.Module(figwasp.wat('(func (export "f") atomic.fence) (func (export "g") (result i32) (i32.const 1))'), lazy=True)
    exports = figwasp.load(module).exports
    assert exports.g() == 1
    with pytest.raises(figwasp.Malformed, match="atomic.fence needs threads, which is off .* in function 0 "):
        exports.f()


def test_paths_and_what_is_no_module(tmp_path: Path) -> None:
    path = tmp_path / "fences.wat"
    path.write_text(FENCES)
    assert list(figwasp.Module.unsupported(path)) == ["threads"]
    bad = tmp_path / "bad.wasm"
    bad.write_bytes(b"\0asm\1\0\0\0\1")
    with pytest.raises(figwasp.Malformed, match="bad.wasm: "):
        figwasp.Module.unsupported(bad)
    with pytest.raises(figwasp.Invalid, match="unknown function 7"):
        figwasp.Module.unsupported(figwasp.wat("(module (start 7))"))
    with pytest.raises(FileNotFoundError):
        figwasp.Module.unsupported(tmp_path / "missing.wasm")
