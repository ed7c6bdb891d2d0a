"""Connections to Dask clusters in this process. Tests with real processes are in tests/integration/test_dask.py."""

import asyncio
import gc
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster
from tests.support.dask_cluster import run_cluster_in_process
from tests.support.fake_nix_store import call

from lamina.compression.compressors import LayerCompression
from lamina.errors import InvalidArgument, OutputError
from lamina.fleet import dask_cluster
from lamina.fleet.fingerprint import Fingerprint

OWN = Fingerprint.of_this_process([LayerCompression.parse("gzip")])


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with run_cluster_in_process(workers=2, protocol="tcp") as running:
        yield running


def test_the_executor_of_an_address_is_described(cluster: LocalCluster) -> None:
    address = cluster.scheduler_address
    with dask_cluster.connect(address, OWN) as opened:
        assert opened.description == f"2 Dask workers at {address}"
        assert (opened.parallelism, opened.is_remote) == (2, True)
        assert opened.executor.submit(abs, -1).result() == 1


def test_more_threads_than_workers_are_described() -> None:
    assert dask_cluster._describe({"a": 1}, "tcp://s:1") == "1 Dask worker at tcp://s:1"
    assert dask_cluster._describe({"a": 1, "b": 4}, "tcp://s:1") == "2 Dask workers with 5 threads at tcp://s:1"


def test_a_client_that_is_handed_in_stays_open(cluster: LocalCluster) -> None:
    with Client(cluster, set_as_default=False) as client:
        for _ in range(2):
            with dask_cluster.use_client("client", client, OWN) as opened:
                assert opened.executor.submit(abs, -1).result() == 1
        assert client.status == "running"


def test_an_asynchronous_client_is_refused(cluster: LocalCluster) -> None:
    async def connect() -> None:
        async with Client(cluster.scheduler_address, asynchronous=True, set_as_default=False) as client:
            dask_cluster.use_client("client", client, OWN).__enter__()

    with pytest.raises(InvalidArgument, match="got an asynchronous one, expected"):
        asyncio.run(connect())


def test_workers_with_other_versions_are_refused(cluster: LocalCluster) -> None:
    other = Fingerprint(OWN.compressions, ("lamina 0", *OWN.versions[1:]))
    with pytest.raises(InvalidArgument) as caught:
        dask_cluster.connect(cluster.scheduler_address, other).__enter__()
    names = sorted(worker.address for worker in cluster.workers.values())
    assert caught.value.subject == f"--on {cluster.scheduler_address}"
    assert sorted(text.partition(" with ")[0] for text in caught.value.got.split("; ")) == names
    assert caught.value.expected == "lamina 0"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_scheduler_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "_CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(OutputError, match=rf"^--on {address}: got .*, expected a Dask scheduler$") as caught:
        dask_cluster.connect(address, OWN).__enter__()
    assert caught.value.hint == "start a scheduler with: dask scheduler"
    gc.collect()  # Dask leaves the sockets of its attempts to the garbage collector


def test_without_certificates_tls_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^--on tls://127.0.0.1:1: got none, expected certificates") as caught:
        dask_cluster.connect("tls://127.0.0.1:1", OWN).__enter__()
    assert "ca-file" in caught.value.hint


def test_certificates_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    files = {"distributed.comm.tls.ca-file": str(tmp_path / "ca"), "distributed.comm.tls.client.cert": "missing"}
    with (
        dask.config.set(files),
        pytest.raises(InvalidArgument, match="got No such file or directory, expected certificates for TLS"),
    ):
        dask_cluster.connect("tls://127.0.0.1:1", OWN).__enter__()


def test_an_error_about_certificates_is_all_that_a_command_prints(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('contents = ["web"]\nname = "web"')
    ran = call("batch", tmp_path / "one.toml", "-o", f"{tmp_path}/images/", "--on", "tls://127.0.0.1:1")
    assert ran.code == 2
    assert [line.partition(":")[0] for line in ran.stderr.splitlines()] == ["lamina", "hint"]


def test_without_workers_the_error_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "_WORKER_SECONDS", 0.1)
    with run_cluster_in_process(workers=0) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(OutputError, match=r"got no worker, expected at least one$") as caught:
            dask_cluster.connect(address, OWN).__enter__()
    assert caught.value.hint == f"start a worker with: dask worker {address}"


def test_the_messages_of_dask_are_off_only_while_lamina_is_connected() -> None:
    logger = logging.getLogger("distributed.core")
    before = logger.level
    with dask_cluster._quiet_logging():
        assert not logger.isEnabledFor(logging.CRITICAL)
    assert logger.level == before
