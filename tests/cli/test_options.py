"""What commands take: how words are read, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.cli.options import Argument, Command, Option, WrongValue


def number(text: str) -> int:
    if not text.isdigit():
        raise WrongValue(f"{text!r} is not a number")
    return int(text)


COMMAND = Command(
    "walk",
    "Go for a walk.",
    [Argument("FROM", "where it begins"), Argument("TO", "where it ends", least=0)],
    {
        "options": [Option(("-n", "--number"), "N", "how often", number, many=True), Option(("-f", "--fast"), "", "run")],
        "others": [Option(("--by",), "WAY", "by what", choices=("road", "sea")), Option(("--with",), "[WHOM]", "in company")],
    },
    "Mind the step.",
)


@pytest.mark.parametrize(
    ("words", "given", "rest"),
    [
        ("a", {}, ["a"]),
        ("a --fast b", {"--fast": ""}, ["a", "b"]),
        ("-n 1 a -n2 --number=3 --number 4", {"--number": [1, 2, 3, 4]}, ["a"]),
        ("--by=sea -- --fast", {"--by": "sea"}, ["--fast"]),
        ("--with a --with=b -", {"--with": "b"}, ["a", "-"]),
        ("--by road --by sea a", {"--by": "sea"}, ["a"]),
    ],
)
def test_words(words: str, given: dict[str, object], rest: list[str]) -> None:
    assert COMMAND.read(words.split()) == ({"--number": [], **given}, rest)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("", "the following arguments are required: FROM"),
        ("a b c d", "unrecognized arguments: c d"),
        ("a -n", "argument -n: expected one argument"),
        ("a -n x", "argument -n/--number: 'x' is not a number"),
        ("a --by=air", "argument --by: invalid choice: 'air' (choose from road, sea)"),
        ("a --fast=1", "no option --fast=1"),
        ("a -x", "no option -x"),
    ],
)
def test_wrong_words(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        COMMAND.read(words.split())
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", f"usage: figwasp walk [options] FROM [TO]\nfigwasp walk: error: {complaint}\n")


def test_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit) as caught:
        COMMAND.read(["a", "--help", "--wrong"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == """\
usage: figwasp walk [options] FROM [TO]

Go for a walk.

arguments:
  FROM                    where it begins
  TO                      where it ends

options:
  -h, --help              show this help
  -n, --number N          how often
  -f, --fast              run

others:
  --by WAY                by what
  --with[=WHOM]           in company

Mind the step.
"""


def test_one_parser() -> None:
    """No command has another one."""
    sources = Path(__file__).parents[2].joinpath("src/figwasp/cli").rglob("*.py")
    assert not [path for path in sources if "import argparse" in path.read_text()]
