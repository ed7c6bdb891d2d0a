"""Writing a file that appears whole or not at all, and writing to other objects that accept bytes."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import as_nobody, in_mount_namespace, public_folder

from lamina.errors import InvalidArgument, OutputError
from lamina.messages.redaction import cut
from lamina.system.output import atomic_write, make_writer, parse_output_file


def save(path: Path, data: bytes, mode: int = 0o666, error: BaseException | None = None) -> None:
    with atomic_write(path, mode) as out:
        out.write(memoryview(data))
        if error:
            raise error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


# Files


def test_a_file_appears_once_it_is_complete(folder: Path) -> None:
    file = folder / "file"
    with atomic_write(file) as out:
        out.write(memoryview(b"one"))
        assert not file.exists()
        out.write(memoryview(b"two"))
    assert file.read_bytes() == b"onetwo"
    assert os.listdir(folder) == ["file"]


def test_an_empty_file_is_a_file(folder: Path) -> None:
    with atomic_write(folder / "file"):
        pass
    assert (folder / "file").read_bytes() == b""


class UnexpectedError(Exception):
    """An exception that no code handles."""


@pytest.mark.parametrize(
    "error", [OSError(5, "I/O"), KeyboardInterrupt(), SystemExit(143), UnexpectedError(), GeneratorExit()]
)
@pytest.mark.parametrize("old", [None, b"old"])
def test_an_error_changes_nothing(folder: Path, error: BaseException, old: bytes | None) -> None:
    file = folder / "file"
    if old:
        file.write_bytes(old)
    with pytest.raises(type(error)):
        save(file, b"new", error=error)
    assert (file.read_bytes() if file.exists() else None) == old
    assert os.listdir(folder) == (["file"] if old else [])


def test_an_existing_file_is_replaced_and_its_open_readers_keep_the_old_one(folder: Path) -> None:
    file = folder / "file"
    file.write_bytes(b"old")
    with file.open("rb") as reader:
        save(file, b"new")
        assert reader.read() == b"old"
    assert file.read_bytes() == b"new"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177])
@pytest.mark.parametrize("mode", [0o666, 0o777])
def test_the_umask_applies_to_the_mode(folder: Path, umask: int, mode: int) -> None:
    old = os.umask(umask)
    try:
        save(folder / "file", b"", mode)
    finally:
        os.umask(old)
    assert (folder / "file").stat().st_mode & 0o7777 == mode & ~umask


def test_a_link_is_followed_and_stays(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner/file").write_bytes(b"old")
    (folder / "link").symlink_to("inner/file")
    (folder / "chain").symlink_to(folder / "link")
    save(folder / "chain", b"new")
    assert (folder / "inner/file").read_bytes() == b"new"
    assert (folder / "link").is_symlink()
    assert os.listdir(folder / "inner") == ["file"]


def test_a_link_to_nothing_yet_is_followed(folder: Path) -> None:
    (folder / "link").symlink_to("later")
    save(folder / "link", b"new")
    assert (folder / "later").read_bytes() == b"new"
    assert (folder / "link").is_symlink()


@pytest.mark.parametrize("name", ["n" * 255, "語" * 85, "-", "a\nb", " ", "\udcff"])
def test_a_file_may_have_any_name_that_fits(folder: Path, name: str) -> None:
    save(folder / name, b"x")
    assert os.listdir(folder) == [name]


@pytest.mark.parametrize("name", ["n" * 256, "missing/file", "file/below", "loop", "loop/file"])
def test_a_name_that_cannot_be_written_is_an_output_error_that_names_it(folder: Path, name: str) -> None:
    (folder / "file").touch()
    (folder / "loop").symlink_to("loop")
    path_pattern = re.escape(cut(str(folder / name)))
    with pytest.raises(OutputError, match=rf"^{path_pattern}: got .*, expected to write the result there"):
        save(folder / name, b"x")
    assert sorted(os.listdir(folder)) == ["file", "loop"]


def test_a_folder_is_refused(folder: Path) -> None:
    (folder / "link").symlink_to(".")
    for path in (folder, folder / "link", Path(), Path("/")):
        with pytest.raises(InvalidArgument, match="got a folder, expected the name of a file"):
            save(path, b"x")


def test_a_name_that_ends_in_a_slash_is_refused_like_a_folder(folder: Path) -> None:
    assert parse_output_file("x.tar") == Path("x.tar")
    for name in ("new/", str(folder), folder):
        with pytest.raises(InvalidArgument, match=r"^output: got '.*', a folder, expected the name of a file$"):
            parse_output_file(name)


def test_a_name_with_a_nul_is_invalid(folder: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"output: got .*, expected the name of a file"):
        save(folder / "a\0b", b"x")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with public_folder() as path:
        yield path


def test_a_folder_that_may_not_be_written_is_an_output_error(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with pytest.raises(OutputError, match=rf"^{open_folder}/file: got Permission denied, expected to write the result"):
        as_nobody(lambda: save(open_folder / "file", b"x"))
    open_folder.chmod(0o755)


def test_a_folder_that_may_not_be_entered_is_an_output_error(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0)
    with pytest.raises(OutputError, match=r"closed/file: got Permission denied, expected to write the result"):
        as_nobody(lambda: save(open_folder / "closed/file", b"x"))
    (open_folder / "closed").chmod(0o755)  # else an ordinary user could not remove it


def test_a_file_of_another_user_in_a_writable_folder_is_replaced(open_folder: Path) -> None:
    open_folder.chmod(0o777)
    (open_folder / "file").write_bytes(b"old")
    as_nobody(lambda: save(open_folder / "file", b"new"))
    assert (open_folder / "file").read_bytes() == b"new"


# Full disks


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_an_output_error() -> None:
    with pytest.raises(OutputError, match=r"^/dev/full: got No space left on device, expected to write the result"):
        save(Path("/dev/full"), b"x" * 5000)


_FILL = """
import sys
from pathlib import Path
from typing import Any
from lamina.errors import OutputError
from lamina.system.output import atomic_write
try:
    with atomic_write(Path(sys.argv[1])) as out:
        for _ in range(64):
            out.write(memoryview(bytes(1 << 16)))
except OutputError as error:
    print(error)
"""


def test_a_full_disk_is_an_output_error_and_keeps_the_old_file(folder: Path) -> None:
    script = (
        'mount -t tmpfs -o size=1m tmpfs "$1"; echo old > "$1/file"; '
        '"$2" -c "$3" "$1/file"; ls -A "$1"; cat "$1/file"; df --output=used "$1" | tail -n 1'
    )
    done = in_mount_namespace(script, [folder, sys.executable, _FILL])
    message, names, content, used = done.stdout.decode().splitlines()
    assert message == f"{folder}/file: got No space left on device, expected to write the result there"
    assert (names, content) == ("file", "old")
    assert int(used) <= 8


# Pipes and devices


def test_a_pipe_is_written_directly(folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    save(pipe, b"x" * 200_000)
    reader.join()
    assert got == [b"x" * 200_000]
    assert pipe.is_fifo()
    assert os.listdir(folder) == ["pipe"]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_a_descriptor_is_written_directly() -> None:
    read_end, write_end = os.pipe()
    save(Path(f"/dev/fd/{write_end}"), b"x" * 1000)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        assert pipe.read() == b"x" * 1000


def test_a_device_is_written_directly() -> None:
    save(Path("/dev/null"), b"x")
    assert Path("/dev/null").is_char_device()


def test_a_terminal_is_refused() -> None:
    leader, follower = pty.openpty()
    try:
        with pytest.raises(InvalidArgument, match="got a terminal, expected a pipe or a file"):
            save(Path(os.ttyname(follower)), b"x")
    finally:
        os.close(leader)
        os.close(follower)


# Other objects that accept bytes


class Slow(io.RawIOBase):
    """A raw file that accepts three bytes at a time, which raw files may do."""

    def __init__(self) -> None:
        self.got = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        part = memoryview(data)[:3]
        self.got += part
        return len(part)


def test_the_rest_of_a_partial_write_is_written_too() -> None:
    slow = Slow()
    make_writer(slow, "slow").write(memoryview(b"abcdefgh"))
    assert slow.got == b"abcdefgh"


def test_a_write_that_returns_none_has_written_all() -> None:
    class Silent:
        def __init__(self) -> None:
            self.got = bytearray()

        def write(self, data: memoryview, /) -> None:
            self.got += data

    silent = Silent()
    make_writer(silent, "silent").write(memoryview(b"abc"))
    assert silent.got == b"abc"


def test_an_output_that_fails_is_named() -> None:
    class Broken:
        def write(self, data: memoryview, /) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(
        OutputError, match=r"^disk: got Input/output error, expected to write the result there"
    ) as caught:
        make_writer(Broken(), "disk").write(memoryview(b"x"))
    assert caught.value.exit_code == 10


# Signals

_ENDLESS = """
import sys
from pathlib import Path
from typing import Any
from lamina.cli.exits import run_to_exit_code
from lamina.system.output import atomic_write

def work():
    with atomic_write(Path(sys.argv[1])) as out:
        while True:
            out.write(memoryview(bytes(1 << 12)))
            print(".", flush=True)
            sys.stdin.readline()

sys.exit(run_to_exit_code(work))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_no_part_of_a_file(folder: Path, number: signal.Signals, code: int) -> None:
    (folder / "file").write_bytes(b"old")
    command = [sys.executable, "-c", _ENDLESS, str(folder / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        running.stdout.readline()
        assert len(os.listdir(folder)) == 2
        running.send_signal(number)
        running.communicate(timeout=60)  # a disk that is busy may take its time to remove a file
    assert running.returncode == code
    assert os.listdir(folder) == ["file"]
    assert (folder / "file").read_bytes() == b"old"
