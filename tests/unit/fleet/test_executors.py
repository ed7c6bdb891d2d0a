"""Executors of a batch on this machine, and what is not a cluster."""

import os
import sys

import pytest

from lamina.errors import InvalidArgument
from lamina.fleet.executors import open_executor
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.where import DaskScheduler, LocalWorkers

OWN = Fingerprint.of_this_process([])


@pytest.mark.parametrize(("count", "description"), [(1, "1 worker process"), (3, "3 worker processes")])
def test_local_workers_are_processes_of_this_machine(count: int, description: str) -> None:
    with open_executor(LocalWorkers(count), None, OWN) as opened:
        assert opened.executor.submit(os.getppid).result() == os.getpid()
        assert (opened.parallelism, opened.description) == (count, description)
        assert (opened.dashboard, opened.is_remote) == ("", False)


def test_without_the_dask_client_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InvalidArgument) as caught, open_executor(DaskScheduler("tcp://127.0.0.1:1"), None, OWN):
        pass
    assert str(caught.value) == "--on tcp://127.0.0.1:1: got no Dask client, expected it to be installed"
    assert caught.value.hint == "pip install '.[dask]' in a checkout of lamina"
    with pytest.raises(InvalidArgument, match=r"client: got 5, expected a distributed.Client"):
        open_executor(LocalWorkers(1), 5, OWN).__enter__()


def test_a_client_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^client: got 'tcp://x:1', expected a distributed.Client"):
        open_executor(LocalWorkers(1), "tcp://x:1", OWN).__enter__()
