"""The table of installed code: found by address, whatever is added and removed at the same time."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from figwasp.codegen.code import Code
from figwasp.runtime.code.ranges import CodeRange, CodeTable


def placed(start: int, size: int) -> CodeRange:
    code = Code("f", 0)
    code.data = bytes(size)
    return CodeRange(start, len(code.data), code, None)


@pytest.mark.parametrize(("start", "size"), [(0, 16), (65520, 16), (65520, 17), (1000, 300_000), (65536, 65536)])
def test_every_address_of_a_function_leads_to_it(start: int, size: int) -> None:
    """Also the one behind its end, to which a call at its end returns; and no other."""
    table = CodeTable()
    before, one, after = placed(max(start - 64, 0), 16), placed(start, size), placed(start + size + 16, 16)
    for other in [after, one] if start == 0 else [after, before, one]:
        table.add(other)
    for pc in {start, start + 1, start + size // 2, start + size - 1, start + size, (start + size) & ~0xFFFF}:
        if start <= pc <= start + size:
            assert table.find(pc) is one
    assert table.find(start + size + 1) is None and table.find(start + size + 40) is None
    table.remove([one])
    table.remove([one])
    assert table.find(start + size - 1) is None and table.find(after.start) is after


def test_threads_add_and_remove() -> None:
    """What is there all the time is found all the time."""
    table = CodeTable()
    kept = [placed(at << 12, 32) for at in range(0, 512, 8)]
    for one in kept:
        table.add(one)

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(300):
            mine = [placed((at << 12) + 64 * number, 48) for at in chance.sample(range(512), 8)]
            for one in mine:
                table.add(one)
            assert all(table.find(one.start + 8) is one for one in mine)
            assert all(table.find(one.start + 32) is one for one in chance.sample(kept, 8))
            table.remove(mine)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(1, 5)))
    finally:
        sys.setswitchinterval(before)
    assert [table.find(at << 12) for at in range(0, 512, 8)] == kept
