"""Floor 4: casts to types so deep below others that their descriptors' displays do not reach: a builtin that is IR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp import layout
from figwasp.ir import builtins, ops
from figwasp.ir.func import CONV_WASM, Func
from figwasp.ir.ops import I32, I64
from figwasp.runtime.stubs.builder import Stub

__all__ = ["BUILTINS"]


def subtype() -> Func:
    """Build (instance, type, ancestor) -> 1 when one type is the other or derives from it, else 0; 0 for no type."""
    e = Stub("subtype", bytes([I64, I32, I32]), bytes([I32]), CONV_WASM)
    instance, first, ancestor = e.params
    region = e.get(instance, layout.INST_DESCRIPTORS)
    loop, some, above, found, none = e.new(), e.new(), e.new(), e.new(), e.new()
    loop.loop = True
    e.jump(loop, [first])
    e.at(loop)
    type_ = e.func.new_param(loop, I32)
    e.brif(type_, some, none)
    e.at(some)
    e.brif(e.emit(ops.I32_EQ, [type_, ancestor]), found, above)
    e.at(above)
    place = e.emit(ops.I64_ADD, [region, e.emit(ops.I64_EXTEND_I32_U, [type_])])
    e.jump(loop, [e.get32(place, layout.TYPE_PARENT)])
    e.at(found)
    e.ret([e.const(I32, 1)])
    e.at(none)
    e.ret([e.const(I32, 0)])
    return e.func


BUILTINS: Final[dict[int, Callable[[], Func]]] = {builtins.SUBTYPE: subtype}
