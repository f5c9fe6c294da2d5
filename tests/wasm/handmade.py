"""Small binaries by hand: sections from bytes, and modules around one body."""

from __future__ import annotations

from collections.abc import Iterable

from figwasp.wasm.binary.encode import MAGIC, locals_vector, write_instr
from figwasp.wasm.binary.leb128 import write_signed, write_unsigned
from figwasp.wasm.syntax.immediates import Immediate
from figwasp.wasm.syntax.opcodes import BY_NAME

END = b"\x0b"


def u(value: int) -> bytes:
    """Encode an unsigned integer."""
    out = bytearray()
    write_unsigned(out, value)
    return bytes(out)


def s(value: int) -> bytes:
    """Encode a signed integer."""
    out = bytearray()
    write_signed(out, value)
    return bytes(out)


def vec(items: Iterable[bytes]) -> bytes:
    """Encode a vector of encoded items."""
    listed = list(items)
    return u(len(listed)) + b"".join(listed)


def section(number: int, content: bytes) -> bytes:
    """Encode a section."""
    return bytes((number,)) + u(len(content)) + content


def binary(*sections: bytes) -> bytes:
    """Encode a module from its sections."""
    return MAGIC + b"".join(sections)


def func_type(params: bytes = b"", results: bytes = b"") -> bytes:
    """Encode a function type."""
    return b"\x60" + u(len(params)) + params + u(len(results)) + results


def code(*instrs: str | tuple[str, Immediate]) -> bytes:
    """Encode instructions by name, without a final `end`."""
    out = bytearray()
    for instr in instrs:
        name, immediate = (instr, None) if isinstance(instr, str) else instr
        write_instr(out, BY_NAME[name].code, immediate)
    return bytes(out)


def entry(body: bytes, local_types: bytes = b"") -> bytes:
    """Encode a code entry; the body brings its own `end`."""
    content = locals_vector(tuple(local_types)) + body
    return u(len(content)) + content


def one_func(
    body: bytes,
    params: bytes = b"",
    results: bytes = b"",
    local_types: bytes = b"",
    before: bytes = b"",
    after: bytes = b"",
    types: Iterable[bytes] = (),
    data_count: bytes = b"",
) -> bytes:
    """Encode a module with one function.

    Args:
        body: its instructions without the final `end`.
        params, results: its type, type 0.
        local_types: its locals.
        before: sections between the function and the code section.
        after: sections after the code section.
        types: encoded types 1 and up.
        data_count: the data count section.
    """
    return binary(
        section(1, vec([func_type(params, results), *types])),
        section(3, vec([u(0)])),
        before,
        data_count,
        section(10, vec([entry(body + END, local_types)])),
        after,
    )
