"""What is imported before the first instruction of a program runs: each module takes a fifth of a millisecond, `typing` takes seven.

`import figwasp` imports next to nothing. The modules that load and run a program whose code is there already import none that
decode, validate or compile, and little of the standard library. What they need for the first run only is behind `DOORS`: modules
that are replaced here, as they import what compiles.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import figwasp
from tests.environment import COMPILED, RUNS, environment

DOORS: Final = {"figwasp.runtime.code.translate": "Translator", "figwasp.runtime.stubs.catalogue": "code"}
"""Modules by which running leads to compiling -> what is asked of them at import."""
RUNNING: Final = """
    figwasp.cli.main figwasp.runtime.platform.interrupt figwasp.cli.run figwasp.cli.running.execute figwasp.api.linker figwasp.wasi.preview1
    figwasp.runtime.start figwasp.runtime.code.compile figwasp.wasm.syntax.frozen
""".split()
"""The modules with which a program is loaded and run, by the command or by `figwasp.load`."""

COMPILING: Final = re.compile(
    r"figwasp\.(wasm\.(binary\.(?!leb128$)|text|debug\.(?!source$|demangle$))|wasm\.syntax\.(opcodes|stack_effect)|wasm\.valid\.(?!subtyping|matching)"
    r"|ir\.(?!builtins|constants|layouts|object_layout|type_descriptors|types)"
    r"|codegen\.(?!abi$|code$|isa$|isa\.x64$|isa\.x64\.(features|frames|registers|sequences|target)$|mach$|sequences$|stored|target$|unwind$|words$)|runtime\.stubs\.(?!heap$|heap\.library$|installed$|interface$|library$|symbols$)"
    r"|runtime\.(code\.(teardown|wrapper)|heap\.(arrays|structs|fields|chosen))|wasi\.(threads|descriptors\.sockets|directories\.(inmemory|overlay|tree)))"
)
"""Modules that such a program does without."""

STANDARD: Final = """
    __future__ _bisect _blake2 _collections _ctypes _functools _operator _struct _weakrefset array atexit binascii bisect collections
    collections.abc contextlib ctypes ctypes._endian errno faulthandler fcntl functools gc itertools keyword mmap operator reprlib
    resource select struct threading types weakref
""".split()
"""What they may have of the standard library, beside what Python imports itself."""
KNOWN: Final = (3, 13)
"""The newest version of Python whose own modules import no more than these do; `threading` imports `warnings` there."""
SLOW: Final = {
    "ast", "asyncio", "dataclasses", "enum", "heapq", "importlib", "inspect", "json", "math", "pickle", "random", "re", "signal", "socket",
    "subprocess", "tempfile", "traceback", "typing",
}  # fmt: skip
"""Modules that they do without in all versions."""
OF_MYPYC: Final = {"importlib", "importlib._bootstrap", "importlib._bootstrap_external", "importlib.machinery"} if COMPILED else set()
"""Modules that compiled ones import."""

BARE: Final = """
import os
import sys
before = set(sys.modules)
import figwasp
print(*sorted(set(sys.modules) - before))
"""
LIGHT: Final = """
import os
import sys
for name, wanted in DOORS.items():
    sys.modules[name] = module = type(sys)(name)
    setattr(module, wanted, object)
before = set(sys.modules)
for name in RUNNING:
    __import__(name)
print(*sorted(set(sys.modules) - before - set(DOORS)))
"""

ALL: Final = """
import pkgutil
import sys
import figwasp
from figwasp import lazy

class Lock:
    def __enter__(self):
        print(sys._getframe(1).f_code.co_filename, sys._getframe(1).f_lineno)
    def __exit__(self, *_):
        pass

lazy.importing = Lock()
for module in pkgutil.walk_packages(figwasp.__path__, "figwasp."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
assert sys.modules["figwasp.runtime.code.sources"].importing is lazy.importing
"""


SECOND: Final = """
import os
import sys
before = set(sys.modules)
import figwasp
text = bytes.fromhex(MODULE)
folder = FOLDER
os.environ["FIGWASP_CACHE"] = folder
def f(x):
    return x + 1
instance = figwasp.load(text, {"h": {"f": f}})
assert instance.run(20) == 42 and instance.memory[8] == 21
print(*sorted(set(sys.modules) - before))
"""
PROGRAM: Final = """(module (import "h" "f" (func $f (param i32) (result i32))) (memory (export "memory") 1) (data (i32.const 0) "abc")
  (table 2 funcref) (elem (i32.const 0) $twice) (global $g (mut i32) (i32.const 8))
  (func $twice (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "run") (param i32) (result i32) (local.set 0 (call $f (local.get 0)))
    (i32.store (global.get $g) (local.get 0)) (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0))))"""


def imported(code: str) -> list[str]:
    """Run code in a Python of its own that imports nothing by itself, and return the words that it prints."""
    path = environment()["PYTHONPATH"]
    start = f"import sys; sys.path[:0] = {path.split(':')!r}\n{code}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", start], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()


def light() -> list[str]:
    head = f"DOORS = {DOORS!r}\nRUNNING = {RUNNING!r}\n"
    return imported(head + LIGHT)


def test_the_package() -> None:
    assert set(imported(BARE)) - {"__future__"} == {"figwasp", "figwasp.lazy"}


@pytest.mark.skipif(not RUNS, reason="modules cannot be run here")
def test_running_imports_nothing_that_compiles() -> None:
    assert [name for name in light() if COMPILING.match(name)] == []


@pytest.mark.skipif(not RUNS, reason="modules cannot be run here")
def test_running_imports_little_of_the_standard_library() -> None:
    standard = {name for name in light() if not name.startswith("figwasp")} - OF_MYPYC
    assert standard & SLOW == set()
    if sys.version_info[:2] <= KNOWN:
        assert standard - set(STANDARD) <= {"warnings"}


@pytest.mark.skipif(not RUNS, reason="modules cannot be run here")
def test_the_second_start_imports_nothing_that_compiles(tmp_path: Path) -> None:
    """What is loaded and called is kept the first time, with the stubs that it needs."""
    code = SECOND.replace("MODULE", repr(figwasp.wat(PROGRAM).hex())).replace("FOLDER", repr(str(tmp_path)))
    first, second = imported(code), imported(code)
    assert any(map(COMPILING.match, first))
    assert [name for name in second if COMPILING.match(name)] == []
    standard = {name for name in second if not name.startswith("figwasp")} - OF_MYPYC
    assert standard & SLOW == set()
    if sys.version_info[:2] <= KNOWN:
        assert standard - set(STANDARD) <= {"marshal", "warnings"}


@pytest.mark.skipif(not RUNS, reason="modules cannot be imported here")
def test_no_module_takes_the_lock_of_imports() -> None:
    """While it is imported: another thread may have the lock, and wait for that module."""
    assert imported(ALL) == []


@pytest.mark.parametrize("name", ["figwasp.wasm.binary.decode", "figwasp.ir.ops", "figwasp.runtime.stubs.enter", "figwasp.codegen.isa.x64.insts"])
def test_what_compiles_is_known_by_name(name: str) -> None:
    assert COMPILING.match(name)
