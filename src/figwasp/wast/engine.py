"""Floor 6: the interface of engines that run scripts, and the host module that scripts expect.

`compiled` has the engine proper, `evaluated` the IR evaluator behind the same interface. Values cross as raw bits, because a Python
float cannot carry every NaN. An engine lives as long as one script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from figwasp import layout
from figwasp.wasm.syntax.types import EXNREF, EXTERNREF, F32, FUNCREF, I32, Types, is_ref, type_name
from figwasp.wasm.text.parse.module import wat
from figwasp.wast.script import ScriptValue

__all__ = [
    "HOST_FUNCS",
    "SPECTEST",
    "Definition",
    "Engine",
    "Found",
    "Instance",
    "ScriptError",
    "argument_bits",
    "number",
    "reference",
]

HOST_FUNCS: Final = {
    "print": "", "print_i32": "i32", "print_i64": "i64", "print_f32": "f32", "print_f64": "f64",
    "print_i32_f32": "i32 f32", "print_f64_f64": "f64 f64",
}  # fmt: skip
"""Functions of the host module: name -> types of the parameters. They do nothing."""


def _spectest() -> bytes:
    """Return the host module as a wasm module that takes its functions from "host", so that they have types."""
    funcs = "".join(
        f'(func (export "{name}") (import "host" "{name}") (param {params}))' for name, params in HOST_FUNCS.items()
    )
    return wat(
        f"""(module $spectest {funcs}
        (global (export "global_i32") i32 (i32.const 666))
        (global (export "global_i64") i64 (i64.const 666))
        (global (export "global_f32") f32 (f32.const 666.6))
        (global (export "global_f64") f64 (f64.const 666.6))
        (table (export "table") 10 20 funcref)
        (table (export "table64") i64 10 20 funcref)
        (memory (export "memory") 1 2)
        (memory (export "shared_memory") 1 2 shared))"""
    )


SPECTEST: Final[bytes] = _spectest()
"""The module that scripts import from as "spectest", in binary; its own imports are `HOST_FUNCS` of "host"."""


_UNNUMBERED: Final = -1
"""The number of references that are not to objects of the host, which have numbers from 0 on."""


class ScriptError(Exception):
    """A script asks for something that does not exist: no such export, operands of other types."""


class Found(NamedTuple):
    """A result.

    Attributes:
        type: name of its type; of a reference the one that the value tells, of null the topmost of its hierarchy.
        bits: raw bits of a number; None for null; the host's number of its object; anything for other references.
    """

    type: str
    bits: int | None


class ImportedItem(Protocol):
    """An import of a module."""

    @property
    def module(self) -> str:
        """The name of the module that it is imported from."""


class Definition(Protocol):
    """A valid module."""

    @property
    def imports(self) -> Sequence[ImportedItem]:
        """The imports of the module."""


class Instance(Protocol):
    """An instance of a module."""

    def invoke(self, name: str, args: Sequence[ScriptValue]) -> list[Found]:
        """Call an export.

        Raises:
            Trap: the call trapped.
            WasmException: the call threw.
            ScriptError: there is no such function, or it takes other operands.
        """

    def get(self, name: str) -> Found:
        """Return the value of an exported global.

        Raises:
            ScriptError: there is no such global.
        """


class Engine(Protocol):
    """Makes modules and instances; all instances of one engine may import from each other."""

    def define(self, data: bytes) -> Definition:
        """Decode and validate a module.

        Raises:
            Malformed, Invalid, LimitExceeded: the module is.
        """

    def instantiate(self, definition: Any, registered: Mapping[str, Any]) -> Instance:
        """Instantiate a module; instances are imported from by the names they are registered under.

        Raises:
            Unlinkable: an import is missing or has another type.
            Trap: a segment does not fit or the start function trapped.
        """

    def spectest(self) -> Instance:
        """Return a new instance of the host module."""


def argument_bits(args: Sequence[ScriptValue], params: Types, top: Callable[[int], int]) -> list[int | None]:
    """Check operands against the parameters and return their bits, None for a null.

    Args:
        args: the operands.
        params: the types of the parameters.
        top: reference type -> the topmost one of its hierarchy.

    Raises:
        ScriptError: the operands do not fit.
    """
    wanted = [type_name(top(code) if is_ref(code) else code) for code in params]
    if len(args) != len(wanted) or any(arg.type not in ("", name) for arg, name in zip(args, wanted)):
        raise ScriptError(f"operands {[arg.type for arg in args]} for parameters {wanted}")
    return [arg.bits for arg in args]


def number(code: int, bits: int) -> Found:
    """Return a result that is no reference from a cell of 64 bits."""
    return Found(type_name(code), bits & 0xFFFF_FFFF if code in (I32, F32) else bits)


def reference(top: int, bits: int, kind: Callable[[int], int], host: Callable[[int], int]) -> Found:
    """Return a result that is a reference.

    Args:
        top: the topmost type of its hierarchy.
        bits: the reference.
        kind: object of the heap -> its kind (`layout.KIND_STRUCT` or KIND_ARRAY).
        host: reference to an object of the host -> its number.
    """
    name = type_name(top)
    if not bits:
        return Found(name, None)
    if top == FUNCREF or top == EXNREF:
        return Found(name, 0)
    if bits & layout.REFERENCE_TAGS == layout.HOST_TAG:
        return Found(name, host(bits))
    if top == EXTERNREF:
        return Found(name, _UNNUMBERED)
    if bits & layout.I31_TAG:
        return Found("i31ref", _UNNUMBERED)
    return Found("structref" if kind(bits) == layout.KIND_STRUCT else "arrayref", _UNNUMBERED)
