"""Floor 7: `figwasp completion SHELL`.

In: the name of a shell. Out: on standard output, a script by which that shell completes what is typed after `figwasp`. It is made
of the parsers of the commands, so that what a command takes is said there alone.

    source <(figwasp completion bash)                                  in ~/.bashrc
    source <(figwasp completion zsh)                                   in ~/.zshrc, after compinit
    figwasp completion fish > ~/.config/fish/completions/figwasp.fish
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from figwasp.cli.features import PROPOSAL
from figwasp.cli.main import COMMANDS, OPTIONS
from figwasp.cli.streams import write_stdout
from figwasp.features import PROPOSALS

__all__ = ["PARSER", "main"]

FILES: Final = "files"
FOLDERS: Final = "folders"
_FILE_METAVARS: Final = ("FILE", "PROGRAM")


class Option(NamedTuple):
    """An option of a command.

    Attributes:
        names: as they are typed, the short one first.
        help: what it does, in the words of the parser.
        value: name of the value it takes, or "".
        values: FILES, FOLDERS, or the words it can be; "" for something else.
        attached: it may also have a value that is attached by =.
    """

    names: tuple[str, ...]
    help: str
    value: str
    values: str
    attached: bool


def _values(action: argparse.Action) -> str:
    metavar = str(action.metavar or "")
    if action.choices is not None:
        return " ".join(action.choices)
    if metavar == PROPOSAL:
        return " ".join(PROPOSALS)
    if metavar.startswith("HOST["):
        return FOLDERS
    return FILES if metavar in _FILE_METAVARS else ""


def _options(parser: argparse.ArgumentParser) -> list[Option]:
    found = []
    for action in parser._actions:
        if action.option_strings:
            optional = str(action.metavar or "").startswith("[")  # such a value is attached by =
            takes = action.nargs is None and not optional
            value = str(action.metavar or action.dest.upper()) if takes else ""
            values = _values(action) if takes else ""
            found.append(Option(tuple(action.option_strings), action.help or "", value, values, optional))
    return found


def _positional(parser: argparse.ArgumentParser) -> str:
    """Return what the words are that are no options: FILES, or one of these words."""
    named = [action for action in parser._actions if not action.option_strings and action.choices]
    return _values(named[0]) if named else FILES


def _parsers() -> dict[str, argparse.ArgumentParser]:
    modules = {name: importlib.import_module(f"figwasp.cli.{name}") for name in COMMANDS}
    return {name: module.PARSER if hasattr(module, "PARSER") else module.parser() for name, module in modules.items()}


# bash

_BASH: Final = """\
# bash completion for figwasp
_figwasp() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} options= valued= words= i
    COMPREPLY=()
    # bash takes a word apart at = and :
    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
    [[ $cur == = ]] && cur=
    if (( COMP_CWORD == 1 )); then
        COMPREPLY=($(compgen -W "%(first)s" -- "$cur"))
        return
    fi
    case ${COMP_WORDS[1]} in
%(cases)s
        *) return ;;
    esac
    if [[ ${COMP_WORDS[1]} == run ]]; then
        for (( i = 2; i < COMP_CWORD; i++ )); do
            case ${COMP_WORDS[i]} in
                --) return ;;
                -) return ;;
                -*) [[ $valued == *" ${COMP_WORDS[i]} "* && ${COMP_WORDS[i+1]} != = ]] && (( ++i ))
                    while (( i + 1 < COMP_CWORD )) && [[ ${COMP_WORDS[i+1]} =~ ^[=:]+$ ]]; do (( i += 2 )); done ;;
                *) return ;;
            esac
        done
    fi
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
    elif [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}
complete -o bashdefault -o default -F _figwasp figwasp
"""


def bash() -> str:
    """Return the script for bash."""
    first = [*COMMANDS, *(name for names in OPTIONS for name in names.split(", "))]
    cases = "\n".join(line for name, parser in _parsers().items() for line in _bash_case(name, parser))
    return _BASH % {"first": " ".join(first), "cases": cases}


def _bash_case(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    options = _options(parser)
    words = _positional(parser)
    yield f"        {name})"
    yield f'            options="{" ".join(word for option in options for word in option.names)}"'
    yield f'            valued=" {" ".join(word for option in options if option.value for word in option.names)} "'
    if words != FILES:
        yield f'            words="{words}"'
    yield "            case $prev in"
    for option in options:
        if option.value:
            yield f"                {'|'.join(option.names)}) {_bash_values(option.values)}return ;;"
    yield "            esac ;;"


def _bash_values(values: str) -> str:
    if values in (FILES, FOLDERS):
        kind = "f" if values == FILES else "d"
        return f'mapfile -t COMPREPLY < <(compgen -{kind} -- "$cur"); compopt -o filenames 2>/dev/null; '
    return f'COMPREPLY=($(compgen -W "{values}" -- "$cur")); ' if values else ""


# zsh

_ZSH: Final = """\
#compdef figwasp
_figwasp() {
    local -a commands
    local context state line
    if (( CURRENT == 2 )); then
        commands=(
%(commands)s
        )
        _describe command commands
        _arguments %(options)s
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
%(cases)s
    esac
}
if [[ $funcstack[1] == _figwasp ]]; then _figwasp "$@"; else compdef _figwasp figwasp; fi
"""


def zsh() -> str:
    """Return the script for zsh."""
    commands = "\n".join(f"            {_quoted(f'{name}:{what}')}" for name, what in COMMANDS.items())
    options = " ".join(_quoted(f"{name}[{what}]") for names, what in OPTIONS.items() for name in names.split(", "))
    cases = "\n".join(line for name, parser in _parsers().items() for line in _zsh_case(name, parser))
    return _ZSH % {"commands": commands, "options": options, "cases": cases}


def _zsh_case(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    ends = " -A '-*'" if name == "run" else ""  # no options after the program
    yield f"        {name}) _arguments -S{ends} \\"
    for option in _options(parser):
        for word in option.names:
            value = f":{_zsh_text(option.value)}:{_zsh_values(option.values)}" if option.value else "::value: " * option.attached
            equals = "=-" if option.attached else "=" if option.value and word.startswith("--") else ""
            yield f"            {_quoted(f'*{word}{equals}[{_zsh_text(option.help)}]{value}')} \\"
    rest = "*::argument:_files" if name == "run" else "*:file:_files"
    words = _positional(parser)
    yield f"            {_quoted(rest if words == FILES else f'1:{name}:({words})')} ;;"


def _zsh_values(values: str) -> str:
    return {FILES: "_files", FOLDERS: "_files -/", "": " "}.get(values, f"({values})")


def _zsh_text(text: str) -> str:
    """Escape what means something in a specification of _arguments."""
    return "".join(f"\\{char}" if char in "[]:\\" else char for char in text.replace("%%", "%"))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# fish


def fish() -> str:
    """Return the script for fish."""
    lines = ["# fish completion for figwasp"]
    none = "not __fish_seen_subcommand_from " + " ".join(COMMANDS)
    lines += [f"complete -c figwasp -f -n {_fish(none)} -a {name} -d {_fish(what)}" for name, what in COMMANDS.items()]
    for names, what in OPTIONS.items():
        lines.append(f"complete -c figwasp -n {_fish(none)} {_fish_names(names.split(', '))} -d {_fish(what)}")
    for name, parser in _parsers().items():
        seen = _fish(f"__fish_seen_subcommand_from {name}")
        words = _positional(parser)
        if words != FILES:
            lines.append(f"complete -c figwasp -f -n {seen} -a {_fish(words)}")
        for option in _options(parser):
            value = f" -r{_fish_values(option.values)}" if option.value else ""
            shown = _fish(option.help.replace("%%", "%"))
            lines.append(f"complete -c figwasp -n {seen} {_fish_names(option.names)}{value} -d {shown}")
    return "\n".join(lines) + "\n"


def _fish_names(names: Iterable[str]) -> str:
    return " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in names)


def _fish_values(values: str) -> str:
    return {FILES: " -F", FOLDERS: " -x -a '(__fish_complete_directories)'", "": " -f"}.get(values, f" -x -a {_fish(values)}")


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: Final = {"bash": bash, "zsh": zsh, "fish": fish}

PARSER: Final = argparse.ArgumentParser(
    prog="figwasp completion",
    usage="figwasp completion [options] SHELL",
    description="Print a script by which a shell completes the commands of figwasp and their options.",
    epilog="For bash: source <(figwasp completion bash), in ~/.bashrc. For zsh: source <(figwasp completion zsh), in ~/.zshrc "
    "after compinit. For fish: figwasp completion fish > ~/.config/fish/completions/figwasp.fish",
    allow_abbrev=False,
)
PARSER.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


def main(words: list[str]) -> int:
    """Print the script for the shell that the words name and return the exit status."""
    shell: str = PARSER.parse_args(words).shell
    return write_stdout([SHELLS[shell]().encode()])
