"""Floor 3: what a machine's hand-written code needs and gives: stack switching, the fault handler, the ticker thread.

In: addresses and offsets. Out: position-dependent bytes, and where their entry points are. The code itself is the machine's,
`sequences` below `isa`; what it does is said there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

SUSPEND: Final = 2
"""The answer of a slow path's function after which wasm is left as `suspend` leaves it."""


class Switches:
    """The stack switching stubs.

    Attributes:
        data: their bytes, one block of code.
        to_wasm, to_native, trap, tick, fuel, allocate, unwind, lazy, suspend, resume, restore_instance: offsets of the entries.
        returned: offset that `to_wasm`'s call returns to: the end of a walk over wasm frames, and where a trap leaves wasm.
    """

    __slots__ = (
        "allocate",
        "data",
        "fuel",
        "lazy",
        "restore_instance",
        "resume",
        "returned",
        "suspend",
        "tick",
        "to_native",
        "to_wasm",
        "trap",
        "unwind",
    )

    def __init__(self, data: bytes, offsets: dict[str, int]) -> None:
        self.data = data
        self.to_wasm = offsets["to_wasm"]
        self.returned = offsets["back"]
        self.unwind = offsets["unwind"]
        self.to_native = offsets["to_native"]
        self.trap = offsets["trap"]
        self.tick = offsets["tick"]
        self.fuel = offsets["fuel"]
        self.allocate = offsets["allocate"]
        self.lazy = offsets["lazy"]
        self.suspend = offsets["suspend"]
        self.resume = offsets["resume"]
        self.restore_instance = offsets["restore_instance"]


class FaultPlaces:
    """Offsets in the ucontext_t and siginfo_t, and addresses, that the fault handler needs.

    Attributes:
        code_start, code_size: the range of addresses where all compiled code lies.
        contexts_start, contexts_size: the range of all contexts.
        previous: address of the word that holds the handler before ours.
        back: where a trap leaves wasm.
        default_action: address of a struct kernel_sigaction with the default disposition.
        program_counter, stack_pointer, context_register: offsets of the saved registers in the ucontext_t.
        fault_address: offset in the siginfo_t.
        sys_sigaction: number of the system call.
    """

    __slots__ = (
        "back",
        "code_size",
        "code_start",
        "context_register",
        "contexts_size",
        "contexts_start",
        "default_action",
        "fault_address",
        "previous",
        "program_counter",
        "stack_pointer",
        "sys_sigaction",
    )

    code_start: int
    code_size: int
    contexts_start: int
    contexts_size: int
    previous: int
    back: int
    default_action: int
    program_counter: int
    stack_pointer: int
    context_register: int
    fault_address: int
    sys_sigaction: int


class TickerPlaces:
    """Addresses and numbers that the ticker needs.

    Attributes:
        contexts: address of the first context.
        used: address of the word that holds the number of contexts in use.
        parked: address of the word that is 1 while the ticker sleeps.
        interval: address of a struct timespec.
        idle_rounds: rounds without a running chain after which it goes to sleep.
        sys_futex, sys_nanosleep: numbers of system calls.
    """

    __slots__ = ("contexts", "idle_rounds", "interval", "parked", "sys_futex", "sys_nanosleep", "used")

    contexts: int
    used: int
    parked: int
    interval: int
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

    def switches(
        self,
        trap_unreachable: int,
        trap_suspended: int,
        tick_cell: int,
        fuel_cell: int,
        allocate_cell: int,
        compile_address: int,
    ) -> Switches:
        """Make the stack switching stubs.

        Args:
            trap_unreachable, trap_suspended: trap codes that explicit traps and suspending record.
            tick_cell, fuel_cell, allocate_cell: addresses of the words that hold the functions of the slow paths.
            compile_address: function that compiles what a lazy entry stands for.
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

    def fault_handler(self, places: FaultPlaces, trap_code: int) -> bytes:
        """Make the SIGSEGV handler."""
        raise NotImplementedError

    def ticker(self, places: TickerPlaces) -> bytes:
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
        """Make the function that stores at an address what the processor says of itself: (address) in the C convention."""
        raise NotImplementedError

    def wake(self, parked: int, sys_futex: int) -> bytes:
        """Make the function that wakes the ticker: () in the C convention."""
        raise NotImplementedError
