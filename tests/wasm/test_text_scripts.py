"""Text to binary and back on the modules of the spec's scripts, also side by side with another toolchain."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.errors import Error, Malformed, ParseError
from figwasp.wasm.decode import decode
from figwasp.wasm.parse import parse_form, wat
from figwasp.wasm.print import show
from figwasp.wasm.validate import validate
from tests.wasm.comparison import SCALAR_SCRIPTS, canonical_bytes, forms, peer_modules, script, tool


@pytest.mark.parametrize("name", ["tiny", "host", "spin"])
def test_kernels(shared: Path, name: str) -> None:
    module = decode(wat((shared / "kernels" / "wat" / f"{name}.wat").read_bytes()))
    validate(module)
    assert wat(show(module)) == module.data


MALFORMED_SCRIPTS = """
    align annotations block call_indirect const f32 f64 float_literals func global i32 i64 id if imports int_literals
    load loop memory obsolete-keywords start store table token type utf8-invalid-encoding
""".split()
LATER = ("unknown operator", "unexpected token (", "unexpected token i64", "unexpected token ref")
"""How text of Wasm 3.0 that is not read yet is refused."""
NOT_YET_CONSTANT = ("constant expression required", "unknown global 0")


@pytest.mark.parametrize("name", SCALAR_SCRIPTS)
def test_modules_of_the_core_scripts(shared: Path, name: str) -> None:
    tokens = script(shared, name)
    read = 0
    for at in forms(tokens):
        if tokens.items[at + 1] != "module" or tokens.items[at + 2] == "instance":
            continue
        message = ""
        try:
            form = parse_form(tokens, at)[0]
            data = form.encode()
        except ParseError as error:
            message = str(error).split("\n")[0].split(": ", 1)[1]
        assert not message or message.startswith(LATER)
        if message or form.binary is not None:
            continue
        module = decode(data)
        try:
            validate(module)
        except Error as error:
            message = str(error)
        assert not message or message.startswith(NOT_YET_CONSTANT)
        assert wat(show(module)) == data
        read += 1
    assert read, "no module of the script was read"


def test_a_script_may_be_the_fields_of_one_module(shared: Path) -> None:
    module = decode(wat((shared / "spec" / "core" / "inline-module.wast").read_bytes()))
    assert (len(module.bodies), len(module.memories)) == (2, 1)


@pytest.mark.parametrize("name", MALFORMED_SCRIPTS)
def test_malformed_text_of_the_core_scripts(shared: Path, name: str) -> None:
    tokens = script(shared, name)
    items = tokens.items
    read = 0
    for at in forms(tokens):
        if items[at + 1] != "assert_malformed":
            continue
        form, end = parse_form(tokens, at + 2)
        if form.quoted is None:
            continue
        read += 1
        with pytest.raises(Malformed) as caught:
            form.encode()
        message = str(caught.value).split("\n")[0].split(": ", 1)[1]
        assert message.startswith((items[end].strip('"'), "unknown operator return_call")), form.quoted
    assert read, "the script has no malformed text"


PEER_SCRIPTS = (
    "block call_indirect const data elem f32 float_literals func global i32 id if imports labels memory select".split()
)


@pytest.mark.parametrize("name", PEER_SCRIPTS)
def test_same_module_as_wasm_tools(shared: Path, name: str, tmp_path: Path) -> None:
    if tool("wasm-tools") is None:
        pytest.skip("no wasm-tools on the path")
    expected = peer_modules(shared / "spec" / "core" / f"{name}.wast", tmp_path)
    tokens = script(shared, name)
    compared = 0
    for at in forms(tokens):
        line = tokens.position(at)[0]
        if tokens.items[at + 1] != "module" or line not in expected:
            continue
        try:
            form = parse_form(tokens, at)[0]
        except ParseError:
            continue  # what may be refused is the matter of the test above
        if form.parsed is not None:
            assert canonical_bytes(form.encode()) == canonical_bytes(expected[line]), f"line {line}"
            compared += 1
    assert compared
