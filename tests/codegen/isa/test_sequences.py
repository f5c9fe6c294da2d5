"""Sequences that are written by hand for x86-64: what can be looked at without running them."""

from __future__ import annotations

from figwasp.codegen.isa.x64.features import EXTENDED_1_ECX, LEAF_1_ECX, LEAF_7_EBX, PROBE_WORDS, XCR0
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


PROBE = """\
mov r9,rbx
mov DWORD PTR [rdi],0x0
mov DWORD PTR [rdi+0x4],0x0
mov DWORD PTR [rdi+0x8],0x0
mov DWORD PTR [rdi+0xc],0x0
mov eax,0x0
cpuid
cmp eax,0x1
jb 0x39
mov eax,0x1
xor ecx,ecx
cpuid
mov DWORD PTR [rdi],ecx
mov eax,0x0
cpuid
cmp eax,0x7
jb 0x55
mov eax,0x7
xor ecx,ecx
cpuid
mov DWORD PTR [rdi+0x4],ebx
mov eax,0x80000000
cpuid
cmp eax,0x80000001
jb 0x74
mov eax,0x80000001
xor ecx,ecx
cpuid
mov DWORD PTR [rdi+0x8],ecx
test DWORD PTR [rdi],0x8000000
je 0x88
xor ecx,ecx
xgetbv
mov DWORD PTR [rdi+0xc],eax
mov rbx,r9
ret
"""


def test_the_probe_is_these_instructions() -> None:
    """It is bytes, as nothing else is needed to run it; jumps lead to the next question, and the last one to the end."""
    assert (LEAF_1_ECX, LEAF_7_EBX, EXTENDED_1_ECX, XCR0, PROBE_WORDS) == (0, 1, 2, 3, 4)
    data = TARGET.sequences.probe()
    lines, starts, offset = "", [], 0
    while offset < len(data):
        starts.append(offset)
        size, text = TARGET.decode(data, offset)
        lines += text + "\n"
        offset += size
    assert lines == PROBE
    assert {0x39, 0x55, 0x74, 0x88} <= set(starts)
