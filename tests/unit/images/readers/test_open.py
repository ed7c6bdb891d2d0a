"""Image files of every kind are opened, and files that are inconsistent, lead outside or unpack to too much are not."""

from __future__ import annotations

import gc
import gzip
import io
import json
import lzma
import os
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import OCI, LayoutBuilder, config, docker_archive, layer, platform, sha256, tar

from lamina.compression import libraries
from lamina.errors import FormatError, InputError, IntegrityError
from lamina.formats import image_names
from lamina.images.readers import blobs, unpack
from lamina.images.readers.open import open_images
from lamina.images.readers.source_image import SourceImage
from lamina.system.extents import read_head

LOWER, UPPER = layer("etc/lower"), layer("etc/upper")
LAYERS = [LOWER, UPPER]
TEXT = config(LAYERS)
NAME = sha256(TEXT)[7:]
DIFF_IDS = [sha256(content) for content in LAYERS]


def zstd(data: bytes) -> bytes:
    return bytes(libraries.zstd().compress(data))


def read_images(folder: Path, data: bytes) -> tuple[SourceImage, ...]:
    (folder / "image").write_bytes(data)
    return open_images(folder / "image")


def manifest(names: list[str], config_name: str, **more: Any) -> bytes:
    return json.dumps([{"Config": config_name, "RepoTags": ["x:1"], "Layers": names, **more}]).encode()


def old_docker() -> bytes:
    """docker save until 24, and podman: a folder for each layer."""
    names = ["a" * 64, "b" * 64]
    members: dict[str, bytes | str | None] = {}
    for name, content in zip(names, LAYERS, strict=True):
        members |= {f"{name}/": None, f"{name}/VERSION": b"1.0", f"{name}/json": b"{}", f"{name}/layer.tar": content}
    listed = manifest([f"{name}/layer.tar" for name in names], f"{NAME}.json")
    return tar({**members, f"{NAME}.json": TEXT, "manifest.json": listed, "repositories": b'{"x": {"1": "bb"}}'})


def new_docker() -> bytes:
    """docker save since 25: an OCI layout that has a manifest.json too."""
    layout = LayoutBuilder()
    layout.index(layout.image(LAYERS, annotations={"io.containerd.image.name": "docker.io/library/x:1"}))
    names = [f"blobs/sha256/{digest[7:]}" for digest in DIFF_IDS]
    layout.members["manifest.json"] = manifest(names, f"blobs/sha256/{NAME}")
    return layout.tar()


def skopeo() -> bytes:
    names = [f"{digest[7:]}.tar" for digest in DIFF_IDS]
    documents = {f"{NAME}.json": TEXT, "manifest.json": manifest(names, f"{NAME}.json")}
    return tar({**dict(zip(names, LAYERS, strict=True)), **documents})


def nixpkgs() -> bytes:
    return docker_archive(
        {f"{digest[7:]}/layer.tar": content for digest, content in zip(DIFF_IDS, LAYERS, strict=True)},
        config=json.loads(TEXT),
    )


def oci(compress: Callable[[bytes], bytes] = bytes, ending: str = "") -> bytes:
    layout = LayoutBuilder()
    annotations = {"org.opencontainers.image.ref.name": "x:1"}
    layout.index(layout.image(LAYERS, compress=compress, ending=ending, annotations=annotations))
    return layout.tar()


LAYOUTS: dict[str, Callable[[], bytes]] = {
    "docker 20": old_docker,
    "docker 28": new_docker,
    "skopeo": skopeo,
    "nixpkgs": nixpkgs,
    "oci": oci,
    "oci gzip": lambda: oci(gzip.compress, "+gzip"),
    "oci zstd": lambda: oci(zstd, "+zstd"),
}
OUTER: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip members": lambda data: gzip.compress(data[:777]) + gzip.compress(data[777:]),
    "zstd": zstd,
    "zstd frames": lambda data: zstd(data[:777]) + zstd(data[777:]),
    "zstd skippable": lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd(data),
    "xz": lzma.compress,
}


# Valid images


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_image(tmp_path: Path, layout: str, outer: str) -> None:
    (found,) = read_images(tmp_path, OUTER[outer](LAYOUTS[layout]()))
    assert found.id == sha256(TEXT)
    assert found.config_json == TEXT
    assert found.config == json.loads(TEXT)
    assert found.repo_tags == ("x:1",)
    assert (found.architecture, found.platform) == ("amd64", "linux/amd64")
    assert [str(item.diff_id) for item in found.layers] == DIFF_IDS
    for item, content in zip(found.layers, LAYERS, strict=True):
        assert read_head(item.tar, item.tar.length) == content
        assert sha256(read_head(item.blob, item.size)) == str(item.digest)


def test_a_layout_may_be_a_folder(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image(LAYERS, compress=gzip.compress, ending="+gzip"))
    layout.write(tmp_path / "layout")
    (found,) = open_images(tmp_path / "layout")
    assert [str(item.diff_id) for item in found.layers] == DIFF_IDS
    assert found.repo_tags == ()
    assert found.layers[0].name == f"blobs/sha256/{found.layers[0].digest.hex}"


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as out:
        out.write(gzip.compress(skopeo()))
    (found,) = open_images(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert found.id == sha256(TEXT)


def test_names_may_begin_with_a_dot(tmp_path: Path) -> None:
    members = {"./l.tar": LOWER, "./c.json": config([LOWER]), "./manifest.json": manifest(["l.tar"], "./c.json")}
    assert read_images(tmp_path, tar(members))[0].layers[0].name == "l.tar"


def test_a_layer_may_be_a_hard_link(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in {
            "a.tar": LOWER,
            "c.json": config([LOWER]),
            "manifest.json": manifest(["b.tar"], "c.json"),
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("b.tar")
        link.type, link.linkname = tarfile.LNKTYPE, "a.tar"
        archive.addfile(link)
    assert str(read_images(tmp_path, out.getvalue())[0].layers[0].diff_id) == sha256(LOWER)


def test_uncompressed_layers_of_an_uncompressed_archive_are_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    (found,) = read_images(tmp_path, new_docker())
    assert {item.tar.file for item in found.layers} == {os.fsencode(tmp_path / "image")}


def test_unpacked_files_are_removed_with_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(rooms))
    (found,) = read_images(tmp_path, gzip.compress(oci(zstd, "+zstd")))
    kept = found.layers[0]
    del found
    gc.collect()
    assert read_head(kept.tar, kept.tar.length) == LOWER
    del kept
    gc.collect()
    assert list(rooms.iterdir()) == []


def test_unpacked_files_are_removed_if_the_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(rooms))
    with pytest.raises(FormatError):
        read_images(tmp_path, gzip.compress(tar({"x": b"y"})))
    gc.collect()
    assert list(rooms.iterdir()) == []


# Indexes


def test_an_index_gives_every_platform(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    arm = layout.image([LOWER], config_more={"architecture": "arm64", "variant": "v8"}, platform=platform("arm64"))
    amd = layout.image([UPPER], platform=platform("amd64"))
    attestation = layout.manifest({"layers": []}, platform=platform("unknown", "unknown"))
    layout.index(layout.nested([arm, amd, attestation], annotations={"io.containerd.image.name": "h.io/x:1"}))
    found = read_images(tmp_path, layout.tar())
    assert [item.platform for item in found] == ["linux/arm64/v8", "linux/amd64"]
    assert {item.repo_tags for item in found} == {("h.io/x:1",)}


def test_a_platform_that_was_not_saved_is_left_out(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    elsewhere = LayoutBuilder().image([LOWER], platform=platform("s390x"))
    layout.index(layout.nested([elsewhere, layout.image([UPPER], platform=platform("amd64"))]))
    (found,) = read_images(tmp_path, layout.tar())
    assert str(found.layers[0].diff_id) == sha256(UPPER)
    layout.index(elsewhere)
    with pytest.raises(FormatError, match=r"index\.json: got no blobs/sha256/.*, expected the manifest of an image"):
        read_images(tmp_path, layout.tar())


def test_an_image_of_two_names_is_one_image(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    tags = [{"org.opencontainers.image.ref.name": name} for name in ("x:1", "x:2", "latest")]
    layout.index(*(layout.image(LAYERS, annotations=tag) for tag in tags))
    (found,) = read_images(tmp_path, layout.tar())
    assert found.repo_tags == ("x:1", "x:2")


def test_a_signature_is_not_an_image(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    artifact = {"config": layout.blob(b"{}", "application/vnd.oci.empty.v1+json"), "layers": []}
    layout.index(layout.image(LAYERS), layout.manifest(artifact))
    assert len(read_images(tmp_path, layout.tar())) == 1
    layout.index(layout.manifest(artifact))
    with pytest.raises(
        FormatError, match=r"which is not an image because it has a config of media type .*empty.*, expected the"
    ):
        read_images(tmp_path, layout.tar())


SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
OTHERS: dict[str, Callable[[LayoutBuilder], dict[str, Any]]] = {
    "cosign's signature": lambda layout: artifact_as_image(layout, SIMPLE_SIGNING),
    "cosign's attestation": lambda layout: artifact_as_image(layout, DSSE),
    "cosign's bill of materials": lambda layout: artifact_as_image(layout, "text/spdx+json"),
    "BuildKit's attestation": lambda layout: artifact_as_image(layout, IN_TOTO),
    "an attestation that says so": lambda layout: artifact_as_image(
        layout, IN_TOTO, annotations={"vnd.docker.reference.type": "attestation-manifest"}
    ),
    "an attestation of no platform": lambda layout: artifact_as_image(
        layout, IN_TOTO, platform=platform("unknown", "unknown")
    ),
    "an attestation that was not saved": lambda layout: {
        **artifact_as_image(LayoutBuilder(), IN_TOTO, platform=platform("unknown", "unknown")),
        "digest": "sha512:" + "0" * 128,
    },
    "a Helm chart": lambda layout: layout.manifest(
        {
            "config": layout.blob(b"{}", "application/vnd.cncf.helm.config.v1+json"),
            "layers": [layout.blob(b"chart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")],
        }
    ),
    "an artifact with an empty config": lambda layout: layout.manifest(
        {
            "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "config": layout.blob(b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": [layout.blob(b"{}", "application/vnd.dev.sigstore.bundle.v0.3+json")],
            "subject": layout.image(LAYERS),
        }
    ),
    "an artifact manifest": lambda layout: layout.blob(b"{}", "application/vnd.oci.artifact.manifest.v1+json"),
    "a manifest of docker's first schema": lambda layout: layout.blob(
        b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"
    ),
    "a digest that is not known, of a kind that is not": lambda layout: {
        "mediaType": "application/x",
        "digest": "sha512:00",
        "size": 1,
    },
    "an image by a digest of another algorithm": lambda layout: {
        "mediaType": f"{OCI}manifest.v1+json",
        "digest": "sha512:" + "0" * 128,
        "size": 1,
    },
    "an index by a digest of another algorithm": lambda layout: {
        "mediaType": f"{OCI}index.v1+json",
        "digest": "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
        "size": 1,
    },
    "an image whose config has a digest of another algorithm": lambda layout: layout.manifest(
        {"config": {"mediaType": f"{OCI}config.v1+json", "digest": "blake3:00", "size": 1}, "layers": []}
    ),
    "an image with a layer that has a digest of another algorithm": lambda layout: layout.manifest(
        {
            "config": layout.blob(config([LOWER]), f"{OCI}config.v1+json"),
            "layers": [{"mediaType": f"{OCI}layer.v1.tar", "digest": "sha512:" + "0" * 128, "size": 1}],
        }
    ),
    "an artifact of tars, as an image's manifest": lambda layout: layout.manifest(
        {
            "artifactType": "application/vnd.example",
            "config": layout.blob(config([LOWER]), f"{OCI}config.v1+json"),
            "layers": [layout.blob(LOWER, f"{OCI}layer.v1.tar")],
        }
    ),
    "files of ORAS, with an image's types": lambda layout: layout.manifest(
        {
            "config": layout.blob(b"{}", f"{OCI}config.v1+json"),
            "layers": [layout.blob(b"any file", f"{OCI}layer.v1.tar")],
        }
    ),
    "a manifest without a config": lambda layout: layout.manifest({"layers": []}),
    "an index of nothing": lambda layout: layout.blob(b'{"manifests": null}', f"{OCI}index.v1+json"),
    "an index of signatures": lambda layout: layout.nested([artifact_as_image(layout, SIMPLE_SIGNING)]),
    "an index that was not saved": lambda layout: LayoutBuilder().nested([]),
}


def artifact_as_image(layout: LayoutBuilder, media_type: str, **more: Any) -> dict[str, Any]:
    """An artifact as cosign and BuildKit write it: an image's manifest and config, and a layer that is not a tar."""
    payload = b'{"payload": "signed"}'
    document = {"config": layout.blob(config([payload]), f"{OCI}config.v1+json")}
    return layout.manifest({**document, "layers": [layout.blob(payload, media_type)]}, **more)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("kind", OTHERS)
def test_manifests_of_other_artifacts_are_skipped(tmp_path: Path, kind: str, is_first: bool) -> None:
    layout = LayoutBuilder()
    both = [layout.image(LAYERS), OTHERS[kind](layout)]
    layout.index(*(both[::-1] if is_first else both))
    (found,) = read_images(tmp_path, layout.tar())
    assert found.id == sha256(TEXT)
    layout.index(OTHERS[kind](layout))
    with pytest.raises(FormatError, match=r"index\.json: got .*, expected the manifest of an image"):
        read_images(tmp_path, layout.tar())


@pytest.mark.parametrize("layers", [{}, {"Layers": None}, {"Layers": []}])
@pytest.mark.parametrize("diff_ids", [{}, {"diff_ids": None}, {"diff_ids": []}])
def test_an_omitted_list_is_empty(tmp_path: Path, diff_ids: dict[str, Any], layers: dict[str, Any]) -> None:
    """Docker leaves an empty list out of a config."""
    empty = json.dumps({"rootfs": {"type": "layers", **diff_ids}}).encode()
    archive = {"c.json": empty, "manifest.json": json.dumps([{"Config": "c.json", **layers}]).encode()}
    (found,) = read_images(tmp_path, tar(archive))
    assert (found.id, found.layers, found.repo_tags) == (sha256(empty), (), ())
    layout = LayoutBuilder()
    more = {name.lower(): value for name, value in layers.items()}
    layout.index(layout.manifest({"config": layout.blob(empty, f"{OCI}config.v1+json"), **more}))
    (found,) = read_images(tmp_path, layout.tar())
    assert (found.id, found.layers) == (sha256(empty), ())


@pytest.mark.parametrize("rootfs", [None, [], "x", 1])
def test_a_rootfs_that_is_not_an_object_is_refused(tmp_path: Path, rootfs: Any) -> None:
    archive = {"c.json": json.dumps({"rootfs": rootfs}).encode(), "manifest.json": b'[{"Config": "c.json"}]'}
    with pytest.raises(FormatError, match=r"c\.json: rootfs: got .*, expected an object with diff_ids"):
        read_images(tmp_path, tar(archive))


def test_layers_that_only_one_document_leaves_out_are_refused(tmp_path: Path) -> None:
    members = {"l.tar": LOWER, "c.json": config([LOWER]), "manifest.json": b'[{"Config": "c.json"}]'}
    with pytest.raises(IntegrityError, match=r"got 1 diff IDs, expected 0"):
        read_images(tmp_path, tar(members))
    members |= {"c.json": b'{"rootfs": {"type": "layers"}}', "manifest.json": manifest(["l.tar"], "c.json")}
    with pytest.raises(IntegrityError, match=r"got 0 diff IDs, expected 1"):
        read_images(tmp_path, tar(members))


def test_null_is_an_empty_list(tmp_path: Path) -> None:
    """Go writes an empty list as null."""
    layout = LayoutBuilder()
    empty = json.dumps({"rootfs": {"type": "layers", "diff_ids": None}, "history": None, "config": None}).encode()
    document = layout.blob(empty, f"{OCI}config.v1+json")
    layout.index(layout.manifest({"config": document, "layers": None}, annotations=None, platform=None))
    (found,) = read_images(tmp_path, layout.tar())
    assert (found.layers, found.repo_tags, found.tags) == ((), (), ())
    entry: dict[str, Any] = {"Config": "c.json", "RepoTags": None, "Layers": None}
    archive = {"c.json": empty, "manifest.json": json.dumps([entry]).encode()}
    for more in ({}, {"index.json": b'{"schemaVersion": 2, "manifests": null}'}):
        (found,) = read_images(tmp_path, tar({**archive, **more}))
        assert (found.layers, found.repo_tags) == ((), ())
    for nothing in (b"null", b"[]"):
        with pytest.raises(FormatError, match=r"manifest\.json: got no images, expected at least one"):
            read_images(tmp_path, tar({"manifest.json": nothing}))


@pytest.mark.parametrize("config_name", ["/c.json", "./c.json", "c.json", "//c.json", "/./c.json"])
@pytest.mark.parametrize("layer_name", ["/l.tar", "./l.tar", "//l.tar", "/./l.tar"])
@pytest.mark.parametrize("is_member", [True, False])
def test_names_may_be_absolute(tmp_path: Path, config_name: str, layer_name: str, is_member: bool) -> None:
    """Buildpacks write a slash before a layer's name, in the manifest and in the tar, or in one of them."""
    names = (config_name, layer_name) if is_member else ("c.json", "l.tar")
    members: dict[str, bytes | str | None] = dict(zip(names, (config([LOWER]), LOWER), strict=True))
    found = read_images(tmp_path, tar({**members, "manifest.json": manifest([layer_name], config_name)}))
    assert [str(item.diff_id) for item in found[0].layers] == [sha256(LOWER)]
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in (
        ("c.json", config([LOWER])),
        ("l.tar", LOWER),
        ("manifest.json", manifest([layer_name], config_name)),
    ):
        (folder / name).write_bytes(content)
    assert open_images(folder)[0].layers[0].diff_id == found[0].layers[0].diff_id


def test_an_archive_of_several_platforms_has_them_all(tmp_path: Path) -> None:
    """containerd's store saves all platforms in the index, and its own in manifest.json, for old readers."""
    layout = LayoutBuilder()
    both = [
        layout.image([content], config_more={"architecture": word}, platform=platform(word))
        for word, content in (("amd64", LOWER), ("arm64", UPPER))
    ]
    names = {"io.containerd.image.name": "docker.io/library/x:1", "org.opencontainers.image.ref.name": "1"}
    layout.index(layout.nested(both, annotations=names))
    own = config([UPPER], architecture="arm64")
    layout.members["manifest.json"] = manifest([f"blobs/sha256/{DIFF_IDS[1][7:]}"], f"blobs/sha256/{sha256(own)[7:]}")
    found = read_images(tmp_path, layout.tar())
    assert [item.platform for item in found] == ["linux/arm64", "linux/amd64"]
    assert {item.repo_tags for item in found} == {("x:1",)}


def test_the_index_completes_the_platform_of_the_config(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    offered = {**platform("arm"), "variant": "v6"}
    layout.index(layout.image([LOWER], config_more={"architecture": "", "os": ""}, platform=offered))
    assert read_images(tmp_path, layout.tar())[0].platform == "linux/arm/v6"
    layout.index(layout.image([LOWER], config_more={"architecture": "arm"}, platform=offered))
    assert read_images(tmp_path, layout.tar())[0].platform == "linux/arm/v6"
    layout.index(layout.image([LOWER], config_more={"architecture": "amd64"}, platform=offered))
    assert read_images(tmp_path, layout.tar())[0].platform == "linux/amd64"


@pytest.mark.parametrize(
    ("annotations", "repo_tags", "tags"),
    [
        ({"org.opencontainers.image.ref.name": "a"}, (), ("a",)),
        ({"org.opencontainers.image.ref.name": "a b"}, (), ("a b",)),
        ({"org.opencontainers.image.ref.name": "x:1"}, ("x:1",), ()),
        ({"org.opencontainers.image.ref.name": "docker.io/library/x:1"}, ("x:1",), ()),
        ({"io.containerd.image.name": "docker.io/library/x:1"}, ("x:1",), ()),
        ({"io.containerd.image.name": "docker.io/x:1", "org.opencontainers.image.ref.name": "1"}, ("x:1",), ("1",)),
        ({"io.containerd.image.name": "?", "org.opencontainers.image.ref.name": "h:5/x:1"}, ("h:5/x:1",), ()),
        ({"org.opencontainers.image.ref.name": ""}, (), ()),
        ({"org.opencontainers.image.ref.name": 5}, (), ()),
    ],
)
def test_names_of_a_layout_are_read_as_engines_read_them(
    tmp_path: Path, annotations: dict[str, Any], repo_tags: tuple[str, ...], tags: tuple[str, ...]
) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image(LAYERS, annotations=annotations))
    (found,) = read_images(tmp_path, layout.tar())
    assert (found.repo_tags, found.tags) == (repo_tags, tags)


# Bounds: a file of few kilobytes must not take gigabytes or hours


def test_an_index_that_is_listed_many_times_takes_limited_work(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    descriptor = layout.image(LAYERS)
    for _ in range(4):
        descriptor = layout.nested([descriptor] * 1000)
    layout.index(*[descriptor] * 1000)
    assert len(read_images(tmp_path, layout.tar())) == 1
    layout.index(*({**descriptor, "annotations": {"org.opencontainers.image.ref.name": f"x:{n}"}} for n in range(30)))
    with pytest.raises(FormatError, match=r"got more than 20000 manifests, expected fewer"):
        read_images(tmp_path, layout.tar())


def test_an_image_of_many_names_takes_time_that_grows_with_them(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    image = layout.image([])
    layout.index(*({**image, "annotations": {"org.opencontainers.image.ref.name": f"x:{n}"}} for n in range(15_000)))
    assert len(read_images(tmp_path, layout.tar())[0].repo_tags) == 15_000


def test_names_of_absurd_length_take_no_time(tmp_path: Path) -> None:
    """A name of 18 MB once took seconds, and so did hundreds of thousands of names."""
    members: dict[str, bytes | str | None] = {"l.tar": LOWER, "c.json": config([LOWER])}
    long = manifest(["l.tar"], "c.json", RepoTags=["x" * 18_000_000])
    assert len(read_images(tmp_path, tar({**members, "manifest.json": long}))[0].repo_tags[0]) == 18_000_000
    many = manifest(["l.tar"], "c.json", RepoTags=[f"x:{number}" for number in range(10_001)])
    with pytest.raises(FormatError, match=r"manifest\.json: got 10001 names of an image, expected at most 10000"):
        read_images(tmp_path, tar({**members, "manifest.json": many}))


def entries_of_one_config(count: int, names: int) -> bytes:
    entries = [
        {"Config": "c.json", "RepoTags": [f"x:{number}-{name}" for name in range(names)], "Layers": []}
        for number in range(count)
    ]
    return tar({"c.json": config([]), "manifest.json": json.dumps(entries).encode()})


def test_many_entries_of_one_config_take_time_that_grows_with_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each name is processed a fixed number of times, however many entries of the manifest have the same config."""
    looked_at: list[str] = []
    real = image_names.canonical_name

    def counting(name: str) -> str:
        looked_at.append(name)
        return real(name)

    monkeypatch.setattr(image_names, "canonical_name", counting)
    (found,) = read_images(tmp_path, entries_of_one_config(200, 100))
    assert len(found.repo_tags) == 20_000
    assert len(looked_at) == 20_000


def test_more_names_than_any_archive_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"manifest\.json: got more than 100000 names in all, expected fewer"):
        read_images(tmp_path, entries_of_one_config(101, 1000))


def test_documents_of_many_values_are_refused(tmp_path: Path) -> None:
    for text in (
        b"[" + b"[]," * 1_000_000 + b"[]]",
        b"[" + b"{}," * 1_000_000 + b"{}]",
        b"[" + b"1," * 1_100_000 + b"1]",
    ):
        with pytest.raises(
            FormatError, match=r"manifest\.json: got \d+ values, expected at most 1000000 in all documents"
        ):
            read_images(tmp_path, gzip.compress(tar({"manifest.json": text})))


def test_a_layer_that_an_image_has_many_times_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "_MAX_MEMBERS", 1)
    names = ["l.tar"] * 1000
    documents = {"c.json": config([LOWER] * 1000), "manifest.json": manifest(names, "c.json")}
    assert len(read_images(tmp_path, tar({"l.tar": LOWER, **documents}))[0].layers) == 1000


def test_more_members_than_any_image_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "_MAX_MEMBERS", 5)
    assert read_images(tmp_path, docker_archive({"1.tar": layer(*"abc"), "2.tar": layer(*"de")}))
    with pytest.raises(FormatError, match=r"2\.tar: got more than 5 members in all layers, expected fewer"):
        read_images(tmp_path, docker_archive({"1.tar": layer(*"abc"), "2.tar": layer(*"def")}))
    monkeypatch.setattr(blobs, "_MAX_STORE_PATHS", 2)
    assert read_images(tmp_path, docker_archive({"1.tar": layer(*(f"nix/store/{n}/x" for n in (1, 1, 2)))}))
    with pytest.raises(FormatError, match=r"1\.tar: got more than 2 names in /nix/store, expected fewer"):
        read_images(tmp_path, docker_archive({"1.tar": layer(*(f"nix/store/{n}/x" for n in (1, 2, 3)))}))


def test_more_layers_than_any_image_has_are_refused(tmp_path: Path) -> None:
    many = manifest(["l.tar"] * 1001, "c.json")
    with pytest.raises(FormatError, match=r"c\.json: got 1001 layers, expected at most 1000"):
        read_images(tmp_path, tar({"l.tar": LOWER, "c.json": config([LOWER] * 1001), "manifest.json": many}))
    entry = {"Config": "c.json", "RepoTags": None, "Layers": ["l.tar"] * 900}
    documents = {"c.json": config([LOWER] * 900), "manifest.json": json.dumps([entry] * 30).encode()}
    with pytest.raises(FormatError, match=r"and 20000 in all images"):
        read_images(tmp_path, tar({"l.tar": LOWER, **documents}))


def test_the_nesting_of_indexes_is_limited(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    descriptor = layout.image(LAYERS)
    for _ in range(4):
        descriptor = layout.nested([descriptor])
    layout.index(descriptor)
    assert len(read_images(tmp_path, layout.tar())) == 1
    layout.index(layout.nested([descriptor]))
    with pytest.raises(FormatError, match=r"got indexes in indexes, expected at most 4 levels"):
        read_images(tmp_path, layout.tar())


# Images that contradict themselves


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"linux", b"minix"), (b'"schemaVersion": 2', b'"schemaVersion": 3'), (b"etc/lower", b"etc/other")],
    ids=["config", "manifest", "layer"],
)
def test_a_blob_that_does_not_match_its_name_is_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image([LOWER]))
    index = layout.members.pop("index.json")
    for name, data in layout.members.items():
        assert isinstance(data, bytes)
        layout.members[name] = data.replace(old, new)
    with pytest.raises(IntegrityError, match=r"got sha256:[0-9a-f]{64}, expected "):
        read_images(tmp_path, tar({**layout.members, "index.json": index}))


def test_the_digest_of_a_compressed_layer_is_checked_too(tmp_path: Path) -> None:
    """The blob contains the same tar, compressed differently."""
    layout = LayoutBuilder()
    layout.index(layout.image([LOWER], compress=lambda data: gzip.compress(data, mtime=0), ending="+gzip"))
    (name,) = (name for name, data in layout.members.items() if isinstance(data, bytes) and data[:2] == b"\x1f\x8b")
    layout.members[name] = gzip.compress(LOWER, mtime=1)
    with pytest.raises(IntegrityError, match=r"blobs/sha256/.*: got sha256:.*, expected the digest in its name"):
        read_images(tmp_path, layout.tar())


def test_a_blob_of_another_length_is_an_integrity_error(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index({**layout.image(LAYERS), "size": 5})
    with pytest.raises(IntegrityError, match=r"blobs/sha256/.*: got \d+ bytes, expected 5$"):
        read_images(tmp_path, layout.tar())


def test_a_layer_of_a_docker_archive_must_match_the_digest_in_its_name(tmp_path: Path) -> None:
    name = f"blobs/sha256/{'0' * 64}"
    members = {name: LOWER, "c.json": config([LOWER]), "manifest.json": manifest([name], "c.json")}
    with pytest.raises(IntegrityError, match=r"blobs/sha256/0+: got sha256:.*, expected the digest in its name"):
        read_images(tmp_path, tar(members))


def test_a_file_that_changes_after_it_was_opened_is_refused(tmp_path: Path) -> None:
    (found,) = read_images(tmp_path, skopeo())
    with (tmp_path / "image").open("ab") as file:
        file.write(b"x")
    with pytest.raises(IntegrityError, match=r"the file changed while it was read"):
        read_head(found.layers[0].tar, 1)


# Names that lead outside, decompression bombs and endless input


@pytest.mark.parametrize("name", ["/../etc/passwd", "../l.tar", "a/../l.tar", "a/../../l.tar", "", ".", "./", "/"])
@pytest.mark.parametrize("key", ["Config", "Layers"])
def test_a_manifest_that_names_what_is_outside_is_refused(tmp_path: Path, name: str, key: str) -> None:
    members = {"l.tar": LOWER, "../l.tar": LOWER, "/etc/passwd": LOWER, "c.json": config([LOWER])}
    entry = {"Config": name} if key == "Config" else {"Layers": [name]}
    members["manifest.json"] = manifest(["l.tar"], "c.json", **entry)
    with pytest.raises(FormatError, match=r"image: got .*, expected the name of a member, without '\.\.'"):
        read_images(tmp_path, tar(members))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/etc/passwd", "a link that leads out of the archive"),
        ("../../l.tar", "a link that leads out of the archive"),
        ("layer.tar", "a link that leads to itself"),
        ("../b/layer.tar", "a link that leads to itself"),
        ("../nowhere", "no a/layer.tar"),
    ],
)
def test_a_link_that_leads_out_or_nowhere_is_refused(tmp_path: Path, target: str, expected: str) -> None:
    members: dict[str, bytes | str | None] = {"a/layer.tar": target, "b/layer.tar": "../a/layer.tar"}
    members |= {"c.json": config([LOWER]), "manifest.json": manifest(["a/layer.tar"], "c.json")}
    with pytest.raises(FormatError, match=f"got {expected}, expected"):
        read_images(tmp_path, tar(members))


def test_an_image_whose_name_only_the_manifest_json_has_is_read(tmp_path: Path) -> None:
    """The index of the same file has the name too, but for another image."""
    layout = LayoutBuilder()
    layout.index(layout.image([LOWER], annotations={"io.containerd.image.name": "docker.io/library/x:1"}))
    (tmp_path / "image").write_bytes(
        docker_archive(
            {"a.tar": layer("a")},
            more={name: content for name, content in layout.members.items() if content is not None},
        )
    )
    found = open_images(tmp_path / "image", name="x:1")
    assert [image.repo_tags for image in found] == [("x:1",), ("x:1",)]


def test_links_stay_inside_a_layout_folder(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image([LOWER]))
    layout.write(tmp_path / "layout")
    (found,) = open_images(tmp_path / "layout")
    blob = tmp_path / "layout" / found.layers[0].name
    blob.rename(tmp_path / "layout/elsewhere")
    blob.symlink_to("../../elsewhere")
    assert open_images(tmp_path / "layout")[0].id == found.id
    (tmp_path / "layout/elsewhere").rename(tmp_path / "outside")
    blob.unlink()
    blob.symlink_to(tmp_path / "outside")
    with pytest.raises(FormatError, match=r"got a link that leads out of the folder, expected a link inside it"):
        open_images(tmp_path / "layout")
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(FormatError, match=r"got no blobs/sha256/"):
        open_images(tmp_path / "layout")


def test_a_folder_of_other_things_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"got a folder without index\.json, expected an image file or an OCI layout"):
        open_images(tmp_path)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "nix/store/../../x", "/../x", "a/.."])
def test_a_layer_whose_names_lead_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=r"l\.tar: got a member .*, expected names without '\.\.'"):
        read_images(tmp_path, docker_archive({"l.tar": layer(name)}))


def test_a_layer_may_hold_absolute_names_and_dots(tmp_path: Path) -> None:
    (found,) = read_images(tmp_path, docker_archive({"l.tar": layer("/nix/x", "./a", "...", "..a/b..")}))
    assert found.layers


@pytest.mark.parametrize("compress", [gzip.compress, zstd, lzma.compress], ids=["gzip", "zstd", "xz"])
def test_a_decompression_bomb_is_not_unpacked(
    tmp_path: Path, compress: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "DEFAULT_UNPACKED_SIZE", 2 << 20)
    big = tar({"zeros": bytes(5 << 20)})
    (tmp_path / "bomb").write_bytes(compress(big))
    with pytest.raises(
        FormatError,
        match=r"bomb: got more than \S+ MiB when decompressed, expected a smaller image; .* a decompression bomb",
    ) as caught:
        open_images(tmp_path / "bomb")
    assert "--max-unpacked-size" in caught.value.hint
    layers = docker_archive({"l.tar": compress(big)}, config=json.loads(config([big])))
    # The layer is compressed once more inside the compressed file. The limit depends on the file's own length, not on
    # the length after the first decompression.
    for data in (layers, compress(layers)):
        with pytest.raises(FormatError, match=r"image: l\.tar: got .* may be a decompression bomb"):
            read_images(tmp_path, data)


def test_all_layers_together_have_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "DEFAULT_UNPACKED_SIZE", 5 << 20)
    large = {f"{number}.tar": tar({f"{number}": bytes(1 << 20)}) for number in range(5)}
    data = docker_archive(
        {name: zstd(content) for name, content in large.items()}, config=json.loads(config(list(large.values())))
    )
    with pytest.raises(FormatError, match=r"image: 4\.tar: got more than"):
        read_images(tmp_path, data)


def test_an_image_that_compresses_well_is_not_a_bomb(tmp_path: Path) -> None:
    """100 MiB of zeros are valid in an image, and become holes in the unpacked file."""
    big = tar({"zeros": bytes(100 << 20)})
    (found,) = read_images(tmp_path, zstd(docker_archive({"l.tar": zstd(big)}, config=json.loads(config([big])))))
    assert found.layers[0].tar.length == len(big)
    assert os.stat(found.layers[0].tar.file).st_blocks * 512 < 1 << 20


def test_a_given_limit_is_absolute(tmp_path: Path) -> None:
    data = zstd(skopeo())
    (tmp_path / "image").write_bytes(data)
    size = len(skopeo())
    assert open_images(tmp_path / "image", size)
    with pytest.raises(FormatError, match=r"got more than [0-9.]+ KiB when decompressed"):
        open_images(tmp_path / "image", size - 1)


@pytest.mark.parametrize("outer", ["gzip", "zstd", "xz"])
def test_zeros_behind_a_compressed_image_are_padding(tmp_path: Path, outer: str) -> None:
    (found,) = read_images(tmp_path, OUTER[outer](skopeo()) + bytes(10_240))
    assert found.id == sha256(TEXT)


@pytest.mark.parametrize("zeros", [1, 2, 3, 6])
def test_zeros_behind_an_xz_stream_are_as_many_as_a_multiple_of_four(tmp_path: Path, zeros: int) -> None:
    """The .xz file format, 2.2."""
    with pytest.raises(FormatError, match=r"expected a multiple of 4 zeros"):
        read_images(tmp_path, lzma.compress(skopeo()) + bytes(zeros))


def test_a_stream_that_asks_for_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    """The dictionary of an xz stream may be 4 GiB large, however short the stream is."""
    packed = bytearray(lzma.compress(skopeo()))
    # The block's header: its size in words, flags, the filter LZMA2 with one byte of properties, padding, CRC.
    assert packed[12:16] == b"\x02\0\x21\x01"
    packed[16] = 40
    packed[20:24] = zlib.crc32(packed[12:20]).to_bytes(4, "little")
    with pytest.raises(FormatError, match=r"image: xz at byte 0: got Memory usage limit exceeded"):
        read_images(tmp_path, bytes(packed))


def test_a_python_without_xz_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lzma", None)
    with pytest.raises(FormatError, match=r"image: xz: got .*, expected a Python with "):
        read_images(tmp_path, lzma.compress(skopeo()))
    assert read_images(tmp_path, gzip.compress(skopeo()))


def test_a_device_without_end_is_refused_at_once() -> None:
    for device in ("/dev/zero", "/dev/urandom"):
        with pytest.raises(FormatError, match=r"got no tar header at byte 0, expected one, as in a docker-archive"):
            open_images(Path(device))


_NOT_THERE = r"got a non-distributable layer that is missing"


@pytest.mark.parametrize(
    ("media_type", "there", "expected"),
    [
        (f"{OCI}layer.v1.tar+lz4", True, r"got a layer of media type .*lz4', expected the media type of a tar"),
        (
            f"{OCI}layer.v1.tar+gzip+encrypted",
            True,
            r"got a layer of media type .*encrypted', expected the media type of a tar",
        ),
        ("text/plain", True, r"has a layer of media type 'text/plain', expected the manifest of an image"),
        (
            f"{OCI}layer.nondistributable.v1.tar+gzip",
            False,
            r"got a non-distributable layer that is missing",
        ),
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            False,
            r"got a non-distributable layer that is missing",
        ),
        (f"{OCI}layer.v1.tar", False, r"got no blobs/sha256/"),
    ],
)
def test_layers_of_another_type_or_without_their_blob_are_refused(
    tmp_path: Path, media_type: str, there: bool, expected: str
) -> None:
    layout = LayoutBuilder()
    listed = (layout if there else LayoutBuilder()).blob(LOWER, media_type)
    document = layout.blob(config([LOWER]), f"{OCI}config.v1+json")
    layout.index(layout.manifest({"config": document, "layers": [listed]}))
    with pytest.raises(FormatError, match=expected):
        read_images(tmp_path, layout.tar())


def test_a_nondistributable_layer_may_be_present(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    listed = layout.blob(LOWER, f"{OCI}layer.nondistributable.v1.tar")
    document = layout.blob(config([LOWER]), f"{OCI}config.v1+json")
    layout.index(layout.manifest({"config": document, "layers": [listed]}))
    assert str(read_images(tmp_path, layout.tar())[0].layers[0].diff_id) == sha256(LOWER)


INDEXES: list[Any] = [
    None,
    [],
    {},
    {"manifests": None},
    {"manifests": []},
    {"manifests": [5]},
    {"manifests": [{}]},
    {"manifests": [{"mediaType": f"{OCI}manifest.v1+json", "digest": 5, "size": 1}]},
    {"manifests": [{"mediaType": f"{OCI}manifest.v1+json", "digest": "sha512:" + "0" * 128, "size": 1}]},
    {"manifests": [{"mediaType": f"{OCI}manifest.v1+json", "digest": "sha256:../../x", "size": 1}]},
    {"manifests": [{"mediaType": f"{OCI}manifest.v1+json", "digest": "sha256:" + "0" * 64, "size": "1"}]},
    {"manifests": [{"mediaType": "text/html", "digest": "sha256:" + "0" * 64, "size": 1}]},
    {"manifests": [{"mediaType": f"{OCI}index.v1+json", "digest": "sha256:" + "0" * 64, "size": 1}]},
]


@pytest.mark.parametrize("index", INDEXES, ids=repr)
def test_an_index_of_another_shape_is_a_format_error(tmp_path: Path, index: Any) -> None:
    with pytest.raises(FormatError, match=r": got .*, expected"):
        read_images(tmp_path, tar({"index.json": json.dumps(index).encode()}))


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"config": 5}, {"config": {}}, {"config": None, "layers": []}, {"config": {"mediaType": {}}}],
)
def test_an_image_manifest_of_another_shape_is_a_format_error(tmp_path: Path, document: Any) -> None:
    layout = LayoutBuilder()
    layout.index(layout.manifest(document))
    with pytest.raises(FormatError, match=r": got .*, expected"):
        read_images(tmp_path, layout.tar())
    wrong: list[Any] = [5, {}, [5], [{}], [{"mediaType": 5}]]
    for layers in wrong:
        good = layout.blob(config([]), f"{OCI}config.v1+json")
        layout.index(layout.manifest({"config": good, "layers": layers}))
        with pytest.raises(FormatError, match=r": got .*, expected"):
            read_images(tmp_path, layout.tar())
