"""More attempts of guests, in the same world as those of `attempts`: at links themselves, at what is no longer there, at names that only
look like a way up, at streams and at memory that changes under a call.
"""

from __future__ import annotations

from typing import Final

from tests.wasi.attempts import ATTEMPTS, CREAT, DIRECTORY, GIVEN, IN, OTHER, READ, TRUNC, WRITE, attempt, opening
from tests.wasi.program import ALL, BUFFER, EDGE, READ_ONLY, SIZE, Program

__all__ = ["ATTEMPTS"]

EXCL: Final = 4
ANY: Final = -1
"""As flags or rights: all bits, known or not."""

for _path in ("to-out/.", "up/.", "up//", "./up/./", "to-out/../in/file", "dir/self/../dir/deep/self/../../../secret", "absolute-root/.", "dir/deep/up3/."):
    opening(_path)
for _path in (
    "\uff0e\uff0e/secret", "\u2025/secret", "..\u2215secret", "%2e%2e/secret", "%2e%2e%2fsecret", ".../secret", ".. /secret", " ../secret",
    "..;/secret", "C:\\secret", "\\\\?\\secret", "file:///etc/passwd", "~/secret", "$HOME", "NUL", "dir\\..\\..\\secret",
):  # fmt: skip
    opening(_path, "noent")
opening(b"\xff\xfe/../../secret", "noent")
opening(b"\xed\xb0\x80\xed\xb0\xae/secret", "noent")
opening("x" * 256, "nametoolong", oflags=CREAT, base=ALL)
opening("file/", "notdir")
opening("file/.", "notdir")
opening("file/..", "notdir")


@attempt("exist", "loop", "loop", "loop", "notcapable", "notcapable")
def links_to_what_is_outside_opened_to_change_it(program: Program) -> None:
    program.open("dangling-out", CREAT | EXCL, ALL)
    program.open("dangling-out", CREAT, ALL, follow=0)
    program.open("to-secret", TRUNC, WRITE, follow=0)
    program.open("to-secret", 0, WRITE, follow=0)
    program.open("to-secret", TRUNC, WRITE)
    program.open("absolute", TRUNC | CREAT, ALL)


@attempt("exist", "exist", "exist", "exist", "notdir", "notdir", "notdir")
def links_in_the_place_of_something_new(program: Program) -> None:
    """Neither is what they point at made, nor touched."""
    program.on_path("path_create_directory", IN, "dangling-out")
    program.on_path("path_create_directory", IN, "up")
    program.call("path_symlink", *program.text("x"), IN, *program.text("dangling-out"))
    program.call("path_link", IN, 0, *program.text("file"), IN, *program.text("dangling-out"))
    program.on_path("path_remove_directory", IN, "up")
    program.on_path("path_remove_directory", IN, "to-out/")
    program.on_path("path_rename", IN, "dir", IN, *program.text("up"))


@attempt("success", "success", "success", "success", "noent")
def links_replaced_and_removed(program: Program) -> None:
    """A link goes, what it pointed at stays."""
    program.on_path("path_rename", IN, "file", IN, *program.text("to-secret"))
    program.on_path("path_unlink_file", IN, "up")
    program.on_path("path_unlink_file", IN, "dangling-out")
    program.on_path("path_filestat_set_times", IN, "absolute", 0, 0, 5, before=(0,))
    program.open("up/secret")


@attempt("notcapable", "notcapable", "notcapable", "notcapable")
def flags_that_nobody_knows(program: Program) -> None:
    program.on_path("path_filestat_get", IN, "up", BUFFER, before=(ANY,))
    program.on_path("path_filestat_get", IN, "to-secret", BUFFER, before=(ANY,))
    program.open("to-secret", 0, READ, follow=ANY)
    program.open("up", DIRECTORY, READ, follow=ANY)


@attempt("success", "success", "success", "noent", "noent", "notcapable", "notcapable", "success")
def a_directory_that_is_gone(program: Program) -> None:
    program.on_path("path_create_directory", IN, "mine")
    fd = program.open("mine", DIRECTORY)
    program.on_path("path_remove_directory", IN, "mine")
    program.open("new", CREAT, ALL, fd=fd)
    program.on_path("path_create_directory", fd, "new")
    program.open("..", fd=fd)
    program.open("../secret", fd=fd)
    program.listing(fd)


@attempt("busy", "notcapable", "inval", "busy", "exist", "perm", "inval")
def a_directory_by_its_other_names(program: Program) -> None:
    program.on_path("path_rename", IN, "dir/..", OTHER, *program.text("mine"))
    program.on_path("path_rename", IN, "dir/../..", OTHER, *program.text("mine"))
    program.on_path("path_remove_directory", IN, ".")
    program.on_path("path_rename", OTHER, "dir", IN, *program.text("dir/.."))
    program.on_path("path_create_directory", IN, "dir/deep/..")
    program.call("path_link", IN, 0, *program.text("dir"), OTHER, *program.text("mine"))
    program.on_path("path_rename", IN, "dir", IN, *program.text("dir/deep/mine"))


@attempt("inval", "inval", "inval", "inval", "inval", "inval")
def zeros_in_every_other_path(program: Program) -> None:
    program.call("path_symlink", *program.text("x\0/../secret"), IN, *program.text("mine"))
    program.call("path_symlink", *program.text("x"), IN, *program.text("mine\0"))
    program.call("path_link", IN, 0, *program.text("file\0"), IN, *program.text("mine"))
    program.on_path("path_rename", IN, "file", IN, *program.text("../secret\0"))
    program.on_path("path_unlink_file", IN, "file\0.txt")
    program.on_path("path_create_directory", IN, "\0")


@attempt(*["success"] * 10, "loop", "noent")
def links_that_grow(program: Program) -> None:
    """Each leads twice through the one before: a thousand in all."""
    program.call("path_symlink", *program.text("dir"), IN, *program.text("b0"))
    for number in range(1, 10):
        program.call("path_symlink", *program.text(f"b{number - 1}/../b{number - 1}"), IN, *program.text(f"b{number}"))
    program.open("b9/inner")
    program.on_path("path_filestat_get", IN, "b4/../secret", BUFFER, before=(1,))


@attempt("success", "nametoolong", "success", "nametoolong", "nametoolong")
def links_longer_than_a_path(program: Program) -> None:
    long = "./" * 1000 + "dir"
    program.call("path_symlink", *program.text(long), IN, *program.text("long"))
    program.open("long/" + "./" * 1500 + "../secret")
    program.call("path_symlink", *program.text(long), IN, *program.text("dir/long"))
    program.call("path_symlink", *program.text("d/" * 2049), IN, *program.text("mine"))
    program.open("long/../long/" + "x/" * 1400)


@attempt("success", "success", "success", "success")
def a_link_read_piece_by_piece(program: Program) -> None:
    """No more than its own text, whatever room there is."""
    for room in (0, 1, 2, SIZE):
        program.on_path("path_readlink", IN, "up", BUFFER, room, program.cell().address)


@attempt("success", "badf", "isdir", "success", "notdir", "badf")
def streams_in_the_place_of_directories(program: Program) -> None:
    program.call("fd_renumber", OTHER, 1)
    program.on_path("path_unlink_file", OTHER, "x")
    program.write(1, "x")
    program.call("fd_renumber", 0, IN)
    program.open("../secret", fd=IN)
    program.read(0)


@attempt("success", "success", "notcapable", "notcapable", "notcapable", "success", "notcapable")
def rights_of_all_bits(program: Program) -> None:
    fd = program.open("dir", DIRECTORY, 1 << 13 | 1 << 14, inheriting=READ)
    inner = program.open("inner", 0, READ | 1 << 40, fd=fd, inheriting=ANY)
    program.open("inner", 0, ALL, fd=fd)
    program.call("fd_fdstat_set_rights", inner, ANY, 0)
    program.call("fd_fdstat_set_rights", IN, ANY, ANY)
    program.call("fd_fdstat_set_rights", IN, 1 << 13, READ)
    program.open("dir", DIRECTORY, WRITE)


@attempt("success", "rofs", "rofs", "rofs", "rofs", "rofs", "notcapable")
def what_is_read_only_from_below(program: Program) -> None:
    fd = program.open("dir", DIRECTORY, READ_ONLY, fd=GIVEN, inheriting=ANY)
    program.open("new", CREAT, ALL, fd=fd)
    program.on_path("path_create_directory", fd, "new")
    program.call("fd_filestat_set_times", fd, 0, 0, 5)
    program.on_path("path_filestat_set_times", fd, ".", 0, 0, 5, before=(0,))
    program.on_path("path_rename", IN, "file", fd, *program.text("new"))
    program.open("../file", fd=fd)


@attempt("success", "success", "fault", "success")
def memory_that_changes_under_the_call(program: Program) -> None:
    """Buffers over the very array that names them, over the results, and over each other."""
    fd = program.open("file")
    vectors = program.vector(BUFFER, 8)
    program.call("fd_read", fd, program.vector(vectors, 8), 1, vectors)
    program.call("fd_read", 0, program.put((EDGE - 1).to_bytes(4, "little") + bytes([2, 0, 0, 0])), 1, BUFFER)
    program.call("fd_readdir", IN, BUFFER, 64, 0, BUFFER + 4)


@attempt("success", "success")
def waiting_for_what_is_not_open(program: Program) -> None:
    """The event says badf; nothing is waited for, and no number of the host is."""
    for fd in (6, 1 << 31):
        subscription = bytes(8) + b"\x01" + bytes(7) + fd.to_bytes(4, "little") + bytes(28)
        program.call("poll_oneoff", program.put(subscription), BUFFER, 1, program.cell().address)


@attempt("success", "isdir", "isdir", "isdir", "isdir", "isdir")
def a_directory_as_a_file(program: Program) -> None:
    fd = program.open("dir", DIRECTORY, READ_ONLY)
    program.read(fd)
    program.call("fd_pread", fd, program.vector(), 1, 0, program.cell().address)
    program.write(fd, "x")
    program.call("fd_filestat_set_size", fd, 0)
    program.call("fd_seek", fd, 0, 0, BUFFER)


@attempt("success", "notcapable", "success", "success", "badf")
def a_descriptor_closed_while_it_is_the_last_way_in(program: Program) -> None:
    fd = program.open("dir/deep", DIRECTORY)
    program.open("../../file", fd=fd)
    program.call("fd_close", IN)
    program.open("dir", fd=OTHER)
    program.call("fd_prestat_get", IN, BUFFER)
