"""Bind mounts of a sandbox: folders of programs are visible, and folders with users' own files are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.rootfs import bind_mounts


def visible_paths(search_path: str) -> set[str]:
    return {bind.path for bind in bind_mounts.find_binds(search_path)}


def test_folders_of_path_are_shown_at_their_own_path_and_their_real_path(tmp_path: Path) -> None:
    (tmp_path / "real/bin").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    found = {bind.path: bind for bind in bind_mounts.find_binds(f"{tmp_path}/link/bin")}
    real = os.path.realpath(tmp_path / "real/bin")
    assert found[f"{tmp_path}/link/bin"].source == real
    assert found[real].source == real
    assert not any(bind.writable for bind in found.values())


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ".",
        "bin",
        "/",
        "/root",
        "/home",
        "/home/somebody",
        "/etc",
        "/run",
        "/tmp",
        "/var",
        "/proc",
        "/no/such",
        "//",
    ],
)
def test_a_folder_that_does_not_hold_programs_is_not_shown(entry: str) -> None:
    assert visible_paths(entry) == visible_paths("")


def test_a_symlink_does_not_make_a_hidden_folder_visible(tmp_path: Path) -> None:
    (tmp_path / "bin").symlink_to("/etc")
    assert visible_paths(f"{tmp_path}/bin") == visible_paths("")


def test_system_folders_are_shown_once() -> None:
    assert visible_paths("/usr/bin:/bin:/usr/local/bin:/usr/bin/../bin") == visible_paths("")


def test_a_store_is_shown_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "tool/bin").mkdir(parents=True)
    monkeypatch.setattr(bind_mounts, "STORE_DIR", str(store))
    assert visible_paths(f"{store}/tool/bin") == visible_paths("") >= {str(store)}


def test_files_of_etc_with_secrets_are_not_shown() -> None:
    visible = {path for path in visible_paths("/usr/bin") if path.startswith("/etc/")}
    assert not visible & {"/etc/shadow", "/etc/gshadow", "/etc/ssl", "/etc/ssl/private", "/etc/passwd", "/etc/sudoers"}


def test_users_are_the_same_on_every_machine(tmp_path: Path) -> None:
    bind_mounts.write_etc(tmp_path)
    users = [line.split(":")[:4] for line in (tmp_path / "passwd").read_text().splitlines()]
    assert [[name, uid, gid] for name, _, uid, gid in users] == [
        ["root", "0", "0"],
        ["nixbld", "1000", "100"],
        ["nobody", "65534", "65534"],
    ]
    assert {file.name for file in tmp_path.iterdir()} == {"passwd", "group", "nsswitch.conf", "hosts"}
