"""Which proposals a module uses, and where. Floor 1.

Goes in: the bytes of a module. Comes out: per proposal the first place that needs it and the functions that do. Outside of bodies
the reader and the validator are asked: with the proposal off they refuse the module, and say where. Bodies are walked once; a
pattern goes over all that needs nothing new, so that the walk stops once per function and proposal, as a rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from figwasp.errors import Invalid, Malformed
from figwasp.features import ALL, PROPOSALS
from figwasp.wasm.binary.decode import SECTIONS, decode, sections
from figwasp.wasm.binary.immediates import MEMORY_INDEX_FLAG, READERS, read_opcode
from figwasp.wasm.binary.leb128 import read_u32, write_unsigned
from figwasp.wasm.binary.types import read_value_type
from figwasp.wasm.syntax import immediates as kinds
from figwasp.wasm.syntax.immediates import Immediate, block_and_clauses, number, numbers
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.opcodes import ROWS, Opcode, subcode
from figwasp.wasm.syntax.types import EMPTY, TYPE_CODES, Types, proposals_of, type_name
from figwasp.wasm.valid.module import validate_module

__all__ = ["Use", "uses"]

_LEB: Final = rb"[\x80-\xff]*+[\x00-\x7f]"
_FORMS: Final = {
    kinds.NONE: b"",
    kinds.ZERO: b"\0",
    kinds.F32: b".{4}",
    kinds.F64: b".{8}",
    kinds.V128: b".{16}",
    kinds.LANES: b".{16}",
    kinds.LANE: b".",
    kinds.MEMARG: rb"[\x00-\x3f]" + _LEB,
    kinds.MEMARG_LANE: rb"[\x00-\x3f]" + _LEB + b".",
    **dict.fromkeys(
        (kinds.LABEL, kinds.FUNC, kinds.LOCAL, kinds.GLOBAL, kinds.TABLE, kinds.MEMORY, kinds.I32, kinds.I64, kinds.DATA)
        + (kinds.ELEM, kinds.TYPE, kinds.TAG),
        _LEB,
    ),
    **dict.fromkeys(
        (kinds.TYPE_TABLE, kinds.DATA_MEMORY, kinds.MEMORY_MEMORY, kinds.ELEM_TABLE, kinds.TABLE_TABLE, kinds.TYPE_TYPE)
        + (kinds.TYPE_FIELD, kinds.TYPE_U32, kinds.TYPE_DATA, kinds.TYPE_ELEM),
        _LEB * 2,
    ),
}
"""Kind of immediates -> a pattern of those that need nothing beyond what their instruction does. Others are read."""
Patterns = dict[frozenset[str], re.Pattern[bytes]]
"""Known proposals -> a pattern of what needs no other."""
_FIRST: Final = frozenset(("mvp",))
_MOST_PATTERNS: Final = 64  # making one takes milliseconds, and a module may have functions of any number of combinations
_IMPORT: Final = SECTIONS.index("import")
_EXPORT: Final = SECTIONS.index("export")
_SECTIONS_OF: Final = {"multi-value": "type", "reference-types": "table", "multi-memory": "memory"}
"""Proposal -> the section that is blamed where validation gives no place; the imports if it is not there."""


class Use:
    """That a module uses a proposal.

    >>> import figwasp
    >>> use = figwasp.Module(figwasp.wat("(func) (func (drop (ref.i31 (i32.const 1))))")).features["gc"]
    >>> use.what, use.func, use.funcs, hex(use.offset)
    ('ref.i31', 1, [1], '0x1d')

    Attributes:
        proposal: its name.
        what: what needs it at the first place: an instruction, a type, a section.
        offset: byte offset of that place.
        func: index of the function that it is in, or None outside of functions.
        funcs: indices of all functions whose bodies need it.
    """

    __slots__ = ("func", "funcs", "offset", "proposal", "what")

    def __init__(self, proposal: str, what: str, offset: int, func: int | None = None) -> None:
        self.proposal = proposal
        self.what = what
        self.offset = offset
        self.func = func
        self.funcs: list[int] = []

    def __repr__(self) -> str:
        where = "" if self.func is None else f" in function {self.func}"
        return f"<use of {self.proposal}: {self.what}{where} at {self.offset:#x}>"


def uses(data: bytes, proposals: frozenset[str] = ALL.enabled) -> dict[str, Use]:
    """Return which of some proposals a module uses, in the order of `PROPOSALS`.

    Raises:
        Malformed, Invalid, LimitExceeded: it cannot be read, or is invalid outside of bodies.
    """
    module = decode(data, ALL)
    validate_module(module)
    found = {use.proposal: use for use in _outside(data, module, sorted(proposals))}
    patterns: Patterns = {}
    for place, body in enumerate(module.bodies, module.num_imported_funcs):
        for name, what, offset in _inside(module.data, body.start, body.end, patterns):
            if name in proposals:
                found.setdefault(name, Use(name, what, offset, place)).funcs.append(place)
    return {name: found[name] for name in PROPOSALS if name in found}


def _outside(data: bytes, module: Module, names: list[str]) -> Iterator[Use]:
    """Give the uses of some proposals outside of bodies; most are used nowhere, so that many are tried at once."""
    if not names:
        return
    try:
        validate_module(decode(data, ALL.excluding(*names)))
    except (Malformed, Invalid) as error:
        if len(names) == 1:
            yield _use(data, module, names[0], error.offset)
        else:
            yield from _outside(data, module, names[: len(names) // 2])
            yield from _outside(data, module, names[len(names) // 2 :])


def _use(data: bytes, module: Module, name: str, offset: int | None) -> Use:
    """Return a use at a byte offset outside of bodies; None is that of the whole section which uses it."""
    if offset is None:
        blamed = _blamed(data, module, name)
        offset = next(start for _, section, start, _ in sections(data) if section == blamed)
    section = next(section for start, section, _, end in sections(data) if start <= offset < end)
    return Use(name, f"{SECTIONS[section]} section", offset)


def _blamed(data: bytes, module: Module, name: str) -> int:
    """Return the number of the section that uses a proposal."""
    if name == "mutable-globals":
        return _IMPORT if any(type_.mutable for type_ in module.globals[: module.num_imported_globals]) else _EXPORT
    section = SECTIONS.index(_SECTIONS_OF[name])
    return section if any(found == section for _, found, _, _ in sections(data)) else _IMPORT


# Bodies


def _inside(data: bytes, pos: int, end: int, patterns: Patterns) -> Iterator[tuple[str, str, int]]:
    """Give each proposal that a body needs, once: its name, what needs it, and at which byte offset."""
    known = _FIRST
    start = pos
    groups, pos = read_u32(data, pos)
    for _ in range(groups):
        _, at = read_u32(data, pos)
        code, pos = read_value_type(data, at)
        for name in proposals_of(code) - known:
            known |= {name}
            yield name, f"a local of type {type_name(code)}", at
    while (pos := _skipped(data, pos, end, known, patterns)) < end:
        row, after = read_opcode(data, pos)
        flags = data[after] if after < end else 0
        value, after = READERS[row.immediates](data, after)
        for name, what in _needs(row, value, flags):
            if name not in known:
                known |= {name}
                yield name, what, pos
        pos = after
    if pos > end:
        raise Malformed("unexpected end of function body", start)


def _skipped(data: bytes, pos: int, end: int, known: frozenset[str], patterns: Patterns) -> int:
    """Return the position after what needs nothing but known proposals."""
    pattern = patterns.get(known)
    if pattern is None:
        pattern = patterns[known] = _plain(known) if len(patterns) < _MOST_PATTERNS else patterns[_FIRST]
    found = pattern.match(data, pos, end)
    assert found is not None  # it may be empty
    return found.end()


def _plain(known: frozenset[str]) -> re.Pattern[bytes]:
    """Return the pattern of a run of instructions of known proposals whose immediates need nothing further."""
    forms: dict[bytes, list[bytes]] = {}
    for row in ROWS:
        if row.proposal in known and row.immediates in _FORMS:
            forms.setdefault(_FORMS[row.immediates], []).append(_opcode_pattern(row.code))
    codes = [code for code in TYPE_CODES.values() if proposals_of(code) <= known]
    forms[b"[" + b"".join(map(re.escape, map(_byte, (EMPTY, *codes)))) + b"]"] = [
        _opcode_pattern(row.code) for row in ROWS if row.proposal in known and row.immediates == kinds.BLOCK
    ]
    runs = [b"(?:" + b"|".join(opcodes) + b")" + form for form, opcodes in forms.items() if opcodes]
    return re.compile(b"(?:" + b"|".join(runs) + b")*+", re.DOTALL)


def _opcode_pattern(code: int) -> bytes:
    """Return the pattern of an opcode in its shortest form."""
    if code < 0x100:
        return re.escape(_byte(code))
    out = bytearray((code >> 8 & 0xFF,))
    write_unsigned(out, subcode(code))
    return re.escape(bytes(out))


def _byte(code: int) -> bytes:
    return bytes((code,))


def _needs(row: Opcode, value: Immediate, flags: int) -> Iterator[tuple[str, str]]:
    """Give the proposals that an instruction needs by itself and by its immediates, and what it is that needs them."""
    yield row.proposal, row.text
    if flags & MEMORY_INDEX_FLAG and row.immediates in (kinds.MEMARG, kinds.MEMARG_LANE):
        yield "multi-memory", f"the memory index of {row.text}"
    if row.immediates in (kinds.BLOCK, kinds.TRY_TABLE):
        block = number(value) if row.immediates == kinds.BLOCK else block_and_clauses(value)[0]
        if block >= 0:
            yield "multi-value", f"the type of {row.text}"
        codes: Types = () if block >= 0 or ~block == EMPTY else (~block,)
    else:
        codes = _types(row.immediates, value)
    for code in codes:
        for name in sorted(proposals_of(code)):
            yield name, f"the type {type_name(code)} of {row.text}"


def _types(kind: int, value: Immediate) -> Types:
    """Return the value types among immediates."""
    if kind == kinds.HEAPTYPE:
        return (number(value),)
    if kind == kinds.SELECT_TYPES:
        return numbers(value)
    return numbers(value)[1:] if kind == kinds.CAST else ()
