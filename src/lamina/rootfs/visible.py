"""What a sandbox shows of this machine, read-only and by name: its programs, their libraries and the Nix store."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lamina.core.names import STORE_DIR
from lamina.rootfs import programs

# Folders of programs and libraries (Filesystem Hierarchy Standard).
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What programs need of /etc: where the loader looks, which program a general name means, and certificates, without
# the private keys that lie beside them.
_ETC = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
# No entry of PATH shows these as a whole.
_NEVER = frozenset(("/", "/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/srv", "/sys", "/tmp", "/var"))  # noqa: S108
# Neither does it show anything below these: the kernel's, which the sandbox has of its own or not at all.
_KERNEL = frozenset(("dev", "proc", "sys"))
# Users and groups as in Nix's own build sandbox, the same on every machine.
_USERS = {
    "passwd": "root:x:0:0:root:/homeless-shelter:/bin/sh\n"
    "nixbld:x:1000:100:builder:/homeless-shelter:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/noshell\n",
    "group": "root:x:0:\nnixbld:!:100:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


@dataclass(frozen=True, slots=True)
class Bind:
    """What is shown: its place outside and inside, and whether it may be written to."""

    source: str
    place: str
    writable: bool = False


def write_etc(folder: Path) -> None:
    """Write the files of ``/etc`` that a sandbox has of its own into ``folder``. Raises `OSError`."""
    for name, text in _USERS.items():
        file = folder / name
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644)


def links() -> Iterator[tuple[str, str]]:
    """Return the system folders that are symlinks, as ``/bin`` to ``usr/bin``: their place and their target."""
    return ((place, os.readlink(place)) for place in _SYSTEM if os.path.islink(place))


def binds(search_path: str) -> list[Bind]:
    """Return what is shown to a script that looks for programs on ``search_path``, each once."""
    found: dict[str, Bind] = {}
    for place in (*_SYSTEM, STORE_DIR, *_ETC):
        if os.path.exists(place) and not os.path.islink(place):
            found[place] = Bind(place, place)
    for place in filter(_is_reachable, (*programs.python_folders(), *_path_folders(search_path))):
        for name in (os.path.realpath(place), place):
            if not _is_shown(name, found):
                found[name] = Bind(os.path.realpath(place), name)
    return list(found.values())


def _path_folders(search_path: str) -> Iterator[str]:
    for entry in search_path.split(os.pathsep):
        place = os.path.normpath(entry) if entry else ""
        if (
            place.startswith("/")
            and os.path.isdir(place)
            and not any(map(_is_private, {place, os.path.realpath(place)}))
        ):
            yield place


def _is_private(place: str) -> bool:
    """Tell whether the folder ``place`` is never shown, also where PATH names it."""
    return place in _NEVER or os.path.dirname(place) == "/home" or place.lstrip("/").partition("/")[0] in _KERNEL


def _is_reachable(place: str) -> bool:
    """Tell whether root without capabilities comes as far as ``place``: not where a user keeps a folder closed."""
    if os.geteuid() != 0:
        return True
    try:
        above = [parent.stat() for parent in Path(place).resolve().parents]
    except (OSError, RuntimeError):  # the latter for symlinks that lead to themselves
        return False
    return all(status.st_uid == 0 or status.st_mode & stat.S_IXOTH for status in above)


def _is_shown(place: str, found: dict[str, Bind]) -> bool:
    """Tell whether ``place`` is shown already, by itself or as part of a folder above it."""
    if place in _SYSTEM:
        return True
    parts = place.split("/")
    above = ("/".join(parts[:length]) for length in range(2, len(parts) + 1))
    return any(folder in found or folder in _SYSTEM for folder in above)
