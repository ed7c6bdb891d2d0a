"""The bytes of layers in files and in registries."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.image_files import LayoutBuilder, sha256, tar
from tests.support.registry import MemoryRegistry, add_image, connect, serve_registry

from lamina.core.names import Digest
from lamina.errors import FormatError, IntegrityError
from lamina.images.layer_bytes import LayerBytes, list_file_layers, list_registry_layers
from lamina.images.readers.open import open_images
from lamina.images.readers.registry_image import read_registry_images
from lamina.registry.connection import RegistryConnection

TAR = tar({"/nix/": None, "/nix/store/": None, "x": b"x" * 100_000})


def pack(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def write_layout(folder: Path, compress: Callable[[bytes], bytes] = pack) -> LayoutBuilder:
    builder = LayoutBuilder()
    builder.index(builder.image([TAR], compress=compress, ending="+gzip" if compress is pack else ""))
    builder.write(folder / "layout")
    return builder


def open_layer(folder: Path, max_unpacked: int | None = None) -> LayerBytes:
    (image,) = open_images(folder / "layout", reads_layers=False)
    (layer,) = list_file_layers(image, max_unpacked, lambda size: None)
    return layer


def replace_blob(folder: Path, data: bytes) -> None:
    """Replace the layer's blob by one of the same length."""
    file = folder / "layout/blobs/sha256" / sha256(pack(TAR))[7:]
    file.write_bytes(data.ljust(len(pack(TAR)), b"\0"))


@pytest.mark.parametrize("compress", [bytes, pack])
def test_an_intact_layer_has_its_digests(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    write_layout(tmp_path, compress)
    counted: list[int] = []
    assert open_layer(tmp_path).find_damage(counted.append) is None
    assert sum(counted) == len(TAR)
    assert b"".join(open_layer(tmp_path).open_tar()) == TAR
    assert open_layer(tmp_path).read_first_header().name == b"/nix/"


def test_a_blob_with_other_bytes_is_damage(tmp_path: Path) -> None:
    write_layout(tmp_path)
    replace_blob(tmp_path, pack(tar({"y": b""})))
    damage = open_layer(tmp_path).find_damage(lambda size: None)
    assert damage
    assert str(damage).startswith("blob blobs/sha256/")
    assert damage.expected == sha256(pack(TAR))


def test_a_blob_that_cannot_be_unpacked_is_damage_and_is_read_up_to_it(tmp_path: Path) -> None:
    write_layout(tmp_path)
    replace_blob(tmp_path, pack(TAR)[:-8] + b"\1" * 8)
    layer = open_layer(tmp_path)
    damage = layer.find_damage(lambda size: None)
    assert isinstance(damage, IntegrityError), "its digest says that it is damaged"
    assert damage.expected == sha256(pack(TAR))
    assert TAR.startswith(b"".join(layer.open_readable_tar()))


def test_a_layer_unpacks_to_no_more_than_the_limit(tmp_path: Path) -> None:
    write_layout(tmp_path)
    damage = open_layer(tmp_path, max_unpacked=5000).find_damage(lambda size: None)
    assert damage
    assert "more than 4.9 KiB when decompressed" in damage.got


def test_an_empty_layer_has_no_first_header(tmp_path: Path) -> None:
    builder = LayoutBuilder()
    builder.index(builder.image([bytes(10240)]))
    builder.write(tmp_path / "layout")
    with pytest.raises(FormatError, match="got an empty tar"):
        open_layer(tmp_path).read_first_header()


def read_layer(server: MemoryRegistry, counted: list[int]) -> tuple[LayerBytes, RegistryConnection]:
    connection = connect(server)
    (image,) = read_registry_images(connection, server.reference())
    (layer,) = list_registry_layers(image, connection, None, counted.append, is_read=False)
    return layer, connection


def test_a_start_that_is_too_short_is_continued(tmp_path: Path) -> None:
    write_layout(tmp_path)
    layer = replace(open_layer(tmp_path), open_start=lambda: [pack(TAR)[:12]])
    assert layer.read_first_header().name == b"/nix/"


@pytest.mark.parametrize(("compress", "size"), [(bytes, 4096), (pack, len(pack(TAR)))])
def test_the_start_of_a_blob_in_a_registry_is_enough_for_a_header(
    compress: Callable[[bytes], bytes], size: int
) -> None:
    counted: list[int] = []
    with serve_registry() as server:
        layout = LayoutBuilder()
        add_image(server, layout, layout.image([TAR], compress=compress, ending="+gzip" if compress is pack else ""))
        layer, connection = read_layer(server, counted)
        with connection:
            assert layer.read_first_header().name == b"/nix/"
            assert counted == [size]
            assert b"".join(layer.open_tar()) == TAR


def test_a_blob_of_a_registry_that_lies_is_damage() -> None:
    with serve_registry() as server:
        layout = LayoutBuilder()
        add_image(server, layout, layout.image([TAR]))
        server.blobs["me/app"][sha256(TAR)] = TAR.replace(b"xx", b"xy", 1)
        layer, connection = read_layer(server, [])
        with connection:
            damage = layer.find_damage(lambda size: None)
        assert damage
        assert damage.expected == "the digest that was asked for"
        assert layer.layer.diff_id == Digest.parse_oci(sha256(TAR))
