"""What an image is written to: a file that appears whole, or anything with a binary ``write``."""

import gzip
import io
from pathlib import Path

import pytest

import lamina


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    file = tmp_path / "out"
    with lamina.open_output(file) as out:
        out.write(memoryview(b"bytes"))
        assert not file.exists()
    assert file.read_bytes() == b"bytes"


def test_a_file_does_not_appear_after_an_error(tmp_path: Path) -> None:
    def fail_within_the_block() -> None:
        with lamina.open_output(tmp_path / "out") as out:
            out.write(memoryview(b"bytes"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_within_the_block()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "compressor"), [("out.gz", None), ("out", "gz")])
def test_a_file_is_compressed_as_its_extension_or_the_caller_says(
    tmp_path: Path, name: str, compressor: str | None
) -> None:
    with lamina.open_output(tmp_path / name, compressor=compressor, jobs=1) as out:
        out.write(memoryview(b"bytes"))
    assert gzip.decompress((tmp_path / name).read_bytes()) == b"bytes"


def test_an_object_with_a_write_method_takes_the_bytes() -> None:
    buffer = io.BytesIO()
    with lamina.open_output(buffer) as out:
        out.write(memoryview(b"bytes"))
    assert buffer.getvalue() == b"bytes"


def test_an_unknown_compressor_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(lamina.InvalidArgument, match="got 'rar', expected"),
        lamina.open_output(tmp_path / "out", compressor="rar"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
