"""Floor 4: symbols: the names by which stubs refer to what only the process knows, and what they stand for.

In: names, in code (the IR operation `symbol`). Out: values. A stub's code is thus the same in every process with the same build of
Python, and can be kept. The names, by their first word:

    memset, PyLong_FromLong     no point in it: a function of the C library, or of the C API (Py..., _Py...)
    object.None                 a Python object: `OBJECTS`
    callback.claim_chain        a Python callable: an attribute of `Callbacks`
    builtin.table_grow          the one that implements a builtin
    static.parked               a word of `Statics`
    box.int.3                   a cell of `Boxes`
    stub.enter:il:d             another stub, by its key (`stubs.catalogue`); it is compiled when it is asked for
    switch.resume               an entry of the stack switching stubs
    code.start, code.map        addresses of the range of code
    heap.blocks, types.descriptors, thread.key, owner.reap, method.0     what their owners say
"""

from __future__ import annotations

from figwasp.ir import builtins
from figwasp.runtime.once import Lazily
from figwasp.runtime.platform import cpython, interpreter, linux
from figwasp.runtime.stubs.interface import BOXES, DIGIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from figwasp.runtime.platform.statics import Statics

__all__ = ["OBJECTS", "Boxes", "Callbacks", "Symbols"]

OBJECTS: Final[dict[str, object]] = {
    "None": None,
    "True": True,
    "NotImplemented": NotImplemented,
    "int": int,
    "float": float,
    "tuple": tuple,
    "BufferError": BufferError,
    "RecursionError": RecursionError,
    # Exceptions of the C API's conversions for an object that is no number of the kind, or too large a one
    "MISMATCH": (TypeError, OverflowError),
    "NO_BUFFER": "only arrays of integers and floats have a buffer",
    "SMALL_INTS": interpreter.SINGLETONS[0],  # the first of the ints of which there is one object each
}


class Callbacks:
    """The Python callables that emitted code calls.

    Attributes:
        explain_trap: (context address, trap code, pc, stack pointer, exception or None) -> the exception with which an entry fails.
        finish_chain: (context address,): releases the references pinned by the chain whose outermost entry leaves.
        refuse_cleared: (): raises: the collector has cleared an object that the call needs.
        box_results: (call slow path, address): the results of a call, from where they stand.
        claim_chain: (call slow path,): binds the chain of its store to the calling thread, or raises.
        refuse_busy: (): raises Busy.
        end_listened_calls: (context address, exception): tells listeners of the calls that an exception ends.
        offer_exception: (context address, exception): puts an exception that a host function has raised into the context, as one of
            WebAssembly, if that may catch it.
        trim_traceback: (exception,) -> the exception, without the runtime's own functions in its traceback.
        refuel: (context address,) -> whether a chain that is out of fuel may go on.
        hot: (return address,) -> where to go on instead of in the baseline code that has run often and called, or 0; with the bytes
            of its frame from bit SIZE_SHIFT on.
        grow_heap: (context address, bytes): gives the heap of the context's store more blocks (`stubs.heap.collect.Parts`).
        compile: (instance, function index, context address) -> address of the function's code.
        before_call, after_call: (instance, function index, address of operands or results, context address): tell a listener.
        builtins: builtin number -> (instance, operands) -> result or None.
    """

    __slots__ = (
        "after_call",
        "before_call",
        "box_results",
        "builtins",
        "claim_chain",
        "compile",
        "end_listened_calls",
        "explain_trap",
        "finish_chain",
        "offer_exception",
        "grow_heap",
        "hot",
        "refuel",
        "refuse_busy",
        "refuse_cleared",
        "trim_traceback",
    )

    explain_trap: Callable[[int, int, int, int, BaseException | None], BaseException]
    finish_chain: Callable[[int], None]
    refuse_cleared: Callable[..., None]
    box_results: Callable[[Any, int], Any]
    claim_chain: Callable[[Any], None]
    refuse_busy: Callable[[], None]
    end_listened_calls: Callable[[int, BaseException], None]
    trim_traceback: Callable[[BaseException], BaseException]
    offer_exception: Callable[[int, BaseException], None]
    refuel: Callable[[int], bool]
    hot: Callable[[int], int]
    grow_heap: Callable[[int, int], int]
    compile: Callable[[Any, int, int], int]
    before_call: Callable[[Any, int, int, int], None]
    after_call: Callable[[Any, int, int, int], None]
    builtins: Mapping[int, Callable[..., int | None]]


class Boxes:
    """The cells of `stubs.box`: they hold numbers for Python functions."""

    @Lazily
    def _cells(self) -> int:
        """The address of all cells: at each position one for ints, then one for floats."""
        cells = linux.allocate(16 * BOXES)
        for position in range(BOXES):
            # In use by the tuple of constants of this code, so the first call replaces them.
            cpython.set_reference(cells + 16 * position, 1 << DIGIT)
            cpython.set_reference(cells + 16 * position + 8, 1.5)
        return cells

    def cell(self, name: str) -> int:
        """Return the address of a cell: "int.3"."""
        kind, _, position = name.partition(".")
        return self._cells + 16 * int(position) + {"int": 0, "float": 8}[kind]


class Symbols:
    """What names stand for."""

    __slots__ = ("_callbacks", "_defined", "_kinds")

    def __init__(self, callbacks: Callbacks, statics: Statics) -> None:
        self._callbacks = callbacks  # whose callables live as long
        self._defined: dict[str, int] = {}
        self._kinds: dict[str, Callable[[str], int]] = {
            "object": lambda name: id(OBJECTS[name]),
            "callback": lambda name: id(getattr(callbacks, name)),
            "builtin": lambda name: id(callbacks.builtins[builtins.NAMES.index(name)]),
            "static": lambda name: int(getattr(statics, name)),
            "box": Boxes().cell,
        }

    def define(self, name: str, value: int) -> None:
        """Give a name its value, before any code refers to it; objects have to live as long as the process."""
        self._defined[name] = value

    def add(self, kind: str, value: Callable[[str], int]) -> None:
        """Add a kind of names, given the function that answers what the rest of such a name stands for."""
        self._kinds[kind] = value

    def value(self, name: str) -> int:
        """Return what a name stands for.

        Raises:
            KeyError, AttributeError: there is no such name.
        """
        found = self._defined.get(name)
        if found is not None:
            return found
        kind, _, rest = name.partition(".")
        if rest:
            return self._kinds[kind](rest)
        return cpython.address(name) if name.startswith(("Py", "_Py")) else linux.symbol(name)
