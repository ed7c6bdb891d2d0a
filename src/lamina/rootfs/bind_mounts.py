"""What a sandbox shows of this machine, read-only and by name: its programs, their libraries and the Nix store."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lamina.core.names import STORE_DIR
from lamina.rootfs import session_programs

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
_HIDDEN_FOLDERS = frozenset(
    f"/{name}" for name in ("", "boot", "dev", "etc", "home", "proc", "root", "run", "srv", "sys", "tmp", "var")
)
# Neither does it show anything below these: the kernel's, which the sandbox has of its own or not at all.
_KERNEL_FOLDERS = frozenset(("dev", "proc", "sys"))
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
    path: str
    writable: bool = False


def write_etc(folder: Path) -> None:
    """Write the files of ``/etc`` that a sandbox has of its own into ``folder``. Raises `OSError`."""
    for name, text in _USERS.items():
        file = folder / name
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644)


def find_system_links() -> Iterator[tuple[str, str]]:
    """Return the system folders that are symlinks, as ``/bin`` to ``usr/bin``: their place and their target."""
    return ((path, os.readlink(path)) for path in _SYSTEM if os.path.islink(path))


def find_binds(search_path: str) -> list[Bind]:
    """Return what is shown to a script that looks for programs on ``search_path``, each once."""
    found: dict[str, Bind] = {}
    for path in (*_SYSTEM, STORE_DIR, *_ETC):
        if os.path.exists(path) and not os.path.islink(path):
            found[path] = Bind(path, path)
    for path in filter(_is_reachable, (*session_programs.find_python_folders(), *_search_path_folders(search_path))):
        for name in (os.path.realpath(path), path):
            if not _is_visible(name, found):
                found[name] = Bind(os.path.realpath(path), name)
    return list(found.values())


def _search_path_folders(search_path: str) -> Iterator[str]:
    for entry in search_path.split(os.pathsep):
        path = os.path.normpath(entry) if entry else ""
        if path.startswith("/") and os.path.isdir(path) and not any(map(_is_private, {path, os.path.realpath(path)})):
            yield path


def _is_private(path: str) -> bool:
    """Tell whether the folder ``path`` is never shown, also where PATH names it."""
    return (
        path in _HIDDEN_FOLDERS
        or os.path.dirname(path) == "/home"
        or path.lstrip("/").partition("/")[0] in _KERNEL_FOLDERS
    )


def _is_reachable(path: str) -> bool:
    """Tell whether root without capabilities comes as far as ``path``: not where a user keeps a folder closed."""
    if os.geteuid() != 0:
        return True
    try:
        above = [parent.stat() for parent in Path(path).resolve().parents]
    except (OSError, RuntimeError):  # the latter for symlinks that lead to themselves
        return False
    return all(status.st_uid == 0 or status.st_mode & stat.S_IXOTH for status in above)


def _is_visible(path: str, found: dict[str, Bind]) -> bool:
    """Tell whether ``path`` is shown already, by itself or as part of a folder above it."""
    if path in _SYSTEM:
        return True
    parts = path.split("/")
    above = ("/".join(parts[:length]) for length in range(2, len(parts) + 1))
    return any(folder in found or folder in _SYSTEM for folder in above)
