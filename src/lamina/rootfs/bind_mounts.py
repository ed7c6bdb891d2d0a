"""Choose which files of this machine are bind-mounted into a sandbox: programs, their libraries and the Nix store.

All of them are mounted read-only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lamina.core.names import STORE_DIR
from lamina.rootfs import session_programs

# Folders of programs and libraries (Filesystem Hierarchy Standard).
_SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# The parts of /etc that programs need: the loader's settings, Debian's alternatives, and certificates without the
# private keys that are stored beside them.
_ETC_PATHS = (
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
# These folders are never mounted as a whole, even if PATH names them.
_HIDDEN_FOLDERS = frozenset(
    f"/{name}" for name in ("", "boot", "dev", "etc", "home", "proc", "root", "run", "srv", "sys", "tmp", "var")
)
# PATH never causes folders below these to be mounted: they belong to the kernel, and the sandbox has its own or none.
_KERNEL_FOLDERS = frozenset(("dev", "proc", "sys"))
# Users and groups as in Nix's own build sandbox, the same on every machine.
_ETC_FILES = {
    "passwd": "root:x:0:0:root:/homeless-shelter:/bin/sh\n"
    "nixbld:x:1000:100:builder:/homeless-shelter:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/noshell\n",
    "group": "root:x:0:\nnixbld:!:100:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


@dataclass(frozen=True, slots=True)
class Bind:
    """A bind mount: the path outside the sandbox, the path inside it, and whether it may be written to."""

    source: str
    path: str
    writable: bool = False


def write_etc(folder: Path) -> None:
    """Write the sandbox's own files of ``/etc`` into ``folder``; raise `OSError` if that fails."""
    for name, text in _ETC_FILES.items():
        file = folder / name
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644)


def find_system_links() -> Iterator[tuple[str, str]]:
    """Return the path and target of each system folder that is a symlink, such as ``/bin`` and ``usr/bin``."""
    return ((path, os.readlink(path)) for path in _SYSTEM_FOLDERS if os.path.islink(path))


def find_binds(search_path: str) -> list[Bind]:
    """Return the bind mounts for a script whose PATH is ``search_path``, without duplicates."""
    binds: dict[str, Bind] = {}
    for path in (*_SYSTEM_FOLDERS, STORE_DIR, *_ETC_PATHS):
        if os.path.exists(path) and not os.path.islink(path):
            binds[path] = Bind(path, path)
    for path in filter(_is_reachable, (*session_programs.find_python_folders(), *_search_path_folders(search_path))):
        for name in (os.path.realpath(path), path):
            if not _is_visible(name, binds):
                binds[name] = Bind(os.path.realpath(path), name)
    return list(binds.values())


def _search_path_folders(search_path: str) -> Iterator[str]:
    for entry in search_path.split(os.pathsep):
        path = os.path.normpath(entry) if entry else ""
        if path.startswith("/") and os.path.isdir(path) and not any(map(_is_private, {path, os.path.realpath(path)})):
            yield path


def _is_private(path: str) -> bool:
    """Return whether the folder ``path`` must not be mounted even if PATH names it."""
    return (
        path in _HIDDEN_FOLDERS
        or os.path.dirname(path) == "/home"
        or path.lstrip("/").partition("/")[0] in _KERNEL_FOLDERS
    )


def _is_reachable(path: str) -> bool:
    """Return whether root without capabilities can reach ``path``. A user's private folder above it prevents this."""
    if os.geteuid() != 0:
        return True
    try:
        above = [parent.stat() for parent in Path(path).resolve().parents]
    except (OSError, RuntimeError):  # RuntimeError: a symlink that leads to itself
        return False
    return all(status.st_uid == 0 or status.st_mode & stat.S_IXOTH for status in above)


def _is_visible(path: str, binds: dict[str, Bind]) -> bool:
    """Return whether ``path`` is already mounted, by itself or with a folder above it."""
    if path in _SYSTEM_FOLDERS:
        return True
    parts = path.split("/")
    above = ("/".join(parts[:length]) for length in range(2, len(parts) + 1))
    return any(folder in binds or folder in _SYSTEM_FOLDERS for folder in above)
