"""A base image that many images have is opened, checked and fetched once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.base_images import serve_base_images
from tests.support.factories import packed_bytes
from tests.support.fake_nix_store import FakeStore, example
from tests.support.image_files import tar
from tests.support.registry import MemoryRegistry

from lamina.api.prepared_images import FailedImage, PreparedImage, prepare_images

LAYER = tar({"etc/": None, "etc/os-release": b"ID=base\n" * 100})


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """Return a registry with base/image:1, which is also a layout in the current folder, and base/all:1."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.chdir(tmp_path)
    with serve_base_images(tmp_path / "layout", [LAYER]) as server:
        yield server


def prepare(store: FakeStore, **images: dict[str, Any]) -> Any:
    common: dict[str, Any] = {"contents": ["hello"], "store": str(store.root), "architecture": "amd64", "tag": "1"}
    return prepare_images({name: {**common, **own} for name, own in images.items()}, [])  # type: ignore[typeddict-item]


def read_base(image: object) -> list[bytes]:
    assert isinstance(image, PreparedImage)
    return [packed_bytes(layer.pack()) for layer in image.draft.base]


def test_the_base_image_of_two_images_is_fetched_once(store: FakeStore, registry: MemoryRegistry) -> None:
    base = {"from_image": f"{registry.host}/base/image:1"}
    with prepare(store, web=base, api=base, job={**base, "layering": "cost"}) as images:
        assert [read_base(image) for image in images] == [[LAYER]] * 3
    assert set(Counter((request.method, request.path) for request in registry.seen).values()) == {1}


@pytest.mark.parametrize("where", ["layout", "registry"])
def test_an_image_can_be_read_after_another_with_its_base_is_closed(
    where: str, store: FakeStore, registry: MemoryRegistry
) -> None:
    base = {"from_image": "layout" if where == "layout" else f"{registry.host}/base/image:1"}
    with prepare(store, web=base, api=base) as images:
        first, second = images
        first.draft.close()
        assert read_base(second) == [LAYER]
        tar_file = second.draft.base[0].find_tar().file
        assert Path(tar_file.decode()).exists()
    assert not Path(tar_file.decode()).exists()


def test_images_for_two_platforms_have_two_base_images(store: FakeStore, registry: MemoryRegistry) -> None:
    base = {"from_image": f"{registry.host}/base/all:1", "contents": [], "closure": ["hello"], "name": "x"}
    with prepare(store, amd={**base}, arm={**base, "architecture": "arm64"}) as images:
        assert [read_base(image) for image in images] == [[tar({name: b""})] for name in ("amd64", "arm64")]


def test_a_base_image_that_is_missing_is_asked_for_once_and_fails_each_image(
    store: FakeStore, registry: MemoryRegistry
) -> None:
    pytest.importorskip("distributed")  # it changes how exceptions are copied
    base = {"from_image": f"{registry.host}/base/none:1"}
    with prepare(store, web=base, api=base, job={}) as images:
        first, second, third = images
        assert isinstance(first, FailedImage)
        assert isinstance(second, FailedImage)
        assert isinstance(third, PreparedImage)
        message = str(first.error)
        first.error.add_context("image web")
        assert str(second.error) == message
        assert type(first.error) is type(second.error)
    assert len({request.path for request in registry.seen}) == len(registry.seen)
