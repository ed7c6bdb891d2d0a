"""Channels and catalogues as stores: where a list comes from, how long it is cached, and warnings about its age."""

from __future__ import annotations

import bz2
import gzip
import http.server
import json
import lzma
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import lz4.frame
import pytest
from tests.support.fake_nix_store import store_path

from lamina.compression import libraries
from lamina.errors import Error, FormatError, InputError, InvalidArgument, NotFound, Unavailable
from lamina.stores.local.channel import CHANNELS, DAY, LIST, Channel, Opener, format_age, open_channel
from lamina.stores.transport import Transport
from lamina.transports.open import open_transport
from lamina.transports.retry import RetryPolicy, use_policy

HELLO, NEWER = store_path("hello-2.12.1"), store_path("hello-2.12.2")
OTHERS = [store_path(name) for name in ("glibc-2.40", "glibc-2.40-dev", "hello-2.12.1.drv")]
TEXT = "".join(f"{path}\n" for path in (HELLO, *OTHERS)).encode()
NEWER_TEXT = TEXT.replace(str(HELLO).encode(), str(NEWER).encode())
XZ = lzma.compress(TEXT, preset=0)
NOW = 1_800_000_000.0
QUICK_POLICY = RetryPolicy(attempts=1)


class Folder:
    """A small real reader of ``file://`` URLs."""

    def __init__(self, url: str) -> None:
        self.label = url.rpartition("@")[2].rstrip("/")
        self._path = Path(unquote(urlsplit(url).path))

    def read(self, name: str, limit: int) -> bytes | None:
        path = self._path / name
        if not path.is_file():
            return None
        data = path.read_bytes()
        if len(data) > limit:
            raise FormatError(path, got=f"{len(data)} bytes", expected=f"{limit} at most")
        return data

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        yield self.read(name, limit) or b""

    def close(self) -> None:
        pass


class Network:
    """Hosts whose files are in a folder; requests are recorded, and fail with ``error`` if that is set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.error: Error | None = None

    def open(self, url: str) -> Transport:
        network = self
        parts = urlsplit(url)

        class Remote(Folder):
            def read(self, name: str, limit: int) -> bytes | None:
                network.asked.append(f"{url}|{name}")
                if network.error:
                    raise network.error
                return super().read(name, limit)

        remote = Remote(f"file://{self.folder}/{parts.hostname}{parts.path}")
        remote.label = f"{parts.scheme}://{parts.hostname}{parts.path}".rstrip("/")
        return remote

    def put(self, url: str, data: bytes) -> None:
        parts = urlsplit(url)
        file = self.folder / f"{parts.hostname}{parts.path}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    found = Network(tmp_path / "hosts")
    found.put(f"{CHANNELS}/nixos-25.11/{LIST}", XZ)
    return found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def offline(url: str) -> Transport:
    raise AssertionError(url)


def open_list(where: str, opener: Opener = offline, cache: Path | None = None, at: float = NOW) -> Channel:
    return open_channel(where, opener, cache, offline=False, now=at)


def cached_files(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


# --- addresses


def test_a_channel_name_means_a_list_on_the_network(network: Network) -> None:
    channel = open_list("nixos-25.11", network.open)
    assert network.asked == ["https://channels.nixos.org/nixos-25.11/|store-paths.xz"]
    assert channel.find("hello") == (HELLO,)
    assert (channel.name, channel.age, channel.warnings) == ("nixos-25.11", 0.0, ())


@pytest.mark.parametrize(
    "name", ["nixos-unstable", "nixpkgs-unstable", "nixos-25.05-small", "nixpkgs-25.11-darwin", "nixos-24.11-aarch64"]
)
def test_other_channels_have_their_lists_there_too(network: Network, name: str) -> None:
    network.put(f"{CHANNELS}/{name}/{LIST}", XZ)
    assert open_list(name, network.open).find("hello") == (HELLO,)


@pytest.mark.parametrize(
    ("where", "asked"),
    [
        ("https://host/a", ["https://host/a|store-paths.xz"]),
        ("https://host/a/", ["https://host/a/|store-paths.xz"]),
        ("https://host/a/store-paths.xz", ["https://host/a/|store-paths.xz"]),
        ("https://host/a?key=1", ["https://host/a?key=1|store-paths.xz"]),
        ("https://host/a/store-paths.xz?key=1", ["https://host/a/?key=1|store-paths.xz"]),
        ("https://host/names", ["https://host/names|store-paths.xz", "https://host/|names"]),
        ("https://host", ["https://host|store-paths.xz"]),
        ("http://user:secret@host/a", ["http://user:secret@host/a|store-paths.xz"]),
    ],
)
def test_a_url_is_that_of_a_list_or_of_a_folder_with_one(network: Network, where: str, asked: list[str]) -> None:
    for url in (f"https://host/a/{LIST}", "https://host/names", f"https://host/{LIST}"):
        network.put(url, XZ)
    channel = open_list(where, network.open)
    assert network.asked == asked
    assert channel.find("hello") == (HELLO,)
    assert "secret" not in channel.name
    assert "key" not in channel.name


def test_a_missing_list_is_not_found(network: Network) -> None:
    with pytest.raises(NotFound, match="list of https://host/a: got nothing there"):
        open_list("https://user:secret@host/a", network.open)
    with pytest.raises(NotFound, match=r"list of nixos-24\.05: got nothing there"):
        open_list("nixos-24.05", network.open)


@pytest.mark.parametrize("opener", [Folder, open_transport])
@pytest.mark.parametrize("ending", ["", "/", f"/{LIST}"])
def test_a_folder_s_url_is_read_each_time_and_not_kept(
    tmp_path: Path, cache: Path, opener: Opener, ending: str
) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    where = f"file://{tmp_path}/a%20folder{ending}"
    for text, path in ((TEXT, HELLO), (NEWER_TEXT, NEWER)):
        (folder / LIST).write_bytes(lzma.compress(text, preset=0))
        channel = open_list(where, opener, cache)
        assert channel.find("hello") == (path,)
        assert (channel.age, channel.warnings) == (0.0, ())
    assert not cache.exists()
    assert open_channel(where, opener, None, offline=True, now=NOW).find("hello") == (NEWER,)


def test_a_list_at_the_root_has_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"list of file:///no-such-list\.xz: got nothing there"):
        open_list("file:///no-such-list.xz", open_transport)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": libraries.zstd().compress,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "lz4": lz4.frame.compress,
}


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("data", [TEXT, json.dumps({"hello": str(HELLO)}).encode()], ids=["list", "json"])
def test_the_compression_of_a_file_is_detected_by_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str, data: bytes
) -> None:
    (tmp_path / "names").write_bytes(COMPRESS[compression](data))
    monkeypatch.chdir(tmp_path)
    for where in (str(tmp_path / "names"), "names", "./names"):
        channel = open_list(where)
        assert channel.find("hello") == (HELLO,)
        assert (channel.name, channel.age, channel.warnings) == (where, 0.0, ())


@pytest.mark.parametrize("where", ["", "no-such", "./nixos-25.11", "a\0b", "/", "\ud800", "\x1b[2J"])
def test_a_name_that_is_no_channel_and_no_file_is_an_error(where: str) -> None:
    with pytest.raises(InputError, match=r"expected a channel such as nixos-25\.11, the URL") as caught:
        open_list(where)
    assert str(caught.value).isprintable()


def test_an_invalid_url_is_refused_before_anything_is_read(cache: Path) -> None:
    for where in ("gopher://host/list.xz", "https://"):
        with pytest.raises(InvalidArgument):
            open_list(where, open_transport, cache)


# --- caching


def test_within_a_day_no_request_is_sent_again(network: Network, cache: Path) -> None:
    assert open_list("nixos-25.11", network.open, cache).age == 0
    for later, age_text in ((0.0, "0 minutes"), (3601.0, "60 minutes"), (7201.0, "2 hours"), (DAY - 1, "23 hours")):
        channel = open_list("nixos-25.11", offline, cache, NOW + later)
        assert channel.find("hello") == (HELLO,)
        assert channel.age == pytest.approx(later, abs=0.01)
        assert channel.warnings == (f"list of nixos-25.11 is {age_text} old",)
    assert len(network.asked) == 1
    assert [file.read_bytes() for file in cached_files(cache)] == [XZ]


def test_after_a_day_the_list_is_requested_again(network: Network, cache: Path) -> None:
    open_list("nixos-25.11", network.open, cache)
    network.put(f"{CHANNELS}/nixos-25.11/{LIST}", lzma.compress(NEWER_TEXT))
    channel = open_list("nixos-25.11", network.open, cache, NOW + DAY)
    assert channel.find("hello") == (NEWER,)
    assert (channel.age, channel.warnings) == (0.0, ())
    assert open_list("nixos-25.11", offline, cache, NOW + DAY + 5).find("hello") == (NEWER,)


@pytest.mark.parametrize(
    ("age", "age_text"), [(DAY, "24 hours"), (DAY * 2 - 1, "47 hours"), (DAY * 2, "2 days"), (DAY * 3.9, "3 days")]
)
def test_a_cached_list_that_cannot_be_replaced_is_used_with_a_warning(
    network: Network, cache: Path, age: float, age_text: str
) -> None:
    open_list("nixos-25.11", network.open, cache)
    network.error = Unavailable("https://channels.nixos.org", got="no answer", expected="one")
    channel = open_list("nixos-25.11", network.open, cache, NOW + age)
    assert channel.find("hello") == (HELLO,)
    assert channel.age == pytest.approx(age, abs=0.01)
    assert channel.warnings == (f"list of nixos-25.11 is {age_text} old, and got no newer one: {network.error}",)
    assert format_age(age) == age_text


def test_a_broken_or_missing_newer_list_does_not_replace_the_cached_one(network: Network, cache: Path) -> None:
    open_list("nixos-25.11", network.open, cache)
    file = network.folder / f"channels.nixos.org/nixos-25.11/{LIST}"
    for data in (b"<!doctype html>", XZ[:-1], lzma.compress(b"hello\n")):
        file.write_bytes(data)
        channel = open_list("nixos-25.11", network.open, cache, NOW + DAY)
        assert channel.find("hello") == (HELLO,)
        assert len(channel.warnings) == 1
    file.unlink()
    assert "got nothing there" in open_list("nixos-25.11", network.open, cache, NOW + DAY).warnings[0]
    assert [file.read_bytes() for file in cached_files(cache)] == [XZ]


def test_offline_an_old_list_is_used(network: Network, cache: Path) -> None:
    open_list("nixos-25.11", network.open, cache)
    for age, age_text in ((DAY - 1, "23 hours"), (DAY * 3, "3 days")):
        channel = open_channel("nixos-25.11", offline, cache, offline=True, now=NOW + age)
        assert channel.find("hello") == (HELLO,)
        assert channel.warnings == (f"list of nixos-25.11 is {age_text} old",)


@pytest.mark.parametrize("has_cache", [True, False])
def test_offline_without_a_cached_list_the_error_has_a_hint(cache: Path, has_cache: bool) -> None:
    with pytest.raises(Unavailable, match=r"list of nixos-25\.11: got no cached list") as caught:
        open_channel("nixos-25.11", offline, cache if has_cache else None, offline=True, now=NOW)
    assert "--offline" in caught.value.hint
    assert not cache.exists()


def test_without_a_cached_list_the_error_is_that_of_the_network(network: Network, cache: Path) -> None:
    network.error = Unavailable("no network")
    with pytest.raises(Unavailable, match=r"^no network$"):
        open_list("nixos-25.11", network.open, cache)
    assert not cache.exists()


@pytest.mark.parametrize("data", [b"", b"garbage", XZ[:-1]])
def test_a_broken_cached_list_is_ignored(network: Network, cache: Path, data: bytes) -> None:
    open_list("nixos-25.11", network.open, cache)
    (file,) = cached_files(cache)
    file.write_bytes(data)
    os.utime(file, (NOW, NOW))
    assert open_list("nixos-25.11", network.open, cache).find("hello") == (HELLO,)
    assert file.read_bytes() == XZ


def test_a_list_from_the_future_is_requested_again(network: Network, cache: Path) -> None:
    open_list("nixos-25.11", network.open, cache, NOW + 1000 * DAY)
    assert open_list("nixos-25.11", network.open, cache).warnings == ()
    assert len(network.asked) == 2
    assert open_list("nixos-25.11", offline, cache, NOW - 5).age == 0


def test_each_url_has_its_own_cached_list(network: Network, cache: Path) -> None:
    network.put(f"https://host/a/{LIST}", XZ)
    network.put(f"https://host/b/{LIST}", lzma.compress(NEWER_TEXT))
    for _ in range(2):
        assert open_list("https://host/a", network.open, cache).find("hello") == (HELLO,)
        assert open_list("https://u:secret@host/b", network.open, cache).find("hello") == (NEWER,)
    assert len(network.asked) == 2
    assert len(cached_files(cache)) == 2
    assert all("secret" not in file.name and "host" not in file.name for file in cached_files(cache))


def test_a_list_that_cannot_be_cached_is_a_warning(network: Network, tmp_path: Path) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("no folder")
    channel = open_list("nixos-25.11", network.open, blocked)
    assert channel.find("hello") == (HELLO,)
    assert len(channel.warnings) == 1
    assert channel.warnings[0].startswith("list of nixos-25.11 could not be cached in ")


def test_a_list_that_could_not_be_cached_leaves_nothing(network: Network, cache: Path) -> None:
    open_list("nixos-25.11", network.open, cache)
    (file,) = cached_files(cache)
    file.unlink()
    file.mkdir()
    (file / "in the way").touch()
    assert open_list("nixos-25.11", network.open, cache).warnings
    assert cached_files(cache) == [file]


# --- invalid lists


@pytest.mark.parametrize("data", [b"", b"hello\n", b"{", XZ[:-1], b"\x1f\x8b", b"<html>"])
def test_a_file_that_is_not_a_list_is_named_in_the_error(tmp_path: Path, network: Network, data: bytes) -> None:
    (tmp_path / "list").write_bytes(data)
    with pytest.raises(FormatError, match=f"^list of {tmp_path}/list: "):
        open_list(str(tmp_path / "list"))
    network.put(f"{CHANNELS}/nixos-25.11/{LIST}", data)
    with pytest.raises(FormatError, match=r"^list of nixos-25\.11: "):
        open_list("nixos-25.11", network.open)


def test_a_list_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LIST).write_bytes(XZ)
    monkeypatch.setattr("lamina.stores.local.channel._MAX_TEXT", len(TEXT) - 1)
    with pytest.raises(FormatError, match=" B of text"):
        open_list(str(tmp_path / LIST))
    monkeypatch.setattr("lamina.stores.local.channel._MAX_BYTES", len(XZ) - 1)
    for where in (str(tmp_path / LIST), f"file://{tmp_path}"):
        with pytest.raises(FormatError, match=f"more than {len(XZ) - 1} B"):
            open_list(where, open_transport)


# --- as a store


def test_a_channel_is_a_store_without_contents(network: Network) -> None:
    channel = open_list("nixos-25.11", network.open)
    assert channel.query([HELLO]) == {}
    with pytest.raises(NotFound, match=r"got a list of names, nixos-25\.11, expected a store that has the contents"):
        channel.nodes(HELLO)
    assert channel.find("glibc^dev") == (OTHERS[1],)
    assert {HELLO.name, OTHERS[1].name} <= set(channel.names())
    assert not channel.hashes()
    assert not channel.with_hashes({HELLO.hash})


# --- over HTTP


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_list_is_downloaded_over_http_and_cached(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "channel").mkdir()
    (tmp_path / "channel" / LIST).write_bytes(XZ)

    def opener(url: str) -> Transport:
        with use_policy(QUICK_POLICY):
            return open_transport(url)

    with serve(tmp_path) as host:
        for where in (f"{host}/channel", f"{host}/channel/{LIST}"):
            assert open_list(where, opener, cache).find("hello") == (HELLO,)
        with pytest.raises(NotFound):
            open_list(f"{host}/nothing", opener, cache)
    old = open_list(f"{host}/channel", opener, cache, NOW + 3 * DAY)
    assert old.find("hello") == (HELLO,)
    assert old.warnings[0].startswith(f"list of {host}/channel is 3 days old, and got no newer one: ")


def test_a_list_may_have_windows_line_endings(tmp_path: Path) -> None:
    (tmp_path / LIST).write_bytes(lzma.compress(f"{HELLO}\r\n{OTHERS[0]}\r\n".encode()))
    assert open_list(str(tmp_path)).find("hello") == (HELLO,)
