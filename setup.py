"""The build of compiled modules, an option: `FIGWASP_MYPYC=1 pip install .` makes C of the modules of floors 1 to 3 with mypyc.

Without that variable it adds nothing to pyproject.toml, and the wheel is pure Python. With it a wheel has the sources too, and what
Python imports in place of those that have been compiled stands beside them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent

FLOORS: Final = ("wasm", "ir", "codegen")

LEFT_OUT: Final = (
    # Classes of which modules that are not compiled have subclasses: stubs, explain, descriptors of types.
    "ir/build/emitter.py", "codegen/pipeline.py", "wasm/valid/subtyping.py",
    # Between functions, and between passes over one, Python attends to signals and other threads, which compiled code never does.
    "wasm/valid/module.py", "ir/pipeline.py",
    # Classes that derive from built-in ones of which mypyc has no native subclasses. They check and evaluate, for tests above all.
    "codegen/regalloc/check_state.py", "ir/verify.py", "ir/evaluate/*.py",
    # Classes whose `__slots__` are read as the list of their attributes, which native classes do not have.
    "wasm/syntax/module.py", "wasm/syntax/types.py", "wasm/syntax/frozen.py", "wasm/syntax/names.py", "codegen/code.py",
    # `Target` completes itself when an attribute is missing, and is copied by its `__slots__`.
    "codegen/target.py", "codegen/isa/x64/target.py",
    # Statements in the bodies of classes for which mypyc has no form.
    "ir/build/frames/continuation.py", "codegen/sequences.py", "codegen/isa/x64/sequences.py",
    # Classes below TYPE_CHECKING, which mypyc takes for nested ones.
    "ir/constants.py", "ir/type_descriptors.py",
    # A class with docstrings that users read, which native ones do not have; and what `python -m` runs, which is a source.
    "wasm/valid/uses.py", "codegen/baseline/cut.py",
    # Generated data.
    "codegen/isa/x64/baseline/templates.py",
)  # fmt: skip
"""What of these floors stays as it is, and why."""

LAST: Final = ("types.py", "ops.py", "builtins.py", "insts.py", "insts_vector.py")
"""Tables whose constants have no annotations. Imports below TYPE_CHECKING close circles of modules; mypy infers the types in one
from its last module to its first, and has to know those of these before it comes to what computes with them."""


def modules() -> list[str]:
    """Return the paths of the modules to compile, from here."""
    package = ROOT / "src" / "figwasp"
    found = {path for floor in FLOORS for path in package.glob(f"{floor}/**/*.py") if path.name != "__init__.py"}
    found -= {path for pattern in LEFT_OUT for path in package.glob(pattern)}
    return [str(path.relative_to(ROOT)) for path in sorted(found, key=lambda path: (path.name in LAST, path))]


def main() -> None:
    """Build what pyproject.toml says, and compile if asked."""
    from setuptools import setup

    if os.environ.get("FIGWASP_MYPYC") != "1":
        setup()
    elif "egg_info" in sys.argv:
        setup(setup_requires=["mypy>=2.0"])  # what the frontend asks for first: a build needs this
    else:
        from mypyc.build import mypycify

        # A file of C for each module: in one file the compiler would need gigabytes. -O3 gains nothing.
        setup(ext_modules=mypycify(modules(), multi_file=True, opt_level="2", debug_level="0", group_name="figwasp"))


if __name__ == "__main__":
    main()
