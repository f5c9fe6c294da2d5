"""Floor 4: wasm frames in Python tracebacks, so that `traceback`, `logging` and debuggers show them.

In: places in wasm functions. Out: the traceback of an exception, extended. An entry is a frame object that never ran, of a code
object made for its place: source file and line where the module's DWARF tells them, else `<wasm MODULE>` and as line the byte
offset.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType

from figwasp.errors import Error, printable
from figwasp.runtime.platform import cpython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Final

    from figwasp.runtime.code.ranges import CodeRange, Entry, Site

INNER: Final = 20  # entries of a long traceback that are made
OUTER: Final = 10

_INTERNAL: Final = "figwasp.runtime."
OUTSIDE: Final[set[CodeType]] = set()
"""Functions of the runtime that do nothing but call others' code: exceptions raised there are not the runtime's."""

_EXPECTED: Final = (Error, TypeError, OverflowError, ReferenceError, RuntimeError, KeyboardInterrupt)
_TEMPLATE: Final = compile("", "<wasm>", "exec")
_NO_POSITION: Final = -1  # as index of the last instruction: the line is what the traceback says, no column
_LAST_LINE: Final = 2**31 - 1
_SOURCES: Final = frozenset(
    ".as .c .c++ .cc .cpp .cs .cxx .d .f90 .go .grain .h .hh .hpp .hs .hxx .i .inc .inl .java .kt .ll .m .mbt .ml .mm .nim"
    " .odin .pas .rs .s .scala .swift .ts .v .vala .wast .wat .zig".split()
)
_LONGEST_SOURCE: Final = 4 << 20


def extend(error: BaseException, sites: list[Site]) -> None:
    """Put wasm frames before what the traceback of an exception already shows.

    Args:
        error: the exception; entries of the runtime's own, with which its traceback begins, are left out.
        sites: the places, innermost first.
    """
    entries = _peel(error)
    if len(sites) <= INNER + OUTER + 1:
        shown = sites
    else:
        for placed, pc in sites[:INNER]:
            entries = _entry(placed, pc, entries)
        entries = _more(len(sites) - INNER - OUTER, entries)
        shown = sites[-OUTER:]
    for placed, pc in shown:
        entries = _entry(placed, pc, entries)
    error.__traceback__ = entries


def tidy(error: BaseException) -> BaseException:
    """Leave the runtime's own functions out of the traceback of an exception that goes to a caller."""
    error.__traceback__ = _peel(error)
    return error


def _peel(error: BaseException) -> TracebackType | None:
    """Return a traceback without the runtime's own functions at its beginning."""
    entries = error.__traceback__
    innermost = None
    while entries is not None and str(entries.tb_frame.f_globals.get("__name__")).startswith(_INTERNAL):
        innermost = entries.tb_frame.f_code
        entries = entries.tb_next
    # What the runtime raises because of a caller or a guest says enough; anything else that comes from there is a mistake of ours.
    ours = entries is None and innermost not in OUTSIDE and not isinstance(error, _EXPECTED)
    return error.__traceback__ if ours else entries


def _entry(placed: CodeRange, pc: int, rest: TracebackType | None) -> TracebackType | None:
    made = placed.entries.get(pc)
    if made is None:
        made = _describe(placed, pc)
        _keep(placed, pc, made)
    for code, names, line, offset in made:
        frame = cpython.new_frame(code, names, {"offset": offset})
        rest = TracebackType(rest, frame, _NO_POSITION, line)
    return rest


def _keep(placed: CodeRange, pc: int, made: list[Entry]) -> None:
    """Keep the entry of a place for the next trap there, unless the module has got too many of them."""
    source_map = placed.source_map
    if source_map is not None and len(made) <= source_map.room:
        source_map.room -= len(made)
        placed.entries[pc] = made


def _more(count: int, rest: TracebackType | None) -> TracebackType:
    """Return an entry that stands for others, left out."""
    code = _TEMPLATE.replace(co_name=f"... {count} more")
    return TracebackType(rest, cpython.new_frame(code, {"__name__": "<wasm>"}, {}), _NO_POSITION, 0)


def _describe(placed: CodeRange, pc: int) -> list[Entry]:
    """Return the entries of a place, the innermost first."""
    source_map = placed.source_map
    assert source_map is not None
    module = source_map.module
    offset = placed.position(pc)
    name = f"<wasm {printable(module.name)}>" if module.name else "<wasm>"
    names = {"__name__": name}
    places = source_map.places(placed.index, offset)
    if not places:
        label, line = source_map.label(placed.index), min(offset, _LAST_LINE)
        return [(_TEMPLATE.replace(co_filename=name, co_name=f"{label} @ {offset:#x}", co_firstlineno=line), names, line, offset)]
    # Asked once for each path, since that goes to the file system and a guest may have a hundred places here.
    files = {path: path if _may_be_shown(path) else f"<{printable(path)}>" for path in {place.file for place in places}}
    entries = []
    for label, path, line in places:
        file = files[path]
        entries.append((_TEMPLATE.replace(co_filename=file, co_name=label, co_firstlineno=line), names, line, offset))
    return entries


def _may_be_shown(path: str) -> bool:
    """Return whether Python may print lines of a file that a guest names, as it does for every file name without brackets.

    Python may do so only for a source file by its name, and no Python source: a guest could name any file of the host.
    """
    try:
        if not os.path.isabs(path) or not path.isprintable():
            return False
        real = os.path.realpath(path, strict=True)
        found = os.stat(real)
    except (OSError, ValueError):
        return False
    suffix = os.path.splitext(real)[1].lower()
    return stat.S_ISREG(found.st_mode) and found.st_size <= _LONGEST_SOURCE and suffix in _SOURCES
