"""Floor 7: `--enable` and `--disable`, which proposals a command is to know. In: the words given. Out: `Features`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from figwasp.features import PROPOSALS, Features

if TYPE_CHECKING:
    import argparse

__all__ = ["DISABLE", "ENABLE", "PROPOSAL", "WrongValue", "add_switches", "chosen", "proposal", "switch_help"]

ENABLE: Final = "--enable"
DISABLE: Final = "--disable"
PROPOSAL: Final = "PROPOSAL"
"""What the help calls the value of the two switches."""


class WrongValue(Exception):
    """A word that is no value of an option."""


def add_switches(parser: argparse.ArgumentParser, on: Features) -> None:
    """Add the two switches to a command.

    Args:
        parser: of the command.
        on: the proposals that are on unless said otherwise.
    """
    for name in (ENABLE, DISABLE):
        parser.add_argument(
            name, action="append", default=[], type=_argument, metavar=PROPOSAL, help=switch_help(name, on)
        )
    parser.set_defaults(base=on)


def switch_help(name: str, on: Features) -> str:
    """Return what one of the two switches does."""
    if name == DISABLE:
        return "switch a proposal off; may be repeated"
    off = ", ".join(name for name in PROPOSALS if name not in on) or "none"
    return f"switch a proposal on; may be repeated (off by default: {off})"


def chosen(options: argparse.Namespace) -> Features:
    """Return the proposals that the words asked for."""
    base: Features = options.base
    return base.including(*options.enable).excluding(*options.disable)


def _argument(name: str) -> str:
    import argparse

    try:
        return proposal(name)
    except WrongValue as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def proposal(name: str) -> str:
    """Return the name of a proposal.

    Raises:
        WrongValue: there is none of that name.
    """
    if name in PROPOSALS:
        return name
    import difflib

    close = difflib.get_close_matches(name, PROPOSALS, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(PROPOSALS)}"
    raise WrongValue(f"unknown proposal {name!r}; {hint}")
