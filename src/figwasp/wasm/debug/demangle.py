"""Floor 1: readable names of functions whose compiler mangled them (Itanium C++ ABI 5.1; Rust reference, "Symbol name mangling").

In: a name. Out: the name as its author wrote it, when the optional package `demangle` is installed, else the same name.
That package bounds its own work; what it cannot read it gives back.
"""

from __future__ import annotations

from figwasp.lazy import importing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

__all__ = ["demangle"]

_PREFIXES: Final = ("_Z", "__Z", "_R", "__R")
_LANGUAGES: Final = ("itanium", "rust")
_LONGEST: Final = 4096
_found: list[Callable[..., str]] = []


def _plain(name: str, **_options: object) -> str:
    return name


def _demangler() -> Callable[..., str]:
    """Return the function of the package, looked for once."""
    if not _found:
        try:
            with importing:
                from demangle import demangle as found  # the optional extra

            _found.append(found)
        except Exception:
            _found.append(_plain)
    return _found[0]


def demangle(name: str) -> str:
    """Return a C++ or Rust name demangled; any other as it is."""
    if not name.startswith(_PREFIXES) or len(name) > _LONGEST:
        return name
    try:
        return _demangler()(name, language=_LANGUAGES)
    except Exception:
        return name
