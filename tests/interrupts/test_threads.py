"""Another thread at every line of an operation: both end right or as is documented, and what they share is whole."""

from __future__ import annotations

import random
import sys
from functools import partial

import pytest

from tests.interrupts.threads import ALL, SEED, everywhere, somewhere
from tests.interrupts.world import OPERATIONS, World

PAIRS = [
    ("load_again", "load_again"), ("load_again", "first_call"), ("load_linked", "close"), ("load_linked", "link_one_two"),
    ("link_one_two", "link_one_two"), ("link_one_two", "link_two_one"), ("link_one_two", "link_two_three"),
    ("link_two_three", "link_three_one"), ("link_one_two", "pass_back"), ("link_one_two", "table_set"),
    ("link_one_two", "acall"), ("link_one_two", "global_object"), ("link_two_three", "link_three_two"), ("pass_foreign", "pass_back"),
    ("pass_foreign", "link_three_one"), ("pass_foreign", "call_back"), ("table_foreign", "link_three_one"),
    ("global_foreign", "link_two_one"), ("first_call", "first_call"), ("first_call", "first_call_elsewhere"),
    ("call_back", "call"), ("echo", "echo"), ("memory_grow", "wasm_memory_grow"), ("memory_grow", "memory_grow"),
    ("table_grow", "grow_objects"), ("grow_functions", "table_function"), ("table_item", "table_read"),
    ("table_item", "table_set"), ("table_read", "table_fill"), ("global_object", "global_wasm"), ("global_object", "echo"),
    ("close", "use_closing"), ("close", "close"), ("drop", "load_linked"), ("drop", "link_one_two"), ("new_types", "new_types"),
    ("load_limited", "load_limited"), ("fuel_burn", "fuel_set"), ("acall", "acall_resume"), ("acall_linked", "time_out"),
]  # fmt: skip
"""Those whose operations share most: the second one is done at every line of the first."""


def test_there_are_forty() -> None:
    assert len({*PAIRS}) == 40
    assert {name for pair in PAIRS for name in pair} <= {*OPERATIONS}


def try_pair(one: str, two: str, share: float, times: int) -> None:
    """Do one operation between the lines of another: at a share of them, and so many times at any."""
    arguments = partial(World, one, two), OPERATIONS[one], OPERATIONS[two], World.check, f"{SEED} {one} {two}"
    if share:
        everywhere(*arguments, share)
    somewhere(*arguments, times)


@pytest.mark.skipif(not ALL, reason="all lines are for `make interrupts`")
@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_pairs(one: str, two: str) -> None:
    try_pair(one, two, 1.0, 200)


def test_a_suspended_call_ends_while_its_store_is_taken_in() -> None:
    """Whoever ends it does so in the store that it has come to belong to."""
    try_pair("acall_cancel", "link_two_one", 1.0, 0)


@pytest.mark.parametrize("one", OPERATIONS)
def test_operations(one: str) -> None:
    """The other operations, at a tenth of the lines of this one; without FIGWASP_INTERRUPTS=all two of them, at some lines each."""
    others = [two for two in OPERATIONS if (one, two) not in PAIRS or not ALL]
    for two in others if ALL else random.Random(f"{SEED} {one}").sample(others, 2):
        print(f"{one}, {two}", file=sys.stderr)
        try_pair(one, two, 0.1 if ALL else 0, 6)
