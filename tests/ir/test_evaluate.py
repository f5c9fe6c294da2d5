"""The evaluator, which other tests trust: against known results, and strict where machines are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from figwasp import errors, layout
from figwasp.ir import ops
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.evaluate.func import Environment, Evaluator, NativeMemory, OutOfSteps, Trapped, Undefined, Unwound
from figwasp.ir.evaluate.instance import EvalInstance, EvalModule
from figwasp.ir.evaluate.space import AddressSpace, Host
from figwasp.ir.func import CONV_C, Call, Func
from figwasp.ir.text import parse
from figwasp.layout import CHECKED, GUARD
from tests.ir.compiling import module_of
from tests.ir.evaluating import evaluated, invoke

MODES = pytest.mark.parametrize("mode", [GUARD, CHECKED], ids=["guard", "checked"])


def _instance(source: str, mode: int = GUARD, *hosts: Host) -> EvalInstance:
    return evaluated(module_of(source), mode, None, hosts, 100_000)


def _trap(instance: EvalInstance, name: str, *args: int) -> int:
    with pytest.raises(Trapped) as info:
        invoke(instance, name, *args)
    return info.value.code


def _evaluate(text: str, *args: int, environment: Environment | None = None) -> list[int]:
    return Evaluator(environment or Environment(NativeMemory()), 1000).run(parse(text), list(args))


# Whole modules


@MODES
@pytest.mark.parametrize("name", ["fib", "sha256"])
def test_kernels(shared: Path, name: str, mode: int) -> None:
    case = json.loads((shared / "kernels/kernels.json").read_text())[name]
    instance = evaluated(module_of((shared / f"kernels/wasm/{name}.wasm").read_bytes()), mode)
    assert invoke(instance, case["export"], case["n_small"]) == [case["expect_small"] % (1 << 32)]


MEMORY = """
(module
  (memory 1 3)
  (data (i32.const 8) "\\01\\02\\03\\04\\05\\06\\07\\ff")
  (data $later "abcdef")
  (func (export "load") (param i32) (result i64) local.get 0 i64.load offset=4)
  (func (export "load8") (param i32) (result i32) local.get 0 i32.load8_s)
  (func (export "load32") (param i32) (result i64) local.get 0 i64.load32_s)
  (func (export "store") (param i32 i32) local.get 0 local.get 1 i32.store16 offset=65534)
  (func (export "grow") (param i32) (result i32 i32) local.get 0 memory.grow memory.size)
  (func (export "fill") (param i32 i32 i32) local.get 0 local.get 1 local.get 2 memory.fill)
  (func (export "copy") (param i32 i32 i32) local.get 0 local.get 1 local.get 2 memory.copy)
  (func (export "init") (param i32 i32 i32) local.get 0 local.get 1 local.get 2 memory.init $later)
  (func (export "drop") data.drop $later))
"""


@MODES
class TestMemory:
    def test_loads(self, mode: int) -> None:
        instance = _instance(MEMORY, mode)
        assert invoke(instance, "load", 4) == [0xFF07_0605_0403_0201]
        assert invoke(instance, "load8", 15) == [0xFFFF_FFFF]
        assert invoke(instance, "load32", 12) == [0xFFFF_FFFF_FF07_0605]

    def test_accesses_out_of_bounds_trap(self, mode: int) -> None:
        instance = _instance(MEMORY, mode)
        assert invoke(instance, "load", 65536 - 12) == [0]
        assert _trap(instance, "load", 65536 - 11) == errors.TRAP_OUT_OF_BOUNDS_MEMORY
        assert _trap(instance, "load", 0xFFFF_FFFF) == errors.TRAP_OUT_OF_BOUNDS_MEMORY
        assert _trap(instance, "store", 1, 0) == errors.TRAP_OUT_OF_BOUNDS_MEMORY
        invoke(instance, "store", 0, 0xABCD_1234)
        assert instance.memories[0].data[-2:] == b"\x34\x12"

    def test_growing(self, mode: int) -> None:
        instance = _instance(MEMORY, mode)
        assert invoke(instance, "grow", 1) == [1, 2]
        invoke(instance, "store", 65536, 7)
        assert invoke(instance, "grow", 2) == [0xFFFF_FFFF, 2]
        assert invoke(instance, "grow", 0) == [2, 2]

    def test_bulk_operations(self, mode: int) -> None:
        instance = _instance(MEMORY, mode)
        invoke(instance, "fill", 100, 0x1FE, 3)
        invoke(instance, "init", 101, 2, 4)
        invoke(instance, "copy", 102, 101, 4)
        assert instance.memories[0].data[100:107] == b"\xfeccdef\0"
        invoke(instance, "drop")
        invoke(instance, "init", 0, 0, 0)
        for name, args in (("fill", (65536, 0, 1)), ("copy", (0, 65530, 7)), ("copy", (65530, 0, 7)), ("init", (0, 0, 1))):
            assert _trap(instance, name, *args) == errors.TRAP_OUT_OF_BOUNDS_MEMORY


TABLES = """
(module
  (type $unary (func (param i32) (result i32)))
  (import "" "f" (func $imported (param i32) (result i32)))
  (import "" "g" (global $start i32))
  (table $t 4 6 funcref)
  (table $u 2 externref)
  (elem (table $t) (i32.const 1) func $imported $double)
  (elem $later funcref (ref.func $double) (ref.null func) (ref.func $other))
  (global $g (mut funcref) (ref.null func))
  (func $double (param i32) (result i32) local.get 0 i32.const 2 i32.mul)
  (func $other (result i64) i64.const 5)
  (func (export "call") (param i32 i32) (result i32) local.get 1 local.get 0 call_indirect $t (type $unary))
  (func (export "init") (param i32 i32 i32) local.get 0 local.get 1 local.get 2 table.init $t $later)
  (func (export "copy") (param i32 i32 i32) local.get 0 local.get 1 local.get 2 table.copy $t $t)
  (func (export "drop") elem.drop $later)
  (func (export "grow") (param i32) (result i32 i32) ref.func $double local.get 0 table.grow $t table.size $t)
  (func (export "set") (param i32 externref) local.get 0 local.get 1 table.set $u)
  (func (export "get") (param i32) (result externref) local.get 0 table.get $u)
  (func (export "fill") (param i32 externref i32) local.get 0 local.get 1 local.get 2 table.fill $u)
  (func (export "global") (result i32) ref.func $other global.set $g global.get $g ref.is_null)
  (func (export "start") (result i32) global.get $start))
"""


class TestTables:
    @pytest.fixture
    def instance(self) -> EvalInstance:
        return _instance(TABLES, GUARD, lambda number: [number + 100])

    def test_indirect_calls(self, instance: EvalInstance) -> None:
        assert invoke(instance, "call", 1, 5) == [105]
        assert invoke(instance, "call", 2, 5) == [10]
        assert _trap(instance, "call", 0, 5) == errors.TRAP_UNINITIALIZED_ELEMENT
        assert _trap(instance, "call", 4, 5) == errors.TRAP_UNDEFINED_ELEMENT

    def test_segments(self, instance: EvalInstance) -> None:
        invoke(instance, "init", 1, 0, 3)
        assert invoke(instance, "call", 1, 5) == [10]
        assert _trap(instance, "call", 3, 5) == errors.TRAP_INDIRECT_CALL_TYPE_MISMATCH
        assert _trap(instance, "init", 3, 0, 2) == errors.TRAP_OUT_OF_BOUNDS_TABLE
        invoke(instance, "drop")
        assert _trap(instance, "init", 0, 0, 1) == errors.TRAP_OUT_OF_BOUNDS_TABLE

    def test_growing_and_copying(self, instance: EvalInstance) -> None:
        assert invoke(instance, "grow", 2) == [4, 6]
        assert invoke(instance, "call", 5, 4) == [8]
        assert invoke(instance, "grow", 1) == [0xFFFF_FFFF, 6]
        invoke(instance, "copy", 0, 1, 2)
        assert invoke(instance, "call", 0, 1) == [101]
        assert _trap(instance, "copy", 5, 0, 2) == errors.TRAP_OUT_OF_BOUNDS_TABLE

    def test_references(self, instance: EvalInstance) -> None:
        invoke(instance, "set", 1, 0x1234)
        assert invoke(instance, "get", 1) == [0x1234]
        invoke(instance, "fill", 0, 77, 2)
        assert invoke(instance, "get", 0) == [77]
        assert _trap(instance, "get", 2) == errors.TRAP_OUT_OF_BOUNDS_TABLE
        assert _trap(instance, "set", 2, 0) == errors.TRAP_OUT_OF_BOUNDS_TABLE
        assert invoke(instance, "global") == [0]
        assert invoke(instance, "start") == [0]


def test_start_function_and_globals() -> None:
    instance = _instance("""(module
      (global $a (mut i64) (i64.const -3)) (global $b f32 (f32.const 1.5)) (global $c (mut f64) (f64.const 0))
      (func $start global.get $a i64.const 1 i64.sub global.set $a)
      (start $start)
      (func (export "get") (result i64 f32) global.get $a global.get $b))""")
    assert invoke(instance, "get") == [(1 << 64) - 4, 0x3FC0_0000]


def test_several_results_pass_through_calls() -> None:
    instance = _instance("""(module
      (func $swap (param i32 i64) (result i64 i32) local.get 1 local.get 0)
      (func (export "f") (param i32 i64) (result i32 i64) local.get 0 local.get 1 call $swap call $swap2)
      (func $swap2 (param i64 i32) (result i32 i64) local.get 1 local.get 0))""")
    assert invoke(instance, "f", 3, 1 << 40) == [3, 1 << 40]


@pytest.mark.parametrize(
    ("code", "args", "trap"),
    [
        ("i32.div_u", (1, 0), errors.TRAP_DIVIDE_BY_ZERO),
        ("i32.div_s", (0x8000_0000, 0xFFFF_FFFF), errors.TRAP_INTEGER_OVERFLOW),
        ("drop f32.reinterpret_i32 i32.trunc_f32_s", (0x7FC0_0000, 0), errors.TRAP_INVALID_CONVERSION),
        ("drop f32.reinterpret_i32 i32.trunc_f32_s", (0x4F00_0000, 0), errors.TRAP_INTEGER_OVERFLOW),
        ("unreachable", (0, 0), errors.TRAP_UNREACHABLE),
    ],
)
def test_traps(code: str, args: tuple[int, int], trap: int) -> None:
    instance = _instance(f'(module (func (export "f") (param i32 i32) (result i32) local.get 0 local.get 1 {code}))')
    assert _trap(instance, "f", *args) == trap


def test_endless_recursion_and_endless_loops_end() -> None:
    instance = _instance('(module (func $f (export "f") call $f) (func (export "g") (loop br 0)))')
    assert _trap(instance, "f") == errors.TRAP_STACK_EXHAUSTED
    with pytest.raises(OutOfSteps):
        invoke(instance, "g")


SHARING = """
(module
  (memory (export "m") 1 2)
  (table (export "t") 3 (ref null func) (ref.func $f))
  (global $g (export "g") (mut i32) (i32.const 5))
  (func $f (export "f") (result i32) global.get $g))
"""
SHARED = """
(module
  (import "" "m" (memory 1)) (import "" "f" (func $f (result i32)))
  (import "" "t" (table 3 funcref)) (import "" "g" (global $g (mut i32)))
  (elem (i32.const 0) func $grow $f)
  (func $grow (result i32) i32.const 1 memory.grow)
  (func (export "call") (param i32) (result i32) (global.set $g (i32.const 9)) local.get 0 call_indirect (result i32)))
"""


def _linked() -> tuple[EvalInstance, EvalInstance]:
    space = AddressSpace()
    first = EvalInstance(space, EvalModule(space, module_of(SHARING)), [])
    second = EvalInstance(space, EvalModule(space, module_of(SHARED)), first.exports.values())
    second.start()
    return first, second


def test_linked_instances() -> None:
    first, second = _linked()
    assert invoke(first, "f") == [5]
    assert [invoke(second, "call", index) for index in range(3)] == [[1], [9], [9]]
    assert len(first.memories[0]) == 2 << 16
    assert _trap(second, "call", 3) == errors.TRAP_UNDEFINED_ELEMENT


@pytest.mark.parametrize("way", ["return_call $g", "return_call_indirect $t (type $f)", "return_call $m"])
def test_tail_calls_take_nothing_of_the_stack_of_python(way: str) -> None:
    """In an instance, by a table, and from one instance to another and back."""
    index = "(i32.const 0)" if "indirect" in way else ""
    other = _instance(
        """(module (type $f (func (param i64 i64) (result i64 i64))) (table (export "t") 1 funcref)
        (func (export "m") (param i64 i64) (result i64 i64)
          (return_call_indirect (type $f) (local.get 0) (i64.add (local.get 1) (i64.const 1)) (i32.const 0))))"""
    )
    body = f"""(if (i64.eqz (local.get 0)) (then (return (local.get 1) (i64.const 7))))
      ({way} (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 1)) {index})"""
    module = EvalModule(other.space, module_of(f"""(module (type $f (func (param i64 i64) (result i64 i64)))
      (import "o" "m" (func $m (type $f))) (import "o" "t" (table $t 1 funcref))
      (func $f (export "f") (type $f) {body})
      (func $g (export "g") (type $f) {body.replace("$g", "$f")})
      (elem (table $t) (i32.const 0) func $f))"""))
    instance = EvalInstance(other.space, module, [other.exports["m"], other.exports["t"]])
    instance.start()
    other.space.evaluator.steps = 10**9
    assert invoke(instance, "f", 100_000, 0) == [200_000 if way == "return_call $m" else 100_000, 7]


def test_a_tail_call_of_the_host_is_an_ordinary_one() -> None:
    source = """(module (import "h" "h" (func $h (param i64) (result i64 i64)))
      (func (export "f") (param i64) (result i64 i64) (return_call $h (i64.add (local.get 0) (i64.const 1)))))"""
    assert invoke(_instance(source, GUARD, lambda number: [number, 5]), "f", 40) == [41, 5]


def test_calls_that_lead_nowhere_are_undefined() -> None:
    first, second = _linked()
    space = first.space
    none = Call(b"", b"", 0)
    code = space.native.read(first.funcs[0].address)
    assert space.call(ops.CALL_PTR, none, [code, first.block], 0) == [5]
    for op, args in (
        (ops.CALL_PTR, [code, second.block]),
        (ops.CALL_PTR, [code + 1, first.block]),
        (ops.CALL, [first.block + 8]),
        (ops.CALL_BUILTIN, [code, 0]),
        (ops.CALL_NATIVE, [code]),
    ):
        with pytest.raises(Undefined, match="at 0x30"):
            space.call(op, none, args, 0x30)


def test_active_and_declared_segments_are_dropped() -> None:
    instance = _instance("""(module (memory 1) (table $t 1 funcref)
      (data $a (i32.const 0) "a") (elem $e (table $t) (i32.const 0) func $f) (elem $d declare func $f)
      (func $f)
      (func (export "data") (param i32) i32.const 1 i32.const 0 local.get 0 memory.init $a)
      (func (export "active") (param i32) i32.const 0 i32.const 0 local.get 0 table.init $t $e)
      (func (export "declared") (param i32) i32.const 0 i32.const 0 local.get 0 table.init $t $d))""")
    assert instance.memories[0].data[0] == ord("a") and any(instance.tables[0].data)
    for name in ("data", "active", "declared"):
        assert invoke(instance, name, 0) == []
        _trap(instance, name, 1)


@pytest.mark.parametrize("field", ["memory 4097", "table 1048577 funcref"])
def test_what_is_too_large_is_refused(field: str) -> None:
    with pytest.raises(errors.LimitExceeded):
        _instance(f"(module ({field}))")


@pytest.mark.parametrize(
    ("memory", "mode", "last"),
    [
        ("1", GUARD, 8 << 30),
        ("1", CHECKED, 65536 + (4 << 20) - 4),
        ("i64 1", GUARD, 65536 + (1 << 32) - 4),
        ("i64 1", CHECKED, 65536 + (4 << 20) - 4),
    ],
)
def test_accesses_beyond_a_memory_trap_as_far_as_code_relies_on_it(memory: str, mode: int, last: int) -> None:
    instance = _instance(f"(module (memory {memory}))", mode)
    base = instance.memories[0].base
    for place in (65533, last):
        with pytest.raises(Trapped):
            instance.space.native.find(base + place, 4)
    with pytest.raises(Undefined):
        instance.space.native.find(base + last + (1 << 17), 4)


def test_a_trap_of_a_builtin_knows_where() -> None:
    with pytest.raises(Trapped) as info:
        invoke(_instance('(module (memory 1) (func (export "f") (memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))))'), "f")
    assert info.value.pos > 0x20


# Single functions


def test_parameters_of_a_block_are_assigned_at_once() -> None:
    text = """func 0 "" (i32, i32, i32) -> (i32) {
    b0(v0: i32, v1: i32, v2: i32):
      v3 = const i32 1
      jump b1(v0, v1, v2)
    b1(v5: i32, v6: i32, v7: i32) loop depth 1:
      v8 = i32_sub v7, v3
      brif v8, b2, b3
    b2 depth 1:
      jump b1(v6, v5, v8)
    b3:
      return v5
    }"""
    assert _evaluate(text, 10, 20, 1) == [10]
    assert _evaluate(text, 10, 20, 4) == [20]


def test_symbols_have_no_value() -> None:
    with pytest.raises(Undefined, match=r"the symbol static\.parked"):
        _evaluate('func 0 "" (i64) -> (i64) {\nb0(v0: i64):\n  v1 = symbol static.parked\n  return v1\n}', 0)


def test_frame_areas_are_new_for_everyinvoke() -> None:
    text = """func 0 "" (i64) -> (i64) {
    b0(v0: i64):
      v1 = frame_area 16
      v2 = i64_load v1, native+8
      i64_store v0, v1, native+8
      v4 = frame_area 16
      i64_store v2, v4, native+8
      v6 = i64_load v1, native+8
      return v6
    }"""
    evaluator = Evaluator(Environment(NativeMemory()))
    assert evaluator.run(parse(text), [5]) == [5]
    assert evaluator.run(parse(text), [6]) == [6]


def test_context_and_memory() -> None:
    space = NativeMemory()
    space.map(0x1000, bytearray(layout.CTX_SIZE))
    space.map(0x2000, bytearray(b"\xff" * 8))
    space.write(0x1000 + layout.CTX_TICKS, 0x2000)
    text = """func -1 "" () -> (i64, i64) c {
    b0:
      v0 = context
      v1 = i64_load v0, native+80
      v2 = i64_load16_s v1, native+6
      v3 = const i32 65536
      i64_store16 v2, v1, native+0
      v5 = i64_load32_u v1, native+0
      poll
      return v2, v5
    }"""
    assert _evaluate(text, environment=Environment(space, 0x1000)) == [(1 << 64) - 1, 0xFFFF_FFFF]
    space.write(0x2006, 0x7FFF, 2)
    assert _evaluate(text, environment=Environment(space, 0x1000)) == [0x7FFF, 0xFFFF_7FFF]


class _Recorder(Environment):
    def __init__(self) -> None:
        super().__init__(NativeMemory())
        self.calls: list[tuple[str, list[int]]] = []

    def call(self, op: int, call: Call, args: list[int], pos: int) -> list[int]:
        self.calls.append((ops.NAMES[op], args))
        return list(range(7, 7 + len(call.results)))


def test_calls_of_all_kinds_reach_the_environment() -> None:
    environment = _Recorder()
    text = """func -1 "" (i64, i32) -> (i32, i64) {
    b0(v0: i64, v1: i32):
      v2, v3 = call_ptr v0, v0, v1 : (i32) -> (i32, i64)
      v3 = result v2, 1
      v4 = call_native v0, v3 : (i64) -> (i64)
      tail_ptr v0, v4, v2 : (i32) -> (i32, i64)
    }""".replace("v2, v3 =", "v2 =")
    assert _evaluate(text, 1, 2, environment=environment) == [7, 8]
    assert environment.calls == [("call_ptr", [1, 1, 2]), ("call_native", [1, 8]), ("call_ptr", [1, 7, 7])]


def test_unwind_leaves() -> None:
    with pytest.raises(Unwound):
        _evaluate('func -1 "" () -> () {\nb0:\n  unwind\n}')


def test_trap_knows_where() -> None:
    with pytest.raises(Trapped, match="divide by zero at 0x2c") as info:
        _evaluate('func 0 "" (i32) -> () {\nb0(v0: i32):\n  trapif v0, 6 @2c\n  return\n}', 1)
    assert (info.value.code, info.value.pos) == (errors.TRAP_DIVIDE_BY_ZERO, 0x2C)


@pytest.mark.parametrize(
    "body",
    [
        "v1 = i32_div_u v0, v0",
        "v1 = const i32 4\n  v2 = const i32 -1\n  v3 = i32_rem_s v1, v0",
        "v1 = const f32 0x7fc00000\n  v2 = i32_trunc_f32_s v1",
        "v1 = const i64 4096\n  v2 = i32_load v1, native+0",
        "v1 = i32_add v0, v2\n  v2 = const i32 0",
        "v1 = const i64 1\n  call f0 v1 : () -> ()",
    ],
    ids=["division", "remainder", "conversion", "memory", "order", "call"],
)
def test_what_is_not_defined_is_an_error(body: str) -> None:
    with pytest.raises(Undefined):
        _evaluate(f'func 0 "" (i32) -> () {{\nb0(v0: i32):\n  {body}\n  return\n}}', 0)


def test_values_must_fit_their_type() -> None:
    func = Func("", 0, bytes((ops.I32,)), b"", CONV_C)
    emitter = Emitter(func)
    emitter.ret([])
    with pytest.raises(Undefined, match="does not fit i32"):
        Evaluator(Environment(NativeMemory())).run(func, [1 << 32])


def test_guard_pages_trap_in_guard_mode_only() -> None:
    with pytest.raises(Trapped):
        _guarded(1 << 20).find(0x1000 + 100, 4)
    with pytest.raises(Undefined):
        _guarded(0).find(0x1000 + 100, 4)


def _guarded(guard: int) -> NativeMemory:
    space = NativeMemory()
    space.map(0x1000, bytearray(16), guard)
    return space
