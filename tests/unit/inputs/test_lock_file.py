"""Reading and writing ``lamina.lock``."""

import os
from pathlib import Path

import pytest
from tests.support.fake_nix_store import as_nobody, public_folder

from lamina.core.names import Digest
from lamina.errors import FormatError, InputError, OutputError
from lamina.formats.pinned_images import PinnedImage, PinnedImages
from lamina.formats.registry_references import RegistryReference
from lamina.inputs.lock_file import locate_lock_file, read_lock_file, write_lock_file

PINNED = PinnedImages((PinnedImage(RegistryReference.parse("debian:12"), Digest(bytes([1] * 32))),))


def test_the_lock_file_is_beside_the_spec_file() -> None:
    assert locate_lock_file(Path("images/web.toml")) == Path("images/lamina.lock")
    assert locate_lock_file(Path("web.toml")) == Path("lamina.lock")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "lamina.lock"
    assert write_lock_file(file, PINNED)
    assert read_lock_file(file) == PINNED
    assert os.listdir(tmp_path) == ["lamina.lock"]


def test_a_file_with_the_same_content_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "lamina.lock"
    write_lock_file(file, PINNED)
    before = file.stat()
    assert not write_lock_file(file, PINNED)
    assert file.stat().st_ino == before.st_ino
    assert write_lock_file(file, PinnedImages(()))
    assert read_lock_file(file) == PinnedImages(())


def test_a_missing_file_has_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got No such file or directory, expected a lock file") as raised:
        read_lock_file(tmp_path / "lamina.lock")
    assert raised.value.hint == "lamina lock writes it"


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lamina.lock"
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(FormatError, match=r"got more than 1\.0 MiB"):
        read_lock_file(file)


def test_a_folder_that_cannot_be_written_to_is_an_error() -> None:
    with public_folder() as folder:
        folder.chmod(0o555)
        with pytest.raises(OutputError, match=r"lamina\.lock"):
            as_nobody(lambda: write_lock_file(folder / "lamina.lock", PINNED))
        assert os.listdir(folder) == []
