"""Confine a session with the kernel's own mechanisms, and end all its processes when it ends or when stdin ends.

This is the first process of every session that bubblewrap does not run. It stays outside of the script's confinement,
so that it can still end the other processes if a script kills or stops its session.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from lamina.rootfs.session import landlock, linux, namespaces, processes
from lamina.rootfs.session.protocol import LANDLOCK, NAMESPACES, NONE, Policy

# How many seconds a session has to end by itself after stdin has ended.
_GRACE_PERIOD = 5
_EXIT_FAILED = 125


def main(policy_text: str, *command: str) -> None:
    """Run ``command`` under the policy ``policy_text``, a JSON object, and exit with its exit status."""
    fields: dict[str, Any] = json.loads(policy_text)
    policy = Policy(**fields)
    try:
        status = _run(policy, list(command))
    except OSError as error:
        sys.exit(f"{policy.kind}: got {error}, expected to confine the session")
    sys.exit(status)


def _run(policy: Policy, command: list[str]) -> int:
    if policy.kind == NAMESPACES:
        return namespaces.run(policy, command)
    is_root = os.geteuid() == 0
    if policy.kind == NONE:
        _make_read_only(policy.read_only)
    if policy.uid >= 0 and not is_root:
        # Inside, this user's files appear as root's files, so fakeroot cannot record this user as an owner.
        with contextlib.suppress(OSError, AttributeError):
            namespaces.map_builder(policy.uid, policy.gid)
    if policy.kind == LANDLOCK:
        return _supervise(command, lambda: landlock.restrict(policy, is_root=is_root))
    return _supervise(command, lambda: None)


def _make_read_only(folders: list[str]) -> None:
    """Make ``folders`` and the mounts below them read-only for this process and its children, if that is allowed.

    Otherwise a script of a user with the right to mount, such as root, could change this machine instead of the image's
    root by mistake.
    """
    if not folders:
        return
    with contextlib.suppress(OSError, AttributeError):
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        for folder in folders:
            linux.mount(folder, folder, flags=linux.MS_BIND | linux.MS_REC)
            linux.make_read_only(folder)


def _supervise(command: list[str], restrict: Callable[[], None]) -> int:
    """Run ``command`` after ``restrict`` and return its exit status. End all its processes when it or stdin ends."""
    with contextlib.suppress(OSError, AttributeError):
        linux.adopt_orphans()
    child = os.fork()
    if not child:
        _exec(command, restrict)
    with contextlib.suppress(OSError, AttributeError):
        linux.refuse_tracing()
    threading.Thread(target=_watch_stdin, daemon=True).start()
    _, status = os.waitpid(child, 0)
    _kill_all()
    return namespaces.to_exit_status(status)


def _exec(command: list[str], restrict: Callable[[], None]) -> NoReturn:
    """Call ``restrict``, then replace this process by ``command``."""
    try:
        restrict()
        os.execv(command[0], command)  # noqa: S606 - a shell would change the words
    except OSError as error:
        os.write(2, f"{error}\n".encode("utf-8", "replace"))
    os._exit(_EXIT_FAILED)


def _watch_stdin() -> None:
    """End all processes some seconds after stdin ends, because a session that a script stopped cannot end by itself."""
    while os.read(0, 1):
        pass
    time.sleep(_GRACE_PERIOD)
    _kill_all()
    os._exit(_EXIT_FAILED)


def _kill_all() -> None:
    processes.terminate_fakeroot(os.getpid())
    processes.kill_descendants(os.getpid())
