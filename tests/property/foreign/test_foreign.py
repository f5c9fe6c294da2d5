"""Some modules of Binaryen's fuzzer, kept here, answer the same in all modes and on wasmtime where it is installed.

`bench/fuzz.py binaryen` makes more of them. A file's name has the number of its case; a module that Binaryen made with legacy
exceptions is kept in that form, too, and some of the modes run that.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from tests.property.foreign import binaryen
from tests.property.foreign.around import driver
from tests.property.foreign.binaryen import compare
from tests.property.outcomes import Outcome

FOLDER = Path(__file__).parent / "modules"
FILES = sorted(FOLDER.glob("*[0-9].wasm"))


def _legacy(path: Path) -> Path:
    legacy = path.with_name(f"{path.stem}-legacy.wasm")
    return legacy if legacy.exists() else path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_module_of_binaryens_answers_the_same_everywhere(path: Path) -> None:
    assert not compare(_legacy(path).read_bytes(), path.read_bytes(), int(path.stem))


def test_they_do_something() -> None:
    called = [len(driver(decode(path.read_bytes(), ALL), int(path.stem))[1]) for path in FILES]
    assert len(FILES) == 17 and sum(called) > 80 and min(called) > 0
    assert sum(_legacy(path) != path for path in FILES) >= 10


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    run = binaryen._checked

    def wrong(binaries: list[bytes], names: list[str], seed: int) -> Outcome:
        outcome = run(binaries, names, seed)
        outcome.results[-1] = (outcome.results[-1][0], "ok", (3, 4))
        return outcome

    monkeypatch.setattr(binaryen, "_checked", wrong)
    path = FILES[0]
    assert [line for line in compare(_legacy(path).read_bytes(), path.read_bytes(), int(path.stem)) if line.startswith("checked")]
