"""The documents of images."""

from dataclasses import replace
from typing import Any

from lamina.cli.documents.images import dump_build, dump_written, name_file
from lamina.core.names import Digest, ImageReference
from lamina.images.blob_totals import BlobTotal, UpdateTotals
from lamina.images.image import BuildResult
from lamina.images.written_index import IndexBuildResult
from lamina.layers.layer import Layer
from lamina.system.transfer import BlobInfo

MIB = 1 << 20
DIFF_ID, BLOB = Digest(bytes([1] * 32)), Digest(bytes([2] * 32))


def make_result(file: str | None) -> BuildResult:
    """Return an image of 100 layers of 9 MiB, compressed to 2 MiB, of which three were not there."""
    return BuildResult(
        Digest(bytes([3] * 32)),
        ImageReference("hello", "1.4"),
        (Layer(DIFF_ID, 9 * MIB, ()),) * 100,
        "linux/amd64",
        (BlobInfo(BLOB, 2 * MIB),) * 100,
        3,
        6 * MIB,
        file,
        0.94,
    )


def test_the_document_of_an_image_has_what_was_written() -> None:
    document: dict[str, Any] = {**dump_written(make_result("images/"), ["careful"], "web")["images"][0]}
    layers = document.pop("layers")
    assert layers[0] == {"diff_id": str(DIFF_ID), "digest": str(BLOB), "size": 2 * MIB, "paths": []}
    assert document == {
        "id": "sha256:" + "03" * 32,
        "repo_tags": ["hello:1.4"],
        "platform": "linux/amd64",
        "size": 200 * MIB,
        "table": "web",
        "file": "images/",
        "blobs_written": 3,
        "blobs_reused": 97,
        "bytes_written": 6 * MIB,
        "update": None,
        "seconds": 0.94,
        "warnings": ["careful"],
    }


def test_the_document_of_an_image_has_what_an_update_moves() -> None:
    update = UpdateTotals(BlobTotal(97, 5), BlobTotal(3, 6), BlobTotal(2, 7))
    assert dump_written(replace(make_result("images/"), update=update), [])["update"] == {
        "kept": {"blob_count": 97, "size": 5},
        "sent": {"blob_count": 3, "size": 6},
        "gone": {"blob_count": 2, "size": 7},
    }


def test_the_keys_of_the_first_image_stand_at_the_top_level_with_all_warnings() -> None:
    first = dump_written(make_result("a.tar"), ["careful"], "web")
    second = dump_written(make_result("b.tar"), ["slow"], "worker")
    assert dump_build([first]) == first == {**first["images"][0], "images": first["images"], "indexes": []}
    assert dump_build([first, second]) == {
        **first,
        "images": [*first["images"], *second["images"]],
        "warnings": ["image web: careful", "image worker: slow"],
    }


def test_an_index_stands_beside_its_images_and_has_their_warnings() -> None:
    images = (make_result("images/"), replace(make_result("images/"), platform="linux/arm64"))
    index = IndexBuildResult(images, BLOB, ImageReference("hello", "1.4"), 12 * MIB, "images/", 2.5)
    document = dump_written(index, ["linux/arm64: careful"], "web")
    assert [(image["platform"], image["warnings"]) for image in document["images"]] == [
        ("linux/amd64", []),
        ("linux/arm64", []),
    ]
    assert document["platform"] == "linux/amd64"
    assert document["indexes"] == [
        {
            "digest": str(BLOB),
            "repo_tags": ["hello:1.4"],
            "platforms": ["linux/amd64", "linux/arm64"],
            "table": "web",
            "file": "images/",
            "bytes_written": 12 * MIB,
            "seconds": 2.5,
            "warnings": ["linux/arm64: careful"],
        }
    ]
    assert document["warnings"] == ["linux/arm64: careful"]
    both = dump_build([dump_written(make_result("a.tar"), ["slow"], "worker"), document])
    assert both["warnings"] == ["image worker: slow", "image web: linux/arm64: careful"]
    assert (len(both["images"]), len(both["indexes"])) == (3, 1)


def test_the_file_of_stdout_is_null() -> None:
    assert (name_file("-"), name_file("x.tar")) == (None, "x.tar")
