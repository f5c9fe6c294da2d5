"""Floor 4: contexts and wasm stacks: what a chain of execution needs to run.

Contexts stand side by side in one mapping that is never released, so that the ticker can walk them without asking anyone.
Stacks are pooled; below each lies a guard area, and the limit leaves headroom above it for signal frames and for the stubs
that run before a function's own check.
"""

from __future__ import annotations

import itertools
from typing import Final

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime import cpython, os

STACK_SIZE: Final = 1 << 20
TOP: Final = STACK_SIZE - 64  # where the first frame starts
HEADROOM: Final = 64 << 10
_GUARD: Final = 64 << 10
_MAX_CONTEXTS: Final = 1 << 16
_AHEAD: Final = 256
_MAX_POOLED: Final = 64


def _make_stack() -> int:
    try:
        base = os.reserve(_GUARD + STACK_SIZE) + _GUARD
        os.commit(base, STACK_SIZE)
    except OSError as error:
        raise LimitExceeded(f"no memory for a wasm stack: {error}") from None
    return base


class Stacks:
    """The pool.

    Attributes:
        contexts: address of the first context.
        contexts_size: bytes of the mapping.
        used: address of the word that holds the number of contexts that may be in use.
    """

    def __init__(self, used: int) -> None:
        self.contexts_size = _MAX_CONTEXTS * layout.CTX_SIZE
        self.contexts = os.allocate(self.contexts_size)
        self.used = used
        self._numbers = itertools.count()
        self._free: list[int] = []
        self._pool: list[int] = []

    def new_context(self) -> int:
        """Return the address of a context that no thread has claimed yet and that has no stack.

        Raises:
            LimitExceeded: too many stores.
        """
        try:
            context = self._free.pop()
        except IndexError:
            # Threads share this without a lock: `next` is one step, and the word that the ticker reads runs far ahead.
            number = next(self._numbers)
            if number >= _MAX_CONTEXTS:
                raise LimitExceeded(f"more than {_MAX_CONTEXTS} stores at once") from None
            if number % _AHEAD == 0:
                os.write_u64(self.used, min(number + _AHEAD, _MAX_CONTEXTS))
            context = self.contexts + number * layout.CTX_SIZE
        os.write(context, bytes(layout.CTX_SIZE))
        return context

    def take_stack(self) -> int:
        """Return the lowest address of a stack that nobody uses.

        Raises:
            LimitExceeded: no address space or memory for it.
        """
        try:
            return self._pool.pop()
        except IndexError:
            return _make_stack()

    def give_back_stack(self, base: int) -> None:
        """Take back a stack."""
        if len(self._pool) < _MAX_POOLED:
            os.discard(base, STACK_SIZE)
            self._pool.append(base)
        else:
            os.release(base - _GUARD, _GUARD + STACK_SIZE)

    def disown_idle(self) -> None:
        """In a forked child: end the chains of the threads that are no more, and have every idle chain claimed anew."""
        thread = cpython.thread_state()
        for number in range(os.read_u64(self.used)):
            context = self.contexts + number * layout.CTX_SIZE
            owner = os.read_u64(context + layout.CTX_THREAD_STATE)
            if owner != thread and os.read_u64(context + layout.CTX_DEPTH):
                os.write_u64(context + layout.CTX_DEPTH, 0)
                os.write_u64(context + layout.CTX_STATUS, layout.FLAG_CLEANUP << 32)
                os.write_u64(context + layout.CTX_WASM_SP, os.read_u64(context + layout.CTX_STACK_TOP))
            if not os.read_u64(context + layout.CTX_DEPTH):
                os.write_u64(context + layout.CTX_THREAD_STATE, 0)

    def release_context(self, context: int) -> None:
        """Take back a context that nobody can enter any more, and its stack."""
        if os.read_u64(context + layout.CTX_STACK_TOP):
            self.give_back_stack(os.read_u64(context + layout.CTX_STACK_BASE))
        os.write(context, bytes(layout.CTX_SIZE))
        self._free.append(context)
