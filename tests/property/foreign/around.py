"""Texts of the modules around one that somebody else's generator made: what it imports, and a driver that calls what it exports.

Since both are WebAssembly, and all that is called from outside is a driver's function that takes nothing and gives an i64, every
implementation can run them, whatever types of references the functions of the module between them have.
"""

from __future__ import annotations

from random import Random
from typing import Final

from figwasp.wasm.syntax.module import FUNC, TAG, Import, Module
from figwasp.wasm.syntax.types import (
    ANYREF,
    CONCRETE,
    EQREF,
    EXNREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I31REF,
    I32,
    I64,
    NON_NULL,
    V128,
    FuncType,
    GlobalType,
    MemoryType,
    TableType,
    heap_name,
    is_ref,
    type_name,
)
from tests.property.constants import constant

_SUPPORT: Final = """
(module
  (type $v (func))
  (tag $wasm (export "wasmtag") (param i32))
  (tag $js (export "jstag") (param externref))
  (global $h (mut i64) (i64.const 1))
  (func $mix (export "mix") (param i64)
    (global.set $h (i64.add (i64.mul (global.get $h) (i64.const 0x9e3779b97f4a7c15)) (local.get 0))))
  (func (export "hash") (result i64) (global.get $h))
  (elem declare func $mix)
"""
_BODIES: Final = {
    "throw": "(if (local.get 0) (then (throw $wasm (local.get 0)))) (throw $js (ref.null extern))",
    "call-ref": "(if (ref.test (ref $v) (local.get 0)) (then (call_ref $v (ref.cast (ref $v) (local.get 0)))))",
    "call-ref-catch": """(block $h (try_table (catch_all $h)
      (if (ref.test (ref $v) (local.get 0)) (then (call_ref $v (ref.cast (ref $v) (local.get 0)))))) (return (i32.const 0))) (i32.const 1)""",
}
"""Name of an import that does more than to record what it is given -> its body."""
_BITS: Final = {F32: "(i64.extend_i32_u (i32.reinterpret_f32 {0}))", F64: "(i64.reinterpret_f64 {0})"}


class Unlike(Exception):
    """A module needs what is not made here."""


def support(module: Module) -> str:
    """Return a module that exports what another imports; functions record their arguments, and answer 0 or null.

    Raises:
        Unlike: it imports something else than functions, globals, memories, tables and tags of common types.
    """
    lines = [_imported(item, module) for item in module.imports]
    return _SUPPORT + "\n".join(lines) + ")"


def _imported(item: Import, module: Module) -> str:
    desc, name = item.desc, f'(export "{item.name}")'
    if item.kind == FUNC:
        assert isinstance(desc, int)
        return _function(item.name, module.signature(desc))
    if isinstance(desc, GlobalType):
        type_ = f"(mut {type_name(desc.type)})" if desc.mutable else type_name(desc.type)
        return f"(global {name} {type_} {value(desc.type, 5, '$mix')})"
    if isinstance(desc, MemoryType):
        return f"(memory {name} {desc.limits.min} {'' if desc.limits.max is None else desc.limits.max})"
    if isinstance(desc, TableType):
        return f"(table {name} {desc.limits.min} {'' if desc.limits.max is None else desc.limits.max} {type_name(desc.elem)})"
    if item.kind == TAG and item.name in ("wasmtag", "jstag"):
        return ""
    raise Unlike(item.name)


def _function(name: str, type_: FuncType) -> str:
    told = [tell(param, f"(local.get {k})") for k, param in enumerate(type_.params)]
    body = _BODIES.get(name) or " ".join(value(result, 0, "$mix") for result in type_.results)
    return f'(func (export "{name}") {_signature(type_)} {" ".join(told)} {body})'


def _signature(type_: FuncType) -> str:
    return " ".join([f"(param {_plain(code)})" for code in type_.params] + [f"(result {_plain(code)})" for code in type_.results])


def _plain(code: int) -> str:
    """Return the name of a type that is the same in all modules."""
    if code & 0xFF == CONCRETE:
        raise Unlike("a type of the module's own")
    return type_name(code)


def value(code: int, bits: int, func: str) -> str:
    """Return an expression for a value of a type.

    Args:
        code: the type.
        bits: of a number, or deciding what a reference is: null for 0.
        func: name of a function that may be referred to.
    """
    name = _plain(code)
    if code == V128:
        return f"(v128.const i64x2 {bits & (1 << 64) - 1} {bits >> 64 & (1 << 64) - 1})"
    if code in (F32, F64):
        return f"({name}.reinterpret_i{name[1:]} (i{name[1:]}.const {bits}))"
    if not is_ref(code):
        return f"({name}.const {bits})"
    base = code & ~NON_NULL
    made = {EXTERNREF: "(extern.convert_any (ref.i31 (i32.const {0})))", FUNCREF: f"(ref.func {func})"} | dict.fromkeys(
        (ANYREF, EQREF, I31REF), "(ref.i31 (i32.const {0}))"
    )
    if base in made and (bits or code & NON_NULL):
        return made[base].format(bits & 0x3FFF_FFFF)
    if code & NON_NULL:
        raise Unlike(name)
    return f"(ref.null {heap_name(base)})"


def tell(code: int, place: str) -> str:
    """Return code that records a value; of a reference whether it is null, and the number of an i31."""
    if code == V128:
        return f"(call $mix (i64x2.extract_lane 0 {place})) (call $mix (i64x2.extract_lane 1 {place}))"
    if code in (F32, F64):
        shown = f"(select (i64.const 7) {_BITS[code].format(place)} ({type_name(code)}.ne {place} {place}))"
    elif code == I64:
        shown = place
    elif code == I32:
        shown = f"(i64.extend_i32_u {place})"
    elif code & ~NON_NULL in (ANYREF, EQREF, I31REF):
        number = f"(i64.extend_i32_u (i31.get_u (ref.cast i31ref {place})))"
        shown = f"(if (result i64) (ref.test (ref i31) {place}) (then {number}) (else (i64.extend_i32_u (ref.is_null {place}))))"
    else:
        shown = f"(i64.extend_i32_u (ref.is_null {place}))"
    return f"(call $mix {shown})"


def driver(module: Module, seed: int) -> tuple[str, list[str]]:
    """Return a module with a function for each that another exports, and their names: it calls it and records what it answers."""
    fields, names = ['(import "s" "mix" (func $mix (param i64))) (import "s" "wasmtag" (tag $wasm (param i32)))'], []
    bodies = []
    for number, export in enumerate(module.exports):
        if export.kind != FUNC or not _is_plain(module, module.func_types[export.index]):
            continue
        type_ = module.func_type(export.index)
        try:
            body = _call(f"run{number}", type_, f"$f{number}", Random(f"{seed} {export.name}"))
            fields.append(f'(import "m" "{export.name}" (func $f{number} {_signature(type_)}))')
        except Unlike:
            continue
        bodies.append(body)
        names.append(f"run{number}")
    declared = " ".join(f"$f{name[3:]}" for name in names)
    return f"(module {' '.join(fields)} (elem declare func $mix {declared}) {' '.join(bodies)})", names


def _is_plain(module: Module, index: int) -> bool:
    """Say whether a type is the one that its text alone stands for: final, of no other, in no recursion group with others."""
    sub = module.types[index]
    ends = [*module.groups, len(module.types)]
    return sub.final and not sub.supers and index in module.groups and index + 1 in ends


def _call(name: str, type_: FuncType, func: str, random: Random) -> str:
    """Write the function that calls another with values of its own; it gives 1, or a number for an exception."""
    args = " ".join(value(code, _argument(code, random), "$mix") for code in type_.params)
    places = " ".join(f"(local $r{k} {type_name(code)})" for k, code in enumerate(type_.results))
    taken = " ".join(f"(local.set $r{k})" for k in reversed(range(len(type_.results))))
    told = " ".join(tell(code, f"(local.get $r{k})") for k, code in enumerate(type_.results))
    return f"""(func (export "{name}") (result i64) {places}
      (block $other
        (return (i64.extend_i32_s (block $known (result i32)
          (try_table (catch $wasm $known) (catch_all $other) (call {func} {args}) {taken} {told})
          (return (i64.const 1))))))
      (i64.const 2))"""


def _argument(code: int, random: Random) -> int:
    if is_ref(code):
        return random.choice((0, 9)) if code != EXNREF else 0
    size = 128 if code == V128 else int(type_name(code)[1:])
    return constant(random, code, nans=False) & (1 << size) - 1
