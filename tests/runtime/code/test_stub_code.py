"""The code of stubs: the same in every process, and each name that it refers to stands for something."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from figwasp.codegen.code import RELOC_STUB, RELOC_SYMBOL, STUB_ALLOCATE, STUB_FUEL
from figwasp.errors import LimitExceeded
from figwasp.ir import builtins
from figwasp.ir.types import BY_LETTER
from figwasp.runtime.platform import linux
from figwasp.runtime.start import native_runtime
from figwasp.runtime.stubs import catalogue, installed, interface
from figwasp.runtime.stubs.builtins import arrays, casts, exceptions, memories, objects, tables
from tests.runtime.support import check_script, load

LETTERS = [*BY_LETTER]
TYPES = ["", *LETTERS, "ilfdv", "i" * 20, "d" * 20]
WITH_REFS = ["r", "ir", "rr"]
SUSPENDABLE = ["host.async", "start", "resume", "raw", "host.general"]


def keys() -> list[str]:
    """Return the keys of all stubs, for function types of every kind of values, in registers and in memory."""
    types = [f"{params}:{results}" for params, results in product(TYPES, ["", "i", "vl", "fd" * 12])]
    found = [*catalogue.SEQUENCES, *catalogue.PLAIN, *[f"builtin:{name}" for name in builtins.NAMES]]
    found += [f"{head}:{type}" for head in ("enter", "host", "host.body", *SUSPENDABLE) for type in types]
    found += [f"enter.refs:{params}:{results}" for params in ("", *WITH_REFS) for results in ("", "r", "ri") if "r" in params + results]
    found += [f"{head}:{params}:i" for head in ("host", "host.body") for params in WITH_REFS]
    found += [f"call_python:{count}" for count in range(max(map(len, builtins.PARAMS)) + 1)]
    return [*found, "object.clear:", "object.clear:40:48", *[f"followed:{number}" for number in range(4)]]


SCRIPT = """
import hashlib, json, pathlib, sys
from figwasp.codegen.stored import serial
from figwasp.runtime.platform import linux
from figwasp.runtime.stubs import catalogue
made = {key: hashlib.sha256(serial.to_bytes(catalogue.code(key))).hexdigest() for key in json.loads(pathlib.Path(sys.argv[1]).read_text())}
print(json.dumps([linux.symbol("memset"), id(object()), made]))
"""


def test_the_code_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Whatever the addresses, the hashes, the size of the environment, and what has been compiled before."""
    given = keys()
    answers = []
    for number, order in enumerate((given, given[::-1])):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(order))
        env = {"PYTHONHASHSEED": f"{1 + number}", "FIGWASP_TEST_ROOM": "x" * (1 + number * 50_000)}
        answers.append(json.loads(check_script(SCRIPT, str(file), env=env)))
    (function, thing, first), (other_function, other_thing, second) = answers
    if Path("/proc/sys/kernel/randomize_va_space").read_text().strip() == "2":
        assert function != other_function and thing != other_thing, "the processes are the same"
    assert len(first) == len(given) > 300
    assert [key for key in given if first[key] != second[key]] == []


def test_every_stub_can_be_put_in_place() -> None:
    """What it refers to is there, and is what its words hold."""
    load("")  # for what comes later
    stubs = native_runtime().stubs
    for key in keys():
        if key != "switches":  # of which there is one
            assert stubs.stub(key) == stubs.stub(key)
    for number in (STUB_FUEL, STUB_ALLOCATE):
        assert stubs.resolve(RELOC_STUB, number)
    numbers = stubs._words.values()
    assert len(set(numbers)) == len(numbers) > 100
    for name, number in stubs._words.items():
        assert linux.read_u64(stubs._region.cells + 8 * number) == stubs.symbols.value(name) != 0, name


def test_nothing_is_relocated_but_calls_and_loads() -> None:
    """The word of a symbol is read by all that refers to it, and nothing holds an address."""
    for key in keys():
        code = catalogue.code(key)
        assert {field for _, field, _, _ in code.relocs} <= {0}, key
        assert {target for _, _, kind, target in code.relocs if kind == RELOC_SYMBOL} == set(range(len(code.symbols))), key


def test_there_is_no_other_stub() -> None:
    stubs = native_runtime().stubs
    for key in ("", "nothing", "enter", "entry:i:", "leave:i:"):
        with pytest.raises((KeyError, TypeError)):
            stubs.stub(key)
    for name in ("object.nothing", "nothing.tick", "callback.nothing", "static.nothing", "stub.nothing", "Py_Nothing", "nothing"):
        with pytest.raises((KeyError, AttributeError)):
            stubs.symbols.value(name)


def test_words_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there are no more stubs with names of their own, and the others go on."""
    load("")
    stubs = native_runtime().stubs
    stubs.stub("host:iiidddiii:i")
    monkeypatch.setattr(installed, "_WORDS", len(stubs._words))
    with pytest.raises(LimitExceeded, match="stubs refer to more than"):
        stubs.stub("host:iiidddii:i")
    assert stubs.stub("host.body:iiidddii:i"), "which refers to what others do"
    monkeypatch.undo()
    assert stubs.stub("host:iiidddii:i")


def test_kinds_are_spelled() -> None:
    assert interface.spelled(bytes([*BY_LETTER.values(), interface.REF]), b"") == "".join(BY_LETTER) + "r:"
    assert interface.kinds_of("rvl") == bytes([interface.REF, BY_LETTER["v"], BY_LETTER["l"]])


def test_builtins_that_need_nothing_of_python() -> None:
    parts = (memories, objects, arrays, casts, exceptions)
    assert {number for part in parts for number in part.BUILTINS} | tables.PURE == interface.NATIVE
