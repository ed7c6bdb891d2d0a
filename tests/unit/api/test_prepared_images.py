"""Many images are prepared in one run, and one that fails stops no other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore

import lamina
from lamina.api.prepared_images import FailedImage, PreparedImage, prepare_images
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import InvalidArgument, NotFound
from lamina.inputs import stores
from lamina.inputs.arguments import ImageArguments
from lamina.stores.local.database import LocalStore

Images = Sequence[PreparedImage | FailedImage]


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """A store with three applications, of which two share two libraries."""
    made = FakeStore(tmp_path / "root")
    base = made.add("base-1", {"lib": bytes(60_000)})
    libraries = [made.add(f"{name}-1", {"lib": bytes(80_000)}, [base]) for name in ("log", "http")]
    made.add("bash-5", {"bin": {"bash": b"#!"}})
    for name, needed in {"web": libraries, "api": libraries, "job": libraries[:1]}.items():
        made.add(f"{name}-1", {name: name.encode() * 3000}, needed)
    return made


def describe(store: FakeStore, *names: str, **arguments: Any) -> dict[str, Any]:
    common = {"store": str(store.root), "max_layers": 4, "tag": "1", **arguments}
    return {name: {"contents": [name], **common} for name in names}


def prepare(tables: Mapping[str, ImageArguments], siblings: Mapping[str, ImageArguments] | None = None) -> Images:
    with prepare_images(tables, [], siblings=siblings) as images:
        return tuple(images)


def plans(images: Images) -> dict[str, list[tuple[StorePath, ...]]]:
    prepared = [image for image in images if isinstance(image, PreparedImage)]
    return {image.name: [plan.paths for plan in image.draft.plans] for image in prepared}


def test_images_have_the_layers_that_they_have_as_siblings(store: FakeStore) -> None:
    tables = describe(store, "web", "api", "job")
    shared = describe(store, "web", "api", "job", layering="shared")
    expected = {}
    for name, arguments in shared.items():
        with lamina.stream_layered_image(**arguments, siblings=shared) as stream:
            expected[name] = [plan.paths for plan in stream.draft.plans]
    assert plans(prepare(tables)) == expected


def test_a_layering_that_the_arguments_name_is_kept(store: FakeStore) -> None:
    found = prepare(describe(store, "web", layering="popularity") | describe(store, "api"))
    assert [image.spec.layering for image in found if isinstance(image, PreparedImage)] == ["popularity", "shared"]


def test_one_of_the_images_has_the_layers_that_it_has_among_all(store: FakeStore) -> None:
    tables = describe(store, "web", "api", "job")
    assert plans(prepare(describe(store, "web"), siblings=tables))["web"] == plans(prepare(tables))["web"]
    assert plans(prepare(describe(store, "web")))["web"] != plans(prepare(tables))["web"]


def test_an_image_that_fails_stops_no_other(store: FakeStore) -> None:
    tables = describe(store, "web") | describe(store, "missing") | describe(store, "api")
    broken, given = describe(store, "job", from_image="nothing.tar"), describe(store, "log", layering="cost")
    found = prepare(tables | broken | given)
    failed = [image for image in found if isinstance(image, FailedImage)]
    assert [(image.name, type(image.error)) for image in failed] == [
        ("missing", NotFound),
        ("job", lamina.InputError),
    ]
    assert list(plans(found)) == ["web", "api", "log"]


def test_an_image_for_two_platforms_is_one_for_each(store: FakeStore) -> None:
    tables = describe(store, "web", platforms=["linux/amd64", "linux/arm64"])
    found = [image for image in prepare(tables) if isinstance(image, PreparedImage)]
    assert [(image.name, image.platform) for image in found] == [("web", "linux/amd64"), ("web", "linux/arm64")]
    assert [image.draft.settings.config.architecture for image in found] == ["amd64", "arm64"]


def test_nothing_is_opened_if_an_argument_is_wrong(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "open_stores", pytest.fail)
    with (
        pytest.raises(InvalidArgument, match=r"api: tag"),
        prepare_images(describe(store, "web") | describe(store, "api", tag="a b"), []),
    ):
        pytest.fail("the block was entered")


def test_the_store_of_all_images_is_opened_once(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[StorePath] = []
    query = LocalStore.query

    def count(self: LocalStore, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        asked.extend(paths)
        return query(self, paths)

    monkeypatch.setattr(LocalStore, "query", count)
    assert len(plans(prepare(describe(store, "web", "api", "job")))) == 3
    assert len(asked) == len({*asked})


def test_the_store_can_be_read_inside_of_the_block(store: FakeStore) -> None:
    with prepare_images(describe(store, "web"), []) as images:
        (image,) = images
        assert isinstance(image, PreparedImage)
        assert sum(layer.pack().size for layer in image.draft.layers) > 200_000


def test_messages_about_the_stores_come_once(store: FakeStore, tmp_path: Path) -> None:
    warnings: list[str] = []
    tables = describe(store, "web", "api", layer_cache=str(tmp_path))
    with prepare_images(tables, warnings) as images:
        assert len(plans(tuple(images))) == 2
    assert len(warnings) == 1
