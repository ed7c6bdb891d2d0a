"""Hostile image files: every format, with random faults in one or several places and matching digests around them.

The same seed gives the same bytes.
"""

from __future__ import annotations

import gzip
import json
import lzma
import random
import tarfile
from collections.abc import Callable
from typing import Any

from tests.support.image_files import (
    OCI,
    LayoutBuilder,
    Member,
    config,
    docker_archive,
    dump_layer,
    hard_link,
    platform,
    sha256,
    tar,
    tar_member,
)

from lamina.compression import libraries

_NAMES = (
    *("a", "a/b", "a/b/c", "etc/", "bin", "usr/bin/", ".wh.a", "a/.wh.b", ".wh..wh..opq", "a/.wh..wh..opq", ".wh."),
    *(".wh..", ".wh...", ".wh..wh.plnk", "a/.wh.b/c", "../a", "a/../b", "/etc/x", "//x", "./", ".", "...", "a//b"),
    *("x" * 300, "d/" * 400, "d/" * 2500, "é", "a\nb", "\x1b[2J", "nix/store/" + "0" * 32 + "-x", "nix/store/../x"),
)
_TYPES = (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"g", b"x", b"L", b"K", b"V", b"M", b"\0", b"Z")
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**63, 10**40, 1.5, "", "x", "../x", "/etc/passwd", "sha256:", "sha256:" + "0" * 64),
    *("sha512:" + "0" * 128, "x" * 5000, "\ud800", "\x1b]0;x\a", [], {}, [[]], [None], {"": None}, ["x"] * 2000),
    *({"mediaType": f"{OCI}index.v1+json"}, {"mediaType": 5}, f"{OCI}manifest.v1+json", f"{OCI}layer.v1.tar+gzip"),
)


def image(source: random.Random) -> bytes:
    """Make a hostile image file."""
    data = source.choice((_docker, _layout, _hybrid, _old_docker))(source)
    for _ in range(source.choice((0, 0, 1, 1, 2))):
        data = source.choice(_WRAPPERS)(data)
    if source.random() < 0.1:
        data = _corrupt(source, data)
    return data


def _layers(source: random.Random) -> list[bytes]:
    return [_layer(source) for _ in range(source.randint(0, 3))]


def _layer(source: random.Random) -> bytes:
    members: list[Member] = [_member(source) for _ in range(source.randint(0, 8))]
    data = dump_layer(members)
    return _corrupt(source, data) if source.random() < 0.05 else data


def _member(source: random.Random) -> Member:
    names = _NAMES if source.random() < 0.15 else _NAMES[:11]
    name, other = source.choice(names), source.choice(names)
    match source.randrange(6):
        case 0:
            return hard_link(name, other)
        case 1:
            return name, other
        case 2:
            return name, source.randbytes(source.randrange(600))
        case 3:
            records = {f"SCHILY.xattr.user.{number}": "x" * 50 for number in range(source.randrange(40))}
            return tar_member(
                name, tarfile.REGTYPE, pax_headers={**records, source.choice(("path", "size", "mtime")): other}
            )
        case 4:
            return tar_member(name, source.choice(_TYPES), linkname=other, mode=source.randrange(1 << 16))
        case _:
            return name.rstrip("/") + "/"


def _change(source: random.Random, value: Any) -> Any:
    """Return ``value`` with one of the values in it replaced, removed or repeated."""
    if source.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return source.choice(_VALUES)
    key = source.choice(list(value) if isinstance(value, dict) else range(len(value)))
    copy = value.copy()
    if source.random() < 0.1:
        del copy[key]
    elif isinstance(copy, list) and source.random() < 0.2:
        copy += [copy[key]] * source.choice((1, 30, 3000))
    else:
        copy[key] = _change(source, copy[key])
    return copy


def _maybe_change(source: random.Random, value: Any, chance: float = 0.08) -> Any:
    return _change(source, value) if source.random() < chance else value


def _json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _docker(source: random.Random) -> bytes:
    layers = {f"{number}.tar": content for number, content in enumerate(_layers(source))}
    document = _maybe_change(source, json.loads(config(list(layers.values()))))
    entry = _maybe_change(source, {"RepoTags": ["x:1"], "Layers": list(layers)}, 0.15)
    compressed = {
        name: source.choice(_WRAPPERS)(data) if source.random() < 0.3 else data for name, data in layers.items()
    }
    return docker_archive(compressed, config=document, entry=entry if isinstance(entry, dict) else {"Layers": entry})


def _old_docker(source: random.Random) -> bytes:
    """Make an archive with layers in folders, some of them links to others, as old docker and podman write it."""
    layers = _layers(source)
    members: dict[str, bytes | str | None] = {f"{number}/layer.tar": data for number, data in enumerate(layers)}
    for name in list(members):
        if source.random() < 0.3:
            members[name] = source.choice(("../0/layer.tar", "layer.tar", "/etc/passwd", "../../x", "../1/layer.tar"))
    text = _json(_maybe_change(source, json.loads(config(layers))))
    entry = {"Config": "c.json", "RepoTags": None, "Layers": [f"{number}/layer.tar" for number in range(len(layers))]}
    return tar(
        {
            **members,
            "c.json": text,
            "manifest.json": _json(_maybe_change(source, [entry, entry][: source.randint(1, 2)])),
        }
    )


def _random_layout(source: random.Random) -> LayoutBuilder:
    """Make a layout of some images and nested indexes, in which any document may be changed."""
    layout = LayoutBuilder()
    entries: list[Any] = []
    for _ in range(source.randint(0, 4)):
        entries.append(_entry(source, layout))
        if source.random() < 0.2:
            nested = _json({"schemaVersion": 2, "manifests": _maybe_change(source, entries)})
            entries = [layout.blob(nested, f"{OCI}index.v1+json")] * source.choice((1, 1, 40))
    layout.members["index.json"] = _json(_maybe_change(source, {"schemaVersion": 2, "manifests": entries}))
    return layout


def _entry(source: random.Random, layout: LayoutBuilder) -> Any:
    layers = _layers(source)
    kinds = [f"{OCI}layer.v1.tar" if source.random() < 0.97 else source.choice(_VALUES) for _ in layers]
    document = _maybe_change(source, json.loads(config(layers)))
    manifest = {
        "schemaVersion": 2,
        "config": layout.blob(_json(document), f"{OCI}config.v1+json"),
        "layers": [layout.blob(content, kind) for content, kind in zip(layers, kinds, strict=True)],
    }
    names = {"org.opencontainers.image.ref.name": source.choice(("1", "x:1", "", "x y", "docker.io/library/x:1"))}
    more = {"annotations": names, "platform": platform(source.choice(("amd64", "unknown", "aarch64", "")))}
    return _maybe_change(source, layout.blob(_json(_maybe_change(source, manifest)), f"{OCI}manifest.v1+json", **more))


def _layout(source: random.Random) -> bytes:
    return _random_layout(source).tar()


def _hybrid(source: random.Random) -> bytes:
    """Make a layout with a manifest.json beside its index, as docker and containerd write it."""
    layout = _random_layout(source)
    content = dump_layer(["a"])
    own = config([content])
    names = [f"blobs/sha256/{sha256(data)[7:]}" for data in (own, content)]
    layout.members |= dict(zip(names, (own, content), strict=True))
    entry = {"Config": names[0], "RepoTags": ["x:1"], "Layers": names[1:]}
    layout.members["manifest.json"] = _json(_maybe_change(source, [entry]))
    return layout.tar()


def _corrupt(source: random.Random, data: bytes) -> bytes:
    """Return ``data`` cut short, or with some of its bytes changed, repeated or removed."""
    corrupt = bytearray(data)
    for _ in range(source.choice((1, 1, 3, 20))):
        start, length = source.randrange(len(corrupt) + 1), source.choice((1, 2, 8, 512))
        match source.randrange(5):
            case 0:
                corrupt[start : start + length] = source.randbytes(length)
            case 1:
                corrupt[start:start] = corrupt[start : start + 512 * length]
            case 2:
                del corrupt[start : start + length]
            case 3:
                corrupt[start : start + length] = bytes(length)
            case _:
                del corrupt[max(start, 1) * 2 :]
    return bytes(corrupt)


_WRAPPERS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: gzip.compress(data, 1, mtime=0),
    lambda data: bytes(libraries.zstd().compress(data)),
    lambda data: lzma.compress(data, preset=0),
    lambda data: gzip.compress(data, 1, mtime=0) + bytes(512),
    lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + bytes(libraries.zstd().compress(data)),
    lambda data: bytes(libraries.zstd().compress(data)) + bytes(libraries.zstd().compress(bytes(4 << 20))),
)
