"""What a layer cache knows in the next run, and that no state of its file costs more than a warning."""

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
BESIDE = ("-wal", "-shm", "-journal")


def digest(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).digest())


def path(name: str) -> StorePath:
    return StorePath.parse_base(f"{dump_nix32(digest(name).raw[:20])}-{name}")


@dataclass(frozen=True)
class Fact:
    """All that is to be known of the layer that a store path makes; the same name, the same fact."""

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
    def place(self) -> tuple[bytes, Digest]:
        return self.top, digest(self.name)

    @property
    def listing(self) -> bytes:
        return random.Random(self.name).randbytes(500) * 2

    def put(self, to: LayerCache) -> None:
        to.put_layer(self.inputs, self.layer)
        for codec in CODECS:
            to.put_compressed(self.layer.digest, codec, self.blob(codec))
        to.put_listing(*self.place, self.listing)

    def known(self, by: LayerCache) -> list[bool]:
        """What of it is known: each answer is the truth, or there is none."""
        answers = [
            (by.get_layer(self.inputs), self.layer),
            *((by.get_compressed(self.layer.digest, codec), self.blob(codec)) for codec in CODECS),
            (by.get_listings([self.place]).get(self.place), self.listing),
        ]
        assert all(answer in {None, truth} for answer, truth in answers), self.name
        return [answer is not None for answer, _ in answers]


def facts(count: int, name: str = "fact") -> list[Fact]:
    return [Fact(f"{name}-{number}") for number in range(count)]


class Opened:
    """A layer cache, and all it warned of."""

    def __init__(self, file: Path) -> None:
        self.warnings: list[str] = []
        self.layer_cache = LayerCache.open(file, self.warnings.append)


@contextlib.contextmanager
def opened(file: Path, *, warnings: int = 0) -> Iterator[LayerCache]:
    """The layer cache for the block, in which it warns so many times."""
    found = Opened(file)
    with found.layer_cache:
        yield found.layer_cache
    assert len(found.warnings) == warnings, found.warnings


def put(file: Path, learnt: list[Fact]) -> None:
    with opened(file) as found:
        for fact in learnt:
            fact.put(found)


def check(found: LayerCache, truth: list[Fact]) -> int:
    """How much is known of ``truth``; all answers are true."""
    for inputs, blob_info in found.entries():
        fact = Fact(inputs.contents[0][0].name)
        assert (inputs, blob_info) == (fact.inputs, fact.layer)
    return sum(sum(fact.known(found)) for fact in truth)


def known(file: Path, truth: list[Fact], warnings: int = 0) -> int:
    with opened(file, warnings=warnings) as found:
        return check(found, truth)


def inside(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The files in ``folder``, when they were written and what is in them."""
    return {entry.name: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in folder.iterdir()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder / "layer-cache.sqlite"


# --- inputs of layers


def test_the_key_of_a_layer_is_the_hash_of_what_makes_its_bytes() -> None:
    paths = [StorePath.parse_base(digit * 32 + name) for digit, name in (("0", "-A"), ("1", "-B"))]
    inputs = LayerInputs(Owner(1, 2, "é", "\udcff"), -3, ((paths[0], digest("a"), 4), (paths[1], digest("b"), 5)))
    a, b = hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"b").hexdigest()
    assert inputs.dump().decode() == (
        '{"rules":1,"uid":1,"gid":2,"uname":"\\u00e9","gname":"\\udcff","mtime":-3,"paths":['
        f'["{"0" * 32}-A","sha256:{a}",4],["{"1" * 32}-B","sha256:{b}",5]]}}'
    )
    assert inputs.key.raw == hashlib.sha256(inputs.dump()).digest()


RECIPE = Fact("one").inputs.dump()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b"\xff",
        RECIPE + b"\n",
        RECIPE.replace(b'"rules":1', b'"rules":2'),
        RECIPE.replace(b'"uid":0', b'"uid":true'),
        RECIPE.replace(b'"uid":0', b'"uid":"0"'),
        RECIPE.replace(b'"mtime":1', b'"mtime":1.0'),
        RECIPE.replace(b'"root"', b"7"),
        RECIPE.replace(b'"gid":0,', b""),
        RECIPE.replace(b"sha256:", b"sha512:"),
        RECIPE.replace(b'["', b'["/'),
        RECIPE.replace(b",3]]", b"]]"),
        b'{"paths":' * 100_000,
        b'{"uid":' + b"1" * 5000 + b"}",
    ],
)  # fmt: skip
def test_what_is_no_inputs_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="layer inputs: got"):
        LayerInputs.parse(data)


# --- what is known


def test_what_is_learnt_is_known_at_once_and_in_the_next_run(file: Path) -> None:
    truth = facts(5)
    with opened(file) as found:
        for fact in truth:
            assert not any(fact.known(found))
            fact.put(found)
            assert all(fact.known(found))
    with opened(file) as found:
        assert all(all(fact.known(found)) for fact in truth)
        assert dict(found.entries()) == {fact.inputs: fact.layer for fact in truth}
        assert not any(Fact("never-learnt").known(found))


def test_the_same_path_with_other_bytes_and_another_nar_hash_misses(file: Path) -> None:
    fact = Fact("path")
    put(file, [fact])
    other = digest("other bytes")
    with opened(file) as found:
        (store_path, _, size) = fact.inputs.contents[0]
        assert found.get_layer(replace(fact.inputs, contents=((store_path, other, size),))) is None
        assert found.get_listings([(fact.top, other)]) == {}
        assert found.get_listings([(fact.top, other), fact.place]) == {fact.place: fact.listing}


def test_a_layer_of_another_owner_date_or_order_misses(file: Path) -> None:
    one, other = Fact("one"), Fact("other")
    inputs = replace(one.inputs, contents=one.inputs.contents + other.inputs.contents)
    with opened(file) as found:
        found.put_layer(inputs, one.layer)
    with opened(file) as found:
        assert found.get_layer(inputs) == one.layer
        assert found.get_layer(replace(inputs, contents=inputs.contents[::-1])) is None
        assert found.get_layer(replace(inputs, contents=inputs.contents[:1])) is None
        assert found.get_layer(replace(inputs, mtime=2)) is None
        for owner in (Owner(1, 0, "root", "root"), Owner(0, 1, "root", "root"), Owner(), Owner(0, 0, "root")):
            assert found.get_layer(replace(inputs, owner=owner)) is None
        assert found.get_compressed(one.layer.digest, "gzip 9 zlib 1.3.1") is None


def test_a_place_on_disk_has_one_content(file: Path) -> None:
    fact, other = Fact("path"), digest("other bytes")
    put(file, [fact])
    with opened(file) as found:
        found.put_listing(fact.top, other, b"new")
        assert found.get_listings([fact.place, (fact.top, other)])[fact.top, other] == b"new"
    with opened(file) as found:
        assert found.get_listings([fact.place, (fact.top, other)]) == {(fact.top, other): b"new"}
        found.remove_listing(*fact.place)
    with opened(file) as found:
        assert found.get_listings([(fact.top, other)]) == {(fact.top, other): b"new"}


def test_what_was_learnt_last_holds(file: Path) -> None:
    fact, other = Fact("path"), digest("other bytes")
    with opened(file) as found:
        for nar_hash in (fact.place[1], other, fact.place[1]):
            found.put_listing(fact.top, nar_hash, fact.listing)
        for blob_info in (BlobInfo(other, 1), fact.layer):
            found.put_layer(fact.inputs, blob_info)
    with opened(file) as found:
        assert found.get_listings([fact.place, (fact.top, other)]) == {fact.place: fact.listing}
        assert found.get_layer(fact.inputs) == fact.layer


def test_what_is_forgotten_is_not_known_from_then_on(file: Path) -> None:
    truth = facts(3)
    put(file, truth)
    with opened(file) as found:
        found.remove_layer(truth[0].inputs)
        found.remove_listing(*truth[1].place)
        assert found.get_layer(truth[0].inputs) is None
        assert set(found.get_listings([fact.place for fact in truth])) == {truth[0].place, truth[2].place}
    for _ in range(2):
        with opened(file) as found:
            assert found.get_layer(truth[0].inputs) is None
            assert set(found.get_listings([fact.place for fact in truth])) == {truth[0].place, truth[2].place}
            found.remove_layer(truth[1].inputs)
            found.remove_layer(truth[2].inputs)
            truth[2].put(found)  # that it was forgotten is forgotten too
    with opened(file) as found:
        assert [inputs for inputs, _ in found.entries()] == [truth[2].inputs]
        found.remove_layer(truth[2].inputs)
        assert list(found.entries()) == []


def test_a_layer_may_be_forgotten_while_all_are_gone_through(file: Path) -> None:
    truth = facts(150)
    put(file, truth)
    with opened(file) as found:
        for number, (inputs, _) in enumerate(found.entries()):
            if number % 2:
                found.remove_layer(inputs)
    with opened(file) as found:
        assert len(list(found.entries())) == 75


def test_layers_of_other_tar_rules_are_passed_over(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(file, [Fact("old")])
    monkeypatch.setattr("lamina.layer_cache.key.TAR_RULES", 2)
    put(file, [Fact("new")])
    with opened(file) as found:
        assert found.get_layer(Fact("old").inputs) is None
        assert list(found.entries()) == [(Fact("new").inputs, Fact("new").layer)]


def test_what_was_learnt_before_a_failure_is_kept(file: Path) -> None:
    with contextlib.suppress(KeyError), Opened(file).layer_cache as found:
        Fact("true").put(found)
        raise KeyError
    assert known(file, [Fact("true")]) == 4


def test_much_is_written_before_the_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MAX_ROWS", 30)
    rows, large = facts(30), facts(3, "large")
    with opened(file) as found:
        for fact in rows:
            fact.put(found)
        assert known(file, rows) > 80
        monkeypatch.setattr(cache, "_MAX_BYTES", 100)
        for fact in large:
            found.put_listing(*fact.place, fact.listing)
        assert known(file, large) == 3


def test_many_listings_are_read_at_once(file: Path) -> None:
    truth = facts(2000)
    with opened(file) as found:
        for fact in truth:
            found.put_listing(*fact.place, fact.listing)
    with opened(file) as found:
        listings = found.get_listings([fact.place for fact in [*truth, *facts(100, "other"), truth[0]]])
    assert listings == {fact.place: fact.listing for fact in truth}


def test_threads_share_a_layer_cache(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MAX_ROWS", 10)
    truth = facts(60)
    answers: list[bool] = []
    with opened(file) as found:

        def work(part: list[Fact]) -> None:
            for fact in part:
                fact.put(found)
                answers.extend(fact.known(found))

        threads = [threading.Thread(target=work, args=(truth[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 240
    assert known(file, truth) == 240


def test_oblivion_knows_nothing_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with NullLayerCache() as found:
        Fact("one").put(found)
        found.remove_layer(Fact("two").inputs)
        found.remove_listing(*Fact("two").place)
        assert not any(Fact("one").known(found))
        assert list(found.entries()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_closed_layer_cache_knows_nothing(file: Path) -> None:
    with opened(file) as found:
        Fact("one").put(found)
    Fact("two").put(found)
    assert check(found, [Fact("one"), Fact("two")]) == 0
    found.close()
    assert known(file, [Fact("one"), Fact("two")]) == 4


def test_whoever_needs_no_layer_cache_does_not_wait_for_sqlite() -> None:
    code = (
        "import sys, lamina.layer_cache.cache; lamina.layer_cache.cache.NullLayerCache().close(); "
        "print(sorted({'sqlite3', 'fcntl', 'lamina.layer_cache.database'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- the file


def test_the_files_are_the_users_alone(file: Path) -> None:
    before = os.umask(0)
    try:
        with opened(file / "deep" / "layer-cache.sqlite") as found:
            Fact("one").put(found)
            list(found.entries())
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in (file / "deep").iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["layer-cache.sqlite", "layer-cache.sqlite-wal", "layer-cache.sqlite-shm"], 0o600)
    assert [stat.S_IMODE(place.stat().st_mode) for place in (file, file / "deep")] == [0o700] * 2


def test_a_run_that_learns_nothing_writes_nothing_and_waits_for_nobody(file: Path) -> None:
    truth = facts(20)
    put(file, truth)
    before = inside(file.parent)
    assert known(file, truth) == 80
    assert inside(file.parent) == before
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert known(file, truth) == 80
        writer.execute("ROLLBACK")


@pytest.mark.parametrize("name", ["a name.sqlite", "q?mode=ro#f%20.sqlite", "é", "\udcff", "x" * 200])
def test_a_layer_cache_may_have_any_name(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, [Fact("one")])
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(name)]
    assert known(tmp_path / name, [Fact("one")]) == 4


def test_a_layer_cache_may_lie_behind_a_link(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "layer_cache"
    link.symlink_to(target)
    put(link, [Fact("one")])
    target.write_bytes(b"garbage")
    assert known(link, [Fact("one")], warnings=1) == 0
    assert link.is_symlink()
    assert sorted(entry.name for entry in target.parent.iterdir()) == ["layer_cache", "layer_cache.damaged"]


def test_a_layer_cache_that_is_deleted_while_in_use_is_begun_again(file: Path) -> None:
    put(file, [Fact("one")])
    with opened(file) as found:
        assert all(Fact("one").known(found))
        file.unlink()
        Fact("two").put(found)
    assert known(file, [Fact("one")]) == 0
    assert known(file, [Fact("two")]) == 4
    shutil.copy(file, file.with_name("copy"))
    with opened(file) as found, opened(file) as other:
        Fact("three").put(found)
        list(found.entries())
        file.unlink()  # and its log is left there, in use
        Fact("four").put(other)
        list(other.entries())
        assert check(other, [Fact("four")]) == 4
    assert known(file, [Fact("four")]) == 4


# --- damage


def damage(file: Path, data: bytes) -> list[Path]:
    """A layer cache whose bytes are ``data``, used, is true, warned of at most once, and as good as new afterwards."""
    for entry in file.parent.iterdir():
        entry.unlink()
    file.write_bytes(data)
    truth = facts(12)
    found = Opened(file)
    with found.layer_cache:
        check(found.layer_cache, truth)
        Fact("later").put(found.layer_cache)
        assert check(found.layer_cache, [*truth, Fact("later")]) >= 4
    again = Opened(file)
    with again.layer_cache:
        assert check(again.layer_cache, [*truth, Fact("later")]) >= 4, found.warnings
    assert not again.warnings
    assert not any(Path(f"{file}{ending}").exists() for ending in BESIDE)
    aside = [entry for entry in file.parent.iterdir() if entry != file and not entry.name.endswith(BESIDE)]
    assert len(found.warnings) == len(aside) <= 1, found.warnings
    return aside


@pytest.fixture
def whole(file: Path) -> bytes:
    """The bytes of a layer cache of 12 facts."""
    put(file, facts(12))
    return file.read_bytes()


def test_a_layer_cache_cut_short_is_set_aside(file: Path, whole: bytes) -> None:
    pages = range(4096, len(whole), 4096)
    lengths = [*range(2, 20), 99, 100, 101, 511, 512, 1024, *pages, *(page - 1 for page in pages)]
    for length in lengths:
        aside = damage(file, whole[:length])
        assert [name.read_bytes() for name in aside] == [whole[:length]], length
    assert damage(file, b"") == damage(file, b"S") == []


def test_garbage_is_set_aside(file: Path) -> None:
    for size in (2, 15, 16, 100, 512, 4096, 10_000):
        data = random.Random(size).randbytes(size)
        (aside,) = damage(file, data)
        assert aside.read_bytes() == data


def flipped(data: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def test_no_bit_that_flips_makes_a_wrong_answer(file: Path, whole: bytes) -> None:
    chance = random.Random(1)
    aside = sum(
        len(damage(file, flipped(whole, chance.randrange(100, len(whole)), chance.randrange(8)))) for _ in range(150)
    )
    assert aside > 20


def test_pages_that_are_lost_make_no_wrong_answer(file: Path, whole: bytes) -> None:
    pages = [whole[start : start + 4096] for start in range(0, len(whole), 4096)]
    for number in range(len(pages)):
        damage(file, b"".join([*pages[:number], bytes(4096), *pages[number + 1 :]]))
        damage(file, b"".join([*pages[:number], pages[-1 - number], *pages[number + 1 :]]))


# The application's number and the schema's: with another it is not ours to touch.
NOT_OURS = {*range(60, 64), *range(68, 72)}


def test_no_bit_of_the_header_that_flips_makes_a_wrong_answer(file: Path, whole: bytes) -> None:
    for place in set(range(100)) - NOT_OURS:
        for bit in (0, 7):
            damage(file, flipped(whole, place, bit))


def test_what_is_damaged_in_the_log_makes_no_wrong_answer(file: Path) -> None:
    put(file, facts(6))
    with opened(file) as found:
        for fact in facts(12)[6:]:
            fact.put(found)
        list(found.entries())
        left = {ending: Path(f"{file}{ending}").read_bytes() for ending in ("", "-wal")}
    assert left["-wal"]
    chance = random.Random(2)
    for number in range(40):
        for ending in BESIDE:
            Path(f"{file}{ending}").unlink(missing_ok=True)
        file.write_bytes(left[""])
        log = (
            flipped(left["-wal"], chance.randrange(len(left["-wal"])), chance.randrange(8)) if number else left["-wal"]
        )
        Path(f"{file}-wal").write_bytes(log)
        assert known(file, facts(12)) >= (24 if number else 48)


def test_what_is_damaged_while_in_use_is_set_aside_and_nothing_learnt_is_lost(file: Path, whole: bytes) -> None:
    found = Opened(file)
    with found.layer_cache:
        Fact("later").put(found.layer_cache)
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("UPDATE layers SET size = size + 1")
        assert sum(sum(fact.known(found.layer_cache)) for fact in facts(12)) == 0
        assert all(Fact("later").known(found.layer_cache))
    assert [warning.split(":")[-2:] for warning in found.warnings] == [
        [
            " got a row that is not as it was written, expected a whole layer cache",
            f" set aside as {file}.damaged, a new one is begun",
        ]
    ]
    assert known(file, [Fact("later")]) == 4
    assert known(file, facts(12)) == 0


def test_layers_that_are_damaged_are_passed_over(file: Path, whole: bytes) -> None:
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE layers SET inputs = x'00' WHERE rowid IN (3, 12)")
        other.execute("UPDATE layers SET size = 1.5 WHERE rowid = 4")
    found = Opened(file)
    with found.layer_cache:
        assert len(list(found.layer_cache.entries())) == 9
        assert len(found.warnings) == 1
        assert list(found.layer_cache.entries()) == []
    assert "set aside" in found.warnings[0]


def test_what_is_set_aside_takes_no_others_place(file: Path) -> None:
    for number in range(3):
        file.write_bytes(b"%d" % number * 2)
        assert known(file, [], warnings=1) == 0
    names = [f"{file.name}.damaged{ending}" for ending in ("", ".2", ".3")]
    assert [(file.parent / name).read_bytes() for name in names] == [b"00", b"11", b"22"]


def test_what_lies_beside_a_damaged_layer_cache_goes_with_it(file: Path, whole: bytes) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("UPDATE layers SET size = 7")
        with opened(file, warnings=1) as found:
            assert check(found, facts(12)) == 0
            Fact("one").put(found)
            list(found.entries())
            assert Path(f"{file}.damaged-wal").read_bytes()
            assert Path(f"{file}.damaged-shm").read_bytes()
            log = Path(f"{file}-wal").stat().st_ino
            # Whoever still has the damaged one leaves the new one's log where it is.
            other.execute("UPDATE layers SET size = 8")
            other.close()
            assert Path(f"{file}-wal").stat().st_ino == log
            with opened(file) as third:
                assert all(Fact("one").known(third))
    assert known(file, [Fact("one")]) == 4


def test_what_lies_beside_no_layer_cache_is_none_of_it(file: Path) -> None:
    with opened(file) as found:
        Fact("one").put(found)
        list(found.entries())
        for ending in BESIDE[:2]:
            shutil.copy(f"{file}{ending}", f"{file}.kept{ending}")
    file.unlink()
    for ending in BESIDE[:2]:
        Path(f"{file}.kept{ending}").rename(f"{file}{ending}")
    assert known(file, [Fact("one")]) == 0
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


# --- what is not ours


def test_a_layer_cache_of_a_newer_lamina_is_left_as_it_is(file: Path, whole: bytes) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = inside(file.parent)
    found = Opened(file)
    with found.layer_cache:
        Fact("one").put(found.layer_cache)
        assert check(found.layer_cache, [*facts(12), Fact("one")]) == 0
    newer = f"a layer cache of a newer lamina, schema {SCHEMA_VERSION + 1}, expected {SCHEMA_VERSION}"
    assert found.warnings == [f"{file}: got {newer}: going on without"]
    assert inside(file.parent) == before


def test_the_log_of_a_newer_lamina_is_left_as_it_is(file: Path) -> None:
    with opened(file) as found:
        Fact("one").put(found)
        list(found.entries())
        left = {ending: Path(f"{file}{ending}").read_bytes() for ending in ("", "-wal")}
    file.write_bytes(left[""][:60] + (SCHEMA_VERSION + 1).to_bytes(4, "big") + left[""][64:])
    Path(f"{file}-wal").write_bytes(left["-wal"])
    before = inside(file.parent)
    assert known(file, [Fact("one")], warnings=1) == 0
    assert inside(file.parent) == before


def test_a_layer_cache_of_an_older_lamina_makes_place(file: Path, whole: bytes) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA user_version = 0")
        other.execute("DROP TABLE layers")
    put(file, [Fact("one")])
    assert known(file, [Fact("one")]) == 4
    assert known(file, facts(12)) == 0
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("name", ["passwd", "notes.txt", "Makefile"])
def test_a_text_that_was_never_a_layer_cache_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    """Whoever mistypes a name must not lose what is there."""
    file = tmp_path / name
    file.write_text("root:x:0:0\n" * 50)
    before = inside(tmp_path)
    assert known(file, [Fact("one")], warnings=1) == 0
    assert inside(tmp_path) == before


def test_another_programs_database_is_left_as_it_is(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE places (url TEXT)")
    before = inside(file.parent)
    assert known(file, [], warnings=1) == 0
    assert inside(file.parent) == before


@pytest.mark.parametrize("kind", ["folder", "pipe", "/dev/null", "loop"])
def test_what_is_no_file_is_left_as_it_is(file: Path, kind: str) -> None:
    match kind:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "loop":
            file.symlink_to(file)
        case device:
            file.symlink_to(device)
    assert known(file, [Fact("one")], warnings=1) == 0
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_is_a_warning(tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    for name in ("file/layer-cache", "file/deep/layer-cache", "x" * 256, "x" * 256 + "/layer-cache"):
        assert known(tmp_path / name, [], warnings=1) == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_python_without_sqlite_is_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    for module in ("lamina.layer_cache.database", "lamina.system.sqlite"):
        monkeypatch.delitem(sys.modules, module)
    with opened(file, warnings=1) as found:
        Fact("one").put(found)
        assert check(found, [Fact("one")]) == 0


# --- surroundings


PROGRAM = """
import os, resource, sys
from pathlib import Path
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache import cache
from tests.unit.layer_cache.test_cache import Fact, facts, check
def warn(text): print("warned", text, flush=True)
"""


def python(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """A process that runs ``code``, and goes on when it has read a line."""
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{SOURCES}"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> list[str]:
    """What it printed; it succeeded."""
    said, _ = process.communicate("\n")
    assert process.returncode == 0, said
    return said.splitlines()


LEARN = """
print("ready", flush=True)
input()
with LayerCache.open(Path(sys.argv[1]), warn) as found:
    for fact in facts(30, sys.argv[2]):
        fact.put(found)
"""


@pytest.mark.parametrize("state", ["none", "damaged", "row damaged"])
def test_processes_that_learn_at_once_lose_nothing(file: Path, state: str) -> None:
    if state == "damaged":
        file.write_bytes(b"garbage" * 1000)
    elif state == "row damaged":
        put(file, [Fact("one")])
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("UPDATE layers SET size = 7")
    code = LEARN + "    found.get_layer(Fact('one').inputs)\n" if state == "row damaged" else LEARN
    processes = [python(code, file, f"p{number}") for number in range(6)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [line for process in processes for line in ended(process)]
    assert len(said) == (state != "none")
    assert known(file, [fact for number in range(6) for fact in facts(30, f"p{number}")]) == 6 * 30 * 4
    names = sorted(entry.name for entry in file.parent.iterdir() if not entry.name.endswith(BESIDE))
    assert names == [file.name, *([f"{file.name}.damaged"] if state != "none" else [])]


KILLED = """
cache._MAX_ROWS = 8
for number in range(1000):
    print(number, flush=True)
    with LayerCache.open(Path(sys.argv[1]), warn) as found:
        for fact in facts(5, f"{sys.argv[2]}-{number}"):
            print("learns", flush=True)
            fact.put(found)
"""


@pytest.mark.parametrize("fresh", [True, False])
def test_a_run_that_is_killed_leaves_what_is_true(file: Path, fresh: bool) -> None:
    chance = random.Random(3)
    for number in range(10):
        if fresh:
            shutil.rmtree(file.parent, ignore_errors=True)
        process = python(KILLED, file, f"r{number}")
        assert process.stdout is not None
        for _ in range(1 if fresh else chance.randrange(1, 40)):
            process.stdout.readline()
        for _ in range(chance.randrange(200_000)):  # some part of a moment
            pass
        process.send_signal(signal.SIGKILL)
        assert "warned" not in process.communicate()[0]
        truth = [fact for old in range(number + 1) for step in range(10) for fact in facts(5, f"r{old}-{step}")]
        known(file, truth)
        put(file, [Fact("later")])
        assert known(file, [*truth, Fact("later")]) >= 4
        assert [entry.name for entry in file.parent.iterdir()] == [file.name]


LIMITED = """
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
with LayerCache.open(Path(sys.argv[1]), warn) as found:
    check(found, facts(12))
    for fact in facts(50, "new"):
        fact.put(found)
    check(found, facts(12) + facts(50, "new"))
"""


@pytest.mark.parametrize("begun", [True, False])
def test_a_file_that_cannot_grow_is_a_warning(file: Path, begun: bool) -> None:
    for limit in (0, 1, 4096, 20_000, 33_000, 60_000):
        shutil.rmtree(file.parent, ignore_errors=True)
        if begun:
            put(file, facts(12))
        said = ended(python(LIMITED, file, str(limit)))
        assert len(said) == 1, limit
        assert said[0].startswith("warned ")
        assert known(file, facts(12)) == (48 if begun else 0)
        put(file, facts(50, "new"))
        assert known(file, facts(50, "new")) == 200


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KiB."""
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
        for begun in (True, False):
            for entry in tiny.iterdir():
                entry.unlink()
            if begun:
                put(file, facts(6))
            with contextlib.suppress(OSError), (tiny / "filler").open("wb") as filler:
                filler.write(bytes(os.statvfs(tiny).f_bavail * os.statvfs(tiny).f_bsize - left))
            with opened(file, warnings=1) as found:
                check(found, facts(6))
                for fact in facts(100, "new"):
                    fact.put(found)
                check(found, facts(6) + facts(100, "new"))
            assert known(file, facts(6), warnings=not begun and left < 40_000) == 24 * begun
            (tiny / "filler").unlink()
            assert known(file, facts(6)) == 24 * begun
            put(file, [Fact("one")])
            assert known(file, [Fact("one")]) == 4


READ_ONLY = """
if not os.getuid():
    os.setuid(65534)
with LayerCache.open(Path(sys.argv[1]), warn) as found:
    print(check(found, facts(12)))
    if len(sys.argv) > 2:
        Fact("one").put(found)
"""


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user may look into."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
        os.chmod(folder, 0o755)


@pytest.mark.parametrize("mode", [0o444, 0o666])
def test_a_folder_that_cannot_be_written_is_read(reachable: Path, mode: int) -> None:
    file = reachable / "layer_cache"
    put(file, facts(12))
    file.chmod(mode)
    reachable.chmod(0o555)
    before = inside(reachable)
    assert ended(python(READ_ONLY, file)) == ["48"]
    said = ended(python(READ_ONLY, file, "and learn"))
    assert said[0] == "48"
    assert len(said) == 2
    assert "expected to keep there what was learnt: going on without" in said[1]
    assert inside(reachable) == before


def test_a_folder_that_cannot_be_written_has_no_new_layer_cache(reachable: Path) -> None:
    reachable.chmod(0o555)
    for name in ("layer-cache", "deep/layer-cache"):
        said = ended(python(READ_ONLY, reachable / name, "and learn"))
        warning = "got Permission denied, expected a layer cache that can be used: going on without"
        assert said == [f"warned {reachable / name}: {warning}", "0"]
    assert list(reachable.iterdir()) == []


def test_a_damaged_layer_cache_in_a_folder_that_cannot_be_written_is_a_warning(reachable: Path) -> None:
    file = reachable / "layer_cache"
    for data in (b"garbage", b""):
        file.write_bytes(data)
        file.chmod(0o644)
        reachable.chmod(0o555)
        said = ended(python(READ_ONLY, file, "and learn"))
        assert said[1:] == ["0"]
        assert "going on without" in said[0]
        reachable.chmod(0o755)
        assert inside(reachable)["layer_cache"][1] == data


def test_a_layer_cache_that_cannot_be_read_is_a_warning(reachable: Path) -> None:
    file = reachable / "layer_cache"
    put(file, facts(12))
    file.chmod(0)
    said = ended(python(READ_ONLY, file, "and learn"))
    assert said[1:] == ["0"]
    assert said[0].endswith(
        "got unable to open database file, expected a layer cache that can be used: going on without"
    )


def test_somebody_who_writes_for_too_long_is_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_LOCK_TIMEOUT", 0.05)
    put(file, facts(12))
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with opened(file, warnings=1) as found:
            assert check(found, facts(12)) == 48
            found.remove_layer(facts(1)[0].inputs)
            Fact("one").put(found)
            assert check(found, facts(12)) == 47  # which tried to write, in vain
            Fact("two").put(found)
            assert check(found, facts(12)) == 47
        writer.execute("ROLLBACK")
    assert known(file, [*facts(12), Fact("one")]) == 48


def test_somebody_who_locks_the_folder_for_too_long_is_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_LOCK_TIMEOUT", 0.05)
    put(file, facts(1))
    holder = os.open(file.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    found = Opened(file)
    with found.layer_cache:
        assert check(found.layer_cache, facts(1)) == 0
    assert found.warnings == [
        f"{file}: got another process at work for 0.05 seconds, expected it to end: going on without"
    ]
    fcntl.flock(holder, fcntl.LOCK_SH)
    assert known(file, facts(1)) == 4
    file.write_bytes(b"garbage")
    assert known(file, facts(1), warnings=1) == 0
    os.close(holder)
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_file_system_without_locks_on_folders_will_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(fcntl, "flock", refuse)
    put(file, facts(1))
    assert known(file, facts(1)) == 4
    file.write_bytes(b"garbage")
    assert known(file, facts(1), warnings=1) == 0
    put(file, facts(1))
    assert known(file, facts(1)) == 4
