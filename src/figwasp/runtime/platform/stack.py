"""Floor 4: contexts and wasm stacks: what a chain of calls needs to run.

Contexts stand side by side in one mapping that is never released, so that the ticker can walk them without asking anyone.
Stacks are pooled; below each lies a guard area, and the limit leaves headroom above it for signal frames and for the stubs
that run before a function's own check.
"""

from __future__ import annotations

import itertools
import struct
from functools import partial

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime.once import together
from figwasp.runtime.platform import cpython, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from figwasp.runtime.once import Once
    from figwasp.runtime.platform.statics import Statics

_GUARD: Final = 64 << 10
MAX_CONTEXTS: Final = 1 << 16
_AHEAD: Final = 256
_MAX_POOLED: Final = 64  # of a size
_MAX_LENT: Final = 1024  # stores with a stack of their own; of more, those that have not run for longest lend theirs
_TRIES: Final = 8
_LAST: Final = (-1,)
_NOTHING: Final = bytes(layout.CTX_CELLS) + len(layout.CELL_SIZES) * struct.pack("<2Q", 0, layout.NO_CELLS)


def _make_stack(size: int) -> int:
    try:
        base = linux.reserve(_GUARD + size) + _GUARD
        linux.commit(base, size)
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

    def __init__(self, statics: Statics, strip: Callable[[int], int], forget_calls: Callable[[int], None]) -> None:
        """Begin with no contexts and no stacks.

        Args:
            statics: where emitted code finds the contexts.
            strip: takes the stack of a context that is idle (`stubs.claim.strip`).
            forget_calls: called with a context whose calls will not go on.
        """
        self._strip = strip
        self._forget_calls = forget_calls
        self.contexts_size = MAX_CONTEXTS * layout.CTX_SIZE
        self.contexts = linux.allocate(self.contexts_size)
        linux.write_u64(statics.contexts, self.contexts)
        self.used = statics.contexts_used
        self._interrupts = statics.interrupts
        self._fresh = iter(range(self.contexts, self.contexts + self.contexts_size, layout.CTX_SIZE))
        self._free: list[int] = []
        self._pools: dict[int, list[int]] = {}
        self._sizes: dict[int, int] = {}  # of every stack, by its lowest address
        self._lent: dict[int, None] = {}  # contexts of stores that have a stack, those claimed last at the end

    def take_context(self, to: list[int]) -> int:
        """Put a context that no thread has claimed yet and that has no stack at the end of a list, in one step; return its address.

        Raises:
            LimitExceeded: too many stores.
        """
        present = len(to)
        try:
            to.extend(map(self._free.pop, _LAST))
        except IndexError:
            to.extend(itertools.islice(self._fresh, 1))
            if len(to) == present:
                raise LimitExceeded(f"more than {MAX_CONTEXTS} stores at once") from None
            # The word that the ticker reads runs far ahead.
            number = (to[present] - self.contexts) // layout.CTX_SIZE
            if linux.read_u64(self.used) <= number:
                linux.write_u64(self.used, min(number + _AHEAD, MAX_CONTEXTS))
        context = to[present]
        linux.write(context, _NOTHING)
        return context

    def take_stack(self, size: int) -> int:
        """Return the lowest address of an unused stack of a size.

        Raises:
            LimitExceeded: no address space or memory for the stack.
        """
        try:
            return self._pools[size].pop()
        except (IndexError, KeyError):
            base = _make_stack(size)
            self._sizes[base] = size
            return base

    def size_of(self, base: int) -> int:
        """Return the size of a stack, 0 when there is none at an address."""
        return self._sizes.get(base, 0)

    def give_back_stack(self, base: int) -> None:
        """Take back a stack."""
        together(*self._giving_back(base))

    def _giving_back(self, base: int) -> tuple[Once, ...]:
        """Return the calls that take back a stack that is no longer used."""
        size = self._sizes[base]
        pool = self._pools.setdefault(size, [])
        if len(pool) < _MAX_POOLED:
            linux.discard(base, size)
            return (partial(pool.append, base),)
        return partial(self._sizes.__delitem__, base), linux.releasing(base - _GUARD, _GUARD + size)

    def note(self, context: int) -> None:
        """Note that a store's context has been claimed; when very many have a stack, take back one that is not in use.

        Stacks are what most limits the number of live instances that are called: each takes two mappings.
        """
        self._lent.pop(context, None)
        self._lent[context] = None
        if len(self._lent) <= _MAX_LENT:
            return
        for other in list(itertools.islice(self._lent, _TRIES)):
            if other != context:
                base = self._strip(other)
                self._lent.pop(other, None)
                if base:
                    self.give_back_stack(base)
                    return
                self._lent[other] = None

    def disown_idle(self) -> None:
        """In a forked child: end the chains of threads that no longer exist, and have every idle chain claimed anew."""
        thread = cpython.thread_state()
        interrupted = 0
        for number in range(linux.read_u64(self.used)):
            context = self.contexts + number * layout.CTX_SIZE
            owner = linux.read_u64(context + layout.CTX_THREAD_STATE)
            if owner != thread and linux.read_u64(context + layout.CTX_DEPTH):
                linux.write_u64(context + layout.CTX_DEPTH, 0)
                linux.write_u64(context + layout.CTX_STATUS, layout.FLAG_CLEANUP << 32)
                linux.write_u64(context + layout.CTX_WASM_SP, linux.read_u64(context + layout.CTX_STACK_TOP))
                self._forget_calls(context)
            if not linux.read_u64(context + layout.CTX_DEPTH):
                linux.write_u64(context + layout.CTX_THREAD_STATE, 0)
            interrupted += bool(linux.read_u32(context + layout.CTX_FLAGS) & layout.FLAG_INTERRUPTED)
        linux.write_u64(self._interrupts, interrupted)

    def releasing_context(self, context: int) -> tuple[Once, ...]:
        """Return the calls that take back a context that cannot be entered any more, and its stack."""
        linux.write_u64(context + layout.CTX_DEPTH, 1)  # from here on no other thread takes its stack back (`note`)
        self._lent.pop(context, None)
        self._forget_calls(context)
        base = linux.read_u64(context + layout.CTX_STACK_BASE) if linux.read_u64(context + layout.CTX_STACK_TOP) else 0
        freed = linux.writing(context, _NOTHING), partial(self._free.append, context)
        return (*freed, *self._giving_back(base)) if base else freed
