"""Floor 7: `--enable` and `--disable`, which proposals a command is to know. In: the values given. Out: `Features`."""

from __future__ import annotations

from figwasp.cli.options import Option, WrongValue
from figwasp.features import PROPOSALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from figwasp.features import Features

__all__ = ["PROPOSAL", "chosen", "switches"]

_ENABLE: Final = "--enable"
_DISABLE: Final = "--disable"
PROPOSAL: Final = "PROPOSAL"
"""The name of the two switches' value in the help."""


def switches(on: Features) -> list[Option]:
    """Return the two switches of a command.

    Args:
        on: the proposals that are on unless said otherwise.
    """
    off = ", ".join(name for name in PROPOSALS if name not in on) or "none"
    return [
        Option(
            (_ENABLE,), PROPOSAL, f"switch a proposal on; may be repeated (off by default: {off})", _proposal, many=True
        ),
        Option((_DISABLE,), PROPOSAL, "switch a proposal off; may be repeated", _proposal, many=True),
    ]


def chosen(given: dict[str, Any], on: Features) -> Features:
    """Return the proposals that the values of the options ask for."""
    return on.including(*given[_ENABLE]).excluding(*given[_DISABLE])


def _proposal(name: str) -> str:
    """Return the name of a proposal.

    Raises:
        WrongValue: there is no proposal of that name.
    """
    if name in PROPOSALS:
        return name
    import difflib

    close = difflib.get_close_matches(name, PROPOSALS, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(PROPOSALS)}"
    raise WrongValue(f"unknown proposal {name!r}; {hint}")
