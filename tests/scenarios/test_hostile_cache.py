"""A hostile or broken binary cache: each thing that it may do ends in its own error, and in no image.

The store that was there is as it was, whatever came.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import brotli
import pytest
from tests.support import factories
from tests.support.binary_cache import (
    CACHE_INFO,
    COMPRESSORS,
    KEY,
    OTHER,
    SELF,
    Cache,
    CacheServer,
    Machine,
    Script,
    answer_404,
    check_store,
    cut_short,
    dump_nar,
    example,
    list_leftovers,
    read_files,
    send_forever,
    send_nothing,
    send_slowly,
    serve_cache,
)
from tests.support.fake_nix_store import MODULE

from lamina.core.names import Digest, StorePath
from lamina.formats import nar
from lamina.formats.content_address import NAR as RECURSIVE
from lamina.transports import open as opening
from lamina.transports.retry import DEFAULT_POLICY, RetryPolicy

# Nobody waits for a minute in a test; the times are what the real ones are, a few hundred times as short.
QUICK = RetryPolicy(
    connect_timeout=2, read_timeout=0.3, rate_window=0.6, attempts=2, initial_delay=0.01, max_delay=0.05
)
MESSAGE = r"lamina: [^\n]+: got [^\n]+, expected [^\n]+\n(hint: [^\n]+\n)?"
FORMAT, STORE, INTEGRITY = 3, 5, 6
TREE: factories.Item = {b"bin": {b"x": factories.File(b"#!/no\n" * 100, executable=True)}}


@dataclass
class World:
    """A cache, what its server does, and a user who has a store already."""

    cache: Cache
    machine: Machine
    scripts: dict[str, Script] = field(default_factory=dict)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine with an honest cache's paths in its store."""
    folder = tmp_path_factory.mktemp("before")
    cache, machine = Cache(folder / "cache"), Machine(folder / "machine")
    machine.folder.mkdir()
    ran = machine.build(cache.url, example(cache))
    assert ran.code == 0, ran.stderr
    machine.image.unlink()
    return machine.folder


@pytest.fixture
def world(before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(opening.open_transport, "__defaults__", (QUICK,))
    subprocess.run(["cp", "-a", before, tmp_path / "machine"], check=True)
    return World(Cache(tmp_path / "cache"), Machine(tmp_path / "machine"))


def refused(world: World, code: int, words: str, *roots: object, flags: tuple[str, ...] = ()) -> None:
    """Runs it, and looks at all that must not be there afterwards."""
    store = read_files(world.machine.store)
    with serve_cache(world.cache.folder, world.scripts) as server:
        ran = world.machine.build(server.url, *roots, flags=flags)
    last = "".join(line for line in ran.stderr.splitlines(keepends=True) if line.startswith(("lamina: ", "hint: ")))
    assert ran.code == code, ran.stderr
    assert re.fullmatch(MESSAGE, last), ran.stderr
    assert re.search(words, last), ran.stderr
    assert not ran.stdout
    assert not [name for name in os.listdir(world.machine.folder) if "image" in name]
    assert read_files(world.machine.store) == store
    assert not list_leftovers(world.machine.store)


# --- what is in a NAR

T = nar.dump_strings
FILE = T(b"(", b"type", b"regular", b"contents", b"hi", b")")
LINK = T(b"(", b"type", b"symlink", b"target")


def folder_of(*names: bytes, inner: bytes = FILE) -> bytes:
    """A folder with entries of those names."""
    entries = b"".join(T(b"entry", b"(", b"name", name, b"node") + inner + T(b")") for name in names)
    return T(b"(", b"type", b"directory") + entries + T(b")")


def nested(depth: int) -> bytes:
    """So many folders, each in the one before, and a file in the last."""
    opened = T(b"(", b"type", b"directory", b"entry", b"(", b"name", b"d", b"node")
    return opened * depth + FILE + T(b")", b")") * depth


def deep_names(depth: int, entries: int) -> bytes:
    """Long names above many entries: each entry's path is as long as all of those names."""
    name = b"n" * 8000
    opened = T(b"(", b"type", b"directory", b"entry", b"(", b"name", name, b"node")
    return opened * depth + folder_of(*(b"%08d" % number for number in range(entries))) + T(b")", b")") * depth


LENGTH_63, LENGTH_64 = (1 << 63).to_bytes(8, "little"), bytes([255] * 8)
ARCHIVES = {
    "a name with a slash": folder_of(b"a/b"),
    "an absolute name": folder_of(b"/etc/passwd"),
    "the folder above": folder_of(b".."),
    "the folder itself": folder_of(b"."),
    "an empty name": folder_of(b""),
    "a NUL in a name": folder_of(b"a\0b"),
    "an entry twice": folder_of(b"a", b"a"),
    "entries out of order": folder_of(b"b", b"a"),
    "entries out of order by case": folder_of(b"a", b"B"),
    "10000 levels": nested(10_000),
    "1025 levels": nested(1025),
    "a name of 2^63 bytes": T(b"(", b"type", b"directory", b"entry", b"(", b"name") + LENGTH_63,
    "a name of 2^64 - 1 bytes": T(b"(", b"type", b"directory", b"entry", b"(", b"name") + LENGTH_64 + b"a" * 64,
    "a token of 2^63 bytes": T(b"(", b"type") + LENGTH_63 + b"regular\0",
    "a file of 2^63 bytes": T(b"(", b"type", b"regular", b"contents") + LENGTH_63 + b"hi",
    "a file of 2^64 - 1 bytes": T(b"(", b"type", b"regular", b"contents") + LENGTH_64 + b"hi",
    "a target of 2^63 bytes": LINK + LENGTH_63 + b"x",
    "a target with a NUL": LINK + T(b"a\0b", b")"),
    "an empty target": LINK + T(b"", b")"),
    "a device": T(b"(", b"type", b"device", b")"),
    "padding that is not zero": FILE.replace(b"hi\0\0\0\0\0\0", b"hi\0\0\0\0\0x"),
    "an odd executable mark": T(b"(", b"type", b"regular", b"executable", b"x", b"contents", b"hi", b")"),
    "more behind its end": FILE + T(b")"),
    "its half": folder_of(b"a", b"b")[:-40],
    "nothing but its first word": b"",
    "paths of a hundred kilobytes": deep_names(100, 50_000),
}


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("compression", ["none", "xz"])
def test_a_nar_that_holds(name: str, compression: str, world: World) -> None:
    archive = T(nar.MAGIC) + ARCHIVES[name]
    root = world.cache.add("bad-1", {}, archive=archive, compression=compression)
    begun = time.monotonic()
    refused(world, FORMAT, r"/nix/store/\w+-bad-1 in http://127\.0\.0\.1:\d+: NAR at byte \d+: got ", root)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("depth", [64, 1024])
def test_folders_nest_as_deep_as_we_say(depth: int, world: World) -> None:
    root = world.cache.add("deep-1", {}, archive=T(nar.MAGIC) + nested(depth))
    ran = world.machine.build(world.cache.url, root)
    assert ran.code == 0, ran.stderr
    assert root in check_store(world.machine.store)


# --- what is in a file that is to be a NAR


def spoiled(world: World, content: bytes, compression: str = "none") -> StorePath:
    """A path whose NAR's file is ``content``."""
    return world.cache.add("bad-1", TREE, file=content, compression=compression)


NAR = dump_nar(TREE)


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_a_file_that_was_cut(compression: str, world: World) -> None:
    whole = COMPRESSORS[compression](NAR)
    code = INTEGRITY if compression == "none" else FORMAT
    refused(world, code, "bad-1 in http://127.0.0.1", spoiled(world, whole[: len(whole) * 2 // 3], compression))


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_an_empty_file(compression: str, world: World) -> None:
    code = INTEGRITY if compression == "none" else FORMAT
    refused(world, code, "bad-1 in http://127.0.0.1", spoiled(world, b"", compression))


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_a_file_of_noise(compression: str, world: World) -> None:
    noise = (b"\xff\xfe noise" * len(NAR))[: len(NAR)]
    code = INTEGRITY if compression == "none" else FORMAT
    refused(world, code, "bad-1 in http://127.0.0.1", spoiled(world, noise, compression))


def test_a_compression_nobody_knows(world: World) -> None:
    root = world.cache.add("bad-1", TREE, narinfo_fields={"compression": "zip"})
    refused(world, FORMAT, "compression: got 'zip', expected one of none, ", root)


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_another_content_of_the_same_size(compression: str, world: World) -> None:
    other = NAR.replace(b"#!/no", b"#!/ok")
    root = spoiled(world, COMPRESSORS[compression](other), compression)
    refused(world, INTEGRITY, "got a NAR with hash sha256:[0-9a-f]{64}, expected sha256:", root)


@pytest.mark.parametrize("more", [-8, -1, 1, 8, 1 << 40])
def test_a_size_that_is_not_true(more: int, world: World) -> None:
    root = world.cache.add("bad-1", TREE, signed_fields={"nar_size": len(NAR) + more})
    refused(world, INTEGRITY, rf"got a NAR of .*bytes, expected {len(NAR) + more}", root)


def test_a_hash_that_is_not_true(world: World) -> None:
    root = world.cache.add("bad-1", TREE, signed_fields={"nar_hash": Digest(bytes(32))})
    refused(world, INTEGRITY, "got a NAR with hash sha256:", root)


@pytest.mark.parametrize("said", [{"file_size": 100}, {"file_size": 1 << 40}, {"file_hash": Digest(bytes(32))}])
@pytest.mark.parametrize("compression", ["none", "xz"])
def test_what_is_said_of_the_file_is_signed_by_nobody(said: dict[str, Any], compression: str, world: World) -> None:
    """Pull-through caches hand out a NAR uncompressed and leave size and hash of the compressed one."""
    root = world.cache.add("good-1", TREE, narinfo_fields=said, compression=compression)
    with serve_cache(world.cache.folder) as server:
        ran = world.machine.build(server.url, root)
    assert ran.code == 0, ran.stderr
    assert root in check_store(world.machine.store)


def test_a_file_longer_than_a_nar_of_that_size_can_be(world: World) -> None:
    root = spoiled(world, NAR + bytes(1 << 20))
    refused(world, FORMAT, r"got \d+ bytes, expected at most \d+", root)


def bomb(compression: str, size: int) -> bytes:
    """So many zeros, in as many streams as it takes not to wait for the compressor."""
    portion = min(size, 1 << 24)
    if compression == "br":
        return bytes(brotli.compress(bytes(size), quality=1))
    return COMPRESSORS[compression](bytes(portion)) * (size // portion)


@pytest.mark.parametrize("compression", sorted(COMPRESSORS.keys() - {"none"}))
def test_a_bomb(compression: str, world: World) -> None:
    # Those two make a thousandth of it at best, and the file itself is to be no larger than it may be.
    root = spoiled(world, bomb(compression, 1 << 23 if compression in ("gzip", "lz4") else 1 << 28), compression)
    begun = time.monotonic()
    refused(world, INTEGRITY, rf"got a NAR of more bytes, expected {len(NAR)}", root)
    assert time.monotonic() - begun < 2


HEAD = T(nar.MAGIC, b"(", b"type", b"regular", b"contents")


def most_memory(world: World, server: CacheServer, root: StorePath) -> tuple[int, int]:
    """How a run in a process of its own ended, and the most memory that it held, in KiB."""
    command = [*MODULE, *map(str, world.machine.arguments(server.url, root))]
    with subprocess.Popen(command, env=world.machine.environment, stderr=subprocess.DEVNULL) as running:
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    return running.returncode, usage.ru_maxrss // (1024 if sys.platform == "darwin" else 1)


@pytest.mark.parametrize("compression", ["xz", "zstd", "bzip2", "br"])
def test_a_bomb_takes_no_memory(compression: str, world: World) -> None:
    good, size = world.cache.add("good-1", TREE), 1 << 27
    content = bomb(compression, size)
    root = spoiled(world, content, compression)
    # As large as its narinfo says, so that it is read to its end.
    world.cache.change(root, info=replace(world.cache.narinfos[root].info, nar_size=size))
    world.cache.sign(root, KEY)
    with serve_cache(world.cache.folder) as server:
        code, usual = most_memory(world, server, good)
        assert code == 0
        code, found = most_memory(world, server, root)
    assert code == INTEGRITY
    assert found - usual < 48 << 10
    assert not list_leftovers(world.machine.store)


# Streams that hold nothing, of which there may be any number.
NOTHING = {
    "zstd": b"\x50\x2a\x4d\x18\0\0\0\0" * 8192,
    "lz4": COMPRESSORS["lz4"](b"") * 4096,
    "gzip": COMPRESSORS["gzip"](b"") * 1024,
    "bzip2": COMPRESSORS["bzip2"](b"") * 1024,
    "xz": COMPRESSORS["xz"](b"") * 1024,
}


@pytest.mark.parametrize("size", [None, 1 << 62])
@pytest.mark.parametrize("compression", NOTHING)
def test_a_file_that_never_ends_and_holds_nothing(compression: str, size: int | None, world: World) -> None:
    root = world.cache.add("bad-1", TREE, compression=compression, narinfo_fields={"file_size": size})
    world.scripts["nar/.*"] = send_forever(piece=NOTHING[compression])
    refused(world, FORMAT, r"got \d+ bytes, expected at most \d+", root)


@pytest.mark.parametrize("compression", ["none", "xz"])
def test_a_nar_that_never_ends(compression: str, world: World) -> None:
    root = world.cache.add("bad-1", TREE, compression=compression, narinfo_fields={"file_size": 1 << 62})
    start = NAR if compression == "none" else COMPRESSORS["xz"](NAR)
    world.scripts["nar/.*"] = send_forever(start)
    refused(world, INTEGRITY if compression == "none" else FORMAT, "bad-1 in http://", root)


# --- the answers


@pytest.mark.parametrize(
    "script", [send_slowly(500), send_nothing, cut_short(b"StorePath", 500)], ids=["trickle", "silent", "cut"]
)
@pytest.mark.parametrize("pattern", [CACHE_INFO, r".*\.narinfo", "nar/.*"])
def test_a_server_that_is_not_waited_for(pattern: str, script: Script, world: World) -> None:
    root = world.cache.add("bad-1", TREE, compression="none")
    world.scripts[pattern] = script
    refused(world, STORE, r"in a row, expected the whole file|less than 32768, expected a faster server", root)


@pytest.mark.parametrize("status", [400, 403, 404, 418, 429, 500, 503])
@pytest.mark.parametrize("pattern", [CACHE_INFO, r".*\.narinfo", "nar/.*"])
def test_a_server_that_refuses(pattern: str, status: int, world: World) -> None:
    root = world.cache.add("bad-1", TREE)
    world.scripts[pattern] = lambda asked: asked.answer(status)
    refused(world, STORE, "http://127.0.0.1|got no such valid path", root)


def around(asked: Any) -> None:
    """A redirect to itself."""
    asked.answer(302, Location=asked.path)


@pytest.mark.parametrize("pattern", [CACHE_INFO, r".*\.narinfo", "nar/.*"])
def test_redirects_in_a_circle(pattern: str, world: World) -> None:
    root = world.cache.add("bad-1", TREE)
    world.scripts[pattern] = around
    refused(world, STORE, "got more than 10 redirects", root)


@pytest.mark.parametrize("pattern", [CACHE_INFO, r".*\.narinfo"])
def test_an_answer_that_never_ends(pattern: str, world: World) -> None:
    root = world.cache.add("bad-1", TREE)
    world.scripts[pattern] = send_forever(b"StorePath: ", b"x" * 65536)
    refused(world, FORMAT, r"got more than \d+ bytes, expected at most that many", root)


def test_nobody_there(world: World) -> None:
    root = world.cache.add("bad-1", TREE)
    with serve_cache(world.cache.folder) as server:
        url = server.url
    ran = world.machine.build(url, root)
    assert ran.code == STORE
    assert not world.machine.image.exists()


# --- what it says of itself

SELVES: Mapping[str, tuple[bytes, int, str]] = {
    "nothing of a store": (b"", 0, ""),
    "another store": (b"StoreDir: /gnu/store\n", STORE, "got a cache of /gnu/store, expected one of /nix/store"),
    "noise": (b"\xff\xfe\0noise", FORMAT, "expected UTF-8"),
    "a page": (b"<!doctype html>\n<title>Welcome</title>\n", FORMAT, "nix-cache-info line 1: got "),
    "a relative store": (b"StoreDir: nix/store\n", FORMAT, "expected an absolute path"),
    "two stores": (b"StoreDir: /nix/store\nStoreDir: /nix/store\n", FORMAT, "got a second StoreDir"),
    "a megabyte": (b"\n" * (1 << 20), FORMAT, "got more than 65536 bytes"),
}


@pytest.mark.parametrize("name", SELVES)
def test_a_cache_that_says_of_itself(name: str, world: World) -> None:
    root = world.cache.add("x-1", TREE)
    content, code, words = SELVES[name]
    (world.cache.folder / CACHE_INFO).write_bytes(content)
    if code:
        refused(world, code, words, root)
    else:
        assert world.machine.build(world.cache.url, root).code == 0


def test_a_cache_that_says_nothing_of_itself(world: World) -> None:
    root = world.cache.add("x-1", TREE)
    (world.cache.folder / CACHE_INFO).unlink()
    refused(world, STORE, "got no nix-cache-info there, expected a binary cache", root)


# --- what it says of a path


def line(key: str, value: str) -> Callable[[str], str]:
    """Puts another value in a narinfo."""
    return lambda text: re.sub(f"(?m)^{key}: .*$", lambda _: f"{key}: {value}", text)


def without(key: str) -> Callable[[str], str]:
    """Takes a line out of a narinfo."""
    return lambda text: re.sub(f"(?m)^{key}: .*\n", "", text)


TEXTS: Mapping[str, Callable[[str], str]] = {
    "nothing": lambda text: "",
    "noise": lambda text: "\0\1\2" * 100,
    "a page": lambda text: "<!doctype html>\n<title>Not found</title>\n",
    "its half": lambda text: text[:100],
    "no path": without("StorePath"),
    "no URL": without("URL"),
    "no hash": without("NarHash"),
    "no size": without("NarSize"),
    "two paths": lambda text: text + text.splitlines()[0] + "\n",
    "a path in another store": line("StorePath", "/gnu/store/" + "0" * 32 + "-x"),
    "a path within a path": lambda text: re.sub("(?m)^(StorePath: .*)$", r"\1/bin", text),
    "a size below zero": line("NarSize", "-1"),
    "no bytes": line("NarSize", "0"),
    "a size of 2^63": line("NarSize", str(1 << 63)),
    "a size of a thousand digits": line("NarSize", "9" * 1000),
    "a size in words": line("NarSize", "many"),
    "a hash of MD5": line("NarHash", "md5:" + "0" * 32),
    "a hash that is short": line("NarHash", "sha256:" + "0" * 51),
    "a URL above": line("URL", "../../etc/passwd"),
    "a URL of another scheme": line("URL", "s3://bucket/nar/x"),
    "a URL of another host without a scheme": line("URL", "//elsewhere/nar/x"),
    "a URL elsewhere": line("URL", "file:///etc/passwd"),
    "a reference above": line("References", "../../etc/passwd"),
    "a reference that is none": line("References", "0" * 32),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "a control character": line("URL", "a\x1bb"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_narinfo_that_says(name: str, world: World) -> None:
    root = world.cache.add("bad-1", TREE, text=TEXTS[name])
    refused(world, FORMAT, rf"{root.hash}\.narinfo in http://127\.0\.0\.1:\d+: ", root)


def test_a_narinfo_that_is_not_utf_8(world: World) -> None:
    root = world.cache.add("bad-1", TREE)
    world.cache.narinfo_of(root).write_bytes(b"StorePath: \xff\n")
    refused(world, FORMAT, r"narinfo: got b'\\xff', expected UTF-8", root)


def test_a_narinfo_of_five_megabytes(world: World) -> None:
    root = world.cache.add("bad-1", TREE, text=lambda text: text + "X: " + "y" * (5 << 20) + "\n")
    refused(world, FORMAT, "got more than 4194304 bytes", root)


@pytest.mark.parametrize("name", ["other-1", "bad-2"])
def test_a_narinfo_of_another_path(name: str, world: World) -> None:
    root, other = world.cache.add("bad-1", TREE), world.cache.add(name, {b"y": factories.File(b"y")})
    os.replace(world.cache.narinfo_of(other), world.cache.narinfo_of(root))
    refused(world, INTEGRITY, rf"got the narinfo of {other}, expected one of {root.hash}", root)


def test_a_narinfo_of_the_same_hash_under_another_name(world: World) -> None:
    root = world.cache.add("bad-1", TREE)
    other = StorePath(root.base.replace("bad-1", "good-1"))
    refused(world, STORE, rf"{other}: got no such valid path in the store, expected it as a root", other)


@pytest.mark.parametrize("address", ["x", "fixed:r:sha256:x", "fixed:git:sha1:" + "0" * 40, "text:sha1:" + "0" * 32])
def test_a_content_address_of_no_kind_that_is_known_is_worth_nothing(address: str, world: World) -> None:
    """Newer Nix may know more of them; then there is a signature."""
    root = world.cache.add("bad-1", TREE, narinfo_fields={"address": address})
    assert world.machine.build(world.cache.url, root).code == 0
    other = world.cache.add("bad-2", TREE, narinfo_fields={"address": address, "signatures": ()})
    world.machine.image.unlink()
    refused(world, INTEGRITY, "got no signature, expected one of cache.nixos.org-1, cache.test-1", other)


# --- the graph


@pytest.mark.parametrize("length", [2, 3, 5])
def test_references_in_a_circle(length: int, world: World) -> None:
    names = [f"ring-{number}" for number in range(length)]
    paths = [
        world.cache.add(name, TREE, [factories.path(names[(number + 1) % length])]) for number, name in enumerate(names)
    ]
    root = world.cache.add("root-1", TREE, [paths[0], *paths[1:]])
    refused(world, INTEGRITY, "got a cycle of references, expected none", root)


def test_a_reference_to_nothing(world: World) -> None:
    inner = world.cache.add("inner-1", TREE, [factories.path("nothing-1")])
    root = world.cache.add("root-1", TREE, [inner])
    missing = factories.path("nothing-1")
    refused(
        world, STORE, f"{missing}: got no such valid path in the store, expected it as a reference of {inner}", root
    )


def test_a_thousand_references_to_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        opening.open_transport, "__defaults__", (DEFAULT_POLICY,)
    )  # they share this process with the server
    root = world.cache.add("root-1", TREE, [factories.path(f"nothing-{number}") for number in range(1_000)])
    refused(world, STORE, "got no such valid path in the store, expected it as a reference of", root)


def test_a_nar_that_is_missing_in_the_middle_of_a_closure(world: World) -> None:
    """What was whole stays, so that the next run need not fetch it; what is missing and all above it never came."""
    root = example(world.cache)
    leaf = world.cache.add("leaf-1", {b"l": factories.File(b"leaf")})
    middle = world.cache.add("middle-1", {b"m": factories.File(b"middle")}, [leaf])
    top = world.cache.add("top-1", {b"t": factories.File(b"top")}, [middle, root])
    before = check_store(world.machine.store)
    world.scripts[world.cache.narinfos[middle].url] = answer_404
    with serve_cache(world.cache.folder, world.scripts) as server:
        ran = world.machine.build(server.url, top)
        assert ran.code == STORE, ran.stderr
        assert re.search(rf"{middle} in {server.url}: .*got HTTP 404, expected the file", ran.stderr)
        assert before <= check_store(world.machine.store) <= before | {leaf}
        assert not world.machine.image.exists()
        server.scripts.clear()
        assert world.machine.build(server.url, top).code == 0
    assert check_store(world.machine.store) == before | {leaf, middle, top}


# --- a stream, and who waits for it


def test_a_stream_that_fails_is_no_image(world: World) -> None:
    good = world.cache.add("good-1", {b"g": factories.File(b"g" * 100_000)})
    bad = world.cache.add("bad-1", TREE, [good], file=b"noise")
    with serve_cache(world.cache.folder) as server:
        arguments = world.machine.arguments(server.url, bad)[3:]
        command = [*MODULE, "stream", *map(str, arguments)]
        ran = subprocess.run(command, env=world.machine.environment, capture_output=True, timeout=60, check=False)
    assert ran.returncode == FORMAT
    assert b"manifest.json" not in ran.stdout
    assert b"Traceback" not in ran.stderr


@pytest.fixture
def stuck(world: World) -> Iterator[tuple[CacheServer, StorePath]]:
    """A server that says nothing of the references of a path."""
    references = [world.cache.add(f"stuck-{number}", TREE) for number in range(5)]
    root = world.cache.add("root-1", TREE, references)
    world.scripts |= {f"{path.hash}.narinfo": send_nothing for path in references[1:]}
    with serve_cache(world.cache.folder, world.scripts) as server:
        yield server, root


def test_one_bad_answer_ends_the_wait_for_others(stuck: tuple[CacheServer, StorePath], world: World) -> None:
    server, root = stuck
    bad = next(path for path in world.cache.narinfos if path.name == "stuck-0")
    world.cache.sign(bad, OTHER)
    begun = time.monotonic()
    ran = world.machine.call(server.url, root)
    assert ran.code == INTEGRITY, ran.stderr
    assert time.monotonic() - begun < 10


def test_a_signal_ends_the_wait(stuck: tuple[CacheServer, StorePath], world: World) -> None:
    server, root = stuck
    command = [*MODULE, *map(str, world.machine.arguments(server.url, root))]
    with subprocess.Popen(command, env=world.machine.environment, stderr=subprocess.PIPE) as running:
        while len(server.asked) < 7:
            time.sleep(0.01)
        running.terminate()
        assert running.wait(10) == 143


# --- what a path without a signature says of its content


def test_a_nar_that_is_here_is_held_to_the_address_of_every_path_that_names_it(world: World) -> None:
    """Its hash says what it is, and not that it is what this path is to be."""
    evil: factories.Item = {b"evil": factories.File(b"evil")}
    here = world.cache.add("evil-1", evil)
    assert world.machine.build(world.cache.url, here).code == 0
    world.machine.image.unlink()
    known = world.cache.narinfos[here].info
    world.cache.key = None
    believed = {"nar_hash": known.nar_hash, "nar_size": known.nar_size}
    good: factories.Item = {b"good": factories.Link(SELF)}
    root = world.cache.add(
        "good-1", good, method=RECURSIVE, self_reference=True, file=dump_nar(evil), signed_fields=believed
    )
    refused(world, INTEGRITY, "got other content, expected that of fixed:r:sha256:", root)
