"""Modules and engines as values: what they say of themselves, equality, pickling; types."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp import types
from figwasp.features import DEFAULT
from tests.runtime.support import check_script, load

TEXT = """(module $demo (import "env" "f" (func (param i32))) (import "env" "t" (table 1 2 externref))
  (memory (export "memory") 1 4) (global (export "g") (mut i64) (i64.const 5)) (tag (export "oops") (param i32))
  (func (export "seven") (result i32) (i32.const 7)))"""


def with_customs() -> bytes:
    """Append two custom sections of one name and one of another to a module."""
    sections = [(b"a", b"first"), (b"b", b""), (b"a", b"\0second")]
    return figwasp.wat(TEXT) + b"".join(bytes([0, 1 + len(name) + len(data), len(name)]) + name + data for name, data in sections)


def test_custom_sections() -> None:
    module = figwasp.Module(with_customs())
    assert module.custom_sections("a") == [b"first", b"\0second"]
    assert module.custom_sections("b") == [b""]
    assert module.custom_sections("absent") == []
    assert len(module.custom_sections("name")) == 1


def test_equality_and_hashes() -> None:
    binary = figwasp.wat(TEXT)
    one, two = figwasp.Module(binary), figwasp.Module(bytearray(binary))
    other = figwasp.Module(with_customs())
    checked = figwasp.Module(binary, engine=figwasp.Engine(memory="checked"))
    assert one == two and hash(one) == hash(two) and one is not two
    assert one != other and one != checked and one != binary
    assert checked == figwasp.Module(binary, engine=figwasp.Engine(memory="checked"))
    assert len({one, two, other, checked}) == 3
    assert figwasp.Module(binary, lazy=True) == one


def test_engines_are_values() -> None:
    features = DEFAULT.excluding("simd")
    every: list[dict[str, Any]] = [{}, {"features": features, "memory": "guard"}]
    every.append(dict(fuel=True, timeout=0.5, max_memory=1 << 20, max_table=10, max_instances=3, max_acalls=3, stack_size=2 << 20))
    for settings in every:
        engine = figwasp.Engine(**settings)
        assert engine == figwasp.Engine(**settings) and hash(engine) == hash(figwasp.Engine(**settings)) and engine.settings == settings
        copy = pickle.loads(pickle.dumps(engine))
        assert copy == engine and copy.settings == engine.settings
    assert repr(figwasp.Engine()) == "figwasp.Engine()"
    assert repr(figwasp.Engine(fuel=True, memory="checked")) == "figwasp.Engine(memory='checked', fuel=True)"
    assert figwasp.Engine(fuel=True) != figwasp.Engine()
    assert figwasp.Engine(memory="checked").config.mode != figwasp.Engine(memory="guard").config.mode
    with pytest.raises(ValueError, match="memory is"):
        figwasp.Engine(memory="both")


def test_an_engine_whose_settings_cannot_be_pickled() -> None:
    engine = figwasp.Engine(listener=lambda info: None)
    assert engine == engine and engine != figwasp.Engine(listener=lambda info: None)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(engine)


def test_modules_are_pickled() -> None:
    for engine in (None, figwasp.Engine(memory="checked")):
        module = figwasp.Module(figwasp.wat(TEXT), engine=engine)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            copy = pickle.loads(pickle.dumps(module, protocol))
            assert copy == module and copy._code is not module._code and copy.engine == module.engine
    copy = pickle.loads(pickle.dumps(figwasp.Module(figwasp.wat('(module (func (export "f") (result i32) (i32.const 3)))'))))
    assert figwasp.load(copy).f() == 3


def test_a_lazy_module_stays_lazy_in_a_pickle() -> None:
    binary = figwasp.wat('(module (func (export "good")) (func (export "bad") (result i32) (i64.const 1)))')
    copy = pickle.loads(pickle.dumps(figwasp.Module(binary, lazy=True)))
    assert figwasp.load(copy).good() is None


def test_modules_go_to_spawned_processes() -> None:
    """A module is an argument of a process pool like any other; the default engine is the default there."""
    out = check_script(
        """
        import multiprocessing, os, sys, tempfile, textwrap
        folder = tempfile.mkdtemp()
        sys.path.insert(0, folder)
        with open(os.path.join(folder, "worker.py"), "w") as file:
            file.write("import figwasp\\ndef run(module, x):\\n    return figwasp.load(module).f(x), module.engine is figwasp.Module(b'\\\\0asm\\\\1\\\\0\\\\0\\\\0').engine\\n")
        os.environ["PYTHONPATH"] += os.pathsep + folder
        import figwasp, worker
        module = figwasp.Module(figwasp.wat('(module (func (export "f") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))'))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.apply(worker.run, (module, 5)))
        """
    )
    assert out == "(15, True)\n"


def test_reprs() -> None:
    module = figwasp.Module(figwasp.wat(TEXT))
    size = len(figwasp.wat(TEXT))
    assert repr(module) == f"<figwasp.Module demo: 2 imports, 4 exports, {size} bytes>"
    assert repr(figwasp.Module(figwasp.wat("(module)"))) == "<figwasp.Module: 0 imports, 0 exports, 8 bytes>"
    assert [repr(item) for item in module.imports] == ["<import env.f: func (i32) -> ()>", "<import env.t: table 1 2 externref>"]
    assert [repr(item) for item in module.exports] == [
        "<export memory: memory 1 4>",
        "<export g: global (mut i64)>",
        "<export oops: tag (i32) -> ()>",
        "<export seven: func () -> i32>",
    ]
    instance = load('(module $m (memory (export "memory") 1) (table (export "t") 3 externref) (func $f (export "f") (param i32)))')
    assert repr(instance) == "<figwasp.Instance m exporting memory, t, f>"
    assert repr(instance.exports) == "<exports memory, t, f>"
    assert repr(instance.memory) == "<figwasp.Memory of 1 page>"
    assert repr(instance.t) == "<figwasp.Table of 3 externref>"
    assert repr(instance.f) == "<figwasp.Func f (i32) -> ()>"


def test_types_are_public_values() -> None:
    one, two = (figwasp.Module(figwasp.wat(TEXT)) for _ in range(2))
    assert one.imports == two.imports and one.exports == two.exports and len({*one.exports, *two.exports}) == 4
    func, table = (item.type for item in one.imports)
    assert func == types.FuncType((types.I32,), ()) and table == types.TableType(types.EXTERNREF, types.Limits(1, 2))
    memory = one.exports[0].type
    assert isinstance(memory, types.MemoryType) and (memory.limits.min, memory.limits.max) == (1, 4) and str(memory) == "memory 1 4"
    assert types.type_name(types.V128) == "v128"
    for name in types.__all__:
        assert hasattr(types, name)
    assert isinstance(load('(module (tag (export "t")))').t, figwasp.Tag)


def test_many_exports_are_found_quickly() -> None:
    """Reaching every export takes time in proportion to their number."""
    count = 20_000
    instance = load("(module (func $f (result i32) (i32.const 1))" + "".join(f'(export "f{k}" (func $f))' for k in range(count)) + ")")
    assert len(instance.exports) == count and f"f{count - 1}" in instance.exports
    assert sum(name in instance.exports for name in instance.exports) == count


def test_importing_is_light() -> None:
    """`import figwasp` brings in no NumPy, no event loop and no command line."""
    out = check_script(
        """
        import sys, figwasp
        print([name for name in ("numpy", "asyncio", "argparse", "figwasp.cli", "figwasp.wasi", "figwasp.explain", "typing_extensions") if name in sys.modules])
        """
    )
    assert out == "[]\n"


def test_wat_files_of_any_kind_of_path(tmp_path: Path) -> None:
    path = tmp_path / "m.wat"
    path.write_text("(module $from_text)")
    assert figwasp.Module(path).name == figwasp.Module(str(path)).name == "from_text"
    path.write_text("(module (func (param i33)))")
    with pytest.raises(figwasp.ParseError):
        figwasp.Module(path)
