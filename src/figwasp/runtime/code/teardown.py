"""Floor 4: frees an abandoned compilation's objects on a background thread.

In: the traceback of the exception that ended it, whose frames hold millions of small objects. To free those at once takes a second,
in which no other Python code runs. So a thread takes them: it makes a flat list of all, upon which the structures that held them go
cheaply, and frees the list chunk by chunk. Nothing is changed but the blocks of functions, which refer to each other.
"""

from __future__ import annotations

import gc
import os
import threading

from figwasp.codegen.mach import MBlock, MInst
from figwasp.ir.func import Block, Value
from figwasp.runtime.code import collector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType, TracebackType
    from typing import Final

_OURS: Final = ("figwasp.ir.", "figwasp.codegen.")
_LEAVES: Final = frozenset({Value, MInst, int, bytes, str, float, bool, type(None)})
"""Kinds of objects that hold only what is held elsewhere as well."""
_PIECE: Final = 256
_MOST: Final = 4  # threads
_working: Final[list[None]] = []  # one for each of them


os.register_at_fork(after_in_child=_working.clear)


def discard(traceback: TracebackType | None) -> None:
    """Free the objects that the frames of a traceback hold, in a thread of its own; the caller keeps no reference to them.

    The caller has paused the cycle collector, which is to leave the objects alone when it goes on, long before they have gone.
    """
    if len(_working) >= _MOST:
        return  # it goes now: who does this again and again shall not fill the memory
    collector.age()
    try:
        threading.Thread(target=_work, args=([traceback],), name="figwasp teardown", daemon=True).start()
    except RuntimeError:
        pass  # no thread is to be had: then all of it goes now


def _work(held: list[TracebackType | None]) -> None:
    _working.append(None)
    try:
        _dismantle(held)
    finally:
        _working.pop()


def _dismantle(held: list[TracebackType | None]) -> None:
    frames: list[FrameType] = []
    traceback = held.pop()
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    kept = _flatten([frame.f_locals for frame in frames])
    for frame in frames:
        try:
            frame.clear()
        except RuntimeError:
            pass  # it is still running: a caller of the compiler
    frames.clear()
    for thing in kept:
        if isinstance(thing, (Block, MBlock)):
            thing.preds = []
            thing.succs = []
            if type(thing) is Block:
                thing.dom = None
    while kept:
        del kept[-_PIECE:]


def _flatten(roots: Iterable[object]) -> list[object]:
    """Return a list that holds each object which can be reached through containers and the compiler's own objects."""
    kept: list[object] = []
    seen: set[int] = set()
    work = list(roots)
    while work:
        thing = work.pop()
        kind = type(thing)
        if kind in _LEAVES or id(thing) in seen:
            continue
        if kind is list or kind is tuple or kind is set or kind is frozenset:
            children = list(thing)  # type: ignore[call-overload]
        elif kind is dict:
            children = list(thing.values())  # type: ignore[attr-defined]
        elif kind.__module__.startswith(_OURS):
            children = gc.get_referents(thing)
        else:
            continue
        seen.add(id(thing))
        kept.append(thing)
        kept += children
        if children and type(children[0]) not in _LEAVES:
            work += children
    return kept
