"""Of two batches that claim a layer, one makes it, in a file, in a folder and in a bucket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.support.buckets import serve_buckets
from tests.support.layer_cache import CODECS, Fact
from tests.support.s3_server import use_credentials
from tests.support.shared_layer_cache import CountedFolder, list_objects, open_entries

from lamina.core.names import Digest
from lamina.errors import OutputError, Unavailable
from lamina.inputs.layer_caches import open_layer_cache
from lamina.layer_cache.cache import LayerCache, NullLayerCache
from lamina.layer_cache.claims import Claim, is_excluded, limit_claim, parse_claim
from lamina.layer_cache.encoding import make_claim_key

KEY = make_claim_key(Digest(bytes(32)), "gzip:2", "registry.example/app")
NOW = 1_800_000_000.0
Open = Callable[[], AbstractContextManager[LayerCache]]


def make_claim(letter: str, seconds: int = 60) -> Claim:
    return Claim(letter * 32, int(time.time()) + seconds)


@pytest.fixture(params=["file", "folder", "bucket"])
def open_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Return a function that opens the same layer cache each time, as different processes do."""
    if request.param == "bucket":
        use_credentials(monkeypatch, tmp_path)
        with serve_buckets("layers") as address:
            url = f"s3://layers?endpoint={address}&scheme=http&region=us-east-1"
            yield lambda: open_layer_cache(url, [])
        return
    place = str(tmp_path / "layers.sqlite") if request.param == "file" else (tmp_path / "layers").as_uri()
    yield lambda: open_layer_cache(place, [])


def test_a_claim_excludes_others_until_it_is_released(open_cache: Open) -> None:
    with open_cache() as first, open_cache() as second:
        assert first.claim(KEY, "a" * 32, 60)
        assert not second.claim(KEY, "b" * 32, 60)
        first.release(KEY, "a" * 32)
        assert second.claim(KEY, "b" * 32, 60)
        assert not first.claim(KEY, "a" * 32, 60)


def test_a_batch_may_claim_a_layer_again(open_cache: Open) -> None:
    with open_cache() as first, open_cache() as second:
        assert first.claim(KEY, "a" * 32, 60)
        assert second.claim(KEY, "a" * 32, 60)


def test_a_claim_that_has_ended_excludes_nobody(open_cache: Open) -> None:
    with open_cache() as first, open_cache() as second:
        assert first.claim(KEY, "a" * 32, -1)
        assert second.claim(KEY, "b" * 32, 60)
        assert not first.claim(KEY, "a" * 32, 60)


def test_the_claim_of_another_batch_is_not_released(open_cache: Open) -> None:
    with open_cache() as first, open_cache() as second:
        assert first.claim(KEY, "a" * 32, -1)
        assert second.claim(KEY, "b" * 32, 60)
        first.release(KEY, "a" * 32)
        assert not first.claim(KEY, "c" * 32, 60)


def test_claims_to_other_places_are_others(open_cache: Open) -> None:
    other = make_claim_key(Digest(bytes(32)), "gzip:2", "registry.example/other")
    with open_cache() as first, open_cache() as second:
        assert first.claim(KEY, "a" * 32, 60)
        assert second.claim(other, "b" * 32, 60)


def test_what_was_learnt_is_written_before_the_claim_is_released(open_cache: Open) -> None:
    fact = Fact("one")
    with open_cache() as first, open_cache() as second:
        first.claim(KEY, "a" * 32, 60)
        first.put_layer(fact.inputs, fact.layer)
        first.put_compressed(fact.layer.digest, CODECS[0], fact.blob(CODECS[0]))
        first.release(KEY, "a" * 32)
        assert second.claim(KEY, "b" * 32, 60)
        second.look_up_layers([fact.inputs])
        assert second.get_layer(fact.inputs) == fact.layer


def test_of_many_that_claim_a_layer_at_once_one_is_granted(open_cache: Open) -> None:
    def claim(letter: str) -> bool:
        with open_cache() as layer_cache:
            return layer_cache.claim(KEY, letter * 32, 60)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, "01234567")) == 1


def test_without_a_layer_cache_every_claim_is_granted() -> None:
    layer_cache = NullLayerCache()
    assert layer_cache.claim(KEY, "a" * 32, 60)
    assert layer_cache.claim(KEY, "b" * 32, 60)
    layer_cache.release(KEY, "a" * 32)


class ReadOnlyFolder(CountedFolder):
    """A folder that nobody may write to."""

    def write(self, name: str, data: bytes) -> None:
        raise OutputError(name, "HTTP 403", "to write the object")

    def create(self, name: str, data: bytes) -> bool:
        raise OutputError(name, "HTTP 403", "to write the object")


class BrokenFolder(CountedFolder):
    """A folder whose server fails."""

    def read(self, name: str, limit: int) -> bytes | None:
        raise Unavailable(name, "HTTP 503", "the object")


class PlainFolder(CountedFolder):
    """A folder on a server that knows no conditions."""

    def create(self, name: str, data: bytes) -> bool:
        raise OutputError(name, "HTTP 501 (NotImplemented)", "to write the object")


@pytest.mark.parametrize("kind", [ReadOnlyFolder, BrokenFolder])
def test_a_place_that_fails_grants_every_claim(tmp_path: Path, kind: type[CountedFolder]) -> None:
    warnings: list[str] = []
    entries = open_entries(kind(tmp_path), warnings)
    assert [entries.claim(KEY, make_claim(letter)) for letter in "abcdef"] == [True] * 6
    assert len(warnings) == 1


def test_a_place_without_conditions_has_claims_too(tmp_path: Path) -> None:
    entries = open_entries(PlainFolder(tmp_path), [])
    assert [entries.claim(KEY, make_claim(letter)) for letter in "ab"] == [True, False]


@pytest.mark.parametrize("data", [b"", b"<html>", b"1800000060 x", b"-5 " + b"a" * 32, b"\xff" * 40])
def test_anything_else_in_its_place_excludes_nobody(tmp_path: Path, data: bytes) -> None:
    entries = open_entries(CountedFolder(tmp_path), [])
    assert entries.claim(KEY, make_claim("a"))
    (file,) = list_objects(tmp_path)
    assert parse_claim(file.read_bytes())
    file.write_bytes(data)
    assert entries.claim(KEY, make_claim("b"))


def test_a_claim_lasts_longer_for_a_large_layer() -> None:
    small, large, huge = map(limit_claim, (1, 10**9, 10**12))
    assert 10 <= small < large < huge <= 3600


def test_a_claim_of_a_wrong_clock_excludes_nobody() -> None:
    other = Claim("b" * 32, int(NOW) + 60)
    assert is_excluded(other, Claim("a" * 32, int(NOW) + 60).dump(), NOW)
    assert not is_excluded(other, Claim("a" * 32, int(NOW) + 10**6).dump(), NOW)
