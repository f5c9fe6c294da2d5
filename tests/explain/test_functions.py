"""The list of functions, and finding one by what a user calls it."""

from __future__ import annotations

import pytest

from figwasp.explain import UnknownFunction, find, functions
from tests.explain.programs import MIXED, module_of

NAMES = """(module
  (func $a (export "b"))
  (func $b (export "3"))
  (func $same) (func $other)
  (func (export "$money"))
  (start $other))"""


def test_listing() -> None:
    rows = functions(module_of(MIXED))
    assert [row.index for row in rows] == list(range(6))
    assert [row.name for row in rows] == ["$log", "$quotient", "$scale", "$outside", "$pick", "$keep"]
    assert rows[0].size is None
    assert rows[0].roles == ['import "env" "log"']
    assert rows[1].roles == ['export "divide"']
    assert rows[1].type == "(i64, i64) -> i64"
    module = module_of(MIXED)
    assert [row.size for row in rows[1:]] == [
        module.body(index).end - module.body(index).start for index in range(1, 6)
    ]
    assert str(rows[0]) == '     0          (i32) -> ()                     $log  import "env" "log"'


def test_roles() -> None:
    rows = functions(module_of(NAMES))
    assert rows[3].roles == ["start"]
    assert rows[4].name == ""
    assert rows[4].roles == ['export "$money"']


@pytest.mark.parametrize(
    ("word", "index"),
    [
        ("0", 0), ("04", 4), ("a", 0), ("$a", 0),
        ("b", 0),  # exports go before names
        ("$same", 2), ("$money", 4), ("3", 3), ("$3", 1),
    ],
)  # fmt: skip
def test_find(word: str, index: int) -> None:
    assert find(module_of(NAMES), word) == index


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("5", "no function 5: the module has 5"),
        ("9" * 5000, "no function 99999999999999999999: the module has 5"),
        ("sane", 'no function "sane"; did you mean "same"?'),
        ("oth", 'no function "oth"; did you mean "other"?'),
        ("mone", 'no function "mone"; did you mean "$money"?'),
        ("zzz", 'no function "zzz"'),
        ("", 'no function ""'),
        ("-1", 'no function "-1"'),
    ],
)
def test_not_found(word: str, message: str) -> None:
    with pytest.raises(UnknownFunction) as caught:
        find(module_of(NAMES), word)
    assert str(caught.value) == message


def test_a_name_that_several_have() -> None:
    module = module_of(NAMES)
    module.names.funcs.update({2: "twin", 3: "twin", 99: "twin", 100: "ghost"})
    with pytest.raises(UnknownFunction, match='^2 functions are named "twin": give an index: 2, 3$'):
        find(module, "twin")
    with pytest.raises(UnknownFunction, match='^no function "ghost"'):
        find(module, "ghost")
    assert len(functions(module)) == 5
