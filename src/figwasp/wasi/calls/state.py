"""Floor 6: what the functions of WASI share: the guest's memory, its descriptors, its arguments.

In: the settings of `WASI`. Out: descriptors looked up by number with the right that a call needs.
"""

from __future__ import annotations

from collections.abc import Sequence

from figwasp.wasi.abi import BADF, MASK32, NOTDIR, Fail
from figwasp.wasi.calls.memory import GuestMemory
from figwasp.wasi.descriptors.files import Descriptor, OpenDirectory
from figwasp.wasi.descriptors.table import Table


class GuestState:
    """One instance's view of a guest's world, the rest of which all its instances share.

    Attributes:
        memory: its linear memory.
        table: its descriptors.
        args: its arguments, the program's name first, without terminators.
        env: its environment as `NAME=value`.
    """

    __slots__ = ("args", "env", "memory", "table")

    def __init__(self, memory: GuestMemory, table: Table, args: Sequence[bytes], env: Sequence[bytes]) -> None:
        self.memory = memory
        self.table = table
        self.args = args
        self.env = env

    def find(self, fd: int, rights: int) -> Descriptor:
        """Give a descriptor that has these rights.

        Raises:
            Fail: BADF when it is not open, else the reason why it has not.
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
        """Give a directory that has these rights.

        Raises:
            Fail: as `find`; NOTDIR.
        """
        descriptor = self.find(fd, rights)
        if not isinstance(descriptor, OpenDirectory):
            raise Fail(NOTDIR)
        return descriptor

    def flush(self) -> None:
        """Hand on what the streams have buffered."""
        for descriptor in self.table.all():
            descriptor.flush()
