"""Floor 4: stores (spec 4.2.3).

A `Store` serialises execution: the instances that importing has linked run one chain of calls at a time, on one thread. It keeps
none of them alive. Code that converts references for a call from Python, or releases them after it, does so in `run`, as part of
the chain.
"""

from __future__ import annotations

import weakref
from array import array
from functools import partial

from figwasp import layout
from figwasp.errors import Busy, LimitExceeded
from figwasp.runtime.arguments import STACK_SIZE
from figwasp.runtime.once import step, together
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.store.binding import bind, busy, is_running, set_cleanup, thread_of
from figwasp.runtime.store.linking import Chain, Linked
from figwasp.runtime.trap import waits, window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeVar

    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.once import Once

    _T = TypeVar("_T")

__all__ = ["Chain", "Store"]

_ATTEMPTS: Final = 8
_MAX_SPARE: Final = 16
_HELD_DEPTH: Final = 2  # of the context that stays while `hold` has it, when no call runs there
_UNDER_WAY: Final = "a call is under way in this store, which linked instances share: it has to end first, suspended ones too"
_LAST: Final = (-1,)

_lost: Final[list[weakref.ref[Chain]]] = []
"""Calls that no longer exist, and that an exception has kept from being removed."""


class Store(Linked):
    """One chain of calls and the instances that share it."""

    # Calls that may be suspended

    @property
    def turn(self) -> int:
        """The context of the call that a tick has suspended, and which is the next to run; 0 for none."""
        return next((one for one in self.chains if _has_turn(one)), 0)

    @property
    def under_way(self) -> bool:
        """Whether a call has begun and not ended, suspended ones included."""
        self._end_lost_chains()
        return super().under_way

    def add_chain(self, most: int | None, turns: bool) -> Chain:
        """Return a call that may be suspended, with a context: until it ends or goes all that any call brought in stays.

        Args:
            most: how many there may be at once, or None.
            turns: whether ticks are to suspend it.

        Raises:
            LimitExceeded: there are so many.
        """
        store = self.current
        store._end_lost_chains()
        if most is not None and len(store._chains) >= most:
            raise LimitExceeded(f"{len(store._chains)} calls are under way, and max_acalls is {most}")
        chain = Chain()
        context = store._chains[weakref.ref(chain, _lost.append)] = chain.context
        try:
            context.extend(map(store._spare.pop, _LAST))
        except IndexError:
            store.native.stacks.take_context(context)
        linux.write_u64(context[0] + layout.CTX_WASM_SP, linux.read_u64(context[0] + layout.CTX_STACK_TOP))
        linux.write_u64(context[0] + layout.CTX_DEPTH, 0)  # else what was to release it may have been stopped
        linux.write_u64(context[0] + layout.CTX_TURNS, turns)
        store.native.contexts.assign(context[0], store)
        while store._successor is not None:  # it may have been too late for whoever merged it
            store = store._successor
            store._chains.update(dict.fromkeys(weakref.getweakrefs(chain), context))
            store.native.contexts.assign(context[0], store)
        return chain

    def remove_chain(self, chain: Chain) -> None:
        """Forget a call that has come to its end, in this store and those it has become part of."""
        references = weakref.getweakrefs(chain)
        store = self
        for reference in references:
            store._end_chain(reference, chain.context)
        while store._successor is not None:  # as it may have become while that was done
            store = store._successor
            for reference in references:
                store._end_chain(reference, chain.context)
        store._trim_spare()
        if store._pinned or store.has_suspects:
            store.ask_for_cleanup()
            store.clean_up_if_asked()

    def _end_chain(self, reference: weakref.ref[Chain], context: list[int]) -> None:
        for address in context[:1]:
            end = step(*self._ending_chain(reference, context, address))
            if self._successor is None:  # nothing is called between the look and the step
                end()
                return
        self._chains.pop(reference, None)  # it has ended already, or the successor ends it

    def _ending_chain(self, reference: weakref.ref[Chain], context: list[int], address: int) -> list[Once]:
        """Return the calls that give back the context of a chain, with its fuel and its turn, and forget the chain."""
        stubs = self.native.stubs
        ending: list[Once] = [partial(self._chains.pop, reference, None), partial(self._spare.extend, context), context.clear]
        if _has_turn(address):
            ending.insert(0, partial(stubs.release_turn, address, self.context))
        if linux.read_u64(address + layout.CTX_FUEL):
            ending.insert(0, partial(stubs.move_fuel, address, self.context))
        cpython.check_recursion()
        return ending

    def _end_lost_chains(self) -> None:
        """Forget the calls that no longer exist, which an exception has kept from `remove_chain`."""
        for reference in list(_lost) if _lost else ():
            context = self._chains.get(reference)
            if context is not None:
                self._end_chain(reference, context)
                if not context and reference in _lost:  # else this store has been taken into another, which ends it
                    _lost.remove(reference)

    def _trim_spare(self) -> None:
        """Take back the contexts that are too many to be kept."""
        taken: list[int] = []
        try:
            while len(self._spare) > _MAX_SPARE:
                taken.extend(map(self._spare.pop, _LAST))
                self.native.contexts.assign(taken[0], None)
                together(*self.native.stacks.releasing_context(taken[0]), taken.clear)
        finally:
            self._spare.extend(taken)

    # Entering

    def claim(self) -> None:
        """Bind the chain to the calling thread and give it a stack.

        Raises:
            Busy: another thread is running in this store.
            LimitExceeded: no memory for a stack.
        """
        for _ in range(_ATTEMPTS):
            store = self.current
            if store._absorbed:
                store._finish_absorbing()
            store._end_lost_chains()
            size = store._bind(store.context, confirmed=False)
            # Only now can no other thread come in unnoticed: one that is in on another context has to be seen.
            if store._successor is None:
                store.check_others()
                cpython.check_recursion()
                if self.native.stubs.confirm(store.context, size):
                    self.native.stacks.note(store.context)
                    return
        raise busy(self.current.context)

    def bind(self, context: int) -> None:
        """Bind a context to the calling thread and give it a stack. Whether another thread runs in the store is to be checked then.

        Raises:
            Busy: another thread is running in it.
            LimitExceeded: no memory for a stack.
        """
        self._bind(context, confirmed=True)

    def _bind(self, context: int, confirmed: bool) -> int:
        """Bind a context; return the size of the native stack with which it is to be confirmed, if it has not been."""
        # The stack of a call that may be suspended stays what it is.
        replace = context == self.context and not is_running(context)
        return bind(self.native, context, self.current.stack_size or STACK_SIZE, replace, confirmed)

    def run(self, work: Callable[[], _T]) -> _T:
        """Call `work` as a part of this thread's chain: other threads find the store busy until it is done.

        Raises:
            Busy: another thread is running in this store.
        """
        cpython.check_recursion()
        guard = self.native.stubs.guard
        for _ in range(_ATTEMPTS):
            answer: Any = guard(self.current.record, work)
            if answer is not NotImplemented:
                result: _T = answer
                return result
            self.claim()
        raise busy(self.current.context)

    def hold_idle(self, work: Callable[[], _T]) -> _T:
        """Call `work` while no call runs in this store or is suspended, nor begins in another thread.

        Raises:
            Busy: a call does.
        """

        def idle() -> _T:
            store = self.current
            others = [context for context in store.contexts if context != store.context]
            depth = linux.read_u64(store.context + layout.CTX_DEPTH)
            if store._chains or depth > _HELD_DEPTH or any(map(is_running, others)):
                raise Busy(_UNDER_WAY)
            return work()

        return self.hold(idle)

    def interrupt(self) -> bool:
        """End the calls that run in this store, with all that they have brought about; return whether there are any.

        Calls that are suspended go on. Any thread may call this, also a signal handler.
        """
        cpython.check_recursion()
        store = self.current
        running = [thread for thread in map(store.native.stubs.interrupt, store.contexts) if thread]
        for thread in running:
            window.end(thread)
            waits.wake(thread)
        return bool(running)

    @property
    def runs_elsewhere(self) -> bool:
        """Whether a call runs in another thread."""
        here = layout.HELD, cpython.thread_state()
        return any(is_running(context) and thread_of(context) not in here for context in self.contexts)

    # References

    def pin(self, owner: Owner) -> None:
        """Keep an owner until the running chain has finished: a reference to it is on the wasm stack."""
        store = self.current
        if not any(owner is one for one in store._pinned):
            store._pinned.append(owner)
        store.ask_for_cleanup()
        if store._successor is not None:  # it may have been too late for whoever merged it
            store.pin(owner)

    def is_pinned(self, owner: Owner) -> bool:
        """Return whether the chain for which an owner was pinned is still running."""
        return any(owner is one for one in self.current._pinned)

    def clean_up_if_asked(self) -> None:
        """Release what is no longer needed, unless a call is running, which will do so."""
        context = self.current.context
        if linux.read_u32(context + layout.CTX_FLAGS) & layout.FLAG_CLEANUP and not self.current.running:
            try:
                self.run(_nothing)
            except Busy:
                pass

    def clean_up(self, leaving: int) -> None:
        """Release what the finished chain had pinned, and the externref cells that nothing holds.

        Args:
            leaving: the context whose outermost entry is about to leave.
        """
        if self._successor is not None:
            self.current.clean_up(leaving)
            return
        if self._absorbed:
            self._finish_absorbing()
        self._end_lost_chains()
        if leaving != self.context and leaving in self._contexts:
            self.fuel.move(leaving, self.context)
            self._contexts.pop(leaving, None)
        set_cleanup(leaving, False)
        others = self.contexts if self._absorbed else self._contexts
        frames = bool(self._chains) or any(context != leaving and is_running(context) for context in others)
        if not frames:
            set_cleanup(self.context, False)
            if self.native.stacks.size_of(linux.read_u64(self.context + layout.CTX_STACK_BASE)) < self.stack_size:
                self._have_claimed_anew()
            self._pinned.clear()
        self._release_objects(leaving, frames)
        if self._successor is not None:  # a finalizer has merged it
            self.pass_suspects_on()

    def _release_objects(self, leaving: int, frames: bool) -> None:
        """Release objects of the host that nobody refers to, so far as it is worth its while to look for them.

        Args:
            leaving: the context whose outermost entry is about to leave.
            frames: whether other calls are running or suspended.
        """
        if self.has_suspects:
            worth = self._externs.is_due
            if not linux.read_u64(self.record + layout.STORE_HEAP):
                self._ended += 1
                worth = worth or not frames or self._ended >= len(self._chains)  # one frame for each call that has ended, or two
            if worth:
                self._ended = 0
                self._externs.look(self.record, leaving, frames)
        self._externs.release_dying(self.record)

    def give_extern(self, value: object, place: int) -> None:
        """Write a reference to an object, that to a cell which holds it, where the collector sees it: to a frame or a root."""
        first = store = self.current
        if store._externs.is_due or linux.read_u64(store.record + layout.STORE_DYING):
            store._release_objects(linux.read_u64(store.record + layout.STORE_CONTEXT), frames=True)
            store = store.current
        store._externs.give(value, place, store.owner, store.record)
        store.ask_for_cleanup()
        while store._successor is not None:  # it may have been too late for whoever merged it
            last, store = store, store._successor
            store._externs.share(last._externs, store.owner)
        if store is not first:
            first.pass_suspects_on()

    def object_at(self, place: int) -> object:
        """Return what the reference at a place refers to: an object of the host, or an i31. The collector sees it there."""
        bits = linux.read_u64(place)
        if bits & layout.I31_TAG:
            return layout.i31_number(bits)
        return cpython.object_at(bits - layout.HOST_TAG)

    def set_externs(self, place: int, cells: list[int]) -> None:
        """Set externrefs that follow each other in a table, a global or a segment, in one step.

        Raises:
            RecursionError: the stack is nearly used up; nothing has changed.
        """
        new = array("Q", cells)
        self._exchange_externs(place, new.buffer_info()[0], len(new))

    def clear_externs(self, place: int, count: int, *then: Once) -> None:
        """Set externrefs that follow each other to null, and make some calls, in one step.

        Raises:
            RecursionError: as above.
        """
        self._exchange_externs(place, 0, count, *then)

    def _exchange_externs(self, place: int, new: int, count: int, *then: Once) -> None:
        cpython.check_recursion()
        store = self.current
        store.ask_for_cleanup()  # before: an exception may keep what follows from being done
        together(store.exchanging_externs(place, new, count), *then)
        if store._successor is not None:  # it may have been too late for whoever merged it
            store.pass_suspects_on()

    def pass_suspects_on(self) -> None:
        """Make the suspects of this store those of the one that it has become part of, if it has."""
        store: Store = self
        while store._successor is not None:
            store.native.stubs.move_suspects(store.record, store._successor.record)
            store = store._successor
        store.ask_for_cleanup()

    def exchanging_externs(self, place: int, new: int, count: int) -> Once:
        """Return the call that sets externrefs which follow each other.

        Cleanup is asked for before it, and afterwards suspects are passed on.

        Args:
            place: address of the first.
            new: address of what they are to be; 0 for null.
            count: their number.
        """
        return partial(self.native.stubs.exchange_cells, place, new, count, self.record)


def _nothing() -> None:
    """Do nothing; `run` cleans up afterwards."""


def _has_turn(context: int) -> bool:
    return linux.read_u64(context + layout.CTX_TURN) == layout.TURN_TAKEN
