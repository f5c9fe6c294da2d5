"""Linear memory and globals (spec 4.4.5, 4.4.7). Floor 2.

An access is an IR operation on [base, index], the index zero-extended, with the offset in its aux. In guard mode that is
all: 8 GiB of address space behind the base make everything that i32 index plus u32 offset can reach either memory or a
fault. In checked mode the end of the access is compared with the memory's length first; the sum cannot wrap in 64 bits.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors, layout
from figwasp.ir import builtins, ops
from figwasp.ir.build.base import Builder, Method, ir_types
from figwasp.ir.func import Call, Value
from figwasp.wasm.binary.immediates import MEMORY_INDEX_FLAG
from figwasp.wasm.syntax import types as wasm
from figwasp.wasm.syntax.immediates import MEMARG
from figwasp.wasm.syntax.opcodes import BY_NAME, SINGLE

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
_PAGE_BITS: Final = layout.PAGE_SIZE.bit_length() - 1


def open_memory(b: Builder) -> None:
    """Materialise what accesses to memory 0 need, in the entry block.

    Raises:
        Unsupported: a memory of the module has 64-bit addresses or small pages.
    """
    for memory in b.module.memories:
        if memory.address == wasm.I64:
            raise b.unsupported("memory64")
        if memory.page != _PAGE_BITS:
            raise b.unsupported("custom-page-sizes")
    if b.mode == layout.GUARD:
        b.base = _base(b, 0)
    else:
        b.record = _record(b, 0)
        b.base = _base(b, 0)


def _base(b: Builder, memory: int) -> Value:
    if memory == 0 and b.base is not None:
        return b.base
    return b.load_const(b.instance, b.layout.memory_base(memory))


def _record(b: Builder, memory: int) -> Value:
    if memory == 0 and b.record is not None:
        return b.record
    return b.load_const(b.instance, b.layout.memory_record(memory))


def _length(b: Builder, memory: int) -> Value:
    return b.load(_record(b, memory), layout.MEM_LENGTH, ops.REGION_RECORD)


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
    """Pop the index of an access; return the operands that address it, after the check that the mode asks for."""
    index = b.stack.pop()
    memory = ops.aux_region(aux) - ops.REGION_MEMORY
    if b.mode != layout.GUARD:
        wide = b.emit(ops.I64_EXTEND_I32_U, [index])
        end = b.emit(ops.I64_ADD, [wide, b.const(ops.I64, ops.aux_offset(aux) + size)])
        beyond = b.emit(ops.I64_LT_U, [_length(b, memory), end])
        b.trap_if(beyond, errors.TRAP_OUT_OF_BOUNDS_MEMORY)
    return [_base(b, memory), index]


def _build_load(b: Builder, pos: int) -> int:
    opcode = b.data[b.pos]
    aux, pos = read_memarg(b, pos)
    base = b.base
    if base is not None and b.mode == layout.GUARD and aux < _OTHER_MEMORY:
        stack = b.stack
        stack[-1] = b.emit(_OPS[opcode], [base, stack[-1]], aux)
    else:
        b.stack.append(b.emit(_OPS[opcode], address(b, aux, _SIZES[opcode]), aux))
    return pos


def _build_store(b: Builder, pos: int) -> int:
    opcode = b.data[b.pos]
    aux, pos = read_memarg(b, pos)
    value = b.stack.pop()
    base = b.base
    if base is not None and b.mode == layout.GUARD and aux < _OTHER_MEMORY:
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
    if b.module.memories[memory].shared:  # what another thread has added is there before anything that it tells afterwards
        length = b.emit(ops.I64_ATOMIC_LOAD, [_record(b, memory)], ops.memory_aux(layout.MEM_LENGTH, ops.REGION_RECORD))
    else:
        length = _length(b, memory)
    pages = b.emit(ops.I64_SHR_U, [length, b.const(ops.I64, _PAGE_BITS)])
    b.stack.append(b.emit(ops.I32_WRAP_I64, [pages]))
    return pos


def _build_memory_grow(b: Builder, pos: int) -> int:
    memory, pos = b.unsigned(pos)
    args = [b.const(_I32, memory), b.stack.pop()]
    b.stack.append(b.emit(ops.I32_WRAP_I64, [call_builtin(b, builtins.MEMORY_GROW, args)]))
    return pos


def _build_memory_fill(b: Builder, pos: int) -> int:
    memory, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT)
    call_builtin(b, builtins.MEMORY_FILL, [b.const(_I32, memory), *b.pop(3)])
    return pos


def _build_memory_copy(b: Builder, pos: int) -> int:
    target, pos = b.unsigned(pos)
    source, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT)
    call_builtin(b, builtins.MEMORY_COPY, [b.const(_I32, target), b.const(_I32, source), *b.pop(3)])
    return pos


def _build_memory_init(b: Builder, pos: int) -> int:
    segment, pos = b.unsigned(pos)
    memory, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT)
    call_builtin(b, builtins.MEMORY_INIT, [b.const(_I32, memory), b.const(_I32, segment), *b.pop(3)])
    return pos


def _build_data_drop(b: Builder, pos: int) -> int:
    segment, pos = b.unsigned(pos)
    call_builtin(b, builtins.DATA_DROP, [b.const(_I32, segment)])
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
    if wasm.is_ref(b.module.globals[index].type):
        call_builtin(b, builtins.GLOBAL_SET_REF, [b.const(_I32, index), value])
        return pos
    base, offset = _global_cell(b, index)
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
