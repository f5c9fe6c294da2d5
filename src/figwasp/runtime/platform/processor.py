"""Floor 4: the processor: which of its features beyond the baseline compiled code uses.

In: what the processor says of itself, asked once per process, and the environment: FIGWASP_CPU=baseline for none, or names with
commas between them, which are used if the processor has them. Out: the machine as a target that has been told. Whoever compiles for
this process takes the machine from here.
"""

from __future__ import annotations

import ctypes
import os as _os
from functools import cache

from figwasp.codegen.isa import host
from figwasp.errors import Error
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.codegen.target import Target

__all__ = ["chosen", "machine"]

_VARIABLE = "FIGWASP_CPU"
_NONE = "baseline"


@cache
def machine() -> Target:
    """Return the machine of this process.

    Raises:
        Unsupported: there is no compiler for it.
        Error: FIGWASP_CPU has a name in it that is not known.
    """
    target = host()
    wanted = chosen(_os.environ.get(_VARIABLE, ""), target.known_features)
    target.use_features(wanted & target.features_found(_probe(target)) if wanted else wanted)
    return target


def chosen(text: str, known: tuple[str, ...]) -> frozenset[str]:
    """Return the features that a value of FIGWASP_CPU allows.

    Raises:
        Error: it has a name in it that is not known.
    """
    if not text:
        return frozenset(known)
    names = {name.strip() for name in text.split(",")} - {_NONE, ""}
    unknown = sorted(names.difference(known))
    if unknown:
        raise Error(f"{_VARIABLE}: {unknown[0]!r} is no feature that is known; known are {', '.join(known)}, and {_NONE} for none")
    return frozenset(names)


def _probe(target: Target) -> list[int]:
    """Run the function that asks the processor; where nothing can be executed, it has nothing."""
    words = (ctypes.c_uint32 * target.sequences.probe_words)()
    try:
        address = linux.reserve(linux.PAGE)
    except OSError:
        return list(words)
    try:
        _put(address, target.sequences.probe())
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(ctypes.addressof(words))
    except OSError:
        pass
    finally:
        linux.release(address, linux.PAGE)
    return list(words)


def _put(address: int, code: bytes) -> None:
    """Make code executable, as `codespace` does."""
    try:
        writable = linux.dual_map(address, linux.PAGE)
    except OSError:
        linux.map_then_protect(address, code)
    else:
        linux.write(writable, code)
        linux.release(writable, linux.PAGE)
