"""Floor 4: the stubs, by their keys: what is built for each.

A key is a name, and after points what it is made for: kinds of parameters and results as `interface.spelled` has them, numbers,
the name of a builtin. The same key stands for the same code in every process with the same build of Python, so code that has been
kept is found by it, and this module is imported only when something has to be built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp import layout
from figwasp.codegen import pipeline
from figwasp.codegen.code import Code
from figwasp.codegen.sequences import FaultPlaces, Sequence, SwitchPlaces, TickerPlaces
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY, TRAP_SUSPENDED, TRAP_UNREACHABLE
from figwasp.ir import builtins, order
from figwasp.ir.func import Func
from figwasp.runtime.platform import codespace, linux
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.platform.stack import MAX_CONTEXTS
from figwasp.runtime.stubs import box as boxes
from figwasp.runtime.stubs import claim, enter, host, leave, objects, refs, steps, suspend, ticks
from figwasp.runtime.stubs.builtins import arrays, casts, cells, exceptions, memories, restore, tables, walk
from figwasp.runtime.stubs.builtins import objects as objects_made
from figwasp.runtime.stubs.heap import collect, mark, roots, sweep
from figwasp.runtime.stubs.heap import steps as heap_steps
from figwasp.runtime.stubs.interface import FAULT_HANDLERS, HELD, OWNER_HOLDS, ir_kinds, kinds_of

__all__ = ["PLAIN", "SEQUENCES", "build", "code", "translate"]

_IDLE_ROUNDS: Final = 10  # after which the ticker goes to sleep


def code(key: str) -> Code:
    """Return the code of the stub with a key.

    Raises:
        KeyError: there is none.
    """
    sequence = SEQUENCES.get(key)
    return translate(build(key)) if sequence is None else sequence().code


def translate(func: Func) -> Code:
    """Compile a stub."""
    order.run(func)
    return pipeline.compile(func, machine())


def build(key: str) -> Func:
    """Build the stub with a key, if it is IR.

    Raises:
        KeyError: there is none.
    """
    plain = PLAIN.get(key)
    if plain is not None:
        return plain()
    head, *args = key.split(":")
    return _OTHERS[head](*args)


PLAIN: Final[dict[str, Callable[[], Func]]] = {
    "leave": leave.leave, "trim": leave.trim, "fail": leave.fail,
    "enter.slow": enter.slow, "enter.settle": enter.settle,
    "claim": claim.claim, "confirm": claim.confirm, "guard": claim.guard, "hold": claim.hold, "strip": claim.strip,
    "tick": ticks.tick, "fuel": ticks.fuel, "hot": ticks.hot, "keep_in_front": ticks.keep_in_front,
    "step.expect": restore.expect, "step.restore_memory": restore.restore_memory,
    "step.grow_memory": steps.grow_memory, "step.exchange_reference": steps.exchange_reference, "step.raise_to": steps.raise_to,
    "step.lend": steps.lend, "step.move_lent": steps.move_lent, "step.move_fuel": steps.move_fuel,
    "step.interrupt": steps.interrupt, "step.interrupted": steps.interrupted, "step.release_turn": steps.release_turn,
    "compile_on_call": host.compile_on_call, "host.general.body": host.general_body, "host.async.body": suspend.body,
    "box.int": boxes.box_int, "box.float": boxes.box_float,
    "find_handler": walk.find_handler, "throw.search": exceptions.search, "offer": exceptions.offer,
    "cells.give": cells.give, "cells.exchange": cells.exchange, "cells.settle": cells.settle, "cells.take": cells.take,
    "cells.forget_marks": cells.forget_marks, "cells.partition": cells.partition, "cells.move_suspects": cells.move_suspects,
    "heap.link_array": roots.link_array, "heap.link_roots": roots.link_roots, "heap.unlink_roots": roots.unlink_roots,
    "heap.detach_roots": roots.detach_roots, "heap.copy_root": roots.copy_root, "heap.merge_roots": roots.merge_roots,
    "heap.find": mark.find, "heap.scan": mark.scan, "heap.mark_roots": mark.mark_roots, "heap.drain": mark.drain,
    "heap.sweep_run": sweep.sweep_run, "heap.open_block": sweep.open_block, "heap.finish_sweep": sweep.finish_sweep,
    "heap.sort_blocks": sweep.sort_blocks, "heap.tick": collect.tick, "heap.collect": collect.collect,
    "heap.look_for_cells": collect.look_for_cells, "heap.allocate": collect.allocate, "heap.new_object": collect.new_object,
    "heap.allocate_large": collect.allocate_large, "heap.add_blocks": heap_steps.add_blocks,
    "heap.take_dead": heap_steps.take_dead, "heap.take_free": heap_steps.take_free, "heap.merge": heap_steps.merge_heaps,
    "heap.own_large": heap_steps.own_large,
    "object.traverse": lambda: objects.traverse(HELD, slots=False), "object.dealloc": lambda: objects.dealloc(HELD, slots=False),
    "owner.traverse": lambda: objects.traverse([OWNER_HOLDS], slots=True),
    "owner.clear": lambda: objects.clear([], slots=True, graveyard=True),
    "owner.dealloc": lambda: objects.dealloc([OWNER_HOLDS], slots=True, reaped=True),
    "owner.pending": objects.pending, "owner.sweep": objects.sweep, "owner.next_dead": objects.next_dead,
    "owner.new": objects.new_owner, "memory.getbuffer": objects.getbuffer, "memory.releasebuffer": objects.releasebuffer,
    "array.getbuffer": objects.getbuffer_of_array,
}  # fmt: skip
"""Those whose keys are names alone."""


def _enter(params: str, results: str) -> Func:
    return enter.enter(kinds_of(params), kinds_of(results))


def _enter_refs(params: str, results: str) -> Func:
    return refs.enter(kinds_of(params), kinds_of(results))


def _raw(params: str, results: str) -> Func:
    return enter.raw(kinds_of(params), kinds_of(results))


def _start(params: str, results: str) -> Func:
    return suspend.start(kinds_of(params), kinds_of(results))


def _resume(params: str, results: str) -> Func:
    return suspend.resume(kinds_of(params), kinds_of(results))


def _host(params: str, results: str) -> Func:
    """Build the wasm side of host functions whose C side converts numbers itself."""
    body = f"stub.host.body:{params}:{results}"
    return host.host(ir_kinds(kinds_of(params)), ir_kinds(kinds_of(results)), body)


def _host_general(params: str, results: str) -> Func:
    return host.host(kinds_of(params), kinds_of(results), "stub.host.general.body")


def _host_body(params: str, results: str) -> Func:
    return host.body(kinds_of(params), kinds_of(results))


def _host_async(params: str, results: str) -> Func:
    return suspend.host(kinds_of(params), kinds_of(results))


def _call_python(count: str) -> Func:
    return host.call_python(int(count))


def _followed(number: str) -> Func:
    return ticks.followed(int(number))


def _clear(*fields: str) -> Func:
    return objects.clear([int(field) for field in fields if field], slots=False)


_NATIVE: Final[dict[int, Callable[[], Func]]] = {**memories.BUILTINS, **arrays.BUILTINS, **casts.BUILTINS, **exceptions.BUILTINS}
"""Builtins that need nothing but what they are built of."""


def _builtin(name: str) -> Func:
    number = builtins.NAMES.index(name)
    native = _NATIVE.get(number)
    if native is not None:
        return native()
    if number in objects_made.BUILTINS:
        return objects_made.build(number)
    return tables.build(number) if number in tables.BUILTINS else host.builtin(number)


_OTHERS: Final[dict[str, Callable[..., Func]]] = {
    "enter": _enter, "enter.refs": _enter_refs, "raw": _raw, "start": _start, "resume": _resume,
    "host": _host, "host.general": _host_general, "host.body": _host_body, "host.async": _host_async,
    "call_python": _call_python, "followed": _followed, "object.clear": _clear, "builtin": _builtin,
}  # fmt: skip
"""Those that are made for something: name -> what gets the rest of the key."""


# What is written by hand


def _switches() -> Sequence:
    places = SwitchPlaces()
    places.tick, places.fuel, places.allocate, places.hot = "static.tick", "static.fuel", "static.allocate", "static.hot"
    places.compile = "stub.compile_on_call"
    return machine().sequences.switches(TRAP_UNREACHABLE, TRAP_SUSPENDED, places)


def _fault_handlers() -> Sequence:
    places = FaultPlaces()
    places.code_start, places.code_size = "code.start", codespace.RANGE_SIZE
    places.contexts, places.contexts_size = "static.contexts", MAX_CONTEXTS * layout.CTX_SIZE
    places.previous, places.default_action = "static.previous_handler", "static.default_action"
    places.returned = "switch.returned"
    places.program_counter, places.stack_pointer, places.context_register = linux.SAVED_REGISTERS
    places.fault_address = linux.SIGINFO_ADDRESS
    places.sys_sigaction = linux.SYS_RT_SIGACTION
    return machine().sequences.fault_handlers(places, FAULT_HANDLERS, TRAP_OUT_OF_BOUNDS_MEMORY)


def _ticker() -> Sequence:
    places = TickerPlaces()
    places.contexts, places.used = "static.contexts", "static.contexts_used"
    places.parked, places.interval = "static.parked", "static.interval"
    places.idle_rounds = _IDLE_ROUNDS
    places.sys_futex, places.sys_nanosleep = linux.SYS_FUTEX, linux.SYS_NANOSLEEP
    return machine().sequences.ticker(places)


def _wake() -> Sequence:
    return machine().sequences.wake("static.parked", linux.SYS_FUTEX)


SEQUENCES: Final[dict[str, Callable[[], Sequence]]] = {
    "switches": _switches, "fault_handlers": _fault_handlers, "ticker": _ticker, "wake": _wake,
}  # fmt: skip
"""The keys of those that are no IR."""
