"""`figwasp run`'s command line: where options end and what each one means."""

from __future__ import annotations

import pytest

from figwasp.cli.running.options import LONGEST, RunOptions, parse_run
from figwasp.features import DEFAULT


def test_everything_after_the_program_is_its_own() -> None:
    options = parse_run(["--dir", "a::/b", "p.wasm", "-e", "--dir", "x", "--", "--help", "--invoke=f"])
    assert options.program == "p.wasm"
    assert options.args == ["-e", "--dir", "x", "--", "--help", "--invoke=f"]
    assert options.dirs == [("/b", "a", True)]
    assert options.invoke is None


def test_defaults() -> None:
    assert parse_run(["p.wasm"]) == RunOptions("p.wasm")
    assert RunOptions("p.wasm")[1:] == ([], None, {}, [], None, [], None, None, None, DEFAULT, None, False, [], False)


def test_options_repeat_and_take_either_form() -> None:
    options = parse_run(
        ["--env", "A=1", "--env=B=x=y", "--dir", ".", "--dir=h::/g", "--argv0=n", "--invoke", "f",
         "--unknown-imports", "trap", "p"]
    )  # fmt: skip
    assert options.env == {"A": "1", "B": "x=y"}
    assert options.dirs == [(".", ".", True), ("/g", "h", True)]
    assert (options.argv0, options.invoke, options.trap_unknown) == ("n", "f", True)


def test_double_dash_ends_the_options() -> None:
    options = parse_run(["--env", "A=", "--", "--odd-name.wasm", "--", "x"])
    assert options.program == "--odd-name.wasm"
    assert options.args == ["--", "x"]


def test_directories_do_not_leak_from_one_parse_to_the_next() -> None:
    parse_run(["--dir", "a", "p"])
    assert parse_run(["p"]).dirs == []


def test_directories() -> None:
    words = [word for given in ("a", "a:ro", "a::/b", "a::/b:ro", "C:x", "a::b::c", "./a:ro/") for word in ("--dir", given)]
    assert parse_run([*words, "p"]).dirs == [
        ("a", "a", True), ("a", "a", False), ("/b", "a", True), ("/b", "a", False), ("C:x", "C:x", True), ("b::c", "a", True),
        ("./a:ro/", "./a:ro/", True),
    ]  # fmt: skip


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inheriting takes no word of its own, and what is given goes before what is inherited."""
    monkeypatch.setattr("os.environ", {"A": "1", "B": "2", "C": "3"})
    assert parse_run(["--env-inherit", "p.wasm", "x"])[:4] == ("p.wasm", ["x"], None, {"A": "1", "B": "2", "C": "3"})
    assert parse_run(["--env", "B", "--env", "A=", "p"]).env == {"B": "2", "A": ""}
    assert parse_run(["--env", "A=x", "--env-inherit=B", "--env-inherit=absent", "--env-inherit=A", "p"]).env == {"A": "x", "B": "2"}


def test_limits() -> None:
    options = parse_run(["--timeout", "1.5", "--max-memory", "64K", "--fuel", "1000", "p"])
    assert (options.timeout, options.max_memory, options.fuel) == (1.5, 65536, 1000)
    assert [parse_run(["--timeout", text, "p"]).timeout for text in ("2s", "2m", "0.5h")] == [2, 120, 1800]
    assert parse_run(["--timeout", "1e300", "p"]).timeout == LONGEST
    assert [parse_run(["--max-memory", text, "p"]).max_memory for text in ("100", "1m", "2G")] == [100, 1 << 20, 2 << 30]


def test_streams_and_sockets() -> None:
    options = parse_run(["--stdin", "f", "--listen", "localhost:80", "--listen=[::1]:0", "-"])
    assert (options.program, options.stdin, options.listen) == ("-", "f", [("localhost", 80), ("::1", 0)])
    assert parse_run(["--listen", "[::1:0", "p"]).listen == [("[::1", 0)]  # for the host to refuse


def test_features() -> None:
    options = parse_run(["--enable", "threads", "--disable", "simd", "p"])
    assert options.features == DEFAULT.including("threads").excluding("simd")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "PROGRAM"),
        (["--dir"], "--dir"),
        (["--env", "NOVALUE", "p"], "'NOVALUE' is not NAME=VALUE, and there is no variable of that name to pass on"),
        (["--env", "=x", "p"], "is not NAME=VALUE"),
        (["--dir", "::/g", "p"], "is not HOST, HOST::GUEST"),
        (["--dir", ":ro", "p"], "is not HOST, HOST::GUEST"),
        (["--listen", "80", "p"], "is not HOST:PORT"),
        (["--listen", "h:65536", "p"], "is not HOST:PORT"),
        (["--timeout", "0", "p"], "is not a positive number of seconds"),
        (["--timeout", "nan", "p"], "is not a positive number of seconds"),
        (["--timeout", "", "p"], "is not a positive number of seconds"),
        (["--timeout", "s", "p"], "is not a positive number of seconds"),
        (["--max-memory", "1T", "p"], "is not a number of bytes"),
        (["--max-memory", "-1", "p"], "--max-memory"),
        (["--max-memory", "K", "p"], "is not a number of bytes"),
        (["--fuel", "1e3", "p"], "is not a number"),
        (["--fuel", "9" * 5000, "p"], "is not a number"),
        (["--max-memory", "9" * 5000, "p"], "is not a number of bytes"),
        (["--listen", "h:" + "9" * 5000, "p"], "is not HOST:PORT"),
        (["--enable", "thread", "p"], "did you mean threads?"),
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
