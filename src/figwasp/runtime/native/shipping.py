"""Floor 4: what makes the files of `native.shipped_stubs`: stubs compiled in advance, for every build of Python that is known.

`python -m figwasp.runtime.native.shipping FOLDER` writes them, on whatever build it runs: what stubs know of one is put in its
place for a moment. `make templates` does so.
"""

from __future__ import annotations

import marshal
import os
import sys

from figwasp.codegen.stored.serial import to_bytes
from figwasp.runtime.native.shipped_stubs import digest, file_name
from figwasp.runtime.platform import interpreter
from figwasp.runtime.stubs import catalogue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from figwasp.codegen.code import Code
    from figwasp.runtime.native.shipped_stubs import Contents

_FORMAT: Final = 2  # of marshal, which writes the same for equal values
_SIZE: Final = 4  # bytes of the place of a thread state
_TRIED: Final = 0x7151_3111, 0x0262_4222
"""Two values of THREAD_STATE, all bytes of which differ."""

_FIRST: Final = {"INTS": interpreter.INT_SIGNED, "COUNTS": interpreter.COUNT_WHOLE, "THREAD_STATE": None}
_LATER: Final = {"INTS": interpreter.INT_TAGGED, "COUNTS": interpreter.COUNT_LOW, "THREAD_STATE": _TRIED[0]}
_BUILDS: Final[tuple[dict[str, Any], ...]] = (
    {**_FIRST, "TUPLE_ITEMS": 24, "SINGLETONS": (-5, 256)},
    {**_LATER, "TUPLE_ITEMS": 24, "SINGLETONS": (-5, 256)},
    {**_LATER, "TUPLE_ITEMS": 32, "SINGLETONS": (-5, 256)},
    {**_LATER, "TUPLE_ITEMS": 32, "SINGLETONS": (-5, 1024)},
)
"""What differs between builds, CPython 3.11, 3.12 and 3.13, 3.14, 3.15: attributes of `interpreter`."""
_COMMON: Final = {"FLOATS": True, "SINGLE_INTS": True}

_IMPORTED: Final = """
    : i: i:i il:i ii: ii:i :i ili:i ill:i illi:i ilii:i iii:i iiii:i iiili:i iiiii:i iiiilli:i iiiiii:i iiiiiii:i iiiiillii:i
""".split()
"""Kinds of the functions of WASI."""
_EXPORTED: Final = ": :i i: i:i ii: ii:i iii:i l:l d:d".split()
"""Kinds of functions that programs export, and that others import from Python."""
_KEYS: Final = (
    *catalogue.SEQUENCES,
    *catalogue.PLAIN,
    *[f"host.general:{kinds}" for kinds in _IMPORTED],
    *[f"{head}:{kinds}" for head in ("enter", "raw", "host", "host.body") for kinds in _EXPORTED],
    *[f"builtin:{name}" for name in ("memory_fill", "memory_copy", "memory_init", "memory_grow")],
    *[f"followed:{number}" for number in range(4)],
    *[f"call_python:{count}" for count in range(5)],
    "object.clear:", "object.clear:48",
)  # fmt: skip


def contents(build: dict[str, Any]) -> tuple[str, Contents]:
    """Return the name of the file for a build, and what is in it."""
    for name, value in {**_COMMON, **build}.items():
        setattr(interpreter, name, value)
    codes: dict[str, tuple[bytes, tuple[int, ...]]] = {}
    entries: dict[str, dict[str, int]] = {}
    for key in _KEYS:
        sequence = catalogue.SEQUENCES.get(key)
        if sequence is not None:
            made = sequence()
            entries[key] = made.entries
            codes[key] = to_bytes(made.code), ()
            continue
        code = catalogue.code(key)
        places: tuple[int, ...] = ()
        if interpreter.THREAD_STATE is not None:
            setattr(interpreter, "THREAD_STATE", _TRIED[1])  # noqa: B010  it is Final for all others
            places = _places(code, catalogue.code(key))
            setattr(interpreter, "THREAD_STATE", _TRIED[0])  # noqa: B010
        codes[key] = to_bytes(code), places
    return file_name(), (digest(), codes, entries)


def _places(one: Code, other: Code) -> tuple[int, ...]:
    """Return the places in the code of a stub that hold where the thread state is, and make them zero in the first."""
    first, second = (value.to_bytes(_SIZE, "little") for value in _TRIED)
    data = bytearray(one.data)
    places = []
    at = data.find(first)
    while at >= 0:
        assert other.data[at : at + _SIZE] == second
        places.append(at)
        data[at : at + _SIZE] = bytes(_SIZE)
        at = data.find(first, at + _SIZE)
    assert data == other.data.replace(second, bytes(_SIZE))
    one.data = bytes(data)
    return tuple(places)


def write(folder: str) -> None:
    """Write all files."""
    os.environ["FIGWASP_CPU"] = "baseline"  # before the machine is first asked for
    os.makedirs(folder, exist_ok=True)
    for build in _BUILDS:
        name, found = contents(build)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(marshal.dumps(found, _FORMAT))


if __name__ == "__main__":
    write(sys.argv[1])
