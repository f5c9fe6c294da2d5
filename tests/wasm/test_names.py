"""The name section: what is read, what is ignored, and writing."""

from __future__ import annotations

import pytest

from figwasp.wasm.decode import decode
from figwasp.wasm.names import Names, read_names, write_names
from tests.wasm.binary import binary, func_type, one_func, section, u, vec


def name(text: str) -> bytes:
    return u(len(text.encode())) + text.encode()


def example() -> Names:
    names = Names()
    names.module = "mödule"
    names.funcs = {0: "main", 300: "späť"}
    names.locals = {0: {0: "x", 1: "y"}, 7: {130: "z"}}
    return names


def read(data: bytes) -> tuple[str | None, dict[int, str], dict[int, dict[int, str]]]:
    names = read_names(b"\xff" + data + b"\xff", 1, 1 + len(data))
    return names.module, names.funcs, names.locals


def test_round_trip() -> None:
    names = example()
    assert read(write_names(names)) == (names.module, names.funcs, names.locals)
    assert write_names(Names()) == b""


FUNCS = section(1, vec([u(3) + name("f")]))


@pytest.mark.parametrize(
    "tail",
    [
        b"\x02",
        b"\x02\x80",
        section(2, b"\x01\x00\x05\x00"),
        section(0, b"\x05abc"),
        section(0, b"\x02\xff\xfe"),
        section(1, b"\xff\xff\xff\xff\x0f"),
        section(77, b"future"),
        b"\x00\x40\x01a",
    ],
)
def test_what_is_malformed_is_ignored(tail: bytes) -> None:
    module, funcs, _ = read(FUNCS + tail)
    assert module is None
    assert funcs == {3: "f"}


def test_entries_before_a_malformed_one_stay() -> None:
    assert read(section(1, vec([u(3) + name("f"), u(4) + b"\x02\xff\xff"])))[1] == {3: "f"}


def test_module_asks_the_name_section_then_the_exports() -> None:
    names = Names()
    names.module = "m"
    names.locals = {0: {0: "x"}}
    export = section(7, vec([name("out") + b"\0\0", name("again") + b"\0\0"]))
    module = decode(one_func(b"", before=export, after=section(0, name("name") + write_names(names))))
    assert module.name == "m"
    assert module.func_name(0) == "out"
    assert module.func_name(1) is None
    assert (module.local_name(0, 0), module.local_name(0, 1), module.local_name(1, 0)) == ("x", None, None)
    names.funcs = {0: "inner"}
    module = decode(one_func(b"", before=export, after=section(0, name("name") + write_names(names))))
    assert module.func_name(0) == "inner"


def test_a_broken_name_section_does_not_break_the_module() -> None:
    module = decode(binary(section(1, vec([func_type()])), section(0, name("name") + b"\x01\xff")))
    assert module.name is None
    assert module.func_name(0) is None
