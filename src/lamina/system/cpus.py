"""How much of this machine is ours to use.

Invariant: whatever the system says, or does not say, there is an answer, at least one and at most what it allows.

Linux limits a group of processes in two ways: to certain processors (sched_setaffinity(2), cpuset), which
`os.sched_getaffinity` knows of, and to so much time on all of them (kernel documentation: cgroup-v2, "cpu.max";
sched-bwc, "cpu.cfs_quota_us"), which is how containers and units of systemd are limited. A group is held to the limits
of those above it, too, as far as they can be seen from here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

# Neither is larger on any system that is well.
_MAX_BYTES = 1 << 22


def cpu_count(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> int:
    """How many processors this process may use, counting what is left of one as a whole; raises nothing.

    ``cgroups`` is where control groups are looked for if ``proc`` names no place where they are mounted.
    """
    return max(1, min([_affinity_count(), *_quotas(proc, cgroups)]))


def _affinity_count() -> int:
    """The processors that the process may run on."""
    count = getattr(os, "process_cpu_count", os.cpu_count)  # Python 3.13
    affinity = getattr(os, "sched_getaffinity", None)
    try:
        return len(affinity(0)) if affinity else count() or 1
    except OSError:
        return count() or 1


class _Mount(NamedTuple):
    """Where the groups of one hierarchy, of version 2 or 1, are to be seen, from the group ``root`` downwards."""

    unified: bool
    root: str
    path: str


def _quotas(proc: str, cgroups: str) -> Iterator[int]:
    """Each limit that holds for this process, rounded up to whole processors."""
    mounts = list(_mounts(proc)) or [
        _Mount(unified=False, root="/", path=f"{cgroups}/cpu"),
        _Mount(unified=False, root="/", path=f"{cgroups}/cpu,cpuacct"),
        _Mount(unified=True, root="/", path=cgroups),
    ]
    for line in _read(f"{proc}/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in mounts:
            if mount.unified is not bool(controllers):
                for folder in _with_parents(mount, group):
                    quota, period = _v2_quota(folder) if mount.unified else _v1_quota(folder)
                    if quota > 0 and period > 0:
                        yield -(-quota // period)


def _mounts(proc: str) -> Iterator[_Mount]:
    """The hierarchies that limit time on processors (proc(5), "/proc/pid/mountinfo")."""
    for line in _read(f"{proc}/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, *options) = before.split(" "), after.split(" ")
        legacy = kind == "cgroup" and bool(options) and "cpu" in options[-1].split(",")
        if len(fields) > 4 and (legacy or kind == "cgroup2"):
            yield _Mount(not legacy, _unescape(fields[3]), _unescape(fields[4]))


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _with_parents(mount: _Mount, group: str) -> Iterator[str]:
    """The folders of ``group`` and of those above it; of what is not below the mounted one, that one alone."""
    root = mount.root.rstrip("/")
    inside = group[len(root) :].strip("/") if f"{group}/".startswith(f"{root}/") else ""
    parts = [] if ".." in inside.split("/") else list(filter(None, inside.split("/")))
    for length in range(len(parts), -1, -1):
        yield "/".join([mount.path, *parts[:length]])


def _v2_quota(folder: str) -> tuple[int, int]:
    quota, _, period = _read(f"{folder}/cpu.max").partition(" ")
    return _number(quota), _number(period)


def _v1_quota(folder: str) -> tuple[int, int]:
    return _number(_read(f"{folder}/cpu.cfs_quota_us")), _number(_read(f"{folder}/cpu.cfs_period_us"))


def _number(text: str) -> int:
    """``text`` as a number, 0 for another text such as ``max``."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _read(file: str) -> str:
    """What is in ``file``, nothing where it cannot be read."""
    try:
        with open(file, "rb") as opened:
            return os.fsdecode(opened.read(_MAX_BYTES))
    except (OSError, ValueError):
        return ""
