"""Unpacking into temporary files: digests of both sides, one limit for all, and holes for zeros."""

import gc
import gzip
import hashlib
import io
import os
from pathlib import Path

import pytest

from lamina.errors import FormatError, InputError, OutputError
from lamina.images.readers.unpack import Unpacker
from lamina.system.extents import read_head

DATA = os.urandom(3000) + bytes(4 << 20) + b"end"


@pytest.fixture(autouse=True)
def workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "workspaces"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize("data", [DATA, gzip.compress(DATA), b"", b"short"], ids=["plain", "gzip", "empty", "short"])
def test_the_output_is_a_file_with_the_digests_of_both_sides(data: bytes) -> None:
    unpacker = Unpacker()
    found = unpacker.unpack(io.BytesIO(data))
    expected = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    assert read_head(found.content, len(DATA)) == expected
    assert (found.outer.size, found.outer.digest.hex) == (len(data), hashlib.sha256(data).hexdigest())
    assert (found.inner.size, found.inner.digest.hex) == (len(expected), hashlib.sha256(expected).hexdigest())


def test_zeros_take_no_room() -> None:
    unpacker = Unpacker()
    found = unpacker.unpack(io.BytesIO(DATA))
    assert os.stat(found.content.file).st_blocks * 512 < 3 << 20


def test_the_files_are_removed_with_the_unpacker(workspaces: Path) -> None:
    unpacker: Unpacker | None = Unpacker()
    assert unpacker
    assert list(workspaces.iterdir()) == [], "nothing is unpacked yet"
    unpacker.unpack(io.BytesIO(b"x"))
    kept = unpacker.workspace
    unpacker = None
    gc.collect()
    assert len(list(workspaces.iterdir())) == 1
    del kept
    gc.collect()
    assert list(workspaces.iterdir()) == []


def test_all_parts_together_have_one_limit() -> None:
    unpacker = Unpacker(limit=5000)
    unpacker.unpack(io.BytesIO(gzip.compress(bytes(3000))))
    with pytest.raises(FormatError, match=r"more than 4\.9 KiB when decompressed") as caught:
        unpacker.unpack(io.BytesIO(gzip.compress(bytes(3000))))
    assert "--max-unpacked-size" in caught.value.hint


def test_the_start_may_be_refused_before_the_rest_is_read() -> None:
    source = io.BytesIO(DATA)

    def refuse(start: bytes) -> None:
        assert start == DATA[:512]
        raise FormatError("no tar", got="x", expected="y")

    with pytest.raises(FormatError, match="no tar"):
        Unpacker().unpack(source, refuse)
    assert source.tell() < len(DATA)


def test_a_source_that_cannot_be_read_and_a_missing_folder_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def readinto(self, buffer: object, /) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(InputError, match="Input/output error"):
        Unpacker().unpack(Broken())
    monkeypatch.setattr("tempfile.tempdir", "/nothing there")
    with pytest.raises(OutputError, match="expected enough space to unpack") as caught:
        Unpacker().unpack(io.BytesIO(b"x"))
    assert "TMPDIR" in caught.value.hint
