"""Floor 4: callees of stubs that are not WebAssembly: Python callables, and the stubs around them that all entries share.

In: the callables, made above (`runtime.start`). Out: addresses that are constants in emitted code, so all of it lives as long as
the process.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from figwasp.runtime.platform.statics import Statics

__all__ = ["Callbacks", "Hooks"]


class Callbacks:
    """The Python callables that emitted code calls.

    Attributes:
        explain_trap: (context address, trap code, pc, stack pointer, exception or None) -> the exception with which an entry fails.
        finish_chain: (context address,): releases the references pinned by the chain whose outermost entry leaves.
        refuse_cleared: (): raises: the collector has cleared an object that the call needs.
        box_results: (call slow path, address): the results of a call, from where they stand.
        claim_chain: (call slow path,): binds the chain of its store to the calling thread, or raises.
        refuse_busy: (): raises Busy.
        end_listened_calls: (context address, exception): tells listeners of the calls that an exception ends.
        offer_exception: (context address, exception): puts an exception that a host function has raised into the context, as one of
            WebAssembly, if that may catch it.
        trim_traceback: (exception,) -> the exception, without the runtime's own functions in its traceback.
        refuel: (context address,) -> whether a chain that is out of fuel may go on.
        grow_heap: (context address, bytes): gives the heap of the context's store more blocks (`stubs.heap.collect.Parts`).
        compile: (instance, function index, context address) -> address of the function's code.
        before_call, after_call: (instance, function index, address of operands or results, context address): tell a listener.
        builtins: builtin number -> (instance, operands) -> result or None.
    """

    __slots__ = (
        "after_call",
        "before_call",
        "box_results",
        "builtins",
        "claim_chain",
        "compile",
        "end_listened_calls",
        "explain_trap",
        "finish_chain",
        "offer_exception",
        "grow_heap",
        "refuel",
        "refuse_busy",
        "refuse_cleared",
        "trim_traceback",
    )

    explain_trap: Callable[[int, int, int, int, BaseException | None], BaseException]
    finish_chain: Callable[[int], None]
    refuse_cleared: Callable[..., None]
    box_results: Callable[[Any, int], Any]
    claim_chain: Callable[[Any], None]
    refuse_busy: Callable[[], None]
    end_listened_calls: Callable[[int, BaseException], None]
    trim_traceback: Callable[[BaseException], BaseException]
    offer_exception: Callable[[int, BaseException], None]
    refuel: Callable[[int], bool]
    grow_heap: Callable[[int, int], int]
    compile: Callable[[Any, int, int], int]
    before_call: Callable[[Any, int, int, int], None]
    after_call: Callable[[Any, int, int, int], None]
    builtins: Mapping[int, Callable[..., int | None]]


class Hooks:
    """Constants of the stubs between Python and WebAssembly.

    Attributes:
        box_results, explain_trap, finish_chain, refuse_cleared, claim_chain, refuse_busy, end_listened_calls, trim_traceback:
            PyObject* of the callbacks of these names.
        leave, fail, trim: addresses of the code of `stubs.leave.leave`, `fail` and `trim`.
        interrupts: of the word that counts interrupted contexts.
        struct_type, array_type: of the words with the native types of handles (`Statics`).
        settle, slow: of `stubs.enter.settle` and `slow`.
    """

    __slots__ = (
        "array_type",
        "box_results",
        "claim_chain",
        "end_listened_calls",
        "explain_trap",
        "fail",
        "finish_chain",
        "interrupts",
        "leave",
        "refuse_busy",
        "refuse_cleared",
        "settle",
        "slow",
        "struct_type",
        "trim",
        "trim_traceback",
    )

    def __init__(self, callbacks: Callbacks, statics: Statics) -> None:
        self.interrupts = statics.interrupts
        self.struct_type = statics.struct_type
        self.array_type = statics.array_type
        self.box_results = id(callbacks.box_results)
        self.explain_trap = id(callbacks.explain_trap)
        self.finish_chain = id(callbacks.finish_chain)
        self.refuse_cleared = id(callbacks.refuse_cleared)
        self.claim_chain = id(callbacks.claim_chain)
        self.refuse_busy = id(callbacks.refuse_busy)
        self.end_listened_calls = id(callbacks.end_listened_calls)
        self.trim_traceback = id(callbacks.trim_traceback)
        self.leave = 0
        self.fail = 0
        self.trim = 0
        self.settle = 0
        self.slow = 0
