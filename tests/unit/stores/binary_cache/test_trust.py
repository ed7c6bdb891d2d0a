"""Trust in narinfos: keys, signatures, content addresses, and the check turned off."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import (
    KEY,
    METHODS,
    OTHER,
    SELF,
    Cache,
    Machine,
    check_store,
    dump_nar,
    example,
    read_files,
    serve_cache,
)

from lamina.core.names import Digest, StorePath
from lamina.errors import IntegrityError
from lamina.formats.content_address import NAR
from lamina.formats.keys import CACHE_NIXOS_ORG, SecretKey
from lamina.formats.narinfo import NarInfo
from lamina.stores.binary_cache.trust import Trust

TREE: factories.Item = {b"x": factories.File(b"x")}
# A different key under the name of the trusted key.
FORGER = SecretKey(KEY.name, OTHER.seed)
TRUST = Trust((KEY.public,))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "machine").mkdir()
    return Machine(tmp_path / "machine")


def add_signed(cache: Cache, *keys: SecretKey) -> NarInfo:
    path = cache.add("x-1", TREE)
    cache.sign(path, *keys)
    return cache.narinfos[path]


@pytest.mark.parametrize(
    "keys",
    [[KEY], [OTHER, KEY], [KEY, OTHER], [FORGER, KEY], [KEY, KEY]],
    ids=["one", "last", "first", "twins", "twice"],
)
def test_one_good_signature_among_any_is_enough(keys: list[SecretKey], cache: Cache) -> None:
    assert TRUST.accepts(add_signed(cache, *keys))


@pytest.mark.parametrize("keys", [[KEY], [OTHER]])
def test_any_of_several_keys_will_do(keys: list[SecretKey], cache: Cache) -> None:
    assert Trust((CACHE_NIXOS_ORG, KEY.public, OTHER.public)).accepts(add_signed(cache, *keys))


def test_two_keys_of_the_same_name_are_both_trusted(cache: Cache) -> None:
    trust = Trust((KEY.public, FORGER.public))
    assert trust.accepts(add_signed(cache, KEY))
    assert trust.accepts(add_signed(cache, FORGER))


BASE64 = KEY.sign("another text").partition(":")[2]
MALFORMED = [
    "",
    ":",
    "x",
    KEY.name,
    f"{KEY.name}:",
    f"{KEY.name}:AAAA",
    f"{KEY.name}:{BASE64[:-2]}",
    f"{KEY.name}:{BASE64}A",
    f"{KEY.name}:!{BASE64[1:]}",
    f":{BASE64}",
    BASE64,
    f"{KEY.name}:{KEY.name}:{BASE64}",
    f"{KEY.name}:é",
]


@pytest.mark.parametrize("signature", MALFORMED)
def test_a_malformed_signature_is_ignored(signature: str, cache: Cache) -> None:
    known = add_signed(cache)
    assert not TRUST.accepts(replace(known, signatures=(signature,)))
    # It does not invalidate a good signature beside it.
    good = KEY.sign(known.fingerprint)
    assert TRUST.accepts(replace(known, signatures=(signature, good)))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([], "got no signature, expected a signature of cache.test-1"),
        ([OTHER], "got only signatures of other.test-1, expected a signature of cache.test-1"),
        ([OTHER, OTHER], "got only signatures of other.test-1, expected a signature of cache.test-1"),
    ],
)
def test_a_refusal_says_why_and_has_a_hint(keys: list[SecretKey], words: str, cache: Cache) -> None:
    known = add_signed(cache, *keys)
    with pytest.raises(IntegrityError, match=re.escape(f"{known.info.path} in here: {words}")) as caught:
        TRUST.check(known, "here")
    assert "--trusted-key" in caught.value.hint
    assert "--no-verify-signatures" in caught.value.hint


@pytest.mark.parametrize(
    ("keys", "names"), [([FORGER], "cache.test-1"), ([OTHER, FORGER], "cache.test-1, other.test-1")]
)
def test_the_hint_about_a_wrong_signature_does_not_turn_the_check_off(
    keys: list[SecretKey], names: str, cache: Cache
) -> None:
    words = f"in here: got a signature of {names} that does not match, expected a signature of cache.test-1"
    with pytest.raises(IntegrityError, match=re.escape(words)) as caught:
        TRUST.check(add_signed(cache, *keys), "here")
    assert caught.value.hint.startswith("compare the key cache.test-1 with the one that the cache's owner publishes; ")
    assert "--no-verify-signatures" not in caught.value.hint


Change = Callable[[NarInfo], NarInfo]
CHANGES: dict[str, Change] = {
    "another hash": lambda known: replace(known, info=replace(known.info, nar_hash=Digest(bytes(32)))),
    "another size": lambda known: replace(known, info=replace(known.info, nar_size=known.info.nar_size + 8)),
    "another name": lambda known: replace(known, info=replace(known.info, path=StorePath(known.info.path.base + "x"))),
    "a reference more": lambda known: replace(
        known, info=replace(known.info, references=frozenset([factories.path("y")]))
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_signature_covers_the_path_info(name: str, cache: Cache) -> None:
    known = add_signed(cache, KEY)
    assert TRUST.accepts(known)
    assert not TRUST.accepts(CHANGES[name](known))


def test_a_signature_covers_nothing_else(cache: Cache) -> None:
    """Another compression, URL or deriver does not need a new signature."""
    known = add_signed(cache, KEY)
    assert TRUST.accepts(
        replace(known, url="nar/y", compression="zstd", file_hash=None, file_size=None, deriver="x.drv")
    )


def test_without_keys_no_signature_is_trusted(cache: Cache) -> None:
    assert not Trust(()).accepts(add_signed(cache, KEY))
    assert Trust((), allow_unsigned=True).accepts(add_signed(cache))


def test_by_default_only_the_key_of_cache_nixos_org_is_trusted(cache: Cache) -> None:
    assert Trust().keys == (CACHE_NIXOS_ORG,)
    assert not Trust().accepts(add_signed(cache, KEY))


# --- through the command


def add_content_addressed(
    cache: Cache, method: str, *, self_reference: bool = False, file: bytes | None = None
) -> StorePath:
    """Add an unsigned content-addressed path, on request with a reference to itself."""
    cache.key = None
    if method == NAR:
        tree: factories.Item = {
            b"me": factories.Link(b"/nix/store/" + SELF + b"-mine-1") if self_reference else factories.File(b"me")
        }
        return cache.add("mine-1", tree, method=NAR, self_reference=self_reference, file=file)
    return cache.add("mine-1", factories.File(b"text" * 50), method=method, file=file)


@pytest.mark.parametrize(("method", "self_reference"), [(method, False) for method in METHODS] + [(NAR, True)])
def test_a_content_addressed_path_needs_no_signature(
    method: str, self_reference: bool, cache: Cache, machine: Machine
) -> None:
    path = add_content_addressed(cache, method, self_reference=self_reference)
    ran = machine.build(cache.url, example(cache), key=None, flags=["--closure", str(path), "--no-verify-signatures"])
    assert ran.code == 0, ran.stderr
    assert path in check_store(machine.store)
    top = cache.add("top-1", TREE)
    cache.sign(top, KEY)
    assert machine.build(cache.url, top, flags=["--closure", str(path)]).code == 0


@pytest.mark.parametrize(("method", "self_reference"), [(method, False) for method in METHODS] + [(NAR, True)])
def test_a_content_addressed_path_with_other_content_is_refused(
    method: str, self_reference: bool, cache: Cache, machine: Machine
) -> None:
    top = cache.add("top-1", TREE)
    path = add_content_addressed(cache, method, self_reference=self_reference)
    item = cache.trees[path]
    other: factories.Item = (
        factories.File(b"evil" * 50) if isinstance(item, factories.File) else {b"me": factories.File(b"evil")}
    )
    evil = dump_nar(other)
    info = replace(cache.narinfos[path].info, nar_hash=Digest.from_hex(_sha256(evil)), nar_size=len(evil))
    (cache.folder / "nar/evil.nar").write_bytes(evil)
    cache.change(path, info=info, url="nar/evil.nar", compression="none", file_hash=None, file_size=None)
    for flags in ([], ["--no-verify-signatures"]):
        ran = machine.build(cache.url, top, flags=["--closure", str(path), *flags])
        assert ran.code == 6, ran.stderr
        assert re.search(rf"{path} in .*got (other content|no signature), expected", ran.stderr)
        assert not machine.image.exists()
        assert path not in check_store(machine.store)
        assert not [name for name in read_files(machine.store) if _sha256(evil) in _content_hashes(machine.store)]


def _sha256(data: bytes) -> str:
    from hashlib import sha256

    return sha256(data).hexdigest()


def _content_hashes(store: Path) -> set[str]:
    return {_sha256(content) for content in read_files(store).values()}


@pytest.mark.parametrize("keys", [[], [OTHER], [FORGER]], ids=["none", "other", "forged"])
def test_no_nar_of_an_untrusted_path_is_fetched(keys: list[SecretKey], cache: Cache, machine: Machine) -> None:
    path = cache.add("bad-1", TREE)
    cache.sign(path, *keys)
    with serve_cache(cache.folder) as server:
        ran = machine.build(server.url, path)
        assert ran.code == 6, ran.stderr
        assert not [name for name in server.asked if name.startswith("nar/")]
    assert set(read_files(machine.store)) <= {"nix-cache-info"}
    assert not machine.image.exists()


def test_no_verify_signatures_turns_the_check_off(cache: Cache, machine: Machine) -> None:
    path = cache.add("bad-1", TREE)
    cache.sign(path)
    ran = machine.build(cache.url, path, flags=["--no-verify-signatures"])
    assert ran.code == 0, ran.stderr
    # The flag applies to one run only.
    assert path in check_store(machine.store)
    machine.image.unlink()
    ran = machine.build(cache.url, path)
    assert ran.code == 6
    assert "got no signature" in ran.stderr
    assert not machine.image.exists()


def test_a_signed_path_replaces_an_unsigned_one(cache: Cache, machine: Machine, tmp_path: Path) -> None:
    path = cache.add("x-1", {b"x": factories.File(b"evil")})
    cache.sign(path)
    assert machine.build(cache.url, path, flags=["--no-verify-signatures"]).code == 0
    evil = machine.image_id()
    honest = Cache(tmp_path / "honest")
    assert honest.add("x-1", {b"x": factories.File(b"good")}) == path
    assert machine.build(honest.url, path).code == 0
    good = machine.image_id()
    assert good != evil
    assert check_store(machine.store) == {path}
    disk = honest.on_disk(tmp_path / "disk")
    assert machine.build(str(disk.root), path, key=None).code == 0
    assert machine.image_id() == good


def test_paths_of_a_key_that_is_no_longer_trusted_are_not_used(cache: Cache, machine: Machine) -> None:
    path = cache.add("x-1", TREE)
    assert machine.build(cache.url, path).code == 0
    assert machine.build(cache.url, path, key=OTHER).code == 6
