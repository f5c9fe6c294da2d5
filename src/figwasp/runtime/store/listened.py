"""Floor 4: the listened calls that are under way, and the events that listeners are told of.

Theory of operation. Wrappers (`code.listen`) have each call reported here before and after. A trap or an exception unwinds past
wrappers without running them. So every chain has a list of the listened calls that are under way, each with the address of its
wrapper's cells: as the stack grows downwards, a frame below an address has been called by the function of the frame there. An
entry from Python that fails reports its calls as given up, innermost first, before its caller sees the exception; calls that were
left in another way are found by their addresses at the next event of their chain.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.runtime.code.listen import Listened
from figwasp.runtime.objects.func import References
from figwasp.runtime.objects.values import get_values
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from figwasp.runtime.objects.instance import InstanceState
    from figwasp.wasm.syntax.types import Types

__all__ = ["abandon", "after", "before", "forget"]

_Chain = list[tuple[int, Listened]]
"""Calls under way, outermost first: address of the operands in the wrapper's frame, function."""

_chains: Final[dict[int, _Chain]] = {}
"""By address of the context; only those with a call under way."""


def before(state: InstanceState, index: int, address: int, context: int) -> None:
    """Report a call: its operands are in a buffer at an address."""
    listened = state.code.listeners[index]
    assert listened is not None
    if context in _chains:
        _end_calls(context, address + 1, None)  # what lies here or below has been left without a word
    chain = _chains.setdefault(context, [])
    depth = len(chain)
    try:
        if not depth:
            _set_listened(context, True)
        chain.append((address, listened))
        if listened.before is not None:
            listened.before(listened.info, _read(address, listened.info.type.params, state), depth)
    except BaseException:
        _cut(context, chain, depth)
        raise


def after(state: InstanceState, index: int, address: int, context: int) -> None:
    """Report the results of a call, in a buffer at an address."""
    listened = state.code.listeners[index]
    assert listened is not None
    _end_calls(context, address, None)
    chain = _chains[context]
    depth = len(chain) - 1
    _cut(context, chain, depth)
    if listened.after is not None:
        listened.after(listened.info, _read(address, listened.info.type.results, state), depth)


def _read(address: int, types: Types, state: InstanceState) -> tuple[Any, ...]:
    """Return the Python objects for the values in a buffer."""
    return tuple(get_values(address, types, References(state.store, state.code.numbers)))


def _cut(context: int, chain: _Chain, depth: int) -> None:
    """Forget the calls of a chain from a depth on. A flag that is left behind by an exception does no harm."""
    del chain[depth:]
    if not chain:
        _chains.pop(context, None)
        _set_listened(context, False)


def _set_listened(context: int, listened: bool) -> None:
    linux.write_u8(context + layout.CTX_FLAGS + 2, listened * (layout.FLAG_LISTENED >> 16))


# Calls that do not return


def abandon(context: int, error: BaseException) -> None:
    """Report the calls that an exception ends: those of an entry from Python that is about to fail.

    Raises:
        BaseException: a listener raised it, in place of the exception.
    """
    _end_calls(context, linux.read_u64(context + layout.CTX_WASM_SP), error)


def _end_calls(context: int, limit: int, error: BaseException | None) -> None:
    """Report the calls below an address as given up, innermost first; a listener's exception is raised when all are reported."""
    chain = _chains.get(context, [])
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
