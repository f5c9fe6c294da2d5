"""Floor 6: `--enable` and `--disable`, which proposals a command is to know. In: the words given. Out: `Features`."""

from __future__ import annotations

import argparse
import difflib

from figwasp.features import PROPOSALS, Features

__all__ = ["add_switches", "chosen"]


def add_switches(parser: argparse.ArgumentParser, on: Features) -> None:
    """Add the two switches to a command.

    Args:
        parser: of the command.
        on: the proposals that are on unless said otherwise.
    """
    off = ", ".join(name for name in PROPOSALS if name not in on) or "none"
    add = parser.add_argument
    add(
        "--enable",
        action="append",
        default=[],
        type=_proposal,
        metavar="PROPOSAL",
        help=f"switch a proposal on; may be repeated (off by default: {off})",
    )
    add(
        "--disable",
        action="append",
        default=[],
        type=_proposal,
        metavar="PROPOSAL",
        help="switch a proposal off; may be repeated",
    )
    parser.set_defaults(base=on)


def chosen(options: argparse.Namespace) -> Features:
    """Return the proposals that the words asked for."""
    base: Features = options.base
    return base.including(*options.enable).excluding(*options.disable)


def _proposal(name: str) -> str:
    if name in PROPOSALS:
        return name
    close = difflib.get_close_matches(name, PROPOSALS, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(PROPOSALS)}"
    raise argparse.ArgumentTypeError(f"unknown proposal {name!r}; {hint}")
