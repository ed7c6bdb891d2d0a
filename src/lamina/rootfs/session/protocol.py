"""What lamina tells the programs of a session, and what they answer: documents that travel as JSON."""

from __future__ import annotations

from typing import NamedTuple

# What a policy's kind can be.
NAMESPACES, LANDLOCK, NONE = "namespaces", "landlock", "none"


class Policy(NamedTuple):
    """What a session may see and change; the fields that a kind does not use are empty.

    Attributes:
        kind: What confines the session.
        start: The folder to start in.
        uid: The user ID that the builder has in a user namespace; -1 for none.
        gid: The group ID likewise.
        becomes: The user and group ID that root gives itself up for under Landlock.
        folder: An empty folder on which namespaces put their root.
        binds: What is to be seen: its place outside, its place inside, and whether it may be written to.
        links: Symlinks in the new root: their place and their target.
        covered: Places below /proc that are shown read-only.
        read_only: Folders that are made read-only where there is no sandbox, as far as this process may mount.
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
    """What is to be done.

    Attributes:
        command: The script's command line; it runs in ``root``, which is listed afterwards.
        environment: Variables that are put over the session's own.
        root: The folder of the image's root.
        answer: The descriptor that takes the result.
        fake: Whether every file must appear as root's in this session, as under fakeroot.
        proot: proot's command line, which goes before the command; empty for none. What has to be bound into its root
            for fakeroot's library is found here, where its place is known.
    """

    command: list[str]
    environment: dict[str, str]
    root: str
    result_fd: int
    is_fakeroot: bool
    proot: list[str]


class ScriptEntry(NamedTuple):
    """What a script left: its path, mode with the kind in it, owner, extended attributes; texts are in hex."""

    path: str
    mode: int
    uid: int
    gid: int
    xattrs: dict[str, str]
