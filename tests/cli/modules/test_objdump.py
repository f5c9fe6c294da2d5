"""`figwasp objdump`: its tables."""

from __future__ import annotations

from pathlib import Path

import pytest

import figwasp
from tests.cli.commands import MALFORMED, outcome

SOURCE = """(module $m
  (@custom "notes" (after export) "abc")
  (type $s (struct (field i32)))
  (import "env" "log" (func $log (param i32)))
  (import "env" "mem" (memory 1 2))
  (import "env" "g" (global (mut i64)))
  (import "env" "e" (tag (param i32)))
  (import "env" "t" (table 1 funcref))
  (func $main (export "main") (param i32) (result i32) (local.get 0))
  (func (export "\\n"))
  (func)
  (memory (export "memory") 1)
  (global i32 (i32.const 0))
  (start 2)
  (data (i32.const 0) "12345"))"""

TABLES = """\

Imports
  kind      index  name
  function      0  "env" "log" (i32) -> ()
  memory        0  "env" "mem" 1 2
  global        0  "env" "g" (mut i64)
  tag           0  "env" "e" (i32) -> ()
  table         0  "env" "t" 1 funcref

Exports
  kind      index  name
  function      1  "main" (i32) -> i32
  function      2  "\\u{a}" () -> ()
  memory        1  "memory"

Features used
  offset    functions  name
  {4:#08x}          0  mutable-globals: import section
  {5:#08x}          0  exceptions: import section
  {6:#08x}          0  multi-memory: memory section
  0x00000b          0  gc: type section

Functions
  index  offset      size  name
      1  {0:#08x}       4  $main
      2  {1:#08x}       2  $"\\u{{a}}"
      3  {2:#08x}       2

Totals
  types             4
  functions         4  1 imported
  tables            1  1 imported
  memories          2  1 imported
  tags              1  1 imported
  globals           2  1 imported
  exports           3
  code              8  bytes
  data              5  bytes
  custom           {3}  bytes
"""


def test_tables(tmp_path: Path) -> None:
    data = figwasp.wat(SOURCE)
    (tmp_path / "m.wasm").write_bytes(data)
    status, out, err = outcome("objdump", "m.wasm", cwd=tmp_path)
    assert (status, err) == (0, "")
    text = out.decode()
    head, _, tables = text.partition("\nImports")
    bodies = [data.index(b"\x04\x00\x20\x00\x0b") + 1]
    bodies += [bodies[0] + 5, bodies[0] + 8]
    custom = len(data) - data.index(b"\x04name") - 5 + 3
    expected = TABLES.replace('"\\u{a}" ()', '"\\u{{a}}" ()')
    lines = head.splitlines()
    starts = [int(next(line for line in lines if line.endswith(name)).split()[0], 16) for name in ("import", "memory")]
    tag = data.index(b"\1e\4") + 2
    assert "\nImports" + tables == expected.format(*bodies, custom, starts[0], tag, starts[1])
    assert lines[0] == f"m.wasm: {len(data)} bytes"
    assert lines[2:4] == ["Sections", "  offset      size   items  name"]
    names = [line[30:] for line in lines[4:]]
    assert names == [
        "type", "import", "function", "memory", "global", "export", 'custom "notes"', "start", "code", "data", 'custom "name"'
    ]  # fmt: skip
    assert lines[4].split() == ["0x00000a", str(data[9]), "4", "type"]
    assert lines[11].split() == [f"{data.index(bytes([8, 1, 2])) + 2:#08x}", "1", "start"]


def test_text_and_standard_input(tmp_path: Path) -> None:
    _, from_text, _ = outcome("objdump", stdin=SOURCE.encode())
    _, from_binary, _ = outcome("objdump", "-", stdin=figwasp.wat(SOURCE))
    assert from_text == from_binary
    assert from_text.startswith(b"<stdin>: ")


def test_the_empty_module() -> None:
    status, out, err = outcome("objdump", stdin=b"(module)")
    assert (status, err) == (0, "")
    assert out.decode().split() == "<stdin>: 8 bytes Totals types 0 exports 0".split()


def test_sizes_add_up(shared: Path) -> None:
    path = (shared / "programs" / "modules" / "smallpt-ex-mv.wasm").resolve(strict=True)
    status, out, _ = outcome("objdump", path)
    assert status == 0
    lines = out.decode().splitlines()
    sections = lines[lines.index("Sections") + 2 : lines.index("Imports") - 1]
    last = sections[-1].split()
    assert int(last[0], 16) + int(last[1]) == path.stat().st_size
    functions = lines[lines.index("Functions") + 2 : lines.index("Totals") - 1]
    assert len(functions) == 80
    assert sum(int(line.split()[2]) for line in functions) == int(next(line for line in lines if line.startswith("  code")).split()[1])
    assert any(line.endswith("  $main") for line in functions)


@pytest.mark.parametrize("source", [MALFORMED.encode(), figwasp.wat("(func)")[:-1], b"\0asm\2\0\0\0"])
def test_bad_input(source: bytes) -> None:
    status, out, err = outcome("objdump", stdin=source)
    assert (status, out) == (1, b"")
    assert err.startswith("figwasp: error: <stdin>:")
    assert err.count("figwasp: error: ") == 1


def test_features_of_functions() -> None:
    source = b"(func) (func (drop (i32.extend8_s (i32.const 1)))) (func (drop (i32.extend8_s (i32.const 1))))"
    status, out, _ = outcome("objdump", stdin=source)
    offset = figwasp.wat(source.decode()).index(0xC0)
    assert status == 0
    assert f"{offset:#08x}          2  sign-extension: i32.extend8_s in function 1" in out.decode()


def test_features_of_what_is_not_valid() -> None:
    status, out, _ = outcome("objdump", stdin=b"(func) (start 7)")
    assert status == 0
    assert "not known, since the module is not valid: unknown function 7" in out.decode()
