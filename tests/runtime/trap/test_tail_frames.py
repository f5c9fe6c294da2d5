"""Walks over frames from which a tail call has gone: the callee's arguments and the caller's need not take the same room."""

from __future__ import annotations

import pytest

import figwasp
from figwasp import layout
from figwasp.errors import TRAP_INTEGER_OVERFLOW
from figwasp.ir import ops
from figwasp.ir.func import Call, Emitter, Func
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
        self._region = codespace.Region(self._native.space, 0)
        self._source_map = instance._state.code._source_map

    def install(self, func: Func) -> int:
        native = self._native
        code = native.stubs.translate(func)
        address = codespace.install(self._region, code, native.stubs.builtin, native.stubs.switch)
        native.table.add(CodeRange(address, code, self._source_map))
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
