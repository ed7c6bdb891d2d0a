"""The executor of a Dask cluster, with real schedulers and workers: results, versions, and processes that die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from distributed import Client
from tests.support import remote_calls
from tests.support.dask_cluster import DaskCluster, run_dask_cluster, write_empty_package, write_other_version
from tests.support.processes import wait_until

from lamina.compression.compressors import LayerCompression
from lamina.errors import InvalidArgument, OutputError
from lamina.fleet import dask_cluster
from lamina.fleet.dask_executor import DaskExecutor
from lamina.fleet.executors import BatchExecutor, open_executor
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.where import DaskScheduler
from lamina.layers.workers import WorkerLost
from lamina.version import __version__

OWN = Fingerprint.of_this_process([LayerCompression.parse("gzip"), LayerCompression.parse("zstd")])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    with run_dask_cluster(folder) as running:
        yield running


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def connect(cluster: DaskCluster, stack: ExitStack) -> BatchExecutor:
    return stack.enter_context(open_executor(DaskScheduler(cluster.address), None, OWN))


def test_functions_are_called_on_the_workers(cluster: DaskCluster, stack: ExitStack) -> None:
    workers = [cluster.start_worker(), cluster.start_worker(threads=2)]
    opened = connect(cluster, stack)
    assert opened.description == f"2 Dask workers with 3 threads at {cluster.address}"
    assert (opened.parallelism, opened.is_remote) == (3, True)
    assert opened.dashboard.startswith("http://127.0.0.1:")
    executor = opened.executor
    futures = [executor.submit(os.getpid) for _ in range(50)]
    assert {future.result() for future in futures} == {worker.pid for worker in workers}
    assert executor.submit(int, "101", base=2).result() == 5
    assert executor.submit(dict, priority=1, key=2).result() == {"priority": 1, "key": 2}, (
        "these are no options of Dask"
    )


def test_the_scheduler_needs_no_lamina(tmp_path: Path, stack: ExitStack) -> None:
    without_lamina = write_empty_package(tmp_path / "empty")
    cluster = stack.enter_context(run_dask_cluster(tmp_path, scheduler_path=without_lamina))
    cluster.start_worker()
    executor = connect(cluster, stack).executor
    assert executor.submit(OWN.check_this_process).result() is None


def test_a_call_whose_worker_is_killed_runs_on_another_one(
    cluster: DaskCluster, stack: ExitStack, tmp_path: Path
) -> None:
    workers = {worker.pid: worker for worker in (cluster.start_worker(), cluster.start_worker())}
    executor = connect(cluster, stack).executor
    future = executor.submit(remote_calls.wait_in_the_first_process, tmp_path / "pid")
    wait_until((tmp_path / "pid").exists)
    killed = int((tmp_path / "pid").read_text())
    workers.pop(killed).send_signal(signal.SIGKILL)
    assert [future.result()] == list(workers)


def test_a_call_whose_workers_are_killed_again_and_again_fails_alone(tmp_path: Path, stack: ExitStack) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    cluster = stack.enter_context(run_dask_cluster(tmp_path, {"SCHEDULER__ALLOWED_FAILURES": "2"}))
    cluster.start_worker()
    executor = connect(cluster, stack).executor
    future = executor.submit(remote_calls.write_each_pid_and_wait, pids)
    killed: set[str] = set()
    for _ in range(3):
        wait_until(lambda: {file.name for file in pids.iterdir()} > killed)
        (pid,) = {file.name for file in pids.iterdir()} - killed
        os.kill(int(pid), signal.SIGKILL)
        killed.add(pid)
        cluster.start_worker()
    error = future.exception()
    assert isinstance(error, WorkerLost)
    assert error.deaths == 3
    assert str(error).startswith("Dask worker tcp://127.0.0.1:")
    assert executor.submit(abs, -1).result() == 1


def test_a_scheduler_that_is_killed_ends_the_batch_with_a_hint(
    cluster: DaskCluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.start_worker()
    with pytest.raises(OutputError) as caught, open_executor(DaskScheduler(cluster.address), None, OWN) as opened:  # noqa: PT012
        running = opened.executor.submit(remote_calls.write_pid_and_wait, tmp_path / "pid")
        waiting = opened.executor.submit(abs, -1)
        wait_until((tmp_path / "pid").exists)
        cluster.scheduler.send_signal(signal.SIGKILL)
        assert isinstance(waiting.exception(), OutputError)
        later = opened.executor.submit(abs, -1)
        assert isinstance(later.exception(), OutputError)
        begun = time.monotonic()
        running.result()
    assert time.monotonic() - begun < 60
    assert str(caught.value).startswith(f"--on {cluster.address}: got ")
    assert caught.value.hint == "run the command again: it makes only layers that are missing"
    assert capfd.readouterr().err == "", "the messages of Dask do not get between those of lamina"


def test_after_the_connection_to_the_scheduler_has_ended_calls_fail_in_the_same_way(
    cluster: DaskCluster, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_cluster, "_CONNECT_SECONDS", 1)
    cluster.start_worker()
    executor = connect(cluster, stack).executor
    assert isinstance(executor, DaskExecutor)
    cluster.scheduler.kill()
    wait_until(lambda: executor._executor._client.status == "closed")
    error = executor.submit(abs, -1).exception()
    assert isinstance(error, OutputError)
    assert error.hint == "run the command again: it makes only layers that are missing"


def test_workers_that_would_make_other_bytes_are_refused_by_name_before_work_begins(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    cluster.start_worker()
    cluster.start_worker(write_other_version(tmp_path / "other", "0.0.9"))
    cluster.start_worker(write_empty_package(tmp_path / "empty"))
    with pytest.raises(InvalidArgument) as caught:
        open_executor(DaskScheduler(cluster.address), None, OWN).__enter__()
    refused = caught.value.got.split("; ")
    assert len(refused) == 2
    assert all(text.startswith("tcp://127.0.0.1:") for text in refused)
    assert sum(text.endswith(" with lamina 0.0.9") for text in refused) == 1
    assert sum("No module named 'lamina." in text for text in refused) == 1
    assert caught.value.expected == f"lamina {__version__}"


def test_a_worker_with_other_versions_that_joins_later_is_refused_by_its_first_task(
    cluster: DaskCluster, stack: ExitStack, tmp_path: Path
) -> None:
    good = cluster.start_worker()
    executor = connect(cluster, stack).executor
    assert executor.submit(OWN.check_this_process).exception() is None
    late = cluster.start_worker(write_other_version(tmp_path / "other", "0.0.9"))
    good.kill()
    error = executor.submit(OWN.check_this_process).exception()
    assert isinstance(error, InvalidArgument)
    assert str(error).startswith(f"worker process {late.pid} on ")
    assert str(error).endswith(f": got lamina 0.0.9, expected lamina {__version__}")


def test_calls_that_a_late_worker_refused_go_to_the_others_from_then_on(
    cluster: DaskCluster, stack: ExitStack, tmp_path: Path
) -> None:
    good = cluster.start_worker()
    executor = connect(cluster, stack).executor
    first = executor.submit(remote_calls.wait_for, tmp_path / "gate")
    late = cluster.start_worker(write_other_version(tmp_path / "other", "0.0.9"))
    error = executor.submit(OWN.check_this_process).exception()
    assert isinstance(error, InvalidArgument)
    assert error.is_transient
    futures = [executor.submit(os.getpid) for _ in range(20)]
    (tmp_path / "gate").touch()
    assert first.result() == good.pid
    assert {future.result() for future in futures} == {good.pid}
    waiting = executor.submit(remote_calls.write_pid_and_wait, tmp_path / "pid")
    wait_until((tmp_path / "pid").exists)
    good.kill()
    assert isinstance(waiting.exception(), WorkerLost), "no call waits for workers that left"
    assert executor.submit(os.getpid).result() == late.pid


_PROGRAM = """
import os, sys
from lamina.fleet.dask_executor import DaskExecutor
from lamina.fleet.executors import open_executor
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.where import DaskScheduler
from pathlib import Path
from tests.support import remote_calls
with open_executor(DaskScheduler(sys.argv[1]), None, Fingerprint.of_this_process([])) as opened:
    first = opened.executor.submit(remote_calls.wait_for, Path(sys.argv[2]) / "gate")
    opened.executor.submit(remote_calls.append, Path(sys.argv[2]) / "calls", "")
    print("submitted", flush=True)
    first.result()
"""


def test_the_calls_of_a_client_that_is_killed_do_not_begin(cluster: DaskCluster, tmp_path: Path) -> None:
    cluster.start_worker()
    command = (sys.executable, "-c", _PROGRAM, cluster.address, str(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())}) as client:
        assert client.stdout
        assert client.stdout.readline() == b"submitted\n"
        client.kill()
    with Client(cluster.address, set_as_default=False) as observer:
        wait_until(lambda: len(observer.scheduler_info()["workers"]) == 1 and not _is_known(observer, "append"))
        (tmp_path / "gate").touch()
        assert observer.submit(abs, -1).result() == 1
    assert not (tmp_path / "calls").exists()


def _is_known(client: Client, name: str) -> bool:
    tasks: list[str] = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
    return any(key.startswith(name) for key in tasks)
