"""Sequences that are written by hand for x86-64: what can be looked at without running them."""

from __future__ import annotations

from figwasp.codegen.isa.x64.target import TARGET


def test_where_a_function_finds_a_word_of_the_thread() -> None:
    """The code of three models of thread-local storage is known, with and without what begins a function."""
    function, got, index = 0x1000, 0x1100, 0x1200

    def offset(code: str) -> int | None:
        data = bytes.fromhex(code)
        words = {(function, 32): data, (got, 8): (2**64 - 40).to_bytes(8, "little")}
        return TARGET.sequences.thread_offset(function, lambda address, size: words[address, size], {index: 7, 1: 0}.get)

    begin = "F30F1EFA"
    far = (got - (function + 7)).to_bytes(4, "little").hex()
    assert offset("64488B0425E8FFFFFF4885C0") == offset(begin + "64488B0425E8FFFFFF4885C0") == 2**32 - 24
    assert offset(f"488B05{far}64488B00C3") == 2**32 - 40
    far = (got - (function + 4 + 7)).to_bytes(4, "little").hex()
    assert offset(f"{begin}488B05{far}64488B00C3") == 2**32 - 40
    far = (index - (function + 12)).to_bytes(4, "little").hex()
    assert offset(f"4883EC0866488D3D{far}666648E800010000488B00") == 7
    assert offset(f"4883EC0866488D3D{far}666648E800010000488B04") is None
    assert offset("4883EC0866488D3D00000000666648E800010000488B00") is None
    for other in ("", "C3", "488B0500000000488B00C3", "4883EC0866488D3DD4C92600"):
        assert offset(other) is None
