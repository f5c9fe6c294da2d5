"""Joining stores is stopped at every line: afterwards they are two or one, and both usable, also from another thread."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.interrupts.lines import stop_everywhere
from tests.interrupts.threads import trace
from tests.interrupts.world import OPERATIONS, World

JOINING = ("link_one_two", "link_two_three", "pass_foreign", "pass_back", "table_foreign", "global_foreign")


def check(world: World) -> None:
    """The world is whole, and another thread finds it whole."""
    world.check()
    trace(world.check, lambda *_: None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # some lines are those of finalizers
@pytest.mark.parametrize("name", JOINING)
def test_joining(name: str) -> None:
    def prepare() -> Any:
        world = World(name)
        world.one.put(0, world.things[0])
        world.two.put(1, world.things[1])
        return world

    assert stop_everywhere(prepare, OPERATIONS[name], check, 0.03) > 100


def test_a_chain_that_joins_stores_goes_on() -> None:
    """Joining is stopped in a host function, with a call running in each of the stores, which end well."""
    stop = partial(stop_everywhere, World, _join_from_within, check, 0.05)
    assert stop() > 200


def _join_from_within(world: World) -> None:
    def inner() -> None:
        OPERATIONS["link_two_three"](world)

    world.inside.append(lambda: _call(world, inner))
    assert world.two.round(5) == 6


def _call(world: World, inner: Any) -> None:
    world.inside.append(inner)
    assert world.three.round(5) == 6
