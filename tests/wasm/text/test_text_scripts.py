"""Text to binary on every module of the specification's scripts, also side by side with another toolchain.

Comparing with wasm-tools takes a sample of the scripts; FIGWASP_WHOLE_SUITE=1 in the environment takes them all.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from figwasp.errors import Error, Malformed
from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.text.print.module import show
from figwasp.wasm.valid.module import validate
from figwasp.wast.script import Command, parse_script
from tests.environment import WHOLE
from tests.tools import tool
from tests.wasm.text.comparison import canonical_bytes, peer_modules, scripts, with_modules

PARTS = 4
"""Into how many tests the scripts are split."""
SAMPLE = 1 if os.environ.get("FIGWASP_WHOLE_SUITE") else 4
"""Every how many-th script is compared with another toolchain's reading of it."""
MALFORMED = ("assert_malformed", "assert_malformed_custom", "assert_invalid_custom")

WRITTEN_FOR_32_BITS = {
    ("proposals/threads/memory", 83),
    ("proposals/threads/memory", 87),
    ("proposals/threads/memory", 91),
}
"""Limits beyond 32 bits are well-formed since memory64 and left to validation, as core/memory says; this script is older."""
OTHER_WORDS = {
    "core/simd/simd_const",  # another of two mistakes in one literal
    "core/simd/simd_lane",  # a float in place of a lane index
    "proposals/custom-page-sizes/memory_max_i64",
}
"""Scripts some of whose messages for malformed text are not ours; no message is normative."""
SUBTYPES_FOR_INLINE_TYPES = {("core/gc/type-subtyping", 344), ("core/gc/type-subtyping", 373)}
"""Modules in which wasm-tools lets `(func)` stand for an earlier type that is not final; the specification does not (6.4.6)."""


def commands(shared: Path, name: str) -> list[Command]:
    """Return the commands of a script that have a module."""
    return list(with_modules(parse_script((shared / "spec" / f"{name}.wast").read_bytes())))


@pytest.mark.parametrize("name", ["tiny", "host", "spin"])
def test_kernels(shared: Path, name: str) -> None:
    module = decode(wat((shared / "kernels" / "wat" / f"{name}.wat").read_bytes()))
    validate(module)
    assert wat(show(module)) == module.data


@pytest.mark.parametrize("part", range(PARTS))
def test_every_module_is_read(shared: Path, part: int) -> None:
    read = 0
    for name in scripts(shared)[part::PARTS]:
        for command in commands(shared, name):
            if command.kind in MALFORMED or command.source is None or command.source.binary:
                continue
            try:
                decode(command.source.encode(), ALL)
            except Error as error:
                pytest.fail(f"{name}:{command.line}: {error}")
            read += 1
    assert read > (1000 if WHOLE else 50)


@pytest.mark.parametrize("part", range(PARTS))
def test_malformed_text_is_refused(shared: Path, part: int) -> None:
    refused = 0
    for name in scripts(shared)[part::PARTS]:
        for command in commands(shared, name):
            if command.kind not in MALFORMED or command.source is None or command.source.binary:
                continue
            if (name, command.line) in WRITTEN_FOR_32_BITS:
                continue
            with pytest.raises(Error) as caught:
                command.source.encode()
            assert command.kind == "assert_invalid_custom" or isinstance(caught.value, Malformed)
            if name not in OTHER_WORDS:
                message = str(caught.value).split("\n")[0].split(": ", 1)[1]
                assert message.startswith(command.text), f"{name}:{command.line}"
            refused += 1
    assert refused > (100 if WHOLE else 0)


@pytest.mark.parametrize("part", range(PARTS))
def test_same_module_as_wasm_tools(shared: Path, part: int, tmp_path: Path) -> None:
    tool("wasm-tools")
    compared = 0
    for name in scripts(shared)[part::PARTS][::SAMPLE]:
        folder = tmp_path / name.replace("/", "-")
        folder.mkdir()
        expected = peer_modules(shared / "spec" / f"{name}.wast", folder)
        if not expected and name.startswith("legacy/"):
            continue  # of the legacy instructions wasm-tools knows the flat form only
        for command, binary in zip(commands(shared, name), expected, strict=True):
            if command.kind in MALFORMED or command.source is None or command.source.binary:
                continue
            if binary is not None and (name, command.line) not in SUBTYPES_FOR_INLINE_TYPES:
                ours = canonical_bytes(command.source.encode())
                theirs = canonical_bytes(binary)
                differing = {part: (ours[part], theirs[part]) for part in ours if ours[part] != theirs[part]}
                assert not differing, f"{name}:{command.line}"
                compared += 1
    assert compared > (100 if WHOLE else 5)


def test_a_script_may_be_the_fields_of_one_module(shared: Path) -> None:
    module = decode(wat((shared / "spec" / "core" / "inline-module.wast").read_bytes()))
    assert (len(module.bodies), len(module.memories)) == (2, 1)
