"""Hostile input to the format, all of floor 1: binaries and texts that ask for much, lie about sizes, or nest without end.

A row of `TABLE` is a name, how to make the input, and what must come of it: "ok", or the class of the error and a part of its message.
Bytes are decoded, named, validated, and encoded again; a text is parsed first; where the name says so they are printed or read as a script.
`python -m tests.wasm.hostile [PART OF A NAME]` runs rows and shows what each took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from figwasp.errors import Error
from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.binary.encode import encode_decoded
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.text.print.module import module_lines
from figwasp.wasm.valid.module import validate
from figwasp.wast.script import parse_script
from tests.speed import exceeds
from tests.wasm import hostile_bodies, hostile_sections, hostile_texts

Row = tuple[str, Callable[[], bytes | str], str]

TURNS: Final = 1000
"""What a row may take of processor time, in million turns of an empty loop: a guard, not a measure of speed."""
GROWTH: Final = 700 << 20
"""Bytes that a row may take, its input not counted."""
TABLE: Final[list[Row]] = [*hostile_sections.TABLE, *hostile_bodies.TABLE, *hostile_texts.TABLE]


def _judge(data: bytes) -> None:
    """Do all that floor 1 does with a binary that nobody prints."""
    module = decode(data, ALL)
    names = module.names
    assert names.module is None or names.module
    validate(module)
    encode_decoded(module)


def _print(data: bytes) -> None:
    """Print a module both ways, one line at a time."""
    module = decode(data, ALL)
    for fold in (False, True):
        for _ in module_lines(module, fold=fold):
            pass


def _script(text: str | bytes) -> None:
    for command in parse_script(text):
        if command.source is not None:
            command.source.encode()


def outcome(name: str, source: bytes | str) -> str:
    """Return "ok", or class and message of the error."""
    try:
        if name.startswith("script"):
            _script(source)
        else:
            data = wat(source) if isinstance(source, str) or name.startswith("text") else source
            _judge(data)
            if name.startswith("print"):
                _print(data)
    except Error as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


def _peak() -> int:
    """Return the most memory in bytes that this process has had since `_forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def _forget_peak() -> None:
    with suppress(OSError):  # where it cannot be forgotten, rows are measured against the greediest before them
        Path("/proc/self/clear_refs").write_text("5")


def measure(number: int) -> tuple[str, float, int]:
    """Run a row; return what came of it, and the seconds and bytes that it took."""
    name, make, _ = TABLE[number]
    source = make()
    _forget_peak()
    before = _peak()
    start = time.process_time()
    answer = outcome(name, source)
    return answer, time.process_time() - start, _peak() - before


def fits(answer: str, expected: str) -> bool:
    """Say whether an outcome is the expected one: one of several classes, and a part of the message."""
    kinds, _, part = expected.partition(": ")
    kind, _, message = answer.partition(": ")
    return kind in kinds.split("|") and part in message


def run_case(number: int) -> str:
    """Run a row: answer the outcome's class, or after "bad: " what is wrong."""
    name, _, expected = TABLE[number]
    answer, seconds, grown = measure(number)
    kind = answer.partition(":")[0]
    if not fits(answer, expected):
        return f"bad: {name}: {answer[:200]!r} instead of {expected!r}"
    if exceeds(seconds, TURNS):
        return f"bad: {name}: {seconds:.1f} seconds ({kind})"
    return f"bad: {name}: {grown >> 20} MiB ({kind})" if grown > GROWTH else kind


def main(part: str) -> None:
    """Show what rows take."""
    for number, (name, _, expected) in enumerate(TABLE):
        if part in name:
            answer, seconds, grown = measure(number)
            mark = "" if fits(answer, expected) else f"   <-- instead of {expected}"
            print(f"{number:3} {seconds:6.2f} s {grown >> 20:5} MiB  {name}: {answer[:100]!r}{mark}", flush=True)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
