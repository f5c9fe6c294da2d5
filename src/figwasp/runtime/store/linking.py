"""Floor 4: merging of stores (spec 4.2.3): the instances and functions that an instance imports or calls come into its own store.

In: two stores, and the members that follow them. Out: one of them, with all that belonged to both.

Theory of operation. Two stores become one while both count as running in this thread (`stubs.claim.hold`), so other threads find
them busy. One step makes them one: it sets `_successor`, and notes in the remaining store which one it has taken in. Until then
nothing refers to the store that goes, which may be let go if an exception comes between. From then on the store that stays looks
at the other's parts as well as at its own until everything has been moved; when an exception has ended that, whoever uses it next
goes on, and each part may be moved again.
"""

from __future__ import annotations

import itertools
import weakref
from functools import partial

from figwasp import layout
from figwasp.runtime.heap.heap import DEFAULT_LIMIT, GROWN, Heap
from figwasp.runtime.once import move_all, step
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.store.binding import busy, is_running, set_cleanup, thread_of
from figwasp.runtime.store.externs import Externs
from figwasp.runtime.store.fuel import Fuel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, Self, TypeVar

    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.native.runtime import NativeRuntime
    from figwasp.runtime.once import Once

    _T = TypeVar("_T")

    class Member(Protocol):
        """A member of a store: an instance, or a table or global that the host has made."""

        def join(self, store: Any) -> None:
            """Move to a store. Repeating this is fine."""

__all__ = ["Chain", "Linked", "Member"]


class Chain:
    """A call that may be suspended, held by the coroutine that makes it.

    Attributes:
        context: address of its context, the only item; none before it has one and after its end.
    """

    __slots__ = ("__weakref__", "context")

    def __init__(self) -> None:
        self.context: list[int] = []


class Linked:
    """Members that are linked together: the part of a `Store` that merging is about.

    Attributes:
        native: the native runtime it uses.
        record: address of the store record, which the instances point to.
        context: address of the context.
        owner: keeps both.
        fuel: the fuel of metered code, which asks there for more when it has run out.
        stack_size: bytes of its wasm stacks, the most that an instance asks for; 0 when there is no instance yet.
        heap_limit: bytes that its heap may have, likewise.
        spare_words: roots that the next exceptions from Python are made in (`objects.exceptions`).
        kept_types: numbers of the types of objects made from Python which it keeps, beside those of modules.
    """

    def __init__(self, native: NativeRuntime) -> None:
        self.native = native
        record = cpython.raw_calloc(1, layout.STORE_SIZE)
        self.record: int = record

        spare: list[int] = []
        self._spare = spare  # contexts for further calls that may be suspended, with their stacks
        own: list[int] = []
        heaps: list[Heap] = []
        self._heaps = heaps  # the first is in use; the others belonged to stores that have been taken in

        def release() -> list[Once]:
            rest: list[Once] = [cpython.freeing(record)]
            if linux.read_u64(record + layout.STORE_ROOTS):
                rest.insert(0, partial(native.stubs.detach_roots, record))
            for heap in heaps:
                rest += heap.releasing()
            for one in (*own, *spare):
                native.contexts.assign(one, None)
                rest += native.stacks.releasing_context(one)
            return rest

        self.owner = native.owners.make(record, release)
        context = self.context = native.stacks.take_context(own)
        linux.write_u64(record + layout.STORE_CONTEXT, context)
        native.contexts.assign(context, self)
        self.spare_words: list[object] = []
        self._successor: Self | None = None  # the store this one was merged into, for whoever still has this one in hand
        # What is in dicts comes and goes in one step, twice if need be.
        self._chains: dict[weakref.ref[Chain], list[int]] = {}  # calls that may be suspended, and the context of each
        self._contexts: dict[int, None] = {context: None}  # and those of stores taken in while a chain was running there
        self._absorbed: dict[Linked, None] = {}  # stores whose parts may not all have been moved to this one
        self.fuel = Fuel(native.stubs)
        self.stack_size = 0
        self.heap_limit = 0
        self.kept_types: set[int] = set()
        self._members: set[weakref.ref[Member]] = set()
        self._joined = 0  # how many members there have been
        self._externs = Externs(native.owners, native.stubs)
        self._pinned: list[Owner] = []
        self._ended = 0  # calls that have ended beside others since the last look at the frames of those

    # Members

    def add(self, member: Member) -> None:
        """Add a member to this store, which follows when the store is merged into another."""
        store = self
        while True:
            members = store._members
            members.add(weakref.ref(member, members.discard))
            store._joined += 1
            member.join(store)
            if store._successor is None:  # else it may have been too late for whoever merged it
                return
            store = store._successor

    def keep(self, *owners: Owner) -> None:
        """Keep owners as long as the heap, whose objects may refer to what is theirs."""
        store = self.current
        store.owner.hold(*owners)
        if store._successor is not None:  # it may have been too late for whoever merged it
            store.keep(*owners)

    def add_instance(self, member: Member, stack_size: int, heap_limit: int) -> None:
        """Let an instance run in this store, which follows it with its tables and globals.

        Args:
            member: the instance.
            stack_size: bytes that the stack has at least.
            heap_limit: bytes that the heap may have at least.
        """
        self.add(member)
        self.current._use_stack(stack_size)
        self.current._use_heap_limit(heap_limit)

    def _use_heap_limit(self, limit: int) -> None:
        """Let the heap have so many bytes, if that is more."""
        self.heap_limit = limit = max(limit, self.heap_limit)
        for heap in self._heaps[:1]:
            heap.raise_limit(limit)

    def grow_heap(self, size: int) -> int:
        """Find memory for objects; return what `Heap.grow` does."""
        store = self.current
        if not store._heaps:
            made = Heap(self.native.stubs.heap, store.heap_limit or DEFAULT_LIMIT)
            use = linux.writing(store.record + layout.STORE_HEAP, made.record.to_bytes(8, "little"))
            begin = step(use, partial(store._heaps.append, made))
            if not store._heaps and store._successor is None:  # nothing is called between the look and the step
                begin()
            return GROWN
        return store._heaps[0].grow(size)

    def _use_stack(self, size: int) -> None:
        """Use a stack of this size from the next call on, if that is larger."""
        if size > self.stack_size:
            self.stack_size = max(size, self.stack_size)  # a signal handler may have raised it
            self._have_claimed_anew()
            if is_running(self.context):
                self.ask_for_cleanup()

    def _have_claimed_anew(self) -> None:
        linux.write_u64(self.context + layout.CTX_NATIVE_SIZE, 0)

    def remove(self, member: Member) -> None:
        """Forget an instance whose block goes."""
        self._members.discard(weakref.ref(member))

    @property
    def running(self) -> bool:
        """Whether a chain is running or suspended in a host function."""
        return any(map(is_running, self.contexts))

    @property
    def contexts(self) -> list[int]:
        """The contexts that calls may be running on or be suspended in; the first is the one that stays."""
        own = [*self._contexts, *self.chains]
        absorbed = [context for other in self._taken_in() for context in other.contexts]
        return [*dict.fromkeys([*own, *absorbed])] if absorbed else own

    @property
    def chains(self) -> list[int]:
        """The contexts of calls that may be suspended."""
        return [*itertools.chain.from_iterable(list(self._chains.values()))]

    def _taken_in(self) -> list[Linked]:
        """The stores that are part of this one, and whose parts may not all have been moved."""
        return list(self._absorbed)

    @property
    def under_way(self) -> bool:
        """Whether a call has begun and not ended, suspended ones included."""
        return bool(self._chains) or self.running or any(other.under_way for other in self._taken_in())

    def check_thread(self) -> None:
        """Make sure that no other thread runs in this store.

        Raises:
            Busy: another thread does.
        """
        for context in self.contexts:
            if is_running(context) and thread_of(context) != cpython.thread_state():
                raise busy(context)

    def check_others(self) -> None:
        """Make sure of the same where it is known that none runs on the context that stays.

        Raises:
            Busy: another thread runs on another context.
        """
        if self._chains or self._absorbed or len(self._contexts) > 1:
            self.check_thread()

    @property
    def current(self) -> Self:
        """The store that this one has become part of, or itself."""
        store = self
        while store._successor is not None:
            store = store._successor
        return store

    def merge(self, other: Linked) -> None:
        """Make one of two stores: an instance of one imports from the other, or calls a function from there.

        Raises:
            Busy: another thread runs in one of them.
        """
        while True:
            one, two = self.current, other.current
            if one is two:
                return
            # The larger one stays, so that many small ones joining a lasting one leave nothing behind, even when they have gone.
            stays, goes = (one, two) if one._joined >= two._joined else (two, one)
            _hold(stays, goes, partial(stays._absorb, goes))

    def hold(self, work: Callable[[], _T]) -> _T:
        """Call `work` while no other thread runs in this store, or enters it or merges it into another.

        Raises:
            Busy: another thread is running in this store.
        """
        done: list[_T] = []
        while not done:
            store = self.current
            _hold(store, store, lambda: done.append(work()))
        return done[0]

    @property
    def has_suspects(self) -> bool:
        """Whether there are externref cells that may have to go."""
        return linux.read_u64(self.record + layout.STORE_SUSPECTS) != 0

    def ask_for_cleanup(self) -> None:
        """Have `clean_up` called when the outermost entry leaves."""
        for context in list(self.current._contexts):
            set_cleanup(context, True)

    def clean_up(self, leaving: int) -> None:
        """Release what the finished chain had pinned."""
        raise NotImplementedError

    def refuel(self, context: int) -> bool:
        """Return whether a context whose fuel is used up may go on."""
        return self.fuel.refill(self, context)

    def forget(self, context: int) -> None:
        """Forget a context, which goes."""
        if context != self.context:
            self._contexts.pop(context, None)

    def _absorb(self, other: Linked) -> None:
        other.owner.hold(self.owner)
        note = partial(self._absorbed.__setitem__, other, None)
        heaps = self._taking_heaps(other)
        become = step(*self._externs.taking_in(other._externs), *heaps, note, partial(setattr, other, "_successor", self))
        # Nothing is called between the look and the step: a signal handler may have merged them until here. What it did stays, and
        # `merge` looks again.
        if self._successor is None and other._successor is None:
            become()
        self._finish_absorbing()

    def _taking_heaps(self, other: Self) -> list[Once]:
        """Return the calls by which what another store has on the heap, and what refers to that, becomes this one's."""
        cpython.check_recursion()
        calls: list[Once] = [partial(self.native.stubs.merge_roots, other.record, self.record)]
        if self.native.stubs.has_heap:
            if self._heaps and other._heaps:
                self._heaps[0].prepare_for(other._heaps[0])
                calls += self._heaps[0].taking_in(other._heaps[0])
            calls.append(partial(self.native.stubs.heap.merge, other.record, self.record))
        return [*calls, partial(self._heaps.extend, other._heaps), other._heaps.clear]

    def _finish_absorbing(self) -> None:
        """Move the members and parts of stores that are part of this one; to be done again when an exception has ended it."""
        for other in self._taken_in():
            self._take_over(other)
            self._absorbed.pop(other, None)

    def _take_over(self, other: Linked) -> None:
        """Move the members and parts of a store. They count as this one's meanwhile, and two threads may move them at once."""
        other._finish_absorbing()
        for context in other.contexts:
            self.native.contexts.assign(context, self)
        for context in list(other._contexts):
            if is_running(context):
                self._contexts[context] = None
                set_cleanup(context, True)
            else:
                self.fuel.move(context, self.context)
        self._chains.update(other._chains)
        for reference, chain in list(other._chains.items()):
            if not chain:  # it has come to its end meanwhile
                self._chains.pop(reference, None)
        self.fuel.ask = self.fuel.ask or other.fuel.ask
        self.owner.hold(*[owner for owner in other.owner.holds if owner is not self.owner])
        self._use_stack(other.stack_size)
        self._use_heap_limit(other.heap_limit)
        move_all(other._spare, self._spare)
        # Whoever claimed a chain must do so again: it has to look at the other's chain as well.
        for context in self.contexts:
            if not is_running(context):
                linux.write_u64(context + layout.CTX_NATIVE_SIZE, 0)
        self._externs.share(other._externs, self.owner)
        cpython.check_recursion()
        self.native.stubs.move_lent(other.record, self.record)
        for member in [reference() for reference in list(other._members)]:
            if member is not None:
                self.add(member)
                other._members.discard(weakref.ref(member))
        self.native.stubs.move_suspects(other.record, self.record)
        move_all(other._pinned, self._pinned)
        if self._pinned or self.has_suspects:
            self.ask_for_cleanup()


def _hold(one: Linked, two: Linked, work: Callable[[], object]) -> None:
    """Call `work` while no other thread runs in two stores, unless they are part of others by then.

    Raises:
        Busy: another thread runs in one of them.
    """

    def held() -> None:
        if one._successor is None and two._successor is None:
            one.check_others()
            if one is not two:
                two.check_others()
            work()

    cpython.check_recursion()
    if one.native.stubs.hold(one.context, two.context, held) is NotImplemented:
        raise busy(one.context, two.context)
