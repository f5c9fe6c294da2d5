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
from figwasp.runtime import os

STACK_SIZE: Final = 1 << 20
HEADROOM: Final = 64 << 10
_GUARD: Final = 64 << 10
_MAX_CONTEXTS: Final = 1 << 16
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
        used: address of the word that holds the number of contexts ever used.
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
            # One step for other threads; the ticker may see the number late, since nothing runs in the new one yet.
            number = next(self._numbers)
            if number >= _MAX_CONTEXTS:
                raise LimitExceeded(f"more than {_MAX_CONTEXTS} stores at once") from None
            context = self.contexts + number * layout.CTX_SIZE
            os.write_u64(self.used, max(number + 1, os.read_u64(self.used)))
        os.write(context, bytes(layout.CTX_SIZE))
        return context

    def give_stack(self, context: int) -> None:
        """Give a context a stack unless it has one.

        Raises:
            LimitExceeded: no address space or memory for it.
        """
        if os.read_u64(context + layout.CTX_STACK_TOP):
            return
        try:
            base = self._pool.pop()
        except IndexError:
            base = _make_stack()
        if os.read_u64(context + layout.CTX_STACK_TOP):
            self._pool.append(base)  # another thread was here meanwhile
            return
        top = base + STACK_SIZE - 64
        os.write_u64(context + layout.CTX_STACK_BASE, base)
        os.write_u64(context + layout.CTX_STACK_TOP, top)
        os.write_u64(context + layout.CTX_WASM_SP, top)
        os.write_u64(context + layout.CTX_REAL_LIMIT, base + HEADROOM)
        os.write_u64(context + layout.CTX_STACK_LIMIT, base + HEADROOM)

    def release_context(self, context: int) -> None:
        """Take back a context that nobody can enter any more, and its stack."""
        if os.read_u64(context + layout.CTX_STACK_TOP):
            base = os.read_u64(context + layout.CTX_STACK_BASE)
            if len(self._pool) < _MAX_POOLED:
                os.discard(base, STACK_SIZE)
                self._pool.append(base)
            else:
                os.release(base - _GUARD, _GUARD + STACK_SIZE)
        os.write(context, bytes(layout.CTX_SIZE))
        self._free.append(context)
