"""Limits of the implementation (spec appendix A.2). Floor 1.

Most are those that the JavaScript API gives (https://webassembly.github.io/spec/js-api/#limits), so that what runs in a
browser runs here. They and the ones of our own keep time and memory in proportion to the size of a hostile binary.
"""

from __future__ import annotations

from typing import Final

MAX_MODULE: Final = 1 << 30
"""Bytes of a binary."""
MAX_ITEMS: Final = 1_000_000
"""Types; functions; imports; exports; globals."""
MAX_TABLES: Final = 100_000
MAX_MEMORIES: Final = 100
MAX_PAGES: Final = 65_536
"""Pages of a memory: not a limit of ours, but a rule of validation."""
MAX_TABLE_SIZE: Final = (1 << 32) - 1
"""Elements of a table: a rule of validation likewise."""
MAX_ELEMS: Final = 10_000_000
"""Element segments; elements of one."""
MAX_DATAS: Final = 100_000
MAX_ARITY: Final = 1_000
"""Parameters of a type; results of a type."""
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
