"""Binary caches for tests, and HTTP servers for them: correct ones, and ones with a single fault.

A cache contains the files that Nix would have written, unless a test changes it. A server records every request, and
misbehaves only where one of its scripts does.
"""

from __future__ import annotations

import bz2
import gzip
import http.server
import lzma
import os
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import brotli
import lz4.frame
from tests.support import factories
from tests.support.fake_nix_store import CompletedRun, FakeStore, call, run
from tests.support.servers import LocalServer, run_server

from lamina.compression import libraries
from lamina.core.names import Digest, StorePath, dump_nix32
from lamina.core.pathinfo import PathInfo
from lamina.formats import nar, narinfo
from lamina.formats.cache_info import CacheInfo
from lamina.formats.content_address import FLAT, NAR, TEXT, ContentAddress, ModuloHash
from lamina.formats.keys import SecretKey
from lamina.formats.narinfo import NarInfo
from lamina.system.transfer import hash_pieces

CACHE_INFO = "nix-cache-info"
KEY = SecretKey("cache.test-1", sha256(b"cache.test-1").digest())
OTHER = SecretKey("other.test-1", sha256(b"other.test-1").digest())
# A placeholder in a tree for the hash of the store path that the tree will have.
SELF = b"0123456789abcdfghijklmnpqrsvwxyz"


def _zstd(data: bytes) -> bytes:
    return bytes(libraries.zstd().compress(data))


def zstd_frames(data: bytes, size: int = 100) -> bytes:
    """Compress ``data`` in zstd frames of ``size`` bytes each, as Nix 2.35 does with frames of 16 MiB."""
    return b"".join(_zstd(data[start : start + size]) for start in range(0, len(data), size))


COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "xz": lzma.compress,
    "zstd": _zstd,
    "bzip2": bz2.compress,
    "gzip": gzip.compress,
    "br": lambda data: brotli.compress(data, quality=1),
    "lz4": lz4.frame.compress,
}


def dump_nar(item: factories.Item) -> bytes:
    """Return the NAR of a tree whose contents are bytes, not extents."""
    return b"".join(piece for piece in nar.dump(factories.nodes(item)) if isinstance(piece, bytes))


@dataclass
class Cache:
    """A binary cache in ``folder``, which is created with it; ``key`` signs its paths, None leaves them unsigned."""

    folder: Path
    key: SecretKey | None = KEY
    compression: str = "xz"
    trees: dict[StorePath, factories.Item] = field(default_factory=dict)
    narinfos: dict[StorePath, NarInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "nar").mkdir(parents=True)
        (self.folder / CACHE_INFO).write_text(CacheInfo(want_mass_query=True, priority=40).dump())

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    def add(
        self,
        name: str,
        item: factories.Item,
        references: Iterable[StorePath] = (),
        *,
        self_reference: bool = False,
        method: str = "",
        compression: str = "",
        archive: bytes | None = None,
        file: bytes | None = None,
        signed_fields: Mapping[str, Any] | None = None,
        narinfo_fields: Mapping[str, Any] | None = None,
        text: Callable[[str], str] = str,
    ) -> StorePath:
        """Add a path, content-addressed if ``method`` is given.

        The other arguments replace a correct part by another one, in the order in which the parts are made: the NAR
        (``archive``), its compressed ``file``, the fields of the signed PathInfo (``signed_fields``), the fields of the
        narinfo after it is signed (``narinfo_fields``), and the ``text`` of the narinfo.
        """
        data = dump_nar(item) if archive is None else archive
        path, address = factories.path(name), ""
        if method:
            path, data, address = _content_addressed(
                name, item, data, frozenset(references), method, self_reference=self_reference
            )
        found = frozenset((*references, path)) if self_reference else frozenset(references)
        info = replace(PathInfo(path, Digest(sha256(data).digest()), len(data), found), **(signed_fields or {}))
        compression = compression or self.compression
        content = COMPRESSORS[compression](data) if file is None else file
        location = f"nar/{dump_nix32(sha256(content + path.hash.encode()).digest())}.nar"
        (self.folder / location).write_bytes(content)
        known = NarInfo(
            info, location, compression, (), Digest(sha256(content).digest()), len(content), address=address
        )
        if self.key:
            known = replace(known, signatures=(self.key.sign(known.fingerprint),))
        known = replace(known, **(narinfo_fields or {}))
        self.narinfo_of(path).write_text(text(known.dump()), newline="")
        self.trees[path], self.narinfos[path] = item, known
        return path

    def narinfo_of(self, path: StorePath) -> Path:
        return self.folder / f"{path.hash}.narinfo"

    def change(self, path: StorePath, **fields: Any) -> None:
        """Write the narinfo of ``path`` again with other ``fields``."""
        self.narinfos[path] = replace(self.narinfos[path], **fields)
        self.narinfo_of(path).write_text(self.narinfos[path].dump())

    def sign(self, path: StorePath, *keys: SecretKey) -> None:
        """Sign ``path`` with ``keys``, and remove all other signatures."""
        fingerprint = self.narinfos[path].fingerprint
        self.change(path, signatures=tuple(key.sign(fingerprint) for key in keys))

    def on_disk(self, root: Path) -> FakeStore:
        """Create a store on disk below ``root`` with the same paths."""
        store = FakeStore(root)
        waiting = dict(self.trees)
        while waiting:
            for path in [path for path in waiting if not self.references(path) & waiting.keys()]:
                factories.write(waiting.pop(path), os.fsencode(store.location(path)))
                store.register(path, self.references(path))
                if path in self.narinfos[path].info.references:
                    with store.writing() as database:
                        database.execute("INSERT INTO Refs VALUES (?, ?)", [store.numbers[path]] * 2)
        return store

    def references(self, path: StorePath) -> frozenset[StorePath]:
        """Return the references of ``path`` without itself."""
        return self.narinfos[path].info.references - {path}


def _content_addressed(
    name: str,
    item: factories.Item,
    data: bytes,
    references: Collection[StorePath],
    method: str,
    *,
    self_reference: bool,
) -> tuple[StorePath, bytes, str]:
    """Return the path, the NAR and the content address of a tree, in which `SELF` is replaced by the path's hash."""
    if method == NAR:
        modulo = ModuloHash(SELF.decode())
        modulo.feed(data)
        raw = modulo.digest() if self_reference else sha256(data).digest()
    else:
        assert isinstance(item, factories.File)
        raw = sha256(item.content).digest()
    address = ContentAddress(method, "sha256", raw)
    path = address.make_path(name, references, self_reference)
    return path, data.replace(SELF, path.hash.encode()), str(address)


METHODS = (NAR, FLAT, TEXT)


def example(cache: Cache) -> StorePath:
    """Add four paths, and return the one that needs the others."""
    lib = cache.add(
        "libgreet-1.0", {b"lib": {b"libgreet.so": factories.File(b"\x7fELF" + b"lib" * 1000)}}, self_reference=True
    )
    data = cache.add("words-2.1", {b"share": {b"hello.txt": factories.File(b"hello\n"), b"empty": factories.File()}})
    shell = cache.add("sh-5", {b"bin": {b"sh": factories.File(b"#!/no\n", executable=True)}}, [lib])
    script = f"#!{shell}/bin/sh\ncat {data}/share\n".encode()
    tree: factories.Item = {
        b"bin": {b"hello": factories.File(script, executable=True)},
        b"share": factories.Link(f"{data}/share".encode()),
    }
    return cache.add("hello-2.12.1", tree, [shell, data])


# --- whole stores


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files of a store by name, without those in ``.lamina``."""
    found = {}
    for location in sorted(folder.rglob("*")) if folder.exists() else ():
        name = location.relative_to(folder)
        if location.is_file() and name.parts[0] != ".lamina":
            found[str(name)] = location.read_bytes()
    return found


def list_leftovers(folder: Path) -> list[str]:
    """Return the names of unfinished files in a store, those that are neither in their final place nor locks."""
    waiting = folder / ".lamina" / "arriving"
    found = [name for name in os.listdir(folder) if name.startswith(".") and name != ".lamina"]
    return found + (os.listdir(waiting) if waiting.exists() else [])


def check_store(folder: Path) -> set[StorePath]:
    """Check a store as another program would, and return its paths: each narinfo has its NAR and all its references."""
    infos = [narinfo.parse(file.read_text()) for file in folder.glob("*.narinfo")]
    valid = {known.info.path for known in infos}
    for known in infos:
        data = (folder / known.url).read_bytes()
        assert known.compression == "none"
        assert (len(data), Digest(sha256(data).digest())) == (known.info.nar_size, known.info.nar_hash)
        assert hash_pieces([data]).digest == known.file_hash
        assert known.info.references <= valid
    return valid


# --- servers


class CacheRequest(http.server.BaseHTTPRequestHandler):
    """The handler of one request."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # status, headers and content in one packet
    server: CacheServer

    def do_GET(self) -> None:
        server, name = self.server, self.path.lstrip("/")
        with server.counting(name, self.client_address[1]):
            server.is_closing.wait(server.latency)
            script = next((script for pattern, script in server.scripts.items() if re.fullmatch(pattern, name)), None)
            if script:
                script(self)
                return
            try:
                content = (server.folder / name).read_bytes()
            except OSError:
                self.answer(404)
            else:
                self.answer(200, content)

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        """Send a complete response."""
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def begin(self, status: int = 200, length: int | None = None) -> None:
        """Send the head of a response whose content ends when the connection is closed."""
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


Script = Callable[[CacheRequest], None]


class CacheServer(LocalServer):
    """A server of ``folder`` that answers after ``latency`` seconds.

    A script answers instead for the names that match its pattern.
    """

    def __init__(self, folder: Path, scripts: Mapping[str, Script] | None = None, latency: float = 0) -> None:
        super().__init__(CacheRequest)
        self.folder = folder
        self.scripts = dict(scripts or {})
        self.latency = latency
        self.asked: list[str] = []
        self.ports: set[int] = set()
        self.max_concurrent = 0
        self.is_closing = threading.Event()
        self._now = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def counting(self, name: str, port: int) -> Iterator[None]:
        with self._lock:
            self.asked.append(name)
            self.ports.add(port)
            self._now += 1
            self.max_concurrent = max(self.max_concurrent, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1

    def shutdown(self) -> None:
        self.is_closing.set()
        super().shutdown()


@contextmanager
def serve_cache(folder: Path, scripts: Mapping[str, Script] | None = None, latency: float = 0) -> Iterator[CacheServer]:
    with run_server(CacheServer(folder, scripts, latency)) as server:
        yield server


def send_forever(start: bytes = b"", piece: bytes = b"\0" * 65536) -> Script:
    """Make a script that sends a response without an end."""

    def script(asked: CacheRequest) -> None:
        asked.begin()
        with suppress(OSError):
            asked.wfile.write(start)
            while not asked.server.is_closing.is_set():
                asked.wfile.write(piece)

    return script


def send_slowly(length: int = 1 << 20, every: float = 0.02) -> Script:
    """Make a script that sends one byte every ``every`` seconds."""

    def script(asked: CacheRequest) -> None:
        asked.begin(length=length)
        with suppress(OSError):
            while not asked.server.is_closing.wait(every):
                asked.wfile.write(b"x")
                asked.wfile.flush()

    return script


def send_nothing(asked: CacheRequest) -> None:
    """Send nothing until the server is closed, at most for 30 seconds."""
    asked.close_connection = True
    asked.server.is_closing.wait(30)


def cut_short(content: bytes, length: int) -> Script:
    """Make a script that announces ``length`` bytes and sends only ``content``."""

    def script(asked: CacheRequest) -> None:
        asked.begin(length=length)
        asked.wfile.write(content)

    return script


def answer_404(asked: CacheRequest) -> None:
    """Answer that the file does not exist."""
    asked.answer(404)


# --- runs


@dataclass(frozen=True)
class Machine:
    """The folders of one user of lamina, which do not exist at first."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "data/lamina/store"

    @property
    def image(self) -> Path:
        return self.folder / "image.tar"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the user's processes."""
        return {
            **os.environ,
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "HOME": str(self.folder),
        }

    def arguments(self, where: str, *roots: object, key: SecretKey | None = KEY) -> list[str | Path]:
        """Return the arguments of a build of ``roots`` from the cache at the URL ``where``."""
        trusted = ("--trusted-key", str(key.public)) if key else ()
        return ["build", "-o", self.image, "--no-layer-cache", "--store", where, *trusted, *map(str, roots)]

    def build(self, where: str, *roots: object, key: SecretKey | None = KEY, flags: Sequence[str] = ()) -> CompletedRun:
        """Build in this process, which is fast."""
        with _with_environment(self.environment):
            return run(*self.arguments(where, *roots, key=key), *flags)

    def call(self, where: str, *roots: object, **options: Any) -> CompletedRun:
        """Build in a process of its own."""
        return call(*self.arguments(where, *roots), env=self.environment, **options)

    def image_id(self) -> str:
        return image_id(self.image)


def image_id(archive: Path) -> str:
    """Return the ID of the image in a docker-archive."""
    with _with_environment({}):
        ran = run("inspect", archive, "--json")
    assert ran.code == 0, ran.stderr
    found = re.search(rb'"(?:id|Id)": "(sha256:[0-9a-f]{64})"', ran.stdout)
    assert found, ran.stdout[:200]
    return found[1].decode()


@contextmanager
def _with_environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
