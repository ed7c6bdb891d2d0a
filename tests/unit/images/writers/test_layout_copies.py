"""Images that exist are copied into OCI layouts, as they are where a layout can have them so."""

import json
import lzma
from pathlib import Path

import pytest
from tests.support.image_files import LayoutBuilder, docker_archive, layer, sha256
from tests.support.indexes import add_attestation, add_index, add_platform, pack
from tests.support.progress import RecordedProgress

import lamina
from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.errors import IntegrityError
from lamina.formats.oci import Descriptor
from lamina.images.readers.index_contents import read_contents
from lamina.images.readers.open import open_images
from lamina.images.readers.source_image import SourceImage
from lamina.images.writers.layout_blobs import open_layout
from lamina.images.writers.layout_copies import copy_documents, copy_image
from lamina.layers.context import BuildContext

GZIP = LayerCompression.parse("gzip")
A, B = layer("a"), layer("b")


def copy(image: SourceImage, folder: Path, compression: LayerCompression | None = None) -> Descriptor:
    with open_layout(folder, verify=False) as blobs:
        return copy_image(image, blobs, compression or NO_LAYER_COMPRESSION, BuildContext()).manifest


def read_manifest(folder: Path, descriptor: Descriptor) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = json.loads((folder / f"blobs/sha256/{descriptor.digest.hex}").read_bytes())
    return found


@pytest.mark.parametrize("reads_layers", [True, False])
@pytest.mark.parametrize("compression", [None, GZIP])
def test_compressed_layers_and_their_manifest_keep_their_bytes(
    tmp_path: Path, reads_layers: bool, compression: LayerCompression | None
) -> None:
    layout = LayoutBuilder()
    described = layout.image([A, B], compress=pack, ending="+gzip")
    layout.index(described)
    layout.write(tmp_path / "old")
    (image,) = open_images(tmp_path / "old", reads_layers=reads_layers)
    assert str(copy(image, tmp_path / "new", compression).digest) == described["digest"]
    for name, data in layout.members.items():
        if name.startswith("blobs/"):
            assert (tmp_path / "new" / name).read_bytes() == data


def test_plain_layers_of_an_archive_are_copied_or_compressed(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(docker_archive({"a.tar": A, "b.tar": pack(B)}))
    (image,) = open_images(tmp_path / "x.tar")
    plain = read_manifest(tmp_path / "plain", copy(image, tmp_path / "plain"))
    assert [item["digest"] for item in plain["layers"]] == [sha256(A), sha256(pack(B))]
    assert [item["mediaType"].rpartition(".")[2] for item in plain["layers"]] == ["tar", "tar+gzip"]
    packed = read_manifest(tmp_path / "packed", copy(image, tmp_path / "packed", GZIP))
    assert [item["mediaType"].rpartition(".")[2] for item in packed["layers"]] == ["tar+gzip", "tar+gzip"]
    assert packed["layers"][1] == plain["layers"][1]
    assert image.id == sha256((tmp_path / f"packed/blobs/sha256/{image.digest.hex}").read_bytes())


def test_a_layer_that_no_layout_can_have_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(docker_archive({"a.tar": A}))
    (image,) = open_images(tmp_path / "x.tar")
    (tmp_path / "y.tar").write_bytes(docker_archive({"a.tar": lzma.compress(A)}, config=dict(image.config)))
    (image,) = open_images(tmp_path / "y.tar")
    manifest = read_manifest(tmp_path / "new", copy(image, tmp_path / "new"))
    assert [item["digest"] for item in manifest["layers"]] == [sha256(A)]


def test_what_a_layout_has_is_not_copied_again(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image([A, B], compress=pack, ending="+gzip"))
    layout.write(tmp_path / "old")
    (image,) = open_images(tmp_path / "old")
    progress = RecordedProgress()
    for folder in ("new", "new"):
        with open_layout(tmp_path / folder, verify=False) as blobs:
            copy_image(image, blobs, NO_LAYER_COMPRESSION, BuildContext(), progress)
            count = len(blobs.new)
    assert count == 0


def test_a_damaged_layer_is_never_complete_in_the_layout(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image([A], compress=pack, ending="+gzip"))
    layout.write(tmp_path / "old")
    file = tmp_path / "old/blobs/sha256" / sha256(pack(A))[7:]
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (image,) = open_images(tmp_path / "old", reads_layers=False)
    with pytest.raises(IntegrityError, match="expected the digest in its name"):
        copy(image, tmp_path / "new")
    assert not (tmp_path / "new/blobs/sha256" / file.name).exists()


def test_documents_are_copied_after_their_blobs(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    image = add_platform(layout, "amd64")
    layout.index(add_index(layout, [image, add_attestation(layout, image), add_attestation(layout, image)]))
    layout.write(tmp_path / "old")
    (index,) = lamina.inspect(tmp_path / "old")[0].indexes
    documents = read_contents(index, "app:1")
    progress = RecordedProgress()
    with open_layout(tmp_path / "new", verify=False) as blobs:
        copy_documents(documents, blobs, "app:1", progress)
        copy_documents([], blobs, "app:1", progress)
    for document in documents:
        for digest in (document.descriptor.digest, *(blob.descriptor.digest for blob in document.blobs)):
            name = f"blobs/sha256/{digest.hex}"
            assert (tmp_path / "new" / name).read_bytes() == layout.members[name]
