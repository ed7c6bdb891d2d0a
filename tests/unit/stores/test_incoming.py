"""Files that are written into a store appear there completely or not at all."""

import hashlib
from pathlib import Path

import pytest

from lamina.errors import OutputError
from lamina.stores.incoming import IncomingFile, write_file


def arriving(folder: Path) -> list[Path]:
    return list((folder / ".lamina/arriving").iterdir())


def test_a_file_is_moved_to_its_place_and_hashed_meanwhile(tmp_path: Path) -> None:
    with IncomingFile(tmp_path) as incoming:
        incoming.write(b"one ")
        incoming.write(memoryview(b"two"))
        assert incoming.path.read_bytes() == b"one two"
        assert (incoming.blob_info.size, incoming.blob_info.digest.hex) == (7, hashlib.sha256(b"one two").hexdigest())
        incoming.commit("nar/x.nar")
    assert (tmp_path / "nar/x.nar").read_bytes() == b"one two"
    assert (tmp_path / "nar/x.nar").stat().st_mode & 0o777 == 0o444
    assert arriving(tmp_path) == []


@pytest.mark.parametrize("drop", [False, True])
def test_a_file_that_is_not_committed_is_removed(tmp_path: Path, drop: bool) -> None:
    with IncomingFile(tmp_path) as incoming:
        incoming.write(b"x")
        if drop:
            incoming.drop()
            assert arriving(tmp_path) == []
            incoming.write(b"y")
    assert arriving(tmp_path) == []


def test_a_small_file_is_written_at_once_and_replaces_an_old_one(tmp_path: Path) -> None:
    write_file(tmp_path / "store", "nix-cache-info", b"old")
    write_file(tmp_path / "store", "nix-cache-info", b"new")
    assert (tmp_path / "store/nix-cache-info").read_bytes() == b"new"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=f"store {tmp_path}/file: got .*expected a writable store"):
        write_file(tmp_path / "file", "x", b"")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/inside").touch()
    with pytest.raises(OutputError):
        write_file(tmp_path, "taken", b"")
