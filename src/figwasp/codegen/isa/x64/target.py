"""Floor 3: x86-64 as a `Target`: registers and conventions. What only compiling needs is in `compiling`."""

from __future__ import annotations

from binascii import crc32

from figwasp.codegen.isa.x64 import features
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.frames import (
    CALLEE_SAVED,
    FIELD_NAMES,
    FIELD_SIZES,
    FILLER,
    RETURN_BYTES,
    apply,
    go_straight,
    goal,
)
from figwasp.codegen.isa.x64.sequences import X64Sequences
from figwasp.codegen.mach import NONE
from figwasp.codegen.target import Target
from figwasp.ir.types import FLOAT, INT
from figwasp.lazy import importing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final


def _bits(registers: list[int]) -> int:
    return sum(1 << register for register in registers)


def _decode(data: bytes, offset: int) -> tuple[int, str]:
    with importing:
        from figwasp.codegen.isa.x64.decode import decode  # programs do without

    return decode(data, offset)


def _data_reference(text: str, end: int) -> int:
    _, found, distance = text.partition("[rip+0x")
    return end + int(distance.partition("]")[0], 16) if found else NONE


def _baseline() -> Any:
    with importing:
        from figwasp.codegen.isa.x64.baseline import parts  # programs whose code is kept do without

    return parts


def _complete() -> None:
    with importing:
        from figwasp.codegen.isa.x64.compiling import complete  # programs whose code is kept do without

    complete(TARGET)


def _synchronize(address: int, size: int) -> None:
    """Nothing: fetching sees what was stored (Intel SDM vol. 3, 11.6)."""


def _target() -> Target:
    """Fill in the record."""
    target = Target()
    target.name = "x64"
    target.num_registers = r.XMM15 + 1
    target.classes = [INT] * r.XMM0 + [FLOAT] * (target.num_registers - r.XMM0)
    target.regs = [
        [r.RAX, r.RCX, r.RDX, r.RSI, r.RDI, r.R8, r.R9, *CALLEE_SAVED],
        list(range(r.XMM0, r.FLOAT_SCRATCH)),
    ]
    target.callee_saved = _bits([*CALLEE_SAVED])
    target.c_callee_saved = _bits([r.RBX, r.RBP, r.R12, r.R13, r.R14])
    floats = list(range(r.XMM0, r.XMM8))
    target.args = [[r.RAX, r.RCX, r.RDX, r.RSI, r.RDI, r.R8, r.R9], floats]
    target.c_args = [[r.RDI, r.RSI, r.RDX, r.RCX, r.R8, r.R9], floats]
    target.c_results = [r.RAX, r.XMM0]
    target.native_clobbers = _bits([r.R10])
    target.native_args = 4
    target.instance_reg = r.INSTANCE
    target.context_reg = r.CONTEXT
    target.stack_reg = r.RSP
    target.scratch = [r.SCRATCH, r.FLOAT_SCRATCH]
    target.link_reg = NONE
    target.return_bytes = RETURN_BYTES
    target.return_offset = 0
    target.register_names = r.NAMES
    target.condition_names = r.CC_NAMES
    target.complete = _complete
    target.baseline = _baseline
    target.decode = _decode
    target.data_reference = _data_reference
    target.field_names = FIELD_NAMES
    target.field_sizes = FIELD_SIZES
    target.apply = apply
    target.goal = goal
    target.go_straight = go_straight
    target.filler = FILLER
    target.synchronize = _synchronize
    target.sequences = X64Sequences()
    target.known_features = features.KNOWN
    target.features_found = features.found
    target.use_features = _use_features
    return target


def _use_features(names: frozenset[str]) -> None:
    """Make code for a processor with these and no others."""
    features.IN_USE.use(names)
    TARGET.features = tuple(name for name in features.KNOWN if getattr(features.IN_USE, name))
    TARGET.fingerprint = crc32(" ".join((TARGET.name, *TARGET.features)).encode())


TARGET: Final = _target()
_use_features(frozenset())
