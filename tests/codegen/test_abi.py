"""Calling conventions: locations by type."""

from __future__ import annotations

import pytest

from figwasp.codegen import abi
from figwasp.codegen.isa.x64.registers import NAMES
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.mach import NONE, STACK
from figwasp.errors import Unsupported

LETTERS = {"i": 0, "l": 1, "f": 2, "d": 3}


def types(letters: str) -> bytes:
    return bytes(LETTERS[letter] for letter in letters)


def names(locs: list[int]) -> str:
    return " ".join(f"+{loc - STACK}" if loc >= STACK else NAMES[loc] for loc in locs)


@pytest.mark.parametrize(
    ("params", "results", "where", "back", "hidden", "stack", "area"),
    [
        ("", "", "", "", "", 0, 0),
        ("il", "d", "rax rcx", "xmm0", "", 0, 0),
        ("ilfdi", "fi", "rax rcx xmm0 xmm1 rdx", "xmm0 rax", "", 0, 0),
        ("iiiiiii", "lllllll", "rax rcx rdx rsi rdi r8 r9", "rax rcx rdx rsi rdi r8 r9", "", 0, 0),
        ("iiiiiiiil", "", "rax rcx rdx rsi rdi r8 r9 +0 +1", "", "", 16, 0),
        ("dddddddddi", "", "xmm0 xmm1 xmm2 xmm3 xmm4 xmm5 xmm6 xmm7 +0 rax", "", "", 16, 0),
        ("iiiiiiiifffffffff", "i", "rax rcx rdx rsi rdi r8 r9 +0 xmm0 xmm1 xmm2 xmm3 xmm4 xmm5 xmm6 xmm7 +1", "rax", "", 16, 0),
        ("iiiiiiiiii", "", "rax rcx rdx rsi rdi r8 r9 +0 +1 +2", "", "", 32, 0),
        ("i", "iiiiiiiif", "rax", "rax rcx rdx rsi rdi r8 r9 +0 xmm0", "rcx", 0, 8),
        ("iiiiiii", "iiiiiiiil", "rax rcx rdx rsi rdi r8 r9", "rax rcx rdx rsi rdi r8 r9 +0 +1", "+0", 16, 16),
        ("", "ddddddddd", "", "xmm0 xmm1 xmm2 xmm3 xmm4 xmm5 xmm6 xmm7 +0", "rax", 0, 8),
    ],
)
def test_wasm_convention(params: str, results: str, where: str, back: str, hidden: str, stack: int, area: int) -> None:
    signature = abi.wasm_signature(TARGET, types(params), types(results))
    assert names(signature.params) == where
    assert names(signature.results) == back
    assert (names([signature.hidden]) if signature.hidden != NONE else "") == hidden
    assert (signature.stack_bytes, signature.area_bytes) == (stack, area)
    assert abi.wasm_signature(TARGET, types(params), types(results)) is signature


def test_params_and_results_are_kept_apart() -> None:
    """Signatures are found again by type, and one without results is not one with them."""
    assert abi.wasm_signature(TARGET, b"\0\0", b"") is not abi.wasm_signature(TARGET, b"\0", b"\0")
    assert abi.wasm_signature(TARGET, b"", b"\0\0") is not abi.wasm_signature(TARGET, b"\0", b"\0")


@pytest.mark.parametrize(
    ("params", "result", "where", "back"),
    [
        ("llll", "l", "rdi rsi rdx rcx", "rax"),
        ("idlf", "d", "rdi xmm0 rsi xmm1", "xmm0"),
        ("lllllll", "", "rdi rsi rdx rcx r8 r9 +0", ""),
    ],
)
def test_c_convention(params: str, result: str, where: str, back: str) -> None:
    signature = abi.c_signature(TARGET, types(params), types(result))
    assert names(signature.params) == where
    assert names(signature.results) == back
    assert signature.hidden == NONE


def test_c_convention_has_one_result() -> None:
    with pytest.raises(Unsupported):
        abi.c_signature(TARGET, b"", b"\0\0")


def test_clobbers() -> None:
    """What survives a call, by name."""

    def kept(mask: int) -> str:
        return " ".join(NAMES[register] for register in range(32) if not mask >> register & 1)

    assert kept(abi.wasm_clobbers(TARGET)) == "rbx rsp rbp r10 r12 r13 r14 r15"
    assert kept(abi.c_clobbers(TARGET)) == "rbx rsp rbp r12 r13 r14 r15"
    assert kept(abi.all_clobbers(TARGET)) == "rsp r15"
