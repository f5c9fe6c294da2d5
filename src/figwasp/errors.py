"""Floor 0: the outcomes that loading and running WebAssembly can have, as exceptions.

Everything figwasp raises on behalf of a guest derives from `Error`. The spec names five outcomes (Core Specification,
sections 4.5.4, 5.1, 3.1, 4.4 and appendix "Implementation Limitations"): malformed, invalid, unlinkable, trap, exhaustion.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "Busy",
    "Error",
    "Exhaustion",
    "Exit",
    "Frame",
    "Invalid",
    "LimitExceeded",
    "Malformed",
    "ParseError",
    "Trap",
    "Unlinkable",
    "Unsupported",
]


class Error(Exception):
    """Base of every error that figwasp raises for a module or a running guest."""


class Malformed(Error):
    """The bytes or the text are not a module (spec 5 and 6).

    Attributes:
        offset: byte offset in the binary where decoding failed, or None.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte offset {offset:#x})")
        self.offset = offset


class ParseError(Malformed):
    """The text format could not be read.

    Attributes:
        line: line number, from 1.
        column: column number, from 1.
    """

    def __init__(self, message: str, line: int, column: int, source: str = "") -> None:
        shown = f"\n  {source}\n  {' ' * (column - 1)}^" if source else ""
        super().__init__(f"{line}:{column}: {message}{shown}")
        self.line = line
        self.column = column


class Invalid(Error):
    """The module is well-formed but does not validate (spec 3).

    Attributes:
        offset: byte offset in the binary of the offending instruction or entry, or None.
        func: index of the function in which it lies, or None.
    """

    def __init__(self, message: str, offset: int | None = None, func: int | None = None, name: str | None = None) -> None:
        where = ""
        if func is not None:
            where = f" in function {func}" + (f" ({name})" if name else "")
        if offset is not None:
            where += f" at byte offset {offset:#x}"
        super().__init__(message + where)
        self.offset = offset
        self.func = func


class Unsupported(Error):
    """The module is fine but uses something that this build of figwasp or this machine cannot run.

    Attributes:
        feature: name of the proposal in `features.py` that it needs, or "".
    """

    def __init__(self, message: str, feature: str = "") -> None:
        super().__init__(message)
        self.feature = feature


class LimitExceeded(Error):
    """A limit of the implementation was reached (spec appendix A.2)."""


class Unlinkable(Error):
    """An import is missing or has the wrong type (spec 4.5.4)."""


class Frame(NamedTuple):
    """One WebAssembly frame of a backtrace, innermost first.

    Attributes:
        module: name of the module, or "".
        func: index of the function.
        name: name of the function from the name section or its export, or None.
        offset: byte offset of the instruction in the binary.
    """

    module: str
    func: int
    name: str | None
    offset: int

    def __str__(self) -> str:
        label = self.name or f"func[{self.func}]"
        return f"{self.module or '<module>'}!{label} @ {self.offset:#x}"


class Trap(Error):
    """WebAssembly code trapped (spec 4.4).

    Attributes:
        code: the spec's wording, for example "integer divide by zero".
        frames: the wasm frames, innermost first.
    """

    def __init__(self, code: str, frames: tuple[Frame, ...] = ()) -> None:
        lines = "".join(f"\n    {frame}" for frame in frames[:30])
        more = f"\n    ... {len(frames) - 30} more" if len(frames) > 30 else ""
        super().__init__(code + (f"\n  wasm backtrace:{lines}{more}" if frames else ""))
        self.code = code
        self.frames = frames


class Exhaustion(Trap):
    """The wasm stack ran out ("call stack exhausted")."""


class Busy(Error):
    """Another thread is running in this store."""


class Exit(SystemExit):
    """A WASI program called proc_exit."""


TRAP_UNREACHABLE: Final = 1
TRAP_OUT_OF_BOUNDS_MEMORY: Final = 2
TRAP_OUT_OF_BOUNDS_TABLE: Final = 3
TRAP_UNINITIALIZED_ELEMENT: Final = 4
TRAP_INDIRECT_CALL_TYPE_MISMATCH: Final = 5
TRAP_DIVIDE_BY_ZERO: Final = 6
TRAP_INTEGER_OVERFLOW: Final = 7
TRAP_INVALID_CONVERSION: Final = 8
TRAP_STACK_EXHAUSTED: Final = 9
TRAP_UNDEFINED_ELEMENT: Final = 10
TRAP_HOST: Final = 11

TRAP_MESSAGES: Final[dict[int, str]] = {
    TRAP_UNREACHABLE: "unreachable",
    TRAP_OUT_OF_BOUNDS_MEMORY: "out of bounds memory access",
    TRAP_OUT_OF_BOUNDS_TABLE: "out of bounds table access",
    TRAP_UNINITIALIZED_ELEMENT: "uninitialized element",
    TRAP_INDIRECT_CALL_TYPE_MISMATCH: "indirect call type mismatch",
    TRAP_DIVIDE_BY_ZERO: "integer divide by zero",
    TRAP_INTEGER_OVERFLOW: "integer overflow",
    TRAP_INVALID_CONVERSION: "invalid conversion to integer",
    TRAP_STACK_EXHAUSTED: "call stack exhausted",
    TRAP_UNDEFINED_ELEMENT: "undefined element",
}
"""Trap codes that compiled code records, with the spec's wording. TRAP_HOST means that a Python exception is set."""
