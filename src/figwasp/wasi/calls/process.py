"""Floor 6: the functions of WASI about the process: arguments, environment, random bytes, exit.

In: the state and the guest's arguments as signed ints. Out: an error number; results go to memory. See `preview1` for how failures
become numbers.
"""

from __future__ import annotations

import os

from figwasp.api import deadline
from figwasp.errors import Exit
from figwasp.wasi.abi import MASK32, NOTSUP, SUCCESS, U32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NoReturn

    from figwasp.wasi.calls.state import GuestState

_RANDOM_CHUNK: Final = 1 << 16


def _store_sizes(state: GuestState, strings: Sequence[bytes], count: int, size: int) -> int:
    state.memory.span(size, 4)
    state.memory.store_u32(count, len(strings))
    state.memory.store_u32(size, sum(map(len, strings)) + len(strings))
    return SUCCESS


def _store_strings(state: GuestState, strings: Sequence[bytes], pointers: int, buffer: int) -> int:
    """Write strings with terminators, and a pointer to each."""
    text = b"".join(string + b"\0" for string in strings)
    array = state.memory.span(pointers, 4 * len(strings))
    start = state.memory.span(buffer, len(text))
    state.memory.view[start : start + len(text)] = text
    for string in strings:
        U32.pack_into(state.memory.view, array, start & MASK32)
        array += 4
        start += len(string) + 1
    return SUCCESS


def args_sizes_get(state: GuestState, count: int, size: int) -> int:
    return _store_sizes(state, state.args, count, size)


def args_get(state: GuestState, pointers: int, buffer: int) -> int:
    return _store_strings(state, state.args, pointers, buffer)


def environ_sizes_get(state: GuestState, count: int, size: int) -> int:
    return _store_sizes(state, state.env, count, size)


def environ_get(state: GuestState, pointers: int, buffer: int) -> int:
    return _store_strings(state, state.env, pointers, buffer)


def random_get(state: GuestState, buffer: int, length: int) -> int:
    """Fill a buffer with random bytes, piece by piece, so that a huge request can be interrupted and needs no copy of its size."""
    target = state.memory.slice(buffer, length)
    for start in range(0, len(target), _RANDOM_CHUNK):
        deadline.check()
        piece = target[start : start + _RANDOM_CHUNK]
        piece[:] = os.urandom(len(piece))
    return SUCCESS


def proc_exit(state: GuestState, code: int) -> NoReturn:
    """End the program.

    Raises:
        Exit: always, with the code as an u32.
    """
    try:
        state.flush()
    except OSError:
        pass  # the guest cannot go on from here; `close` flushes once more and tells whoever embeds it
    raise Exit(code & MASK32)


def proc_raise(state: GuestState, signal: int) -> int:
    """Refuse: a signal would strike the host."""
    return NOTSUP


def sched_yield(state: GuestState) -> int:
    """Let others run; sleeping for no time would take fifty microseconds."""
    os.sched_yield()
    return SUCCESS
