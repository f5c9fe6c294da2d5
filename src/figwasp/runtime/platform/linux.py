"""Floor 4: the operating system: mappings, signals, threads. Linux lives here and nowhere else.

Everything takes and gives plain ints (addresses, sizes in bytes). Nothing here is ever released by a Python finalizer:
whoever maps memory decides when it goes (see `owner`).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import struct
import threading
from array import array
from functools import partial
from itertools import chain, starmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

PAGE: Final = mmap.PAGESIZE

_PROT_NONE: Final = 0
_READ: Final = 1
_WRITE: Final = 2
ACCESSIBLE: Final = _READ | _WRITE
_EXEC: Final = 4
_SHARED: Final = 1
_PRIVATE: Final = 2
_FIXED: Final = 0x10
_ANONYMOUS: Final = 0x20
_NORESERVE: Final = 0x4000
INACCESSIBLE: Final = _PROT_NONE
FRESH: Final = _PRIVATE | _ANONYMOUS | _NORESERVE | _FIXED
"""Flags of mmap for pages of zeros in place of others."""
COPY_ON_WRITE: Final = _PRIVATE | _NORESERVE | _FIXED
"""Flags of mmap for pages of a file in place of others, each of which is a copy as soon as it is written."""
DISCARD: Final = 4  # MADV_DONTNEED
_PR_SET_PDEATHSIG: Final = 1
_SYS_OPENAT2: Final = 437
_BENEATH: Final = 0x02 | 0x04 | 0x08  # RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH
_SA_SIGINFO: Final = 4
_SA_ONSTACK: Final = 0x08000000
_SA_NODEFER: Final = 0x40000000

_X86_64: Final = "x86_64"
_MACHINE: Final = os.uname().machine
SAVED_REGISTERS: Final = {_X86_64: (168, 160, 96)}.get(_MACHINE, (0, 0, 0))
"""Where program counter, stack pointer and context register (rip, rsp, r15) stand in the ucontext_t a signal handler gets."""
SYS_RT_SIGACTION, SYS_NANOSLEEP, SYS_FUTEX = {_X86_64: (13, 35, 202)}.get(_MACHINE, (-1, -1, -1))
SIGINFO_ADDRESS: Final = 16
CLOCK_MONOTONIC: Final = 1
c_signal: Final[Any] = __import__("_signal")
"""The functions of signals in C: `signal` wraps them in enums, and takes long to import."""
SIGSEGV: Final[int] = c_signal.SIGSEGV

# No function here has `argtypes`: an exception in a converter of ctypes, near the limit of recursion above all, comes out as
# `ctypes.ArgumentError`. What is no C int is made a ctypes number by the caller; where that fails it fails as itself.
_Pointer: Final = ctypes.c_void_p
_u64_at: Final = ctypes.c_uint64.from_address
_Size: Final = ctypes.c_size_t
_Long: Final = ctypes.c_long
_Thread: Final = ctypes.c_ulong
_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = _Pointer
_libc.syscall.restype = _Long
_libc.pthread_self.restype = _Thread
_libc.pthread_getspecific.restype = _Pointer
_libc.calloc.restype = _Pointer
# These keep the GIL: to give it up and take it back takes longer than what they do.
_move: Final = ctypes.PYFUNCTYPE(None)(("memmove", _libc))
_fill: Final = ctypes.PYFUNCTYPE(None)(("memset", _libc))
_bytes_at: Final = ctypes.PYFUNCTYPE(ctypes.py_object)(("PyBytes_FromStringAndSize", ctypes.pythonapi))


def symbol(name: str) -> int:
    """Return the address of a function of the C library."""
    return read_u64(ctypes.addressof(getattr(_libc, name)))


def _map(address: int, size: int, protection: int, flags: int, fd: int = -1, offset: int = 0) -> int:
    result = _libc.mmap(_Pointer(address), _Size(size), protection, flags, fd, _Long(offset))
    if result is None or result == 2**64 - 1:
        error = ctypes.get_errno()
        raise OSError(error, f"mmap of {size} bytes: {os.strerror(error)}")
    return int(result)


def reserve(size: int) -> int:
    """Reserve address space that cannot be accessed.

    Raises:
        OSError: the address space is used up or limited.
    """
    return _map(0, size, _PROT_NONE, _PRIVATE | _ANONYMOUS | _NORESERVE)


def allocate(size: int) -> int:
    """Map zeroed private memory that can be read and written; pages are committed when touched."""
    return _map(0, size, ACCESSIBLE, _PRIVATE | _ANONYMOUS | _NORESERVE)


def commit(address: int, size: int) -> None:
    """Make reserved pages readable and writable.

    Raises:
        OSError: no memory.
    """
    if size and _libc.mprotect(_Pointer(address), _Size(size), ACCESSIBLE):
        error = ctypes.get_errno()
        raise OSError(error, f"mprotect of {size} bytes: {os.strerror(error)}")


def commit_in(address: int, size: int) -> None:
    """Map fresh private pages over a part of a reservation."""
    _map(address, size, ACCESSIBLE, FRESH)


def discard(address: int, size: int) -> None:
    """Return the contents of pages to the system; the pages read as zero afterwards."""
    _libc.madvise(_Pointer(address), _Size(size), DISCARD)


def discarding(address: int, size: int) -> Callable[[], object]:
    """Return a call of C that does that."""
    return partial(_libc.madvise, _Pointer(address), _Size(size), DISCARD)


def release(address: int, size: int) -> None:
    """Unmap."""
    _libc.munmap(_Pointer(address), _Size(size))


def releasing(address: int, size: int) -> Callable[[], object]:
    """Return a call of C that unmaps."""
    return partial(_libc.munmap, _Pointer(address), _Size(size))


def add_memory_file(to: list[int], name: str) -> None:
    """Append the descriptor of a new file that is nowhere but in memory, so that no exception can lose it.

    Raises:
        OSError: there are no such files here, or no descriptor is to be had.
    """
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    to.extend(map(os.memfd_create, (name,), (os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING,)))


def seal(fd: int) -> None:
    """Have the contents and the size of a memory file stay what they are, whoever gets hold of it.

    Raises:
        OSError: the system does not.
    """
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)


def map_file(fd: int, offset: int, size: int) -> int:
    """Map a part of a file, to be read only.

    Raises:
        OSError: the address space is used up or limited.
    """
    return _map(0, size, _READ, _SHARED, fd, offset)


def dual_map(address: int, size: int) -> int:
    """Map one memory object twice: executable at `address`, writable at the address returned.

    No page is writable and executable: the two views are different pages of address space.

    Raises:
        OSError: with the cause, where the system forbids it.
    """
    fd = os.memfd_create("figwasp-code", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, size)
        writable = _map(0, size, ACCESSIBLE, _SHARED, fd)
        try:
            _map(address, size, _READ | _EXEC, _SHARED | _FIXED, fd)
        except OSError:
            release(writable, size)
            raise
    finally:
        os.close(fd)
    return writable


def map_then_protect(address: int, data: bytes) -> None:
    """Write code at `address` in fresh pages, then make them executable: for systems without memfd.

    Raises:
        OSError: with the cause, where the system forbids executable memory altogether.
    """
    size = (len(data) + PAGE - 1) & -PAGE
    commit_in(address, size)
    write(address, data)
    if _libc.mprotect(_Pointer(address), _Size(size), _READ | _EXEC):
        error = ctypes.get_errno()
        raise OSError(error, f"executable memory is not to be had: mprotect: {os.strerror(error)}")


def write(address: int, data: bytes) -> None:
    """Copy bytes to an address."""
    _move(_Pointer(address), data, _Size(len(data)))


def writing(address: int, data: bytes) -> Callable[[], object]:
    """Return a call of C that copies bytes to an address."""
    return partial(_move, _Pointer(address), data, _Size(len(data)))


def zero(address: int, size: int) -> None:
    """Set bytes at an address to 0."""
    _fill(_Pointer(address), 0, _Size(size))


def zeroing(address: int, size: int) -> Callable[[], object]:
    """Return a call of C that does that."""
    return partial(_fill, _Pointer(address), 0, _Size(size))


def read(address: int, size: int) -> bytes:
    """Copy bytes from an address."""
    copied: bytes = _bytes_at(_Pointer(address), _Size(size))
    return copied


def view(address: int, size: int) -> memoryview:
    """Return bytes at an address, to be read and written there while they stand there."""
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")


def read_words(address: int, count: int) -> list[int]:
    """Read 8-byte words that follow each other."""
    return memoryview(read(address, 8 * count)).cast("Q").tolist() if count else []


def write_words(address: int, values: list[int]) -> None:
    """Write 8-byte words that follow each other."""
    write(address, array("Q", values).tobytes())


def word(address: int) -> ctypes.c_uint64:
    """Return an 8-byte word whose `value` can be read and assigned."""
    return _u64_at(address)


def read_u64(address: int) -> int:
    """Read one 8-byte word."""
    return _u64_at(address).value


def write_u64(address: int, value: int) -> None:
    """Write one 8-byte word (modulo 2**64)."""
    _u64_at(address).value = value


def write_u8(address: int, value: int) -> None:
    """Write one byte."""
    ctypes.c_uint8.from_address(address).value = value


def read_u32(address: int) -> int:
    """Read one 4-byte word."""
    return ctypes.c_uint32.from_address(address).value


def write_u32(address: int, value: int) -> None:
    """Write one 4-byte word (modulo 2**32)."""
    ctypes.c_uint32.from_address(address).value = value


ACTION_SIZE: Final = 152  # of a struct sigaction


class _Sigaction(ctypes.Structure):
    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def handler_action(address: int) -> bytes:
    """Return the struct sigaction that makes emitted code a fault handler."""
    action = _Sigaction()
    action.handler = address
    action.flags = _SA_SIGINFO | _SA_ONSTACK | _SA_NODEFER
    return bytes(action)


def is_writable(address: int) -> bool:
    """Return whether the 8 bytes at an address can be written: the kernel says so without a fault."""
    files: list[int] = []
    try:
        here, there = pipe(files)
        os.write(there, read(address, 8))
        return bool(_libc.read(here, _Pointer(address), _Size(8)) == 8)
    finally:
        for file in files:
            os.close(file)


def die_with(parent: int) -> None:
    """Have this process killed when the thread that has forked it ends, or at once if its parent has ended already."""
    _libc.prctl(_PR_SET_PDEATHSIG, c_signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def enter_beneath(directory: int, path: str) -> int:
    """Open a directory below another one only to look up names (openat2), following no link on the way.

    Raises:
        OSError: the directory cannot be opened like this; ENOSYS where the system cannot.
    """
    how = struct.pack("<QQQ", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _BENEATH)
    fd: int = _libc.syscall(_Long(_SYS_OPENAT2), _Long(directory), os.fsencode(path), how, _Size(len(how)))
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), path)
    return fd


def pipe(files: list[int]) -> tuple[int, int]:
    """Make a pipe whose ends do not take the numbers of the standard streams, which may be closed.

    Args:
        files: all that has been opened for it is there as soon as it is open.
    """
    files.extend(chain.from_iterable(starmap(os.pipe, ((),))))  # in one step
    read, write_ = files[-2:]
    return _above_streams(read, files), _above_streams(write_, files)


def _above_streams(file: int, files: list[int]) -> int:
    if file > 2:
        return file
    files.extend(map(fcntl.fcntl, (file,), (fcntl.F_DUPFD_CLOEXEC,), (3,)))
    return files[-1]


def widen_pipe(pipe: int, size: int) -> None:
    """Let so many bytes be under way in a pipe, if the system allows it."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)
    except OSError:
        pass


def processor() -> int:
    """Return the number of the processor that this thread runs on."""
    number: int = _libc.sched_getcpu()
    return number


def limit_data(size: int) -> None:
    """Limit the private memory of this process to so many bytes more than it has mapped, for good."""
    with open("/proc/self/statm", "rb") as file:
        mapped = int(file.read().split()[5]) * PAGE
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = mapped + size if hard == resource.RLIM_INFINITY else min(mapped + size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def start_thread(address: int, argument: int) -> None:
    """Start a detached native thread in emitted code, with every signal blocked."""
    thread = _Thread()
    everything = c_signal.pthread_sigmask(c_signal.SIG_BLOCK, c_signal.valid_signals())
    try:
        error = _libc.pthread_create(ctypes.byref(thread), None, _Pointer(address), _Pointer(argument))
    finally:
        c_signal.pthread_sigmask(c_signal.SIG_SETMASK, everything)
    if error:
        raise OSError(error, f"pthread_create: {os.strerror(error)}")
    _libc.pthread_detach(thread)


def this_thread() -> int:
    """Return the address of the block that the C library keeps for this thread."""
    return int(_libc.pthread_self())


def thread_local_offset(index: int) -> int | None:
    """Return the offset, modulo 2**32, in every thread's block of a variable of the threads.

    Args:
        index: the address of its tls_index.

    Returns:
        None where the C library gives it a place of its own in each thread, or does not say.
    """
    try:
        static_size, address = _libc._dl_get_tls_static_info, _libc["__tls_get_addr"]
    except AttributeError:
        return None
    size = _Size()
    static_size(ctypes.byref(size), ctypes.byref(_Size()))
    address.restype = _Pointer
    offset: int = address(_Pointer(index)) - this_thread()
    return offset & 0xFFFF_FFFF if -size.value <= offset < 0 else None


def thread_key() -> int:
    """Make a key under which every native thread has a word of its own, which goes when the thread ends.

    Raises:
        OSError: the process has too many.
    """
    key = ctypes.c_uint()
    error = _libc.pthread_key_create(ctypes.byref(key), _Pointer(symbol("free")))
    if error:
        raise OSError(error, f"pthread_key_create: {os.strerror(error)}")
    return key.value


def thread_word(key: int) -> int:
    """Return the address of the word that the calling thread has under a key; it is 0 at first.

    Raises:
        MemoryError: there is no room for the word.
    """
    present: int | None = _libc.pthread_getspecific(ctypes.c_uint(key))
    if present:
        return present
    made: int | None = _libc.calloc(_Size(1), _Size(8))
    if not made or _libc.pthread_setspecific(ctypes.c_uint(key), _Pointer(made)):
        raise MemoryError
    return made


def add_event(to: list[int]) -> None:
    """Append a descriptor that poll(2) finds readable while an event is set, so that no exception can lose it.

    Raises:
        OSError: no event is to be had.
    """
    to.extend(map(os.eventfd, (0,), (os.EFD_CLOEXEC | os.EFD_NONBLOCK,)))


def setting_event(host: int) -> Callable[[], object]:
    """Return the call that sets an event."""
    return partial(os.eventfd_write, host, 1)


def clear_event(host: int) -> None:
    """Clear an event."""
    try:
        os.eventfd_read(host)
    except BlockingIOError:
        pass  # it was not


_ThreadAttributes: Final = ctypes.c_char * 64  # pthread_attr_t


_stack: Final = threading.local()
"""Of each thread where its stack is, asked for once: for the main thread that reads /proc/self/maps, 0.3 ms a time."""


def _ask_for_stack() -> tuple[int, int]:
    """Return the lowest address and the size of the calling thread's stack; 0 and 0 if that cannot be told."""
    attributes = _ThreadAttributes()
    if _libc.pthread_getattr_np(_Thread(this_thread()), attributes):
        return 0, 0
    base = ctypes.c_size_t()
    size = ctypes.c_size_t()
    _libc.pthread_attr_getstack(attributes, ctypes.byref(base), ctypes.byref(size))
    _libc.pthread_attr_destroy(attributes)
    return base.value, size.value


def native_stack() -> tuple[int, int]:
    """Return the lowest address that the calling thread's stack may grow down to, and its size."""
    found: tuple[int, int] | None = getattr(_stack, "found", None)
    if found is None:  # a finalizer may come in between, and ask as well
        found = _stack.found = _ask_for_stack()
    lowest, size = found
    if not size:
        return 0, 1 << 62
    top = lowest + size
    if threading.current_thread() is threading.main_thread():
        # The main thread's stack grows on demand up to the limit in force now, which can be lower than at its start.
        limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
        lowest = max(lowest, top - (limit if limit != resource.RLIM_INFINITY else 8 << 20))
    return lowest, top - lowest
