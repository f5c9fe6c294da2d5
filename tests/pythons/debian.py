"""Interpreters that the machine does not have, out of the packages of a newer suite of Debian.

In: a version and a folder. Out: `Interpreter`, below the folder. The packages are fetched by an apt with lists and a status of its own,
and unpacked, not installed: the system stays as it is, and nobody has to be root. What has been unpacked would look for the system's
loader and its C library, which may be too old, so the interpreter is told where its own are. It runs as any program does, beside the
machine's other programs, and so does what it starts by way of `sys.executable`.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.pythons.found import Interpreter, asked, surroundings

SUITE: Final = "sid"
_KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_LOADER: Final = "usr/lib64/ld-linux-x86-64.so.2"
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_NEEDED: Final = ("apt-get", "dpkg-deb")
_SAID: Final = 400
"""Characters at the end of what a program said, which are shown when it fails."""


class Unobtainable(Exception):
    """An interpreter cannot be had; the text says why."""


def said(*words: str | Path, **more: str) -> str:
    """Run a program and return what it wrote, or tell of its failure."""
    done = subprocess.run(words, env=surroundings(LC_ALL="C", **more), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Unobtainable(f"{Path(words[0]).name} failed: {(done.stderr.strip() or done.stdout.strip())[-_SAID:]}")
    return done.stdout


def mirror() -> str:
    """Return the address from which the machine gets its own packages."""
    codename = next((line.partition("=")[2].strip('"') for line in _release() if line.startswith("VERSION_CODENAME=")), "")
    targets = said("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    for address, release, component in (line.split() for line in targets.splitlines() if line.count(" ") == 2):
        if (release, component) == (codename, "main"):
            return address
    raise Unobtainable(f"apt names no mirror for {codename or 'this system'}; give one with --mirror")


def _release() -> list[str]:
    try:
        return Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return []


class Debian:
    """A suite of Debian, with an apt of its own below a folder."""

    def __init__(self, folder: Path, suite: str = SUITE, address: str | None = None) -> None:
        self.folder = folder
        self.suite = suite
        self.address = address
        self.apt = folder / f"apt-{suite}"
        self._updated = False

    def interpreter(self, version: str) -> Interpreter:
        """Return an interpreter that has been unpacked earlier, or fetch and unpack one.

        Raises:
            Unobtainable: This machine cannot, or the suite has none of that version.
        """
        root = self.folder / f"{self.suite}-{version}"
        if not root.is_dir():
            self._unpack(version, root)
        answer = asked(root / "usr" / "bin" / f"python{version}")
        if answer is None:
            shutil.rmtree(root)
            raise Unobtainable(f"python{version} of Debian's {self.suite} does not run here")
        return answer._replace(wheels=next((root / "usr/share/python-wheels").glob("pip-*.whl")))

    def _unpack(self, version: str, root: Path) -> None:
        """Make the root of an interpreter under another name, and give it its own at the end."""
        if platform.machine() != "x86_64":
            raise Unobtainable(f"packages are fetched for x86_64 only, and this is {platform.machine()}")
        if missing := [name for name in _NEEDED if shutil.which(name) is None]:
            raise Unobtainable(f"no {' and no '.join(missing)} to fetch Debian's packages with")
        unfinished = root.with_name(f"{root.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            packages = unfinished / "packages"
            self._fetch(packages, f"python{version}", f"python{version}-venv", "patchelf")
            for package in packages.glob("*.deb"):
                said("dpkg-deb", "--extract", package, unfinished)
            shutil.rmtree(packages)
            _tie(unfinished, root, f"usr/bin/python{version}")
            unfinished.rename(root)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _fetch(self, folder: Path, *names: str) -> None:
        """Fetch packages into a folder, with all that they depend on."""
        if not self._updated:
            self._configure()
            said("apt-get", "update", **self._environment())
            self._updated = True
        (folder / "partial").mkdir(parents=True)
        options = ("--yes", "--no-install-recommends", "--download-only", "--option", f"Dir::Cache::archives={folder}")
        said("apt-get", *options, "install", *names, **self._environment())

    def _environment(self) -> dict[str, str]:
        return {"APT_CONFIG": str(self.apt / "apt.conf")}

    def _configure(self) -> None:
        """Write the configuration of an apt that knows nothing of the system's packages."""
        (self.apt / "cache").mkdir(parents=True, exist_ok=True)
        (self.apt / "state/lists/partial").mkdir(parents=True, exist_ok=True)
        (self.apt / "status").touch()
        signed = f" [signed-by={_KEYS}]" if _KEYS.exists() else ""
        (self.apt / "sources.list").write_text(f"deb{signed} {self.address or mirror()} {self.suite} main\n")
        options = {
            "Dir::Cache": self.apt / "cache", "Dir::State": self.apt / "state", "Dir::State::status": self.apt / "status",
            "Dir::Etc::sourcelist": self.apt / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": "amd64", "APT::Sandbox::User": "", "APT::Update::Error-Mode": "any",
        }  # fmt: skip
        (self.apt / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in options.items()))


def _tie(unpacked: Path, root: Path, interpreter: str) -> None:
    """Tell an interpreter where the loader and the libraries that came with it will be.

    First the libraries, then the loader: patchelf 0.18 makes a program that crashes when it does both at once, or in the other order.
    """
    patchelf = (unpacked / _LOADER, "--library-path", unpacked / _LIBRARIES, unpacked / "usr/bin/patchelf")
    said(*patchelf, "--force-rpath", "--set-rpath", root / _LIBRARIES, unpacked / interpreter)
    said(*patchelf, "--set-interpreter", root / _LOADER, unpacked / interpreter)
