"""Floor 7: `figwasp completion SHELL`.

In: the name of a shell. Out: on standard output, a script by which that shell completes the words after `figwasp`. The script is
made of the declarations of the commands, so that options and arguments are declared there alone. Names of functions are asked
of `figwasp explain --names`, and taken as the plain text of a hostile guest.

    source <(figwasp completion bash)                                  in ~/.bashrc
    source <(figwasp completion zsh)                                   in ~/.zshrc, after compinit
    figwasp completion fish > ~/.config/fish/completions/figwasp.fish
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Final

from figwasp.cli.features import PROPOSAL
from figwasp.cli.main import COMMANDS, OPTIONS
from figwasp.cli.options import FUNCTION, Argument, Command, Option
from figwasp.cli.streams import write_stdout
from figwasp.features import PROPOSALS

__all__ = ["COMMAND", "main"]

FILES: Final = "files"
FOLDERS: Final = "folders"
_FILE_NAMES: Final = ("FILE", "PROGRAM")


def _values(option: Option) -> str:
    """Return FILES, FOLDERS, or the words that the value of an option can be; "" for something else."""
    if option.choices:
        return " ".join(option.choices)
    if option.value == PROPOSAL:
        return " ".join(PROPOSALS)
    if option.value.startswith("HOST["):
        return FOLDERS
    return FILES if option.value in _FILE_NAMES else ""


def _takes(option: Option) -> bool:
    """Return whether the word after an option is its value."""
    return bool(option.value) and not option.attached


def _positional(command: Command) -> str:
    """Return the kind of the words that are no options: FILES, or a choice of words."""
    if not command.arguments:
        return ""
    choices = command.arguments[0].choices
    return " ".join(choices) if choices else FILES


def _names_function(command: Command) -> bool:
    """Return whether the word after the program names a function of it."""
    return any(argument.name == FUNCTION for argument in command.arguments)


def _commands() -> dict[str, Command]:
    return {name: importlib.import_module(f"figwasp.cli.{name}").COMMAND for name in COMMANDS}


# bash

_BASH: Final = """\
# bash completion for figwasp
_figwasp() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} options= valued= words= functions= program= name i
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
    if [[ -n $functions ]]; then
        for (( i = 2; i < COMP_CWORD; i++ )); do
            case ${COMP_WORDS[i]} in
                -*) [[ $valued == *" ${COMP_WORDS[i]} "* ]] && (( ++i )) ;;
                *) program=${COMP_WORDS[i]}; break ;;
            esac
        done
    fi
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
    elif [[ -n $program ]]; then
        # as it was typed; nothing of it is evaluated
        program=${program//[\\\\\\"\\']}
        [[ $program == "~/"* ]] && program=$HOME/${program:2}
        while IFS= read -r name; do
            [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf %%q "$name")")
        done < <(figwasp explain --names -- "$program" 2>/dev/null)
    elif [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}
complete -o bashdefault -o default -F _figwasp figwasp
"""


def bash() -> str:
    """Return the script for bash."""
    first = [*COMMANDS, *(name for names in OPTIONS for name in names.split(", "))]
    cases = "\n".join(line for name, command in _commands().items() for line in _bash_case(name, command))
    return _BASH % {"first": " ".join(first), "cases": cases}


def _bash_case(name: str, command: Command) -> Iterator[str]:
    options = command.options()
    words = _positional(command)
    yield f"        {name})"
    yield f'            options="{" ".join(word for option in options for word in option.names)}"'
    yield f'            valued=" {" ".join(word for option in options if _takes(option) for word in option.names)} "'
    if words != FILES:
        yield f'            words="{words}"'
    if _names_function(command):
        yield "            functions=1"
    yield "            case $prev in"
    for option in options:
        if _takes(option):
            yield f"                {'|'.join(option.names)}) {_bash_values(_values(option))}return ;;"
    yield "            esac ;;"


def _bash_values(values: str) -> str:
    if values in (FILES, FOLDERS):
        kind = "f" if values == FILES else "d"
        return f'mapfile -t COMPREPLY < <(compgen -{kind} -- "$cur"); compopt -o filenames 2>/dev/null; '
    return f'COMPREPLY=($(compgen -W "{values}" -- "$cur")); ' if values else ""


# zsh

_ZSH: Final = """\
#compdef figwasp
_figwasp_functions() {
    local -a names
    names=(${(f)"$(figwasp explain --names -- ${(Q)line[1]} 2>/dev/null)"})
    compadd -a names
}
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
    cases = "\n".join(line for name, command in _commands().items() for line in _zsh_case(name, command))
    return _ZSH % {"commands": commands, "options": options, "cases": cases}


def _zsh_case(name: str, command: Command) -> Iterator[str]:
    ends = " -A '-*'" if command.ends else ""  # no options after the program
    yield f"        {name}) _arguments -S{ends} \\"
    for option in command.options():
        for word in option.names:
            value = "::value: " * option.attached
            if _takes(option):
                value = f":{_zsh_text(option.value)}:{_zsh_values(_values(option))}"
            equals = "=-" if option.attached else "=" if _takes(option) and word.startswith("--") else ""
            yield f"            {_quoted(f'*{word}{equals}[{_zsh_text(option.help)}]{value}')} \\"
    rest = "*::argument:_files" if name == "run" else "*:file:_files"
    if _names_function(command):
        rest = "1:file:_files"
        yield f"            {_quoted('2:function:_figwasp_functions')} \\"
    words = _positional(command)
    yield f"            {_quoted(rest if words == FILES else f'1:{name}:({words})')} ;;"


def _zsh_values(values: str) -> str:
    return {FILES: "_files", FOLDERS: "_files -/", "": " "}.get(values, f"({values})")


def _zsh_text(text: str) -> str:
    """Escape the special characters of a specification of _arguments."""
    return "".join(f"\\{char}" if char in "[]:\\" else char for char in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# fish

_FISH_FUNCTIONS: Final = "(figwasp explain --names -- (commandline -opc | string match -v -- '-*')[3] 2>/dev/null)"

def fish() -> str:
    """Return the script for fish."""
    lines = ["# fish completion for figwasp"]
    none = "not __fish_seen_subcommand_from " + " ".join(COMMANDS)
    lines += [f"complete -c figwasp -f -n {_fish(none)} -a {name} -d {_fish(what)}" for name, what in COMMANDS.items()]
    for names, what in OPTIONS.items():
        lines.append(f"complete -c figwasp -n {_fish(none)} {_fish_names(names.split(', '))} -d {_fish(what)}")
    for name, command in _commands().items():
        seen = _fish(f"__fish_seen_subcommand_from {name}")
        words = _positional(command)
        if words != FILES:
            lines.append(f"complete -c figwasp -f -n {seen} -a {_fish(words)}")
        if _names_function(command):
            lines.append(f"complete -c figwasp -n {seen} -a {_fish(_FISH_FUNCTIONS)}")
        for option in command.options():
            value = f" -r{_fish_values(_values(option))}" if _takes(option) else ""
            shown = _fish(option.help)
            lines.append(f"complete -c figwasp -n {seen} {_fish_names(option.names)}{value} -d {shown}")
    return "\n".join(lines) + "\n"


def _fish_names(names: Iterable[str]) -> str:
    return " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in names)


def _fish_values(values: str) -> str:
    return {FILES: " -F", FOLDERS: " -x -a '(__fish_complete_directories)'", "": " -f"}.get(values, f" -x -a {_fish(values)}")


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: Final = {"bash": bash, "zsh": zsh, "fish": fish}

COMMAND: Final = Command(
    "completion",
    "Print a script by which a shell completes the commands of figwasp and their options.",
    [Argument("SHELL", ", ".join(SHELLS), choices=tuple(SHELLS))],
    {},
    "For bash: source <(figwasp completion bash), in ~/.bashrc. For zsh: source <(figwasp completion zsh), in ~/.zshrc "
    "after compinit. For fish: figwasp completion fish > ~/.config/fish/completions/figwasp.fish",
)


def main(words: list[str]) -> int:
    """Print the script for the shell that the words name and return the exit status."""
    _, (shell,) = COMMAND.read(words)
    return write_stdout([SHELLS[shell]().encode()])
