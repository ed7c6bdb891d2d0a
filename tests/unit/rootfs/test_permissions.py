"""Permissions that a script removed come back."""

import os
from pathlib import Path

from lamina.rootfs.permissions import make_readable, read_modes, restore_modes


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


def test_folders_get_their_modes_back(tmp_path: Path) -> None:
    top, inner = tmp_path / "top", tmp_path / "top/inner"
    inner.mkdir(parents=True)
    inner.chmod(0o750)
    modes = read_modes((top, inner, tmp_path / "nothing"))
    assert set(modes) == {top, inner}
    inner.chmod(0)
    top.chmod(0)
    restore_modes(modes)
    assert (mode(top), mode(inner)) == (modes[top], 0o750)


def test_what_is_no_longer_a_folder_is_left_alone(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir(0o700)
    modes = read_modes((folder, tmp_path / "gone")) | {tmp_path / "gone": 0o755}
    folder.rmdir()
    folder.symlink_to(other)
    restore_modes(modes)
    assert mode(other) == 0o700


def test_everything_below_a_folder_becomes_readable_and_keeps_its_other_bits(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    outside = tmp_path / "outside"
    for file, bits in ((top / "a/b/file", 0o4011), (top / "file", 0o600), (outside, 0)):
        file.write_text("x")
        file.chmod(bits)
    (top / "link").symlink_to(outside)
    for folder in (top / "a/b", top / "a", top):
        folder.chmod(0o2011 if folder == top else 0)
    make_readable(os.fsencode(top))
    assert mode(top) == 0o2711
    assert mode(top / "a/b") == 0o700
    assert mode(top / "a/b/file") == 0o4411
    assert mode(top / "file") == 0o600
    assert mode(outside) == 0


def test_a_missing_folder_is_no_error(tmp_path: Path) -> None:
    make_readable(os.fsencode(tmp_path / "nothing"))
    assert list(tmp_path.iterdir()) == []
