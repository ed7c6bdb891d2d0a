"""200 pushes into docker-registry through a proxy that fails every n-th request.

Each push ends right or with an error of registries. In between, the registry serves no manifest whose blobs are
missing, and the tag is the image before the push or the pushed one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.integration import engines
from tests.integration.conftest import short_folder
from tests.support.factories import File, MemoryStore, info, path
from tests.support.fault_proxy import ProxyFault, fail_every, serve_faults
from tests.support.registry import QUICK

import lamina
from lamina.errors import AuthError, RegistryError
from lamina.transports.retry import use_policy

PUSHES = 50
"""The number of pushes for each interval."""
INTERVALS = (2, 3, 5, 8)
# A refused login ends a push, so it is possible in one of so many.
LOGINS = 8
PASSING = tuple(fault for fault in ProxyFault if fault is not ProxyFault.UNAUTHORIZED)
_ACCEPT = "application/vnd.oci.image.manifest.v1+json"


def image_arguments(number: int) -> dict[str, Any]:
    """Return the arguments of the image with ``number``; of its four layers, it has two in common with the next one."""
    names = "base", f"lib{number // 5}", f"app{number}"
    trees = {name: {b"file": File(f"{name}\n".encode() * 300), name.encode(): File(b"x")} for name in names}
    references = zip(names, ((), names[:1], names[1:2]), strict=True)
    store = MemoryStore([info(*entry) for entry in references], {path(name): tree for name, tree in trees.items()})
    return {"contents": [str(path(names[-1]))], "store": store, "config": {"Cmd": [f"/{names[-1]}"]}, "name": "x"}


@dataclass
class Watched:
    """A repository, as its registry serves it without the proxy; ``folder`` is where the registry keeps its data."""

    address: str
    folder: Path
    name: str
    complete: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Check that each manifest has all its blobs. One that had them keeps them, because nothing is deleted."""
        revisions = self.folder / f"data/docker/registry/v2/repositories/{self.name}/_manifests/revisions/sha256"
        served = {f"sha256:{file.name}" for file in revisions.glob("*")}
        for digest in served - self.complete:
            manifest = self.get(digest)
            for blob in (manifest["config"], *manifest["layers"]):
                response = self._ask("HEAD", f"blobs/{blob['digest']}")
                assert (response.status, response.headers["Content-Length"]) == (200, str(blob["size"]))
        self.complete |= served

    def find_image_id(self) -> str:
        """Return the image ID that the tag has, or ``""``."""
        manifest = self.get("1")
        return str(manifest["config"]["digest"]) if manifest else ""

    def get(self, target: str) -> dict[str, Any]:
        """Return the manifest of a tag or digest, or ``{}`` if there is none."""
        response = self._ask("GET", f"manifests/{target}")
        assert response.status in (200, 404)
        return dict(json.loads(response.data)) if response.status == 200 else {}

    def _ask(self, method: str, item: str) -> urllib3.BaseHTTPResponse:
        url = f"http://{self.address}/v2/{self.name}/{item}"
        return _POOL.request(method, url, headers={"Accept": _ACCEPT}, retries=False)


_POOL = urllib3.PoolManager()


@pytest.fixture(scope="module")
def faulty_registry() -> Iterator[tuple[str, Path]]:
    """The address of a registry, and the folder with its data."""
    with short_folder() as folder, engines.start_registry(folder) as address:
        yield address, folder


@pytest.mark.parametrize("interval", INTERVALS)
def test_every_push_ends_right_or_with_an_error_and_no_manifest_lacks_a_blob(
    interval: int, faulty_registry: tuple[str, Path], tmp_path: Path
) -> None:
    repository = Watched(*faulty_registry, f"faults/every{interval}")
    outcomes: Counter[str] = Counter()
    errors: list[str] = []
    with serve_faults(repository.address) as proxy, use_policy(QUICK):
        before = ""
        for number in range(PUSHES):
            arguments = image_arguments(number)
            pushed = lamina.stream_layered_image(**arguments).write_to(_Nowhere()).id
            possible = PASSING if number % LOGINS else tuple(ProxyFault)
            proxy.choose_fault = fail_every(interval, 1000 * interval + number, possible)
            try:
                lamina.push_layered_image(
                    to=f"{proxy.address}/{repository.name}:1", layer_cache=tmp_path / "cache", **arguments
                )
            except (RegistryError, AuthError) as error:
                outcomes[type(error).__name__] += 1
                errors.append(str(error))
                assert repository.find_image_id() in (before, pushed)
            else:
                outcomes["pushed"] += 1
                assert repository.find_image_id() == pushed
            before = repository.find_image_id()
            repository.check()
    assert not [text for text in errors if "BLOB_UNKNOWN" in text]  # no manifest was sent before its blobs
    faults = Counter(exchange.fault for exchange in proxy.exchanges)
    assert set(faults) >= {None, *PASSING}
    assert outcomes["pushed"] > outcomes["RegistryError"], outcomes
    assert outcomes["AuthError"] <= faults[ProxyFault.UNAUTHORIZED]
    assert len(repository.complete) >= outcomes["pushed"]


@pytest.mark.parametrize("interval", [3, 7])
def test_no_tag_names_an_image_whose_documents_are_missing(
    interval: int, faulty_registry: tuple[str, Path], tmp_path: Path
) -> None:
    repository = Watched(*faulty_registry, f"faults/documents{interval}")
    outcomes: Counter[bool] = Counter()
    with serve_faults(repository.address) as proxy, use_policy(QUICK):
        for number in range(PUSHES // 2):
            proxy.choose_fault = fail_every(interval, 1000 * interval + number, tuple(ProxyFault))
            target = f"{proxy.address}/{repository.name}:1"
            arguments = image_arguments(number)
            with suppress(RegistryError, AuthError):
                lamina.push_layered_image(
                    to=target, layer_cache=tmp_path / "cache", sbom="spdx", provenance=True, **arguments
                )
            pushed = lamina.stream_layered_image(**arguments).write_to(_Nowhere()).id
            is_named = repository.find_image_id() == pushed
            outcomes[is_named] += 1
            if is_named:
                (image,) = lamina.inspect(f"{repository.address}/{repository.name}:1", attached=True)
                assert {referrer.kind for referrer in image.attached} == {"sbom", "provenance"}
                assert len(image.attached) == 2
    assert outcomes[True]
    assert outcomes[False]


class _Nowhere:
    """A stream that forgets what is written."""

    def write(self, data: object, /) -> int:
        return len(data)  # type: ignore[arg-type]
