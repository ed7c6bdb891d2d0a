"""The executor of a Dask cluster in this process.

The tests with processes that die are in tests/integration/test_dask.py.
"""

import operator
import pickle
from collections.abc import Iterator
from concurrent.futures import wait
from functools import partial
from pathlib import Path

import pytest
from distributed import Client, KilledWorker, LocalCluster
from distributed.comm.core import CommClosedError
from tests.support import remote_calls
from tests.support.dask_cluster import run_cluster_in_process
from tests.support.processes import wait_until

from lamina.errors import IntegrityError, OutputError
from lamina.fleet.dask_executor import DaskExecutor, _Call
from lamina.fleet.fingerprint import Fingerprint
from lamina.layers.workers import WorkerLost

OWN = Fingerprint.of_this_process([])


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with run_cluster_in_process(workers=1) as running:
        yield running


@pytest.fixture
def executor(cluster: LocalCluster) -> Iterator[DaskExecutor]:
    with Client(cluster, set_as_default=False) as client, DaskExecutor(client, "--on dask", OWN) as opened:
        yield opened


def test_a_function_gets_its_arguments(executor: DaskExecutor) -> None:
    assert executor.submit(int, "101", base=2).result() == 5
    assert list(executor.map(pow, [2, 3], [5, 2])) == [32, 9]


def test_arguments_with_the_names_of_dasks_options_are_arguments(executor: DaskExecutor) -> None:
    assert executor.submit(dict, priority=1, key=2, workers=3, pure=4).result() == {
        "priority": 1,
        "key": 2,
        "workers": 3,
        "pure": 4,
    }


def test_equal_calls_are_made_each(executor: DaskExecutor, tmp_path: Path) -> None:
    wait([executor.submit(remote_calls.append, tmp_path / "calls", "x") for _ in range(3)])
    assert (tmp_path / "calls").read_text().split() == ["x"] * 3


def test_calls_begin_in_the_order_in_which_they_are_submitted(executor: DaskExecutor, tmp_path: Path) -> None:
    first = executor.submit(remote_calls.wait_for, tmp_path / "gate")
    futures = [executor.submit(remote_calls.append, tmp_path / "calls", str(number)) for number in range(30)]
    (tmp_path / "gate").touch()
    first.result()
    wait(futures)
    assert (tmp_path / "calls").read_text().split() == list(map(str, range(30)))


def test_errors_come_back_with_their_fields(executor: DaskExecutor) -> None:
    raised = IntegrityError("subject", "a", "b", hint="c")
    error = executor.submit(remote_calls.raise_error, raised).exception()
    assert isinstance(error, IntegrityError)
    assert vars(error) == vars(raised)
    assert isinstance(executor.submit(operator.truediv, 1, 0).exception(), ZeroDivisionError)


def is_waiting(cluster: LocalCluster, name: str) -> bool:
    """Return whether a worker knows a task of this name. It learns a moment later than the client what is cancelled."""
    return any(str(key).startswith(name) for worker in cluster.workers.values() for key in list(worker.state.tasks))


def test_a_call_that_has_not_begun_can_be_cancelled(
    executor: DaskExecutor, cluster: LocalCluster, tmp_path: Path
) -> None:
    first = executor.submit(remote_calls.wait_for, tmp_path / "gate")
    second = executor.submit(remote_calls.append, tmp_path / "calls", "x")
    wait_until(lambda: is_waiting(cluster, "append"))
    assert second.cancel()
    wait([second])
    wait_until(lambda: not is_waiting(cluster, "append"))
    (tmp_path / "gate").touch()
    first.result()
    assert executor.submit(abs, -1).result() == 1
    assert not (tmp_path / "calls").exists()


def test_the_end_of_the_block_waits_for_all_calls(cluster: LocalCluster) -> None:
    with Client(cluster, set_as_default=False) as client, DaskExecutor(client, "--on dask", OWN) as executor:
        futures = [executor.submit(abs, -number) for number in range(20)]
    assert all(future.done() for future in futures)
    assert [future.result() for future in futures] == list(range(20))


def test_an_error_in_the_block_cancels_the_calls_that_have_not_begun(cluster: LocalCluster, tmp_path: Path) -> None:
    with Client(cluster, set_as_default=False) as client:
        with pytest.raises(KeyboardInterrupt), DaskExecutor(client, "--on dask", OWN) as executor:  # noqa: PT012
            executor.submit(remote_calls.wait_for, tmp_path / "gate")
            later = [executor.submit(remote_calls.append, tmp_path / "calls", "") for _ in range(9)]
            wait_until(lambda: is_waiting(cluster, "append"))
            raise KeyboardInterrupt
        wait(later)
        assert all(future.cancelled() for future in later)
        wait_until(lambda: not is_waiting(cluster, "append"))
        (tmp_path / "gate").touch()
        with DaskExecutor(client, "--on dask", OWN) as executor:
            assert executor.submit(abs, -1).result() == 1
    assert not (tmp_path / "calls").exists()


def test_calls_that_dask_cancels_and_those_after_the_connection_ended_fail(cluster: LocalCluster) -> None:
    with Client(cluster, set_as_default=False) as client:
        executor = DaskExecutor(client, "--on dask", OWN)
    error = executor.submit(abs, -1).exception()
    assert isinstance(error, OutputError)
    assert error.subject == "--on dask"
    assert error.hint == "run the command again: it makes only layers that are missing"
    executor.shutdown()


def test_errors_of_the_cluster_are_those_of_lamina(executor: DaskExecutor, cluster: LocalCluster) -> None:
    assert cluster.scheduler
    (worker,) = cluster.scheduler.workers.values()
    lost = executor._translate(KilledWorker("key", worker.clean(), 2))
    assert isinstance(lost, WorkerLost)
    assert (str(lost), lost.deaths) == (f"Dask worker {worker.address} died, as did 2 before it", 3)
    assert isinstance(executor._translate(CommClosedError("gone")), OutputError)
    assert isinstance(executor._translate(TimeoutError()), OutputError)


def test_a_task_is_called_when_it_is_read_and_names_no_module_of_lamina_before() -> None:
    assert pickle.loads(pickle.dumps(_Call(partial(int, "11", base=2)))) == 3
    with pytest.raises(ZeroDivisionError):
        pickle.loads(pickle.dumps(_Call(partial(operator.truediv, 1, 0))))
    assert b"lamina" not in pickle.dumps(_Call(partial(int, "11")))
