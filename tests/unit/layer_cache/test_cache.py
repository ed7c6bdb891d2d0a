"""Tests of the layer cache: what a later run finds in it, and that no state of its file does more than warn."""

import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.paths import REPOSITORY, SOURCES

from lamina.core.names import Digest, StorePath, dump_nix32
from lamina.errors import FormatError
from lamina.formats.tar import Owner
from lamina.layer_cache import cache, database
from lamina.layer_cache.cache import LayerCache, NullLayerCache
from lamina.layer_cache.key import LayerInputs
from lamina.layer_cache.schema import SCHEMA_VERSION
from lamina.system.transfer import BlobInfo

CODECS = "gzip 6 zlib 1.3.1", "zstd 3 1.5.7"
SUFFIXES = ("-wal", "-shm", "-journal")


def digest(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).digest())


def path(name: str) -> StorePath:
    return StorePath.parse_base(f"{dump_nix32(digest(name).raw[:20])}-{name}")


@dataclass(frozen=True)
class Fact:
    """Everything the layer cache holds about the layer of one store path; it follows from the name."""

    name: str

    @property
    def inputs(self) -> LayerInputs:
        return LayerInputs(Owner(0, 0, "root", "root"), 1, ((path(self.name), digest(self.name), len(self.name)),))

    @property
    def layer(self) -> BlobInfo:
        return BlobInfo(digest(f"tar {self.name}"), 10240)

    def blob(self, codec: str) -> BlobInfo:
        return BlobInfo(digest(f"{codec} {self.name}"), 77)

    @property
    def top(self) -> bytes:
        return b"/nix/store/" + path(self.name).base.encode()

    @property
    def listing_key(self) -> tuple[bytes, Digest]:
        return self.top, digest(self.name)

    @property
    def listing(self) -> bytes:
        return random.Random(self.name).randbytes(500) * 2

    def put(self, layer_cache: LayerCache) -> None:
        layer_cache.put_layer(self.inputs, self.layer)
        for codec in CODECS:
            layer_cache.put_compressed(self.layer.digest, codec, self.blob(codec))
        layer_cache.put_listing(*self.listing_key, self.listing)

    def lookups(self, layer_cache: LayerCache) -> list[bool]:
        """Return which of its four entries are found; each of those must be right."""
        answers = [
            (layer_cache.get_layer(self.inputs), self.layer),
            *((layer_cache.get_compressed(self.layer.digest, codec), self.blob(codec)) for codec in CODECS),
            (layer_cache.get_listings([self.listing_key]).get(self.listing_key), self.listing),
        ]
        assert all(answer in {None, truth} for answer, truth in answers), self.name
        return [answer is not None for answer, _ in answers]


def facts(count: int, name: str = "fact") -> list[Fact]:
    return [Fact(f"{name}-{number}") for number in range(count)]


class OpenedCache:
    """A layer cache, and the warnings that it has printed."""

    def __init__(self, file: Path) -> None:
        self.warnings: list[str] = []
        self.layer_cache = LayerCache.open(file, self.warnings.append)


@contextlib.contextmanager
def open_cache(file: Path, *, warnings: int = 0) -> Iterator[LayerCache]:
    """Open the layer cache for the block, in which it must print this number of warnings."""
    opened = OpenedCache(file)
    with opened.layer_cache:
        yield opened.layer_cache
    assert len(opened.warnings) == warnings, opened.warnings


def put(file: Path, new_facts: list[Fact]) -> None:
    with open_cache(file) as layer_cache:
        for fact in new_facts:
            fact.put(layer_cache)


def check(layer_cache: LayerCache, truth: list[Fact]) -> int:
    """Return how many entries of ``truth`` are found; all of them must be right."""
    for inputs, blob_info in layer_cache.entries():
        fact = Fact(inputs.contents[0][0].name)
        assert (inputs, blob_info) == (fact.inputs, fact.layer)
    return sum(sum(fact.lookups(layer_cache)) for fact in truth)


def count_known(file: Path, truth: list[Fact], warnings: int = 0) -> int:
    with open_cache(file, warnings=warnings) as layer_cache:
        return check(layer_cache, truth)


def read_folder(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the modification times and contents of the files in ``folder``."""
    return {entry.name: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in folder.iterdir()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder / "layer-cache.sqlite"


# --- inputs of layers


def test_the_layer_key_is_the_hash_of_the_dumped_inputs() -> None:
    paths = [StorePath.parse_base(digit * 32 + name) for digit, name in (("0", "-A"), ("1", "-B"))]
    inputs = LayerInputs(Owner(1, 2, "é", "\udcff"), -3, ((paths[0], digest("a"), 4), (paths[1], digest("b"), 5)))
    a, b = hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"b").hexdigest()
    assert inputs.dump().decode() == (
        '{"rules":1,"uid":1,"gid":2,"uname":"\\u00e9","gname":"\\udcff","mtime":-3,"paths":['
        f'["{"0" * 32}-A","sha256:{a}",4],["{"1" * 32}-B","sha256:{b}",5]]}}'
    )
    assert inputs.key.raw == hashlib.sha256(inputs.dump()).digest()


INPUTS = Fact("one").inputs.dump()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b"\xff",
        INPUTS + b"\n",
        INPUTS.replace(b'"rules":1', b'"rules":2'),
        INPUTS.replace(b'"uid":0', b'"uid":true'),
        INPUTS.replace(b'"uid":0', b'"uid":"0"'),
        INPUTS.replace(b'"mtime":1', b'"mtime":1.0'),
        INPUTS.replace(b'"root"', b"7"),
        INPUTS.replace(b'"gid":0,', b""),
        INPUTS.replace(b"sha256:", b"sha512:"),
        INPUTS.replace(b'["', b'["/'),
        INPUTS.replace(b",3]]", b"]]"),
        b'{"paths":' * 100_000,
        b'{"uid":' + b"1" * 5000 + b"}",
    ],
)  # fmt: skip
def test_malformed_inputs_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="layer inputs: got"):
        LayerInputs.parse(data)


# --- entries


def test_an_entry_is_found_at_once_and_in_the_next_run(file: Path) -> None:
    truth = facts(5)
    with open_cache(file) as layer_cache:
        for fact in truth:
            assert not any(fact.lookups(layer_cache))
            fact.put(layer_cache)
            assert all(fact.lookups(layer_cache))
    with open_cache(file) as layer_cache:
        assert all(all(fact.lookups(layer_cache)) for fact in truth)
        assert dict(layer_cache.entries()) == {fact.inputs: fact.layer for fact in truth}
        assert not any(Fact("never-put").lookups(layer_cache))


def test_the_same_path_with_other_bytes_and_another_nar_hash_misses(file: Path) -> None:
    fact = Fact("path")
    put(file, [fact])
    other = digest("other bytes")
    with open_cache(file) as layer_cache:
        (store_path, _, size) = fact.inputs.contents[0]
        assert layer_cache.get_layer(replace(fact.inputs, contents=((store_path, other, size),))) is None
        assert layer_cache.get_listings([(fact.top, other)]) == {}
        assert layer_cache.get_listings([(fact.top, other), fact.listing_key]) == {fact.listing_key: fact.listing}


def test_a_layer_with_another_owner_mtime_or_order_misses(file: Path) -> None:
    one, other = Fact("one"), Fact("other")
    inputs = replace(one.inputs, contents=one.inputs.contents + other.inputs.contents)
    with open_cache(file) as layer_cache:
        layer_cache.put_layer(inputs, one.layer)
    with open_cache(file) as layer_cache:
        assert layer_cache.get_layer(inputs) == one.layer
        assert layer_cache.get_layer(replace(inputs, contents=inputs.contents[::-1])) is None
        assert layer_cache.get_layer(replace(inputs, contents=inputs.contents[:1])) is None
        assert layer_cache.get_layer(replace(inputs, mtime=2)) is None
        for owner in (Owner(1, 0, "root", "root"), Owner(0, 1, "root", "root"), Owner(), Owner(0, 0, "root")):
            assert layer_cache.get_layer(replace(inputs, owner=owner)) is None
        assert layer_cache.get_compressed(one.layer.digest, "gzip 9 zlib 1.3.1") is None


def test_a_location_on_disk_has_one_listing(file: Path) -> None:
    fact, other = Fact("path"), digest("other bytes")
    put(file, [fact])
    with open_cache(file) as layer_cache:
        layer_cache.put_listing(fact.top, other, b"new")
        assert layer_cache.get_listings([fact.listing_key, (fact.top, other)])[fact.top, other] == b"new"
    with open_cache(file) as layer_cache:
        assert layer_cache.get_listings([fact.listing_key, (fact.top, other)]) == {(fact.top, other): b"new"}
        layer_cache.remove_listing(*fact.listing_key)
    with open_cache(file) as layer_cache:
        assert layer_cache.get_listings([(fact.top, other)]) == {(fact.top, other): b"new"}


def test_the_entry_that_was_put_last_wins(file: Path) -> None:
    fact, other = Fact("path"), digest("other bytes")
    with open_cache(file) as layer_cache:
        for nar_hash in (fact.listing_key[1], other, fact.listing_key[1]):
            layer_cache.put_listing(fact.top, nar_hash, fact.listing)
        for blob_info in (BlobInfo(other, 1), fact.layer):
            layer_cache.put_layer(fact.inputs, blob_info)
    with open_cache(file) as layer_cache:
        assert layer_cache.get_listings([fact.listing_key, (fact.top, other)]) == {fact.listing_key: fact.listing}
        assert layer_cache.get_layer(fact.inputs) == fact.layer


def test_a_removed_entry_is_not_found_any_more(file: Path) -> None:
    truth = facts(3)
    put(file, truth)
    with open_cache(file) as layer_cache:
        layer_cache.remove_layer(truth[0].inputs)
        layer_cache.remove_listing(*truth[1].listing_key)
        assert layer_cache.get_layer(truth[0].inputs) is None
        assert set(layer_cache.get_listings([fact.listing_key for fact in truth])) == {
            truth[0].listing_key,
            truth[2].listing_key,
        }
    for _ in range(2):
        with open_cache(file) as layer_cache:
            assert layer_cache.get_layer(truth[0].inputs) is None
            assert set(layer_cache.get_listings([fact.listing_key for fact in truth])) == {
                truth[0].listing_key,
                truth[2].listing_key,
            }
            layer_cache.remove_layer(truth[1].inputs)
            layer_cache.remove_layer(truth[2].inputs)
            truth[2].put(layer_cache)  # putting an entry cancels its removal
    with open_cache(file) as layer_cache:
        assert [inputs for inputs, _ in layer_cache.entries()] == [truth[2].inputs]
        layer_cache.remove_layer(truth[2].inputs)
        assert list(layer_cache.entries()) == []


def test_layers_may_be_removed_during_iteration(file: Path) -> None:
    truth = facts(150)
    put(file, truth)
    with open_cache(file) as layer_cache:
        for number, (inputs, _) in enumerate(layer_cache.entries()):
            if number % 2:
                layer_cache.remove_layer(inputs)
    with open_cache(file) as layer_cache:
        assert len(list(layer_cache.entries())) == 75


def test_layers_of_other_tar_rules_are_skipped(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(file, [Fact("old")])
    monkeypatch.setattr("lamina.layer_cache.key.TAR_RULES", 2)
    put(file, [Fact("new")])
    with open_cache(file) as layer_cache:
        assert layer_cache.get_layer(Fact("old").inputs) is None
        assert list(layer_cache.entries()) == [(Fact("new").inputs, Fact("new").layer)]


def test_entries_put_before_a_failure_are_kept(file: Path) -> None:
    with contextlib.suppress(KeyError), OpenedCache(file).layer_cache as layer_cache:
        Fact("true").put(layer_cache)
        raise KeyError
    assert count_known(file, [Fact("true")]) == 4


def test_many_entries_are_written_before_the_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MAX_ROWS", 30)
    rows, large = facts(30), facts(3, "large")
    with open_cache(file) as layer_cache:
        for fact in rows:
            fact.put(layer_cache)
        assert count_known(file, rows) > 80
        monkeypatch.setattr(cache, "_MAX_BYTES", 100)
        for fact in large:
            layer_cache.put_listing(*fact.listing_key, fact.listing)
        assert count_known(file, large) == 3


def test_many_listings_are_read_at_once(file: Path) -> None:
    truth = facts(2000)
    with open_cache(file) as layer_cache:
        for fact in truth:
            layer_cache.put_listing(*fact.listing_key, fact.listing)
    with open_cache(file) as layer_cache:
        listings = layer_cache.get_listings([fact.listing_key for fact in [*truth, *facts(100, "other"), truth[0]]])
    assert listings == {fact.listing_key: fact.listing for fact in truth}


def test_threads_share_a_layer_cache(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MAX_ROWS", 10)
    truth = facts(60)
    answers: list[bool] = []
    with open_cache(file) as layer_cache:

        def put_and_look_up(part: list[Fact]) -> None:
            for fact in part:
                fact.put(layer_cache)
                answers.extend(fact.lookups(layer_cache))

        threads = [threading.Thread(target=put_and_look_up, args=(truth[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 240
    assert count_known(file, truth) == 240


def test_the_null_layer_cache_is_empty_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with NullLayerCache() as layer_cache:
        Fact("one").put(layer_cache)
        layer_cache.remove_layer(Fact("two").inputs)
        layer_cache.remove_listing(*Fact("two").listing_key)
        assert not any(Fact("one").lookups(layer_cache))
        assert list(layer_cache.entries()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_closed_layer_cache_finds_nothing(file: Path) -> None:
    with open_cache(file) as layer_cache:
        Fact("one").put(layer_cache)
    Fact("two").put(layer_cache)
    assert check(layer_cache, [Fact("one"), Fact("two")]) == 0
    layer_cache.close()
    assert count_known(file, [Fact("one"), Fact("two")]) == 4


def test_the_null_layer_cache_does_not_import_sqlite() -> None:
    code = (
        "import sys, lamina.layer_cache.cache; lamina.layer_cache.cache.NullLayerCache().close(); "
        "print(sorted({'sqlite3', 'fcntl', 'lamina.layer_cache.database'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- the file


def test_the_files_are_private_to_the_user(file: Path) -> None:
    before = os.umask(0)
    try:
        with open_cache(file / "deep" / "layer-cache.sqlite") as layer_cache:
            Fact("one").put(layer_cache)
            list(layer_cache.entries())
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in (file / "deep").iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["layer-cache.sqlite", "layer-cache.sqlite-wal", "layer-cache.sqlite-shm"], 0o600)
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
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "layer_cache"
    link.symlink_to(target)
    put(link, [Fact("one")])
    target.write_bytes(b"garbage")
    assert count_known(link, [Fact("one")], warnings=1) == 0
    assert link.is_symlink()
    assert sorted(entry.name for entry in target.parent.iterdir()) == ["layer_cache", "layer_cache.damaged"]


def test_a_layer_cache_that_is_deleted_while_in_use_is_created_again(file: Path) -> None:
    put(file, [Fact("one")])
    with open_cache(file) as layer_cache:
        assert all(Fact("one").lookups(layer_cache))
        file.unlink()
        Fact("two").put(layer_cache)
    assert count_known(file, [Fact("one")]) == 0
    assert count_known(file, [Fact("two")]) == 4
    shutil.copy(file, file.with_name("copy"))
    with open_cache(file) as layer_cache, open_cache(file) as other:
        Fact("three").put(layer_cache)
        list(layer_cache.entries())
        file.unlink()  # its log stays, in use
        Fact("four").put(other)
        list(other.entries())
        assert check(other, [Fact("four")]) == 4
    assert count_known(file, [Fact("four")]) == 4


# --- damage


def use_damaged(file: Path, data: bytes) -> list[Path]:
    """Use a layer cache whose bytes are ``data``, and return the files that were set aside.

    Every entry found must be right, at most one warning is printed, and the next run must find a good file.
    """
    for entry in file.parent.iterdir():
        entry.unlink()
    file.write_bytes(data)
    truth = facts(12)
    opened = OpenedCache(file)
    with opened.layer_cache:
        check(opened.layer_cache, truth)
        Fact("later").put(opened.layer_cache)
        assert check(opened.layer_cache, [*truth, Fact("later")]) >= 4
    again = OpenedCache(file)
    with again.layer_cache:
        assert check(again.layer_cache, [*truth, Fact("later")]) >= 4, opened.warnings
    assert not again.warnings
    assert not any(Path(f"{file}{suffix}").exists() for suffix in SUFFIXES)
    aside = [entry for entry in file.parent.iterdir() if entry != file and not entry.name.endswith(SUFFIXES)]
    assert len(opened.warnings) == len(aside) <= 1, opened.warnings
    return aside


@pytest.fixture
def whole(file: Path) -> bytes:
    """Return the bytes of a layer cache with 12 facts."""
    put(file, facts(12))
    return file.read_bytes()


def test_a_truncated_layer_cache_is_set_aside(file: Path, whole: bytes) -> None:
    pages = range(4096, len(whole), 4096)
    lengths = [*range(2, 20), 99, 100, 101, 511, 512, 1024, *pages, *(page - 1 for page in pages)]
    for length in lengths:
        aside = use_damaged(file, whole[:length])
        assert [name.read_bytes() for name in aside] == [whole[:length]], length
    assert use_damaged(file, b"") == use_damaged(file, b"S") == []


def test_garbage_is_set_aside(file: Path) -> None:
    for size in (2, 15, 16, 100, 512, 4096, 10_000):
        data = random.Random(size).randbytes(size)
        (aside,) = use_damaged(file, data)
        assert aside.read_bytes() == data


def flip_bit(data: bytes, offset: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def test_a_flipped_bit_never_gives_a_wrong_answer(file: Path, whole: bytes) -> None:
    chance = random.Random(1)
    aside = sum(
        len(use_damaged(file, flip_bit(whole, chance.randrange(100, len(whole)), chance.randrange(8))))
        for _ in range(150)
    )
    assert aside > 20


def test_lost_pages_never_give_a_wrong_answer(file: Path, whole: bytes) -> None:
    pages = [whole[start : start + 4096] for start in range(0, len(whole), 4096)]
    for number in range(len(pages)):
        use_damaged(file, b"".join([*pages[:number], bytes(4096), *pages[number + 1 :]]))
        use_damaged(file, b"".join([*pages[:number], pages[-1 - number], *pages[number + 1 :]]))


# Application ID and schema version: with other values the file belongs to another program and is not touched.
OWNER_BYTES = {*range(60, 64), *range(68, 72)}


def test_a_flipped_bit_of_the_header_never_gives_a_wrong_answer(file: Path, whole: bytes) -> None:
    for offset in set(range(100)) - OWNER_BYTES:
        for bit in (0, 7):
            use_damaged(file, flip_bit(whole, offset, bit))


def test_a_damaged_log_never_gives_a_wrong_answer(file: Path) -> None:
    put(file, facts(6))
    with open_cache(file) as layer_cache:
        for fact in facts(12)[6:]:
            fact.put(layer_cache)
        list(layer_cache.entries())
        left = {suffix: Path(f"{file}{suffix}").read_bytes() for suffix in ("", "-wal")}
    assert left["-wal"]
    chance = random.Random(2)
    for number in range(40):
        for suffix in SUFFIXES:
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        file.write_bytes(left[""])
        log = (
            flip_bit(left["-wal"], chance.randrange(len(left["-wal"])), chance.randrange(8)) if number else left["-wal"]
        )
        Path(f"{file}-wal").write_bytes(log)
        assert count_known(file, facts(12)) >= (24 if number else 48)


def test_a_file_damaged_while_in_use_is_set_aside_and_new_entries_are_kept(file: Path, whole: bytes) -> None:
    opened = OpenedCache(file)
    with opened.layer_cache:
        Fact("later").put(opened.layer_cache)
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("UPDATE layers SET size = size + 1")
        assert sum(sum(fact.lookups(opened.layer_cache)) for fact in facts(12)) == 0
        assert all(Fact("later").lookups(opened.layer_cache))
    assert [warning.split(":")[-2:] for warning in opened.warnings] == [
        [
            " got a row that is not as it was written, expected a whole layer cache",
            f" set aside as {file}.damaged, a new one is begun",
        ]
    ]
    assert count_known(file, [Fact("later")]) == 4
    assert count_known(file, facts(12)) == 0


def test_damaged_layers_are_skipped(file: Path, whole: bytes) -> None:
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE layers SET inputs = x'00' WHERE rowid IN (3, 12)")
        other.execute("UPDATE layers SET size = 1.5 WHERE rowid = 4")
    opened = OpenedCache(file)
    with opened.layer_cache:
        assert len(list(opened.layer_cache.entries())) == 9
        assert len(opened.warnings) == 1
        assert list(opened.layer_cache.entries()) == []
    assert "set aside" in opened.warnings[0]


def test_files_set_aside_get_different_names(file: Path) -> None:
    for number in range(3):
        file.write_bytes(b"%d" % number * 2)
        assert count_known(file, [], warnings=1) == 0
    names = [f"{file.name}.damaged{suffix}" for suffix in ("", ".2", ".3")]
    assert [(file.parent / name).read_bytes() for name in names] == [b"00", b"11", b"22"]


def test_the_log_of_a_damaged_layer_cache_is_set_aside_with_it(file: Path, whole: bytes) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("UPDATE layers SET size = 7")
        with open_cache(file, warnings=1) as layer_cache:
            assert check(layer_cache, facts(12)) == 0
            Fact("one").put(layer_cache)
            list(layer_cache.entries())
            assert Path(f"{file}.damaged-wal").read_bytes()
            assert Path(f"{file}.damaged-shm").read_bytes()
            log = Path(f"{file}-wal").stat().st_ino
            # A process that still has the damaged database open leaves the log of the new one alone.
            other.execute("UPDATE layers SET size = 8")
            other.close()
            assert Path(f"{file}-wal").stat().st_ino == log
            with open_cache(file) as third:
                assert all(Fact("one").lookups(third))
    assert count_known(file, [Fact("one")]) == 4


def test_a_log_without_its_database_is_not_used(file: Path) -> None:
    with open_cache(file) as layer_cache:
        Fact("one").put(layer_cache)
        list(layer_cache.entries())
        for suffix in SUFFIXES[:2]:
            shutil.copy(f"{file}{suffix}", f"{file}.kept{suffix}")
    file.unlink()
    for suffix in SUFFIXES[:2]:
        Path(f"{file}.kept{suffix}").rename(f"{file}{suffix}")
    assert count_known(file, [Fact("one")]) == 0
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


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
    assert opened.warnings == [f"{file}: got {newer}: going on without"]
    assert read_folder(file.parent) == before


def test_the_log_of_a_newer_lamina_is_left_as_it_is(file: Path) -> None:
    with open_cache(file) as layer_cache:
        Fact("one").put(layer_cache)
        list(layer_cache.entries())
        left = {suffix: Path(f"{file}{suffix}").read_bytes() for suffix in ("", "-wal")}
    file.write_bytes(left[""][:60] + (SCHEMA_VERSION + 1).to_bytes(4, "big") + left[""][64:])
    Path(f"{file}-wal").write_bytes(left["-wal"])
    before = read_folder(file.parent)
    assert count_known(file, [Fact("one")], warnings=1) == 0
    assert read_folder(file.parent) == before


def test_a_layer_cache_of_an_older_lamina_is_replaced(file: Path, whole: bytes) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA user_version = 0")
        other.execute("DROP TABLE layers")
    put(file, [Fact("one")])
    assert count_known(file, [Fact("one")]) == 4
    assert count_known(file, facts(12)) == 0
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("name", ["passwd", "notes.txt", "Makefile"])
def test_a_text_file_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    """A mistyped file name must not destroy that file."""
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
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache import cache
from tests.unit.layer_cache.test_cache import Fact, facts, check
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


@pytest.mark.parametrize("state", ["none", "damaged", "row damaged"])
def test_processes_that_write_at_once_lose_nothing(file: Path, state: str) -> None:
    if state == "damaged":
        file.write_bytes(b"garbage" * 1000)
    elif state == "row damaged":
        put(file, [Fact("one")])
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("UPDATE layers SET size = 7")
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
    names = sorted(entry.name for entry in file.parent.iterdir() if not entry.name.endswith(SUFFIXES))
    assert names == [file.name, *([f"{file.name}.damaged"] if state != "none" else [])]


PUT_UNTIL_KILLED = """
cache._MAX_ROWS = 8
for number in range(1000):
    print(number, flush=True)
    with LayerCache.open(Path(sys.argv[1]), warn) as layer_cache:
        for fact in facts(5, f"{sys.argv[2]}-{number}"):
            print("put", flush=True)
            fact.put(layer_cache)
"""


@pytest.mark.parametrize("fresh", [True, False])
def test_a_killed_run_leaves_only_right_entries(file: Path, fresh: bool) -> None:
    chance = random.Random(3)
    for number in range(10):
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
        count_known(file, truth)
        put(file, [Fact("later")])
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


@pytest.mark.parametrize("exists", [True, False])
def test_a_file_that_cannot_grow_is_a_warning(file: Path, exists: bool) -> None:
    for limit in (0, 1, 4096, 20_000, 33_000, 60_000):
        shutil.rmtree(file.parent, ignore_errors=True)
        if exists:
            put(file, facts(12))
        lines = wait_for(start_python(PUT_WITH_LIMIT, file, str(limit)))
        assert len(lines) == 1, limit
        assert lines[0].startswith("warned ")
        assert count_known(file, facts(12)) == (48 if exists else 0)
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


@pytest.mark.skipif(not shutil.which("mount"), reason="no mount")
def test_a_full_disk_is_a_warning(tiny: Path) -> None:
    file = tiny / "layer_cache"
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
    file = reachable / "layer_cache"
    put(file, facts(12))
    file.chmod(mode)
    reachable.chmod(0o555)
    before = read_folder(reachable)
    assert wait_for(start_python(CHECK_AS_NOBODY, file)) == ["48"]
    lines = wait_for(start_python(CHECK_AS_NOBODY, file, "and put"))
    assert lines[0] == "48"
    assert len(lines) == 2
    assert "expected to keep there what was learnt: going on without" in lines[1]
    assert read_folder(reachable) == before


def test_no_layer_cache_is_created_in_a_read_only_folder(reachable: Path) -> None:
    reachable.chmod(0o555)
    for name in ("layer-cache", "deep/layer-cache"):
        lines = wait_for(start_python(CHECK_AS_NOBODY, reachable / name, "and put"))
        warning = "got Permission denied, expected a layer cache that can be used: going on without"
        assert lines == [f"warned {reachable / name}: {warning}", "0"]
    assert list(reachable.iterdir()) == []


def test_a_damaged_layer_cache_in_a_read_only_folder_is_a_warning(reachable: Path) -> None:
    file = reachable / "layer_cache"
    for data in (b"garbage", b""):
        file.write_bytes(data)
        file.chmod(0o644)
        reachable.chmod(0o555)
        lines = wait_for(start_python(CHECK_AS_NOBODY, file, "and put"))
        assert lines[1:] == ["0"]
        assert "going on without" in lines[0]
        reachable.chmod(0o755)
        assert read_folder(reachable)["layer_cache"][1] == data


def test_a_layer_cache_that_cannot_be_read_is_a_warning(reachable: Path) -> None:
    file = reachable / "layer_cache"
    put(file, facts(12))
    file.chmod(0)
    lines = wait_for(start_python(CHECK_AS_NOBODY, file, "and put"))
    assert lines[1:] == ["0"]
    assert lines[0].endswith(
        "got unable to open database file, expected a layer cache that can be used: going on without"
    )


def test_another_process_that_writes_for_too_long_is_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_LOCK_TIMEOUT", 0.05)
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


def test_another_process_that_locks_the_folder_for_too_long_is_a_warning(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LOCK_TIMEOUT", 0.05)
    put(file, facts(1))
    holder = os.open(file.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    opened = OpenedCache(file)
    with opened.layer_cache:
        assert check(opened.layer_cache, facts(1)) == 0
    assert opened.warnings == [
        f"{file}: got another process at work for 0.05 seconds, expected it to end: going on without"
    ]
    fcntl.flock(holder, fcntl.LOCK_SH)
    assert count_known(file, facts(1)) == 4
    file.write_bytes(b"garbage")
    assert count_known(file, facts(1), warnings=1) == 0
    os.close(holder)
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_file_system_without_locks_on_folders_is_enough(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(fcntl, "flock", refuse)
    put(file, facts(1))
    assert count_known(file, facts(1)) == 4
    file.write_bytes(b"garbage")
    assert count_known(file, facts(1), warnings=1) == 0
    put(file, facts(1))
    assert count_known(file, facts(1)) == 4
