"""Links into the Nix store."""

import os
from pathlib import Path

import pytest
from tests.support.factories import path

from lamina.errors import InvalidArgument, NotFound
from lamina.system.store_links import resolve_store_link

TARGET = str(path("hello-1"))


def test_links_are_followed_to_the_store(tmp_path: Path) -> None:
    (tmp_path / "result").symlink_to(TARGET)
    (tmp_path / "again").symlink_to("folder/../result")
    (tmp_path / "folder").mkdir()
    (tmp_path / "alias").symlink_to("folder")
    (tmp_path / "folder/inner").symlink_to(f"{TARGET}/bin")
    assert resolve_store_link(str(tmp_path / "result")) == TARGET
    assert resolve_store_link(str(tmp_path / "again")) == TARGET
    assert resolve_store_link(str(tmp_path / "alias/inner")) == f"{TARGET}/bin"
    assert resolve_store_link(f"{TARGET}/share") == f"{TARGET}/share"


def test_a_relative_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "result").symlink_to(TARGET)
    monkeypatch.chdir(tmp_path)
    assert resolve_store_link("./result") == TARGET


def test_what_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("file", "loop"):
        with pytest.raises(InvalidArgument, match="got a path outside /nix/store"):
            resolve_store_link(os.fspath(tmp_path / name))
    for name in ("nothing", "dangling"):
        with pytest.raises(NotFound, match="got nothing there"):
            resolve_store_link(os.fspath(tmp_path / name))
