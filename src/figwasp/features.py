"""Floor 0: which WebAssembly proposals are on.

One row per proposal that the instruction table, the type table or a section reader mentions. Only decoding and validation
consult which are on; from there on a module is taken as it is. Names are those of https://github.com/WebAssembly/proposals,
shortened. Everything of Wasm 3.0 is on; what came after it is off until asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

__all__ = ["ALL", "DEFAULT", "MVP", "PROPOSALS", "Features", "off"]

_TABLE: Final = """
# name                  state  what it adds
mutable-globals         on     imported and exported globals may be mutable
sign-extension          on     i32.extend8_s and its like
saturating-truncation   on     i32.trunc_sat_f32_s and its like
multi-value             on     several results; blocks with parameters
bulk-memory             on     memory.copy, table.init, passive segments, the data count section
reference-types         on     externref, table.get and its like, several tables, ref.func
simd                    on     v128 and its instructions
relaxed-simd            on     vector instructions whose results may differ between machines
extended-const          on     i32.add and its like in constant expressions; reading any immutable global before
tail-calls              on     return_call and return_call_indirect
function-references     on     references to function types and without null, call_ref, tables with an initial value
exceptions              on     tags, try_table, throw, throw_ref, exnref
multi-memory            on     several memories
memory64                on     memories and tables indexed by i64
gc                      on     structures, arrays, i31, casts, recursion groups, subtypes
threads                 off    shared memories, atomic instructions
wide-arithmetic         off    i64.add128, i64.mul_wide_s and their like
custom-page-sizes       off    memories with pages of one byte
legacy-exceptions       off    try, catch, delegate and rethrow, of before Wasm 3.0
"""


def _parse(table: str) -> dict[str, tuple[bool, str]]:
    rows: dict[str, tuple[bool, str]] = {}
    for line in table.split("\n"):
        if line and not line.startswith("#"):
            name, state, meaning = line.split(None, 2)
            rows[name] = (state == "on", meaning)
    return rows


PROPOSALS: Final[dict[str, tuple[bool, str]]] = _parse(_TABLE)
"""Name of a proposal -> (on by default, what it adds)."""


class Features:
    """A set of proposals.

    Attributes:
        enabled: names of the proposals that are on.

    Raises:
        ValueError: there is no proposal of such a name.
    """

    __slots__ = ("enabled",)

    def __init__(self, enabled: Iterable[str]) -> None:
        self.enabled: frozenset[str] = frozenset(enabled)
        unknown = self.enabled - PROPOSALS.keys()
        if unknown:
            raise ValueError(f"unknown proposal {min(unknown)!r}; known are {', '.join(PROPOSALS)}")

    def __contains__(self, name: str) -> bool:
        return name == "mvp" or name in self.enabled

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Features) and self.enabled == other.enabled

    def __hash__(self) -> int:
        return hash(self.enabled)

    def __repr__(self) -> str:
        return f"Features({sorted(self.enabled)})"

    def including(self, *names: str) -> Features:
        """Return these features and the named proposals."""
        return Features(self.enabled | set(names))

    def excluding(self, *names: str) -> Features:
        """Return these features without the named proposals."""
        return Features(self.enabled - Features(names).enabled)


ALL: Final = Features(PROPOSALS)
DEFAULT: Final = Features(name for name, row in PROPOSALS.items() if row[0])
MVP: Final = Features(())


def off(what: str, proposal: str) -> str:
    """Return what is said of something that a module has and that needs a proposal which is off."""
    return f"{what} needs {proposal}, which is off (on with DEFAULT.including({proposal!r}) or --enable {proposal})"
