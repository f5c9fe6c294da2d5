"""Floor 7: `figwasp stubs`.

In: the words after `stubs`. Out: the exit status; a stub file (PEP 484) has been written, by which type checkers know what `import
plugin` gives by `figwasp.importer`: functions with the names of their parameters, if the name section has them, and memories,
tables, globals and tags. An export that is no identifier is left out: type checkers do not check `getattr`.
"""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from figwasp.cli.features import chosen, switches
from figwasp.cli.options import Argument, Command, Option
from figwasp.cli.streams import STREAM, binary_of, read, shown, write
from figwasp.errors import prefix_errors, printable
from figwasp.features import DEFAULT
from figwasp.types import F32, F64, I32, I64, V128
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import FUNC, GLOBAL, MEMORY, TABLE, TAG, Export, Module
from figwasp.wasm.valid.module import validate

__all__ = ["COMMAND", "main"]

COMMAND: Final = Command(
    "stubs",
    "Write the type hints of a module's exports, for type checkers of programs that import it by figwasp.importer: "
    "figwasp stubs plugin.wasm > plugin.pyi",
    [Argument("FILE", "the module; - or none for standard input", least=0)],
    {
        "options": [
            Option(("-o", "--output"), "FILE", "where to write it (default: standard output)"),
            *switches(DEFAULT),
        ]
    },
)

_CLASSES: Final = {MEMORY: "Memory", TABLE: "Table", GLOBAL: "Global", TAG: "Tag"}
_NUMBERS: Final = {I32: "int", I64: "int", F32: "float", F64: "float", V128: "bytes"}
_OTHERS: Final = "Any"  # references
_KEYWORD: Final = "timeout"


def main(words: list[str]) -> int:
    """Write the stubs of the module that the words name and return the exit status.

    Raises:
        Error: the module is not valid, or a file cannot be read or written.
    """
    given, rest = COMMAND.read(words)
    name = rest[0] if rest else STREAM
    data = read(name)
    with prefix_errors(shown(name)):
        module = decode(binary_of(data), chosen(given, DEFAULT))
        validate(module)
    return write(given.get("--output", STREAM), (f"{line}\n".encode() for line in _lines(shown(name), module)))


def _lines(name: str, module: Module) -> Iterator[str]:
    exports = [item for item in module.exports if _is_attribute(item.name)]
    types = _Types({item.name for item in exports})
    yield f"# Made by `figwasp stubs` of {printable(name).encode(errors='backslashreplace').decode()}."
    yield f"import builtins as {types.builtins}"
    yield f"import typing as {types.typing}"
    yield f"import figwasp as {types.figwasp}"
    yield ""
    yield f"__instance__: {types.figwasp}.Instance"
    for item in exports:
        yield _function(module, item, types) if item.kind == FUNC else f"{item.name}: {types.figwasp}.{_CLASSES[item.kind]}"


def _is_attribute(name: str) -> bool:
    """Return whether a name can be written in Python, and is not one of Python's own."""
    own = name.startswith("__") and name.endswith("__")
    return name.isidentifier() and not keyword.iskeyword(name) and not own and unicodedata.normalize("NFKC", name) == name


class _Types:
    """The names of types in a stub, which no export has.

    Attributes:
        builtins, typing, figwasp: names of these modules.
    """

    __slots__ = ("builtins", "figwasp", "typing")

    def __init__(self, taken: set[str]) -> None:
        self.builtins = _free("_builtins", taken)
        self.typing = _free("_typing", taken)
        self.figwasp = _free("_figwasp", taken)

    def value(self, code: int) -> str:
        """Return the type of a WebAssembly value of some type."""
        return f"{self.builtins}.{_NUMBERS[code]}" if code in _NUMBERS else f"{self.typing}.{_OTHERS}"

    def results(self, codes: Sequence[int]) -> str:
        """Return the type of a function's result."""
        shown = [self.value(code) for code in codes]
        if len(shown) == 1:
            return shown[0]
        return f"{self.builtins}.tuple[{', '.join(shown)}]" if shown else "None"


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _function(module: Module, item: Export, types: _Types) -> str:
    """Return the definition of a function: its parameters have no keywords but the one that every `figwasp.Func` has."""
    type_ = module.func_type(item.index)
    names = {_KEYWORD}
    words = []
    for index, (given, code) in enumerate(zip(module.parameter_names(item.index), type_.params, strict=True)):
        name = _free(given if _is_attribute(given) else f"p{index}", names)
        names.add(name)
        words.append(f"{name}: {types.value(code)}")
    if words:
        words.append("/")
    words += ["*", f"{_KEYWORD}: {types.builtins}.float | None = ..."]
    return f"def {item.name}({', '.join(words)}) -> {types.results(type_.results)}: ..."
