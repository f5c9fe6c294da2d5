"""Named tuples that are made without `typing`: they are what `typing.NamedTuple` makes of the same class."""

from __future__ import annotations

import copy
import pickle
import typing

import pytest

from figwasp.records import NamedTuple


class Ours(NamedTuple):
    """Some record."""

    name: str
    size: int = 7
    made: typing.Callable[[str], object] = str

    @property
    def twice(self) -> int:
        """Twice the size."""
        return 2 * self.size


class Theirs(typing.NamedTuple):
    """Some record."""

    name: str
    size: int = 7
    made: typing.Callable[[str], object] = str

    @property
    def twice(self) -> int:
        """Twice the size."""
        return 2 * self.size


def test_alike() -> None:
    for name in ("__doc__", "__module__", "_fields", "_field_defaults", "__match_args__"):
        assert getattr(Ours, name) == getattr(Theirs, name), name
    one, other = Ours("a", 3), Theirs("a", 3)
    assert tuple(one) == tuple(other) and repr(one) == repr(other).replace("Theirs", "Ours")
    assert (one.name, one.size, one.made, one.twice) == ("a", 3, str, 6)
    assert one._replace(size=5).twice == 10 and type(one._replace(size=5)) is Ours
    assert Ours(name="b").size == 7 and hash(one) == hash(other)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        Ours()  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        one.size = 4  # type: ignore[misc]
    with pytest.raises(AttributeError):
        one.other = 4  # type: ignore[attr-defined]


def test_pickled_and_copied() -> None:
    one = Ours("a", made=int)
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert again == one and type(again) is Ours
