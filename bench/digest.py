"""Whether the compiler still makes the same code: a digest of every function of the kernels and programs of the test data.

`python bench/digest.py > before`, change something, `python bench/digest.py > after`, `diff before after`. A line tells a module's
name, how many functions were compiled and refused, and a digest of their bytes, relocations and tables, or of the reason of
a refusal. `--functions` prints a line for each function instead, to find the one that differs.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

from side import need_shared

from figwasp.codegen.code import Code
from figwasp.errors import Error
from figwasp.layout import CHECKED, GUARD
from figwasp.runtime.code.translate import Translator
from figwasp.wasm.binary.decode import decode

PIECE = 400  # functions that a process compiles at a time
MODES = {"guard": GUARD, "checked": CHECKED}
Answer = tuple[int, str, str]
"""Of a function: index, digest, and why it was refused, or nothing."""

_translators: dict[tuple[Path, str, bool], Translator] = {}


def translator(path: Path, mode: str, metered: bool) -> Translator:
    """Return what translates a module, made once a process; only the last one is kept."""
    key = (path, mode, metered)
    if key not in _translators:
        _translators.clear()
        _translators[key] = Translator(decode(path.read_bytes()), MODES[mode], metered)
    return _translators[key]


def canonical(code: Code) -> str:
    """Write down what installing and running a function depends on."""
    relocs = sorted((offset, kind, target) for offset, _, kind, target in code.relocs)
    tables = (relocs, code.traps, code.positions, code.frame_size, code.frame_size_exceptions, code.text_size)
    return f"{code.name} {code.index} {code.data.hex()} {tables}"


def compile_piece(work: tuple[Path, str, bool, range]) -> list[Answer]:
    """Compile some functions of a module."""
    path, mode, metered, indices = work
    gc.disable()
    answers = []
    for index in indices:
        refusal = ""
        try:
            text = canonical(translator(path, mode, metered).translate(index))
        except Error as error:
            text = refusal = f"{type(error).__name__}: {error}"
        answers.append((index, hashlib.sha256(text.encode()).hexdigest()[:16], refusal))
    return answers


def pieces(files: list[Path], mode: str, metered: bool) -> Iterator[tuple[Path, str, bool, range]]:
    """Cut all modules into pieces of work."""
    for path in files:
        module = decode(path.read_bytes())
        first = module.num_imported_funcs
        last = first + len(module.bodies)
        for start in range(first, last, PIECE):
            yield path, mode, metered, range(start, min(start + PIECE, last))


def main() -> None:
    """Print the digests of the modules named by the arguments, or of all."""
    parser = argparse.ArgumentParser(description="Print digests of the machine code of whole modules.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="modules; all kernels and programs without any")
    parser.add_argument("--mode", choices=MODES, default="guard", help="how memory accesses are made safe")
    parser.add_argument("--metered", action="store_true", help="count fuel")
    parser.add_argument("--functions", action="store_true", help="a line for each function")
    options = parser.parse_args()
    files = options.files
    if not files:
        shared = need_shared()
        files = sorted((shared / "kernels/wasm").glob("*.wasm")) + sorted((shared / "programs/modules").glob("*.wasm"))
    work = list(pieces(files, options.mode, options.metered))
    answers: dict[Path, list[Answer]] = {path: [] for path in files}
    with Pool(os.cpu_count()) as pool:
        for (path, _, _, _), found in zip(work, pool.imap(compile_piece, work), strict=True):
            answers[path] += found
    for path, found in answers.items():
        if options.functions:
            for index, digest, refusal in found:
                print(f"{path.stem} {index} {digest} {refusal}".rstrip())
        else:
            total = hashlib.sha256("".join(digest for _, digest, _ in found).encode()).hexdigest()[:16]
            refused = sum(bool(refusal) for _, _, refusal in found)
            print(f"{path.stem:24}{len(found) - refused:7} compiled{refused:6} refused  {total}")


if __name__ == "__main__":
    main()
