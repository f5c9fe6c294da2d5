"""Walks over frames from which a tail call has gone: the callee's arguments and the caller's need not take the same room."""

from __future__ import annotations

import traceback

import pytest

import figwasp
from figwasp import layout
from figwasp.errors import TRAP_INTEGER_OVERFLOW
from figwasp.ir import ops
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import Call, Func
from figwasp.ir.ops import I64
from figwasp.runtime.code.ranges import CodeRange
from figwasp.runtime.platform import codespace, linux
from figwasp.runtime.start import native_runtime

MODULE = figwasp.Module(
    figwasp.wat(
        """(module (func $c (export "c") (result i64) unreachable) (func $b (export "b") (result i64) unreachable)
        (func $a (export "a") (result i64) unreachable) (func (export "outer") (result i64) (i64.add (call $a) (call $a))))"""
    )
)
C, B, A = 0, 1, 2


class Handmade:
    """Functions written in IR that stand for those of the module, in tracebacks as well."""

    def __init__(self, instance: figwasp.Instance) -> None:
        self.instance = instance
        self._native = native_runtime()
        self._region = codespace.Region(self._native.space, 0, self._native.stubs.resolve)
        self._source_map = instance._state.code._source_map

    def install(self, func: Func) -> int:
        native = self._native
        code = native.stubs.translate(func)
        address = self._region.install(code)
        native.table.add(CodeRange(address, len(code.data), code, self._source_map))
        return address


@pytest.mark.parametrize("another", [False, True], ids=["inside", "to another instance"])
@pytest.mark.parametrize(("mine", "passed"), [(0, 0), (2, 12), (12, 2), (9, 30), (30, 9), (12, 12)])
def test_frames_below_a_tail_call_are_found(mine: int, passed: int, another: bool) -> None:
    """C traps, called by B as a tail call, called by A: the frames are those of C and A, and of what called A."""
    instance, other = figwasp.load(MODULE), figwasp.load(MODULE)
    with pytest.raises(figwasp.Trap):
        instance.outer()  # all code is there now but that of `outer`, which goes through A's cell
    made = Handmade(instance)
    func = Func("c", C, bytes([I64] * (passed + 1)), bytes([I64]))
    e = Emitter(func)
    e.emit(ops.TRAP, [], TRAP_INTEGER_OVERFLOW)
    c = made.install(func)
    func = Func("b", B, bytes([I64] * (mine + 1)), bytes([I64]))
    e = Emitter(func)
    target = e.const(I64, other._state.block) if another else e.block.params[0]
    args = [e.const(I64, c), target, *[e.const(I64, k) for k in range(passed)]]
    e.emit(ops.TAIL_PTR, args, Call(bytes([I64] * passed), bytes([I64])))
    b = made.install(func)
    func = Func("a", A, bytes([I64]), bytes([I64]))
    e = Emitter(func)
    args = [e.const(I64, b), e.block.params[0], *[e.const(I64, k) for k in range(mine)]]
    result = e.emit(ops.CALL_PTR, args, Call(bytes([I64] * mine), bytes([I64])), I64)
    e.ret([e.emit(ops.I64_ADD, [result, e.block.params[0]])])
    a = made.install(func)
    linux.write_u64(instance._state.code._region.cells + 8 * A, a)
    linux.write_u64(instance._state.func_reference(A) + layout.FUNCREF_CODE, a)
    for name, expected in (("a", ["c", "a"]), ("outer", ["c", "a", "outer"])):
        with pytest.raises(figwasp.Trap, match="integer overflow") as caught:
            instance.exports[name]()
        assert [frame.name for frame in caught.value.frames] == expected


# The same in WebAssembly, at every place where a walk may begin

COUNTS = [(0, 0), (2, 12), (12, 2), (9, 30), (30, 9), (12, 12)]
WAYS = ["here", "import", "table"]


def params(count: int) -> str:
    return f"(param{' i64' * count})"


def chain(mine: int, passed: int, way: str, body: str, more: str = "", **options: object) -> figwasp.Instance:
    """Return an instance whose function `outer` calls A, which calls B with some parameters, which calls C with others as its last act.

    Args:
        mine, passed: numbers of parameters.
        way: where B finds C: in the module, or in another instance, which it imports from or whose table it imports.
        body: of C, which returns an i64.
        more: what else the module of C has.
        options: of the engine of both.
    """
    engine = figwasp.Engine(**options)  # type: ignore[arg-type]
    types = f"(type $b (func {params(mine)} (result i64))) (type $c (func {params(passed)} (result i64)))"
    host = '(import "host" "f" (func $f (param i64) (result i64)))'
    callee = f'{more} (func $c (export "c") (type $c) {body})'
    call = "return_call_indirect (type $c)" if way == "table" else "return_call $c"
    args = "".join(f"(i64.const {k})" for k in range(passed)) + ("(i32.const 0)" if way == "table" else "")
    numbers = "".join(f"(i64.const {k})" for k in range(mine))
    callers = f"""(func $b (type $b) ({call} {args}))
        (func $a (export "a") (result i64) (i64.add (call $b {numbers}) (i64.const 1)))
        (func $outer (export "outer") (result i64) (i64.add (call $a) (i64.const 1)))"""
    hosts = {"host": {"f": raising}}
    if way == "here":
        return figwasp.load(figwasp.wat(f"(module {types} {host} {callee} {callers})"), hosts, engine=engine)
    table = '(table (export "t") funcref (elem $c))'
    other = figwasp.load(figwasp.wat(f"(module $other {types} {host} {table} {callee})"), hosts, engine=engine)
    imported = '(import "m" "c" (func $c (type $c)))' if way == "import" else '(import "m" "t" (table 1 funcref))'
    return figwasp.load(figwasp.wat(f"(module {types} {imported} {callers})"), {"m": other}, engine=engine)


def raising(number: int) -> int:
    raise LookupError(number)


def names(error: BaseException) -> list[str]:
    """Return the names of the wasm functions in a traceback, innermost first."""
    entries = traceback.extract_tb(error.__traceback__)
    return [entry.name.partition(" @ ")[0] for entry in reversed(entries) if entry.filename.startswith("<wasm")]


def expect(instance: figwasp.Instance, kind: type[BaseException], *inner: str, **options: float) -> None:
    """Have both functions fail, and see what frames are left of B's callers."""
    for name, outer in (("a", ["a"]), ("outer", ["a", "outer"])):
        with pytest.raises(kind) as caught:
            instance.exports[name](**options)
        assert names(caught.value) == [*inner, *outer]
        if isinstance(caught.value, figwasp.Trap):
            assert [frame.name for frame in caught.value.frames] == [*inner, *outer]


LARGE = f"(call $many) {'(drop)' * 700}"
MANY = f"(func $many (result{' i64' * 700}) {'(i64.const 7)' * 700})"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("mine", "passed"), COUNTS)
class TestFrames:
    def test_of_a_trap(self, mine: int, passed: int, way: str) -> None:
        expect(chain(mine, passed, way, "unreachable"), figwasp.Trap, "c")
        expect(chain(mine, passed, way, "(i64.load (i32.const -1))", "(memory 1)"), figwasp.Trap, "c")
        expect(chain(mine, passed, way, f"{LARGE} unreachable", MANY), figwasp.Trap, "c")

    def test_of_a_trap_further_inside(self, mine: int, passed: int, way: str) -> None:
        expect(chain(mine, passed, way, "(i64.add (call $d) (i64.const 1))", "(func $d (result i64) unreachable)"), figwasp.Trap, "d", "c")

    def test_of_an_exception_of_the_host(self, mine: int, passed: int, way: str) -> None:
        expect(chain(mine, passed, way, "(i64.add (call $f (i64.const 1)) (i64.const 1))"), LookupError, "c")
        expect(chain(mine, passed, way, "(return_call $f (i64.const 1))"), LookupError)

    def test_while_a_function_is_compiled(self, mine: int, passed: int, way: str) -> None:
        """Its code is not there, so that it has no frame; what it will pop counts already."""
        asked: list[str] = []

        def listener(info: figwasp.FuncInfo) -> None:
            asked.append(info.name)
            if info.name == "c" and asked.count("c") <= 2:
                raise KeyboardInterrupt

        expect(chain(mine, passed, way, "(i64.const 40)", listener=listener), KeyboardInterrupt)
        assert asked.count("c") == 2
        instance = chain(mine, passed, way, "(i64.const 40)", listener=listener)
        assert instance.outer() == 42

    def test_of_an_end_without_fuel(self, mine: int, passed: int, way: str) -> None:
        """It is missed where C begins, whose frame has just been made."""
        instance = chain(mine, passed, way, f"{'(drop (i64.const 0))' * 100} (i64.const 0)", fuel=True)
        for name, outer in (("a", ["a"]), ("outer", ["a", "outer"])):
            instance.fuel = mine + passed + 30
            with pytest.raises(figwasp.OutOfFuel) as caught:
                instance.exports[name]()
            assert [frame.name for frame in caught.value.frames] == ["c", *outer]

    @pytest.mark.parametrize("size", ["small", "large"])
    def test_of_an_end_by_a_tick_where_a_function_begins(self, mine: int, passed: int, way: str, size: str) -> None:
        """An endless chain of tail calls has no other places where it can be ended."""
        args = "".join(f"(i64.const {k})" for k in range(12))
        body = f"(return_call $d {args})"
        large = f"(if (i64.eqz (local.get 0)) (then {LARGE}))" if size == "large" else ""
        loop = f"(func $d {params(12)} (result i64) {large} (return_call $e (local.get 1))) "
        loop += f"(func $e (param i64) (result i64) {large} (return_call $d {args}))"
        instance = chain(mine, passed, way, body, MANY + loop)
        for attempt in range(16):
            with pytest.raises(figwasp.Timeout) as caught:
                instance.outer(timeout=0.005 * 2**attempt)
            first, *others = [frame.name for frame in caught.value.frames] or [""]
            if first in ("d", "e"):
                break  # else something was still being compiled
        assert first in ("d", "e") and others == ["a", "outer"]

    def test_of_an_exhausted_stack(self, mine: int, passed: int, way: str) -> None:
        """It ends where the frame of A or C is made, whose stack pointer is then another one; C's may be large."""
        for large in ("", LARGE):
            args = "".join(f"(i64.const {k})" for k in range(passed))
            # C calls itself by way of D, which is called as A is and leaves as B does
            more = f"{MANY} (func $d {params(mine)} (result i64) (return_call $c {args}))"
            numbers = "".join(f"(i64.const {k})" for k in range(mine))
            instance = chain(mine, passed, way, f"{large} (i64.add (call $d {numbers}) (i64.const 1))", more)
            with pytest.raises(figwasp.Exhaustion) as caught:
                instance.outer()
            found = [frame.name for frame in caught.value.frames]
            if found[0] in ("d", "many"):
                del found[0]
            assert found[-2:] == ["a", "outer"] and {*found[:-2]} == {"c"} and len(found) > 100
