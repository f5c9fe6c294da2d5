"""Subinterpreters: reading, validating, printing and explaining work in them, running is refused, and the main one is none the worse."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.environment import COMPILED
from tests.runtime.platform.test_platforms import USE
from tests.runtime.support import check_script

RUN: Final = """
import warnings
warnings.simplefilter("ignore")

def in_another(code):
    try:
        import _interpreters as interpreters
        other = interpreters.create("isolated" if ISOLATED else "legacy")
    except ImportError:
        import _xxsubinterpreters as interpreters
        other = interpreters.create(isolated=ISOLATED)
    failed = interpreters.run_string(other, code)
    assert failed is None, failed.formatted
    interpreters.destroy(other)
"""
"""Runs code in a subinterpreter as the versions since 3.11 do; an isolated one has a GIL of its own since 3.12."""

FIRST: Final = """
import figwasp
inst = figwasp.load(figwasp.wat('(module (memory 1) (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))'))

def check():
    assert inst.load(4) == 0
    try:
        inst.load(-1)
    except figwasp.Trap:
        return
    raise SystemExit("no trap")

check()
"""


@pytest.mark.skipif(COMPILED, reason="modules that mypyc has compiled have one state for all interpreters of a process")
@pytest.mark.parametrize("first", [FIRST, "def check():\n    pass\n"], ids=["after the main one", "first of all"])
@pytest.mark.parametrize("isolated", [True, False], ids=["isolated", "legacy"])
def test_what_works_in_a_subinterpreter(isolated: bool, first: str, tmp_path: Path) -> None:
    code = f"WORD, PATH = 'interpreter', {str(tmp_path / 'add.wasm')!r}\n{USE}"
    check_script(f"ISOLATED = {isolated}\n{RUN}\n{first}\nfor _ in range(2):\n    in_another({code!r})\n    check()\n{FIRST}")


def test_a_subinterpreter_is_told_from_the_main_one(tmp_path: Path) -> None:
    """One that shares the GIL lacks no module: it is refused by its number, and the message says what to use."""
    code = """if True:
        import figwasp
        try:
            figwasp.Memory(1)
        except figwasp.Unsupported as error:
            assert "this is a subinterpreter: use a thread of the main one, or a process" in str(error), error
        else:
            raise SystemExit("no error")
        """
    check_script(f"ISOLATED = False\n{RUN}\nin_another({code!r})\n")


def test_interpreters_of_the_standard_library(tmp_path: Path) -> None:
    """`concurrent.interpreters`, and a pool of them, whose workers import what they are to run."""
    pytest.importorskip("concurrent.interpreters", reason="concurrent.interpreters is new in Python 3.14")
    code = f"WORD, PATH = 'interpreter', {str(tmp_path / 'add.wasm')!r}\n{USE}"
    check_script(f"""
        from concurrent import futures, interpreters
        other = interpreters.create()
        other.exec({code!r})
        other.close()
        with futures.InterpreterPoolExecutor(1) as pool:
            pool.submit(exec, {code!r}, {{}}).result()
        """)


@pytest.mark.parametrize("isolated", [True, False], ids=["isolated", "legacy"])
def test_fault_handlers_of_a_subinterpreter(isolated: bool) -> None:
    """It shares the functions that figwasp follows (decision 015): what it installs is behind ours, and the main one's traps stay traps."""
    code = """if True:
        try:
            import faulthandler
        except ImportError:
            pass
        else:
            faulthandler.enable()
            assert faulthandler.is_enabled()
            faulthandler.disable()
            faulthandler.enable()
        """
    check_script(f"ISOLATED = {isolated}\n{RUN}\n{FIRST}\nin_another({code!r})\ncheck()\nimport faulthandler\nfaulthandler.enable()\ncheck()\n")
