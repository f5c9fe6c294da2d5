"""Floor 4: stores (spec 4.2.3).

A `Store` is what importing has linked together: one chain of execution at a time, on one thread. It couples threads, not
lifetimes. Whatever converts references for a call from Python, or releases them after it, does so in `run`, as part of the chain.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from figwasp import layout
from figwasp.errors import Busy, LimitExceeded
from figwasp.runtime.arguments import STACK_SIZE
from figwasp.runtime.native.owner import Owner
from figwasp.runtime.native.runtime import NativeRuntime
from figwasp.runtime.once import Once, together
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.store.externs import Externs
from figwasp.runtime.store.fuel import Fuel
from figwasp.runtime.stubs.enter import CLAIM_BUSY
from figwasp.runtime.trap import deadline, waits, window

__all__ = ["Chain", "Member", "Store"]

_T = TypeVar("_T")
_NATIVE_MARGIN: Final = 128 << 10
_ATTEMPTS: Final = 3
_MAX_SPARE: Final = 16
_LAST: Final = (-1,)


class Member(Protocol):
    """What runs in a store or is used there: an instance, or a table or global that the host has made."""

    def join(self, store: Store) -> None:
        """Belong to another store from now on."""


class Chain:
    """A call that may be suspended, for whoever makes it.

    Attributes:
        context: address of its context, the only item; none before it has one and after its end.
    """

    __slots__ = ("__weakref__", "context")

    def __init__(self) -> None:
        self.context: list[int] = []


class Store:
    """One chain of execution and the instances that share it.

    Attributes:
        native: the native runtime it uses.
        record: address of the store record, which the instances point to.
        context: address of the context.
        owner: keeps both.
        fuel: what metered code in it asks for more when it has run out.
        stack_size: bytes of its wasm stacks, the most that an instance asks for; 0 when there is no instance yet.
    """

    _lost_lists: tuple[list[weakref.ref[Chain]], ...] = ()  # as `_lost`, of stores that have become part of this one

    def __init__(self, native: NativeRuntime) -> None:
        self.native = native
        record = cpython.raw_calloc(1, layout.STORE_SIZE)
        self.record: int = record

        spare: list[int] = []
        self._spare = spare  # contexts for further calls that may be suspended, with their stacks
        own: list[int] = []

        def release() -> list[Once]:
            rest: list[Once] = [cpython.freeing(record)]
            for one in (*own, *spare):
                native.contexts.assign(one, None)
                rest += native.stacks.releasing_context(one)
            return rest

        self.owner = native.owners.make(record, release)
        context = self.context = native.stacks.take_context(own)
        linux.write_u64(record + layout.STORE_CONTEXT, context)
        native.contexts.assign(context, self)
        self._successor: Store | None = None  # the store this one was merged into, for whoever still has this one in hand
        self._chains: dict[weakref.ref[Chain], list[int]] = {}  # calls that may be suspended, and the context of each
        self._lost: list[weakref.ref[Chain]] = []  # calls that are no more; some may have been forgotten already
        self.fuel = Fuel()
        self.stack_size = 0
        self._contexts = [context]  # and those of stores merged into this one while a chain was running there, until it ends
        self._members: weakref.WeakSet[Member] = weakref.WeakSet()
        self._joined = 0  # how many members there have been
        self._externs = Externs(native.owners)
        self._pinned: list[Owner] = []
        self._joining: list[Store] = []  # stores that have become part of this one, but not altogether

    # Members

    def add(self, member: Member) -> None:
        """Have something follow this store when it is merged into another."""
        self._members.add(member)
        self._joined += 1

    def add_instance(self, member: Member, stack_size: int) -> None:
        """Let an instance run in this store, which follows it with its tables and globals; on a stack of that size at least."""
        self.add(member)
        self._use_stack(stack_size)

    def _use_stack(self, size: int) -> None:
        """Have a larger stack from the next call on, if it is larger."""
        if size > self.stack_size:
            self.stack_size = size
            if _is_running(self.context):
                self.ask_for_cleanup()
            else:
                self._have_claimed_anew()

    def _have_claimed_anew(self) -> None:
        linux.write_u64(self.context + layout.CTX_THREAD_STATE, 0)

    def remove(self, member: Member) -> None:
        """Forget an instance whose block goes."""
        self._members.discard(member)

    @property
    def running(self) -> bool:
        """Whether a chain is running or suspended in a host function."""
        return any(map(_is_running, self.contexts))

    @property
    def contexts(self) -> list[int]:
        """The contexts that calls may be running on or be suspended in; the first is the one that stays."""
        return [*self._contexts, *itertools.chain.from_iterable(self._chains.values())]

    @property
    def under_way(self) -> bool:
        """Whether a call has begun and not ended, suspended ones included."""
        self._end_lost_chains()
        return bool(self._chains) or self.running

    def check_thread(self) -> None:
        """Make sure that no other thread runs in this store.

        Raises:
            Busy: one does.
        """
        for context in self.contexts:
            if _is_running(context) and _thread_of(context) != cpython.thread_state():
                if _thread_of(context) == layout.HELD:
                    raise Busy("a call by acall has not ended, which takes turns with the event loop: await others by acall too")
                raise Busy("another thread is running in this store")

    @property
    def current(self) -> Store:
        """The store that this one has become part of, or itself."""
        store = self
        while store._successor is not None:
            store = store._successor
        return store

    def merge(self, other: Store) -> None:
        """Make one of two stores: an instance of one imports from the other, or calls a function from there.

        Raises:
            Busy: another thread runs in one of them.
        """
        one, two = self.current, other.current
        if one is not two:
            one.check_thread()
            two.check_thread()
            # The larger one stays, so that many small ones joining a lasting one leave nothing behind, even when they have gone.
            if one._joined >= two._joined:
                one._absorb(two)
            else:
                two._absorb(one)
        elif one._joining:
            one._finish_joining()

    def _absorb(self, other: Store) -> None:
        """Become what both were, in one step; what depends on it follows, if need be after an exception."""
        other.owner.hold(self.owner)
        self._use_stack(other.stack_size)
        self._joined += other._joined
        running = [context for context in other._contexts if _is_running(context)]
        together(
            partial(self._contexts.extend, running),
            partial(self._chains.update, other._chains),
            other._chains.clear,
            partial(setattr, self, "_lost_lists", (*self._lost_lists, *other._lost_lists, other._lost)),
            partial(self._spare.extend, other._spare),
            other._spare.clear,
            partial(self._pinned.extend, other._pinned),
            other._pinned.clear,
            *self._externs.absorbing(other._externs),
            partial(self._joining.append, other),
            partial(setattr, other, "_successor", self),
        )
        self._finish_joining()

    def _finish_joining(self) -> None:
        """Have what refers to stores that have become part of this one refer to this one: again, if that has been stopped."""
        while self._joining:
            other = self._joining[-1]
            for one in (self, other):
                if not _is_running(one.context):
                    # Whoever claimed this chain must do so again: what is below may be left to that, and there are more chains.
                    one._have_claimed_anew()
            for context in self.contexts:
                self.native.contexts.assign(context, self)
            self.fuel.absorb(self, other)
            for member in list(other._members):
                member.join(self)
                self._members.add(member)
            self._externs.absorb_lent(self.owner, self.record, other.record)
            self.ask_for_cleanup()
            if other in self._joining:  # else somebody who came between has done all this
                self._joining.remove(other)

    @property
    def chains(self) -> list[int]:
        """The contexts of calls that may be suspended."""
        return [*itertools.chain.from_iterable(self._chains.values())]

    @property
    def turn(self) -> int:
        """The context of the call that a tick has suspended, and which is the next to run; 0 for none."""
        return next((one for one in self.chains if _has_turn(one)), 0)

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
        context = store._chains[weakref.ref(chain, store._lost.append)] = chain.context
        try:
            context.extend(map(store._spare.pop, _LAST))
        except IndexError:
            store.native.stacks.take_context(context)
        linux.write_u64(context[0] + layout.CTX_WASM_SP, linux.read_u64(context[0] + layout.CTX_STACK_TOP))
        linux.write_u64(context[0] + layout.CTX_TURNS, turns)
        store.native.contexts.assign(context[0], store)
        return chain

    def remove_chain(self, chain: Chain) -> None:
        """Forget a call that has come to its end."""
        store = self.current
        for reference in weakref.getweakrefs(chain):
            store._end_chain(reference)
        store._trim_spare()
        if store._pinned or store._externs.suspects:
            store.ask_for_cleanup()
            store.clean_up_if_asked()

    def _end_chain(self, reference: weakref.ref[Chain]) -> None:
        context = self._chains.get(reference)
        if context:
            self.fuel.move(context[0], self.context)
            if _has_turn(context[0]):
                self.native.stubs.release_turn(context[0], self.context)
            together(partial(self._chains.pop, reference, None), partial(self._spare.extend, context), context.clear)

    def _end_lost_chains(self) -> None:
        """Forget the calls that are no more, for which an exception has kept `remove_chain` from it."""
        for lost in (self._lost, *self._lost_lists):
            while lost:
                self._end_chain(lost[-1])
                if lost:
                    lost.pop()

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
        if self._successor is not None:
            self.current.claim()
            return
        self._end_lost_chains()
        self.check_thread()
        self._finish_joining()
        self.bind(self.context)
        self.native.stacks.note(self.context)

    def bind(self, context: int) -> None:
        """Bind a context to the calling thread and give it a stack.

        Raises:
            Busy: another thread is running in it.
            LimitExceeded: no memory for a stack.
        """
        cpython.check_recursion()
        native = self.native
        native.handler.check()
        native.ticker.start()
        deadline.prepare(native.thread_key)
        lowest, size = linux.native_stack()
        on_main = threading.current_thread() is threading.main_thread()
        room = self.current.stack_size or STACK_SIZE
        present = native.stacks.size_of(linux.read_u64(context + layout.CTX_STACK_BASE))
        # The stack of a call that may be suspended stays what it is.
        wanted = present == 0 or (present < room and context == self.context and not _is_running(context))
        stack = native.stacks.take_stack(room) if wanted else 0
        limit, above = lowest + _NATIVE_MARGIN, max(size - _NATIVE_MARGIN, 0)
        before = native.stubs.claim(context, stack, room if wanted else 0, limit, above, int(on_main))
        if stack:
            unused = before if linux.read_u64(context + layout.CTX_STACK_BASE) == stack else stack
            if unused:
                native.stacks.give_back_stack(unused)
        if before == CLAIM_BUSY:
            raise Busy("another thread is running in this store")

    def run(self, work: Callable[[], _T]) -> _T:
        """Call `work` as a part of this thread's chain: other threads find the store busy until it is done.

        Raises:
            Busy: another thread is running in this store.
        """
        cpython.check_recursion()
        guard = self.native.stubs.guard
        for _ in range(_ATTEMPTS):
            answer: Any = guard(self.current.context, work)
            if answer is not NotImplemented:
                result: _T = answer
                return result
            self.claim()
        raise Busy("another thread is running in this store")

    def interrupt(self) -> bool:
        """Have the calls end that run in this store, with all that they have brought about; return whether there are any.

        Calls that are suspended go on. Any thread may call this, also a signal handler.
        """
        cpython.check_recursion()
        store = self.current
        running = [words for words in map(store.native.stubs.interrupt, store.contexts) if words]
        for words in running:
            window.end(words)
            waits.wake(words)
        return bool(running)

    @property
    def runs_elsewhere(self) -> bool:
        """Whether a call runs in another thread."""
        here = layout.HELD, cpython.thread_state()
        return any(_is_running(context) and _thread_of(context) not in here for context in self.contexts)

    # References

    def pin(self, owner: Owner) -> None:
        """Keep an owner until the running chain has finished: a reference to it is on the wasm stack."""
        store = self.current
        if not any(owner is one for one in store._pinned):
            store._pinned.append(owner)
        store.ask_for_cleanup()

    def is_pinned(self, owner: Owner) -> bool:
        """Return whether the chain for which an owner was pinned is still running."""
        return any(owner is one for one in self.current._pinned)

    def ask_for_cleanup(self) -> None:
        """Have `clean_up` called when the outermost entry leaves."""
        for context in self.current._contexts:
            _set_cleanup(context, True)

    def clean_up_if_asked(self) -> None:
        """Release what can go now, unless a call is running, which will do so."""
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
        self._finish_joining()
        self._end_lost_chains()
        if leaving != self.context and leaving in self._contexts:
            self._contexts.remove(leaving)
            self.fuel.move(leaving, self.context)
        _set_cleanup(leaving, False)
        if self._chains or any(context != leaving and _is_running(context) for context in self._contexts):
            return
        _set_cleanup(self.context, False)
        if self.native.stacks.size_of(linux.read_u64(self.context + layout.CTX_STACK_BASE)) < self.stack_size:
            self._have_claimed_anew()
        self._pinned.clear()
        self._externs.release_unheld()

    def extern_to_bits(self, value: object) -> int:
        """Return the address of a cell that holds an object."""
        store = self.current
        cell = store._externs.put(value, store.owner, store.record)
        store.ask_for_cleanup()
        return cell

    def extern_from_bits(self, bits: int) -> object:
        """Return the object in a cell."""
        return cpython.object_at(bits)

    def exchange_externs(self, new: Sequence[int], old: Sequence[int], *change: Once) -> None:
        """Have a table, a global or a segment hold externrefs instead of others, in one step (`Externs.exchange`)."""
        store = self.current
        store.ask_for_cleanup()  # before: an exception may keep what follows from being done
        store._externs.exchange(new, old, *change)

    def set_externs(self, place: int, cells: list[int]) -> None:
        """Set externrefs that follow each other in a table or a global.

        Raises:
            RecursionError: too little is left for it; nothing has changed.
        """
        cpython.check_recursion()
        new = array("Q", cells)
        old = array("Q", bytes(8 * len(cells)))
        swap = partial(self.native.stubs.swap, place, new.buffer_info()[0], old.buffer_info()[0], 8 * len(cells))
        self.exchange_externs(cells, old, swap)

    def refuel(self, context: int) -> bool:
        """Return whether a context whose fuel is used up may go on."""
        return self.fuel.refill(self, context)


def _nothing() -> None:
    """Do nothing, for the sake of what `run` does afterwards."""


def _is_running(context: int) -> bool:
    return linux.read_u64(context + layout.CTX_DEPTH) != 0


def _has_turn(context: int) -> bool:
    return linux.read_u64(context + layout.CTX_TURN) == layout.TURN_TAKEN


def _thread_of(context: int) -> int:
    return linux.read_u64(context + layout.CTX_THREAD_STATE)


def _set_cleanup(context: int, wanted: bool) -> None:
    # One byte: compiled code of another thread may be changing the flags beside it.
    linux.write_u8(context + layout.CTX_FLAGS + 1, wanted * (layout.FLAG_CLEANUP >> 8))
