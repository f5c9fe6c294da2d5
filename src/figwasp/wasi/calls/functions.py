"""Floor 6: the table of WASI's functions by module and name, and their adaptation to host functions of an instance.

In: functions that take a `GuestState` and the guest's arguments. Out: Python callables that take the `Caller` and the
arguments as wasm passes them, signed, and answer an error number. Errors of the host become numbers here, by one table;
every other exception, KeyboardInterrupt among them, passes through the guest to whoever called it.
"""

from __future__ import annotations

from figwasp.errors import Timeout, Unlinkable
from figwasp.types import I32, I64, FuncType
from figwasp.wasi.abi import Fail, errno_of
from figwasp.wasi.calls import clocks, fd, path, process, sock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    from figwasp.api.caller import Caller
    from figwasp.wasi.calls.state import GuestState

    Function = Callable[..., int]

    class World(Protocol):
        """The provider of each instance's state."""

        def state_of(self, caller: Caller) -> GuestState:
            """Return the state for the instance that calls."""

__all__ = ["MODULES", "Function", "World", "bind"]

PREVIEW1: Final[dict[str, Function]] = {
    function.__name__: function
    for function in (
        process.args_get,
        process.args_sizes_get,
        clocks.clock_res_get,
        clocks.clock_time_get,
        process.environ_get,
        process.environ_sizes_get,
        fd.fd_advise,
        fd.fd_allocate,
        fd.fd_close,
        fd.fd_datasync,
        fd.fd_fdstat_get,
        fd.fd_fdstat_set_flags,
        fd.fd_fdstat_set_rights,
        fd.fd_filestat_get,
        fd.fd_filestat_set_size,
        fd.fd_filestat_set_times,
        fd.fd_pread,
        fd.fd_prestat_dir_name,
        fd.fd_prestat_get,
        fd.fd_pwrite,
        fd.fd_read,
        fd.fd_readdir,
        fd.fd_renumber,
        fd.fd_seek,
        fd.fd_sync,
        fd.fd_tell,
        fd.fd_write,
        path.path_create_directory,
        path.path_filestat_get,
        path.path_filestat_set_times,
        path.path_link,
        path.path_open,
        path.path_readlink,
        path.path_remove_directory,
        path.path_rename,
        path.path_symlink,
        path.path_unlink_file,
        clocks.poll_oneoff,
        process.proc_exit,
        process.proc_raise,
        process.random_get,
        process.sched_yield,
        sock.sock_accept,
        sock.sock_recv,
        sock.sock_send,
        sock.sock_shutdown,
    )
}
SNAPSHOT0: Final[dict[str, Function]] = {
    **{name: function for name, function in PREVIEW1.items() if name != "sock_accept"},
    "fd_filestat_get": fd.fd_filestat_get_snapshot0,
    "fd_seek": fd.fd_seek_snapshot0,
    "path_filestat_get": path.path_filestat_get_snapshot0,
    "poll_oneoff": clocks.poll_oneoff_snapshot0,
}
_PARAMS: Final = {
    name: tuple([I64 if kind == "I" else I32 for kind in kinds])
    for name, kinds in {
        "clock_time_get": "iIi",
        "fd_advise": "iIIi",
        "fd_allocate": "iII",
        "fd_fdstat_set_rights": "iII",
        "fd_filestat_set_size": "iI",
        "fd_filestat_set_times": "iIIi",
        "fd_pread": "iiiIi",
        "fd_pwrite": "iiiIi",
        "fd_readdir": "iiiIi",
        "fd_seek": "iIii",
        "path_filestat_set_times": "iiiiIIi",
        "path_open": "iiiiiIIii",
    }.items()
}
"""The types of the parameters of functions with parameters of 64 bits."""
MODULES: Final = {"wasi_snapshot_preview1": PREVIEW1, "wasi_unstable": SNAPSHOT0}
"""The functions by the module names that programs import."""


def bind(name: str, function: Function, world: World) -> Function:
    """Make the host function for one guest."""
    known: tuple[Caller | None, GuestState | None] = (None, None)

    def call(caller: Caller, *args: int) -> int:
        nonlocal known
        last, state = known
        if last is not caller or state is None:
            _check_type(name, function, caller)
            state = world.state_of(caller)
            known = (caller, state)
        try:
            return function(state, *args)
        except Fail as fail:
            return fail.errno
        except Timeout:
            raise  # an OSError of Python's, but none of the guest's business
        except OSError as error:
            return errno_of(error)
        except TypeError:
            _check_arguments(name, function, args)
            raise

    def call_with_four(caller: Caller, one: int, two: int, three: int, four: int) -> int:
        """Do the same with four arguments, those of reading and writing, in a tenth less time."""
        nonlocal known
        last, state = known
        if last is not caller or state is None:
            _check_type(name, function, caller)
            state = world.state_of(caller)
            known = (caller, state)
        try:
            return function(state, one, two, three, four)
        except Fail as fail:
            return fail.errno
        except Timeout:
            raise
        except OSError as error:
            return errno_of(error)
        except TypeError:
            _check_arguments(name, function, (one, two, three, four))
            raise

    made = call_with_four if function.__code__.co_argcount == 5 else call
    made.__name__ = made.__qualname__ = name
    made.__doc__ = function.__doc__
    return made


def _check_type(name: str, function: Function, caller: Caller) -> None:
    """Make sure that a guest has imported a function with the type that it has.

    Raises:
        Unlinkable: the type is another one.
    """
    params = _PARAMS.get(name) or (I32,) * (function.__code__.co_argcount - 1)
    results = () if name == "proc_exit" else (I32,)
    for item in caller.module.imports:
        if item.name == name and item.module in MODULES and item.kind == "func" and item.type != FuncType(params, results):
            raise Unlinkable(f"incompatible import type: {item.module}.{name} is no function {item.type}")


def _check_arguments(name: str, function: Function, args: tuple[object, ...]) -> None:
    """Check whether a guest has imported a function with a type that it does not have.

    Raises:
        Unlinkable: the guest has.
    """
    if len(args) != function.__code__.co_argcount - 1 or not all(type(arg) is int for arg in args):
        raise Unlinkable(f"{name} of WASI was imported with parameters that it does not have")
