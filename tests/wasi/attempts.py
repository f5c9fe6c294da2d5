"""Attempts of guests to get out of what they were given, or at more of it, each a program of its own, with the answers that it has to get.

They run in a world (`test_escapes.world`) of two preopened directories, `in` (3) and `other` (4), and `given`, which is read-only (5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.wasi.program import ALL, BUFFER, EDGE, Cell, Program

CREAT, DIRECTORY, TRUNC = 1, 2, 8
READ, WRITE, SEEK = 1 << 1, 1 << 6, 1 << 2
OPEN, LINKS = 1 << 13, 1 << 11 | 1 << 12
IN, OTHER, GIVEN = 3, 4, 5
UNLIMITED: Final = (1 << 32) - 1

Attempt = Callable[[Program], None]
ATTEMPTS: dict[str, tuple[Attempt, list[str]]] = {}


def attempt(*answers: str) -> Callable[[Attempt], Attempt]:
    """Note an attempt and the answers that it has to get."""

    def note(function: Attempt) -> Attempt:
        ATTEMPTS[function.__name__] = function, list(answers)
        return function

    return note


def opening(path: str | bytes, answer: str = "notcapable", **how: int) -> None:
    """Note an attempt to open a path and read what is there, file or directory."""

    def work(program: Program) -> None:
        fd = program.open(path, **how)
        program.read(fd)
        program.listing(fd)

    ATTEMPTS[f"open {path[:40]!r} {how or ''}"] = work, [answer, "badf", "badf"]


for _path in (
    "..", "../", "../secret", "dir/../../secret", "dir/deep/../../../secret", "./../secret", "dir/.//..//../secret",
    "/", "//", "/secret", "/etc/passwd", "/proc/self/root", "up", "up/secret", "up/in/file", "to-secret", "absolute", "absolute/",
    "absolute-root/etc/passwd", "to-out/secret", "chain1", "dir/chain3/../secret", "dir/deep/up3/secret", "dir/self/../../secret",
    "dir/deep/self/../../../../secret",
):  # fmt: skip
    opening(_path)
opening("file\0/../../secret", "inval")
opening("file\0", "inval")
opening("\0", "inval")
opening("", "noent")
opening("x" * 300, "nametoolong")
opening("d/" * 2500, "nametoolong")
opening("loop", "loop")
opening("ping/secret", "loop")
opening(b"..\xc0\xaf..\xc0\xafsecret", "noent")
opening("..\\secret", "noent")
opening("to-secret", "loop", follow=0)
opening("to-secret", "notcapable", oflags=CREAT)
opening("dangling-out", "notcapable", oflags=CREAT, base=ALL)
opening("../new", "notcapable", oflags=CREAT, base=ALL)


@attempt("success", "success", "notcapable", "notcapable")
def a_directory_of_ones_own_is_a_border_too(program: Program) -> None:
    fd = program.open("dir", DIRECTORY)
    program.listing(fd)
    program.open("../file", fd=fd)
    program.open("deep/../../file", fd=fd)


@attempt("success", "success", "notcapable", "notcapable")
def a_directory_that_moves_deeper(program: Program) -> None:
    fd = program.open("dir/deep", DIRECTORY)
    program.on_path("path_rename", IN, "dir/deep", OTHER, *program.text("deep"))
    program.open("../secret", fd=fd)
    program.open("../../secret", fd=fd)


@attempt("success", "notcapable", "success", "success", "noent", "success")
def a_symlink_of_ones_own(program: Program) -> None:
    program.call("path_symlink", *program.text("../secret"), IN, *program.text("mine"))
    program.open("mine")
    program.call("path_symlink", *program.text("deep/../../dir"), IN, *program.text("dir/mine"))
    program.open("dir/mine/inner")
    program.open("dir/mine/secret")
    program.on_path("path_unlink_file", IN, "mine")


@attempt("notcapable", "noent")
def an_absolute_symlink_of_ones_own(program: Program) -> None:
    program.call("path_symlink", *program.text("/etc/passwd"), IN, *program.text("mine"))
    program.open("mine")


@attempt("notcapable", "notcapable", "notcapable", "notcapable", "notcapable", "notcapable", "notcapable", "notcapable")
def everything_else_outside(program: Program) -> None:
    program.on_path("path_create_directory", IN, "../new")
    program.on_path("path_remove_directory", IN, "up/out")
    program.on_path("path_unlink_file", IN, "../secret")
    program.on_path("path_filestat_get", IN, "../secret", BUFFER, before=(1,))
    program.on_path("path_filestat_set_times", IN, "to-secret", 0, 0, 5, before=(1,))
    program.on_path("path_readlink", IN, "up/in/up", BUFFER, 99, program.cell().address)
    program.call("path_symlink", *program.text("x"), IN, *program.text("../new"))
    program.on_path("path_create_directory", IN, "dangling-out/x")


@attempt("notcapable", "notcapable", "notcapable", "notcapable", "inval")
def hard_links(program: Program) -> None:
    program.call("path_link", IN, 0, *program.text("../secret"), IN, *program.text("mine"))
    program.call("path_link", IN, 0, *program.text("file"), IN, *program.text("../mine"))
    program.call("path_link", IN, 0, *program.text("up/secret"), OTHER, *program.text("mine"))
    program.call("path_link", IN, 0, *program.text("/etc/passwd"), IN, *program.text("mine"))
    program.call("path_link", IN, 1, *program.text("to-secret"), IN, *program.text("mine"))


@attempt("success", "notcapable", "loop")
def a_hard_link_to_a_symlink(program: Program) -> None:
    program.call("path_link", IN, 0, *program.text("to-secret"), IN, *program.text("mine"))
    program.open("mine")
    program.open("mine", follow=0)


@attempt("notcapable", "notcapable", "notcapable")
def renames(program: Program) -> None:
    program.on_path("path_rename", IN, "file", IN, *program.text("../file"))
    program.on_path("path_rename", IN, "../secret", IN, *program.text("mine"))
    program.on_path("path_rename", IN, "file", OTHER, *program.text("../in-the-middle"))


@attempt("success", "notcapable", "notcapable")
def a_symlink_renamed_to_where_it_means_something_else(program: Program) -> None:
    program.on_path("path_rename", IN, "dir/back", OTHER, *program.text("back"))
    program.open("back", fd=OTHER)
    program.open("back/../secret", fd=OTHER)


@attempt("busy", "busy", "notcapable")
def the_preopened_directory_itself(program: Program) -> None:
    program.on_path("path_rename", IN, ".", OTHER, *program.text("mine"))
    program.on_path("path_rename", OTHER, "dir", IN, *program.text("."))
    program.on_path("path_remove_directory", IN, "../in")


@attempt("rofs", "rofs", "rofs", "rofs", "rofs", "rofs", "rofs", "rofs", "rofs", "rofs")
def what_is_read_only(program: Program) -> None:
    program.open("file", 0, ALL, fd=GIVEN)
    program.open("file", TRUNC, fd=GIVEN)
    program.open("new", CREAT, fd=GIVEN)
    program.on_path("path_create_directory", GIVEN, "new")
    program.on_path("path_unlink_file", GIVEN, "file")
    program.on_path("path_remove_directory", GIVEN, "dir")
    program.on_path("path_rename", GIVEN, "file", GIVEN, *program.text("new"))
    program.call("path_symlink", *program.text("file"), GIVEN, *program.text("new"))
    program.on_path("path_filestat_set_times", GIVEN, "file", 0, 0, 5, before=(0,))
    program.call("fd_filestat_set_times", GIVEN, 0, 0, 5)


@attempt("success", "notcapable", "notcapable", "notcapable", "badf", "rofs", "rofs", "rofs")
def what_is_read_only_by_another_way(program: Program) -> None:
    fd = program.open("file", fd=GIVEN)
    program.call("fd_filestat_set_times", fd, 0, 0, 5)
    program.call("fd_filestat_set_size", fd, 0)
    program.call("fd_allocate", fd, 0, 1 << 20)
    program.write(fd, "changed")
    program.call("path_link", GIVEN, 0, *program.text("file"), IN, *program.text("mine"))
    program.on_path("path_rename", GIVEN, "file", IN, *program.text("mine"))
    program.on_path("path_rename", IN, "file", GIVEN, *program.text("file"))


@attempt("success", "notcapable", "notcapable", "success", "badf", "notcapable")
def rights_that_grow(program: Program) -> None:
    fd = program.open("dir", DIRECTORY, OPEN | LINKS, inheriting=READ)
    program.open("inner", 0, READ | WRITE, fd=fd)
    program.open("inner", 0, READ | SEEK, fd=fd)
    inner = program.open("inner", 0, READ, fd=fd)
    program.write(inner, "changed")
    program.call("fd_fdstat_set_rights", fd, ALL, ALL)


@attempt("success", "notcapable", "noent", "notcapable", "inval")
def rights_that_a_link_would_bring(program: Program) -> None:
    fd = program.open("dir", DIRECTORY, OPEN | LINKS | 1 << 16, inheriting=READ)
    program.call("path_link", fd, 0, *program.text("inner"), IN, *program.text("mine"))
    program.open("mine", 0, ALL)
    program.on_path("path_rename", fd, "inner", IN, *program.text("mine"))
    program.open("inner", 1 << 5, fd=fd)


@attempt("success", "success", "notcapable", "badf", "success", "notcapable")
def renumbering_onto_a_preopen(program: Program) -> None:
    """What was preopened is replaced; what replaces it gives no more than it gave."""
    fd = program.open("dir", DIRECTORY)
    program.call("fd_renumber", fd, IN)
    program.open("../file", fd=IN)
    program.call("fd_prestat_get", IN, BUFFER)
    program.call("fd_renumber", OTHER, IN)
    program.open("../secret", fd=IN)


@attempt("badf", "badf", "success", "badf", "badf", "badf", "success", "badf")
def renumbering_from_and_to_nothing(program: Program) -> None:
    program.call("fd_renumber", IN, 99)
    program.call("fd_renumber", 99, IN)
    program.call("fd_renumber", IN, IN)
    program.call("fd_renumber", IN, -1)
    program.call("fd_renumber", IN, 1 << 30)
    program.call("fd_renumber", -(1 << 31), IN)
    program.call("fd_renumber", IN, OTHER)
    program.open("file", fd=IN)


@attempt("success", "success", "badf", "badf", "badf", "success", "success", "badf")
def descriptors_used_again(program: Program) -> None:
    """A number that was closed is no way to what it was; once given anew it is the new thing."""
    fd = program.open("file")
    program.call("fd_close", fd)
    program.read(fd)
    program.call("fd_close", fd)
    program.call("fd_filestat_get", fd, BUFFER)
    program.open("dir", DIRECTORY)
    program.listing(fd)
    program.read(Cell(program.put((99).to_bytes(4, "little"))))


@attempt(*["badf"] * 8)
def descriptors_of_the_host(program: Program) -> None:
    for fd in (6, 7, 10, 255, 1 << 20, -1, -2, -(1 << 31)):
        program.call("fd_filestat_get", fd, BUFFER)


@attempt("notdir", "notdir", "notdir", "notdir")
def paths_from_what_is_no_directory(program: Program) -> None:
    program.open("../secret", fd=0)
    program.open("secret", fd=1)
    program.on_path("path_unlink_file", 2, "secret")
    program.open("file/../../secret")


@attempt("success", "success", "success", "success")
def listings_of_what_is_inside(program: Program) -> None:
    """Neither the parent's number nor anything of its contents; cookies of any size lead nowhere."""
    program.listing(IN)
    program.call("fd_readdir", IN, BUFFER, 4096, 1 << 62, program.cell().address)
    program.call("fd_readdir", IN, BUFFER, 4096, -1, program.cell().address)
    program.call("fd_readdir", IN, BUFFER, 4096, 1, program.cell().address)


@attempt(*["fault"] * 14)
def pointers_beyond_the_end(program: Program) -> None:
    name = program.text("file")
    program.call("path_open", IN, 0, *name, 0, READ, 0, 0, EDGE - 3)
    program.call("path_open", IN, 0, EDGE - 2, 4, 0, READ, 0, 0, BUFFER)
    program.call("path_open", IN, 0, -1, 4, 0, READ, 0, 0, BUFFER)
    program.call("path_open", IN, 0, BUFFER, -1, 0, READ, 0, 0, BUFFER)
    program.call("fd_read", 0, -8, 1, BUFFER)
    program.call("fd_read", 0, BUFFER, -1, BUFFER)
    program.call("fd_read", 0, program.vector(EDGE - 1, 2), 1, BUFFER)
    program.call("fd_read", 0, program.vector(UNLIMITED, UNLIMITED), 1, BUFFER)
    program.call("fd_write", 1, program.vector(0, UNLIMITED), 1, BUFFER)
    program.call("fd_write", 1, program.vector(UNLIMITED, 1), 1, BUFFER)
    program.call("random_get", 0, -1)
    program.call("fd_readdir", IN, BUFFER, -1, 0, BUFFER)
    program.call("poll_oneoff", BUFFER, BUFFER, 1 << 16, BUFFER)
    program.call("fd_filestat_get", IN, -64)


@attempt("inval", "inval", "inval", "inval")
def numbers_that_are_too_large(program: Program) -> None:
    program.open("file", 16)
    program.open("file", 0, READ, fdflags=1 << 9)
    program.call("poll_oneoff", BUFFER, BUFFER, 0, BUFFER)
    program.call("poll_oneoff", 0, 0, -1, BUFFER)


@attempt("success", "inval", "inval", "inval", "inval", "inval", "inval")
def offsets_below_zero(program: Program) -> None:
    fd = program.open("dir/inner", 0, ALL)
    program.call("fd_seek", fd, -1, 0, BUFFER)
    program.call("fd_pread", fd, program.vector(), 1, -1, program.cell().address)
    program.call("fd_pwrite", fd, program.vector(), 1, -(1 << 63), program.cell().address)
    program.call("fd_filestat_set_size", fd, -1)
    program.call("fd_allocate", fd, -1, 1)
    program.call("fd_filestat_set_times", fd, -1, -1, 15)


@attempt("notsup", "notsock", "notsock", "notsock", "notsock")
def the_host_s_process_and_network(program: Program) -> None:
    program.call("proc_raise", 9)
    program.call("sock_accept", IN, 0, BUFFER)
    program.call("sock_recv", 0, program.vector(), 1, 0, BUFFER, BUFFER + 8)
    program.call("sock_send", 1, program.vector(), 1, 0, BUFFER)
    program.call("sock_shutdown", 2, 3)


@attempt("success", "success", "success", "success")
def arguments_and_environment(program: Program) -> None:
    """There are none unless given."""
    program.call("args_sizes_get", BUFFER, BUFFER + 4)
    program.call("environ_sizes_get", BUFFER + 8, BUFFER + 12)
    program.call("args_get", BUFFER, BUFFER)
    program.call("environ_get", BUFFER, BUFFER)
