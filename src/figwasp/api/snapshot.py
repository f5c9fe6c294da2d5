"""Floor 5: snapshots: states of instances as Python objects, to go back to or to begin with."""

from __future__ import annotations

from typing import NoReturn

from figwasp.api.module import Module
from figwasp.errors import printable
from figwasp.runtime.snapshots.captured import Captured

__all__ = ["Snapshot", "state_for"]


class Snapshot:
    """The state of an instance at a moment: `Instance.snapshot` takes it; `Instance.reset` and `Module.instantiate` use it.

    It never changes, refers to nothing of the instance, and can be used any number of times, in any thread, also when the instance
    has been closed. Instances share the memory of the pages that they have not written to; it goes with the last of them and the
    snapshot.

    >>> import figwasp
    >>> module = figwasp.Module(figwasp.wat('(module (memory (export "memory") 4) (data (i32.const 5000) "figs"))'))
    >>> snapshot = module.instantiate().snapshot()
    >>> snapshot
    <figwasp.Snapshot: 4 pages, of which 4096 bytes are not zero>
    >>> module.instantiate(snapshot=snapshot).memory.read(5000, 4)
    b'figs'

    Attributes:
        module: the module of the instance.
    """

    __slots__ = ("__weakref__", "_captured", "module")

    _captured: Captured
    module: Module

    def __init__(self) -> None:
        raise TypeError("a snapshot is taken by the method snapshot of an instance")

    @classmethod
    def _of(cls, module: Module, captured: Captured) -> Snapshot:
        """Make the Python object for a state."""
        made = cls.__new__(cls)
        made.module = module
        made._captured = captured
        return made

    @property
    def nbytes(self) -> int:
        """The bytes of memory that it takes: those of the pages that are not zero."""
        return sum(image.nbytes for _, image in self._captured.memories)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a snapshot cannot be copied or pickled: it is of this process")

    def __repr__(self) -> str:
        name = printable(self.module.name or "")
        pages = sum(length for length, _ in self._captured.memories) >> 16
        what = f"{pages} page{'s' * (pages != 1)}, of which {self.nbytes} bytes are not zero"
        return f"<figwasp.Snapshot{' of ' * bool(name)}{name}: {what}>"


def state_for(snapshot: Snapshot, module: Module) -> Captured:
    """Return the state for an instance of a module.

    Raises:
        ValueError: the snapshot is of another module.
    """
    if not isinstance(snapshot, Snapshot):
        raise TypeError(f"snapshot must be a figwasp.Snapshot, not {type(snapshot).__name__}")
    if module is not snapshot.module and module != snapshot.module:
        raise ValueError(f"{snapshot!r} is of {snapshot.module!r}, not of {module!r}")
    return snapshot._captured
