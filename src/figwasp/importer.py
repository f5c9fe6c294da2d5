"""Floor 6: after `import figwasp.importer`, an import statement finds WebAssembly modules as well as Python's.

    import figwasp.importer
    import plugin  # plugin.wasm, or plugin.wat, in a folder of sys.path

Where it looks: in the folders and zip files of `sys.path`, and for submodules in those of their package, for NAME.wasm, then
NAME.wat. Python's own finders are asked first, so that nothing of Python's is shadowed, wherever in `sys.path` it stands; that
includes a mere folder called NAME, which Python takes for a package.

What satisfies its imports: an import "host" "log" is the attribute `log` of the Python module `host`, which is imported. For a
module in a package the siblings come first: `package.plugin` gets `package.host` if there is such a module, otherwise `host`.
These may be WebAssembly modules, too. No other Python module is imported for it. What belongs to WASI preview 1 comes from a
`figwasp.wasi.WASI` of its own, which is given nothing but the standard streams. `_initialize` is called, if it is exported, but
not `_start`.

What the Python module has: the exports as attributes; those that are no identifiers by `getattr(plugin, "some-name")`. Names
with two underscores at either end remain Python's. `plugin.__instance__` is the `figwasp.Instance`. A WebAssembly module that
cannot be loaded, or that traps or exits while it is initialized, is an ImportError with figwasp's exception as its cause.
Exceptions of Python code that the module calls pass through. `importlib.reload` makes a new instance, with a memory of its own.

Modules that are imported like this are trusted as Python modules are: importing one imports the Python modules that it names,
whichever they are, and it may call any function of theirs, `os.system` too. This is no sandbox. For other people's code use
`figwasp.load`, which gives a module only the imports it is passed.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import FileFinder, ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Any, Final

import figwasp
from figwasp import wasi

__all__ = ["WasmFinder", "WasmLoader", "engine"]

engine: figwasp.Engine | None = None
"""The engine that modules are compiled with from now on; None means the default."""

SUFFIXES: Final = [".wasm", ".wat"]
_WASI: Final = ("wasi_snapshot_preview1", "wasi_unstable")


class WasmLoader:
    """Loads one file as a Python module, as `importlib` asks for it.

    Attributes:
        name: full name of the module.
        path: of the file.
    """

    def __init__(self, name: str, path: str, read: Callable[[str], bytes] | None = None) -> None:
        """Make a loader.

        Args:
            name, path: the attributes.
            read: returns the content of a file of an archive; None for files of the file system.
        """
        self.name = name
        self.path = path
        self._read = read

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave the making of the module object to the import system."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module object with the exports of a new instance.

        Raises:
            ImportError: the file is no valid WebAssembly module, one of its imports is missing or of another type, or it trapped.
        """
        try:
            self._fill(module)
        except (figwasp.Error, OSError, MemoryError) as error:
            raise self._refusal(str(error)) from error

    def _refusal(self, reason: str) -> ImportError:
        return ImportError(f"cannot import {self.path}: {reason}", name=self.name, path=self.path)

    def _fill(self, module: ModuleType) -> None:
        compiled = figwasp.Module(self._binary(), engine=engine)
        wanted = {item.module for item in compiled.imports}
        world = wasi.WASI() if wanted.intersection(_WASI) else None
        imports: dict[str, Any] = {name: self._provider(name) for name in sorted(wanted.difference(_WASI))}
        if world is not None:
            imports.update(world.imports())
        instance = figwasp.load(compiled, imports)
        exports = instance.exports
        if isinstance(initialize := _export(exports, "_initialize"), figwasp.Func):
            if initialize.type.params:
                raise self._refusal(f"_initialize must take no arguments, not {initialize.type}")
            initialize()
        self._publish(module, instance)

    def _binary(self) -> bytes:
        try:
            data = self.get_data(self.path)
        except Exception as error:  # what a damaged archive raises is zlib's matter, among others
            raise self._refusal(str(error)) from error
        return figwasp.wat(data) if self.path.endswith(".wat") else data

    def _publish(self, module: ModuleType, instance: figwasp.Instance) -> None:
        names = [name for name in instance.exports if not (name.startswith("__") and name.endswith("__"))]
        for name in names:
            setattr(module, name, instance.exports[name])
        space: dict[str, object] = module.__dict__
        space["__instance__"] = instance
        space["__all__"] = [name for name in names if name.isidentifier() and not name.startswith("_")]

    def _provider(self, name: str) -> ModuleType:
        """Return the Python module that satisfies imports from a module name.

        Raises:
            ModuleNotFoundError: there is no such module.
        """
        package = self.name.rpartition(".")[0]
        for full in [f"{package}.{name}", name] if package else [name]:
            if full == self.name or not all(part.isidentifier() for part in full.split(".")):
                continue
            try:
                return importlib.import_module(full)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{full}.".startswith(f"{error.name}."):
                    raise  # something that the Python module itself wants
        message = f"{self.path} imports from {name!r}, which is no Python module"
        raise ModuleNotFoundError(message, name=name, path=self.path)

    # What else the import system and its users ask of loaders

    def is_package(self, name: str) -> bool:
        """Answer that the module has no submodules."""
        return False

    def get_filename(self, name: str) -> str:
        """Return the path of the file."""
        return self.path

    def get_data(self, path: str) -> bytes:
        """Return the content of a file."""
        if self._read is not None:
            return self._read(path)
        with open(path, "rb") as file:
            return file.read()

    def get_source(self, name: str) -> str | None:
        """Return the text, or None for a binary."""
        return self.get_data(self.path).decode("utf-8", "replace") if self.path.endswith(".wat") else None

    def get_code(self, name: str) -> None:
        """Answer that there is no Python code."""
        return

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WasmLoader) and (other.name, other.path) == (self.name, self.path)

    def __hash__(self) -> int:
        return hash((self.name, self.path))

    def __repr__(self) -> str:
        return f"<WasmLoader {self.name} from {self.path!r}>"


def _export(exports: figwasp.Exports, name: str) -> object:
    """Return an export, or None."""
    try:
        return exports[name]
    except KeyError:
        return None


def _find_in_archive(name: str, folder: str, read: Callable[[str], bytes]) -> ModuleSpec | None:
    """Return where a module is in a folder of an archive, or None.

    Args:
        name: its full name.
        folder: path of the archive, and of the folder in it.
        read: returns the content of a file by its path, or raises OSError.
    """
    for suffix in SUFFIXES:
        path = os.path.join(folder, name.rpartition(".")[2] + suffix)
        try:
            read(path)
        except OSError:
            continue
        except Exception:  # it is there, but damaged, which loading it will say
            pass
        return spec_from_file_location(name, path, loader=WasmLoader(name, path, read))  # type: ignore[arg-type]
    return None


class WasmFinder:
    """Finds WebAssembly modules in folders and zip files: one at the end of `sys.meta_path`."""

    def __init__(self) -> None:
        self._folders: dict[str, FileFinder] = {}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where a module is, or None.

        Args:
            name: its full name.
            path: the folders of its package; None for a module of the top level, which is looked for in `sys.path`.
            target: not used.
        """
        for entry in sys.path if path is None else path:
            if isinstance(entry, str):
                # Python's own finders, which have been asked before, leave here what reads an archive.
                read = getattr(sys.path_importer_cache.get(entry), "get_data", None)
                spec = self._folder(entry).find_spec(name) if read is None else _find_in_archive(name, entry, read)
                if spec is not None and spec.loader is not None:  # without a loader: a folder that might be a namespace package
                    return spec
        return None

    def _folder(self, entry: str) -> FileFinder:
        folder = os.path.abspath(entry)
        finder = self._folders.get(folder)
        if finder is None:
            finder = self._folders[folder] = FileFinder(folder, (WasmLoader, SUFFIXES))  # type: ignore[arg-type]
        return finder

    def invalidate_caches(self) -> None:
        """Look again at what is in the folders."""
        self._folders.clear()

    def __repr__(self) -> str:
        return "<WasmFinder>"


def _install() -> None:
    """Put a finder behind all others, in place of what an earlier import of this module has put there."""
    for finder in sys.meta_path[:]:
        if type(finder).__module__ == __name__:
            sys.meta_path.remove(finder)
    sys.meta_path.append(WasmFinder())


_install()
