"""The number of processors that this process may use.

Linux limits a group of processes in two ways: to certain processors (sched_setaffinity(2), cpuset), which
`os.sched_getaffinity` reports, and to a share of time on all of them (kernel documentation: cgroup-v2, "cpu.max";
sched-bwc, "cpu.cfs_quota_us"), which is how containers and systemd units are limited. The limits of parent groups apply
to a group too; they are read as far as they are visible to this process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

# The files of /proc and of control groups are shorter than this on every working system.
_MAX_BYTES = 1 << 22


def cpu_count(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> int:
    """Return how many processors this process may use, rounded up to a whole number.

    Files that are missing or unreadable count as no limit, so this function raises nothing.

    Args:
        proc: where procfs is mounted.
        cgroups: the folder of control groups to read if ``proc`` lists no mount of them.
    """
    return max(1, min([_affinity_count(), *_find_quotas(proc, cgroups)]))


def _affinity_count() -> int:
    """Return the number of processors that the process may be scheduled on."""
    count = getattr(os, "process_cpu_count", os.cpu_count)  # Python 3.13
    affinity = getattr(os, "sched_getaffinity", None)
    try:
        return len(affinity(0)) if affinity else count() or 1
    except OSError:
        return count() or 1


class _Mount(NamedTuple):
    """The mount point of a control group hierarchy, version 2 if ``unified``; it shows the group ``root`` and below."""

    unified: bool
    root: str
    path: str


def _find_quotas(proc: str, cgroups: str) -> Iterator[int]:
    """Yield each time limit that applies to this process, rounded up to whole processors."""
    mounts = list(_find_mounts(proc)) or [
        _Mount(unified=False, root="/", path=f"{cgroups}/cpu"),
        _Mount(unified=False, root="/", path=f"{cgroups}/cpu,cpuacct"),
        _Mount(unified=True, root="/", path=cgroups),
    ]
    for line in _read_file(f"{proc}/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in mounts:
            if mount.unified is not bool(controllers):
                for folder in _group_folders(mount, group):
                    quota, period = _read_v2_quota(folder) if mount.unified else _read_v1_quota(folder)
                    if quota > 0 and period > 0:
                        yield -(-quota // period)


def _find_mounts(proc: str) -> Iterator[_Mount]:
    """Yield the mounted hierarchies that limit processor time (proc(5), "/proc/pid/mountinfo")."""
    for line in _read_file(f"{proc}/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, *options) = before.split(" "), after.split(" ")
        legacy = kind == "cgroup" and bool(options) and "cpu" in options[-1].split(",")
        if len(fields) > 4 and (legacy or kind == "cgroup2"):
            yield _Mount(not legacy, _unescape(fields[3]), _unescape(fields[4]))


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _group_folders(mount: _Mount, group: str) -> Iterator[str]:
    """Yield the folders of ``group`` and its parent groups, or only the mount point if ``group`` is not below it."""
    root = mount.root.rstrip("/")
    inside = group[len(root) :].strip("/") if f"{group}/".startswith(f"{root}/") else ""
    parts = [] if ".." in inside.split("/") else list(filter(None, inside.split("/")))
    for length in range(len(parts), -1, -1):
        yield "/".join([mount.path, *parts[:length]])


def _read_v2_quota(folder: str) -> tuple[int, int]:
    quota, _, period = _read_file(f"{folder}/cpu.max").partition(" ")
    return _parse_number(quota), _parse_number(period)


def _read_v1_quota(folder: str) -> tuple[int, int]:
    return _parse_number(_read_file(f"{folder}/cpu.cfs_quota_us")), _parse_number(
        _read_file(f"{folder}/cpu.cfs_period_us")
    )


def _parse_number(text: str) -> int:
    """Return ``text`` as a number, or 0 for other text such as ``max``."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _read_file(file: str) -> str:
    """Return the content of ``file``, or an empty string if it cannot be read."""
    try:
        with open(file, "rb") as opened:
            return os.fsdecode(opened.read(_MAX_BYTES))
    except (OSError, ValueError):
        return ""
