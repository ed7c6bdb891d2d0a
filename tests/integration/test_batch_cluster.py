"""A batch on a real Dask cluster, from a binary cache in S3 to a real registry, with processes that are killed."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from distributed import Client
from tests.integration.token_server import PASSWORD, USER
from tests.support import factories
from tests.support.binary_cache import KEY, Cache, CacheRequest, serve_cache
from tests.support.buckets import make_client, serve_buckets
from tests.support.credentials import encode_auth
from tests.support.dask_cluster import DaskCluster, run_dask_cluster, write_other_version
from tests.support.fault_proxy import ProxyFault, serve_faults
from tests.support.processes import find_pids, wait_until
from tests.support.s3_server import SECRET, error_document, use_credentials

from lamina.api.batch import batch, batch_tables
from lamina.api.batch_options import BatchOptions, parse_destination
from lamina.core.names import Digest, StorePath
from lamina.errors import AuthError, OutputError
from lamina.fleet.results import BatchResult
from lamina.fleet.task_runner import RetryRules
from lamina.fleet.where import DaskScheduler

_SHARED, _APPLICATIONS = 12, 6
Digests = Mapping[str, Digest | None]


@dataclass(frozen=True)
class Packages:
    """A binary cache in a folder, with applications that share libraries."""

    cache: Cache
    applications: Mapping[str, StorePath]

    @property
    def last_nar(self) -> str:
        """The NAR of the smallest library, whose layer is made last; only a worker reads it."""
        libraries = [known for path, known in self.cache.narinfos.items() if path.name.startswith("lib")]
        return min(libraries, key=lambda known: known.info.nar_size).url

    @property
    def first_nar(self) -> str:
        """The NAR of the largest library, whose layer is made first; only a worker reads it."""
        libraries = [known for path, known in self.cache.narinfos.items() if path.name.startswith("lib")]
        return max(libraries, key=lambda known: known.info.nar_size).url

    def find_users(self, library: StorePath) -> set[str]:
        """Return the applications whose closure has ``library``."""
        users, changed = {library}, True
        while changed:
            more = {path for path in self.cache.narinfos if users & self.cache.references(path)} - users
            users, changed = users | more, bool(more)
        return {name for name, path in self.applications.items() if path in users}

    def tables(self, store: str) -> dict[str, Any]:
        """Return the arguments of an image for each application."""
        # Without the architecture, a path with a program is read to find it, and there is none.
        common = {"store": store, "architecture": "amd64", "trusted_keys": [str(KEY.public)], "tag": "1"}
        return {name: {"contents": [str(path)], "name": name, **common} for name, path in self.applications.items()}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    cache = Cache(tmp_path_factory.mktemp("packages") / "cache", compression="zstd")
    chance = random.Random(17)

    def add(name: str, references: list[StorePath]) -> StorePath:
        content = chance.randbytes(chance.randint(10_000, 400_000))
        names = "\n".join(str(path) for path in references).encode()
        return cache.add(name, {b"data": factories.File(content), b"names": factories.File(names)}, references)

    libraries: list[StorePath] = []
    for number in range(_SHARED):
        libraries.append(add(f"lib{number}-1", chance.sample(libraries, min(number, 2))))
    made = {f"app{number}": add(f"app{number}-1", chance.sample(libraries, 4)) for number in range(_APPLICATIONS)}
    return Packages(cache, made)


@pytest.fixture(autouse=True)
def _own_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workers inherit the credentials of S3 from the environment in which they are started."""
    use_credentials(monkeypatch, tmp_path)


@pytest.fixture
def bucket(packages: Packages) -> Iterator[str]:
    """The URL of a bucket with the binary cache."""
    with serve_buckets("cache") as address:
        client = make_client(address)
        for file in packages.cache.folder.rglob("*"):
            if file.is_file():
                name = str(file.relative_to(packages.cache.folder))
                client.put_object(Bucket="cache", Key=name, Body=file.read_bytes())
        yield f"s3://cache?endpoint={address}&scheme=http"


@contextmanager
def start_cluster(folder: Path, workers: int) -> Iterator[DaskCluster]:
    folder.mkdir()
    with run_dask_cluster(folder) as cluster:
        for _ in range(workers):
            cluster.start_worker()
        yield cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    with start_cluster(tmp_path / "dask", 2) as running:
        yield running


def digests(result: BatchResult) -> Digests:
    """Return the digests of the images of a batch; fail if one failed."""
    assert [image.error for image in result.failed] == []
    return {image.name: image.digest for image in result.images}


@pytest.fixture(scope="module")
def expected(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Digests:
    """The digests of the images when they are made in this machine's processes, in an OCI layout."""
    output = tmp_path_factory.mktemp("expected") / "layout"
    return digests(batch(packages.tables(packages.cache.url), output=output, on="local:2", layer_compression="gzip"))


@dataclass
class StoppedRequests:
    """Holds the first request for the NAR of one path until `release` is set."""

    has_begun: Event
    release: Event
    count: int = 0

    def __call__(self, asked: CacheRequest) -> None:
        self.count += 1
        if self.count == 1:
            self.has_begun.set()
            self.release.wait(60)
        asked.answer(200, (asked.server.folder / asked.path.lstrip("/")).read_bytes())


@pytest.fixture
def stopped() -> Iterator[StoppedRequests]:
    script = StoppedRequests(Event(), Event())
    yield script
    script.release.set()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_cluster_of_any_size_gives_the_images_of_this_machine(
    packages: Packages, bucket: str, registry: str, expected: Digests, tmp_path: Path, workers: int
) -> None:
    with start_cluster(tmp_path / "dask", workers) as cluster:
        result = batch(packages.tables(bucket), to=f"{registry}/size{workers}", on=cluster.address)
    assert digests(result) == expected
    assert result.layers_made == len(result.layers) > _APPLICATIONS
    assert len({layer.key for layer in result.layers}) == len(result.layers), "every layer is made once"
    names = {layer.worker for layer in result.layers}
    assert 1 <= len(names) <= workers
    assert not any(name.endswith(f":{os.getpid()}") for name in names)


def test_workers_on_a_cluster_survive_a_bucket_that_asks_for_fewer_requests(
    packages: Packages, bucket: str, registry: str, expected: Digests, cluster: DaskCluster
) -> None:
    address = bucket.partition("endpoint=")[2].partition("&")[0]
    asked: set[str] = set()

    def is_first(method: str, path: str) -> bool:
        is_new = path not in asked
        asked.add(path)
        return is_new and path.startswith("/cache/nar/")

    with serve_faults(address, lambda number: ProxyFault.UNAVAILABLE) as proxy:
        proxy.concerns = is_first
        proxy.document = error_document("SlowDown")
        tables = packages.tables(bucket.replace(address, proxy.address))
        assert digests(batch(tables, to=f"{registry}/slow", on=cluster.address)) == expected
        assert any(exchange.fault for exchange in proxy.exchanges)


def test_a_worker_with_several_threads_gives_the_same_images(
    packages: Packages, bucket: str, registry: str, expected: Digests, tmp_path: Path
) -> None:
    with start_cluster(tmp_path / "dask", 0) as cluster:
        cluster.start_worker(threads=4)
        assert digests(batch(packages.tables(bucket), to=f"{registry}/threads", on=cluster.address)) == expected


def test_a_client_that_is_handed_in_makes_the_images_on_its_cluster(
    packages: Packages, bucket: str, registry: str, expected: Digests, cluster: DaskCluster
) -> None:
    with Client(cluster.address, set_as_default=False) as client:
        result = batch(packages.tables(bucket), to=f"{registry}/client", client=client)
    assert digests(result) == expected
    assert result.workers == f"2 Dask workers at {cluster.address}"


def test_a_second_batch_on_a_cluster_makes_no_layer(
    packages: Packages, bucket: str, registry: str, expected: Digests, cluster: DaskCluster, tmp_path: Path
) -> None:
    layer_cache = tmp_path / "layers.db"
    first, second = (
        batch(packages.tables(bucket), to=f"{registry}/again", on=cluster.address, layer_cache=layer_cache)
        for _ in range(2)
    )
    assert digests(first) == digests(second) == expected
    assert (second.layers_made, second.layers_reused) == (0, len(first.layers))


def run_in_thread(work: Callable[[], BatchResult]) -> Any:
    return ThreadPoolExecutor(1).submit(work)


def test_a_batch_survives_the_death_of_a_worker_in_the_middle_of_a_layer(
    packages: Packages, registry: str, expected: Digests, tmp_path: Path, stopped: StoppedRequests
) -> None:
    with (
        start_cluster(tmp_path / "dask", 1) as cluster,
        serve_cache(packages.cache.folder, {packages.last_nar: stopped}) as cache,
    ):
        running = run_in_thread(lambda: batch(packages.tables(cache.url), to=f"{registry}/killed", on=cluster.address))
        assert stopped.has_begun.wait(60)
        cluster.workers[0].kill()
        cluster.start_worker()
        assert digests(running.result()) == expected


def test_a_batch_survives_the_death_of_a_local_worker_in_the_middle_of_a_layer(
    packages: Packages, registry: str, expected: Digests, stopped: StoppedRequests
) -> None:
    with serve_cache(packages.cache.folder, {packages.last_nar: stopped}) as cache:
        before = list_local_workers()
        running = run_in_thread(lambda: batch(packages.tables(cache.url), to=f"{registry}/local", on="local:1"))
        assert stopped.has_begun.wait(60)
        (worker,) = list_local_workers() - before
        os.kill(worker, signal.SIGKILL)
        assert digests(running.result()) == expected


def test_a_late_worker_with_another_version_costs_a_batch_nothing_but_time(
    packages: Packages, registry: str, expected: Digests, tmp_path: Path, stopped: StoppedRequests
) -> None:
    with (
        start_cluster(tmp_path / "dask", 1) as cluster,
        serve_cache(packages.cache.folder, {packages.first_nar: stopped}) as cache,
    ):
        options = BatchOptions(
            parse_destination(f"{registry}/late", None), DaskScheduler(cluster.address), rules=RetryRules(delays=(0.0,))
        )
        running = run_in_thread(lambda: batch_tables(packages.tables(cache.url), options))
        assert stopped.has_begun.wait(60)
        late = cluster.start_worker(write_other_version(tmp_path / "other", "0.0.9"))
        wait_until(lambda: "InvalidArgument" in cluster.read_logs())
        stopped.release.set()
        result = running.result()
    assert digests(result) == expected
    assert not any(layer.worker.endswith(f":{late.pid}") for layer in result.layers)


def test_a_layer_that_ends_three_workers_fails_its_images_alone(
    packages: Packages, registry: str, expected: Digests
) -> None:
    users = {library: packages.find_users(library) for library in packages.cache.narinfos if "-lib" in str(library)}
    library = min((each for each in users if users[each]), key=lambda each: len(users[each]))
    assert 0 < len(users[library]) < _APPLICATIONS
    killed: list[int] = []

    def kill_worker(asked: CacheRequest) -> None:
        (worker,) = list_local_workers()
        killed.append(worker)
        os.kill(worker, signal.SIGKILL)
        asked.close_connection = True

    with serve_cache(packages.cache.folder, {packages.cache.narinfos[library].url: kill_worker}) as cache:
        result = batch(packages.tables(cache.url), to=f"{registry}/three", on="local:1")
    assert len(set(killed)) == 3
    assert {image.name for image in result.failed} == users[library]
    for image in result.failed:
        assert isinstance(image.error, OutputError)
        assert str(image.error).endswith(
            f"worker process {killed[-1]} ended with SIGKILL, expected a worker that finishes the layer"
        )
    done = {image.name: image.digest for image in result.images if not image.error}
    assert done == {name: digest for name, digest in expected.items() if name not in users[library]}


def list_local_workers(parent: int = os.getpid()) -> set[int]:
    """Return the processes of worker pools that the process ``parent`` started, by default this one."""
    found = find_pids(lambda command: "lamina.layers.worker_tasks import main" in command)
    return {pid for pid in found if f" {parent} " in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]}


def test_after_the_death_of_the_scheduler_a_second_batch_continues(
    packages: Packages, registry: str, expected: Digests, tmp_path: Path, stopped: StoppedRequests
) -> None:
    with (
        start_cluster(tmp_path / "dask", 1) as cluster,
        serve_cache(packages.cache.folder, {packages.last_nar: stopped}) as cache,
    ):
        running = run_in_thread(lambda: batch(packages.tables(cache.url), to=f"{registry}/lost", on=cluster.address))
        assert stopped.has_begun.wait(60)
        cluster.scheduler.kill()
        failed = running.result()
        assert all(isinstance(image.error, OutputError) for image in failed.failed)
        assert failed.failed
        assert failed.failed[0].error
        assert "run the command again" in failed.failed[0].error.hint
        stopped.release.set()
        continued = batch(packages.tables(cache.url), to=f"{registry}/lost", on="local:1")
    assert digests(continued) == expected


def test_workers_use_their_own_credentials(
    packages: Packages, password_registry: str, expected: Digests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has credentials in both runs, but only the workers of the second one have them."""
    secret = encode_auth(USER, PASSWORD)
    (tmp_path / "config.json").write_text(json.dumps({"auths": {password_registry: secret}}))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    tables, to = packages.tables(packages.cache.url), f"{password_registry}/fleet"
    (tmp_path / "dask").mkdir()
    with run_dask_cluster(tmp_path / "dask") as cluster:
        cluster.start_worker(environment={"DOCKER_CONFIG": str(tmp_path / "nothing")})
        failed = batch(tables, to=to, on=cluster.address)
        assert len(failed.failed) == _APPLICATIONS
        assert all(isinstance(image.error, AuthError) for image in failed.failed)
        cluster.workers[0].kill()
        cluster.start_worker()
        assert digests(batch(tables, to=to, on=cluster.address)) == expected
        logs = cluster.read_logs()
    assert "make_layer" in logs, "the error of a task is logged with its arguments"
    assert not [text for text in (secret["auth"], PASSWORD, SECRET) if text in logs]


_CLIENT = """
import sys, json
from lamina.api.batch import batch
batch(json.loads(sys.argv[1]), to=sys.argv[2], on=sys.argv[3])
"""


@pytest.mark.parametrize("place", ["local:2", "cluster"])
def test_an_interrupt_ends_a_batch_at_once(
    packages: Packages,
    registry: str,
    request: pytest.FixtureRequest,
    stopped: StoppedRequests,
    tmp_path: Path,
    place: str,
) -> None:
    where = request.getfixturevalue("cluster").address if place == "cluster" else place
    with serve_cache(packages.cache.folder, {packages.last_nar: stopped}) as cache:
        spec = tmp_path / "lamina.json"
        spec.write_text(json.dumps(packages.tables(cache.url)))
        command = ("-m", "lamina", "batch", str(spec), "--to", f"{registry}/interrupt", "--on", where)
        with subprocess.Popen((sys.executable, *command), stderr=subprocess.PIPE, text=True) as client:
            assert stopped.has_begun.wait(60)
            client.send_signal(signal.SIGINT)
            _, messages = client.communicate(timeout=60)
    assert client.returncode == 130
    assert "Traceback" not in messages
    assert "distributed" not in messages
    assert not list_local_workers(client.pid)


def test_after_the_death_of_the_client_a_second_batch_continues(
    packages: Packages, registry: str, expected: Digests, cluster: DaskCluster, stopped: StoppedRequests
) -> None:
    with serve_cache(packages.cache.folder, {packages.last_nar: stopped}) as cache:
        tables, to = packages.tables(cache.url), f"{registry}/ended"
        command = (sys.executable, "-c", _CLIENT, json.dumps(tables), to, cluster.address)
        with subprocess.Popen(command) as client:
            assert stopped.has_begun.wait(60)
            client.kill()
        stopped.release.set()
        assert digests(batch(tables, to=to, on=cluster.address)) == expected
