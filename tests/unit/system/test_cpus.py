"""The number of processors, read from small folders that look like /proc and /sys/fs/cgroup."""

import os
from pathlib import Path

import pytest

from lamina.system import cpus
from lamina.system.cpus import cpu_count


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 16 processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def machine(folder: Path, groups: str, mounts: str = "", **files: str) -> int:
    """Return the processor count of a process in ``groups``; in the names of ``files``, __ is / and cpu_ is cpu."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    proc.joinpath("self").mkdir(parents=True)
    cgroups.mkdir()
    proc.joinpath("self/cgroup").write_text(groups)
    if mounts:
        proc.joinpath("self/mountinfo").write_text(mounts.replace("CGROUP", str(cgroups)))
    for name, content in files.items():
        file = cgroups / name.replace("__", "/").replace("cpu_", "cpu.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return cpu_count(str(proc), str(cgroups))


UNIFIED = (
    "20 1 0:20 / /proc rw - proc proc rw\n30 23 0:26 / CGROUP rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 16),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("9900000 100000", 16),
        ("25000 10000", 3),
        ("", 16),
        ("0 100000", 16),
        ("100000 0", 16),
        ("-5 100000", 16),
        ("100000", 16),
        ("1e5 100000", 16),
        ("²00000 100000", 16),
        ("9" * 6000 + " 1", 16),
    ],
)
@pytest.mark.parametrize("mounts", ["", UNIFIED])
def test_a_time_limit_is_rounded_up_to_whole_processors(tmp_path: Path, limit: str, expected: int, mounts: str) -> None:
    assert machine(tmp_path, "0::/user.slice/run\n", mounts, **{"user.slice__run__cpu_max": limit}) == expected


@pytest.mark.parametrize("mounts", ["", UNIFIED])
def test_limits_of_parent_groups_apply_too(tmp_path: Path, mounts: str) -> None:
    files = {"a__b__c__cpu_max": "max 100000", "a__b__cpu_max": "800000 100000", "a__cpu_max": "300000 100000"}
    assert machine(tmp_path, "0::/a/b/c\n", mounts, **files, x__cpu_max="100000 100000") == 3


def test_in_a_container_only_the_mounted_group_is_read(tmp_path: Path) -> None:
    for number, (group, root) in enumerate(
        [
            ("/", "/"),
            ("/docker/1", "/docker/1"),
            ("/docker/1", "/elsewhere"),
            ("/../../1", "/"),
            ("/docker/12", "/docker/1"),
        ]
    ):
        mounts = UNIFIED.replace("0:26 /", f"0:26 {root}")
        assert machine(tmp_path / str(number), f"0::{group}\n", mounts, cpu_max="400000 100000") == 4, group


def test_group_names_are_relative_to_the_mounted_group(tmp_path: Path) -> None:
    mounts = UNIFIED.replace("0:26 /", "0:26 /docker/1")
    assert machine(tmp_path, "0::/docker/1/init\n", mounts, init__cpu_max="500000 100000") == 5


LEGACY = """\
32 31 0:29 / CGROUP/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / CGROUP/x rw - cgroup cgroup rw,pids
"""


@pytest.mark.parametrize(("quota", "expected"), [("-1", 16), ("350000", 4), ("x", 16), ("", 16)])
@pytest.mark.parametrize("mounts", ["", LEGACY, LEGACY + UNIFIED])
def test_version_1_reads_quota_and_period_from_two_files(
    tmp_path: Path, quota: str, expected: int, mounts: str
) -> None:
    groups = "5:pids:/b\n4:cpu,cpuacct:/a\n3:name=systemd:/b\n0::/b\n"
    files = {
        "cpu,cpuacct__a__cpu_cfs_quota_us": f"{quota}\n",
        "cpu,cpuacct__a__cpu_cfs_period_us": "100000\n",
        "cpu,cpuacct__b__cpu_cfs_quota_us": "100000\n",
        "cpu,cpuacct__b__cpu_cfs_period_us": "100000\n",
    }
    assert machine(tmp_path, groups, mounts, **files) == expected


def test_a_mount_point_may_have_any_name(tmp_path: Path) -> None:
    mounts = UNIFIED.replace("CGROUP", r"CGROUP/a\040b\134")
    assert machine(tmp_path, "0::/g:h\n", mounts, **{"a b\\__g:h__cpu_max": "100000 100000"}) == 1


@pytest.mark.parametrize(
    "text", ["", "\n\n", "0", "0::", ":::", "\0", "- - -\n - \n1 2 3 4 5 - cgroup2", "é - cgroup\n"]
)
def test_an_invalid_limit_is_ignored(tmp_path: Path, text: str) -> None:
    assert machine(tmp_path, text, text or " ") == 16
    (tmp_path / "proc/self/cgroup").write_bytes(b"0::/\xff\n" + os.urandom(100))
    (tmp_path / "proc/self/mountinfo").write_bytes(b"1 2 3 / /\xff - cgroup2 x y\n" + os.urandom(100))
    assert cpu_count(str(tmp_path / "proc"), str(tmp_path / "cgroup")) == 16


def test_without_control_groups_and_affinity_the_system_s_count_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = str(tmp_path / "nothing")
    assert cpu_count(nothing, nothing) == 16

    def refuse(_: int) -> set[int]:
        raise OSError

    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 7, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", refuse, raising=False)
    assert cpu_count(nothing, nothing) == 7
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cpu_count(nothing, nothing) == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(os, "process_cpu_count", lambda: None, raising=False)
    assert cpu_count(nothing, nothing) == 1


def test_this_machine_has_at_least_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 1 <= cpus.cpu_count() <= (os.cpu_count() or 1)
