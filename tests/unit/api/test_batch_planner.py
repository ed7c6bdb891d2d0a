"""The images of a batch are named and described before a layer is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore

from lamina.api.batch_options import BatchOptions, parse_destination
from lamina.api.batch_planner import BatchPlanner, name_images
from lamina.api.prepared_images import prepare_images
from lamina.errors import InvalidArgument, NotFound
from lamina.fleet.destinations import RegistryPrefix
from lamina.fleet.executors import BatchExecutor
from lamina.fleet.images import PlannedImage
from lamina.fleet.results import BatchImage, BatchProgress
from lamina.fleet.where import LocalWorkers
from lamina.layers.worker_executor import WorkerExecutor

REGISTRY = RegistryPrefix.parse("ghcr.io/me")


def test_an_image_is_called_as_its_table_and_latest_by_default() -> None:
    assert name_images({"web": {}, "fleet.toml#api": {}}, REGISTRY) == {
        "web": ("web", "latest"),
        "fleet.toml#api": ("api", "latest"),
    }


def test_the_name_and_the_tag_of_the_arguments_count() -> None:
    assert name_images({"web": {"name": "shop/web", "tag": "2"}}, REGISTRY) == {"web": ("shop/web", "2")}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"web": {"name": "Web"}}, "image web: name: got 'Web', expected a name in lower case"),
        ({"web": {"name": "ghcr.io/../web"}}, "image web: name"),
        ({"web": {"name": 5}}, "image web: name: got 5, expected a string"),
        ({"web": {"tag": "no tag"}}, "image web: tag"),
        ({"web": {"tag": 5}}, "image web: tag: got 5, expected a string"),
        ({"web": {"name": "x"}, "api": {"name": "x"}}, "image api: name: got x:latest, as image web"),
    ],
)
def test_names_that_cannot_be_in_a_registry_or_twice_are_refused(tables: Any, message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        name_images(tables, REGISTRY)
    assert message in str(raised.value)


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    made = FakeStore(tmp_path / "root")
    made.add("web-1", {"bin": {"web": b"#!/no"}})
    return made


@contextmanager
def planned(
    store: FakeStore, tables: dict[str, Any], *, is_remote: bool = False, **options: Any
) -> Iterator[tuple[list[PlannedImage], list[BatchImage]]]:
    tables = {name: {"store": str(store.root), **table} for name, table in tables.items()}
    chosen = BatchOptions(parse_destination("ghcr.io/me", None), LocalWorkers(1), **options)
    with ExitStack() as resources:
        executor = resources.enter_context(WorkerExecutor(1))
        workers = BatchExecutor(executor, 1, "one worker", is_remote=is_remote)
        prepared = resources.enter_context(prepare_images(tables, []))
        names = name_images(tables, REGISTRY)
        yield BatchPlanner(names, chosen, workers, resources).plan(prepared)


def test_an_image_that_cannot_be_prepared_is_a_failed_one_and_the_others_are_planned(store: FakeStore) -> None:
    failures: list[str] = []

    class Progress(BatchProgress):
        def image(self, image: BatchImage) -> None:
            failures.append(image.name)

    tables = {"bad": {"contents": ["missing"]}, "web": {"contents": ["web"], "tag": "1"}}
    with planned(store, tables, progress=Progress()) as (images, failed):
        assert [str(image.target) for image in images] == ["ghcr.io/me/web:1"]
        assert [(image.name, type(image.error)) for image in failed] == [("bad", NotFound)]
    assert failures == ["bad"]


def test_a_batch_that_fails_fast_raises_the_error_of_the_image(store: FakeStore) -> None:
    with (
        pytest.raises(NotFound, match="image bad"),
        planned(store, {"bad": {"contents": ["missing"]}}, fail_fast=True),
    ):
        pass


def test_an_image_for_several_platforms_has_a_draft_for_each(store: FakeStore) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    with planned(store, {"web": {"contents": ["web"], "platforms": platforms}}) as ((image,), _):
        assert [draft.settings.config.platform for draft in image.drafts] == list(platforms)
        assert len(image.describe) == 2


def test_an_image_whose_arguments_allow_plain_http_has_its_layers_sent_so_too(store: FakeStore) -> None:
    tables = {"web": {"contents": ["web"], "insecure": True}, "api": {"contents": ["web"]}}
    with planned(store, tables) as (images, _):
        homes = {image.name: image.home for image in images}
    assert homes["web"] == REGISTRY.find_home("web", insecure=True)
    assert homes["api"] == REGISTRY.find_home("api")


def test_workers_on_other_machines_keep_nothing_in_the_embedded_store_of_this_one(store: FakeStore) -> None:
    tables = {"web": {"contents": ["web"], "embedded_store": "/here"}}
    with planned(store, tables, is_remote=True) as ((image,), _):
        assert image.sources.embedded_store is None


def test_an_image_that_may_not_use_the_network_cannot_be_pushed(store: FakeStore) -> None:
    with planned(store, {"web": {"contents": ["web"], "offline": True}}) as (images, failed):
        assert images == []
        assert isinstance(failed[0].error, InvalidArgument)
