"""Docker-archives are read back with every digest computed, and invalid files raise only lamina's own errors."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import scale
from tests.support.fake_nix_store import as_nobody, example, public_folder
from tests.support.image_files import docker_archive, layer, tar

import lamina
from lamina.compression import libraries
from lamina.errors import FormatError, InputError, IntegrityError
from lamina.images.image import Image
from lamina.images.readers.open import open_images
from lamina.images.readers.source_image import SourceImage

LAYER_PATH = "nix/store/00000000000000000000000000000000-x"


@pytest.fixture(scope="module")
def written_archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Image]:
    """An archive and the image in it."""
    store, _ = example(tmp_path_factory.mktemp("store") / "root")
    out = io.BytesIO()
    made = lamina.stream_layered_image(
        name="x", tag="1", contents=["hello"], store=str(store.root), config={"Cmd": ["/bin/hello"]}
    ).write_to(out)
    return out.getvalue(), made


def read_images(folder: Path, data: bytes) -> tuple[SourceImage, ...]:
    (folder / "image").write_bytes(data)
    return open_images(folder / "image")


def read_or_refuse(folder: Path, data: bytes) -> None:
    """Check that a damaged file raises `FormatError` or `IntegrityError` with its name and nothing else, or is read."""
    try:
        assert read_images(folder, data)
    except (FormatError, IntegrityError) as error:
        assert str(error).startswith(f"{folder}/image: ")  # noqa: PT017 - or no error at all


# Valid archives


@pytest.mark.parametrize("compress", [bytes, gzip.compress, libraries.zstd().compress], ids=["none", "gzip", "zstd"])
def test_an_image_that_was_written_is_found(
    written_archive: tuple[bytes, Image], tmp_path: Path, compress: Any
) -> None:
    data, written = written_archive
    (found,) = read_images(tmp_path, compress(data))
    assert found.digest == written.digest
    assert found.repo_tags == ("x:1",)
    assert found.config["config"] == {"Cmd": ["/bin/hello"]}
    assert [(item.diff_id, item.digest, item.size, item.paths) for item in found.layers] == [
        (item.diff_id, item.diff_id, item.size, item.paths) for item in written.layers
    ]


def test_a_compressed_layer_has_both_digests(tmp_path: Path) -> None:
    plain = layer(LAYER_PATH)
    packed = gzip.compress(plain, mtime=0)
    (found,) = read_images(tmp_path, docker_archive({"a/layer.tar": packed}))
    (only,) = found.layers
    assert only.diff_id.hex == hashlib.sha256(plain).hexdigest()
    assert only.digest.hex == hashlib.sha256(packed).hexdigest()
    assert only.size == len(packed)


def test_layers_may_be_links_to_others(tmp_path: Path) -> None:
    content = layer("etc/x")
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    config = {"rootfs": {"type": "layers", "diff_ids": [digest, digest]}}
    names = {"Layers": ["a/layer.tar", "b/layer.tar"]}
    data = docker_archive({"a/layer.tar": content}, config=config, entry=names, more={"b/layer.tar": "../a/layer.tar"})
    (found,) = read_images(tmp_path, data)
    assert [item.name for item in found.layers] == ["a/layer.tar", "b/layer.tar"]
    assert found.layers[0].tar == found.layers[1].tar


@pytest.mark.parametrize("prefix", ["", "/", "./", "/./"])
def test_store_paths_are_found_however_the_tar_spells_them(tmp_path: Path, prefix: str) -> None:
    other = LAYER_PATH.replace("0-x", "1-y")
    names = [f"{prefix}{LAYER_PATH}", f"{prefix}{other}/bin/x", f"{prefix}{other}/bin/y", f"{prefix}etc/x"]
    (found,) = read_images(tmp_path, docker_archive({"l.tar": layer(*names)}))
    assert [str(path) for path in found.layers[0].paths] == [f"/{LAYER_PATH}", f"/{other}"]


@pytest.mark.parametrize(
    "name", ["nix/store/.links/x", "nix/store/short-x", "nix/store/\udcff\x1b[2J", "nix/store/x\ny"]
)
def test_names_that_are_not_store_paths_are_not_reported(tmp_path: Path, name: str) -> None:
    (found,) = read_images(tmp_path, docker_archive({"l.tar": layer(name, LAYER_PATH)}))
    assert [str(path) for path in found.layers[0].paths] == [f"/{LAYER_PATH}"]


def test_an_archive_of_several_images_gives_them_all(tmp_path: Path) -> None:
    content = layer("etc/x")
    first = json.dumps({"rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(content).hexdigest()]}, "n": 1}).encode()
    second = first.replace(b'"n": 1', b'"n": 2')
    entries: list[dict[str, Any]] = [
        {"Config": f"{hashlib.sha256(text).hexdigest()}.json", "RepoTags": tags, "Layers": ["l.tar"]}
        for text, tags in ((first, ["a:1", "a:2"]), (second, None))
    ]
    members: dict[str, bytes | str] = {
        "l.tar": content,
        entries[0]["Config"]: first,
        entries[1]["Config"]: second,
        "manifest.json": json.dumps(entries).encode(),
    }
    assert [item.repo_tags for item in read_images(tmp_path, tar(members))] == [("a:1", "a:2"), ()]


# Archives that contradict themselves


def test_a_layer_that_does_not_match_the_config_is_an_integrity_error(
    written_archive: tuple[bytes, Image], tmp_path: Path
) -> None:
    data, _ = written_archive
    offset = data.index(b"libliblib")
    with pytest.raises(IntegrityError, match=rf"^{tmp_path}/image: \d\.tar: layer \d: got sha256:.*, expected sha256:"):
        read_images(tmp_path, data[:offset] + b"L" + data[offset + 1 :])


def test_a_config_that_does_not_match_its_name_is_an_integrity_error(
    written_archive: tuple[bytes, Image], tmp_path: Path
) -> None:
    data, _ = written_archive
    with pytest.raises(IntegrityError, match=r"config: got sha256:.*, expected sha256:"):
        read_images(tmp_path, data.replace(b'"/bin/hello"', b'"/bin/evil!"'))


def test_another_number_of_layers_is_an_integrity_error(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"rootfs: got 1 diff IDs, expected 2, one for each layer"):
        read_images(tmp_path, docker_archive({"l.tar": layer("x")}, entry={"Layers": ["l.tar", "l.tar"]}))


# Files that are not archives


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, tmp_path / "missing/x", Path("nul\0")):
        with pytest.raises(InputError, match=r": got .*, expected an image file"):
            open_images(path)


def test_a_file_without_read_permission_is_an_input_error() -> None:
    with public_folder() as folder:
        (folder / "image").write_bytes(b"x")
        (folder / "image").chmod(0)
        with pytest.raises(InputError, match=rf"^{folder}/image: got Permission denied, expected"):
            as_nobody(lambda: open_images(folder / "image"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"hello, this is a text\n" * 1000,
        bytes(10240),
        os.urandom(20_000),
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00" + b"\xff" * 100,
        b"\x28\xb5\x2f\xfd",
        b"\x28\xb5\x2f\xfd" + b"\xff" * 100,
        gzip.compress(b"not a tar", mtime=0),
        tar({}),
        tar({"x": b"y"}),
        tar({"manifest.json": "manifest.json"}),
        b"PK\x03\x04" + bytes(600),
    ],
)
def test_other_files_are_not_archives(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FormatError, match=rf"^{tmp_path}/image: .*got .*, expected .*") as caught:
        read_images(tmp_path, data)
    assert "\n" not in str(caught.value)


MANIFESTS: list[Any] = [
    None,
    5,
    "x",
    {},
    {"Config": "x"},
    [5],
    [None],
    ["x"],
    [[]],
    [{}],
    [{"Config": "missing.json", "Layers": []}],
    [{"Config": 5, "Layers": []}],
    [{"Config": None, "Layers": []}],
    [{"Config": "c.json", "Layers": 5}],
    [{"Config": "c.json", "Layers": [5]}],
    [{"Config": "c.json", "Layers": ["missing.tar"]}],
    [{"Config": "c.json", "Layers": [], "RepoTags": 5}],
    [{"Config": "c.json", "Layers": [], "RepoTags": "x:1"}],
    [{"Config": "c.json", "Layers": [], "RepoTags": [5]}],
    [{"Config": "c.json", "Layers": [], "RepoTags": [["x"]]}],
    [{"Config": "c.json", "Layers": [], "RepoTags": {"x": 1}}],
]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=repr)
def test_a_manifest_of_another_shape_is_a_format_error(tmp_path: Path, manifest: Any) -> None:
    config = json.dumps({"rootfs": {"diff_ids": []}}).encode()
    with pytest.raises(FormatError, match=r": got .*, expected"):
        read_images(tmp_path, tar({"c.json": config, "manifest.json": json.dumps(manifest).encode()}))


CONFIGS: list[Any] = [
    None,
    5,
    [],
    {},
    {"rootfs": None},
    {"rootfs": []},
    {"rootfs": {}},
    {"rootfs": {"diff_ids": [5]}},
    {"rootfs": {"diff_ids": ["x"]}},
    {"rootfs": {"diff_ids": ["sha256:" + "g" * 64]}},
    {"rootfs": {"diff_ids": ["sha512:" + "0" * 128]}},
]


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_a_config_of_another_shape_is_a_format_error(tmp_path: Path, config: Any) -> None:
    manifest = json.dumps([{"Config": "c.json", "RepoTags": [], "Layers": []}]).encode()
    with pytest.raises(FormatError, match=r": got .*, expected"):
        read_images(tmp_path, tar({"c.json": json.dumps(config).encode(), "manifest.json": manifest}))


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b"{", b"[\xff]", b"\xff\xfe", b'[{"Config": 1e999}]', b"[" + b"9" * 5000 + b"]"]
)
@pytest.mark.parametrize("name", ["manifest.json", "c.json"])
def test_a_document_that_is_not_json_is_a_format_error(tmp_path: Path, name: str, text: bytes) -> None:
    manifest = json.dumps([{"Config": "c.json", "RepoTags": [], "Layers": []}]).encode()
    documents: dict[str, bytes | str] = {"c.json": b"{}", "manifest.json": manifest, name: text}
    with pytest.raises(FormatError, match=r": got .*, expected"):
        read_images(tmp_path, tar(documents))


@pytest.mark.parametrize(
    "content", [b"not a tar", b"x" * 600, gzip.compress(b"not a tar", mtime=0), b"\x1f\x8b broken"]
)
def test_a_layer_that_is_not_a_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FormatError, match=r"image: l\.tar: .*got .*, expected"):
        read_images(tmp_path, docker_archive({"l.tar": content}))


def test_an_empty_file_is_an_empty_layer(tmp_path: Path) -> None:
    (found,) = read_images(tmp_path, docker_archive({"l.tar": b""}))
    assert found.layers[0].tar.length == 0


_PAX = ["size=x", "GNU.sparse.major=1", "GNU.sparse.map=a,b", "GNU.sparse.size=-5", "mtime=nan", "path=\0", "uid=1e9"]


@pytest.mark.parametrize("record", [*_PAX, "GNU.sparse.major=1\0GNU.sparse.minor=0\0GNU.sparse.realsize=x"])
def test_unusual_pax_records_do_not_crash(tmp_path: Path, record: str) -> None:
    out = io.BytesIO()
    headers = dict(item.split("=", 1) for item in record.split("\0", 0 if record.startswith("path") else -1))
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=None) as archive:
        info = tarfile.TarInfo("x")
        info.pax_headers = headers
        info.size = 1024
        archive.addfile(info, io.BytesIO(b"1\n2\nx\n".ljust(1024, b"\n")))
    for data in (out.getvalue(), docker_archive({"l.tar": out.getvalue()})):
        read_or_refuse(tmp_path, data)


SIZES = [b"\x80" + b"\x7f" * 11, b"77777777777\0", b"\x80" + bytes(4) + b"\xff" * 7]


@pytest.mark.parametrize(
    ("size", "inner"), [*((size, inner) for size in SIZES for inner in (False, True)), (b"\xff" * 12, False)]
)
def test_an_impossible_size_in_a_header_is_a_format_error(tmp_path: Path, size: bytes, inner: bool) -> None:
    data = bytearray(layer("x", "y"))
    data[124:136] = size
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:512]))
    with pytest.raises(FormatError, match=r": got .*, expected"):
        read_images(tmp_path, docker_archive({"l.tar": bytes(data)}) if inner else bytes(data))


def test_a_file_cut_anywhere_is_a_format_error(written_archive: tuple[bytes, Image], tmp_path: Path) -> None:
    data, _ = written_archive
    end = data.rindex(b"]") + 1
    for length in sorted(random.Random(2).sample(range(end), 40)):
        with pytest.raises(FormatError, match=r": got .*, expected .* docker-archive"):
            read_images(tmp_path, data[:length])


@pytest.mark.parametrize("compress", [gzip.compress, libraries.zstd().compress], ids=["gzip", "zstd"])
def test_a_compressed_file_cut_anywhere_is_a_format_error(
    written_archive: tuple[bytes, Image], tmp_path: Path, compress: Any
) -> None:
    data = compress(written_archive[0])
    for length in [*random.Random(3).sample(range(len(data)), 20), len(data) - 1]:
        with pytest.raises(FormatError, match=r": got .*, expected .* docker-archive"):
            read_images(tmp_path, data[:length])


def test_a_file_damaged_anywhere_raises_only_errors_of_lamina(
    written_archive: tuple[bytes, Image], tmp_path: Path
) -> None:
    """The rule: a damaged file raises `FormatError` or `IntegrityError` and nothing else, or its image is found."""
    data, _ = written_archive
    source = random.Random(4)
    for packed in (data, gzip.compress(data, mtime=0), libraries.zstd().compress(data)):
        for _ in range(scale(150)):
            spoilt = bytearray(packed)
            for _ in range(source.choice([1, 1, 5])):
                spoilt[source.randrange(len(spoilt))] = source.choice([0, 0xFF, 0x30, source.randrange(256)])
            read_or_refuse(tmp_path, bytes(spoilt))


def test_headers_damaged_anywhere_raise_only_errors_of_lamina(
    written_archive: tuple[bytes, Image], tmp_path: Path
) -> None:
    data, _ = written_archive
    source = random.Random(5)
    headers = [offset - 257 for offset in range(len(data)) if data[offset : offset + 5] == b"ustar"]
    for _ in range(scale(400)):
        spoilt = bytearray(data)
        start = source.choice(headers)
        for _ in range(source.choice([1, 2, 8])):
            spoilt[start + source.randrange(345)] = source.choice(
                [0, 0xFF, 0x80, 0x37, 0x78, 0x4C, 0x53, source.randrange(256)]
            )
        header = spoilt[start : start + 512]
        checksum = sum(header[:148]) + 8 * 32 + sum(header[156:])
        spoilt[start + 148 : start + 156] = b"%06o\0 " % checksum
        read_or_refuse(tmp_path, bytes(spoilt))


@pytest.mark.parametrize(("number", "size"), [(1, (20 << 20) + 1), (5, 15 << 20)])
def test_endless_documents_are_not_held_in_memory(tmp_path: Path, number: int, size: int) -> None:
    """A document may be no longer than containerd reads, and all documents together are limited."""
    text = b'{"rootfs": {"diff_ids": []}}'
    entries = [{"Config": f"{item}.json", "Layers": []} for item in range(number)]
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        for item in range(number):
            info = tarfile.TarInfo(f"{item}.json")
            info.size = size
            archive.addfile(info, io.BytesIO(text.ljust(size)))
        manifest = tarfile.TarInfo("manifest.json")
        content = json.dumps(entries).encode()
        manifest.size = len(content)
        archive.addfile(manifest, io.BytesIO(content))
    with pytest.raises(FormatError, match=r"json: got \d+ bytes, expected a document of at most"):
        open_images(tmp_path / "image.tar")


def test_an_archive_of_endless_members_is_not_held_in_memory(tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(tarfile.TarInfo("x").tobuf() * 20_100)
    with pytest.raises(FormatError, match=r"more than .* members"):
        open_images(tmp_path / "image.tar")
