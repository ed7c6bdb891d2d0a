"""Channels and catalogues as stores: where a list comes from, how long it is kept, and what is said of an old one."""

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
from lamina.errors import Error, FormatError, InvalidArgument, NotFound, Unavailable
from lamina.stores.local.channel import CHANNELS, DAY, LIST, Channel, ChannelReader, Opener, format_age, open_channel
from lamina.stores.protocols import PathIndex, Store
from lamina.transports.open import open_transport
from lamina.transports.retry import RetryPolicy

HELLO, NEWER = store_path("hello-2.12.1"), store_path("hello-2.12.2")
OTHERS = [store_path(name) for name in ("glibc-2.40", "glibc-2.40-dev", "hello-2.12.1.drv")]
TEXT = "".join(f"{path}\n" for path in (HELLO, *OTHERS)).encode()
NEWER_TEXT = TEXT.replace(str(HELLO).encode(), str(NEWER).encode())
XZ = lzma.compress(TEXT, preset=0)
NOW = 1_800_000_000.0
QUICK_POLICY = RetryPolicy(attempts=1)


class Folder:
    """A real, tiny reader of ``file://``."""

    def __init__(self, url: str) -> None:
        self.label = url.rpartition("@")[2].rstrip("/")
        self._path = Path(unquote(urlsplit(url).path))

    def read(self, name: str, limit: int) -> bytes | None:
        path = self._path / name
        if not path.is_file():
            return None
        data = path.read_bytes()
        if len(data) > limit:
            raise FormatError(f"{path}: got {len(data)} bytes, expected {limit} at most")
        return data

    def close(self) -> None:
        pass


class Network:
    """Hosts whose files lie in a folder, and which may be out of reach; it counts what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.error: Error | None = None

    def open(self, url: str) -> ChannelReader:
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


def offline(url: str) -> ChannelReader:
    raise AssertionError(url)


def opened(where: str, opener: Opener = offline, cache: Path | None = None, at: float = NOW) -> Channel:
    return open_channel(where, opener, cache, offline=False, now=at)


def kept(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


# --- where


def test_a_channel_s_name_is_a_list_on_the_network(network: Network) -> None:
    channel = opened("nixos-25.11", network.open)
    assert network.asked == ["https://channels.nixos.org/nixos-25.11/|store-paths.xz"]
    assert channel.find("hello") == (HELLO,)
    assert (channel.name, channel.age, channel.warnings) == ("nixos-25.11", 0.0, ())


@pytest.mark.parametrize(
    "name", ["nixos-unstable", "nixpkgs-unstable", "nixos-25.05-small", "nixpkgs-25.11-darwin", "nixos-24.11-aarch64"]
)
def test_other_channels_are_named_likewise(network: Network, name: str) -> None:
    network.put(f"{CHANNELS}/{name}/{LIST}", XZ)
    assert opened(name, network.open).find("hello") == (HELLO,)


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
    channel = opened(where, network.open)
    assert network.asked == asked
    assert channel.find("hello") == (HELLO,)
    assert "secret" not in channel.name
    assert "key" not in channel.name


def test_where_there_is_no_list_it_is_not_found(network: Network) -> None:
    with pytest.raises(NotFound, match="list of https://host/a: got nothing there"):
        opened("https://user:secret@host/a", network.open)
    with pytest.raises(NotFound, match=r"list of nixos-24\.05: got nothing there"):
        opened("nixos-24.05", network.open)


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
        channel = opened(where, opener, cache)
        assert channel.find("hello") == (path,)
        assert (channel.age, channel.warnings) == (0.0, ())
    assert not cache.exists()
    assert open_channel(where, opener, None, offline=True, now=NOW).find("hello") == (NEWER,)


def test_a_list_at_the_root_has_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"list of file:///no-such-list\.xz: got nothing there"):
        opened("file:///no-such-list.xz", open_transport)


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
def test_a_file_is_told_by_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str, data: bytes
) -> None:
    (tmp_path / "names").write_bytes(COMPRESS[compression](data))
    monkeypatch.chdir(tmp_path)
    for where in (str(tmp_path / "names"), "names", "./names"):
        channel = opened(where)
        assert channel.find("hello") == (HELLO,)
        assert (channel.name, channel.age, channel.warnings) == (where, 0.0, ())


@pytest.mark.parametrize("where", ["", "no-such", "./nixos-25.11", "a\0b", "/", "\ud800", "\x1b[2J"])
def test_what_is_none_of_them_is_unavailable(where: str) -> None:
    with pytest.raises(Unavailable, match=r"expected a channel such as nixos-25\.11, the URL") as caught:
        opened(where)
    assert str(caught.value).isprintable()


def test_a_url_that_cannot_be_is_refused_before_anything_is_read(cache: Path) -> None:
    for where in ("gopher://host/list.xz", "https://"):
        with pytest.raises(InvalidArgument):
            opened(where, open_transport, cache)


# --- how long


def test_within_a_day_nobody_is_asked_again(network: Network, cache: Path) -> None:
    assert opened("nixos-25.11", network.open, cache).age == 0
    for later, said in ((0.0, "0 minutes"), (3601.0, "60 minutes"), (7201.0, "2 hours"), (DAY - 1, "23 hours")):
        channel = opened("nixos-25.11", offline, cache, NOW + later)
        assert channel.find("hello") == (HELLO,)
        assert channel.age == pytest.approx(later, abs=0.01)
        assert channel.warnings == (f"list of nixos-25.11 is {said} old",)
    assert len(network.asked) == 1
    assert [file.read_bytes() for file in kept(cache)] == [XZ]


def test_after_a_day_it_is_asked_for_again(network: Network, cache: Path) -> None:
    opened("nixos-25.11", network.open, cache)
    network.put(f"{CHANNELS}/nixos-25.11/{LIST}", lzma.compress(NEWER_TEXT))
    channel = opened("nixos-25.11", network.open, cache, NOW + DAY)
    assert channel.find("hello") == (NEWER,)
    assert (channel.age, channel.warnings) == (0.0, ())
    assert opened("nixos-25.11", offline, cache, NOW + DAY + 5).find("hello") == (NEWER,)


@pytest.mark.parametrize(
    ("age", "said"), [(DAY, "24 hours"), (DAY * 2 - 1, "47 hours"), (DAY * 2, "2 days"), (DAY * 3.9, "3 days")]
)
def test_where_there_is_no_newer_one_the_old_one_says_its_age(
    network: Network, cache: Path, age: float, said: str
) -> None:
    opened("nixos-25.11", network.open, cache)
    network.error = Unavailable("https://channels.nixos.org: got no answer, expected one")
    channel = opened("nixos-25.11", network.open, cache, NOW + age)
    assert channel.find("hello") == (HELLO,)
    assert channel.age == pytest.approx(age, abs=0.01)
    assert channel.warnings == (f"list of nixos-25.11 is {said} old, and got no newer one: {network.error}",)
    assert format_age(age) == said


def test_a_newer_one_that_is_broken_or_gone_does_not_replace_the_old_one(network: Network, cache: Path) -> None:
    opened("nixos-25.11", network.open, cache)
    file = network.folder / f"channels.nixos.org/nixos-25.11/{LIST}"
    for data in (b"<!doctype html>", XZ[:-1], lzma.compress(b"hello\n")):
        file.write_bytes(data)
        channel = opened("nixos-25.11", network.open, cache, NOW + DAY)
        assert channel.find("hello") == (HELLO,)
        assert len(channel.warnings) == 1
    file.unlink()
    assert "got nothing there" in opened("nixos-25.11", network.open, cache, NOW + DAY).warnings[0]
    assert [file.read_bytes() for file in kept(cache)] == [XZ]


def test_offline_an_old_one_will_do(network: Network, cache: Path) -> None:
    opened("nixos-25.11", network.open, cache)
    for age, said in ((DAY - 1, "23 hours"), (DAY * 3, "3 days")):
        channel = open_channel("nixos-25.11", offline, cache, offline=True, now=NOW + age)
        assert channel.find("hello") == (HELLO,)
        assert channel.warnings == (f"list of nixos-25.11 is {said} old",)


@pytest.mark.parametrize("has_cache", [True, False])
def test_offline_without_one_says_what_would_help(cache: Path, has_cache: bool) -> None:
    with pytest.raises(Unavailable, match=r"list of nixos-25\.11: got none that was kept") as caught:
        open_channel("nixos-25.11", offline, cache if has_cache else None, offline=True, now=NOW)
    assert "--offline" in caught.value.hint
    assert not cache.exists()


def test_without_an_old_one_the_error_is_the_network_s(network: Network, cache: Path) -> None:
    network.error = Unavailable("no network")
    with pytest.raises(Unavailable, match=r"^no network$"):
        opened("nixos-25.11", network.open, cache)
    assert not cache.exists()


@pytest.mark.parametrize("data", [b"", b"garbage", XZ[:-1]])
def test_a_kept_list_that_is_broken_is_as_if_it_were_not_there(network: Network, cache: Path, data: bytes) -> None:
    opened("nixos-25.11", network.open, cache)
    (file,) = kept(cache)
    file.write_bytes(data)
    os.utime(file, (NOW, NOW))
    assert opened("nixos-25.11", network.open, cache).find("hello") == (HELLO,)
    assert file.read_bytes() == XZ


def test_a_list_from_the_future_is_asked_for_again(network: Network, cache: Path) -> None:
    opened("nixos-25.11", network.open, cache, NOW + 1000 * DAY)
    assert opened("nixos-25.11", network.open, cache).warnings == ()
    assert len(network.asked) == 2
    assert opened("nixos-25.11", offline, cache, NOW - 5).age == 0


def test_each_url_keeps_a_list_of_its_own(network: Network, cache: Path) -> None:
    network.put(f"https://host/a/{LIST}", XZ)
    network.put(f"https://host/b/{LIST}", lzma.compress(NEWER_TEXT))
    for _ in range(2):
        assert opened("https://host/a", network.open, cache).find("hello") == (HELLO,)
        assert opened("https://u:secret@host/b", network.open, cache).find("hello") == (NEWER,)
    assert len(network.asked) == 2
    assert len(kept(cache)) == 2
    assert all("secret" not in file.name and "host" not in file.name for file in kept(cache))


def test_where_it_cannot_be_kept_there_is_a_warning(network: Network, tmp_path: Path) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("no folder")
    channel = opened("nixos-25.11", network.open, blocked)
    assert channel.find("hello") == (HELLO,)
    assert len(channel.warnings) == 1
    assert channel.warnings[0].startswith("list of nixos-25.11 could not be kept in ")


def test_a_list_that_could_not_be_kept_leaves_nothing(network: Network, cache: Path) -> None:
    opened("nixos-25.11", network.open, cache)
    (file,) = kept(cache)
    file.unlink()
    file.mkdir()
    (file / "in the way").touch()
    assert opened("nixos-25.11", network.open, cache).warnings
    assert kept(cache) == [file]


# --- garbage


@pytest.mark.parametrize("data", [b"", b"hello\n", b"{", XZ[:-1], b"\x1f\x8b", b"<html>"])
def test_what_is_no_list_is_named(tmp_path: Path, network: Network, data: bytes) -> None:
    (tmp_path / "list").write_bytes(data)
    with pytest.raises(FormatError, match=f"^list of {tmp_path}/list: "):
        opened(str(tmp_path / "list"))
    network.put(f"{CHANNELS}/nixos-25.11/{LIST}", data)
    with pytest.raises(FormatError, match=r"^list of nixos-25\.11: "):
        opened("nixos-25.11", network.open)


def test_a_list_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LIST).write_bytes(XZ)
    monkeypatch.setattr("lamina.stores.local.channel._MAX_TEXT", len(TEXT) - 1)
    with pytest.raises(FormatError, match="bytes of text"):
        opened(str(tmp_path / LIST))
    monkeypatch.setattr("lamina.stores.local.channel._MAX_BYTES", len(XZ) - 1)
    for where in (str(tmp_path / LIST), f"file://{tmp_path}"):
        with pytest.raises(FormatError, match=f"{len(XZ) - 1} bytes"):
            opened(where, open_transport)


# --- as a store


def test_a_channel_is_a_store_without_contents(network: Network) -> None:
    channel = opened("nixos-25.11", network.open)
    assert isinstance(channel, PathIndex)
    store: Store = channel
    assert store.query([HELLO]) == {}
    with pytest.raises(NotFound, match=r"got a list of names, nixos-25\.11, expected a store that has the contents"):
        store.nodes(HELLO)
    assert channel.find("glibc^dev") == (OTHERS[1],)
    assert not channel.hashes()
    assert not channel.with_hashes({HELLO.hash})


# --- over HTTP


@contextmanager
def serving(folder: Path) -> Iterator[str]:
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


def test_a_list_comes_over_http_and_is_kept(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "channel").mkdir()
    (tmp_path / "channel" / LIST).write_bytes(XZ)

    def opener(url: str) -> ChannelReader:
        return open_transport(url, QUICK_POLICY)

    with serving(tmp_path) as host:
        for where in (f"{host}/channel", f"{host}/channel/{LIST}"):
            assert opened(where, opener, cache).find("hello") == (HELLO,)
        with pytest.raises(NotFound):
            opened(f"{host}/nothing", opener, cache)
    old = opened(f"{host}/channel", opener, cache, NOW + 3 * DAY)
    assert old.find("hello") == (HELLO,)
    assert old.warnings[0].startswith(f"list of {host}/channel is 3 days old, and got no newer one: ")


def test_a_folder_and_lines_of_windows_will_do(tmp_path: Path) -> None:
    (tmp_path / LIST).write_bytes(lzma.compress(f"{HELLO}\r\n{OTHERS[0]}\r\n".encode()))
    assert opened(str(tmp_path)).find("hello") == (HELLO,)
