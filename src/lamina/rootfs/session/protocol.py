"""The values that lamina and the programs of a session exchange as JSON."""

from __future__ import annotations

from typing import NamedTuple

# The kinds of a policy.
NAMESPACES, LANDLOCK, NONE = "namespaces", "landlock", "none"


class Policy(NamedTuple):
    """The files that a session may see and change; fields that a kind does not use are empty, or -1 for numbers.

    Attributes:
        kind: The mechanism that confines the session: `NAMESPACES`, `LANDLOCK` or `NONE`.
        start_folder: The working folder of the session.
        uid: The ID that the user who runs lamina has in a user namespace; -1 for no user namespace.
        gid: The group ID in that user namespace.
        unprivileged_id: The user and group ID that root switches to under Landlock.
        mount_point: An empty folder on which the new root of the namespaces is mounted.
        binds: Visible paths: the path outside, the path inside, and whether it may be written to.
        links: Symlinks in the new root: their path and their target.
        read_only_proc: Paths below /proc that are made read-only.
        read_only: Folders that are made read-only if there is no sandbox and this process may mount.
    """

    kind: str
    start_folder: str
    uid: int
    gid: int
    unprivileged_id: int
    mount_point: str
    binds: list[tuple[str, str, bool]]
    links: list[tuple[str, str]]
    read_only_proc: list[str]
    read_only: list[str]


class ScriptTask(NamedTuple):
    """The script that a session runs.

    Attributes:
        command: The script's command line. It runs in ``root``, whose files are listed afterwards.
        environment: Variables that are added to the session's environment or replace some of it.
        root: The folder of the image's root.
        result_fd: The descriptor that the result is written to.
        is_fakeroot: Whether the session runs under fakeroot, which shows every file as owned by root.
        proot: The command line of proot, which is put before the command; empty to run without proot. The session adds
            bind mounts for fakeroot's library, whose folders only the session knows.
    """

    command: list[str]
    environment: dict[str, str]
    root: str
    result_fd: int
    is_fakeroot: bool
    proot: list[str]


class ScriptEntry(NamedTuple):
    """A file, folder or symlink that a script left.

    ``mode`` includes the file type. The path and the values of extended attributes are in hexadecimal.
    """

    path: str
    mode: int
    uid: int
    gid: int
    xattrs: dict[str, str]
