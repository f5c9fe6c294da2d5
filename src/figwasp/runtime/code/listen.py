"""Floor 4: function listeners: what runs before and after the calls of chosen functions, and when such a call is given up.

In: the listener of an engine, asked once per function when that is compiled. Out: for a function that it wants to hear of, the
address of a wrapper that goes into the function's cell and FuncRefs in place of its code. Other functions are as they would be
without a listener.

Theory of operation. The wrapper (wasm convention) stores its operands in 8-byte cells of its own frame, asks the instance's hook
to report the call, calls the code, stores the results, and asks the hook to report them. A trap or an exception unwinds past
wrappers without running them. So every chain has a list here of the listened calls that are under way, each with the address
of its wrapper's cells: as the stack grows downwards, whatever lies below an address has been called by what stands there.
An entry from Python that fails reports its calls as given up, innermost first, before its caller sees the exception; calls
that were left in another way are found by their addresses at the next event of their chain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from figwasp import layout
from figwasp.errors import printable
from figwasp.ir import ops
from figwasp.ir.build.base import ir_types
from figwasp.ir.func import CONV_WASM, Call, Func, Value
from figwasp.ir.ops import I64
from figwasp.runtime.objects.values import from_bits
from figwasp.runtime.platform import linux
from figwasp.runtime.stubs.builder import Stub
from figwasp.wasm.syntax.types import FuncType, Types

if TYPE_CHECKING:
    from figwasp.runtime.objects.instance import State
    from figwasp.wasm.syntax.module import Module

__all__ = ["FuncInfo", "Listener"]

_HEADER: Final = 24  # bytes before the operands in a wrapper's cells: function index, address of the operands, context


class FuncInfo:
    """A function that a listener is asked about, and told of.

    Attributes:
        module: name of its module, or "".
        index: its index in the module, imported functions counted.
        name: its name: from the name section, an export, or "func[INDEX]".
        type: its type: `params` and `results`.
    """

    __slots__ = ("index", "module", "name", "type")

    def __init__(self, module: str, index: int, name: str, type: FuncType) -> None:
        self.module = module
        self.index = index
        self.name = name
        self.type = type

    def __repr__(self) -> str:
        return f"<function {printable(self.module) or '<module>'}!{printable(self.name)} {self.type}>"


Listener = Callable[[FuncInfo], object]
"""Called once per function of a module, when it is compiled; answers None, or an object with any of the methods

    before(func: FuncInfo, args: tuple, depth: int)
    after(func: FuncInfo, results: tuple, depth: int)
    abort(func: FuncInfo, error: BaseException | None, depth: int)

`depth` counts the listened calls of the same chain that are under way around it."""


class _Listened:
    """A function with somebody listening.

    Attributes:
        info: what listeners see of it.
        before, after, abort: the listener's methods, or None.
    """

    __slots__ = ("abort", "after", "before", "info")

    def __init__(self, info: FuncInfo, ear: object) -> None:
        self.info = info
        self.before: Callable[..., object] | None = getattr(ear, "before", None)
        self.after: Callable[..., object] | None = getattr(ear, "after", None)
        self.abort: Callable[..., object] | None = getattr(ear, "abort", None)


Listeners = dict[int, _Listened | None]
"""The functions of a module that a listener has been asked about, by index; None: nobody listens."""

_Chain = list[tuple[int, _Listened]]
"""Calls under way, outermost first: address of the operands in the wrapper's frame, function."""

_chains: Final[dict[int, _Chain]] = {}
"""By address of the context; only those with a call under way."""


# Compiling


def ask(listener: Listener, module: Module, index: int, listeners: Listeners) -> bool:
    """Ask a listener about a function, unless it has been asked; return whether anybody listens to the function."""
    if index not in listeners:
        info = FuncInfo(module.name or "", index, module.func_name(index) or f"func[{index}]", module.func_type(index))
        ear = listener(info)
        listeners.setdefault(index, None if ear is None else _Listened(info, ear))  # another thread may have been faster
    return listeners[index] is not None


def wrapper(type_: FuncType, index: int, code: int, hook: int) -> Func:
    """Build what stands for a function that somebody listens to.

    Args:
        type_: type of the function.
        index: its index.
        code: address of its code.
        hook: address of the native function that asks an instance's hook with three operands.
    """
    params, results = ir_types(type_.params), ir_types(type_.results)
    e = Stub(f"listen.{index}", bytes([I64]) + params, results, CONV_WASM)
    instance, *values = e.params
    context = e.emit(ops.CONTEXT, [])
    cells = e.emit(ops.FRAME_AREA, [], _HEADER + 8 * max(len(params), len(results)))
    e.put(e.word(index), cells, 0)
    e.put(e.emit(ops.I64_ADD, [cells, e.word(_HEADER)]), cells, 8)
    e.put(context, cells, 16)
    _report(e, values, cells, hook, layout.HOOK_BEFORE)
    answers = _call(e, [e.word(code), instance, *values], Call(params, results))
    _report(e, answers, cells, hook, layout.HOOK_AFTER)
    e.ret(answers)
    return e.func


def _report(e: Stub, values: list[Value], cells: Value, hook: int, request: int) -> None:
    """Ask the instance's hook to report operands or results; leave wasm when that raises."""
    for i, value in enumerate(values):
        e.store(ops.STORE_OF[value.type], value, cells, _HEADER + 8 * i)
    status = e.native(hook, [e.params[0], cells, e.word(request), e.emit(ops.CONTEXT, [])])
    failed, done = e.new(), e.new()
    e.brif(e.emit(ops.I64_NE, [status, e.word(0)]), failed, done)
    e.at(failed)
    e.emit(ops.UNWIND, [])
    e.at(done)


def _call(e: Stub, operands: list[Value], call: Call) -> list[Value]:
    results = call.results
    first = e.emit(ops.CALL_PTR, operands, call, results[0] if results else ops.VOID)
    rest = [e.emit(ops.RESULT, [first], i, results[i]) for i in range(1, len(results))]
    return [first, *rest] if results else []


# What wrappers ask the hook for


def before(state: State, index: int, address: int, context: int) -> None:
    """Report a call: its operands are in 8-byte cells at an address."""
    listened = state.code.listeners[index]
    assert listened is not None
    if context in _chains:
        _end_calls(context, address + 1, None)  # what lies here or below has been left without a word
    chain = _chains.get(context)
    if chain is None:
        chain = _chains[context] = []
        _set_listened(context, True)
    depth = len(chain)
    chain.append((address, listened))
    if listened.before is not None:
        try:
            listened.before(listened.info, _read(address, listened.info.type.params, state), depth)
        except BaseException:
            _cut(context, chain, depth)
            raise


def after(state: State, index: int, address: int, context: int) -> None:
    """Report the results of a call, in 8-byte cells at an address."""
    listened = state.code.listeners[index]
    assert listened is not None
    _end_calls(context, address, None)
    chain = _chains[context]
    depth = len(chain) - 1
    _cut(context, chain, depth)
    if listened.after is not None:
        listened.after(listened.info, _read(address, listened.info.type.results, state), depth)


def _read(address: int, types: Types, state: State) -> tuple[Any, ...]:
    """Return the Python objects for raw bits in cells."""
    store = state.store
    return tuple([from_bits(linux.read_u64(address + 8 * i), type_, store) for i, type_ in enumerate(types)])


def _cut(context: int, chain: _Chain, depth: int) -> None:
    """Forget the calls of a chain from a depth on."""
    del chain[depth:]
    if not chain:
        del _chains[context]
        _set_listened(context, False)


def _set_listened(context: int, listened: bool) -> None:
    linux.write_u8(context + layout.CTX_FLAGS + 2, listened * (layout.FLAG_LISTENED >> 16))


# Calls that do not return


def abandon(context: int, error: BaseException) -> None:
    """Report the calls that an exception ends: those of an entry from Python that is about to fail.

    Raises:
        BaseException: what a listener raised, which takes the place of the exception.
    """
    _end_calls(context, linux.read_u64(context + layout.CTX_WASM_SP), error)


def _end_calls(context: int, limit: int, error: BaseException | None) -> None:
    """Report the calls below an address as given up, innermost first; what a listener raises is raised when all know."""
    chain = _chains[context]
    depth = len(chain)
    while depth and chain[depth - 1][0] < limit:
        depth -= 1
    ended = chain[depth:]
    if ended:
        _cut(context, chain, depth)  # first: a listener may call wasm
        _tell(ended, depth, error)


def _tell(ended: _Chain, depth: int, error: BaseException | None) -> None:
    raised: BaseException | None = None
    while ended:
        listened = ended.pop()[1]
        if listened.abort is not None:
            try:
                listened.abort(listened.info, error, depth + len(ended))
            except BaseException as another:
                raised = raised or another
    if raised is not None:
        if raised is not error and raised.__context__ is None:
            raised.__context__ = error
        raise raised


def forget(context: int) -> None:
    """Forget the calls of a chain that will not go on."""
    _chains.pop(context, None)
