"""``lamina store push``: to a folder and to a bucket, in an order that keeps the cache complete at any moment."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tests.support.binary_cache import Cache, check_store
from tests.support.buckets import serve_buckets
from tests.support.embedded_store import (
    CLOSURE,
    HELLO,
    KEY,
    ROOT,
    check_cache,
    fetch_example,
    narinfos_by_package,
    run_and_kill,
)
from tests.support.factories import File, nodes, trees
from tests.support.factories import path as path_of
from tests.support.fake_nix_store import CompletedRun, example, in_mount_namespace, process, run

import lamina
from lamina.compression.decoders import decode_pieces
from lamina.compression.libraries import zstd
from lamina.compression.nar import NarCompression
from lamina.core.closure import Closure
from lamina.core.nodes import Directory, Regular, Symlink
from lamina.errors import IntegrityError, InvalidArgument, OutputError, Unavailable
from lamina.formats import nar, nar_listing, narinfo
from lamina.formats.cache_info import CacheInfo
from lamina.formats.keys import SecretKey, find_signer
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, ListingBuilder
from lamina.stores.binary_cache.push import PushOptions, push
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.resolve import resolve_closure
from lamina.system.fd_writer import FunctionOutput
from lamina.transports.files import FileTransport
from lamina.transports.open import open_writable

ALGORITHMS = ("none", "zstd", "xz", "gzip", "bzip2")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    fetch_example(tmp_path / "store")
    lamina.generate_key("mine-1", "key")
    return tmp_path / "store"


def push_store(store: Path, *arguments: str | Path, to: str = "") -> CompletedRun:
    return run("store", "push", "--store", store, "--to", to or f"file://{store.parent}/cache", *arguments)


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(file): (file.stat().st_ino, file.read_bytes()) for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_pushed_closure_is_a_binary_cache(store: Path, tmp_path: Path, algorithm: str) -> None:
    ran = push_store(store, "hello", "--compression", algorithm)
    assert ran.code == 0, ran.stderr
    found = check_cache(tmp_path / "cache")
    assert ran.stdout.decode().startswith(f"{CLOSURE} paths sent (")
    assert ran.stdout.decode().endswith(", 0 already there\n")
    first, *lines = ran.stderr.splitlines()
    assert first == f"Sending {CLOSURE} of {CLOSURE} store paths, 14.5 KiB"
    assert all(re.fullmatch(r"path \d/6  \S+ +[0-9.]+ (KiB|B)  sent", line) for line in lines)
    paths = {path.name: path for path in found}
    order = [paths[line.split()[2]] for line in lines]
    assert (len(order), order[-1]) == (CLOSURE, HELLO)
    for number, path in enumerate(order):
        assert found[path].info.references - {path} <= set(order[:number])
    for known in narinfos_by_package(store).values():
        sent = found[known.info.path]
        assert sent.compression == algorithm
        assert (
            replace(sent, url=known.url, compression="none", file_hash=known.file_hash, file_size=known.file_size)
            == known
        )
    assert CacheInfo.parse((tmp_path / "cache/nix-cache-info").read_bytes()) == CacheInfo(want_mass_query=True)
    flags = ("--store", f"file://{tmp_path}/cache", "--trusted-key", KEY, "--to", tmp_path / "other")
    assert run("store", "fetch", ROOT, *flags).code == 0
    assert check_store(tmp_path / "other") == set(found)


def test_nar_files_are_named_by_their_hashes(store: Path, tmp_path: Path) -> None:
    for algorithm, ending in (("none", ".nar"), ("zstd", ".nar.zst"), ("xz", ".nar.xz"), ("bzip2", ".nar.bz2")):
        push_store(store, "licence", "--compression", algorithm, to=f"file://{tmp_path}/{algorithm}")
        ((_, known),) = check_cache(tmp_path / algorithm).items()
        assert known.file_hash
        assert known.url == f"nar/{known.file_hash.nix32.partition(':')[2]}{ending}"


def test_present_paths_are_not_sent_again(store: Path, tmp_path: Path) -> None:
    assert push_store(store, "greeting").code == 0
    before = files(tmp_path / "cache")
    ran = push_store(store, "greeting", "--compression", "xz")
    assert (ran.code, ran.stdout) == (0, b"0 paths sent (0 B), 4 already there\n")
    assert files(tmp_path / "cache") == before
    ran = push_store(store, "--all", "--json")
    document = json.loads(ran.stdout)
    assert (len(document["sent"]), document["present"], document["signed"]) == (CLOSURE - 4, 4, [])
    assert before.items() <= files(tmp_path / "cache").items()
    check_cache(tmp_path / "cache")


def test_a_path_that_is_present_with_another_nar_is_sent(store: Path, tmp_path: Path) -> None:
    push_store(store, "licence")
    known = next(iter(check_cache(tmp_path / "cache").values()))
    file = tmp_path / "cache" / f"{known.info.path.hash}.narinfo"
    for text in (b"garbage", b"\xff", replace(known, info=replace(known.info, nar_size=1)).dump().encode()):
        file.write_bytes(text)
        assert push_store(store, "licence").stdout == b"1 path sent (0 B), 0 already there\n"
        assert narinfo.parse(file.read_text()) == known


def test_sent_paths_are_signed_and_present_ones_too(store: Path, tmp_path: Path) -> None:
    push_store(store, "greeting")
    ran = push_store(store, "hello", "--key", "key", "--json")
    document = json.loads(ran.stdout)
    assert (len(document["sent"]), len(document["signed"]), document["present"]) == (2, 4, 0)
    public = lamina.public_key("key")
    for known in check_cache(tmp_path / "cache").values():
        assert len(known.signatures) == 2
        assert find_signer(known.fingerprint, known.signatures, [public]) == "mine-1"
    ran = push_store(store, "hello", "--key", "key")
    assert ran.stdout == b"0 paths sent (0 B), 6 already there\n"
    lamina.generate_key("mine-2", "key2")
    ran = push_store(store, "hello", "--key", "key", "--key", "key2")
    assert ran.stdout == b"0 paths sent (0 B), 6 signed, 0 already there\n"
    assert all(len(known.signatures) == 3 for known in check_cache(tmp_path / "cache").values())
    assert not any("mine" in text for known in narinfos_by_package(store).values() for text in known.signatures)


def test_a_store_of_nix_can_be_pushed_from(tmp_path: Path) -> None:
    disk, hello = example(tmp_path / "root")
    ran = run("store", "push", str(hello), "--store", disk.root, "--to", f"file://{tmp_path}/cache", "--quiet")
    assert (ran.code, ran.stderr) == (0, "")
    assert len(check_cache(tmp_path / "cache")) == 4


def test_a_cache_can_be_pushed_from_and_its_signatures_stay(store: Path, tmp_path: Path) -> None:
    flags = ("--store", f"file://{store}", "--trusted-key", KEY, "--store", tmp_path / "spool", "--quiet")
    ran = run("store", "push", ROOT, *flags, "--to", f"file://{tmp_path}/cache")
    assert ran.code == 0, ran.stderr
    found = check_cache(tmp_path / "cache")
    assert len(found) == CLOSURE
    assert all(
        known.signatures == narinfos_by_package(store)[known.info.path.package].signatures for known in found.values()
    )


def test_a_path_that_does_not_match_its_path_info_gets_no_narinfo(store: Path, tmp_path: Path) -> None:
    for algorithm in ("none", "zstd"):
        known = narinfos_by_package(store)["phrases"]
        file = store / known.url
        file.chmod(0o644)
        data = file.read_bytes()
        file.write_bytes(data.replace(b"Hello", b"Hallo"))
        ran = push_store(store, "hello", "--compression", algorithm, to=f"file://{tmp_path}/{algorithm}")
        assert (ran.code, ran.error.startswith(f"{known.info.path}: got NAR hash ")) == (6, True)
        assert known.info.path not in check_cache(tmp_path / algorithm)
        file.write_bytes(data)
        assert push_store(store, "hello", "--compression", algorithm, to=f"file://{tmp_path}/{algorithm}").code == 0
        assert len(check_cache(tmp_path / algorithm)) == CLOSURE


def test_a_cache_of_another_store_folder_is_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/nix-cache-info").write_text("StoreDir: /gnu/store\n")
    ran = push_store(store, "hello")
    assert (ran.code, ran.error) == (
        5,
        f"file://{tmp_path}/cache: got a cache for /gnu/store, expected one for /nix/store",
    )
    (tmp_path / "cache/nix-cache-info").write_text("nonsense\n")
    assert push_store(store, "hello").code == 3
    assert os.listdir(tmp_path / "cache") == ["nix-cache-info"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["hello", "--all"], 2),
        (["nosuch"], 5),
        (["hello", "--compression", "lzip"], 2),
        (["hello", "--compression", "zstd:99"], 2),
        (["hello", "--compression", "none:1"], 2),
        (["hello", "--jobs", "0"], 2),
        (["hello", "--key", "none"], 11),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(
    store: Path, tmp_path: Path, arguments: list[str], code: int
) -> None:
    assert push_store(store, *arguments).code == code
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("url", ["https://example.org", "ftp://x", "/tmp/x", "s3://", "daemon"])
def test_a_target_that_cannot_be_written_to_is_refused(store: Path, url: str) -> None:
    assert push_store(store, "hello", to=url).code == 2


def test_a_folder_that_cannot_be_made_is_an_error(store: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert push_store(store, "hello").code in (5, 10)


@pytest.mark.integration
def test_a_push_killed_at_any_moment_leaves_a_complete_cache(store: Path, tmp_path: Path) -> None:
    steps, was_killed, most = 0, True, set()
    while was_killed:
        folder = tmp_path / f"cache-{steps}"
        to = f"file://{folder}"
        was_killed = run_and_kill(steps, "store", "push", "hello", "--store", store, "--to", to, "--jobs", "2")
        most.add(len(check_cache(folder)))
        assert push_store(store, "hello", to=to).code == 0
        assert len(check_cache(folder)) == CLOSURE
        steps += 7
    assert {0, CLOSURE} < most


class RecordingTransport(FileTransport):
    """Records the order in which files are written, and fails for names that contain ``failing``."""

    def __init__(self, url: str, failing: str = "") -> None:
        super().__init__(url)
        self.seen: list[str] = []
        self._failing = failing

    def write(self, name: str, data: bytes) -> None:
        self._record(name)
        super().write(name, data)

    def upload(self, name: str, file: Path) -> None:
        self._record(name)
        super().upload(name, file)

    def _record(self, name: str) -> None:
        if self._failing and self._failing in name:
            raise OutputError(name, got="no room", expected="some")
        self.seen.append(name)


def push_options(**options: Any) -> PushOptions:
    return PushOptions(NarCompression.parse("zstd"), **options)


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_nars_come_before_narinfos_and_references_before_referrers(store: Path, tmp_path: Path, jobs: int) -> None:
    source = EmbeddedStore(store)
    closure = resolve_closure([HELLO], source)
    cache = RecordingTransport(f"file://{tmp_path}/cache")
    push(source, closure, cache, push_options(jobs=jobs))
    found = check_cache(tmp_path / "cache")
    position = {name: number for number, name in enumerate(cache.seen)}
    assert cache.seen[0] == "nix-cache-info"
    for path, known in found.items():
        own = position[f"{path.hash}.narinfo"]
        assert position[known.url] < own
        assert position[f"{path.hash}.ls"] < own
        assert all(position[f"{other.hash}.narinfo"] < own for other in known.info.references - {path})


@pytest.mark.parametrize("failing", ["narinfo", "nar/", HELLO.hash, "nix-cache-info", ".ls"])
def test_a_failing_cache_ends_the_push_and_stays_complete(store: Path, tmp_path: Path, failing: str) -> None:
    source = EmbeddedStore(store)
    with pytest.raises(OutputError, match="got no room, expected some"):
        push(
            source,
            resolve_closure([HELLO], source),
            RecordingTransport(f"file://{tmp_path}/cache", failing),
            push_options(jobs=2),
        )
    assert HELLO not in check_cache(tmp_path / "cache")


def test_an_empty_closure_is_an_empty_cache(tmp_path: Path) -> None:
    EmbeddedStore.open_or_create(tmp_path / "store")
    done = lamina.push_paths(all_paths=True, to=f"file://{tmp_path}/cache", embedded_store=tmp_path / "store")
    assert (done.sent, done.present, done.size) == ((), 0, 0)
    assert os.listdir(tmp_path / "cache") == ["nix-cache-info"]
    push(
        EmbeddedStore(tmp_path / "store"),
        Closure(()),
        FileTransport(f"file://{tmp_path}/cache"),
        push_options(),
    )


def test_two_paths_of_one_nar_share_a_file(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "source")
    paths = [str(cache.add(name, {b"same": File(b"content")})) for name in ("a", "b")]
    lamina.fetch_paths(paths, embedded_store=tmp_path / "store", store=cache.url, verify_signatures=False)
    lamina.push_paths(paths, to=f"file://{tmp_path}/cache", embedded_store=tmp_path / "store", jobs=1)
    assert len(check_cache(tmp_path / "cache")) == 2
    assert len(list((tmp_path / "cache/nar").iterdir())) == 1


def test_errors_are_lamina_errors(store: Path) -> None:
    with pytest.raises(InvalidArgument):
        lamina.push_paths("hello", to="nowhere", embedded_store=store)
    with pytest.raises(Unavailable):
        lamina.push_paths("hello", to="file:///x", embedded_store=store.parent / "none")
    shutil.rmtree(store / "nar")
    with pytest.raises(IntegrityError):
        lamina.push_paths("hello", to=f"file://{store.parent}/cache", embedded_store=store)


# --- compressions and listings


@pytest.mark.parametrize("text", ["none", "zstd:1", "zstd:19", "xz:0", "gzip:9", "bzip2:1", "gzip"])
def test_a_nar_can_be_decompressed_under_the_name_of_its_compression(text: str) -> None:
    data = b"some text " * 5000
    found = NarCompression.parse(text)
    made = bytearray()
    compressor = found.create_compressor(FunctionOutput(made.extend), 2)
    for start in range(0, len(data), 7000):
        compressor.write(memoryview(data)[start : start + 7000])
    compressor.close()
    assert b"".join(decode_pieces([bytes(made)], found.algorithm)) == data
    assert str(NarCompression.parse(str(found))) == str(found)
    if found.algorithm == "zstd":
        assert zstd().decompress(bytes(made)) == data


def _expected_listing(tree: Any) -> Any:
    """Return the NAR of a tree, and its listing, computed independently from the NAR."""
    data = b""
    root: dict[str, Any] = {}
    for piece in nar.dump(nodes(tree)):
        assert isinstance(piece, bytes)
        data += piece
    for node in nar.parse_bytes(data):
        match node:
            case Directory():
                found: dict[str, Any] = {"type": "directory", "entries": {}}
            case Symlink(_, target):
                found = {"type": "symlink", "target": target.decode()}
            case Regular(_, executable, size, content):
                assert isinstance(content, bytes)
                found = {"type": "regular", "size": size, "narOffset": -1, "content": content}
                if executable:
                    found["executable"] = True
        if not node.path:
            root = found
            continue
        *folders, name = node.path.split(b"/")
        inside = root
        for folder in folders:
            inside = inside["entries"][folder.decode()]
        inside["entries"][name.decode()] = found
    return data, root


def _dump_listing(tree: Any) -> bytes | None:
    lister = ListingBuilder()
    for node in nodes(tree):
        match node:
            case Directory(path):
                lister.add(FOLDER, path, 0, b"", 0)
            case Symlink(path, target):
                lister.add(SYMLINK, path, 0, target, 0)
            case Regular(path, executable, size):
                lister.add(EXECUTABLE if executable else FILE, path, size, b"", 0)
    return nar_listing.dump(lister.build())


@given(trees())
def test_a_listing_says_what_is_in_a_nar_and_where(tree: Any) -> None:
    made = _dump_listing(tree)
    try:
        data, expected = _expected_listing(tree)
    except UnicodeDecodeError:
        assert made is None
        return
    assert made is not None
    document = json.loads(made)
    assert (document.pop("version"), set(document)) == (1, {"root"})
    _compare(document["root"], expected, data)


def _compare(found: Any, expected: Any, data: bytes) -> None:
    assert found["type"] == expected["type"]
    if found["type"] == "directory":
        assert list(found["entries"]) == list(expected["entries"])
        for name, inner in found["entries"].items():
            _compare(inner, expected["entries"][name], data)
    elif found["type"] == "symlink":
        assert found == expected
    else:
        offset = found.pop("narOffset")
        assert data[offset : offset + found["size"]] == expected.pop("content")
        expected.pop("narOffset")
        assert found == expected


def test_a_listing_may_be_deep() -> None:
    lister = ListingBuilder()
    for depth in range(1001):
        lister.add(FOLDER, b"/".join([b"d"] * depth), 0, b"", 0)
    made = nar_listing.dump(lister.build())
    assert made
    assert made.count(b'"directory"') == 1001
    assert made.count(b"{") == made.count(b"}")


def test_listings_are_written_unless_turned_off(store: Path, tmp_path: Path) -> None:
    push_store(store, "greeting")
    push_store(store, "greeting", "--no-listings", to=f"file://{tmp_path}/bare")
    assert len(list((tmp_path / "cache").glob("*.ls"))) == 4
    assert not list((tmp_path / "bare").glob("*.ls"))
    phrases = narinfos_by_package(store)["phrases"]
    document = json.loads((tmp_path / f"cache/{phrases.info.path.hash}.ls").read_bytes())
    data = (store / phrases.url).read_bytes()
    file = next(node for node in nar.parse_bytes(data) if isinstance(node, Regular))
    entry = document["root"]
    for name in file.path.split(b"/"):
        entry = entry["entries"][name.decode()]
    assert data[entry["narOffset"] :][: entry["size"]] == file.content


# --- a bucket


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2secret")
    with serve_buckets("cache") as address:
        yield f"s3://cache/some/where?endpoint={address}&scheme=http&region=us-east-1"


def test_a_closure_can_be_pushed_to_a_bucket(store: Path, tmp_path: Path, bucket: str) -> None:
    ran = push_store(store, "hello", "--key", "key", "--quiet", to=bucket)
    assert (ran.code, ran.stderr) == (0, "")
    flags = ("--store", bucket, "--trusted-key", str(lamina.public_key("key")), "--to", tmp_path / "other")
    ran = run("store", "fetch", ROOT, *flags)
    assert ran.code == 0, ran.stderr
    assert len(check_store(tmp_path / "other")) == CLOSURE
    assert push_store(store, "hello", "--key", "key", to=bucket).stdout == b"0 paths sent (0 B), 6 already there\n"
    with closing(open_writable(bucket)) as cache:
        assert cache.read(f"{HELLO.hash}.ls", 1 << 20)
        assert not cache.read(f"{path_of('A').hash}.narinfo", 1 << 20)


def test_no_error_of_a_bucket_shows_credentials(store: Path, bucket: str) -> None:
    ran = push_store(store, "hello", to=bucket.replace("cache", "missing"))
    assert ran.code in (5, 10)
    assert "hunter2" not in ran.stderr
    assert "AKIDEXAMPLE" not in ran.stderr


def test_a_secret_key_is_in_no_file_of_a_cache(store: Path, tmp_path: Path) -> None:
    push_store(store, "hello", "--key", "key")
    secret = SecretKey.parse(Path("key").read_text())
    for _, data in files(tmp_path / "cache").values():
        assert str(secret).partition(":")[2].encode() not in data
        assert secret.seed not in data


@pytest.mark.integration
def test_a_full_disk_is_an_error_that_names_the_folder(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    script = (
        'mount -t tmpfs -o size=40k none "$1"\n'
        'push() { "$3" -m lamina store push hello --store "$2" --to "file://$1/cache" --jobs 1; }\n'
        'code=0; push "$@" || code=$?; test $code = 10\n'
        'cp -r "$1/cache" "$1.full"; mount -o remount,size=1m "$1"\n'
        'push "$@"; cp -r "$1/cache" "$1.whole"\n'
    )
    done = in_mount_namespace(script, (folder, store, sys.executable))
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    assert f"lamina: {folder}/cache: got No space left on device" in done.stderr.decode()
    assert len(check_cache(tmp_path / "disk.full")) < CLOSURE
    assert len(check_cache(tmp_path / "disk.whole")) == CLOSURE


def test_an_interrupted_push_ends_and_leaves_a_complete_cache(store: Path, tmp_path: Path) -> None:
    with process("store", "push", "hello", "--store", store, "--to", f"file://{tmp_path}/cache") as running:
        assert running.stderr
        running.stderr.readline()  # how much is to be sent
        running.stderr.readline()  # the first path
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=120)
    assert running.returncode in (0, 130)
    check_cache(tmp_path / "cache")
