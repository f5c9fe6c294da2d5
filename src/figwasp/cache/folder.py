"""Floor 4: the folder of the cache: where it is, and whether it may be used.

In: the environment. Out: a path, or why there is none. The folder is made when something is first written, for its user alone
(0700, as the XDG Base Directory Specification says). A folder that belongs to somebody else, or that others can write, is not
used: root with the HOME of another (`sudo`) neither believes that user's files nor leaves him some that he cannot remove.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

__all__ = ["OFF", "VARIABLE", "WRITABLE_BY_OTHERS", "chosen", "located", "objection", "prepared"]

VARIABLE: Final = "FIGWASP_CACHE"
"""The variable of the environment that says where the folder is, or that there is none."""
OFF: Final = "off"
WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

_NAME: Final = "figwasp"
_ROOT: Final = 0


def chosen(environ: Mapping[str, str]) -> str | None:
    """Return the absolute path of the folder that an environment chooses; None for no cache."""
    return located(environ)[0] or None


def located(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the absolute path of the folder that an environment chooses, or "" and why there is none."""
    given = environ.get(VARIABLE, "")
    if given == OFF:
        return "", f"{VARIABLE} is {OFF}"
    if not hasattr(os, "geteuid"):
        return "", "this system does not say whose a file is"
    if given:
        return _absolute(given)
    base = environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # to be ignored, says the specification
        home = environ.get("HOME", "")
        if not os.path.isabs(home):
            return "", "neither XDG_CACHE_HOME nor HOME is an absolute path"
        base = os.path.join(home, ".cache")
    if not _is_own(base):
        return "", f"{base} is another user's"
    return os.path.join(base, _NAME), ""


def _absolute(path: str) -> tuple[str, str]:
    """Return what `located` does for a path that has been given, perhaps relative to a directory that is gone."""
    try:
        return os.path.abspath(path), ""
    except OSError as error:
        return "", f"{VARIABLE} is {path}, and there is no current directory: {error.strerror}"


def _is_own(path: str) -> bool:
    """Return whether a folder is this user's or root's; of one that is missing, the one that it would be made in."""
    while True:
        try:
            return os.stat(path).st_uid in (os.geteuid(), _ROOT)
        except (FileNotFoundError, NotADirectoryError):
            path = os.path.dirname(path)
        except OSError:
            return False


def objection(path: str) -> str:
    """Return why a folder must not be used, "" if nothing is wrong with it or it is not there.

    A symlink is followed if it is this user's own.
    """
    try:
        own = status = os.lstat(path)
        if stat.S_ISLNK(own.st_mode):
            status = os.stat(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or type(error).__name__
    if not own.st_uid == status.st_uid == os.geteuid():
        return "it is another user's"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder"
    return "others can write to it" if status.st_mode & WRITABLE_BY_OTHERS else ""


def prepared(path: str) -> bool:
    """Make a folder, unless it is there, and return whether it may be used.

    Args:
        path: absolute.
    """
    try:
        _make(path)
    except OSError:
        return False
    return not objection(path)


def _make(path: str) -> None:
    """Make a folder and those above it that are missing, for this user alone.

    Raises:
        OSError: that cannot be done.
    """
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, stat.S_IRWXU)
        except FileExistsError:  # another process has been faster
            pass
