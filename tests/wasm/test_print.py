"""Binary to text: what it looks like, and that it parses back to the same binary."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.errors import Error, LimitExceeded, Malformed
from figwasp.wasm.decode import decode
from figwasp.wasm.encode import encode, locals_vector, write_instr
from figwasp.wasm.immediates import KIND_NAMES, Immediate
from figwasp.wasm.module import Elem, Module
from figwasp.wasm.names import Names
from figwasp.wasm.opcodes import ROWS, Opcode
from figwasp.wasm.parse import parse, wat
from figwasp.wasm.print import func_lines, show, show_func
from figwasp.wasm.types import I32, FuncType
from tests.wasm.comparison import canonical, canonical_bytes

SOURCE = """
(module $m
  (import "env" "log\\0a\\"\\u{202e}é" (func $log (param $what i32)))
  (import "env" "mem" (memory 1 2))
  (import "env" "g" (global $g (mut i64)))
  (table 3 10 funcref)
  (table externref (elem (ref.null extern)))
  (global $h i32 (i32.const -7))
  (func $main (export "main") (param $x i32) (param f32) (result i32) (local i32 i32) (local $"odd name" f64)
    (block $out (result i32)
      (loop (br_if 1 (i32.const 2) (local.get $x)) (drop)
        (if (local.get 2)
          (then (call $log (i32.load8_u offset=4 (i32.const 0))))
          (else (br_table 0 1 2 3 (i32.const 1) (i32.const 0)))))
      (drop (f32.const 0.1)) (drop (f64.const nan:0x123))
      (i32.store align=1 (i32.const 0) (select (result i32) (i32.const 1) (i32.const 2) (local.get 0)))
      (call_indirect 0 (param i32 i32) (i32.const 1) (i32.const 2) (i32.const 0))
      (local.get $x)))
  (start $quiet)
  (func $quiet)
  (elem (i32.const 1) $main $log)
  (elem $p funcref (ref.null func) (item ref.func $quiet))
  (elem declare func $quiet)
  (data (i32.const 16) "plain \\"quoted\\" \\00\\ff")
  (data "passive"))
"""

SHOWN = """\
(module $m
  (type (;0;) (func (param i32)))
  (type (;1;) (func (param i32 f32) (result i32)))
  (type (;2;) (func (param i32 i32)))
  (type (;3;) (func))
  (import "env" "log\\u{a}\\"\\u{202e}é" (func $log (;0;) (type 0) (param $what i32)))
  (import "env" "mem" (memory (;0;) 1 2))
  (import "env" "g" (global (;0;) (mut i64)))
  (func $main (;1;) (type 1) (param $x i32) (param f32) (result i32)
    (local i32 i32) (local $"odd name" f64)
    block (result i32)  ;; label = @1
      loop  ;; label = @2
        i32.const 2
        local.get $x
        br_if 1 (;@1;)
        drop
        local.get 2
        if  ;; label = @3
          i32.const 0
          i32.load8_u offset=4
          call $log
        else
          i32.const 1
          i32.const 0
          br_table 0 (;@3;) 1 (;@2;) 2 (;@1;) 3
        end
      end
      f32.const 0.1
      drop
      f64.const nan:0x123
      drop
      i32.const 0
      i32.const 1
      i32.const 2
      local.get $x
      select (result i32)
      i32.store align=1
      i32.const 1
      i32.const 2
      i32.const 0
      call_indirect (type 2)
      local.get $x
    end)
  (func $quiet (;2;) (type 3))
  (table (;0;) 3 10 funcref)
  (table (;1;) 1 1 externref)
  (global (;1;) i32 i32.const -7)
  (export "main" (func $main))
  (start $quiet)
  (elem (;0;) (table 1) (offset i32.const 0) externref (item ref.null extern))
  (elem (;1;) (table 0) (offset i32.const 1) func $main $log)
  (elem (;2;) funcref (item ref.null func) (item ref.func $quiet))
  (elem (;3;) declare func $quiet)
  (data (;0;) (memory 0) (offset i32.const 16) "plain \\22quoted\\22 \\00\\ff")
  (data (;1;) "passive"))
"""


def test_module() -> None:
    data = wat(SOURCE)
    assert show(decode(data)) == SHOWN
    assert wat(SHOWN) == data


def test_offsets_are_those_of_the_instructions() -> None:
    code = "local.get 0 (if (result i32) (local.get 0) (then i32.const 300) (else i32.const 1)) i32.add"
    module = decode(wat(f"(func (param i32) (result i32) {code})"))
    start = module.bodies[0].start
    assert func_lines(module, 0) == [
        (start, "(func (;0;) (type 0) (param i32) (result i32)"),
        (start + 1, "  local.get 0"),
        (start + 3, "  local.get 0"),
        (start + 5, "  if (result i32)  ;; label = @1"),
        (start + 7, "    i32.const 300"),
        (start + 10, "  else"),
        (start + 11, "    i32.const 1"),
        (start + 13, "  end"),
        (start + 14, "  i32.add)"),
    ]
    lines = show(module, offsets=True).split("\n")
    assert lines[2] == f"(;{start:06x};)   (func (;0;) (type 0) (param i32) (result i32)"
    assert lines[0] == "           (module"
    assert wat("\n".join(lines)) == module.data


def test_one_function() -> None:
    module = decode(wat(SOURCE))
    assert show_func(module, 2) == "(func $quiet (;2;) (type 3))\n"
    assert show_func(module, 0).startswith('(import "env" "log')
    start = module.bodies[1].start
    assert show_func(module, 2, offsets=True) == f"(;{start:06x};) (func $quiet (;2;) (type 3))\n"


def test_names_that_are_no_identifiers() -> None:
    parsed = parse("(func (param i32 i32)) (func) (func) (func) (func)")
    names = Names()
    names.module = "two words"
    names.funcs = {0: "same", 1: "same", 2: "same#1", 3: "", 4: 'q"\\\u200b'}
    names.locals = {0: {0: "x", 1: "x", 7: "beyond"}}
    text = show(decode(encode(parsed.module, parsed.bodies, parsed.datas, names)))
    heads = [line.strip() for line in text.split("\n") if "(func $" in line or "(func (;" in line]
    assert text.startswith('(module $"two words"\n')
    assert heads[-5:] == [
        "(func $same (;0;) (type 0) (param $x i32) (param $x#1 i32))",
        "(func $same#2 (;1;) (type 1))",
        "(func $same#1 (;2;) (type 1))",
        "(func (;3;) (type 1))",
        '(func $"q\\"\\\\\\u{200b}" (;4;) (type 1)))',
    ]
    assert decode(wat(text)).names.funcs == {0: "same", 1: "same#2", 2: "same#1", 4: 'q"\\\u200b'}


SAMPLES: dict[str, list[Immediate]] = {
    "none": [None],
    "block": [-0x40, I32 - 0x80, 0],
    "labels": [(0,), (0, 0, 0), tuple([0] * 20)],
    "type_table": [(0, 0), (0, 1)],
    "memarg": [(0, 0, 0), (1, 5, 0), (2, 0xFFFF_FFFF, 0), (3, 1, 1)],
    "i32": [0, -(1 << 31), (1 << 31) - 1],
    "i64": [0, -(1 << 63), (1 << 63) - 1],
    "f32": [0, 1, 0x8000_0000, 0x7F80_0000, 0xFFFF_FFFF, 0x3DCC_CCCD],
    "f64": [0, 1, 1 << 63, 0x7FF0_0000_0000_0000, (1 << 64) - 1, 0x3FB9_9999_9999_999A],
    "reftype": [0x70, 0x6F],
    "select_types": [bytes((I32,)), b"", bytes((I32, I32))],
}
INDICES: list[Immediate] = [0, 1, 0xFFFF_FFFF]
PAIRS: list[Immediate] = [(0, 0), (0, 1), (1, 0), (3, 2)]


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in ("else", "end")], ids=lambda row: row.name)
def test_every_instruction_parses_back(row: Opcode) -> None:
    kind = KIND_NAMES[row.immediates]
    for immediate in SAMPLES.get(kind, PAIRS if "_" in kind else INDICES):
        body = bytearray(locals_vector(b""))
        write_instr(body, row.code, immediate)
        body += b"\x0b" if kind == "block" else b""
        module = Module()
        module.types.append(FuncType(b"", b""))
        module.func_types.append(0)
        data = encode(module, [bytes(body) + b"\x0b"], [])
        text = show(decode(data))
        assert parse(text).bodies == [bytes(body) + b"\x0b"], text


def test_deep_nesting_prints_in_linear_space() -> None:
    depth = 5_000
    data = wat("(func " + "(block " * depth + ")" * depth + ")")
    text = show(decode(data))
    assert len(text) < 200 * depth
    assert wat(text) == data


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("00", Malformed),
        ("00ff0b", Malformed),
        ("00fc7f0b", Malformed),
        ("000b0b", Malformed),
        ("0041800b", Malformed),
        ("0101820b", Malformed),
        ("01ffffffff0f7f0b", LimitExceeded),
    ],
)
def test_code_that_is_none(body: str, error: type[Error]) -> None:
    module = Module()
    module.types.append(FuncType(b"", b""))
    module.func_types.append(0)
    decoded = decode(encode(module, [bytes.fromhex(body), b"\x00\x0b"][:1], []))
    with pytest.raises(error):
        show(decoded)


def test_segments_without_elements() -> None:
    module = Module()
    module.elems.append(Elem(0x6F, 1, 0, None, []))
    module.elems.append(Elem(0x70, 1, 0, None, []))
    data = encode(module, [], [])
    assert wat(show(decode(data))) == data


@pytest.mark.parametrize("name", ["mal", "mandel", "c-ray", "smallpt-ex-mv", "brotli"])
def test_programs_parse_back(shared: Path, name: str) -> None:
    path = shared / "programs" / "modules" / f"{name}.wasm"
    module = decode(path.read_bytes())
    *expected, names = canonical(module)
    *found, found_names = canonical_bytes(wat(show(module)))
    assert found == expected
    assert isinstance(names, tuple) and isinstance(found_names, tuple)
    assert found_names[0] == names[0]
    assert found_names[1].keys() == names[1].keys()  # equal names were told apart by a number
    assert all(new == old or new.startswith(f"{old}#") for new, old in zip(found_names[1].values(), names[1].values()))
