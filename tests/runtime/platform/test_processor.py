"""Features of the processor: what it is asked, what FIGWASP_CPU allows, and that code says what it is made for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from figwasp import errors
from figwasp.codegen.code import Code
from figwasp.codegen.isa.x64 import features
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.stored.serial import BadCode, from_bytes, to_bytes
from figwasp.runtime.platform import processor
from tests.codegen.features import using
from tests.environment import HANG_GUARD, WARNINGS, environment

ALL = [1 << 12 | 1 << 27 | 1 << 28, 1 << 3 | 1 << 5, 1 << 5, 0b111]
"""Words of a processor that has all."""


def test_words_of_a_processor() -> None:
    assert features.found(ALL) == frozenset(features.KNOWN)
    assert features.found([0] * features.PROBE_WORDS) == frozenset()
    for xcr0 in (0b001, 0b010, 0b100):
        assert features.found([*ALL[:3], xcr0]) == {"bmi1", "lzcnt"}, "the system does not save the registers"
    without_osxsave = ALL[0] & ~(1 << 27)
    assert features.found([without_osxsave, *ALL[1:]]) == {"bmi1", "lzcnt"}
    assert features.found([ALL[0] & ~(1 << 28), *ALL[1:]]) == frozenset(features.KNOWN) - {"avx"}


def test_what_extends_avx_goes_with_it() -> None:
    with using(frozenset()):
        TARGET.use_features(frozenset({"avx2", "fma", "lzcnt"}))
        assert TARGET.features == ("lzcnt",)


def test_processor_is_asked() -> None:
    """Linux lists the same, under the same names but for that of one."""
    with open("/proc/cpuinfo") as file:
        flags = next((line.split() for line in file if line.startswith("flags")), [])
    if not flags:
        pytest.skip("no flags in /proc/cpuinfo")
    target = processor.machine()
    found = target.features_found(processor._probe(target))
    assert found == {name for name in features.KNOWN if {"lzcnt": "abm"}.get(name, name) in flags}


def test_words_of_the_variable() -> None:
    known = features.KNOWN
    assert processor.chosen("", known) == frozenset(known)
    assert processor.chosen("baseline", known) == frozenset()
    assert processor.chosen("avx, fma", known) == {"avx", "fma"}
    with pytest.raises(errors.Error, match=r"'avx512' is no feature that is known; known are avx, avx2, fma, lzcnt, bmi1, and baseline"):
        processor.chosen("avx,avx512", known)


@pytest.mark.parametrize(
    ("value", "used"), [("baseline", ()), ("lzcnt,bmi1", ("lzcnt", "bmi1")), ("", features.KNOWN), ("nonsense", None)]
)
def test_process_follows_the_variable(value: str, used: tuple[str, ...] | None) -> None:
    has = processor.machine().features
    program = "from figwasp.runtime.platform.processor import machine; print(*machine().features)"
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", program],
        env=environment(FIGWASP_CPU=value), capture_output=True, text=True, timeout=HANG_GUARD,
    )  # fmt: skip
    if used is None:
        assert done.returncode
        assert "FIGWASP_CPU: 'nonsense' is no feature that is known" in done.stderr
    else:
        assert tuple(done.stdout.split()) == tuple(name for name in used if name in has)


def test_code_for_another_machine_is_refused() -> None:
    with using(frozenset()):
        without = TARGET.fingerprint
        TARGET.use_features(frozenset({"avx"}))
        assert TARGET.fingerprint != without
        data = to_bytes(Code("f", 0), TARGET.fingerprint)
        from_bytes(data, TARGET.fingerprint)
        with pytest.raises(BadCode, match="another machine"):
            from_bytes(data, without)
