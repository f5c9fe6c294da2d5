"""Rows of the table of IR operations: atomic accesses, with the columns that `ops.py` describes. Floor 2.

One operation for each kind of access and each width; of operands that are wider the low bytes count. The accesses of an i64 to
fewer bytes are those of an i32, wrapped and extended, and `sub` is `add` of 0 minus the value. The address is a multiple of the
bytes accessed: the builder emits a `trapif` in front where that is not certain.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TABLE"]

TABLE: Final = """
# name                    result  flags  meaning
i32_atomic_load           i       ro     4 bytes at the address
i32_atomic_load8_u        i       ro     1 byte at the address, zero-extended
i32_atomic_load16_u       i       ro     2 bytes at the address, zero-extended
i64_atomic_load           l       ro     8 bytes at the address
i32_atomic_store          -       wo     store 4 bytes at the address
i32_atomic_store8         -       wo     store the low byte of the value at the address
i32_atomic_store16        -       wo     store the low 2 bytes of the value at the address
i64_atomic_store          -       wo     store 8 bytes at the address
i32_atomic_rmw_add        i       rwo    4 bytes at the address; there is then that plus the value
i32_atomic_rmw8_add       i       rwo    1 byte at the address, zero-extended; there is then that plus the value
i32_atomic_rmw16_add      i       rwo    2 bytes at the address, zero-extended; there is then that plus the value
i64_atomic_rmw_add        l       rwo    8 bytes at the address; there is then that plus the value
i32_atomic_rmw_and        i       rwo    4 bytes at the address; there is then that and the value, bitwise
i32_atomic_rmw8_and       i       rwo    1 byte at the address, zero-extended; there is then that and the value, bitwise
i32_atomic_rmw16_and      i       rwo    2 bytes at the address, zero-extended; there is then that and the value, bitwise
i64_atomic_rmw_and        l       rwo    8 bytes at the address; there is then that and the value, bitwise
i32_atomic_rmw_or         i       rwo    4 bytes at the address; there is then that or the value, bitwise
i32_atomic_rmw8_or        i       rwo    1 byte at the address, zero-extended; there is then that or the value, bitwise
i32_atomic_rmw16_or       i       rwo    2 bytes at the address, zero-extended; there is then that or the value, bitwise
i64_atomic_rmw_or         l       rwo    8 bytes at the address; there is then that or the value, bitwise
i32_atomic_rmw_xor        i       rwo    4 bytes at the address; there is then that exclusive or the value
i32_atomic_rmw8_xor       i       rwo    1 byte at the address, zero-extended; there is then that exclusive or the value
i32_atomic_rmw16_xor      i       rwo    2 bytes at the address, zero-extended; there is then that exclusive or the value
i64_atomic_rmw_xor        l       rwo    8 bytes at the address; there is then that exclusive or the value
i32_atomic_rmw_xchg       i       rwo    4 bytes at the address; the value is there then
i32_atomic_rmw8_xchg      i       rwo    1 byte at the address, zero-extended; the value is there then
i32_atomic_rmw16_xchg     i       rwo    2 bytes at the address, zero-extended; the value is there then
i64_atomic_rmw_xchg       l       rwo    8 bytes at the address; the value is there then
i32_atomic_rmw_cmpxchg    i       rwo    4 bytes at the address; where it is as expected, then the replacement
i32_atomic_rmw8_cmpxchg   i       rwo    1 byte at the address, zero-extended; where it is as expected, then the replacement
i32_atomic_rmw16_cmpxchg  i       rwo    2 bytes at the address, zero-extended; where it is as expected, then the replacement
i64_atomic_rmw_cmpxchg    l       rwo    8 bytes at the address; where it is as expected, then the replacement
"""
