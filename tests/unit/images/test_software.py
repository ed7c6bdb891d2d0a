"""The components of a closure or an image."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.factories import MemoryStore, closure, info, path
from tests.support.sbom import read_cyclonedx, read_spdx

from lamina.core.names import Digest, StorePath
from lamina.formats.bill_of_materials import SoftwareSubject
from lamina.formats.narinfo import NarInfo
from lamina.images.readers.source_image import InspectedImage, InspectedLayer
from lamina.images.software import SbomFormat, describe_closure, describe_image, dump_bill

DATE = datetime(2026, 1, 2, tzinfo=UTC)
DIGEST = Digest(bytes(32))


class NarInfoStore(MemoryStore):
    """A store that knows who signed its paths."""

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the narinfo of ``path``."""
        return NarInfo(self._infos[path], "nar/x", "xz", ("key:signature",))


def image(*layers: Sequence[str], **more: Any) -> InspectedImage:
    """Return an image whose layers have files of the store paths of these names."""
    made = (InspectedLayer("", DIGEST, DIGEST, 1, tuple(map(path, names)), ()) for names in layers)
    return InspectedImage(
        DIGEST, **{"repo_tags": ("app:1",), "config_json": b"{}", "config": {}, **more}, layers=tuple(made)
    )


def test_a_closure_is_described_with_what_the_store_knows() -> None:
    found = closure("app-1→lib-2  lib-2→libc-3")
    bill = describe_closure(found, [path("app-1")], NarInfoStore(found), DATE)
    assert [item.path for item in bill.components] == sorted(map(path, ("app-1", "lib-2", "libc-3")))
    assert {item.narinfo.signatures for item in bill.components if item.narinfo} == {("key:signature",)}
    assert bill.roots == (path("app-1"),)
    assert bill.subject == SoftwareSubject("closure", "app", "1")


def test_a_store_without_narinfos_still_knows_hashes_and_references() -> None:
    found = closure("app-1→lib-2")
    bill = describe_closure(found, [path("app-1")], MemoryStore(found), DATE)
    assert [item.narinfo.info for item in bill.components if item.narinfo] == list(found)


def test_several_roots_are_named_together() -> None:
    found = closure("app-1→lib-2  tool-3")
    bill = describe_closure(found, [path("app-1"), path("tool-3"), path("app-1")], MemoryStore(found), DATE)
    assert bill.subject.version == ""
    assert sorted(bill.subject.name.split(", ")) == ["app", "tool"]
    assert bill.roots == tuple(sorted({path("app-1"), path("tool-3")}))


def test_an_image_alone_only_tells_its_paths() -> None:
    bill, warnings = describe_image(image(["lib-2"], ["app-1", "lib-2"], []), None, DATE)
    assert [(item.path, item.narinfo) for item in bill.components] == [
        (item, None) for item in sorted({path("app-1"), path("lib-2")})
    ]
    assert set(bill.roots) == {path("app-1"), path("lib-2")}
    assert bill.subject == SoftwareSubject("image", "app", "1", str(DIGEST))
    assert warnings == [
        "the document has no hashes and no dependencies: an image holds neither, and no store was named"
    ]


def test_a_store_tells_the_hashes_and_references_of_an_image() -> None:
    store = NarInfoStore([info("app-1", ["lib-2", "not-in-the-image-3"]), info("lib-2")])
    bill, warnings = describe_image(image(["lib-2"], ["app-1"], ["other-4"]), store, DATE)
    assert bill.roots == tuple(sorted({path("app-1"), path("other-4")}))
    assert bill.dependencies[path("app-1")] == (path("lib-2"),)
    assert warnings == [
        "1 of 3 store paths are in no store, so their hashes and references are left out",
        "the hashes are those of the stores; they were not compared with the layers of the image",
    ]


def test_layers_below_the_store_paths_are_not_described() -> None:
    _, warnings = describe_image(image([], [], ["app-1"], []), None, DATE)
    assert warnings[0] == "2 of 4 layers have no store paths; the document does not list what is in them"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"repo_tags": ("localhost:5000/app:1", "app:2")}, ("localhost:5000/app", "1")),
        ({"repo_tags": (), "tags": ("latest",)}, ("image", "latest")),
        ({"repo_tags": ()}, ("image", "")),
    ],
)
def test_an_image_is_called_by_its_first_name(names: dict[str, Any], expected: tuple[str, str]) -> None:
    bill, _ = describe_image(image(["app-1"], **names), None, DATE)
    assert (bill.subject.name, bill.subject.version) == expected


@pytest.mark.parametrize("kind", ["cyclonedx", "spdx"])
def test_a_document_has_a_media_type(kind: SbomFormat) -> None:
    """It is what the document has as a blob of a registry."""
    found = closure("app-1→lib-2")
    result = dump_bill(describe_closure(found, [path("app-1")], MemoryStore(found), DATE), kind, ["careful"])
    media_types = {"cyclonedx": "application/vnd.cyclonedx+json", "spdx": "application/spdx+json"}
    assert result.media_type == media_types[kind]
    assert result.components == tuple(sorted(map(path, ("app-1", "lib-2"))))
    assert result.warnings == ("careful",)
    assert repr(result) == f"<SbomResult: {media_types[kind]}, 2 components>"
    read = {"cyclonedx": read_cyclonedx, "spdx": read_spdx}[kind]
    read(result.document)


def test_the_order_of_the_paths_of_a_store_changes_nothing() -> None:
    graphs = closure("app-1→lib-2,libc-3  lib-2→libc-3"), closure("lib-2→libc-3  app-1→libc-3,lib-2")
    documents = {
        dump_bill(describe_closure(found, [path("app-1")], MemoryStore(found), DATE), "cyclonedx").document
        for found in graphs
    }
    assert len(documents) == 1
