"""What a sandbox shows of this machine: folders by name, and nothing that holds what belongs to people."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.rootfs import bind_mounts


def places(search_path: str) -> set[str]:
    return {bind.path for bind in bind_mounts.find_binds(search_path)}


def test_folders_of_path_are_shown_under_their_own_and_their_real_name(tmp_path: Path) -> None:
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
def test_what_is_no_folder_of_programs_is_not_shown(entry: str) -> None:
    assert places(entry) == places("")


def test_a_link_to_a_folder_of_people_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / "bin").symlink_to("/etc")
    assert places(f"{tmp_path}/bin") == places("")


def test_system_folders_are_shown_once() -> None:
    assert places("/usr/bin:/bin:/usr/local/bin:/usr/bin/../bin") == places("")


def test_a_store_is_shown_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "tool/bin").mkdir(parents=True)
    monkeypatch.setattr(bind_mounts, "STORE_DIR", str(store))
    assert places(f"{store}/tool/bin") == places("") >= {str(store)}


def test_files_with_secrets_are_not_among_what_is_shown_of_etc() -> None:
    shown = {place for place in places("/usr/bin") if place.startswith("/etc/")}
    assert not shown & {"/etc/shadow", "/etc/gshadow", "/etc/ssl", "/etc/ssl/private", "/etc/passwd", "/etc/sudoers"}


def test_users_are_the_same_on_every_machine(tmp_path: Path) -> None:
    bind_mounts.write_etc(tmp_path)
    users = [line.split(":")[:4] for line in (tmp_path / "passwd").read_text().splitlines()]
    assert [[name, uid, gid] for name, _, uid, gid in users] == [
        ["root", "0", "0"],
        ["nixbld", "1000", "100"],
        ["nobody", "65534", "65534"],
    ]
    assert {file.name for file in tmp_path.iterdir()} == {"passwd", "group", "nsswitch.conf", "hosts"}
