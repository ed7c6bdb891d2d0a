"""Each fault of a hostile or broken binary cache causes a specific error, and no image is written.

The embedded store stays as it was before the run.
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
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import MODULE
from tests.support.processes import wait_until

from lamina.core.names import Digest, StorePath
from lamina.formats import nar
from lamina.formats.content_address import NAR as RECURSIVE
from lamina.transports.retry import RetryPolicy, use_policy

# One attack in many forms; the unit tests of each room have the rules.
pytestmark = pytest.mark.integration

# The real policy waits up to a minute, too long for a test; these times are a few hundred times shorter.
QUICK = RetryPolicy(
    connect_timeout=2, read_timeout=0.3, rate_window=0.6, attempts=2, initial_delay=0.01, max_delay=0.05
)
MESSAGE = r"lamina: [^\n]+: got [^\n]+, expected [^\n]+\n(hint: [^\n]+\n)?"
FORMAT, STORE, INTEGRITY = 3, 5, 6
TREE: factories.Item = {b"bin": {b"x": factories.File(b"#!/no\n" * 100, executable=True)}}


@dataclass
class HostileCase:
    """A cache, the scripts of its server, and a machine that has an embedded store already."""

    cache: Cache
    machine: Machine
    scripts: dict[str, Script] = field(default_factory=dict)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a machine whose embedded store has the paths of an honest cache."""
    folder = tmp_path_factory.mktemp("before")
    cache, machine = Cache(folder / "cache"), Machine(folder / "machine")
    machine.folder.mkdir()
    ran = machine.build(cache.url, example(cache))
    assert ran.code == 0, ran.stderr
    machine.image.unlink()
    return machine.folder


@pytest.fixture
def case(before: Path, tmp_path: Path) -> Iterator[HostileCase]:
    subprocess.run(["cp", "-a", before, tmp_path / "machine"], check=True)
    with use_policy(QUICK):
        yield HostileCase(Cache(tmp_path / "cache"), Machine(tmp_path / "machine"))


def check_refused(case: HostileCase, code: int, words: str, *roots: object, flags: tuple[str, ...] = ()) -> None:
    """Build an image of ``roots``; expect the error and neither an image nor a change of the store."""
    store = read_files(case.machine.store)
    with serve_cache(case.cache.folder, case.scripts) as server:
        ran = case.machine.build(server.url, *roots, flags=flags)
    last = "".join(line for line in ran.stderr.splitlines(keepends=True) if line.startswith(("lamina: ", "hint: ")))
    assert ran.code == code, ran.stderr
    assert re.fullmatch(MESSAGE, last), ran.stderr
    assert re.search(words, last), ran.stderr
    assert not ran.stdout
    assert not [name for name in os.listdir(case.machine.folder) if "image" in name]
    assert read_files(case.machine.store) == store
    assert not list_leftovers(case.machine.store)


# --- malformed NARs

T = nar.dump_strings
FILE = T(b"(", b"type", b"regular", b"contents", b"hi", b")")
LINK = T(b"(", b"type", b"symlink", b"target")


def dump_folder(*names: bytes, inner: bytes = FILE) -> bytes:
    """Return the NAR node of a folder with entries of these names."""
    entries = b"".join(T(b"entry", b"(", b"name", name, b"node") + inner + T(b")") for name in names)
    return T(b"(", b"type", b"directory") + entries + T(b")")


def dump_nested_folders(depth: int) -> bytes:
    """Return the NAR node of ``depth`` nested folders with a file in the innermost."""
    opened = T(b"(", b"type", b"directory", b"entry", b"(", b"name", b"d", b"node")
    return opened * depth + FILE + T(b")", b")") * depth


def dump_long_paths(depth: int, entries: int) -> bytes:
    """Return the NAR node of many entries below folders with long names, which make each entry's path long."""
    name = b"n" * 8000
    opened = T(b"(", b"type", b"directory", b"entry", b"(", b"name", name, b"node")
    return opened * depth + dump_folder(*(b"%08d" % number for number in range(entries))) + T(b")", b")") * depth


LENGTH_63, LENGTH_64 = (1 << 63).to_bytes(8, "little"), bytes([255] * 8)
ARCHIVES = {
    "a name with a slash": dump_folder(b"a/b"),
    "an absolute name": dump_folder(b"/etc/passwd"),
    "the folder above": dump_folder(b".."),
    "the folder itself": dump_folder(b"."),
    "an empty name": dump_folder(b""),
    "a NUL in a name": dump_folder(b"a\0b"),
    "an entry twice": dump_folder(b"a", b"a"),
    "entries out of order": dump_folder(b"b", b"a"),
    "entries out of order by case": dump_folder(b"a", b"B"),
    "10000 levels": dump_nested_folders(10_000),
    "1025 levels": dump_nested_folders(1025),
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
    "its half": dump_folder(b"a", b"b")[:-40],
    "nothing but its first word": b"",
    "paths of a hundred kilobytes": dump_long_paths(100, 50_000),
}


@pytest.mark.parametrize("name", mark_rest(ARCHIVES, 13))
@pytest.mark.parametrize("compression", mark_rest(["none", "xz"], 1))
def test_a_malformed_nar_is_refused(name: str, compression: str, case: HostileCase) -> None:
    archive = T(nar.MAGIC) + ARCHIVES[name]
    root = case.cache.add("bad-1", {}, archive=archive, compression=compression)
    begun = time.process_time()
    check_refused(case, FORMAT, r"/nix/store/\w+-bad-1 in http://127\.0\.0\.1:\d+: NAR at byte \d+: got ", root)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("depth", mark_rest([64, 1024], 1))
def test_folders_nest_up_to_the_limit(depth: int, case: HostileCase) -> None:
    root = case.cache.add("deep-1", {}, archive=T(nar.MAGIC) + dump_nested_folders(depth))
    ran = case.machine.build(case.cache.url, root)
    assert ran.code == 0, ran.stderr
    assert root in check_store(case.machine.store)


# --- compressed files


def add_with_file(case: HostileCase, content: bytes, compression: str = "none") -> StorePath:
    """Add a path to the cache whose compressed NAR is the file ``content``."""
    return case.cache.add("bad-1", TREE, file=content, compression=compression)


NAR = dump_nar(TREE)


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_a_truncated_file_is_refused(compression: str, case: HostileCase) -> None:
    whole = COMPRESSORS[compression](NAR)
    code = INTEGRITY if compression == "none" else FORMAT
    check_refused(
        case, code, "bad-1 in http://127.0.0.1", add_with_file(case, whole[: len(whole) * 2 // 3], compression)
    )


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_an_empty_file_is_refused(compression: str, case: HostileCase) -> None:
    code = INTEGRITY if compression == "none" else FORMAT
    check_refused(case, code, "bad-1 in http://127.0.0.1", add_with_file(case, b"", compression))


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_a_file_of_noise_is_refused(compression: str, case: HostileCase) -> None:
    noise = (b"\xff\xfe noise" * len(NAR))[: len(NAR)]
    code = INTEGRITY if compression == "none" else FORMAT
    check_refused(case, code, "bad-1 in http://127.0.0.1", add_with_file(case, noise, compression))


def test_an_unknown_compression_is_refused(case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE, narinfo_fields={"compression": "zip"})
    check_refused(case, FORMAT, "compression: got 'zip', expected one of none, ", root)


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_another_content_of_the_same_size_is_refused(compression: str, case: HostileCase) -> None:
    other = NAR.replace(b"#!/no", b"#!/ok")
    root = add_with_file(case, COMPRESSORS[compression](other), compression)
    check_refused(case, INTEGRITY, "got a NAR with hash sha256:[0-9a-f]{64}, expected sha256:", root)


@pytest.mark.parametrize("more", [-8, -1, 1, 8, 1 << 40])
def test_a_wrong_nar_size_is_refused(more: int, case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE, signed_fields={"nar_size": len(NAR) + more})
    check_refused(case, INTEGRITY, rf"got a NAR of .*bytes, expected {len(NAR) + more}", root)


def test_a_wrong_nar_hash_is_refused(case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE, signed_fields={"nar_hash": Digest(bytes(32))})
    check_refused(case, INTEGRITY, "got a NAR with hash sha256:", root)


@pytest.mark.parametrize("fields", [{"file_size": 100}, {"file_size": 1 << 40}, {"file_hash": Digest(bytes(32))}])
@pytest.mark.parametrize("compression", ["none", "xz"])
def test_a_wrong_file_size_or_file_hash_is_ignored_because_no_signature_covers_it(
    fields: dict[str, Any], compression: str, case: HostileCase
) -> None:
    """Pull-through caches serve a NAR uncompressed and keep the size and hash of the compressed file."""
    root = case.cache.add("good-1", TREE, narinfo_fields=fields, compression=compression)
    with serve_cache(case.cache.folder) as server:
        ran = case.machine.build(server.url, root)
    assert ran.code == 0, ran.stderr
    assert root in check_store(case.machine.store)


def test_a_file_larger_than_a_nar_of_that_size_can_be_is_refused(case: HostileCase) -> None:
    root = add_with_file(case, NAR + bytes(1 << 20))
    check_refused(case, FORMAT, r"got more than \S+ \w+, expected a smaller file", root)


def compress_zeros(compression: str, size: int) -> bytes:
    """Return ``size`` zeros, compressed in several streams, because one long stream takes the compressor too long."""
    portion = min(size, 1 << 24)
    if compression == "br":
        return bytes(brotli.compress(bytes(size), quality=1))
    return COMPRESSORS[compression](bytes(portion)) * (size // portion)


@pytest.mark.parametrize("compression", mark_rest(sorted(COMPRESSORS.keys() - {"none"}), 3))
def test_a_decompression_bomb_is_refused_at_once(compression: str, case: HostileCase) -> None:
    # gzip and lz4 compress to a thousandth at best, and the file must not exceed the limit on its own size.
    root = add_with_file(
        case, compress_zeros(compression, 1 << 23 if compression in ("gzip", "lz4") else 1 << 28), compression
    )
    begun = time.process_time()
    check_refused(case, INTEGRITY, rf"got a NAR of more than {len(NAR)} bytes, expected {len(NAR)} bytes", root)
    assert time.process_time() - begun < 2


HEAD = T(nar.MAGIC, b"(", b"type", b"regular", b"contents")


def measure_memory(case: HostileCase, server: CacheServer, root: StorePath) -> tuple[int, int]:
    """Run a build in a process of its own, and return its exit code and its peak memory in KiB."""
    command = [*MODULE, *map(str, case.machine.arguments(server.url, root))]
    with subprocess.Popen(command, env=case.machine.environment, stderr=subprocess.DEVNULL) as running:
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    return running.returncode, usage.ru_maxrss // (1024 if sys.platform == "darwin" else 1)


@pytest.mark.integration
@pytest.mark.parametrize("compression", ["zstd", "xz", "bzip2", "br"])
def test_a_decompression_bomb_takes_no_memory(compression: str, case: HostileCase) -> None:
    good, size = case.cache.add("good-1", TREE), 1 << 27
    content = compress_zeros(compression, size)
    root = add_with_file(case, content, compression)
    # The narinfo has the true size, so that the NAR is read to its end.
    case.cache.change(root, info=replace(case.cache.narinfos[root].info, nar_size=size))
    case.cache.sign(root, KEY)
    with serve_cache(case.cache.folder) as server:
        code, usual = measure_memory(case, server, good)
        assert code == 0
        code, found = measure_memory(case, server, root)
    assert code == INTEGRITY
    assert found - usual < 48 << 10
    assert not list_leftovers(case.machine.store)


# Empty streams, of which a file may contain any number.
EMPTY_STREAMS = {
    "zstd": b"\x50\x2a\x4d\x18\0\0\0\0" * 8192,
    "lz4": COMPRESSORS["lz4"](b"") * 4096,
    "gzip": COMPRESSORS["gzip"](b"") * 1024,
    "bzip2": COMPRESSORS["bzip2"](b"") * 1024,
    "xz": COMPRESSORS["xz"](b"") * 1024,
}


@pytest.mark.parametrize("size", mark_rest([None, 1 << 62], 1))
@pytest.mark.parametrize("compression", EMPTY_STREAMS)
def test_an_endless_file_of_empty_streams_is_refused(compression: str, size: int | None, case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE, compression=compression, narinfo_fields={"file_size": size})
    case.scripts["nar/.*"] = send_forever(piece=EMPTY_STREAMS[compression])
    check_refused(case, FORMAT, r"got more than \S+ \w+, expected a smaller file", root)


@pytest.mark.parametrize("compression", ["none", "xz"])
def test_an_endless_nar_is_refused(compression: str, case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE, compression=compression, narinfo_fields={"file_size": 1 << 62})
    start = NAR if compression == "none" else COMPRESSORS["xz"](NAR)
    case.scripts["nar/.*"] = send_forever(start)
    check_refused(case, INTEGRITY if compression == "none" else FORMAT, "bad-1 in http://", root)


# --- HTTP responses


@pytest.mark.parametrize(
    "script", [send_slowly(500), send_nothing, cut_short(b"StorePath", 500)], ids=["trickle", "silent", "cut"]
)
@pytest.mark.parametrize("pattern", mark_rest([CACHE_INFO, r".*\.narinfo", "nar/.*"], 1))
def test_a_slow_server_is_given_up(pattern: str, script: Script, case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE, compression="none")
    case.scripts[pattern] = script
    check_refused(case, STORE, r"in a row, expected the whole file|less than 32\.0 KiB, expected a faster server", root)


@pytest.mark.parametrize("status", [400, 403, 404, 418, 429, 500, 503])
@pytest.mark.parametrize("pattern", mark_rest([CACHE_INFO, r".*\.narinfo", "nar/.*"], 1))
def test_an_http_error_is_reported(pattern: str, status: int, case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE)
    case.scripts[pattern] = lambda asked: asked.answer(status)
    check_refused(case, STORE, "http://127.0.0.1|got no such valid path", root)


def redirect_to_itself(asked: Any) -> None:
    """Redirect a request to itself."""
    asked.answer(302, Location=asked.path)


@pytest.mark.parametrize("pattern", [CACHE_INFO, r".*\.narinfo", "nar/.*"])
def test_redirects_in_a_circle_are_refused(pattern: str, case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE)
    case.scripts[pattern] = redirect_to_itself
    check_refused(case, STORE, "got more than 10 redirects", root)


@pytest.mark.parametrize("pattern", [CACHE_INFO, r".*\.narinfo"])
def test_an_endless_response_is_refused(pattern: str, case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE)
    case.scripts[pattern] = send_forever(b"StorePath: ", b"x" * 65536)
    check_refused(case, FORMAT, r"got more than \S+ \w+, expected a smaller file", root)


def test_a_server_that_is_down_is_reported(case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE)
    with serve_cache(case.cache.folder) as server:
        url = server.url
    ran = case.machine.build(url, root)
    assert ran.code == STORE
    assert not case.machine.image.exists()


# --- nix-cache-info

CACHE_INFOS: Mapping[str, tuple[bytes, int, str]] = {
    "nothing of a store": (b"", 0, ""),
    "another store": (b"StoreDir: /gnu/store\n", STORE, "got a cache for /gnu/store, expected one for /nix/store"),
    "noise": (b"\xff\xfe\0noise", FORMAT, "expected UTF-8"),
    "a page": (b"<!doctype html>\n<title>Welcome</title>\n", FORMAT, "nix-cache-info line 1: got "),
    "a relative store": (b"StoreDir: nix/store\n", FORMAT, "expected an absolute path"),
    "two stores": (b"StoreDir: /nix/store\nStoreDir: /nix/store\n", FORMAT, "got a second StoreDir"),
    "a megabyte": (b"\n" * (1 << 20), FORMAT, r"got more than 64\.0 KiB"),
}


@pytest.mark.parametrize("name", CACHE_INFOS)
def test_an_unsuitable_nix_cache_info_is_refused(name: str, case: HostileCase) -> None:
    root = case.cache.add("x-1", TREE)
    content, code, words = CACHE_INFOS[name]
    (case.cache.folder / CACHE_INFO).write_bytes(content)
    if code:
        check_refused(case, code, words, root)
    else:
        assert case.machine.build(case.cache.url, root).code == 0


def test_a_cache_without_nix_cache_info_is_refused(case: HostileCase) -> None:
    root = case.cache.add("x-1", TREE)
    (case.cache.folder / CACHE_INFO).unlink()
    check_refused(case, STORE, "got no nix-cache-info there, expected a binary cache", root)


# --- narinfos


def replace_line(key: str, value: str) -> Callable[[str], str]:
    """Return a function that replaces the value of ``key`` in a narinfo."""
    return lambda text: re.sub(f"(?m)^{key}: .*$", lambda _: f"{key}: {value}", text)


def remove_line(key: str) -> Callable[[str], str]:
    """Return a function that removes the line of ``key`` from a narinfo."""
    return lambda text: re.sub(f"(?m)^{key}: .*\n", "", text)


TEXTS: Mapping[str, Callable[[str], str]] = {
    "nothing": lambda text: "",
    "noise": lambda text: "\0\1\2" * 100,
    "a page": lambda text: "<!doctype html>\n<title>Not found</title>\n",
    "its half": lambda text: text[:100],
    "no path": remove_line("StorePath"),
    "no URL": remove_line("URL"),
    "no hash": remove_line("NarHash"),
    "no size": remove_line("NarSize"),
    "two paths": lambda text: text + text.splitlines()[0] + "\n",
    "a path in another store": replace_line("StorePath", "/gnu/store/" + "0" * 32 + "-x"),
    "a path within a path": lambda text: re.sub("(?m)^(StorePath: .*)$", r"\1/bin", text),
    "a size below zero": replace_line("NarSize", "-1"),
    "no bytes": replace_line("NarSize", "0"),
    "a size of 2^63": replace_line("NarSize", str(1 << 63)),
    "a size of a thousand digits": replace_line("NarSize", "9" * 1000),
    "a size in words": replace_line("NarSize", "many"),
    "a hash of MD5": replace_line("NarHash", "md5:" + "0" * 32),
    "a hash that is short": replace_line("NarHash", "sha256:" + "0" * 51),
    "a URL above": replace_line("URL", "../../etc/passwd"),
    "a URL of another scheme": replace_line("URL", "s3://bucket/nar/x"),
    "a URL of another host without a scheme": replace_line("URL", "//elsewhere/nar/x"),
    "a URL elsewhere": replace_line("URL", "file:///etc/passwd"),
    "a reference above": replace_line("References", "../../etc/passwd"),
    "a reference that is none": replace_line("References", "0" * 32),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "a control character": replace_line("URL", "a\x1bb"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_malformed_narinfo_is_refused(name: str, case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE, text=TEXTS[name])
    check_refused(case, FORMAT, rf"{root.hash}\.narinfo in http://127\.0\.0\.1:\d+: ", root)


def test_a_narinfo_that_is_not_utf_8_is_refused(case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE)
    case.cache.narinfo_of(root).write_bytes(b"StorePath: \xff\n")
    check_refused(case, FORMAT, r"narinfo: got b'\\xff', expected UTF-8", root)


def test_a_narinfo_of_five_megabytes_is_refused(case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE, text=lambda text: text + "X: " + "y" * (5 << 20) + "\n")
    check_refused(case, FORMAT, r"got more than 4\.0 MiB", root)


@pytest.mark.parametrize("name", ["other-1", "bad-2"])
def test_the_narinfo_of_another_path_is_refused(name: str, case: HostileCase) -> None:
    root, other = case.cache.add("bad-1", TREE), case.cache.add(name, {b"y": factories.File(b"y")})
    os.replace(case.cache.narinfo_of(other), case.cache.narinfo_of(root))
    check_refused(case, INTEGRITY, rf"got the narinfo of {other}, expected one of {root.hash}", root)


def test_a_narinfo_of_the_same_hash_but_another_name_is_not_a_match(case: HostileCase) -> None:
    root = case.cache.add("bad-1", TREE)
    other = StorePath(root.base.replace("bad-1", "good-1"))
    check_refused(case, STORE, rf"{other}: got no such valid path in the store, expected one that was built", other)


@pytest.mark.parametrize("address", ["x", "fixed:r:sha256:x", "fixed:git:sha1:" + "0" * 40, "text:sha1:" + "0" * 32])
def test_a_content_address_of_an_unknown_kind_is_ignored(address: str, case: HostileCase) -> None:
    """A newer Nix may know other kinds. Such a path is accepted with a signature only."""
    root = case.cache.add("bad-1", TREE, narinfo_fields={"address": address})
    assert case.machine.build(case.cache.url, root).code == 0
    other = case.cache.add("bad-2", TREE, narinfo_fields={"address": address, "signatures": ()})
    case.machine.image.unlink()
    check_refused(case, INTEGRITY, "got no signature, expected a signature of cache.nixos.org-1, cache.test-1", other)


# --- the references


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_cycle_of_references_is_refused(length: int, case: HostileCase) -> None:
    names = [f"ring-{number}" for number in range(length)]
    paths = [
        case.cache.add(name, TREE, [factories.path(names[(number + 1) % length])]) for number, name in enumerate(names)
    ]
    root = case.cache.add("root-1", TREE, [paths[0], *paths[1:]])
    check_refused(case, INTEGRITY, "got a cycle of references, expected none", root)


def test_a_missing_reference_is_refused(case: HostileCase) -> None:
    inner = case.cache.add("inner-1", TREE, [factories.path("nothing-1")])
    root = case.cache.add("root-1", TREE, [inner])
    missing = factories.path("nothing-1")
    check_refused(
        case, STORE, f"{missing}: got no such valid path in the store, expected it, because {inner} refers to it", root
    )


@pytest.mark.integration
def test_a_thousand_missing_references_are_refused(case: HostileCase) -> None:
    root = case.cache.add("root-1", TREE, [factories.path(f"nothing-{number}") for number in range(1_000)])
    # The requests share this process with the server, which makes it too slow for the short times.
    with use_policy(RetryPolicy()):
        check_refused(case, STORE, "got no such valid path in the store, expected it, because", root)


def test_a_missing_nar_in_the_middle_of_a_closure_is_an_error(case: HostileCase) -> None:
    """Complete paths stay in the store for the next run. The path without a NAR and its referrers are not added."""
    root = example(case.cache)
    leaf = case.cache.add("leaf-1", {b"l": factories.File(b"leaf")})
    middle = case.cache.add("middle-1", {b"m": factories.File(b"middle")}, [leaf])
    top = case.cache.add("top-1", {b"t": factories.File(b"top")}, [middle, root])
    before = check_store(case.machine.store)
    case.scripts[case.cache.narinfos[middle].url] = answer_404
    with serve_cache(case.cache.folder, case.scripts) as server:
        ran = case.machine.build(server.url, top)
        assert ran.code == STORE, ran.stderr
        assert re.search(rf"{middle} in {server.url}: .*got HTTP 404, expected the file", ran.stderr)
        assert before <= check_store(case.machine.store) <= before | {leaf}
        assert not case.machine.image.exists()
        server.scripts.clear()
        assert case.machine.build(server.url, top).code == 0
    assert check_store(case.machine.store) == before | {leaf, middle, top}


# --- a stream, and waiting for servers


def test_a_stream_that_fails_has_no_manifest(case: HostileCase) -> None:
    good = case.cache.add("good-1", {b"g": factories.File(b"g" * 100_000)})
    bad = case.cache.add("bad-1", TREE, [good], file=b"noise")
    with serve_cache(case.cache.folder) as server:
        arguments = case.machine.arguments(server.url, bad)[3:]
        command = [*MODULE, "stream", *map(str, arguments)]
        ran = subprocess.run(command, env=case.machine.environment, capture_output=True, timeout=240, check=False)
    assert ran.returncode == FORMAT
    assert b"manifest.json" not in ran.stdout
    assert b"Traceback" not in ran.stderr


@pytest.fixture
def stuck(case: HostileCase) -> Iterator[tuple[CacheServer, StorePath]]:
    """A server that never answers for the references of a path."""
    references = [case.cache.add(f"stuck-{number}", TREE) for number in range(5)]
    root = case.cache.add("root-1", TREE, references)
    case.scripts |= {f"{path.hash}.narinfo": send_nothing for path in references[1:]}
    with serve_cache(case.cache.folder, case.scripts) as server:
        yield server, root


def test_one_bad_response_ends_the_wait_for_others(stuck: tuple[CacheServer, StorePath], case: HostileCase) -> None:
    server, root = stuck
    bad = next(path for path in case.cache.narinfos if path.name == "stuck-0")
    case.cache.sign(bad, OTHER)
    begun = time.monotonic()
    ran = case.machine.call(server.url, root)
    assert ran.code == INTEGRITY, ran.stderr
    assert time.monotonic() - begun < 25, "less than the stuck server takes"


def test_a_signal_ends_the_wait(stuck: tuple[CacheServer, StorePath], case: HostileCase) -> None:
    server, root = stuck
    command = [*MODULE, *map(str, case.machine.arguments(server.url, root))]
    with subprocess.Popen(command, env=case.machine.environment, stderr=subprocess.PIPE) as running:
        wait_until(lambda: len(server.asked) == 7)
        running.terminate()
        assert running.wait(60) == 143


# --- content addresses


def test_a_nar_already_in_the_store_is_checked_against_the_content_address_of_each_path(
    case: HostileCase,
) -> None:
    """The NAR hash identifies the content, but does not prove that the content belongs to this path."""
    evil: factories.Item = {b"evil": factories.File(b"evil")}
    here = case.cache.add("evil-1", evil)
    assert case.machine.build(case.cache.url, here).code == 0
    case.machine.image.unlink()
    known = case.cache.narinfos[here].info
    case.cache.key = None
    believed = {"nar_hash": known.nar_hash, "nar_size": known.nar_size}
    good: factories.Item = {b"good": factories.Link(SELF)}
    root = case.cache.add(
        "good-1", good, method=RECURSIVE, self_reference=True, file=dump_nar(evil), signed_fields=believed
    )
    check_refused(case, INTEGRITY, "got other content, expected content that matches fixed:r:sha256:", root)
