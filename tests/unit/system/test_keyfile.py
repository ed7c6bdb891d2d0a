"""Secret keys in files: only their owner can read them, and they are never overwritten or shown."""

from pathlib import Path

import pytest
from tests.support.binary_cache import KEY

from lamina.errors import InputError, InvalidArgument, OutputError
from lamina.system.keyfile import read_key, write_key


def test_a_key_is_written_for_its_owner_alone_and_read_back(tmp_path: Path) -> None:
    write_key(KEY, tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert read_key(tmp_path / "key") == KEY


def test_a_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("something")
    with pytest.raises(OutputError, match="got an existing file"):
        write_key(KEY, tmp_path / "key")
    assert (tmp_path / "key").read_text() == "something"
    with pytest.raises(OutputError):
        write_key(KEY, tmp_path / "nothing/key")


@pytest.mark.parametrize("content", ["hunter2", "name:hunter2", "", "a:b:hunter2"])
def test_what_is_no_key_is_refused_without_its_content(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(InvalidArgument, match=f"{tmp_path}/key") as caught:
        read_key(tmp_path / "key")
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}/key"):
        read_key(tmp_path / "key")
