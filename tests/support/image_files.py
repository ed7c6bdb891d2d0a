"""Image files as other tools write them, as bytes: docker-archives, OCI layouts, and tars for their layers.

The same arguments give the same bytes, and lamina writes none of them.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamina.core.nodes import Extent

OCI = "application/vnd.oci.image."


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(members: Mapping[str, bytes | str | None]) -> bytes:
    """Return a tar of ``members``: bytes are files, texts are symlinks, None is a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def layer(*names: str) -> bytes:
    return tar(dict.fromkeys(names, b"x"))


def config(layers: Sequence[bytes], **more: Any) -> bytes:
    """Return the config of an image; ``layers`` are uncompressed tars."""
    rootfs = {"type": "layers", "diff_ids": [sha256(content) for content in layers]}
    return json.dumps({"os": "linux", "architecture": "amd64", "rootfs": rootfs, **more}).encode()


def docker_archive(
    layers: Mapping[str, bytes],
    *,
    config: Any = None,
    entry: Mapping[str, Any] | None = None,
    more: Mapping[str, bytes | str] | None = None,
) -> bytes:
    """Return a docker-archive with ``layers`` by name; ``config`` and ``entry`` replace the correct documents."""
    if config is None:
        diff_ids = [sha256(_unpacked(content)) for content in layers.values()]
        config = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    text = json.dumps(config).encode()
    name = hashlib.sha256(text).hexdigest() + ".json"
    manifest = {"Config": name, "RepoTags": ["x:1"], "Layers": list(layers), **(entry or {})}
    documents: dict[str, bytes | str] = {name: text, "manifest.json": json.dumps([manifest]).encode()}
    return tar({**layers, **documents, **(more or {})})


def _unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content[:3] == b"\x1f\x8b\x08" else content


@dataclass
class LayoutBuilder:
    """An OCI layout under construction; the methods that add blobs return their descriptor."""

    members: dict[str, bytes | str | None] = field(
        default_factory=lambda: {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    )

    def blob(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = sha256(data)
        self.members["blobs/sha256/" + digest[7:]] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def image(
        self,
        layers: Sequence[bytes],
        *,
        compress: Callable[[bytes], bytes] = bytes,
        ending: str = "",
        config_more: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Add an image; ``more`` goes into the descriptor of its manifest."""
        manifest = {
            "schemaVersion": 2,
            "config": self.blob(config(layers, **(config_more or {})), f"{OCI}config.v1+json"),
            "layers": [self.blob(compress(content), f"{OCI}layer.v1.tar{ending}") for content in layers],
        }
        return self.manifest(manifest, **more)

    def manifest(self, manifest: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        return self.blob(json.dumps(manifest).encode(), f"{OCI}manifest.v1+json", **more)

    def nested(self, manifests: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        text = json.dumps({"schemaVersion": 2, "manifests": list(manifests)}).encode()
        return self.blob(text, f"{OCI}index.v1+json", **more)

    def index(self, *manifests: Mapping[str, Any]) -> None:
        self.members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": list(manifests)}).encode()

    def tar(self) -> bytes:
        return tar(self.members)

    def write(self, folder: Path) -> None:
        for name, content in self.members.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            assert isinstance(content, bytes)
            (folder / name).write_bytes(content)


def platform(architecture: str, system: str = "linux") -> dict[str, str]:
    return {"os": system, "architecture": architecture}


# --- layers, member by member

Member = tarfile.TarInfo | str | tuple[str, str | bytes]


@dataclass
class LayerFile:
    """A layer whose tar is an extent of a file."""

    tar: Extent


def tar_member(name: str, kind: bytes, **fields: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    for key, value in fields.items():
        setattr(member, key, value)
    return member


def hard_link(name: str, target: str) -> tarfile.TarInfo:
    return tar_member(name, tarfile.LNKTYPE, linkname=target)


def dump_layer(members: Sequence[Member]) -> bytes:
    """Return a layer: ``"a/"`` is a folder, ``"a"`` a file with its name as content, a pair a file or a symlink."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            match member:
                case tarfile.TarInfo():
                    archive.addfile(member)
                case (name, str(target)):
                    archive.addfile(tar_member(name, tarfile.SYMTYPE, linkname=target))
                case str(name) if name.endswith("/"):
                    archive.addfile(tar_member(name, tarfile.DIRTYPE, mode=0o755))
                case _:
                    name, content = member if isinstance(member, tuple) else (member, member.encode())
                    archive.addfile(tar_member(name, tarfile.REGTYPE, size=len(content)), io.BytesIO(bytes(content)))
    return out.getvalue()
