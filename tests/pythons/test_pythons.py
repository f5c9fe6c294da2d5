"""The running of tests on other interpreters: what it looks for, what it keeps, and what it makes of failures."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from tests.environment import ROOT
from tests.pythons import found, run, suites
from tests.pythons.debian import Debian, Unobtainable
from tests.pythons.found import VERSIONS, Interpreter
from tests.pythons.run import arguments, fine, on_version, table
from tests.pythons.suites import Outcome, counts

OWN = "{}.{}".format(*sys.version_info)
PASSED = Outcome(5, 0, 1, 2.4, 0)
FAILED = Outcome(4, 1, 1, 2.6, 1)
CRASHED = Outcome(0, 0, 0, 1.0, -11)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_classifiers_name_no_version_that_is_not_tested() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    named = {line.rpartition(" ")[2] for line in classifiers if line.startswith("Programming Language :: Python :: 3.")}
    assert named <= set(VERSIONS)


def test_an_interpreter_says_what_it_is() -> None:
    answer = found.asked(Path(sys.executable))
    if answer is None:
        pytest.skip("this interpreter has no ensurepip, or is of another kind")
    assert answer.version == sys.version_info[:3]
    assert answer.minor == OWN
    assert not (answer.path.parents[1] / "pyvenv.cfg").exists()


@pytest.mark.parametrize("text", ["exit 127", "exec no-such-program", "kill -SEGV $$"])
def test_what_does_not_run_is_no_interpreter(text: str, tmp_path: Path) -> None:
    assert found.asked(program(tmp_path / "python3.14", text)) is None


def test_shims_that_fail_and_names_that_lie_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest of those that say the right version is taken, wherever it is."""
    says = """echo '[[3, {0}], "build", "/where/{1}", true]'"""
    program(tmp_path / "shims" / "python3.14", "exit 127")
    program(tmp_path / "bin" / "python3.14", says.format("13, 9", "other"))
    program(tmp_path / "pyenv/versions/3.14.2/bin/python3.14", says.format("14, 2", "older"))
    program(tmp_path / "pyenv/versions/3.14.11/bin/python3.14", says.format("14, 11", "newer"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "shims"), str(tmp_path / "bin"), "/usr/bin", "/bin"]))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(sys, "executable", "/no/python")
    assert found.on_machine("3.14") == Interpreter((3, 14, 11), "build", Path("/where/newer"))


def test_another_kind_is_not_taken(tmp_path: Path) -> None:
    """A debug build, a build without the GIL and other implementations say false."""
    assert found.asked(program(tmp_path / "python3.14", """echo '[[3, 14, 0], "build", "/where", false]'""")) is None


def test_the_newest_other_is_not_of_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    here = [version for version in VERSIONS if version != OWN][:2]
    monkeypatch.setattr(found, "on_machine", lambda version: version if version in (OWN, *here) else None)
    assert found.newest_other() == here[1]  # type: ignore[comparison-overlap]
    monkeypatch.setattr(found, "on_machine", lambda version: version if version == OWN else None)
    assert found.newest_other() is None


def test_options() -> None:
    options, theirs = arguments(["3.13", "3.15", "--folder", "some", "--", "-n", "2", "tests/api"])
    assert options.versions == ["3.13", "3.15"]
    assert options.folder == Path.cwd() / "some"
    assert theirs == ["-n", "2", "tests/api"]
    for words in (["3.10"], ["newest", "3.12"], ["--unknown"]):
        with pytest.raises(SystemExit):
            arguments(words)


def test_what_cannot_be_had_is_a_failure_unless_told_otherwise(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "on_machine", lambda version: None)
    assert run.main(["3.15", "--no-fetch", "--folder", str(tmp_path)]) == 1
    assert "3.15      cannot be had: not on PATH and not below" in capsys.readouterr().out
    assert run.main(["3.15", "--no-fetch", "--missing-ok", "--folder", str(tmp_path)]) == 0


def test_no_other_interpreter_is_no_failure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "newest_other", lambda: None)
    assert run.main(["newest"]) == 0
    assert "nothing is run" in capsys.readouterr().out


def test_failures() -> None:
    assert fine({"3.11": PASSED, "3.12": PASSED}, missing_ok=False)
    assert not fine({"3.11": PASSED, "3.12": FAILED}, missing_ok=True)
    assert not fine({"3.11": CRASHED}, missing_ok=True)
    assert not fine({"3.11": PASSED, "3.12": "none"}, missing_ok=False)


def test_table() -> None:
    assert table({"3.11": PASSED, "3.12": FAILED, "3.13": CRASHED, "3.14": "no\napt-get"}).splitlines() == [
        "version     passed  failed  skipped  seconds",
        "3.11             5       0        1        2",
        "3.12             4       1        1        3",
        "3.13             0       0        0        1   pytest ended with -11",
        "3.14      cannot be had: no apt-get",
    ]


def test_counts(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert counts(report) == (0, 0, 0)
    report.write_text('<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"/></testsuites>')
    assert counts(report) == (4, 3, 3)


def test_an_interpreter_that_cannot_be_fetched_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    program(tmp_path / "bin" / "apt-get", "echo Unable to locate package >&2; exit 100")
    with pytest.raises(Unobtainable, match="Unable to locate package"):
        Debian(tmp_path / "kept", address="file:///nowhere").interpreter("3.15")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["apt-sid"]


def test_an_unpacked_interpreter_that_does_not_run_is_unpacked_anew_next_time(tmp_path: Path) -> None:
    program(tmp_path / "sid-3.15/usr/bin/python3.15", "exit 1")
    with pytest.raises(Unobtainable, match="does not run here"):
        Debian(tmp_path).interpreter("3.15")
    assert not (tmp_path / "sid-3.15").exists()


def test_an_environment_is_kept_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[object, ...]] = []

    def said(*words: object, **more: str) -> str:
        commands.append(words)
        (tmp_path / "tests-3.15").mkdir(exist_ok=True)
        return ""

    monkeypatch.setattr(suites, "said", said)
    using = Interpreter((3, 15, 2), "build", Path("/where/python3.15"))
    suites.environment(using, tmp_path)
    made = len(commands)
    assert made == 2
    suites.environment(using, tmp_path)
    assert len(commands) == made
    suites.environment(using._replace(build="another build"), tmp_path)
    assert len(commands) == 2 * made
    (tmp_path / "tests-3.15" / ".installed").unlink()  # as if it had been stopped
    suites.environment(using, tmp_path)
    assert len(commands) == 3 * made


def test_a_suite_is_run_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = tmp_path / "test_three.py"
    tests.write_text("import pytest\ndef test_good(): pass\ndef test_bad(): assert 0\n@pytest.mark.skip\ndef test_not(): pass\n")
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    outcome = suites.run(Path(sys.executable), ["-q", "-p", "no:xdist", "-c", "/dev/null", "-o", f"cache_dir={tmp_path}", str(tests)])
    assert outcome[:3] == (1, 1, 1)
    assert outcome.status == 1
    assert not outcome.good


def test_a_suite_gets_the_words_for_pytest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, words = arguments(["--folder", str(tmp_path), "--", "-x"])
    given: list[object] = []
    monkeypatch.setattr(run, "on_machine", lambda version: Interpreter((3, 15, 2), "build", Path("/where")))
    monkeypatch.setattr(run, "environment", lambda using, folder: using.path)

    def ran(python: Path, words: list[str]) -> Outcome:
        given.extend((python, words))
        return PASSED

    monkeypatch.setattr(run, "run", ran)
    assert on_version("3.15", options, None, words) == PASSED
    assert given == [Path("/where"), ["-x"]]
