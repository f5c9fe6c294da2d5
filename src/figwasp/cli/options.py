"""Floor 7: the options and arguments of commands, declared as rows, read from a command line and shown in the help.

In: a `Command`, and words. Out: the values. The rows are what shells complete, too (`completion`).

Argparse is not used: it takes ten milliseconds to be imported and told of the options of `figwasp run`, a tenth of the time of a
small program, and it cannot be told that options end at the program's name.
"""

from __future__ import annotations

from figwasp.cli.main import USAGE_ERROR, complain
from figwasp.cli.streams import print_text
from figwasp.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final, NoReturn

__all__ = ["FUNCTION", "Argument", "Command", "Option", "WrongValue"]

FUNCTION: Final = "FUNCTION"
"""The argument that is a function of the program named by the one before."""

_COLUMN: Final = 26  # where the help says what an option does
_NARROWEST: Final = 20  # letters of that


class WrongValue(Exception):
    """A word that is no value of an option."""


class Option(NamedTuple):
    """An option.

    Attributes:
        names: as they are typed, the long one last, by which its value is found.
        value: the name of its value in the help; in brackets when the value is attached by = or left out; "" for none.
        help: the description in the help.
        read: makes the value of a word, or raises `WrongValue`.
        many: whether the option may be repeated; its value is a list then.
        choices: the words it can be, if it cannot be others.
    """

    names: tuple[str, ...]
    value: str
    help: str
    read: Callable[[str], Any] = str
    many: bool = False
    choices: tuple[str, ...] = ()

    @property
    def attached(self) -> bool:
        """Whether a value is attached by =, or left out."""
        return self.value.startswith("[")


class Argument(NamedTuple):
    """A word that is no option, or several.

    Attributes:
        name: the name in the help.
        help: the description in the help, or "".
        least: number of words that must be given.
        many: any number may.
        choices: the words it can be, if it cannot be others.
    """

    name: str
    help: str
    least: int = 1
    many: bool = False
    choices: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The argument in the first line of the help."""
        name = f"{self.name} ..." if self.many else self.name
        return name if self.least else f"[{name}]"


_HELP: Final = Option(("-h", "--help"), "", "show this help")


class Command:
    """The options and arguments of a command.

    Attributes:
        name: of the command.
        arguments: the words that are no options, in order.
        groups: its options, under titles; those of no particular kind under `options`.
        ends: options end at the first word that is none.
    """

    __slots__ = ("_description", "_epilog", "_named", "arguments", "ends", "groups", "name")

    def __init__(
        self,
        name: str,
        description: str,
        arguments: list[Argument],
        groups: dict[str, list[Option]],
        epilog: str = "",
        ends: bool = False,
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.groups = {"options": [_HELP, *groups.get("options", ())], **{k: v for k, v in groups.items() if k != "options"}}
        self.ends = ends
        self._description = description
        self._epilog = epilog
        self._named = {name: option for option in self.options() for name in option.names}

    def options(self) -> list[Option]:
        """Return all options."""
        return [option for options in self.groups.values() for option in options]

    def read(self, words: list[str]) -> tuple[dict[str, Any], list[str]]:
        """Return the values of the options given by their long names, lists for those that may be repeated; and the arguments.

        Raises:
            SystemExit: the help was asked for, or the words are wrong; the help or the error has been printed.
        """
        found: dict[str, Any] = {option.names[-1]: [] for option in self.options() if option.many}
        rest: list[str] = []
        index = 0
        while index < len(words):
            word = words[index]
            if word == "--":
                rest += words[index + 1 :]
                break
            if word.startswith("-") and word != "-":
                index = self._option(words, index, found)
                continue
            if self.ends:
                rest += words[index:]
                break
            rest.append(word)
            index += 1
        self._check(rest)
        return found, rest

    def _option(self, words: list[str], index: int, found: dict[str, Any]) -> int:
        """Read an option and its value, and return where the next word is."""
        word = words[index]
        name, equals, text = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        option = self._named.get(name)
        if option is None or (equals and not option.value):
            self.error(f"no option {word}")
        if option is _HELP:
            raise SystemExit(print_text([self.help()]))
        if option.value and not equals and not option.attached:
            index += 1
            if index == len(words):
                self.error(f"argument {name}: expected one argument")
            text = words[index]
        value = self._value(option, text)
        if option.many:
            found[option.names[-1]].append(value)
        else:
            found[option.names[-1]] = value
        return index + 1

    def _value(self, option: Option, text: str) -> Any:
        name = "/".join(option.names)
        if option.choices and text not in option.choices:
            self.error(f"argument {name}: invalid choice: {text!r} (choose from {', '.join(option.choices)})")
        try:
            return option.read(text)
        except WrongValue as error:
            self.error(f"argument {name}: {error}")

    def _check(self, words: list[str]) -> None:
        """Check the words that are no options against the arguments declared."""
        least = sum(argument.least for argument in self.arguments)
        if len(words) < least:
            missing = [argument.name for argument in self.arguments if argument.least][len(words) :]
            self.error(f"the following arguments are required: {', '.join(missing)}")
        if len(words) > len(self.arguments) and not any(argument.many for argument in self.arguments):
            self.error(f"unrecognized arguments: {' '.join(words[len(self.arguments) :])}")
        for argument, word in zip(self.arguments, words):
            if argument.choices and word not in argument.choices:
                self.error(f"argument {argument.name}: invalid choice: {word!r} (choose from {', '.join(argument.choices)})")

    def error(self, message: str) -> NoReturn:
        """Print the usage of the command and the error.

        Raises:
            SystemExit: always.
        """
        complain(f"{self._usage()}figwasp {self.name}: error: {message}\n")
        raise SystemExit(USAGE_ERROR)

    def _usage(self) -> str:
        return f"usage: figwasp {self.name} [options] {' '.join(argument.usage for argument in self.arguments)}\n"

    def help(self) -> str:
        """Return the help, for the terminal there is."""
        import shutil
        import textwrap

        width = shutil.get_terminal_size().columns - 2
        lines = [self._usage(), textwrap.fill(self._description, width)]
        rows = {"arguments": [(item.name, item.help) for item in self.arguments if item.help]}
        rows |= {title: [(_shown(option), option.help) for option in options] for title, options in self.groups.items()}
        for title, items in rows.items():
            if items:
                lines += ["", f"{title}:", *(line for left, right in items for line in _row(left, right, width))]
        if self._epilog:
            lines += ["", textwrap.fill(self._epilog, width)]
        return "\n".join(lines) + "\n"


def _shown(option: Option) -> str:
    names = ", ".join(option.names)
    return names + (f"[={option.value[1:]}" if option.attached else f" {option.value}" if option.value else "")


def _row(left: str, right: str, width: int) -> Iterator[str]:
    """Yield a line of the help, and as many more as it takes."""
    import textwrap

    told = textwrap.wrap(right, max(width - _COLUMN, _NARROWEST), break_on_hyphens=False)
    left = f"  {left}"
    if len(left) + 2 > _COLUMN:
        yield left
        left = ""
    for line in told:
        yield f"{left:{_COLUMN}}{line}"
        left = ""
