"""Folders of this machine that a script sees under proot: the store, and programs at paths that no image has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.rootfs import proot
from lamina.rootfs.proot import ProotRoot

SYSTEM = ("/dev", "/proc")


def binds(root: ProotRoot) -> dict[str, str]:
    """Return the bound folder for each path inside the root."""
    pairs = [flag.removeprefix("--bind=").removesuffix("!").rsplit(":", 1) for flag in root.proot if "--bind" in flag]
    return {inside: outside for outside, inside in pairs}


def test_with_path_in_the_store_no_other_folder_is_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    for name in ("bash", "coreutils"):
        (store / name / "bin").mkdir(parents=True)
        (store / name / "bin" / name).write_text("")
        (store / name / "bin" / name).chmod(0o755)
    monkeypatch.setattr(proot, "STORE_DIR", str(store))
    profile = tmp_path / "profile"
    profile.symlink_to(store / "bash/bin")
    path = f"{profile}:{store}/coreutils/bin"
    root = ProotRoot.of("/proot", "/root", path, "/scratch", SYSTEM)
    assert root.search_path == f"{store}/bash/bin:{store}/coreutils/bin"
    assert set(binds(root)) - {"/dev", "/proc", "/nix/store"} == {"/.lamina/scratch"}
    assert root.find_program("bash", path) == f"{store}/bash/bin/bash"


def test_programs_of_the_machine_are_bound_at_separate_paths_with_their_libraries(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "two/bash").write_text("")
    (tmp_path / "two/bash").chmod(0o755)
    path = f"{tmp_path}/one:/no/such:{tmp_path}/two"
    root = ProotRoot.of("/proot", "/root", path, "/scratch", SYSTEM)
    assert root.search_path == "/.lamina/path0:/.lamina/path1"
    assert binds(root)["/.lamina/path1"] == os.path.realpath(tmp_path / "two")
    assert root.find_program("bash", path) == "/.lamina/path1/bash"
    assert root.proot[:3] == ("/proot", "--rootfs=/root", "--pwd=/")
    if Path("/lib64/ld-linux-x86-64.so.2").exists():
        assert "/lib64" in binds(root)
