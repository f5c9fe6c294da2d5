"""Validation of everything but bodies: tables of invalid modules with the message for each."""

from __future__ import annotations

import pytest

from figwasp.errors import Invalid
from figwasp.features import ALL, MVP
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.types import I32
from figwasp.wasm.valid.module import validate_module
from tests.wasm.handmade import binary, entry, func_type, one_func, section, u, vec

EMPTY_TYPE = section(1, vec([func_type()]))
ZERO = b"\x41\0\x0b"

INVALID_MODULES = [
    (section(2, b"\1\0\0\0\0"), "unknown type 0"),
    (section(3, vec([u(7)])) + section(10, vec([entry(b"\x0b")])), "unknown type 7"),
    (section(4, b"\1\x70\1\2\1"), "size minimum must not be greater than maximum: table 0, 2 1"),
    (section(5, b"\1\1\2\1"), "size minimum must not be greater than maximum: memory 0, 2 1"),
    (section(4, b"\1\x70\0" + u(1 << 32)), "table size must be at most 4294967295 elements"),
    (section(5, b"\1\0" + u(1 << 32)), "memory size must be at most 65536 pages (4GiB)"),
    (section(5, b"\1\0" + u(65537)), "memory size must be at most 65536 pages (4GiB)"),
    (section(5, b"\1\1\0" + u(65537)), "memory size must be at most 65536 pages (4GiB)"),
    (section(6, b"\1\x7f\0\x0b"), "type mismatch: expected [i32], found []: global 0"),
    (section(6, b"\1\x7f\0\x42\0\x0b"), "type mismatch: expected [i32], found [i64]: global 0"),
    (section(6, b"\1\x7f\0\x41\0\x41\0\x0b"), "type mismatch: expected [i32], found [i32 i32]"),
    (section(6, b"\1\x6f\0\xd0\x70\x0b"), "type mismatch: expected [externref], found [funcref]"),
    (section(6, b"\1\x7f\0\x41\0\x6a\x0b"), "type mismatch: expected [i32 i32], found [i32] (at i32.add): global 0"),
    (section(6, b"\1\x7f\0\x02\x7f\x41\0\x0b\x0b"), "constant expression required (at block): global 0 at byte"),
    (section(6, b"\1\x7f\0\x01\x41\0\x0b"), "constant expression required (at nop): global 0 at byte"),
    (section(6, b"\1\x7f\0\x23\0\x0b"), "unknown global 0, which has no value yet (at global.get): global 0"),
    (section(6, b"\2\x7f\0\x23\1\x0b\x7f\0" + ZERO), "unknown global 1, which has no value yet"),
    (section(6, b"\1\x70\0\xd2\0\x0b"), "unknown function 0 (at ref.func): global 0"),
    (section(2, b"\1\0\0\3\x7f\1") + section(6, b"\1\x7f\0\x23\0\x0b"), "constant expression required: global 0 is mu"),
    (section(7, b"\1\1f\0\0"), "unknown function 0: export 'f'"),
    (section(7, b"\1\1t\1\0"), "unknown table 0: export 't'"),
    (section(7, b"\1\1m\2\0"), "unknown memory 0: export 'm'"),
    (section(7, b"\1\1g\3\0"), "unknown global 0: export 'g'"),
    (section(5, b"\1\0\0") + section(7, b"\2\1m\2\0\1m\2\0"), "duplicate export name 'm'"),
    (section(8, u(0)), "unknown function 0: start"),
    (section(9, b"\1\0" + ZERO + b"\0"), "unknown table 0: element segment 0"),
    (section(4, b"\1\x70\0\0") + section(9, b"\1\0" + ZERO + b"\1\3"), "unknown function 3 (at ref.func): element segment 0"),
    (section(4, b"\1\x70\0\0") + section(9, b"\1\0\x42\0\x0b\0"), "expected [i32], found [i64]: element segment 0"),
    (section(4, b"\1\x6f\0\0") + section(9, b"\1\0" + ZERO + b"\0"), "element segment 0 of (ref func) for table 0 externref"),
    (section(9, b"\1\5\x70\1" + ZERO), "type mismatch: expected [funcref], found [i32]: element segment 0"),
    (section(9, b"\1\5\x70\1\xd0\x6f\x0b"), "type mismatch: expected [funcref], found [externref]: element segment 0"),
    (section(11, b"\1\0" + ZERO + b"\0"), "unknown memory 0: data segment 0"),
    (section(11, b"\1\2\1" + ZERO + b"\0"), "unknown memory 1: data segment 0"),
    (section(5, b"\1\0\0") + section(11, b"\1\0\x43\0\0\0\0\x0b\0"), "expected [i32], found [f32]: data segment 0"),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "message"), INVALID_MODULES, ids=[row[1] for row in INVALID_MODULES])
def test_invalid_module(sections: bytes, message: str) -> None:
    types = EMPTY_TYPE if sections[0] == 3 else b""
    with pytest.raises(Invalid) as caught:
        validate_module(decode(binary(types, sections)))
    assert message in str(caught.value)


def test_start_type() -> None:
    with pytest.raises(Invalid, match=r"start function must have type \(\) -> \(\), found \(i32\) -> \(\)"):
        validate_module(decode(one_func(b"", params=bytes((I32,)), before=section(8, u(0)))))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (section(1, vec([func_type(b"", bytes((I32, I32)))])), "invalid result arity: type 0"),
        (section(2, b"\1\0\0\3\x7f\1"), "mutable globals cannot be imported"),
        (section(6, b"\1\x7f\1" + ZERO) + section(7, b"\1\1g\3\0"), "mutable globals cannot be exported: 'g'"),
        (section(4, b"\2\x70\0\0\x70\0\0"), "multiple tables"),
    ],
)
def test_a_proposal_that_is_off_is_invalid(sections: bytes, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        validate_module(decode(binary(sections), MVP))
    validate_module(decode(binary(sections), ALL))
