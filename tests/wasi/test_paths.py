"""No path leaves its preopened directory, and those that stay inside mean what POSIX says."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from figwasp.wasi import WASI, HostDirectory
from figwasp.wasi.filesystem import Directory
from tests.wasi.guest import ALL, ROOT, Guest, tree

CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8


@pytest.fixture
def world(tmp_path: Path) -> Path:
    tree(tmp_path)
    inside = tmp_path / "in"
    for name, target in {
        "up": "..",
        "up-file": "../secret",
        "absolute": str(tmp_path / "secret"),
        "absolute-root": "/",
        "absolute-dir": str(tmp_path / "out"),
        "dir-out": "../out",
        "chain1": "chain2",
        "chain2": "dir/chain3",
        "good": "file",
        "good-dir": "dir",
        "good-deep": "dir/deep/",
        "around": "dir/../dir/./inner",
        "dangling": "nothing",
        "dangling-out": "../new",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
        "itself": ".",
    }.items():
        (inside / name).symlink_to(target)
    (inside / "dir/chain3").symlink_to("../../out/secret")
    (inside / "dir/back").symlink_to("../file")
    (inside / "dir/deep/out3").symlink_to("../../../secret")
    (inside / "dir/deep/in3").symlink_to("../../file")
    return tmp_path


@pytest.fixture(params=["openat2", "openat"])
def guest(world: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    if request.param == "openat":
        monkeypatch.setattr(HostDirectory, "descend", Directory.descend)
    with WASI(dirs={"/": world / "in"}) as wasi:
        yield Guest(wasi)


ESCAPES = [
    "..",
    "../",
    "../secret",
    "../in/file",
    "dir/../../secret",
    "dir/../../in/file",
    "dir/deep/../../../secret",
    "./../secret",
    "dir/./..//../secret",
    "/",
    "/file",
    "//file",
    "/etc/passwd",
    "up",
    "up/",
    "up/secret",
    "up/in/file",
    "up-file",
    "absolute",
    "absolute-root",
    "absolute-root/etc/passwd",
    "absolute-dir",
    "absolute-dir/secret",
    "dir-out",
    "dir-out/",
    "dir-out/secret",
    "dir-out/../in/file",
    "chain1",
    "chain2",
    "dir/chain3",
    "good-dir/chain3",
    "good-dir/../../secret",
    "good-deep/../../../secret",
    "good-deep/out3",
    "dir/deep/out3",
    "itself/../secret",
    "itself/itself/up-file",
    "dangling-out",
]
OPERATIONS: dict[str, Callable[[Guest, str], str | int]] = {
    "open": lambda g, p: g.open(p),
    "open-directory": lambda g, p: g.open(p, DIRECTORY),
    "open-write": lambda g, p: g.open(p, 0, 1 << 6),
    "open-create": lambda g, p: g.open(p, CREAT, 1 << 6),
    "open-truncate": lambda g, p: g.open(p, TRUNC),
    "filestat": lambda g, p: g.on_path("path_filestat_get", p, g.room(64), before=(1,)),
    "set-times": lambda g, p: g.on_path("path_filestat_set_times", p, 1, 1, 5, before=(1,)),
}
NAME_OPERATIONS: dict[str, Callable[[Guest, str], str | int]] = {
    "open-exclusive": lambda g, p: g.open(p, CREAT | EXCL, 1 << 6),
    "open-nofollow": lambda g, p: g.open(p, follow=False),
    "filestat-nofollow": lambda g, p: g.on_path("path_filestat_get", p, g.room(64), before=(0,)),
    "readlink": lambda g, p: g.on_path("path_readlink", p, g.room(99), 99, g.room(4)),
    "mkdir": lambda g, p: g.on_path("path_create_directory", p),
    "rmdir": lambda g, p: g.on_path("path_remove_directory", p),
    "unlink": lambda g, p: g.on_path("path_unlink_file", p),
    "symlink": lambda g, p: g.call("path_symlink", *g.text("file"), ROOT, *g.text(p)),
    "link-from": lambda g, p: g.call("path_link", ROOT, 0, *g.text(p), ROOT, *g.text("fresh")),
    "link-to": lambda g, p: g.call("path_link", ROOT, 0, *g.text("file"), ROOT, *g.text(p)),
    "rename-from": lambda g, p: g.call("path_rename", ROOT, *g.text(p), ROOT, *g.text("fresh")),
    "rename-to": lambda g, p: g.call("path_rename", ROOT, *g.text("file"), ROOT, *g.text(p)),
}


def outside(world: Path) -> list[tuple[str, bytes, int]]:
    """Everything that must not change."""
    found = []
    for path in sorted(world.rglob("*")):
        if not path.is_relative_to(world / "in"):
            status = path.stat()
            found.append((str(path), path.read_bytes() if path.is_file() else b"", status.st_mtime_ns))
    return [item for item in found if item[0] != str(world / "in")]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_path_leads_out(world: Path, guest: Guest, operation: str) -> None:
    before = outside(world)
    answers = {path: OPERATIONS[operation](guest, path) for path in ESCAPES}
    assert answers == dict.fromkeys(ESCAPES, "notcapable")
    assert outside(world) == before
    assert not (world / "new").exists()


@pytest.mark.parametrize("operation", NAME_OPERATIONS)
def test_no_directory_on_the_way_leads_out(world: Path, guest: Guest, operation: str) -> None:
    """What works on the link itself is refused where the way to it, or a slash after it, leads out."""
    through = [p for p in ESCAPES if "/" in p and p not in ("dir/chain3", "good-dir/chain3", "good-deep/out3",
                                                            "dir/deep/out3", "itself/itself/up-file")]  # fmt: skip
    if operation not in ("open-nofollow", "filestat-nofollow", "readlink"):
        through = [p for p in through if p not in ("up/", "dir-out/")]  # these see a link, with one error or another
    before = outside(world)
    answers = {path: NAME_OPERATIONS[operation](guest, path) for path in through}
    if operation == "open-exclusive":
        answers = {path: answer for path, answer in answers.items() if path != "../"}
    assert answers == dict.fromkeys(answers, "notcapable")
    for path in ESCAPES:
        NAME_OPERATIONS[operation](guest, path)
    assert outside(world) == before


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("file", b"inside"),
        ("./file", b"inside"),
        ("dir/../file", b"inside"),
        ("dir//inner", b"inner"),
        ("good", b"inside"),
        ("good-dir/inner", b"inner"),
        ("good-dir/back", b"inside"),
        ("good-deep/in3", b"inside"),
        ("good-deep/../inner", b"inner"),  # .. of what the link points at, not of where it stands
        ("around", b"inner"),
        ("itself/itself/dir/deep/../../good", b"inside"),
        ("dir/.//deep/../../dir/deep/../deep///./in3", b"inside"),
    ],
)
def test_paths_inside(guest: Guest, path: str, content: bytes) -> None:
    assert guest.read(guest.fd(path)) == content


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("", "noent"),
        ("nothing", "noent"),
        ("nothing/", "noent"),
        ("nothing/file", "noent"),
        ("nothing/..", "noent"),
        ("file/..", "notdir"),
        ("file/", "notdir"),
        ("file/.", "notdir"),
        ("good/", "notdir"),
        ("file/x", "notdir"),
        ("dangling", "noent"),
        ("dangling/x", "noent"),
        ("loop", "loop"),
        ("loop/x", "loop"),
        ("ping", "loop"),
        ("dir/deep/", 4),
        ("good-dir/", 4),
        (".", 4),
        ("dir/..", 4),
        ("x" * 5000, "nametoolong"),
        ("x" * 300, "nametoolong"),
        ("file\0", "inval"),
        ("fi\0le", "inval"),
        (b"\xff\xfe", "noent"),
    ],
)
def test_what_a_path_opens(guest: Guest, path: str | bytes, error: str | int) -> None:
    assert guest.open(path) == error


def test_links_are_counted(world: Path, guest: Guest) -> None:
    (world / "in/link0").symlink_to("file")
    for number in range(1, 41):
        (world / f"in/link{number}").symlink_to(f"link{number - 1}")
    assert guest.read(guest.fd("link39")) == b"inside"
    assert guest.open("link40") == "loop"


def test_links_that_grow_are_cut_off(world: Path, guest: Guest) -> None:
    (world / "in/grow").symlink_to("grow/" + "x/" * 500)
    assert guest.open("grow/y") in ("loop", "nametoolong")


def test_nofollow(guest: Guest) -> None:
    assert guest.open("good", follow=False) == "loop"
    assert guest.open("good-dir", DIRECTORY, follow=False) == "notdir"
    assert guest.open("good-dir/inner", follow=False) == 4
    assert guest.open("good-dir/", follow=False) == 5
    out = guest.room(64)
    assert guest.on_path("path_filestat_get", "good", out, before=(0,)) == "success"
    assert guest.memory[out + 16] == 7
    assert guest.on_path("path_filestat_get", "good", out, before=(1,)) == "success"
    assert guest.memory[out + 16] == 4
    assert guest.on_path("path_filestat_get", "good-dir/", out, before=(0,)) == "success"
    assert guest.memory[out + 16] == 3
    assert guest.on_path("path_filestat_get", "good/", out, before=(0,)) == "notdir"


def test_create_through_a_link(world: Path, guest: Guest) -> None:
    assert guest.open("dangling", CREAT | EXCL, 1 << 6) == "exist"
    assert guest.open("dangling", CREAT, 1 << 6, follow=False) == "loop"
    assert guest.open("dangling", CREAT, 1 << 6) == 4
    assert (world / "in/nothing").exists()


@pytest.mark.parametrize(
    ("name", "path", "error"),
    [
        ("mkdir", "new/", "success"),
        ("mkdir", "dir", "exist"),
        ("mkdir", ".", "exist"),
        ("mkdir", "dir/..", "exist"),
        ("mkdir", "good", "exist"),
        ("rmdir", "dir/deep/", "notempty"),
        ("rmdir", "dir", "notempty"),
        ("rmdir", "file", "notdir"),
        ("rmdir", "file/", "notdir"),
        ("rmdir", "good-dir", "notdir"),
        ("rmdir", ".", "inval"),
        ("unlink", "file/", "notdir"),
        ("unlink", "dir", "isdir"),
        ("unlink", "dir/", "isdir"),
        ("unlink", "nothing/", "noent"),
        ("unlink", "good", "success"),
        ("symlink", "fresh/", "noent"),
        ("symlink", "dir/", "exist"),
        ("symlink", "file/", "exist"),
        ("symlink", "good", "exist"),
        ("link-to", "fresh/", "noent"),
        ("link-to", "dangling", "exist"),
        ("link-from", "file/", "notdir"),
        ("link-from", "dir", "perm"),
        ("link-from", "loop", "success"),
        ("rename-from", "file/", "notdir"),
        ("rename-from", "dir/", "success"),
        ("rename-from", ".", "busy"),
        ("rename-to", "fresh/", "notdir"),
        ("rename-to", "dir", "isdir"),
        ("readlink", "file", "inval"),
        ("readlink", "good-dir/", "inval"),
        ("open-exclusive", "fresh/", "isdir"),
        ("open-exclusive", "file", "exist"),
    ],
)
def test_slashes_and_kinds(guest: Guest, name: str, path: str, error: str) -> None:
    answer = NAME_OPERATIONS[name](guest, path)
    assert answer == error


def test_absolute_links_are_not_made(world: Path, guest: Guest) -> None:
    assert guest.call("path_symlink", *guest.text("/etc/passwd"), ROOT, *guest.text("bad")) == "notcapable"
    assert not (world / "in/bad").is_symlink()
    assert guest.call("path_symlink", *guest.text("a\0b"), ROOT, *guest.text("bad")) == "inval"


def test_a_directory_opened_by_the_guest_is_a_border_too(guest: Guest) -> None:
    deep = guest.fd("dir/deep", DIRECTORY)
    assert guest.open("..", fd=deep) == "notcapable"
    assert guest.open("in3", fd=deep) == "notcapable"
    assert guest.open("in3") != "notcapable"


def test_a_long_path_needs_few_descriptors(world: Path, guest: Guest) -> None:
    top = len(os.listdir("/dev/fd"))
    here = world / "in"
    for _ in range(100):
        here = here / "d"
        here.mkdir()
    (here / "end").write_bytes(b"far")
    path = "d/" * 100 + "../" * 100 + "d/" * 100 + "../d/" * 100 + "end"
    peak = []
    real = os.open

    def spy(*args: object, **kwargs: object) -> int:
        fd = real(*args, **kwargs)  # type: ignore[arg-type]
        peak.append(fd)
        return fd

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", spy)
        assert guest.read(guest.fd(path)) == b"far"
    assert max(peak) < top + 8
    assert len(peak) < 3 * 101 + 100 * 101
    assert guest.open("d/" * 100 + "../" * 101) == "notcapable"


def test_descriptors_are_given_back(guest: Guest) -> None:
    before = sorted(os.listdir("/dev/fd"))
    for operation in (OPERATIONS | NAME_OPERATIONS).values():
        for path in (*ESCAPES, "loop", "loop/x", "nothing/x", "file/x", "dir/deep/x/y", "good-dir/inner"):
            found = operation(guest, path)
            if isinstance(found, int):
                guest.call("fd_close", found)
    assert sorted(os.listdir("/dev/fd")) == before


def test_renames_meanwhile_do_not_open_a_way_out(world: Path, guest: Guest) -> None:
    """Another thread swaps a directory for a symlink out of the sandbox, and moves directories, as fast as it can."""
    inside = world / "in"
    (inside / "swap").mkdir()
    (inside / "swap/secret").write_bytes(b"public")
    (inside / "evil").symlink_to("../out")
    (inside / "a/b/c").mkdir(parents=True)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            os.rename(inside / "swap", inside / "hold")
            os.rename(inside / "evil", inside / "swap")
            os.rename(inside / "a/b", world / "moved")
            os.rename(inside / "swap", inside / "evil")
            os.rename(inside / "hold", inside / "swap")
            os.rename(world / "moved", inside / "a/b")

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for _ in range(1500):
            for path in ("swap/secret", "a/b/c/../../../secret", "a/b/c/../../../../secret", "a/b/../../swap/secret"):
                found = guest.open(path)
                if isinstance(found, int):
                    seen.add(guest.read(found))
                    guest.call("fd_close", found)
                else:
                    seen.add(found)
    finally:
        done.set()
        thread.join()
    assert b"public" in seen
    assert b"SECRET" not in seen


def test_rights_of_the_directory_count(guest: Guest) -> None:
    narrow = guest.fd("dir", DIRECTORY, 1 << 13, inheriting=1 << 1)
    assert guest.read(guest.fd("inner", 0, 1 << 1, fd=narrow)) == b"inner"
    assert guest.open("inner", 0, 1 << 6, fd=narrow) == "notcapable"
    assert guest.open("new", CREAT, 1 << 1, fd=narrow) == "notcapable"
    assert guest.open("inner", TRUNC, 1 << 1, fd=narrow) == "notcapable"
    assert guest.on_path("path_unlink_file", "inner", fd=narrow) == "notcapable"
    file = guest.fd("inner", 0, 1 << 1, fd=narrow)
    assert guest.open("x", fd=file) == "notdir"
    assert guest.open(".", DIRECTORY, ALL) == "isdir"


def test_the_kernel_walks_through_plain_directories_only(world: Path) -> None:
    """The shortcut of the host enters what is there as named, and nothing that a symlink, dots or a slash lead to."""
    (world / "in/dir/deep/deeper").mkdir()
    root = HostDirectory(world / "in")
    below = root.descend(["dir", "deep", "deeper"])
    if below is None:
        pytest.skip("this kernel has no openat2")
    (world / "in/dir/deep/deeper/found").write_bytes(b"")
    reopened = below.reopen()
    assert [entry.name for entry in reopened.entries()] == ["found"]
    for names in (["up"], ["dir", ".."], ["dir", "..", ".."], ["good-dir", "deep"], ["absolute-root", "etc"], ["/", "etc"], ["file", "x"]):
        found = root.descend(names)
        assert found is None or names == ["dir", ".."], names
    for names in (["nothing", "x"], ["dir", "chain3"], ["dir", "x" * 300], ["dir", "a\0b"]):
        assert root.descend(names) is None, names
