"""Floor 5: modules: decoded and validated, ready to be instantiated any number of times."""

from __future__ import annotations

import os
from functools import cache

from figwasp.api.engine import chosen, default_engine
from figwasp.api.externs import KINDS, ExportType, ImportType, extern_type
from figwasp.errors import Malformed, Unsupported, prefix_errors, printable
from figwasp.features import ALL
from figwasp.lazy import importing
from figwasp.locks import new_lock
from figwasp.runtime import arguments
from figwasp.wasm.syntax.frozen import thaw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import ModuleType
    from typing import Any, Final

    from figwasp.api.engine import Engine
    from figwasp.api.instance import Instance
    from figwasp.api.linker import Imports
    from figwasp.api.snapshot import Snapshot
    from figwasp.codegen.stored.image import Image
    from figwasp.features import Features
    from figwasp.runtime.code.compile import CompiledModule
    from figwasp.runtime.code.kept import Kept
    from figwasp.runtime.code.translate import Translator
    from figwasp.runtime.config import Config
    from figwasp.runtime.whole.whole import Outcome, Whole
    from figwasp.wasm.syntax.module import Export
    from figwasp.wasm.syntax.module import Module as Decoded
    from figwasp.wasm.valid.module import FactsOf, FuncFacts
    from figwasp.wasm.valid.uses import Use

_HINT: Final = "a module in the text format is given as figwasp.wat(TEXT), or as the path of a .wat file"

Source = str | os.PathLike[str] | bytes | bytearray | memoryview
"""A path (of a binary, or of a text ending in .wat), or the bytes of a binary."""


class Module:
    """A WebAssembly module.

    Modules with equal bytes and equal engines are equal. A module can be pickled; it is compiled anew where it is loaded.

    >>> import figwasp
    >>> module = figwasp.Module(figwasp.wat('(module $m (import "env" "log" (func (param i32))) (memory (export "memory") 1 4))'))
    >>> module
    <figwasp.Module m: 1 import, 1 export, 57 bytes>
    >>> module.imports, module.exports
    ([<import env.log: func (i32) -> ()>], [<export memory: memory 1 4>])

    Args:
        source: a path, or the bytes of a binary.
        engine: the engine that compiles the module; None means the default.
        lazy: validate each function when it is first called instead of all of them now.

    Raises:
        Malformed: the source is not a module. The message begins with the path if `source` is one, as that of Invalid does.
        Invalid: the module does not validate.
        OSError: the file cannot be read.
    """

    __slots__ = (
        "__weakref__",
        "_by_name",
        "_compiled",
        "_decoded",
        "_facts",
        "_image",
        "_is_valid",
        "_kept",
        "_lock",
        "engine",
        "lazy",
    )

    _decoded: Decoded
    """The decoded module."""

    def __init__(self, source: Source, *, engine: Engine | None = None, lazy: bool = False) -> None:
        engine = chosen(engine)
        with prefix_errors(None if isinstance(source, (bytes, bytearray, memoryview)) else os.fspath(source)):
            data = _read(source)
            kept = self._kept = _look_up(engine.config, data)
            if kept is None or kept.frozen is None:
                decoded = self._decoded = _decode(data, engine.config.features)
            else:
                decoded = self._decoded = thaw(kept.frozen, data, engine.config.features)
            self._is_valid = not lazy or (kept is not None and kept.valid)
            if kept is not None and (kept.valid or (lazy and kept.frozen is not None)):
                self._facts = _facts_later(decoded)
            elif lazy:
                self._facts = _validation().facts_when_asked(decoded)
            else:
                self._facts = _validation().facts_at_once(decoded)
                if kept is not None:
                    kept.note_valid(decoded)
        self._image: Image | None = None
        self._begin(engine, lazy)

    def _begin(self, engine: Engine, lazy: bool) -> None:
        self.engine = engine
        self.lazy = lazy
        self._compiled: CompiledModule | None = None
        self._lock = new_lock()
        self._by_name: dict[str, Export] | None = None

    @classmethod
    def _restored(cls, decoded: Decoded, is_valid: bool, image: Image, engine: Engine) -> Module:
        """Make a module of what another has left."""
        self = cls.__new__(cls)
        self._decoded = decoded
        self._facts = _facts_later(decoded)
        self._is_valid = is_valid
        self._kept = None
        self._image = image
        self._begin(engine, not is_valid)
        return self

    @property
    def _code(self) -> CompiledModule:
        """The code of its functions, made when it is first asked for.

        Raises:
            Unsupported: this platform cannot run compiled code.
        """
        if self._compiled is None:
            with self._lock:
                if self._compiled is None:
                    with importing:
                        from figwasp.runtime.code.compile import CompiledModule  # decoding and validating work anywhere
                        from figwasp.runtime.start import native_runtime

                    native = native_runtime()
                    made = CompiledModule(native, self._decoded, self._facts, self.engine.config, self._kept, self._image)
                    if self._compiled is None:  # no signal handler has come in between
                        self._compiled = made
        return self._compiled

    @property
    def _has_kept_code(self) -> bool:
        """Whether there is code of the module from before; no longer known when what is in the cache is in use."""
        return self._image is not None or (self._kept is not None and self._kept.has_code)

    @property
    def name(self) -> str | None:
        """The name of the module, from the name section."""
        return self._decoded.name

    @property
    def imports(self) -> list[ImportType]:
        """The imports of the module, in order."""
        signature = self._decoded.signature
        return [
            ImportType(item.module, item.name, KINDS[item.kind], signature(item.desc) if isinstance(item.desc, int) else item.desc)
            for item in self._decoded.imports
        ]

    @property
    def exports(self) -> list[ExportType]:
        """The exports of the module, in order."""
        decoded = self._decoded
        return [ExportType(item.name, KINDS[item.kind], extern_type(decoded, item.kind, item.index)) for item in decoded.exports]

    @property
    def _exports_by_name(self) -> dict[str, Export]:
        """The decoded exports."""
        if self._by_name is None:
            self._by_name = {export.name: export for export in self._decoded.exports}
        return self._by_name

    @property
    def features(self) -> dict[str, Use]:
        """The proposals that the module uses, by name: the first place that needs each, and the functions that do.

        They are found anew at each access, which takes a tenth of a second for 5 MB of code.

        >>> import figwasp
        >>> module = figwasp.Module(figwasp.wat("(func (result i32) (i32.extend8_s (i32.const 255)))"))
        >>> module.features
        {'sign-extension': <use of sign-extension: i32.extend8_s in function 0 at 0x1b>}
        """
        with importing:
            from figwasp.wasm.valid.uses import uses  # few ask

        return uses(self._decoded.data)

    @staticmethod
    def unsupported(source: Source, *, engine: Engine | None = None) -> dict[str, Use]:
        """Return the proposals that a module uses and that an engine has off; `Module` would refuse it, unless there are none.

        >>> import figwasp
        >>> found = figwasp.Module.unsupported(figwasp.wat("(func (atomic.fence)) (memory 1 1 shared)"))
        >>> found["threads"].what, found["threads"].funcs
        ('memory section', [0])
        >>> engine = figwasp.Engine(features=figwasp.Engine().features.including(*found))

        Args:
            source: a path, or the bytes of a binary. Function bodies are not validated.
            engine: None means the default.

        Raises:
            Malformed: the source is not a module, whatever is on.
            Invalid: it does not validate outside of function bodies, whatever is on.
            OSError: the file cannot be read.
        """
        with importing:
            from figwasp.wasm.valid.uses import uses

        data = _read(source)
        with prefix_errors(None if isinstance(source, (bytes, bytearray, memoryview)) else os.fspath(source)):
            return uses(data, ALL.enabled - chosen(engine).features.enabled)

    def instantiate(
        self, imports: Imports | None = None, *, unknown_imports: str = "error", snapshot: Snapshot | None = None
    ) -> Instance:
        """Make an instance, as `figwasp.load` does.

        >>> import figwasp
        >>> text = '(module (import "env" "ask" (func $ask (result i32))) (export "ask" (func $ask)))'
        >>> figwasp.Module(figwasp.wat(text)).instantiate({"env": {"ask": lambda: 42}}).ask()
        42
        """
        with importing:
            from figwasp.api.linker import load

        return load(self, imports, unknown_imports=unknown_imports, snapshot=snapshot)

    def compile_ahead(self) -> AbstractContextManager[None]:
        """Return a context in which a second process compiles functions that will probably be called next.

        The second process is forked when the context is entered, when this process therefore must not have other threads, and ended
        with the context. Without a second processor, or where Python knows of other threads, none is forked; nor with a baseline
        compiler (`Engine(tier=...)`), which makes code faster than two processes do.
        """
        return self._code.ahead()

    def compile(self, jobs: int | None = None, progress: Callable[[int, int], object] | None = None) -> None:
        """Compile all functions that are not compiled yet; those of a lazy module are validated.

        Their code is used from now on, and kept in the cache if the engine has one; it is the same in whichever order and however
        many processes it is made. Other processes are forked from this one, which therefore must not have other threads; where
        Python knows of any, everything is compiled in this process. Ctrl-C, or an exception of `progress`, ends the other processes
        and changes nothing: what has been compiled until then is lost.

        >>> import figwasp
        >>> module = figwasp.Module(figwasp.wat("(func (result i32) (i32.const 1)) (func)"))
        >>> module.compile(jobs=1, progress=lambda done, total: print(f"{done} of {total} bytes"))
        4 of 6 bytes
        6 of 6 bytes
        >>> module.compile(progress=print)  # all are there

        Args:
            jobs: the number of processes, from 1, which is this one alone; None for as many as this process may use processors and
                there is enough to do for.
            progress: called in this thread with the bytes of function bodies that have been compiled and of all that are to be.

        Raises:
            Malformed, Invalid, LimitExceeded: as for `Module`, if the module is lazy.
            Unsupported: this platform cannot run compiled code.
            TypeError, ValueError: `jobs` is no number of processes.
        """
        jobs = arguments.jobs(jobs)
        if progress is not None and not callable(progress):
            raise TypeError(f"progress must be callable or None, not {type(progress).__name__}")
        self._compile_all(jobs, progress)

    def _compile_all(self, jobs: int | None, progress: Callable[[int, int], object] | None) -> Outcome:
        """Do what `compile` does, and tell what came of it."""
        with importing:
            from figwasp.runtime.whole.whole import Outcome

        whole = self._whole()
        before = len(whole)
        whole.compile_all(self._is_valid, jobs, progress)
        image = whole.image()
        with self._lock:
            self._is_valid = True
            compiled = self._compiled
            if compiled is None or not compiled.has_all(image):
                self._image = image
        if compiled is not None:
            compiled.install_all(image)
        is_kept = self._kept is not None and self._kept.replace(self._decoded, image)
        return Outcome(len(image), before, image.size, is_kept)

    def _whole(self) -> Whole:
        """Return the code that there is, to be made whole."""
        with importing:
            from figwasp.runtime.whole.whole import Whole

        config = self.engine.config
        mode = config.mode  # once for all processes

        def make() -> Translator:
            with importing:
                from figwasp.runtime.code.translate import Translator  # best imported where it is needed

            return Translator(self._decoded, mode, config.metered, self._facts)

        return Whole(self._decoded, make, self._images())

    def _images(self) -> Iterator[Image | None]:
        """Yield the images of the code that there is."""
        if self._image is not None and self._image.text:
            yield self._image
        if self._compiled is not None:
            yield self._compiled.image()
        elif self._kept is not None:
            yield self._kept.image

    def serialize(self) -> bytes:
        """Return the module with all code of it that there is, for `figwasp.deserialize` in another process; call `compile` before.

        Functions that have been compiled when they were called first are compiled once more for it. Equal modules of which the same
        functions are compiled have the same bytes.

        Raises:
            Unsupported: this platform cannot run compiled code.
            Error: the sources of figwasp have been changed since this process began.
        """
        with importing:
            from figwasp.runtime.whole.packed import pack

        whole = self._whole()
        if self._compiled is not None:
            whole.compile(sorted(self._compiled.known), 1)
        return pack(self._decoded, self.engine.config, self._is_valid, whole.image())

    def custom_sections(self, name: str) -> list[bytes]:
        """Return the contents of the custom sections of a name, in order."""
        decoded = self._decoded
        return [decoded.data[custom.start : custom.end] for custom in decoded.customs if custom.name == name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Module) and self._decoded.data == other._decoded.data and self.engine == other.engine

    def __hash__(self) -> int:
        return hash((self._decoded.data, self.engine))

    def __reduce__(self) -> tuple[Any, ...]:
        engine = None if self.engine is default_engine() else self.engine
        return _load, (self._decoded.data, engine, self.lazy)

    def __repr__(self) -> str:
        decoded = self._decoded
        counts = f"{_count(len(decoded.imports), 'import')}, {_count(len(decoded.exports), 'export')}, {len(decoded.data)} bytes"
        return f"<figwasp.Module{' ' if decoded.name else ''}{printable(decoded.name or '')}: {counts}>"


def deserialize(data: bytes | bytearray | memoryview, engine: Engine | None = None) -> Module:
    """Return the module that `Module.serialize` has made bytes of.

    **Only for bytes of your own.** They have machine code in them, which runs in this process without any checks: whoever can write
    the bytes can do here whatever you can. The checksum finds what has been damaged, not what has been forged. Never take them from
    others, nor from where others can write; take their `.wasm`.

    The module takes nothing from the cache and adds nothing to it.

    >>> import figwasp
    >>> module = figwasp.Module(figwasp.wat('(func (export "f") (result i32) (i32.const 1))'))
    >>> module.compile()
    >>> data = module.serialize()
    >>> figwasp.deserialize(data).instantiate().f()
    1
    >>> figwasp.deserialize(data, figwasp.Engine(fuel=True))
    Traceback (most recent call last):
    figwasp.errors.Unusable: the serialized module is for something else than what is here: fuel: not counted; here: counted

    Args:
        data: the bytes.
        engine: the engine of the module, None for the default. Its `features`, its `memory`, and whether it counts `fuel` have to
            be those of the engine that the module had; everything else may be different.

    Raises:
        Unusable: the bytes are no serialized module, or damaged; or for another figwasp, Python, processor or engine.
            The message says what is different, and so does `differs`.
        Unsupported: this platform cannot run compiled code.
        TypeError: the arguments are of wrong types.
    """
    engine = chosen(engine)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data must be bytes, not {type(data).__name__}")
    with importing:
        from figwasp.runtime.whole.packed import unpack

    return Module._restored(*unpack(bytes(data), engine.config), engine)


def _load(data: bytes, engine: Engine | None, lazy: bool) -> Module:
    """Make a module again from its pickle."""
    return Module(data, engine=engine, lazy=lazy)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _facts_later(module: Decoded) -> FactsOf:
    """Return the facts of a module of which all but the bodies has been found valid before, when somebody asks for the first."""
    made: list[FactsOf] = []

    def facts(index: int) -> FuncFacts:
        if not made:
            made.append(_validation().facts_when_asked(module))
        return made[0](index)

    return facts


def _look_up(config: Config, data: bytes) -> Kept | None:
    """Return what is kept of a module on the disk, or None."""
    if config.cache is None:
        return None
    try:
        with importing:
            from figwasp.runtime.code.kept import look_up  # where nothing can be run, modules can be looked at
    except Unsupported:
        return None
    return look_up(config, data)


@cache  # at the very end nothing can be imported, even if it has been before
def _validation() -> ModuleType:
    """Return the module that validates; programs that are kept on the disk do without, and without the decoder."""
    with importing:
        from figwasp.wasm.valid import module

    return module


def _decode(data: bytes, features: Features) -> Decoded:
    with importing:
        from figwasp.wasm.binary.decode import decode

    try:
        return decode(data, features)
    except Malformed as error:
        if _is_text(data):
            error.add_note(_HINT)
        raise


def _is_text(source: bytes | str) -> bool:
    """Return whether a source looks like a module in the text format."""
    start = source.lstrip()[:2]
    return start[:1] in (b"(", "(") or start in (b";;", ";;")


def _read(source: Source) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    path = os.fspath(source)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:
        if _is_text(path):
            error.add_note(_HINT)
        raise
    return as_binary(data, path)


def as_binary(data: bytes, name: str) -> bytes:
    """Return the binary of a file's contents, which are text if the name ends in .wat.

    Raises:
        ParseError: the text cannot be read.
    """
    if not name.endswith(".wat"):
        return data
    with importing:
        from figwasp.wasm.text.parse.module import wat  # as much to import as the decoder and the validator

    return wat(data)
