"""Open the executor that runs the tasks of a batch.

All executors have the interface of `concurrent.futures.Executor`, so the batch itself does not know where it runs. If
the process that runs a task dies, the future of the task raises `lamina.layers.workers.WorkerLost`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.where import LocalWorkers, Where
from lamina.layers.worker_executor import WorkerExecutor


@dataclass(frozen=True, slots=True)
class BatchExecutor:
    """An executor for the tasks of a batch.

    Attributes:
        executor: calls functions that `pickle` supports; those that are submitted first begin first.
        parallelism: how many tasks run at the same time.
        description: the workers, in words.
        dashboard: the URL of a page about the workers; empty if there is none.
        is_remote: whether workers may be other machines, which have other files and other credentials.
    """

    executor: Executor
    parallelism: int
    description: str
    dashboard: str = ""
    is_remote: bool = False


@contextmanager
def open_executor(where: Where, client: object | None, fingerprint: Fingerprint) -> Iterator[BatchExecutor]:
    """Start worker processes or connect to a cluster; the end of the block ends the processes or the connection.

    If the block ends with an error, tasks that have not begun are cancelled, and those of this machine are killed.

    Args:
        where: The place of the workers.
        client: A `distributed.Client` to use instead of ``where``, which stays open; or None.
        fingerprint: The versions that all workers must have.

    Raises:
        InvalidArgument: Workers have other versions, the Dask client is not installed, or ``client`` is not one.
        OutputError: The scheduler does not answer, or has no workers.
    """
    if client is None and isinstance(where, LocalWorkers):
        plural = "es" if where.count > 1 else ""
        with WorkerExecutor(where.count) as executor:
            yield BatchExecutor(executor, where.count, f"{where.count} worker process{plural}")
        return
    from lamina.fleet import dask_cluster  # imported on demand: it is an extra

    opened = (
        dask_cluster.connect(str(where), fingerprint)
        if client is None
        else dask_cluster.use_client("client", client, fingerprint)
    )
    with opened as cluster:
        yield cluster
