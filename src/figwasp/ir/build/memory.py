"""Linear memory and globals (spec 4.4.5, 4.4.7). Floor 2.

An access is an IR operation on [base, index], an i32 index zero-extended, with the offset in its aux. For a 32-bit memory in guard
mode that is all: 8 GiB of address space behind the base make everything that i32 index plus u32 offset can reach either memory or
a fault. Any other access is preceded by a check (`build.checks`).
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import builtins, ops
from figwasp.ir.build import bulk, checks
from figwasp.ir.build.base import Builder, Method
from figwasp.ir.func import Call, Value
from figwasp.ir.types import ir_types
from figwasp.wasm.binary.immediates import MEMORY_INDEX_FLAG
from figwasp.wasm.syntax import types as wasm
from figwasp.wasm.syntax.immediates import MEMARG
from figwasp.wasm.syntax.opcodes import BY_NAME, SINGLE
from figwasp.wasm.valid.subtyping import top_of

__all__ = ["METHODS", "address", "call_builtin", "open_memory", "read_memarg"]

_OPS: Final = [ops.BY_NAME[row.ir] if row and row.immediates == MEMARG else 0 for row in SINGLE]
"""Opcode byte -> IR operation of a load or store."""
_SIZES: Final = [1 << row.align if row else 0 for row in SINGLE]
"""Opcode byte -> bytes accessed."""
_OTHER_MEMORY: Final = ops.memory_aux(0, ops.REGION_MEMORY + 1)
"""The smallest aux of an access to a memory other than memory 0."""

_I32: Final = ops.I32
_BYTES_SHIFT: Final = 6
"""A bulk operation pays 1 for every 64 bytes."""


def open_memory(b: Builder) -> None:
    """Materialise what accesses to memory 0 need, in the entry block."""
    if checks.margin(b.module.memories[0], b.mode) == layout.EVERYWHERE:
        b.base = b.bare = b.memory_base(0)
    else:
        b.record = b.memory_record(0)
        b.base = b.memory_base(0)


def read_memarg(b: Builder, pos: int) -> tuple[int, int]:
    """Read a memarg; return the aux of the access, and the position after it."""
    region = ops.REGION_MEMORY
    if b.data[pos] & MEMORY_INDEX_FLAG:
        memory, pos = b.unsigned(pos + 1)
        region += memory
    else:
        pos += 1
    offset = b.data[pos]
    pos += 1
    if offset >= 0x80:
        offset, pos = b.unsigned(pos - 1)
    return ops.memory_aux(offset, region), pos


def address(b: Builder, aux: int, size: int) -> list[Value]:
    """Pop the index of an access; return the operands that address it, after the check that the memory asks for."""
    index = b.stack.pop()
    memory = ops.aux_region(aux) - ops.REGION_MEMORY
    checks.check(b, memory, index, ops.aux_offset(aux) + size)
    return [b.memory_base(memory), index]


def _build_load(b: Builder, pos: int) -> int:
    opcode = b.data[b.pos]
    aux, pos = read_memarg(b, pos)
    base = b.bare
    if base is not None and aux < _OTHER_MEMORY:
        stack = b.stack
        stack[-1] = b.emit(_OPS[opcode], [base, stack[-1]], aux)
    else:
        b.stack.append(b.emit(_OPS[opcode], address(b, aux, _SIZES[opcode]), aux))
    return pos


def _build_store(b: Builder, pos: int) -> int:
    opcode = b.data[b.pos]
    aux, pos = read_memarg(b, pos)
    value = b.stack.pop()
    base = b.bare
    if base is not None and aux < _OTHER_MEMORY:
        b.emit(_OPS[opcode], [value, base, b.stack.pop()], aux)
    else:
        b.emit(_OPS[opcode], [value, *address(b, aux, _SIZES[opcode])], aux)
    return pos


def call_builtin(b: Builder, builtin: int, args: list[Value]) -> Value:
    """Append a call of a builtin, to which places and lengths of 32 bits are extended."""
    params, results = builtins.PARAMS[builtin], builtins.RESULTS[builtin]
    wide = [b.widen(arg) if type == ops.I64 else arg for arg, type in zip(args, params, strict=True)]
    type = results[0] if results else ops.VOID
    return b.emit_typed(ops.CALL_BUILTIN, type, [b.instance, *wide], Call(params, results, builtin))


def _build_memory_size(b: Builder, pos: int) -> int:
    memory, pos = b.unsigned(pos)
    type_ = b.module.memories[memory]
    if type_.shared:  # what another thread has added is there before anything that it tells afterwards
        aux = ops.memory_aux(layout.MEM_LENGTH, ops.REGION_RECORD)
        length = b.emit(ops.I64_ATOMIC_LOAD, [b.memory_record(memory)], aux)
    else:
        length = b.memory_length(memory)
    pages = b.emit(ops.I64_SHR_U, [length, b.const(ops.I64, type_.page)]) if type_.page else length
    b.stack.append(b.narrow(pages, type_.address))
    return pos


def _build_memory_grow(b: Builder, pos: int) -> int:
    memory, pos = b.unsigned(pos)
    args = [b.const(_I32, memory), b.stack.pop()]
    b.stack.append(b.narrow(call_builtin(b, builtins.MEMORY_GROW, args), b.module.memories[memory].address))
    return pos


def _small(length: Value) -> int:
    """Return a length that is known, and so small that loads and stores are better than a call, or 0."""
    bits = length.aux if length.op == ops.CONST else 0
    assert type(bits) is int
    return bits if bits <= bulk.MOST else 0


def _build_memory_fill(b: Builder, pos: int) -> int:
    memory, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT)
    to, value, length = b.pop(3)
    count = _small(length)
    if count:
        bulk.fill(b, memory, to, value, count)
    else:
        call_builtin(b, builtins.MEMORY_FILL, [b.const(_I32, memory), to, value, length])
    return pos


def _build_memory_copy(b: Builder, pos: int) -> int:
    target, pos = b.unsigned(pos)
    source, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT)
    to, from_, length = b.pop(3)
    count = _small(length)
    if count:
        bulk.copy(b, target, source, to, from_, count)
    else:
        call_builtin(b, builtins.MEMORY_COPY, [b.const(_I32, target), b.const(_I32, source), to, from_, length])
    return pos


def _build_memory_init(b: Builder, pos: int) -> int:
    segment, pos = b.unsigned(pos)
    memory, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT)
    call_builtin(b, builtins.MEMORY_INIT, [b.const(_I32, memory), b.const(_I32, segment), *b.pop(3)])
    return pos


def _build_data_drop(b: Builder, pos: int) -> int:
    segment, pos = b.unsigned(pos)
    aux = ops.memory_aux(b.layout.data(segment) + layout.SEGMENT_LENGTH, ops.REGION_NATIVE)
    b.emit(ops.I64_STORE, [b.const(ops.I64, 0), b.instance], aux)
    return pos

_CONSTS: Final = {
    BY_NAME["i32.const"].code: (1 << 32) - 1,
    BY_NAME["i64.const"].code: (1 << 64) - 1,
    BY_NAME["f32.const"].code: (1 << 32) - 1,
    BY_NAME["f64.const"].code: (1 << 64) - 1,
    BY_NAME["v128.const"].code: (1 << 128) - 1,
}
"""Opcode of a constant -> mask of its bits."""


def _known_global(b: Builder, index: int) -> int:
    """Return the bits of an immutable global that the module itself defines by a constant, or -1."""
    own = index - b.module.num_imported_globals
    if own < 0 or b.module.globals[index].mutable:
        return -1
    instrs = b.module.global_inits[own].instrs
    code, value = instrs[0]
    if len(instrs) != 1 or code not in _CONSTS or not isinstance(value, int):
        return -1
    return value & _CONSTS[code]


def _global_cell(b: Builder, index: int) -> tuple[Value, int]:
    """Return base and offset of a global."""
    cell = b.layout.global_cell(index)
    if index < b.module.num_imported_globals:
        return b.load_const(b.instance, cell), 0
    return b.instance, cell


def _build_global_get(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    kind = b.module.globals[index]
    type = ir_types((kind.type,))[0]
    known = _known_global(b, index)
    if known >= 0:
        b.stack.append(b.const(type, known))
        return pos
    base, offset = _global_cell(b, index)
    region = ops.REGION_GLOBAL if kind.mutable else ops.REGION_CONST
    b.stack.append(b.emit(ops.LOAD_OF[type], [base], ops.memory_aux(offset, region)))
    return pos


def _build_global_set(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    value = b.stack.pop()
    base, offset = _global_cell(b, index)
    type = b.module.globals[index].type
    if wasm.is_ref(type):
        address = b.emit(ops.I64_ADD, [base, b.const(ops.I64, offset)])
        if wasm.may_be_host(type):
            call_builtin(b, builtins.GLOBAL_SET_EXTERN, [address, value])
            return pos
        if top_of(type, b.module.types) == wasm.FUNCREF:
            call_builtin(b, builtins.GLOBAL_SET_FUNC, [b.const(_I32, index), address, value])
            return pos
    b.emit(ops.STORE_OF[value.type], [value, base], ops.memory_aux(offset, ops.REGION_GLOBAL))
    return pos

METHODS: Final[dict[str, Method]] = {
    "global.get": _build_global_get,
    "global.set": _build_global_set,
    "memory.size": _build_memory_size,
    "memory.grow": _build_memory_grow,
    "memory.fill": _build_memory_fill,
    "memory.copy": _build_memory_copy,
    "memory.init": _build_memory_init,
    "data.drop": _build_data_drop,
}
METHODS.update(
    (row.name, _build_load if row.results else _build_store) for row in SINGLE if row is not None and row.immediates == MEMARG
)
