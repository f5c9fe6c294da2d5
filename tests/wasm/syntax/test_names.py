"""The name section: what is read, what is ignored, and writing."""

from __future__ import annotations

import pytest

from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.leb128 import read_u32
from figwasp.wasm.syntax.names import Names, read_field_names, read_names, write_names
from tests.wasm.handmade import binary, func_type, one_func, section, u, vec


def name(text: str) -> bytes:
    return u(len(text.encode())) + text.encode()


def example() -> Names:
    names = Names()
    names.module = "mödule"
    names.funcs = {0: "main", 300: "späť"}
    names.locals = {0: {0: "x", 1: "y"}, 7: {130: "z"}}
    names.labels = {1: {0: "loop"}}
    names.types = {0: "t", 5: "u"}
    names.tables = {1: "table"}
    names.memories = {2: "memory"}
    names.globals = {3: "g"}
    names.elems = {4: "e"}
    names.datas = {0: "d", 1: ""}
    names.fields = {0: {0: "f", 200: "g"}, 1: {2: "h"}}
    names.tags = {9: "tag"}
    return names


def everything(names: Names) -> dict[str, object]:
    return {attribute: getattr(names, attribute) for attribute in Names.__slots__}


def read(data: bytes) -> tuple[str | None, dict[int, str], dict[int, dict[int, str]]]:
    names = read_names(b"\xff" + data + b"\xff", 1, 1 + len(data))
    return names.module, names.funcs, names.locals


def test_round_trip() -> None:
    names = example()
    assert read(write_names(names)) == (names.module, names.funcs, names.locals)
    assert everything(read_names(write_names(names), 0, len(write_names(names)))) == everything(names)
    assert write_names(Names()) == b""
    names.locals[3] = {}
    assert write_names(names) == write_names(example())


def test_names_of_fields_alone() -> None:
    data = write_names(example())
    for end in range(len(data) + 1):
        assert read_field_names(b"\xff" + data, 1, 1 + end) == read_names(data, 0, end).fields
    assert read_field_names(data, 0, len(data)) == example().fields


def test_subsections_are_written_in_the_order_of_their_ids() -> None:
    data = write_names(example())
    ids = []
    pos = 0
    while pos < len(data):
        ids.append(data[pos])
        size, pos = read_u32(data, pos + 1)
        pos += size
    assert ids == list(range(12))


def test_subsections_are_those_of_the_specification() -> None:
    names = Names()
    names.labels = {3: {4: "l"}}
    names.tags = {5: "t"}
    assert write_names(names) == b"\x03\x06\x01\x03\x01\x04\x01l" + b"\x0b\x04\x01\x05\x01t"


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
