"""The program that `make demo` runs: the same text counted by figwasp and by Python."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.cli.process import run_figwasp
from tests.environment import ROOT


def counted(text: str, shown: int) -> list[str]:
    """Count the words of a text as demo/words.c does; give its lines without the bars."""
    words = [word.lower()[:63] for word in re.findall("[A-Za-z]+", text)]
    ranking = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{word:>12} {count:5} {100 * count / len(words):5.2f}%" for word, count in ranking[:shown]]
    return [f"{len(words)} words, {len(ranking)} different", *lines]


def test_words_of_a_file() -> None:
    done = run_figwasp(["run", "--dir", ".", "demo/words.wasm", "LICENSE", "30"], cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = [line.rstrip("# ") for line in done.stdout.decode().splitlines()]
    assert lines == counted((ROOT / "LICENSE").read_text(encoding="ascii"), 30)


def test_words_of_standard_input() -> None:
    done = run_figwasp(["run", str(ROOT / "demo" / "words.wasm"), "-", "2"], stdin=b"b a\nb c B")
    expected = f"5 words, 3 different\n{'b':>12} {3:5} 60.00% {'#' * 40}\n{'a':>12} {1:5} 20.00% {'#' * 13}\n"
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, expected, b"")


def test_a_file_outside_every_directory(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("out of reach")
    done = run_figwasp(["run", "--dir", "demo", "demo/words.wasm", str(tmp_path / "text")], cwd=ROOT)
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.startswith(b"words: ")


def test_usage() -> None:
    done = run_figwasp(["run", "--argv0", "count", "demo/words.wasm"], cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"usage: count FILE [N]\n")
