"""Floor 1: what later proposals add to the text format, by name, so that an error can say which one is missing.

In: a keyword that no production accepts, or the message of an error. Out: the name of the feature that has no support yet.
Whoever adds a proposal takes its row out; a test holds the table against what the parser knows.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["NAMES", "feature_of", "missing_feature", "no_support"]

# A name that ends in "*" stands for all names that begin so and end in one more word.
_TABLE: Final = """
tail calls                      return_call return_call_indirect
typed function references       ref call_ref return_call_ref ref.as_non_null br_on_null br_on_non_null
garbage collection              rec sub final field struct.* array.* i31.* ref.i31 ref.eq ref.test ref.cast br_on_cast
                                br_on_cast_fail any.convert_extern extern.convert_any any eq i31 struct array none nofunc
                                noextern anyref eqref i31ref structref arrayref nullref nullfuncref nullexternref
exception handling              tag try_table throw throw_ref catch catch_ref catch_all catch_all_ref exn noexn exnref
                                nullexnref try delegate rethrow
relaxed SIMD                    i8x16.relaxed_swizzle i32x4.relaxed_trunc_f32x4_s i32x4.relaxed_trunc_f32x4_u
                                i32x4.relaxed_trunc_f64x2_s_zero i32x4.relaxed_trunc_f64x2_u_zero f32x4.relaxed_madd
                                f32x4.relaxed_nmadd f64x2.relaxed_madd f64x2.relaxed_nmadd i8x16.relaxed_laneselect
                                i16x8.relaxed_laneselect i32x4.relaxed_laneselect i64x2.relaxed_laneselect f32x4.relaxed_min
                                f32x4.relaxed_max f64x2.relaxed_min f64x2.relaxed_max i16x8.relaxed_q15mulr_s
                                i16x8.relaxed_dot_i8x16_i7x16_s i32x4.relaxed_dot_i8x16_i7x16_add_s
SIMD                            v128 v128.* i8x16.* i16x8.* i32x4.* i64x2.* f32x4.* f64x2.*
threads                         shared atomic.fence memory.atomic.* i32.atomic.* i64.atomic.*
custom page sizes               pagesize
wide arithmetic                 i64.add128 i64.sub128 i64.mul_wide_s i64.mul_wide_u
"""

_SUPPORT: Final = re.compile(r": no support for (.+?) yet")


def _parse(table: str) -> dict[str, str]:
    names: dict[str, str] = {}
    feature = ""
    for line in table.split("\n"):
        feature = line[:32].strip() or feature
        names.update(dict.fromkeys(line[32:].split(), feature))
    return names


NAMES: Final[dict[str, str]] = _parse(_TABLE)
"""Keyword, or family of keywords that end in "*" -> the feature it belongs to."""


def feature_of(keyword: str) -> str | None:
    """Return the feature without support that a keyword belongs to, or None."""
    if "/" in keyword:  # of the time before Wasm 1.0, as i32.wrap/i64
        return None
    return NAMES.get(keyword) or NAMES.get(keyword[: keyword.rfind(".") + 1] + "*") or _family(keyword)


def _family(keyword: str) -> str | None:
    """Look a keyword of several dots up: i32.atomic.rmw.add."""
    parts = keyword.split(".")
    return NAMES.get(f"{parts[0]}.{parts[1]}.*") if len(parts) > 2 else None


def no_support(feature: str) -> str:
    """Return how a message ends when a feature is missing."""
    return f": no support for {feature} yet"


def missing_feature(message: str) -> str | None:
    """Return the feature that a message ending in `no_support` names, or None."""
    found = _SUPPORT.search(message)
    return found[1] if found else None
