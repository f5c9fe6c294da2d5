"""Floor 0: the outcomes that loading and running WebAssembly can have, as exceptions.

Everything figwasp raises on behalf of a guest derives from `Error`. The spec names five outcomes (Core Specification,
sections 4.5.4, 5.1, 3.1, 4.4 and appendix "Implementation Limitations"): malformed, invalid, unlinkable, trap, exhaustion.
"""

from __future__ import annotations

from contextlib import contextmanager

from figwasp.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final, Protocol

    class SourceInfo(Protocol):
        """A module's information about where its code comes from."""

        def places(self, func: int, offset: int) -> tuple[Place, ...]:
            """Return the places of the instruction at a byte offset, in a function."""

        def label(self, func: int) -> str:
            """Return the name of a function in text for people."""

    class _Backtrace(Protocol):
        """A callable that makes frames."""

        def __call__(self, most: int | None = None) -> tuple[Frame, ...]:
            """Make the innermost frames, at most so many."""

    Frames = tuple["Frame", ...] | _Backtrace

__all__ = [
    "Busy",
    "Closed",
    "Error",
    "Exhaustion",
    "Exit",
    "Frame",
    "Incompatible",
    "Invalid",
    "LimitExceeded",
    "Malformed",
    "OutOfFuel",
    "ParseError",
    "Timeout",
    "Trap",
    "Unlinkable",
    "Unsupported",
    "Unusable",
    "WasmException",
]


class Error(Exception):
    """Base of every error that figwasp raises for a module or a running guest."""


class Malformed(Error):
    """The bytes or the text are not a module (spec 5 and 6).

    Attributes:
        offset: byte offset in the binary where decoding failed, or None.
        func: index of the function in which it failed, where the message says it, or None.
    """

    def __init__(self, message: str, offset: int | None = None, func: int | None = None, name: str | None = None) -> None:
        message += _in_function(func, name)
        super().__init__(message if offset is None else f"{message} (at byte offset {offset:#x})")
        self.offset = offset
        self.func = func


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

    def __reduce__(self) -> tuple[object, ...]:
        return _bare, (type(self), self.args), self.__dict__


def _bare(kind: type[ParseError], args: tuple[object, ...]) -> ParseError:
    """Make an error that was pickled, with the finished text."""
    return kind.__new__(kind, *args)


class Invalid(Error):
    """The module is well-formed but does not validate (spec 3).

    Attributes:
        offset: byte offset in the binary of the offending instruction or entry, or None.
        func: index of the function in which it lies, or None.
    """

    def __init__(self, message: str, offset: int | None = None, func: int | None = None, name: str | None = None) -> None:
        where = _in_function(func, name)
        if offset is not None:
            where += f" at byte offset {offset:#x}"
        super().__init__(message + where)
        self.offset = offset
        self.func = func


def _in_function(func: int | None, name: str | None) -> str:
    if func is None:
        return ""
    return f" in function {func}" + (f" ({printable(name)})" if name else "")


class Unsupported(Error):
    """The module is fine, but this machine, system or interpreter cannot run compiled code."""


class LimitExceeded(Error):
    """A limit of the implementation was reached (spec appendix A.2)."""


class Unusable(Error, ValueError):
    """The bytes of a serialized module are damaged, or were made for something else than what is here.

    Attributes:
        differs: what is not the same here, of "figwasp", "Python", "processor", "memory", "fuel", "proposals"; empty for damage.
    """

    def __init__(self, message: str, differs: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.differs = differs


class Unlinkable(Error):
    """An import is missing or has the wrong type (spec 4.5.4)."""


class Incompatible(Unlinkable, TypeError):
    """The value given for an import is not of the kind or type that the import asks for."""


class Place(NamedTuple):
    """A place in the source of a module.

    Attributes:
        name: of the function, for people.
        file: source file, as the compiler knew it.
        line: line in that file, from 1.
    """

    name: str
    file: str
    line: int


class Frame:
    """One WebAssembly frame of a backtrace.

    Attributes:
        module: name of the module, or "".
        func: index of the function.
        name: name of the function in the module, from the name section or an export, still mangled if it is; or None.
        offset: byte offset of the instruction in the binary.
    """

    __slots__ = ("_places", "_source", "func", "module", "name", "offset")
    __match_args__ = ("module", "func", "name", "offset", "file", "line")

    def __init__(
        self,
        module: str,
        func: int,
        name: str | None,
        offset: int,
        places: tuple[Place, ...] = (),
        source: SourceInfo | None = None,
    ) -> None:
        """Make a frame.

        Args:
            module, func, name, offset, places: the attributes.
            source: the module's information, which is asked when the places are first needed.
        """
        self.module = module
        self.func = func
        self.name = name
        self.offset = offset
        self._source = source
        self._places = places if source is None else None

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the instruction comes from by the module's DWARF: nothing, or a place in this function.

        The places in functions that the compiler inlined there come before it, the innermost first.
        """
        if self._places is None:
            assert self._source is not None
            self._places = self._source.places(self.func, self.offset)
        return self._places

    @property
    def file(self) -> str | None:
        """Source file of the instruction, when the module carries DWARF line information that says so."""
        return self.places[0].file if self.places else None

    @property
    def line(self) -> int | None:
        """Line in that file, from 1, or None."""
        return self.places[0].line if self.places else None

    @property
    def label(self) -> str:
        """Name for people: demangled with the extra `demangle` installed, unprintable characters escaped; func[INDEX] for none."""
        if self._source is not None:
            return self._source.label(self.func)
        return printable(self.name or "") or f"func[{self.func}]"

    def __str__(self) -> str:
        inlined = len(self.places) > 1
        shown = [f"{place.name} " * inlined + f"{printable(place.file)}:{place.line}" for place in self.places]
        where = f" ({', '.join(shown)})" if shown else ""
        return f"{printable(self.module) or '<module>'}!{self.label} @ {self.offset:#x}{where}"

    def __repr__(self) -> str:
        return f"<figwasp.Frame {self}>"

    def _key(self) -> tuple[object, ...]:
        return self.module, self.func, self.name, self.offset, self.places

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Frame) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.module, self.func, self.offset))

    def __reduce__(self) -> tuple[type[Frame], tuple[object, ...]]:
        return Frame, self._key()


def printable(text: str, longest: int = 300) -> str:
    """Return a guest's text fit for a line of output: unprintable characters escaped, and what is too long cut off."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: longest + 1])
    return text if len(text) <= longest else text[:longest] + "..."


class _Framed(Error):
    """An error of WebAssembly code, with the frames that led to it."""

    _frames: Frames = ()

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The wasm frames, innermost first; empty when it happened outside of wasm."""
        if not isinstance(self._frames, tuple):
            self._frames = self._frames()
        return self._frames

    def take_frames(self, frames: Frames) -> None:
        """Set the frames unless there are some already."""
        if self._frames == ():
            self._frames = frames

    @property
    def backtrace(self) -> str:
        """The frames, one a line, innermost first; the innermost and the outermost ones when there are many."""
        frames = self.frames
        lines = [str(frame) for frame in frames] if len(frames) <= _INNER + _OUTER + 1 else [
            *map(str, frames[:_INNER]),
            f"... {len(frames) - _INNER - _OUTER} more",
            *map(str, frames[-_OUTER:]),
        ]
        return "\n".join(lines)


class Trap(_Framed):
    """WebAssembly code trapped (spec 4.4).

    The message is the code and the place of the innermost frame. `backtrace` and Python's own traceback show all frames.

    Attributes:
        code: the spec's wording, for example "integer divide by zero", or for what the spec does not know, words of figwasp's.
    """

    def __init__(self, code: str, frames: Frames = ()) -> None:
        """Make a trap.

        Args:
            code: what happened.
            frames: the wasm frames, innermost first, or a callable that makes them when they are first needed.
        """
        super().__init__(code)
        self.code = code
        self._frames = frames

    def __str__(self) -> str:
        try:
            # One frame, not all: there may be millions.
            first = self._frames[:1] if isinstance(self._frames, tuple) else self._frames(1)
            return f"{self.code}, at {first[0]}" if first else self.code
        except (RecursionError, MemoryError):
            return self.code  # there is no room for more

    def __reduce__(self) -> tuple[object, ...]:
        state = {name: value for name, value in self.__dict__.items() if name not in ("code", "_frames")}
        return type(self), (self.code, self.frames), state or None


_INNER: Final = 20  # frames of a long backtrace that are shown
_OUTER: Final = 10


class Exhaustion(Trap):
    """The wasm stack ran out ("call stack exhausted")."""


class Timeout(Trap, TimeoutError):
    """A call took longer than allowed by the keyword `timeout` of the call, or that of its engine.

    The guest's effects until then remain; its instance can be used again.
    """


class Interrupted(Trap):
    """A call was ended from outside: by `interrupt()` of its instance, or because another thread closed the instance.

    The guest's effects until then remain; its instance can be used again.
    """


class OutOfFuel(Trap):
    """Metered code has used up the fuel of its instance, and nobody gave more.

    The guest's effects until then remain; its instance can be used again once it has fuel.
    """


class WasmException(_Framed):
    """An exception of WebAssembly: one that nothing has caught before it left a call, or that a host function raises.

    Attributes:
        tag: the `figwasp.Tag` that it has been thrown with.
        args: what it carries, a value for each parameter of the tag.

    `frames` and `backtrace` are those of the throw, as of a `Trap`.
    """

    def __init__(self, tag: Any, *args: Any) -> None:
        """Make an exception; the values are converted when WebAssembly gets it."""
        super().__init__(*args)
        self.tag = tag

    def __str__(self) -> str:
        carried = ", ".join(printable(repr(arg)) for arg in self.args)
        return f"WebAssembly threw ({carried})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.tag, *self.args), {"_frames": self.frames}


class Busy(Error):
    """Another thread is running in the same store: in the same instance, or in one that is linked with it.

    Linked instances run on one thread at a time. Use a lock around the calls, or an instance for each thread.
    """


class Closed(Error):
    """The instance has been closed."""


class Exit(Error):
    """A WASI program called `proc_exit`: the program is at its end, and none of its functions may be called any more.

    The command `figwasp run` turns the code into the exit status of the process; for an embedder this is an exception like any
    other, also when the code is 0.

    Attributes:
        code: the argument of `proc_exit`, an int from 0 to 2**32 - 1.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the program has exited with code {code}")
        self.code = code

    def __reduce__(self) -> tuple[type[Exit], tuple[int]]:
        return type(self), (self.code,)


@contextmanager
def prefix_errors(file: str | None) -> Iterator[None]:
    """Put the name of a module's file before the messages of errors about the module. How a guest ends is no such error."""
    try:
        yield
    except Error as error:
        if file is not None and not isinstance(error, (Trap, WasmException, Exit)):
            space = "" if isinstance(error, ParseError) else " "  # FILE:LINE:COLUMN is what editors can follow
            error.args = (f"{printable(file)}:{space}{str(error) or type(error).__name__}", *error.args[1:])
        raise

BUSY: Final = "another thread is running in this store, which linked instances share: use a lock, or an instance for each thread"
"""The message of `Busy`."""

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
TRAP_SUSPENDED: Final = 12
TRAP_TIMEOUT: Final = 13
TRAP_OUT_OF_FUEL: Final = 14
TRAP_INTERRUPTED: Final = 15
TRAP_UNALIGNED_ATOMIC: Final = 16
TRAP_EXPECTED_SHARED: Final = 17
TRAP_NULL_FUNCTION_REFERENCE: Final = 18
TRAP_NULL_REFERENCE: Final = 19
TRAP_NULL_I31: Final = 20
TRAP_CAST_FAILURE: Final = 21
TRAP_NULL_STRUCTURE: Final = 24
TRAP_NULL_ARRAY: Final = 25
TRAP_OUT_OF_BOUNDS_ARRAY: Final = 26
TRAP_OUT_OF_HEAP: Final = 27
TRAP_NULL_EXCEPTION: Final = 28
TRAP_EXCEPTION: Final = 29

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
    TRAP_TIMEOUT: "timeout",
    TRAP_OUT_OF_FUEL: "out of fuel",
    TRAP_INTERRUPTED: "interrupted",
    TRAP_UNALIGNED_ATOMIC: "unaligned atomic",
    TRAP_EXPECTED_SHARED: "expected shared memory",
    TRAP_NULL_FUNCTION_REFERENCE: "null function reference",
    TRAP_NULL_REFERENCE: "null reference",
    TRAP_NULL_I31: "null i31 reference",
    TRAP_CAST_FAILURE: "cast failure",
    TRAP_NULL_STRUCTURE: "null structure reference",
    TRAP_NULL_ARRAY: "null array reference",
    TRAP_OUT_OF_BOUNDS_ARRAY: "out of bounds array access",
    TRAP_OUT_OF_HEAP: "garbage-collected heap exhausted",
    TRAP_NULL_EXCEPTION: "null exception reference",
}
"""Trap codes that compiled code records, with the spec's wording. TRAP_HOST means that a Python exception is set,
TRAP_SUSPENDED that nothing trapped: the chain waits for an async host function. TRAP_EXCEPTION means that the context
has an exception which nothing has caught."""
