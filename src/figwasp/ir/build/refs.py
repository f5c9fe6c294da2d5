"""References, tables, parametric instructions (spec 4.4.2 to 4.4.4, 4.4.6). Floor 2.

Reading a table is done inline; what writes one is a builtin, since the runtime keeps account of who holds which reference.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors, layout
from figwasp.ir import builtins, ops
from figwasp.ir.build.base import Builder, Method
from figwasp.ir.build.memory import call_builtin
from figwasp.ir.func import Value
from figwasp.wasm.binary.immediates import SKIPPERS
from figwasp.wasm.syntax.immediates import HEAPTYPE, SELECT_TYPES

__all__ = ["METHODS", "element"]

_I32: Final = ops.I32
_ELEMENT_BITS: Final = 3
_REFERENCES_SHIFT: Final = 3  # a bulk operation pays 1 for every 8 references, which are 64 bytes
"""log2 of the bytes of a table's element."""


def element(b: Builder, table: int, index: Value, trap: int) -> Value:
    """Append the load of a table's element, after a check of the index."""
    record = b.load_const(b.instance, b.layout.table_record(table))
    length = b.load(record, layout.TABLE_LENGTH, ops.REGION_TABLE)
    wide = b.widen(index)
    b.trap_if(b.emit(ops.I64_GE_U, [wide, length]), trap)
    base = b.load(record, layout.TABLE_BASE, ops.REGION_TABLE)
    scaled = b.emit(ops.I64_SHL, [wide, b.const(ops.I64, _ELEMENT_BITS)])
    return b.emit(ops.I64_LOAD, [base, scaled], ops.memory_aux(0, ops.REGION_TABLE))


def _build_table_get(b: Builder, pos: int) -> int:
    table, pos = b.unsigned(pos)
    b.stack.append(element(b, table, b.stack.pop(), errors.TRAP_OUT_OF_BOUNDS_TABLE))
    return pos


def _build_table_size(b: Builder, pos: int) -> int:
    table, pos = b.unsigned(pos)
    record = b.load_const(b.instance, b.layout.table_record(table))
    length = b.load(record, layout.TABLE_LENGTH, ops.REGION_TABLE)
    b.stack.append(b.narrow(length, b.module.tables[table].address))
    return pos


def _build_table_set(b: Builder, pos: int) -> int:
    table, pos = b.unsigned(pos)
    call_builtin(b, builtins.TABLE_SET, [b.const(_I32, table), *b.pop(2)])
    return pos


def _build_table_grow(b: Builder, pos: int) -> int:
    table, pos = b.unsigned(pos)
    args = [b.const(_I32, table), *b.pop(2)]
    b.stack.append(b.narrow(call_builtin(b, builtins.TABLE_GROW, args), b.module.tables[table].address))
    return pos


def _build_table_fill(b: Builder, pos: int) -> int:
    table, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _REFERENCES_SHIFT)
    call_builtin(b, builtins.TABLE_FILL, [b.const(_I32, table), *b.pop(3)])
    return pos


def _build_table_copy(b: Builder, pos: int) -> int:
    target, pos = b.unsigned(pos)
    source, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _REFERENCES_SHIFT)
    call_builtin(b, builtins.TABLE_COPY, [b.const(_I32, target), b.const(_I32, source), *b.pop(3)])
    return pos


def _build_table_init(b: Builder, pos: int) -> int:
    segment, pos = b.unsigned(pos)
    table, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _REFERENCES_SHIFT)
    call_builtin(b, builtins.TABLE_INIT, [b.const(_I32, table), b.const(_I32, segment), *b.pop(3)])
    return pos


def _build_elem_drop(b: Builder, pos: int) -> int:
    segment, pos = b.unsigned(pos)
    call_builtin(b, builtins.ELEM_DROP, [b.const(_I32, segment)])
    return pos


def _build_ref_null(b: Builder, pos: int) -> int:
    b.stack.append(b.const(ops.I64, 0))
    return SKIPPERS[HEAPTYPE](b.data, pos)


def _build_ref_is_null(b: Builder, pos: int) -> int:
    b.stack.append(b.emit(ops.I64_EQZ, [b.stack.pop()]))
    return pos


def _build_ref_eq(b: Builder, pos: int) -> int:
    b.stack.append(b.emit(ops.I64_EQ, b.pop(2)))
    return pos


def _build_ref_func(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    if index < b.module.num_imported_funcs:
        reference = b.load_const(b.instance, b.layout.imported_func(index))
    else:
        reference = b.emit(ops.I64_ADD, [b.instance, b.const(ops.I64, b.layout.funcref(index))])
    b.stack.append(reference)
    return pos


def _build_ref_as_non_null(b: Builder, pos: int) -> int:
    b.trap_if(b.emit(ops.I64_EQZ, [b.stack[-1]]), errors.TRAP_NULL_REFERENCE)
    return pos


def _build_ref_i31(b: Builder, pos: int) -> int:
    shifted = b.emit(ops.I32_SHL, [b.stack.pop(), b.const(_I32, 1)])
    b.stack.append(b.widen(b.emit(ops.I32_OR, [shifted, b.const(_I32, layout.I31_TAG)])))
    return pos


def _build_i31_get_s(b: Builder, pos: int) -> int:
    return _build_i31_get(b, pos, ops.I32_SHR_S)


def _build_i31_get_u(b: Builder, pos: int) -> int:
    return _build_i31_get(b, pos, ops.I32_SHR_U)


def _build_i31_get(b: Builder, pos: int, shift: int) -> int:
    reference = b.stack.pop()
    b.trap_if(b.emit(ops.I64_EQZ, [reference]), errors.TRAP_NULL_I31)
    b.stack.append(b.emit(shift, [b.emit(ops.I32_WRAP_I64, [reference]), b.const(_I32, 1)]))
    return pos


def _build_conversion(b: Builder, pos: int) -> int:
    """Build the exchange of any and extern, which have the same values."""
    return pos


def _build_drop(b: Builder, pos: int) -> int:
    b.stack.pop()
    return pos


def _build_select(b: Builder, pos: int) -> int:
    args = b.pop(3)
    b.stack.append(b.emit_typed(ops.SELECT, args[0].type, args))
    return pos


def _build_select_typed(b: Builder, pos: int) -> int:
    return _build_select(b, SKIPPERS[SELECT_TYPES](b.data, pos))


METHODS: Final[dict[str, Method]] = {
    "drop": _build_drop,
    "select": _build_select,
    "select_t": _build_select_typed,
    "ref.null": _build_ref_null,
    "ref.is_null": _build_ref_is_null,
    "ref.eq": _build_ref_eq,
    "ref.func": _build_ref_func,
    "ref.as_non_null": _build_ref_as_non_null,
    "ref.i31": _build_ref_i31,
    "i31.get_s": _build_i31_get_s,
    "i31.get_u": _build_i31_get_u,
    "any.convert_extern": _build_conversion,
    "extern.convert_any": _build_conversion,
    "table.get": _build_table_get,
    "table.set": _build_table_set,
    "table.size": _build_table_size,
    "table.grow": _build_table_grow,
    "table.fill": _build_table_fill,
    "table.copy": _build_table_copy,
    "table.init": _build_table_init,
    "elem.drop": _build_elem_drop,
}
