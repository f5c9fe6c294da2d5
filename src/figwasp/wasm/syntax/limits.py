"""Limits of the implementation (spec appendix A.2). Floor 1.

Most are those that the JavaScript API gives (https://webassembly.github.io/spec/js-api/#limits), so that what runs in a
browser runs here. They and the ones of our own keep time and memory in proportion to the size of a hostile binary.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_MODULE: Final = 1 << 30
"""Bytes of a binary."""
MAX_ITEMS: Final = 1_000_000
"""Types; functions; imports; exports; globals."""
MAX_TABLES: Final = 100_000
MAX_MEMORIES: Final = 100
MAX_PAGES: Final = 65_536
"""Pages of a memory with 32-bit addresses: not a limit of ours, but a rule of validation; so are the next five."""
MAX_PAGES_64: Final = 1 << 48
MAX_BYTE_PAGES: Final = (1 << 32) - 1
"""Pages of one byte of a memory with 32-bit addresses."""
MAX_BYTE_PAGES_64: Final = (1 << 64) - 1
MAX_TABLE_SIZE: Final = (1 << 32) - 1
"""Elements of a table with 32-bit indices."""
MAX_TABLE_SIZE_64: Final = (1 << 64) - 1
MAX_ELEMS: Final = 10_000_000
"""Element segments; elements of one."""
MAX_DATAS: Final = 100_000
MAX_ARITY: Final = 1_000
"""Parameters of a type; results of a type."""
MAX_SUPERTYPES: Final = 100
"""Supertypes that a type declares, of which one is valid at most."""
MAX_FIELDS: Final = 10_000
"""Fields of a structure."""
MAX_FIXED: Final = 10_000
"""Operands of an array.new_fixed."""
MAX_SUBTYPE_DEPTH: Final = 63
"""Steps from a type up to one without a supertype."""
MAX_BODY: Final = 7_654_321
"""Bytes of a function body."""
MAX_LOCALS: Final = 50_000
"""Locals of a function, parameters included."""
MAX_BR_TABLE: Final = 65_520
"""Labels of a br_table beside the default."""

# Our own

MAX_CONST_INSTRS: Final = 10_000
"""Instructions of a constant expression."""
MAX_DISTINCT_INITS: Final = 1_000_000
"""Different element expressions of a module: each is some 300 bytes of objects."""
MAX_SELECT_TYPES: Final = 1_000
"""Types of a select, of which one is valid."""
MAX_STACK: Final = 4_000_000
"""Entries of the validator's operand stack: a call of two bytes may push a thousand."""
MAX_WRITTEN: Final = 1 << 28
"""Bytes of all bit sets of written locals of one function."""
MAX_FACTS: Final = 1 << 28
"""Bytes of what validation keeps of all functions of a module, beside FACTS_PER_BYTE."""
FACTS_PER_BYTE: Final = 16
"""Bytes of that for each byte of the module: a real one has 1 to 3."""
FREE_COMPARISONS: Final = 10_000_000
"""Types of operands that a module may have compared one by one, beside COMPARISONS_PER_BYTE."""
COMPARISONS_PER_BYTE: Final = 8
