"""Floor 6: the state that the functions of WASI share: the guest's memory, its descriptors, its arguments.

In: the settings of `WASI`. Out: descriptors looked up by number with the right that a call needs.
"""

from __future__ import annotations

from figwasp.wasi.abi import BADF, MASK32, NOTDIR, Fail
from figwasp.wasi.descriptors.files import OpenDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from figwasp.wasi.calls.memory import GuestMemory
    from figwasp.wasi.descriptors.files import Descriptor
    from figwasp.wasi.descriptors.table import Table


class GuestState:
    """The state of one instance of a guest: its own memory, and the rest, which all instances of the guest share.

    Attributes:
        memory: the linear memory.
        table: the descriptors.
        args: the arguments, the program's name first, without terminators.
        env: the environment as `NAME=value`.
    """

    __slots__ = ("args", "env", "memory", "table")

    def __init__(self, memory: GuestMemory, table: Table, args: Sequence[bytes], env: Sequence[bytes]) -> None:
        self.memory = memory
        self.table = table
        self.args = args
        self.env = env

    def find(self, fd: int, rights: int) -> Descriptor:
        """Return a descriptor that has these rights.

        Raises:
            Fail: BADF when the descriptor is not open, else the reason why it lacks the rights.
        """
        number = fd & MASK32
        items = self.table.items
        descriptor = items[number] if number < len(items) else None
        if descriptor is None:
            raise Fail(BADF)
        if descriptor.base & rights != rights:
            raise Fail(descriptor.refusal(rights & ~descriptor.base))
        return descriptor

    def directory(self, fd: int, rights: int) -> OpenDirectory:
        """Return a directory that has these rights.

        Raises:
            Fail: as `find`; NOTDIR.
        """
        descriptor = self.find(fd, rights)
        if not isinstance(descriptor, OpenDirectory):
            raise Fail(NOTDIR)
        return descriptor

    def flush(self) -> None:
        """Flush the buffers of the streams."""
        for descriptor in self.table.all():
            descriptor.flush()
