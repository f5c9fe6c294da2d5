"""figwasp: WebAssembly from the inside out, in Python.

>>> import figwasp
>>> text = '(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'
>>> figwasp.load(figwasp.wat(text)).exports.add(1, 2)
3

Nothing is imported before it is asked for: a name of this package comes from its module when it is first used.
"""

from __future__ import annotations

from figwasp.lazy import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp import types
    from figwasp.api.allocator import Allocator
    from figwasp.api.caller import Caller
    from figwasp.api.engine import Engine
    from figwasp.api.exports import Exports
    from figwasp.api.global_ import Global
    from figwasp.api.instance import Instance
    from figwasp.api.linker import Linker, load
    from figwasp.api.memory import Memory
    from figwasp.api.module import Module, deserialize
    from figwasp.api.snapshot import Snapshot
    from figwasp.api.table import Table
    from figwasp.errors import (
        Busy,
        Closed,
        Error,
        Exhaustion,
        Exit,
        Frame,
        Incompatible,
        Interrupted,
        Invalid,
        LimitExceeded,
        Malformed,
        OutOfFuel,
        ParseError,
        Place,
        Timeout,
        Trap,
        Unlinkable,
        Unsupported,
        Unusable,
        WasmException,
    )
    from figwasp.runtime.code.listen import FuncInfo
    from figwasp.runtime.heap.arrays import Array
    from figwasp.runtime.heap.structs import Struct
    from figwasp.runtime.objects.func import Func
    from figwasp.runtime.objects.tag import Tag
    from figwasp.wasi.preview1 import WASI
    from figwasp.wasi.run import run
    from figwasp.wasm.text.parse.module import wat
    from figwasp.wasm.valid.uses import Use

__version__ = "0.1.0.dev0"

__all__ = [
    "Allocator",
    "Array",
    "Busy",
    "Caller",
    "Closed",
    "Engine",
    "Error",
    "Exhaustion",
    "Exit",
    "Exports",
    "Frame",
    "Func",
    "FuncInfo",
    "Global",
    "Incompatible",
    "Instance",
    "Interrupted",
    "Invalid",
    "LimitExceeded",
    "Linker",
    "Malformed",
    "Memory",
    "Module",
    "OutOfFuel",
    "ParseError",
    "Place",
    "Snapshot",
    "Struct",
    "Table",
    "Tag",
    "Timeout",
    "Trap",
    "Unlinkable",
    "Unsupported",
    "Unusable",
    "Use",
    "WASI",
    "WasmException",
    "deserialize",
    "load",
    "run",
    "types",
    "wat",
]

if not TYPE_CHECKING:  # which are told above, and are to find names that do not exist
    __getattr__, __dir__ = on_first_use(
        globals(),
        {
            "figwasp.errors": "Busy Closed Error Exhaustion Exit Frame Incompatible Interrupted Invalid LimitExceeded Malformed "
            "OutOfFuel ParseError Place Timeout Trap Unlinkable Unsupported Unusable WasmException",
            "figwasp.api.allocator": "Allocator",
            "figwasp.api.caller": "Caller",
            "figwasp.api.engine": "Engine",
            "figwasp.api.exports": "Exports",
            "figwasp.api.global_": "Global",
            "figwasp.api.instance": "Instance",
            "figwasp.api.linker": "Linker load",
            "figwasp.api.memory": "Memory",
            "figwasp.api.module": "Module deserialize",
            "figwasp.api.snapshot": "Snapshot",
            "figwasp.api.table": "Table",
            "figwasp.runtime.code.listen": "FuncInfo",
            "figwasp.runtime.heap.arrays": "Array",
            "figwasp.runtime.heap.structs": "Struct",
            "figwasp.runtime.objects.func": "Func",
            "figwasp.runtime.objects.tag": "Tag",
            "figwasp.wasi.preview1": "WASI",
            "figwasp.wasi.run": "run",
            "figwasp.wasm.text.parse.module": "wat",
            "figwasp.wasm.valid.uses": "Use",
        },
        modules="errors types wasi",
    )
