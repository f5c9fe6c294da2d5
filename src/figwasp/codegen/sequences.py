"""Floor 3: what a machine's hand-written code needs and gives: stack switching, the fault handler, the ticker thread.

In: names of symbols, offsets. Out: code, and where its entry points are. The code itself is the machine's,
`sequences` below `isa`; what it does is said there.
"""

from __future__ import annotations

from figwasp.codegen.code import Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

SUSPEND: Final = 2
"""The answer of a slow path's function after which wasm is left as `suspend` leaves it."""


class Sequence:
    """A sequence.

    Attributes:
        code: what is known of it; where parts have frames of their own, that is said elsewhere.
        entries: offsets of the labels in it.
    """

    __slots__ = ("code", "entries")

    def __init__(self, code: Code, entries: dict[str, int]) -> None:
        self.code = code
        self.entries = entries


class SwitchPlaces:
    """Names of symbols that the stack switching stubs need.

    Attributes:
        tick, fuel, allocate, hot: words that hold the functions of the slow paths.
        compile: the function that compiles what a lazy entry stands for.
    """

    __slots__ = ("allocate", "compile", "fuel", "hot", "tick")

    tick: str
    fuel: str
    allocate: str
    hot: str
    compile: str


class FaultPlaces:
    """Names of symbols, and offsets in the ucontext_t and siginfo_t, that the fault handlers need.

    Attributes:
        code_start: the range of addresses where all compiled code lies. code_size: its bytes.
        contexts: a word that holds the address of all contexts. contexts_size: their bytes.
        previous: words that hold the handlers before ours.
        returned: where a trap leaves wasm.
        default_action: a struct kernel_sigaction with the default disposition.
        program_counter, stack_pointer, context_register: offsets of the saved registers in the ucontext_t.
        fault_address: offset in the siginfo_t.
        sys_sigaction: number of the system call.
    """

    __slots__ = (
        "code_size",
        "code_start",
        "context_register",
        "contexts",
        "contexts_size",
        "default_action",
        "fault_address",
        "previous",
        "program_counter",
        "returned",
        "stack_pointer",
        "sys_sigaction",
    )

    code_start: str
    code_size: int
    contexts: str
    contexts_size: int
    previous: str
    returned: str
    default_action: str
    program_counter: int
    stack_pointer: int
    context_register: int
    fault_address: int
    sys_sigaction: int


class TickerPlaces:
    """Names of symbols, and numbers, that the ticker needs.

    Attributes:
        contexts: a word that holds the address of the first context.
        used: the word that holds the number of contexts in use.
        parked: the word that is 1 while the ticker sleeps.
        interval: a struct timespec.
        idle_rounds: rounds without a running chain after which it goes to sleep.
        sys_futex, sys_nanosleep: numbers of system calls.
    """

    __slots__ = ("contexts", "idle_rounds", "interval", "parked", "sys_futex", "sys_nanosleep", "used")

    contexts: str
    used: str
    parked: str
    interval: str
    idle_rounds: int
    sys_futex: int
    sys_nanosleep: int


class Sequences:
    """A machine's hand-written code.

    Attributes:
        lazy_entry_size: bytes of a lazy entry.
        lazy_frame: bytes of the frame of `lazy` and of the slow paths when they call `to_native`.
        native_return: where the return address of the call of `to_native` stands, from the stack pointer that it leaves in the
            context.
        lazy_return: where the return address of the call that led to `lazy` stands, from the stack pointer that `to_native`
            leaves in the context when `lazy` calls it.
        restore_frame: bytes of the frame that `restore_instance` returns from.
        probe_words: how many numbers of 4 bytes `probe` stores.
    """

    __slots__ = ()

    lazy_entry_size: int
    lazy_frame: int
    native_return: int
    lazy_return: int
    restore_frame: int
    probe_words: int

    def switches(self, trap_unreachable: int, trap_suspended: int, places: SwitchPlaces) -> Sequence:
        """Make the stack switching stubs.

        Its entries are to_wasm, to_native, trap, tick, fuel, allocate, unwind, lazy, suspend, resume, restore_instance, and
        `returned`, where `to_wasm`'s call returns to: the end of a walk over wasm frames, and where a trap leaves wasm.

        Args:
            trap_unreachable, trap_suspended: trap codes that explicit traps and suspending record.
            places: names of symbols.
        """
        raise NotImplementedError

    def lazy_entries(self, functions: list[tuple[int, int]], address: int, lazy: int) -> bytes:
        """Make the entries that tell `lazy` which function is wanted, and walks over frames how many bytes it pops.

        Args:
            functions: index of each, and `Code.incoming`, which the entry puts below the return address.
            address: where the entries will stand.
            lazy: address of the common part.
        """
        raise NotImplementedError

    def fault_handlers(self, places: FaultPlaces, count: int, trap_code: int) -> Sequence:
        """Make SIGSEGV handlers, of which each has a word with the handler before it; entries are their numbers, and "end"."""
        raise NotImplementedError

    def ticker(self, places: TickerPlaces) -> Sequence:
        """Make the body of the ticker thread."""
        raise NotImplementedError

    def thread_offset(
        self, function: int, read: Callable[[int, int], bytes], offset_of: Callable[[int], int | None]
    ) -> int | None:
        """Find out where a C function without parameters finds the word that it returns.

        Args:
            function: its address.
            read: reads so many bytes at an address.
            offset_of: returns the offset of what a tls_index, which stands at an address, names; None if threads differ in it.

        Returns:
            An offset for the operation `thread_word`; None when the function does not just load such a word.
        """
        raise NotImplementedError

    def probe(self) -> bytes:
        """Return the function that stores at an address what the processor says of itself: (address) in the C convention."""
        raise NotImplementedError

    def wake(self, parked: str, sys_futex: int) -> Sequence:
        """Make the function that wakes the ticker, `parked` being its word: () in the C convention."""
        raise NotImplementedError
