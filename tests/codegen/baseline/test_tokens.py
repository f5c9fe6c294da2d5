"""Tokens: what a body is cut into is all of it, each instruction in one piece."""

from __future__ import annotations

import pytest

import figwasp
from figwasp.codegen.baseline.reading import Run, skip_locals
from figwasp.codegen.baseline.tokens import BODY, INSTRUCTION, TOKEN
from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.valid.module import facts_at_once
from tests.property.modules import generate


def body(module: Module, index: int) -> bytes:
    """The instructions of a function."""
    found = module.body(index)
    return module.data[skip_locals(module.data, found.start) : found.end]


def of(text: str) -> bytes:
    """The instructions of the first function of a module."""
    return body(decode(figwasp.wat(f"(module {text})")), 0)


@pytest.mark.parametrize("seed", range(40))
def test_all_of_a_body_is_cut_and_counted(seed: int) -> None:
    module = decode(generate(seed), ALL)
    facts = facts_at_once(module)
    for index in range(module.num_imported_funcs, len(module.func_types)):
        data = body(module, index)
        end = BODY.match(data).end()  # type: ignore[union-attr]
        tokens = [pair for pair in TOKEN.findall(data, 0, end) if any(pair)]
        assert b"".join(run + control for run, control in tokens) == data[:end]
        runs = [INSTRUCTION.findall(run) for run, _ in tokens]
        assert all(b"".join(instrs) == run for instrs, (run, _) in zip(runs, tokens, strict=True))
        if end == len(data):
            assert sum(map(len, runs)) + sum(bool(control) for _, control in tokens) == facts(index).num_ops


@pytest.mark.parametrize("type", ["(ref extern)", "(ref null func)", "externref", "i32", "f64"])
def test_types_of_blocks_of_one_and_two_bytes(type: str) -> None:
    data = of(f"(func (param {type}) (result {type}) (block (result {type}) (local.get 0)) (local.set 0) (local.get 0))")
    (first, *_, last) = [pair for pair in TOKEN.findall(data) if any(pair)]
    assert first[0] == b"" and first[1][0] == 2 and last == (b"\x20\0", b"\x0b")
    assert b"".join(run + control for run, control in TOKEN.findall(data)) == data


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("(local.set 2 (i32.add (local.get 0) (local.get 1)))", 1),
        ("(local.set 2 (i32.add (local.get 0) (i32.const -5)))", 1),
        ("(i32.store offset=300 (local.get 0) (i32.load (local.get 1)))", 3),
        ("(local.set 2 (i32.sub (local.get 0) (i32.const 1)))", 3),
        ("(local.set 1 (local.get 0))", 1),
        ("(i32.store (local.get 0) (local.get 1))", 1),
    ],
)
def test_what_stands_together(text: str, tokens: int) -> None:
    data = of(f"(memory 1) (func (param i32 i32 i32) {text})")
    assert sum(bool(run) for run, _ in TOKEN.findall(data)) == tokens


def test_what_is_read_of_a_run() -> None:
    run = Run(bytes.fromhex("2081014290dd7b7c21c801"))
    assert (run.key, run.locals, run.number) == (b"\x20\x42\x7c\x21", [129, 200], -70000)
    run = Run(bytes.fromhex("2001280280808010"))
    assert (run.key, run.locals, run.offset) == (b"\x20\x28", [1], 0x2000000)
    assert Run(bytes.fromhex("44000000000000f03f")).number == 0x3FF0_0000_0000_0000
