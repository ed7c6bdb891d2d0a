"""The initial inputs of the fuzz targets, from examples and tests, and a dictionary for each format.

Every seed is valid in its format.
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator

from tests.support.image_files import LayoutBuilder, docker_archive, dump_layer, hard_link, platform
from tests.support.paths import EXAMPLES, GOLDEN

from lamina.compression.decoders import decode_pieces
from lamina.formats import narinfo
from lamina.formats.nar import dump_strings

_CACHE = EXAMPLES / "cache"
_MAX_NAR_SIZE = 1 << 16
_NAR_WORDS = (
    b"nix-archive-1",
    b"(",
    b")",
    b"type",
    b"regular",
    b"directory",
    b"symlink",
    b"executable",
    b"contents",
    b"target",
    b"entry",
    b"name",
    b"node",
    b"",
    b"a",
    b"b",
    b".",
    b"..",
    b"a/b",
)
_NARINFO_WORDS = (
    *(b"StorePath: /nix/store/", b"URL: ", b"Compression: ", b"FileHash: sha256:", b"FileSize: ", b"NarHash: sha256:"),
    *(
        b"NarSize: ",
        b"References: ",
        b"Deriver: ",
        b"Sig: ",
        b"CA: fixed:r:sha256:",
        b"CA: text:sha256:",
        b"\n",
        b"../",
    ),
    *(b"unknown-deriver", b"77a3p2cb156qs7yxv45624ajmygrg615-greeting-1.0"),
)
_IMAGE_WORDS = (
    *(
        b"manifest.json",
        b"index.json",
        b"blobs/sha256/",
        b"ustar\x0000",
        b"ustar  \0",
        b".wh.",
        b".wh..wh..opq",
        b"../",
    ),
    *(b'"Config":', b'"Layers":', b'"RepoTags":', b'"manifests":', b'"mediaType":', b'"digest":', b'"sha256:', b"null"),
    *(b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"SCHILY.xattr.", b"GNU.sparse."),
)
_GRAPH_WORDS = (
    *(
        b'"path":',
        b'"narHash":',
        b'"narSize":',
        b'"references":',
        b'"info":',
        b'"storeDir":',
        b'"version":',
        b"[",
        b"]",
    ),
    *(b"{", b"}", b'"sha256-', b'"sha256:', b'"/nix/store/', b"\\ud800", b"1e400", b"NaN", b"-1"),
)


def iter_seeds(name: str) -> Iterator[bytes]:
    """Yield the seeds of the target ``name``."""
    match name:
        case "nar":
            for file in sorted(_CACHE.glob("*.narinfo")):
                found = narinfo.parse(file.read_text())
                if found.info.nar_size <= _MAX_NAR_SIZE:
                    yield b"".join(decode_pieces([(_CACHE / found.url).read_bytes()], found.compression))
        case "narinfo":
            for file in sorted(_CACHE.glob("*.narinfo")):
                yield file.read_bytes()
        case "graph":
            for file in sorted(GOLDEN.glob("graph-*.json")):
                yield file.read_bytes()
        case "image":
            yield from _iter_images()


def _iter_images() -> Iterator[bytes]:
    """Yield a docker-archive and an OCI layout, each uncompressed, in gzip and in xz."""
    layers = [
        dump_layer(["etc/", "etc/a", ("bin", "usr/bin"), hard_link("b", "etc/a")]),
        dump_layer(["etc/.wh.a", "bin/x"]),
    ]
    archive = docker_archive({f"{number}.tar": layer for number, layer in enumerate(layers)})
    layout = LayoutBuilder()
    names = {"org.opencontainers.image.ref.name": "x:1"}
    layout.index(layout.nested([layout.image(layers, annotations=names, platform=platform("amd64"))]))
    for data in (archive, layout.tar()):
        yield data
        yield gzip.compress(data, mtime=0)
        yield lzma.compress(data)


def make_dictionary(name: str) -> str:
    """Return the dictionary of the target ``name`` in the syntax of libFuzzer."""
    by_name = {
        "nar": map(dump_strings, _NAR_WORDS),
        "narinfo": _NARINFO_WORDS,
        "graph": _GRAPH_WORDS,
        "image": _IMAGE_WORDS,
    }
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in by_name[name])
