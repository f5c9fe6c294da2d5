"""`figwasp run`'s command line: where options end and what each one means."""

from __future__ import annotations

import pytest

from figwasp.cli.options import RunOptions, parse_run


def test_everything_after_the_program_is_its_own() -> None:
    options = parse_run(["--dir", "a::/b", "p.wasm", "-e", "--dir", "x", "--", "--help", "--invoke=f"])
    assert options.program == "p.wasm"
    assert options.args == ["-e", "--dir", "x", "--", "--help", "--invoke=f"]
    assert options.dirs == [("/b", "a")]
    assert options.invoke is None


def test_defaults() -> None:
    assert parse_run(["p.wasm"]) == RunOptions("p.wasm", [], None, {}, [], None, trap_unknown=False)


def test_options_repeat_and_take_either_form() -> None:
    options = parse_run(
        ["--env", "A=1", "--env=B=x=y", "--dir", ".", "--dir=h::/g", "--argv0=n", "--invoke", "f",
         "--unknown-imports", "trap", "p"]
    )  # fmt: skip
    assert options.env == {"A": "1", "B": "x=y"}
    assert options.dirs == [(".", "."), ("/g", "h")]
    assert (options.argv0, options.invoke, options.trap_unknown) == ("n", "f", True)


def test_double_dash_ends_the_options() -> None:
    options = parse_run(["--env", "A=", "--", "--odd-name.wasm", "--", "x"])
    assert options.program == "--odd-name.wasm"
    assert options.args == ["--", "x"]


def test_directories_do_not_leak_from_one_parse_to_the_next() -> None:
    parse_run(["--dir", "a", "p"])
    assert parse_run(["p"]).dirs == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "PROGRAM"),
        (["--dir"], "--dir"),
        (["--env", "NOVALUE", "p"], "is not NAME=VALUE"),
        (["--env", "=x", "p"], "is not NAME=VALUE"),
        (["--dir", "::/g", "p"], "is not HOST or HOST::GUEST"),
        (["--unknown-imports", "ignore", "p"], "invalid choice"),
        (["--inv", "f", "p"], "PROGRAM"),
        (["--wrong", "p"], "--wrong"),
    ],
)
def test_wrong_command_lines(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_run(words)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err
