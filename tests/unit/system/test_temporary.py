"""Temporary files and folders: leftovers of killed processes are removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lamina.stores.incoming import IncomingFile
from lamina.system import locks, temporary
from lamina.system.output import atomic_write
from lamina.system.tempdir import TempDir
from lamina.system.temporary import PartFile, is_in_use
from lamina.transports.files import FileTransport

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs flock")

# Creates a temporary file or folder, prints a dot, and waits to be killed.
_HOLDER_SCRIPT = """
import sys
from pathlib import Path
from lamina.system.output import atomic_write
from lamina.stores.incoming import IncomingFile
from lamina.system.temporary import PartFile
from lamina.system.tempdir import TempDir
kind, folder = sys.argv[1], Path(sys.argv[2])

def hold():
    print(".", flush=True)
    sys.stdin.read()

match kind:
    case "file":
        with atomic_write(folder / "result") as out:
            out.write(memoryview(bytes(1000)))
            hold()
    case "store":
        with IncomingFile(folder) as incoming:
            incoming.write(bytes(1000))
            hold()
    case "cache":
        with PartFile(folder):
            hold()
    case "layout" | "tmp":
        workspace = TempDir(parent=folder if kind == "layout" else None)
        (workspace.path / "deep" / "er").mkdir(parents=True)
        (workspace.path / "deep" / "er" / "file").write_bytes(b"x")
        (workspace.path / "deep").chmod(0)
        hold()
"""


@contextmanager
def holder(kind: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that holds something temporary in ``folder``; it is killed when the block ends."""
    command = [sys.executable, "-c", _HOLDER_SCRIPT, kind, str(folder)]
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def _write_file(folder: Path) -> None:
    with atomic_write(folder / "other") as out:
        out.write(memoryview(b"x"))
    (folder / "other").unlink()


def _receive(folder: Path) -> None:
    with IncomingFile(folder):
        pass


def _push(folder: Path) -> None:
    with closing(FileTransport(f"file://{folder}")) as cache:
        cache.write("other", b"x")
    (folder / "other").unlink()


def _lay_out(folder: Path) -> None:
    TempDir(parent=folder).close()


def _unpack(folder: Path) -> None:
    TempDir().close()


KINDS: dict[str, Callable[[Path], None]] = {
    "file": _write_file,
    "store": _receive,
    "cache": _push,
    "layout": _lay_out,
    "tmp": _unpack,
}


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each test start like a process that has not swept a folder yet."""
    import tempfile

    monkeypatch.setattr(temporary, "_last_sweeps", {})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def found(kind: str, folder: Path) -> list[Path]:
    arriving = folder / ".lamina" / "arriving" if kind == "store" else folder
    return sorted(arriving.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_process_removes_leftovers_of_a_killed_one(kind: str, tmp_path: Path) -> None:
    with holder(kind, tmp_path):
        pass
    assert len(found(kind, tmp_path)) == 1
    KINDS[kind](tmp_path)
    assert found(kind, tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_a_running_process_are_kept_however_old_they_are(kind: str, tmp_path: Path) -> None:
    with holder(kind, tmp_path):
        (part,) = found(kind, tmp_path)
        os.utime(part, (1, 1))
        KINDS[kind](tmp_path)
        assert found(kind, tmp_path) == [part]
        assert is_in_use(part)
    assert not is_in_use(part)


@pytest.mark.parametrize("name", ["lamina-0123456789abcdef", ".lamina.0123456789abcdef.part"])
def test_a_leftover_from_another_kernel_is_removed_once_it_is_a_day_old(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir(mode=0o700)
    kinds = ("tmp",) if name.startswith("lamina-") else ("file", "layout", "cache")
    for kind in kinds:
        KINDS[kind](tmp_path)
    assert (tmp_path / name).exists()
    os.utime(tmp_path / name, (1, 1))
    temporary._last_sweeps.clear()
    KINDS[kinds[0]](tmp_path)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    "name",
    [
        *("lamina-projects", "lamina-0123", "lamina-0123456789abcdeg", "lamina-0123456789abcdef.tar"),
        *(".lamina.x.part", ".lamina.0123.part.old", ".lamina.part", "0123.part", ".lamina"),
    ],
)
def test_a_file_with_another_name_is_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    os.utime(tmp_path / name, (1, 1))
    for kind in ("file", "cache", "layout", "tmp"):
        KINDS[kind](tmp_path)
    assert (tmp_path / name).exists()


def test_a_link_or_a_pipe_with_a_temporary_name_is_kept(tmp_path: Path) -> None:
    folder, precious = tmp_path / "folder", tmp_path / "precious"
    folder.mkdir()
    precious.mkdir()
    (precious / "file").write_bytes(b"x")
    tag = temporary._boot_tag()
    (folder / f".lamina.{tag}00000001.part").symlink_to(precious)
    (folder / f".lamina.{tag}00000002.part").symlink_to(precious / "file")
    os.mkfifo(folder / f".lamina.{tag}00000003.part")
    _write_file(folder)
    assert len(list(folder.iterdir())) == 3
    assert (precious / "file").read_bytes() == b"x"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to give files away")
def test_a_file_of_another_user_is_kept(tmp_path: Path) -> None:
    part = tmp_path / f".lamina.{temporary._boot_tag()}00000001.part"
    part.touch()
    os.utime(part, (1, 1))
    os.chown(part, 12345, 12345)
    _write_file(tmp_path)
    assert part.exists()


def test_a_read_only_leftover_is_removed(tmp_path: Path) -> None:
    part = tmp_path / f".lamina.{temporary._boot_tag()}00000001.part"
    part.touch(mode=0o444)
    _write_file(tmp_path)
    assert not part.exists()


def test_without_locks_the_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems have no locks."""
    monkeypatch.setattr(locks, "fcntl", None)
    names = [f".lamina.{temporary._boot_tag()}0000000{number}.part" for number in (1, 2)]
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / names[0], (1, 1))
    _write_file(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == names[1:]


def test_a_file_that_is_swept_before_it_is_locked_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []
    lock = locks.try_lock

    def late(number: int) -> bool | None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        return lock(number)

    monkeypatch.setattr(temporary, "try_lock", late)
    with PartFile(tmp_path) as part:
        assert part.path != taken[0]
        assert part.path.exists()


def test_a_folder_that_is_swept_before_it_is_locked_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take the new folder for a leftover at any moment before it is locked."""
    taken: list[Path] = []
    change_mode = os.chmod

    def late(path: Path, mode: int) -> None:
        if not taken:
            taken.append(path)
            path.rmdir()
        change_mode(path, mode)

    monkeypatch.setattr(os, "chmod", late)
    with TempDir() as folder:
        assert folder.path != taken[0]
        assert folder.path.is_dir()


def test_a_file_that_can_never_be_locked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "try_lock", lambda number: False)
    with pytest.raises(FileExistsError):
        PartFile(tmp_path)


def test_a_file_with_changing_inode_numbers_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems report another inode number each time."""
    numbers = iter(range(1, 1_000_000))

    def status(path: Path) -> os.stat_result:
        return os.stat_result((0o100644, next(numbers), 0, 1, 0, 0, 0, 0, 0, 0))

    monkeypatch.setattr(os, "lstat", status)
    with PartFile(tmp_path) as part:
        os.write(part.fd, b"x")
        part.commit(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"x"


def test_only_some_names_of_a_huge_folder_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_MAX_NAMES", 10)
    for number in range(100):
        (tmp_path / f".lamina.{temporary._boot_tag()}{number:08x}.part").touch()
    _write_file(tmp_path)
    assert 90 <= len(list(tmp_path.iterdir())) < 100


# The folder for temporary files

_REFUSE_WRITES = """
import os, sys
from pathlib import Path
from lamina.system.tempdir import TempDir
def refuse(event, arguments):
    if event == "open" and os.fsdecode(arguments[0]).startswith(sys.argv[1]):
        raise SystemExit(f"opened {arguments[0]}")
sys.addaudithook(refuse)
try:
    print(TempDir().path)
except SystemExit as opened:
    print(Path(str(opened).removeprefix("opened ")).name.startswith("lamina-"))
"""


def test_no_test_file_is_written_to_find_the_temporary_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _REFUSE_WRITES, str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, check=True)
    assert done.stdout == b"True\n"


def test_the_temporary_folder_may_be_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", ".")
    monkeypatch.setattr(tempfile, "tempdir", None)
    with TempDir() as workspace:
        assert workspace.path.parent == tmp_path
    monkeypatch.setattr(tempfile, "tempdir", ".")
    with TempDir() as workspace:
        assert workspace.path.parent == tmp_path
