"""Hostile sections: counts, sizes, integers, names and types. Rows as in `hostile.py`; everything outside of bodies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from figwasp.wasm.syntax import limits
from tests.wasm.handmade import binary, entry, func_type, s, section, u, vec

Row = tuple[str, Callable[[], bytes | str], str]

MOST: Final = 2**32 - 1
TYPE: Final = func_type()
TYPES: Final = section(1, vec([TYPE]))
FUNCS: Final = section(3, vec([u(0)]))
CODE: Final = section(10, vec([entry(b"\x0b")]))
ZERO: Final = b"\x41\0\x0b"
OVERLONG: Final = b"\x80\x80\x80\x80\x80\0"
"""An integer of one byte too many."""
TOO_LARGE: Final = b"\xff\xff\xff\xff\x1f"
"""An integer of 33 bits."""


def sized(number: int, size: int, content: bytes = b"") -> bytes:
    """Encode a section that says another size than it has."""
    return bytes((number,)) + u(size) + content


# Counts

_COUNTS: Final = {
    1: ("types", limits.MAX_ITEMS),
    2: ("imports", limits.MAX_ITEMS),
    3: ("functions", limits.MAX_ITEMS),
    4: ("tables", limits.MAX_TABLES),
    5: ("memories", limits.MAX_MEMORIES),
    6: ("globals", limits.MAX_ITEMS),
    7: ("exports", limits.MAX_ITEMS),
    9: ("element segments", limits.MAX_ELEMS),
    10: ("bodies", limits.MAX_ITEMS),
    11: ("data segments", limits.MAX_DATAS),
    13: ("tags", limits.MAX_ITEMS),
}

_VECTORS: Final[list[tuple[str, bytes, str]]] = [
    ("recursion group of 4294967295", section(1, b"\1\x4e" + u(MOST)), "LimitExceeded: types"),
    ("recursion group of more than is there", section(1, b"\1\x4e" + u(999_999) + TYPE), "Malformed: unexpected end"),
    ("4294967295 fields", section(1, b"\1\x5f" + u(MOST)), "LimitExceeded: fields"),
    ("10,000 fields that are not there", section(1, b"\1\x5f" + u(10_000)), "Malformed: unexpected end"),
    ("4294967295 supertypes", section(1, b"\1\x50" + u(MOST)), "LimitExceeded: supertypes"),
    ("4294967295 parameters", section(1, b"\1\x60" + u(MOST)), "LimitExceeded: parameters"),
    ("4294967295 results", section(1, b"\1\x60\0" + u(MOST)), "LimitExceeded: results"),
    ("4294967295 elements", section(9, b"\1\1\0" + u(MOST)), "LimitExceeded: elements"),
    ("10,000,000 elements that are not there", section(9, b"\1\1\0" + u(10_000_000)), "Malformed: unexpected end"),
    ("10,000,000 expressions that are not there", section(9, b"\1\5\x70" + u(10_000_000)), "Malformed: unexpected end"),
    ("body of 4 GiB", TYPES + FUNCS + section(10, b"\1" + u(MOST)), "LimitExceeded: body"),
    ("body beyond its section", TYPES + FUNCS + section(10, b"\1" + u(1000) + b"\0\x0b"), "Malformed: function body goes beyond"),
    ("data of 4 GiB", section(11, b"\1\1" + u(MOST)), "Malformed: unexpected end"),
    ("data count of 4 Gi", section(12, u(MOST)), "Malformed: inconsistent"),
    ("import's name of 4 GiB", section(2, b"\1" + u(MOST) + b"a"), "Malformed: unexpected end"),
    ("export's name of 4 GiB", section(7, b"\1" + u(MOST) + b"a"), "Malformed: unexpected end"),
    ("custom section's name of 4 GiB", section(0, u(MOST) + b"a"), "Malformed: unexpected end"),
    ("name that goes on into the next section", section(0, u(5) + b"a") + TYPES, "Malformed: unexpected end"),
    ("section of 4 GiB", sized(1, MOST), "Malformed: length out of bounds"),
    ("custom section of 4 GiB", sized(0, MOST, b"\0"), "Malformed: length out of bounds"),
    ("section longer than what is in it", sized(1, 5, vec([TYPE]) + b"\0"), "Malformed: section size mismatch"),
    ("section shorter than what is in it", sized(1, 3, vec([TYPE])), "Malformed: unexpected end"),
    ("type section twice", TYPES + TYPES, "Malformed: unexpected content"),
    ("sections the other way round", CODE + FUNCS + TYPES, "Malformed"),
    ("tag section after the globals", section(6, b"\0") + section(13, b"\0"), "Malformed: unexpected content"),
    ("data count after the code", TYPES + FUNCS + CODE + section(12, b"\0"), "Malformed: unexpected content"),
    ("section 14", sized(14, 0), "Malformed: malformed section id"),
    ("section 255", sized(255, 0), "Malformed: malformed section id"),
    ("4 Gi functions' index", TYPES + section(3, vec([u(MOST)])) + CODE, "Invalid: unknown type"),
    ("reference to type 4294967295", section(1, vec([func_type(b"")[:1] + b"\1\x64" + s(MOST) + b"\0"])), "Invalid: unknown type"),
    ("a type that is its own supertype", section(1, vec([b"\x50\1\0" + TYPE])), "Invalid"),
    ("a type that has 100 supertypes", section(1, vec([b"\x50\0" + TYPE, b"\x50" + u(100) + b"\0" * 100 + TYPE])), "Invalid"),
    ("start function 4294967295", section(8, u(MOST)), "Invalid: unknown function"),
    ("export of function 4294967295", section(7, vec([b"\1a\0" + u(MOST)])), "Invalid: unknown function"),
    ("tag of type 4294967295", section(13, vec([b"\0" + u(MOST)])), "Invalid: unknown type"),
    ("memory of 2^64 - 1 pages", section(5, b"\1\4" + u(2**64 - 1)), "Invalid"),
    ("memory of 2^64 pages", section(5, b"\1\4" + b"\x80" * 9 + b"\2"), "Malformed: integer too large"),
    ("memory of 32 bits of 2^64 - 1 pages", section(5, b"\1\0" + u(2**64 - 1)), "Invalid"),
    ("memory of 2^48 pages", section(5, b"\1\4" + u(2**48)), "ok"),
    ("memory whose maximum is below its minimum", section(5, b"\1\5" + u(2**48) + b"\0"), "Invalid: size minimum"),
    ("memory of pages of 2^64 bytes", section(5, b"\1\x08\1\x40"), "Invalid"),
    ("memory of pages of 2^4294967295 bytes", section(5, b"\1\x08\1" + u(MOST)), "Malformed: page size"),
    ("table of 2^64 - 1 elements", section(4, b"\1\x70\4" + u(2**64 - 1)), "ok"),
    ("table of 32 bits of 2^64 - 1 elements", section(4, b"\1\x70\0" + u(2**64 - 1)), "Invalid"),
]
"""Name, sections, outcome."""

# Integers that are too long, or too large, where the section stands that a row makes from one

_INTEGERS: Final[list[tuple[str, Callable[[bytes], bytes]]]] = [
    ("size of a section", lambda n: b"\1" + n),
    ("count of types", lambda n: section(1, n)),
    ("size of a group", lambda n: section(1, b"\1\x4e" + n)),
    ("supertype", lambda n: section(1, b"\1\x50\1" + n + TYPE)),
    ("count of parameters", lambda n: section(1, b"\1\x60" + n)),
    ("type index in an import", lambda n: section(2, b"\1\0\0\0" + n)),
    ("length of a name", lambda n: section(2, b"\1" + n)),
    ("type index of a function", lambda n: section(3, b"\1" + n)),
    ("type index of a tag", lambda n: section(13, b"\1\0" + n)),
    ("page size", lambda n: section(5, b"\1\x08\0" + n)),
    ("index in an export", lambda n: section(7, b"\1\0\0" + n)),
    ("start function", lambda n: section(8, n)),
    ("flags of an element segment", lambda n: section(9, b"\1" + n)),
    ("function index in an element segment", lambda n: section(9, b"\1\1\0\1" + n)),
    ("table of an element segment", lambda n: section(9, b"\1\2" + n)),
    ("data count", lambda n: section(12, n)),
    ("size of a body", lambda n: section(10, b"\1" + n)),
    ("flags of a data segment", lambda n: section(11, b"\1" + n)),
    ("memory of a data segment", lambda n: section(11, b"\1\2" + n)),
    ("size of data", lambda n: section(11, b"\1\1" + n)),
    ("sub-opcode in a constant expression", lambda n: section(6, b"\1\x7f\0\xfb" + n)),
    ("index in a constant expression", lambda n: section(6, b"\1\x7f\0\x23" + n)),
]


def _integer_rows() -> list[Row]:
    rows: list[Row] = []
    for name, make in _INTEGERS:
        rows.append((f"over-long {name}", partial(binary, make(OVERLONG)), "Malformed: integer representation too long"))
        rows.append((f"too large {name}", partial(binary, make(TOO_LARGE)), "Malformed: integer too large"))
    return rows


def _count_rows() -> list[Row]:
    rows: list[Row] = []
    for number, (what, most) in _COUNTS.items():
        rows.append((f"4294967295 {what}", partial(binary, section(number, u(MOST))), f"LimitExceeded: {what}"))
        rows.append((f"{most} {what} that are not there", partial(binary, section(number, u(most))), "Malformed: unexpected end"))
    return rows


# Much of one thing


def _struct(fields: bytes, count: int) -> bytes:
    return b"\x5f" + u(count) + fields


def _chain(n: int, refer: Callable[[int], bytes]) -> bytes:
    """Return `n` types each made from the one before."""
    return binary(section(1, u(n) + TYPE + b"".join(map(refer, range(n - 1)))))


def twice(n: int) -> bytes:
    """A chain of types each of which refers twice to the one before: as a tree it has 2^n leaves."""
    return _chain(n, lambda k: b"\x60\2" + (b"\x64" + s(k)) * 2 + b"\0")


def twice_in_two_groups(n: int) -> bytes:
    """Two such chains that are equal type by type, and a function that wants one and gets the other."""

    def chain(start: int) -> bytes:
        refer = [b"\x60\2" + (b"\x64" + s(start + k)) * 2 + b"\0" for k in range(n - 1)]
        return TYPE + b"".join(refer)

    types = section(1, u(2 * n) + chain(0) + chain(n))
    ref = section(6, vec([b"\x64" + s(2 * n - 1) + b"\0\xd2\0\x0b"]))
    return binary(types, section(3, vec([u(n - 1)])), ref, section(10, vec([entry(b"\x0b")])))


def subtypes(n: int, every: int) -> bytes:
    """Types each of which is a subtype of the one before, but for every so-manieth."""
    return binary(section(1, u(n) + b"".join(b"\x50\0" + TYPE if k % every == 0 else b"\x50\1" + u(k - 1) + TYPE for k in range(n))))


def wide_subtypes(n: int, fields: int) -> bytes:
    """Structures of many fields, each a subtype of the one before, at most 60 deep."""
    struct = _struct(b"\x6d\0" * fields, fields)
    return binary(section(1, u(n) + b"".join((b"\x50\0" if k % 60 == 0 else b"\x50\1" + u(k - 1)) + struct for k in range(n))))


def groups_alike(n: int, size: int) -> bytes:
    """Equal recursion groups."""
    group = [b"\x4e" + u(size) + b"".join(b"\x5f\1\x63" + s(start + (k + 1) % size) + b"\0" for k in range(size)) for start in range(0, n * size, size)]
    return binary(section(1, vec(group)))


def one_group(n: int) -> bytes:
    """One recursion group whose types refer to each other."""
    return binary(section(1, b"\1\x4e" + u(n) + b"".join(b"\x5f\1\x63" + s(n - 1 - k) + b"\0" for k in range(n))))


def names(kind: int, content: bytes) -> bytes:
    """A module with one function and a name section."""
    return binary(TYPES, FUNCS, CODE, section(0, b"\4name" + bytes((kind,)) + u(len(content)) + content))


def name_map(n: int) -> bytes:
    return u(n) + b"".join(u(k) + b"\3abc" for k in range(n))


def elements(n: int, distinct: bool) -> bytes:
    items = b"".join(map(u, range(n))) if distinct else b"\0" * n
    return binary(TYPES, FUNCS, section(9, b"\1\1\0" + u(n) + items), CODE)


def segments(n: int) -> bytes:
    return binary(section(9, u(n) + b"\1\0\0" * n))


def expression(n: int) -> bytes:
    """A global that starts as the sum of `n` numbers."""
    return binary(section(6, vec([b"\x7f\0" + b"\x41\0" * n + b"\x6a" * (n - 1) + b"\x0b"])))


def deep_expressions(count: int, n: int) -> bytes:
    """Globals each of which starts as a sum."""
    return binary(section(6, vec([b"\x7f\0" + b"\x41\0" * n + b"\x6a" * (n - 1) + b"\x0b"] * count)))


def fixed_array(n: int) -> bytes:
    """An array in a constant expression that says it has `n` elements."""
    return binary(section(1, vec([b"\x5e\x7f\0"])), section(6, vec([b"\x64\0\0\x41\0\xfb\x08\0" + u(n) + b"\x0b"])))


_MUCH: Final[list[Row]] = [
    ("200,000 types", lambda: binary(section(1, u(200_000) + TYPE * 200_000)), "ok"),
    ("2,000 types of 1,000 parameters", lambda: binary(section(1, vec([func_type(b"\x7f" * 1000)] * 2000))), "ok"),
    ("200 structures of 10,000 fields", lambda: binary(section(1, vec([_struct(b"\x7f\0" * 10_000, 10_000)] * 200))), "ok"),
    ("recursion group of 1,000,000", lambda: one_group(10**6), "ok"),
    ("200,000 empty recursion groups", lambda: binary(section(1, u(200_000) + b"\x4e\0" * 200_000)), "ok"),
    ("3,000 equal recursion groups", lambda: groups_alike(3000, 30), "ok"),
    ("50,000 types that refer twice to the one before", lambda: twice(50_000), "ok"),
    ("two equal chains of these", lambda: twice_in_two_groups(20_000), "ok"),
    ("200,000 types, each a subtype of the one before", lambda: subtypes(200_000, 200_000), "LimitExceeded: supertypes"),
    ("100,000 subtypes at most 63 deep", lambda: subtypes(100_000, 64), "ok"),
    ("120 structures of 10,000 fields, subtypes of one another", lambda: wide_subtypes(120, 10_000), "ok"),
    ("50,000 imports", lambda: binary(TYPES, section(2, u(50_000) + b"\1m\1f\0\0" * 50_000)), "ok"),
    ("1,000,000 functions without bodies", lambda: binary(TYPES, section(3, u(10**6) + b"\0" * 10**6)), "Malformed: inconsistent"),
    ("50,000 functions", lambda: binary(TYPES, section(3, u(50_000) + b"\0" * 50_000), section(10, u(50_000) + b"\2\0\x0b" * 50_000)), "ok"),
    ("100,000 tables", lambda: binary(section(4, u(100_000) + b"\x70\0\0" * 100_000)), "ok"),
    ("50,000 tags", lambda: binary(TYPES, section(13, u(50_000) + b"\0\0" * 50_000)), "ok"),
    ("50,000 globals", lambda: binary(section(6, u(50_000) + b"\x7f\0\x41\0\x0b" * 50_000)), "ok"),
    ("50,000 exports of one name", lambda: binary(TYPES, FUNCS, section(7, u(50_000) + b"\1a\0\0" * 50_000), CODE), "Invalid: duplicate export"),
    ("exports of long names", lambda: binary(TYPES, FUNCS, section(7, vec([u(10**6) + b"%06d" % k + b"a" * 999_994 + b"\0\0" for k in range(50)])), CODE), "ok"),
    ("10,000,000 elements", lambda: elements(10**7, distinct=False), "ok"),
    ("1,000,001 different elements", lambda: elements(1_000_001, distinct=True), "LimitExceeded: different element"),
    ("200,000 element segments", lambda: segments(200_000), "ok"),
    ("100,000 data segments", lambda: binary(section(12, u(100_000)), section(11, u(100_000) + b"\1\0" * 100_000)), "ok"),
    ("200,000 custom sections", lambda: binary(section(0, b"\0") * 200_000), "ok"),
    ("custom section of 100 MB", lambda: binary(section(0, b"\1a" + bytes(10**8))), "ok"),
    ("names of 500,000 functions", lambda: names(1, name_map(500_000)), "ok"),
    ("4294967295 names", lambda: names(1, u(MOST) + b"\0\1a"), "ok"),
    ("names of 4294967295 functions' locals", lambda: names(2, u(MOST) + b"\0\0"), "ok"),
    ("names of 50,000 functions' locals", lambda: names(2, u(50_000) + b"".join(u(k) + b"\1\0\1a" for k in range(50_000))), "ok"),
    ("a name of 4 GiB in the name section", lambda: names(0, u(MOST) + b"a"), "ok"),
    ("a name of 20 MB in the name section", lambda: names(0, u(2 * 10**7) + b"a" * (2 * 10**7)), "ok"),
    ("a name that is not UTF-8 in the name section", lambda: names(0, b"\2\xff\xfe"), "ok"),
    ("100,000 empty subsections of names", lambda: binary(section(0, b"\4name" + b"\1\0" * 100_000)), "ok"),
    ("constant expression of 5,000 numbers", lambda: expression(5000), "ok"),
    ("constant expression of 5,001 numbers", lambda: expression(5001), "LimitExceeded: constant expression"),
    ("30 constant expressions of 5,000 numbers", lambda: deep_expressions(30, 5000), "ok"),
    ("constant expression without end", lambda: binary(section(6, b"\1\x7f\0" + b"\x41\0" * 4000)), "Malformed: unexpected end"),
    ("constant expression of 9,000 nested blocks", lambda: binary(section(6, vec([b"\x7f\0" + b"\x02\x40" * 4000 + b"\x0b" * 4001]))), "Invalid: constant expression required"),
    ("array.new_fixed of 4294967295", lambda: fixed_array(MOST), "LimitExceeded"),
    ("array.new_fixed of 10,000 with one operand", lambda: fixed_array(10_000), "Invalid"),
    ("names that are not UTF-8", lambda: binary(section(2, b"\1\1\xff\0\0\0")), "Malformed: malformed UTF-8"),
    ("names of surrogates", lambda: binary(section(7, b"\1\3\xed\xa0\x80\0\0")), "Malformed: malformed UTF-8"),
    ("custom section named in over-long UTF-8", lambda: binary(section(0, b"\2\xc0\x80")), "Malformed: malformed UTF-8"),
    ("nothing", lambda: b"", "Malformed: unexpected end"),
    ("a header and a half", lambda: binary(b"\0asm"), "Malformed"),
    ("20 MB of zeros", lambda: bytes(2 * 10**7), "Malformed: magic header"),
    ("20 MB of zeros after the header", lambda: binary(bytes(2 * 10**7)), "Malformed"),
]  # fmt: skip

TABLE: Final[list[Row]] = [
    *[(name, partial(binary, sections), outcome) for name, sections, outcome in _VECTORS],
    *_count_rows(),
    *_integer_rows(),
    *_MUCH,
]
