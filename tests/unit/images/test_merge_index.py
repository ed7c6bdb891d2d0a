"""Images that exist are grouped by name, and get an index if they are for several platforms."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import LayoutBuilder
from tests.support.indexes import NAME, add_index, add_platform, add_whole_index

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.names import ImageReference
from lamina.errors import InvalidArgument
from lamina.formats.media_types import DOCKER, OCI
from lamina.formats.oci import Descriptor
from lamina.images.existing_image import FileImage
from lamina.images.merge_index import FoundImage, PlatformImages, gather_platforms, group_by_name
from lamina.images.readers.open import open_images

APP = ImageReference("app", "1")
GZIP = LayerCompression.parse("gzip")


def find(folder: Path, layout: LayoutBuilder, *entries: dict[str, Any], name: str | None = None) -> list[FoundImage]:
    layout.index(*entries)
    layout.write(folder)
    return [FoundImage(FileImage(image), folder, name) for image in open_images(folder)]


def named(reference: str) -> dict[str, Any]:
    return {"annotations": {NAME: f"docker.io/library/{reference}"}}


def describe(images: PlatformImages, media_type: str = OCI.manifest) -> list[Descriptor]:
    return [Descriptor(media_type, digest, 5) for found in images.images if (digest := found.described.manifest_digest)]


def test_images_of_one_name_are_one_in_any_spelling(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    entries = [
        add_platform(layout, architecture, annotations={NAME: name})
        for architecture, name in (("amd64", "docker.io/library/app:1"), ("arm64", "index.docker.io/app:1"))
    ]
    (app,) = group_by_name(find(tmp_path, layout, *entries), NO_LAYER_COMPRESSION)
    assert (app.name, len(app.images), app.has_index, app.whole) == (APP, 2, True, None)


def test_an_image_in_two_files_is_one_member(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    entry = add_platform(layout, "amd64", **named("app:1"))
    found = [*find(tmp_path / "one", layout, entry), *find(tmp_path / "two", layout, entry)]
    (app,) = group_by_name(found, NO_LAYER_COMPRESSION)
    assert (len(app.images), app.has_index) == (1, False)


def test_the_name_by_which_an_image_was_chosen_is_its_only_one(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    entry = add_platform(layout, "amd64")
    entries = [{**entry, **named(name)} for name in ("app:1", "app:2")]
    (found,) = find(tmp_path, layout, *entries, name="library/app:2")
    assert found.names == (ImageReference("app", "2"),)
    (by_id,) = find(tmp_path, layout, *entries, name=found.described.digest.hex)
    assert by_id.names == (APP, ImageReference("app", "2"))


def test_no_images_are_an_error() -> None:
    with pytest.raises(InvalidArgument, match="images: got none, expected at least one"):
        group_by_name([], NO_LAYER_COMPRESSION)


def test_a_whole_index_is_kept_unless_a_layer_has_to_be_compressed(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    entry = add_whole_index(layout, is_compressed=False, **named("app:1"))
    found = find(tmp_path, layout, entry)
    kept = gather_platforms(APP, found, NO_LAYER_COMPRESSION)
    assert kept.whole is not None
    document, descriptor = kept.dump_index(describe(kept))
    assert document == layout.members[f"blobs/sha256/{entry['digest'][7:]}"]
    assert (descriptor.media_type, str(descriptor.digest)) == (OCI.index, entry["digest"])
    assert (len(kept.others), kept.list_warnings()) == (1, ())
    changed = gather_platforms(APP, found, GZIP)
    assert (changed.whole, changed.others, len(changed.list_warnings())) == (None, (), 1)
    assert gather_platforms(APP, found, NO_LAYER_COMPRESSION, DOCKER).whole is None
    assert gather_platforms(APP, found, NO_LAYER_COMPRESSION, chosen_name="app:2").whole is None


def test_a_new_index_has_the_annotations_of_the_old_one(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    found = find(tmp_path, layout, add_whole_index(layout, is_compressed=False, **named("app:1")))
    changed = gather_platforms(APP, found, GZIP)
    document = json.loads(changed.dump_index(describe(changed))[0])
    assert document["annotations"] == {"org.example.team": "web"}
    assert [item["platform"]["architecture"] for item in document["manifests"]] == ["amd64", "arm64"]


@pytest.mark.parametrize(("manifest", "index"), [(OCI.manifest, OCI.index), (DOCKER.manifest, DOCKER.index)])
def test_an_index_has_the_media_types_of_its_manifests(tmp_path: Path, manifest: str, index: str) -> None:
    layout = LayoutBuilder()
    entries = [add_platform(layout, name, **named("app:1")) for name in ("amd64", "arm64")]
    (app,) = group_by_name(find(tmp_path, layout, *entries), NO_LAYER_COMPRESSION)
    assert app.dump_index(describe(app, manifest))[1].media_type == index


def test_an_index_of_one_image_is_kept(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    (app,) = group_by_name(
        find(tmp_path, layout, add_index(layout, [add_platform(layout, "amd64")], **named("app:1"))), GZIP
    )
    assert app.has_index
    assert len(app.images) == 1
