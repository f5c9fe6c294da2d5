"""The same module on wasmtime, an implementation that nobody here wrote. Nothing here is needed where it is not installed."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any, Final

from figwasp.wasm.syntax.module import FUNC, GLOBAL, MEMORY, TABLE, Import, Module
from figwasp.wasm.syntax.types import F32, F64, FUNCREF, I32, I64, V128, FuncType, GlobalType, MemoryType, TableType
from tests.property.modules import Call
from tests.property.outcomes import AGAIN, UNCAUGHT, Outcome, OutOfTime, from_python, imported_python, seen, to_python

wasmtime: Any
try:
    wasmtime = importlib.import_module("wasmtime")
except ImportError:
    wasmtime = None

INSTALLED: Final = wasmtime is not None
STEPS: Final = 20_000_000
"""Instructions, about, that a module may run."""
SAME: Final = {
    "undefined element": "out of bounds table access",
    "null structure reference": "null reference",
    "null array reference": "null reference",
    "null i31 reference": "null reference",
    "null function reference": "null reference",
    "null exception reference": "null reference",
}
"""What the specification says -> what it says, where it makes no difference between the two."""
_TRAPS: Final = {
    "UNREACHABLE": "unreachable",
    "MEMORY_OUT_OF_BOUNDS": "out of bounds memory access",
    "TABLE_OUT_OF_BOUNDS": "out of bounds table access",
    "INDIRECT_CALL_TO_NULL": "uninitialized element",
    "BAD_SIGNATURE": "indirect call type mismatch",
    "INTEGER_OVERFLOW": "integer overflow",
    "INTEGER_DIVISION_BY_ZERO": "integer divide by zero",
    "BAD_CONVERSION_TO_INTEGER": "invalid conversion to integer",
    "STACK_OVERFLOW": "call stack exhausted",
    "HEAP_MISALIGNED": "unaligned atomic",
    "ATOMIC_WAIT_NON_SHARED_MEMORY": "expected shared memory",
    "NULL_REFERENCE": "null reference",
    "ARRAY_OUT_OF_BOUNDS": "out of bounds array access",
    "ALLOCATION_TOO_LARGE": "garbage-collected heap exhausted",
    "CAST_FAILURE": "cast failure",
}
_engine: Any = None


def _get_engine() -> Any:
    global _engine
    if _engine is None:
        config = wasmtime.Config()
        config.consume_fuel = True
        config.parallel_compilation = False
        config.memory_guard_size = 1 << 20
        config.memory_reservation = 1 << 24
        for name in (
            "wasm_memory64", "wasm_threads", "shared_memory", "wasm_wide_arithmetic", "wasm_custom_page_sizes", "wasm_function_references", "wasm_gc",
            "wasm_tail_call", "wasm_exceptions",
        ):  # fmt: skip
            setattr(config, name, True)
        _engine = wasmtime.Engine(config)
    return _engine


def _type(code: int) -> Any:
    kind = wasmtime.ValType
    if code in (I32, I64):
        return kind.i32() if code == I32 else kind.i64()
    if code in (F32, F64):
        return kind.f32() if code == F32 else kind.f64()
    return kind.funcref() if code == FUNCREF else kind.externref()


def _extern(store: Any, item: Import, number: int, module: Module) -> Any:
    desc = item.desc
    if isinstance(desc, int):
        type_ = module.signature(desc)
        shape = wasmtime.FuncType([_type(code) for code in type_.params], [_type(code) for code in type_.results])
        return wasmtime.Func(store, shape, imported_python(number, type_))
    if isinstance(desc, MemoryType):
        limits = wasmtime.Limits(desc.limits.min, desc.limits.max)
        memory = wasmtime.MemoryType(limits, desc.address == I64, page_size_log2=desc.page)
        return wasmtime.Memory(store, memory)
    if isinstance(desc, TableType):
        limits = wasmtime.Limits(desc.limits.min, desc.limits.max)
        return wasmtime.Table(store, wasmtime.TableType(_type(desc.elem), limits), None)
    assert isinstance(desc, GlobalType)
    zero: Any = to_python(desc.type, 0)
    return wasmtime.Global(store, wasmtime.GlobalType(_type(desc.type), desc.mutable), zero)


def message(trap: Any) -> str:
    """Return the spec's wording for a trap, or for an exception, which leaves instantiation as an error."""
    if "thrown Wasm exception" in str(trap):
        return UNCAUGHT
    if isinstance(trap, wasmtime.WasmtimeError) or trap.trap_code is None:
        raise trap
    name = trap.trap_code.name
    if name == "OUT_OF_FUEL":
        raise OutOfTime("wasmtime has run out of fuel")
    return _TRAPS[name]


def new_store() -> Any:
    """Return a store in which so many instructions may run."""
    store = wasmtime.Store(_get_engine())
    store.set_fuel(STEPS)
    return store


def takes(module: Module) -> bool:
    """Say whether the bindings can do what a module needs: exceptions do not go through frames of Python."""
    return INSTALLED and all(item.name != AGAIN for item in module.imports)


def run(module: Module, calls: list[Call]) -> Outcome:
    """Run a module on wasmtime.

    Raises:
        OutOfTime: it takes more than STEPS.
    """
    store = new_store()
    compiled = wasmtime.Module(_get_engine(), module.data)
    outcome = Outcome()
    externs = [_extern(store, item, number, module) for number, item in enumerate(module.imports)]
    try:
        exports = wasmtime.Instance(store, compiled, externs).exports(store)
    except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
        outcome.results.append(("start", message(trap), ()))
        return outcome
    refuel = exports.get("refuel")
    for name, args in calls:
        if refuel is not None:
            refuel(store)
        _call(store, exports[name], name, module, args, outcome)
    _look(store, exports, module, outcome)
    return outcome


# Vectors, of which the bindings have the layout, but neither the type nor values


def _call_with_vectors(store: Any, func: Any, type_: FuncType, args: list[Any]) -> Any:
    """Call a function as `Func.__call__` does, which cannot ask for a type that has vectors."""
    raw = importlib.import_module("wasmtime._ffi")
    params = (raw.wasmtime_val_t * len(args))()
    for place, arg in enumerate(args):
        if type_.params[place] == V128:
            params[place].kind = raw.WASMTIME_V128
            params[place].of.v128[:] = arg
        else:
            params[place] = wasmtime.Val._convert_to_raw(store, _type(type_.params[place]), arg)
    results = (raw.wasmtime_val_t * len(type_.results))()
    with importlib.import_module("wasmtime._func").enter_wasm(store) as trap:
        raw.wasmtime_func_call(store._context(), ctypes.byref(func._func), params, len(params), results, len(results), trap)
    values = [_value(store, one) for one in results]
    return values[0] if len(values) == 1 else values


def _value(store: Any, raw: Any) -> Any:
    if raw.kind == importlib.import_module("wasmtime._ffi").WASMTIME_V128.value:
        return bytes(raw.of.v128)
    return wasmtime.Val._from_raw(store, raw).value


def _vector_global(store: Any, global_: Any) -> Any:
    raw = importlib.import_module("wasmtime._ffi")
    value = raw.wasmtime_val_t()
    raw.wasmtime_global_get(store._context(), ctypes.byref(global_._global), ctypes.byref(value))
    return _value(store, value)


def _bits(type_: int, value: Any) -> int:
    """Return the bits of a value; null is not None everywhere."""
    return from_python(type_, value) if isinstance(value, (int, float, bytes)) else int(isinstance(value, wasmtime.Func))


def _call(store: Any, func: Any, name: str, module: Module, args: list[int], outcome: Outcome) -> None:
    index = next(export.index for export in module.exports if export.kind == FUNC and export.name == name)
    type_ = module.func_type(index)
    given = [to_python(param, bits) for param, bits in zip(type_.params, args, strict=True)]
    try:
        answer = _call_with_vectors(store, func, type_, given) if V128 in type_.params + type_.results else func(store, *given)
    except wasmtime.Trap as trap:
        outcome.results.append((name, message(trap), ()))
        return
    values = () if not type_.results else (answer,) if len(type_.results) == 1 else answer
    bits = [seen(result, _bits(result, value)) for result, value in zip(type_.results, values, strict=True)]
    outcome.results.append((name, "ok", tuple(bits)))


def _look(store: Any, exports: Any, module: Module, outcome: Outcome) -> None:
    """Read the state through the exports."""
    by_kind: dict[tuple[int, int], str] = {(export.kind, export.index): export.name for export in module.exports}
    for index in range(len(module.memories)):
        memory = exports[by_kind[MEMORY, index]]
        if isinstance(memory, wasmtime.SharedMemory):
            outcome.memories.append(ctypes.string_at(memory.data_ptr(), memory.data_len()))
        else:
            outcome.memories.append(bytes(memory.read(store, 0, memory.data_len(store))))
    for index, type_ in enumerate(module.globals):
        name = by_kind.get((GLOBAL, index))
        value: Any = 0
        if name is not None:
            value = _vector_global(store, exports[name]) if type_.type == V128 else exports[name].value(store)
        outcome.globals.append(seen(type_.type, _bits(type_.type, value)))
    for index in range(len(module.tables)):
        name = by_kind.get((TABLE, index))
        table = exports[name] if name is not None else None
        outcome.tables.append([not isinstance(table.get(store, k), wasmtime.Func) for k in range(table.size(store))] if table is not None else [])
