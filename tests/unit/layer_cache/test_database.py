"""The file of the layer cache: whatever its state, at most a warning is printed."""

import contextlib
import fcntl
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.examples import mark_rest, scale
from tests.support.layer_cache import Fact, OpenedCache, check, count_known, facts, open_cache, put, read_folder
from tests.support.paths import REPOSITORY, SOURCES

from lamina.errors import Error
from lamina.layer_cache import database, files
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.files import FILE_NAME
from lamina.layer_cache.schema import SCHEMA_VERSION
from lamina.system.locks import FileLock

REPLACED = "expected a layer cache that can be used: the file was deleted, and a new layer cache is created"
SUFFIXES = ("-wal", "-shm", "-journal")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder / "layer-cache.sqlite"


# --- the file


def test_the_files_are_private_to_the_user(file: Path) -> None:
    before = os.umask(0)
    try:
        with open_cache(file / "deep" / "layer-cache.sqlite") as layer_cache:
            Fact("one").put(layer_cache)
    finally:
        os.umask(before)
    assert stat.S_IMODE((file / "deep" / "layer-cache.sqlite").stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (file, file / "deep")] == [0o700] * 2


def test_a_run_without_new_entries_writes_nothing_and_waits_for_no_lock(file: Path) -> None:
    truth = facts(20)
    put(file, truth)
    before = read_folder(file.parent)
    assert count_known(file, truth) == 80
    assert read_folder(file.parent) == before
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert count_known(file, truth) == 80
        writer.execute("ROLLBACK")


@pytest.mark.parametrize("name", ["a name.sqlite", "q?mode=ro#f%20.sqlite", "é", "\udcff", "x" * 200])
def test_a_layer_cache_may_have_any_name(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, [Fact("one")])
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(name)]
    assert count_known(tmp_path / name, [Fact("one")]) == 4


def test_a_layer_cache_may_be_behind_a_symlink(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "elsewhere" / FILE_NAME
    link.symlink_to(target)
    put(link, [Fact("one")])
    target.write_bytes(b"garbage")
    assert count_known(link, [Fact("one")], warnings=1) == 0
    assert link.is_symlink()
    put(link, [Fact("one")])
    assert [entry.name for entry in target.parent.iterdir()] == [FILE_NAME]


def test_a_layer_cache_that_is_deleted_while_in_use_is_created_again(file: Path) -> None:
    put(file, [Fact("one")])
    with open_cache(file) as layer_cache:
        assert all(Fact("one").lookups(layer_cache))
        file.unlink()
        Fact("two").put(layer_cache)
    assert count_known(file, [Fact("one")]) == 0
    assert count_known(file, [Fact("two")]) == 4
    with open_cache(file) as layer_cache, open_cache(file) as other:
        Fact("three").put(layer_cache)
        list(layer_cache.entries())
        file.unlink()
        Fact("four").put(other)
        list(other.entries())
        assert check(other, [Fact("four")]) == 4
        Fact("five").put(layer_cache)
    assert count_known(file, [Fact("four"), Fact("five")]) == 8


def test_a_folder_that_is_deleted_while_in_use_is_created_again(file: Path) -> None:
    with open_cache(file) as layer_cache:
        Fact("one").put(layer_cache)
        shutil.rmtree(file.parent)
    assert count_known(file, [Fact("one")]) == 4
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


# --- damage


def use_damaged(file: Path, data: bytes) -> bool:
    """Use a layer cache whose bytes are ``data``, and return whether it was replaced.

    Every entry found must be right, at most one warning is printed, and the next run must find a good file.
    """
    file.write_bytes(data)
    truth = facts(12)
    opened = OpenedCache(file)
    with opened.layer_cache:
        check(opened.layer_cache, truth)
        Fact("later").put(opened.layer_cache)
        assert check(opened.layer_cache, [*truth, Fact("later")]) >= 4
    assert count_known(file, [*truth, Fact("later")]) >= 4, opened.warnings
    assert os.listdir(file.parent) == [file.name]
    assert len(opened.warnings) <= 1
    assert all(
        warning.endswith(": the file was deleted, and a new layer cache is created") for warning in opened.warnings
    )
    return bool(opened.warnings)


@pytest.fixture
def whole(file: Path) -> bytes:
    """Return the bytes of a layer cache with 12 facts."""
    put(file, facts(12))
    return file.read_bytes()


def test_a_truncated_layer_cache_is_replaced(file: Path, whole: bytes) -> None:
    for length in (2, 15, 72, 99, 100, 511, 512, *range(4096, len(whole), 8192), len(whole) - 1):
        assert use_damaged(file, whole[:length]), length
    assert not use_damaged(file, b"")
    assert not use_damaged(file, b"S")


def test_garbage_is_replaced(file: Path) -> None:
    for size in (2, 16, 100, 4096, 10_000):
        assert use_damaged(file, random.Random(size).randbytes(size)), size


def test_a_page_of_zeros_is_replaced(file: Path) -> None:
    assert use_damaged(file, bytes(4096))


def flip_bit(data: bytes, offset: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def test_a_flipped_bit_never_gives_a_wrong_answer(file: Path, whole: bytes) -> None:
    chance = random.Random(1)
    replaced = sum(
        use_damaged(file, flip_bit(whole, chance.randrange(100, len(whole)), chance.randrange(8))) for _ in range(60)
    )
    assert replaced > 10


def test_lost_pages_never_give_a_wrong_answer(file: Path, whole: bytes) -> None:
    pages = [whole[start : start + 4096] for start in range(0, len(whole), 4096)]
    for number in range(len(pages)):
        use_damaged(file, b"".join([*pages[:number], bytes(4096), *pages[number + 1 :]]))
        use_damaged(file, b"".join([*pages[:number], pages[-1 - number], *pages[number + 1 :]]))


# Schema version and application ID: with other values the file belongs to another program and is not touched. The byte
# before them says which version of SQLite may write to the file.
OWNER_BYTES = {18, *range(60, 64), *range(68, 72)}


def test_a_flipped_bit_of_the_header_never_gives_a_wrong_answer(file: Path, whole: bytes) -> None:
    offsets = sorted(set(range(100)) - OWNER_BYTES)
    for offset in random.Random(1).sample(offsets, scale(len(offsets))):
        use_damaged(file, flip_bit(whole, offset, offset % 8))


def damage_entries(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE entries SET value = x'00' || value")


def test_a_file_damaged_while_in_use_is_replaced_and_new_entries_are_kept(file: Path, whole: bytes) -> None:
    opened = OpenedCache(file)
    with opened.layer_cache:
        Fact("later").put(opened.layer_cache)
        damage_entries(file)
        assert sum(sum(fact.lookups(opened.layer_cache)) for fact in facts(12)) == 0
        assert all(Fact("later").lookups(opened.layer_cache))
    assert opened.warnings == [f"{file}: got an entry with a wrong checksum, {REPLACED}"]
    assert count_known(file, [Fact("later")]) == 4
    assert count_known(file, facts(12)) == 0


@pytest.mark.parametrize("value", ["1.5", "NULL", "'text'", "x''"])
def test_an_entry_with_values_of_other_types_is_damaged(file: Path, whole: bytes, value: str) -> None:
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        other.execute("PRAGMA writable_schema = ON")
        other.execute("UPDATE sqlite_master SET sql = replace(sql, 'value BLOB NOT NULL', 'value BLOB')")
    with closing(sqlite3.connect(file)) as other, other:
        other.execute(f"UPDATE entries SET value = {value}")
        other.execute("PRAGMA writable_schema = ON")
        other.execute("UPDATE sqlite_master SET sql = replace(sql, 'value BLOB', 'value BLOB NOT NULL')")
    assert use_damaged(file, file.read_bytes())


def test_a_process_that_has_the_damaged_file_open_does_not_harm_the_new_one(file: Path, whole: bytes) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other, open_cache(file) as unaware:
        assert check(unaware, facts(1)) == 4
        damage_entries(file)
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM entries").fetchall()
        with open_cache(file, warnings=1) as layer_cache:
            assert check(layer_cache, facts(12)) == 0
            Fact("one").put(layer_cache)
        other.execute("COMMIT")
        with pytest.raises(sqlite3.OperationalError):
            other.execute("UPDATE entries SET used = 0")
        Fact("two").put(unaware)
    assert count_known(file, [Fact("one"), Fact("two")]) == 8


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_log_or_journal_without_its_database_is_not_used(file: Path, suffix: str) -> None:
    Path(f"{file}{suffix}").write_bytes(random.Random(suffix).randbytes(5000))
    put(file, [Fact("one")])
    assert count_known(file, [Fact("one")]) == 4


@pytest.mark.parametrize("name", ["notes.db", "ledger", "my-layer-cache"])
def test_a_damaged_file_that_cannot_be_told_from_others_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"SQLite format 3\0" + bytes(4080))
    before = read_folder(tmp_path)
    assert count_known(file, [], warnings=1) == 0
    assert read_folder(tmp_path) == before


# --- files of other programs and versions


def test_a_layer_cache_of_a_newer_lamina_is_left_as_it_is(file: Path, whole: bytes) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = read_folder(file.parent)
    opened = OpenedCache(file)
    with opened.layer_cache:
        Fact("one").put(opened.layer_cache)
        assert check(opened.layer_cache, [*facts(12), Fact("one")]) == 0
    newer = f"a layer cache of a newer lamina, schema {SCHEMA_VERSION + 1}, expected {SCHEMA_VERSION}"
    assert opened.warnings == [f"{file}: got {newer}: continuing without the layer cache"]
    assert read_folder(file.parent) == before


def test_a_layer_cache_of_an_older_lamina_is_replaced_with_its_log(file: Path) -> None:
    with closing(sqlite3.connect(file)) as old:
        old.execute("CREATE TABLE layers (key BLOB)")
        old.execute("PRAGMA user_version = 2")
        old.execute(f"PRAGMA application_id = {int.from_bytes(b'lmna', 'big')}")
        old.execute("PRAGMA journal_mode = WAL")
        old.execute("INSERT INTO layers VALUES (x'00')")
        old.commit()
        assert Path(f"{file}-wal").stat().st_size
        opened = OpenedCache(file)
        with opened.layer_cache:
            Fact("one").put(opened.layer_cache)
    (warning,) = opened.warnings
    assert warning.startswith(
        f"{file}: got a layer cache of an older lamina, schema 2, expected 3: the file was deleted"
    )
    assert count_known(file, [Fact("one")]) == 4
    assert os.listdir(file.parent) == [file.name]


@pytest.mark.parametrize("name", ["passwd", "notes.txt", "Makefile"])
def test_a_text_file_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    """A file that is named by mistake must not be destroyed."""
    file = tmp_path / name
    file.write_text("root:x:0:0\n" * 50)
    before = read_folder(tmp_path)
    assert count_known(file, [Fact("one")], warnings=1) == 0
    assert read_folder(tmp_path) == before


def test_another_programs_database_is_left_as_it_is(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    before = read_folder(file.parent)
    assert count_known(file, [], warnings=1) == 0
    assert read_folder(file.parent) == before


@pytest.mark.parametrize("kind", ["folder", "pipe", "/dev/null", "loop"])
def test_anything_but_a_regular_file_is_left_as_it_is(file: Path, kind: str) -> None:
    match kind:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "loop":
            file.symlink_to(file)
        case device:
            file.symlink_to(device)
    assert count_known(file, [Fact("one")], warnings=1) == 0
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_created_is_a_warning(tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    for name in ("file/layer-cache", "file/deep/layer-cache", "x" * 256, "x" * 256 + "/layer-cache"):
        assert count_known(tmp_path / name, [], warnings=1) == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_python_without_sqlite_is_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    for module in ("lamina.layer_cache.database", "lamina.system.sqlite"):
        monkeypatch.delitem(sys.modules, module)
    with open_cache(file, warnings=1) as layer_cache:
        Fact("one").put(layer_cache)
        assert check(layer_cache, [Fact("one")]) == 0


# --- other processes, limits and permissions


PROGRAM = """
import os, resource, sys
from pathlib import Path
import lamina.layer_cache.database
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache import cache, database
from tests.support.layer_cache import Fact, facts, check
def warn(text): print("warned", text, flush=True)
"""


def start_python(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a process that runs ``code``."""
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{SOURCES}"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str]) -> list[str]:
    """Send a line to the process, wait for its successful end and return the lines that it printed."""
    output, _ = process.communicate("\n")
    assert process.returncode == 0, output
    return output.splitlines()


PUT_30_FACTS = """
print("ready", flush=True)
input()
with LayerCache.open(Path(sys.argv[1]), warn) as layer_cache:
    for fact in facts(30, sys.argv[2]):
        fact.put(layer_cache)
"""


@pytest.mark.parametrize("state", mark_rest(["none", "damaged", "row damaged"], 1))
def test_processes_that_write_at_once_lose_nothing(file: Path, state: str) -> None:
    if state == "damaged":
        file.write_bytes(b"garbage" * 1000)
    elif state == "row damaged":
        put(file, [Fact("one")])
        damage_entries(file)
    code = PUT_30_FACTS + "    layer_cache.get_layer(Fact('one').inputs)\n" if state == "row damaged" else PUT_30_FACTS
    processes = [start_python(code, file, f"p{number}") for number in range(6)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    lines = [line for process in processes for line in wait_for(process)]
    assert len(lines) == (state != "none")
    assert count_known(file, [fact for number in range(6) for fact in facts(30, f"p{number}")]) == 6 * 30 * 4
    assert os.listdir(file.parent) == [file.name]


PUT_FOR_EVER = """
print("ready", flush=True)
with LayerCache.open(Path(sys.argv[1]), warn) as layer_cache:
    for number in range(1_000_000):
        for fact in facts(10, f"{sys.argv[2]}-{number}"):
            fact.put(layer_cache)
        layer_cache.flush()
"""


def test_a_file_that_others_write_does_not_look_damaged(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recovered: list[Error] = []
    monkeypatch.setattr(database.CacheDatabase, "_recover", lambda self, error: recovered.append(error))
    writers = [start_python(PUT_FOR_EVER, file, f"p{number}") for number in range(2)]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for _ in range(400):
            LayerCache.open(file, pytest.fail).close()
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert recovered == []


PUT_UNTIL_KILLED = """
cache._MAX_ROWS = 8
for number in range(1000):
    print(number, flush=True)
    with LayerCache.open(Path(sys.argv[1]), warn) as layer_cache:
        for fact in facts(5, f"{sys.argv[2]}-{number}"):
            print("put", flush=True)
            fact.put(layer_cache)
"""


@pytest.mark.integration
@pytest.mark.parametrize("fresh", [True, False])
def test_a_killed_run_leaves_only_right_entries(file: Path, fresh: bool) -> None:
    chance = random.Random(3)
    for number in range(5):
        if fresh:
            shutil.rmtree(file.parent, ignore_errors=True)
        process = start_python(PUT_UNTIL_KILLED, file, f"r{number}")
        assert process.stdout is not None
        for _ in range(1 if fresh else chance.randrange(1, 40)):
            process.stdout.readline()
        for _ in range(chance.randrange(200_000)):  # a random delay of a few milliseconds
            pass
        process.send_signal(signal.SIGKILL)
        assert "warned" not in process.communicate()[0]
        truth = [fact for old in range(number + 1) for step in range(10) for fact in facts(5, f"r{old}-{step}")]
        opened = OpenedCache(file)
        with opened.layer_cache:
            check(opened.layer_cache, truth)
            Fact("later").put(opened.layer_cache)
        assert len(opened.warnings) <= 1
        assert count_known(file, [*truth, Fact("later")]) >= 4
        assert [entry.name for entry in file.parent.iterdir()] == [file.name]


PUT_WITH_LIMIT = """
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
with LayerCache.open(Path(sys.argv[1]), warn) as layer_cache:
    check(layer_cache, facts(12))
    for fact in facts(50, "new"):
        fact.put(layer_cache)
    check(layer_cache, facts(12) + facts(50, "new"))
"""


@pytest.mark.integration
@pytest.mark.parametrize("exists", mark_rest([True, False], 1))
def test_a_file_that_cannot_grow_is_a_warning(file: Path, exists: bool) -> None:
    for limit in (0, 4096, 20_000, 60_000):
        shutil.rmtree(file.parent, ignore_errors=True)
        if exists:
            put(file, facts(12))
        lines = wait_for(start_python(PUT_WITH_LIMIT, file, str(limit)))
        assert lines, limit
        assert all(line.startswith("warned ") for line in lines)
        if exists and limit < 4096:  # in between, the pages of the failed transaction cannot be written back
            assert count_known(file, facts(12)) == 48
        put(file, facts(50, "new"))
        assert count_known(file, facts(50, "new")) == 200


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 200 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("mount"), reason="no mount")
def test_a_full_disk_is_a_warning(tiny: Path) -> None:
    file = tiny / FILE_NAME
    for left in (0, 4096, 12_288, 40_960, 65_536):
        for exists in (True, False):
            for entry in tiny.iterdir():
                entry.unlink()
            if exists:
                put(file, facts(6))
            with contextlib.suppress(OSError), (tiny / "filler").open("wb") as filler:
                filler.write(bytes(os.statvfs(tiny).f_bavail * os.statvfs(tiny).f_bsize - left))
            with open_cache(file, warnings=1) as layer_cache:
                check(layer_cache, facts(6))
                for fact in facts(100, "new"):
                    fact.put(layer_cache)
                check(layer_cache, facts(6) + facts(100, "new"))
            assert count_known(file, facts(6), warnings=not exists and left < 40_000) == 24 * exists
            (tiny / "filler").unlink()
            assert count_known(file, facts(6)) == 24 * exists
            put(file, [Fact("one")])
            assert count_known(file, [Fact("one")]) == 4


CHECK_AS_NOBODY = """
if not os.getuid():
    os.setuid(65534)
with LayerCache.open(Path(sys.argv[1]), warn) as layer_cache:
    print(check(layer_cache, facts(12)))
    if len(sys.argv) > 2:
        Fact("one").put(layer_cache)
"""


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Create a folder that every user may read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
        os.chmod(folder, 0o755)


@pytest.mark.parametrize("mode", [0o444, 0o666])
def test_a_layer_cache_in_a_read_only_folder_is_read(reachable: Path, mode: int) -> None:
    file = reachable / FILE_NAME
    put(file, facts(12))
    file.chmod(mode)
    reachable.chmod(0o555)
    before = read_folder(reachable)
    assert wait_for(start_python(CHECK_AS_NOBODY, file)) == ["48"]
    assert read_folder(reachable) == before
    lines = wait_for(start_python(CHECK_AS_NOBODY, file, "and put"))
    if mode == 0o666:
        assert lines == ["48"]
        assert count_known(file, [*facts(12), Fact("one")]) == 52
        return
    assert lines[0] == "48"
    assert len(lines) == 2
    assert "expected a layer cache that can be used: continuing without writing to the layer cache" in lines[1]
    assert read_folder(reachable) == before


def test_no_layer_cache_is_created_in_a_read_only_folder(reachable: Path) -> None:
    reachable.chmod(0o555)
    for name in ("layer-cache", "deep/layer-cache"):
        lines = wait_for(start_python(CHECK_AS_NOBODY, reachable / name, "and put"))
        warning = "got Permission denied, expected a layer cache that can be used: continuing without the layer cache"
        assert lines == [f"warned {reachable / name}: {warning}", "0"]
    assert list(reachable.iterdir()) == []


def test_a_damaged_layer_cache_in_a_read_only_folder_is_a_warning(reachable: Path) -> None:
    file = reachable / FILE_NAME
    for data in (b"garbage", b""):
        file.write_bytes(data)
        file.chmod(0o644)
        reachable.chmod(0o555)
        lines = wait_for(start_python(CHECK_AS_NOBODY, file, "and put"))
        assert lines[1:] == ["0"]
        assert "continuing without the layer cache" in lines[0]
        reachable.chmod(0o755)
        assert read_folder(reachable)[FILE_NAME][1] == data


def test_a_layer_cache_that_cannot_be_read_is_a_warning(reachable: Path) -> None:
    file = reachable / FILE_NAME
    put(file, facts(12))
    file.chmod(0)
    lines = wait_for(start_python(CHECK_AS_NOBODY, file, "and put"))
    assert lines[1:] == ["0"]
    assert lines[0].endswith(
        "got unable to open database file, expected a layer cache that can be used: continuing without the layer cache"
    )


def test_another_process_that_writes_for_too_long_is_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.05)
    put(file, facts(12))
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with open_cache(file, warnings=1) as layer_cache:
            assert check(layer_cache, facts(12)) == 48
            layer_cache.remove_layer(facts(1)[0].inputs)
            Fact("one").put(layer_cache)
            assert check(layer_cache, facts(12)) == 47  # `entries` has tried to write, in vain
            Fact("two").put(layer_cache)
            assert check(layer_cache, facts(12)) == 47
        writer.execute("ROLLBACK")
    assert count_known(file, [*facts(12), Fact("one")]) == 48


def test_a_damaged_file_that_another_process_is_replacing_for_too_long_is_a_warning(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_TIMEOUT", 0.05)
    put(file, facts(1))
    with FileLock(file.parent, "the folder", shared=True):
        assert count_known(file, facts(1)) == 4
        file.write_bytes(b"garbage")
        assert count_known(file, facts(1), warnings=1) == 0
        assert file.read_bytes() == b"garbage"
    assert count_known(file, facts(1), warnings=1) == 0
    assert file.read_bytes() != b"garbage"


def test_a_file_system_without_locks_on_folders_is_enough(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(fcntl, "flock", refuse)
    file.write_bytes(b"garbage")
    assert count_known(file, facts(1), warnings=1) == 0
    put(file, facts(1))
    assert count_known(file, facts(1)) == 4
