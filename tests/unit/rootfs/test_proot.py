"""What proot shows a script of this machine: the store and what it needs, at places that no image has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.rootfs import proot
from lamina.rootfs.proot import ProotRoot

SYSTEM = ("/dev", "/proc")


def binds(made: ProotRoot) -> dict[str, str]:
    """By its place inside: what is bound there."""
    pairs = [flag.removeprefix("--bind=").removesuffix("!").rsplit(":", 1) for flag in made.proot if "--bind" in flag]
    return {inside: outside for outside, inside in pairs}


def test_a_path_that_leads_into_the_store_needs_nothing_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    for name in ("bash", "coreutils"):
        (store / name / "bin").mkdir(parents=True)
        (store / name / "bin" / name).write_text("")
        (store / name / "bin" / name).chmod(0o755)
    monkeypatch.setattr(proot, "STORE_DIR", str(store))
    profile = tmp_path / "profile"
    profile.symlink_to(store / "bash/bin")
    path = f"{profile}:{store}/coreutils/bin"
    made = ProotRoot.of("/proot", "/root", path, "/scratch", SYSTEM)
    assert made.search_path == f"{store}/bash/bin:{store}/coreutils/bin"
    assert set(binds(made)) - {"/dev", "/proc", "/nix/store"} == {"/.lamina/scratch"}
    assert made.find_program("bash", path) == f"{store}/bash/bin/bash"


def test_programs_of_the_machine_are_shown_at_places_of_their_own_with_their_libraries(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "two/bash").write_text("")
    (tmp_path / "two/bash").chmod(0o755)
    path = f"{tmp_path}/one:/no/such:{tmp_path}/two"
    made = ProotRoot.of("/proot", "/root", path, "/scratch", SYSTEM)
    assert made.search_path == "/.lamina/path0:/.lamina/path1"
    assert binds(made)["/.lamina/path1"] == os.path.realpath(tmp_path / "two")
    assert made.find_program("bash", path) == "/.lamina/path1/bash"
    assert made.proot[:3] == ("/proot", "--rootfs=/root", "--pwd=/")
    if Path("/lib64/ld-linux-x86-64.so.2").exists():
        assert "/lib64" in binds(made)
