"""Floor 5: instantiating modules: `load` with imports given at once, and `Linker`, which collects them beforehand (spec 4.7.3)."""

from __future__ import annotations

import os
import threading

from figwasp.api.engine import chosen
from figwasp.api.imports import MISSING, Late, check_imports, check_namespace, look_up, member, resolve
from figwasp.api.instance import Instance, remember
from figwasp.api.module import Module
from figwasp.errors import Unlinkable
from figwasp.lazy import importing
from figwasp.locks import new_lock
from figwasp.runtime.objects.instantiate import instantiate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from figwasp.api.engine import Engine
    from figwasp.api.imports import Imports
    from figwasp.api.module import Source
    from figwasp.api.snapshot import Snapshot
    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.objects.instantiate import Extern

__all__ = ["Imports", "Linker", "load"]


def load(
    source: Source | Module,
    imports: Imports | None = None,
    *,
    engine: Engine | None = None,
    unknown_imports: str = "error",
    snapshot: Snapshot | None = None,
) -> Instance:
    """Instantiate a module.

    >>> import figwasp
    >>> text = '(module (import "env" "answer" (func $f (result i32))) (func (export "ask") (result i32) (call $f)))'
    >>> figwasp.load(figwasp.wat(text), {"env": {"answer": lambda: 42}}).ask()
    42

    Args:
        source: a path, the bytes of a binary, or a module.
        imports: per module name a mapping, an instance, a Python module, or an object with attributes; functions are WebAssembly
            functions or plain Python callables, an immutable global may be a plain number.
        engine: the engine to compile with; if `source` is a module, the engine of that module.
        unknown_imports: how to treat imports for which nothing is given: "error", or "trap" for functions that trap when they
            are called. Memories, tables, globals and tags must be given.
        snapshot: the state that the instance begins in, of an instance of an equal module (`Instance.snapshot`). Segments are not
            copied then, and the start function is not called; imports are given anew.

    Raises:
        Malformed, Invalid: the source is no valid module.
        Unlinkable: an import is missing or has another type.
        TypeError: something that is no namespace stands where imports should be.
        ValueError: the source is a module that was made with another engine, or the snapshot is of another module.
        Trap: a segment did not fit, or the start function trapped.
    """
    module = source if isinstance(source, Module) else Module(source, engine=engine)
    if engine is not None and module.engine != engine:  # its limits would not hold
        raise ValueError(f"{module!r} has been made with {module.engine!r}: give the engine to figwasp.Module")
    if isinstance(imports, Linker):
        raise TypeError("imports must be a mapping of module names, not a Linker: call linker.instantiate(module)")
    given = {} if imports is None else imports
    check_imports(given)
    return _instance(module, resolve(module, lambda first, second: look_up(given, first, second), unknown_imports), snapshot)


def _instance(module: Module, externs: list[tuple[Extern, Owner | None]], snapshot: Snapshot | None) -> Instance:
    captured = None
    if snapshot is not None:
        with importing:
            from figwasp.api.snapshot import state_for  # most programs do without

        captured = state_for(snapshot, module)
    state, owner = instantiate(module._code, externs, captured)
    # The start function may have called a host function that kept the instance.
    handle = None if state.handle is None else state.handle()
    instance = handle if isinstance(handle, Instance) else Instance(state, owner, module)
    if snapshot is not None:
        remember(instance, snapshot)
    return instance


class Linker:
    """Imports collected under names, for any number of modules.

    >>> import figwasp
    >>> linker = figwasp.Linker()
    >>> linker.define("env", "double", lambda x: 2 * x)
    >>> lib = '''(module (import "env" "double" (func $double (param i32) (result i32)))
    ...     (func (export "quadruple") (param i32) (result i32) (call $double (call $double (local.get 0)))))'''
    >>> linker.define_namespace("lib", figwasp.Module(figwasp.wat(lib)))
    >>> app = '(module (import "lib" "quadruple" (func $f (param i32) (result i32))) (export "f" (func $f)))'
    >>> linker.instantiate(figwasp.wat(app)).f(3)
    12

    Names are looked up when a module is instantiated, so it does not matter in which order things are defined.

    Args:
        engine: the engine for sources that are not modules yet.
        allow_shadowing: whether a name may be defined again.
    """

    __slots__ = ("_items", "_lock", "_namespaces", "_under_way", "allow_shadowing", "engine")

    engine: Engine

    def __init__(self, engine: Engine | None = None, *, allow_shadowing: bool = False) -> None:
        self.engine = chosen(engine)
        self.allow_shadowing = allow_shadowing
        self._items: dict[str, dict[str, Any]] = {}
        self._namespaces: dict[str, Any] = {}
        self._under_way: dict[tuple[int, int], list[str]] = {}  # by process and thread
        self._lock = new_lock()

    def define(self, module: str, name: str, value: Any) -> None:
        """Define one import, which takes precedence over a namespace of that module name.

        Args:
            module, name: the two names of the import.
            value: a WebAssembly function or any callable, a memory, table, global or tag, or for an immutable global a number.

        Raises:
            ValueError: the import has been defined already.
        """
        for given in (module, name):
            if not isinstance(given, str):
                raise TypeError(f"the names of an import are two str, not {type(given).__name__}")
        items = self._items.setdefault(module, {})
        if name in items and not self.allow_shadowing:
            raise ValueError(f"{module}.{name} has been defined already")
        items[name] = value

    def define_namespace(self, name: str, namespace: Any) -> None:
        """Define all imports from one module name.

        Args:
            name: the module name.
            namespace: a mapping, an instance, a Python module, an object with attributes; or a `Module`, which this linker
                instantiates when something is first imported from it, once.

        Raises:
            ValueError: it has been defined already.
            TypeError: the namespace has no names in it.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of a namespace is a str, not {type(name).__name__}")
        if name in self._namespaces and not self.allow_shadowing:
            raise ValueError(f"the namespace {name!r} has been defined already")
        if not isinstance(namespace, Module):
            check_namespace(name, namespace)
        self._namespaces[name] = namespace

    def get(self, module: str, name: str) -> Any:
        """Return what is defined under two names, instantiating the module that provides it if that is still to be done.

        Raises:
            KeyError: nothing is defined under them.
            Unlinkable: an import of the module to be instantiated is missing.
        """
        found = self._find(module, name)
        if found is MISSING:
            raise KeyError(f"{module}.{name}")
        return found.get() if isinstance(found, Late) else found

    def instantiate(
        self, source: Source | Module, *, unknown_imports: str = "error", snapshot: Snapshot | None = None
    ) -> Instance:
        """Instantiate a module with the imports defined so far.

        Args:
            source: a path, the bytes of a binary, or a module.
            unknown_imports, snapshot: as for `load`.

        Raises:
            Malformed, Invalid: the source is no valid module.
            Unlinkable: an import is missing or has another type, or modules import each other in a circle.
            Trap: a segment did not fit, or a start function trapped.
        """
        module = source if isinstance(source, Module) else Module(source, engine=self.engine)
        return _instance(module, resolve(module, self._find, unknown_imports), snapshot)

    def _find(self, module: str, name: str) -> Any:
        items = self._items.get(module)
        if items is not None and name in items:
            return items[name]
        namespace = self._namespaces.get(module)
        if not isinstance(namespace, Module):
            return MISSING if namespace is None else member(namespace, name)
        if name not in namespace._exports_by_name:
            return MISSING
        return Late(lambda: member(self._ready(module), name))

    def _ready(self, name: str) -> Any:
        """Return the namespace under a name; a module is an instance from then on."""
        with self._lock:
            namespace = self._namespaces[name]
            if not isinstance(namespace, Module):
                return namespace
            under_way = self._under_way.setdefault((os.getpid(), threading.get_ident()), [])
            if name in under_way:
                circle = [*under_way[under_way.index(name) :], name]
                raise Unlinkable(f"modules import each other: {' -> '.join(circle)}")
            under_way.append(name)
            try:
                instance = self._namespaces[name] = self.instantiate(namespace)
            except Exception as error:
                error.add_note(f"while instantiating the module {name!r} of a linker")
                raise
            finally:
                under_way.pop()
            return instance

    def __repr__(self) -> str:
        names = sorted({*self._items, *self._namespaces})
        return f"<figwasp.Linker {', '.join(names) or 'of nothing'}>"
