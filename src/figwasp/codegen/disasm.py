"""Floor 3: machine code as text, from the same instruction table that made it.

In goes a `Code`; out comes one entry per instruction: offset, bytes, text. The decoder is the target's.
"""

from __future__ import annotations

from figwasp.codegen.code import Code
from figwasp.codegen.target import Target


def disassemble(code: Code, target: Target) -> list[tuple[int, bytes, str]]:
    """List the instructions of a function: offset, bytes, text; the data after them is left out."""
    text = code.data[: code.text_size]
    decode = target.decode
    listing: list[tuple[int, bytes, str]] = []
    offset = 0
    while offset < len(text):
        length, line = decode(text, offset)
        listing.append((offset, text[offset : offset + length], line))
        offset += length
    return listing
