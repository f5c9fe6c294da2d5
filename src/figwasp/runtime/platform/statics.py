"""Floor 4: the words at fixed addresses that emitted code of the whole process refers to: one page, never released."""

from __future__ import annotations

from figwasp.runtime.platform import linux

__all__ = ["Statics"]


class Statics:
    """Addresses of the words.

    Attributes:
        parked: 1 while the ticker sleeps.
        contexts: address of the first context.
        contexts_used: number of contexts that may be in use.
        interrupts: number of contexts with FLAG_INTERRUPTED.
        previous_handler: of each of our SIGSEGV handlers, the address of the handler before it; UNUSED when it never was in force.
        reap_list: head of the list of blocks to be released; 0 for none.
        interval: a struct timespec, the time between two ticks.
        handler: address of the first of our SIGSEGV handlers, the size of all, and what puts one in front.
        tick: address of the code of a tick.
        fuel: address of the code that asks for more fuel; 0 until it is needed.
        offer: address of the code that offers exceptions of Python to WebAssembly; 0 until a function has a handler.
        allocate: address of the code that finds free cells of the heap; 0 until it is needed.
        hot: address of the code that has what runs often compiled better; 0 until it is needed.
        struct_type, array_type: PyTypeObject* of handles; 0 until there is one.
        default_action, our_action, present_action: struct sigaction: the default, with each of our handlers, and room for another.
    """

    __slots__ = (
        "allocate",
        "array_type",
        "contexts",
        "contexts_used",
        "default_action",
        "fuel",
        "handler",
        "hot",
        "interrupts",
        "interval",
        "offer",
        "our_action",
        "parked",
        "present_action",
        "previous_handler",
        "reap_list",
        "struct_type",
        "tick",
    )

    def __init__(self) -> None:
        page = linux.allocate(linux.PAGE)
        self.parked = page
        self.contexts_used = page + 8
        self.contexts = page + 16
        self.reap_list = page + 24
        self.interval = page + 32
        self.tick = page + 56
        self.fuel = page + 64
        self.interrupts = page + 72
        self.struct_type = page + 224
        self.array_type = page + 232
        self.offer = page + 240
        self.allocate = page + 248
        self.hot = page + 216
        self.handler = page + 80
        self.previous_handler = page + 112
        self.default_action = page + 256
        self.our_action = page + 512
        self.present_action = page + 3072
